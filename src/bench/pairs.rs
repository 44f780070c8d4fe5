//! Unary accruals in alternating pairs with calls that do nothing, and one client by itself beside the disk's sync.
//!
//! What must stay true: both sides of a pair get the same load within the same seconds; the echo answers what the
//! ledger answered.

use std::fmt::Write;
use std::time::Duration;

use prost::Message;
use prost::bytes::Bytes;
use tonic::client::Grpc;

use super::baskets::{Assortment, Numbers, Shape, Source, Templates};
use super::channel::{accrue, broken, connect};
use super::echo::usual_answer;
use super::error::BenchError;
use super::figures::{Figure, Ratio, Report};
use super::machine::sync_latency;
use super::process::Process;
use super::recorder::Measured;
use super::run::{Division, runtime};
use super::unary::{self, Pace};
use super::world::{Folder, Tell, World};
use super::{Lanes, Options};
use crate::ledger::types::TimestampNs;

/// Connections and calls in flight on each that unary accruals are measured with.
pub const UNARY_LANES: [(usize, usize); 2] = [(8, 64), (4, 16)];
/// One till.
const ONE_CLIENT: (usize, usize) = (1, 1);
/// How long the disk's sync is measured before each run of one client.
const SYNC: Duration = Duration::from_millis(500);
/// Answers that the one for the echo is chosen from.
const ANSWER_COUNT: usize = 9;

/// The lanes to measure with: the usual ones and one client, as far as nothing else is asked for.
fn lanes(asked: Lanes) -> Vec<(usize, usize)> {
    let mut lanes: Vec<_> = UNARY_LANES.into_iter().chain([ONE_CLIENT]).map(|usual| asked.or(usual)).collect();
    lanes.dedup();
    lanes
}

/// Starts the server that only answers.
fn start_echo(options: &Options, folder: &Folder, answer: &[u8]) -> Result<Process, BenchError> {
    let mut hex = String::with_capacity(answer.len() * 2);
    for byte in answer {
        write!(hex, "{byte:02x}").expect("writing to a string does not fail");
    }
    Process::start(&options.place.program, &folder.path, "echo", &["bench", "echo-server", "--answer", &hex])
}

/// Measures the ceiling alone.
///
/// # Errors
/// When its server does not run, or a call fails.
pub fn echo(options: &Options, report: &mut Report, tell: &mut Tell<'_>) -> Result<(), BenchError> {
    let folder = Folder::make(&options.place)?;
    let server = start_echo(options, &folder, &usual_answer().encode_to_vec())?;
    let load = EchoLoad::new(options);
    for lanes in lanes(options.lanes) {
        tell(&format!("Echo, {} connections with {} in flight", lanes.0, lanes.1), 0, 0);
        let measured = load.run(options, &server, lanes)?;
        report.results.push(options.figure("echo", measured, lanes));
    }
    Ok(())
}

/// Requests for the echo: like those of a ledger, but nobody keeps them, so they may repeat from run to run.
struct EchoLoad {
    templates: Templates,
    numbers: Numbers,
}

impl EchoLoad {
    fn new(options: &Options) -> Self {
        let assortment = Assortment {
            line_count: options.population.line_count,
            currency: "USD".to_owned(),
            receipt_at: TimestampNs(1_790_000_000_000_000_000),
            seed: options.population.seed,
            all_eligible: false,
        };
        Self { templates: Templates::new(Shape::Unary, &assortment), numbers: Numbers::default() }
    }

    fn run(
        &self,
        options: &Options,
        server: &Process,
        (connections, in_flight): (usize, usize),
    ) -> Result<Measured, BenchError> {
        let population = options.population;
        let source = |lane: usize| {
            let (templates, numbers) = (self.templates.clone(), self.numbers.clone());
            Source::new(templates, numbers, population.account_count, population.seed ^ lane as u64)
        };
        unary::load(&options.division(server, connections), Pace::Closed { in_flight }, &source)
    }
}

/// Sends unary accruals: [`unary::load`] as callers do, [`super::flood::load`] by hand.
pub type Load = fn(&Division, Pace, &(dyn Fn(usize) -> Source + Sync)) -> Result<Measured, BenchError>;

/// Unary accruals on a ledger, run after run.
pub struct UnaryLoad {
    templates: Templates,
    seed: u64,
}

impl UnaryLoad {
    /// The load for a ledger. `seed` sets it apart from the loads of other measurements.
    #[must_use]
    pub fn new(options: &Options, world: &World, seed: u64) -> Self {
        Self { templates: world.templates(Shape::Unary, options.population.line_count), seed }
    }

    /// One run.
    ///
    /// # Errors
    /// When a call fails in a way that is no refusal.
    pub fn run(
        &mut self,
        options: &Options,
        world: &World,
        pace: Pace,
        connections: usize,
    ) -> Result<Measured, BenchError> {
        self.run_by(unary::load, options, world, pace, connections)
    }

    /// One run of a load of this kind.
    ///
    /// # Errors
    /// As the load's.
    pub fn run_by(
        &mut self,
        load: Load,
        options: &Options,
        world: &World,
        pace: Pace,
        connections: usize,
    ) -> Result<Measured, BenchError> {
        self.seed += 100_000;
        let source = |lane: usize| world.source(&self.templates, self.seed + lane as u64);
        load(&options.division(&world.server, connections), pace, &source)
    }
}

/// Measures unary accruals in pairs with the ceiling; with a rate, accruals that come when they are due.
///
/// # Errors
/// When a server does not run, or a call fails.
pub fn unary(options: &Options, world: &mut World, report: &mut Report, tell: &mut Tell<'_>) -> Result<(), BenchError> {
    let mut load = UnaryLoad::new(options, world, 1);
    if let Some(per_second) = options.rate {
        let (connections, _) = options.lanes.or(UNARY_LANES[0]);
        tell(&format!("Unary, {per_second} due a second"), 0, 0);
        let begin = world.end_position()?;
        let measured = load.run(options, world, Pace::Open { per_second, deadline: options.deadline }, connections)?;
        let figure = options.ledger_figure("unary-open-loop", measured, (connections, 0), world, begin)?;
        report.results.push(Figure { due_per_second: Some(per_second), ..figure });
        return Ok(());
    }
    let answer = usual_answer_of(world, &load.templates)?;
    let echo = start_echo(options, &world.folder, &answer)?;
    for lanes in lanes(options.lanes) {
        pairs(options, world, &echo, &mut load, lanes, report, tell)?;
    }
    Ok(())
}

/// An answer of the usual size, from the ledger itself.
fn usual_answer_of(world: &World, templates: &Templates) -> Result<Bytes, BenchError> {
    let mut source = world.source(templates, 1);
    let mut answers = runtime()?.block_on(async {
        let mut grpc = Grpc::new(connect(&world.server.target).await?);
        let mut answers = Vec::new();
        for _ in 0..ANSWER_COUNT {
            answers.push(accrue(&mut grpc, source.one(), None).await.map_err(|status| broken(&status))?);
        }
        Ok::<_, BenchError>(answers)
    })?;
    answers.sort_by_key(Bytes::len);
    Ok(answers.swap_remove(ANSWER_COUNT / 2))
}

fn pairs(
    options: &Options,
    world: &World,
    echo: &Process,
    load: &mut UnaryLoad,
    lanes: (usize, usize),
    report: &mut Report,
    tell: &mut Tell<'_>,
) -> Result<(), BenchError> {
    let (connections, in_flight) = lanes;
    let label = format!("{connections} × {in_flight}");
    let begin = world.end_position()?;
    let echo_load = EchoLoad::new(options);
    let (mut echoes, mut unaries) = (Vec::new(), Vec::new());
    let (mut by_echo, mut by_effort, mut by_sync) = (Vec::new(), Vec::new(), Vec::new());
    let pair_count = options.pair_count.max(1);
    for pair in 0..pair_count {
        tell(&format!("Pairs of echo and unary, {label}"), pair as u64, pair_count as u64);
        world.settle();
        let below = echo_load.run(options, echo, lanes)?;
        let sync_ns =
            if lanes == ONE_CLIENT { sync_latency(&world.folder.path, SYNC)?.value_at_quantile(0.5) } else { 0 };
        let above = load.run(options, world, Pace::Closed { in_flight }, connections)?;
        by_echo.push(above.per_second() / below.per_second().max(f64::MIN_POSITIVE));
        by_effort.push(below.processor_ns_each() / above.processor_ns_each().max(f64::MIN_POSITIVE));
        if sync_ns > 0 {
            by_sync.push(above.quantile_ns(0.5) as f64 / sync_ns as f64);
        }
        echoes.push(below);
        unaries.push(above);
    }
    report.results.push(options.figure("echo", Measured::joined(echoes), lanes));
    let unary = options.ledger_figure("unary", Measured::joined(unaries), lanes, world, begin)?;
    report.results.push(unary);
    report.ratios.extend(Ratio::of(format!("unary ÷ echo, {label}"), by_echo));
    report.ratios.extend(Ratio::of(format!("processor time of echo ÷ unary, {label}"), by_effort));
    report.ratios.extend(Ratio::of("one client's p50 ÷ fdatasync p50", by_sync));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_takes_the_place_of_that_alone() {
        let rows: [(_, _, &[(usize, usize)]); 4] = [
            (None, None, &[(8, 64), (4, 16), (1, 1)]),
            (Some(2), None, &[(2, 64), (2, 16), (2, 1)]),
            (None, Some(3), &[(8, 3), (4, 3), (1, 3)]),
            (Some(2), Some(3), &[(2, 3)]),
        ];
        for (connections, in_flight, expected) in rows {
            assert_eq!(lanes(Lanes { connections, in_flight }), expected);
        }
    }
}
