//! Instants and calendar days between the wire and the domain.
//!
//! What must stay true: an instant goes through unchanged to the nanosecond; what the contract does not allow (years
//! before 1678 or after 2261) does not become an instant.

use prost_types::Timestamp;

use super::wire;
use crate::ledger::program::CalendarWindow;
use crate::ledger::types::{Day, TimestampNs};

const NS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// The first and the last year that an instant may lie in.
const YEARS: std::ops::RangeInclusive<i32> = 1678..=2261;

/// The instant that a timestamp states; `None` outside the years that the contract allows.
pub(super) fn instant(timestamp: &Timestamp) -> Option<TimestampNs> {
    let seconds = first_second(*YEARS.start())..first_second(*YEARS.end() + 1);
    if !seconds.contains(&timestamp.seconds) || !(0..NS_PER_SECOND).contains(&i64::from(timestamp.nanos)) {
        return None;
    }
    Some(TimestampNs(timestamp.seconds * NS_PER_SECOND + i64::from(timestamp.nanos)))
}

/// An instant as a timestamp. One before the years that the contract allows, such as "since ever", becomes their
/// first instant.
pub(super) fn timestamp(at: TimestampNs) -> Timestamp {
    let first = Timestamp { seconds: first_second(*YEARS.start()), nanos: 0 };
    let seconds = at.0.div_euclid(NS_PER_SECOND);
    if seconds < first.seconds {
        return first;
    }
    let nanos = i32::try_from(at.0.rem_euclid(NS_PER_SECOND)).expect("a remainder below 10^9 fits");
    Timestamp { seconds, nanos }
}

fn first_second(year: i32) -> i64 {
    i64::from(day_of_civil(year, 1, 1)) * SECONDS_PER_DAY
}

/// The day that a date names; `None` when there is no such day or the year is not allowed.
pub(super) fn day(date: &wire::Date) -> Option<Day> {
    let in_range = YEARS.contains(&date.year) && (1..=12).contains(&date.month) && date.day >= 1;
    (in_range && date.day <= days_of_month(date.year, date.month))
        .then(|| Day(day_of_civil(date.year, date.month, date.day)))
}

/// A day as a date.
pub(super) fn date(day: Day) -> wire::Date {
    let (year, month, day) = civil_of_day(day.0);
    wire::Date { year, month, day }
}

/// A period of a window as the contract writes it, such as `2017-03-31` or `2017`.
pub(super) fn period(window: CalendarWindow, period: i32) -> String {
    let shown = |day: i32| {
        let (year, month, day) = civil_of_day(day);
        format!("{year:04}-{month:02}-{day:02}")
    };
    match window {
        CalendarWindow::Hour => format!("{}T{:02}", shown(period.div_euclid(24)), period.rem_euclid(24)),
        CalendarWindow::Day => shown(period),
        CalendarWindow::Week => format!("{}/{}", shown(period), shown(window.last_day(period).0)),
        CalendarWindow::Month => format!("{:04}-{:02}", period.div_euclid(12), period.rem_euclid(12) + 1),
        CalendarWindow::Year => format!("{period:04}"),
        CalendarWindow::Anniversary => format!("year {}", i64::from(period) + 1),
        CalendarWindow::Lifetime => "all".to_owned(),
    }
}

fn days_of_month(year: i32, month: i32) -> i32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01. After Howard Hinnant, "chrono-compatible low-level date algorithms", `days_from_civil`.
fn day_of_civil(year: i32, month: i32, day: i32) -> i32 {
    let march_year = if month <= 2 { year - 1 } else { year };
    let era = march_year.div_euclid(400);
    let year_of_era = march_year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day. After Hinnant, `civil_from_days`.
fn civil_of_day(day: i32) -> (i32, i32, i32) {
    let shifted = i64::from(day) + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let small = |number: i64| i32::try_from(number).expect("a day of i32 lies within i32 years");
    (small(year), small(month), small(day_of_month))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_go_through_unchanged() {
        for at in [0, 1, -1, 999_999_999, -1_000_000_000, 1_490_000_000_123_456_789, 9_214_646_399_999_999_999] {
            assert_eq!(instant(&timestamp(TimestampNs(at))), Some(TimestampNs(at)), "{at}");
        }
    }

    #[test]
    fn only_the_years_of_the_contract_are_instants() {
        // 1678-01-01T00:00:00Z and 2261-12-31T23:59:59.999999999Z.
        let rows = [
            (-9_214_560_000, 0, true),
            (-9_214_560_001, 999_999_999, false),
            (9_214_646_399, 999_999_999, true),
            (9_214_646_400, 0, false),
            (0, -1, false),
            (0, 1_000_000_000, false),
            (i64::MAX, 0, false),
            (i64::MIN, 0, false),
        ];
        for (seconds, nanos, allowed) in rows {
            assert_eq!(instant(&Timestamp { seconds, nanos }).is_some(), allowed, "{seconds} s {nanos} ns");
        }
        assert_eq!(timestamp(TimestampNs(i64::MIN)), Timestamp { seconds: -9_214_560_000, nanos: 0 });
    }

    #[test]
    fn every_day_of_the_contract_has_one_date() {
        let first = day_of_civil(*YEARS.start(), 1, 1);
        let last = day_of_civil(*YEARS.end(), 12, 31);
        assert_eq!((first, last), (-106_650, 106_650), "292 years on either side");
        let mut before = wire::Date { year: 1677, month: 12, day: 31 };
        for number in first..=last {
            let date = date(Day(number));
            assert_eq!(day(&date), Some(Day(number)));
            let follows = (date.year, date.month, date.day) > (before.year, before.month, before.day);
            assert!(follows, "{date:?} after {before:?}");
            before = date;
        }
        assert_eq!((before.year, before.month, before.day), (2261, 12, 31));
    }

    #[test]
    fn days_that_do_not_exist_are_refused() {
        let rows = [
            (2017, 2, 29),
            (2016, 2, 30),
            (2100, 2, 29),
            (2017, 4, 31),
            (2017, 13, 1),
            (2017, 0, 1),
            (2017, 1, 0),
            (1677, 12, 31),
            (2262, 1, 1),
        ];
        for (year, month, day_of_month) in rows {
            assert_eq!(day(&wire::Date { year, month, day: day_of_month }), None, "{year}-{month}-{day_of_month}");
        }
    }

    #[test]
    fn periods_are_written_as_what_they_are() {
        assert_eq!(period(CalendarWindow::Hour, 17_256 * 24 + 9), "2017-03-31T09");
        assert_eq!(period(CalendarWindow::Day, 17_256), "2017-03-31");
        assert_eq!(period(CalendarWindow::Week, 17_252), "2017-03-27/2017-04-02");
        assert_eq!(period(CalendarWindow::Month, 2017 * 12 + 2), "2017-03");
        assert_eq!(period(CalendarWindow::Lifetime, 0), "all");
        assert_eq!(period(CalendarWindow::Year, 2017), "2017");
        assert_eq!(period(CalendarWindow::Anniversary, 0), "year 1");
    }
}
