//! Vouchers: given by bonuses and by hand, used once, over by time, given back and cancelled by what comes back.
//!
//! What must stay true: a voucher ends once: used, cancelled or over; a quote uses none; what a till is told says why one is
//! not taken.

use crate::language::*;
use crate::support::edge::{Accrue, Answer, Edge};
use crate::support::{Ledger, NS_PER_DAY, NS_PER_SECOND, Setup, assert_intact};
use proptest::prelude::*;
use tallystick::clock::Clock;
use tallystick::ledger::account::Account;
use tallystick::ledger::command::CommandKind;
use tallystick::ledger::decision::{Decision, Refusal};
use tallystick::ledger::operator::OperatorOrder;
use tallystick::ledger::types::{SymbolId, TimestampNs};
use tallystick::ledger::voucher::{Voucher, VoucherChange, VoucherCode, VoucherState};
use tallystick::limits;

/// `a`, or `a.1` for the second voucher of a transaction; of north unless another partner gave it.
pub fn code(edge: &Edge<'_>, word: &str) -> VoucherCode {
    let (word, partner) = match word.split_once('/') {
        Some((word, partner)) => (word, edge.symbol(partner).expect("there is room for a name")),
        None => (word, edge.symbol("north").expect("there is room for a name")),
    };
    let (id, number) = word.split_once('.').unwrap_or((word, "0"));
    VoucherCode::of(partner, id, number.parse().expect("a number"))
}

/// The codes that `uses=a,b.1` names, as a command has them.
pub fn codes(edge: &Edge<'_>, words: Option<&&str>) -> Vec<VoucherCode> {
    let words = words.map_or("", |words| *words);
    let mut codes: Vec<_> = words.split(',').filter(|word| !word.is_empty()).map(|word| code(edge, word)).collect();
    codes.sort_unstable();
    codes
}

/// `issue ACCOUNT NAME` or `cancel ACCOUNT ID`.
pub fn operate(edge: &Edge<'_>, verb: &str, account: &str, what: &str, id: &str) -> Answer {
    let order = match verb {
        "issue" => OperatorOrder::IssueVoucher(edge.symbol(what).expect("there is room for a name")),
        _ => OperatorOrder::CancelVoucher(code(edge, what)),
    };
    edge.operate(id, account, order)
}

/// `, used 1, gave coffee, cancelled 1`: what becomes of vouchers.
pub fn told(decision: &Decision, name: impl Fn(SymbolId) -> String) -> String {
    let count = |fits: fn(&VoucherChange) -> bool, verb: &str| {
        let count = decision.effects.vouchers.iter().filter(|(_, change)| fits(change)).count();
        if count == 0 { String::new() } else { format!(", {verb} {count}") }
    };
    let given = decision.effects.vouchers.iter().filter_map(|(_, change)| match change {
        VoucherChange::Given(terms) => Some(format!(", gave {}", name(terms.kind))),
        _ => None,
    });
    [
        count(|change| matches!(change, VoucherChange::Used(_)), "used"),
        given.collect(),
        count(|change| *change == VoucherChange::Cancelled, "cancelled"),
        count(|change| *change == VoucherChange::Kept, "kept"),
        count(|change| *change == VoucherChange::GivenBack, "gave back"),
    ]
    .concat()
}

/// `coffee 36h, mug used, coffee from 12h`: what an account has, in the order of the words.
pub fn listed(account: &Account, at: TimestampNs, name: impl Fn(SymbolId) -> String) -> String {
    let hours = |until: TimestampNs| (until.0 - at.0) / (3_600 * NS_PER_SECOND);
    let show = |voucher: &Voucher| {
        let kind = name(voucher.terms.kind);
        match voucher.state {
            VoucherState::Used(_) => format!("{kind} used"),
            VoucherState::Cancelled => format!("{kind} cancelled"),
            VoucherState::Open if at >= voucher.terms.ends_at => format!("{kind} over"),
            VoucherState::Open if at < voucher.terms.starts_at => {
                format!("{kind} from {}h to {}h", hours(voucher.terms.starts_at), hours(voucher.terms.ends_at))
            }
            VoucherState::Open => format!("{kind} {}h", hours(voucher.terms.ends_at)),
        }
    };
    let mut shown: Vec<_> = account.vouchers().iter().filter(|voucher| voucher.is_kept(at)).map(show).collect();
    shown.sort_unstable();
    shown.join(", ")
}

/// A coffee for a basket of 10.00, good until the end of the next day; a mug for a large one, from the next day on.
const VOUCHERS: &str = r#"
[[vouchers]]
name = "coffee"
text = "a free coffee"
valid_days = 1

[[vouchers]]
name = "mug"
value_minor = 300
starts = "next-day"
valid_hours = 24
basket_minor_min = 500

[[bonuses]]
name = "next-coffee"
voucher = "coffee"
when = { eligible_minor_min = 1000 }

[[bonuses]]
name = "next-mug"
units = 2
voucher = "mug"
when = { eligible_minor_min = 5000 }

[[bonuses]]
name = "review"
voucher = "coffee"
on = { activity = "review" }
limit = { times = 1, per = "lifetime" }
"#;
/// A coffee once in a life, and one for the first basket of all.
const WELCOME: &str = "[[vouchers]]\nname = \"coffee\"\nvalue_minor = 300\nvalid_days = 1\n\n\
                       [[bonuses]]\nname = \"welcome\"\nunits = 5\nvoucher = \"coffee\"\n\
                       when = { eligible_minor_min = 1000 }\nlimit = { times = 1, per = \"lifetime\" }\n";
const FIRST: &str = "[[vouchers]]\nname = \"coffee\"\nvalue_minor = 300\nvalid_days = 1\n\n\
                     [[bonuses]]\nname = \"first\"\nvoucher = \"coffee\"\n\
                     when = { eligible_minor_min = 1000 }\nplaces = 1\n";
const WATCH: &str = "[[caps]]\nname = \"watch\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 9\nover = \"hold\"\n";

/// A bonus of this name that gives nothing but a coffee.
fn coffee_alone(name: &str, bound: &str) -> String {
    format!(
        "[[vouchers]]\nname = \"coffee\"\nvalue_minor = 300\nvalid_days = 1\n\n\
         [[bonuses]]\nname = \"{name}\"\nvoucher = \"coffee\"\nwhen = {{ eligible_minor_min = 500 }}\n{bound}\n"
    )
}

/// Once in a life.
fn once() -> String {
    coffee_alone("once", "limit = { times = 1, per = \"lifetime\" }")
}

/// For the first account of all.
fn first_of_all() -> String {
    coffee_alone("first", "places = 1")
}

fn vouchers() -> (&'static str, String) {
    with("", VOUCHERS)
}

tables! {
    a_voucher_is_given_with_a_basket_and_used_once(Setup::default(), [vouchers()]) "
        accrue m1 999                                   -> 9
        vouchers m1                                     ->
        accrue m1 1000 id=a                             -> 10 (next-coffee 0), gave coffee
        accrue m1 1000 id=a                             -> again 10 (next-coffee 0), gave coffee
        vouchers m1                                     -> coffee 36h
        quote m1 300 uses=a                             -> 3, used 1
        vouchers m1                                     -> coffee 36h
        accrue m1 300 uses=a id=b                       -> 3, used 1
        accrue m1 300 uses=a id=b                       -> again 3, used 1
        accrue m1 300 id=b                              -> refused TransactionIdReused: basket.voucher_codes
        vouchers m1                                     -> coffee used
        quote m1 300 uses=a                             -> refused VoucherUsed
        accrue m1 300 uses=a id=c receipt=R             -> refused VoucherUsed
        # Such a refusal leaves no trace: the till asks again without the voucher.
        accrue m1 300 id=c receipt=R                    -> 3
        accrue m1 300 uses=b                            -> refused VoucherUnknown
        # A code is good in its own account.
        accrue m2 300 uses=a                            -> refused VoucherUnknown
        quote m2 300 uses=a                             -> refused VoucherUnknown
    "

    a_basket_gives_two_and_uses_two_at_once(Setup::default(), [vouchers()]) "
        accrue m1 5000 id=a                             -> 52 (next-coffee 0) (next-mug 2), gave coffee, gave mug
        vouchers m1                                     -> coffee 36h, mug from 12h to 36h
        accrue m1 5000 uses=a.1                         -> refused VoucherNotYetValid
        accrue m1 5000 uses=a.1 printed=5m              -> refused VoucherNotYetValid
        clock +12h                                      -> moved
        accrue m1 499 uses=a,a.1                        -> refused VoucherMinimumNotReached
        vouchers m1                                     -> coffee 24h, mug 24h
        accrue m1 500 uses=a,a.1                        -> 5, used 2
        vouchers m1                                     -> coffee used, mug used
        # One that is used stops the whole basket.
        accrue m1 1000 id=b                             -> 10 (next-coffee 0), gave coffee
        accrue m1 500 uses=a,b                          -> refused VoucherUsed
        vouchers m1                                     -> coffee 48h, coffee used, mug used
    "

    a_voucher_is_over_at_the_end_of_its_last_day(Setup::default(), [vouchers()]) "
        accrue m1 1000 id=a                             -> 10 (next-coffee 0), gave coffee
        accrue m1 1000 id=b                             -> 10 (next-coffee 0), gave coffee
        clock +36h                                      -> moved
        vouchers m1                                     -> coffee over, coffee over
        accrue m1 300 uses=a                            -> refused VoucherExpired
        cancel m1 a                                     -> refused VoucherExpired
        # A till that was offline took it in time.
        accrue m1 300 uses=a printed=-1s                -> 3, used 1
        vouchers m1                                     -> coffee over, coffee used
        # A month later nobody remembers it.
        clock +29d                                      -> moved
        vouchers m1                                     -> coffee over, coffee used
        accrue m1 300 uses=b                            -> refused VoucherExpired
        clock +1d                                       -> moved
        vouchers m1                                     ->
        accrue m1 300 uses=b                            -> refused VoucherUnknown
    "

    an_activity_gives_a_voucher_as_often_as_its_bonus_says(Setup::default(), [vouchers()]) "
        act m1 review id=a                              -> 0 (review 0), gave coffee
        act m1 review                                   -> 0
        accrue m1 300 uses=a                            -> 3, used 1
        reverse a                                       -> refused NotReversible
        vouchers m1                                     -> coffee used
    "

    what_comes_back_whole_takes_its_vouchers_with_it(Setup::default(), [vouchers()]) "
        accrue m1 5000 id=a                             -> 52 (next-coffee 0) (next-mug 2), gave coffee, gave mug
        accrue m1 300 uses=a id=b                       -> 3, used 1
        reverse b                                       -> -3, gave back 1
        vouchers m1                                     -> coffee 36h, mug from 12h to 36h
        accrue m1 400 uses=a id=c                       -> 4, used 1
        # The second time: the basket that had it before has nothing to do with it any more.
        reverse b                                       -> refused AlreadyReversed
        reverse a                                       -> -52, cancelled 1, kept 1
        vouchers m1                                     -> coffee used, mug cancelled
        # What comes back after its end is over.
        clock +36h                                      -> moved
        reverse c                                       -> -4
        vouchers m1                                     -> coffee used, mug cancelled
    "

    a_voucher_whose_giver_is_back_is_not_used_again_when_its_user_is_back(Setup::default(), [vouchers()]) "
        accrue m1 1000 id=a                             -> 10 (next-coffee 0), gave coffee
        accrue m1 300 uses=a id=b                       -> 3, used 1
        reverse a                                       -> -10, kept 1
        clock +1h                                       -> moved
        reverse b                                       -> -3
        vouchers m1                                     -> coffee used
        accrue m1 300 uses=a                            -> refused VoucherUsed
        # The other way round it is cancelled.
        accrue m2 1000 id=c                             -> 10 (next-coffee 0), gave coffee
        accrue m2 300 uses=c id=d                       -> 3, used 1
        reverse d                                       -> -3, gave back 1
        reverse c                                       -> -10, cancelled 1
        vouchers m2                                     -> coffee cancelled
    "

    a_part_that_comes_back_leaves_vouchers_alone_until_nothing_is_left(Setup::default(), [vouchers()]) "
        accrue m1 1000 id=a                             -> 10 (next-coffee 0), gave coffee
        accrue m1 600 400 id=b uses=a                   -> 10 (next-coffee 0), used 1, gave coffee
        reverse b 0x1                                   -> -6
        vouchers m1                                     -> coffee 36h, coffee used
        reverse b 1x1                                   -> -4, cancelled 1, gave back 1
        vouchers m1                                     -> coffee 36h, coffee cancelled
    "

    a_bonus_was_had_as_long_as_its_voucher_is(Setup::default(), [with("", WELCOME)]) "
        # A part takes the units, and no voucher.
        accrue m1 999 1 id=a                            -> 15 (welcome 5), gave coffee
        reverse a 1x1                                   -> -6
        vouchers m1                                     -> coffee 36h
        accrue m1 1000                                  -> 10
        # With the last part it goes unused, and can be had again.
        reverse a                                       -> -9, cancelled 1
        accrue m1 1000 id=b                             -> 15 (welcome 5), gave coffee
        # One that was used, or that an operator cancelled, was had.
        accrue m1 300 uses=b id=c                       -> 3, used 1
        reverse b                                       -> -15, kept 1
        accrue m1 1000                                  -> 10
        reverse c                                       -> -3
        accrue m1 1000                                  -> 10
        accrue m2 1000 id=d                             -> 15 (welcome 5), gave coffee
        cancel m2 d                                     -> 0, cancelled 1
        reverse d                                       -> -15
        accrue m2 1000                                  -> 10
        # One that comes back unused in time is as if it had not been given.
        accrue m3 1000 id=e                             -> 15 (welcome 5), gave coffee
        accrue m3 300 uses=e id=f                       -> 3, used 1
        reverse f                                       -> -3, gave back 1
        reverse e                                       -> -15, cancelled 1
        accrue m3 1000                                  -> 15 (welcome 5), gave coffee
    "

    a_place_is_taken_as_long_as_its_voucher_is(Setup::default(), [with("", FIRST)]) "
        accrue m1 999 1 id=a                            -> 10 (first 0), gave coffee
        accrue m2 1000                                  -> 10
        reverse a 1x1                                   -> -1
        accrue m2 1000                                  -> 10
        reverse a                                       -> -9, cancelled 1
        accrue m2 1000 id=b                             -> 10 (first 0), gave coffee
        accrue m2 300 uses=b                            -> 3, used 1
        reverse b                                       -> -10, kept 1
        accrue m1 1000                                  -> 10
    "

    what_was_not_given_is_not_kept(Setup::default(), [with("", &[WELCOME, WATCH].concat())]) "
        accrue m1 1000 id=a                             -> 15 (welcome 5) held by watch
        reverse a                                       -> -15
        accrue m1 1000 id=b                             -> 15 (welcome 5) held by watch
        reject b                                        -> -15
        accrue m1 1000                                  -> 15 (welcome 5) held by watch
    "

    a_bonus_without_its_voucher_was_not_had(Setup::default(), [with("", &[&once(), WATCH].concat())]) "
        accrue m1 1000 id=a                             -> 10 held by watch
        release a                                       -> released 10
        clock +1d                                       -> moved
        accrue m1 500 id=b                              -> 5 (once 0), gave coffee
        clock +1d                                       -> moved
        accrue m1 500                                   -> 5
        # It went with its basket, and is due again.
        reverse b                                       -> -5, cancelled 1
        accrue m1 400                                   -> 4
        clock +1d                                       -> moved
        accrue m1 500                                   -> 5 (once 0), gave coffee
    "

    a_place_is_not_taken_without_the_voucher_for_it(Setup::default(), [with("", &[&first_of_all(), WATCH].concat())]) "
        accrue m1 1000 id=a                             -> 10 held by watch
        used first                                      -> 0
        reject a                                        -> -10
        accrue m2 500                                   -> 5 (first 0), gave coffee
        used first                                      -> 1
        accrue m3 500                                   -> 5
    "

    an_operator_gives_and_cancels(Setup::default(), [vouchers()]) "
        issue m1 coffee                                 -> refused AccountUnknown
        accrue m1 100                                   -> 1
        issue m1 cake                                   -> refused VoucherUnknown
        issue m1 coffee id=a                            -> 0, gave coffee
        issue m1 coffee id=a                            -> again 0, gave coffee
        issue m1 mug id=a                               -> refused TransactionIdReused: voucher
        issue m1 coffee id=b                            -> 0, gave coffee
        cancel m1 a id=x                                -> 0, cancelled 1
        cancel m1 a id=x                                -> again 0, cancelled 1
        cancel m1 b id=x                                -> refused TransactionIdReused: voucher_code
        issue m1 coffee id=x                            -> refused TransactionIdReused: command
        cancel m1 a                                     -> refused VoucherCancelled
        cancel m1 zzz                                   -> refused VoucherUnknown
        accrue m1 300 uses=a                            -> refused VoucherCancelled
        accrue m1 300 uses=b                            -> 3, used 1
        cancel m1 b                                     -> refused VoucherUsed
        vouchers m1                                     -> coffee cancelled, coffee used
        # By hand or not at all: a voucher has no reversal of its own.
        reverse a                                       -> refused NotReversible
        balance m1                                      -> 4
    "

    a_voucher_is_its_partners_own(Setup::default(), [vouchers()]) "
        accrue m1 1000 id=a by=south                    -> 10 (next-coffee 0), gave coffee
        accrue m1 300 uses=a/south                      -> refused VoucherUnknown
        cancel m1 a/south                               -> refused VoucherUnknown
        cancel m1 a/south by=south                      -> 0, cancelled 1
    "

    what_is_held_gives_none_and_what_is_rejected_stays_used(Setup::default(), [with("", &[VOUCHERS, WATCH].concat())]) "
        act m1 review id=v                              -> 0 (review 0), gave coffee
        accrue m1 1000 id=a uses=v                      -> 10 held by watch, used 1
        vouchers m1                                     -> coffee used
        release a                                       -> released 10
        accrue m2 100                                   -> 1
        issue m2 coffee id=w                            -> 0, gave coffee
        accrue m2 1000 id=b uses=w                      -> 10 held by watch, used 1
        # The purchase stands: only its points are refused.
        reject b                                        -> -10
        vouchers m2                                     -> coffee used
    "

    a_frozen_account_uses_none_and_an_operator_acts_all_the_same(Setup::default(), [vouchers()]) "
        accrue m1 1000 id=a                             -> 10 (next-coffee 0), gave coffee
        freeze account:m1                               -> frozen
        accrue m1 300 uses=a                            -> refused AccountFrozen
        issue m1 mug                                    -> 0, gave mug
        cancel m1 a                                     -> 0, cancelled 1
        accrue m1 300 uses=a                            -> refused AccountFrozen
        thaw account:m1                                 -> thawed
        accrue m1 300 uses=a                            -> refused VoucherCancelled
    "

    a_programme_that_drops_a_voucher_leaves_those_that_were_given(
        Setup::default(), [vouchers(), ("plain", plain().1)]
    ) "
        accrue m1 1000 id=a                             -> 10 (next-coffee 0), gave coffee
        publish plain in 2h                             -> published
        clock +3h                                       -> moved
        accrue m1 1000 id=b                             -> 10
        issue m1 coffee                                 -> refused VoucherUnknown
        accrue m1 300 uses=a                            -> 3, used 1
    "
}

/// An account is full of vouchers: what a basket would give is not given, and a hand is refused; a month after the end of
/// the first there is room again.
#[test]
fn an_account_has_a_bounded_number_of_vouchers() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&vouchers().1);
    let edge = ledger.edge();
    for index in 0..limits::VOUCHERS_MAX {
        assert_eq!(edge.accrue(&Accrue::simple("m1", &format!("t{index}"), 1_000)).decision.effects.vouchers.len(), 1);
    }
    let full = edge.accrue(&Accrue::simple("m1", "full", 1_000));
    assert_eq!((full.granted(), full.decision.effects.vouchers.len()), (10, 0));
    let refused = operate(&edge, "issue", "m1", "coffee", "by-hand");
    assert_eq!(refused.refusal(), Some(Refusal::AccountLimitReached));
    assert!(refused.position.is_some(), "it is on record");
    ledger.clock.advance(NS_PER_DAY * (limits::VOUCHER_KEPT_DAYS + 2));
    assert_eq!(operate(&edge, "issue", "m1", "coffee", "later").refusal(), None);
    let view = edge.account("m1").expect("it is there");
    assert_eq!(view.account.vouchers().len(), 1, "the others went with this record");
    assert_intact(&store, ledger.stop().digest);
}

/// A bonus that gives nothing but a voucher is not used up by a basket that finds the account full.
#[test]
fn a_bonus_whose_voucher_finds_no_room_is_due_later() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&with("", &once()).1);
    let edge = ledger.edge();
    edge.accrue(&Accrue::simple("m1", "first", 100));
    for index in 0..limits::VOUCHERS_MAX {
        assert_eq!(operate(&edge, "issue", "m1", "coffee", &format!("by-hand-{index}")).refusal(), None);
    }
    let told = |id: &str| {
        let Decision { bonuses, effects, .. } = edge.accrue(&Accrue::simple("m1", id, 1_000)).decision;
        (bonuses.len(), effects.vouchers.len())
    };
    assert_eq!(told("full"), (0, 0));
    ledger.clock.advance(NS_PER_DAY * (limits::VOUCHER_KEPT_DAYS + 2));
    assert_eq!(told("due"), (1, 1));
    assert_eq!(told("had"), (0, 0));
    assert_intact(&store, ledger.stop().digest);
}

/// Vouchers are in the snapshot, and in the journal behind it.
#[test]
fn vouchers_outlive_a_snapshot_and_a_restart() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&vouchers().1);
    let edge = ledger.edge();
    for id in ["a", "b", "c"] {
        edge.accrue(&Accrue::simple("m1", id, 1_000));
    }
    assert_eq!(use_of(&edge, "m1", "u1", &["a"]).refusal(), None);
    ledger.engine.snapshot().expect("the ledger runs");
    assert_eq!(use_of(&edge, "m1", "u2", &["b"]).refusal(), None);
    let clock = ledger.clock.clone();
    assert_intact(&store, ledger.stop().digest);
    let ledger = Ledger::start(std::sync::Arc::new(store.clone()), Setup::default(), clock);
    let edge = ledger.edge();
    assert_eq!(use_of(&edge, "m1", "u3", &["a"]).refusal(), Some(Refusal::VoucherUsed));
    assert_eq!(use_of(&edge, "m1", "u4", &["b"]).refusal(), Some(Refusal::VoucherUsed));
    assert_eq!(use_of(&edge, "m1", "u5", &["c"]).refusal(), None);
    assert_eq!(edge.reverse("r", "u1").decision.effects.vouchers.len(), 1);
    assert_eq!(use_of(&edge, "m1", "u6", &["a"]).refusal(), None);
    assert_intact(&store, ledger.stop().digest);
}

/// Four tills, one voucher: one of them gets it, and the others are told.
#[test]
fn of_many_tills_at_once_one_uses_a_voucher() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&vouchers().1);
    for round in 0..20 {
        let given = format!("g{round}");
        ledger.edge().accrue(&Accrue::simple("m1", &given, 1_000));
        let answers: Vec<_> = std::thread::scope(|scope| {
            let till = |till: usize| {
                let (edge, given) = (ledger.edge(), given.clone());
                scope.spawn(move || use_of(&edge, "m1", &format!("u{round}-{till}"), &[&given]).refusal())
            };
            let tills: Vec<_> = (0..4).map(till).collect();
            tills.into_iter().map(|till| till.join().expect("a till ends")).collect()
        });
        assert_eq!(answers.iter().filter(|answer| answer.is_none()).count(), 1, "{answers:?}");
        assert_eq!(answers.iter().filter(|answer| **answer == Some(Refusal::VoucherUsed)).count(), 3, "{answers:?}");
    }
    assert_intact(&store, ledger.stop().digest);
}

/// A basket of 3.00 that uses vouchers.
fn use_of(edge: &Edge<'_>, account: &str, id: &str, given: &[&str]) -> Answer {
    let mut basket = edge.basket(&Accrue::simple(account, id, 300)).expect("a basket");
    basket.vouchers = given.iter().map(|given| code(edge, given)).collect();
    basket.vouchers.sort_unstable();
    edge.send_basket(account, id, basket)
}

/// What a naive reader of the answers knows of a voucher.
struct Known {
    id: String,
    ends_at: i64,
    used_by: Option<String>,
    is_cancelled: bool,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is bought, used, brought back and cancelled: what the account says of each voucher is what the answers said,
    /// and none ends twice.
    #[test]
    fn each_voucher_ends_once(steps in prop::collection::vec((0..6_u8, 0..6_usize), 1..50)) {
        let (ledger, store) = Ledger::new(Setup::default());
        let ledger = ledger.with_program(&vouchers().1);
        let edge = ledger.edge();
        let mut known: Vec<Known> = Vec::new();
        for (step, (what, which)) in steps.into_iter().enumerate() {
            let (id, now) = (format!("t-{step}"), ledger.clock.now().0);
            let index = if known.is_empty() { 0 } else { which % known.len() };
            match what {
                0 | 1 if known.len() < 40 => {
                    if what == 0 {
                        edge.accrue(&Accrue::simple("m1", &id, 1_000));
                    } else if edge.account("m1").is_some() {
                        operate(&edge, "issue", "m1", "coffee", &id);
                    } else {
                        continue;
                    }
                    let view = edge.account("m1").expect("it is there");
                    let ends_at = view.account.voucher(code(&edge, &id)).expect("it was given").terms.ends_at.0;
                    known.push(Known { id, ends_at, used_by: None, is_cancelled: false });
                }
                2 if !known.is_empty() => {
                    let voucher = &mut known[index];
                    let refusal = use_of(&edge, "m1", &id, &[&voucher.id]).refusal();
                    let expected = match voucher {
                        Known { used_by: Some(_), .. } => Some(Refusal::VoucherUsed),
                        Known { is_cancelled: true, .. } => Some(Refusal::VoucherCancelled),
                        Known { ends_at, .. } if now >= *ends_at => Some(Refusal::VoucherExpired),
                        _ => None,
                    };
                    prop_assert_eq!(refusal, expected);
                    if refusal.is_none() {
                        voucher.used_by = Some(id);
                    }
                }
                3 if !known.is_empty() => {
                    let voucher = &mut known[index];
                    let refusal = operate(&edge, "cancel", "m1", &voucher.id, &id).refusal();
                    let is_open = voucher.used_by.is_none() && !voucher.is_cancelled && now < voucher.ends_at;
                    prop_assert_eq!(refusal.is_none(), is_open);
                    voucher.is_cancelled |= refusal.is_none();
                }
                // What used a voucher comes back.
                4 if known.get(index).is_some_and(|voucher| voucher.used_by.is_some()) => {
                    let voucher = &mut known[index];
                    let user = voucher.used_by.clone().expect("it was used");
                    let answer = edge.reverse(&id, &user);
                    let is_back = voucher.ends_at > now && answer.refusal().is_none();
                    prop_assert_eq!(!answer.decision.effects.vouchers.is_empty(), is_back);
                    if is_back {
                        voucher.used_by = None;
                    }
                }
                // What gave one comes back.
                5 if !known.is_empty() => {
                    let voucher = &mut known[index];
                    let answer = edge.reverse(&id, &voucher.id);
                    let changes = answer.decision.effects.vouchers.iter().map(|(_, change)| *change);
                    match changes.collect::<Vec<_>>().as_slice() {
                        [VoucherChange::Cancelled] => {
                            prop_assert!(voucher.used_by.is_none() && !voucher.is_cancelled);
                            voucher.is_cancelled = true;
                        }
                        [VoucherChange::Kept] => {
                            prop_assert!(voucher.used_by.is_some());
                            voucher.ends_at = voucher.ends_at.min(now);
                        }
                        [] => prop_assert!(answer.refusal().is_some() || voucher.is_cancelled || now >= voucher.ends_at),
                        other => prop_assert!(false, "{:?}", other),
                    }
                }
                _ => ledger.clock.advance(NS_PER_SECOND * 3_600 * 7),
            }
            let view = edge.account("m1");
            for voucher in &known {
                let found = view.as_ref().and_then(|view| view.account.voucher(code(&edge, &voucher.id)).copied());
                let state = found.expect("it is remembered").state;
                prop_assert_eq!(matches!(state, VoucherState::Used(_)), voucher.used_by.is_some());
                prop_assert_eq!(state == VoucherState::Cancelled, voucher.is_cancelled);
            }
        }
        assert_intact(&store, ledger.stop().digest);
    }
}

/// An account that never had a voucher is packed as it always was, and one that had some is again, once they are forgotten.
#[test]
fn vouchers_leave_no_trace_in_the_bytes_of_an_account() {
    let digest_of = |source: &str, given: bool| {
        let (ledger, store) = Ledger::new(Setup::default());
        let ledger = ledger.with_program(source);
        let edge = ledger.edge();
        let basket = Accrue::simple("m1", "a", if given { 1_000 } else { 900 });
        assert_eq!(edge.accrue(&basket).decision.effects.vouchers.len(), usize::from(given));
        ledger.clock.advance(NS_PER_DAY * 40);
        edge.send("m1", "e", CommandKind::Enrol(<_>::default()));
        let view = edge.account("m1").expect("it is there");
        assert_eq!((view.account.vouchers().len(), view.account.profile.is_none()), (0, true));
        assert_intact(&store, ledger.stop().digest);
    };
    digest_of(&vouchers().1, true);
    digest_of(&vouchers().1, false);
    digest_of(&plain().1, false);
}
