//! Taking back a whole accrual: its lot, the room in caps and budgets, the metrics. Later decisions stand.
//!
//! What must stay true: what of the accrual's units is spent is taken from other lots that are alive; what of them has
//! died is gone already, and is not taken a second time.

use super::lots;
use crate::ledger::account::Account;
use crate::ledger::command::Reversal;
use crate::ledger::decision::{CellUse, CounterChange, Decision, LotChange, Movement, Outcome, Refusal, TotalsChange};
use crate::ledger::state::Context;

pub(super) fn decide(account: &Account, reversal: &Reversal, context: &Context<'_>, out: &mut Decision) {
    let original = &reversal.original;
    if let Some(key) = original.lot {
        out.wallet = key.wallet;
        if key.is_alive(context.posted_at) {
            let held = account.lots.binary_search_by_key(&key, |lot| lot.key).ok();
            let held = held.and_then(|index| account.lots.get(index)).map_or(0, |lot| lot.remaining);
            let from_lot = held.min(original.units);
            if from_lot > 0 {
                out.effects.lots.push(LotChange { key, delta: -from_lot, movement: Movement::Reverse });
            }
            let spent = original.units - from_lot;
            if lots::take(account, key.wallet, spent, Movement::Reverse, context.posted_at, out) > 0 {
                out.outcome = Outcome::Refused(Refusal::InsufficientBalance);
                return;
            }
            out.granted = -original.units;
        }
    }
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
    out.balance_after = account.balance(out.wallet, context.posted_at) + out.granted;
}
