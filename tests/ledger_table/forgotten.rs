//! What becomes of bounds that accounts share once no command can fall under them, and once the clock was wrong.
//!
//! What must stay true: what was forgotten is not granted again (invariant 6); verification finds nothing wrong with it.

use std::sync::Arc;

use tallystick::clock::Clock;
use tallystick::ledger::types::TimestampNs;
use tallystick::snapshot;
use tallystick::store::memory::MemoryStore;

use crate::language;
use crate::support::edge::Accrue;
use crate::support::rig::Rig;
use crate::support::{Ledger, NOON, NS_PER_DAY, NS_PER_SECOND, Setup, assert_intact, verify_store};

const NS_PER_HOUR: i64 = 3_600 * NS_PER_SECOND;

const STORE_CAP: &str =
    "[[caps]]\nname = \"store-units\"\nmeasure = \"units\"\nsubject = \"store\"\nwindow = \"day\"\nlimit = 25\n";

/// A snapshot forgets a shared cell under which no command can fall any more; what a reversal still gives back to it
/// opens no room, and verification finds nothing wrong with it.
#[test]
fn a_reversal_gives_back_to_a_cell_that_was_forgotten() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&language::with("", STORE_CAP).1);
    assert_eq!(ledger.edge().accrue(&Accrue::simple("m1", "a", 2_500)).granted(), 25);
    let cells = || ledger.engine.shared.cells.copy().len();
    assert_eq!(cells(), 1);
    ledger.clock.advance(100 * NS_PER_DAY);
    ledger.engine.snapshot().expect("the ledger runs");
    assert_eq!(cells(), 1, "nothing was posted since: it is kept, whatever the clock says");
    assert_eq!(ledger.edge().accrue(&Accrue::simple("m2", "later", 100)).granted(), 1);
    ledger.clock.advance(NS_PER_HOUR);
    ledger.engine.snapshot().expect("the ledger runs");
    assert_eq!(cells(), 1, "only that of today is left");
    assert_eq!(ledger.edge().reverse("r", "a").granted(), -25);
    assert_eq!(ledger.edge().accrue(&Accrue::simple("m1", "b", 9_900)).granted(), 24, "today has its own room");
    assert_intact(&store, ledger.stop().digest);
}

/// A clock that is months ahead for a moment makes nobody forget what today has given.
#[test]
fn a_clock_that_was_ahead_for_a_moment_opens_no_room() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&language::with("", STORE_CAP).1);
    assert_eq!(ledger.edge().accrue(&Accrue::simple("m1", "a", 2_400)).granted(), 24);
    ledger.clock.advance(NS_PER_HOUR);
    let right = ledger.clock.now();
    ledger.clock.set(TimestampNs(right.0 + 100 * NS_PER_DAY));
    assert_eq!(ledger.edge().accrue(&Accrue::simple("m2", "ahead", 100)).granted(), 1);
    ledger.engine.snapshot().expect("the ledger runs");
    ledger.clock.set(right);
    ledger.engine.snapshot().expect("the ledger runs");
    let late = ledger.edge().accrue(&Accrue::simple("m3", "b", 500));
    assert_eq!((late.granted(), late.posted_at), (1, right), "today has one more");
    assert_intact(&store, ledger.stop().digest);
}

/// A clock that was months ahead for long enough has old cells forgotten. Set right, it cannot have them found full again,
/// whichever accounts come, before a restart or after it.
#[test]
fn what_was_forgotten_under_a_clock_that_was_ahead_is_not_granted_again() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&language::with("", STORE_CAP).1);
    assert_eq!(ledger.edge().accrue(&Accrue::simple("m1", "a", 2_500)).granted(), 25);
    let right = ledger.clock.now();
    ledger.clock.set(TimestampNs(right.0 + 100 * NS_PER_DAY));
    assert_eq!(ledger.edge().accrue(&Accrue::simple("m2", "ahead", 100)).granted(), 1);
    for _ in 0..2 {
        ledger.clock.advance(NS_PER_HOUR);
        ledger.engine.snapshot().expect("the ledger runs");
    }
    assert_eq!(ledger.engine.shared.cells.copy().len(), 1, "that of today is forgotten");
    ledger.clock.set(right);
    let earliest = right.0 + 97 * NS_PER_DAY;
    let quoted = ledger.edge().quote(&Accrue::simple("m3", "b", 500));
    let answer = ledger.edge().accrue(&Accrue::simple("m3", "b", 500));
    assert_eq!(quoted.posted_at, answer.posted_at);
    assert!(answer.posted_at.0 > earliest, "it falls under a day that nobody forgot: {}", answer.posted_at);
    let clock = ledger.clock.clone();
    assert_intact(&store, ledger.stop().digest);
    let ledger = Ledger::start(Arc::new(store.clone()), Setup::default(), clock);
    let answer = ledger.edge().accrue(&Accrue::simple("m4", "c", 500));
    assert!(answer.posted_at.0 > earliest, "it falls under a day that nobody forgot: {}", answer.posted_at);
    assert_intact(&store, ledger.stop().digest);
}

/// A shard that was ahead for a moment gives back to a day on which the others are still. They find the room, and however late
/// it is by that shard's time, verification counts it too.
#[test]
fn what_a_shard_that_was_ahead_gives_back_is_there_for_the_others() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&language::with("", STORE_CAP).1);
    assert_eq!(ledger.edge().accrue(&Accrue::simple("m2", "a", 2_500)).granted(), 25);
    let right = ledger.clock.now();
    ledger.clock.set(TimestampNs(right.0 + 100 * NS_PER_DAY));
    assert_eq!(ledger.edge().accrue(&Accrue::simple("m2", "ahead", 100)).granted(), 1);
    ledger.clock.set(right);
    let back = ledger.edge().reverse("r", "a");
    assert_eq!((back.granted(), back.posted_at.0), (-25, right.0 + 100 * NS_PER_DAY));
    let others = ledger.edge().accrue(&Accrue::simple("m3", "b", 9_900));
    assert_eq!((others.granted(), others.posted_at), (25, right));
    assert_intact(&store, ledger.stop().digest);
}

/// A snapshot that is discarded takes with it what was forgotten: the journal brings the cells back, with all that was given
/// back to them since, under whichever numbers.
#[test]
fn a_cell_that_comes_back_with_the_journal_has_what_was_given_back_meanwhile() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&language::with("", STORE_CAP).1);
    assert_eq!(ledger.edge().accrue(&Accrue::simple("m2", "a", 2_500)).granted(), 25);
    let right = ledger.clock.now();
    ledger.clock.set(TimestampNs(right.0 + 100 * NS_PER_DAY));
    assert_eq!(ledger.edge().accrue(&Accrue::simple("m2", "ahead", 100)).granted(), 1);
    for _ in 0..2 {
        ledger.clock.advance(NS_PER_HOUR);
        ledger.engine.snapshot().expect("the ledger runs");
    }
    assert_eq!(ledger.engine.shared.cells.copy().len(), 1, "that of the first day is forgotten");
    let back = ledger.edge().reverse("r", "a");
    assert_eq!((back.granted(), back.decision.cells[0].version), (-25, 1), "it counts from one again");
    let clock = ledger.clock.clone();
    assert_intact(&store, ledger.stop().digest);
    snapshot::discard(&store).expect("memory takes it");
    clock.set(right);
    let ledger = Ledger::start(Arc::new(store.clone()), Setup::default(), clock);
    let others = ledger.edge().accrue(&Accrue::simple("m3", "b", 9_900));
    assert_eq!((others.granted(), others.posted_at), (25, right));
    assert_intact(&store, ledger.stop().digest);
}

/// Of a clock that was ahead for a moment one shard has a record. The sweep must not have the lots of the others die by it.
#[test]
fn a_clock_that_was_ahead_for_a_moment_ends_no_lots_of_others() {
    let disk = MemoryStore::new();
    let mut rig = Rig::new(Arc::new(disk.clone()), Setup { worker_count: 1, ..Setup::default() });
    rig.publish(&language::with("expiry = { after_days = 3 }", "").1, TimestampNs(i64::MIN));
    let after_days = |days: i64| TimestampNs(NOON.0 + days * NS_PER_DAY);
    for number in 0..8 {
        rig.accrue(&format!("m{number}"), 500, NOON);
    }
    rig.accrue("m0", 100, after_days(5));
    let mut swept_by = |now: TimestampNs| {
        rig.commit();
        let before = rig.committer.chain().next.0;
        for _ in 0..100 {
            rig.worker.sweep_step(now);
        }
        rig.commit();
        rig.committer.chain().next.0 - before
    };
    assert_eq!(swept_by(after_days(0)), 0, "nobody's points are dead");
    assert_eq!(swept_by(after_days(4)), 7, "those of the first died with its record");
    assert_eq!(swept_by(after_days(4)), 0);
    let report = verify_store(&disk);
    assert!(report.intact, "{:#?}", report.findings);
}
