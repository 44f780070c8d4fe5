//! The process: health, reflection, stopping, failing, and the numbers it ends with.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tallystick::clock::{Clock, SystemClock};
use tallystick::ledger::types::{Position, TimestampNs};
use tallystick::service::wire;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tallystick::store::Store;
use tallystick::store::faults::FaultyStore;
use tallystick::store::memory::{FaultScript, MemoryStore};
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_for_the_server_and_each_service() {
    let shop = Shop::open().await;
    let mut health = HealthClient::new(connect(&shop.running).await);
    for service in ["", "tallystick.v1.LedgerService", "tallystick.v1.ProgramService", "tallystick.v1.AdminService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let response = health.check(request).await.unwrap().into_inner();
        assert_eq!(response.status(), ServingStatus::Serving, "{service}");
    }
    let request = HealthCheckRequest { service: String::new() };
    let mut watched = health.watch(request).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let stopped = tokio::spawn(shop.running.shutdown());
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    stopped.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_lists_the_services() {
    let shop = Shop::open().await;
    let mut reflection = ServerReflectionClient::new(connect(&shop.running).await);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut responses = reflection.server_reflection_info(tokio_stream::iter([request])).await.unwrap().into_inner();
    let response = responses.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = response else { panic!("{response:?}") };
    let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    for name in ["tallystick.v1.LedgerService", "tallystick.v1.AdminService", "grpc.health.v1.Health"] {
        assert!(names.contains(&name), "{name} is missing in {names:?}");
    }
}

/// The machine's clock, but no time goes by between two looks at it: what is to be done now and then is never due.
struct Still(SystemClock);

impl Clock for Still {
    fn now(&self) -> TimestampNs {
        self.0.now()
    }

    fn monotonic_ns(&self) -> i64 {
        0
    }
}

/// The last that a stop writes is the mark, which may be behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_in_order_though_the_mark_cannot_be_renewed_any_more() {
    let script = FaultScript { fail_mark_at: Some(1), ..FaultScript::default() };
    let store = Arc::new(MemoryStore::with_faults(script));
    let mut shop = Shop::open_by(store.clone(), config(), Arc::new(Still(SystemClock::new()))).await;
    shop.accrue(accrual("t-1", "a-1", 500)).await;
    let end = shop.running.shutdown().await.expect("whatever was acknowledged is durable");
    assert!(end > Position(0));
    assert_eq!(store.read_mark().unwrap(), None, "it was to be written for the first time, and could not be");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_answers_what_it_has_taken_on() {
    let shop = Shop::open_under(&plain_program(&[])).await;
    let store = shop.store.clone();
    let mut tills = Vec::new();
    for till in 0..8 {
        let mut ledger = shop.ledger.clone();
        tills.push(tokio::spawn(async move {
            let mut granted = 0;
            for number in 0.. {
                match ledger.accrue(accrual(&format!("t{till}-{number}"), &format!("a{till}"), 100)).await {
                    Ok(response) => granted += response.into_inner().decision.unwrap().granted_points,
                    Err(status) => {
                        // Refused by the server, or the connection is gone: never half an answer.
                        assert!([Code::Unavailable, Code::Cancelled].contains(&status.code()), "{status:?}");
                        break;
                    }
                }
            }
            (format!("a{till}"), granted)
        }));
    }
    // A stream that its caller leaves open must not hold the stop up.
    let (commands, sent) = tokio::sync::mpsc::channel(4);
    let mut ledger = shop.ledger.clone();
    let command = wire::Command { command: Some(wire::command::Command::Accrue(accrual("streamed", "streamed", 700))) };
    commands.send(wire::CommandStreamRequest { commands: vec![command] }).await.unwrap();
    let stream = tokio_stream::wrappers::ReceiverStream::new(sent);
    let mut results = ledger.command_stream(stream).await.unwrap().into_inner();
    assert_eq!(results.message().await.unwrap().unwrap().results.len(), 1);
    tokio::time::sleep(Duration::from_millis(100)).await;

    let stopped = tokio::time::timeout(Duration::from_secs(10), shop.running.shutdown()).await;
    stopped.expect("in time").unwrap();
    let end = results.message().await.unwrap_err();
    assert_eq!((end.code(), reason(&end).as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    drop(commands);
    let mut granted = vec![("streamed".to_owned(), 7)];
    for till in tills {
        granted.push(till.await.unwrap());
    }
    let mut shop = Shop::open_on(store, config()).await;
    for (account, granted) in granted {
        let balance = shop.balance(&account).await;
        // One command may have been decided whose answer met a closed connection.
        assert!(balance == granted || balance == granted + 1, "{account}: {balance}, told {granted}");
        assert!(granted > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_failed_says_so_and_answers_nothing_more() {
    let store = FaultyStore::new(MemoryStore::new(), "sync@30".parse().unwrap());
    let mut shop = Shop::open_on(Arc::new(store), config()).await;
    let mut health = HealthClient::new(connect(&shop.running).await);
    let mut number = 0;
    let status = loop {
        number += 1;
        if let Err(status) = shop.ledger.accrue(accrual(&format!("t{number}"), "anna", 100)).await {
            break status;
        }
    };
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "OUTCOME_UNKNOWN"));
    let status = shop.ledger.accrue(accrual("later", "anna", 100)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    let request = HealthCheckRequest { service: String::new() };
    assert_eq!(health.check(request).await.unwrap().into_inner().status(), ServingStatus::NotServing);
    let stopped = tokio::time::timeout(Duration::from_secs(5), shop.running.shutdown()).await.expect("in time");
    assert!(stopped.unwrap_err().to_string().contains("a sync"), "the cause is named");
}

/// The built program with a data directory.
struct Process {
    child: Child,
    address: String,
}

fn serve(data: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tallystick"));
    command.arg("serve").arg("--data").arg(data).args(["--workers", "2"]).args(options);
    if !options.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TALLYSTICK_")) {
        command.env_remove(name);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Process {
    fn start(data: &Path, options: &[&str]) -> Self {
        let mut process = Self { child: serve(data, options).spawn().unwrap(), address: String::new() };
        let mut out = BufReader::new(process.child.stdout.take().unwrap());
        let mut said = String::new();
        while process.address.is_empty() {
            let mut line = String::new();
            assert_ne!(out.read_line(&mut line).unwrap(), 0, "it ended: {said}{}", drain(&mut process.child));
            said.push_str(&line);
            if let Some(address) = line.strip_prefix("listening on ") {
                address.trim().clone_into(&mut process.address);
            }
        }
        assert!(said.contains("every reply is durable"));
        process
    }

    async fn ledger(&self) -> LedgerServiceClient<Channel> {
        let endpoint = Channel::from_shared(format!("http://{}", self.address)).unwrap();
        LedgerServiceClient::new(endpoint.connect().await.unwrap())
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// The number with which it ends, in time.
    fn end(mut self, patience: Duration) -> i32 {
        let rounds = patience.as_millis() / 10;
        for _ in 0..rounds {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().expect("it ended by itself");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it did not end in {patience:?}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn drain(child: &mut Child) -> String {
    let mut text = String::new();
    if let Some(error) = child.stderr.take() {
        let _ = std::io::Read::read_to_string(&mut BufReader::new(error), &mut text);
    }
    text
}

/// Runs to the end; the number and what was said on standard error.
fn ends_with(data: &Path, options: &[&str]) -> (i32, String) {
    let output = serve(data, options).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_serves_stops_on_a_signal_and_comes_back() {
    let root = tempfile::tempdir().unwrap();
    let (data, ready) = (root.path().join("data"), root.path().join("ready"));
    let process = Process::start(&data, &["--ready-file", ready.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(&ready).unwrap().trim(), process.address);
    let mut ledger = process.ledger().await;
    // The sample programme: a bean for every euro.
    let decision = ledger.accrue(accrual("t1", "anna", 1_000)).await.unwrap().into_inner().decision.unwrap();
    assert_eq!((decision.granted_points, decision.wallet.as_str()), (10, "beans"));
    let (number, said) = ends_with(&data, &[]);
    assert_eq!(number, 73, "{said}");
    assert!(said.contains("in use by another process"), "{said}");
    process.signal("TERM");
    assert_eq!(process.end(Duration::from_secs(10)), 0);

    let process = Process::start(&data, &["--clock", "system"]);
    let mut ledger = process.ledger().await;
    let again = ledger.accrue(accrual("t1", "anna", 1_000)).await.unwrap().into_inner().decision.unwrap();
    assert!(again.replayed);
    // The hard way: what was acknowledged is there.
    let decision = ledger.accrue(accrual("t2", "anna", 500)).await.unwrap().into_inner().decision.unwrap();
    process.signal("KILL");
    drop(process);
    let process = Process::start(&data, &[]);
    let request = wire::GetBalanceRequest { account_id: "anna".to_owned(), ..<_>::default() };
    let balance = process.ledger().await.get_balance(request).await.unwrap().into_inner();
    assert_eq!(balance.wallets[0].balance_points, decision.balance_points);
    process.signal("INT");
    assert_eq!(process.end(Duration::from_secs(10)), 0);
}

#[test]
fn a_start_that_cannot_be_ends_with_a_number_that_says_why() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    std::fs::write(at("file"), "not a directory").unwrap();
    std::fs::write(at("broken.toml"), "[program]\nname = 7\n").unwrap();
    std::fs::write(at("config.toml"), "workers = 0\nqueue = 3\n").unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let path = |name: &str| at(name).to_str().unwrap().to_owned();
    let rows: [(&str, Vec<String>, i32, &[&str]); 11] = [
        ("file", vec![], 73, &["file"]),
        ("file/below", vec![], 73, &["file"]),
        ("new", vec!["--program".to_owned(), path("broken.toml")], 65, &["broken.toml:2:8: error: "]),
        ("new", vec!["--program".to_owned(), path("missing.toml")], 65, &["missing.toml"]),
        (
            "new",
            vec!["--config".to_owned(), path("config.toml"), "--shard-count".to_owned(), "x".to_owned()],
            78,
            &["config.toml:1:11: ", "config.toml:2:1: `queue`", "--shard-count"],
        ),
        ("made", vec!["--clock".to_owned(), "input".to_owned()], 78, &["clock = system", "input"]),
        ("made", vec!["--shard-count".to_owned(), "9".to_owned()], 78, &["shard_count = 256", "9"]),
        ("made", vec!["--program".to_owned(), path("broken.toml")], 65, &["broken.toml:2:8: error: "]),
        ("new", vec!["--colour".to_owned()], 2, &["--colour"]),
        ("new", vec!["--ready-file".to_owned(), path("nowhere/ready")], 73, &["the ready file", "nowhere"]),
        ("new", vec!["--ready-file".to_owned(), path("made")], 73, &["the ready file", "made"]),
    ];
    let made = Process::start(&at("made"), &[]);
    made.signal("TERM");
    assert_eq!(made.end(Duration::from_secs(10)), 0);
    for (data, options, number, said) in rows {
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let (ended, error) = ends_with(&at(data), &options);
        assert_eq!(ended, number, "{options:?}: {error}");
        assert!(said.iter().all(|part| error.contains(part)), "{options:?}: {error}");
    }
    assert!(!at("new").exists(), "what cannot be served leaves nothing behind");
    let (ended, error) = ends_with(&at("new"), &["--listen", &taken]);
    assert_eq!((ended, error.contains(&taken)), (69, true), "{error}");
}

/// Whatever the disk does, nothing is acknowledged that is not there after the restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_disk_ends_the_process_and_loses_nothing_acknowledged() {
    for plan in ["write@40:disk-full", "sync@40"] {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        let process = Process::start(&data, &["--faults", plan]);
        let ledger = process.ledger().await;
        let mut told = 0;
        let status = loop {
            let request = accrual(&format!("t{told}"), &format!("a{told}"), 100);
            match ledger.clone().accrue(request).await {
                Ok(response) => {
                    assert!(response.into_inner().decision.unwrap().refusal.is_none());
                    told += 1;
                }
                Err(status) => break status,
            }
        };
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!((10..40).contains(&told), "{told} were answered");
        assert_eq!(process.end(Duration::from_millis(1_500)), 74);

        let process = Process::start(&data, &[]);
        let mut ledger = process.ledger().await;
        for number in 0..told {
            let request = wire::GetBalanceRequest { account_id: format!("a{number}"), ..<_>::default() };
            assert!(ledger.get_balance(request).await.is_ok(), "{plan}: a{number} was acknowledged");
        }
        // The one without an answer: the same id again is right, whatever became of it.
        let last = accrual(&format!("t{told}"), &format!("a{told}"), 100);
        let decision = ledger.accrue(last).await.unwrap().into_inner().decision.unwrap();
        assert!(decision.refusal.is_none(), "{plan}");
        assert_eq!(decision.balance_points, 1);
    }
}
