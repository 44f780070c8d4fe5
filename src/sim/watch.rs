//! Watches the shared cells of one life of the ledger, use by use, and so knows exactly what room every command must
//! find: the limit, less what was used up to then, less what was given back by records that were not durable yet.
//!
//! Uses are seen as they are decided, before anyone knows whether they become durable, because those that a crash takes
//! back have used up room as well.
//!
//! What must stay true: each command is followed by one look; a use that is seen here and journaled says there what it
//! said here.

use std::collections::{BTreeMap, BTreeSet};

use super::catalogue::situation_of;
use super::facts::{Action, Name, Posting, Use, cell_name_of};
use super::model::{Broken, Model, must};
use super::rules::CellBound;
use crate::cells::Cells;
use crate::journal::dictionary::Dictionary;

#[derive(Clone, Debug)]
struct Seen {
    used: i64,
    /// Units that could not be taken when the use was decided.
    taken_before: i64,
    /// Other windows of the same counter of which something was used then.
    others: Vec<i32>,
}

#[derive(Clone, Debug, Default)]
struct Watched {
    version: u64,
    used: i64,
    /// Given back by records whose commit is not processed.
    returning: i64,
    uses: BTreeMap<u64, Seen>,
    /// Uses of this life that no durable record holds yet.
    undurable: BTreeSet<u64>,
}

/// What a look at a cell shows: the number of its last use, and the units that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glance {
    /// The last use.
    pub version: u64,
    /// Used, or given back and not usable yet.
    pub taken: i64,
}

/// The cells of one life of the ledger.
#[derive(Debug, Default)]
pub struct CellWatch {
    cells: BTreeMap<Name, Watched>,
    /// Sees nothing: what is wrong with the cells must show from outside.
    is_blind: bool,
}

impl CellWatch {
    /// A life that begins with what is durable.
    #[must_use]
    pub fn begin(cells: &Cells, dictionary: &Dictionary, model: &Model, is_blind: bool) -> Self {
        let watched = cells.copy().into_iter().map(|(id, cell)| {
            let name = cell_name_of(dictionary, id);
            // What is left of a window that is over may be less than all that was used.
            let used = if id.is_whole() { model.used(&name) } else { cell.used };
            let watched = Watched { version: cell.version, used, ..Watched::default() };
            (name, watched)
        });
        Self { cells: watched.collect(), is_blind }
    }

    /// Looks at the cells after one command.
    ///
    /// # Errors
    /// When more happened than one use, or something without a use.
    pub fn look(&mut self, cells: &Cells, dictionary: &Dictionary) -> Result<(), Broken> {
        if self.is_blind {
            return Ok(());
        }
        let mut looked = Vec::new();
        for (id, cell) in cells.copy() {
            let name = cell_name_of(dictionary, id);
            if self.cells.get(&name).is_none_or(|watched| watched.version != cell.version) {
                looked.push((name.clone(), self.others(&name)));
            }
            let watched = self.cells.entry(name.clone()).or_default();
            // Forgotten, and begun again by a reversal that came late, perhaps not the first that did.
            let is_other = (cell.used, cell.withheld) != (watched.used, watched.returning);
            let is_again = cell.version == 1 && watched.version == 1 && cell.used < 0 && is_other;
            if !id.is_whole() && (cell.version < watched.version || is_again) {
                *watched = Watched::default();
            }
            if cell.version != watched.version {
                must!(cell.version == watched.version + 1, "cell {name} is used once by one command");
                let used = cell.used - watched.used;
                let taken_before = watched.used + watched.returning;
                watched.uses.insert(cell.version, Seen { used, taken_before, others: Vec::new() });
                watched.undurable.insert(cell.version);
                watched.version = cell.version;
                watched.used = cell.used;
                watched.returning += (-used).max(0);
            }
            must!(cell.used == watched.used, "cell {name} has {watched:?} and not {cell:?}");
            must!(
                cell.withheld == watched.returning,
                "cell {name} withholds {} until it is durable, not {}",
                watched.returning,
                cell.withheld
            );
        }
        for (name, others) in looked {
            let newest = self.cells.get_mut(&name).and_then(|watched| watched.uses.last_entry());
            if let Some(mut newest) = newest {
                newest.get_mut().others = others;
            }
        }
        Ok(())
    }

    /// The windows of the same counter, but for this one, of which something is used.
    fn others(&self, cell: &str) -> Vec<i32> {
        let Some((of, now)) = window_of(cell) else { return Vec::new() };
        let same = self.cells.range(Name::from(format!("{of}|"))..).take_while(|(name, _)| name.starts_with(of));
        let used = same.filter(|(_, watched)| watched.used + watched.returning > 0);
        let periods = used.filter_map(|(name, _)| window_of(name).filter(|(name, _)| *name == of));
        periods.map(|(_, period)| period).filter(|period| *period != now).collect()
    }

    /// The commit of a record was processed: what it gave back can be used.
    pub fn processed(&mut self, posting: &Posting) {
        for taken in posting.uses.iter().filter(|taken| taken.used < 0) {
            if let Some(watched) = self.cells.get_mut(&taken.cell) {
                watched.returning += taken.used;
            }
        }
    }

    /// A record that is durable says of its uses what was seen when it was decided.
    ///
    /// # Errors
    /// What was expected.
    pub fn durable(&mut self, posting: &Posting, model: &Model) -> Result<(), Broken> {
        // What a refusal saw, the model judges by, and verification.
        if self.is_blind || posting.verdict.refusal.is_some() {
            return Ok(());
        }
        for taken in &posting.uses {
            let seen = self.cells.get(&taken.cell).and_then(|watched| watched.uses.get(&taken.version)).cloned();
            let Some(seen) = seen else {
                return Err(format!("use {} of cell {} was seen when it was decided", taken.version, taken.cell));
            };
            // Where units are given back there is no question of room.
            let is_return = matches!(posting.action, Action::Reverse { .. } | Action::Review { .. });
            if !is_return && taken.used > 0 {
                check_others(posting, taken, &seen, bound_of(model, posting.verdict.program, &taken.cell))?;
            }
            let room = if is_return { 0 } else { limit_of(model, posting.verdict.program, taken) - seen.taken_before };
            must!(
                (taken.used, taken.room) == (seen.used, room),
                "use {} of cell {} found room for {room} and took {}, not {taken:?}",
                taken.version,
                taken.cell,
                seen.used
            );
            if let Some(watched) = self.cells.get_mut(&taken.cell) {
                watched.undurable.remove(&taken.version);
            }
        }
        Ok(())
    }

    /// Whether nothing of the cells is seen.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        self.is_blind
    }

    /// What every cell shows now, for a quote that is being decided.
    #[must_use]
    pub fn glance(&self) -> BTreeMap<Name, Glance> {
        let glance = |watched: &Watched| Glance { version: watched.version, taken: watched.used + watched.returning };
        self.cells.iter().map(|(name, watched)| (name.clone(), glance(watched))).collect()
    }

    /// The first use of this life up to the given one that no durable record holds.
    #[must_use]
    pub fn first_undurable(&self, cell: &str, version: u64) -> Option<u64> {
        let first = self.cells.get(cell)?.undurable.first().copied()?;
        (first <= version).then_some(first)
    }
}

/// A record that takes from a window names every other window that is bounded together with it and had given something.
fn check_others(posting: &Posting, taken: &Use, seen: &Seen, bound: Option<CellBound>) -> Result<(), Broken> {
    let (Some((of, now)), Some(bound)) = (window_of(&taken.cell), bound) else { return Ok(()) };
    let reach = (bound.together.count - 1) * bound.together.step;
    for period in seen.others.iter().filter(|period| (**period - now).abs() <= reach) {
        let name = format!("{of}|{period}");
        let is_named = posting.uses.iter().any(|other| *other.cell == *name);
        must!(is_named, "the record at {} that takes from {} names {name}", posting.position, taken.cell);
    }
    Ok(())
}

/// The limit of a cell in a version of the programme.
#[must_use]
pub fn limit_of(model: &Model, version: u32, taken: &Use) -> i64 {
    bound_of(model, version, &taken.cell).map_or(0, |bound| bound.limit)
}

fn bound_of(model: &Model, version: u32, cell: &str) -> Option<CellBound> {
    let rules = model.versions.get(version as usize - 1).map(|(_, rules)| rules);
    rules.and_then(|rules| rules.bound_of(cell))
}

/// A cell as the window of which counter it is, and of whom, and which window.
fn window_of(cell: &str) -> Option<(&str, i32)> {
    let (of, period) = cell.rsplit_once('|')?;
    Some((of, period.parse().ok()?))
}

/// What a record shows of shared cells.
#[must_use]
pub fn situations(posting: &Posting, model: &Model) -> Vec<&'static str> {
    if posting.verdict.refusal.is_some() {
        return if posting.uses.is_empty() { Vec::new() } else { vec!["a refusal had looked into shared cells"] };
    }
    let rules = model.versions.get((posting.verdict.program as usize).saturating_sub(1)).map(|(_, rules)| rules);
    let has_places = |cell: &str| {
        rules.is_some_and(|rules| rules.bonuses.iter().any(|bonus| bonus.name == cell && bonus.places.is_some()))
    };
    let has_stock = |cell: &str| rules.is_some_and(|rules| rules.reward(cell).is_some());
    let is_clipped = |cell: &str| posting.verdict.clips.iter().any(|(name, _, _)| cell.split('|').next() == Some(name));
    let of_use = |taken: &Use| match (taken.cell.contains('|'), has_places(&taken.cell), taken.used < 0) {
        _ if has_stock(&taken.cell) => situation_of(taken.used, taken.room),
        (true, _, true) => "units went back to a shared cap",
        (true, ..) if is_clipped(&taken.cell) => "a shared cap clipped",
        (true, ..) => "a shared cap was drawn on",
        (false, true, true) => "a place was free again",
        (false, true, false) if taken.room <= 0 => "all places were taken",
        (false, true, false) => "a place was taken",
        (false, false, true) => "units went back to a budget",
        (false, false, false) => "a budget was drawn on",
    };
    posting.uses.iter().map(of_use).collect()
}
