//! Commands: decided in their order, recorded, and answered batch by batch when they are durable.
//!
//! What must stay true: a command has a record or is refused, and either gives up its claims; a batch is answered when
//! the last thing that any of its answers shows is durable.

use std::sync::Arc;

use super::{Owned, Shared, Waiting, Worker};
use crate::ids::IdEntry;
use crate::journal::record::{EntryHeader, PreviousRecord, encode_entry, is_read_back};
use crate::ledger::command::{Command, CommandKind};
use crate::ledger::decision::{Decision, Outcome, Refusal};
use crate::ledger::draws;
use crate::ledger::program::Program;
use crate::ledger::state::{Change, Context, ShardState, shard_of_hash};
use crate::ledger::types::{AccountNumber, Position, Seq, TimestampNs};
use crate::metrics::Signs;
use crate::program::registry::Programs;
use crate::shard::freezing::Glance;
use crate::shard::job::{CommandBatch, CommandJob, Decided, Mailbox};

/// Commands whose memory is touched before the first of them is decided: few enough that what was touched is still at
/// hand when its turn comes.
pub(super) const LOOK_AHEAD_COMMANDS: usize = 64;

/// Which job of which batch of a chunk's batches a record answers; for batch [`Slot::OWN`], which of the records that
/// answer nobody it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) batch: u32,
    pub(super) job: u32,
}

impl Slot {
    /// The batch of a record that answers nobody.
    pub(super) const OWN: u32 = u32::MAX;
}

pub(super) fn index(length: usize) -> u32 {
    u32::try_from(length).expect("a chunk is bounded")
}

impl Worker {
    /// Decides a batch. Its answer waits for the open chunk if that holds one of its records, else for whatever its
    /// refusals depend on.
    pub(super) fn commands(&mut self, mut batch: CommandBatch, monotonic_ns: i64, mut after_each: impl FnMut(&Shared)) {
        let place = index(self.open_pending.batches.len());
        let mut has_records = false;
        self.told_change = 0;
        let mailbox = batch.mailbox().cloned();
        // Used by one command after the other, so that it stays where it is quick to reach.
        let mut decision = std::mem::take(&mut self.decision);
        let programs = std::mem::take(&mut self.programs);
        let mut number = 0;
        for window in batch.jobs.chunks_mut(LOOK_AHEAD_COMMANDS) {
            self.look_ahead(window);
            for job in window {
                if self.command(job, &programs, mailbox.as_deref(), &mut decision, monotonic_ns) {
                    self.open_pending.slots.push(Slot { batch: place, job: number });
                    has_records = true;
                }
                number += 1;
                after_each(&self.shared);
            }
        }
        (self.decision, self.programs) = (decision, programs);
        batch.tells_of = self.told_change;
        if has_records {
            self.open_pending.batches.push(batch);
            return;
        }
        let is_durable = |owned: &Owned| owned.state.seq <= owned.durable_seq;
        if batch.jobs.iter().all(|job| is_durable(&self.shards[self.place_of(job.outcome.shard)])) {
            return self.deliver(batch);
        }
        let last = if self.open.is_empty() { self.in_flight.back_mut() } else { Some(&mut self.open_pending) };
        let last = last.expect("a record that is not durable is in a chunk");
        last.others.push(Waiting::Batch(batch));
    }

    /// Finds the accounts of a batch, and touches what deciding will read. One kind of memory after the other: each loop
    /// reads what does not depend on its other reads, so that the waits for memory of many commands overlap.
    fn look_ahead(&self, jobs: &mut [Box<CommandJob>]) {
        let touched = jobs.iter().fold(0, |mix, job| mix ^ touch(&job.command));
        std::hint::black_box(touched);
        for job in &mut *jobs {
            job.outcome.shard = shard_of_hash(job.account_hash, self.shared.shard_count);
            job.outcome.account = self.shard_of(job).likely(job.account_hash);
        }
        let likely = |job: &CommandJob| self.shard_of(job).packed(job.outcome.account?);
        // The places of the accounts first, then what lies there.
        let touched = jobs.iter().filter_map(|job| likely(job)).fold(0, |mix, account| mix ^ account.seq.0);
        std::hint::black_box(touched);
        let touched = jobs.iter().filter_map(|job| likely(job)).fold(0, |mix, account| mix ^ account.touch());
        std::hint::black_box(touched);
        for job in jobs {
            job.outcome.account = self.shard_of(job).find_hashed(job.account_hash, &job.command.account_id);
        }
    }

    /// Touches what is noted of commands once they are durable, as [`Worker::look_ahead`] does before they are decided.
    pub(super) fn look_back(&self, slots: impl Iterator<Item = Slot> + Clone, batches: &[CommandBatch]) {
        let jobs = slots.filter(|slot| slot.batch != Slot::OWN);
        let jobs = jobs.map(|slot| &batches[slot.batch as usize].jobs[slot.job as usize]);
        let touched = jobs.clone().fold(0, |mix, job| mix ^ job.outcome.seq.0 ^ u64::from(job.ids.transaction.0[0]));
        std::hint::black_box(touched);
        let accounts = jobs.filter_map(|job| self.shard_of(job).packed(job.outcome.account?));
        std::hint::black_box(accounts.fold(0, |mix, account| mix ^ account.seq.0));
    }

    fn shard_of(&self, job: &CommandJob) -> &ShardState {
        &self.shards[self.place_of(job.outcome.shard)].state
    }

    /// Decides a command; whether it has a record.
    fn command(
        &mut self,
        job: &mut CommandJob,
        programs: &Programs,
        mailbox: Option<&dyn Mailbox>,
        decision: &mut Decision,
        monotonic_ns: i64,
    ) -> bool {
        let place = self.place_of(job.outcome.shard);
        let state = &self.shards[place].state;
        // One before it in the batch may have opened the account.
        let found = job.outcome.account;
        job.outcome.account = found.or_else(|| state.find_hashed(job.account_hash, &job.command.account_id));
        let glance = self.shared.freezes.glance();
        let refusal = loop {
            job.outcome.posted_at = self.posting_time(job.stamp, place, glance);
            if job.deadline_ns.is_some_and(|deadline_ns| deadline_ns <= monotonic_ns) {
                break Some(Refusal::DeadlineExpired);
            }
            if self.shared.clock_is_input && job.stamp < self.shards[place].state.posted_at {
                break Some(Refusal::PostingTimeRegressed);
            }
            let Some(program) = programs.in_force(event_time(&job.command, job.outcome.posted_at)) else {
                break Some(Refusal::ProgramNotInForce);
            };
            if has_another_day(job, programs) {
                break Some(Refusal::Overloaded);
            }
            if !self.decide(job, place, program, glance, decision) {
                // Cells were forgotten meanwhile. That is rare: it is posted later, so that it falls under none of them.
                continue;
            }
            if decision.is_journaled() {
                self.record(job, place, decision);
                leave(job, program, mailbox, decision);
                return true;
            }
            job.outcome.program = Some(program.clone());
            break decision.refusal();
        };
        let refusal = refusal.expect("what is granted is journaled");
        self.refuse(job, refusal);
        false
    }

    /// The posting time of what is stamped so: time never goes back in a shard, nor before what is frozen or forgotten.
    pub(super) fn posting_time(&self, stamp: TimestampNs, place: usize, glance: Glance) -> TimestampNs {
        let floor = self.shared.freezes.floor(glance).max(self.shared.cells.floor());
        stamp.max(self.shards[place].state.posted_at).max(floor)
    }

    /// Decides with the cells in hand, and leaves the use behind. False, and nothing is decided, when the posting time has
    /// become too early.
    fn decide(
        &mut self,
        job: &CommandJob,
        place: usize,
        program: &Program,
        glance: Glance,
        decision: &mut Decision,
    ) -> bool {
        let posted_at = job.outcome.posted_at;
        let state = &self.shards[place].state;
        self.rooms.clear();
        let cells = job.command.kind.returns_to();
        // Before the cells are held: whoever looks at freezes may wait for cells.
        let frozen = self.shared.freezes.refusal(glance, &job.command, posted_at);
        draws::list(program, &job.command, posted_at, &mut self.draws);
        let ticket = (!self.draws.is_empty() || !cells.is_empty())
            .then(|| *self.open_ticket.get_or_insert_with(|| self.shared.tickets.begin(self.index)));
        let mut held = ticket.map(|_| {
            let all = self.draws.iter().map(|draw| draw.cell).chain(cells.iter().map(|taken| taken.cell));
            let held = self.shared.cells.hold(all);
            self.rooms.extend(self.draws.iter().map(|draw| held.room(draw)));
            self.rooms.extend(cells.iter().map(|taken| held.return_to(taken)));
            held
        });
        if held.is_some() && posted_at < self.shared.cells.floor() {
            return false;
        }
        let context = Context { program, posted_at, rooms: &self.rooms, frozen };
        state.decide_for(job.outcome.account, &job.command, &context, &mut self.unpacked, decision);
        let Some((held, ticket)) = held.as_mut().zip(ticket) else { return true };
        if decision.refusal().is_some_and(Refusal::tells_of_cells) {
            let changed = self.draws.iter().map(|draw| held.changed(draw.cell)).max();
            self.told_change = self.told_change.max(changed.unwrap_or(0));
        }
        if decision.is_journaled() {
            held.take(decision.uses(), ticket);
            self.shared.cells.crossings.note(program, decision.uses());
            #[cfg(feature = "broken-variants")]
            if gives_room_back_early() {
                for taken in decision.uses().iter().filter(|taken| taken.used < 0) {
                    held.release(taken.cell, -taken.used);
                }
            }
        }
        true
    }

    /// Encodes and applies what was decided.
    ///
    /// # Panics
    /// When a record could not be read again: nobody is answered then, and the directory still opens.
    fn record(&mut self, job: &mut CommandJob, place: usize, decision: &Decision) {
        let state = &mut self.shards[place].state;
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
        if is_read_before_it_counts(&job.command.kind) {
            let written = self.open.records().last().map(|last| self.open.bytes_of(last));
            let is_read = written.is_some_and(is_read_back);
            assert!(is_read, "record {seq} of shard {} can be read again", state.id);
        }
        let change = Change {
            seq,
            position: None,
            posted_at: header.posted_at,
            account: number,
            account_id: &job.command.account_id,
            partner: job.command.partner,
            decision,
        };
        state.apply_unpacked(&change, &mut self.unpacked);
        self.sweep.note(decision);
        job.outcome.seq = seq;
        job.outcome.account = Some(number);
    }

    /// A refusal that has no record drops its claims.
    fn refuse(&self, job: &mut CommandJob, refusal: Refusal) {
        job.outcome.decision.clear();
        job.outcome.decision.outcome = Outcome::Refused(refusal);
        job.ids.claims().for_each(|key| self.shared.ids.release(key));
    }

    /// Notes where a durable record lies and which ids it used; [`Worker::settle_ids`] enters them.
    pub(super) fn finish(&mut self, job: &mut CommandJob, position: Position) {
        let place = self.place_of(job.outcome.shard);
        let number = job.outcome.account.expect("a record belongs to an account");
        self.shards[place].state.locate(number, job.outcome.seq, position);
        job.outcome.position = Some(position);
        let entry = IdEntry { position, freed: false };
        self.used_ids.push((job.ids.transaction, entry));
        self.claimed_ids.extend(job.ids.claims());
        if job.outcome.refusal().is_none() {
            if job.ids.subject != job.ids.transaction {
                self.used_ids.push((job.ids.subject, entry));
            }
            if let Some(receipt) = job.ids.freed {
                self.used_ids.push((receipt, IdEntry { position, freed: job.command.kind.frees() }));
            }
            #[cfg(feature = "broken-variants")]
            if gives_room_back_early() {
                return;
            }
            for taken in job.outcome.decision.cells.iter().filter(|taken| taken.used < 0) {
                self.shared.cells.release(taken.cell, -taken.used);
            }
        }
    }

    /// Enters the ids of the durable records, then drops their claims.
    pub(super) fn settle_ids(&mut self) {
        self.shared.ids.commit_many(&self.used_ids, &self.claimed_ids, &mut self.committing);
        self.used_ids.clear();
        self.claimed_ids.clear();
    }
}

/// Whether a receipt is named by another day than it has by the versions that are known now: one came between the gate and
/// here, and is in force at the receipt's date. By its own stamp that date lies further ahead than any version lets in, for
/// the new one had its notice ([`Programs::notice_ns`]); but what is posted later is let in. It comes again, and is named anew.
fn has_another_day(job: &CommandJob, programs: &Programs) -> bool {
    let CommandKind::Accrue(basket) = &job.command.kind else { return false };
    job.is_dated_before(programs.newest())
        && programs
            .in_force(basket.receipt_at)
            .is_some_and(|program| program.zone.day(basket.receipt_at) != basket.business_day)
}

/// Whether the record of such a command is read before it counts: they are few, and have lists that other commands bound. One
/// record that cannot be read would keep the directory from opening for ever.
fn is_read_before_it_counts(kind: &CommandKind) -> bool {
    matches!(kind, CommandKind::Operate(_) | CommandKind::Unburn(_) | CommandKind::Reverse(_) | CommandKind::Load(_))
}

/// Leaves a decision with its job: as much of the answer as its mailbox prepares, or all of it.
fn leave(job: &mut CommandJob, program: &Arc<Program>, mailbox: Option<&dyn Mailbox>, decision: &mut Decision) {
    job.outcome.signs = Signs::of(&job.command.kind, decision);
    let mut answer = std::mem::take(&mut job.outcome.answer);
    if let Some(mailbox) = mailbox {
        mailbox.prepare(&Decided { job, decision, program }, &mut answer);
    }
    if answer.is_empty() {
        std::mem::swap(&mut job.outcome.decision, decision);
        job.outcome.program = Some(program.clone());
    }
    job.outcome.answer = answer;
}

/// Reads a little of everything that deciding reads of a command.
fn touch(command: &Command) -> u64 {
    let last = |text: &str| text.as_bytes().last().map_or(0, |byte| u64::from(*byte));
    let more = match &command.kind {
        CommandKind::Accrue(basket) => {
            let line = basket.lines.first().map_or(0, |line| line.amount_minor);
            last(&basket.receipt_number) ^ line.cast_unsigned()
        }
        _ => 0,
    };
    last(&command.account_id) ^ last(&command.transaction_id) ^ more
}

#[cfg(feature = "broken-variants")]
fn gives_room_back_early() -> bool {
    crate::sim::broken::is(crate::sim::broken::Variant::RoomBeforeDurable)
}

/// The time that picks the version: the receipt's, but never later than the posting, so that a version takes effect
/// only for what is posted after it was published.
#[must_use]
pub fn event_time(command: &Command, posted_at: TimestampNs) -> TimestampNs {
    match &command.kind {
        CommandKind::Accrue(basket) => basket.receipt_at.min(posted_at),
        CommandKind::Act(activity) => activity.happened_at.min(posted_at),
        CommandKind::Reverse(_)
        | CommandKind::Unburn(_)
        | CommandKind::Redeem(_)
        | CommandKind::Enrol(_)
        | CommandKind::Load(_)
        | CommandKind::Operate(_)
        | CommandKind::Link(_)
        | CommandKind::Authorize(_)
        | CommandKind::Capture(_)
        | CommandKind::Void(_)
        | CommandKind::TopUp(_)
        | CommandKind::Refund(_)
        | CommandKind::Expire => posted_at,
    }
}

pub(super) fn previous_record(state: &ShardState, number: AccountNumber, seq: Seq) -> PreviousRecord {
    match state.packed(number) {
        None => PreviousRecord::None,
        Some(account) => match account.position() {
            Some(position) => PreviousRecord::At(position),
            None => PreviousRecord::Back(seq.0 - account.seq.0),
        },
    }
}
