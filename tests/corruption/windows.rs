//! Forgeries of what a basket found in windows that are bounded together, and of what is given back to a window, and every
//! hash recomputed.
//!
//! What must stay true: deciding again from a forged record can give what it says; the windows then add up to too much, or
//! what was given back is there twice.

use crate::first_finding;
use crate::support::edge::{Accrue, LineText};
use crate::support::forge::Forge;
use crate::support::{Ledger, NOON, NS_PER_DAY, Setup, assert_intact, programs};
use tallystick::audit::verify::FindingClass;
use tallystick::journal::record::Entry;
use tallystick::ledger::decision::TotalsChange;
use tallystick::store::memory::MemoryStore;

const CAP: &str = "[[caps]]\nname = \"store-units\"\nmeasure = \"units\"\nsubject = \"store\"\nwindow = \"day\"\n\
                   rolling = 3\nlimit = 20\n";

/// Three days of one store: 15 units, then 5 of 15, then nothing of 15.
fn original() -> MemoryStore {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&programs::program("", "", CAP));
    for (day, granted) in [(0, 15), (1, 5), (2, 0)] {
        let lines = vec![LineText::of(1_500)];
        let basket = Accrue { lines, ..Accrue::simple(&format!("m{day}"), &format!("t{day}"), 0) };
        assert_eq!(ledger.edge().accrue(&basket).granted(), granted, "day {day}");
        ledger.clock.advance(NS_PER_DAY);
    }
    assert_intact(&store, ledger.stop().digest);
    store
}

fn is_clipped(entry: &Entry) -> bool {
    entry.decision.granted == 5
}

/// A grant of so many units, consistent in itself.
fn grant(entry: &mut Entry, units: i64) {
    let decision = &mut entry.decision;
    let present = decision.cells.last_mut().expect("it drew on the day's cell");
    present.used = units;
    decision.granted = units;
    decision.balance_after = units;
    decision.effects.lots[0].delta = units;
    match decision.earned - units {
        0 => decision.clips.clear(),
        rest => decision.clips[0].units = rest,
    }
    decision.effects.totals = TotalsChange::of_basket(&decision.clips, false);
}

/// What is forged, and what is said.
type Row = (&'static str, fn(&mut Entry), &'static str);

#[test]
fn what_a_basket_found_in_other_windows_cannot_be_forged() {
    let rows: [Row; 3] = [
        (
            "another window has given less",
            |entry| {
                entry.decision.cells[0].room_before += 3;
                grant(entry, 8);
            },
            "found room for 8, but 15 of 20 had been taken",
        ),
        (
            "another window is left out",
            |entry| {
                entry.decision.cells.remove(0);
                grant(entry, 15);
            },
            "gave 30 together, where there was room for 20",
        ),
        (
            "another window gives something too",
            |entry| entry.decision.cells[0].used = 1,
            "the uses of budgets are not what they should be",
        ),
    ];
    for (name, change, says) in rows {
        let store = original();
        let mut forge = Forge::open(&store);
        let position = forge.alter(is_clipped, change);
        forge.write(&store);
        let found = first_finding(&store, name);
        let class = if says.contains("budgets") { FindingClass::Decision } else { FindingClass::Budget };
        assert_eq!((found.class, found.position), (class, position), "{name}: {found}");
        assert!(found.sentence.contains(says), "{name}: {found}");
    }
}

/// What goes beyond the cap waits for an operator. Released by a forger, it goes beyond what the cap lets pass.
#[test]
fn what_a_cap_over_several_windows_holds_cannot_be_released_by_forging() {
    let (ledger, store) = Ledger::new(Setup::default());
    let cap = CAP.replacen("limit = 20\n", "limit = 20\nover = \"hold\"\n", 1);
    let ledger = ledger.with_program(&programs::program("", "", &cap));
    for (day, is_held) in [(0, false), (1, true)] {
        let answer = ledger.edge().accrue(&Accrue::simple(&format!("m{day}"), &format!("t{day}"), 1_500));
        assert_eq!((answer.granted(), answer.decision.effects.held.is_some()), (15, is_held), "day {day}");
        ledger.clock.advance(NS_PER_DAY);
    }
    assert_intact(&store, ledger.stop().digest);
    let mut forge = Forge::open(&store);
    let position = forge.alter(
        |entry| entry.decision.effects.held.is_some(),
        |entry| {
            let decision = &mut entry.decision;
            decision.cells.remove(0);
            decision.effects.held = None;
            let lot = &mut decision.effects.lots[0];
            lot.key = lot.key.released();
        },
    );
    forge.write(&store);
    let found = first_finding(&store, "what was held");
    assert_eq!((found.class, found.position), (FindingClass::Budget, position), "{found}");
    assert!(found.sentence.contains("gave 30 together, where there was room for 20"), "{found}");
}

/// Where time is the input's, no window is forgotten: however late something is given back to it, each use has its own number.
#[test]
fn what_is_given_back_late_cannot_have_the_number_of_another_use() {
    let (ledger, store) = Ledger::new(Setup { clock_is_input: true, ..Setup::default() });
    let ledger = ledger.with_program(&programs::program("", "", CAP));
    let basket = Accrue { stamp: Some(NOON), ..Accrue::simple("m1", "t", 1_500) };
    assert_eq!(ledger.edge().accrue(&basket).granted(), 15);
    ledger.clock.advance(100 * NS_PER_DAY);
    assert_eq!(ledger.edge().reverse("r", "t").granted(), -15);
    assert_intact(&store, ledger.stop().digest);
    let mut forge = Forge::open(&store);
    let position =
        forge.alter(|entry| entry.command.transaction_id == "r", |entry| entry.decision.cells[0].version = 1);
    forge.write(&store);
    let found = first_finding(&store, "a number of another use");
    assert_eq!((found.class, found.position), (FindingClass::Budget, position), "{found}");
    assert!(found.sentence.contains("occurs a second time"), "{found}");
}
