//! Where a programme's strings become numbers.
//!
//! What must stay true: a string keeps its number for ever; number 0 is the empty string; numbers are given in the
//! order of first use, so that compiling the same file into the same table gives the same programme.

use hashbrown::HashMap;

use crate::ledger::types::SymbolId;
use crate::limits::{PROGRAM_SOURCE_BYTES_MAX, SYMBOLS_MAX};

/// The dictionary takes no further string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the dictionary is full: it holds {SYMBOLS_MAX} strings, which is the limit")]
pub struct SymbolsFull;

/// A dictionary of strings.
pub trait Symbols {
    /// The number of a string; a new string gets the next.
    ///
    /// # Errors
    /// When the string is new and the dictionary is full.
    fn intern(&mut self, text: &str) -> Result<SymbolId, SymbolsFull>;
}

/// A dictionary in memory: for checking a file and for tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymbolTable {
    texts: Vec<String>,
    numbers: HashMap<String, SymbolId>,
}

// A file is checked against a fresh table, which can therefore not run full.
const _: () = assert!(PROGRAM_SOURCE_BYTES_MAX < 1 << 24 && SYMBOLS_MAX >= 1 << 24, "a file fits a fresh dictionary");

impl SymbolTable {
    /// A dictionary that holds the empty string only.
    #[must_use]
    pub fn new() -> Self {
        let empty = String::new();
        Self { texts: vec![empty.clone()], numbers: [(empty, SymbolId::EMPTY)].into() }
    }

    /// The string with this number.
    #[must_use]
    pub fn text(&self, symbol: SymbolId) -> Option<&str> {
        self.texts.get(usize::try_from(symbol.0).ok()?).map(String::as_str)
    }

    /// The number of a string that is known.
    #[must_use]
    pub fn symbol(&self, text: &str) -> Option<SymbolId> {
        self.numbers.get(text).copied()
    }
}

impl Default for SymbolTable {
    fn default() -> Self {
        Self::new()
    }
}

impl Symbols for SymbolTable {
    fn intern(&mut self, text: &str) -> Result<SymbolId, SymbolsFull> {
        if let Some(symbol) = self.symbol(text) {
            return Ok(symbol);
        }
        let next = u32::try_from(self.texts.len()).ok().filter(|next| *next < SYMBOLS_MAX).ok_or(SymbolsFull)?;
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), SymbolId(next));
        Ok(SymbolId(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_given_once_in_order() {
        let mut symbols = SymbolTable::new();
        let got = ["b", "a", "", "b"].map(|text| symbols.intern(text).unwrap().0);
        assert_eq!(got, [1, 2, 0, 1]);
        assert_eq!(symbols.text(SymbolId(2)), Some("a"));
        assert_eq!(symbols.text(SymbolId(3)), None);
        assert_eq!(symbols.symbol("c"), None);
    }
}
