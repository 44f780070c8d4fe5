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

mod commands;
mod reads;
mod sweep;

use std::collections::VecDeque;
use std::sync::Arc;

use super::freezing::FreezeLog;
use super::job::{AccountView, CommandBatch, Job, Reply, Slice, SliceSink};
use super::proposing::ProposalLog;
use super::tickets::Tickets;
use crate::access::keys::KeyLog;
use crate::cells::{Cells, Ticket};
use crate::ids::{Committing, IdEntry, IdIndex, IdKey};
use crate::journal::chunk::Chunk;
use crate::ledger::decision::Decision;
use crate::ledger::draws::Draw;
use crate::ledger::packed::Unpacked;
use crate::ledger::state::{CellRoom, ShardState};
use crate::ledger::types::{AccountNumber, Position, Seq, ShardId, TimestampNs};
use crate::limits;
use crate::program::registry::Programs;
use crate::snapshot::cursor::SnapshotCursor;
use commands::Slot;
pub use commands::event_time;
use sweep::Sweep;

/// What all workers share.
pub struct Shared {
    /// Cells.
    pub cells: Cells,
    /// Transaction ids, receipts, reversals.
    pub ids: IdIndex,
    /// Who may call.
    pub keys: Arc<KeyLog>,
    /// What is frozen.
    pub freezes: FreezeLog,
    /// What waits for a second person.
    pub proposals: ProposalLog,
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
    /// Commands without a record.
    Batch(CommandBatch),
    /// A copy of an account, to be told with the position that the commit gives its last record.
    Account(Box<AccountView>, Reply<Option<Box<AccountView>>>),
    /// Anything else that depends on the chunk.
    Other(Box<dyn FnOnce() + Send>),
}

/// A chunk and whom to answer when it is durable.
#[derive(Default)]
struct Pending {
    ticket: Ticket,
    /// Batches of which at least one command has its record in the chunk.
    batches: Vec<CommandBatch>,
    /// Whom each record answers, by the slot of the record.
    slots: Vec<Slot>,
    /// The accounts of records that answer nobody.
    own: Vec<AccountNumber>,
    others: Vec<Waiting>,
    /// The last record of each shard in the chunk; filled when the chunk is sealed.
    ends: Vec<(ShardId, Seq)>,
    /// The latest time of a posting in the chunk; filled likewise.
    posted_at: TimestampNs,
}

/// An answer about cells that waits until every change up to a ticket is durable.
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
    /// The last change of a cell for which a command of the present batch was refused without a record; 0 for none.
    told_change: Ticket,
    draws: Vec<Draw>,
    rooms: Vec<CellRoom>,
    unpacked: Unpacked,
    decision: Decision,
    used_ids: Vec<(IdKey, IdEntry)>,
    claimed_ids: Vec<IdKey>,
    committing: Committing,
    spare_chunks: Vec<Chunk>,
    spare_pending: Vec<Pending>,
    snapshot: Option<(SnapshotCursor, Box<dyn SliceSink>)>,
    sweep: Sweep,
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
            told_change: 0,
            draws: Vec::new(),
            rooms: Vec::new(),
            unpacked: Unpacked::default(),
            decision: Decision::default(),
            used_ids: Vec::new(),
            claimed_ids: Vec::new(),
            committing: Committing::default(),
            spare_chunks: Vec::new(),
            spare_pending: Vec::new(),
            snapshot: None,
            sweep: Sweep::default(),
            snapshot_seqs,
        }
    }

    fn place_of(&self, shard: ShardId) -> usize {
        assert_eq!(worker_of(shard, self.worker_count), self.index, "the router knows whose shard it is");
        usize::from(shard.0) / self.worker_count
    }

    /// Does one job. `monotonic_ns` is the time read once for the batch, for deadlines only.
    pub fn execute(&mut self, job: Job, monotonic_ns: i64) {
        self.execute_watched(job, monotonic_ns, |_| {});
    }

    /// Does one job. `after_each` is called after each command of a batch was decided.
    pub fn execute_watched(&mut self, job: Job, monotonic_ns: i64, after_each: impl FnMut(&Shared)) {
        match job {
            Job::Commands(batch) => self.commands(batch, monotonic_ns, after_each),
            Job::Quote(job) => self.quote(job),
            Job::Account(job) => self.account(*job),
            Job::AccountId(shard, account, reply) => {
                let owned = &self.shards[self.place_of(shard)];
                reply(owned.state.packed(account).map(|found| found.id().into()));
            }
            Job::Count(reply) => {
                reply(self.shards.iter().map(|owned| owned.state.accounts().len() as u64).sum());
            }
            Job::Held(query) => self.held(*query),
            Job::Survey(with_digests, reply) => self.survey(with_digests, reply),
            Job::Settled(reply) => self.answer_after_all(Box::new(move || reply(()))),
            Job::Settle(reply) => self.settle(reply),
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

    fn answer_when_durable(&mut self, place: usize, depends_on: Seq, waiting: Waiting) {
        if depends_on <= self.shards[place].durable_seq {
            return self.answer(waiting);
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

    /// Records that can be sealed.
    #[must_use]
    pub fn open_record_count(&self) -> usize {
        self.open.records().len()
    }

    /// What each of its shards has come to, durable or not, in which anything was posted.
    pub fn posting_times(&self) -> impl Iterator<Item = TimestampNs> {
        self.shards.iter().filter(|owned| owned.state.seq > Seq(0)).map(|owned| owned.state.posted_at)
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
        let posted = pending.ends.iter().map(|end| self.shards[self.place_of(end.0)].state.posted_at);
        pending.posted_at = posted.max().expect("a chunk with records has a last one");
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
            if index.is_multiple_of(commands::LOOK_AHEAD_COMMANDS) {
                let ahead = chunk.records().iter().skip(index).take(commands::LOOK_AHEAD_COMMANDS);
                self.look_back(ahead.map(|record| pending.slots[record.slot as usize]), &pending.batches);
            }
            let position = base.plus(index as u64);
            let place = self.place_of(record.shard);
            let owned = &mut self.shards[place];
            owned.durable_seq = owned.durable_seq.max(record.seq);
            let slot = pending.slots[record.slot as usize];
            if slot.batch == Slot::OWN {
                owned.state.locate(pending.own[slot.job as usize], record.seq, position);
                continue;
            }
            let batch = &mut pending.batches[slot.batch as usize];
            self.finish(&mut batch.jobs[slot.job as usize], position);
        }
        self.shared.cells.note_posted(pending.posted_at);
        self.settle_ids();
        pending.batches.drain(..).for_each(|batch| self.deliver(batch));
        for mut waiting in pending.others.drain(..) {
            if let Waiting::Account(view, _) = &mut waiting {
                let (shard, seq) = (view.shard, view.account.seq);
                let found = chunk.records().binary_search_by_key(&(shard, seq), |record| (record.shard, record.seq));
                let index = found.expect("a read waits for the chunk with the account's last record");
                view.account.position = Some(base.plus(index as u64));
            }
            self.answer(waiting);
        }
        pending.slots.clear();
        pending.own.clear();
        pending.ends.clear();
        chunk.clear();
        self.spare_chunks.push(chunk);
        self.spare_pending.push(pending);
        self.settle_tickets();
        self.open_gates();
    }

    /// Answers a batch of which everything is durable in this worker's shards: at once, or when it is so of what it tells
    /// of shared cells (invariant 1).
    fn deliver(&mut self, batch: CommandBatch) {
        let ticket = batch.tells_of;
        if ticket == 0 || self.shared.tickets.is_safe(ticket) {
            return batch.deliver();
        }
        self.gated.push(Gated { ticket, answer: Box::new(move || batch.deliver()) });
    }

    fn answer(&mut self, waiting: Waiting) {
        match waiting {
            Waiting::Batch(batch) => self.deliver(batch),
            Waiting::Account(view, reply) => reply(Some(view)),
            Waiting::Other(answer) => answer(),
        }
    }

    /// Answers whoever waited for cells that have become durable.
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
            sink.finish(cursor.account_counts());
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

/// The mistake that [`crate::sim::broken::Variant::AcknowledgeBeforeSync`] stands for.
#[cfg(feature = "broken-variants")]
fn acknowledge_too_early(pending: &mut Pending) {
    if !crate::sim::broken::is(crate::sim::broken::Variant::AcknowledgeBeforeSync) {
        return;
    }
    for batch in &mut pending.batches {
        batch.deliver_a_copy();
    }
}
