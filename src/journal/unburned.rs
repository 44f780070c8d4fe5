//! What of a redemption or a capture has not come back: its record, less what the last reversal of it says.
//!
//! What must stay true: units come back to the lots from which they were burned, those that were burned last first, so that
//! pieces that return everything return exactly what was burned, whatever their sizes; a step to what is no reversal of this
//! burn is damage.

use super::dictionary::Dictionary;
use super::walk::{Located, record_at};
use super::{Journal, JournalError};
use crate::codec::DecodeError;
use crate::journal::record::Entry;
use crate::ledger::command::{CommandKind, Unburn};
use crate::ledger::decision::Refusal;
use crate::ledger::types::{Position, Units};

/// What a reversal of so many burned units gives back, or of whatever is left. `last` is where the last reversal of the same
/// burn lies. `None` when the original burned nothing.
///
/// # Errors
/// When a record cannot be read, or is not what it should be.
pub fn unburned(
    journal: &dyn Journal,
    dictionary: &Dictionary,
    original: &Located,
    last: Option<Position>,
    asked: Option<Units>,
) -> Result<Option<Result<Unburn, Refusal>>, JournalError> {
    let Some(entry) = original.entry() else { return Ok(None) };
    let burned = entry.burned();
    let all: Units = burned.iter().map(|(_, units)| *units).sum();
    if all == 0 {
        return Ok(None);
    }
    let earlier = match last {
        None => None,
        Some(position) => {
            let found = record_at(journal, dictionary, position)?;
            let before = found.as_ref().and_then(|found| unburn_of(original, found));
            let before = before.filter(|before| before.returned() <= all);
            let before = before.ok_or_else(|| contradiction(position))?;
            Some((position, before.returned()))
        }
    };
    let returned = earlier.map_or(0, |(_, returned)| returned);
    let left = all - returned;
    let units = asked.unwrap_or(left);
    if left == 0 {
        return Ok(Some(Err(Refusal::AlreadyReversed)));
    }
    if units > left {
        return Ok(Some(Err(Refusal::ReturnTooLarge)));
    }
    Ok(Some(Ok(Unburn {
        original_transaction_id: entry.command.transaction_id.as_str().into(),
        original_position: original.position,
        earlier,
        lots: Unburn::piece(&burned, returned, units),
        redemption_rate_bps: entry.decision.effects.redemption_rate_bps,
        is_rest: asked.is_none(),
        is_last: units == left,
    })))
}

/// The reversal that a record holds, if it gave something of this burn back.
#[must_use]
pub fn unburn_of<'a>(original: &Located, found: &'a Located) -> Option<&'a Unburn> {
    let (burn, entry) = (original.entry()?, granted(found)?);
    let is_same = (entry.account, entry.command.partner) == (burn.account, burn.command.partner);
    match &entry.command.kind {
        CommandKind::Unburn(unburn)
            if is_same && found.shard == original.shard && unburn.original_position == original.position =>
        {
            Some(unburn)
        }
        _ => None,
    }
}

fn granted(found: &Located) -> Option<&Entry> {
    found.entry().filter(|entry| entry.decision.refusal().is_none())
}

fn contradiction(position: Position) -> JournalError {
    JournalError::Record { position, from: 0, to: 0, fault: DecodeError::Contradiction }
}
