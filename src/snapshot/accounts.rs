//! How many accounts each shard had when it was copied. An account that has gone from the state space leaves no gap there if
//! none was opened after it, and nothing else if it held no units.
//!
//! What must stay true: this comes with the marker, so that it never knows of accounts that snapshot and journal do not have;
//! accounts never go, so that a count of an earlier snapshot is too small at most.

use super::SnapshotError;
use crate::codec::{DecodeError, Reader, put_unsigned};
use crate::ledger::types::ShardId;
use crate::store::{Batch, Space, Store};

/// The key of the counts in the meta space.
pub(super) const KEY: &[u8] = b"accounts-saved";
const FORMAT: u8 = 1;

/// Adds the counts to the batch of a marker. A shard that is not told of has none.
pub fn put(batch: &mut Batch, told: &[(ShardId, u32)]) {
    let place = |shard: ShardId| usize::from(shard.0);
    let mut counts = vec![0; told.iter().map(|(shard, _)| place(*shard) + 1).max().unwrap_or(0)];
    for (shard, count) in told {
        counts[place(*shard)] = *count;
    }
    let mut bytes = vec![FORMAT];
    put_unsigned(&mut bytes, counts.len() as u64);
    for count in counts {
        put_unsigned(&mut bytes, u64::from(count));
    }
    batch.put(Space::Meta, KEY, bytes);
}

/// Accounts by shard that the snapshot has, with the journal before its start; none of a snapshot that did not say.
///
/// # Errors
/// When the store fails or the counts are damaged.
pub fn read(store: &dyn Store) -> Result<Vec<u32>, SnapshotError> {
    let Some(bytes) = store.get(Space::Meta, KEY)? else { return Ok(Vec::new()) };
    let parse = || -> Result<Vec<u32>, DecodeError> {
        let mut reader = Reader::new(&bytes);
        if reader.byte()? != FORMAT {
            return Err(DecodeError::UnknownTag);
        }
        let counts = (0..reader.count()?).map(|_| reader.number()).collect::<Result<_, DecodeError>>()?;
        reader.finish()?;
        Ok(counts)
    };
    parse().map_err(|fault| SnapshotError::Accounts { fault })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::types::Position;
    use crate::snapshot::{Marker, discard};
    use crate::store::memory::MemoryStore;

    fn write(store: &MemoryStore, told: &[(ShardId, u32)]) {
        let mut batch = Batch::default();
        put(&mut batch, told);
        Marker { start: Position(7), ..Marker::default() }.write_with(batch, store).unwrap();
    }

    #[test]
    fn the_last_counts_are_read_and_go_with_the_snapshot() {
        let store = MemoryStore::new();
        assert!(read(&store).unwrap().is_empty());
        write(&store, &[(ShardId(1), 5)]);
        assert_eq!(read(&store).unwrap(), [0, 5]);
        // Workers tell of their own shards, in whatever order.
        write(&store, &[(ShardId(2), 300), (ShardId(0), 1), (ShardId(1), 6)]);
        assert_eq!(read(&store).unwrap(), [1, 6, 300]);
        assert!(Marker::read(&store).unwrap().is_some(), "they come together");
        discard(&store).unwrap();
        assert!(read(&store).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_list_of_counts_is_damage() {
        for damage in [b"".as_slice(), b"\x02\x00", b"\x01\x02\x05", b"\x01\x01\x05\x05"] {
            let store = MemoryStore::new();
            store.overwrite(Space::Meta, KEY, damage);
            let error = read(&store).unwrap_err().to_string();
            assert!(error.contains("how many accounts it has is damaged"), "{error}");
        }
    }
}
