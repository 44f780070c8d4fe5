//! A change of the programme's time zone: a receipt of which the till does not state the business day keeps its day, and earns
//! once, however it meets the publication.

use std::sync::Arc;
use std::time::Duration;

use tallystick::config::{ClockMode, Config};
use tallystick::ledger::types::TimestampNs;
use tallystick::service::wire::{self, RefusalCode};
use tallystick::store::memory::MemoryStore;
use tonic::Code;

use crate::support::watched::GatedStore;
use crate::support::*;

const NS_PER_SECOND: i64 = 1_000_000_000;
/// Two o'clock in the night of 2 March 2030, UTC. In New York it is still the first of March, and will be for three hours.
const NIGHT: i64 = 1_898_647_200;
/// How far ahead a receipt may be dated when the programme says nothing of it.
const SKEW: i64 = 300;

fn in_new_york() -> String {
    plain_program(&[("time_zone = \"UTC\"", "time_zone = \"America/New_York\"")])
}

fn publication(id: &str, source: String, effective_at: Option<i64>) -> wire::PublishProgramRequest {
    let effective_time = effective_at.and_then(time);
    wire::PublishProgramRequest { transaction_id: id.to_owned(), source, effective_time }
}

/// A receipt that is dated so, presented by a transaction of another name.
fn presented(id: &str, receipt: &str, dated: i64) -> wire::AccrueRequest {
    let mut request = accrual(id, "anna", 1_000);
    let basket = request.basket.as_mut().unwrap();
    (basket.receipt_number, basket.receipt_time) = (receipt.to_owned(), time(dated));
    request
}

fn posted(request: wire::AccrueRequest, at: i64) -> wire::AccrueRequest {
    wire::AccrueRequest { posting_time: time(at), ..request }
}

/// Waits until something has come about.
pub async fn until(holds: impl Fn() -> bool) {
    for _ in 0..30_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it does not come to that");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_is_dated_ahead_keeps_its_day_when_the_time_zone_changes() {
    let hands = Hands::new();
    hands.set(NIGHT * NS_PER_SECOND);
    let mut shop = Shop::open_by(Arc::new(MemoryStore::new()), without_caps(), hands.clone()).await;
    // The clock of the till is two minutes fast.
    let dated = NIGHT + 120;
    assert_eq!(shop.accrue(presented("t1", "r1", dated)).await.granted_points, 10);

    // A version in force at that date would give the receipt another day.
    let early = publication("p1", in_new_york(), Some(NIGHT + 60));
    let status = shop.program.publish_program(early).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "EFFECTIVE_TIME_REFUSED"));
    assert!(status.message().contains("`time_zone`"), "{}", status.message());
    // One with the same zone does not.
    let same_zone = publication("p2", format!("{}\n# 2\n", plain_program(&[])), Some(NIGHT + 60));
    shop.program.publish_program(same_zone).await.unwrap();
    let later = NIGHT + 2 * SKEW;
    shop.program.publish_program(publication("p1", in_new_york(), Some(later))).await.unwrap();

    hands.set((later + 60) * NS_PER_SECOND);
    let again = shop.accrue(presented("t2", "r1", dated)).await;
    assert_eq!(refusal(&again), RefusalCode::ReceiptAlreadyEarned);
    let new = shop.accrue(presented("t3", "r3", later + 30)).await;
    assert_eq!((new.granted_points, new.program_version), (10, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_zone_that_is_to_change_as_soon_as_can_be_changes_when_its_notice_is_over() {
    let hands = Hands::new();
    hands.set(NIGHT * NS_PER_SECOND);
    let mut shop = Shop::open_by(Arc::new(MemoryStore::new()), without_caps(), hands.clone()).await;
    let published = shop.program.publish_program(publication("p1", in_new_york(), None)).await.unwrap().into_inner();
    let effective_at = published.program.unwrap().effective_time.unwrap().seconds;
    assert!((NIGHT + SKEW..NIGHT + 2 * SKEW).contains(&effective_at), "{effective_at}");
    hands.set((effective_at - 10) * NS_PER_SECOND);
    assert_eq!(shop.accrue(presented("t1", "r1", effective_at - 20)).await.program_version, 1);
    hands.set((effective_at + 10) * NS_PER_SECOND);
    assert_eq!(shop.accrue(presented("t2", "r2", effective_at + 5)).await.program_version, 2);
}

/// What is asked while the version is being made durable was named by what was known before.
async fn earns_once_though_it_waits_for_the_publication(in_batch: bool) {
    let gate = GatedStore::for_synced();
    let config = Config { clock: Some(ClockMode::Input), ..without_caps() };
    let mut shop = Shop::open_on(gate.clone(), config).await;
    let effective_at = NIGHT + 2 * SKEW;
    assert_eq!(shop.accrue(posted(presented("t0", "r0", NIGHT), NIGHT)).await.granted_points, 10);

    gate.close();
    let queued = shop.running.engine().control.seq();
    let mut program = shop.program.clone();
    let publishing = publication("p1", in_new_york(), Some(effective_at));
    let publishing = tokio::spawn(async move { program.publish_program(publishing).await });
    // Its record is queued behind the gate of publications.
    until(|| shop.running.engine().control.seq() > queued).await;
    // It is posted before the version takes effect, and dated behind that.
    let (at, dated) = (effective_at - 100, effective_at + 100);
    let mut ledger = shop.ledger.clone();
    let waiting = tokio::spawn(async move {
        let mut requests = vec![posted(presented("t1", "r1", dated), at), posted(presented("t2", "r2", dated), at)];
        if in_batch {
            let response = ledger.accrue_batch(wire::AccrueBatchRequest { requests }).await;
            return response.unwrap().into_inner().decisions;
        }
        let response = ledger.accrue(requests.swap_remove(0)).await;
        vec![response.unwrap().into_inner().decision.unwrap()]
    });
    until(|| shop.running.engine().latest_stamp() == TimestampNs(at * NS_PER_SECOND)).await;
    gate.open();
    publishing.await.unwrap().unwrap();

    let decisions = waiting.await.unwrap();
    assert_eq!(decisions.len(), if in_batch { 2 } else { 1 });
    for (decision, receipt) in decisions.iter().zip(["r1", "r2"]) {
        assert_eq!((decision.granted_points, &decision.refusal), (10, &None), "{receipt}");
        let again =
            shop.accrue(posted(presented(&format!("again-{receipt}"), receipt, dated), effective_at + 200)).await;
        assert_eq!(refusal(&again), RefusalCode::ReceiptAlreadyEarned, "{receipt}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accrual_that_waits_while_the_time_zone_changes_is_named_by_the_new_one() {
    earns_once_though_it_waits_for_the_publication(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_waits_while_the_time_zone_changes_is_named_by_the_new_one() {
    earns_once_though_it_waits_for_the_publication(true).await;
}
