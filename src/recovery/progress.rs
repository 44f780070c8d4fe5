//! How far a recovery is: what whoever waits for it is told, in the order in which it goes on.
//!
//! What must stay true: every piece of work that is bounded is told of when it is done, whatever kind it is of, so that a
//! recovery of which nothing is heard for long hangs. There is no clock here: how often that is passed on, whoever is told
//! decides.

use std::fmt;

use crate::ledger::types::Position;

/// How far a recovery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The index of ids is being opened.
    Ids {
        /// Bytes that were read of its filters and fences.
        read_bytes: u64,
    },
    /// The snapshot is being loaded.
    Snapshot {
        /// Entities that have been brought to their places.
        entity_count: u64,
    },
    /// The journal is being replayed.
    Journal {
        /// The position reached.
        reached: Position,
        /// The position to reach.
        end: Position,
    },
}

/// Told how far a recovery is.
pub type OnProgress<'a> = dyn FnMut(Progress) + 'a;

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ids { read_bytes } => write!(f, "{} MiB of the filters of used ids", read_bytes >> 20),
            Self::Snapshot { entity_count } => write!(f, "entity {entity_count} of the snapshot"),
            Self::Journal { reached, end } => write!(f, "record {reached} of {end}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::record::Publication;
    use crate::ledger::account::Account;
    use crate::ledger::packed::Packed;
    use crate::ledger::types::{AccountNumber, ProgramVersion, ShardId, SymbolId, TimestampNs};
    use crate::recovery::loading::load_snapshot;
    use crate::replay::World;
    use crate::snapshot::Marker;
    use crate::snapshot::entity::Entity;
    use crate::store::memory::MemoryStore;
    use crate::store::{Batch, Durability, Space, Store};

    const SHARD_COUNT: u16 = 3;

    /// How many entities were loaded whenever that was told.
    fn told(entities: impl Iterator<Item = Entity>, thread_count: usize) -> Vec<u64> {
        let store = MemoryStore::new();
        let mut batch = Batch::default();
        for (key, value) in entities.map(|entity| entity.encode()) {
            batch.put(Space::State, key, value);
        }
        store.write(&batch, Durability::Synced).unwrap();
        let mut told = Vec::new();
        let on_progress = &mut |progress: Progress| match progress {
            Progress::Snapshot { entity_count } => told.push(entity_count),
            other => panic!("{other}"),
        };
        // A marker that promises nothing: what is there is loaded all the same.
        load_snapshot(&store, &Marker::default(), &mut World::new(SHARD_COUNT), thread_count, on_progress).unwrap();
        told
    }

    #[test]
    fn a_snapshot_is_told_of_while_it_is_loaded_with_any_number_of_threads() {
        let symbols = || (1..=9_000).map(|number| Entity::Symbol(SymbolId(number), format!("name-{number}").into()));
        let accounts = |shard: u16| {
            (0..5_000).map(move |number| {
                let account = Account { id: format!("m-{shard}-{number}"), ..Account::default() };
                Entity::Account(ShardId(shard), AccountNumber(number), Packed::new(&account))
            })
        };
        for thread_count in [1, 2, 3] {
            let told = told(symbols().chain((0..SHARD_COUNT).flat_map(accounts)), thread_count);
            assert_eq!(told.last(), Some(&24_000), "{thread_count} threads");
            let before = std::iter::once(&0).chain(&told);
            let most = told.iter().zip(before).map(|(after, before)| after.checked_sub(*before).unwrap()).max();
            assert!(most <= Some(4_096), "{thread_count} threads: {told:?}");
        }
    }

    #[test]
    fn each_version_of_a_snapshot_is_told_of() {
        let versions = (1..=5).map(|number| {
            let publication = Publication {
                version: ProgramVersion(number),
                effective_at: TimestampNs(i64::from(number)),
                posted_at: TimestampNs(0),
                partner: SymbolId::EMPTY,
                transaction_id: Box::default(),
                source: "nobody promised that this compiles".into(),
                actor: Box::default(),
            };
            Entity::Program(Position(u64::from(number)), Box::new(publication))
        });
        let told = told(versions, 1);
        assert!([1, 2, 3, 4, 5].iter().all(|count| told.contains(count)), "{told:?}");
    }

    #[test]
    fn progress_is_a_few_words() {
        let rows = [
            (Progress::Ids { read_bytes: 5 << 20 }, "5 MiB of the filters of used ids"),
            (Progress::Snapshot { entity_count: 12_000 }, "entity 12000 of the snapshot"),
            (Progress::Journal { reached: Position(7), end: Position(9) }, "record 7 of 9"),
        ];
        for (progress, expected) in rows {
            assert_eq!(progress.to_string(), expected);
        }
    }
}
