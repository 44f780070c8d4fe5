//! Floods of headers and of frames that ask for nothing.

use crate::scene::Scene;
use crate::wire::*;

const BALANCE: &str = "/tallystick.v1.LedgerService/GetBalance";
/// More than any limit allows.
const MANY: usize = 200_000;

#[tokio::test(flavor = "multi_thread")]
async fn headers_in_endless_parts_end_their_connection() {
    let scene = Scene::open(&[]).await;
    for part in [&[][..], &[0, 1, b'a', 1, b'b']] {
        let mut wire = scene.wire().await;
        wire.send(&frame(HEADERS, 0, 1, &call(BALANCE))).await;
        wire.flood(MANY, |_| frame(CONTINUATION, 0, 1, part)).await;
    }
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_are_too_large_are_refused() {
    let scene = Scene::open(&[]).await;
    // One that is large, many that are small, one that is large in its table: each more than 16 KiB.
    let large = "x".repeat(15_000);
    let many: Vec<(String, String)> = (0..500).map(|number| (format!("x-{number}"), "0123456789".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    for more in [vec![("x-large", large.as_str()), ("x-larger", &large)], many] {
        let mut wire = scene.wire().await;
        let whole = [call(BALANCE), block(&more)].concat();
        let parts: Vec<&[u8]> = whole.chunks(8_192).collect();
        let last = parts.len() - 1;
        for (number, part) in parts.iter().enumerate() {
            let kind = if number == 0 { HEADERS } else { CONTINUATION };
            wire.send(&frame(kind, if number == last { END_HEADERS } else { 0 }, 1, part)).await;
        }
        // The server says so in an answer of its own, or ends the stream or the connection; it makes no call of it.
        let mut is_refused = false;
        while let Some(frame) = wire.next().await {
            is_refused |= [HEADERS, RST_STREAM, GOAWAY].contains(&frame.kind);
            if is_refused {
                break;
            }
        }
        assert!(is_refused);
    }
    assert_eq!(scene.sample("tallystick_calls_total{method=\"GetBalance\"}"), 0, "nothing of it was a call");
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_name_said_often_by_its_number_is_as_large_as_it_is() {
    let scene = Scene::open(&[]).await;
    let mut wire = scene.wire().await;
    // Enters a header of 3 KB into the table (RFC 7541, 6.2.1), and then says it by number (6.1), a byte each.
    let mut entered = vec![0x40];
    entered.extend(&block(&[("x-bomb", &"y".repeat(3_000))])[1..]);
    let bomb = [call(BALANCE), entered, vec![0x80 | 62; 12_000]].concat();
    wire.send(&frame(HEADERS, END_HEADERS, 1, &bomb)).await;
    let refused = wire
        .settle()
        .await
        .is_none_or(|said| said.iter().any(|frame| [HEADERS, RST_STREAM, GOAWAY].contains(&frame.kind)));
    assert!(refused);
    assert_eq!(scene.sample("tallystick_calls_total{method=\"GetBalance\"}"), 0);
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_ask_for_nothing_end_their_connection_when_there_are_too_many() {
    let scene = Scene::open(&[]).await;
    // Settings, with content and without; pings, and answers to pings that nobody sent; priorities; what nobody knows;
    // and windows.
    let floods: [Vec<u8>; 7] = [
        frame(SETTINGS, 0, 0, &setting(3, 100)),
        frame(SETTINGS, 0, 0, &[]),
        frame(PING, 0, 0, &[7; 8]),
        frame(PING, ACK, 0, &[7; 8]),
        frame(PRIORITY, 0, 9, &[0, 0, 0, 1, 7]),
        frame(0xbe, 0xff, 0, &[]),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
    ];
    for piece in floods {
        let before = scene.cut_off("frame_flood");
        // Many at a time, so that the flood is a flood.
        scene.wire().await.flood(MANY / 100, |_| piece.repeat(100)).await;
        scene.reaches("tallystick_connections_cut_off_total{reason=\"frame_flood\"}", before + 1).await;
        scene.is_calm().await;
    }
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_is_none_ends_its_connection() {
    let scene = Scene::open(&[]).await;
    for payload in [&[][..], &[0]] {
        let mut wire = scene.wire().await;
        wire.send(&frame(HEADERS, END_HEADERS, 1, &call("/tallystick.v1.LedgerService/CommandStream"))).await;
        let piece = frame(DATA, 0, 1, payload).repeat(100);
        wire.flood(MANY / 100, |_| piece.clone()).await;
    }
    scene.close().await;
}
