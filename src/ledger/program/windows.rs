//! The windows in which counters count, and the period of each that contains an instant.
//!
//! What must stay true: the number of a period is fixed for ever, for counters are kept under it.

use crate::ledger::types::{Day, TimestampNs};
use crate::ledger::zone::{Zone, first_day_of_month, last_day_of_year, month_of_day, weekday, year_of_day};

/// The calendar window of a counter, in the programme's zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarWindow {
    /// A local hour; the one that is repeated when clocks go back is one hour.
    Hour,
    /// From local midnight to local midnight.
    Day,
    /// From Monday to Sunday.
    Week,
    /// From the first to the last day of a month.
    Month,
    /// From 1 January to 31 December.
    Year,
    /// All time.
    Lifetime,
}

/// The periods of all windows that contain one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periods {
    day: Day,
    hour: u8,
    year: i32,
}

impl Periods {
    /// The periods that contain the instant.
    #[must_use]
    pub fn at(zone: &Zone, at: TimestampNs) -> Self {
        let (day, minute) = zone.day_and_minute(at);
        Self::on(day, minute)
    }

    /// The periods that contain a minute, 0 to 1,439, of a local day.
    ///
    /// # Panics
    /// When there is no such minute.
    #[must_use]
    pub fn on(day: Day, minute: u16) -> Self {
        Self { day, hour: u8::try_from(minute / 60).expect("a day has 24 hours"), year: year_of_day(day) }
    }

    /// The local day.
    #[must_use]
    pub fn day(self) -> Day {
        self.day
    }

    /// The period of a window: hours since the first of 1970, a day number, the number of its Monday, months since January of year 0, a year, or 0.
    #[must_use]
    pub fn of(self, window: CalendarWindow) -> i32 {
        match window {
            CalendarWindow::Hour => self.day.0.saturating_mul(24).saturating_add(i32::from(self.hour)),
            CalendarWindow::Day => self.day.0,
            CalendarWindow::Week => self.day.0 - i32::from(weekday(self.day)),
            CalendarWindow::Month => self.year * 12 + i32::from(month_of_day(self.day)) - 1,
            CalendarWindow::Year => self.year,
            CalendarWindow::Lifetime => 0,
        }
    }
}

impl CalendarWindow {
    /// The period that contains the instant: see [`Periods::of`].
    #[must_use]
    pub fn period(self, zone: &Zone, at: TimestampNs) -> i32 {
        Periods::at(zone, at).of(self)
    }

    /// What the numbers of two periods that follow each other differ by.
    #[must_use]
    pub fn step(self) -> i32 {
        if self == Self::Week { 7 } else { 1 }
    }

    /// The last local day of a period.
    #[must_use]
    pub fn last_day(self, period: i32) -> Day {
        match self {
            Self::Hour => Day(period.div_euclid(24)),
            Self::Day => Day(period),
            Self::Week => Day(period.saturating_add(6)),
            Self::Month => {
                let next = period.saturating_add(1);
                Day(first_day_of_month(next.div_euclid(12), next.rem_euclid(12) + 1).0 - 1)
            }
            Self::Year => last_day_of_year(period),
            Self::Lifetime => Day(i32::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_ends_where_the_next_begins() {
        use CalendarWindow::{Day as EachDay, Month, Week, Year};
        for start in (-800..40_000).step_by(7) {
            let mut day = Day(start);
            for window in [EachDay, Week, Month, Year] {
                let periods = Periods::on(day, 90);
                let last = window.last_day(periods.of(window));
                assert!(last >= day, "{window:?}");
                let after = Day(last.0 + 1);
                let next = Periods::on(after, 0).of(window);
                assert_eq!(next, periods.of(window) + window.step(), "{window:?} {day}");
                let still = Periods::on(last, 1_439).of(window);
                assert_eq!(still, periods.of(window), "{window:?} {day}");
                day = Day(day.0 + 1);
            }
        }
    }
}
