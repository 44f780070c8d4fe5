//! The terms under which units are granted; they are frozen in the lot.

use crate::ledger::decision::LotKey;
use crate::ledger::types::{Day, SymbolId, TimestampNs, WalletId};
use crate::ledger::zone::{Zone, first_day_of_month, year_of_day};

const NS_PER_MINUTE: i64 = 60_000_000_000;

/// When granted units can be spent, and how long they live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// They can be spent after so many full days behind the day on which they were earned; 0 means at once.
    pub pending_days: u16,
    /// When they die.
    pub expiry: Expiry,
}

/// When granted units die. Local days are those of the event: the receipt's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expiry {
    /// Never.
    #[default]
    Never,
    /// They live for so many full days after the day on which they were earned, and die at the midnight that follows.
    AfterDays(u16),
    /// They die at the end of the first such day behind the one on which they were earned.
    EachYearOn {
        /// 1 to 12.
        month: u8,
        /// 1 to 31, a day that the month always has: 29 February is none.
        day: u8,
    },
    /// They die after so many full days behind the account's last basket, activity or redemption, at the midnight that
    /// follows. At least one.
    AfterInactivity(u16),
}

impl Terms {
    /// The lot that units earned on this local day belong to.
    #[must_use]
    pub fn lot(&self, zone: &Zone, wallet: WalletId, issuer: SymbolId, earned_on: Day) -> LotKey {
        LotKey {
            wallet,
            issuer,
            funding_rate_bps: 0,
            available_from_minute: match self.pending_days {
                0 => 0,
                days => minute_of(zone.start_of_day(days_after(earned_on, days))),
            },
            inactive_days: match self.expiry {
                Expiry::AfterInactivity(days) => days,
                Expiry::Never | Expiry::AfterDays(_) | Expiry::EachYearOn { .. } => 0,
            },
            expires_at: self.expires_at(zone, earned_on),
        }
    }

    /// The instant from which units earned, or last kept alive, on this local day are dead.
    #[must_use]
    pub fn expires_at(&self, zone: &Zone, day: Day) -> TimestampNs {
        match self.expiry {
            Expiry::Never => LotKey::NEVER,
            Expiry::AfterDays(days) | Expiry::AfterInactivity(days) => zone.start_of_day(days_after(day, days)),
            Expiry::EachYearOn { month, day: day_of_month } => {
                let in_year = |year| Day(first_day_of_month(year, i32::from(month)).0 + i32::from(day_of_month) - 1);
                let year = year_of_day(day);
                let last = if in_year(year) > day { in_year(year) } else { in_year(year + 1) };
                zone.start_of_day(Day(last.0 + 1))
            }
        }
    }
}

/// The day after so many full days behind a day.
fn days_after(day: Day, full_days: u16) -> Day {
    Day(day.0 + i32::from(full_days) + 1)
}

/// The first minute that begins at or after an instant; 0 before the Unix epoch.
fn minute_of(at: TimestampNs) -> u32 {
    let minute = at.0.div_euclid(NS_PER_MINUTE) + i64::from(at.0.rem_euclid(NS_PER_MINUTE) > 0);
    u32::try_from(minute.max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NS_PER_DAY: i64 = 86_400_000_000_000;

    #[test]
    fn units_die_when_their_terms_say() {
        let zone = Zone::utc();
        // 2017-03-01 is day 17,226; 2017-12-31 is day 17,531.
        let rows = [
            (Expiry::Never, LotKey::NEVER.0),
            (Expiry::AfterDays(60), 17_287 * NS_PER_DAY),
            (Expiry::AfterInactivity(1), 17_228 * NS_PER_DAY),
            (Expiry::EachYearOn { month: 12, day: 31 }, 17_532 * NS_PER_DAY),
            (Expiry::EachYearOn { month: 3, day: 1 }, (17_226 + 366) * NS_PER_DAY),
        ];
        for (expiry, expected) in rows {
            let terms = Terms { expiry, ..Terms::default() };
            assert_eq!(terms.expires_at(&zone, Day(17_226)).0, expected, "{expiry:?}");
        }
    }

    #[test]
    fn pending_units_can_be_spent_from_their_midnight_on() {
        let terms = Terms { pending_days: 2, ..Terms::default() };
        let key = terms.lot(&Zone::utc(), WalletId(0), SymbolId(1), Day(100));
        assert!(!key.is_available(TimestampNs(103 * NS_PER_DAY - 1)) && key.is_alive(TimestampNs(0)));
        assert!(key.is_available(TimestampNs(103 * NS_PER_DAY)));
    }
}
