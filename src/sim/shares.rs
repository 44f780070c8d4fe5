//! Caps of single rules, naively: what each rule gives a basket, and what its caps leave of it.
//!
//! What must stay true: nothing of `ledger` is called. A rule gives what the basket earns with it beyond what it would
//! earn without it; of several rules with caps one after the other is taken away, in the order of the file.

use std::collections::BTreeSet;

use super::bounds::{Bought, CapRule, Over};
use super::facts::{Earning, Purchase, Verdict};
use super::judge::{Event, Lines, basket_units, earning};
use super::model::Broken;
use super::rewards::WhenRule;
use super::rooms::Rooms;
use super::rules::Measure;

/// What a rule with caps has to do with a basket.
#[derive(Clone, Copy, Debug, Default)]
pub struct Share {
    /// The rule.
    pub rule: u32,
    /// It counts for a line.
    pub counts: bool,
    /// Units that it gives.
    pub units: i64,
    /// The amount of the lines for which it counts.
    pub amount: i64,
}

impl Share {
    /// What counts for one of the rule's caps: nothing where the rule gave nothing.
    #[must_use]
    pub fn wanted(&self, cap: &CapRule) -> i64 {
        match cap.measure {
            Measure::Units => self.units,
            Measure::EarningBaskets => i64::from(self.units > 0),
            Measure::EligibleAmount if self.units > 0 => self.amount,
            Measure::EligibleAmount => 0,
        }
    }
}

/// What a basket's lines earn.
pub struct Judged {
    /// Per line, what it earns by and what counts beside that.
    pub lines: Lines,
    /// Units of all lines.
    pub units: i64,
    /// What is left over.
    pub left: i128,
    /// What is each rule's that has caps, in the order of the file.
    pub shares: Vec<Share>,
}

/// Judges the lines of a basket, again and again without rules of which a cap has nothing left, or too little for all that
/// they give. Of several of the latter the one is left out whose name in the file comes first.
///
/// # Errors
/// When the rooms are not those of the cells that caps look into.
pub fn judge_lines(
    event: &Event<'_>,
    basket: Bought<'_>,
    holds: &dyn Fn(&WhenRule) -> bool,
    mut rooms: Option<&mut Rooms<'_>>,
    verdict: &mut Verdict,
) -> Result<Judged, Broken> {
    let (rules, purchase) = (event.rules, basket.purchase);
    let capped: Vec<u32> =
        (0..).zip(&rules.line_rules).filter(|(_, rule)| !rule.caps.is_empty()).map(|(index, _)| index).collect();
    let mut used_up = BTreeSet::new();
    loop {
        let line = |line: &super::facts::PurchaseLine| {
            earning(rules, &line.attributes, holds, &|rule| used_up.contains(&rule))
        };
        let lines: Lines = purchase.lines.iter().map(line).collect();
        let (units, left) = basket_units(rules, purchase, &lines, event.standing().0, event.remainder());
        let shares = divide(event, purchase, holds, &capped, &lines, units);
        let mut look = |lacks: &dyn Fn(&Share, &CapRule, i64) -> bool| -> Result<Vec<(u32, &'static str)>, Broken> {
            let mut found = Vec::new();
            for share in shares.iter().filter(|share| share.counts) {
                for cap in &rules.line_rules[share.rule as usize].caps {
                    let room = cap.room(event, Some(basket), rooms.as_deref_mut(), verdict)?;
                    if room.is_some_and(|room| lacks(share, cap, room)) {
                        found.push((share.rule, cap.name));
                        break;
                    }
                }
            }
            Ok(found)
        };
        // First all of which a cap is full. Without these it is seen anew what each of the others gives.
        let mut found = look(&|_, _, room| room == 0)?;
        if found.is_empty() {
            found = look(&|share, cap, room| cap.over == Over::Decline && share.wanted(cap) > room)?;
            found.sort_by_key(|(rule, _)| format!("rule-{rule}"));
            found.truncate(1);
        }
        if found.is_empty() {
            return Ok(Judged { lines, units, left, shares });
        }
        for (rule, cap) in found {
            used_up.insert(rule);
            verdict.clips.push((cap.into(), false, 0));
        }
    }
}

/// Whether a rule counts for a line.
fn counts(line: &(Earning, Vec<u32>), rule: u32) -> bool {
    line.0 == Earning::Rule(rule) || line.1.contains(&rule)
}

fn divide(
    event: &Event<'_>,
    purchase: &Purchase,
    holds: &dyn Fn(&WhenRule) -> bool,
    capped: &[u32],
    lines: &Lines,
    units: i64,
) -> Vec<Share> {
    let (mut with, mut undivided) = (units, units);
    let mut shares = Vec::new();
    for rule in capped {
        let own = lines.iter().zip(&purchase.lines).filter(|(line, _)| counts(line, *rule));
        let own: Vec<i64> = own.map(|(_, bought)| bought.amount_minor).collect();
        let mut share = Share { rule: *rule, counts: !own.is_empty(), units: 0, amount: own.iter().sum() };
        if share.counts {
            let without: Lines = lines
                .iter()
                .zip(&purchase.lines)
                .map(|(line, bought)| {
                    // Rules with caps that do not count for the line do not stand in for one that is taken away.
                    let is_away = |other: u32| capped.contains(&other) && (other <= *rule || !counts(line, other));
                    earning(event.rules, &bought.attributes, holds, &is_away)
                })
                .collect();
            let (rest, _) = basket_units(event.rules, purchase, &without, event.standing().0, event.remainder());
            share.units = (with - rest).clamp(0, undivided);
            undivided -= share.units;
            with = rest;
        }
        shares.push(share);
    }
    shares
}

/// Clips what the caps of rules have no room for.
///
/// # Errors
/// When the rooms are not those of the cells that caps look into.
pub fn clip_shares(
    event: &Event<'_>,
    basket: Option<Bought<'_>>,
    mut rooms: Option<&mut Rooms<'_>>,
    shares: &mut [Share],
    verdict: &mut Verdict,
) -> Result<(), Broken> {
    for share in shares.iter_mut().filter(|share| share.counts) {
        for cap in event.rules.line_rules[share.rule as usize].caps.iter().filter(|cap| cap.over == Over::Clip) {
            let room = cap.room(event, basket, rooms.as_deref_mut(), verdict)?;
            let over = room.map_or(0, |room| share.units - room);
            if over > 0 {
                verdict.clips.push((cap.name.into(), false, over));
                share.units -= over;
                verdict.granted -= over;
            }
        }
    }
    Ok(())
}

/// What other bounds withheld is no rule's as long as there is anything else.
pub fn settle(shares: &mut [Share], mut granted: i64) {
    for share in shares {
        share.units = share.units.min(granted);
        granted -= share.units;
    }
}
