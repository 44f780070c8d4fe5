//! Ids remembered in memory: generations of fixed size, the newest of which takes new ids.
//!
//! A generation is a fixed number of partitions, chosen by the first bits of a key; each is an open-address table that
//! never grows. When the active generation is full it is sealed and a spare one, allocated and touched ahead of need,
//! takes its place: nothing is ever rehashed, so no caller pays for growth.
//!
//! What must stay true:
//! - generations are numbered without gaps, across restarts too, and are written to disk in that order;
//! - a sealed generation never changes. With it and those before it every id of a record below its `covered` position
//!   is known, because `covered` was announced as settled before the generation was sealed;
//! - memory is dropped oldest first, and only of generations whose run is durable and can be looked up;
//! - of several entries of one key the largest wins, wherever they are.
//!
//! Lock order: the lists, then one partition. Both are held for a few memory accesses only; nothing is written to disk
//! under them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::IdOptions;
use super::key::IdKey;
use crate::ledger::types::Position;
use crate::limits::ID_UNWRITTEN_GENERATIONS_MAX;

/// Marks a slot that holds nothing; no entry packs to it.
const VACANT: u64 = u64::MAX;

/// One place of a table: a key and its packed entry, 24 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    /// Name of the id.
    pub(super) key: IdKey,
    /// [`super::IdEntry`] packed, or the mark of a vacant slot.
    pub(super) packed: u64,
}

const _: () = assert!(size_of::<Slot>() == 24, "a table of 3 slots for 2 or more ids stays within 32 bytes an id");

/// Sizes of every generation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    partition_count: usize,
    slots_per_partition: usize,
    generation_ids_max: u64,
}

impl Shape {
    /// Three quarters of the slots are in use when a generation is full: 32 bytes an id. With few ids to a partition
    /// chance fills one early, and the generation is sealed before it is full.
    pub(super) fn new(options: &IdOptions) -> Self {
        let slots = u128::from(options.segment_ids) * 4 / (3 * options.partitions as u128);
        let share = u128::from(options.segment_ids.div_ceil(options.partitions as u64));
        Self {
            partition_count: options.partitions,
            // One slot stays vacant, so that every search ends; that matters only in tiny partitions.
            slots_per_partition: usize::try_from(slots.max(share + 1)).expect("checked with the options"),
            generation_ids_max: options.segment_ids,
        }
    }

    /// Partitions of a generation.
    pub(super) fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// Slots of one partition.
    pub(super) fn slots_per_partition(&self) -> usize {
        self.slots_per_partition
    }

    /// An empty table for one partition.
    pub(super) fn table(&self) -> Table {
        Table::new(self.slots_per_partition)
    }

    /// The first bits of the key, so that partitions in order hold keys in order.
    fn partition_of(&self, key: IdKey) -> usize {
        let scaled = (u128::from(key.high()) * self.partition_count as u128) >> 64;
        usize::try_from(scaled).expect("scaled below the number of partitions")
    }
}

/// What [`Table::put`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Put {
    Added,
    Merged,
    Full,
}

/// An open-address table of fixed size with linear search.
#[derive(Debug)]
pub(super) struct Table {
    slots: Box<[Slot]>,
    used_count: usize,
}

impl Table {
    /// Allocates the slots and writes every one, so that no page is touched for the first time under load.
    fn new(slot_count: usize) -> Self {
        assert!(slot_count >= 2, "a table keeps one slot vacant");
        Self { slots: vec![Slot { key: IdKey([0; 16]), packed: VACANT }; slot_count].into_boxed_slice(), used_count: 0 }
    }

    /// The slot that holds the key, or the vacant one where it belongs.
    fn slot_of(&self, key: IdKey) -> usize {
        let scaled = (u128::from(key.low()) * self.slots.len() as u128) >> 64;
        let mut index = usize::try_from(scaled).expect("scaled below the number of slots");
        loop {
            let slot = &self.slots[index];
            if slot.packed == VACANT || slot.key == key {
                return index;
            }
            index = if index + 1 == self.slots.len() { 0 } else { index + 1 };
        }
    }

    /// The packed entry of a key.
    fn find(&self, key: IdKey) -> Option<u64> {
        let packed = self.slots[self.slot_of(key)].packed;
        (packed != VACANT).then_some(packed)
    }

    /// Remembers an entry; the larger wins if the key is known. A new key is added only where `may_add`.
    fn put(&mut self, key: IdKey, packed: u64, may_add: bool) -> Put {
        assert!(packed != VACANT, "no entry packs to the mark of a vacant slot");
        let index = self.slot_of(key);
        let slot = &mut self.slots[index];
        if slot.packed != VACANT {
            slot.packed = slot.packed.max(packed);
            return Put::Merged;
        }
        if !may_add || self.used_count + 1 >= self.slots.len() {
            return Put::Full;
        }
        self.slots[index] = Slot { key, packed };
        self.used_count += 1;
        Put::Added
    }
}

/// The generation that takes new ids.
struct Active {
    number: u64,
    tables: Vec<Mutex<Table>>,
    id_count: AtomicU64,
}

impl Active {
    fn new(number: u64, tables: Vec<Table>) -> Self {
        Self { number, tables: tables.into_iter().map(Mutex::new).collect(), id_count: AtomicU64::new(0) }
    }

    /// False when the generation is full and does not know the key.
    fn put(&self, shape: &Shape, key: IdKey, packed: u64) -> bool {
        let mut table = self.tables[shape.partition_of(key)].lock().unwrap_or_else(PoisonError::into_inner);
        // Threads in different partitions may pass the limit together: by one id a partition at most.
        let may_add = self.id_count.load(Ordering::Relaxed) < shape.generation_ids_max;
        match table.put(key, packed, may_add) {
            Put::Added => self.id_count.fetch_add(1, Ordering::Relaxed),
            Put::Merged => return true,
            Put::Full => return false,
        };
        true
    }

    fn find(&self, shape: &Shape, key: IdKey) -> Option<u64> {
        self.tables[shape.partition_of(key)].lock().unwrap_or_else(PoisonError::into_inner).find(key)
    }
}

/// A generation that takes no more ids.
#[derive(Debug)]
pub(super) struct Sealed {
    /// Its number.
    pub(super) number: u64,
    /// Every id of a record below this position is in this generation or an earlier one.
    pub(super) covered: Position,
    /// Ids in it.
    pub(super) id_count: u64,
    tables: Vec<Table>,
}

impl Sealed {
    /// The ids of one partition in the order of their keys.
    pub(super) fn sorted_partition(&self, index: usize) -> Vec<Slot> {
        let slots = self.tables[index].slots.iter();
        let mut sorted: Vec<Slot> = slots.filter(|slot| slot.packed != VACANT).copied().collect();
        sorted.sort_unstable();
        sorted
    }

    fn find(&self, shape: &Shape, key: IdKey) -> Option<u64> {
        self.tables[shape.partition_of(key)].find(key)
    }
}

/// Everything that is in memory, under one lock.
struct Lists {
    active: Active,
    /// Tables for the next generation.
    spare: Option<Vec<Table>>,
    /// Oldest first, numbers without gaps, ending just before the active one.
    sealed: VecDeque<Arc<Sealed>>,
    /// Generations below this number are durable as runs.
    unwritten_from: u64,
}

/// What [`Memory::lookup`] saw.
pub(super) struct Seen {
    /// The largest entry of the key in memory.
    pub(super) packed: Option<u64>,
    /// The oldest generation that was looked at; every later one was too.
    pub(super) oldest_generation: u64,
}

/// The generations in memory.
pub(super) struct Memory {
    shape: Shape,
    memory_ids_max: u64,
    lists: RwLock<Lists>,
    /// The settled position announced last.
    settled: AtomicU64,
    /// Sealed generations that are not durable, mirrored from the lists for a look without the lock.
    unwritten_count: AtomicUsize,
    /// Tables allocated by a caller because no spare was ready.
    inline_table_count: AtomicU64,
}

impl Memory {
    /// An empty active generation with the given number, one after those that are on disk.
    pub(super) fn new(options: &IdOptions, number: u64, covered: Position) -> Self {
        let shape = Shape::new(options);
        let tables = (0..shape.partition_count).map(|_| shape.table()).collect();
        let active = Active::new(number, tables);
        Self {
            shape,
            memory_ids_max: options.memory_ids_max,
            lists: RwLock::new(Lists { active, spare: None, sealed: VecDeque::new(), unwritten_from: number }),
            settled: AtomicU64::new(covered.0),
            unwritten_count: AtomicUsize::new(0),
            inline_table_count: AtomicU64::new(0),
        }
    }

    /// The sizes of a generation.
    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// A panic while a lock is held cannot leave the lists half changed, so poison is passed over.
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

    /// The largest entry of a key in memory.
    pub(super) fn lookup(&self, key: IdKey) -> Seen {
        let lists = self.read();
        let active = lists.active.find(&self.shape, key);
        let packed = lists.sealed.iter().map(|sealed| sealed.find(&self.shape, key)).fold(active, Option::max);
        Seen { packed, oldest_generation: lists.oldest_generation() }
    }

    /// The oldest generation in memory.
    pub(super) fn oldest_generation(&self) -> u64 {
        self.read().oldest_generation()
    }

    /// Announces that every id of records below `settled` has been inserted.
    pub(super) fn settle(&self, settled: Position) {
        self.settled.fetch_max(settled.0, Ordering::AcqRel);
    }

    /// The position announced last.
    pub(super) fn settled(&self) -> Position {
        Position(self.settled.load(Ordering::Acquire))
    }

    /// Seals the active generation if it is full, so that the next caller need not.
    pub(super) fn seal_if_full(&self) -> bool {
        // Mostly there is nothing to do, and then nobody should wait for the lock.
        if !self.is_full(&self.read()) {
            return false;
        }
        let mut lists = self.write();
        let full = self.is_full(&lists);
        if full {
            self.seal(&mut lists);
        }
        full
    }

    fn is_full(&self, lists: &Lists) -> bool {
        lists.active.id_count.load(Ordering::Relaxed) >= self.shape.generation_ids_max
    }

    /// Puts the spare in the place of the active generation. The lock is held alone, so every insert that began has
    /// ended: whatever was settled before is in this generation or an earlier one.
    fn seal(&self, lists: &mut Lists) {
        let tables = lists.spare.take().unwrap_or_else(|| {
            self.inline_table_count.fetch_add(self.shape.partition_count as u64, Ordering::Relaxed);
            (0..self.shape.partition_count).map(|_| self.shape.table()).collect()
        });
        let next = Active::new(lists.active.number + 1, tables);
        let full = std::mem::replace(&mut lists.active, next);
        let tables = full.tables.into_iter().map(|table| table.into_inner().unwrap_or_else(PoisonError::into_inner));
        lists.sealed.push_back(Arc::new(Sealed {
            number: full.number,
            covered: self.settled(),
            id_count: full.id_count.into_inner(),
            tables: tables.collect(),
        }));
        self.unwritten_count.fetch_add(1, Ordering::Relaxed);
    }

    /// True while the next generation is ready.
    pub(super) fn has_spare(&self) -> bool {
        self.read().spare.is_some()
    }

    /// Hands over the tables of the next generation.
    pub(super) fn give_spare(&self, tables: Vec<Table>) {
        assert_eq!(tables.len(), self.shape.partition_count, "a generation has a table for each partition");
        self.write().spare = Some(tables);
    }

    /// The generation to be written next.
    pub(super) fn oldest_unwritten(&self) -> Option<Arc<Sealed>> {
        let lists = self.read();
        lists.sealed.iter().find(|sealed| sealed.number >= lists.unwritten_from).map(Arc::clone)
    }

    /// Notes that a generation is durable and its run is looked up. Generations are written in order.
    pub(super) fn mark_written(&self, number: u64) {
        let mut lists = self.write();
        assert_eq!(lists.unwritten_from, number, "generations are written in order");
        lists.unwritten_from = number + 1;
        self.unwritten_count.fetch_sub(1, Ordering::Relaxed);
    }

    /// Forgets the oldest generation if it is durable and memory holds more than it should.
    pub(super) fn drop_oldest_written(&self) -> bool {
        if !self.may_drop_oldest(&self.read()) {
            return false;
        }
        let mut lists = self.write();
        if !self.may_drop_oldest(&lists) {
            return false;
        }
        let oldest = lists.sealed.pop_front();
        // Memory is given back without the lock.
        drop(lists);
        drop(oldest);
        true
    }

    fn may_drop_oldest(&self, lists: &Lists) -> bool {
        let durable = lists.sealed.front().is_some_and(|oldest| oldest.number < lists.unwritten_from);
        durable && lists.id_count() > self.memory_ids_max
    }

    /// True when so many sealed generations wait for the disk that no new claim should be granted.
    pub(super) fn is_behind(&self) -> bool {
        self.unwritten_count() >= ID_UNWRITTEN_GENERATIONS_MAX
    }

    /// Sealed generations that are not durable.
    pub(super) fn unwritten_count(&self) -> usize {
        self.unwritten_count.load(Ordering::Relaxed)
    }

    /// Ids in memory; one that is in several generations counts several times.
    pub(super) fn id_count(&self) -> u64 {
        self.read().id_count()
    }

    /// Tables allocated by a caller because no spare was ready.
    pub(super) fn inline_table_count(&self) -> u64 {
        self.inline_table_count.load(Ordering::Relaxed)
    }
}

impl Lists {
    fn oldest_generation(&self) -> u64 {
        self.sealed.front().map_or(self.active.number, |sealed| sealed.number)
    }

    fn id_count(&self) -> u64 {
        let sealed: u64 = self.sealed.iter().map(|sealed| sealed.id_count).sum();
        sealed + self.active.id_count.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::IdHasher;

    fn options(segment_ids: u64, partitions: usize, memory_ids_max: u64) -> IdOptions {
        IdOptions { segment_ids, partitions, memory_ids_max, ..IdOptions::default() }
    }

    fn key(number: u64) -> IdKey {
        IdHasher::new(&[5; 16]).transaction("north", &number.to_string())
    }

    #[test]
    fn the_larger_entry_wins_in_any_order() {
        let memory = Memory::new(&options(2, 1, 0), 0, Position(0));
        memory.insert(key(1), 8);
        memory.insert(key(1), 6);
        assert_eq!(memory.lookup(key(1)).packed, Some(8));
        memory.insert(key(2), 10);
        memory.insert(key(3), 12); // Opens the next generation.
        memory.insert(key(1), 4);
        assert_eq!(memory.lookup(key(1)).packed, Some(8), "an older entry in a newer generation does not win");
        memory.insert(key(1), 20);
        assert_eq!(memory.lookup(key(1)).packed, Some(20));
    }

    #[test]
    fn a_table_keeps_one_slot_vacant_and_finds_what_wrapped_around() {
        let mut table = Table::new(4);
        let last_home = |byte| IdKey([byte, 0, 0, 0, 0, 0, 0, 0, 0xff, 0, 0, 0, 0, 0, 0, 0]);
        for byte in 0..3 {
            assert_eq!(table.put(last_home(byte), u64::from(byte), true), Put::Added);
        }
        assert_eq!(table.put(last_home(3), 3, true), Put::Full);
        assert_eq!(table.put(last_home(2), 9, false), Put::Merged);
        assert_eq!(table.find(last_home(0)), Some(0));
        assert_eq!(table.find(last_home(2)), Some(9));
        assert_eq!(table.find(last_home(3)), None);
    }

    #[test]
    fn a_full_generation_takes_at_most_32_bytes_an_id() {
        for (segment_ids, partitions) in [(1 << 20, 64), (1 << 16, 16), (3_000, 1)] {
            let shape = Shape::new(&options(segment_ids, partitions, 0));
            let bytes = shape.slots_per_partition * partitions * size_of::<Slot>();
            assert!(bytes as u64 <= 32 * segment_ids, "{segment_ids} ids take {bytes} bytes");
        }
    }

    #[test]
    fn partitions_in_order_hold_keys_in_order() {
        let memory = Memory::new(&options(500, 4, 0), 0, Position(0));
        (0..450).for_each(|number| memory.insert(key(number), number));
        memory.settle(Position(40));
        memory.seal(&mut memory.write());
        let sealed = memory.oldest_unwritten().unwrap();
        let all: Vec<Slot> = (0..4).flat_map(|partition| sealed.sorted_partition(partition)).collect();
        assert_eq!((all.len(), sealed.id_count, sealed.covered), (450, 450, Position(40)));
        assert!(all.is_sorted_by(|a, b| a.key < b.key));
        assert!(all.iter().all(|slot| key(slot.packed) == slot.key));
    }

    #[test]
    fn a_generation_covers_only_what_was_settled_before_it_was_sealed() {
        let memory = Memory::new(&options(1, 1, 0), 7, Position(3));
        memory.insert(key(1), 8);
        memory.insert(key(2), 12);
        memory.settle(Position(9));
        memory.settle(Position(5));
        let first = memory.oldest_unwritten().unwrap();
        assert_eq!((first.number, first.covered), (7, Position(3)));
        memory.mark_written(7);
        memory.insert(key(3), 18);
        assert_eq!(memory.oldest_unwritten().unwrap().covered, Position(9));
    }

    #[test]
    fn memory_is_dropped_oldest_first_and_only_when_durable() {
        let memory = Memory::new(&options(2, 1, 3), 0, Position(0));
        (0..6).for_each(|number| memory.insert(key(number), number));
        assert_eq!(memory.unwritten_count(), 2);
        assert!(!memory.drop_oldest_written(), "nothing is durable yet");
        memory.mark_written(0);
        assert_eq!(memory.lookup(key(0)).oldest_generation, 0);
        assert!(memory.drop_oldest_written());
        assert_eq!(memory.lookup(key(0)).oldest_generation, 1);
        assert_eq!(memory.lookup(key(0)).packed, None);
        assert!(!memory.drop_oldest_written(), "the next is not durable");
        memory.mark_written(1);
        assert!(memory.drop_oldest_written());
        assert_eq!(memory.id_count(), 2);
        assert!(!memory.drop_oldest_written(), "the active generation stays");
    }

    #[test]
    fn a_prepared_spare_saves_the_caller_the_allocation() {
        let memory = Memory::new(&options(2, 2, 0), 0, Position(0));
        memory.give_spare(vec![memory.shape.table(), memory.shape.table()]);
        let mut number = 0;
        while memory.unwritten_count() == 0 {
            memory.insert(key(number), number);
            number += 1;
        }
        assert_eq!(memory.inline_table_count(), 0);
        assert!(!memory.has_spare());
        while memory.unwritten_count() == 1 {
            memory.insert(key(number), number);
            number += 1;
        }
        assert_eq!(memory.inline_table_count(), 2, "without a spare the caller allocates a table for each partition");
    }

    #[test]
    fn claims_stop_when_the_disk_falls_behind() {
        let memory = Memory::new(&options(1, 1, 0), 0, Position(0));
        let behind_at = (0..100).find(|number| {
            memory.insert(key(*number), *number);
            memory.is_behind()
        });
        assert_eq!(behind_at, Some(ID_UNWRITTEN_GENERATIONS_MAX as u64));
        memory.mark_written(0);
        assert!(!memory.is_behind());
    }
}
