//! What travels between the edge and a worker: jobs with everything their answers need, so that the worker allocates
//! nothing. Commands travel in batches, and the same batch comes back as the answer.
//!
//! What must stay true: a batch is answered once, or abandoned; it is never lost without a word.

use std::sync::Arc;

use crate::cells::Ticket;
use crate::ids::IdKey;
use crate::ledger::account::Account;
use crate::ledger::command::{Basket, Command, CommandKind};
use crate::ledger::decision::{Decision, Refusal};
use crate::ledger::digest::Digest;
use crate::ledger::held::{HeldName, HeldTransaction};
use crate::ledger::partner::Standing;
use crate::ledger::program::Program;
use crate::ledger::types::{AccountNumber, MemberKey, Position, ProgramVersion, Seq, ShardId, SymbolId, TimestampNs};
use crate::limits;
use crate::metrics::Signs;

/// Called once with the finished job, by whoever is at the worker. It must not block.
pub type Reply<T> = Box<dyn FnOnce(T) + Send>;

/// The ids that a command holds claims on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimedIds {
    /// The transaction id.
    pub transaction: IdKey,
    /// The receipt (of an accrual) or the original that is reversed; the transaction id again where there is neither.
    pub subject: IdKey,
    /// What is entered without a claim when the command is durable. It becomes free again: the receipt of a reversal, an
    /// identifier that is unlinked; or not, being the name under which the last capture or void is found: see
    /// [`CommandKind::frees`].
    pub freed: Option<IdKey>,
}

impl ClaimedIds {
    /// The claims of a command that is about nothing but itself.
    #[must_use]
    pub fn alone(transaction: IdKey) -> Self {
        Self { transaction, subject: transaction, freed: None }
    }

    /// The claims, each once.
    pub fn claims(&self) -> impl Iterator<Item = IdKey> {
        let subject = (self.subject != self.transaction).then_some(self.subject);
        subject.into_iter().chain(std::iter::once(self.transaction))
    }
}

/// A command on its way through a worker.
#[derive(Debug)]
pub struct CommandJob {
    /// The caller's own mark, by which it knows the answer again.
    pub ticket: u64,
    /// What is asked.
    pub command: Command,
    /// [`crate::ledger::state::account_hash`] of the account's id.
    pub account_hash: u64,
    /// The stamp of the service, or of the importer where the clock is the input.
    pub stamp: TimestampNs,
    /// Claims that the worker turns into entries of the index, or drops.
    pub ids: ClaimedIds,
    /// Where the edge worked out the business day by which a receipt is named: the newest version of the programme that it
    /// knew. None where the caller stated the day, and where there is no receipt.
    pub day_by: Option<ProgramVersion>,
    /// The caller's deadline on the monotonic clock, in nanoseconds.
    pub deadline_ns: Option<i64>,
    /// Filled by the worker.
    pub outcome: CommandOutcome,
}

impl CommandJob {
    /// A job to be filled in. Its memory is worth keeping: see [`CommandJob::reset`].
    #[must_use]
    pub fn blank() -> Self {
        let none = IdKey([0; 16]);
        Self {
            ticket: 0,
            command: Command {
                account_id: String::new(),
                transaction_id: String::new(),
                partner: SymbolId::EMPTY,
                kind: CommandKind::Accrue(Basket::default()),
                ..Command::default()
            },
            account_hash: 0,
            stamp: TimestampNs(0),
            ids: ClaimedIds::alone(none),
            day_by: None,
            deadline_ns: None,
            outcome: CommandOutcome::default(),
        }
    }

    /// Whether the receipt's day was worked out by somebody who did not know this version of the programme.
    #[must_use]
    pub fn is_dated_before(&self, version: ProgramVersion) -> bool {
        self.day_by.is_some_and(|known| known < version)
    }

    /// Forgets the outcome, keeping the memory of an ordinary basket and no more.
    pub fn reset(&mut self) {
        // Each in its place: a decision is too large to be moved about.
        let CommandOutcome { answer, decision, program, posted_at, shard, account, seq, position, signs } =
            &mut self.outcome;
        // Of an answer that was prepared, the decision never came here.
        if answer.is_empty() {
            decision.clear();
            if decision.lines.capacity() > limits::JOB_LINES_KEPT_MAX {
                decision.lines = Vec::new();
            }
            if decision.effects.lots.capacity() > limits::JOB_LINES_KEPT_MAX {
                decision.effects.lots = Vec::new();
            }
        }
        answer.clear();
        if answer.capacity() > limits::JOB_ANSWER_BYTES_KEPT_MAX {
            *answer = Vec::new();
        }
        (*program, *account, *position) = (None, None, None);
        (*posted_at, *shard, *seq) = (TimestampNs::default(), ShardId::default(), Seq::default());
        *signs = Signs::default();
        let basket = self.basket_mut();
        if basket.lines.capacity() > limits::JOB_LINES_KEPT_MAX {
            basket.lines = Vec::new();
        }
    }

    /// The basket to be filled in, with the memory of the one before.
    pub fn basket_mut(&mut self) -> &mut Basket {
        if !matches!(self.command.kind, CommandKind::Accrue(_)) {
            self.command.kind = CommandKind::Accrue(Basket::default());
        }
        match &mut self.command.kind {
            CommandKind::Accrue(basket) => basket,
            _ => unreachable!("it was just made an accrual"),
        }
    }
}

/// A command that was decided and recorded, and is not durable yet.
pub struct Decided<'a> {
    /// The command, its shard, its record's number in it, and its posting time.
    pub job: &'a CommandJob,
    /// What was decided.
    pub decision: &'a Decision,
    /// The version that judged it.
    pub program: &'a Program,
}

/// Takes finished batches from whoever is at the worker. Must not block.
pub trait Mailbox: Send + Sync {
    /// Appends to `out` what of the answer does not depend on the commit, while what was decided is at hand; nothing where
    /// the decision itself is wanted. With bytes, the job comes back with these instead of the decision. Nobody is shown
    /// them before the batch is delivered.
    fn prepare(&self, _: &Decided<'_>, _out: &mut Vec<u8>) {}

    /// Everything that the outcomes show is durable.
    fn deliver(&self, batch: CommandBatch);

    /// The ledger has failed: what became of these commands is unknown.
    fn abandon(&self, jobs: Vec<Box<CommandJob>>) {
        drop(jobs);
    }
}

impl<F: Fn(CommandBatch) + Send + Sync> Mailbox for F {
    fn deliver(&self, batch: CommandBatch) {
        self(batch);
    }
}

/// Commands for accounts of one worker, decided in their order and answered together: one message and one wake-up each
/// way, however many they are.
pub struct CommandBatch {
    /// The commands. They come back in the same order, with their outcomes.
    pub jobs: Vec<Box<CommandJob>>,
    mailbox: Option<Arc<dyn Mailbox>>,
    /// The last change of a shared cell that an answer without a record tells of; 0 for none. The batch is answered once
    /// that is durable.
    pub(super) tells_of: Ticket,
}

impl CommandBatch {
    /// Commands that are answered to a mailbox.
    #[must_use]
    pub fn new(jobs: Vec<Box<CommandJob>>, mailbox: Arc<dyn Mailbox>) -> Self {
        Self { jobs, mailbox: Some(mailbox), tells_of: 0 }
    }

    /// Who will be answered.
    #[must_use]
    pub fn mailbox(&self) -> Option<&Arc<dyn Mailbox>> {
        self.mailbox.as_ref()
    }

    /// Answers.
    pub fn deliver(mut self) {
        if let Some(mailbox) = self.mailbox.take() {
            mailbox.deliver(self);
        }
    }

    /// The commands of a batch that was not taken; nobody is told.
    #[must_use]
    pub fn take_back(mut self) -> Vec<Box<CommandJob>> {
        self.mailbox = None;
        std::mem::take(&mut self.jobs)
    }
}

#[cfg(feature = "broken-variants")]
impl CommandBatch {
    /// Answers too early: a mistake that the simulator must find. The batch itself is then answered to nobody.
    pub fn deliver_a_copy(&mut self) {
        let Some(mailbox) = self.mailbox.take() else { return };
        let copy = |job: &CommandJob| CommandJob { command: job.command.clone(), outcome: job.outcome.clone(), ..*job };
        let jobs = self.jobs.iter().map(|job| Box::new(copy(job)));
        mailbox.deliver(Self { jobs: jobs.collect(), mailbox: None, tells_of: 0 });
    }
}

/// A batch that ends without an answer says so.
impl Drop for CommandBatch {
    fn drop(&mut self) {
        if let Some(mailbox) = self.mailbox.take() {
            mailbox.abandon(std::mem::take(&mut self.jobs));
        }
    }
}

/// What became of a command.
#[derive(Clone, Debug, Default)]
pub struct CommandOutcome {
    /// What the mailbox prepared of the answer to a command that was granted. With it, `decision` and `program` are empty.
    pub answer: Vec<u8>,
    /// The decision.
    pub decision: Decision,
    /// The version that judged it.
    pub program: Option<Arc<Program>>,
    /// The posting time.
    pub posted_at: TimestampNs,
    /// The shard.
    pub shard: ShardId,
    /// The account's number, where it exists.
    pub account: Option<AccountNumber>,
    /// The record's number in the shard; 0 where there is no record.
    pub seq: Seq,
    /// The record's position; `None` where there is no record.
    pub position: Option<Position>,
    /// What is counted of the decision beside its outcome; it is here also where `decision` is not.
    pub signs: Signs,
}

impl CommandOutcome {
    /// The refusal, if it is one.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        self.decision.refusal()
    }
}

/// A question that changes nothing.
pub struct QuoteJob {
    /// The account; need not exist where the programme opens accounts by itself.
    pub account_id: Box<str>,
    /// The partner that would issue.
    pub partner: SymbolId,
    /// Which member of the account it is about, if one is named.
    pub member: MemberKey,
    /// The basket or the activity.
    pub kind: CommandKind,
    /// The stamp.
    pub stamp: TimestampNs,
    /// Filled by the worker.
    pub outcome: CommandOutcome,
    /// Whom to answer.
    pub reply: Option<Reply<Box<QuoteJob>>>,
}

/// A copy of an account at an instant.
#[derive(Clone, Debug)]
pub struct AccountView {
    /// The account.
    pub account: Account,
    /// Its shard.
    pub shard: ShardId,
    /// The shard's time when it was read, or the stamp if that is later.
    pub read_at: TimestampNs,
    /// The version of the programme in force then.
    pub program: Option<Arc<Program>>,
}

/// A read of an account.
pub struct AccountJob {
    /// The account.
    pub account_id: Box<str>,
    /// The stamp.
    pub stamp: TimestampNs,
    /// Whom to answer; `None` stands for "there is no such account".
    pub reply: Reply<Option<Box<AccountView>>>,
}

/// What a worker says of all its shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Accounts.
    pub account_count: u64,
    /// The latest posting time; `None` before the first.
    pub posted_at: Option<TimestampNs>,
    /// The digest of each shard; empty unless asked for.
    pub digests: Vec<(ShardId, Digest)>,
}

/// A slice of the snapshot: encoded entities, to be written once everything up to the ticket is durable.
#[derive(Debug)]
pub struct Slice {
    /// Keys and values for the state space.
    pub entities: Vec<(Vec<u8>, Vec<u8>)>,
    /// The chunk that must be durable first.
    pub ticket: crate::cells::Ticket,
}

/// Takes the slices of one worker; says `false` when it has no room now.
pub trait SliceSink: Send {
    /// Offers a slice; hands it back when there is no room.
    ///
    /// # Errors
    /// The slice, when there is no room for it now.
    fn offer(&mut self, slice: Slice) -> Result<(), Slice>;

    /// All dirty entities of the worker have been offered, of shards with so many accounts.
    fn finish(&mut self, account_counts: &[(ShardId, u32)]);
}

/// Asks which transactions are held in one shard.
pub struct HeldQuery {
    /// The shard.
    pub shard: ShardId,
    /// Whose; `None` for all partners'.
    pub partner: Option<SymbolId>,
    /// Where to go on: the account, and the transaction after which to go on in it.
    pub from: (AccountNumber, HeldName),
    /// The most to tell.
    pub count_max: usize,
    /// Whom to answer.
    pub reply: Reply<HeldPage>,
}

/// Transactions that are held in one shard, by account and id.
#[derive(Debug, Default)]
pub struct HeldPage {
    /// The account's number and id, and what is held of it.
    pub found: Vec<(AccountNumber, Box<str>, HeldTransaction)>,
    /// Whether all of the shard were looked at; else it goes on after the last that was found, or at this account.
    pub next: Option<(AccountNumber, HeldName)>,
}

/// What a worker can be asked to do.
pub enum Job {
    /// Decide commands, in order.
    Commands(CommandBatch),
    /// Decide without changing anything.
    Quote(Box<QuoteJob>),
    /// Copy an account.
    Account(Box<AccountJob>),
    /// Tell an account's id by its number.
    AccountId(ShardId, AccountNumber, Reply<Option<Box<str>>>),
    /// Tell what is held for review in one shard.
    Held(Box<HeldQuery>),
    /// Count accounts.
    Count(Reply<u64>),
    /// Look over all shards of the worker, with their digests if so asked. Reading the whole state takes its time.
    Survey(bool, Reply<Survey>),
    /// Say when everything that was decided so far is durable.
    Settled(Reply<()>),
    /// Tell how partners stand in each shard.
    Settle(Reply<Vec<(ShardId, Standing)>>),
    /// Use a further version of the programme, and say so.
    Publish(Arc<Program>, Reply<()>),
    /// Begin to hand out slices.
    Snapshot(Box<dyn SliceSink>),
}

impl Job {
    /// The room in a queue that the job takes: commands are counted one by one.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Commands(batch) => batch.jobs.len(),
            _ => 1,
        }
    }

    /// Whether the job looks at many accounts, or begins to: only the worker's own thread has time for it.
    #[must_use]
    pub fn is_long(&self) -> bool {
        match self {
            Self::Commands(batch) => batch.jobs.len() > limits::CALLER_BATCH_COMMANDS_MAX,
            Self::Held(_) | Self::Count(_) | Self::Survey(..) | Self::Settle(_) | Self::Snapshot(_) => true,
            Self::Quote(_) | Self::Account(_) | Self::AccountId(..) => false,
            Self::Publish(..) | Self::Settled(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::command::Line;
    use crate::ledger::decision::LineOutcome;
    use crate::ledger::program::LineClass;
    use crate::ledger::types::{Item, ItemId};

    #[test]
    fn a_job_keeps_the_memory_of_an_ordinary_basket_and_gives_that_of_a_long_one_back() {
        for (line_count, is_kept) in [(7, true), (1_000, false)] {
            let line = Line { item_id: ItemId(0), item: Item::default(), quantity: 1, amount_minor: 100 };
            let mut job = CommandJob::blank();
            job.basket_mut().lines = vec![line; line_count];
            job.outcome.decision.lines = vec![LineOutcome { class: LineClass::Base }; line_count];
            job.outcome.decision.granted = 9;
            job.reset();
            assert_eq!(job.outcome.decision, Decision::default());
            assert_eq!(job.outcome.decision.lines.capacity() >= line_count, is_kept);
            assert_eq!(job.basket_mut().lines.capacity() >= line_count, is_kept);
        }
    }
}
