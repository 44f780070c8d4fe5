//! What comes back in parts: by line and quantity, or by the amount of a line without one.
//!
//! What must stay true: whatever the parts and their order, together they take back what was granted, and what the basket
//! took of caps, budgets, places and metrics; what is left of it is judged as it was judged then.

use std::collections::BTreeSet;

use crate::language::*;
use crate::support::edge::{Accrue, LineText};
use crate::support::{Ledger, Setup, assert_intact, programs};
use tallystick::ledger::command::ReturnedLine;
use tallystick::ledger::decision::Refusal;
use tallystick::limits;

const LARGE: &str = "[[bonuses]]\nname = \"large\"\nunits = 15\nwhen = { eligible_minor_min = 1000 }\nplaces = 1\n";
const LARGE_TWICE: &str =
    "[[rules]]\nname = \"large-twice\"\nmultiplier = \"2\"\nwhen = { eligible_minor_min = 1000 }\n";
const DOUBLE: &str = "[[rules]]\nname = \"double\"\nmultiplier = \"2\"\n\
                      [[rules.caps]]\nname = \"double-a-day\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 5\n";
const PIECES: &str = "[[rules]]\nname = \"pieces\"\nfixed_units = 3\nper = \"piece\"\n\
                      [[rules]]\nname = \"line\"\nfixed_units = 10\nper = \"line\"\n";
const REVIEW: &str = "[[bonuses]]\nname = \"review\"\nunits = 5\non = { activity = \"review\" }\n";
const WATCH: &str = "[[caps]]\nname = \"watch\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 5\nover = \"hold\"\n";
const DEBT: &str = "[refunds]\nwhen_spent = \"debt\"\n";
const EXTENDS: &str = "[redemption]\nwhen_returned = \"extend\"\nextend_days = 5\n";
const HELD: &str = "[[caps]]\nname = \"watch\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 20\nover = \"hold\"\n";
const LONG: &str = "[redemption]\nhold_minutes = 4_000\n";
/// More than half of what a balance can be, for every basket.
const WINDFALL: &str = "[[bonuses]]\nname = \"windfall\"\nunits = 600_000_000_000_000_000\n";
const LEVELS: &str = "[tiers]\nmetric = \"spent\"\n\
                      [[tiers.levels]]\nname = \"silver\"\nthreshold = 1000\nmultiplier = \"1.5\"\n";

fn spent(policy: &str, more: &str) -> (&'static str, String) {
    with("", &format!("[refunds]\nwhen_spent = \"{policy}\"\n{more}"))
}

fn rounding(how: &str, per: &str) -> (&'static str, String) {
    let source = with("", "").1.replacen("rounding = \"floor\"", &format!("rounding = \"{how}\""), 1);
    ("first", source.replacen("rounded_per = \"basket\"", &format!("rounded_per = \"{per}\""), 1))
}

tables! {
    lines_come_back_piece_by_piece(Setup::default(), [plain()]) "
        accrue m1 250x2 99 id=a                         -> 3
        reverse a 0x1 id=v                              -> -1
        reverse a 0x1 id=v                              -> again -1
        reverse a 0x2 id=v                              -> refused TransactionIdReused: lines
        reverse a id=v                                  -> refused TransactionIdReused: lines
        reverse a 1x1 0x2                               -> refused ReturnTooLarge: lines[1].quantity
        reverse a 2x1                                   -> refused LineUnknown: lines[0].line_index
        reverse a 1@50                                  -> refused LineUnknown: lines[0].amount_minor
        reverse a 0x1                                   -> -2
        balance m1                                      -> 0
        # A part leaves the receipt used.
        accrue m2 100 id=b receipt=a                    -> refused ReceiptAlreadyEarned
        reverse a id=w                                  -> 0
        reverse a id=w                                  -> again 0
        reverse a                                       -> refused AlreadyReversed
        reverse a 1x1                                   -> refused AlreadyReversed
        accrue m2 100 id=b receipt=a                    -> 1
        reverse v                                       -> refused NotReversible
        totals m1 -> baskets 1 refused 0 reversals 3 granted 3 reversed 3 clipped 0
    "

    lines_without_a_quantity_come_back_by_amount(Setup::default(), [plain()]) "
        accrue m1 1000x0 300x0 id=a                     -> 13
        reverse a 0@250                                 -> -3
        reverse a 0@751                                 -> refused ReturnTooLarge: lines[0].amount_minor
        reverse a 0x1                                   -> refused LineUnknown: lines[0].quantity
        reverse a 0@750 1@300                           -> -10
        reverse a                                       -> refused AlreadyReversed
        # Of nothing, the whole can come back.
        accrue m1 0x0 id=b                              -> 0
        reverse b 0x1                                   -> refused LineUnknown: lines[0].quantity
        reverse b                                       -> 0
    "

    whatever_is_rounded_the_parts_are_the_whole(Setup::default(), [rounding("half-up", "line")]) "
        accrue m1 1000x3 50 49 id=a                     -> 11
        reverse a 0x1                                   -> -3
        reverse a 0x1                                   -> -4
        reverse a 2x1                                   -> 0
        reverse a 0x1                                   -> -3
        reverse a                                       -> -1
        balance m1                                      -> 0
    "

    what_a_cap_withheld_goes_back_first(Setup::default(), [with("", DAILY)]) "
        accrue m1 2000x4 900 id=a                       -> 20 of 29: daily -9
        reverse a 0x1                                   -> 0
        counter m1 daily                                -> 20
        reverse a 1x1                                   -> -5
        counter m1 daily                                -> 15
        # What others are granted in between stands, and the room is free for it.
        accrue m1 900 id=b                              -> 5 of 9: daily -4
        reverse a 0x2                                   -> -10
        reverse a                                       -> -5
        counter m1 daily                                -> 5
        accrue m1 1600                                  -> 15 of 16: daily -1
        reverse b                                       -> -5
        balance m1                                      -> 15
    "

    a_budget_gets_back_what_the_rest_does_not_draw(Setup::default(), [with("", OPENING)]) "
        accrue m1 2000 id=x                             -> 20
        accrue m1 900x3 id=a                            -> 5 of 9: opening -4
        reverse a 0x1                                   -> 0
        used opening                                    -> 25
        reverse a 0x1                                   -> -2
        used opening                                    -> 23
        accrue m2 900                                   -> 2 of 9: opening -7
        reverse a                                       -> -3
        used opening                                    -> 22
    "

    what_depends_on_a_threshold_goes_with_it(Setup::default(), [with("", LARGE)]) "
        accrue m1 600 500 id=a                          -> 26 (large 15)
        accrue m2 1500                                  -> 15
        reverse a 1x1                                   -> -20
        used large                                      -> 0
        accrue m2 1500                                  -> 30 (large 15)
        reverse a                                       -> -6
    "

    a_rule_for_large_baskets_goes_with_the_threshold(Setup::default(), [with("", LARGE_TWICE)]) "
        accrue m1 600 500 id=a                          -> 22
        reverse a 1x1                                   -> -16
        reverse a 0x1                                   -> -6
        reverse a                                       -> refused AlreadyReversed
    "

    units_beside_the_amount_come_back_with_piece_and_line(Setup::default(), [with("", PIECES)]) "
        accrue m1 200x2 0x0 id=a                        -> 28
        reverse a 0x1                                   -> -4
        reverse a 0x1                                   -> -24
        reverse a                                       -> refused AlreadyReversed
    "

    levels_follow_what_is_kept(Setup::default(), [with("", &[programs::METRIC, LEVELS].concat())]) "
        accrue m1 800 700 id=a                          -> 15
        accrue m1 200 id=b                              -> 3 at silver
        reverse a 1x1                                   -> -7
        counter m1 spent                                -> 1000
        accrue m1 200                                   -> 3 at silver
        reverse a                                       -> -8
        counter m1 spent                                -> 400
        accrue m1 200                                   -> 2
        # What was judged on a level comes back as it was judged.
        reverse b                                       -> -3
    "

    a_visit_counts_until_nothing_of_it_earns(Setup::default(), [with("", &[VISITS, programs::METRIC].concat())]) "
        accrue m1 300x3 id=a                            -> 3
        accrue m1 100 id=b                              -> 1
        accrue m1 500x5 id=c                            -> 0 of 5: over visits
        reverse a 0x2                                   -> -2
        counter m1 visits                               -> 2
        # What was denied stays denied; what it spent goes back.
        reverse c 0x2                                   -> 0
        counter m1 spent                                -> 500
        reverse a                                       -> -1
        counter m1 visits                               -> 1
        accrue m1 100                                   -> 1
        reverse c                                       -> 0
        counter m1 spent                                -> 200
    "

    what_is_spent_is_taken_from_what_there_is(Setup::default(), [plain()]) "
        accrue m1 1000x10 id=a                          -> 10
        redeem m1 8                                     -> -8
        reverse a 0x3 id=v                              -> refused InsufficientBalance
        reverse a 0x3 id=v                              -> again refused InsufficientBalance
        reverse a 0x2                                   -> -2
        accrue m1 500                                   -> 5
        reverse a 0x3                                   -> -3
        reverse a                                       -> refused InsufficientBalance
        accrue m1 300                                   -> 3
        reverse a                                       -> -5
        balance m1                                      -> 0
    "

    what_is_lacking_is_owed_to_later_earnings(
        Setup::default(), [spent("debt", &[REVIEW, programs::METRIC].concat())]
    ) "
        accrue m1 1000x10 id=a                          -> 10
        redeem m1 8                                     -> -8
        reverse a 0x3 id=v                              -> -2
        reverse a 0x3 id=v                              -> again -2
        owed m1                                         -> 1
        balance m1                                      -> 0
        redeem m1 1                                     -> refused InsufficientBalance
        reverse a                                       -> 0
        owed m1                                         -> 8
        counter m1 spent                                -> 0
        # What is earned is granted whole, and taken at once.
        accrue m1 500 id=b                              -> 5
        owed m1                                         -> 3
        balance m1                                      -> 0
        act m1 review                                   -> 5 (review 5)
        owed m1                                         -> 0
        balance m1                                      -> 2
        # What is given is no earning, and what is taken back of a grant that was collected is owed again.
        reverse b                                       -> -2
        owed m1                                         -> 3
        adjust m1 1                                     -> 1
        balance m1                                      -> 1
        totals m1 -> baskets 2 refused 0 reversals 3 granted 21 reversed 12 clipped 0
    "

    a_debt_can_be_shown_as_less_than_nothing(Setup::default(), [spent("negative", "")]) "
        accrue m1 1000 id=a                             -> 10
        redeem m1 8                                     -> -8
        reverse a                                       -> -2 leaving -8
        owed m1                                         -> 8
        accrue m1 300                                   -> 3 leaving -5
        redeem m1 1                                     -> refused InsufficientBalance
        accrue m1 900                                   -> 9 leaving 4
        owed m1                                         -> 0
    "

    nobody_owes_more_than_a_balance_can_be(Setup::default(), [spent("debt", WINDFALL)]) "
        accrue m1 0 id=a                                -> 600000000000000000 (windfall 600000000000000000)
        redeem m1 600000000000000000                    -> -600000000000000000
        accrue m1 0 id=b                                -> 600000000000000000 (windfall 600000000000000000)
        redeem m1 600000000000000000                    -> -600000000000000000
        reverse a                                       -> 0
        owed m1                                         -> 600000000000000000
        reverse b id=v                                  -> refused InsufficientBalance
        reverse b id=v                                  -> again refused InsufficientBalance
        owed m1                                         -> 600000000000000000
        # What is earned pays it off, and then there is room for another debt.
        accrue m1 0                                     -> 600000000000000000 (windfall 600000000000000000)
        owed m1                                         -> 0
        reverse b                                       -> 0
        owed m1                                         -> 600000000000000000
    "

    a_lot_holds_what_is_granted_before_it_is_collected(Setup::default(), [spent("negative", WINDFALL)]) "
        accrue m1 0 id=a                                -> 600000000000000000 (windfall 600000000000000000)
        redeem m1 600000000000000000 id=r               -> -600000000000000000
        reverse a                                       -> 0 leaving -600000000000000000
        reverse r                                       -> 600000000000000000 back
        # The balance would be the same, but for a moment the lot would be too large.
        accrue m1 0                                     -> refused BalanceLimitExceeded
        redeem m1 500000000000000000                    -> -500000000000000000
        accrue m1 0                                     -> 600000000000000000 (windfall 600000000000000000) leaving 100000000000000000
        owed m1                                         -> 0
    "

    what_is_held_or_dead_is_not_collected(Setup::default(), [spent("debt", WATCH)]) "
        accrue m1 500 id=a                              -> 5
        redeem m1 5                                     -> -5
        reverse a                                       -> 0
        accrue m1 900                                   -> 9 held by watch
        owed m1                                         -> 5
        accrue m1 300 printed=-1d                       -> 3
        owed m1                                         -> 2
    "

    what_was_kept_alive_and_spent_is_owed_after_its_stated_death(
        Setup::default(), [with("expiry = { inactive_days = 1 }", DEBT)]
    ) "
        accrue m1 1000 id=a                             -> 10
        clock +1d                                       -> moved
        redeem m1 6                                     -> -6
        clock +1d                                       -> moved
        lots m1                                         -> 4 north 12h
        reverse a                                       -> -4
        owed m1                                         -> 6
        accrue m1 700                                   -> 7
        balance m1                                      -> 1
        totals m1 -> baskets 2 refused 0 reversals 1 granted 17 reversed 10 clipped 0
    "

    what_was_earned_since_is_not_taken_for_what_died_of_silence(
        Setup::default(), [with("expiry = { inactive_days = 1 }", DEBT)]
    ) "
        accrue m1 1000 id=a                             -> 10
        clock +5d                                       -> moved
        accrue m1 1000 id=b                             -> 10
        reverse a                                       -> 0
        balance m1                                      -> 10
        reverse b                                       -> -10
        owed m1                                         -> 0
    "

    what_is_set_aside_beyond_its_death_has_not_died(
        Setup::default(), [with("expiry = { after_days = 1 }", &[DEBT, LONG].concat())]
    ) "
        accrue m1 1000 id=a                             -> 10
        authorize m1 10 id=h                            -> aside 10 for 4000m
        clock +2d                                       -> moved
        reverse a                                       -> 0
        owed m1                                         -> 10
        capture h 10                                    -> captured 10
        owed m1                                         -> 10
    "

    what_was_held_and_died_lets_off_nothing_else(
        Setup::default(), [with("expiry = { after_days = 2 }", &[DEBT, HELD].concat())]
    ) "
        accrue m1 1000 id=a                             -> 10
        redeem m1 10                                    -> -10
        accrue m1 2000 id=h                             -> 20 held by watch
        accrue m1 2500 id=j                             -> 25 held by watch
        clock +4d                                       -> moved
        reject h                                        -> 0
        reverse j                                       -> 0
        # What the first basket earned was spent in time.
        reverse a                                       -> 0
        owed m1                                         -> 10
    "

    what_died_while_it_is_held_lets_off_nothing_else_before_its_review(
        Setup::default(), [with("expiry = { after_days = 2 }", &[DEBT, HELD].concat())]
    ) "
        accrue m1 1000 id=a                             -> 10
        redeem m1 10                                    -> -10
        accrue m1 2000 id=h                             -> 20 held by watch
        accrue m1 2500 id=j                             -> 25 held by watch
        clock +4d                                       -> moved
        # What the first basket earned was spent in time, whether or not somebody has looked at the others.
        reverse a                                       -> 0
        owed m1                                         -> 10
        reject h                                        -> 0
        reverse j                                       -> 0
        owed m1                                         -> 10
    "

    what_came_back_alive_after_its_stated_death_is_taken_back(
        Setup::default(), [with("expiry = { after_days = 1 }", EXTENDS)]
    ) "
        accrue m1 1000 id=a                             -> 10
        redeem m1 10 id=r                               -> -10
        clock +2d                                       -> moved
        reverse r                                       -> 10 back
        lots m1                                         -> 10 north 132h
        reverse a                                       -> -10
        balance m1                                      -> 0
    "

    what_was_restored_is_taken_back(Setup::default(), [with("expiry = { after_days = 1 }", "")]) "
        accrue m1 1000 id=a                             -> 10
        clock +2d                                       -> moved
        accrue m1 500 id=b                              -> 5
        restore m1 b until=+5d                          -> restored 10
        lots m1                                         -> 5 north 36h, 10 north 120h
        # Nothing tells them from others of their kind: those that die first.
        reverse a                                       -> -10
        lots m1                                         -> 5 north 120h
    "

    what_was_spent_in_time_is_taken_after_its_death(Setup::default(), [with("expiry = { after_days = 1 }", "")]) "
        accrue m1 1000x10 id=a                          -> 10
        redeem m1 6                                     -> -6
        clock +2d                                       -> moved
        # Four have died, and are gone with the first part.
        reverse a 0x3 id=v                              -> 0
        reverse a 0x3                                   -> refused InsufficientBalance
        accrue m1 800                                   -> 8
        reverse a 0x3                                   -> -2
        reverse a                                       -> -4
        balance m1                                      -> 2
        ends m1                                         -> redeemed 6 expired 4 refused 0
        # They excuse nothing else: what another basket granted has been spent.
        redeem m1 2                                     -> -2
        accrue m2 1000 id=b                             -> 10
        redeem m2 10                                    -> -10
        clock +2d                                       -> moved
        reverse b                                       -> refused InsufficientBalance
    "

    what_is_set_aside_of_it_may_die_yet(Setup::default(), [with("expiry = { after_days = 1 }", LONG)]) "
        accrue m1 1000 id=a                             -> 10
        authorize m1 6 id=h                             -> aside 6 for 4000m
        clock +2d                                       -> moved
        accrue m1 500                                   -> 5
        # It could be captured still.
        reverse a                                       -> refused InsufficientBalance
        balance m1                                      -> 11
        void h                                          -> 6 back
        balance m1                                      -> 5
        reverse a                                       -> 0
        balance m1                                      -> 5
        ends m1                                         -> redeemed 0 expired 10 refused 0
    "

    what_has_died_of_it_is_gone_already(Setup::default(), [with("expiry = { after_days = 1 }", "")]) "
        accrue m1 1000x10 id=a                          -> 10
        reverse a 0x3                                   -> -3
        clock +3d                                       -> moved
        accrue m1 500                                   -> 5
        reverse a 0x3                                   -> 0
        reverse a                                       -> 0
        balance m1                                      -> 5
        ends m1                                         -> redeemed 0 expired 7 refused 0
    "

    what_is_held_comes_back_whole_or_not_at_all(Setup::default(), [with("", WATCH)]) "
        accrue m1 900x3 id=a                            -> 9 held by watch
        reverse a 0x1                                   -> refused ReturnHeld
        release a                                       -> released 9
        reverse a 0x1                                   -> -3
        reject a                                        -> refused AlreadyReviewed
        reverse a                                       -> -6
        accrue m1 900x3 id=b                            -> 9 held by watch
        reverse b 0x3                                   -> -9
        accrue m1 900x3 id=c                            -> 9 held by watch
        reject c                                        -> -9
        reverse c 0x1                                   -> refused AlreadyReversed
        held m1                                         ->
    "

    what_is_carried_comes_back_too(Setup::default(), [rounding("carry", "basket")]) "
        accrue m1 150 id=a                              -> 1
        accrue m1 50 id=b                               -> 1
        reverse b                                       -> -1
        accrue m1 50x5 id=c                             -> 1
        # The half that it used came from what is taken back: it is owed to the next basket.
        reverse a                                       -> -1
        accrue m1 60                                    -> 0
        accrue m1 90                                    -> 1
        balance m1                                      -> 2
        # 0.30 of c with the half that was there before it are less than a unit, and are left over.
        reverse c 0x2                                   -> -1
        reverse c                                       -> 0
        accrue m1 50                                    -> 1
        accrue m1 100                                   -> 1
        balance m1                                      -> 3
    "

    a_cap_of_a_rule_clips_the_rest_too(Setup::default(), [with("", DOUBLE)]) "
        accrue m1 400 400 400 id=a                      -> 17 of 24: double-a-day -7
        reverse a 2x1                                   -> -4
        counter m1 double-a-day                         -> 5
        reverse a 1x1                                   -> -5
        counter m1 double-a-day                         -> 4
        reverse a                                       -> -8
    "

    what_a_rule_gave_beyond_its_cap_goes_back_first(Setup::default(), [with("", DOUBLE)]) "
        accrue m1 400 400 id=a                          -> 13 of 16: double-a-day -3
        reverse a 1x1                                   -> -5
        counter m1 double-a-day                         -> 4
        accrue m1 300                                   -> 4 of 6: double-a-day -2
        reverse a                                       -> -8
        counter m1 double-a-day                         -> 1
    "
}

/// A basket comes back in as many parts as it can; then whatever is left comes back at once.
pub fn in_many_parts() -> Reached {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&plain().1);
    let edge = ledger.edge();
    let lines = vec![LineText { quantity: 1_000, ..LineText::of(100_000) }];
    assert_eq!(edge.accrue(&Accrue { lines, ..Accrue::simple("m1", "a", 0) }).granted(), 1_000);
    let piece = [ReturnedLine { line: 0, quantity: 1, amount_minor: 0 }];
    for index in 0..limits::REVERSALS_OF_ONE_MAX {
        assert_eq!(edge.give_back(&format!("v-{index}"), "a", &piece).granted(), -1);
    }
    let beyond = edge.give_back("beyond", "a", &piece);
    let rest = i64::try_from(limits::REVERSALS_OF_ONE_MAX).expect("it is small") - 1_000;
    assert_eq!(edge.reverse("rest", "a").granted(), rest);
    assert_eq!(edge.reverse("again", "a").refusal(), Some(Refusal::AlreadyReversed));
    assert_intact(&store, ledger.stop().digest);
    beyond.refusal().into_iter().collect()
}

#[test]
fn a_basket_comes_back_in_a_bounded_number_of_parts() {
    assert_eq!(in_many_parts(), BTreeSet::from([Refusal::ReturnLimitReached]));
}
