//! How often grants have crossed the warning levels of budgets since the process began.
//!
//! What must stay true: a crossing is counted by the one command whose use of the cell reaches the level, once; a level
//! that was left again, because units were given back, can be crossed again. Nothing is kept of a programme without
//! warning levels.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::ledger::decision::CellUse;
use crate::ledger::program::Program;
use crate::ledger::types::SymbolId;

/// The crossings of all budgets.
#[derive(Debug, Default)]
pub struct Crossings(Mutex<BTreeMap<(SymbolId, u8), u64>>);

impl Crossings {
    /// Counts what the uses of a decision crossed. Called while their cells are held.
    ///
    /// # Panics
    /// When another holder panicked.
    pub fn note(&self, program: &Program, uses: &[CellUse]) {
        for budget in program.budgets.iter().filter(|budget| !budget.warnings.is_empty()) {
            let is_of = |taken: &&CellUse| taken.cell.name == budget.symbol && taken.used > 0;
            let Some(taken) = uses.iter().find(is_of) else { continue };
            for percent in budget.crossed(taken) {
                *self.0.lock().expect("no holder panics").entry((budget.symbol, percent)).or_default() += 1;
            }
        }
    }

    /// How often a level, in percent, of the budget with this name was crossed.
    ///
    /// # Panics
    /// When another holder panicked.
    #[must_use]
    pub fn count(&self, budget: SymbolId, percent: u8) -> u64 {
        self.0.lock().expect("no holder panics").get(&(budget, percent)).copied().unwrap_or_default()
    }
}
