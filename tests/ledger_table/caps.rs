//! Caps and metrics of an account, in their windows.
//!
//! What must stay true: the last unit is granted, and not one more (invariant 6).

use crate::language::*;
use crate::support::{Setup, programs};

tables! {
    a_day_cap_clips_to_its_last_unit(Setup::default(), [with("", DAILY)]) "
        accrue m1 1500                                  -> 15
        accrue m1 500                                   -> 5
        accrue m1 100                                   -> 0 of 1: daily -1
        counter m1 daily                                -> 20
        accrue m2 2100                                  -> 20 of 21: daily -1
        clock +12h                                      -> moved
        accrue m1 500                                   -> 5
        counter m1 daily                                -> 5
        counter m1 daily printed=-12h                   -> 20
        totals m1 -> baskets 4 refused 0 reversals 0 granted 25 reversed 0 clipped 1
    "

    the_day_is_the_receipts_and_the_zones(
        Setup::default(),
        [("first", programs::program("time_zone = \"America/New_York\"", "", DAILY))]
    ) "
        # It is noon in London, and 7 in the morning in New York.
        accrue m1 2000 printed=-7h                      -> 20
        accrue m1 100 printed=-8h                       -> 1
        accrue m1 100 printed=-6h                       -> 0 of 1: daily -1
        accrue m1 100                                   -> 0 of 1: daily -1
        clock +16h                                      -> moved
        accrue m1 100                                   -> 0 of 1: daily -1
        clock +1h                                       -> moved
        accrue m1 100                                   -> 1
    "

    caps_clip_in_their_order(Setup::default(), [with("", &[DAILY, YEARLY].concat())]) "
        accrue m1 2500                                  -> 20 of 25: daily -5
        clock +1d                                       -> moved
        accrue m1 2500                                  -> 10 of 25: daily -5, yearly -10
        clock +1d                                       -> moved
        accrue m1 100                                   -> 0 of 1: yearly -1
        counter m1 yearly                               -> 30
        # The year before has its own room.
        accrue m1 900 printed=-30d                      -> 0 of 9: yearly -9
        accrue m2 900                                   -> 9
    "

    a_late_receipt_of_the_old_year_has_the_old_years_room(
        Setup::default(), [("first", programs::program("late_limit_days = 90", "", YEARLY))]
    ) "
        accrue m1 3000                                  -> 30
        accrue m1 3100 printed=-61d                     -> 30 of 31: yearly -1
        counter m1 yearly printed=-61d                  -> 30
        clock +300d                                     -> moved
        accrue m1 100                                   -> 0 of 1: yearly -1
        clock +10d                                      -> moved
        accrue m1 100                                   -> 1
    "

    velocity_is_judged_before_units(Setup::default(), [with(programs::EXCLUDE, &[DAILY, VISITS].concat())]) "
        accrue m1 1500                                  -> 15
        # A basket that earns nothing is not counted ...
        accrue m1 TOBACCO:1000                          -> 0
        accrue m1 99                                    -> 0
        counter m1 visits                               -> 1
        accrue m1 400                                   -> 4
        counter m1 visits                               -> 2
        # ... and not refused either, while one that would have earned is.
        accrue m1 99                                    -> 0
        accrue m1 500                                   -> 0 of 5: over visits
        totals m1 -> baskets 6 refused 1 reversals 0 granted 19 reversed 0 clipped 0
        counter m1 daily                                -> 19
        clock +1d                                       -> moved
        accrue m1 500                                   -> 5
    "

    a_basket_that_a_cap_turned_to_nothing_is_no_visit(Setup::default(), [with("", &[VISITS, DAILY].concat())]) "
        accrue m1 2000                                  -> 20
        accrue m1 100                                   -> 0 of 1: daily -1
        counter m1 visits                               -> 1
        accrue m1 100                                   -> 0 of 1: daily -1
        counter m1 visits                               -> 1
    "

    metrics_count_what_was_spent_whatever_was_clipped(
        Setup::default(), [with(programs::EXCLUDE, &[VISITS, DAILY, programs::METRIC].concat())]
    ) "
        accrue m1 2550                                  -> 20 of 25: daily -5
        accrue m1 TOBACCO:9999 50                       -> 0
        counter m1 spent                                -> 2600
        accrue m1 100                                   -> 0 of 1: daily -1
        clock +1d                                       -> moved
        accrue m1 100 id=a                              -> 1
        accrue m1 100                                   -> 1
        accrue m1 100                                   -> 0 of 1: over visits
        counter m1 spent                                -> 3000
        reverse a                                       -> -1
        counter m1 spent                                -> 2900
    "
}
