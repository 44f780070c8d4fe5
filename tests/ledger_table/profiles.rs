//! What depends on an account's own past: when units can be spent and die, remainders, levels that are kept, birthdays,
//! last baskets, averages.
//!
//! What must stay true: what is pending is not spent; what dies by inactivity lives as long as the member comes; a
//! remainder is never lost and never counted twice.

use tallystick::clock::Clock;
use tallystick::ledger::types::WalletId;
use tallystick::limits;

use crate::language::*;
use crate::support::edge::{Accrue, Edge};
use crate::support::{Ledger, NS_PER_DAY, Setup, assert_intact, programs};

const SILENT: &str = "expiry = { inactive_days = 1 }";
const SILENT_LONGER: &str = "expiry = { inactive_days = 3 }";
const LEVELS: &str = "[[tiers.levels]]\nname = \"silver\"\nthreshold = 1000\nmultiplier = \"1.5\"\n\
                      [[tiers.levels]]\nname = \"gold\"\nthreshold = 3000\nmultiplier = \"2\"\n";
const BIRTHDAYS: &str = "[[bonuses]]\nname = \"day\"\nunits = 1\nwhen = { birthday = \"day\" }\n\
                         [[bonuses]]\nname = \"week\"\nunits = 2\nwhen = { birthday = \"week\" }\n\
                         [[bonuses]]\nname = \"month\"\nunits = 4\nwhen = { birthday = \"month\" }\n";
const BACK: &str = "[[bonuses]]\nname = \"back\"\nunits = 5\n\
                    when = { days_since_last_basket_min = 2, days_since_last_basket_max = 3 }\n";
const SOON: &str = "[[bonuses]]\nname = \"soon\"\nunits = 5\nwhen = { days_since_last_basket_max = 3 }\n";
const SECOND_VISIT: &str = "[[bonuses]]\nname = \"second\"\nunits = 5\non = { activity = \"review\" }\n\
                            when = { every_nth_basket = 2 }\n";
const EVER: &str = "[[metrics]]\nname = \"ever\"\nmeasure = \"eligible-amount\"\nwindow = \"lifetime\"\n";
const USUAL: &str = "[[metrics]]\nname = \"ever\"\nmeasure = \"eligible-amount\"\nwindow = \"lifetime\"\n\
                     [[bonuses]]\nname = \"more\"\nunits = 5\n\
                     when = { own_average = { metric = \"ever\", percent = 150 } }\n";

/// A ladder by what is spent in a year, with further keys.
fn ladder(keys: &str) -> (&'static str, String) {
    with("", &[programs::METRIC, "[tiers]\nmetric = \"spent\"\n", keys, LEVELS].concat())
}

/// A ladder of one level by a metric of this measure.
fn one_level(measure: &str, threshold: i64, more: &str) -> (&'static str, String) {
    let metric = format!("[[metrics]]\nname = \"counted\"\nmeasure = \"{measure}\"\nwindow = \"year\"\n");
    let level = format!("name = \"silver\"\nthreshold = {threshold}\nmultiplier = \"1.5\"\n");
    with("", &[&metric, "[tiers]\nmetric = \"counted\"\n[[tiers.levels]]\n", &level, more].concat())
}

fn carrying(more: &str) -> String {
    with("", more).1.replacen("rounding = \"floor\"", "rounding = \"carry\"", 1)
}

tables! {
    what_is_pending_cannot_be_spent_until_its_midnight(Setup::default(), [with("pending_days = 1", "")]) "
        accrue m1 1000 id=a                             -> 10
        balance m1                                      -> 10
        lots m1                                         -> 10 north pending 36h
        redeem m1 1                                     -> refused InsufficientBalance
        clock +129599999999999ns                        -> moved
        redeem m1 1                                     -> refused InsufficientBalance
        clock +1ns                                      -> moved
        redeem m1 4                                     -> -4
        accrue m1 500 id=b                              -> 5
        redeem m1 7                                     -> refused InsufficientBalance
        reverse b                                       -> -5
        lots m1                                         -> 6 north
        reverse a                                       -> refused InsufficientBalance
        # What is spent is taken from what is pending.
        accrue m1 400                                   -> 4
        reverse a                                       -> -10
        balance m1                                      -> 0
    "

    units_die_at_the_end_of_a_day_of_the_year(Setup::default(), [with("expiry = { each_year_on = \"12-31\" }", "")]) "
        accrue m1 1000                                  -> 10
        lots m1                                         -> 10 north 7332h
        clock +305d                                     -> moved
        # What is earned on the day itself lives for another year.
        accrue m1 500                                   -> 5
        lots m1                                         -> 10 north 12h, 5 north 8772h
        clock +12h                                      -> moved
        balance m1                                      -> 5
        accrue m1 300 printed=-13h                      -> 3
        lots m1                                         -> 8 north 8760h
        accrue m1 300 printed=-37h                      -> 3
        balance m1                                      -> 8
        accrue m1 0                                     -> 0
        ends m1                                         -> redeemed 0 expired 13 refused 0
    "

    a_late_receipt_from_before_the_last_basket_comes_soon_after_none(Setup::default(), [with("", SOON)]) "
        accrue m1 100                                   -> 1
        accrue m1 100                                   -> 6 (soon 5)
        accrue m1 100 printed=-1d                       -> 1
        clock +3d                                       -> moved
        accrue m1 100                                   -> 6 (soon 5)
        accrue m1 100 printed=-1d                       -> 1
        clock +4d                                       -> moved
        accrue m1 100 printed=-1d                       -> 6 (soon 5)
        accrue m1 100                                   -> 6 (soon 5)
    "

    units_live_as_long_as_the_member_comes(
        Setup::default(), [with(SILENT, "[[bonuses]]\nname = \"visit\"\nunits = 1\non = { activity = \"visit\" }\n")]
    ) "
        accrue m1 1000                                  -> 10
        lots m1                                         -> 10 north 36h
        clock +1d                                       -> moved
        # Whatever is done to the account is no visit.
        enrol m1 +staff                                 -> joined staff
        lots m1                                         -> 10 north 12h
        redeem m1 3                                     -> -3
        lots m1                                         -> 7 north 36h
        clock +1d                                       -> moved
        act m1 visit                                    -> 1 (visit 1)
        lots m1                                         -> 8 north 36h
        clock +1d                                       -> moved
        accrue m1 50                                    -> 0
        lots m1                                         -> 8 north 36h
        # A late receipt does not bring death forward.
        accrue m1 100 printed=-1d                       -> 1
        lots m1                                         -> 1 north 12h, 8 north 36h
        totals m1 -> baskets 3 refused 0 reversals 0 granted 12 reversed 0 clipped 0
        clock +36h                                      -> moved
        balance m1                                      -> 0
        accrue m1 200                                   -> 2
        ends m1                                         -> redeemed 3 expired 9 refused 0
        lots m1                                         -> 2 north 48h
    "

    what_dies_of_silence_is_put_off_by_the_terms_it_was_earned_under(
        Setup::default(), [with(SILENT, ""), ("never", with("", "").1), ("longer", with(SILENT_LONGER, "").1)]
    ) "
        accrue m1 1000 id=a                             -> 10
        publish never in 1h                             -> published
        clock +1d                                       -> moved
        # Under this version nothing that is earned dies; what was earned before lives as long as the member comes.
        accrue m1 500                                   -> 5
        lots m1                                         -> 5 north, 10 north 36h
        clock +1d                                       -> moved
        redeem m1 1                                     -> -1
        lots m1                                         -> 5 north, 9 north 36h
        publish longer in 1h                            -> published
        clock +1d                                       -> moved
        accrue m1 300                                   -> 3
        lots m1                                         -> 5 north, 9 north 36h, 3 north 84h
        clock +12h                                      -> moved
        authorize m1 1 id=h                             -> aside 1 for 60m
        lots m1                                         -> 5 north, 8 north 48h, 3 north 96h
        clock +30m                                      -> moved
        capture h 1                                     -> captured 1
        clock +47h                                      -> moved
        clock +30m                                      -> moved
        # Silence kills each by its own days.
        accrue m1 100                                   -> 1
        lots m1                                         -> 5 north, 4 north 96h
        ends m1                                         -> redeemed 2 expired 8 refused 0
    "

    units_whose_death_was_put_off_can_be_taken_back(Setup::default(), [with(SILENT, "")]) "
        accrue m1 1000 id=a                             -> 10
        clock +1d                                       -> moved
        accrue m1 100                                   -> 1
        clock +1d                                       -> moved
        # Without the second basket they would be dead.
        lots m1                                         -> 11 north 12h
        reverse a                                       -> -10
        lots m1                                         -> 1 north 12h
        # What has died of silence is not taken from what came later.
        accrue m2 1000 id=b                             -> 10
        clock +2d                                       -> moved
        accrue m2 300                                   -> 3
        redeem m2 3                                     -> -3
        reverse b                                       -> 0
    "

    remainders_add_up_to_a_unit(
        Setup::default(), [("first", carrying(VISITS)), ("again", carrying("")), ("floor", plain().1)]
    ) "
        accrue m1 150                                   -> 1
        accrue m1 130                                   -> 1
        # One that is denied leaves the remainder as it was.
        accrue m1 150                                   -> 0 of 2: over visits
        clock +1d                                       -> moved
        accrue m1 120                                   -> 2
        accrue m1 99                                    -> 0
        accrue m2 99                                    -> 0
        accrue m1 1                                     -> 1
        publish again in 1h                             -> published
        clock +1h                                       -> moved
        # Another version counts in other parts.
        accrue m2 1                                     -> 0
        accrue m2 99                                    -> 1
    "

    a_ladder_can_count_visits(Setup::default(), [one_level("baskets", 2, "")]) "
        accrue m1 100 id=a                              -> 1
        # What is no basket is no visit; one that earns nothing is.
        act m1 visit                                    -> 0
        accrue m1 50 id=b                               -> 0
        accrue m1 200                                   -> 3 at silver
        counter m1 counted                              -> 3
        reverse a                                       -> -1
        accrue m2 200                                   -> 2
        reverse b                                       -> 0
        accrue m1 200                                   -> 2
        accrue m1 200                                   -> 3 at silver
    "

    a_ladder_can_count_units(Setup::default(), [one_level("units", 10, DAILY)]) "
        accrue m1 900                                   -> 9
        accrue m1 100 id=a                              -> 1
        accrue m1 200                                   -> 3 at silver
        # What a cap withheld counts for nothing.
        accrue m1 2000                                  -> 7 of 30: daily -23 at silver
        counter m1 counted                              -> 20
        reverse a                                       -> -1
        counter m1 counted                              -> 19
    "

    a_level_is_kept_for_a_window(Setup::default(), [ladder("keep = 1\n")]) "
        accrue m1 1000                                  -> 10
        clock +306d                                     -> moved
        accrue m1 200                                   -> 3 at silver
        clock +365d                                     -> moved
        accrue m1 200                                   -> 2
    "

    a_level_is_lost_one_at_a_time(Setup::default(), [ladder("soft_landing = true\n")]) "
        accrue m1 3000                                  -> 30
        clock +306d                                     -> moved
        accrue m1 200                                   -> 3 at silver
        clock +365d                                     -> moved
        accrue m1 200                                   -> 2
    "

    a_level_is_lost_one_at_a_time_by_the_hour_too(
        Setup::default(),
        [("first", ladder("soft_landing = true\n").1.replacen("window = \"year\"", "window = \"hour\"", 1))]
    ) "
        accrue m1 3000                                  -> 30
        accrue m1 100                                   -> 2 at gold
        clock +1h                                       -> moved
        accrue m1 200                                   -> 3 at silver
        clock +1h                                       -> moved
        accrue m1 100                                   -> 1
    "

    a_level_counts_for_days_of_grace(Setup::default(), [ladder("grace_days = 1\n")]) "
        accrue m1 3000                                  -> 30
        clock +306d                                     -> moved
        accrue m1 200                                   -> 4 at gold
        clock +12h                                      -> moved
        accrue m1 200                                   -> 2
        accrue m1 200 printed=-1ns                      -> 4 at gold
    "

    a_year_can_begin_with_the_account(
        Setup::default(),
        [("first", ladder("").1.replacen("window = \"year\"", "window = \"anniversary\"", 1))]
    ) "
        accrue m1 1000                                  -> 10
        clock +364d                                     -> moved
        accrue m1 200                                   -> 3 at silver
        clock +12h                                      -> moved
        accrue m1 200                                   -> 2
        accrue m1 200 printed=-1ns                      -> 3 at silver
    "

    a_year_that_begins_with_the_account_begins_when_it_was_opened(
        Setup::default(),
        [("first", ladder("").1.replacen("window = \"year\"", "window = \"anniversary\"", 1))]
    ) "
        # The basket that opens an account may have been printed before, like any other.
        accrue m1 900 printed=-2d                       -> 9
        accrue m1 900 printed=-2d                       -> 9
        accrue m1 100                                   -> 1
        accrue m1 200                                   -> 2
        accrue m1 700                                   -> 7
        accrue m1 200                                   -> 3 at silver
        quote m2 900 printed=-2d                        -> 9
    "

    a_birthday_has_a_day_a_week_and_a_month(Setup::default(), [with("", BIRTHDAYS)]) "
        accrue m1 0                                     -> 0
        enrol m1 born=03-05 id=a                        -> born 03-05
        enrol m1 born=03-06 id=a                        -> refused TransactionIdReused: birthday
        accrue m1 0                                     -> 6 (week 2) (month 4)
        clock +4d                                       -> moved
        accrue m1 0                                     -> 7 (day 1) (week 2) (month 4)
        clock +1d                                       -> moved
        accrue m1 0                                     -> 4 (month 4)
        enrol m1 born=03-05                             -> 0
        # In a year without that day it is the first of March.
        enrol m1 born=02-29                             -> born 02-29
        accrue m1 0 printed=-5d                         -> 3 (day 1) (week 2)
        enrol m1 born=never                             -> born never
        accrue m1 0 printed=-5d                         -> 0
    "

    a_member_who_comes_back_is_known_by_the_last_basket(Setup::default(), [with("", BACK)]) "
        accrue m1 100                                   -> 1
        clock +1d                                       -> moved
        accrue m1 100                                   -> 1
        clock +2d                                       -> moved
        accrue m1 100                                   -> 6 (back 5)
        clock +4d                                       -> moved
        accrue m1 100                                   -> 1
        # A late receipt does not move the last basket back.
        accrue m1 100 printed=-2d                       -> 1
        clock +3d                                       -> moved
        accrue m1 100                                   -> 6 (back 5)
    "

    a_last_basket_is_known_though_a_version_between_did_not_ask_for_it(
        Setup::default(), [with("", BACK), ("between", with("", "").1), ("again", with("", BACK).1)]
    ) "
        accrue m1 100                                   -> 1
        publish between in 1h                           -> published
        clock +1d                                       -> moved
        accrue m1 100                                   -> 1
        publish again in 1h                             -> published
        clock +1d                                       -> moved
        # One day after the last basket, not two.
        accrue m1 100                                   -> 1
        clock +2d                                       -> moved
        accrue m1 100                                   -> 6 (back 5)
    "

    an_activity_comes_after_every_second_basket_only_once_there_was_one(Setup::default(), [with("", SECOND_VISIT)]) "
        act m1 review                                   -> 0
        accrue m1 100                                   -> 1
        act m1 review                                   -> 0
        accrue m1 100                                   -> 1
        act m1 review                                   -> 5 (second 5)
    "

    more_than_usual_is_more_than_the_own_average(Setup::default(), [with("", USUAL)]) "
        accrue m1 1000                                  -> 10
        accrue m1 1499                                  -> 14
        accrue m1 1874                                  -> 18
        accrue m1 2187                                  -> 26 (more 5)
        accrue m2 9900                                  -> 99
    "

    an_average_is_of_the_baskets_that_were_counted_since_it_was_asked_for(
        Setup::default(), [with("", EVER), ("second", with("", USUAL).1)]
    ) "
        accrue m1 9000                                  -> 90
        accrue m2 100                                   -> 1
        publish second in 1h                            -> published
        clock +2h                                       -> moved
        # The metric is older than the question, and the account older than both: nobody has an average.
        accrue m1 1000                                  -> 10
        accrue m2 900                                   -> 9
        accrue m1 1499                                  -> 14
        accrue m2 1350                                  -> 18 (more 5)
        accrue m1 1875 id=a                             -> 23 (more 5)
        # What came back whole is none of them.
        reverse a                                       -> -23
        accrue m1 1874                                  -> 18
        counter m1 ever                                 -> 13373
    "

    an_average_of_a_metric_that_is_younger_than_the_account_knows_its_own_baskets(
        Setup::default(), [with("", ""), ("second", with("", USUAL).1)]
    ) "
        accrue m1 1000                                  -> 10
        accrue m1 1000                                  -> 10
        publish second in 1h                            -> published
        clock +2h                                       -> moved
        accrue m1 1000                                  -> 10
        accrue m1 1499                                  -> 14
        accrue m1 1875                                  -> 23 (more 5)
    "
}

/// An account with a few lots more than one visit can put off: each visit puts off those that die first, so that none dies
/// while the member comes.
#[test]
fn no_lot_is_left_behind_by_every_visit() {
    const LOTS: usize = limits::LOT_CHANGES_MAX / 2 + 3;
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&with("expiry = { inactive_days = 2 }", "").1);
    // Units of each partner lie in a lot of their own.
    for number in 0..LOTS {
        let edge = Edge::new(&ledger.engine, &format!("partner-{number}"));
        assert_eq!(edge.accrue(&Accrue::simple("m1", &format!("t{number}"), 100)).granted(), 1);
    }
    let mut units = i64::try_from(LOTS).expect("these are few");
    for visit in 0..5 {
        ledger.clock.advance(NS_PER_DAY);
        let edge = ledger.edge();
        assert_eq!(edge.accrue(&Accrue::simple("m1", &format!("v{visit}"), 100)).granted(), 1);
        units += 1;
        let account = edge.account("m1").expect("it is there").account;
        assert_eq!(account.balance(WalletId(0), ledger.clock.now()), units, "visit {visit}");
    }
    assert_intact(&store, ledger.stop().digest);
}
