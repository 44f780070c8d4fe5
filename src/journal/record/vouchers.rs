//! Vouchers that a basket names, and what becomes of vouchers, as bytes: both sides.
//!
//! What must stay true: what is written is what is read, field by field; that a basket used what it names is not written
//! twice.

use super::decode::some;
use super::{Entry, KIND_CANCELLED_VOUCHER, KIND_REFUSED_VOUCHER, KIND_VOUCHER, Parts};
use crate::codec::{DecodeError, Reader, put_signed, put_unsigned};
use crate::ledger::command::CommandKind;
use crate::ledger::decision::Decision;
use crate::ledger::operator::OperatorOrder;
use crate::ledger::types::{SymbolId, TimestampNs};
use crate::ledger::voucher::{VoucherChange, VoucherCode, VoucherTerms};
use crate::limits;

const GIVEN: u8 = 0;
const GIVEN_BACK: u8 = 1;
const CANCELLED: u8 = 2;
const KEPT: u8 = 3;

/// Whether a record of this kind is about an operation about vouchers.
pub(super) fn is_kind(kind: u8) -> bool {
    matches!(kind, KIND_VOUCHER | KIND_REFUSED_VOUCHER | KIND_CANCELLED_VOUCHER)
}

/// The kinds of the records of an operation about vouchers: granted, and refused.
pub(super) fn kinds_of(order: &OperatorOrder) -> (u8, u8) {
    match order {
        OperatorOrder::CancelVoucher(_) => (KIND_CANCELLED_VOUCHER, KIND_CANCELLED_VOUCHER),
        _ => (KIND_VOUCHER, KIND_REFUSED_VOUCHER),
    }
}

/// The order of a record of such a kind.
pub(super) fn get_order(kind: u8, reader: &mut Reader<'_>) -> Result<OperatorOrder, DecodeError> {
    Ok(match kind {
        KIND_CANCELLED_VOUCHER => OperatorOrder::CancelVoucher(VoucherCode(reader.array()?)),
        _ => OperatorOrder::IssueVoucher(SymbolId(reader.number()?)),
    })
}

/// The parts that are about vouchers.
pub(super) fn parts_of(kind: &CommandKind, decision: &Decision) -> u64 {
    let names = matches!(kind, CommandKind::Accrue(basket) if !basket.vouchers.is_empty());
    let changes = other_changes(decision).next().is_some();
    (if names { Parts::NAMED_VOUCHERS } else { 0 }) | if changes { Parts::VOUCHERS } else { 0 }
}

/// What becomes of vouchers besides being used.
fn other_changes(decision: &Decision) -> impl Iterator<Item = &(VoucherCode, VoucherChange)> {
    decision.effects.vouchers.iter().filter(|(_, change)| !matches!(change, VoucherChange::Used(_)))
}

/// Appends these parts.
pub(super) fn put_parts(
    out: &mut Vec<u8>,
    parts: u64,
    kind: &CommandKind,
    decision: &Decision,
    posted_at: TimestampNs,
) {
    if let CommandKind::Accrue(basket) = kind
        && parts & Parts::NAMED_VOUCHERS != 0
    {
        put_unsigned(out, basket.vouchers.len() as u64);
        basket.vouchers.iter().for_each(|code| out.extend_from_slice(&code.0));
    }
    if parts & Parts::VOUCHERS == 0 {
        return;
    }
    put_unsigned(out, other_changes(decision).count() as u64);
    for (code, change) in other_changes(decision) {
        out.extend_from_slice(&code.0);
        match change {
            VoucherChange::Given(terms) => {
                out.push(GIVEN);
                put_unsigned(out, u64::from(terms.kind.0));
                put_signed(out, terms.starts_at.0.wrapping_sub(posted_at.0));
                put_signed(out, terms.ends_at.0.wrapping_sub(posted_at.0));
                put_signed(out, terms.minor_min);
            }
            VoucherChange::GivenBack => out.push(GIVEN_BACK),
            VoucherChange::Cancelled => out.push(CANCELLED),
            VoucherChange::Kept => out.push(KEPT),
            VoucherChange::Used(_) => unreachable!("these follow from the basket"),
        }
    }
}

/// Reads these parts.
pub(super) fn get_parts(reader: &mut Reader<'_>, parts: u64, entry: &mut Entry) -> Result<(), DecodeError> {
    let Entry { posted_at, command, decision, .. } = entry;
    let is_granted = decision.refusal().is_none();
    if parts & Parts::NAMED_VOUCHERS != 0 {
        let CommandKind::Accrue(basket) = &mut command.kind else { return Err(DecodeError::Contradiction) };
        let count = some(reader.count()?)?;
        if count > limits::VOUCHER_CODES_MAX {
            return Err(DecodeError::BadNumber);
        }
        basket.vouchers = (0..count).map(|_| reader.array().map(VoucherCode)).collect::<Result<_, _>>()?;
        if !basket.vouchers.is_sorted_by(|one, next| one < next) {
            return Err(DecodeError::Contradiction);
        }
        if is_granted {
            let user = VoucherCode::of_user(command.partner, &command.transaction_id);
            let used = basket.vouchers.iter().map(|code| (*code, VoucherChange::Used(user)));
            decision.effects.vouchers.extend(used);
        }
    }
    if parts & Parts::VOUCHERS != 0 {
        let count = some(reader.count()?)?;
        if !is_granted || count > limits::VOUCHERS_MAX {
            return Err(DecodeError::Contradiction);
        }
        for _ in 0..count {
            let change = get_change(reader, command.partner, *posted_at)?;
            decision.effects.vouchers.push(change);
        }
    }
    Ok(())
}

fn get_change(
    reader: &mut Reader<'_>,
    issuer: SymbolId,
    posted_at: TimestampNs,
) -> Result<(VoucherCode, VoucherChange), DecodeError> {
    let code = VoucherCode(reader.array()?);
    let change = match reader.byte()? {
        GIVEN => VoucherChange::Given(VoucherTerms {
            issuer,
            kind: SymbolId(reader.number()?),
            starts_at: TimestampNs(posted_at.0.wrapping_add(reader.signed()?)),
            ends_at: TimestampNs(posted_at.0.wrapping_add(reader.signed()?)),
            minor_min: reader.signed()?,
        }),
        GIVEN_BACK => VoucherChange::GivenBack,
        CANCELLED => VoucherChange::Cancelled,
        KEPT => VoucherChange::Kept,
        _ => return Err(DecodeError::UnknownTag),
    };
    Ok((code, change))
}
