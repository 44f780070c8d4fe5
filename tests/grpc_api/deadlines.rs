//! What a server itself says when a deadline passes, to a caller that keeps none: a header, and nobody who watches it but
//! the server. Libraries of gRPC give up by their own clocks and put their own words in place of the server's.

use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tallystick::service::wire;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tonic::body::Body;
use tonic::{Code, Status};
use tower_service::Service;

use crate::support::watched::GatedStore;
use crate::support::*;

/// A connection that only carries.
#[derive(Clone)]
pub struct Plain(SendRequest<Body>);

impl Service<Request<Body>> for Plain {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

pub async fn plain(shop: &Shop) -> LedgerServiceClient<Plain> {
    let address = shop.running.address();
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (caller, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    LedgerServiceClient::with_origin(Plain(caller), format!("http://{address}").parse().unwrap())
}

fn until<T>(timeout: &str, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("grpc-timeout", timeout.parse().unwrap());
    request
}

fn assert_open(status: &Status) {
    assert_eq!((status.code(), reason(status).as_str()), (Code::DeadlineExceeded, "DEADLINE_OUTCOME_UNKNOWN"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_passes_on_the_way_to_disk_leaves_the_outcome_to_the_id() {
    let gate = GatedStore::for_synced();
    let mut shop = Shop::open_on(gate.clone(), config()).await;
    let mut ledger = plain(&shop).await;
    let opened = ledger.accrue(until("99999999H", accrual("t1", "anna", 100))).await.unwrap().into_inner();
    assert_eq!(opened.decision.unwrap().granted_points, 1, "a deadline that does not pass changes nothing");

    gate.close();
    assert_open(&ledger.accrue(until("500m", accrual("t2", "anna", 100))).await.unwrap_err());
    let batch = wire::AccrueBatchRequest { requests: vec![accrual("t3", "anna", 100)] };
    assert_open(&ledger.accrue_batch(until("500m", batch)).await.unwrap_err());
    // What the command changed must not be seen before it is durable: the read waits, and its time is up too.
    let request = wire::GetBalanceRequest { account_id: "anna".to_owned(), ..<_>::default() };
    assert_open(&ledger.get_balance(until("100m", request)).await.unwrap_err());
    gate.open();

    for (id, balance) in [("t2", 2), ("t3", 3)] {
        let again = shop.accrue(accrual(id, "anna", 100)).await;
        assert_eq!((again.replayed, again.granted_points, again.balance_points), (true, 1, balance), "{id}");
    }
    assert_eq!(shop.balance("anna").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_has_passed_on_arrival_is_refused_without_a_trace() {
    let mut shop = Shop::open().await;
    let mut ledger = plain(&shop).await;
    for round in 0..20 {
        let id = format!("t{round}");
        let status = ledger.accrue(until("0n", accrual(&id, "anna", 100))).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
        // The second is said when the time is up before the request has come in whole.
        assert!(["DEADLINE_EXPIRED", "DEADLINE_OUTCOME_UNKNOWN"].contains(&reason(&status).as_str()), "{status:?}");
        assert!(!shop.accrue(accrual(&id, "anna", 100)).await.replayed);
    }
}

/// A ticket whose time is up stays taken until its command is back: nobody gets the answer of another.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_longer_than_others_gets_the_answer_to_its_own_call() {
    let gate = GatedStore::for_synced();
    let shop = Shop::open_on(gate.clone(), without_caps()).await;
    let ledger = plain(&shop).await;
    let mut calls = Vec::new();
    gate.close();
    for number in 0..60_i64 {
        let request = accrual(&format!("t{number}"), &format!("member-{number}"), 100 * (number + 1));
        // Of three one waits for ever, one for so long that its message is waited for where it comes in, one for less.
        let timeout = [None, Some("600m"), Some("200m")][number as usize % 3];
        let mut ledger = ledger.clone();
        let call = async move {
            match timeout {
                Some(timeout) => ledger.accrue(until(timeout, request)).await,
                None => ledger.accrue(request).await,
            }
        };
        calls.push((number, timeout, tokio::spawn(call)));
    }
    let (waiting, late): (Vec<_>, Vec<_>) = calls.into_iter().partition(|(_, timeout, _)| timeout.is_none());
    for (_, _, call) in late {
        assert_open(&call.await.unwrap().unwrap_err());
    }
    // Their places would be free for these.
    let further = (100..130_i64).map(|number| {
        let mut ledger = ledger.clone();
        let request = accrual(&format!("t{number}"), &format!("member-{number}"), 100 * (number + 1));
        (number, None, tokio::spawn(async move { ledger.accrue(request).await }))
    });
    let waiting: Vec<_> = waiting.into_iter().chain(further).collect();
    gate.open();
    for (number, _, call) in waiting {
        let decision = call.await.unwrap().unwrap().into_inner().decision.unwrap();
        assert_eq!(decision.granted_points, number + 1, "{number}");
    }
}
