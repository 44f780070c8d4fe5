//! What an operator asked, as bytes: both sides.
//!
//! What must stay true: what is written is what is read, field by field; a release has neither counters nor cells, for
//! it gives nothing back.

use super::decode::{get_cells, get_counters, get_units};
use super::encode::{put_cells, put_counters};
use super::{
    KIND_ADJUSTMENT, KIND_CANCELLED_VOUCHER, KIND_REFUSED_ADJUSTMENT, KIND_REFUSED_RESTORATION, KIND_REFUSED_VOUCHER,
    KIND_REJECTION, KIND_RELEASE, KIND_RESTORATION, KIND_VOUCHER, vouchers,
};
use crate::codec::{DecodeError, Reader, put_id, put_signed, put_string, put_unsigned};
use crate::ledger::command::Granted;
use crate::ledger::decision::{CounterChange, Decision, Movement, TotalsChange};
use crate::ledger::held::{HeldChange, HeldName};
use crate::ledger::operator::{Adjustment, HeldOriginal, Operation, OperatorOrder, Remark, Restoration};
use crate::ledger::packed::{get_lot_key, put_lot_key};
use crate::ledger::types::{Position, SymbolId, TimestampNs, Units, WalletId};
use crate::limits;

/// The kinds of the records of an operation: granted, and refused.
pub(super) fn kinds_of(order: &OperatorOrder) -> (u8, u8) {
    match order {
        // These are refused without a record.
        OperatorOrder::Release(_) => (KIND_RELEASE, KIND_RELEASE),
        OperatorOrder::Reject(_) => (KIND_REJECTION, KIND_REJECTION),
        OperatorOrder::Restore(_) => (KIND_RESTORATION, KIND_REFUSED_RESTORATION),
        OperatorOrder::Adjust(_) => (KIND_ADJUSTMENT, KIND_REFUSED_ADJUSTMENT),
        OperatorOrder::IssueVoucher(_) | OperatorOrder::CancelVoucher(_) => vouchers::kinds_of(order),
    }
}

/// What was asked.
pub(super) fn put_operation(out: &mut Vec<u8>, operation: &Operation) {
    let Remark { reason_code, note, operator, .. } = &operation.remark;
    for text in [reason_code, note, operator] {
        put_string(out, text);
    }
    match &operation.order {
        OperatorOrder::Release(original) | OperatorOrder::Reject(original) => {
            put_id(out, &original.transaction_id);
            put_unsigned(out, original.position.0);
        }
        OperatorOrder::Restore(restoration) => {
            put_unsigned(out, restoration.expiry.0);
            out.extend_from_slice(&restoration.expires_at.0.to_le_bytes());
            put_unsigned(out, restoration.lots.len() as u64);
            for (key, units) in &restoration.lots {
                put_lot_key(out, key);
                put_signed(out, *units);
            }
        }
        OperatorOrder::Adjust(adjustment) => {
            out.push(adjustment.wallet.0);
            put_signed(out, adjustment.units);
            out.push(u8::from(adjustment.expires_at.is_some()));
            if let Some(expires_at) = adjustment.expires_at {
                out.extend_from_slice(&expires_at.0.to_le_bytes());
            }
        }
        OperatorOrder::IssueVoucher(kind) => put_unsigned(out, u64::from(kind.0)),
        OperatorOrder::CancelVoucher(code) => out.extend_from_slice(&code.0),
    }
}

/// Reads what was asked, but for what was held.
pub(super) fn get_operation(kind: u8, reader: &mut Reader<'_>) -> Result<Operation, DecodeError> {
    let mut text = |most: usize| {
        let text = reader.string()?;
        if text.len() <= most { Ok(text.into()) } else { Err(DecodeError::BadNumber) }
    };
    let remark = Remark {
        reason_code: text(limits::REASON_CODE_BYTES_MAX)?,
        note: text(limits::NOTE_BYTES_MAX)?,
        operator: text(limits::OPERATOR_BYTES_MAX)?,
        ..Remark::default()
    };
    let order = match kind {
        KIND_RELEASE | KIND_REJECTION => {
            let transaction_id = reader.id()?;
            let position = Position(reader.unsigned()?);
            let original = HeldOriginal { transaction_id, position, granted: Granted::default() };
            if kind == KIND_RELEASE { OperatorOrder::Release(original) } else { OperatorOrder::Reject(original) }
        }
        KIND_RESTORATION | KIND_REFUSED_RESTORATION => OperatorOrder::Restore(get_restoration(reader)?),
        KIND_VOUCHER | KIND_REFUSED_VOUCHER | KIND_CANCELLED_VOUCHER => vouchers::get_order(kind, reader)?,
        _ => {
            let wallet = WalletId(reader.byte()?);
            let units = reader.signed()?;
            if units == 0 || !(-limits::UNITS_MAX..=limits::UNITS_MAX).contains(&units) {
                return Err(DecodeError::BadNumber);
            }
            let expires_at = match reader.byte()? {
                0 => None,
                1 if units > 0 => Some(get_time(reader)?),
                _ => return Err(DecodeError::UnknownTag),
            };
            OperatorOrder::Adjust(Adjustment { wallet, units, expires_at })
        }
    };
    Ok(Operation { remark, order })
}

fn get_restoration(reader: &mut Reader<'_>) -> Result<Restoration, DecodeError> {
    let expiry = Position(reader.unsigned()?);
    let expires_at = get_time(reader)?;
    let count = reader.count()?;
    if count == 0 || count > limits::RESTORED_LOTS_MAX {
        return Err(DecodeError::BadNumber);
    }
    let lots = (0..count).map(|_| Ok((get_lot_key(reader)?, get_units(reader)?)));
    Ok(Restoration { expiry, expires_at, lots: lots.collect::<Result<_, DecodeError>>()? })
}

fn get_time(reader: &mut Reader<'_>) -> Result<TimestampNs, DecodeError> {
    Ok(TimestampNs(i64::from_le_bytes(reader.array()?)))
}

/// What was held of the transaction that is released or rejected.
pub(super) fn put_held(out: &mut Vec<u8>, order: &OperatorOrder, posted_at: TimestampNs) {
    let Some(HeldOriginal { granted, .. }) = order.held() else { return };
    put_signed(out, granted.units);
    out.push(u8::from(granted.lot.is_some()));
    if let Some(key) = granted.lot {
        put_lot_key(out, &key);
    }
    if matches!(order, OperatorOrder::Reject(_)) {
        put_counters(out, &granted.counters, posted_at);
        put_cells(out, &granted.cells);
    }
}

/// Reads what was held.
pub(super) fn get_held(
    reader: &mut Reader<'_>,
    order: &mut OperatorOrder,
    posted_at: TimestampNs,
) -> Result<(), DecodeError> {
    let (original, gives_back) = match order {
        OperatorOrder::Release(original) => (original, false),
        OperatorOrder::Reject(original) => (original, true),
        _ => return Ok(()),
    };
    let granted = &mut original.granted;
    granted.units = get_units(reader)?;
    granted.lot = match reader.byte()? {
        0 => None,
        1 => Some(get_lot_key(reader)?),
        _ => return Err(DecodeError::UnknownTag),
    };
    if gives_back {
        granted.counters = get_counters(reader, posted_at)?;
        granted.cells = get_cells(reader)?;
    }
    Ok(())
}

/// What follows from the operation without being written: all but the lots.
pub(super) fn get_effects(
    reader: &mut Reader<'_>,
    partner: SymbolId,
    order: &OperatorOrder,
    decision: &mut Decision,
) -> Result<(), DecodeError> {
    if let Some(original) = order.held() {
        let name = HeldName { partner, transaction_id: original.transaction_id.clone() };
        decision.effects.held = Some(Box::new(HeldChange::Ends(name)));
    }
    match order {
        OperatorOrder::Reject(original) => {
            for change in &original.granted.counters {
                let delta = change.delta.checked_neg().ok_or(DecodeError::BadNumber)?;
                decision.effects.counters.push(CounterChange { delta, ..*change });
            }
            decision.cells = get_cells(reader)?;
            decision.effects.totals = TotalsChange::of_reversal();
        }
        OperatorOrder::Adjust(adjustment) => decision.granted = adjustment.units,
        _ => {}
    }
    Ok(())
}

/// What the account gained or lost, where the lots say it.
pub(super) fn granted_by_lots(order: &OperatorOrder, decision: &Decision) -> Units {
    let moved = match order {
        OperatorOrder::Reject(_) => Movement::Reverse,
        OperatorOrder::Restore(_) => Movement::Restore,
        _ => return decision.granted,
    };
    let lots = decision.effects.lots.iter().filter(|lot| lot.movement == moved && lot.key.wallet == decision.wallet);
    lots.fold(0, |sum: Units, lot| sum.saturating_add(lot.delta))
}
