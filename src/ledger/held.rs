//! What an account has that a cap holds back until an operator has looked at it.
//!
//! What must stay true: units that are held lie in lots of their own, which nothing but their release, their rejection,
//! their reversal or their death takes from; so the transactions on the list account for all that is in those lots.

use super::account::Account;
use super::decision::{Decision, Effects, LotKey, Movement};
use super::types::{SymbolId, TimestampNs, Units};

/// A transaction whose units are held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldTransaction {
    /// The partner whose transaction it is.
    pub partner: SymbolId,
    /// The caller's id of it.
    pub transaction_id: Box<str>,
    /// The name of the cap that holds it.
    pub cap: SymbolId,
    /// The lot in which its units are.
    pub lot: LotKey,
    /// Units, more than 0.
    pub units: Units,
    /// When it was posted.
    pub held_at: TimestampNs,
}

impl HeldTransaction {
    /// What names it.
    #[must_use]
    pub fn name(&self) -> HeldName {
        HeldName { partner: self.partner, transaction_id: self.transaction_id.clone() }
    }

    /// Whether it is a partner's, if one is meant.
    #[must_use]
    pub fn is_of(&self, partner: Option<SymbolId>) -> bool {
        partner.is_none_or(|partner| partner == self.partner)
    }
}

/// A change to what an account has that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeldChange {
    /// The transaction's grant is held from here on, by this cap.
    Begins(HeldName, SymbolId),
    /// It is not held any more.
    Ends(HeldName),
}

/// What names a transaction that is held, or whose units are set aside.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeldName {
    /// The partner.
    pub partner: SymbolId,
    /// The caller's id.
    pub transaction_id: Box<str>,
}

impl HeldChange {
    /// The cap that begins to hold a transaction.
    #[must_use]
    pub fn begins_by(&self) -> Option<SymbolId> {
        match self {
            Self::Begins(_, cap) => Some(*cap),
            Self::Ends(_) => None,
        }
    }
}

impl LotKey {
    /// Set in the minute from which units can be spent: they are held. No minute that a timestamp can state has it.
    const HELD: u32 = 1 << 31;

    /// Whether the units wait for an operator. They cannot be spent, whatever the time.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.available_from_minute & Self::HELD != 0
    }

    /// The lot of units on the same terms that are held.
    #[must_use]
    pub fn held(self) -> Self {
        Self { available_from_minute: self.available_from_minute | Self::HELD, ..self }
    }

    /// The lot of units on the same terms that are not held: pending until the same minute, if they were.
    #[must_use]
    pub fn released(self) -> Self {
        Self { available_from_minute: self.available_from_minute & !Self::HELD, ..self }
    }
}

impl Account {
    /// The transactions that are held, ascending by partner and id.
    #[must_use]
    pub fn held(&self) -> &[HeldTransaction] {
        self.profile.as_ref().map_or(&[], |profile| &profile.held)
    }

    /// Whether a transaction is held.
    #[must_use]
    pub fn holds(&self, partner: SymbolId, transaction_id: &str) -> bool {
        find(self.held(), partner, transaction_id).is_ok()
    }

    /// Units of a wallet that are held and alive at the instant.
    #[must_use]
    pub fn held_units(&self, wallet: super::types::WalletId, at: TimestampNs) -> Units {
        self.alive(wallet, at).filter(|lot| lot.key.is_held()).map(|lot| lot.remaining).sum()
    }

    /// Whether the list of what is held can take a change.
    #[must_use]
    pub(super) fn accepts_held(&self, change: &HeldChange, effects: &Effects) -> bool {
        match change {
            HeldChange::Begins(name, _) => {
                let is_new = !self.holds(name.partner, &name.transaction_id);
                let is_grant = effects.lots.iter().any(|lot| lot.movement == Movement::Grant);
                is_new && is_grant && self.held().len() < crate::limits::HELD_TRANSACTIONS_MAX
            }
            HeldChange::Ends(name) => self.holds(name.partner, &name.transaction_id),
        }
    }

    /// Changes the list of what is held.
    ///
    /// # Panics
    /// When what ends was not held: the decision promised that it was.
    pub(super) fn change_held(&mut self, decision: &Decision, posted_at: TimestampNs) {
        let Some(change) = decision.effects.held.as_deref() else { return };
        let held = &mut self.profile.get_or_insert_default().held;
        match change {
            HeldChange::Begins(HeldName { partner, transaction_id }, cap) => {
                let grant = decision.effects.lots.iter().find(|lot| lot.movement == Movement::Grant);
                let grant = grant.expect("what is held was granted");
                let begun = HeldTransaction {
                    partner: *partner,
                    transaction_id: transaction_id.clone(),
                    cap: *cap,
                    lot: grant.key,
                    units: grant.delta,
                    held_at: posted_at,
                };
                let index = find(held, *partner, transaction_id).expect_err("a transaction is held once");
                held.insert(index, begun);
            }
            HeldChange::Ends(HeldName { partner, transaction_id }) => {
                let index = find(held, *partner, transaction_id).expect("what ends was held");
                held.remove(index);
            }
        }
        self.forget_empty_profile();
    }
}

fn find(held: &[HeldTransaction], partner: SymbolId, transaction_id: &str) -> Result<usize, usize> {
    held.binary_search_by_key(&(partner, transaction_id), |one| (one.partner, &*one.transaction_id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::types::WalletId;

    #[test]
    fn what_is_held_is_never_available_and_keeps_its_pending_period() {
        let key = LotKey {
            wallet: WalletId(0),
            issuer: SymbolId(1),
            funding_rate_bps: 0,
            available_from_minute: 24_827_520,
            inactive_days: 0,
            expires_at: LotKey::NEVER,
        };
        let held = key.held();
        assert!(held.is_held() && !key.is_held());
        assert!(!held.is_available(TimestampNs(i64::MAX)) && held.is_alive(TimestampNs(i64::MAX)));
        assert_eq!(held.released(), key);
        assert!(LotKey { available_from_minute: 0, ..key }.held().released().is_available(TimestampNs(0)));
    }
}
