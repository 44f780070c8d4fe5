//! A lane: what lies between the calls of one runtime thread and the workers. Commands of many calls leave together, one
//! batch for each worker, once the calls that are ready have had their turn; the answers to a batch come back together
//! and wake the thread once.
//!
//! What must stay true:
//! - commands leave in the order in which they were put in, so that whoever starts commands one after the other has
//!   them decided in that order;
//! - every command put in is answered once: by its worker, as overloaded if the worker has no room, or as unknown if
//!   the ledger has failed;
//! - a command that is refused here has its claims dropped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slab::Slab;
use tokio::sync::{Notify, oneshot};

use super::command::finished;
use super::encode;
use super::names::NameCache;
use super::status::Failure;
use crate::ledger::decision::Refusal;
use crate::ledger::types::ProgramVersion;
use crate::limits;
use crate::shard::engine::Engine;
use crate::shard::job::{CommandBatch, CommandJob, Decided, Job, Mailbox};
use crate::shard::queue::Rank;

/// A decision in the encoding of the wire, or why there is none.
pub(super) type Answered = Result<Vec<u8>, Failure>;

/// Whom to answer.
struct Waiter {
    original_version: Option<ProgramVersion>,
    answer: oneshot::Sender<Answered>,
}

/// Jobs whose memory is kept for further ones.
const SPARES_MAX: usize = 8_192;

#[derive(Default)]
struct Desk {
    spares: Vec<Box<CommandJob>>,
    /// Commands that have not left, by worker.
    outgoing: Vec<Vec<Box<CommandJob>>>,
    /// By ticket.
    waiters: Slab<Waiter>,
}

/// See the module.
pub(super) struct Lane {
    engine: Arc<Engine>,
    desk: Mutex<Desk>,
    names: Mutex<NameCache>,
    arrived: Mutex<Vec<CommandBatch>>,
    bell: Notify,
}

impl Lane {
    /// A lane to the workers of an engine. Somebody must [`Lane::run`] it.
    pub(super) fn new(engine: Arc<Engine>) -> Arc<Self> {
        let outgoing = (0..engine.worker_count()).map(|_| Vec::new()).collect();
        let desk = Mutex::new(Desk { spares: Vec::new(), outgoing, waiters: Slab::new() });
        Arc::new(Self { engine, desk, names: Mutex::default(), arrived: Mutex::new(Vec::new()), bell: Notify::new() })
    }

    /// Nothing panics while it holds the lock, so poison is passed over.
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names that came again and again on this lane. Must not be asked for while it is held.
    pub(super) fn names(&self) -> MutexGuard<'_, NameCache> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether so many calls wait on this lane that a further one is better refused at once.
    pub(super) fn is_full(&self) -> bool {
        self.desk().waiters.len() >= limits::LANE_CALLS_MAX
    }

    /// A job to fill in.
    pub(super) fn spare(&self) -> Box<CommandJob> {
        self.desk().spares.pop().unwrap_or_else(|| Box::new(CommandJob::blank()))
    }

    /// Moves up to so many jobs to fill in to `out`.
    pub(super) fn lend(&self, count: usize, out: &mut Vec<Box<CommandJob>>) {
        let mut desk = self.desk();
        let kept = desk.spares.len().saturating_sub(count);
        out.extend(desk.spares.drain(kept..));
    }

    /// Takes back jobs whose outcome has been told.
    pub(super) fn give_back(&self, jobs: &mut Vec<Box<CommandJob>>) {
        jobs.iter_mut().for_each(|job| job.reset());
        let mut desk = self.desk();
        let room = SPARES_MAX.saturating_sub(desk.spares.len());
        desk.spares.extend(jobs.drain(..room.min(jobs.len())));
    }

    /// A ticket for a command that is going to be sent, and where its answer will be.
    pub(super) fn expect_answer(&self, original_version: Option<ProgramVersion>) -> (u64, oneshot::Receiver<Answered>) {
        let (answer, answered) = oneshot::channel();
        let ticket = self.desk().waiters.insert(Waiter { original_version, answer });
        (ticket as u64, answered)
    }

    /// Puts a command in, with its claims. It leaves soon.
    pub(super) fn send(&self, job: Box<CommandJob>) {
        let worker = self.engine.worker_of(job.account_hash);
        let mut desk = self.desk();
        let outgoing = &mut desk.outgoing[worker];
        outgoing.push(job);
        let count = outgoing.len();
        drop(desk);
        if count == 1 || count == limits::WORKER_BATCH_COMMANDS_MAX {
            self.bell.notify_one();
        }
    }

    /// Takes part in the runtime until the task is dropped.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            self.bell.notified().await;
            let arrived = std::mem::take(&mut *self.arrived.lock().unwrap_or_else(PoisonError::into_inner));
            for mut batch in arrived {
                self.answer(&batch);
                self.give_back(&mut batch.jobs);
            }
            for worker in 0..self.engine.worker_count() {
                self.flush(worker);
            }
        }
    }

    fn flush(self: &Arc<Self>, worker: usize) {
        let mut jobs = std::mem::take(&mut self.desk().outgoing[worker]);
        while jobs.len() > limits::WORKER_BATCH_COMMANDS_MAX {
            let rest = jobs.split_off(limits::WORKER_BATCH_COMMANDS_MAX);
            self.hand_over(worker, std::mem::replace(&mut jobs, rest));
        }
        if !jobs.is_empty() {
            self.hand_over(worker, jobs);
        }
    }

    fn hand_over(self: &Arc<Self>, worker: usize, jobs: Vec<Box<CommandJob>>) {
        let batch = CommandBatch::new(jobs, self.clone());
        let Err((job, refusal)) = self.engine.submit_to(worker, Job::Commands(batch), Rank::Urgent) else { return };
        let Job::Commands(batch) = job else { unreachable!("the same job comes back") };
        let failure = if refusal == Refusal::Overloaded { Failure::Overloaded } else { Failure::ShuttingDown };
        for job in batch.take_back() {
            job.ids.claims().for_each(|key| self.engine.shared.ids.release(key));
            if let Some(waiter) = self.take_waiter(job.ticket) {
                // Whoever asked may have gone.
                let _ = waiter.answer.send(Err(failure.clone()));
            }
        }
    }

    fn answer(&self, batch: &CommandBatch) {
        for job in &batch.jobs {
            let Some(waiter) = self.take_waiter(job.ticket) else { continue };
            let mut bytes = Vec::with_capacity(DECISION_BYTES_RESERVED);
            let answered = finished(job, waiter.original_version, &mut bytes).map(|()| bytes);
            if answered.is_ok() {
                self.engine.metrics.decided(&job.outcome);
            }
            // Whoever asked may have gone; the command stands.
            let _ = waiter.answer.send(answered);
        }
    }

    fn take_waiter(&self, ticket: u64) -> Option<Waiter> {
        self.desk().waiters.try_remove(usize::try_from(ticket).ok()?)
    }
}

/// Room for the decision of an ordinary basket.
const DECISION_BYTES_RESERVED: usize = 192;

impl Mailbox for Lane {
    fn prepare(&self, decided: &Decided<'_>, out: &mut Vec<u8>) {
        encode::prepare(decided, out);
    }

    fn deliver(&self, batch: CommandBatch) {
        let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        arrived.push(batch);
        let is_first = arrived.len() == 1;
        drop(arrived);
        if is_first {
            self.bell.notify_one();
        }
    }

    /// Dropping the waiter tells whoever waits that the outcome is unknown.
    fn abandon(&self, jobs: Vec<Box<CommandJob>>) {
        for job in jobs {
            drop(self.take_waiter(job.ticket));
        }
    }
}
