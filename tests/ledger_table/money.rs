//! Stored value: paid in within what the programme allows, spent as points are, and given back to where it came from.
//!
//! What must stay true: money neither dies nor earns by itself; what was spent cannot go back, and nobody owes it; the pieces
//! of a refund are together what was paid in.

use crate::language::*;
use crate::support::edge::{Accrue, Edge};
use crate::support::{Ledger, NS_PER_DAY, NS_PER_SECOND, Setup, assert_intact};
use proptest::prelude::*;
use tallystick::ledger::command::{CommandKind, Redemption};
use tallystick::ledger::decision::Refusal;
use tallystick::ledger::types::WalletId;

/// A wallet of money, of 100.00 at most, into which 5.00 to 50.00 are paid at once. Points die after a day.
fn cash(earn: &str, more: &str) -> (&'static str, String) {
    let wallet = "[[wallets]]\nname = \"cash\"\nkind = \"money\"\nscale = 2\nbalance_max = 10_000\n\
                  top_up_min = 500\ntop_up_max = 5_000\n";
    let (name, source) = with(earn, more);
    (name, source.replacen("[earn]", &format!("{wallet}\n[earn]"), 1))
}

/// North takes money in at one store with two tills, south takes it only as payment.
const PARTNERS: &str = "
[[partners]]
name = \"north\"
stores = [{ name = \"s1\", terminals = [\"till-1\", \"till-2\"] }]
earns = [{ wallet = \"points\" }, { wallet = \"cash\", until = 2017-03-01 }]
burns = [{ wallet = \"cash\" }]
funding_rate_bps = 5_000
redemption_rate_bps = 4_000

[[partners]]
name = \"south\"
stores = [{ name = \"s9\" }]
earns = [{ wallet = \"points\" }]
burns = [{ wallet = \"cash\" }]
";
const EXPIRES: &str = "expiry = { after_days = 1 }";
const INACTIVE: &str = "expiry = { inactive_days = 1 }";
const BY_CARD: &str =
    "[[rules]]\nname = \"stored\"\nmultiplier = \"2\"\nwhen = { payment_methods = [\"stored-value\"] }\n";

tables! {
    money_is_paid_in_within_limits(Setup::default(), [cash("", "")]) "
        topup m1 499                                    -> refused TopUpTooSmall
        topup m1 5001                                   -> refused TopUpTooLarge
        topup m1 500 wallet=0                           -> refused WalletNotMoney
        topup m1 500 wallet=7                           -> refused WalletNotMoney
        topup m1 5000 id=a                              -> 5000
        topup m1 5000 id=a                              -> again 5000
        topup m1 4999 id=a                              -> refused TransactionIdReused: amount_minor
        topup m1 5000 id=a source=other                 -> refused TransactionIdReused: source
        topup m1 5000 id=a store=s1                     -> refused TransactionIdReused: store_id
        topup m1 5000 id=a wallet=0                     -> refused TransactionIdReused: wallet
        topup m2 5000 id=a                              -> refused TransactionIdReused: account_id
        redeem m1 5000 id=a wallet=1                    -> refused TransactionIdReused: command
        topup m1 4500                                   -> 4500
        topup m1 501 id=z                               -> refused BalanceLimitExceeded
        topup m1 501 id=z                               -> again refused BalanceLimitExceeded
        topup m1 500                                    -> 500
        cash m1                                         -> 10000: 10000 north
        # A top-up earns nothing by itself, and is no basket.
        balance m1                                      -> 0
        totals m1                                       -> baskets 0 refused 0 reversals 0 granted 0 reversed 0 clipped 0
    "

    money_is_spent_as_points_are(Setup::default(), [cash("", "")]) "
        topup m1 1000 id=a                              -> 1000
        redeem m1 1001 wallet=1                         -> refused InsufficientBalance
        redeem m1 300 wallet=1                          -> -300
        authorize m1 400 id=h wallet=1                  -> aside 400 for 60m
        cash m1                                         -> 700: 300 north
        redeem m1 301 wallet=1                          -> refused InsufficientBalance
        capture h 150                                   -> captured 150, 250 left
        capture h 100 final                             -> captured 100, 150 back
        cash m1                                         -> 450: 450 north
        # Points are another matter.
        accrue m1 900                                   -> 9
        redeem m1 9                                     -> -9
        cash m1                                         -> 450: 450 north
    "

    money_goes_back_in_pieces_that_are_together_what_was_paid(Setup::default(), [cash("", "")]) "
        refund a 100                                    -> refused OriginalUnknown
        topup m1 1000 id=a                              -> 1000
        topup m1 700 id=b                               -> 700
        refund a 1001                                   -> refused RefundTooLarge
        refund a 400 id=r                               -> -400, 600 more can
        refund a 400 id=r                               -> again -400, 600 more can
        refund a 401 id=r                               -> refused TransactionIdReused: points
        refund a id=r                                   -> refused TransactionIdReused: points
        refund b 400 id=r                               -> refused TransactionIdReused: original_transaction_id
        refund a 601                                    -> refused RefundTooLarge
        refund a 599                                    -> -599, 1 more can
        refund a                                        -> -1, 0 more can
        refund a                                        -> refused AlreadyReversed
        refund a 1                                      -> refused AlreadyReversed
        refund b                                        -> -700, 0 more can
        cash m1                                         -> 0:
        accrue m1 900 id=c                              -> 9
        refund c 1                                      -> refused NotReversible
    "

    what_was_spent_cannot_go_back(Setup::default(), [cash("", "[refunds]\nwhen_spent = \"debt\"\n")]) "
        topup m1 1000 id=a                              -> 1000
        redeem m1 700 wallet=1                          -> -700
        refund a id=x                                   -> refused InsufficientBalance, 300 can
        refund a id=x                                   -> again refused InsufficientBalance, 300 can
        refund a 301                                    -> refused InsufficientBalance, 300 can
        authorize m1 100 id=h wallet=1                  -> aside 100 for 60m
        refund a 300                                    -> refused InsufficientBalance, 200 can
        refund a 200                                    -> -200, 0 more can
        void h                                          -> 100 back
        # No debt is made of money, whatever the programme does with points.
        owed m1                                         -> 0
        refund a                                        -> refused InsufficientBalance, 100 can
        refund a 100                                    -> -100, 0 more can
        # What the same partner takes in afterwards is money like the rest.
        topup m1 500 id=b                               -> 500
        refund a 100                                    -> -100, 400 more can
    "

    money_outlives_everything(Setup::default(), [cash(EXPIRES, "")]) "
        topup m1 1000 id=a                              -> 1000
        accrue m1 900                                   -> 9
        clock +3d                                       -> moved
        balance m1                                      -> 0
        cash m1                                         -> 1000: 1000 north
        clock +4000d                                    -> moved
        cash m1                                         -> 1000: 1000 north
        refund a                                        -> -1000, 0 more can
    "

    inactivity_does_not_touch_money(Setup::default(), [cash(INACTIVE, "")]) "
        topup m1 1000 id=a                              -> 1000
        accrue m1 900                                   -> 9
        clock +1d                                       -> moved
        # It is no visit either: the points die on the day on which they would have died.
        topup m1 500                                    -> 500
        clock +1d                                       -> moved
        balance m1                                      -> 0
        cash m1                                         -> 1500: 1500 north
    "

    a_correction_of_money_has_no_end(Setup::default(), [cash(EXPIRES, "")]) "
        topup m1 1000 id=a                              -> 1000
        adjust m1 200 wallet=1                          -> 200
        adjust m1 -100 wallet=1                         -> -100
        clock +400d                                     -> moved
        cash m1                                         -> 1100: 1100 north
    "

    who_takes_money_in_and_where(Setup::default(), [cash("", PARTNERS)]) "
        topup m1 1000 by=east                           -> refused PartnerUnknown
        topup m1 1000 by=south                          -> refused EarnNotPermitted
        topup m1 1000 store=s9                          -> refused StoreUnknown
        topup m1 1000 store=s1 terminal=till-3          -> refused StoreUnknown
        topup m1 1000 store=s1                          -> refused StoreUnknown
        topup m1 1000 store=s1 terminal=till-2 id=a     -> 1000
        topup m1 1000                                   -> 1000
        # Whoever takes it as payment is owed its face value by whoever took it in.
        redeem m1 400 wallet=1 by=south id=s            -> -400
        refund a by=south                               -> refused OriginalUnknown
        clock +1d                                       -> moved
        topup m1 1000                                   -> refused EarnNotPermitted
        # What was taken in goes back whatever rights have ended since.
        refund a 900                                    -> -900, 100 more can
    "

    nothing_is_paid_in_or_back_while_frozen(Setup::default(), [cash("", "")]) "
        topup m1 1000 id=a store=s1 terminal=till-1     -> 1000
        freeze till:s1/till-1                           -> frozen
        topup m1 1000 store=s1 terminal=till-1          -> refused TerminalFrozen
        topup m1 1000 store=s1 terminal=till-2          -> 1000
        freeze account:m1                               -> frozen
        topup m1 1000                                   -> refused AccountFrozen
        refund a 100 id=f                               -> refused AccountFrozen
        thaw account:m1                                 -> thawed
        refund a 100 id=f                               -> again refused AccountFrozen
        refund a 100                                    -> -100, 900 more can
    "

    accounts_are_opened_by_money_where_the_programme_opens_them(
        Setup::default(),
        [("enrolled", cash("", "").1.replacen("time_zone", "accounts = \"enrolled\"\ntime_zone", 1))]
    ) "
        topup m1 1000                                   -> refused AccountUnknown
        enrol m1 +staff                                 -> joined staff
        topup m1 1000                                   -> 1000
    "
}

/// What a basket that is paid with stored value earns is what the programme says of that payment method.
#[test]
fn a_basket_that_is_paid_with_money_earns_by_its_payment_method() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&cash("", BY_CARD).1);
    let edge = ledger.edge();
    assert_eq!(edge.top_up("m1", "a", 1, 1_000).decision.granted, 1_000);
    let paid = CommandKind::Redeem(Redemption { wallet: WalletId(1), units: 900, reward: None });
    assert_eq!(edge.send("m1", "p", paid).granted(), -900);
    for (id, payment_method, points) in [("card", "card", 9), ("stored", "stored-value", 18)] {
        let mut basket = edge.basket(&Accrue::simple("m1", id, 900)).expect("a basket");
        basket.payment_method = edge.symbol(payment_method).expect("there is room");
        assert_eq!(edge.send_basket("m1", id, basket).granted(), points, "{payment_method}");
    }
    assert_intact(&store, ledger.stop().digest);
}

fn units_of(edge: &Edge<'_>, account: &str) -> i64 {
    let view = edge.account(account).expect("the account is there");
    view.account.balance(WalletId(1), view.read_at)
}

/// Two tills give the same top-up back at once: together no more than was paid in.
#[test]
fn two_refunds_at_once_give_back_what_was_paid_in_and_no_more() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&cash("", "").1);
    ledger.edge().top_up("m1", "a", 1, 5_000);
    ledger.edge().top_up("m1", "b", 1, 5_000);
    let given_back: i64 = std::thread::scope(|scope| {
        let till = |till: usize| {
            let edge = ledger.edge();
            move || -> i64 {
                let answers = (0..40).map(|turn| edge.refund(&format!("r-{till}-{turn}"), "a", Some(97)));
                let (granted, refused): (Vec<_>, Vec<_>) = answers.partition(|answer| answer.refusal().is_none());
                let is_spent = |refusal| matches!(refusal, Some(Refusal::RefundTooLarge | Refusal::AlreadyReversed));
                assert!(refused.iter().all(|answer| is_spent(answer.refusal())), "nothing else is in the way");
                granted.iter().map(|answer| -answer.granted()).sum()
            }
        };
        let tills: Vec<_> = (0..4).map(|number| scope.spawn(till(number))).collect();
        tills.into_iter().map(|till| till.join().expect("a till ends")).sum()
    });
    assert_eq!(given_back, 97 * (5_000 / 97));
    assert_eq!(units_of(&ledger.edge(), "m1"), 10_000 - given_back);
    assert_eq!(ledger.edge().refund("rest", "a", None).granted(), given_back - 5_000);
    assert_intact(&store, ledger.stop().digest);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is paid in, spent and given back: what goes back of a top-up is at most what was paid in, what is there is
    /// what was paid in less what was spent and went back, and time changes none of it.
    #[test]
    fn money_is_conserved(steps in prop::collection::vec((0..4_u8, 1..1_500_i64, 0..4_usize), 1..40)) {
        let (ledger, store) = Ledger::new(Setup::default());
        let ledger = ledger.with_program(&cash(EXPIRES, "").1);
        let edge = ledger.edge();
        let mut paid_in: Vec<(String, i64)> = Vec::new();
        let (mut balance, mut spent) = (0, 0);
        for (step, (what, units, which)) in steps.into_iter().enumerate() {
            let id = format!("t-{step}");
            match what {
                0 => {
                    let answer = edge.top_up("m1", &id, 1, units);
                    let fits = (500..=5_000).contains(&units) && balance + units <= 10_000;
                    prop_assert_eq!(answer.refusal().is_none(), fits, "{} at {}: {:?}", units, balance, answer);
                    if fits {
                        balance += units;
                        paid_in.push((id, units));
                    }
                }
                1 if balance > 0 => {
                    let asked = CommandKind::Redeem(Redemption { wallet: WalletId(1), units, reward: None });
                    let answer = edge.send("m1", &id, asked);
                    prop_assert_eq!(answer.refusal().is_none(), units <= balance);
                    if units <= balance {
                        (balance, spent) = (balance - units, spent + units);
                    }
                }
                2 if !paid_in.is_empty() => {
                    let index = which % paid_in.len();
                    let (original, left) = &mut paid_in[index];
                    let asked = (which > 1).then_some(units);
                    let answer = edge.refund(&id, original, asked);
                    let wanted = asked.unwrap_or(*left);
                    match answer.refusal() {
                        None => {
                            prop_assert!(wanted <= *left && wanted <= balance);
                            prop_assert_eq!(answer.granted(), -wanted);
                            (*left, balance) = (*left - wanted, balance - wanted);
                            prop_assert_eq!(answer.decision.refundable, (*left).min(balance));
                        }
                        Some(Refusal::AlreadyReversed) => prop_assert_eq!(*left, 0),
                        Some(Refusal::RefundTooLarge) => prop_assert!(wanted > *left),
                        Some(Refusal::InsufficientBalance) => {
                            prop_assert!(wanted > balance);
                            prop_assert_eq!(answer.decision.refundable, (*left).min(balance));
                        }
                        other => prop_assert!(false, "{:?}", other),
                    }
                }
                _ => ledger.clock.advance(NS_PER_DAY * units / 100 + NS_PER_SECOND),
            }
            if !paid_in.is_empty() {
                prop_assert_eq!(units_of(&edge, "m1"), balance);
            }
        }
        if !paid_in.is_empty() {
            let view = edge.account("m1").expect("the account is there");
            let totals = view.account.wallet_totals(WalletId(1));
            prop_assert_eq!((totals.redeemed, totals.expired), (spent, 0));
            prop_assert_eq!(totals.granted, balance + spent + totals.reversed);
        }
        assert_intact(&store, ledger.stop().digest);
    }
}
