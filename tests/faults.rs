//! What the server does when its data directory or its disk lets it down: it refuses to start, or stops at once and
//! ends with a number that says why, and never says anything that a restart could take back.
//!
//! Numbers stand here as numbers: scripts and service managers go by them.
#![cfg(all(feature = "server", feature = "rocksdb"))]

mod blackbox;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use blackbox::load::Load;
use blackbox::oracle::{Oracle, send};
use blackbox::{Clients, End, Random, Server, Site, calls, is_said_to_lack, verify_directory, wait_for, within_time};
use tallystick::service::wire;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

const OK: i32 = 0;
/// The directory cannot be made, is read-only, or is in use.
const CANNOT_CREATE: i32 = 73;
/// Input or output failed, or the disk is full.
const IO_FAILURE: i32 = 74;

/// A server that cannot go on ends within this; it promises a second, the machine may be busy.
const GIVES_UP_WITHIN: Duration = Duration::from_secs(5);

/// Asserts how a server ended: its number, and what it told the operator.
fn assert_end(end: &End, code: i32, fragments: &[&str]) {
    assert_eq!(end.code, Some(code), "standard error: {}", end.errors);
    for fragment in fragments {
        assert!(end.errors.contains(fragment), "standard error does not say {fragment:?}: {}", end.errors);
    }
}

async fn health(clients: &Clients) -> Result<ServingStatus, tonic::Status> {
    let request = HealthCheckRequest { service: String::new() };
    let response = clients.health.clone().check(request).await?;
    Ok(response.into_inner().status())
}

/// Sends one new accrual and notes its answer.
async fn accrue(oracle: &Oracle, clients: &mut Clients, id: &str) -> Result<(), tonic::Status> {
    let command = calls::accrue(calls::accrual(id, "member-1", calls::now(), 500));
    oracle.ask(0, "member-1", &command);
    send(oracle, clients, &command).await
}

#[tokio::test]
async fn a_second_server_on_one_directory_is_refused_and_the_first_goes_on() {
    let site = Site::new();
    let server = site.start().await;
    let mut clients = server.connect().await;
    let oracle = Oracle::default();
    accrue(&oracle, &mut clients, "before").await.expect("the first server serves");
    let end = site.start_refused().await;
    assert_end(&end, CANNOT_CREATE, &[&site.data().display().to_string(), "in use by another process"]);
    accrue(&oracle, &mut clients, "after").await.expect("the first server goes on");
    oracle.check_history(&clients).await;
    assert_eq!(server.terminate().await.code, Some(OK));
    // The directory is free again.
    assert_eq!(site.start().await.terminate().await.code, Some(OK));
}

/// A file system of its own in memory; taken down with the test.
struct Mount {
    path: PathBuf,
}

impl Mount {
    /// Mounts it, or says why that is not to be had here.
    fn in_memory(path: PathBuf, size: &str) -> Result<Self, String> {
        std::fs::create_dir_all(&path).map_err(|error| error.to_string())?;
        mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], &path)?;
        Ok(Self { path })
    }

    fn change(&self, options: &str) {
        mount(&["-o", &format!("remount,{options}")], &self.path).expect("what was mounted can be mounted again");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: what still has a file open must not keep the test from ending.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

fn mount(arguments: &[&str], path: &Path) -> Result<(), String> {
    let output = Command::new("mount").args(arguments).arg(path).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// A file system of the test's own, unless it is said that there is none to be had here.
fn mounted(site: &Site, size: &str) -> Option<Mount> {
    if is_said_to_lack("TALLYSTICK_WITHOUT_MOUNT") {
        return None;
    }
    let mount = Mount::in_memory(site.root().join("disk"), size);
    Some(mount.expect("a file system can be mounted, or TALLYSTICK_WITHOUT_MOUNT=1 says that none can"))
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_refused_and_stays_as_it_is() {
    let site = Site::new();
    let Some(mount) = mounted(&site, "256m") else { return };
    let site = site.with_data(mount.path.join("data"));
    let oracle = Oracle::default();
    let server = site.start().await;
    accrue(&oracle, &mut server.connect().await, "kept").await.expect("the server serves");
    assert_eq!(server.terminate().await.code, Some(OK));

    mount.change("ro");
    let end = site.start_refused().await;
    assert_end(&end, CANNOT_CREATE, &[&site.data().display().to_string(), "cannot be written", "Read-only"]);
    let new = Site::new().with_data(mount.path.join("new"));
    assert_end(&new.start_refused().await, CANNOT_CREATE, &[&new.data().display().to_string()]);

    mount.change("rw");
    let server = site.start().await;
    let clients = server.connect().await;
    oracle.check_after_restart(&clients, 0).await;
    oracle.check_history(&clients).await;
    server.kill9();
}

#[tokio::test]
async fn a_full_disk_stops_the_server_and_loses_nothing_that_was_acknowledged() {
    let site = Site::new();
    let Some(mount) = mounted(&site, "8m") else { return };
    let site = site.with_data(mount.path.join("data"));
    let oracle = Oracle::default();
    let server = site.start().await;
    let clients = server.connect().await;
    let status = fill_the_disk(&oracle, &clients).await;
    assert!(calls::asks_for_a_retry(&status), "{status:?}");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_ended_after_failure(server, &clients, "no space is left on the device").await;

    // Whatever the end of the process gave back is taken, so that the next one finds no room even for its trial write.
    let filler = mount.path.join("filler");
    take_what_is_left(&filler);
    assert_end(&site.start_refused().await, IO_FAILURE, &["no space is left on the device"]);
    std::fs::remove_file(&filler).expect("a file of ours can be removed");
    mount.change("size=512m");
    let server = site.start().await;
    let clients = server.connect().await;
    oracle.check_after_restart(&clients, 0).await;
    oracle.check_history(&clients).await;
    assert_eq!(server.terminate().await.code, Some(OK));
    verify_directory(site.data());
}

/// Writes a file until its disk is full.
fn take_what_is_left(path: &std::path::Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).expect("a full disk still takes a name");
    for bytes in [&[0_u8; 4_096][..], &[0_u8][..]] {
        while file.write_all(bytes).is_ok() {}
    }
}

/// Sends batches of long baskets until a call fails.
async fn fill_the_disk(oracle: &Oracle, clients: &Clients) -> tonic::Status {
    let receipt_time = calls::now();
    for batch in 0..1_000 {
        let id = |index| format!("long-{batch}-{index}");
        let requests: Vec<wire::AccrueRequest> = (0..100)
            .map(|index| wire::AccrueRequest {
                basket: Some(calls::long_basket(&id(index), receipt_time)),
                ..calls::accrual(&id(index), "member-1", receipt_time, 0)
            })
            .collect();
        for request in &requests {
            oracle.ask(0, "member-1", &calls::accrue(request.clone()));
        }
        match clients.ledger.clone().accrue_batch(wire::AccrueBatchRequest { requests }).await {
            Ok(response) => {
                for (index, decision) in response.into_inner().decisions.into_iter().enumerate() {
                    oracle.answered(&id(index), decision);
                }
            }
            Err(status) => return status,
        }
    }
    panic!("a small disk is full after a thousand batches");
}

/// After a failed write or sync: nothing is answered, and the process ends with the number for it and the cause.
async fn assert_ended_after_failure(server: Server, clients: &Clients, cause: &str) {
    let request = wire::GetBalanceRequest { account_id: "member-1".to_owned(), ..<_>::default() };
    let answer = clients.ledger.clone().get_balance(request).await;
    let status = answer.expect_err("after the failure nothing is answered any more, not even a read");
    assert!(calls::asks_for_a_retry(&status), "{status:?}");
    // Health is told to each who asks in turn, so it may be a moment behind.
    wait_for("health to be told", GIVES_UP_WITHIN, async || match health(clients).await {
        Ok(status) => (status == ServingStatus::NotServing).then_some(()),
        // It is gone already.
        Err(status) => calls::reason_of(&status).is_empty().then_some(()),
    })
    .await;
    let end = within_time("the end after a failure", GIVES_UP_WITHIN, server.end()).await;
    assert_end(&end, IO_FAILURE, &[cause]);
}

/// One caller against a server whose disk fails at a synced write; returns the id of the command that got no answer.
async fn accrue_until_failure(site: &Site, oracle: &Oracle, plan: &str, cause: &str) -> String {
    let server = site.start_with(&[("faults", plan)]).await;
    let mut clients = server.connect().await;
    let mut watched = {
        let request = HealthCheckRequest { service: "tallystick.v1.LedgerService".to_owned() };
        clients.health.watch(request).await.expect("health can be watched").into_inner()
    };
    let first = watched.message().await.expect("the first status comes at once").expect("there is one");
    assert_eq!(first.status(), ServingStatus::Serving);
    for number in 0..200 {
        let id = format!("{plan}-{number}");
        if let Err(status) = accrue(oracle, &mut clients, &id).await {
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
            assert_eq!(calls::reason_of(&status), "OUTCOME_UNKNOWN", "{status:?}");
            assert!(number > 5, "the plan lets the server begin its work");
            let next = within_time("a change of health", GIVES_UP_WITHIN, watched.message()).await;
            let next = next.expect("the last status comes before the connection ends").expect("there is one");
            assert_eq!(next.status(), ServingStatus::NotServing);
            assert_ended_after_failure(server, &clients, cause).await;
            return id;
        }
    }
    panic!("the fault of {plan} did not strike");
}

/// Restarts without faults: says whether the command without an answer had taken effect, and checks the rest.
async fn effect_after_restart(site: &Site, oracle: &Oracle, id: &str) -> bool {
    let server = site.start().await;
    let mut clients = server.connect().await;
    let open = oracle.unanswered();
    assert_eq!(open.iter().map(calls::id_of).collect::<Vec<_>>(), [id]);
    let Some(wire::command::Command::Accrue(request)) = open[0].command.clone() else { panic!("it was an accrual") };
    let decision = clients.ledger.accrue(request).await.expect("the server serves again").into_inner().decision;
    let decision = decision.expect("every response has a decision");
    let replayed = decision.replayed;
    oracle.answered(id, decision);
    oracle.check_after_restart(&clients, 0).await;
    oracle.check_history(&clients).await;
    assert_eq!(server.terminate().await.code, Some(OK));
    verify_directory(site.data());
    replayed
}

#[tokio::test]
async fn after_a_failed_write_the_server_ends_and_the_command_was_never_there() {
    let (site, oracle) = (Site::new(), Oracle::default());
    let id = accrue_until_failure(&site, &oracle, "write@60:disk-full", "no space is left on the device").await;
    assert!(!effect_after_restart(&site, &oracle, &id).await, "what was not written did not happen");
}

#[tokio::test]
async fn after_a_failed_sync_the_server_ends_and_the_command_happens_once() {
    let (site, oracle) = (Site::new(), Oracle::default());
    let id = accrue_until_failure(&site, &oracle, "sync@60:io", "during a sync").await;
    assert!(effect_after_restart(&site, &oracle, &id).await, "what was written is answered again, not done again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_under_load_takes_nothing_back() {
    let (site, oracle) = (Site::new(), Arc::new(Oracle::default()));
    let mut random = Random::new(3);
    for (round, plan) in ["write@300", "sync@300", "write@250:disk-full"].into_iter().enumerate() {
        let server = site.start_with(&[("faults", plan)]).await;
        let load = Load::new(oracle.clone(), round as u64, calls::now(), 16);
        load.let_go();
        let mut callers = load.begin(&server, 12, &mut random).await;
        let end = server.end().await;
        assert_end(&end, IO_FAILURE, &[if plan.contains("full") { "no space" } else { "the test asked for" }]);
        while let Some(caller) = callers.join_next().await {
            caller.expect("no caller met anything that it must not meet");
        }
        let server = site.start().await;
        oracle.check_after_restart(&server.connect().await, 0).await;
        server.kill9();
    }
    let server = site.start().await;
    oracle.check_history(&server.connect().await).await;
    assert_eq!(server.terminate().await.code, Some(OK));
    verify_directory(site.data());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asked_to_stop_under_load_the_server_keeps_every_answer_and_refuses_the_rest() {
    let (site, oracle) = (Site::new(), Arc::new(Oracle::default()));
    let mut random = Random::new(4);
    let server = site.start().await;
    let load = Load::new(oracle.clone(), 0, calls::now(), 16);
    let mut callers = load.begin(&server, 12, &mut random).await;
    let idle = idle_stream(server.connect().await);
    wait_for("a thousand answers", Duration::from_secs(30), async || (oracle.counts().1 >= 1_000).then_some(())).await;
    load.let_stop();
    let end = server.terminate().await;
    assert_end(&end, OK, &[]);
    while let Some(caller) = callers.join_next().await {
        caller.expect("no caller met anything that it must not meet");
    }
    let status = idle.await.expect("the caller of an idle stream does not panic");
    let told = (status.code(), calls::reason_of(&status));
    assert_eq!(told, (Code::Unavailable, "SHUTTING_DOWN".to_owned()), "an idle stream is told to come back");

    let (asked, answered) = oracle.counts();
    println!("{asked} commands, {answered} answered before the stop");
    let server = site.start().await;
    let clients = server.connect().await;
    oracle.check_after_restart(&clients, 0).await;
    oracle.check_history(&clients).await;
    assert_eq!(server.terminate().await.code, Some(OK));
    verify_directory(site.data());
}

/// Opens a stream on which nothing is sent; gives the status with which it ends.
fn idle_stream(clients: Clients) -> tokio::task::JoinHandle<tonic::Status> {
    tokio::spawn(async move {
        let call = clients.ledger.clone().command_stream(tokio_stream::pending()).await;
        let mut results = call.expect("a healthy server takes a stream").into_inner();
        match results.message().await {
            Ok(message) => panic!("nothing was sent, and {message:?} came"),
            Err(status) => status,
        }
    })
}
