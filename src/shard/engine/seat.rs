//! The seat of a worker: its work is done by whoever brings some. A thread that serves calls decides what it hands over,
//! and the committer answers what it has made durable, if nobody is at the worker. What is left, and what takes long, is done
//! by the worker's own thread.
//!
//! What must stay true:
//! - one thread at a time is at a worker, and nobody who brings something waits for the seat: only whoever makes a change
//!   that must not fall among decisions does, and keeps all seats until it is made;
//! - nothing is left lying: whoever brings something either finds the seat free, or is seen by the one who leaves it, who
//!   wakes the worker's thread;
//! - a turn of a thread that serves calls is short, and the worker's own thread lets others on between two turns.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use crossbeam::channel::{Receiver, SendError, Sender, TrySendError};
use crossbeam::sync::{Parker, Unparker};

use crate::clock::{Clock, SharedClock, SystemClock};
use crate::ledger::state::ShardState;
use crate::ledger::types::TimestampNs;
use crate::limits;
use crate::metrics::Metrics;
use crate::shard::committer::{Committed, Progress, Submitted};
use crate::shard::job::Job;
use crate::shard::queue::{JobReceiver, JobSender, Rank};
use crate::shard::worker::Worker;

thread_local! {
    static IS_AT_A_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is at a worker just now, so that a panic of it leaves a state that nobody knows.
#[must_use]
pub fn is_at_a_worker() -> bool {
    IS_AT_A_WORKER.get()
}

/// Lets another thread have this core, if one waits for it: between two pieces of what takes long, so that whoever only has
/// a little to do comes first.
pub fn let_other_threads_on() {
    std::thread::yield_now();
}

/// What the threads of a ledger tell each other without a message.
#[derive(Default)]
pub(super) struct Signs {
    /// The ledger is asked to stop.
    pub(super) stopping: AtomicBool,
    /// The ledger has failed.
    pub(super) failed: AtomicBool,
    /// The committer has nothing to commit: the first who has decided something hands it over at once, and takes the sign
    /// away. What is decided after that, the committer comes for.
    pub(super) committer_rests: AtomicBool,
}

/// Who takes a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hand {
    /// The worker's own thread: it does everything.
    Own,
    /// A thread that serves calls: it decides a little.
    Caller,
    /// The committer, for what was decided.
    Collecting,
    /// The committer, to have what is durable answered.
    Telling,
}

/// See the module.
pub struct Seat {
    turns: Mutex<Option<Turns>>,
    jobs: JobSender,
    committed: Receiver<Committed>,
    signs: Arc<Signs>,
    bell: Unparker,
    /// Records were decided and not handed over.
    has_open: AtomicBool,
    /// 0, or one more than the turns that callers have taken since the worker's own thread found the seat taken.
    passed: AtomicU32,
}

/// A seat that is kept: nobody is at the worker, and nothing is decided, until this is dropped.
pub(in crate::shard) struct Kept<'a> {
    turns: MutexGuard<'a, Option<Turns>>,
    // After it: the seat is free by then.
    _waking: Waking<'a>,
}

/// Wakes the worker's own thread for what was brought while a seat was kept.
struct Waking<'a>(&'a Seat);

impl Drop for Waking<'_> {
    fn drop(&mut self) {
        IS_AT_A_WORKER.set(false);
        self.0.ring();
    }
}

impl Kept<'_> {
    /// As [`Worker::posting_times`].
    pub(in crate::shard) fn posting_times(&self) -> impl Iterator<Item = TimestampNs> {
        self.turns.iter().flat_map(|turns| turns.worker.posting_times())
    }
}

/// What whoever is at the worker has in hand.
pub(super) struct Turns {
    pub(super) index: usize,
    pub(super) worker: Worker,
    pub(super) jobs: JobReceiver,
    pub(super) committed: Receiver<Committed>,
    pub(super) submit: Sender<Submitted>,
    pub(super) progress: Arc<Progress>,
    pub(super) clock: SharedClock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) state: TurnState,
}

/// What one turn leaves to the next.
pub(super) struct TurnState {
    /// A commit of nothing was asked for, to look at gated reads again.
    nudged: bool,
    /// Commands came since the last step of what nobody waits for.
    had_callers: bool,
    /// When the next step of what nobody waits for is due, on the clock that paces them.
    background_due_ns: i64,
    /// From when on the queue counts as empty, on the same clock.
    quiet_from_ns: i64,
    /// What paces the steps of what nobody waits for. The ledger's clock may be one that stands still.
    pace: SystemClock,
    /// When the first record of the open chunk was decided, if there is one.
    opened_ns: Option<i64>,
    /// The same of each chunk in flight.
    sealed_ns: VecDeque<i64>,
}

impl Default for TurnState {
    fn default() -> Self {
        Self {
            nudged: false,
            had_callers: false,
            background_due_ns: i64::MIN,
            quiet_from_ns: i64::MIN,
            pace: SystemClock::new(),
            opened_ns: None,
            sealed_ns: VecDeque::with_capacity(limits::WORKER_CHUNKS_IN_FLIGHT_MAX + 1),
        }
    }
}

/// What a turn has done, and what it leaves.
#[derive(Clone, Copy, Debug, Default)]
struct Left {
    /// Commits and jobs that were taken.
    done: usize,
    /// A further job could be taken.
    has_room: bool,
    /// Records were decided and not handed over.
    has_open: bool,
    /// Reads wait for other workers' commits, and nobody has asked to be told of the next.
    has_gated: bool,
}

impl Seat {
    pub(super) fn new(turns: Turns, jobs: JobSender, signs: Arc<Signs>, bell: Unparker) -> Self {
        let committed = turns.committed.clone();
        let (has_open, passed) = (AtomicBool::new(false), AtomicU32::new(0));
        Self { turns: Mutex::new(Some(turns)), jobs, committed, signs, bell, has_open, passed }
    }

    /// Brings a job, and does it if the seat is free and the worker's own thread has not waited for it too long.
    ///
    /// # Errors
    /// The job, when there is no room or the worker has gone.
    pub(super) fn bring(&self, job: Job, rank: Rank) -> Result<(), TrySendError<Job>> {
        self.jobs.try_send(job, rank)?;
        match self.passed.load(Ordering::Relaxed) {
            0 => {}
            PASSED_MAX.. => {
                self.bell.unpark();
                return Ok(());
            }
            _ => drop(self.passed.fetch_add(1, Ordering::Relaxed)),
        }
        self.take_turn(Hand::Caller);
        Ok(())
    }

    /// Brings a job for the worker's own thread, waiting for room: for what must be done however many commands wait.
    ///
    /// # Errors
    /// The job, when the worker has gone.
    pub fn send(&self, job: Job) -> Result<(), SendError<Job>> {
        let sent = self.jobs.send(job);
        self.bell.unpark();
        sent
    }

    /// Commands and other jobs that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.jobs.waiting()
    }

    /// Has what was decided handed over to the committer, if the seat is free.
    pub(super) fn collect(&self) {
        fence(Ordering::SeqCst);
        if self.has_open.load(Ordering::Relaxed) {
            self.take_turn(Hand::Collecting);
        }
    }

    /// Has what is durable answered: here if the seat is free.
    pub(super) fn tell(&self) {
        if !self.committed.is_empty() {
            self.take_turn(Hand::Telling);
        }
    }

    /// Waits for the seat and keeps it; `None` where there is no worker any more. Whoever keeps several must be the only one
    /// who does, and not be at a worker.
    pub(in crate::shard) fn keep(&self) -> Option<Kept<'_>> {
        let waking = Waking(self);
        // Found by whoever comes next where a thread panicked here.
        let turns = self.turns.lock().ok().filter(|turns| turns.is_some())?;
        // A panic of this thread leaves a seat that nobody takes any more.
        IS_AT_A_WORKER.set(true);
        Some(Kept { turns, _waking: waking })
    }

    /// Wakes the worker's own thread.
    pub fn ring(&self) {
        self.bell.unpark();
    }

    fn take_turn(&self, hand: Hand) {
        // What was brought is put down before this looks: see [`Seat::is_wanted`].
        fence(Ordering::SeqCst);
        let left = match self.turns.try_lock() {
            Err(TryLockError::WouldBlock) => return,
            Err(TryLockError::Poisoned(poisoned)) => self.abandon(poisoned.into_inner()),
            Ok(mut turns) => self.go(&mut turns, hand),
        };
        // A worker's thread that is to end looks after each turn whether it can.
        let is_ending = || self.signs.stopping.load(Ordering::Acquire) || self.signs.failed.load(Ordering::Acquire);
        if left.is_none_or(|left| self.is_wanted(left)) || is_ending() {
            self.bell.unpark();
        }
    }

    /// A turn of whoever holds the seat; `None` where there is no worker any more, or the ledger has failed.
    fn go(&self, turns: &mut MutexGuard<'_, Option<Turns>>, hand: Hand) -> Option<Left> {
        if self.signs.failed.load(Ordering::Acquire) {
            return None;
        }
        let turns = turns.as_mut()?;
        let was_at_one = IS_AT_A_WORKER.replace(true);
        let left = turns.go(hand, &self.signs);
        IS_AT_A_WORKER.set(was_at_one);
        self.has_open.store(left.has_open, Ordering::Relaxed);
        Some(left)
    }

    /// A thread panicked at the worker: nobody may go on with it, and whoever waits is told so.
    fn abandon(&self, mut turns: MutexGuard<'_, Option<Turns>>) -> Option<Left> {
        self.signs.failed.store(true, Ordering::Release);
        drop(turns.take());
        None
    }

    /// Whether there is something to do, once the seat is free. Whoever brought it meanwhile may have found the seat taken:
    /// they brought it before they looked, and this looks after it left, so one of the two sees the other. The same holds
    /// for the sign that the committer rests, and for records that lie open.
    fn is_wanted(&self, left: Left) -> bool {
        fence(Ordering::SeqCst);
        let has_jobs = left.has_room && self.jobs.waiting() > 0;
        let is_asked_for = left.has_open && self.signs.committer_rests.load(Ordering::SeqCst);
        has_jobs || is_asked_for || left.has_gated || !self.committed.is_empty()
    }

    /// The life of the worker's own thread; the state of its shards in the end, or nothing if the ledger has failed.
    pub(super) fn serve(&self, parker: &Parker) -> Vec<ShardState> {
        let mut patience_ms = PATIENCE_MS;
        loop {
            fence(Ordering::SeqCst);
            match self.turns.try_lock() {
                // Whoever has it wakes this thread if they leave anything.
                Err(TryLockError::WouldBlock) => {
                    let _ = self.passed.compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed);
                }
                Err(TryLockError::Poisoned(poisoned)) => {
                    let _ = self.abandon(poisoned.into_inner());
                    return Vec::new();
                }
                Ok(mut turns) => {
                    self.passed.store(0, Ordering::Relaxed);
                    let Some(left) = self.go(&mut turns, Hand::Own) else {
                        // Memory is ahead of disk: nobody is answered, and the state is worth nothing.
                        drop(turns.take());
                        return Vec::new();
                    };
                    patience_ms = turns.as_ref().map_or(PATIENCE_MS, Turns::patience_ms);
                    let may_end = self.signs.stopping.load(Ordering::Acquire) && left.done == 0;
                    if may_end && let Some(ended) = turns.take_if(|turns| turns.is_idle()) {
                        return ended.worker.into_shards();
                    }
                    drop(turns);
                    if left.done > 0 || self.is_wanted(left) {
                        // Where no core is free, whoever is about to bring or to be told something comes first.
                        let_other_threads_on();
                        continue;
                    }
                }
            }
            parker.park_timeout(Duration::from_millis(patience_ms));
        }
    }
}

/// So often callers go before a worker's own thread that found the seat taken.
const PASSED_MAX: u32 = 8;
/// How long a worker's thread sleeps if nobody wakes it: until it looks whether lots have died. In tests so long that what
/// nobody woke it for is missed.
const PATIENCE_MS: u64 = if cfg!(test) { 600_000 } else { 20 };
/// The same while a snapshot is taken or lots die: there is something to do without a message.
const PATIENCE_MS_AT_WORK: u64 = 1;

impl Turns {
    fn go(&mut self, hand: Hand, signs: &Signs) -> Left {
        let notices = self.take_notices(match hand {
            Hand::Own | Hand::Telling => usize::MAX,
            Hand::Caller => 1,
            Hand::Collecting => 0,
        });
        let jobs = match hand {
            Hand::Own => self.take_jobs(limits::WORKER_TURN_COMMANDS_MAX, JobReceiver::take),
            Hand::Caller => self.take_jobs(limits::CALLER_TURN_COMMANDS_MAX, JobReceiver::take_short),
            Hand::Collecting | Hand::Telling => 0,
        };
        self.state.had_callers |= jobs > 0;
        if hand == Hand::Own {
            self.background_step(signs);
        }
        let record_count = self.worker.open_record_count();
        let is_time = hand == Hand::Collecting || record_count >= limits::WORKER_CHUNK_RECORDS;
        if record_count == 0 || is_time || signs.committer_rests.swap(false, Ordering::SeqCst) {
            self.hand_over();
        } else if self.state.opened_ns.is_none() {
            self.state.opened_ns = Some(self.clock.monotonic_ns());
        }
        let has_open = self.worker.has_open_chunk();
        let has_gated = !has_open && self.worker.has_gated_reads() && !self.state.nudged;
        // The committer would only keep itself busy, and others have no time for it.
        if has_gated && hand == Hand::Own {
            self.state.nudged = true;
            let _ = self.submit.send(Submitted { worker: Some(self.index), chunk: None });
        }
        let has_gated = has_gated && hand != Hand::Own;
        Left { done: notices + jobs, has_room: self.worker.has_room(), has_open, has_gated }
    }

    /// A small step of what nobody waits for. At intervals: what a step costs the committer, the disk and the
    /// housekeeper comes after it, and those who wait for an answer need them too.
    fn background_step(&mut self, signs: &Signs) {
        let now_ns = self.state.pace.monotonic_ns();
        if std::mem::take(&mut self.state.had_callers) {
            self.state.quiet_from_ns = now_ns.saturating_add(limits::BACKGROUND_QUIET_NS);
        }
        // A worker that finds its queue empty for a moment is one whose callers wait for the others.
        if now_ns < self.state.background_due_ns.min(self.state.quiet_from_ns) {
            return;
        }
        let now = self.clock.now();
        if !(self.worker.is_taking_snapshot() || self.worker.may_sweep(now)) {
            return;
        }
        self.state.background_due_ns = now_ns.saturating_add(limits::BACKGROUND_INTERVAL_NS);
        if !signs.stopping.load(Ordering::Acquire) {
            self.worker.sweep_step(now);
        }
        self.worker.snapshot_step();
    }

    fn take_notices(&mut self, most: usize) -> usize {
        let mut count = 0;
        while count < most {
            let Ok(notice) = self.committed.try_recv() else { break };
            count += 1;
            match notice.chunk {
                Some((chunk, base)) => {
                    let (told_ns, record_count) = (self.clock.monotonic_ns(), chunk.records().len() as u64);
                    let opened_ns = self.state.sealed_ns.pop_front().unwrap_or(told_ns);
                    self.worker.committed(chunk, base);
                    self.progress.processed(base);
                    self.metrics.stages.commit_wait.record_many_ns(told_ns - opened_ns, record_count);
                    let took_ns = self.clock.monotonic_ns() - told_ns;
                    self.metrics.stages.reply.record_batch_ns(took_ns, record_count);
                }
                None => {
                    self.state.nudged = false;
                    self.worker.open_gates();
                }
            }
        }
        count
    }

    fn take_jobs(&mut self, most: usize, take: impl Fn(&JobReceiver) -> Option<Job>) -> usize {
        if !self.worker.has_room() {
            return 0;
        }
        let now_ns = self.clock.monotonic_ns();
        let meter = &self.metrics.workers[self.index];
        let since_ns = meter.takes();
        let mut count = 0;
        while count < most {
            let Some(job) = take(&self.jobs) else { break };
            count += job.weight();
            self.worker.execute(job, now_ns);
        }
        let is_empty = self.jobs.is_empty();
        if count > 0 {
            if let Some(since_ns) = since_ns {
                self.metrics.stages.queue.record_ns(now_ns - since_ns);
            }
            meter.took(count as u64, is_empty);
            self.metrics.stages.decide.record_batch_ns(self.clock.monotonic_ns() - now_ns, count as u64);
        }
        if !is_empty {
            // Nothing was taken, and what waited waits on; or what is left has waited since then at least.
            meter.leaves(if count > 0 { Some(now_ns) } else { since_ns });
        }
        count
    }

    fn hand_over(&mut self) {
        if let Some(chunk) = self.worker.seal() {
            let opened_ns = self.state.opened_ns.take().unwrap_or_else(|| self.clock.monotonic_ns());
            self.state.sealed_ns.push_back(opened_ns);
            // The committer outlives the workers, unless it failed; then nothing is answered any more.
            let _ = self.submit.send(Submitted { worker: Some(self.index), chunk: Some(chunk) });
        }
    }

    fn patience_ms(&self) -> u64 {
        let is_at_work = self.worker.is_taking_snapshot() || self.worker.is_sweeping();
        if is_at_work { PATIENCE_MS_AT_WORK } else { PATIENCE_MS }
    }

    /// Whether everything that came is done, durable and answered.
    fn is_idle(&self) -> bool {
        let has_nothing = self.worker.in_flight_count() == 0 && !self.worker.has_open_chunk();
        has_nothing && !self.worker.has_gated_reads() && self.jobs.is_empty()
    }
}
