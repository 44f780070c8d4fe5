//! kill -9 under load, again and again, with an outside oracle over every answer: what was acknowledged survives with
//! the same decision in the same place, what was not gets one effect when it is tried again, and in the end every
//! balance is the sum of the decisions.
//!
//! kill -9 leaves the page cache in place, so this tests what the process does, not what a loss of power does; that is
//! the simulator's part. `TALLYSTICK_KILL_ROUNDS` and `TALLYSTICK_KILL_SEED` change how long and which way it goes.
#![cfg(all(feature = "server", feature = "rocksdb"))]

mod blackbox;

use std::sync::Arc;
use std::time::Duration;

use blackbox::load::Load;
use blackbox::oracle::Oracle;
use blackbox::{Random, Server, Site, calls, number_from_environment, verify_directory};
use tokio::task::JoinSet;

/// A cap that busy accounts reach within the test, so that room that reversals give back is exact as well.
const PROGRAM: &str = r#"
[program]
name = "kill-loop"
currency = "EUR"
time_zone = "UTC"

[[wallets]]
name = "points"

[earn]
wallet = "points"
units = 1
per_minor = 100
rounding = "floor"
stacking = "best-of"

[[caps]]
name = "daily-points"
measure = "units"
window = "day"
limit = 200
"#;
const DAILY_POINTS: i64 = 200;
const ACCOUNTS: u64 = 32;
/// Rounds whose answers are all asked for again after each kill; in the end those of all rounds are.
const ROUNDS_ASKED_AGAIN: u64 = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_is_lost_and_none_takes_effect_twice() {
    let rounds = number_from_environment("TALLYSTICK_KILL_ROUNDS", 50);
    let seed = number_from_environment("TALLYSTICK_KILL_SEED", 1);
    println!("{rounds} rounds from seed {seed}");
    let mut random = Random::new(seed);
    let site = Site::new().with_program(PROGRAM);
    let oracle = Arc::new(Oracle::default());
    let receipt_time = calls::now();
    for round in 0..rounds {
        let server = start(&site, &mut random).await;
        let clients = server.connect().await;
        oracle.check_after_restart(&clients, round.saturating_sub(ROUNDS_ASKED_AGAIN)).await;
        let load = Load::new(oracle.clone(), round, receipt_time, ACCOUNTS);
        let caller_count = 8 + random.below(9);
        let callers = load.begin(&server, caller_count, &mut random).await;
        tokio::time::sleep(Duration::from_millis(20 + random.below(131))).await;
        load.let_go();
        server.kill9();
        finished(callers).await;
    }
    let (asked, answered) = oracle.counts();
    println!("{asked} commands, {answered} answered so far");
    assert!(answered > 0 && asked > answered, "the kills came while calls were under way");

    let server = start(&site, &mut random).await;
    let clients = server.connect().await;
    oracle.check_after_restart(&clients, 0).await;
    oracle.check_history(&clients).await;
    check_daily_cap(&oracle);
    let end = server.terminate().await;
    assert_eq!(end.code, Some(0), "a server that is asked to stop ends well: {}", end.errors);
    verify_directory(site.data());
}

/// Every start goes another way through recovery: other worker counts, snapshots often or never, ids on disk or not.
async fn start(site: &Site, random: &mut Random) -> Server {
    let workers = (1 + random.below(3)).to_string();
    let snapshot_records = [200, 2_000, 1_000_000][random.below(3) as usize].to_string();
    let ids_memory_max = [0, 2_048, 1_000_000][random.below(3) as usize].to_string();
    let settings = [
        ("workers", workers.as_str()),
        ("snapshot_records", &snapshot_records),
        ("snapshot_interval_ms", "0"),
        ("ids_segment", "1024"),
        ("ids_memory_max", &ids_memory_max),
    ];
    site.start_with(&settings).await
}

async fn finished(mut callers: JoinSet<()>) {
    let all = async {
        while let Some(caller) = callers.join_next().await {
            caller.expect("no caller met anything that it must not meet");
        }
    };
    blackbox::within_time("the callers of a dead server", blackbox::END_WITHIN, all).await;
}

/// All baskets are of one day, so a balance is what is left of the day's cap: never over it, and reached to the last
/// point by every basket that was clipped.
fn check_daily_cap(oracle: &Oracle) {
    let mut clipped_count = 0;
    for asked in oracle.all() {
        let Some(decision) = asked.effect() else { continue };
        assert!(decision.balance_points <= DAILY_POINTS, "over the cap: {decision:?}");
        if !decision.clips.is_empty() {
            clipped_count += 1;
            assert_eq!(decision.balance_points, DAILY_POINTS, "clipped, though there was room: {decision:?}");
        }
    }
    println!("{clipped_count} baskets were clipped");
    assert!(clipped_count > 0, "the load reaches the cap");
}
