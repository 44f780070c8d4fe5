//! The programme file as its author wrote it: sections and entries with their places in the source.
//!
//! What must stay true: a value in one of these structures has been reported if it is unfit by itself; what concerns
//! several entries together is judged in `check`. The reference for authors is `docs/program-file.md`.

use std::collections::HashMap;

use super::problem::{Finding, Problems};
use super::suggest::nearest;
use super::table::{At, TableReader};
use super::timezone;
use crate::ledger::program::{
    AccountPolicy, Attribute, BPS_ONE, CalendarWindow, CapMeasure, MetricMeasure, RoundedPer, Rounding,
};
use crate::ledger::types::Day;
use crate::limits;

/// A whole file. `program` and `earn` are `None` only when a problem says why.
#[derive(Debug)]
pub(super) struct ProgramFile {
    pub(super) header: Option<Header>,
    pub(super) wallets: Vec<WalletEntry>,
    pub(super) earn: Option<EarnSection>,
    pub(super) rules: Vec<RuleEntry>,
    pub(super) caps: Vec<CapEntry>,
    pub(super) metrics: Vec<MetricEntry>,
    pub(super) budgets: Vec<BudgetEntry>,
    pub(super) expectations: Vec<Expectation>,
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
}

/// `[[wallets]]`.
#[derive(Debug)]
pub(super) struct WalletEntry {
    pub(super) name: At<String>,
    pub(super) scale: i64,
    pub(super) balance_max: i64,
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
}

/// `[[rules]]`.
#[derive(Debug)]
pub(super) struct RuleEntry {
    pub(super) name: At<String>,
    pub(super) attribute: Attribute,
    pub(super) values: Vec<At<String>>,
    pub(super) multiplier_bps: At<i64>,
}

/// `[[caps]]`.
#[derive(Debug)]
pub(super) struct CapEntry {
    pub(super) name: At<String>,
    pub(super) measure: CapMeasure,
    pub(super) window: CalendarWindow,
    pub(super) limit: i64,
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
    pub(super) from: Option<Day>,
    pub(super) until: Option<Day>,
}

/// `[[expect]]`: a basket and what it must earn before caps and budgets.
#[derive(Debug)]
pub(super) struct Expectation {
    pub(super) name: At<String>,
    pub(super) lines: Vec<ExpectedLine>,
    pub(super) units: At<i64>,
}

/// One line of an expectation's basket.
#[derive(Debug)]
pub(super) struct ExpectedLine {
    /// In the order of [`Attribute::ALL`]; empty where the line does not say.
    pub(super) attributes: [String; 5],
    pub(super) amount_minor: i64,
}

/// Names of one kind, to find those given twice.
#[derive(Default)]
struct Names {
    /// Each name with the noun and the line of its first bearer.
    bearers: HashMap<String, (&'static str, usize)>,
}

impl Names {
    fn claim(&mut self, problems: &mut Problems<'_>, noun: &'static str, name: &At<String>) {
        let line = problems.line(name.span().start);
        if let Some((other_noun, other_line)) = self.bearers.get(name.get_ref()) {
            let message = format!("the name `{}` is taken by the {other_noun} on line {other_line}", name.get_ref());
            problems.push(Finding::error(&name.span(), message));
        } else {
            self.bearers.insert(name.get_ref().clone(), (noun, line));
        }
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

const CALENDAR_WINDOWS: [(&str, CalendarWindow); 2] = [("day", CalendarWindow::Day), ("year", CalendarWindow::Year)];

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
        let mut rule_names = Names::default();
        let rules = read_entries(&mut root, "rules", "[[rules]]", limits::PROGRAM_RULES_MAX, |entry| {
            read_rule(entry, &mut rule_names)
        });
        // Caps, metrics and budgets are counters, told apart by name in reasons and across versions.
        let mut counter_names = Names::default();
        let caps = read_entries(&mut root, "caps", "[[caps]]", limits::PROGRAM_CAPS_MAX, |entry| {
            read_cap(entry, &mut counter_names)
        });
        let metrics = read_entries(&mut root, "metrics", "[[metrics]]", limits::PROGRAM_METRICS_MAX, |entry| {
            read_metric(entry, &mut counter_names)
        });
        let budgets = read_entries(&mut root, "budgets", "[[budgets]]", limits::PROGRAM_BUDGETS_MAX, |entry| {
            read_budget(entry, &mut counter_names)
        });
        let expectations = read_entries(&mut root, "expect", "[[expect]]", usize::MAX, read_expectation);
        root.finish();
        Self { header, wallets, earn, rules, caps, metrics, budgets, expectations }
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
    section.finish();
    let (name, currency, time_zone) = (name?, currency?, time_zone?);
    Some(Header { name, currency, time_zone, accounts, late_limit_days, future_skew_seconds })
}

fn read_wallet(mut entry: TableReader<'_, '_>, names: &mut Names) -> Option<WalletEntry> {
    entry.require(&["name"]);
    let name = entry.name("name");
    if let Some(name) = &name {
        names.claim(entry.problems, "wallet", name);
    }
    let scale = entry.integer("scale", 0..=i64::from(limits::WALLET_SCALE_MAX)).map_or(0, At::into_inner);
    let balance_max = entry.integer("balance_max", 1..=limits::UNITS_MAX).map_or(limits::UNITS_MAX, At::into_inner);
    entry.finish();
    Some(WalletEntry { name: name?, scale, balance_max })
}

fn read_earn(mut section: TableReader<'_, '_>, wallet_names: &Names) -> Option<EarnSection> {
    section.require(&["wallet", "units", "per_minor", "rounding", "stacking"]);
    let wallet = section.text("wallet", 0..=usize::MAX);
    if let Some(wallet) = wallet.as_ref().filter(|wallet| !wallet_names.bearers.contains_key(wallet.get_ref())) {
        let finding = Finding::error(&wallet.span(), format!("there is no wallet {:?}", wallet.get_ref()));
        let mut known: Vec<&str> = wallet_names.bearers.keys().map(String::as_str).collect();
        known.sort_unstable();
        section.problems.push(match nearest(wallet.get_ref(), known.iter().copied()) {
            Some(name) => finding.hint(format!("did you mean \"{name}\"?")),
            None if known.is_empty() => finding,
            None => finding.hint(format!("the wallets of this file: {}", known.join(", "))),
        });
    }
    let units = section.integer("units", 1..=limits::EARN_RATE_PART_MAX);
    let per_minor = section.integer("per_minor", 1..=limits::EARN_RATE_PART_MAX);
    let roundings = [("floor", Rounding::Floor), ("half-up", Rounding::HalfUp), ("half-even", Rounding::HalfEven)];
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
    section.finish();
    stacking?;
    Some(EarnSection {
        wallet: wallet?,
        units: units?,
        per_minor: per_minor?,
        rounding: rounding?.into_inner(),
        rounded_per,
        exclude,
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

fn read_rule(mut entry: TableReader<'_, '_>, names: &mut Names) -> Option<RuleEntry> {
    entry.require(&["name", "match"]);
    let name = entry.name("name");
    if let Some(name) = &name {
        names.claim(entry.problems, "rule", name);
    }
    let matched = entry.table("match", "`match`").and_then(|mut table| {
        let stated_count = ATTRIBUTE_KEYS.iter().filter(|(key, _)| table.has(key)).count();
        let lists = read_attributes(&mut table);
        if stated_count != 1 {
            let message = format!("`match` must name exactly one attribute, not {stated_count}");
            let finding = Finding::error(table.at(), message);
            table.problems.push(match stated_count {
                0 => finding.hint("for example: match = { brand = [\"House\"] }"),
                _ => finding.hint("write a rule for each attribute: of several that match a line, the best counts"),
            });
        }
        table.finish();
        lists.into_iter().next()
    });
    let multiplier_bps = read_multiplier(&mut entry);
    entry.finish();
    let (attribute, values) = matched?;
    Some(RuleEntry { name: name?, attribute, values, multiplier_bps: multiplier_bps? })
}

/// The multiplier, from exactly one of the two keys that can state it.
fn read_multiplier(entry: &mut TableReader<'_, '_>) -> Option<At<i64>> {
    if entry.has("multiplier") == entry.has("multiplier_bps") {
        let message = if entry.has("multiplier") {
            "a rule states `multiplier` or `multiplier_bps`, not both"
        } else {
            "[[rules]] lacks `multiplier`"
        };
        let finding = Finding::error(entry.at(), message);
        entry.problems.push(finding.hint("to double, write multiplier = \"2\""));
    }
    let bps = entry.integer("multiplier_bps", 0..=limits::MULTIPLIER_BPS_MAX);
    let Some(text) = entry.decimal_text("multiplier") else { return bps };
    let Some(parsed) = parse_multiplier(text.get_ref()) else {
        let finding = Finding::error(&text.span(), format!("{:?} is not a multiplier", text.get_ref()));
        entry.problems.push(finding.hint("a multiplier has digits and up to 4 decimals, for example \"1.25\""));
        return bps;
    };
    if parsed > limits::MULTIPLIER_BPS_MAX {
        let most = limits::MULTIPLIER_BPS_MAX / BPS_ONE;
        entry.problems.push(Finding::error(&text.span(), format!("`multiplier` may be at most \"{most}\"")));
    }
    Some(At::new(text.span(), parsed.min(limits::MULTIPLIER_BPS_MAX)))
}

/// A decimal number with up to 4 decimals as basis points; one too large for i64 as the largest there is.
fn parse_multiplier(text: &str) -> Option<i64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(decimals) || decimals.len() > 4 {
        return None;
    }
    let ten_thousandths: i64 = format!("{decimals:0<4}").parse().ok()?;
    let whole: i64 = whole.parse().unwrap_or(i64::MAX);
    Some(whole.saturating_mul(BPS_ONE).saturating_add(ten_thousandths))
}

fn read_cap(mut entry: TableReader<'_, '_>, names: &mut Names) -> Option<CapEntry> {
    entry.require(&["name", "measure", "window", "limit"]);
    let name = entry.name("name");
    if let Some(name) = &name {
        names.claim(entry.problems, "cap", name);
    }
    let measures = [("units", CapMeasure::Units), ("earning-baskets", CapMeasure::EarningBaskets)];
    let measure = entry.word("measure", &measures);
    let window = entry.word("window", &CALENDAR_WINDOWS);
    let limit = entry.integer("limit", 0..=limits::UNITS_MAX);
    if let Some(limit) = limit.as_ref().filter(|limit| *limit.get_ref() == 0) {
        entry.problems.push(Finding::warning(&limit.span(), "with a limit of 0 nothing is ever earned"));
    }
    entry.finish();
    let (measure, window, limit) = (measure?.into_inner(), window?.into_inner(), limit?.into_inner());
    Some(CapEntry { name: name?, measure, window, limit })
}

fn read_metric(mut entry: TableReader<'_, '_>, names: &mut Names) -> Option<MetricEntry> {
    entry.require(&["name", "measure", "window"]);
    let name = entry.name("name");
    if let Some(name) = &name {
        names.claim(entry.problems, "metric", name);
    }
    let measure = entry.word("measure", &[("eligible-amount", MetricMeasure::EligibleAmount)]);
    let window = entry.word("window", &CALENDAR_WINDOWS);
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
    Some(BudgetEntry { name: name?, units: units?.into_inner(), from, until })
}

fn read_expectation(mut entry: TableReader<'_, '_>) -> Option<Expectation> {
    entry.require(&["name", "lines", "units"]);
    let name = entry.text("name", 1..=limits::SYMBOL_BYTES_MAX);
    let mut lines = Vec::new();
    entry.each_table("lines", "a line", limits::BASKET_LINES_MAX, |line| {
        lines.extend(read_expected_line(line));
    });
    let units = entry.integer("units", 0..=limits::UNITS_MAX);
    entry.finish();
    Some(Expectation { name: name?, lines, units: units? })
}

fn read_expected_line(mut line: TableReader<'_, '_>) -> Option<ExpectedLine> {
    line.require(&["amount_minor"]);
    let amount_minor = line.integer("amount_minor", 0..=limits::LINE_AMOUNT_MINOR_MAX);
    let attributes = ATTRIBUTE_KEYS
        .map(|(key, _)| line.text(key, 0..=limits::SYMBOL_BYTES_MAX).map_or_else(String::new, At::into_inner));
    line.finish();
    Some(ExpectedLine { attributes, amount_minor: amount_minor?.into_inner() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_in_the_order_of_the_tables() {
        assert_eq!(ATTRIBUTE_KEYS.map(|(_, attribute)| attribute), Attribute::ALL);
    }

    #[test]
    fn multipliers_are_exact() {
        let rows = [
            ("0", Some(0)),
            ("1", Some(10_000)),
            ("2", Some(20_000)),
            ("1.25", Some(12_500)),
            ("0.0001", Some(1)),
            ("01.50", Some(15_000)),
            ("1000.0000", Some(10_000_000)),
            ("99999999999999999999", Some(i64::MAX)),
            ("1.00001", None),
            ("", None),
            (".5", None),
            ("1.", None),
            ("1,5", None),
            ("-1", None),
            ("+1", None),
            ("1e3", None),
            (" 1", None),
        ];
        for (text, bps) in rows {
            assert_eq!(parse_multiplier(text), bps, "{text:?}");
        }
    }
}
