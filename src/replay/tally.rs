//! What the accounts of a shard hold of each issuer's units, added up while a snapshot is loaded and the journal after it is
//! replayed: for comparing it with the issuers' sub-accounts, without another look at every account.
//!
//! What must stay true: an account counts as it is after the records that it has taken, so that what is loaded and what is
//! replayed add up; what is set aside counts as held, as it does for its issuer.

use crate::ledger::account::Account;
use crate::ledger::decision::{LotChange, LotKey};
use crate::ledger::partner::PartnerAccounts;
use crate::ledger::types::{SymbolId, WalletId};

/// An issuer, and a wallet.
type Side = (SymbolId, WalletId);

/// What the accounts of one shard hold.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Units by issuer and wallet, ascending.
    sums: Vec<(Side, i128)>,
    /// Where the last sum was found: units of one issuer mostly come together.
    likely: usize,
}

/// What accounts hold of an issuer's units, where that is not what the issuer has outstanding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The issuer.
    pub issuer: SymbolId,
    /// The wallet.
    pub wallet: WalletId,
    /// Units that accounts hold.
    pub held: i128,
    /// Units that are outstanding.
    pub outstanding: i128,
}

impl Tally {
    /// Counts an account of a snapshot.
    pub fn add(&mut self, account: &Account) {
        for (key, units) in account.holdings() {
            *self.sum(&key) += i128::from(units);
        }
    }

    /// Counts what a record changes of an account that has not taken it yet.
    pub fn change(&mut self, lots: &[LotChange]) {
        for lot in lots.iter().filter(|lot| !lot.movement.sets_aside()) {
            *self.sum(&lot.key) += i128::from(lot.delta);
        }
    }

    /// The first issuer and wallet of which accounts hold something else than is outstanding.
    #[must_use]
    pub fn difference(&self, partners: &PartnerAccounts) -> Option<Difference> {
        let compare = |side: &Side| {
            let held = self.find(side).ok().and_then(|index| self.sums.get(index)).map_or(0, |(_, held)| *held);
            let (issuer, wallet) = *side;
            Difference { issuer, wallet, held, outstanding: -partners.issuer(issuer, wallet).balance }
        };
        let of_issuers = partners.issuers().map(|(side, _)| side);
        let held = self.sums.iter().map(|(side, _)| side);
        of_issuers.chain(held).map(compare).find(|one| one.held != one.outstanding)
    }

    fn sum(&mut self, key: &LotKey) -> &mut i128 {
        let side = (key.issuer, key.wallet);
        if self.sums.get(self.likely).is_none_or(|(known, _)| *known != side) {
            self.likely = self.find(&side).unwrap_or_else(|index| {
                self.sums.insert(index, (side, 0));
                index
            });
        }
        &mut self.sums[self.likely].1
    }

    fn find(&self, side: &Side) -> Result<usize, usize> {
        self.sums.binary_search_by_key(side, |(known, _)| *known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::account::Lot;
    use crate::ledger::authorization::Authorization;
    use crate::ledger::decision::Movement;
    use crate::ledger::types::{Seq, TimestampNs};

    const POINTS: WalletId = WalletId(0);
    const NORTH: SymbolId = SymbolId(7);
    const SOUTH: SymbolId = SymbolId(3);

    fn key(issuer: SymbolId, expires_at: TimestampNs) -> LotKey {
        LotKey { wallet: POINTS, issuer, funding_rate_bps: 0, available_from_minute: 0, inactive_days: 0, expires_at }
    }

    #[test]
    fn what_is_loaded_and_what_is_replayed_add_up_to_what_is_outstanding() {
        let (north, south) = (key(NORTH, LotKey::NEVER), key(SOUTH, LotKey::NEVER));
        let change = |key, delta, movement| LotChange { key, delta, movement };
        let records = [
            vec![change(north, 30, Movement::Grant), change(south, 20, Movement::Grant)],
            vec![change(north, -10, Movement::SetAside)],
            // Six of the ten are burned, and the rest is given back.
            vec![change(north, 10, Movement::GiveBack), change(north, -6, Movement::Burn)],
            vec![change(south, -20, Movement::Expire)],
        ];
        let mut partners = PartnerAccounts::default();
        for (seq, lots) in (1..).map(Seq).zip(&records) {
            partners.change(seq, NORTH, 0, lots);
        }
        let mut replayed = Tally::default();
        records.iter().for_each(|lots| replayed.change(lots));
        assert_eq!(replayed.difference(&partners), None);

        // The account as it was after the second record, and what came then.
        let set_aside = Authorization {
            partner: NORTH,
            transaction_id: "a".into(),
            wallet: POINTS,
            ends_at: TimestampNs(9),
            captured: 0,
            lots: vec![(north, 10)],
        };
        let lots = vec![Lot { key: south, remaining: 20 }, Lot { key: north, remaining: 20 }];
        let mut account = Account { lots, ..Account::default() };
        account.profile.get_or_insert_default().authorizations.push(set_aside);
        let mut loaded = Tally::default();
        loaded.add(&account);
        records[2..].iter().for_each(|lots| loaded.change(lots));
        assert_eq!(loaded.difference(&partners), None);

        // An account too few, one too many, and an issuer too few.
        let of = |issuer, held, outstanding| Some(Difference { issuer, wallet: POINTS, held, outstanding });
        assert_eq!(Tally::default().difference(&partners), of(NORTH, 0, 24));
        loaded.change(&records[0][1..]);
        assert_eq!(loaded.difference(&partners), of(SOUTH, 20, 0));
        assert_eq!(replayed.difference(&PartnerAccounts::default()), of(NORTH, 24, 0));
    }
}
