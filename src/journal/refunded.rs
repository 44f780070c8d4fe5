//! What of a top-up has not gone back yet: its record, less what the last refund of it says.
//!
//! What must stay true: a refund that is not of this top-up is damage; each refund says what it leaves, so that one look at
//! the last is enough.

use super::dictionary::Dictionary;
use super::walk::{Located, record_at};
use super::{Journal, JournalError};
use crate::codec::DecodeError;
use crate::ledger::command::CommandKind;
use crate::ledger::decision::Refusal;
use crate::ledger::money::Refund;
use crate::ledger::types::{Position, Units};

/// What a refund of so much of a top-up gives back, or of whatever is left where no amount is asked for; or why it gives
/// back nothing. `last` is where the last refund of it lies. `None` when the original is no granted top-up.
///
/// # Errors
/// When a record cannot be read, or is not what it should be.
pub fn refund(
    journal: &dyn Journal,
    dictionary: &Dictionary,
    original: &Located,
    last: Option<Position>,
    asked: Option<Units>,
) -> Result<Option<Result<Refund, Refusal>>, JournalError> {
    let Some(entry) = original.entry() else { return Ok(None) };
    let Some((top_up, lot)) = entry.top_up() else { return Ok(None) };
    let left = match last {
        None => top_up.units,
        Some(position) => {
            let found = record_at(journal, dictionary, position)?;
            let refund = found.as_ref().and_then(|found| refund_of(original, found));
            refund.ok_or_else(|| contradiction(position))?.left
        }
    };
    if left == 0 {
        return Ok(Some(Err(Refusal::AlreadyReversed)));
    }
    let units = asked.unwrap_or(left);
    if units > left {
        return Ok(Some(Err(Refusal::RefundTooLarge)));
    }
    Ok(Some(Ok(Refund {
        original_transaction_id: entry.command.transaction_id.as_str().into(),
        original_position: original.position,
        earlier: last,
        is_rest: asked.is_none(),
        units,
        left: left - units,
        lot,
        source: top_up.source.clone(),
    })))
}

/// The refund that a record holds, if it gave something of this top-up back.
#[must_use]
pub fn refund_of<'a>(original: &Located, found: &'a Located) -> Option<&'a Refund> {
    let (top_up, entry) = (original.entry()?, found.entry().filter(|entry| entry.decision.refusal().is_none())?);
    let is_same = (entry.account, entry.command.partner) == (top_up.account, top_up.command.partner);
    match &entry.command.kind {
        CommandKind::Refund(refund)
            if is_same && found.shard == original.shard && refund.original_position == original.position =>
        {
            Some(refund)
        }
        _ => None,
    }
}

fn contradiction(position: Position) -> JournalError {
    JournalError::Record { position, from: 0, to: 0, fault: DecodeError::Contradiction }
}
