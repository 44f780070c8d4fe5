//! Stamp cards: whether any line can ever give a stamp.
//!
//! What must stay true: a card that nothing can fill is an error; what it lists in vain is told.

use std::collections::HashSet;

use super::{excluded_values, key_of};
use crate::program::file::ProgramFile;
use crate::program::problem::{Finding, Problems};

pub(super) fn check(file: &ProgramFile, problems: &mut Problems<'_>) {
    let excluded = excluded_values(file);
    for card in &file.stamps {
        let Some((attribute, values)) = &card.matched else { continue };
        let (key, name) = (key_of(*attribute), card.name.get_ref());
        let mut seen = HashSet::new();
        for value in values.iter().filter(|value| !seen.insert(value.get_ref())) {
            let message = format!("{key} {:?} is listed twice", value.get_ref());
            problems.push(Finding::warning(&value.span(), message));
        }
        let line = |start: &usize| problems.line(*start);
        let found = values.iter().filter_map(|value| {
            let start = excluded.get(&(*attribute, value.get_ref().as_str()))?;
            Some((value, line(start)))
        });
        let found: Vec<_> = found.collect();
        let Some((value, line)) = found.first() else { continue };
        if found.len() == values.len() {
            let message = format!("stamp card `{name}` never fills: [earn] excludes every {key} that it counts");
            let hint = format!("line {line} excludes {:?}", value.get_ref());
            problems.push(Finding::error(&card.name.span(), message).hint(hint));
            continue;
        }
        for (value, line) in found {
            let message =
                format!("stamp card `{name}` never counts {key} {:?}: line {line} excludes it", value.get_ref());
            problems.push(Finding::warning(&value.span(), message));
        }
    }
}
