//! `tallystick serve`: runs the ledger until it is told to stop or cannot go on.
//!
//! What must stay true: `listening on ADDRESS` is printed, and the ready file written, only when calls are served; a
//! server that cannot go on ends within a second, with a number that tells the kind of failure; whoever is told to stop
//! stops, however far the start has come.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::exit;
use super::store::is_data_directory;
use crate::backup;
use crate::clock::SystemClock;
use crate::config::sources::Setting;
use crate::config::{Config, Loaded, Stated};
use crate::ids::IdError;
use crate::journal::JournalError;
use crate::recovery::RecoveryError;
use crate::recovery::identity::IdentityError;
use crate::server::{self, OpenedStore, Ready, Running, ServeError, damage_of_journal};
use crate::shard::engine::is_at_a_worker;
use crate::shard::publishing::PublishError;
use crate::snapshot::SnapshotError;
use crate::store::giving_up::GiveUp;
use crate::store::{Damage, Space, StoreError};
use crate::telemetry::{self, manager};

/// Options of `tallystick serve`. Each goes above the variable of the environment that is named like it, and that above
/// the setting of the same name in the configuration file.
#[derive(Clone, Debug, Default, Args)]
#[command(
    after_help = "Each setting can also be given as a variable, such as TALLYSTICK_QUEUE_DEPTH for --queue-depth, or as a line \
of the configuration file, such as queue_depth = 4096. Flags go above variables, and those above the file. \
deploy/tallystick.toml explains every setting; --print-config shows what is in force and why."
)]
pub struct ServeArguments {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE", env = "TALLYSTICK_CONFIG")]
    pub config: Option<PathBuf>,
    /// Print the configuration in force as a file, each value with its source, and end.
    #[arg(long)]
    pub print_config: bool,
    /// Host and port to listen on; port 0 picks a free one [default: 127.0.0.1:7007].
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Host and port for /metrics, /healthz and /readyz over HTTP, or `off` [default: off].
    #[arg(long, value_name = "HOST:PORT")]
    pub metrics_listen: Option<String>,
    /// Data directory; made if it is missing [default: ./tallystick.data].
    #[arg(long, value_name = "DIRECTORY")]
    pub data: Option<String>,
    /// Programme file. A new text is published as the next version [default: a sample, in a new data directory].
    #[arg(long, value_name = "FILE")]
    pub program: Option<String>,
    /// The partner that callers act for where no credentials are required [default: default].
    #[arg(long, value_name = "NAME")]
    pub partner: Option<String>,
    /// Whether callers have to say who they are: `off` or `required` [default: off].
    #[arg(long, value_name = "WORD")]
    pub authentication: Option<String>,
    /// File that the first administrator's key is written to, if credentials are required and nobody could issue any.
    #[arg(long, value_name = "FILE")]
    pub first_key_file: Option<String>,
    /// Certificate of the server and those between it and the root (PEM); read again on SIGHUP.
    #[arg(long, value_name = "FILE")]
    pub tls_certificate: Option<String>,
    /// Private key of the certificate (PEM); read again on SIGHUP.
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<String>,
    /// Roots of clients' certificates (PEM); a name in a certificate can stand for a key.
    #[arg(long, value_name = "FILE")]
    pub tls_client_ca: Option<String>,
    /// Whether clients must show a certificate where there are such roots: `required` or `optional` [default: required].
    #[arg(long, value_name = "WORD")]
    pub tls_client: Option<String>,
    /// Public keys of tokens (JWKS), read again when the file changes.
    #[arg(long, value_name = "FILE")]
    pub token_keys: Option<String>,
    /// The issuer that tokens must name.
    #[arg(long, value_name = "TEXT")]
    pub token_issuer: Option<String>,
    /// The audience that tokens must name.
    #[arg(long, value_name = "TEXT")]
    pub token_audience: Option<String>,
    /// How far the clock of whoever signs tokens may be off [default: 60].
    #[arg(long, value_name = "SECONDS")]
    pub token_clock_skew_seconds: Option<String>,
    /// Which acts wait for a second person, such as `adjust, voucher, publish, keys, freeze, thaw`; or off
    #[arg(long, value_name = "ACTS")]
    pub second_person: Option<String>,
    /// How long a proposal waits, in hours
    #[arg(long, value_name = "HOURS")]
    pub second_person_hours: Option<String>,
    /// What roles and single keys may ask for, such as `till=50/100/8`: commands a second, at once, and calls at a time
    #[arg(long, value_name = "LIMITS")]
    pub rate_limits: Option<String>,
    /// How many new names of goods, places and kinds a credential may bring, by role or key: a minute, and at once; or off
    /// [default: till=60/20000, gateway=6000/1000000, back-office=6000/1000000, operator=60/20000].
    #[arg(long, value_name = "LIMITS")]
    pub name_limits: Option<String>,
    /// Serve an address that other machines reach without TLS or without credentials: whoever reaches it may do everything.
    #[arg(long, value_name = "WORD", num_args = 0..=1, default_missing_value = "yes", require_equals = true)]
    pub allow_unauthenticated_plaintext_beyond_loopback: Option<String>,
    /// Connections at a time; beyond it callers wait to be accepted [default: 16384].
    #[arg(long, value_name = "COUNT")]
    pub connections_max: Option<String>,
    /// Connections of one address; a further one is closed at once [default: 1024].
    #[arg(long, value_name = "COUNT")]
    pub connections_per_address_max: Option<String>,
    /// How long one message of a call may take to arrive [default: 60000].
    #[arg(long, value_name = "MILLISECONDS")]
    pub request_ms_max: Option<String>,
    /// How long a part of an answer may wait for its caller to take it [default: 60000].
    #[arg(long, value_name = "MILLISECONDS")]
    pub answer_ms_max: Option<String>,
    /// How long a connection without calls stays open [default: 600000].
    #[arg(long, value_name = "MILLISECONDS")]
    pub idle_ms_max: Option<String>,
    /// Worker threads [default: one for each core].
    #[arg(long, value_name = "COUNT")]
    pub workers: Option<String>,
    /// Commands that may wait for one worker [default: 4096].
    #[arg(long, value_name = "COUNT")]
    pub queue_depth: Option<String>,
    /// Virtual shards; fixed when the data directory is made [default: 256].
    #[arg(long, value_name = "COUNT")]
    pub shard_count: Option<String>,
    /// Where posting times come from, `system` or `input`; fixed when the data directory is made [default: system].
    #[arg(long, value_name = "CLOCK")]
    pub clock: Option<String>,
    /// Ids kept in memory once they are on disk too [default: 8388608].
    #[arg(long, value_name = "COUNT")]
    pub ids_memory_max: Option<String>,
    /// Ids of one segment in memory [default: 1048576].
    #[arg(long, value_name = "COUNT")]
    pub ids_segment: Option<String>,
    /// A snapshot is due after so many further records [default: 1000000].
    #[arg(long, value_name = "COUNT")]
    pub snapshot_records: Option<String>,
    /// Snapshots are at least so many milliseconds apart, unless eight times `snapshot_records` have come meanwhile
    /// [default: 60000].
    #[arg(long, value_name = "MILLISECONDS")]
    pub snapshot_interval_ms: Option<String>,
    /// The directory that backups are made in; without it only callers on this machine may name one.
    #[arg(long, value_name = "DIRECTORY")]
    pub backup_root: Option<String>,
    /// Log lines as `text` or `json` [default: text].
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// What is logged, such as `warn` or `tallystick=debug` [default: info].
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// OpenTelemetry collector that spans are sent to (OTLP over gRPC), or `off` [default: off].
    #[arg(long, value_name = "URL")]
    pub trace_endpoint: Option<String>,
    /// How many of a million calls are traced where the caller has not decided [default: 10000].
    #[arg(long, value_name = "COUNT")]
    pub trace_sample_ppm: Option<String>,
    /// Throw the snapshot away and recover from the journal alone, in this start only: for a snapshot that is damaged
    /// where the journal is not.
    #[arg(long)]
    pub discard_snapshot: bool,
    /// Throw the index of ids away and make it anew from the journal, in this start only: for an index that is damaged where
    /// the journal is not.
    #[arg(long)]
    pub rebuild_ids: bool,
    /// Scripted failures of the disk, for tests.
    #[arg(long, value_name = "PLAN", hide = true)]
    pub faults: Option<String>,
    /// File that the address is written to once calls are served.
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
}

impl ServeArguments {
    fn stated(&self) -> Stated {
        let flags = [
            ("listen", &self.listen),
            ("metrics_listen", &self.metrics_listen),
            ("data", &self.data),
            ("program", &self.program),
            ("partner", &self.partner),
            ("authentication", &self.authentication),
            ("first_key_file", &self.first_key_file),
            ("tls_certificate", &self.tls_certificate),
            ("tls_key", &self.tls_key),
            ("tls_client_ca", &self.tls_client_ca),
            ("tls_client", &self.tls_client),
            ("token_keys", &self.token_keys),
            ("token_issuer", &self.token_issuer),
            ("token_audience", &self.token_audience),
            ("token_clock_skew_seconds", &self.token_clock_skew_seconds),
            ("second_person", &self.second_person),
            ("second_person_hours", &self.second_person_hours),
            ("rate_limits", &self.rate_limits),
            ("name_limits", &self.name_limits),
            ("allow_unauthenticated_plaintext_beyond_loopback", &self.allow_unauthenticated_plaintext_beyond_loopback),
            ("connections_max", &self.connections_max),
            ("connections_per_address_max", &self.connections_per_address_max),
            ("request_ms_max", &self.request_ms_max),
            ("answer_ms_max", &self.answer_ms_max),
            ("idle_ms_max", &self.idle_ms_max),
            ("workers", &self.workers),
            ("queue_depth", &self.queue_depth),
            ("shard_count", &self.shard_count),
            ("clock", &self.clock),
            ("ids_memory_max", &self.ids_memory_max),
            ("ids_segment", &self.ids_segment),
            ("snapshot_records", &self.snapshot_records),
            ("snapshot_interval_ms", &self.snapshot_interval_ms),
            ("backup_root", &self.backup_root),
            ("log_format", &self.log_format),
            ("log", &self.log),
            ("trace_endpoint", &self.trace_endpoint),
            ("trace_sample_ppm", &self.trace_sample_ppm),
            ("faults", &self.faults),
        ];
        let stated = flags.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
        let flags = stated.map(|(name, value)| Setting::from_flag(name, value)).collect();
        // A variable that is not UTF-8 is judged as far as it is, and then is not what is allowed.
        let text = |part: std::ffi::OsString| part.to_string_lossy().into_owned();
        let environment = std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
        Stated { environment, flags }
    }
}

/// Runs the server; gives the number with which the program ends.
#[must_use]
pub fn run(arguments: ServeArguments, is_json: bool) -> u8 {
    let loaded = match Loaded::load(arguments.config.as_deref(), arguments.stated()) {
        Ok(loaded) => loaded,
        Err(problems) => {
            for problem in problems {
                say_error(&problem.to_string());
            }
            return exit::CONFIGURATION;
        }
    };
    if arguments.print_config {
        return print_config(&loaded, is_json);
    }
    let (discards_snapshot, rebuilds_ids) = (arguments.discard_snapshot, arguments.rebuild_ids);
    let config = Config { discards_snapshot, rebuilds_ids, ..loaded.config };
    if let Err(error) = backup::refuse_opening(&config.data) {
        say_error(&error.to_string());
        return exit::CONFIGURATION;
    }
    telemetry::start(config.log_format, &config.log);
    stop_on_panic();
    match serve(&config, arguments.ready_file.as_deref()) {
        Ok(()) => exit::OK,
        Err(error) => {
            if let ServeError::Program { path, problems } = &error {
                for problem in problems {
                    say_error(&problem.in_file(&path.display().to_string()));
                }
            }
            say_error(&error.to_string());
            if let Some(advice) = advice(&error, &config) {
                say_error(advice);
            }
            exit_number(&error)
        }
    }
}

/// How long a start that is given up is waited for: it ends with the key that it reads and lets go of the store.
const GIVING_UP_PATIENCE: Duration = Duration::from_secs(5);

/// How the names of threads begin that may panic without harm to the ledger: a panic there ends one call, or leaves
/// nobody who tells of the server.
const LEDGERLESS_THREADS: [&str; 4] = [server::EDGE_THREADS, "telemetry", "watchdog", "OpenTelemetry"];

fn print_config(loaded: &Loaded, is_json: bool) -> u8 {
    let text = if is_json { format!("{:#}\n", loaded.as_json()) } else { loaded.in_toml() };
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => exit::OK,
        Err(_) => exit::IO_FAILURE,
    }
}

/// A thread of the ledger that panics, or one at a worker, leaves a state that nobody knows: the process must not go on. Any
/// other panic on the edge ends one call.
fn stop_on_panic() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        default(panic);
        let thread = std::thread::current();
        let is_beside = |name: &str| LEDGERLESS_THREADS.iter().any(|beside| name.starts_with(beside));
        if is_at_a_worker() || !thread.name().is_some_and(is_beside) {
            exit::leave(exit::INTERNAL_FAULT);
        }
    }));
}

fn serve(config: &Config, ready_file: Option<&Path>) -> Result<(), ServeError> {
    if !is_data_directory(&config.data) {
        server::check_mending(config)?;
    }
    let runtime = server::runtime()?;
    // From here on a signal is heard, if not heeded before the store is open, which nothing can interrupt.
    let told = {
        let _within = runtime.enter();
        Signals::new()?
    };
    // A configuration that cannot be served leaves nothing behind.
    server::check_address(config)?;
    server::check_programme(config, !is_data_directory(&config.data))?;
    if let Some(path) = ready_file {
        check_ready_file(path, &config.data).map_err(|source| unready(path, source))?;
    }
    // In this order: that the directory is in use says more than that the port is.
    let opened = server::open_store(config)?;
    let listener = server::listen(config)?;
    let served = runtime.block_on(serve_until_told(config, opened, listener, ready_file, told));
    // A thread that waits for a broken disk must not hold up the end.
    runtime.shutdown_timeout(Duration::from_millis(200));
    served
}

async fn serve_until_told(
    config: &Config,
    opened: OpenedStore,
    listener: std::net::TcpListener,
    ready_file: Option<&Path>,
    mut told: Signals,
) -> Result<(), ServeError> {
    let Some(running) = start_until_told(config, opened, listener, &mut told).await? else { return Ok(()) };
    if let Some(path) = ready_file
        && let Err(source) = write_ready_file(path, &running.ready)
    {
        stop(running).await?;
        return Err(unready(path, source));
    }
    // Last, so that whoever reads it finds the file.
    print_banner(&running.ready);
    manager::ready(&format!("serving at {}", running.ready.address));
    manager::watch(running.telemetry());
    loop {
        tokio::select! {
            () = running.failed() => break,
            signal = told.next() => match signal {
                Told::Reload => running.reload().await,
                Told::Stop => {
                    tracing::info!("stopping: no new calls, those under way are finished");
                    manager::stopping();
                    break;
                }
            },
        }
    }
    stop(running).await
}

async fn stop(running: Running) -> Result<(), ServeError> {
    let end = running.shutdown().await?;
    tracing::info!(records = end.0, "stopped; everything is durable");
    Ok(())
}

/// Starts the server; gives none if it is told to stop before calls are served.
async fn start_until_told(
    config: &Config,
    opened: OpenedStore,
    listener: std::net::TcpListener,
    told: &mut Signals,
) -> Result<Option<Running>, ServeError> {
    let (clock, give_up) = (Arc::new(SystemClock::new()), GiveUp::default());
    let mut starting = std::pin::pin!(server::start_unless(config, opened, listener, clock, &give_up));
    let mut must_reload = false;
    loop {
        tokio::select! {
            started = &mut starting => {
                let running = started?;
                if must_reload {
                    running.reload().await;
                }
                return Ok(Some(running));
            }
            signal = told.next() => match signal {
                // The files may have been read by now.
                Told::Reload => must_reload = true,
                Told::Stop => break,
            },
        }
    }
    tracing::info!("stopping before calls are served: the start is given up");
    manager::giving_up();
    give_up.tell();
    match tokio::time::timeout(GIVING_UP_PATIENCE, starting).await {
        // It had recovered already.
        Ok(Ok(running)) => stop(running).await.map(|()| None),
        Ok(Err(ServeError::GivenUp)) => Ok(None),
        Ok(Err(error)) => Err(error),
        Err(_) => {
            // Some thread stands at a file or at the disk. What it has under way is as after a crash, which harms nothing.
            tracing::warn!("the start does not end, and is left behind");
            Ok(None)
        }
    }
}

/// The signals that end a server in order, and the one that has it read its certificates again.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

/// What a signal asks for.
enum Told {
    Stop,
    Reload,
}

impl Signals {
    fn new() -> Result<Self, ServeError> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).map_err(|error| ServeError::Fault(error.to_string()));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hang_up.recv() => Told::Reload,
        }
    }
}

fn print_banner(ready: &Ready) {
    let program = match &ready.program {
        Some((name, version)) => format!("{name}, version {version}"),
        None => "none in force yet".to_owned(),
    };
    let mut lines = vec![
        format!("tallystick {}", env!("CARGO_PKG_VERSION")),
        format!("data       {}", ready.data_path),
        "           every reply is durable: it leaves after the journal is synced to disk".to_owned(),
        format!("programme  {program}"),
        format!("clock      {}", ready.clock),
        format!(
            "recovered  {} records, {} of them replayed, in {} ms; epoch {}",
            ready.recovered_end, ready.replayed_count, ready.recovery_ms, ready.epoch
        ),
    ];
    lines.extend(access_lines(ready));
    lines.extend(ready.metrics_address.map(|address| format!("metrics    http://{address}/metrics")));
    lines.push(format!("listening on {}", ready.address));
    let mut out = std::io::stdout().lock();
    // A reader that has gone away does not keep the server from running.
    let _ = writeln!(out, "{}", lines.join("\n")).and_then(|()| out.flush());
}

/// What is asked of callers, and what that leaves open.
fn access_lines(ready: &Ready) -> Vec<String> {
    let connections = match (ready.has_tls, ready.asks_for_certificates) {
        (false, _) => "in the clear",
        (true, false) => "over TLS",
        (true, true) => "over TLS with client certificates",
    };
    let Some(partner) = &ready.partner else {
        return vec![format!("access     every call brings a credential, {connections}")];
    };
    let mut lines = vec![
        format!("partner    {partner}"),
        format!("access     no credentials, {connections}: every caller is this partner and may do everything"),
    ];
    if !ready.address.ip().is_loopback() {
        lines.push("           WARNING: other machines reach this address".to_owned());
    }
    lines
}

fn unready(path: &Path, source: std::io::Error) -> ServeError {
    ServeError::ReadyFile { path: path.to_path_buf(), source }
}

/// Where the ready file is written before it gets its name; no other process writes there.
fn beside(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    beside.into()
}

/// Tries whether the ready file can be written. In a data directory that is not there yet nothing can be tried.
fn check_ready_file(path: &Path, data: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Err(std::io::ErrorKind::IsADirectory.into());
    }
    if !data.exists() && std::path::absolute(path)?.starts_with(std::path::absolute(data)?) {
        return Ok(());
    }
    std::fs::File::create(beside(path))?;
    std::fs::remove_file(beside(path))
}

/// Written beside and renamed, so that whoever waits for the file never reads a part of it.
fn write_ready_file(path: &Path, ready: &Ready) -> std::io::Result<()> {
    std::fs::write(beside(path), format!("{}\n", ready.address))?;
    std::fs::rename(beside(path), path)
}

fn say_error(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "tallystick: {text}");
}

/// What an operator can do where the journal gives again what is damaged.
fn advice(error: &ServeError, config: &Config) -> Option<&'static str> {
    let damage = damage_of(error);
    let is_the_snapshot = damage == Some(Damage::In(Space::State)) || may_be_the_snapshot(error);
    if damage == Some(Damage::In(Space::Ids)) && !config.rebuilds_ids {
        Some(
            "the index of ids is damaged, and the journal gives it again: start once as usual and with --rebuild-ids, \
             which reads the journal through first",
        )
    } else if is_the_snapshot && !config.discards_snapshot {
        Some(match error {
            // Not even the auditor can open it.
            ServeError::Store(_) => {
                "the snapshot is damaged, so that the directory does not open: make a copy of it, and start once as \
                 usual and with --discard-snapshot: the journal gives the state again"
            }
            _ => {
                "if `tallystick audit verify` finds nothing wrong but the snapshot, start once as usual and with \
                 --discard-snapshot: the journal gives the state again"
            }
        })
    } else {
        None
    }
}

/// What is damaged in the store, if that is why a server failed.
fn damage_of(error: &ServeError) -> Option<Damage> {
    match error {
        ServeError::Failed(cause) => cause.damage(),
        ServeError::Store(error) => error.damage(),
        ServeError::Journal(error) | ServeError::Recovery(RecoveryError::Journal(error)) => damage_of_journal(error),
        ServeError::Recovery(
            RecoveryError::Store(error)
            | RecoveryError::Identity(IdentityError::Store(error))
            | RecoveryError::Snapshot(SnapshotError::Store(error))
            | RecoveryError::Ids(IdError::Store(error)),
        ) => error.damage(),
        ServeError::Recovery(RecoveryError::Ids(IdError::Damaged { .. })) => Some(Damage::In(Space::Ids)),
        _ => None,
    }
}

/// Whether a replay of the whole journal may succeed where this failed.
fn may_be_the_snapshot(error: &ServeError) -> bool {
    use RecoveryError::{AccountMissing, Journal, RecordMissing, Snapshot, SnapshotAhead, UnitsMissing};
    let ServeError::Recovery(error) = error else { return false };
    match error {
        Snapshot(error) => !matches!(error, SnapshotError::Store(_)),
        SnapshotAhead { .. } | AccountMissing { .. } | RecordMissing { .. } | UnitsMissing { .. } => true,
        // A record that does not fit what the snapshot says came before it.
        Journal(error) => matches!(error, JournalError::Record { .. }),
        _ => false,
    }
}

/// The number with which a server ends that failed so.
#[must_use]
pub fn exit_number(error: &ServeError) -> u8 {
    match error {
        ServeError::GivenUp => exit::OK,
        ServeError::Listen { .. } => exit::UNAVAILABLE,
        ServeError::ReadyFile { .. } => exit::CANNOT_CREATE,
        ServeError::Store(error) => of_store(error),
        ServeError::Recovery(error) => of_recovery(error),
        ServeError::Journal(error) => of_journal(error),
        ServeError::Mismatch { .. }
        | ServeError::NoStore
        | ServeError::Access(_)
        | ServeError::NothingToMend { .. } => exit::CONFIGURATION,
        ServeError::ProgramFile { .. }
        | ServeError::Program { .. }
        | ServeError::Publish(
            PublishError::Unfit(_) | PublishError::TooMany | PublishError::Problems(_) | PublishError::Scheduled { .. },
        ) => exit::BAD_INPUT,
        ServeError::Publish(
            PublishError::TooEarly { .. } | PublishError::ZoneTooSoon { .. } | PublishError::Stopping,
        ) => exit::IO_FAILURE,
        ServeError::Failed(cause) if cause.damage().is_some() => exit::DAMAGED,
        ServeError::Failed(_) | ServeError::Random(_) => exit::IO_FAILURE,
        ServeError::Fault(_) => exit::INTERNAL_FAULT,
    }
}

fn of_store(error: &StoreError) -> u8 {
    match error {
        StoreError::Locked { .. } | StoreError::ReadOnly { .. } => exit::CANNOT_CREATE,
        StoreError::Io { operation, .. } if operation.contains("director") || operation.contains("lock file") => {
            exit::CANNOT_CREATE
        }
        StoreError::DiskFull { .. } | StoreError::Io { .. } | StoreError::Latched { .. } => exit::IO_FAILURE,
        StoreError::Damaged { .. } => exit::DAMAGED,
    }
}

fn of_journal(error: &JournalError) -> u8 {
    match error {
        JournalError::Store(error) => of_store(error),
        JournalError::Frame(_)
        | JournalError::Record { .. }
        | JournalError::Missing { .. }
        | JournalError::Replaced(_) => exit::DAMAGED,
        JournalError::Fenced { .. } => exit::CANNOT_CREATE,
    }
}

fn of_recovery(error: &RecoveryError) -> u8 {
    match error {
        RecoveryError::Store(error)
        | RecoveryError::Identity(IdentityError::Store(error))
        | RecoveryError::Snapshot(SnapshotError::Store(error))
        | RecoveryError::Ids(IdError::Store(error)) => of_store(error),
        RecoveryError::Journal(error) => of_journal(error),
        RecoveryError::Ids(IdError::Options { .. }) => exit::CONFIGURATION,
        RecoveryError::Identity(_)
        | RecoveryError::Snapshot(_)
        | RecoveryError::Ids(_)
        | RecoveryError::NoIdentity
        | RecoveryError::SnapshotAhead { .. }
        | RecoveryError::AccountMissing { .. }
        | RecoveryError::RecordMissing { .. }
        | RecoveryError::UnitsMissing { .. } => exit::DAMAGED,
    }
}
