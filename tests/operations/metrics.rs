//! Metrics and health over HTTP: what is documented is shown, from the start, and says what happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tallystick::config::Config;
use tallystick::ledger::decision::Refusal;
use tallystick::limits;
use tallystick::service::wire::{Command, CommandStreamRequest};
use tallystick::store::faults::FaultyStore;
use tallystick::store::memory::MemoryStore;
use tallystick::telemetry::calls::STREAMS;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::blackbox::{END_WITHIN, Site, calls, wait_for};
use crate::scraped::{Scraped, get, metrics_address};
use crate::support::watched::GatedStore;
use crate::support::{Shop, accrual, config, connect};
use crate::{read, repository};

/// The rows of the table of series: type, unit, label, meaning by name.
fn documented() -> BTreeMap<String, [String; 4]> {
    let text = read("docs/metrics.md");
    let table = text.split("## Series").nth(1).unwrap().split("\n## ").next().unwrap().to_owned();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<String> =
            row.trim_matches('|').split(" | ").map(|cell| cell.trim().replace(['`', '–'], "")).collect();
        let [name, rest @ ..] = <[String; 5]>::try_from(cells).unwrap();
        (name, rest)
    })
    .collect()
}

/// The methods of all services, from the wire contract; those alone that are declared so.
fn declared(so: &str) -> BTreeSet<String> {
    let folder = std::fs::read_dir(repository("proto/tallystick/v1")).unwrap();
    let texts = folder.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    let all: String = texts.collect();
    let methods = all.lines().filter_map(|line| line.trim().strip_prefix("rpc ")).filter(|method| method.contains(so));
    methods.filter_map(|method| method.split('(').next().map(str::to_owned)).collect()
}

fn methods() -> BTreeSet<String> {
    declared("").into_iter().chain(["other".to_owned()]).collect()
}

#[test]
fn the_streams_that_are_watched_to_their_end_are_those_of_the_contract() {
    assert_eq!(STREAMS.map(str::to_owned).into_iter().collect::<BTreeSet<_>>(), declared("returns (stream "));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_series_is_shown_from_the_start_at_zero_and_no_other_is() {
    let site = Site::new().with("metrics_listen", "127.0.0.1:0").with("workers", "2");
    let server = site.start().await;
    let scraped = Scraped::of(metrics_address(&site));
    let shown: BTreeMap<String, [String; 4]> = scraped
        .0
        .iter()
        .map(|(name, of)| (name.clone(), [&of.kind, &of.unit, &of.label, &of.meaning].map(Clone::clone)))
        .collect();
    assert_eq!(documented(), shown, "docs/metrics.md says what is shown");

    let set = |name: &str| scraped.label_values(name).into_iter().collect::<BTreeSet<_>>();
    let snake = |refusal: Refusal| {
        let mut name = String::new();
        for letter in format!("{refusal:?}").chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    };
    assert_eq!(set("tallystick_refusals_total"), Refusal::ALL.into_iter().map(snake).collect());
    assert_eq!(set("tallystick_calls_total"), methods());
    assert_eq!(set("tallystick_call_seconds"), methods());
    assert_eq!(set("tallystick_stage_seconds").len(), 6);
    assert_eq!(set("tallystick_jobs_total"), ["0".to_owned(), "1".to_owned()].into());
    for name in ["tallystick_refusals_total", "tallystick_calls_total", "tallystick_commands_total"] {
        assert!(scraped.0[name].samples.values().all(|value| *value == 0.0), "{name} begins at zero");
    }
    assert_eq!(scraped.value("tallystick_ready"), 1.0);
    assert_eq!(server.terminate().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_is_what_is_shown() {
    let site = Site::new().with("metrics_listen", "127.0.0.1:0");
    let server = site.start().await;
    let mut clients = server.connect().await;
    let now = calls::now();
    for number in 0..20 {
        let request = calls::accrual(&format!("t{number}"), &format!("member-{number}"), now, 500);
        clients.ledger.accrue(request).await.unwrap();
    }
    // The same again, another under its id, its receipt under another id, one that is malformed, and a batch.
    let first = calls::accrual("t0", "member-0", now, 500);
    clients.ledger.accrue(first.clone()).await.unwrap();
    clients.ledger.accrue(calls::accrual("t0", "member-0", now, 600)).await.unwrap();
    let harvested = tallystick::service::wire::AccrueRequest { transaction_id: "other".to_owned(), ..first.clone() };
    clients.ledger.accrue(harvested.clone()).await.unwrap();
    clients.ledger.accrue(calls::accrual("", "member-0", now, 500)).await.unwrap_err();
    let batch = vec![first, harvested, calls::accrual("b0", "member-0", now, 500)];
    let batch = tallystick::service::wire::AccrueBatchRequest { requests: batch };
    clients.ledger.accrue_batch(batch).await.unwrap();
    let status = clients.admin.get_status(tallystick::service::wire::GetStatusRequest { digest: false }).await.unwrap();
    let status = status.into_inner();
    clients.admin.take_snapshot(tallystick::service::wire::TakeSnapshotRequest {}).await.unwrap();

    let scraped = Scraped::of(metrics_address(&site));
    let rows = [
        ("tallystick_commands_total{outcome=\"accepted\"}", 21.0),
        ("tallystick_commands_total{outcome=\"replayed\"}", 2.0),
        ("tallystick_commands_total{outcome=\"refused\"}", 4.0),
        ("tallystick_refusals_total{refusal=\"transaction_id_reused\"}", 1.0),
        ("tallystick_refusals_total{refusal=\"receipt_already_earned\"}", 2.0),
        ("tallystick_refusals_total{refusal=\"invalid_command\"}", 1.0),
        ("tallystick_call_failures_total{code=\"invalid_argument\"}", 1.0),
        ("tallystick_calls_total{method=\"Accrue\"}", 24.0),
        ("tallystick_calls_total{method=\"AccrueBatch\"}", 1.0),
        ("tallystick_calls_total{method=\"TakeSnapshot\"}", 1.0),
        ("tallystick_stage_seconds_count{stage=\"reply\"}", 21.0),
        ("tallystick_stage_seconds_count{stage=\"commit_wait\"}", 21.0),
        ("tallystick_journal_end_position", (status.durable_position.unwrap() + 1) as f64),
        ("tallystick_commit_records_sum", (status.durable_position.unwrap() + 1) as f64),
        ("tallystick_journal_bytes", status.journal_bytes as f64),
        ("tallystick_snapshot_seconds_count", 1.0),
        ("tallystick_connections", 1.0),
        ("tallystick_calls_in_flight", 0.0),
    ];
    for (sample, expected) in rows {
        assert_eq!(scraped.value(sample), expected, "{sample}");
    }
    assert!(status.journal_bytes_exact, "a new journal is measured at once");
    for stage in ["queue", "decide", "encode", "sync"] {
        let [count, sum] =
            ["count", "sum"].map(|of| scraped.value(&format!("tallystick_stage_seconds_{of}{{stage=\"{stage}\"}}")));
        assert!(count > 0.0 && sum > 0.0, "{stage} was measured: {count} {sum}");
    }
    assert!(scraped.value("tallystick_snapshot_age_seconds") > 0.0);
    assert!(scraped.value("tallystick_call_seconds_count{method=\"Accrue\"}") >= 1.0);
    let jobs: f64 = scraped.0["tallystick_jobs_total"].samples.values().sum();
    assert!(jobs >= 21.0, "{jobs}");
    assert_eq!(server.terminate().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_ends_early_is_a_failure_with_the_status_behind_its_results() {
    let site = Site::new().with("metrics_listen", "127.0.0.1:0");
    let server = site.start().await;
    let mut clients = server.connect().await;
    let streams = [(1, 0.0), (limits::BATCH_COMMANDS_MAX + 1, 1.0)];
    for (count, failures) in streams {
        let request = CommandStreamRequest { commands: vec![Command::default(); count] };
        let answer = clients.ledger.command_stream(tokio_stream::iter([request])).await;
        let mut results = answer.expect("its head says nothing of its end").into_inner();
        let end = loop {
            match results.message().await {
                Ok(Some(_)) => {}
                other => break other.map(drop),
            }
        };
        assert_eq!(end.is_err(), failures > 0.0, "{end:?}");
        let scraped = Scraped::of(metrics_address(&site));
        assert_eq!(scraped.value("tallystick_call_failures_total{code=\"invalid_argument\"}"), failures);
    }
    let scraped = Scraped::of(metrics_address(&site));
    assert_eq!(scraped.value("tallystick_calls_total{method=\"CommandStream\"}"), 2.0);
    assert_eq!(server.terminate().await.code, Some(0));
}

fn observed() -> Config {
    Config { metrics_listen: Some("127.0.0.1:0".to_owned()), ..config() }
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_and_health_turn_for_everyone_at_the_instant_of_the_stop() {
    let store = GatedStore::for_synced();
    let shop = Shop::open_on(store.clone(), observed()).await;
    let metrics = shop.running.ready.metrics_address.unwrap();
    assert_eq!(get(metrics, "/readyz"), (200, "serving\n".to_owned()));
    let mut health = HealthClient::new(connect(&shop.running).await);
    // A call that is under way keeps the server from ending.
    store.close();
    let mut ledger = shop.ledger.clone();
    let under_way = tokio::spawn(async move { ledger.accrue(accrual("t1", "anna", 100)).await });
    wait_for("the call to be under way", END_WITHIN, async || {
        (Scraped::of(metrics).value("tallystick_durable_lag_seconds") > 0.0).then_some(())
    })
    .await;
    let names = ["", "tallystick.v1.LedgerService", "tallystick.v1.ProgramService", "tallystick.v1.AdminService"];
    let stopped = tokio::spawn(shop.running.shutdown());
    wait_for("the server to be unready", END_WITHIN, async || (get(metrics, "/readyz").0 == 503).then_some(())).await;
    for name in names {
        let request = HealthCheckRequest { service: name.to_owned() };
        let status = health.check(request).await.unwrap().into_inner().status();
        assert_eq!(status, ServingStatus::NotServing, "{name:?}");
    }
    assert_eq!(get(metrics, "/readyz"), (503, "stopping\n".to_owned()));
    assert_eq!(get(metrics, "/healthz"), (200, "stopping\n".to_owned()));
    store.open();
    let decision = under_way.await.unwrap().unwrap().into_inner().decision.unwrap();
    assert_eq!(decision.granted_points, 1);
    stopped.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_failed_is_neither_ready_nor_live() {
    let store = FaultyStore::new(MemoryStore::new(), "sync@30".parse().unwrap());
    let mut shop = Shop::open_on(Arc::new(store), observed()).await;
    let metrics = shop.running.ready.metrics_address.unwrap();
    assert_eq!(get(metrics, "/healthz").0, 200);
    let mut number = 0;
    while shop.ledger.accrue(accrual(&format!("t{number}"), "anna", 100)).await.is_ok() {
        number += 1;
    }
    assert_eq!(get(metrics, "/healthz"), (503, "failed\n".to_owned()));
    assert_eq!(get(metrics, "/readyz").0, 503);
    assert_eq!(get(metrics, "/nothing").0, 404);
    shop.running.shutdown().await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_hold_up_no_more_than_the_port_of_metrics() {
    use std::io::{ErrorKind, Read, Write};
    use std::net::TcpStream;
    use std::time::Duration;

    let site = Site::new().with("metrics_listen", "127.0.0.1:0");
    let server = site.start().await;
    let address = metrics_address(&site);
    let mut silent: Vec<TcpStream> = (0..64).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut next = TcpStream::connect(address).unwrap();
    next.write_all(b"GET /readyz HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n").unwrap();
    next.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let waits = next.read(&mut [0; 1]).unwrap_err();
    assert!([ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&waits.kind()), "{waits}");
    let mut clients = server.connect().await;
    let accrued = clients.ledger.accrue(calls::accrual("a", "m1", calls::now(), 500)).await;
    assert!(accrued.is_ok(), "tills are on another port");
    drop(silent.pop());
    next.set_read_timeout(Some(END_WITHIN)).unwrap();
    let mut answer = String::new();
    next.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(silent);
    assert_eq!(server.terminate().await.code, Some(0));
}
