//! Forgeries of parts that come back, and every hash recomputed.
//!
//! What must stay true: what a part takes back follows from its accrual and the parts before it, the remainder and what
//! bonuses took included; nothing is taken back twice, and no part is passed over.

use crate::first_finding;
use crate::support::edge::{Accrue, LineText};
use crate::support::forge::Forge;
use crate::support::{Ledger, Setup, assert_intact, programs};
use tallystick::audit::verify::FindingClass;
use tallystick::journal::record::Entry;
use tallystick::ledger::command::{CommandKind, Granted, Part, ReturnedLine, Reversal};
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

const NOT_GRANTED: &str = "what it takes back is not what the accrual";

#[test]
fn what_came_back_cannot_be_forged() {
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
    assert_found(original, &rows);
}

#[track_caller]
fn assert_found(make: fn() -> MemoryStore, rows: &[Row]) {
    let made = make();
    for (name, id, change, class, says) in rows {
        let store = made.stop_cleanly();
        let mut forge = Forge::open(&store);
        let position = forge.alter(|entry| entry.command.transaction_id == *id, change);
        forge.write(&store);
        let found = first_finding(&store, name);
        assert_eq!((found.class, found.position), (*class, position), "{name}: {found}");
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

/// A programme that carries remainders: two baskets that leave 0.50 and 0.90 over. One comes back at once, the other in a
/// part and the rest.
fn carrying() -> MemoryStore {
    let (ledger, store) = Ledger::new(Setup::default());
    let source = programs::program("", "", "").replacen("\"floor\"", "\"carry\"", 1);
    let ledger = ledger.with_program(&source);
    let edge = ledger.edge();
    assert_eq!(edge.accrue(&Accrue::simple("m1", "a", 150)).granted(), 1);
    let lines = vec![LineText { quantity: 2, ..LineText::of(280) }];
    assert_eq!(edge.accrue(&Accrue { lines, ..Accrue::simple("m2", "b", 0) }).granted(), 2);
    assert_eq!(edge.reverse("whole", "a").granted(), -1);
    let piece = [ReturnedLine { line: 0, quantity: 1, amount_minor: 0 }];
    assert_eq!(edge.give_back("piece", "b", &piece).granted(), -1);
    assert_eq!(edge.reverse("rest", "b").granted(), -1);
    assert_intact(&store, ledger.stop().digest);
    store
}

/// Leaves the account's remainder as it was: what was bought and returned would go on counting.
fn keep_remainder(entry: &mut Entry) {
    entry.decision.effects.remainder = None;
}

#[test]
fn what_a_basket_carried_comes_back_with_it() {
    let rows: [Row; 6] = [
        (
            "the whole leaves the remainder, as if there had been none",
            "whole",
            |entry| {
                assert!(part(entry).carried.is_some() && entry.decision.effects.remainder.is_some(), "it carried");
                reversal(entry).part = None;
                keep_remainder(entry);
            },
            FindingClass::Reversal,
            NOT_GRANTED,
        ),
        (
            "the whole takes less of the remainder",
            "whole",
            |entry| {
                let carried = part(entry).carried.as_mut().expect("it carried");
                carried.1 += 1;
                let left = entry.decision.effects.remainder.as_mut().expect("it changed");
                *left += 1;
            },
            FindingClass::Reversal,
            NOT_GRANTED,
        ),
        (
            "a part leaves the remainder",
            "piece",
            |entry| {
                assert!(part(entry).carried.take().is_some(), "it carried");
                keep_remainder(entry);
            },
            FindingClass::Reversal,
            NOT_GRANTED,
        ),
        (
            "the rest leaves the remainder",
            "rest",
            |entry| {
                assert!(part(entry).carried.take().is_some(), "it carried");
                keep_remainder(entry);
            },
            FindingClass::Reversal,
            NOT_GRANTED,
        ),
        (
            "the rest is said to be the whole, and takes what is left",
            "rest",
            |entry| {
                reversal(entry).part = None;
                keep_remainder(entry);
            },
            FindingClass::Reversal,
            NOT_GRANTED,
        ),
        (
            "what the command says is left in the account",
            "whole",
            keep_remainder,
            FindingClass::Decision,
            "its effects are not what they should be",
        ),
    ];
    assert_found(carrying, &rows);
}

const BONUSES: &str = r#"
[[bonuses]]
name = "large"
units = 50
when = { eligible_minor_min = 3_500 }
limit = { times = 3, per = "lifetime" }
places = 10
"#;

/// A bonus that is counted in the account and in a cell that all share: of one basket a part comes back, by which it is
/// lost, and then the rest; another comes back at once.
fn bonuses() -> MemoryStore {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&programs::program("", "", BONUSES));
    let edge = ledger.edge();
    let lines = vec![LineText { quantity: 4, ..LineText::of(4_000) }];
    assert_eq!(edge.accrue(&Accrue { lines, ..Accrue::simple("m1", "a", 0) }).granted(), 90);
    assert_eq!(edge.accrue(&Accrue::simple("m1", "b", 4_000)).granted(), 90);
    let piece = [ReturnedLine { line: 0, quantity: 1, amount_minor: 0 }];
    assert_eq!(edge.give_back("piece", "a", &piece).granted(), -60);
    assert_eq!(edge.reverse("rest", "a").granted(), -30);
    assert_eq!(edge.reverse("whole", "b").granted(), -90);
    assert_intact(&store, ledger.stop().digest);
    store
}

/// What a bonus had counted in the account comes back otherwise. The record says it once, in the command.
fn give_back_uses(entry: &mut Entry, uses: i64) {
    let counters = &mut reversal(entry).original.counters;
    assert_eq!(counters.len(), 1, "that of the bonus");
    counters[0].delta = uses;
    counters.retain(|change| change.delta != 0);
    let counters = &mut entry.decision.effects.counters;
    counters[0].delta = -uses;
    counters.retain(|change| change.delta != 0);
}

/// So with the places that it had taken.
fn give_back_places(entry: &mut Entry, places: i64) {
    let cells = &mut reversal(entry).original.cells;
    assert_eq!(cells.len(), 1, "that of the bonus");
    cells[0].used = places;
    cells.retain(|cell| cell.used != 0);
    let cells = &mut entry.decision.cells;
    cells[0].used = -places;
    cells.retain(|cell| cell.used != 0);
}

#[test]
fn what_a_bonus_took_comes_back_with_its_basket() {
    let rows: [Row; 8] = [
        ("no use comes back", "whole", |entry| give_back_uses(entry, 0), FindingClass::Reversal, NOT_GRANTED),
        ("two uses come back", "whole", |entry| give_back_uses(entry, 2), FindingClass::Reversal, NOT_GRANTED),
        ("no place comes back", "whole", |entry| give_back_places(entry, 0), FindingClass::Reversal, NOT_GRANTED),
        ("two places come back", "whole", |entry| give_back_places(entry, 2), FindingClass::Reversal, NOT_GRANTED),
        ("a part keeps the use", "piece", |entry| give_back_uses(entry, 0), FindingClass::Reversal, NOT_GRANTED),
        ("a part keeps the place", "piece", |entry| give_back_places(entry, 0), FindingClass::Reversal, NOT_GRANTED),
        (
            "the place is not given back, whatever the command says",
            "whole",
            |entry| entry.decision.cells.clear(),
            FindingClass::Decision,
            "the uses of budgets are not what they should be",
        ),
        (
            "more places are given back than the command says",
            "whole",
            |entry| entry.decision.cells[0].used = -2,
            FindingClass::Decision,
            "the uses of budgets are not what they should be",
        ),
    ];
    assert_found(bonuses, &rows);
}

/// A part gave the bonus's use and place back, and the rest gives them back a second time.
#[test]
fn what_a_bonus_took_comes_back_once() {
    let store = bonuses();
    let mut forge = Forge::open(&store);
    let mut given_back = None;
    forge.alter(
        |entry| entry.command.transaction_id == "piece",
        |entry| {
            let Granted { counters, cells, .. } = reversal(entry).original.clone();
            given_back = Some((counters, cells, entry.decision.clone()));
        },
    );
    let (counters, cells, decision) = given_back.expect("the part is on record");
    let position = forge.alter(
        |entry| entry.command.transaction_id == "rest",
        |entry| {
            let original = &mut reversal(entry).original;
            assert!(original.counters.is_empty() && original.cells.is_empty(), "nothing of the bonus is left");
            (original.counters, original.cells) = (counters, cells);
            entry.decision.effects.counters.clone_from(&decision.effects.counters);
            entry.decision.cells.clone_from(&decision.cells);
        },
    );
    forge.write(&store);
    let found = first_finding(&store, "a second time");
    assert_eq!((found.class, found.position), (FindingClass::Reversal, position), "{found}");
    assert!(found.sentence.contains(NOT_GRANTED), "{found}");
}
