//! Batches, streams, and many callers at once.

use std::collections::HashSet;

use tallystick::service::wire::command::Command as Kind;
use tallystick::service::wire::{self, RefusalCode};
use tonic::Code;

use crate::support::*;

fn command(kind: Kind) -> wire::Command {
    wire::Command { command: Some(kind) }
}

fn accrue(id: &str, account: &str, amount_minor: i64) -> wire::Command {
    command(Kind::Accrue(accrual(id, account, amount_minor)))
}

fn reverse(own: &str, original: &str) -> wire::Command {
    command(Kind::Reverse(reversal(own, original)))
}

fn message(commands: Vec<wire::Command>) -> wire::CommandStreamRequest {
    wire::CommandStreamRequest { commands }
}

/// Sends messages, half-closes, and gathers the results up to the end and how the stream ended.
async fn stream(
    shop: &mut Shop,
    messages: Vec<wire::CommandStreamRequest>,
) -> (Vec<wire::Decision>, Option<tonic::Status>) {
    let mut results = shop.ledger.command_stream(tokio_stream::iter(messages)).await.unwrap().into_inner();
    let mut decisions = Vec::new();
    loop {
        match results.message().await {
            Ok(Some(message)) => decisions.extend(message.results.into_iter().map(|one| one.decision.unwrap())),
            Ok(None) => return (decisions, None),
            Err(status) => return (decisions, Some(status)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn items_of_a_batch_are_independent_and_answered_in_their_places() {
    let mut shop = Shop::open().await;
    let mut malformed = accrual("t3", "anna", 100);
    malformed.basket.as_mut().unwrap().lines[0].quantity = -1;
    let mut other_receipt = accrual("t1", "anna", 500);
    other_receipt.basket.as_mut().unwrap().receipt_number = "r-other".to_owned();
    let mut same_receipt = accrual("t4", "ben", 500);
    same_receipt.basket = accrual("t1", "anna", 500).basket;
    let requests = vec![
        accrual("t1", "anna", 500),
        accrual("t2", "ben", 700),
        malformed,
        accrual("t1", "anna", 500),
        other_receipt,
        same_receipt,
        accrual("t5", "anna", 300),
    ];
    let response = shop.ledger.accrue_batch(wire::AccrueBatchRequest { requests }).await.unwrap();
    let decisions = response.into_inner().decisions;
    let granted: Vec<_> = decisions.iter().map(|decision| (decision.granted_points, decision.replayed)).collect();
    assert_eq!(
        granted,
        [(5, false), (7, false), (0, false), (5, true), (0, false), (0, false), (3, false)],
        "{decisions:#?}"
    );
    assert_eq!(refusal(&decisions[2]), RefusalCode::InvalidCommand);
    assert_eq!(decisions[2].refusal.as_ref().unwrap().field_violations[0].field, "basket.lines[0].quantity");
    assert_eq!(refusal(&decisions[4]), RefusalCode::TransactionIdReused);
    assert_eq!(decisions[4].refusal.as_ref().unwrap().field, "basket.receipt_number");
    assert_eq!(refusal(&decisions[5]), RefusalCode::ReceiptAlreadyEarned);
    assert_eq!(decisions[6].balance_points, 8, "items of one account are decided in their order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_at_least_one_item_and_no_more_than_the_limit() {
    let mut shop = Shop::open_under(&plain_program(&[])).await;
    for count in [0, 8_193] {
        let requests = (0..count).map(|number| accrual(&format!("t{number}"), "anna", 100)).collect();
        let status = shop.ledger.accrue_batch(wire::AccrueBatchRequest { requests }).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{count} items");
        assert_eq!(wrong_fields(&status), ["requests"]);
    }
    let requests = (0..8_192).map(|number| accrual(&format!("t{number}"), "anna", 100)).collect();
    let response = shop.ledger.clone().max_decoding_message_size(8 << 20);
    let mut client = response;
    let decisions = client.accrue_batch(wire::AccrueBatchRequest { requests }).await.unwrap().into_inner().decisions;
    assert_eq!(decisions.len(), 8_192);
    let balances: Vec<i64> = decisions.iter().map(|decision| decision.balance_points).collect();
    assert_eq!(balances, (1..=8_192).collect::<Vec<i64>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_answers_in_order_and_a_reversal_finds_what_was_sent_before_it() {
    let mut shop = Shop::open().await;
    let commands = vec![
        accrue("t1", "anna", 500),
        reverse("r1", "t1"),
        reverse("r2", "t1"),
        accrue("t1", "anna", 500),
        reverse("r3", "r1"),
        wire::Command { command: None },
        accrue("t2", "anna", 200),
        reverse("r4", "t9"),
        accrue("t9", "anna", 100),
    ];
    let messages = vec![message(commands[..4].to_vec()), message(vec![]), message(commands[4..].to_vec())];
    let (decisions, end) = stream(&mut shop, messages).await;
    assert!(end.is_none(), "{end:?}");
    let codes: Vec<_> = decisions.iter().map(|one| one.refusal.as_ref().map(wire::Refusal::code)).collect();
    assert_eq!(
        codes,
        [
            None,
            None,
            Some(RefusalCode::AlreadyReversed),
            None,
            Some(RefusalCode::NotReversible),
            Some(RefusalCode::InvalidCommand),
            None,
            Some(RefusalCode::OriginalUnknown),
            None,
        ]
    );
    assert_eq!((decisions[1].reversed_points, decisions[1].balance_points), (5, 0));
    assert!(decisions[3].replayed);
    assert_eq!(decisions[8].balance_points, 3);
}

/// The workers take nothing any more, and the edge has not noticed yet. Were the reversal judged by itself, nobody would send
/// it again with its accrual: what came back would keep its points.
#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_command_that_was_put_off_is_put_off_too() {
    let mut shop = Shop::open().await;
    let commands = [accrue("before", "anna", 500), reverse("back", "before")];
    let engine = shop.running.engine().clone();
    tokio::task::spawn_blocking(move || engine.stop()).await.unwrap().expect("it had not failed");
    let messages = vec![message(commands.to_vec()), message(vec![reverse("again", "before")])];
    let (decisions, end) = stream(&mut shop, messages).await;
    assert_eq!(decisions.iter().map(refusal).collect::<Vec<_>>(), [RefusalCode::ShuttingDown; 2]);
    let end = end.expect("nobody is told anything of what comes after");
    assert_eq!((end.code(), reason(&end).as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_stream_is_answered_completely() {
    const ACCOUNTS: usize = 50;
    let mut shop = Shop::open_under(&plain_program(&[])).await;
    let commands = |from: usize| {
        let accounts = (from..from + 1_000).map(|number| (number, format!("a{}", number % ACCOUNTS)));
        message(accounts.map(|(number, account)| accrue(&format!("t{number}"), &account, 100)).collect())
    };
    let (decisions, end) = stream(&mut shop, (0..40).map(|index| commands(index * 1_000)).collect()).await;
    assert!(end.is_none(), "{end:?}");
    assert_eq!(decisions.len(), 40_000);
    for (number, decision) in decisions.iter().enumerate() {
        let expected = i64::try_from(number / ACCOUNTS + 1).unwrap();
        assert_eq!((decision.balance_points, decision.replayed), (expected, false), "command {number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_long_ends_the_stream_after_what_came_before() {
    let mut shop = Shop::open().await;
    let too_many = vec![wire::Command { command: None }; 8_193];
    let messages = vec![message(vec![accrue("t1", "anna", 500)]), message(too_many), message(vec![])];
    let (decisions, end) = stream(&mut shop, messages).await;
    assert_eq!(decisions.len(), 1);
    let status = end.unwrap();
    assert_eq!((status.code(), wrong_fields(&status)), (Code::InvalidArgument, vec!["commands".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_callers_with_one_id_one_is_first() {
    let shop = Shop::open().await;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..64 {
        let mut ledger = shop.ledger.clone();
        let id = format!("t{}", number % 4);
        calls.spawn(async move { ledger.accrue(accrual(&id, "anna", 100)).await.unwrap().into_inner() });
    }
    let decisions: Vec<_> = calls.join_all().await.into_iter().map(|response| response.decision.unwrap()).collect();
    let first: Vec<_> = decisions.iter().filter(|decision| !decision.replayed).collect();
    assert_eq!(first.len(), 4);
    let positions: HashSet<_> = decisions.iter().map(|decision| decision.position).collect();
    assert_eq!(positions.len(), 4, "every repetition names the first record");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_callers_with_one_receipt_one_earns() {
    let mut shop = Shop::open().await;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..32 {
        let mut ledger = shop.ledger.clone();
        let request = wire::AccrueRequest {
            account_identifier: None,
            transaction_id: format!("t{number}"),
            account_id: format!("a{number}"),
            basket: Some(basket("r1", 100)),
            posting_time: None,
        };
        calls.spawn(async move { ledger.accrue(request).await.unwrap().into_inner() });
    }
    let decisions: Vec<_> = calls.join_all().await.into_iter().map(|response| response.decision.unwrap()).collect();
    let earned = decisions.iter().filter(|decision| decision.refusal.is_none()).count();
    assert_eq!(earned, 1);
    for decision in decisions.iter().filter(|decision| decision.refusal.is_some()) {
        assert_eq!(refusal(decision), RefusalCode::ReceiptAlreadyEarned);
    }
    let status = shop.admin.get_status(wire::GetStatusRequest { digest: false }).await.unwrap().into_inner();
    assert_eq!(status.account_count, 1);
}

/// Two reversals that name each other's ids must not wait for each other for ever.
#[tokio::test(flavor = "multi_thread")]
async fn reversals_of_each_other_are_both_answered() {
    let shop = Shop::open().await;
    for round in 0..50 {
        let (one, two) = (format!("x{round}"), format!("y{round}"));
        let calls = [(one.clone(), two.clone()), (two, one)].map(|(own, original)| {
            let mut ledger = shop.ledger.clone();
            tokio::spawn(async move { ledger.reverse(reversal(&own, &original)).await })
        });
        for call in calls {
            let answered = tokio::time::timeout(std::time::Duration::from_secs(10), call).await;
            let decision = answered.expect("an answer in time").unwrap().unwrap().into_inner().decision.unwrap();
            assert_eq!(refusal(&decision), RefusalCode::OriginalUnknown);
        }
    }
}
