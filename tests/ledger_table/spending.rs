//! Units that are burned, that die, and that came from elsewhere.
//!
//! What must stay true: the first to die is burned first; what is dead counts for nothing, whether or not its expiry is
//! posted; nothing is burned that is not there.

use crate::language::*;
use crate::support::{Setup, programs};

/// Units live through the day after the one on which they were earned.
const EXPIRES: &str = "expiry = { after_days = 1 }";

tables! {
    units_are_burned_to_the_last_and_not_one_more(Setup::default(), [plain()]) "
        redeem m1 5                                     -> refused AccountUnknown
        accrue m1 1000                                  -> 10
        redeem m1 11 id=a                               -> refused InsufficientBalance
        redeem m1 11 id=a                               -> again refused InsufficientBalance
        redeem m1 10 id=a                               -> refused TransactionIdReused: points
        redeem m1 4 id=b                                -> -4
        redeem m1 4 id=b                                -> again -4
        redeem m2 4 id=b                                -> refused TransactionIdReused: account_id
        redeem m1 4 id=b wallet=1                       -> refused TransactionIdReused: wallet
        redeem m1 4 wallet=1                            -> refused InsufficientBalance
        redeem m1 6 by=south                            -> -6
        redeem m1 1                                     -> refused InsufficientBalance
        balance m1                                      -> 0
        ends m1                                         -> redeemed 10 expired 0 refused 3
        accrue m1 100 id=b                              -> refused TransactionIdReused: command
        reverse b                                       -> 4 back
        # What was refused has burned nothing.
        reverse a                                       -> refused NotReversible
    "

    the_first_to_die_is_burned_first_whoever_issued_it(Setup::default(), [with(EXPIRES, "")]) "
        accrue m1 1000                                  -> 10
        accrue m1 500 printed=-1d by=south              -> 5
        accrue m1 300 by=south                          -> 3
        lots m1                                         -> 10 north 36h, 5 south 12h, 3 south 36h
        redeem m1 7                                     -> -7
        # Of those that die together the issuer whose name came first.
        lots m1                                         -> 8 north 36h, 3 south 36h
        redeem m1 9 by=south                            -> -9
        lots m1                                         -> 2 south 36h
    "

    units_are_dead_at_the_instant_and_alive_before_it(Setup::default(), [with(EXPIRES, "")]) "
        accrue m1 1000                                  -> 10
        clock +129599999999999ns                        -> moved
        balance m1                                      -> 10
        redeem m1 4                                     -> -4
        clock +1ns                                      -> moved
        balance m1                                      -> 0
        redeem m1 1                                     -> refused InsufficientBalance
    "

    the_day_of_death_is_the_zones(
        Setup::default(), [("first", programs::program("time_zone = \"America/New_York\"", EXPIRES, ""))]
    ) "
        # At noon in London it is 7 in the morning in New York.
        accrue m1 1000                                  -> 10
        lots m1                                         -> 10 north 41h
        # The clocks go forward on the night to 12 March: that day has 23 hours.
        clock +10d                                      -> moved
        accrue m1 1000                                  -> 10
        lots m1                                         -> 10 north 40h
    "

    expiry_is_posted_with_the_next_record(Setup::default(), [with(EXPIRES, "")]) "
        accrue m1 1000                                  -> 10
        clock +36h                                      -> moved
        balance m1                                      -> 0
        accrue m1 200                                   -> 2
        ends m1                                         -> redeemed 0 expired 10 refused 0
        lots m1                                         -> 2 north 48h
        clock +48h                                      -> moved
        enrol m1 +staff                                 -> joined staff
        ends m1                                         -> redeemed 0 expired 12 refused 0
        totals m1 -> baskets 2 refused 0 reversals 0 granted 12 reversed 0 clipped 0
    "

    a_receipt_that_comes_late_earns_what_is_dead_already(Setup::default(), [with(EXPIRES, "")]) "
        accrue m1 1000 printed=-5d                      -> 10
        balance m1                                      -> 0
        redeem m1 1                                     -> refused InsufficientBalance
        accrue m1 100                                   -> 1
        ends m1                                         -> redeemed 0 expired 10 refused 1
    "

    what_is_dead_leaves_room_below_the_largest_balance(
        Setup::default(), [("first", holding_at_most("10", "").replace("[earn]", &format!("[earn]\n{EXPIRES}")))]
    ) "
        accrue m1 1000                                  -> 10
        accrue m1 100                                   -> refused BalanceLimitExceeded
        clock +2d                                       -> moved
        accrue m1 1100                                  -> refused BalanceLimitExceeded
        accrue m1 1000                                  -> 10
        redeem m1 3                                     -> -3
        accrue m1 300                                   -> 3
    "

    a_reversal_takes_what_is_spent_from_other_lots(Setup::default(), [with(EXPIRES, "")]) "
        accrue m1 1000 id=a                             -> 10
        redeem m1 8                                     -> -8
        reverse a id=early                              -> refused InsufficientBalance
        reverse a id=early                              -> again refused InsufficientBalance
        clock +1d                                       -> moved
        accrue m1 900 by=south                          -> 9
        reverse a                                       -> -10
        lots m1                                         -> 1 south 36h
        reverse a                                       -> refused AlreadyReversed
        totals m1 -> baskets 2 refused 0 reversals 1 granted 19 reversed 10 clipped 0
    "

    a_reversal_takes_nothing_for_what_has_died(
        Setup::default(), [with(EXPIRES, &[DAILY, programs::METRIC].concat())]
    ) "
        accrue m1 1000 id=a                             -> 10
        clock +2d                                       -> moved
        accrue m1 500                                   -> 5
        counter m1 spent                                -> 1500
        reverse a                                       -> 0
        balance m1                                      -> 5
        # What else it did is undone.
        counter m1 spent                                -> 500
        counter m1 daily printed=-2d                    -> 0
        ends m1                                         -> redeemed 0 expired 10 refused 0
    "

    an_opening_balance_is_granted_lot_by_lot(Setup::default(), [plain()]) "
        load m1 100 50@2d 7/south@1h id=a               -> 157
        load m1 100 50@2d 7/south@1h id=a               -> again 157
        load m1 100 50@2d id=a                          -> refused TransactionIdReused: lots
        lots m1                                         -> 50 north 48h, 100 north, 7 south 1h
        redeem m1 10                                    -> -10
        lots m1                                         -> 47 north 48h, 100 north
        load m1 5@-1h 3                                 -> 8
        balance m1                                      -> 150
        redeem m1 1                                     -> -1
        ends m1                                         -> redeemed 11 expired 5 refused 0
        reverse a                                       -> refused NotReversible
    "

    an_opening_balance_keeps_to_the_largest_balance(Setup::default(), [("first", holding_at_most("100", ""))]) "
        load m1 60 41/south                             -> refused BalanceLimitExceeded
        load m1 60 40/south                             -> 100
        load m1 1                                       -> refused BalanceLimitExceeded
        load m1 7@-1h                                   -> 7
        load m2 1000000000000000000/p0 1000000000000000000/p1 1000000000000000000/p2 1000000000000000000/p3 \
                1000000000000000000/p4 1000000000000000000/p5 1000000000000000000/p6 1000000000000000000/p7 \
                1000000000000000000/p8 1000000000000000000/p9 -> refused BalanceLimitExceeded
        balance m2                                      -> unknown
    "

    a_redemption_changes_a_bounded_number_of_lots(Setup::default(), [plain()]) "
        load m1 1*1024@1h                               -> 1024
        load m1 1*1024@2h                               -> 1024
        load m1 1*1024@3h                               -> 1024
        load m1 1*1024@4h                               -> 1024
        load m1 1@5h                                    -> 1
        redeem m1 4097                                  -> refused AccountLimitReached
        ends m1                                         -> redeemed 0 expired 0 refused 1
        redeem m1 4096                                  -> -4096
        lots m1                                         -> 1 north 5h
    "

    dead_lots_are_posted_a_bounded_number_at_a_time(
        Setup { clock_is_input: true, shard_count: 1, ..Setup::default() }, [plain()]
    ) "
        # Where the clock is the input no sweep posts them.
        load m1 1*100@1h 5                              -> 105
        clock +2h                                       -> moved
        balance m1                                      -> 5
        redeem m1 1                                     -> -1
        ends m1                                         -> redeemed 1 expired 64 refused 0
        balance m1                                      -> 4
        redeem m1 5                                     -> refused InsufficientBalance
        redeem m1 4                                     -> -4
        ends m1                                         -> redeemed 5 expired 100 refused 1
    "

    a_dead_lot_holds_no_more_than_a_living_one(
        Setup { clock_is_input: true, shard_count: 1, ..Setup::default() }, [plain()]
    ) "
        load m1 1*64@1h 1000000000000000000@2h          -> refused BalanceLimitExceeded
        load m1 1*64@1h                                 -> 64
        load m1 1000000000000000000/zeta@-1h            -> 1000000000000000000
        # The lots of the load before are posted first, so this one is not posted yet.
        clock +3h                                       -> moved
        load m1 5/zeta@-4h                              -> refused BalanceLimitExceeded
        redeem m1 1                                     -> refused InsufficientBalance
        accrue m1 100                                   -> 1
        load m1 5/zeta@-4h                              -> 5
    "

    no_command_but_an_enrolment_opens_an_account_where_members_enrol(
        Setup::default(), [("first", programs::program("accounts = \"enrolled\"", "", ""))]
    ) "
        load m1 5                                       -> refused AccountUnknown
        act m1 review                                   -> refused AccountUnknown
        redeem m1 5                                     -> refused AccountUnknown
        enrol m1                                        -> 0
        load m1 5                                       -> 5
        redeem m1 5                                     -> -5
    "
}
