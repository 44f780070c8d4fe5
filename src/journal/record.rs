//! The content of records, byte for byte. `docs/format.md` gives the layout as a table; the golden bytes in
//! `tests/golden` hold it still.
//!
//! What must stay true: a record stands alone but for the dictionary: no field is relative to a neighbour, so that its
//! bytes are also the content of its Merkle leaf; a one-line accrual stays within
//! [`crate::limits::ONE_LINE_RECORD_BYTES_MAX`]; decoding then encoding gives the same bytes.

use super::codec::{DecodeError, Reader, put_id, put_signed, put_string, put_unsigned};
use super::dictionary::Dictionary;
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

const KIND_ACCRUAL: u8 = 1;
const KIND_REVERSAL: u8 = 2;
const KIND_REFUSED_ACCRUAL: u8 = 3;
const KIND_REFUSED_REVERSAL: u8 = 4;
const KIND_OPENING: u8 = 16;
const KIND_SYMBOL: u8 = 17;
const KIND_ITEM: u8 = 18;
const KIND_PROGRAM: u8 = 19;

const FLAG_OPENS_ACCOUNT: u8 = 1;
const FLAG_TERMINAL: u8 = 2;
const FLAG_CASHIER: u8 = 4;
const FLAG_LOT: u8 = 8;
const FLAG_OVER_VELOCITY: u8 = 16;
/// The flags that a kind of entry can have.
const FLAGS_OF_ACCRUAL: u8 = 31;
const FLAGS_OF_REFUSED_ACCRUAL: u8 = FLAG_TERMINAL | FLAG_CASHIER;
const FLAGS_OF_REVERSAL: u8 = 0;

/// Where the account's previous record lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PreviousRecord {
    /// This is the account's first.
    #[default]
    None,
    /// At this position.
    At(Position),
    /// So many records of the same shard before this one, more than 0. Used while the previous record's commit has no
    /// position yet, so never further back than the commits that can be in flight.
    Back(u64),
}

/// A command with its decision, as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The account's previous record.
    pub previous: PreviousRecord,
    /// The account's number in the shard.
    pub account: AccountNumber,
    /// The posting time.
    pub posted_at: TimestampNs,
    /// What was asked. The account's id is empty unless the record opens the account.
    pub command: Command,
    /// What was decided.
    pub decision: Decision,
}

/// The content of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A command of an account.
    Entry(Box<Entry>),
    /// The data directory was opened by a process; the first record of each epoch.
    Opening(Opening),
    /// A string got its number.
    Symbol(SymbolId, Box<str>),
    /// A combination of attributes got its number.
    Item(ItemId, Item),
    /// A version of the programme was published.
    Program(Publication),
}

/// A version of the programme, as it was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// From 1, without gaps.
    pub version: ProgramVersion,
    /// From when on it judges.
    pub effective_at: TimestampNs,
    /// When it was published.
    pub posted_at: TimestampNs,
    /// The partner whose credential published it; [`SymbolId::EMPTY`] for the operator who started the server.
    pub partner: SymbolId,
    /// The caller's id of the publication; empty for the operator who started the server.
    pub transaction_id: Box<str>,
    /// The programme file.
    pub source: Box<str>,
}

impl Publication {
    /// Appends the fields.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_unsigned(out, u64::from(self.version.0));
        out.extend_from_slice(&self.effective_at.0.to_le_bytes());
        out.extend_from_slice(&self.posted_at.0.to_le_bytes());
        put_unsigned(out, u64::from(self.partner.0));
        put_string(out, &self.transaction_id);
        put_string(out, &self.source);
    }

    /// Reads the fields.
    ///
    /// # Errors
    /// When the bytes are not what `encode` writes.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            version: ProgramVersion(reader.number()?),
            effective_at: TimestampNs(i64::from_le_bytes(reader.array()?)),
            posted_at: TimestampNs(i64::from_le_bytes(reader.array()?)),
            partner: SymbolId(reader.number()?),
            transaction_id: reader.string()?.into(),
            source: reader.string()?.into(),
        })
    }
}

/// What a process says when it takes over a data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The epoch that begins, from 1.
    pub epoch: u64,
    /// When.
    pub at: TimestampNs,
    /// The release of the time-zone database in force from here on.
    pub time_zone_release: Box<str>,
    /// The number of virtual shards, the same in every opening of a directory.
    pub shard_count: u16,
    /// Whether posting times come from the input.
    pub clock_is_input: bool,
}

/// What an entry's encoding needs besides command and decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryHeader {
    /// The account's previous record.
    pub previous: PreviousRecord,
    /// The account's number in the shard.
    pub account: AccountNumber,
    /// The posting time.
    pub posted_at: TimestampNs,
}

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

impl Entry {
    /// What a reversal of this entry has to undo; `None` when it is not a granted accrual.
    #[must_use]
    pub fn granted(&self) -> Option<Granted> {
        let CommandKind::Accrue(basket) = &self.command.kind else { return None };
        self.decision.refusal().is_none().then(|| Granted {
            receipt: basket.receipt(),
            lot: self.decision.effects.lot.map(|(key, _)| key),
            units: self.decision.granted,
            counters: self.decision.effects.counters.clone(),
            cells: self.decision.cells.iter().filter(|cell| cell.used != 0).copied().collect(),
        })
    }
}
