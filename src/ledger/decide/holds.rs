//! Setting units aside for a partner, burning them, giving them back.
//!
//! What must stay true: units are set aside in the order in which they would be burned, and burned in that order; what is
//! set aside does not die; what is given back has the terms that it had, and dies at once if it should have died.

use super::lots::{self, Source};
use crate::ledger::account::Account;
use crate::ledger::authorization::{Authorization, AuthorizationChange, AuthorizationChanges};
use crate::ledger::command::{AuthorizationOf, Capture, Command, SettingAside};
use crate::ledger::decision::{Decision, LotChange, LotKey, Movement, Refusal};
use crate::ledger::held::HeldName;
use crate::ledger::state::Context;
use crate::ledger::types::{SymbolId, TimestampNs, Units};
use crate::limits;

/// Gives back what is left of authorizations whose time has run out. Where there are any, the account with a place for
/// each lot that comes back alive.
pub(super) fn post_ended(account: &Account, at: TimestampNs, out: &mut Decision) -> Option<Account> {
    account.ended(at).next()?;
    for ended in account.ended(at) {
        ended.lots.iter().for_each(|(key, units)| give_back(*key, *units, at, out));
    }
    let ended = account.ended(at).map(|ended| name(ended.partner, &ended.transaction_id)).collect();
    out.effects.authorizations = Some(Box::new(AuthorizationChanges { ended, own: None }));
    Some(account.with_places(at))
}

/// Units go back to their lot; if that is dead they die.
fn give_back(key: LotKey, units: Units, at: TimestampNs, out: &mut Decision) {
    out.effects.lots.push(LotChange { key, delta: units, movement: Movement::GiveBack });
    if !key.is_alive(at) {
        out.effects.lots.push(LotChange { key, delta: -units, movement: Movement::Expire });
    }
}

fn name(partner: SymbolId, transaction_id: &str) -> HeldName {
    HeldName { partner, transaction_id: transaction_id.into() }
}

fn change(own: AuthorizationChange, out: &mut Decision) {
    out.effects.authorizations.get_or_insert_default().own = Some(own);
}

/// Sets units of a wallet aside.
pub(super) fn authorize(
    account: &Account,
    command: &Command,
    asked: &SettingAside,
    context: &Context<'_>,
    out: &mut Decision,
) -> Result<(), Refusal> {
    let at = context.posted_at;
    out.wallet = asked.wallet;
    if account.available(out.wallet, at) < asked.units {
        return Err(Refusal::InsufficientBalance);
    }
    let before = out.effects.lots.len();
    if lots::take(account, Source::of(asked.wallet), asked.units, Movement::SetAside, at, out) > 0 {
        return Err(Refusal::AccountLimitReached);
    }
    let open = || account.authorizations().iter().filter(|one| one.is_open(at));
    let lot_count = open().map(|one| one.lots.len()).sum::<usize>() + out.effects.lots.len() - before;
    if open().count() >= limits::AUTHORIZATIONS_MAX || lot_count > limits::AUTHORIZED_LOTS_MAX {
        return Err(Refusal::AccountLimitReached);
    }
    let most_ns = context.program.hold_ns;
    let hold_ns = asked.hold_seconds.map_or(most_ns, |seconds| most_ns.min(i64::from(seconds) * NS_PER_SECOND));
    let ends_at = TimestampNs(at.0.saturating_add(hold_ns));
    change(AuthorizationChange::Begins(name(command.partner, &command.transaction_id), ends_at), out);
    out.balance_after = account.balance(out.wallet, at);
    lots::extend(account, context.program.zone.day(at), 0, context, out);
    Ok(())
}

const NS_PER_SECOND: i64 = 1_000_000_000;

/// Burns units that are set aside.
pub(super) fn capture(
    account: &Account,
    command: &Command,
    asked: &Capture,
    context: &Context<'_>,
    out: &mut Decision,
) -> Result<(), Refusal> {
    let at = context.posted_at;
    let authorization = find(account, command, &asked.of, at)?;
    let left = authorization.left();
    if asked.units > left {
        return Err(Refusal::CaptureExceedsAuthorization);
    }
    out.wallet = authorization.wallet;
    let balance = account.balance(out.wallet, at);
    // What has been set aside keeps its terms: only the account's other units are put off.
    let reserved = 2 * authorization.lots.len() + 2;
    lots::extend(account, context.program.zone.day(at), reserved, context, out);
    for (key, taken, _) in authorization.divided(asked.units).filter(|(_, taken, _)| *taken > 0) {
        out.effects.lots.push(LotChange { key, delta: taken, movement: Movement::GiveBack });
        out.effects.lots.push(LotChange { key, delta: -taken, movement: Movement::Burn });
    }
    let rest = left - asked.units;
    let closes = asked.is_final || rest == 0;
    let mut died = 0;
    if closes {
        for (key, _, back) in authorization.divided(asked.units).filter(|(_, _, back)| *back > 0) {
            give_back(key, back, at, out);
            died += if key.is_alive(at) { 0 } else { back };
        }
    }
    let captured = authorization.captured.saturating_add(asked.units);
    let name = name(command.partner, &asked.of.transaction_id);
    change(AuthorizationChange::Captures { name, units: asked.units, captured, rest, closes }, out);
    out.effects.redemption_rate_bps = lots::redemption_rate(command, out.wallet, context);
    out.granted = -asked.units;
    out.balance_after = balance - asked.units - died;
    Ok(())
}

/// Gives back what is left of an authorization.
pub(super) fn void(
    account: &Account,
    command: &Command,
    of: &AuthorizationOf,
    context: &Context<'_>,
    out: &mut Decision,
) -> Result<(), Refusal> {
    let at = context.posted_at;
    let authorization = find(account, command, of, at)?;
    out.wallet = authorization.wallet;
    authorization.lots.iter().for_each(|(key, units)| give_back(*key, *units, at, out));
    let dead = authorization.lots.iter().filter(|(key, _)| !key.is_alive(at));
    out.balance_after = account.balance(out.wallet, at) - dead.map(|(_, units)| *units).sum::<Units>();
    let name = name(command.partner, &of.transaction_id);
    change(AuthorizationChange::Voids { name, captured: authorization.captured, rest: authorization.left() }, out);
    Ok(())
}

/// An authorization that is open.
fn find<'a>(
    account: &'a Account,
    command: &Command,
    of: &AuthorizationOf,
    at: TimestampNs,
) -> Result<&'a Authorization, Refusal> {
    if at >= of.ends_at {
        return Err(Refusal::AuthorizationExpired);
    }
    let open = account.authorization(command.partner, &of.transaction_id).filter(|one| one.is_open(at));
    open.ok_or(Refusal::AuthorizationClosed)
}
