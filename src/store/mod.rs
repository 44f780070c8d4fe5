//! Bytes in, bytes out: named key spaces, atomic batches and two kinds of durability. Nothing here knows what the
//! bytes mean.
//!
//! What must stay true:
//! - a batch is atomic: after a crash all of it is there or none of it, if it was written [`Durability::Synced`];
//! - when a synced write returns, it and every earlier synced write survive the loss of power;
//! - a [`Durability::Deferred`] write survives once [`Store::flush`] of its space has returned. Before that a crash
//!   may keep any part of it: any subset of the batches, and of a batch any subset of its operations;
//! - reads see every write that has returned, deferred ones included;
//! - after a failed write, flush or sync nothing is retried: [`checked::CheckedStore`] latches (habit: stop for good).

pub mod checked;
pub mod memory;
#[cfg(feature = "rocksdb")]
pub mod rocks;

use std::ops::ControlFlow;
use std::path::PathBuf;

/// A key space with its own files and tuning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// Identity of the data directory and snapshot markers. Few small keys.
    Meta,
    /// Frames, keyed by position, big-endian: append only, never overwritten.
    Journal,
    /// Entities of the fuzzy snapshot, overwritten in place.
    State,
    /// Sorted runs of transaction and receipt ids, written in bulk, deleted whole.
    Ids,
}

impl Space {
    /// All spaces, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Meta, Self::Journal, Self::State, Self::Ids];

    /// The name under which the space is stored; never changes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Journal => "journal",
            Self::State => "state",
            Self::Ids => "ids",
        }
    }
}

/// When a write must survive a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Logged and synced before the call returns.
    Synced,
    /// Not logged; durable only after [`Store::flush`] of the space. Only for what the journal can rebuild.
    Deferred,
}

/// One change in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Set `key` to `value`.
    Put { space: Space, key: Vec<u8>, value: Vec<u8> },
    /// Remove `key`; absent is fine.
    Delete { space: Space, key: Vec<u8> },
    /// Remove all keys in `from..to`.
    DeleteRange { space: Space, from: Vec<u8>, to: Vec<u8> },
}

/// Changes that are applied together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// In order; a later one wins over an earlier one on the same key.
    pub ops: Vec<Op>,
}

impl Batch {
    /// Adds "set `key` to `value`".
    pub fn put(&mut self, space: Space, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.ops.push(Op::Put { space, key: key.into(), value: value.into() });
    }

    /// Adds "remove `key`".
    pub fn delete(&mut self, space: Space, key: impl Into<Vec<u8>>) {
        self.ops.push(Op::Delete { space, key: key.into() });
    }

    /// Adds "remove all keys in `from..to`".
    pub fn delete_range(&mut self, space: Space, from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) {
        self.ops.push(Op::DeleteRange { space, from: from.into(), to: to.into() });
    }
}

/// Direction of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Ascending from the first key at or after the start.
    Forward,
    /// Descending from the last key at or before the start.
    Backward,
}

/// Sees one key and value; stops the scan by returning `Break`.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// A durable ordered map with several key spaces. See the module for the contract.
pub trait Store: Send + Sync + 'static {
    /// Applies a batch atomically.
    ///
    /// # Errors
    /// When the write or the sync fails; the store must not be used further.
    fn write(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError>;

    /// Makes all deferred writes to `space` so far durable.
    ///
    /// # Errors
    /// When it cannot; the store must not be used further.
    fn flush(&self, space: Space) -> Result<(), StoreError>;

    /// The value of `key`.
    ///
    /// # Errors
    /// When the bytes cannot be read or are damaged.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Visits keys in order from `from`, until the visitor breaks or the space ends.
    ///
    /// # Errors
    /// When the bytes cannot be read or are damaged.
    fn scan(&self, space: Space, from: &[u8], direction: Direction, visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// Replaces the mark: a few bytes kept and synced apart from everything else, so that they can prove that the rest
    /// is complete. Atomic: after a crash the old or the new mark is read.
    ///
    /// # Errors
    /// When the write or the sync fails; the store must not be used further.
    fn write_mark(&self, mark: &[u8]) -> Result<(), StoreError>;

    /// The last mark, if one was ever written.
    ///
    /// # Errors
    /// When neither copy of the mark can be read whole.
    fn read_mark(&self) -> Result<Option<Vec<u8>>, StoreError>;
}

/// Why a store cannot be opened or used. `Display` is a sentence for an operator.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the data directory.
    #[error("the data directory {path} is in use by another process")]
    Locked { path: PathBuf },
    /// The directory or a file in it may not be written.
    #[error("the data directory {path} cannot be written: {reason}")]
    ReadOnly { path: PathBuf, reason: String },
    /// No space left on the device.
    #[error("no space is left on the device that holds {path}")]
    DiskFull { path: PathBuf },
    /// Bytes are not what was written.
    #[error("the data in {path} is damaged: {reason}")]
    Damaged { path: PathBuf, reason: String },
    /// Any other failure of the disk or the operating system.
    #[error("input or output failed on {path} during {operation}: {reason}")]
    Io { path: PathBuf, operation: &'static str, reason: String },
    /// An earlier operation failed; the store has latched and the process must restart and recover.
    #[error("the store stopped after an earlier failure: {first}")]
    Latched { first: String },
}
