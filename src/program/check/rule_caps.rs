//! Caps of rules: what they could not mean, and how many there may be.
//!
//! What must stay true: what passes clips exactly the units of its rule; all caps of a file together are no more than
//! an account's decision can hold.

use crate::ledger::program::{BPS_ONE, CapMeasure, Rounding};
use crate::limits::PROGRAM_CAPS_MAX;
use crate::program::file::{CapEntry, EffectEntry, ProgramFile, RuleEntry};
use crate::program::problem::{Finding, Problems};
use crate::program::table::stated;

/// Reports what is wrong with the caps of rules.
pub(super) fn check(file: &ProgramFile, problems: &mut Problems<'_>) {
    if let Some((_, cap)) = file.caps_of_rules().nth(PROGRAM_CAPS_MAX.saturating_sub(file.caps.len())) {
        let message = format!("the caps of the programme and of its rules may be at most {PROGRAM_CAPS_MAX} together");
        problems.push(Finding::error(&cap.name.span(), message));
    }
    let carries = file.earn.as_ref().is_some_and(|earn| earn.rounding == Rounding::Carry);
    for (rule, cap) in file.caps_of_rules() {
        let (name, owner) = (cap.name.get_ref(), rule.name.get_ref());
        if rule.multiplier().is_some_and(|bps| *bps.get_ref() <= BPS_ONE) {
            let message = format!("cap `{name}` bounds nothing: rule `{owner}` gives no more than the base rate");
            let hint = "a rule's cap bounds what the rule gives beyond what a basket would earn without it";
            problems.push(Finding::error(&cap.name.span(), message).hint(hint));
        }
        if carries && cap.measure == CapMeasure::Units {
            let message = format!("cap `{name}` counts units of rule `{owner}`, but what is carried is no rule's");
            let hint = "round in another way, or have the cap count earning-baskets or eligible-amount";
            problems.push(Finding::error(&cap.name.span(), message).hint(hint));
        }
        check_small(rule, cap, problems);
    }
}

/// Warns of a cap that never lets a rule's fixed units through whole.
fn check_small(rule: &RuleEntry, cap: &CapEntry, problems: &mut Problems<'_>) {
    let EffectEntry::Fixed { units, .. } = &rule.effect else { return };
    let (limit, units) = (*cap.limit.get_ref(), *units.get_ref());
    if cap.measure == CapMeasure::Units && limit > 0 && limit < units {
        let message = format!(
            "cap `{}` of {} is below the {} units of its rule `{}`, which are never given whole",
            cap.name.get_ref(),
            stated(limit),
            stated(units),
            rule.name.get_ref()
        );
        let hint = format!("raise the limit to {} at least, or have the rule give less", stated(units));
        problems.push(Finding::warning(&cap.limit.span(), message).hint(hint));
    }
}
