//! Lots: what dies, what is burned, and what was granted elsewhere.
//!
//! What must stay true: lots that die first are burned first, and of those that die together the first by key; a dead
//! lot is never burned, whether or not its expiry is posted.

use crate::ledger::account::{Account, Lot};
use crate::ledger::command::{Command, Loading, Redemption};
use crate::ledger::decision::{Decision, LotChange, LotKey, Movement, Outcome, Refusal};
use crate::ledger::program::{Expiry, Terms};
use crate::ledger::state::Context;
use crate::ledger::types::{Day, SymbolId, TimestampNs, Units, WalletId};
use crate::limits;

/// Posts the expiry of lots that are dead: a bounded number of them, the rest is left for the next record.
pub(super) fn post_expiry(account: &Account, posted_at: TimestampNs, out: &mut Decision) {
    for lot in &account.lots {
        // Hardly ever true: written so that nothing is done where it is not.
        if !lot.key.is_alive(posted_at) && out.effects.lots.len() < limits::EXPIRED_LOTS_POSTED_MAX {
            out.effects.lots.push(LotChange { key: lot.key, delta: -lot.remaining, movement: Movement::Expire });
        }
    }
}

/// Burns units of a wallet, or refuses.
pub(super) fn redeem(
    account: &Account,
    command: &Command,
    redemption: &Redemption,
    context: &Context<'_>,
    out: &mut Decision,
) {
    out.wallet = redemption.wallet;
    if let Err(refusal) = super::catalogue::take(account, redemption, context, out) {
        out.outcome = Outcome::Refused(refusal);
        return;
    }
    let balance = account.balance(out.wallet, context.posted_at);
    if account.available(out.wallet, context.posted_at) < redemption.units {
        out.outcome = Outcome::Refused(Refusal::InsufficientBalance);
        return;
    }
    if take(account, Source::of(redemption.wallet), redemption.units, Movement::Burn, context.posted_at, out) > 0 {
        out.outcome = Outcome::Refused(Refusal::AccountLimitReached);
        return;
    }
    out.effects.redemption_rate_bps = redemption_rate(command, redemption.wallet, context);
    out.granted = -redemption.units;
    out.balance_after = balance - redemption.units;
    extend(account, context.program.zone.day(context.posted_at), 0, context, out);
}

/// What the partner of a command receives for each unit that it burns, in basis points of a minor unit.
pub(super) fn redemption_rate(command: &Command, wallet: WalletId, context: &Context<'_>) -> u32 {
    context.program.redemption_rate_bps(command.partner, wallet)
}

/// Puts off the death of lots that die by inactivity, each by the days that it was earned with, whatever version is in
/// force: what the account's other changes leave of them goes into lots that die later. So many changes more must fit the
/// record. Where not all lots do, those that die first are put off, so that the next visit comes to the others.
pub(super) fn extend(account: &Account, day: Day, reserved: usize, context: &Context<'_>, out: &mut Decision) {
    let room = limits::LOT_CHANGES_MAX.saturating_sub(out.effects.lots.len() + reserved) / 2;
    if account.lots.len() <= room {
        return put_off(account.lots.iter(), day, reserved, context, out);
    }
    let mut lots: Vec<&Lot> = account.lots.iter().collect();
    lots.sort_unstable_by_key(|lot| (lot.key.expires_at, lot.key));
    put_off(lots.into_iter(), day, reserved, context, out);
}

/// Puts off the death of lots one after the other, as long as there is room for them.
fn put_off<'a>(
    lots: impl Iterator<Item = &'a Lot>,
    day: Day,
    reserved: usize,
    context: &Context<'_>,
    out: &mut Decision,
) {
    // Mostly all lots have the same days, so that the midnight is looked for once.
    let mut last = None;
    // What is held is not put off: it lies in the lot that its transaction names.
    for lot in lots {
        let is_put_off = lot.key.is_extended() && !lot.key.is_held() && lot.key.is_alive(context.posted_at);
        if !is_put_off {
            continue;
        }
        let Some(days) = inactive_days(lot, context) else { continue };
        let expires_at = match last {
            Some((known, expires_at)) if known == days => expires_at,
            _ => {
                let terms = Terms { expiry: Expiry::AfterInactivity(days), ..Terms::default() };
                terms.expires_at(&context.program.zone, day)
            }
        };
        last = Some((days, expires_at));
        if lot.key.expires_at >= expires_at || out.effects.lots.len() + 2 + reserved > limits::LOT_CHANGES_MAX {
            continue;
        }
        let left = left(lot, out);
        if left > 0 {
            let to = LotKey { expires_at, ..lot.key };
            out.effects.lots.push(LotChange { key: lot.key, delta: -left, movement: Movement::Extend });
            out.effects.lots.push(LotChange { key: to, delta: left, movement: Movement::Extend });
        }
    }
}

/// By how many days the death of a lot is put off; `None` where the version in force has to say, and says none.
fn inactive_days(lot: &Lot, context: &Context<'_>) -> Option<u16> {
    match (lot.key.inactive_days, context.program.earn.terms.expiry) {
        (LotKey::AS_IN_FORCE, Expiry::AfterInactivity(days)) => Some(days),
        (LotKey::AS_IN_FORCE, _) => None,
        (days, _) => Some(days),
    }
}

/// What the decision's changes so far leave in a lot.
pub(super) fn left(lot: &Lot, out: &Decision) -> Units {
    let changes = out.effects.lots.iter().filter(|change| change.key == lot.key).map(|change| change.delta);
    lot.remaining + changes.sum::<Units>()
}

/// Which lots units are taken from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    /// Their wallet.
    pub wallet: WalletId,
    /// Who issued them; `None` stands for anybody.
    pub issuer: Option<SymbolId>,
}

impl Source {
    /// Units of a wallet, whoever issued them.
    pub(super) fn of(wallet: WalletId) -> Self {
        Self { wallet, issuer: None }
    }

    /// Whether such a movement may take from a lot of the wallet that is alive.
    pub(super) fn is_reached(&self, lot: &LotKey, movement: Movement, at: TimestampNs) -> bool {
        let is_fit = match movement {
            Movement::Burn | Movement::SetAside => lot.is_available(at),
            // What is held is accounted for by the transactions that are held, and by nothing else.
            _ => !lot.is_held(),
        };
        is_fit && self.issuer.is_none_or(|issuer| lot.issuer == issuer)
    }
}

/// Takes units from lots that are alive, those that die first before others, beside what earlier changes
/// of the decision take. Returns what could not be taken.
pub(super) fn take(
    account: &Account,
    source: Source,
    units: Units,
    movement: Movement,
    at: TimestampNs,
    out: &mut Decision,
) -> Units {
    let mut missing = units;
    // Each round takes from the next lot in the order of death; most takings end with the first or second.
    let mut last: Option<(TimestampNs, &Lot)> = None;
    while missing > 0 && out.effects.lots.len() < limits::LOT_CHANGES_MAX {
        let order = |lot: &&Lot| (lot.key.expires_at, lot.key);
        let after = |lot: &&Lot| last.is_none_or(|(expires_at, last)| order(lot) > (expires_at, last.key));
        let reached = |lot: &&Lot| source.is_reached(&lot.key, movement, at);
        let alive = account.alive(source.wallet, at).filter(reached);
        let Some(next) = alive.filter(after).min_by_key(order) else { break };
        last = Some((next.key.expires_at, next));
        let taken = left(next, out).min(missing);
        if taken > 0 {
            out.effects.lots.push(LotChange { key: next.key, delta: -taken, movement });
            missing -= taken;
        }
    }
    missing
}

/// Takes what the account owes out of what it is granted. For every bound and counter that is granted all the same. What
/// is held, or granted dead, is not there to be taken.
pub(super) fn collect(account: &Account, context: &Context<'_>, out: &mut Decision) {
    let owed = account.owed(out.wallet);
    if owed == 0 || out.effects.held.is_some() {
        return;
    }
    let grant = out.effects.lots.iter().find(|change| change.movement == Movement::Grant).copied();
    if let Some(grant) = grant.filter(|grant| grant.key.is_alive(context.posted_at)) {
        let delta = -grant.delta.min(owed);
        out.effects.lots.push(LotChange { delta, movement: Movement::Reverse, ..grant });
        out.effects.owed = Some((out.wallet, delta));
    }
}

/// Grants the lots of an opening balance.
pub(super) fn load(account: &Account, loading: &Loading, context: &Context<'_>, out: &mut Decision) {
    let mut granted: Units = 0;
    for (key, units) in &loading.lots {
        out.wallet = key.wallet;
        granted = granted.saturating_add(*units);
        let program = context.program;
        let key = match program.money(key.wallet) {
            Some(_) => program.money_lot(key.wallet, key.issuer),
            None => LotKey { funding_rate_bps: program.funding_rate_bps(key.issuer, key.wallet), ..*key },
        };
        out.effects.lots.push(LotChange { key, delta: *units, movement: Movement::Grant });
    }
    (out.earned, out.granted) = (granted, granted);
    super::bounds::check_balance(account, context, out);
}
