//! How many units of a shard wait for their time: what follows from the lots, for adding up.
//!
//! What must stay true: what is counted is what lies in lots that cannot be spent before an instant of the future; no minute
//! that the shard has reached is kept, so that this is never larger than the lots that are pending; what is held for review
//! waits for nobody's time and is not in it.

use std::collections::BTreeMap;

use super::decision::LotKey;
use super::types::{SymbolId, TimestampNs, Units, WalletId};

const NS_PER_MINUTE: i64 = 60_000_000_000;

/// Pending units by the minute from which they can be spent, by issuer and by wallet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    units: BTreeMap<(u32, SymbolId, WalletId), i128>,
}

/// Whether what can be spent from a minute on cannot be spent yet.
fn waits(minute: u32, at: TimestampNs) -> bool {
    i64::from(minute) > at.0.div_euclid(NS_PER_MINUTE)
}

impl Pending {
    /// Counts a change to a lot, if its units are pending at the instant. Every change to such a lot must be counted.
    pub fn count(&mut self, key: &LotKey, delta: Units, at: TimestampNs) {
        if key.available_from_minute == 0 || key.is_held() || !waits(key.available_from_minute, at) {
            return;
        }
        let place = (key.available_from_minute, key.issuer, key.wallet);
        let units = self.units.entry(place).or_default();
        *units += i128::from(delta);
        if *units == 0 {
            self.units.remove(&place);
        }
    }

    /// Forgets what can be spent at the instant.
    pub fn reach(&mut self, at: TimestampNs) {
        while let Some(first) = self.units.first_entry() {
            if waits(first.key().0, at) {
                return;
            }
            first.remove();
        }
    }

    /// Units of a wallet that a partner issued and nobody can spend before the time has come.
    #[must_use]
    pub fn of(&self, issuer: SymbolId, wallet: WalletId, at: TimestampNs) -> i128 {
        let units = self.units.iter().filter(|((minute, ..), _)| waits(*minute, at));
        units.filter(|((_, of, in_wallet), _)| (*of, *in_wallet) == (issuer, wallet)).map(|(_, units)| units).sum()
    }

    /// Adds what waits in another shard.
    pub fn add(&mut self, other: &Self) {
        for (place, units) in &other.units {
            *self.units.entry(*place).or_default() += units;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALLET: WalletId = WalletId(0);
    const ISSUER: SymbolId = SymbolId(7);

    fn key(available_from_minute: u32) -> LotKey {
        LotKey {
            wallet: WALLET,
            issuer: ISSUER,
            funding_rate_bps: 0,
            available_from_minute,
            inactive_days: 0,
            expires_at: LotKey::NEVER,
        }
    }

    fn minute(number: i64) -> TimestampNs {
        TimestampNs(number * NS_PER_MINUTE)
    }

    #[test]
    fn what_waits_is_counted_until_its_minute_and_forgotten_then() {
        let mut pending = Pending::default();
        for (at, delta) in [(10, 5), (20, 7), (20, -3)] {
            pending.count(&key(at), delta, minute(0));
        }
        // What can be spent at once, what can be spent by now, and what is held.
        pending.count(&key(0), 100, minute(0));
        pending.count(&key(9), 100, minute(9));
        pending.count(&key(30).held(), 100, minute(0));
        let waiting = |pending: &Pending, at| pending.of(ISSUER, WALLET, at);
        let just_before = TimestampNs(10 * NS_PER_MINUTE - 1);
        for (at, units) in [(minute(9), 9), (just_before, 9), (minute(10), 4), (minute(19), 4), (minute(20), 0)] {
            assert_eq!(waiting(&pending, at), units, "at {at:?}");
        }
        pending.reach(just_before);
        assert_eq!(pending.units.len(), 2);
        pending.reach(minute(10));
        assert_eq!(pending.units.len(), 1);
        // Spent, and so no more of what waits.
        pending.count(&key(10), -5, minute(10));
        assert_eq!(waiting(&pending, minute(10)), 4);
        assert_eq!((pending.of(SymbolId(8), WALLET, minute(0)), pending.of(ISSUER, WalletId(1), minute(0))), (0, 0));
        let mut sum = pending.clone();
        sum.add(&pending);
        assert_eq!(waiting(&sum, minute(10)), 8);
        pending.count(&key(20), -4, minute(10));
        assert_eq!(pending, Pending::default());
    }
}
