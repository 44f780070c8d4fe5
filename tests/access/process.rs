//! The program itself: where it refuses to listen, how the first key comes to be, keys without a server, SIGHUP, and that
//! no log line ever shows a secret.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::certificates::Root;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tallystick"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TALLYSTICK_")) {
        command.env_remove(name);
    }
    command
}

pub fn run(arguments: &[&str]) -> Output {
    program().args(arguments).stdin(Stdio::null()).output().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
pub fn good(output: &Output) -> String {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

pub struct Server {
    child: Child,
    pub address: String,
    log: PathBuf,
}

impl Server {
    pub fn start(folder: &Path, arguments: &[&str]) -> Self {
        let (ready, log) = (folder.join("ready"), folder.join("server.log"));
        let _ = std::fs::remove_file(&ready);
        let file = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        let mut command = program();
        command.args(["serve", "--listen", "127.0.0.1:0", "--workers", "1", "--data"]).arg(folder.join("data"));
        command.args(arguments).arg("--ready-file").arg(&ready).stdin(Stdio::null());
        let mut child = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        for _ in 0..6_000 {
            if let Ok(address) = std::fs::read_to_string(&ready) {
                return Self { child, address: address.trim().to_owned(), log };
            }
            assert!(child.try_wait().unwrap().is_none(), "{}", std::fs::read_to_string(&log).unwrap());
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the server is not ready: {}", std::fs::read_to_string(&log).unwrap());
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap(), signal).unwrap();
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    fn wait_for_line(&self, part: &str) {
        for _ in 0..3_000 {
            if self.log().contains(part) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{part} is not in the log:\n{}", self.log());
    }

    pub fn stop(mut self) -> String {
        self.signal(Signal::TERM);
        assert!(self.child.wait().unwrap().success());
        self.log()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn beyond_this_machine_nothing_is_served_without_tls_and_credentials() {
    let root = Root::new();
    root.write_server(&["localhost"]);
    let (certificate, key) = (root.path("server.pem"), root.path("server.key"));
    let tls = ["--tls-certificate", path(&certificate), "--tls-key", path(&key)];
    let data = root.path("data");
    for further in [&[][..], &tls, &["--authentication", "required"]] {
        let mut arguments = vec!["serve", "--listen", "0.0.0.0:0", "--data", path(&data)];
        arguments.extend(further);
        let refused = run(&arguments);
        assert_eq!(refused.status.code(), Some(78), "{}", text(&refused.stderr));
        assert!(text(&refused.stderr).contains("--allow-unauthenticated-plaintext-beyond-loopback"), "{further:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let open = ["--listen=0.0.0.0:0", "--allow-unauthenticated-plaintext-beyond-loopback"];
    // The last of two listens counts; both are given, so this one starts apart from the helper's.
    let mut command = program();
    let ready = folder.path().join("ready");
    command.args(["serve", open[0], open[1], "--data"]).arg(folder.path().join("data")).arg("--ready-file").arg(&ready);
    let log = std::fs::File::create(folder.path().join("server.log")).unwrap();
    let child = command.stdout(log).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let server = Server { child, address: String::new(), log: folder.path().join("server.log") };
    server.wait_for_line("listening on 0.0.0.0");
    let said = server.stop();
    assert!(said.contains("WARNING: other machines reach this address"), "{said}");
}

#[test]
fn keys_are_made_without_a_server_and_used_over_tls_and_none_is_ever_logged() {
    let root = Root::new();
    root.write_server(&["localhost"]);
    let (certificate, key) = (root.path("server.pem"), root.path("server.key"));
    let ca = root.write("ca.pem", &root.pem);
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("first");
    let serve = [
        "--authentication",
        "required",
        "--tls-certificate",
        path(&certificate),
        "--tls-key",
        path(&key),
        "--first-key-file",
        path(&first),
        "--log",
        "trace",
    ];
    let server = Server::start(folder.path(), &serve);
    let admin = std::fs::read_to_string(&first).unwrap();
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&first).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    let at = format!("https://{}", server.address);
    let ask = |arguments: &[&str], key: &Path| {
        let mut all = arguments.to_vec();
        all.extend([
            "--server",
            &at,
            "--ca-file",
            path(&ca),
            "--server-name",
            "localhost",
            "--api-key-file",
            path(key),
        ]);
        run(&all)
    };
    // The administrator issues a key for an operator, who asks how the server stands.
    let operator = folder.path().join("operator");
    let made = ask(&["keys", "create", "--name", "ops", "--role", "operator", "--out", path(&operator)], &first);
    assert!(!good(&made).contains("tsk_"), "the key is in the file");
    good(&ask(&["status"], &operator));
    let refused = ask(&["keys", "list"], &operator);
    assert_eq!(refused.status.code(), Some(78), "{}", text(&refused.stderr));
    let listed = good(&ask(&["--json", "keys", "list"], &first));
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["keys"].as_array().unwrap().len(), 2);
    let id = listed["keys"][1]["key_id"].as_str().unwrap().to_owned();
    // A key that is wrong in its last digit, and a token.
    let wrong = folder.path().join("wrong");
    let (start, last) = admin.trim().split_at(admin.trim().len() - 1);
    let mistyped = format!("{start}{}", if last == "0" { "1" } else { "0" });
    for shown in [mistyped.as_str(), "eyJhbGciOiJub25lIn0.secretsecret.c2lnbmF0dXJl"] {
        std::fs::write(&wrong, shown).unwrap();
        assert_eq!(ask(&["status"], &wrong).status.code(), Some(78));
    }
    good(&ask(&["keys", "revoke", &id], &first));
    assert_eq!(ask(&["status"], &operator).status.code(), Some(78));

    server.signal(Signal::HUP);
    server.wait_for_line("the certificates were read again");
    let operator_key = std::fs::read_to_string(&operator).unwrap();
    let private = std::fs::read_to_string(&key).unwrap();
    let log = server.stop();
    assert!(log.contains("every call brings a credential, over TLS"), "{log}");
    assert!(log.contains("a key was issued") && log.lines().count() > 50, "it is a log at the finest level");
    let secrets = [
        &admin.trim()[21..],
        &operator_key.trim()[21..],
        &mistyped[21..],
        "secretsecret",
        private.lines().nth(1).unwrap(),
    ];
    for secret in secrets {
        assert!(!log.contains(secret), "{secret} is in the log");
    }

    // Without the server: the keys are in the directory, and one can be made that works at the next start.
    let data = folder.path().join("data");
    let offline = good(&run(&["--json", "keys", "list", "--data", path(&data)]));
    let offline: Value = serde_json::from_str(&offline).unwrap();
    assert_eq!((&offline["keys"][0]["creator"], &offline["keys"][1]["live"]), (&"server start".into(), &false.into()));
    assert!(offline["keys"][0]["last_use_time"].is_string(), "a server that stops notes it: {offline}");
    let spare = good(&run(&["keys", "create", "--data", path(&data), "--name", "spare", "--role", "operator"]));
    let spare_file = folder.path().join("spare");
    std::fs::write(&spare_file, spare).unwrap();
    let server = Server::start(folder.path(), &serve);
    let at = format!("https://{}", server.address);
    let tls = ["--ca-file", path(&ca), "--server-name", "localhost", "--api-key-file", path(&spare_file)];
    let mut arguments = vec!["status", "--server", at.as_str()];
    arguments.extend(tls);
    good(&run(&arguments));
    server.stop();
    let verified = run(&["audit", "verify", "--data", path(&data)]);
    good(&verified);
    let journal = good(&run(&["export", "journal", "--format", "json", "--data", path(&data)]));
    assert_eq!(journal.matches("\"kind\":\"key-issued\"").count(), 3, "history says who could do what");
    assert_eq!(journal.matches("\"kind\":\"key-revoked\"").count(), 1);
}

#[test]
fn a_directory_that_is_none_gets_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("none");
    let refused = run(&["keys", "create", "--data", path(&data), "--name", "n", "--role", "administrator"]);
    assert_eq!(refused.status.code(), Some(73), "{}", text(&refused.stderr));
    assert!(!data.exists());
}

#[test]
fn a_key_that_is_not_issued_leaves_no_file_in_the_way_of_the_next_try() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("key"));
    let create = |place: &[&str]| {
        let create = ["keys", "create", "--name", "n", "--role", "operator", "--out", path(&file)];
        run(&[&create[..], place].concat())
    };
    let tried = |ran: &Output, status: i32| {
        assert_eq!(ran.status.code(), Some(status), "{}", text(&ran.stderr));
        assert!(!file.exists(), "nothing is left");
    };
    let offline = ["--data", path(&data)];
    tried(&create(&offline), 73);
    tried(&create(&["--server", "http://127.0.0.1:1"]), 69);
    Server::start(folder.path(), &[]).stop();
    let rotate = ["keys", "rotate", "0123456789abcdef", "--out", path(&file), "--data", path(&data)];
    tried(&run(&rotate), 65);
    good(&create(&offline));
    let key = std::fs::read_to_string(&file).unwrap();
    assert!(key.starts_with("tsk_"), "{key}");
    // What is there before is neither replaced nor removed.
    let again = create(&offline);
    assert_eq!(again.status.code(), Some(73), "{}", text(&again.stderr));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), key);
}

#[test]
fn where_a_certificate_stands_for_a_key_no_file_is_left() {
    let folder = tempfile::tempdir().unwrap();
    Server::start(folder.path(), &[]).stop();
    let (data, file) = (folder.path().join("data"), folder.path().join("key"));
    let keys = |arguments: &[&str]| {
        let made = run(&[arguments, &["--json", "--data", path(&data), "--out", path(&file)]].concat());
        let answer: Value = serde_json::from_str(&good(&made)).unwrap();
        assert!(answer["file"].is_null() && answer["api_key"].is_null() && !file.exists(), "{answer}");
        assert!(text(&made.stderr).contains("nothing to write to "), "{}", text(&made.stderr));
        answer["key_id"].as_str().unwrap().to_owned()
    };
    let create = ["keys", "create", "--name", "n", "--role", "operator", "--certificate-name", "ops.example"];
    let id = keys(&create);
    // Of the old key it is known only when it is looked at.
    assert_ne!(keys(&["keys", "rotate", &id]), id);
}

/// Wherever the disk fails while the first key is made: an administrator is nobody whose key was not written down.
#[test]
fn of_a_first_administrator_somebody_has_the_key_wherever_a_start_ends() {
    let mut kept_count = 0;
    for number in 1..12 {
        let folder = tempfile::tempdir().unwrap();
        let (data, first, ready) =
            (folder.path().join("data"), folder.path().join("first"), folder.path().join("ready"));
        let plan = format!("sync@{number}");
        let mut command = program();
        command.args(["serve", "--listen", "127.0.0.1:0", "--authentication", "required", "--faults", &plan]);
        command.arg("--data").arg(&data).arg("--first-key-file").arg(&first).arg("--ready-file").arg(&ready);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while child.try_wait().unwrap().is_none() && !ready.exists() {
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = child.kill();
        child.wait().unwrap();
        let listed = run(&["--json", "keys", "list", "--data", path(&data)]);
        if !listed.status.success() {
            // It ended before there was a ledger.
            continue;
        }
        let listed: Value = serde_json::from_str(&text(&listed.stdout)).unwrap();
        for key in listed["keys"].as_array().unwrap() {
            let written = std::fs::read_to_string(&first).unwrap_or_default();
            assert!(written.contains(key["key_id"].as_str().unwrap()), "{plan}: {key} and {written:?}");
            kept_count += 1;
        }
    }
    assert!(kept_count > 0, "some starts came as far as that");
}

#[test]
fn what_a_start_that_was_cut_short_has_left_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (data, first) = (folder.path().join("data"), folder.path().join("first"));
    std::fs::write(&first, "").unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--authentication", "required", "--data", path(&data)];
    let refused = run(&[&serve[..], &["--first-key-file", path(&first)]].concat());
    assert_eq!(refused.status.code(), Some(78), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("is there already"), "{}", text(&refused.stderr));
}

#[test]
fn without_an_administrator_others_are_served_and_everybody_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second, operator) =
        (folder.path().join("first"), folder.path().join("second"), folder.path().join("operator"));
    let serve = ["--authentication", "required", "--first-key-file", path(&first)];
    let ask = |server: &Server, key: &Path, arguments: &[&str]| {
        let at = format!("http://{}", server.address);
        run(&[arguments, &["--server", at.as_str(), "--api-key-file", path(key)]].concat())
    };
    let id_of = |key: &Path| std::fs::read_to_string(key).unwrap()[4..20].to_owned();
    let create = |role, file| ["keys", "create", "--name", "n", "--role", role, "--out", file];
    let warning = "no administrator's key is left";

    let server = Server::start(folder.path(), &serve);
    good(&ask(&server, &first, &create("administrator", path(&second))));
    good(&ask(&server, &first, &create("operator", path(&operator))));
    let revoked = ask(&server, &first, &["keys", "revoke", &id_of(&first)]);
    good(&revoked);
    assert!(!text(&revoked.stderr).contains(warning), "{}", text(&revoked.stderr));
    let revoked = ask(&server, &second, &["keys", "revoke", &id_of(&second)]);
    good(&revoked);
    assert!(text(&revoked.stderr).contains(warning), "{}", text(&revoked.stderr));
    assert!(server.stop().contains(warning));
    let again = run(&["keys", "revoke", &id_of(&second), "--data", path(&folder.path().join("data"))]);
    good(&again);
    assert!(text(&again.stderr).contains(warning), "{}", text(&again.stderr));

    // The file of the first start is neither in the way nor written over.
    let before = std::fs::read_to_string(&first).unwrap();
    let server = Server::start(folder.path(), &serve);
    good(&ask(&server, &operator, &["status"]));
    assert!(server.stop().contains("and none is made, for its file is there already"));
    assert_eq!(std::fs::read_to_string(&first).unwrap(), before);
    // Without it there is another first administrator.
    std::fs::remove_file(&first).unwrap();
    let server = Server::start(folder.path(), &serve);
    good(&ask(&server, &first, &["keys", "list"]));
    server.stop();
}
