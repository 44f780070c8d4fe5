//! Forgeries of what points to which account, and every hash recomputed.
//!
//! What must stay true: an identifier that would point to two accounts is found, and named as what it is (invariant 7).

use crate::support::forge::Forge;
use crate::support::{Ledger, Setup, assert_intact, programs};
use crate::{first_finding, refusal_to_open};
use tallystick::audit::verify::FindingClass;
use tallystick::ledger::command::CommandKind;
use tallystick::ledger::types::IdentifierKey;
use tallystick::store::memory::MemoryStore;

/// Two accounts with a card each; gives the names of the cards.
fn make_original() -> (MemoryStore, [IdentifierKey; 2]) {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&programs::program("", "", ""));
    let edge = ledger.edge();
    assert_eq!(edge.link("m1", "card:1", true, "first").refusal(), None);
    assert_eq!(edge.link("m2", "card:2", true, "second").refusal(), None);
    let cards = ["1", "2"].map(|value| ledger.engine.hasher.identifier("card", value));
    let report = assert_intact(&store, ledger.stop().digest);
    assert_eq!(report.records.linkings, 2);
    (store, cards)
}

/// No account knows of the other's card, so that deciding again finds nothing wrong with either linking.
#[test]
fn a_card_that_points_to_two_accounts_is_found() {
    let (store, [card, other]) = make_original();
    let mut forge = Forge::open(&store);
    let position = forge.alter(
        |entry| entry.command.transaction_id == "second",
        |entry| {
            let CommandKind::Link(linking) = &mut entry.command.kind else { unreachable!("it is a linking") };
            assert_eq!(std::mem::replace(&mut linking.key, card), other);
            entry.decision.effects.identifier.as_mut().expect("it links one").key = card;
        },
    );
    let first = forge.position_of(forge.find(|entry| entry.command.transaction_id == "first"));
    forge.write(&store);
    let found = first_finding(&store, "a card of two accounts");
    assert_eq!((found.position, found.class), (position, FindingClass::Once), "{found}");
    let said = format!("the identifier that is linked was used before, by the record at position {first}");
    assert_eq!(found.sentence, said);
    assert_eq!(refusal_to_open(&store), None, "only verification can find it");
}
