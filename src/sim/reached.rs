//! Counts what records show, so that a test can say which situations the simulation has come to.
//!
//! What must stay true: nothing is judged here.

use super::SimReport;
use super::bounds::Subject;
use super::facts::{Action, Posting, Verdict};
use super::model::Model;
use super::rules::{Measure, Rules};
use crate::ledger::decision::Movement;

/// Counts what a record shows.
pub fn note(report: &mut SimReport, posting: &Posting, model: &Model) {
    let verdict = &posting.verdict;
    if let Some(refusal) = verdict.refusal {
        report.reach("a refusal was journaled");
        report.reach(refusal.sentence());
    }
    if verdict.over_velocity.is_some() {
        report.reach("a velocity cap struck");
    }
    for (_, is_budget, _) in &verdict.clips {
        report.reach(if *is_budget { "a budget clipped" } else { "a cap clipped" });
    }
    match &posting.action {
        Action::Accrue { purchase, .. } => {
            if model.receipts.contains_key(&purchase.receipt(&posting.partner)) {
                report.reach("a receipt earned again after a reversal");
            }
        }
        Action::Expire => report.reach("a sweep posted what had died"),
        Action::Load { .. } => report.reach("an opening balance was loaded"),
        Action::Reverse { .. } | Action::Redeem { .. } | Action::Act { .. } | Action::Enrol { .. } => {}
    }
    note_caps(report, verdict, model);
    note_terms(report, posting, model);
    note_rewards(report, posting, model);
    for situation in super::watch::situations(posting, model) {
        report.reach(situation);
    }
}

/// Counts what a record shows of redemptions, reversals and rewards.
fn note_rewards(report: &mut SimReport, posting: &Posting, model: &Model) {
    let verdict = &posting.verdict;
    let moves = |movement| verdict.lots.iter().filter(move |change| change.is(movement)).count();
    let is_granted = verdict.refusal.is_none();
    if moves(Movement::Burn) > 1 {
        report.reach("a redemption burned several lots");
    }
    if moves(Movement::Expire) > 0 && posting.action != Action::Expire {
        report.reach("a command posted what had died");
    }
    if let (Action::Reverse { original }, true) = (&posting.action, is_granted) {
        report.reach("an accrual was reversed");
        let undone = model.posted(&posting.partner, original).map_or(0, |accrual| accrual.verdict.granted);
        if verdict.granted != -undone {
            report.reach("a reversal took nothing for what had died");
        }
        if moves(Movement::Reverse) > 1 {
            report.reach("a reversal took from other lots");
        }
    }
    if !verdict.bonuses.is_empty() {
        let of_activity = matches!(posting.action, Action::Act { .. });
        report.reach(if of_activity { "an activity earned a bonus" } else { "a basket earned a bonus" });
    }
    if !verdict.stacked.is_empty() {
        report.reach("rules went together on a line");
    }
    if verdict.level.is_some_and(|(level, _)| level > 0) {
        report.reach("a level above the first judged");
    }
    if verdict.segments.iter().any(|(_, joined)| !joined) {
        report.reach("an account left a segment");
    }
}

fn rules_of<'m>(model: &'m Model, verdict: &Verdict) -> Option<&'m Rules> {
    let index = usize::try_from(verdict.program).ok()?.checked_sub(1)?;
    model.versions.get(index).map(|(_, rules)| rules)
}

/// Counts which kinds of caps withheld something.
fn note_caps(report: &mut SimReport, verdict: &Verdict, model: &Model) {
    let Some(rules) = rules_of(model, verdict) else { return };
    let clipped = verdict.clips.iter().map(|(name, _, _)| name);
    for cap in rules.caps.iter().filter(|cap| clipped.clone().chain(&verdict.over_velocity).any(|n| **n == *cap.name)) {
        if cap.rolling > 1 {
            report.reach("a rolling cap struck");
        }
        match cap.subject {
            Subject::Account => {}
            Subject::Store => report.reach("a store's cap struck"),
            Subject::Terminal => report.reach("a till's cap struck"),
            Subject::Cashier => report.reach("a cashier's cap struck"),
            Subject::Partner => report.reach("a partner's cap struck"),
            Subject::Programme => report.reach("a cap of the whole programme struck"),
        }
        match cap.measure {
            Measure::Units if cap.declines => report.reach("a cap declined what it could have clipped"),
            Measure::EligibleAmount => report.reach("a cap on amounts struck"),
            Measure::Units | Measure::EarningBaskets => {}
        }
    }
}

/// Counts what a record shows of the terms of units, of versions and of what is carried.
fn note_terms(report: &mut SimReport, posting: &Posting, model: &Model) {
    let verdict = &posting.verdict;
    if verdict.lots.iter().any(|change| change.is(Movement::Grant) && change.lot.available_from > 0) {
        report.reach("pending units were granted");
    }
    if verdict.lots.iter().any(|change| change.is(Movement::Extend)) {
        report.reach("the death of units was put off");
    }
    if let Action::Reverse { original } = &posting.action
        && let Some(accrual) = model.posted(&posting.partner, original)
        && let Some(granted) = accrual.verdict.lots.iter().find(|change| change.is(Movement::Grant))
        && granted.lot.is_extended
        && verdict.lots.iter().any(|change| change.is(Movement::Reverse) && change.lot.dies > granted.lot.dies)
    {
        report.reach("a reversal took units whose death was put off");
    }
    if let (Action::Redeem { units, .. }, Some(_)) = (&posting.action, verdict.refusal)
        && verdict.balance_after >= *units
    {
        report.reach("a redemption was refused for what is pending");
    }
    if posting.decision.effects.remainder.is_some() {
        report.reach("a basket left something over");
    }
    let in_force = model.version_at(posting.posted_at).map_or(0, |(version, _)| version);
    if matches!(posting.action, Action::Accrue { .. }) && verdict.program < in_force {
        report.reach("a late receipt was judged by an earlier version");
    }
    if verdict.variants.iter().any(|variant| *variant > 0) {
        report.reach("an account was in a variant");
    }
    let first = rules_of(model, verdict).and_then(|rules| rules.levels.first());
    if verdict.level.zip(first).is_some_and(|((level, spent), (threshold, _))| level > 0 && spent < *threshold) {
        report.reach("a level was kept that was not reached again");
    }
}
