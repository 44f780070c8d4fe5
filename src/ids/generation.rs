//! Generations: ids in memory, in tables of fixed size.
//!
//! A generation is a fixed number of partitions, chosen by the first bits of a key; each is an open-address table that
//! never grows. When the active generation is full it is sealed and another takes its place: nothing is ever rehashed.
//!
//! What must stay true:
//! - a sealed generation never changes. With it and those before it every id of a record below its `covered` position
//!   is known, because `covered` was announced as settled before the generation was sealed;
//! - of several entries of one key in a generation the largest is kept.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam::utils::CachePadded;

use super::IdOptions;
use super::key::IdKey;
use crate::ledger::types::Position;

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

    /// Ids of a full generation.
    pub(super) fn generation_ids_max(&self) -> u64 {
        self.generation_ids_max
    }

    /// Partitions of a generation.
    pub(super) fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// Slots of one partition.
    pub(super) fn slots_per_partition(&self) -> usize {
        self.slots_per_partition
    }

    /// The tables of one generation.
    pub(super) fn tables(&self) -> Vec<Table> {
        (0..self.partition_count).map(|_| self.table(None)).collect()
    }

    /// An empty table for one partition; in memory that was used before, if there is any: fresh memory is slow to touch.
    pub(super) fn table(&self, used: Option<Table>) -> Table {
        used.map_or_else(|| Table::new(self.slots_per_partition), Table::emptied)
    }

    /// The first bits of the key, so that partitions in order hold keys in order.
    pub(super) fn partition_of(&self, key: IdKey) -> usize {
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

    /// The table with nothing in it.
    fn emptied(mut self) -> Self {
        self.slots.iter_mut().for_each(|slot| slot.packed = VACANT);
        self.used_count = 0;
        self
    }

    /// Where the search for a key begins.
    fn home_of(&self, key: IdKey) -> usize {
        let scaled = (u128::from(key.low()) * self.slots.len() as u128) >> 64;
        usize::try_from(scaled).expect("scaled below the number of slots")
    }

    /// Reads a word where the search for each of these keys begins, so that the waits for memory overlap.
    fn touch(&self, keys: impl Iterator<Item = IdKey>) {
        std::hint::black_box(keys.fold(0, |mix, key| mix ^ self.slots[self.home_of(key)].packed));
    }

    /// The slot that holds the key, or the vacant one where it belongs.
    fn slot_of(&self, key: IdKey) -> usize {
        let mut index = self.home_of(key);
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
pub(super) struct Active {
    /// Its number.
    pub(super) number: u64,
    tables: Vec<Mutex<Table>>,
    /// Apart from what every search reads.
    id_count: CachePadded<AtomicU64>,
}

impl Active {
    /// Nothing in it yet.
    pub(super) fn new(number: u64, tables: Vec<Table>) -> Self {
        Self {
            number,
            tables: tables.into_iter().map(Mutex::new).collect(),
            id_count: CachePadded::new(AtomicU64::new(0)),
        }
    }

    /// A table is whole at every moment, so the poison of a thread that panicked is passed over.
    fn table(&self, partition: usize) -> MutexGuard<'_, Table> {
        self.tables[partition].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers an entry; false when the generation is full and does not know the key.
    pub(super) fn put(&self, shape: &Shape, key: IdKey, packed: u64) -> bool {
        self.put_into(&mut self.table(shape.partition_of(key)), shape, key, packed)
    }

    fn put_into(&self, table: &mut Table, shape: &Shape, key: IdKey, packed: u64) -> bool {
        // Threads in different partitions may pass the limit together: by one id a partition at most.
        let may_add = self.id_count.load(Ordering::Relaxed) < shape.generation_ids_max;
        match table.put(key, packed, may_add) {
            Put::Added => self.id_count.fetch_add(1, Ordering::Relaxed),
            Put::Merged => return true,
            Put::Full => return false,
        };
        true
    }

    /// The packed entry of a key.
    pub(super) fn find(&self, shape: &Shape, key: IdKey) -> Option<u64> {
        self.table(shape.partition_of(key)).find(key)
    }

    /// Remembers the entries at these places of a list, all of one partition; pushes the places of those for which the
    /// generation is full.
    pub(super) fn put_many(
        &self,
        shape: &Shape,
        (partition, places): (usize, &[u32]),
        entries: &[(IdKey, u64)],
        left: &mut Vec<u32>,
    ) {
        let mut table = self.table(partition);
        table.touch(places.iter().map(|place| entries[*place as usize].0));
        for place in places {
            let (key, packed) = entries[*place as usize];
            if !self.put_into(&mut table, shape, key, packed) {
                left.push(*place);
            }
        }
    }

    /// The packed entries of the keys at these places of a list, all of one partition, by place.
    pub(super) fn find_many(&self, (partition, places): (usize, &[u32]), keys: &[IdKey], found: &mut [Option<u64>]) {
        let table = self.table(partition);
        table.touch(places.iter().map(|place| keys[*place as usize]));
        for place in places {
            found[*place as usize] = table.find(keys[*place as usize]);
        }
    }

    /// Ids in it.
    pub(super) fn id_count(&self) -> u64 {
        self.id_count.load(Ordering::Relaxed)
    }

    /// Takes no more ids. The caller holds it alone, so every `put` that began has ended.
    pub(super) fn seal(self, covered: Position) -> Sealed {
        let tables = self.tables.into_iter().map(|table| table.into_inner().unwrap_or_else(PoisonError::into_inner));
        Sealed {
            number: self.number,
            covered,
            id_count: self.id_count.load(Ordering::Relaxed),
            tables: tables.collect(),
        }
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
    /// Puts the ids of one partition, in the order of their keys, in place of what `sorted` holds.
    pub(super) fn sort_partition(&self, index: usize, sorted: &mut Vec<Slot>) {
        sorted.clear();
        sorted.extend(self.tables[index].slots.iter().filter(|slot| slot.packed != VACANT));
        sorted.sort_unstable();
    }

    /// The memory of its tables, for a generation to come.
    pub(super) fn into_tables(self) -> Vec<Table> {
        self.tables
    }

    /// The packed entry of a key.
    pub(super) fn find(&self, shape: &Shape, key: IdKey) -> Option<u64> {
        self.tables[shape.partition_of(key)].find(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::IdHasher;

    fn shape(segment_ids: u64, partitions: usize) -> Shape {
        Shape::new(&IdOptions { segment_ids, partitions, ..IdOptions::default() })
    }

    fn key(number: u64) -> IdKey {
        IdHasher::new(&[5; 16]).transaction("north", &number.to_string())
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
            let shape = shape(segment_ids, partitions);
            let bytes = shape.slots_per_partition * partitions * size_of::<Slot>();
            assert!(bytes as u64 <= 32 * segment_ids, "{segment_ids} ids take {bytes} bytes");
        }
    }

    #[test]
    fn a_generation_takes_as_many_ids_as_stated() {
        for ids_max in [1, 2, 3, 50] {
            let shape = shape(ids_max, 1);
            let active = Active::new(0, shape.tables());
            assert!((0..ids_max).all(|number| active.put(&shape, key(number), number)), "{ids_max}");
            assert!(!active.put(&shape, key(ids_max), 0), "{ids_max}");
            assert!(active.put(&shape, key(0), 9), "a known id can still change");
            assert_eq!((active.find(&shape, key(0)), active.id_count()), (Some(9), ids_max));
        }
    }

    #[test]
    fn partitions_in_order_hold_keys_in_order() {
        let shape = shape(500, 4);
        let active = Active::new(3, shape.tables());
        (0..450).for_each(|number| assert!(active.put(&shape, key(number), number)));
        let sealed = active.seal(Position(40));
        let mut sorted = Vec::new();
        let all: Vec<Slot> = (0..4)
            .flat_map(|partition| {
                sealed.sort_partition(partition, &mut sorted);
                sorted.clone()
            })
            .collect();
        assert_eq!((all.len(), sealed.id_count, sealed.covered), (450, 450, Position(40)));
        assert!(all.is_sorted_by(|a, b| a.key < b.key));
        assert!(all.iter().all(|slot| key(slot.packed) == slot.key));
        assert!((0..450).all(|number| sealed.find(&shape, key(number)) == Some(number)));
    }
}
