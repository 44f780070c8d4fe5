//! One run of the fuzzy snapshot: gathers slices from the workers and writes each when everything in it is durable.
//!
//! What must stay true: the order is begin (fix the start) → what goes → slices, those of names before all others → flush →
//! marker; a slice whose chunk is not durable waits; each slice is a batch of its own; the queues of slices are bounded, and a
//! worker that finds its own full goes on and tries again later; a step writes a bounded number.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, RwLock};

use super::committer::Progress;
use super::control_walk::ControlWalk;
use super::job::{Slice, SliceSink};
use super::tickets::Tickets;
use super::worker::Shared;
use crate::journal::dictionary::Dictionary;
use crate::journal::record::Publication;
use crate::ledger::types::{CellId, Day, Position, ShardId, TimestampNs};
use crate::ledger::zone::utc_day;
use crate::limits;
use crate::snapshot::entity::cell_key;
use crate::snapshot::{Marker, Saved, accounts, forgotten};
use crate::store::{Batch, Durability, Space, Store, StoreError};

/// Slices of workers that may wait for their chunk to be durable, and as many others.
const SLICES_WAITING_MAX: usize = 64;
/// Batches that one step writes: whoever takes the steps has other things to do in between.
const BATCHES_WRITTEN_MAX: usize = 64;

/// The versions of the programme that are durable, with the positions of their records.
pub type Publications = Arc<RwLock<Vec<(Position, Publication)>>>;

#[derive(Debug, Default)]
struct Queue {
    slices: VecDeque<Slice>,
    finished_workers: usize,
    /// Of the workers that have finished: accounts by shard.
    account_counts: Vec<(ShardId, u32)>,
}

struct Sink(Arc<Mutex<Queue>>);

impl SliceSink for Sink {
    fn offer(&mut self, slice: Slice) -> Result<(), Slice> {
        let mut queue = self.0.lock().expect("no holder panics");
        if queue.slices.len() >= SLICES_WAITING_MAX {
            return Err(slice);
        }
        queue.slices.push_back(slice);
        Ok(())
    }

    fn finish(&mut self, account_counts: &[(ShardId, u32)]) {
        let mut queue = self.0.lock().expect("no holder panics");
        queue.finished_workers += 1;
        queue.account_counts.extend_from_slice(account_counts);
    }
}

/// The time that the clock has reached and not gone back from for a while. What was forgotten too early, because a clock ran
/// days ahead for a moment, cannot be brought back.
#[derive(Clone, Copy, Debug)]
pub struct Reached {
    at: TimestampNs,
    next: TimestampNs,
    next_since_ms: i64,
}

impl Reached {
    /// Nothing is reached before it has stood for a while; `now_ms` is monotonic.
    #[must_use]
    pub fn new(now: TimestampNs, now_ms: i64) -> Self {
        Self { at: TimestampNs(i64::MIN), next: now, next_since_ms: now_ms }
    }

    /// What is reached when the clocks show this.
    pub fn at(&mut self, now: TimestampNs, now_ms: i64) -> TimestampNs {
        let stood_ms = now_ms - self.next_since_ms;
        if now < self.next {
            *self = Self { at: self.at.min(now), ..Self::new(now, now_ms) };
        } else if stood_ms >= limits::CLOCK_STANDS_MS {
            *self = Self { at: self.next, ..Self::new(now, now_ms) };
        }
        self.at
    }
}

/// A snapshot being taken.
pub struct SnapshotRun {
    queue: Arc<Mutex<Queue>>,
    worker_count: usize,
    walk: ControlWalk,
    /// What the walk has handed out and is not written.
    walked: VecDeque<Slice>,
    shared: Arc<Shared>,
    start: Position,
    entity_count: u64,
    /// The day before which nothing is posted any more, until that is noted on the disk.
    forgotten: Option<Day>,
    /// Cells that are therefore needed no more, and are still to go from the disk.
    leaving: Vec<CellId>,
}

/// Days for which a cell is kept after the last on which a command could fall under it: commands may be on their way.
const FORGET_AFTER_DAYS: i32 = 2;

/// What a step of a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Slices are still to come, to become durable or to be written.
    Going,
    /// The marker is written.
    Finished(Marker),
}

/// What is to be written next.
enum Next {
    Slice(Slice),
    /// It is still to come, or to become durable.
    NotYet,
    Nothing,
}

impl SnapshotRun {
    /// Begins a run after a snapshot that has `saved`. The sinks are for the workers, in order: each is handed to its worker
    /// as a job. Cells are forgotten by the time `reached`, which is no later than the clock's.
    ///
    /// # Panics
    /// When a holder of a lock panicked.
    pub fn begin(
        shared: &Arc<Shared>,
        progress: &Progress,
        dictionary: &Arc<Dictionary>,
        publications: &Publications,
        saved: Saved,
        worker_count: usize,
        reached: TimestampNs,
    ) -> (Self, Vec<Box<dyn SliceSink>>) {
        // Fixed before anything is copied: whatever settled before is in what is copied after.
        let start = progress.settled();
        // By the time of what is durable, and by no clock that is ahead of it: the digest leaves cells out by the same. Where
        // the input is the clock, time may go back from one shard to another.
        let latest = reached.min(shared.cells.latest_posted());
        let day = Day(utc_day(latest).0 - FORGET_AFTER_DAYS);
        let leaving = if shared.clock_is_input { Vec::new() } else { shared.cells.forget(day) };
        let queue = Arc::new(Mutex::new(Queue::default()));
        let walk = ControlWalk::begin(shared, progress, dictionary, publications, saved);
        let sinks = (0..worker_count).map(|_| Box::new(Sink(queue.clone())) as Box<dyn SliceSink>).collect();
        let run = Self {
            queue,
            worker_count,
            walk,
            walked: VecDeque::new(),
            shared: shared.clone(),
            start,
            entity_count: 0,
            forgotten: (!leaving.is_empty()).then_some(day),
            leaving,
        };
        (run, sinks)
    }

    /// Removes some of what goes, or writes some of the slices that have become durable; when all are written, flushes and
    /// writes the marker.
    ///
    /// # Errors
    /// When the store fails; the marker before stays in force.
    ///
    /// # Panics
    /// When a holder of a lock panicked.
    pub fn step(&mut self, store: &dyn Store, now: TimestampNs) -> Result<RunState, StoreError> {
        if !self.leaving.is_empty() {
            return self.let_go(store).map(|()| RunState::Going);
        }
        for _ in 0..BATCHES_WRITTEN_MAX {
            let slice = match self.next_slice() {
                Next::Slice(slice) => slice,
                Next::NotYet => return Ok(RunState::Going),
                Next::Nothing => return self.finish(store, now).map(RunState::Finished),
            };
            self.entity_count += slice.entities.len() as u64;
            let mut batch = Batch::default();
            for (key, value) in slice.entities {
                batch.put(Space::State, key, value);
            }
            if !batch.ops.is_empty() {
                store.write(&batch, Durability::Deferred)?;
            }
        }
        Ok(RunState::Going)
    }

    /// Removes some of what is needed no more. Nothing is written before all of it is gone: a cell that comes back meanwhile is
    /// written after that.
    fn let_go(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        if let Some(day) = self.forgotten.take() {
            forgotten::write(store, day)?;
        }
        for _ in 0..BATCHES_WRITTEN_MAX {
            if self.leaving.is_empty() {
                break;
            }
            let rest = self.leaving.len().saturating_sub(self.shared.slice_entities);
            let mut batch = Batch::default();
            self.leaving.drain(rest..).for_each(|cell| batch.delete(Space::State, cell_key(cell)));
            store.write(&batch, Durability::Deferred)?;
        }
        Ok(())
    }

    fn next_slice(&mut self) -> Next {
        // Copied ahead of what can be written, so that not each of them is waited for by itself.
        while self.walked.len() < SLICES_WAITING_MAX
            && let Some(slice) = self.walk.next_slice()
        {
            self.walked.push_back(slice);
        }
        if let Some(next) = first_of(&mut self.walked, &self.shared.tickets) {
            return next;
        }
        let mut queue = self.queue.lock().expect("no holder panics");
        match first_of(&mut queue.slices, &self.shared.tickets) {
            Some(next) => next,
            None if queue.finished_workers < self.worker_count => Next::NotYet,
            None => Next::Nothing,
        }
    }

    fn finish(&self, store: &dyn Store, now: TimestampNs) -> Result<Marker, StoreError> {
        store.flush(Space::State)?;
        let (start, entity_count, saved) = (self.start, self.entity_count, self.walk.goal());
        let marker = Marker { start, finished_at: now, entity_count, saved };
        let mut batch = Batch::default();
        accounts::put(&mut batch, &self.queue.lock().expect("no holder panics").account_counts);
        marker.write_with(batch, store)?;
        Ok(marker)
    }
}

/// The first of these slices, once it may be written; `None` where there are none.
fn first_of(slices: &mut VecDeque<Slice>, tickets: &Tickets) -> Option<Next> {
    if may_be_written(slices.front()?, tickets) { slices.pop_front().map(Next::Slice) } else { Some(Next::NotYet) }
}

#[cfg(not(feature = "broken-variants"))]
fn may_be_written(slice: &Slice, tickets: &Tickets) -> bool {
    tickets.is_safe(slice.ticket)
}

#[cfg(feature = "broken-variants")]
fn may_be_written(slice: &Slice, tickets: &Tickets) -> bool {
    crate::sim::broken::is(crate::sim::broken::Variant::SliceBeforeDurable) || tickets.is_safe(slice.ticket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_reached_once_the_clock_has_stood_there() {
        let (hour, day) = (limits::CLOCK_STANDS_MS, 24 * limits::CLOCK_STANDS_MS);
        let mut reached = Reached::new(TimestampNs(1_000), 0);
        // The clock, the monotonic one, and what is reached.
        let table = [
            (1_500, hour - 1, i64::MIN),
            (2_000, hour, 1_000),
            (9_000, hour + 1, 1_000),
            // It was ahead for a moment, and nobody looked.
            (3_000, 2 * hour, 2_000),
            // It is ahead when somebody looks, and set right before the hour is over.
            (90_000, 3 * hour, 3_000),
            (4_000, 3 * hour + 2, 3_000),
            (4_500, 4 * hour, 3_000),
            (5_000, 4 * hour + 2, 4_000),
            // Set back behind what was reached.
            (700, 5 * hour, 700),
            (900, day, 700),
            (950, day + hour, 900),
        ];
        for (now, now_ms, expected) in table {
            assert_eq!(reached.at(TimestampNs(now), now_ms), TimestampNs(expected), "{now} at {now_ms}");
        }
    }
}
