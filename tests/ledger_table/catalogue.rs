//! Rewards: what they cost, who may have them and when, how many there are, and what comes back.
//!
//! What must stay true: the last of a stock can be had, and not one more; a reward that comes back is there again.

use std::time::Duration;

use crate::language::*;
use crate::support::edge::{Accrue, Pending};
use crate::support::watched::GatedStore;
use crate::support::{Ledger, NOON, NS_PER_SECOND, Setup, assert_intact};
use tallystick::clock::Clock;
use tallystick::ledger::command::{CommandKind, Redemption, RewardAsked};
use tallystick::ledger::decision::Refusal;
use tallystick::ledger::types::{TimestampNs, WalletId};

const REWARDS: &str = "
[tiers]
metric = \"spent\"
[[tiers.levels]]
name = \"silver\"
threshold = 3_000

[[rewards]]
name = \"mug\"
price = 5
stock = 3

[[rewards]]
name = \"cake\"
price = 2

[[rewards]]
name = \"gem\"
price = 4
tier = \"silver\"

[[rewards]]
name = \"tree\"
price = 1
from = 2017-12-01
until = 2017-12-31

[[rewards]]
name = \"leaf\"
price = 1
until = 2017-03-01
";

fn catalogue() -> (&'static str, String) {
    with("", &format!("[[metrics]]\nname = \"spent\"\nmeasure = \"eligible-amount\"\nwindow = \"year\"\n{REWARDS}"))
}

fn larger() -> (&'static str, String) {
    ("larger", catalogue().1.replacen("price = 5\nstock = 3", "price = 6\nstock = 4", 1))
}

tables! {
    a_stock_is_taken_to_the_last_and_not_one_more(Setup::default(), [catalogue()]) "
        take m1 mug                                     -> refused AccountUnknown
        accrue m1 2000                                  -> 20
        take m1 mug id=a                                -> -5
        take m1 mug id=a                                -> again -5
        take m1 mug 2 id=a                              -> refused TransactionIdReused: quantity
        take m1 mug id=a points=5                       -> refused TransactionIdReused: points
        take m1 cake id=a                               -> refused TransactionIdReused: reward
        redeem m1 5 id=a                                -> refused TransactionIdReused: reward
        used mug                                        -> 1
        take m1 mug 3                                   -> refused RewardOutOfStock
        take m1 mug 2 points=9                          -> refused RewardPriceDiffers
        take m1 mug 2 points=10 id=b                    -> -10
        used mug                                        -> 3
        accrue m2 1000                                  -> 10
        take m2 mug                                     -> refused RewardOutOfStock
        # Whole rewards come back, to the stock.
        reverse b 10                                    -> refused LineUnknown: points
        reverse b rewards=3                             -> refused ReturnTooLarge: quantity
        reverse b rewards=1 id=v                        -> 5 back
        reverse b rewards=1 id=v                        -> again 5 back
        reverse b rewards=2 id=v                        -> refused TransactionIdReused: quantity
        used mug                                        -> 2
        take m2 mug                                     -> -5
        take m2 mug                                     -> refused RewardOutOfStock
        reverse b                                       -> 5 back
        reverse b rewards=1                             -> refused AlreadyReversed
        used mug                                        -> 2
        balance m1                                      -> 15
    "

    what_cannot_be_had_is_refused(Setup::default(), [catalogue()]) "
        accrue m1 2000                                  -> 20
        take m1 nothing                                 -> refused RewardUnknown
        take m1 tree                                    -> refused RewardNotOffered
        take m1 leaf id=l                               -> -1
        take m1 gem id=g                                -> refused RewardTierRequired
        take m1 gem id=g                                -> again refused RewardTierRequired
        take m1 cake 10                                 -> refused InsufficientBalance
        accrue m1 1000                                  -> 10
        take m1 gem                                     -> -4
        take m1 cake 10                                 -> -20
        take m1 mug 1                                   -> -5
        take m1 mug 1                                   -> refused InsufficientBalance
        # What was refused has taken nothing.
        used mug                                        -> 1
        clock +1d                                       -> moved
        take m1 leaf                                    -> refused RewardNotOffered
        reverse l                                       -> 1 back
        redeem m1 1 id=r                                -> -1
        reverse r rewards=1                             -> refused LineUnknown: quantity
    "

    a_stock_goes_on_counting_in_a_later_version(Setup::default(), [catalogue(), larger()]) "
        accrue m1 2000                                  -> 20
        take m1 mug 3 id=a                              -> -15
        accrue m1 2000                                  -> 20
        publish larger in 1h                            -> published
        clock +1h                                       -> moved
        take m1 mug 2                                   -> refused RewardOutOfStock
        take m1 mug                                     -> -6
        # What comes back costs what it cost.
        reverse a rewards=1                             -> 5 back
        used mug                                        -> 3
    "
}

/// A redemption that was on its way when a version took effect in which the reward costs as many units of another wallet.
#[test]
fn a_reward_is_not_paid_for_from_a_wallet_that_it_no_longer_costs() {
    let version = |wallet: &str| {
        let reward = format!("[[rewards]]\nname = \"mug\"\nwallet = \"{wallet}\"\nprice = 5\n");
        with("", &reward).1.replacen("[earn]", "[[wallets]]\nname = \"stars\"\n\n[earn]", 1)
    };
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&version("points"));
    let edge = ledger.edge();
    assert_eq!(edge.accrue(&Accrue::simple("m1", "t", 2_000)).granted(), 20);
    let reward = edge.symbol("mug").expect("it has a number");
    let mug = |id: &str| {
        let asked = RewardAsked { reward, quantity: 1, states_units: false };
        edge.send("m1", id, CommandKind::Redeem(Redemption { wallet: WalletId(0), units: 5, reward: Some(asked) }))
    };
    assert_eq!(mug("a").granted(), -5);
    ledger.publish(&version("stars"), TimestampNs(NOON.0 + NS_PER_SECOND));
    ledger.clock.advance(2 * NS_PER_SECOND);
    assert_eq!(mug("b").refusal(), Some(Refusal::RewardPriceDiffers));
    assert_eq!(edge.take("m1", "c", "mug", 1, None).refusal(), Some(Refusal::InsufficientBalance), "it has no stars");
    let account = edge.account("m1").expect("it is open").account;
    assert_eq!(account.balance(WalletId(0), ledger.clock.now()), 15);
    assert_intact(&store, ledger.stop().digest);
}

/// Whoever is told that nothing is left may not find some after a crash that took it back.
#[test]
fn that_nothing_is_left_is_told_once_it_is_durable() {
    let (disk, store) = GatedStore::new();
    let setup = Setup { worker_count: 1, ..Setup::default() };
    let ledger = Ledger::on(store.clone(), setup).with_program(&catalogue().1);
    let edge = ledger.edge();
    for account in ["m1", "m2"] {
        assert_eq!(edge.accrue(&Accrue::simple(account, &format!("t-{account}"), 2_000)).granted(), 20);
    }
    store.close();
    let last = edge.begin_take("m1", "a", "mug", 3, None);
    store.wait_for_a_write();
    let Pending::Waiting(refused) = edge.begin_take("m2", "b", "mug", 1, None) else {
        panic!("it is decided elsewhere")
    };
    assert!(refused.recv_timeout(Duration::from_millis(300)).is_err(), "what used the stock up is not durable");
    store.open();
    assert_eq!(last.wait().map(|answer| answer.refusal()), Some(None));
    let refused = refused.recv_timeout(Duration::from_secs(30)).expect("it is answered by and by");
    assert_eq!(refused.refusal(), Some(Refusal::RewardOutOfStock));
    assert_intact(&disk, ledger.stop().digest);
}
