//! A quarter of real-looking grocery baskets, loaded into the shipped server by the shipped importer: every household
//! ends exactly where an independent program says, whatever happens on the way.
//!
//! What must stay true: the expected file was not made by this program; every run begins with an empty directory.

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use harness::{Ran, Server, program, repository, run, text, wait_for};
use serde_json::Value;
use tallystick::cli::import::baskets::{self, Additions};
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tallystick::service::wire::{self, RefusalCode, RetryAdvice};
use tempfile::TempDir;
use tokio_stream::wrappers::ReceiverStream;

const BASKETS: i64 = 37_489;
const HOUSEHOLDS: i64 = 2_280;
const ROWS: i64 = 362_683;
const END: &str = "2017-04-01T00:00:00Z";

/// A file of the quarter, fetched if it is nowhere.
fn journey_file(name: &str) -> String {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let output = Command::new(repository("deploy/journey-data.sh")).stdin(Stdio::null()).output();
        let output = output.expect("the script can be run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let folder = String::from_utf8(output.stdout).expect("a path");
        PathBuf::from(folder.trim_end())
    });
    text(&folder.join(name)).to_owned()
}

fn baskets_file() -> String {
    journey_file("baskets-2017q1.csv.gz")
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary directory can be made")
}

fn start(folder: &Path, arguments: &[&str]) -> Server {
    start_at(folder, "127.0.0.1:0", arguments)
}

fn start_at(folder: &Path, address: &str, arguments: &[&str]) -> Server {
    start_under("basic.toml", folder, address, arguments)
}

fn start_under(programme: &str, folder: &Path, address: &str, arguments: &[&str]) -> Server {
    let programme = repository("deploy/programs").join(programme);
    let fixed = ["--clock", "input", "--program", text(&programme)];
    Server::start_at(folder, address, &[&fixed, arguments].concat())
}

/// How the answers of an import were counted.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    accepted: i64,
    replayed: i64,
    refused: i64,
}

fn counts(ran: &Ran) -> Counts {
    let object = ran.object();
    let count = |name: &str| object[name].as_i64().unwrap_or_else(|| panic!("{name} in {object}"));
    assert_eq!((count("row_count"), count("command_count"), count("answered_count")), (ROWS, BASKETS, BASKETS));
    Counts { accepted: count("accepted_count"), replayed: count("replayed_count"), refused: count("refused_count") }
}

/// Loads the quarter.
fn import(server: &Server) -> Counts {
    counts(&server.run(&["import", "baskets", &baskets_file(), "--json"]).expect(0))
}

const ALL_NEW: Counts = Counts { accepted: BASKETS, replayed: 0, refused: 0 };
const ALL_KNOWN: Counts = Counts { accepted: 0, replayed: BASKETS, refused: 0 };

#[track_caller]
fn assert_expected(exported: &str) {
    assert_same(exported, "expected-basic-2017q1.csv");
}

/// The rows of a CSV file by their first column.
fn by_household(content: &str) -> BTreeMap<&str, &str> {
    content.lines().filter_map(|line| line.split_once(',')).collect()
}

/// An export is an expected file to the byte; where it is not, the first households that differ are shown.
#[track_caller]
fn assert_same(exported: &str, expected: &str) {
    let expected = fs::read_to_string(repository("tests/golden/journey").join(expected));
    let expected = expected.expect("the expected figures are in the repository");
    let (got, wanted) = (by_household(exported), by_household(&expected));
    let households: BTreeSet<&str> = got.keys().chain(wanted.keys()).copied().collect();
    let mut differences = households.into_iter().filter(|household| got.get(household) != wanted.get(household));
    let first: Vec<String> = (&mut differences)
        .take(10)
        .map(|household| {
            format!("household {household}: {:?}\n  is to have {:?}", got.get(household), wanted.get(household))
        })
        .collect();
    assert!(first.is_empty(), "{}\nand {} more", first.join("\n"), differences.count());
    assert!(exported == expected, "the rows agree, but the export is not the same to the byte");
}

const EXPORT: [&str; 6] = ["export", "accounts", "--as-of", END, "--account-column", "household_id"];

/// Loads the quarter with so many workers; returns the digest of the state.
fn load_with(workers: &str) -> String {
    let folder = folder();
    let server = start(folder.path(), &["--workers", workers]);
    assert_eq!(import(&server), ALL_NEW);
    assert_expected(&server.run(&EXPORT).expect(0).stdout);
    let digest = server.digest();
    let status = server.status();
    assert_eq!(
        (&status["account_count"], &status["worker_count"]),
        (&Value::from(HOUSEHOLDS), &workers.parse().unwrap())
    );
    server.stop();

    let data = folder.path().join("data");
    let verified = run(["audit", "verify", "--json", "--data", text(&data)]).expect(0).object();
    assert_eq!(verified["intact"], true);
    assert_eq!(verified["digest"], digest.as_str(), "a replay from empty gives the state that the server had");
    assert_eq!(verified["records"]["accruals"], BASKETS);
    assert_expected(&run(EXPORT.iter().chain(&["--data", text(&data)])).expect(0).stdout);
    digest
}

#[test]
fn every_household_ends_as_expected_with_any_number_of_workers() {
    assert_eq!(load_with("1"), load_with("8"), "the state does not depend on the number of workers");
}

/// An import that runs beside the test.
fn begin_import(url: &str, arguments: &[&str]) -> Child {
    program()
        .args(arguments)
        .args(["--server", url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started")
}

fn finish(child: Child) -> Ran {
    let output = child.wait_with_output().expect("the import ends");
    Ran {
        status: output.status.code().expect("the import ends by itself"),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn durable_records(server: &Server) -> i64 {
    server.status()["durable_position"].as_i64().unwrap_or(0)
}

#[test]
fn a_server_that_is_killed_in_the_middle_loses_and_doubles_nothing() {
    let whole = folder();
    let undisturbed = start(whole.path(), &["--workers", "2"]);
    assert_eq!(import(&undisturbed), ALL_NEW);
    let digest = undisturbed.digest();
    let record_count = durable_records(&undisturbed);
    undisturbed.stop();

    let folder = folder();
    // Snapshots and ids go to disk now and then, so that recovery begins with them and replays only what follows.
    let snapshots = ["--snapshot-records", "20000", "--snapshot-interval-ms", "0"];
    let often = [&["--workers", "2", "--ids-segment", "2048", "--ids-memory-max", "1000"], &snapshots[..]].concat();
    let mut server = start(folder.path(), &often);
    let address = server.address.clone();
    let importing = begin_import(&server.url, &["import", "baskets", &baskets_file(), "--json"]);
    for share in [4, 2] {
        wait_for("a part of the import", || (durable_records(&server) > record_count / share).then_some(()));
        server.kill();
        server = start_at(folder.path(), &address, &often);
    }
    let ran = finish(importing).expect(0);
    let Counts { accepted, replayed, refused } = counts(&ran);
    assert_eq!((accepted + replayed, refused), (BASKETS, 0), "{}", ran.stderr);
    assert!(ran.object()["broken_connection_count"].as_i64() >= Some(2), "{}", ran.stdout);

    // The whole once more, as somebody does who does not know how far it came.
    assert_eq!(import(&server), ALL_KNOWN);
    assert_expected(&server.run(&EXPORT).expect(0).stdout);
    assert_eq!(server.digest(), digest, "the state is that of a run that nothing disturbed");
    server.stop();
    let data = folder.path().join("data");
    let verified = run(["audit", "verify", "--json", "--data", text(&data)]).expect(0).object();
    assert_eq!((&verified["intact"], &verified["epoch_count"]), (&Value::Bool(true), &Value::from(3)));
    assert_eq!(verified["snapshot"]["digest"], digest.as_str(), "the snapshot leads to the same state");
}

/// How the server answered a basket that it had seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    Replayed,
    /// The id is taken, and the account is what differs.
    OtherAccount,
}

fn judge(decision: &wire::Decision) -> Answer {
    match &decision.refusal {
        None if decision.replayed => Answer::Replayed,
        Some(refusal) if refusal.code() == RefusalCode::TransactionIdReused && refusal.field == "account_id" => {
            assert_eq!(refusal.retry_advice(), RetryAdvice::NewId);
            assert_eq!((decision.granted_points, decision.earned_points), (0, 0));
            Answer::OtherAccount
        }
        _ => panic!("neither replayed nor refused as it must be: {decision:?}"),
    }
}

/// Presents every basket again, every second one for another account.
async fn present_again(url: String) -> BTreeMap<Answer, i64> {
    let (sender, receiver) = tokio::sync::mpsc::channel(16);
    let feeder = std::thread::spawn(move || {
        let additions = Additions { currency_code: "USD".to_owned(), posts_at_receipt_time: true };
        let (mut reader, _) = baskets::open(Path::new(&baskets_file()), additions).expect("the file is there");
        let mut number = 0_i64;
        loop {
            let mut commands = Vec::new();
            while commands.len() < 256 {
                let Some(basket) = reader.next_basket().expect("the file is whole") else { break };
                let mut request = basket.request;
                if number % 2 == 1 {
                    request.account_id = format!("not-{}", request.account_id);
                }
                number += 1;
                commands.push(wire::Command { command: Some(wire::command::Command::Accrue(request)) });
            }
            if commands.is_empty() {
                return;
            }
            sender.blocking_send(wire::CommandStreamRequest { commands }).expect("the stream stays open");
        }
    });
    let mut client = LedgerServiceClient::connect(url).await.expect("the server is there");
    let answers = client.command_stream(ReceiverStream::new(receiver)).await.expect("the stream is taken");
    let mut answers = answers.into_inner();
    let mut counts = BTreeMap::new();
    let mut index = 0_i64;
    while let Some(response) = answers.message().await.expect("the stream ends in order") {
        for result in response.results {
            let answer = judge(&result.decision.expect("every command has its decision"));
            let expected = if index % 2 == 0 { Answer::Replayed } else { Answer::OtherAccount };
            assert_eq!(answer, expected, "basket number {index}");
            *counts.entry(answer).or_insert(0) += 1;
            index += 1;
        }
    }
    feeder.join().expect("the feeder does not panic");
    counts
}

#[test]
fn every_id_is_remembered_when_memory_holds_a_thousand() {
    let folder = folder();
    let server = start(folder.path(), &[]);
    assert_eq!(import(&server), ALL_NEW);
    let digest = server.digest();
    server.stop();

    let small = ["--ids-memory-max", "1000", "--ids-segment", "1024"];
    let server = start(folder.path(), &small);
    let ids = wait_for("the ids to be on disk", || {
        let status = server.status();
        (status["memory_id_count"].as_i64()? < 8_192).then_some(status)
    });
    assert!(ids["disk_id_count"].as_i64() > Some(60_000), "{ids}");

    let runtime = tokio::runtime::Runtime::new().expect("there is a runtime");
    let answers = runtime.block_on(present_again(server.url.clone()));
    let expected = BTreeMap::from([(Answer::Replayed, BASKETS / 2 + 1), (Answer::OtherAccount, BASKETS / 2)]);
    assert_eq!(answers, expected);

    assert_eq!(server.status()["account_count"], HOUSEHOLDS, "no account was opened for a basket of another");
    assert_eq!(server.digest(), digest, "nothing was granted");
    assert_expected(&server.run(&EXPORT).expect(0).stdout);
    server.stop();
}

// The whole programme: levels, campaigns, Wednesdays, expiry and redemptions.

const MEMBERSHIPS: i64 = 6_589;
const REDEMPTIONS: i64 = 95;
/// Redemptions of households that had too little.
const REDEMPTIONS_REFUSED: i64 = 14;
/// Households that redeem: each is enrolled before its first redemption.
const REDEEMERS: i64 = 51;

fn start_full(folder: &Path, address: &str, arguments: &[&str]) -> Server {
    start_under("grocery.toml", folder, address, arguments)
}

/// Has the households join the segments of their campaigns, before the quarter begins.
fn import_members(server: &Server) -> Value {
    let file = journey_file("campaign_members.csv");
    let columns = ["--account-column", "household_id", "--segment-column", "campaign_id"];
    let fixed =
        ["import", "segments", &file, "--segment-prefix", "campaign-", "--at", "2017-01-01T00:00:00Z", "--json"];
    server.run(&[&fixed[..], &columns[..]].concat()).expect(0).object()
}

/// The import of baskets and redemptions, in the order in which they happened.
fn full_import() -> Vec<String> {
    let (baskets, redemptions) = (baskets_file(), journey_file("redemptions-2017q1.csv"));
    let arguments = ["import", "baskets", &baskets, "--redemptions", &redemptions, "--redeem-points", "100", "--json"];
    arguments.map(str::to_owned).to_vec()
}

fn as_arguments(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// How often a kind of command was accepted, replayed and refused.
fn kind(object: &Value, name: &str) -> (i64, i64, i64) {
    let count = |which: &str| object["kinds"][name][which].as_i64().unwrap_or_else(|| panic!("{name} in {object}"));
    (count("accepted_count"), count("replayed_count"), count("refused_count"))
}

#[track_caller]
fn assert_full(server: &Server) {
    let exported = server.run(&[&EXPORT[..], &["--with-transactions"]].concat()).expect(0).stdout;
    assert_same(&exported, "expected-full-2017q1.csv");
}

/// Loads everything with so many workers; returns the digest of the state.
fn load_full_with(workers: &str) -> String {
    let folder = folder();
    let server = start_full(folder.path(), "127.0.0.1:0", &["--workers", workers]);
    assert_eq!(kind(&import_members(&server), "enrolment"), (MEMBERSHIPS, 0, 0));
    let imported = server.run(&as_arguments(&full_import())).expect(0).object();
    assert_eq!(kind(&imported, "basket"), (BASKETS, 0, 0));
    assert_eq!(kind(&imported, "redemption"), (REDEMPTIONS - REDEMPTIONS_REFUSED, 0, REDEMPTIONS_REFUSED));
    assert_eq!(kind(&imported, "enrolment"), (REDEEMERS, 0, 0));
    assert_eq!(imported["refused"], serde_json::json!({ "INSUFFICIENT_BALANCE": REDEMPTIONS_REFUSED }));
    assert_full(&server);
    let digest = server.digest();
    server.stop();

    let data = folder.path().join("data");
    let verified = run(["audit", "verify", "--json", "--data", text(&data)]).expect(0).object();
    assert_eq!((&verified["intact"], &verified["digest"]), (&Value::Bool(true), &Value::from(digest.as_str())));
    let from_disk = ["--with-transactions", "--data", text(&data)];
    let offline = EXPORT.iter().chain(&from_disk);
    assert_same(&run(offline).expect(0).stdout, "expected-full-2017q1.csv");
    digest
}

#[test]
fn every_household_ends_as_expected_under_the_whole_programme_with_any_number_of_workers() {
    assert_eq!(load_full_with("1"), load_full_with("8"), "the state does not depend on the number of workers");
}

#[test]
fn the_whole_programme_survives_a_server_that_is_killed_in_the_middle() {
    let folder = folder();
    let snapshots = ["--snapshot-records", "20000", "--snapshot-interval-ms", "0"];
    let often = [&["--workers", "2", "--ids-segment", "2048", "--ids-memory-max", "1000"], &snapshots[..]].concat();
    let mut server = start_full(folder.path(), "127.0.0.1:0", &often);
    let address = server.address.clone();
    import_members(&server);
    let arguments = full_import();
    let importing = begin_import(&server.url, &as_arguments(&arguments));
    for record_count in [15_000, 30_000] {
        wait_for("a part of the import", || (durable_records(&server) > record_count).then_some(()));
        server.kill();
        server = start_full(folder.path(), &address, &often);
    }
    let ran = finish(importing).expect(0);
    assert!(ran.object()["broken_connection_count"].as_i64() >= Some(2), "{}", ran.stdout);
    assert_full(&server);
    let digest = server.digest();

    // The whole once more: nothing happens, and what was refused is refused again.
    assert_eq!(kind(&import_members(&server), "enrolment"), (0, MEMBERSHIPS, 0));
    let again = server.run(&as_arguments(&arguments)).expect(0).object();
    assert_eq!((kind(&again, "basket"), kind(&again, "enrolment")), ((0, BASKETS, 0), (0, REDEEMERS, 0)));
    assert_eq!(kind(&again, "redemption"), (0, REDEMPTIONS - REDEMPTIONS_REFUSED, REDEMPTIONS_REFUSED));
    assert_full(&server);
    assert_eq!(server.digest(), digest);
    server.stop();
    let data = folder.path().join("data");
    let verified = run(["audit", "verify", "--json", "--data", text(&data)]).expect(0).object();
    assert_eq!((&verified["intact"], &verified["epoch_count"]), (&Value::Bool(true), &Value::from(3)));
    assert_eq!(verified["digest"], digest.as_str());
}
