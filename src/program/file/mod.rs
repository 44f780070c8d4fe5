//! The programme file as its author wrote it: sections and entries with their places in the source.
//!
//! What must stay true: a value in one of these structures has been reported if it is unfit by itself; what concerns
//! several entries together is judged in `check`. The reference for authors is `docs/programs.md`.

mod catalogue;
mod expect;
mod experiments;
mod money;
mod partners;
mod rewards;
mod rules;
mod stamps;
mod vouchers;
mod when;
mod words;

use std::collections::HashMap;

use super::problem::{Finding, Problems};
use super::suggest::nearest;
use super::table::{At, TableReader};
use super::timezone;
use super::words::Words;
use crate::ledger::money::MoneyTerms;
use crate::ledger::program::{
    AccountPolicy, Attribute, CalendarWindow, CapMeasure, CapSubject, Expiry, MetricMeasure, Over, RoundedPer,
    Rounding, WhenReturned, WhenSpent,
};
use crate::ledger::types::Day;
use crate::limits;

pub(super) use catalogue::RewardEntry;
pub(super) use expect::{Event, Expectation, Given, NOTHING_HELD};
pub(super) use experiments::ExperimentEntry;
pub(super) use partners::{PartnerEntry, RightEntry, StoreEntry};
pub(super) use rewards::{BonusEntry, TiersSection, TriggerEntry};
pub(super) use rules::{EffectEntry, RuleEntry};
pub(super) use stamps::{FullCard, StampEntry};
pub(super) use vouchers::VoucherEntry;
pub(super) use when::WhenEntry;

/// `[redemption]`.
#[derive(Debug)]
pub(super) struct RedemptionSection {
    /// For how long units can be set aside.
    pub(super) hold_minutes: i64,
    pub(super) when_returned: WhenReturned,
}

impl Default for RedemptionSection {
    fn default() -> Self {
        Self { hold_minutes: limits::HOLD_MINUTES_DEFAULT, when_returned: WhenReturned::default() }
    }
}

/// A whole file. `program` and `earn` are `None` only when a problem says why.
#[derive(Debug)]
pub(super) struct ProgramFile {
    pub(super) header: Option<Header>,
    pub(super) wallets: Vec<WalletEntry>,
    pub(super) partners: Vec<PartnerEntry>,
    pub(super) earn: Option<EarnSection>,
    pub(super) when_spent: WhenSpent,
    pub(super) rules: Vec<RuleEntry>,
    pub(super) caps: Vec<CapEntry>,
    pub(super) metrics: Vec<MetricEntry>,
    pub(super) budgets: Vec<BudgetEntry>,
    pub(super) tiers: Option<TiersSection>,
    pub(super) experiments: Vec<ExperimentEntry>,
    pub(super) bonuses: Vec<BonusEntry>,
    pub(super) rewards: Vec<RewardEntry>,
    pub(super) vouchers: Vec<VoucherEntry>,
    pub(super) stamps: Vec<StampEntry>,
    pub(super) redemption: RedemptionSection,
    pub(super) expectations: Vec<Expectation>,
    pub(super) words: Words,
}

/// `[program]`.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) name: At<String>,
    pub(super) currency: At<String>,
    pub(super) time_zone: At<String>,
    pub(super) accounts: AccountPolicy,
    pub(super) late_limit_days: i64,
    pub(super) future_skew_seconds: i64,
    /// The most that the multipliers of a line may come to together, in basis points.
    pub(super) multiplier_max_bps: Option<i64>,
    /// An ordinary basket, in minor units: for people who want to see what it earns.
    pub(super) typical_basket_minor: Option<i64>,
    /// What the cheapest reward costs.
    pub(super) first_reward_units: Option<i64>,
}

/// `[[wallets]]`.
#[derive(Debug)]
pub(super) struct WalletEntry {
    pub(super) name: At<String>,
    pub(super) scale: i64,
    pub(super) balance_max: i64,
    /// Set where it holds money.
    pub(super) money: Option<MoneyTerms>,
}

/// `[earn]`.
#[derive(Debug)]
pub(super) struct EarnSection {
    pub(super) wallet: At<String>,
    pub(super) units: At<i64>,
    pub(super) per_minor: At<i64>,
    pub(super) rounding: Rounding,
    pub(super) rounded_per: RoundedPer,
    pub(super) exclude: Vec<(Attribute, Vec<At<String>>)>,
    pub(super) pending_days: u16,
    pub(super) expiry: Expiry,
}

/// What a cap bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CapOwner {
    /// All that a command earns.
    Programme,
    /// What one rule gives.
    Rule,
}

/// `[[caps]]` and `[[rules.caps]]`.
#[derive(Debug)]
pub(super) struct CapEntry {
    pub(super) name: At<String>,
    pub(super) measure: CapMeasure,
    pub(super) subject: CapSubject,
    pub(super) window: CalendarWindow,
    pub(super) rolling: u16,
    pub(super) limit: At<i64>,
    pub(super) over: Over,
}

/// `[[metrics]]`.
#[derive(Debug)]
pub(super) struct MetricEntry {
    pub(super) name: At<String>,
    pub(super) measure: MetricMeasure,
    pub(super) window: CalendarWindow,
}

/// `[[budgets]]`.
#[derive(Debug)]
pub(super) struct BudgetEntry {
    pub(super) name: At<String>,
    pub(super) units: i64,
    pub(super) window: CalendarWindow,
    pub(super) rolling: u16,
    /// Whose grants draw on it; `None` for all.
    pub(super) partner: Option<At<String>>,
    /// Percentages of the units, ascending.
    pub(super) warnings: Vec<u8>,
    pub(super) from: Option<Day>,
    pub(super) until: Option<Day>,
}

/// Names of one kind, to find those given twice.
#[derive(Default)]
struct Names {
    /// Each name with the noun and the line of its first bearer.
    bearers: HashMap<String, (&'static str, usize)>,
}

impl Names {
    /// The names of one kind, in the order of the alphabet.
    fn of(&self, noun: &str) -> Vec<&str> {
        let known = self.bearers.iter().filter(|(_, (kind, _))| *kind == noun).map(|(name, _)| name.as_str());
        let mut known: Vec<&str> = known.collect();
        known.sort_unstable();
        known
    }

    /// Reports a name of one kind that nothing bears.
    fn check_known(&self, problems: &mut Problems<'_>, noun: &'static str, name: &At<String>) {
        if self.bearers.get(name.get_ref()).is_some_and(|(kind, _)| *kind == noun) {
            return;
        }
        let finding = Finding::error(&name.span(), format!("there is no {noun} {:?}", name.get_ref()));
        let known = self.of(noun);
        problems.push(match nearest(name.get_ref(), known.iter().copied()) {
            Some(name) => finding.hint(format!("did you mean \"{name}\"?")),
            None if known.is_empty() => finding,
            None => finding.hint(format!("the {noun}s of this file: {}", known.join(", "))),
        });
    }

    /// Takes a name; whether it was free. One that is taken is reported.
    fn claim(&mut self, problems: &mut Problems<'_>, noun: &'static str, name: &At<String>) -> bool {
        let line = problems.line(name.span().start);
        if let Some((other_noun, other_line)) = self.bearers.get(name.get_ref()) {
            let message = format!("the name `{}` is taken by the {other_noun} on line {other_line}", name.get_ref());
            problems.push(Finding::error(&name.span(), message));
            return false;
        }
        self.bearers.insert(name.get_ref().clone(), (noun, line));
        true
    }
}

/// What a line can be matched by, as the file calls it. In the order of [`Attribute::ALL`].
pub(super) const ATTRIBUTE_KEYS: [(&str, Attribute); 5] = [
    ("sku", Attribute::Sku),
    ("category", Attribute::Category),
    ("department", Attribute::Department),
    ("brand", Attribute::Brand),
    ("margin_class", Attribute::MarginClass),
];

/// The windows in which counters count, as the file calls them.
pub(super) const CALENDAR_WINDOWS: [(&str, CalendarWindow); 6] = [
    ("hour", CalendarWindow::Hour),
    ("day", CalendarWindow::Day),
    ("week", CalendarWindow::Week),
    ("month", CalendarWindow::Month),
    ("year", CalendarWindow::Year),
    ("lifetime", CalendarWindow::Lifetime),
];

/// The windows of metrics: also the years of an account.
const METRIC_WINDOWS: [(&str, CalendarWindow); 7] = [
    ("hour", CalendarWindow::Hour),
    ("day", CalendarWindow::Day),
    ("week", CalendarWindow::Week),
    ("month", CalendarWindow::Month),
    ("year", CalendarWindow::Year),
    ("anniversary", CalendarWindow::Anniversary),
    ("lifetime", CalendarWindow::Lifetime),
];

const CAP_MEASURES: [(&str, CapMeasure); 3] = [
    ("units", CapMeasure::Units),
    ("earning-baskets", CapMeasure::EarningBaskets),
    ("eligible-amount", CapMeasure::EligibleAmount),
];

const CAP_SUBJECTS: [(&str, CapSubject); 7] = [
    ("account", CapSubject::Account),
    ("member", CapSubject::Member),
    ("store", CapSubject::Store),
    ("terminal", CapSubject::Terminal),
    ("cashier", CapSubject::Cashier),
    ("partner", CapSubject::Partner),
    ("programme", CapSubject::Programme),
];

const METRIC_MEASURES: [(&str, MetricMeasure); 3] = [
    ("eligible-amount", MetricMeasure::EligibleAmount),
    ("units", MetricMeasure::Units),
    ("baskets", MetricMeasure::Baskets),
];

impl ProgramFile {
    /// Reads the whole file; what is unfit goes to the reader's problems.
    pub(super) fn read(mut root: TableReader<'_, '_>) -> Self {
        for (key, section) in [("program", "[program]"), ("wallets", "[[wallets]]"), ("earn", "[earn]")] {
            if !root.has(key) {
                root.problems.push(Finding::error(&(0..0), format!("the file has no section {section}")));
            }
        }
        let header = root.table("program", "[program]").and_then(read_header);
        let mut wallet_names = Names::default();
        let wallets = read_entries(&mut root, "wallets", "[[wallets]]", limits::PROGRAM_WALLETS_MAX, |entry| {
            read_wallet(entry, &mut wallet_names)
        });
        let earn = root.table("earn", "[earn]").and_then(|section| read_earn(section, &wallet_names));
        let partners = read_entries(&mut root, "partners", "[[partners]]", limits::PROGRAM_PARTNERS_MAX, |entry| {
            partners::read_partner(entry, &wallet_names)
        });
        let redemption =
            root.table("redemption", "[redemption]").map_or_else(RedemptionSection::default, read_redemption);
        let when_spent = root.table("refunds", "[refunds]").and_then(read_refunds).unwrap_or_default();
        // Caps, metrics, budgets, bonuses and stamp cards are counters, told apart by name in reasons and across versions.
        let mut counter_names = Names::default();
        let caps = read_entries(&mut root, "caps", "[[caps]]", limits::PROGRAM_CAPS_MAX, |entry| {
            read_cap(entry, CapOwner::Programme, &mut counter_names)
        });
        let metrics = read_entries(&mut root, "metrics", "[[metrics]]", limits::PROGRAM_METRICS_MAX, |entry| {
            read_metric(entry, &mut counter_names)
        });
        let budgets = read_entries(&mut root, "budgets", "[[budgets]]", limits::PROGRAM_BUDGETS_MAX, |entry| {
            read_budget(entry, &mut counter_names)
        });
        let (tiers, levels) = match root.table("tiers", "[tiers]") {
            Some(section) => rewards::read_tiers(section, &counter_names, &metrics),
            None => (None, Vec::new()),
        };
        let rewards = read_entries(&mut root, "rewards", "[[rewards]]", limits::PROGRAM_REWARDS_MAX, |entry| {
            catalogue::read_reward(entry, &mut counter_names, &wallet_names, &levels)
        });
        let mut experiment_names = Names::default();
        let count_max = limits::PROGRAM_EXPERIMENTS_MAX;
        let experiments = read_entries(&mut root, "experiments", "[[experiments]]", count_max, |entry| {
            experiments::read_experiment(entry, &mut experiment_names)
        });
        let mut voucher_names = Names::default();
        let vouchers = read_entries(&mut root, "vouchers", "[[vouchers]]", limits::PROGRAM_VOUCHERS_MAX, |entry| {
            vouchers::read_voucher(entry, &mut voucher_names)
        });
        let known = when::Known { levels: &levels, metrics: &metrics, experiments: &experiments };
        let mut rule_names = Names::default();
        let rules = read_entries(&mut root, "rules", "[[rules]]", limits::PROGRAM_RULES_MAX, |entry| {
            rules::read_rule(entry, &mut rule_names, &mut counter_names, &known)
        });
        let bonuses = read_entries(&mut root, "bonuses", "[[bonuses]]", limits::PROGRAM_BONUSES_MAX, |entry| {
            rewards::read_bonus(entry, &mut rule_names, &mut counter_names, (&known, &voucher_names))
        });
        let stamps = read_entries(&mut root, "stamps", "[[stamps]]", limits::PROGRAM_STAMPS_MAX, |entry| {
            stamps::read_stamps(entry, &mut rule_names, &mut counter_names, (&known, &voucher_names))
        });
        let expectations = read_entries(&mut root, "expect", "[[expect]]", usize::MAX, |entry| {
            expect::read_expectation(entry, &rule_names, (&known, &stamps))
        });
        let names = [&wallet_names, &counter_names, &rule_names, &experiment_names];
        let named = words::Named { names, levels: &levels };
        let words = root.table("words", "[words]");
        let mut file = Self {
            header,
            wallets,
            partners,
            earn,
            when_spent,
            rules,
            caps,
            metrics,
            budgets,
            tiers,
            experiments,
            bonuses,
            rewards,
            vouchers,
            stamps,
            redemption,
            expectations,
            words: Words::default(),
        };
        if let Some(section) = words {
            file.words = words::read_words(section, &named, &file);
        }
        root.finish();
        file
    }
}

impl ProgramFile {
    /// The caps of all rules, each with its rule.
    pub(super) fn caps_of_rules(&self) -> impl Iterator<Item = (&RuleEntry, &CapEntry)> {
        self.rules.iter().flat_map(|rule| rule.caps.iter().map(move |cap| (rule, cap)))
    }

    /// The conditions of all rules, bonuses and stamp cards.
    pub(super) fn conditions(&self) -> impl Iterator<Item = &WhenEntry> {
        let rules = self.rules.iter().filter_map(|rule| rule.when.as_ref());
        let bonuses = self.bonuses.iter().filter_map(|bonus| bonus.when.as_ref());
        rules.chain(bonuses).chain(self.stamps.iter().filter_map(|card| card.when.as_ref()))
    }
}

fn read_entries<'s, T>(
    root: &mut TableReader<'_, 's>,
    key: &'static str,
    noun: &'static str,
    count_max: usize,
    mut read: impl FnMut(TableReader<'_, 's>) -> Option<T>,
) -> Vec<T> {
    let mut entries = Vec::new();
    root.each_table(key, noun, count_max, |entry| entries.extend(read(entry)));
    entries
}

fn read_header(mut section: TableReader<'_, '_>) -> Option<Header> {
    section.require(&["name", "currency", "time_zone"]);
    let name = section.text("name", 1..=limits::PROGRAM_NAME_BYTES_MAX);
    if let Some(name) = name.as_ref().filter(|name| name.get_ref().chars().any(char::is_control)) {
        section.problems.push(Finding::error(&name.span(), "`name` contains a control character"));
    }
    let currency = section.text("currency", 0..=usize::MAX);
    let is_code = |text: &str| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    if let Some(currency) = currency.as_ref().filter(|currency| !is_code(currency.get_ref())) {
        let message = format!("{:?} is not a currency code", currency.get_ref());
        let hint = "a currency code is three capital letters, for example \"EUR\" (ISO 4217)";
        section.problems.push(Finding::error(&currency.span(), message).hint(hint));
    }
    let time_zone = section.text("time_zone", 0..=usize::MAX);
    if let Some(name) = time_zone.as_ref().filter(|name| !timezone::is_known(name.get_ref())) {
        let finding = Finding::error(&name.span(), format!("there is no time zone {:?}", name.get_ref()));
        section.problems.push(match timezone::nearest_name(name.get_ref()) {
            Some(known) => finding.hint(format!("did you mean \"{known}\"?")),
            None => finding.hint("a time zone is named by its IANA name, for example \"Europe/Berlin\" or \"UTC\""),
        });
    }
    let policies = [("implicit", AccountPolicy::Implicit), ("enrolled", AccountPolicy::Enrolled)];
    let accounts = section.word("accounts", &policies).map_or(AccountPolicy::Implicit, At::into_inner);
    let late_limit_days = section
        .integer("late_limit_days", 0..=limits::LATE_LIMIT_DAYS_MAX)
        .map_or(limits::LATE_LIMIT_DAYS_DEFAULT, At::into_inner);
    let future_skew_seconds = section
        .integer("future_skew_seconds", 0..=limits::FUTURE_SKEW_SECONDS_MAX)
        .map_or(limits::FUTURE_SKEW_SECONDS_DEFAULT, At::into_inner);
    let multiplier_max_bps = rules::read_multiplier_max(&mut section);
    let basket_minor_max = limits::LINE_AMOUNT_MINOR_MAX;
    let typical_basket_minor = section.integer("typical_basket_minor", 1..=basket_minor_max).map(At::into_inner);
    let first_reward_units = section.integer("first_reward_units", 1..=limits::UNITS_MAX);
    if let Some(units) = first_reward_units.as_ref().filter(|_| typical_basket_minor.is_none()) {
        let message = "`first_reward_units` says nothing without `typical_basket_minor`";
        let hint = "state an ordinary basket in minor units, for example typical_basket_minor = 3_500";
        section.problems.push(Finding::error(&units.span(), message).hint(hint));
    }
    section.finish();
    let (name, currency, time_zone) = (name?, currency?, time_zone?);
    Some(Header {
        name,
        currency,
        time_zone,
        accounts,
        late_limit_days,
        future_skew_seconds,
        multiplier_max_bps,
        typical_basket_minor,
        first_reward_units: first_reward_units.map(At::into_inner),
    })
}

/// For how long units can be set aside, and what becomes of burned ones that come back after their death.
fn read_redemption(mut section: TableReader<'_, '_>) -> RedemptionSection {
    let minutes = section.integer("hold_minutes", 1..=limits::HOLD_MINUTES_MAX);
    let when_returned = section.word("when_returned", &[("as_was", false), ("extend", true)]);
    let days = section.integer("extend_days", 0..=limits::EXPIRY_DAYS_MAX);
    let extends = when_returned.as_ref().is_some_and(|word| *word.get_ref());
    match (&when_returned, &days) {
        (Some(word), None) if extends && !section.has("extend_days") => {
            let finding = Finding::error(&word.span(), "`when_returned = \"extend\"` does not say for how long");
            section.problems.push(finding.hint("write for how many full days behind the return: extend_days = 30"));
        }
        (_, Some(days)) if !extends => {
            let finding = Finding::error(&days.span(), "`extend_days` is for `when_returned = \"extend\"` alone");
            section.problems.push(finding.hint("leave it out, or write when_returned = \"extend\""));
        }
        _ => {}
    }
    section.finish();
    let days = days.filter(|_| extends).map(|days| u16::try_from(days.into_inner()).expect("the days were checked"));
    RedemptionSection {
        hold_minutes: minutes.map_or(limits::HOLD_MINUTES_DEFAULT, At::into_inner),
        when_returned: days.map_or(WhenReturned::AsWas, WhenReturned::Extend),
    }
}

fn read_refunds(mut section: TableReader<'_, '_>) -> Option<WhenSpent> {
    section.require(&["when_spent"]);
    let policies = [("refuse", WhenSpent::Refuse), ("debt", WhenSpent::Debt), ("negative", WhenSpent::Negative)];
    let when_spent = section.word("when_spent", &policies).map(At::into_inner);
    section.finish();
    when_spent
}

fn read_wallet(mut entry: TableReader<'_, '_>, names: &mut Names) -> Option<WalletEntry> {
    entry.require(&["name"]);
    let name = entry.name("name");
    if let Some(name) = &name {
        names.claim(entry.problems, "wallet", name);
    }
    let scale = entry.integer("scale", 0..=i64::from(limits::WALLET_SCALE_MAX)).map_or(0, At::into_inner);
    let balance_max = entry.integer("balance_max", 1..=limits::UNITS_MAX).map_or(limits::UNITS_MAX, At::into_inner);
    let money = money::read_money(&mut entry, balance_max);
    entry.finish();
    Some(WalletEntry { name: name?, scale, balance_max, money })
}

fn read_earn(mut section: TableReader<'_, '_>, wallet_names: &Names) -> Option<EarnSection> {
    section.require(&["wallet", "units", "per_minor", "rounding", "stacking"]);
    let wallet = section.text("wallet", 0..=usize::MAX);
    if let Some(wallet) = &wallet {
        wallet_names.check_known(section.problems, "wallet", wallet);
    }
    let units = section.integer("units", 1..=limits::EARN_RATE_PART_MAX);
    let per_minor = section.integer("per_minor", 1..=limits::EARN_RATE_PART_MAX);
    let roundings = [
        ("floor", Rounding::Floor),
        ("half-up", Rounding::HalfUp),
        ("half-even", Rounding::HalfEven),
        ("carry", Rounding::Carry),
    ];
    let rounding = section.word("rounding", &roundings);
    let places = [("basket", RoundedPer::Basket), ("line", RoundedPer::Line)];
    let rounded_per = section.word("rounded_per", &places).map_or(RoundedPer::Basket, At::into_inner);
    let stacking = section.word("stacking", &[("best-of", ())]);
    let exclude = section.table("exclude", "`exclude`").map_or_else(Vec::new, |mut table| {
        let lists = read_attributes(&mut table);
        if lists.is_empty() {
            let finding = Finding::error(table.at(), "`exclude` excludes nothing");
            table.problems.push(finding.hint("leave it out, or write exclude = { department = [\"GIFTS\"] }"));
        }
        table.finish();
        lists
    });
    let carries = rounding.as_ref().filter(|rounding| *rounding.get_ref() == Rounding::Carry);
    if let Some(rounding) = carries.filter(|_| rounded_per == RoundedPer::Line) {
        let message = "only what a basket leaves over can be carried to the next, not what a line does";
        section.problems.push(Finding::error(&rounding.span(), message).hint("write rounded_per = \"basket\""));
    }
    let (pending_days, expiry) = rewards::read_terms(&mut section);
    section.finish();
    stacking?;
    Some(EarnSection {
        wallet: wallet?,
        units: units?,
        per_minor: per_minor?,
        rounding: rounding?.into_inner(),
        rounded_per,
        exclude,
        pending_days,
        expiry,
    })
}

/// The lists of values that a table states by attribute.
fn read_attributes(table: &mut TableReader<'_, '_>) -> Vec<(Attribute, Vec<At<String>>)> {
    let mut lists = Vec::new();
    for (key, attribute) in ATTRIBUTE_KEYS {
        if let Some(values) = table.texts(key, limits::SYMBOL_BYTES_MAX) {
            lists.push((attribute, values));
        }
    }
    lists
}

fn read_cap(mut entry: TableReader<'_, '_>, owner: CapOwner, names: &mut Names) -> Option<CapEntry> {
    entry.require(&["name", "measure", "window", "limit"]);
    let name = entry.name("name");
    if let Some(name) = &name {
        names.claim(entry.problems, "cap", name);
    }
    let measure = entry.word("measure", &CAP_MEASURES);
    let subject = entry.word("subject", &CAP_SUBJECTS).map_or(CapSubject::Account, At::into_inner);
    let window = entry.word("window", &CALENDAR_WINDOWS);
    let rolling = read_rolling(&mut entry, window.as_ref().map(|window| *window.get_ref()));
    // What a rule gives is part of what a basket earns, which is held whole or not at all.
    let ways = [("clip", Over::Clip), ("decline", Over::Decline), ("hold", Over::Hold)];
    let over = entry.word("over", if owner == CapOwner::Rule { &ways[..2] } else { &ways });
    let clips = |measure: &At<CapMeasure>| *measure.get_ref() == CapMeasure::Units;
    if let Some(over) =
        over.as_ref().filter(|over| *over.get_ref() == Over::Clip && !measure.as_ref().is_some_and(clips))
        && measure.is_some()
    {
        let message = "only a cap on units can clip: any other lets a basket through, declines it or holds it";
        entry
            .problems
            .push(Finding::error(&over.span(), message).hint("leave it out, or write over = \"decline\" or \"hold\""));
    }
    let limit = entry.integer("limit", 0..=limits::UNITS_MAX);
    if let Some(limit) = limit.as_ref().filter(|limit| *limit.get_ref() == 0) {
        entry.problems.push(Finding::warning(
            &limit.span(),
            match owner {
                CapOwner::Programme => "with a limit of 0 nothing is ever earned",
                CapOwner::Rule => "with a limit of 0 the rule never counts",
            },
        ));
    }
    entry.finish();
    let (measure, window) = (measure?.into_inner(), window?.into_inner());
    let over = over.map_or(Over::Clip, At::into_inner);
    let rolling = rolling.map_or(1, At::into_inner);
    Some(CapEntry { name: name?, measure, subject, window, rolling, limit: limit?, over })
}

/// How many windows are taken together; not for all time, which is one.
fn read_rolling(table: &mut TableReader<'_, '_>, window: Option<CalendarWindow>) -> Option<At<u16>> {
    let rolling = table.integer("rolling", 1..=i64::from(limits::ROLLING_WINDOWS_MAX))?;
    if window == Some(CalendarWindow::Lifetime) {
        let finding =
            Finding::error(&rolling.span(), "a lifetime is one window: nothing can be taken together with it");
        table.problems.push(finding.hint("leave `rolling` out"));
    }
    let count = u16::try_from(*rolling.get_ref()).expect("the count was checked");
    Some(At::new(rolling.span(), count))
}

fn read_metric(mut entry: TableReader<'_, '_>, names: &mut Names) -> Option<MetricEntry> {
    entry.require(&["name", "measure", "window"]);
    let name = entry.name("name");
    if let Some(name) = &name {
        names.claim(entry.problems, "metric", name);
    }
    let measure = entry.word("measure", &METRIC_MEASURES);
    let window = entry.word("window", &METRIC_WINDOWS);
    entry.finish();
    Some(MetricEntry { name: name?, measure: measure?.into_inner(), window: window?.into_inner() })
}

fn read_budget(mut entry: TableReader<'_, '_>, names: &mut Names) -> Option<BudgetEntry> {
    entry.require(&["name", "units"]);
    let name = entry.name("name");
    if let Some(name) = &name {
        names.claim(entry.problems, "budget", name);
    }
    let units = entry.integer("units", 0..=limits::UNITS_MAX);
    if let Some(units) = units.as_ref().filter(|units| *units.get_ref() == 0) {
        entry.problems.push(Finding::warning(&units.span(), "with a budget of 0 nothing is earned while it lasts"));
    }
    let window = entry.word("window", &CALENDAR_WINDOWS).map_or(CalendarWindow::Lifetime, At::into_inner);
    let rolling = read_rolling(&mut entry, Some(window));
    let partner = entry.text("partner", 1..=limits::SYMBOL_BYTES_MAX);
    let warnings = partners::read_warnings(&mut entry);
    if let Some(rolling) = rolling.as_ref().filter(|rolling| *rolling.get_ref() > 1 && !warnings.is_empty()) {
        let finding = Finding::error(&rolling.span(), "the levels of windows that are bounded together cannot be told");
        entry.problems.push(finding.hint("leave `rolling` or `warnings` out"));
    }
    let (from, until) = (entry.date("from"), entry.date("until"));
    if let (Some(from), Some(until)) = (&from, &until)
        && from.get_ref() > until.get_ref()
    {
        let [from_text, until_text] = [from, until].map(|day| entry.problems.text(&day.span()));
        let message = format!("the budget ends on {until_text}, before it begins on {from_text}");
        entry.problems.push(Finding::error(&until.span(), message));
    }
    entry.finish();
    let (from, until) = (from.map(At::into_inner), until.map(At::into_inner));
    let (name, units, rolling) = (name?, units?.into_inner(), rolling.map_or(1, At::into_inner));
    Some(BudgetEntry { name, units, window, rolling, partner, warnings, from, until })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_in_the_order_of_the_tables() {
        assert_eq!(ATTRIBUTE_KEYS.map(|(_, attribute)| attribute), Attribute::ALL);
    }
}
