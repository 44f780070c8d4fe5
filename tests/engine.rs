//! The whole engine with real threads on a simulated disk: what it decides, what it loses when it is stopped, crashed
//! or its disk fails, and that every state it reaches is the one that its journal gives.

mod support;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use support::edge::{Accrue, Answer, Edge, LineText, Pending};
use support::rig::Rig;
use support::{
    Ledger, ManualClock, NOON, NS_PER_DAY, NS_PER_SECOND, Setup, assert_intact, programs, recover_store, verify_store,
};
use tallystick::journal::Journal;
use tallystick::journal::dictionary::Definitions;
use tallystick::journal::record::Record;
use tallystick::ledger::command::ReturnedLine;
use tallystick::ledger::decision::Refusal;
use tallystick::ledger::freeze::Subject;
use tallystick::ledger::types::{Item, TimestampNs};
use tallystick::recovery::recover_state;
use tallystick::shard::freezing::FreezeDraft;
use tallystick::store::Store;
use tallystick::store::memory::{FaultScript, MemoryStore, WriteFault};

/// A few numbers that look like chance and are the same every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// The `index`-th basket of a seeded day: some accounts, departments, brands and late receipts.
fn basket(numbers: &mut Numbers, index: u64, now: TimestampNs) -> Accrue {
    let lines = (0..=numbers.below(3)).map(|_| LineText {
        department: ["GROCERY", "FRESH", "TOBACCO"][numbers.below(3) as usize].to_owned(),
        brand: ["", "Own", "Other"][numbers.below(3) as usize].to_owned(),
        ..LineText::of(numbers.below(9_000) as i64)
    });
    let lines = lines.collect();
    Accrue {
        terminal: format!("till-{}", numbers.below(3)),
        receipt_at: Some(TimestampNs(now.0 - numbers.below(10) as i64 * NS_PER_DAY)),
        lines,
        ..Accrue::simple(&format!("member-{}", numbers.below(40)), &format!("t-{index}"), 0)
    }
}

/// Plays baskets `range` of the day `seed`, with a reversal now and then, one after the other.
fn play(ledger: &Ledger, seed: u64, range: std::ops::Range<u64>) -> Vec<Answer> {
    let mut numbers = Numbers(seed + range.start);
    let edge = ledger.edge();
    let mut answers = Vec::new();
    for index in range {
        ledger.clock.advance(37 * NS_PER_SECOND);
        let stamp = ledger.setup.clock_is_input.then(|| tallystick::clock::Clock::now(&*ledger.clock));
        let accrue = Accrue { stamp, ..basket(&mut numbers, index, tallystick::clock::Clock::now(&*ledger.clock)) };
        answers.push(edge.accrue(&accrue));
        if numbers.below(5) == 0 {
            let original = format!("t-{}", numbers.below(index + 1));
            // Every other time only the first line.
            let piece = [ReturnedLine { line: 0, quantity: 1, amount_minor: 0 }];
            let lines = if index % 2 == 0 { &piece[..] } else { &[] };
            let reversed = edge.begin_reverse(&format!("v-{index}"), &original, lines, stamp);
            answers.push(reversed.wait().expect("the ledger answers"));
        }
    }
    answers
}

/// Tells the threads of a test to stop, also when the test has failed.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn digest_of_recovery(store: &MemoryStore) -> String {
    let recovered = recover_store(&(Arc::new(store.clone()) as Arc<dyn Store>), &Setup::default());
    recovered.expect("the store can be recovered").world.digest().to_string()
}

#[test]
fn the_live_state_is_the_replayed_one_and_the_recovered_one() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&programs::everything());
    play(&ledger, 1, 0..300);
    ledger.engine.snapshot().expect("a snapshot can be taken");
    play(&ledger, 2, 300..500);
    let stopped = ledger.stop();
    let report = assert_intact(&store, stopped.digest);
    assert_eq!(report.end_position, stopped.end.0);
    assert_eq!(report.high_water_position, Some(stopped.end.0), "an orderly stop leaves nothing behind the mark");
    assert!(report.snapshot.is_some_and(|snapshot| snapshot.start > 300));
    assert!(report.records.reversals > 20 && report.records.accruals == 500, "{:?}", report.records);
    assert_eq!(digest_of_recovery(&store), stopped.digest.to_string());
}

#[test]
fn one_worker_and_eight_reach_the_same_state() {
    let run = |worker_count| {
        let setup = Setup { worker_count, clock_is_input: true, ..Setup::default() };
        let (ledger, store) = Ledger::new(setup);
        let ledger = ledger.with_program(&programs::everything());
        let answers = play(&ledger, 7, 0..400);
        let stopped = ledger.stop();
        assert_intact(&store, stopped.digest);
        let granted: Vec<_> = answers.iter().map(|answer| (answer.refusal(), answer.granted())).collect();
        (stopped.digest, granted)
    };
    assert_eq!(run(1), run(8));
}

#[test]
fn a_restart_goes_on_where_the_ledger_stopped() {
    let (ledger, store) = Ledger::new(Setup::default());
    let mut ledger = ledger.with_program(&programs::everything());
    let first = play(&ledger, 1, 0..100);
    for (restart, setup) in [1, 8, 3].into_iter().map(|n| Setup { worker_count: n, ..Setup::default() }).enumerate() {
        if restart != 1 {
            ledger.engine.snapshot().expect("a snapshot can be taken");
        }
        let from = (restart as u64 + 1) * 100;
        play(&ledger, 5, from..from + 60);
        let stopped = ledger.stop();
        let clock = ledger.clock.clone();
        ledger = Ledger::start(Arc::new(store.clone()), setup, clock);
        let recovered = recover_state(&(Arc::new(store.clone()) as _), &ledger.setup.identity(), &mut |_| {});
        assert_eq!(recovered.expect("it can be recovered").0.digest(), stopped.digest);
    }
    // The ids of the first epoch are known in the fourth.
    let again = {
        let mut numbers = Numbers(1);
        let at = TimestampNs(NOON.0 + 37 * NS_PER_SECOND);
        ledger.edge().accrue(&basket(&mut numbers, 0, at))
    };
    assert!(again.replayed);
    assert_eq!((again.position, again.decision.clone()), (first[0].position, again.decision));
    let report = assert_intact(&store, ledger.stop().digest);
    assert_eq!((report.epoch_count, report.last_epoch), (4, 4));
}

#[test]
fn a_command_that_is_repeated_gets_the_first_answer_or_the_field_that_differs() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&programs::everything());
    let edge = ledger.edge();
    let first = edge.accrue(&Accrue::simple("m1", "t1", 500));
    assert_eq!((first.granted(), first.replayed), (5, false));
    let again = edge.accrue(&Accrue::simple("m1", "t1", 500));
    assert_eq!((again.granted(), again.replayed, again.position), (5, true, first.position));
    let changed = edge.accrue(&Accrue::simple("m1", "t1", 501));
    assert_eq!(changed.refusal(), Some(Refusal::TransactionIdReused));
    assert_eq!(changed.differs.as_deref(), Some("basket.lines[0].amount_minor"));
    let other_account = edge.accrue(&Accrue::simple("m2", "t1", 500));
    assert_eq!(other_account.differs.as_deref(), Some("account_id"));
    let reversal = edge.reverse("v1", "t1");
    let again = edge.reverse("v1", "t1");
    assert_eq!((again.granted(), again.replayed, again.position), (-5, true, reversal.position));
    assert_eq!(edge.reverse("v1", "t2").differs.as_deref(), Some("original_transaction_id"));
    assert_eq!(edge.accrue(&Accrue::simple("m1", "v1", 500)).differs.as_deref(), Some("command"));
    // Another partner's ids are its own.
    let south = Edge::new(&ledger.engine, "south");
    assert_eq!(south.accrue(&Accrue::simple("m1", "t1", 700)).granted(), 7);
    assert_intact(&store, ledger.stop().digest);
}

#[test]
fn of_many_callers_with_one_id_one_is_decided_and_all_get_its_answer() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&programs::everything());
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let callers: Vec<_> =
            (0..16).map(|_| scope.spawn(|| ledger.edge().accrue(&Accrue::simple("m1", "the-one", 1_000)))).collect();
        callers.into_iter().map(|caller| caller.join().expect("no caller panics")).collect()
    });
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert!(answers.iter().all(|answer| answer.granted() == 10 && answer.position == answers[0].position));
    assert_eq!(assert_intact(&store, ledger.stop().digest).records.accruals, 1);
}

#[test]
fn a_budget_that_64_threads_empty_is_granted_to_the_last_unit_and_not_one_more() {
    const BUDGET: i64 = 10_007;
    let source = programs::program("", "", "[[budgets]]\nname = \"opening\"\nunits = 10_007\n");
    let (ledger, store) = Ledger::new(Setup { worker_count: 4, ..Setup::default() });
    let ledger = ledger.with_program(&source);
    let (granted, returned) = (AtomicI64::new(0), AtomicI64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..64 {
            let (ledger, granted, returned) = (&ledger, &granted, &returned);
            scope.spawn(move || {
                let edge = ledger.edge();
                for index in 0..20 {
                    let id = format!("t-{thread}-{index}");
                    let answer = edge.accrue(&Accrue::simple(&format!("m-{thread}"), &id, 1_700));
                    assert_eq!(answer.refusal(), None);
                    granted.fetch_add(answer.granted(), Ordering::SeqCst);
                    if index % 4 == 3 {
                        let reversal = edge.reverse(&format!("v-{thread}-{index}"), &id);
                        returned.fetch_sub(reversal.granted(), Ordering::SeqCst);
                    }
                }
            });
        }
    });
    let taken = granted.into_inner() - returned.into_inner();
    assert!(taken <= BUDGET, "{taken} of {BUDGET}");
    // What was given back is usable again, to the last unit.
    let edge = ledger.edge();
    let rest = edge.accrue(&Accrue::simple("last", "last-1", 10_000_000)).granted();
    assert_eq!(taken + rest, BUDGET);
    assert_eq!(edge.accrue(&Accrue::simple("last", "last-2", 100)).granted(), 0);
    let report = assert_intact(&store, ledger.stop().digest);
    assert_eq!(report.wallets[0].outstanding_units, i128::from(BUDGET));
}

#[test]
fn a_snapshot_taken_while_the_ledger_runs_recovers_every_change() {
    let (ledger, store) = Ledger::new(Setup { worker_count: 2, shard_count: 2, ..Setup::default() });
    let ledger = ledger.with_program(&programs::everything());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (ledger, stop) = (&ledger, &stop);
            scope.spawn(move || {
                let edge = ledger.edge();
                let mut pending = Vec::new();
                for index in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    // Ever new accounts, and old ones again, so that accounts change behind the snapshot's back.
                    let account = if index % 2 == 0 { index } else { index / 7 };
                    let accrue = Accrue::simple(&format!("m-{thread}-{account}"), &format!("t-{thread}-{index}"), 300);
                    // And new names, so that some are being given whenever a snapshot begins.
                    let terminal = format!("till-{thread}-{}", index / 3);
                    pending.push(edge.begin_accrue(&Accrue { terminal, ..accrue }));
                    if pending.len() >= 64 {
                        pending.drain(..).for_each(|answer| assert_eq!(answer.wait().map(|a| a.refusal()), Some(None)));
                    }
                }
                pending.into_iter().for_each(|answer| drop(answer.wait()));
            });
        }
        let _stop = StopAtEnd(&stop);
        let mut starts = Vec::new();
        for round in 0..6 {
            starts.push(ledger.engine.snapshot().expect("a snapshot can be taken").start);
            // Power goes now: what is left must lead to the state that its own journal gives.
            let left = store.crash(round);
            let report = verify_store(&left);
            assert!(report.intact, "{:#?}", report.findings);
            assert!(report.snapshot.is_some());
        }
        assert!(starts.is_sorted() && starts[0] < starts[5], "{starts:?}");
    });
    assert_intact(&store, ledger.stop().digest);
}

#[test]
fn whoever_freezes_digests_and_draws_on_a_budget_at_once_comes_to_an_end() {
    let (ledger, store) = Ledger::new(Setup { worker_count: 2, shard_count: 2, ..Setup::default() });
    let ledger = ledger.with_program(&programs::everything());
    let (stop, turns) = (AtomicBool::new(false), AtomicI64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (ledger, stop, turns) = (&ledger, &stop, &turns);
            scope.spawn(move || {
                let edge = ledger.edge();
                for index in (0..).take_while(|_| !stop.load(Ordering::SeqCst)) {
                    edge.accrue(&Accrue::simple(&format!("m-{thread}-{index}"), &format!("t-{thread}-{index}"), 300));
                    turns.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        // As a digest does.
        let (digests, shared) = (&stop, &ledger.engine.shared);
        scope.spawn(move || {
            while !digests.load(Ordering::SeqCst) {
                shared.freezes.look(|_| assert!(shared.cells.copy().len() < 1_000));
            }
        });
        let (ended, watched) = (&stop, &turns);
        scope.spawn(move || {
            // Threads that wait for each other end no test: this does.
            let mut seen = -1;
            while !ended.load(Ordering::SeqCst) {
                let now = watched.load(Ordering::SeqCst);
                if now == seen {
                    eprintln!("nothing has gone on for half a minute");
                    std::process::abort();
                }
                seen = now;
                let waits = (0..3_000).take_while(|_| !ended.load(Ordering::SeqCst));
                waits.for_each(|_| std::thread::sleep(std::time::Duration::from_millis(10)));
            }
        });
        let _stop = StopAtEnd(&stop);
        for round in 0..200 {
            let draft = FreezeDraft {
                subject: Subject::Account("somebody-else".into()),
                freezes: round % 2 == 0,
                by: "key:1".into(),
                reason_code: "test".into(),
                note: "".into(),
                alone: true,
            };
            ledger.engine.change_freezes(draft, None).expect("it fits");
            turns.fetch_add(1, Ordering::SeqCst);
        }
    });
    assert_intact(&store, ledger.stop().digest);
}

#[test]
fn an_account_that_changed_behind_a_snapshot_is_in_the_next_one_even_after_a_restart() {
    // More accounts than one slice, in one shard: the shard's own entity is copied a step after the first accounts.
    const ACCOUNTS: u32 = 700;
    let setup = Setup { shard_count: 1, worker_count: 1, ..Setup::default() };
    let disk = MemoryStore::new();
    let mut rig = Rig::new(Arc::new(disk.clone()), setup.clone());
    rig.publish(&programs::program("", "", ""), TimestampNs(i64::MIN));
    for account in 0..ACCOUNTS {
        rig.accrue(&format!("m-{account}"), 100, NOON);
    }
    rig.commit();
    let mut run = rig.begin_snapshot();
    rig.worker.snapshot_step();
    // Account 0 is copied already; now it changes.
    rig.accrue("m-0", 4_200, NOON);
    rig.commit();
    rig.finish_snapshot(&mut run);

    let after_restart = disk.stop_cleanly();
    let mut rig = Rig::new(Arc::new(after_restart.clone()), setup);
    rig.accrue("m-1", 100, NOON);
    rig.commit();
    rig.snapshot();
    let report = verify_store(&after_restart.stop_cleanly());
    assert!(report.intact, "{:#?}", report.findings);
}

#[test]
fn an_account_copied_while_its_record_is_in_flight_is_copied_again_with_the_records_position() {
    let setup = Setup { shard_count: 1, worker_count: 1, ..Setup::default() };
    let disk = MemoryStore::new();
    let mut rig = Rig::new(Arc::new(disk.clone()), setup);
    rig.publish(&programs::program("", "", ""), TimestampNs(i64::MIN));
    rig.accrue("m-0", 100, NOON);
    let chunk = rig.worker.seal();
    let mut run = rig.begin_snapshot();
    rig.worker.snapshot_step();
    rig.commit_chunk(chunk);
    rig.finish_snapshot(&mut run);
    rig.accrue("m-1", 100, NOON);
    rig.commit();
    rig.snapshot();
    let report = verify_store(&disk.stop_cleanly());
    assert!(report.intact, "{:#?}", report.findings);
}

#[test]
fn slices_of_a_snapshot_that_was_never_finished_do_not_count_as_saved() {
    let setup = Setup { shard_count: 1, worker_count: 1, ..Setup::default() };
    let disk = MemoryStore::new();
    let mut rig = Rig::new(Arc::new(disk.clone()), setup.clone());
    rig.publish(&programs::program("", "", ""), TimestampNs(i64::MIN));
    for account in 0..600 {
        rig.accrue(&format!("m-{account}"), 100, NOON);
    }
    rig.commit();
    rig.snapshot();
    for account in 0..600 {
        rig.accrue(&format!("m-{account}"), 200, NOON);
    }
    rig.commit();
    let mut run = rig.begin_snapshot();
    while rig.worker.is_taking_snapshot() {
        rig.worker.snapshot_step();
    }
    // The slices are written, but power goes during the flush: any part of them is kept, and the marker stays.
    disk.set_faults(FaultScript::freeze_at_sync(disk.sync_count() + 1));
    let unfinished = run.step(&*rig.store, NOON);
    assert!(unfinished.is_err(), "{unfinished:?}");
    for seed in 0..40 {
        let left = disk.crash(seed);
        let mut rig = Rig::new(Arc::new(left.clone()), setup.clone());
        rig.accrue("m-599", 100, NOON);
        rig.commit();
        rig.snapshot();
        let report = verify_store(&left.crash(seed));
        assert!(report.intact, "seed {seed}: {:#?}", report.findings);
    }
}

/// Whoever names something is stopped right after its definition was queued, for as long as a commit and a snapshot take.
struct Stopped<'a>(&'a RefCell<Rig>);

impl Definitions for Stopped<'_> {
    fn define(&self, record: Record) {
        let mut rig = self.0.borrow_mut();
        rig.control.define(record);
        rig.commit();
        rig.snapshot();
    }
}

#[test]
fn a_snapshot_holds_the_name_that_is_being_given_while_it_begins() {
    let setup = Setup { shard_count: 1, worker_count: 1, ..Setup::default() };
    let disk = MemoryStore::new();
    let rig = RefCell::new(Rig::new(Arc::new(disk.clone()), setup));
    rig.borrow_mut().publish(&programs::program("", "", ""), TimestampNs(i64::MIN));
    let dictionary = rig.borrow().dictionary.clone();
    let brand = dictionary.intern("Own", &Stopped(&rig)).expect("there is room");
    // The journal goes on to the next name, which the snapshot does not have.
    rig.borrow().symbol("Other");
    rig.borrow_mut().commit();
    let report = verify_store(&disk.stop_cleanly());
    assert!(report.intact, "{:#?}", report.findings);

    dictionary.intern_item(&Item { brand, ..Item::default() }, &Stopped(&rig)).expect("there is room");
    rig.borrow().line("FRESH", "Other", 100);
    rig.borrow_mut().commit();
    let report = verify_store(&disk.stop_cleanly());
    assert!(report.intact, "{:#?}", report.findings);
    assert!(report.snapshot.is_some());
}

#[test]
fn versions_judge_by_event_time_and_survive_snapshots_and_restarts() {
    let v1 = programs::program("", "", "");
    let v2 = v1.replace("units = 1", "units = 3");
    let v3 = v1.replace("units = 1", "units = 5");
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&v1);
    let day = |days: i64| TimestampNs(NOON.0 + days * NS_PER_DAY);
    ledger.publish(&v2, day(1));
    ledger.engine.snapshot().expect("a snapshot can be taken");
    ledger.publish(&v3, day(2));
    assert_eq!(ledger.edge().accrue(&Accrue::simple("m1", "a", 100)).granted(), 1);
    ledger.clock.set(day(1));
    assert_eq!(ledger.edge().accrue(&Accrue::simple("m1", "b", 100)).granted(), 3);
    ledger.stop();

    let ledger = Ledger::start(Arc::new(store.clone()), Setup::default(), ManualClock::new(day(3)));
    let edge = ledger.edge();
    let at = |days, id: &str| Accrue { receipt_at: Some(day(days)), ..Accrue::simple("m1", id, 100) };
    let granted: Vec<_> = (0..=3).map(|days| edge.accrue(&at(days, &format!("late-{days}"))).granted()).collect();
    assert_eq!(granted, [1, 3, 5, 5], "a late receipt is judged by the version of its time");
    let report = assert_intact(&store, ledger.stop().digest);
    assert_eq!(report.records.programs, 3);
}

#[test]
fn publishing_under_load_keeps_every_decision_with_the_version_in_force() {
    let source = programs::program("", "", "");
    let (ledger, store) = Ledger::new(Setup { worker_count: 4, ..Setup::default() });
    let ledger = ledger.with_program(&source);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (ledger, stop) = (&ledger, &stop);
            scope.spawn(move || {
                for index in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    ledger.clock.advance(NS_PER_SECOND);
                    let accrue =
                        Accrue::simple(&format!("m-{thread}-{}", index % 50), &format!("t-{thread}-{index}"), 100);
                    assert_eq!(ledger.edge().accrue(&accrue).refusal(), None);
                }
            });
        }
        let _stop = StopAtEnd(&stop);
        for version in 2..12 {
            let now = tallystick::clock::Clock::now(&*ledger.clock);
            let next = source.replace("units = 1", &format!("units = {version}"));
            ledger.publish(&next, TimestampNs(now.0 + 3_600 * NS_PER_SECOND));
            ledger.clock.advance(3_601 * NS_PER_SECOND);
            if version % 3 == 0 {
                ledger.engine.snapshot().expect("a snapshot can be taken");
            }
        }
    });
    let report = assert_intact(&store, ledger.stop().digest);
    assert_eq!(report.records.programs, 11);
}

#[test]
fn a_publication_with_an_id_is_known_to_the_index_when_it_returns() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&programs::program("", "", ""));
    for version in 0..50 {
        let draft = tallystick::shard::publishing::Draft {
            source: programs::program("", "", ""),
            effective_at: TimestampNs(NOON.0 + 1 + version),
            partner: ledger.edge().partner,
            transaction_id: format!("publish-{version}").into(),
            actor: Box::default(),
            confirmed: None,
        };
        let (_, position) = ledger.engine.publish(draft).expect("it is published");
        let key = ledger.engine.hasher.transaction("north", &format!("publish-{version}"));
        let found = ledger.engine.shared.ids.lookup(key).expect("the index can be read");
        assert_eq!(found.map(|entry| entry.position), Some(position));
        // While the housekeeper settles ids all the time.
        ledger.clock.advance(NS_PER_SECOND / 1_000_000_000);
    }
    let answer = ledger.edge().accrue(&Accrue::simple("m1", "publish-7", 100));
    assert_eq!(answer.refusal(), Some(Refusal::TransactionIdReused));
    assert_intact(&store, ledger.stop().digest);
}

/// Runs until the disk fails; gives what was acknowledged: account → units, by transaction.
fn run_until_failure(script: FaultScript) -> (MemoryStore, BTreeMap<String, Answer>) {
    let store = MemoryStore::with_faults(script);
    let ledger = Ledger::on(Arc::new(store.clone()), Setup::default()).with_program(&programs::everything());
    let mut acknowledged = BTreeMap::new();
    'day: for round in 0..200 {
        let edge = ledger.edge();
        let pending: Vec<(String, Pending)> = (0..8)
            .map(|index| {
                let id = format!("t-{round}-{index}");
                let accrue = Accrue::simple(&format!("m-{}", (round + index) % 20), &id, 300 + index);
                (id, edge.begin_accrue(&accrue))
            })
            .collect();
        for (id, pending) in pending {
            match pending.wait() {
                Some(answer) if answer.refusal() == Some(Refusal::ShuttingDown) => break 'day,
                None => break 'day,
                Some(answer) => {
                    acknowledged.insert(id, answer);
                }
            }
        }
    }
    while !ledger.has_failed() {
        std::thread::yield_now();
    }
    assert!(ledger.engine.is_stopping());
    let refused = ledger.edge().accrue(&Accrue::simple("m-1", "after", 100));
    assert_eq!(refused.refusal(), Some(Refusal::ShuttingDown), "nothing is accepted after the failure");
    assert!(ledger.engine.stop().is_none(), "a ledger that failed has no state to hand back");
    (store, acknowledged)
}

#[test]
fn after_a_failed_write_exactly_what_was_acknowledged_is_there_or_one_commit_more() {
    for fault in [WriteFault::Before, WriteFault::After, WriteFault::Unknown] {
        // The identity, the opening and the programme are written first.
        for at in [4, 5, 9, 30] {
            let script = FaultScript { fail_write_at: Some((at, fault)), ..FaultScript::default() };
            let (store, acknowledged) = run_until_failure(script);
            let left = store.crash(at);
            check_acknowledged(&left, &acknowledged, &format!("{fault:?} at write {at}"));
        }
    }
}

#[test]
fn after_the_loss_of_power_in_any_sync_everything_acknowledged_is_there() {
    for at in 4..20 {
        let (store, acknowledged) = run_until_failure(FaultScript::freeze_at_sync(at));
        check_acknowledged(&store.crash(at), &acknowledged, &format!("power lost in sync {at}"));
    }
}

/// Every acknowledged answer is given again after recovery; what was not acknowledged is there once or not at all.
fn check_acknowledged(left: &MemoryStore, acknowledged: &BTreeMap<String, Answer>, what: &str) {
    let report = verify_store(left);
    assert!(report.intact, "{what}: {:#?}", report.findings);
    assert!(report.records.accruals >= acknowledged.len() as u64, "{what}");
    let (journaled, _) = recover_state(&(Arc::new(left.clone()) as _), &Setup::default().identity(), &mut |_| {})
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(report.digest, Some(journaled.digest().to_string()), "{what}");
    let ledger = Ledger::on(Arc::new(left.clone()), Setup::default());
    let edge = ledger.edge();
    for (id, first) in acknowledged {
        let (round, index) = id[2..].split_once('-').expect("an id of this test");
        let (round, index): (i64, i64) = (round.parse().expect("a number"), index.parse().expect("a number"));
        let accrue = Accrue::simple(&format!("m-{}", (round + index) % 20), id, 300 + index);
        let again = edge.accrue(&accrue);
        assert!(again.replayed, "{what}: {id} was acknowledged and is gone");
        assert_eq!((again.granted(), again.position), (first.granted(), first.position), "{what}: {id}");
    }
    assert_intact(left, ledger.stop().digest);
}

#[test]
fn a_second_process_finds_the_journal_fenced() {
    let (ledger, _store) = Ledger::new(Setup::default());
    assert_eq!(ledger.engine.epoch, 1);
    assert!(ledger.engine.journal.fence(2).is_ok());
    let error = ledger.engine.journal.fence(1).expect_err("an older epoch is fenced off");
    assert_eq!(error.to_string(), "epoch 1 was fenced off by epoch 2: another process has taken over this journal");
    ledger.stop();
}

#[test]
fn reads_show_the_account_as_it_will_be_found_after_a_crash() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&programs::everything());
    let edge = ledger.edge();
    assert!(edge.account("m1").is_none(), "an account that was never opened");
    let pending: Vec<_> =
        (0..50).map(|index| edge.begin_accrue(&Accrue::simple("m1", &format!("t-{index}"), 100))).collect();
    let view = edge.account("m1").expect("the account is open");
    // Power goes at the moment of the answer.
    let left = store.crash(3);
    let shown = view.account.balance(tallystick::ledger::types::WalletId(0), view.read_at);
    let (world, _) =
        recover_state(&(Arc::new(left) as _), &ledger.setup.identity(), &mut |_| {}).expect("it can be recovered");
    let shard = &world.shards[usize::from(view.shard.0)];
    let found = shard.account(shard.find("m1").expect("the account is there")).expect("the account is there");
    assert!(found.seq >= view.account.seq, "the read showed record {}, which is lost", view.account.seq);
    assert!(found.balance(tallystick::ledger::types::WalletId(0), view.read_at) >= shown);
    assert!(view.account.position.is_some(), "a read says where the account's last record lies");
    pending.into_iter().for_each(|answer| drop(answer.wait()));
    ledger.stop();
}

/// Two accounts in different shards of two, the first in the first.
fn accounts_of_two_shards() -> [String; 2] {
    let in_shard = |shard: u16| {
        let names = (0..).map(|number| format!("m-{number}"));
        names.into_iter().find(|name| tallystick::ledger::state::shard_of(name, 2).0 == shard).expect("half of them")
    };
    [in_shard(0), in_shard(1)]
}

#[test]
fn a_read_leaves_with_the_chunk_that_holds_the_accounts_last_record_and_says_where_that_lies() {
    let setup = Setup { shard_count: 2, worker_count: 1, ..Setup::default() };
    let mut rig = Rig::new(Arc::new(MemoryStore::new()), setup);
    rig.publish(&programs::program("", "", ""), TimestampNs(i64::MIN));
    let [ours, other] = accounts_of_two_shards();
    rig.accrue(&ours, 100, NOON);
    let first = rig.worker.seal();
    rig.accrue(&other, 100, NOON);
    let second = rig.worker.seal();
    let (told, answer) = std::sync::mpsc::channel();
    let read = tallystick::shard::job::AccountJob {
        account_id: ours.as_str().into(),
        stamp: NOON,
        reply: Box::new(move |view| told.send(view).expect("the test waits")),
    };
    rig.worker.execute(tallystick::shard::job::Job::Account(Box::new(read)), 0);
    assert!(answer.try_recv().is_err(), "the record is not durable yet");
    rig.commit_chunk(first);
    let view = answer.try_recv().expect("the answer is there").expect("the account is open");
    let end = rig.progress.durable_end();
    assert_eq!(view.account.position.map(|position| position.0), Some(end.0 - 1));
    rig.commit_chunk(second);
}

#[test]
fn a_survey_of_all_shards_leaves_when_everything_in_it_is_durable() {
    let setup = Setup { shard_count: 2, worker_count: 1, ..Setup::default() };
    let mut rig = Rig::new(Arc::new(MemoryStore::new()), setup);
    rig.publish(&programs::program("", "", ""), TimestampNs(i64::MIN));
    let [one, other] = accounts_of_two_shards();
    rig.accrue(&one, 100, NOON);
    let first = rig.worker.seal();
    rig.accrue(&other, 100, NOON);
    let second = rig.worker.seal();
    let (told, answer) = std::sync::mpsc::channel();
    let reply = Box::new(move |survey| told.send(survey).expect("the test waits"));
    rig.worker.execute(tallystick::shard::job::Job::Survey(true, reply), 0);
    rig.commit_chunk(first);
    assert!(answer.try_recv().is_err(), "the survey shows the second shard, whose record can still be lost");
    rig.commit_chunk(second);
    assert_eq!(answer.try_recv().expect("the answer is there").account_count, 2);
}

#[test]
fn a_quote_is_what_the_accrual_is_then_granted() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&programs::everything());
    let mut numbers = Numbers(3);
    for index in 0..100 {
        let accrue = basket(&mut numbers, index, NOON);
        let quoted = ledger.edge().quote(&accrue);
        let decided = ledger.edge().accrue(&accrue);
        assert_eq!(quoted.decision, decided.decision, "basket {index}");
        assert_eq!(quoted.position, None);
    }
    assert_intact(&store, ledger.stop().digest);
}
