//! How fast this machine replays: measured when a recovery replays enough to tell, kept for later starts, and used to
//! say how long a recovery would take now.
//!
//! What must stay true: an expectation says whether it rests on a measurement.

use crate::store::{Batch, Durability, Space, Store, StoreError};

/// The key of the last measurement in the meta space.
const KEY: &[u8] = b"replay-speed";
/// A recovery that replays fewer records tells more about opening files than about replaying.
const RECORDS_MIN: u64 = 20_000;
/// What a record takes where nothing was measured: rather too long than too short.
const RECORD_NS_ASSUMED: u64 = 4_000;

/// How long a recovery takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplaySpeed {
    /// For each record that is replayed, in nanoseconds.
    pub record_ns: u64,
    /// Whether this was measured here.
    pub is_measured: bool,
}

impl ReplaySpeed {
    /// The speed of a recovery that just took so long; of an earlier one where that tells too little.
    ///
    /// # Errors
    /// When the store fails.
    pub fn learn(store: &dyn Store, replayed_count: u64, took_ns: i64) -> Result<Self, StoreError> {
        if replayed_count >= RECORDS_MIN {
            let record_ns = (u64::try_from(took_ns).unwrap_or(0) / replayed_count).max(1);
            let mut batch = Batch::default();
            batch.put(Space::Meta, KEY, record_ns.to_le_bytes());
            store.write(&batch, Durability::Synced)?;
            return Ok(Self { record_ns, is_measured: true });
        }
        let kept = store.get(Space::Meta, KEY)?.and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
        Ok(match kept {
            Some(record_ns) => Self { record_ns, is_measured: true },
            None => Self { record_ns: RECORD_NS_ASSUMED, is_measured: false },
        })
    }

    /// How long so many records take, in milliseconds.
    #[must_use]
    pub fn expected_ms(self, record_count: u64) -> i64 {
        i64::try_from(record_count.saturating_mul(self.record_ns) / 1_000_000).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    #[test]
    fn a_long_replay_is_remembered_and_a_short_one_is_not() {
        let store = MemoryStore::new();
        let assumed = ReplaySpeed { record_ns: RECORD_NS_ASSUMED, is_measured: false };
        assert_eq!(ReplaySpeed::learn(&store, 5, 1_000_000_000).unwrap(), assumed);
        let measured = ReplaySpeed { record_ns: 1_500, is_measured: true };
        assert_eq!(ReplaySpeed::learn(&store, 100_000, 150_000_000).unwrap(), measured);
        assert_eq!(ReplaySpeed::learn(&store, 0, 7).unwrap(), measured);
        assert_eq!(measured.expected_ms(2_000_000), 3_000);
    }
}
