//! The background work of the index, cut into bounded steps: prepare the next generation, seal one that is due, write it as
//! a run, merge runs, and give memory back.
//!
//! What must stay true:
//! - one step touches at most about [`ID_STEP_ENTRIES_MAX`] entries or slots, whatever the size of the index;
//! - generations are written in order, so that a run's `covered` position holds for all before it;
//! - the runs of one level are made one after the other, and leave it oldest first, a whole merge at a time: so the place
//!   of a run, counted when it is begun, tells which others it will be merged with, and those share its shelf;
//! - a run is looked up before the memory it replaces is given up, and before its inputs are deleted.

use std::sync::Arc;

use super::bloom::Layout;
use super::committed::Committed;
use super::format::{Footer, delete_run};
use super::generation::{Sealed, Slot, Table};
use super::merge::{Merge, ids_max};
use super::run::Run;
use super::shelf::Shelf;
use super::writer::RunWriter;
use super::{IdError, Step};
use crate::limits::ID_STEP_ENTRIES_MAX;
use crate::store::{Batch, Durability, Store};

/// A sealed generation that is being written.
struct Writing {
    generation: Arc<Sealed>,
    prepared: bool,
    next_partition: usize,
    writer: RunWriter,
}

/// Work in progress. At most one generation is written, and on each level at most one merge runs, at a time.
pub(super) struct Work {
    next_run_id: u64,
    fan_in: usize,
    /// Tables of the next generation that are ready.
    spare: Vec<Table>,
    /// Tables of a generation whose memory is free again.
    used: Vec<Table>,
    /// Memory to sort a partition in.
    sorted: Vec<Slot>,
    writing: Option<Writing>,
    merges: Vec<Merge>,
}

/// What a step works on.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    /// Where the runs are.
    pub(super) store: &'a dyn Store,
    /// What is looked up.
    pub(super) committed: &'a Committed,
}

impl Work {
    /// Nothing in progress.
    pub(super) fn new(next_run_id: u64, fan_in: usize) -> Self {
        Self {
            next_run_id,
            fan_in,
            spare: Vec::new(),
            used: Vec::new(),
            sorted: Vec::new(),
            writing: None,
            merges: Vec::new(),
        }
    }

    /// One step of what is most urgent. Callers wait for a spare generation, then for memory; lookups only get slower
    /// when merges wait, so those come last, unless runs pile up.
    pub(super) fn step(&mut self, parts: Parts<'_>) -> Result<Step, IdError> {
        if let Some(dropped) = parts.committed.drop_oldest_written() {
            // A lookup that holds on to it takes the memory along.
            self.used = Arc::try_unwrap(dropped).map_or_else(|_| Vec::new(), Sealed::into_tables);
            return Ok(Step::DroppedGeneration);
        }
        if !parts.committed.has_spare() {
            self.prepare_tables(parts.committed);
            return Ok(Step::PreparedTables);
        }
        if parts.committed.seal_if_due() {
            return Ok(Step::SealedGeneration);
        }
        self.start_merges(parts);
        let merge_first = self.runs_pile_up(parts.committed);
        if merge_first && let Some(step) = self.merge_step(parts)? {
            return Ok(step);
        }
        if let Some(step) = self.write_step(parts)? {
            return Ok(step);
        }
        Ok(self.merge_step(parts)?.unwrap_or(Step::Idle))
    }

    fn prepare_tables(&mut self, committed: &Committed) {
        let shape = committed.shape();
        let mut touched_slots = 0;
        while self.spare.len() < shape.partition_count() && touched_slots < ID_STEP_ENTRIES_MAX {
            self.spare.push(shape.table(self.used.pop()));
            touched_slots += shape.slots_per_partition();
        }
        if self.spare.len() == shape.partition_count() {
            committed.give_spare(std::mem::take(&mut self.spare));
        }
    }

    /// Writes some partitions of the oldest generation that is not durable.
    fn write_step(&mut self, parts: Parts<'_>) -> Result<Option<Step>, IdError> {
        if self.writing.is_none() {
            let Some(generation) = parts.committed.oldest_unwritten() else { return Ok(None) };
            let plan = Footer {
                run_id: self.take_run_id(),
                level: 0,
                first_generation: generation.number,
                last_generation: generation.number,
                covered: generation.covered,
                entry_count: 0,
                block_count: 0,
                filter_line_count: 0,
                filter_layout: Layout::Ordered,
            };
            let shelf = self.shelf_for(parts.committed, plan.level, generation.id_count);
            let writer = RunWriter::new(plan, generation.id_count).on_shelf(shelf);
            self.writing = Some(Writing { generation, prepared: false, next_partition: 0, writer });
        }
        let writing = self.writing.as_mut().expect("set just above");
        let partition_count = parts.committed.shape().partition_count();
        let Some(run) = writing.step(parts.store, partition_count, &mut self.sorted)? else {
            return Ok(Some(Step::WroteEntries));
        };
        self.writing = None;
        parts.committed.add_run(run);
        Ok(Some(Step::FinishedRun))
    }

    /// Starts a merge on every level that has enough runs and no merge. Runs of one level stand next to each other,
    /// because the oldest of a level are merged first and move to the end of the next.
    fn start_merges(&mut self, parts: Parts<'_>) {
        let runs = parts.committed.runs();
        let oldest_in_memory = parts.committed.oldest_generation();
        for (group_index, group) in runs.chunk_by(same_level).enumerate() {
            let level = group[0].footer.level;
            if group.len() < self.fan_in || self.merges.iter().any(|merge| merge.level() == level) {
                continue;
            }
            let inputs = group[..self.fan_in].to_vec();
            let last_generation = inputs[self.fan_in - 1].footer.last_generation;
            let may_drop_freed = group_index == 0 && last_generation < oldest_in_memory;
            let run_id = self.take_run_id();
            let shelf = self.shelf_for(parts.committed, level + 1, ids_max(&inputs));
            self.merges.push(Merge::new(inputs, run_id, may_drop_freed, shelf));
        }
    }

    /// The shelf for the next run of a level: that of the run before it if the two will be merged together, or a new
    /// one with room for all that are still to come before that merge. None for a run that would have it for itself,
    /// or that is larger than those of its level are, and where it would take too much memory.
    fn shelf_for(&self, committed: &Committed, level: u32, ids_max: u64) -> Option<Arc<Shelf>> {
        let shape = committed.shape();
        let generations = (self.fan_in as u64).checked_pow(level)?;
        // Threads that fill a generation together pass its limit by less than an id for each partition.
        let generation_ids = shape.generation_ids_max() + shape.partition_count() as u64;
        if ids_max > generation_ids.checked_mul(generations)? {
            return None;
        }
        let runs = committed.runs();
        let of_level = || runs.iter().filter(|run| run.footer.level == level);
        // Those that are being merged are still in the list, as many as are merged at a time: they change nothing.
        let place = of_level().count() % self.fan_in;
        if place > 0
            && let Some(shelf) = of_level().next_back().and_then(|run| run.shelf.clone())
        {
            return Some(shelf);
        }
        let run_count = (self.fan_in - place) as u64;
        let id_count = shape.generation_ids_max().checked_mul(generations)?.checked_mul(run_count)?;
        if run_count > 1 { Shelf::for_ids(id_count).map(Arc::new) } else { None }
    }

    /// True when some level has twice the runs it should have: then writing more of them must wait.
    fn runs_pile_up(&self, committed: &Committed) -> bool {
        committed.runs().chunk_by(same_level).any(|group| group.len() >= 2 * self.fan_in)
    }

    /// Goes on with the merge of the lowest level, so that a long merge does not hold up the short ones.
    fn merge_step(&mut self, parts: Parts<'_>) -> Result<Option<Step>, IdError> {
        let lowest = self.merges.iter_mut().enumerate().min_by_key(|(_, merge)| merge.level());
        let Some((index, merge)) = lowest else { return Ok(None) };
        let Some(merged) = merge.step(parts.store)? else { return Ok(Some(Step::MergedEntries)) };
        let merge = self.merges.swap_remove(index);
        parts.committed.replace_runs(merge.inputs(), merged);
        // Not durable before the next flush, and need not be: a run that reappears is known as replaced.
        let ops = merge.inputs().iter().map(|run: &Arc<Run>| delete_run(run.footer.run_id)).collect();
        parts.store.write(&Batch { ops }, Durability::Deferred)?;
        Ok(Some(Step::FinishedMerge))
    }

    fn take_run_id(&mut self) -> u64 {
        self.next_run_id += 1;
        self.next_run_id - 1
    }
}

impl Writing {
    fn step(
        &mut self,
        store: &dyn Store,
        partition_count: usize,
        sorted: &mut Vec<Slot>,
    ) -> Result<Option<Run>, IdError> {
        if !self.prepared {
            self.prepared = self.writer.prepare_step();
            return Ok(None);
        }
        if self.next_partition == partition_count {
            return self.writer.finish_step(store);
        }
        let mut entry_count = 0;
        while self.next_partition < partition_count && entry_count < ID_STEP_ENTRIES_MAX {
            self.generation.sort_partition(self.next_partition, sorted);
            entry_count += sorted.len();
            sorted.iter().for_each(|slot| self.writer.push(*slot));
            self.next_partition += 1;
        }
        self.writer.write_blocks(store)?;
        Ok(None)
    }
}

fn same_level(a: &Arc<Run>, b: &Arc<Run>) -> bool {
    a.footer.level == b.footer.level
}
