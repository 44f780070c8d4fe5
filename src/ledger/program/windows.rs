//! The windows in which counters count, and the period of each that contains an instant.
//!
//! What must stay true: the number of a period is fixed for ever, for counters are kept under it.

use crate::ledger::types::{Day, TimestampNs};
use crate::ledger::zone::{Zone, first_day_of_month, last_day_of_year, month_of_day, weekday, year_of_day};

/// The calendar window of a counter, in the programme's zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarWindow {
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
    year: i32,
}

impl Periods {
    /// The periods that contain the instant.
    #[must_use]
    pub fn at(zone: &Zone, at: TimestampNs) -> Self {
        Self::on(zone.day(at))
    }

    /// The periods that contain the local day.
    #[must_use]
    pub fn on(day: Day) -> Self {
        Self { day, year: year_of_day(day) }
    }

    /// The local day.
    #[must_use]
    pub fn day(self) -> Day {
        self.day
    }

    /// The period of a window: a day number, the number of its Monday, months since January of year 0, a year, or 0.
    #[must_use]
    pub fn of(self, window: CalendarWindow) -> i32 {
        match window {
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

    /// The last local day of a period.
    #[must_use]
    pub fn last_day(self, period: i32) -> Day {
        match self {
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
                let periods = Periods { day, year: year_of_day(day) };
                let last = window.last_day(periods.of(window));
                assert!(last >= day, "{window:?}");
                let after = Day(last.0 + 1);
                let next = Periods { day: after, year: year_of_day(after) }.of(window);
                assert!(next > periods.of(window), "{window:?} {day}");
                let still = Periods { day: last, year: year_of_day(last) }.of(window);
                assert_eq!(still, periods.of(window), "{window:?} {day}");
                day = Day(day.0 + 1);
            }
        }
    }
}
