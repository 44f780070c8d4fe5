//! Runs on their way onto shelves and off them again: through writing, merging, opening again and failing writes.

use std::collections::HashSet;
use std::sync::Weak;

use super::run::Run;
use super::shelf::Shelf;
use super::test_store::TestStore;
use super::tests::{SMALL, key, open, settle_down, used};
use super::*;

const OPTIONS: IdOptions = IdOptions { memory_ids_max: 0, segment_ids: 4, partitions: 1, ..SMALL };

/// Looks that runs share a shelf where they will be merged together, and nowhere else.
pub(super) fn check_shelves(index: &IdIndex, fan_in: usize) {
    let mut seen: HashSet<*const Shelf> = HashSet::new();
    for of_level in index.committed.runs().chunk_by(|a, b| a.footer.level == b.footer.level) {
        for merged_together in of_level.chunks(fan_in) {
            let mut shelf: Option<&Arc<Shelf>> = None;
            for (place, run) in merged_together.iter().enumerate() {
                match (shelf, &run.shelf) {
                    (None, Some(own)) => {
                        assert!(seen.insert(Arc::as_ptr(own)), "a shelf serves one merge");
                        assert!(place + 1 < fan_in, "the last run before a merge begins no shelf");
                    }
                    (Some(others), Some(own)) => assert!(Arc::ptr_eq(own, others), "a merge has one shelf"),
                    (Some(_), None) => panic!("a run is left out of the shelf that those before it stand on"),
                    (None, None) => {}
                }
                shelf = run.shelf.as_ref();
            }
        }
    }
}

/// Looks that what is asked for many keys at once is what is asked for each.
pub(super) fn check_many(index: &IdIndex, keys: &[IdKey]) {
    let (mut found, mut on_disk) = (Vec::new(), Vec::new());
    index.committed.lookup_many(keys, &mut Grouping::default(), &mut found, &mut on_disk);
    for (place, key) in keys.iter().enumerate() {
        if !on_disk.contains(&(place as u32)) {
            assert_eq!(found[place].map(IdEntry::unpack), index.lookup(*key).unwrap(), "place {place}");
        }
    }
}

/// Looks that ids below `count` were used at the positions of their numbers, and some others not at all.
fn check_used(index: &IdIndex, count: u64) {
    for number in 0..count {
        assert_eq!(index.lookup(key(number)).unwrap(), Some(used(number)), "id {number} of {count}");
    }
    assert!((count..count + 20).all(|number| index.lookup(key(number)).unwrap().is_none()));
    let keys: Vec<IdKey> = (0..count + 20).map(key).collect();
    check_many(index, &keys);
}

/// The levels on which a shelf has several runs.
fn levels_with_shelves(index: &IdIndex) -> HashSet<u32> {
    let runs = index.committed.runs();
    let together = runs.windows(2).filter(|pair| pair[0].shares_shelf(&pair[1]));
    together.map(|pair| pair[0].footer.level).collect()
}

/// Uses the next ids, and after each looks at everything between all steps of maintenance. Gives the levels on which
/// shelves were shared.
fn go_on(index: &IdIndex, options: &IdOptions, ids: std::ops::Range<u64>) -> HashSet<u32> {
    let mut levels = HashSet::new();
    for number in ids {
        index.insert(key(number), used(number));
        while index.maintain(Position(number + 1)).unwrap().more_waits() {
            check_shelves(index, options.merge_fan_in);
            levels.extend(levels_with_shelves(index));
        }
        check_used(index, number + 1);
    }
    levels
}

#[test]
fn runs_that_will_be_merged_share_a_shelf_on_every_level() {
    let options = IdOptions { merge_fan_in: 3, ..OPTIONS };
    let (index, _) = open(&Arc::default(), &options);
    let levels = go_on(&index, &options, 0..330);
    assert_eq!(levels, HashSet::from([0, 1, 2, 3]), "four merges were reached, and each level had shelves");
}

#[test]
fn runs_that_were_found_are_asked_one_by_one_until_they_are_merged_away() {
    let store = Arc::new(TestStore::default());
    let mut next = 0;
    for fan_in in [3, 3, 4, 2, 5, 3] {
        let options = IdOptions { merge_fan_in: fan_in, ..OPTIONS };
        let (index, covered) = open(&store, &options);
        assert!(index.committed.runs().iter().all(|run| run.shelf.is_none()));
        (covered.0..next).for_each(|number| index.insert(key(number), used(number)));
        check_used(&index, next);
        let levels = go_on(&index, &options, next..next + 110);
        assert!(levels.contains(&0), "merging {fan_in} at a time, with what was found in between");
        next += 110;
    }
}

#[test]
fn many_runs_at_once_stand_on_shelves_in_their_order() {
    // Written faster than merged: runs of one level wait behind those that are being merged.
    let (index, _) = open(&Arc::default(), &OPTIONS);
    let mut behind = 0;
    for step in 0..2_000 {
        index.insert(key(step), used(step));
        index.maintain(Position(step + 1)).unwrap();
        check_shelves(&index, OPTIONS.merge_fan_in);
        let runs = index.committed.runs();
        behind += usize::from(runs.iter().filter(|run| run.footer.level == 0).count() > OPTIONS.merge_fan_in);
    }
    assert!(behind > 10, "the test wants runs to wait for a merge");
    check_used(&index, 2_000);
    settle_down(&index, 2_000).unwrap();
    check_shelves(&index, OPTIONS.merge_fan_in);
    check_used(&index, 2_000);
}

#[test]
fn a_shelf_goes_with_the_last_run_that_stands_on_it() {
    let (index, _) = open(&Arc::default(), &OPTIONS);
    let mut watched: Vec<Weak<Shelf>> = Vec::new();
    for number in 0..200 {
        index.insert(key(number), used(number));
        while index.maintain(Position(number + 1)).unwrap().more_waits() {
            let runs = index.committed.runs();
            let shelves = || runs.iter().filter_map(|run| run.shelf.as_ref());
            let is_new = |shelf: &&Arc<Shelf>| !watched.iter().any(|other| other.as_ptr() == Arc::as_ptr(shelf));
            let new: Vec<_> = shelves().filter(is_new).map(Arc::downgrade).collect();
            watched.extend(new);
            let alive = watched.iter().filter_map(Weak::upgrade);
            let (listed, gone): (Vec<_>, Vec<_>) =
                alive.partition(|shelf| shelves().any(|other| Arc::ptr_eq(other, shelf)));
            assert!(gone.is_empty(), "a shelf outlives its runs: {} of {}", gone.len(), gone.len() + listed.len());
        }
    }
    let alive_count = watched.iter().filter(|shelf| shelf.strong_count() > 0).count();
    assert!(watched.len() > 10 * alive_count, "of {} shelves {alive_count} are left", watched.len());
}

#[test]
fn a_run_that_fails_halfway_and_goes_on_leaves_nothing_denied() {
    let store = Arc::new(TestStore::default());
    let (index, _) = open(&store, &OPTIONS);
    let mut failed_count = 0;
    for number in 0..150 {
        index.insert(key(number), used(number));
        for attempt in 0..100_000 {
            // Every other step fails if it writes at all: at its first, second, third or fourth write or flush.
            store.fail_after(if attempt % 2 == 0 { attempt / 2 % 4 } else { usize::MAX });
            match index.maintain(Position(number + 1)) {
                Ok(maintenance) if !maintenance.more_waits() => break,
                Ok(_) => {}
                Err(_) => failed_count += 1,
            }
        }
        check_shelves(&index, OPTIONS.merge_fan_in);
        check_used(&index, number + 1);
    }
    assert!(failed_count > 30, "{failed_count} steps failed");
    assert!(index.committed.runs().iter().any(|run| run.footer.level > 2));
}

#[test]
fn a_run_that_is_larger_than_those_of_its_level_goes_without() {
    let store = Arc::new(TestStore::default());
    let large = IdOptions { segment_ids: 64, merge_fan_in: 4, ..OPTIONS };
    let (index, _) = open(&store, &large);
    go_on(&index, &large, 0..140);
    drop(index);
    let small = IdOptions { segment_ids: 4, merge_fan_in: 4, ..OPTIONS };
    let (index, covered) = open(&store, &small);
    (covered.0..140).for_each(|number| index.insert(key(number), used(number)));
    go_on(&index, &small, 140..170);
    let runs = index.committed.runs();
    let merged: Vec<&Arc<Run>> = runs.iter().filter(|run| run.footer.level == 1).collect();
    assert!(merged[0].footer.entry_count > 100 && merged[0].shelf.is_none());
    assert!(merged[1].shelf.is_some(), "the next is as large as planned, and begins a shelf");
}
