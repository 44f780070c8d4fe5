//! What partners have set aside of an account's units: burned or given back later, by the partner or by time.
//!
//! What must stay true: units that are set aside lie in no lot; each authorization keeps them with the keys of the lots
//! that they came from, and nothing but its capture, its void and its end takes them from there; an authorization that
//! has ended counts as given back from its instant on, whether or not that is posted.

use std::borrow::Cow;

use super::account::{Account, Lot};
use super::decision::{Effects, LotChange, LotKey, Movement};
use super::held::HeldName;
use super::types::{SymbolId, TimestampNs, Units, WalletId};
use crate::limits;

/// Units that a partner has set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// The partner that set them aside.
    pub partner: SymbolId,
    /// The caller's id of the transaction that did.
    pub transaction_id: Box<str>,
    /// The wallet.
    pub wallet: WalletId,
    /// From this instant on what is left is given back.
    pub ends_at: TimestampNs,
    /// Units burned of it so far.
    pub captured: Units,
    /// What is left, by the lots that it came from, in the order in which it is burned; each more than 0.
    pub lots: Vec<(LotKey, Units)>,
}

impl Authorization {
    /// Units that are left.
    #[must_use]
    pub fn left(&self) -> Units {
        self.lots.iter().map(|(_, units)| *units).sum()
    }

    /// Whether it can be captured at the instant.
    #[must_use]
    pub fn is_open(&self, at: TimestampNs) -> bool {
        at < self.ends_at
    }

    /// How a capture of so many units divides what is left: what is burned of each lot, and what is not.
    pub fn divided(&self, units: Units) -> impl Iterator<Item = (LotKey, Units, Units)> {
        let mut missing = units;
        self.lots.iter().map(move |(key, left)| {
            let taken = missing.min(*left);
            missing -= taken;
            (*key, taken, left - taken)
        })
    }
}

/// What a command changes of an account's authorizations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthorizationChanges {
    /// Those whose time had run out, in the order of the account: what was left of them is given back first.
    pub ended: Vec<HeldName>,
    /// What the command itself does.
    pub own: Option<AuthorizationChange>,
}

/// What a command does to one authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorizationChange {
    /// It begins with the units that are set aside, and lasts until this instant.
    Begins(HeldName, TimestampNs),
    /// Units of it are burned.
    Captures {
        /// Which.
        name: HeldName,
        /// How many, more than 0.
        units: Units,
        /// All that were burned of it, with these.
        captured: Units,
        /// What is left of it then.
        rest: Units,
        /// Whether it ends with this: the rest is given back.
        closes: bool,
    },
    /// What is left of it is given back.
    Voids {
        /// Which.
        name: HeldName,
        /// All that were burned of it before.
        captured: Units,
        /// What was left of it.
        rest: Units,
    },
}

impl AuthorizationChange {
    /// The authorization.
    #[must_use]
    pub fn name(&self) -> &HeldName {
        match self {
            Self::Begins(name, _) | Self::Captures { name, .. } | Self::Voids { name, .. } => name,
        }
    }
}

impl Account {
    /// What is set aside, ascending by partner and id.
    #[must_use]
    pub fn authorizations(&self) -> &[Authorization] {
        self.profile.as_ref().map_or(&[], |profile| &profile.authorizations)
    }

    /// One of them.
    #[must_use]
    pub fn authorization(&self, partner: SymbolId, transaction_id: &str) -> Option<&Authorization> {
        find(self.authorizations(), partner, transaction_id).ok().and_then(|index| self.authorizations().get(index))
    }

    /// Units of a wallet that are set aside at the instant.
    #[must_use]
    pub fn set_aside(&self, wallet: WalletId, at: TimestampNs) -> Units {
        let open = self.authorizations().iter().filter(|one| one.wallet == wallet && one.is_open(at));
        open.map(Authorization::left).sum()
    }

    /// Authorizations whose time has run out at the instant, though that is not posted.
    pub fn ended(&self, at: TimestampNs) -> impl Iterator<Item = &Authorization> {
        self.authorizations().iter().filter(move |one| !one.is_open(at))
    }

    /// All units that the account has, by lot: what lies in lots, and what is set aside.
    pub fn holdings(&self) -> impl Iterator<Item = (LotKey, Units)> {
        let aside = self.authorizations().iter().flat_map(|one| &one.lots).copied();
        self.lots.iter().map(|lot| (lot.key, lot.remaining)).chain(aside)
    }

    /// What ended authorizations of a wallet give back, by lot.
    pub(super) fn given_back(&self, wallet: WalletId, at: TimestampNs) -> impl Iterator<Item = &(LotKey, Units)> {
        self.ended(at).filter(move |one| one.wallet == wallet).flat_map(|one| &one.lots)
    }

    /// Units of a lot that are set aside at the instant, and may come back to it.
    pub(super) fn set_aside_of(&self, key: &LotKey, at: TimestampNs) -> Units {
        let open = self.authorizations().iter().filter(|one| one.is_open(at));
        let lots = open.flat_map(|one| &one.lots).filter(|(from, _)| from == key);
        lots.map(|(_, units)| *units).sum()
    }

    /// The account as it is once everything that has ended by the instant is given back: for those who look at lots.
    #[must_use]
    pub fn settled(&self, at: TimestampNs) -> Cow<'_, Self> {
        if self.ended(at).next().is_none() {
            return Cow::Borrowed(self);
        }
        let mut settled = self.clone();
        for (key, units) in self.ended(at).flat_map(|one| &one.lots) {
            settled.lot_mut(*key).remaining += units;
        }
        if let Some(profile) = settled.profile.as_deref_mut() {
            profile.authorizations.retain(|one| one.is_open(at));
        }
        settled.forget_empty_profile();
        Cow::Owned(settled)
    }

    /// The account with a place for each lot to which what has ended by the instant goes back: what goes there is part of
    /// a decision's changes.
    pub(super) fn with_places(&self, at: TimestampNs) -> Self {
        let mut account = self.clone();
        for (key, _) in self.ended(at).flat_map(|one| &one.lots).filter(|(key, _)| key.is_alive(at)) {
            account.lot_mut(*key);
        }
        account
    }

    fn lot_mut(&mut self, key: LotKey) -> &mut Lot {
        let index = match self.lots.binary_search_by_key(&key, |lot| lot.key) {
            Ok(index) => index,
            Err(index) => {
                self.lots.insert(index, Lot { key, remaining: 0 });
                index
            }
        };
        self.lots.get_mut(index).expect("it was found or put there")
    }

    /// Whether what is set aside can take the changes: what goes back to lots and what is taken from them is what the
    /// authorizations say.
    pub(super) fn accepts_authorizations(&self, effects: &Effects) -> bool {
        let mut back = effects.lots.iter().filter(|lot| lot.movement == Movement::GiveBack);
        let mut gives_back = |key: LotKey, units: Units| {
            units == 0 || back.next().is_some_and(|change| (change.key, change.delta) == (key, units))
        };
        let set_aside = || effects.lots.iter().filter(|lot| lot.movement == Movement::SetAside);
        let Some(changes) = effects.authorizations.as_deref() else {
            return back.next().is_none() && set_aside().next().is_none();
        };
        if !changes.ended.is_sorted_by(|a, b| a < b) {
            return false;
        }
        for name in &changes.ended {
            let Some(ended) = self.authorization(name.partner, &name.transaction_id) else { return false };
            if !ended.lots.iter().all(|(key, units)| gives_back(*key, *units)) {
                return false;
            }
        }
        let own = changes.own.as_ref();
        let known = own.map(AuthorizationChange::name).filter(|name| !changes.ended.contains(name));
        let known = known.and_then(|name| self.authorization(name.partner, &name.transaction_id));
        let fits = match (own, known) {
            (None, _) => true,
            (Some(AuthorizationChange::Begins(name, _)), None) => {
                let count = self.authorizations().len() - changes.ended.len();
                !changes.ended.contains(name)
                    && count < limits::AUTHORIZATIONS_MAX
                    && is_one_wallet(set_aside())
                    && set_aside().count() <= limits::AUTHORIZED_LOTS_MAX
            }
            (Some(AuthorizationChange::Captures { units, captured, rest, closes, .. }), Some(known)) => {
                *units > 0
                    && *rest >= 0
                    && known.left().checked_sub(*units) == Some(*rest)
                    && known.captured.checked_add(*units) == Some(*captured)
                    && (*closes || *rest > 0)
                    && known.divided(*units).all(|(key, taken, _)| gives_back(key, taken))
                    && (!closes || known.divided(*units).all(|(key, _, left)| gives_back(key, left)))
            }
            (Some(AuthorizationChange::Voids { captured, rest, .. }), Some(known)) => {
                (known.captured, known.left()) == (*captured, *rest)
                    && known.lots.iter().all(|(key, units)| gives_back(*key, *units))
            }
            _ => false,
        };
        let begins = matches!(own, Some(AuthorizationChange::Begins(..)));
        fits && back.next().is_none() && (begins || set_aside().next().is_none())
    }

    /// Changes what is set aside. The lots change by themselves.
    ///
    /// # Panics
    /// When what ends, is captured or voided was not set aside: the decision promised that it was.
    pub(super) fn change_authorizations(&mut self, effects: &Effects) {
        let Some(changes) = effects.authorizations.as_deref() else { return };
        let authorizations = &mut self.profile.get_or_insert_default().authorizations;
        let place = |authorizations: &[Authorization], name: &HeldName| {
            find(authorizations, name.partner, &name.transaction_id)
        };
        for name in &changes.ended {
            let index = place(authorizations, name).expect("what ended was set aside");
            authorizations.remove(index);
        }
        match &changes.own {
            None => {}
            Some(AuthorizationChange::Begins(name, ends_at)) => {
                let taken = effects.lots.iter().filter(|lot| lot.movement == Movement::SetAside);
                let lots: Vec<_> = taken.map(|lot| (lot.key, -lot.delta)).collect();
                let wallet = lots.first().expect("something is set aside").0.wallet;
                let HeldName { partner, transaction_id } = name.clone();
                let index = place(authorizations, name).expect_err("a transaction sets aside once");
                let begun = Authorization { partner, transaction_id, wallet, ends_at: *ends_at, captured: 0, lots };
                authorizations.insert(index, begun);
            }
            Some(AuthorizationChange::Captures { name, units, captured, rest: _, closes }) => {
                let index = place(authorizations, name).expect("what is captured was set aside");
                if *closes {
                    authorizations.remove(index);
                } else {
                    let one = authorizations.get_mut(index).expect("the search returned its index");
                    let left = one.divided(*units).filter(|(_, _, left)| *left > 0).map(|(key, _, left)| (key, left));
                    one.lots = left.collect();
                    one.captured = *captured;
                }
            }
            Some(AuthorizationChange::Voids { name, .. }) => {
                let index = place(authorizations, name).expect("what is voided was set aside");
                authorizations.remove(index);
            }
        }
        self.forget_empty_profile();
    }
}

/// Whether there is something, all of one wallet.
fn is_one_wallet<'a>(mut changes: impl Iterator<Item = &'a LotChange>) -> bool {
    let Some(first) = changes.next() else { return false };
    changes.all(|change| change.key.wallet == first.key.wallet)
}

fn find(authorizations: &[Authorization], partner: SymbolId, transaction_id: &str) -> Result<usize, usize> {
    authorizations.binary_search_by_key(&(partner, transaction_id), |one| (one.partner, &*one.transaction_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALLET: WalletId = WalletId(0);

    fn key(expires_at: i64) -> LotKey {
        LotKey {
            wallet: WALLET,
            issuer: SymbolId(1),
            funding_rate_bps: 0,
            available_from_minute: 0,
            inactive_days: 0,
            expires_at: TimestampNs(expires_at),
        }
    }

    fn name() -> HeldName {
        HeldName { partner: SymbolId(1), transaction_id: "a".into() }
    }

    /// Seven units of a lot that dies at 100 and three of one that dies at 200, set aside until 150; two are left.
    fn account() -> Account {
        let mut account = Account { lots: vec![Lot { key: key(200), remaining: 5 }], ..Account::default() };
        let taken = [(key(100), 7), (key(200), 3)];
        let set_aside = |(key, units): (LotKey, Units)| LotChange { key, delta: -units, movement: Movement::SetAside };
        let begins = AuthorizationChange::Begins(name(), TimestampNs(150));
        let changes = AuthorizationChanges { ended: Vec::new(), own: Some(begins) };
        let effects = Effects {
            lots: taken.map(set_aside).to_vec(),
            authorizations: Some(Box::new(changes)),
            ..Effects::default()
        };
        account.lots.insert(0, Lot { key: key(100), remaining: 7 });
        assert!(account.accepts_authorizations(&effects));
        effects.lots.iter().for_each(|lot| account.change_lot(lot));
        account.change_authorizations(&effects);
        account
    }

    fn captures(units: Units, captured: Units, closes: bool, back: &[(i64, Units)]) -> Effects {
        let own = AuthorizationChange::Captures { name: name(), units, captured, rest: 10 - units, closes };
        let back =
            back.iter().map(|(at, delta)| LotChange { key: key(*at), delta: *delta, movement: Movement::GiveBack });
        Effects {
            lots: back.collect(),
            authorizations: Some(Box::new(AuthorizationChanges { ended: Vec::new(), own: Some(own) })),
            ..Effects::default()
        }
    }

    #[test]
    fn what_is_set_aside_neither_dies_nor_is_available_until_its_end() {
        let account = account();
        assert_eq!((account.lots.len(), account.set_aside(WALLET, TimestampNs(0))), (1, 10));
        let at = |at| (account.balance(WALLET, TimestampNs(at)), account.available(WALLET, TimestampNs(at)));
        assert_eq!([at(0), at(149), at(150), at(200)], [(12, 2), (12, 2), (5, 5), (0, 0)]);
        assert_eq!(account.unposted_expiry(WALLET, TimestampNs(150)), 7);
        let settled = account.settled(TimestampNs(150));
        assert_eq!((settled.lots.len(), settled.authorizations().len()), (2, 0));
        assert_eq!(settled.balance(WALLET, TimestampNs(150)), 5);
        assert!(matches!(account.settled(TimestampNs(149)), Cow::Borrowed(_)));
    }

    #[test]
    fn a_capture_says_exactly_what_it_takes_and_gives_back() {
        let account = account();
        assert!(account.accepts_authorizations(&captures(8, 8, false, &[(100, 7), (200, 1)])));
        assert!(account.accepts_authorizations(&captures(4, 4, true, &[(100, 4), (100, 3), (200, 3)])));
        let forged = [
            captures(8, 8, false, &[(100, 7)]),
            captures(8, 9, false, &[(100, 7), (200, 1)]),
            captures(8, 8, false, &[(100, 7), (200, 1), (200, 1)]),
            captures(11, 11, true, &[(100, 7), (200, 3)]),
            captures(10, 10, false, &[(100, 7), (200, 3)]),
            Effects { authorizations: None, ..captures(8, 8, false, &[(100, 7), (200, 1)]) },
        ];
        for effects in forged {
            assert!(!account.accepts_authorizations(&effects), "{effects:?}");
        }
    }
}
