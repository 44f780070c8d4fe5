//! That every id takes effect once: transaction ids per partner for ever, an accrual reversed once or in parts that follow
//! each other, a receipt once until a reversal frees it (invariant 2).
//!
//! What must stay true: the memory is bounded; a history with more ids than fit is read again, each time for another
//! part of the ids, which keyed hashes divide evenly.

use hashbrown::HashMap;

use super::report::{Finding, FindingClass, Place};
use crate::ids::{IdHasher, IdKey};
use crate::journal::dictionary::Dictionary;
use crate::journal::record::{Entry, Publication};
use crate::ledger::command::{CommandKind, Continues};
use crate::ledger::operator::OperatorOrder;
use crate::recovery::ids_of;

/// Ids that one record can use.
const IDS_PER_RECORD_MAX: u64 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Taken(u64),
    /// By the record at this position.
    Freed(u64),
}

/// The ids of one part, as far as the history has been read.
pub(super) struct Once {
    hasher: IdHasher,
    part: u64,
    part_count: u64,
    uses: HashMap<IdKey, Use>,
}

/// How many readings a history of so many records takes.
pub(super) fn part_count(record_count: u64, ids_max: u64) -> u64 {
    record_count.saturating_mul(IDS_PER_RECORD_MAX).div_ceil(ids_max.max(1)).max(1)
}

impl Once {
    pub(super) fn new(hasher: IdHasher, part: u64, part_count: u64) -> Self {
        Self { hasher, part, part_count, uses: HashMap::new() }
    }

    fn is_ours(&self, key: IdKey) -> bool {
        let [a, b, c, d, e, f, g, h, ..] = key.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h]) % self.part_count == self.part
    }

    fn take(&mut self, key: IdKey, place: Place, what: impl Fn() -> String) -> Result<(), Finding> {
        if !self.is_ours(key) {
            return Ok(());
        }
        match self.uses.insert(key, Use::Taken(place.position.0)) {
            None | Some(Use::Freed(_)) => Ok(()),
            Some(Use::Taken(before)) => Err(place.finding(
                FindingClass::Once,
                format!("{} was used before, by the record at position {before}", what()),
            )),
        }
    }

    /// Enters the ids of a command that was journaled.
    pub(super) fn entry(&mut self, dictionary: &Dictionary, entry: &Entry, place: Place) -> Result<(), Finding> {
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
            if self.is_ours(freed) {
                self.uses.insert(freed, Use::Freed(place.position.0));
            }
        }
        Ok(())
    }

    /// A reversal goes on where the one before it of the same transaction left off.
    fn check_earlier(&self, subject: IdKey, continues: Continues, place: Place) -> Result<(), Finding> {
        if !self.is_ours(subject) {
            return Ok(());
        }
        let says = continues.earlier.map(|earlier| earlier.0);
        let really = match self.uses.get(&subject) {
            Some(Use::Freed(before)) => Some(*before),
            // That it is not taken is looked at for all alike.
            Some(Use::Taken(_)) => return Ok(()),
            None => None,
        };
        if says == really {
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
        for (records, ids_max, expected) in [(0, 10, 1), (5, 10, 1), (6, 10, 2), (50, 10, 10), (u64::MAX, 1 << 60, 16)]
        {
            assert_eq!(part_count(records, ids_max), expected, "{records} records, {ids_max} ids in memory");
        }
    }
}
