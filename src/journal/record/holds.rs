//! What sets units aside, burns and gives them back, as bytes: both sides.
//!
//! What must stay true: what is written is what is read, field by field; that time ran out is stated with the record that
//! gives back what was left, whatever its kind.

use super::decode::{flag, get_units, some};
use super::{KIND_AUTHORIZATION, KIND_CAPTURE, KIND_REFUSED_AUTHORIZATION, KIND_REFUSED_CAPTURE, KIND_VOID, Parts};
use crate::codec::{DecodeError, Reader, put_id, put_signed, put_unsigned};
use crate::ledger::authorization::{AuthorizationChange, AuthorizationChanges};
use crate::ledger::command::{AuthorizationOf, Capture, Command, CommandKind, SettingAside};
use crate::ledger::decision::{Decision, TotalsChange};
use crate::ledger::held::HeldName;
use crate::ledger::types::{Position, SymbolId, TimestampNs, WalletId};
use crate::limits;

/// Whether a record of this kind is of a command about what is set aside.
pub(super) fn is_kind(kind: u8) -> bool {
    (KIND_AUTHORIZATION..=KIND_VOID).contains(&kind)
}

/// The kinds of the records of a command: granted, and refused.
pub(super) fn kinds_of(kind: &CommandKind) -> (u8, u8) {
    match kind {
        CommandKind::Authorize(_) => (KIND_AUTHORIZATION, KIND_REFUSED_AUTHORIZATION),
        CommandKind::Capture(_) => (KIND_CAPTURE, KIND_REFUSED_CAPTURE),
        // It is refused without a record.
        _ => (KIND_VOID, KIND_VOID),
    }
}

/// What was asked.
pub(super) fn put_question(out: &mut Vec<u8>, kind: &CommandKind, posted_at: TimestampNs) {
    match kind {
        CommandKind::Authorize(asked) => {
            out.push(asked.wallet.0);
            put_signed(out, asked.units);
            put_unsigned(out, u64::from(asked.hold_seconds.unwrap_or(0)));
        }
        CommandKind::Capture(capture) => {
            put_authorization(out, &capture.of, posted_at);
            put_signed(out, capture.units);
            out.push(u8::from(capture.is_final));
        }
        CommandKind::Void(of) => put_authorization(out, of, posted_at),
        _ => unreachable!("the other kinds are written elsewhere"),
    }
}

fn put_authorization(out: &mut Vec<u8>, of: &AuthorizationOf, posted_at: TimestampNs) {
    put_id(out, &of.transaction_id);
    put_unsigned(out, of.position.0);
    out.push(of.wallet.0);
    put_signed(out, of.ends_at.0.wrapping_sub(posted_at.0));
}

/// Reads what was asked.
pub(super) fn get_question(
    kind: u8,
    reader: &mut Reader<'_>,
    posted_at: TimestampNs,
) -> Result<CommandKind, DecodeError> {
    Ok(match kind {
        KIND_AUTHORIZATION | KIND_REFUSED_AUTHORIZATION => {
            let (wallet, units) = (WalletId(reader.byte()?), get_units(reader)?);
            let seconds: u32 = reader.number()?;
            if i64::from(seconds) > limits::HOLD_SECONDS_MAX {
                return Err(DecodeError::BadNumber);
            }
            CommandKind::Authorize(SettingAside { wallet, units, hold_seconds: (seconds > 0).then_some(seconds) })
        }
        KIND_CAPTURE | KIND_REFUSED_CAPTURE => CommandKind::Capture(Capture {
            of: get_authorization(reader, posted_at)?,
            units: get_units(reader)?,
            is_final: flag(reader)?,
        }),
        _ => CommandKind::Void(get_authorization(reader, posted_at)?),
    })
}

fn get_authorization(reader: &mut Reader<'_>, posted_at: TimestampNs) -> Result<AuthorizationOf, DecodeError> {
    Ok(AuthorizationOf {
        transaction_id: reader.id()?,
        position: Position(reader.unsigned()?),
        wallet: WalletId(reader.byte()?),
        ends_at: TimestampNs(posted_at.0.wrapping_add(reader.signed()?)),
    })
}

/// What became of it, but for the lots.
pub(super) fn put_outcome(out: &mut Vec<u8>, decision: &Decision, posted_at: TimestampNs) {
    let changes = decision.effects.authorizations.as_deref();
    match changes.and_then(|changes| changes.own.as_ref()) {
        None => unreachable!("such a command that is not refused changes what is set aside"),
        Some(AuthorizationChange::Begins(_, ends_at)) => put_signed(out, ends_at.0.wrapping_sub(posted_at.0)),
        Some(AuthorizationChange::Captures { captured, rest, closes, .. }) => {
            put_signed(out, *captured);
            put_signed(out, *rest);
            out.push(u8::from(*closes));
        }
        Some(AuthorizationChange::Voids { captured, rest, .. }) => {
            put_signed(out, *captured);
            put_signed(out, *rest);
        }
    }
}

/// Reads what became of it.
pub(super) fn get_outcome(
    reader: &mut Reader<'_>,
    command: &Command,
    posted_at: TimestampNs,
    decision: &mut Decision,
) -> Result<(), DecodeError> {
    if decision.refusal().is_some() {
        if matches!(command.kind, CommandKind::Authorize(_)) {
            decision.effects.totals = TotalsChange::of_refused_redemption();
        }
        return Ok(());
    }
    let name = |transaction_id: &str| HeldName { partner: command.partner, transaction_id: transaction_id.into() };
    let own = match &command.kind {
        CommandKind::Authorize(_) => {
            let ends_at = TimestampNs(posted_at.0.wrapping_add(reader.signed()?));
            AuthorizationChange::Begins(name(&command.transaction_id), ends_at)
        }
        CommandKind::Capture(capture) => {
            decision.granted = -capture.units;
            let (name, units) = (name(&capture.of.transaction_id), capture.units);
            let (captured, rest) = (reader.signed()?, reader.signed()?);
            AuthorizationChange::Captures { name, units, captured, rest, closes: flag(reader)? }
        }
        CommandKind::Void(of) => {
            let (captured, rest) = (reader.signed()?, reader.signed()?);
            AuthorizationChange::Voids { name: name(&of.transaction_id), captured, rest }
        }
        _ => return Ok(()),
    };
    decision.effects.authorizations = Some(Box::new(AuthorizationChanges { ended: Vec::new(), own: Some(own) }));
    Ok(())
}

/// Authorizations whose time had run out.
pub(super) fn ended(decision: &Decision) -> &[HeldName] {
    decision.effects.authorizations.as_deref().map_or(&[], |changes| &changes.ended)
}

/// Appends the part of these, if there are any.
pub(super) fn put_ended(out: &mut Vec<u8>, decision: &Decision) {
    let ended = ended(decision);
    if ended.is_empty() {
        return;
    }
    put_unsigned(out, ended.len() as u64);
    for name in ended {
        put_unsigned(out, u64::from(name.partner.0));
        put_id(out, &name.transaction_id);
    }
}

/// Reads the part of these.
pub(super) fn get_ended(reader: &mut Reader<'_>, parts: u64, decision: &mut Decision) -> Result<(), DecodeError> {
    if parts & Parts::ENDED == 0 {
        return Ok(());
    }
    let count = some(reader.count()?)?;
    if decision.refusal().is_some() || count > limits::AUTHORIZATIONS_MAX {
        return Err(DecodeError::Contradiction);
    }
    let names = (0..count).map(|_| {
        let partner = SymbolId(reader.number()?);
        Ok(HeldName { partner, transaction_id: reader.id()? })
    });
    let ended = names.collect::<Result<Vec<_>, DecodeError>>()?;
    if !ended.is_sorted_by(|a, b| a < b) {
        return Err(DecodeError::Contradiction);
    }
    decision.effects.authorizations.get_or_insert_default().ended = ended;
    Ok(())
}
