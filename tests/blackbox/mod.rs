//! What the black-box tests share: the real server program on a directory of its own, started, killed, stopped and
//! started again, and clients that reach it over TCP.
//!
//! What must stay true: nothing here looks inside the server; every wait has an end and says what it waited for; no
//! server outlives its test; what the server wrote to standard error is shown when a test fails.
#![allow(dead_code, reason = "every test file uses a part of this support of its own")]

pub mod calls;
pub mod load;
pub mod oracle;

use std::fs::{self, File};
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tallystick::clock::{Clock, SystemClock};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::health_client::HealthClient;

use tallystick::service::wire::admin_service_client::AdminServiceClient;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tallystick::service::wire::program_service_client::ProgramServiceClient;

/// A server is ready within this, recovery included.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// A server that was asked to stop, or has to give up, ends within this.
pub const END_WITHIN: Duration = Duration::from_secs(30);
/// Rest between two looks at something that cannot tell when it has changed.
pub const REST: Duration = Duration::from_millis(2);
/// Bytes of an answer, at most: a full batch explains every line.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Whether whoever runs the tests says, by 1 in a variable, that this machine lacks what some of them need. `tests/run.sh` says
/// so where it has tried in vain, and names at its end what was left out. A test that only finds it missing fails.
pub fn is_said_to_lack(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| value == "1")
}

/// A place where a server runs: its data directory, its programme file, and its log. Removed with the last use.
pub struct Site {
    root: TempDir,
    data: PathBuf,
    settings: Vec<(String, String)>,
    start_count: AtomicUsize,
}

impl Site {
    /// An empty place; the server makes its data directory.
    pub fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory can be made");
        let data = root.path().join("data");
        Self { root, data, settings: Vec::new(), start_count: AtomicUsize::new(0) }
    }

    /// Gives the server a programme of its own.
    pub fn with_program(self, source: &str) -> Self {
        let path = self.root.path().join("program.toml");
        fs::write(&path, source).expect("the programme file can be written");
        let path = path.display().to_string();
        self.with("program", &path)
    }

    /// Sets something for every start, by the name that it has in the configuration file.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Keeps the data elsewhere, such as on a file system of its own.
    pub fn with_data(mut self, data: PathBuf) -> Self {
        self.data = data;
        self
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A folder for what else a test needs; it goes with the site.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Starts the server and waits until it is ready.
    pub async fn start(&self) -> Server {
        self.start_with(&[]).await
    }

    /// Starts the server with settings for this start alone.
    pub async fn start_with(&self, settings: &[(&str, &str)]) -> Server {
        match self.try_start(settings).await {
            Ok(server) => server,
            Err(end) => panic!("the server did not become ready: {end:?}"),
        }
    }

    /// Starts the server and expects that it refuses to.
    pub async fn start_refused(&self) -> End {
        match self.try_start(&[]).await {
            Ok(server) => panic!("the server serves at {}, though it must refuse this directory", server.address),
            Err(end) => end,
        }
    }

    /// Starts the server and waits until it is ready or has ended.
    pub async fn try_start(&self, settings: &[(&str, &str)]) -> Result<Server, End> {
        let (mut process, ready) = self.spawn(settings);
        let found = wait_for("a server that is ready", READY_WITHIN, async || {
            if let Some(end) = process.try_end() {
                return Some(Err(end));
            }
            address_in(&ready).map(Ok)
        });
        match found.await {
            Ok(address) => Ok(Server { process, address }),
            Err(end) => Err(end),
        }
    }

    /// Starts the server and kills it after so long, wherever it is by then.
    pub async fn start_and_kill9(&self, settings: &[(&str, &str)], after: Duration) {
        let (mut process, _) = self.spawn(settings);
        tokio::time::sleep(after).await;
        let end = process.try_end();
        assert!(end.is_none(), "the server ended by itself on its way up: {end:?}");
        process.kill();
    }

    /// Starts the program; returns it with the path of its ready file.
    fn spawn(&self, settings: &[(&str, &str)]) -> (Process, PathBuf) {
        let number = self.start_count.fetch_add(1, Ordering::Relaxed);
        let [ready, output, errors] =
            ["ready", "out", "err"].map(|kind| self.root.path().join(format!("serve-{number}.{kind}")));
        let mut command = Command::new(env!("CARGO_BIN_EXE_tallystick"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&self.data).arg("--ready-file").arg(&ready);
        let own = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in own.chain(settings.iter().copied()) {
            command.arg(format!("--{}", name.replace('_', "-")));
            // One without a value is a switch.
            command.args(Some(value).filter(|value| !value.is_empty()));
        }
        // The tester's own settings must not reach the server under test.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TALLYSTICK_")) {
            command.env_remove(name);
        }
        let file = |path: &Path| File::create(path).expect("a file in the temporary directory can be made");
        let child = command
            .current_dir(self.root.path())
            .stdin(Stdio::null())
            .stdout(file(&output))
            .stderr(file(&errors))
            .spawn()
            .expect("the program under test can be started");
        (Process { child, errors }, ready)
    }
}

/// The address in a ready file, once it is there as a whole line.
fn address_in(ready: &Path) -> Option<SocketAddr> {
    let text = fs::read_to_string(ready).ok()?;
    let line = text.strip_suffix('\n')?;
    Some(line.parse().unwrap_or_else(|_| panic!("the ready file holds an address, not {line:?}")))
}

/// How a server ended.
#[derive(Clone, Debug)]
pub struct End {
    /// The exit status; `None` after a signal.
    pub code: Option<i32>,
    /// What it wrote to standard error.
    pub errors: String,
}

/// A process that is killed when it is dropped.
struct Process {
    child: Child,
    errors: PathBuf,
}

impl Process {
    fn errors(&self) -> String {
        let bytes = fs::read(&self.errors).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn try_end(&mut self) -> Option<End> {
        let status = self.child.try_wait().expect("a child can be asked for its status")?;
        Some(End { code: status.code(), errors: self.errors() })
    }

    fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- standard error of the server ---\n{}--- end ---", self.errors());
        }
    }
}

/// A running server.
pub struct Server {
    process: Process,
    address: SocketAddr,
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Kills it without any warning, and waits until it is gone.
    pub fn kill9(mut self) {
        self.process.kill();
    }

    /// Asks it to stop; does not wait.
    pub fn ask_to_stop(&self) {
        // The child is not waited for yet, so its number cannot be another process's.
        let number = self.process.child.id();
        let status = Command::new("sh").arg("-c").arg(format!("kill -TERM {number}")).status();
        assert!(status.expect("sh can be run").success(), "the server can be signalled");
    }

    /// Asks it to stop, and waits until it has.
    pub async fn terminate(self) -> End {
        self.ask_to_stop();
        self.end().await
    }

    /// Waits until it has ended by itself.
    pub async fn end(mut self) -> End {
        wait_for("the end of the server", END_WITHIN, async || self.process.try_end()).await
    }

    /// Bytes of its memory that are in RAM, by the kernel's account.
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel says so");
        let kibibytes = line.split_whitespace().next().and_then(|digits| digits.parse::<u64>().ok());
        kibibytes.expect("it is a number") * 1_024
    }

    /// What it wrote to standard error so far.
    pub fn errors(&self) -> String {
        self.process.errors()
    }

    /// A connection of its own.
    pub async fn connect(&self) -> Clients {
        Clients::connect(self.address).await.expect("a server that is ready accepts connections")
    }
}

/// The clients of one connection.
#[derive(Clone, Debug)]
pub struct Clients {
    /// Commands and reads.
    pub ledger: LedgerServiceClient<Channel>,
    /// Versions of the programme.
    pub program: ProgramServiceClient<Channel>,
    /// Running the ledger.
    pub admin: AdminServiceClient<Channel>,
    /// Whether it serves.
    pub health: HealthClient<Channel>,
}

impl Clients {
    /// Connects to a server.
    pub async fn connect(address: SocketAddr) -> Result<Self, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(30))
            .tcp_nodelay(true);
        let channel = endpoint.connect().await?;
        Ok(Self {
            ledger: LedgerServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX),
            program: ProgramServiceClient::new(channel.clone()),
            admin: AdminServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX),
            health: HealthClient::new(channel),
        })
    }
}

/// Asks until there is an answer, and fails when there is none in time.
pub async fn wait_for<T>(what: &str, within: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(REST).await;
        }
    };
    within_time(what, within, asking).await
}

/// Waits for something that must happen in time.
pub async fn within_time<T>(what: &str, within: Duration, of: impl Future<Output = T>) -> T {
    match tokio::time::timeout(within, of).await {
        Ok(answer) => answer,
        Err(_) => panic!("waited {} s in vain for {what}", within.as_secs()),
    }
}

/// Lets the shipped auditor verify a directory: its exit status, and what it wrote to both outputs.
pub fn audit(data: &Path) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tallystick"));
    command.args(["audit", "verify", "--json", "--data"]).arg(data).stdin(Stdio::null());
    let output = command.output().expect("the program under test can be started");
    let [told, errors] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.code(), told, errors)
}

/// Verifies the directory of a server that has ended: the auditor finds nothing from the first record to the last.
pub fn verify_directory(data: &Path) {
    let (code, told, errors) = audit(data);
    assert_eq!(code, Some(0), "verification found problems: {told}{errors}");
    let report: serde_json::Value = serde_json::from_str(&told).expect("--json prints one JSON object");
    assert_eq!(report["intact"], true, "{told}");
    assert!(report["record_count"].as_u64().is_some_and(|count| count > 0), "there was something to verify: {told}");
}

/// A number that a tester may set in the environment.
pub fn number_from_environment(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is a whole number, not {text:?}")),
        Err(_) => default,
    }
}

/// The system's clock, shared by a test.
pub fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

/// A small generator of numbers that look random and are the same for the same seed (Steele, Lea and Flood, SplitMix).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Another generator, that goes its own way.
    pub fn split(&mut self) -> Self {
        Self(self.next())
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True once in `of` times.
    pub fn one_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }
}
