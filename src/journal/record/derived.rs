//! What follows from the rest of a record, and is not written: what a return took, and what of it had died.
//!
//! What must stay true: it is what the ledger decided, so that whoever replays a record changes the account as it was changed.

use super::{Entry, operator};
use crate::codec::DecodeError;
use crate::ledger::command::CommandKind;
use crate::ledger::decision::Movement;
use crate::ledger::operator::OperatorOrder;
use crate::ledger::types::Units;

/// Completes a record that was read.
pub(super) fn complete(entry: &mut Entry) -> Result<(), DecodeError> {
    let is_granted = entry.decision.refusal().is_none();
    let Entry { command, decision, .. } = entry;
    let owed = decision.effects.owed.map_or(0, |(_, delta)| delta);
    match &command.kind {
        CommandKind::Reverse(reversal) => {
            let taken = decision.effects.lots.iter().filter(|lot| lot.movement == Movement::Reverse);
            decision.granted = taken.fold(0, |sum: Units, lot| sum.saturating_add(lot.delta));
            if is_granted {
                // What was neither taken nor owed had died by then.
                let dead = reversal.original.units.saturating_add(decision.granted).saturating_sub(owed);
                decision.effects.gone = dead.max(0);
            }
        }
        // What came back dead, and is owed no more for that.
        CommandKind::Unburn(_) => decision.effects.gone = owed.checked_neg().ok_or(DecodeError::BadNumber)?,
        CommandKind::Operate(operation) => {
            decision.granted = operator::granted_by_lots(&operation.order, decision);
            if let (OperatorOrder::Reject(original), true) = (&operation.order, is_granted) {
                decision.effects.gone = original.granted.units.saturating_add(decision.granted).max(0);
            }
        }
        _ => {}
    }
    Ok(())
}
