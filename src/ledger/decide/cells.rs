//! What a decision finds in shared cells.
//!
//! What must stay true: a cell whose room the decision depended on is named in it, with that room. Of windows that are
//! bounded together, those of which nothing is used are not named: they are as if they were not there.

use crate::ledger::decision::{CellUse, Decision};
use crate::ledger::draws;
use crate::ledger::program::Run;
use crate::ledger::state::{CellRoom, Context};
use crate::ledger::types::{CellId, SymbolId, Units};
use crate::limits;

/// Whether a bonus has a place left; one without places always has.
pub(super) fn has_place(places: Option<i64>, name: SymbolId, context: &Context<'_>, out: &mut Decision) -> bool {
    places.is_none() || look_into(CellId::whole(name), context, out) > 0
}

/// The room in a cell, not less than 0; the decision names the cell from here on.
pub(super) fn look_into(cell: CellId, context: &Context<'_>, out: &mut Decision) -> Units {
    let found = find(cell, context);
    name(found, out);
    found.room.max(0)
}

/// The room that a shared bound leaves in the present window, not less than 0: of all runs of windows that are bounded
/// together and contain it, the fullest counts. The decision names the cells from here on, each once.
pub(super) fn look_around(
    (run, limit): (Run, Units),
    present: CellId,
    context: &Context<'_>,
    out: &mut Decision,
) -> Units {
    let known = out.cells.iter().find(|taken| taken.cell == present).map(|taken| taken.room_before);
    if run.rolling <= 1 {
        return known.map_or_else(|| look_into(present, context, out), |room| room.max(0));
    }
    let mut counted = [0; limits::ROLLING_AROUND_MAX];
    let mut count = 0;
    for (cell, place) in draws::around(run, present).zip(&mut counted) {
        let found = find(cell, context);
        let used = limit.saturating_sub(found.room);
        if known.is_none() && (used > 0 || cell == present) {
            name(found, out);
        }
        *place = used.max(0);
        count += 1;
    }
    let counted = counted.get(..count).unwrap_or_default();
    let runs = counted.windows(usize::from(run.rolling));
    let fullest = runs.map(|run| run.iter().fold(0, |sum: Units, used| sum.saturating_add(*used))).max();
    limit.saturating_sub(fullest.unwrap_or(0)).max(0)
}

fn find<'a>(cell: CellId, context: &Context<'a>) -> &'a CellRoom {
    context.rooms.iter().find(|room| room.cell == cell).expect("the caller takes hold of every cell")
}

fn name(found: &CellRoom, out: &mut Decision) {
    let CellRoom { cell, version, room, retain_until } = *found;
    out.cells.push(CellUse { cell, version, room_before: room, used: 0, retain_until });
}
