//! What a basket or an activity earns beside its lines: fixed units under conditions, as often as stated.

use super::{CalendarWindow, Conditions, VoucherIndex};
use crate::ledger::types::{SymbolId, Units};

/// Index into [`super::Program::bonuses`], in the order of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BonusIndex(pub u16);

/// What a bonus is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A basket that is accepted.
    Basket,
    /// An activity of this kind.
    Activity(SymbolId),
}

/// Fixed units, multiplied by nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bonus {
    /// Name in the file.
    pub name: String,
    /// The name, interned: it identifies the counter of how often it was used, across versions.
    pub symbol: SymbolId,
    /// What it is for.
    pub trigger: Trigger,
    /// What must hold.
    pub when: Conditions,
    /// 1 to [`crate::limits::UNITS_MAX`], or 0 where it gives a voucher alone.
    pub units: Units,
    /// The voucher that it gives, if it gives one.
    pub voucher: Option<VoucherIndex>,
    /// At most so often per account and window; `None` for as often as it comes.
    pub limit: Option<(CalendarWindow, i64)>,
    /// At most so often over all accounts, first come first served; `None` for as often as it comes.
    pub places: Option<i64>,
}
