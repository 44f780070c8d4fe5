//! What is paid in and what goes back, as bytes: both sides.
//!
//! What must stay true: what is written is what is read, field by field; a refund states what it is of, so that it can be
//! decided again alone.

use super::decode::{flag, get_units};
use super::{KIND_REFUND, KIND_REFUSED_REFUND, KIND_REFUSED_TOP_UP, KIND_TOP_UP};
use crate::codec::{DecodeError, Reader, put_id, put_signed, put_string, put_unsigned};
use crate::ledger::command::CommandKind;
use crate::ledger::decision::{Decision, TotalsChange};
use crate::ledger::money::{Refund, TopUp};
use crate::ledger::packed::{get_lot_key, put_lot_key};
use crate::ledger::types::{Position, SymbolId, WalletId};
use crate::limits;

/// Whether a record of this kind is of a command about money.
pub(super) fn is_kind(kind: u8) -> bool {
    (KIND_TOP_UP..=KIND_REFUSED_REFUND).contains(&kind)
}

/// The kinds of the records of a command: granted, and refused.
pub(super) fn kinds_of(kind: &CommandKind) -> (u8, u8) {
    match kind {
        CommandKind::TopUp(_) => (KIND_TOP_UP, KIND_REFUSED_TOP_UP),
        _ => (KIND_REFUND, KIND_REFUSED_REFUND),
    }
}

/// What was asked.
pub(super) fn put_question(out: &mut Vec<u8>, kind: &CommandKind) {
    match kind {
        CommandKind::TopUp(asked) => {
            out.push(asked.wallet.0);
            put_signed(out, asked.units);
            put_string(out, &asked.source);
            put_unsigned(out, u64::from(asked.store.0));
            put_unsigned(out, u64::from(asked.terminal.0));
        }
        CommandKind::Refund(refund) => {
            put_id(out, &refund.original_transaction_id);
            put_unsigned(out, refund.original_position.0);
            put_unsigned(out, refund.earlier.map_or(0, |earlier| earlier.0 + 1));
            out.push(u8::from(refund.is_rest));
            put_signed(out, refund.units);
            put_signed(out, refund.left);
            put_lot_key(out, &refund.lot);
            put_string(out, &refund.source);
        }
        _ => unreachable!("the other kinds are written elsewhere"),
    }
}

/// Reads what was asked.
pub(super) fn get_question(kind: u8, reader: &mut Reader<'_>) -> Result<CommandKind, DecodeError> {
    if matches!(kind, KIND_TOP_UP | KIND_REFUSED_TOP_UP) {
        return Ok(CommandKind::TopUp(TopUp {
            wallet: WalletId(reader.byte()?),
            units: get_units(reader)?,
            source: get_source(reader)?,
            store: SymbolId(reader.number()?),
            terminal: SymbolId(reader.number()?),
        }));
    }
    let refund = Refund {
        original_transaction_id: reader.id()?,
        original_position: Position(reader.unsigned()?),
        earlier: reader.unsigned()?.checked_sub(1).map(Position),
        is_rest: flag(reader)?,
        units: get_units(reader)?,
        left: reader.signed()?,
        lot: get_lot_key(reader)?,
        source: get_source(reader)?,
    };
    let in_range = (0..=limits::UNITS_MAX).contains(&refund.left);
    // Of what is left nothing is left afterwards.
    if in_range && (!refund.is_rest || refund.is_last()) {
        Ok(CommandKind::Refund(Box::new(refund)))
    } else {
        Err(DecodeError::Contradiction)
    }
}

fn get_source(reader: &mut Reader<'_>) -> Result<Box<str>, DecodeError> {
    let source = reader.string()?;
    let fits = (1..=limits::TOP_UP_SOURCE_BYTES_MAX).contains(&source.len());
    if fits { Ok(source.into()) } else { Err(DecodeError::BadNumber) }
}

/// What became of it but for the lots, also of a refund that was refused.
pub(super) fn put_outcome(out: &mut Vec<u8>, kind: &CommandKind, decision: &Decision) {
    if matches!(kind, CommandKind::Refund(_)) {
        put_signed(out, decision.refundable);
    }
}

/// Reads what became of it.
pub(super) fn get_outcome(
    reader: &mut Reader<'_>,
    kind: &CommandKind,
    decision: &mut Decision,
) -> Result<(), DecodeError> {
    let is_granted = decision.refusal().is_none();
    match kind {
        CommandKind::TopUp(asked) if is_granted => decision.granted = asked.units,
        CommandKind::Refund(refund) => {
            decision.refundable = reader.signed()?;
            if is_granted {
                decision.granted = -refund.units;
                decision.effects.totals = TotalsChange::of_reversal();
            }
        }
        _ => {}
    }
    Ok(())
}
