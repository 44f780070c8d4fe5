//! A server that is told to stop before it serves: it gives its start up wherever that is, and ends as after any stop.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use tallystick::clock::SystemClock;
use tallystick::server::{self, OpenedStore, ServeError};
use tallystick::store::giving_up::GiveUp;
use tallystick::store::memory::MemoryStore;
use tempfile::TempDir;

use crate::blackbox::verify_directory;
use crate::harness::{self, program, text, wait_for};
use crate::read;
use crate::support::watched::{Call, Watch, WatchedStore};
use crate::support::{Shop, accrual, without_caps};

/// What stands in the log once nothing is left undone.
const STOPPED: &str = "everything is durable";

/// A server that stands at a file, which has no end before the test says so.
struct Starting {
    child: Child,
    ready: PathBuf,
    log: PathBuf,
    file: Option<File>,
}

impl Starting {
    fn at(folder: &Path, file: &Path, arguments: &[&str]) -> Self {
        let made = Command::new("mkfifo").arg(file).status().expect("there is mkfifo");
        assert!(made.success());
        let (ready, log) = (folder.join("ready"), folder.join("log"));
        let child = program()
            .args(["serve", "--listen", "127.0.0.1:0", "--data", text(&folder.join("data"))])
            .args(["--ready-file", text(&ready)])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("the log can be made"))
            .spawn()
            .expect("the program can be started");
        let mut starting = Self { child, ready, log, file: None };
        // It is open to write as soon as the server opens it to read.
        let (send, opened) = mpsc::channel();
        let file = file.to_path_buf();
        std::thread::spawn(move || send.send(File::options().write(true).open(file)));
        let file = wait_for("the server to read the file", || {
            let ended = starting.child.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "the server ended: {}", starting.log());
            opened.try_recv().ok()
        });
        starting.file = Some(file.expect("the file can be written"));
        starting
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Tells it to stop, and waits until it has heard that.
    fn tell(&self) {
        let id = self.child.id().to_string();
        let asked = Command::new("sh").args(["-c", "kill -s TERM \"$0\"", &id]).status().expect("there is a shell");
        assert!(asked.success());
        wait_for("the server to hear it", || self.log().contains("before calls are served").then_some(()));
    }

    /// Lets it read the file to its end.
    fn go_on(&mut self, content: &str) {
        let mut file = self.file.take().expect("it goes on once");
        file.write_all(content.as_bytes()).expect("the server reads");
    }

    /// Waits for its end, which is that of a stop; gives the log.
    fn end(mut self) -> String {
        let status = wait_for("the end of the server", || self.child.try_wait().expect("a child can be asked"));
        assert_eq!(status.code(), Some(0), "{}", self.log());
        assert!(!self.ready.exists(), "it never served");
        self.log()
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that reads the keys of tokens, which it does before it recovers.
fn before_recovery() -> (TempDir, Starting) {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let file = folder.path().join("jwks.json");
    let arguments = ["--authentication", "required", "--token-issuer", "i", "--token-audience", "a", "--token-keys"];
    let starting = Starting::at(folder.path(), &file, &[&arguments[..], &[text(&file)]].concat());
    (folder, starting)
}

#[test]
fn a_start_that_has_not_recovered_is_given_up() {
    let (folder, mut starting) = before_recovery();
    starting.tell();
    starting.go_on(&read("tests/fuzz/corpus/token/jwks-ed25519.json"));
    let log = starting.end();
    assert!(!log.contains(STOPPED) && !log.contains("ERROR"), "nothing had begun: {log}");
    harness::Server::start(folder.path(), &[]).stop();
}

#[test]
fn a_start_that_does_not_get_on_is_left_behind() {
    let (folder, starting) = before_recovery();
    starting.tell();
    let log = starting.end();
    assert!(log.contains("is left behind"), "{log}");
    harness::Server::start(folder.path(), &[]).stop();
}

#[test]
fn a_start_that_has_recovered_stops_in_order_without_serving() {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let file = folder.path().join("program.toml");
    let mut starting = Starting::at(folder.path(), &file, &["--program", text(&file)]);
    starting.tell();
    starting.go_on(&read("deploy/programs/basic.toml"));
    let log = starting.end();
    assert!(log.contains(STOPPED) && !log.contains("ERROR"), "{log}");
    verify_directory(&folder.path().join("data"));
}

/// Sends a signal as soon as the data directory begins to be there.
const SEND_AT_ONCE: &str =
    "i=0; until [ -e \"$0\" ] || [ $i -gt 3000000 ]; do i=$((i + 1)); done; kill -s \"$2\" \"$1\"";

#[test]
fn a_start_that_is_told_to_stop_while_it_opens_its_store_ends_as_after_any_stop() {
    for signal in ["TERM", "INT", "TERM"] {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let data = folder.path().join("data");
        let mut server = program()
            .args(["serve", "--listen", "127.0.0.1:0", "--data", text(&data)])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program can be started");
        let id = server.id().to_string();
        let sent = Command::new("sh").args(["-c", SEND_AT_ONCE, text(&data), &id, signal]).status();
        assert!(sent.expect("there is a shell").success());
        let status = wait_for("the end of the server", || server.try_wait().expect("a child can be asked"));
        assert_eq!(status.code(), Some(0), "{signal}: {status}");
        harness::Server::start(folder.path(), &[]).stop();
    }
}

/// Gives the start up at one call of its store.
struct GivenUpAt {
    give_up: GiveUp,
    call: usize,
    count: AtomicUsize,
}

impl Watch for GivenUpAt {
    fn before(&self, _: Call) {
        if self.count.fetch_add(1, Ordering::SeqCst) == self.call {
            self.give_up.tell();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_is_given_up_at_whichever_call_of_its_store_and_harms_nothing() {
    let (memory, config) = (MemoryStore::new(), without_caps());
    let mut shop = Shop::open_on(Arc::new(memory.clone()), config.clone()).await;
    for number in 0..60 {
        shop.accrue(accrual(&format!("t{number}"), &format!("m{}", number % 5), 1_000)).await;
        if number == 40 {
            let engine = shop.running.engine().clone();
            tokio::task::spawn_blocking(move || engine.snapshot().unwrap()).await.unwrap();
        }
    }
    shop.running.shutdown().await.unwrap();
    let mut call = 0;
    let running = loop {
        let give_up = GiveUp::default();
        let watch = GivenUpAt { give_up: give_up.clone(), call, count: AtomicUsize::default() };
        let store = WatchedStore::over(memory.clone(), watch);
        let (listener, opened) = (server::listen(&config).unwrap(), OpenedStore::in_memory(store));
        match server::start_unless(&config, opened, listener, Arc::new(SystemClock::new()), &give_up).await {
            Err(ServeError::GivenUp) => call += 1,
            Err(error) => panic!("given up at call {call}: {error}"),
            Ok(running) => break running,
        }
    };
    assert!(call > 10, "only {call} calls were made before it had recovered");
    running.shutdown().await.unwrap();
    let mut shop = Shop::open_on(Arc::new(memory), config).await;
    for account in ["m0", "m1", "m2", "m3", "m4"] {
        assert_eq!(shop.balance(account).await, 120, "{account}");
    }
}
