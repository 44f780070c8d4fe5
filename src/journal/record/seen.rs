//! The cells that a basket or an activity which is refused had looked into, as bytes: both sides.
//!
//! What must stay true: what is written is what is read, field by field; nothing is taken from these cells. Records of the
//! first versions do not have the part, whatever was looked into.

use super::decode::{get_subject, some};
use super::{Entry, Parts};
use crate::codec::{DecodeError, Reader, put_signed, put_unsigned};
use crate::ledger::command::CommandKind;
use crate::ledger::decision::{CellUse, Decision};
use crate::ledger::types::{CellId, SymbolId};

/// The part that is about them.
pub(super) fn parts_of(decision: &Decision) -> u64 {
    if decision.refusal().is_some() && !decision.cells.is_empty() { Parts::SEEN } else { 0 }
}

/// Appends the part.
pub(super) fn put_part(out: &mut Vec<u8>, parts: u64, decision: &Decision) {
    if parts & Parts::SEEN == 0 {
        return;
    }
    put_unsigned(out, decision.cells.len() as u64);
    for seen in &decision.cells {
        assert_eq!(seen.used, 0, "a refusal takes nothing");
        put_unsigned(out, u64::from(seen.cell.name.0));
        put_unsigned(out, seen.version);
        put_signed(out, seen.room_before);
        super::encode::put_subject(out, seen);
    }
}

/// Reads the part.
pub(super) fn get_part(reader: &mut Reader<'_>, parts: u64, entry: &mut Entry) -> Result<(), DecodeError> {
    if parts & Parts::SEEN == 0 {
        return Ok(());
    }
    let looks = matches!(entry.command.kind, CommandKind::Accrue(_) | CommandKind::Act(_));
    if !looks || entry.decision.refusal().is_none() {
        return Err(DecodeError::Contradiction);
    }
    for _ in 0..some(reader.count()?)? {
        let mut seen = CellUse {
            cell: CellId::whole(SymbolId(reader.number()?)),
            version: reader.unsigned()?,
            room_before: reader.signed()?,
            used: 0,
            retain_until: CellUse::FOR_EVER,
        };
        get_subject(reader, &mut seen)?;
        entry.decision.cells.push(seen);
    }
    Ok(())
}
