//! Conditions that can never hold, and lists that say a thing twice.
//!
//! What must stay true: an error is certain; what merely seldom holds is the author's business.

use std::collections::HashSet;

use crate::ledger::types::Day;
use crate::ledger::zone::weekday;
use crate::program::file::{ProgramFile, TriggerEntry, WhenEntry};
use crate::program::problem::{Finding, Problems};
use crate::program::table::At;

/// Reports conditions of rules and bonuses that never hold.
pub(super) fn check(file: &ProgramFile, problems: &mut Problems<'_>) {
    for rule in &file.rules {
        if let Some(when) = &rule.when {
            check_when(&format!("rule `{}`", rule.name.get_ref()), when, problems);
        }
    }
    for card in &file.stamps {
        if let Some(when) = &card.when {
            check_when(&format!("stamp card `{}`", card.name.get_ref()), when, problems);
        }
    }
    for bonus in &file.bonuses {
        let Some(when) = &bonus.when else { continue };
        let whose = format!("bonus `{}`", bonus.name.get_ref());
        check_when(&whose, when, problems);
        if let TriggerEntry::Activity(_) = bonus.trigger {
            check_activity(&whose, when, problems);
        }
    }
}

fn check_when(whose: &str, when: &WhenEntry, problems: &mut Problems<'_>) {
    check_dates(whose, when, problems);
    if let (Some(nth), Some(every)) = (&when.nth_basket, &when.every_nth_basket)
        && nth.get_ref() % every.get_ref() != 0
    {
        let (nth_number, every) = (nth.get_ref(), every.get_ref());
        let message = format!("{whose} never counts: basket {nth_number} is not one of every {every}");
        problems.push(Finding::error(&nth.span(), message));
    }
    if let (Some(min), Some(max)) = (&when.days_since_min, &when.days_since_max)
        && min.get_ref() > max.get_ref()
    {
        let (least, most) = (min.get_ref(), max.get_ref());
        let message = format!("{whose} never counts: at least {least} days are never at most {most}");
        problems.push(Finding::error(&min.span(), message));
    }
    let wanted: HashSet<&str> = when.segments.iter().map(|name| name.get_ref().as_str()).collect();
    for name in when.not_segments.iter().filter(|name| wanted.contains(name.get_ref().as_str())) {
        let message = format!("segment {:?} is in `segments` and in `not_segments` of {whose}", name.get_ref());
        problems.push(Finding::error(&name.span(), message));
    }
    for list in when.lists() {
        let mut seen = HashSet::new();
        for name in list.iter().filter(|name| !seen.insert(name.get_ref())) {
            problems.push(Finding::warning(&name.span(), format!("{:?} is listed twice", name.get_ref())));
        }
    }
}

fn check_dates(whose: &str, when: &WhenEntry, problems: &mut Problems<'_>) {
    let (Some(from), Some(until)) = (&when.from, &when.until) else { return };
    let [from_text, until_text] = [from, until].map(|day| problems.text(&day.span()));
    let (first, last) = (from.get_ref().0, until.get_ref().0);
    if first > last {
        let message = format!("{whose} never counts: it ends on {until_text}, before it begins on {from_text}");
        problems.push(Finding::error(&until.span(), message));
        return;
    }
    let is_wanted = |day: i32| when.weekdays & (1 << weekday(Day(day))) != 0;
    if when.weekdays != 0 && last - first < 7 && !(first..=last).any(is_wanted) {
        let message =
            format!("{whose} never counts: from {from_text} to {until_text} there is none of its days of the week");
        problems.push(Finding::error(&from.span(), message));
    }
}

/// An activity has no store, no payment and no amount.
fn check_activity(whose: &str, when: &WhenEntry, problems: &mut Problems<'_>) {
    let places = [
        ("stores", when.stores.first().map(At::span)),
        ("payment_methods", when.payment_methods.first().map(At::span)),
        ("own_average", when.own_average.as_ref().map(|average| average.metric.span())),
        ("eligible_minor_min", when.eligible_minor_min.as_ref().map(At::span)),
    ];
    for (key, place) in places {
        if let Some(place) = place {
            let message = format!("{whose} never counts: an activity has nothing that `{key}` could be compared with");
            problems.push(Finding::error(&place, message).hint("such a condition is for bonuses on baskets"));
        }
    }
}
