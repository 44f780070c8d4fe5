//! Records from bytes: the reading side.
//!
//! What must stay true: whatever the bytes are, the answer is a record or an error; a record has one form only, so that
//! other bytes are never taken for the same record.

use super::part::get_part;
use super::{
    Entry, FLAG_CASHIER, FLAG_LOT, FLAG_MORE, FLAG_OPENS_ACCOUNT, FLAG_OVER_VELOCITY, FLAG_TERMINAL, KIND_ACCRUAL,
    KIND_ACTIVITY, KIND_ENROLMENT, KIND_EXPIRY, KIND_FREEZE, KIND_ITEM, KIND_KEY_ISSUED, KIND_KEY_REVOKED,
    KIND_LINKING, KIND_LOADING, KIND_OPENING, KIND_PROGRAM, KIND_PROGRAM_BY, KIND_PROPOSAL, KIND_REDEMPTION,
    KIND_REFUSED_ACCRUAL, KIND_REFUSED_ACTIVITY, KIND_REFUSED_ADJUSTMENT, KIND_REFUSED_AUTHORIZATION,
    KIND_REFUSED_CAPTURE, KIND_REFUSED_ENROLMENT, KIND_REFUSED_LINKING, KIND_REFUSED_LOADING, KIND_REFUSED_REDEMPTION,
    KIND_REFUSED_REFUND, KIND_REFUSED_RESTORATION, KIND_REFUSED_REVERSAL, KIND_REFUSED_TOP_UP, KIND_REFUSED_UNBURN,
    KIND_REFUSED_VOUCHER, KIND_RELEASE, KIND_REVERSAL, KIND_SYMBOL, KIND_THAW, KIND_TOP_UP, KIND_VERDICT, Opening,
    Parts, PreviousRecord, Publication, Record, decode_freeze_change, decode_key_change, decode_proposal_change,
    derived, has_subject, holds, implied_lot, money, named_cells, operator, seen, stamps, unburn, vouchers,
};
use crate::codec::{DecodeError, Reader};
use crate::journal::dictionary::Dictionary;
use crate::ledger::command::{
    Activity, Basket, Command, CommandKind, Enrolment, Granted, Line, Linking, Loading, Receipt, Reversal,
};
use crate::ledger::decision::{
    BonusAward, CellUse, Clip, CounterChange, Decision, IdentifierChange, LineOutcome, LotChange, Movement, Outcome,
    Refusal, TierStanding, TotalsChange,
};
use crate::ledger::held::{HeldChange, HeldName};
use crate::ledger::operator::OperatorOrder;
use crate::ledger::packed::get_lot_key;
use crate::ledger::program::{BonusIndex, LineClass, RuleIndex};
use crate::ledger::types::{
    AccountNumber, CellId, Day, IdentifierKey, Item, ItemId, MemberKey, MonthDay, Position, ProgramVersion, SymbolId,
    TimestampNs, Units, WalletId,
};
use crate::ledger::zone::utc_day;
use crate::limits;

/// Decodes a record. Items are looked up in the dictionary, which holds everything the journal defined before.
///
/// # Errors
/// When the bytes are not what the encoder writes.
pub fn decode(bytes: &[u8], dictionary: &Dictionary) -> Result<Record, DecodeError> {
    decode_with(bytes, &dictionary.items())
}

/// Decodes a record, given the items that the journal defined before it, by number.
///
/// # Errors
/// When the bytes are not what the encoder writes.
pub fn decode_with(bytes: &[u8], items: &[Item]) -> Result<Record, DecodeError> {
    let mut reader = Reader::new(bytes);
    let record = match reader.byte()? {
        kind if holds::is_kind(kind) || unburn::is_kind(kind) || money::is_kind(kind) || vouchers::is_kind(kind) => {
            Record::Entry(Box::new(decode_entry(kind, &mut reader, items)?))
        }
        kind @ (KIND_ACCRUAL..=KIND_EXPIRY
        | KIND_RELEASE..=KIND_REFUSED_ADJUSTMENT
        | KIND_LINKING
        | KIND_REFUSED_LINKING) => Record::Entry(Box::new(decode_entry(kind, &mut reader, items)?)),
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
        kind @ (KIND_PROGRAM | KIND_PROGRAM_BY) => {
            Record::Program(Publication::decode(&mut reader, kind == KIND_PROGRAM_BY)?)
        }
        kind @ (KIND_KEY_ISSUED | KIND_KEY_REVOKED) => Record::Key(decode_key_change(kind, &mut reader)?),
        kind @ (KIND_FREEZE | KIND_THAW) => Record::Freeze(decode_freeze_change(kind, &mut reader)?),
        kind @ (KIND_PROPOSAL | KIND_VERDICT) => Record::Proposal(decode_proposal_change(kind, &mut reader)?),
        _ => return Err(DecodeError::UnknownTag),
    };
    reader.finish()?;
    Ok(record)
}

fn decode_entry(kind: u8, reader: &mut Reader<'_>, items: &[Item]) -> Result<Entry, DecodeError> {
    let flags = reader.byte()?;
    let possible = match kind {
        KIND_ACCRUAL => FLAG_OPENS_ACCOUNT | FLAG_TERMINAL | FLAG_CASHIER | FLAG_LOT | FLAG_OVER_VELOCITY | FLAG_MORE,
        KIND_REFUSED_ACCRUAL => FLAG_TERMINAL | FLAG_CASHIER | FLAG_MORE,
        KIND_ACTIVITY => FLAG_OPENS_ACCOUNT | FLAG_LOT | FLAG_OVER_VELOCITY | FLAG_MORE,
        KIND_ENROLMENT | KIND_LOADING | KIND_LINKING | KIND_TOP_UP => FLAG_OPENS_ACCOUNT | FLAG_MORE,
        _ => FLAG_MORE,
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
    let transaction_id = if kind == KIND_EXPIRY { Box::default() } else { reader.id()? };
    let partner = SymbolId(reader.number()?);
    let mut decision = Decision { account_known: true, ..Decision::default() };
    decision.program = ProgramVersion(reader.number()?);
    decision.effects.opens_account = opens_account;
    let mut asked = get_question(kind, reader, flags, posted_at, items)?;
    decision.wallet = WalletId(reader.byte()?);
    decision.balance_after = reader.signed()?;
    if is_refused(kind) {
        let refusal = Refusal::from_number(reader.byte()?).ok_or(DecodeError::UnknownTag)?;
        if !refusal.is_journaled() {
            return Err(DecodeError::Contradiction);
        }
        decision.outcome = Outcome::Refused(refusal);
    }
    match &mut asked {
        CommandKind::Reverse(reversal) => reversal.original = get_granted(reader, posted_at)?,
        CommandKind::Operate(operation) => operator::get_held(reader, &mut operation.order, posted_at)?,
        _ => {}
    }
    money::get_outcome(reader, &asked, &mut decision)?;
    get_outcome(reader, flags, partner, &asked, posted_at, &mut decision)?;
    let command = Command {
        account_id: account_id.into(),
        transaction_id: transaction_id.into(),
        partner,
        kind: asked,
        ..Command::default()
    };
    holds::get_outcome(reader, &command, posted_at, &mut decision)?;
    let mut entry = Entry { previous, account, posted_at, command, decision };
    get_parts(reader, flags, &mut entry)?;
    unburn::check_redemption(&entry)?;
    derived::complete(&mut entry)?;
    Ok(entry)
}

fn is_refused(kind: u8) -> bool {
    matches!(
        kind,
        KIND_REFUSED_ACCRUAL
            | KIND_REFUSED_REVERSAL
            | KIND_REFUSED_REDEMPTION
            | KIND_REFUSED_ACTIVITY
            | KIND_REFUSED_ENROLMENT
            | KIND_REFUSED_LOADING
            | KIND_REFUSED_RESTORATION
            | KIND_REFUSED_ADJUSTMENT
            | KIND_REFUSED_LINKING
            | KIND_REFUSED_AUTHORIZATION
            | KIND_REFUSED_CAPTURE
            | KIND_REFUSED_UNBURN
            | KIND_REFUSED_TOP_UP
            | KIND_REFUSED_REFUND
            | KIND_REFUSED_VOUCHER
    )
}

fn get_question(
    kind: u8,
    reader: &mut Reader<'_>,
    flags: u8,
    posted_at: TimestampNs,
    items: &[Item],
) -> Result<CommandKind, DecodeError> {
    Ok(match kind {
        KIND_ACCRUAL | KIND_REFUSED_ACCRUAL => CommandKind::Accrue(get_basket(reader, flags, posted_at, items)?),
        KIND_REVERSAL | KIND_REFUSED_REVERSAL => CommandKind::Reverse(Reversal {
            original_transaction_id: reader.id()?,
            original_position: Position(reader.unsigned()?),
            original: Granted::default(),
            part: None,
        }),
        KIND_REDEMPTION | KIND_REFUSED_REDEMPTION => CommandKind::Redeem(unburn::get_redemption(kind, reader)?),
        KIND_ACTIVITY | KIND_REFUSED_ACTIVITY => CommandKind::Act(Activity {
            kind: SymbolId(reader.number()?),
            happened_at: TimestampNs(posted_at.0.wrapping_add(reader.signed()?)),
            channel: SymbolId(reader.number()?),
        }),
        KIND_ENROLMENT | KIND_REFUSED_ENROLMENT => CommandKind::Enrol(Enrolment {
            joins: get_segments(reader)?,
            leaves: get_segments(reader)?,
            birthday: None,
        }),
        KIND_LOADING | KIND_REFUSED_LOADING => CommandKind::Load(get_loading(reader)?),
        KIND_LINKING | KIND_REFUSED_LINKING => CommandKind::Link(Linking {
            links: flag(reader)?,
            kind: SymbolId(reader.number()?),
            key: IdentifierKey(reader.array()?),
            account_id: reader.id()?,
        }),
        KIND_EXPIRY => CommandKind::Expire,
        kind if holds::is_kind(kind) => holds::get_question(kind, reader, posted_at)?,
        kind if unburn::is_kind(kind) => CommandKind::Unburn(unburn::get_question(reader)?),
        kind if money::is_kind(kind) => money::get_question(kind, reader)?,
        _ => CommandKind::Operate(Box::new(operator::get_operation(kind, reader)?)),
    })
}

/// Units of a command: more than none, and no more than there can be.
pub(super) fn get_units(reader: &mut Reader<'_>) -> Result<Units, DecodeError> {
    let units = reader.signed()?;
    if (1..=limits::UNITS_MAX).contains(&units) { Ok(units) } else { Err(DecodeError::BadNumber) }
}

/// An ascending list of segments.
fn get_segments(reader: &mut Reader<'_>) -> Result<Vec<SymbolId>, DecodeError> {
    let count = reader.count()?;
    if count > limits::SEGMENT_CHANGES_MAX {
        return Err(DecodeError::BadNumber);
    }
    let segments = (0..count).map(|_| reader.number().map(SymbolId)).collect::<Result<Vec<_>, _>>()?;
    if segments.is_sorted_by(|a, b| a < b) { Ok(segments) } else { Err(DecodeError::Contradiction) }
}

fn get_loading(reader: &mut Reader<'_>) -> Result<Loading, DecodeError> {
    let count = reader.count()?;
    if count == 0 || count > limits::LOADED_LOTS_MAX {
        return Err(DecodeError::BadNumber);
    }
    let lots = (0..count).map(|_| Ok((get_lot_key(reader)?, get_units(reader)?)));
    let lots = lots.collect::<Result<Vec<_>, DecodeError>>()?;
    let ascends = lots.is_sorted_by(|(a, _), (b, _)| a < b);
    if ascends { Ok(Loading { lots }) } else { Err(DecodeError::Contradiction) }
}

fn get_outcome(
    reader: &mut Reader<'_>,
    flags: u8,
    partner: SymbolId,
    asked: &CommandKind,
    posted_at: TimestampNs,
    decision: &mut Decision,
) -> Result<(), DecodeError> {
    let is_refused = decision.refusal().is_some();
    match asked {
        CommandKind::Redeem(_) if is_refused => decision.effects.totals = TotalsChange::of_refused_redemption(),
        _ if is_refused => {}
        CommandKind::Accrue(basket) => {
            for _ in &basket.lines {
                decision.lines.push(LineOutcome { class: get_class(reader)? });
            }
            get_accrual(reader, flags, partner, posted_at, decision)?;
            decision.effects.totals = TotalsChange::of_basket(&decision.clips, decision.over_velocity.is_some());
        }
        CommandKind::Act(_) => {
            get_accrual(reader, flags, partner, posted_at, decision)?;
            decision.effects.totals = TotalsChange::of_activity(&decision.clips);
        }
        CommandKind::Reverse(reversal) => get_reversal_effects(reader, &reversal.original, decision)?,
        CommandKind::Redeem(redemption) => decision.granted = -redemption.units,
        CommandKind::Unburn(unburn) => {
            decision.granted = unburn.units();
            decision.effects.redemption_rate_bps = unburn.redemption_rate_bps;
        }
        CommandKind::Enrol(_) => {
            let count = reader.count()?;
            for _ in 0..count {
                let tagged = reader.unsigned()?;
                let segment = SymbolId(u32::try_from(tagged >> 1).map_err(|_| DecodeError::BadNumber)?);
                decision.effects.segments.push((segment, tagged & 1 == 1));
            }
        }
        CommandKind::Load(loading) => {
            let sum = loading.lots.iter().fold(0, |sum: Units, (_, units)| sum.saturating_add(*units));
            (decision.earned, decision.granted) = (sum, sum);
        }
        CommandKind::Operate(operation) => operator::get_effects(reader, partner, &operation.order, decision)?,
        CommandKind::Link(linking) => {
            let Linking { links, kind, key, .. } = *linking;
            decision.effects.identifier = Some(Box::new(IdentifierChange { key, kind, links }));
        }
        // Read elsewhere, where the command's own id is at hand.
        CommandKind::Authorize(_) | CommandKind::Capture(_) | CommandKind::Void(_) | CommandKind::Expire => {}
        CommandKind::TopUp(_) | CommandKind::Refund(_) => {}
    }
    Ok(())
}

/// Reads what only some records have. A part that is there says something that the ordinary content does not.
fn get_parts(reader: &mut Reader<'_>, flags: u8, entry: &mut Entry) -> Result<(), DecodeError> {
    let implied = implied_lot(&entry.command, &entry.decision);
    let parts = if flags & FLAG_MORE == 0 { 0 } else { reader.unsigned()? };
    if (flags & FLAG_MORE != 0) != (parts != 0) || parts & !Parts::ALL != 0 {
        return Err(DecodeError::UnknownTag);
    }
    let decision = &mut entry.decision;
    if parts & Parts::CHANNEL != 0 {
        let CommandKind::Accrue(basket) = &mut entry.command.kind else { return Err(DecodeError::Contradiction) };
        (basket.channel, basket.payment_method) = (SymbolId(reader.number()?), SymbolId(reader.number()?));
        if (basket.channel, basket.payment_method) == (SymbolId::EMPTY, SymbolId::EMPTY) {
            return Err(DecodeError::Contradiction);
        }
    }
    if parts & Parts::TIER != 0 {
        decision.tier = Some(TierStanding { level: reader.byte()?, qualifying: reader.signed()? });
    }
    if parts & Parts::STACKED != 0 {
        for _ in 0..some(reader.count()?)? {
            decision.stacked.push((reader.number()?, RuleIndex(reader.number()?)));
        }
    }
    if parts & Parts::BONUSES != 0 {
        for _ in 0..some(reader.count()?)? {
            decision.bonuses.push(BonusAward { bonus: BonusIndex(reader.number()?), units: reader.signed()? });
        }
    }
    decision.effects.lots.clear();
    if parts & Parts::LOTS == 0 {
        decision.effects.lots.extend(implied);
    } else {
        let count = reader.count()?;
        for _ in 0..count.min(limits::LOT_CHANGES_MAX + 1) {
            let movement = Movement::from_number(reader.byte()?).ok_or(DecodeError::UnknownTag)?;
            decision.effects.lots.push(LotChange { movement, key: get_lot_key(reader)?, delta: reader.signed()? });
        }
    }
    if parts & Parts::SUBJECTS != 0 {
        get_subjects(reader, entry)?;
    }
    get_profile_parts(reader, parts, entry)?;
    // The lot that is named in the ordinary content is the one that is granted, and the list says more than that.
    let says_more = parts & Parts::LOTS == 0 || entry.decision.effects.lots.as_slice() != implied.as_slice();
    let fits = parts & Parts::LOTS == 0 || implied_lot(&entry.command, &entry.decision) == implied;
    let says_subjects = (parts & Parts::SUBJECTS != 0) == has_subjects(entry);
    if says_more && fits && says_subjects { Ok(()) } else { Err(DecodeError::Contradiction) }
}

fn get_profile_parts(reader: &mut Reader<'_>, parts: u64, entry: &mut Entry) -> Result<(), DecodeError> {
    if parts & Parts::VARIANTS != 0 {
        for _ in 0..some(reader.count()?)? {
            entry.decision.variants.push(reader.byte()?);
        }
    }
    let effects = &mut entry.decision.effects;
    if parts & Parts::LAST_BASKET != 0 {
        effects.last_basket_on = Some(Day(i32::try_from(reader.signed()?).map_err(|_| DecodeError::BadNumber)?));
    }
    if parts & Parts::REMAINDER != 0 {
        effects.remainder = Some(reader.signed()?);
    }
    if parts & Parts::BIRTHDAY != 0 {
        let CommandKind::Enrol(enrolment) = &mut entry.command.kind else { return Err(DecodeError::Contradiction) };
        let stated = MonthDay { month: reader.byte()?, day: reader.byte()? };
        let birthday = (stated != MonthDay::default()).then_some(stated);
        if birthday.is_some_and(|birthday| !birthday.is_real()) {
            return Err(DecodeError::BadNumber);
        }
        enrolment.birthday = Some(birthday);
        effects.birthday = flag(reader)?.then_some(birthday);
    }
    get_held_parts(reader, parts, entry)?;
    if parts & Parts::MEMBER != 0 {
        get_member(reader, entry)?;
    }
    if parts & Parts::NAMED_BY != 0 {
        let names_none = matches!(
            entry.command.kind,
            CommandKind::Reverse(_) | CommandKind::Unburn(_) | CommandKind::Refund(_) | CommandKind::Expire
        );
        if names_none || entry.command.kind.authorization().is_some() {
            return Err(DecodeError::Contradiction);
        }
        entry.command.named_by = Some(IdentifierKey(reader.array()?));
    }
    if parts & Parts::SIGNED != 0 {
        get_signed(reader, entry)?;
    }
    if parts & Parts::REDEMPTION_RATE != 0 {
        let rate = reader.number()?;
        let burns = matches!(entry.command.kind, CommandKind::Redeem(_) | CommandKind::Capture(_));
        let is_granted = entry.decision.refusal().is_none() && burns;
        if rate == 0 || !is_granted {
            return Err(DecodeError::Contradiction);
        }
        entry.decision.effects.redemption_rate_bps = rate;
    }
    holds::get_ended(reader, parts, &mut entry.decision)?;
    if parts & Parts::RETURNED != 0 {
        let CommandKind::Reverse(reversal) = &mut entry.command.kind else { return Err(DecodeError::Contradiction) };
        reversal.part = Some(Box::new(get_part(reader)?));
    }
    if parts & Parts::OWED != 0 {
        let delta: Units = reader.signed()?;
        let fits = match &entry.command.kind {
            CommandKind::Reverse(_) => delta > 0,
            CommandKind::Accrue(_) | CommandKind::Act(_) | CommandKind::Unburn(_) => delta < 0,
            _ => false,
        };
        if !fits || entry.decision.refusal().is_some() {
            return Err(DecodeError::Contradiction);
        }
        entry.decision.effects.owed = Some((entry.decision.wallet, delta));
    }
    if parts & Parts::REWARD != 0 {
        unburn::get_reward(reader, entry)?;
    }
    vouchers::get_parts(reader, parts, entry)?;
    stamps::get_part(reader, parts, entry)?;
    seen::get_part(reader, parts, entry)
}

/// Whose credentials asked for what an operator asked, and confirmed it.
fn get_signed(reader: &mut Reader<'_>, entry: &mut Entry) -> Result<(), DecodeError> {
    let CommandKind::Operate(operation) = &mut entry.command.kind else { return Err(DecodeError::Contradiction) };
    let remark = &mut operation.remark;
    (remark.actor, remark.confirmer) = (reader.string()?.into(), reader.string()?.into());
    if remark.is_signed() { Ok(()) } else { Err(DecodeError::Contradiction) }
}

/// A hold that begins with an accrual or an activity, or ends with a reversal.
fn get_held_parts(reader: &mut Reader<'_>, parts: u64, entry: &mut Entry) -> Result<(), DecodeError> {
    let Command { partner, transaction_id, kind, .. } = &entry.command;
    let change = match (kind, parts & (Parts::HELD | Parts::ENDS_HOLD)) {
        (_, 0) => return Ok(()),
        (CommandKind::Accrue(_) | CommandKind::Act(_), Parts::HELD) => {
            let name = HeldName { partner: *partner, transaction_id: transaction_id.as_str().into() };
            HeldChange::Begins(name, SymbolId(reader.number()?))
        }
        (CommandKind::Reverse(reversal), Parts::ENDS_HOLD) => {
            let transaction_id = reversal.original_transaction_id.clone();
            HeldChange::Ends(HeldName { partner: *partner, transaction_id })
        }
        _ => return Err(DecodeError::Contradiction),
    };
    if entry.decision.refusal().is_some() {
        return Err(DecodeError::Contradiction);
    }
    entry.decision.effects.held = Some(Box::new(change));
    Ok(())
}

/// Reads who is meant, and which counters are that member's.
fn get_member(reader: &mut Reader<'_>, entry: &mut Entry) -> Result<(), DecodeError> {
    let member = MemberKey(u64::from_le_bytes(reader.array()?));
    let places = (0..reader.count()?).map(|_| reader.number::<usize>()).collect::<Result<Vec<_>, _>>()?;
    if member == MemberKey::NONE || !places.is_sorted_by(|a, b| a < b) {
        return Err(DecodeError::Contradiction);
    }
    let is_refused = entry.decision.refusal().is_some();
    match &mut entry.command.kind {
        CommandKind::Accrue(_) | CommandKind::Act(_) | CommandKind::Redeem(_) | CommandKind::Authorize(_) => {
            entry.command.member = member;
        }
        CommandKind::Reverse(reversal) if !places.is_empty() => {
            name_member(&mut reversal.original.counters, &places, member)?;
        }
        CommandKind::Operate(operation) if !places.is_empty() => match &mut operation.order {
            OperatorOrder::Reject(original) => name_member(&mut original.granted.counters, &places, member)?,
            _ => return Err(DecodeError::Contradiction),
        },
        _ => return Err(DecodeError::Contradiction),
    }
    if is_refused && matches!(entry.command.kind, CommandKind::Reverse(_)) {
        return Ok(());
    }
    name_member(&mut entry.decision.effects.counters, &places, member)
}

fn name_member(counters: &mut [CounterChange], places: &[usize], member: MemberKey) -> Result<(), DecodeError> {
    for place in places {
        counters.get_mut(*place).ok_or(DecodeError::Contradiction)?.member = member;
    }
    Ok(())
}

/// Whether any of the cells needs the part that states subjects.
fn has_subjects(entry: &Entry) -> bool {
    named_cells(&entry.command, &entry.decision).iter().any(has_subject)
}

/// Completes the cells: those of the decision, and of a reversal those of its original, which are the same.
fn get_subjects(reader: &mut Reader<'_>, entry: &mut Entry) -> Result<(), DecodeError> {
    let is_refused = entry.decision.refusal().is_some();
    let decided = &mut entry.decision.cells;
    let original = match &mut entry.command.kind {
        CommandKind::Reverse(reversal) => &mut reversal.original.cells,
        CommandKind::Operate(operation) => match &mut operation.order {
            OperatorOrder::Reject(original) => &mut original.granted.cells,
            _ => return Err(DecodeError::Contradiction),
        },
        _ => return decided.iter_mut().try_for_each(|taken| get_subject(reader, taken)),
    };
    let count = original.len();
    for (index, taken) in original.iter_mut().enumerate() {
        get_subject(reader, taken)?;
        if is_refused {
            continue;
        }
        // Named once more in the reversal's own uses.
        let returned = decided.get_mut(index).filter(|returned| returned.cell.name == taken.cell.name);
        let returned = returned.ok_or(DecodeError::Contradiction)?;
        (returned.cell, returned.retain_until) = (taken.cell, taken.retain_until);
    }
    if is_refused || decided.len() == count { Ok(()) } else { Err(DecodeError::Contradiction) }
}

pub(super) fn get_subject(reader: &mut Reader<'_>, taken: &mut CellUse) -> Result<(), DecodeError> {
    taken.cell.subject = [SymbolId(reader.number()?), SymbolId(reader.number()?), SymbolId(reader.number()?)];
    taken.cell.period = i32::try_from(reader.signed()?).map_err(|_| DecodeError::BadNumber)?;
    taken.retain_until = Day(i32::try_from(reader.signed()?).map_err(|_| DecodeError::BadNumber)?);
    Ok(())
}

/// The count of a part that is there.
pub(super) fn some(count: usize) -> Result<usize, DecodeError> {
    if count > 0 { Ok(count) } else { Err(DecodeError::Contradiction) }
}

fn get_basket(
    reader: &mut Reader<'_>,
    flags: u8,
    posted_at: TimestampNs,
    items: &[Item],
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
        let index = usize::try_from(item_id.0).unwrap_or(usize::MAX);
        let item = *items.get(index).ok_or(DecodeError::UnknownReference)?;
        lines.push(Line { item_id, item, quantity: reader.number()?, amount_minor: reader.number()? });
    }
    let receipt_number = receipt_number.into();
    Ok(Basket { store, terminal, cashier, receipt_number, business_day, receipt_at, lines, ..Basket::default() })
}

fn get_accrual(
    reader: &mut Reader<'_>,
    flags: u8,
    partner: SymbolId,
    posted_at: TimestampNs,
    decision: &mut Decision,
) -> Result<(), DecodeError> {
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
        let delta = decision.granted;
        decision.effects.lots.push(LotChange { key, delta, movement: Movement::Grant });
    } else if decision.granted != 0 {
        return Err(DecodeError::Contradiction);
    }
    decision.effects.counters = get_counters(reader, posted_at)?;
    Ok(())
}

fn get_reversal_effects(
    reader: &mut Reader<'_>,
    original: &Granted,
    decision: &mut Decision,
) -> Result<(), DecodeError> {
    for change in &original.counters {
        let delta = change.delta.checked_neg().ok_or(DecodeError::BadNumber)?;
        decision.effects.counters.push(CounterChange { delta, ..*change });
    }
    decision.cells = get_cells(reader)?;
    decision.effects.totals = TotalsChange::of_reversal();
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
    if !(0..=limits::UNITS_MAX).contains(&units) {
        return Err(DecodeError::BadNumber);
    }
    let lot = if flag(reader)? { Some(get_lot_key(reader)?) } else { None };
    let (counters, cells) = (get_counters(reader, posted_at)?, get_cells(reader)?);
    Ok(Granted { receipt, lot, units, counters, cells, ..Granted::default() })
}

pub(super) fn get_counters(reader: &mut Reader<'_>, posted_at: TimestampNs) -> Result<Vec<CounterChange>, DecodeError> {
    let count = reader.count()?;
    let mut counters = Vec::with_capacity(count);
    for _ in 0..count {
        counters.push(CounterChange {
            counter: SymbolId(reader.number()?),
            member: MemberKey::NONE,
            period: i32::try_from(reader.signed()?).map_err(|_| DecodeError::BadNumber)?,
            delta: reader.signed()?,
            retain_until: offset_day(utc_day(posted_at), reader.signed()?)?,
        });
    }
    Ok(counters)
}

pub(super) fn get_cells(reader: &mut Reader<'_>) -> Result<Vec<CellUse>, DecodeError> {
    let count = reader.count()?;
    let mut cells = Vec::with_capacity(count);
    for _ in 0..count {
        cells.push(CellUse {
            cell: CellId::whole(SymbolId(reader.number()?)),
            version: reader.unsigned()?,
            room_before: reader.signed()?,
            used: reader.signed()?,
            retain_until: CellUse::FOR_EVER,
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

pub(super) fn flag(reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match reader.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::UnknownTag),
    }
}
