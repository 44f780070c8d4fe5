//! Conditions in words.
//!
//! What must stay true: every condition is told; names that a compiled programme knows by number only are counted.

use super::{date, money};
use crate::ledger::program::{BirthdayWithin, Conditions, Program};
use crate::ledger::types::SymbolId;
use crate::program::table::grouped;

const WEEKDAYS: [&str; 7] = ["Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays"];

/// All conditions, each after a comma: `, on Wednesdays, in 2 stores`. Empty where there is none.
pub(super) fn words(when: &Conditions, program: &Program) -> String {
    let mut parts = Vec::new();
    parts.extend(match (when.from, when.until) {
        (None, None) => None,
        (Some(from), None) => Some(format!("from {} on", date(from))),
        (None, Some(until)) => Some(format!("until {}", date(until))),
        (Some(from), Some(until)) => Some(format!("from {} until {}", date(from), date(until))),
    });
    let days = WEEKDAYS.iter().zip(0..).filter(|(_, day)| when.weekdays.0 & (1 << day) != 0).map(|(name, _)| *name);
    let days: Vec<&str> = days.collect();
    if !days.is_empty() {
        parts.push(format!("on {}", days.join(", ")));
    }
    let time = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    let hours = when.minutes.iter().map(|(from, until)| format!("from {} to {}", time(*from), time(*until)));
    let hours: Vec<String> = hours.collect();
    if !hours.is_empty() {
        parts.push(hours.join(" or "));
    }
    let lists = [
        ("in", &when.stores, "store", "stores"),
        ("through", &when.channels, "channel", "channels"),
        ("paid by", &when.payment_methods, "method", "methods"),
        ("at", &when.partners, "partner", "partners"),
        ("for", &when.segments, "segment", "segments"),
        ("not for", &when.not_segments, "segment", "segments"),
    ];
    let counted = |(word, list, one, many): &(&str, &Vec<SymbolId>, &str, &str)| match list.len() {
        0 => None,
        1 => Some(format!("{word} 1 {one}")),
        count => Some(format!("{word} {count} {many}")),
    };
    parts.extend(lists.iter().filter_map(counted));
    parts.extend(levels(when, program));
    if when.eligible_minor_min > 0 {
        parts.push(format!("with at least {} eligible", money(when.eligible_minor_min, program)));
    }
    if when.nth_basket > 0 {
        parts.push(format!("at basket {}", grouped(when.nth_basket, ',')));
    }
    if when.every_nth_basket > 0 {
        parts.push(format!("at one basket of every {}", grouped(when.every_nth_basket, ',')));
    }
    parts.extend(when.birthday.map(|near| match near {
        BirthdayWithin::Day => "on the birthday".to_owned(),
        BirthdayWithin::Week => "in the week of the birthday".to_owned(),
        BirthdayWithin::Month => "in the month of the birthday".to_owned(),
    }));
    let days = |number: i32| grouped(i64::from(number), ',');
    parts.extend(
        when.days_since_last_basket_min.map(|min| format!("at least {} days after the last basket", days(min))),
    );
    parts
        .extend(when.days_since_last_basket_max.map(|max| format!("at most {} days after the last basket", days(max))));
    parts.extend(
        when.own_average.map(|average| {
            format!("with at least {} % of the account's average basket", grouped(average.percent, ','))
        }),
    );
    let variants = when.variants.iter().filter_map(|(experiment, variant)| {
        let experiment = program.experiments.get(usize::from(*experiment))?;
        let (name, _) = experiment.variants.get(usize::from(*variant))?;
        Some(format!("{}.{name}", experiment.name))
    });
    let variants: Vec<String> = variants.collect();
    if !variants.is_empty() {
        parts.push(format!("in experiment {}", variants.join(" or ")));
    }
    parts.iter().map(|part| format!(", {part}")).collect()
}

fn levels(when: &Conditions, program: &Program) -> Option<String> {
    let ladder = program.tiers.as_ref().filter(|_| when.levels != 0)?;
    let known = std::iter::once("no level").chain(ladder.levels.iter().map(|level| level.name.as_str()));
    let named = known.zip(0..).filter(|(_, number)| when.levels & (1 << number) != 0).map(|(name, _)| name);
    Some(format!("with {}", named.collect::<Vec<_>>().join(" or ")))
}
