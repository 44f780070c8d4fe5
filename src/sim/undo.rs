//! What a reversal takes back, once its original is claimed: as the service finds it out.
//!
//! What must stay true: nothing is decided here that the service decides otherwise; a refusal changes nothing.

use super::asked::lines_of;
use super::edge::read_record;
use super::facts::Action;
use super::machine::{Machine, Trouble};
use crate::ids::IdKey;
use crate::journal::refunded::refund;
use crate::journal::returned::undone;
use crate::journal::unburned::unburned;
use crate::journal::walk::Located;
use crate::ledger::command::{AskedReversal, Command, CommandKind};
use crate::ledger::decision::Refusal;
use crate::ledger::types::{Position, Seq};

/// Completes a reversal whose original is claimed: what of it still stands, and what of that comes back.
pub(super) fn undo(
    machine: &Machine,
    action: &Action,
    mut command: Command,
    subject: IdKey,
) -> Result<Result<Command, Refusal>, Trouble> {
    let Some(position) = command.kind.reversed() else { return Ok(Ok(command)) };
    let (lines, units, quantity) = match action {
        Action::Reverse { lines, units, rewards, .. } => (&lines[..], *units, *rewards),
        _ => (&[][..], None, None),
    };
    let last = machine.shared.ids.lookup(subject).map_err(|error| machine.judge(&error))?;
    let last = last.map(|entry| entry.position);
    let (shard, record) = read_record(machine, position)?;
    let original = Located { position, shard, seq: Seq(0), record };
    match &mut command.kind {
        CommandKind::Unburn(unburn) => {
            let lines = &*lines_of(lines);
            let asked =
                AskedReversal { original_transaction_id: &unburn.original_transaction_id, lines, units, quantity };
            let left = unburned(&*machine.journal, &machine.dictionary, &original, last, &asked);
            match left.map_err(|error| machine.judge(&error))? {
                Some(Ok(left)) => *unburn = left,
                Some(Err((refusal, _))) => return Ok(Err(refusal)),
                None => return Err(missing(position, "burn")),
            }
        }
        _ if units.or(quantity).is_some() => return Ok(Err(Refusal::LineUnknown)),
        CommandKind::Reverse(reversal) => {
            let version = original.entry().map(|entry| entry.decision.program);
            let program = version.and_then(|version| machine.programs.get(version).cloned());
            let Some(program) = program else {
                return Err(Trouble::Broken(format!("a version judged the accrual at {position}")));
            };
            let asked: Vec<_> = reversal.asked_lines().collect();
            let undone = undone(&*machine.journal, &machine.dictionary, (&original, &*program), last, &asked);
            match undone.map_err(|error| machine.judge(&error))? {
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
