//! What expectations say of caps that hold.
//!
//! What must stay true: as in [`super::expectations`]: the code that decides says what is held. No other cap and no budget
//! is looked at, and nothing has been counted before.

use crate::ledger::account::Account;
use crate::ledger::command::Command;
use crate::ledger::decision::Decision;
use crate::ledger::draws;
use crate::ledger::held::HeldChange;
use crate::ledger::program::{Over, Program};
use crate::ledger::state::{CellRoom, Context, ShardState};
use crate::ledger::types::{AccountNumber, ShardId, TimestampNs};
use crate::program::file::{Expectation, NOTHING_HELD};
use crate::program::problem::{Finding, Problems};
use crate::program::suggest::nearest;
use crate::program::table::At;

/// The programme of expectations with the caps that hold.
pub(super) fn with_holding_caps(unbounded: &Program, program: &Program) -> Program {
    let caps = program.caps.iter().filter(|cap| cap.over == Over::Hold).cloned().collect();
    let mut holding = Program { caps, ..unbounded.clone() };
    holding.has_cells = holding.draws_on_cells();
    holding
}

/// Compares what an expectation says to be held with what is.
pub(super) fn check(
    expectation: &Expectation,
    (account, command, at): (&Account, &Command, TimestampNs),
    program: &Program,
    problems: &mut Problems<'_>,
) {
    let Some(expected) = &expectation.held else { return };
    if !is_known(expected, program, problems) {
        return;
    }
    let mut draws = Vec::new();
    draws::list(program, command, at, &mut draws);
    let room = |draw: &draws::Draw| CellRoom {
        cell: draw.cell,
        version: 1,
        room: draw.limit,
        retain_until: draw.retain_until,
    };
    let rooms: Vec<CellRoom> = draws.iter().map(room).collect();
    let mut state = ShardState::new(ShardId(0));
    state.place(AccountNumber(0), account);
    let mut decision = Decision::default();
    state.decide(command, &Context { program, posted_at: at, rooms: &rooms, frozen: None }, &mut decision);
    let by = decision.effects.held.as_deref().and_then(HeldChange::begins_by);
    let by = by.and_then(|symbol| program.caps.iter().find(|cap| cap.symbol == symbol));
    let got = by.map_or(NOTHING_HELD, |cap| cap.name.as_str());
    if got == expected.get_ref() {
        return;
    }
    let expected_cap = expected.get_ref();
    let how = match (got, expected_cap.as_str()) {
        (NOTHING_HELD, _) => format!("nothing is held, but cap `{expected_cap}` should hold it"),
        (_, NOTHING_HELD) => format!("cap `{got}` holds it, but nothing should"),
        _ => format!("cap `{got}` holds it, not cap `{expected_cap}`"),
    };
    let message = format!("expectation {:?} does not hold: {how}", expectation.name.get_ref());
    problems.push(Finding::error(&expected.span(), message));
}

/// Whether there is such a cap, and it holds.
fn is_known(expected: &At<String>, program: &Program, problems: &mut Problems<'_>) -> bool {
    let name = expected.get_ref();
    if name == NOTHING_HELD || program.caps.iter().any(|cap| cap.name == *name) {
        return true;
    }
    let finding = Finding::error(&expected.span(), format!("no cap of the name {name:?} holds anything"));
    let known = program.caps.iter().map(|cap| cap.name.as_str()).chain([NOTHING_HELD]);
    problems.push(match nearest(name, known) {
        Some(near) => finding.hint(format!("did you mean {near:?}?")),
        None => finding.hint("name a cap of the programme with over = \"hold\", or write \"none\""),
    });
    false
}
