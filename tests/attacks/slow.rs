//! Senders that take for ever: to begin, within a frame, within headers, within a message, between messages.

use std::time::Duration;

use prost::Message;
use tallystick::service::wire as api;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tokio_stream::wrappers::ReceiverStream;

use crate::scene::{ACCOUNT, Scene};
use crate::shop::accrual;
use crate::wire::*;

const ACCRUE: &str = "/tallystick.v1.LedgerService/Accrue";
/// A server that has little patience.
const IMPATIENT: [(&str, &str); 1] = [("request_ms_max", "400")];

fn whole_message() -> Vec<u8> {
    message(&accrual("slow", ACCOUNT, 0).encode_to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_begin_is_let_go() {
    let scene = Scene::open(&[]).await;
    let mut silent = Vec::new();
    for sent in [&[][..], &PREFACE[..5], PREFACE, &[PREFACE, &[0, 0, 0]].concat()] {
        let mut wire = Wire::connect(scene.address()).await;
        wire.send(sent).await;
        silent.push(wire);
    }
    for wire in &mut silent {
        wire.until_closed().await;
    }
    scene.reaches("tallystick_connections_cut_off_total{reason=\"handshake\"}", 4).await;
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_takes_for_ever_ends_its_connection() {
    let scene = Scene::open(&IMPATIENT).await;
    let headers = call(ACCRUE);
    let body = whole_message();
    let rows: [(&str, Vec<u8>); 4] = [
        ("half a head", vec![0, 0]),
        ("half of the headers", frame(HEADERS, END_HEADERS, 1, &headers)[..40].to_vec()),
        ("headers without an end", frame(HEADERS, 0, 1, &headers)),
        (
            "half of a frame of data",
            [frame(HEADERS, END_HEADERS, 1, &headers), frame(DATA, END_STREAM, 1, &body)[..30].to_vec()].concat(),
        ),
    ];
    for (number, (what, bytes)) in rows.into_iter().enumerate() {
        let mut wire = scene.wire().await;
        assert!(wire.settle().await.is_some(), "{what}");
        wire.send(&bytes).await;
        wire.until_closed().await;
        let series = "tallystick_connections_cut_off_total{reason=\"stalled_frame\"}";
        scene.reaches(series, number as u64 + 1).await;
    }
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_comes_byte_by_byte_ends_its_connection() {
    let scene = Scene::open(&IMPATIENT).await;
    let mut wire = scene.wire().await;
    let bytes = frame(HEADERS, END_HEADERS, 1, &call(ACCRUE));
    let mut taken = 0;
    for byte in &bytes {
        if !wire.send(&[*byte]).await {
            break;
        }
        taken += 1;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert!(taken < bytes.len(), "{taken} bytes were waited for");
    scene.reaches("tallystick_connections_cut_off_total{reason=\"stalled_frame\"}", 1).await;
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_takes_for_ever_ends_its_call_and_no_other() {
    let scene = Scene::open(&IMPATIENT).await;
    let mut wire = scene.wire().await;
    let body = whole_message();
    let waiting = [&[][..], &body[..3], &body[..20], &body];
    for (index, sent) in waiting.iter().enumerate() {
        let number = u32::try_from(2 * index + 1).unwrap();
        wire.send(&frame(HEADERS, END_HEADERS, number, &call(ACCRUE))).await;
        if !sent.is_empty() {
            wire.send(&frame(DATA, 0, number, sent)).await;
        }
    }
    // Each of them ends by itself; the connection stays.
    let mut ended = 0;
    while ended < waiting.len() {
        let frame = wire.next().await.expect("the connection stays open");
        ended += usize::from(frame.kind == HEADERS && frame.flags & END_STREAM != 0);
    }
    let slow = scene.sample("tallystick_call_failures_total{code=\"deadline_exceeded\"}");
    assert_eq!(slow, waiting.len() as u64);
    let next = [frame(HEADERS, END_HEADERS, 101, &call(ACCRUE)), frame(DATA, END_STREAM, 101, &body)].concat();
    wire.send(&next).await;
    loop {
        let frame = wire.next().await.expect("the connection stays open");
        if (frame.kind, frame.stream) == (HEADERS, 101) && frame.flags & END_STREAM != 0 {
            break;
        }
    }
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_comes_byte_by_byte_ends_its_call() {
    let scene = Scene::open(&IMPATIENT).await;
    let mut wire = scene.wire().await;
    wire.send(&frame(HEADERS, END_HEADERS, 1, &call(ACCRUE))).await;
    // Each frame is whole, so that only the message is late.
    for byte in whole_message() {
        wire.send(&frame(DATA, 0, 1, &[byte])).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(scene.sample("tallystick_call_failures_total{code=\"deadline_exceeded\"}"), 1);
    assert!(wire.settle().await.is_some(), "the connection stays open");
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_may_be_silent_between_its_messages() {
    let scene = Scene::open(&IMPATIENT).await;
    let mut ledger = LedgerServiceClient::new(scene.channel().await);
    let (commands, sent) = tokio::sync::mpsc::channel(4);
    let mut results = ledger.command_stream(ReceiverStream::new(sent)).await.unwrap().into_inner();
    for round in 0..3 {
        // Three times as long as a message may take.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let request = accrual(&format!("stream-{round}"), "streamed", 500);
        let command = api::Command { command: Some(api::command::Command::Accrue(request)) };
        commands.send(api::CommandStreamRequest { commands: vec![command] }).await.unwrap();
        let result = results.message().await.unwrap().unwrap();
        assert_eq!(result.results.len(), 1, "round {round}");
    }
    drop(commands);
    assert!(results.message().await.unwrap().is_none());
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_nobody_uses_is_closed_and_one_that_is_used_is_not() {
    let scene = Scene::open(&[("idle_ms_max", "400")]).await;
    let mut wire = scene.wire().await;
    let mut said = Vec::new();
    while let Some(next) = wire.next().await {
        // A sign of life is asked for and given: being alive is not being used.
        if next.kind == PING && next.flags & ACK == 0 {
            wire.send(&frame(PING, ACK, 0, &next.payload)).await;
        }
        said.push(next);
    }
    assert!(said.iter().any(|frame| frame.kind == GOAWAY), "it is told: {said:?}");
    scene.reaches("tallystick_connections_cut_off_total{reason=\"idle\"}", 1).await;
    scene.close().await;
}
