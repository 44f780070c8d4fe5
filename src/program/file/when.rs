//! `when`: what must hold for a rule or a bonus to count.
//!
//! What must stay true: an unknown day, level or time is reported here; what several conditions mean together is judged
//! in `check`.

use super::{ExperimentEntry, MetricEntry};
use crate::ledger::program::{BirthdayWithin, CalendarWindow, MetricMeasure};
use crate::ledger::types::Day;
use crate::limits;
use crate::program::problem::Finding;
use crate::program::table::{At, TableReader, did_you_mean};

/// Days of the week, as the file calls them, by number.
pub(in crate::program) const WEEKDAYS: [(&str, u8); 7] =
    [("monday", 0), ("tuesday", 1), ("wednesday", 2), ("thursday", 3), ("friday", 4), ("saturday", 5), ("sunday", 6)];

/// How the file calls what is below the first level.
pub(in crate::program) const BELOW_FIRST: &str = "none";

/// `when`. Every part that is empty or `None` always holds.
#[derive(Debug, Default)]
pub(in crate::program) struct WhenEntry {
    pub(in crate::program) from: Option<At<Day>>,
    pub(in crate::program) until: Option<At<Day>>,
    /// A set of bits, the lowest for Monday.
    pub(in crate::program) weekdays: u8,
    /// Minutes of the day, each from its first to before its second.
    pub(in crate::program) minutes: Vec<(u16, u16)>,
    pub(in crate::program) stores: Vec<At<String>>,
    pub(in crate::program) channels: Vec<At<String>>,
    pub(in crate::program) payment_methods: Vec<At<String>>,
    pub(in crate::program) partners: Vec<At<String>>,
    pub(in crate::program) segments: Vec<At<String>>,
    pub(in crate::program) not_segments: Vec<At<String>>,
    /// A set of bits, the lowest for accounts below the first level.
    pub(in crate::program) levels: u64,
    pub(in crate::program) eligible_minor_min: Option<At<i64>>,
    pub(in crate::program) nth_basket: Option<At<i64>>,
    pub(in crate::program) every_nth_basket: Option<At<i64>>,
    pub(in crate::program) birthday: Option<BirthdayWithin>,
    pub(in crate::program) days_since_min: Option<At<i32>>,
    pub(in crate::program) days_since_max: Option<At<i32>>,
    pub(in crate::program) own_average: Option<AverageEntry>,
    /// Experiments and variants by their places in the file.
    pub(in crate::program) variants: Vec<(u8, u8)>,
}

/// `own_average`.
#[derive(Debug)]
pub(in crate::program) struct AverageEntry {
    pub(in crate::program) metric: At<String>,
    pub(in crate::program) percent: i64,
}

/// What the file names elsewhere.
pub(super) struct Known<'k> {
    pub(super) levels: &'k [String],
    pub(super) metrics: &'k [MetricEntry],
    pub(super) experiments: &'k [ExperimentEntry],
}

impl WhenEntry {
    /// Whether the day of the account's last basket has to be kept for it.
    pub(in crate::program) fn asks_for_last_basket(&self) -> bool {
        self.days_since_min.is_some() || self.days_since_max.is_some()
    }

    /// Whether it looks at the basket's eligible amount.
    pub(in crate::program) fn asks_for_amount(&self) -> bool {
        self.eligible_minor_min.is_some() || self.own_average.is_some()
    }

    /// All lists of names that a decision compares.
    pub(in crate::program) fn lists(&self) -> [&Vec<At<String>>; 6] {
        [&self.stores, &self.channels, &self.payment_methods, &self.partners, &self.segments, &self.not_segments]
    }
}

/// How many baskets an account may have had for a condition to name their number.
const BASKET_NUMBER_MAX: i64 = 1_000_000_000;

pub(super) fn read_when(mut table: TableReader<'_, '_>, known: &Known<'_>) -> Option<WhenEntry> {
    let (from, until) = (table.date("from"), table.date("until"));
    let weekdays = table.words("weekdays", &WEEKDAYS).unwrap_or_default();
    let weekdays = weekdays.into_iter().fold(0, |set, day| set | 1 << day.get_ref());
    let minutes = read_hours(&mut table);
    let named = 1..=limits::SYMBOL_BYTES_MAX;
    // A basket need not say where and how it was bought; the empty string means one that does not.
    let maybe = 0..=limits::SYMBOL_BYTES_MAX;
    let stores = table.texts_of("stores", named.clone()).unwrap_or_default();
    let channels = table.texts_of("channels", maybe.clone()).unwrap_or_default();
    let payment_methods = table.texts_of("payment_methods", maybe).unwrap_or_default();
    let partners = table.texts_of("partners", named.clone()).unwrap_or_default();
    let segments = table.texts_of("segments", named.clone()).unwrap_or_default();
    let not_segments = table.texts_of("not_segments", named).unwrap_or_default();
    let names = table.texts("tiers", limits::PROGRAM_NAME_BYTES_MAX).unwrap_or_default();
    let levels = names.iter().fold(0, |set, name| set | level_bit(&mut table, name, known.levels));
    let eligible_minor_min = table.integer("eligible_minor_min", 1..=limits::UNITS_MAX);
    let nth_basket = table.integer("nth_basket", 1..=BASKET_NUMBER_MAX);
    let every_nth_basket = table.integer("every_nth_basket", 2..=BASKET_NUMBER_MAX);
    let birthday = table.word("birthday", &BIRTHDAYS).map(At::into_inner);
    let days = |stated: At<i64>| At::new(stated.span(), i32::try_from(*stated.get_ref()).expect("it was checked"));
    let days_since_min = table.integer("days_since_last_basket_min", 0..=limits::EXPIRY_DAYS_MAX).map(days);
    let days_since_max = table.integer("days_since_last_basket_max", 0..=limits::EXPIRY_DAYS_MAX).map(days);
    let own_average = table.table("own_average", "`own_average`").and_then(|table| read_average(table, known.metrics));
    let variants = read_variants(&mut table, "experiment", known.experiments).into_iter().map(At::into_inner);
    let mut variants: Vec<(u8, u8)> = variants.collect();
    variants.sort_unstable();
    variants.dedup();
    if table.is_empty() {
        let finding = Finding::error(table.at(), "`when` states no condition");
        table.problems.push(finding.hint("leave it out, or write for example when = { weekdays = [\"monday\"] }"));
    }
    table.finish();
    Some(WhenEntry {
        from,
        until,
        weekdays,
        minutes,
        stores,
        channels,
        payment_methods,
        partners,
        segments,
        not_segments,
        levels,
        eligible_minor_min,
        nth_basket,
        every_nth_basket,
        birthday,
        days_since_min,
        days_since_max,
        own_average,
        variants,
    })
}

const BIRTHDAYS: [(&str, BirthdayWithin); 3] =
    [("day", BirthdayWithin::Day), ("week", BirthdayWithin::Week), ("month", BirthdayWithin::Month)];

/// How much more than its average a basket may be asked to be.
const PERCENT_MAX: i64 = 10_000;

/// `own_average = { metric = "spent-ever", percent = 120 }`.
fn read_average(mut table: TableReader<'_, '_>, metrics: &[MetricEntry]) -> Option<AverageEntry> {
    table.require(&["metric", "percent"]);
    let metric = table.text("metric", 0..=usize::MAX);
    if let Some(name) = &metric {
        let fits = |metric: &&MetricEntry| {
            (metric.measure, metric.window) == (MetricMeasure::EligibleAmount, CalendarWindow::Lifetime)
        };
        if !metrics.iter().filter(fits).any(|metric| metric.name.get_ref() == name.get_ref()) {
            let message = format!("{:?} is no metric of eligible amounts over a lifetime", name.get_ref());
            let known = metrics.iter().filter(fits).map(|metric| metric.name.get_ref().as_str());
            table.problems.push(did_you_mean(Finding::error(&name.span(), message), name.get_ref(), known));
        }
    }
    let percent = table.integer("percent", 1..=PERCENT_MAX);
    table.finish();
    Some(AverageEntry { metric: metric?, percent: percent?.into_inner() })
}

/// `experiment = ["welcome.b"]`: experiments and variants by their places in the file.
pub(super) fn read_variants(
    table: &mut TableReader<'_, '_>,
    key: &'static str,
    experiments: &[ExperimentEntry],
) -> Vec<At<(u8, u8)>> {
    let names = experiments.iter().zip(0_u8..).flat_map(|(experiment, place)| {
        let variants = experiment.variants.iter().zip(0_u8..);
        variants.map(move |((variant, _), index)| {
            (format!("{}.{}", experiment.name.get_ref(), variant.get_ref()), (place, index))
        })
    });
    let names: Vec<(String, (u8, u8))> = names.collect();
    let mut variants = Vec::new();
    for text in table.texts(key, 2 * limits::PROGRAM_NAME_BYTES_MAX + 1).unwrap_or_default() {
        if let Some((_, variant)) = names.iter().find(|(name, _)| name == text.get_ref()) {
            variants.push(At::new(text.span(), *variant));
            continue;
        }
        let finding = Finding::error(&text.span(), format!("there is no variant {:?}", text.get_ref()));
        let finding = did_you_mean(finding, text.get_ref(), names.iter().map(|(name, _)| name.as_str()));
        table.problems.push(if finding.has_hint() {
            finding
        } else {
            finding.hint(format!("a variant is named with its experiment: {key} = [\"welcome.b\"]"))
        });
    }
    variants
}

/// The month and the day of `12-31`, which some year has.
pub(super) fn month_day(text: &str) -> Option<(u8, u8)> {
    let (month, day) = text.split_once('-')?;
    let digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(month) || !digits(day) {
        return None;
    }
    // A year with 29 February.
    let date = jiff::civil::Date::new(2_000, month.parse().ok()?, day.parse().ok()?).ok()?;
    Some((u8::try_from(date.month()).ok()?, u8::try_from(date.day()).ok()?))
}

/// The bit of a level's name; 0 for one that is reported.
fn level_bit(table: &mut TableReader<'_, '_>, name: &At<String>, levels: &[String]) -> u64 {
    level_number(table, name, levels).map_or(0, |number| 1 << number)
}

/// The number of a level: 0 for below the first. `None` for one that is reported.
pub(super) fn level_number(table: &mut TableReader<'_, '_>, name: &At<String>, levels: &[String]) -> Option<u8> {
    if name.get_ref() == BELOW_FIRST && !levels.is_empty() {
        return Some(0);
    }
    if let Some(index) = levels.iter().position(|level| level == name.get_ref()) {
        return u8::try_from(index + 1).ok();
    }
    let finding = Finding::error(&name.span(), format!("there is no level {:?}", name.get_ref()));
    table.problems.push(if levels.is_empty() {
        finding.hint("the file has no section [tiers] with levels")
    } else {
        let known = || levels.iter().map(String::as_str).chain([BELOW_FIRST]);
        let near = did_you_mean(finding, name.get_ref(), known());
        if near.has_hint() { near } else { near.hint(format!("the levels of this file: {}", levels.join(", "))) }
    });
    None
}

/// `hours = ["09:00-17:30"]`.
fn read_hours(table: &mut TableReader<'_, '_>) -> Vec<(u16, u16)> {
    let mut minutes = Vec::new();
    for text in table.texts("hours", limits::PROGRAM_NAME_BYTES_MAX).unwrap_or_default() {
        let parsed = text.get_ref().split_once('-').and_then(|(from, until)| Some((minute(from)?, minute(until)?)));
        match parsed {
            Some((from, until)) if from < until => minutes.push((from, until)),
            Some((from, until)) if from > until && until > 0 => {
                let finding = Finding::error(&text.span(), format!("{:?} ends before it begins", text.get_ref()));
                let (first, second) = text.get_ref().split_once('-').unwrap_or_default();
                let hint = format!("over midnight, write two: [\"{first}-24:00\", \"00:00-{second}\"]");
                table.problems.push(finding.hint(hint));
            }
            _ => {
                let message = format!("{:?} is not a time from which to which", text.get_ref());
                let hint =
                    "write for example \"09:00-17:30\": from nine until before half past five; the end may be 24:00";
                table.problems.push(Finding::error(&text.span(), message).hint(hint));
            }
        }
    }
    minutes
}

/// The minute of the day of `09:30`; 1,440 for `24:00`.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hour) || !digits(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    (minute < 60 && (hour < 24 || (hour, minute) == (24, 0))).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_of_the_day() {
        let rows = [
            ("00:00", Some(0)),
            ("09:30", Some(570)),
            ("23:59", Some(1_439)),
            ("24:00", Some(1_440)),
            ("24:01", None),
            ("09:60", None),
            ("9:30", None),
            ("0930", None),
            ("+9:30", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(minute(text), expected, "{text:?}");
        }
    }
}
