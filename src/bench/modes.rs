//! What each mode of the benchmark does, in order.
//!
//! What must stay true: what is compared runs alternately on the same machine in the same minutes, each after the other
//! side has come to rest.

use std::fmt::Write;
use std::time::Duration;

use prost::Message;

use super::Mode;
use super::baskets::Shape;
use super::channel::accrue;
use super::echo::usual_answer;
use super::error::BenchError;
use super::figures::{Figure, Ratio, Report};
use super::machine::Machine;
use super::process::Process;
use super::recorder::Measured;
use super::run::{Division, runtime};
use super::stream::{self, Batches};
use super::unary::{self, Pace};
use super::world::{Folder, Place, Population, Tell, World};

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
    /// Connections and calls or batches in flight on each, if not the usual ones.
    pub lanes: Option<(usize, usize)>,
    /// Pairs of runs for a ratio.
    pub pair_count: usize,
    /// Commands of a batch, if not the usual ones.
    pub batch: Option<usize>,
    /// Unary calls a second, whatever the server does.
    pub rate: Option<u64>,
}

/// Connections and calls in flight on each that unary accruals are measured with.
const UNARY_LANES: [(usize, usize); 2] = [(8, 64), (4, 16)];
/// Streams and batches in flight on each.
const STREAM_LANES: (usize, usize) = (4, 4);
/// One till.
const ONE_CLIENT: (usize, usize) = (1, 1);

/// Measures.
///
/// # Errors
/// When a server does not run, a call fails, or a journal does not verify.
pub fn bench(mode: Mode, options: &Options, tell: &mut Tell<'_>) -> Result<Report, BenchError> {
    let mut report = Report::default();
    tell("Measuring the machine", 0, 0);
    {
        let folder = Folder::make(&options.place)?;
        report.machine = Machine::measure(&folder.path)?;
    }
    match mode {
        Mode::Echo => echo(options, &mut report, tell)?,
        Mode::Unary => unary(options, &mut report, tell)?,
        Mode::Stream => stream(options, &mut report, tell)?,
    }
    Ok(report)
}

impl Options {
    fn division(&self, url: &str, connection_count: usize) -> Division {
        Division {
            url: url.to_owned(),
            thread_count: self.thread_count,
            connection_count,
            warm_up: self.warm_up,
            measure: self.measure,
        }
    }

    fn unary_lanes(&self) -> Vec<(usize, usize)> {
        self.lanes.map_or_else(|| UNARY_LANES.to_vec(), |lanes| vec![lanes])
    }

    /// A figure with what the options say about its conditions.
    fn figure(&self, name: &str, measured: Measured, (connections, in_flight): (usize, usize)) -> Figure {
        let load_threads = self.thread_count.clamp(1, connections.max(1));
        Figure { connections, in_flight, load_threads, ..Figure::of(name, measured) }
    }
}

/// Starts the server that only answers.
fn start_echo(options: &Options, folder: &Folder, answer: &[u8]) -> Result<Process, BenchError> {
    let mut hex = String::with_capacity(answer.len() * 2);
    for byte in answer {
        write!(hex, "{byte:02x}").expect("writing to a string does not fail");
    }
    Process::start(&options.place.program, &folder.path, "echo", &["bench", "echo-server", "--answer", &hex])
}

fn echo(options: &Options, report: &mut Report, tell: &mut Tell<'_>) -> Result<(), BenchError> {
    // The requests are those of a ledger that nobody runs.
    let folder = Folder::make(&options.place)?;
    let server = start_echo(options, &folder, &usual_answer().encode_to_vec())?;
    let load = EchoLoad::new(options);
    let lanes = options.unary_lanes().into_iter().chain(options.lanes.is_none().then_some(ONE_CLIENT));
    for lanes in lanes {
        tell(&format!("Echo, {} connections with {} in flight", lanes.0, lanes.1), 0, 0);
        let measured = load.run(options, &server.url, lanes)?;
        report.results.push(options.figure("echo", measured, lanes));
    }
    server.kill();
    Ok(())
}

/// Requests for the echo: like those of a ledger, but nobody keeps them, so they may repeat from run to run.
struct EchoLoad {
    templates: super::baskets::Templates,
    numbers: super::baskets::Numbers,
}

impl EchoLoad {
    fn new(options: &Options) -> Self {
        let assortment = super::baskets::Assortment {
            line_count: options.population.line_count,
            currency: "USD".to_owned(),
            receipt_at: crate::ledger::types::TimestampNs(1_790_000_000_000_000_000),
            seed: options.population.seed,
            all_eligible: false,
        };
        Self {
            templates: super::baskets::Templates::new(Shape::Unary, &assortment),
            numbers: super::baskets::Numbers::default(),
        }
    }

    fn run(
        &self,
        options: &Options,
        url: &str,
        (connections, in_flight): (usize, usize),
    ) -> Result<Measured, BenchError> {
        let population = options.population;
        let source = |lane: usize| {
            let (templates, numbers) = (self.templates.clone(), self.numbers.clone());
            super::baskets::Source::new(templates, numbers, population.account_count, population.seed ^ lane as u64)
        };
        unary::load(&options.division(url, connections), Pace::Closed { in_flight }, &source)
    }
}

fn unary(options: &Options, report: &mut Report, tell: &mut Tell<'_>) -> Result<(), BenchError> {
    let mut world = World::make(&options.place, options.population, tell)?;
    let first = report.results.len();
    let measured = unary_pairs(options, &mut world, report, tell);
    if measured.is_err() {
        // That the server is gone says more than that a call failed.
        world.server.check_alive()?;
    }
    measured?;
    finish(world, "unary", first, report, tell)
}

/// Stops, verifies, and completes the figures taken of a world.
fn finish(world: World, name: &str, first: usize, report: &mut Report, tell: &mut Tell<'_>) -> Result<(), BenchError> {
    let verification = world.finish(name, tell)?;
    let record_bytes = verification.journal_bytes as f64 / verification.record_count.max(1) as f64;
    for figure in report.results.iter_mut().skip(first).filter(|figure| figure.durable) {
        figure.record_bytes = Some(record_bytes);
    }
    report.verifications.push(verification);
    Ok(())
}

fn unary_pairs(
    options: &Options,
    world: &mut World,
    report: &mut Report,
    tell: &mut Tell<'_>,
) -> Result<(), BenchError> {
    let templates = world.templates(Shape::Unary, options.population.line_count);
    let mut seed = 1_000;
    let mut one = |world: &World, pace: Pace, connections: usize| {
        seed += 1_000;
        let source = |lane: usize| world.source(&templates, seed + lane as u64);
        unary::load(&options.division(&world.server.url, connections), pace, &source)
    };
    if let Some(per_second) = options.rate {
        let lanes = options.lanes.unwrap_or(UNARY_LANES[0]);
        tell(&format!("Unary, {per_second} due a second"), 0, 0);
        let measured = one(world, Pace::Open { per_second }, lanes.0)?;
        let figure = options.figure("unary-open-loop", measured, (lanes.0, 0));
        report.results.push(ledger_figure(world, Figure { due_per_second: Some(per_second), ..figure }));
        return Ok(());
    }
    let answer = {
        let mut source = world.source(&templates, 1);
        runtime()?.block_on(async {
            let mut grpc = tonic::client::Grpc::new(super::channel::connect(&world.server.url).await?);
            accrue(&mut grpc, source.one()).await.map_err(|status| super::channel::broken(&status))
        })?
    };
    let echo = start_echo(options, &world.folder, &answer)?;
    let load = EchoLoad::new(options);
    let lanes = options.unary_lanes().into_iter().chain(options.lanes.is_none().then_some(ONE_CLIENT));
    for (connections, in_flight) in lanes {
        let lanes = (connections, in_flight);
        let label = format!("{connections} × {in_flight}");
        let (mut echoes, mut unaries, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        let pair_count = options.pair_count.max(1);
        for pair in 0..pair_count {
            tell(&format!("Pairs of echo and unary, {label}"), pair as u64, pair_count as u64);
            world.settle();
            let below = load.run(options, &echo.url, lanes)?;
            let above = one(world, Pace::Closed { in_flight }, connections)?;
            ratios.push(above.per_second() / below.per_second().max(f64::MIN_POSITIVE));
            echoes.push(below);
            unaries.push(above);
        }
        report.results.push(options.figure("echo", Measured::joined(echoes), lanes));
        let unary = options.figure("unary", Measured::joined(unaries), lanes);
        if lanes == ONE_CLIENT {
            let by_sync = unary.p50_us / report.machine.fdatasync_p50_us.max(f64::MIN_POSITIVE);
            report.ratios.extend(Ratio::of("one client's p50 ÷ fdatasync p50", vec![by_sync]));
        }
        report.results.push(ledger_figure(world, unary));
        report.ratios.extend(Ratio::of(format!("unary ÷ echo, {label}"), ratios));
    }
    echo.kill();
    Ok(())
}

/// Adds what a figure of a ledger states besides.
fn ledger_figure(world: &World, figure: Figure) -> Figure {
    let server_memory_bytes = Some(world.server.usage().resident_bytes);
    Figure { durable: true, ledger: Some(world.ledger.clone()), server_memory_bytes, ..figure }
}

fn stream(options: &Options, report: &mut Report, tell: &mut Tell<'_>) -> Result<(), BenchError> {
    let mut world = World::make(&options.place, options.population, tell)?;
    let first = report.results.len();
    let line_count = options.population.line_count;
    let runs = match options.batch {
        Some(batch) => vec![(batch, line_count)],
        None => vec![(1_000, line_count), (100, line_count), (1_000, 7)],
    };
    for (number, (batch, line_count)) in runs.into_iter().enumerate() {
        let lanes = options.lanes.unwrap_or(STREAM_LANES);
        tell(&format!("Stream, batches of {batch}, {line_count} lines"), 0, 0);
        let templates = world.templates(Shape::Stream, line_count);
        let seed = 1_000 * (1 + number as u64);
        let source = |lane: usize| world.source(&templates, seed + lane as u64);
        let batches = Batches { command_count: batch, in_flight: lanes.1 };
        world.settle();
        let measured = stream::load(&options.division(&world.server.url, lanes.0), batches, &source);
        if measured.is_err() {
            world.server.check_alive()?;
        }
        let mut figure = ledger_figure(&world, options.figure("stream", measured?, lanes));
        figure.batch = batch;
        if let Some(ledger) = &mut figure.ledger {
            ledger.lines_per_basket = line_count;
        }
        report.results.push(figure);
    }
    finish(world, "stream", first, report, tell)
}
