//! A store in memory that tells of every call before it makes it, so that a test can hold it up, count it, or do something
//! else first; and one of these whose writes wait while its gate is closed: a disk that stands still.
//!
//! What must stay true: every call is made, in the end and once; what waits is not lost.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex};

use tallystick::store::memory::MemoryStore;
use tallystick::store::{Batch, Direction, Durability, Space, Store, StoreError, Visit};

/// A call that is about to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Write(Durability),
    Flush(Space),
    Get(Space),
    Scan(Space),
    WriteMark,
    ReadMark,
}

/// Who is told of calls.
pub trait Watch: Send + Sync + 'static {
    /// On the thread of the caller; the call is made once this returns.
    fn before(&self, call: Call);
}

/// The store; also its watch, for the test to talk to.
pub struct WatchedStore<W> {
    inner: MemoryStore,
    watch: W,
}

impl<W: Watch> WatchedStore<W> {
    pub fn over(inner: MemoryStore, watch: W) -> Arc<Self> {
        Arc::new(Self { inner, watch })
    }

    fn at(&self, call: Call) -> &MemoryStore {
        self.watch.before(call);
        &self.inner
    }
}

impl<W> Deref for WatchedStore<W> {
    type Target = W;

    fn deref(&self) -> &W {
        &self.watch
    }
}

impl<W: Watch> Store for WatchedStore<W> {
    fn write(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError> {
        self.at(Call::Write(durability)).write(batch, durability)
    }

    fn flush(&self, space: Space) -> Result<(), StoreError> {
        self.at(Call::Flush(space)).flush(space)
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.at(Call::Get(space)).get(space, key)
    }

    fn scan(&self, space: Space, from: &[u8], direction: Direction, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.at(Call::Scan(space)).scan(space, from, direction, visit)
    }

    fn write_mark(&self, mark: &[u8]) -> Result<(), StoreError> {
        self.at(Call::WriteMark).write_mark(mark)
    }

    fn read_mark(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.at(Call::ReadMark).read_mark()
    }
}

/// A gate that writes pass: those of some kinds wait while it is closed, everything else goes through.
pub struct Gate {
    held: &'static [Durability],
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    is_open: bool,
    /// Writes that wait now.
    waiting_count: usize,
}

pub type GatedStore = WatchedStore<Gate>;

impl GatedStore {
    /// The memory, and the store in front of it, whose gate is open and holds all writes once it is closed.
    pub fn new() -> (MemoryStore, Arc<Self>) {
        let inner = MemoryStore::new();
        (inner.clone(), Self::over(inner, Gate::open_for(&[Durability::Synced, Durability::Deferred])))
    }

    /// One whose gate holds synced writes alone: what is not awaited is still written.
    pub fn for_synced() -> Arc<Self> {
        Self::over(MemoryStore::new(), Gate::open_for(&[Durability::Synced]))
    }
}

impl Gate {
    fn open_for(held: &'static [Durability]) -> Self {
        let state = Mutex::new(State { is_open: true, waiting_count: 0 });
        Self { held, state, changed: Condvar::new() }
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
}

impl Watch for Gate {
    fn before(&self, call: Call) {
        if !matches!(call, Call::Write(durability) if self.held.contains(&durability)) {
            return;
        }
        let mut state = self.state.lock().expect("no holder panics");
        state.waiting_count += 1;
        self.changed.notify_all();
        let mut state = self.changed.wait_while(state, |state| !state.is_open).expect("no holder panics");
        state.waiting_count -= 1;
    }
}
