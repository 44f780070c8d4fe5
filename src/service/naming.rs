//! Numbers for the strings that callers bring, within what each credential may bring that is new.
//!
//! What must stay true: a string that has a number costs one look; a new one is counted for whoever brings it before it is
//! given one; what waits for the journal is bounded.

use std::time::Duration;

use super::status::Failure;
use crate::access::naming::NameMeter;
use crate::journal::dictionary::{Definitions, Dictionary, DictionaryFull};
use crate::ledger::decision::Refusal;
use crate::ledger::types::{Item, ItemId, SymbolId};

/// Why a string has no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unnamed {
    /// The table is full.
    Full,
    /// The credential has brought as many as it may; so much later it may bring another.
    TooMany(Duration),
    /// As many as one commit takes are on their way to the journal.
    Busy,
}

impl From<DictionaryFull> for Unnamed {
    fn from(_: DictionaryFull) -> Self {
        Self::Full
    }
}

impl Unnamed {
    /// What it comes to: a refusal that no waiting lifts, or else a failure that says when to come again.
    pub(super) fn told(self) -> Result<Refusal, Failure> {
        match self {
            Self::Full => Ok(Refusal::NameLimitReached),
            Self::TooMany(wait) => Err(Failure::NamesLimited(wait)),
            Self::Busy => Err(Failure::Overloaded),
        }
    }
}

/// Gives numbers, journaled before their first use.
#[derive(Clone, Copy)]
pub(super) struct Naming<'a> {
    pub dictionary: &'a Dictionary,
    pub definitions: &'a dyn Definitions,
    /// Counts what is new; `None` where any number may be brought.
    pub meter: Option<&'a NameMeter>,
}

impl Naming<'_> {
    /// The number of a string.
    pub(super) fn symbol(&self, text: &str) -> Result<SymbolId, Unnamed> {
        if let Some(known) = self.dictionary.find(text) {
            return Ok(known);
        }
        self.count_one()?;
        Ok(self.dictionary.intern(text, self.definitions)?)
    }

    /// The number of an item.
    pub(super) fn item(&self, item: &Item) -> Result<ItemId, Unnamed> {
        if let Some(known) = self.dictionary.find_item(item) {
            return Ok(known);
        }
        self.count_one()?;
        Ok(self.dictionary.intern_item(item, self.definitions)?)
    }

    fn count_one(&self) -> Result<(), Unnamed> {
        if !self.definitions.has_room() {
            return Err(Unnamed::Busy);
        }
        self.meter.map_or(Ok(()), NameMeter::charge).map_err(Unnamed::TooMany)
    }
}
