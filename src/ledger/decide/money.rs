//! Money that is paid in, and money that goes back to where it came from.
//!
//! What must stay true: a top-up grants what was paid in and nothing else; a refund takes it out of the lot to which the
//! top-up granted it, or is refused: what was spent cannot go back, and nobody comes to owe it.

use super::{bounds, lots};
use crate::ledger::account::Account;
use crate::ledger::command::Command;
use crate::ledger::decision::{Decision, LotChange, Movement, Refusal, TotalsChange};
use crate::ledger::money::{Refund, TopUp};
use crate::ledger::state::Context;

/// Grants what was paid in.
pub(super) fn top_up(
    account: &Account,
    command: &Command,
    asked: &TopUp,
    context: &Context<'_>,
    out: &mut Decision,
) -> Result<(), Refusal> {
    (out.wallet, out.granted) = (asked.wallet, asked.units);
    let terms = context.program.money(asked.wallet).ok_or(Refusal::WalletNotMoney)?;
    if asked.units < terms.top_up_min {
        return Err(Refusal::TopUpTooSmall);
    }
    if asked.units > terms.top_up_max {
        return Err(Refusal::TopUpTooLarge);
    }
    let key = context.program.money_lot(asked.wallet, command.partner);
    out.effects.lots.push(LotChange { key, delta: asked.units, movement: Movement::Grant });
    bounds::check_balance(account, context, out);
    Ok(())
}

/// Takes back what a top-up granted, as far as it is there.
pub(super) fn refund(
    account: &Account,
    asked: &Refund,
    context: &Context<'_>,
    out: &mut Decision,
) -> Result<(), Refusal> {
    out.wallet = asked.lot.wallet;
    let lot = account.lots.iter().find(|lot| lot.key == asked.lot);
    let there = lot.map_or(0, |lot| lots::left(lot, out));
    if there < asked.units {
        out.refundable = there.min(asked.units.saturating_add(asked.left));
        return Err(Refusal::InsufficientBalance);
    }
    out.refundable = (there - asked.units).min(asked.left);
    out.effects.lots.push(LotChange { key: asked.lot, delta: -asked.units, movement: Movement::Reverse });
    out.effects.totals = TotalsChange::of_reversal();
    out.granted = -asked.units;
    out.balance_after = account.balance(out.wallet, context.posted_at) - asked.units;
    Ok(())
}
