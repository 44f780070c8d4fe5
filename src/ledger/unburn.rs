//! What comes back of a redemption or a capture.
//!
//! What must stay true: a request states all that it gives back, lot by lot, and what had come back before; so it can be
//! decided, and decided again, without the record of the burn.

use super::decision::{CellUse, LotKey};
use super::types::{Position, Units};

/// A request to give back units that an earlier redemption or capture burned, all of them or some, with what that did as
/// its record says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unburn {
    /// The caller's id of the redemption or the capture.
    pub original_transaction_id: Box<str>,
    /// The position of its record.
    pub original_position: Position,
    /// The record of the reversal of the same burn before this one, if there is one, and the units that had come back with
    /// it in all.
    pub earlier: Option<(Position, Units)>,
    /// What comes back, by the lots from which it was burned: what was burned last comes back first. Each more than 0.
    pub lots: Vec<(LotKey, Units)>,
    /// What the partner was paid for each unit when it was burned, in basis points of a minor unit.
    pub redemption_rate_bps: u32,
    /// The rewards that come back with them, where they were burned for some.
    pub reward: Option<RewardsBack>,
    /// The caller named no units: whatever was left comes back.
    pub is_rest: bool,
    /// Nothing is left afterwards.
    pub is_last: bool,
}

/// Rewards that come back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RewardsBack {
    /// How many, more than 0.
    pub quantity: i64,
    /// What of the stock's cell that is; nothing where there are as many as are wanted.
    pub cells: Vec<CellUse>,
}

impl Unburn {
    /// What comes back.
    #[must_use]
    pub fn units(&self) -> Units {
        self.lots.iter().fold(0, |sum: Units, (_, units)| sum.saturating_add(*units))
    }

    /// What has come back of the burn in all, with this.
    #[must_use]
    pub fn returned(&self) -> Units {
        self.earlier.map_or(0, |(_, returned)| returned).saturating_add(self.units())
    }

    /// The units that come back, as the caller asks for them: nothing for whatever is left, and for rewards.
    #[must_use]
    pub fn asked_units(&self) -> Option<Units> {
        (!self.is_rest && self.reward.is_none()).then(|| self.units())
    }

    /// The rewards that come back, as the caller asks for them: nothing for whatever is left.
    #[must_use]
    pub fn asked_quantity(&self) -> Option<i64> {
        self.reward.as_ref().filter(|_| !self.is_rest).map(|reward| reward.quantity)
    }

    /// So many units of what was burned, from its end, behind those that have come back: so that pieces that return
    /// everything return exactly what was burned, whatever their sizes.
    #[must_use]
    pub fn piece(burned: &[(LotKey, Units)], returned: Units, units: Units) -> Vec<(LotKey, Units)> {
        let (mut passed, mut missing) = (returned, units);
        let mut lots = Vec::new();
        for (key, units) in burned.iter().rev() {
            let skipped = passed.min(*units);
            passed -= skipped;
            let taken = missing.min(units - skipped);
            missing -= taken;
            if taken > 0 {
                lots.push((*key, taken));
            }
        }
        lots
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::types::{SymbolId, TimestampNs, WalletId};

    fn lot(dies: i64) -> LotKey {
        LotKey {
            wallet: WalletId(0),
            issuer: SymbolId(1),
            funding_rate_bps: 0,
            available_from_minute: 0,
            inactive_days: 0,
            expires_at: TimestampNs(dies),
        }
    }

    #[test]
    fn what_was_burned_last_comes_back_first() {
        let burned = [(lot(1), 5), (lot(2), 3), (lot(3), 4)];
        type Row<'a> = (Units, Units, &'a [(i64, Units)]);
        let rows: [Row<'_>; 6] = [
            (0, 12, &[(3, 4), (2, 3), (1, 5)]),
            (0, 4, &[(3, 4)]),
            (0, 1, &[(3, 1)]),
            (1, 5, &[(3, 3), (2, 2)]),
            (6, 2, &[(2, 1), (1, 1)]),
            (11, 1, &[(1, 1)]),
        ];
        for (returned, units, expected) in rows {
            let expected: Vec<_> = expected.iter().map(|(dies, units)| (lot(*dies), *units)).collect();
            assert_eq!(Unburn::piece(&burned, returned, units), expected, "{units} after {returned}");
        }
    }
}
