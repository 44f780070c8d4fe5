//! A lane: what lies between the calls of one runtime thread and the workers. Accruals of many calls claim their ids and
//! leave together, one batch for each worker, once the calls that are ready have had their turn; the answers to a batch come
//! back together and wake the thread once.
//!
//! What must stay true:
//! - accruals claim and leave in the order in which they were put in;
//! - every command put in is answered once: by its worker, as overloaded if the worker has no room, or as unknown if
//!   the ledger has failed or time is up; or it is given back to whoever put it in, because it has to wait for something;
//! - a ticket whose time was up keeps its place, and counts as waiting, until its job is back: no other call gets the answer;
//! - when nobody carries any more, nobody waits here: whoever is left is let go, and knows nothing of its outcome;
//! - a command that is refused or given back here has its claims dropped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slab::Slab;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use super::command::finished;
use super::encode;
use super::intake::LeftOpen;
use super::names::NameCache;
use super::status::Failure;
use crate::ids::{Claim, Claiming, IdKey};
use crate::ledger::decision::Refusal;
use crate::ledger::types::ProgramVersion;
use crate::limits;
use crate::program::registry::Programs;
use crate::shard::engine::Engine;
use crate::shard::job::{CommandBatch, CommandJob, Decided, Job, Mailbox};
use crate::shard::queue::Rank;

/// A decision in the encoding of the wire, or why there is none.
pub(super) type Answered = Result<Vec<u8>, Failure>;

/// Whoever put an accrual in, until it is told what becomes of it. Let go of before that, it takes its outcome for unknown.
pub(super) trait Asking: Send {
    /// It is answered.
    fn answered(self: Box<Self>, answered: Answered);

    /// Its ids are used, or held by others: it claims them by itself, waiting for whatever it has to wait for.
    fn detained(self: Box<Self>, job: Box<CommandJob>, left_open: LeftOpen);
}

/// What becomes of an accrual that a call waits for.
pub(super) enum Told {
    /// See [`Asking::answered`].
    Answered(Answered),
    /// See [`Asking::detained`].
    Detained(Box<CommandJob>, LeftOpen),
}

/// A call that waits. It may have gone: what was decided stands, and of what was detained nothing was claimed.
impl Asking for oneshot::Sender<Told> {
    fn answered(self: Box<Self>, answered: Answered) {
        drop(self.send(Told::Answered(answered)));
    }

    fn detained(self: Box<Self>, job: Box<CommandJob>, left_open: LeftOpen) {
        drop(self.send(Told::Detained(job, left_open)));
    }
}

/// Whom to answer.
enum Waiter {
    /// Whoever handed a command to its worker, and whether it is a call of its own.
    Command(oneshot::Sender<Answered>, Option<ProgramVersion>, bool),
    /// Whoever put an accrual in, and until when it is waited for.
    Accrual(Box<dyn Asking>, LeftOpen, Option<Instant>),
    /// Nobody any more.
    Gone,
}

impl Waiter {
    fn original_version(&self) -> Option<ProgramVersion> {
        match self {
            Self::Command(_, version, _) => *version,
            Self::Accrual(..) | Self::Gone => None,
        }
    }

    /// Whoever asked may have gone; what was decided stands.
    fn tell(self, answered: Answered) {
        match self {
            Self::Command(answer, ..) => drop(answer.send(answered)),
            Self::Accrual(asking, ..) => asking.answered(answered),
            Self::Gone => {}
        }
    }

    fn due(&self) -> Option<Instant> {
        match self {
            Self::Accrual(_, _, due) => *due,
            Self::Command(..) | Self::Gone => None,
        }
    }

    /// Whether it is a call of its own, or was one: a command of a stream or a batch is none.
    fn is_call(&self) -> bool {
        match self {
            Self::Command(_, _, is_call) => *is_call,
            Self::Accrual(..) | Self::Gone => true,
        }
    }
}

/// Jobs whose memory is kept for further ones.
const SPARES_MAX: usize = 8_192;

#[derive(Default)]
struct Desk {
    spares: Vec<Box<CommandJob>>,
    /// Accruals that have not claimed their ids.
    entered: Vec<Box<CommandJob>>,
    /// By ticket.
    waiters: Slab<Waiter>,
    /// Calls of their own among them, those included whom nobody waits for any more.
    call_count: usize,
    /// Nobody's time is up before this.
    next_due: Option<Instant>,
    /// Nobody carries any more.
    is_over: bool,
}

/// What the workers have brought.
#[derive(Default)]
struct Arrived {
    batches: Vec<CommandBatch>,
    /// Commands that nobody answers any more.
    abandoned: Vec<Box<CommandJob>>,
    is_over: bool,
}

impl Arrived {
    fn take(&mut self) -> Self {
        let Self { batches, abandoned, is_over } = self;
        Self { batches: std::mem::take(batches), abandoned: std::mem::take(abandoned), is_over: *is_over }
    }
}

impl Desk {
    /// Gives a ticket to whoever waits.
    fn admit(&mut self, waiter: Waiter) -> u64 {
        self.call_count += usize::from(waiter.is_call());
        self.waiters.insert(waiter) as u64
    }

    /// Whoever waited with this ticket: no more.
    fn dismiss(&mut self, ticket: u64) -> Option<Waiter> {
        let waiter = self.waiters.try_remove(usize::try_from(ticket).ok()?)?;
        self.call_count -= usize::from(waiter.is_call());
        Some(waiter)
    }

    /// Takes out whose time is up. Their places stay taken until their jobs are back.
    fn take_due(&mut self, now: Instant) -> Vec<Waiter> {
        let mut late = Vec::new();
        self.next_due = None;
        for (_, waiter) in &mut self.waiters {
            match waiter.due() {
                Some(due) if due <= now => late.push(std::mem::replace(waiter, Waiter::Gone)),
                Some(due) => self.next_due = Some(self.next_due.map_or(due, |next| next.min(due))),
                None => {}
            }
        }
        late
    }
}

/// See the module.
pub(super) struct Lane {
    engine: Arc<Engine>,
    desk: Mutex<Desk>,
    names: Mutex<NameCache>,
    arrived: Mutex<Arrived>,
    bell: Notify,
}

impl Lane {
    /// A lane to the workers of an engine. Somebody must [`Lane::run`] it.
    pub(super) fn new(engine: Arc<Engine>) -> Arc<Self> {
        Arc::new(Self {
            engine,
            desk: Mutex::default(),
            names: Mutex::default(),
            arrived: Mutex::default(),
            bell: Notify::new(),
        })
    }

    /// Nothing panics while it holds the lock, so poison is passed over.
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrived(&self) -> MutexGuard<'_, Arrived> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names that came again and again on this lane. Must not be asked for while it is held.
    pub(super) fn names(&self) -> MutexGuard<'_, NameCache> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether so many calls wait on this lane that a further one is better refused at once.
    pub(super) fn is_full(&self) -> bool {
        self.waiting() >= limits::LANE_CALLS_MAX
    }

    /// Calls that wait on this lane. The commands of streams and batches are none of them: they have bounds of their own.
    pub(super) fn waiting(&self) -> usize {
        self.desk().call_count
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

    /// A ticket for a command that is going to be handed over, be it a call of its own or not, and where its answer will be.
    pub(super) fn expect_answer(
        &self,
        original_version: Option<ProgramVersion>,
        is_call: bool,
    ) -> (u64, oneshot::Receiver<Answered>) {
        let (answer, answered) = oneshot::channel();
        let mut desk = self.desk();
        if desk.is_over {
            return (u64::MAX, answered);
        }
        (desk.admit(Waiter::Command(answer, original_version, is_call)), answered)
    }

    /// Puts an accrual in, without claims. It claims them and leaves soon. If it is not answered by `due`, whoever asks is
    /// told that its outcome is unknown.
    pub(super) fn enter(
        &self,
        mut job: Box<CommandJob>,
        left_open: LeftOpen,
        due: Option<Instant>,
        asking: Box<dyn Asking>,
    ) {
        let mut desk = self.desk();
        if desk.is_over {
            // What is let go of here must find the desk free.
            drop(desk);
            return drop(asking);
        }
        job.ticket = desk.admit(Waiter::Accrual(asking, left_open, due));
        desk.entered.push(job);
        let is_first_due = due.is_some_and(|due| desk.next_due.is_none_or(|next| due < next));
        if is_first_due {
            desk.next_due = due;
        }
        let is_first = desk.entered.len() == 1;
        drop(desk);
        if is_first || is_first_due {
            self.bell.notify_one();
        }
    }

    /// Takes part in the runtime until the task is dropped.
    pub(super) async fn run(self: Arc<Self>) {
        let _carrying = Carrying(self.clone());
        let mut leaving = Leaving::new(self.engine.worker_count());
        loop {
            self.called().await;
            let Arrived { batches, abandoned, .. } = self.arrived().take();
            for mut batch in batches {
                self.answer(&batch);
                self.give_back(&mut batch.jobs);
            }
            for job in abandoned {
                self.fail(&job, &Failure::OutcomeUnknown);
            }
            // Nothing is waited for between claiming and handing over, so no claim is left behind.
            self.let_leave(&mut leaving);
        }
    }

    /// Returns when there is something to do. Tells those whose time is up meanwhile.
    async fn called(&self) {
        loop {
            let Some(due) = self.desk().next_due else { return self.bell.notified().await };
            tokio::select! {
                biased;
                () = self.bell.notified() => return,
                () = sleep_until(due) => {
                    let late = self.desk().take_due(due);
                    late.into_iter().for_each(|waiter| waiter.tell(Err(Failure::DeadlineOutcomeUnknown)));
                }
            }
        }
    }

    /// Claims the ids of the accruals that were put in, in their order, and hands them over.
    fn let_leave(self: &Arc<Self>, leaving: &mut Leaving) {
        let mut entered = std::mem::take(&mut self.desk().entered);
        let mut jobs = entered.drain(..);
        while !jobs.as_slice().is_empty() {
            let count = jobs.as_slice().len().min(limits::CLAIM_WINDOW_COMMANDS);
            let claimed = leaving.claim(&self.engine, &jobs.as_slice()[..count]);
            for (place, job) in jobs.by_ref().take(count).enumerate() {
                match &claimed {
                    Err(failure) => self.fail(&job, failure),
                    Ok(()) if leaving.has_claimed[place] => {
                        let worker = self.engine.worker_of(job.account_hash);
                        leaving.by_worker[worker].push(job);
                    }
                    Ok(()) => self.detain(job),
                }
            }
            self.hand_over_where(leaving, |count| {
                count + limits::CLAIM_WINDOW_COMMANDS > limits::WORKER_BATCH_COMMANDS_MAX
            });
        }
        drop(jobs);
        self.hand_over_where(leaving, |count| count > 0);
        let mut desk = self.desk();
        if desk.entered.is_empty() {
            // Its memory is used again.
            desk.entered = entered;
        }
    }

    fn hand_over_where(self: &Arc<Self>, leaving: &mut Leaving, is_time: impl Fn(usize) -> bool) {
        for (worker, jobs) in leaving.by_worker.iter_mut().enumerate().filter(|(_, jobs)| is_time(jobs.len())) {
            self.hand_over(worker, std::mem::take(jobs));
        }
    }

    /// Gives an accrual back to whoever put it in.
    fn detain(&self, job: Box<CommandJob>) {
        if let Some(Waiter::Accrual(asking, left_open, _)) = self.take_waiter(job.ticket) {
            asking.detained(job, left_open);
        }
    }

    fn fail(&self, job: &CommandJob, failure: &Failure) {
        if let Some(waiter) = self.take_waiter(job.ticket) {
            waiter.tell(Err(failure.clone()));
        }
    }

    fn hand_over(self: &Arc<Self>, worker: usize, jobs: Vec<Box<CommandJob>>) {
        let batch = CommandBatch::new(jobs, self.clone());
        let Err((job, refusal)) = self.engine.submit_to(worker, Job::Commands(batch), Rank::Urgent) else { return };
        let Job::Commands(batch) = job else { unreachable!("the same job comes back") };
        let failure = if refusal == Refusal::Overloaded { Failure::Overloaded } else { Failure::ShuttingDown };
        for job in batch.take_back() {
            job.ids.claims().for_each(|key| self.engine.shared.ids.release(key));
            self.fail(&job, &failure);
        }
    }

    fn answer(&self, batch: &CommandBatch) {
        for job in &batch.jobs {
            let Some(waiter) = self.take_waiter(job.ticket) else { continue };
            let mut bytes = Vec::with_capacity(DECISION_BYTES_RESERVED);
            let answered = finished(job, waiter.original_version(), &mut bytes).map(|()| bytes);
            if answered.is_ok() {
                self.engine.metrics.decided(&job.outcome);
            }
            waiter.tell(answered);
        }
    }

    /// Takes what a worker brings, and wakes the thread once.
    fn bring(&self, put: impl FnOnce(&mut Arrived)) {
        let mut arrived = self.arrived();
        let is_first = arrived.batches.is_empty() && arrived.abandoned.is_empty();
        put(&mut arrived);
        let too_late = arrived.is_over.then(|| arrived.take());
        drop(arrived);
        drop(too_late);
        if is_first {
            self.bell.notify_one();
        }
    }

    fn take_waiter(&self, ticket: u64) -> Option<Waiter> {
        self.desk().dismiss(ticket)
    }
}

/// Accruals on their way out.
struct Leaving {
    /// Those that have claimed their ids, by worker.
    by_worker: Vec<Vec<Box<CommandJob>>>,
    keys: Vec<IdKey>,
    claiming: Claiming,
    /// Of the last window, by place.
    has_claimed: Vec<bool>,
}

impl Leaving {
    fn new(worker_count: usize) -> Self {
        let by_worker = (0..worker_count).map(|_| Vec::new()).collect();
        Self { by_worker, keys: Vec::new(), claiming: Claiming::default(), has_claimed: Vec::new() }
    }

    /// Claims the ids of the accruals of a window; of one that cannot have both at once, none. Nor does any while one of them
    /// has to wait for a version of the programme, or to be named again since one has come.
    fn claim(&mut self, engine: &Engine, window: &[Box<CommandJob>]) -> Result<(), Failure> {
        self.has_claimed.clear();
        let latest = window.iter().map(|job| job.stamp).max();
        let must_wait = latest.is_some_and(|stamp| !engine.may_stamp(stamp));
        let newest = engine.with_programs(Programs::newest);
        if must_wait || window.iter().any(|job| job.is_dated_before(newest)) {
            self.has_claimed.resize(window.len(), false);
            return Ok(());
        }
        let ids = &engine.shared.ids;
        self.keys.clear();
        self.keys.extend(window.iter().flat_map(|job| [job.ids.transaction, job.ids.subject]));
        ids.claim_many(&self.keys, &mut self.claiming)?;
        for (keys, claims) in self.keys.chunks(2).zip(self.claiming.claims().chunks(2)) {
            let has_claimed = claims.iter().all(|claim| *claim == Claim::Granted);
            self.has_claimed.push(has_claimed);
            let in_vain = keys.iter().zip(claims).filter(|(_, claim)| !has_claimed && **claim == Claim::Granted);
            in_vain.for_each(|(key, _)| ids.release(*key));
        }
        Ok(())
    }
}

/// Room for the decision of an ordinary basket.
const DECISION_BYTES_RESERVED: usize = 192;

impl Mailbox for Lane {
    fn prepare(&self, decided: &Decided<'_>, out: &mut Vec<u8>) {
        encode::prepare(decided, out);
    }

    fn deliver(&self, batch: CommandBatch) {
        self.bring(|arrived| arrived.batches.push(batch));
    }

    /// Whoever waits is told by the thread of the lane, as of everything else.
    fn abandon(&self, jobs: Vec<Box<CommandJob>>) {
        self.bring(|arrived| arrived.abandoned.extend(jobs));
    }
}

/// Lets go of whoever waits when nobody carries any more. They know the lane, and the lane knows them.
struct Carrying(Arc<Lane>);

impl Drop for Carrying {
    fn drop(&mut self) {
        let arrived = {
            let mut arrived = self.0.arrived();
            arrived.is_over = true;
            arrived.take()
        };
        let (waiters, entered) = {
            let mut desk = self.0.desk();
            (desk.is_over, desk.call_count) = (true, 0);
            (std::mem::take(&mut desk.waiters), std::mem::take(&mut desk.entered))
        };
        // With no lock held: what is let go of may come here.
        drop((arrived, waiters, entered));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_count_until_their_jobs_are_back_and_commands_of_streams_do_not() {
        let mut desk = Desk::default();
        let left_open = LeftOpen { receipt_time: false, business_date: false };
        let accrual = || Waiter::Accrual(Box::new(oneshot::channel().0), left_open, None);
        let command = |is_call| Waiter::Command(oneshot::channel().0, None, is_call);
        let of_a_stream = desk.admit(command(false));
        assert_eq!(desk.call_count, 0);
        let tickets = [desk.admit(command(true)), desk.admit(accrual())];
        assert_eq!(desk.call_count, 2);
        let place = usize::try_from(tickets[1]).expect("it is a place");
        desk.waiters[place] = Waiter::Gone;
        assert_eq!(desk.call_count, 2, "one whose time is up keeps its place");
        assert!(desk.dismiss(of_a_stream).is_some());
        assert_eq!(desk.call_count, 2);
        for (left, ticket) in (0..2).rev().zip(tickets) {
            assert!(desk.dismiss(ticket).is_some());
            assert_eq!(desk.call_count, left);
        }
        assert!(desk.dismiss(tickets[0]).is_none(), "once");
    }
}
