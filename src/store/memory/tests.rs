//! What a loss of power may and may not do, and that scripted failures strike where they should.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use proptest::prelude::*;

use super::*;
use crate::store::conformance;

conformance::tests!(|| (MemoryStore::new(), ()));

/// Seeds tried where a test asks what may happen.
const SEEDS: std::ops::Range<u64> = 0..300;

fn put(space: Space, keys: &str) -> Batch {
    put_value(space, keys, "value")
}

fn put_value(space: Space, keys: &str, value: &str) -> Batch {
    let mut batch = Batch::default();
    for key in keys.split_whitespace() {
        batch.put(space, key, value);
    }
    batch
}

fn keys(store: &MemoryStore, space: Space) -> String {
    let keys: Vec<String> = store.contents(space).into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect();
    keys.join(" ")
}

/// All that crashes with many seeds leave in a space.
fn outcomes(store: &MemoryStore, space: Space) -> BTreeSet<String> {
    SEEDS.map(|seed| keys(&store.crash(seed), space)).collect()
}

fn set<const N: usize>(outcomes: [&str; N]) -> BTreeSet<String> {
    outcomes.map(str::to_owned).into()
}

#[test]
fn synced_batches_survive_every_crash() {
    let store = MemoryStore::new();
    store.write(&put(Space::Journal, "a b"), Durability::Synced).unwrap();
    store.write(&put(Space::Journal, "c"), Durability::Synced).unwrap();
    assert_eq!(outcomes(&store, Space::Journal), set(["a b c"]));
}

#[test]
fn a_deferred_batch_tears_in_every_way() {
    let store = MemoryStore::new();
    store.write(&put(Space::State, "a b"), Durability::Deferred).unwrap();
    assert_eq!(keys(&store, Space::State), "a b", "reads see it before the crash");
    assert_eq!(outcomes(&store, Space::State), set(["", "a", "b", "a b"]));
}

#[test]
fn a_later_deferred_batch_may_survive_an_earlier_one() {
    let store = MemoryStore::new();
    store.write(&put(Space::State, "early"), Durability::Deferred).unwrap();
    store.write(&put(Space::Ids, "late"), Durability::Deferred).unwrap();
    let seen: BTreeSet<(String, String)> = SEEDS
        .map(|seed| {
            let left = store.crash(seed);
            (keys(&left, Space::State), keys(&left, Space::Ids))
        })
        .collect();
    assert!(seen.contains(&(String::new(), "late".to_owned())), "spaces drift apart: {seen:?}");
    assert_eq!(seen.len(), 4);
}

#[test]
fn flushed_operations_survive_and_only_those_of_their_space() {
    let store = MemoryStore::new();
    store.write(&put(Space::State, "flushed"), Durability::Deferred).unwrap();
    store.write(&put(Space::Ids, "other"), Durability::Deferred).unwrap();
    store.flush(Space::State).unwrap();
    store.write(&put(Space::State, "later"), Durability::Deferred).unwrap();
    assert_eq!(outcomes(&store, Space::State), set(["flushed", "flushed later"]));
    assert_eq!(outcomes(&store, Space::Ids), set(["", "other"]));
}

#[test]
fn a_synced_write_does_not_carry_deferred_ones_along() {
    let store = MemoryStore::new();
    store.write(&put_value(Space::Meta, "key", "deferred"), Durability::Deferred).unwrap();
    store.write(&put_value(Space::Meta, "other", "synced"), Durability::Synced).unwrap();
    assert_eq!(outcomes(&store, Space::Meta), set(["other", "key other"]));
    store.write(&put_value(Space::Meta, "key", "synced"), Durability::Synced).unwrap();
    for seed in SEEDS {
        let left = store.crash(seed);
        assert_eq!(left.get(Space::Meta, b"key").unwrap().as_deref(), Some(b"synced".as_slice()));
    }
}

#[test]
fn a_lost_deletion_brings_the_key_back() {
    let store = MemoryStore::new();
    store.write(&put(Space::Ids, "a b"), Durability::Synced).unwrap();
    let mut batch = Batch::default();
    batch.delete_range(Space::Ids, "a", "z");
    store.write(&batch, Durability::Deferred).unwrap();
    assert_eq!(keys(&store, Space::Ids), "");
    assert_eq!(outcomes(&store, Space::Ids), set(["", "a b"]));
}

#[test]
fn the_same_seed_leaves_the_same_disk_and_the_store_as_it_was() {
    let store = MemoryStore::new();
    store.write(&put(Space::State, "a b c d e f g h"), Durability::Deferred).unwrap();
    for seed in SEEDS {
        assert_eq!(keys(&store.crash(seed), Space::State), keys(&store.crash(seed), Space::State));
    }
    assert_eq!(keys(&store, Space::State), "a b c d e f g h");
    assert_eq!(keys(&store.stop_cleanly(), Space::State), "a b c d e f g h");
    assert_eq!(outcomes(&store.stop_cleanly(), Space::State), set(["a b c d e f g h"]));
}

#[test]
fn a_failed_synced_write_ends_as_its_fault_says() {
    for (fault, seen, left) in [
        (WriteFault::Before, "a", set(["a"])),
        (WriteFault::After, "a b c", set(["a b c"])),
        (WriteFault::Unknown, "a", set(["a", "a b c"])),
    ] {
        let store = MemoryStore::with_faults(FaultScript { fail_write_at: Some((2, fault)), ..FaultScript::default() });
        store.write(&put(Space::Journal, "a"), Durability::Synced).unwrap();
        assert!(matches!(
            store.write(&put(Space::Journal, "b c"), Durability::Synced),
            Err(StoreError::Io { operation: "a synced write", .. })
        ));
        assert_eq!(keys(&store, Space::Journal), seen, "{fault:?}");
        assert_eq!(outcomes(&store, Space::Journal), left, "{fault:?}");
    }
}

#[test]
fn a_batch_of_unknown_outcome_is_whole_across_spaces() {
    let store = MemoryStore::with_faults(FaultScript::freeze_at_sync(1));
    let mut batch = put(Space::Journal, "a b");
    batch.put(Space::Meta, "c", "value");
    assert!(store.write(&batch, Durability::Synced).is_err());
    let seen: BTreeSet<(String, String)> = SEEDS
        .map(|seed| {
            let left = store.crash(seed);
            (keys(&left, Space::Journal), keys(&left, Space::Meta))
        })
        .collect();
    let whole = ("a b".to_owned(), "c".to_owned());
    assert_eq!(seen, BTreeSet::from([(String::new(), String::new()), whole]));
}

#[test]
fn a_flush_does_not_decide_a_batch_of_unknown_outcome() {
    let script = FaultScript { fail_write_at: Some((1, WriteFault::Unknown)), ..FaultScript::default() };
    let store = MemoryStore::with_faults(script);
    assert!(store.write(&put(Space::State, "a"), Durability::Synced).is_err());
    store.write(&put(Space::State, "b"), Durability::Deferred).unwrap();
    store.flush(Space::State).unwrap();
    assert_eq!(keys(&store, Space::State), "b");
    assert_eq!(outcomes(&store, Space::State), set(["b", "a b"]));
}

#[test]
fn a_failed_flush_promises_nothing() {
    let store = MemoryStore::with_faults(FaultScript { fail_flush_at: Some(1), ..FaultScript::default() });
    store.write(&put(Space::State, "a"), Durability::Deferred).unwrap();
    assert!(store.flush(Space::State).is_err());
    assert_eq!(outcomes(&store, Space::State), set(["", "a"]));
}

#[test]
fn a_failed_mark_leaves_the_old_or_the_new() {
    let store = MemoryStore::with_faults(FaultScript { fail_mark_at: Some(2), ..FaultScript::default() });
    store.write_mark(b"old").unwrap();
    assert!(store.write_mark(b"new").is_err());
    let seen: BTreeSet<Vec<u8>> = SEEDS.map(|seed| store.crash(seed).read_mark().unwrap().unwrap()).collect();
    assert_eq!(seen, BTreeSet::from([b"old".to_vec(), b"new".to_vec()]));
}

#[test]
fn the_kind_of_failure_is_the_scripts() {
    let script = FaultScript {
        fail_write_at: Some((1, WriteFault::Before)),
        kind: FaultKind::DiskFull,
        ..FaultScript::default()
    };
    let store = MemoryStore::with_faults(script);
    assert!(matches!(store.write(&put(Space::Journal, "a"), Durability::Synced), Err(StoreError::DiskFull { .. })));
}

/// A workload with every kind of sync; its errors are passed on.
fn workload(store: &MemoryStore) -> Result<(), StoreError> {
    store.write(&put(Space::Journal, "1"), Durability::Synced)?;
    store.write(&put(Space::State, "s"), Durability::Deferred)?;
    store.flush(Space::State)?;
    store.write_mark(b"1")?;
    store.write(&put(Space::Journal, "2"), Durability::Synced)
}

#[test]
fn the_power_can_go_at_each_sync_and_nothing_works_afterwards() {
    let whole = MemoryStore::new();
    workload(&whole).unwrap();
    assert_eq!(whole.sync_count(), 4, "deferred writes are no syncs");

    // What the journal, the state and the mark may be when the power goes during each sync.
    let expected = [
        (set(["", "1"]), set([""]), set(["-"])),
        (set(["1"]), set(["", "s"]), set(["-"])),
        (set(["1"]), set(["s"]), set(["-", "1"])),
        (set(["1", "1 2"]), set(["s"]), set(["1"])),
    ];
    for (index, (journal, state, mark)) in expected.into_iter().enumerate() {
        let store = MemoryStore::with_faults(FaultScript::freeze_at_sync(index as u64 + 1));
        assert!(workload(&store).is_err());
        let syncs = store.sync_count();
        assert!(store.write(&put(Space::Journal, "3"), Durability::Synced).is_err());
        assert!(store.write(&put(Space::Journal, "3"), Durability::Deferred).is_err());
        assert!(store.flush(Space::Journal).is_err());
        assert!(store.write_mark(b"3").is_err());
        assert!(store.read_mark().is_err());
        assert!(store.get(Space::Journal, b"1").is_err());
        assert!(store.scan(Space::Journal, b"", Direction::Forward, &mut |_, _| ControlFlow::Continue(())).is_err());
        assert_eq!(store.sync_count(), syncs);

        assert_eq!(outcomes(&store, Space::Journal), journal, "sync {}", index + 1);
        assert_eq!(outcomes(&store, Space::State), state, "sync {}", index + 1);
        let marks: BTreeSet<String> = SEEDS
            .map(|seed| {
                let mark = store.crash(seed).read_mark().unwrap();
                mark.map_or("-".to_owned(), |mark| String::from_utf8(mark).unwrap())
            })
            .collect();
        assert_eq!(marks, mark, "sync {}", index + 1);
    }
}

#[test]
fn a_crashed_store_works_and_can_fail_again() {
    let store = MemoryStore::with_faults(FaultScript::freeze_at_sync(2));
    store.write(&put(Space::Journal, "1"), Durability::Synced).unwrap();
    assert!(store.write(&put(Space::Journal, "2"), Durability::Synced).is_err());
    let left = store.crash_with_faults(7, FaultScript::freeze_at_sync(2));
    assert_eq!(left.sync_count(), 0);
    left.write(&put(Space::Journal, "3"), Durability::Synced).unwrap();
    assert!(left.write(&put(Space::Journal, "4"), Durability::Synced).is_err());
}

#[test]
fn damage_is_done_behind_the_stores_back_and_lasts() {
    let store = MemoryStore::new();
    store.write(&put(Space::Journal, "a b c"), Durability::Deferred).unwrap();
    store.overwrite(Space::Journal, b"b", b"other");
    assert!(store.alter(Space::Journal, b"c", |value| value[0] ^= 1));
    assert!(store.remove(Space::Journal, b"a"));
    assert!(store.swap(Space::Journal, b"b", b"c"));
    assert!(!store.alter(Space::Journal, b"z", |_| ()));
    assert!(!store.remove(Space::Journal, b"z"));
    assert!(!store.swap(Space::Journal, b"b", b"z"));
    assert_eq!(store.sync_count(), 0);
    for store in [store.clone(), store.crash(1), store.crash(2)] {
        assert_eq!(keys(&store, Space::Journal), "b c");
        assert_eq!(store.get(Space::Journal, b"b").unwrap().unwrap(), b"walue");
        assert_eq!(store.get(Space::Journal, b"c").unwrap().unwrap(), b"other");
    }
}

#[test]
fn an_unreadable_key_fails_reads_of_it_and_scans_that_reach_it() {
    let store = MemoryStore::new();
    store.write(&put(Space::Journal, "a b c"), Durability::Synced).unwrap();
    store.make_unreadable(Space::Journal, b"b");
    for store in [store.clone(), store.crash(1)] {
        store.get(Space::Journal, b"a").unwrap();
        assert!(matches!(store.get(Space::Journal, b"b"), Err(StoreError::Damaged { .. })));
        let mut seen = 0;
        let outcome = store.scan(Space::Journal, b"", Direction::Forward, &mut |_, _| {
            seen += 1;
            ControlFlow::Continue(())
        });
        assert!(matches!(outcome, Err(StoreError::Damaged { .. })));
        assert_eq!(seen, 1);
        store.scan(Space::Journal, b"c", Direction::Forward, &mut |_, _| ControlFlow::Continue(())).unwrap();
    }
}

#[test]
fn a_mark_can_be_damaged_replaced_and_removed() {
    let store = MemoryStore::new();
    store.write_mark(b"mark").unwrap();
    store.damage_mark();
    assert!(matches!(store.read_mark(), Err(StoreError::Damaged { .. })));
    assert!(matches!(store.crash(1).read_mark(), Err(StoreError::Damaged { .. })));
    store.set_mark(Some(b"forged"));
    assert_eq!(store.read_mark().unwrap().as_deref(), Some(b"forged".as_slice()));
    store.set_mark(None);
    assert_eq!(store.read_mark().unwrap(), None);
}

/// One step of a random workload over few keys, so that operations meet.
#[derive(Clone, Debug)]
enum Step {
    Write { ops: Vec<(Space, u8, Option<u8>)>, durability: Durability },
    Flush(Space),
}

fn any_space() -> impl Strategy<Value = Space> {
    prop::sample::select(Space::ALL.to_vec())
}

fn any_step() -> impl Strategy<Value = Step> {
    let ops = prop::collection::vec((any_space(), 0..4u8, prop::option::of(any::<u8>())), 1..5);
    let durability = prop_oneof![Just(Durability::Synced), Just(Durability::Deferred)];
    prop_oneof![
        4 => (ops, durability).prop_map(|(ops, durability)| Step::Write { ops, durability }),
        1 => any_space().prop_map(Step::Flush),
    ]
}

/// The values a key may have after a crash: the last one that was promised, or any written since.
#[derive(Clone, Debug)]
struct Possible {
    promised: Option<u8>,
    since: Vec<Option<u8>>,
}

proptest! {
    #[test]
    fn a_crash_leaves_each_key_promised_or_newer(steps in prop::collection::vec(any_step(), 1..30), seed: u64) {
        let store = MemoryStore::new();
        let mut possible: std::collections::BTreeMap<(Space, u8), Possible> = Default::default();
        for step in &steps {
            match step {
                Step::Write { ops, durability } => {
                    let mut batch = Batch::default();
                    for (space, key, value) in ops {
                        match value {
                            Some(value) => batch.put(*space, [*key], [*value]),
                            None => batch.delete(*space, [*key]),
                        }
                        let entry =
                            possible.entry((*space, *key)).or_insert(Possible { promised: None, since: vec![] });
                        match durability {
                            Durability::Synced => *entry = Possible { promised: *value, since: vec![] },
                            Durability::Deferred => entry.since.push(*value),
                        }
                    }
                    store.write(&batch, *durability).unwrap();
                }
                Step::Flush(space) => {
                    store.flush(*space).unwrap();
                    for ((of, _), entry) in &mut possible {
                        if of == space && let Some(last) = entry.since.last() {
                            *entry = Possible { promised: *last, since: vec![] };
                        }
                    }
                }
            }
        }
        for (store, is_crashed) in [(store.clone(), false), (store.crash(seed), true)] {
            for ((space, key), entry) in &possible {
                let found = store.get(*space, &[*key]).unwrap().map(|value| value[0]);
                let newest = entry.since.last().unwrap_or(&entry.promised);
                if is_crashed {
                    prop_assert!(found == entry.promised || entry.since.contains(&found));
                } else {
                    prop_assert_eq!(&found, newest, "reads see every write that has returned");
                }
            }
        }
    }

    #[test]
    fn a_crash_right_after_flushing_everything_loses_nothing(
        steps in prop::collection::vec(any_step(), 1..30),
        seed: u64,
    ) {
        let store = MemoryStore::new();
        for step in &steps {
            if let Step::Write { ops, durability } = step {
                let mut batch = Batch::default();
                for (space, key, value) in ops {
                    match value {
                        Some(value) => batch.put(*space, [*key], [*value]),
                        None => batch.delete_range(*space, [*key], [*key + 2]),
                    }
                }
                store.write(&batch, *durability).unwrap();
            }
        }
        for space in Space::ALL {
            store.flush(space).unwrap();
        }
        let left = store.crash(seed);
        for space in Space::ALL {
            prop_assert_eq!(store.contents(space), left.contents(space));
        }
    }
}
