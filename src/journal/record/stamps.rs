//! What a basket counted on stamp cards, and the vouchers of cards that come back with one, as bytes: both sides.
//!
//! What must stay true: what is written is what is read, field by field; the counters of the record are those that the cards
//! move.

use super::decode::some;
use super::{Entry, Parts};
use crate::codec::{DecodeError, Reader, put_unsigned};
use crate::ledger::command::CommandKind;
use crate::ledger::decision::Decision;
use crate::ledger::program::StampIndex;
use crate::ledger::stamps::{CardVouchers, StampOutcome, counts_as_stated, keep_given};
use crate::ledger::types::SymbolId;
use crate::limits;

/// The part that is about stamp cards.
pub(super) fn parts_of(kind: &CommandKind, decision: &Decision) -> u64 {
    let of_original = matches!(kind, CommandKind::Reverse(reversal) if !reversal.original.stamps.is_empty());
    if of_original || !decision.stamps.is_empty() { Parts::STAMPS } else { 0 }
}

/// Appends the part.
pub(super) fn put_part(out: &mut Vec<u8>, parts: u64, kind: &CommandKind, decision: &Decision) {
    if parts & Parts::STAMPS == 0 {
        return;
    }
    if let CommandKind::Reverse(reversal) = kind {
        put_unsigned(out, reversal.original.stamps.len() as u64);
        for card in &reversal.original.stamps {
            put_unsigned(out, u64::from(card.given.0));
            out.extend_from_slice(&[card.first, card.count]);
        }
        return;
    }
    put_unsigned(out, decision.stamps.len() as u64);
    for outcome in &decision.stamps {
        put_unsigned(out, (u64::from(outcome.card.0) << 1) | u64::from(outcome.are_vouchers));
        for number in [outcome.stamps_before, outcome.given_before, outcome.counted, outcome.rewards] {
            put_unsigned(out, number as u64);
        }
    }
}

/// Reads the part.
pub(super) fn get_part(reader: &mut Reader<'_>, parts: u64, entry: &mut Entry) -> Result<(), DecodeError> {
    if parts & Parts::STAMPS == 0 {
        return Ok(());
    }
    let count = some(reader.count()?)?;
    if count > limits::PROGRAM_STAMPS_MAX {
        return Err(DecodeError::BadNumber);
    }
    let is_granted = entry.decision.refusal().is_none();
    let fits = match &mut entry.command.kind {
        CommandKind::Accrue(_) => {
            let outcomes = &mut entry.decision.stamps;
            for _ in 0..count {
                outcomes.push(get_outcome(reader)?);
            }
            let ascends = outcomes.is_sorted_by(|one, next| one.card < next.card);
            is_granted && ascends && entry.decision.over_velocity.is_none() && counts_as_stated(&entry.decision)
        }
        CommandKind::Reverse(reversal) => {
            reversal.original.stamps = (0..count).map(|_| get_card(reader)).collect::<Result<_, _>>()?;
            if is_granted {
                let by = (entry.command.partner, &*reversal.original_transaction_id);
                let effects = &mut entry.decision.effects;
                // What goes back to cells is written beside.
                keep_given(&reversal.original, by, &effects.vouchers, &mut effects.counters, &mut []);
            }
            reversal.original.stamps.is_sorted_by(|one, next| one.first + one.count <= next.first)
        }
        _ => false,
    };
    if fits { Ok(()) } else { Err(DecodeError::Contradiction) }
}

fn get_outcome(reader: &mut Reader<'_>) -> Result<StampOutcome, DecodeError> {
    let tagged = reader.unsigned()?;
    let card = StampIndex(u8::try_from(tagged >> 1).map_err(|_| DecodeError::BadNumber)?);
    let mut number = |least| {
        let number: i64 = reader.number()?;
        if (least..=limits::UNITS_MAX).contains(&number) { Ok(number) } else { Err(DecodeError::BadNumber) }
    };
    let (stamps_before, given_before, counted, rewards) = (number(0)?, number(0)?, number(1)?, number(0)?);
    Ok(StampOutcome { card, stamps_before, given_before, counted, rewards, are_vouchers: tagged & 1 == 1 })
}

fn get_card(reader: &mut Reader<'_>) -> Result<CardVouchers, DecodeError> {
    let given = SymbolId(reader.number()?);
    let [first, count] = reader.array()?;
    let fits = count > 0 && first.checked_add(count).is_some_and(|end| end <= limits::VOUCHERS_OF_ONE_MAX);
    if fits { Ok(CardVouchers { given, first, count }) } else { Err(DecodeError::BadNumber) }
}
