//! Freezes: what is refused while an account, a terminal or a cashier is frozen, and what goes on.
//!
//! What must stay true: a freeze takes effect at once and ends at once; what was answered before is answered the same;
//! a refusal is on record, and frees its receipt.

use crate::language::*;
use crate::support::Setup;

const REVIEWS: &str = "[[bonuses]]\nname = \"review\"\nunits = 30\non = { activity = \"review\" }\n";

tables! {
    a_frozen_account_neither_earns_nor_burns(Setup::default(), [with("", REVIEWS)]) "
        accrue m1 1000 id=a receipt=R1                  -> 10
        freeze account:m1                               -> frozen
        freeze account:m1                               -> it is frozen already
        accrue m1 500 id=b receipt=R2                   -> refused AccountFrozen
        act m1 review                                   -> refused AccountFrozen
        redeem m1 1 id=x                                -> refused AccountFrozen
        # First answers stand, and so does a refusal.
        accrue m1 1000 id=a receipt=R1                  -> again 10
        accrue m1 500 id=b receipt=R2                   -> again refused AccountFrozen
        # Of another partner too; other accounts go on.
        accrue m1 500 by=south                          -> refused AccountFrozen
        accrue m2 500                                   -> 5
        # What only takes back, what operators decide and what is known of the account goes on.
        adjust m1 -2                                    -> -2
        enrol m1 +gold                                  -> joined gold
        load m1 7                                       -> 7
        reverse a                                       -> -10
        balance m1                                      -> 5
        thaw account:m1                                 -> thawed
        thaw account:m1                                 -> it is not frozen
        # The same id repeats the refusal; the receipt is free for another.
        accrue m1 500 id=b receipt=R2                   -> again refused AccountFrozen
        accrue m1 500 id=c receipt=R2                   -> 5
        redeem m1 10                                    -> -10
        ends m1                                         -> redeemed 10 expired 0 refused 1
    "

    a_frozen_terminal_or_cashier_is_one_of_its_partner(Setup::default(), [plain()]) "
        accrue m1 100 store=S1 terminal=L1 cashier=C1   -> 1
        freeze till:S1/L1                               -> frozen
        accrue m1 100 store=S1 terminal=L1 cashier=C1   -> refused TerminalFrozen
        accrue m1 100 store=S1 terminal=L2 cashier=C1   -> 1
        accrue m1 100 store=S2 terminal=L1 cashier=C1   -> 1
        accrue m1 100 store=S1 terminal=L1 by=south     -> 1
        accrue m1 100 store=S1                          -> 1
        freeze cashier:C1                               -> frozen
        accrue m1 100 store=S2 terminal=L9 cashier=C1   -> refused CashierFrozen
        accrue m1 100 store=S2 cashier=C1 by=south      -> 1
        # The terminal goes before the cashier, the account before both.
        accrue m1 100 store=S1 terminal=L1 cashier=C1   -> refused TerminalFrozen
        freeze account:m1                               -> frozen
        accrue m1 100 store=S1 terminal=L1 cashier=C1   -> refused AccountFrozen
        # What would open an account opens none, and is not on record.
        accrue m9 100 store=S1 terminal=L1 id=n         -> refused TerminalFrozen
        balance m9                                      -> unknown
        thaw till:S1/L1                                 -> thawed
        accrue m9 100 store=S1 terminal=L1 id=n         -> 1
        thaw cashier:C1                                 -> thawed
        accrue m9 100 store=S1 terminal=L1 cashier=C1   -> 1
    "

    a_freeze_holds_although_the_clock_goes_back(Setup::default(), [plain()]) "
        accrue m1 100                                   -> 1
        clock +2d                                       -> moved
        freeze account:m1                               -> frozen
        clock -1d                                       -> moved
        accrue m1 100                                   -> refused AccountFrozen
        accrue m2 100                                   -> 1
        thaw account:m1                                 -> thawed
        accrue m1 100                                   -> 1
    "

    a_freeze_comes_before_the_age_of_a_receipt(Setup::default(), [plain()]) "
        accrue m1 100                                   -> 1
        freeze account:m1                               -> frozen
        accrue m1 100 printed=-40d                      -> refused AccountFrozen
        accrue m2 100 printed=-40d                      -> refused ReceiptTooOld
    "
}
