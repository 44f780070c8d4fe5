//! What records of the first versions do not say, though the same commands, decided again, come to it.
//!
//! What must stay true: once a record says such a thing, every later one has to; nothing else is passed over.

use crate::ledger::decision::{Decision, LotKey, Movement};

/// What some record so far has said.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Forms {
    /// What a refusal looked into.
    cells_of_refusals: bool,
    /// How long units live that die by inactivity.
    days_of_lots: bool,
}

impl Forms {
    /// Leaves out of what was decided again what a record that may leave it out does.
    pub(super) fn pass_over(&mut self, recorded: &Decision, decided: &mut Decision) {
        if recorded.refusal().is_some() {
            self.cells_of_refusals |= !recorded.cells.is_empty();
            if !self.cells_of_refusals {
                decided.cells.clear();
            }
        }
        let grants = || recorded.effects.lots.iter().filter(|change| change.movement == Movement::Grant);
        let has_no_days = |key: &LotKey| key.inactive_days == LotKey::AS_IN_FORCE;
        self.days_of_lots |= grants().any(|change| change.key.is_extended() && !has_no_days(&change.key));
        if !self.days_of_lots && grants().any(|change| has_no_days(&change.key)) {
            let put_off = decided.effects.lots.iter_mut().filter(|change| change.key.is_extended());
            put_off.for_each(|change| change.key.inactive_days = LotKey::AS_IN_FORCE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::decision::{CellUse, LotChange, Outcome, Refusal};
    use crate::ledger::types::{CellId, SymbolId, TimestampNs, WalletId};

    fn refused(sees: bool) -> Decision {
        let cell = CellId::whole(SymbolId(1));
        let seen = CellUse { cell, version: 1, room_before: 5, used: 0, retain_until: CellUse::FOR_EVER };
        let outcome = Outcome::Refused(Refusal::BalanceLimitExceeded);
        Decision { outcome, cells: if sees { vec![seen] } else { Vec::new() }, ..Decision::default() }
    }

    fn granting(inactive_days: u16) -> Decision {
        let key = LotKey {
            wallet: WalletId(0),
            issuer: SymbolId(1),
            funding_rate_bps: 0,
            available_from_minute: 0,
            inactive_days,
            expires_at: TimestampNs(9),
        };
        let mut decision = Decision::default();
        decision.effects.lots.push(LotChange { key, delta: 5, movement: Movement::Grant });
        decision
    }

    fn is_same(forms: &mut Forms, recorded: &Decision, mut decided: Decision) -> bool {
        forms.pass_over(recorded, &mut decided);
        *recorded == decided
    }

    #[test]
    fn what_the_first_versions_left_out_can_be_left_out_until_it_is_said() {
        let mut forms = Forms::default();
        assert!(is_same(&mut forms, &refused(false), refused(true)));
        assert!(is_same(&mut forms, &refused(true), refused(true)));
        assert!(!is_same(&mut forms, &refused(false), refused(true)), "one has said it");
        assert!(is_same(&mut forms, &granting(LotKey::AS_IN_FORCE), granting(30)));
        assert!(!is_same(&mut forms, &granting(0), granting(30)), "that they die by inactivity was always said");
        assert!(is_same(&mut forms, &granting(30), granting(30)));
        assert!(!is_same(&mut forms, &granting(LotKey::AS_IN_FORCE), granting(30)), "one has said it");
    }
}
