//! Conditions, bonuses and levels of a simulated programme, as plain data and as the file says them.
//!
//! What must stay true: as in [`super::rules`]: one function writes what the model reads, key by key. A bonus's name ends
//! in its window, so that a later version with the same name counts in the same one.

use std::fmt::Write as _;

use super::dice::Dice;
use super::rules::Window;

/// Segments that accounts join.
pub const SEGMENTS: [&str; 3] = ["staff", "student", "gold-card"];
/// Kinds of activities.
pub const ACTIVITIES: [&str; 3] = ["review", "visit", "referral"];
/// Names of levels, the lowest first.
pub const LEVELS: [&str; 2] = ["silver", "gold"];
/// The metric by which accounts climb.
pub const LADDER_METRIC: &str = "spent-a-year";

const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// What must hold, all of it; what is empty or 0 always does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WhenRule {
    /// Days of the week of the event, 0 for Monday.
    pub weekdays: Vec<usize>,
    /// The account is in one of these.
    pub segments: Vec<&'static str>,
    /// The account is in none of these.
    pub not_segments: Vec<&'static str>,
    /// The account's level is one of these, 0 for below the first.
    pub levels: Vec<usize>,
    /// The least eligible amount.
    pub eligible_minor_min: i64,
    /// Every so many baskets.
    pub every_nth_basket: i64,
}

/// Fixed units for a basket or an activity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BonusRule {
    /// Its name in the file, which is also its counter's.
    pub name: &'static str,
    /// The kind of activity; `None` for baskets.
    pub activity: Option<&'static str>,
    /// Units.
    pub units: i64,
    /// At most so often in the window that the name says.
    pub limit: Option<(Window, i64)>,
    /// At most so often over all accounts.
    pub places: Option<i64>,
    /// What must hold.
    pub when: WhenRule,
}

fn quoted(names: impl Iterator<Item = &'static str>) -> String {
    names.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

impl WhenRule {
    /// Conditions, mostly none.
    pub fn draw(dice: &mut Dice, of_basket: bool, has_levels: bool) -> Self {
        let mut when = Self::default();
        match dice.below(12) {
            0 => when.weekdays = (0..7).filter(|_| dice.percent(60)).collect(),
            1 => when.segments = SEGMENTS.into_iter().filter(|_| dice.percent(50)).collect(),
            2 => when.not_segments = vec![*dice.pick(&SEGMENTS)],
            3 if has_levels => when.levels = (0..=LEVELS.len()).filter(|_| dice.percent(60)).collect(),
            4 if of_basket => when.eligible_minor_min = dice.number(1..3_000),
            5 if of_basket => when.every_nth_basket = dice.number(2..5),
            _ => {}
        }
        when
    }

    /// The key of the file, with the end of its line; nothing where nothing must hold.
    #[must_use]
    pub fn written(&self) -> String {
        let mut keys = Vec::new();
        if !self.weekdays.is_empty() {
            keys.push(format!("weekdays = [{}]", quoted(self.weekdays.iter().map(|day| WEEKDAYS[*day]))));
        }
        for (key, names) in [("segments", &self.segments), ("not_segments", &self.not_segments)] {
            if !names.is_empty() {
                keys.push(format!("{key} = [{}]", quoted(names.iter().copied())));
            }
        }
        if !self.levels.is_empty() {
            let name = |level: &usize| level.checked_sub(1).map_or("none", |index| LEVELS[index]);
            keys.push(format!("tiers = [{}]", quoted(self.levels.iter().map(name))));
        }
        for (key, least) in
            [("eligible_minor_min", self.eligible_minor_min), ("every_nth_basket", self.every_nth_basket)]
        {
            if least > 0 {
                keys.push(format!("{key} = {least}"));
            }
        }
        if keys.is_empty() { String::new() } else { format!("when = {{ {} }}\n", keys.join(", ")) }
    }
}

/// Some bonuses.
pub fn draw_bonuses(dice: &mut Dice, has_levels: bool) -> Vec<BonusRule> {
    let candidates = [
        ("welcome-lifetime", None, Some(Window::Lifetime)),
        ("basket-a-week", None, Some(Window::Week)),
        ("every-basket", None, None),
        ("review-a-day", Some("review"), Some(Window::Day)),
        ("visit-a-month", Some("visit"), Some(Window::Month)),
        ("review-a-year", Some("review"), Some(Window::Year)),
        ("every-visit", Some("visit"), None),
        ("first-come-lifetime", None, Some(Window::Lifetime)),
        ("first-visitors", Some("visit"), None),
    ];
    let mut bonuses = Vec::new();
    for (name, activity, window) in candidates {
        if dice.percent(40) {
            let limit = window.map(|window| (window, dice.number(1..4)));
            let when = WhenRule::draw(dice, activity.is_none(), has_levels);
            let places = name.starts_with("first-").then(|| dice.number(1..12));
            bonuses.push(BonusRule { name, activity, units: dice.number(1..40), limit, places, when });
        }
    }
    bonuses
}

/// Thresholds and multipliers in basis points, one for each of [`LEVELS`].
pub fn draw_levels(dice: &mut Dice) -> Vec<(i64, i64)> {
    let first = dice.number(1..20_000);
    vec![(first, *dice.pick(&[10_000, 12_500])), (first + dice.number(1..60_000), *dice.pick(&[15_000, 22_222]))]
}

/// Writes what is earned beside the lines.
///
/// # Errors
/// Never: writing to a string does not fail.
pub fn write_rewards(out: &mut String, levels: &[(i64, i64)], bonuses: &[BonusRule]) -> std::fmt::Result {
    if !levels.is_empty() {
        writeln!(out, "[tiers]\nmetric = \"{LADDER_METRIC}\"")?;
    }
    for (name, (threshold, bps)) in LEVELS.iter().zip(levels) {
        writeln!(out, "[[tiers.levels]]\nname = \"{name}\"\nthreshold = {threshold}")?;
        writeln!(out, "multiplier = \"{}.{:04}\"", bps / 10_000, bps % 10_000)?;
    }
    for bonus in bonuses {
        writeln!(out, "[[bonuses]]\nname = \"{}\"\nunits = {}", bonus.name, bonus.units)?;
        match bonus.activity {
            Some(kind) => writeln!(out, "on = {{ activity = \"{kind}\" }}")?,
            None => writeln!(out, "on = \"basket\"")?,
        }
        if let Some((window, times)) = bonus.limit {
            writeln!(out, "limit = {{ times = {times}, per = \"{}\" }}", window.name())?;
        }
        if let Some(places) = bonus.places {
            writeln!(out, "places = {places}")?;
        }
        out.push_str(&bonus.when.written());
    }
    Ok(())
}
