//! The windows in which counters count, and the period of each that contains an instant.
//!
//! What must stay true: the number of a period is fixed for ever, for counters are kept under it.

use crate::ledger::types::{Day, TimestampNs};
use crate::ledger::zone::{
    Zone, day_in_year, first_day_of_month, last_day_of_year, month_day_of, month_of_day, weekday, year_of_day,
};

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
    /// From a return of the day on which the account was opened to the eve of the next.
    Anniversary,
    /// All time.
    Lifetime,
}

/// So many windows that follow each other and are bounded together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Each of them.
    pub window: CalendarWindow,
    /// How many: 1 for each by itself, at most [`crate::limits::ROLLING_WINDOWS_MAX`].
    pub rolling: u16,
    /// For so many a counter is kept: the most that any version so far has bounded together, so that what is counted under
    /// one that bounds fewer is there for one that bounds more again.
    pub kept: u16,
}

impl Run {
    /// How far after its own period a counter is kept, in what numbers of periods differ by.
    #[must_use]
    pub fn kept_ahead(self) -> i32 {
        (i32::from(self.kept) - 1).saturating_mul(self.window.step())
    }

    /// How far after its own period a counter is looked at, in what numbers of periods differ by.
    #[must_use]
    pub fn ahead(self) -> i32 {
        (i32::from(self.rolling) - 1).saturating_mul(self.window.step())
    }
}

/// The periods of all windows that contain one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periods {
    day: Day,
    hour: u8,
    year: i32,
    /// When the account was opened; this day for none.
    opened_on: Day,
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
        let hour = u8::try_from(minute / 60).expect("a day has 24 hours");
        Self { day, hour, year: year_of_day(day), opened_on: day }
    }

    /// The same periods for an account that was opened on this local day.
    #[must_use]
    pub fn of_account(self, opened_on: Day) -> Self {
        Self { opened_on, ..self }
    }

    /// Full years since the account was opened, and when the last of them was full. Hardly any programme asks.
    fn anniversary(self) -> (i32, Day) {
        let (opened_year, returns) = (year_of_day(self.opened_on), month_day_of(self.opened_on));
        let began = |year| day_in_year(returns, year);
        let year = if began(self.year) <= self.day { self.year } else { self.year - 1 };
        (year - opened_year, began(year))
    }

    /// The local day.
    #[must_use]
    pub fn day(self) -> Day {
        self.day
    }

    /// The period of a window: hours since the first of 1970, a day number, the number of its Monday, months since January of year 0, a year,
    /// full years since the account was opened, or 0.
    #[must_use]
    pub fn of(self, window: CalendarWindow) -> i32 {
        match window {
            CalendarWindow::Hour => self.day.0.saturating_mul(24).saturating_add(i32::from(self.hour)),
            CalendarWindow::Day => self.day.0,
            CalendarWindow::Week => self.day.0 - i32::from(weekday(self.day)),
            CalendarWindow::Month => self.year * 12 + i32::from(month_of_day(self.day)) - 1,
            CalendarWindow::Year => self.year,
            CalendarWindow::Anniversary => self.anniversary().0,
            CalendarWindow::Lifetime => 0,
        }
    }

    /// The first day of the present period of a window.
    #[must_use]
    pub fn first_day(self, window: CalendarWindow) -> Day {
        match window {
            CalendarWindow::Anniversary => self.anniversary().1,
            CalendarWindow::Lifetime => Day(i32::MIN),
            // The hour before may have been on the same day.
            CalendarWindow::Hour | CalendarWindow::Day => self.day,
            _ => Day(window.last_day(self.of(window) - window.step()).0 + 1),
        }
    }

    /// The last day of the period of a window that comes so many periods after the present one; of an anniversary, a
    /// day that is no earlier.
    #[must_use]
    pub fn last_day(self, window: CalendarWindow, ahead: i32) -> Day {
        match window {
            CalendarWindow::Anniversary => Day(self.anniversary().1.0.saturating_add(366 * (ahead + 1))),
            _ => window.last_day(self.of(window).saturating_add(ahead.saturating_mul(window.step()))),
        }
    }
}

impl CalendarWindow {
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
            // Which days these are, the number alone does not say.
            Self::Anniversary | Self::Lifetime => Day(i32::MAX),
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

    #[test]
    fn a_period_begins_on_its_first_day() {
        use CalendarWindow::{Day as EachDay, Hour, Month, Week, Year};
        // 2017-03-02 is day 17,227, a Thursday.
        let rows = [(Hour, 17_227), (EachDay, 17_227), (Week, 17_224), (Month, 17_226), (Year, 17_167)];
        for minute in [0, 59, 60, 750, 1_439] {
            let periods = Periods::on(Day(17_227), minute);
            for (window, first) in rows {
                assert_eq!(periods.first_day(window), Day(first), "{window:?} at {minute}");
                assert!(periods.last_day(window, 0) >= Day(17_227), "{window:?} at {minute}");
            }
        }
    }

    #[test]
    fn anniversaries_return_with_the_day_of_opening() {
        // Opened on 2016-02-29, day 16,860; 2017-02-28 is day 17,225, 2017-03-01 day 17,226.
        let of = |day| Periods::on(Day(day), 0).of_account(Day(16_860));
        let rows =
            [(16_860, 0, 16_860), (17_225, 0, 16_860), (17_226, 1, 17_226), (17_590, 1, 17_226), (17_591, 2, 17_591)];
        for (day, number, began) in rows {
            assert_eq!(of(day).of(CalendarWindow::Anniversary), number, "{day}");
            assert_eq!(of(day).first_day(CalendarWindow::Anniversary), Day(began), "{day}");
            assert!(of(day).last_day(CalendarWindow::Anniversary, 0) >= Day(day));
        }
    }
}
