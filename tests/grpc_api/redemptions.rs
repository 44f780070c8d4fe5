//! Redemptions and activities, by themselves and on a stream with everything else.

use tallystick::service::wire::{self, RefusalCode, RetryAdvice, TransactionKind, command};
use tokio_stream::StreamExt;
use tonic::Code;

use crate::support::*;

fn redemption(transaction_id: &str, account_id: &str, points: i64) -> wire::RedeemRequest {
    wire::RedeemRequest {
        transaction_id: transaction_id.to_owned(),
        account_id: account_id.to_owned(),
        points,
        ..wire::RedeemRequest::default()
    }
}

fn review(transaction_id: &str, account_id: &str) -> wire::RecordActivityRequest {
    wire::RecordActivityRequest {
        account_identifier: None,
        transaction_id: transaction_id.to_owned(),
        account_id: account_id.to_owned(),
        activity: Some(wire::Activity {
            kind: "review".to_owned(),
            channel: "app".to_owned(),
            activity_time: None,
            ..wire::Activity::default()
        }),
        posting_time: None,
    }
}

async fn redeemed(shop: &mut Shop, request: wire::RedeemRequest) -> wire::Decision {
    shop.ledger.redeem(request).await.unwrap().into_inner().decision.unwrap()
}

async fn recorded(shop: &mut Shop, request: wire::RecordActivityRequest) -> wire::Decision {
    shop.ledger.record_activity(request).await.unwrap().into_inner().decision.unwrap()
}

async fn transaction(shop: &mut Shop, transaction_id: &str) -> wire::Transaction {
    let request = wire::GetTransactionRequest { transaction_id: transaction_id.to_owned() };
    shop.ledger.get_transaction(request).await.unwrap().into_inner().transaction.unwrap()
}

/// With a bonus of 25 points for one review a day.
fn with_reviews() -> String {
    format!(
        "{PROGRAM}\n[[bonuses]]\nname = \"review-bonus\"\nunits = 25\non = {{ activity = \"review\" }}\n\
         limit = {{ times = 1, per = \"day\" }}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn points_are_burned_all_or_none() {
    let mut shop = Shop::open().await;
    shop.accrue(accrual("t1", "anna", 5_000)).await;
    let first = redeemed(&mut shop, redemption("b1", "anna", 30)).await;
    assert_eq!((first.redeemed_points, first.granted_points, first.balance_points), (30, 0, 20));
    assert_eq!((first.wallet.as_str(), first.event_time), ("points", first.posting_time));
    assert!(first.position.is_some() && first.refusal.is_none());

    let refused = redeemed(&mut shop, redemption("b2", "anna", 21)).await;
    let ground = refused.refusal.as_ref().unwrap();
    assert_eq!((ground.code(), ground.journaled), (RefusalCode::InsufficientBalance, true));
    assert_eq!(ground.retry_advice(), RetryAdvice::NewId);
    assert_eq!((refused.redeemed_points, refused.balance_points), (0, 20));

    // What was decided is decided, also once there would be points enough.
    shop.accrue(accrual("t2", "anna", 900)).await;
    for (request, answer) in [(redemption("b1", "anna", 30), first), (redemption("b2", "anna", 21), refused)] {
        let again = redeemed(&mut shop, request).await;
        assert_eq!(again, wire::Decision { replayed: true, ..answer });
    }
    let request = wire::GetBalanceRequest { account_id: "anna".to_owned(), ..<_>::default() };
    let balance = shop.ledger.get_balance(request).await.unwrap().into_inner();
    let wallet = &balance.wallets[0];
    assert_eq!((wallet.balance_points, wallet.granted_points, wallet.redeemed_points), (29, 59, 30));
    assert_eq!(balance.totals.unwrap().refused_redemption_count, 1);

    let stored = transaction(&mut shop, "b2").await;
    assert_eq!((stored.kind(), stored.redemption_points), (TransactionKind::Redemption, 21));
    assert_eq!(refusal(&stored.decision.unwrap()), RefusalCode::InsufficientBalance);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_stands_for_one_content_whatever_the_kind() {
    let mut shop = Shop::open().await;
    shop.accrue(accrual("t1", "anna", 5_000)).await;
    redeemed(&mut shop, redemption("b1", "anna", 30)).await;
    let rows = [
        (redemption("b1", "anna", 31), "points"),
        (redemption("b1", "ben", 30), "account_id"),
        (redemption("t1", "anna", 30), "command"),
    ];
    for (request, field) in rows {
        let decision = redeemed(&mut shop, request).await;
        assert_eq!(refusal(&decision), RefusalCode::TransactionIdReused);
        assert_eq!(decision.refusal.unwrap().field, field);
    }
    let decision = recorded(&mut shop, review("b1", "anna")).await;
    assert_eq!(decision.refusal.unwrap().field, "command");
    assert_eq!(shop.balance("anna").await, 20);

    // Nobody's points are burned, and the id stays free.
    let unknown = redeemed(&mut shop, redemption("b9", "zoe", 1)).await;
    assert_eq!(refusal(&unknown), RefusalCode::AccountUnknown);
    assert!(unknown.position.is_none());
    assert_eq!(redeemed(&mut shop, redemption("b9", "anna", 1)).await.redeemed_points, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redemption_is_checked_before_anything_else() {
    let mut shop = Shop::open().await;
    let request = wire::RedeemRequest { posting_time: time(0), ..redemption("", "anna", 0) };
    let status = shop.ledger.redeem(request).await.unwrap_err();
    assert_eq!(wrong_fields(&status), ["transaction_id", "points", "posting_time"]);
    let request = wire::RedeemRequest { wallet: "stars".to_owned(), ..redemption("b1", "anna", 1) };
    let status = shop.ledger.redeem(request).await.unwrap_err();
    assert_eq!((status.code(), wrong_fields(&status)), (Code::InvalidArgument, vec!["wallet".to_owned()]));
    shop.accrue(accrual("t1", "anna", 500)).await;
    let request = wire::RedeemRequest { wallet: "points".to_owned(), ..redemption("b1", "anna", 1) };
    assert_eq!(redeemed(&mut shop, request).await.redeemed_points, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activity_earns_what_the_programme_gives_for_it() {
    let mut shop = Shop::open_under(&with_reviews()).await;
    let first = recorded(&mut shop, review("v1", "anna")).await;
    assert_eq!((first.earned_points, first.granted_points, first.balance_points), (25, 25, 25));
    let bonuses: Vec<_> = first.bonuses.iter().map(|award| (award.name.as_str(), award.points)).collect();
    assert_eq!(bonuses, [("review-bonus", 25)]);
    assert_eq!(first.event_time, first.posting_time, "it happened when it was posted, as nothing else was said");

    let again = recorded(&mut shop, review("v1", "anna")).await;
    assert_eq!(again, wire::Decision { replayed: true, ..first }, "what was left open is what it was");
    let mut other = review("v1", "anna");
    other.activity.as_mut().unwrap().kind = "visit".to_owned();
    let decision = recorded(&mut shop, other.clone()).await;
    assert_eq!(decision.refusal.unwrap().field, "activity.kind");

    let second = recorded(&mut shop, review("v2", "anna")).await;
    assert_eq!((second.earned_points, second.bonuses.len()), (0, 0), "one a day");
    other.transaction_id = "v3".to_owned();
    let nothing = recorded(&mut shop, other).await;
    assert!(nothing.refusal.is_none() && nothing.position.is_some());
    assert_eq!((nothing.granted_points, nothing.balance_points), (0, 25));

    let mut late = review("v4", "anna");
    late.activity.as_mut().unwrap().activity_time = time(now_seconds() - 31 * 86_400);
    assert_eq!(refusal(&recorded(&mut shop, late).await), RefusalCode::ReceiptTooOld);
    let mut early = review("v5", "anna");
    early.activity.as_mut().unwrap().activity_time = time(now_seconds() + 3_600);
    let early = recorded(&mut shop, early).await;
    assert_eq!(refusal(&early), RefusalCode::ReceiptInFuture);
    assert!(early.refusal.unwrap().retry_delay.unwrap().seconds > 3_000);

    let stored = transaction(&mut shop, "v1").await;
    let activity = stored.activity.unwrap();
    assert_eq!((stored.kind, activity.kind.as_str()), (TransactionKind::Activity.into(), "review"));
    assert_eq!((activity.channel.as_str(), activity.activity_time), ("app", stored.decision.unwrap().event_time));
    let status = shop.ledger.record_activity(wire::RecordActivityRequest::default()).await.unwrap_err();
    assert_eq!(wrong_fields(&status), ["transaction_id", "account_id", "activity"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_carries_every_kind_in_order() {
    let mut shop = Shop::open_under(&with_reviews()).await;
    let enrolment = wire::EnrolRequest {
        transaction_id: "e1".to_owned(),
        account_id: "anna".to_owned(),
        join_segments: vec!["regulars".to_owned()],
        ..wire::EnrolRequest::default()
    };
    let opening = wire::LoadOpeningBalanceRequest {
        transaction_id: "o1".to_owned(),
        account_id: "anna".to_owned(),
        lots: vec![wire::OpeningLot { points: 7, ..wire::OpeningLot::default() }],
        ..wire::LoadOpeningBalanceRequest::default()
    };
    let commands = [
        command::Command::Enrol(enrolment),
        command::Command::Accrue(accrual("t1", "anna", 1_000)),
        command::Command::Redeem(redemption("b1", "anna", 10)),
        command::Command::Redeem(redemption("b2", "anna", 10)),
        command::Command::RecordActivity(review("v1", "anna")),
        command::Command::LoadOpeningBalance(opening),
        command::Command::Redeem(redemption("b3", "anna", 32)),
        command::Command::Redeem(redemption("b1", "anna", 10)),
        command::Command::Redeem(redemption("b4", "anna", 0)),
    ];
    let commands = commands.into_iter().map(|command| wire::Command { command: Some(command) }).collect();
    let request = tokio_stream::once(wire::CommandStreamRequest { commands });
    let mut answers = shop.ledger.command_stream(request).await.unwrap().into_inner();
    let mut seen = Vec::new();
    while let Some(response) = answers.next().await {
        for result in response.unwrap().results {
            let decision = result.decision.unwrap();
            let code = decision.refusal.as_ref().map(wire::Refusal::code);
            seen.push((decision.granted_points, decision.redeemed_points, decision.balance_points, code));
        }
    }
    let expected = [
        (0, 0, 0, None),
        (10, 0, 10, None),
        (0, 10, 0, None),
        (0, 0, 0, Some(RefusalCode::InsufficientBalance)),
        (25, 0, 25, None),
        (7, 0, 32, None),
        (0, 32, 0, None),
        (0, 10, 0, None),
        (0, 0, 0, Some(RefusalCode::InvalidCommand)),
    ];
    assert_eq!(seen, expected);

    // The statement tells all of it, the newest first.
    let request = wire::ListTransactionsRequest { account_id: "anna".to_owned(), ..<_>::default() };
    let listed = shop.ledger.list_transactions(request).await.unwrap().into_inner().transactions;
    let kinds: Vec<TransactionKind> = listed.iter().map(wire::Transaction::kind).collect();
    use TransactionKind::{Accrual, Activity, Enrolment, OpeningBalance, Redemption};
    assert_eq!(kinds, [Redemption, OpeningBalance, Activity, Redemption, Redemption, Accrual, Enrolment]);
    assert_eq!(listed[1].opening_lots[0].points, 7);
    assert_eq!(listed[6].join_segments, ["regulars"]);
}
