//! How long a recovery takes on this machine: what it takes whatever there is to replay, measured at each start, and what
//! each record takes, measured when a recovery replays enough to tell and kept for later starts.
//!
//! What must stay true: the two are measured apart, so that neither is taken for the other where the one is long and the
//! other short; an expectation says whether it rests on a measurement.

use crate::store::{Batch, Durability, Space, Store, StoreError};

/// The key of the last measurement in the meta space.
const KEY: &[u8] = b"replay-record";
/// Where earlier versions noted it, with everything else that a recovery does counted in.
const EARLIER_KEY: &[u8] = b"replay-speed";
/// A recovery that replays fewer records tells too little about replaying.
const RECORDS_MIN: u64 = 20_000;
/// What a record takes where nothing was measured: rather too long than too short.
const RECORD_NS_ASSUMED: u64 = 4_000;

/// How long a recovery took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryTime {
    /// From its beginning to its end, in nanoseconds.
    pub whole_ns: i64,
    /// How much of that went by while records were replayed.
    pub replay_ns: i64,
}

/// How long a recovery takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplaySpeed {
    /// Whatever there is to replay, in nanoseconds: for the index of ids and for the snapshot, as the last start found them.
    pub fixed_ns: u64,
    /// For each record that is replayed, in nanoseconds.
    pub record_ns: u64,
    /// Whether what a record takes was measured here.
    pub is_measured: bool,
}

impl ReplaySpeed {
    /// What a recovery tells that just took so long; of records what an earlier one told, where that is too little.
    ///
    /// # Errors
    /// When the store fails.
    pub fn learn(store: &dyn Store, replayed_count: u64, took: RecoveryTime) -> Result<Self, StoreError> {
        let fixed_ns = u64::try_from(took.whole_ns - took.replay_ns).unwrap_or(0);
        if replayed_count >= RECORDS_MIN {
            let record_ns = (u64::try_from(took.replay_ns).unwrap_or(0) / replayed_count).max(1);
            let mut batch = Batch::default();
            batch.put(Space::Meta, KEY, record_ns.to_le_bytes());
            batch.delete(Space::Meta, EARLIER_KEY);
            store.write(&batch, Durability::Synced)?;
            return Ok(Self { fixed_ns, record_ns, is_measured: true });
        }
        let (record_ns, is_measured) = match (noted(store, KEY)?, noted(store, EARLIER_KEY)?) {
            (Some(record_ns), _) => (record_ns, true),
            // A record took that long at most. Where that is long, it was for something else.
            (None, Some(at_most_ns)) => (at_most_ns.min(RECORD_NS_ASSUMED), at_most_ns <= RECORD_NS_ASSUMED),
            (None, None) => (RECORD_NS_ASSUMED, false),
        };
        Ok(Self { fixed_ns, record_ns, is_measured })
    }

    /// How long a recovery takes that replays so many records, in milliseconds.
    #[must_use]
    pub fn expected_ms(self, record_count: u64) -> i64 {
        let expected_ns = record_count.saturating_mul(self.record_ns).saturating_add(self.fixed_ns);
        i64::try_from(expected_ns / 1_000_000).unwrap_or(i64::MAX)
    }
}

/// What was noted under a key, if it can be read.
fn noted(store: &dyn Store, key: &[u8]) -> Result<Option<u64>, StoreError> {
    Ok(store.get(Space::Meta, key)?.and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    const SECOND_NS: i64 = 1_000_000_000;

    fn learn(store: &MemoryStore, replayed_count: u64, whole_ns: i64, replay_ns: i64) -> ReplaySpeed {
        ReplaySpeed::learn(store, replayed_count, RecoveryTime { whole_ns, replay_ns }).unwrap()
    }

    fn speed(fixed_ns: u64, record_ns: u64, is_measured: bool) -> ReplaySpeed {
        ReplaySpeed { fixed_ns, record_ns, is_measured }
    }

    #[test]
    fn a_long_replay_is_remembered_and_a_short_one_is_not() {
        let store = MemoryStore::new();
        assert_eq!(learn(&store, 5, SECOND_NS, SECOND_NS), speed(0, RECORD_NS_ASSUMED, false));
        let measured = speed(0, 1_500, true);
        assert_eq!(learn(&store, 100_000, 150_000_000, 150_000_000), measured);
        assert_eq!(learn(&store, 0, 0, 0), measured);
        assert_eq!(measured.expected_ms(2_000_000), 3_000);
    }

    #[test]
    fn loading_is_not_taken_for_replaying_nor_the_other_way_round() {
        let store = MemoryStore::new();
        // Eight seconds, nearly all of them for the snapshot; 30,868 records came after it.
        let slow_to_load = learn(&store, 30_868, 8 * SECOND_NS, 46_302_000);
        assert_eq!(slow_to_load, speed(7_953_698_000, 1_500, true));
        assert_eq!(slow_to_load.expected_ms(30_868), 8_000);
        assert_eq!(slow_to_load.expected_ms(1_030_868), 9_500, "a million records more take a second and a half more");
        // Fifty seconds for the snapshot, and nothing to replay: the next takes as long.
        let only_loads = learn(&store, 0, 50 * SECOND_NS, 0);
        assert_eq!((only_loads, only_loads.expected_ms(0)), (speed(50_000_000_000, 1_500, true), 50_000));
    }

    #[test]
    fn what_an_earlier_version_noted_is_read_and_not_believed_where_it_is_long() {
        let rows = [
            (1_200, speed(3, 1_200, true)),
            (RECORD_NS_ASSUMED, speed(3, RECORD_NS_ASSUMED, true)),
            (258_000, speed(3, RECORD_NS_ASSUMED, false)),
        ];
        for (earlier_ns, expected) in rows {
            let store = MemoryStore::new();
            store.overwrite(Space::Meta, b"replay-speed", &u64::to_le_bytes(earlier_ns));
            assert_eq!(learn(&store, 7, 3, 0), expected, "{earlier_ns} ns noted");
            assert_eq!(learn(&store, 20_000, 40_000_000, 40_000_000), speed(0, 2_000, true));
            assert_eq!(store.get(Space::Meta, b"replay-speed").unwrap(), None, "the new note is in its place");
            assert_eq!(learn(&store, 7, 3, 0), speed(3, 2_000, true));
        }
    }
}
