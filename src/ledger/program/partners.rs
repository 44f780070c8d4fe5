//! The partners of a programme: their stores, what each may earn and burn and when, and the rates at which they pay.
//!
//! What must stay true: a programme that declares no partners has no such table, and nobody looks for one; of a right
//! that ended nothing is left but what was earned under it.

use super::super::types::{Day, SymbolId, WalletId};

/// A right to earn or to burn units of a wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// The wallet.
    pub wallet: WalletId,
    /// First local day; `None` means since ever. Of the event where units are earned, of the posting where they are
    /// burned.
    pub from: Option<Day>,
    /// Last local day, inclusive; `None` means for ever.
    pub until: Option<Day>,
}

impl Right {
    fn holds(&self, wallet: WalletId, day: Day) -> bool {
        self.wallet == wallet && self.from.is_none_or(|from| from <= day) && self.until.is_none_or(|until| day <= until)
    }
}

/// A store of a partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartnerStore {
    /// Its name, interned.
    pub store: SymbolId,
    /// Its terminals, ascending; none listed means any, stated or not.
    pub terminals: Vec<SymbolId>,
}

/// A brand in the programme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partner {
    /// Name in the file: what credentials name.
    pub name: String,
    /// The name, interned.
    pub symbol: SymbolId,
    /// Its stores, ascending.
    pub stores: Vec<PartnerStore>,
    /// Wallets in which its baskets and activities earn.
    pub earns: Vec<Right>,
    /// Wallets of which it takes units.
    pub burns: Vec<Right>,
    /// What it pays per unit that it issues, in basis points of a minor unit.
    pub funding_rate_bps: u32,
    /// What it receives per unit that is burned with it, in basis points of a minor unit.
    pub redemption_rate_bps: u32,
}

impl Partner {
    /// Whether a basket of this store and terminal is one of the partner's. A store that lists its terminals has no other,
    /// and none that is not stated.
    #[must_use]
    pub fn has_place(&self, store: SymbolId, terminal: SymbolId) -> bool {
        let found = self.stores.binary_search_by_key(&store, |own| own.store).ok();
        let found = found.and_then(|index| self.stores.get(index));
        found.is_some_and(|own| own.terminals.is_empty() || own.terminals.binary_search(&terminal).is_ok())
    }

    /// Whether it earns units of a wallet on a local day.
    #[must_use]
    pub fn may_earn(&self, wallet: WalletId, day: Day) -> bool {
        self.earns.iter().any(|right| right.holds(wallet, day))
    }

    /// Whether it burns units of a wallet on a local day.
    #[must_use]
    pub fn may_burn(&self, wallet: WalletId, day: Day) -> bool {
        self.burns.iter().any(|right| right.holds(wallet, day))
    }

    /// Whether it has anything to do with a wallet on a local day.
    #[must_use]
    pub fn deals_in(&self, wallet: WalletId, day: Day) -> bool {
        self.may_earn(wallet, day) || self.may_burn(wallet, day)
    }

    /// Whether it has anything to do with any wallet on a local day.
    #[must_use]
    pub fn deals(&self, day: Day) -> bool {
        self.earns.iter().chain(&self.burns).any(|right| self.deals_in(right.wallet, day))
    }
}

/// All partners of a programme.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartnerTable(Vec<Partner>);

impl PartnerTable {
    /// The partners, in any order, each once.
    #[must_use]
    pub fn new(mut partners: Vec<Partner>) -> Self {
        partners.sort_unstable_by_key(|partner| partner.symbol);
        for partner in &mut partners {
            partner.stores.sort_unstable_by_key(|store| store.store);
            partner.stores.iter_mut().for_each(|store| store.terminals.sort_unstable());
        }
        Self(partners)
    }

    /// The partner with this name.
    #[must_use]
    pub fn find(&self, symbol: SymbolId) -> Option<&Partner> {
        let index = self.0.binary_search_by_key(&symbol, |partner| partner.symbol).ok()?;
        self.0.get(index)
    }

    /// All of them, in the order of their symbols.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Partner> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partner() -> Partner {
        let right = |wallet, from, until| Right { wallet: WalletId(wallet), from, until };
        let store = |store, terminals: &[u32]| PartnerStore {
            store: SymbolId(store),
            terminals: terminals.iter().copied().map(SymbolId).collect(),
        };
        Partner {
            name: "north".to_owned(),
            symbol: SymbolId(9),
            stores: vec![store(30, &[]), store(20, &[7, 5])],
            earns: vec![right(0, None, Some(Day(9))), right(0, Some(Day(20)), None)],
            burns: vec![right(1, Some(Day(5)), Some(Day(6)))],
            funding_rate_bps: 5_000,
            redemption_rate_bps: 4_000,
        }
    }

    #[test]
    fn a_store_that_lists_terminals_has_no_other() {
        let table = PartnerTable::new(vec![partner()]);
        let found = table.find(SymbolId(9)).unwrap();
        let rows = [
            (30, 0, true),
            (30, 99, true),
            (20, 5, true),
            (20, 7, true),
            (20, 6, false),
            (20, 0, false),
            (10, 0, false),
            (0, 0, false),
        ];
        for (store, terminal, expected) in rows {
            assert_eq!(found.has_place(SymbolId(store), SymbolId(terminal)), expected, "{store} {terminal}");
        }
        assert_eq!((table.find(SymbolId(8)), table.iter().len()), (None, 1));
    }

    #[test]
    fn rights_hold_from_their_first_day_to_their_last() {
        let partner = partner();
        let rows = [(0, 9, true), (0, 10, false), (0, 19, false), (0, 20, true), (0, 99, true), (1, 9, false)];
        for (wallet, day, expected) in rows {
            assert_eq!(partner.may_earn(WalletId(wallet), Day(day)), expected, "{wallet} {day}");
        }
        for (wallet, day, expected) in [(1, 4, false), (1, 5, true), (1, 6, true), (1, 7, false), (0, 5, false)] {
            assert_eq!(partner.may_burn(WalletId(wallet), Day(day)), expected, "{wallet} {day}");
        }
        assert!(partner.deals_in(WalletId(1), Day(5)) && !partner.deals_in(WalletId(1), Day(7)));
    }
}
