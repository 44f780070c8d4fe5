//! A round: many commands that were asked for in one message. Those that need not wait for anything go to the workers
//! in parts, one for each worker; the others take the long way one by one. The answers are put back into the order of
//! the message.
//!
//! What must stay true:
//! - a command is started only after all before it were handed over, so that commands of one account are decided in
//!   order and one that repeats an earlier one finds it;
//! - a round that is given up half-way leaves no claim behind;
//! - a failure of one command is an answer to that command.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::auth::Caller;
use super::batch::item_answer;
use super::command::{Started, Straight, finished};
use super::lane::Answered;
use super::status::Failure;
use super::view::AccrualView;
use super::{Edge, Patience, wire};
use crate::ids::IdIndex;
use crate::limits;
use crate::metrics::{Metrics, Outcome};
use crate::shard::job::{CommandBatch, CommandJob, Job, Mailbox};

/// Where the answer to one command of the message comes from.
enum Place {
    /// The next command of this part.
    Part(usize),
    /// It was answered at once.
    Answered(Answered),
    /// It took the long way.
    Started(Box<Started>),
}

/// Commands for one worker.
enum Part {
    /// They have not been handed over.
    Open,
    /// A worker has them.
    Sent(oneshot::Receiver<CommandBatch>),
    /// They are answered, up to this one.
    Finished(CommandBatch, usize),
    /// They were not taken, or the ledger failed.
    Failed(Failure),
}

/// Where a part's answers arrive.
struct PartMailbox(Mutex<Option<oneshot::Sender<CommandBatch>>>);

impl Mailbox for PartMailbox {
    fn deliver(&self, batch: CommandBatch) {
        if let Some(sender) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Whoever asked may have gone; the commands stand.
            let _ = sender.send(batch);
        }
    }

    fn abandon(&self, jobs: Vec<CommandJob>) {
        drop(jobs);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Commands of a message that are not handed over yet, with their claims.
struct Unsent<'a> {
    ids: &'a IdIndex,
    /// By worker: the part and its jobs.
    by_worker: Vec<(usize, Vec<CommandJob>)>,
}

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        for (_, jobs) in &self.by_worker {
            drop_claims(self.ids, jobs);
        }
    }
}

fn drop_claims(ids: &IdIndex, jobs: &[CommandJob]) {
    for job in jobs {
        ids.release(job.ids.subject);
        ids.release(job.ids.transaction);
    }
}

/// One command of a message.
pub(super) enum Item<'a> {
    /// An accrual.
    Accrual(AccrualView<'a>),
    /// Anything else.
    Command(wire::Command),
}

/// A message whose commands are under way.
pub(super) struct Round {
    places: VecDeque<Place>,
    parts: Vec<Part>,
    /// The commands' room among those in flight; given back when the round is answered.
    _room: Option<OwnedSemaphorePermit>,
    metrics: Arc<Metrics>,
}

/// Starts the commands of one message.
pub(super) struct Starting<'a> {
    edge: &'a Arc<Edge>,
    caller: &'a Caller,
    patience: Patience,
    unsent: Unsent<'a>,
    round: Round,
}

impl<'a> Starting<'a> {
    /// A message of about so many commands.
    pub(super) fn new(
        edge: &'a Arc<Edge>,
        caller: &'a Caller,
        patience: Patience,
        room: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let by_worker = (0..edge.engine.worker_count()).map(|_| (0, Vec::new())).collect();
        let unsent = Unsent { ids: &edge.engine.shared.ids, by_worker };
        let metrics = edge.engine.metrics.clone();
        let round = Round { places: VecDeque::new(), parts: Vec::new(), _room: room, metrics };
        Self { edge, caller, patience, unsent, round }
    }

    /// Starts a command after all before it.
    pub(super) async fn start(&mut self, item: Item<'_>) {
        let place = match &item {
            Item::Accrual(view) => match self.edge.claim_accrual(self.caller, view) {
                Ok(Straight::Claimed(ready)) => {
                    let job = ready.into_job(0, self.caller.deadline_ns);
                    return self.add(job).await;
                }
                Ok(Straight::Refused(decision)) => Place::Answered(Ok(decision.encode_to_vec())),
                Ok(Straight::MustWait) => self.start_long_way(item).await,
                Err(failure) => Place::Answered(Err(failure)),
            },
            Item::Command(_) => self.start_long_way(item).await,
        };
        self.round.places.push_back(place);
    }

    async fn start_long_way(&mut self, item: Item<'_>) -> Place {
        // What it waits for may be among the commands before it.
        self.hand_over().await;
        let (edge, caller, patience) = (self.edge, self.caller, self.patience);
        let started = match item {
            Item::Accrual(view) => edge.start_accrual(caller, &view, patience).await,
            Item::Command(command) => edge.start_command(caller, command, patience).await,
        };
        self.note(started.as_ref().err());
        match started {
            Ok(started) => Place::Started(Box::new(started)),
            Err(failure) => Place::Answered(Err(failure)),
        }
    }

    async fn add(&mut self, job: CommandJob) {
        let worker = self.edge.engine.worker_of(&job.command.account_id);
        let (part, jobs) = &mut self.unsent.by_worker[worker];
        if jobs.is_empty() {
            *part = self.round.parts.len();
            self.round.parts.push(Part::Open);
        }
        jobs.push(job);
        let is_full = jobs.len() >= limits::WORKER_BATCH_COMMANDS_MAX;
        self.round.places.push_back(Place::Part(*part));
        if is_full {
            self.hand_over_to(worker).await;
        }
    }

    /// Hands everything over that is ready.
    async fn hand_over(&mut self) {
        for worker in 0..self.unsent.by_worker.len() {
            self.hand_over_to(worker).await;
        }
    }

    async fn hand_over_to(&mut self, worker: usize) {
        if self.unsent.by_worker[worker].1.is_empty() {
            return;
        }
        let (sender, receiver) = oneshot::channel();
        let mailbox: Arc<dyn Mailbox> = Arc::new(PartMailbox(Mutex::new(Some(sender))));
        let mut failure = None;
        loop {
            let (part, jobs) = &mut self.unsent.by_worker[worker];
            let part = *part;
            if let Some(failure) = failure {
                drop_claims(&self.edge.engine.shared.ids, jobs);
                jobs.clear();
                self.note(Some(&failure));
                self.round.parts[part] = Part::Failed(failure);
                return;
            }
            // Nothing is waited for while the jobs are out of our hands: given up here, they drop their claims.
            let batch = CommandBatch::new(std::mem::take(jobs), mailbox.clone());
            match self.edge.engine.submit_to(worker, Job::Commands(batch)) {
                Ok(()) => {
                    self.round.parts[part] = Part::Sent(receiver);
                    return self.note(None);
                }
                Err((job, refusal)) => {
                    let Job::Commands(batch) = job else { unreachable!("the same job comes back") };
                    *jobs = batch.take_back();
                    if refusal == crate::ledger::decision::Refusal::ShuttingDown {
                        failure = Some(Failure::ShuttingDown);
                        continue;
                    }
                }
            }
            failure = self.edge.rest(self.patience).await.err();
        }
    }

    /// A queue that moves at all makes room for a command within the time; one that does not is not waited for again
    /// by each of those that follow.
    fn note(&mut self, failure: Option<&Failure>) {
        if !matches!(failure, Some(Failure::Overloaded)) {
            self.patience = self.edge.renewed(self.patience);
        }
    }

    /// Hands over what is left.
    pub(super) async fn finish(mut self) -> Round {
        self.hand_over().await;
        let metrics = self.round.metrics.clone();
        let empty = Round { places: VecDeque::new(), parts: Vec::new(), _room: None, metrics };
        std::mem::replace(&mut self.round, empty)
    }
}

impl Round {
    /// Commands that are not answered yet.
    pub(super) fn is_answered(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether the next answer, and all that came with it, is there without waiting.
    pub(super) fn is_ready(&mut self) -> bool {
        match self.places.front_mut() {
            None | Some(Place::Answered(_)) => true,
            Some(Place::Part(part)) => {
                let part = &mut self.parts[*part];
                let Part::Sent(receiver) = part else { return true };
                match receiver.try_recv() {
                    Ok(batch) => *part = Part::Finished(batch, 0),
                    Err(oneshot::error::TryRecvError::Empty) => return false,
                    Err(oneshot::error::TryRecvError::Closed) => *part = Part::Failed(Failure::OutcomeUnknown),
                }
                true
            }
            Some(place @ Place::Started(_)) => {
                let Place::Started(started) = place else { return false };
                let Some(answered) = started.try_answer() else { return false };
                *place = Place::Answered(answered);
                true
            }
        }
    }

    /// Whether the next answer takes the long way: it may be long in coming.
    pub(super) fn waits_for_others(&self) -> bool {
        matches!(self.places.front(), Some(Place::Started(_)))
    }

    /// Appends the next answer to `out`, a decision in the encoding of the wire; waits for it if need be.
    ///
    /// # Errors
    /// When the call as a whole fails: `out` is as it was.
    pub(super) async fn next_answer(&mut self, out: &mut Vec<u8>) -> Result<(), Failure> {
        let answered = match self.places.pop_front().expect("the round is not answered") {
            Place::Answered(answered) => answered,
            Place::Started(started) => started.answer().await,
            Place::Part(part) => {
                let part = &mut self.parts[part];
                if let Part::Sent(receiver) = part {
                    *part = match receiver.await {
                        Ok(batch) => Part::Finished(batch, 0),
                        Err(_) => Part::Failed(Failure::OutcomeUnknown),
                    };
                }
                match part {
                    Part::Finished(batch, next) => {
                        *next += 1;
                        let job = &batch.jobs[*next - 1];
                        match finished(job, None, out) {
                            Ok(()) => {
                                self.metrics.answered(job.outcome.counted());
                                return Ok(());
                            }
                            Err(failure) => Err(failure),
                        }
                    }
                    Part::Failed(failure) => Err(failure.clone()),
                    Part::Open | Part::Sent(_) => unreachable!("a round is answered after it was handed over"),
                }
            }
        };
        if let Some((refusal, _)) = answered.as_ref().err().and_then(Failure::as_refusal) {
            self.metrics.answered(Outcome::Refused(refusal));
        }
        out.extend_from_slice(&item_answer(answered)?);
        Ok(())
    }
}
