//! What takes an original back, completed once that is claimed.
//!
//! What must stay true: what was taken back before is read while the original is claimed, as the service reads it.

use super::edge::read_record;
use super::machine::{Machine, Trouble};
use crate::ids::IdKey;
use crate::journal::refunded::refund;
use crate::journal::returned::undone;
use crate::journal::walk::Located;
use crate::ledger::command::{Command, CommandKind};
use crate::ledger::decision::Refusal;
use crate::ledger::types::{Position, Seq};

/// Completes a reversal or a refund whose original is claimed: what of it still stands, and what of that is taken back.
pub(super) fn undo(
    machine: &Machine,
    mut command: Command,
    subject: IdKey,
) -> Result<Result<Command, Refusal>, Trouble> {
    let position = match &command.kind {
        CommandKind::Reverse(reversal) => reversal.original_position,
        CommandKind::Refund(refund) => refund.original_position,
        _ => return Ok(Ok(command)),
    };
    let last = machine.shared.ids.lookup(subject).map_err(|error| machine.judge(&error))?;
    let last = last.map(|entry| entry.position);
    let (shard, record) = read_record(machine, position)?;
    let original = Located { position, shard, seq: Seq(0), record };
    match &mut command.kind {
        CommandKind::Reverse(reversal) => {
            let version = original.entry().map(|entry| entry.decision.program);
            let program = version.and_then(|version| machine.programs.get(version).cloned());
            let Some(program) = program else {
                return Err(Trouble::Broken(format!("a version judged the accrual at {position}")));
            };
            let asked: Vec<_> = reversal.asked_lines().collect();
            let found = undone(&*machine.journal, &machine.dictionary, (&original, &*program), last, &asked);
            match found.map_err(|error| machine.judge(&error))? {
                Some(Ok((original, part))) => (reversal.original, reversal.part) = (original, part),
                Some(Err(wrong)) => return Ok(Err(wrong.refusal)),
                None => return Err(missing(position, "accrual")),
            }
        }
        CommandKind::Refund(stated) => {
            let found = refund(&*machine.journal, &machine.dictionary, &original, last, stated.asked());
            match found.map_err(|error| machine.judge(&error))? {
                Some(Ok(found)) => **stated = found,
                Some(Err(refusal)) => return Ok(Err(refusal)),
                None => return Err(missing(position, "top-up")),
            }
        }
        _ => {}
    }
    Ok(Ok(command))
}

fn missing(position: Position, what: &str) -> Trouble {
    Trouble::Broken(format!("the record at {position} is a granted {what}"))
}
