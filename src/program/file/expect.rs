//! `[[expect]]`: an event, what is known about it, and what it must earn.
//!
//! What must stay true: an expectation states an event that could happen: lines or an activity, never both.

use super::when::{Known, level_number, month_day, read_variants};
use super::{ATTRIBUTE_KEYS, Names, StampEntry};
use crate::ledger::decision::Refusal;
use crate::ledger::program::StampIndex;
use crate::ledger::types::MonthDay;
use crate::limits;
use crate::program::problem::Finding;
use crate::program::suggest::nearest;
use crate::program::table::{At, TableReader};

/// `[[expect]]`: an event and what it must earn before caps and budgets.
#[derive(Debug)]
pub(in crate::program) struct Expectation {
    pub(in crate::program) name: At<String>,
    pub(in crate::program) event: Event,
    pub(in crate::program) given: Given,
    pub(in crate::program) units: At<i64>,
    /// Why the event must be refused.
    pub(in crate::program) refused: Option<At<Refusal>>,
    /// Names of the rules and bonuses that must count, ascending, and where the list stands.
    pub(in crate::program) because: Option<At<Vec<String>>>,
    /// The cap that must hold what is granted, or [`NOTHING_HELD`].
    pub(in crate::program) held: Option<At<String>>,
}

/// What `held` says where nothing must be held.
pub(in crate::program) const NOTHING_HELD: &str = "none";

/// What happens.
#[derive(Debug)]
pub(in crate::program) enum Event {
    Basket(Vec<ExpectedLine>),
    Activity(At<String>),
}

/// What is known when it happens. What is not stated is empty.
#[derive(Debug, Default)]
pub(in crate::program) struct Given {
    pub(in crate::program) at: Option<At<jiff::civil::DateTime>>,
    pub(in crate::program) store: Option<At<String>>,
    pub(in crate::program) terminal: Option<At<String>>,
    pub(in crate::program) channel: Option<At<String>>,
    pub(in crate::program) payment_method: Option<At<String>>,
    pub(in crate::program) partner: Option<At<String>>,
    pub(in crate::program) segments: Vec<At<String>>,
    /// 0 below the first.
    pub(in crate::program) level: u8,
    pub(in crate::program) basket_number: i64,
    pub(in crate::program) birthday: Option<MonthDay>,
    pub(in crate::program) days_since_last_basket: Option<i32>,
    /// Minor units that the account's earlier baskets come to on average.
    pub(in crate::program) own_average: Option<At<i64>>,
    /// Experiments and the account's variant of each, by their places in the file; one for an experiment at most.
    pub(in crate::program) variants: Vec<(u8, u8)>,
    /// The stamps on cards that are not full.
    pub(in crate::program) stamps: Vec<(StampIndex, i64)>,
}

/// One line of an expectation's basket.
#[derive(Debug)]
pub(in crate::program) struct ExpectedLine {
    /// In the order of [`crate::ledger::program::Attribute::ALL`]; empty where the line does not say.
    pub(in crate::program) attributes: [String; 5],
    pub(in crate::program) amount_minor: i64,
    pub(in crate::program) quantity: i64,
}

/// Why an event can be refused for whom it is and where it happens.
const REFUSALS: [(&str, Refusal); 3] = [
    ("partner-unknown", Refusal::PartnerUnknown),
    ("store-unknown", Refusal::StoreUnknown),
    ("earn-not-permitted", Refusal::EarnNotPermitted),
];

/// Baskets that an account of an expectation may have had.
const BASKET_NUMBER_MAX: i64 = 1_000_000_000;

pub(super) fn read_expectation(
    mut entry: TableReader<'_, '_>,
    rule_names: &Names,
    (known, cards): (&Known<'_>, &[StampEntry]),
) -> Option<Expectation> {
    entry.require(&["name", "units"]);
    let name = entry.text("name", 1..=limits::SYMBOL_BYTES_MAX);
    let has_lines = entry.has("lines");
    if has_lines == entry.has("activity") {
        let message = if has_lines { "an expectation states `lines` or `activity`, not both" } else { LACKS_LINES };
        let hint = "lines = [{ amount_minor = 1_000 }] is a basket, activity = \"review\" something else done";
        let finding = Finding::error(entry.at(), message);
        entry.problems.push(finding.hint(hint));
    }
    let mut lines = Vec::new();
    entry.each_table("lines", "a line", limits::BASKET_LINES_MAX, |line| {
        lines.extend(read_expected_line(line));
    });
    let activity = entry.text("activity", 1..=limits::SYMBOL_BYTES_MAX);
    let units = entry.integer("units", 0..=limits::UNITS_MAX);
    let refused = entry.word("refused", &REFUSALS);
    if let Some(units) = units.as_ref().filter(|units| refused.is_some() && *units.get_ref() != 0) {
        let finding = Finding::error(&units.span(), "what is refused earns nothing");
        entry.problems.push(finding.hint("write units = 0, or leave `refused` out"));
    }
    let because = read_because(&mut entry, rule_names);
    let held = entry.text("held", 1..=limits::PROGRAM_NAME_BYTES_MAX);
    let mut given = read_given(&mut entry, activity.is_some(), known);
    given.stamps = read_on_cards(&mut entry, cards);
    entry.finish();
    let event = match activity {
        Some(kind) => Event::Activity(kind),
        None => Event::Basket(lines),
    };
    Some(Expectation { name: name?, event, given, units: units?, refused, because, held })
}

const LACKS_LINES: &str = "[[expect]] lacks `lines`";

fn read_given(entry: &mut TableReader<'_, '_>, is_activity: bool, known: &Known<'_>) -> Given {
    let at = entry.local_time("at");
    let keys = ["store", "terminal", "channel", "payment_method", "partner"];
    let [store, terminal, channel, payment_method, partner] = keys.map(|key| {
        let text = entry.text(key, 0..=limits::SYMBOL_BYTES_MAX);
        if let Some(text) =
            text.as_ref().filter(|_| is_activity && ["store", "terminal", "payment_method"].contains(&key))
        {
            entry.problems.push(Finding::error(&text.span(), format!("an activity has no `{key}`")));
        }
        text
    });
    let segments = entry.texts_of("segments", 1..=limits::SYMBOL_BYTES_MAX).unwrap_or_default();
    let tier = entry.text("tier", 0..=limits::PROGRAM_NAME_BYTES_MAX);
    let level = tier.and_then(|name| level_number(entry, &name, known.levels)).unwrap_or(0);
    let own_average = read_own_average(entry, is_activity);
    // An average takes a basket before this one.
    let first = i64::from(!is_activity);
    let least = first + i64::from(own_average.is_some());
    let basket_number = entry.integer("basket_number", first..=BASKET_NUMBER_MAX).map_or(least, At::into_inner);
    if let Some(average) = own_average.as_ref().filter(|_| basket_number < least) {
        let finding = Finding::error(&average.span(), "an account that has had no basket has no average");
        entry.problems.push(finding.hint("state a `basket_number` from 2, or none"));
    }
    let birthday = read_birthday(entry);
    let days = entry.integer("days_since_last_basket", 0..=limits::EXPIRY_DAYS_MAX);
    let days_since_last_basket = days.and_then(|days| i32::try_from(days.into_inner()).ok());
    Given {
        at,
        store,
        terminal,
        channel,
        payment_method,
        partner,
        segments,
        level,
        basket_number,
        birthday,
        days_since_last_basket,
        own_average,
        variants: read_own_variants(entry, known),
        stamps: Vec::new(),
    }
}

/// `birthday = "04-30"`.
fn read_birthday(entry: &mut TableReader<'_, '_>) -> Option<MonthDay> {
    let text = entry.text("birthday", 0..=usize::MAX)?;
    let parsed = month_day(text.get_ref());
    if parsed.is_none() {
        let finding = Finding::error(&text.span(), format!("{:?} is no birthday", text.get_ref()));
        entry.problems.push(finding.hint("write month and day, for example birthday = \"04-30\""));
    }
    parsed.map(|(month, day)| MonthDay { month, day })
}

/// `own_average = 2_500`.
fn read_own_average(entry: &mut TableReader<'_, '_>, is_activity: bool) -> Option<At<i64>> {
    let average = entry.integer("own_average", 0..=limits::LINE_AMOUNT_MINOR_MAX)?;
    if is_activity {
        let message = "an activity has no amount that `own_average` could be compared with";
        entry.problems.push(Finding::error(&average.span(), message));
    }
    Some(average)
}

/// `variant = ["welcome.b"]`: an account has one variant of an experiment.
fn read_own_variants(entry: &mut TableReader<'_, '_>, known: &Known<'_>) -> Vec<(u8, u8)> {
    let mut variants: Vec<(u8, u8)> = Vec::new();
    for variant in read_variants(entry, "variant", known.experiments) {
        let (experiment, _) = *variant.get_ref();
        if variants.iter().any(|(other, _)| *other == experiment) {
            let message = "an account has one variant of an experiment, and here are two";
            entry.problems.push(Finding::error(&variant.span(), message));
        } else {
            variants.push(variant.into_inner());
        }
    }
    variants
}

/// `stamps = { coffee = 9 }`: what is on cards before the event.
fn read_on_cards(entry: &mut TableReader<'_, '_>, cards: &[StampEntry]) -> Vec<(StampIndex, i64)> {
    let Some(table) = entry.table("stamps", "`stamps`") else { return Vec::new() };
    let mut found = Vec::new();
    let mut strangers = Vec::new();
    table.each_entry_number(|name, stamps| {
        let place = cards.iter().position(|card| card.name.get_ref() == name.get_ref());
        let card = place.and_then(|place| Some((u8::try_from(place).ok()?, cards.get(place)?)));
        match card {
            Some((index, card)) if (0..card.count).contains(stamps.get_ref()) => {
                found.push((StampIndex(index), *stamps.get_ref()));
            }
            Some((_, card)) => {
                let message = format!("a card of {} that is not full has from 0 to {}", card.count, card.count - 1);
                strangers.push(Finding::error(&stamps.span(), message));
            }
            None => {
                let finding = Finding::error(&name.span(), format!("there is no stamp card {:?}", name.get_ref()));
                let known = cards.iter().map(|card| card.name.get_ref().as_str());
                strangers.push(match nearest(name.get_ref(), known) {
                    Some(near) => finding.hint(format!("did you mean \"{near}\"?")),
                    None => finding,
                });
            }
        }
    });
    strangers.into_iter().for_each(|finding| entry.problems.push(finding));
    found
}

/// `because = ["double"]`: an empty list says that nothing counts.
fn read_because(entry: &mut TableReader<'_, '_>, rule_names: &Names) -> Option<At<Vec<String>>> {
    let (at, listed) = entry.possibly_no_texts("because")?;
    let mut names = Vec::with_capacity(listed.len());
    for name in listed {
        if !rule_names.bearers.contains_key(name.get_ref()) {
            let finding =
                Finding::error(&name.span(), format!("there is no rule, bonus or stamp card {:?}", name.get_ref()));
            let known = rule_names.bearers.keys().map(String::as_str);
            let mut known: Vec<&str> = known.collect();
            known.sort_unstable();
            entry.problems.push(match nearest(name.get_ref(), known) {
                Some(near) => finding.hint(format!("did you mean \"{near}\"?")),
                None => finding,
            });
        }
        names.push(name.into_inner());
    }
    names.sort();
    names.dedup();
    Some(At::new(at, names))
}

fn read_expected_line(mut line: TableReader<'_, '_>) -> Option<ExpectedLine> {
    line.require(&["amount_minor"]);
    let amount_minor = line.integer("amount_minor", 0..=limits::LINE_AMOUNT_MINOR_MAX);
    let attributes = ATTRIBUTE_KEYS
        .map(|(key, _)| line.text(key, 0..=limits::SYMBOL_BYTES_MAX).map_or_else(String::new, At::into_inner));
    let quantity = line.integer("quantity", 0..=limits::LINE_QUANTITY_MAX).map_or(1, At::into_inner);
    line.finish();
    Some(ExpectedLine { attributes, amount_minor: amount_minor?.into_inner(), quantity })
}
