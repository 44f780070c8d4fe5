//! Transaction ids, receipts and reversals.
//!
//! What must stay true: an id and a receipt take effect once, for ever (invariant 2).

use crate::language::*;
use crate::support::{Setup, programs};

tables! {
    an_id_takes_effect_once(Setup::default(), [plain()]) "
        accrue m1 GROCERY:100 id=a receipt=r1 terminal=t    -> 1
        accrue m1 GROCERY:100 id=a receipt=r1 terminal=t    -> again 1
        accrue m2 GROCERY:100 id=a receipt=r1 terminal=t    -> refused TransactionIdReused: account_id
        accrue m1 GROCERY:100 id=a receipt=r1 terminal=t2    -> refused TransactionIdReused: basket.terminal_id
        accrue m1 GROCERY:100 id=a receipt=r2 terminal=t    -> refused TransactionIdReused: basket.receipt_number
        accrue m1 GROCERY:100 id=a receipt=r1 terminal=t store=s2 -> refused TransactionIdReused: basket.store_id
        accrue m1 GROCERY:100 id=a receipt=r1 terminal=t printed=-1s -> refused TransactionIdReused: basket.receipt_time
        accrue m1 FRESH:100 id=a receipt=r1 terminal=t      -> refused TransactionIdReused: basket.lines[0].department
        accrue m1 GROCERY:100 GROCERY:1 id=a receipt=r1 terminal=t -> refused TransactionIdReused: basket.lines
        # Ids are the partner's own.
        accrue m1 GROCERY:300 id=a receipt=r1 by=south       -> 3
        balance m1                                           -> 4
    "

    a_receipt_earns_once_whoever_presents_it(Setup::default(), [plain()]) "
        accrue m1 100 id=a receipt=r1                   -> 1
        accrue m2 100 id=b receipt=r1                   -> refused ReceiptAlreadyEarned
        # The refused id is still free.
        accrue m2 100 id=b receipt=r2                   -> 1
        accrue m2 100 id=c receipt=r1 store=s2          -> 1
        accrue m2 100 id=d receipt=r1 terminal=t9       -> 1
        accrue m2 100 id=e receipt=r1 printed=-1d       -> 1
        accrue m2 100 id=e receipt=r1 by=south          -> 1
        # What is taken back whole is free again.
        reverse a                                       -> -1
        accrue m2 100 id=f receipt=r1                   -> 1
        accrue m2 100 id=g receipt=r1                   -> refused ReceiptAlreadyEarned
    "

    a_reversal_gives_everything_back(
        Setup::default(), [with("", &[VISITS, DAILY, YEARLY, programs::METRIC, OPENING].concat())]
    ) "
        accrue m1 1500 id=a                             -> 15
        accrue m1 900 id=b                              -> 5 of 9: daily -4
        reverse a id=v                                  -> -15
        reverse a id=v                                  -> again -15
        reverse a                                       -> refused AlreadyReversed
        balance m1                                      -> 5
        counter m1 visits                               -> 1
        counter m1 daily                                -> 5
        counter m1 yearly                               -> 5
        counter m1 spent                                -> 900
        used opening                                    -> 5
        accrue m1 1600                                  -> 15 of 16: daily -1
        accrue m2 600                                   -> 5 of 6: opening -1
        totals m1 -> baskets 3 refused 0 reversals 1 granted 35 reversed 15 clipped 5
    "

    a_reversal_of_an_older_accrual_leaves_later_decisions_alone(
        Setup::default(), [with("", &[DAILY, VISITS].concat())]
    ) "
        accrue m1 1900 id=a                             -> 19
        accrue m1 500 id=b                              -> 1 of 5: daily -4
        accrue m1 500 id=c                              -> 0 of 5: over visits
        clock +20d                                      -> moved
        accrue m1 500 id=d                              -> 5
        reverse a                                       -> -19
        balance m1                                      -> 6
        # The room of that day is free again, for who comes late.
        accrue m1 2500 printed=-20d                     -> 19 of 25: daily -6
        reverse c                                       -> 0
        reverse b                                       -> -1
        counter m1 daily printed=-20d                   -> 19
        # Long after nobody may present a receipt of that day, the counter is forgotten and a reversal still works.
        clock +40d                                      -> moved
        reverse d                                       -> -5
        balance m1                                      -> 19
    "

    what_can_be_reversed(Setup::default(), [plain()]) "
        accrue m1 100 id=a                              -> 1
        accrue m1 50 id=zero                            -> 0
        reverse nothing                                 -> refused OriginalUnknown
        reverse a by=south                              -> refused OriginalUnknown
        reverse a id=v                                  -> -1
        reverse v                                       -> refused NotReversible
        reverse zero                                    -> 0
        reverse zero                                    -> refused AlreadyReversed
        reverse a id=a                                  -> refused TransactionIdReused: command
        accrue m1 100 id=v                              -> refused TransactionIdReused: command
    "
}
