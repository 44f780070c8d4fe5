//! The command line as scripts and people use it: help, exit statuses, one JSON object, and what each command does
//! against a real server.

mod harness;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use harness::{Ran, Server, program, repository, run, run_as, text, wait_for};
use serde_json::Value;
use tempfile::TempDir;

/// Nobody listens here: the port is reserved.
const NOBODY: &str = "http://127.0.0.1:1";

const HEADER: &str = "basket_id,household_id,store_id,time,product_id,department,category,brand,quantity,amount_cents";
const GOOD_ROWS: [&str; 4] = [
    "1,9,330,2017-01-01T11:53:26Z,1095275,PASTRY,ROLLS,National,1,250",
    "1,9,330,2017-01-01T11:53:26Z,9878513,GROCERY,NAPKINS,Private,1,199",
    "2,10,330,2017-01-01T12:10:28Z,9878513,FUEL,,,1,5000",
    "3,9,406,2017-01-02T12:26:30Z,1041453,GROCERY,SNACKS,Private,1,10000",
];

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary directory can be made")
}

fn csv(folder: &Path, rows: &[&str]) -> String {
    let path = folder.join("baskets.csv");
    fs::write(&path, format!("{HEADER}\n{}\n", rows.join("\n"))).expect("a file can be written");
    text(&path).to_owned()
}

/// A server that takes history in, with the grocery programme.
fn history_server(folder: &Path) -> Server {
    Server::start(folder, &["--clock", "input", "--program", text(&repository("deploy/programs/basic.toml"))])
}

/// A server with the four rows above loaded.
fn loaded_server(folder: &Path) -> Server {
    let server = history_server(folder);
    let file = csv(folder, &GOOD_ROWS);
    server.run(&["import", "baskets", &file]).expect(0);
    server
}

#[test]
fn every_command_explains_itself() {
    let commands: [&[&str]; 55] = [
        &[],
        &["serve"],
        &["demo"],
        &["bench"],
        &["import"],
        &["import", "baskets"],
        &["import", "segments"],
        &["import", "accounts"],
        &["import", "events"],
        &["export"],
        &["export", "accounts"],
        &["export", "journal"],
        &["program"],
        &["program", "check"],
        &["program", "publish"],
        &["program", "show"],
        &["why"],
        &["desk"],
        &["desk", "balance"],
        &["desk", "rewards"],
        &["desk", "statement"],
        &["desk", "transaction"],
        &["desk", "redeem"],
        &["desk", "top-up"],
        &["desk", "authorize"],
        &["desk", "capture"],
        &["desk", "void"],
        &["desk", "reverse"],
        &["operator"],
        &["operator", "list"],
        &["operator", "release"],
        &["operator", "reject"],
        &["operator", "unexpire"],
        &["operator", "adjust"],
        &["operator", "give-voucher"],
        &["operator", "cancel-voucher"],
        &["proposals"],
        &["proposals", "list"],
        &["proposals", "confirm"],
        &["proposals", "reject"],
        &["operator", "freeze"],
        &["operator", "thaw"],
        &["operator", "freezes"],
        &["operator", "receipts"],
        &["operator", "velocity"],
        &["audit"],
        &["audit", "verify"],
        &["sim"],
        &["status"],
        &["backup"],
        &["restore"],
        &["errors"],
        &["errors", "show"],
        &["errors", "list"],
        &["completions"],
    ];
    for command in commands {
        for flag in ["-h", "--help"] {
            let help = run(command.iter().chain([&flag])).expect(0);
            let usage = format!("Usage: tallystick {}", command.join(" "));
            assert!(help.stdout.contains(usage.trim_end()), "{}", help.stdout);
            let about = help.stdout.lines().next().unwrap_or_default();
            assert!(about.len() > 10 && !about.starts_with("Usage"), "{command:?} does not say what it is for");
            assert_eq!(help.stderr, "");
        }
    }
    assert_eq!(run(["--version"]).expect(0).stdout, format!("tallystick {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn mistakes_of_usage_end_with_two() {
    let rows: [&[&str]; 15] = [
        &[],
        &["sell"],
        &["import", "baskets"],
        &["import", "baskets", "a.csv", "--window", "0"],
        &["import", "baskets", "a.csv", "--posting-time", "yesterday"],
        &["import", "baskets", "a.csv", "--redemptions", "r.csv"],
        &["import", "baskets", "a.csv", "--redemptions", "r.csv", "--redeem-points", "0"],
        &["import", "segments", "a.csv", "--at", "yesterday"],
        &["export", "accounts", "--as-of", "2017-04-01"],
        &["export", "accounts", "--format", "parquet"],
        &["export", "accounts", "--json"],
        &["export", "journal", "--data", "x", "--json"],
        &["program", "publish", "a.toml", "--effective-time", "soon"],
        &["status", "--server", "https://127.0.0.1:7007"],
        &["completions", "csh"],
    ];
    for row in rows {
        let ran = run(row).expect(2);
        assert!(!ran.stderr.is_empty() || ran.stdout.contains("\"exit_status\": 2"), "{row:?}: {ran:?}");
    }
    let parquet = run(["export", "accounts", "--format", "parquet"]);
    assert!(parquet.stderr.contains("Parquet is not supported yet"), "{parquet:?}");
}

#[test]
fn a_server_that_is_not_there_is_unavailable() {
    let folder = folder();
    let file = csv(folder.path(), &GOOD_ROWS);
    let sample = repository("deploy/programs/basic.toml");
    let rows: [&[&str]; 5] = [
        &["status"],
        &["export", "accounts", "--format", "json"],
        &["program", "show"],
        &["program", "publish", text(&sample)],
        &["import", "baskets", &file, "--posting-time", "none", "--patience", "1"],
    ];
    for row in rows {
        let plain = run(row.iter().chain(&["--server", NOBODY])).expect(69);
        assert_eq!(plain.stdout, "", "{row:?}");
        assert!(plain.stderr.contains("error: ") && plain.stderr.contains(NOBODY), "{row:?}: {}", plain.stderr);
        let object = run(row.iter().chain(&["--server", NOBODY, "--json"])).expect(69).object();
        assert_eq!(object["error"]["kind"], "unavailable", "{row:?}");
        assert_eq!(object["error"]["exit_status"], 69);
        assert!(object["error"]["message"].as_str().is_some_and(|message| message.contains(NOBODY)));
    }
}

#[test]
fn a_programme_file_is_checked_without_a_server() {
    let folder = folder();
    for name in [
        "basic",
        "coffee-shop",
        "grocery",
        "craft-shop",
        "beauty",
        "engagement",
        "profit-minded",
        "stamp-card",
        "stars",
    ] {
        let path = repository(&format!("deploy/programs/{name}.toml"));
        let ran = run(["program", "check", text(&path)]).expect(0);
        assert!(ran.stdout.contains("can be published; 0 errors"), "{}", ran.stdout);
        let object = run(["program", "check", text(&path), "--json"]).expect(0).object();
        assert_eq!((&object["ok"], &object["error_count"]), (&Value::Bool(true), &Value::from(0)));
        assert!(object["summary"].as_array().is_some_and(|lines| lines.len() > 3));
    }
    let grocery = repository("deploy/programs/grocery.toml");
    let outlook = "a basket of 35.00 USD earns 35 points, 1 for each 1.00 USD; first reward after 3 baskets";
    let ran = run(["program", "check", text(&grocery)]).expect(0);
    assert!(ran.stdout.contains(outlook), "{}", ran.stdout);
    let object = run(["program", "check", text(&grocery), "--json"]).expect(0).object();
    assert_eq!(object["outlook"]["words"], outlook);
    assert_eq!(
        (&object["outlook"]["basket_units"], &object["outlook"]["baskets_to_first_reward"]),
        (&35.into(), &3.into())
    );

    let source = fs::read_to_string(repository("deploy/programs/basic.toml")).expect("the sample is there");
    let path = folder.path().join("broken.toml");
    let broken = source.replacen("units = 1\n", "unit = 1\n", 1);
    assert_ne!(broken, source);
    let line = 1 + broken.lines().position(|line| line == "unit = 1").expect("it was put there");
    fs::write(&path, &broken).expect("a file can be written");
    let ran = run(["program", "check", text(&path)]).expect(65);
    let place = format!("{}:{line}:1: error: ", path.display());
    assert!(ran.stdout.contains(&place), "{}", ran.stdout);
    assert!(ran.stdout.contains("hint: "), "{}", ran.stdout);
    assert!(ran.stdout.contains("cannot be published"), "{}", ran.stdout);
    let object = run(["program", "check", text(&path), "--json"]).expect(65).object();
    let problems = object["problems"].as_array().expect("problems are a list");
    assert!(problems.iter().any(|problem| problem["line"] == line && problem["severity"] == "error"));
    // The same file is not sent to a server either; nobody needs to be there to say so.
    let published = run(["program", "publish", text(&path), "--server", NOBODY]).expect(65);
    assert!(published.stdout.contains(&place), "{published:?}");

    fs::write(&path, b"[program]\nname = \"\xff\"\n").expect("a file can be written");
    let ran = run(["program", "check", text(&path)]).expect(65);
    assert!(ran.stderr.contains("broken.toml:2: the file is not UTF-8"), "{}", ran.stderr);
    run(["program", "check", text(&folder.path().join("absent.toml"))]).expect(74);
}

#[test]
fn a_mistake_in_a_file_of_baskets_is_located_and_the_import_can_go_on() {
    let folder = folder();
    let server = history_server(folder.path());
    let mut rows = GOOD_ROWS.to_vec();
    rows[3] = "3,9,406,2017-01-02T12:26:30Z,1041453,GROCERY,SNACKS,Private,1,ten dollars";
    let file = csv(folder.path(), &rows);
    let ran = server.run(&["import", "baskets", &file]).expect(65);
    let expected = format!("error: {file}:5: column amount_cents: \"ten dollars\" is not a whole number");
    assert!(ran.stderr.contains(&expected), "{}", ran.stderr);
    assert!(ran.stderr.contains("2 baskets had been answered; once that is mended, start it again"), "{}", ran.stderr);
    let object = server.run(&["import", "baskets", &file, "--json"]).expect(65).object();
    assert_eq!(object["error"]["kind"], "bad-data");

    let file = csv(folder.path(), &GOOD_ROWS);
    let object = server.run(&["import", "baskets", &file, "--json"]).expect(0).object();
    let count = |name: &str| object[name].as_i64().unwrap_or_else(|| panic!("{name} in {object}"));
    assert_eq!((count("row_count"), count("command_count"), count("answered_count")), (4, 3, 3));
    assert_eq!((count("accepted_count"), count("replayed_count"), count("refused_count")), (1, 2, 0));

    // 2.50 + 2 x 1.99 earn 6; the 10,000 cents of Private would earn 200; fuel earns nothing.
    let exported = server.run(&["export", "accounts", "--account-column", "household_id"]).expect(0);
    assert_eq!(
        exported.stdout,
        "household_id,baskets,earned,redeemed,expired,balance,clipped,\
         refused_baskets,refused_redemptions,qualifying_cents\n\
         9,2,206,0,0,206,0,0,0,10449\n\
         10,1,0,0,0,0,0,0,0,0\n"
    );
    server.stop();
}

fn file(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, content).expect("a file can be written");
    text(&path).to_owned()
}

#[test]
fn history_is_more_than_baskets() {
    let folder = folder();
    let server = history_server(folder.path());
    let accounts = "account_id,wallet,points,issuer,expires_at\n\
                    9,points,40,,\n9,points,10,north,2017-01-02T00:00:00Z\n11,points,5,,\n";
    let accounts = file(folder.path(), "accounts.csv", accounts);
    let segments = file(folder.path(), "segments.csv", "campaign,member,note\n1,9,x\n2,9,\n1,12,\n");
    let redemptions = "redemption_id,household_id,time\n\
                       0,9,2017-01-01T11:53:26Z\n1,9,2017-01-01T12:10:28Z\n2,13,2017-01-03T00:00:00Z\n";
    let redemptions = file(folder.path(), "redemptions.csv", redemptions);
    let events = "transaction_id,account_id,time,kind,points,activity\n\
                  e1,9,2017-01-04T00:00:00Z,activity,,review\ne2,9,2017-01-04T00:00:00Z,redemption,7,\n\
                  e3,11,2017-01-04T00:00:00Z,redemption,6,\n";
    let events = file(folder.path(), "events.csv", events);
    let baskets = csv(folder.path(), &GOOD_ROWS);

    // Where times come from the import, each import says when.
    let ran = server.run(&["import", "accounts", &accounts]).expect(2);
    assert!(ran.stderr.contains("say with --at TIME"), "{}", ran.stderr);
    let at = ["--at", "2017-01-01T00:00:00Z", "--json"];
    let columns = ["--account-column", "member", "--segment-column", "campaign", "--segment-prefix", "campaign-"];
    let imports: [Vec<&str>; 4] = [
        [&["import", "accounts", &accounts], &at[..]].concat(),
        [&["import", "segments", &segments], &at[..], &columns].concat(),
        vec!["import", "baskets", &baskets, "--redemptions", &redemptions, "--redeem-points", "45", "--json"],
        vec!["import", "events", &events, "--json"],
    ];
    let counts = |object: &Value, count: &str| {
        let kinds = object["kinds"].as_object().expect("the kinds are counted");
        kinds.iter().map(|(kind, counts)| format!("{kind} {}", counts[count])).collect::<Vec<_>>().join(", ")
    };
    let expected = [
        ("opening_balance 2", "opening_balance 0"),
        ("enrolment 3", "enrolment 0"),
        // The first redemption finds 50 points and the second the 5 that are left and 6 of the basket between them.
        ("basket 3, enrolment 2, redemption 1", "basket 0, enrolment 0, redemption 2"),
        ("activity 1, redemption 1", "activity 0, redemption 1"),
    ];
    for (import, (accepted, refused)) in imports.iter().zip(expected) {
        let object = server.run(import).expect(0).object();
        assert_eq!((&*counts(&object, "accepted_count"), &*counts(&object, "refused_count")), (accepted, refused));
    }
    let exported = [
        "account_id,baskets,earned,redeemed,expired,balance,clipped,refused_baskets,refused_redemptions,\
         qualifying_cents",
        "9,2,256,52,0,204,0,0,1,10449",
        "10,1,0,0,0,0,0,0,0,0",
        "11,0,5,0,0,5,0,0,1,0",
        "12,0,0,0,0,0,0,0,0,0",
        "13,0,0,0,0,0,0,0,1,0",
    ];
    let all = server.run(&["export", "accounts"]).expect(0).stdout;
    assert_eq!(all.lines().collect::<Vec<_>>(), exported);
    let with_transactions = server.run(&["export", "accounts", "--with-transactions"]).expect(0).stdout;
    assert_eq!(with_transactions, all.replace("12,0,0,0,0,0,0,0,0,0\n", ""), "one was only enrolled");

    // All of it once more: nothing happens.
    for (import, (accepted, _)) in imports.iter().zip(expected) {
        let object = server.run(import).expect(0).object();
        assert_eq!(counts(&object, "replayed_count"), accepted);
    }
    assert_eq!(server.run(&["export", "accounts"]).expect(0).stdout, all);
    // What an account had elsewhere is loaded once; other figures are a mistake that is shown.
    let other = file(folder.path(), "other.csv", "account_id,wallet,points\n11,points,6\n");
    let ran = server.run(&["import", "accounts", &other, "--at", "2017-01-04T00:00:00Z"]).expect(1);
    assert!(ran.stdout.contains("opening balance opening-") && ran.stdout.contains("(lots)"), "{}", ran.stdout);
    server.stop();

    let data = folder.path().join("data");
    let ran = run(["export", "journal", "--data", text(&data)]).expect(0);
    let records: Vec<Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    let find = |id: &str| records.iter().find(|record| record["transaction_id"] == id).expect("it was imported");
    assert_eq!(find("redemption-0")["redemption"]["points"], 45);
    // What dies first is burned first.
    let lots = &find("redemption-0")["decision"]["lots"];
    assert_eq!((&lots[0]["issuer"], &lots[0]["points"]), (&Value::from("north"), &Value::from(-10)));
    assert_eq!((&lots[1]["movement"], &lots[1]["points"]), (&Value::from("burn"), &Value::from(-35)));
    assert_eq!(find("redemption-1")["decision"]["refusal"], "INSUFFICIENT_BALANCE");
    assert_eq!(find("e1")["activity"]["kind"], "review");
    let enrolments: Vec<&Value> = records.iter().filter(|record| record["kind"] == "enrolment").collect();
    assert_eq!(enrolments[0]["enrolment"]["join_segments"][0], "campaign-1");
    assert_eq!(run(["audit", "verify", "--json", "--data", text(&data)]).expect(0).object()["intact"], true);
}

/// Whoever switches brings cards along: they come with the balances, and then baskets know nothing but the card.
#[test]
fn cards_come_with_balances_and_name_the_accounts_of_baskets() {
    let folder = folder();
    let server = history_server(folder.path());
    let accounts = "account_id,wallet,points,identifier_kind,identifier\n\
                    9,points,40,card,0042\n9,points,10,,\n9,,,phone,+1 555\n11,,,card,0043\n,points,5,card,0043\n";
    let accounts = file(folder.path(), "accounts.csv", accounts);
    let baskets = "basket_id,household_id,store_id,time,product_id,department,category,brand,quantity,amount_cents,\
                   identifier_kind,identifier,member_id\n\
                   1,,330,2017-01-01T11:53:26Z,1,PASTRY,,,1,250,card,0042,zoe-9\n\
                   1,,330,2017-01-01T11:53:26Z,2,PASTRY,,,1,50,card,0042,zoe-9\n\
                   2,9,330,2017-01-01T12:00:00Z,1,PASTRY,,,1,100,,,bob\n\
                   3,,330,2017-01-01T12:30:00Z,1,PASTRY,,,1,700,card,0043,\n\
                   4,,330,2017-01-01T12:40:00Z,1,PASTRY,,,1,700,card,9999,\n";
    let baskets = file(folder.path(), "baskets.csv", baskets);
    let load = ["import", "accounts", &accounts, "--at", "2017-01-01T00:00:00Z", "--json"];
    let kinds = |object: &Value, count: &str| {
        let kinds = object["kinds"].as_object().expect("the kinds are counted");
        kinds.iter().map(|(kind, counts)| format!("{kind} {}", counts[count])).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(kinds(&server.run(&load).expect(0).object(), "accepted_count"), "identifier 3, opening_balance 2");
    let ran = server.run(&["import", "baskets", &baskets]).expect(1);
    assert!(ran.stdout.contains("3 accepted, 0 replayed, 1 refused"), "{}", ran.stdout);
    assert!(ran.stdout.contains(&format!("{baskets}:6: basket 4: IDENTIFIER_UNKNOWN: ")), "{}", ran.stdout);
    let header = "account_id,baskets,earned,redeemed,expired,balance,clipped,refused_baskets,refused_redemptions,\
                  qualifying_cents";
    let exported = [header, "9,2,54,0,0,54,0,0,0,400", "11,1,12,0,0,12,0,0,0,700"];
    let all = server.run(&["export", "accounts"]).expect(0).stdout;
    assert_eq!(all.lines().collect::<Vec<_>>(), exported);
    // Once more: what the server has is answered again.
    assert_eq!(kinds(&server.run(&load).expect(0).object(), "replayed_count"), "identifier 3, opening_balance 2");
    let object = server.run(&["import", "baskets", &baskets, "--json"]).expect(1).object();
    assert_eq!(kinds(&object, "replayed_count"), "basket 3");
    server.stop();
    let data = folder.path().join("data");
    let ran = run(["export", "journal", "--data", text(&data)]).expect(0);
    assert!(
        !ran.stdout.contains("\"0042\"") && !ran.stdout.contains("zoe-9"),
        "neither card nor member is in the journal"
    );
    assert_eq!(run(["audit", "verify", "--json", "--data", text(&data)]).expect(0).object()["intact"], true);
}

#[test]
fn refused_baskets_are_counted_by_code_and_end_with_one() {
    let folder = folder();
    // By the machine's clock, receipts of 2017 are too late by far.
    let server = Server::start(folder.path(), &["--program", text(&repository("deploy/programs/basic.toml"))]);
    let file = csv(folder.path(), &GOOD_ROWS);
    let ran = server.run(&["import", "baskets", &file]).expect(1);
    assert!(ran.stdout.contains("0 accepted, 0 replayed, 3 refused"), "{}", ran.stdout);
    assert!(ran.stdout.contains("refused RECEIPT_TOO_OLD: 3"), "{}", ran.stdout);
    assert!(ran.stdout.contains(&format!("{file}:2: basket 1: RECEIPT_TOO_OLD: ")), "{}", ran.stdout);
    let object = server.run(&["import", "baskets", &file, "--json"]).expect(1).object();
    assert_eq!(object["refused"]["RECEIPT_TOO_OLD"], 3);

    let ran = server.run(&["import", "baskets", &file, "--currency", "EUR"]).expect(65);
    assert!(ran.stderr.contains("basket.currency_code"), "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("{file}:2: basket 1")), "{}", ran.stderr);
}

#[test]
fn accounts_are_exported_from_a_server_and_from_its_directory_alike() {
    let folder = folder();
    let server = loaded_server(folder.path());
    let online = server.run(&["export", "accounts"]).expect(0).stdout;
    let earlier = server.run(&["export", "accounts", "--as-of", "2017-01-01T12:00:00Z"]).expect(0).stdout;
    assert_eq!(earlier.lines().count(), 2, "{earlier}");
    assert!(earlier.ends_with("\n9,1,6,0,0,6,0,0,0,449\n"), "{earlier}");

    let json = server.run(&["export", "accounts", "--format", "json"]).expect(0).object();
    assert_eq!(json["accounts"][0]["account_id"], "9");
    assert_eq!(json["accounts"][0]["wallets"][0]["balance"], 206);
    assert_eq!(json["accounts"][0]["metrics"]["qualifying_cents"], 10_449);
    assert_eq!(json["as_of_time"], "2017-01-02T12:26:30Z");

    let out = folder.path().join("accounts.csv");
    let said = server.run(&["export", "accounts", "--out", text(&out), "--json"]).expect(0).object();
    assert_eq!(said["row_count"], 2);
    assert_eq!(fs::read_to_string(&out).expect("the file was written"), online);
    assert!(!folder.path().join("accounts.csv.part").exists());
    let nowhere = folder.path().join("nowhere/accounts.csv");
    server.run(&["export", "accounts", "--out", text(&nowhere)]).expect(73);

    let data = folder.path().join("data");
    let locked = run(["export", "accounts", "--data", text(&data)]).expect(73);
    assert!(locked.stderr.contains("in use by another process"), "{}", locked.stderr);
    server.stop();
    for as_of in [&[][..], &["--as-of", "2017-01-01T12:00:00Z"]] {
        let offline = run(["export", "accounts", "--data", text(&data)].iter().chain(as_of)).expect(0).stdout;
        assert_eq!(offline, if as_of.is_empty() { online.clone() } else { earlier.clone() });
    }
}

#[test]
fn a_directory_goes_before_a_server_that_only_the_environment_names() {
    let folder = folder();
    Server::start(folder.path(), &[]).stop();
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    let rows: [&[&str]; 3] = [
        &["backup", "--to", text(&copy)],
        &["keys", "create", "--name", "first", "--role", "administrator"],
        &["keys", "list"],
    ];
    for row in rows {
        let both = run(row.iter().chain(&["--data", text(&data), "--server", NOBODY])).expect(2);
        assert!(both.stderr.contains("'--data <DIR>' cannot be used with '--server <URL>'"), "{row:?}: {both:?}");
        let with_variable = |further: &[&str]| {
            let mut command = program();
            command.env("TALLYSTICK_SERVER", NOBODY).args(row).args(further);
            let output = command.output().expect("the program can be started");
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let (status, errors) = with_variable(&[]);
        assert_eq!((status, errors.contains(NOBODY)), (Some(69), true), "{row:?}: {errors}");
        let (status, errors) = with_variable(&["--data", text(&data)]);
        assert_eq!(status, Some(0), "{row:?}: {errors}");
    }
    assert!(copy.join("backup.json").exists());
}

#[test]
fn the_journal_is_exported_as_lines_of_json() {
    let folder = folder();
    loaded_server(folder.path()).stop();
    let data = folder.path().join("data");
    let ran = run(["export", "journal", "--data", text(&data)]).expect(0);
    let records: Vec<Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    for (index, record) in records.iter().enumerate() {
        assert_eq!(record["position"], index, "{record}");
    }
    let of_kind = |kind: &str| records.iter().filter(|record| record["kind"] == kind).collect::<Vec<_>>();
    assert_eq!(of_kind("opening").len(), 1);
    assert_eq!(of_kind("program").len(), 1);
    let accruals = of_kind("accrual");
    assert_eq!(accruals.len(), 3);
    let last = accruals.iter().find(|record| record["transaction_id"] == "3").expect("it was imported");
    assert_eq!(last["account_id"], "9", "the id stands also where the record itself does not state it");
    assert_eq!(last["basket"]["lines"][0]["brand"], "Private");
    assert_eq!(last["basket"]["receipt_time"], "2017-01-02T12:26:30Z");
    assert_eq!(last["decision"]["granted_points"], 200);
    assert_eq!(last["decision"]["lines"][0]["rule"], "private-brand-double");

    let out = folder.path().join("journal.jsonl");
    let said = run(["export", "journal", "--data", text(&data), "--out", text(&out), "--json"]).expect(0).object();
    assert_eq!(said["record_count"], records.len());
    assert_eq!(fs::read_to_string(&out).expect("the file was written"), ran.stdout);
}

#[test]
fn a_journal_is_verified_and_damage_is_told_apart() {
    let folder = folder();
    let server = loaded_server(folder.path());
    let digest = server.digest();
    let data = folder.path().join("data");
    let locked = run(["audit", "verify", "--data", text(&data)]).expect(73);
    assert!(locked.stderr.contains("in use by another process"), "{}", locked.stderr);
    server.stop();

    let ran = run(["audit", "verify", "--data", text(&data)]).expect(0);
    assert!(ran.stdout.contains("3 accruals") && ran.stdout.trim_end().ends_with(": intact"), "{}", ran.stdout);
    let object = run(["audit", "verify", "--data", text(&data), "--json"]).expect(0).object();
    assert_eq!(object["intact"], true);
    assert_eq!(object["digest"], digest.as_str());
    assert_eq!(object["records"]["accruals"], 3);

    let absent = folder.path().join("absent");
    run(["audit", "verify", "--data", text(&absent)]).expect(73);
    assert!(!absent.exists(), "a directory that is only read is not made");

    fs::write(data.join("high-water"), b"nonsense").expect("the mark can be overwritten");
    let ran = run(["audit", "verify", "--data", text(&data)]).expect(76);
    assert!(ran.stderr.contains("damaged"), "{}", ran.stderr);
    let object = run(["audit", "verify", "--data", text(&data), "--json"]).expect(76).object();
    assert_eq!(object["error"]["kind"], "damaged");
}

#[test]
fn a_status_says_how_the_server_stands() {
    let folder = folder();
    let server = loaded_server(folder.path());
    let ran = server.run(&["status", "--digest"]).expect(0);
    for fact in ["input", "version 1 in force", "digest", "256 virtual shards"] {
        assert!(ran.stdout.contains(fact), "{fact} is missing in\n{}", ran.stdout);
    }
    let status = server.status();
    assert_eq!((&status["account_count"], &status["clock"]), (&Value::from(2), &Value::from("input")));
    assert_eq!(status["posting_time"], "2017-01-02T12:26:30Z");
    assert_eq!(status["epoch"], 1);
    assert!(status["digest"].is_null());
    assert_eq!(server.digest().len(), 64);
}

#[test]
fn a_programme_is_published_once_and_shown_as_it_was_written() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]);
    let sample = fs::read_to_string(repository("deploy/programs/coffee-shop.toml")).expect("the sample is there");
    let shown = server.run(&["program", "show"]).expect(0);
    assert_eq!(shown.stdout, sample, "byte for byte");
    assert!(shown.stderr.contains("version 1 of coffee-shop"), "{}", shown.stderr);

    let path = folder.path().join("next.toml");
    fs::write(&path, sample.replacen("limit = 60", "limit = 80", 1)).expect("a file can be written");
    let publish = ["program", "publish", text(&path), "--effective-time", "2100-01-01T00:00:00Z", "--json"];
    let first = server.run(&publish).expect(0).object();
    assert_eq!((&first["version"], &first["replayed"]), (&Value::from(2), &Value::Bool(false)));
    assert_eq!(first["effective_time"], "2100-01-01T00:00:00Z");
    let again = server.run(&publish).expect(0).object();
    assert_eq!((&again["version"], &again["replayed"]), (&Value::from(2), &Value::Bool(true)));

    let second = server.run(&["program", "show", "--version", "2", "--json"]).expect(0).object();
    assert!(second["source"].as_str().is_some_and(|source| source.contains("limit = 80")));
    let at = server.run(&["program", "show", "--at", "2100-06-01T00:00:00Z", "--json"]).expect(0).object();
    assert_eq!(at["version"], 2);
    let in_force = server.run(&["program", "show", "--json"]).expect(0).object();
    assert_eq!(in_force["version"], 1);

    let missing = server.run(&["program", "show", "--version", "3"]).expect(65);
    assert!(missing.stderr.contains("PROGRAM_UNKNOWN"), "{}", missing.stderr);
    let late = ["program", "publish", text(&path), "--effective-time", "2099-01-01T00:00:00Z"];
    let refused = server.run(&late).expect(65);
    assert!(refused.stderr.contains("EFFECTIVE_TIME_REFUSED"), "{}", refused.stderr);
}

#[test]
fn completions_are_scripts_of_their_shells() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(["completions", shell]).expect(0).stdout;
        for word in ["tallystick", "import", "verify", "--as-of"] {
            let bare = word.trim_start_matches('-');
            assert!(script.contains(bare), "{shell} does not know {word}");
        }
    }
    let script = run(["completions", "bash"]).stdout;
    // In a file: it is longer than one argument may be.
    let mut file = tempfile::NamedTempFile::new().expect("a file can be made");
    std::io::Write::write_all(&mut file, script.as_bytes()).expect("it can be written");
    let checked = Command::new("bash").arg("-n").arg(file.path()).status();
    assert!(checked.is_ok_and(|status| status.success()), "bash cannot read its completions");
    assert_eq!(run(["completions", "zsh", "--json"]).expect(0).object()["shell"], "zsh");
}

#[test]
fn a_reader_that_goes_away_is_no_fault_of_ours() {
    // The completions are longer than a pipe holds, so that writing goes on when nobody reads any more.
    let mut child = program()
        .args(["completions", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().expect("it was piped").read_to_string(&mut said).expect("it can be read");
    child.wait().expect("it ends");
    assert_eq!(said, "");
}

/// A server would not start with what the environment says here.
fn demo(arguments: &[&str], within: &Path) -> Ran {
    run_as(program().env("TALLYSTICK_WORKERS", "none").args(["demo", "--within", text(within)]).args(arguments))
}

#[test]
fn the_demonstration_comes_out_as_it_must_and_cleans_up() {
    let folder = folder();
    let ran = demo(&[], folder.path()).expect(0);
    for fact in ["replayed: the first answer again", "kill -9", "recovered ", "the last bean", "all as expected"] {
        assert!(ran.stdout.contains(fact), "{fact} is missing in\n{}", ran.stdout);
    }
    assert!(!ran.stdout.contains('\x1b'), "colours are for terminals");
    assert_eq!(fs::read_dir(folder.path()).expect("the folder is there").count(), 0, "it leaves nothing behind");
}

#[test]
fn the_demonstration_keeps_its_directory_when_it_is_asked_to() {
    let folder = folder();
    let object = demo(&["--keep", "--json"], folder.path()).expect(0).object();
    assert_eq!((&object["ok"], &object["failed_count"]), (&Value::Bool(true), &Value::from(0)));
    assert!(object["scenes"].as_array().is_some_and(|scenes| scenes.len() >= 12));
    let data = object["data_path"].as_str().expect("it was kept");
    let verified = run(["audit", "verify", "--data", data, "--json"]).expect(0).object();
    assert_eq!(verified["wallets"][0]["outstanding_units"], 5_000);
}

#[test]
fn a_demonstration_that_a_signal_ends_leaves_nothing_behind() {
    let folder = folder();
    let mut command = program();
    command.args(["demo", "--within", text(folder.path())]).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().expect("the program can be started");
    wait_for("its server", || {
        let mut places = fs::read_dir(folder.path()).ok()?.filter_map(Result::ok);
        places.any(|place| place.path().join("ready").exists()).then_some(())
    });
    let id = child.id().to_string();
    let told = Command::new("sh").args(["-c", "kill -s TERM \"$0\"", &id]).status();
    assert!(told.expect("there is a shell").success());
    let output = child.wait_with_output().expect("the demonstration ends");
    assert_eq!(output.status.code(), Some(128 + 15), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read_dir(folder.path()).expect("the folder is there").count(), 0, "it leaves nothing behind");
}

#[test]
fn errors_are_explained_without_a_server() {
    let shown = run(["errors", "show", "7"]).expect(0);
    let page = fs::read_to_string(repository("docs/errors/0007-balance-limit-exceeded.md")).expect("the page is there");
    assert_eq!(shown.stdout, page);
    assert_eq!(run(["errors", "show", "balance_limit_exceeded"]).expect(0).stdout, page);
    let both = run(["errors", "show", "OVERLOADED", "--json"]).expect(0).object();
    let numbers: Vec<&Value> =
        both["errors"].as_array().expect("a list").iter().map(|error| &error["number"]).collect();
    assert_eq!(numbers, [12, 1_004]);
    assert_eq!(both["errors"][0]["journaled"], false);
    let listed = run(["errors", "list"]).expect(0).stdout;
    let list = run(["errors", "list", "--json"]).expect(0).object();
    for error in list["errors"].as_array().expect("a list") {
        assert!(listed.contains(error["sentence"].as_str().expect("a sentence")), "{error}");
    }
    let unknown = run(["errors", "show", "NOBODY"]).expect(2);
    assert!(unknown.stderr.contains("errors list"), "{unknown:?}");
}

#[test]
fn a_call_that_fails_names_its_page() {
    let folder = folder();
    let server = history_server(folder.path());
    let failed = server.run(&["program", "show", "--version", "9"]).expect(65);
    assert!(failed.stderr.contains("tallystick errors show 1011"), "{failed:?}");
}

#[test]
fn a_server_says_whether_a_file_can_follow_its_versions() {
    let folder = folder();
    let server = history_server(folder.path());
    let sample = fs::read_to_string(repository("deploy/programs/basic.toml")).expect("the sample is there");
    let path = folder.path().join("next.toml");
    let raised = sample.replacen("[program]\n", "[program]\nlate_limit_days = 31\n", 1);
    assert_ne!(raised, sample);
    let line = 1 + raised.lines().position(|line| line == "late_limit_days = 31").expect("it was put there");
    fs::write(&path, &raised).expect("a file can be written");
    run(["program", "check", text(&path)]).expect(0);
    let asked = server.run(&["program", "check", text(&path)]).expect(65);
    let place = format!("{}:{line}:1: error: `late_limit_days` is 31, but may not be raised", path.display());
    assert!(asked.stdout.contains(&place), "{}", asked.stdout);
    let published = server.run(&["program", "publish", text(&path)]).expect(65);
    assert!(published.stderr.contains(&format!("source: {line}:1: `late_limit_days` is 31")), "{published:?}");
    fs::write(&path, sample).expect("a file can be written");
    server.run(&["program", "check", text(&path)]).expect(0);
}
