//! The rules of a simulated programme as plain data: the naive model judges by them, and the programme file that the
//! ledger gets is written from them.
//!
//! What must stay true: the model never sees what the ledger compiled. Rules and file say the same because one function
//! writes the file, key by key.

use std::fmt::Write as _;

use jiff::civil::Date;

use super::bounds::{CapRule, draw_caps, draw_rule_caps, write_cap};
use super::catalogue::{RewardRule, draw_rewards, write_catalogue};
use super::dice::Dice;
use super::ladder::{Shape, draw_levels, write_ladder};
use super::lots::ExpiryRule;
use super::partners::{PartnerRule, draw_partners, write_partners};
use super::rewards::{BonusRule, EXPERIMENTS, Experiment, WhenRule, draw_bonuses, write_rewards};
use super::rooms::Windows;
use super::stamps::{CardRule, draw_cards, write_cards};
use super::vouchers::{VoucherRule, draw_vouchers, write_vouchers};

/// What a line carries, in the order in which rules look at it.
pub const ATTRIBUTES: [&str; 5] = ["sku", "category", "department", "brand", "margin_class"];

/// Departments, brands and categories that lines carry and rules match.
pub const DEPARTMENTS: [&str; 4] = ["GROCERY", "FUEL", "TOYS", ""];
/// See [`DEPARTMENTS`].
pub const BRANDS: [&str; 3] = ["Private", "National", ""];
/// See [`DEPARTMENTS`].
pub const CATEGORIES: [&str; 3] = ["fresh", "frozen", ""];

/// The wallet that holds money.
pub const CASH: usize = 2;

/// Zones with and without summer time, one half an hour off.
const TIME_ZONES: [&str; 4] = ["UTC", "America/New_York", "Asia/Kolkata", "Pacific/Apia"];

/// What a cap or metric counts per window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Units granted.
    Units,
    /// Baskets that earned something.
    EarningBaskets,
    /// Amounts of eligible lines.
    EligibleAmount,
}

impl Measure {
    /// How the file calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Units => "units",
            Self::EarningBaskets => "earning-baskets",
            Self::EligibleAmount => "eligible-amount",
        }
    }
}

/// The window of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// A local hour.
    Hour,
    /// A local day.
    Day,
    /// From Monday to Sunday.
    Week,
    /// A local month.
    Month,
    /// A local year.
    Year,
    /// A year from each return of the day on which the account was opened.
    Anniversary,
    /// All time.
    Lifetime,
}

impl Window {
    /// How the file calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
            Self::Anniversary => "anniversary",
            Self::Lifetime => "lifetime",
        }
    }

    /// What the numbers of two windows that follow each other differ by.
    #[must_use]
    pub fn step(self) -> i32 {
        if self == Self::Week { 7 } else { 1 }
    }
}

/// What a rule does to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// In basis points.
    Multiplier(i64),
    /// Units beside what the amount earns, and whether for each piece.
    Fixed(i64, bool),
}

/// How rules for the same line go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Together {
    /// The largest multiplier counts.
    BestOf,
    /// What is above one is added.
    Add,
    /// Multiplies what the others come to.
    Multiply,
    /// Counts alone.
    Exclusive,
}

impl Together {
    fn name(self) -> &'static str {
        match self {
            Self::BestOf => "best-of",
            Self::Add => "add",
            Self::Multiply => "multiply",
            Self::Exclusive => "exclusive",
        }
    }
}

/// A counter without a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricRule {
    /// Its name in the file.
    pub name: &'static str,
    /// What it counts.
    pub measure: Measure,
    /// Per which window.
    pub window: Window,
}

/// A rule about lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineRule {
    /// Which of [`ATTRIBUTES`]; `None` for one that matches every line.
    pub attribute: Option<usize>,
    /// Values that match.
    pub values: Vec<&'static str>,
    /// What it does.
    pub effect: Effect,
    /// How it goes together with others. A fixed effect is always added.
    pub together: Together,
    /// What must hold.
    pub when: WhenRule,
    /// What the rule may give.
    pub caps: Vec<CapRule>,
}

/// A budget of the whole programme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetRule {
    /// Its name in the file, which is also its cell's.
    pub name: &'static str,
    /// The most that may be granted.
    pub units: i64,
    /// Per which window of posting.
    pub window: Window,
    /// So many windows that follow each other are bounded together.
    pub rolling: i32,
    /// First and last local day of posting, as days since 1970-01-01.
    pub days: Option<(i32, i32)>,
}

impl BudgetRule {
    /// The windows that are bounded together.
    #[must_use]
    pub fn together(&self) -> Windows {
        Windows { count: self.rolling, step: self.window.step() }
    }
}

/// What bounds a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellBound {
    /// The most that may be taken from it in all, or from the windows that are bounded together.
    pub limit: i64,
    /// These.
    pub together: Windows,
    /// What goes beyond is granted, and held.
    pub holds: bool,
    /// So many days after the last window in which it is looked at, a receipt can still fall under it.
    pub kept_days: i64,
}

/// What becomes of burned units that come back after their death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturnedRule {
    /// They die at once.
    AsWas,
    /// They live for so many full days behind the day of the return.
    Extend(i64),
}

/// What becomes of a return of units that were spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpentRule {
    /// It is refused.
    Refuse,
    /// What is lacking is owed.
    Debt,
    /// The same, and shown as less than nothing.
    Negative,
}

/// How a sum is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoundingRule {
    /// Down.
    Floor,
    /// Halves up.
    HalfUp,
    /// Halves to the even neighbour.
    HalfEven,
    /// Down, and what is left over is added to the account's next basket.
    Carry,
}

/// One version of the programme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// From when on it judges.
    pub effective_at: i64,
    /// The IANA zone of days and years.
    pub time_zone: &'static str,
    /// Wallets: name and largest balance.
    pub wallets: Vec<(&'static str, i64)>,
    /// The least and the most that is paid in to the wallet [`CASH`] at once.
    pub top_ups: (i64, i64),
    /// Which wallet gains.
    pub earn_wallet: usize,
    /// Units …
    pub units: i64,
    /// … for so many minor units.
    pub per_minor: i64,
    /// How a sum becomes whole.
    pub rounding: RoundingRule,
    /// Rounded line by line, not once.
    pub rounded_per_line: bool,
    /// Department whose lines earn nothing.
    pub excluded_department: Option<&'static str>,
    /// Rules in the order of the file.
    pub line_rules: Vec<LineRule>,
    /// Caps in the order of the file.
    pub caps: Vec<CapRule>,
    /// Metrics in the order of the file.
    pub metrics: Vec<MetricRule>,
    /// What the ladder looks at.
    pub ladder: Shape,
    /// Thresholds and multipliers in basis points of the levels; none where there is no ladder.
    pub levels: Vec<(i64, i64)>,
    /// Bonuses in the order of the file.
    pub bonuses: Vec<BonusRule>,
    /// Vouchers in the order of the file.
    pub vouchers: Vec<VoucherRule>,
    /// Stamp cards in the order of the file.
    pub cards: Vec<CardRule>,
    /// The first of [`EXPERIMENTS`].
    pub experiments: Vec<Experiment>,
    /// Full days behind the day of the event after which units can be spent.
    pub pending_days: i64,
    /// How long units live.
    pub expiry: ExpiryRule,
    /// Budgets in the order of the file.
    pub budgets: Vec<BudgetRule>,
    /// Rewards in the order of the file.
    pub rewards: Vec<RewardRule>,
    /// What becomes of a return of units that were spent.
    pub when_spent: SpentRule,
    /// What becomes of burned units that come back after their death.
    pub when_returned: ReturnedRule,
    /// Partners in the order of the file; none where whoever asks is one.
    pub partners: Vec<PartnerRule>,
    /// How old a receipt may be, in days.
    pub late_limit_days: i64,
    /// How far in the future a receipt may lie, in seconds.
    pub future_skew_seconds: i64,
    /// For how long units can be set aside, in minutes.
    pub hold_minutes: i64,
}

impl Rules {
    /// Rules for a version that takes effect at the instant. `late_limit_days` never rises, and the shape of the ladder is
    /// the same for all versions of a simulation: a limit that rises, or a ladder that looks further back, would reach counters
    /// that may be forgotten already.
    pub fn draw(dice: &mut Dice, effective_at: i64, late_limit_days: i64, ladder: Shape, today: i32) -> Self {
        let metrics = draw_metrics(dice, &ladder);
        let has_ladder_metric = metrics.iter().any(|metric| metric.name == ladder.metric);
        let has_levels = has_ladder_metric && (ladder.looks_back() || dice.percent(70));
        let levels = if has_levels { draw_levels(dice) } else { Vec::new() };
        let experiments = EXPERIMENTS[..dice.index(EXPERIMENTS.len() + 1)].to_vec();
        let mut line_rules = draw_line_rules(dice, has_levels, experiments.len());
        let multiply_count = line_rules.iter().filter(|rule| rule.together == Together::Multiply).count();
        let mut rounding =
            *dice.pick(&[RoundingRule::Floor, RoundingRule::HalfUp, RoundingRule::HalfEven, RoundingRule::Carry]);
        if multiply_count > 2 && rounding == RoundingRule::Carry {
            // What is left over would be in parts too small to be carried.
            rounding = RoundingRule::Floor;
        }
        let mut taken = Vec::new();
        for rule in &mut line_rules {
            let gives = !matches!(rule.effect, Effect::Multiplier(..=10_000));
            if gives && dice.percent(45) {
                rule.caps = draw_rule_caps(dice, &mut taken, rounding == RoundingRule::Carry);
            }
        }
        let pending_days = *dice.pick(&[0, 0, 0, 1, 2]);
        let mut expiry = ExpiryRule::draw(dice);
        if let ExpiryRule::AfterDays(days) | ExpiryRule::Inactive(days) = &mut expiry {
            // What is pending must not die before it can be spent.
            *days = (*days).max(pending_days + 1);
        }
        let vouchers = draw_vouchers(dice);
        // By dice of their own, so that the rest is what it was without them.
        let cards = draw_cards(&mut dice.clone(), has_levels, experiments.len(), vouchers.len());
        let balance_max = if dice.percent(25) { dice.number(40..400) } else { 1_000_000_000 };
        Self {
            effective_at,
            time_zone: TIME_ZONES[if dice.percent(60) { 0 } else { dice.index(TIME_ZONES.len()) }],
            wallets: vec![
                ("points", balance_max),
                ("stars", 1_000_000),
                ("cash", *dice.pick(&[500, 5_000, 1_000_000])),
            ],
            top_ups: *dice.pick(&[(1, 1_000_000), (10, 300), (50, 2_000)]),
            earn_wallet: usize::from(dice.percent(20)),
            units: dice.number(1..6),
            per_minor: *dice.pick(&[1, 7, 40, 100, 250]),
            rounding,
            rounded_per_line: rounding != RoundingRule::Carry && dice.percent(40),
            excluded_department: dice.percent(70).then_some("FUEL"),
            line_rules,
            caps: draw_caps(dice),
            metrics,
            ladder,
            bonuses: draw_bonuses(dice, has_levels, experiments.len(), vouchers.len()),
            vouchers,
            cards,
            experiments,
            levels,
            pending_days,
            expiry,
            budgets: draw_budgets(dice, today),
            rewards: draw_rewards(dice, has_levels, today),
            when_spent: *dice.pick(&[SpentRule::Refuse, SpentRule::Debt, SpentRule::Negative]),
            when_returned: *dice.pick(&[ReturnedRule::AsWas, ReturnedRule::Extend(0), ReturnedRule::Extend(3)]),
            late_limit_days,
            future_skew_seconds: dice.number(0..600),
            partners: draw_partners(dice, today),
            hold_minutes: *dice.pick(&[1, 20, 60, 1_440, 43_200]),
        }
    }

    /// All caps: those of the programme, then those of its rules.
    pub fn all_caps(&self) -> impl Iterator<Item = &CapRule> {
        self.caps.iter().chain(self.line_rules.iter().flat_map(|rule| &rule.caps))
    }

    /// What bounds a cell: of a budget, a shared cap, the places of a bonus or the stock of a reward. `cell` begins with the name in the file.
    #[must_use]
    pub fn bound_of(&self, cell: &str) -> Option<CellBound> {
        let name = cell.split('|').next()?;
        let kept_days = self.late_limit_days;
        let budget = self.budgets.iter().find(|budget| budget.name == name);
        let budget =
            budget.map(|one| CellBound { limit: one.units, together: one.together(), holds: false, kept_days });
        let cap = self.all_caps().find(|cap| cap.name == name).map(|cap| {
            let holds = cap.over == super::bounds::Over::Hold;
            CellBound { limit: cap.limit, together: cap.together(), holds, kept_days }
        });
        budget.or(cap).or_else(|| {
            let places = self.bonuses.iter().find(|bonus| bonus.name == name).and_then(|bonus| bonus.places);
            let limit = places.or_else(|| self.reward(name).and_then(|reward| reward.stock))?;
            Some(CellBound { limit, together: Windows { count: 1, step: 1 }, holds: false, kept_days })
        })
    }

    /// The programme file. `serial` tells files with equal rules apart.
    ///
    /// # Panics
    /// Never: writing to a string does not fail.
    #[must_use]
    pub fn source(&self, serial: u64) -> String {
        let mut out = format!("# Simulated programme {serial}.\n");
        self.write(&mut out).expect("writing to a string does not fail");
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "[program]\nname = \"simulated\"\ncurrency = \"USD\"\ntime_zone = \"{}\"", self.time_zone)?;
        writeln!(out, "late_limit_days = {}", self.late_limit_days)?;
        writeln!(out, "future_skew_seconds = {}", self.future_skew_seconds)?;
        for (name, balance_max) in &self.wallets {
            writeln!(out, "[[wallets]]\nname = \"{name}\"\nbalance_max = {balance_max}")?;
            if *name == "cash" {
                let (least, most) = self.top_ups;
                writeln!(out, "kind = \"money\"\ntop_up_min = {least}\ntop_up_max = {most}")?;
            }
        }
        writeln!(out, "[redemption]\nhold_minutes = {}", self.hold_minutes)?;
        if let ReturnedRule::Extend(days) = self.when_returned {
            writeln!(out, "when_returned = \"extend\"\nextend_days = {days}")?;
        }
        let (wallet, _) = self.wallets[self.earn_wallet];
        writeln!(out, "[earn]\nwallet = \"{wallet}\"\nunits = {}\nper_minor = {}", self.units, self.per_minor)?;
        let rounding = match self.rounding {
            RoundingRule::Floor => "floor",
            RoundingRule::HalfUp => "half-up",
            RoundingRule::HalfEven => "half-even",
            RoundingRule::Carry => "carry",
        };
        let place = if self.rounded_per_line { "line" } else { "basket" };
        writeln!(out, "rounding = \"{rounding}\"\nrounded_per = \"{place}\"\nstacking = \"best-of\"")?;
        if let Some(department) = self.excluded_department {
            writeln!(out, "exclude = {{ department = [\"{department}\"] }}")?;
        }
        if self.pending_days > 0 {
            writeln!(out, "pending_days = {}", self.pending_days)?;
        }
        self.expiry.write(out)?;
        match self.when_spent {
            SpentRule::Refuse => {}
            SpentRule::Debt => writeln!(out, "[refunds]\nwhen_spent = \"debt\"")?,
            SpentRule::Negative => writeln!(out, "[refunds]\nwhen_spent = \"negative\"")?,
        }
        for (index, rule) in self.line_rules.iter().enumerate() {
            write_line_rule(out, index, rule)?;
        }
        for cap in &self.caps {
            write_cap(out, "caps", cap)?;
        }
        for MetricRule { name, measure, window } in &self.metrics {
            let (measure, window) = (measure.name(), window.name());
            writeln!(out, "[[metrics]]\nname = \"{name}\"\nmeasure = \"{measure}\"\nwindow = \"{window}\"")?;
        }
        write_ladder(out, &self.ladder, &self.levels)?;
        write_catalogue(out, self)?;
        write_rewards(out, &self.experiments, (&self.bonuses, &self.vouchers))?;
        write_vouchers(out, &self.vouchers)?;
        write_cards(out, &self.cards, &self.vouchers)?;
        for budget in &self.budgets {
            writeln!(out, "[[budgets]]\nname = \"{}\"\nunits = {}", budget.name, budget.units)?;
            if budget.window != Window::Lifetime {
                writeln!(out, "window = \"{}\"\nrolling = {}", budget.window.name(), budget.rolling)?;
            }
            if let Some((from, until)) = budget.days {
                writeln!(out, "from = {}\nuntil = {}", date_of(from), date_of(until))?;
            }
        }
        write_partners(out, self)
    }
}

fn write_line_rule(out: &mut String, index: usize, rule: &LineRule) -> std::fmt::Result {
    writeln!(out, "[[rules]]\nname = \"rule-{index}\"")?;
    if let Some(attribute) = rule.attribute {
        let values: Vec<String> = rule.values.iter().map(|value| format!("\"{value}\"")).collect();
        writeln!(out, "match = {{ {} = [{}] }}", ATTRIBUTES[attribute], values.join(", "))?;
    }
    match rule.effect {
        Effect::Multiplier(bps) => {
            writeln!(out, "multiplier_bps = {bps}\nstacking = \"{}\"", rule.together.name())?;
        }
        Effect::Fixed(units, per_piece) => {
            writeln!(out, "fixed_units = {units}\nper = \"{}\"", if per_piece { "piece" } else { "line" })?;
        }
    }
    out.push_str(&rule.when.written());
    for cap in &rule.caps {
        write_cap(out, "rules.caps", cap)?;
    }
    Ok(())
}

/// The civil date of a day since 1970-01-01.
#[must_use]
pub fn date_of(day: i32) -> Date {
    let epoch = jiff::civil::date(1970, 1, 1);
    epoch.checked_add(jiff::Span::new().days(i64::from(day))).expect("simulated days lie within a few decades")
}

fn draw_line_rules(dice: &mut Dice, has_levels: bool, experiment_count: usize) -> Vec<LineRule> {
    use Effect::{Fixed, Multiplier};
    let candidates: [(Option<usize>, Vec<&'static str>, Effect); 8] = [
        (Some(3), vec!["Private"], Multiplier(20_000)),
        (Some(2), vec!["TOYS", "GROCERY"], Multiplier(12_500)),
        (Some(1), vec!["frozen"], Multiplier(5_000)),
        (Some(0), vec!["sku-1", "sku-3"], Multiplier(30_000)),
        (Some(4), vec!["low"], Multiplier(0)),
        (Some(1), vec!["fresh"], Multiplier(20_000)),
        (None, vec![], Multiplier(15_000)),
        (Some(0), vec!["sku-2", "sku-3"], Fixed(3, true)),
    ];
    let mut rules: Vec<LineRule> = Vec::new();
    let is_multiplied = |rule: &&LineRule| rule.together == Together::Multiply;
    for (attribute, values, effect) in candidates {
        if !dice.percent(40) {
            continue;
        }
        // Of two that count alone the file would have to say which.
        let may_be_alone = attribute == Some(4);
        let together = match (effect, dice.below(10)) {
            (Fixed(..), _) | (_, 0..2) => Together::Add,
            // More of them would leave the range of the model's numbers.
            (_, 2..4) if rules.iter().filter(is_multiplied).count() < 3 => Together::Multiply,
            (_, 4..7) if may_be_alone => Together::Exclusive,
            _ => Together::BestOf,
        };
        let effect = match effect {
            Fixed(units, _) => Fixed(units, dice.percent(50)),
            multiplier => multiplier,
        };
        let when = WhenRule::draw(dice, true, has_levels, experiment_count);
        rules.push(LineRule { attribute, values, effect, together, when, caps: Vec::new() });
    }
    rules
}

/// Some metrics; one that a ladder looks back at is always there.
fn draw_metrics(dice: &mut Dice, ladder: &Shape) -> Vec<MetricRule> {
    use Measure::{EligibleAmount, Units};
    let candidates = [
        ("spent-a-year", EligibleAmount, Window::Year),
        ("spent-a-day", EligibleAmount, Window::Day),
        ("spent-a-week", EligibleAmount, Window::Week),
        ("spent-a-month", EligibleAmount, Window::Month),
        ("spent-an-anniversary", EligibleAmount, Window::Anniversary),
        ("granted-a-hour", Units, Window::Hour),
    ];
    let metric = |(name, measure, window)| MetricRule { name, measure, window };
    let is_there = |name: &str, dice: &mut Dice| {
        let is_climbed = name == ladder.metric;
        (is_climbed && ladder.looks_back()) || dice.percent(if is_climbed { 60 } else { 25 })
    };
    candidates.into_iter().filter(|(name, ..)| is_there(name, dice)).map(metric).collect()
}

/// Budgets: what a name counts in is the same in all versions.
pub const BUDGETS: [(&str, Window, i32); 5] = [
    ("budget-north", Window::Lifetime, 1),
    ("budget-sale", Window::Lifetime, 1),
    ("budget-all", Window::Lifetime, 1),
    ("budget-a-day", Window::Day, 1),
    ("budget-in-4-hour", Window::Hour, 4),
];

fn draw_budgets(dice: &mut Dice, today: i32) -> Vec<BudgetRule> {
    let mut budgets = Vec::new();
    for (name, window, rolling) in BUDGETS {
        if dice.percent(40) {
            let first = today + i32::try_from(dice.number(-2..3)).expect("a small number");
            let days = dice.percent(30).then(|| (first, first + 2));
            budgets.push(BudgetRule { name, units: *dice.pick(&[1, 50, 400, 3_000, 20_000]), window, rolling, days });
        }
    }
    budgets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::types::{ProgramVersion, TimestampNs};
    use crate::program::{SymbolTable, compile};

    #[test]
    fn every_programme_that_is_drawn_compiles() {
        let mut dice = Dice::new(1);
        for serial in 0..200 {
            let shape = Shape::draw(&mut dice);
            let rules = Rules::draw(&mut dice, 0, 30, shape, 20_000);
            let source = rules.source(serial);
            let compiled = compile(&source, ProgramVersion(1), TimestampNs(0), &mut SymbolTable::new());
            let program = compiled.unwrap_or_else(|problems| panic!("{source}\n{problems:?}"));
            assert_eq!(program.budgets.len(), rules.budgets.len());
            assert_eq!(program.caps.len(), rules.caps.len());
            assert_eq!(program.rewards.len(), rules.rewards.len());
            assert_eq!(program.stamps.len(), rules.cards.len());
        }
    }

    #[test]
    fn dates_are_written_as_the_file_wants_them() {
        assert_eq!(date_of(0).to_string(), "1970-01-01");
        assert_eq!(date_of(20_000).to_string(), "2024-10-04");
    }
}
