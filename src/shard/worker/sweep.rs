//! The sweep: posts the expiry of lots that are dead, and the end of authorizations whose time has run out, for accounts that have no record of their own to post it with.
//!
//! What must stay true:
//! - a dead lot counts for nothing whether or not its expiry is posted, so the sweep may be late;
//! - a step looks at a bounded number of accounts and posts a bounded number of records, so that the commands between
//!   two steps wait no longer at a midnight on which many lots die;
//! - what dies is judged by the latest posting time that the worker has seen, and by no later one than the clock's: of a
//!   clock that ran ahead, one shard may have a record, and the others must not lose by it. Records bear that time, or
//!   their shard's where that is later.

use super::Worker;
use super::commands::Slot;
use crate::journal::record::{EntryHeader, encode_entry};
use crate::ledger::authorization::AuthorizationChange;
use crate::ledger::command::{Command, CommandKind};
use crate::ledger::decision::Decision;
use crate::ledger::state::{Change, Context};
use crate::ledger::types::{AccountNumber, SymbolId, TimestampNs};
use crate::limits;

/// Where the sweep is, and when it is to begin again.
#[derive(Debug)]
pub(super) struct Sweep {
    /// The shard's place and the account's index that come next; `None` while the sweep rests.
    next: Option<(usize, usize)>,
    /// The earliest death of a lot that the sweep under way will have left behind.
    due_next: TimestampNs,
    /// The earliest death of a lot that is alive, so far as is known. Until then the sweep rests.
    due: TimestampNs,
    decision: Decision,
}

impl Default for Sweep {
    fn default() -> Self {
        let (never, first) = (TimestampNs(i64::MAX), Some((0, 0)));
        Self { next: first, due_next: never, due: never, decision: Decision::default() }
    }
}

impl Sweep {
    /// Notes the death of a lot that was granted, that came back or was given back, and the end of an authorization.
    pub(super) fn note(&mut self, decision: &Decision) {
        for grant in decision.effects.lots.iter().filter(|lot| lot.movement.adds()) {
            self.note_due(grant.key.expires_at);
        }
        let changes = decision.effects.authorizations.as_deref();
        if let Some(AuthorizationChange::Begins(_, ends_at)) = changes.and_then(|changes| changes.own.as_ref()) {
            self.note_due(*ends_at);
        }
    }

    fn note_due(&mut self, due: TimestampNs) {
        self.due = self.due.min(due);
        self.due_next = self.due_next.min(due);
    }
}

impl Worker {
    /// Whether a sweep is under way, or due by the clock's `now`.
    #[must_use]
    pub fn may_sweep(&self, now: TimestampNs) -> bool {
        !self.shared.clock_is_input && (self.sweep.next.is_some() || self.swept_until(now) >= self.sweep.due)
    }

    /// By when lots and authorizations are over for the sweep.
    fn swept_until(&self, now: TimestampNs) -> TimestampNs {
        let latest = self.shards.iter().map(|owned| owned.state.posted_at).max();
        latest.map_or(TimestampNs(i64::MIN), |latest| latest.min(now))
    }

    /// Goes on with the sweep, a small step; begins it when a lot has died since the last. `now` is the clock's.
    pub fn sweep_step(&mut self, now: TimestampNs) {
        if self.shared.clock_is_input || !self.has_room() {
            return;
        }
        let latest = self.swept_until(now);
        let Some((mut place, mut index)) = self.sweep.next.or((latest >= self.sweep.due).then_some((0, 0))) else {
            return;
        };
        let (mut looked_at, mut posted) = (0, 0);
        while looked_at < limits::SWEEP_ACCOUNTS_MAX && posted < limits::SWEEP_RECORDS_MAX {
            let Some(owned) = self.shards.get(place) else {
                // All were looked at.
                self.sweep.next = None;
                self.sweep.due = self.sweep.due_next;
                self.sweep.due_next = TimestampNs(i64::MAX);
                return;
            };
            let Some(packed) = owned.state.all_packed().get(index) else {
                (place, index) = (place + 1, 0);
                continue;
            };
            looked_at += 1;
            let number = AccountNumber(super::commands::index(index));
            self.unpacked.load(owned.state.id, number, packed, "");
            let account = &self.unpacked.account;
            let alive = account.lots.iter().filter(|lot| lot.key.is_alive(latest)).map(|lot| lot.key.expires_at);
            let open = account.authorizations().iter().filter(|one| one.is_open(latest)).map(|one| one.ends_at);
            self.sweep.due_next =
                alive.chain(open).min().map_or(self.sweep.due_next, |due| due.min(self.sweep.due_next));
            let is_over =
                account.lots.iter().any(|lot| !lot.key.is_alive(latest)) || account.ended(latest).next().is_some();
            if is_over && !account.id.is_empty() {
                // An account with more dead lots than one record posts is looked at again.
                posted += 1;
                let at = latest.max(owned.state.posted_at);
                if !self.post_expiry(place, number, at) {
                    index += 1;
                }
                continue;
            }
            index += 1;
        }
        self.sweep.next = Some((place, index));
    }

    /// Whether a sweep is under way.
    #[must_use]
    pub fn is_sweeping(&self) -> bool {
        self.sweep.next.is_some() && !self.shared.clock_is_input
    }

    /// Posts the expiry of an account's dead lots and the end of its authorizations; whether there may be more.
    fn post_expiry(&mut self, place: usize, number: AccountNumber, at: TimestampNs) -> bool {
        let state = &mut self.shards[place].state;
        let Some(program) = self.programs.in_force(at).cloned() else { return false };
        let command = Command {
            account_id: String::new(),
            transaction_id: String::new(),
            partner: SymbolId::EMPTY,
            kind: CommandKind::Expire,
            ..Command::default()
        };
        let decision = &mut self.sweep.decision;
        let context = Context { program: &program, posted_at: at, rooms: &[], frozen: None };
        state.decide_for(Some(number), &command, &context, &mut self.unpacked, decision);
        let is_full = decision.effects.lots.len() >= limits::EXPIRED_LOTS_POSTED_MAX;
        let seq = state.seq.next();
        let previous = super::commands::previous_record(state, number, seq);
        let header = EntryHeader { previous, account: number, posted_at: at };
        if self.open_ticket.is_none() {
            self.open_ticket = Some(self.shared.tickets.begin(self.index));
        }
        self.open.push(state.id, seq, |out| encode_entry(out, &header, &command, decision));
        let change = Change {
            seq,
            position: None,
            posted_at: at,
            account: number,
            account_id: "",
            partner: command.partner,
            decision,
        };
        state.apply_unpacked(&change, &mut self.unpacked);
        let decision = std::mem::take(&mut self.sweep.decision);
        self.sweep.note(&decision);
        self.sweep.decision = decision;
        self.open_pending
            .slots
            .push(Slot { batch: Slot::OWN, job: super::commands::index(self.open_pending.own.len()) });
        self.open_pending.own.push(number);
        is_full
    }
}
