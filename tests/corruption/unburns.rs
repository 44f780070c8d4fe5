//! Forgeries of burned units that come back, and every hash recomputed.
//!
//! What must stay true: what comes back follows from its burn and from what came back before; nothing comes back twice, and
//! no piece is passed over.

use std::sync::OnceLock;

use crate::first_finding;
use crate::support::edge::Accrue;
use crate::support::forge::Forge;
use crate::support::{Ledger, Setup, assert_intact, programs};
use tallystick::audit::verify::FindingClass;
use tallystick::journal::record::Entry;
use tallystick::ledger::command::{CommandKind, Redemption, Unburn};
use tallystick::ledger::types::{Position, WalletId};
use tallystick::store::memory::MemoryStore;

/// Thirty units of which twenty are burned; five of them come back, then four, then the rest.
fn original() -> MemoryStore {
    static STORE: OnceLock<MemoryStore> = OnceLock::new();
    STORE.get_or_init(make_original).stop_cleanly()
}

fn make_original() -> MemoryStore {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&programs::program("", "", ""));
    let edge = ledger.edge();
    assert_eq!(edge.accrue(&Accrue::simple("m1", "x", 3_000)).granted(), 30);
    let redeem = |id: &str, units| {
        edge.send("m1", id, CommandKind::Redeem(Redemption { wallet: WalletId(0), units, reward: None }))
    };
    assert_eq!(redeem("r", 20).granted(), -20);
    assert_eq!(redeem("q", 3).granted(), -3);
    assert_eq!(edge.unburn("one", "r", Some(5)).granted(), 5);
    assert_eq!(edge.unburn("two", "r", Some(4)).granted(), 4);
    assert_eq!(edge.unburn("rest", "r", None).granted(), 11);
    let report = assert_intact(&store, ledger.stop().digest);
    assert_eq!((report.records.returns, report.records.redemptions), (3, 2));
    store
}

fn unburn(entry: &mut Entry) -> &mut Unburn {
    match &mut entry.command.kind {
        CommandKind::Unburn(unburn) => unburn,
        other => panic!("{other:?} gives nothing back"),
    }
}

/// Gives so many units back, consistently in itself.
fn give(entry: &mut Entry, units: i64) {
    let more = units - unburn(entry).units();
    unburn(entry).lots[0].1 = units;
    let decision = &mut entry.decision;
    decision.granted = units;
    decision.balance_after += more;
    decision.effects.lots[0].delta = units;
}

/// Which record is forged, how, the class of what is said, and a part of it.
type Row = (&'static str, &'static str, fn(&mut Entry), FindingClass, &'static str);

#[test]
fn what_came_back_cannot_be_forged() {
    const NOT_BURNED: &str = "what it gives back is not what the record";
    let rows: [Row; 9] = [
        ("the rest is more", "rest", |entry| give(entry, 12), FindingClass::Reversal, NOT_BURNED),
        ("a piece is larger than the burn", "one", |entry| give(entry, 21), FindingClass::Reversal, NOT_BURNED),
        (
            "another lot",
            "one",
            |entry| {
                unburn(entry).lots[0].0.funding_rate_bps = 7;
                entry.decision.effects.lots[0].key.funding_rate_bps = 7;
            },
            FindingClass::Reversal,
            NOT_BURNED,
        ),
        (
            "another rate",
            "one",
            |entry| {
                unburn(entry).redemption_rate_bps = 9;
                entry.decision.effects.redemption_rate_bps = 9;
            },
            FindingClass::Reversal,
            NOT_BURNED,
        ),
        (
            "another burn",
            "one",
            |entry| unburn(entry).original_position.0 += 1,
            FindingClass::Reversal,
            "is not the burn that it reverses",
        ),
        (
            "a burn to come",
            "one",
            |entry| unburn(entry).original_position = Position(u64::MAX),
            FindingClass::Reversal,
            "does not lie before it",
        ),
        (
            "a piece passes another over",
            "two",
            |entry| unburn(entry).earlier = None,
            FindingClass::Once,
            "but the last before it is the one at position",
        ),
        (
            "a piece says that less had come back",
            "two",
            |entry| unburn(entry).earlier.as_mut().expect("there is one").1 -= 1,
            FindingClass::Reversal,
            NOT_BURNED,
        ),
        (
            "what comes back dies",
            "two",
            |entry| entry.decision.effects.lots[0].delta -= 1,
            FindingClass::Decision,
            "deciding it again gives another decision",
        ),
    ];
    for (what, id, change, class, sentence) in rows {
        let store = original();
        let mut forge = Forge::open(&store);
        let is_it = |entry: &Entry| entry.command.transaction_id == id;
        let position = forge.alter(is_it, change);
        forge.write(&store);
        let found = first_finding(&store, what);
        assert_eq!((found.position, found.class), (position, class), "{what}: {found}");
        assert!(found.sentence.contains(sentence), "{what}: {}", found.sentence);
    }
}

/// A piece of another size is as good as another in itself: what comes after it does not go on where it left off.
#[test]
fn a_piece_of_another_size_is_found_by_what_comes_after() {
    let store = original();
    let mut forge = Forge::open(&store);
    let position = forge.alter(|entry| entry.command.transaction_id == "one", |entry| give(entry, 6));
    forge.write(&store);
    let found = first_finding(&store, "a larger piece");
    assert!(found.position > position, "{found}");
}
