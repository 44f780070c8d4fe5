//! Forgeries of what is set aside, captured and given back, and every hash recomputed.
//!
//! What must stay true: deciding again, or looking at the authorization, finds it (invariant 7).

use std::sync::OnceLock;

use crate::first_finding;
use crate::support::edge::Accrue;
use crate::support::forge::Forge;
use crate::support::{Ledger, NS_PER_SECOND, Setup, assert_intact, programs};
use tallystick::audit::verify::FindingClass;
use tallystick::journal::record::Entry;
use tallystick::ledger::authorization::AuthorizationChange;
use tallystick::ledger::command::{CommandKind, SettingAside};
use tallystick::ledger::types::{TimestampNs, WalletId};
use tallystick::store::memory::MemoryStore;

/// The journal that every row forges: one authorization captured in two parts, one that is voided, one that runs out.
fn original() -> MemoryStore {
    static STORE: OnceLock<MemoryStore> = OnceLock::new();
    STORE.get_or_init(make_original).stop_cleanly()
}

fn make_original() -> MemoryStore {
    // Where the clock is the input no sweep comes before the commands.
    let (ledger, store) = Ledger::new(Setup { clock_is_input: true, ..Setup::default() });
    let ledger = ledger.with_program(&programs::program("", "", ""));
    let edge = ledger.edge();
    let accrue = |id: &str| {
        let stamp = Some(tallystick::clock::Clock::now(&*ledger.clock));
        edge.accrue(&Accrue { stamp, ..Accrue::simple("m1", id, 3_000) }).granted()
    };
    assert_eq!(accrue("x"), 30);
    for id in ["a", "b", "c"] {
        let asked = SettingAside { wallet: WalletId(0), units: 10, hold_seconds: None };
        assert_eq!(edge.send("m1", id, CommandKind::Authorize(asked)).refusal(), None);
    }
    assert_eq!(edge.end("a1", "a", Some((4, false))).granted(), -4);
    assert_eq!(edge.end("a2", "a", Some((3, true))).granted(), -3);
    assert_eq!(edge.end("v", "b", None).refusal(), None);
    ledger.clock.advance(3_600 * NS_PER_SECOND);
    assert_eq!(accrue("y"), 30);
    assert_intact(&store, ledger.stop().digest);
    store
}

fn is_authorization(entry: &Entry) -> bool {
    matches!(entry.command.kind, CommandKind::Authorize(_))
}

fn is_capture(entry: &Entry) -> bool {
    matches!(&entry.command.kind, CommandKind::Capture(capture) if !capture.is_final)
}

fn is_void(entry: &Entry) -> bool {
    matches!(entry.command.kind, CommandKind::Void(_))
}

fn is_end(entry: &Entry) -> bool {
    entry.decision.effects.authorizations.as_deref().is_some_and(|changes| !changes.ended.is_empty())
}

fn own(entry: &mut Entry) -> &mut AuthorizationChange {
    let changes = entry.decision.effects.authorizations.as_deref_mut();
    changes.and_then(|changes| changes.own.as_mut()).expect("it changes an authorization")
}

/// What is forged, of which entry.
type Row = (&'static str, fn(&Entry) -> bool, fn(&mut Entry));

/// Forges that show in the record itself.
const AT_ONCE: [Row; 8] = [
    ("a hold lasts longer", is_authorization, |entry| match own(entry) {
        AuthorizationChange::Begins(_, ends_at) => ends_at.0 += 1,
        other => panic!("{other:?}"),
    }),
    ("less is set aside", is_authorization, |entry| entry.decision.effects.lots[0].delta += 1),
    ("less is burned than was captured", is_capture, |entry| entry.decision.effects.lots[1].delta += 1),
    ("more is left", is_capture, |entry| match own(entry) {
        AuthorizationChange::Captures { rest, .. } => *rest += 1,
        other => panic!("{other:?}"),
    }),
    ("a capture ends what goes on", is_capture, |entry| match own(entry) {
        AuthorizationChange::Captures { closes, .. } => *closes = true,
        other => panic!("{other:?}"),
    }),
    ("a void gives nothing back", is_void, |entry| entry.decision.effects.lots.clear()),
    ("an authorization did not run out", is_end, |entry| {
        entry.decision.effects.authorizations = None;
        entry.decision.effects.lots.remove(0);
    }),
    ("more came back when the time ran out", is_end, |entry| entry.decision.effects.lots[0].delta += 1),
];

#[test]
fn what_was_not_decided_is_found_by_deciding_again() {
    for (what, fits, change) in AT_ONCE {
        let store = original();
        let mut forge = Forge::open(&store);
        let position = forge.alter(fits, change);
        forge.write(&store);
        let found = first_finding(&store, what);
        assert_eq!((found.position, found.class), (position, FindingClass::Decision), "{what}: {found}");
        assert!(found.sentence.contains("deciding it again gives another decision"), "{what}: {}", found.sentence);
    }
}

#[test]
fn a_capture_of_another_authorization_is_found_by_looking_at_it() {
    let rows: [Row; 3] = [
        ("another position", is_capture, |entry| match &mut entry.command.kind {
            CommandKind::Capture(capture) => capture.of.position.0 += 1,
            other => panic!("{other:?}"),
        }),
        ("a later end", is_capture, |entry| match &mut entry.command.kind {
            CommandKind::Capture(capture) => capture.of.ends_at = TimestampNs(capture.of.ends_at.0 + 1),
            other => panic!("{other:?}"),
        }),
        ("another wallet", is_void, |entry| match &mut entry.command.kind {
            CommandKind::Void(of) => of.wallet = WalletId(1),
            other => panic!("{other:?}"),
        }),
    ];
    for (what, fits, change) in rows {
        let store = original();
        let mut forge = Forge::open(&store);
        let position = forge.alter(fits, change);
        forge.write(&store);
        let found = first_finding(&store, what);
        assert_eq!((found.position, found.class), (position, FindingClass::Reversal), "{what}: {found}");
    }
}

/// A capture that says and does one unit more than was asked for is as good as another: the units are missed later.
#[test]
fn a_capture_of_more_is_found_by_what_comes_after() {
    let store = original();
    let mut forge = Forge::open(&store);
    let position = forge.alter(is_capture, |entry| {
        let CommandKind::Capture(capture) = &mut entry.command.kind else { panic!("it is one") };
        capture.units += 1;
        let AuthorizationChange::Captures { units, captured, rest, .. } = own(entry) else { panic!("it is one") };
        (*units, *captured, *rest) = (*units + 1, *captured + 1, *rest - 1);
        let decision = &mut entry.decision;
        (decision.granted, decision.balance_after) = (decision.granted - 1, decision.balance_after - 1);
        (decision.effects.lots[0].delta, decision.effects.lots[1].delta) = (5, -5);
    });
    forge.write(&store);
    let found = first_finding(&store, "a capture of more");
    assert!(found.position > position && found.class == FindingClass::Decision, "{found}");
}
