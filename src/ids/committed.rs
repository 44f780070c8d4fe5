//! The committed index: everything that is looked up, in memory and on disk, under one lock.
//!
//! ```text
//!  active │ sealed, not durable │ shelves with their runs, and runs alone                              │
//!  table  │ tables              │ shelf ─ passes ─> filter ─ passes ─> the generations still in memory │
//!         │                     │                                      or one block from disk          │
//! ```
//!
//! What must stay true:
//! - a reader sees one moment: a generation leaves the unwritten ones and its run enters the list in one change, and so
//!   do the runs of a merge and what they were merged into;
//! - a shelf that denies a key speaks for all runs on it. Runs of one shelf stand next to each other in the list;
//! - generations are numbered without gaps, across restarts too, and become durable in that order;
//! - memory of a generation is dropped oldest first, and only when its run is in the list. Until then it only saves
//!   reading the disk: every key of it passes the filter of the run that holds it, and that run's shelf;
//! - of several entries of one key the largest holds, wherever they are;
//! - the disk is never touched under the lock.
//!
//! Lock order: the lists, then one partition.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::generation::{Active, Sealed, Shape, Table};
use super::grouping::Grouping;
use super::key::IdKey;
use super::run::{Opened, Probe, Run};
use super::{IdError, IdOptions};
use crate::ledger::types::Position;
use crate::limits::ID_UNWRITTEN_GENERATIONS_MAX;
use crate::store::Store;

/// What the lock protects.
struct Lists {
    active: Active,
    /// Tables for the next generation.
    spare: Option<Vec<Table>>,
    /// Oldest first, numbers without gaps, ending just before the active one.
    sealed: VecDeque<Arc<Sealed>>,
    /// Every id of a record below this position is in a sealed generation or a run.
    sealed_below: Position,
    /// Generations below this number are durable and in the runs.
    unwritten_from: u64,
    /// Oldest first, generations without gaps, ending just before `unwritten_from`.
    runs: Vec<Arc<Run>>,
}

/// What is in the lists at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    /// Ids in memory; one that is in several generations counts several times.
    pub(super) memory_ids: u64,
    /// Entries in the runs.
    pub(super) disk_ids: u64,
    /// Runs.
    pub(super) runs: usize,
}

/// The committed ids.
pub(super) struct Committed {
    shape: Shape,
    memory_ids_max: u64,
    segment_records: u64,
    lists: RwLock<Lists>,
    /// The settled position announced last.
    settled: AtomicU64,
    /// Sealed generations that are not durable, mirrored from the lists for a look without the lock.
    unwritten_count: AtomicUsize,
    /// Tables allocated by a caller because no spare was ready.
    inline_table_count: AtomicU64,
}

impl Committed {
    /// The runs that were found, and an empty active generation.
    pub(super) fn new(options: &IdOptions, opened: Opened) -> Self {
        let shape = Shape::new(options);
        let number = opened.next_generation;
        let active = Active::new(number, shape.tables());
        let lists = Lists {
            active,
            spare: None,
            sealed: VecDeque::new(),
            sealed_below: opened.covered,
            unwritten_from: number,
            runs: opened.runs.into_iter().map(Arc::new).collect(),
        };
        Self {
            shape,
            memory_ids_max: options.memory_ids_max,
            segment_records: options.segment_records,
            lists: RwLock::new(lists),
            settled: AtomicU64::new(opened.covered.0),
            unwritten_count: AtomicUsize::new(0),
            inline_table_count: AtomicU64::new(0),
        }
    }

    /// The sizes of a generation.
    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// What could panic under the lock does so before it changes anything, so poison is passed over.
    fn read(&self) -> RwLockReadGuard<'_, Lists> {
        self.lists.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Lists> {
        self.lists.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers an entry. Never waits for the disk.
    pub(super) fn insert(&self, key: IdKey, packed: u64) {
        loop {
            let full_number = {
                let lists = self.read();
                if lists.active.put(&self.shape, key, packed) {
                    return;
                }
                lists.active.number
            };
            let mut lists = self.write();
            // Another thread may have been first.
            if lists.active.number == full_number {
                self.seal(&mut lists);
            }
        }
    }

    /// Remembers several entries. Never waits for the disk.
    pub(super) fn insert_many(&self, entries: &[(IdKey, u64)], grouping: &mut Grouping) {
        grouping.group(self.shape.partition_count(), entries.iter().map(|(key, _)| self.shape.partition_of(*key)));
        let mut left = Vec::new();
        {
            let lists = self.read();
            for group in grouping.groups() {
                lists.active.put_many(&self.shape, group, entries, &mut left);
            }
        }
        for place in left {
            let (key, packed) = entries[place as usize];
            self.insert(key, packed);
        }
    }

    /// The largest entries of several keys, by place, as far as memory tells; pushes the places of those of which the
    /// disk must be asked.
    pub(super) fn lookup_many(
        &self,
        keys: &[IdKey],
        grouping: &mut Grouping,
        found: &mut Vec<Option<u64>>,
        on_disk: &mut Vec<u32>,
    ) {
        found.clear();
        found.resize(keys.len(), None);
        on_disk.clear();
        grouping.group(self.shape.partition_count(), keys.iter().map(|key| self.shape.partition_of(*key)));
        let lists = self.read();
        for group in grouping.groups() {
            lists.active.find_many(group, keys, found);
        }
        // One table after the other, so that the waits for memory of many keys overlap.
        for sealed in lists.unwritten() {
            for (key, found) in keys.iter().zip(found.iter_mut()) {
                *found = (*found).max(sealed.find(&self.shape, *key));
            }
        }
        for runs in lists.shelves() {
            touch_first(runs, keys);
            for (place, key) in keys.iter().enumerate() {
                if those_that_may_contain(runs, *key).next().is_some() {
                    on_disk.push(u32::try_from(place).expect("a batch is bounded"));
                }
            }
        }
    }

    /// The largest entry of a key.
    pub(super) fn lookup(&self, store: &dyn Store, key: IdKey) -> Result<Option<u64>, IdError> {
        loop {
            let (newest, candidates) = self.read().look(&self.shape, key);
            // Looking again means that a merge has ended meanwhile, which is rare: this ends.
            if let Some(newest) = newest_on_disk(store, key, newest, &candidates)? {
                return Ok(newest);
            }
        }
    }

    /// Announces that every id of records below `settled` has been inserted.
    pub(super) fn settle(&self, settled: Position) {
        self.settled.fetch_max(settled.0, Ordering::AcqRel);
    }

    /// The position announced last.
    pub(super) fn settled(&self) -> Position {
        Position(self.settled.load(Ordering::Acquire))
    }

    /// Seals the active generation if it is full, so that the next caller need not, or if it has spanned as many records as
    /// it may.
    pub(super) fn seal_if_due(&self) -> bool {
        // Mostly there is nothing to do, and then nobody should wait for the lock.
        if !self.is_due(&self.read()) {
            return false;
        }
        let mut lists = self.write();
        let is_due = self.is_due(&lists);
        if is_due {
            self.seal(&mut lists);
        }
        is_due
    }

    fn is_due(&self, lists: &Lists) -> bool {
        let is_full = lists.active.id_count() >= self.shape.generation_ids_max();
        let spans_many = self.settled().0.saturating_sub(lists.sealed_below.0) >= self.segment_records;
        // One that is not full can wait for those before it: it must not add to what the disk is behind with.
        is_full || (spans_many && lists.unwritten_from == lists.active.number)
    }

    /// Every id of a record below this position is in the runs.
    pub(super) fn covered(&self) -> Position {
        self.read().runs.last().map_or(Position(0), |run| run.footer.covered)
    }

    /// Puts the spare in the place of the active generation. The lock is held alone, so every insert that began has
    /// ended: whatever was settled before is in this generation or an earlier one, however few ids it has.
    fn seal(&self, lists: &mut Lists) {
        let tables = lists.spare.take().unwrap_or_else(|| {
            self.inline_table_count.fetch_add(self.shape.partition_count() as u64, Ordering::Relaxed);
            self.shape.tables()
        });
        let next = Active::new(lists.active.number + 1, tables);
        let ended = std::mem::replace(&mut lists.active, next);
        lists.sealed_below = self.settled();
        lists.sealed.push_back(Arc::new(ended.seal(lists.sealed_below)));
        self.unwritten_count.fetch_add(1, Ordering::Relaxed);
    }

    /// True while the next generation is ready.
    pub(super) fn has_spare(&self) -> bool {
        self.read().spare.is_some()
    }

    /// Hands over the tables of the next generation.
    pub(super) fn give_spare(&self, tables: Vec<Table>) {
        assert_eq!(tables.len(), self.shape.partition_count(), "a generation has a table for each partition");
        self.write().spare = Some(tables);
    }

    /// The generation to be written next.
    pub(super) fn oldest_unwritten(&self) -> Option<Arc<Sealed>> {
        self.read().unwritten().next().map(Arc::clone)
    }

    /// Adds the durable run of the oldest generation that was not durable.
    pub(super) fn add_run(&self, run: Run) {
        let mut lists = self.write();
        let footer = run.footer;
        let generations = (footer.first_generation, footer.last_generation);
        assert_eq!(generations, (lists.unwritten_from, lists.unwritten_from), "generations are written in order");
        lists.runs.push(Arc::new(run));
        lists.unwritten_from += 1;
        self.unwritten_count.fetch_sub(1, Ordering::Relaxed);
    }

    /// Puts a merged run in the place of those it was made of and marks them as retired: they may be deleted.
    pub(super) fn replace_runs(&self, inputs: &[Arc<Run>], merged: Run) {
        let mut lists = self.write();
        let first = lists.runs.iter().position(|run| Arc::ptr_eq(run, &inputs[0])).expect("inputs stay in the list");
        let range = first..first + inputs.len();
        let same = lists.runs[range.clone()].iter().zip(inputs).all(|(a, b)| Arc::ptr_eq(a, b));
        assert!(same, "merged runs stand next to each other");
        let old: Vec<_> = lists.runs.splice(range, [Arc::new(merged)]).collect();
        drop(lists);
        old.iter().for_each(|run| run.retire());
    }

    /// The runs, oldest first, as they are now.
    pub(super) fn runs(&self) -> Vec<Arc<Run>> {
        self.read().runs.clone()
    }

    /// The oldest generation in memory.
    pub(super) fn oldest_generation(&self) -> u64 {
        self.read().oldest_generation()
    }

    /// Forgets the oldest generation in memory if it is durable and memory holds more than it should. Its memory is the
    /// caller's to give back.
    pub(super) fn drop_oldest_written(&self) -> Option<Arc<Sealed>> {
        if !self.may_drop_oldest(&self.read()) {
            return None;
        }
        let mut lists = self.write();
        if self.may_drop_oldest(&lists) { lists.sealed.pop_front() } else { None }
    }

    fn may_drop_oldest(&self, lists: &Lists) -> bool {
        // The tables of a generation take what they take, however few ids are in them.
        let room = lists.sealed.len() as u64 * self.shape.generation_ids_max();
        let held = lists.memory_id_count().max(room);
        lists.oldest_generation() < lists.unwritten_from && held > self.memory_ids_max
    }

    /// True when so many sealed generations wait for the disk that no new claim should be granted.
    pub(super) fn is_behind(&self) -> bool {
        self.unwritten_count() >= ID_UNWRITTEN_GENERATIONS_MAX
    }

    /// Sealed generations that are not durable.
    pub(super) fn unwritten_count(&self) -> usize {
        self.unwritten_count.load(Ordering::Relaxed)
    }

    /// Tables allocated by a caller because no spare was ready.
    pub(super) fn inline_table_count(&self) -> u64 {
        self.inline_table_count.load(Ordering::Relaxed)
    }

    /// What is in the lists.
    pub(super) fn counts(&self) -> Counts {
        let lists = self.read();
        Counts {
            memory_ids: lists.memory_id_count(),
            disk_ids: lists.runs.iter().map(|run| run.footer.entry_count).sum(),
            runs: lists.runs.len(),
        }
    }
}

impl Lists {
    /// The largest entry of a key in memory, and the runs that may hold the key on disk only.
    fn look(&self, shape: &Shape, key: IdKey) -> (Option<u64>, Vec<Arc<Run>>) {
        let active = self.active.find(shape, key);
        let mut newest = self.unwritten().map(|sealed| sealed.find(shape, key)).fold(active, Option::max);
        let mut candidates = Vec::new();
        let oldest_generation = self.oldest_generation();
        for run in self.shelves().flat_map(|runs| those_that_may_contain(runs, key)) {
            let footer = &run.footer;
            for number in oldest_generation.max(footer.first_generation)..=footer.last_generation {
                let index = usize::try_from(number - oldest_generation).expect("generations in memory are few");
                newest = newest.max(self.sealed[index].find(shape, key));
            }
            if footer.first_generation < oldest_generation {
                candidates.push(Arc::clone(run));
            }
        }
        (newest, candidates)
    }

    /// The runs, oldest first: those of one shelf together, one that stands on none alone.
    fn shelves(&self) -> impl Iterator<Item = &[Arc<Run>]> {
        self.runs.chunk_by(|a, b| a.shares_shelf(b))
    }

    /// The sealed generations that are in no run, oldest first.
    fn unwritten(&self) -> impl Iterator<Item = &Arc<Sealed>> {
        let count = self.active.number - self.unwritten_from;
        let count = usize::try_from(count).expect("generations in memory are few");
        self.sealed.range(self.sealed.len() - count..)
    }

    fn oldest_generation(&self) -> u64 {
        self.sealed.front().map_or(self.active.number, |sealed| sealed.number)
    }

    fn memory_id_count(&self) -> u64 {
        let sealed: u64 = self.sealed.iter().map(|sealed| sealed.id_count).sum();
        sealed + self.active.id_count()
    }
}

/// Of runs of one shelf, or of one alone, those whose filters let the key pass, if the shelf does.
fn those_that_may_contain(runs: &[Arc<Run>], key: IdKey) -> impl Iterator<Item = &Arc<Run>> {
    let shelf = runs[0].shelf.as_ref();
    let asked = if shelf.is_none_or(|shelf| shelf.may_contain(key)) { runs } else { &[] };
    asked.iter().filter(move |run| run.may_contain(key))
}

/// Reads a little of the filter that is asked first for these keys, so that the waits for memory overlap. Few keys pass
/// a shelf: the filters of the runs on it are left alone.
fn touch_first(runs: &[Arc<Run>], keys: &[IdKey]) {
    match &runs[0].shelf {
        Some(shelf) => shelf.touch(keys),
        None => runs[0].touch(keys),
    }
}

/// The larger of `newest` and what the candidates hold; `None` when one of them was merged away meanwhile.
fn newest_on_disk(
    store: &dyn Store,
    key: IdKey,
    newest: Option<u64>,
    candidates: &[Arc<Run>],
) -> Result<Option<Option<u64>>, IdError> {
    let mut newest = newest;
    for run in candidates {
        match run.probe(store, key)? {
            Probe::Absent => {}
            Probe::Found(packed) => newest = newest.max(Some(packed)),
            Probe::Retired => return Ok(None),
        }
    }
    Ok(Some(newest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::bloom::Layout;
    use crate::ids::format::Footer;
    use crate::ids::shelf::Shelf;
    use crate::ids::test_store::TestStore;
    use crate::ids::writer::RunWriter;
    use crate::ids::{IdHasher, run};

    fn committed(segment_ids: u64, partitions: usize, memory_ids_max: u64) -> Committed {
        let options = IdOptions { segment_ids, partitions, memory_ids_max, ..IdOptions::default() };
        Committed::new(&options, run::open(&TestStore::default(), &mut |_| {}).unwrap())
    }

    fn key(number: u64) -> IdKey {
        IdHasher::new(&[5; 16]).transaction("north", &number.to_string())
    }

    /// Writes the oldest unwritten generation; gives its number and what it covers.
    fn write_oldest(committed: &Committed, store: &TestStore) -> (u64, Position) {
        let run = run_of_oldest(committed, store, None);
        let footer = run.footer;
        committed.add_run(run);
        (footer.first_generation, footer.covered)
    }

    /// Writes the oldest unwritten generation as a run that is not listed yet.
    fn run_of_oldest(committed: &Committed, store: &TestStore, shelf: Option<Arc<Shelf>>) -> Run {
        let generation = committed.oldest_unwritten().unwrap();
        let (number, covered) = (generation.number, generation.covered);
        let plan = Footer {
            run_id: number,
            level: 0,
            first_generation: number,
            last_generation: number,
            covered,
            entry_count: 0,
            block_count: 0,
            filter_line_count: 0,
            filter_layout: Layout::Ordered,
        };
        let mut writer = RunWriter::new(plan, generation.id_count).on_shelf(shelf);
        assert!(writer.prepare_step());
        let partitions = 0..committed.shape().partition_count();
        let mut sorted = Vec::new();
        for index in partitions {
            generation.sort_partition(index, &mut sorted);
            sorted.iter().for_each(|slot| writer.push(*slot));
        }
        writer.finish_step(store).unwrap().unwrap()
    }

    fn empty_shelf() -> Arc<Shelf> {
        let mut shelf = Shelf::for_ids(64).unwrap();
        assert!(shelf.prepare_step());
        Arc::new(shelf)
    }

    #[test]
    fn the_largest_entry_wins_in_any_order() {
        let store = TestStore::default();
        let committed = committed(2, 1, 0);
        let lookup = |number| committed.lookup(&store, key(number)).unwrap();
        committed.insert(key(1), 8);
        committed.insert(key(1), 6);
        assert_eq!(lookup(1), Some(8));
        committed.insert(key(2), 10);
        committed.insert(key(3), 12); // Opens the next generation.
        committed.insert(key(1), 4);
        assert_eq!(lookup(1), Some(8), "an older entry in a newer generation does not win");
        write_oldest(&committed, &store);
        assert!(committed.drop_oldest_written().is_some());
        assert_eq!(lookup(1), Some(8), "nor one in memory over a newer one on disk");
        committed.insert(key(1), 20);
        assert_eq!(lookup(1), Some(20));
        assert_eq!(lookup(4), None);
    }

    #[test]
    fn a_generation_covers_only_what_was_settled_before_it_was_sealed() {
        let store = TestStore::default();
        let committed = committed(1, 1, 0);
        committed.settle(Position(3));
        committed.insert(key(1), 8);
        committed.insert(key(2), 12);
        committed.settle(Position(9));
        committed.settle(Position(5));
        committed.insert(key(3), 18);
        assert_eq!(write_oldest(&committed, &store), (0, Position(3)));
        assert_eq!(write_oldest(&committed, &store), (1, Position(9)));
        assert!(committed.oldest_unwritten().is_none());
    }

    #[test]
    fn memory_is_dropped_oldest_first_and_only_when_durable() {
        let store = TestStore::default();
        let committed = committed(2, 1, 3);
        (0..6).for_each(|number| committed.insert(key(number), number));
        assert_eq!(committed.unwritten_count(), 2);
        assert!(committed.drop_oldest_written().is_none(), "nothing is durable yet");
        write_oldest(&committed, &store);
        assert_eq!((committed.unwritten_count(), committed.oldest_generation()), (1, 0));
        assert!(committed.drop_oldest_written().is_some());
        assert_eq!(committed.oldest_generation(), 1);
        assert!(committed.drop_oldest_written().is_none(), "the next is not durable");
        write_oldest(&committed, &store);
        assert!(committed.drop_oldest_written().is_some());
        assert_eq!(committed.counts(), Counts { memory_ids: 2, disk_ids: 4, runs: 2 });
        assert!(committed.drop_oldest_written().is_none(), "the active generation stays");
        assert!((0..6).all(|number| committed.lookup(&store, key(number)).unwrap() == Some(number)));
    }

    #[test]
    fn what_is_in_memory_is_not_read_from_disk() {
        let store = TestStore::default();
        let committed = committed(2, 1, 100);
        (0..6).for_each(|number| committed.insert(key(number), number));
        write_oldest(&committed, &store);
        write_oldest(&committed, &store);
        let empty = TestStore::default();
        assert!((0..6).all(|number| committed.lookup(&empty, key(number)).unwrap() == Some(number)));
    }

    #[test]
    fn runs_on_a_shelf_that_denies_are_not_asked() {
        let store = TestStore::default();
        let committed = committed(2, 1, 0);
        (0..9).for_each(|number| committed.insert(key(number), number));
        let (own, empty) = (empty_shelf(), empty_shelf());
        let mut runs: Vec<Run> = (0..4)
            .map(|number| {
                let shelf = (number < 3).then(|| Arc::clone(&own));
                let run = run_of_oldest(&committed, &store, shelf);
                committed.add_run(run_of_oldest(&committed, &store, None));
                assert!(committed.drop_oldest_written().is_some());
                run
            })
            .collect();
        // Two runs are listed as on a shelf that knows nothing of them, one on its own, and one alone.
        runs[0].shelf = Some(Arc::clone(&empty));
        runs[1].shelf = Some(empty);
        committed.write().runs = runs.into_iter().map(Arc::new).collect();
        let found: Vec<_> = (0..8).map(|number| committed.lookup(&store, key(number)).unwrap()).collect();
        assert_eq!(found, [None, None, None, None, Some(4), Some(5), Some(6), Some(7)]);
        let (mut found, mut on_disk) = (Vec::new(), Vec::new());
        let keys: Vec<IdKey> = (0..40).map(key).collect();
        committed.lookup_many(&keys, &mut Grouping::default(), &mut found, &mut on_disk);
        assert_eq!(on_disk, [4, 5, 6, 7], "the disk is asked for what passed, and once for each");
    }

    #[test]
    fn a_prepared_spare_saves_the_caller_the_allocation() {
        let committed = committed(2, 2, 0);
        committed.give_spare(committed.shape().tables());
        let mut number = 0;
        while committed.unwritten_count() == 0 {
            committed.insert(key(number), number);
            number += 1;
        }
        assert_eq!(committed.inline_table_count(), 0);
        assert!(!committed.has_spare());
        while committed.unwritten_count() == 1 {
            committed.insert(key(number), number);
            number += 1;
        }
        assert_eq!(committed.inline_table_count(), 2, "without a spare it allocates a table for each partition");
    }

    #[test]
    fn a_full_generation_is_sealed_ahead_of_the_next_caller() {
        let committed = committed(2, 1, 0);
        committed.insert(key(1), 1);
        assert!(!committed.seal_if_due());
        committed.insert(key(2), 2);
        assert!(committed.seal_if_due());
        assert!(!committed.seal_if_due());
        assert_eq!(committed.unwritten_count(), 1);
    }

    /// Generations of eight ids or a hundred records, of which memory has room for two.
    fn spanning_a_hundred() -> Committed {
        let (segment_ids, segment_records, memory_ids_max) = (8, 100, 16);
        let options = IdOptions { segment_ids, segment_records, memory_ids_max, partitions: 1, ..IdOptions::default() };
        Committed::new(&options, run::open(&TestStore::default(), &mut |_| {}).unwrap())
    }

    #[test]
    fn a_generation_ends_with_its_records_too_whether_it_holds_ids_or_none() {
        let store = TestStore::default();
        let committed = spanning_a_hundred();
        committed.settle(Position(99));
        assert!(!committed.seal_if_due());
        committed.settle(Position(100));
        assert!(committed.seal_if_due(), "though there is no id in it");
        assert_eq!(committed.covered(), Position(0), "nothing is on disk yet");
        committed.insert(key(1), 2 * 150);
        committed.settle(Position(230));
        assert!(!committed.seal_if_due(), "the one before is not on disk yet");
        assert_eq!(write_oldest(&committed, &store), (0, Position(100)));
        assert_eq!(committed.covered(), Position(100));
        assert!(committed.seal_if_due());
        assert!(!committed.seal_if_due(), "the next begins where this one ends");
        assert_eq!(write_oldest(&committed, &store), (1, Position(230)));
        assert_eq!((committed.covered(), committed.lookup(&store, key(1)).unwrap()), (Position(230), Some(300)));
    }

    #[test]
    fn generations_with_few_ids_take_memory_as_full_ones_do() {
        let store = TestStore::default();
        let committed = spanning_a_hundred();
        for number in 1..=5 {
            committed.settle(Position(number * 100));
            assert!(committed.seal_if_due());
            write_oldest(&committed, &store);
        }
        let dropped = std::iter::from_fn(|| committed.drop_oldest_written()).count();
        assert_eq!(dropped, 3, "there is room for the tables of two");
    }

    #[test]
    fn claims_stop_when_the_disk_falls_behind() {
        let store = TestStore::default();
        let committed = committed(1, 1, 0);
        let behind_at = (0..100).find(|number| {
            committed.insert(key(*number), *number);
            committed.is_behind()
        });
        assert_eq!(behind_at, Some(ID_UNWRITTEN_GENERATIONS_MAX as u64));
        write_oldest(&committed, &store);
        assert!(!committed.is_behind());
    }
}
