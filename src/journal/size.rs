//! How many bytes the journal's frames have, exactly: those before this process from a note in the meta space and the
//! frames after it, those of this process by counting.
//!
//! What must stay true: the note is a shortcut only; without it the journal is measured from its beginning.

use std::ops::ControlFlow;
use std::sync::{Mutex, OnceLock};

use super::frame::Frame;
use crate::ledger::types::Position;
use crate::store::{Batch, Direction, Durability, Space, Store, StoreError};

/// The key of the note in the meta space.
const KEY: &[u8] = b"journal-size";

/// How long the journal was at a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// One past the last record.
    pub end: Position,
    /// Bytes of the frames before it.
    pub bytes: u64,
}

impl Extent {
    fn read(store: &dyn Store) -> Result<Option<Self>, StoreError> {
        let noted = store.get(Space::Meta, KEY)?;
        Ok(noted.and_then(|bytes| {
            let (end, bytes) = bytes.split_first_chunk::<8>()?;
            let bytes = u64::from_le_bytes(bytes.try_into().ok()?);
            Some(Self { end: Position(u64::from_le_bytes(*end)), bytes })
        }))
    }

    fn write(self, store: &dyn Store) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.put(Space::Meta, KEY, [self.end.0.to_le_bytes(), self.bytes.to_le_bytes()].concat());
        store.write(&batch, Durability::Synced)
    }
}

/// The length of a journal that grows.
#[derive(Debug)]
pub struct JournalSize {
    /// Where this process began to append.
    begun_at: Position,
    before: OnceLock<u64>,
    /// Where the journal ends now, and the bytes that this process appended.
    appended: Mutex<Extent>,
}

impl JournalSize {
    /// Of a journal that ends at `begun_at`.
    #[must_use]
    pub fn new(begun_at: Position) -> Self {
        let appended = Mutex::new(Extent { end: begun_at, bytes: 0 });
        Self { begun_at, before: OnceLock::new(), appended }
    }

    /// Counts frames that are durable; says how many bytes they have.
    ///
    /// # Panics
    /// When a holder panicked.
    pub fn appended(&self, frames: &[Frame]) -> u64 {
        let bytes = frames.iter().map(|frame| frame.bytes.len() as u64).sum();
        if let Some(last) = frames.last() {
            let mut appended = self.appended.lock().expect("no holder panics");
            *appended = Extent { end: last.position.plus(u64::from(last.record_count)), bytes: appended.bytes + bytes };
        }
        bytes
    }

    /// Measures what was there before this process, unless `goes_on` says no. May take long; reads only.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn measure(&self, store: &dyn Store, goes_on: &dyn Fn() -> bool) -> Result<(), StoreError> {
        let noted = Extent::read(store)?.filter(|noted| noted.end <= self.begun_at).unwrap_or_default();
        let (mut bytes, mut is_whole) = (noted.bytes, true);
        let limit = self.begun_at.0.to_be_bytes();
        store.scan(Space::Journal, &noted.end.0.to_be_bytes(), Direction::Forward, &mut |key, value| {
            if key >= limit.as_slice() {
                return ControlFlow::Break(());
            }
            bytes += value.len() as u64;
            is_whole = goes_on();
            if is_whole { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        if is_whole {
            // Nobody else measures.
            let _ = self.before.set(bytes);
        }
        Ok(())
    }

    /// How long the journal is; `None` until what was there before has been measured.
    ///
    /// # Panics
    /// When a holder panicked.
    #[must_use]
    pub fn extent(&self) -> Option<Extent> {
        let before = self.before.get()?;
        let appended = *self.appended.lock().expect("no holder panics");
        Some(Extent { bytes: before + appended.bytes, ..appended })
    }

    /// Notes how long the journal is, for the next process; nothing before it has been measured.
    ///
    /// # Errors
    /// When the store fails.
    pub fn note(&self, store: &dyn Store) -> Result<(), StoreError> {
        self.extent().map_or(Ok(()), |extent| extent.write(store))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    fn frame(position: u64, record_count: u32, byte_count: usize) -> Frame {
        Frame { position: Position(position), record_count, bytes: vec![0; byte_count], hash: [0; 32] }
    }

    fn append(store: &MemoryStore, size: &JournalSize, frames: &[Frame]) {
        let mut batch = Batch::default();
        for frame in frames {
            batch.put(Space::Journal, frame.position.0.to_be_bytes(), frame.bytes.as_slice());
        }
        store.write(&batch, Durability::Synced).unwrap();
        size.appended(frames);
    }

    #[test]
    fn a_journal_is_as_long_as_its_frames_whatever_was_noted() {
        let store = MemoryStore::new();
        let first = JournalSize::new(Position(0));
        append(&store, &first, &[frame(0, 3, 100), frame(3, 1, 50)]);
        assert_eq!(first.extent(), None, "not measured yet");
        first.measure(&store, &|| true).unwrap();
        assert_eq!(first.extent(), Some(Extent { end: Position(4), bytes: 150 }));
        first.note(&store).unwrap();
        append(&store, &first, &[frame(4, 1, 7)]);
        assert_eq!(first.extent(), Some(Extent { end: Position(5), bytes: 157 }));

        // The note is older than the journal.
        let second = JournalSize::new(Position(5));
        append(&store, &second, &[frame(5, 2, 20)]);
        second.measure(&store, &|| true).unwrap();
        assert_eq!(second.extent(), Some(Extent { end: Position(7), bytes: 177 }));

        let given_up = JournalSize::new(Position(7));
        given_up.measure(&store, &|| false).unwrap();
        assert_eq!(given_up.extent(), None);
    }

    #[test]
    fn a_note_that_is_ahead_of_the_journal_or_no_note_at_all_is_passed_over() {
        let store = MemoryStore::new();
        let size = JournalSize::new(Position(0));
        append(&store, &size, &[frame(0, 3, 100)]);
        Extent { end: Position(9), bytes: 1 }.write(&store).unwrap();
        let next = JournalSize::new(Position(3));
        next.measure(&store, &|| true).unwrap();
        assert_eq!(next.extent(), Some(Extent { end: Position(3), bytes: 100 }));
        let mut batch = Batch::default();
        batch.put(Space::Meta, KEY, b"nonsense".as_slice());
        store.write(&batch, Durability::Synced).unwrap();
        assert_eq!(Extent::read(&store).unwrap(), None);
    }
}
