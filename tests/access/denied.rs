//! Streams that are denied while their callers keep them open: who waits for answers before sending on is told as well.

use std::sync::Arc;
use std::time::Duration;

use prost::bytes::Bytes;
use tallystick::access::grant::Role;
use tallystick::access::meter::RateLimits;
use tallystick::bench::raw::RawCodec;
use tallystick::config::Config;
use tallystick::store::memory::MemoryStore;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Status, Streaming};

use crate::support::{House, assert_forbidden, assert_nobody, assert_refused, config, usual, with_key};

const COMMANDS: &str = "/tallystick.v1.LedgerService/CommandStream";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
/// Nobody who is told at once waits so long, on any machine.
const AT_ONCE: Duration = Duration::from_secs(3);

/// The sender of a stream, and what its caller was told.
type Opened = (mpsc::Sender<Bytes>, Result<Streaming<Bytes>, Status>);

/// Opens a stream, sends so many empty messages, and keeps it open.
async fn open(house: &House, path: &'static str, key: &str, count: usize) -> Opened {
    let mut grpc = Grpc::new(house.channel().await);
    grpc.ready().await.unwrap();
    let (sender, receiver) = mpsc::channel(8);
    for _ in 0..count {
        sender.send(Bytes::new()).await.unwrap();
    }
    let request = with_key(key, ReceiverStream::new(receiver));
    let path = PathAndQuery::from_static(path);
    let told = tokio::time::timeout(AT_ONCE, grpc.streaming(request, path, RawCodec::default())).await;
    let told = told.expect("the caller of a stream is told while it is open");
    (sender, told.map(tonic::Response::into_inner))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_keeps_a_stream_open_is_told_that_it_is_denied() {
    let house = House::open().await;
    let till = house.key(usual(Role::Till)).await;
    for path in [COMMANDS, REFLECTION] {
        for count in [0, 1, 3] {
            let (_sender, told) = open(&house, path, "nobody-s", count).await;
            assert_nobody(told.map(drop));
            let (_sender, told) = open(&house, path, &till, count).await;
            assert_forbidden(told.map(drop));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_keeps_one_stream_too_many_open_is_told() {
    let rate_limits = RateLimits::parse("gateway=100000/100000/1").unwrap();
    let house = House::open_on(Arc::new(MemoryStore::new()), Config { rate_limits, ..config() }).await;
    let key = house.key(usual(Role::Gateway)).await;
    let (_first, told) = open(&house, COMMANDS, &key, 0).await;
    let _results = told.expect("there is a place for one");
    let (_second, told) = open(&house, COMMANDS, &key, 0).await;
    assert_refused(told.map(drop), Code::ResourceExhausted, "RATE_LIMITED");
}
