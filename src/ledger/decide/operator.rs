//! What an operator asks: held units are released or rejected, dead ones come back, balances are corrected.
//!
//! What must stay true: a transaction is released or rejected once, and only while its units are held; a rejection gives
//! back what a reversal gives back, but for the receipt; what comes back does so with its issuer and its funding; taking
//! never goes below zero, and where the programme declares its partners, below nothing of what this one issued.

use super::lots::Source;
use super::{bounds, lots, reversal, vouchers};
use crate::ledger::account::Account;
use crate::ledger::command::Command;
use crate::ledger::decision::{Decision, LotChange, LotKey, Movement, Outcome, Refusal};
use crate::ledger::held::{HeldChange, HeldName};
use crate::ledger::operator::{Adjustment, HeldOriginal, OperatorOrder, Restoration};
use crate::ledger::state::Context;
use crate::ledger::types::Units;
use crate::limits;

pub(super) fn decide(
    account: &Account,
    command: &Command,
    order: &OperatorOrder,
    context: &Context<'_>,
    out: &mut Decision,
) {
    let decided = match order {
        OperatorOrder::Release(original) => release(account, command, original, context, out),
        OperatorOrder::Reject(original) => reject(account, command, original, context, out),
        OperatorOrder::Restore(restoration) => restore(account, command, restoration, context, out),
        OperatorOrder::Adjust(adjustment) => adjust(account, command, adjustment, context, out),
        OperatorOrder::IssueVoucher(kind) => vouchers::issue(account, command, *kind, context, out),
        OperatorOrder::CancelVoucher(code) => vouchers::cancel(account, command, *code, context, out),
    };
    if let Err(refusal) = decided {
        out.outcome = Outcome::Refused(refusal);
    }
}

/// The units go into the lot of the same terms that is not held: at once, or pending as they would have been. What of
/// them has died stays dead.
fn release(
    account: &Account,
    command: &Command,
    original: &HeldOriginal,
    context: &Context<'_>,
    out: &mut Decision,
) -> Result<(), Refusal> {
    let key = begin_review(account, command, original, out)?;
    if key.is_alive(context.posted_at) {
        let units = original.granted.units;
        out.effects.lots.push(LotChange { key, delta: -units, movement: Movement::Release });
        out.effects.lots.push(LotChange { key: key.released(), delta: units, movement: Movement::Release });
    }
    out.balance_after = account.balance(out.wallet, context.posted_at);
    Ok(())
}

fn reject(
    account: &Account,
    command: &Command,
    original: &HeldOriginal,
    context: &Context<'_>,
    out: &mut Decision,
) -> Result<(), Refusal> {
    let key = begin_review(account, command, original, out)?;
    if key.is_alive(context.posted_at) {
        out.granted = -original.granted.units;
        out.effects.lots.push(LotChange { key, delta: out.granted, movement: Movement::Reverse });
    } else {
        // They excuse no return of anything else.
        out.effects.gone = original.granted.units;
    }
    reversal::give_back(&original.granted, context, out);
    out.balance_after = account.balance(out.wallet, context.posted_at) + out.granted;
    Ok(())
}

/// The lot of a transaction that is held, whose review ends with this.
fn begin_review(
    account: &Account,
    command: &Command,
    original: &HeldOriginal,
    out: &mut Decision,
) -> Result<LotKey, Refusal> {
    let key = original.granted.lot.filter(LotKey::is_held).ok_or(Refusal::NotHeld)?;
    if !account.holds(command.partner, &original.transaction_id) {
        return Err(Refusal::AlreadyReviewed);
    }
    let name = HeldName { partner: command.partner, transaction_id: original.transaction_id.clone() };
    out.effects.held = Some(Box::new(HeldChange::Ends(name)));
    out.wallet = key.wallet;
    Ok(key)
}

/// Each lot comes back whole: a lot like it that dies at the new time.
fn restore(
    account: &Account,
    command: &Command,
    restoration: &Restoration,
    context: &Context<'_>,
    out: &mut Decision,
) -> Result<(), Refusal> {
    let may_come_back = |key: &LotKey| key.issuer == command.partner && !key.is_held();
    let first = restoration.lots.first().ok_or(Refusal::NotRestorable)?;
    if !restoration.lots.iter().all(|(key, _)| may_come_back(key)) || context.posted_at >= restoration.expires_at {
        return Err(Refusal::NotRestorable);
    }
    out.wallet = first.0.wallet;
    for (dead, units) in &restoration.lots {
        let key = LotKey { expires_at: restoration.expires_at, ..*dead };
        out.effects.lots.push(LotChange { key, delta: *units, movement: Movement::Restore });
        if key.wallet == out.wallet {
            out.granted = out.granted.saturating_add(*units);
        }
    }
    if out.effects.lots.len() > limits::LOT_CHANGES_MAX {
        return Err(Refusal::AccountLimitReached);
    }
    bounds::check_balance(account, context, out);
    Ok(())
}

fn adjust(
    account: &Account,
    command: &Command,
    adjustment: &Adjustment,
    context: &Context<'_>,
    out: &mut Decision,
) -> Result<(), Refusal> {
    let Adjustment { wallet, units, expires_at } = *adjustment;
    (out.wallet, out.granted) = (wallet, units);
    if units > 0 {
        let (program, today) = (context.program, context.program.zone.day(context.posted_at));
        let terms = program.earn.terms.lot(&program.zone, wallet, command.partner, today);
        let terms = LotKey { funding_rate_bps: program.funding_rate_bps(command.partner, wallet), ..terms };
        // An operator's word is not pending; a stated end is not put off.
        let key = match expires_at {
            // Money has no end, whoever grants it.
            _ if program.money(wallet).is_some() => program.money_lot(wallet, command.partner),
            None => LotKey { available_from_minute: 0, ..terms },
            Some(expires_at) => LotKey { available_from_minute: 0, inactive_days: 0, expires_at, ..terms },
        };
        out.effects.lots.push(LotChange { key, delta: units, movement: Movement::Grant });
        bounds::check_balance(account, context, out);
        return Ok(());
    }
    let wanted: Units = -units;
    let balance = account.balance(wallet, context.posted_at);
    // Where partners are declared, nobody takes what another owes.
    let issuer = context.program.partners.as_ref().map(|_| command.partner);
    let of = Source { wallet, issuer };
    let within_reach = account
        .alive(wallet, context.posted_at)
        .filter(|lot| of.is_reached(&lot.key, Movement::Reverse, context.posted_at));
    if within_reach.map(|lot| lots::left(lot, out)).sum::<Units>() < wanted {
        return Err(Refusal::InsufficientBalance);
    }
    if lots::take(account, of, wanted, Movement::Reverse, context.posted_at, out) > 0 {
        return Err(Refusal::AccountLimitReached);
    }
    out.balance_after = balance - wanted;
    Ok(())
}
