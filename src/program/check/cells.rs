//! Shared cells: how many of them one command looks into.
//!
//! What must stay true: what passes holds up no other command for long.

use crate::limits::PROGRAM_CELLS_MAX;
use crate::program::file::ProgramFile;
use crate::program::problem::{Finding, Problems};
use crate::program::table::stated;

/// Reports the shared cap with which the cells that one command looks into become too many.
pub(super) fn check(file: &ProgramFile, problems: &mut Problems<'_>) {
    let caps = file.caps.iter().chain(file.caps_of_rules().map(|(_, cap)| cap));
    let caps = caps.filter(|cap| cap.subject.is_shared()).map(|cap| ("cap", &cap.name, cap.rolling));
    let budgets = file.budgets.iter().map(|budget| ("budget", &budget.name, budget.rolling));
    let mut count = 0;
    for (noun, name, rolling) in caps.chain(budgets) {
        let before = count;
        // The windows that can come together with the present one, before it and after it, and it.
        count += 2 * usize::from(rolling) - 1;
        if before <= PROGRAM_CELLS_MAX && count > PROGRAM_CELLS_MAX {
            let most = stated(i64::try_from(PROGRAM_CELLS_MAX).unwrap_or(i64::MAX));
            let message = format!(
                "with {noun} `{}` one basket looks into {count} shared counters, but {most} are the most",
                name.get_ref()
            );
            let hint = "bound fewer windows together: `rolling` = n looks into 2n - 1 of them";
            problems.push(Finding::error(&name.span(), message).hint(hint));
        }
    }
}
