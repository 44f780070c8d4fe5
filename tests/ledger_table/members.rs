//! Caps of single members of an account that several share.
//!
//! What must stay true: a member's room is the member's alone, and the last unit of it is granted (invariant 6); nobody
//! is counted who is not named.

use crate::language::*;
use crate::support::edge::Accrue;
use crate::support::{Ledger, Setup, assert_intact};

const DAILY_OF_MEMBER: &str = "[[caps]]\nname = \"member-units\"\nmeasure = \"units\"\nsubject = \"member\"\n\
                               window = \"day\"\nlimit = 10\n";
const BASKETS_OF_MEMBER: &str = "[[caps]]\nname = \"member-baskets\"\nmeasure = \"earning-baskets\"\n\
                                 subject = \"member\"\nwindow = \"day\"\nlimit = 1\n";
const OWN_OF_MEMBER: &str = "[[rules]]\nname = \"own-double\"\nmatch = { brand = [\"Own\"] }\nmultiplier = \"2\"\n\
                             [[rules.caps]]\nname = \"member-own\"\nmeasure = \"units\"\nsubject = \"member\"\n\
                             window = \"lifetime\"\nlimit = 5\n";
const WATCH: &str = "[[caps]]\nname = \"watch\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 8\nover = \"hold\"\n";
const REVIEW: &str = "[[bonuses]]\nname = \"review\"\nunits = 7\non = { activity = \"review\" }\n";

tables! {
    each_member_of_an_account_has_room_of_its_own(Setup::default(), [with("", DAILY_OF_MEMBER)]) "
        accrue m1 900 member=ann                        -> 9
        accrue m1 900 member=bob                        -> 9
        accrue m1 900 member=ann id=a                   -> 1 of 9: member-units -8
        accrue m1 900 member=ann                        -> 0 of 9: member-units -9
        quote m1 900 member=bob                         -> 1 of 9: member-units -8
        # Whoever is not named is not bounded, and another account's ann is somebody else.
        accrue m1 900                                   -> 9
        accrue m2 900 member=ann                        -> 9
        # What is taken back can be granted again, to the same member.
        reverse a                                       -> -1
        accrue m1 900 member=ann                        -> 1 of 9: member-units -8
        clock +12h                                      -> moved
        accrue m1 900 member=ann                        -> 9
        totals m1 -> baskets 7 refused 0 reversals 1 granted 38 reversed 1 clipped 25
    "

    what_is_rejected_gives_room_back_to_its_member(Setup::default(), [with("", &[DAILY_OF_MEMBER, WATCH].concat())]) "
        accrue m1 900 member=ann id=a                   -> 9 held by watch
        act m1 review member=ann id=b                   -> 0
        accrue m1 200 member=ann id=c                   -> 1 of 2: member-units -1 held by watch
        reject a                                        -> -9
        accrue m1 1000 member=ann id=d                  -> 9 of 10: member-units -1 held by watch
        accrue m1 100 member=bob id=e                   -> 1 held by watch
        reject c                                        -> -1
        reject d                                        -> -9
        accrue m1 400 member=ann                        -> 4
        held m1                                         -> e 1 by watch
    "

    a_member_s_cap_may_decline(Setup::default(), [with("", BASKETS_OF_MEMBER)]) "
        accrue m1 100 member=ann                        -> 1
        accrue m1 100 member=ann                        -> 0 of 1: over member-baskets
        accrue m1 100 member=bob                        -> 1
    "

    activities_count_for_their_member(Setup::default(), [with("", &[DAILY_OF_MEMBER, REVIEW].concat())]) "
        act m1 review member=ann                        -> 7 (review 7)
        act m1 review member=ann                        -> 3 of 7: member-units -4 (review 7)
        act m1 review member=bob                        -> 7 (review 7)
        act m1 review                                   -> 7 (review 7)
    "

    a_rule_s_cap_may_be_a_member_s(Setup::default(), [with("", OWN_OF_MEMBER)]) "
        accrue m1 F/Own:400 member=ann                  -> 8
        accrue m1 F/Own:400 member=ann                  -> 5 of 8: member-own -3
        accrue m1 F/Own:400 member=ann                  -> 4: member-own used up
        accrue m1 F/Own:400 member=bob                  -> 8
        accrue m1 F/Own:400                             -> 8
    "

    a_repetition_names_the_same_member(Setup::default(), [with("", DAILY_OF_MEMBER)]) "
        accrue m1 900 member=ann id=t                   -> 9
        accrue m1 900 member=ann id=t                   -> again 9
        accrue m1 900 member=bob id=t                   -> refused TransactionIdReused: basket.member_id
        accrue m1 900 id=t                              -> refused TransactionIdReused: basket.member_id
        redeem m1 5 member=ann id=r                     -> -5
        redeem m1 5 member=ann id=r                     -> again -5
        redeem m1 5 member=bob id=r                     -> refused TransactionIdReused: member_id
    "
}

/// Members' counters end with their window, and leave nothing behind; until then an account keeps a bounded number.
#[test]
fn an_account_keeps_a_bounded_number_of_members() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&with("", DAILY_OF_MEMBER).1);
    let basket = |member: usize| Accrue {
        member: format!("member-{member}"),
        ..Accrue::simple("m1", &format!("t-{member}"), 100)
    };
    let most = tallystick::limits::MEMBER_COUNTERS_MAX;
    for member in 0..most {
        assert_eq!(ledger.edge().accrue(&basket(member)).granted(), 1);
    }
    let refused = ledger.edge().accrue(&basket(most));
    assert_eq!(refused.refusal(), Some(tallystick::ledger::decision::Refusal::AccountLimitReached));
    let known = Accrue { member: "member-0".to_owned(), ..Accrue::simple("m1", "again", 100) };
    assert_eq!(ledger.edge().accrue(&known).granted(), 1, "who is known is counted");
    ledger.clock.advance(100 * crate::support::NS_PER_DAY);
    assert_eq!(ledger.edge().accrue(&basket(most + 1)).granted(), 1, "what is over is forgotten");
    let kept = ledger.edge().account("m1").expect("it is open").account.profile.map(|profile| profile.members.len());
    assert_eq!(kept, Some(1));
    assert_intact(&store, ledger.stop().digest);
}
