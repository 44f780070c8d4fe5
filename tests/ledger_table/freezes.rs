//! Freezes: what is refused while an account, a terminal or a cashier is frozen, and what goes on.
//!
//! What must stay true: a freeze takes effect at once and ends at once; what was answered before is answered the same;
//! a refusal is on record, and frees its receipt; nobody is taken far ahead of the clock by it.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tallystick::clock::Clock;
use tallystick::ledger::command::{CommandKind, Redemption, SettingAside};
use tallystick::ledger::decision::Refusal;
use tallystick::ledger::freeze::Subject;
use tallystick::ledger::types::{TimestampNs, WalletId};
use tallystick::shard::freezing::FreezeDraft;

use crate::language::*;
use crate::support::edge::Accrue;
use crate::support::{Ledger, NOON, NS_PER_DAY, NS_PER_SECOND, Setup, assert_intact};

const REVIEWS: &str = "[[bonuses]]\nname = \"review\"\nunits = 30\non = { activity = \"review\" }\n";

tables! {
    a_frozen_account_neither_earns_nor_burns(Setup::default(), [with("", REVIEWS)]) "
        accrue m1 1000 id=a receipt=R1                  -> 10
        freeze account:m1                               -> frozen
        freeze account:m1                               -> it is frozen already
        accrue m1 500 id=b receipt=R2                   -> refused AccountFrozen
        act m1 review                                   -> refused AccountFrozen
        redeem m1 1 id=x                                -> refused AccountFrozen
        # First answers stand, and so does a refusal.
        accrue m1 1000 id=a receipt=R1                  -> again 10
        accrue m1 500 id=b receipt=R2                   -> again refused AccountFrozen
        # Of another partner too; other accounts go on.
        accrue m1 500 by=south                          -> refused AccountFrozen
        accrue m2 500                                   -> 5
        # What only takes back, what operators decide and what is known of the account goes on.
        adjust m1 -2                                    -> -2
        enrol m1 +gold                                  -> joined gold
        load m1 7                                       -> 7
        reverse a                                       -> -10
        balance m1                                      -> 5
        thaw account:m1                                 -> thawed
        thaw account:m1                                 -> it is not frozen
        # The same id repeats the refusal; the receipt is free for another.
        accrue m1 500 id=b receipt=R2                   -> again refused AccountFrozen
        accrue m1 500 id=c receipt=R2                   -> 5
        redeem m1 10                                    -> -10
        ends m1                                         -> redeemed 10 expired 0 refused 1
    "

    a_frozen_terminal_or_cashier_is_one_of_its_partner(Setup::default(), [plain()]) "
        accrue m1 100 store=S1 terminal=L1 cashier=C1   -> 1
        freeze till:S1/L1                               -> frozen
        accrue m1 100 store=S1 terminal=L1 cashier=C1   -> refused TerminalFrozen
        accrue m1 100 store=S1 terminal=L2 cashier=C1   -> 1
        accrue m1 100 store=S2 terminal=L1 cashier=C1   -> 1
        accrue m1 100 store=S1 terminal=L1 by=south     -> 1
        accrue m1 100 store=S1                          -> 1
        freeze cashier:C1                               -> frozen
        accrue m1 100 store=S2 terminal=L9 cashier=C1   -> refused CashierFrozen
        accrue m1 100 store=S2 cashier=C1 by=south      -> 1
        # The terminal goes before the cashier, the account before both.
        accrue m1 100 store=S1 terminal=L1 cashier=C1   -> refused TerminalFrozen
        freeze account:m1                               -> frozen
        accrue m1 100 store=S1 terminal=L1 cashier=C1   -> refused AccountFrozen
        # What would open an account opens none, and is not on record.
        accrue m9 100 store=S1 terminal=L1 id=n         -> refused TerminalFrozen
        balance m9                                      -> unknown
        thaw till:S1/L1                                 -> thawed
        accrue m9 100 store=S1 terminal=L1 id=n         -> 1
        thaw cashier:C1                                 -> thawed
        accrue m9 100 store=S1 terminal=L1 cashier=C1   -> 1
    "

    a_freeze_holds_although_the_clock_goes_back(Setup::default(), [plain()]) "
        accrue m1 100                                   -> 1
        clock +2d                                       -> moved
        freeze account:m1                               -> frozen
        clock -1d                                       -> moved
        accrue m1 100                                   -> refused AccountFrozen
        accrue m2 100                                   -> 1
        thaw account:m1                                 -> thawed
        accrue m1 100                                   -> 1
    "

    a_freeze_comes_before_the_age_of_a_receipt(Setup::default(), [plain()]) "
        accrue m1 100                                   -> 1
        freeze account:m1                               -> frozen
        accrue m1 100 printed=-40d                      -> refused AccountFrozen
        accrue m2 100 printed=-40d                      -> refused ReceiptTooOld
    "

    a_freeze_takes_nobody_days_ahead(Setup::default(), [plain()]) "
        accrue m1 100                                   -> 1
        accrue m2 100                                   -> 1
        accrue m3 100                                   -> 1
        accrue m4 100                                   -> 1
        # The clock is wrong for a moment, and one is posted by it.
        clock +2d                                       -> moved
        accrue m5 100                                   -> 1
        clock -2d                                       -> moved
        freeze account:m1                               -> something was posted at 2017-03-03T12:00:00Z, over an hour ahead of the clock, and everybody would have to follow
        freeze till:S1/L1                               -> something was posted at 2017-03-03T12:00:00Z, over an hour ahead of the clock, and everybody would have to follow
        # What changes nothing is said first.
        thaw account:m1                                 -> it is not frozen
        accrue m1 100                                   -> 1
        clock +47h                                      -> moved
        freeze account:m1                               -> something was posted at 2017-03-03T12:00:00Z, over an hour ahead of the clock, and everybody would have to follow
        # Less than an hour is nothing.
        clock +1m                                       -> moved
        freeze account:m1                               -> frozen
        accrue m1 100                                   -> refused AccountFrozen
        accrue m2 100                                   -> 1
        # And a thaw takes nobody further than the freeze did.
        clock -47h                                      -> moved
        thaw account:m1                                 -> thawed
        accrue m1 100                                   -> 1
    "

    a_freeze_goes_where_everybody_is_already(Setup::default(), [plain()]) "
        accrue m1 100                                   -> 1
        accrue m2 100                                   -> 1
        clock +2d                                       -> moved
        accrue m1 100                                   -> 1
        accrue m2 100                                   -> 1
        clock -2d                                       -> moved
        freeze account:m1                               -> frozen
        accrue m1 100                                   -> refused AccountFrozen
        accrue m2 100                                   -> 1
    "

    a_freeze_follows_what_was_posted_and_not_what_was_stamped(
        Setup { clock_is_input: true, shard_count: 1, ..Setup::default() }, [plain()]
    ) "
        accrue m1 100                                   -> 1
        accrue m1 100 stamped=+9d deadline=0s           -> refused DeadlineExpired
        freeze account:m1                               -> frozen
        clock +1s                                       -> moved
        accrue m1 100                                   -> refused AccountFrozen
        accrue m2 100                                   -> 1
        thaw account:m1                                 -> thawed
        clock +1s                                       -> moved
        accrue m1 100                                   -> 1
        # One that was posted is a different matter: time has come there.
        accrue m2 100 stamped=+9d                       -> 1
        freeze account:m1                               -> frozen
        accrue m1 100 stamped=+9d                       -> 1
        accrue m1 100 stamped=+10d                      -> refused AccountFrozen
    "
}

fn change(ledger: &Ledger, account: &str, freezes: bool) {
    let draft = FreezeDraft {
        subject: Subject::Account(account.into()),
        freezes,
        by: "desk".into(),
        reason_code: "test".into(),
        note: Box::default(),
        alone: true,
    };
    ledger.engine.change_freezes(draft, None).expect("it fits");
}

/// A clock that ran ahead for a moment has stamped what was never posted: a freeze takes nobody there.
#[test]
fn what_was_stamped_ahead_and_never_posted_takes_nobody_along() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&plain().1);
    let edge = ledger.edge();
    assert_eq!(edge.accrue(&Accrue::simple("m1", "a", 100)).granted(), 1);
    ledger.clock.set(TimestampNs(NOON.0 + 2 * NS_PER_DAY));
    let late = Accrue { deadline_ns: Some(ledger.clock.monotonic_ns()), ..Accrue::simple("m1", "late", 100) };
    assert_eq!(edge.accrue(&late).refusal(), Some(Refusal::DeadlineExpired));
    ledger.clock.set(NOON);
    change(&ledger, "m1", true);
    assert_eq!(edge.accrue(&Accrue::simple("m1", "b", 100)).refusal(), Some(Refusal::AccountFrozen));
    let other = edge.accrue(&Accrue::simple("m2", "c", 100));
    assert_eq!(other.granted(), 1);
    assert!(other.posted_at.0 < NOON.0 + NS_PER_SECOND, "{}", other.posted_at);
    assert_intact(&store, ledger.stop().digest);
}

/// What is refused for a freeze is on record with the balance of the wallet that it was about, as for want of points.
#[test]
fn a_refusal_for_a_freeze_is_of_the_wallet_that_was_asked_for() {
    let cash = "[[wallets]]\nname = \"cash\"\nkind = \"money\"\nscale = 2\nbalance_max = 10_000\n\
                top_up_min = 500\ntop_up_max = 5_000\n\n[earn]";
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&plain().1.replacen("[earn]", cash, 1));
    let edge = ledger.edge();
    let redeem = |wallet| CommandKind::Redeem(Redemption { wallet, units: 7, reward: None });
    let authorize = |units| CommandKind::Authorize(SettingAside { wallet: WalletId(1), units, hold_seconds: None });
    assert_eq!(edge.accrue(&Accrue::simple("m1", "a", 1_000)).granted(), 10);
    assert_eq!(edge.top_up("m1", "t", 1, 500).granted(), 500);
    assert_eq!(edge.send("m1", "h", authorize(100)).refusal(), None);
    change(&ledger, "m1", true);
    let of_points = [edge.send("m1", "p", redeem(WalletId(0))), edge.accrue(&Accrue::simple("m1", "b", 100))];
    let of_money = [
        edge.send("m1", "r", redeem(WalletId(1))),
        edge.send("m1", "s", authorize(7)),
        edge.end("c", "h", Some((7, false))),
        edge.top_up("m1", "u", 1, 500),
        edge.refund("v", "t", Some(7)),
    ];
    let of_points = of_points.iter().map(|answer| (answer, (WalletId(0), 10)));
    for (answer, expected) in of_points.chain(of_money.iter().map(|answer| (answer, (WalletId(1), 500)))) {
        assert_eq!(answer.refusal(), Some(Refusal::AccountFrozen), "{answer:?}");
        assert_eq!((answer.decision.wallet, answer.decision.balance_after), expected, "{answer:?}");
    }
    assert_intact(&store, ledger.stop().digest);
}

/// Tells the threads of a test to stop, also when the test has failed.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Two tills send baskets with later and later stamps, as an import does, while their account is frozen and thawed. Verification
/// decides them all again: on which side of a change one falls follows from its posting time alone.
#[test]
fn nothing_that_is_on_its_way_escapes_a_freeze() {
    let (ledger, store) = Ledger::new(Setup { clock_is_input: true, ..Setup::default() });
    let ledger = ledger.with_program(&plain().1);
    let (stamps, is_over) = (AtomicI64::new(NOON.0), AtomicBool::new(false));
    let basket = |id: &str| {
        let stamp = Some(TimestampNs(stamps.fetch_add(1_000, Ordering::SeqCst)));
        Accrue { stamp, ..Accrue::simple("m1", id, 100) }
    };
    assert_eq!(ledger.edge().accrue(&basket("first")).granted(), 1);
    std::thread::scope(|scope| {
        for till in 0..2 {
            let (ledger, basket, is_over) = (&ledger, &basket, &is_over);
            scope.spawn(move || {
                let edge = ledger.edge();
                for number in (0..10_000).take_while(|_| !is_over.load(Ordering::SeqCst)) {
                    edge.accrue(&basket(&format!("t-{till}-{number}")));
                }
            });
        }
        let (edge, _stop) = (ledger.edge(), StopAtEnd(&is_over));
        for round in 0..200 {
            let freezes = round % 2 == 0;
            change(&ledger, "m1", freezes);
            // Where a till came first with a later stamp, once more.
            let mut answers = (0..).map(|turn| edge.accrue(&basket(&format!("r-{round}-{turn}"))).refusal());
            let answer = answers.find(|refusal| *refusal != Some(Refusal::PostingTimeRegressed));
            assert_eq!(answer, Some(freezes.then_some(Refusal::AccountFrozen)), "round {round}");
        }
    });
    let report = assert_intact(&store, ledger.stop().digest);
    assert_eq!(report.records.freezes, 200);
}
