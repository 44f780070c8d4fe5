//! Ids that a command holds while it is being decided and made durable.
//!
//! What must stay true:
//! - of several callers that begin the same id, one owns it until it finishes; the others may wait for that;
//! - the map never holds more than `in_flight_max` claims and about as many waiters (invariant 8);
//! - no two parts are locked at once;
//! - a waiter runs once, on the thread that finishes the claim, with no lock held.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam::utils::CachePadded;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::grouping::Grouping;
use super::key::IdKey;

/// Parts of the map with a lock of their own. Fixed, so that nothing depends on the machine.
const PARTS: usize = 64;
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

/// A claim in flight. Hardly any has waiters, so their list takes one word.
struct InFlight {
    key: IdKey,
    #[expect(clippy::box_collection, reason = "a claim without waiters takes one word for them")]
    waiters: Option<Box<Vec<Waiter>>>,
}

type Part = HashTable<InFlight>;

/// The claims in flight. Keys are hashes already: the map takes their bits as they are.
pub(super) struct Claims {
    parts: Vec<CachePadded<Mutex<Part>>>,
    claim_count: CachePadded<AtomicUsize>,
    waiter_count: AtomicUsize,
    in_flight_max: usize,
}

fn part_of(key: IdKey) -> usize {
    let scaled = (u128::from(key.high()) * PARTS as u128) >> 64;
    usize::try_from(scaled).expect("scaled below the number of parts")
}

impl Claims {
    /// No claims, room for `in_flight_max`.
    pub(super) fn new(in_flight_max: usize) -> Self {
        let capacity = in_flight_max.min(MAP_CAPACITY_MAX).div_ceil(PARTS);
        Self {
            parts: (0..PARTS).map(|_| CachePadded::new(Mutex::new(HashTable::with_capacity(capacity)))).collect(),
            claim_count: CachePadded::new(AtomicUsize::new(0)),
            waiter_count: AtomicUsize::new(0),
            in_flight_max,
        }
    }

    /// A part is whole at every moment, so the poison of a thread that panicked is passed over.
    fn part(&self, part: usize) -> MutexGuard<'_, Part> {
        self.parts[part].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes room for so many claims; false when there is not enough.
    fn reserve(&self, count: usize) -> bool {
        let room = |taken: usize| (taken + count <= self.in_flight_max).then_some(taken + count);
        self.claim_count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok()
    }

    /// Enters a claim for which there is room.
    fn enter(&self, part: &mut Part, key: IdKey) -> Begin {
        match part.entry(key.low(), |found| found.key == key, |found| found.key.low()) {
            // The caller is going to wait; refuse it here if there is no room, for `wait` cannot.
            Entry::Occupied(_) if !self.has_room_to_wait() => Begin::TooMany,
            Entry::Occupied(_) => Begin::InFlight,
            Entry::Vacant(vacant) => {
                vacant.insert(InFlight { key, waiters: None });
                Begin::Owned
            }
        }
    }

    /// Tries to own an id.
    pub(super) fn begin(&self, key: IdKey) -> Begin {
        let has_room = self.reserve(1);
        let mut part = self.part(part_of(key));
        if !has_room {
            let is_known = part.find(key.low(), |found| found.key == key).is_some();
            // A claim that is known takes no room.
            return if is_known { self.enter(&mut part, key) } else { Begin::TooMany };
        }
        let begun = self.enter(&mut part, key);
        if begun != Begin::Owned {
            self.claim_count.fetch_sub(1, Ordering::Relaxed);
        }
        begun
    }

    /// Tries to own several ids, in their order: of equal ones the first. Answers by place.
    pub(super) fn begin_many(&self, keys: &[IdKey], grouping: &mut Grouping, begun: &mut Vec<Begin>) {
        begun.clear();
        if !self.reserve(keys.len()) {
            begun.extend(keys.iter().map(|key| self.begin(*key)));
            return;
        }
        begun.resize(keys.len(), Begin::TooMany);
        grouping.group(PARTS, keys.iter().map(|key| part_of(*key)));
        let mut owned_count = 0;
        for (part, places) in grouping.groups() {
            let mut part = self.part(part);
            for place in places {
                let place = *place as usize;
                begun[place] = self.enter(&mut part, keys[place]);
                owned_count += usize::from(begun[place] == Begin::Owned);
            }
        }
        self.claim_count.fetch_sub(keys.len() - owned_count, Ordering::Relaxed);
    }

    /// Whether somebody owns an id.
    pub(super) fn is_owned(&self, key: IdKey) -> bool {
        self.part(part_of(key)).find(key.low(), |found| found.key == key).is_some()
    }

    /// Whether there is room for one more who waits.
    pub(super) fn has_room_to_wait(&self) -> bool {
        self.waiter_count() < self.in_flight_max
    }

    /// Registers a waiter; false, and the waiter is dropped, when nobody owns the id any more.
    pub(super) fn wait(&self, key: IdKey, waiter: Waiter) -> bool {
        let mut part = self.part(part_of(key));
        let Some(claim) = part.find_mut(key.low(), |found| found.key == key) else { return false };
        claim.waiters.get_or_insert_default().push(waiter);
        self.waiter_count.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Gives up an id that the caller owns and wakes those who wait for it.
    pub(super) fn finish(&self, key: IdKey) {
        let waiters = remove(&mut self.part(part_of(key)), key);
        self.claim_count.fetch_sub(1, Ordering::Relaxed);
        self.wake(waiters);
    }

    /// Gives up several ids that the caller owns and wakes those who wait for them.
    pub(super) fn finish_many(&self, keys: &[IdKey], grouping: &mut Grouping) {
        grouping.group(PARTS, keys.iter().map(|key| part_of(*key)));
        let mut waiting = Vec::new();
        for (part, places) in grouping.groups() {
            let mut part = self.part(part);
            waiting.extend(places.iter().filter_map(|place| remove(&mut part, keys[*place as usize])));
        }
        self.claim_count.fetch_sub(keys.len(), Ordering::Relaxed);
        waiting.into_iter().for_each(|waiters| self.wake(Some(waiters)));
    }

    #[expect(clippy::box_collection, reason = "as it lies in the map")]
    fn wake(&self, waiters: Option<Box<Vec<Waiter>>>) {
        let Some(waiters) = waiters else { return };
        self.waiter_count.fetch_sub(waiters.len(), Ordering::Relaxed);
        for waiter in *waiters {
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

#[expect(clippy::box_collection, reason = "as it lies in the map")]
fn remove(part: &mut Part, key: IdKey) -> Option<Box<Vec<Waiter>>> {
    let found = part.find_entry(key.low(), |found| found.key == key).ok();
    let (claim, _) = found.expect("only the owner of a claim finishes it, and once").remove();
    claim.waiters
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
        claims.finish(SECOND);
        assert!(claims.is_owned(FIRST) && !claims.is_owned(SECOND));
        assert_eq!(claims.waiter_count(), 0, "nobody who only looks waits");
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
        assert!(claims.has_room_to_wait());
        assert!(claims.wait(FIRST, noting(&list, 2)));
        assert!(!claims.has_room_to_wait());
        assert_eq!(claims.begin(FIRST), Begin::TooMany);
        claims.finish(FIRST);
        assert_eq!(claims.waiter_count(), 0);
        assert!(claims.has_room_to_wait());
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
    fn many_begin_as_one_by_one() {
        let (claims, mut grouping, mut begun) = (Claims::new(4), Grouping::default(), Vec::new());
        let keys = [1, 200, 1, 90].map(|byte| IdKey([byte; 16]));
        claims.begin_many(&keys, &mut grouping, &mut begun);
        assert_eq!(begun, [Begin::Owned, Begin::Owned, Begin::InFlight, Begin::Owned]);
        assert_eq!(claims.claim_count(), 3);
        let further = [7, 8, 200].map(|byte| IdKey([byte; 16]));
        claims.begin_many(&further, &mut grouping, &mut begun);
        assert_eq!(begun, [Begin::Owned, Begin::TooMany, Begin::InFlight], "there is room for one more");
        let list = Arc::new(Mutex::new(Vec::new()));
        assert!(claims.wait(keys[1], noting(&list, 1)));
        claims.finish_many(&[keys[0], keys[1], keys[3], further[0]], &mut grouping);
        assert_eq!((claims.claim_count(), claims.waiter_count(), list.lock().unwrap().len()), (0, 0, 1));
    }

    #[test]
    #[should_panic(expected = "only the owner")]
    fn finishing_what_is_not_owned_is_a_bug() {
        Claims::new(10).finish(FIRST);
    }
}
