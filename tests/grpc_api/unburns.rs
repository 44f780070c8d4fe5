//! Redemptions and captures that are reversed, through the wire: what is told, and that nothing comes back twice however
//! many ask, and nothing is spent twice.

use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tallystick::service::wire::settlement_service_client::SettlementServiceClient;
use tallystick::service::wire::{self, RefusalCode, TransactionKind, command};
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::*;

type Ledger = LedgerServiceClient<Channel>;

fn redemption(transaction_id: &str, points: i64) -> wire::RedeemRequest {
    wire::RedeemRequest {
        transaction_id: transaction_id.to_owned(),
        account_id: "anna".to_owned(),
        points,
        ..wire::RedeemRequest::default()
    }
}

fn piece(own: &str, original: &str, points: i64) -> wire::ReverseRequest {
    wire::ReverseRequest { points, ..reversal(own, original) }
}

async fn redeem(ledger: &mut Ledger, request: wire::RedeemRequest) -> wire::Decision {
    ledger.redeem(request).await.unwrap().into_inner().decision.unwrap()
}

async fn reverse(ledger: &mut Ledger, request: wire::ReverseRequest) -> wire::Decision {
    ledger.reverse(request).await.unwrap().into_inner().decision.unwrap()
}

async fn transaction(ledger: &mut Ledger, id: &str) -> wire::Transaction {
    let request = wire::GetTransactionRequest { transaction_id: id.to_owned() };
    ledger.get_transaction(request).await.unwrap().into_inner().transaction.unwrap()
}

/// A shop whose member anna has so many points, and some connections to it.
async fn shop_with(points: i64, connection_count: usize) -> (Shop, Vec<Ledger>) {
    let mut shop = Shop::open_under(&plain_program(&[])).await;
    assert_eq!(shop.accrue(accrual("t1", "anna", points * 100)).await.granted_points, points);
    let mut connections = Vec::new();
    for _ in 0..connection_count {
        connections.push(LedgerServiceClient::new(connect(&shop.running).await));
    }
    (shop, connections)
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_are_told_and_go_on_after_a_restart() {
    let (mut shop, _) = shop_with(50, 0).await;
    redeem(&mut shop.ledger, redemption("r", 30)).await;
    let one = reverse(&mut shop.ledger, piece("v1", "r", 12)).await;
    assert_eq!((one.returned_points, one.balance_points, one.wallet.as_str()), (12, 32, "points"));
    assert_eq!((one.reversed_points, one.granted_points, one.redeemed_points), (0, 0, 0));
    let again = reverse(&mut shop.ledger, piece("v1", "r", 12)).await;
    assert!(again.replayed && again.returned_points == 12);
    let mut shop = shop.reopen(config()).await;
    let ledger = &mut shop.ledger;
    let other = reverse(ledger, piece("v1", "r", 11)).await;
    assert_eq!((refusal(&other), other.refusal.unwrap().field.as_str()), (RefusalCode::TransactionIdReused, "points"));
    let too_many = reverse(ledger, piece("v2", "r", 19)).await;
    assert_eq!((refusal(&too_many), too_many.refusal.unwrap().field.as_str()), (RefusalCode::ReturnTooLarge, "points"));
    // A basket comes back by lines, a burn by points.
    let basket = reverse(ledger, piece("v2", "t1", 1)).await;
    assert_eq!((refusal(&basket), basket.refusal.unwrap().field.as_str()), (RefusalCode::LineUnknown, "points"));
    let lines = vec![wire::ReturnedLine { line_index: 0, quantity: 1, amount_minor: 0 }];
    let burn = reverse(ledger, wire::ReverseRequest { lines, ..reversal("v2", "r") }).await;
    let field = "lines[0].line_index";
    assert_eq!((refusal(&burn), burn.refusal.unwrap().field.as_str()), (RefusalCode::LineUnknown, field));
    let found = transaction(ledger, "r").await;
    assert_eq!((found.returned_points, found.fully_reversed, &*found.reversal_transaction_id), (12, false, "v1"));
    // What was refused has consumed nothing.
    assert_eq!(reverse(ledger, reversal("v2", "r")).await.returned_points, 18);
    let found = transaction(ledger, "r").await;
    assert_eq!((found.returned_points, found.fully_reversed, &*found.reversal_transaction_id), (30, true, "v2"));
    let last = transaction(ledger, "v2").await;
    assert_eq!(last.kind(), TransactionKind::Reversal);
    assert_eq!((&*last.original_transaction_id, &*last.earlier_reversal_transaction_id), ("r", "v1"));
    assert_eq!(refusal(&reverse(ledger, reversal("v3", "r")).await), RefusalCode::AlreadyReversed);
    assert_eq!(refusal(&reverse(ledger, reversal("v3", "v2")).await), RefusalCode::NotReversible);
    let request = wire::ListTransactionsRequest { account_id: "anna".to_owned(), ..<_>::default() };
    let listed = ledger.list_transactions(request).await.unwrap().into_inner().transactions;
    let ids: Vec<&str> = listed.iter().map(|one| one.transaction_id.as_str()).collect();
    assert_eq!(ids, ["v2", "v1", "r", "t1"]);
    let request = wire::ExplainTransactionRequest { transaction_id: "v2".to_owned(), ..<_>::default() };
    let sentences = ledger.explain_transaction(request).await.unwrap().into_inner().sentences;
    assert_eq!(sentences, ["18 points that r had spent came back.", "The balance was 50 points then."]);
    let request = wire::GetBalanceRequest { account_id: "anna".to_owned(), ..<_>::default() };
    let wallet = ledger.get_balance(request).await.unwrap().into_inner().wallets.swap_remove(0);
    assert_eq!((wallet.balance_points, wallet.redeemed_points, wallet.granted_points), (50, 0, 50));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_all_come_back_is_no_burn_of_the_settlement() {
    let (mut shop, _) = shop_with(50, 0).await;
    let mut settlement = SettlementServiceClient::new(connect(&shop.running).await);
    let mut burned = async || {
        let request = wire::GetSettlementReportRequest::default();
        let report = settlement.get_settlement_report(request).await.unwrap().into_inner();
        report.burns.iter().map(|burned| burned.burned_points).collect::<Vec<i64>>()
    };
    redeem(&mut shop.ledger, redemption("r", 30)).await;
    assert_eq!(burned().await, [30_i64]);
    reverse(&mut shop.ledger, piece("v1", "r", 12)).await;
    assert_eq!(burned().await, [18_i64]);
    reverse(&mut shop.ledger, reversal("v2", "r")).await;
    assert!(burned().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_by_both_measures_is_wrong() {
    let (mut shop, _) = shop_with(5, 0).await;
    let lines = vec![wire::ReturnedLine { line_index: 0, quantity: 1, amount_minor: 0 }];
    let both = wire::ReverseRequest { lines, ..piece("v", "t1", 1) };
    let below = piece("v", "t1", -1);
    for request in [both, below] {
        let status = shop.ledger.reverse(request).await.unwrap_err();
        assert_eq!((status.code(), wrong_fields(&status)), (Code::InvalidArgument, vec!["points".to_owned()]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_burns_and_gives_back_in_order() {
    let (mut shop, _) = shop_with(10, 0).await;
    let commands = [
        command::Command::Redeem(redemption("r", 10)),
        command::Command::Reverse(piece("v", "r", 4)),
        command::Command::Redeem(redemption("q", 4)),
        command::Command::Reverse(reversal("w", "r")),
    ];
    let commands = commands.map(|command| wire::Command { command: Some(command) }).to_vec();
    let request = tokio_stream::iter([wire::CommandStreamRequest { commands }]);
    let mut answers = shop.ledger.command_stream(request).await.unwrap().into_inner();
    let mut moved = Vec::new();
    while let Some(answer) = answers.next().await {
        for result in answer.unwrap().results {
            let decision = result.decision.unwrap();
            assert_eq!(decision.refusal, None);
            moved.push(decision.returned_points - decision.redeemed_points);
        }
    }
    assert_eq!(moved, [-10, 4, -4, 6]);
    assert_eq!(shop.balance("anna").await, 6);
}

/// Pieces of one redemption from many connections at once: as many come back as were burned.
#[tokio::test(flavor = "multi_thread")]
async fn of_pieces_at_once_each_takes_what_the_others_left() {
    let (mut shop, connections) = shop_with(30, 4).await;
    for round in 0..20 {
        let original = format!("r{round}");
        redeem(&mut shop.ledger, redemption(&original, 25)).await;
        let mut calls = JoinSet::new();
        for (number, mut ledger) in connections.iter().cloned().enumerate() {
            let original = original.clone();
            calls.spawn(async move {
                let mut answers = Vec::new();
                for count in 0..3 {
                    let own = format!("v{original}-{number}-{count}");
                    answers.push(reverse(&mut ledger, piece(&own, &original, 5)).await);
                }
                answers
            });
        }
        let answers: Vec<wire::Decision> = calls.join_all().await.into_iter().flatten().collect();
        let back: Vec<i64> = answers.iter().map(|one| one.returned_points).filter(|points| *points > 0).collect();
        assert_eq!(back, [5; 5], "five of twelve pieces come back");
        for refused in answers.iter().filter(|one| one.refusal.is_some()) {
            let code = refusal(refused);
            assert!(matches!(code, RefusalCode::ReturnTooLarge | RefusalCode::AlreadyReversed), "{code:?}");
        }
        assert_eq!(shop.balance("anna").await, 30, "round {round}");
    }
}

/// Points that come back can be spent from then on, once: redemptions race the return of another.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_is_spent_once() {
    let (mut shop, connections) = shop_with(10, 4).await;
    for round in 0..20 {
        let original = format!("r{round}");
        redeem(&mut shop.ledger, redemption(&original, 10)).await;
        let mut calls = JoinSet::new();
        for (number, mut ledger) in connections.iter().cloned().enumerate() {
            let original = original.clone();
            calls.spawn(async move {
                if number == 0 {
                    return reverse(&mut ledger, reversal(&format!("v-{original}"), &original)).await;
                }
                redeem(&mut ledger, redemption(&format!("q-{original}-{number}"), 10)).await
            });
        }
        let answers = calls.join_all().await;
        let (back, spent) =
            answers.iter().fold((0, 0), |(back, spent), one| (back + one.returned_points, spent + one.redeemed_points));
        assert_eq!(back, 10, "round {round}");
        assert!(spent == 0 || spent == 10, "round {round}: {spent} of 10 were spent");
        let balance = shop.balance("anna").await;
        assert_eq!(balance, 10 - spent, "round {round}");
        if spent > 0 {
            let winner = (1..4).map(|number| format!("q-{original}-{number}"));
            for id in winner {
                reverse(&mut shop.ledger, reversal(&format!("w-{id}"), &id)).await;
            }
        }
        assert_eq!(shop.balance("anna").await, 10, "round {round}");
    }
}

/// A return under one id from four connections at once takes effect once, and all are told the same.
#[tokio::test(flavor = "multi_thread")]
async fn one_return_asked_for_at_once_takes_effect_once() {
    let (mut shop, connections) = shop_with(10, 4).await;
    for round in 0..20 {
        let original = format!("r{round}");
        redeem(&mut shop.ledger, redemption(&original, 8)).await;
        let mut calls = JoinSet::new();
        for mut ledger in connections.iter().cloned() {
            let request = piece(&format!("v{round}"), &original, 3);
            calls.spawn(async move { reverse(&mut ledger, request).await });
        }
        let answers = calls.join_all().await;
        assert_eq!(answers.iter().filter(|one| !one.replayed).count(), 1, "round {round}");
        assert!(answers.iter().all(|one| one.returned_points == 3 && one.position == answers[0].position));
        assert_eq!(shop.balance("anna").await, 5, "round {round}");
        assert_eq!(reverse(&mut shop.ledger, reversal(&format!("w{round}"), &original)).await.returned_points, 5);
    }
}
