//! What partners have issued and taken, as the other side of every change to a lot.
//!
//! What must stay true: what an account gains its issuer's sub-account loses (invariant 4); what is burned is attributed
//! to the issuers of the lots that were taken, in the order in which they were, and to the partner that took it;
//! everything follows from the records alone, so that a report is the same whoever adds it up.

use std::collections::BTreeMap;

use super::decision::{Effects, LotChange, Movement};
use super::pending::Pending;
use super::state::ShardState;
use super::types::{AccountNumber, Seq, SymbolId, TimestampNs, Units, WalletId};

/// Sums of units, each weighted with the funding rate that its lot froze: basis points of a minor unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Funding {
    /// Of units issued.
    pub issued: i128,
    /// Of units taken back.
    pub reversed: i128,
    /// Of units burned, less those that came back.
    pub redeemed: i128,
    /// Of units that expired, less those that came back.
    pub expired: i128,
}

/// A partner's side of the movements in one shard: what its issues add to accounts, this loses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartnerAccount {
    /// Zero minus all units of the partner outstanding in this shard.
    pub balance: i128,
    /// Units issued since the beginning, net of nothing.
    pub issued: i128,
    /// Units taken back by reversals, rejections and adjustments.
    pub reversed: i128,
    /// Units burned by redemptions, whoever took them, less those that came back.
    pub redeemed: i128,
    /// Units that expired, less those that came back.
    pub expired: i128,
    /// The same by funding rate.
    pub funding: Funding,
    /// The last record that changed it.
    pub seq: Seq,
}

impl PartnerAccount {
    /// The other side of a change to an account's lot.
    ///
    /// # Panics
    /// When the total of a shard leaves the range of i128: it cannot, a balance being at most 10^18.
    pub fn change(&mut self, change: &LotChange) {
        if change.movement.sets_aside() {
            return; // outstanding as before
        }
        let delta = i128::from(change.delta);
        let funded = delta * i128::from(change.key.funding_rate_bps);
        self.balance -= delta;
        let Funding { issued, reversed, redeemed, expired } = &mut self.funding;
        let (sum, sign, funding) = match change.movement {
            Movement::Grant => (&mut self.issued, 1, issued),
            Movement::Burn | Movement::Unburn => (&mut self.redeemed, -1, redeemed),
            Movement::Expire | Movement::Restore => (&mut self.expired, -1, expired),
            Movement::Reverse => (&mut self.reversed, -1, reversed),
            Movement::Extend | Movement::Release | Movement::SetAside | Movement::GiveBack => return,
        };
        *sum += sign * delta;
        *funding += sign * funded;
    }

    /// Units of the partner outstanding by what it issued and what became of that.
    #[must_use]
    pub fn outstanding(&self) -> i128 {
        self.issued - self.reversed - self.redeemed - self.expired
    }

    fn add(&mut self, other: &Self) {
        let Self { balance, issued, reversed, redeemed, expired, funding, seq: _ } = *other;
        self.balance += balance;
        self.issued += issued;
        self.reversed += reversed;
        self.redeemed += redeemed;
        self.expired += expired;
        self.funding.issued += funding.issued;
        self.funding.reversed += funding.reversed;
        self.funding.redeemed += funding.redeemed;
        self.funding.expired += funding.expired;
    }
}

/// Who took units, whose they were, and of which wallet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BurnKey {
    /// The partner with which they were burned.
    pub acceptor: SymbolId,
    /// The partner that had issued them.
    pub issuer: SymbolId,
    /// The wallet.
    pub wallet: WalletId,
}

/// What one partner burned of another's units in one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BurnAccount {
    /// Units burned, less those that came back.
    pub units: i128,
    /// The same, each weighted with the acceptor's redemption rate when it was burned: basis points of a minor unit.
    pub redemption: i128,
    /// The last record that changed it.
    pub seq: Seq,
}

/// The sub-accounts of all partners in one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartnerAccounts {
    issuers: BTreeMap<(SymbolId, WalletId), PartnerAccount>,
    burns: BTreeMap<BurnKey, BurnAccount>,
}

impl PartnerAccounts {
    /// The issuers' sub-accounts, in order.
    pub fn issuers(&self) -> impl Iterator<Item = (&(SymbolId, WalletId), &PartnerAccount)> {
        self.issuers.iter()
    }

    /// What was burned, by acceptor and issuer, in order.
    pub fn burns(&self) -> impl Iterator<Item = (&BurnKey, &BurnAccount)> {
        self.burns.iter()
    }

    /// An issuer's sub-account of a wallet; empty when it never moved.
    #[must_use]
    pub fn issuer(&self, issuer: SymbolId, wallet: WalletId) -> PartnerAccount {
        self.issuers.get(&(issuer, wallet)).copied().unwrap_or_default()
    }

    /// Puts an issuer's sub-account in its place when a snapshot is loaded.
    pub fn place_issuer(&mut self, issuer: SymbolId, wallet: WalletId, account: PartnerAccount) {
        self.issuers.insert((issuer, wallet), account);
    }

    /// Puts what was burned in its place when a snapshot is loaded.
    pub fn place_burn(&mut self, key: BurnKey, account: BurnAccount) {
        self.burns.insert(key, account);
    }

    /// Moves the other side of the lots: each sub-account once for a record, by all of its lots together, and only if the
    /// record is newer than it.
    pub fn change(&mut self, seq: Seq, acceptor: SymbolId, redemption_rate_bps: u32, lots: &[LotChange]) {
        let side = |lot: &LotChange| (lot.key.issuer, lot.key.wallet);
        for (index, lot) in lots.iter().enumerate() {
            if lots.iter().take(index).any(|earlier| side(earlier) == side(lot)) {
                continue;
            }
            let of_side = || lots.iter().skip(index).filter(|other| side(other) == side(lot));
            let issuer = self.issuers.entry(side(lot)).or_default();
            if seq > issuer.seq {
                issuer.seq = seq;
                of_side().for_each(|same| issuer.change(same));
            }
            // Less than nothing where burned units come back: from the partner with which they were burned.
            let moves = |same: &&LotChange| matches!(same.movement, Movement::Burn | Movement::Unburn);
            let burned: i128 = of_side().filter(moves).map(|same| -i128::from(same.delta)).sum();
            if burned != 0 {
                let key = BurnKey { acceptor, issuer: lot.key.issuer, wallet: lot.key.wallet };
                let account = self.burns.entry(key).or_default();
                if seq > account.seq {
                    account.seq = seq;
                    account.units += burned;
                    account.redemption += burned * i128::from(redemption_rate_bps);
                }
            }
        }
    }

    /// Adds the sub-accounts of another shard.
    pub fn add(&mut self, other: &Self) {
        for (side, account) in &other.issuers {
            self.issuers.entry(*side).or_default().add(account);
        }
        for (key, account) in &other.burns {
            let sum = self.burns.entry(*key).or_default();
            sum.units += account.units;
            sum.redemption += account.redemption;
        }
    }

    /// Whether what acceptors burned of each issuer's is what the issuer's units lost by redemptions. A snapshot of a
    /// version that kept no burns is not whole once something was burned.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let mut burned: BTreeMap<(SymbolId, WalletId), i128> = BTreeMap::new();
        for (key, account) in &self.burns {
            *burned.entry((key.issuer, key.wallet)).or_default() += account.units;
        }
        let of_issuer = |side| burned.get(side).copied().unwrap_or_default();
        self.issuers.iter().all(|(side, account)| account.redeemed == of_issuer(side))
            && burned.keys().all(|side| self.issuers.contains_key(side))
    }
}

/// The partners' side of one shard at one of its records: what a settlement adds up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The last record that counts.
    pub seq: Seq,
    /// The latest posting time of a record that counts.
    pub posted_at: Option<TimestampNs>,
    /// The sub-accounts.
    pub accounts: PartnerAccounts,
    /// Units that are held for review, by issuer and wallet.
    pub held: BTreeMap<(SymbolId, WalletId), i128>,
    /// Units that wait for their time.
    pub pending: Pending,
}

impl Standing {
    /// How a shard stands now.
    #[must_use]
    pub fn of(shard: &ShardState) -> Self {
        let posted_at = (shard.seq > Seq(0)).then_some(shard.posted_at);
        let (accounts, pending) = (shard.partners.clone(), shard.pending().clone());
        let mut standing = Self { seq: shard.seq, posted_at, accounts, held: BTreeMap::new(), pending };
        for (_, account) in shard.holding(AccountNumber(0)) {
            for lot in account.lots.iter().filter(|lot| lot.key.is_held()) {
                standing.hold(lot.key.issuer, lot.key.wallet, lot.remaining);
            }
        }
        standing
    }

    /// Adds the record with this number, if it is newer than all that count.
    pub fn apply(&mut self, seq: Seq, posted_at: TimestampNs, partner: SymbolId, effects: &Effects) {
        if seq <= self.seq {
            return;
        }
        (self.seq, self.posted_at) = (seq, Some(posted_at));
        self.accounts.change(seq, partner, effects.redemption_rate_bps, &effects.lots);
        self.pending.reach(posted_at);
        for lot in &effects.lots {
            if lot.key.is_held() {
                self.hold(lot.key.issuer, lot.key.wallet, lot.delta);
            }
            self.pending.count(&lot.key, lot.delta, posted_at);
        }
    }

    fn hold(&mut self, issuer: SymbolId, wallet: WalletId, units: Units) {
        let held = self.held.entry((issuer, wallet)).or_default();
        *held += i128::from(units);
        if *held == 0 {
            self.held.remove(&(issuer, wallet));
        }
    }

    /// Adds another shard's.
    pub fn add(&mut self, other: &Self) {
        self.posted_at = self.posted_at.max(other.posted_at);
        self.accounts.add(&other.accounts);
        for (side, held) in &other.held {
            *self.held.entry(*side).or_default() += held;
        }
        self.pending.add(&other.pending);
    }

    /// Units of an issuer's wallet that cannot be spent at the latest posting: pending, or held for review.
    #[must_use]
    pub fn pending(&self, issuer: SymbolId, wallet: WalletId) -> i128 {
        let held = self.held.get(&(issuer, wallet)).copied().unwrap_or_default();
        held + self.posted_at.map_or(0, |at| self.pending.of(issuer, wallet, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::decision::LotKey;

    const WALLET: WalletId = WalletId(0);

    fn lot(issuer: u32, funding_rate_bps: u32, delta: i64, movement: Movement) -> LotChange {
        let key = LotKey {
            wallet: WALLET,
            issuer: SymbolId(issuer),
            funding_rate_bps,
            available_from_minute: 0,
            inactive_days: 0,
            expires_at: LotKey::NEVER,
        };
        LotChange { key, delta, movement }
    }

    #[test]
    fn what_is_burned_is_attributed_to_issuers_and_to_who_took_it() {
        let (north, south) = (SymbolId(1), SymbolId(2));
        let mut all = PartnerAccounts::default();
        all.change(Seq(1), north, 0, &[lot(1, 5_000, 30, Movement::Grant)]);
        all.change(Seq(2), south, 0, &[lot(2, 6_000, 20, Movement::Grant)]);
        all.change(
            Seq(3),
            south,
            4_000,
            &[
                lot(1, 5_000, -5, Movement::Expire),
                lot(1, 5_000, -25, Movement::Burn),
                lot(2, 6_000, -15, Movement::Burn),
            ],
        );
        let of_north = all.issuer(north, WALLET);
        assert_eq!((of_north.issued, of_north.redeemed, of_north.expired, of_north.balance), (30, 25, 5, 0));
        let funding = Funding { issued: 150_000, reversed: 0, redeemed: 125_000, expired: 25_000 };
        assert_eq!(of_north.funding, funding);
        let burns: Vec<_> = all.burns().map(|(key, burn)| (key.issuer, burn.units, burn.redemption)).collect();
        assert_eq!(burns, [(north, 25, 100_000), (south, 15, 60_000)]);
        assert!(all.is_whole() && all.issuers().all(|(_, issuer)| issuer.outstanding() == -issuer.balance));
        // A record that everything has already changes nothing.
        let before = all.clone();
        all.change(Seq(3), south, 4_000, &[lot(1, 5_000, -25, Movement::Burn)]);
        assert_eq!(all, before);
    }

    #[test]
    fn what_comes_back_is_given_back_where_it_was_taken() {
        let (north, south) = (SymbolId(1), SymbolId(2));
        let mut all = PartnerAccounts::default();
        all.change(Seq(1), north, 0, &[lot(1, 5_000, 30, Movement::Grant)]);
        all.change(Seq(2), south, 0, &[lot(2, 6_000, 20, Movement::Grant)]);
        let before = (all.issuer(north, WALLET).funding, all.issuer(south, WALLET).funding);
        let burn = [lot(1, 5_000, -25, Movement::Burn), lot(2, 6_000, -15, Movement::Burn)];
        all.change(Seq(3), south, 4_000, &burn);
        let some = [lot(2, 6_000, 15, Movement::Unburn), lot(1, 5_000, 5, Movement::Unburn)];
        all.change(Seq(4), south, 4_000, &some);
        let burns = |all: &PartnerAccounts| -> Vec<_> {
            all.burns().map(|(key, burn)| (key.issuer, burn.units, burn.redemption)).collect()
        };
        assert_eq!(burns(&all), [(north, 20, 80_000), (south, 0, 0)]);
        assert!(all.is_whole() && all.issuers().all(|(_, issuer)| issuer.outstanding() == -issuer.balance));
        // What comes back dead dies at once.
        let rest = [lot(1, 5_000, 20, Movement::Unburn), lot(1, 5_000, -20, Movement::Expire)];
        all.change(Seq(5), south, 4_000, &rest);
        assert_eq!(burns(&all), [(north, 0, 0), (south, 0, 0)]);
        let of_north = all.issuer(north, WALLET);
        assert_eq!((of_north.redeemed, of_north.expired, of_north.outstanding()), (0, 20, 10));
        assert_eq!(all.issuer(south, WALLET).funding, before.1);
        assert_eq!(of_north.funding, Funding { expired: 100_000, ..before.0 });
        assert!(all.is_whole());
    }

    #[test]
    fn burns_that_a_snapshot_did_not_keep_are_missed() {
        let mut all = PartnerAccounts::default();
        all.change(Seq(1), SymbolId(1), 0, &[lot(1, 0, 30, Movement::Grant), lot(1, 0, -10, Movement::Burn)]);
        let mut old = PartnerAccounts::default();
        old.place_issuer(SymbolId(1), WALLET, all.issuer(SymbolId(1), WALLET));
        assert!(all.is_whole() && !old.is_whole());
    }

    #[test]
    fn shards_add_up() {
        let mut one = PartnerAccounts::default();
        one.change(Seq(1), SymbolId(1), 7, &[lot(1, 3, 30, Movement::Grant), lot(1, 3, -10, Movement::Burn)]);
        let mut sum = one.clone();
        sum.add(&one);
        let issuer = sum.issuer(SymbolId(1), WALLET);
        assert_eq!((issuer.issued, issuer.balance, issuer.funding.redeemed), (60, -40, 60));
        assert!(sum.burns().all(|(_, burn)| (burn.units, burn.redemption) == (20, 140)));
    }
}
