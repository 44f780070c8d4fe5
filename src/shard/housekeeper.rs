//! The housekeeper: what must happen now and then and may wait for the disk. The high-water mark, the id index's
//! background work, snapshots.
//!
//! What must stay true: nothing here holds up a worker or the committer; the mark only names what is durable.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};

use super::committer::Progress;
use super::engine::{OnFailure, Seat, let_other_threads_on};
use super::job::Job;
use super::snapshotter::{Publications, Reached, RunState, SnapshotRun};
use super::worker::Shared;
use crate::access::keys::Keys;
use crate::clock::SharedClock;
use crate::journal::JournalError;
use crate::journal::dictionary::Dictionary;
use crate::journal::log::{HighWater, StoreJournal};
use crate::journal::size::JournalSize;
use crate::limits;
use crate::metrics::Metrics;
use crate::snapshot::key_uses::{self, Uses};
use crate::snapshot::{Marker, Saved};
use crate::store::{Space, Store, StoreError};

/// When snapshots are taken.
#[derive(Clone, Debug)]
pub struct HousekeeperOptions {
    /// A snapshot is due after so many further records …
    pub snapshot_records: u64,
    /// … but not sooner than so many milliseconds after the last one, unless [`limits::SNAPSHOT_RECORDS_FACTOR`] times as
    /// many records have come: a recovery would have to replay them.
    pub snapshot_interval_ms: u64,
}

impl Default for HousekeeperOptions {
    fn default() -> Self {
        Self { snapshot_records: 1_000_000, snapshot_interval_ms: 60_000 }
    }
}

impl HousekeeperOptions {
    /// Whether a snapshot is due, so many records and milliseconds after the last.
    fn is_due(&self, record_count: u64, elapsed_ms: i64) -> bool {
        let interval_ms = i64::try_from(self.snapshot_interval_ms).unwrap_or(i64::MAX);
        let is_time = elapsed_ms >= interval_ms;
        let are_many = record_count / limits::SNAPSHOT_RECORDS_FACTOR >= self.snapshot_records;
        record_count >= self.snapshot_records && (is_time || are_many)
    }
}

/// Someone wants a snapshot now.
pub struct SnapshotRequest {
    /// Told when it is finished.
    pub reply: Sender<Marker>,
}

/// A round every so many milliseconds when there is nothing else to do.
const ROUND_MS: u64 = 5;

/// Does the background work of one ledger.
pub struct Housekeeper {
    options: HousekeeperOptions,
    shared: Arc<Shared>,
    progress: Arc<Progress>,
    dictionary: Arc<Dictionary>,
    publications: Publications,
    journal: Arc<StoreJournal>,
    store: Arc<dyn Store>,
    clock: SharedClock,
    /// The snapshot that is in force: from it on the next one goes.
    marker: Arc<Mutex<Option<Marker>>>,
    seats: Vec<Arc<Seat>>,
    run: Option<(SnapshotRun, Vec<Sender<Marker>>)>,
    marked: Option<HighWater>,
    marked_at_ms: i64,
    snapshot_at_ms: i64,
    snapshot_begun_ns: i64,
    reached: Reached,
    uses: Uses,
    uses_at_ms: i64,
    observed: Option<(Arc<Metrics>, Arc<JournalSize>)>,
}

impl Housekeeper {
    #[expect(clippy::too_many_arguments, reason = "it is assembled in one place from what the engine holds")]
    pub(super) fn new(
        options: HousekeeperOptions,
        shared: Arc<Shared>,
        progress: Arc<Progress>,
        dictionary: Arc<Dictionary>,
        publications: Publications,
        journal: Arc<StoreJournal>,
        store: Arc<dyn Store>,
        clock: SharedClock,
        marker: Arc<Mutex<Option<Marker>>>,
        seats: Vec<Arc<Seat>>,
    ) -> Self {
        let now_ms = clock.monotonic_ns() / 1_000_000;
        let shared_uses = shared.keys.look(Keys::uses);
        let reached = Reached::new(clock.now(), now_ms);
        Self {
            options,
            shared,
            progress,
            dictionary,
            publications,
            journal,
            store,
            clock,
            marker,
            seats,
            run: None,
            marked: None,
            marked_at_ms: now_ms,
            snapshot_at_ms: now_ms,
            snapshot_begun_ns: 0,
            reached,
            uses: shared_uses,
            uses_at_ms: now_ms,
            observed: None,
        }
    }

    /// Says how long snapshots take, and notes how long the journal is when one is finished.
    pub(super) fn observed(self, metrics: Arc<Metrics>, journal_size: Arc<JournalSize>) -> Self {
        Self { observed: Some((metrics, journal_size)), ..self }
    }

    pub(super) fn run(
        mut self,
        requests: &Receiver<SnapshotRequest>,
        stopping: &AtomicBool,
        failed: &AtomicBool,
        on_failure: &OnFailure,
    ) {
        while !stopping.load(Ordering::Acquire) && !failed.load(Ordering::Acquire) {
            let request = match requests.recv_timeout(Duration::from_millis(ROUND_MS)) {
                Ok(request) => Some(request),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if let Err(error) = self.round(request) {
                failed.store(true, Ordering::Release);
                on_failure(&error);
                self.seats.iter().for_each(|seat| seat.ring());
            }
        }
    }

    fn round(&mut self, request: Option<SnapshotRequest>) -> Result<(), JournalError> {
        let now_ms = self.clock.monotonic_ns() / 1_000_000;
        self.renew_mark(now_ms)?;
        self.note_uses(now_ms)?;
        // Bounded, so that the mark and the snapshot are not kept waiting by a long merge.
        for _ in 0..64 {
            let step = self.shared.ids.maintain(self.progress.settled());
            // Whoever serves callers comes first where no core is free.
            let_other_threads_on();
            if !step.map_err(store_error)?.more_waits() {
                break;
            }
        }
        self.take_snapshot(request, now_ms)
    }

    fn renew_mark(&mut self, now_ms: i64) -> Result<(), JournalError> {
        let interval_ms = i64::try_from(limits::HIGH_WATER_INTERVAL_MS).unwrap_or(i64::MAX);
        let mark = self.progress.high_water();
        if mark != self.marked && now_ms - self.marked_at_ms >= interval_ms {
            if let Some(mark) = &mark {
                self.journal.write_high_water(mark)?;
            }
            (self.marked, self.marked_at_ms) = (mark, now_ms);
        }
        Ok(())
    }

    fn note_uses(&mut self, now_ms: i64) -> Result<(), JournalError> {
        let interval_ms = i64::try_from(limits::KEY_USES_INTERVAL_MS).unwrap_or(i64::MAX);
        if now_ms - self.uses_at_ms < interval_ms {
            return Ok(());
        }
        self.uses_at_ms = now_ms;
        let uses = self.shared.keys.look(Keys::uses);
        if uses != self.uses {
            key_uses::write(&*self.store, &uses)?;
            self.uses = uses;
        }
        Ok(())
    }

    fn take_snapshot(&mut self, request: Option<SnapshotRequest>, now_ms: i64) -> Result<(), JournalError> {
        let waiting = request.map(|request| request.reply);
        if let Some((_, replies)) = &mut self.run {
            replies.extend(waiting);
        } else if waiting.is_some() || self.is_due(now_ms) {
            self.begin(waiting);
        }
        let Some((run, replies)) = &mut self.run else { return Ok(()) };
        let state = run.step(&*self.store, self.clock.now())?;
        if let RunState::Finished(marker) = state {
            if let Some((metrics, journal_size)) = &self.observed {
                metrics.snapshots.record_ns(self.clock.monotonic_ns() - self.snapshot_begun_ns);
                journal_size.note(&*self.store)?;
            }
            *self.marker.lock().expect("no holder panics") = Some(marker);
            for reply in replies.drain(..) {
                // Whoever asked may have gone.
                let _ = reply.send(marker);
            }
            (self.run, self.snapshot_at_ms) = (None, now_ms);
        }
        Ok(())
    }

    fn is_due(&self, now_ms: i64) -> bool {
        let start = self.marker.lock().expect("no holder panics").map_or(0, |marker| marker.start.0);
        let record_count = self.progress.settled().0.saturating_sub(start);
        self.options.is_due(record_count, now_ms - self.snapshot_at_ms)
    }

    fn begin(&mut self, waiting: Option<Sender<Marker>>) {
        self.snapshot_begun_ns = self.clock.monotonic_ns();
        let reached = self.reached.at(self.clock.now(), self.snapshot_begun_ns / 1_000_000);
        let in_force = *self.marker.lock().expect("no holder panics");
        let (run, sinks) = SnapshotRun::begin(
            &self.shared,
            &self.progress,
            &self.dictionary,
            &self.publications,
            in_force.map_or_else(Saved::default, |marker| marker.saved),
            self.seats.len(),
            reached,
        );
        for (seat, sink) in self.seats.iter().zip(sinks) {
            // Waits while the queue is full; a worker that is gone takes no snapshot.
            let _ = seat.send(Job::Snapshot(sink));
        }
        self.run = Some((run, waiting.into_iter().collect()));
    }
}

pub(crate) fn store_error(error: crate::ids::IdError) -> JournalError {
    match error {
        crate::ids::IdError::Store(error) => error.into(),
        other => JournalError::Store(StoreError::Damaged {
            path: "the id index".into(),
            space: Some(Space::Ids),
            reason: other.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_waits_for_records_and_for_its_time_but_not_for_ever() {
        let options = HousekeeperOptions { snapshot_records: 100, snapshot_interval_ms: 5_000 };
        let rows = [
            (99, i64::MAX, false),
            (100, 4_999, false),
            (100, 5_000, true),
            (799, 0, false),
            (800, 0, true),
            (u64::MAX, 0, true),
        ];
        for (record_count, elapsed_ms, is_due) in rows {
            assert_eq!(options.is_due(record_count, elapsed_ms), is_due, "{record_count} records, {elapsed_ms} ms");
        }
    }
}
