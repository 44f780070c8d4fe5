//! A store for the tests of this room: reads see everything, a crash keeps what was flushed and any part of the rest.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Mutex;

use crate::store::{Batch, Direction, Durability, Op, Space, Store, StoreError, Visit};

type Map = BTreeMap<(Space, Vec<u8>), Vec<u8>>;

#[derive(Clone, Default)]
struct Inner {
    visible: Map,
    durable: Map,
    /// Deferred and not flushed, in order.
    pending: Vec<Op>,
    /// Writes and flushes that still succeed.
    operations_left: Option<usize>,
    operation_count: usize,
}

/// See the module.
#[derive(Default)]
pub(super) struct TestStore {
    inner: Mutex<Inner>,
    /// Done once, in the middle of the next read; no clone has it.
    to_do: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Clone for TestStore {
    fn clone(&self) -> Self {
        Self { inner: Mutex::new(self.inner.lock().unwrap().clone()), to_do: Mutex::default() }
    }
}

fn apply(map: &mut Map, op: &Op) {
    match op.clone() {
        Op::Put { space, key, value } => {
            map.insert((space, key), value);
        }
        Op::Delete { space, key } => {
            map.remove(&(space, key));
        }
        Op::DeleteRange { space, from, to } => {
            map.retain(|(other, key), _| *other != space || *key < from || *key >= to);
        }
    }
}

/// Steps of a well known generator (xorshift64*), enough to pick subsets.
fn next_random(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

impl TestStore {
    /// Lets this many writes and flushes succeed; every later one fails.
    pub(super) fn fail_after(&self, operations: usize) {
        self.inner.lock().unwrap().operations_left = Some(operations);
    }

    /// Power is lost: of what was not flushed a random part stays. The next crash is independent; no call fails.
    pub(super) fn crash(&self, seed: u64) {
        let mut inner = self.inner.lock().unwrap();
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        // Also the extreme cases: nothing stays, everything stays, nearly everything stays.
        let keep_of_8 = [0, 8, 7, 4][(next_random(&mut random) >> 32) as usize % 4];
        let pending = std::mem::take(&mut inner.pending);
        for op in &pending {
            if (next_random(&mut random) >> 32) % 8 < keep_of_8 {
                apply(&mut inner.durable, op);
            }
        }
        inner.visible = inner.durable.clone();
        inner.operations_left = None;
    }

    /// Removes a key behind everybody's back.
    pub(super) fn remove(&self, space: Space, key: &[u8]) {
        let mut inner = self.inner.lock().unwrap();
        inner.visible.remove(&(space, key.to_vec())).expect("the key is there");
    }

    /// Changes the first byte of a value behind everybody's back.
    pub(super) fn flip(&self, space: Space, key: &[u8], mask: u8) {
        let mut inner = self.inner.lock().unwrap();
        inner.visible.get_mut(&(space, key.to_vec())).expect("the key is there")[0] ^= mask;
    }

    /// All keys of a space, in order.
    pub(super) fn keys(&self, space: Space) -> Vec<Vec<u8>> {
        let inner = self.inner.lock().unwrap();
        inner.visible.keys().filter(|(other, _)| *other == space).map(|(_, key)| key.clone()).collect()
    }

    /// Does something in the middle of the next read of one key, on the thread that reads.
    pub(super) fn do_during_next_read(&self, to_do: impl FnOnce() + Send + 'static) {
        *self.to_do.lock().unwrap() = Some(Box::new(to_do));
    }

    /// Whether nobody has read since.
    pub(super) fn has_something_to_do(&self) -> bool {
        self.to_do.lock().unwrap().is_some()
    }

    /// Writes and flushes so far, failed ones included.
    pub(super) fn operation_count(&self) -> usize {
        self.inner.lock().unwrap().operation_count
    }

    fn count_operation(inner: &mut Inner) -> Result<(), StoreError> {
        inner.operation_count += 1;
        match &mut inner.operations_left {
            Some(0) => {
                let reason = "the test says so".to_owned();
                Err(StoreError::Io { path: PathBuf::from("test"), operation: "write", reason })
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Store for TestStore {
    fn write(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError> {
        assert_eq!(durability, Durability::Deferred, "the index never asks for a synced write");
        let mut inner = self.inner.lock().unwrap();
        if let Err(error) = Self::count_operation(&mut inner) {
            // What a failed write left on the disk is as unknown as what a deferred one did.
            inner.pending.extend(batch.ops.iter().cloned());
            return Err(error);
        }
        for op in &batch.ops {
            apply(&mut inner.visible, op);
            inner.pending.push(op.clone());
        }
        Ok(())
    }

    fn flush(&self, space: Space) -> Result<(), StoreError> {
        assert_eq!(space, Space::Ids, "the index flushes its own space");
        let mut inner = self.inner.lock().unwrap();
        Self::count_operation(&mut inner)?;
        for op in std::mem::take(&mut inner.pending) {
            apply(&mut inner.durable, &op);
        }
        Ok(())
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let to_do = self.to_do.lock().unwrap().take();
        if let Some(to_do) = to_do {
            to_do();
        }
        Ok(self.inner.lock().unwrap().visible.get(&(space, key.to_vec())).cloned())
    }

    fn scan(&self, space: Space, from: &[u8], direction: Direction, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        assert_eq!(direction, Direction::Forward, "the index scans forward only");
        let inner = self.inner.lock().unwrap();
        for ((other, key), value) in inner.visible.range((space, from.to_vec())..) {
            if *other != space || visit(key, value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn write_mark(&self, _mark: &[u8]) -> Result<(), StoreError> {
        unreachable!("the index has no mark")
    }

    fn read_mark(&self) -> Result<Option<Vec<u8>>, StoreError> {
        unreachable!("the index has no mark")
    }
}
