//! How accounts are opened, how much they hold, and what leaves no trace.
//!
//! What must stay true: a refusal changes nothing but its id (invariant 3).

use crate::language::*;
use crate::support::{Setup, programs};

tables! {
    an_account_is_opened_by_its_first_basket_or_not(
        Setup::default(), [("first", programs::program("accounts = \"enrolled\"", "", ""))]
    ) "
        accrue m1 100                                   -> refused AccountUnknown
        quote m1 100                                    -> refused AccountUnknown
        balance m1                                      -> unknown
    "

    a_refused_first_basket_opens_no_account(
        Setup::default(), [("first", holding_at_most("5", ""))]
    ) "
        accrue m1 600 id=a                              -> refused BalanceLimitExceeded
        balance m1                                      -> unknown
        # Nothing was consumed: neither the id nor the receipt.
        accrue m1 500 id=a                              -> 5
    "

    a_balance_limit_refuses_the_whole_basket(
        Setup::default(),
        [("first", holding_at_most("10", &[DAILY, OPENING, programs::METRIC].concat()))]
    ) "
        accrue m1 800 id=a receipt=r1                   -> 8
        accrue m1 300 id=b receipt=r2                   -> refused BalanceLimitExceeded
        balance m1                                      -> 8
        counter m1 daily                                -> 8
        counter m1 spent                                -> 800
        used opening                                    -> 8
        # It is on record: the id is used, the receipt is not.
        accrue m1 300 id=b receipt=r2                   -> again refused BalanceLimitExceeded
        accrue m1 200 id=b receipt=r2                   -> refused TransactionIdReused: basket.lines[0].amount_minor
        accrue m1 200 id=c receipt=r2                   -> 2
        reverse b                                       -> refused NotReversible
        totals m1 -> baskets 2 refused 0 reversals 0 granted 10 reversed 0 clipped 0
    "

    partners_issue_and_take_back_their_own_units(Setup::default(), [plain()]) "
        accrue m1 1000 id=a                             -> 10
        accrue m1 500 id=a by=south                     -> 5
        balance m1                                      -> 15
        reverse a by=south                              -> -5
        balance m1                                      -> 10
        reverse a                                       -> -10
        balance m1                                      -> 0
    "

    what_is_malformed_consumes_nothing(Setup::default(), [plain()]) "
        accrue m1                                       -> refused InvalidCommand
        accrue m1 -1                                    -> refused InvalidCommand
        accrue m1 1000000000001                         -> refused InvalidCommand
        accrue m1 100 receipt=                          -> refused InvalidCommand
        balance m1                                      -> unknown
    "

    a_full_dictionary_refuses_new_names_and_goes_on_with_known_ones(
        Setup { names_max: Some((6, 3)), ..Setup::default() }, [plain()]
    ) "
        # The empty string, the wallet, the partner, the store and two departments; the plain item and two more.
        accrue m1 100 GROCERY:100                       -> 2
        accrue m1 FRESH:100                             -> 1
        accrue m1 100 BAKERY:100 id=a                   -> refused NameLimitReached
        accrue m1 GROCERY/GROCERY:100                   -> refused NameLimitReached
        accrue m1 100 store=s2                          -> refused NameLimitReached
        accrue m1 FRESH:100 GROCERY:100 id=a            -> 2
    "

    a_quote_is_what_would_be_granted_and_leaves_no_trace(
        Setup::default(), [with("", &[DAILY, OPENING].concat())]
    ) "
        quote m1 3000                                   -> 20 of 30: daily -10
        balance m1                                      -> unknown
        accrue m1 1500                                  -> 15
        quote m1 1500                                   -> 5 of 15: daily -10
        quote m2 1500                                   -> 10 of 15: opening -5
        used opening                                    -> 15
        counter m1 daily                                -> 15
        totals m1 -> baskets 1 refused 0 reversals 0 granted 15 reversed 0 clipped 0
    "
}
