//! Counts what records show, so that a test can say which situations the simulation has come to.
//!
//! What must stay true: nothing is judged here.

use std::collections::BTreeMap;

use super::SimReport;
use super::bounds::{CapRule, Over, Subject};
use super::facts::{Action, Posting, Verdict};
use super::holds::AsideChange;
use super::lots::LotMove;
use super::model::Model;
use super::money::GoneBack;
use super::rules::{CASH, Measure, Rules, Window};
use super::unburns;
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
    if let Action::Accrue { purchase, .. } = &posting.action
        && model.receipts.contains_key(&purchase.receipt(&posting.partner))
    {
        report.reach("a receipt earned again after a reversal");
    }
    if verdict.refusal.is_none() {
        report.reach(kind_of(&posting.action));
    }
    if posting.named_by.is_some() {
        report.reach("an account was named by an identifier");
    }
    if verdict.owed < 0 && !matches!(posting.action, Action::Reverse { .. }) {
        report.reach("a debt was collected");
    }
    if verdict.balance_after < 0 {
        report.reach("a balance below zero was shown");
    }
    note_reviews(report, posting, model);
    note_asides(report, verdict);
    note_money(report, posting);
    if posting.action == Action::Expire && !verdict.ended.is_empty() {
        report.reach("a sweep posted the end of an authorization");
    }
    note_returns(report, posting, model);
    unburns::note(report, posting, model);
    note_caps(report, verdict, model);
    note_terms(report, posting, model);
    note_rewards(report, posting, model);
    super::stamps::situations(posting, None).into_iter().for_each(|situation| report.reach(situation));
    for situation in super::watch::situations(posting, model).into_iter().chain(super::vouchers::situations(posting)) {
        report.reach(situation);
    }
}

/// Every kind of command there is, by what came of it.
fn kind_of(action: &Action) -> &'static str {
    match action {
        Action::Accrue { .. } => "a purchase earned or was judged",
        Action::Reverse { .. } => "something was reversed",
        Action::Redeem { .. } => "units were redeemed",
        Action::Take(_) => "units were redeemed for a reward",
        Action::Act { .. } => "an activity was judged",
        Action::Enrol { .. } => "an account was enrolled",
        Action::Load { .. } => "an opening balance was loaded",
        Action::Review { releases: true, .. } => "held units were released",
        Action::Review { releases: false, .. } => "held units were rejected",
        Action::Restore { .. } => "dead units came back",
        Action::Adjust { units: 1.., .. } => "an operator granted units",
        Action::Adjust { .. } => "an operator took units",
        Action::Link { links: true, .. } => "an identifier was linked",
        Action::Link { links: false, .. } => "an identifier was unlinked",
        Action::Authorize { .. } => "units were set aside",
        Action::Capture { .. } => "units that were set aside were captured",
        Action::Void { .. } => "an authorization was voided",
        Action::TopUp(_) => "money was paid in",
        Action::Voucher(_) => "vouchers were given or cancelled by hand",
        Action::Refund(GoneBack { units: Some(_), .. }) => "a part of what was paid in went back",
        Action::Refund(_) => "what was left of a top-up went back",
        Action::Expire => "a sweep posted what had died",
    }
}

/// Counts what a record shows of parts that come back.
fn note_returns(report: &mut SimReport, posting: &Posting, model: &Model) {
    let (Action::Reverse { original, lines, .. }, None) = (&posting.action, posting.verdict.refusal) else { return };
    let Some(bought) = model.posted(&posting.partner, original) else { return };
    let Ok(part) = model.part_of(bought, lines) else { return };
    let is_further = model.returned.contains_key(&(posting.partner.clone(), original.clone()));
    if !lines.is_empty() {
        report.reach("a line was returned");
    }
    if is_further && part.after.is_gone {
        report.reach("everything came back in pieces");
    }
    if !part.after.is_gone {
        let has_clips = bought.verdict.clips.iter().any(|(_, _, units)| *units > 0);
        report.reach(match (has_clips, bought.verdict.over_velocity.is_some()) {
            (true, _) => "a clipped basket was returned in part",
            (false, true) => "a denied basket was returned in part",
            (false, false) => "a basket was returned in part",
        });
    }
    if posting.decision.effects.remainder.is_some() {
        report.reach("what was carried came back");
    }
    let judged_by = rules_of(model, &bought.verdict);
    let of_cards = judged_by.map(|rules| super::stamps::situations(posting, Some((rules, bought, &part.after))));
    of_cards.into_iter().flatten().for_each(|situation| report.reach(situation));
    if posting.verdict.owed > 0 {
        report.reach("a return left a debt");
    }
}

/// Counts what a record shows of what is held.
fn note_reviews(report: &mut SimReport, posting: &Posting, model: &Model) {
    let verdict = &posting.verdict;
    if verdict.held.as_ref().is_some_and(|(_, _, cap)| cap.is_some()) {
        let of_activity = matches!(posting.action, Action::Act { .. });
        report.reach(if of_activity { "an activity was held" } else { "a basket was held" });
    }
    match &posting.action {
        Action::Reverse { original, .. } if verdict.held.is_some() => {
            report.reach("a reversal ended a hold");
            let posted = model.posted(&posting.partner, original);
            if posted.is_some_and(|posted| posted.uses.iter().any(|taken| taken.used > 0)) {
                report.reach("a reversal of what was held gave room back");
            }
        }
        Action::Reverse { original, .. }
            if model.released.contains_key(&(posting.partner.clone(), original.clone())) =>
        {
            report.reach("what was released was reversed");
        }
        Action::Review { releases: true, .. } if verdict.lots.is_empty() => {
            report.reach("a release came when the units had died");
        }
        _ => {}
    }
}

/// Counts what a record shows of money.
fn note_money(report: &mut SimReport, posting: &Posting) {
    let is_money = posting.verdict.wallet == CASH;
    match (&posting.action, posting.verdict.refusal) {
        (Action::Redeem { .. } | Action::Capture { .. }, None) if is_money => report.reach("money was spent"),
        (Action::Refund(_), Some(_)) => report.reach("what was spent could not go back"),
        _ => {}
    }
}

/// Counts what a record shows of what is set aside.
fn note_asides(report: &mut SimReport, verdict: &Verdict) {
    if !verdict.ended.is_empty() {
        report.reach("the time of an authorization ran out");
    }
    let Some((_, change)) = &verdict.aside else { return };
    match change {
        AsideChange::Captures(_, _, _, false) => report.reach("an authorization was captured in part"),
        AsideChange::Captures(_, _, 0, true) => report.reach("an authorization was captured to its end"),
        AsideChange::Captures(_, _, _, true) => report.reach("a final capture gave units back"),
        AsideChange::Voids(1.., _) => report.reach("a void gave back what captures had left"),
        AsideChange::Begins(_) | AsideChange::Voids(..) => {}
    }
    let died = |pair: &[LotMove]| pair[0].is(Movement::GiveBack) && pair[1].is(Movement::Expire);
    if verdict.lots.windows(2).any(died) {
        report.reach("what was given back died at once");
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
    if let (Action::Reverse { original, .. }, None, true) = (&posting.action, model.burn_of(posting), is_granted) {
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

/// Counts which kinds of caps withheld something or held it.
fn note_caps(report: &mut SimReport, verdict: &Verdict, model: &Model) {
    let Some(rules) = rules_of(model, verdict) else { return };
    let clipped: Vec<&str> = verdict.clips.iter().map(|(name, _, _)| &**name).collect();
    let holding = verdict.held.as_ref().and_then(|(_, _, cap)| cap.as_deref());
    let struck = |name: &str| clipped.contains(&name) || verdict.over_velocity.as_deref() == Some(name);
    for cap in rules.caps.iter().filter(|cap| struck(cap.name) || holding == Some(cap.name)) {
        note_cap(report, cap, holding == Some(cap.name));
    }
    for cap in rules.line_rules.iter().flat_map(|rule| &rule.caps).filter(|cap| struck(cap.name)) {
        report.reach(match cap.subject {
            Subject::Account => "a rule's cap of an account struck",
            Subject::Member => "a rule's cap of a member struck",
            Subject::Store => "a rule's cap of a store struck",
            _ => "a rule's cap of the whole programme struck",
        });
        let left_out = verdict.clips.iter().any(|(name, _, units)| **name == *cap.name && *units == 0);
        report.reach(if left_out { "a rule did not count for its cap" } else { "a rule's cap clipped" });
    }
    for budget in rules.budgets.iter().filter(|budget| clipped.contains(&budget.name)) {
        report.reach(match (budget.window, budget.rolling) {
            (Window::Lifetime, _) => "a budget in all clipped",
            (_, 1) => "a budget of a window clipped",
            _ => "a rolling budget clipped",
        });
    }
    for (of, count) in windows_named(verdict) {
        if count > 1 {
            let is_capped = rules.caps.iter().any(|cap| cap.name == of);
            report.reach(if is_capped {
                "a shared cap saw other windows"
            } else {
                "a rule or budget saw other windows"
            });
        }
    }
}

/// How many windows of each counter a record names.
fn windows_named(verdict: &Verdict) -> BTreeMap<&str, usize> {
    let mut named = BTreeMap::new();
    for (cell, _) in &verdict.taken {
        *named.entry(cell.split('|').next().unwrap_or_default()).or_default() += 1;
    }
    named
}

fn note_cap(report: &mut SimReport, cap: &CapRule, holds: bool) {
    report.reach(match (cap.subject, cap.rolling > 1) {
        (Subject::Account, false) => "an account's cap struck",
        (Subject::Account, true) => "a rolling cap struck",
        (Subject::Member, false) => "a member's cap struck",
        (Subject::Member, true) => "a rolling cap of members struck",
        (Subject::Store, false) => "a store's cap struck",
        (Subject::Store, true) => "a rolling cap of a store struck",
        (Subject::Terminal, false) => "a till's cap struck",
        (Subject::Terminal, true) => "a rolling cap of a till struck",
        (Subject::Cashier, _) => "a cashier's cap struck",
        (Subject::Partner, false) => "a partner's cap struck",
        (Subject::Partner, true) => "a rolling cap of a partner struck",
        (Subject::Programme, false) => "a cap of the whole programme struck",
        (Subject::Programme, true) => "a rolling cap of the whole programme struck",
    });
    report.reach(match (cap.measure, cap.over) {
        (Measure::Units, Over::Clip) => "a cap on units clipped",
        (Measure::Units, Over::Decline) => "a cap declined what it could have clipped",
        (Measure::Units, Over::Hold) => "a cap on units held",
        (Measure::EarningBaskets, Over::Hold) => "a cap on baskets held",
        (Measure::EarningBaskets, _) => "a cap on baskets struck",
        (Measure::EligibleAmount, Over::Hold) => "a cap on amounts held",
        (Measure::EligibleAmount, _) => "a cap on amounts struck",
    });
    if holds && !cap.subject.is_own() {
        report.reach("a shared cap held");
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
    if let Action::Reverse { original, .. } = &posting.action
        && let Some(accrual) = model.posted(&posting.partner, original)
        && let Some(granted) = accrual.verdict.lots.iter().find(|change| change.is(Movement::Grant))
        && granted.lot.inactive_days > 0
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
    if let (Action::Accrue { purchase, .. }, None) = (&posting.action, verdict.refusal)
        && let Some((_, rules)) = model.version_at(posting.posted_at)
        && posting.posted_at - purchase.receipt_at > rules.late_limit_days * 86_400_000_000_000
    {
        report.reach("a receipt came later than the version in force lets in");
    }
    // Of burned units that come back, what died of them is told elsewhere.
    if verdict.gone > 0 && verdict.owed >= 0 {
        report.reach("a return found units dead");
        if verdict.granted < 0 || verdict.owed > 0 {
            report.reach("a return found units dead, and took others");
        }
    }
    if verdict.variants.iter().any(|variant| *variant > 0) {
        report.reach("an account was in a variant");
    }
    let first = rules_of(model, verdict).and_then(|rules| rules.levels.first());
    if verdict.level.zip(first).is_some_and(|((level, spent), (threshold, _))| level > 0 && spent < *threshold) {
        report.reach("a level was kept that was not reached again");
    }
}
