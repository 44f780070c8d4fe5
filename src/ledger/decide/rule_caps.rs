//! Caps of line rules: which units are a rule's, and what its own caps leave of them.
//!
//! A rule's units are what the basket earns with the rule less what it would earn without it. Of several rules with
//! caps one after the other is taken away, in the order of the file, so that no unit is two rules': what a rule that
//! multiplies makes of another's units is the first one's of the two. A line from which a rule was taken away earns by
//! what is left: by rules without caps, and by those with caps that counted for it already.
//!
//! What must stay true: the shares of all rules together are no more than the basket earns, so that no cap is exceeded
//! by one unit and none clips what is not its rule's; a rule whose cap has no room left does not count, as if its
//! conditions did not hold, and another can count in its place; a rule is never declined for what it gives only beside one
//! that has no room; a cell is looked into once.

use super::accrual::{LineJudge, names_too_many_rules};
use super::bounds::Bounded;
use crate::ledger::decision::{Clip, Decision};
use crate::ledger::program::{Cap, CapMeasure, LineClass, Program, RuleIndex};
use crate::ledger::types::{SymbolId, Units};

/// What a rule with caps has to do with a basket.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Share {
    /// Whether it counts for a line.
    counts: bool,
    /// Whether one of its caps has no room for what it would give.
    is_used_up: bool,
    /// Units that it gives.
    units: Units,
    /// The amount of the lines for which it counts, in minor units.
    amount_minor: i64,
}

/// Judges the lines of a basket, again and again without the rules whose caps turn out to be used up.
pub(super) fn judge(
    judge: &LineJudge<'_>,
    bounded: &Bounded<'_>,
    shares: &mut [Share],
    out: &mut Decision,
) -> (Units, i64, i64) {
    loop {
        out.lines.clear();
        out.stacked.clear();
        let lines = &judge.program.lines;
        let is_used_up = |rule: RuleIndex| {
            lines.capped_place(rule).and_then(|place| shares.get(place)).is_some_and(|share| share.is_used_up)
        };
        let judged = judge.judge(is_used_up, out);
        if names_too_many_rules(out) {
            return judged;
        }
        note(judge, shares, out);
        divide(judge, judged.0, shares, out);
        if !find_used_up(judge.program, bounded, shares, out) {
            return judged;
        }
    }
}

/// Notes which rules count, and for what amount.
fn note(judge: &LineJudge<'_>, shares: &mut [Share], out: &Decision) {
    for share in shares.iter_mut() {
        (share.counts, share.units, share.amount_minor) = (false, 0, 0);
    }
    for (line, number) in judge.basket.lines.iter().zip(0..) {
        for capped in rules_of(number, out).filter_map(|rule| judge.program.lines.capped_place(rule)) {
            let share = shares.get_mut(capped).expect("there is a share for each rule with caps");
            share.counts = true;
            share.amount_minor += line.amount_minor;
        }
    }
}

/// All rules that count for a line.
fn rules_of(line: u32, out: &Decision) -> impl Iterator<Item = RuleIndex> {
    let class = usize::try_from(line).ok().and_then(|line| out.lines.get(line)).map(|line| line.class);
    let own = class.and_then(|class| if let LineClass::Rule(rule) = class { Some(rule) } else { None });
    let first = out.stacked.partition_point(|(number, _)| *number < line);
    let beside = out.stacked.iter().skip(first).take_while(move |(number, _)| *number == line);
    own.into_iter().chain(beside.map(|(_, rule)| *rule))
}

/// Finds each rule's units: what it makes the basket earn.
fn divide(judge: &LineJudge<'_>, earned: Units, shares: &mut [Share], out: &Decision) {
    let lines = &judge.program.lines;
    let (mut with, mut undivided) = (earned, earned);
    for place in 0..shares.len() {
        let Some(share) = shares.get_mut(place).filter(|share| share.counts) else { continue };
        let without = judge.units_without(|line, rule| {
            // Those that do not count for the line anyway do not stand in for one that is taken away.
            lines
                .capped_place(rule)
                .is_some_and(|other| other <= place || !rules_of(line, out).any(|counting| counting == rule))
        });
        share.units = (with - without).clamp(0, undivided);
        undivided -= share.units;
        with = without;
    }
}

/// Finds rules that do not count, and names the caps that say so; whether there is one more. First those of which a cap has
/// no room at all, whatever others give. Only once none of these is left, one that would give more than a cap lets it: what
/// a rule gives depends on those that count beside it.
fn find_used_up(program: &Program, bounded: &Bounded<'_>, shares: &mut [Share], out: &mut Decision) -> bool {
    let mut is_one_more = false;
    for (capped, share) in program.lines.capped.iter().zip(shares.iter_mut()) {
        if !share.counts {
            continue;
        }
        let is_full = |cap: &&Cap| bounded.room(cap, true, out) == Some(0);
        if let Some(cap) = capped.caps.iter().find(is_full) {
            (share.is_used_up, is_one_more) = (true, true);
            out.clips.push(Clip { source: cap.symbol, is_budget: false, units: 0 });
        }
    }
    is_one_more || find_declined(program, bounded, shares, out)
}

/// Finds the rule that would give more than one of its caps lets it count for: of several the one whose name comes first,
/// so that it does not depend on the order of the file which of them is judged again beside the others.
fn find_declined(program: &Program, bounded: &Bounded<'_>, shares: &mut [Share], out: &mut Decision) -> bool {
    let mut first: Option<(&str, &mut Share, SymbolId)> = None;
    for (capped, share) in program.lines.capped.iter().zip(shares.iter_mut()) {
        if !share.counts {
            continue;
        }
        let is_exceeded =
            |cap: &&Cap| cap.declines() && bounded.room(cap, true, out).is_some_and(|room| share.wanted(cap) > room);
        let Some(cap) = capped.caps.iter().find(is_exceeded) else { continue };
        let name = program.lines.rule(capped.rule).map_or("", |rule| rule.name.as_str());
        if first.as_ref().is_none_or(|(before, _, _)| name < *before) {
            first = Some((name, share, cap.symbol));
        }
    }
    let Some((_, share, source)) = first else { return false };
    share.is_used_up = true;
    out.clips.push(Clip { source, is_budget: false, units: 0 });
    true
}

/// Withholds what the caps of rules leave no room for.
pub(super) fn clip(bounded: &Bounded<'_>, shares: &mut [Share], out: &mut Decision) {
    for (capped, share) in bounded.context.program.lines.capped.iter().zip(shares) {
        if !share.counts {
            continue;
        }
        for cap in capped.caps.iter().filter(|cap| !cap.declines()) {
            let over = bounded.room(cap, true, out).map_or(0, |room| share.units - room);
            if over > 0 {
                out.clips.push(Clip { source: cap.symbol, is_budget: false, units: over });
                share.units -= over;
                out.granted -= over;
            }
        }
    }
}

/// Moves the counters of rules' caps. What other bounds withheld is no rule's as long as there is anything else.
pub(super) fn count(bounded: &Bounded<'_>, shares: &mut [Share], out: &mut Decision) {
    let mut granted = out.granted;
    for (capped, share) in bounded.context.program.lines.capped.iter().zip(shares) {
        share.units = share.units.min(granted);
        granted -= share.units;
        for cap in &capped.caps {
            bounded.count_cap(cap, share.wanted(cap), out);
        }
    }
}

/// What a basket takes from the cell of a rule's cap, if it is the one of the present window; `None` where the name is no
/// such cap's.
pub(super) fn used(
    program: &Program,
    name: SymbolId,
    shares: &[Share],
    is_present: impl Fn(&Cap) -> bool,
) -> Option<i64> {
    program.lines.capped.iter().zip(shares).find_map(|(capped, share)| {
        let cap = capped.caps.iter().find(|cap| cap.symbol == name)?;
        Some(if is_present(cap) { share.wanted(cap) } else { 0 })
    })
}

impl Share {
    /// What counts for a cap of the rule: nothing where the rule gave nothing.
    fn wanted(&self, cap: &Cap) -> i64 {
        match cap.measure {
            CapMeasure::Units => self.units,
            CapMeasure::EarningBaskets => i64::from(self.units > 0),
            CapMeasure::EligibleAmount if self.units > 0 => self.amount_minor,
            CapMeasure::EligibleAmount => 0,
        }
    }
}
