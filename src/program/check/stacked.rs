//! Rules that count together: how many of them one line can meet.
//!
//! What must stay true: the record of the largest basket fits a frame of the journal, whatever its lines carry. Neither
//! conditions nor exclusions are considered: what is refused could only be too much, what passes never is.

use std::collections::{HashMap, HashSet};

use super::Value;
use crate::ledger::program::{Attribute, Stacking};
use crate::limits::LINE_RULES_MAX;
use crate::program::file::ProgramFile;
use crate::program::problem::{Finding, Problems};

/// Reports the rule with which those that can count for one line, beside the one by which it earns, become too many.
pub(super) fn check(file: &ProgramFile, problems: &mut Problems<'_>) {
    let mut counts: HashMap<Value<'_>, usize> = HashMap::new();
    // A line has one value of an attribute: the most rules that any of them meets.
    let mut most: HashMap<Attribute, usize> = HashMap::new();
    let mut everywhere = 0;
    for rule in file.rules.iter().filter(|rule| matches!(rule.stacking, Stacking::Add | Stacking::Multiply)) {
        if let Some((attribute, values)) = &rule.matched {
            let mut seen = HashSet::new();
            for value in values.iter().map(|value| value.get_ref().as_str()) {
                if !seen.insert(value) {
                    continue;
                }
                let count = counts.entry((*attribute, value)).or_default();
                *count += 1;
                let largest = most.entry(*attribute).or_default();
                *largest = (*largest).max(*count);
            }
        } else {
            everywhere += 1;
        }
        let together = everywhere + most.values().sum::<usize>();
        if together > LINE_RULES_MAX {
            let message = format!(
                "with rule `{}` {together} rules can count for one line beside the one by which it earns, but \
                 {LINE_RULES_MAX} are the most",
                rule.name.get_ref()
            );
            let hint = "let fewer rules that add, multiply or give fixed units match the same lines: conditions are not \
                        considered";
            problems.push(Finding::error(&rule.name.span(), message).hint(hint).came_later());
            return;
        }
    }
}
