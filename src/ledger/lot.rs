//! Lots by name, and how they change.
//!
//! What must stay true: numbers of movements are permanent, for records have them; what tells two lots apart is frozen when
//! their units are granted.

use super::types::{SymbolId, TimestampNs, Units, WalletId};

/// Why a lot changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Movement {
    /// Units are granted.
    Grant = 0,
    /// Units are burned by a redemption.
    Burn = 1,
    /// The lot is dead: what was left is gone.
    Expire = 2,
    /// Units are taken back by a reversal.
    Reverse = 3,
    /// Units go from one lot of an account to another of the same issuer, which dies later.
    Extend = 4,
    /// Units that were held go to the lot of the same terms that is not.
    Release = 5,
    /// Units whose expiry was posted come back.
    Restore = 6,
    /// Units are set aside for a partner.
    SetAside = 7,
    /// Units that were set aside go back to their lot: to stay there, or to be burned or to die at once.
    GiveBack = 8,
    /// Units that were burned come back: to stay, or to die at once.
    Unburn = 9,
}

impl Movement {
    /// All movements, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Grant,
        Self::Burn,
        Self::Expire,
        Self::Reverse,
        Self::Extend,
        Self::Release,
        Self::Restore,
        Self::SetAside,
        Self::GiveBack,
        Self::Unburn,
    ];

    /// Whether a lot has more afterwards.
    #[must_use]
    pub fn adds(self) -> bool {
        self.enriches() || matches!(self, Self::GiveBack)
    }

    /// Whether the account has more afterwards.
    #[must_use]
    pub fn enriches(self) -> bool {
        matches!(self, Self::Grant | Self::Restore | Self::Unburn)
    }

    /// Whether units go to or from what the account has set aside: they are the account's, and their issuer's, as before.
    #[must_use]
    pub fn sets_aside(self) -> bool {
        matches!(self, Self::SetAside | Self::GiveBack)
    }

    /// Whether units go from one lot of the account to another.
    #[must_use]
    pub fn stays(self) -> bool {
        matches!(self, Self::Extend | Self::Release)
    }

    /// The permanent number.
    #[must_use]
    #[expect(clippy::as_conversions, reason = "reads the discriminant of a field-less enum of u8")]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The movement with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|movement| movement.number() == number)
    }
}

/// A change to one lot. The issuer's sub-account of the shard moves by the opposite amount, but where units are set aside
/// or given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LotChange {
    /// Which lot.
    pub key: LotKey,
    /// More than 0 for a grant, for what comes back and what is given back, less for everything else; of an extension and a release, less for the
    /// lot that is left and more for the one that is gone to.
    pub delta: Units,
    /// Why.
    pub movement: Movement,
}

/// What makes two grants belong to one lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LotKey {
    /// The wallet.
    pub wallet: WalletId,
    /// The partner that issued the units.
    pub issuer: SymbolId,
    /// What the issuer pays per unit, in basis points of a minor unit; frozen when earned.
    pub funding_rate_bps: u32,
    /// The minute, counted from the Unix epoch, from which the units can be spent; 0 means at once. The highest bit says
    /// that they are held: see [`LotKey::is_held`].
    pub available_from_minute: u32,
    /// So many full days each basket, activity and redemption puts the death off: the units die by inactivity. 0 for units
    /// whose death nothing puts off; [`LotKey::AS_IN_FORCE`] where the first versions recorded no number.
    pub inactive_days: u16,
    /// The instant from which the units are dead; the largest instant means never.
    pub expires_at: TimestampNs,
}

impl LotKey {
    /// Never expires.
    pub const NEVER: TimestampNs = TimestampNs(i64::MAX);

    /// Units that die by inactivity, after as many days as the version in force at each event says, and as long as it says
    /// so: what the first versions granted.
    pub const AS_IN_FORCE: u16 = u16::MAX;

    /// Whether what the member does puts the death off.
    #[must_use]
    pub fn is_extended(&self) -> bool {
        self.inactive_days != 0
    }

    /// Whether the units can be spent at the instant: they are alive and not pending.
    #[must_use]
    pub fn is_available(&self, at: TimestampNs) -> bool {
        const NS_PER_MINUTE: i64 = 60_000_000_000;
        self.is_alive(at) && i64::from(self.available_from_minute) <= at.0.div_euclid(NS_PER_MINUTE)
    }

    /// Whether the units count at the instant.
    #[must_use]
    pub fn is_alive(&self, at: TimestampNs) -> bool {
        self.expires_at == Self::NEVER || at < self.expires_at
    }
}
