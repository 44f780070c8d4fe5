//! What is no HTTP/2, what is cut off in the middle, and what breaks the rules of frames.

use prost::Message;

use crate::scene::{ACCOUNT, Scene};
use crate::shop::accrual;
use crate::wire::*;

const ACCRUE: &str = "/tallystick.v1.LedgerService/Accrue";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_2_is_let_go() {
    let scene = Scene::open(&[]).await;
    let mut noise = crate::blackbox::Random::new(7);
    let mut random = |count: usize| (0..count).map(|_| noise.next() as u8).collect::<Vec<u8>>();
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("an older HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("a hello of TLS", [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &random(512)].concat()),
        ("noise", random(4_096)),
        ("zeros", vec![0; 4_096]),
        ("a preface that is wrong at its end", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX".to_vec()),
        ("noise after the preface", [PREFACE, &random(4_096)].concat()),
    ];
    for (what, bytes) in rows {
        let mut wire = Wire::connect(scene.address()).await;
        wire.send(&bytes).await;
        let said = wire.until_closed().await;
        assert!(said.iter().all(|frame| ![HEADERS, DATA].contains(&frame.kind)), "{what} is answered: {said:?}");
    }
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_may_be_cut_off_at_any_byte() {
    let scene = Scene::open(&[]).await;
    let body = message(&accrual("cut", ACCOUNT, 0).encode_to_vec());
    let whole = [
        PREFACE,
        &frame(SETTINGS, 0, 0, &setting(4, 1 << 20)),
        &frame(HEADERS, END_HEADERS, 1, &call(ACCRUE)),
        &frame(DATA, END_STREAM, 1, &body),
    ]
    .concat();
    for length in 0..whole.len() {
        let mut wire = Wire::connect(scene.address()).await;
        wire.send(&whole[..length]).await;
    }
    // The whole of it is a call: it is answered.
    let mut wire = Wire::connect(scene.address()).await;
    wire.send(&whole).await;
    loop {
        let frame = wire.next().await.expect("it is answered");
        if frame.kind == HEADERS && frame.flags & END_STREAM != 0 {
            break;
        }
    }
    drop(wire);
    scene.falls("tallystick_connections", 1).await;
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_break_the_rules_end_their_connection_or_their_stream() {
    let scene = Scene::open(&[]).await;
    let headers = frame(HEADERS, END_HEADERS, 1, &call(ACCRUE));
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("data of no stream", frame(DATA, 0, 0, b"x")),
        ("data of a stream that nobody opened", frame(DATA, 0, 5, b"x")),
        ("headers of no stream", frame(HEADERS, END_HEADERS, 0, &call(ACCRUE))),
        ("headers on a stream of the server", frame(HEADERS, END_HEADERS, 2, &call(ACCRUE))),
        ("headers on an older stream", [frame(HEADERS, END_HEADERS, 5, &call(ACCRUE)), headers.clone()].concat()),
        ("headers that are no table", frame(HEADERS, END_HEADERS, 1, &[0xff; 64])),
        ("headers that point nowhere", frame(HEADERS, END_HEADERS, 1, &[0xbf, 0x80, 0x80, 0x80, 0x80, 0x01])),
        ("headers in parts of nothing", frame(CONTINUATION, END_HEADERS, 1, &call(ACCRUE))),
        ("something between parts", [frame(HEADERS, 0, 1, &[]), frame(PING, 0, 0, &[0; 8])].concat()),
        ("settings of half a length", frame(SETTINGS, 0, 0, &[0; 5])),
        ("settings of a stream", frame(SETTINGS, 0, 1, &[0; 6])),
        ("a window that is too large", frame(SETTINGS, 0, 0, &setting(4, u32::MAX))),
        ("a frame size that is too small", frame(SETTINGS, 0, 0, &setting(5, 1))),
        ("a ping of seven bytes", frame(PING, 0, 0, &[0; 7])),
        ("a window that does not grow", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        ("a window beyond its end", frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]).repeat(2)),
        ("a reset of no stream", frame(RST_STREAM, 0, 0, &[0; 4])),
        ("a push", frame(5, END_HEADERS, 1, &[0, 0, 0, 2])),
        ("a frame beyond its size", frame(DATA, 0, 1, &vec![0; 64 << 10])),
        ("padding beyond its frame", [headers.clone(), frame(DATA, 8, 1, &[9, 0, 0])].concat()),
    ];
    for (what, bytes) in rows {
        let mut wire = scene.wire().await;
        wire.send(&bytes).await;
        let said = wire.until_closed().await;
        assert!(said.iter().any(|frame| frame.kind == GOAWAY), "{what}: {said:?}");
        assert!(said.iter().all(|frame| frame.kind != DATA), "{what} is answered: {said:?}");
    }
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_message_are_refused_and_nothing_else() {
    let scene = Scene::open(&[]).await;
    let channel = scene.channel().await;
    let mut noise = crate::blackbox::Random::new(11);
    let good = accrual("noise", ACCOUNT, 100).encode_to_vec();
    for round in 0..2_000 {
        let mut bytes = good.clone();
        let at = noise.below(bytes.len() as u64) as usize;
        match round % 3 {
            0 => bytes.truncate(at),
            1 => bytes[at] = noise.next() as u8 | 0x80,
            _ => bytes = (0..at).map(|_| noise.next() as u8).collect(),
        }
        // Whatever it is, it is about another account than the till's, or none.
        if bytes.windows(ACCOUNT.len()).any(|part| part == ACCOUNT.as_bytes()) {
            continue;
        }
        let mut grpc = tonic::client::Grpc::new(channel.clone());
        grpc.ready().await.unwrap();
        let request = tonic::Request::new(prost::bytes::Bytes::from(bytes));
        let codec = tallystick::bench::raw::RawCodec::default();
        let answer: Result<tonic::Response<prost::bytes::Bytes>, _> =
            grpc.unary(request, ACCRUE.parse().unwrap(), codec).await;
        if let Err(status) = answer {
            let allowed = [tonic::Code::InvalidArgument, tonic::Code::Internal, tonic::Code::NotFound];
            assert!(allowed.contains(&status.code()), "{status:?}");
        }
    }
    scene.close().await;
}
