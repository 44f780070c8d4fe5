//! Forgeries of stamps, and every hash recomputed.
//!
//! What must stay true: deciding again finds it (invariant 7), or the look at the basket that comes back does.

use std::sync::OnceLock;

use crate::first_finding;
use crate::support::edge::{Accrue, LineText};
use crate::support::forge::Forge;
use crate::support::{Ledger, Setup, assert_intact, programs};
use tallystick::audit::verify::FindingClass;
use tallystick::journal::record::Entry;
use tallystick::ledger::command::{CommandKind, ReturnedLine, Reversal};
use tallystick::ledger::voucher::VoucherChange;
use tallystick::store::memory::MemoryStore;

const CARDS: &str = "[[vouchers]]\nname = \"cup\"\ntext = \"a free coffee\"\nvalid_days = 14\n\n\
                     [[stamps]]\nname = \"coffee\"\nof = { department = [\"COFFEE\"] }\ncount = 4\nunits = 50\n\n\
                     [[stamps]]\nname = \"tea\"\nof = { department = [\"TEA\"] }\ncount = 3\nvoucher = \"cup\"\n";

/// The journal that every row forges: two cards that fill, a part and two wholes that come back, and a voucher of which one is
/// used and one is not.
fn original() -> MemoryStore {
    static STORE: OnceLock<MemoryStore> = OnceLock::new();
    STORE.get_or_init(make_original).stop_cleanly()
}

fn make_original() -> MemoryStore {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&programs::program("", "", CARDS));
    let edge = ledger.edge();
    let buys = |id: &str, coffees: i64, teas: i64| {
        let line = |department: &str, quantity: i64| LineText {
            department: department.to_owned(),
            quantity,
            ..LineText::of(100 * quantity)
        };
        let lines = vec![line("COFFEE", coffees), line("TEA", teas)];
        edge.accrue(&Accrue { lines, ..Accrue::simple("m1", id, 0) })
    };
    assert_eq!(buys("a", 2, 2).granted(), 4);
    assert_eq!(buys("b", 2, 5).granted(), 57);
    assert_eq!(buys("c", 1, 0).granted(), 1);
    assert_eq!(buys("d", 1, 3).decision.effects.vouchers.len(), 1);
    let mut basket = edge.basket(&Accrue::simple("m1", "u", 300)).expect("a basket");
    let view = edge.account("m1").expect("it is there");
    let code = tallystick::ledger::voucher::VoucherCode::of(edge.partner, "b", 0);
    assert!(view.account.voucher(code).is_some());
    basket.vouchers = vec![code];
    assert_eq!(edge.send_basket("m1", "u", basket).refusal(), None);
    let piece = ReturnedLine { line: 0, quantity: 1, amount_minor: 0 };
    assert_eq!(edge.give_back("rb1", "b", &[piece]).granted(), -51);
    assert_eq!(edge.reverse("rb2", "b").decision.effects.vouchers.len(), 2);
    assert_eq!(edge.reverse("rd", "d").decision.effects.vouchers.len(), 1);
    assert_intact(&store, ledger.stop().digest);
    store
}

fn is(entry: &Entry, id: &str) -> bool {
    *entry.command.transaction_id == *id
}

fn reversal(entry: &mut Entry) -> &mut Reversal {
    match &mut entry.command.kind {
        CommandKind::Reverse(reversal) => reversal,
        other => panic!("{other:?}"),
    }
}

/// Moves the last counters, which are those of cards, by as much.
fn count_more(entry: &mut Entry, places_from_the_end: usize, more: i64) {
    let counters = &mut entry.decision.effects.counters;
    let index = counters.len() - 1 - places_from_the_end;
    counters[index].delta += more;
}

/// What is forged, of which transaction, and what it is found to be.
type Row = (&'static str, &'static str, fn(&mut Entry), FindingClass);

const ROWS: [Row; 9] = [
    (
        "a stamp more",
        "c",
        |entry| {
            entry.decision.stamps[0].counted += 1;
            count_more(entry, 0, 1);
        },
        FindingClass::Decision,
    ),
    ("more stamps before", "a", |entry| entry.decision.stamps[0].stamps_before += 1, FindingClass::Decision),
    ("fewer rewards before", "c", |entry| entry.decision.stamps[0].given_before = 0, FindingClass::Decision),
    (
        "a reward that was not due",
        "b",
        |entry| {
            entry.decision.stamps[0].rewards += 1;
            count_more(entry, 2, 1);
        },
        FindingClass::Decision,
    ),
    ("another card", "c", |entry| entry.decision.stamps[0].card.0 = 1, FindingClass::Decision),
    (
        "nothing said of cards",
        "b",
        |entry| {
            entry.decision.stamps.clear();
        },
        FindingClass::Decision,
    ),
    (
        "a part that leaves the stamps",
        "rb1",
        |entry| {
            reversal(entry).original.counters.clear();
            entry.decision.effects.counters.clear();
        },
        FindingClass::Reversal,
    ),
    (
        "a last part that takes the reward of a voucher that was used",
        "rb2",
        |entry| {
            reversal(entry).original.stamps = Box::default();
            let given = reversal(entry).original.counters.last().copied().expect("it is that of the rewards");
            let counters = &mut entry.decision.effects.counters;
            counters.retain(|change| change.counter != given.counter);
            counters.push(tallystick::ledger::decision::CounterChange { delta: -given.delta, ..given });
        },
        FindingClass::Reversal,
    ),
    (
        "a whole return that cancels no voucher, and leaves the card as it was",
        "rd",
        |entry| {
            entry.decision.effects.vouchers[0].1 = VoucherChange::Kept;
            let given = reversal(entry).original.stamps[0].given;
            entry.decision.effects.counters.retain(|change| change.counter != given);
        },
        FindingClass::Decision,
    ),
];

#[test]
fn stamps_that_were_not_counted_like_this_are_found() {
    for (what, id, change, class) in ROWS {
        let store = original();
        let mut forge = Forge::open(&store);
        let position = forge.alter(|entry| is(entry, id), change);
        forge.write(&store);
        let found = first_finding(&store, what);
        assert_eq!((found.position, found.class), (position, class), "{what}: {found}");
    }
}

#[test]
fn what_is_wrong_with_stamps_is_named() {
    let store = original();
    let mut forge = Forge::open(&store);
    forge.alter(|entry| is(entry, "a"), |entry| entry.decision.stamps[0].stamps_before += 1);
    forge.write(&store);
    let found = first_finding(&store, "more stamps before").to_string();
    assert!(found.contains("the stamps are not what they should be"), "{found}");
}
