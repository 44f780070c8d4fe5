//! The assembly: threads around the state machines, and the handle by which the edge reaches them.
//!
//! Threads: one per worker, for what those who bring work to it leave; the committer; the housekeeper (high-water mark, id
//! index, snapshots). Stopping is ordered: refuse new jobs → workers drain their queues → everything is committed → mark →
//! the state is handed back.
//!
//! What must stay true: a queue that is full refuses at once; after the first failure nothing is answered any more.

mod committing;
mod defining;
mod seat;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{RecvTimeoutError, Sender, TrySendError, bounded, unbounded};
use crossbeam::sync::Parker;

use super::committer::{Committer, Defined, Progress, Submitted};
use super::control::Control;
use super::freezing::FreezeLog;
use super::housekeeper::{Housekeeper, HousekeeperOptions, SnapshotRequest};
use super::job::Job;
use super::observing::MeteredJournal;
use super::proposing::ProposalLog;
use super::queue::{Rank, queue};
use super::tickets::Tickets;
use super::worker::{Shared, Worker, worker_of};
use crate::access::keys::{KeyLog, Keys};
use crate::clock::SharedClock;
use crate::ids::IdHasher;
use crate::journal::dictionary::Dictionary;
use crate::journal::frame::Chain;
use crate::journal::log::StoreJournal;
use crate::journal::record::{Opening, Publication, Record};
use crate::journal::size::JournalSize;
use crate::journal::{Journal, JournalError};
use crate::ledger::decision::Refusal;
use crate::ledger::freeze::Freezes;
use crate::ledger::state::{ShardState, shard_of, shard_of_hash};
use crate::ledger::types::{Position, ShardId, TimestampNs};
use crate::limits;
use crate::metrics::Metrics;
use crate::program::registry::Programs;
use crate::recovery::Recovered;
use crate::recovery::identity::Identity;
use crate::replay::world_digest;
use crate::snapshot::Marker;
use crate::snapshot::key_uses;
use crate::store::Store;
use committing::CommitThread;
pub use seat::{Seat, is_at_a_worker, let_other_threads_on};
use seat::{Signs, Turns};

/// Sizes and rhythms. May differ from one start to the next.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Worker threads, 1 to [`limits::WORKERS_MAX`].
    pub worker_count: usize,
    /// Jobs that may wait for one worker.
    pub queue_depth: usize,
    /// When snapshots are taken.
    pub housekeeping: HousekeeperOptions,
}

/// Called once, on the thread that failed, when the ledger can no longer promise anything.
pub type OnFailure = Arc<dyn Fn(&JournalError) + Send + Sync>;

/// A running ledger.
pub struct Engine {
    pub(super) seats: Vec<Arc<Seat>>,
    pub(super) submit: Sender<Submitted>,
    pub(super) publishing: Mutex<()>,
    pub(super) publish_gate: AtomicI64,
    pub(super) latest_stamp: AtomicI64,
    pub(super) programs: RwLock<Arc<Programs>>,
    pub(super) publications: Arc<RwLock<Vec<(Position, Publication)>>>,
    /// Records of the control shard.
    pub control: Arc<Control>,
    /// Cells, ids, tickets.
    pub shared: Arc<Shared>,
    /// Strings and items.
    pub dictionary: Arc<Dictionary>,
    /// How far the journal is durable.
    pub progress: Arc<Progress>,
    /// The journal, for reads.
    pub journal: Arc<StoreJournal>,
    /// The store, for reads.
    pub store: Arc<dyn Store>,
    /// The identity of the data directory.
    pub identity: Identity,
    /// Hashes ids as the index does.
    pub hasher: IdHasher,
    /// Time.
    pub clock: SharedClock,
    /// The epoch of this process.
    pub epoch: u64,
    /// What is counted and timed.
    pub metrics: Arc<Metrics>,
    /// How long the journal is.
    pub journal_size: Arc<JournalSize>,
    /// The last finished snapshot.
    pub marker: Arc<Mutex<Option<Marker>>>,
    options: EngineOptions,
    signs: Arc<Signs>,
    snapshot_requests: Sender<SnapshotRequest>,
    workers: Mutex<Vec<JoinHandle<Vec<ShardState>>>>,
    committer: Mutex<Option<JoinHandle<()>>>,
    housekeeper: Mutex<Option<JoinHandle<()>>>,
}

/// The state of a ledger that was stopped in order.
pub struct Stopped {
    /// The digest of its state.
    pub digest: crate::ledger::digest::Digest,
    /// One past the last record.
    pub end: Position,
}

impl Engine {
    /// Takes over a recovered directory: opens a new epoch and starts the threads.
    ///
    /// # Errors
    /// When another process has taken over, or the opening record cannot be made durable.
    ///
    /// # Panics
    /// When the options are out of range or the operating system gives no threads.
    pub fn start(
        recovered: Recovered,
        store: Arc<dyn Store>,
        clock: SharedClock,
        options: EngineOptions,
        on_failure: OnFailure,
    ) -> Result<Arc<Self>, JournalError> {
        assert!((1..=limits::WORKERS_MAX).contains(&options.worker_count), "the configuration checks the range");
        let Recovered { world, identity, ids, journal, marker, snapshot_seqs, .. } = recovered;
        let epoch = world.epoch + 1;
        journal.fence(epoch)?;
        key_uses::restore(&*store, &world.keys)?;
        let defined = Defined::recovered(&world);
        let control = Arc::new(Control::new(defined));
        let progress = Arc::new(Progress::new(world.end, defined));
        let latest_stamp = world.latest_stamp();
        let dictionary = Arc::new(world.dictionary);
        let shared = Arc::new(Shared {
            cells: world.cells,
            ids,
            keys: Arc::new(KeyLog::new(world.keys)),
            freezes: FreezeLog::new(world.freezes, identity.clock_is_input),
            proposals: ProposalLog::new(world.proposals),
            tickets: Tickets::new(options.worker_count),
            shard_count: identity.shard_count,
            clock_is_input: identity.clock_is_input,
            slice_entities: limits::SNAPSHOT_SLICE_ENTITIES,
        });
        control.push(&opening(epoch, &identity, clock.now()), None);
        let chain = Chain { epoch, next: world.end, hash: world.hash };
        let metrics = Arc::new(Metrics::new(options.worker_count));
        let journal_size = Arc::new(JournalSize::new(world.end));
        let metered = MeteredJournal {
            journal: journal.clone(),
            metrics: metrics.clone(),
            size: journal_size.clone(),
            clock: clock.clone(),
        };
        let mut committer = Committer::new(Arc::new(metered), control.clone(), progress.clone(), chain);
        committer.commit(&mut Vec::new(), clock.now(), &mut Vec::new())?;

        let (submit, submitted) = unbounded();
        let (snapshot_requests, requests) = bounded(1);
        let signs = Arc::new(Signs::default());
        let publications = Arc::new(RwLock::new(world.publications));
        let marker = Arc::new(Mutex::new(marker));
        let mut parkers = Vec::new();
        let mut seats = Vec::new();
        let mut notices = Vec::new();
        for (index, (shards, seqs)) in deal(world.shards, snapshot_seqs, options.worker_count).into_iter().enumerate() {
            let (queue, jobs) = queue(options.queue_depth);
            let (notice, committed) = unbounded();
            notices.push(notice);
            let turns = Turns {
                index,
                worker: Worker::new(index, options.worker_count, shared.clone(), world.programs.clone(), shards, seqs),
                jobs,
                committed,
                submit: submit.clone(),
                progress: progress.clone(),
                clock: clock.clone(),
                metrics: metrics.clone(),
                state: <_>::default(),
            };
            let parker = Parker::new();
            seats.push(Arc::new(Seat::new(turns, queue, signs.clone(), parker.unparker().clone())));
            parkers.push(parker);
        }
        let spawn = |name: String| std::thread::Builder::new().name(name);
        let workers = (seats.iter().cloned().zip(parkers).enumerate())
            .map(|(index, (seat, parker))| {
                spawn(format!("worker-{index}")).spawn(move || seat.serve(&parker)).expect("threads are to be had")
            })
            .collect();
        let committer = {
            let thread = CommitThread {
                committer,
                submitted,
                notices,
                seats: seats.clone(),
                clock: clock.clone(),
                metrics: metrics.clone(),
                signs: signs.clone(),
                on_failure: on_failure.clone(),
            };
            spawn("committer".to_owned()).spawn(move || thread.run()).expect("threads are to be had")
        };
        let housekeeper = {
            let keeper = Housekeeper::new(
                options.housekeeping.clone(),
                shared.clone(),
                progress.clone(),
                dictionary.clone(),
                publications.clone(),
                journal.clone(),
                store.clone(),
                clock.clone(),
                marker.clone(),
                seats.clone(),
            );
            let keeper = keeper.observed(metrics.clone(), journal_size.clone());
            let signs = signs.clone();
            let body = move || keeper.run(&requests, &signs.stopping, &signs.failed, &on_failure);
            spawn("housekeeper".to_owned()).spawn(body).expect("threads are to be had")
        };
        Ok(Arc::new(Self {
            seats,
            submit,
            publishing: Mutex::new(()),
            publish_gate: AtomicI64::new(i64::MAX),
            latest_stamp: AtomicI64::new(latest_stamp),
            programs: RwLock::new(Arc::new(world.programs)),
            publications,
            control,
            shared,
            dictionary,
            progress,
            journal,
            store,
            hasher: identity.id_hasher(),
            identity,
            clock,
            epoch,
            metrics,
            journal_size,
            marker,
            options,
            signs,
            snapshot_requests,
            workers: Mutex::new(workers),
            committer: Mutex::new(Some(committer)),
            housekeeper: Mutex::new(Some(housekeeper)),
        }))
    }

    /// Hands a job to the worker of a shard; it may be done when this returns.
    ///
    /// # Errors
    /// The job, and why it was not taken: the queue is full or the ledger is stopping. Nothing was consumed.
    pub fn submit(&self, shard: ShardId, job: Job) -> Result<(), (Job, Refusal)> {
        // A read shows whatever was handed over before it, so it never goes before ordinary commands.
        self.submit_to(worker_of(shard, self.seats.len()), job, Rank::Ordinary)
    }

    /// Hands a job to a worker by its number.
    ///
    /// # Errors
    /// As [`Engine::submit`].
    pub fn submit_to(&self, worker: usize, job: Job, rank: Rank) -> Result<(), (Job, Refusal)> {
        if self.is_stopping() {
            return Err((job, Refusal::ShuttingDown));
        }
        if let Job::Commands(batch) = &job {
            let latest = batch.jobs.iter().map(|job| job.stamp.0).max().unwrap_or(i64::MIN);
            self.latest_stamp.fetch_max(latest, Ordering::Relaxed);
        }
        self.metrics.workers[worker].comes(|| self.clock.monotonic_ns());
        match self.seats[worker].bring(job, rank) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(job)) => Err((job, Refusal::Overloaded)),
            Err(TrySendError::Disconnected(job)) => Err((job, Refusal::ShuttingDown)),
        }
    }

    /// The number of the worker that owns an account with this hash.
    #[must_use]
    pub fn worker_of(&self, account_hash: u64) -> usize {
        worker_of(shard_of_hash(account_hash, self.identity.shard_count), self.seats.len())
    }

    /// The shard of an account.
    #[must_use]
    pub fn shard_of(&self, account_id: &str) -> ShardId {
        shard_of(account_id, self.identity.shard_count)
    }

    /// Worker threads.
    #[must_use]
    pub fn worker_count(&self) -> usize {
        self.options.worker_count
    }

    /// Whether the ledger has failed or is stopping.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.signs.stopping.load(Ordering::Acquire) || self.signs.failed.load(Ordering::Acquire)
    }

    /// Whether a command with this stamp may go on, or must wait because a version that takes effect by then is being
    /// published, or something is being frozen or thawed.
    ///
    /// The stamp is announced before the gate is looked at, and a publication closes the gate before it looks at the
    /// announced stamps: of the two at least one sees the other.
    #[must_use]
    pub fn may_stamp(&self, stamp: TimestampNs) -> bool {
        self.may_stamp_around(stamp, || {})
    }

    /// As [`Engine::may_stamp`]; `between` runs between the announcement and the look, where a test publishes.
    fn may_stamp_around(&self, stamp: TimestampNs, between: impl FnOnce()) -> bool {
        self.latest_stamp.fetch_max(stamp.0, Ordering::SeqCst);
        between();
        stamp.0 < self.publish_gate.load(Ordering::SeqCst)
    }

    /// The latest stamp that any command announced, whatever became of it: a publication comes after it. The smallest time
    /// before the first.
    #[must_use]
    pub fn latest_stamp(&self) -> TimestampNs {
        TimestampNs(self.latest_stamp.load(Ordering::SeqCst))
    }

    /// The latest time of a posting that is durable, or of a freeze or thaw; `None` before the first. A stamp that came to
    /// nothing does not count.
    ///
    /// # Panics
    /// When a holder of a lock panicked.
    #[must_use]
    pub fn latest_posted(&self) -> Option<TimestampNs> {
        let posted = self.shared.cells.latest_posted();
        (posted.0 != i64::MIN).then_some(posted).max(self.shared.freezes.look(Freezes::latest))
    }

    /// The time that a read or a quote is judged at: now or, with an input clock, the latest time at which anything was
    /// posted, frozen or thawed, and not what was only stamped so.
    ///
    /// # Panics
    /// When a holder of a lock panicked.
    #[must_use]
    pub fn read_stamp(&self) -> TimestampNs {
        if self.identity.clock_is_input {
            self.latest_posted().unwrap_or(TimestampNs(i64::MIN))
        } else {
            self.clock.now()
        }
    }

    /// Looks at the versions of the programme, as far as every worker has them. Must be short.
    ///
    /// # Panics
    /// When a holder panicked.
    pub fn with_programs<T>(&self, look: impl FnOnce(&Programs) -> T) -> T {
        look(&self.programs.read().expect("no holder panics"))
    }

    /// The publications up to now, in the order of their versions. Must be short.
    ///
    /// # Panics
    /// When a holder panicked.
    pub fn with_publications<T>(&self, look: impl FnOnce(&[(Position, Publication)]) -> T) -> T {
        look(&self.publications.read().expect("no holder panics"))
    }

    /// The versions of the programme, as far as every worker has them.
    ///
    /// # Panics
    /// When a holder panicked.
    #[must_use]
    pub fn programs(&self) -> Arc<Programs> {
        self.programs.read().expect("no holder panics").clone()
    }

    /// Takes a snapshot now and waits for it.
    ///
    /// # Errors
    /// When the ledger is stopping.
    pub fn snapshot(&self) -> Result<Marker, Refusal> {
        let (reply, answer) = bounded(1);
        self.snapshot_requests.send(SnapshotRequest { reply }).map_err(|_| Refusal::ShuttingDown)?;
        loop {
            match answer.recv_timeout(SNAPSHOT_POLL) {
                Ok(marker) => return Ok(marker),
                // A request that came as the housekeeper left lies where nobody takes it.
                Err(RecvTimeoutError::Timeout) if !self.is_stopping() => {}
                Err(_) => return Err(Refusal::ShuttingDown),
            }
        }
    }

    fn tell_to_stop(&self) {
        self.signs.stopping.store(true, Ordering::Release);
        self.seats.iter().for_each(|seat| seat.ring());
    }

    /// Refuses new jobs, answers those that are queued, makes everything durable, and hands back what became of it.
    /// `None` when the ledger failed or was stopped before.
    ///
    /// # Panics
    /// When a thread panicked.
    pub fn stop(&self) -> Option<Stopped> {
        self.stop_looking(|| {}).map(|(stopped, ())| stopped)
    }

    /// As [`Engine::stop`]. Has `look` look around once everything is durable: what is written after that may fail, and the stop
    /// was in order all the same.
    ///
    /// # Panics
    /// When a thread panicked.
    pub fn stop_looking<T>(&self, look: impl FnOnce() -> T) -> Option<(Stopped, T)> {
        self.tell_to_stop();
        let workers = std::mem::take(&mut *self.workers.lock().expect("no holder panics"));
        if workers.is_empty() {
            return None;
        }
        let mut shards: Vec<ShardState> =
            workers.into_iter().flat_map(|thread| thread.join().expect("a worker does not panic")).collect();
        shards.sort_by_key(|shard| shard.id);
        let housekeeper = self.housekeeper.lock().expect("no holder panics").take();
        if let Some(thread) = housekeeper {
            thread.join().expect("the housekeeper does not panic");
        }
        let _ = self.submit.send(Submitted { worker: None, chunk: None });
        let committer = self.committer.lock().expect("no holder panics").take();
        if let Some(thread) = committer {
            let _ = self.submit.send(Submitted { worker: Some(STOP), chunk: None });
            thread.join().expect("the committer does not panic");
        }
        if self.signs.failed.load(Ordering::Acquire) {
            return None;
        }
        let seen = look();
        let uses = self.shared.keys.look(Keys::uses);
        if !uses.is_empty() {
            // It may be behind anyway.
            let _ = key_uses::write(&*self.store, &uses);
        }
        if let Some(mark) = self.progress.high_water() {
            // The journal is complete without it; a failure here only leaves the older mark.
            let _ = self.journal.write_high_water(&mark);
        }
        let programs = self.programs.read().expect("no holder panics");
        let digest = self
            .shared
            .freezes
            .look(|freezes| world_digest(&shards, &self.shared.cells, &self.dictionary, &programs, freezes));
        Some((Stopped { digest, end: self.progress.durable_end() }, seen))
    }
}

/// A handle that is dropped without [`Engine::stop`] still ends its threads: they finish what they have and go.
impl Drop for Engine {
    fn drop(&mut self) {
        self.tell_to_stop();
    }
}

/// The worker number that tells the committer to stop.
const STOP: usize = usize::MAX;

/// Whoever waits for a snapshot looks this often whether there will be one.
const SNAPSHOT_POLL: Duration = Duration::from_millis(100);

fn opening(epoch: u64, identity: &Identity, at: TimestampNs) -> Record {
    Record::Opening(Opening {
        epoch,
        at,
        time_zone_release: crate::program::time_zone_release().into(),
        shard_count: identity.shard_count,
        clock_is_input: identity.clock_is_input,
    })
}

type Dealt = Vec<(Vec<ShardState>, Vec<crate::ledger::types::Seq>)>;

fn deal(shards: Vec<ShardState>, seqs: Vec<crate::ledger::types::Seq>, worker_count: usize) -> Dealt {
    let mut dealt: Dealt = (0..worker_count).map(|_| Default::default()).collect();
    for (shard, seq) in shards.into_iter().zip(seqs) {
        let place = worker_of(shard.id, worker_count);
        dealt[place].0.push(shard);
        dealt[place].1.push(seq);
    }
    dealt
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
