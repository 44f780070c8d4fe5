//! Budgets that all accounts share.
//!
//! What must stay true: a budget is drawn on by what is granted, and by no more than it holds (invariant 6).

use crate::language::*;
use crate::support::Setup;

tables! {
    the_last_unit_of_a_budget_is_granted(Setup::default(), [with("", OPENING)]) "
        accrue m1 1500                                  -> 15
        accrue m2 900                                   -> 9
        accrue m3 500                                   -> 1 of 5: opening -4
        accrue m4 500                                   -> 0 of 5: opening -5
        accrue m4 50                                    -> 0
        used opening                                    -> 25
    "

    several_budgets_are_drawn_on_by_what_all_of_them_allow(
        Setup::default(), [with("", &[OPENING, SECOND, FEBRUARY].concat())]
    ) "
        accrue m1 1000                                  -> 10
        accrue m2 500                                   -> 2 of 5: second -3
        used opening                                    -> 12
        used second                                     -> 12
        accrue m3 2000                                  -> 0 of 20: opening -7, second -13
        used opening                                    -> 12
        # A budget counts by the day of posting, not by the receipt's.
        accrue m4 100 printed=-2d                       -> 0 of 1: second -1
        used february                                   -> 0
    "

    a_budget_is_in_force_on_its_last_day(
        Setup::default(),
        [with("", "[[budgets]]\nname = \"first-week\"\nunits = 5\nfrom = 2017-03-01\nuntil = 2017-03-02\n")]
    ) "
        accrue m1 400                                   -> 4
        clock +1d                                       -> moved
        accrue m1 400                                   -> 1 of 4: first-week -3
        clock +12h                                      -> moved
        accrue m1 400                                   -> 4
        used first-week                                 -> 5
    "

    caps_come_before_budgets(Setup::default(), [with("", &[DAILY, OPENING].concat())]) "
        accrue m1 3000                                  -> 20 of 30: daily -10
        accrue m2 3000                                  -> 5 of 30: daily -10, opening -15
        accrue m2 3000                                  -> 0 of 30: daily -15, opening -15
        used opening                                    -> 25
    "

    a_budget_goes_on_counting_in_the_next_version(
        Setup::default(),
        [
            with("", OPENING),
            ("more", with("", &OPENING.replace("25", "30")).1),
            ("less", with("", &OPENING.replace("25", "7")).1)
        ]
    ) "
        accrue m1 2600                                  -> 25 of 26: opening -1
        publish more in 1h                              -> published
        clock +1h                                       -> moved
        accrue m1 600                                   -> 5 of 6: opening -1
        publish less in 1h                              -> published
        clock +1h                                       -> moved
        accrue m1 600                                   -> 0 of 6: opening -6
        # A late receipt is judged by the version of its time, budget included.
        accrue m1 600 printed=-1h                       -> 0 of 6: opening -6
        used opening                                    -> 30
    "
}
