//! Ids that a command holds while it is being decided and made durable.
//!
//! What must stay true:
//! - of several callers that begin the same id, one owns it until it finishes; the others may wait for that;
//! - the map never holds more than `in_flight_max` claims and about as many waiters (invariant 8);
//! - a waiter runs once, on the thread that finishes the claim, with no lock held.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::key::IdKey;

/// Parts of the map with a lock of their own. Fixed, so that nothing depends on the machine.
const MAP_SHARDS: usize = 64;
/// Room made ahead in the map, at most; a larger limit lets the map grow when it is really used.
const MAP_CAPACITY_MAX: usize = 1 << 18;

/// Called when the claim that was waited for is over. Must be short: it runs where the claim is finished.
pub(super) type Waiter = Box<dyn FnOnce() + Send>;

/// The answer to [`Claims::begin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// The caller owns the id until it calls [`Claims::finish`].
    Owned,
    /// Another caller owns it.
    InFlight,
    /// There are too many claims or waiters.
    TooMany,
}

/// Keys are hashes already: the map takes their bits as they are.
#[derive(Default)]
struct KeyBits(u64);

impl Hasher for KeyBits {
    fn write_u64(&mut self, bits: u64) {
        self.0 = bits;
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("an id key hashes itself as one number");
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The claims in flight.
pub(super) struct Claims {
    /// The waiters of each claim. The mutex only tells the compiler that the closures are not shared between threads;
    /// it is reached through exclusive access and never locked.
    in_flight: DashMap<IdKey, Mutex<Vec<Waiter>>, BuildHasherDefault<KeyBits>>,
    claim_count: AtomicUsize,
    waiter_count: AtomicUsize,
    in_flight_max: usize,
}

impl Claims {
    /// No claims, room for `in_flight_max`.
    pub(super) fn new(in_flight_max: usize) -> Self {
        Self {
            in_flight: DashMap::with_capacity_and_hasher_and_shard_amount(
                in_flight_max.min(MAP_CAPACITY_MAX),
                BuildHasherDefault::default(),
                MAP_SHARDS,
            ),
            claim_count: AtomicUsize::new(0),
            waiter_count: AtomicUsize::new(0),
            in_flight_max,
        }
    }

    /// Tries to own an id.
    pub(super) fn begin(&self, key: IdKey) -> Begin {
        match self.in_flight.entry(key) {
            // The caller is going to wait; refuse it here if there is no room, for `wait` cannot.
            Entry::Occupied(_) if self.waiter_count.load(Ordering::Relaxed) >= self.in_flight_max => Begin::TooMany,
            Entry::Occupied(_) => Begin::InFlight,
            Entry::Vacant(vacant) => {
                let room = |count: usize| (count < self.in_flight_max).then_some(count + 1);
                if self.claim_count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err() {
                    return Begin::TooMany;
                }
                vacant.insert(Mutex::new(Vec::new()));
                Begin::Owned
            }
        }
    }

    /// Registers a waiter; false, and the waiter is dropped, when nobody owns the id any more.
    pub(super) fn wait(&self, key: IdKey, waiter: Waiter) -> bool {
        let Some(mut waiters) = self.in_flight.get_mut(&key) else { return false };
        waiters.get_mut().expect("the mutex is never locked, so never poisoned").push(waiter);
        self.waiter_count.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Gives up an id that the caller owns and wakes those who wait for it.
    pub(super) fn finish(&self, key: IdKey) {
        let (_, waiters) = self.in_flight.remove(&key).expect("only the owner of a claim finishes it, and once");
        self.claim_count.fetch_sub(1, Ordering::Relaxed);
        let waiters = waiters.into_inner().expect("the mutex is never locked, so never poisoned");
        self.waiter_count.fetch_sub(waiters.len(), Ordering::Relaxed);
        for waiter in waiters {
            waiter();
        }
    }

    /// Claims in flight.
    pub(super) fn claim_count(&self) -> usize {
        self.claim_count.load(Ordering::Relaxed)
    }

    /// Callers waiting for one of them.
    pub(super) fn waiter_count(&self) -> usize {
        self.waiter_count.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const FIRST: IdKey = IdKey([1; 16]);
    const SECOND: IdKey = IdKey([2; 16]);

    /// A waiter that notes its number in a list.
    fn noting(list: &Arc<Mutex<Vec<u32>>>, number: u32) -> Waiter {
        let list = Arc::clone(list);
        Box::new(move || list.lock().unwrap().push(number))
    }

    #[test]
    fn one_owner_at_a_time() {
        let claims = Claims::new(10);
        assert_eq!(claims.begin(FIRST), Begin::Owned);
        assert_eq!(claims.begin(FIRST), Begin::InFlight);
        assert_eq!(claims.begin(SECOND), Begin::Owned);
        claims.finish(FIRST);
        assert_eq!(claims.begin(FIRST), Begin::Owned);
        assert_eq!(claims.claim_count(), 2);
    }

    #[test]
    fn the_map_is_bounded_and_known_claims_stay_visible() {
        let claims = Claims::new(1);
        assert_eq!(claims.begin(FIRST), Begin::Owned);
        assert_eq!(claims.begin(SECOND), Begin::TooMany);
        assert_eq!(claims.begin(FIRST), Begin::InFlight);
        assert_eq!(claims.claim_count(), 1);
        claims.finish(FIRST);
        assert_eq!(claims.begin(SECOND), Begin::Owned);
    }

    #[test]
    fn waiters_are_bounded() {
        let claims = Claims::new(2);
        let list = Arc::new(Mutex::new(Vec::new()));
        assert_eq!(claims.begin(FIRST), Begin::Owned);
        assert!(claims.wait(FIRST, noting(&list, 1)));
        assert_eq!(claims.begin(FIRST), Begin::InFlight);
        assert!(claims.wait(FIRST, noting(&list, 2)));
        assert_eq!(claims.begin(FIRST), Begin::TooMany);
        claims.finish(FIRST);
        assert_eq!(claims.waiter_count(), 0);
        assert_eq!(claims.begin(FIRST), Begin::Owned);
        assert_eq!(claims.begin(FIRST), Begin::InFlight);
    }

    #[test]
    fn waiters_wake_once_and_in_order() {
        let claims = Claims::new(10);
        let list = Arc::new(Mutex::new(Vec::new()));
        assert!(!claims.wait(FIRST, noting(&list, 0)), "nobody owns it");
        claims.begin(FIRST);
        (1..4).for_each(|number| assert!(claims.wait(FIRST, noting(&list, number))));
        assert!(list.lock().unwrap().is_empty());
        claims.finish(FIRST);
        assert_eq!(*list.lock().unwrap(), [1, 2, 3]);
        claims.begin(FIRST);
        claims.finish(FIRST);
        assert_eq!(*list.lock().unwrap(), [1, 2, 3]);
    }

    #[test]
    fn a_waiter_may_claim_at_once() {
        let claims = Arc::new(Claims::new(10));
        claims.begin(FIRST);
        let inner = Arc::clone(&claims);
        claims.wait(FIRST, Box::new(move || assert_eq!(inner.begin(FIRST), Begin::Owned)));
        claims.finish(FIRST);
        assert_eq!(claims.begin(FIRST), Begin::InFlight, "the waiter owns it now");
    }

    #[test]
    #[should_panic(expected = "only the owner")]
    fn finishing_what_is_not_owned_is_a_bug() {
        Claims::new(10).finish(FIRST);
    }
}
