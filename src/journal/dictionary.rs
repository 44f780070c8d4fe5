//! Numbers for strings that repeat, in both directions, with a record for each before its first use.
//!
//! What must stay true: a number is given once and never changes its meaning; numbers are given in order without gaps;
//! whoever gets a number from here finds its defining record already queued for the journal, so that no frame names a
//! number that no frame up to it defines; whatever is queued can be looked up by its number. Reading is concurrent;
//! giving a new number takes one lock.

use std::sync::{Mutex, RwLock, RwLockReadGuard};

use dashmap::DashMap;
use hashbrown::DefaultHashBuilder;

use super::record::Record;
use crate::ledger::types::{Item, ItemId, SymbolId};
use crate::limits;

/// Which table is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DictionaryFull {
    /// See [`limits::SYMBOLS_MAX`].
    #[error("the data directory already holds {} different strings", limits::SYMBOLS_MAX)]
    Symbols,
    /// See [`limits::ITEMS_MAX`].
    #[error("the data directory already holds {} different items", limits::ITEMS_MAX)]
    Items,
}

/// Takes the defining records of new numbers.
pub trait Definitions {
    /// Queues a record for the journal. When this returns, every frame that is assembled later holds it or finds it in
    /// an earlier one.
    fn define(&self, record: Record);

    /// Whether there is room for another on the way to the journal. Where there is none, whoever takes them there is told.
    fn has_room(&self) -> bool {
        true
    }
}

/// Strings and items by number and by content.
#[derive(Debug)]
pub struct Dictionary {
    numbers: DashMap<Box<str>, SymbolId, DefaultHashBuilder>,
    item_numbers: DashMap<Item, ItemId, DefaultHashBuilder>,
    texts: RwLock<Vec<Box<str>>>,
    items: RwLock<Vec<Item>>,
    /// Held while a new number is given.
    giving: Mutex<()>,
    symbol_count_max: u32,
    item_count_max: u32,
}

impl Default for Dictionary {
    fn default() -> Self {
        Self::new()
    }
}

impl Dictionary {
    /// A dictionary that knows only the empty string, as number 0, and the item without attributes, as number 0.
    #[must_use]
    pub fn new() -> Self {
        Self::bounded(limits::SYMBOLS_MAX, limits::ITEMS_MAX)
    }

    /// A dictionary that gives at most so many numbers to strings and to items, the empty ones included.
    #[must_use]
    pub fn bounded(symbol_count_max: u32, item_count_max: u32) -> Self {
        let numbers = DashMap::default();
        numbers.insert(Box::<str>::default(), SymbolId::EMPTY);
        let item_numbers = DashMap::default();
        item_numbers.insert(Item::default(), ItemId(0));
        Self {
            numbers,
            item_numbers,
            texts: RwLock::new(vec![Box::default()]),
            items: RwLock::new(vec![Item::default()]),
            giving: Mutex::new(()),
            symbol_count_max,
            item_count_max,
        }
    }

    /// The number of a string, if it has one.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<SymbolId> {
        self.numbers.get(text).map(|found| *found)
    }

    /// The number of an item, if it has one.
    #[must_use]
    pub fn find_item(&self, item: &Item) -> Option<ItemId> {
        self.item_numbers.get(item).map(|found| *found)
    }

    /// The string with this number.
    #[must_use]
    pub fn text(&self, id: SymbolId) -> Option<Box<str>> {
        self.texts.read().expect("no holder panics").get(id.0 as usize).cloned()
    }

    /// The item with this number.
    #[must_use]
    pub fn item(&self, id: ItemId) -> Option<Item> {
        self.items.read().expect("no holder panics").get(id.0 as usize).copied()
    }

    /// All strings by number, held as they are: for whoever looks for many. Whoever gives a number waits meanwhile.
    ///
    /// # Panics
    /// When another holder panicked.
    pub fn texts(&self) -> RwLockReadGuard<'_, Vec<Box<str>>> {
        self.texts.read().expect("no holder panics")
    }

    /// All items by number, held as they are: for whoever looks for many. Whoever gives a number waits meanwhile.
    ///
    /// # Panics
    /// When another holder panicked.
    pub fn items(&self) -> RwLockReadGuard<'_, Vec<Item>> {
        self.items.read().expect("no holder panics")
    }

    /// How many strings and items have numbers.
    #[must_use]
    pub fn counts(&self) -> (u32, u32) {
        let count = |length: usize| u32::try_from(length).expect("the tables are bounded");
        let symbols = count(self.texts.read().expect("no holder panics").len());
        (symbols, count(self.items.read().expect("no holder panics").len()))
    }

    /// How many strings can have numbers, and how many items: of the two the smaller.
    #[must_use]
    pub fn count_max(&self) -> u32 {
        self.symbol_count_max.min(self.item_count_max)
    }

    /// The number of a string, given now if it has none.
    ///
    /// # Errors
    /// When the table is full.
    pub fn intern(&self, text: &str, definitions: &dyn Definitions) -> Result<SymbolId, DictionaryFull> {
        if let Some(found) = self.find(text) {
            return Ok(found);
        }
        let _giving = self.giving.lock().expect("no holder panics");
        if let Some(found) = self.find(text) {
            return Ok(found);
        }
        let id = SymbolId(self.counts().0);
        if id.0 >= self.symbol_count_max {
            return Err(DictionaryFull::Symbols);
        }
        // In this order: the record may be durable, and in a snapshot, before this goes on.
        self.push_text(text);
        definitions.define(Record::Symbol(id, text.into()));
        self.numbers.insert(text.into(), id);
        Ok(id)
    }

    /// The number of an item, given now if it has none.
    ///
    /// # Errors
    /// When the table is full.
    pub fn intern_item(&self, item: &Item, definitions: &dyn Definitions) -> Result<ItemId, DictionaryFull> {
        if let Some(found) = self.find_item(item) {
            return Ok(found);
        }
        let _giving = self.giving.lock().expect("no holder panics");
        if let Some(found) = self.find_item(item) {
            return Ok(found);
        }
        let id = ItemId(self.counts().1);
        if id.0 >= self.item_count_max {
            return Err(DictionaryFull::Items);
        }
        self.push_item(item);
        definitions.define(Record::Item(id, *item));
        self.item_numbers.insert(*item, id);
        Ok(id)
    }

    /// Takes a definition from the journal or a snapshot. One that is known already must say the same.
    ///
    /// # Errors
    /// When the number is not the next one, or is known with another meaning.
    pub fn restore_symbol(&self, id: SymbolId, text: &str) -> Result<(), crate::codec::DecodeError> {
        match self.text(id) {
            Some(known) if *known == *text => Ok(()),
            None if id.0 == self.counts().0 && self.find(text).is_none() => {
                self.push_text(text);
                self.numbers.insert(text.into(), id);
                Ok(())
            }
            _ => Err(crate::codec::DecodeError::Contradiction),
        }
    }

    /// Takes a definition from the journal or a snapshot. One that is known already must say the same.
    ///
    /// # Errors
    /// When the number is not the next one, or is known with another meaning, or names unknown strings.
    pub fn restore_item(&self, id: ItemId, item: &Item) -> Result<(), crate::codec::DecodeError> {
        let (symbol_count, item_count) = self.counts();
        let symbols = [item.sku, item.category, item.department, item.brand, item.margin_class];
        if symbols.iter().any(|symbol| symbol.0 >= symbol_count) {
            return Err(crate::codec::DecodeError::UnknownReference);
        }
        match self.item(id) {
            Some(known) if known == *item => Ok(()),
            None if id.0 == item_count && !self.item_numbers.contains_key(item) => {
                self.push_item(item);
                self.item_numbers.insert(*item, id);
                Ok(())
            }
            _ => Err(crate::codec::DecodeError::Contradiction),
        }
    }

    /// The reverse table comes first: whoever finds a number can also find its text.
    fn push_text(&self, text: &str) {
        self.texts.write().expect("no holder panics").push(text.into());
    }

    fn push_item(&self, item: &Item) {
        self.items.write().expect("no holder panics").push(*item);
    }
}
