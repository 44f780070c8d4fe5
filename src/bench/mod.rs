//! The benchmark in the box: the shipped server as a process of its own, called over TCP, its journal verified in the
//! end; beside it the core without input and output, and recovery.
//!
//! [`world`] is the ledger that is measured and [`process`] its server; [`baskets`], [`raw`] and [`channel`] are the
//! load generator, [`run`] its threads, [`unary`], [`stream`] and [`flood`] its manners; [`recorder`] is what is seen,
//! [`figures`] what is said, [`html`] a page of it, [`machine`] what it was measured on. [`echo`] is the ceiling.
//! [`pairs`], [`streams`], [`pressure`], [`attacks`] by [`attackers`], [`midnight`], [`growth`], [`core`] and [`recovery`] are what is
//! measured; [`core_process`] is a core that others of its kind do not disturb. [`leavings`] is what a signal must not leave behind.
//!
//! What must stay true: every figure states its conditions; a run whose server fails or whose journal does not verify
//! gives no figure; what is compared runs alternately, each after the other side has come to rest; the load generator
//! shares the cores with the server, and says so.

pub mod attackers;
pub mod attacks;
pub mod baskets;
pub mod channel;
pub mod core;
pub mod core_process;
pub mod echo;
pub mod error;
pub mod figures;
pub mod flood;
pub mod growth;
pub mod html;
pub mod leavings;
pub mod machine;
pub mod midnight;
pub mod pairs;
pub mod pressure;
pub mod process;
pub mod raw;
pub mod recorder;
pub mod recovery;
pub mod run;
pub mod stream;
pub mod streams;
pub mod unary;
pub mod world;

use std::time::Duration;

pub use error::BenchError;
pub use figures::Report;

use self::core::{CoreOptions, Prepared};
use figures::Figure;
use machine::Machine;
use process::Process;
use recorder::Measured;
use run::Division;
use world::{Folder, Place, Population, Tell, World, compiled};

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Calls that do nothing: the ceiling.
    Echo,
    /// Unary accruals, in pairs with the ceiling.
    Unary,
    /// Streams of batches.
    Stream,
    /// More calls than can be answered.
    Overload,
    /// Unary accruals beside a stream.
    Fairness,
    /// Unary accruals before, during and after attacks.
    Attacks,
    /// The path without input and output.
    Core,
    /// Unary accruals across an instant at which very many lots die.
    Midnight,
    /// The core and unary accruals with few ids in the index and with very many.
    Growth,
    /// Starting after a crash.
    Recovery,
    /// All of it.
    All,
}

/// What to measure with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where and with what.
    pub place: Place,
    /// The accounts.
    pub population: Population,
    /// How long each run measures.
    pub measure: Duration,
    /// How long each run sends before that.
    pub warm_up: Duration,
    /// Threads of the load generator.
    pub thread_count: usize,
    /// Connections and calls or batches in flight on each.
    pub lanes: Lanes,
    /// Pairs of runs for a ratio.
    pub pair_count: usize,
    /// Commands of a batch, if not the usual ones.
    pub batch: Option<usize>,
    /// Unary calls a second, whatever the server does.
    pub rate: Option<u64>,
    /// How long callers wait whose calls come at a rate.
    pub deadline: Option<Duration>,
    /// Ids that are remembered beforehand: by the core, and where growth is measured by the server.
    pub id_count: u64,
    /// Records after the last snapshot that recovery finds.
    pub tail_count: u64,
    /// How far ahead lots die that are being made, beside the time for the run before; enough for it if not stated.
    pub ahead: Option<Duration>,
}

/// What was asked for of the lanes of a load. Each of them that was not is as it is usually, whatever is measured.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lanes {
    /// Connections.
    pub connections: Option<usize>,
    /// Calls or batches in flight on each.
    pub in_flight: Option<usize>,
}

impl Lanes {
    /// Connections and what is in flight on each, where these are the usual ones.
    #[must_use]
    pub fn or(self, (connections, in_flight): (usize, usize)) -> (usize, usize) {
        (self.connections.unwrap_or(connections), self.in_flight.unwrap_or(in_flight))
    }
}

/// Measures.
///
/// # Errors
/// When a server does not run, a call fails, or a journal does not verify.
pub fn bench(mode: Mode, options: &Options, tell: &mut Tell<'_>) -> Result<Report, BenchError> {
    check(mode, options)?;
    let mut report = Report::default();
    tell("Measuring the machine", 0, 0);
    {
        let folder = Folder::make(&options.place)?;
        report.machine = Machine::measure(&folder.path)?;
    }
    match mode {
        Mode::Echo => pairs::echo(options, &mut report, tell)?,
        Mode::Core => core(options, &mut report, tell)?,
        Mode::Recovery => recovery::recovery(options, &mut report, tell)?,
        Mode::Growth => growth::growth(options, &mut report, tell)?,
        Mode::Midnight => midnight::midnight(options, &mut report, tell)?,
        Mode::Unary => with_world("unary", options, &mut report, tell, &[pairs::unary])?,
        Mode::Stream => with_world("stream", options, &mut report, tell, &[streams::stream])?,
        Mode::Overload => with_world("overload", options, &mut report, tell, &[pressure::overload])?,
        Mode::Fairness => with_world("fairness", options, &mut report, tell, &[pressure::fairness])?,
        Mode::Attacks => with_world("attacks", options, &mut report, tell, &[attacks::attacks])?,
        Mode::All => {
            let live: [LiveMode; 4] = [pairs::unary, streams::stream, pressure::fairness, pressure::overload];
            with_world("unary, stream, fairness and overload", options, &mut report, tell, &live)?;
            core(options, &mut report, tell)?;
            recovery::recovery(options, &mut report, tell)?;
        }
    }
    Ok(report)
}

/// That what is asked for can be measured: nothing is begun before that is known.
fn check(mode: Mode, options: &Options) -> Result<(), BenchError> {
    match mode {
        Mode::Attacks => attacks::check(options)?,
        Mode::Overload | Mode::All => pressure::check(options)?,
        _ => {}
    }
    options.place.check_certificates()?;
    if mode != Mode::Echo {
        compiled(&options.place.program_text()?)?;
    }
    Ok(())
}

/// A measurement on a running server.
type LiveMode = fn(&Options, &mut World, &mut Report, &mut Tell<'_>) -> Result<(), BenchError>;

/// Runs measurements on one ledger, which is verified in the end.
fn with_world(
    name: &str,
    options: &Options,
    report: &mut Report,
    tell: &mut Tell<'_>,
    modes: &[LiveMode],
) -> Result<(), BenchError> {
    let mut world = World::make(&options.place, options.population, tell)?;
    let first = report.results.len();
    for mode in modes {
        let measured = mode(options, &mut world, report, tell);
        world.judged(measured)?;
    }
    let figures = report.results.get_mut(first..).unwrap_or_default();
    report.verifications.push(world.finish(name, figures, tell)?);
    Ok(())
}

fn core(options: &Options, report: &mut Report, tell: &mut Tell<'_>) -> Result<(), BenchError> {
    let run = Prepared::make(&options.core()?, tell)?.measure(options.measure, tell)?;
    report.results.push(run.figure(&report.machine));
    Ok(())
}

impl Options {
    /// What the core is measured with.
    ///
    /// # Errors
    /// When the programme file cannot be read.
    pub fn core(&self) -> Result<CoreOptions, BenchError> {
        let program = self.place.program_text()?;
        Ok(CoreOptions { population: self.population, id_count: self.id_count, program })
    }

    /// How the load for a server is divided.
    #[must_use]
    pub fn division(&self, server: &Process, connection_count: usize) -> Division {
        Division {
            target: server.target.clone(),
            server_id: server.id(),
            thread_count: self.thread_count,
            connection_count,
            warm_up: self.warm_up,
            measure: self.measure,
        }
    }

    /// A figure with what the options say about its conditions.
    #[must_use]
    pub fn figure(&self, name: &str, measured: Measured, (connections, in_flight): (usize, usize)) -> Figure {
        let load_threads = self.thread_count.clamp(1, connections.max(1));
        Figure { connections, in_flight, load_threads, ..Figure::of(name, measured) }
    }

    /// A figure of a ledger, with what the ledger says about its conditions. `begin` is where the journal ended before.
    ///
    /// # Errors
    /// When the server does not say where its journal ends.
    pub fn ledger_figure(
        &self,
        name: &str,
        measured: Measured,
        lanes: (usize, usize),
        world: &World,
        begin: u64,
    ) -> Result<Figure, BenchError> {
        Ok(Figure {
            durable: true,
            ledger: Some(world.ledger.clone()),
            server_memory_bytes: Some(world.server.usage().resident_bytes),
            records: Some(begin..world.end_position()?),
            ..self.figure(name, measured, lanes)
        })
    }
}
