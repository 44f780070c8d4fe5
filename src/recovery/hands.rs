//! Whoever applies the records of some shards: decodes them, gathers their ids, changes accounts and cells.
//!
//! What must stay true: the records of a shard are applied in their order, up to the first that does not fit; a record is
//! decoded with the items that the journal defined before it, whatever else is known by now.

use crate::codec::DecodeError;
use crate::journal::JournalError;
use crate::journal::dictionary::Dictionary;
use crate::journal::frame::RecordView;
use crate::journal::record::{Entry, Record, decode_with};
use crate::ledger::packed::Unpacked;
use crate::ledger::types::{Position, Seq, ShardId};
use crate::replay::{Lane, record_error};

use super::entering::Entering;

/// Records that are decoded before the first of them is applied, so that the waits for memory of their accounts overlap.
const LOOKED_AHEAD: usize = 16;

/// Records of some shards, in the order of the journal, and all of them up to a position.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    records: Vec<Filed>,
    /// One past the last record that was looked at.
    pub(super) end: Position,
}

/// A record whose bytes lie in a batch.
#[derive(Clone, Copy, Debug)]
struct Filed {
    position: Position,
    shard: ShardId,
    seq: Seq,
    /// Where its bytes begin in the frame.
    offset: usize,
    /// Where its bytes begin in the batch, and how many they are.
    from: usize,
    length: usize,
    /// Items that the journal defined before it.
    item_count: usize,
}

impl Batch {
    /// Adds a record, before which so many items were defined.
    pub(super) fn file(&mut self, view: &RecordView<'_>, item_count: usize) {
        let RecordView { position, shard, seq, offset, bytes } = *view;
        self.records.push(Filed {
            position,
            shard,
            seq,
            offset,
            from: self.bytes.len(),
            length: bytes.len(),
            item_count,
        });
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes of its records.
    pub(super) fn byte_count(&self) -> usize {
        self.bytes.len()
    }

    /// Makes room for others.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
    }

    fn view(&self, filed: &Filed) -> RecordView<'_> {
        let Filed { position, shard, seq, offset, .. } = *filed;
        let bytes = &self.bytes[filed.from..filed.from + filed.length];
        RecordView { position, shard, seq, offset, bytes }
    }
}

/// Where replay cannot go on, and why.
#[derive(Debug)]
pub(super) struct Stop {
    /// The record that cannot be right.
    pub(super) position: Position,
    /// What is wrong.
    pub(super) error: JournalError,
}

/// Applies the records of some shards.
pub(super) struct Hand<'a> {
    lane: Lane<'a>,
    dictionary: &'a Dictionary,
    entering: Option<Entering<'a>>,
    unpacked: Unpacked,
}

impl<'a> Hand<'a> {
    /// For the shards of this lane.
    pub(super) fn new(lane: Lane<'a>, dictionary: &'a Dictionary, entering: Option<Entering<'a>>) -> Self {
        Self { lane, dictionary, entering, unpacked: Unpacked::default() }
    }

    /// Applies the records of a batch, and enters their ids.
    pub(super) fn take(&mut self, batch: &Batch) -> Result<(), Stop> {
        let mut decoded = Vec::with_capacity(LOOKED_AHEAD);
        for records in batch.records.chunks(LOOKED_AHEAD) {
            self.decode(batch, records, &mut decoded);
            if let Some(entering) = &mut self.entering {
                let entries = records
                    .iter()
                    .zip(&decoded)
                    .filter_map(|(filed, entry)| entry.as_ref().ok().map(|entry| (filed.position, &**entry)));
                entering.gather(self.dictionary, entries);
            }
            for (filed, entry) in records.iter().zip(decoded.drain(..)) {
                let view = batch.view(filed);
                let applied = entry.and_then(|entry| self.lane.apply(&view, &entry, &mut self.unpacked));
                applied.map_err(|fault| Stop { position: view.position, error: record_error(&view, fault) })?;
            }
        }
        if let Some(entering) = &mut self.entering {
            entering.enter();
        }
        Ok(())
    }

    fn decode(&mut self, batch: &Batch, records: &[Filed], decoded: &mut Vec<Result<Box<Entry>, DecodeError>>) {
        let items = self.dictionary.items();
        for filed in records {
            let known = items.get(..filed.item_count).unwrap_or(&items);
            decoded.push(match decode_with(batch.view(filed).bytes, known) {
                Ok(Record::Entry(entry)) => Ok(entry),
                // What is not about an account belongs to the control shard.
                Ok(_) => Err(DecodeError::Contradiction),
                Err(fault) => Err(fault),
            });
        }
        drop(items);
        let accounts = records.iter().zip(decoded).filter_map(|(filed, entry)| {
            let shard = self.lane.shard(filed.shard)?;
            Some(shard.packed(entry.as_ref().ok()?.account)?.touch())
        });
        std::hint::black_box(accounts.fold(0, |mix, word| mix ^ word));
    }
}
