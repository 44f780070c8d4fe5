//! Finding single records: by position, and from a record of an account back to the account's previous one.
//!
//! What must stay true: nothing here decides or changes; a record that should be there and is not is damage, never
//! silently the end of an account's history.

use std::ops::ControlFlow;

use super::dictionary::Dictionary;
use super::frame::{FrameView, RecordView};
use super::record::{Entry, PreviousRecord, Record, decode};
use super::{Journal, JournalError};
use crate::codec::DecodeError;
use crate::ledger::types::{Position, Seq, ShardId};

/// A record with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Its position.
    pub position: Position,
    /// Its shard.
    pub shard: ShardId,
    /// Its number in the shard.
    pub seq: Seq,
    /// Its content.
    pub record: Record,
}

impl Located {
    /// The content, if it is a command of an account.
    #[must_use]
    pub fn entry(&self) -> Option<&Entry> {
        match &self.record {
            Record::Entry(entry) => Some(entry),
            Record::Opening(_)
            | Record::Symbol(..)
            | Record::Item(..)
            | Record::Program(_)
            | Record::Key(_)
            | Record::Freeze(_)
            | Record::Proposal(_) => None,
        }
    }
}

/// The record at a position; `None` beyond the end of the journal.
///
/// # Errors
/// When the frame cannot be read or is damaged.
pub fn record_at(
    journal: &dyn Journal,
    dictionary: &Dictionary,
    position: Position,
) -> Result<Option<Located>, JournalError> {
    let (found, _) = find_in_frame(journal, dictionary, position, &|view| view.position == position)?;
    Ok(found)
}

/// The record of the same account before this one; `None` for its first.
///
/// # Errors
/// When a frame cannot be read, is damaged, or does not hold what the record says.
pub fn previous(
    journal: &dyn Journal,
    dictionary: &Dictionary,
    located: &Located,
) -> Result<Option<Located>, JournalError> {
    let Some(entry) = located.entry() else { return Ok(None) };
    let found = match entry.previous {
        PreviousRecord::None => return Ok(None),
        PreviousRecord::At(position) => record_at(journal, dictionary, position)?,
        PreviousRecord::Back(distance) => {
            let seq = located.seq.0.checked_sub(distance).map(Seq);
            let seq = seq.ok_or_else(|| contradiction(located))?;
            record_before(journal, dictionary, located, seq)?
        }
    };
    let same_account = found
        .as_ref()
        .is_some_and(|found| found.shard == located.shard && found.entry().map(|e| e.account) == Some(entry.account));
    if same_account { Ok(found) } else { Err(contradiction(located)) }
}

/// The record of the same shard with a lower number, searched backwards frame by frame from where `located` lies.
fn record_before(
    journal: &dyn Journal,
    dictionary: &Dictionary,
    located: &Located,
    seq: Seq,
) -> Result<Option<Located>, JournalError> {
    let mut within = located.position;
    loop {
        let is_wanted = |view: &RecordView<'_>| view.shard == located.shard && view.seq == seq;
        let (found, frame_start) = find_in_frame(journal, dictionary, within, &is_wanted)?;
        if found.is_some() {
            return Ok(found);
        }
        let Some(before) = frame_start.and_then(|start| start.0.checked_sub(1)) else { return Ok(None) };
        within = Position(before);
    }
}

/// What is wanted of the frame that holds a position, and where that frame begins.
fn find_in_frame(
    journal: &dyn Journal,
    dictionary: &Dictionary,
    within: Position,
    is_wanted: &dyn Fn(&RecordView<'_>) -> bool,
) -> Result<(Option<Located>, Option<Position>), JournalError> {
    let mut found = None;
    let mut start = None;
    journal.read(within, &mut |frame: &FrameView<'_>| {
        if frame.header.position <= within && within < frame.end() {
            start = Some(frame.header.position);
            frame.for_each(|view| -> Result<(), JournalError> {
                if is_wanted(view) {
                    let record = decode(view.bytes, dictionary).map_err(|fault| damaged(view, fault))?;
                    let RecordView { position, shard, seq, .. } = *view;
                    found = Some(Located { position, shard, seq, record });
                }
                Ok(())
            })?;
        }
        Ok(ControlFlow::Break(()))
    })?;
    Ok((found, start))
}

/// Names the place of a record that cannot be read.
pub(super) fn damaged(view: &RecordView<'_>, fault: DecodeError) -> JournalError {
    JournalError::Record { position: view.position, from: view.offset, to: view.offset + view.bytes.len(), fault }
}

fn contradiction(located: &Located) -> JournalError {
    JournalError::Record { position: located.position, from: 0, to: 0, fault: DecodeError::Contradiction }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::chunk::Chunk;
    use crate::journal::frame::Chain;
    use crate::journal::log::StoreJournal;
    use crate::journal::record::{EntryHeader, encode_entry};
    use crate::ledger::command::{Basket, Command, CommandKind, Line};
    use crate::ledger::decision::{Decision, LineOutcome};
    use crate::ledger::program::LineClass;
    use crate::ledger::types::{AccountNumber, Day, Item, ItemId, SymbolId, TimestampNs};
    use crate::store::memory::MemoryStore;
    use std::sync::Arc;

    fn push(chunk: &mut Chunk, shard: u16, seq: u64, account: u32, previous: PreviousRecord) {
        let line = Line { item_id: ItemId(0), item: Item::default(), quantity: 1, amount_minor: 1 };
        let basket = Basket {
            store: SymbolId::EMPTY,
            terminal: SymbolId::EMPTY,
            cashier: SymbolId::EMPTY,
            receipt_number: "1".into(),
            business_day: Day(0),
            receipt_at: TimestampNs(0),
            lines: vec![line],
            ..Basket::default()
        };
        let command = Command {
            account_id: format!("{shard}-{account}"),
            transaction_id: format!("{shard}-{seq}"),
            partner: SymbolId::EMPTY,
            kind: CommandKind::Accrue(basket),
            ..Command::default()
        };
        let lines = vec![LineOutcome { class: LineClass::Base }];
        let mut decision = Decision { account_known: true, lines, ..Decision::default() };
        decision.effects.opens_account = previous == PreviousRecord::None;
        let header = EntryHeader { previous, account: AccountNumber(account), posted_at: TimestampNs(0) };
        chunk.push(ShardId(shard), Seq(seq), |out| encode_entry(out, &header, &command, &decision));
    }

    /// Commits that begin at positions 0, 3, 5 and 7, each a frame of its own.
    fn journal() -> StoreJournal {
        let journal = StoreJournal::new(Arc::new(MemoryStore::new()));
        let mut chain = Chain { epoch: 1, next: Position(0), hash: [0; 32] };
        let commits: [&[(u16, u64, u32, PreviousRecord)]; 4] = [
            &[(4, 1, 0, PreviousRecord::None), (4, 2, 1, PreviousRecord::None), (7, 1, 0, PreviousRecord::None)],
            &[(7, 2, 1, PreviousRecord::None), (7, 3, 1, PreviousRecord::Back(1))],
            &[(4, 3, 0, PreviousRecord::Back(2)), (7, 4, 0, PreviousRecord::At(Position(2)))],
            &[(4, 4, 0, PreviousRecord::At(Position(5))), (4, 5, 1, PreviousRecord::At(Position(0)))],
        ];
        for commit in commits {
            let mut chunk = Chunk::default();
            for (shard, seq, account, previous) in commit {
                push(&mut chunk, *shard, *seq, *account, *previous);
            }
            chunk.close();
            let mut frames = Vec::new();
            chain.assemble(std::iter::once(&chunk), TimestampNs(0), &mut frames);
            journal.append(&frames).unwrap();
        }
        journal
    }

    fn positions_back_from(position: u64) -> Vec<u64> {
        let (journal, dictionary) = (journal(), Dictionary::new());
        let mut current = record_at(&journal, &dictionary, Position(position)).unwrap();
        let mut seen = Vec::new();
        while let Some(located) = current {
            seen.push(located.position.0);
            current = previous(&journal, &dictionary, &located).unwrap();
        }
        seen
    }

    #[test]
    fn an_accounts_records_are_found_back_to_its_first() {
        assert_eq!(positions_back_from(7), [7, 5, 0], "by position, then by distance over two frames");
        assert_eq!(positions_back_from(6), [6, 2]);
        assert_eq!(positions_back_from(4), [4, 3], "within one frame");
        assert_eq!(positions_back_from(0), [0]);
    }

    #[test]
    fn beyond_the_end_there_is_nothing() {
        let (journal, dictionary) = (journal(), Dictionary::new());
        assert_eq!(record_at(&journal, &dictionary, Position(9)).unwrap(), None);
        assert_eq!(record_at(&journal, &dictionary, Position(u64::MAX)).unwrap(), None);
        let empty = StoreJournal::new(Arc::new(MemoryStore::new()));
        assert_eq!(record_at(&empty, &dictionary, Position(0)).unwrap(), None);
    }

    #[test]
    fn a_step_into_another_accounts_record_is_damage() {
        let (journal, dictionary) = (journal(), Dictionary::new());
        let located = record_at(&journal, &dictionary, Position(8)).unwrap().unwrap();
        let error = previous(&journal, &dictionary, &located).unwrap_err();
        assert!(error.to_string().contains("the record at position 8"), "{error}");
    }
}
