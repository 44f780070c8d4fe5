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
use super::facts::{Name, Purchase, Verdict, uses_of};
use super::judge::{judge, refusal_by_time};
use super::life::Life;
use super::model::{AccountModel, Broken, Model, must};
use super::watch::{Glance, limit_of};
use crate::ledger::decision::Refusal;
use crate::ledger::types::Position;
use crate::shard::job::{AccountView, QuoteJob};

/// What held when a question was asked, and when it was decided.
#[derive(Clone, Debug)]
pub struct Question {
    /// The account.
    pub account: Name,
    /// Of a quote: who would issue, and for what.
    pub quote: Option<(Name, Purchase)>,
    /// The stamp.
    pub stamp: i64,
    /// The latest record of the account that any answer had shown.
    pub shown: u64,
    /// Commands on the account that had been decided before, and what the cells showed.
    pub decided: Option<(usize, BTreeMap<Name, Glance>)>,
}

impl Question {
    /// The number of the record that the answer shows, or 0.
    fn seen(&self, life: &Life, model: &Model) -> Result<u64, Broken> {
        let Some((count, _)) = &self.decided else {
            return Err("a question is decided before it is answered".to_owned());
        };
        let decided = life.decided.get(&self.account).map_or(&[][..], Vec::as_slice);
        let recorded = decided[..*count].iter().rev().find_map(|call| life.recorded.get(call));
        let states = model.accounts.get(&self.account).map_or(&[][..], Vec::as_slice);
        let before = states.iter().rev().find(|state| state.position < life.began_at);
        let seen = recorded.copied().or(before.map(|state| state.seq)).unwrap_or(0);
        must!(seen >= self.shown, "account {} is shown at {} again, not at {seen}", self.account, self.shown);
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
        late_limit_days: i64,
    ) -> Result<(), Broken> {
        let seen = self.seen(life, model)?;
        let account = &self.account;
        let Some(view) = view else {
            must!(seen == 0, "account {account} is known since record {seen}");
            return Ok(());
        };
        let found = view.account.seq.0;
        must!(found == seen, "a read of {account} shows record {seen}, which is durable, and not {found}");
        let Some(state) = model.account_at(account, seen).filter(|state| state.seq == seen) else {
            return Err(format!("record {seen} of account {account} is durable"));
        };
        compare::account(&view.account, state, &life.machine.dictionary, late_limit_days)?;
        let position = Some(Position(state.position));
        must!(
            view.account.position == position,
            "a read of {account} says that its last record lies at {position:?}, not {:?}",
            view.account.position
        );
        must!(view.read_at.0 >= self.stamp, "an account is read when it is asked for or later");
        clients.show(account, seen);
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
        let found = Verdict::of(&job.outcome.decision, &life.machine.dictionary);
        let uses = uses_of(&job.outcome.decision, &life.machine.dictionary);
        let (Some((partner, purchase)), Some((_, glance))) = (&self.quote, &self.decided) else {
            return Err("a quote has a purchase".to_owned());
        };
        let Some((version, rules)) = model.version_at(purchase.receipt_at.min(posted_at)) else {
            let expected = Some(Refusal::ProgramNotInForce);
            must!(found.refusal == expected, "no version judges the quote, so it is not {found:?}");
            return Ok(());
        };
        let by_time = refusal_by_time(rules, purchase.receipt_at, posted_at);
        if by_time.is_some() {
            must!(found.refusal == by_time, "the quote is refused as {by_time:?}, not {found:?}");
            return Ok(());
        }
        let unopened = AccountModel::default();
        let state = model.account_at(&self.account, seen).filter(|_| seen > 0);
        let account = state.unwrap_or(&unopened);
        let (_, balance_max) = rules.wallets[rules.earn_wallet];
        if found.refusal.is_some() {
            let expected = judge(rules, version, account, partner, purchase, posted_at, None)?;
            let is_right = found.refusal == Some(Refusal::BalanceLimitExceeded) && expected.balance_after > balance_max;
            must!(is_right, "the quote is {expected:?}, not {found:?}");
            return Ok(());
        }
        for taken in &uses {
            let nothing = Glance { version: 0, taken: 0 };
            let glanced = glance.get(&taken.cell).unwrap_or(&nothing);
            let room = limit_of(model, version, taken) - glanced.taken;
            let fits = (taken.room, taken.version) == (room, glanced.version + 1);
            must!(fits, "a quote finds room for {room} after {glanced:?}, not {taken:?}");
            let undurable = life.watch.first_undurable(&taken.cell, glanced.version);
            must!(undurable.is_none(), "a quote shows {taken:?} when it is durable, but use {undurable:?} is not");
        }
        let mut rooms = uses.iter().map(|taken| (&*taken.cell, taken.room));
        let mut expected = judge(rules, version, account, partner, purchase, posted_at, Some(&mut rooms))?;
        expected.opens_account = state.is_none();
        must!(expected.balance_after <= balance_max && expected == found, "the quote is {expected:?}, not {found:?}");
        clients.show(&self.account, seen);
        Ok(())
    }
}
