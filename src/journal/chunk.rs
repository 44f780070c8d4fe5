//! Chunks: the records that one worker (or the control shard) hands to the committer at once.
//!
//! What must stay true: after [`Chunk::close`] the records lie shard by shard, in the order of their numbers; the slot
//! of a record is its place in the order in which the worker decided, by which the worker finds whom to answer.

use crate::ledger::types::{Seq, ShardId};

/// Where a record lies in its chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordRef {
    /// The shard.
    pub shard: ShardId,
    /// The number in the shard.
    pub seq: Seq,
    /// First byte.
    pub start: u32,
    /// Bytes.
    pub length: u32,
    /// Which record of the chunk it was, in the order of deciding.
    pub slot: u32,
}

/// Encoded records on their way to the committer. Reused: [`Chunk::clear`] keeps the memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    bytes: Vec<u8>,
    records: Vec<RecordRef>,
}

impl Chunk {
    /// Appends a record that `encode` writes.
    ///
    /// # Panics
    /// When the chunk has grown past 4 GiB, which the limits exclude.
    pub fn push(&mut self, shard: ShardId, seq: Seq, encode: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        encode(&mut self.bytes);
        let number = |length: usize| u32::try_from(length).expect("a chunk is bounded");
        let length = number(self.bytes.len() - start);
        let slot = number(self.records.len());
        self.records.push(RecordRef { shard, seq, start: number(start), length, slot });
    }

    /// Sorts the records by shard; within a shard they keep their order. Allocates nothing.
    pub fn close(&mut self) {
        self.records.sort_unstable_by_key(|record| (record.shard, record.seq));
    }

    /// The records; after `close`, in the order of their positions.
    #[must_use]
    pub fn records(&self) -> &[RecordRef] {
        &self.records
    }

    /// The bytes of one record.
    #[must_use]
    pub fn bytes_of(&self, record: &RecordRef) -> &[u8] {
        let start = record.start as usize;
        &self.bytes[start..start + record.length as usize]
    }

    /// Bytes of all records.
    #[must_use]
    pub fn byte_count(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Empties the chunk, keeping its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
    }
}
