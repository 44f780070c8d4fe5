//! Baskets that come back in parts, through the wire: what is told, and that nothing comes back twice however many ask.

use std::time::Duration;

use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tallystick::service::wire::{self, RefusalCode};
use tonic::Code;
use tonic::transport::Channel;

use crate::support::*;

/// Longer than any answer takes.
const IN_TIME: Duration = Duration::from_secs(20);

/// A basket of so many pieces, each for 10.00.
fn pieces(id: &str, account: &str, quantity: i64) -> wire::AccrueRequest {
    let mut request = accrual(id, account, 1_000 * quantity);
    request.basket.as_mut().unwrap().lines[0].quantity = quantity;
    request
}

fn part(own: &str, original: &str, lines: &[(i32, i64, i64)]) -> wire::ReverseRequest {
    let line = |(line_index, quantity, amount_minor): &(i32, i64, i64)| wire::ReturnedLine {
        line_index: *line_index,
        quantity: *quantity,
        amount_minor: *amount_minor,
    };
    wire::ReverseRequest { lines: lines.iter().map(line).collect(), ..reversal(own, original) }
}

async fn send(ledger: &mut LedgerServiceClient<Channel>, request: wire::ReverseRequest) -> wire::Decision {
    let answered = tokio::time::timeout(IN_TIME, ledger.reverse(request)).await.expect("an answer in time");
    answered.unwrap().into_inner().decision.unwrap()
}

async fn transaction(shop: &mut Shop, id: &str) -> wire::Transaction {
    let request = wire::GetTransactionRequest { transaction_id: id.to_owned() };
    shop.ledger.get_transaction(request).await.unwrap().into_inner().transaction.unwrap()
}

/// Connections of their own.
async fn connections(shop: &Shop, count: usize) -> Vec<LedgerServiceClient<Channel>> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(LedgerServiceClient::new(connect(&shop.running).await));
    }
    clients
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_told_with_its_lines_and_goes_on_after_a_restart() {
    let mut shop = Shop::open_under(&plain_program(&[])).await;
    shop.accrue(pieces("t1", "anna", 4)).await;
    let one = send(&mut shop.ledger, part("r1", "t1", &[(0, 1, 0)])).await;
    assert_eq!((one.reversed_points, one.balance_points, one.program_version), (10, 30, 1));
    let again = send(&mut shop.ledger, part("r1", "t1", &[(0, 1, 0)])).await;
    assert!(again.replayed && again.reversed_points == 10);
    let mut shop = shop.reopen(config()).await;
    let other = send(&mut shop.ledger, part("r1", "t1", &[(0, 3, 0)])).await;
    assert_eq!(refusal(&other), RefusalCode::TransactionIdReused);
    assert_eq!(other.refusal.unwrap().field, "lines");
    let too_many = send(&mut shop.ledger, part("r2", "t1", &[(0, 4, 0)])).await;
    assert_eq!(refusal(&too_many), RefusalCode::ReturnTooLarge);
    assert_eq!(too_many.refusal.unwrap().field, "lines[0].quantity");
    let unknown = send(&mut shop.ledger, part("r2", "t1", &[(7, 1, 0), (0, 1, 0)])).await;
    assert_eq!(unknown.refusal.as_ref().unwrap().field, "lines[0].line_index", "in the caller's own order");
    assert_eq!(refusal(&unknown), RefusalCode::LineUnknown);
    assert!(!transaction(&mut shop, "t1").await.fully_reversed);
    // What was refused has consumed nothing.
    assert_eq!(send(&mut shop.ledger, part("r2", "t1", &[(0, 2, 0)])).await.reversed_points, 20);
    assert_eq!(send(&mut shop.ledger, reversal("r3", "t1")).await.reversed_points, 10);
    let original = transaction(&mut shop, "t1").await;
    assert_eq!((original.fully_reversed, &*original.reversal_transaction_id), (true, "r3"));
    let last = transaction(&mut shop, "r3").await;
    assert_eq!((&*last.original_transaction_id, &*last.earlier_reversal_transaction_id), ("t1", "r2"));
    let line = wire::ReturnedLine { line_index: 0, quantity: 1, amount_minor: 1_000 };
    assert_eq!(last.returned_lines, [line]);
    assert!(transaction(&mut shop, "r1").await.earlier_reversal_transaction_id.is_empty());
    assert_eq!(refusal(&send(&mut shop.ledger, reversal("r4", "t1")).await), RefusalCode::AlreadyReversed);
    assert_eq!(shop.balance("anna").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_cannot_be_are_named_before_anything_is_looked_up() {
    let mut shop = Shop::open().await;
    let request = part("r1", "never", &[(0, 0, 0), (-1, 2, 5)]);
    let status = shop.ledger.reverse(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(wrong_fields(&status), ["lines[0].quantity", "lines[1].line_index", "lines[1].amount_minor"]);
}

/// The same piece of the same line, asked for from four connections at once: each piece comes back once.
#[tokio::test(flavor = "multi_thread")]
async fn of_parts_at_once_each_takes_what_the_others_left() {
    const PIECES: i64 = 5;
    let mut shop = Shop::open_under(&plain_program(&[])).await;
    for round in 0..20 {
        let original = format!("t{round}");
        shop.accrue(pieces(&original, "anna", PIECES)).await;
        let mut calls = tokio::task::JoinSet::new();
        for (number, mut ledger) in connections(&shop, 4).await.into_iter().enumerate() {
            let original = original.clone();
            calls.spawn(async move {
                let mut answers = Vec::new();
                for piece in 0..3 {
                    let own = format!("r{original}-{number}-{piece}");
                    answers.push(send(&mut ledger, part(&own, &original, &[(0, 1, 0)])).await);
                }
                answers
            });
        }
        let answers: Vec<wire::Decision> = calls.join_all().await.into_iter().flatten().collect();
        let taken: Vec<i64> =
            answers.iter().filter(|one| one.refusal.is_none()).map(|one| one.reversed_points).collect();
        assert_eq!(taken, [10; 5], "five of twelve take a piece each");
        for refused in answers.iter().filter(|one| one.refusal.is_some()) {
            let code = refusal(refused);
            assert!(matches!(code, RefusalCode::ReturnTooLarge | RefusalCode::AlreadyReversed), "{code:?}");
        }
        assert_eq!(shop.balance("anna").await, 0, "round {round}");
    }
}

/// A part under one id from four connections at once takes effect once, and all are told the same.
#[tokio::test(flavor = "multi_thread")]
async fn one_part_asked_for_at_once_takes_effect_once() {
    let mut shop = Shop::open_under(&plain_program(&[])).await;
    shop.accrue(pieces("t1", "anna", 4)).await;
    let mut calls = tokio::task::JoinSet::new();
    for mut ledger in connections(&shop, 4).await {
        calls.spawn(async move { send(&mut ledger, part("r1", "t1", &[(0, 1, 0)])).await });
    }
    let answers = calls.join_all().await;
    assert_eq!(answers.iter().filter(|one| !one.replayed).count(), 1);
    assert!(answers.iter().all(|one| one.reversed_points == 10 && one.position == answers[0].position));
    assert_eq!(shop.balance("anna").await, 30);
}

/// Whoever comes first, points are spent or taken back, never both.
#[tokio::test(flavor = "multi_thread")]
async fn a_return_and_a_redemption_at_once_never_take_the_same_points() {
    let mut shop = Shop::open_under(&plain_program(&[])).await;
    let mut clients = connections(&shop, 4).await;
    for round in 0..40 {
        let (account, original) = (format!("a{round}"), format!("t{round}"));
        shop.accrue(pieces(&original, &account, 4)).await;
        let mut calls = tokio::task::JoinSet::new();
        for (number, mut ledger) in clients.drain(..).enumerate() {
            let (account_id, original) = (account.clone(), original.clone());
            calls.spawn(async move {
                let transaction_id = format!("x{original}-{number}");
                let taken = if number % 2 == 0 {
                    let request = wire::RedeemRequest { transaction_id, account_id, points: 25, ..<_>::default() };
                    let answered = tokio::time::timeout(IN_TIME, ledger.redeem(request)).await.expect("in time");
                    answered.unwrap().into_inner().decision.unwrap()
                } else {
                    send(&mut ledger, part(&transaction_id, &original, &[(0, 2, 0)])).await
                };
                (ledger, taken)
            });
        }
        let mut taken = 0;
        for (ledger, decision) in calls.join_all().await {
            clients.push(ledger);
            taken += decision.reversed_points + decision.redeemed_points;
            if let Some(refused) = &decision.refusal {
                assert!(refused.code() == RefusalCode::InsufficientBalance, "{refused:?}");
            }
        }
        assert_eq!(shop.balance(&account).await, 40 - taken, "round {round}");
        assert!([25, 40].contains(&taken), "two parts, or a redemption and nothing else: {taken}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_spent_is_owed_shown_and_collected() {
    for (policy, below) in [("debt", 0), ("negative", 1)] {
        let refunds = format!("[refunds]\nwhen_spent = \"{policy}\"\n\n[earn]");
        let mut shop = Shop::open_under(&plain_program(&[("[earn]", &refunds)])).await;
        shop.accrue(pieces("t1", "anna", 1)).await;
        let spent = wire::RedeemRequest {
            transaction_id: "s1".to_owned(),
            account_id: "anna".to_owned(),
            points: 8,
            ..<_>::default()
        };
        assert_eq!(shop.ledger.redeem(spent).await.unwrap().into_inner().decision.unwrap().redeemed_points, 8);
        let back = shop.reverse("r1", "t1").await;
        assert_eq!((back.reversed_points, back.owed_points, back.balance_points), (2, 8, -8 * below), "{policy}");
        let request = wire::GetBalanceRequest { account_id: "anna".to_owned(), ..<_>::default() };
        let balance = shop.ledger.get_balance(request).await.unwrap().into_inner().wallets.remove(0);
        assert_eq!((balance.owed_points, balance.balance_points, balance.available_points), (8, -8 * below, 0));
        // What is collected of a basket is told with it, and with its quote.
        let quoted =
            wire::QuoteRequest { account_id: "anna".to_owned(), basket: Some(basket("t2", 300)), ..<_>::default() };
        let quoted = shop.ledger.quote(quoted).await.unwrap().into_inner().decision.unwrap();
        assert_eq!((quoted.granted_points, quoted.collected_points), (3, 3));
        let earned = shop.accrue(accrual("t2", "anna", 300)).await;
        let told = (earned.granted_points, earned.collected_points, earned.balance_points);
        assert_eq!(told, (3, 3, -5 * below), "{policy}");
        assert_eq!(transaction(&mut shop, "t2").await.decision.unwrap().collected_points, 3);
        let earned = shop.accrue(accrual("t3", "anna", 900)).await;
        assert_eq!((earned.collected_points, earned.balance_points), (5, 4), "{policy}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_travel_in_a_stream_behind_what_they_are_of() {
    let mut shop = Shop::open_under(&plain_program(&[])).await;
    let command = |kind| wire::Command { command: Some(kind) };
    let reverse = |request| command(wire::command::Command::Reverse(request));
    let commands = vec![
        command(wire::command::Command::Accrue(pieces("t1", "anna", 3))),
        reverse(part("r1", "t1", &[(0, 1, 0)])),
        reverse(part("r2", "t1", &[(0, 2, 5)])),
        reverse(part("r3", "t1", &[(0, 9, 0)])),
        reverse(reversal("r4", "t1")),
    ];
    let message = wire::CommandStreamRequest { commands };
    let mut results = shop.ledger.command_stream(tokio_stream::iter([message])).await.unwrap().into_inner();
    let mut decisions = Vec::new();
    while let Some(message) = results.message().await.unwrap() {
        decisions.extend(message.results.into_iter().map(|one| one.decision.unwrap()));
    }
    let told: Vec<_> = decisions.iter().map(|one| (one.reversed_points, one.balance_points)).collect();
    assert_eq!(told, [(0, 30), (10, 20), (0, 0), (0, 0), (20, 0)]);
    assert_eq!(refusal(&decisions[2]), RefusalCode::InvalidCommand);
    assert_eq!(decisions[2].refusal.as_ref().unwrap().field_violations[0].field, "lines[0].amount_minor");
    assert_eq!(refusal(&decisions[3]), RefusalCode::ReturnTooLarge);
}
