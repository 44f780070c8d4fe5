//! `tallystick bench` with a tiny load: every mode ends with figures and their conditions, and none does when its
//! server dies or its journal is not whole. How fast it is, is judged by nobody here.

mod harness;

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use harness::{program, repository, run, text, wait_for};
use serde_json::Value;
use tallystick::bench::baskets::{Assortment, Numbers, Shape, Source, Templates};
use tallystick::bench::pairs::Load;
use tallystick::bench::process::Process;
use tallystick::bench::run::Division;
use tallystick::bench::unary::Pace;
use tallystick::bench::world::judge;
use tallystick::bench::{BenchError, flood, unary};
use tallystick::clock::{Clock, SystemClock};
use tallystick::config::Config;
use tallystick::server::open_store;
use tallystick::store::{Batch, Direction, Durability, Space, Store};
use tempfile::TempDir;

/// A load that takes a second or two.
const TINY: [&str; 10] = ["--json", "--seconds", "1", "--accounts", "500", "--lots", "2", "--pairs", "2", "--threads"];

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary directory can be made")
}

/// The report of a run that goes well. Nothing is left behind in the folder.
fn report(mode: &str, further: &[&str]) -> Value {
    let folder = folder();
    let arguments = ["bench", mode].into_iter().chain(TINY).chain(["1", "--within", text(folder.path())]);
    let report = run(arguments.chain(further.iter().copied())).expect(0).object();
    let left: Vec<_> = fs::read_dir(folder.path()).expect("the folder is there").collect();
    assert!(left.is_empty(), "{left:?}");
    for name in ["processor", "core_count", "memory_bytes", "kernel", "fdatasync_p50_us", "random_read_ns", "version"] {
        assert!(!report["machine"][name].is_null(), "the machine lacks {name}: {report}");
    }
    report
}

/// The results of a name, of which there are so many.
fn results<'a>(report: &'a Value, name: &str, count: usize) -> Vec<&'a Value> {
    let all = report["results"].as_array().expect("results are a list");
    let found: Vec<&Value> = all.iter().filter(|result| result["name"] == name).collect();
    assert_eq!(found.len(), count, "{name} in {report}");
    for result in &found {
        for key in ["ops_per_second", "p50_us", "p99_us", "p999_us", "max_us", "durable", "batch", "connections"] {
            assert!(!result[key].is_null(), "{name} lacks {key}: {result}");
        }
        assert!(result["ops_per_second"].as_f64().expect("a number") > 0.0, "{result}");
    }
    found
}

/// What must be said of every figure of a ledger.
fn expect_ledger(result: &Value) {
    let ledger = &result["ledger"];
    let expected = [("accounts", 500), ("lots_per_account", 2), ("windows_per_account", 6), ("rules", 20)];
    for (key, value) in expected.into_iter().chain([("caps", 4), ("metrics", 2), ("budgets", 1)]) {
        assert_eq!(ledger[key], value, "{key} in {result}");
    }
    assert_eq!((&result["durable"], &result["shared_cores"]), (&Value::from(true), &Value::from(true)), "{result}");
    assert!(result["record_bytes"].as_f64().is_some_and(|bytes| bytes > 30.0), "{result}");
    assert!(result["request_bytes"].as_u64().is_some_and(|bytes| bytes > 100), "{result}");
    assert_eq!(result["refusals"], Value::Object(serde_json::Map::new()), "{result}");
}

fn expect_verified(report: &Value) {
    let verifications = report["verifications"].as_array().expect("verifications are a list");
    assert!(!verifications.is_empty());
    for verification in verifications {
        assert_eq!(verification["verified"], true, "{verification}");
        assert_eq!(verification["account_count"], 500, "{verification}");
        assert!(verification["write_amplification"].as_f64().is_some(), "{verification}");
    }
}

#[test]
fn echo_measures_the_ceiling_without_a_ledger() {
    let report = report("echo", &["--connections", "2", "--in-flight", "4"]);
    let echo = results(&report, "echo", 1)[0];
    assert_eq!((&echo["connections"], &echo["in_flight"]), (&Value::from(2), &Value::from(4)));
    assert_eq!((&echo["durable"], &echo["batch"]), (&Value::from(false), &Value::from(1)));
    assert!(echo["ledger"].is_null() && report["verifications"].as_array().expect("a list").is_empty());
}

#[test]
fn an_answer_that_is_neither_good_nor_for_want_of_capacity_gives_no_figures() {
    let folder = folder();
    let receipt_at = SystemClock::new().now();
    let assortment = Assortment { line_count: 1, currency: "USD".to_owned(), receipt_at, seed: 1, all_eligible: false };
    let (templates, numbers) = (Templates::new(Shape::Unary, &assortment), Numbers::default());
    let source = |lane: usize| Source::new(templates.clone(), numbers.clone(), 500, lane as u64);
    let loads: [Load; 2] = [unary::load, flood::load];
    // Encoded answers: one that was given before, and refusals with the codes 7 and 12.
    for (answer, is_wrong, kind) in [
        ("0a020801", true, "REPLAYED"),
        ("0a0412020807", true, "BALANCE_LIMIT_EXCEEDED"),
        ("0a041202080c", false, "OVERLOADED"),
    ] {
        let arguments = ["bench", "echo-server", "--answer", answer];
        let tallystick = Path::new(env!("CARGO_BIN_EXE_tallystick"));
        let server = Process::start(tallystick, folder.path(), "echo", &arguments).expect("the server starts");
        let division = Division {
            target: server.target.clone(),
            server_id: server.id(),
            thread_count: 1,
            connection_count: 1,
            warm_up: Duration::ZERO,
            measure: Duration::from_millis(300),
        };
        for load in loads {
            match load(&division, Pace::Closed { in_flight: 2 }, &source) {
                Ok(measured) => {
                    assert!(!is_wrong && measured.all.refusals[kind] > 0, "{kind}: {:?}", measured.all.refusals);
                }
                Err(BenchError::Call(text)) => assert!(is_wrong && text.contains(kind), "{kind}: {text}"),
                Err(error) => panic!("{kind}: {error}"),
            }
        }
    }
}

/// A folder as `deploy/certificates.sh` makes it.
fn certificates() -> TempDir {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let folder = folder();
    let params = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        CertificateParams::new(names).expect("the names are right")
    };
    let (mut root, key) = (params(&[]), KeyPair::generate().expect("there are random numbers"));
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = root.self_signed(&key).expect("it is signed").pem();
    let (root, own) = (Issuer::new(root, key), KeyPair::generate().expect("there are random numbers"));
    let signed = params(&["localhost"]).signed_by(&own, &root).expect("it is signed").pem();
    for (name, text) in [("ca.pem", pem), ("server.pem", signed), ("server.key", own.serialize_pem())] {
        fs::write(folder.path().join(name), text).expect("the folder can be written");
    }
    folder
}

#[test]
fn accruals_are_measured_over_tls_with_a_key_and_the_figure_says_so() {
    let certificates = certificates();
    let lanes = ["--connections", "2", "--in-flight", "2", "--tls", text(certificates.path()), "--key"];
    for (mode, further) in [("unary", &lanes[..]), ("stream", &["--key"])] {
        let report = report(mode, further);
        let has_tls = mode == "unary";
        for figure in report["results"].as_array().expect("a list").iter().filter(|result| result["name"] != "echo") {
            expect_ledger(figure);
            assert_eq!((&figure["ledger"]["tls"], &figure["ledger"]["keys"]), (&has_tls.into(), &true.into()));
        }
        expect_verified(&report);
    }
}

#[test]
fn unary_is_compared_with_echo_in_pairs_and_its_journal_verified() {
    let page = folder();
    let page = page.path().join("report.html");
    let report = report("unary", &["--report", text(&page)]);
    results(&report, "echo", 3);
    for unary in results(&report, "unary", 3) {
        expect_ledger(unary);
        assert!(unary["server_processor_us"].as_f64().is_some_and(|us| us > 0.0), "{unary}");
    }
    let names: Vec<_> = report["ratios"].as_array().expect("a list").iter().map(|ratio| &ratio["name"]).collect();
    let of_lanes = |lanes: &str| [format!("unary ÷ echo, {lanes}"), format!("processor time of echo ÷ unary, {lanes}")];
    let expected = ["8 × 64", "4 × 16", "1 × 1"].into_iter().flat_map(of_lanes);
    let expected: Vec<String> = expected.chain(["one client's p50 ÷ fdatasync p50".to_owned()]).collect();
    assert_eq!(names, expected.iter().collect::<Vec<_>>());
    for ratio in report["ratios"].as_array().expect("a list") {
        assert_eq!(ratio["pairs"].as_array().expect("a list").len(), 2, "{ratio}");
        let number = |key: &str| ratio[key].as_f64().expect("a number");
        assert!(0.0 < number("min") && number("min") <= number("median") && number("median") <= number("max"));
    }
    expect_verified(&report);
    let page = fs::read_to_string(page).expect("the page was written");
    assert!(page.contains("<svg") && page.contains("unary ÷ echo") && !page.contains("<script"));
}

#[test]
fn calls_can_come_at_a_rate() {
    let report = report("unary", &["--rate", "300"]);
    let open = results(&report, "unary-open-loop", 1)[0];
    expect_ledger(open);
    assert_eq!((&open["due_per_second"], &open["in_flight"]), (&Value::from(300), &Value::from(0)));
}

#[test]
fn growth_compares_few_ids_with_many() {
    let report = report("growth", &["--ids", "4000"]);
    for side in ["few", "many"] {
        results(&report, &format!("core-with-{side}-ids"), 1);
        expect_ledger(results(&report, &format!("unary-with-{side}-ids"), 1)[0]);
    }
    let more = |name: &str, key: &str| results(&report, name, 1)[0]["more"][key].as_f64();
    let remembered = |name: &str| more(name, "ids_remembered_before");
    assert_eq!(remembered("unary-with-few-ids"), Some(0.0));
    assert!(remembered("unary-with-many-ids").is_some_and(|count| count >= 4_000.0), "{report}");
    // Each core says of itself what it remembers, and counts in random reads of the one machine.
    assert_eq!(remembered("core-with-few-ids"), Some(0.0));
    assert_eq!(remembered("core-with-many-ids"), Some(4_000.0));
    for name in ["core-with-few-ids", "core-with-many-ids"] {
        let reads = more(name, "random_reads_per_accrual").expect("a number");
        let ns = reads * report["machine"]["random_read_ns"].as_f64().expect("a number");
        assert!((ns / more(name, "ns_per_accrual").expect("a number") - 1.0).abs() < 1e-6, "{report}");
    }
    let ratios: Vec<&Value> = report["ratios"].as_array().expect("a list").iter().collect();
    let names: Vec<&Value> = ratios.iter().map(|ratio| &ratio["name"]).collect();
    assert_eq!(names, ["time of the core, many ids ÷ few", "p50 of unary accruals, many ids ÷ few"]);
    assert!(ratios.iter().all(|ratio| ratio["pairs"].as_array().expect("a list").len() == 2), "{report}");
    expect_verified(&report);
}

/// A benchmark under way, with its directories in the folder.
fn begun(folder: &TempDir, what: &str, arguments: &[&str]) -> Child {
    let mut command = program();
    command.args(["bench", what]).args(arguments).args(["--within", text(folder.path())]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program can be started")
}

/// The processes that another one started, and whose command line has a text.
fn children_with(parent: u32, text: &str) -> Vec<String> {
    let children = fs::read_dir("/proc").expect("this is Linux").filter_map(Result::ok).filter_map(|entry| {
        let read = |name: &str| fs::read(entry.path().join(name)).ok();
        let (status, line) = (read("status")?, read("cmdline")?);
        let is_child = String::from_utf8_lossy(&status).lines().any(|line| line == format!("PPid:\t{parent}"));
        let is_meant = is_child && String::from_utf8_lossy(&line).contains(text);
        is_meant.then(|| entry.file_name().to_string_lossy().into_owned())
    });
    children.collect()
}

#[test]
fn each_core_of_growth_is_a_process_and_one_that_dies_gives_no_figures() {
    let folder = folder();
    // Both cores are there for 40 seconds.
    let arguments = ["--accounts", "500", "--lots", "1", "--ids", "4000", "--seconds", "10", "--pairs", "2"];
    let child = begun(&folder, "growth", &arguments);
    let cores = wait_for("two cores at once", || {
        let cores = children_with(child.id(), "core-process");
        (cores.len() >= 2).then_some(cores)
    });
    assert_eq!(cores.len(), 2, "one without ids, one with many");
    let killed = std::process::Command::new("sh").args(["-c", "kill -s KILL \"$@\"", "sh"]).args(&cores).status();
    assert!(killed.expect("there is a shell").success());
    let output = child.wait_with_output().expect("the bench ends");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{stderr}");
    assert!(stderr.contains("the process of core-with-") && stderr.contains("ended with signal: 9"), "{stderr}");
    assert!(output.stdout.is_empty(), "no figures are printed");
    let left: Vec<_> = fs::read_dir(folder.path()).expect("the folder is there").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn midnight_tells_what_callers_see_while_lots_are_swept() {
    expect_midnight(&["--rate", "500", "--ahead", "3"], false);
    expect_midnight(&["--rate", "500", "--ahead", "3", "--key"], true);
}

fn expect_midnight(arguments: &[&str], has_keys: bool) {
    let report = report("midnight", arguments);
    for name in ["midnight-before", "midnight-sweep"] {
        let result = results(&report, name, 1)[0];
        assert_eq!(result["due_per_second"], 500, "{result}");
        assert_eq!(result["ledger"]["lots_per_account"], 3, "two that die, and one that a basket earned");
        assert_eq!(result["ledger"]["keys"], has_keys, "{result}");
        assert_eq!(result["refusals"], Value::Object(serde_json::Map::new()), "{result}");
    }
    let swept = &results(&report, "midnight-sweep", 1)[0]["more"];
    let number = |key: &str| swept[key].as_f64().unwrap_or_else(|| panic!("it lacks {key}: {swept}"));
    // Accounts that were called across the instant post their lots with the call.
    assert!((1.0..=1_000.0).contains(&number("lots_that_died")), "{swept}");
    assert!(number("expiry_records") <= 500.0 && number("sweep_seconds") >= 0.0, "{swept}");
    assert!(number("seconds_until_the_sweep_began") >= 0.0, "nothing is swept before it died: {swept}");
    assert_eq!(report["ratios"][0]["name"], "p99 while lots are swept ÷ before");
    expect_verified(&report);
}

#[test]
fn stream_tells_its_batches_and_pauses() {
    let report = report("stream", &[]);
    let streams = results(&report, "stream", 3);
    let conditions: Vec<_> =
        streams.iter().map(|result| (&result["batch"], &result["ledger"]["lines_per_basket"])).collect();
    let expected = [(1_000, 1), (100, 1), (1_000, 7)].map(|(batch, lines)| (Value::from(batch), Value::from(lines)));
    assert_eq!(conditions, expected.iter().map(|(batch, lines)| (batch, lines)).collect::<Vec<_>>());
    for stream in streams {
        expect_ledger(stream);
        assert!(stream["longest_pause_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{stream}");
        assert!(stream["machine_pause_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{stream}");
    }
    expect_verified(&report);
}

#[test]
fn what_is_not_asked_for_of_lanes_is_as_the_mode_has_it() {
    for (asked, expected) in [(["--connections", "2"], (2, 4)), (["--in-flight", "2"], (4, 2))] {
        let report = report("stream", &["--batch", "50", asked[0], asked[1]]);
        let stream = results(&report, "stream", 1)[0];
        assert_eq!((&stream["connections"], &stream["in_flight"]), (&expected.0.into(), &expected.1.into()));
    }
}

#[test]
fn overload_and_fairness_tell_what_callers_see() {
    let overload = report("overload", &["--connections", "2", "--in-flight", "8"]);
    results(&overload, "overload-peak", 1);
    for name in ["overload-50-before", "overload-200", "overload-50-after"] {
        let result = results(&overload, name, 1)[0];
        assert!(result["due_per_second"].as_u64().is_some_and(|due| due > 0), "{result}");
        assert!(!result["more"]["refused_per_second"].is_null(), "{result}");
    }
    expect_verified(&overload);
    let fairness = report("fairness", &["--rate", "200"]);
    results(&fairness, "tills-alone", 1);
    for name in ["tills-beside-a-stream", "stream-beside-tills"] {
        expect_no_processor_time(results(&fairness, name, 1)[0]);
    }
    assert_eq!(fairness["ratios"].as_array().expect("a list").len(), 1);
    expect_verified(&fairness);
}

/// What the server and the load took for each of these commands is not told apart from what they took beside them.
fn expect_no_processor_time(result: &Value) {
    assert_eq!((&result["server_processor_us"], &result["load_processor_us"]), (&0.0.into(), &0.0.into()), "{result}");
}

#[test]
fn attacks_tell_what_tills_see_before_during_and_after_them() {
    let report = report("attacks", &["--rate", "200"]);
    for name in ["tills-before", "tills-again", "tills-during", "tills-after"] {
        let tills = results(&report, name, 1)[0];
        expect_ledger(tills);
        assert_eq!((&tills["due_per_second"], &tills["seconds"]), (&200.into(), &2.0.into()), "{tills}");
        assert!(tills["server_memory_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{tills}");
        assert_eq!(tills["attackers"].is_array(), name == "tills-during", "{tills}");
    }
    let during = results(&report, "tills-during", 1)[0];
    expect_no_processor_time(during);
    let mut kinds = Vec::new();
    for attackers in during["attackers"].as_array().expect("a list") {
        let kind = attackers["kind"].as_str().expect("a text");
        let number = |key: &str| attackers[key].as_u64().unwrap_or_else(|| panic!("{kind} lacks {key}: {during}"));
        assert_eq!(number("connections"), number("cut_off") + number("held"), "each came to an end: {attackers}");
        assert!(number("connections") > 0, "{attackers}");
        // Whoever is merely slow has a minute in the shipped configuration, and goes before it is over.
        match kind {
            "slow" | "unread" => assert!(number("held") > 0, "{attackers}"),
            "too large" => assert!(number("calls_refused") > 0, "{attackers}"),
            _ => assert!(number("cut_off") > 0, "{attackers}"),
        }
        assert_eq!(number("not_closed"), 0, "the server lets go of whoever has gone: {attackers}");
        kinds.push(kind);
    }
    let expected = ["garbage", "cut short", "settings", "pings", "resets", "slow", "unread", "too large"];
    assert_eq!(kinds, expected);
    let names: Vec<_> = report["ratios"].as_array().expect("a list").iter().map(|ratio| &ratio["name"]).collect();
    let expected = [
        "p99 of tills after attacks ÷ before",
        "p99 of tills during attacks ÷ before",
        "p99 of tills again without attacks ÷ before",
    ];
    assert_eq!(names, expected);
    for ratio in report["ratios"].as_array().expect("a list") {
        assert_eq!(ratio["pairs"].as_array().expect("a list").len(), 2, "{ratio}");
    }
    // No attacker made an account, nor anything else that does not verify.
    expect_verified(&report);
}

#[test]
fn what_cannot_be_measured_is_said_before_anything_is_begun() {
    let (folder, certificates) = (folder(), certificates());
    // Whoever makes a folder first fails with this one.
    let file = folder.path().join("file");
    fs::write(&file, "").expect("a file can be written");
    let within = file.join("folder");
    let (missing, page) = (folder.path().join("missing").join("page.html"), folder.path().join("page.html"));
    let (tls, no_tls) = (text(certificates.path()), text(folder.path()));
    for (mode, arguments, status, said) in [
        ("attacks", ["--tls", tls], 2, "attackers speak in the clear: leave out --tls"),
        ("overload", ["--tls", tls], 2, "sent in the clear: leave out --tls"),
        ("all", ["--tls", tls], 2, "sent in the clear: leave out --tls"),
        ("unary", ["--tls", no_tls], 74, "ca.pem failed"),
        ("echo", ["--report", text(&missing)], 73, "page.html failed"),
        ("echo", ["--report", text(folder.path())], 73, "writing"),
        ("unary", ["--seconds", "86401"], 2, "86401 is not in 1..=86400"),
        ("unary", ["--seconds", "18446744073709551615"], 2, "is not in 1..=86400"),
        ("unary", ["--deadline-ms", "86400001"], 2, "86400001 is not in 1..=86400000"),
        // It goes that far, and leaves no page.
        ("echo", ["--report", text(&page)], 74, "making"),
    ] {
        let ran = run(["bench", mode, "--within", text(&within)].into_iter().chain(arguments)).expect(status);
        assert!(ran.stderr.contains(said) && ran.stdout.is_empty(), "{mode} {arguments:?}: {ran:?}");
        assert!(!page.exists(), "{mode} {arguments:?}");
    }
}

#[test]
fn a_page_that_cannot_be_written_in_the_end_costs_no_figures() {
    let folder = folder();
    let pages = folder.path().join("pages");
    fs::create_dir(&pages).expect("a folder can be made");
    let page = pages.join("page.html");
    let arguments = ["--json", "--seconds", "2", "--connections", "1", "--in-flight", "1", "--report", text(&page)];
    let child = begun(&folder, "echo", &arguments);
    wait_for("the server", || (!children_with(child.id(), "echo-server").is_empty()).then_some(()));
    fs::remove_dir(&pages).expect("there is no page before the end");
    let output = child.wait_with_output().expect("the bench ends");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(73), "{stderr}");
    assert!(stderr.contains("page.html failed"), "{stderr}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("standard output is one JSON value");
    results(&report, "echo", 1);
}

#[test]
fn core_says_what_each_part_costs() {
    let report = report("core", &["--ids", "10000"]);
    let core = results(&report, "core", 1)[0];
    assert_eq!(core["durable"], false);
    for key in ["ns_per_accrual", "random_reads_per_accrual", "ns_claims", "memory_bytes_per_id"] {
        assert!(core["more"][key].as_f64().is_some(), "{key} in {core}");
    }
}

#[test]
fn recovery_finds_the_tail_that_was_asked_for() {
    let report = report("recovery", &["--tail", "3000"]);
    let recovery = results(&report, "recovery", 1)[0];
    let more = &recovery["more"];
    // 500 accounts with two lots, and the tail; names and the programme are records too.
    assert!(more["records_in_all"].as_f64().is_some_and(|count| count >= 4_000.0), "{recovery}");
    assert!(more["records_replayed"].as_f64().is_some_and(|count| count >= 3_000.0), "{recovery}");
    assert!(more["seconds_until_ready"].as_f64().is_some_and(|seconds| seconds > 0.0), "{recovery}");
    expect_verified(&report);
}

#[test]
fn a_programme_of_the_users_own_is_measured() {
    let file = repository("deploy/programs/coffee-shop.toml");
    let report = report("stream", &["--program", text(&file), "--batch", "50"]);
    let stream = results(&report, "stream", 1)[0];
    assert_eq!((&stream["ledger"]["rules"], &stream["ledger"]["caps"]), (&Value::from(2), &Value::from(2)));
}

#[test]
fn a_programme_with_mistakes_is_bad_input() {
    let folder = folder();
    let file = folder.path().join("wrong.toml");
    fs::write(&file, "[program]\nname = 7\n").expect("a file can be written");
    for mode in ["unary", "growth"] {
        let ran = run(["bench", mode, "--program", text(&file), "--within", text(folder.path())]).expect(65);
        assert!(ran.stderr.contains("the programme file cannot be used"), "{ran:?}");
        assert_eq!(ran.stdout, "");
    }
}

/// The process whose command line has both texts.
fn process_with(first: &str, second: &str) -> Option<String> {
    fs::read_dir("/proc").expect("this is Linux").filter_map(Result::ok).find_map(|entry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line);
        (line.contains(first) && line.contains(second)).then(|| entry.file_name().to_string_lossy().into_owned())
    })
}

#[test]
fn a_server_that_dies_gives_no_figures_and_says_so() {
    let folder = folder();
    let arguments = ["--accounts", "500", "--lots", "1", "--seconds", "300", "--batch", "10"];
    let child = begun(&folder, "stream", &arguments);
    // Under load the log of accounts stands still and the stream has begun; any moment of a run will do.
    let server = wait_for("the server", || {
        let data = format!("{}/tallystick-bench-", folder.path().display());
        process_with("serve", &data).filter(|_| has_ready_file(folder.path()))
    });
    let killed = std::process::Command::new("sh").args(["-c", "kill -s KILL \"$0\"", &server]).status();
    assert!(killed.expect("there is a shell").success());
    let output = child.wait_with_output().expect("the bench ends");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{stderr}");
    assert!(stderr.contains("the server ended with signal: 9"), "{stderr}");
    assert!(output.stdout.is_empty(), "no figures are printed");
}

fn has_ready_file(folder: &Path) -> bool {
    let mut folders = fs::read_dir(folder).expect("the folder is there").filter_map(Result::ok);
    folders.any(|entry| entry.path().join("server.ready").exists())
}

/// Whether this process, and so whatever it starts, was told to ignore a signal.
fn is_ignored(number: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("this is Linux");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("it says what is ignored");
    let mask = u64::from_str_radix(mask.trim(), 16).expect("it is a number");
    (mask >> (number - 1)) & 1 == 1
}

#[test]
fn a_signal_leaves_neither_a_server_nor_its_directory_behind() {
    for (name, number) in [("TERM", 15), ("INT", 2), ("HUP", 1)] {
        if is_ignored(number) {
            continue;
        }
        let folder = folder();
        let arguments = ["--accounts", "500", "--lots", "1", "--seconds", "300", "--batch", "10"];
        let child = begun(&folder, "stream", &arguments);
        let server = wait_for("the server", || {
            let data = format!("{}/tallystick-bench-", folder.path().display());
            process_with("serve", &data).filter(|_| has_ready_file(folder.path()))
        });
        let id = child.id().to_string();
        let told = std::process::Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &id]).status();
        assert!(told.expect("there is a shell").success());
        let output = child.wait_with_output().expect("the bench ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(128 + number), "{name}: {stderr}");
        assert!(output.stdout.is_empty(), "no figures are printed");
        assert!(!Path::new("/proc").join(&server).exists(), "{name}: the server has ended");
        let left: Vec<_> = fs::read_dir(folder.path()).expect("the folder is there").collect();
        assert!(left.is_empty(), "{name}: {left:?}");
    }
}

#[test]
fn a_journal_that_is_not_whole_gives_no_figures() {
    let folder = folder();
    let arguments = ["bench", "stream", "--batch", "10", "--keep", "--skip-verify", "--within", text(folder.path())];
    let report = run(arguments.into_iter().chain(TINY).chain(["1"])).expect(0).object();
    assert_eq!(report["verifications"][0]["verified"], false, "it was asked not to");
    let kept: Vec<_> = fs::read_dir(folder.path()).expect("the folder is there").filter_map(Result::ok).collect();
    let data = kept.iter().map(|entry| entry.path().join("data")).find(|path| path.exists()).expect("it was kept");
    let found = judge(&data, "kept", true, &mut [], &mut |_, _, _| {}).expect("the journal is whole");
    assert!(found.verified && found.account_count == Some(500));
    spoil_a_frame(&data);
    let error = judge(&data, "kept", true, &mut [], &mut |_, _, _| {}).expect_err("a byte was changed");
    assert!(matches!(error, BenchError::NotIntact(_)), "{error}");
}

/// Changes one byte in the middle of the journal.
fn spoil_a_frame(data: &Path) {
    let config = Config { data: data.to_path_buf(), ..Config::default() };
    let store: Arc<dyn Store> = open_store(&config).expect("no server uses it").store;
    let mut frames = Vec::new();
    store
        .scan(Space::Journal, &[], Direction::Forward, &mut |key, frame| {
            frames.push((key.to_vec(), frame.to_vec()));
            std::ops::ControlFlow::Continue(())
        })
        .expect("it can be read");
    let (key, mut frame) = frames.swap_remove(frames.len() / 2);
    let middle = frame.len() / 2;
    frame[middle] ^= 1;
    let mut batch = Batch::default();
    batch.put(Space::Journal, key, frame);
    store.write(&batch, Durability::Synced).expect("it can be written");
}
