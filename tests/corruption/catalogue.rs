//! Forgeries of rewards that were taken and came back, and every hash recomputed.
//!
//! What must stay true: deciding again, looking at the burn, or adding the stock up finds it (invariants 6 and 7).

use std::sync::OnceLock;

use crate::first_finding;
use crate::support::edge::Accrue;
use crate::support::forge::Forge;
use crate::support::{Ledger, Setup, assert_intact, programs};
use tallystick::audit::verify::FindingClass;
use tallystick::journal::record::Entry;
use tallystick::ledger::command::{AskedReversal, CommandKind, RewardAsked, RewardsBack};
use tallystick::store::memory::MemoryStore;

const CATALOGUE: &str = "
[[rewards]]
name = \"mug\"
price = 5
stock = 4

[[rewards]]
name = \"cup\"
price = 5
stock = 9
";

/// The journal that every row forges: three mugs, of which one comes back and another goes.
fn original() -> MemoryStore {
    static STORE: OnceLock<MemoryStore> = OnceLock::new();
    STORE.get_or_init(make_original).stop_cleanly()
}

fn make_original() -> MemoryStore {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&programs::program("", "", CATALOGUE));
    let edge = ledger.edge();
    assert_eq!(edge.accrue(&Accrue::simple("m1", "x", 3_000)).granted(), 30);
    assert_eq!(edge.take("m1", "cup", "cup", 1, None).granted(), -5);
    assert_eq!(edge.take("m1", "three", "mug", 3, Some(15)).granted(), -15);
    let asked = AskedReversal { original_transaction_id: "three", lines: &[], units: None, quantity: Some(1) };
    let back = edge.begin_reversal("back", &asked, None).wait().expect("the ledger answers");
    assert_eq!(back.granted(), 5);
    assert_eq!(edge.take("m1", "last", "mug", 2, None).granted(), -10);
    assert_intact(&store, ledger.stop().digest);
    store
}

fn asked(entry: &mut Entry) -> &mut RewardAsked {
    match &mut entry.command.kind {
        CommandKind::Redeem(redemption) => redemption.reward.as_mut().expect("it is for a reward"),
        other => panic!("{other:?}"),
    }
}

fn back(entry: &mut Entry) -> &mut RewardsBack {
    match &mut entry.command.kind {
        CommandKind::Unburn(unburn) => unburn.reward.as_mut().expect("rewards come back"),
        other => panic!("{other:?}"),
    }
}

/// What is forged, of which transaction, and what finds it with which words.
type Row = (&'static str, &'static str, fn(&mut Entry), FindingClass, &'static str);

#[test]
fn rewards_cannot_be_forged() {
    const AGAIN: &str = "deciding it again gives another decision";
    const NOT_BURNED: &str = "what it gives back is not what the record";
    let rows: [Row; 8] = [
        ("four for the price of three", "three", |entry| asked(entry).quantity = 4, FindingClass::Decision, AGAIN),
        (
            "another reward at the same price",
            "three",
            |entry| asked(entry).reward.0 += 1,
            FindingClass::Decision,
            AGAIN,
        ),
        (
            "less than it costs",
            "three",
            |entry| {
                let CommandKind::Redeem(redemption) = &mut entry.command.kind else { panic!("it burns") };
                redemption.units -= 1;
                let decision = &mut entry.decision;
                (decision.granted, decision.balance_after) = (-14, decision.balance_after + 1);
                decision.effects.lots[0].delta += 1;
            },
            FindingClass::Decision,
            AGAIN,
        ),
        (
            "less is taken from the stock",
            "three",
            |entry| entry.decision.cells[0].used -= 1,
            FindingClass::Decision,
            AGAIN,
        ),
        (
            "the stock was larger",
            "last",
            |entry| entry.decision.cells[0].room_before += 1,
            FindingClass::Budget,
            "found room for",
        ),
        (
            "two come back for one",
            "back",
            |entry| {
                back(entry).quantity = 2;
                back(entry).cells[0].used = 2;
                entry.decision.cells[0].used = -2;
            },
            FindingClass::Reversal,
            NOT_BURNED,
        ),
        (
            "more goes back to the stock than comes back",
            "back",
            |entry| {
                back(entry).cells[0].used = 2;
                entry.decision.cells[0].used = -2;
            },
            FindingClass::Reversal,
            NOT_BURNED,
        ),
        (
            "nothing goes back to the stock",
            "back",
            |entry| {
                back(entry).cells.clear();
                entry.decision.cells.clear();
            },
            FindingClass::Reversal,
            NOT_BURNED,
        ),
    ];
    for (what, id, change, class, sentence) in rows {
        let store = original();
        let mut forge = Forge::open(&store);
        let position = forge.alter(|entry: &Entry| entry.command.transaction_id == id, change);
        forge.write(&store);
        let found = first_finding(&store, what);
        assert_eq!((found.position, found.class), (position, class), "{what}: {found}");
        assert!(found.sentence.contains(sentence), "{what}: {}", found.sentence);
    }
}
