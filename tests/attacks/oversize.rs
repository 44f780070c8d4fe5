//! Messages that are too large, that say they are, that are many, and that are small until they are unpacked.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;
use tallystick::limits;
use tallystick::service::wire as api;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tonic::Code;

use crate::scene::{Scene, issue, with_key};
use crate::shop::{accrual, reason};
use crate::wire::*;

const BATCH: &str = "/tallystick.v1.LedgerService/AccrueBatch";

/// The head of a message that says it has so many bytes.
fn head(is_packed: u8, length: u32) -> Vec<u8> {
    [&[is_packed][..], &length.to_be_bytes()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_large_is_refused_by_its_reason() {
    let scene = Scene::open(&[]).await;
    let mut ledger = LedgerServiceClient::new(scene.channel().await);
    let mut large = accrual("large", "anna", 100);
    large.account_id = "x".repeat(limits::MESSAGE_BYTES_MAX);
    let status = ledger.accrue(large).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::OutOfRange, "MESSAGE_TOO_LARGE"));
    // In a stream, what came before it is decided.
    let command = |request| api::Command { command: Some(api::command::Command::Accrue(request)) };
    let message = |request| api::CommandStreamRequest { commands: vec![command(request)] };
    let mut large = accrual("large", "anna", 100);
    large.account_id = "x".repeat(limits::MESSAGE_BYTES_MAX);
    let messages = tokio_stream::iter([message(accrual("before", "anna", 400)), message(large)]);
    let mut results = ledger.command_stream(messages).await.unwrap().into_inner();
    assert_eq!(results.message().await.unwrap().unwrap().results.len(), 1);
    let status = results.message().await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::OutOfRange, "MESSAGE_TOO_LARGE"));
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_only_say_that_they_are_large_take_no_room() {
    let scene = Scene::open(&[]).await;
    let most = limits::LARGE_MESSAGES_BYTES_MAX / limits::MESSAGE_BYTES_MAX;
    let mut wires = Vec::new();
    let say = |length: u32| {
        move |index: usize| {
            let number = u32::try_from(2 * index + 1).unwrap();
            let headers = frame(HEADERS, END_HEADERS, number, &call(BATCH));
            [headers, frame(DATA, 0, number, &head(0, length))].concat()
        }
    };
    // Several connections that have all the room between them, and one more that asks for all of it. Nobody takes a turn
    // whose message is not here.
    let turns = limits::CONNECTION_LARGE_CALLS_MAX;
    for count in std::iter::repeat_n(turns, most / turns).chain([most]) {
        let mut wire = scene.wire().await;
        let largest = say(u32::try_from(limits::MESSAGE_BYTES_MAX).unwrap());
        let all: Vec<u8> = (0..count).flat_map(largest).collect();
        wire.send(&all).await;
        assert!(wire.settle().await.is_some());
        wires.push(wire);
    }
    let overloaded = "tallystick_call_failures_total{code=\"resource_exhausted\"}";
    scene.reaches(overloaded, turns as u64).await;
    // And one that says it has four gigabytes.
    let mut wire = scene.wire().await;
    wire.send(&say(u32::MAX)(0)).await;
    scene.reaches("tallystick_call_failures_total{code=\"out_of_range\"}", 1).await;
    scene.is_calm().await;
    // Meanwhile a batch that asks for no room is decided, and one that does is put off.
    let mut ledger = LedgerServiceClient::new(scene.channel().await);
    let batch = |count: usize, from: &str| api::AccrueBatchRequest {
        requests: (0..count).map(|number| accrual(&format!("{from}-{number}"), "anna", 100)).collect(),
    };
    let small = batch(100, "small");
    assert!(small.encoded_len() <= limits::SMALL_MESSAGE_BYTES_MAX);
    assert_eq!(ledger.accrue_batch(small).await.unwrap().into_inner().decisions.len(), 100);
    let large = batch(2_000, "large");
    assert!(large.encoded_len() > limits::SMALL_MESSAGE_BYTES_MAX);
    let status = ledger.accrue_batch(large.clone()).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "OVERLOADED"));
    // Whoever goes makes room.
    wires.clear();
    let decided = crate::blackbox::wait_for("room for a large batch", SOON, async || {
        ledger.accrue_batch(large.clone()).await.ok().map(|answer| answer.into_inner().decisions.len())
    });
    assert_eq!(decided.await, 2_000);
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_say_that_they_bring_large_messages_take_no_room() {
    let scene = Scene::open_guarded(&[]).await;
    let channel = scene.channel().await;
    let key = issue(&channel, scene.admin.as_deref().unwrap(), api::Role::Gateway, "north", None).await;
    let most = limits::LARGE_MESSAGES_BYTES_MAX / limits::MESSAGE_BYTES_MAX;
    let largest = head(0, u32::try_from(limits::MESSAGE_BYTES_MAX).unwrap());
    // As many as would take up all the room.
    let turns = limits::CONNECTION_LARGE_CALLS_MAX;
    let mut strangers = Vec::new();
    for _ in 0..most / turns {
        let mut wire = scene.wire().await;
        let say = |index: usize| {
            let number = u32::try_from(2 * index + 1).unwrap();
            [frame(HEADERS, END_HEADERS, number, &call(BATCH)), frame(DATA, 0, number, &largest)].concat()
        };
        let all: Vec<u8> = (0..turns).flat_map(say).collect();
        wire.send(&all).await;
        assert!(wire.settle().await.is_some());
        strangers.push(wire);
    }
    scene.reaches("tallystick_calls_total{method=\"AccrueBatch\"}", most as u64).await;
    scene.is_calm().await;
    let requests = (0..2_000).map(|number| accrual(&format!("large-{number}"), "anna", 100)).collect();
    let large = api::AccrueBatchRequest { requests };
    assert!(large.encoded_len() > limits::SMALL_MESSAGE_BYTES_MAX);
    let decided = LedgerServiceClient::new(channel).accrue_batch(with_key(Some(&key), large)).await;
    assert_eq!(decided.expect("there is room for whoever may").into_inner().decisions.len(), 2_000);
    // The strangers are told, though what they announced never comes.
    scene.reaches("tallystick_call_failures_total{code=\"unauthenticated\"}", most as u64).await;
    scene.close().await;
}

/// So many bytes of nothing, packed.
fn bomb(bytes: usize) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..bytes >> 20 {
        packed.write_all(&vec![0; 1 << 20]).unwrap();
    }
    packed.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_unpacked() {
    let scene = Scene::open(&[]).await;
    let bomb = bomb(512 << 20);
    assert!(bomb.len() < limits::MESSAGE_BYTES_MAX, "it is small before it is unpacked");
    for encoding in [Some("gzip"), Some("deflate"), Some("zstd"), Some("identity"), None] {
        let mut wire = scene.wire().await;
        // The windows of the server count once they are acknowledged.
        assert!(wire.settle().await.is_some());
        wire.send(&frame(SETTINGS, ACK, 0, &[])).await;
        let more = encoding.map_or_else(Vec::new, |encoding| block(&[("grpc-encoding", encoding)]));
        wire.send(&frame(HEADERS, END_HEADERS, 1, &[call(BATCH), more].concat())).await;
        let body = [head(1, u32::try_from(bomb.len()).unwrap()), bomb.clone()].concat();
        for part in body.chunks(16 << 10) {
            wire.send(&frame(DATA, 0, 1, part)).await;
        }
        wire.send(&frame(DATA, END_STREAM, 1, &[])).await;
        // The call ends; nothing was decided.
        loop {
            let frame = wire.next().await.expect("the call is answered");
            if frame.stream == 1 && (frame.kind == RST_STREAM || frame.flags & END_STREAM != 0) {
                break;
            }
        }
        scene.is_calm().await;
    }
    // Three times the encoding is one that nobody here knows, and the caller is told so.
    assert_eq!(scene.sample("tallystick_call_failures_total{code=\"unimplemented\"}"), 3);
    scene.close().await;
}
