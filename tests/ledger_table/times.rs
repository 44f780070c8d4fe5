//! Receipt times, posting times, deadlines, and the versions that they pick.
//!
//! What must stay true: the receipt's time picks the version, and the order of posting decides.

use crate::language::*;
use crate::support::{Setup, programs};

tables! {
    a_receipt_is_late_after_thirty_days_and_early_after_five_minutes(Setup::default(), [plain()]) "
        accrue m1 100 printed=-30d                      -> 1
        accrue m1 100 printed=-2592001s                 -> refused ReceiptTooOld
        accrue m1 100 printed=300s                      -> 1
        accrue m1 100 printed=301s                      -> refused ReceiptInFuture
        balance m1                                      -> 2
    "

    limits_on_time_are_the_programmes(
        Setup::default(),
        [("first", programs::program("late_limit_days = 0\nfuture_skew_seconds = 0", "", ""))]
    ) "
        accrue m1 100                                   -> 1
        accrue m1 100 printed=-1ns                      -> refused ReceiptTooOld
        accrue m1 100 printed=1ns                       -> refused ReceiptInFuture
    "

    nothing_is_decided_before_the_first_version(Setup::default(), []) "
        accrue m1 100                                   -> refused ProgramNotInForce
        balance m1                                      -> unknown
    "

    a_version_judges_from_its_time_on(
        Setup::default(),
        [plain(), ("double", plain().1.replacen("units = 1", "units = 2", 1)), ("plain-again", plain().1)]
    ) "
        publish double in 2h                            -> published
        accrue m1 100                                   -> 1
        clock +2h                                       -> moved
        accrue m1 100                                   -> 2
        accrue m1 100 printed=-1ns                      -> 1
        publish plain-again in 1h                       -> published
        accrue m1 100                                   -> 2
        clock +1h                                       -> moved
        accrue m1 100                                   -> 1
        accrue m1 100 printed=-1h                       -> 2
    "

    posting_time_comes_from_the_input(
        Setup { clock_is_input: true, shard_count: 1, ..Setup::default() }, [plain()]
    ) "
        accrue m1 100                                   -> 1
        accrue m1 100 stamped=-1s printed=-1s           -> refused PostingTimeRegressed
        accrue m1 100 stamped=+1h printed=+1h           -> 1
        accrue m1 100                                   -> refused PostingTimeRegressed
        clock +2h                                       -> moved
        accrue m1 100                                   -> 1
    "

    a_deadline_that_has_passed_consumes_nothing(Setup::default(), [plain()]) "
        accrue m1 100 id=a deadline=0s                  -> refused DeadlineExpired
        accrue m1 100 id=a deadline=1s                  -> 1
        accrue m1 100 id=a deadline=0s                  -> again 1
    "
}
