//! The small types every room shares: numbers with a meaning, and the ids that name entities.
//!
//! All of them are plain values without behaviour beyond what their meaning needs. Money, points, rates and caps are
//! integers (invariant 10).

use std::fmt;

/// Units of a wallet: points, stars, stamps, or minor units of money. Signed; bounded by [`crate::limits::UNITS_MAX`].
pub type Units = i64;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number!(
    /// A virtual shard: the unit of journal order and of snapshots. `0..shard_count`, or [`ShardId::CONTROL`].
    ShardId(u16)
);
number!(
    /// Number of a record within its virtual shard, from 1, without gaps. 0 means "none yet".
    Seq(u64)
);
number!(
    /// Number of a record in commit order over all shards, from 0, without gaps. A frame is keyed by the position of
    /// its first record. Cuts, reports and checkpoints speak of positions.
    Position(u64)
);
number!(
    /// An account's number within its shard, from 0 in order of opening.
    AccountNumber(u32)
);
number!(
    /// An interned string. Numbers are given once, in order, and journaled before their first use.
    SymbolId(u32)
);
number!(
    /// An interned combination of SKU, category, department, brand and margin class.
    ItemId(u32)
);
number!(
    /// A wallet's index in the programme. Wallets are only ever appended by later versions.
    WalletId(u8)
);
number!(
    /// A version of the programme, from 1.
    ProgramVersion(u32)
);
number!(
    /// Nanoseconds since the Unix epoch, UTC, without leap seconds. The range of i64 reaches from 1677 to 2262.
    TimestampNs(i64)
);
number!(
    /// A calendar day: days since 1970-01-01 in the programme's time zone.
    Day(i32)
);

/// A counter that many accounts share: of a budget, of the places of a bonus, or of a cap for one subject in one period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellId {
    /// The name of the budget, bonus or cap, interned.
    pub name: SymbolId,
    /// The partner, the store, and the terminal or cashier that a cap is about; [`SymbolId::EMPTY`] where all are.
    pub subject: [SymbolId; 3],
    /// The period of a cap's window; 0 for all time.
    pub period: i32,
}

impl CellId {
    /// The one counter of a budget, or of a bonus's places.
    #[must_use]
    pub fn whole(name: SymbolId) -> Self {
        Self { name, ..Self::default() }
    }

    /// Whether there is only this one counter of its name.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self == Self::whole(self.name)
    }
}

impl fmt::Display for CellId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if self.is_whole() {
            return Ok(());
        }
        let [partner, store, place] = self.subject;
        write!(f, " of partner {partner}, store {store}, place {place} in period {}", self.period)
    }
}

/// A member of an account that several share: the keyed hash that the edge made of the caller's id of that
/// member. No person can be told from it without the key of the data directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberKey(pub u64);

/// Something that points to an account, such as a card or a telephone number: the keyed hash of its kind and value. What
/// it was cannot be told from it without the key of the data directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentifierKey(pub [u8; 16]);

impl MemberKey {
    /// Nobody was named.
    pub const NONE: Self = Self(0);
}

impl ShardId {
    /// The shard of what belongs to no account: dictionary, programmes, openings of the data directory.
    pub const CONTROL: Self = Self(u16::MAX);
}

impl SymbolId {
    /// The empty string: an attribute that a line does not carry.
    pub const EMPTY: Self = Self(0);
    /// A string that nobody has named before, in a question that gives no numbers. None is ever given this one.
    pub const UNKNOWN: Self = Self(u32::MAX);
}

const _: () = assert!(crate::limits::SYMBOLS_MAX < SymbolId::UNKNOWN.0, "strings have smaller numbers");

impl Position {
    /// The position `count` records later.
    #[must_use]
    pub fn plus(self, count: u64) -> Self {
        Self(self.0 + count)
    }
}

impl Seq {
    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A day of any year. 29 February is 1 March in years that have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonthDay {
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31, a day that the month has in some year.
    pub day: u8,
}

impl MonthDay {
    /// Whether there is such a day in some year.
    #[must_use]
    pub fn is_real(self) -> bool {
        let last = match self.month {
            2 => 29,
            4 | 6 | 9 | 11 => 30,
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            _ => return false,
        };
        (1..=last).contains(&self.day)
    }
}

/// What a line's product is, as interned strings. [`SymbolId::EMPTY`] where the line does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Item {
    /// Stock keeping unit.
    pub sku: SymbolId,
    /// Category.
    pub category: SymbolId,
    /// Department.
    pub department: SymbolId,
    /// Brand.
    pub brand: SymbolId,
    /// Margin class.
    pub margin_class: SymbolId,
}
