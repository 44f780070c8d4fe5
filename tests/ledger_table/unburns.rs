//! Redemptions and captures that are reversed: whole or in pieces, in time or too late.
//!
//! What must stay true: pieces that return everything return exactly what was burned, to the lots and the partners from
//! which it was; nothing comes back twice.

use tallystick::clock::Clock;

use crate::language::*;
use crate::support::edge::Accrue;
use crate::support::{Ledger, Setup, assert_intact};
use tallystick::ledger::command::{CommandKind, Redemption};
use tallystick::ledger::decision::Refusal;
use tallystick::ledger::types::WalletId;

/// Units live through the day after the one on which they were earned.
const EXPIRES: &str = "expiry = { after_days = 1 }";
/// Units live for a day after the last thing that the member did.
const INACTIVE: &str = "expiry = { inactive_days = 1 }";
/// What comes back too late lives for three days more.
const EXTENDS: &str = "[redemption]\nwhen_returned = \"extend\"\nextend_days = 2\n";
const DEBT: &str = "[refunds]\nwhen_spent = \"debt\"\n";
/// North pays for its units, and is paid for what it takes until the tables' day; south likewise, for ever.
const RIGHTS: &str = "
[[partners]]
name = \"north\"
stores = [{ name = \"s1\" }]
earns = [{ wallet = \"points\" }]
burns = [{ wallet = \"points\", until = 2017-03-01 }]
funding_rate_bps = 5_000
redemption_rate_bps = 4_000
";

tables! {
    burned_units_come_back_in_pieces(Setup::default(), [plain()]) "
        accrue m1 2000                                  -> 20
        redeem m1 12 id=r                               -> -12
        reverse r 5 id=v                                -> 5 back
        reverse r 5 id=v                                -> again 5 back
        reverse r 6 id=v                                -> refused TransactionIdReused: points
        reverse r id=v                                  -> refused TransactionIdReused: points
        reverse q 5 id=v                                -> refused TransactionIdReused: original_transaction_id
        reverse r 0x1 id=v                              -> refused TransactionIdReused: lines
        redeem m1 5 id=v                                -> refused TransactionIdReused: command
        reverse r 8                                     -> refused ReturnTooLarge: points
        balance m1                                      -> 13
        ends m1                                         -> redeemed 7 expired 0 refused 0
        reverse r 0x1                                   -> refused LineUnknown: lines[0].line_index
        reverse r by=south                              -> refused OriginalUnknown
        reverse r id=w                                  -> 7 back
        reverse r id=w                                  -> again 7 back
        reverse r 7 id=w                                -> refused TransactionIdReused: points
        reverse r                                       -> refused AlreadyReversed
        reverse r 1                                     -> refused AlreadyReversed
        # A reversal is not reversed.
        reverse w                                       -> refused NotReversible
        balance m1                                      -> 20
        lots m1                                         -> 20 north
        ends m1                                         -> redeemed 0 expired 0 refused 0
        totals m1                                       -> baskets 1 refused 0 reversals 0 granted 20 reversed 0 clipped 0
    "

    what_burned_nothing_gives_nothing_back(Setup::default(), [plain()]) "
        accrue m1 1000 id=a                             -> 10
        redeem m1 11 id=r                               -> refused InsufficientBalance
        reverse r                                       -> refused NotReversible
        # An accrual comes back by lines.
        reverse a 3                                     -> refused LineUnknown: points
        authorize m1 4 id=h                             -> aside 4 for 60m
        reverse h                                       -> refused NotReversible
        void h id=v                                     -> 4 back
        reverse v                                       -> refused NotReversible
        reverse never                                   -> refused OriginalUnknown
    "

    a_capture_comes_back_to_the_account(Setup::default(), [plain()]) "
        accrue m1 1000                                  -> 10
        authorize m1 8 id=a                             -> aside 8 for 60m
        capture a 3 id=c                                -> captured 3, 5 left
        reverse c 2                                     -> 2 back
        # The authorization stays as it is.
        aside m1                                        -> a 5 of 8
        available m1                                    -> 4
        reverse c                                       -> 1 back
        capture a 5 id=d                                -> captured 5
        reverse d                                       -> 5 back
        reverse c                                       -> refused AlreadyReversed
        lots m1                                         -> 10 north
        ends m1                                         -> redeemed 0 expired 0 refused 0
    "

    what_was_burned_last_comes_back_first(Setup::default(), [plain()]) "
        load m1 3@1d 4@2d 5                             -> 12
        redeem m1 10 id=r                               -> -10
        lots m1                                         -> 2 north
        reverse r 4                                     -> 4 back
        lots m1                                         -> 1 north 48h, 5 north
        reverse r 4                                     -> 4 back
        lots m1                                         -> 1 north 24h, 4 north 48h, 5 north
        reverse r                                       -> 2 back
        lots m1                                         -> 3 north 24h, 4 north 48h, 5 north
    "

    what_should_have_died_dies_when_it_comes_back(Setup::default(), [with(EXPIRES, "")]) "
        accrue m1 1000                                  -> 10
        redeem m1 6 id=r                                -> -6
        clock +36h                                      -> moved
        balance m1                                      -> 0
        reverse r 2 id=v                                -> 2 back
        balance m1                                      -> 0
        ends m1                                         -> redeemed 4 expired 6 refused 0
        # As what died otherwise, an operator can bring it back.
        restore m1 v until=+2d                          -> restored 6
        reverse r id=w                                  -> 4 back
        restore m1 w until=+2d                          -> restored 4
        lots m1                                         -> 10 north 48h
        ends m1                                         -> redeemed 0 expired 0 refused 0
    "

    what_should_have_died_lives_on(Setup::default(), [with(EXPIRES, EXTENDS)]) "
        accrue m1 1000                                  -> 10
        redeem m1 6 id=r                                -> -6
        # In time nothing changes.
        reverse r 1                                     -> 1 back
        lots m1                                         -> 5 north 36h
        clock +36h                                      -> moved
        reverse r 2                                     -> 2 back
        lots m1                                         -> 2 north 72h
        reverse r                                       -> 3 back
        lots m1                                         -> 5 north 72h
        ends m1                                         -> redeemed 0 expired 5 refused 0
        clock +72h                                      -> moved
        balance m1                                      -> 0
    "

    a_return_keeps_nothing_alive(Setup::default(), [with(INACTIVE, "")]) "
        accrue m1 1000                                  -> 10
        redeem m1 6 id=r                                -> -6
        clock +12h                                      -> moved
        reverse r 2                                     -> 2 back
        lots m1                                         -> 6 north 24h
        # The rest was put off, what was burned was not.
        redeem m1 1                                     -> -1
        lots m1                                         -> 5 north 48h
        reverse r 3                                     -> 3 back
        lots m1                                         -> 3 north 24h, 5 north 48h
        clock +24h                                      -> moved
        reverse r                                       -> 1 back
        lots m1                                         -> 5 north 24h
        ends m1                                         -> redeemed 1 expired 4 refused 0
    "

    what_comes_back_fits_the_wallet(Setup::default(), [("small", holding_at_most("12", ""))]) "
        accrue m1 1000                                  -> 10
        redeem m1 6 id=r                                -> -6
        accrue m1 600                                   -> 6
        reverse r id=v                                  -> refused BalanceLimitExceeded
        reverse r id=v                                  -> again refused BalanceLimitExceeded
        reverse r 2                                     -> 2 back
        redeem m1 4                                     -> -4
        reverse r                                       -> 4 back
        balance m1                                      -> 12
    "

    what_comes_back_dead_is_not_owed_for_besides(Setup::default(), [with(EXPIRES, DEBT)]) "
        accrue m1 1000 id=a                             -> 10
        redeem m1 10 id=r                               -> -10
        clock +2d                                       -> moved
        # Nothing has died yet: what the basket earned was spent in time.
        reverse a                                       -> 0
        owed m1                                         -> 10
        reverse r id=v                                  -> 10 back
        reverse r id=v                                  -> again 10 back
        owed m1                                         -> 0
        ends m1                                         -> redeemed 0 expired 10 refused 0
        accrue m1 1000 id=b                             -> 10
        balance m1                                      -> 10
        # They excuse nothing else.
        redeem m1 10                                    -> -10
        clock +2d                                       -> moved
        reverse b                                       -> 0
        owed m1                                         -> 10
    "

    what_came_back_dead_before_is_not_owed_for_either(Setup::default(), [with(EXPIRES, DEBT)]) "
        accrue m1 1000 id=a                             -> 10
        redeem m1 10 id=r                               -> -10
        clock +2d                                       -> moved
        reverse r                                       -> 10 back
        reverse a                                       -> 0
        owed m1                                         -> 0
        accrue m1 1000                                  -> 10
        balance m1                                      -> 10
    "

    pieces_that_come_back_dead_are_owed_for_no_more(
        Setup::default(), [with(EXPIRES, "[refunds]\nwhen_spent = \"negative\"\n")]
    ) "
        accrue m1 1000 id=a                             -> 10
        redeem m1 6 id=r                                -> -6
        clock +2d                                       -> moved
        # Four have died, and are gone with the basket.
        reverse a                                       -> 0 leaving -6
        reverse r 4                                     -> 4 back leaving -2
        owed m1                                         -> 2
        accrue m1 100                                   -> 1 leaving -1
        # Of two that come back dead one was owed for.
        reverse r                                       -> 2 back leaving 0
        owed m1                                         -> 0
        accrue m1 1000                                  -> 10
        balance m1                                      -> 10
    "

    what_is_owed_stays_owed(Setup::default(), [with("", DEBT)]) "
        accrue m1 1000 id=a                             -> 10
        redeem m1 6 id=r                                -> -6
        reverse a                                       -> -4
        owed m1                                         -> 6
        reverse r                                       -> 6 back
        owed m1                                         -> 6
        lots m1                                         -> 6 north
        accrue m1 200                                   -> 2
        owed m1                                         -> 4
        balance m1                                      -> 6
    "

    a_frozen_account_gets_back_what_it_spent(Setup::default(), [plain()]) "
        accrue m1 1000                                  -> 10
        redeem m1 6 id=r                                -> -6
        freeze account:m1                               -> frozen
        clock +1s                                       -> moved
        redeem m1 1                                     -> refused AccountFrozen
        reverse r 2                                     -> 2 back
        balance m1                                      -> 6
    "

    rights_that_ended_do_not_keep_anything_from_coming_back(Setup::default(), [with("", RIGHTS)]) "
        accrue m1 1000                                  -> 10
        redeem m1 6 id=r                                -> -6
        clock +1d                                       -> moved
        redeem m1 1                                     -> refused BurnNotPermitted
        reverse r                                       -> 6 back
    "
}

/// What has come back is in the snapshot, and in the journal behind it.
#[test]
fn what_came_back_outlives_a_snapshot_and_a_restart() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&with("", RIGHTS).1);
    let edge = ledger.edge();
    assert_eq!(edge.accrue(&Accrue::simple("m1", "x", 2_000)).granted(), 20);
    let redeem = CommandKind::Redeem(Redemption { wallet: WalletId(0), units: 9, reward: None });
    assert_eq!(edge.send("m1", "r", redeem).granted(), -9);
    assert_eq!(edge.unburn("v1", "r", Some(2)).granted(), 2);
    ledger.engine.snapshot().expect("the ledger runs");
    assert_eq!(edge.unburn("v2", "r", Some(3)).granted(), 3);
    let clock = ledger.clock.clone();
    let stopped = ledger.stop();
    assert_intact(&store, stopped.digest);
    let ledger = Ledger::start(std::sync::Arc::new(store.clone()), Setup::default(), clock);
    assert_eq!(ledger.edge().unburn("v3", "r", Some(5)).refusal(), Some(Refusal::ReturnTooLarge));
    assert_eq!(ledger.edge().unburn("v4", "r", None).granted(), 4);
    assert_eq!(ledger.edge().unburn("v5", "r", None).refusal(), Some(Refusal::AlreadyReversed));
    let account = ledger.edge().account("m1").expect("it is there").account;
    let totals = account.wallet_totals(WalletId(0));
    assert_eq!((account.balance(WalletId(0), ledger.clock.now()), totals.redeemed, totals.granted), (20, 0, 20));
    assert_intact(&store, ledger.stop().digest);
}
