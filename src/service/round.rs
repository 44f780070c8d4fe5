//! A round: many commands that were asked for in one message. Those that need not wait for anything go to the workers
//! in parts, each for one worker; the others take the long way one by one. The answers are put back into the order of
//! the message.
//!
//! What must stay true:
//! - a command is started only after all before it were handed over, so that commands of one account are decided in
//!   order and one that repeats an earlier one finds it;
//! - a round that is given up half-way leaves no claim behind;
//! - once the ledger takes nothing any more, nothing that follows is judged: what it rests on may be among what was put off;
//! - a failure of one command is an answer to that command.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::auth::Caller;
use super::batch::item_answer;
use super::command::{Started, finished};
use super::intake::{LeftOpen, Moment};
use super::lane::{Answered, Lane};
use super::status::Failure;
use super::view::AccrualView;
use super::{Edge, Life, Patience, REST, encode, let_others_on, wire};
use crate::ids::{Claim, Claiming, IdIndex, IdKey};
use crate::ledger::decision::Refusal;
use crate::limits;
use crate::metrics::{Metrics, Outcome};
use crate::program::registry::Programs;
use crate::shard::job::{CommandBatch, CommandJob, Decided, Job, Mailbox};
use crate::shard::queue::Rank;

/// Where the answer to one command of the message comes from.
enum Place {
    /// It has not claimed its ids.
    Prepared,
    /// The next command of this part.
    Part(usize),
    /// It was answered at once.
    Answered(Answered),
    /// It took the long way.
    Started(Box<Started>),
}

impl Place {
    /// Nothing was done about it, and it is to be sent again.
    const PUT_OFF: Self = Self::Answered(Err(Failure::ShuttingDown));
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
    fn prepare(&self, decided: &Decided<'_>, out: &mut Vec<u8>) {
        encode::prepare(decided, out);
    }

    fn deliver(&self, batch: CommandBatch) {
        if let Some(sender) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Whoever asked may have gone; the commands stand.
            let _ = sender.send(batch);
        }
    }

    fn abandon(&self, jobs: Vec<Box<CommandJob>>) {
        drop(jobs);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// An accrual that is prepared but has not claimed its ids, and its place in the message.
struct Prepared {
    place: usize,
    job: Box<CommandJob>,
    left_open: LeftOpen,
}

/// Commands of a message that are claimed and not handed over yet.
struct Unsent<'a> {
    ids: &'a IdIndex,
    /// By worker, in their order. None is empty, and all but the last are as long as a part can be.
    by_worker: Vec<VecDeque<UnsentPart>>,
}

/// Commands that go to their worker together.
struct UnsentPart {
    /// Its place among the parts of the round.
    number: usize,
    jobs: Vec<Box<CommandJob>>,
}

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        for part in self.by_worker.iter().flatten() {
            drop_claims(self.ids, &part.jobs);
        }
    }
}

fn drop_claims(ids: &IdIndex, jobs: &[Box<CommandJob>]) {
    for job in jobs {
        job.ids.claims().for_each(|key| ids.release(key));
    }
}

/// A message whose commands are under way.
pub(super) struct Round {
    places: VecDeque<Place>,
    parts: Vec<Part>,
    lane: Arc<Lane>,
    /// The commands' room among those in flight; given back when the round is answered.
    _room: Option<OwnedSemaphorePermit>,
    metrics: Arc<Metrics>,
    /// Whether commands were put off because the ledger takes nothing any more.
    has_ended: bool,
}

/// Starts the commands of one message.
pub(super) struct Starting<'a> {
    edge: &'a Arc<Edge>,
    caller: &'a Caller,
    patience: Patience,
    moment: Moment,
    /// How many of the calls under way that are no streams are this one.
    own_call_count: usize,
    /// Accruals that wait for their turn to claim their ids.
    window: Vec<Prepared>,
    /// How many of them claim together: fewer after one that could not be had at once, so that claims that have to be
    /// given up again stay few.
    claim_together: usize,
    keys: Vec<IdKey>,
    claiming: Claiming,
    spares: Vec<Box<CommandJob>>,
    unsent: Unsent<'a>,
    round: Round,
}

impl<'a> Starting<'a> {
    /// Begins a message.
    pub(super) fn new(
        edge: &'a Arc<Edge>,
        caller: &'a Caller,
        patience: Patience,
        room: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let by_worker = (0..edge.engine.worker_count()).map(|_| VecDeque::new()).collect();
        let unsent = Unsent { ids: &edge.engine.shared.ids, by_worker };
        let metrics = edge.engine.metrics.clone();
        let lane = edge.lane.clone();
        // Only streams have room to take.
        let own_call_count = usize::from(room.is_none());
        let round = Round { places: VecDeque::new(), parts: Vec::new(), lane, _room: room, metrics, has_ended: false };
        Self {
            edge,
            caller,
            patience,
            moment: edge.moment(),
            own_call_count,
            window: Vec::new(),
            claim_together: limits::CLAIM_WINDOW_COMMANDS,
            keys: Vec::new(),
            claiming: Claiming::default(),
            spares: Vec::new(),
            unsent,
            round,
        }
    }

    /// Starts an accrual after all commands before it; it may still have to be handed over when this returns.
    pub(super) async fn start_accrual(&mut self, request: &AccrualView<'_>) {
        if self.round.has_ended {
            return self.round.put_off();
        }
        let mut job = self.spare();
        let place = loop {
            match self.edge.prepare_accrual(self.caller, request, &self.moment, &mut job) {
                Ok(Some(left_open)) => {
                    self.window.push(Prepared { place: self.round.places.len(), job, left_open });
                    break Place::Prepared;
                }
                Ok(None) => {
                    let refused = self.edge.refused(Refusal::NameLimitReached, None);
                    break Place::Answered(Ok(refused.encode_to_vec()));
                }
                // In memory of its own, since hardly any accrual needs it.
                Err(failure) if Box::pin(self.wait_out(&failure)).await => job.reset(),
                Err(failure) => break Place::Answered(Err(failure)),
            }
        };
        self.round.places.push_back(place);
        if self.window.len() >= self.window_commands() {
            self.close_window().await;
        } else if self.round.places.len().is_multiple_of(limits::STREAM_TURN_COMMANDS) {
            let_others_on().await;
        }
    }

    /// Commands that claim their ids together: fewer while others call, who wait for them.
    fn window_commands(&self) -> usize {
        match self.edge.calls.has_others(self.own_call_count) {
            true => limits::STREAM_TURN_COMMANDS,
            false => limits::CLAIM_WINDOW_COMMANDS,
        }
    }

    /// Starts a command of another kind after all before it.
    pub(super) async fn start_command(&mut self, command: wire::Command) {
        self.close_window().await;
        // What it waits for may be among the commands before it.
        self.hand_over().await;
        if self.round.has_ended {
            return self.round.put_off();
        }
        let started = loop {
            let started = self.edge.start_command(self.caller, command.clone(), self.patience).await;
            match &started {
                Err(failure) if Box::pin(self.wait_out(failure)).await => {}
                _ => break started,
            }
        };
        let place = self.place_of(started);
        self.round.places.push_back(place);
    }

    /// Waits until new names are welcome again, where a command of a stream brings too many: were it put off, those behind it
    /// would be decided before it. False where the failure is another, or the server stops.
    async fn wait_out(&mut self, failure: &Failure) -> bool {
        let wait = match failure {
            Failure::NamesLimited(wait) => *wait,
            Failure::Overloaded => REST,
            _ => return false,
        };
        if !matches!(self.patience, Patience::Unlimited) {
            return false;
        }
        // Those before it need not wait.
        self.close_window().await;
        self.hand_over().await;
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.edge.ended(Life::Stopping) => self.round.has_ended = true,
        }
        self.moment = self.edge.moment();
        !self.round.has_ended
    }

    fn spare(&mut self) -> Box<CommandJob> {
        if self.spares.is_empty() {
            self.edge.lane.lend(limits::CLAIM_WINDOW_COMMANDS, &mut self.spares);
        }
        self.spares.pop().unwrap_or_else(|| Box::new(CommandJob::blank()))
    }

    fn place_of(&mut self, started: Result<Started, Failure>) -> Place {
        self.note(started.as_ref().err());
        match started {
            Ok(started) => Place::Started(Box::new(started)),
            Err(failure) => Place::Answered(Err(failure)),
        }
    }

    /// Claims the ids of the accruals in the window, in their order. Where one cannot be had at once, what came before
    /// is handed over, the command takes the long way, and what comes after it claims again.
    async fn close_window(&mut self) {
        let mut window = std::mem::take(&mut self.window);
        let mut prepared = window.drain(..);
        while !prepared.as_slice().is_empty() {
            let asked_count = prepared.as_slice().len().min(self.claim_together);
            let claimed_count = match self.claim(&prepared.as_slice()[..asked_count]) {
                Ok(count) => count,
                Err(failure) => {
                    // The disk cannot be read: each of them fails, and the ledger is at an end.
                    self.round.has_ended = true;
                    for Prepared { place, .. } in prepared.by_ref() {
                        self.round.places[place] = Place::Answered(Err(failure.clone()));
                    }
                    break;
                }
            };
            // Nothing is waited for before all of them are where their claims are safe.
            for Prepared { place, job, .. } in prepared.by_ref().take(claimed_count) {
                self.add(place, job);
            }
            self.hand_over_full_parts().await;
            if claimed_count == asked_count {
                self.claim_together = (2 * self.claim_together).min(limits::CLAIM_WINDOW_COMMANDS);
                continue;
            }
            // Where one was used before, as in a message that is sent again, those after it are likely to have been too.
            self.claim_together = 1;
            if let Some(Prepared { place, job, left_open }) = prepared.next() {
                // What it waits for may be among the commands before it.
                self.hand_over().await;
                self.round.places[place] = match self.round.has_ended {
                    true => Place::PUT_OFF,
                    false => {
                        let started = self.edge.start_prepared(self.caller, job, left_open, self.patience).await;
                        self.place_of(started)
                    }
                };
            }
        }
        drop(prepared);
        self.window = window;
        let_others_on().await;
    }

    /// Claims for the first commands, up to one whose ids cannot be had at once; their count.
    fn claim(&mut self, prepared: &[Prepared]) -> Result<usize, Failure> {
        let engine = &self.edge.engine;
        let latest = prepared.iter().map(|one| one.job.stamp).max();
        if latest.is_some_and(|stamp| !engine.may_stamp(stamp)) {
            return Ok(0);
        }
        let newest = engine.with_programs(Programs::newest);
        if prepared.iter().any(|one| one.job.is_dated_before(newest)) {
            // They are named again on the long way, and those behind them by what is known now.
            self.moment.programs = engine.programs();
            return Ok(0);
        }
        self.keys.clear();
        self.keys.extend(prepared.iter().flat_map(|one| [one.job.ids.transaction, one.job.ids.subject]));
        engine.shared.ids.claim_many(&self.keys, &mut self.claiming)?;
        let claims = self.claiming.claims();
        let is_claimed = |pair: &[Claim]| pair.iter().all(|claim| *claim == Claim::Granted);
        let count = claims.chunks(2).take_while(|pair| is_claimed(pair)).count();
        for (key, claim) in self.keys.iter().zip(claims).skip(2 * count) {
            if *claim == Claim::Granted {
                engine.shared.ids.release(*key);
            }
        }
        Ok(count)
    }

    /// Puts a claimed command to those that are going to be handed over.
    fn add(&mut self, place: usize, job: Box<CommandJob>) {
        let worker = self.edge.engine.worker_of(job.account_hash);
        let unsent = &mut self.unsent.by_worker[worker];
        let part = match unsent.back_mut().filter(|part| part.jobs.len() < limits::STREAM_PART_COMMANDS_MAX) {
            Some(part) => part,
            None => {
                unsent.push_back(UnsentPart { number: self.round.parts.len(), jobs: Vec::new() });
                self.round.parts.push(Part::Open);
                unsent.back_mut().expect("it was just put there")
            }
        };
        part.jobs.push(job);
        self.round.places[place] = Place::Part(part.number);
    }

    /// Hands over parts that are worth it.
    async fn hand_over_full_parts(&mut self) {
        self.hand_over_from(limits::STREAM_PART_COMMANDS).await;
    }

    /// Hands everything over that is claimed.
    async fn hand_over(&mut self) {
        self.hand_over_from(1).await;
    }

    /// Hands over the parts that have so many commands at least.
    async fn hand_over_from(&mut self, least: usize) {
        for worker in 0..self.unsent.by_worker.len() {
            while self.unsent.by_worker[worker].front().is_some_and(|part| part.jobs.len() >= least) {
                self.hand_over_first(worker).await;
            }
        }
    }

    /// Hands over the first part for a worker.
    async fn hand_over_first(&mut self, worker: usize) {
        let (sender, receiver) = oneshot::channel();
        let mailbox: Arc<dyn Mailbox> = Arc::new(PartMailbox(Mutex::new(Some(sender))));
        let mut failure = None;
        loop {
            let Some(UnsentPart { number, jobs }) = self.unsent.by_worker[worker].front_mut() else { return };
            let number = *number;
            if let Some(failure) = failure {
                drop_claims(&self.edge.engine.shared.ids, jobs);
                self.unsent.by_worker[worker].pop_front();
                self.note(Some(&failure));
                self.round.parts[number] = Part::Failed(failure);
                return;
            }
            // Nothing is waited for while the jobs are out of our hands: given up here, they drop their claims.
            let batch = CommandBatch::new(std::mem::take(jobs), mailbox.clone());
            match self.edge.engine.submit_to(worker, Job::Commands(batch), Rank::Ordinary) {
                Ok(()) => {
                    self.unsent.by_worker[worker].pop_front();
                    self.round.parts[number] = Part::Sent(receiver);
                    return self.note(None);
                }
                Err((job, refusal)) => {
                    let Job::Commands(batch) = job else { unreachable!("the same job comes back") };
                    *jobs = batch.take_back();
                    if refusal == Refusal::ShuttingDown {
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
        self.round.has_ended |= matches!(failure, Some(Failure::ShuttingDown));
        if !matches!(failure, Some(Failure::Overloaded)) {
            self.patience = self.edge.renewed(self.patience);
        }
    }

    /// Hands over what is left.
    pub(super) async fn finish(mut self) -> Round {
        self.close_window().await;
        self.hand_over().await;
        self.edge.lane.give_back(&mut self.spares);
        self.round
    }
}

impl Round {
    /// Enters a command about which nothing is done, since some before it was put off.
    fn put_off(&mut self) {
        self.places.push_back(Place::PUT_OFF);
    }

    /// Fails where the ledger takes nothing any more.
    pub(super) fn check_going_on(&self) -> Result<(), Failure> {
        if self.has_ended { Err(Failure::ShuttingDown) } else { Ok(()) }
    }

    /// Commands that are not answered yet.
    pub(super) fn is_answered(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether the next answer, and all that came with it, is there without waiting.
    pub(super) fn is_ready(&mut self) -> bool {
        match self.places.front_mut() {
            None | Some(Place::Answered(_) | Place::Prepared) => true,
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
            Place::Prepared => unreachable!("a round is answered after it was handed over"),
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
                        let told = finished(&batch.jobs[*next], None, out);
                        *next += 1;
                        if told.is_ok() {
                            self.metrics.decided(&batch.jobs[*next - 1].outcome);
                        }
                        if *next == batch.jobs.len() {
                            self.lane.give_back(&mut batch.jobs);
                        }
                        match told {
                            Ok(()) => return Ok(()),
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
