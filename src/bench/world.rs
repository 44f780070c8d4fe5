//! A ledger to measure: a data directory, a programme, the shipped server on it, accounts in it; and the verification
//! of what the server wrote.
//!
//! What must stay true: the server is the shipped program with the shipped configuration; after the load it is stopped
//! in order and its journal verified from its first byte; what is not kept is removed, whatever happened.

use std::cell::RefCell;
use std::fs;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::time::Duration;

use prost::bytes::BytesMut;
use serde::{Deserialize, Serialize};

use super::baskets::{Assortment, Numbers, Shape, Source, Templates};
use super::channel::{Shown, Target, broken, connect};
use super::error::BenchError;
use super::figures::{Figure, Ledger, Swept, Verification};
use super::leavings::Held;
use super::process::Process;
use super::run::runtime;
use super::stream::{Batch, Event, pump};
use crate::access::grant::{Grant, Role};
use crate::access::keys::KeyIssue;
use crate::access::secret::Secret;
use crate::audit::verify::{VerifyOptions, verify};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::journal::dictionary::Dictionary;
use crate::journal::frame::{FrameView, HASH_BYTES, HEADER_BYTES};
use crate::journal::log::StoreJournal;
use crate::journal::record::{Record, decode, is_expiry};
use crate::journal::{Journal, JournalError};
use crate::ledger::program::Program;
use crate::ledger::types::Position;
use crate::program;
use crate::server::{open_store, with_ledger};
use crate::service::wire;
use crate::service::wire::admin_service_client::AdminServiceClient;
use crate::service::{KeyDraft, issue_key};

/// The programme that is measured when none is named.
pub const PROGRAM: &str = include_str!("../../deploy/programs/bench.toml");
/// Commands of one batch while accounts are made.
const FILL_BATCH: u64 = 1_000;
/// Batches unanswered on each stream meanwhile.
const FILL_IN_FLIGHT: usize = 6;
/// How long a server may go on working after a load before the next run begins.
const SETTLE_LIMIT: Duration = Duration::from_secs(20);

/// Time that a server has to be gone after a call failed.
const FAREWELL: Duration = Duration::from_millis(500);
/// Memory for the ids of a verification: enough for 54 million, so that most journals are read once.
const VERIFY_BYTES_MAX: u64 = 2 << 30;

/// Is told how long work goes on: the phase, how much is done, and of how much (0: not known).
pub type Tell<'a> = dyn FnMut(&str, u64, u64) + 'a;

/// Where to measure and with what.
#[derive(Clone, Debug)]
pub struct Place {
    /// The executable whose `serve` is measured.
    pub program: PathBuf,
    /// The folder in which a folder for this run is made.
    pub within: PathBuf,
    /// Whether to leave it there.
    pub is_kept: bool,
    /// Whether to verify the journal in the end.
    pub is_verified: bool,
    /// A programme file to measure with; `None` takes the one in the box.
    pub program_file: Option<PathBuf>,
    /// The folder with the server's certificate and its root, as `deploy/certificates.sh` makes it; `None` speaks in the
    /// clear.
    pub certificates: Option<PathBuf>,
    /// In what role calls bring a key; `None` asks for none.
    pub key: Option<Role>,
}

/// The root of the server's certificate, the certificate and its key, in the folder that has them.
const CERTIFICATE_FILES: [&str; 3] = ["ca.pem", "server.pem", "server.key"];

impl Place {
    /// The text of the programme to measure with.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn program_text(&self) -> Result<String, BenchError> {
        match &self.program_file {
            Some(path) => fs::read_to_string(path).map_err(|error| BenchError::file("reading", path, error)),
            None => Ok(PROGRAM.to_owned()),
        }
    }

    /// That the files are there which a server needs that is to speak TLS.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn check_certificates(&self) -> Result<(), BenchError> {
        self.certificates.iter().try_for_each(|folder| {
            CERTIFICATE_FILES.map(|name| folder.join(name)).iter().try_for_each(|path| {
                let opened = fs::File::open(path).map(drop);
                opened.map_err(|error| BenchError::file("reading", path, error))
            })
        })
    }
}

/// A programme's text, compiled.
///
/// # Errors
/// When it has mistakes.
pub fn compiled(source: &str) -> Result<Program, BenchError> {
    let checked = program::check(source);
    let wrong = || checked.problems.iter().map(|problem| problem.in_file("it")).collect::<Vec<String>>().join("; ");
    checked.program.ok_or_else(|| BenchError::Program(wrong()))
}

/// A folder for a run; removed in the end.
#[derive(Debug)]
pub struct Folder {
    /// Where.
    pub path: PathBuf,
    /// Unless it is kept.
    held: Option<Held>,
}

impl Folder {
    /// Makes a new one.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make(place: &Place) -> Result<Self, BenchError> {
        let name = |number: u32| place.within.join(format!("tallystick-bench-{}-{number}", std::process::id()));
        let path = (0..1_000).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(1_000));
        let made = if place.is_kept { fs::create_dir_all(&path).map(|()| None) } else { Held::make(&path).map(Some) };
        let held = made.map_err(|error| BenchError::file("making", &path, error))?;
        Ok(Self { path, held })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.held.is_some() {
            // There is nobody to tell; what is left lies among the temporary files.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// What accounts there shall be.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Population {
    /// Accounts.
    pub account_count: u64,
    /// Lots of each, at least 1. A lot is of an issuer, so the server is started once for each.
    pub lot_count: u64,
    /// Lines of a basket of the load.
    pub line_count: usize,
    /// What everything random depends on.
    pub seed: u64,
}

/// The ledger that is measured.
#[derive(Debug)]
pub struct World {
    /// The running server. It is dropped, and so ended, before its folder.
    pub server: Process,
    /// What it is like.
    pub ledger: Ledger,
    /// How its server is started.
    pub start: Start,
    population: Population,
    currency: String,
    numbers: Numbers,
    /// What servers that have ended caused to be written.
    written_bytes: u64,
    is_verified: bool,
    /// Its folder.
    pub folder: Folder,
}

/// How a server is started.
#[derive(Clone, Debug)]
pub struct Start {
    program: PathBuf,
    folder: PathBuf,
    /// The data directory.
    pub data: PathBuf,
    program_file: PathBuf,
    access: Option<Access>,
}

/// How a server is protected, and who calls it.
#[derive(Clone, Debug)]
struct Access {
    arguments: Vec<String>,
    root: Option<String>,
    load: Shown,
    operator: Shown,
}

impl Access {
    /// Makes the keys that are needed, in a directory that no server uses.
    fn prepare(place: &Place, data: &Path, issuer: u64) -> Result<Self, BenchError> {
        let mut access = Self { arguments: Vec::new(), root: None, load: Shown::default(), operator: Shown::default() };
        if let Some(folder) = &place.certificates {
            let [root, certificate, key] = CERTIFICATE_FILES.map(|name| folder.join(name));
            let text = fs::read_to_string(&root).map_err(|error| BenchError::file("reading", &root, error))?;
            access.root = Some(text);
            for (flag, path) in [("--tls-certificate", certificate), ("--tls-key", key)] {
                access.arguments.extend([flag.to_owned(), path.display().to_string()]);
            }
        }
        if let Some(role) = place.key {
            access.arguments.extend(["--authentication", "required"].map(str::to_owned));
            let partner = format!("issuer-{issuer}").into();
            let load = Grant { role, partner, stores: Vec::new(), terminals: Vec::new() };
            let config = Config { data: data.to_path_buf(), ..Config::default() };
            let keys = with_ledger(&config, |engine| {
                [load, Grant::of_role(Role::Operator)].map(|grant| {
                    let expires_at = KeyIssue::NEVER;
                    let draft = KeyDraft { name: "benchmark".into(), grant, expires_at, certificate: None };
                    issue_key(engine, draft, "benchmark").map(|(_, key)| key)
                })
            });
            let failed = |error: &dyn std::fmt::Display| BenchError::Server(format!("no keys can be issued: {error}"));
            let [load, operator] = keys.map_err(|error| failed(&error))?;
            let shown = |key: Option<Secret>| key.as_ref().map_or_else(Shown::default, Shown::key);
            access.load = shown(load.map_err(|error| failed(&error))?);
            access.operator = shown(operator.map_err(|error| failed(&error))?);
        }
        Ok(access)
    }
}

impl Start {
    /// Starts a server for an issuer, by its number, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn server(&self, issuer: u64, further: &[&str]) -> Result<Process, BenchError> {
        let issuer = format!("issuer-{issuer}");
        let (data, program) = (self.data.to_string_lossy(), self.program_file.to_string_lossy());
        let mut arguments =
            vec!["serve", "--listen", "127.0.0.1:0", "--data", &*data, "--program", &*program, "--partner", &*issuer];
        arguments.extend(further);
        let Some(access) = &self.access else {
            return Process::start(&self.program, &self.folder, "server", &arguments);
        };
        arguments.extend(access.arguments.iter().map(String::as_str));
        let mut process = Process::start(&self.program, &self.folder, "server", &arguments)?;
        if access.root.is_some() {
            process.target.url = process.target.url.replacen("http://", "https://", 1);
        }
        (process.target.root, process.target.key) = (access.root.clone(), access.load.clone());
        Ok(process)
    }
}

impl World {
    /// Starts a server on a new data directory and makes the accounts.
    ///
    /// # Errors
    /// When the programme file cannot be used, the server does not run, or an account cannot be made.
    pub fn make(place: &Place, population: Population, tell: &mut Tell<'_>) -> Result<Self, BenchError> {
        let folder = Folder::make(place)?;
        let source = place.program_text()?;
        let program = compiled(&source)?;
        let program_file = folder.path.join("program.toml");
        fs::write(&program_file, &source).map_err(|error| BenchError::file("writing", &program_file, error))?;
        let data = folder.path.join("data");
        let ledger = Ledger::of(population, &program);
        let currency = program.currency;
        let start =
            Start { program: place.program.clone(), folder: folder.path.clone(), data, program_file, access: None };
        let mut world = Self {
            server: start.server(0, &[])?,
            ledger,
            start,
            population,
            currency,
            numbers: Numbers::default(),
            written_bytes: 0,
            is_verified: place.is_verified,
            folder,
        };
        world.fill(tell)?;
        world.protect(place)?;
        Ok(world)
    }

    /// Starts the server again as it is to be measured: the accounts were made in the clear and without keys.
    fn protect(&mut self, place: &Place) -> Result<(), BenchError> {
        if place.certificates.is_none() && place.key.is_none() {
            return Ok(());
        }
        self.stop()?;
        let issuer = self.last_issuer();
        self.start.access = Some(Access::prepare(place, &self.start.data, issuer)?);
        self.ledger.tls = place.certificates.is_some();
        self.ledger.keys = place.key.is_some();
        self.server = self.start.server(issuer, &[])?;
        Ok(())
    }

    /// The server as an operator calls it.
    fn operator(&self) -> Target {
        let mut target = self.server.target.clone();
        if let Some(access) = &self.start.access {
            target.key = access.operator.clone();
        }
        target
    }

    /// A source of requests that differ from all others of this world.
    #[must_use]
    pub fn source(&self, templates: &Templates, seed: u64) -> Source {
        Source::new(templates.clone(), self.numbers.clone(), self.population.account_count, self.population.seed ^ seed)
    }

    /// Encoded baskets for the load, with so many lines.
    #[must_use]
    pub fn templates(&self, shape: Shape, line_count: usize) -> Templates {
        Templates::new(shape, &self.assortment(line_count, false))
    }

    fn assortment(&self, line_count: usize, all_eligible: bool) -> Assortment {
        let receipt_at = SystemClock::new().now();
        Assortment { line_count, currency: self.currency.clone(), receipt_at, seed: self.population.seed, all_eligible }
    }

    /// Waits until the server has finished what it does after a load.
    pub fn settle(&self) {
        self.server.settle(SETTLE_LIMIT);
    }

    /// Stops the server in order and starts it again for an issuer, by its number.
    ///
    /// # Errors
    /// When it does not stop, or does not start again.
    pub fn restart(&mut self, issuer: u64, further: &[&str]) -> Result<(), BenchError> {
        self.stop()?;
        self.server = self.start.server(issuer, further)?;
        Ok(())
    }

    fn stop(&mut self) -> Result<(), BenchError> {
        self.written_bytes += self.server.usage().written_bytes;
        self.server.stop()
    }

    /// Ends the server at once, as `kill -9` does.
    pub fn kill(&mut self) {
        self.written_bytes += self.server.usage().written_bytes;
        self.server.kill();
    }

    /// The issuer that the server acts for after the accounts were made.
    #[must_use]
    pub fn last_issuer(&self) -> u64 {
        self.ledger.lots_per_account - 1
    }

    /// Gives every account one basket from each issuer.
    fn fill(&mut self, tell: &mut Tell<'_>) -> Result<(), BenchError> {
        let templates = Templates::new(Shape::Stream, &self.assortment(1, true));
        let total = self.population.account_count * self.ledger.lots_per_account;
        for issuer in 0..self.ledger.lots_per_account {
            if issuer > 0 {
                self.restart(issuer, &[])?;
            }
            let mut on_answer = |count: u64| {
                tell("Making accounts", issuer * self.population.account_count + count, total);
            };
            let filled = self.give_each_account_a_basket(&templates, &mut on_answer);
            self.judged(filled)?;
        }
        self.settle();
        Ok(())
    }

    fn give_each_account_a_basket(
        &self,
        templates: &Templates,
        on_answer: &mut dyn FnMut(u64),
    ) -> Result<(), BenchError> {
        let account_count = self.population.account_count;
        let half = account_count / 2;
        let progress = RefCell::new((0_u64, on_answer));
        let target = &self.server.target;
        let one = |accounts: std::ops::Range<u64>| {
            let mut source = self.source(templates, accounts.start);
            let (mut next_account, end) = (accounts.start, accounts.end);
            let next = move || {
                let count = FILL_BATCH.min(end - next_account);
                let mut out = BytesMut::with_capacity(256 << 10);
                for account in next_account..next_account + count {
                    source.push_for(account, &mut out);
                }
                next_account += count;
                let command_count = usize::try_from(count).unwrap_or(0);
                (count > 0).then(|| Batch { bytes: out.freeze(), command_count, sent_ns: 0 })
            };
            let progress = &progress;
            async move {
                let mut refused = None;
                let channel = connect(target).await?;
                pump(channel, FILL_IN_FLIGHT, next, |event| match event {
                    Event::Result(verdict) => refused = refused.or(verdict.kind()),
                    Event::Batch { command_count, .. } => {
                        let (done, on_answer) = &mut *progress.borrow_mut();
                        *done += command_count as u64;
                        on_answer(*done);
                    }
                    Event::Message { .. } => {}
                })
                .await?;
                let wrong = |kind| BenchError::Call(format!("a basket that makes an account was refused: {kind}"));
                refused.map_or(Ok(()), |kind| Err(wrong(kind)))
            }
        };
        runtime()?.block_on(async { tokio::try_join!(one(0..half), one(half..account_count)).map(drop) })
    }

    /// One past the last durable record, as the server says.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn end_position(&self) -> Result<u64, BenchError> {
        let status = runtime()?.block_on(async {
            let mut admin = AdminServiceClient::new(connect(&self.operator()).await?);
            admin.get_status(wire::GetStatusRequest::default()).await.map_err(|status| broken(&status))
        })?;
        let last = status.into_inner().durable_position;
        Ok(last.and_then(|last| u64::try_from(last).ok()).map_or(0, |last| last + 1))
    }

    /// Has the server take a snapshot.
    ///
    /// # Errors
    /// When it takes none.
    pub fn take_snapshot(&self) -> Result<(), BenchError> {
        runtime()?.block_on(async {
            let mut admin = AdminServiceClient::new(connect(&self.operator()).await?);
            admin.take_snapshot(wire::TakeSnapshotRequest {}).await.map_err(|status| broken(&status))
        })?;
        Ok(())
    }

    /// What a run measured, unless it failed; that the server is gone says more than that a call failed.
    ///
    /// # Errors
    /// When the run failed.
    pub fn judged<T>(&mut self, measured: Result<T, BenchError>) -> Result<T, BenchError> {
        if measured.is_err() {
            // A process that was killed takes a moment to be gone.
            self.server.wait_for_end(FAREWELL);
            self.server.check_alive()?;
        }
        measured
    }

    /// Stops the server in order and verifies its journal; completes the figures that were taken of it.
    ///
    /// # Errors
    /// When the server does not end well, or the journal is not intact.
    pub fn finish(
        mut self,
        name: &str,
        figures: &mut [Figure],
        tell: &mut Tell<'_>,
    ) -> Result<Verification, BenchError> {
        tell("Stopping the server", 0, 0);
        self.stop()?;
        let mut ranges: Vec<Counted> =
            figures.iter().map(|figure| (figure.records.clone().unwrap_or(0..0), (0, 0))).collect();
        let mut found = judge(&self.start.data, name, self.is_verified, &mut ranges, tell)?;
        for (figure, (_, (bytes, count))) in figures.iter_mut().zip(ranges) {
            if count > 0 {
                figure.record_bytes = Some(bytes as f64 / count as f64);
            }
        }
        found.written_bytes = self.written_bytes;
        found.write_amplification = self.written_bytes as f64 / found.journal_bytes.max(1) as f64;
        Ok(found)
    }
}

/// Notes a record if it is an expiry that the ledger posted by itself.
fn note_expiry(record: &[u8], swept: &mut Option<Swept>) -> Result<(), JournalError> {
    if !is_expiry(record) {
        return Ok(());
    }
    // One that cannot be decoded is for the verification to find.
    let Ok(Record::Entry(entry)) = decode(record, &Dictionary::new()) else { return Ok(()) };
    let at_ns = entry.posted_at.0;
    let swept = swept.get_or_insert(Swept { first_at_ns: at_ns, last_at_ns: at_ns, ..Swept::default() });
    swept.record_count += 1;
    swept.lot_count += entry.decision.effects.lots.len() as u64;
    swept.first_at_ns = swept.first_at_ns.min(at_ns);
    swept.last_at_ns = swept.last_at_ns.max(at_ns);
    Ok(())
}

/// Records from one position to another, and the bytes and records of the frames that begin there.
pub type Counted = (Range<u64>, (u64, u64));

/// Measures the journal of a data directory that no server uses and, if asked, verifies it.
///
/// # Errors
/// When it cannot be opened, or its journal is not intact.
pub fn judge(
    data: &Path,
    name: &str,
    is_verified: bool,
    ranges: &mut [Counted],
    tell: &mut Tell<'_>,
) -> Result<Verification, BenchError> {
    let store = open_store(&Config { data: data.to_path_buf(), ..Config::default() })?.store;
    let (mut journal_bytes, mut record_count) = (0, 0);
    let mut swept = None;
    let journal = StoreJournal::new(store.clone());
    let failed = |error: JournalError| BenchError::NotIntact(error.to_string());
    let count = &mut |frame: &FrameView<'_>| {
        let bytes = u64::from(frame.header.body_bytes) + (HEADER_BYTES + HASH_BYTES) as u64;
        journal_bytes += bytes;
        for (range, in_range) in &mut *ranges {
            if range.contains(&frame.header.position.0) {
                in_range.0 += bytes;
                in_range.1 += u64::from(frame.header.record_count);
            }
        }
        record_count += u64::from(frame.header.record_count);
        frame.for_each(|view| note_expiry(view.bytes, &mut swept))?;
        Ok(ControlFlow::Continue(()))
    };
    journal.read(Position(0), count).map_err(failed)?;
    let mut found =
        Verification { name: name.to_owned(), journal_bytes, record_count, expiry: swept, ..Verification::default() };
    if !is_verified {
        return Ok(found);
    }
    let clock = SystemClock::new();
    let options = VerifyOptions { memory_bytes: VERIFY_BYTES_MAX, ..VerifyOptions::default() };
    let report = verify(&store, &options, &mut |reading, goal| tell("Verifying", reading.reached.0, goal.0))?;
    if !report.intact {
        let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        return Err(BenchError::NotIntact(findings.join("; ")));
    }
    found.verified = true;
    found.record_count = report.record_count;
    found.account_count = Some(report.account_count);
    found.seconds = clock.monotonic_ns() as f64 / 1e9;
    Ok(found)
}
