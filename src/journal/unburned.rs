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
use crate::ledger::command::{AskedReversal, CommandKind, RewardsBack, Unburn};
use crate::ledger::decision::{CellUse, Refusal};
use crate::ledger::types::{Position, Units};

/// What a reversal of burned units gives back: so many, so many rewards, or whatever is left. `last` is where the last reversal of the same
/// burn lies. `None` when the original burned nothing.
///
/// # Errors
/// When a record cannot be read, or is not what it should be.
pub fn unburned(
    journal: &dyn Journal,
    dictionary: &Dictionary,
    original: &Located,
    last: Option<Position>,
    asked: &AskedReversal<'_>,
) -> Result<Option<Result<Unburn, Unreturned>>, JournalError> {
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
    let (units, reward) = match measured(entry, all, left, asked) {
        Ok(measured) => measured,
        Err(unreturned) => return Ok(Some(Err(unreturned))),
    };
    Ok(Some(Ok(Unburn {
        original_transaction_id: entry.command.transaction_id.as_str().into(),
        original_position: original.position,
        earlier,
        lots: Unburn::piece(&burned, returned, units),
        redemption_rate_bps: entry.decision.effects.redemption_rate_bps,
        reward,
        is_rest: asked.units.is_none() && asked.quantity.is_none(),
        is_last: units == left,
    })))
}

/// Why a burn does not come back as is asked: the refusal, and the field at fault.
pub type Unreturned = (Refusal, Option<&'static str>);

/// The units that come back of a burn of which so many are left, and the rewards with them. What was burned for rewards
/// comes back with whole ones.
fn measured(
    entry: &Entry,
    all: Units,
    left: Units,
    asked: &AskedReversal<'_>,
) -> Result<(Units, Option<RewardsBack>), Unreturned> {
    if !asked.lines.is_empty() {
        return Err((Refusal::LineUnknown, Some("lines[0].line_index")));
    }
    let reward = match &entry.command.kind {
        CommandKind::Redeem(redemption) => redemption.reward,
        _ => None,
    };
    let (wrong, field) = match reward {
        Some(_) => (asked.units.map(|_| "points"), "quantity"),
        None => (asked.quantity.map(|_| "quantity"), "points"),
    };
    if let Some(wrong) = wrong {
        return Err((Refusal::LineUnknown, Some(wrong)));
    }
    if left == 0 {
        return Err((Refusal::AlreadyReversed, None));
    }
    let price = reward.map_or(1, |reward| all / reward.quantity.max(1)).max(1);
    let count = reward.map_or(asked.units, |_| asked.quantity).unwrap_or(left / price);
    if count > left / price {
        return Err((Refusal::ReturnTooLarge, Some(field)));
    }
    let cells = || entry.decision.cells.iter().map(|taken| CellUse { used: count, ..*taken }).collect();
    Ok((count * price, reward.map(|_| RewardsBack { quantity: count, cells: cells() })))
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
