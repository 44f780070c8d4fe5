//! What is earned beside the lines and by whom: activities, bonuses, segments, levels, days, and rules that go together.
//!
//! What must stay true: a bonus is earned as often as its limit says, and given back by the reversal of its basket; the
//! level before the command judges it.

use crate::language::*;
use crate::support::{Setup, programs};

const REVIEW: &str =
    "[[bonuses]]\nname = \"review\"\nunits = 5\non = { activity = \"review\" }\nlimit = { times = 1, per = \"day\" }\n";
const WELCOME: &str =
    "[[bonuses]]\nname = \"welcome\"\nunits = 15\non = \"basket\"\nlimit = { times = 1, per = \"lifetime\" }\n";
const LARGE: &str = "[[bonuses]]\nname = \"large\"\nunits = 15\non = \"basket\"\nwhen = { eligible_minor_min = 1000 }\n\
                     limit = { times = 1, per = \"lifetime\" }\n";
const THIRD: &str = "[[bonuses]]\nname = \"third\"\nunits = 7\non = \"basket\"\nwhen = { every_nth_basket = 3 }\n";
const STAFF: &str = "[[rules]]\nname = \"staff\"\nmultiplier = \"2\"\nwhen = { segments = [\"staff\"] }\n\
                     [[bonuses]]\nname = \"guest\"\nunits = 3\non = { activity = \"visit\" }\n\
                     when = { not_segments = [\"staff\"] }\n";
const WEDNESDAY: &str = "[[rules]]\nname = \"wednesday\"\nmultiplier = \"2\"\nwhen = { weekdays = [\"wednesday\"] }\n";
const TIERS: &str = "[tiers]\nmetric = \"spent\"\n\
                     [[tiers.levels]]\nname = \"silver\"\nthreshold = 1000\nmultiplier = \"1.5\"\n\
                     [[tiers.levels]]\nname = \"gold\"\nthreshold = 3000\nmultiplier = \"2\"\n";
const GOLD_VISIT: &str =
    "[[bonuses]]\nname = \"gold-visit\"\nunits = 9\non = { activity = \"visit\" }\nwhen = { tiers = [\"gold\"] }\n";
const STACKING: &str = r#"
[[rules]]
name = "own"
match = { brand = ["Own"] }
multiplier = "2"

[[rules]]
name = "half-more"
multiplier = "1.5"
stacking = "add"

[[rules]]
name = "fresh"
match = { department = ["FRESH"] }
multiplier = "3"
stacking = "multiply"

[[rules]]
name = "grocery"
match = { department = ["GROCERY"] }
multiplier = "1.1"
stacking = "exclusive"

[[rules]]
name = "grocery-other"
match = { brand = ["Other"] }
multiplier = "1.2"
stacking = "exclusive"
priority = 1

[[rules]]
name = "bread"
match = { department = ["BAKERY"] }
fixed_units = 4
per = "piece"
"#;

tables! {
    a_bonus_for_an_activity_once_a_day(Setup::default(), [with("", REVIEW)]) "
        act m1 review id=a                              -> 5 (review 5)
        act m1 review id=a                              -> again 5 (review 5)
        act m1 visit id=a                               -> refused TransactionIdReused: activity.kind
        act m1 review id=a printed=-1s                  -> refused TransactionIdReused: activity.activity_time
        act m1 review id=a channel=app                  -> refused TransactionIdReused: activity.channel
        act m1 review                                   -> 0
        act m1 visit                                    -> 0
        act m2 review                                   -> 5 (review 5)
        clock +12h                                      -> moved
        act m1 review                                   -> 5 (review 5)
        # The day is that of the activity, and its place is taken.
        act m1 review printed=-12h                      -> 0
        act m1 review printed=-2d                       -> 5 (review 5)
        act m1 review printed=-31d                      -> refused ReceiptTooOld
        act m1 review printed=301s                      -> refused ReceiptInFuture
        reverse a                                       -> refused NotReversible
        totals m1 -> baskets 0 refused 0 reversals 0 granted 15 reversed 0 clipped 0
    "

    an_activity_keeps_to_caps_and_budgets(
        Setup::default(), [with("", &[REVIEW, DAILY, VISITS, OPENING].concat())]
    ) "
        accrue m1 1800                                  -> 18
        act m1 review                                   -> 2 of 5: daily -3 (review 5)
        counter m1 daily                                -> 20
        # It is no basket.
        counter m1 visits                               -> 1
        used opening                                    -> 20
        act m2 review                                   -> 5 (review 5)
        act m3 review                                   -> 0 of 5: opening -5 (review 5)
        # Used up though the budget left nothing of it.
        act m3 review                                   -> 0
        totals m1 -> baskets 1 refused 0 reversals 0 granted 20 reversed 0 clipped 3
    "

    a_bonus_once_in_a_lifetime_is_used_up_though_a_cap_clipped_it(
        Setup::default(), [with("", &[WELCOME, DAILY].concat())]
    ) "
        accrue m1 1900                                  -> 20 of 34: daily -14 (welcome 15)
        clock +1d                                       -> moved
        accrue m1 100                                   -> 1
        accrue m2 0                                     -> 15 (welcome 15)
        quote m3 100                                    -> 16 (welcome 15)
        quote m3 100                                    -> 16 (welcome 15)
        accrue m3 100                                   -> 16 (welcome 15)
        quote m3 100                                    -> 1
    "

    a_basket_over_velocity_or_refused_uses_no_bonus(
        Setup::default(), [("first", holding_at_most("30", &[LARGE, VISITS].concat()))]
    ) "
        accrue m1 100                                   -> 1
        accrue m1 100                                   -> 1
        accrue m1 1000                                  -> 0 of 25: over visits
        clock +1d                                       -> moved
        accrue m1 2000                                  -> refused BalanceLimitExceeded
        accrue m1 1000                                  -> 25 (large 15)
        accrue m1 100                                   -> 1
    "

    a_reversed_basket_gives_its_bonus_back(Setup::default(), [with("", WELCOME)]) "
        accrue m1 100 id=a                              -> 16 (welcome 15)
        accrue m1 100                                   -> 1
        reverse a                                       -> -16
        accrue m1 100                                   -> 16 (welcome 15)
        accrue m1 100                                   -> 1
        # For all time: nothing forgets it.
        clock +400d                                     -> moved
        accrue m1 100                                   -> 1
    "

    every_third_basket(Setup::default(), [with(programs::EXCLUDE, THIRD)]) "
        accrue m1 100 id=a                              -> 1
        accrue m1 TOBACCO:100                           -> 0
        accrue m1 TOBACCO:100                           -> 7 (third 7)
        # What is taken back has been a basket all the same.
        reverse a                                       -> -1
        accrue m1 100                                   -> 1
        accrue m1 100                                   -> 1
        accrue m1 100                                   -> 8 (third 7)
    "

    segments_decide_what_counts(Setup::default(), [with("", STAFF)]) "
        accrue m1 100                                   -> 1
        act m1 visit                                    -> 3 (guest 3)
        enrol m1 +staff +student id=a                   -> joined staff student
        enrol m1 +staff +student id=a                   -> again joined staff student
        enrol m1 +staff id=a                            -> refused TransactionIdReused: join_segments
        enrol m1 +staff +student -staffs id=a           -> refused TransactionIdReused: leave_segments
        enrol m1 +staff                                 -> 0
        accrue m1 100                                   -> 2
        act m1 visit                                    -> 0
        enrol m1 -staff -guest +gold                    -> joined gold, left staff
        accrue m1 100                                   -> 1
        enrol m2 -staff                                 -> 0
        balance m2                                      -> 0
    "

    an_account_is_in_a_bounded_number_of_segments(Setup::default(), [plain()]) "
        enrol m1 +crowd:0..256                          -> joined 256
        enrol m1 +crowd:256..512                        -> joined 256
        enrol m1 +crowd:512..768                        -> joined 256
        enrol m1 +crowd:768..1024                       -> joined 256
        enrol m1 +one id=a                              -> refused AccountLimitReached
        enrol m1 +one id=a                              -> again refused AccountLimitReached
        enrol m1 +one -crowd-7                          -> joined one, left crowd-7
        enrol m1 +crowd-8                               -> 0
        enrol m1 +crowd-7                               -> refused AccountLimitReached
    "

    the_level_before_the_basket_judges_it(
        Setup::default(), [with("", &[programs::METRIC, TIERS, GOLD_VISIT].concat())]
    ) "
        accrue m1 1000 id=a                             -> 10
        accrue m1 200                                   -> 3 at silver
        act m1 visit                                    -> 0 at silver
        accrue m1 1800 id=b                             -> 27 at silver
        act m1 visit                                    -> 9 (gold-visit 9) at gold
        accrue m1 100                                   -> 2 at gold
        # The next year begins below the first level ...
        clock +306d                                     -> moved
        accrue m1 100                                   -> 1
        # ... and a late receipt of the old year is judged by the old year.
        accrue m1 100 printed=-1d                       -> 2 at gold
        counter m1 spent                                -> 100
        counter m1 spent printed=-1d                    -> 3200
        reverse b                                       -> -27
        accrue m1 100 printed=-1d                       -> 1 at silver
        reverse a                                       -> -10
        accrue m1 100 printed=-1d                       -> 1
    "

    what_is_clipped_and_what_earns_nothing_counts_for_the_level(
        Setup::default(), [with("", &[programs::METRIC, TIERS, DAILY, VISITS].concat())]
    ) "
        accrue m1 2900                                  -> 20 of 29: daily -9
        accrue m1 50                                    -> 0 at silver
        accrue m1 50                                    -> 0 at silver
        accrue m1 50                                    -> 0 of 1: daily -1 at gold
    "

    a_rule_counts_on_its_day(Setup::default(), [with("", WEDNESDAY)]) "
        accrue m1 100                                   -> 2
        clock +43199999999999ns                         -> moved
        accrue m1 100                                   -> 2
        clock +1ns                                      -> moved
        accrue m1 100                                   -> 1
        accrue m1 100 printed=-1ns                      -> 2
        clock +6d                                       -> moved
        accrue m1 100                                   -> 2
    "

    rules_go_together_as_they_state(Setup::default(), [with("", STACKING)]) "
        accrue m1 1000                                  -> 15
        accrue m1 TOYS/Own:1000                         -> 25
        accrue m1 FRESH:1000                            -> 45
        accrue m1 FRESH/Own:1000                        -> 75
        accrue m1 GROCERY/Own:1000                      -> 11
        accrue m1 FRESH/Other:1000                      -> 12
        accrue m1 GROCERY/Other:1000                    -> 12
        accrue m1 BAKERY:1000                           -> 19
        accrue m1 BAKERY/Own:1000 BAKERY:99             -> 34
        accrue m1 BAKERY/Other:1000                     -> 12
    "
}
