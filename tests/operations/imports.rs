//! Imports as somebody runs them who switches: with the keys of a partner, with cards that change hands, and with files
//! that are wrong.

use std::fs;
use std::path::Path;

use crate::harness::{Server, repository, text};

fn file(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    text(&path).to_owned()
}

fn server(folder: &Path, arguments: &[&str]) -> Server {
    let program = repository("deploy/programs/basic.toml");
    Server::start(folder, &[&["--program", text(&program)][..], arguments].concat())
}

/// A server that asks for keys, and the file with that of a partner's office.
fn server_with_keys(folder: &Path, clock: &str, role: &str) -> (Server, String) {
    let (first, office) = (folder.join("first"), folder.join("office"));
    let first = text(&first);
    let server = server(folder, &["--clock", clock, "--authentication", "required", "--first-key-file", first]);
    let create = ["keys", "create", "--name", "office", "--role", role, "--partner", "north", "--out", text(&office)];
    server.run(&[&create[..], &["--api-key-file", first]].concat()).expect(0);
    (server, text(&office).to_owned())
}

const ACCOUNTS: &str = "account_id,wallet,points\na,,50\n";
const SEGMENTS: &str = "account_id,segment\na,gold\n";
const EVENTS: &str = "transaction_id,account_id,time,kind,identifier_kind,identifier\n\
                      l1,a,2017-01-01T00:00:00Z,link,card,0042\n";

#[test]
fn the_office_of_a_partner_imports_with_its_own_key() {
    let at: &[&str] = &["--at", "2017-01-01T00:00:00Z"];
    let receipt: &[&str] = &["--posting-time", "receipt"];
    let clocks: [(&str, &[&str], &[&str]); 2] = [("system", &[], &[]), ("input", at, receipt)];
    for (clock, at, receipt) in clocks {
        let folder = tempfile::tempdir().unwrap();
        let (server, key) = server_with_keys(folder.path(), clock, "back-office");
        let imports = [("accounts", ACCOUNTS, at), ("segments", SEGMENTS, at), ("events", EVENTS, receipt)];
        for (what, content, options) in imports {
            let file = file(folder.path(), what, content);
            let ran = server.run(&[&["import", what, &file, "--api-key-file", &key][..], options].concat()).expect(0);
            assert!(ran.stdout.contains("1 accepted, 0 replayed, 0 refused"), "{clock} {what}: {}", ran.stdout);
        }
        server.stop();
    }
}

#[test]
fn a_time_of_posting_that_the_server_cannot_use_is_located_for_a_key_that_may_not_ask() {
    for (clock, at) in [("input", ""), ("system", "2017-01-01T00:00:00Z")] {
        let folder = tempfile::tempdir().unwrap();
        let (server, key) = server_with_keys(folder.path(), clock, "back-office");
        for (what, content) in [("accounts", ACCOUNTS), ("segments", SEGMENTS)] {
            let file = file(folder.path(), what, content);
            let mut arguments = vec!["import", what, &file, "--api-key-file", &key];
            if !at.is_empty() {
                arguments.extend(["--at", at]);
            }
            let ran = server.run(&arguments).expect(65);
            assert!(ran.stderr.contains(&format!("{file}:2: ")), "{clock} {what}: {}", ran.stderr);
            assert!(ran.stderr.contains("\n  posting_time: It "), "{clock} {what}: {}", ran.stderr);
            assert!(ran.stderr.contains("hint: --at, or --posting-time"), "{clock} {what}: {}", ran.stderr);
        }
        server.stop();
    }
}

#[test]
fn a_role_that_may_not_load_balances_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let (server, key) = server_with_keys(folder.path(), "system", "gateway");
    let segments = file(folder.path(), "segments", SEGMENTS);
    server.run(&["import", "segments", &segments, "--api-key-file", &key]).expect(0);
    let accounts = file(folder.path(), "accounts", ACCOUNTS);
    server.run(&["import", "accounts", &accounts, "--api-key-file", &key]).expect(78);
    server.stop();
}

#[test]
fn a_card_changes_hands_from_one_row_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), &[]);
    let mut rows = "transaction_id,account_id,time,kind,identifier_kind,identifier\n".to_owned();
    for hand in 0..50 {
        for kind in ["link", "unlink"] {
            rows.push_str(&format!("{kind}-{hand},member-{hand},2017-01-01T00:00:00Z,{kind},card,0042\n"));
        }
    }
    let events = file(folder.path(), "events.csv", &rows);
    let ran = server.run(&["import", "events", &events]).expect(0);
    assert!(ran.stdout.contains("100 accepted, 0 replayed, 0 refused"), "{}", ran.stdout);
    server.stop();
}

#[test]
fn balances_of_one_account_that_are_scattered_over_a_file_are_not_lost_silently() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), &[]);
    let rows = [
        ("a,,50,,\nb,,20,,\na,,50,,\n", 4),
        ("c,,50,,\nc,,,card,1\nc,,50,,\n", 4),
        ("d,,50,,\nd,,50,,\ne,,20,,\nf,,1,,\nd,,50,card,2\n", 6),
    ];
    for (rows, line) in rows {
        let rows = format!("account_id,wallet,points,identifier_kind,identifier\n{rows}");
        let accounts = file(folder.path(), "accounts.csv", &rows);
        let ran = server.run(&["import", "accounts", &accounts]).expect(65);
        let place = format!("{accounts}:{line}: column account_id: the rows of one account and wallet must follow");
        assert!(ran.stderr.contains(&place), "{}", ran.stderr);
    }
    // Nothing was taken in of the rows at fault, nor of the load that was being read: not even the card.
    let exported = server.run(&["export", "accounts"]).expect(0).stdout;
    let mut balances: Vec<(&str, &str)> = exported.lines().skip(1).map(balance_of).collect();
    balances.sort_unstable();
    assert_eq!(balances, [("a", "50"), ("c", "50"), ("d", "100"), ("e", "20")]);
    let free = "transaction_id,account_id,time,kind,identifier_kind,identifier\n\
                l2,g,2017-01-01T00:00:00Z,link,card,2\n";
    let free = file(folder.path(), "free.csv", free);
    server.run(&["import", "events", &free]).expect(0);
    server.stop();
}

/// The account of an exported row, and its balance.
fn balance_of(row: &str) -> (&str, &str) {
    let fields: Vec<&str> = row.split(',').collect();
    (fields[0], fields[5])
}
