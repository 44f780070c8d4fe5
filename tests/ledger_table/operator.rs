//! What operators decide: baskets that a cap holds are released or rejected, dead units come back, balances are
//! corrected.
//!
//! What must stay true: held units count against every cap, and cannot be burned (invariant 6); each review is taken
//! once.

use tallystick::clock::Clock;
use tallystick::ledger::command::{CommandKind, Loading, Redemption};
use tallystick::ledger::decision::LotKey;
use tallystick::ledger::types::{TimestampNs, WalletId};
use tallystick::limits;

use crate::language::*;
use crate::support::{Ledger, NS_PER_DAY, NS_PER_SECOND, Setup, assert_intact};

const HOLDS: &str = "[[caps]]\nname = \"watch\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 20\nover = \"hold\"\n";
const MANY: &str =
    "[[caps]]\nname = \"many\"\nmeasure = \"earning-baskets\"\nwindow = \"day\"\nlimit = 2\nover = \"hold\"\n";
const OF_STORE: &str = "[[caps]]\nname = \"store\"\nmeasure = \"units\"\nsubject = \"store\"\nwindow = \"day\"\n\
                        limit = 20\nover = \"hold\"\n";
const OF_ALL: &str = "[[caps]]\nname = \"all\"\nmeasure = \"units\"\nsubject = \"programme\"\nwindow = \"day\"\n\
                      limit = 10\nover = \"hold\"\n";
const PRIZES: &str = "[[bonuses]]\nname = \"large\"\nunits = 600_000_000_000_000_000\non = { activity = \"large\" }\n\
                      [[bonuses]]\nname = \"small\"\nunits = 400_000_000_000_000_000\non = { activity = \"small\" }\n";
const DEBT: &str = "[refunds]\nwhen_spent = \"debt\"\n";
const REVIEWS: &str = "[[bonuses]]\nname = \"review\"\nunits = 30\non = { activity = \"review\" }\n";

tables! {
    what_goes_over_is_held_whole_and_released(Setup::default(), [with("", HOLDS)]) "
        accrue m1 1500 id=a                             -> 15
        accrue m1 500 id=b                              -> 5
        accrue m1 100 id=c                              -> 1 held by watch
        accrue m1 2500 id=d                             -> 25 held by watch
        counter m1 watch                                -> 46
        balance m1                                      -> 46
        held m1                                         -> c 1 by watch, d 25 by watch
        lots m1                                         -> 20 north, 26 north held
        redeem m1 21                                    -> refused InsufficientBalance
        redeem m1 20                                    -> -20
        release c id=r1                                 -> released 1
        held m1                                         -> d 25 by watch
        redeem m1 2                                     -> refused InsufficientBalance
        redeem m1 1                                     -> -1
        release d                                       -> released 25
        lots m1                                         -> 25 north
        # Once, and the same id again is answered as before.
        release c id=r1                                 -> again released 1
        release c id=r2                                 -> refused AlreadyReviewed
        reject c                                        -> refused AlreadyReviewed
        release a                                       -> refused NotHeld
        reject a                                        -> refused NotHeld
        release zzz                                     -> refused OriginalUnknown
        release c id=d                                  -> refused TransactionIdReused: command
        release d id=r1                                 -> refused TransactionIdReused: original_transaction_id
        # What was released counts still.
        accrue m1 100                                   -> 1 held by watch
    "

    a_refusal_for_what_others_had_taken_of_a_cap_is_verified_with_what_it_saw(
        Setup::default(), [("first", holding_at_most("12", &[OF_ALL, DEBT, REVIEWS].concat()))]
    ) "
        accrue m1 1000 id=a                             -> 10
        redeem m1 10                                    -> -10
        reverse a                                       -> 0
        owed m1                                         -> 10
        adjust m1 10                                    -> 10
        accrue m2 1000                                  -> 10
        # It would be held, so that nothing of it is collected.
        accrue m1 500 id=b                              -> refused BalanceLimitExceeded
        accrue m1 500 id=b                              -> again refused BalanceLimitExceeded
        act m1 review                                   -> refused BalanceLimitExceeded
        used all                                        -> 0
        # On the next day nobody has taken anything yet: what it grants goes to what is owed.
        clock +1d                                       -> moved
        accrue m1 500                                   -> 5
        owed m1                                         -> 5
    "

    what_a_cap_holds_for_all_counts_no_further_than_a_number_goes(
        Setup::default(), [with("", &[OF_ALL, PRIZES].concat())]
    ) "
        act m1 large                                    -> 600000000000000000 (large 600000000000000000) held by all
        act m2 large                                    -> refused BalanceLimitExceeded
        # The last unit is counted.
        act m2 small id=b                               -> 400000000000000000 (small 400000000000000000) held by all
        accrue m3 100                                   -> refused BalanceLimitExceeded
        # Its balance has room.
        act m1 small                                    -> refused BalanceLimitExceeded
        reject b                                        -> -400000000000000000
        accrue m3 100                                   -> 1 held by all
        clock +1d                                       -> moved
        accrue m3 100                                   -> 1
    "

    what_is_rejected_gives_room_back_but_not_its_receipt(Setup::default(), [with("", &[HOLDS, OPENING].concat())]) "
        accrue m1 1500 id=a                             -> 15
        accrue m1 900 id=b receipt=R1                   -> 9 held by watch
        used opening                                    -> 24
        accrue m2 300 id=x                              -> 1 of 3: opening -2
        reject b id=j                                   -> -9
        held m1                                         ->
        balance m1                                      -> 15
        counter m1 watch                                -> 15
        used opening                                    -> 16
        totals m1 -> baskets 2 refused 0 reversals 1 granted 24 reversed 9 clipped 0
        accrue m1 100 receipt=R1                        -> refused ReceiptAlreadyEarned
        reject b id=j                                   -> again -9
        reject b id=j2                                  -> refused AlreadyReviewed
        release b                                       -> refused AlreadyReviewed
        reverse b                                       -> refused AlreadyReversed
        accrue m1 500                                   -> 5
    "

    what_is_held_can_be_reversed_and_then_not_reviewed(Setup::default(), [with("", HOLDS)]) "
        accrue m1 2100 id=a receipt=R1                  -> 21 held by watch
        accrue m1 100 id=b                              -> 1 held by watch
        reverse a                                       -> -21
        held m1                                         -> b 1 by watch
        counter m1 watch                                -> 1
        release a                                       -> refused AlreadyReviewed
        reject a                                        -> refused AlreadyReviewed
        accrue m1 1900 receipt=R1                       -> 19
        release b id=rb                                 -> released 1
        reverse b                                       -> -1
        balance m1                                      -> 19
    "

    a_reversal_of_what_was_released_does_not_touch_what_is_held(Setup::default(), [with("", HOLDS)]) "
        accrue m1 2100 id=a                             -> 21 held by watch
        accrue m1 2100 id=b                             -> 21 held by watch
        release a                                       -> released 21
        redeem m1 20                                    -> -20
        reverse a                                       -> refused InsufficientBalance
        redeem m1 1                                     -> -1
        load m1 30                                      -> 30
        reverse a                                       -> -21
        lots m1                                         -> 9 north, 21 north held
        release b                                       -> released 21
    "

    held_units_die_on_their_day_and_stay_dead(
        Setup::default(), [with("expiry = { after_days = 2 }", HOLDS)]
    ) "
        accrue m1 2100 id=a                             -> 21 held by watch
        accrue m1 2200 id=b                             -> 22 held by watch
        clock +3d                                       -> moved
        balance m1                                      -> 0
        release a                                       -> released 0
        ends m1                                         -> redeemed 0 expired 43 refused 0
        reject b                                        -> 0
        counter m1 watch printed=-3d                    -> 21
        restore m1 row-5 until=+5d                      -> refused NotRestorable
        restore m1 a until=+5d                          -> refused NotRestorable
        held m1                                         ->
    "

    a_pending_period_outlasts_the_release(
        Setup::default(), [with("pending_days = 2", HOLDS)]
    ) "
        accrue m1 2100 id=a                             -> 21 held by watch
        release a                                       -> released 21
        lots m1                                         -> 21 north pending 60h
        redeem m1 1                                     -> refused InsufficientBalance
        clock +3d                                       -> moved
        accrue m1 2100 id=b                             -> 21 held by watch
        clock +3d                                       -> moved
        redeem m1 22                                    -> refused InsufficientBalance
        release b                                       -> released 21
        redeem m1 42                                    -> -42
    "

    held_units_of_inactive_members_are_not_put_off(
        Setup::default(), [with("expiry = { inactive_days = 2 }", HOLDS)]
    ) "
        accrue m1 2100 id=a                             -> 21 held by watch
        clock +1d                                       -> moved
        accrue m1 100                                   -> 1
        lots m1                                         -> 1 north 60h, 21 north 36h held
        release a                                       -> released 21
        accrue m1 100                                   -> 1
        lots m1                                         -> 23 north 60h
    "

    a_velocity_cap_can_hold_too(Setup::default(), [with("", &[MANY, REVIEWS].concat())]) "
        accrue m1 100                                   -> 1
        accrue m1 100                                   -> 1
        accrue m1 0                                     -> 0
        accrue m1 100 id=c                              -> 1 held by many
        act m1 review                                   -> 30 (review 30)
        counter m1 many                                 -> 3
        reject c                                        -> -1
        accrue m1 100                                   -> 1 held by many
    "

    an_activity_is_held_and_rejected(Setup::default(), [with("", &[HOLDS, REVIEWS].concat())]) "
        act m1 review id=v                              -> 30 (review 30) held by watch
        held m1                                         -> v 30 by watch
        reverse v                                       -> refused NotReversible
        reject v                                        -> -30
        counter m1 watch                                -> 0
    "

    a_cap_that_clips_comes_before_one_that_holds(Setup::default(), [with("", &[DAILY, MANY].concat())]) "
        accrue m1 1500                                  -> 15
        accrue m1 1500                                  -> 5 of 15: daily -10
        accrue m1 1500                                  -> 0 of 15: daily -15
        clock +1d                                       -> moved
        accrue m1 100                                   -> 1
        accrue m1 100                                   -> 1
        accrue m1 3000                                  -> 18 of 30: daily -12 held by many
        quote m1 100                                    -> 0 of 1: daily -1
    "

    a_shared_cap_holds_whoever_comes(Setup::default(), [with("", OF_STORE)]) "
        accrue m1 1500 id=a                             -> 15
        accrue m2 1500 id=b                             -> 15 held by store
        accrue m1 100 id=c store=s2                     -> 1
        accrue m3 100 id=d                              -> 1 held by store
        reject b                                        -> -15
        reject d                                        -> -1
        accrue m3 500                                   -> 5
        accrue m3 100 id=e                              -> 1 held by store
        reverse e                                       -> -1
    "

    what_died_comes_back_once(Setup::default(), [with("expiry = { after_days = 2 }", "")]) "
        accrue m1 1500 id=a                             -> 15
        load m1 7/south@1h id=l                         -> 7
        redeem m1 5                                     -> -5
        clock +3d                                       -> moved
        accrue m1 100 id=b                              -> 1
        ends m1                                         -> redeemed 5 expired 17 refused 0
        restore m1 a until=+5d                          -> refused NotRestorable
        restore m2 b until=+5d                          -> refused OriginalUnknown
        restore m1 b until=+5d id=u                     -> restored 15
        ends m1                                         -> redeemed 5 expired 2 refused 0
        lots m1                                         -> 1 north 60h, 15 north 120h
        restore m1 b until=+5d id=u                     -> again restored 15
        restore m1 b until=+6d id=u                     -> refused TransactionIdReused: expire_time
        restore m1 b until=+5d id=u2                    -> refused AlreadyRestored
        # The other partner's units come back by its own command.
        restore m1 b until=+5d by=south                 -> restored 2
        redeem m1 18                                    -> -18
    "

    what_came_back_dies_again_and_comes_back_again(Setup::default(), [with("expiry = { after_days = 2 }", "")]) "
        accrue m1 1500 id=a                             -> 15
        clock +3d                                       -> moved
        accrue m1 100 id=b                              -> 1
        restore m1 b until=+1d                          -> restored 15
        clock +2d                                       -> moved
        balance m1                                      -> 1
        redeem m1 1 id=c                                -> -1
        restore m1 c until=+1d                          -> restored 15
        balance m1                                      -> 15
    "

    a_wallet_bounds_what_comes_back(
        Setup::default(), [("first", holding_at_most("20", ""))]
    ) "
        load m1 15@1d id=l                              -> 15
        clock +3d                                       -> moved
        accrue m1 1000 id=b                             -> 10
        restore m1 b until=+5d id=u                     -> refused BalanceLimitExceeded
        redeem m1 10                                    -> -10
        restore m1 b until=+5d id=u                     -> again refused BalanceLimitExceeded
        restore m1 b until=+5d id=u2                    -> restored 15
    "

    balances_are_corrected(Setup::default(), [with("expiry = { after_days = 2 }", HOLDS)]) "
        adjust m1 10                                    -> refused AccountUnknown
        accrue m1 500                                   -> 5
        accrue m1 2500                                  -> 25 held by watch
        adjust m1 10 id=j                               -> 10
        adjust m1 10 id=j                               -> again 10
        adjust m1 11 id=j                               -> refused TransactionIdReused: points
        adjust m1 4 until=+5d                           -> 4
        lots m1                                         -> 15 north 60h, 4 north 120h, 25 north 60h held
        adjust m1 -20                                   -> refused InsufficientBalance
        adjust m1 -17                                   -> -17
        lots m1                                         -> 2 north 120h, 25 north 60h held
        counter m1 watch                                -> 30
    "
}

/// Lots that one restoration brings back here: more than a basket or a sweep posts the death of, or an authorization keeps.
const MANY_LOTS: i64 = 600;

/// A record in which burned units come back too late posts the death of as many lots as were burned from. All of them come
/// back at once, and the directory opens with that.
#[test]
fn all_that_died_with_one_record_comes_back_at_once() {
    let most = limits::EXPIRED_LOTS_POSTED_MAX + limits::AUTHORIZED_LOTS_MAX;
    assert!(usize::try_from(MANY_LOTS).is_ok_and(|lots| lots > most));
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&plain().1);
    let edge = ledger.edge();
    let now = ledger.clock.now();
    let lot = |number: i64| LotKey {
        wallet: WalletId(0),
        issuer: edge.partner,
        funding_rate_bps: 0,
        available_from_minute: 0,
        inactive_days: 0,
        expires_at: TimestampNs(now.0 + number * NS_PER_SECOND),
    };
    let lots = (1..=MANY_LOTS).map(|number| (lot(number), 1)).collect();
    assert_eq!(edge.send("m1", "l", CommandKind::Load(Loading { lots })).granted(), MANY_LOTS);
    let redemption = Redemption { wallet: WalletId(0), units: MANY_LOTS, reward: None };
    assert_eq!(edge.send("m1", "r", CommandKind::Redeem(redemption)).granted(), -MANY_LOTS);
    ledger.clock.advance(NS_PER_DAY);
    assert_eq!(edge.unburn("v", "r", None).granted(), MANY_LOTS);
    let until = TimestampNs(ledger.clock.now().0 + NS_PER_DAY);
    let restored = edge.restore("u", "m1", ("north", "v"), until);
    assert_eq!((restored.refusal(), restored.granted()), (None, MANY_LOTS));
    let clock = ledger.clock.clone();
    assert_intact(&store, ledger.stop().digest);
    let ledger = Ledger::start(std::sync::Arc::new(store.clone()), Setup::default(), clock);
    let view = ledger.edge().account("m1").expect("it is there");
    assert_eq!(view.account.balance(WalletId(0), ledger.clock.now()), MANY_LOTS);
    assert_intact(&store, ledger.stop().digest);
}
