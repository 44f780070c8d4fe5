//! Writes one run in bounded steps.
//!
//! What must stay true:
//! - entries arrive in ascending order of their keys, each key once;
//! - each is added to the shelf that the run will stand on, if there is one;
//! - blocks, filter and fences are durable before the footer is written, and the footer is durable before anyone counts
//!   on the run: a crash never leaves half a run that looks whole.

use std::sync::Arc;

use super::IdError;
use super::bloom::Bloom;
use super::format::{
    BLOCK_ENTRIES, Block, ENTRY_BYTES, FENCE_INDEX, FENCES_PER_CHUNK, FILTER_INDEX, FOOTER_INDEX, Footer,
    encode_fences, store_key, with_checksum,
};
use super::generation::Slot;
use super::key::IdKey;
use super::run::Run;
use super::shelf::Shelf;
use crate::limits::ID_STEP_ENTRIES_MAX;
use crate::store::{Batch, Durability, Space, Store};

/// Chunks of filter and fences written in one step: as many bytes as a step's entries have.
const STEP_CHUNKS: usize = ID_STEP_ENTRIES_MAX * ENTRY_BYTES / (FENCES_PER_CHUNK * 8);

/// A run under construction. Keeps one block and what was not yet handed to the store.
pub(super) struct RunWriter {
    /// What the footer will say; the counts grow as entries are added.
    footer: Footer,
    shelf: Option<Arc<Shelf>>,
    filter: Bloom,
    fences: Vec<u64>,
    block: Vec<u8>,
    last_key: Option<IdKey>,
    batch: Batch,
    chunks_written: usize,
}

impl RunWriter {
    /// Starts a run for up to `ids_max` entries; it must be prepared before the first. The counts of `plan` are ignored.
    pub(super) fn new(plan: Footer, ids_max: u64) -> Self {
        let filter = Bloom::for_ids(ids_max);
        let (filter_line_count, filter_layout) = (filter.line_count(), filter.layout());
        Self {
            footer: Footer { entry_count: 0, block_count: 0, filter_line_count, filter_layout, ..plan },
            shelf: None,
            filter,
            fences: Vec::new(),
            block: Vec::with_capacity(BLOCK_ENTRIES * ENTRY_BYTES),
            last_key: None,
            batch: Batch::default(),
            chunks_written: 0,
        }
    }

    /// The same run, to stand on this shelf: one that no other run stands on yet, or that has been prepared.
    pub(super) fn on_shelf(self, shelf: Option<Arc<Shelf>>) -> Self {
        Self { shelf, ..self }
    }

    /// One step of making room; true when entries may be added.
    pub(super) fn prepare_step(&mut self) -> bool {
        if let Some(shelf) = self.shelf.as_mut().filter(|shelf| !shelf.is_prepared()) {
            Arc::get_mut(shelf).expect("a shelf is prepared before another run stands on it").prepare_step();
            return false;
        }
        self.filter.prepare_step()
    }

    /// Adds an entry. It reaches the store with the next [`RunWriter::write_blocks`].
    pub(super) fn push(&mut self, slot: Slot) {
        assert!(self.last_key.is_none_or(|last| last < slot.key), "entries arrive in order, each key once");
        if self.block.is_empty() {
            self.fences.push(slot.key.high());
        }
        Block::append(&mut self.block, slot);
        if let Some(shelf) = &self.shelf {
            shelf.insert(slot.key);
        }
        self.filter.insert(slot.key);
        self.last_key = Some(slot.key);
        self.footer.entry_count += 1;
        if self.block.len() == BLOCK_ENTRIES * ENTRY_BYTES {
            self.close_block();
        }
    }

    /// Hands the finished blocks to the store, not durable yet.
    pub(super) fn write_blocks(&mut self, store: &dyn Store) -> Result<(), IdError> {
        if !self.batch.ops.is_empty() {
            store.write(&self.batch, Durability::Deferred)?;
            self.batch.ops.clear();
        }
        Ok(())
    }

    /// One step of what follows the last entry: the last block, the filter, the fences, and at last the footer. Gives
    /// the run when it is durable; until then the caller calls again.
    pub(super) fn finish_step(&mut self, store: &dyn Store) -> Result<Option<Run>, IdError> {
        if !self.block.is_empty() {
            self.close_block();
        }
        let filter_chunks = self.filter.chunk_count();
        let chunk_count = filter_chunks + self.fences.len().div_ceil(FENCES_PER_CHUNK);
        let end = chunk_count.min(self.chunks_written + STEP_CHUNKS);
        for chunk in self.chunks_written..end {
            match chunk.checked_sub(filter_chunks) {
                None => self.put(chunk_index(FILTER_INDEX, chunk), self.filter.chunk(chunk)),
                Some(chunk) => {
                    let from = chunk * FENCES_PER_CHUNK;
                    let to = self.fences.len().min(from + FENCES_PER_CHUNK);
                    self.put(chunk_index(FENCE_INDEX, chunk), encode_fences(&self.fences[from..to]));
                }
            }
        }
        self.chunks_written = end;
        self.write_blocks(store)?;
        if end < chunk_count {
            return Ok(None);
        }
        store.flush(Space::Ids)?;
        let mut last = Batch::default();
        last.put(Space::Ids, store_key(self.footer.run_id, FOOTER_INDEX), self.footer.encode());
        store.write(&last, Durability::Deferred)?;
        store.flush(Space::Ids)?;
        let filter = std::mem::take(&mut self.filter);
        Ok(Some(Run::new(self.footer, self.shelf.take(), filter, std::mem::take(&mut self.fences))))
    }

    fn close_block(&mut self) {
        let index = self.footer.block_count;
        assert!(index < FILTER_INDEX, "the indexes of blocks end where those of the filter begin");
        self.footer.block_count += 1;
        let body = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK_ENTRIES * ENTRY_BYTES));
        self.put(index, body);
    }

    fn put(&mut self, index: u32, body: Vec<u8>) {
        let run_id = self.footer.run_id;
        self.batch.put(Space::Ids, store_key(run_id, index), with_checksum(run_id, index, body));
    }
}

/// The stored index of a chunk; the filter's chunks end before those of the fences begin.
fn chunk_index(first: u32, chunk: usize) -> u32 {
    let chunk = u32::try_from(chunk).expect("chunks are counted in 32 bits");
    assert!(chunk < FENCE_INDEX - FILTER_INDEX, "the chunks of one kind do not reach the next kind's");
    first + chunk
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::bloom::Layout;
    use crate::ids::run;
    use crate::ids::test_store::TestStore;
    use crate::ledger::types::Position;

    const PLAN: Footer = Footer {
        run_id: 0,
        level: 0,
        first_generation: 0,
        last_generation: 0,
        covered: Position(0),
        entry_count: 0,
        block_count: 0,
        filter_line_count: 0,
        filter_layout: Layout::Ordered,
    };

    fn slot(number: u64) -> Slot {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        bytes[8..].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        Slot { key: IdKey(bytes), packed: number }
    }

    #[test]
    fn the_footer_is_written_after_everything_else_is_durable() {
        // 8 calls suffice for a small run; at each of them the store may stop, with any part of what was deferred.
        for operations_before_crash in 0..8 {
            for seed in 0..40 {
                let store = TestStore::default();
                store.fail_after(operations_before_crash);
                let mut writer = RunWriter::new(PLAN, 600);
                assert!(writer.prepare_step());
                (0..600).for_each(|number| writer.push(slot(number)));
                let finished = writer.finish_step(&store);
                store.crash(seed);
                let opened = run::open(&store, &mut |_| {}).unwrap();
                let runs = opened.runs;
                if matches!(finished, Ok(Some(_))) {
                    assert_eq!(runs.len(), 1, "a run that was finished is there");
                }
                for run in runs.iter() {
                    for number in 0..600 {
                        let probe = run.probe(&store, slot(number).key).unwrap();
                        assert_eq!(probe, run::Probe::Found(number), "a run that is there is whole");
                    }
                }
                if runs.is_empty() {
                    assert!(store.keys(Space::Ids).is_empty(), "half a run is cleaned away");
                }
            }
        }
    }

    #[test]
    fn a_large_filter_is_written_in_several_steps() {
        let store = TestStore::default();
        let mut writer = RunWriter::new(PLAN, 1_333_000);
        assert!(writer.prepare_step());
        writer.push(slot(1));
        let mut step_count = 1;
        while writer.finish_step(&store).unwrap().is_none() {
            step_count += 1;
        }
        // 1,333,000 ids at 24 bits are 62 chunks of 64 KiB, and the fences take one more.
        assert_eq!(step_count, 3);
        assert_eq!(run::open(&store, &mut |_| {}).unwrap().runs.len(), 1);
    }

    #[test]
    fn a_shelf_is_cleared_in_steps_before_the_first_run_on_it() {
        let shelf = Arc::new(Shelf::for_ids(20 << 20).unwrap());
        let mut first = RunWriter::new(PLAN, 1).on_shelf(Some(shelf));
        assert_eq!([false, false, true], [(); 3].map(|()| first.prepare_step()), "16 MiB, 4 MiB, and the run's own");
        first.push(slot(1));
        let first = first.finish_step(&TestStore::default()).unwrap().unwrap();
        let mut second = RunWriter::new(PLAN, 1).on_shelf(first.shelf.clone());
        assert!(second.prepare_step(), "the shelf is ready");
        second.push(slot(2));
        let shelf = first.shelf.unwrap();
        assert!([1, 2].iter().all(|number| shelf.may_contain(slot(*number).key)));
    }

    #[test]
    fn an_empty_run_is_a_run() {
        let store = TestStore::default();
        assert!(RunWriter::new(PLAN, 0).finish_step(&store).unwrap().is_some());
        let runs = run::open(&store, &mut |_| {}).unwrap().runs;
        assert_eq!(runs[0].probe(&store, slot(1).key).unwrap(), run::Probe::Absent);
    }

    #[test]
    #[should_panic(expected = "in order")]
    fn a_key_twice_is_a_bug() {
        let mut writer = RunWriter::new(PLAN, 2);
        assert!(writer.prepare_step());
        writer.push(slot(1));
        writer.push(slot(1));
    }
}
