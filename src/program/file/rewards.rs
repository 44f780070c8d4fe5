//! `[[bonuses]]`, `[tiers]` and the expiry of what is earned.
//!
//! What must stay true: thresholds of a ladder ascend strictly, so that a level is never skipped; a bonus has one name
//! among rules, for reasons, and one among counters, for its limit.

use super::rules::read_multiplier;
use super::when::{BELOW_FIRST, Known, WhenEntry, month_day, read_when};
use super::{CALENDAR_WINDOWS, MetricEntry, Names, read_rolling};
use crate::ledger::program::{BPS_ONE, CalendarWindow, Expiry};
use crate::limits;
use crate::program::problem::Finding;
use crate::program::table::{At, TableReader, stated};

/// What a bonus is for.
#[derive(Debug)]
pub(in crate::program) enum TriggerEntry {
    Basket,
    Activity(At<String>),
}

/// `[[bonuses]]`.
#[derive(Debug)]
pub(in crate::program) struct BonusEntry {
    pub(in crate::program) name: At<String>,
    pub(in crate::program) units: At<i64>,
    pub(in crate::program) voucher: Option<At<String>>,
    pub(in crate::program) trigger: TriggerEntry,
    pub(in crate::program) when: Option<WhenEntry>,
    pub(in crate::program) limit: Option<(CalendarWindow, i64)>,
    pub(in crate::program) places: Option<i64>,
}

/// `[tiers]`.
#[derive(Debug)]
pub(in crate::program) struct TiersSection {
    pub(in crate::program) metric: At<String>,
    pub(in crate::program) rolling: u16,
    pub(in crate::program) keep: u16,
    pub(in crate::program) soft_landing: bool,
    pub(in crate::program) grace_days: u16,
    pub(in crate::program) levels: Vec<LevelEntry>,
}

/// `[[tiers.levels]]`.
#[derive(Debug)]
pub(in crate::program) struct LevelEntry {
    pub(in crate::program) name: At<String>,
    pub(in crate::program) threshold: At<i64>,
    pub(in crate::program) multiplier_bps: i64,
}

/// For how many days of a window the level of the window before may still count: a year.
const GRACE_DAYS_MAX: i64 = 366;

/// How often a bonus may be earned in one window.
const LIMIT_TIMES_MAX: i64 = 1_000_000_000;

pub(super) fn read_bonus(
    mut entry: TableReader<'_, '_>,
    rule_names: &mut Names,
    counter_names: &mut Names,
    (known, vouchers): (&Known<'_>, &Names),
) -> Option<BonusEntry> {
    let voucher = entry.text("voucher", 0..=usize::MAX);
    if let Some(voucher) = &voucher {
        vouchers.check_known(entry.problems, "voucher", voucher);
    }
    // A bonus that gives a voucher may give it alone.
    entry.require(if voucher.is_some() { &["name"] } else { &["name", "units"] });
    let name = entry.name("name");
    if let Some(name) = &name {
        // Among counters for its limit, and among rules for the reasons of a decision: one complaint is enough.
        if counter_names.claim(entry.problems, "bonus", name) {
            rule_names.claim(entry.problems, "bonus", name);
        }
    }
    let units = entry.integer("units", 1..=limits::UNITS_MAX);
    let states_trigger = entry.has("on");
    let trigger = read_trigger(&mut entry);
    let when = entry.table("when", "`when`").and_then(|table| read_when(table, known));
    let states_limit = entry.has("limit");
    let limit = entry.table("limit", "`limit`").and_then(|mut table| {
        table.require(&["times", "per"]);
        let times = table.integer("times", 1..=LIMIT_TIMES_MAX);
        let window = table.word("per", &CALENDAR_WINDOWS);
        table.finish();
        Some((window?.into_inner(), times?.into_inner()))
    });
    let places = entry.integer("places", 1..=limits::UNITS_MAX).map(At::into_inner);
    entry.finish();
    if (states_trigger && trigger.is_none()) || (states_limit && limit.is_none()) {
        return None;
    }
    let trigger = trigger.unwrap_or(TriggerEntry::Basket);
    let name = name?;
    let units = match (units, &voucher) {
        (Some(units), _) => units,
        (None, Some(voucher)) => At::new(voucher.span(), 0),
        (None, None) => return None,
    };
    Some(BonusEntry { name, units, voucher, trigger, when, limit, places })
}

/// `on = "basket"` or `on = { activity = "review" }`.
fn read_trigger(entry: &mut TableReader<'_, '_>) -> Option<TriggerEntry> {
    if !entry.has("on") || entry.is_text("on") {
        let is_basket = entry.one_word("on", "basket", "on = { activity = \"review\" }");
        return is_basket.then_some(TriggerEntry::Basket);
    }
    let mut table = entry.table("on", "`on`")?;
    table.require(&["activity"]);
    let kind = table.text("activity", 1..=limits::SYMBOL_BYTES_MAX);
    table.finish();
    kind.map(TriggerEntry::Activity)
}

/// The ladder, and the names of its levels as far as they can be read.
pub(super) fn read_tiers(
    mut section: TableReader<'_, '_>,
    counter_names: &Names,
    metrics: &[MetricEntry],
) -> (Option<TiersSection>, Vec<String>) {
    section.require(&["metric", "levels"]);
    let metric = section.text("metric", 0..=usize::MAX);
    if let Some(metric) = &metric {
        counter_names.check_known(section.problems, "metric", metric);
    }
    let found = metric.as_ref().and_then(|name| metrics.iter().find(|metric| metric.name.get_ref() == name.get_ref()));
    let rolling = read_rolling(&mut section, found.map(|metric| metric.window)).map_or(1, At::into_inner);
    let keep = number(section.integer("keep", 0..=i64::from(limits::ROLLING_WINDOWS_MAX)));
    let soft_landing = section.boolean("soft_landing").unwrap_or(false);
    let grace_days = number(section.integer("grace_days", 0..=GRACE_DAYS_MAX));
    let lasts = keep > 0 || soft_landing || grace_days > 0;
    if lasts && found.is_some_and(|metric| metric.window == CalendarWindow::Lifetime) {
        let message =
            "`keep`, `soft_landing` and `grace_days` say nothing: what a lifetime's metric reached is never lost";
        section.problems.push(Finding::error(section.at(), message));
    }
    let mut names = Names::default();
    let mut known = Vec::new();
    let mut levels = Vec::new();
    section.each_table("levels", "[[tiers.levels]]", limits::PROGRAM_TIERS_MAX, |entry| {
        levels.extend(read_level(entry, &mut names, &mut known));
    });
    for (before, level) in levels.iter().zip(levels.iter().skip(1)) {
        check_step(before, level, &mut section);
    }
    section.finish();
    (metric.map(|metric| TiersSection { metric, rolling, keep, soft_landing, grace_days, levels }), known)
}

fn read_level(mut entry: TableReader<'_, '_>, names: &mut Names, known: &mut Vec<String>) -> Option<LevelEntry> {
    entry.require(&["name", "threshold"]);
    let name = entry.name("name");
    if let Some(name) = &name {
        names.claim(entry.problems, "level", name);
        if name.get_ref() == BELOW_FIRST {
            let message = format!("no level may be called {BELOW_FIRST:?}: that means accounts below the first");
            entry.problems.push(Finding::error(&name.span(), message));
        }
        known.push(name.get_ref().clone());
    }
    let threshold = entry.integer("threshold", 1..=limits::UNITS_MAX);
    let multiplier_bps = read_multiplier(&mut entry, "multiplier", None).map_or(BPS_ONE, At::into_inner);
    entry.finish();
    Some(LevelEntry { name: name?, threshold: threshold?, multiplier_bps })
}

/// Each level is above the one before it, and better worth having.
fn check_step(before: &LevelEntry, level: &LevelEntry, section: &mut TableReader<'_, '_>) {
    let (name, name_before) = (level.name.get_ref(), before.name.get_ref());
    if level.threshold.get_ref() <= before.threshold.get_ref() {
        let message = format!(
            "level `{name}` begins at {}, not above level `{name_before}` at {}",
            stated(*level.threshold.get_ref()),
            stated(*before.threshold.get_ref())
        );
        let finding = Finding::error(&level.threshold.span(), message);
        section.problems.push(finding.hint("write the levels from the lowest to the highest"));
    } else if level.multiplier_bps < before.multiplier_bps {
        let message = format!("level `{name}` multiplies by less than level `{name_before}` below it");
        section.problems.push(Finding::warning(&level.name.span(), message));
    }
}

/// `pending_days` and `expiry`: what is granted must be spendable before it dies.
pub(super) fn read_terms(section: &mut TableReader<'_, '_>) -> (u16, Expiry) {
    let pending = section.integer("pending_days", 0..=limits::EXPIRY_DAYS_MAX);
    let expiry = read_expiry(section);
    let pending_days = pending.as_ref().map_or(0, |days| small(*days.get_ref()));
    if let (Some(pending), Expiry::AfterDays(days) | Expiry::AfterInactivity(days)) = (&pending, expiry)
        && pending_days >= days
    {
        let message = format!("what is pending for {pending_days} days dies before: it lives for {days}");
        section.problems.push(Finding::error(&pending.span(), message));
    }
    (pending_days, expiry)
}

fn number(stated: Option<At<i64>>) -> u16 {
    stated.map_or(0, |stated| small(stated.into_inner()))
}

fn small(days: i64) -> u16 {
    u16::try_from(days).expect("the days were checked")
}

/// `expiry = "never"`, or a table with one key: `after_days`, `inactive_days` or `each_year_on`.
fn read_expiry(section: &mut TableReader<'_, '_>) -> Expiry {
    if !section.has("expiry") || section.is_text("expiry") {
        section.one_word("expiry", "never", "expiry = { after_days = 60 }");
        return Expiry::Never;
    }
    let Some(mut table) = section.table("expiry", "`expiry`") else { return Expiry::Never };
    let stated_count = ["after_days", "inactive_days", "each_year_on"].iter().filter(|key| table.has(key)).count();
    if stated_count != 1 {
        let message = format!("`expiry` must state exactly one of three keys, not {stated_count}");
        let hint = "after_days = 60, inactive_days = 365 or each_year_on = \"12-31\"";
        let finding = Finding::error(table.at(), message);
        table.problems.push(finding.hint(hint));
    }
    let after = table.integer("after_days", 1..=limits::EXPIRY_DAYS_MAX);
    let inactive = table.integer("inactive_days", 1..=limits::EXPIRY_DAYS_MAX);
    let date = table.text("each_year_on", 0..=usize::MAX);
    let parsed =
        date.as_ref().and_then(|date| month_day(date.get_ref())).filter(|(month, day)| (*month, *day) != (2, 29));
    if let Some(date) = date.as_ref().filter(|_| parsed.is_none()) {
        let finding = Finding::error(&date.span(), format!("{:?} is no day that every year has", date.get_ref()));
        table.problems.push(finding.hint("write month and day, for example each_year_on = \"12-31\""));
    }
    table.finish();
    match (after, inactive, parsed) {
        (Some(days), _, _) => Expiry::AfterDays(small(days.into_inner())),
        (_, Some(days), _) => Expiry::AfterInactivity(small(days.into_inner())),
        (_, _, Some((month, day))) => Expiry::EachYearOn { month, day },
        _ => Expiry::Never,
    }
}
