//! An account as the ledger keeps it: one piece of memory, in the bytes that a snapshot writes. It is unpacked to be
//! judged and changed, and packed again.
//!
//! What must stay true: equal accounts have equal bytes; what is packed can be unpacked; what names the last record lies
//! beside the bytes, because it changes when nothing else does. `docs/format.md` gives the layout; golden bytes hold it
//! still.

mod earlier;
mod lot_key;
mod parts;

pub use lot_key::{get_lot_key, put_lot_key};

use std::ops::Range;

use super::account::{Account, Profile};
use super::types::{AccountNumber, Position, Seq, ShardId, TimestampNs};
use crate::codec::{DecodeError, Reader, id_is, put_id, put_unsigned};

/// The formats in which earlier versions wrote accounts: without more than most have, and with it.
const EARLIER_FORMATS: [u8; 2] = [1, 2];
/// The format of an account.
const FORMAT: u8 = 3;
/// The format of an account that has what only few have.
const FORMAT_WITH_MORE: u8 = 4;

/// Memory is asked for in steps of so many bytes, so that a number that grows by a byte seldom asks for any.
const STEP_BYTES: usize = 32;

/// An account in one piece of memory. A vacant one has no id: a snapshot has not delivered it yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// The last record that changed the account; 0 before its first.
    pub seq: Seq,
    /// One more than where that record lies; 0 until its commit has been given a position.
    place: u64,
    /// The format, the id, and everything else; empty where the place is vacant.
    bytes: Vec<u8>,
}

impl Packed {
    /// Packs an account.
    #[must_use]
    pub fn new(account: &Account) -> Self {
        let mut packed = Self::default();
        let mut bytes = Vec::new();
        packed.put(account, &mut bytes);
        packed
    }

    /// Whether no account is here yet.
    #[must_use]
    pub fn is_vacant(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether the account has what only few have, such as a profile.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.bytes.first() == Some(&FORMAT_WITH_MORE)
    }

    /// Where the last record lies, once its commit has been given a position.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.place.checked_sub(1).map(Position)
    }

    /// Notes where the last record lies.
    pub fn locate(&mut self, position: Option<Position>) {
        self.place = place(position);
    }

    /// Whether the account has this id.
    #[must_use]
    pub fn is_of(&self, id: &str) -> bool {
        self.bytes.get(1..).is_some_and(|bytes| id_is(bytes, id))
    }

    /// The id; empty where the place is vacant.
    ///
    /// # Panics
    /// Never: only what can be read is packed.
    #[must_use]
    pub fn id(&self) -> String {
        let mut id = String::new();
        if let Some(bytes) = self.bytes.get(1..) {
            Reader::new(bytes).id_into(&mut id).expect("what is packed begins with an id");
        }
        id
    }

    /// Reads a word of each unit in which memory is fetched, for the sake of reading it: what looks at the account next
    /// finds it near. The value means nothing.
    #[must_use]
    pub fn touch(&self) -> u8 {
        const FETCHED_BYTES: usize = 64;
        self.bytes.iter().step_by(FETCHED_BYTES).fold(0, |mix, byte| mix ^ byte)
    }

    /// Bytes of memory beside the value itself, as asked for.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Packs an account in place of what is here, which is the same account or nothing; `bytes` is memory to work with.
    pub fn put(&mut self, account: &Account, bytes: &mut Vec<u8>) {
        self.seq = account.seq;
        self.place = place(account.position);
        bytes.clear();
        let has_more = parts::has_more(account);
        bytes.push(if has_more { FORMAT_WITH_MORE } else { FORMAT });
        // An account keeps its id, and when it was opened.
        match self.bytes.get(1..).and_then(opening) {
            Some(known) => bytes.extend_from_slice(known),
            None => {
                put_id(bytes, &account.id);
                bytes.extend_from_slice(&account.opened_at.0.to_le_bytes());
            }
        }
        parts::put(bytes, account, has_more);
        if self.bytes.capacity() < bytes.len() {
            self.bytes = Vec::with_capacity(bytes.len().next_multiple_of(STEP_BYTES));
        }
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
    }

    /// The account; an empty one where the place is vacant.
    #[must_use]
    pub fn unpack(&self) -> Account {
        let mut unpacked = Unpacked::default();
        self.unpack_into("", &mut unpacked);
        unpacked.account
    }

    /// Unpacks into memory that is used again. `likely_id` is what the account's id is likely to be.
    ///
    /// # Panics
    /// Never: only what can be unpacked is packed.
    pub fn unpack_into(&self, likely_id: &str, out: &mut Unpacked) {
        out.account.seq = self.seq;
        out.account.position = self.position();
        let mut reader = Reader::new(&self.bytes);
        if self.is_vacant() {
            out.clear();
            return;
        }
        let mut read = |reader: &mut Reader<'_>| -> Result<(), DecodeError> {
            let has_more = reader.byte()? == FORMAT_WITH_MORE;
            reader.likely_id_into(likely_id, &mut out.account.id)?;
            out.account.opened_at = opened_at(reader)?;
            parts::get(reader, has_more, out)
        };
        read(&mut reader).expect("what is packed can be unpacked");
    }

    /// Appends what a snapshot writes of the account.
    ///
    /// # Panics
    /// When the place is vacant.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let id = id_range(&self.bytes).expect("what is packed begins with an id");
        out.reserve(self.bytes.len() + 12);
        out.extend_from_slice(self.bytes.get(..id.end).unwrap_or_default());
        put_unsigned(out, self.seq.0);
        put_unsigned(out, self.place);
        out.extend_from_slice(self.bytes.get(id.end..).unwrap_or_default());
    }

    /// Reads what [`Packed::encode`] writes. The account is left in `unpacked`, whose memory is used again: reading it
    /// through is the only way to know that it can be read.
    ///
    /// # Errors
    /// When the bytes are not what it writes.
    pub fn decode(value: &[u8], unpacked: &mut Unpacked) -> Result<Self, DecodeError> {
        unpacked.of = None;
        let mut reader = Reader::new(value);
        let format = reader.byte()?;
        reader.id_into(&mut unpacked.account.id)?;
        let (head, rest) = value.split_at_checked(value.len() - reader.remaining()).ok_or(DecodeError::Truncated)?;
        let mut reader = Reader::new(rest);
        let (seq, place) = (Seq(reader.unsigned()?), reader.unsigned()?);
        let body = reader.bytes(reader.remaining())?;
        let mut whole = Reader::new(body);
        let has_more = match format {
            FORMAT | FORMAT_WITH_MORE => {
                unpacked.account.opened_at = opened_at(&mut whole)?;
                parts::get(&mut whole, format == FORMAT_WITH_MORE, unpacked)?;
                format == FORMAT_WITH_MORE
            }
            _ => {
                let has_more = EARLIER_FORMATS.iter().position(|earlier| *earlier == format);
                let has_more = has_more.ok_or(DecodeError::UnknownTag)? == 1;
                earlier::get(&mut whole, has_more, unpacked)?;
                has_more
            }
        };
        whole.finish()?;
        // What can be said without more is said without.
        if parts::has_more(&unpacked.account) != has_more {
            return Err(DecodeError::Contradiction);
        }
        let packed = if matches!(format, FORMAT | FORMAT_WITH_MORE) {
            let mut bytes = Vec::with_capacity((head.len() + body.len()).next_multiple_of(STEP_BYTES));
            bytes.extend_from_slice(head);
            bytes.extend_from_slice(body);
            Self { seq, place, bytes }
        } else {
            Self { seq, place, ..Self::new(&unpacked.account) }
        };
        (unpacked.account.seq, unpacked.account.position) = (seq, packed.position());
        Ok(packed)
    }
}

fn place(position: Option<Position>) -> u64 {
    position.map_or(0, |position| position.0 + 1)
}

fn opened_at(reader: &mut Reader<'_>) -> Result<TimestampNs, DecodeError> {
    reader.array().map(|bytes| TimestampNs(i64::from_le_bytes(bytes)))
}

/// The bytes of the id and of when the account was opened, which come after the format.
fn opening(bytes: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(bytes);
    reader.skip_id().ok()?;
    opened_at(&mut reader).ok()?;
    bytes.get(..bytes.len() - reader.remaining())
}

/// Where the id lies, which comes after the format.
fn id_range(value: &[u8]) -> Result<Range<usize>, DecodeError> {
    let mut reader = Reader::new(value);
    reader.byte()?;
    let before = reader.remaining();
    reader.id_into(&mut String::new())?;
    Ok(1..1 + before - reader.remaining())
}

/// An account that was unpacked, in memory that is used again and again.
#[derive(Clone, Debug, Default)]
pub struct Unpacked {
    /// The account.
    pub account: Account,
    /// A profile's memory, while the account has none.
    spare_profile: Option<Box<Profile>>,
    /// Memory to pack with.
    bytes: Vec<u8>,
    /// What was unpacked, and up to which record.
    of: Option<(ShardId, AccountNumber, Seq)>,
}

impl Unpacked {
    /// Unpacks the account of a place, unless it is what was unpacked last. `likely_id` is what its id is likely to be.
    pub fn load(&mut self, shard: ShardId, number: AccountNumber, packed: &Packed, likely_id: &str) {
        // An account without a record may have come to its place since.
        if packed.seq == Seq(0) || self.of != Some((shard, number, packed.seq)) {
            packed.unpack_into(likely_id, self);
            self.of = Some((shard, number, packed.seq));
        }
    }

    /// Packs the account, which was changed, in its place.
    pub fn store(&mut self, shard: ShardId, number: AccountNumber, packed: &mut Packed) {
        packed.put(&self.account, &mut self.bytes);
        self.of = Some((shard, number, packed.seq));
    }

    fn clear(&mut self) {
        let Account { id, opened_at, lots, counters, totals, wallets, .. } = &mut self.account;
        id.clear();
        *opened_at = TimestampNs(0);
        lots.clear();
        counters.clear();
        *totals = super::account::Totals::default();
        wallets.clear();
        self.forget_profile();
    }

    /// Keeps a profile's memory for an account that has one.
    fn forget_profile(&mut self) {
        if let Some(profile) = self.account.profile.take() {
            self.spare_profile = Some(profile);
        }
    }

    /// A profile to fill in.
    fn profile(&mut self) -> Box<Profile> {
        let mut profile = self.account.profile.take().or(self.spare_profile.take()).unwrap_or_default();
        profile.segments.clear();
        let segments = std::mem::take(&mut profile.segments);
        *profile = Profile { segments, ..Profile::default() };
        profile
    }
}
