//! `tallystick status`: what it says about a server that has been through something.

use std::process::Command;
use std::sync::Arc;

use serde_json::Value;
use tallystick::journal::Journal;
use tallystick::journal::log::StoreJournal;
use tallystick::ledger::types::Position;
use tallystick::service::wire;
use tallystick::store::rocks::{RocksOptions, RocksStore};

use crate::blackbox::{Server, Site, calls, wait_for};

fn ask(server: &Server, is_json: bool) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tallystick"));
    command.args(["status", "--server", &format!("http://{}", server.address())]);
    if is_json {
        command.arg("--json");
    }
    let output = command.output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn status(server: &Server) -> Value {
    serde_json::from_str(&ask(server, true)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_exact_bytes_and_learns_how_long_a_recovery_takes() {
    let site = Site::new();
    let server = site.start().await;
    let fresh = status(&server);
    assert_eq!((&fresh["replay_speed_measured"], &fresh["snapshot"]), (&false.into(), &Value::Null));
    assert_eq!(fresh["queue_depth"], 4_096);
    let mut ledger = server.connect().await.ledger;
    let now = calls::now();
    for batch in 0..6 {
        let request = |item| calls::accrual(&format!("t{batch}-{item}"), &format!("member-{}", item % 97), now, 300);
        let requests = (0..4_000).map(request).collect();
        let decisions =
            ledger.accrue_batch(wire::AccrueBatchRequest { requests }).await.unwrap().into_inner().decisions;
        assert!(decisions.iter().all(|decision| decision.refusal.is_none()));
    }
    assert!(status(&server)["expected_recovery_ms"].as_i64() > Some(0), "24,000 records at an assumed speed");
    server.kill9();

    let server = site.start().await;
    let told = wait_for("the journal to be measured", crate::blackbox::END_WITHIN, async || {
        Some(status(&server)).filter(|told| told["journal_bytes_exact"] == true)
    })
    .await;
    assert_eq!(told["replay_speed_measured"], true, "{told}");
    assert!(told["replayed_record_count"].as_i64() >= Some(24_000), "{told}");
    for positive in ["uptime_ms", "recovery_ms", "connection_count", "call_count"] {
        assert!(told[positive].as_i64() > Some(0), "{positive}: {told}");
    }
    assert_eq!((&told["queued_job_count"], &told["durable_lag_ms"]), (&0.into(), &0.into()));
    server.connect().await.admin.take_snapshot(wire::TakeSnapshotRequest {}).await.unwrap();
    let after = status(&server);
    // Their ids are too few to be on disk: a recovery reads the records again, however new the snapshot is.
    assert!(after["expected_recovery_ms"].as_i64() >= told["expected_recovery_ms"].as_i64(), "{after}");
    assert!(after["snapshot"]["age_ms"].as_i64() >= Some(0));
    let words = ask(&server, false);
    assert!(words.contains("would take about") && !words.contains("assumed"), "{words}");
    assert_eq!(server.terminate().await.code, Some(0));

    let store = RocksStore::open(site.data(), &RocksOptions::default()).unwrap();
    let (mut bytes, mut records) = (0, 0);
    StoreJournal::new(Arc::new(store))
        .read(Position(0), &mut |frame| {
            bytes += tallystick::journal::frame::HEADER_BYTES as u64
                + u64::from(frame.header.body_bytes)
                + tallystick::journal::frame::HASH_BYTES as u64;
            records = frame.end().0;
            Ok(std::ops::ControlFlow::Continue(()))
        })
        .unwrap();
    assert_eq!((after["journal_bytes"].as_u64(), after["journal_record_count"].as_u64()), (Some(bytes), Some(records)));
}
