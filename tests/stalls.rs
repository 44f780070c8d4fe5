//! What waits for a disk that stands still, and what must not be held up by those who wait.

mod support;

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use support::edge::{Accrue, Pending};
use support::watched::GatedStore;
use support::{Ledger, NOON, NS_PER_DAY, Setup, assert_intact, programs};
use tallystick::ledger::decision::Refusal;
use tallystick::ledger::freeze::Subject;
use tallystick::ledger::types::{Day, TimestampNs};
use tallystick::shard::freezing::{FreezeDraft, FreezingError};

/// Longer than anything here takes; a ledger in which two wait for each other never ends.
const PATIENCE: Duration = Duration::from_secs(30);

/// The committer stands at the disk with a publication; once it gets on, it wants the list of publications. The worker
/// waits for the committer, its queue is full, and the housekeeper waits for room in it, to begin a snapshot. Did it
/// keep the list locked meanwhile, all of them would wait for ever.
#[test]
fn a_snapshot_that_waits_for_a_full_queue_holds_up_no_publication() {
    let (disk, store) = GatedStore::new();
    let setup = Setup { worker_count: 1, queue_depth: 4, ..Setup::default() };
    let source = programs::program("", "", "");
    let ledger = Arc::new(Ledger::on(store.clone(), setup).with_program(&source));
    store.close();
    // Threads that are left alone when this test fails, since they may wait for ever.
    let (published, publication) = channel();
    let doubled = source.replacen("units = 1", "units = 2", 1);
    let publisher = ledger.clone();
    thread::spawn(move || {
        publisher.publish(&doubled, TimestampNs(NOON.0 + NS_PER_DAY));
        let _ = published.send(());
    });
    store.wait_for_a_write();
    let taken = fill_the_queue(&ledger);
    let (finished, snapshot) = channel();
    let keeper = ledger.clone();
    thread::spawn(move || {
        let _ = finished.send(keeper.engine.snapshot().is_ok());
    });
    // Some rounds of the housekeeper, to reach the queue. Were that not enough, the test would see less, not fail.
    thread::sleep(Duration::from_millis(100));
    store.open();
    publication.recv_timeout(PATIENCE).expect("the publication ends");
    assert!(snapshot.recv_timeout(PATIENCE).expect("the snapshot ends"));
    assert!(taken.into_iter().all(|answer| answer.wait().is_some_and(|answer| answer.granted() == 1)));
    let stopped = ledger.stop();
    let report = assert_intact(&disk, stopped.digest);
    assert_eq!(report.records.programs, 2);
    assert!(report.snapshot.is_some());
}

/// A freeze is on its way to disk. Somebody who may not thaw alone asks for a thaw meanwhile, when nothing is frozen yet: it
/// must not take effect as soon as the freeze has.
#[test]
fn a_thaw_that_waits_for_a_freeze_needs_a_second_person_as_any() {
    let (disk, store) = GatedStore::new();
    let ledger = Ledger::on(store.clone(), Setup::default()).with_program(&programs::program("", "", ""));
    let ledger = Arc::new(ledger);
    let draft = |freezes, alone| FreezeDraft {
        subject: Subject::Account("m1".into()),
        freezes,
        by: "anna".into(),
        reason_code: "test".into(),
        note: Box::default(),
        alone,
    };
    let is_frozen = || ledger.engine.shared.freezes.look(|freezes| freezes.live_count() > 0);
    assert!(matches!(ledger.engine.change_freezes(draft(true, false), None), Err(FreezingError::NotAlone)));
    store.close();
    let (frozen, freeze) = channel();
    let (freezer, ours) = (ledger.clone(), draft(true, true));
    thread::spawn(move || frozen.send(freezer.engine.change_freezes(ours, None).is_ok()));
    store.wait_for_a_write();
    assert!(!is_frozen());
    let (answered, thaw) = channel();
    let (thawer, theirs) = (ledger.clone(), draft(false, false));
    thread::spawn(move || answered.send(thawer.engine.change_freezes(theirs, None)));
    // Time to judge it too early. Were that not enough, the test would see less, not fail.
    thread::sleep(Duration::from_millis(100));
    store.open();
    assert!(freeze.recv_timeout(PATIENCE).expect("the freeze ends"));
    let thawed = thaw.recv_timeout(PATIENCE).expect("the thaw ends");
    assert!(matches!(thawed, Err(FreezingError::NotAlone)), "{thawed:?}");
    assert!(is_frozen());
    let unfit = ledger.engine.change_freezes(draft(true, false), None);
    assert!(matches!(unfit, Err(FreezingError::Unfit(_))), "what changes nothing needs nobody");
    let report = assert_intact(&disk, ledger.stop().digest);
    assert_eq!(report.records.freezes, 1);
}

/// Sends accruals until the ledger has no room for another, and goes on having none: a worker that is only slow has
/// room again after a moment, one that waits for the disk has not. Those that it took.
/// A worker has computed a posting time and waits for its cells while some are forgotten under which that time falls: what it
/// decides is posted after them.
#[test]
fn what_waits_for_cells_while_they_are_forgotten_is_posted_later() {
    let cap = "[[caps]]\nname = \"all\"\nmeasure = \"units\"\nsubject = \"programme\"\nwindow = \"day\"\nlimit = 25\n";
    let (ledger, disk) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&programs::program("", "", cap));
    let edge = ledger.edge();
    assert_eq!(edge.accrue(&Accrue::simple("m1", "a", 100)).granted(), 1);
    let cells = &ledger.engine.shared.cells;
    let used = *cells.copy().keys().next().expect("one was drawn on");
    let tomorrow = Day(i32::try_from(NOON.0 / NS_PER_DAY).expect("it is a day") + 1);
    let answer = thread::scope(|scope| {
        let held = cells.hold(std::iter::once(used));
        let waiting = scope.spawn(|| ledger.edge().accrue(&Accrue::simple("m1", "b", 100)));
        // For the worker to come as far as the cells. Were that not enough, the test would see less, not fail.
        thread::sleep(Duration::from_millis(100));
        cells.raise_floor(tomorrow);
        drop(held);
        waiting.join().expect("the caller is answered")
    });
    assert_eq!((answer.granted(), answer.posted_at.0), (1, i64::from(tomorrow.0) * NS_PER_DAY));
    assert_intact(&disk, ledger.stop().digest);
}

fn fill_the_queue(ledger: &Ledger) -> Vec<Pending> {
    let edge = ledger.edge();
    let mut taken = Vec::new();
    let mut refused_in_a_row = 0;
    while refused_in_a_row < 50 {
        match edge.begin_accrue(&Accrue::simple("m1", &format!("t-{}", taken.len()), 100)) {
            Pending::Done(answer) => {
                assert_eq!(answer.refusal(), Some(Refusal::Overloaded));
                refused_in_a_row += 1;
                thread::sleep(Duration::from_millis(1));
            }
            waiting @ Pending::Waiting(_) => {
                refused_in_a_row = 0;
                taken.push(waiting);
            }
        }
        assert!(taken.len() < 100_000, "the queue is bounded");
    }
    taken
}
