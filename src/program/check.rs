//! What several entries of a programme file mean together: rules against exclusions and each other, the largest
//! basket, and the author's own expectations.
//!
//! What must stay true: each check looks at every value a bounded number of times, so that a file at its size limit is
//! checked in well under a second; a programme that passes cannot make `basket_units` leave its range.

use std::collections::{HashMap, HashSet};

use super::file::{ATTRIBUTE_KEYS, EarnSection, Expectation, ProgramFile, RuleEntry};
use super::problem::{Finding, Problems};
use super::symbols::{SymbolTable, Symbols};
use super::table::stated;
use crate::ledger::earn::basket_units;
use crate::ledger::program::{Attribute, BPS_ONE, LineClass, Program};
use crate::ledger::types::Item;
use crate::limits::{BASKET_LINES_MAX, LINE_AMOUNT_MINOR_MAX, UNITS_MAX};

/// Lines of a failed expectation that the hint explains.
const EXPLAINED_LINES_MAX: usize = 8;

/// Reports what is wrong between the entries of a file.
pub(super) fn check_entries(file: &ProgramFile, problems: &mut Problems<'_>) {
    if let Some(earn) = &file.earn {
        check_repeated_exclusions(earn, problems);
        check_largest_basket(earn, &file.rules, problems);
    }
    check_rules_without_effect(&file.rules, problems);
    check_excluded_rules(file, problems);
    check_overlapping_rules(file, problems);
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

/// A basket of the largest size must stay within [`UNITS_MAX`], so that the sum in a decision cannot overflow.
fn check_largest_basket(earn: &EarnSection, rules: &[RuleEntry], problems: &mut Problems<'_>) {
    let lines_max = i128::try_from(BASKET_LINES_MAX).expect("a small number");
    let largest_numerator = i128::from(LINE_AMOUNT_MINOR_MAX) * lines_max * i128::from(*earn.units.get_ref());
    // Rounding per line can add one unit a line.
    let room = i128::from(UNITS_MAX) - lines_max;
    let largest_multiplier_bps = room * i128::from(*earn.per_minor.get_ref()) * i128::from(BPS_ONE) / largest_numerator;
    let hint = "lower `units` or raise `per_minor` in [earn]: no balance may exceed that number";
    let too_large = |what: &str| format!("with {what} one basket could earn more than {} units", stated(UNITS_MAX));
    if i128::from(BPS_ONE) > largest_multiplier_bps {
        problems.push(Finding::error(&earn.units.span(), too_large("this rate")).hint(hint));
        return;
    }
    for rule in rules.iter().filter(|rule| i128::from(*rule.multiplier_bps.get_ref()) > largest_multiplier_bps) {
        problems.push(Finding::error(&rule.multiplier_bps.span(), too_large("this multiplier")).hint(hint));
    }
}

/// A multiplier of one changes nothing, except that it may win against a rule that gives less.
fn check_rules_without_effect(rules: &[RuleEntry], problems: &mut Problems<'_>) {
    if rules.iter().any(|rule| *rule.multiplier_bps.get_ref() < BPS_ONE) {
        return;
    }
    for rule in rules.iter().filter(|rule| *rule.multiplier_bps.get_ref() == BPS_ONE) {
        let message = format!("rule `{}` has no effect: it multiplies by one", rule.name.get_ref());
        problems
            .push(Finding::error(&rule.multiplier_bps.span(), message).hint("remove it or state another multiplier"));
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
        // Each excluded value of the rule with the line that excludes it.
        let excluded: Vec<_> = rule
            .values
            .iter()
            .filter_map(|value| {
                let start = excluded.get(&(rule.attribute, value.get_ref().as_str()))?;
                Some((value, problems.line(*start)))
            })
            .collect();
        let Some((value, line)) = excluded.first() else { continue };
        let (key, name) = (key_of(rule.attribute), rule.name.get_ref());
        if excluded.len() == rule.values.len() {
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

/// Warns of values that several rules of the same attribute list, telling which one counts.
fn check_overlapping_rules(file: &ProgramFile, problems: &mut Problems<'_>) {
    let mut winners: HashMap<Value<'_>, &RuleEntry> = HashMap::new();
    for rule in &file.rules {
        for value in &rule.values {
            let winner = winners.entry((rule.attribute, value.get_ref())).or_insert(rule);
            if rule.multiplier_bps.get_ref() > winner.multiplier_bps.get_ref() {
                *winner = rule;
            }
        }
    }
    for rule in &file.rules {
        let key = key_of(rule.attribute);
        let mut seen = HashSet::new();
        let mut lost = Vec::new();
        for value in &rule.values {
            if !seen.insert(value.get_ref()) {
                let message = format!("{key} {:?} is listed twice", value.get_ref());
                problems.push(Finding::warning(&value.span(), message));
                continue;
            }
            let winner = winners.get(&(rule.attribute, value.get_ref().as_str()));
            lost.extend(winner.filter(|winner| !std::ptr::eq(**winner, rule)).map(|winner| (value, *winner)));
        }
        let Some((value, winner)) = lost.first() else { continue };
        let line = problems.line(winner.name.span().start);
        let reason = if winner.multiplier_bps.get_ref() == rule.multiplier_bps.get_ref() {
            "has the same multiplier and comes first"
        } else {
            "has the larger multiplier"
        };
        let others = match lost.len() - 1 {
            0 => String::new(),
            count => format!(", and {count} more of its values are in other rules that count"),
        };
        let message = format!(
            "{key} {:?} is also in rule `{}` on line {line}, which counts because it {reason}{others}",
            value.get_ref(),
            winner.name.get_ref()
        );
        let finding = Finding::warning(&value.span(), message);
        let is_dead = lost.len() == seen.len();
        let dead = || format!("rule `{}` never counts: best-of takes another for all its values", rule.name.get_ref());
        problems.push(if is_dead { finding.hint(dead()) } else { finding });
    }
}

/// Runs the file's expectations against the programme compiled from it, by the code that decides.
pub(super) fn check_expectations(
    expectations: &[Expectation],
    program: &Program,
    symbols: &mut SymbolTable,
    problems: &mut Problems<'_>,
) {
    for expectation in expectations {
        let lines: Vec<(LineClass, i64)> = expectation
            .lines
            .iter()
            .map(|line| {
                let [sku, category, department, brand, margin_class] = [0, 1, 2, 3, 4].map(|index| {
                    let text = line.attributes.get(index).map_or("", String::as_str);
                    symbols.intern(text).expect("a file holds fewer strings than a fresh dictionary takes")
                });
                let item = Item { sku, category, department, brand, margin_class };
                (program.lines.classify(&item), line.amount_minor)
            })
            .collect();
        let got = basket_units(program, lines.iter().copied());
        let expected = *expectation.units.get_ref();
        if got != expected {
            let (name, got, expected) = (expectation.name.get_ref(), stated(got), stated(expected));
            let message = format!("expectation {name:?} does not hold: the basket earns {got}, not {expected}");
            problems.push(Finding::error(&expectation.units.span(), message).hint(explain(program, &lines)));
        }
    }
}

/// What each line of a basket earns by.
fn explain(program: &Program, lines: &[(LineClass, i64)]) -> String {
    let explained = lines.iter().zip(1..).take(EXPLAINED_LINES_MAX).map(|((class, amount_minor), number)| {
        let by = match class {
            LineClass::Ineligible => "not eligible".to_owned(),
            LineClass::Base => "base rate".to_owned(),
            LineClass::Rule(rule) => {
                program.lines.rule(*rule).map_or_else(String::new, |rule| format!("rule `{}`", rule.name))
            }
        };
        format!("line {number}: {} minor units, {by}", stated(*amount_minor))
    });
    let mut text = explained.collect::<Vec<_>>().join("; ");
    if lines.len() > EXPLAINED_LINES_MAX {
        text.push_str(&format!("; and {} more", lines.len() - EXPLAINED_LINES_MAX));
    }
    text
}
