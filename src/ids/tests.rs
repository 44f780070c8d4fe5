//! The index as a whole: the claim protocol, races between threads, a crash at every write, bounds on memory and on what
//! a committing caller pays. Random histories are in `model_tests.rs`.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};

use super::test_store::TestStore;
use super::*;
use crate::limits::ID_UNWRITTEN_GENERATIONS_MAX;

/// Small enough that a few ids reach every state. Generations end when they are full and not before.
pub(super) const SMALL: IdOptions = IdOptions {
    memory_ids_max: 20,
    segment_ids: 8,
    segment_records: u64::MAX,
    partitions: 2,
    in_flight_max: 6,
    merge_fan_in: 2,
};
/// The smallest sizes that are promised to work well.
const STATED: IdOptions = IdOptions {
    memory_ids_max: 1_000,
    segment_ids: 64,
    segment_records: u64::MAX,
    partitions: 4,
    in_flight_max: 100,
    merge_fan_in: 4,
};

/// The name of a numbered id.
pub(super) fn key(number: u64) -> IdKey {
    IdHasher::new(&[9; 16]).transaction("north", &number.to_string())
}

/// "Used by the record at this position."
pub(super) fn used(position: u64) -> IdEntry {
    IdEntry { position: Position(position), freed: false }
}

/// "Given back by the record at this position."
fn freed(position: u64) -> IdEntry {
    IdEntry { position: Position(position), freed: true }
}

/// Opens an index, which must succeed.
pub(super) fn open(store: &Arc<TestStore>, options: &IdOptions) -> (IdIndex, Position) {
    IdIndex::open(Arc::clone(store) as Arc<dyn Store>, options).unwrap()
}

/// Claims and commits an id.
fn use_id(index: &IdIndex, number: u64, position: u64) {
    assert_eq!(index.claim(key(number)).unwrap(), Claim::Granted, "id {number}");
    index.commit(key(number), used(position));
}

/// Calls `maintain` until nothing waits.
pub(super) fn settle_down(index: &IdIndex, settled: u64) -> Result<(), IdError> {
    for _ in 0..100_000 {
        if !index.maintain(Position(settled))?.more_waits() {
            return Ok(());
        }
    }
    panic!("maintenance does not come to an end");
}

// ---- The claim protocol ----

#[test]
fn an_id_is_granted_once_and_again_after_it_was_given_back() {
    let (index, covered) = open(&Arc::default(), &SMALL);
    assert_eq!(covered, Position(0));
    assert_eq!(index.claim(key(1)).unwrap(), Claim::Granted);
    assert_eq!(index.claim(key(1)).unwrap(), Claim::InFlight);
    assert_eq!(index.lookup(key(1)).unwrap(), None, "a claim is not a use");
    index.commit(key(1), used(4));
    assert_eq!(index.claim(key(1)).unwrap(), Claim::Committed(used(4)));
    index.insert(key(1), freed(5));
    assert_eq!(index.lookup(key(1)).unwrap(), Some(freed(5)));
    assert_eq!(index.claim(key(1)).unwrap(), Claim::Granted);
    index.commit(key(1), used(6));
    assert_eq!(index.claim(key(1)).unwrap(), Claim::Committed(used(6)));
    assert_eq!(index.stats().claim_count, 0);
}

#[test]
fn what_is_used_can_be_claimed_again_by_one_after_the_other() {
    let (index, _) = open(&Arc::default(), &SMALL);
    assert_eq!(index.claim_again(key(1)), Claim::Granted);
    assert_eq!(index.claim_again(key(1)), Claim::InFlight);
    index.commit(key(1), used(4));
    assert_eq!(index.claim(key(1)).unwrap(), Claim::Committed(used(4)), "for all others it is used up");
    assert_eq!(index.claim_again(key(1)), Claim::Granted);
    assert_eq!(index.lookup(key(1)).unwrap(), Some(used(4)), "who used it last is known while it is claimed");
    index.commit(key(1), used(6));
    // However many ids come after it, the last use stays known.
    (2..200).for_each(|number| {
        use_id(&index, number, number + 10);
        settle_down(&index, number).unwrap();
    });
    assert_eq!(index.claim_again(key(1)), Claim::Granted);
    assert_eq!(index.lookup(key(1)).unwrap(), Some(used(6)));
    index.release(key(1));
    assert_eq!(index.stats().claim_count, 0);
}

#[test]
fn a_released_id_is_free() {
    let (index, _) = open(&Arc::default(), &SMALL);
    assert_eq!(index.claim(key(1)).unwrap(), Claim::Granted);
    index.release(key(1));
    assert_eq!(index.claim(key(1)).unwrap(), Claim::Granted);
}

#[test]
fn a_waiter_sees_the_committed_id() {
    let (index, _) = open(&Arc::default(), &SMALL);
    let index = Arc::new(index);
    index.claim(key(1)).unwrap();
    let seen = Arc::new(OnceLock::new());
    let (inner_index, inner_seen) = (Arc::clone(&index), Arc::clone(&seen));
    assert!(index.wait(key(1), Box::new(move || inner_seen.set(inner_index.claim(key(1)).unwrap()).unwrap())));
    index.commit(key(1), used(7));
    assert_eq!(seen.get(), Some(&Claim::Committed(used(7))));
    assert!(!index.wait(key(1), Box::new(|| panic!("nobody wakes it"))));
}

#[test]
fn claims_are_bounded() {
    let (index, _) = open(&Arc::default(), &SMALL);
    (0..6).for_each(|number| assert_eq!(index.claim(key(number)).unwrap(), Claim::Granted));
    assert_eq!(index.claim(key(6)).unwrap(), Claim::TooMany);
    assert_eq!(index.claim(key(5)).unwrap(), Claim::InFlight);
    index.release(key(0));
    assert_eq!(index.claim(key(6)).unwrap(), Claim::Granted);
}

#[test]
fn claims_are_refused_while_the_disk_is_behind_but_answers_are_given() {
    let (index, _) = open(&Arc::default(), &SMALL);
    let refused_at = (0..1_000).find(|number| match index.claim(key(*number)).unwrap() {
        Claim::Granted => {
            index.commit(key(*number), used(*number));
            false
        }
        claim => {
            assert_eq!(claim, Claim::TooMany);
            true
        }
    });
    let refused_at = refused_at.expect("memory is bounded");
    assert!(refused_at <= SMALL.segment_ids * ID_UNWRITTEN_GENERATIONS_MAX as u64);
    assert_eq!(index.claim(key(0)).unwrap(), Claim::Committed(used(0)));
    assert_eq!(index.stats().claim_count, 0, "a refused claim leaves nothing behind");
    settle_down(&index, 0).unwrap();
    assert_eq!(index.claim(key(refused_at)).unwrap(), Claim::Granted);
}

#[test]
#[should_panic(expected = "no further ids")]
fn committing_below_what_was_settled_is_a_bug() {
    let (index, _) = open(&Arc::default(), &SMALL);
    index.claim(key(1)).unwrap();
    index.settle(Position(10));
    index.commit(key(1), used(9));
}

#[test]
#[should_panic(expected = "only the owner")]
fn committing_without_a_claim_is_a_bug() {
    open(&Arc::default(), &SMALL).0.commit(key(1), used(9));
}

#[test]
fn options_out_of_range_are_refused_with_a_reason() {
    let good = IdOptions::default();
    for bad in [
        IdOptions { partitions: 3, ..good.clone() },
        IdOptions { partitions: 0, ..good.clone() },
        IdOptions { partitions: 1 << 17, ..good.clone() },
        IdOptions { segment_ids: 0, ..good.clone() },
        IdOptions { segment_ids: 64 << 20, ..good.clone() },
        IdOptions { segment_records: 0, ..good.clone() },
        IdOptions { in_flight_max: 0, ..good.clone() },
        IdOptions { merge_fan_in: 1, ..good.clone() },
    ] {
        let error = IdIndex::open(Arc::<TestStore>::default(), &bad).err().expect("must be refused");
        assert!(matches!(error, IdError::Options { .. }));
        assert!(!error.is_rebuildable());
    }
    assert!(good.check().is_ok());
}

// ---- What a reader meets while others work ----

/// An index with ids 0..`count` used at the positions of their numbers, as many as possible on disk only.
fn mostly_on_disk(store: &Arc<TestStore>, count: u64) -> Arc<IdIndex> {
    let options = IdOptions { memory_ids_max: 0, merge_fan_in: 8, ..SMALL };
    let index = open(store, &options).0;
    for number in 0..count {
        use_id(&index, number, number);
        settle_down(&index, number).unwrap();
    }
    Arc::new(index)
}

#[test]
fn the_claim_stands_before_the_index_is_looked_at() {
    let store = Arc::new(TestStore::default());
    let index = mostly_on_disk(&store, 20);
    let woken = Arc::new(AtomicUsize::new(0));
    let (other, counter) = (Arc::clone(&index), Arc::clone(&woken));
    store.do_during_next_read(move || {
        assert_eq!(other.claim(key(0)).unwrap(), Claim::InFlight);
        let counted = Box::new(move || assert_eq!(counter.fetch_add(1, Ordering::SeqCst), 0));
        assert!(other.wait(key(0), counted));
    });
    assert_eq!(index.claim(key(0)).unwrap(), Claim::Committed(used(0)));
    assert!(!store.has_something_to_do(), "the claim read the disk");
    assert_eq!(woken.load(Ordering::SeqCst), 1);
    assert_eq!(index.stats().claim_count, 0);
}

#[test]
fn a_reader_follows_when_its_run_is_merged_away() {
    let store = Arc::new(TestStore::default());
    let index = mostly_on_disk(&store, 48);
    let runs_before = index.stats().run_count;
    let other = Arc::clone(&index);
    store.do_during_next_read(move || {
        let mut number = 1_000;
        while other.stats().run_count >= runs_before {
            use_id(&other, number, number);
            settle_down(&other, number).unwrap();
            number += 1;
        }
    });
    assert_eq!(index.lookup(key(0)).unwrap(), Some(used(0)));
    assert!(index.stats().run_count < runs_before, "the run was merged away in the middle of the read");
}

#[test]
fn a_failed_read_leaves_no_claim_behind() {
    let store = Arc::new(TestStore::default());
    let index = mostly_on_disk(&store, 20);
    for stored in store.keys(Space::Ids) {
        store.flip(Space::Ids, &stored, 1);
    }
    let error = index.claim(key(0)).unwrap_err();
    assert!(error.is_rebuildable());
    assert_eq!(index.stats().claim_count, 0);
}

#[test]
fn of_many_threads_one_is_granted_each_id() {
    const THREADS: u64 = 64;
    const IDS: u64 = 300;
    let options = IdOptions { memory_ids_max: 40, segment_ids: 16, in_flight_max: 1_000, ..STATED };
    let (index, _) = open(&Arc::default(), &options);
    let next_position = AtomicU64::new(0);
    let winners: Vec<OnceLock<u64>> = (0..IDS).map(|_| OnceLock::new()).collect();
    let stop = AtomicBool::new(false);

    let use_once = |number: u64, releases_first: bool| {
        let mut releases_first = releases_first;
        loop {
            match index.claim(key(number)).unwrap() {
                Claim::Granted if releases_first => {
                    releases_first = false;
                    index.release(key(number));
                }
                Claim::Granted => {
                    let position = next_position.fetch_add(1, Ordering::SeqCst);
                    winners[number as usize].set(position).expect("an id is granted once");
                    std::thread::yield_now();
                    return index.commit(key(number), used(position));
                }
                Claim::InFlight => {
                    let (sender, receiver) = mpsc::channel();
                    if index.wait(key(number), Box::new(move || sender.send(()).expect("the caller waits"))) {
                        receiver.recv().expect("the waiter is called, not dropped");
                    }
                }
                Claim::Committed(entry) => {
                    return assert_eq!(winners[number as usize].get(), Some(&entry.position.0));
                }
                Claim::TooMany => std::thread::yield_now(),
            }
        }
    };
    std::thread::scope(|scope| {
        let maintenance = scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                index.maintain(Position(0)).unwrap();
                std::thread::yield_now();
            }
        });
        let claimers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let use_once = &use_once;
                scope.spawn(move || {
                    for step in 0..IDS {
                        // All start at the same id; half go through the ids the other way round after the middle.
                        let number = if thread % 2 == 1 && step > IDS / 2 { IDS + IDS / 2 - step } else { step };
                        use_once(number, thread % 3 == 0);
                    }
                })
            })
            .collect();
        claimers.into_iter().for_each(|claimer| claimer.join().unwrap());
        stop.store(true, Ordering::SeqCst);
        maintenance.join().unwrap();
    });
    assert!(winners.iter().all(|winner| winner.get().is_some()));
    assert_eq!(next_position.load(Ordering::SeqCst), IDS);
    assert!(index.stats().run_count > 0, "the test wants ids on disk");
}

// ---- Bounds ----

#[test]
fn growth_costs_a_committing_caller_nothing_and_memory_stays_bounded() {
    const IDS: u64 = 20_000;
    let store = Arc::new(TestStore::default());
    let (index, _) = open(&store, &STATED);
    let mut runs_max = 0;
    for number in 0..IDS {
        // One step for each commit is more than enough; the claim then never meets a limit.
        index.maintain(Position(number)).unwrap();
        use_id(&index, number, number);
        let stats = index.stats();
        runs_max = runs_max.max(stats.run_count);
        assert!(stats.memory_id_count <= 1_000 + 3 * 64, "{} ids in memory", stats.memory_id_count);
    }
    assert_eq!(index.stats().inline_table_count, 0, "every table was allocated ahead");
    // About 400 generations make less than log4(400) + 1 levels of at most 4 runs, and a few that are being merged.
    assert!(runs_max <= 24, "{runs_max} runs");
    settle_down(&index, IDS).unwrap();
    assert!(index.stats().disk_id_count >= IDS - 1_000);
    for number in 0..IDS {
        assert_eq!(index.lookup(key(number)).unwrap(), Some(used(number)));
    }
    assert!((IDS..IDS + 1_000).all(|number| index.lookup(key(number)).unwrap().is_none()));
    drop(index);
    let (index, covered) = open(&store, &STATED);
    assert!(covered.0 >= IDS - 200 && covered.0 <= IDS, "covered {covered}");
    assert!((0..covered.0).all(|number| index.lookup(key(number)).unwrap() == Some(used(number))));
}

#[test]
fn runs_do_not_pile_up_while_more_is_always_waiting_to_be_written() {
    let (index, _) = open(&Arc::default(), &STATED);
    for step in 0..2_000 {
        // Faster than it can be written, as in recovery.
        (0..16).for_each(|number| index.insert(key(step * 16 + number), used(step * 16 + number)));
        index.maintain(Position(0)).unwrap();
    }
    let stats = index.stats();
    assert!(stats.unwritten_generation_count > 0, "the test wants the disk to be behind");
    assert!(stats.disk_id_count > 10_000);
    assert!(stats.run_count <= 4 * 2 * STATED.merge_fan_in, "{} runs", stats.run_count);
}

#[test]
fn without_maintenance_the_caller_allocates() {
    let (index, _) = open(&Arc::default(), &STATED);
    (0..200).for_each(|number| index.insert(key(number), used(number)));
    assert!(index.stats().inline_table_count >= 4);
}

#[test]
fn given_back_ids_leave_the_disk_in_the_end() {
    let store = Arc::new(TestStore::default());
    let (index, _) = open(&store, &IdOptions { memory_ids_max: 0, ..SMALL });
    let mut position = 0;
    for round in 0..400 {
        use_id(&index, round % 4, position);
        index.insert(key(round % 4), freed(position + 1));
        use_id(&index, 1_000 + round, position + 2);
        position += 3;
        settle_down(&index, position).unwrap();
    }
    for number in 0..4 {
        let entry = index.lookup(key(number)).unwrap();
        assert!(entry.is_none_or(|entry| entry.freed));
    }
    let disk_id_count = index.stats().disk_id_count;
    assert!((380..440).contains(&disk_id_count), "{disk_id_count} entries of 400 ids in use and 4 given back");
}

#[test]
fn a_giving_back_stays_on_disk_while_memory_may_still_hold_the_use() {
    let (index, _) = open(&Arc::default(), &IdOptions { memory_ids_max: 1_000_000, ..SMALL });
    for number in 0..100 {
        use_id(&index, number, number * 2);
        index.insert(key(number), freed(number * 2 + 1));
        settle_down(&index, number * 2 + 2).unwrap();
    }
    assert!(index.stats().run_count < 5, "the runs were merged");
    assert!((0..100).all(|number| index.lookup(key(number)).unwrap() == Some(freed(number * 2 + 1))));
}

#[test]
fn records_without_ids_are_covered_too_and_stay_so_after_a_crash() {
    let store = Arc::new(TestStore::default());
    let options = IdOptions { segment_records: 50, ..SMALL };
    let (index, _) = open(&store, &options);
    use_id(&index, 1, 10);
    for settled in (11..2_000).step_by(7) {
        settle_down(&index, settled).unwrap();
        let covered = index.covered().0;
        assert!(covered <= settled && settled - covered < 50, "{covered} of {settled}");
        assert!(index.stats().run_count <= 8, "runs with nothing in them are merged as others are");
    }
    use_id(&index, 2, 2_000);
    let covered = index.covered();
    drop(index);
    store.crash(1);
    let (index, found) = open(&store, &options);
    assert_eq!((found, index.covered()), (covered, covered));
    assert_eq!(index.lookup(key(1)).unwrap(), Some(used(10)));
    assert_eq!(index.lookup(key(2)).unwrap(), None, "its record lies behind, and is replayed");
    index.insert(key(2), used(2_000));
    settle_down(&index, 2_100).unwrap();
    assert_eq!(index.covered(), Position(2_100));
    assert_eq!(index.lookup(key(2)).unwrap(), Some(used(2_000)));
}

#[test]
fn damage_elsewhere_is_none_that_making_the_index_anew_mends() {
    let damaged = |space| StoreError::Damaged { path: "/data".into(), space, reason: "a bit".to_owned() };
    for (space, expected) in [(None, true), (Some(Space::Ids), true), (Some(Space::State), false)] {
        assert_eq!(IdError::from(damaged(space)).is_rebuildable(), expected, "{space:?}");
    }
}

/// Whoever looks an id up only has an answer to give: the ledger comes to its end by what the work in the background says.
#[test]
fn damage_that_a_lookup_comes_upon_is_told_by_maintenance_from_then_on() {
    type Look = fn(&IdIndex) -> Option<IdError>;
    let rows: [(&str, Look); 3] = [
        ("a claim", |index| index.claim(key(0)).err()),
        ("several", |index| index.claim_many(&[key(0)], &mut Claiming::default()).err()),
        ("a look", |index| index.lookup(key(0)).err()),
    ];
    for (name, look) in rows {
        let store = Arc::new(TestStore::default());
        let index = mostly_on_disk(&store, 20);
        settle_down(&index, 20).unwrap();
        // The indexes of blocks are below that of the filter.
        let blocks = store.keys(Space::Ids).into_iter().filter(|key| key[8] < 0x80);
        blocks.for_each(|block| store.flip(Space::Ids, &block, 1));
        assert_eq!(index.maintain(Position(20)).unwrap().step, Step::Idle, "{name}: nothing has read them");
        let found = look(&index).expect("the id is in a damaged block").to_string();
        assert_eq!(index.stats().claim_count, 0, "{name}");
        for _ in 0..2 {
            let told = index.maintain(Position(20)).expect_err("the index is damaged");
            assert!(told.is_rebuildable() && told.to_string() == found, "{name}: {told}");
        }
    }
}

#[test]
fn a_wiped_index_opens_empty() {
    let store = Arc::new(TestStore::default());
    let (index, _) = open(&store, &SMALL);
    for number in 0..100 {
        use_id(&index, number, number);
        settle_down(&index, number).unwrap();
    }
    drop(index);
    assert!(!store.keys(Space::Ids).is_empty());
    IdIndex::wipe(&*store).unwrap();
    store.crash(1);
    assert!(store.keys(Space::Ids).is_empty());
    let (index, covered) = open(&store, &SMALL);
    assert_eq!(covered, Position(0));
    assert_eq!(index.lookup(key(1)).unwrap(), None);
}

// ---- Crashes ----

/// Uses ids, gives some back, and maintains; stops at the first error. Position `p` belongs to id `p % 150`, which is
/// used and given back in turn.
fn history(position: u64) -> (u64, IdEntry) {
    let entry = if position / 150 % 2 == 1 { freed(position) } else { used(position) };
    (position % 150, entry)
}

/// Inserts the positions from `from` on; every few of them are settled and maintained.
fn play(index: &IdIndex, from: u64, to: u64) -> Result<(), IdError> {
    for position in from..to {
        let (number, entry) = history(position);
        index.insert(key(number), entry);
        if position % 20 == 19 {
            settle_down(index, position + 1)?;
        }
    }
    Ok(())
}

fn check_history(index: &IdIndex, to: u64) {
    for number in 0..150 {
        let newest = (0..to).rev().map(history).find(|(other, _)| *other == number).map(|(_, entry)| entry);
        let found = index.lookup(key(number)).unwrap();
        if newest.is_some_and(|entry| entry.freed) {
            assert!(found.is_none_or(|found| Some(found) == newest), "id {number}: {found:?} is not {newest:?}");
        } else {
            assert_eq!(found, newest, "id {number}");
        }
    }
}

#[test]
fn a_crash_at_any_write_or_flush_loses_nothing_that_was_covered() {
    const POSITIONS: u64 = 700;
    let options = IdOptions { memory_ids_max: 0, segment_ids: 16, ..SMALL };
    let clean = Arc::new(TestStore::default());
    play(&open(&clean, &options).0, 0, POSITIONS).unwrap();
    let operation_count = clean.operation_count();
    assert!(operation_count > 200, "{operation_count}: the test wants many runs and merges");

    for operations in 0..operation_count {
        let store = Arc::new(TestStore::default());
        let (index, _) = open(&store, &options);
        store.fail_after(operations);
        assert!(play(&index, 0, POSITIONS).is_err());
        drop(index);
        store.crash(operations as u64);
        let (index, covered) = open(&store, &options);
        assert!(covered.0 <= POSITIONS);
        play(&index, covered.0, POSITIONS).unwrap();
        check_history(&index, POSITIONS);
        settle_down(&index, POSITIONS).unwrap();
        check_history(&index, POSITIONS);
    }
}
