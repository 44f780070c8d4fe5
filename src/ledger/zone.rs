//! A time zone flattened to a table: instants to local days and years, without a library call or an allocation.
//!
//! The table is built when a programme is compiled, so that a decision depends only on its arguments (invariant 5).
//! A local midnight that does not exist needs no special case: the local day changes where the offset jumps over it.

use super::types::{Day, TimestampNs};

const NS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// The offset from UTC that is in force from an instant on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Seconds since the Unix epoch.
    pub from_seconds: i64,
    /// Seconds to add to UTC to get local time.
    pub offset_seconds: i32,
}

/// An IANA time zone as a table of transitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    name: String,
    /// Ascending by `from_seconds`; the first is in force for all earlier instants too. Never empty.
    transitions: Vec<Transition>,
}

impl Zone {
    /// A zone from its transitions.
    ///
    /// # Panics
    /// When `transitions` is empty or not strictly ascending: both are faults of the compiler of programmes.
    #[must_use]
    pub fn new(name: &str, transitions: Vec<Transition>) -> Self {
        assert!(!transitions.is_empty(), "a zone has at least one offset");
        assert!(transitions.is_sorted_by(|a, b| a.from_seconds < b.from_seconds), "transitions ascend");
        Self { name: name.to_owned(), transitions }
    }

    /// UTC.
    #[must_use]
    pub fn utc() -> Self {
        Self::new("UTC", vec![Transition { from_seconds: i64::MIN, offset_seconds: 0 }])
    }

    /// The IANA name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The local calendar day that contains the instant.
    #[must_use]
    pub fn day(&self, at: TimestampNs) -> Day {
        let seconds = at.0.div_euclid(NS_PER_SECOND);
        let next = self.transitions.partition_point(|transition| transition.from_seconds <= seconds);
        let current = self.transitions.get(next.saturating_sub(1)).expect("a zone has at least one offset");
        let local = seconds + i64::from(current.offset_seconds);
        Day(i32::try_from(local.div_euclid(SECONDS_PER_DAY)).expect("the range of TimestampNs is about 585 years"))
    }

    /// The local calendar year that contains the instant.
    #[must_use]
    pub fn year(&self, at: TimestampNs) -> i32 {
        year_of_day(self.day(at))
    }
}

/// The UTC day that contains the instant.
#[must_use]
pub fn utc_day(at: TimestampNs) -> Day {
    Day(i32::try_from(at.0.div_euclid(NS_PER_SECOND * SECONDS_PER_DAY)).expect("585 years are fewer than 2^31 days"))
}

/// The proleptic Gregorian year of a day. After Howard Hinnant, "chrono-compatible low-level date algorithms",
/// `civil_from_days`.
#[must_use]
pub fn year_of_day(day: Day) -> i32 {
    let shifted = i64::from(day.0) + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // The computation's year begins in March; January and February belong to the next civil year.
    let year = year_of_era + era * 400 + i64::from(day_of_year >= 306);
    i32::try_from(year).expect("a day of i32 lies within i32 years")
}

/// The last day of a proleptic Gregorian year: the day before 1 January of the next. After Hinnant, `days_from_civil`.
#[must_use]
pub fn last_day_of_year(year: i32) -> Day {
    // 1 January of year + 1 belongs, in a year that begins in March, to `year`.
    let march_year = i64::from(year);
    let era = march_year.div_euclid(400);
    let year_of_era = march_year.rem_euclid(400);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + 306;
    let first_of_next = era * 146_097 + day_of_era - 719_468;
    Day(i32::try_from(first_of_next - 1).expect("years of calendar windows are small"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ns(seconds: i64) -> TimestampNs {
        TimestampNs(seconds * NS_PER_SECOND)
    }

    #[test]
    fn years_of_days() {
        for (day, year) in
            [(0, 1970), (-1, 1969), (364, 1970), (365, 1971), (17_166, 2016), (17_167, 2017), (19_782, 2024)]
        {
            assert_eq!(year_of_day(Day(day)), year, "day {day}");
        }
        for year in [1969, 1970, 1999, 2000, 2016, 2017, 2024, 2100] {
            let last = last_day_of_year(year);
            assert_eq!(year_of_day(last), year);
            assert_eq!(year_of_day(Day(last.0 + 1)), year + 1);
        }
    }

    #[test]
    fn a_day_begins_where_the_offset_says() {
        // New York, spring 2017: -5 h until 2017-03-12T07:00:00Z, then -4 h.
        let zone = Zone::new(
            "America/New_York",
            vec![
                Transition { from_seconds: i64::MIN, offset_seconds: -18_000 },
                Transition { from_seconds: 1_489_302_000, offset_seconds: -14_400 },
            ],
        );
        let before = zone.day(ns(1_483_246_799)); // 2016-12-31T23:59:59 local
        assert_eq!(zone.day(ns(1_483_246_800)), Day(before.0 + 1));
        assert_eq!(zone.year(ns(1_483_246_799)), 2016);
        assert_eq!(zone.year(ns(1_483_246_800)), 2017);
        let first_midnight_after_the_change = 1_489_377_600; // 2017-03-13T04:00:00Z
        let day = zone.day(ns(first_midnight_after_the_change));
        assert_eq!(zone.day(ns(first_midnight_after_the_change - 1)), Day(day.0 - 1));
    }
}
