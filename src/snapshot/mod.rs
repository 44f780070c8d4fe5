//! Fuzzy snapshots: entities are copied in small slices while the ledger goes on, each with the number of its last
//! record; recovery loads them, replays the journal from the marker's position, and skips per entity what it has.
//!
//! What must stay true:
//! - a slice is written only when everything it shows is durable, so that a snapshot never knows more than the journal;
//! - the marker is written last, after the slices were flushed, and flushed itself; until then the marker before it holds.
//!   A new one never lies in the store's log: a copy of a running store may take the log later than the tables of the slices;
//! - every entity that changed before the marker's position is in the state space as it was then or later;
//! - of a run that a crash cut short anything may be left, in gaps: all of it was durable, so replay brings it again;
//! - the first snapshot begins with an empty state space: where there is no marker, what lies there may be of a snapshot that
//!   was discarded because it was not true, and loading believes all that it finds.

pub mod accounts;
pub mod cursor;
pub mod entity;
pub mod forgotten;
pub mod key_uses;

use std::ops::ControlFlow;

use crate::codec::{DecodeError, Reader, put_unsigned};
use crate::ledger::types::{Position, TimestampNs};
use crate::store::{Batch, Direction, Durability, Space, Store, StoreError};

/// The key of the marker in the meta space.
const MARKER_KEY: &[u8] = b"snapshot-marker";
const MARKER_FORMAT: u8 = 1;
/// The format of a marker that promises changes of keys too.
const MARKER_FORMAT_WITH_KEYS: u8 = 2;
/// The format of a marker that promises freezes and proposals too.
const MARKER_FORMAT_WITH_FREEZES: u8 = 3;

/// What a finished snapshot guarantees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marker {
    /// Replay begins here: every change before it is in the state space.
    pub start: Position,
    /// When the snapshot was finished.
    pub finished_at: TimestampNs,
    /// Entities that this snapshot wrote.
    pub entity_count: u64,
    /// Strings, items and versions of the programme from the first on that the state space holds.
    pub saved: Saved,
}

/// What the state space holds of the control shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// Strings.
    pub symbol_count: u32,
    /// Items.
    pub item_count: u32,
    /// Versions of the programme.
    pub version_count: u32,
    /// Changes of keys.
    pub key_change_count: u32,
    /// Freezes and thaws.
    pub freeze_change_count: u32,
    /// Proposals and verdicts.
    pub proposal_change_count: u32,
}

impl Marker {
    /// Writes the marker, and returns when it is durable. The slices must have been flushed before.
    ///
    /// # Errors
    /// When the store fails.
    pub fn write(&self, store: &dyn Store) -> Result<(), StoreError> {
        self.write_with(Batch::default(), store)
    }

    /// As [`Marker::write`], with what else comes to the meta space: neither is ever there without the other.
    ///
    /// # Errors
    /// When the store fails.
    pub fn write_with(&self, mut batch: Batch, store: &dyn Store) -> Result<(), StoreError> {
        let has_freezes = self.saved.freeze_change_count > 0 || self.saved.proposal_change_count > 0;
        let has_keys = has_freezes || self.saved.key_change_count > 0;
        let mut bytes = vec![match (has_freezes, has_keys) {
            (true, _) => MARKER_FORMAT_WITH_FREEZES,
            (false, true) => MARKER_FORMAT_WITH_KEYS,
            (false, false) => MARKER_FORMAT,
        }];
        put_unsigned(&mut bytes, self.start.0);
        bytes.extend_from_slice(&self.finished_at.0.to_le_bytes());
        put_unsigned(&mut bytes, self.entity_count);
        for count in [self.saved.symbol_count, self.saved.item_count, self.saved.version_count] {
            put_unsigned(&mut bytes, u64::from(count));
        }
        if has_keys {
            put_unsigned(&mut bytes, u64::from(self.saved.key_change_count));
        }
        if has_freezes {
            put_unsigned(&mut bytes, u64::from(self.saved.freeze_change_count));
            put_unsigned(&mut bytes, u64::from(self.saved.proposal_change_count));
        }
        batch.put(Space::Meta, MARKER_KEY, bytes);
        store.write(&batch, Durability::Deferred)?;
        store.flush(Space::Meta)
    }

    /// Reads the marker; `None` when no snapshot was ever finished.
    ///
    /// # Errors
    /// When the store fails or the marker is damaged.
    pub fn read(store: &dyn Store) -> Result<Option<Self>, SnapshotError> {
        let Some(bytes) = store.get(Space::Meta, MARKER_KEY)? else { return Ok(None) };
        let parse = || -> Result<Self, DecodeError> {
            let mut reader = Reader::new(&bytes);
            let (has_keys, has_freezes) = match reader.byte()? {
                MARKER_FORMAT => (false, false),
                MARKER_FORMAT_WITH_KEYS => (true, false),
                MARKER_FORMAT_WITH_FREEZES => (true, true),
                _ => return Err(DecodeError::UnknownTag),
            };
            let mut marker = Self {
                start: Position(reader.unsigned()?),
                finished_at: TimestampNs(i64::from_le_bytes(reader.array()?)),
                entity_count: reader.unsigned()?,
                saved: Saved {
                    symbol_count: reader.number()?,
                    item_count: reader.number()?,
                    version_count: reader.number()?,
                    key_change_count: 0,
                    freeze_change_count: 0,
                    proposal_change_count: 0,
                },
            };
            if has_keys {
                marker.saved.key_change_count = reader.number()?;
            }
            if has_freezes {
                marker.saved.freeze_change_count = reader.number()?;
                marker.saved.proposal_change_count = reader.number()?;
            }
            reader.finish()?;
            Ok(marker)
        };
        parse().map(Some).map_err(|fault| SnapshotError::Marker { fault })
    }
}

/// Forgets the snapshot, whatever is damaged in it: the next recovery replays the journal from its beginning, and the next snapshot is a whole one.
///
/// # Errors
/// When the store fails; then the snapshot is forgotten or as it was.
pub fn discard(store: &dyn Store) -> Result<(), StoreError> {
    let mut batch = Batch::default();
    batch.delete(Space::Meta, MARKER_KEY);
    batch.delete(Space::Meta, accounts::KEY);
    batch.delete(Space::Meta, forgotten::KEY);
    // First and by itself: entities without a marker are nothing, a marker without them is a snapshot with gaps.
    store.write(&batch, Durability::Synced)?;
    store.empty(Space::State)
}

/// Clears the state space where no snapshot was ever finished, or the last was forgotten and a crash came between: the next
/// one would take over whatever lies there.
///
/// # Errors
/// When the store fails, or the marker is damaged; then nothing is cleared.
pub fn clear_leftovers(store: &dyn Store) -> Result<(), SnapshotError> {
    if Marker::read(store)?.is_some() {
        return Ok(());
    }
    let mut is_empty = true;
    let scanned = store.scan(Space::State, &[], Direction::Forward, &mut |_, _| {
        is_empty = false;
        ControlFlow::Break(())
    });
    // What cannot be read is something too, and nobody's.
    if scanned.is_err() || !is_empty {
        store.empty(Space::State)?;
    }
    Ok(())
}

/// Why a snapshot cannot be read. The journal can always replace it: see [`discard`].
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The marker is damaged.
    #[error("the snapshot's marker is damaged: {fault}")]
    Marker {
        /// What is wrong.
        fault: DecodeError,
    },
    /// The day up to which cells were forgotten is damaged.
    #[error("what the snapshot notes of which cells were forgotten is damaged: {fault}")]
    Forgotten {
        /// What is wrong.
        fault: DecodeError,
    },
    /// The numbers of accounts are damaged.
    #[error("what the snapshot notes of how many accounts it has is damaged: {fault}")]
    Accounts {
        /// What is wrong.
        fault: DecodeError,
    },
    /// Entities are missing.
    #[error("the snapshot lacks what its marker promises: it has {found:?} instead of {promised:?}")]
    Incomplete {
        /// What the marker promises.
        promised: Saved,
        /// What is there without gaps.
        found: Saved,
    },
    /// An entity is damaged.
    #[error("the snapshot's entity with key {key} is damaged: {fault}")]
    Entity {
        /// The key, in hexadecimal digits.
        key: String,
        /// What is wrong.
        fault: DecodeError,
    },
}
