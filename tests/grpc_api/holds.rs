//! Paying in two steps: authorize, then capture or void; by themselves, on a stream, and in races from many connections.
//!
//! What must stay true: whatever races, every call gets a definite answer, nothing is spent twice, and what is not
//! captured is there again.

use std::sync::Arc;

use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tallystick::service::wire::{self, AuthorizationState, RefusalCode, TransactionKind, command};
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tonic::transport::Channel;

use crate::support::*;

type Ledger = LedgerServiceClient<Channel>;

fn authorization(transaction_id: &str, points: i64) -> wire::AuthorizeRequest {
    wire::AuthorizeRequest {
        transaction_id: transaction_id.to_owned(),
        account_id: "anna".to_owned(),
        points,
        ..wire::AuthorizeRequest::default()
    }
}

fn capture_of(transaction_id: &str, of: &str, points: i64) -> wire::CaptureRequest {
    wire::CaptureRequest {
        transaction_id: transaction_id.to_owned(),
        authorization_transaction_id: of.to_owned(),
        points,
        ..wire::CaptureRequest::default()
    }
}

fn void_of(transaction_id: &str, of: &str) -> wire::VoidRequest {
    wire::VoidRequest {
        transaction_id: transaction_id.to_owned(),
        authorization_transaction_id: of.to_owned(),
        posting_time: None,
    }
}

async fn authorize(ledger: &mut Ledger, request: wire::AuthorizeRequest) -> wire::Decision {
    ledger.authorize(request).await.unwrap().into_inner().decision.unwrap()
}

async fn capture(ledger: &mut Ledger, request: wire::CaptureRequest) -> wire::Decision {
    ledger.capture(request).await.unwrap().into_inner().decision.unwrap()
}

async fn void(ledger: &mut Ledger, request: wire::VoidRequest) -> wire::Decision {
    ledger.void(request).await.unwrap().into_inner().decision.unwrap()
}

async fn wallet(ledger: &mut Ledger) -> wire::WalletBalance {
    let request = wire::GetBalanceRequest { account_id: "anna".to_owned(), lots: true, ..<_>::default() };
    ledger.get_balance(request).await.unwrap().into_inner().wallets.swap_remove(0)
}

async fn transaction(ledger: &mut Ledger, transaction_id: &str) -> wire::Transaction {
    let request = wire::GetTransactionRequest { transaction_id: transaction_id.to_owned() };
    ledger.get_transaction(request).await.unwrap().into_inner().transaction.unwrap()
}

/// State, captured, remaining and the last transaction about it.
async fn status(ledger: &mut Ledger, transaction_id: &str) -> (AuthorizationState, i64, i64, String) {
    let status = transaction(ledger, transaction_id).await.authorization_status.unwrap();
    let state = status.state();
    (state, status.captured_points, status.remaining_points, status.last_transaction_id)
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
async fn points_are_set_aside_captured_and_given_back() {
    let (mut shop, _) = shop_with(50, 0).await;
    let ledger = &mut shop.ledger;
    let first = authorize(ledger, authorization("a", 30)).await;
    assert_eq!((first.authorized_points, first.remaining_points, first.redeemed_points), (30, 30, 0));
    assert_eq!((first.balance_points, first.wallet.as_str()), (50, "points"));
    let posted = first.posting_time.as_ref().unwrap().seconds;
    assert_eq!(first.hold_expire_time.as_ref().unwrap().seconds, posted + 3_600);
    let seen = wallet(ledger).await;
    assert_eq!((seen.balance_points, seen.available_points, seen.set_aside_points), (50, 20, 30));
    assert_eq!((seen.pending_points, seen.redeemed_points, seen.lots[0].points), (0, 0, 20));
    assert_eq!(status(ledger, "a").await, (AuthorizationState::Open, 0, 30, String::new()));

    let part = capture(ledger, capture_of("c1", "a", 12)).await;
    assert_eq!((part.redeemed_points, part.remaining_points, part.returned_points), (12, 18, 0));
    assert_eq!((part.balance_points, &part.hold_expire_time), (38, &first.hold_expire_time));
    assert_eq!(status(ledger, "a").await, (AuthorizationState::Open, 12, 18, "c1".to_owned()));
    let beyond = capture(ledger, capture_of("c2", "a", 19)).await;
    assert_eq!(refusal(&beyond), RefusalCode::CaptureExceedsAuthorization);
    assert!(!beyond.refusal.unwrap().journaled);
    let last = wire::CaptureRequest { final_capture: true, ..capture_of("c2", "a", 8) };
    let last = capture(ledger, last).await;
    assert_eq!((last.redeemed_points, last.remaining_points, last.returned_points), (8, 0, 10));
    assert_eq!((last.balance_points, last.hold_expire_time), (30, None));
    assert_eq!(status(ledger, "a").await, (AuthorizationState::Captured, 20, 0, "c2".to_owned()));
    assert_eq!(refusal(&void(ledger, void_of("v1", "a")).await), RefusalCode::AuthorizationClosed);

    authorize(ledger, wire::AuthorizeRequest { hold_seconds: 600, ..authorization("b", 30) }).await;
    let expires = transaction(ledger, "b").await.authorization_status.unwrap().expire_time.unwrap().seconds;
    let stored = transaction(ledger, "b").await;
    assert_eq!((stored.kind(), stored.authorization_points), (TransactionKind::Authorization, 30));
    assert_eq!(expires, stored.decision.unwrap().posting_time.unwrap().seconds + 600);
    let back = void(ledger, void_of("v1", "b")).await;
    assert_eq!((back.returned_points, back.balance_points), (30, 30));
    assert_eq!(status(ledger, "b").await, (AuthorizationState::Voided, 0, 0, "v1".to_owned()));
    let seen = wallet(ledger).await;
    assert_eq!((seen.available_points, seen.set_aside_points, seen.redeemed_points), (30, 0, 20));

    // First answers stand, and each says what it was about.
    assert_eq!(authorize(ledger, authorization("a", 30)).await, wire::Decision { replayed: true, ..first });
    assert_eq!(capture(ledger, capture_of("c1", "a", 12)).await, wire::Decision { replayed: true, ..part });
    let changed = capture(ledger, capture_of("c1", "b", 12)).await;
    assert_eq!(changed.refusal.unwrap().field, "authorization_transaction_id");
    let burned = transaction(ledger, "c1").await;
    assert_eq!((burned.kind(), burned.original_transaction_id.as_str()), (TransactionKind::Capture, "a"));
    assert_eq!((burned.redemption_points, burned.burned_shares[0].points), (12, 12));
    let given = transaction(ledger, "v1").await;
    assert_eq!((given.kind(), given.original_transaction_id.as_str()), (TransactionKind::Void, "b"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_named_and_what_is_unknown_is_refused() {
    let (mut shop, _) = shop_with(50, 0).await;
    let ledger = &mut shop.ledger;
    let request = wire::AuthorizeRequest { hold_seconds: 2_592_001, ..authorization("", 0) };
    let failed = ledger.authorize(request).await.unwrap_err();
    assert_eq!(wrong_fields(&failed), ["transaction_id", "points", "hold_seconds"]);
    let failed = ledger.capture(capture_of("a", "a", 0)).await.unwrap_err();
    assert_eq!(wrong_fields(&failed), ["authorization_transaction_id", "points"]);
    let failed = ledger.void(void_of("", "")).await.unwrap_err();
    assert_eq!(wrong_fields(&failed), ["transaction_id", "authorization_transaction_id"]);
    for of in ["never", "t1"] {
        let refused = capture(ledger, capture_of("c", of, 1)).await;
        assert_eq!(refusal(&refused), RefusalCode::AuthorizationUnknown);
    }
    let refused = authorize(ledger, authorization("a", 51)).await;
    assert_eq!(refusal(&refused), RefusalCode::InsufficientBalance);
    assert_eq!(refusal(&void(ledger, void_of("v", "a")).await), RefusalCode::AuthorizationUnknown);
    assert_eq!(transaction(ledger, "a").await.authorization_status, None);
    // Nothing of it was on record but the refused authorization, so the ids are free.
    authorize(ledger, authorization("b", 50)).await;
    assert_eq!(capture(ledger, capture_of("c", "b", 50)).await.redeemed_points, 50);
}

/// A till pays part of a basket with points and lets the member earn on the rest.
///
/// The basket costs 40.00. Ten points are worth 10.00: the till sets them aside, takes 30.00 in money, lets the lines earn
/// what was paid in money, and captures the points when the customer has paid.
#[tokio::test(flavor = "multi_thread")]
async fn part_of_a_basket_is_paid_with_points_and_the_rest_earns() {
    let (mut shop, _) = shop_with(50, 0).await;
    let held = authorize(&mut shop.ledger, authorization("pay-1", 10)).await;
    assert_eq!(held.remaining_points, 10);
    // The till divides what points pay over the lines, here in proportion: 30.00 and 10.00 become 22.50 and 7.50.
    let mut paid = accrual("sale-1", "anna", 0);
    paid.basket.as_mut().unwrap().lines = vec![line("coffee", 2_250), line("pastry", 750)];
    assert_eq!(shop.accrue(paid).await.granted_points, 37, "22.5 and twice 7.5");
    let burned = capture(&mut shop.ledger, capture_of("pay-1-done", "pay-1", 10)).await;
    assert_eq!((burned.redeemed_points, burned.balance_points), (10, 77));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_carries_all_three_in_order() {
    let (mut shop, _) = shop_with(50, 0).await;
    let commands = [
        command::Command::Authorize(authorization("a", 30)),
        command::Command::Capture(capture_of("c", "a", 10)),
        command::Command::VoidAuthorization(void_of("v", "a")),
        command::Command::Capture(capture_of("d", "a", 1)),
    ];
    let commands = commands.map(|command| wire::Command { command: Some(command) }).to_vec();
    let request = tokio_stream::iter([wire::CommandStreamRequest { commands }]);
    let mut results = shop.ledger.command_stream(request).await.unwrap().into_inner();
    let mut decisions = Vec::new();
    while let Some(message) = results.next().await {
        decisions.extend(message.unwrap().results.into_iter().map(|result| result.decision.unwrap()));
    }
    let told = |one: &wire::Decision| (one.authorized_points, one.redeemed_points, one.returned_points);
    assert_eq!(decisions[..3].iter().map(told).collect::<Vec<_>>(), [(30, 0, 0), (0, 10, 0), (0, 0, 20)]);
    assert_eq!(refusal(&decisions[3]), RefusalCode::AuthorizationClosed);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_aside_outlives_the_server() {
    let (mut shop, _) = shop_with(50, 0).await;
    authorize(&mut shop.ledger, authorization("a", 30)).await;
    capture(&mut shop.ledger, capture_of("c", "a", 10)).await;
    let mut shop = shop.reopen(config()).await;
    let ledger = &mut shop.ledger;
    assert_eq!(status(ledger, "a").await, (AuthorizationState::Open, 10, 20, "c".to_owned()));
    let seen = wallet(ledger).await;
    assert_eq!((seen.available_points, seen.set_aside_points), (20, 20));
    assert_eq!(capture(ledger, capture_of("d", "a", 20)).await.redeemed_points, 20);
}

/// For each of many authorizations a capture and a void are sent at once from two connections: one of them ends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_capture_and_a_void_race() {
    const ROUNDS: i64 = 40;
    let (mut shop, connections) = shop_with(ROUNDS * 10, 2).await;
    let mut captured = 0;
    for round in 0..ROUNDS {
        let of = format!("a{round}");
        authorize(&mut shop.ledger, authorization(&of, 10)).await;
        let (mut one, mut other) = (connections[0].clone(), connections[1].clone());
        let (capturing, voiding) = (capture_of(&format!("c{round}"), &of, 10), void_of(&format!("v{round}"), &of));
        let (burned, back) = tokio::join!(
            tokio::spawn(async move { capture(&mut one, capturing).await }),
            tokio::spawn(async move { void(&mut other, voiding).await }),
        );
        let (burned, back) = (burned.unwrap(), back.unwrap());
        let (winner, loser) = if burned.refusal.is_none() { (&burned, &back) } else { (&back, &burned) };
        assert_eq!(winner.redeemed_points + winner.returned_points, 10, "{winner:?}");
        assert_eq!(refusal(loser), RefusalCode::AuthorizationClosed);
        captured += burned.redeemed_points;
    }
    let seen = wallet(&mut shop.ledger).await;
    assert_eq!((seen.set_aside_points, seen.redeemed_points), (0, captured));
    assert_eq!((seen.available_points, seen.balance_points), (ROUNDS * 10 - captured, ROUNDS * 10 - captured));
}

/// While the time of an authorization runs out, four connections capture point by point: each is captured before its end,
/// or refused for it.
#[tokio::test(flavor = "multi_thread")]
async fn captures_race_the_end_of_the_hold() {
    const POINTS: i64 = 60_000;
    let (mut shop, connections) = shop_with(POINTS, 4).await;
    let held = wire::AuthorizeRequest { hold_seconds: 1, ..authorization("a", POINTS) };
    let ends_at = authorize(&mut shop.ledger, held).await.hold_expire_time.unwrap();
    let mut tills = JoinSet::new();
    for (till, mut ledger) in connections.into_iter().enumerate() {
        tills.spawn(async move {
            let mut latest = None;
            for number in 0.. {
                let decision = capture(&mut ledger, capture_of(&format!("c-{till}-{number}"), "a", 1)).await;
                if decision.refusal.is_some() {
                    assert_eq!(refusal(&decision), RefusalCode::AuthorizationExpired);
                    return (number, latest);
                }
                latest = decision.posting_time;
            }
            unreachable!("the time runs out")
        });
    }
    let mut captured = 0;
    while let Some(till) = tills.join_next().await {
        let (count, latest) = till.unwrap();
        captured += count;
        let key = |time: &prost_types::Timestamp| (time.seconds, time.nanos);
        assert!(latest.is_none_or(|latest| key(&latest) < key(&ends_at)), "nothing is captured after the end");
    }
    let ledger = &mut shop.ledger;
    let (state, told, remaining, _) = status(ledger, "a").await;
    assert_eq!((state, told, remaining), (AuthorizationState::Expired, captured, 0));
    let seen = wallet(ledger).await;
    assert_eq!((seen.set_aside_points, seen.available_points), (0, POINTS - captured));
    assert_eq!((seen.balance_points, seen.redeemed_points), (POINTS - captured, captured));
    // What came back can be spent, to the last point.
    let request = wire::RedeemRequest {
        transaction_id: "rest".to_owned(),
        account_id: "anna".to_owned(),
        points: POINTS - captured,
        ..wire::RedeemRequest::default()
    };
    let rest = ledger.redeem(request).await.unwrap().into_inner().decision.unwrap();
    assert_eq!((rest.redeemed_points, rest.balance_points), (POINTS - captured, 0));
}

/// Sixty-four redemptions and authorizations of one balance at once, of which it has enough for fourteen.
#[tokio::test(flavor = "multi_thread")]
async fn parallel_spends_of_one_balance_take_what_is_there_and_no_more() {
    let (mut shop, connections) = shop_with(100, 4).await;
    let mut spends = JoinSet::new();
    for number in 0..64 {
        let mut ledger = connections[number % 4].clone();
        spends.spawn(async move {
            let id = format!("s{number}");
            if number % 2 == 0 {
                return (id.clone(), authorize(&mut ledger, authorization(&id, 7)).await);
            }
            let request = wire::RedeemRequest {
                transaction_id: id.clone(),
                account_id: "anna".to_owned(),
                points: 7,
                ..wire::RedeemRequest::default()
            };
            (id, ledger.redeem(request).await.unwrap().into_inner().decision.unwrap())
        });
    }
    let (mut set_aside, mut redeemed) = (Vec::new(), 0);
    while let Some(spend) = spends.join_next().await {
        let (id, decision) = spend.unwrap();
        match &decision.refusal {
            Some(_) => assert_eq!(refusal(&decision), RefusalCode::InsufficientBalance),
            None if decision.authorized_points > 0 => set_aside.push(id),
            None => redeemed += decision.redeemed_points,
        }
    }
    let held = i64::try_from(set_aside.len()).unwrap() * 7;
    assert_eq!(held + redeemed, 98, "fourteen times seven");
    let ledger = &mut shop.ledger;
    let seen = wallet(ledger).await;
    assert_eq!((seen.available_points, seen.set_aside_points, seen.redeemed_points), (2, held, redeemed));
    for id in &set_aside {
        assert_eq!(capture(ledger, capture_of(&format!("c-{id}"), id, 7)).await.redeemed_points, 7);
    }
    assert_eq!(wallet(ledger).await.balance_points, 2);
}

/// Each id is sent from four connections at once: one does it, the others are told the same.
#[tokio::test(flavor = "multi_thread")]
async fn each_id_from_four_connections_counts_once() {
    const COUNT: usize = 16;
    let (mut shop, connections) = shop_with(320, 4).await;
    let connections = Arc::new(connections);
    let mut calls = JoinSet::new();
    for number in 0..COUNT {
        for till in 0..4 {
            let connections = connections.clone();
            calls.spawn(async move {
                let mut ledger = connections[till].clone();
                let of = format!("a{number}");
                let held = authorize(&mut ledger, authorization(&of, 20)).await;
                let burned = capture(&mut ledger, capture_of(&format!("c{number}"), &of, 5)).await;
                let back = void(&mut ledger, void_of(&format!("v{number}"), &of)).await;
                (number, [held, burned, back])
            });
        }
    }
    let mut answers: Vec<Vec<[wire::Decision; 3]>> = vec![Vec::new(); COUNT];
    while let Some(call) = calls.join_next().await {
        let (number, decisions) = call.unwrap();
        answers[number].push(decisions);
    }
    for told in answers {
        for step in 0..3 {
            let of_step: Vec<&wire::Decision> = told.iter().map(|decisions| &decisions[step]).collect();
            let done = of_step.iter().filter(|one| one.refusal.is_none() && !one.replayed).count();
            assert_eq!(done, 1, "{of_step:?}");
            let first = wire::Decision { replayed: false, ..of_step[0].clone() };
            assert!(of_step.iter().all(|one| wire::Decision { replayed: false, ..(*one).clone() } == first));
        }
    }
    let seen = wallet(&mut shop.ledger).await;
    assert_eq!((seen.set_aside_points, seen.redeemed_points, seen.available_points), (0, 80, 240));
}
