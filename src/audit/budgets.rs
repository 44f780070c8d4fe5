//! That no budget was overdrawn: the uses of each cell, in the order of their versions (invariant 6).
//!
//! Uses reach the journal out of the order of their versions, because the chunks of several workers do. Within an epoch
//! no version is missing in the end; at a crash some are lost for good, and the next epoch goes on after the last that
//! was durable. What is given back to a cell that was forgotten counts from one again: see [`Budgets::give_back`].
//!
//! What must stay true: uses that wait for an earlier version are no more than can be in flight.

use std::collections::BTreeMap;

use super::report::{Finding, FindingClass, Place};
use crate::ledger::decision::CellUse;
use crate::ledger::program::Run;
use crate::ledger::types::{CellId, Day, Units};
use crate::limits;

/// Uses of one cell that can be in flight at once.
const WAITING_MAX: usize =
    limits::WORKERS_MAX * (limits::WORKER_CHUNKS_IN_FLIGHT_MAX + 1) * limits::WORKER_CHUNK_COMMANDS_MAX;

/// What bounds a use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    /// The most that may be taken from the cell in all.
    pub limit: Units,
    /// What goes beyond is granted, and held for review.
    pub holds: bool,
    /// How many windows have that limit together; 1 for each by itself.
    pub rolling: u16,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    taken: CellUse,
    /// The bound in the version that judged the command; `None` where room is given back.
    bound: Option<Bound>,
    /// Whether the grant is held, or what is given back was.
    is_held: bool,
    place: Place,
}

/// What was taken by uses that were bounded over so many windows together.
#[derive(Clone, Copy, Debug)]
struct Together {
    rolling: u16,
    taken: Units,
    /// The largest limit by which any of them was judged.
    limit_max: Units,
}

#[derive(Debug, Default)]
struct Cell {
    /// Units taken by the uses entered, net of what was given back, in the order of the journal.
    entered: Units,
    /// Units given back, in the order of the journal, of what is counted in `together` at least.
    given_back: Units,
    /// What was taken under versions that bound several windows together, each number of windows once; without what the
    /// cap held, which may go beyond its limit.
    together: Vec<Together>,
    /// Whether anything is counted there that was held: by another cap.
    counts_held: bool,
    /// After this UTC day the ledger may have forgotten it.
    retain_until: Day,
    /// The last version that was judged.
    version: u64,
    /// Units taken by the versions judged, net of what was given back.
    used: Units,
    /// Uses with a version that is not the next.
    waiting: BTreeMap<u64, Waiting>,
}

impl Cell {
    /// Whether no use of this version was entered, nor passed over.
    fn is_new(&self, version: u64) -> bool {
        version > self.version && !self.waiting.contains_key(&version)
    }

    /// Notes a use, in the order of the journal.
    fn note(&mut self, used: Units, bound: Option<Bound>, is_held: bool) {
        self.entered = self.entered.saturating_add(used);
        let Some(Bound { limit, holds, rolling }) = bound else {
            if !is_held || self.counts_held {
                self.given_back = self.given_back.saturating_sub(used);
            }
            return;
        };
        if rolling <= 1 || used == 0 || (holds && is_held) {
            return;
        }
        self.counts_held |= is_held;
        match self.together.iter_mut().find(|known| known.rolling == rolling) {
            Some(known) => {
                (known.taken, known.limit_max) = (known.taken.saturating_add(used), known.limit_max.max(limit));
            }
            None => self.together.push(Together { rolling, taken: used, limit_max: limit }),
        }
    }

    /// Units taken by uses that were bounded over at least so many windows together, less all that was given back, and the
    /// largest limit by which any of them was judged.
    fn taken_together(&self, rolling: u16) -> (Units, Units) {
        let bounded = self.together.iter().filter(|known| known.rolling >= rolling);
        let (taken, limit_max) = bounded.fold((0, 0), |(taken, limit_max): (Units, Units), known| {
            (taken.saturating_add(known.taken), limit_max.max(known.limit_max))
        });
        (taken.saturating_sub(self.given_back).max(0), limit_max)
    }
}

/// The cells, as far as the history has been read.
#[derive(Debug)]
pub(super) struct Budgets {
    cells: BTreeMap<CellId, Cell>,
    /// Uses of one cell that may wait for an earlier one.
    waiting_max: usize,
}

impl Default for Budgets {
    fn default() -> Self {
        Self::bounded(WAITING_MAX)
    }
}

impl Budgets {
    /// Nothing has been used, and so many uses of a cell may wait for an earlier one.
    fn bounded(waiting_max: usize) -> Self {
        Self { cells: BTreeMap::new(), waiting_max }
    }

    /// Enters a use. `is_held` says whether the grant is held, or what is given back was.
    pub(super) fn enter(
        &mut self,
        taken: &CellUse,
        bound: Option<Bound>,
        is_held: bool,
        place: Place,
    ) -> Result<(), Finding> {
        let cell = self.cells.entry(taken.cell).or_default();
        if !cell.is_new(taken.version) {
            let sentence = format!("use {} of cell {} occurs a second time", taken.version, taken.cell);
            return Err(place.finding(FindingClass::Budget, sentence));
        }
        cell.note(taken.used, bound, is_held);
        cell.retain_until = cell.retain_until.max(taken.retain_until);
        cell.waiting.insert(taken.version, Waiting { taken: *taken, bound, is_held, place });
        while let Some(next) = cell.waiting.remove(&(cell.version + 1)) {
            cell.judge(&next)?;
        }
        if cell.waiting.len() > self.waiting_max {
            let sentence = format!("use {} of cell {} never came", cell.version + 1, taken.cell);
            return Err(place.finding(FindingClass::Budget, sentence));
        }
        Ok(())
    }

    /// Enters what is given back. `today` is the UTC day of its record, where cells are forgotten.
    ///
    /// Nothing tells when the ledger forgot a cell, but that no command could fall under it any more. Until then a return has
    /// the next version, however late it is: it is about room that others find. Afterwards it counts from one again, in a cell
    /// of which nobody takes anything; so a version that was there before is no second use of it. The room is added all the
    /// same, and once only: a cell whose forgetting was lost in a crash, or with a snapshot that was discarded, has it.
    pub(super) fn give_back(
        &mut self,
        taken: &CellUse,
        was_held: bool,
        today: Option<Day>,
        place: Place,
    ) -> Result<(), Finding> {
        let cell = self.cells.entry(taken.cell).or_default();
        let retain_until = cell.retain_until.max(taken.retain_until);
        if cell.is_new(taken.version) || today.is_none_or(|today| retain_until >= today) {
            return self.enter(taken, None, was_held, place);
        }
        cell.note(taken.used, None, was_held);
        cell.used = cell.used.saturating_add(taken.used);
        if taken.used > 0 || taken.room_before != 0 || cell.entered < 0 {
            let sentence = format!("use {} gives cell {} back more than was taken", taken.version, taken.cell);
            return Err(place.finding(FindingClass::Budget, sentence));
        }
        Ok(())
    }

    /// What a refusal saw: no more room than there was, as far as that can be told. Where the uses before it are not all
    /// read yet, or later ones are, or some were lost in a crash, nobody knows any more what there was.
    pub(super) fn check_seen(&self, seen: &CellUse, limit: Units, place: Place) -> Result<(), Finding> {
        let (last, used) = self.cells.get(&seen.cell).map_or((0, 0), |cell| (cell.version, cell.used));
        if seen.version != last.saturating_add(1) || seen.room_before <= limit.saturating_sub(used) {
            return Ok(());
        }
        let sentence = format!(
            "a refusal saw room for {} in cell {}, but {used} of {limit} had been taken",
            seen.room_before, seen.cell
        );
        Err(place.finding(FindingClass::Budget, sentence))
    }

    /// No run of windows that are bounded together and contain the one of this cell has given more than the limit. A
    /// record names those of the others that it found used, but not in which order their uses came; so what is entered is
    /// added up. What was given back counts from its record on, and whoever took the room again saw it there.
    ///
    /// Only uses count that were bounded over as many windows at least. Around the publication of a version that bounds more,
    /// one that the version before let in may have come later than its record lies, and looked at fewer.
    ///
    /// Nor does what a cap held count, which goes beyond its limit, and what is given back of it: what passed without a review
    /// keeps to the limit by itself.
    ///
    /// A cell that may be forgotten counts nothing: a later version may bound more windows together than were kept.
    pub(super) fn check_runs(&self, present: CellId, run: Run, today: Day, place: Place) -> Result<(), Finding> {
        let (count, step) = (i32::from(run.rolling), run.window.step());
        let at = |ahead: i32| CellId { period: present.period.saturating_add(ahead.saturating_mul(step)), ..present };
        for first in 1 - count..=0 {
            let cells = (first..first + count).filter_map(|ahead| self.cells.get(&at(ahead)));
            let cells = cells.filter(|cell| cell.retain_until >= today);
            let (taken, limit) = cells.fold((0, 0), |(taken, limit): (Units, Units), cell| {
                let (of_cell, limit_of_cell) = cell.taken_together(run.rolling);
                (taken.saturating_add(of_cell), limit.max(limit_of_cell))
            });
            if taken > limit {
                let sentence = format!(
                    "the {count} windows from cell {} on gave {taken} together, where there was room for {limit}",
                    at(first)
                );
                return Err(place.finding(FindingClass::Budget, sentence));
            }
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
        if let Some(Bound { limit, holds, .. }) = next.bound {
            let may_go_beyond = holds && next.is_held;
            // Less is possible: what was given back becomes usable only when it is durable, and a use can be lost.
            if room_before > limit - self.used {
                return fail(format!(
                    "use {version} of cell {cell} found room for {room_before}, but {} of {limit} had been taken",
                    self.used
                ));
            }
            if used < 0 || (used > 0 && !may_go_beyond && (used > room_before || sum > limit)) {
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
    use crate::ledger::program::CalendarWindow;
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
            let bound = limit.map(|limit| Bound { limit, holds: false, rolling: 1 });
            budgets.enter(&taken, bound, false, Place::at(Position(index as u64))).map_err(|found| found.sentence)?;
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
    fn a_use_that_never_comes_is_missed_before_all_memory_is_full_of_those_that_wait_for_it() {
        let mut budgets = Budgets::bounded(3);
        let mut enter = |version| {
            let (cell, retain_until) = (CellId::whole(SymbolId(1)), CellUse::FOR_EVER);
            let taken = CellUse { cell, version, room_before: 10, used: 0, retain_until };
            let bound = Some(Bound { limit: 10, holds: false, rolling: 1 });
            budgets.enter(&taken, bound, false, Place::at(Position(version))).map_err(|found| found.sentence)
        };
        assert_eq!([2, 3, 4].map(&mut enter), [Ok(()), Ok(()), Ok(())]);
        assert_eq!(enter(1), Ok(()), "they waited for this");
        assert_eq!([6, 7, 8].map(&mut enter), [Ok(()), Ok(()), Ok(())]);
        assert_eq!(enter(9), Err("use 5 of cell 1 never came".to_owned()));
    }

    #[test]
    fn what_is_given_back_late_counts_by_its_version() {
        const LAST: Day = Day(30);
        let check = |uses: &[(u64, Units, Units)], today: Option<i32>| {
            let mut budgets = Budgets::default();
            let place = Place::at(Position(0));
            let entered = uses.iter().try_for_each(|(version, room_before, used)| {
                let (cell, retain_until) = (CellId::whole(SymbolId(1)), LAST);
                let taken = CellUse { cell, version: *version, room_before: *room_before, used: *used, retain_until };
                match *used {
                    ..0 => budgets.give_back(&taken, false, today.map(Day), place),
                    _ => budgets.enter(&taken, Some(Bound { limit: 10, holds: false, rolling: 1 }), false, place),
                }
            });
            entered.and_then(|()| budgets.end_epoch()).map_err(|found| found.sentence)
        };
        let (taken, more) = ((1, 10, 7), (2, 10, 10));
        assert_eq!(check(&[taken, (2, 0, -7), (3, 10, 10)], Some(31)), Ok(()), "it was not forgotten yet");
        assert_eq!(check(&[taken, (3, 10, 10), (2, 0, -7)], Some(31)), Ok(()), "chunks of two workers");
        assert_eq!(check(&[taken, (1, 0, -3), (2, 0, -4)], Some(31)), Ok(()), "it was forgotten, and has one use more");
        assert_eq!(check(&[taken, (1, 0, -3), (1, 0, -4)], Some(31)), Ok(()), "and was forgotten again");
        assert_eq!(check(&[taken, (1, 0, -7), more], Some(31)), Ok(()), "it was there again after a crash");
        let twice = Err("use 1 of cell 1 occurs a second time".to_owned());
        assert_eq!(check(&[taken, (1, 0, -7)], Some(30)), twice, "on its last day");
        assert_eq!(check(&[taken, (1, 0, -7)], None), twice, "where nothing is forgotten");
        let over = Err("use 1 gives cell 1 back more than was taken".to_owned());
        assert_eq!(check(&[taken, (1, 0, -3), (1, 0, -5)], Some(31)), over);
        let found = Err("use 2 of cell 1 found room for 10, but 3 of 10 had been taken".to_owned());
        assert_eq!(check(&[taken, (1, 0, -4), more], Some(31)), found);
    }

    #[test]
    fn windows_that_are_bounded_together_are_added_up() {
        let mut budgets = Budgets::default();
        let cell = |period| CellId { period, ..CellId::whole(SymbolId(1)) };
        let mut take = |period, (version, room_before), used, today| {
            let taken = CellUse { cell: cell(period), version, room_before, used, retain_until: Day(period + 3) };
            let (bound, place) = (Bound { limit: 10, holds: false, rolling: 3 }, Place::at(Position(0)));
            budgets.enter(&taken, Some(bound), false, place).map_err(|found| found.sentence)?;
            let run = Run { window: CalendarWindow::Day, rolling: 3, kept: 3 };
            budgets.check_runs(cell(period), run, Day(today), place).map_err(|found| found.sentence)
        };
        assert_eq!(take(5, (1, 10), 4, 5), Ok(()));
        assert_eq!(take(7, (1, 10), 6, 7), Ok(()), "the fifth to the seventh day");
        assert_eq!(take(8, (1, 10), 4, 8), Ok(()), "the fifth day is no longer looked at");
        let over = "the 3 windows from cell 1 of partner 0, store 0, place 0 in period 5 on gave 11 together, where there \
                    was room for 10";
        assert_eq!(take(6, (1, 10), 1, 8), Err(over.to_owned()), "whoever comes late between them");
        assert_eq!(take(8, (2, 6), 1, 9), Err(over.replace("period 5 on", "period 6 on").replace("11", "12")));
        assert_eq!(take(8, (3, 5), 0, 11), Ok(()), "what may be forgotten counts nothing");
    }

    #[test]
    fn what_was_bounded_over_fewer_windows_is_no_part_of_more() {
        let mut budgets = Budgets::default();
        let cell = |period| CellId { period, ..CellId::whole(SymbolId(1)) };
        let mut take = |period, (version, room_before), used, rolling| {
            let taken = CellUse { cell: cell(period), version, room_before, used, retain_until: Day(period + 3) };
            let (bound, place) = (Bound { limit: 10, holds: false, rolling }, Place::at(Position(0)));
            budgets.enter(&taken, Some(bound), false, place).map_err(|found| found.sentence)?;
            let run = Run { window: CalendarWindow::Day, rolling, kept: 3 };
            budgets.check_runs(cell(period), run, Day(period), place).map_err(|found| found.sentence)
        };
        let over = |period| {
            let first = format!("the 2 windows from cell 1 of partner 0, store 0, place 0 in period {period} on");
            Err(format!("{first} gave 11 together, where there was room for 10"))
        };
        assert_eq!(take(5, (1, 10), 10, 1), Ok(()));
        assert_eq!(take(6, (1, 10), 8, 1), Ok(()), "a record that was decided after the next one, and lies before it");
        assert_eq!(take(7, (1, 10), 6, 2), Ok(()), "the seventh day has two days' room with what was there");
        assert_eq!(take(8, (1, 10), 4, 2), Ok(()));
        assert_eq!(take(8, (2, 6), 1, 2), over(7));
        assert_eq!(take(11, (1, 10), 4, 3), Ok(()));
        assert_eq!(take(12, (1, 10), 6, 2), Ok(()));
        assert_eq!(take(12, (2, 4), 1, 2), over(11), "what was bounded over more windows is part of fewer");
    }

    #[test]
    fn what_a_cap_holds_is_no_part_of_what_it_lets_pass() {
        let mut budgets = Budgets::default();
        let cell = |period| CellId { period, ..CellId::whole(SymbolId(1)) };
        let mut take = |period, (version, room_before), used, (holds, is_held)| {
            let taken = CellUse { cell: cell(period), version, room_before, used, retain_until: Day(period + 3) };
            let place = Place::at(Position(0));
            if used < 0 {
                return budgets.give_back(&taken, is_held, None, place).map_err(|found| found.sentence);
            }
            let bound = Bound { limit: 10, holds, rolling: 2 };
            budgets.enter(&taken, Some(bound), is_held, place).map_err(|found| found.sentence)?;
            let run = Run { window: CalendarWindow::Day, rolling: 2, kept: 2 };
            budgets.check_runs(cell(period), run, Day(period), place).map_err(|found| found.sentence)
        };
        let over = |period| {
            let first = format!("the 2 windows from cell 1 of partner 0, store 0, place 0 in period {period} on");
            Err(format!("{first} gave 11 together, where there was room for 10"))
        };
        let (passes, is_held, by_another) = ((true, false), (true, true), (false, true));
        assert_eq!(take(5, (1, 10), 8, passes), Ok(()));
        assert_eq!(take(6, (1, 10), 9, is_held), Ok(()));
        assert_eq!(take(6, (2, 0), -9, is_held), Ok(()), "it is rejected");
        assert_eq!(take(6, (3, 10), 2, passes), Ok(()));
        assert_eq!(take(6, (4, 8), 1, passes), over(5), "what was rejected had never been counted");
        // What another cap holds keeps to a limit that clips.
        assert_eq!(take(9, (1, 10), 8, by_another), Ok(()));
        assert_eq!(take(9, (2, 0), -8, by_another), Ok(()));
        assert_eq!(take(10, (1, 10), 10, (false, false)), Ok(()));
        assert_eq!(take(9, (3, 10), 1, by_another), over(9));
    }

    #[test]
    fn what_a_refusal_saw_was_there() {
        let mut budgets = Budgets::default();
        let place = Place::at(Position(0));
        let seen = |version, room_before| CellUse {
            cell: CellId::whole(SymbolId(1)),
            version,
            room_before,
            used: 0,
            retain_until: CellUse::FOR_EVER,
        };
        let mut check = |taken: Option<Units>, version, room| {
            if let Some(used) = taken {
                let taken = CellUse { used, ..seen(1, 10) };
                budgets.enter(&taken, Some(Bound { limit: 10, holds: false, rolling: 1 }), false, place).unwrap();
            }
            budgets.check_seen(&seen(version, room), 10, place).map_err(|found| found.sentence)
        };
        let over =
            |room, used| Err(format!("a refusal saw room for {room} in cell 1, but {used} of 10 had been taken"));
        assert_eq!(check(None, 1, 10), Ok(()), "nothing was taken");
        assert_eq!(check(None, 1, 11), over(11, 0));
        assert_eq!(check(Some(7), 2, 3), Ok(()));
        assert_eq!(check(None, 2, 4), over(4, 7));
        assert_eq!(check(None, 1, 10), Ok(()), "its record came after the use");
        assert_eq!(check(None, 3, 10), Ok(()), "the record of use 2 has not come");
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
        for is_held in [true, false] {
            let (cell, retain_until) = (CellId::whole(SymbolId(1)), CellUse::FOR_EVER);
            let taken = CellUse { cell, version: 1, room_before: 10, used: 11, retain_until };
            let bound = Bound { limit: 10, holds: true, rolling: 1 };
            let entered = Budgets::default().enter(&taken, Some(bound), is_held, Place::at(Position(0)));
            assert_eq!(entered.is_ok(), is_held, "what a cap holds may go beyond it, and nothing else");
        }
    }
}
