//! Full queues, deadlines and callers that go away, on a store whose writes can be held up.

use std::sync::Arc;
use std::time::Duration;

use tallystick::config::Config;
use tallystick::service::wire::command::Command as Kind;
use tallystick::service::wire::{self, RefusalCode};
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::watched::GatedStore;
use crate::support::*;

/// A shop whose one worker has as many commits under way as it may, all held up, and whose queue is full.
struct Jammed {
    shop: Shop,
    gate: Arc<GatedStore>,
    jam: Vec<tokio::task::JoinHandle<Result<wire::Decision, tonic::Status>>>,
}

impl Jammed {
    async fn new() -> Self {
        let gate = GatedStore::for_synced();
        let program = Some(program_file(&plain_program(&[])));
        let shop = Shop::open_on(gate.clone(), Config { workers: 1, queue_depth: 1, program, ..config() }).await;
        gate.close();
        let mut jam = Vec::new();
        let mut refused_in_a_row = 0;
        // One refusal may mean only that the worker has not looked yet.
        while refused_in_a_row < 10 {
            let mut ledger = shop.ledger.clone();
            let request = accrual(&format!("jam-{}", jam.len()), "jam", 100);
            jam.push(tokio::spawn(async move {
                ledger.accrue(request).await.map(|response| response.into_inner().decision.unwrap())
            }));
            tokio::time::sleep(Duration::from_millis(20)).await;
            refused_in_a_row = if jam.last().unwrap().is_finished() { refused_in_a_row + 1 } else { 0 };
        }
        Self { shop, gate, jam }
    }

    async fn release(self) -> Shop {
        self.gate.open();
        for call in self.jam {
            match call.await.unwrap() {
                Ok(decision) => assert!(decision.refusal.is_none(), "what was held up is done in the end"),
                Err(status) => assert_eq!(status.code(), Code::ResourceExhausted),
            }
        }
        self.shop
    }
}

fn message(ids: &[&str]) -> wire::CommandStreamRequest {
    let command = |id: &&str| wire::Command { command: Some(Kind::Accrue(accrual(id, "anna", 100))) };
    wire::CommandStreamRequest { commands: ids.iter().map(command).collect() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_at_once_and_consumes_nothing() {
    let jammed = Jammed::new().await;
    let mut ledger = jammed.shop.ledger.clone();
    let status = ledger.accrue(accrual("t1", "anna", 100)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "OVERLOADED"));
    let details = status.get_error_details();
    assert!(details.retry_info().unwrap().retry_delay.unwrap() > Duration::ZERO);
    let request = wire::GetBalanceRequest { account_id: "jam".to_owned(), ..<_>::default() };
    assert_eq!(ledger.get_balance(request).await.unwrap_err().code(), Code::ResourceExhausted);
    let mut shop = jammed.release().await;
    let retried = shop.accrue(accrual("t1", "anna", 100)).await;
    assert_eq!((retried.replayed, retried.balance_points), (false, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_waits_for_room_instead() {
    let jammed = Jammed::new().await;
    let mut ledger = jammed.shop.ledger.clone();
    let ids: Vec<String> = (0..100).map(|number| format!("t{number}")).collect();
    let message = message(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    let streamed = tokio::spawn(async move {
        let mut results = ledger.command_stream(tokio_stream::iter([message])).await.unwrap().into_inner();
        let mut decisions = Vec::new();
        while let Some(message) = results.message().await.unwrap() {
            decisions.extend(message.results.into_iter().map(|one| one.decision.unwrap()));
        }
        decisions
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!streamed.is_finished());
    let _shop = jammed.release().await;
    let decisions = streamed.await.unwrap();
    let balances: Vec<i64> = decisions.iter().map(|decision| decision.balance_points).collect();
    assert_eq!(balances, (1..=100).collect::<Vec<i64>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_waits_a_while_and_then_refuses_item_by_item() {
    let jammed = Jammed::new().await;
    let requests: Vec<_> = (0..2_000).map(|number| accrual(&format!("t{number}"), "anna", 100)).collect();
    let batch = wire::AccrueBatchRequest { requests };
    let mut ledger = jammed.shop.ledger.clone();
    let decisions = ledger.accrue_batch(batch.clone()).await.unwrap().into_inner().decisions;
    for decision in decisions {
        assert_eq!(refusal(&decision), RefusalCode::Overloaded);
        let refusal = decision.refusal.unwrap();
        assert!(refusal.retry_delay.is_some() && refusal.retry_advice() == wire::RetryAdvice::SameId);
    }
    let mut shop = jammed.release().await;
    let decisions = shop.ledger.accrue_batch(batch).await.unwrap().into_inner().decisions;
    let balances: Vec<i64> = decisions.iter().map(|decision| decision.balance_points).collect();
    assert_eq!(balances, (1..=2_000).collect::<Vec<i64>>(), "nothing was consumed, and a queue that moves is enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_deadline_passed_while_it_waited_is_not_decided() {
    let jammed = Jammed::new().await;
    let mut ledger = jammed.shop.ledger.clone();
    // The headers of a stream come at once, so its caller lives to see the refusal.
    let mut request = tonic::Request::new(tokio_stream::iter([message(&["late", "later"])]));
    request.set_timeout(Duration::from_millis(500));
    let mut results = ledger.command_stream(request).await.unwrap().into_inner();
    tokio::time::sleep(Duration::from_millis(600)).await;
    let mut shop = jammed.release().await;
    let mut refused = Vec::new();
    while let Some(message) = results.message().await.unwrap() {
        refused.extend(message.results.iter().map(|result| refusal(result.decision.as_ref().unwrap())));
    }
    assert_eq!(refused, [RefusalCode::DeadlineExpired; 2]);
    assert_eq!(shop.balance("anna").await, 0);
    for id in ["late", "later"] {
        assert!(!shop.accrue(accrual(id, "anna", 100)).await.replayed, "{id} was not decided before");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_go_away_leave_no_claim_behind() {
    let jammed = Jammed::new().await;
    // The first waits for room with the claims of several parts in hand, the others for those claims.
    let mut calls = Vec::new();
    let many = (0..200).map(|number| format!("m{number}"));
    let first: Vec<String> = ["t1", "t2"].map(str::to_owned).into_iter().chain(many).collect();
    for ids in [first.clone(), ["t1", "t3"].map(str::to_owned).to_vec()] {
        let mut ledger = jammed.shop.ledger.clone();
        calls.push(tokio::spawn(async move {
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            let mut results = ledger.command_stream(tokio_stream::iter([message(&ids)])).await.unwrap().into_inner();
            drop(results.message().await);
        }));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut ledger = jammed.shop.ledger.clone();
    calls.push(tokio::spawn(async move { drop(ledger.accrue(accrual("t1", "anna", 100)).await) }));
    tokio::time::sleep(Duration::from_millis(50)).await;
    calls.iter().for_each(tokio::task::JoinHandle::abort);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut shop = jammed.release().await;
    for id in first.iter().map(String::as_str).chain(["t3"]) {
        let answered = tokio::time::timeout(Duration::from_secs(30), shop.accrue(accrual(id, "anna", 100))).await;
        assert!(answered.expect("nobody holds the id any more").refusal.is_none(), "{id}");
    }
    // Whether what a caller began was decided or given up: each id counts once.
    assert_eq!(shop.balance("anna").await, 203);
}
