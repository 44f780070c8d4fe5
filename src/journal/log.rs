//! The embedded journal: frames in a store, keyed by position.
//!
//! What must stay true: one append is one atomic synced batch; keys only grow; the high-water mark is written apart
//! from the frames and never names a frame that is not durable.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::frame::{Frame, FrameError, FrameFault, FrameHash, FrameView};
use super::{Journal, JournalError, VisitFrame};
use crate::ledger::types::Position;
use crate::store::{Batch, Direction, Durability, Space, Store, StoreError, Visit};

/// Frames in a store.
pub struct StoreJournal {
    store: Arc<dyn Store>,
    epoch: AtomicU64,
}

/// What the high-water mark says: every record before `end` is durable, and the frame that ends there has this hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HighWater {
    /// One past the last record.
    pub end: Position,
    /// The hash of the last frame.
    pub hash: FrameHash,
}

impl HighWater {
    /// As it is kept: the end, and the hash.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        [self.end.0.to_le_bytes().as_slice(), &self.hash].concat()
    }
}

impl StoreJournal {
    /// The journal in this store. It appends nothing before [`Journal::fence`] was called.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, epoch: AtomicU64::new(0) }
    }

    /// Visits frames as [`Journal::read`] does, for whoever is going to read many: see [`Store::sweep`].
    ///
    /// # Errors
    /// As [`Journal::read`].
    pub fn sweep(&self, from: Position, visit: &mut VisitFrame<'_>) -> Result<(), JournalError> {
        let start = self.start_of(from)?;
        judging(visit, |visit| self.store.sweep(Space::Journal, &start, None, visit))
    }

    /// The key of the frame that holds this position, or where one would be.
    fn start_of(&self, position: Position) -> Result<Vec<u8>, JournalError> {
        let mut start = position.0.to_be_bytes().to_vec();
        self.store.scan(Space::Journal, &start.clone(), Direction::Backward, &mut |key, _| {
            start = key.to_vec();
            ControlFlow::Break(())
        })?;
        Ok(start)
    }

    /// Writes the high-water mark.
    ///
    /// # Errors
    /// When the store fails.
    pub fn write_high_water(&self, mark: &HighWater) -> Result<(), JournalError> {
        Ok(self.store.write_mark(&mark.encode())?)
    }

    /// The high-water mark, if one was written.
    ///
    /// # Errors
    /// When the store fails.
    ///
    /// # Panics
    /// Never: the store hands back the mark whole or fails.
    pub fn read_high_water(&self) -> Result<Option<HighWater>, JournalError> {
        Ok(self.store.read_mark()?.and_then(|bytes| {
            let (end, hash) = bytes.split_first_chunk::<8>()?;
            Some(HighWater { end: Position(u64::from_le_bytes(*end)), hash: hash.try_into().ok()? })
        }))
    }

    /// Checks that nothing that the mark vouches for is missing or replaced.
    ///
    /// # Errors
    /// [`JournalError::Missing`] or [`JournalError::Replaced`], or when the store fails.
    pub fn check_high_water(&self) -> Result<(), JournalError> {
        let Some(mark) = self.read_high_water()? else { return Ok(()) };
        let (end, _) = self.end()?;
        if end < mark.end {
            return Err(JournalError::Missing { place: self.store.place(), end, high_water: mark.end });
        }
        if mark.end == Position(0) {
            return Ok(());
        }
        let mut fits = false;
        self.read(Position(mark.end.0 - 1), &mut |view| {
            fits = view.end() == mark.end && view.hash == mark.hash;
            Ok(ControlFlow::Break(()))
        })?;
        if fits { Ok(()) } else { Err(JournalError::Replaced(mark.end)) }
    }
}

fn key_of(key: &[u8]) -> Result<Position, JournalError> {
    let array: [u8; 8] = key.try_into().map_err(|_| FrameError {
        position: Position(0),
        from: 0,
        to: key.len(),
        fault: FrameFault::Magic,
    })?;
    Ok(Position(u64::from_be_bytes(array)))
}

/// Has a scan show what it finds to a visitor of frames; the first that cannot be right ends it.
fn judging(
    visit: &mut VisitFrame<'_>,
    scan: impl FnOnce(&mut Visit<'_>) -> Result<(), StoreError>,
) -> Result<(), JournalError> {
    let mut failed = None;
    scan(&mut |key, value| {
        let outcome = key_of(key).and_then(|position| visit(&FrameView::decode(position, value)?));
        outcome.unwrap_or_else(|error| {
            failed = Some(error);
            ControlFlow::Break(())
        })
    })?;
    failed.map_or(Ok(()), Err)
}

impl Journal for StoreJournal {
    fn append(&self, frames: &[Frame]) -> Result<(), JournalError> {
        let mut batch = Batch::default();
        for frame in frames {
            batch.put(Space::Journal, frame.position.0.to_be_bytes(), frame.bytes.as_slice());
        }
        Ok(self.store.write(&batch, Durability::Synced)?)
    }

    fn read(&self, from: Position, visit: &mut VisitFrame<'_>) -> Result<(), JournalError> {
        let start = self.start_of(from)?;
        judging(visit, |visit| self.store.scan(Space::Journal, &start, Direction::Forward, visit))
    }

    fn end(&self) -> Result<(Position, FrameHash), JournalError> {
        let mut last = None;
        self.store.scan(Space::Journal, &[0xff; 8], Direction::Backward, &mut |key, value| {
            last = Some(
                key_of(key).and_then(|position| Ok(FrameView::decode(position, value).map(|v| (v.end(), v.hash))?)),
            );
            ControlFlow::Break(())
        })?;
        last.unwrap_or(Ok((Position(0), [0; 32])))
    }

    fn fence(&self, epoch: u64) -> Result<(), JournalError> {
        let previous = self.epoch.fetch_max(epoch, Ordering::SeqCst);
        if previous > epoch { Err(JournalError::Fenced { ours: epoch, theirs: previous }) } else { Ok(()) }
    }
}
