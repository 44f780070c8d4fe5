//! More accruals at once than the server carries: some are answered, the others are told so, and nothing is lost between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prost::Message;
use tallystick::limits;
use tallystick::server::hpack::{Field, fields_without_table};
use tallystick::service::wire as api;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;

use crate::blackbox::{Server, Site, verify_directory};
use crate::scene::{Scene, connect};
use crate::scraped::{Scraped, metrics_address};
use crate::shop::{accrual, plain_program};
use crate::wire::*;

const ACCRUE: &str = "/tallystick.v1.LedgerService/Accrue";
/// Connections, and calls that each of them sends at once: together several times what all threads carry.
const CONNECTIONS: usize = 12;
const CALLS: usize = 1_000;
/// The setting with the size of the table for headers: none, so that answers can be read one by one.
const HEADER_TABLE: u16 = 1;

fn stream_number(index: usize) -> u32 {
    u32::try_from(2 * index + 1).unwrap()
}

fn account(connection: usize) -> String {
    format!("rush-{connection}")
}

/// A caller by hand, and what came of its calls.
struct Caller {
    wire: Wire,
    connection: usize,
    asked_count: usize,
    accepted_count: usize,
    /// The headers of refusals, and how often they came.
    refusals: BTreeMap<Vec<Field>, usize>,
    /// It has read that it has no table.
    is_told: bool,
}

impl Caller {
    async fn connect(server: &Server, connection: usize) -> Self {
        let mut wire = Wire::connect(server.address()).await;
        wire.begin(&setting(HEADER_TABLE, 0)).await;
        // Room for all answers, and what the server says of its own.
        wire.send(&frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes())).await;
        wire.settle().await.expect("the server has begun");
        Self { wire, connection, asked_count: 0, accepted_count: 0, refusals: BTreeMap::new(), is_told: false }
    }

    /// Makes so many calls at once, and reads until each has its end; how many were accepted.
    async fn ask(&mut self, count: usize) -> usize {
        let (first, accepted_before) = (self.asked_count, self.accepted_count);
        self.asked_count += count;
        let headers = call(ACCRUE);
        let mut bytes = Vec::new();
        for index in first..self.asked_count {
            let request = accrual(&format!("rush-{}-{index}", self.connection), &account(self.connection), 300);
            bytes.extend(frame(HEADERS, END_HEADERS, stream_number(index), &headers));
            bytes.extend(frame(DATA, END_STREAM, stream_number(index), &message(&request.encode_to_vec())));
        }
        assert!(self.wire.send(&bytes).await);
        let mut answers: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        let mut ended = BTreeSet::new();
        while ended.len() < count {
            let Frame { kind, flags, stream, payload } = self.wire.next().await.expect("the connection stays");
            assert!(kind != RST_STREAM && kind != GOAWAY, "call {stream} is answered");
            if kind == HEADERS && !self.is_told {
                // The size of the table (RFC 7541, sections 4.2 and 6.3), whoever writes the first headers behind the settings.
                assert_eq!(payload.first(), Some(&0x20), "whoever keeps no table must be told so before anything else");
                self.is_told = true;
            }
            match kind {
                DATA => answers.entry(stream).or_default().extend(payload),
                HEADERS if flags & END_STREAM != 0 => {
                    assert!(ended.insert(stream), "call {stream} ends once");
                    self.take(answers.remove(&stream), &payload);
                }
                _ => {}
            }
        }
        self.accepted_count - accepted_before
    }

    fn take(&mut self, answer: Option<Vec<u8>>, headers: &[u8]) {
        let Some(answer) = answer else {
            let fields = fields_without_table(headers).expect("they can be read one by one");
            *self.refusals.entry(fields).or_default() += 1;
            return;
        };
        let answer = api::AccrueResponse::decode(&answer[5..]).unwrap().decision.unwrap();
        assert_eq!((answer.granted_points, answer.replayed), (3, false), "{answer:?}");
        self.accepted_count += 1;
    }
}

/// Sends all calls at once; then one by one until one is accepted: the connection is as good as new.
async fn rush(server: &Server, connection: usize) -> Caller {
    let mut caller = Caller::connect(server, connection).await;
    caller.ask(CALLS).await;
    while caller.ask(1).await == 0 {}
    caller
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_too_much_is_told_so_and_whoever_is_answered_has_it_for_good() {
    let site = Site::new().with_program(&plain_program(&[("balance_max = 100_000", "balance_max = 1_000_000")]));
    let site = site.with("metrics_listen", "127.0.0.1:0");
    let server = site.start().await;
    let mut rushing = tokio::task::JoinSet::new();
    let server = Arc::new(server);
    for connection in 0..CONNECTIONS {
        let server = server.clone();
        rushing.spawn(async move { rush(&server, connection).await });
    }
    let mut ledger = LedgerServiceClient::new(connect(server.address()).await);
    let (mut refusals, mut asked_count) = (BTreeMap::<Vec<Field>, usize>::new(), 0);
    while let Some(rushed) = rushing.join_next().await {
        let caller = rushed.unwrap();
        let request = api::GetBalanceRequest { account_id: account(caller.connection), ..<_>::default() };
        let balance = ledger.get_balance(request).await.unwrap().into_inner().wallets[0].balance_points;
        assert_eq!(balance, 3 * i64::try_from(caller.accepted_count).unwrap(), "connection {}", caller.connection);
        asked_count += caller.asked_count;
        caller.refusals.into_iter().for_each(|(fields, count)| *refusals.entry(fields).or_default() += count);
    }
    let refused_count: usize = refusals.values().sum();
    assert!(refused_count > 0, "{} calls at once are too many", CONNECTIONS * CALLS);
    // Wherever a call was refused, it was told the same.
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    let fields = refusals.into_keys().next().unwrap();
    let value = |name: &str| fields.iter().find(|field| field.0 == name.as_bytes()).map(|field| field.1.clone());
    assert_eq!(value("grpc-status"), Some(b"8".to_vec()));
    assert!(value("grpc-status-details-bin").is_some(), "it says when to come back: {fields:?}");
    let scraped = Scraped::of(metrics_address(&site));
    let counted = scraped.value("tallystick_refusals_total{refusal=\"overloaded\"}") as usize;
    assert_eq!(counted, refused_count, "each refusal is counted once");
    let calls = scraped.value("tallystick_calls_total{method=\"Accrue\"}") as usize;
    assert_eq!(calls, asked_count, "and each call");
    let server = Arc::into_inner(server).expect("nobody else holds it");
    let end = server.terminate().await;
    assert_eq!(end.code, Some(0), "{}", end.errors);
    verify_directory(site.data());
}

/// Calls whose messages never come wait for nothing that a till needs.
#[tokio::test(flavor = "multi_thread")]
async fn who_only_begins_calls_takes_up_nobody_s_place() {
    let scene = Scene::open(&[]).await;
    let headers = call(ACCRUE);
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut wire = scene.wire().await;
        let begun: Vec<u8> = (0..limits::CONNECTION_STREAMS_MAX as usize - 1)
            .flat_map(|index| frame(HEADERS, END_HEADERS, stream_number(index), &headers))
            .collect();
        assert!(wire.send(&begun).await);
        wire.settle().await.expect("there is nothing wrong with it yet");
        held.push(wire);
    }
    // The scene's till is answered well all the time, and so are new ones on any thread.
    scene.is_calm().await;
    for number in 0..4 {
        let mut ledger = LedgerServiceClient::new(scene.channel().await);
        let answer = ledger.accrue(accrual(&format!("new-{number}"), "anna", 300)).await.unwrap().into_inner();
        assert_eq!(answer.decision.unwrap().granted_points, 3);
    }
    drop(held);
    scene.close().await;
}
