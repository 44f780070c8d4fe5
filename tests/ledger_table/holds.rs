//! What partners set aside: captured in parts, given back, run out; and what cannot be had meanwhile.
//!
//! What must stay true: units that are set aside are spent once, by whoever set them aside, or come back with the terms
//! that they had; they count as the account's all the while.

use crate::language::*;
use crate::support::edge::Accrue;
use crate::support::{Ledger, NS_PER_SECOND, Setup, assert_intact};
use tallystick::ledger::command::{CommandKind, SettingAside};
use tallystick::ledger::decision::Refusal;
use tallystick::ledger::types::WalletId;
use tallystick::limits;

/// Units live through the day after the one on which they were earned.
const EXPIRES: &str = "expiry = { after_days = 1 }";
/// Units live for a day after the last thing that the member did.
const INACTIVE: &str = "expiry = { inactive_days = 1 }";
/// Long enough for units to die while they are set aside.
const LONG: &str = "[redemption]\nhold_minutes = 4_000\n";
/// North takes units until the tables' day, south for ever.
const RIGHTS: &str = "
[[partners]]
name = \"north\"
stores = [{ name = \"s1\" }]
earns = [{ wallet = \"points\" }]
burns = [{ wallet = \"points\", until = 2017-03-01 }]
funding_rate_bps = 5_000
redemption_rate_bps = 4_000

[[partners]]
name = \"south\"
stores = [{ name = \"s1\" }]
earns = [{ wallet = \"points\" }]
burns = [{ wallet = \"points\" }]
";
const DAY: &str = "[redemption]\nhold_minutes = 1_440\n";

tables! {
    units_are_set_aside_and_captured_in_parts(Setup::default(), [plain()]) "
        authorize m1 5                                  -> refused AccountUnknown
        accrue m1 1000                                  -> 10
        authorize m1 11 id=z                            -> refused InsufficientBalance
        authorize m1 11 id=z                            -> again refused InsufficientBalance
        authorize m1 7 id=a                             -> aside 7 for 60m
        authorize m1 7 id=a                             -> again aside 7 for 60m
        authorize m1 6 id=a                             -> refused TransactionIdReused: points
        authorize m1 7 id=a hold=1m                     -> refused TransactionIdReused: hold_seconds
        balance m1                                      -> 10
        available m1                                    -> 3
        aside m1                                        -> a 7 of 7
        # Nobody else gets them.
        redeem m1 4                                     -> refused InsufficientBalance
        authorize m1 4                                  -> refused InsufficientBalance
        adjust m1 -4                                    -> refused InsufficientBalance
        redeem m1 3                                     -> -3
        capture a 8                                     -> refused CaptureExceedsAuthorization
        capture a 2 id=c                                -> captured 2, 5 left
        capture a 2 id=c                                -> again captured 2, 5 left
        capture a 3 id=c                                -> refused TransactionIdReused: points
        capture a 2 id=c final                          -> refused TransactionIdReused: final_capture
        capture b 2 id=c                                -> refused TransactionIdReused: authorization_transaction_id
        void a id=c                                     -> refused TransactionIdReused: command
        balance m1                                      -> 5
        capture a 1 final                               -> captured 1, 4 back
        aside m1                                        ->
        available m1                                    -> 4
        capture a 1                                     -> refused AuthorizationClosed
        void a                                          -> refused AuthorizationClosed
        # What was answered stays so.
        capture a 2 id=c                                -> again captured 2, 5 left
        ends m1                                         -> redeemed 6 expired 0 refused 3
    "

    what_comes_back_of_itself_can_be_taken_by_an_operator(Setup::default(), [plain()]) "
        accrue m1 1000                                  -> 10
        authorize m1 7                                  -> aside 7 for 60m
        adjust m1 -4                                    -> refused InsufficientBalance
        clock +2h                                       -> moved
        adjust m1 -11                                   -> refused InsufficientBalance
        adjust m1 -10                                   -> -10
        balance m1                                      -> 0
    "

    the_last_unit_ends_an_authorization(Setup::default(), [plain()]) "
        accrue m1 1000                                  -> 10
        authorize m1 6 id=a                             -> aside 6 for 60m
        capture a 4                                     -> captured 4, 2 left
        capture a 2                                     -> captured 2
        capture a 1                                     -> refused AuthorizationClosed
        authorize m1 4 id=b hold=20m                    -> aside 4 for 20m
        void b id=v                                     -> 4 back
        void b id=v                                     -> again 4 back
        void b                                          -> refused AuthorizationClosed
        redeem m1 4                                     -> -4
    "

    an_authorization_is_its_partners(Setup::default(), [plain()]) "
        accrue m1 1000 id=x                             -> 10
        authorize m1 6 id=a                             -> aside 6 for 60m
        capture a 1 by=south                            -> refused AuthorizationUnknown
        void a by=south                                 -> refused AuthorizationUnknown
        capture x 1                                     -> refused AuthorizationUnknown
        void never                                      -> refused AuthorizationUnknown
        # The same id is another transaction with another partner.
        authorize m1 3 id=a by=south                    -> aside 3 for 60m
        aside m1                                        -> a 6 of 6, a 3 of 3
        capture a 3 by=south                            -> captured 3
        reverse a                                       -> refused NotReversible
        capture a 6                                     -> captured 6
    "

    time_gives_back_what_is_left(Setup::default(), [plain()]) "
        accrue m1 1000                                  -> 10
        authorize m1 6 id=a hold=30m                    -> aside 6 for 30m
        # No longer than the programme says.
        authorize m1 2 id=b hold=2h                     -> aside 2 for 60m
        capture a 1                                     -> captured 1, 5 left
        clock +1799999999999ns                          -> moved
        available m1                                    -> 2
        redeem m1 3                                     -> refused InsufficientBalance
        clock +1ns                                      -> moved
        available m1                                    -> 7
        balance m1                                      -> 9
        lots m1                                         -> 7 north
        aside m1                                        -> b 2 of 2
        capture a 1                                     -> refused AuthorizationExpired
        void a                                          -> refused AuthorizationExpired
        redeem m1 7                                     -> -7
        clock +30m                                      -> moved
        redeem m1 2                                     -> -2
        capture b 1                                     -> refused AuthorizationExpired
        ends m1                                         -> redeemed 10 expired 0 refused 1
    "

    what_is_set_aside_does_not_die_and_can_be_captured(Setup::default(), [with(EXPIRES, LONG)]) "
        accrue m1 1000                                  -> 10
        authorize m1 6 id=a                             -> aside 6 for 4000m
        clock +2d                                       -> moved
        # Four have died, six are set aside.
        balance m1                                      -> 6
        available m1                                    -> 0
        capture a 2                                     -> captured 2, 4 left
        ends m1                                         -> redeemed 2 expired 4 refused 0
        # What is given back dies at once.
        capture a 1 final                               -> captured 1, 3 back
        balance m1                                      -> 0
        ends m1                                         -> redeemed 3 expired 7 refused 0
        accrue m1 500                                   -> 5
        authorize m1 5 id=b                             -> aside 5 for 4000m
        clock +2d                                       -> moved
        void b id=v                                     -> 5 back
        ends m1                                         -> redeemed 3 expired 12 refused 0
        restore m1 v until=+5d                          -> restored 5
        redeem m1 5                                     -> -5
    "

    what_ran_out_after_its_death_is_gone(Setup::default(), [with(EXPIRES, LONG)]) "
        accrue m1 1000                                  -> 10
        authorize m1 6 id=a                             -> aside 6 for 4000m
        clock +4000m                                    -> moved
        balance m1                                      -> 0
        lots m1                                         ->
        # Four of a lot, and six that were given back to it.
        accrue m1 100 id=x                              -> 1
        ends m1                                         -> redeemed 0 expired 10 refused 0
        restore m1 x until=+1d                          -> restored 10
        balance m1                                      -> 11
    "

    what_is_set_aside_is_not_taken_back(Setup::default(), [plain()]) "
        accrue m1 1000 id=a                             -> 10
        authorize m1 6 id=h                             -> aside 6 for 60m
        # The till has promised them.
        reverse a                                       -> refused InsufficientBalance
        accrue m1 700                                   -> 7
        reverse a id=r                                  -> -10
        available m1                                    -> 1
        capture h 6                                     -> captured 6
        balance m1                                      -> 1
    "

    what_is_set_aside_counts_against_the_balance(
        Setup::default(), [("first", holding_at_most("12", ""))]
    ) "
        accrue m1 1000                                  -> 10
        authorize m1 6 id=a                             -> aside 6 for 60m
        accrue m1 300                                   -> refused BalanceLimitExceeded
        accrue m1 200                                   -> 2
        void a                                          -> 6 back
        balance m1                                      -> 12
    "

    the_first_to_die_is_set_aside_and_burned_first(Setup::default(), [plain()]) "
        load m1 5@3h 4/south@2h 9                       -> 18
        authorize m1 7 id=a                             -> aside 7 for 60m
        lots m1                                         -> 2 north 3h, 9 north
        capture a 5                                     -> captured 5, 2 left
        authorize m1 3 id=b                             -> aside 3 for 60m
        lots m1                                         -> 8 north
        void b                                          -> 3 back
        void a                                          -> 2 back
        lots m1                                         -> 4 north 3h, 9 north
    "

    setting_aside_keeps_the_rest_alive(Setup::default(), [with(INACTIVE, LONG)]) "
        accrue m1 1000                                  -> 10
        clock +1d                                       -> moved
        authorize m1 4 id=a                             -> aside 4 for 4000m
        # The rest lives a day longer; what is set aside keeps its death.
        lots m1                                         -> 6 north 36h
        clock +12h                                      -> moved
        void a                                          -> 4 back
        lots m1                                         -> 6 north 24h
        ends m1                                         -> redeemed 0 expired 4 refused 0
        authorize m1 5 id=b                             -> aside 5 for 4000m
        clock +12h                                      -> moved
        capture b 2 id=c                                -> captured 2, 3 left
        lots m1                                         -> 1 north 36h
        capture b 1 final                               -> captured 1, 2 back
        lots m1                                         -> 2 north 12h, 1 north 36h
    "

    a_frozen_account_is_not_captured_from(Setup::default(), [plain()]) "
        accrue m1 1000                                  -> 10
        authorize m1 6 id=a                             -> aside 6 for 60m
        freeze account:m1                               -> frozen
        authorize m1 1                                  -> refused AccountFrozen
        capture a 1 id=c                                -> refused AccountFrozen
        capture a 1 id=c                                -> again refused AccountFrozen
        # Letting go is no burning.
        void a                                          -> 6 back
        thaw account:m1                                 -> thawed
        available m1                                    -> 10
    "

    rights_are_judged_when_units_are_set_aside_and_when_they_are_burned(
        Setup::default(), [with("", &[RIGHTS, DAY].concat())]
    ) "
        accrue m1 1000                                  -> 10
        authorize m1 4 id=e by=east                     -> refused PartnerUnknown
        authorize m1 4 id=a                             -> aside 4 for 1440m
        authorize m1 4 id=b by=south                    -> aside 4 for 1440m
        clock +12h                                      -> moved
        authorize m1 1                                  -> refused BurnNotPermitted
        capture a 2 id=c                                -> refused BurnNotPermitted
        void a                                          -> 4 back
        capture b 2 by=south                            -> captured 2, 2 left
    "

    an_account_has_few_authorizations_of_few_lots(Setup::default(), [plain()]) "
        load m1 1*512@1h 100@2h                         -> 612
        authorize m1 512 id=a                           -> aside 512 for 60m
        authorize m1 1                                  -> refused AccountLimitReached
        capture a 12 id=c                               -> captured 12, 500 left
        authorize m1 1 id=b                             -> aside 1 for 60m
        load m1 1*20@3h                                 -> 20
        # Of the lot that dies next, and of twenty behind it.
        authorize m1 110                                -> refused AccountLimitReached
        void a                                          -> 500 back
        authorize m1 511                                -> aside 511 for 60m
    "
}

#[test]
fn an_account_has_a_bounded_number_of_authorizations() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&plain().1);
    let edge = ledger.edge();
    assert_eq!(edge.accrue(&Accrue::simple("m1", "a", 10_000)).granted(), 100);
    let authorize = |id: &str| {
        let asked = SettingAside { wallet: WalletId(0), units: 1, hold_seconds: None };
        edge.send("m1", id, CommandKind::Authorize(asked)).refusal()
    };
    for index in 0..limits::AUTHORIZATIONS_MAX {
        assert_eq!(authorize(&format!("t{index}")), None);
    }
    assert_eq!(authorize("beyond"), Some(Refusal::AccountLimitReached));
    assert_eq!(edge.end("v", "t7", None).refusal(), None);
    assert_eq!(authorize("next"), None);
    // When their time has run out they make room by themselves.
    ledger.clock.advance(3_600 * NS_PER_SECOND);
    assert_eq!(authorize("later"), None);
    let view = edge.account("m1").expect("it is there");
    assert_eq!((view.account.authorizations().len(), view.account.lots.len()), (1, 1));
    assert_intact(&store, ledger.stop().digest);
}

/// What is set aside is in the snapshot, and in the journal behind it.
#[test]
fn what_is_set_aside_outlives_a_snapshot_and_a_restart() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&with(EXPIRES, LONG).1);
    let edge = ledger.edge();
    let authorize = |edge: &crate::support::edge::Edge<'_>, id: &str, units| {
        let asked = SettingAside { wallet: WalletId(0), units, hold_seconds: None };
        edge.send("m1", id, CommandKind::Authorize(asked)).refusal()
    };
    assert_eq!(edge.accrue(&Accrue::simple("m1", "x", 2_000)).granted(), 20);
    assert_eq!([authorize(&edge, "a", 9), authorize(&edge, "b", 8)], [None, None]);
    ledger.engine.snapshot().expect("the ledger runs");
    assert_eq!(edge.end("c", "a", Some((4, false))).granted(), -4);
    let clock = ledger.clock.clone();
    let stopped = ledger.stop();
    assert_intact(&store, stopped.digest);
    let ledger = Ledger::start(std::sync::Arc::new(store.clone()), Setup::default(), clock);
    let left = || {
        let view = ledger.edge().account("m1").expect("it is there");
        view.account.authorizations().iter().map(|one| (one.left(), one.captured)).collect::<Vec<_>>()
    };
    assert_eq!(left(), [(5, 4), (8, 0)]);
    ledger.clock.advance(3 * crate::support::NS_PER_DAY);
    assert_eq!(ledger.edge().accrue(&Accrue::simple("m1", "y", 100)).granted(), 1);
    assert_eq!(left(), []);
    let view = ledger.edge().account("m1").expect("it is there");
    assert_eq!((view.account.lots.len(), view.account.wallet_totals(WalletId(0)).expired), (1, 16));
    assert_eq!(ledger.edge().end("d", "a", Some((1, false))).refusal(), Some(Refusal::AuthorizationExpired));
    assert_intact(&store, ledger.stop().digest);
}
