//! Calls that wait for the disk, or for what other calls hold: there are only so many, the others are refused, and what nobody
//! waits for any more is not done.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use tallystick::config::Config;
use tallystick::ids::IdOptions;
use tallystick::limits;
use tallystick::server::threads::edge_threads;
use tallystick::service::wire;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tallystick::store::Space;
use tallystick::store::memory::MemoryStore;
use tallystick::telemetry::series::in_text;
use tokio::task::JoinHandle;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::given_up::until_held;
use crate::support::watched::{Call, GatedStore, Watch, WatchedStore};
use crate::support::*;

/// Lets nobody read the journal while it is closed, and counts how often it is read.
struct Shelf {
    is_open: Mutex<bool>,
    opened: Condvar,
    read_count: AtomicUsize,
}

impl Shelf {
    fn set_open(&self, is_open: bool) {
        *self.is_open.lock().unwrap() = is_open;
        self.opened.notify_all();
    }
}

impl Watch for Shelf {
    fn before(&self, call: Call) {
        if call == Call::Scan(Space::Journal) {
            self.read_count.fetch_add(1, Ordering::SeqCst);
            let is_open = self.is_open.lock().unwrap();
            drop(self.opened.wait_while(is_open, |is_open| !*is_open).unwrap());
        }
    }
}

/// Waits until so many of the calls have not ended, and no fewer a little later.
async fn until_waiting<T>(calls: &[JoinHandle<T>], count: usize) {
    let waiting = || calls.iter().filter(|call| !call.is_finished()).count();
    for _ in 0..30_000 {
        if waiting() <= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(waiting(), count, "of {} calls", calls.len());
}

async fn until_no_call_is_under_way(shop: &Shop) {
    for _ in 0..30_000 {
        let text = in_text(shop.running.telemetry()).unwrap();
        if text.lines().any(|line| line == "tallystick_calls_in_flight 0") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("calls are under way that nobody waits for");
}

#[track_caller]
fn assert_overloaded(status: &Status) {
    assert_eq!((status.code(), reason(status).as_str()), (Code::ResourceExhausted, "OVERLOADED"));
    let details = status.get_error_details();
    assert!(details.retry_info().unwrap().retry_delay.unwrap() > Duration::ZERO);
}

fn question() -> wire::GetTransactionRequest {
    wire::GetTransactionRequest { transaction_id: "t1".to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_that_are_too_many_are_refused_and_what_nobody_waits_for_is_not_read() {
    // Of one connection. Two are more than one serving thread takes, and each has two at least.
    const CALLS: usize = 600;
    let shelf = Shelf { is_open: Mutex::new(true), opened: Condvar::new(), read_count: AtomicUsize::new(0) };
    let shelf = WatchedStore::over(MemoryStore::new(), shelf);
    let mut shop = Shop::open_on(shelf.clone(), without_caps()).await;
    assert!(!shop.accrue(accrual("t1", "anna", 100)).await.replayed);
    let mut ledgers = Vec::new();
    for _ in 0..2 * edge_threads() {
        ledgers.push(LedgerServiceClient::new(connect(&shop.running).await));
    }
    shelf.set_open(false);
    let read_before = shelf.read_count.load(Ordering::SeqCst);
    let mut calls = Vec::new();
    for ledger in &ledgers {
        for _ in 0..CALLS {
            let mut ledger = ledger.clone();
            calls.push(tokio::spawn(async move { ledger.get_transaction(question()).await }));
        }
    }
    let waiting_count = edge_threads() * limits::READS_MAX;
    until_waiting(&calls, waiting_count).await;
    // Whoever reads nothing goes on.
    assert_eq!(shop.accrue(accrual("t2", "anna", 100)).await.balance_points, 2);
    for call in &calls {
        call.abort();
    }
    let mut refused_count = 0;
    for call in calls {
        if let Ok(answered) = call.await {
            assert_overloaded(&answered.unwrap_err());
            refused_count += 1;
        }
    }
    assert_eq!(refused_count, ledgers.len() * CALLS - waiting_count);
    until_no_call_is_under_way(&shop).await;
    shelf.set_open(true);
    // Behind all that was asked before; there is room again as soon as that has been passed over.
    for ledger in &mut ledgers {
        let asking = async {
            loop {
                match ledger.get_transaction(question()).await {
                    Ok(answer) => return answer.into_inner().transaction.unwrap(),
                    Err(status) => assert_overloaded(&status),
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(30), asking).await.expect("there is room again");
        assert_eq!(found.transaction_id, "t1");
    }
    let read_count = shelf.read_count.load(Ordering::SeqCst) - read_before;
    assert!(read_count < waiting_count / 2, "{read_count} reads, though nobody waited for {waiting_count} any more");
}

/// Nobody whose original is on its way claims it, so that what bounds claims does not bound them.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_for_an_original_are_bounded_too() {
    const ROOM: usize = 16;
    let gate = GatedStore::for_synced();
    let ids = IdOptions { in_flight_max: ROOM, ..IdOptions::default() };
    let mut shop = Shop::open_on(gate.clone(), Config { ids, ..without_caps() }).await;
    gate.close();
    let mut ledger = shop.ledger.clone();
    let held = tokio::spawn(async move { ledger.accrue(accrual("t1", "anna", 100)).await });
    until_held(&shop, 2, 0).await;
    let mut calls = Vec::new();
    for number in 0..3 * ROOM {
        let mut ledger = shop.ledger.clone();
        let request = reversal(&format!("r{number}"), "t1");
        calls.push(tokio::spawn(async move { ledger.reverse(request).await }));
    }
    until_waiting(&calls, ROOM).await;
    until_held(&shop, 2, ROOM).await;
    gate.open();
    assert_eq!(held.await.unwrap().unwrap().into_inner().decision.unwrap().granted_points, 1);
    let mut reversed_count = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(answer) => reversed_count += usize::from(answer.into_inner().decision.unwrap().refusal.is_none()),
            Err(status) => assert_overloaded(&status),
        }
    }
    assert!(reversed_count <= 1);
    until_held(&shop, 0, 0).await;
    // Whoever comes again is told what became of it.
    shop.reverse("again", "t1").await;
    assert_eq!(shop.balance("anna").await, 0);
}
