//! Numbers for the strings of baskets that come again and again: one look for a line instead of six, by the bytes in
//! which it was sent. And the beginning of what names ids.
//!
//! What must stay true: it only remembers what the dictionary said, which never changes; it is bounded; it is of one ledger.

use hashbrown::HashMap;

use crate::ids::{IdHasher, PartnerIds};
use crate::ledger::types::{Item, ItemId, SymbolId};
use crate::limits;

/// Store, terminal and cashier.
pub(super) type Place = [SymbolId; 3];

/// See the module.
#[derive(Debug, Default)]
pub struct NameCache {
    items: HashMap<Box<[u8]>, (ItemId, Item)>,
    places: HashMap<Box<[u8]>, Place>,
    /// Names ids of the partner that called last.
    ids: Option<PartnerIds>,
}

impl NameCache {
    /// The item that these bytes were found to name.
    pub(super) fn item(&self, bytes: &[u8]) -> Option<(ItemId, Item)> {
        self.items.get(bytes).copied()
    }

    /// Remembers what bytes name.
    pub(super) fn keep_item(&mut self, bytes: &[u8], item: (ItemId, Item)) {
        keep(&mut self.items, bytes, item);
    }

    /// The place that these bytes were found to name.
    pub(super) fn place(&self, bytes: &[u8]) -> Option<Place> {
        self.places.get(bytes).copied()
    }

    /// What names ids of a partner.
    pub(super) fn ids_of(&mut self, hasher: &IdHasher, partner: &str) -> &PartnerIds {
        let ids = self.ids.take().filter(|ids| ids.are_of(partner));
        self.ids.insert(ids.unwrap_or_else(|| hasher.of_partner(partner)))
    }

    /// Remembers what bytes name.
    pub(super) fn keep_place(&mut self, bytes: &[u8], place: Place) {
        keep(&mut self.places, bytes, place);
    }
}

/// A full cache begins anew: what is in use comes back at once.
fn keep<T>(map: &mut HashMap<Box<[u8]>, T>, bytes: &[u8], value: T) {
    if map.len() >= limits::NAME_CACHE_ENTRIES_MAX {
        map.clear();
    }
    map.insert(bytes.into(), value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_whoever_calls() {
        let (mut cache, hasher) = (NameCache::default(), IdHasher::new(&[7; 16]));
        for partner in ["north", "north", "south", "north"] {
            assert_eq!(cache.ids_of(&hasher, partner).transaction("t-1"), hasher.transaction(partner, "t-1"));
        }
    }

    #[test]
    fn a_full_cache_begins_anew() {
        let mut cache = NameCache::default();
        let place = |number| [SymbolId(number); 3];
        for number in 0..u32::try_from(limits::NAME_CACHE_ENTRIES_MAX).unwrap() {
            cache.keep_place(&number.to_le_bytes(), place(number));
        }
        assert_eq!(cache.place(&7_u32.to_le_bytes()), Some(place(7)));
        cache.keep_place(b"one more", place(1));
        assert_eq!((cache.place(&7_u32.to_le_bytes()), cache.place(b"one more")), (None, Some(place(1))));
    }
}
