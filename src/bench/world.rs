//! A ledger to measure: a data directory, a programme, the shipped server on it, accounts in it; and the verification
//! of what the server wrote.
//!
//! What must stay true: the server is the shipped program with the shipped configuration; after the load it is stopped
//! in order and its journal verified from its first byte; what is not kept is removed, whatever happened.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prost::bytes::BytesMut;

use super::baskets::{Assortment, Numbers, Shape, Source, Templates};
use super::channel::connect;
use super::error::BenchError;
use super::figures::{Ledger, Verification};
use super::process::Process;
use super::run::runtime;
use super::stream::{Batch, Event, pump};
use crate::audit::verify::{VerifyOptions, verify};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::program;
use crate::server::open_store;
use crate::store::{Direction, Space};

/// The programme that is measured when none is named.
pub const PROGRAM: &str = include_str!("../../deploy/programs/bench.toml");
/// Commands of one batch while accounts are made.
const FILL_BATCH: u64 = 1_000;
/// Batches unanswered on each stream meanwhile.
const FILL_IN_FLIGHT: usize = 6;
/// How long a server may go on working after a load before the next run begins.
const SETTLE_LIMIT: Duration = Duration::from_secs(20);

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
    /// A programme file to measure with; `None` takes the one in the box.
    pub program_file: Option<PathBuf>,
}

/// A folder for a run; removed in the end.
#[derive(Debug)]
pub struct Folder {
    /// Where.
    pub path: PathBuf,
    is_kept: bool,
}

impl Folder {
    /// Makes a new one.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make(place: &Place) -> Result<Self, BenchError> {
        let name = |number: u32| place.within.join(format!("tallystick-bench-{}-{number}", std::process::id()));
        let path = (0..1_000).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(1_000));
        fs::create_dir_all(&path).map_err(|error| BenchError::file("making", &path, error))?;
        Ok(Self { path, is_kept: place.is_kept })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.is_kept {
            // There is nobody to tell; what is left lies among the temporary files.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// What accounts there shall be.
#[derive(Clone, Copy, Debug)]
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
    /// Its folder.
    pub folder: Folder,
    /// The running server.
    pub server: Process,
    /// What it is like.
    pub ledger: Ledger,
    place: Place,
    data: PathBuf,
    program_file: PathBuf,
    population: Population,
    currency: String,
    numbers: Numbers,
}

impl World {
    /// Starts a server on a new data directory and makes the accounts.
    ///
    /// # Errors
    /// When the programme file cannot be used, the server does not run, or an account cannot be made.
    pub fn make(place: &Place, population: Population, tell: &mut Tell<'_>) -> Result<Self, BenchError> {
        let folder = Folder::make(place)?;
        let source = match &place.program_file {
            Some(path) => fs::read_to_string(path).map_err(|error| BenchError::file("reading", path, error))?,
            None => PROGRAM.to_owned(),
        };
        let checked = program::check(&source);
        let Some(program) = checked.program else {
            let problems: Vec<String> = checked.problems.iter().map(|problem| problem.in_file("it")).collect();
            return Err(BenchError::Program(problems.join("; ")));
        };
        let program_file = folder.path.join("program.toml");
        fs::write(&program_file, &source).map_err(|error| BenchError::file("writing", &program_file, error))?;
        let data = folder.path.join("data");
        let ledger = Ledger {
            accounts: population.account_count,
            lots_per_account: population.lot_count.max(1),
            windows_per_account: program.caps.len() + program.metrics.len(),
            rules: program.lines.rules.len(),
            caps: program.caps.len(),
            metrics: program.metrics.len(),
            budgets: program.budgets.len(),
            lines_per_basket: population.line_count,
        };
        let currency = program.currency;
        let server = start(place, &folder.path, &data, &program_file, 0)?;
        let (place, numbers) = (place.clone(), Numbers::default());
        let mut world = Self { folder, server, ledger, place, data, program_file, population, currency, numbers };
        world.fill(tell)?;
        Ok(world)
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
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

    /// Gives every account one basket from each issuer.
    fn fill(&mut self, tell: &mut Tell<'_>) -> Result<(), BenchError> {
        let templates = Templates::new(Shape::Stream, &self.assortment(1, true));
        let total = self.population.account_count * self.ledger.lots_per_account;
        for issuer in 0..self.ledger.lots_per_account {
            if issuer > 0 {
                self.server.stop_in_place()?;
                self.server = start(&self.place, &self.folder.path, &self.data, &self.program_file, issuer)?;
            }
            let mut on_answer = |count: u64| {
                tell("Making accounts", issuer * self.population.account_count + count, total);
            };
            let filled = self.give_each_account_a_basket(&templates, &mut on_answer);
            if let Err(error) = filled {
                self.server.check_alive()?;
                return Err(error);
            }
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
        let url = &self.server.url;
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
                let channel = connect(url).await?;
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

    /// Stops the server in order and verifies its journal.
    ///
    /// # Errors
    /// When the server does not end well, or the journal is not intact.
    pub fn finish(mut self, name: &str, tell: &mut Tell<'_>) -> Result<Verification, BenchError> {
        tell("Stopping the server", 0, 0);
        self.server.stop_in_place()?;
        verify_data(&self.data, name, tell)
    }
}

fn start(place: &Place, folder: &Path, data: &Path, program: &Path, issuer: u64) -> Result<Process, BenchError> {
    let issuer = format!("issuer-{issuer}");
    let (data, program) = (data.to_string_lossy(), program.to_string_lossy());
    let arguments =
        ["serve", "--listen", "127.0.0.1:0", "--data", &*data, "--program", &*program, "--partner", &*issuer];
    Process::start(&place.program, folder, "server", &arguments)
}

/// Verifies a data directory that no server uses.
///
/// # Errors
/// When it cannot be opened, or its journal is not intact.
pub fn verify_data(data: &Path, name: &str, tell: &mut Tell<'_>) -> Result<Verification, BenchError> {
    let clock = SystemClock::new();
    let store = open_store(&Config { data: data.to_path_buf(), ..Config::default() })?.store;
    let mut journal_bytes = 0;
    store
        .scan(Space::Journal, &[], Direction::Forward, &mut |_, frame| {
            journal_bytes += frame.len() as u64;
            std::ops::ControlFlow::Continue(())
        })
        .map_err(|error| BenchError::Serve(error.into()))?;
    let report = verify(&store, &VerifyOptions::default(), &mut |reached, goal| tell("Verifying", reached.0, goal.0))?;
    if !report.intact {
        let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        return Err(BenchError::NotIntact(findings.join("; ")));
    }
    Ok(Verification {
        name: name.to_owned(),
        intact: report.intact,
        record_count: report.record_count,
        journal_bytes,
        account_count: report.account_count,
        seconds: clock.monotonic_ns() as f64 / 1e9,
    })
}
