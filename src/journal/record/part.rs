//! Which part of its original a reversal takes back, as bytes: both sides.
//!
//! What must stay true: what is written is what is read, field by field; a reversal of the whole at once has no part.

use crate::codec::{DecodeError, Reader, put_signed, put_unsigned};
use crate::ledger::command::{Part, ReturnedLine};
use crate::ledger::types::{Position, ProgramVersion};
use crate::limits;

/// Whatever was left was asked for.
const IS_REST: u8 = 1;
/// Nothing is left afterwards.
const IS_LAST: u8 = 2;

pub(super) fn put_part(out: &mut Vec<u8>, part: &Part) {
    put_unsigned(out, part.earlier.map_or(0, |earlier| earlier.0 + 1));
    let flag = |is: bool, flag| if is { flag } else { 0 };
    out.push(flag(part.is_rest, IS_REST) | flag(part.is_last, IS_LAST));
    put_unsigned(out, part.lines.len() as u64);
    for line in &part.lines {
        put_unsigned(out, u64::from(line.line));
        put_unsigned(out, line.quantity as u64);
        put_unsigned(out, line.amount_minor as u64);
    }
    put_unsigned(out, part.carried.map_or(0, |(version, _)| u64::from(version.0)));
    if let Some((_, carried)) = part.carried {
        put_signed(out, carried);
    }
}

pub(super) fn get_part(reader: &mut Reader<'_>) -> Result<Part, DecodeError> {
    let earlier = reader.unsigned()?.checked_sub(1).map(Position);
    let flags = reader.byte()?;
    let (is_rest, is_last) = (flags & IS_REST != 0, flags & IS_LAST != 0);
    if flags & !(IS_REST | IS_LAST) != 0 {
        return Err(DecodeError::UnknownTag);
    }
    let count = reader.count()?;
    if count > limits::BASKET_LINES_MAX {
        return Err(DecodeError::BadNumber);
    }
    let mut lines = Vec::with_capacity(count);
    for _ in 0..count {
        let line = ReturnedLine { line: reader.number()?, quantity: reader.number()?, amount_minor: reader.number()? };
        let fits = (0..=limits::LINE_QUANTITY_MAX).contains(&line.quantity)
            && (0..=limits::LINE_AMOUNT_MINOR_MAX).contains(&line.amount_minor);
        if !fits {
            return Err(DecodeError::BadNumber);
        }
        lines.push(line);
    }
    let carried = match reader.number()? {
        0 => None,
        version => Some((ProgramVersion(version), reader.signed()?)),
    };
    let part = Part { earlier, lines, is_rest, is_last, carried };
    if is_whole_form(&part) { Ok(part) } else { Err(DecodeError::Contradiction) }
}

/// Whether the fields go together: the whole at once has no part, and no line is named for nothing.
fn is_whole_form(part: &Part) -> bool {
    let says_more = !part.is_rest || part.earlier.is_some() || part.carried.is_some();
    let is_named = |line: &ReturnedLine| (line.quantity, line.amount_minor) != (0, 0);
    says_more
        && (part.is_last || !part.is_rest)
        && (part.is_rest || !part.lines.is_empty())
        && part.lines.is_sorted_by(|one, next| one.line < next.line)
        && part.lines.iter().all(is_named)
        && part.carried.is_none_or(|(_, carried)| carried != 0)
}
