//! A programme in words: what the model reads, and what the ledger's programme is made from.
//!
//! What must stay true: the model never sees what was compiled.

use proptest::prelude::*;
use tallystick::ledger::program::{
    Bonus, CalendarWindow, Conditions, Expiry, LineEffect, OwnAverage, Program, Stacking, TierLadder, TierLevel,
    Trigger, Weekdays,
};
use tallystick::ledger::types::{ProgramVersion, SymbolId, TimestampNs};
use tallystick::program::{SymbolTable, Symbols, compile};

use crate::stamps::{CardWords, any_card};

pub const DEPARTMENTS: [&str; 3] = ["", "GROCERY", "FRESH"];
pub const BRANDS: [&str; 3] = ["", "Own", "Other"];
pub const ACCOUNTS: [&str; 3] = ["m1", "m2", "m3"];
pub const PARTNERS: [&str; 2] = ["north", "south"];
pub const SEGMENTS: [&str; 3] = ["gold-card", "staff", "student"];
pub const ACTIVITIES: [&str; 2] = ["review", "visit"];

/// What must hold; a part that is `None` or empty always does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct When {
    /// Days of the week, 0 for Monday.
    pub weekdays: Vec<u8>,
    /// The account is in this segment.
    pub segment: Option<usize>,
    /// The account is not in this one.
    pub not_segment: Option<usize>,
    /// The least level.
    pub level_min: u8,
    /// The least eligible amount; 0 for any.
    pub eligible_min: i64,
    /// Every so many baskets; 0 for any.
    pub every_nth: i64,
    /// The partner.
    pub partner: Option<usize>,
    /// From this hour of the day until the next noon or midnight.
    pub from_hour: Option<u16>,
    /// At least, and at most, so many days since the last basket.
    pub days_since: (Option<i32>, Option<i32>),
    /// At least so many percent of the account's average basket.
    pub own_average: Option<i64>,
    /// The account is in this one of [`VARIANTS`].
    pub variant: Option<usize>,
}

/// The experiment's variants, and how many accounts of a hundred are in each.
pub const VARIANTS: [(&str, u64); 3] = [("none", 30), ("some", 45), ("much", 25)];
/// The experiment's name.
pub const TRIAL: &str = "trial";

/// Whose counter a cap bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    Account,
    Store,
    Partner,
    Everybody,
}

/// How long units live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lives {
    Ever,
    /// So many full days after the day on which they were earned.
    Days(u16),
    /// So many full days after the day of the last thing that the member did.
    SinceLast(u16),
    /// To the end of the next such day of a year, month and day.
    UntilEach(u8, u8),
}

/// What a cap counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    Units,
    Baskets,
    Amounts,
}

/// A cap.
#[derive(Clone, Copy, Debug)]
pub struct CapWords {
    pub counts: Counts,
    pub whose: Whose,
    pub window: CalendarWindow,
    /// So many windows that follow each other are bounded together.
    pub rolling: i32,
    pub limit: i64,
    /// What would exceed it earns nothing.
    pub declines: bool,
}

/// A rule about lines of a department or a brand.
#[derive(Clone, Debug)]
pub struct Rule {
    pub by_brand: bool,
    pub value: &'static str,
    /// In ten-thousandths.
    pub multiplier: i64,
    /// Fixed units, and whether for each piece, in the place of the multiplier.
    pub fixed: Option<(i64, bool)>,
    pub stacking: Stacking,
    pub priority: i32,
    pub when: When,
}

#[derive(Clone, Debug)]
pub struct BonusRule {
    /// The activity, or any basket.
    pub activity: Option<usize>,
    pub units: i64,
    pub limit: Option<(CalendarWindow, i64)>,
    /// At most so often over all accounts.
    pub places: Option<i64>,
    pub when: When,
}

/// A programme in words.
#[derive(Clone, Debug)]
pub struct Rules {
    pub zone: &'static str,
    pub units: i64,
    pub per_minor: i64,
    pub rounding: &'static str,
    pub per_line: bool,
    pub excluded_department: Option<&'static str>,
    pub lines: Vec<Rule>,
    /// In the order of the file.
    pub caps: Vec<CapWords>,
    pub has_metric: bool,
    /// Thresholds, ascending, and multipliers in ten-thousandths. They need the metric.
    pub tiers: Vec<(i64, i64)>,
    pub bonuses: Vec<BonusRule>,
    pub cards: Vec<CardWords>,
    pub lives: Lives,
    /// Full days behind the one on which units were earned, after which they can be spent.
    pub pending_days: u16,
    /// Limits, and whether the budget is in force only on the first two days.
    pub budgets: Vec<(i64, bool)>,
    /// What becomes of a return of units that were spent.
    pub when_spent: &'static str,
    pub balance_max: i64,
    pub late_limit_days: i64,
}

/// For how long units can be set aside: some die meanwhile.
pub const HOLD_MINUTES: i64 = 2_500;

impl Rules {
    fn conditions(&self) -> impl Iterator<Item = &When> {
        let lines = self.lines.iter().map(|rule| &rule.when);
        let bonuses = self.bonuses.iter().map(|bonus| &bonus.when);
        lines.chain(bonuses).chain(self.cards.iter().map(|card| &card.when))
    }

    /// The part that every version of the file's language has said.
    pub fn source(&self) -> String {
        let mut text = format!(
            "[program]\nname = \"model\"\ncurrency = \"EUR\"\ntime_zone = \"{}\"\nlate_limit_days = {}\n\
             [redemption]\nhold_minutes = {HOLD_MINUTES}\n\
             [[wallets]]\nname = \"points\"\nbalance_max = {}\n\
             [earn]\nwallet = \"points\"\nunits = {}\nper_minor = {}\nrounding = \"{}\"\nrounded_per = \"{}\"\n\
             stacking = \"best-of\"\n",
            self.zone,
            self.late_limit_days,
            self.balance_max,
            self.units,
            self.per_minor,
            self.rounding,
            if self.per_line { "line" } else { "basket" }
        );
        let mut add = |more: String| text.push_str(&more);
        let when_spent = self.when_spent;
        if let Some(department) = self.excluded_department {
            add(format!("exclude = {{ department = [\"{department}\"] }}\n"));
        }
        if when_spent != "refuse" {
            add(format!("[refunds]\nwhen_spent = \"{when_spent}\"\n"));
        }
        for (index, rule) in self.lines.iter().enumerate() {
            let attribute = if rule.by_brand { "brand" } else { "department" };
            add(format!("[[rules]]\nname = \"rule-{index}\"\nmatch = {{ {attribute} = [\"{}\"] }}\n", rule.value));
            add(format!("multiplier = \"{}.{:04}\"\n", rule.multiplier / 10_000, rule.multiplier % 10_000));
        }
        for (index, cap) in self.caps.iter().enumerate() {
            let CapWords { counts, whose, window, rolling, limit, declines } = cap;
            let measure = match counts {
                Counts::Units => "units",
                Counts::Baskets => "earning-baskets",
                Counts::Amounts => "eligible-amount",
            };
            let window = format!("{window:?}").to_lowercase();
            let over = if *declines { "decline" } else { "clip" };
            let subject = match whose {
                Whose::Account => "account",
                Whose::Store => "store",
                Whose::Partner => "partner",
                Whose::Everybody => "programme",
            };
            add(format!("[[caps]]\nname = \"cap-{index}\"\nmeasure = \"{measure}\"\nwindow = \"{window}\"\n"));
            add(format!("subject = \"{subject}\"\nrolling = {rolling}\nlimit = {limit}\nover = \"{over}\"\n"));
        }
        if self.conditions().any(|when| when.variant.is_some()) {
            let variant = |(name, percent)| format!("{{ name = \"{name}\", percent = {percent} }}");
            add(format!("[[experiments]]\nname = \"{TRIAL}\"\nvariants = [{}]\n", VARIANTS.map(variant).join(", ")));
        }
        if self.conditions().any(|when| when.own_average.is_some()) {
            add("[[metrics]]\nname = \"ever\"\nmeasure = \"eligible-amount\"\nwindow = \"lifetime\"\n".to_owned());
        }
        if self.has_metric {
            add("[[metrics]]\nname = \"spent\"\nmeasure = \"eligible-amount\"\nwindow = \"year\"\n".to_owned());
        }
        for (index, (limit, briefly)) in self.budgets.iter().enumerate() {
            add(format!("[[budgets]]\nname = \"budget-{index}\"\nunits = {limit}\n"));
            if *briefly {
                add("from = 2017-03-01\nuntil = 2017-03-02\n".to_owned());
            }
        }
        text
    }

    /// The programme: the file compiled, and the rest put into its tables.
    pub fn program(&self, symbols: &mut SymbolTable) -> Program {
        let mut program = compile(&self.source(), ProgramVersion(1), TimestampNs(i64::MIN), symbols)
            .unwrap_or_else(|problems| panic!("{problems:?}\n{}", self.source()));
        let table = &mut program.lines;
        for (rule, made) in self.lines.iter().zip(&mut table.rules) {
            (made.stacking, made.priority) = (rule.stacking, rule.priority);
            if let Some((units, per_piece)) = rule.fixed {
                (made.effect, made.stacking) = (LineEffect::Fixed { units, per_piece }, Stacking::Add);
            }
            made.when = (rule.when != When::default()).then(|| Box::new(conditions(&rule.when, symbols)));
            table.multiply_max += u32::from(made.stacking == Stacking::Multiply);
            table.needs_eligible_amount |= rule.when.eligible_min > 0 || rule.when.own_average.is_some();
        }
        program.earn.terms.pending_days = self.pending_days;
        program.earn.terms.expiry = match self.lives {
            Lives::Ever => Expiry::Never,
            Lives::Days(days) => Expiry::AfterDays(days),
            Lives::SinceLast(days) => Expiry::AfterInactivity(days),
            Lives::UntilEach(month, day) => Expiry::EachYearOn { month, day },
        };
        if !self.tiers.is_empty() {
            let level = |(index, (threshold, multiplier_bps)): (usize, &(i64, i64))| TierLevel {
                name: format!("level-{index}"),
                threshold: *threshold,
                multiplier_bps: *multiplier_bps,
            };
            program.tiers = Some(TierLadder {
                metric: program.metrics[0].symbol,
                window: program.metrics[0].window,
                rolling: 1,
                keep: 0,
                soft_landing: false,
                grace_days: 0,
                levels: self.tiers.iter().enumerate().map(level).collect(),
            });
        }
        let bonus = |(index, bonus): (usize, &BonusRule)| {
            let name = format!("bonus-{index}");
            let trigger = bonus.activity.map(|kind| Trigger::Activity(symbol(symbols, ACTIVITIES[kind])));
            Bonus {
                symbol: symbol(symbols, &name),
                name,
                trigger: trigger.unwrap_or(Trigger::Basket),
                when: conditions(&bonus.when, symbols),
                units: bonus.units,
                voucher: None,
                limit: bonus.limit,
                places: bonus.places,
            }
        };
        program.bonuses = self.bonuses.iter().enumerate().map(bonus).collect();
        program.stamps = self.cards.iter().enumerate().map(|(index, card)| card.made(index, symbols)).collect();
        program.has_cells = program.draws_on_cells();
        program.metrics.iter_mut().for_each(|metric| metric.is_averaged = metric.name == "ever");
        program.keeps_last_basket = self.conditions().any(|when| when.days_since != (None, None));
        program
    }

    /// The same rules in the opposite order.
    pub fn turned(&self) -> Self {
        let mut turned = self.clone();
        turned.lines.reverse();
        turned.bonuses.reverse();
        turned.cards.reverse();
        turned
    }
}

pub fn symbol(symbols: &mut SymbolTable, text: &str) -> SymbolId {
    symbols.intern(text).expect("there is room")
}

pub fn conditions(when: &When, symbols: &mut SymbolTable) -> Conditions {
    let mut named = |name: Option<&str>| name.map(|name| symbol(symbols, name)).into_iter().collect();
    Conditions {
        weekdays: Weekdays(when.weekdays.iter().fold(0, |set, day| set | 1 << day)),
        minutes: when.from_hour.map(|hour| (hour * 60, (hour / 12 + 1) * 720)).into_iter().collect(),
        segments: named(when.segment.map(|index| SEGMENTS[index])),
        not_segments: named(when.not_segment.map(|index| SEGMENTS[index])),
        partners: named(when.partner.map(|index| PARTNERS[index])),
        levels: if when.level_min == 0 { 0 } else { u64::MAX << when.level_min },
        eligible_minor_min: when.eligible_min,
        every_nth_basket: when.every_nth,
        days_since_last_basket_min: when.days_since.0,
        days_since_last_basket_max: when.days_since.1,
        own_average: when.own_average.map(|percent| OwnAverage { metric: symbol(symbols, "ever"), percent }),
        variants: when.variant.map(|index| (0, u8::try_from(index).expect("few"))).into_iter().collect(),
        ..Conditions::default()
    }
}

pub fn any_when(of_basket: bool) -> impl Strategy<Value = When> {
    let amounts = if of_basket { 1_500_i64 } else { 1 };
    let nth = 4_i64;
    let seldom = |strategy: std::ops::Range<usize>| prop::option::weighted(0.2, strategy);
    (
        prop_oneof![4 => Just(vec![]), 1 => prop::collection::vec(0..7_u8, 1..5)],
        seldom(0..SEGMENTS.len()),
        seldom(0..SEGMENTS.len()),
        prop_oneof![5 => Just(0_u8), 1 => 1..3_u8],
        prop_oneof![4 => Just(0), 1 => 0..amounts],
        prop_oneof![4 => Just(0), 1 => 0..nth],
        seldom(0..PARTNERS.len()),
        prop::option::weighted(0.2, 0..24_u16),
        (prop::option::weighted(0.1, 0..4_i32), prop::option::weighted(0.1, 0..4_i32)),
        (
            prop::option::weighted(0.15, 30..300_i64).prop_map(move |percent| percent.filter(|_| of_basket)),
            seldom(0..VARIANTS.len()),
        ),
    )
        .prop_map(
            |(weekdays, segment, not_segment, level_min, eligible_min, every_nth, partner, hour, days, last)| When {
                weekdays,
                segment,
                not_segment,
                level_min,
                eligible_min,
                every_nth,
                partner,
                from_hour: hour,
                days_since: days,
                own_average: last.0,
                variant: last.1,
            },
        )
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let multiplier = prop_oneof![Just(0_i64), Just(5_000), Just(12_500), Just(20_000), Just(33_333)];
    let stacking = prop_oneof![
        3 => Just(Stacking::BestOf), 2 => Just(Stacking::Add), 2 => Just(Stacking::Multiply),
        1 => Just(Stacking::Exclusive)
    ];
    let fixed = prop::option::weighted(0.2, (1..30_i64, any::<bool>()));
    (any::<bool>(), 1..3_usize, multiplier, fixed, stacking, 0..2_i32, any_when(true)).prop_map(
        |(by_brand, value, multiplier, fixed, stacking, priority, when)| {
            let value = if by_brand { BRANDS[value] } else { DEPARTMENTS[value] };
            Rule { by_brand, value, multiplier, fixed, stacking, priority, when }
        },
    )
}

fn any_bonus() -> impl Strategy<Value = BonusRule> {
    use CalendarWindow::{Day, Lifetime, Month, Week, Year};
    let window = prop_oneof![Just(Day), Just(Week), Just(Month), Just(Year), Just(Lifetime)];
    let limit = prop::option::weighted(0.7, (window, 1..3_i64));
    prop::option::of(0..ACTIVITIES.len()).prop_flat_map(move |activity| {
        let places = prop::option::weighted(0.25, 1..4_i64);
        (1..40_i64, limit.clone(), places, any_when(activity.is_none()))
            .prop_map(move |(units, limit, places, when)| BonusRule { activity, units, limit, places, when })
    })
}

fn any_cap() -> impl Strategy<Value = CapWords> {
    use CalendarWindow::{Day, Hour, Month, Week, Year};
    let counts = prop_oneof![3 => Just(Counts::Units), 1 => Just(Counts::Baskets), 1 => Just(Counts::Amounts)];
    let window = prop_oneof![1 => Just(Hour), 3 => Just(Day), 1 => Just(Week), 1 => Just(Month), 2 => Just(Year)];
    let rolling = prop_oneof![2 => Just(1), 1 => 2..5_i32];
    let whose = prop_oneof![
        4 => Just(Whose::Account), 1 => Just(Whose::Store), 1 => Just(Whose::Partner), 1 => Just(Whose::Everybody)
    ];
    (counts, whose, window, rolling, 1..60_i64, prop::bool::weighted(0.3)).prop_map(
        |(counts, whose, window, rolling, limit, declines)| {
            let limit = if counts == Counts::Amounts { limit * 200 } else { limit };
            CapWords { counts, whose, window, rolling, limit, declines: declines || counts != Counts::Units }
        },
    )
}

fn any_life() -> impl Strategy<Value = Lives> {
    let days = prop_oneof![Just(0_u16), Just(2), Just(20)];
    prop_oneof![
        2 => Just(Lives::Ever),
        2 => days.clone().prop_map(Lives::Days),
        3 => prop_oneof![Just(1_u16), Just(2), Just(20)].prop_map(Lives::SinceLast),
        1 => prop_oneof![Just((3_u8, 1_u8)), Just((3, 2)), Just((3, 5)), Just((12, 31))]
            .prop_map(|(month, day)| Lives::UntilEach(month, day)),
    ]
}

pub fn any_rules() -> impl Strategy<Value = Rules> {
    let earn = (
        prop_oneof![Just("UTC"), Just("America/New_York"), Just("Pacific/Kiritimati")],
        1..4_i64,
        prop_oneof![Just(1_i64), Just(7), Just(100), Just(1_000)],
        prop_oneof![Just("floor"), Just("half-up"), Just("half-even"), Just("carry")],
        any::<bool>(),
        prop::option::of(Just("FRESH")),
    );
    let tiers = prop_oneof![
        Just(vec![]),
        (1..2_000_i64, 1..4_000_i64, 10_000..30_000_i64)
            .prop_map(|(first, more, multiplier)| vec![(first, 12_500), (first + more, multiplier)]),
    ];
    let bounds = (
        prop::collection::vec(any_rule(), 0..4),
        prop::collection::vec(any_cap(), 0..4),
        any::<bool>(),
        tiers,
        (prop::collection::vec(any_bonus(), 0..4), prop::collection::vec(any_card(), 0..3)),
        (any_life(), prop_oneof![3 => Just(0_u16), 1 => Just(1), 1 => Just(3)]),
        prop::collection::vec((1..200_i64, any::<bool>()), 0..3),
        (prop_oneof![Just(1_000_000_i64), Just(80)], prop_oneof![Just("refuse"), Just("debt"), Just("negative")]),
        prop_oneof![Just(0_i64), Just(3), Just(30)],
    );
    (earn, bounds).prop_map(|(earn, bounds)| {
        let (zone, units, per_minor, rounding, per_line, excluded_department) = earn;
        let (mut lines, caps, has_metric, tiers, beside, terms, budgets, (balance_max, when_spent), late_limit_days) =
            bounds;
        let (bonuses, cards) = beside;
        let (lives, pending_days) = terms;
        let mut rounding = rounding;
        let multiply_count = lines.iter().filter(|rule: &&Rule| rule.stacking == Stacking::Multiply).count();
        if multiply_count > 1 && rounding == "carry" {
            // What is left over would be in parts too small to be carried.
            rounding = "floor";
        }
        // A rule that can have no effect is an error of the file.
        lines.retain(|rule| rule.by_brand || Some(rule.value) != excluded_department);
        let has_metric = has_metric || !tiers.is_empty();
        Rules {
            zone,
            units,
            per_minor,
            rounding,
            per_line: per_line && rounding != "carry",
            excluded_department,
            lines,
            caps,
            has_metric,
            tiers,
            bonuses,
            cards,
            lives,
            pending_days,
            budgets,
            when_spent,
            balance_max,
            late_limit_days,
        }
    })
}
