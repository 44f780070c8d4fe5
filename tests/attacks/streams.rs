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

/// Streams that are asked for, over as many connections as it takes: the server ends one that goes on after it was refused.
const ASKED_FOR: usize = 1_000_000;
/// Of one connection at most so many are asked for.
const OF_ONE_CONNECTION: usize = 200_000;

/// Opens streams on one connection until it ends or there are so many; gives how many were asked for.
async fn open_streams(scene: &Scene, most: usize) -> usize {
    let headers = call(STREAM);
    let mut wire = scene.wire().await;
    let mut refused = BTreeSet::new();
    for first in (0..most).step_by(500) {
        let batch: Vec<u8> = (first..first + 500)
            .flat_map(|index| frame(HEADERS, END_HEADERS, stream_number(index), &headers))
            .collect();
        wire.send(&batch).await;
        let Some(said) = wire.settle().await else { return first + 500 };
        let resets = said.iter().filter(|frame| frame.kind == RST_STREAM);
        refused.extend(resets.map(|frame| {
            assert_eq!(frame.payload, REFUSED_STREAM.to_be_bytes(), "what is refused may be tried elsewhere");
            frame.stream
        }));
        let open = first + 500 - refused.len();
        assert!(open <= usize::try_from(limits::CONNECTION_STREAMS_MAX).unwrap(), "{open} streams are open");
    }
    assert!(refused.len() >= most - usize::try_from(limits::CONNECTION_STREAMS_MAX).unwrap());
    most
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_million_streams_a_connection_has_so_many_and_no_more() {
    let scene = Scene::open(&[]).await;
    let (mut asked_for, mut connections) = (0, 0);
    while asked_for < ASKED_FOR {
        asked_for += open_streams(&scene, OF_ONE_CONNECTION.min(ASKED_FOR - asked_for)).await;
        connections += 1;
        // One connection at a time is open, so its streams are all that there are.
        let most = 2 * u64::from(limits::CONNECTION_STREAMS_MAX) + 1;
        assert!(scene.sample("tallystick_calls_in_flight") <= most, "after {asked_for} streams");
    }
    println!("{asked_for} streams over {connections} connections");
    scene.is_calm().await;
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
