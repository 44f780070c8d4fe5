//! Stop for good after the first failure: a wrapper that every store is used through.
//!
//! After a failed write or sync nobody knows what the disk holds, memory may be ahead of it, and an operating system
//! reports a failed sync only once, so that a second try could succeed without the data. The only safe way on is to
//! refuse, exit, and recover from what the disk really has.
//!
//! What must stay true:
//! - any error of any call latches the flag; from then on every call fails with [`StoreError::Latched`];
//! - there is one way out: damage that was only read, in a space that the journal can give again, says nothing of any write,
//!   and goes with what that space holds. Whoever empties the space goes on, unless the failure was passed on by then;
//! - nothing is retried here, and a success that arrives after the latch is not passed on as one;
//! - a start that is given up reads no further than the next key; that is no failure, and latches nothing;
//! - no other code sets the flag: only [`CheckedStore`] can reach `PoisonFlag::latch`.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::giving_up::GiveUp;
use super::{Batch, Direction, Durability, Space, Store, StoreError, Visit};

/// Told the first failure.
pub type OnLatch = Box<dyn Fn(&StoreError) + Send + Sync>;

/// Whether a [`CheckedStore`] has stopped, and why. Clones are handles on the same flag.
#[derive(Clone, Debug, Default)]
pub struct PoisonFlag {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// The same as `latch.first.is_some()`, readable without the lock; set while the lock is held.
    poisoned: AtomicBool,
    latch: Mutex<Latch>,
}

#[derive(Default)]
struct Latch {
    first: Option<First>,
    /// Taken when it is called, so that it is called once.
    listener: Option<OnLatch>,
    /// Whether a listener was ever registered.
    has_listener: bool,
}

/// The first failure.
struct First {
    error: StoreError,
    /// The space that was read and found damaged, if it was no more than that.
    unreadable: Option<Space>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("poisoned", &self.poisoned).finish_non_exhaustive()
    }
}

impl PoisonFlag {
    /// Whether the store has stopped.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.shared.poisoned.load(Ordering::Acquire)
    }

    /// The failure that stopped the store, as it displays.
    #[must_use]
    pub fn first_error(&self) -> Option<String> {
        self.lock().first.as_ref().map(|first| first.error.to_string())
    }

    /// Has `listener` called once with the first failure: when it happens, by the thread it happens to, or at once if it
    /// has happened.
    ///
    /// # Panics
    /// When a listener was registered before: there is one place that decides what stopping means.
    pub fn on_latch(&self, listener: OnLatch) {
        let first = {
            let mut latch = self.lock();
            assert!(!latch.has_listener, "one listener is told that the store has stopped");
            latch.has_listener = true;
            match latch.first.as_ref().map(|first| first.error.clone()) {
                Some(first) => first,
                None => {
                    latch.listener = Some(listener);
                    return;
                }
            }
        };
        listener(&first);
    }

    /// Remembers the first failure and tells the listener. Later failures change nothing.
    fn latch(&self, error: &StoreError, unreadable: Option<Space>) {
        let listener = {
            let mut latch = self.lock();
            if latch.first.is_some() {
                return;
            }
            latch.first = Some(First { error: error.clone(), unreadable });
            self.shared.poisoned.store(true, Ordering::Release);
            latch.listener.take()
        };
        // Called without the lock, so that the listener may ask the flag.
        if let Some(listener) = listener {
            listener(error);
        }
    }

    fn check(&self) -> Result<(), StoreError> {
        if !self.is_poisoned() {
            return Ok(());
        }
        self.first_error().map_or(Ok(()), |first| Err(StoreError::Latched { first }))
    }

    /// The same, where a space is about to be emptied: damage that was read in it is no reason not to, as long as nobody was
    /// to be told.
    fn check_emptying(&self, space: Space) -> Result<(), StoreError> {
        let latch = self.lock();
        match &latch.first {
            Some(first) if latch.has_listener || first.unreadable != Some(space) => {
                Err(StoreError::Latched { first: first.error.to_string() })
            }
            _ => Ok(()),
        }
    }

    /// Forgets what [`PoisonFlag::check_emptying`] lets pass, once the space is empty.
    fn unlatch(&self, space: Space) {
        let mut latch = self.lock();
        if !latch.has_listener && latch.first.as_ref().is_some_and(|first| first.unreadable == Some(space)) {
            latch.first = None;
            self.shared.poisoned.store(false, Ordering::Release);
        }
    }

    /// A panic of some listener must not keep the flag from working: its state is whole at every moment.
    fn lock(&self) -> MutexGuard<'_, Latch> {
        self.shared.latch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A store that stops for good at its first failure.
pub struct CheckedStore {
    inner: Arc<dyn Store>,
    flag: PoisonFlag,
    give_up: GiveUp,
}

impl fmt::Debug for CheckedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckedStore").field("flag", &self.flag).finish_non_exhaustive()
    }
}

impl CheckedStore {
    /// Wraps a store; nobody else should hold it.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self::unless(inner, GiveUp::default())
    }

    /// Wraps a store for a start that can be given up.
    #[must_use]
    pub fn unless(inner: Arc<dyn Store>, give_up: GiveUp) -> Self {
        Self { inner, flag: PoisonFlag::default(), give_up }
    }

    /// A handle on the flag, for those who must know (health, the process's exit).
    #[must_use]
    pub fn poison_flag(&self) -> PoisonFlag {
        self.flag.clone()
    }

    fn check(&self) -> Result<(), StoreError> {
        self.flag.check()?;
        self.give_up.check()
    }

    /// Shows a key, unless nobody waits for it any more.
    fn show(&self, key: &[u8], value: &[u8], visit: &mut Visit<'_>) -> ControlFlow<()> {
        if self.give_up.is_told() { ControlFlow::Break(()) } else { visit(key, value) }
    }

    /// The way to the store below for whatever changes it.
    fn guard<T>(&self, call: impl FnOnce(&dyn Store) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.check()?;
        self.settle(call(&*self.inner), None)
    }

    /// The way to the store below for whatever only reads a space.
    fn guard_read<T>(
        &self,
        space: Space,
        call: impl FnOnce(&dyn Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.check()?;
        self.settle(call(&*self.inner), Some(space))
    }

    /// Passes an outcome on, and latches at the first failure. `read` is the space that was only read.
    fn settle<T>(&self, outcome: Result<T, StoreError>, read: Option<Space>) -> Result<T, StoreError> {
        match outcome {
            // Another thread may have failed meanwhile, on the same file or device: then this success is in doubt.
            Ok(value) => self.check().map(|()| value),
            Err(error) => {
                self.flag.latch(&error, read.filter(|_| error.damage().is_some()));
                Err(error)
            }
        }
    }
}

impl Store for CheckedStore {
    fn write(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError> {
        self.guard(|store| store.write(batch, durability))
    }

    fn flush(&self, space: Space) -> Result<(), StoreError> {
        self.guard(|store| store.flush(space))
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.guard_read(space, |store| store.get(space, key))
    }

    fn scan(&self, space: Space, from: &[u8], direction: Direction, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.guard_read(space, |store| {
            store.scan(space, from, direction, &mut |key, value| self.show(key, value, visit))
        })
    }

    fn sweep(&self, space: Space, from: &[u8], to: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.guard_read(space, |store| store.sweep(space, from, to, &mut |key, value| self.show(key, value, visit)))
    }

    fn empty(&self, space: Space) -> Result<(), StoreError> {
        self.give_up.check()?;
        self.flag.check_emptying(space)?;
        match self.inner.empty(space) {
            Ok(()) => self.flag.unlatch(space),
            // What was wrong before stays the first failure.
            Err(error) => return self.settle(Err(error), None),
        }
        self.check()
    }

    fn write_mark(&self, mark: &[u8]) -> Result<(), StoreError> {
        self.guard(|store| store.write_mark(mark))
    }

    fn read_mark(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.guard(|store| store.read_mark())
    }

    fn place(&self) -> String {
        self.inner.place()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::store::conformance;
    use crate::store::faults::FaultKind;
    use crate::store::memory::{FaultScript, MemoryStore, WriteFault};

    conformance::tests!(|| (CheckedStore::new(Arc::new(MemoryStore::new())), ()));

    fn put(key: &[u8]) -> Batch {
        let mut batch = Batch::default();
        batch.put(Space::Journal, key, b"value");
        batch
    }

    /// Every call of the trait fails as latched, with this first error.
    fn assert_stopped(store: &CheckedStore, memory: &MemoryStore) {
        let flag = store.poison_flag();
        assert!(flag.is_poisoned());
        let expected = flag.first_error().expect("the reason is kept");
        let syncs_before = memory.sync_count();
        let answers = [
            store.write(&put(b"later"), Durability::Synced),
            store.write(&put(b"later"), Durability::Deferred),
            store.flush(Space::Journal),
            store.get(Space::Journal, b"later").map(drop),
            store.scan(Space::Journal, b"", Direction::Forward, &mut |_, _| ControlFlow::Continue(())),
            store.empty(Space::Ids),
            store.write_mark(b"later"),
            store.read_mark().map(drop),
        ];
        for answer in answers {
            assert!(matches!(answer, Err(StoreError::Latched { first }) if first == expected));
        }
        assert_eq!(memory.sync_count(), syncs_before, "nothing reaches the store below, so nothing is retried");
    }

    fn failing(script: FaultScript) -> (CheckedStore, MemoryStore) {
        let memory = MemoryStore::with_faults(script);
        (CheckedStore::new(Arc::new(memory.clone())), memory)
    }

    #[test]
    fn a_failed_write_stops_the_store() {
        let (store, memory) =
            failing(FaultScript { fail_write_at: Some((2, WriteFault::Before)), ..FaultScript::default() });
        store.write(&put(b"1"), Durability::Synced).unwrap();
        assert!(!store.poison_flag().is_poisoned());
        assert!(matches!(store.write(&put(b"2"), Durability::Synced), Err(StoreError::Io { .. })));
        assert_stopped(&store, &memory);
    }

    #[test]
    fn a_full_disk_stops_the_store_and_is_named() {
        let (store, memory) = failing(FaultScript {
            fail_write_at: Some((1, WriteFault::After)),
            kind: FaultKind::DiskFull,
            ..FaultScript::default()
        });
        assert!(matches!(store.write(&put(b"1"), Durability::Synced), Err(StoreError::DiskFull { .. })));
        assert!(store.poison_flag().first_error().unwrap().contains("no space is left"));
        assert_stopped(&store, &memory);
    }

    #[test]
    fn a_failed_flush_stops_the_store() {
        let (store, memory) = failing(FaultScript { fail_flush_at: Some(1), ..FaultScript::default() });
        store.write(&put(b"1"), Durability::Deferred).unwrap();
        assert!(store.flush(Space::Journal).is_err());
        assert_stopped(&store, &memory);
    }

    #[test]
    fn a_failed_mark_stops_the_store() {
        let (store, memory) = failing(FaultScript { fail_mark_at: Some(1), ..FaultScript::default() });
        assert!(store.write_mark(b"mark").is_err());
        assert_stopped(&store, &memory);
    }

    #[test]
    fn an_unreadable_mark_stops_the_store() {
        let (store, memory) = failing(FaultScript::default());
        memory.damage_mark();
        assert!(matches!(store.read_mark(), Err(StoreError::Damaged { .. })));
        assert_stopped(&store, &memory);
    }

    #[test]
    fn a_damaged_value_stops_the_store_whether_it_is_got_or_scanned() {
        for is_scan in [false, true] {
            let (store, memory) = failing(FaultScript::default());
            store.write(&put(b"1"), Durability::Synced).unwrap();
            memory.make_unreadable(Space::Journal, b"1");
            let outcome = if is_scan {
                store.scan(Space::Journal, b"", Direction::Forward, &mut |_, _| ControlFlow::Continue(()))
            } else {
                store.get(Space::Journal, b"1").map(drop)
            };
            assert!(matches!(outcome, Err(StoreError::Damaged { .. })));
            assert_stopped(&store, &memory);
        }
    }

    /// A store that has stopped because of what it read in the index of ids.
    fn stopped_at_an_id(script: FaultScript) -> (CheckedStore, MemoryStore) {
        let (store, memory) = failing(script);
        let mut batch = Batch::default();
        batch.put(Space::Ids, b"1", b"value");
        store.write(&batch, Durability::Deferred).unwrap();
        memory.make_unreadable(Space::Ids, b"1");
        assert!(matches!(store.get(Space::Ids, b"1"), Err(StoreError::Damaged { .. })));
        (store, memory)
    }

    #[test]
    fn damage_in_what_the_journal_gives_again_goes_with_what_the_space_holds() {
        let (store, memory) = stopped_at_an_id(FaultScript::default());
        assert!(matches!(store.write(&put(b"2"), Durability::Synced), Err(StoreError::Latched { .. })));
        assert!(
            matches!(store.empty(Space::State), Err(StoreError::Latched { .. })),
            "it is not there that it is damaged"
        );
        store.empty(Space::Ids).unwrap();
        assert!(!store.poison_flag().is_poisoned() && memory.contents(Space::Ids).is_empty());
        assert_eq!(store.get(Space::Ids, b"1").unwrap(), None);
        store.write(&put(b"2"), Durability::Synced).unwrap();
    }

    #[test]
    fn a_failure_that_was_passed_on_is_final_wherever_it_was_read() {
        let (store, memory) = stopped_at_an_id(FaultScript::default());
        store.poison_flag().on_latch(Box::new(|_| ()));
        assert!(matches!(store.empty(Space::Ids), Err(StoreError::Latched { .. })));
        assert_stopped(&store, &memory);
    }

    #[test]
    fn a_space_that_cannot_be_emptied_leaves_the_failure_before_it_as_the_first() {
        let (store, memory) = stopped_at_an_id(FaultScript { fail_flush_at: Some(1), ..FaultScript::default() });
        let first = store.poison_flag().first_error();
        assert!(matches!(store.empty(Space::Ids), Err(StoreError::Io { .. })));
        assert_eq!(store.poison_flag().first_error(), first);
        assert!(first.is_some_and(|first| first.contains("damaged in the space ids")));
        let sync_count = memory.sync_count();
        assert!(matches!(store.write(&put(b"2"), Durability::Synced), Err(StoreError::Latched { .. })));
        assert_eq!(memory.sync_count(), sync_count);
    }

    #[test]
    fn a_failed_write_is_final_though_a_derived_space_is_emptied() {
        let script = FaultScript { fail_write_at: Some((1, WriteFault::Before)), ..FaultScript::default() };
        let (store, memory) = failing(script);
        let mut batch = Batch::default();
        batch.put(Space::Ids, b"1", b"value");
        assert!(store.write(&batch, Durability::Synced).is_err());
        assert!(matches!(store.empty(Space::Ids), Err(StoreError::Latched { .. })));
        assert_stopped(&store, &memory);
    }

    #[test]
    fn a_visitor_that_stops_early_is_no_failure() {
        let (store, _) = failing(FaultScript::default());
        store.write(&put(b"1"), Durability::Synced).unwrap();
        store.scan(Space::Journal, b"", Direction::Forward, &mut |_, _| ControlFlow::Break(())).unwrap();
        assert!(!store.poison_flag().is_poisoned());
    }

    #[test]
    fn a_start_that_is_given_up_reads_no_further_and_that_is_no_failure() {
        for is_sweep in [false, true] {
            let give_up = GiveUp::default();
            let store = CheckedStore::unless(Arc::new(MemoryStore::new()), give_up.clone());
            for key in [b"1", b"2", b"3"] {
                store.write(&put(key), Durability::Synced).unwrap();
            }
            let mut seen = 0;
            let mut visit = |_: &[u8], _: &[u8]| -> ControlFlow<()> {
                seen += 1;
                give_up.tell();
                ControlFlow::Continue(())
            };
            let read = if is_sweep {
                store.sweep(Space::Journal, b"", None, &mut visit)
            } else {
                store.scan(Space::Journal, b"", Direction::Forward, &mut visit)
            };
            assert!(matches!(read, Err(StoreError::Latched { .. })));
            assert_eq!(seen, 1);
            assert!(store.get(Space::Journal, b"1").is_err() && store.write(&put(b"4"), Durability::Synced).is_err());
            assert!(!store.poison_flag().is_poisoned() && !give_up.come_through());
        }
    }

    #[test]
    fn what_has_come_through_is_not_given_up_any_more() {
        let give_up = GiveUp::default();
        let store = CheckedStore::unless(Arc::new(MemoryStore::new()), give_up.clone());
        assert!(give_up.come_through());
        give_up.tell();
        assert!(!give_up.is_told() && give_up.come_through());
        store.write(&put(b"1"), Durability::Synced).unwrap();
    }

    #[test]
    fn the_listener_is_told_once_with_the_first_failure_and_may_ask_the_flag() {
        let (store, _) = failing(FaultScript { fail_mark_at: Some(1), ..FaultScript::default() });
        let told = Arc::new(AtomicUsize::new(0));
        let flag = store.poison_flag();
        flag.on_latch({
            let (told, flag) = (Arc::clone(&told), flag.clone());
            Box::new(move |first| {
                assert!(flag.is_poisoned());
                assert_eq!(flag.first_error(), Some(first.to_string()));
                told.fetch_add(1, Ordering::SeqCst);
            })
        });
        assert_eq!(told.load(Ordering::SeqCst), 0);
        for _ in 0..3 {
            assert!(store.write_mark(b"mark").is_err());
        }
        assert_eq!(told.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_listener_that_comes_late_is_told_at_once() {
        let (store, _) = failing(FaultScript { fail_mark_at: Some(1), ..FaultScript::default() });
        assert!(store.write_mark(b"mark").is_err());
        let told = Arc::new(AtomicUsize::new(0));
        store.poison_flag().on_latch({
            let told = Arc::clone(&told);
            Box::new(move |_| {
                told.fetch_add(1, Ordering::SeqCst);
            })
        });
        assert_eq!(told.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_success_that_lands_after_the_latch_is_not_passed_on() {
        let (store, memory) = failing(FaultScript::default());
        store.write(&put(b"1"), Durability::Synced).unwrap();
        let outcome = store.scan(Space::Journal, b"", Direction::Forward, &mut |_, _| {
            memory.damage_mark();
            assert!(store.read_mark().is_err());
            ControlFlow::Continue(())
        });
        assert!(matches!(outcome, Err(StoreError::Latched { .. })));
    }
}
