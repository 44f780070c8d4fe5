//! What a snapshot writes: how much at a time, what of it that the one before it has not, and what one that was cut short
//! leaves behind.

mod support;

use std::sync::Arc;

use support::counted::CountedStore;
use support::edge::Accrue;
use support::rig::Rig;
use support::{Ledger, NOON, NS_PER_DAY, Setup, assert_intact, programs, verify_store};
use tallystick::ledger::decision::CellUse;
use tallystick::ledger::types::{CellId, Day, Item, TimestampNs};
use tallystick::limits;
use tallystick::shard::job::Job;
use tallystick::shard::snapshotter::{RunState, SnapshotRun};
use tallystick::snapshot::Saved;
use tallystick::snapshot::entity::cell_key;
use tallystick::store::memory::MemoryStore;
use tallystick::store::{Space, Store};

/// Kinds of entities, as their keys begin.
const SYMBOL: u8 = 1;
const ITEM: u8 = 2;
const PROGRAM: u8 = 3;
const CELLS: [u8; 2] = [4, 8];

/// Slices that one step writes at most.
const SLICES_A_STEP: usize = 64;

const STORE_CAP: &str =
    "[[caps]]\nname = \"store-units\"\nmeasure = \"units\"\nsubject = \"store\"\nwindow = \"day\"\nlimit = 25\n";

fn one_worker() -> Setup {
    Setup { shard_count: 1, worker_count: 1, ..Setup::default() }
}

fn rig_on(store: Arc<dyn Store>, more: &str) -> Rig {
    let mut rig = Rig::new(store, one_worker());
    rig.publish(&programs::program("", "", more), TimestampNs(i64::MIN));
    rig
}

/// Gives numbers to so many strings and as many items, and makes that durable.
fn name(rig: &mut Rig, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let sku = rig.symbol(&format!("sku-{number}"));
        rig.dictionary.intern_item(&Item { sku, ..Item::default() }, &*rig.control).expect("there is room");
        if number.is_multiple_of(4_096) {
            rig.commit();
        }
    }
    rig.commit();
}

#[track_caller]
fn assert_whole(disk: &MemoryStore) {
    let report = verify_store(&disk.stop_cleanly());
    assert!(report.intact && report.snapshot.is_some(), "{:#?}", report.findings);
}

#[test]
fn very_many_names_are_written_in_small_batches_and_few_in_one_step() {
    const NAMES: u32 = 50_000;
    let disk = MemoryStore::new();
    let store = CountedStore::on(&disk);
    let mut rig = rig_on(store.clone(), "");
    name(&mut rig, 0..NAMES);
    rig.accrue("m-0", 100, NOON);
    rig.commit();
    store.take();
    let mut run = rig.begin_snapshot();
    let (mut name_count, mut is_finished) = (0, false);
    for _ in 0..1_000 {
        rig.worker.snapshot_step();
        let state = rig.write_slices(&mut run);
        let counts = store.take();
        assert!(counts.largest_batch() <= limits::SNAPSHOT_SLICE_ENTITIES, "{}", counts.largest_batch());
        assert!(counts.state_batches.len() <= SLICES_A_STEP, "{}", counts.state_batches.len());
        name_count += counts.keys(&[SYMBOL, ITEM]).len();
        is_finished |= matches!(state, RunState::Finished(_));
        if is_finished {
            break;
        }
    }
    assert!(is_finished && name_count >= 2 * NAMES as usize, "{name_count}");
    assert_whole(&disk);
}

#[test]
fn a_snapshot_writes_what_the_one_before_has_not_also_after_a_restart() {
    let (ledger, disk) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&programs::program("", "", programs::BUDGET));
    let accrue = |ledger: &Ledger, id: &str| {
        let simple = Accrue::simple(&format!("m-{id}"), id, 100);
        assert_eq!(ledger.edge().accrue(&Accrue { terminal: format!("till-{id}"), ..simple }).granted(), 1);
    };
    (0..40).for_each(|index| accrue(&ledger, &format!("t-{index}")));
    let first = ledger.engine.snapshot().expect("a snapshot can be taken").saved;
    assert!(first.symbol_count > 40 && first.version_count == 1, "{first:?}");
    let clock = ledger.clock.clone();
    ledger.stop();

    let store = CountedStore::on(&disk);
    let ledger = Ledger::start(store.clone(), Setup::default(), clock);
    store.take();
    ledger.engine.snapshot().expect("a snapshot can be taken");
    let known = [SYMBOL, ITEM, PROGRAM, CELLS[0], CELLS[1]];
    assert_eq!(store.take().keys(&known), Vec::<&[u8]>::new(), "all of it is there already");
    accrue(&ledger, "new");
    let second = ledger.engine.snapshot().expect("a snapshot can be taken").saved;
    let counts = store.take();
    let numbers = counts.keys(&[SYMBOL]).into_iter().map(|key| u64::from_be_bytes(key[3..].try_into().expect("it is")));
    let new: Vec<u64> = (u64::from(first.symbol_count)..u64::from(second.symbol_count)).collect();
    assert_eq!(numbers.collect::<Vec<_>>(), new);
    assert!(!new.is_empty());
    assert_eq!(counts.keys(&CELLS).len(), 1, "the budget was drawn on");
    ledger.engine.snapshot().expect("a snapshot can be taken");
    assert_eq!(store.take().keys(&known), Vec::<&[u8]>::new(), "and now it was not");
    assert_intact(&disk, ledger.stop().digest);
    // Without a snapshot, whatever is left of it, the next is a whole one.
    tallystick::snapshot::discard(&disk).expect("memory takes it");
    let ledger = Ledger::start(store.clone(), Setup::default(), support::ManualClock::new(NOON));
    store.take();
    let whole = ledger.engine.snapshot().expect("a snapshot can be taken").saved;
    let counts = store.take();
    assert_eq!(counts.keys(&[SYMBOL]).len(), whole.symbol_count as usize);
    assert_eq!((counts.keys(&[PROGRAM]).len(), counts.keys(&CELLS).len()), (1, 1));
    assert_intact(&disk, ledger.stop().digest);
}

#[test]
fn a_snapshot_that_is_cut_short_among_its_names_harms_nobody() {
    let disk = MemoryStore::new();
    let mut rig = rig_on(Arc::new(disk.clone()), programs::BUDGET);
    name(&mut rig, 0..100);
    rig.accrue("m-0", 100, NOON);
    rig.commit();
    rig.snapshot();
    // More than one step writes.
    name(&mut rig, 100..20_000);
    for account in 0..600 {
        rig.accrue(&format!("m-{account}"), 100, NOON);
    }
    rig.commit();
    let mut run = rig.begin_snapshot();
    rig.worker.snapshot_step();
    assert_eq!(rig.write_slices(&mut run), RunState::Going);
    // Nothing of it was flushed: power takes any part of what was written.
    for seed in 0..4 {
        let left = disk.crash(seed);
        assert_whole(&left);
        let mut rig = Rig::new(Arc::new(left.clone()), one_worker());
        name(&mut rig, 20_000..20_010);
        rig.accrue("m-599", 100, NOON);
        rig.commit();
        rig.snapshot();
        assert_whole(&left);
        assert_whole(&left.crash(seed));
    }
}

#[test]
fn very_many_cells_that_are_forgotten_go_a_few_in_one_step_and_before_anything_is_written() {
    const FORGOTTEN: u16 = 40_000;
    let store = CountedStore::on(&MemoryStore::new());
    let mut rig = rig_on(store.clone(), STORE_CAP);
    rig.accrue("m-0", 2_500, NOON);
    rig.commit();
    let old = *rig.shared.cells.copy().keys().next().expect("one was drawn on");
    for earlier in 1..FORGOTTEN {
        let cell = CellId { period: old.period - i32::from(earlier), ..old };
        let used = CellUse { cell, version: 1, room_before: 25, used: 1, retain_until: Day(0) };
        rig.shared.cells.hold(std::iter::once(cell)).take(&[used], 0);
    }
    let later = TimestampNs(NOON.0 + 100 * NS_PER_DAY);
    rig.accrue("m-1", 100, later);
    rig.commit();
    store.take();
    let Rig { shared, progress, dictionary, publications, .. } = &rig;
    let (mut run, sinks) = SnapshotRun::begin(shared, progress, dictionary, publications, Saved::default(), 1, later);
    for sink in sinks {
        rig.worker.execute(Job::Snapshot(sink), 0);
    }
    let in_one_step = SLICES_A_STEP * limits::SNAPSHOT_SLICE_ENTITIES;
    for expected in [in_one_step, usize::from(FORGOTTEN) - in_one_step] {
        assert_eq!(rig.write_slices(&mut run), RunState::Going);
        let counts = store.take();
        assert!(counts.largest_batch() <= limits::SNAPSHOT_SLICE_ENTITIES, "{}", counts.largest_batch());
        let all: usize = counts.state_batches.iter().map(Vec::len).sum();
        assert_eq!((counts.keys(&CELLS).len(), all), (expected, expected));
    }
    rig.finish_snapshot(&mut run);
    assert!(!store.take().keys(&[SYMBOL]).is_empty(), "what stays was written after that");
}

/// It comes back in the moment between being forgotten and being removed, and counts from one again as it did before.
#[test]
fn a_cell_that_comes_back_while_it_is_forgotten_stays() {
    let disk = MemoryStore::new();
    let mut rig = rig_on(Arc::new(disk.clone()), STORE_CAP);
    rig.accrue("m-0", 2_500, NOON);
    rig.commit();
    rig.snapshot();
    let old = *rig.shared.cells.copy().keys().next().expect("one was drawn on");
    let is_there = || disk.contents(Space::State).iter().any(|(key, _)| *key == cell_key(old));
    assert!(is_there());
    let later = TimestampNs(NOON.0 + 100 * NS_PER_DAY);
    rig.accrue("m-1", 100, later);
    rig.commit();
    let Rig { shared, progress, dictionary, publications, .. } = &rig;
    let (mut run, sinks) = SnapshotRun::begin(shared, progress, dictionary, publications, Saved::default(), 1, later);
    for sink in sinks {
        rig.worker.execute(Job::Snapshot(sink), 0);
    }
    assert!(!rig.shared.cells.copy().contains_key(&old), "it is forgotten");
    let back = CellUse { cell: old, version: 1, room_before: 0, used: -3, retain_until: Day(0) };
    rig.shared.cells.hold(std::iter::once(old)).take(&[back], 0);
    rig.finish_snapshot(&mut run);
    assert!(is_there());
    rig.snapshot();
    assert!(is_there());
}
