//! Freezes and thaws as bytes, for records and for snapshots.
//!
//! What must stay true: whatever the bytes are, the answer is a change or an error; a change has one form only.

use super::{KIND_FREEZE, KIND_THAW};
use crate::codec::{DecodeError, Reader, put_string, put_unsigned};
use crate::ledger::freeze::{FreezeChange, Subject};
use crate::ledger::types::{SymbolId, TimestampNs};

const SUBJECT_ACCOUNT: u8 = 1;
const SUBJECT_TERMINAL: u8 = 2;
const SUBJECT_CASHIER: u8 = 3;

/// Appends the kind and the fields.
pub fn encode_freeze_change(out: &mut Vec<u8>, change: &FreezeChange) {
    out.push(if change.freezes { KIND_FREEZE } else { KIND_THAW });
    let mut symbols = |tag: u8, symbols: &[SymbolId]| {
        out.push(tag);
        symbols.iter().for_each(|symbol| put_unsigned(out, u64::from(symbol.0)));
    };
    match &change.subject {
        Subject::Account(id) => {
            symbols(SUBJECT_ACCOUNT, &[]);
            put_string(out, id);
        }
        Subject::Terminal { partner, store, terminal } => symbols(SUBJECT_TERMINAL, &[*partner, *store, *terminal]),
        Subject::Cashier { partner, cashier } => symbols(SUBJECT_CASHIER, &[*partner, *cashier]),
    }
    out.extend_from_slice(&change.at.0.to_le_bytes());
    for text in [&change.by, &change.reason_code, &change.note] {
        put_string(out, text);
    }
}

/// Reads the fields of a change of this kind.
///
/// # Errors
/// When the bytes are not what [`encode_freeze_change`] writes.
pub fn decode_freeze_change(kind: u8, reader: &mut Reader<'_>) -> Result<FreezeChange, DecodeError> {
    let freezes = match kind {
        KIND_FREEZE => true,
        KIND_THAW => false,
        _ => return Err(DecodeError::UnknownTag),
    };
    let tag = reader.byte()?;
    let mut symbol = || reader.number().map(SymbolId);
    let subject = match tag {
        SUBJECT_TERMINAL => Subject::Terminal { partner: symbol()?, store: symbol()?, terminal: symbol()? },
        SUBJECT_CASHIER => Subject::Cashier { partner: symbol()?, cashier: symbol()? },
        SUBJECT_ACCOUNT => Subject::Account(reader.string()?.into()),
        _ => return Err(DecodeError::UnknownTag),
    };
    Ok(FreezeChange {
        subject,
        freezes,
        at: TimestampNs(i64::from_le_bytes(reader.array()?)),
        by: reader.string()?.into(),
        reason_code: reader.string()?.into(),
        note: reader.string()?.into(),
    })
}
