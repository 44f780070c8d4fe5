//! The bytes of entities in the state space. `docs/format.md` gives the layout; golden bytes hold it still.
//!
//! What must stay true: a key is the kind, the shard (big-endian) and the number (big-endian); a value begins with the
//! format's number; decoding then encoding gives the same bytes, but for accounts that an earlier version wrote.

use crate::access::keys::KeyChange;
use crate::access::proposals::Proposals;
use crate::codec::{DecodeError, Reader, put_signed, put_string, put_unsigned};
use crate::journal::record::{
    Publication, decode_freeze_change, decode_key_change, decode_proposal, encode_freeze_change, encode_key_change,
    encode_proposal,
};
use crate::ledger::decision::CellUse;
use crate::ledger::freeze::FreezeChange;
use crate::ledger::packed::{Packed, Unpacked};
use crate::ledger::partner::{BurnAccount, BurnKey, Funding, PartnerAccount};
use crate::ledger::state::ShardState;
use crate::ledger::types::{
    AccountNumber, CellId, Day, Item, ItemId, Position, Seq, ShardId, SymbolId, TimestampNs, WalletId,
};

const KIND_SYMBOL: u8 = 1;
const KIND_ITEM: u8 = 2;
const KIND_PROGRAM: u8 = 3;
const KIND_CELL: u8 = 4;
const KIND_SHARD: u8 = 5;
const KIND_ACCOUNT: u8 = 6;
const KIND_PARTNER: u8 = 7;
const KIND_CELL_OF_SUBJECT: u8 = 8;
const KIND_KEY_CHANGE: u8 = 40;
const KIND_FREEZE_CHANGE: u8 = 42;
const KIND_PROPOSALS: u8 = 43;
const KIND_BURN: u8 = 50;

/// The first format of each kind.
const FORMAT: u8 = 1;
/// The format of what the first cannot say.
const FORMAT_WITH_MORE: u8 = 2;
/// The format of a sub-account of a partner that pays for what it issues.
const FORMAT_WITH_FUNDING: u8 = 3;

/// An entity of the state space. The order of the kinds is the order of the keys: what others refer to comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entity {
    /// A string and its number.
    Symbol(SymbolId, Box<str>),
    /// A combination of attributes and its number.
    Item(ItemId, Item),
    /// A version of the programme, with the position of its record.
    Program(Position, Box<Publication>),
    /// A change of keys: its number, from 0, and the position of its record.
    KeyChange(u32, Position, KeyChange),
    /// A freeze or a thaw: its number, from 0, and the position of its record.
    FreezeChange(u32, Position, FreezeChange),
    /// What waits for a second person.
    Proposals(Box<Proposals>),
    /// A shared counter: its version, what it has used, and until which UTC day it is kept.
    Cell(CellId, u64, i64, Day),
    /// A shard: its last record and latest posting time.
    Shard(ShardId, Seq, TimestampNs),
    /// An account.
    Account(ShardId, AccountNumber, Packed),
    /// A partner's sub-account of a shard.
    Partner(ShardId, SymbolId, WalletId, PartnerAccount),
    /// What one partner burned of another's units in a shard.
    Burn(ShardId, BurnKey, BurnAccount),
}

fn key(kind: u8, shard: ShardId, number: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(11);
    key.push(kind);
    key.extend_from_slice(&shard.0.to_be_bytes());
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The key of a cell.
#[must_use]
pub fn cell_key(id: CellId) -> Vec<u8> {
    let number = u64::from(id.name.0);
    if id.is_whole() {
        return key(KIND_CELL, ShardId::CONTROL, number);
    }
    let mut key = key(KIND_CELL_OF_SUBJECT, ShardId::CONTROL, number);
    for symbol in id.subject {
        key.extend_from_slice(&symbol.0.to_be_bytes());
    }
    key.extend_from_slice(&id.period.to_be_bytes());
    key
}

/// The keys of all accounts: from the first of these on, and before the second.
pub const ACCOUNT_KEYS: ([u8; 1], [u8; 1]) = ([KIND_ACCOUNT], [KIND_ACCOUNT + 1]);

/// What the keys of a shard's accounts begin with, and no key of an account of an earlier shard reaches.
#[must_use]
pub fn account_keys_from(shard: ShardId) -> Vec<u8> {
    key(KIND_ACCOUNT, shard, 0)
}

/// The shard and the number in the key of an account; `None` where it is another's.
#[must_use]
pub fn account_of_key(key: &[u8]) -> Option<(ShardId, AccountNumber)> {
    let mut reader = Reader::new(key.strip_prefix(&[KIND_ACCOUNT])?);
    let shard = ShardId(u16::from_be_bytes(reader.array().ok()?));
    let number = u64::from_be_bytes(reader.array().ok()?);
    Some((shard, AccountNumber(u32::try_from(number).ok()?)))
}

/// The key and value of an account.
#[must_use]
pub fn encode_account(shard: ShardId, number: AccountNumber, account: &Packed) -> (Vec<u8>, Vec<u8>) {
    let mut out = Vec::new();
    account.encode(&mut out);
    (key(KIND_ACCOUNT, shard, u64::from(number.0)), out)
}

/// The key and value of a shard's own fields.
#[must_use]
pub fn encode_shard(shard: &ShardState) -> (Vec<u8>, Vec<u8>) {
    let mut out = vec![FORMAT];
    put_unsigned(&mut out, shard.seq.0);
    put_signed(&mut out, shard.posted_at.0);
    (key(KIND_SHARD, shard.id, 0), out)
}

/// The key and value of a partner's sub-account.
#[must_use]
pub fn encode_partner(
    shard: ShardId,
    partner: SymbolId,
    wallet: WalletId,
    account: &PartnerAccount,
) -> (Vec<u8>, Vec<u8>) {
    let format = partner_format(account);
    let mut out = vec![format];
    for total in [account.balance, account.issued, account.reversed] {
        out.extend_from_slice(&total.to_le_bytes());
    }
    put_unsigned(&mut out, account.seq.0);
    if format != FORMAT {
        out.extend_from_slice(&account.redeemed.to_le_bytes());
        out.extend_from_slice(&account.expired.to_le_bytes());
    }
    if format == FORMAT_WITH_FUNDING {
        let Funding { issued, reversed, redeemed, expired } = account.funding;
        for sum in [issued, reversed, redeemed, expired] {
            out.extend_from_slice(&sum.to_le_bytes());
        }
    }
    (key(KIND_PARTNER, shard, partner_number(partner, wallet)), out)
}

/// What the first format can say is said in it, and what the second can say in that.
fn partner_format(account: &PartnerAccount) -> u8 {
    let has_more = (account.redeemed, account.expired) != (0, 0);
    match (account.funding == Funding::default(), has_more) {
        (true, false) => FORMAT,
        (true, true) => FORMAT_WITH_MORE,
        (false, _) => FORMAT_WITH_FUNDING,
    }
}

fn partner_number(partner: SymbolId, wallet: WalletId) -> u64 {
    (u64::from(partner.0) << 8) | u64::from(wallet.0)
}

/// The key and value of what a partner burned of another's units.
#[must_use]
pub fn encode_burn(shard: ShardId, burn: &BurnKey, account: &BurnAccount) -> (Vec<u8>, Vec<u8>) {
    let mut out = vec![FORMAT];
    out.extend_from_slice(&account.units.to_le_bytes());
    out.extend_from_slice(&account.redemption.to_le_bytes());
    put_unsigned(&mut out, account.seq.0);
    let mut key = key(KIND_BURN, shard, partner_number(burn.issuer, burn.wallet));
    key.extend_from_slice(&burn.acceptor.0.to_be_bytes());
    (key, out)
}

impl Entity {
    /// The key and value.
    #[must_use]
    pub fn encode(&self) -> (Vec<u8>, Vec<u8>) {
        let control = ShardId::CONTROL;
        let mut out = vec![FORMAT];
        let key = match self {
            Self::Symbol(id, text) => {
                put_string(&mut out, text);
                key(KIND_SYMBOL, control, u64::from(id.0))
            }
            Self::Item(id, item) => {
                for symbol in [item.sku, item.category, item.department, item.brand, item.margin_class] {
                    put_unsigned(&mut out, u64::from(symbol.0));
                }
                key(KIND_ITEM, control, u64::from(id.0))
            }
            Self::Program(position, publication) => {
                out[0] = if publication.has_actor() { FORMAT_WITH_MORE } else { FORMAT };
                put_unsigned(&mut out, position.0);
                publication.encode(&mut out);
                key(KIND_PROGRAM, control, u64::from(publication.version.0))
            }
            Self::KeyChange(number, position, change) => {
                put_unsigned(&mut out, position.0);
                encode_key_change(&mut out, change);
                key(KIND_KEY_CHANGE, control, u64::from(*number))
            }
            Self::FreezeChange(number, position, change) => {
                put_unsigned(&mut out, position.0);
                encode_freeze_change(&mut out, change);
                key(KIND_FREEZE_CHANGE, control, u64::from(*number))
            }
            Self::Proposals(proposals) => {
                put_proposals(&mut out, proposals);
                key(KIND_PROPOSALS, control, 0)
            }
            Self::Cell(id, version, used, retain_until) => {
                put_unsigned(&mut out, *version);
                put_signed(&mut out, *used);
                if *retain_until != CellUse::FOR_EVER {
                    put_signed(&mut out, i64::from(retain_until.0));
                }
                return (cell_key(*id), out);
            }
            Self::Shard(id, seq, posted_at) => {
                put_unsigned(&mut out, seq.0);
                put_signed(&mut out, posted_at.0);
                key(KIND_SHARD, *id, 0)
            }
            Self::Account(shard, number, account) => return encode_account(*shard, *number, account),
            Self::Partner(shard, partner, wallet, account) => {
                return encode_partner(*shard, *partner, *wallet, account);
            }
            Self::Burn(shard, burn, account) => return encode_burn(*shard, burn, account),
        };
        (key, out)
    }

    /// Reads an entity.
    ///
    /// # Errors
    /// When the bytes are not what the encoder writes.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, DecodeError> {
        Self::decode_with(key, value, &mut Unpacked::default())
    }

    /// Reads an entity; if it is an account, leaves it in `unpacked` as well.
    ///
    /// # Errors
    /// When the bytes are not what the encoder writes.
    pub fn decode_with(key: &[u8], value: &[u8], unpacked: &mut Unpacked) -> Result<Self, DecodeError> {
        let mut key = Reader::new(key);
        let kind = key.byte()?;
        let shard = ShardId(u16::from_be_bytes(key.array()?));
        let number = u64::from_be_bytes(key.array()?);
        let mut cell = CellId::whole(SymbolId(number as u32));
        if kind == KIND_CELL_OF_SUBJECT {
            for symbol in &mut cell.subject {
                *symbol = SymbolId(u32::from_be_bytes(key.array()?));
            }
            cell.period = i32::from_be_bytes(key.array()?);
        }
        let acceptor = if kind == KIND_BURN { SymbolId(u32::from_be_bytes(key.array()?)) } else { SymbolId::EMPTY };
        key.finish()?;
        let small = || u32::try_from(number).map_err(|_| DecodeError::BadNumber);
        let mut reader = Reader::new(value);
        let format = reader.byte()?;
        let has_more = match (format, kind) {
            // It has formats of its own.
            (_, KIND_ACCOUNT) | (FORMAT, _) => false,
            (FORMAT_WITH_MORE, KIND_PARTNER | KIND_PROGRAM) | (FORMAT_WITH_FUNDING, KIND_PARTNER) => true,
            _ => return Err(DecodeError::UnknownTag),
        };
        let entity = match kind {
            KIND_SYMBOL => Self::Symbol(SymbolId(small()?), reader.string()?.into()),
            KIND_ITEM => {
                let mut symbol = || reader.number().map(SymbolId);
                let item = Item {
                    sku: symbol()?,
                    category: symbol()?,
                    department: symbol()?,
                    brand: symbol()?,
                    margin_class: symbol()?,
                };
                Self::Item(ItemId(small()?), item)
            }
            KIND_PROGRAM => {
                let position = Position(reader.unsigned()?);
                Self::Program(position, Box::new(Publication::decode(&mut reader, has_more)?))
            }
            KIND_KEY_CHANGE => {
                let position = Position(reader.unsigned()?);
                let kind = reader.byte()?;
                Self::KeyChange(small()?, position, decode_key_change(kind, &mut reader)?)
            }
            KIND_FREEZE_CHANGE => {
                let position = Position(reader.unsigned()?);
                let kind = reader.byte()?;
                Self::FreezeChange(small()?, position, decode_freeze_change(kind, &mut reader)?)
            }
            KIND_PROPOSALS if number == 0 => Self::Proposals(Box::new(get_proposals(&mut reader)?)),
            KIND_CELL | KIND_CELL_OF_SUBJECT => {
                small()?;
                let (version, used) = (reader.unsigned()?, reader.signed()?);
                let is_kept = reader.is_at_end();
                Self::Cell(cell, version, used, if is_kept { CellUse::FOR_EVER } else { Day(get_i32(&mut reader)?) })
            }
            KIND_SHARD => Self::Shard(shard, Seq(reader.unsigned()?), TimestampNs(reader.signed()?)),
            KIND_ACCOUNT => {
                let account = Packed::decode(value, unpacked)?;
                reader.bytes(reader.remaining())?;
                Self::Account(shard, AccountNumber(small()?), account)
            }
            KIND_PARTNER => {
                let partner = SymbolId(u32::try_from(number >> 8).map_err(|_| DecodeError::BadNumber)?);
                let mut account = PartnerAccount {
                    balance: i128::from_le_bytes(reader.array()?),
                    issued: i128::from_le_bytes(reader.array()?),
                    reversed: i128::from_le_bytes(reader.array()?),
                    seq: Seq(reader.unsigned()?),
                    ..PartnerAccount::default()
                };
                if has_more {
                    account.redeemed = i128::from_le_bytes(reader.array()?);
                    account.expired = i128::from_le_bytes(reader.array()?);
                }
                if format == FORMAT_WITH_FUNDING {
                    let mut sum = || reader.array().map(i128::from_le_bytes);
                    account.funding = Funding { issued: sum()?, reversed: sum()?, redeemed: sum()?, expired: sum()? };
                }
                Self::Partner(shard, partner, WalletId((number & 0xff) as u8), account)
            }
            KIND_BURN => {
                let issuer = SymbolId(u32::try_from(number >> 8).map_err(|_| DecodeError::BadNumber)?);
                let burn = BurnKey { acceptor, issuer, wallet: WalletId((number & 0xff) as u8) };
                let account = BurnAccount {
                    units: i128::from_le_bytes(reader.array()?),
                    redemption: i128::from_le_bytes(reader.array()?),
                    seq: Seq(reader.unsigned()?),
                };
                Self::Burn(shard, burn, account)
            }
            _ => return Err(DecodeError::UnknownTag),
        };
        reader.finish()?;
        // What the first format can say is said in it.
        let needed = match &entity {
            // Its own decoder has seen to that.
            Self::Account(..) | Self::Program(..) => format,
            Self::Partner(_, _, _, account) => partner_format(account),
            _ => FORMAT,
        };
        if needed == format { Ok(entity) } else { Err(DecodeError::Contradiction) }
    }
}

fn put_proposals(out: &mut Vec<u8>, proposals: &Proposals) {
    put_unsigned(out, u64::from(proposals.count()));
    put_unsigned(out, u64::from(proposals.change_count()));
    put_unsigned(out, proposals.last().map_or(0, |last| last.0 + 1));
    put_unsigned(out, proposals.iter().count() as u64);
    for (position, proposal) in proposals.iter() {
        put_unsigned(out, position.0);
        encode_proposal(out, proposal);
    }
}

fn get_proposals(reader: &mut Reader<'_>) -> Result<Proposals, DecodeError> {
    let (count, change_count) = (reader.number()?, reader.number()?);
    let last = reader.unsigned()?.checked_sub(1).map(Position);
    let pending = (0..reader.count()?).map(|_| Ok((Position(reader.unsigned()?), decode_proposal(reader)?)));
    let pending = pending.collect::<Result<Vec<_>, DecodeError>>()?;
    if !pending.is_sorted_by(|(_, one), (_, next)| one.number < next.number) {
        return Err(DecodeError::Contradiction);
    }
    Ok(Proposals::restored(pending, count, change_count, last))
}

fn get_i32(reader: &mut Reader<'_>) -> Result<i32, DecodeError> {
    i32::try_from(reader.signed()?).map_err(|_| DecodeError::BadNumber)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::account::{Account, Counter, Lot, MemberCounter, Profile, Totals, WalletTotals};
    use crate::ledger::authorization::Authorization;
    use crate::ledger::decision::LotKey;
    use crate::ledger::held::HeldTransaction;
    use crate::ledger::types::{IdentifierKey, MemberKey, MonthDay, ProgramVersion};
    use crate::ledger::voucher::{Voucher, VoucherCode, VoucherState, VoucherTerms};

    #[test]
    fn entities_come_back_as_they_were() {
        let account = Account {
            id: "member-7".into(),
            seq: Seq(9),
            position: Some(Position(0)),
            opened_at: TimestampNs(-5),
            lots: vec![Lot {
                key: LotKey {
                    wallet: WalletId(0),
                    issuer: SymbolId(3),
                    funding_rate_bps: 250,
                    available_from_minute: 27_000_000,
                    inactive_days: LotKey::AS_IN_FORCE,
                    expires_at: LotKey::NEVER,
                },
                remaining: 12,
            }],
            counters: vec![Counter { counter: SymbolId(4), period: -3, value: 8, retain_until: Day(70) }],
            totals: Totals { baskets: 2, refused_baskets: 0, reversals: 1, refused_redemptions: 0 },
            wallets: vec![WalletTotals {
                wallet: WalletId(0),
                granted: 14,
                reversed: 2,
                clipped: 1,
                ..WalletTotals::default()
            }],
            profile: None,
        };
        let mut member = account.clone();
        member.totals.refused_redemptions = 3;
        member.wallets[0].redeemed = 5;
        member.profile = Some(Box::new(Profile {
            segments: vec![SymbolId(8), SymbolId(9)],
            birthday: Some(MonthDay { month: 2, day: 29 }),
            last_basket_on: Some(Day(-3)),
            remainder: Some((ProgramVersion(2), 99)),
            held: vec![HeldTransaction {
                partner: SymbolId(3),
                transaction_id: "t-1".into(),
                cap: SymbolId(4),
                lot: account.lots[0].key.held(),
                units: 7,
                held_at: TimestampNs(-5),
            }],
            members: vec![MemberCounter { member: MemberKey(u64::MAX - 1), counted: account.counters[0] }],
            identifiers: vec![(IdentifierKey([7; 16]), SymbolId(9))],
            authorizations: vec![Authorization {
                partner: SymbolId(3),
                transaction_id: "t-2".into(),
                wallet: account.lots[0].key.wallet,
                ends_at: TimestampNs(-4),
                captured: 2,
                lots: vec![(account.lots[0].key, 6)],
            }],
            owed: vec![(WalletId(0), 4), (WalletId(3), 1)],
            gone: vec![(WalletId(3), 2)],
            vouchers: vec![
                Voucher { code: VoucherCode([3; 10]), terms: VoucherTerms::default(), state: VoucherState::Cancelled },
                Voucher {
                    code: VoucherCode([4; 10]),
                    terms: VoucherTerms { issuer: SymbolId(3), ends_at: TimestampNs(9), ..VoucherTerms::default() },
                    state: VoucherState::Used(VoucherCode([5; 10])),
                },
            ],
        }));
        let partner =
            PartnerAccount { balance: -12, issued: 14, reversed: 2, seq: Seq(9), ..PartnerAccount::default() };
        let burned = PartnerAccount { redeemed: 5, expired: 1, ..partner };
        let funding = Funding { issued: 70_000, reversed: 10_000, redeemed: 25_000, expired: 5_000 };
        let funded = PartnerAccount { funding, ..burned };
        let burn = BurnKey { acceptor: SymbolId(5), issuer: SymbolId(3), wallet: WalletId(1) };
        let publication = Publication {
            version: ProgramVersion(1),
            effective_at: TimestampNs(i64::MIN),
            posted_at: TimestampNs(3),
            partner: SymbolId(0),
            transaction_id: "p-1".into(),
            source: "[program]".into(),
            actor: Box::default(),
        };
        let of_store = CellId { name: SymbolId(2), subject: [SymbolId(3), SymbolId(4), SymbolId(0)], period: -7 };
        let entities = [
            Entity::Symbol(SymbolId(1), "GROCERY".into()),
            Entity::Item(ItemId(1), Item { sku: SymbolId(1), ..Item::default() }),
            Entity::Program(Position(4), Box::new(publication)),
            Entity::Cell(CellId::whole(SymbolId(2)), 7, -3, CellUse::FOR_EVER),
            Entity::Shard(ShardId(3), Seq(9), TimestampNs(8)),
            Entity::Account(ShardId(3), AccountNumber(0), Packed::new(&account)),
            Entity::Account(ShardId(3), AccountNumber(1), Packed::new(&member)),
            Entity::Partner(ShardId(3), SymbolId(3), WalletId(0), partner),
            Entity::Partner(ShardId(3), SymbolId(3), WalletId(1), burned),
            Entity::Partner(ShardId(3), SymbolId(4), WalletId(1), funded),
            Entity::Cell(of_store, 7, 3, Day(17_300)),
            Entity::Burn(ShardId(3), burn, BurnAccount { units: 5, redemption: 20_000, seq: Seq(9) }),
        ];
        let mut last_key = Vec::new();
        for entity in entities {
            let (key, value) = entity.encode();
            assert_eq!(Entity::decode(&key, &value), Ok(entity));
            assert!(key > last_key, "what others refer to comes first");
            // Each format is for what the ones before it cannot say.
            for format in (1..=4).filter(|format| *format != value[0]) {
                let other_format = [&[format], &value[1..]].concat();
                assert!(Entity::decode(&key, &other_format).is_err(), "{key:?}");
            }
            assert!(Entity::decode(&key, &value[..value.len() - 1]).is_err());
            last_key = key;
        }
    }
}
