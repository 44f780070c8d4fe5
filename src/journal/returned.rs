//! What still stands of an accrual: its record, less those of the reversals of it, from the last back to the first.
//!
//! What must stay true: a step to what is no reversal of this accrual is damage, never silently the end of the way; the
//! way is bounded.

use super::dictionary::Dictionary;
use super::walk::{Located, record_at};
use super::{Journal, JournalError};
use crate::codec::DecodeError;
use crate::journal::record::Entry;
use crate::ledger::command::{CommandKind, Granted, Part, ReturnedLine, Reversal};
use crate::ledger::decision::Refusal;
use crate::ledger::operator::OperatorOrder;
use crate::ledger::program::Program;
use crate::ledger::refund::{Standing, Unreturnable};
use crate::ledger::types::Position;
use crate::limits;

/// What a reversal takes back: see [`Standing::part`].
pub type Undone = Result<(Granted, Option<Box<Part>>), Unreturnable>;

/// What a reversal of these lines of an accrual takes back, or of whatever is left where there are none. `last` is where
/// the last reversal of it lies, `program` the version that judged it. `None` when the original is no granted accrual.
///
/// # Errors
/// When a record cannot be read, or is not what it should be.
pub fn undone(
    journal: &dyn Journal,
    dictionary: &Dictionary,
    (original, program): (&Located, &Program),
    last: Option<Position>,
    asked: &[ReturnedLine],
) -> Result<Option<Undone>, JournalError> {
    let Some(entry) = original.entry() else { return Ok(None) };
    let (CommandKind::Accrue(basket), Some(granted)) = (&entry.command.kind, entry.granted()) else { return Ok(None) };
    let mut standing = Standing::whole(basket, &entry.decision, granted);
    let mut next = last;
    if let Some(position) = last {
        let found = record_at(journal, dictionary, position)?;
        if found.as_ref().is_some_and(|found| takes_all_of(original, found)) {
            return Ok(Some(Err(Unreturnable { refusal: Refusal::AlreadyReversed, field: None })));
        }
    }
    for _ in 0..=limits::REVERSALS_OF_ONE_MAX {
        let Some(position) = next else { break };
        let found = record_at(journal, dictionary, position)?;
        let reversal = found.as_ref().and_then(|found| reversal_of(original, found));
        let reversal = reversal.ok_or_else(|| contradiction(position))?;
        let is_last = last == Some(position);
        standing.take(reversal, is_last.then_some(position)).map_err(|_| contradiction(position))?;
        next = reversal.part.as_deref().and_then(|part| part.earlier).filter(|earlier| *earlier < position);
    }
    match next {
        Some(position) => Err(contradiction(position)),
        None => Ok(Some(standing.part(program, asked))),
    }
}

/// Whether nothing of an accrual was left by the last record that took something of it back.
#[must_use]
pub fn takes_all_of(original: &Located, last: &Located) -> bool {
    let rejects = |entry: &Entry| match &entry.command.kind {
        CommandKind::Operate(operation) => {
            matches!(&operation.order, OperatorOrder::Reject(held) if held.position == original.position)
        }
        _ => false,
    };
    reversal_of(original, last).is_some_and(Reversal::is_last) || last.entry().is_some_and(rejects)
}

/// The reversal that a record holds, if it took something of this accrual back.
fn reversal_of<'a>(original: &Located, found: &'a Located) -> Option<&'a Reversal> {
    let (accrual, entry) = (original.entry()?, found.entry().filter(|entry| entry.decision.refusal().is_none())?);
    let is_same = (entry.account, entry.command.partner) == (accrual.account, accrual.command.partner);
    match &entry.command.kind {
        CommandKind::Reverse(reversal)
            if is_same && found.shard == original.shard && reversal.original_position == original.position =>
        {
            Some(reversal)
        }
        _ => None,
    }
}

fn contradiction(position: Position) -> JournalError {
    JournalError::Record { position, from: 0, to: 0, fault: DecodeError::Contradiction }
}
