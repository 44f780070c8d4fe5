//! Records as bytes: the writing side.
//!
//! What must stay true: nothing is allocated but to grow the buffer; what is written is what `decode` reads, field by
//! field.

use super::part::put_part;
use super::{
    EntryHeader, FLAG_CASHIER, FLAG_LOT, FLAG_MORE, FLAG_OPENS_ACCOUNT, FLAG_OVER_VELOCITY, FLAG_TERMINAL,
    KIND_ACCRUAL, KIND_ACTIVITY, KIND_ENROLMENT, KIND_EXPIRY, KIND_ITEM, KIND_LINKING, KIND_LOADING, KIND_OPENING,
    KIND_PROGRAM, KIND_PROGRAM_BY, KIND_REDEMPTION, KIND_REFUSED_ACCRUAL, KIND_REFUSED_ACTIVITY,
    KIND_REFUSED_ENROLMENT, KIND_REFUSED_LINKING, KIND_REFUSED_LOADING, KIND_REFUSED_REDEMPTION, KIND_REFUSED_REVERSAL,
    KIND_REFUSED_UNBURN, KIND_REVERSAL, KIND_SYMBOL, KIND_UNBURN, Parts, PreviousRecord, Record, encode_freeze_change,
    encode_key_change, encode_proposal_change, has_subject, holds, implied_lot, money, named_cells, named_counters,
    named_member, operator, seen, stamps, unburn, vouchers,
};
use crate::codec::{put_id, put_signed, put_string, put_unsigned};
use crate::ledger::command::{Basket, Command, CommandKind, Enrolment, Granted, Reversal};
use crate::ledger::decision::{CellUse, CounterChange, Decision};
use crate::ledger::held::HeldChange;
use crate::ledger::operator::OperatorOrder;
use crate::ledger::packed::put_lot_key;
use crate::ledger::program::{LineClass, RuleIndex};
use crate::ledger::types::{MemberKey, MonthDay, SymbolId, TimestampNs};
use crate::ledger::zone::utc_day;

/// Appends the record of a command. Allocates only to grow `out`.
///
/// # Panics
/// When the decision is of a kind that is not journaled.
pub fn encode_entry(out: &mut Vec<u8>, header: &EntryHeader, command: &Command, decision: &Decision) {
    assert!(decision.is_journaled(), "only what an account's state decided is journaled");
    let parts = parts_of(command, decision);
    out.push(kind_of(command, decision));
    out.push(flags_of(command, decision, parts));
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
    if !matches!(command.kind, CommandKind::Expire) {
        // The ledger's own commands are under no id.
        put_id(out, &command.transaction_id);
    }
    put_unsigned(out, u64::from(command.partner.0));
    put_unsigned(out, u64::from(decision.program.0));
    put_question(out, &command.kind, header.posted_at);
    out.push(decision.wallet.0);
    put_signed(out, decision.balance_after);
    if let Some(refusal) = decision.refusal() {
        out.push(refusal.number());
    }
    match &command.kind {
        CommandKind::Reverse(reversal) => put_granted(out, &reversal.original, header.posted_at),
        CommandKind::Operate(operation) => operator::put_held(out, &operation.order, header.posted_at),
        _ => {}
    }
    money::put_outcome(out, &command.kind, decision);
    if decision.refusal().is_none() {
        put_outcome(out, command, decision, header.posted_at);
    }
    if parts != 0 {
        put_parts(out, parts, command, decision);
        vouchers::put_parts(out, parts, &command.kind, decision, header.posted_at);
        stamps::put_part(out, parts, &command.kind, decision);
        seen::put_part(out, parts, decision);
    }
}

fn kind_of(command: &Command, decision: &Decision) -> u8 {
    let (granted, refused) = match &command.kind {
        CommandKind::Accrue(_) => (KIND_ACCRUAL, KIND_REFUSED_ACCRUAL),
        CommandKind::Reverse(_) => (KIND_REVERSAL, KIND_REFUSED_REVERSAL),
        CommandKind::Redeem(_) => (KIND_REDEMPTION, KIND_REFUSED_REDEMPTION),
        CommandKind::Act(_) => (KIND_ACTIVITY, KIND_REFUSED_ACTIVITY),
        CommandKind::Enrol(_) => (KIND_ENROLMENT, KIND_REFUSED_ENROLMENT),
        CommandKind::Load(_) => (KIND_LOADING, KIND_REFUSED_LOADING),
        CommandKind::Operate(operation) => operator::kinds_of(&operation.order),
        CommandKind::Link(_) => (KIND_LINKING, KIND_REFUSED_LINKING),
        CommandKind::Unburn(_) => (KIND_UNBURN, KIND_REFUSED_UNBURN),
        kind @ (CommandKind::Authorize(_) | CommandKind::Capture(_) | CommandKind::Void(_)) => holds::kinds_of(kind),
        kind @ (CommandKind::TopUp(_) | CommandKind::Refund(_)) => money::kinds_of(kind),
        // There is nothing that could be refused.
        CommandKind::Expire => (KIND_EXPIRY, KIND_EXPIRY),
    };
    if decision.refusal().is_some() { refused } else { granted }
}

/// What was asked.
fn put_question(out: &mut Vec<u8>, kind: &CommandKind, posted_at: TimestampNs) {
    match kind {
        CommandKind::Accrue(basket) => put_basket(out, basket, posted_at),
        CommandKind::Reverse(reversal) => {
            put_id(out, &reversal.original_transaction_id);
            put_unsigned(out, reversal.original_position.0);
        }
        CommandKind::Redeem(redemption) => {
            out.push(redemption.wallet.0);
            put_signed(out, redemption.units);
        }
        CommandKind::Act(activity) => {
            put_unsigned(out, u64::from(activity.kind.0));
            put_signed(out, activity.happened_at.0.wrapping_sub(posted_at.0));
            put_unsigned(out, u64::from(activity.channel.0));
        }
        CommandKind::Enrol(enrolment) => {
            for list in [&enrolment.joins, &enrolment.leaves] {
                put_unsigned(out, list.len() as u64);
                for segment in list {
                    put_unsigned(out, u64::from(segment.0));
                }
            }
        }
        CommandKind::Load(loading) => {
            put_unsigned(out, loading.lots.len() as u64);
            for (key, units) in &loading.lots {
                put_lot_key(out, key);
                put_signed(out, *units);
            }
        }
        CommandKind::Operate(operation) => operator::put_operation(out, operation),
        CommandKind::Link(linking) => {
            out.push(u8::from(linking.links));
            put_unsigned(out, u64::from(linking.kind.0));
            out.extend_from_slice(&linking.key.0);
            put_id(out, &linking.account_id);
        }
        CommandKind::Authorize(_) | CommandKind::Capture(_) | CommandKind::Void(_) => {
            holds::put_question(out, kind, posted_at);
        }
        CommandKind::Unburn(unburn) => unburn::put_question(out, unburn),
        CommandKind::TopUp(_) | CommandKind::Refund(_) => money::put_question(out, kind),
        CommandKind::Expire => {}
    }
}

/// What became of it.
fn put_outcome(out: &mut Vec<u8>, command: &Command, decision: &Decision, posted_at: TimestampNs) {
    match &command.kind {
        CommandKind::Accrue(_) | CommandKind::Act(_) => put_accrual(out, decision, posted_at),
        // The versions and room that the reversal's own use of the cells got.
        CommandKind::Reverse(_) => put_cells(out, &decision.cells),
        CommandKind::Enrol(_) => {
            put_unsigned(out, decision.effects.segments.len() as u64);
            for (segment, joins) in &decision.effects.segments {
                put_unsigned(out, (u64::from(segment.0) << 1) | u64::from(*joins));
            }
        }
        CommandKind::Operate(operation) if matches!(operation.order, OperatorOrder::Reject(_)) => {
            put_cells(out, &decision.cells);
        }
        CommandKind::Authorize(_) | CommandKind::Capture(_) | CommandKind::Void(_) => {
            holds::put_outcome(out, decision, posted_at);
        }
        CommandKind::Redeem(_)
        | CommandKind::Unburn(_)
        | CommandKind::Load(_)
        | CommandKind::Operate(_)
        | CommandKind::Link(_)
        | CommandKind::TopUp(_)
        | CommandKind::Refund(_)
        | CommandKind::Expire => {}
    }
}

/// The parts that the record of a decision has.
fn parts_of(command: &Command, decision: &Decision) -> u64 {
    let mut parts = 0;
    let mut set = |part, when: bool| parts |= if when { part } else { 0 };
    if let CommandKind::Accrue(basket) = &command.kind {
        set(Parts::CHANNEL, (basket.channel, basket.payment_method) != (SymbolId::EMPTY, SymbolId::EMPTY));
    }
    set(Parts::TIER, decision.tier.is_some());
    set(Parts::STACKED, !decision.stacked.is_empty());
    set(Parts::BONUSES, !decision.bonuses.is_empty());
    let implied = implied_lot(command, decision);
    set(Parts::LOTS, decision.effects.lots.as_slice() != implied.as_slice());
    set(Parts::SUBJECTS, named_cells(command, decision).iter().any(has_subject));
    set(Parts::VARIANTS, !decision.variants.is_empty());
    set(Parts::LAST_BASKET, decision.effects.last_basket_on.is_some());
    set(Parts::REMAINDER, decision.effects.remainder.is_some());
    if let CommandKind::Enrol(enrolment) = &command.kind {
        set(Parts::BIRTHDAY, enrolment.birthday.is_some());
    }
    if let Some(change) = decision.effects.held.as_deref() {
        set(Parts::HELD, change.begins_by().is_some());
        set(Parts::ENDS_HOLD, matches!(command.kind, CommandKind::Reverse(_)));
    }
    set(Parts::ENDED, !holds::ended(decision).is_empty());
    set(Parts::NAMED_BY, command.named_by.is_some());
    let states_rate = matches!(command.kind, CommandKind::Unburn(_));
    set(Parts::REDEMPTION_RATE, decision.effects.redemption_rate_bps != 0 && !states_rate);
    set(Parts::MEMBER, named_member(command, decision) != MemberKey::NONE);
    if let CommandKind::Operate(operation) = &command.kind {
        set(Parts::SIGNED, operation.remark.is_signed());
    }
    if let CommandKind::Reverse(reversal) = &command.kind {
        set(Parts::RETURNED, reversal.part.is_some());
    }
    set(Parts::OWED, decision.effects.owed.is_some());
    set(Parts::REWARD, unburn::has_reward(&command.kind));
    let of_cards = stamps::parts_of(&command.kind, decision);
    parts | vouchers::parts_of(&command.kind, decision) | of_cards | seen::parts_of(decision)
}

fn put_parts(out: &mut Vec<u8>, parts: u64, command: &Command, decision: &Decision) {
    put_unsigned(out, parts);
    if let CommandKind::Accrue(basket) = &command.kind
        && parts & Parts::CHANNEL != 0
    {
        put_unsigned(out, u64::from(basket.channel.0));
        put_unsigned(out, u64::from(basket.payment_method.0));
    }
    if let Some(standing) = decision.tier {
        out.push(standing.level);
        put_signed(out, standing.qualifying);
    }
    if parts & Parts::STACKED != 0 {
        put_unsigned(out, decision.stacked.len() as u64);
        for (line, rule) in &decision.stacked {
            put_unsigned(out, u64::from(*line));
            put_unsigned(out, u64::from(rule.0));
        }
    }
    if parts & Parts::BONUSES != 0 {
        put_unsigned(out, decision.bonuses.len() as u64);
        for award in &decision.bonuses {
            put_unsigned(out, u64::from(award.bonus.0));
            put_signed(out, award.units);
        }
    }
    if parts & Parts::LOTS != 0 {
        put_unsigned(out, decision.effects.lots.len() as u64);
        for change in &decision.effects.lots {
            out.push(change.movement.number());
            put_lot_key(out, &change.key);
            put_signed(out, change.delta);
        }
    }
    if parts & Parts::SUBJECTS != 0 {
        named_cells(command, decision).iter().for_each(|taken| put_subject(out, taken));
    }
    put_profile_parts(out, parts, command, decision);
}

/// Whose cell it is, and until when it is kept.
pub(super) fn put_subject(out: &mut Vec<u8>, taken: &CellUse) {
    for symbol in taken.cell.subject {
        put_unsigned(out, u64::from(symbol.0));
    }
    put_signed(out, i64::from(taken.cell.period));
    put_signed(out, i64::from(taken.retain_until.0));
}

fn put_profile_parts(out: &mut Vec<u8>, parts: u64, command: &Command, decision: &Decision) {
    if parts & Parts::VARIANTS != 0 {
        put_unsigned(out, decision.variants.len() as u64);
        out.extend_from_slice(&decision.variants);
    }
    if let Some(day) = decision.effects.last_basket_on {
        put_signed(out, i64::from(day.0));
    }
    if let Some(left) = decision.effects.remainder {
        put_signed(out, left);
    }
    if let CommandKind::Enrol(Enrolment { birthday: Some(birthday), .. }) = &command.kind {
        let MonthDay { month, day } = birthday.unwrap_or_default();
        out.extend_from_slice(&[month, day, u8::from(decision.effects.birthday.is_some())]);
    }
    if let Some(cap) = decision.effects.held.as_deref().and_then(HeldChange::begins_by) {
        put_unsigned(out, u64::from(cap.0));
    }
    if parts & Parts::MEMBER != 0 {
        out.extend_from_slice(&named_member(command, decision).0.to_le_bytes());
        let of_member = |(_, change): &(usize, &CounterChange)| change.member != MemberKey::NONE;
        let counters = || named_counters(command, decision).iter().enumerate().filter(of_member);
        put_unsigned(out, counters().count() as u64);
        counters().for_each(|(index, _)| put_unsigned(out, index as u64));
    }
    if let Some(key) = command.named_by {
        out.extend_from_slice(&key.0);
    }
    if let CommandKind::Operate(operation) = &command.kind
        && parts & Parts::SIGNED != 0
    {
        put_string(out, &operation.remark.actor);
        put_string(out, &operation.remark.confirmer);
    }
    if parts & Parts::REDEMPTION_RATE != 0 {
        put_unsigned(out, u64::from(decision.effects.redemption_rate_bps));
    }
    holds::put_ended(out, decision);
    if let CommandKind::Reverse(Reversal { part: Some(part), .. }) = &command.kind {
        put_part(out, part);
    }
    if let Some((_, delta)) = decision.effects.owed {
        put_signed(out, delta);
    }
    unburn::put_reward(out, &command.kind, decision);
}

fn flags_of(command: &Command, decision: &Decision, parts: u64) -> u8 {
    let mut flags = 0;
    let mut set = |flag, when: bool| flags |= if when { flag } else { 0 };
    set(FLAG_OPENS_ACCOUNT, decision.effects.opens_account);
    if let CommandKind::Accrue(basket) = &command.kind {
        set(FLAG_TERMINAL, basket.terminal != SymbolId::EMPTY);
        set(FLAG_CASHIER, basket.cashier != SymbolId::EMPTY);
    }
    if matches!(command.kind, CommandKind::Accrue(_) | CommandKind::Act(_)) {
        set(FLAG_LOT, decision.granted_lot().is_some());
    }
    set(FLAG_OVER_VELOCITY, decision.over_velocity.is_some());
    set(FLAG_MORE, parts != 0);
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
    if let Some(key) = decision.granted_lot() {
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

pub(super) fn put_counters(out: &mut Vec<u8>, counters: &[CounterChange], posted_at: TimestampNs) {
    put_unsigned(out, counters.len() as u64);
    for change in counters {
        put_unsigned(out, u64::from(change.counter.0));
        put_signed(out, i64::from(change.period));
        put_signed(out, change.delta);
        put_signed(out, i64::from(change.retain_until.0) - i64::from(utc_day(posted_at).0));
    }
}

pub(super) fn put_cells(out: &mut Vec<u8>, cells: &[CellUse]) {
    put_unsigned(out, cells.len() as u64);
    for cell in cells {
        put_unsigned(out, u64::from(cell.cell.name.0));
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
            out.push(if publication.has_actor() { KIND_PROGRAM_BY } else { KIND_PROGRAM });
            publication.encode(out);
        }
        Record::Key(change) => encode_key_change(out, change),
        Record::Freeze(change) => encode_freeze_change(out, change),
        Record::Proposal(change) => encode_proposal_change(out, change),
    }
}
