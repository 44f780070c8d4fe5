//! Readers that never read, or as little as they can.

use std::time::Duration;

use prost::Message;
use tallystick::limits;
use tallystick::service::wire as api;

use crate::scene::{ACCOUNT, Scene};
use crate::wire::*;

const BALANCE: &str = "/tallystick.v1.LedgerService/GetBalance";
const LIST: &str = "/tallystick.v1.LedgerService/ListTransactions";
const CUT_OFF: &str = "tallystick_connections_cut_off_total{reason=\"unread_answer\"}";
const IMPATIENT: [(&str, &str); 1] = [("answer_ms_max", "400")];
/// The setting with the window of streams.
const INITIAL_WINDOW: u16 = 4;

fn question(number: u32) -> Vec<u8> {
    let request = api::GetBalanceRequest { account_id: ACCOUNT.to_owned(), ..<_>::default() };
    let body = message(&request.encode_to_vec());
    [frame(HEADERS, END_HEADERS, number, &call(BALANCE)), frame(DATA, END_STREAM, number, &body)].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_find_no_window_end_their_connection() {
    let scene = Scene::open(&IMPATIENT).await;
    let mut wire = Wire::connect(scene.address()).await;
    wire.begin(&setting(INITIAL_WINDOW, 0)).await;
    for index in 0..200 {
        wire.send(&question(2 * index + 1)).await;
    }
    let said = wire.until_closed().await;
    assert!(said.iter().all(|frame| frame.kind != DATA), "there was no window");
    scene.reaches(CUT_OFF, 1).await;
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_opens_byte_by_byte_ends_the_connection() {
    let scene = Scene::open(&IMPATIENT).await;
    let mut wire = Wire::connect(scene.address()).await;
    wire.begin(&setting(INITIAL_WINDOW, 1)).await;
    wire.send(&question(1)).await;
    let mut taken = 0;
    loop {
        match wire.next().await {
            Some(next) if next.kind == DATA => {
                taken += next.payload.len();
                assert!(taken < 25, "the server has patience for {taken} bytes");
                tokio::time::sleep(Duration::from_millis(100)).await;
                wire.send(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])).await;
            }
            Some(_) => {}
            None => break,
        }
    }
    scene.reaches(CUT_OFF, 1).await;
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_reads_is_cut_off() {
    let scene = Scene::open(&IMPATIENT).await;
    // A few hundred transactions make a large answer.
    for _ in 0..20 {
        scene.is_calm().await;
    }
    let mut wire = Wire::connect_tightly(scene.address()).await;
    wire.begin(&setting(INITIAL_WINDOW, 1 << 30)).await;
    wire.send(&frame(WINDOW_UPDATE, 0, 0, &[0x3f, 0, 0, 0])).await;
    // There is room for all that is asked, but nobody takes it off the socket.
    let request = api::ListTransactionsRequest { account_id: ACCOUNT.to_owned(), page_size: 500, ..<_>::default() };
    let body = message(&request.encode_to_vec());
    for index in 0..400 {
        let number = 2 * index + 1;
        let question =
            [frame(HEADERS, END_HEADERS, number, &call(LIST)), frame(DATA, END_STREAM, number, &body)].concat();
        if !wire.send_within(&question, SOON).await {
            break;
        }
    }
    let refused = scene.sample("tallystick_call_failures_total{code=\"resource_exhausted\"}");
    let waiting = scene.sample("tallystick_large_answers_bytes");
    assert!(waiting < 2 * limits::CONNECTION_LARGE_ANSWERS_BYTES_MAX as u64, "{waiting} bytes wait, {refused} refused");
    scene.reaches(CUT_OFF, 1).await;
    scene.falls("tallystick_large_answers_bytes", 0).await;
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_reads_has_no_more_answers_on_the_way_than_streams() {
    let scene = Scene::open(&IMPATIENT).await;
    let mut wire = Wire::connect_tightly(scene.address()).await;
    wire.begin(&setting(INITIAL_WINDOW, 1 << 30)).await;
    wire.send(&frame(WINDOW_UPDATE, 0, 0, &[0x3f, 0, 0, 0])).await;
    let mut asked = 0;
    while asked < 1_000_000 && wire.send_within(&question(2 * asked + 1), SOON).await {
        asked += 1;
    }
    assert!(asked < 1_000_000, "the server answered everything into nowhere");
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_slowly_and_steadily_is_not_cut_off() {
    let scene = Scene::open(&IMPATIENT).await;
    let mut wire = scene.wire().await;
    for index in 0..30 {
        wire.send(&question(2 * index + 1)).await;
        // Each answer is taken, late and in time.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(wire.settle().await.is_some(), "question {index}");
    }
    assert_eq!(scene.cut_off("unread_answer"), 0);
    scene.close().await;
}
