//! Sorted runs on disk: finding them when the index opens, and looking a key up in one.
//!
//! A run holds the ids of a range of generations. The runs of an index, oldest first, hold generation 0 and all that
//! follow without a gap, so that a run that went missing is noticed.
//!
//! What must stay true:
//! - a run without a footer never was: it is ignored, and cleaned away;
//! - a run whose generations lie within another run's was merged into it: it too is ignored and cleaned away;
//! - a run's blocks are deleted only after the run has left the list and is marked as retired. A reader that still
//!   holds it and misses a block sees the mark and starts again from the new list.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::IdError;
use super::bloom::Bloom;
use super::format::{
    Block, FENCE_INDEX, FENCES_PER_CHUNK, FILTER_INDEX, FOOTER_INDEX, Footer, damaged, decode_fences, delete_run,
    parse_store_key, store_key, without_checksum,
};
use super::key::IdKey;
use super::shelf::Shelf;
use crate::ledger::types::Position;
use crate::store::{Batch, Direction, Durability, Space, Store};

/// What [`Run::probe`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// The run does not hold the key.
    Absent,
    /// The packed entry of the key.
    Found(u64),
    /// The run was merged away meanwhile: the caller looks again in the present list.
    Retired,
}

/// A complete run: its filter and fences in memory, its entries on disk.
pub(super) struct Run {
    /// What it holds.
    pub(super) footer: Footer,
    /// The shelf it stands on, which holds all its keys. A run that was found when the index was opened has none.
    pub(super) shelf: Option<Arc<Shelf>>,
    filter: Bloom,
    /// The first eight bytes of the first key of each block.
    fences: Vec<u64>,
    retired: AtomicBool,
}

impl Run {
    /// A run whose footer is durable, and whose keys were added to the shelf if there is one.
    pub(super) fn new(footer: Footer, shelf: Option<Arc<Shelf>>, filter: Bloom, fences: Vec<u64>) -> Self {
        assert_eq!(fences.len(), footer.block_count as usize, "each block has a fence");
        assert_eq!(filter.line_count(), footer.filter_line_count, "the footer tells the filter's size");
        assert_eq!(filter.layout(), footer.filter_layout, "the footer tells the filter's layout");
        Self { footer, shelf, filter, fences, retired: AtomicBool::new(false) }
    }

    /// Reads filter and fences of the run that a footer describes. `on_read` is told of each part, in bytes.
    pub(super) fn load(store: &dyn Store, footer: Footer, on_read: &mut dyn FnMut(u64)) -> Result<Self, IdError> {
        // The last parts first: a footer that promises more than there is must not decide how much memory is asked for.
        let fence_chunks = footer.block_count.div_ceil(FENCES_PER_CHUNK as u32);
        for (first, chunks) in [(FILTER_INDEX, Bloom::chunks_of(footer.filter_line_count)), (FENCE_INDEX, fence_chunks)]
        {
            if let Some(last) = chunks.checked_sub(1) {
                Self::read_part(store, footer.run_id, first + last)?;
            }
        }
        let mut filter = Bloom::with_lines(footer.filter_layout, footer.filter_line_count);
        for (chunk, index) in (0..filter.chunk_count()).zip(FILTER_INDEX..) {
            let body = Self::read_part(store, footer.run_id, index)?;
            if !filter.load_chunk(chunk, &body) {
                return Err(damaged(footer.run_id, format!("chunk {chunk} of the filter has the wrong length")));
            }
            on_read(body.len() as u64);
        }
        let block_count = footer.block_count as usize;
        let mut fences = Vec::with_capacity(block_count);
        for index in FENCE_INDEX.. {
            let expected_count = (block_count - fences.len()).min(FENCES_PER_CHUNK);
            if expected_count == 0 {
                break;
            }
            let body = Self::read_part(store, footer.run_id, index)?;
            if !decode_fences(&body, expected_count, &mut fences) {
                return Err(damaged(footer.run_id, "a chunk of the fences has the wrong length"));
            }
            on_read(body.len() as u64);
        }
        Ok(Self::new(footer, None, filter, fences))
    }

    fn read_part(store: &dyn Store, run_id: u64, index: u32) -> Result<Vec<u8>, IdError> {
        let value = store.get(Space::Ids, &store_key(run_id, index))?;
        let value = value.ok_or_else(|| damaged(run_id, format!("the value at index {index} is missing")))?;
        without_checksum(run_id, index, value)
    }

    /// True when a shelf answers for both runs.
    pub(super) fn shares_shelf(&self, other: &Self) -> bool {
        matches!((&self.shelf, &other.shelf), (Some(own), Some(others)) if Arc::ptr_eq(own, others))
    }

    /// Reads a little of what [`Run::may_contain`] reads for these keys, so that the waits for memory overlap.
    pub(super) fn touch(&self, keys: &[IdKey]) {
        self.filter.touch(keys);
    }

    /// False when the run certainly does not hold the key.
    pub(super) fn may_contain(&self, key: IdKey) -> bool {
        self.filter.may_contain(key)
    }

    /// Looks up a key that may be in the run. One read of the disk, almost never two.
    pub(super) fn probe(&self, store: &dyn Store, key: IdKey) -> Result<Probe, IdError> {
        let fence = key.high();
        // The key may stand at the end of the block before the first fence that equals its own first bytes.
        let first = self.fences.partition_point(|other| *other < fence).saturating_sub(1);
        let end = self.fences.partition_point(|other| *other <= fence);
        for index in first..end {
            let Some(block) = self.block(store, index)? else { return Ok(Probe::Retired) };
            if let Some(packed) = block.find(key) {
                return Ok(Probe::Found(packed));
            }
        }
        Ok(Probe::Absent)
    }

    /// Reads and checks a block; `None` when the run has been retired and the block is gone.
    pub(super) fn block(&self, store: &dyn Store, index: usize) -> Result<Option<Block>, IdError> {
        let run_id = self.footer.run_id;
        let stored_index = u32::try_from(index).expect("blocks are counted in 32 bits");
        let Some(value) = store.get(Space::Ids, &store_key(run_id, stored_index))? else {
            if self.retired.load(Ordering::Acquire) {
                return Ok(None);
            }
            return Err(damaged(run_id, format!("block {index} is missing")));
        };
        self.decode(index, stored_index, value).map(Some)
    }

    fn decode(&self, index: usize, stored_index: u32, value: Vec<u8>) -> Result<Block, IdError> {
        let run_id = self.footer.run_id;
        let block = Block::decode(run_id, stored_index, value)?;
        if block.entry(0).map(|slot| slot.key.high()) != self.fences.get(index).copied() {
            return Err(damaged(run_id, format!("block {index} does not start where its fence says")));
        }
        Ok(block)
    }

    /// Reads and checks some blocks that follow each other, from one on: in one go, where one by one each would be a read of
    /// the disk. Fewer than asked for at the end of the run, or where one is missing.
    pub(super) fn blocks(&self, store: &dyn Store, from: usize, count_max: usize) -> Result<VecDeque<Block>, IdError> {
        let run_id = self.footer.run_id;
        let end = (self.footer.block_count as usize).min(from + count_max);
        let mut blocks = VecDeque::with_capacity(end.saturating_sub(from));
        let stored_index = |index: usize| u32::try_from(index).expect("blocks are counted in 32 bits");
        let (mut next, mut failed) = (from, None);
        store.scan(Space::Ids, &store_key(run_id, stored_index(from)), Direction::Forward, &mut |key, value| {
            if next == end || *key != store_key(run_id, stored_index(next)) {
                return ControlFlow::Break(());
            }
            match self.decode(next, stored_index(next), value.to_vec()) {
                Ok(block) => blocks.push_back(block),
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            next += 1;
            if next == end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        failed.map_or(Ok(blocks), Err)
    }

    /// Marks that the run has left the list and its blocks are about to go.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }
}

/// What was found on disk.
pub(super) struct Opened {
    /// The complete runs, oldest first.
    pub(super) runs: Vec<Run>,
    /// The number of the next generation.
    pub(super) next_generation: u64,
    /// Larger than every run id in the store.
    pub(super) next_run_id: u64,
    /// Every id of a record below this position is in the runs.
    pub(super) covered: Position,
}

/// Finds the complete runs, loads them and cleans away what is no part of them. `on_read` is told of each part that is read
/// of a run, in bytes.
pub(super) fn open(store: &dyn Store, on_read: &mut dyn FnMut(u64)) -> Result<Opened, IdError> {
    let mut footers = Vec::new();
    let mut obsolete = Vec::new();
    let mut next_run_id = 0;
    while let Some(run_id) = first_run_from(store, next_run_id)? {
        match store.get(Space::Ids, &store_key(run_id, FOOTER_INDEX))? {
            Some(value) => footers.push(Footer::decode(run_id, value)?),
            None => obsolete.push(run_id),
        }
        next_run_id = run_id.checked_add(1).ok_or_else(|| damaged(run_id, "the run id is impossible"))?;
    }
    let current = without_replaced(footers, &mut obsolete)?;
    let runs = current.iter().map(|footer| Run::load(store, *footer, on_read)).collect::<Result<_, _>>()?;
    // Only now is it certain that nothing else is wrong: evidence of damage is not cleaned away.
    if !obsolete.is_empty() {
        let batch = Batch { ops: obsolete.into_iter().map(delete_run).collect() };
        store.write(&batch, Durability::Deferred)?;
        store.flush(Space::Ids)?;
    }
    Ok(Opened {
        next_generation: current.last().map_or(0, |last| last.last_generation + 1),
        covered: current.last().map_or(Position(0), |last| last.covered),
        runs,
        next_run_id,
    })
}

/// The first run id in the store at or after the given one. Jumps over the blocks but the first, which the store may read to
/// find its key.
fn first_run_from(store: &dyn Store, run_id: u64) -> Result<Option<u64>, IdError> {
    let mut found = None;
    store.scan(Space::Ids, &store_key(run_id, 0), Direction::Forward, &mut |key, _| {
        found = Some(parse_store_key(key).map(|(run_id, _)| run_id));
        ControlFlow::Break(())
    })?;
    match found {
        None => Ok(None),
        Some(Some(found_id)) if found_id >= run_id => Ok(Some(found_id)),
        Some(_) => Err(damaged(run_id, "after it lies a key that is not of a run")),
    }
}

/// Keeps the runs that no other replaces, oldest first, and checks that they follow each other without a gap.
fn without_replaced(mut footers: Vec<Footer>, obsolete: &mut Vec<u64>) -> Result<Vec<Footer>, IdError> {
    footers.sort_by_key(|footer| (footer.first_generation, std::cmp::Reverse(footer.last_generation)));
    let mut current: Vec<Footer> = Vec::new();
    for footer in footers {
        let Some(last) = current.last() else {
            if footer.first_generation != 0 {
                return Err(damaged(footer.run_id, "the runs before it are missing"));
            }
            current.push(footer);
            continue;
        };
        let same = (footer.first_generation, footer.last_generation) == (last.first_generation, last.last_generation);
        if footer.last_generation <= last.last_generation && !same {
            obsolete.push(footer.run_id);
        } else if footer.first_generation != last.last_generation + 1 {
            return Err(damaged(footer.run_id, format!("it does not follow run {}", last.run_id)));
        } else if footer.covered < last.covered {
            return Err(damaged(footer.run_id, format!("it covers less than the older run {}", last.run_id)));
        } else {
            current.push(footer);
        }
    }
    Ok(current)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::bloom::Layout;
    use crate::ids::generation::Slot;
    use crate::ids::test_store::TestStore;
    use crate::ids::writer::RunWriter;

    fn plan(run_id: u64, first_generation: u64, last_generation: u64) -> Footer {
        Footer {
            run_id,
            level: 0,
            first_generation,
            last_generation,
            covered: Position(last_generation * 10),
            entry_count: 0,
            block_count: 0,
            filter_line_count: 0,
            filter_layout: Layout::Ordered,
        }
    }

    /// A key whose first eight bytes are `high`.
    fn key(high: u64, low: u64) -> IdKey {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&high.to_be_bytes());
        bytes[8..].copy_from_slice(&low.to_be_bytes());
        IdKey(bytes)
    }

    fn write_run(store: &TestStore, plan: Footer, keys: impl Iterator<Item = IdKey>) -> Run {
        let keys: Vec<_> = keys.collect();
        let mut writer = RunWriter::new(plan, keys.len() as u64);
        assert!(writer.prepare_step());
        for (key, packed) in keys.into_iter().zip(0..) {
            writer.push(Slot { key, packed });
        }
        loop {
            if let Some(run) = writer.finish_step(store).unwrap() {
                return run;
            }
        }
    }

    fn open(store: &TestStore) -> Result<Opened, IdError> {
        super::open(store, &mut |_| {})
    }

    fn footers(opened: &Opened) -> Vec<u64> {
        opened.runs.iter().map(|run| run.footer.run_id).collect()
    }

    #[test]
    fn every_key_is_found_and_its_neighbours_are_not() {
        let store = TestStore::default();
        let written = write_run(&store, plan(0, 0, 0), (1..2_000).map(|number| key(number * 2, number)));
        let opened = open(&store).unwrap();
        let loaded = &opened.runs[0];
        assert_eq!(loaded.footer, written.footer);
        for run in [&written, loaded] {
            for number in 1..2_000 {
                assert_eq!(run.probe(&store, key(number * 2, number)).unwrap(), Probe::Found(number - 1));
                assert_eq!(run.probe(&store, key(number * 2 + 1, number)).unwrap(), Probe::Absent);
                assert_eq!(run.probe(&store, key(number * 2, number + 1)).unwrap(), Probe::Absent);
            }
            assert_eq!(run.probe(&store, key(0, 1)).unwrap(), Probe::Absent);
        }
    }

    #[test]
    fn keys_that_share_a_fence_are_found_across_blocks() {
        let store = TestStore::default();
        let keys = || (0..100).map(|low| key(4, low)).chain((0..1_000).map(|low| key(5, low)));
        let run = write_run(&store, plan(0, 0, 0), keys().chain((0..100).map(|low| key(6, low))));
        for (key, packed) in keys().zip(0..) {
            assert_eq!(run.probe(&store, key).unwrap(), Probe::Found(packed));
        }
        assert_eq!(run.probe(&store, key(5, 1_000)).unwrap(), Probe::Absent);
    }

    #[test]
    fn an_empty_store_opens_at_the_beginning() {
        let opened = open(&TestStore::default()).unwrap();
        assert_eq!((opened.next_generation, opened.next_run_id, opened.covered), (0, 0, Position(0)));
    }

    #[test]
    fn a_run_without_a_footer_is_cleaned_away() {
        let store = TestStore::default();
        write_run(&store, plan(0, 0, 0), (0..10).map(|number| key(number, 0)));
        write_run(&store, plan(1, 1, 1), (0..10).map(|number| key(number, 0)));
        store.remove(Space::Ids, &store_key(1, FOOTER_INDEX));
        let opened = open(&store).unwrap();
        assert_eq!(footers(&opened), [0]);
        assert_eq!((opened.next_generation, opened.next_run_id), (1, 2), "the id of the half run is not used again");
        assert_eq!(store.keys(Space::Ids).iter().filter(|key| key[7] == 1).count(), 0);
    }

    #[test]
    fn a_merged_run_replaces_what_it_was_made_of() {
        let store = TestStore::default();
        for (run_id, generation) in [(0, 0), (1, 1), (3, 2)] {
            write_run(&store, plan(run_id, generation, generation), (0..10).map(|number| key(number, 0)));
        }
        write_run(&store, plan(2, 0, 1), (0..10).map(|number| key(number, 0)));
        let opened = open(&store).unwrap();
        assert_eq!(footers(&opened), [2, 3]);
        assert_eq!((opened.next_generation, opened.next_run_id, opened.covered), (3, 4, Position(20)));
        assert_eq!(footers(&open(&store).unwrap()), [2, 3]);
        assert!(store.keys(Space::Ids).iter().all(|key| key[7] >= 2));
    }

    #[test]
    fn a_missing_run_is_noticed_and_nothing_is_cleaned_away() {
        for missing in [0, 1] {
            let store = TestStore::default();
            for generation in 0..3 {
                write_run(&store, plan(generation, generation, generation), (0..10).map(|number| key(number, 0)));
            }
            store.remove(Space::Ids, &store_key(missing, FOOTER_INDEX));
            let before = store.keys(Space::Ids);
            assert!(matches!(open(&store), Err(IdError::Damaged { .. })), "run {missing}");
            assert_eq!(store.keys(Space::Ids), before);
        }
    }

    #[test]
    fn runs_that_overlap_or_go_back_are_refused() {
        let store = TestStore::default();
        write_run(&store, plan(0, 0, 2), (0..10).map(|number| key(number, 0)));
        write_run(&store, plan(1, 1, 3), (0..10).map(|number| key(number, 0)));
        assert!(matches!(open(&store), Err(IdError::Damaged { run_id: 1, .. })));

        let store = TestStore::default();
        write_run(&store, plan(0, 0, 0), (0..10).map(|number| key(number, 0)));
        write_run(&store, plan(1, 0, 0), (0..10).map(|number| key(number, 0)));
        assert!(matches!(open(&store), Err(IdError::Damaged { .. })), "two runs of one generation");

        let store = TestStore::default();
        write_run(&store, Footer { covered: Position(11), ..plan(0, 0, 0) }, std::iter::empty());
        write_run(&store, plan(1, 1, 1), std::iter::empty());
        assert!(matches!(open(&store), Err(IdError::Damaged { run_id: 1, .. })), "covers less than before");
    }

    #[test]
    fn damage_of_any_value_is_found() {
        let store = TestStore::default();
        write_run(&store, plan(0, 0, 0), (0..400).map(|number| key(number, number << 50)));
        for stored in store.keys(Space::Ids) {
            let index = parse_store_key(&stored).unwrap().1;
            for change in [None, Some(0x40)] {
                let damaged_store = store.clone();
                match change {
                    None => damaged_store.remove(Space::Ids, &stored),
                    Some(mask) => damaged_store.flip(Space::Ids, &stored, mask),
                }
                if index == FOOTER_INDEX && change.is_none() {
                    continue; // The last run without its footer is one that was never finished.
                }
                let found = match open(&damaged_store) {
                    Err(error) => error,
                    Ok(opened) => {
                        let run = &opened.runs[0];
                        let probes = (0..400).map(|number| run.probe(&damaged_store, key(number, number << 50)));
                        probes.filter_map(Result::err).next().expect("damage must be found")
                    }
                };
                assert!(matches!(found, IdError::Damaged { run_id: 0, .. }), "index {index}: {found}");
                assert!(found.to_string().contains("rebuilt from the journal"));
            }
        }
    }

    #[test]
    fn each_part_of_a_run_that_is_read_is_told_of() {
        let store = TestStore::default();
        write_run(&store, plan(0, 0, 0), (0..50_000).map(|number| key(number, number)));
        let mut told = Vec::new();
        let opened = super::open(&store, &mut |bytes| told.push(bytes)).unwrap();
        let Footer { filter_line_count, block_count, .. } = opened.runs[0].footer;
        let chunks = Bloom::chunks_of(filter_line_count);
        assert!(chunks > 2, "the test wants several");
        assert_eq!(told.len(), (chunks + block_count.div_ceil(FENCES_PER_CHUNK as u32)) as usize);
        assert!(told.iter().sum::<u64>() >= u64::from(filter_line_count) * 64, "all of the filter, and the fences");
    }

    #[test]
    fn a_key_that_is_not_ours_is_damage() {
        let store = TestStore::default();
        let mut batch = Batch::default();
        batch.put(Space::Ids, *b"what is this?", *b"");
        store.write(&batch, Durability::Deferred).unwrap();
        assert!(matches!(open(&store), Err(IdError::Damaged { .. })));
    }

    #[test]
    fn a_reader_of_a_retired_run_is_told_to_look_again() {
        let store = TestStore::default();
        write_run(&store, plan(0, 0, 0), (0..10).map(|number| key(number, 0)));
        let old = open(&store).unwrap().runs.remove(0);
        assert_eq!(old.probe(&store, key(3, 0)).unwrap(), Probe::Found(3));
        old.retire();
        assert_eq!(old.probe(&store, key(3, 0)).unwrap(), Probe::Found(3), "it is still there");
        store.write(&Batch { ops: vec![delete_run(0)] }, Durability::Deferred).unwrap();
        assert_eq!(old.probe(&store, key(3, 0)).unwrap(), Probe::Retired);
    }
}
