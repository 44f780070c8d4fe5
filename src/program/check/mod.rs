//! What several entries of a programme file mean together: rules against exclusions and each other, conditions, the
//! largest basket, and the author's own expectations.
//!
//! What must stay true: each check looks at every value a bounded number of times, so that a file at its size limit is
//! checked in well under a second; a programme that passes cannot make the sum of a basket leave its range.

mod arithmetic;
mod catalogue;
mod cells;
mod conditions;
mod expectations;
mod held;
mod money;
mod overlaps;
mod partners;
mod rule_caps;
mod stacked;
mod stamps;

pub(super) use expectations::check_expectations;

use std::collections::{HashMap, HashSet};

use super::file::{ATTRIBUTE_KEYS, EarnSection, EffectEntry, ProgramFile, RuleEntry};
use super::problem::{Finding, Problems};
use super::table::stated;
use crate::ledger::program::{Attribute, BPS_ONE, CapMeasure, Over, Stacking};

/// Reports what is wrong between the entries of a file.
pub(super) fn check_entries(file: &ProgramFile, problems: &mut Problems<'_>) {
    if let Some(earn) = &file.earn {
        check_repeated_exclusions(earn, problems);
        arithmetic::check_largest_basket(earn, file, problems);
        catalogue::check(file, earn, problems);
    }
    arithmetic::check_multiplier_max(file, problems);
    check_rules_without_effect(&file.rules, problems);
    check_excluded_rules(file, problems);
    overlaps::check_best_of(file, problems);
    overlaps::check_exclusive(file, problems);
    conditions::check(file, problems);
    check_small_caps(file, problems);
    rule_caps::check(file, problems);
    stacked::check(file, problems);
    cells::check(file, problems);
    money::check(file, problems);
    partners::check(file, problems);
    stamps::check(file, problems);
}

fn key_of(attribute: Attribute) -> &'static str {
    ATTRIBUTE_KEYS.iter().find(|(_, candidate)| *candidate == attribute).map_or("", |(key, _)| *key)
}

fn check_repeated_exclusions(earn: &EarnSection, problems: &mut Problems<'_>) {
    for (attribute, values) in &earn.exclude {
        let mut seen = HashSet::new();
        for value in values {
            if !seen.insert(value.get_ref()) {
                let message = format!("{} {:?} is listed twice", key_of(*attribute), value.get_ref());
                problems.push(Finding::warning(&value.span(), message));
            }
        }
    }
}

/// A multiplier of one changes nothing, except that it may win against a rule that gives less, or alone.
fn check_rules_without_effect(rules: &[RuleEntry], problems: &mut Problems<'_>) {
    let lowers = rules.iter().filter_map(RuleEntry::best_of_bps).any(|bps| bps < BPS_ONE);
    for rule in rules {
        let Some(bps) = rule.multiplier().filter(|bps| *bps.get_ref() == BPS_ONE) else { continue };
        let is_idle = match rule.stacking {
            Stacking::BestOf => !lowers,
            Stacking::Add | Stacking::Multiply => true,
            Stacking::Exclusive => false,
        };
        if is_idle {
            let message = format!("rule `{}` has no effect: it multiplies by one", rule.name.get_ref());
            problems.push(Finding::error(&bps.span(), message).hint("remove it or state another multiplier"));
        }
    }
}

/// Warns of caps on units that always clip a bonus, a full stamp card or a rule's fixed units.
fn check_small_caps(file: &ProgramFile, problems: &mut Problems<'_>) {
    let bonuses = file.bonuses.iter().map(|bonus| ("bonus", &bonus.name, *bonus.units.get_ref()));
    let rules = file.rules.iter().filter_map(|rule| match &rule.effect {
        EffectEntry::Fixed { units, .. } => Some(("rule", &rule.name, *units.get_ref())),
        EffectEntry::Multiplier(_) => None,
    });
    let cards = file.stamps.iter();
    let cards = cards.filter_map(|card| card.units().map(|units| ("stamp card", &card.name, *units.get_ref())));
    let Some((noun, name, units)) = bonuses.chain(rules).chain(cards).max_by_key(|(_, _, units)| *units) else {
        return;
    };
    for cap in file.caps.iter().filter(|cap| cap.measure == CapMeasure::Units) {
        let limit = *cap.limit.get_ref();
        if limit > 0 && limit < units {
            let message = format!(
                "cap `{}` of {} is below {noun} `{}` of {} units, which it always {}",
                cap.name.get_ref(),
                stated(limit),
                name.get_ref(),
                stated(units),
                match cap.over {
                    Over::Clip => "clips",
                    Over::Decline => "declines",
                    Over::Hold => "holds",
                }
            );
            let hint =
                format!("raise the limit to {} at least, or have {noun} `{}` give less", stated(units), name.get_ref());
            problems.push(Finding::warning(&cap.limit.span(), message).hint(hint));
        }
    }
}

/// What a line carries and by which attribute: the key of everything the table knows.
type Value<'f> = (Attribute, &'f str);

fn excluded_values(file: &ProgramFile) -> HashMap<Value<'_>, usize> {
    let lists = file.earn.iter().flat_map(|earn| &earn.exclude);
    lists
        .flat_map(|(attribute, values)| {
            values.iter().map(|value| ((*attribute, value.get_ref().as_str()), value.span().start))
        })
        .collect()
}

/// Reports rules of which all or some values are excluded.
fn check_excluded_rules(file: &ProgramFile, problems: &mut Problems<'_>) {
    let excluded = excluded_values(file);
    for rule in &file.rules {
        let Some((attribute, values)) = &rule.matched else { continue };
        // Each excluded value of the rule with the line that excludes it.
        let excluded: Vec<_> = values
            .iter()
            .filter_map(|value| {
                let start = excluded.get(&(*attribute, value.get_ref().as_str()))?;
                Some((value, problems.line(*start)))
            })
            .collect();
        let Some((value, line)) = excluded.first() else { continue };
        let (key, name) = (key_of(*attribute), rule.name.get_ref());
        if excluded.len() == values.len() {
            let message = format!("rule `{name}` has no effect: [earn] excludes every {key} that it matches");
            let hint = format!("line {line} excludes {:?}", value.get_ref());
            problems.push(Finding::error(&rule.name.span(), message).hint(hint));
        } else {
            for (value, line) in &excluded {
                let message =
                    format!("rule `{name}` never applies to {key} {:?}: line {line} excludes it", value.get_ref());
                problems.push(Finding::warning(&value.span(), message));
            }
        }
    }
}
