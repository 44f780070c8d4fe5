//! That no budget was overdrawn: the uses of each cell, in the order of their versions (invariant 6).
//!
//! Uses reach the journal out of the order of their versions, because the chunks of several workers do. Within an epoch
//! no version is missing in the end; at a crash some are lost for good, and the next epoch goes on after the last that
//! was durable.
//!
//! What must stay true: uses that wait for an earlier version are no more than can be in flight.

use std::collections::BTreeMap;

use super::report::{Finding, FindingClass, Place};
use crate::ledger::decision::CellUse;
use crate::ledger::types::{CellId, Units};
use crate::limits;

/// Uses of one cell that can be in flight at once.
const WAITING_MAX: usize =
    limits::WORKERS_MAX * (limits::WORKER_CHUNKS_IN_FLIGHT_MAX + 1) * limits::WORKER_BATCH_COMMANDS_MAX;

/// What bounds a use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    /// The most that may be taken from the cell in all.
    pub limit: Units,
    /// What goes beyond is granted, and held for review.
    pub holds: bool,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    taken: CellUse,
    /// The bound in the version that judged the command; `None` where room is given back.
    bound: Option<Bound>,
    place: Place,
}

#[derive(Debug, Default)]
struct Cell {
    /// The last version that was judged.
    version: u64,
    /// Units taken by the versions judged, net of what was given back.
    used: Units,
    /// Uses with a version that is not the next.
    waiting: BTreeMap<u64, Waiting>,
}

/// The cells, as far as the history has been read.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    cells: BTreeMap<CellId, Cell>,
}

impl Budgets {
    /// Enters a use.
    pub(super) fn enter(&mut self, taken: &CellUse, bound: Option<Bound>, place: Place) -> Result<(), Finding> {
        let cell = self.cells.entry(taken.cell).or_default();
        let is_new = taken.version > cell.version && !cell.waiting.contains_key(&taken.version);
        if !is_new {
            let sentence = format!("use {} of cell {} occurs a second time", taken.version, taken.cell);
            return Err(place.finding(FindingClass::Budget, sentence));
        }
        cell.waiting.insert(taken.version, Waiting { taken: *taken, bound, place });
        while let Some(next) = cell.waiting.remove(&(cell.version + 1)) {
            cell.judge(&next)?;
        }
        if cell.waiting.len() > WAITING_MAX {
            let sentence = format!("use {} of cell {} never came", cell.version + 1, taken.cell);
            return Err(place.finding(FindingClass::Budget, sentence));
        }
        Ok(())
    }

    /// An epoch is over: what has not come by now was lost with the process, unacknowledged.
    pub(super) fn end_epoch(&mut self) -> Result<(), Finding> {
        for cell in self.cells.values_mut() {
            while let Some((_, next)) = cell.waiting.pop_first() {
                cell.judge(&next)?;
            }
        }
        Ok(())
    }
}

impl Cell {
    fn judge(&mut self, next: &Waiting) -> Result<(), Finding> {
        let CellUse { cell, version, room_before, used, .. } = next.taken;
        let fail = |sentence: String| Err(next.place.finding(FindingClass::Budget, sentence));
        let Some(sum) = self.used.checked_add(used).filter(|sum| *sum >= 0) else {
            return fail(format!("use {version} gives cell {cell} back more than was taken"));
        };
        if let Some(Bound { limit, holds }) = next.bound {
            // Less is possible: what was given back becomes usable only when it is durable, and a use can be lost.
            if room_before > limit - self.used {
                return fail(format!(
                    "use {version} of cell {cell} found room for {room_before}, but {} of {limit} had been taken",
                    self.used
                ));
            }
            if used < 0 || (used > 0 && !holds && (used > room_before || sum > limit)) {
                return fail(format!(
                    "use {version} of cell {cell} took {used} where there was room for {room_before}"
                ));
            }
        } else if used > 0 || room_before != 0 {
            return fail(format!("use {version} of cell {cell} takes where it should give back"));
        }
        (self.version, self.used) = (version, sum);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::types::{Position, SymbolId};

    const LIMIT: Option<Units> = Some(10);

    fn check(uses: &[(u64, Units, Units, Option<Units>)]) -> Result<(), String> {
        let mut budgets = Budgets::default();
        for (index, (version, room_before, used, limit)) in uses.iter().enumerate() {
            let taken = CellUse {
                cell: CellId::whole(SymbolId(1)),
                version: *version,
                room_before: *room_before,
                used: *used,
                retain_until: CellUse::FOR_EVER,
            };
            let bound = limit.map(|limit| Bound { limit, holds: false });
            budgets.enter(&taken, bound, Place::at(Position(index as u64))).map_err(|found| found.sentence)?;
        }
        budgets.end_epoch().map_err(|found| found.sentence)
    }

    #[test]
    fn uses_are_judged_in_the_order_of_their_versions() {
        assert_eq!(check(&[(1, 10, 7, LIMIT), (2, 3, 3, LIMIT), (3, 0, 0, LIMIT)]), Ok(()));
        assert_eq!(check(&[(2, 3, 3, LIMIT), (1, 10, 7, LIMIT)]), Ok(()), "chunks of two workers");
        assert_eq!(check(&[(1, 10, 7, LIMIT), (3, 0, 0, LIMIT)]), Ok(()), "version 2 was lost in a crash");
        assert_eq!(check(&[(1, 10, 7, LIMIT), (2, 0, -7, None), (3, 3, 3, LIMIT)]), Ok(()), "not durable yet");
        assert_eq!(check(&[(1, 10, 7, LIMIT), (2, 0, -7, None), (3, 10, 10, LIMIT)]), Ok(()));
        assert_eq!(check(&[(1, 10, 7, LIMIT), (2, -5, 0, Some(2))]), Ok(()), "a later version lowered the budget");
    }

    #[test]
    fn overdrawing_is_found() {
        let rows: [(&[_], &str); 6] = [
            (&[(1, 10, 7, LIMIT), (2, 10, 7, LIMIT)], "use 2 of cell 1 found room for 10, but 7 of 10 had been taken"),
            (&[(1, 10, 11, LIMIT)], "use 1 of cell 1 took 11 where there was room for 10"),
            (&[(1, 10, -1, LIMIT)], "use 1 gives cell 1 back more than was taken"),
            (&[(1, 10, 7, LIMIT), (1, 10, 7, LIMIT)], "use 1 of cell 1 occurs a second time"),
            (&[(1, 10, 7, LIMIT), (2, 0, -8, None)], "use 2 gives cell 1 back more than was taken"),
            (&[(1, 0, 1, None)], "use 1 of cell 1 takes where it should give back"),
        ];
        for (uses, expected) in rows {
            assert_eq!(check(uses), Err(expected.to_owned()));
        }
    }
}
