//! The index against a plain map: random histories of claims, uses, givings back, background steps and crashes.
//!
//! Records become durable at once, in order; the index is told of them later and in any order, as it may happen when
//! several threads finish commands. After a crash the index must agree with the journal again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::shelf_tests::{check_many, check_shelves};
use super::test_store::TestStore;
use super::tests::{SMALL, key, open, settle_down, used};
use super::*;

/// As [`SMALL`], and generations end after some records too, full or not.
const OPTIONS: IdOptions = IdOptions { segment_records: 12, ..SMALL };

#[derive(Clone, Debug)]
enum Action {
    /// Claim, append and commit at once.
    Use(u64),
    Claim(u64),
    /// The record of a claimed id becomes durable; the index does not know yet.
    Append(u64),
    Commit(u64),
    Release(u64),
    /// A record gives a used id back; the index does not know yet.
    Free(u64),
    /// The index is told of one of the records that gave ids back.
    TellFreed(u64),
    Maintain(u8),
    FailAfter(u8),
    Crash(u64),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let id = 0..48u64;
    let action = prop_oneof![
        12 => id.clone().prop_map(Action::Use),
        4 => id.clone().prop_map(Action::Claim),
        3 => id.clone().prop_map(Action::Append),
        4 => id.clone().prop_map(Action::Commit),
        1 => id.clone().prop_map(Action::Release),
        8 => id.clone().prop_map(Action::Free),
        6 => id.prop_map(Action::TellFreed),
        8 => (0..12u8).prop_map(Action::Maintain),
        1 => (0..20u8).prop_map(Action::FailAfter),
        1 => any::<u64>().prop_map(Action::Crash),
    ];
    prop::collection::vec(action, 1..600)
}

/// A claim that was granted.
struct Owned {
    position: Option<u64>,
    waiter_count: usize,
    woken: Arc<AtomicUsize>,
}

/// The index, and what it must say.
struct Model {
    store: Arc<TestStore>,
    index: IdIndex,
    /// The journal: position, id and entry. Survives every crash.
    journal: Vec<(u64, IdEntry)>,
    /// The newest entry of each id that the index was told.
    told: HashMap<u64, IdEntry>,
    owned: BTreeMap<u64, Owned>,
    /// Journaled givings back that the index was not told.
    untold_freed: Vec<(u64, IdEntry)>,
    covered_max: u64,
    settled_max: u64,
}

impl Model {
    fn new() -> Self {
        let store = Arc::new(TestStore::default());
        let (index, _) = open(&store, &OPTIONS);
        Self {
            store,
            index,
            journal: Vec::new(),
            told: HashMap::new(),
            owned: BTreeMap::new(),
            untold_freed: Vec::new(),
            covered_max: 0,
            settled_max: 0,
        }
    }

    fn append(&mut self, number: u64, freed: bool) -> IdEntry {
        let entry = IdEntry { position: Position(self.journal.len() as u64), freed };
        self.journal.push((number, entry));
        entry
    }

    fn tell(&mut self, number: u64, entry: IdEntry) {
        let newest = self.told.entry(number).or_insert(entry);
        if newest.pack() < entry.pack() {
            *newest = entry;
        }
    }

    /// All records below it are told.
    fn settled(&self) -> u64 {
        let owned = self.owned.values().filter_map(|owned| owned.position);
        let freed = self.untold_freed.iter().map(|(_, entry)| entry.position.0);
        owned.chain(freed).min().unwrap_or(self.journal.len() as u64)
    }

    fn claim(&mut self, number: u64) -> bool {
        let claim = self.index.claim(key(number)).unwrap();
        let newest = self.told.get(&number).copied();
        if let Some(owned) = self.owned.get_mut(&number) {
            if claim == Claim::TooMany {
                assert!(self.index.stats().waiter_count >= OPTIONS.in_flight_max);
                return false;
            }
            assert_eq!(claim, Claim::InFlight);
            let woken = Arc::clone(&owned.woken);
            let counted = Box::new(move || assert!(woken.fetch_add(1, Ordering::SeqCst) < 1_000));
            assert!(self.index.wait(key(number), counted));
            owned.waiter_count += 1;
            return false;
        }
        let full = self.owned.len() >= OPTIONS.in_flight_max;
        match newest.filter(|entry| !entry.freed) {
            _ if full => assert_eq!(claim, Claim::TooMany),
            Some(entry) => assert_eq!(claim, Claim::Committed(entry)),
            None if self.index.committed.is_behind() => assert_eq!(claim, Claim::TooMany),
            None => assert_eq!(claim, Claim::Granted),
        }
        let granted = claim == Claim::Granted;
        if granted {
            self.owned.insert(number, Owned { position: None, waiter_count: 0, woken: Arc::default() });
        }
        granted
    }

    fn append_claimed(&mut self, number: u64) {
        if self.owned.get(&number).is_some_and(|owned| owned.position.is_none()) {
            let position = self.append(number, false).position.0;
            self.owned.get_mut(&number).unwrap().position = Some(position);
        }
    }

    /// Ends a claim that has, or has not, a record.
    fn finish(&mut self, number: u64, has_record: bool) {
        if self.owned.get(&number).is_none_or(|owned| owned.position.is_some() != has_record) {
            return;
        }
        let owned = self.owned.remove(&number).unwrap();
        assert_eq!(owned.woken.load(Ordering::SeqCst), 0, "nobody is woken early");
        match owned.position {
            Some(position) => {
                self.index.commit(key(number), used(position));
                self.tell(number, used(position));
            }
            None => self.index.release(key(number)),
        }
        assert_eq!(owned.woken.load(Ordering::SeqCst), owned.waiter_count, "everybody is woken once");
        assert!(!self.index.wait(key(number), Box::new(|| {})));
    }

    fn free(&mut self, number: u64) {
        let newest = self.journal.iter().rev().find(|(other, _)| *other == number);
        if newest.is_some_and(|(_, entry)| !entry.freed) {
            let entry = self.append(number, true);
            self.untold_freed.push((number, entry));
        }
    }

    fn tell_freed(&mut self, choice: u64) {
        if !self.untold_freed.is_empty() {
            let chosen = choice as usize % self.untold_freed.len();
            let (number, entry) = self.untold_freed.remove(chosen);
            self.index.insert(key(number), entry);
            self.tell(number, entry);
        }
    }

    fn maintain(&mut self, step_count: u8) {
        let settled = self.settled();
        self.settled_max = self.settled_max.max(settled);
        for _ in 0..step_count {
            match self.index.maintain(Position(settled)) {
                Ok(_) => {}
                Err(IdError::Store(_)) => return self.crash(u64::from(step_count)),
                Err(error) => panic!("{error}"),
            }
            check_shelves(&self.index, OPTIONS.merge_fan_in);
        }
        self.check_all();
    }

    /// Loses power, opens, and inserts what the index does not cover.
    fn crash(&mut self, seed: u64) {
        self.store.crash(seed);
        let (index, covered) = open(&self.store, &OPTIONS);
        assert!(covered.0 >= self.covered_max, "what was covered at an earlier start is still covered");
        assert!(covered.0 <= self.settled_max, "nothing is covered that was not settled");
        self.covered_max = covered.0;
        self.index = index;
        self.owned.clear();
        self.untold_freed.clear();
        let mut missing = self.journal[covered.0 as usize..].to_vec();
        let in_order = seed.is_multiple_of(2);
        if !in_order {
            missing.reverse();
        }
        for (number, entry) in missing {
            self.index.insert(key(number), entry);
            let settled = if in_order { entry.position.plus(1) } else { covered };
            self.settled_max = self.settled_max.max(settled.0);
            self.index.maintain(settled).unwrap();
        }
        for (number, entry) in self.journal.clone() {
            self.tell(number, entry);
        }
        self.check_all();
    }

    fn check_all(&self) {
        for number in 0..48 {
            let found = self.index.lookup(key(number)).unwrap();
            match self.told.get(&number).copied() {
                Some(entry) if entry.freed => assert!(found.is_none_or(|found| found == entry), "id {number}"),
                entry => assert_eq!(found, entry, "id {number}"),
            }
        }
        check_many(&self.index, &(0..48).map(key).collect::<Vec<_>>());
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::Use(number) => {
                if self.claim(number) {
                    self.append_claimed(number);
                    self.finish(number, true);
                }
            }
            Action::Claim(number) => {
                self.claim(number);
            }
            Action::Append(number) => self.append_claimed(number),
            Action::Commit(number) => self.finish(number, true),
            Action::Release(number) => self.finish(number, false),
            Action::Free(number) => self.free(number),
            Action::TellFreed(choice) => self.tell_freed(choice),
            Action::Maintain(step_count) => self.maintain(step_count),
            Action::FailAfter(operations) => self.store.fail_after(usize::from(operations)),
            Action::Crash(seed) => self.crash(seed),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn the_index_agrees_with_a_map(actions in actions()) {
        let mut model = Model::new();
        for action in &actions {
            model.act(action);
        }
        model.check_all();
        model.crash(actions.len() as u64);
        settle_down(&model.index, model.settled()).unwrap();
        model.check_all();
    }
}
