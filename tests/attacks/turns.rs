//! Batches and lists that wait for their turn: they keep nothing from those that have theirs, and nobody waits beyond the
//! time that they stated.

use std::collections::BTreeSet;

use prost::Message;
use tallystick::limits;
use tallystick::service::wire as api;

use crate::scene::{ACCOUNT, Scene};
use crate::shop::accrual;
use crate::wire::*;

const BATCH: &str = "/tallystick.v1.LedgerService/AccrueBatch";
const LIST: &str = "/tallystick.v1.LedgerService/ListTransactions";
const FAILED_LATE: &str = "tallystick_call_failures_total{code=\"deadline_exceeded\"}";
/// The setting with the window of streams.
const INITIAL_WINDOW: u16 = 4;
/// Bytes that may be sent on a connection before anything is said about it (RFC 9113, section 6.9.2).
const WINDOW_BYTES: usize = 65_535;
/// Bytes of one piece of a message.
const PIECE_BYTES: usize = 16 << 10;

/// A connection whose caller sends what the server has room for, and no more.
struct Sender {
    wire: Wire,
    room: usize,
    /// Calls that have given some of their answer, and those that have given all of it.
    answered: BTreeSet<u32>,
    ended: BTreeSet<u32>,
}

impl Sender {
    /// Takes the next frame.
    async fn take(&mut self) {
        let next = self.wire.next().await.expect("the connection stays open");
        match next.kind {
            WINDOW_UPDATE if next.stream == 0 => {
                self.room += u32::from_be_bytes(next.payload[..4].try_into().unwrap()) as usize;
            }
            SETTINGS if next.flags & ACK == 0 => {
                // What it says of streams counts from here on.
                self.wire.send(&frame(SETTINGS, ACK, 0, &[])).await;
            }
            DATA => {
                self.answered.insert(next.stream);
            }
            RST_STREAM | GOAWAY => panic!("the server gives up: {next:?}"),
            _ => {}
        }
        if [HEADERS, DATA].contains(&next.kind) && next.flags & END_STREAM != 0 {
            self.ended.insert(next.stream);
        }
    }

    /// Sends a piece of a message once there is room for it.
    async fn send(&mut self, stream: u32, piece: &[u8], is_last: bool) {
        while self.room < piece.len() {
            self.take().await;
        }
        self.room -= piece.len();
        self.wire.send(&frame(DATA, if is_last { END_STREAM } else { 0 }, stream, piece)).await;
    }
}

/// Many libraries send a piece of each of their messages in turn. Were those that wait left unread, they would fill the room
/// of the connection, and those that have their turn would never come whole.
#[tokio::test(flavor = "multi_thread")]
async fn batches_that_come_piece_by_piece_all_come_whole() {
    const BATCHES: u32 = 48;
    // Less than a stream has room for, and all together more than three times what the connection has.
    const ACCOUNT_BYTES: usize = 600_000;
    let scene = Scene::open(&[("request_ms_max", "20000")]).await;
    let wire = scene.wire().await;
    let mut sender = Sender { wire, room: WINDOW_BYTES, answered: BTreeSet::new(), ended: BTreeSet::new() };
    // Refused, in a batch that is answered well: what is large here is the request alone.
    let mut large = accrual("large", ACCOUNT, 100);
    large.account_id = "x".repeat(ACCOUNT_BYTES);
    let body = message(&api::AccrueBatchRequest { requests: vec![large] }.encode_to_vec());
    assert!(BATCHES > 2 * u32::try_from(limits::CONNECTION_LARGE_CALLS_MAX).unwrap());
    let streams: Vec<u32> = (0..BATCHES).map(|index| 2 * index + 1).collect();
    for stream in &streams {
        sender.wire.send(&frame(HEADERS, END_HEADERS, *stream, &call(BATCH))).await;
    }
    let last = body.chunks(PIECE_BYTES).count() - 1;
    for (number, piece) in body.chunks(PIECE_BYTES).enumerate() {
        for stream in &streams {
            sender.send(*stream, piece, number == last).await;
        }
    }
    while sender.ended.len() < streams.len() {
        sender.take().await;
    }
    assert_eq!(sender.answered.len(), streams.len(), "each batch has an answer, and not only a status");
    assert_eq!(scene.sample(FAILED_LATE), 0);
    scene.close().await;
}

fn list(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    let request = api::ListTransactionsRequest { account_id: ACCOUNT.to_owned(), page_size: 1, ..<_>::default() };
    let headers = [call(LIST), block(more)].concat();
    let body = message(&request.encode_to_vec());
    [frame(HEADERS, END_HEADERS, stream, &headers), frame(DATA, END_STREAM, stream, &body)].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_turn_is_answered_when_its_time_is_up_and_otherwise_when_it_comes() {
    let scene = Scene::open(&[]).await;
    let mut wire = Wire::connect(scene.address()).await;
    wire.begin(&setting(INITIAL_WINDOW, 0)).await;
    wire.send(&frame(WINDOW_UPDATE, 0, 0, &[0x3f, 0, 0, 0])).await;
    // The answers to as many as have a turn find no window.
    let turns = u32::try_from(limits::CONNECTION_LARGE_CALLS_MAX).unwrap();
    for index in 0..turns {
        wire.send(&list(2 * index + 1, &[])).await;
    }
    let (patient, hasty) = (2 * turns + 1, 2 * turns + 3);
    wire.send(&list(patient, &[])).await;
    wire.send(&list(hasty, &[("grpc-timeout", "300m")])).await;
    loop {
        let next = wire.next().await.expect("the connection stays open");
        assert!(next.kind != DATA && (next.kind != HEADERS || next.stream != patient), "it is not its turn: {next:?}");
        if (next.kind, next.stream) == (HEADERS, hasty) {
            assert!(next.flags & END_STREAM != 0, "it is a status, and no answer");
            break;
        }
    }
    scene.reaches(FAILED_LATE, 1).await;
    // A window for all of them: each has its turn.
    wire.send(&frame(SETTINGS, 0, 0, &setting(INITIAL_WINDOW, 1 << 20))).await;
    let mut ended = BTreeSet::new();
    while ended.len() <= turns as usize {
        let next = wire.next().await.expect("the connection stays open");
        if next.flags & END_STREAM != 0 && [HEADERS, DATA].contains(&next.kind) {
            ended.insert(next.stream);
        }
    }
    assert!(ended.contains(&patient));
    assert_eq!(scene.sample(FAILED_LATE), 1);
    scene.close().await;
}
