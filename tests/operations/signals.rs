//! What looks like fraud and what waits for review: the counters move by exactly what happened, however the commands came,
//! and the lists show the same.

use std::sync::Arc;

use tallystick::config::Config;
use tallystick::service::wire::access_service_client::AccessServiceClient;
use tallystick::service::wire::command::Command as Kind;
use tallystick::service::wire::fraud_service_client::FraudServiceClient;
use tallystick::service::wire::operator_service_client::OperatorServiceClient;
use tallystick::service::wire::{self, RefusalCode};
use tallystick::store::memory::MemoryStore;

use crate::scraped::Scraped;
use crate::support::{Shop, accrual, config, connect, plain_program, program_file, refusal, reversal};

/// At most three baskets a day earn, and what goes beyond sixty points a day is held.
fn watchful() -> String {
    let caps = "\n[[caps]]\nname = \"visits\"\nmeasure = \"earning-baskets\"\nwindow = \"day\"\nlimit = 3\n\n\
                [[caps]]\nname = \"watch\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 60\nover = \"hold\"\n";
    format!("{}{caps}", plain_program(&[]))
}

/// Sends one accrual by itself, one in a batch, one on a stream.
async fn three_ways(shop: &mut Shop, requests: [wire::AccrueRequest; 3]) -> [wire::Decision; 3] {
    let [alone, in_batch, on_stream] = requests;
    let alone = shop.accrue(alone).await;
    let batch = wire::AccrueBatchRequest { requests: vec![in_batch] };
    let in_batch = shop.ledger.accrue_batch(batch).await.unwrap().into_inner().decisions.remove(0);
    let commands = vec![wire::Command { command: Some(Kind::Accrue(on_stream)) }];
    let requests = tokio_stream::once(wire::CommandStreamRequest { commands });
    let mut answers = shop.ledger.command_stream(requests).await.unwrap().into_inner();
    let on_stream = answers.message().await.unwrap().unwrap().results.remove(0).decision.unwrap();
    [alone, in_batch, on_stream]
}

fn remark() -> Option<wire::Remark> {
    Some(wire::Remark { reason_code: "seen".to_owned(), operator: "ada".to_owned(), ..<_>::default() })
}

/// The values of a series, by label.
fn values(shop: &Shop, name: &str, label: &str, of: &[&str]) -> Vec<f64> {
    let scraped = Scraped::of(shop.running.ready.metrics_address.unwrap());
    of.iter().map(|value| scraped.value(&format!("{name}{{{label}=\"{value}\"}}"))).collect()
}

fn signals(shop: &Shop) -> Vec<f64> {
    let of = ["velocity_denied", "receipt_already_earned", "frozen"];
    values(shop, "tallystick_fraud_signals_total", "signal", &of)
}

const REVIEWS: [&str; 4] = ["held", "released", "rejected", "returned"];

fn reviews(shop: &Shop) -> [Vec<f64>; 2] {
    ["tallystick_reviews_total", "tallystick_review_units_total"].map(|name| values(shop, name, "review", &REVIEWS))
}

async fn open() -> Shop {
    let metrics_listen = Some("127.0.0.1:0".to_owned());
    let config = Config { metrics_listen, program: Some(program_file(&watchful())), ..config() };
    Shop::open_on(Arc::new(MemoryStore::new()), config).await
}

#[tokio::test(flavor = "multi_thread")]
async fn denials_and_receipts_presented_again_are_counted_as_they_happen_and_listed() {
    let mut shop = open().await;
    assert_eq!(signals(&shop), [0.0, 0.0, 0.0], "from the start");
    let sales = ["a1", "a2", "a3", "a4", "a5", "a6"].map(|id| accrual(id, "vera", 500));
    let [a1, a2, a3, a4, a5, a6] = sales;
    for decision in three_ways(&mut shop, [a1.clone(), a2, a3]).await {
        assert_eq!((decision.granted_points, decision.velocity_denial), (5, None));
    }
    assert_eq!(signals(&shop), [0.0, 0.0, 0.0]);
    for decision in three_ways(&mut shop, [a4.clone(), a5, a6]).await {
        assert_eq!((decision.granted_points, decision.velocity_denial.unwrap().cap), (0, "visits".to_owned()));
    }
    assert_eq!(signals(&shop), [3.0, 0.0, 0.0]);
    // What is told again, and what is only asked, is no denial of its own.
    assert!(shop.accrue(a4.clone()).await.replayed);
    let quote = wire::QuoteRequest { account_id: "vera".to_owned(), basket: a4.basket, ..<_>::default() };
    let quoted = shop.ledger.quote(quote).await.unwrap().into_inner().decision.unwrap();
    assert!(quoted.velocity_denial.is_some());
    assert_eq!(signals(&shop), [3.0, 0.0, 0.0]);

    let stolen = ["s1", "s2", "s3"].map(|id| wire::AccrueRequest {
        transaction_id: id.to_owned(),
        account_id: "theo".to_owned(),
        ..a1.clone()
    });
    for decision in three_ways(&mut shop, stolen).await {
        assert_eq!(refusal(&decision), RefusalCode::ReceiptAlreadyEarned);
    }
    assert_eq!(signals(&shop), [3.0, 3.0, 0.0]);

    let mut fraud = FraudServiceClient::new(connect(&shop.running).await);
    let denied = fraud.list_velocity_denials(wire::ListVelocityDenialsRequest::default()).await.unwrap().into_inner();
    let ids: Vec<&str> = denied.denials.iter().map(|one| one.transaction_id.as_str()).collect();
    assert_eq!((ids, &*denied.next_page_token), (vec!["a4", "a5", "a6"], ""));
    let claims = fraud.list_receipt_claims(wire::ListReceiptClaimsRequest::default()).await.unwrap().into_inner();
    let mut ids: Vec<&str> = claims.claims.iter().map(|one| one.transaction_id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!((ids, claims.claim_count), (vec!["s1", "s2", "s3"], 3));
}

/// What has ended still has its place among those that there can ever be: it is counted.
#[tokio::test(flavor = "multi_thread")]
async fn keys_and_freezes_are_counted_for_ever() {
    let shop = open().await;
    let shown = || {
        let scraped = Scraped::of(shop.running.ready.metrics_address.unwrap());
        ["tallystick_keys", "tallystick_freezes", "tallystick_frozen_subjects"].map(|name| scraped.value(name))
    };
    assert_eq!(shown(), [0.0; 3], "from the start");
    let channel = connect(&shop.running).await;
    let (mut access, mut fraud) = (AccessServiceClient::new(channel.clone()), FraudServiceClient::new(channel));
    let account_id = wire::freeze_subject::Subject::AccountId("vera".to_owned());
    let subject = Some(wire::FreezeSubject { subject: Some(account_id) });
    let (reason_code, note) = ("shared-card".to_owned(), String::new());
    for round in 1..=3 {
        let grant = Some(wire::Grant { role: wire::Role::Auditor.into(), ..<_>::default() });
        let create = wire::CreateKeyRequest { name: format!("auditor {round}"), grant, ..<_>::default() };
        let key = access.create_key(create).await.unwrap().into_inner().key.unwrap();
        access.revoke_key(wire::RevokeKeyRequest { key_id: key.key_id }).await.unwrap();
        let (subject, reason_code, note) = (subject.clone(), reason_code.clone(), note.clone());
        let freeze =
            wire::FreezeRequest { subject: subject.clone(), reason_code: reason_code.clone(), note: note.clone() };
        assert!(fraud.freeze(freeze).await.unwrap().into_inner().changed);
        assert!(fraud.thaw(wire::ThawRequest { subject, reason_code, note }).await.unwrap().into_inner().changed);
        let count = f64::from(round);
        assert_eq!(shown(), [count, count, 0.0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_released_rejected_and_returned_is_counted_and_what_waits_is_listed() {
    let mut shop = open().await;
    assert_eq!(reviews(&shop), [vec![0.0; 4], vec![0.0; 4]], "from the start");
    shop.accrue(accrual("first", "hana", 5_000)).await;
    assert_eq!(reviews(&shop), [vec![0.0; 4], vec![0.0; 4]]);
    let sales = [accrual("h1", "hana", 7_000), accrual("h2", "ben", 8_000), accrual("h3", "cleo", 9_000)];
    for decision in three_ways(&mut shop, sales.clone()).await {
        assert_eq!(decision.held_for_review.unwrap().cap, "watch");
    }
    let [_, h2, _] = sales;
    assert!(shop.accrue(h2).await.replayed);
    shop.accrue(accrual("h4", "dora", 10_000)).await;
    assert_eq!(reviews(&shop), [vec![4.0, 0.0, 0.0, 0.0], vec![340.0, 0.0, 0.0, 0.0]]);
    let mut desk = OperatorServiceClient::new(connect(&shop.running).await);
    let listed = desk.list_held(wire::ListHeldRequest::default()).await.unwrap().into_inner().held;
    assert_eq!((listed.len(), listed.iter().map(|one| one.points).sum::<i64>()), (4, 340));

    for replayed in [false, true] {
        let release = wire::ReleaseHeldRequest {
            transaction_id: "r1".to_owned(),
            original_transaction_id: "h1".to_owned(),
            remark: remark(),
            posting_time: None,
        };
        let released = desk.release_held(release).await.unwrap().into_inner().decision.unwrap();
        assert_eq!((released.released_points, released.replayed), (70, replayed));
        let rejection = wire::RejectHeldRequest {
            transaction_id: "r2".to_owned(),
            original_transaction_id: "h2".to_owned(),
            remark: remark(),
            posting_time: None,
        };
        let rejected = desk.reject_held(rejection).await.unwrap().into_inner().decision.unwrap();
        assert_eq!((rejected.reversed_points, rejected.replayed), (80, replayed));
    }
    // A second review is refused, and the customer brings one basket back.
    let again = wire::ReleaseHeldRequest {
        transaction_id: "r3".to_owned(),
        original_transaction_id: "h2".to_owned(),
        remark: remark(),
        posting_time: None,
    };
    let refused = desk.release_held(again).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(refusal(&refused), RefusalCode::AlreadyReviewed);
    let returned = shop.ledger.reverse(reversal("r4", "h3")).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(returned.reversed_points, 90);
    assert_eq!(reviews(&shop), [vec![4.0, 1.0, 1.0, 1.0], vec![340.0, 70.0, 80.0, 90.0]]);
    let listed = desk.list_held(wire::ListHeldRequest::default()).await.unwrap().into_inner().held;
    assert_eq!((listed.len(), listed[0].points), (1, 100), "what waits is what the counters leave");
}
