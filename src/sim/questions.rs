//! Quotes and reads: what they show must be durable, and must be what the model says of the same moment.
//!
//! The moment of a question is when its worker decides it. Of the commands on the same account that were decided before
//! in this life, the last that has a record is the one that the answer shows. All of them must have been answered by
//! then if they have one.
//!
//! What must stay true: an answer that shows something that a crash could take back is found here, without a crash.

use std::collections::BTreeMap;

use super::clients::Clients;
use super::compare;
use super::facts::{Action, Name, Verdict, uses_of};
use super::judge::{Event, judge, judge_activity, judge_most};
use super::life::Life;
use super::model::{AccountModel, Broken, Model, must, shown};
use super::partners::refusal_by_rules;
use super::rooms::Rooms;
use super::watch::{Glance, limit_of};
use crate::ledger::decision::Refusal;
use crate::ledger::types::Position;
use crate::shard::job::{AccountView, QuoteJob};

/// What held when a question was asked, and when it was decided.
#[derive(Clone, Debug)]
pub struct Question {
    /// The account.
    pub account: Name,
    /// Of a quote: who would issue, which member it is about, and the purchase or activity.
    pub quote: Option<(Name, Name, Action)>,
    /// The stamp.
    pub stamp: i64,
    /// The latest record of the account that any answer had shown.
    pub shown: u64,
    /// Commands on the account that had been decided before, and what the cells showed.
    pub decided: Option<(usize, BTreeMap<Name, Glance>)>,
    /// Freezes and thaws that were honoured when it was decided: a question announces no stamp, so one that comes later
    /// may lie before it.
    pub freeze_count: usize,
}

impl Question {
    /// The numbers of the records of which the answer may show the last: the one of the last command, or 0, and those
    /// that the ledger posted by itself after it.
    fn seen(&self, life: &Life, model: &Model) -> Result<Vec<u64>, Broken> {
        let Some((count, _)) = &self.decided else {
            return Err("a question is decided before it is answered".to_owned());
        };
        let decided = life.decided.get(&self.account).map_or(&[][..], Vec::as_slice);
        let recorded = decided[..*count].iter().rev().find_map(|call| life.recorded.get(call));
        let states = model.accounts.get(&self.account).map_or(&[][..], Vec::as_slice);
        let before = states.iter().rev().find(|state| state.position < life.began_at);
        let last = recorded.copied().or(before.map(|state| state.seq)).unwrap_or(0);
        let later = states.iter().skip_while(|state| state.seq <= last).take_while(|state| state.by_sweep);
        let mut seen = vec![last];
        seen.extend(later.map(|state| state.seq));
        seen.retain(|seq| *seq >= self.shown);
        must!(!seen.is_empty(), "account {} is shown at {} again, not at {last}", self.account, self.shown);
        Ok(seen)
    }

    /// A copy of an account.
    ///
    /// # Errors
    /// What was expected.
    pub fn check_read(
        &self,
        view: Option<&AccountView>,
        life: &Life,
        model: &Model,
        clients: &mut Clients,
    ) -> Result<(), Broken> {
        let seen = self.seen(life, model)?;
        let account = &self.account;
        let Some(view) = view else {
            must!(seen == [0], "account {account} is known since record {seen:?}");
            return Ok(());
        };
        let found = view.account.seq.0;
        let is_seen = seen.contains(&found);
        must!(is_seen, "a read of {account} shows one of the records {seen:?}, which are durable, and not {found}");
        let Some(state) = model.account_at(account, found).filter(|state| state.seq == found) else {
            return Err(format!("record {found} of account {account} is durable"));
        };
        compare::account(&view.account, state, &life.machine.dictionary, &model.ring, &model.versions)?;
        let position = Some(Position(state.position));
        must!(
            view.account.position == position,
            "a read of {account} says that its last record lies at {position:?}, not {:?}",
            view.account.position
        );
        must!(view.read_at.0 >= self.stamp, "an account is read when it is asked for or later");
        clients.show(account, found);
        Ok(())
    }

    /// A quote.
    ///
    /// # Errors
    /// What was expected.
    pub fn check_quote(&self, job: &QuoteJob, life: &Life, model: &Model, clients: &mut Clients) -> Result<(), Broken> {
        let seen = self.seen(life, model)?;
        let posted_at = job.outcome.posted_at.0;
        must!(posted_at >= self.stamp, "a quote is for now or later");
        let found = Verdict::of(&job.outcome.decision, &life.machine.dictionary, &model.ring);
        let refused_voucher = |partner: &Name, action: &Action, account: &AccountModel| match action {
            Action::Accrue { purchase, .. } => account.refusal_of_vouchers(partner, purchase, posted_at),
            _ => None,
        };
        let uses = uses_of(&job.outcome.decision, &life.machine.dictionary);
        let (Some((partner, member, action)), Some((_, glance))) = (&self.quote, &self.decided) else {
            return Err("a quote is about something".to_owned());
        };
        let happened_at = match action {
            Action::Accrue { purchase, .. } => purchase.receipt_at,
            Action::Act { happened_at, .. } => *happened_at,
            _ => return Err("a quote is about a purchase or an activity".to_owned()),
        };
        let judge = |event: &Event<'_>, rooms: Option<&mut Rooms<'_>>| match action {
            Action::Accrue { purchase, .. } => judge(event, purchase, rooms),
            Action::Act { kind, .. } => judge_activity(event, kind, rooms),
            _ => Err("a quote is about a purchase or an activity".to_owned()),
        };
        let Some((version, rules)) = model.version_at(happened_at.min(posted_at)) else {
            let expected = Some(Refusal::ProgramNotInForce);
            must!(found.refusal == expected, "no version judges the quote, so it is not {found:?}");
            return Ok(());
        };
        let freezes = model.freezes.first(self.freeze_count);
        let frozen = freezes.refusal(partner, &self.account, action, posted_at);
        let expected = refusal_by_rules(rules, partner, action, happened_at, posted_at, frozen);
        if expected.is_some() {
            must!(found.refusal == expected, "the quote is refused as {expected:?}, not {found:?}");
            return Ok(());
        }
        // Each state of the account that can have been seen, with a place for what comes back.
        let states: Vec<(u64, bool, AccountModel)> = seen
            .into_iter()
            .map(|seq| {
                let state = model.account_at(&self.account, seq).filter(|_| seq > 0);
                (seq, state.is_some(), state.unwrap_or(&AccountModel::default()).with_places(posted_at))
            })
            .collect();
        let (account_id, issuers) = (&*self.account, &model.issuers);
        let (_, balance_max) = rules.wallets[rules.earn_wallet];
        let about = |account| Event {
            rules,
            version,
            account,
            account_id,
            issuers,
            partner,
            member,
            happened_at,
            posted_at,
            transaction_id: "",
        };
        if found.refusal.is_some() {
            let mut nearest = None;
            for (_, _, account) in &states {
                if let Some(refusal) = refused_voucher(partner, action, account) {
                    if found.refusal == Some(refusal) {
                        return Ok(());
                    }
                    continue;
                }
                let expected = judge_most(&about(account), judge)?;
                if found.refusal == Some(Refusal::BalanceLimitExceeded) && expected.balance_after > balance_max {
                    return Ok(());
                }
                nearest = Some(expected);
            }
            return Err(format!("the quote is {nearest:?}, not {found:?}"));
        }
        for taken in uses.iter().filter(|_| !life.watch.is_blind()) {
            let nothing = Glance { version: 0, taken: 0 };
            let glanced = glance.get(&taken.cell).unwrap_or(&nothing);
            let room = limit_of(model, version, taken) - glanced.taken;
            let fits = (taken.room, taken.version) == (room, glanced.version + 1);
            must!(fits, "a quote finds room for {room} after {glanced:?}, not {taken:?}");
            let undurable = life.watch.first_undurable(&taken.cell, glanced.version);
            must!(undurable.is_none(), "a quote shows {taken:?} when it is durable, but use {undurable:?} is not");
        }
        let mut nearest = None;
        for (seq, is_open, account) in &states {
            if refused_voucher(partner, action, account).is_some() {
                continue;
            }
            let mut rooms = Rooms::new(&uses);
            let mut expected = judge(&about(account), Some(&mut rooms))?;
            let ended = account.ended(posted_at, issuers);
            expected.ended = ended.into_iter().map(|(name, _)| name.clone()).collect();
            expected.opens_account = !is_open;
            expected.left = None;
            let number = life.machine.dictionary.find(partner).map_or(0, |symbol| symbol.0);
            let of = (&**partner, number);
            expected.vouchers = account.vouchers_of_grant(rules, of, ("", action), posted_at, &expected);
            let fits = expected.balance_after <= balance_max;
            let expected = shown(Some(rules), Some(account), expected);
            if fits && expected == found {
                clients.show(&self.account, *seq);
                return Ok(());
            }
            nearest = Some(expected);
        }
        Err(format!("the quote is {nearest:?}, not {found:?}"))
    }
}
