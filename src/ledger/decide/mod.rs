//! Deciding: from an account, a command and its context to a decision with its reasons and effects.
//!
//! What must stay true: everything here is a function of its arguments (invariant 5) and changes nothing; what a
//! decision states as an effect can be applied.

mod accrual;
mod activity;
mod bounds;
mod catalogue;
mod cells;
mod holds;
mod lots;
mod money;
mod operator;
mod partner;
mod profile;
mod reversal;
mod rule_caps;
mod stamps;
mod tiers;
mod unburn;
mod vouchers;

use super::account::Account;
use super::command::{Command, CommandKind, Linking};
use super::decision::{Decision, Outcome, Refusal, TierStanding};
use super::operator::OperatorOrder;
use super::program::{AccountPolicy, Periods, Program, WhenSpent};
use super::state::Context;
use super::types::TimestampNs;

/// Decides a command for an account, or for one that is not there.
///
/// # Panics
/// When the context does not fit the command (rooms missing): a fault of the caller.
pub(super) fn decide(known: Option<&Account>, command: &Command, context: &Context<'_>, out: &mut Decision) {
    out.clear();
    out.program = context.program.version;
    // A refusal names it too, whoever refuses.
    out.wallet = command.kind.wallet().unwrap_or(context.program.earn.wallet);
    out.account_known = true;
    match partner::refuses(&command.kind, command.partner, context) {
        None => judge(known, command, context, out),
        Some(refusal) => out.outcome = Outcome::Refused(refusal),
    }
    if let Outcome::Refused(_) = out.outcome {
        refuse(known, command, context, out);
    }
    if context.program.when_spent == WhenSpent::Negative {
        let owed = known.map_or(0, |account| account.owed(out.wallet));
        out.balance_after -= owed + out.effects.owed.map_or(0, |(_, delta)| delta);
    }
}

/// Decides what the partner may ask for.
fn judge(known: Option<&Account>, command: &Command, context: &Context<'_>, out: &mut Decision) {
    match (&command.kind, known) {
        (CommandKind::Accrue(_) | CommandKind::Act(_) | CommandKind::Load(_) | CommandKind::TopUp(_) | CommandKind::Link(Linking { links: true, .. }), None)
            // Without an id nobody in particular is meant, which only a quote does: an account without history.
            if context.program.accounts == AccountPolicy::Enrolled && !command.account_id.is_empty() =>
        {
            out.outcome = Outcome::Refused(Refusal::AccountUnknown);
        }
        (CommandKind::Link(linking), None) if !linking.links => {
            out.outcome = Outcome::Refused(Refusal::IdentifierUnknown);
        }
        (CommandKind::Reverse(_) | CommandKind::Unburn(_) | CommandKind::Refund(_), None) => {
            out.outcome = Outcome::Refused(Refusal::OriginalUnknown);
        }
        (CommandKind::Capture(_) | CommandKind::Void(_), None) => {
            out.outcome = Outcome::Refused(Refusal::AuthorizationUnknown);
        }
        // A voucher of nobody's and one of somebody else's are the same to whoever asks.
        (CommandKind::Operate(operation), None) if matches!(operation.order, OperatorOrder::CancelVoucher(_)) => {
            out.outcome = Outcome::Refused(Refusal::VoucherUnknown);
        }
        (
            CommandKind::Redeem(_) | CommandKind::Authorize(_) | CommandKind::Operate(_) | CommandKind::Expire,
            None,
        ) => {
            out.outcome = Outcome::Refused(Refusal::AccountUnknown);
        }
        _ if context.frozen.is_some() => {
            // Before everything else about what is asked: nothing of a frozen subject is looked at.
            out.outcome = context.frozen.map_or(Outcome::Granted, Outcome::Refused);
        }
        (kind, found) => {
            out.effects.opens_account = found.is_none();
            // An account before its first record; creating it allocates nothing.
            let unopened = Account::default();
            let account = found.unwrap_or(&unopened);
            lots::post_expiry(account, context.posted_at, out);
            let settled = holds::post_ended(account, context.posted_at, out);
            let account = settled.as_ref().unwrap_or(account);
            match kind {
                CommandKind::Accrue(basket) => accrual::decide(account, command, basket, context, out),
                CommandKind::Act(activity) => activity::decide(account, command, activity, context, out),
                CommandKind::Reverse(reversal) => reversal::decide(account, command, reversal, context, out),
                CommandKind::Redeem(redemption) => lots::redeem(account, command, redemption, context, out),
                CommandKind::Authorize(asked) => note(holds::authorize(account, command, asked, context, out), out),
                CommandKind::Capture(capture) => note(holds::capture(account, command, capture, context, out), out),
                CommandKind::Void(of) => note(holds::void(account, command, of, context, out), out),
                CommandKind::Unburn(unburn) => unburn::decide(account, unburn, context, out),
                CommandKind::TopUp(asked) => note(money::top_up(account, command, asked, context, out), out),
                CommandKind::Refund(asked) => note(money::refund(account, asked, context, out), out),
                CommandKind::Load(loading) => lots::load(account, loading, context, out),
                CommandKind::Link(linking) => profile::link(account, linking, context, out),
                CommandKind::Enrol(enrolment) => profile::enrol(account, enrolment, context, out),
                CommandKind::Operate(operation) => {
                    operator::decide(account, command, &operation.order, context, out);
                }
                CommandKind::Expire => out.balance_after = account.balance(out.wallet, context.posted_at),
            }
        }
    }
}

/// The periods that contain an instant, for an account: its own years begin when it was opened.
#[must_use]
pub fn periods_of(account: &Account, program: &Program, at: TimestampNs) -> Periods {
    let (day, minute) = program.zone.day_and_minute(at);
    Periods::on(day, minute).of_account(accrual::opened_on(account, at, program))
}

/// Where an account stands on the ladder at an instant; `None` where the programme has none.
#[must_use]
pub fn standing_of(account: &Account, program: &Program, at: TimestampNs) -> Option<TierStanding> {
    tiers::standing(account, program, periods_of(account, program, at))
}

/// The level of an account at an instant, from 1; 0 for below the first, and where the programme has none.
#[must_use]
pub fn level_of(account: &Account, program: &Program, at: TimestampNs) -> u8 {
    standing_of(account, program, at).map_or(0, |standing| standing.level)
}

fn note(decided: Result<(), Refusal>, out: &mut Decision) {
    if let Err(refusal) = decided {
        out.outcome = Outcome::Refused(refusal);
    }
}

/// A refusal changes nothing; that a redemption or an authorization was refused is counted. What would have been granted
/// followed from the cells that were looked into, so that they are named still, and nothing is taken from them. (That a
/// redemption is refused on record says nothing of its stock but that there was enough.)
fn refuse(known: Option<&Account>, command: &Command, context: &Context<'_>, out: &mut Decision) {
    let (outcome, program, wallet, refundable) = (out.outcome, out.program, out.wallet, out.refundable);
    let mut seen = std::mem::take(&mut out.cells);
    if !matches!(command.kind, CommandKind::Accrue(_) | CommandKind::Act(_)) {
        seen.clear();
    }
    seen.iter_mut().for_each(|cell| cell.used = 0);
    out.clear();
    (out.outcome, out.program, out.wallet, out.refundable) = (outcome, program, wallet, refundable);
    out.cells = seen;
    out.account_known = known.is_some();
    out.balance_after = known.map_or(0, |account| account.balance(wallet, context.posted_at));
    if matches!(command.kind, CommandKind::Redeem(_) | CommandKind::Authorize(_)) && known.is_some() {
        out.effects.totals = super::decision::TotalsChange::of_refused_redemption();
    }
}

/// Whether an event may still be presented at its posting.
fn check_event_time(happened_at: TimestampNs, context: &Context<'_>) -> Result<(), Refusal> {
    let age_ns = i128::from(context.posted_at.0) - i128::from(happened_at.0);
    if age_ns > i128::from(context.program.late_limit_ns) {
        return Err(Refusal::ReceiptTooOld);
    }
    if -age_ns > i128::from(context.program.future_skew_ns) {
        return Err(Refusal::ReceiptInFuture);
    }
    Ok(())
}
