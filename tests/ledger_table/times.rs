//! Receipt times, posting times, deadlines, and the versions that they pick.
//!
//! What must stay true: the receipt's time picks the version, and the order of posting decides.

use crate::language::*;
use crate::support::edge::Accrue;
use crate::support::{Ledger, NS_PER_DAY, NS_PER_SECOND, Setup, assert_intact, programs};
use tallystick::clock::Clock;
use tallystick::ledger::types::TimestampNs;

const OF_MEMBERS: &str = "[[caps]]\nname = \"daily-of-each\"\nmeasure = \"units\"\nsubject = \"member\"\n\
                          window = \"day\"\nlimit = 20\n";

const OF_A_STORE: &str =
    "[[caps]]\nname = \"store-units\"\nmeasure = \"units\"\nsubject = \"store\"\nwindow = \"day\"\nlimit = 25\n";

tables! {
    a_receipt_is_late_after_thirty_days_and_early_after_five_minutes(Setup::default(), [plain()]) "
        accrue m1 100 printed=-30d                      -> 1
        accrue m1 100 printed=-2592001s                 -> refused ReceiptTooOld
        accrue m1 100 printed=300s                      -> 1
        accrue m1 100 printed=301s                      -> refused ReceiptInFuture
        balance m1                                      -> 2
    "

    limits_on_time_are_the_programmes(
        Setup::default(),
        [("first", programs::program("late_limit_days = 0\nfuture_skew_seconds = 0", "", ""))]
    ) "
        accrue m1 100                                   -> 1
        accrue m1 100 printed=-1ns                      -> refused ReceiptTooOld
        accrue m1 100 printed=1ns                       -> refused ReceiptInFuture
    "

    nothing_is_decided_before_the_first_version(Setup::default(), []) "
        accrue m1 100                                   -> refused ProgramNotInForce
        balance m1                                      -> unknown
    "

    a_version_judges_from_its_time_on(
        Setup::default(),
        [plain(), ("double", plain().1.replacen("units = 1", "units = 2", 1)), ("plain-again", plain().1)]
    ) "
        publish double in 2h                            -> published
        accrue m1 100                                   -> 1
        clock +2h                                       -> moved
        accrue m1 100                                   -> 2
        accrue m1 100 printed=-1ns                      -> 1
        publish plain-again in 1h                       -> published
        accrue m1 100                                   -> 2
        clock +1h                                       -> moved
        accrue m1 100                                   -> 1
        accrue m1 100 printed=-1h                       -> 2
    "

    a_limit_that_is_lowered_forgets_nothing_that_older_receipts_need(
        Setup::default(), [with("", DAILY), ("short", programs::program("late_limit_days = 1", "", DAILY))]
    ) "
        publish short in 2h                             -> published
        clock +3h                                       -> moved
        accrue m1 2000                                  -> 20
        clock +5d                                       -> moved
        accrue m1 100                                   -> 1
        # Printed an hour before the new limit held: that day has no room left.
        accrue m1 500 printed=-122h                     -> 0 of 5: daily -5
        accrue m1 500 printed=-118h                     -> refused ReceiptTooOld
        clock +25d                                      -> moved
        accrue m1 500 printed=-722h                     -> refused ReceiptTooOld
    "

    what_members_earned_is_not_forgotten_either(
        Setup::default(), [with("", OF_MEMBERS), ("short", programs::program("late_limit_days = 0", "", OF_MEMBERS))]
    ) "
        publish short in 2h                             -> published
        clock +3h                                       -> moved
        accrue m1 2000 member=anna                      -> 20
        clock +5d                                       -> moved
        accrue m1 100 member=anna                       -> 1
        accrue m1 500 member=anna printed=-122h         -> 0 of 5: daily-of-each -5
        accrue m1 500 member=ben printed=-122h          -> 5
    "

    posting_time_comes_from_the_input(
        Setup { clock_is_input: true, shard_count: 1, ..Setup::default() }, [plain()]
    ) "
        accrue m1 100                                   -> 1
        accrue m1 100 stamped=-1s printed=-1s           -> refused PostingTimeRegressed
        accrue m1 100 stamped=+1h printed=+1h           -> 1
        accrue m1 100                                   -> refused PostingTimeRegressed
        clock +2h                                       -> moved
        accrue m1 100                                   -> 1
    "

    a_deadline_that_has_passed_consumes_nothing(Setup::default(), [plain()]) "
        accrue m1 100 id=a deadline=0s                  -> refused DeadlineExpired
        accrue m1 100 id=a deadline=1s                  -> 1
        accrue m1 100 id=a deadline=0s                  -> again 1
    "
}

/// A snapshot forgets shared cells too, and none that a receipt of an earlier version can still fall under.
#[test]
fn a_limit_that_is_lowered_leaves_shared_cells_as_they_are() {
    let cap = OF_A_STORE;
    let hour_ns = 3_600 * NS_PER_SECOND;
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&with("", cap).1);
    let lowered = TimestampNs(ledger.clock.now().0 + 2 * hour_ns);
    ledger.publish(&programs::program("late_limit_days = 1", "", cap), lowered);
    ledger.clock.advance(3 * hour_ns);
    assert_eq!(ledger.edge().accrue(&Accrue::simple("m1", "a", 2_500)).granted(), 25, "the new version counts it");
    let snapshot_after = |days: i64| {
        ledger.clock.advance(days * NS_PER_DAY);
        assert_eq!(ledger.edge().accrue(&Accrue::simple("m2", &format!("d{days}"), 100)).granted(), 1);
        // The clock has to stand for a while before anything is forgotten by it.
        ledger.clock.advance(hour_ns);
        ledger.engine.snapshot().expect("the ledger runs");
        ledger.clock.advance(hour_ns);
        ledger.engine.snapshot().expect("the ledger runs");
    };
    snapshot_after(10);
    let late =
        |id: &str| Accrue { receipt_at: Some(TimestampNs(lowered.0 - hour_ns)), ..Accrue::simple("m3", id, 500) };
    assert_eq!(ledger.edge().accrue(&late("b")).granted(), 0, "nothing is granted twice");
    snapshot_after(40);
    let cells = ledger.engine.shared.cells.copy();
    assert_eq!(cells.len(), 1, "once no such receipt can come, windows are kept by the new limit: {cells:?}");
    assert_intact(&store, ledger.stop().digest);
}

/// What a snapshot forgets is what no later command can fall under: the time of records says so, not a clock that goes on
/// while nothing is bought.
#[test]
fn an_idle_ledger_forgets_what_its_records_leave_behind_and_no_more() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&with("", OF_A_STORE).1);
    assert_eq!(ledger.edge().accrue(&Accrue::simple("m1", "a", 2_500)).granted(), 25);
    ledger.clock.advance(40 * NS_PER_DAY);
    ledger.engine.snapshot().expect("the ledger runs");
    assert_eq!(ledger.engine.shared.cells.copy().len(), 1, "nothing was posted since");
    let clock = ledger.clock.clone();
    assert_intact(&store, ledger.stop().digest);
    let ledger = Ledger::start(std::sync::Arc::new(store.clone()), Setup::default(), clock);
    ledger.engine.snapshot().expect("the ledger runs");
    assert_eq!(ledger.engine.shared.cells.copy().len(), 1, "nor after a start");
    assert_eq!(ledger.edge().accrue(&Accrue::simple("m1", "b", 100)).granted(), 1);
    ledger.clock.advance(3_600 * NS_PER_SECOND);
    ledger.engine.snapshot().expect("the ledger runs");
    assert_eq!(ledger.engine.shared.cells.copy().len(), 1, "the new window alone");
    assert_intact(&store, ledger.stop().digest);
}

/// A machine whose clock runs far ahead, and is set right before anything is posted, has lost nothing.
#[test]
fn a_clock_that_ran_ahead_frees_no_cap() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&with("", OF_A_STORE).1);
    assert_eq!(ledger.edge().accrue(&Accrue::simple("m1", "a", 2_500)).granted(), 25);
    ledger.clock.advance(60 * NS_PER_DAY);
    ledger.engine.snapshot().expect("the ledger runs");
    ledger.clock.advance(-60 * NS_PER_DAY);
    assert_eq!(ledger.edge().accrue(&Accrue::simple("m2", "b", 500)).granted(), 0, "the store's day is full");
    assert_intact(&store, ledger.stop().digest);
}
