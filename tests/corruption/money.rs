//! Forgeries of what was paid in and went back, and every hash recomputed.
//!
//! What must stay true: deciding again, or looking at the top-up, finds it (invariant 7).

use std::sync::OnceLock;

use crate::first_finding;
use crate::support::forge::Forge;
use crate::support::{Ledger, Setup, assert_intact, programs};
use tallystick::audit::verify::FindingClass;
use tallystick::journal::record::Entry;
use tallystick::ledger::command::{CommandKind, Redemption};
use tallystick::ledger::decision::Refusal;
use tallystick::ledger::money::{Refund, TopUp};
use tallystick::ledger::types::WalletId;
use tallystick::store::memory::MemoryStore;

const CASH: &str = "[[wallets]]\nname = \"cash\"\nkind = \"money\"\ntop_up_max = 5_000\n\n[earn]";

/// The journal that every row forges: a top-up that goes back in two parts, and one that was spent.
fn original() -> MemoryStore {
    static STORE: OnceLock<MemoryStore> = OnceLock::new();
    STORE.get_or_init(make_original).stop_cleanly()
}

fn make_original() -> MemoryStore {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&programs::program("", "", "").replacen("[earn]", CASH, 1));
    let edge = ledger.edge();
    assert_eq!(edge.top_up("m1", "a", 1, 1_000).granted(), 1_000);
    assert_eq!(edge.top_up("m1", "b", 1, 2_000).granted(), 2_000);
    assert_eq!(edge.refund("r1", "a", Some(300)).granted(), -300);
    assert_eq!(edge.refund("r2", "a", None).granted(), -700);
    let spent = CommandKind::Redeem(Redemption { wallet: WalletId(1), units: 1_500, reward: None });
    assert_eq!(edge.send("m1", "s", spent).granted(), -1_500);
    assert_eq!(edge.refund("r3", "b", None).refusal(), Some(Refusal::InsufficientBalance));
    assert_intact(&store, ledger.stop().digest);
    store
}

fn is_top_up(entry: &Entry) -> bool {
    matches!(entry.command.kind, CommandKind::TopUp(_))
}

fn is_part(entry: &Entry) -> bool {
    matches!(&entry.command.kind, CommandKind::Refund(refund) if !refund.is_rest)
}

fn is_rest(entry: &Entry) -> bool {
    matches!(&entry.command.kind, CommandKind::Refund(refund) if refund.is_rest && entry.decision.refusal().is_none())
}

fn is_refused(entry: &Entry) -> bool {
    matches!(entry.command.kind, CommandKind::Refund(_)) && entry.decision.refusal().is_some()
}

fn paid(entry: &mut Entry) -> &mut TopUp {
    match &mut entry.command.kind {
        CommandKind::TopUp(top_up) => top_up,
        other => panic!("{other:?}"),
    }
}

fn back(entry: &mut Entry) -> &mut Refund {
    match &mut entry.command.kind {
        CommandKind::Refund(refund) => refund,
        other => panic!("{other:?}"),
    }
}

/// What is forged, of which entry, and what finds it.
type Row = (&'static str, fn(&Entry) -> bool, fn(&mut Entry), FindingClass);

const ROWS: [Row; 9] = [
    (
        "more is granted than was paid in",
        is_top_up,
        |entry| entry.decision.effects.lots[0].delta += 1,
        FindingClass::Decision,
    ),
    ("more is paid in than may be", is_top_up, |entry| paid(entry).units = 5_001, FindingClass::Decision),
    (
        "money that dies",
        is_top_up,
        |entry| entry.decision.effects.lots[0].key.expires_at.0 = entry.posted_at.0 + 1,
        FindingClass::Decision,
    ),
    (
        "less is taken than went back",
        is_part,
        |entry| entry.decision.effects.lots[0].delta += 1,
        FindingClass::Decision,
    ),
    ("more went back", is_part, |entry| back(entry).units += 1, FindingClass::Reversal),
    ("more is left", is_part, |entry| back(entry).left += 1, FindingClass::Reversal),
    ("to another payment", is_part, |entry| back(entry).source = "card-2".into(), FindingClass::Reversal),
    ("the part before it is passed over", is_rest, |entry| back(entry).earlier = None, FindingClass::Reversal),
    ("more could have gone back", is_refused, |entry| entry.decision.refundable += 1, FindingClass::Decision),
];

#[test]
fn what_was_not_paid_in_or_given_back_is_found() {
    for (what, fits, change, class) in ROWS {
        let store = original();
        let mut forge = Forge::open(&store);
        let position = forge.alter(fits, change);
        forge.write(&store);
        let found = first_finding(&store, what);
        assert_eq!((found.position, found.class), (position, class), "{what}: {found}");
    }
}

/// A refund that passes over the part before it, and takes as much as if there had been none, is found by that part.
#[test]
fn a_refund_of_what_had_gone_back_already_is_found() {
    let store = original();
    let mut forge = Forge::open(&store);
    let position = forge.alter(is_rest, |entry| {
        let refund = back(entry);
        (refund.earlier, refund.units) = (None, 1_000);
        entry.decision.granted = -1_000;
        entry.decision.effects.lots[0].delta = -1_000;
        entry.decision.balance_after -= 300;
    });
    forge.write(&store);
    let found = first_finding(&store, "a part is passed over");
    assert_eq!((found.position, found.class), (position, FindingClass::Once), "{found}");
    assert!(found.sentence.contains("of the reversals of the same transaction"), "{}", found.sentence);
}
