//! What the ledger decides, as tables: one command a line, and what comes of it.
//!
//! A table is a programme and lines of the form `COMMAND -> OUTCOME`. Each table runs on an engine of its own, through
//! the ids, the workers, the journal and back; when it ends, its journal is verified from empty. Commands:
//!
//! ```text
//! accrue ACCOUNT [AMOUNT | AMOUNTxQUANTITY | DEPARTMENT:AMOUNT | DEPARTMENT/BRAND:AMOUNT]... [id=T] [receipt=R] [store=S] [terminal=L]
//!        [cashier=C] [member=M] [by=PARTNER] [printed=-3d] [uses=ID,ID.1]   what was granted, and why not more
//! quote  ...                               as accrue, without a trace
//! reverse ID [LINExQUANTITY | LINE@AMOUNT]... [id=T] [by=PARTNER]   what was taken back, of the lines or of all that is left
//! reverse ID [UNITS]                      what comes back of a redemption or a capture, of so many units or of all that are left
//! reverse ID rewards=2                     the same of a redemption for rewards
//! take ACCOUNT REWARD [COUNT] [points=9]   a redemption for a reward
//! redeem ACCOUNT UNITS [id=T] [by=PARTNER] [wallet=1]
//! authorize ACCOUNT UNITS [id=T] [by=PARTNER] [wallet=1] [hold=20m]   what is set aside, and for how long
//! capture ID UNITS [final] | void ID       what is burned of an authorization, and what is left of it or back
//! topup ACCOUNT UNITS [id=T] [by=PARTNER] [wallet=1] [source=S] [store=S] [terminal=L]   what was paid in
//! refund ID [UNITS] [id=T]                 what went back of a top-up, and what more could
//! cash ACCOUNT                             the balance of the second wallet, and its lots
//! aside ACCOUNT | available ACCOUNT        what is set aside; what can be spent
//! act ACCOUNT KIND [printed=-3d] ...       what was granted for an activity
//! enrol ACCOUNT +SEGMENT -SEGMENT born=02-29 ...  which segments changed, or which birthday
//! link ACCOUNT KIND:VALUE | unlink ACCOUNT KIND:VALUE   whether it points to the account from now on
//! who KIND:VALUE                           the account that it points to
//! load ACCOUNT UNITS[/ISSUER][@2d] ...     an opening balance, lot by lot
//! release ID | reject ID [id=T]            what is held of a transaction, decided by an operator
//! restore ACCOUNT ID until=+5d [by=PARTNER]  what died with a transaction
//! adjust ACCOUNT UNITS [until=+5d] [wallet=1]   a correction
//! freeze SUBJECT | thaw SUBJECT           of north: account:ID, till:STORE/TERMINAL or cashier:ID
//! issue ACCOUNT VOUCHER [id=T] | cancel ACCOUNT ID[.1] [id=T]   a voucher by hand; one that a transaction gave
//! vouchers ACCOUNT                         its vouchers, and for how long each is good
//! cards ACCOUNT                            what is on its stamp cards, of how many
//! held ACCOUNT                             what waits for an operator
//! owed ACCOUNT                             what it owes to later earnings
//! balance ACCOUNT | totals ACCOUNT         what the account holds; its lifetime totals
//! lots ACCOUNT | ends ACCOUNT              what is alive, lot by lot; what was spent, died and was refused
//! counter ACCOUNT NAME [printed=-3d]       a cap's or metric's counter in the period of that day
//! used NAME                                what a budget has granted, or how many places are taken
//! clock +1d                                moves the clock
//! publish NAME in 2h                       publishes the table's next programme
//! ```
//!
//! The files of this folder hold the tables by theme.
//!
//! What must stay true: every [`Refusal`] is reached by a table or a scenario here; the last test fails if one is not.

#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod budgets;
mod caps;
mod catalogue;
mod earning;
mod forgotten;
mod freezes;
mod holds;
mod identifiers;
mod language;
mod members;
mod money;
mod once;
mod operator;
mod partners;
mod profiles;
mod refunds;
mod rewards;
mod rule_caps;
mod shared;
mod spending;
mod stamps;
mod steps;
mod times;
mod unburns;
mod vouchers;

use language::{Reached, Table, check, plain};
use support::edge::{Accrue, Pending};
use support::watched::GatedStore;
use support::{Ledger, Setup, assert_intact};
use tallystick::ledger::decision::{Refusal, RetryAdvice};

fn all_tables() -> Vec<Table> {
    let themes = [
        accounts::all_tables,
        budgets::all_tables,
        caps::all_tables,
        catalogue::all_tables,
        earning::all_tables,
        freezes::all_tables,
        holds::all_tables,
        identifiers::all_tables,
        members::all_tables,
        money::all_tables,
        once::all_tables,
        operator::all_tables,
        partners::all_tables,
        profiles::all_tables,
        refunds::all_tables,
        rewards::all_tables,
        rule_caps::all_tables,
        shared::all_tables,
        spending::all_tables,
        stamps::all_tables,
        times::all_tables,
        unburns::all_tables,
        vouchers::all_tables,
    ];
    themes.iter().flat_map(|tables| tables()).collect()
}

/// While the disk stands still, the queue fills and the ledger refuses; what it took, it answers. Once it stops, it
/// takes nothing more.
fn overload_and_stop() -> Reached {
    let (disk, store) = GatedStore::new();
    let setup = Setup { worker_count: 1, queue_depth: 4, ..Setup::default() };
    let ledger = Ledger::on(store.clone(), setup).with_program(&plain().1);
    let edge = ledger.edge();
    store.close();
    let mut taken = Vec::new();
    let mut reached = Reached::new();
    while reached.is_empty() {
        let id = format!("t-{}", taken.len());
        match edge.begin_accrue(&Accrue::simple("m1", &id, 100)) {
            Pending::Done(answer) => reached.extend(answer.refusal()),
            waiting @ Pending::Waiting(_) => taken.push(waiting),
        }
        assert!(taken.len() < 100_000, "the queue is bounded");
    }
    store.open();
    let taken_count = taken.len() as u64;
    assert!(taken.into_iter().all(|answer| answer.wait().is_some_and(|answer| answer.granted() == 1)));
    // The same command with the same id is welcome again.
    assert_eq!(edge.accrue(&Accrue::simple("m1", &format!("t-{taken_count}"), 100)).granted(), 1);
    let stopped = ledger.stop();
    let refused = edge.accrue(&Accrue::simple("m1", "after", 100));
    reached.extend(refused.refusal());
    let report = assert_intact(&disk, stopped.digest);
    assert_eq!(report.records.accruals, taken_count + 1);
    reached
}

#[test]
fn a_full_queue_refuses_at_once_and_a_stopped_ledger_too() {
    assert_eq!(overload_and_stop(), Reached::from([Refusal::Overloaded, Refusal::ShuttingDown]));
}

/// An account stays in its variant, and accounts are spread over them.
#[test]
fn an_account_stays_in_its_variant_of_an_experiment() {
    let experiment = "[[experiments]]\nname = \"trial\"\n\
                      variants = [{ name = \"a\", percent = 50 }, { name = \"b\", percent = 50 }]\n\
                      [[bonuses]]\nname = \"of-a\"\nunits = 3\nwhen = { experiment = [\"trial.a\"] }\n\
                      [[bonuses]]\nname = \"of-b\"\nunits = 5\nwhen = { experiment = [\"trial.b\"] }\n";
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&language::with("", experiment).1);
    let mut members_of = [0, 0];
    for member in 0..40 {
        let account = format!("m{member}");
        let basket = |number: i32| Accrue::simple(&account, &format!("{account}-{number}"), 0);
        // Opens the account, which has no id of its own before; then finds it there.
        let quoted = ledger.edge().quote(&basket(0));
        let answers = [0, 1].map(|number| ledger.edge().accrue(&basket(number)));
        let variant = answers[0].decision.variants.clone();
        assert!(answers.iter().chain([&quoted]).all(|answer| answer.decision.variants == variant), "{account}");
        assert!(answers.iter().all(|answer| answer.granted() == [3, 5][usize::from(variant[0])]), "{account}");
        members_of[usize::from(variant[0])] += 1;
    }
    assert!(members_of.iter().all(|count| *count > 5), "{members_of:?}");
    assert_intact(&store, ledger.stop().digest);
}

/// What is held is in the snapshot, and in the journal behind it.
#[test]
fn what_is_held_outlives_a_snapshot_and_a_restart() {
    let watch = "[[caps]]\nname = \"watch\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 5\nover = \"hold\"\n";
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&language::with("expiry = { after_days = 2 }", watch).1);
    let edge = ledger.edge();
    for (id, units) in [("a", 9), ("b", 8), ("c", 7)] {
        assert_eq!(edge.accrue(&Accrue::simple("m1", id, units * 100)).granted(), units);
    }
    ledger.engine.snapshot().expect("the ledger runs");
    assert_eq!(edge.review("r", "a", true).refusal(), None);
    assert_eq!(edge.accrue(&Accrue::simple("m2", "d", 600)).granted(), 6);
    let clock = ledger.clock.clone();
    assert_intact(&store, ledger.stop().digest);
    let ledger = Ledger::start(std::sync::Arc::new(store.clone()), Setup::default(), clock);
    let held = |account: &str| {
        let view = ledger.edge().account(account).expect("it is there");
        view.account.held().iter().map(|one| one.units).collect::<Vec<_>>()
    };
    assert_eq!((held("m1"), held("m2")), (vec![8, 7], vec![6]));
    assert_eq!(ledger.edge().review("r2", "a", true).refusal(), Some(Refusal::AlreadyReviewed));
    assert_eq!(ledger.edge().review("j", "b", false).granted(), -8);
    assert_eq!(ledger.edge().reverse("v", "d").granted(), -6);
    assert_eq!((held("m1"), held("m2")), (vec![7], vec![]));
    assert_intact(&store, ledger.stop().digest);
}

#[test]
fn an_account_waits_for_a_bounded_number_of_reviews() {
    let watch = "[[caps]]\nname = \"watch\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 0\nover = \"hold\"\n";
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&language::with("", watch).1);
    let edge = ledger.edge();
    for index in 0..tallystick::limits::HELD_TRANSACTIONS_MAX {
        assert_eq!(edge.accrue(&Accrue::simple("m1", &format!("t{index}"), 100)).granted(), 1);
    }
    let beyond = edge.accrue(&Accrue::simple("m1", "beyond", 100));
    assert_eq!(beyond.refusal(), Some(Refusal::AccountLimitReached));
    assert_eq!(edge.review("r", "t7", true).refusal(), None);
    assert_eq!(edge.accrue(&Accrue::simple("m1", "next", 100)).granted(), 1);
    assert_intact(&store, ledger.stop().digest);
}

#[test]
fn every_refusal_is_reached() {
    let mut reached: Reached = all_tables().iter().flat_map(check).collect();
    reached.extend(overload_and_stop());
    reached.extend(refunds::in_many_parts());
    // A credential's, and the tables have none: `tests/access/names.rs`.
    reached.insert(Refusal::NameRateExceeded);
    let missing: Vec<_> = Refusal::ALL.into_iter().filter(|refusal| !reached.contains(refusal)).collect();
    assert_eq!(missing, [], "no row reaches these");
}

#[test]
fn what_a_caller_does_about_a_refusal_fits_what_it_consumed() {
    for refusal in Refusal::ALL {
        if refusal.retry() == RetryAdvice::SameId {
            assert!(!refusal.is_journaled(), "{refusal:?}: the same id would get the same refusal for ever");
        }
    }
}
