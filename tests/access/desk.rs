//! The desk at the command line: freezes, a second person and the lists, as people and scripts type them, over a restart.

use std::path::Path;

use serde_json::Value;

use crate::process::{Server, good, path, run, text};

/// One person at the desk: a key in a file.
struct Person<'a> {
    server: &'a str,
    key: &'a Path,
}

impl Person<'_> {
    fn says(&self, arguments: &[&str]) -> std::process::Output {
        let mut all = arguments.to_vec();
        all.extend(["--server", self.server, "--api-key-file", path(self.key)]);
        run(&all)
    }

    fn told(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend(arguments);
        serde_json::from_str(&good(&self.says(&all))).unwrap()
    }
}

#[test]
fn a_desk_of_two_freezes_thaws_and_confirms() {
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("first");
    let serve = [
        "--authentication",
        "required",
        "--first-key-file",
        path(&first),
        "--second-person",
        "thaw, adjust",
        "--second-person-hours",
        "2",
        "--rate-limits",
        "operator=1000/1000/8",
    ];
    let server = Server::start(folder.path(), &serve);
    let at = format!("http://{}", server.address);
    let keys = [folder.path().join("anna"), folder.path().join("ben")];
    for key in &keys {
        let admin = Person { server: &at, key: &first };
        good(&admin.says(&["keys", "create", "--name", "desk", "--role", "operator", "--out", path(key)]));
    }
    let anna = Person { server: &at, key: &keys[0] };
    let frozen = anna.told(&["operator", "freeze", "--account", "m1", "--reason", "shared", "--note", "two towns"]);
    assert_eq!((&frozen["changed"], &frozen["freeze"]["subject"]["account_id"]), (&true.into(), &"m1".into()));
    assert!(frozen["freeze"]["actor"].as_str().unwrap().starts_with("key:"));
    let place = ["--partner", "north", "--store", "s1", "--terminal", "t1", "--reason", "stolen"];
    good(&anna.says(&[["operator", "freeze"].as_slice(), &place].concat()));
    good(&anna.says(&["operator", "freeze", "--partner", "north", "--cashier", "kim", "--reason", "own-card"]));
    let listed = good(&anna.says(&["operator", "freezes"]));
    for what in ["account m1", "terminal t1 of store s1 of north", "cashier kim of north"] {
        assert!(listed.contains(what), "{listed}");
    }
    // A store without its terminal, and nothing at all, are mistakes of usage.
    for wrong in [&["--partner", "north", "--store", "s1"][..], &[], &["--account", "m1", "--cashier", "kim"]] {
        let arguments = [["operator", "freeze", "--reason", "r"].as_slice(), wrong].concat();
        assert_eq!(anna.says(&arguments).status.code(), Some(2), "{wrong:?}");
    }
    let waits = anna.told(&["operator", "thaw", "--account", "m1", "--reason", "cleared"]);
    assert_eq!(waits["pending"]["proposal_id"], 1);
    let own = anna.says(&["proposals", "confirm", "1"]);
    assert!(!own.status.success() && text(&own.stderr).contains("somebody else"), "{}", text(&own.stderr));
    server.stop();

    let server = Server::start(folder.path(), &serve);
    let at = format!("http://{}", server.address);
    let ben = Person { server: &at, key: &keys[1] };
    let waiting = ben.told(&["proposals", "list"]);
    let proposal = &waiting["proposals"][0];
    assert_eq!((&proposal["act"], &proposal["content"]["subject"]["account_id"]), (&"thaw".into(), &"m1".into()));
    let confirmed = good(&ben.says(&["proposals", "confirm", "1", "--note", "asked the store"]));
    assert!(confirmed.contains("account m1 is thawed"), "{confirmed}");
    assert_eq!(ben.told(&["operator", "freezes"])["freezes"].as_array().unwrap().len(), 2);
    assert_eq!(ben.told(&["operator", "freezes", "--all"])["freezes"].as_array().unwrap().len(), 3);
    let adjust = ["operator", "adjust", "m1", "5", "--reason", "goodwill", "--transaction-id", "a1"];
    let refused = ben.says(&adjust);
    assert!(!refused.status.success() && text(&refused.stderr).contains("names none"), "{}", text(&refused.stderr));
    let admin = Person { server: &at, key: &first };
    let north = folder.path().join("north");
    let create =
        ["keys", "create", "--name", "desk", "--role", "operator", "--partner", "north", "--out", path(&north)];
    good(&admin.says(&create));
    let carl = Person { server: &at, key: &north };
    assert_eq!(carl.told(&adjust)["pending"]["proposal_id"], 2);
    good(&ben.says(&["proposals", "reject", "2"]));
    assert_eq!(ben.told(&["proposals", "list"])["proposals"], Value::Array(Vec::new()));
    assert_eq!(ben.told(&["operator", "receipts"])["claim_count"], 0);
    assert_eq!(ben.told(&["operator", "velocity"])["denials"], Value::Array(Vec::new()));
    let log = server.stop();
    assert!(!log.contains("tsk_"), "no key is in the log");

    let data = folder.path().join("data");
    good(&run(&["audit", "verify", "--data", path(&data)]));
    let journal = good(&run(&["export", "journal", "--format", "json", "--data", path(&data)]));
    let rows = [("freeze", 3), ("thaw", 1), ("proposal", 2), ("proposal-confirmed", 1), ("proposal-rejected", 1)];
    for (kind, count) in rows {
        assert_eq!(journal.matches(&format!("\"kind\":\"{kind}\"")).count(), count, "{kind}");
    }
}
