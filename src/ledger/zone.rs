//! A time zone flattened to a table: instants to local days and years, without a library call or an allocation.
//!
//! The table is built when a programme is compiled, so that a decision depends only on its arguments (invariant 5).
//! A local midnight that does not exist needs no special case: the local day changes where the offset jumps over it.

use super::types::{Day, MonthDay, TimestampNs};

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
    /// The place of the transition in force where each [`STEP_SECONDS`] begin, the first of them with the second
    /// transition: so that no search is needed, but a step or two. Where there is one transition there are none.
    steps: Vec<u16>,
}

/// Seven weeks: shorter than offsets are in force, by far most of them.
const STEP_SECONDS: i64 = 1 << 22;
/// Enough for thousands of years. Behind them the way from one transition to the next is gone.
const STEPS_MAX: i64 = 1 << 16;

impl Zone {
    /// A zone from its transitions.
    ///
    /// # Panics
    /// When `transitions` is empty or not strictly ascending: both are faults of the compiler of programmes.
    #[must_use]
    pub fn new(name: &str, transitions: Vec<Transition>) -> Self {
        assert!(!transitions.is_empty(), "a zone has at least one offset");
        assert!(transitions.is_sorted_by(|a, b| a.from_seconds < b.from_seconds), "transitions ascend");
        let steps = steps(&transitions);
        Self { name: name.to_owned(), transitions, steps }
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
        self.day_and_minute(at).0
    }

    /// The local calendar day that contains the instant, and the minute of that day: 0 to 1,439.
    ///
    /// # Panics
    /// Never: the range of [`TimestampNs`] is about 585 years.
    #[must_use]
    pub fn day_and_minute(&self, at: TimestampNs) -> (Day, u16) {
        let seconds = at.0.div_euclid(NS_PER_SECOND);
        let local = seconds + i64::from(self.segment(self.segment_at(seconds)).offset_seconds);
        let day = Day(i32::try_from(local.div_euclid(SECONDS_PER_DAY)).expect("the range is about 585 years"));
        (day, u16::try_from(local.rem_euclid(SECONDS_PER_DAY) / 60).expect("a day has 1,440 minutes"))
    }

    /// The first instant of a local calendar day; where its midnight does not exist, the transition that skips it.
    #[must_use]
    pub fn start_of_day(&self, day: Day) -> TimestampNs {
        let midnight = i64::from(day.0) * SECONDS_PER_DAY;
        // No offset is as long as a day, so the segment of the day before holds or comes before the answer.
        let mut index = self.segment_at(midnight - SECONDS_PER_DAY);
        loop {
            let segment = self.segment(index);
            let begins = (midnight - i64::from(segment.offset_seconds)).max(segment.from_seconds);
            if self.transitions.get(index + 1).is_none_or(|next| begins < next.from_seconds) {
                return TimestampNs(begins.saturating_mul(NS_PER_SECOND));
            }
            index += 1;
        }
    }

    /// The place of the segment that contains an instant.
    fn segment_at(&self, seconds: i64) -> usize {
        let Some(second) = self.transitions.get(1).filter(|second| second.from_seconds <= seconds) else { return 0 };
        let step = usize::try_from(seconds.abs_diff(second.from_seconds) / STEP_SECONDS.unsigned_abs());
        let step = step.ok().and_then(|step| self.steps.get(step)).or(self.steps.last());
        let mut index = step.map_or(0, |index| usize::from(*index));
        while self.transitions.get(index + 1).is_some_and(|next| next.from_seconds <= seconds) {
            index += 1;
        }
        index
    }

    fn segment(&self, index: usize) -> &Transition {
        self.transitions.get(index).expect("a zone has at least one offset")
    }

    /// The local calendar year that contains the instant.
    #[must_use]
    pub fn year(&self, at: TimestampNs) -> i32 {
        year_of_day(self.day(at))
    }
}

/// See [`Zone::steps`].
///
/// # Panics
/// When there are more transitions than a zone has hours of its history: a fault of the compiler of programmes.
fn steps(transitions: &[Transition]) -> Vec<u16> {
    let [_, second, .., last] = transitions else {
        // From the second transition on it is in force, if there is one.
        return transitions.get(1).map(|_| 1).into_iter().collect();
    };
    let count = (last.from_seconds.saturating_sub(second.from_seconds) / STEP_SECONDS + 1).min(STEPS_MAX);
    let begins = (0..count).map(|step| second.from_seconds + step * STEP_SECONDS);
    let in_force = |at| transitions.partition_point(|transition| transition.from_seconds <= at) - 1;
    begins.map(|at| u16::try_from(in_force(at)).expect("a zone changes its offset a few hundred times")).collect()
}

/// The UTC day that contains the instant.
#[must_use]
pub fn utc_day(at: TimestampNs) -> Day {
    Day(i32::try_from(at.0.div_euclid(NS_PER_SECOND * SECONDS_PER_DAY)).expect("585 years are fewer than 2^31 days"))
}

/// The instant at which a UTC day begins; the nearest that there is for a day that lies further away than those.
#[must_use]
pub fn begin_of_utc_day(day: Day) -> TimestampNs {
    TimestampNs(i64::from(day.0).saturating_mul(NS_PER_SECOND * SECONDS_PER_DAY))
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

/// The month of a day, 1 to 12. After Hinnant, `civil_from_days`.
///
/// # Panics
/// Never: a month is a small number.
#[must_use]
pub fn month_of_day(day: Day) -> u8 {
    let day_of_era = (i64::from(day.0) + 719_468).rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Of a year that begins in March.
    let month = (5 * day_of_year + 2) / 153;
    u8::try_from(if month < 10 { month + 3 } else { month - 9 }).expect("a month is a small number")
}

/// The month and the day of the month of a day.
///
/// # Panics
/// Never: both are small.
#[must_use]
pub fn month_day_of(day: Day) -> MonthDay {
    let month = month_of_day(day);
    let first = first_day_of_month(year_of_day(day), i32::from(month));
    MonthDay { month, day: u8::try_from(day.0 - first.0 + 1).expect("a month has at most 31 days") }
}

/// The day on which a day of the year falls; 1 March for a 29 February that there is not.
#[must_use]
pub fn day_in_year(of: MonthDay, year: i32) -> Day {
    Day(first_day_of_month(year, i32::from(of.month)).0 + i32::from(of.day) - 1)
}

/// The first day of a month, 1 to 12, of a proleptic Gregorian year. After Hinnant, `days_from_civil`.
///
/// # Panics
/// When the day leaves the range of i32: years of calendar windows are small.
#[must_use]
pub fn first_day_of_month(year: i32, month: i32) -> Day {
    let march_year = i64::from(year) - i64::from(month <= 2);
    let era = march_year.div_euclid(400);
    let year_of_era = march_year.rem_euclid(400);
    let day_of_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Day(i32::try_from(era * 146_097 + day_of_era - 719_468).expect("years of calendar windows are small"))
}

/// The day of the week, 0 for Monday to 6 for Sunday: 1970-01-01 was a Thursday.
#[must_use]
pub fn weekday(day: Day) -> u8 {
    u8::try_from((i64::from(day.0) + 3).rem_euclid(7)).expect("a remainder of seven is small")
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
    use proptest::prelude::*;

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
    fn months_and_weekdays_of_days() {
        // 2017-03-01 was a Wednesday, 2000-02-29 a Tuesday, 1969-12-31 a Wednesday.
        for (day, month, weekday_number) in [(17_226, 3, 2), (11_016, 2, 1), (-1, 12, 2), (0, 1, 3)] {
            assert_eq!((month_of_day(Day(day)), weekday(Day(day))), (month, weekday_number), "day {day}");
        }
        assert_eq!(first_day_of_month(2017, 3), Day(17_226));
        assert_eq!(first_day_of_month(1970, 1), Day(0));
    }

    proptest! {
        #[test]
        fn the_offset_in_force_is_found_wherever_transitions_lie(
            first in -4_000_000_000_i64..0,
            gaps in prop::collection::vec(1_i64..80_000_000, 0..40),
            near in prop::collection::vec((0..42_usize, -2_i64..3), 1..20),
        ) {
            let mut at = first;
            let starts = gaps.iter().map(|gap| { at += gap; at });
            let starts: Vec<i64> = std::iter::once(i64::MIN).chain(starts).collect();
            let transitions = starts.iter().map(|from_seconds| Transition { from_seconds: *from_seconds, offset_seconds: 0 });
            let zone = Zone::new("somewhere", transitions.collect());
            for (index, by) in near {
                let seconds = starts.get(index).copied().unwrap_or(at + 1_000_000_000).saturating_add(by);
                let searched = starts.partition_point(|from| *from <= seconds).saturating_sub(1);
                prop_assert_eq!(zone.segment_at(seconds), searched);
            }
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
