//! Rules that match the same lines: which one counts, and whether the file says so.
//!
//! What must stay true: a warning about a rule that never counts is certain, conditions considered; of two exclusive
//! rules for the same value that can hold together it is never the order of the file that decides, and where one line
//! could carry what two of them match, the author is told.

use std::collections::{HashMap, HashSet};

use super::{Value, key_of};
use crate::ledger::program::Stacking;
use crate::program::file::{ProgramFile, RuleEntry, WhenEntry};
use crate::program::problem::{Finding, Problems};
use crate::program::table::At;

/// A rule of which the best counts, with its place among the rules and its multiplier.
#[derive(Clone, Copy)]
struct Rival<'f> {
    index: usize,
    bps: i64,
    rule: &'f RuleEntry,
}

impl<'f> Rival<'f> {
    fn beats(self, other: Rival<'_>) -> bool {
        self.bps > other.bps || (self.bps == other.bps && self.index < other.index)
    }

    fn better(best: Option<Self>, next: Self) -> Option<Self> {
        Some(best.filter(|best| !next.beats(*best)).unwrap_or(next))
    }

    /// Why this rule counts in the place of one that it beats.
    fn reason(self, other: Rival<'_>) -> &'static str {
        if self.bps == other.bps { "has the same multiplier and comes first" } else { "has the larger multiplier" }
    }
}

/// The rules that count whenever their line is there, by what they match.
struct Winners<'f> {
    by_value: HashMap<Value<'f>, Rival<'f>>,
    everywhere: Option<Rival<'f>>,
}

impl<'f> Winners<'f> {
    fn new(rivals: &[Rival<'f>]) -> Self {
        let mut winners = Self { by_value: HashMap::new(), everywhere: None };
        for rival in rivals.iter().filter(|rival| rival.rule.when.is_none()) {
            match &rival.rule.matched {
                None => winners.everywhere = Rival::better(winners.everywhere, *rival),
                Some((attribute, values)) => {
                    for value in values {
                        let winner = winners.by_value.entry((*attribute, value.get_ref())).or_insert(*rival);
                        if rival.beats(*winner) {
                            *winner = *rival;
                        }
                    }
                }
            }
        }
        winners
    }

    /// The rule that counts in the place of this one for a value, whatever holds.
    fn over(&self, rival: Rival<'f>, value: Option<Value<'f>>) -> Option<Rival<'f>> {
        let same = value.and_then(|value| self.by_value.get(&value)).copied();
        let best = self.everywhere.into_iter().fold(same, Rival::better);
        best.filter(|best| best.index != rival.index && best.beats(rival))
    }
}

/// Warns of values of a rule for which another always counts, telling which one.
pub(super) fn check_best_of(file: &ProgramFile, problems: &mut Problems<'_>) {
    let rivals = file.rules.iter().enumerate();
    let rivals = rivals.filter_map(|(index, rule)| Some(Rival { index, bps: rule.best_of_bps()?, rule }));
    let rivals: Vec<Rival<'_>> = rivals.collect();
    let winners = Winners::new(&rivals);
    for rule in &file.rules {
        check_repeated_values(rule, problems);
    }
    for rival in rivals {
        let name = rival.rule.name.get_ref();
        let Some((attribute, values)) = &rival.rule.matched else {
            if let Some(winner) = winners.over(rival, None) {
                let line = problems.line(winner.rule.name.span().start);
                let message = format!(
                    "rule `{name}` never counts: rule `{}` on line {line} matches every line too, and counts because it {}",
                    winner.rule.name.get_ref(),
                    winner.reason(rival)
                );
                problems.push(Finding::warning(&rival.rule.name.span(), message));
            }
            continue;
        };
        let mut seen = HashSet::new();
        let unique = values.iter().filter(|value| seen.insert(value.get_ref()));
        let lost = unique.filter_map(|value| {
            let winner = winners.over(rival, Some((*attribute, value.get_ref().as_str())))?;
            Some((value, winner))
        });
        let lost: Vec<_> = lost.collect();
        report_lost(rival, key_of(*attribute), &lost, seen.len(), problems);
    }
}

fn check_repeated_values(rule: &RuleEntry, problems: &mut Problems<'_>) {
    let Some((attribute, values)) = &rule.matched else { return };
    let mut seen = HashSet::new();
    for value in values.iter().filter(|value| !seen.insert(value.get_ref())) {
        let message = format!("{} {:?} is listed twice", key_of(*attribute), value.get_ref());
        problems.push(Finding::warning(&value.span(), message));
    }
}

fn report_lost(
    rival: Rival<'_>,
    key: &str,
    lost: &[(&At<String>, Rival<'_>)],
    values_count: usize,
    problems: &mut Problems<'_>,
) {
    let Some((value, winner)) = lost.first() else { return };
    let line = problems.line(winner.rule.name.span().start);
    let others = match lost.len() - 1 {
        0 => String::new(),
        count => format!(", and {count} more of its values are in other rules that count"),
    };
    let (text, other, reason) = (value.get_ref(), winner.rule.name.get_ref(), winner.reason(rival));
    let message = if winner.rule.matched.is_some() {
        format!("{key} {text:?} is also in rule `{other}` on line {line}, which counts because it {reason}{others}")
    } else {
        format!("rule `{other}` on line {line} matches {key} {text:?} too, and counts because it {reason}{others}")
    };
    let finding = Finding::warning(&value.span(), message);
    let is_dead = lost.len() == values_count;
    let name = rival.rule.name.get_ref();
    let dead = || format!("rule `{name}` never counts: best-of takes another for all its values");
    problems.push(if is_dead { finding.hint(dead()) } else { finding });
}

/// Rules that are compared with each other where many have one value, priority and multiplier.
const COMPARED_MAX: usize = 16;

/// Reports exclusive rules of which the order in the file would decide.
pub(super) fn check_exclusive(file: &ProgramFile, problems: &mut Problems<'_>) {
    let exclusive = || file.rules.iter().filter(|rule| rule.stacking == Stacking::Exclusive);
    let everywhere: Vec<&RuleEntry> = exclusive().filter(|rule| rule.matched.is_none()).take(COMPARED_MAX).collect();
    let first: Vec<&RuleEntry> = exclusive().take(COMPARED_MAX).collect();
    let mut by_value: HashMap<Value<'_>, Vec<&RuleEntry>> = HashMap::new();
    let mut meetings = Meetings { excluded: super::excluded_values(file), by_rank: HashMap::new() };
    for rule in exclusive() {
        let clashes = |other: &&RuleEntry| {
            !std::ptr::eq(*other, rule) && rank(other) == rank(rule) && can_hold_together(&other.when, &rule.when)
        };
        let begins_before = |other: &&RuleEntry| other.name.span().start < rule.name.span().start;
        let mut found = everywhere.iter().copied().filter(begins_before).find(clashes).map(|other| (other, None));
        for value in rule.values() {
            let Some((attribute, _)) = &rule.matched else { break };
            let others = by_value.entry((*attribute, value.get_ref())).or_default();
            found = found.or_else(|| others.iter().copied().find(clashes).map(|other| (other, Some(value))));
            if others.len() < COMPARED_MAX {
                others.push(rule);
            }
        }
        if rule.matched.is_none() {
            let earlier = first.iter().copied().filter(begins_before);
            found = found.or_else(|| earlier.into_iter().find(clashes).map(|other| (other, None)));
        }
        let Some((other, value)) = found else {
            meetings.check(rule, problems);
            continue;
        };
        let line = problems.line(other.name.span().start);
        let what = value.map_or_else(|| "the same lines".to_owned(), |value| format!("{:?}", value.get_ref()));
        let message = format!(
            "exclusive rules `{}` and `{}` on line {line} match {what} with the same priority and multiplier",
            rule.name.get_ref(),
            other.name.get_ref()
        );
        let at = value.map_or_else(|| rule.name.span(), At::span);
        let hint = "state another priority in one of them, or conditions that cannot hold together";
        problems.push(Finding::error(&at, message).hint(hint));
    }
}

/// What decides between exclusive rules before the order of the file does.
fn rank(rule: &RuleEntry) -> (i32, Option<i64>) {
    (rule.priority, rule.multiplier().map(|bps| *bps.get_ref()))
}

/// Exclusive rules by rank and by what they match, to find those of different attributes that a line could meet together.
struct Meetings<'f> {
    excluded: HashMap<Value<'f>, usize>,
    by_rank: HashMap<(i32, Option<i64>), Vec<&'f RuleEntry>>,
}

/// Rules of one rank and attribute with which later ones are compared.
const MEETING_MAX: usize = 4;

impl<'f> Meetings<'f> {
    /// Warns of an earlier rule of another attribute. What a line earns is the same by both; which of them a statement
    /// names, the order of the file decides.
    fn check(&mut self, rule: &'f RuleEntry, problems: &mut Problems<'_>) {
        // A rule of which all values are excluded meets no line.
        let Some((attribute, value)) = self.first_value(rule) else { return };
        let earlier = self.by_rank.get(&rank(rule)).map_or(&[][..], Vec::as_slice);
        let by = |other: &RuleEntry| other.matched.as_ref().map(|(attribute, _)| *attribute);
        let meets = |other: &&RuleEntry| by(other) != Some(attribute) && can_hold_together(&other.when, &rule.when);
        let met = earlier.iter().copied().find(meets).and_then(|other| Some((other, self.first_value(other)?)));
        if let Some((other, (their_attribute, theirs))) = met {
            let line = problems.line(other.name.span().start);
            let (key, their_key) = (key_of(attribute), key_of(their_attribute));
            let message = format!(
                "exclusive rules `{}` and `{}` on line {line} have the same priority and multiplier, and both match a \
                 line of {key} {value:?} and {their_key} {theirs:?}",
                rule.name.get_ref(),
                other.name.get_ref(),
            );
            let hint =
                "the first in the file is named: state another priority in one of them to say which it should be";
            problems.push(Finding::warning(&rule.name.span(), message).hint(hint));
        }
        if earlier.iter().filter(|other| by(other) == Some(attribute)).count() < MEETING_MAX {
            self.by_rank.entry(rank(rule)).or_default().push(rule);
        }
    }

    /// The first value of a rule that a line can carry and be eligible.
    fn first_value(&self, rule: &'f RuleEntry) -> Option<Value<'f>> {
        let (attribute, _) = rule.matched.as_ref()?;
        let values = rule.values().iter().map(|value| (*attribute, value.get_ref().as_str()));
        values.into_iter().find(|value| !self.excluded.contains_key(value))
    }
}

/// Whether both conditions can hold for one event. `true` where it is not certain that they cannot.
fn can_hold_together(left: &Option<WhenEntry>, right: &Option<WhenEntry>) -> bool {
    let (Some(left), Some(right)) = (left, right) else { return true };
    let ends_before = |left: &WhenEntry, right: &WhenEntry| match (&left.until, &right.from) {
        (Some(until), Some(from)) => until.get_ref() < from.get_ref(),
        _ => false,
    };
    let sets_meet = |left: u64, right: u64| left == 0 || right == 0 || left & right != 0;
    let lists_meet = |left: &[At<String>], right: &[At<String>]| {
        let left: HashSet<&str> = left.iter().map(|name| name.get_ref().as_str()).collect();
        left.is_empty() || right.is_empty() || right.iter().any(|name| left.contains(name.get_ref().as_str()))
    };
    let hours_meet = left.minutes.is_empty()
        || right.minutes.is_empty()
        || left.minutes.iter().any(|left| right.minutes.iter().any(|right| left.0 < right.1 && right.0 < left.1));
    let shut_out = |wanted: &WhenEntry, unwanted: &WhenEntry| {
        let unwanted: HashSet<&str> = unwanted.not_segments.iter().map(|name| name.get_ref().as_str()).collect();
        let mut names = wanted.segments.iter().map(|name| name.get_ref().as_str());
        !wanted.segments.is_empty() && names.all(|name| unwanted.contains(name))
    };
    let number = |stated: &Option<At<i64>>| stated.as_ref().map(|number| *number.get_ref());
    let numbers_meet = |left: &WhenEntry, right: &WhenEntry| match (number(&left.nth_basket), number(&right.nth_basket))
    {
        (Some(left), Some(right)) => left == right,
        (Some(nth), None) => number(&right.every_nth_basket).is_none_or(|every| nth % every == 0),
        _ => true,
    };
    let days_meet = |left: &WhenEntry, right: &WhenEntry| match (&left.days_since_min, &right.days_since_max) {
        (Some(least), Some(most)) => least.get_ref() <= most.get_ref(),
        _ => true,
    };
    // An account has one variant of an experiment.
    let of_one = |when: &WhenEntry| {
        let first = when.variants.first()?.0;
        when.variants.iter().all(|(experiment, _)| *experiment == first).then_some(first)
    };
    let variants_meet = of_one(left) != of_one(right)
        || of_one(left).is_none()
        || left.variants.iter().any(|variant| right.variants.contains(variant));
    variants_meet
        && !ends_before(left, right)
        && !ends_before(right, left)
        && sets_meet(u64::from(left.weekdays), u64::from(right.weekdays))
        && sets_meet(left.levels, right.levels)
        && hours_meet
        && lists_meet(&left.stores, &right.stores)
        && lists_meet(&left.channels, &right.channels)
        && lists_meet(&left.payment_methods, &right.payment_methods)
        && lists_meet(&left.partners, &right.partners)
        && !shut_out(left, right)
        && !shut_out(right, left)
        && numbers_meet(left, right)
        && numbers_meet(right, left)
        && days_meet(left, right)
        && days_meet(right, left)
}
