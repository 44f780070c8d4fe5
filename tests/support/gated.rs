//! A store in memory whose writes wait while its gate is closed: a disk that stands still.
//!
//! What must stay true: what waits is not lost; everything but writes goes through.

use std::sync::{Arc, Condvar, Mutex};

use tallystick::store::memory::MemoryStore;
use tallystick::store::{Batch, Direction, Durability, Space, Store, StoreError, Visit};

pub struct GatedStore {
    inner: MemoryStore,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    is_open: bool,
    /// Writes that wait now.
    waiting_count: usize,
}

impl GatedStore {
    /// The memory, and the store in front of it, its gate open.
    pub fn new() -> (MemoryStore, Arc<Self>) {
        let inner = MemoryStore::new();
        let state = Mutex::new(State { is_open: true, waiting_count: 0 });
        (inner.clone(), Arc::new(Self { inner, state, changed: Condvar::new() }))
    }

    pub fn close(&self) {
        self.state.lock().expect("no holder panics").is_open = false;
    }

    pub fn open(&self) {
        self.state.lock().expect("no holder panics").is_open = true;
        self.changed.notify_all();
    }

    /// Returns when a write waits at the closed gate.
    pub fn wait_for_a_write(&self) {
        let state = self.state.lock().expect("no holder panics");
        drop(self.changed.wait_while(state, |state| state.waiting_count == 0).expect("no holder panics"));
    }

    fn pass(&self) {
        let mut state = self.state.lock().expect("no holder panics");
        state.waiting_count += 1;
        self.changed.notify_all();
        let mut state = self.changed.wait_while(state, |state| !state.is_open).expect("no holder panics");
        state.waiting_count -= 1;
    }
}

impl Store for GatedStore {
    fn write(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError> {
        self.pass();
        self.inner.write(batch, durability)
    }

    fn flush(&self, space: Space) -> Result<(), StoreError> {
        self.inner.flush(space)
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(space, key)
    }

    fn scan(&self, space: Space, from: &[u8], direction: Direction, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.inner.scan(space, from, direction, visit)
    }

    fn write_mark(&self, mark: &[u8]) -> Result<(), StoreError> {
        self.inner.write_mark(mark)
    }

    fn read_mark(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.read_mark()
    }
}
