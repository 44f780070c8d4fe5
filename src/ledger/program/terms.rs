//! The terms under which units are granted; they are frozen in the lot.

use crate::ledger::decision::LotKey;
use crate::ledger::types::{Day, TimestampNs};
use crate::ledger::zone::Zone;

/// How long granted units live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// When they die.
    pub expiry: Expiry,
}

/// When granted units die. Local days are those of the event: the receipt's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expiry {
    /// Never.
    #[default]
    Never,
    /// They live for so many full days after the day on which they were earned, and die at the midnight that follows.
    AfterDays(u16),
}

impl Terms {
    /// The instant from which units earned on this local day are dead.
    #[must_use]
    pub fn expires_at(&self, zone: &Zone, earned_on: Day) -> TimestampNs {
        match self.expiry {
            Expiry::Never => LotKey::NEVER,
            Expiry::AfterDays(days) => zone.start_of_day(Day(earned_on.0 + i32::from(days) + 1)),
        }
    }
}
