//! A store in memory that counts what it is asked: how often the journal is read from its beginning, and what is written of
//! the state.
//!
//! What must stay true: everything goes through as it is.

use std::sync::{Arc, Mutex};

use tallystick::store::memory::MemoryStore;
use tallystick::store::{Batch, Direction, Durability, Op, Space, Store, StoreError, Visit};

pub struct CountedStore {
    inner: MemoryStore,
    counts: Mutex<Counts>,
}

/// What was asked since somebody looked last.
#[derive(Debug, Default)]
pub struct Counts {
    /// Keys that were set or removed in the state space, batch for batch.
    pub state_batches: Vec<Vec<Vec<u8>>>,
    /// How often somebody began to read the journal at its beginning.
    pub journal_readings: usize,
}

impl Counts {
    /// The keys of entities of these kinds, in the order of the batches.
    pub fn keys(&self, kinds: &[u8]) -> Vec<&[u8]> {
        self.state_batches.iter().flatten().filter(|key| kinds.contains(&key[0])).map(Vec::as_slice).collect()
    }

    /// The operations of the largest batch.
    pub fn largest_batch(&self) -> usize {
        self.state_batches.iter().map(Vec::len).max().unwrap_or(0)
    }
}

impl CountedStore {
    /// In front of a store that is there already.
    pub fn on(inner: &MemoryStore) -> Arc<Self> {
        Arc::new(Self { inner: inner.clone(), counts: Mutex::default() })
    }

    /// What was asked since the last time.
    pub fn take(&self) -> Counts {
        std::mem::take(&mut *self.counts.lock().expect("no holder panics"))
    }

    fn note_reading(&self, space: Space, from: &[u8]) {
        if space == Space::Journal && from == [0; 8] {
            self.counts.lock().expect("no holder panics").journal_readings += 1;
        }
    }
}

impl Store for CountedStore {
    fn write(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError> {
        let of_state = batch.ops.iter().filter_map(|op| match op {
            Op::Put { space: Space::State, key, .. } | Op::Delete { space: Space::State, key } => Some(key.clone()),
            _ => None,
        });
        let of_state: Vec<_> = of_state.collect();
        if !of_state.is_empty() {
            self.counts.lock().expect("no holder panics").state_batches.push(of_state);
        }
        self.inner.write(batch, durability)
    }

    fn flush(&self, space: Space) -> Result<(), StoreError> {
        self.inner.flush(space)
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(space, key)
    }

    fn scan(&self, space: Space, from: &[u8], direction: Direction, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        if direction == Direction::Forward {
            self.note_reading(space, from);
        }
        self.inner.scan(space, from, direction, visit)
    }

    fn sweep(&self, space: Space, from: &[u8], to: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.note_reading(space, from);
        self.inner.sweep(space, from, to, visit)
    }

    fn write_mark(&self, mark: &[u8]) -> Result<(), StoreError> {
        self.inner.write_mark(mark)
    }

    fn read_mark(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.read_mark()
    }
}
