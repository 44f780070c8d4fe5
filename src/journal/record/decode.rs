//! Records from bytes: the reading side.
//!
//! What must stay true: whatever the bytes are, the answer is a record or an error; a record has one form only, so that
//! other bytes are never taken for the same record.

use super::{
    Entry, FLAG_CASHIER, FLAG_LOT, FLAG_OPENS_ACCOUNT, FLAG_OVER_VELOCITY, FLAG_TERMINAL, FLAGS_OF_ACCRUAL,
    FLAGS_OF_REFUSED_ACCRUAL, FLAGS_OF_REVERSAL, KIND_ACCRUAL, KIND_ITEM, KIND_OPENING, KIND_PROGRAM,
    KIND_REFUSED_ACCRUAL, KIND_REFUSED_REVERSAL, KIND_REVERSAL, KIND_SYMBOL, Opening, PreviousRecord, Publication,
    Record,
};
use crate::journal::codec::{DecodeError, Reader};
use crate::journal::dictionary::Dictionary;
use crate::ledger::command::{Basket, Command, CommandKind, Granted, Line, Receipt, Reversal};
use crate::ledger::decision::{
    CellUse, Clip, CounterChange, Decision, LineOutcome, LotKey, Outcome, Refusal, TotalsChange,
};
use crate::ledger::program::{LineClass, RuleIndex};
use crate::ledger::types::{
    AccountNumber, CellId, Day, Item, ItemId, Position, ProgramVersion, SymbolId, TimestampNs, WalletId,
};
use crate::ledger::zone::utc_day;
use crate::limits;

/// Decodes a record. Items are looked up in the dictionary, which holds everything the journal defined before.
///
/// # Errors
/// When the bytes are not what the encoder writes.
pub fn decode(bytes: &[u8], dictionary: &Dictionary) -> Result<Record, DecodeError> {
    let mut reader = Reader::new(bytes);
    let record = match reader.byte()? {
        kind @ (KIND_ACCRUAL | KIND_REVERSAL | KIND_REFUSED_ACCRUAL | KIND_REFUSED_REVERSAL) => {
            Record::Entry(Box::new(decode_entry(kind, &mut reader, dictionary)?))
        }
        KIND_OPENING => Record::Opening(Opening {
            epoch: reader.unsigned()?,
            at: TimestampNs(i64::from_le_bytes(reader.array()?)),
            time_zone_release: reader.string()?.into(),
            shard_count: reader.number()?,
            clock_is_input: flag(&mut reader)?,
        }),
        KIND_SYMBOL => Record::Symbol(SymbolId(reader.number()?), reader.string()?.into()),
        KIND_ITEM => {
            let id = ItemId(reader.number()?);
            let mut symbol = || reader.number().map(SymbolId);
            let item = Item {
                sku: symbol()?,
                category: symbol()?,
                department: symbol()?,
                brand: symbol()?,
                margin_class: symbol()?,
            };
            Record::Item(id, item)
        }
        KIND_PROGRAM => Record::Program(Publication::decode(&mut reader)?),
        _ => return Err(DecodeError::UnknownTag),
    };
    reader.finish()?;
    Ok(record)
}

fn decode_entry(kind: u8, reader: &mut Reader<'_>, dictionary: &Dictionary) -> Result<Entry, DecodeError> {
    let flags = reader.byte()?;
    let possible = match kind {
        KIND_ACCRUAL => FLAGS_OF_ACCRUAL,
        KIND_REFUSED_ACCRUAL => FLAGS_OF_REFUSED_ACCRUAL,
        _ => FLAGS_OF_REVERSAL,
    };
    if flags & !possible != 0 {
        return Err(DecodeError::UnknownTag);
    }
    let previous = match reader.unsigned()? {
        0 => PreviousRecord::None,
        tagged if tagged & 1 == 0 => PreviousRecord::At(Position((tagged >> 1) - 1)),
        1 => return Err(DecodeError::Contradiction),
        tagged => PreviousRecord::Back(tagged >> 1),
    };
    let account = AccountNumber(reader.number()?);
    let opens_account = flags & FLAG_OPENS_ACCOUNT != 0;
    let account_id = if opens_account { reader.id()? } else { Box::default() };
    let posted_at = TimestampNs(i64::from_le_bytes(reader.array()?));
    let transaction_id = reader.id()?;
    let partner = SymbolId(reader.number()?);
    let mut decision = Decision { account_known: true, ..Decision::default() };
    decision.program = ProgramVersion(reader.number()?);
    decision.effects.opens_account = opens_account;
    let mut kind_of_command = match kind {
        KIND_ACCRUAL | KIND_REFUSED_ACCRUAL => CommandKind::Accrue(get_basket(reader, flags, posted_at, dictionary)?),
        _ => CommandKind::Reverse(Reversal {
            original_transaction_id: reader.id()?,
            original_position: Position(reader.unsigned()?),
            original: Granted::default(),
        }),
    };
    decision.wallet = WalletId(reader.byte()?);
    decision.balance_after = reader.signed()?;
    if matches!(kind, KIND_REFUSED_ACCRUAL | KIND_REFUSED_REVERSAL) {
        let refusal = Refusal::from_number(reader.byte()?).ok_or(DecodeError::UnknownTag)?;
        if !refusal.is_journaled() {
            return Err(DecodeError::Contradiction);
        }
        decision.outcome = Outcome::Refused(refusal);
    }
    match &mut kind_of_command {
        CommandKind::Accrue(basket) if decision.refusal().is_none() => {
            get_accrual(reader, flags, partner, basket, posted_at, &mut decision)?;
        }
        CommandKind::Accrue(_) => {}
        CommandKind::Reverse(reversal) => {
            reversal.original = get_granted(reader, posted_at)?;
            if decision.refusal().is_none() {
                get_reversal_effects(reader, &reversal.original, &mut decision)?;
            }
        }
    }
    let command = Command {
        account_id: account_id.into(),
        transaction_id: transaction_id.into(),
        partner,
        kind: kind_of_command,
    };
    Ok(Entry { previous, account, posted_at, command, decision })
}

fn get_basket(
    reader: &mut Reader<'_>,
    flags: u8,
    posted_at: TimestampNs,
    dictionary: &Dictionary,
) -> Result<Basket, DecodeError> {
    let store = SymbolId(reader.number()?);
    let mut optional = |flag| match flags & flag {
        0 => Ok(SymbolId::EMPTY),
        _ => reader.number().map(SymbolId),
    };
    let terminal = optional(FLAG_TERMINAL)?;
    let cashier = optional(FLAG_CASHIER)?;
    // What is empty is left out, not written as number 0.
    if (terminal != SymbolId::EMPTY) != (flags & FLAG_TERMINAL != 0)
        || (cashier != SymbolId::EMPTY) != (flags & FLAG_CASHIER != 0)
    {
        return Err(DecodeError::Contradiction);
    }
    let receipt_number = reader.id()?;
    let receipt_at = TimestampNs(posted_at.0.wrapping_add(reader.signed()?));
    let business_day = offset_day(utc_day(receipt_at), reader.signed()?)?;
    let count = reader.count()?;
    if count == 0 || count > limits::BASKET_LINES_MAX {
        return Err(DecodeError::BadNumber);
    }
    let mut lines = Vec::with_capacity(count);
    for _ in 0..count {
        let item_id = ItemId(reader.number()?);
        let item = dictionary.item(item_id).ok_or(DecodeError::UnknownReference)?;
        lines.push(Line { item_id, item, quantity: reader.number()?, amount_minor: reader.number()? });
    }
    Ok(Basket { store, terminal, cashier, receipt_number: receipt_number.into(), business_day, receipt_at, lines })
}

fn get_accrual(
    reader: &mut Reader<'_>,
    flags: u8,
    partner: SymbolId,
    basket: &Basket,
    posted_at: TimestampNs,
    decision: &mut Decision,
) -> Result<(), DecodeError> {
    for _ in &basket.lines {
        decision.lines.push(LineOutcome { class: get_class(reader)? });
    }
    decision.earned = reader.signed()?;
    decision.granted = reader.signed()?;
    if flags & FLAG_OVER_VELOCITY != 0 {
        decision.over_velocity = Some(SymbolId(reader.number()?));
    }
    for _ in 0..reader.count()? {
        let tagged = reader.unsigned()?;
        let source = SymbolId(u32::try_from(tagged >> 1).map_err(|_| DecodeError::BadNumber)?);
        decision.clips.push(Clip { source, is_budget: tagged & 1 == 1, units: reader.signed()? });
    }
    decision.cells = get_cells(reader)?;
    if flags & FLAG_LOT != 0 {
        let key = get_lot_key(reader)?;
        if key.issuer != partner || key.wallet != decision.wallet {
            return Err(DecodeError::Contradiction);
        }
        decision.effects.lot = Some((key, decision.granted));
    } else if decision.granted != 0 {
        return Err(DecodeError::Contradiction);
    }
    decision.effects.counters = get_counters(reader, posted_at)?;
    decision.effects.totals =
        TotalsChange::of_accrual(decision.granted, &decision.clips, decision.over_velocity.is_some());
    Ok(())
}

fn get_reversal_effects(
    reader: &mut Reader<'_>,
    original: &Granted,
    decision: &mut Decision,
) -> Result<(), DecodeError> {
    let units = original.units.checked_neg().ok_or(DecodeError::BadNumber)?;
    decision.granted = units;
    decision.effects.lot = original.lot.map(|key| (key, units));
    for change in &original.counters {
        let delta = change.delta.checked_neg().ok_or(DecodeError::BadNumber)?;
        decision.effects.counters.push(CounterChange { delta, ..*change });
    }
    decision.cells = get_cells(reader)?;
    decision.effects.totals = TotalsChange::of_reversal(original.units);
    Ok(())
}

fn get_granted(reader: &mut Reader<'_>, posted_at: TimestampNs) -> Result<Granted, DecodeError> {
    let receipt = Receipt {
        store: SymbolId(reader.number()?),
        terminal: SymbolId(reader.number()?),
        business_day: offset_day(Day(0), reader.signed()?)?,
        number: reader.id()?,
    };
    let units = reader.signed()?;
    let lot = if flag(reader)? { Some(get_lot_key(reader)?) } else { None };
    Ok(Granted { receipt, lot, units, counters: get_counters(reader, posted_at)?, cells: get_cells(reader)? })
}

fn get_lot_key(reader: &mut Reader<'_>) -> Result<LotKey, DecodeError> {
    Ok(LotKey {
        wallet: WalletId(reader.byte()?),
        issuer: SymbolId(reader.number()?),
        funding_rate_bps: reader.number()?,
        expires_at: TimestampNs(reader.signed()?.wrapping_add(i64::MAX)),
    })
}

fn get_counters(reader: &mut Reader<'_>, posted_at: TimestampNs) -> Result<Vec<CounterChange>, DecodeError> {
    let count = reader.count()?;
    let mut counters = Vec::with_capacity(count);
    for _ in 0..count {
        counters.push(CounterChange {
            counter: SymbolId(reader.number()?),
            period: i32::try_from(reader.signed()?).map_err(|_| DecodeError::BadNumber)?,
            delta: reader.signed()?,
            retain_until: offset_day(utc_day(posted_at), reader.signed()?)?,
        });
    }
    Ok(counters)
}

fn get_cells(reader: &mut Reader<'_>) -> Result<Vec<CellUse>, DecodeError> {
    let count = reader.count()?;
    let mut cells = Vec::with_capacity(count);
    for _ in 0..count {
        cells.push(CellUse {
            cell: CellId(reader.number()?),
            version: reader.unsigned()?,
            room_before: reader.signed()?,
            used: reader.signed()?,
        });
    }
    Ok(cells)
}

fn get_class(reader: &mut Reader<'_>) -> Result<LineClass, DecodeError> {
    Ok(match reader.unsigned()? {
        0 => LineClass::Ineligible,
        1 => LineClass::Base,
        rule => LineClass::Rule(RuleIndex(u32::try_from(rule - 2).map_err(|_| DecodeError::BadNumber)?)),
    })
}

fn offset_day(day: Day, offset: i64) -> Result<Day, DecodeError> {
    let sum = i64::from(day.0).checked_add(offset).ok_or(DecodeError::BadNumber)?;
    i32::try_from(sum).map(Day).map_err(|_| DecodeError::BadNumber)
}

fn flag(reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match reader.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::UnknownTag),
    }
}
