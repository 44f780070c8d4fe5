//! Records as bytes: the writing side.
//!
//! What must stay true: nothing is allocated but to grow the buffer; what is written is what `decode` reads, field by
//! field.

use super::{
    EntryHeader, FLAG_CASHIER, FLAG_LOT, FLAG_OPENS_ACCOUNT, FLAG_OVER_VELOCITY, FLAG_TERMINAL, KIND_ACCRUAL,
    KIND_ITEM, KIND_OPENING, KIND_PROGRAM, KIND_REFUSED_ACCRUAL, KIND_REFUSED_REVERSAL, KIND_REVERSAL, KIND_SYMBOL,
    PreviousRecord, Record,
};
use crate::journal::codec::{put_id, put_signed, put_string, put_unsigned};
use crate::ledger::command::{Basket, Command, CommandKind, Granted};
use crate::ledger::decision::{CellUse, CounterChange, Decision, LotKey};
use crate::ledger::program::{LineClass, RuleIndex};
use crate::ledger::types::{SymbolId, TimestampNs};
use crate::ledger::zone::utc_day;

/// Appends the record of a command. Allocates only to grow `out`.
///
/// # Panics
/// When the decision is of a kind that is not journaled.
pub fn encode_entry(out: &mut Vec<u8>, header: &EntryHeader, command: &Command, decision: &Decision) {
    assert!(decision.is_journaled(), "only what an account's state decided is journaled");
    let refusal = decision.refusal();
    out.push(match (&command.kind, refusal) {
        (CommandKind::Accrue(_), None) => KIND_ACCRUAL,
        (CommandKind::Reverse(_), None) => KIND_REVERSAL,
        (CommandKind::Accrue(_), Some(_)) => KIND_REFUSED_ACCRUAL,
        (CommandKind::Reverse(_), Some(_)) => KIND_REFUSED_REVERSAL,
    });
    out.push(flags_of(command, decision));
    put_unsigned(
        out,
        match header.previous {
            PreviousRecord::None => 0,
            PreviousRecord::At(position) => (position.0 + 1) << 1,
            PreviousRecord::Back(distance) => (distance << 1) | 1,
        },
    );
    put_unsigned(out, u64::from(header.account.0));
    if decision.effects.opens_account {
        put_id(out, &command.account_id);
    }
    out.extend_from_slice(&header.posted_at.0.to_le_bytes());
    put_id(out, &command.transaction_id);
    put_unsigned(out, u64::from(command.partner.0));
    put_unsigned(out, u64::from(decision.program.0));
    match &command.kind {
        CommandKind::Accrue(basket) => put_basket(out, basket, header.posted_at),
        CommandKind::Reverse(reversal) => {
            put_id(out, &reversal.original_transaction_id);
            put_unsigned(out, reversal.original_position.0);
        }
    }
    out.push(decision.wallet.0);
    put_signed(out, decision.balance_after);
    if let Some(refusal) = refusal {
        out.push(refusal.number());
        if let CommandKind::Reverse(reversal) = &command.kind {
            put_granted(out, &reversal.original, header.posted_at);
        }
        return;
    }
    match &command.kind {
        CommandKind::Accrue(_) => put_accrual(out, decision, header.posted_at),
        CommandKind::Reverse(reversal) => {
            put_granted(out, &reversal.original, header.posted_at);
            // The versions and room that the reversal's own use of the cells got.
            put_cells(out, &decision.cells);
        }
    }
}

fn flags_of(command: &Command, decision: &Decision) -> u8 {
    let mut flags = 0;
    let mut set = |flag, when: bool| flags |= if when { flag } else { 0 };
    set(FLAG_OPENS_ACCOUNT, decision.effects.opens_account);
    if let CommandKind::Accrue(basket) = &command.kind {
        set(FLAG_TERMINAL, basket.terminal != SymbolId::EMPTY);
        set(FLAG_CASHIER, basket.cashier != SymbolId::EMPTY);
        set(FLAG_LOT, decision.effects.lot.is_some());
    }
    set(FLAG_OVER_VELOCITY, decision.over_velocity.is_some());
    flags
}

fn put_basket(out: &mut Vec<u8>, basket: &Basket, posted_at: TimestampNs) {
    put_unsigned(out, u64::from(basket.store.0));
    if basket.terminal != SymbolId::EMPTY {
        put_unsigned(out, u64::from(basket.terminal.0));
    }
    if basket.cashier != SymbolId::EMPTY {
        put_unsigned(out, u64::from(basket.cashier.0));
    }
    put_id(out, &basket.receipt_number);
    put_signed(out, basket.receipt_at.0.wrapping_sub(posted_at.0));
    put_signed(out, i64::from(basket.business_day.0) - i64::from(utc_day(basket.receipt_at).0));
    put_unsigned(out, basket.lines.len() as u64);
    for line in &basket.lines {
        put_unsigned(out, u64::from(line.item_id.0));
        put_unsigned(out, line.quantity as u64);
        put_unsigned(out, line.amount_minor as u64);
    }
}

fn put_accrual(out: &mut Vec<u8>, decision: &Decision, posted_at: TimestampNs) {
    for line in &decision.lines {
        put_unsigned(out, class_number(line.class));
    }
    put_signed(out, decision.earned);
    put_signed(out, decision.granted);
    if let Some(cap) = decision.over_velocity {
        put_unsigned(out, u64::from(cap.0));
    }
    put_unsigned(out, decision.clips.len() as u64);
    for clip in &decision.clips {
        put_unsigned(out, (u64::from(clip.source.0) << 1) | u64::from(clip.is_budget));
        put_signed(out, clip.units);
    }
    put_cells(out, &decision.cells);
    if let Some((key, _)) = decision.effects.lot {
        put_lot_key(out, &key);
    }
    put_counters(out, &decision.effects.counters, posted_at);
}

fn put_granted(out: &mut Vec<u8>, granted: &Granted, posted_at: TimestampNs) {
    put_unsigned(out, u64::from(granted.receipt.store.0));
    put_unsigned(out, u64::from(granted.receipt.terminal.0));
    put_signed(out, i64::from(granted.receipt.business_day.0));
    put_id(out, &granted.receipt.number);
    put_signed(out, granted.units);
    out.push(u8::from(granted.lot.is_some()));
    if let Some(key) = granted.lot {
        put_lot_key(out, &key);
    }
    put_counters(out, &granted.counters, posted_at);
    put_cells(out, &granted.cells);
}

fn put_lot_key(out: &mut Vec<u8>, key: &LotKey) {
    out.push(key.wallet.0);
    put_unsigned(out, u64::from(key.issuer.0));
    put_unsigned(out, u64::from(key.funding_rate_bps));
    // One more than the instant, wrapped, so that "never" is a single byte.
    put_signed(out, key.expires_at.0.wrapping_sub(i64::MAX));
}

fn put_counters(out: &mut Vec<u8>, counters: &[CounterChange], posted_at: TimestampNs) {
    put_unsigned(out, counters.len() as u64);
    for change in counters {
        put_unsigned(out, u64::from(change.counter.0));
        put_signed(out, i64::from(change.period));
        put_signed(out, change.delta);
        put_signed(out, i64::from(change.retain_until.0) - i64::from(utc_day(posted_at).0));
    }
}

fn put_cells(out: &mut Vec<u8>, cells: &[CellUse]) {
    put_unsigned(out, cells.len() as u64);
    for cell in cells {
        put_unsigned(out, u64::from(cell.cell.0));
        put_unsigned(out, cell.version);
        put_signed(out, cell.room_before);
        put_signed(out, cell.used);
    }
}

fn class_number(class: LineClass) -> u64 {
    match class {
        LineClass::Ineligible => 0,
        LineClass::Base => 1,
        LineClass::Rule(RuleIndex(rule)) => u64::from(rule) + 2,
    }
}

/// Appends a record of the control shard.
///
/// # Panics
/// When the record belongs to an account: those are encoded by [`encode_entry`].
pub fn encode_control(out: &mut Vec<u8>, record: &Record) {
    match record {
        Record::Entry(_) => unreachable!("entries belong to accounts"),
        Record::Opening(opening) => {
            out.push(KIND_OPENING);
            put_unsigned(out, opening.epoch);
            out.extend_from_slice(&opening.at.0.to_le_bytes());
            put_string(out, &opening.time_zone_release);
            put_unsigned(out, u64::from(opening.shard_count));
            out.push(u8::from(opening.clock_is_input));
        }
        Record::Symbol(id, text) => {
            out.push(KIND_SYMBOL);
            put_unsigned(out, u64::from(id.0));
            put_string(out, text);
        }
        Record::Item(id, item) => {
            out.push(KIND_ITEM);
            put_unsigned(out, u64::from(id.0));
            for symbol in [item.sku, item.category, item.department, item.brand, item.margin_class] {
                put_unsigned(out, u64::from(symbol.0));
            }
        }
        Record::Program(publication) => {
            out.push(KIND_PROGRAM);
            publication.encode(out);
        }
    }
}
