//! Reads: quotes, copies of accounts, surveys. None of them changes anything.
//!
//! What must stay true: what is told is durable: a read waits for the chunk that holds the last record that it shows,
//! and one that saw a cell for every chunk that the cell's value depends on (invariant 1).

use super::commands::event_time;
use super::{Gated, Waiting, Worker};
use crate::ledger::command::Command;
use crate::ledger::decision::{Outcome, Refusal};
use crate::ledger::digest::shard_digest;
use crate::ledger::draws;
use crate::ledger::held::{HeldName, HeldTransaction};
use crate::ledger::partner::Standing;
use crate::ledger::state::{Context, shard_of};
use crate::ledger::types::{Seq, ShardId};
use crate::limits;
use crate::shard::job::{AccountJob, AccountView, CommandOutcome, HeldPage, HeldQuery, QuoteJob, Reply, Survey};

impl Worker {
    pub(super) fn quote(&mut self, mut job: Box<QuoteJob>) {
        let shard = shard_of(&job.account_id, self.shared.shard_count);
        let place = self.place_of(shard);
        let state = &self.shards[place].state;
        let glance = self.shared.freezes.glance();
        let posted_at = self.posting_time(job.stamp, place, glance);
        let number = state.find(&job.account_id);
        job.outcome = CommandOutcome { shard, account: number, posted_at, ..CommandOutcome::default() };
        let command = Command {
            account_id: std::mem::take(&mut job.account_id).into(),
            transaction_id: String::new(),
            partner: job.partner,
            named_by: None,
            member: job.member,
            kind: std::mem::take(&mut job.kind),
        };
        let mut cells_changed = 0;
        if let Some(program) = self.programs.in_force(event_time(&command, posted_at)).cloned() {
            let frozen = self.shared.freezes.refusal(glance, &command, posted_at);
            draws::list(&program, &command, posted_at, &mut self.draws);
            let held = self.shared.cells.hold(self.draws.iter().map(|draw| draw.cell));
            self.rooms.clear();
            for draw in &self.draws {
                self.rooms.push(held.room(draw));
                cells_changed = held.changed(draw.cell).max(cells_changed);
            }
            let context = Context { program: &program, posted_at, rooms: &self.rooms, frozen };
            state.decide_for(number, &command, &context, &mut self.unpacked, &mut job.outcome.decision);
            drop(held);
            job.outcome.program = Some(program);
        } else {
            job.outcome.decision.outcome = Outcome::Refused(Refusal::ProgramNotInForce);
        }
        (job.account_id, job.kind) = (command.account_id.into(), command.kind);
        let depends_on = number.and_then(|number| state.packed(number)).map_or(Seq(0), |account| account.seq);
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

    pub(super) fn account(&mut self, job: AccountJob) {
        let shard = shard_of(&job.account_id, self.shared.shard_count);
        let place = self.place_of(shard);
        let state = &self.shards[place].state;
        let found = state.find(&job.account_id).and_then(|number| state.account(number));
        let Some(account) = found else { return (job.reply)(None) };
        let read_at = job.stamp.max(state.posted_at);
        let program = self.programs.in_force(read_at).cloned();
        let depends_on = account.seq;
        let view = Box::new(AccountView { account, shard, read_at, program });
        self.answer_when_durable(place, depends_on, Waiting::Account(view, job.reply));
    }

    /// What is held in a shard: of a bounded number of accounts, the rest is asked for again.
    pub(super) fn held(&mut self, query: HeldQuery) {
        let place = self.place_of(query.shard);
        let state = &self.shards[place].state;
        let (first, after) = &query.from;
        let mut page = HeldPage::default();
        for (looked_at, (number, account)) in state.holding(*first).enumerate() {
            if looked_at == limits::HELD_ACCOUNTS_LOOKED_AT_MAX {
                page.next = Some((number, HeldName::default()));
                break;
            }
            let is_next = |one: &HeldTransaction| number != *first || one.name() > *after;
            for one in account.held().iter().filter(|one| one.is_of(query.partner) && is_next(one)) {
                if page.found.len() == query.count_max {
                    let (last, _, told) = page.found.last().expect("a page has room for one");
                    page.next = Some((*last, told.name()));
                    break;
                }
                page.found.push((number, account.id.clone().into(), one.clone()));
            }
            if page.next.is_some() {
                break;
            }
        }
        let (depends_on, reply) = (state.seq, query.reply);
        self.answer_when_durable(place, depends_on, Waiting::Other(Box::new(move || reply(page))));
    }

    pub(super) fn survey(&mut self, with_digests: bool, reply: Reply<Survey>) {
        let states = self.shards.iter().map(|owned| &owned.state);
        let posted_at = states.clone().filter(|state| state.seq > Seq(0)).map(|state| state.posted_at).max();
        let survey = Survey {
            account_count: states.clone().map(|state| state.accounts().len() as u64).sum(),
            posted_at,
            digests: states.filter(|_| with_digests).map(|state| (state.id, shard_digest(state))).collect(),
        };
        self.answer_after_all(Box::new(move || reply(survey)));
    }

    pub(super) fn settle(&mut self, reply: Reply<Vec<(ShardId, Standing)>>) {
        let standings = self.shards.iter().map(|owned| (owned.state.id, Standing::of(&owned.state))).collect();
        self.answer_after_all(Box::new(move || reply(standings)));
    }

    /// What shows every record of every shard so far leaves with the last chunk that holds any.
    pub(super) fn answer_after_all(&mut self, answer: Box<dyn FnOnce() + Send>) {
        let open = (!self.open.is_empty()).then_some(&mut self.open_pending);
        match open.or(self.in_flight.back_mut()) {
            None => answer(),
            Some(last) => last.others.push(Waiting::Other(answer)),
        }
    }
}
