//! Conditions, bonuses and experiments of a simulated programme, as plain data and as the file says them.
//!
//! What must stay true: as in [`super::rules`]: one function writes what the model reads, key by key. A bonus's name ends
//! in its window, so that a later version with the same name counts in the same one.

use std::fmt::Write as _;
use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use super::dice::Dice;
use super::ladder::LEVELS;
use super::rules::Window;
use super::vouchers::VoucherRule;

/// Segments that accounts join.
pub const SEGMENTS: [&str; 3] = ["staff", "student", "gold-card"];
/// Kinds of activities.
pub const ACTIVITIES: [&str; 3] = ["review", "visit", "referral"];

/// An experiment: its name, and its variants with their shares in percent.
pub type Experiment = (&'static str, &'static [(&'static str, u64)]);

/// The experiments there are.
pub const EXPERIMENTS: [Experiment; 2] =
    [("trial", &[("none", 30), ("some", 45), ("much", 25)]), ("colour", &[("red", 50), ("blue", 50)])];

/// The account's variant of each experiment: the reference says that it is drawn from the account's id and the
/// experiment's name, and the format how.
#[must_use]
pub fn variants_of(experiments: &[Experiment], account_id: &str) -> Vec<usize> {
    let variant = |(name, variants): &Experiment| {
        let mut hasher = SipHasher13::new();
        hasher.write(format!("{name}\0{account_id}").as_bytes());
        let mut rest = hasher.finish() % 100;
        let of_share = |(_, percent): &(&str, u64)| {
            let is_it = rest < *percent;
            rest = rest.saturating_sub(*percent);
            is_it
        };
        variants.iter().position(of_share).unwrap_or(0)
    };
    experiments.iter().map(variant).collect()
}

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
    /// The account is in one of these variants: places in [`EXPERIMENTS`] and in the experiment.
    pub variants: Vec<(usize, usize)>,
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
    /// The place of the voucher that it gives; its units may then be none.
    pub voucher: Option<usize>,
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
    pub fn draw(dice: &mut Dice, of_basket: bool, has_levels: bool, experiment_count: usize) -> Self {
        let mut when = Self::default();
        match dice.below(14) {
            0 => when.weekdays = (0..7).filter(|_| dice.percent(60)).collect(),
            1 => when.segments = SEGMENTS.into_iter().filter(|_| dice.percent(50)).collect(),
            2 => when.not_segments = vec![*dice.pick(&SEGMENTS)],
            3 if has_levels => when.levels = (0..=LEVELS.len()).filter(|_| dice.percent(60)).collect(),
            4 if of_basket => when.eligible_minor_min = dice.number(1..3_000),
            5 if of_basket => when.every_nth_basket = dice.number(2..5),
            6 | 7 if experiment_count > 0 => {
                let experiment = dice.index(experiment_count);
                when.variants = vec![(experiment, dice.index(EXPERIMENTS[experiment].1.len()))];
            }
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
        if !self.variants.is_empty() {
            let name = |(experiment, variant): &(usize, usize)| {
                let (name, variants) = EXPERIMENTS[*experiment];
                format!("\"{name}.{}\"", variants[*variant].0)
            };
            let names: Vec<String> = self.variants.iter().map(name).collect();
            keys.push(format!("experiment = [{}]", names.join(", ")));
        }
        if keys.is_empty() { String::new() } else { format!("when = {{ {} }}\n", keys.join(", ")) }
    }
}

/// Some bonuses.
pub fn draw_bonuses(
    dice: &mut Dice,
    has_levels: bool,
    experiment_count: usize,
    voucher_count: usize,
) -> Vec<BonusRule> {
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
            let when = WhenRule::draw(dice, activity.is_none(), has_levels, experiment_count);
            let places = name.starts_with("first-").then(|| dice.number(1..12));
            let voucher = (voucher_count > 0 && dice.percent(50)).then(|| dice.index(voucher_count));
            let units = if voucher.is_some() && dice.percent(50) { 0 } else { dice.number(1..40) };
            bonuses.push(BonusRule { name, activity, units, voucher, limit, places, when });
        }
    }
    bonuses
}

/// Writes what is earned beside the lines.
///
/// # Errors
/// Never: writing to a string does not fail.
pub fn write_rewards(
    out: &mut String,
    experiments: &[Experiment],
    (bonuses, vouchers): (&[BonusRule], &[VoucherRule]),
) -> std::fmt::Result {
    for (name, variants) in experiments {
        let variant = |(name, percent): &(&str, u64)| format!("{{ name = \"{name}\", percent = {percent} }}");
        let variants: Vec<String> = variants.iter().map(variant).collect();
        writeln!(out, "[[experiments]]\nname = \"{name}\"\nvariants = [{}]", variants.join(", "))?;
    }
    for bonus in bonuses {
        writeln!(out, "[[bonuses]]\nname = \"{}\"", bonus.name)?;
        if bonus.units > 0 {
            writeln!(out, "units = {}", bonus.units)?;
        }
        if let Some(voucher) = bonus.voucher.and_then(|place| vouchers.get(place)) {
            writeln!(out, "voucher = \"{}\"", voucher.name)?;
        }
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
