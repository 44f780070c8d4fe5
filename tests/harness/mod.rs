//! What the tests of the command line share: the shipped program, run as a user runs it, and servers that end with
//! their test.
//!
//! What must stay true: the environment of whoever runs the tests does not reach the program; every wait has an end;
//! a failure shows what the program said.
#![allow(dead_code, reason = "every test file uses a part of this of its own")]

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tallystick::clock::{Clock, SystemClock};

/// How long anything may take that is waited for.
const WAIT_NS: i64 = 120_000_000_000;
/// Rest between two looks at something that cannot tell when it has changed.
const REST: Duration = Duration::from_millis(5);

/// The program, without arguments and without settings from the environment.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tallystick"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TALLYSTICK_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// What a run of the program left.
#[derive(Debug)]
pub struct Ran {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// The one JSON object on standard output.
    pub fn object(&self) -> Value {
        let value: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("standard output is not one JSON value ({error}): {self:?}"));
        assert!(value.is_object(), "{self:?}");
        value
    }

    #[track_caller]
    pub fn expect(self, status: i32) -> Self {
        assert_eq!(self.status, status, "standard output:\n{}\nstandard error:\n{}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }
}

/// Runs the program to its end.
pub fn run<A: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = A>) -> Ran {
    run_as(program().args(arguments))
}

/// Runs the program as it was prepared, to its end.
pub fn run_as(prepared: &mut Command) -> Ran {
    let output = prepared.output().expect("the program can be started");
    Ran {
        status: output.status.code().expect("the program ends by itself"),
        stdout: String::from_utf8(output.stdout).expect("the program prints UTF-8"),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Waits until something is there.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let clock = SystemClock::new();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(clock.monotonic_ns() < WAIT_NS, "waited in vain for {what}");
        std::thread::sleep(REST);
    }
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are UTF-8")
}

/// A running server; it is killed when it goes out of scope.
pub struct Server {
    child: Child,
    pub url: String,
    /// The address without the scheme, to listen on again.
    pub address: String,
    log: PathBuf,
}

impl Server {
    /// Starts a server on `folder/data`, on any free port, and waits until it is ready.
    pub fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::start_at(folder, "127.0.0.1:0", arguments)
    }

    /// Starts a server on an address of the caller's choice.
    pub fn start_at(folder: &Path, address: &str, arguments: &[&str]) -> Self {
        let (ready, log) = (folder.join("ready"), folder.join("server.log"));
        let _ = fs::remove_file(&ready);
        let log_file = File::options().create(true).append(true).open(&log).expect("the log can be made");
        let child = program()
            .args(["serve", "--listen", address, "--data", text(&folder.join("data"))])
            .args(["--ready-file", text(&ready)])
            .args(arguments)
            .stdout(log_file.try_clone().expect("a file can be opened twice"))
            .stderr(log_file)
            .spawn()
            .expect("the program can be started");
        let mut server = Self { child, url: String::new(), address: String::new(), log };
        server.address = wait_for("the ready file", || {
            if let Some(status) = server.child.try_wait().expect("a child can be asked") {
                panic!("the server ended with {status}:\n{}", server.log());
            }
            fs::read_to_string(&ready).ok().and_then(|text| Some(text.strip_suffix('\n')?.to_owned()))
        });
        server.url = format!("http://{}", server.address);
        server
    }

    /// What the server said so far.
    pub fn log(&self) -> String {
        let mut text = String::new();
        File::open(&self.log).and_then(|mut file| file.read_to_string(&mut text)).expect("the log can be read");
        text
    }

    /// Kills it as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().expect("the server can be killed");
        self.child.wait().expect("the server was killed");
    }

    /// Stops it in order; it must end with 0.
    pub fn stop(mut self) {
        let id = self.child.id().to_string();
        let asked = Command::new("sh").args(["-c", "kill -s TERM \"$0\"", &id]).status().expect("there is a shell");
        assert!(asked.success());
        let status = wait_for("the end of the server", || self.child.try_wait().expect("a child can be asked"));
        assert!(status.success(), "the server ended with {status}:\n{}", self.log());
    }

    /// Runs a command of the program against this server.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        run(arguments.iter().copied().chain(["--server", self.url.as_str()]))
    }

    /// The status, as an object.
    pub fn status(&self) -> Value {
        self.run(&["status", "--json"]).expect(0).object()
    }

    /// The digest of the state.
    pub fn digest(&self) -> String {
        let status = self.run(&["status", "--digest", "--json"]).expect(0).object();
        status["digest"]["hash"].as_str().expect("it was asked for").to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the server said:\n{}", self.log());
        }
    }
}
