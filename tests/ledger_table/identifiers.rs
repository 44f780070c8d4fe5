//! Identifiers of accounts: cards and whatever else points to one account at a time.
//!
//! What must stay true: an identifier points to one account at a time, whoever asks and whatever crashes; once an
//! unlinking is durable it can point to another.

use std::sync::Arc;

use crate::language::*;
use crate::support::{Ledger, Setup, assert_intact, programs};
use tallystick::ledger::decision::Refusal;

tables! {
    a_card_points_to_one_account_at_a_time(Setup::default(), [plain()]) "
        link m1 card:1                                  -> linked
        who card:1                                      -> m1
        # Whichever partner asks, and for whichever account.
        link m2 card:1                                  -> refused IdentifierTaken
        link m1 card:1 by=south                         -> refused IdentifierTaken
        link m1 card:2                                  -> linked
        link m2 phone:1                                 -> linked
        who phone:1                                     -> m2
        who email:1                                     -> nobody
        unlink m2 card:1                                -> refused IdentifierUnknown
        unlink m1 card:1 by=south                       -> unlinked
        who card:1                                      -> nobody
        unlink m1 card:1                                -> refused IdentifierUnknown
        unlink m9 card:1                                -> refused IdentifierUnknown
        link m2 card:1                                  -> linked
        who card:1                                      -> m2
        balance m2                                      -> 0
    "

    a_linking_is_decided_once(Setup::default(), [plain()]) "
        link m1 card:1 id=a                             -> linked
        link m1 card:1 id=a                             -> again linked
        link m2 card:1 id=a                             -> refused TransactionIdReused: account_id
        link m1 card:2 id=a                             -> refused TransactionIdReused: identifier
        unlink m1 card:1 id=a                           -> refused TransactionIdReused: command
        unlink m1 card:1 id=b                           -> unlinked
        unlink m1 card:1 id=b                           -> again unlinked
        # What was decided stays decided, whatever the card points to by now.
        link m1 card:1 id=a                             -> again linked
        who card:1                                      -> nobody
        link m2 card:1 id=c                             -> linked
        unlink m1 card:1 id=b                           -> again unlinked
        who card:1                                      -> m2
        # A refusal consumed nothing.
        link m3 card:1 id=d                             -> refused IdentifierTaken
        unlink m2 card:1                                -> unlinked
        link m3 card:1 id=d                             -> linked
    "

    an_account_that_must_be_enrolled_is_not_opened_by_a_card(
        Setup::default(), [("enrolled", programs::program("accounts = \"enrolled\"", "", ""))]
    ) "
        link m1 card:1                                  -> refused AccountUnknown
        who card:1                                      -> nobody
        enrol m1 +members                               -> joined members
        link m1 card:1                                  -> linked
    "
}

/// As many cards as an account can have, and one more.
#[test]
fn an_account_has_a_bounded_number_of_identifiers() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&plain().1);
    let edge = ledger.edge();
    for number in 0..tallystick::limits::ACCOUNT_IDENTIFIERS_MAX {
        let linked = edge.link("m1", &format!("card:{number}"), true, &format!("t-{number}"));
        assert_eq!(linked.refusal(), None);
    }
    let refused = edge.link("m1", "card:more", true, "more");
    assert_eq!(refused.refusal(), Some(Refusal::AccountLimitReached));
    assert_eq!(edge.whose("card:more"), None, "a refusal links nothing");
    assert_eq!(edge.link("m2", "card:more", true, "other").refusal(), None, "nor does it hold the card");
    assert_intact(&store, ledger.stop().digest);
}

/// Of two callers who link one card at once one gets it, and after a crash it is still that one's.
#[test]
fn of_two_who_link_a_card_at_once_one_gets_it_and_keeps_it() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&plain().1);
    let mut owners = Vec::new();
    for round in 0..50 {
        let card = format!("card:{round}");
        let answers: Vec<_> = std::thread::scope(|scope| {
            let link = |account: &'static str| {
                let (ledger, card) = (&ledger, &card);
                scope.spawn(move || {
                    let id = format!("{account}-{round}");
                    (account, ledger.edge().link(account, card, true, &id).refusal())
                })
            };
            [link("m1"), link("m2")].map(|thread| thread.join().expect("no caller panics")).into()
        });
        let owner = ledger.edge().whose(&card).expect("one got it");
        for (account, refusal) in answers {
            assert_eq!(refusal.is_none(), *account == *owner, "{card}: {account} {refusal:?}");
            assert!(refusal.is_none_or(|refusal| refusal == Refusal::IdentifierTaken), "{refusal:?}");
        }
        if round % 2 == 0 {
            // Given up again, and taken by the other.
            let other = if *owner == *"m1" { "m2" } else { "m1" };
            assert_eq!(ledger.edge().link(&owner, &card, false, &format!("un-{round}")).refusal(), None);
            assert_eq!(ledger.edge().link(other, &card, true, &format!("re-{round}")).refusal(), None);
            owners.push((card, other.to_owned()));
        } else {
            owners.push((card, owner.into()));
        }
    }
    // What was answered is what a crash leaves.
    let crashed = store.crash(7);
    assert_intact(&store, ledger.stop().digest);
    let ledger = Ledger::on(Arc::new(crashed.clone()), Setup::default());
    for (card, owner) in owners {
        assert_eq!(ledger.edge().whose(&card).as_deref(), Some(&*owner), "{card}");
        let taken = ledger.edge().link("m3", &card, true, &format!("late-{card}"));
        assert_eq!(taken.refusal(), Some(Refusal::IdentifierTaken), "{card}");
    }
    assert_intact(&crashed, ledger.stop().digest);
}
