//! The content of records, byte for byte: one file writes them, the other reads them. `docs/format.md` gives the layout
//! as a table; the golden bytes in `tests/golden` hold it still.
//!
//! What must stay true: a record stands alone but for the dictionary: no field is relative to a neighbour, so that its
//! bytes are also the content of its Merkle leaf; a one-line accrual stays within
//! [`crate::limits::ONE_LINE_RECORD_BYTES_MAX`]; decoding then encoding gives the same bytes.

mod decode;
mod derived;
mod encode;
mod freeze;
mod holds;
mod keys;
mod money;
mod operator;
mod part;
mod proposals;
mod seen;
mod stamps;
mod unburn;
mod vouchers;

pub use decode::{decode, decode_with};
pub use encode::{encode_control, encode_entry};
pub use freeze::{decode_freeze_change, encode_freeze_change};
pub use keys::{decode_key_change, decode_whole_key_change, encode_key_change};
pub use proposals::{decode_proposal, decode_proposal_change, encode_proposal, encode_proposal_change};

use crate::access::keys::KeyChange;
use crate::access::proposals::ProposalChange;
use crate::codec::{DecodeError, Reader, put_string, put_unsigned};
use crate::ledger::authorization::AuthorizationChange;
use crate::ledger::command::{AuthorizationOf, Command, CommandKind, Granted};
use crate::ledger::decision::{CellUse, CounterChange, Decision, LotChange, LotKey, Movement};
use crate::ledger::freeze::FreezeChange;
use crate::ledger::held::HeldChange;
use crate::ledger::money::TopUp;
use crate::ledger::stamps::card_vouchers;
use crate::ledger::types::{
    AccountNumber, Item, ItemId, MemberKey, Position, ProgramVersion, SymbolId, TimestampNs, Units,
};

const KIND_ACCRUAL: u8 = 1;
const KIND_REVERSAL: u8 = 2;
const KIND_REFUSED_ACCRUAL: u8 = 3;
const KIND_REFUSED_REVERSAL: u8 = 4;
const KIND_REDEMPTION: u8 = 5;
const KIND_REFUSED_REDEMPTION: u8 = 6;
const KIND_ACTIVITY: u8 = 7;
const KIND_REFUSED_ACTIVITY: u8 = 8;
const KIND_ENROLMENT: u8 = 9;
const KIND_REFUSED_ENROLMENT: u8 = 10;
const KIND_LOADING: u8 = 11;
const KIND_REFUSED_LOADING: u8 = 12;
const KIND_EXPIRY: u8 = 13;
const KIND_OPENING: u8 = 16;
const KIND_SYMBOL: u8 = 17;
const KIND_ITEM: u8 = 18;
const KIND_PROGRAM: u8 = 19;
const KIND_LINKING: u8 = 30;
const KIND_REFUSED_LINKING: u8 = 31;

const KIND_RELEASE: u8 = 20;
const KIND_REJECTION: u8 = 21;
const KIND_RESTORATION: u8 = 22;
const KIND_REFUSED_RESTORATION: u8 = 23;
const KIND_ADJUSTMENT: u8 = 24;
const KIND_REFUSED_ADJUSTMENT: u8 = 25;
const KIND_KEY_ISSUED: u8 = 40;
const KIND_KEY_REVOKED: u8 = 41;
const KIND_FREEZE: u8 = 42;
const KIND_THAW: u8 = 43;
/// As kind 19, with who published.
const KIND_PROGRAM_BY: u8 = 44;
const KIND_PROPOSAL: u8 = 45;
const KIND_VERDICT: u8 = 46;
const KIND_AUTHORIZATION: u8 = 50;
const KIND_REFUSED_AUTHORIZATION: u8 = 51;
const KIND_CAPTURE: u8 = 52;
const KIND_REFUSED_CAPTURE: u8 = 53;
const KIND_VOID: u8 = 54;
const KIND_UNBURN: u8 = 55;
const KIND_REFUSED_UNBURN: u8 = 56;
const KIND_TOP_UP: u8 = 60;
const KIND_REFUSED_TOP_UP: u8 = 61;
const KIND_REFUND: u8 = 62;
const KIND_REFUSED_REFUND: u8 = 63;
const KIND_VOUCHER: u8 = 64;
const KIND_REFUSED_VOUCHER: u8 = 65;
const KIND_CANCELLED_VOUCHER: u8 = 66;

const FLAG_OPENS_ACCOUNT: u8 = 1;
const FLAG_TERMINAL: u8 = 2;
const FLAG_CASHIER: u8 = 4;
const FLAG_LOT: u8 = 8;
const FLAG_OVER_VELOCITY: u8 = 16;
/// More follows: first the [`Parts`] that do, then each of them.
const FLAG_MORE: u8 = 32;

/// What only some records have. A set of these numbers follows the ordinary content, then the parts in this order.
struct Parts;

impl Parts {
    /// The basket's channel and payment method.
    const CHANNEL: u64 = 1;
    /// Where the account stands on the ladder.
    const TIER: u64 = 2;
    /// Rules that counted for a line beside its class.
    const STACKED: u64 = 4;
    /// Bonuses that were earned.
    const BONUSES: u64 = 8;
    /// The lots that change, where they are not those that the ordinary content implies.
    const LOTS: u64 = 16;
    /// Of each cell, or of each that a reversal's original drew on: the subject, the period, and until when it is kept.
    const SUBJECTS: u64 = 32;
    /// The account's variants in the experiments of the programme.
    const VARIANTS: u64 = 64;
    /// The local day of the account's last basket.
    const LAST_BASKET: u64 = 128;
    /// What rounding left over for the next basket.
    const REMAINDER: u64 = 256;
    /// A change of birthday: asked for, and taking effect.
    const BIRTHDAY: u64 = 512;
    /// The cap that holds what was granted.
    const HELD: u64 = 1_024;
    /// The reversal of what was held until now. It has no fields.
    const ENDS_HOLD: u64 = 2_048;
    /// The member whom the command names, and which counters are that member's.
    const MEMBER: u64 = 8_192;
    /// The identifier by which the caller named the account.
    const NAMED_BY: u64 = 16_384;
    /// Of what an operator asked: whose credentials asked for it and confirmed it.
    const SIGNED: u64 = 131_072;
    /// The rate at which the partner of a redemption or a capture is paid for what it burned.
    const REDEMPTION_RATE: u64 = 262_144;
    /// Authorizations whose time had run out, and of which what was left is given back.
    const ENDED: u64 = 1_048_576;
    /// Which part of its original a reversal takes back.
    const RETURNED: u64 = 4_194_304;
    /// What the account owes more, or less, in the wallet of the decision.
    const OWED: u64 = 8_388_608;
    /// The reward that a redemption is for, or the rewards that come back.
    const REWARD: u64 = 16_777_216;
    /// The vouchers that the basket names.
    const NAMED_VOUCHERS: u64 = 1 << 28;
    /// What becomes of vouchers besides.
    const VOUCHERS: u64 = 1 << 29;
    /// What the basket counted on stamp cards, or the vouchers of cards that a reversal's original gave.
    const STAMPS: u64 = 1 << 30;
    /// The cells that a basket or an activity which is refused had looked into.
    const SEEN: u64 = 1 << 31;
    /// All of them.
    const ALL: u64 = 4_095
        | Self::MEMBER
        | Self::NAMED_BY
        | Self::SIGNED
        | Self::REDEMPTION_RATE
        | Self::ENDED
        | Self::RETURNED
        | Self::OWED
        | Self::REWARD
        | Self::NAMED_VOUCHERS
        | Self::VOUCHERS
        | Self::STAMPS
        | Self::SEEN;
}

/// Whether these are the bytes of an expiry that the ledger posted by itself. Such a record names no item, so that any
/// dictionary decodes it.
#[must_use]
pub fn is_expiry(bytes: &[u8]) -> bool {
    bytes.first() == Some(&KIND_EXPIRY)
}

/// Whether these are the bytes of a basket or an activity that a velocity cap denied its units.
#[must_use]
pub fn is_over_velocity(bytes: &[u8]) -> bool {
    matches!(bytes, [KIND_ACCRUAL | KIND_ACTIVITY, flags, ..] if flags & FLAG_OVER_VELOCITY != 0)
}

/// Whether these bytes are a record that a directory opens with: what was written is read again. Of baskets, which name what
/// the dictionary has, it is not asked.
#[must_use]
pub fn is_read_back(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(&(KIND_ACCRUAL | KIND_REFUSED_ACCRUAL))) || decode_with(bytes, &[]).is_ok()
}

/// The changes of lots that the ordinary content of a record implies.
fn implied_lot(command: &Command, decision: &Decision) -> Option<LotChange> {
    if decision.refusal().is_some() {
        return None;
    }
    match &command.kind {
        CommandKind::Accrue(_) | CommandKind::Act(_) => {
            let key = decision.granted_lot()?;
            Some(LotChange { key, delta: decision.granted, movement: Movement::Grant })
        }
        CommandKind::Reverse(reversal) => {
            let key = reversal.original.lot?;
            Some(LotChange { key, delta: -reversal.original.units, movement: Movement::Reverse })
        }
        CommandKind::Unburn(unburn) => match unburn.lots.as_slice() {
            [(key, units)] => Some(LotChange { key: *key, delta: *units, movement: Movement::Unburn }),
            _ => None,
        },
        CommandKind::Redeem(_)
        | CommandKind::Enrol(_)
        | CommandKind::Load(_)
        | CommandKind::Operate(_)
        | CommandKind::Link(_)
        | CommandKind::Authorize(_)
        | CommandKind::Capture(_)
        | CommandKind::Void(_)
        | CommandKind::TopUp(_)
        | CommandKind::Refund(_)
        | CommandKind::Expire => None,
    }
}

/// Whether a cell is more than a name.
fn has_subject(taken: &CellUse) -> bool {
    !taken.cell.is_whole() || taken.retain_until != CellUse::FOR_EVER
}

/// The cells of which the subjects are stated: those of what takes back are those of its original.
fn named_cells<'a>(command: &'a Command, decision: &'a Decision) -> &'a [CellUse] {
    match &command.kind {
        CommandKind::Reverse(_) | CommandKind::Unburn(_) | CommandKind::Operate(_) => command.kind.returns_to(),
        // What a refusal saw has a part of its own.
        _ => decision.uses(),
    }
}

/// The counters of which those of a member are stated: those of what takes back are those of its original.
fn named_counters<'a>(command: &'a Command, decision: &'a Decision) -> &'a [CounterChange] {
    let rejected = match &command.kind {
        CommandKind::Reverse(reversal) => return &reversal.original.counters,
        CommandKind::Operate(operation) => operation.order.held(),
        _ => None,
    };
    rejected.map_or(&decision.effects.counters, |original| &original.granted.counters)
}

/// The member that a record tells of: whom its command names, or whose counters a reversal's original moved.
fn named_member(command: &Command, decision: &Decision) -> MemberKey {
    let of_counters = named_counters(command, decision).iter().map(|change| change.member);
    of_counters.fold(command.member, Ord::max)
}

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
    /// A key was issued or revoked.
    Key(KeyChange),
    /// Something was frozen or thawed.
    Freeze(FreezeChange),
    /// Something was proposed to a second person, or settled by one.
    Proposal(ProposalChange),
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
    /// Who published it, as the credential says; empty for the operator who started the server, and where it was not
    /// recorded yet.
    pub actor: Box<str>,
}

impl Publication {
    /// Appends the fields; the actor is the last of them where there is one.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_unsigned(out, u64::from(self.version.0));
        out.extend_from_slice(&self.effective_at.0.to_le_bytes());
        out.extend_from_slice(&self.posted_at.0.to_le_bytes());
        put_unsigned(out, u64::from(self.partner.0));
        put_string(out, &self.transaction_id);
        put_string(out, &self.source);
        if self.has_actor() {
            put_string(out, &self.actor);
        }
    }

    /// Whether it says who published it.
    #[must_use]
    pub fn has_actor(&self) -> bool {
        !self.actor.is_empty()
    }

    /// Reads the fields, of a publication with an actor or without.
    ///
    /// # Errors
    /// When the bytes are not what `encode` writes.
    pub fn decode(reader: &mut Reader<'_>, has_actor: bool) -> Result<Self, DecodeError> {
        let publication = Self {
            version: ProgramVersion(reader.number()?),
            effective_at: TimestampNs(i64::from_le_bytes(reader.array()?)),
            posted_at: TimestampNs(i64::from_le_bytes(reader.array()?)),
            partner: SymbolId(reader.number()?),
            transaction_id: reader.string()?.into(),
            source: reader.string()?.into(),
            actor: if has_actor { reader.string()?.into() } else { Box::default() },
        };
        if publication.has_actor() == has_actor { Ok(publication) } else { Err(DecodeError::Contradiction) }
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

impl Entry {
    /// What a reversal of this entry has to undo; `None` when it is not a granted accrual.
    #[must_use]
    pub fn granted(&self) -> Option<Granted> {
        let CommandKind::Accrue(basket) = &self.command.kind else { return None };
        self.decision.refusal().is_none().then(|| Granted {
            receipt: basket.receipt(),
            lot: self.decision.granted_lot(),
            units: self.decision.granted,
            counters: self.decision.effects.counters.clone(),
            cells: self.taken_cells(),
            stamps: card_vouchers(&self.decision),
        })
    }

    /// What the release of this entry's units has to know; `None` when they are not held.
    #[must_use]
    pub fn held(&self) -> Option<Granted> {
        self.decision.effects.held.as_deref().and_then(HeldChange::begins_by)?;
        let (lot, units) = (self.decision.granted_lot(), self.decision.granted);
        (self.decision.refusal().is_none() && lot.is_some()).then(|| Granted { lot, units, ..Granted::default() })
    }

    /// What the rejection of this entry's units has to undo; `None` when they are not held.
    #[must_use]
    pub fn rejectable(&self) -> Option<Granted> {
        let counters = self.decision.effects.counters.clone();
        self.held().map(|granted| Granted { counters, cells: self.taken_cells(), ..granted })
    }

    /// What a capture or a void of this entry has to know; `None` when it set nothing aside. The entry lies here.
    #[must_use]
    pub fn authorization(&self, position: Position) -> Option<AuthorizationOf> {
        let own = self.decision.effects.authorizations.as_deref()?.own.as_ref()?;
        let AuthorizationChange::Begins(name, ends_at) = own else { return None };
        let (transaction_id, wallet, ends_at) = (name.transaction_id.clone(), self.decision.wallet, *ends_at);
        Some(AuthorizationOf { transaction_id, position, wallet, ends_at })
    }

    /// What this entry burned, by lot, in the order in which it did; nothing where it burned none.
    #[must_use]
    pub fn burned(&self) -> Vec<(LotKey, Units)> {
        let burns = matches!(self.command.kind, CommandKind::Redeem(_) | CommandKind::Capture(_));
        let lots = self.decision.effects.lots.iter().filter(|lot| burns && lot.movement == Movement::Burn);
        lots.map(|lot| (lot.key, lot.delta.saturating_neg())).collect()
    }

    /// What was paid in, and the lot that gained it; `None` when this is no granted top-up.
    #[must_use]
    pub fn top_up(&self) -> Option<(&TopUp, LotKey)> {
        match &self.command.kind {
            CommandKind::TopUp(top_up) => Some((top_up, self.decision.granted_lot()?)),
            _ => None,
        }
    }

    /// The lots of a partner whose expiry this entry posts, but for those that were held.
    #[must_use]
    pub fn expired_lots(&self, issuer: SymbolId) -> Vec<(LotKey, Units)> {
        let dead = self.decision.effects.lots.iter().filter(|lot| lot.movement == Movement::Expire);
        let own = dead.filter(|lot| lot.key.issuer == issuer && !lot.key.is_held());
        own.map(|lot| (lot.key, lot.delta.saturating_neg())).collect()
    }

    fn taken_cells(&self) -> Vec<CellUse> {
        self.decision.cells.iter().filter(|cell| cell.used != 0).copied().collect()
    }
}
