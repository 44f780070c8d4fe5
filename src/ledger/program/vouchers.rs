//! The vouchers of a programme: what each is worth to people, and from when to when it can be used.

use crate::ledger::types::{Day, SymbolId, TimestampNs};
use crate::ledger::voucher::VoucherTerms;
use crate::ledger::zone::Zone;

const NS_PER_HOUR: i64 = 3_600_000_000_000;

/// Index into [`super::Program::vouchers`], in the order of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoucherIndex(pub u8);

/// What a voucher is worth. The till applies it; the ledger tells it and decides nothing by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Worth {
    /// So much off, in minor units of the currency.
    Value(i64),
    /// So much of the basket, in basis points.
    Percent(i64),
    /// What a sentence says.
    Text(String),
}

/// How long a voucher can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// So many full local days behind the day on which it is given.
    Days(u16),
    /// So many hours from the instant from which it can be used.
    Hours(u32),
}

/// A kind of voucher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoucherKind {
    /// Name in the file.
    pub name: String,
    /// The name, interned.
    pub symbol: SymbolId,
    /// What it is worth.
    pub worth: Worth,
    /// It can be used from the next local day on, not at once.
    pub starts_next_day: bool,
    /// For how long.
    pub validity: Validity,
    /// The least amount of a basket that uses it, in minor units; from 0.
    pub minor_min: i64,
}

impl VoucherKind {
    /// The terms of one that a partner gives now.
    #[must_use]
    pub fn terms(&self, zone: &Zone, issuer: SymbolId, given_at: TimestampNs) -> VoucherTerms {
        let day = zone.day(given_at);
        let midnight = |after: i32| zone.start_of_day(Day(day.0 + after));
        let starts_at = if self.starts_next_day { midnight(1) } else { given_at };
        let ends_at = match self.validity {
            Validity::Days(days) => midnight(i32::from(days) + 1),
            Validity::Hours(hours) => TimestampNs(starts_at.0.saturating_add(i64::from(hours) * NS_PER_HOUR)),
        };
        VoucherTerms { issuer, kind: self.symbol, starts_at, ends_at, minor_min: self.minor_min }
    }
}
