//! Up to which day cells went from the state space, because no command posted later can fall under them.
//!
//! What must stay true: this is durable before the first of them goes. A ledger that opens without such a cell has to know that
//! nothing may be posted under it any more, or it would find it full again.

use super::SnapshotError;
use crate::codec::DecodeError;
use crate::ledger::types::Day;
use crate::store::{Batch, Durability, Space, Store, StoreError};

/// The key of the day in the meta space.
pub(super) const KEY: &[u8] = b"cells-forgotten";

/// Notes that cells go under which only commands posted before this UTC day can fall; returns when that is durable.
///
/// # Errors
/// When the store fails.
pub fn write(store: &dyn Store, day: Day) -> Result<(), StoreError> {
    let mut batch = Batch::default();
    batch.put(Space::Meta, KEY, day.0.to_le_bytes());
    // Through a table, as the marker: a copy of a running store may take the log later than the tables.
    store.write(&batch, Durability::Deferred)?;
    store.flush(Space::Meta)
}

/// The day that was noted last; `None` while no cell was forgotten.
///
/// # Errors
/// When the store fails or what is noted is no day.
pub fn read(store: &dyn Store) -> Result<Option<Day>, SnapshotError> {
    let Some(bytes) = store.get(Space::Meta, KEY)? else { return Ok(None) };
    let bytes = bytes.try_into().map_err(|_| SnapshotError::Forgotten { fault: DecodeError::BadNumber })?;
    Ok(Some(Day(i32::from_le_bytes(bytes))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::discard;
    use crate::store::memory::MemoryStore;

    #[test]
    fn the_last_day_is_read_and_goes_with_the_snapshot() {
        let store = MemoryStore::new();
        assert_eq!(read(&store).unwrap(), None);
        write(&store, Day(-3)).unwrap();
        write(&store, Day(20_000)).unwrap();
        assert_eq!(read(&store).unwrap(), Some(Day(20_000)));
        discard(&store).unwrap();
        assert_eq!(read(&store).unwrap(), None, "the journal brings the cells back");
    }

    #[test]
    fn what_is_no_day_is_damage() {
        let store = MemoryStore::new();
        let mut batch = Batch::default();
        batch.put(Space::Meta, KEY, [1_u8, 2, 3]);
        store.write(&batch, Durability::Synced).unwrap();
        let error = read(&store).unwrap_err().to_string();
        assert!(error.contains("which cells were forgotten is damaged"), "{error}");
    }
}
