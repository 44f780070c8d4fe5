//! Forgeries of parts that come back, and every hash recomputed.
//!
//! What must stay true: what a part takes back follows from its accrual and the parts before it; nothing is taken back
//! twice, and no part is passed over.

use crate::first_finding;
use crate::support::edge::{Accrue, LineText};
use crate::support::forge::Forge;
use crate::support::{Ledger, Setup, assert_intact, programs};
use tallystick::audit::verify::FindingClass;
use tallystick::journal::record::Entry;
use tallystick::ledger::command::{CommandKind, Part, ReturnedLine, Reversal};
use tallystick::ledger::types::Position;
use tallystick::store::memory::MemoryStore;

/// Four pieces for 40.00, of which one, then one more, then the rest come back.
fn original() -> MemoryStore {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&programs::program("", "", programs::METRIC));
    let edge = ledger.edge();
    let lines = vec![LineText { quantity: 4, ..LineText::of(4_000) }];
    assert_eq!(edge.accrue(&Accrue { lines, ..Accrue::simple("m1", "a", 0) }).granted(), 40);
    let piece = [ReturnedLine { line: 0, quantity: 1, amount_minor: 0 }];
    assert_eq!(edge.give_back("one", "a", &piece).granted(), -10);
    assert_eq!(edge.give_back("two", "a", &piece).granted(), -10);
    assert_eq!(edge.reverse("rest", "a").granted(), -20);
    let report = assert_intact(&store, ledger.stop().digest);
    assert_eq!(report.records.reversals, 3);
    store
}

fn reversal(entry: &mut Entry) -> &mut Reversal {
    match &mut entry.command.kind {
        CommandKind::Reverse(reversal) => reversal,
        other => panic!("{other:?} is no reversal"),
    }
}

fn part(entry: &mut Entry) -> &mut Part {
    reversal(entry).part.as_deref_mut().expect("it is of a part")
}

/// Takes so many units back, consistently in itself.
fn take(entry: &mut Entry, units: i64) {
    let more = units - reversal(entry).original.units;
    reversal(entry).original.units = units;
    let decision = &mut entry.decision;
    decision.granted = -units;
    decision.balance_after -= more;
    decision.effects.lots[0].delta = -units;
}

/// Which record is forged, how, the class of what is said, and a part of it.
type Row = (&'static str, &'static str, fn(&mut Entry), FindingClass, &'static str);

#[test]
fn what_came_back_cannot_be_forged() {
    const NOT_GRANTED: &str = "what it takes back is not what the accrual";
    let rows: [Row; 7] = [
        ("a part takes more", "one", |entry| take(entry, 11), FindingClass::Reversal, NOT_GRANTED),
        ("a part takes less", "two", |entry| take(entry, 9), FindingClass::Reversal, NOT_GRANTED),
        (
            "a part is of more pieces",
            "one",
            |entry| part(entry).lines[0].quantity = 2,
            FindingClass::Reversal,
            NOT_GRANTED,
        ),
        (
            "a part of a line is worth more",
            "one",
            |entry| part(entry).lines[0].amount_minor += 1,
            FindingClass::Reversal,
            NOT_GRANTED,
        ),
        (
            "a part leaves nothing, it says",
            "two",
            |entry| part(entry).is_last = true,
            FindingClass::Reversal,
            NOT_GRANTED,
        ),
        (
            "a part passes over the one before it",
            "two",
            |entry| part(entry).earlier = None,
            FindingClass::Once,
            "goes on after none, but the last before it is the one at position",
        ),
        (
            "a part goes on after one that comes later",
            "one",
            |entry| part(entry).earlier = Some(Position(1_000)),
            FindingClass::Reversal,
            "does not lie between its accrual and itself",
        ),
    ];
    for (name, id, change, class, says) in rows {
        let store = original();
        let mut forge = Forge::open(&store);
        let position = forge.alter(|entry| entry.command.transaction_id == id, change);
        forge.write(&store);
        let found = first_finding(&store, name);
        assert_eq!((found.class, found.position), (class, position), "{name}: {found}");
        assert!(found.sentence.contains(says), "{name}: {found}");
    }
}

/// The last part, made a reversal of the whole: everything would be taken back a second time.
#[test]
fn the_whole_cannot_come_back_after_a_part() {
    let store = original();
    let mut forge = Forge::open(&store);
    let position = forge.alter(
        |entry| entry.command.transaction_id == "rest",
        |entry| {
            let reversal = reversal(entry);
            reversal.part = None;
            reversal.original.units = 40;
            reversal.original.counters[0].delta = 4_000;
            entry.decision.effects.counters[0].delta = -4_000;
        },
    );
    forge.write(&store);
    let found = first_finding(&store, "the whole after a part");
    assert_eq!(found.position, position, "{found}");
}
