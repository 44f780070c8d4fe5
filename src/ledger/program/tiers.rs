//! The ladder of levels that accounts climb.
//!
//! What must stay true: an account's level follows from its counters and the time alone.

use super::CalendarWindow;
use crate::ledger::types::SymbolId;

/// A ladder: levels by the value of one metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierLadder {
    /// The metric whose value decides: its counter.
    pub metric: SymbolId,
    /// The metric's window.
    pub window: CalendarWindow,
    /// The metric of so many windows up to the present one counts together: 1 for the present one alone, at most
    /// [`crate::limits::ROLLING_WINDOWS_MAX`].
    pub rolling: u16,
    /// For so many windows after it was reached a level is kept.
    pub keep: u16,
    /// After that, one level less is kept for one more window.
    pub soft_landing: bool,
    /// For so many days of the first window in which it is not kept, a level still counts.
    pub grace_days: u16,
    /// Ascending by threshold, at most [`crate::limits::PROGRAM_TIERS_MAX`].
    pub levels: Vec<TierLevel>,
}

/// One level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierLevel {
    /// Name in the file.
    pub name: String,
    /// The least value of the metric. More than 0.
    pub threshold: i64,
    /// What a basket's exact sum is multiplied by, in basis points.
    pub multiplier_bps: i64,
}

impl TierLadder {
    /// The level of this value of the metric: 0 below the first, then from 1.
    #[must_use]
    pub fn level(&self, value: i64) -> u8 {
        let reached = self.levels.partition_point(|level| level.threshold <= value);
        u8::try_from(reached).expect("a ladder has few levels")
    }

    /// How many windows after the present one the ladder still looks at the present one.
    #[must_use]
    pub fn looks_back(&self) -> u16 {
        let after = u16::from(self.soft_landing || self.grace_days > 0);
        (self.rolling - 1).saturating_add(self.keep).saturating_add(after)
    }

    /// What a level is; `None` below the first.
    #[must_use]
    pub fn at(&self, level: u8) -> Option<&TierLevel> {
        self.levels.get(usize::from(level).checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_reached_at_its_threshold() {
        let level = |name: &str, threshold| TierLevel { name: name.to_owned(), threshold, multiplier_bps: 10_000 };
        let ladder = TierLadder {
            metric: SymbolId(1),
            window: CalendarWindow::Year,
            rolling: 1,
            keep: 0,
            soft_landing: false,
            grace_days: 0,
            levels: vec![level("silver", 20_000), level("gold", 60_000)],
        };
        let rows = [(0, 0, None), (19_999, 0, None), (20_000, 1, Some("silver")), (60_000, 2, Some("gold"))];
        for (value, number, name) in rows {
            assert_eq!(ladder.level(value), number);
            assert_eq!(ladder.at(number).map(|level| level.name.as_str()), name);
        }
    }
}
