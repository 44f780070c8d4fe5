//! Taking back a whole accrual: its lot, the room in caps and budgets, the metrics. Later decisions stand.
//!
//! What must stay true: what of the accrual's units is spent is taken from other lots that are alive; what of them has
//! died is gone already, and is not taken a second time.

use super::lots;
use crate::ledger::account::{Account, Lot};
use crate::ledger::command::Reversal;
use crate::ledger::decision::{
    CellUse, CounterChange, Decision, LotChange, LotKey, Movement, Outcome, Refusal, TotalsChange,
};
use crate::ledger::state::Context;
use crate::ledger::types::TimestampNs;

pub(super) fn decide(account: &Account, reversal: &Reversal, context: &Context<'_>, out: &mut Decision) {
    let original = &reversal.original;
    if let Some(key) = original.lot {
        out.wallet = key.wallet;
        if lives_on(account, &key, context.posted_at) {
            let held = account.alive(key.wallet, context.posted_at).find(|lot| lot.key == key);
            let held = held.map_or(0, |lot| lot.remaining);
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

/// Whether units of this lot can still be there: they are alive, or their death has been put off into another lot.
fn lives_on(account: &Account, key: &LotKey, at: TimestampNs) -> bool {
    let is_heir = |lot: &Lot| lot.key.is_extended && lot.key.issuer == key.issuer;
    key.is_alive(at) || (key.is_extended && account.alive(key.wallet, at).any(is_heir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::types::{SymbolId, WalletId};

    #[test]
    fn units_whose_death_was_put_off_can_be_taken_back() {
        let key = |expires_at, is_extended| LotKey {
            wallet: WalletId(0),
            issuer: SymbolId(1),
            funding_rate_bps: 0,
            available_from_minute: 0,
            is_extended,
            expires_at: TimestampNs(expires_at),
        };
        let holding = |key| Account { lots: vec![Lot { key, remaining: 5 }], ..Account::default() };
        let now = TimestampNs(100);
        assert!(lives_on(&Account::default(), &key(101, false), now));
        assert!(!lives_on(&holding(key(200, false)), &key(100, false), now));
        assert!(lives_on(&holding(key(200, true)), &key(100, true), now));
        assert!(!lives_on(&holding(key(100, true)), &key(100, true), now), "it died by inactivity");
        assert!(!lives_on(&holding(key(200, false)), &key(100, true), now), "another lot is no heir");
    }
}
