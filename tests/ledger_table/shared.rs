//! Bounds that accounts share, and bounds of several windows together: shared caps, places of bonuses, rolling windows.
//!
//! What must stay true: no bound is exceeded by one unit, and the last unit is granted, whoever comes for it
//! (invariant 6); what is taken back can be granted again.

use crate::language::*;
use crate::support::{Setup, programs};

const STORE: &str =
    "[[caps]]\nname = \"store-units\"\nmeasure = \"units\"\nsubject = \"store\"\nwindow = \"day\"\nlimit = 25\n";
const TILL: &str =
    "[[caps]]\nname = \"till-units\"\nmeasure = \"units\"\nsubject = \"terminal\"\nwindow = \"day\"\nlimit = 5\n";
const CASHIER: &str = "[[caps]]\nname = \"cashier-units\"\nmeasure = \"units\"\nsubject = \"cashier\"\nwindow = \"day\"\n\
                       limit = 10\nover = \"decline\"\n";
const PARTNER: &str =
    "[[caps]]\nname = \"partner-units\"\nmeasure = \"units\"\nsubject = \"partner\"\nwindow = \"month\"\nlimit = 10\n";
const EVERYBODY: &str =
    "[[caps]]\nname = \"all-units\"\nmeasure = \"units\"\nsubject = \"programme\"\nwindow = \"day\"\nlimit = 7\n";
const BASKETS: &str = "[[caps]]\nname = \"all-baskets\"\nmeasure = \"earning-baskets\"\nsubject = \"programme\"\n\
                       window = \"day\"\nlimit = 2\n";
const SPENT: &str = "[[caps]]\nname = \"till-spent\"\nmeasure = \"eligible-amount\"\nsubject = \"terminal\"\n\
                     window = \"day\"\nlimit = 1000\n";
const ROLLING: &str =
    "[[caps]]\nname = \"rolling\"\nmeasure = \"units\"\nwindow = \"hour\"\nrolling = 24\nlimit = 20\n";
const STORE_ROLLING: &str = "[[caps]]\nname = \"store-rolling\"\nmeasure = \"units\"\nsubject = \"store\"\n\
                             window = \"hour\"\nrolling = 24\nlimit = 20\n";
const CASHIER_ROLLING: &str = "[[caps]]\nname = \"cashier-spent\"\nmeasure = \"eligible-amount\"\nsubject = \"cashier\"\n\
                               window = \"day\"\nrolling = 3\nlimit = 1000\nover = \"hold\"\n";
const MEMBER_ROLLING: &str = "[[caps]]\nname = \"member-visits\"\nmeasure = \"earning-baskets\"\nsubject = \"member\"\n\
                              window = \"day\"\nrolling = 7\nlimit = 2\n";
const WEEKLY: &str = "[[budgets]]\nname = \"pot\"\nunits = 20\nwindow = \"day\"\nrolling = 7\n";
const RULE_ROLLING: &str = "[[rules]]\nname = \"double\"\nmultiplier = \"2\"\n\
                            [[rules.caps]]\nname = \"double-in-all\"\nmeasure = \"units\"\nsubject = \"programme\"\n\
                            window = \"day\"\nrolling = 2\nlimit = 12\n";
const REVIEW: &str = "[[bonuses]]\nname = \"review\"\nunits = 5\non = { activity = \"review\" }\n";
const FIRST: &str =
    "[[bonuses]]\nname = \"first\"\nunits = 15\nlimit = { times = 1, per = \"lifetime\" }\nplaces = 2\n";
const LARGE: &str = "[[bonuses]]\nname = \"large\"\nunits = 15\nwhen = { eligible_minor_min = 1000 }\nplaces = 1\n";

/// Bounds on so many days that follow each other, of an account and of a store, and nothing that comes late.
fn seven_days(rolling: u16) -> String {
    let cap = |name: &str, subject: &str, limit: u16| {
        format!(
            "[[caps]]\nname = \"{name}\"\nmeasure = \"units\"\nsubject = \"{subject}\"\nwindow = \"day\"\n\
             rolling = {rolling}\nlimit = {limit}\n"
        )
    };
    let caps = [cap("days", "account", 20), cap("store-days", "store", 25)].concat();
    programs::program("late_limit_days = 0", "", &caps)
}

tables! {
    a_cap_of_a_store_is_shared_by_its_accounts(Setup::default(), [with("", STORE)]) "
        accrue m1 1500                                  -> 15
        accrue m2 900                                   -> 9
        accrue m3 500                                   -> 1 of 5: store-units -4
        accrue m4 500                                   -> 0 of 5: store-units -5
        quote m4 500                                    -> 0 of 5: store-units -5
        accrue m4 500 store=s2                          -> 5
        # Another partner's store of that name is another store.
        accrue m1 500 by=south                          -> 5
        clock +12h                                      -> moved
        accrue m3 500                                   -> 5
        accrue m3 100 printed=-12h                      -> 0 of 1: store-units -1
        totals m3 -> baskets 3 refused 0 reversals 0 granted 6 reversed 0 clipped 5
    "

    what_is_counted_while_fewer_windows_are_bounded_together_counts_again_later(
        Setup::default(), [("wide", seven_days(7)), ("narrow", seven_days(1)), ("wide-again", seven_days(7))]
    ) "
        accrue m1 1000                                  -> 10
        accrue m2 1000 store=s2                         -> 10
        publish narrow in 1h                            -> published
        clock +1d                                       -> moved
        accrue m1 500                                   -> 5
        accrue m2 500 store=s2                          -> 5
        publish wide-again in 1h                        -> published
        clock +3d                                       -> moved
        accrue m1 100                                   -> 1
        clock +2d                                       -> moved
        # All of the last seven days, whatever was asked when they were counted.
        accrue m1 2000                                  -> 4 of 20: days -16
        accrue m2 2000 store=s2                         -> 5 of 20: days -15
        accrue m3 2000 store=s2                         -> 5 of 20: store-days -15
    "

    a_terminal_is_one_of_its_store(Setup::default(), [with("", TILL)]) "
        accrue m1 500 terminal=t1                       -> 5
        accrue m2 100 terminal=t1                       -> 0 of 1: till-units -1
        accrue m2 100 terminal=t1 store=s2              -> 1
        accrue m2 100 terminal=t2                       -> 1
        # What does not say at which terminal is not bounded.
        accrue m2 900                                   -> 9
    "

    a_cap_that_declines_grants_all_or_nothing(Setup::default(), [with("", CASHIER)]) "
        accrue m1 900 cashier=ann                       -> 9
        accrue m2 200 cashier=ann                       -> 0 of 2: over cashier-units
        accrue m2 100 cashier=ann                       -> 1
        accrue m2 100 cashier=ann                       -> 0 of 1: over cashier-units
        # A cashier is the partner's, in whichever store.
        accrue m2 100 cashier=ann store=s2              -> 0 of 1: over cashier-units
        accrue m2 100 cashier=bob                       -> 1
        accrue m2 100                                   -> 1
        totals m2 -> baskets 6 refused 3 reversals 0 granted 3 reversed 0 clipped 0
    "

    a_cap_of_a_partner_is_for_all_its_stores(Setup::default(), [with("", PARTNER)]) "
        accrue m1 600                                   -> 6
        accrue m1 600 by=south                          -> 6
        accrue m2 600 store=s2                          -> 4 of 6: partner-units -2
        clock +31d                                      -> moved
        accrue m2 600                                   -> 6
    "

    a_cap_of_the_programme_is_for_activities_too(Setup::default(), [with("", &[EVERYBODY, REVIEW, STORE].concat())]) "
        act m1 review                                   -> 5 (review 5)
        act m2 review by=south                          -> 2 of 5: all-units -3 (review 5)
        accrue m3 500                                   -> 0 of 5: all-units -5
        clock +12h                                      -> moved
        accrue m3 500                                   -> 5
    "

    baskets_are_counted_over_all_accounts(Setup::default(), [with("", BASKETS)]) "
        accrue m1 100                                   -> 1
        accrue m2 50                                    -> 0
        accrue m2 100 id=a                              -> 1
        accrue m3 100                                   -> 0 of 1: over all-baskets
        reverse a                                       -> -1
        accrue m3 100                                   -> 1
    "

    what_is_spent_at_a_terminal_is_bounded(Setup::default(), [with("", SPENT)]) "
        accrue m1 999 terminal=t1                       -> 9
        # What earns nothing does not count.
        accrue m2 1 terminal=t1                         -> 0
        accrue m2 101 terminal=t1                       -> 0 of 1: over till-spent
        accrue m2 101 terminal=t2                       -> 1
    "

    a_reversal_gives_the_room_back(Setup::default(), [with("", STORE)]) "
        accrue m1 2500 id=a                             -> 25
        accrue m2 100                                   -> 0 of 1: store-units -1
        reverse a                                       -> -25
        accrue m2 2600                                  -> 25 of 26: store-units -1
    "

    a_reversal_after_the_window_gives_back_to_it(Setup::default(), [with("", STORE)]) "
        accrue m1 2500 id=a                             -> 25
        clock +1d                                       -> moved
        accrue m2 2500                                  -> 25
        reverse a                                       -> -25
        accrue m2 100                                   -> 0 of 1: store-units -1
        accrue m2 100 printed=-1d                       -> 1
        clock +100d                                     -> moved
        accrue m2 100 id=b                              -> 1
        clock +100d                                     -> moved
        reverse b                                       -> -1
        accrue m2 2600                                  -> 25 of 26: store-units -1
    "

    places_are_for_the_first(Setup::default(), [with("", FIRST)]) "
        accrue m1 100 id=a                              -> 16 (first 15)
        accrue m1 100                                   -> 1
        accrue m2 100                                   -> 16 (first 15)
        accrue m3 100                                   -> 1
        used first                                      -> 2
        # The place of what is taken back is free again, for one.
        reverse a                                       -> -16
        used first                                      -> 1
        quote m3 100                                    -> 16 (first 15)
        accrue m3 100                                   -> 16 (first 15)
        accrue m4 100                                   -> 1
        accrue m1 100                                   -> 1
        used first                                      -> 2
    "

    a_denied_basket_takes_no_place(Setup::default(), [with("", &[LARGE, VISITS].concat())]) "
        accrue m1 100                                   -> 1
        accrue m1 100                                   -> 1
        accrue m1 1000                                  -> 0 of 25: over visits
        used large                                      -> 0
        accrue m2 1000                                  -> 25 (large 15)
        accrue m3 1000                                  -> 10
    "

    a_refused_basket_takes_no_place(Setup::default(), [("first", holding_at_most("20", &[LARGE, STORE].concat()))]) "
        accrue m1 900                                   -> 9
        accrue m1 1000                                  -> refused BalanceLimitExceeded
        used large                                      -> 0
        accrue m2 1500                                  -> 16 of 30: store-units -14 (large 15)
    "

    windows_that_follow_each_other_are_bounded_together(Setup::default(), [with("", ROLLING)]) "
        accrue m1 1500                                  -> 15
        clock +12h                                      -> moved
        accrue m1 1500                                  -> 5 of 15: rolling -10
        clock +11h                                      -> moved
        accrue m1 100                                   -> 0 of 1: rolling -1
        clock +1h                                       -> moved
        accrue m1 1600                                  -> 15 of 16: rolling -1
        # A late receipt has the room of all windows that contain it.
        accrue m1 100 printed=-18h                      -> 0 of 1: rolling -1
        accrue m1 900 printed=-47h                      -> 5 of 9: rolling -4
        accrue m1 900 printed=-48h                      -> 9
        accrue m2 2100                                  -> 20 of 21: rolling -1
    "

    windows_of_a_store_are_bounded_together_for_all_accounts(Setup::default(), [with("", STORE_ROLLING)]) "
        accrue m1 1500                                  -> 15
        clock +12h                                      -> moved
        quote m2 1500                                   -> 5 of 15: store-rolling -10
        accrue m2 1500 id=a                             -> 5 of 15: store-rolling -10
        accrue m2 1500 store=s2                         -> 15
        clock +11h                                      -> moved
        accrue m3 100                                   -> 0 of 1: store-rolling -1
        # What is given back has room again, for whichever window contains it.
        reverse a                                       -> -5
        accrue m3 300 id=b                              -> 3
        clock +1h                                       -> moved
        accrue m4 1800                                  -> 17 of 18: store-rolling -1
        # A late receipt has the room of all windows that contain it, those after it included.
        accrue m1 100 printed=-18h                      -> 0 of 1: store-rolling -1
        accrue m1 100 printed=-12h                      -> 0 of 1: store-rolling -1
        accrue m1 900 printed=-47h                      -> 5 of 9: store-rolling -4
        accrue m1 900 printed=-48h                      -> 9
        reverse b                                       -> -3
        accrue m2 400                                   -> 3 of 4: store-rolling -1
    "

    windows_of_a_store_are_forgotten_when_nothing_can_fall_under_them(Setup::default(), [with("", STORE_ROLLING)]) "
        accrue m1 2000 id=a                             -> 20
        clock +24h                                      -> moved
        accrue m1 2100                                  -> 20 of 21: store-rolling -1
        clock +100d                                     -> moved
        accrue m1 2100                                  -> 20 of 21: store-rolling -1
        reverse a                                       -> -20
        accrue m1 100                                   -> 0 of 1: store-rolling -1
    "

    what_is_spent_at_a_cashier_in_three_days_is_looked_at(Setup::default(), [with("", CASHIER_ROLLING)]) "
        accrue m1 600 cashier=ann                       -> 6
        clock +1d                                       -> moved
        accrue m2 400 cashier=ann                       -> 4
        clock +1d                                       -> moved
        accrue m3 100 cashier=ann id=a                  -> 1 held by cashier-spent
        reject a                                        -> -1
        clock +1d                                       -> moved
        accrue m3 600 cashier=ann                       -> 6
        accrue m3 100 cashier=ann                       -> 1 held by cashier-spent
    "

    a_member_comes_twice_in_seven_days(Setup::default(), [with("", MEMBER_ROLLING)]) "
        accrue m1 100 member=ann                        -> 1
        clock +3d                                       -> moved
        accrue m1 100 member=ann                        -> 1
        accrue m1 100 member=bob                        -> 1
        accrue m2 100 member=ann                        -> 1
        clock +3d                                       -> moved
        accrue m1 100 member=ann                        -> 0 of 1: over member-visits
        accrue m1 100 member=bob                        -> 1
        clock +1d                                       -> moved
        accrue m1 100 member=ann                        -> 1
        accrue m1 100 member=ann printed=-2d            -> 0 of 1: over member-visits
    "

    a_budget_may_be_for_seven_days(Setup::default(), [with("", WEEKLY)]) "
        accrue m1 1200                                  -> 12
        clock +3d                                       -> moved
        accrue m2 1200 id=a                             -> 8 of 12: pot -4
        # It goes by the day of posting.
        accrue m2 100 printed=-20d                      -> 0 of 1: pot -1
        clock +3d                                       -> moved
        accrue m2 100                                   -> 0 of 1: pot -1
        clock +1d                                       -> moved
        accrue m3 1500                                  -> 12 of 15: pot -3
        reverse a                                       -> -8
        accrue m3 1500                                  -> 8 of 15: pot -7
    "

    what_a_rule_gives_in_two_days_is_bounded_for_all(Setup::default(), [with("", RULE_ROLLING)]) "
        accrue m1 1000                                  -> 20
        clock +1d                                       -> moved
        accrue m2 500                                   -> 7 of 10: double-in-all -3
        # With nothing left the rule does not count.
        accrue m3 500                                   -> 5: double-in-all used up
        clock +1d                                       -> moved
        accrue m3 1500                                  -> 25 of 30: double-in-all -5
    "
}
