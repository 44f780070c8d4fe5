//! Streams without number, and streams that are opened to be reset.

use std::collections::BTreeSet;

use tallystick::limits;

use crate::scene::Scene;
use crate::wire::*;

const BALANCE: &str = "/tallystick.v1.LedgerService/GetBalance";
const STREAM: &str = "/tallystick.v1.LedgerService/CommandStream";
const REFUSED_STREAM: u32 = 7;

fn stream_number(index: usize) -> u32 {
    u32::try_from(2 * index + 1).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_so_many_streams_and_no_more() {
    let scene = Scene::open(&[]).await;
    // The way to a million: the limit bites long before.
    let opened = 30_000;
    let mut wire = scene.wire().await;
    let mut refused = BTreeSet::new();
    let mut has_ended = false;
    for first in (0..opened).step_by(100) {
        let headers = call(STREAM);
        let batch: Vec<u8> = (first..first + 100)
            .flat_map(|index| frame(HEADERS, END_HEADERS, stream_number(index), &headers))
            .collect();
        wire.send(&batch).await;
        let Some(said) = wire.settle().await else {
            has_ended = true;
            break;
        };
        let resets = said.iter().filter(|frame| frame.kind == RST_STREAM);
        refused.extend(resets.map(|frame| {
            assert_eq!(frame.payload, REFUSED_STREAM.to_be_bytes(), "what is refused may be tried elsewhere");
            frame.stream
        }));
        let open = first + 100 - refused.len();
        assert!(open <= usize::try_from(limits::CONNECTION_STREAMS_MAX).unwrap(), "{open} streams are open");
    }
    assert!(has_ended || refused.len() >= opened - usize::try_from(limits::CONNECTION_STREAMS_MAX).unwrap());
    assert!(scene.sample("tallystick_calls_in_flight") <= u64::from(limits::CONNECTION_STREAMS_MAX) + 1);
    scene.is_calm().await;
    drop(wire);
    scene.falls("tallystick_calls_in_flight", 1).await;
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_opened_and_reset_at_once_end_their_connection() {
    let scene = Scene::open(&[]).await;
    let (headers, cancel) = (call(BALANCE), 8_u32.to_be_bytes());
    let many = 100_000;
    let flood = scene.wire().await.flood(many, |index| {
        let number = stream_number(index);
        [frame(HEADERS, END_HEADERS, number, &headers), frame(RST_STREAM, 0, number, &cancel)].concat()
    });
    flood.await;
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_begun_and_given_up_end_their_connection() {
    let scene = Scene::open(&[]).await;
    let mut wire = scene.wire().await;
    let headers = call(BALANCE);
    let mut begun = 0;
    // Not so rapid: each call has begun by the time it is reset, so that nobody could take it for a mistake.
    while begun < 50_000 {
        let streams: Vec<u32> = (begun..begun + 200).map(stream_number).collect();
        begun += streams.len();
        let open: Vec<u8> = streams.iter().flat_map(|number| frame(HEADERS, END_HEADERS, *number, &headers)).collect();
        let reset: Vec<u8> =
            streams.iter().flat_map(|number| frame(RST_STREAM, 0, *number, &8_u32.to_be_bytes())).collect();
        if !wire.send(&open).await || wire.settle().await.is_none() {
            break;
        }
        if !wire.send(&reset).await || wire.settle().await.is_none() {
            break;
        }
    }
    let most = usize::try_from(limits::CALLS_GIVEN_UP_MAX).unwrap();
    assert!((most..most + 1_000).contains(&begun), "{begun} calls were begun and given up");
    scene.reaches("tallystick_connections_cut_off_total{reason=\"given_up_calls\"}", 1).await;
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_the_server_is_made_to_reset_end_their_connection() {
    let scene = Scene::open(&[]).await;
    let headers = call(BALANCE);
    type Fault = fn(u32) -> Vec<u8>;
    // A window that does not grow, one beyond its end, a stream that waits for itself, more data than was announced.
    let faults: [Fault; 4] = [
        |number| frame(WINDOW_UPDATE, 0, number, &[0; 4]),
        |number| frame(WINDOW_UPDATE, 0, number, &[0x7f, 0xff, 0xff, 0xff]).repeat(2),
        |number| frame(PRIORITY, 0, number, &[&number.to_be_bytes()[..], &[1]].concat()),
        |number| frame(DATA, END_STREAM, number, b"xxxxxx"),
    ];
    for fault in faults {
        let many = 100_000;
        let announced = [headers.clone(), block(&[("content-length", "1")])].concat();
        let flood = scene.wire().await.flood(many, |index| {
            let number = stream_number(index);
            [frame(HEADERS, END_HEADERS, number, &announced), fault(number)].concat()
        });
        flood.await;
        scene.is_calm().await;
    }
    scene.close().await;
}
