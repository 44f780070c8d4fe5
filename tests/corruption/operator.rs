//! Forgeries of what caps hold and operators decide, and every hash recomputed.
//!
//! What must stay true: deciding again finds it, or the record that it is about does (invariant 7).

use std::sync::OnceLock;

use crate::support::edge::Accrue;
use crate::support::forge::Forge;
use crate::support::{Ledger, NS_PER_DAY, Setup, assert_intact, programs};
use crate::{first_finding, refusal_to_open};
use tallystick::audit::verify::FindingClass;
use tallystick::clock::Clock;
use tallystick::journal::record::Entry;
use tallystick::ledger::command::CommandKind;
use tallystick::ledger::decision::{LotKey, Movement};
use tallystick::ledger::operator::{Adjustment, OperatorOrder};
use tallystick::ledger::types::{Position, TimestampNs, WalletId};
use tallystick::limits;
use tallystick::store::memory::MemoryStore;

const WATCH: &str = r#"
[[caps]]
name = "watch"
measure = "units"
window = "day"
limit = 20
over = "hold"

[[caps]]
name = "store-watch"
measure = "units"
subject = "store"
window = "day"
limit = 30
over = "hold"
"#;

/// The journal that every row forges.
fn original() -> MemoryStore {
    static STORE: OnceLock<MemoryStore> = OnceLock::new();
    STORE.get_or_init(make_original).stop_cleanly()
}

fn make_original() -> MemoryStore {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&programs::program("", "expiry = { after_days = 2 }", WATCH));
    let edge = ledger.edge();
    let accrue = |id: &str, amount_minor| edge.accrue(&Accrue::simple("m1", id, amount_minor)).granted();
    assert_eq!([accrue("a", 1_000), accrue("b", 2_500), accrue("c", 700), accrue("d", 300)], [10, 25, 7, 3]);
    assert_eq!(edge.review("r", "b", true).refusal(), None);
    assert_eq!(edge.review("j", "c", false).granted(), -7);
    assert_eq!(edge.reverse("v", "d").granted(), -3);
    ledger.clock.advance(3 * NS_PER_DAY);
    assert_eq!(accrue("e", 100), 1);
    let until = TimestampNs(ledger.clock.now().0 + NS_PER_DAY);
    assert_eq!(edge.restore("u", "m1", ("north", "e"), until).granted(), 35);
    let taking = Adjustment { wallet: WalletId(0), units: -4, expires_at: None };
    assert_eq!(edge.operate("k", "m1", OperatorOrder::Adjust(taking)).granted(), -4);
    let report = assert_intact(&store, ledger.stop().digest);
    assert_eq!((report.records.operations, report.records.reversals), (4, 1));
    store
}

fn is_held(entry: &Entry) -> bool {
    entry.held().is_some()
}

fn order(entry: &Entry) -> Option<&OperatorOrder> {
    match &entry.command.kind {
        CommandKind::Operate(operation) => Some(&operation.order),
        _ => None,
    }
}

fn order_mut(entry: &mut Entry) -> &mut OperatorOrder {
    match &mut entry.command.kind {
        CommandKind::Operate(operation) => &mut operation.order,
        _ => panic!("it is an operation"),
    }
}

fn is_release(entry: &Entry) -> bool {
    matches!(order(entry), Some(OperatorOrder::Release(_)))
}

fn is_rejection(entry: &Entry) -> bool {
    matches!(order(entry), Some(OperatorOrder::Reject(_)))
}

fn is_restoration(entry: &Entry) -> bool {
    matches!(order(entry), Some(OperatorOrder::Restore(_)))
}

fn is_adjustment(entry: &Entry) -> bool {
    matches!(order(entry), Some(OperatorOrder::Adjust(_)))
}

/// What is forged, of which entry, how it is found, and what is said.
type Row = (&'static str, fn(&Entry) -> bool, fn(&mut Entry), FindingClass, &'static str);

const LOTS: &str = "the lots are not what they should be";
const UNITS: &str = "the units held are not what they should be";

const ROWS: [Row; 16] = [
    (
        "what is held is free",
        is_held,
        |entry| {
            entry.decision.effects.held = None;
            let grant = &mut entry.decision.effects.lots[0];
            grant.key = grant.key.released();
        },
        FindingClass::Decision,
        LOTS,
    ),
    (
        "what is held can be spent",
        is_held,
        |entry| entry.decision.effects.lots[0].key = entry.decision.effects.lots[0].key.released(),
        FindingClass::Decision,
        LOTS,
    ),
    (
        "what is held waits for nobody",
        is_held,
        |entry| entry.decision.effects.held = None,
        FindingClass::Decision,
        UNITS,
    ),
    (
        "what is free is held",
        |entry| entry.decision.granted == 10,
        |entry| entry.decision.effects.lots[0].key = entry.decision.effects.lots[0].key.held(),
        FindingClass::Decision,
        LOTS,
    ),
    (
        "a release of more",
        is_release,
        |entry| {
            let OperatorOrder::Release(original) = order_mut(entry) else { unreachable!("it is one") };
            original.granted.units += 1;
        },
        FindingClass::Reversal,
        "what it reviews is not what the record at position",
    ),
    (
        "a release that moves less",
        is_release,
        |entry| {
            entry.decision.effects.lots[0].delta += 1;
            entry.decision.effects.lots[1].delta -= 1;
        },
        FindingClass::Decision,
        LOTS,
    ),
    (
        "a release of what another record did",
        is_release,
        |entry| {
            let OperatorOrder::Release(original) = order_mut(entry) else { unreachable!("it is one") };
            original.position = Position(original.position.0 - 1);
        },
        FindingClass::Reversal,
        "is not the transaction that it reviews",
    ),
    (
        "a release of an id that is never accepted",
        is_release,
        |entry| {
            let OperatorOrder::Release(original) = order_mut(entry) else { unreachable!("it is one") };
            original.transaction_id = "b".repeat(limits::TRANSACTION_ID_BYTES_MAX + 1).into();
        },
        FindingClass::Record,
        "the command is not one that is ever accepted",
    ),
    (
        "a release that is a rejection",
        is_release,
        |entry| {
            let OperatorOrder::Release(original) = order_mut(entry).clone() else { unreachable!("it is one") };
            *order_mut(entry) = OperatorOrder::Reject(original);
        },
        FindingClass::Reversal,
        "what it reviews is not what the record at position",
    ),
    (
        "a rejection that takes less",
        is_rejection,
        |entry| entry.decision.effects.lots[0].delta += 1,
        FindingClass::Decision,
        "what is granted is recorded as -6, and should be -7",
    ),
    (
        "a rejection that gives more room back",
        is_rejection,
        |entry| {
            let OperatorOrder::Reject(original) = order_mut(entry) else { unreachable!("it is one") };
            original.granted.cells[0].used += 1;
            entry.decision.cells[0].used -= 1;
        },
        FindingClass::Reversal,
        "what it reviews is not what the record at position",
    ),
    (
        "a reversal after which the units are held still",
        |entry| matches!(entry.command.kind, CommandKind::Reverse(_)),
        |entry| entry.decision.effects.held = None,
        FindingClass::Decision,
        UNITS,
    ),
    (
        "more comes back than died",
        is_restoration,
        |entry| {
            let OperatorOrder::Restore(restoration) = order_mut(entry) else { unreachable!("it is one") };
            restoration.lots[0].1 += 1;
        },
        FindingClass::Reversal,
        "what comes back is not what died",
    ),
    (
        "what comes back lives for ever",
        is_restoration,
        |entry| entry.decision.effects.lots[0].key.expires_at = LotKey::NEVER,
        FindingClass::Decision,
        LOTS,
    ),
    (
        "what comes back is granted",
        is_restoration,
        |entry| entry.decision.effects.lots[0].movement = Movement::Grant,
        FindingClass::Decision,
        "what is granted is recorded as",
    ),
    (
        "more is taken than was asked",
        is_adjustment,
        |entry| {
            entry.decision.effects.lots[0].delta -= 1;
            entry.decision.balance_after -= 1;
        },
        FindingClass::Decision,
        "the balance is recorded as",
    ),
];

#[test]
fn a_forged_review_or_restoration_is_found() {
    for (what, fits, change, class, says) in ROWS {
        let store = original();
        let mut forge = Forge::open(&store);
        let position = forge.alter(fits, change);
        forge.write(&store);
        let found = first_finding(&store, what);
        assert_eq!((found.class, found.position), (class, position), "{what}: {found}");
        assert!(found.sentence.contains(says), "{what}: {found}");
    }
}

/// The same units cannot be released twice by a record that repeats another under a new id.
#[test]
fn a_second_review_of_the_same_transaction_is_found() {
    let store = original();
    let mut forge = Forge::open(&store);
    // The rejection becomes one of what was released before.
    let (f, s, r) = forge.find(is_release);
    let bytes = forge.frames[f].sections[s].2[r].clone();
    let record = tallystick::journal::record::decode(&bytes, &forge.dictionary);
    let Ok(tallystick::journal::record::Record::Entry(released)) = record else { panic!("it is an entry") };
    let position = forge.alter(is_rejection, |entry| {
        entry.command.kind = released.command.kind.clone();
        entry.decision = released.decision.clone();
    });
    forge.write(&store);
    let found = first_finding(&store, "a second release");
    assert_eq!((found.class, found.position), (FindingClass::Decision, position), "{found}");
    assert!(found.sentence.contains("the outcome is recorded as Granted, and should be"), "{found}");
    assert!(refusal_to_open(&store).is_some(), "what is held ends once");
}
