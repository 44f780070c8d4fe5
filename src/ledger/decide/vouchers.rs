//! Vouchers that are given, used, given back and cancelled.
//!
//! What must stay true: a voucher is used once, by a basket between its two instants that is large enough; what gave or used
//! one and comes back whole takes that back, as far as nobody used it since; a bonus that gives nothing but a voucher is not had
//! without it.

use crate::ledger::account::Account;
use crate::ledger::command::{Basket, Command};
use crate::ledger::decision::{Decision, Refusal};
use crate::ledger::program::VoucherKind;
use crate::ledger::state::Context;
use crate::ledger::types::{SymbolId, TimestampNs};
use crate::ledger::voucher::{Voucher, VoucherChange, VoucherCode, VoucherState};
use crate::limits;

/// Uses the vouchers that a basket names, or says why it cannot.
pub(super) fn redeem(
    account: &Account,
    command: &Command,
    basket: &Basket,
    context: &Context<'_>,
    out: &mut Decision,
) -> Result<(), Refusal> {
    if basket.vouchers.is_empty() {
        return Ok(());
    }
    // A till that was offline took it when the receipt was printed. When that begins is judged by the posting: a till
    // whose clock is a little behind is not to refuse what was given at once.
    let used_at = basket.receipt_at.min(context.posted_at);
    let user = VoucherCode::of_user(command.partner, &command.transaction_id);
    let amount_minor: i64 = basket.lines.iter().map(|line| line.amount_minor).sum();
    for code in &basket.vouchers {
        let voucher = find(account, *code, command.partner, context.posted_at)?;
        match voucher.state {
            VoucherState::Used(_) => return Err(Refusal::VoucherUsed),
            VoucherState::Cancelled => return Err(Refusal::VoucherCancelled),
            VoucherState::Open if context.posted_at < voucher.terms.starts_at => {
                return Err(Refusal::VoucherNotYetValid);
            }
            VoucherState::Open if used_at >= voucher.terms.ends_at => return Err(Refusal::VoucherExpired),
            VoucherState::Open if amount_minor < voucher.terms.minor_min => {
                return Err(Refusal::VoucherMinimumNotReached);
            }
            VoucherState::Open => out.effects.vouchers.push((*code, VoucherChange::Used(user))),
        }
    }
    Ok(())
}

/// A voucher that the partner gave; others are as if they did not exist.
fn find(account: &Account, code: VoucherCode, issuer: SymbolId, at: TimestampNs) -> Result<&Voucher, Refusal> {
    let found = account.voucher(code).filter(|voucher| voucher.is_kept(at) && voucher.terms.issuer == issuer);
    found.ok_or(Refusal::VoucherUnknown)
}

/// Gives the vouchers of the bonuses that were earned; none where a cap denied the command or holds what it was granted.
/// Bonuses that would have given nothing else are dropped then, before they are counted: they are due with what comes next.
/// Returns how many it gave.
pub(super) fn give(account: &Account, command: &Command, context: &Context<'_>, out: &mut Decision) -> u8 {
    let program = context.program;
    let mut number = 0;
    if program.vouchers.is_empty() || out.over_velocity.is_some() {
        return number;
    }
    let is_held = out.effects.held.is_some();
    let mut place = 0;
    while let Some(award) = out.bonuses.get(place).copied() {
        let bonus = program.bonus(award.bonus);
        let kind = bonus.and_then(|bonus| bonus.voucher).and_then(|index| program.voucher(index));
        let is_given = kind.is_some_and(|kind| {
            let may_give = !is_held && number < limits::VOUCHERS_OF_ONE_MAX;
            may_give && put(account, (command, number), kind, context, out).is_ok()
        });
        number += u8::from(is_given);
        if is_given || kind.is_none() || award.units > 0 {
            place += 1;
        } else {
            out.bonuses.remove(place);
        }
    }
    number
}

/// Gives a voucher that an operator asks for.
pub(super) fn issue(
    account: &Account,
    command: &Command,
    kind: SymbolId,
    context: &Context<'_>,
    out: &mut Decision,
) -> Result<(), Refusal> {
    let kind = context.program.vouchers.iter().find(|known| known.symbol == kind).ok_or(Refusal::VoucherUnknown)?;
    out.balance_after = account.balance(out.wallet, context.posted_at);
    put(account, (command, 0), kind, context, out)
}

/// Puts a voucher into the account, if there is room for one more.
pub(super) fn put(
    account: &Account,
    (command, number): (&Command, u8),
    kind: &VoucherKind,
    context: &Context<'_>,
    out: &mut Decision,
) -> Result<(), Refusal> {
    let at = context.posted_at;
    let code = VoucherCode::of(command.partner, &command.transaction_id, number);
    let kept = account.vouchers().iter().filter(|voucher| voucher.is_kept(at)).count();
    let is_full = kept + usize::from(number) >= limits::VOUCHERS_MAX;
    if is_full || account.voucher(code).is_some_and(|voucher| voucher.is_kept(at)) {
        return Err(Refusal::AccountLimitReached);
    }
    out.effects.vouchers.push((code, VoucherChange::Given(kind.terms(&context.program.zone, command.partner, at))));
    Ok(())
}

/// Cancels a voucher that the partner gave.
pub(super) fn cancel(
    account: &Account,
    command: &Command,
    code: VoucherCode,
    context: &Context<'_>,
    out: &mut Decision,
) -> Result<(), Refusal> {
    let voucher = find(account, code, command.partner, context.posted_at)?;
    match voucher.state {
        VoucherState::Used(_) => Err(Refusal::VoucherUsed),
        VoucherState::Cancelled => Err(Refusal::VoucherCancelled),
        VoucherState::Open if context.posted_at >= voucher.terms.ends_at => Err(Refusal::VoucherExpired),
        VoucherState::Open => {
            out.effects.vouchers.push((code, VoucherChange::Cancelled));
            out.balance_after = account.balance(out.wallet, context.posted_at);
            Ok(())
        }
    }
}

/// What becomes of the vouchers that a basket gave and used, when the last of it comes back: what it gave is cancelled unless
/// somebody used it, and what it used can be used again unless its time is over.
pub(super) fn take_back(
    account: &Account,
    command: &Command,
    original_id: &str,
    context: &Context<'_>,
    out: &mut Decision,
) {
    let at = context.posted_at;
    if account.vouchers().is_empty() {
        return;
    }
    for number in 0..limits::VOUCHERS_OF_ONE_MAX {
        let code = VoucherCode::of(command.partner, original_id, number);
        match find(account, code, command.partner, at).map(|voucher| voucher.state) {
            Ok(VoucherState::Open) => out.effects.vouchers.push((code, VoucherChange::Cancelled)),
            Ok(VoucherState::Used(_)) => out.effects.vouchers.push((code, VoucherChange::Kept)),
            Ok(VoucherState::Cancelled) | Err(_) => {}
        }
    }
    let user = VoucherState::Used(VoucherCode::of_user(command.partner, original_id));
    let used = account.vouchers().iter().filter(|voucher| voucher.state == user && at < voucher.terms.ends_at);
    out.effects.vouchers.extend(used.map(|voucher| (voucher.code, VoucherChange::GivenBack)));
}
