//! Rewards through the wire: price, stock and level; and that the last one is had by exactly one of many.

use tallystick::audit::verify::{VerifyOptions, verify};
use tallystick::config::{ClockMode, Config};
use tallystick::ledger::types::TimestampNs;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tallystick::service::wire::{self, RefusalCode};
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::watched::GatedStore;
use crate::support::*;
use crate::zones::until;

type Ledger = LedgerServiceClient<Channel>;

const REWARDS: &str = "[[metrics]]\nname = \"spent-ever\"\nmeasure = \"eligible-amount\"\nwindow = \"lifetime\"\n\n\
                       [tiers]\nmetric = \"spent-ever\"\nlevels = [{ name = \"gold\", threshold = 100_000_000 }]\n\n\
                       [[rewards]]\nname = \"mug\"\nprice = 5\nstock = 1\n\n\
                       [[rewards]]\nname = \"gem\"\nprice = 5\ntier = \"gold\"\n\n[earn]";

/// The same without rewards.
const LEVELS: &str = "[[metrics]]\nname = \"spent-ever\"\nmeasure = \"eligible-amount\"\nwindow = \"lifetime\"\n\n\
                      [tiers]\nmetric = \"spent-ever\"\nlevels = [{ name = \"gold\", threshold = 100_000_000 }]\n\n\
                      [earn]";

fn reward(transaction_id: &str, account_id: &str, reward: &str) -> wire::RedeemRequest {
    wire::RedeemRequest {
        transaction_id: transaction_id.to_owned(),
        account_id: account_id.to_owned(),
        reward: reward.to_owned(),
        ..wire::RedeemRequest::default()
    }
}

async fn redeem(ledger: &mut Ledger, request: wire::RedeemRequest) -> wire::Decision {
    ledger.redeem(request).await.unwrap().into_inner().decision.unwrap()
}

async fn reverse(ledger: &mut Ledger, request: wire::ReverseRequest) -> wire::Decision {
    ledger.reverse(request).await.unwrap().into_inner().decision.unwrap()
}

async fn shop() -> Shop {
    Shop::open_under(&plain_program(&[("[earn]", REWARDS)])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reward_is_told_with_what_it_costs() {
    let mut shop = shop().await;
    shop.accrue(accrual("t1", "anna", 3_000)).await;
    let ledger = &mut shop.ledger;
    let gem = redeem(ledger, reward("g", "anna", "gem")).await;
    assert_eq!((refusal(&gem), gem.refusal.unwrap().required_tier.as_str()), (RefusalCode::RewardTierRequired, "gold"));
    assert_eq!(refusal(&redeem(ledger, reward("x", "anna", "mugg")).await), RefusalCode::RewardUnknown);
    let other = wire::RedeemRequest { points: 4, ..reward("x", "anna", "mug") };
    assert_eq!(refusal(&redeem(ledger, other).await), RefusalCode::RewardPriceDiffers);
    let one = redeem(ledger, reward("r", "anna", "mug")).await;
    assert_eq!((one.redeemed_points, one.balance_points), (5, 25));
    assert!(redeem(ledger, reward("r", "anna", "mug")).await.replayed);
    assert_eq!(refusal(&redeem(ledger, reward("s", "anna", "mug")).await), RefusalCode::RewardOutOfStock);
    let request = wire::GetTransactionRequest { transaction_id: "r".to_owned() };
    let found = ledger.get_transaction(request).await.unwrap().into_inner().transaction.unwrap();
    assert_eq!((found.reward.as_str(), found.reward_quantity, found.redemption_points), ("mug", 1, 5));
    let why = wire::ExplainTransactionRequest { transaction_id: "r".to_owned(), ..Default::default() };
    let sentences = ledger.explain_transaction(why).await.unwrap().into_inner().sentences;
    assert_eq!(sentences[0], "5 points were spent on 1 of mug.");
    let points = reverse(ledger, wire::ReverseRequest { points: 5, ..reversal("v", "r") }).await;
    assert_eq!(points.refusal.unwrap().field, "points");
    assert_eq!(reverse(ledger, wire::ReverseRequest { quantity: 1, ..reversal("v", "r") }).await.returned_points, 5);
    // What is there again can be had.
    assert_eq!(redeem(ledger, reward("s", "anna", "mug")).await.redeemed_points, 5);
}

/// What is asked for while the version that has it is being made durable costs what that version says.
#[tokio::test(flavor = "multi_thread")]
async fn a_reward_that_is_published_while_it_is_asked_for_has_its_price() {
    const NOW: i64 = 1_898_647_200;
    const EFFECTIVE_AT: i64 = NOW + 600;
    let gate = GatedStore::for_synced();
    let program = Some(program_file(&plain_program(&[("[earn]", LEVELS)])));
    let config = Config { clock: Some(ClockMode::Input), program, ..config() };
    let mut shop = Shop::open_on(gate.clone(), config).await;
    let mut bought = accrual("t1", "anna", 3_000);
    (bought.posting_time, bought.basket.as_mut().unwrap().receipt_time) = (time(NOW), time(NOW));
    assert_eq!(shop.accrue(bought).await.granted_points, 30);

    gate.close();
    let queued = shop.running.engine().control.seq();
    let publication = wire::PublishProgramRequest {
        transaction_id: "p1".to_owned(),
        source: plain_program(&[("[earn]", REWARDS)]),
        effective_time: time(EFFECTIVE_AT),
    };
    let mut program = shop.program.clone();
    let publishing = tokio::spawn(async move { program.publish_program(publication).await });
    until(|| shop.running.engine().control.seq() > queued).await;
    let at = EFFECTIVE_AT + 100;
    let asked = wire::RedeemRequest { posting_time: time(at), ..reward("g", "anna", "gem") };
    let (mut ledger, waits) = (shop.ledger.clone(), asked.clone());
    let waiting = tokio::spawn(async move { redeem(&mut ledger, waits).await });
    until(|| shop.running.engine().latest_stamp() == TimestampNs(at * 1_000_000_000)).await;
    gate.open();
    publishing.await.unwrap().unwrap();

    let refused = waiting.await.unwrap();
    assert_eq!(refusal(&refused), RefusalCode::RewardTierRequired);
    let request = wire::GetTransactionRequest { transaction_id: "g".to_owned() };
    let found = shop.ledger.get_transaction(request).await.unwrap().into_inner().transaction.unwrap();
    assert_eq!((found.reward.as_str(), found.reward_quantity, found.redemption_points), ("gem", 1, 5));
    assert!(redeem(&mut shop.ledger, asked).await.replayed);
    let Shop { running, store, .. } = shop;
    running.shutdown().await.unwrap();
    let verified = verify(&store, &VerifyOptions::default(), &mut |_, _| {}).unwrap();
    assert!(verified.intact, "{:?}", verified.findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_named() {
    let mut shop = shop().await;
    let request = wire::RedeemRequest { wallet: "points".to_owned(), points: -1, ..reward("r", "anna", "mug") };
    let status = shop.ledger.redeem(request).await.unwrap_err();
    assert_eq!((status.code(), wrong_fields(&status)), (Code::InvalidArgument, vec!["points".into(), "wallet".into()]));
    let request = wire::RedeemRequest { quantity: 1, ..reward("r", "anna", "") };
    let status = shop.ledger.redeem(request).await.unwrap_err();
    assert_eq!(wrong_fields(&status), ["points", "quantity"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_says_what_is_left_and_what_is_missing() {
    use RefusalCode::{InsufficientBalance, RewardNotOffered, RewardOutOfStock, RewardTierRequired};
    let tree = "[[rewards]]\nname = \"tree\"\nprice = 40\nfrom = 2017-12-01\nuntil = 2017-12-31\n\n[earn]";
    let source = plain_program(&[("[earn]", REWARDS)]).replacen("[earn]", tree, 1);
    let mut shop = Shop::open_under(&source).await;
    shop.accrue(accrual("t1", "anna", 3_000)).await;
    let list = async |shop: &mut Shop, account_id: &str| {
        let request = wire::ListRewardsRequest { account_id: account_id.to_owned(), ..Default::default() };
        shop.ledger.list_rewards(request).await.map(tonic::Response::into_inner)
    };
    let nobody = list(&mut shop, "").await.unwrap();
    let said = |listed: &wire::ListRewardsResponse| -> Vec<(String, Option<i64>, Vec<RefusalCode>, i64)> {
        let one = |reward: &wire::Reward| {
            (reward.name.clone(), reward.left, reward.obstacles().collect(), reward.missing_points)
        };
        listed.rewards.iter().map(one).collect()
    };
    let row =
        |name: &str, left, obstacles: &[RefusalCode], missing| (name.to_owned(), left, obstacles.to_vec(), missing);
    let tree = |obstacles: &[RefusalCode], missing| row("tree", None, obstacles, missing);
    assert_eq!(said(&nobody), [row("mug", Some(1), &[], 0), row("gem", None, &[], 0), tree(&[RewardNotOffered], 0)]);
    assert_eq!(nobody.program_version, 1);
    let mug = &nobody.rewards[0];
    assert_eq!((mug.wallet.as_str(), mug.price_points, mug.stock, mug.tier.as_str()), ("points", 5, Some(1), ""));
    assert_eq!(nobody.rewards[1].tier, "gold");
    assert_eq!(nobody.rewards[2].start_date, Some(wire::Date { year: 2017, month: 12, day: 1 }));
    redeem(&mut shop.ledger, reward("r", "anna", "mug")).await;
    let anna = list(&mut shop, "anna").await.unwrap();
    let expected = [
        row("mug", Some(0), &[RewardOutOfStock], 0),
        row("gem", None, &[RewardTierRequired], 0),
        tree(&[RewardNotOffered, InsufficientBalance], 15),
    ];
    assert_eq!(said(&anna), expected);
    assert_eq!(list(&mut shop, "nobody").await.unwrap_err().code(), Code::NotFound);
}

/// Sixty-four callers want the last one: exactly one gets it, and who gives it back leaves it for one of the others.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_one_is_had_by_one_of_sixty_four() {
    let mut shop = shop().await;
    for number in 0..64 {
        shop.accrue(accrual(&format!("t{number}"), &format!("m{number}"), 10_000)).await;
    }
    let mut connections = Vec::new();
    for _ in 0..8 {
        connections.push(LedgerServiceClient::new(connect(&shop.running).await));
    }
    for round in 0..10 {
        let mut calls = JoinSet::new();
        for number in 0..64 {
            let mut ledger: Ledger = connections[number % connections.len()].clone();
            let request = reward(&format!("r{round}-{number}"), &format!("m{number}"), "mug");
            calls.spawn(async move { (number, redeem(&mut ledger, request).await) });
        }
        let answers = calls.join_all().await;
        let (had, others): (Vec<_>, Vec<_>) = answers.iter().partition(|(_, answer)| answer.refusal.is_none());
        assert_eq!((had.len(), others.len()), (1, 63), "round {round}");
        assert!(others.iter().all(|(_, answer)| refusal(answer) == RefusalCode::RewardOutOfStock));
        let (winner, _) = had[0];
        let back = reversal(&format!("v{round}"), &format!("r{round}-{winner}"));
        assert_eq!(reverse(&mut shop.ledger, back).await.returned_points, 5);
        assert_eq!(shop.balance(&format!("m{winner}")).await, 100, "round {round}");
    }
}
