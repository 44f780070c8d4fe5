//! One run of the fuzzy snapshot: gathers slices from the workers and writes each when everything in it is durable.
//!
//! What must stay true: the order is begin (fix the start) → slices → flush → marker; a slice whose chunk is not
//! durable waits; the queue of slices is bounded, and a worker that finds it full goes on and tries again later.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::committer::Progress;
use super::job::{Slice, SliceSink};
use super::tickets::Tickets;
use super::worker::Shared;
use crate::journal::dictionary::Dictionary;
use crate::journal::record::Publication;
use crate::ledger::types::{CellId, Day, ItemId, Position, ShardId, SymbolId, TimestampNs};
use crate::ledger::zone::utc_day;
use crate::limits;
use crate::snapshot::entity::{Entity, cell_key};
use crate::snapshot::{Marker, Saved, accounts, forgotten};
use crate::store::{Batch, Durability, Space, Store, StoreError};

/// Slices that may wait for their chunk to be durable.
const SLICES_WAITING_MAX: usize = 64;

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
    start: Position,
    entity_count: u64,
    saved: Saved,
    /// The day before which nothing is posted any more, and cells that are therefore needed no more: they go from the disk
    /// with this snapshot.
    forgotten: Option<(Day, Vec<CellId>)>,
}

/// Days for which a cell is kept after the last on which a command could fall under it: commands may be on their way.
const FORGET_AFTER_DAYS: i32 = 2;

/// What a step of a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Slices are still to come or to become durable.
    Going,
    /// The marker is written.
    Finished(Marker),
}

impl SnapshotRun {
    /// Begins a run. The sinks are for the workers, in order: each is handed to its worker as a job. Cells are forgotten by
    /// the time `reached`, which is no later than the clock's.
    ///
    /// # Errors
    /// When the store fails.
    pub fn begin(
        shared: &Shared,
        progress: &Progress,
        dictionary: &Dictionary,
        publications: &[(Position, Publication)],
        saved: Saved,
        worker_count: usize,
        reached: TimestampNs,
    ) -> (Self, Vec<Box<dyn SliceSink>>) {
        // Fixed before anything is copied: whatever settled before is in what is copied after.
        let start = progress.settled();
        // By the time of what is durable, and by no clock that is ahead of it: the digest leaves cells out by the same. Where
        // the input is the clock, time may go back from one shard to another.
        let latest = reached.min(shared.cells.latest_posted());
        let forgotten = (!shared.clock_is_input).then(|| {
            let day = Day(utc_day(latest).0 - FORGET_AFTER_DAYS);
            (day, shared.cells.forget(day))
        });
        let queue = Arc::new(Mutex::new(Queue::default()));
        let (control, now_saved) = control_slice(shared, progress, dictionary, publications, saved);
        queue.lock().expect("nobody else has it yet").slices.push_back(control);
        let sinks = (0..worker_count).map(|_| Box::new(Sink(queue.clone())) as Box<dyn SliceSink>).collect();
        (Self { queue, worker_count, start, entity_count: 0, saved: now_saved, forgotten }, sinks)
    }

    /// Writes the slices that have become durable; when all are written, flushes and writes the marker.
    ///
    /// # Errors
    /// When the store fails; the marker before stays in force.
    pub fn step(&mut self, store: &dyn Store, tickets: &Tickets, now: TimestampNs) -> Result<RunState, StoreError> {
        loop {
            let slice = {
                let mut queue = self.queue.lock().expect("no holder panics");
                match queue.slices.front() {
                    Some(slice) if may_be_written(slice, tickets) => queue.slices.pop_front(),
                    Some(_) => return Ok(RunState::Going),
                    None if queue.finished_workers < self.worker_count => return Ok(RunState::Going),
                    None => None,
                }
            };
            let Some(slice) = slice else { break };
            self.entity_count += slice.entities.len() as u64;
            let mut batch = Batch::default();
            for (key, value) in slice.entities {
                batch.put(Space::State, key, value);
            }
            store.write(&batch, Durability::Deferred)?;
        }
        if let Some((day, cells)) = self.forgotten.take().filter(|(_, cells)| !cells.is_empty()) {
            forgotten::write(store, day)?;
            let mut batch = Batch::default();
            cells.into_iter().for_each(|cell| batch.delete(Space::State, cell_key(cell)));
            store.write(&batch, Durability::Deferred)?;
        }
        store.flush(Space::State)?;
        let (start, entity_count, saved) = (self.start, self.entity_count, self.saved);
        let marker = Marker { start, finished_at: now, entity_count, saved };
        let mut batch = Batch::default();
        accounts::put(&mut batch, &self.queue.lock().expect("no holder panics").account_counts);
        marker.write_with(batch, store)?;
        Ok(RunState::Finished(marker))
    }

    /// What the control shard's part of this snapshot holds, for the next run.
    #[must_use]
    pub fn saved(&self) -> Saved {
        self.saved
    }
}

#[cfg(not(feature = "broken-variants"))]
fn may_be_written(slice: &Slice, tickets: &Tickets) -> bool {
    tickets.is_safe(slice.ticket)
}

#[cfg(feature = "broken-variants")]
fn may_be_written(slice: &Slice, tickets: &Tickets) -> bool {
    crate::sim::broken::is(crate::sim::broken::Variant::SliceBeforeDurable) || tickets.is_safe(slice.ticket)
}

/// Cells, and what is new of strings, items and programmes: all of it durable when the slice's ticket is.
fn control_slice(
    shared: &Shared,
    progress: &Progress,
    dictionary: &Dictionary,
    publications: &[(Position, Publication)],
    saved: Saved,
) -> (Slice, Saved) {
    let defined = progress.defined();
    let mut entities = Vec::new();
    for number in saved.symbol_count..defined.symbol_count {
        let text = dictionary.text(SymbolId(number)).expect("a number that was given has a text");
        entities.push(Entity::Symbol(SymbolId(number), text).encode());
    }
    for number in saved.item_count..defined.item_count {
        let item = dictionary.item(ItemId(number)).expect("a number that was given has an item");
        entities.push(Entity::Item(ItemId(number), item).encode());
    }
    for (position, publication) in publications.iter().skip(saved.version_count as usize) {
        entities.push(Entity::Program(*position, Box::new(publication.clone())).encode());
    }
    let key_change_count = shared.keys.look(|keys| {
        let new = (0..).zip(keys.changes()).skip(saved.key_change_count as usize);
        entities.extend(new.map(|(number, (at, change))| Entity::KeyChange(number, *at, change.clone()).encode()));
        u32::try_from(keys.changes().len()).expect("changes of keys are bounded")
    });
    let freeze_change_count = shared.freezes.look(|freezes| {
        let new = (0..).zip(freezes.changes()).skip(saved.freeze_change_count as usize);
        entities.extend(new.map(|(number, (at, change))| Entity::FreezeChange(number, *at, change.clone()).encode()));
        u32::try_from(freezes.changes().len()).expect("freezes and thaws are bounded")
    });
    let proposal_change_count = shared.proposals.look(|proposals| {
        if proposals.change_count() > saved.proposal_change_count {
            entities.push(Entity::Proposals(Box::new(proposals.clone())).encode());
        }
        proposals.change_count()
    });
    for (id, cell) in shared.cells.copy() {
        // A return that is not usable yet is part of `used` already: it is durable when the ticket is.
        entities.push(Entity::Cell(id, cell.version, cell.used, cell.retain_until).encode());
    }
    entities.push(Entity::Shard(ShardId::CONTROL, defined.seq, TimestampNs(0)).encode());
    let ticket = shared.tickets.horizon().saturating_sub(1);
    let saved = Saved {
        symbol_count: defined.symbol_count,
        item_count: defined.item_count,
        version_count: u32::try_from(publications.len()).expect("versions are bounded"),
        key_change_count,
        freeze_change_count,
        proposal_change_count,
    };
    (Slice { entities, ticket }, saved)
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
