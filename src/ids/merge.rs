//! Merges neighbouring runs of one level into a run of the next, in bounded steps and bounded memory.
//!
//! What must stay true:
//! - of several entries of one key the largest is kept, a freeing like any other;
//! - a freeing is dropped only where nothing older can be left that it must hide: the merge includes the oldest run, the
//!   freeing was settled when the newest input was sealed, and no generation of the inputs is in memory any more.

use std::collections::VecDeque;
use std::sync::Arc;

use super::IdError;
use super::bloom::Layout;
use super::format::{Block, Footer, damaged};
use super::generation::Slot;
use super::key::{IdEntry, IdKey};
use super::run::Run;
use super::shelf::Shelf;
use super::writer::RunWriter;
use crate::ledger::types::Position;
use crate::limits::ID_STEP_ENTRIES_MAX;
use crate::store::Store;

/// Blocks of an input that are read together.
const BLOCKS_AHEAD: usize = 32;

/// Reads one run from its first entry to its last, holding a few blocks.
struct Cursor {
    run: Arc<Run>,
    next_block: usize,
    block: Option<Block>,
    /// The blocks from the next one on that were read already.
    ahead: VecDeque<Block>,
    /// The next entry within the block.
    entry_index: usize,
    last_key: Option<IdKey>,
    taken_count: u64,
    /// The next entry, once it was looked for.
    head: Option<Slot>,
    is_used_up: bool,
}

impl Cursor {
    fn new(run: Arc<Run>) -> Self {
        Self {
            run,
            next_block: 0,
            block: None,
            ahead: VecDeque::new(),
            entry_index: 0,
            last_key: None,
            taken_count: 0,
            head: None,
            is_used_up: false,
        }
    }

    /// Makes sure that the head is the next entry, if there is one. Nothing has happened when it fails.
    fn fill(&mut self, store: &dyn Store) -> Result<(), IdError> {
        if self.head.is_none() && !self.is_used_up {
            self.head = self.peek(store)?;
            self.is_used_up = self.head.is_none();
        }
        Ok(())
    }

    /// The next entry, without passing it. Reads a block when the last one is used up.
    fn peek(&mut self, store: &dyn Store) -> Result<Option<Slot>, IdError> {
        if let Some(slot) = self.block.as_ref().and_then(|block| block.entry(self.entry_index)) {
            return Ok(Some(slot));
        }
        let footer = &self.run.footer;
        if self.next_block == footer.block_count as usize {
            if self.taken_count != footer.entry_count {
                return Err(damaged(footer.run_id, "it has not as many entries as its footer says"));
            }
            return Ok(None);
        }
        if self.ahead.is_empty() {
            self.ahead = self.run.blocks(store, self.next_block, BLOCKS_AHEAD)?;
        }
        let block = self.ahead.front();
        let block = block.ok_or_else(|| damaged(footer.run_id, "it vanished while it was merged"))?;
        let first = block.entry(0);
        if first.map(|slot| slot.key) <= self.last_key {
            return Err(damaged(footer.run_id, format!("block {} is not in order", self.next_block)));
        }
        // Taken out only now: a merge that is tried again finds the same block.
        self.next_block += 1;
        self.entry_index = 0;
        self.block = self.ahead.pop_front();
        Ok(first)
    }

    /// Passes the head.
    fn pass(&mut self, key: IdKey) {
        self.head = None;
        self.entry_index += 1;
        self.taken_count += 1;
        self.last_key = Some(key);
    }
}

/// Entries that a merge of these runs leaves, at most.
pub(super) fn ids_max(inputs: &[Arc<Run>]) -> u64 {
    inputs.iter().map(|run| run.footer.entry_count).sum()
}

/// A merge in progress.
pub(super) struct Merge {
    inputs: Vec<Arc<Run>>,
    cursors: Vec<Cursor>,
    /// The heads of the cursors with their places, the smallest last.
    heads: Vec<(IdKey, usize)>,
    /// The places of cursors whose head is none of them.
    passed: Vec<usize>,
    writer: RunWriter,
    /// Freed entries of records below this position are left out.
    drop_freed_below: Position,
    prepared: bool,
    exhausted: bool,
}

impl Merge {
    /// Starts to merge runs that stand next to each other, oldest first, into one that will stand on this shelf.
    /// `may_drop_freed`: they include the oldest run, and none of their generations is in memory.
    pub(super) fn new(inputs: Vec<Arc<Run>>, run_id: u64, may_drop_freed: bool, shelf: Option<Arc<Shelf>>) -> Self {
        let (Some(oldest), Some(newest)) = (inputs.first(), inputs.last()) else {
            unreachable!("a merge has at least one input");
        };
        let covered = newest.footer.covered;
        let plan = Footer {
            run_id,
            level: oldest.footer.level + 1,
            first_generation: oldest.footer.first_generation,
            last_generation: newest.footer.last_generation,
            covered,
            entry_count: 0,
            block_count: 0,
            filter_line_count: 0,
            filter_layout: Layout::Ordered,
        };
        let ids_max = ids_max(&inputs);
        Self {
            cursors: inputs.iter().map(|run| Cursor::new(Arc::clone(run))).collect(),
            heads: Vec::with_capacity(inputs.len()),
            passed: (0..inputs.len()).collect(),
            inputs,
            writer: RunWriter::new(plan, ids_max).on_shelf(shelf),
            drop_freed_below: if may_drop_freed { covered } else { Position(0) },
            prepared: false,
            exhausted: false,
        }
    }

    /// The level of the inputs.
    pub(super) fn level(&self) -> u32 {
        self.inputs[0].footer.level
    }

    /// The runs that are merged.
    pub(super) fn inputs(&self) -> &[Arc<Run>] {
        &self.inputs
    }

    /// Makes room, or merges at most [`ID_STEP_ENTRIES_MAX`] entries, or writes a part of what follows them. Gives the merged run when
    /// it is durable.
    pub(super) fn step(&mut self, store: &dyn Store) -> Result<Option<Run>, IdError> {
        if !self.prepared {
            self.prepared = self.writer.prepare_step();
            return Ok(None);
        }
        if self.exhausted {
            return self.writer.finish_step(store);
        }
        let mut taken_count = 0;
        while taken_count < ID_STEP_ENTRIES_MAX {
            let Some(newest) = self.next(store, &mut taken_count)? else {
                self.exhausted = true;
                break;
            };
            let entry = IdEntry::unpack(newest.packed);
            if !(entry.freed && entry.position < self.drop_freed_below) {
                self.writer.push(newest);
            }
        }
        self.writer.write_blocks(store)?;
        Ok(None)
    }

    /// The smallest key that is left, with its largest entry.
    fn next(&mut self, store: &dyn Store, taken_count: &mut usize) -> Result<Option<Slot>, IdError> {
        // All reads come first: after an error nothing has been passed.
        while let Some(place) = self.passed.last().copied() {
            let cursor = &mut self.cursors[place];
            cursor.fill(store)?;
            self.passed.pop();
            if let Some(slot) = cursor.head {
                let at = self.heads.partition_point(|(key, _)| slot.key < *key);
                self.heads.insert(at, (slot.key, place));
            }
        }
        let Some((least, _)) = self.heads.last().copied() else { return Ok(None) };
        let mut newest: Option<Slot> = None;
        while let Some((_, place)) = self.heads.pop_if(|(key, _)| *key == least) {
            let cursor = &mut self.cursors[place];
            newest = newest.max(cursor.head);
            cursor.pass(least);
            self.passed.push(place);
            *taken_count += 1;
        }
        Ok(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::run::Probe;
    use crate::ids::test_store::TestStore;
    use crate::store::Space;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn key(number: u16) -> IdKey {
        let mut bytes = [0x55; 16];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        IdKey(bytes)
    }

    fn entry(position: u64, freed: bool) -> u64 {
        IdEntry { position: Position(position), freed }.pack()
    }

    fn merged(store: &TestStore, lists: &[BTreeMap<u16, u64>], covered: u64, may_drop_freed: bool) -> Run {
        merged_in_steps(store, lists, covered, may_drop_freed).0
    }

    /// Writes one run for each list and merges them; tells how many steps it took.
    fn merged_in_steps(
        store: &TestStore,
        lists: &[BTreeMap<u16, u64>],
        covered: u64,
        may_drop_freed: bool,
    ) -> (Run, usize) {
        let mut inputs = Vec::new();
        for (list, number) in lists.iter().zip(0..) {
            let plan = Footer {
                run_id: number,
                level: 0,
                first_generation: number,
                last_generation: number,
                covered: Position(covered),
                entry_count: 0,
                block_count: 0,
                filter_line_count: 0,
                filter_layout: Layout::Ordered,
            };
            let mut writer = RunWriter::new(plan, list.len() as u64);
            assert!(writer.prepare_step());
            list.iter().for_each(|(number, packed)| writer.push(Slot { key: key(*number), packed: *packed }));
            inputs.push(Arc::new(writer.finish_step(store).unwrap().unwrap()));
        }
        let mut merge = Merge::new(inputs, 100, may_drop_freed, None);
        for step_count in 1..100 {
            if let Some(run) = merge.step(store).unwrap() {
                return (run, step_count);
            }
        }
        panic!("the merge does not end");
    }

    #[test]
    fn the_largest_entry_wins_wherever_it_stands() {
        let store = TestStore::default();
        let older = BTreeMap::from([(1, entry(5, false)), (2, entry(9, true)), (3, entry(1, false))]);
        let newer = BTreeMap::from([(1, entry(6, true)), (2, entry(8, false)), (4, entry(2, false))]);
        let run = merged(&store, &[older, newer], 100, false);
        let footer = run.footer;
        assert_eq!((footer.level, footer.first_generation, footer.last_generation), (1, 0, 1));
        assert_eq!((footer.entry_count, footer.covered), (4, Position(100)));
        for (number, packed) in [(1, entry(6, true)), (2, entry(9, true)), (3, entry(1, false)), (4, entry(2, false))] {
            assert_eq!(run.probe(&store, key(number)).unwrap(), Probe::Found(packed));
        }
    }

    #[test]
    fn a_settled_freeing_goes_with_what_it_hides() {
        let store = TestStore::default();
        let older = BTreeMap::from([(1, entry(5, false)), (2, entry(6, false))]);
        let newer = BTreeMap::from([(1, entry(19, true)), (2, entry(20, true)), (3, entry(2, true))]);
        let run = merged(&store, &[older, newer], 20, true);
        assert_eq!(run.probe(&store, key(1)).unwrap(), Probe::Absent);
        assert_eq!(run.probe(&store, key(2)).unwrap(), Probe::Found(entry(20, true)), "not settled, so kept");
        assert_eq!(run.footer.entry_count, 1);
    }

    #[test]
    fn a_merge_that_leaves_nothing_is_still_a_run() {
        let store = TestStore::default();
        let run = merged(&store, &[BTreeMap::from([(1, entry(5, true))])], 20, true);
        assert_eq!(run.footer.entry_count, 0);
        assert_eq!(run.probe(&store, key(1)).unwrap(), Probe::Absent);
    }

    #[test]
    fn a_step_takes_a_bounded_number_of_entries() {
        let store = TestStore::default();
        let all: BTreeMap<u16, u64> = (0..60_000).map(|number| (number, entry(1, false))).collect();
        let (run, step_count) = merged_in_steps(&store, &[all.clone(), all], 20, false);
        assert_eq!(run.footer.entry_count, 60_000);
        assert_eq!(step_count, 4, "one makes room, two take 120,000 entries, one writes what follows them");
    }

    #[test]
    fn damage_stops_the_merge() {
        let store = TestStore::default();
        let list: BTreeMap<u16, u64> = (0..400).map(|number| (number, entry(1, false))).collect();
        let plan = merged(&store, std::slice::from_ref(&list), 20, false).footer;
        let run = Arc::new(Run::load(&store, plan, &mut |_| {}).unwrap());
        store.flip(Space::Ids, &crate::ids::format::store_key(100, 1), 1);
        let mut merge = Merge::new(vec![run], 101, false, None);
        assert!(merge.step(&store).unwrap().is_none(), "the first step makes room");
        for _ in 0..3 {
            assert!(matches!(merge.step(&store), Err(IdError::Damaged { run_id: 100, .. })), "and goes on doing so");
        }
    }

    #[test]
    fn a_block_that_is_not_in_order_stops_the_merge_for_good() {
        let store = TestStore::default();
        let list: BTreeMap<u16, u64> = (0..400).map(|number| (number, entry(1, false))).collect();
        let run = Arc::new(merged(&store, std::slice::from_ref(&list), 20, false));
        let first = run.blocks(&store, 0, 1).unwrap().front().and_then(|block| block.entry(0)).unwrap();
        let mut merge = Merge::new(vec![run], 101, false, None);
        assert!(merge.step(&store).unwrap().is_none(), "the first step makes room");
        merge.cursors[0].last_key = Some(first.key);
        for _ in 0..3 {
            let Err(error) = merge.step(&store) else { panic!("the block is passed over") };
            assert!(error.to_string().contains("block 0 is not in order"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn merging_is_the_union_with_the_largest_entry(
            lists in prop::collection::vec(prop::collection::btree_map(0u16..600, 0u64..40, 0..300), 1..5),
            covered in 0u64..25,
            may_drop_freed: bool,
        ) {
            let store = TestStore::default();
            let run = merged(&store, &lists, covered, may_drop_freed);
            let mut expected = BTreeMap::new();
            for (number, packed) in lists.iter().flatten() {
                let newest = expected.entry(*number).or_insert(*packed);
                *newest = (*newest).max(*packed);
            }
            if may_drop_freed {
                expected.retain(|_, packed| *packed & 1 == 0 || *packed >> 1 >= covered);
            }
            prop_assert_eq!(run.footer.entry_count, expected.len() as u64);
            for number in 0..600 {
                let probe = expected.get(&number).map_or(Probe::Absent, |packed| Probe::Found(*packed));
                prop_assert_eq!(run.probe(&store, key(number)).unwrap(), probe);
            }
        }
    }
}
