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
//!
//! What a store on disk detects by itself, and what it leaves to the mark (see [`Store::write_mark`]) and to the
//! reader of the journal, is listed in `rocks.rs`.

pub mod checked;
#[cfg(feature = "rocksdb")]
mod direct;
pub mod directory;
pub mod faults;
pub mod giving_up;
pub mod mark;
pub mod memory;
#[cfg(feature = "rocksdb")]
pub mod rocks;

#[cfg(test)]
mod conformance;
#[cfg(test)]
#[cfg(feature = "rocksdb")]
mod rocks_disk_tests;
#[cfg(test)]
#[cfg(feature = "rocksdb")]
mod rocks_emptying_tests;

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    /// Those that hold nothing that the journal cannot give again.
    pub const DERIVED: [Self; 2] = [Self::State, Self::Ids];

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

    /// Whether the journal can give again what the space holds.
    #[must_use]
    pub fn is_derived(self) -> bool {
        Self::DERIVED.contains(&self)
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
    Put {
        /// Where the key lives.
        space: Space,
        /// The key; may be empty.
        key: Vec<u8>,
        /// The value; may be empty.
        value: Vec<u8>,
    },
    /// Remove `key`; absent is fine.
    Delete {
        /// Where the key lives.
        space: Space,
        /// The key.
        key: Vec<u8>,
    },
    /// Remove all keys in `from..to`. Nothing happens when `to` is not after `from`.
    DeleteRange {
        /// Where the keys live.
        space: Space,
        /// The first key removed.
        from: Vec<u8>,
        /// The first key kept.
        to: Vec<u8>,
    },
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

    /// Visits keys in order from `from`, until the visitor breaks or the space ends. The visitor sees the space as it was
    /// when the scan began, may be called after a later write has returned, and may itself use the store.
    ///
    /// # Errors
    /// When the bytes cannot be read or are damaged.
    fn scan(&self, space: Space, from: &[u8], direction: Direction, visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// Visits the keys from `from` on and before `to`, or to the end of the space, as [`Store::scan`] does forward: for whoever
    /// is going to read much, once. Bytes are read ahead, and displace nothing that lookups keep in memory.
    ///
    /// # Errors
    /// As [`Store::scan`].
    fn sweep(&self, space: Space, from: &[u8], to: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.scan(space, from, Direction::Forward, &mut |key, value| {
            if to.is_some_and(|to| key >= to) { ControlFlow::Break(()) } else { visit(key, value) }
        })
    }

    /// Empties a space that the journal can give again, durably, whatever is damaged in it: nothing that it held is read, by
    /// this or by anything later. Nobody else uses the space meanwhile. After a crash it holds what it held, or nothing; where
    /// a store has no way of its own, any part of it.
    ///
    /// # Errors
    /// When it cannot; the store must not be used further.
    ///
    /// # Panics
    /// When the space is none of [`Space::DERIVED`].
    fn empty(&self, space: Space) -> Result<(), StoreError> {
        delete_all(self, space)
    }

    /// Replaces the mark: a few bytes kept and synced apart from everything else, so that they can prove that the rest
    /// is complete. Atomic: after a crash the old or the new mark is read.
    ///
    /// # Errors
    /// When the write or the sync fails; the store must not be used further.
    ///
    /// # Panics
    /// When the mark is longer than [`crate::limits::MARK_BYTES_MAX`].
    fn write_mark(&self, mark: &[u8]) -> Result<(), StoreError>;

    /// The last mark, if one was ever written.
    ///
    /// # Errors
    /// When neither copy of the mark can be read whole.
    fn read_mark(&self) -> Result<Option<Vec<u8>>, StoreError>;

    /// Where the bytes are kept, as messages name it: the path of the data directory, if there is one.
    fn place(&self) -> String {
        "memory".to_owned()
    }
}

/// Empties a space by deleting what is in it: for a store in which nothing can be damaged, or nothing but single keys.
fn delete_all(store: &(impl Store + ?Sized), space: Space) -> Result<(), StoreError> {
    assert!(space.is_derived(), "the journal cannot give {} again", space.name());
    let mut batch = Batch::default();
    // No key of a run is as long as this, and none of an entity begins so: all of them are below it.
    batch.delete_range(space, [], [u8::MAX; 16]);
    store.write(&batch, Durability::Deferred)?;
    store.flush(space)
}

/// A shared store is a store, so that wrappers and their users can hold the same one.
impl<S: Store + ?Sized> Store for Arc<S> {
    fn write(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError> {
        (**self).write(batch, durability)
    }

    fn flush(&self, space: Space) -> Result<(), StoreError> {
        (**self).flush(space)
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).get(space, key)
    }

    fn scan(&self, space: Space, from: &[u8], direction: Direction, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        (**self).scan(space, from, direction, visit)
    }

    fn sweep(&self, space: Space, from: &[u8], to: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        (**self).sweep(space, from, to, visit)
    }

    fn empty(&self, space: Space) -> Result<(), StoreError> {
        (**self).empty(space)
    }

    fn write_mark(&self, mark: &[u8]) -> Result<(), StoreError> {
        (**self).write_mark(mark)
    }

    fn read_mark(&self) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).read_mark()
    }

    fn place(&self) -> String {
        (**self).place()
    }
}

/// What is damaged, as far as an error tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// What this space holds.
    In(Space),
    /// Something, or more than one space.
    Somewhere,
}

/// Why a store cannot be opened or used. `Display` is a sentence for an operator.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the data directory.
    #[error("the data directory {path} is in use by another process")]
    Locked {
        /// The data directory.
        path: PathBuf,
    },
    /// The directory or a file in it may not be read or written.
    #[error("the data directory {path} cannot be written or opened by this user: {reason}")]
    ReadOnly {
        /// The data directory or the file in it.
        path: PathBuf,
        /// What the operating system said.
        reason: String,
    },
    /// No space left on the device.
    #[error("no space is left on the device that holds {path}")]
    DiskFull {
        /// The data directory or the file in it.
        path: PathBuf,
    },
    /// Bytes are not what was written.
    #[error("the data in {path} is damaged{}: {reason}", in_words(.space))]
    Damaged {
        /// The data directory or the file in it.
        path: PathBuf,
        /// The space whose bytes they are, where that is known.
        space: Option<Space>,
        /// What is wrong with which part.
        reason: String,
    },
    /// Any other failure of the disk or the operating system.
    #[error("input or output failed on {path} during {operation}: {reason}")]
    Io {
        /// The data directory or the file in it.
        path: PathBuf,
        /// What was being done, as a noun phrase.
        operation: &'static str,
        /// What the operating system or the engine said.
        reason: String,
    },
    /// An earlier operation failed; the store has latched and the process must restart and recover.
    #[error("the store stopped after an earlier failure: {first}")]
    Latched {
        /// The first failure, as it was displayed.
        first: String,
    },
}

/// Where the damage is, as a part of a sentence.
fn in_words(space: &Option<Space>) -> &'static str {
    match space {
        Some(Space::Meta) => " in the space meta",
        Some(Space::Journal) => " in the space journal",
        Some(Space::State) => " in the space state",
        Some(Space::Ids) => " in the space ids",
        None => "",
    }
}

impl StoreError {
    /// What is damaged, if that is what it says.
    #[must_use]
    pub fn damage(&self) -> Option<Damage> {
        match self {
            Self::Damaged { space, .. } => Some(space.map_or(Damage::Somewhere, Damage::In)),
            Self::Locked { .. }
            | Self::ReadOnly { .. }
            | Self::DiskFull { .. }
            | Self::Io { .. }
            | Self::Latched { .. } => None,
        }
    }

    /// The same, with the space that damage lies in, if it is damage and does not say so yet.
    #[must_use]
    pub fn in_space(self, found: Space) -> Self {
        match self {
            Self::Damaged { path, space: None, reason } => Self::Damaged { path, space: Some(found), reason },
            other => other,
        }
    }

    /// Classifies a failure of the operating system. `path` is what was touched, `operation` a noun phrase.
    #[must_use]
    pub fn from_io(path: &Path, operation: &'static str, error: &io::Error) -> Self {
        let path = path.to_path_buf();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::ReadOnly { path, reason: error.to_string() }
            }
            _ => Self::Io { path, operation, reason: error.to_string() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of the operating system's errors; tests run as root, for whom permission bits mean nothing.
    const ACCESS_DENIED: i32 = 13;
    const NO_SPACE: i32 = 28;
    const READ_ONLY_FILE_SYSTEM: i32 = 30;
    const BAD_SECTOR: i32 = 5;

    fn classify(number: i32) -> StoreError {
        StoreError::from_io(Path::new("/data"), "a write", &io::Error::from_raw_os_error(number))
    }

    #[test]
    fn the_operating_systems_errors_are_told_apart() {
        assert!(matches!(classify(ACCESS_DENIED), StoreError::ReadOnly { .. }));
        assert!(matches!(classify(READ_ONLY_FILE_SYSTEM), StoreError::ReadOnly { .. }));
        assert!(matches!(classify(NO_SPACE), StoreError::DiskFull { .. }));
        assert!(matches!(classify(BAD_SECTOR), StoreError::Io { .. }));
    }

    #[test]
    fn errors_read_as_sentences_for_an_operator() {
        assert_eq!(classify(NO_SPACE).to_string(), "no space is left on the device that holds /data");
        assert!(classify(BAD_SECTOR).to_string().starts_with("input or output failed on /data during a write: "));
        assert!(
            classify(READ_ONLY_FILE_SYSTEM)
                .to_string()
                .starts_with("the data directory /data cannot be written or opened by this user: ")
        );
    }

    #[test]
    fn damage_says_in_which_space_it_lies_where_that_is_known() {
        let damaged = StoreError::Damaged { path: "/data".into(), space: None, reason: "a bit".to_owned() };
        assert_eq!(damaged.to_string(), "the data in /data is damaged: a bit");
        assert_eq!(damaged.damage(), Some(Damage::Somewhere));
        let damaged = damaged.in_space(Space::Ids);
        assert_eq!(damaged.to_string(), "the data in /data is damaged in the space ids: a bit");
        assert_eq!(damaged.in_space(Space::State).damage(), Some(Damage::In(Space::Ids)), "it was known before");
        assert_eq!(classify(BAD_SECTOR).in_space(Space::Ids).damage(), None, "a failed disk is no damage");
    }

    #[test]
    fn what_the_journal_holds_or_rests_on_is_not_derived() {
        assert_eq!(Space::ALL.map(Space::is_derived), [false, false, true, true]);
    }

    #[test]
    fn names_of_spaces_never_change() {
        assert_eq!(Space::ALL.map(Space::name), ["meta", "journal", "state", "ids"]);
    }
}
