//! That every id takes effect once: transaction ids per partner for ever, an accrual reversed once or in parts that follow
//! each other, a receipt once until a reversal frees it (invariant 2).
//!
//! Where there is memory for all ids, one reading of the history is enough. Where there is not, the first remembers none, and
//! sieves out those that may be used by more than one record; a second reading remembers these. Where even they are too many,
//! there are several such readings, each for another part of them, which keyed hashes divide evenly.
//!
//! What must stay true: the memory is bounded; what is found does not depend on it.

use hashbrown::HashMap;

use super::report::{Finding, FindingClass, Place};
use crate::ids::{IdHasher, IdKey, Sieve};
use crate::journal::dictionary::Dictionary;
use crate::journal::record::{Entry, Publication};
use crate::ledger::command::{CommandKind, Continues};
use crate::ledger::operator::OperatorOrder;
use crate::ledger::types::Position;
use crate::recovery::ids_of;

/// Ids that one record can use for the first time.
const IDS_PER_RECORD_MAX: u64 = 2;

/// Bytes of the table for each place in it: key and use, and one byte of the table's own.
const PLACE_BYTES: u64 = (size_of::<(IdKey, Use)>() + 1) as u64;

/// What became of an id: twice the position of the record that used it, and one more where that made it free again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Use(u64);

impl Use {
    fn taken(at: Position) -> Self {
        Self(at.0 << 1)
    }

    fn freed(at: Position) -> Self {
        Self(at.0 << 1 | 1)
    }

    fn is_free(self) -> bool {
        self.0 & 1 == 1
    }

    fn position(self) -> u64 {
        self.0 >> 1
    }
}

/// Ids that a table of no more than so many bytes takes. It has a power of two of places, and is filled to seven eighths; a
/// little less, since parts are not of quite the same size.
fn ids_in(bytes: u64) -> u64 {
    let place_count = 1_u64 << (bytes / PLACE_BYTES).max(1).ilog2();
    (place_count / 16 * 13).max(1)
}

/// One of so many parts of the ids.
#[derive(Clone, Copy)]
struct Part {
    number: u64,
    count: u64,
}

impl Part {
    fn has(self, key: IdKey) -> bool {
        let [a, b, c, d, e, f, g, h, ..] = key.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h]) % self.count == self.number
    }
}

/// The ids that a reading remembers, as far as the history has been read.
pub(super) struct Once {
    hasher: IdHasher,
    memory_bytes: u64,
    /// None where there is memory for all ids.
    sieve: Option<Sieve>,
    /// None in the first reading.
    part: Option<Part>,
    uses: HashMap<IdKey, Use>,
    /// The last record that was shown, and how many of its ids were looked at.
    shown: Option<(Position, u8)>,
}

impl Once {
    /// For the first reading of a history that ends there, with so much memory. One of an unknown length may be too long for
    /// any.
    pub(super) fn new(hasher: IdHasher, end: Option<Position>, memory_bytes: u64) -> Self {
        let ids_max = end.map_or(u64::MAX, |end| end.0.saturating_mul(IDS_PER_RECORD_MAX));
        let sieve = (ids_max > ids_in(memory_bytes)).then(|| Sieve::new(memory_bytes, ids_max));
        let mut uses = HashMap::new();
        if sieve.is_none() {
            uses.reserve(usize::try_from(ids_max).unwrap_or(0));
        }
        Self { hasher, memory_bytes, sieve, part: None, uses, shown: None }
    }

    /// Whether one reading is enough.
    pub(super) fn is_whole(&self) -> bool {
        self.sieve.is_none()
    }

    /// The last record that was shown, and how many of its ids were looked at.
    pub(super) fn shown(&self) -> Option<(Position, u8)> {
        self.shown
    }

    /// Ends the first reading; how many there are to be after it.
    pub(super) fn end_first(&mut self) -> u64 {
        let Some(sieve) = &mut self.sieve else { return 0 };
        sieve.close();
        sieve.through_count().div_ceil(self.ids_max_of_part()).max(1)
    }

    fn ids_max_of_part(&self) -> u64 {
        ids_in(self.memory_bytes.saturating_sub(self.sieve.as_ref().map_or(0, Sieve::byte_count)))
    }

    /// Begins a further reading, for one of so many parts of the ids that may be used by more than one record.
    pub(super) fn begin_part(&mut self, number: u64, count: u64) {
        self.part = Some(Part { number, count });
        self.uses.clear();
        let expected = self.sieve.as_ref().map_or(0, Sieve::through_count).div_ceil(count);
        let room = expected.min(self.ids_max_of_part());
        self.uses.reserve(usize::try_from(room).unwrap_or(0));
    }

    /// Whether it is this reading that judges an id.
    fn judges(&self, key: IdKey) -> bool {
        self.part.map_or(self.is_whole(), |part| part.has(key))
    }

    /// Whether it is remembered what became of an id. The first reading notes it instead where it cannot remember all.
    fn remembers(&mut self, key: IdKey) -> bool {
        match (&mut self.sieve, self.part) {
            (None, _) => true,
            (Some(sieve), None) => {
                sieve.meet(key);
                false
            }
            // What a single record used was used once.
            (Some(sieve), Some(part)) => part.has(key) && sieve.lets_through(key),
        }
    }

    fn look_at_next(&mut self) {
        if let Some((_, looked_at)) = &mut self.shown {
            *looked_at += 1;
        }
    }

    fn take(&mut self, key: IdKey, place: Place, what: impl Fn() -> String) -> Result<(), Finding> {
        self.look_at_next();
        if !self.remembers(key) {
            return Ok(());
        }
        match self.uses.insert(key, Use::taken(place.position)).filter(|before| !before.is_free()) {
            None => Ok(()),
            Some(before) => Err(place.finding(
                FindingClass::Once,
                format!("{} was used before, by the record at position {}", what(), before.position()),
            )),
        }
    }

    /// Enters the ids of a command that was journaled.
    pub(super) fn entry(&mut self, dictionary: &Dictionary, entry: &Entry, place: Place) -> Result<(), Finding> {
        self.shown = Some((place.position, 0));
        if matches!(entry.command.kind, CommandKind::Expire) {
            return Ok(());
        }
        let keys = ids_of(&self.hasher, dictionary, &entry.command);
        let transaction_id = &entry.command.transaction_id;
        self.take(keys.transaction, place, || format!("the transaction id {transaction_id:?}"))?;
        if entry.decision.refusal().is_some() {
            return Ok(());
        }
        let continues = entry.command.kind.continues();
        if let Some(continues) = continues {
            self.check_earlier(keys.subject, continues, place)?;
        }
        if keys.subject != keys.transaction {
            self.take(keys.subject, place, || subject_of(&entry.command.kind).to_owned())?;
        }
        // Of what something is left of, more can be reversed.
        let is_open = continues.is_some_and(|continues| !continues.is_last);
        let reopened = is_open.then_some(keys.subject);
        let freed = keys.freed.filter(|_| entry.command.kind.frees());
        for freed in [freed, reopened].into_iter().flatten() {
            if self.remembers(freed) {
                self.uses.insert(freed, Use::freed(place.position));
            }
        }
        Ok(())
    }

    /// A reversal goes on where the one before it of the same transaction left off.
    fn check_earlier(&mut self, subject: IdKey, continues: Continues, place: Place) -> Result<(), Finding> {
        self.look_at_next();
        if !self.judges(subject) {
            return Ok(());
        }
        let says = continues.earlier.map(|earlier| earlier.0);
        let before = self.uses.get(&subject);
        let really = before.map(|before| before.position());
        // That it is not taken is looked at for all alike.
        if says == really || before.is_some_and(|before| !before.is_free()) {
            return Ok(());
        }
        let name = |position: Option<u64>| position.map_or("none".to_owned(), |at| format!("the one at position {at}"));
        let sentence = format!(
            "of the reversals of the same transaction it goes on after {}, but the last before it is {}",
            name(says),
            name(really)
        );
        Err(place.finding(FindingClass::Once, sentence))
    }

    /// Enters the id of a publication that came through the wire.
    pub(super) fn publication(
        &mut self,
        dictionary: &Dictionary,
        publication: &Publication,
        place: Place,
    ) -> Result<(), Finding> {
        self.shown = Some((place.position, 0));
        let id = &publication.transaction_id;
        if id.is_empty() {
            return Ok(());
        }
        let partner = dictionary.text(publication.partner).unwrap_or_default();
        self.take(self.hasher.transaction(&partner, id), place, || format!("the transaction id {id:?}"))
    }
}

/// What a command uses up beside its id.
fn subject_of(kind: &CommandKind) -> &'static str {
    match kind {
        CommandKind::Reverse(_) => "the accrual that is reversed",
        CommandKind::Unburn(_) => "the burn that is reversed",
        CommandKind::Refund(_) => "the top-up that is refunded",
        CommandKind::Link(_) => "the identifier that is linked",
        CommandKind::Operate(operation) => match operation.order {
            OperatorOrder::Release(_) => "what was held and is released",
            OperatorOrder::Restore(_) => "the expiry that is taken back",
            _ => "what was held and is rejected",
        },
        _ => "the receipt",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_that_fits_is_read_once() {
        let hasher = || IdHasher::new(&[3; 16]);
        // So many bytes have room for 26 ids, 32 places of 25 bytes.
        let bytes = 32 * 25;
        assert_eq!((ids_in(bytes), ids_in(2 * bytes - 1), ids_in(2 * bytes), ids_in(0)), (26, 26, 52, 1));
        assert_eq!(ids_in(1 << 30), 27_262_976, "what the documentation says of a gibibyte");
        let rows = [(Some(0), true), (Some(13), true), (Some(14), false), (Some(u64::MAX), false), (None, false)];
        for (end, is_whole) in rows {
            assert_eq!(Once::new(hasher(), end.map(Position), bytes).is_whole(), is_whole, "{end:?} records");
        }
        let mut once = Once::new(hasher(), Some(Position(13)), bytes);
        let room = once.uses.capacity();
        assert!((26..56).contains(&room), "{room}");
        assert_eq!(once.end_first(), 0);
    }

    #[test]
    fn a_history_of_any_length_is_read_twice_while_the_sieve_keeps_up() {
        let hasher = IdHasher::new(&[3; 16]);
        // 16 KiB are enough for 416 ids at a time, or for seven bits for each of 16,000.
        for (id_count, again_count, readings) in [(1_000, 0, 1), (8_000, 100, 1), (8_000, 2_000, 6), (100_000, 0, 240)]
        {
            let mut once = Once::new(hasher.clone(), Some(Position(id_count)), 16 << 10);
            let place = Place::at(Position(0));
            let keys = (0..id_count).chain(0..again_count).map(|id| hasher.transaction("north", &id.to_string()));
            keys.for_each(|key| {
                assert!(once.take(key, place, String::new).is_ok(), "the first reading judges nothing")
            });
            let expected = once.end_first();
            assert!(expected.abs_diff(readings) <= readings / 4, "{id_count} {again_count}: {expected}");
        }
    }
}
