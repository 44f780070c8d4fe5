//! The way of one command: check, name, stamp, claim, hand to the worker, answer.
//!
//! Nearly every command goes the straight way ([`super::lane`], and for those of one message [`super::round`]): its ids
//! are free and it is ready for a worker without having waited for anything. One whose ids are held by another command,
//! or were used, takes the long way ([`Edge::start_prepared`]), and waits.
//!
//! What must stay true:
//! - the transaction id is judged before anything else about a well-formed command (invariant 2);
//! - a claim is dropped when its holder is dropped, until a worker owns it with the job; so a caller that goes away at
//!   any point leaves nothing behind;
//! - a receipt is named by what is known of the programme behind the gate;
//! - claims are taken in the order transaction, receipt, reversal, and a command never waits for one that another may
//!   hold while it waits for ours;
//! - whoever starts commands one after the other has them decided in that order, account by account.
//!
//! A claim is mostly answered from memory; where a filter lets the id pass it reads a block of the store, about 100 µs,
//! on the thread of the runtime.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use prost::Message;
use tokio::sync::oneshot;

use super::auth::Caller;
use super::convert::Rules;
use super::encode;
use super::intake::{Intake, LeftOpen, Moment, check_deadline_at, local_day};
use super::lane::Answered;
use super::status::Failure;
use super::view::AccrualView;
use super::{Edge, Life, Patience, REST, answer, wire};
use crate::ids::{Claim, IdEntry, IdError, IdIndex, IdKey};
use crate::journal::record::{Entry, Record};
use crate::journal::walk::{self, Located};
use crate::ledger::command::{Basket, Command, CommandKind};
use crate::ledger::decision::Refusal;
use crate::ledger::state::shard_of_hash;
use crate::ledger::types::{AccountNumber, Day, Position, ProgramVersion, ShardId, SymbolId, TimestampNs};
use crate::metrics::Outcome;
use crate::recovery::ids_of;
use crate::shard::engine::Engine;
use crate::shard::job::{CommandBatch, CommandJob, Job};

/// An answer that is still being worked out, without holding any claim.
pub(super) type Lookup = Pin<Box<dyn Future<Output = Result<wire::Decision, Failure>> + Send>>;

/// A command that has taken its place in the order of commands.
pub(super) enum Started {
    /// It is answered.
    Answered(Box<wire::Decision>),
    /// A worker has it.
    Submitted(oneshot::Receiver<Answered>),
    /// The journal has its answer.
    Lookup(Lookup),
}

impl Started {
    /// Waits for the answer: a decision, encoded.
    pub(super) async fn answer(self) -> Answered {
        match self {
            Self::Answered(decision) => Ok(decision.encode_to_vec()),
            Self::Submitted(answer) => received(answer).await,
            Self::Lookup(lookup) => Ok(lookup.await?.encode_to_vec()),
        }
    }

    /// The answer, if it is there already.
    pub(super) fn try_answer(&mut self) -> Option<Answered> {
        match self {
            Self::Answered(decision) => Some(Ok(decision.encode_to_vec())),
            Self::Submitted(answer) => match answer.try_recv() {
                Ok(answered) => Some(answered),
                Err(oneshot::error::TryRecvError::Empty) => None,
                Err(oneshot::error::TryRecvError::Closed) => Some(Err(Failure::OutcomeUnknown)),
            },
            Self::Lookup(_) => None,
        }
    }
}

/// Waits for what the lane tells. It tells nothing only when the ledger has failed.
pub(super) async fn received(answer: oneshot::Receiver<Answered>) -> Answered {
    answer.await.unwrap_or(Err(Failure::OutcomeUnknown))
}

/// The answer to a job that a worker has finished, appended to `out` in the encoding of a `Decision`.
pub(super) fn finished(
    job: &CommandJob,
    original_version: Option<ProgramVersion>,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    if job.outcome.refusal() == Some(Refusal::DeadlineExpired) {
        return Err(Failure::DeadlineExpired);
    }
    encode::job(job, original_version, out);
    Ok(())
}

/// A claim that is dropped with its holder.
pub(super) struct Held<'a> {
    ids: &'a IdIndex,
    key: IdKey,
}

impl Held<'_> {
    /// The claim has a new owner.
    pub(super) fn hand_over(self) {
        std::mem::forget(self);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.ids.release(self.key);
    }
}

/// The outcome of a claim that nobody else holds.
pub(super) enum Claimed<'a> {
    /// It is ours.
    Held(Held<'a>),
    /// The record at this position used it.
    Used(IdEntry),
}

/// A command of a reversal or an accrual, with everything a worker needs to know.
pub(super) struct Ready {
    pub job: Box<CommandJob>,
    pub original_version: Option<ProgramVersion>,
}

impl Edge {
    /// The time and the versions of the programme at this moment. Commands must be claimed soon after.
    pub(super) fn moment(&self) -> Moment {
        let clock = &self.engine.clock;
        Moment { programs: self.engine.programs(), stamp: clock.now(), monotonic_ns: clock.monotonic_ns() }
    }

    /// Checks, names and stamps an accrual into a job that has been reset; `None` when the dictionary is full.
    pub(super) fn prepare_accrual(
        &self,
        caller: &Caller,
        request: &AccrualView<'_>,
        moment: &Moment,
        job: &mut CommandJob,
    ) -> Result<Option<LeftOpen>, Failure> {
        let intake = Intake {
            hasher: &self.engine.hasher,
            dictionary: &self.engine.dictionary,
            definitions: &*self.engine,
            clock_is_input: self.engine.identity.clock_is_input,
        };
        intake.prepare(caller, request, moment, &mut self.lane.names(), job)
    }

    /// Checks, names, stamps and starts an accrual, waiting for whatever it has to wait for.
    pub(super) async fn start_accrual(
        self: &Arc<Self>,
        caller: &Caller,
        request: &AccrualView<'_>,
        patience: Patience,
    ) -> Result<Started, Failure> {
        let mut job = Box::new(CommandJob::blank());
        let prepared = self.prepare_accrual(caller, request, &self.moment(), &mut job)?;
        match prepared {
            Some(left_open) => self.start_prepared(caller, job, left_open, patience).await,
            None => Ok(Started::Answered(self.refused(Refusal::NameLimitReached, None))),
        }
    }

    /// Starts a prepared accrual, waiting for whatever it has to wait for.
    pub(super) async fn start_prepared(
        self: &Arc<Self>,
        caller: &Caller,
        mut job: Box<CommandJob>,
        left_open: LeftOpen,
        patience: Patience,
    ) -> Result<Started, Failure> {
        self.wait_for_gate(job.stamp).await?;
        self.name_again(&mut job);
        let transaction = match self.claim(job.ids.transaction, patience).await? {
            Claimed::Held(held) => held,
            Claimed::Used(entry) => {
                let edge = self.clone();
                let lookup = async move { edge.repeat_accrual(entry.position, job.command, left_open).await };
                return Ok(Started::Lookup(Box::pin(lookup)));
            }
        };
        let receipt = match self.claim(job.ids.subject, patience).await? {
            Claimed::Held(held) => held,
            Claimed::Used(original) => {
                let principal = &caller.principal;
                let (actor, at) = (principal.actor(), job.stamp);
                self.claims.note(&job.command, &principal.partner, actor, at, original.position);
                return Ok(Started::Answered(self.refused(Refusal::ReceiptAlreadyEarned, Some(&job.command))));
            }
        };
        self.hand_to_worker(Ready { job, original_version: None }, [transaction, receipt], patience).await
    }

    /// Works out a receipt's business day again, and with it its name, where a version of the programme was published since.
    /// Behind the gate: a version that comes later takes effect after the date of anything that is let in now.
    fn name_again(&self, job: &mut CommandJob) {
        let programs = self.engine.programs();
        let newest = programs.newest();
        if !job.is_dated_before(newest) {
            return;
        }
        let CommandKind::Accrue(basket) = &mut job.command.kind else { return };
        basket.business_day = local_day(&programs, basket.receipt_at);
        job.ids.subject = ids_of(&self.engine.hasher, &self.engine.dictionary, &job.command).subject;
        job.day_by = Some(newest);
    }

    /// What checks need to know of this server.
    pub(super) fn with_rules<T>(&self, check: impl FnOnce(Rules<'_>) -> T) -> T {
        self.engine.with_programs(|programs| {
            let currency = programs.latest().map(|program| program.currency.as_str());
            check(Rules { clock_is_input: self.engine.identity.clock_is_input, currency })
        })
    }

    pub(super) fn check_deadline(&self, caller: &Caller) -> Result<(), Failure> {
        check_deadline_at(caller, self.engine.clock.monotonic_ns())
    }

    /// The local day of a receipt in the zone of the version that is in force at its date.
    pub(super) fn local_day(&self, receipt_at: TimestampNs) -> Day {
        self.engine.with_programs(|programs| local_day(programs, receipt_at))
    }

    /// Waits while a version of the programme is being published that would judge a command with this stamp.
    pub(super) async fn wait_for_gate(&self, stamp: TimestampNs) -> Result<(), Failure> {
        while !self.engine.may_stamp(stamp) {
            if *self.life.borrow() == Life::Failed {
                return Err(Failure::ShuttingDown);
            }
            tokio::time::sleep(REST).await;
        }
        Ok(())
    }

    /// Claims an id, waiting for whoever holds it.
    pub(super) async fn claim(&self, key: IdKey, patience: Patience) -> Result<Claimed<'_>, Failure> {
        self.claim_by(key, patience, |ids| ids.claim(key)).await
    }

    /// Claims an id that may have been used before, waiting for whoever holds it.
    pub(super) async fn claim_again(&self, key: IdKey, patience: Patience) -> Result<Held<'_>, Failure> {
        match self.claim_by(key, patience, |ids| Ok(ids.claim_again(key))).await? {
            Claimed::Held(held) => Ok(held),
            Claimed::Used(_) => Err(Failure::internal("an id that may be used again is not used up")),
        }
    }

    async fn claim_by(
        &self,
        key: IdKey,
        patience: Patience,
        claim: impl Fn(&IdIndex) -> Result<Claim, IdError>,
    ) -> Result<Claimed<'_>, Failure> {
        let ids = &self.engine.shared.ids;
        loop {
            match claim(ids)? {
                Claim::Granted => return Ok(Claimed::Held(Held { ids, key })),
                Claim::Committed(entry) => return Ok(Claimed::Used(entry)),
                Claim::InFlight => match self.wait_for_claim(key).await {
                    // Others have taken the room that there was.
                    Err(Failure::Overloaded) => self.rest(patience).await?,
                    waited => waited.map(drop)?,
                },
                Claim::TooMany => self.rest(patience).await?,
            }
        }
    }

    /// Waits until nobody holds an id; says whether anybody did. Refused where too many wait already.
    pub(super) async fn wait_for_claim(&self, key: IdKey) -> Result<bool, Failure> {
        let ids = &self.engine.shared.ids;
        if !ids.has_room_to_wait() {
            return if ids.is_claimed(key) { Err(Failure::Overloaded) } else { Ok(false) };
        }
        let (told, over) = oneshot::channel();
        let waiter = Box::new(move || {
            // Whoever waited may have gone.
            let _ = told.send(());
        });
        if !ids.wait(key, waiter) {
            return Ok(false);
        }
        tokio::select! {
            _ = over => Ok(true),
            () = self.ended(Life::Failed) => Err(Failure::ShuttingDown),
        }
    }

    /// Hands a command with its claims to the worker of its account.
    pub(super) async fn hand_to_worker(
        &self,
        ready: Ready,
        claims: impl IntoIterator<Item = Held<'_>>,
        patience: Patience,
    ) -> Result<Started, Failure> {
        let Ready { mut job, original_version } = ready;
        let shard = shard_of_hash(job.account_hash, self.engine.identity.shard_count);
        let (ticket, answer) = self.lane.expect_answer(original_version, matches!(patience, Patience::None));
        job.ticket = ticket;
        let batch = CommandBatch::new(vec![job], self.lane.clone());
        self.submit(shard, Job::Commands(batch), patience).await?;
        for claim in claims {
            claim.hand_over();
        }
        Ok(Started::Submitted(answer))
    }

    /// The answer to an accrual whose transaction id is used already.
    pub(super) async fn repeat_accrual(
        &self,
        position: Position,
        mut command: Command,
        left_open: LeftOpen,
    ) -> Result<wire::Decision, Failure> {
        let located = self.record(position).await?;
        let Some(entry) = located.entry() else { return Ok(self.reused("command".to_owned())) };
        let account_id = self.account_id_of(&located, entry).await?;
        if let (CommandKind::Accrue(ours), CommandKind::Accrue(theirs)) = (&mut command.kind, &entry.command.kind) {
            fill_as_before(ours, theirs, left_open);
        }
        let stored = Command { account_id: account_id.into(), ..entry.command.clone() };
        match command.first_difference(&stored) {
            Some(field) => Ok(self.reused(field)),
            None => self.repeated(&located, entry).await,
        }
    }

    /// The first answer again.
    pub(super) async fn repeated(&self, located: &Located, entry: &Entry) -> Result<wire::Decision, Failure> {
        let decision = self.decision_of(located, entry).await?;
        self.engine.metrics.answered(Outcome::Replayed);
        Ok(wire::Decision { replayed: true, ..decision })
    }

    /// A refusal that consumed nothing, counted.
    pub(super) fn refused(&self, refusal: Refusal, command: Option<&Command>) -> Box<wire::Decision> {
        self.engine.metrics.answered(Outcome::Refused(refusal));
        Box::new(answer::refused(refusal, command))
    }

    /// A transaction id that was used with other content, counted.
    pub(super) fn reused(&self, field: String) -> wire::Decision {
        self.engine.metrics.answered(Outcome::Refused(Refusal::TransactionIdReused));
        answer::reused(field)
    }

    /// A failure of one command that is a refusal, counted as one.
    pub(super) fn counted(&self, failure: Failure) -> Failure {
        if let Some((refusal, _)) = failure.as_refusal() {
            self.engine.metrics.answered(Outcome::Refused(refusal));
        }
        failure
    }

    /// The decision of a record, in words and names.
    pub(super) async fn decision_of(&self, located: &Located, entry: &Entry) -> Result<wire::Decision, Failure> {
        let original = match &entry.command.kind {
            CommandKind::Reverse(reversal) => Some(self.record(reversal.original_position).await?),
            CommandKind::Refund(refund) => Some(self.record(refund.original_position).await?),
            _ => None,
        };
        let original_version = original.as_ref().and_then(Located::entry).map(|original| original.decision.program);
        let version = entry.decision.program;
        let program = self.engine.with_programs(|programs| programs.get(version).cloned());
        Ok(answer::of_entry(located, entry, program.as_deref(), original_version))
    }

    /// The record at a position that something durable names.
    pub(super) async fn record(&self, position: Position) -> Result<Located, Failure> {
        let found = self.blocking(move |engine| record_at(engine, position)).await?;
        found.ok_or_else(|| Failure::internal(format_args!("there is no record at position {position}")))
    }

    /// The id of the account that a record belongs to.
    pub(super) async fn account_id_of(&self, located: &Located, entry: &Entry) -> Result<Box<str>, Failure> {
        if !entry.command.account_id.is_empty() {
            return Ok(entry.command.account_id.as_str().into());
        }
        self.account_id(located.shard, entry.account).await
    }

    async fn account_id(&self, shard: ShardId, number: AccountNumber) -> Result<Box<str>, Failure> {
        let (told, answer) = oneshot::channel();
        let reply = Box::new(move |id| {
            let _ = told.send(id);
        });
        self.submit(shard, Job::AccountId(shard, number, reply), Patience::Unlimited).await?;
        let id = answer.await.map_err(|_| Failure::ShuttingDown)?;
        id.ok_or_else(|| Failure::internal(format_args!("shard {shard} has no account {number}")))
    }
}

/// The record at a position. Reads the store.
pub(super) fn record_at(engine: &Engine, position: Position) -> Result<Option<Located>, crate::journal::JournalError> {
    walk::record_at(&*engine.journal, &engine.dictionary, position)
}

/// The transaction id and the partner of a record that has them.
pub(super) fn transaction_of(record: &Record) -> Option<(&str, SymbolId)> {
    match record {
        Record::Entry(entry) => Some((&entry.command.transaction_id, entry.command.partner)),
        Record::Program(publication) => Some((&publication.transaction_id, publication.partner)),
        Record::Opening(_)
        | Record::Symbol(..)
        | Record::Item(..)
        | Record::Key(_)
        | Record::Freeze(_)
        | Record::Proposal(_) => None,
    }
}

fn fill_as_before(ours: &mut Basket, theirs: &Basket, left_open: LeftOpen) {
    if left_open.receipt_time {
        ours.receipt_at = theirs.receipt_at;
    }
    if left_open.business_date {
        ours.business_day = theirs.business_day;
    }
}
