//! The catalogue: what members can have for their units.
//!
//! What must stay true: what a reward costs and who may have it follows from the version, the account and the time alone;
//! how many there are is a cell's.

use crate::ledger::types::{CellId, Day, SymbolId, Units, WalletId};

/// Something that members can have for units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reward {
    /// Name in the file.
    pub name: String,
    /// The name, interned: it identifies the cell of its stock, so that a later version with the same name goes on counting.
    pub symbol: SymbolId,
    /// The wallet whose units it costs.
    pub wallet: WalletId,
    /// What one costs. 1 to [`crate::limits::UNITS_MAX`].
    pub price: Units,
    /// How many there are in all; `None` for as many as are wanted.
    pub stock: Option<i64>,
    /// The least level that may have it; 0 for everybody.
    pub level: u8,
    /// First local day (of posting) on which it can be had; `None` means always.
    pub from: Option<Day>,
    /// Last local day (of posting), inclusive; `None` means for ever.
    pub until: Option<Day>,
}

impl Reward {
    /// The cell that counts how many were taken.
    #[must_use]
    pub fn cell(&self) -> CellId {
        CellId::whole(self.symbol)
    }

    /// Whether it can be had on a local day.
    #[must_use]
    pub fn is_offered(&self, day: Day) -> bool {
        self.from.is_none_or(|from| from <= day) && self.until.is_none_or(|until| day <= until)
    }

    /// What so many cost; `None` for more than there can be units.
    #[must_use]
    pub fn cost(&self, quantity: i64) -> Option<Units> {
        self.price.checked_mul(quantity).filter(|units| *units <= crate::limits::UNITS_MAX)
    }
}
