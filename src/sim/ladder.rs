//! The ladder of levels of a simulated programme, and where an account stands on it.
//!
//! What must stay true: nothing of `ledger` is called. How far back a ladder looks is drawn once for a simulation, for
//! counters are kept for no longer than the version that counts asks for.

use std::fmt::Write as _;

use super::dice::Dice;
use super::judge::Event;
use super::rules::Window;

/// Names of levels, the lowest first.
pub const LEVELS: [&str; 2] = ["silver", "gold"];

/// What a ladder looks at, and how it is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The metric, which counts eligible amounts.
    pub metric: &'static str,
    /// The metric's window.
    pub window: Window,
    /// So many windows up to the present one count together.
    pub rolling: i32,
    /// A level is kept for so many windows after the one in which it was reached.
    pub keep: i32,
    /// Then one level less is kept for one window more.
    pub soft_landing: bool,
    /// A level that is lost counts for so many days more.
    pub grace_days: i32,
}

impl Shape {
    /// A ladder: of the year, or one that looks back.
    pub fn draw(dice: &mut Dice) -> Self {
        let metrics = [
            ("spent-a-day", Window::Day),
            ("spent-a-day", Window::Day),
            ("spent-a-week", Window::Week),
            ("spent-a-month", Window::Month),
            ("spent-a-year", Window::Year),
            ("spent-an-anniversary", Window::Anniversary),
        ];
        let (metric, window) = *dice.pick(&metrics);
        let (rolling, keep) = (*dice.pick(&[1, 1, 2, 3]), *dice.pick(&[0, 0, 1, 2]));
        Self { metric, window, rolling, keep, soft_landing: dice.percent(40), grace_days: *dice.pick(&[0, 0, 1, 3]) }
    }

    /// Whether counters of earlier windows count, so that all versions have to keep them.
    #[must_use]
    pub fn looks_back(&self) -> bool {
        self.rolling > 1 || self.keep > 0 || self.soft_landing || self.grace_days > 0
    }

    /// What of the metric counted so many windows ago.
    fn spent(&self, event: &Event<'_>, back: i32) -> i64 {
        let (now, step) = (event.local(self.window), self.window.step());
        let periods = (back..back + self.rolling).map(|ago| now - ago * step);
        periods.map(|period| event.account.counter(self.metric, period)).sum()
    }
}

/// The level before the event, and the metric.
#[must_use]
pub fn standing(event: &Event<'_>) -> (usize, i64) {
    let shape = &event.rules.ladder;
    let reached = |back: i32| {
        let spent = shape.spent(event, back);
        event.rules.levels.iter().filter(|(threshold, _)| spent >= *threshold).count()
    };
    let mut level = (0..=shape.keep).map(reached).max().unwrap_or(0);
    let lost = reached(shape.keep + 1);
    if event.days_into(shape.window) < i64::from(shape.grace_days) {
        level = level.max(lost);
    } else if shape.soft_landing {
        level = level.max(lost.saturating_sub(1));
    }
    (level, shape.spent(event, 0))
}

/// Thresholds and multipliers in basis points, one for each of [`LEVELS`].
pub fn draw_levels(dice: &mut Dice) -> Vec<(i64, i64)> {
    let first = dice.number(1..20_000);
    vec![(first, *dice.pick(&[10_000, 12_500])), (first + dice.number(1..60_000), *dice.pick(&[15_000, 22_222]))]
}

/// Writes the ladder; nothing where there are no levels.
///
/// # Errors
/// Never: writing to a string does not fail.
pub fn write_ladder(out: &mut String, shape: &Shape, levels: &[(i64, i64)]) -> std::fmt::Result {
    if levels.is_empty() {
        return Ok(());
    }
    let Shape { metric, rolling, keep, soft_landing, grace_days, .. } = shape;
    writeln!(out, "[tiers]\nmetric = \"{metric}\"\nrolling = {rolling}\nkeep = {keep}")?;
    writeln!(out, "soft_landing = {soft_landing}\ngrace_days = {grace_days}")?;
    for (name, (threshold, bps)) in LEVELS.iter().zip(levels) {
        writeln!(out, "[[tiers.levels]]\nname = \"{name}\"\nthreshold = {threshold}")?;
        writeln!(out, "multiplier = \"{}.{:04}\"", bps / 10_000, bps % 10_000)?;
    }
    Ok(())
}
