//! A worker: the exclusive owner of the state of its shards. A state machine without threads or clocks of its own, so
//! that the production loop and the simulator drive the same code.
//!
//! The order of one command: decide → take the cells' room → encode → apply → wait for the commit → enter the ids →
//! drop the claims → answer.
//!
//! What must stay true:
//! - an answer leaves only after the commit of everything it shows (invariant 1);
//! - an id is in the index before its claim is dropped (invariant 2);
//! - once warm, a command on an account that exists allocates nothing here.

use std::collections::VecDeque;
use std::sync::Arc;

use super::job::{AccountJob, AccountView, CommandJob, CommandOutcome, Job, QuoteJob, Reply, Slice, SliceSink, Survey};
use super::tickets::Tickets;
use crate::cells::{Cells, Ticket};
use crate::ids::{IdEntry, IdIndex};
use crate::journal::chunk::Chunk;
use crate::journal::record::{EntryHeader, PreviousRecord, encode_entry};
use crate::ledger::command::{Command, CommandKind};
use crate::ledger::decision::{Decision, Outcome, Refusal};
use crate::ledger::digest::shard_digest;
use crate::ledger::program::Program;
use crate::ledger::state::{CellRoom, Change, Context, ShardState, shard_of};
use crate::ledger::types::{AccountNumber, Position, Seq, ShardId, TimestampNs};
use crate::limits;
use crate::program::registry::Programs;
use crate::snapshot::cursor::SnapshotCursor;

/// What all workers share.
pub struct Shared {
    /// Cells.
    pub cells: Cells,
    /// Transaction ids, receipts, reversals.
    pub ids: IdIndex,
    /// Pending chunks.
    pub tickets: Tickets,
    /// Virtual shards of the data directory.
    pub shard_count: u16,
    /// Whether posting times come from the input.
    pub clock_is_input: bool,
    /// Entities in one slice of a snapshot, [`limits::SNAPSHOT_SLICE_ENTITIES`] outside of simulations.
    pub slice_entities: usize,
}

/// One shard with what the worker knows of its commits.
struct Owned {
    state: ShardState,
    /// Every record up to this one is durable and processed.
    durable_seq: Seq,
}

/// An answer that waits for durability.
enum Waiting {
    /// A command without a record.
    Command(Box<CommandJob>),
    /// A copy of an account, to be told with the position that the commit gives its last record.
    Account(Box<AccountView>, Reply<Option<Box<AccountView>>>),
    /// Anything else that depends on the chunk.
    Other(Box<dyn FnOnce() + Send>),
}

/// A chunk and whom to answer when it is durable.
#[derive(Default)]
struct Pending {
    ticket: Ticket,
    /// By slot of the chunk's records.
    commands: Vec<Option<Box<CommandJob>>>,
    others: Vec<Waiting>,
    /// The last record of each shard in the chunk; filled when the chunk is sealed.
    ends: Vec<(ShardId, Seq)>,
}

/// A read that waits until every change up to a ticket is durable.
struct Gated {
    ticket: Ticket,
    answer: Box<dyn FnOnce() + Send>,
}

/// The owner of some shards.
pub struct Worker {
    index: usize,
    worker_count: usize,
    shared: Arc<Shared>,
    programs: Programs,
    shards: Vec<Owned>,
    open: Chunk,
    open_pending: Pending,
    open_ticket: Option<Ticket>,
    in_flight: VecDeque<Pending>,
    gated: Vec<Gated>,
    rooms: Vec<CellRoom>,
    spare_chunks: Vec<Chunk>,
    spare_pending: Vec<Pending>,
    snapshot: Option<(SnapshotCursor, Box<dyn SliceSink>)>,
    /// For each shard, the record up to which the last finished snapshot has everything.
    snapshot_seqs: Vec<Seq>,
}

/// Which worker owns a shard.
#[must_use]
pub fn worker_of(shard: ShardId, worker_count: usize) -> usize {
    usize::from(shard.0) % worker_count
}

impl Worker {
    /// The worker `index` of `worker_count`, with its shards in ascending order.
    ///
    /// # Panics
    /// When a shard belongs to another worker.
    #[must_use]
    pub fn new(
        index: usize,
        worker_count: usize,
        shared: Arc<Shared>,
        programs: Programs,
        shards: Vec<ShardState>,
        snapshot_seqs: Vec<Seq>,
    ) -> Self {
        for (place, shard) in shards.iter().enumerate() {
            assert_eq!(usize::from(shard.id.0), place * worker_count + index, "shards are dealt round");
        }
        assert_eq!(shards.len(), snapshot_seqs.len(), "each shard says what its snapshot holds");
        let shards = shards.into_iter().map(|state| Owned { durable_seq: state.seq, state }).collect();
        Self {
            index,
            worker_count,
            shared,
            programs,
            shards,
            open: Chunk::default(),
            open_pending: Pending::default(),
            open_ticket: None,
            in_flight: VecDeque::new(),
            gated: Vec::new(),
            rooms: Vec::new(),
            spare_chunks: Vec::new(),
            spare_pending: Vec::new(),
            snapshot: None,
            snapshot_seqs,
        }
    }

    fn place_of(&self, shard: ShardId) -> usize {
        assert_eq!(worker_of(shard, self.worker_count), self.index, "the router knows whose shard it is");
        usize::from(shard.0) / self.worker_count
    }

    /// Does one job. `monotonic_ns` is the time read once for the batch, for deadlines only.
    pub fn execute(&mut self, job: Job, monotonic_ns: i64) {
        match job {
            Job::Command(job) => self.command(job, monotonic_ns),
            Job::Quote(job) => self.quote(job),
            Job::Account(job) => self.account(*job),
            Job::AccountId(shard, account, reply) => {
                let owned = &self.shards[self.place_of(shard)];
                reply(owned.state.account(account).map(|found| found.id.clone()));
            }
            Job::Count(reply) => {
                reply(self.shards.iter().map(|owned| owned.state.accounts().len() as u64).sum());
            }
            Job::Survey(with_digests, reply) => self.survey(with_digests, reply),
            Job::Publish(program, reply) => {
                self.programs.append(program).expect("versions are published in order");
                reply(());
            }
            Job::Snapshot(sink) => {
                let durable_at = self.shards.iter().map(|owned| owned.durable_seq);
                let cursor = SnapshotCursor::begin(durable_at, &self.snapshot_seqs, self.shared.slice_entities);
                self.snapshot = Some((cursor, sink));
            }
        }
    }

    fn command(&mut self, mut job: Box<CommandJob>, monotonic_ns: i64) {
        let shard = shard_of(&job.command.account_id, self.shared.shard_count);
        let place = self.place_of(shard);
        let state = &self.shards[place].state;
        job.outcome.shard = shard;
        job.outcome.account = state.find(&job.command.account_id);
        job.outcome.posted_at = job.stamp.max(state.posted_at);
        if job.deadline_ns.is_some_and(|deadline_ns| deadline_ns <= monotonic_ns) {
            return self.refuse(job, Refusal::DeadlineExpired);
        }
        if self.shared.clock_is_input && job.stamp < state.posted_at {
            return self.refuse(job, Refusal::PostingTimeRegressed);
        }
        let Some(program) = self.programs.in_force(event_time(&job.command, job.outcome.posted_at)).cloned() else {
            return self.refuse(job, Refusal::ProgramNotInForce);
        };
        self.decide(&mut job, place, &program);
        job.outcome.program = Some(program);
        if job.outcome.decision.is_journaled() {
            self.record(job, place);
        } else {
            let refusal = job.outcome.refusal().expect("a grant is journaled");
            self.refuse(job, refusal);
        }
    }

    /// Decides with the cells in hand, and leaves the use behind.
    fn decide(&mut self, job: &mut CommandJob, place: usize, program: &Program) {
        let posted_at = job.outcome.posted_at;
        let state = &self.shards[place].state;
        self.rooms.clear();
        let decision = &mut job.outcome.decision;
        match &job.command.kind {
            CommandKind::Accrue(_) if program.budgets.is_empty() => {
                let context = Context { program, posted_at, rooms: &[] };
                state.decide(&job.command, &context, decision);
            }
            CommandKind::Reverse(reversal) if reversal.original.cells.is_empty() => {
                let context = Context { program, posted_at, rooms: &[] };
                state.decide(&job.command, &context, decision);
            }
            kind => {
                let ticket = *self.open_ticket.get_or_insert_with(|| self.shared.tickets.begin(self.index));
                let mut held = match kind {
                    CommandKind::Accrue(_) => {
                        let mut held = self.shared.cells.hold(program.budgets_at(posted_at).map(|budget| budget.cell));
                        let budgets = program.budgets_at(posted_at);
                        self.rooms.extend(budgets.map(|budget| held.room(budget.cell, budget.limit)));
                        held
                    }
                    CommandKind::Reverse(reversal) => {
                        let cells = &reversal.original.cells;
                        let mut held = self.shared.cells.hold(cells.iter().map(|taken| taken.cell));
                        self.rooms.extend(cells.iter().map(|taken| CellRoom { room: 0, ..held.room(taken.cell, 0) }));
                        held
                    }
                };
                let context = Context { program, posted_at, rooms: &self.rooms };
                state.decide(&job.command, &context, decision);
                if decision.is_journaled() {
                    held.take(&decision.cells, ticket);
                }
            }
        }
    }

    /// Encodes and applies what was decided; the answer waits for the commit.
    fn record(&mut self, mut job: Box<CommandJob>, place: usize) {
        let state = &mut self.shards[place].state;
        let decision = &job.outcome.decision;
        let seq = state.seq.next();
        let number = job.outcome.account.unwrap_or_else(|| state.next_account());
        let header = EntryHeader {
            previous: previous_record(state, number, seq),
            account: number,
            posted_at: job.outcome.posted_at,
        };
        if self.open_ticket.is_none() {
            self.open_ticket = Some(self.shared.tickets.begin(self.index));
        }
        self.open.push(state.id, seq, |out| encode_entry(out, &header, &job.command, decision));
        state.apply(&Change {
            seq,
            position: None,
            posted_at: header.posted_at,
            account: number,
            account_id: &job.command.account_id,
            decision,
        });
        job.outcome.seq = seq;
        job.outcome.account = Some(number);
        self.open_pending.commands.push(Some(job));
    }

    /// Answers a refusal that has no record: the claims are dropped, and the answer waits for what it depends on.
    fn refuse(&mut self, mut job: Box<CommandJob>, refusal: Refusal) {
        job.outcome.decision.clear();
        job.outcome.decision.outcome = Outcome::Refused(refusal);
        self.shared.ids.release(job.ids.subject);
        self.shared.ids.release(job.ids.transaction);
        let place = self.place_of(job.outcome.shard);
        let depends_on = self.shards[place].state.seq;
        self.answer_when_durable(place, depends_on, Waiting::Command(job));
    }

    fn quote(&mut self, mut job: Box<QuoteJob>) {
        let shard = shard_of(&job.account_id, self.shared.shard_count);
        let place = self.place_of(shard);
        let state = &self.shards[place].state;
        let posted_at = job.stamp.max(state.posted_at);
        let number = state.find(&job.account_id);
        job.outcome = CommandOutcome { shard, account: number, posted_at, ..CommandOutcome::default() };
        let event_at = job.basket.receipt_at.min(posted_at);
        let mut cells_changed = 0;
        if let Some(program) = self.programs.in_force(event_at).cloned() {
            let mut held = self.shared.cells.hold(program.budgets_at(posted_at).map(|budget| budget.cell));
            self.rooms.clear();
            for budget in program.budgets_at(posted_at) {
                self.rooms.push(held.room(budget.cell, budget.limit));
                cells_changed = held.changed(budget.cell).max(cells_changed);
            }
            let basket = std::mem::replace(&mut job.basket, empty_basket());
            let command = Command {
                account_id: std::mem::take(&mut job.account_id),
                transaction_id: Box::default(),
                partner: job.partner,
                kind: CommandKind::Accrue(basket),
            };
            let context = Context { program: &program, posted_at, rooms: &self.rooms };
            state.decide(&command, &context, &mut job.outcome.decision);
            drop(held);
            if let CommandKind::Accrue(basket) = command.kind {
                job.basket = basket;
            }
            job.account_id = command.account_id;
            job.outcome.program = Some(program);
        } else {
            job.outcome.decision.outcome = Outcome::Refused(Refusal::ProgramNotInForce);
        }
        let depends_on = number.and_then(|number| state.account(number)).map_or(Seq(0), |account| account.seq);
        let answer = move || {
            if let Some(reply) = job.reply.take() {
                reply(job);
            }
        };
        if self.shared.tickets.is_safe(cells_changed) {
            self.answer_when_durable(place, depends_on, Waiting::Other(Box::new(answer)));
        } else {
            // The cell's last change covers this worker's own chunks too when they are part of the wait.
            let own = self.open_ticket.or(self.in_flight.back().map(|pending| pending.ticket));
            let ticket = own.unwrap_or(0).max(cells_changed);
            self.gated.push(Gated { ticket, answer: Box::new(answer) });
        }
    }

    fn account(&mut self, job: AccountJob) {
        let shard = shard_of(&job.account_id, self.shared.shard_count);
        let place = self.place_of(shard);
        let state = &self.shards[place].state;
        let found = state.find(&job.account_id).and_then(|number| state.account(number));
        let Some(account) = found else { return (job.reply)(None) };
        let read_at = job.stamp.max(state.posted_at);
        let program = self.programs.in_force(read_at).cloned();
        let view = Box::new(AccountView { account: account.clone(), shard, read_at, program });
        let depends_on = account.seq;
        self.answer_when_durable(place, depends_on, Waiting::Account(view, job.reply));
    }

    fn survey(&mut self, with_digests: bool, reply: Reply<Survey>) {
        let states = self.shards.iter().map(|owned| &owned.state);
        let posted_at = states.clone().filter(|state| state.seq > Seq(0)).map(|state| state.posted_at).max();
        let survey = Survey {
            account_count: states.clone().map(|state| state.accounts().len() as u64).sum(),
            posted_at,
            digests: states.filter(|_| with_digests).map(|state| (state.id, shard_digest(state))).collect(),
        };
        // It shows every record of every shard so far, so it leaves with the last chunk that holds any.
        let open = (!self.open.is_empty()).then_some(&mut self.open_pending);
        match open.or(self.in_flight.back_mut()) {
            None => reply(survey),
            Some(last) => last.others.push(Waiting::Other(Box::new(move || reply(survey)))),
        }
    }

    fn answer_when_durable(&mut self, place: usize, depends_on: Seq, waiting: Waiting) {
        if depends_on <= self.shards[place].durable_seq {
            return answer(waiting);
        }
        // The chunk with the record, and no later one: an answer about an account is told with the record's position.
        let shard = self.shards[place].state.id;
        let has_record = |pending: &&mut Pending| pending.ends.iter().any(|end| end.0 == shard && depends_on <= end.1);
        let sealed = self.in_flight.iter_mut().find(has_record);
        assert!(sealed.is_some() || !self.open.is_empty(), "a record that is not durable is in a chunk");
        sealed.unwrap_or(&mut self.open_pending).others.push(waiting);
    }

    /// Whether a chunk can be sealed.
    #[must_use]
    pub fn has_open_chunk(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether reads wait for other workers' chunks: the loop then asks for a commit of nothing, to look again.
    #[must_use]
    pub fn has_gated_reads(&self) -> bool {
        !self.gated.is_empty()
    }

    /// Chunks handed over whose commit has not been processed.
    #[must_use]
    pub fn in_flight_count(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether the worker may take on more commands.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.in_flight.len() < limits::WORKER_CHUNKS_IN_FLIGHT_MAX
    }

    /// Closes the open chunk for the committer. `None` when it is empty.
    pub fn seal(&mut self) -> Option<Chunk> {
        if self.open.is_empty() {
            self.drop_unused_ticket();
            return None;
        }
        let mut chunk = std::mem::replace(&mut self.open, self.spare_chunks.pop().unwrap_or_default());
        chunk.close();
        let mut pending = std::mem::replace(&mut self.open_pending, self.spare_pending.pop().unwrap_or_default());
        pending.ticket = self.open_ticket.take().expect("a chunk with records has a ticket");
        let last_of_shards = chunk.records().chunk_by(|one, next| one.shard == next.shard).filter_map(<[_]>::last);
        pending.ends.extend(last_of_shards.map(|record| (record.shard, record.seq)));
        #[cfg(feature = "broken-variants")]
        acknowledge_too_early(&mut pending);
        self.in_flight.push_back(pending);
        Some(chunk)
    }

    /// A command that held cells but was not journaled left a ticket without a chunk.
    fn drop_unused_ticket(&mut self) {
        if self.open_ticket.take().is_some() {
            self.settle_tickets();
        }
    }

    fn settle_tickets(&mut self) {
        let oldest = self.in_flight.front().map(|pending| pending.ticket).or(self.open_ticket);
        self.shared.tickets.settle(self.index, oldest);
    }

    /// The oldest chunk in flight is durable; its first record has the position `base`.
    ///
    /// # Panics
    /// When no chunk is in flight: commits come in the order of the chunks.
    pub fn committed(&mut self, mut chunk: Chunk, base: Position) {
        let mut pending = self.in_flight.pop_front().expect("commits come in the order of the chunks");
        for (index, record) in chunk.records().iter().enumerate() {
            let position = base.plus(index as u64);
            let place = self.place_of(record.shard);
            let owned = &mut self.shards[place];
            owned.durable_seq = owned.durable_seq.max(record.seq);
            let job = pending.commands[record.slot as usize].take().expect("each record answers one command");
            self.finish(job, position);
        }
        for mut waiting in pending.others.drain(..) {
            if let Waiting::Account(view, _) = &mut waiting {
                let (shard, seq) = (view.shard, view.account.seq);
                let found = chunk.records().binary_search_by_key(&(shard, seq), |record| (record.shard, record.seq));
                let index = found.expect("a read waits for the chunk with the account's last record");
                view.account.position = Some(base.plus(index as u64));
            }
            answer(waiting);
        }
        pending.commands.clear();
        pending.ends.clear();
        chunk.clear();
        self.spare_chunks.push(chunk);
        self.spare_pending.push(pending);
        self.settle_tickets();
        self.open_gates();
    }

    /// Enters the ids of a durable record, drops its claims and answers.
    fn finish(&mut self, mut job: Box<CommandJob>, position: Position) {
        let place = self.place_of(job.outcome.shard);
        let number = job.outcome.account.expect("a record belongs to an account");
        self.shards[place].state.locate(number, job.outcome.seq, position);
        job.outcome.position = Some(position);
        let ids = &self.shared.ids;
        let entry = IdEntry { position, freed: false };
        if job.outcome.refusal().is_some() {
            ids.release(job.ids.subject);
        } else {
            ids.commit(job.ids.subject, entry);
            if let Some(receipt) = job.ids.freed {
                ids.insert(receipt, IdEntry { position, freed: true });
            }
            for taken in job.outcome.decision.cells.iter().filter(|taken| taken.used < 0) {
                self.shared.cells.release(taken.cell, -taken.used);
            }
        }
        ids.commit(job.ids.transaction, entry);
        answer(Waiting::Command(job));
    }

    /// Answers the reads whose cells have become durable.
    pub fn open_gates(&mut self) {
        let tickets = &self.shared.tickets;
        for gated in self.gated.extract_if(.., |gated| tickets.is_safe(gated.ticket)) {
            (gated.answer)();
        }
    }

    /// Hands out one slice of the snapshot, if one is being taken and there is room for it.
    pub fn snapshot_step(&mut self) {
        let Some((cursor, sink)) = &mut self.snapshot else { return };
        let Some(entities) = cursor.next_slice(&self.shards, |owned| &owned.state) else {
            self.snapshot_seqs = cursor.durable_at().to_vec();
            sink.finish();
            self.snapshot = None;
            return;
        };
        let ticket = self.open_ticket.unwrap_or(0).max(self.in_flight.back().map_or(0, |pending| pending.ticket));
        if let Err(refused) = sink.offer(Slice { entities, ticket }) {
            cursor.put_back(refused.entities);
        }
    }

    /// Whether a snapshot is being taken.
    #[must_use]
    pub fn is_taking_snapshot(&self) -> bool {
        self.snapshot.is_some()
    }

    /// The shards, when the worker has stopped with nothing in flight.
    ///
    /// # Panics
    /// When a chunk is open or in flight.
    #[must_use]
    pub fn into_shards(self) -> Vec<ShardState> {
        assert!(self.open.is_empty() && self.in_flight.is_empty(), "a worker stops when everything is durable");
        self.shards.into_iter().map(|owned| owned.state).collect()
    }
}

/// The time that picks the version: the receipt's, but never later than the posting, so that a version takes effect
/// only for what is posted after it was published.
#[must_use]
pub fn event_time(command: &Command, posted_at: TimestampNs) -> TimestampNs {
    match &command.kind {
        CommandKind::Accrue(basket) => basket.receipt_at.min(posted_at),
        CommandKind::Reverse(_) => posted_at,
    }
}

fn previous_record(state: &ShardState, number: AccountNumber, seq: Seq) -> PreviousRecord {
    match state.account(number) {
        None => PreviousRecord::None,
        Some(account) => match account.position {
            Some(position) => PreviousRecord::At(position),
            None => PreviousRecord::Back(seq.0 - account.seq.0),
        },
    }
}

fn empty_basket() -> crate::ledger::command::Basket {
    crate::ledger::command::Basket {
        store: crate::ledger::types::SymbolId::EMPTY,
        terminal: crate::ledger::types::SymbolId::EMPTY,
        cashier: crate::ledger::types::SymbolId::EMPTY,
        receipt_number: Box::default(),
        business_day: crate::ledger::types::Day(0),
        receipt_at: TimestampNs(0),
        lines: Vec::new(),
    }
}

/// The mistake that [`crate::sim::broken::Variant::AcknowledgeBeforeSync`] stands for.
#[cfg(feature = "broken-variants")]
fn acknowledge_too_early(pending: &mut Pending) {
    if !crate::sim::broken::is(crate::sim::broken::Variant::AcknowledgeBeforeSync) {
        return;
    }
    for job in pending.commands.iter_mut().flatten() {
        let (command, outcome) = (job.command.clone(), job.outcome.clone());
        let (stamp, ids, deadline_ns) = (job.stamp, job.ids, job.deadline_ns);
        if let Some(reply) = job.reply.take() {
            reply(Box::new(CommandJob { command, stamp, ids, deadline_ns, outcome, reply: None }));
        }
    }
}

fn answer(waiting: Waiting) {
    match waiting {
        Waiting::Command(mut job) => {
            if let Some(reply) = job.reply.take() {
                reply(job);
            }
        }
        Waiting::Account(view, reply) => reply(Some(view)),
        Waiting::Other(answer) => answer(),
    }
}

/// The decision of a job, for tests and tools that look at one.
#[must_use]
pub fn decision_of(job: &CommandJob) -> &Decision {
    &job.outcome.decision
}

/// A reply that drops the answer.
#[must_use]
pub fn no_reply<T: 'static>() -> Reply<T> {
    Box::new(drop)
}
