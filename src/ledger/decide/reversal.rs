//! Taking back an accrual, or a part of it: its lot, the room in caps and budgets, the metrics. Later decisions stand.
//! Which part that is, [`crate::ledger::refund`] says from records alone; here it meets the account.
//!
//! What must stay true: what of the accrual's units is spent is taken from other lots that are alive, and what those lack
//! is owed where the programme says so; what of them has died is gone already, and is not taken a second time. Units whose
//! death was put off, or that came back after it, have not died: of those that are not found past the death that they were
//! granted with, no more can have died than has died of the account's units at all, and each dead unit excuses one return
//! only; what died while a cap held it excuses that of its own transaction, also before its review. What a cap holds for
//! review comes back whole or not at all, so that the list of what is held says what is held.

use super::lots::Source;
use super::{lots, vouchers};
use crate::ledger::account::Account;
use crate::ledger::command::{Command, Granted, Reversal};
use crate::ledger::decision::{
    CellUse, CounterChange, Decision, LotChange, LotKey, Movement, Outcome, Refusal, TotalsChange,
};
use crate::ledger::held::{HeldChange, HeldName};
use crate::ledger::program::WhenSpent;
use crate::ledger::stamps;
use crate::ledger::state::Context;
use crate::ledger::types::{ProgramVersion, TimestampNs, Units, WalletId};
use crate::limits;

pub(super) fn decide(
    account: &Account,
    command: &Command,
    reversal: &Reversal,
    context: &Context<'_>,
    out: &mut Decision,
) {
    let original = &reversal.original;
    if !reversal.is_last() && account.holds(command.partner, &reversal.original_transaction_id) {
        out.outcome = Outcome::Refused(Refusal::ReturnHeld);
        return;
    }
    if let Some(key) = original.lot {
        let key = if key.is_held() { end_hold(account, command, reversal, key, out) } else { key };
        out.wallet = key.wallet;
        let at = context.posted_at;
        let mut due = original.units;
        if !key.is_alive(at) {
            // What was held nobody could spend or put off: it died where it lay. Of the rest no more can have died than has
            // died at all.
            out.effects.gone = if key.is_held() { due } else { due.min(dead(account, key.wallet, at, out)) };
            due -= out.effects.gone;
        }
        due = take_own(account, key, due, context, out);
        if !key.is_alive(at) {
            due = take_brought_back(account, key, due, at, out);
        }
        let lacking = lots::take(account, Source::of(key.wallet), due, Movement::Reverse, at, out);
        // Nobody comes to owe more than a balance can be.
        let is_too_much = account.owed(key.wallet).saturating_add(lacking) > limits::UNITS_MAX;
        if lacking > 0 && (context.program.when_spent == WhenSpent::Refuse || is_too_much) {
            out.outcome = Outcome::Refused(Refusal::InsufficientBalance);
            return;
        }
        out.granted = lacking + out.effects.gone - original.units;
        out.effects.owed = (lacking > 0).then_some((key.wallet, lacking));
    }
    give_back(original, context, out);
    if reversal.is_last() {
        let original_id = &*reversal.original_transaction_id;
        vouchers::take_back(account, command, original_id, context, out);
        let (vouchers, counters) = (&out.effects.vouchers, &mut out.effects.counters);
        stamps::keep_given(original, (command.partner, original_id), vouchers, counters, &mut out.cells);
    }
    if let Some((version, carried)) = reversal.part.as_deref().and_then(|part| part.carried) {
        give_back_carried(account, version, carried, context, out);
    }
    out.balance_after = account.balance(out.wallet, context.posted_at) + out.granted;
}

/// Takes out of the account's remainder what came back, as long as the version that carries it is in force: any other
/// drops it. An account that has used more of it since owes the difference to its next baskets.
fn give_back_carried(
    account: &Account,
    version: ProgramVersion,
    carried: i64,
    context: &Context<'_>,
    out: &mut Decision,
) {
    if version == context.program.version {
        let before = super::profile::remainder(account, context.program);
        out.effects.remainder = Some(before.saturating_add(carried));
    }
}

/// Where the units of a transaction that was held are now: still held, which ends with this, or released. (What was
/// rejected is not reversed: both claim the same id.)
fn end_hold(account: &Account, command: &Command, reversal: &Reversal, key: LotKey, out: &mut Decision) -> LotKey {
    let transaction_id = &reversal.original_transaction_id;
    if !account.holds(command.partner, transaction_id) {
        return key.released();
    }
    let name = HeldName { partner: command.partner, transaction_id: transaction_id.clone() };
    out.effects.held = Some(Box::new(HeldChange::Ends(name)));
    key
}

/// Gives back the room that a transaction took: in the account's counters, and in the cells that it drew on.
///
/// # Panics
/// When the rooms are not those of the original's cells: a fault of the caller.
pub(super) fn give_back(original: &Granted, context: &Context<'_>, out: &mut Decision) {
    for change in &original.counters {
        out.effects.counters.push(CounterChange { delta: -change.delta, ..*change });
    }
    for (taken, found) in original.cells.iter().zip(context.rooms) {
        assert_eq!(taken.cell, found.cell, "rooms come in the order of the original's cells");
        out.cells.push(CellUse {
            cell: taken.cell,
            version: found.version,
            room_before: found.room,
            used: -taken.used,
            retain_until: taken.retain_until,
        });
    }
    out.effects.totals = TotalsChange::of_reversal();
}

/// Units of a wallet that may have been those of a grant and are dead, with what dies with this.
fn dead(account: &Account, wallet: WalletId, at: TimestampNs, out: &Decision) -> Units {
    let changes = out.effects.lots.iter();
    let dying = changes.filter(|change| change.movement == Movement::Expire && change.key.wallet == wallet);
    let dies = dying.fold(0, |sum: Units, change| sum.saturating_sub(change.delta));
    account.dead(wallet, at, |lot| lots::left(lot, out), dies)
}

/// Takes units that came back after the death with which they were granted, as far as they cannot be told from others of
/// their kind: first from lots of that kind. Returns what could not be taken there.
fn take_brought_back(account: &Account, key: LotKey, units: Units, at: TimestampNs, out: &mut Decision) -> Units {
    let is_own =
        |found: &LotKey| !key.is_held() && found.is_alive(at) && LotKey { expires_at: key.expires_at, ..*found } == key;
    take_from(account, units, is_own, out)
}

/// Takes units from the lot that they were granted to, and from those into which they may have been put off: of the
/// same kind, dying later. Returns what could not be taken.
fn take_own(account: &Account, key: LotKey, units: Units, context: &Context<'_>, out: &mut Decision) -> Units {
    let is_own = |found: &LotKey| {
        let is_put_off = key.is_extended() && !key.is_held() && found.expires_at > key.expires_at;
        let is_of_kind = LotKey { expires_at: key.expires_at, ..*found } == key;
        (is_put_off || *found == key) && is_of_kind && found.is_alive(context.posted_at)
    };
    take_from(account, units, is_own, out)
}

/// Takes units from some lots, in their order. Returns what could not be taken.
fn take_from(account: &Account, units: Units, is_own: impl Fn(&LotKey) -> bool, out: &mut Decision) -> Units {
    let mut missing = units;
    for lot in account.lots.iter().filter(|lot| is_own(&lot.key)) {
        let taken = lots::left(lot, out).min(missing);
        if taken > 0 && out.effects.lots.len() < limits::LOT_CHANGES_MAX {
            out.effects.lots.push(LotChange { key: lot.key, delta: -taken, movement: Movement::Reverse });
            missing -= taken;
        }
    }
    missing
}
