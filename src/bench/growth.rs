//! What remembered ids cost: the core and unary accruals beside the same with very many ids in the index.
//!
//! What must stay true: both sides of a pair do the same work, right after each other and in turns. The cores differ in nothing
//! but the ids that were remembered before, and each has a process of its own, as each server has: where one process had both,
//! one of them decided more slowly than it does alone. The servers differ in all that accruals leave, since these are what makes
//! ids.

use super::Options;
use super::baskets::Shape;
use super::core::CoreOptions;
use super::core_process::CoreProcess;
use super::error::BenchError;
use super::figures::{Figure, Ratio, Report};
use super::pairs::{UNARY_LANES, UnaryLoad};
use super::recorder::Measured;
use super::stream::{self, Batches};
use super::unary::Pace;
use super::world::{Folder, Tell, World};
use std::time::Duration;

/// Ids that an accrual leaves: its own, and that of its receipt.
const IDS_OF_ONE: u64 = 2;
/// Streams and batches in flight on each while ids are made.
const STREAMS: (usize, usize) = (4, 4);
/// Commands of such a batch.
const BATCH: usize = 1_000;
/// Ids are made in pieces of this length, to see how many there are.
const PIECE: Duration = Duration::from_secs(5);

/// Measures the core and unary accruals with few and with many ids in the index, in pairs.
///
/// # Errors
/// When a server does not run, a call fails, or a journal does not verify.
pub fn growth(options: &Options, report: &mut Report, tell: &mut Tell<'_>) -> Result<(), BenchError> {
    core(options, report, tell)?;
    unary(options, report, tell)
}

/// The core, in memory: two processes that take turns. Random reads are those of the machine, which were measured before
/// either was there.
fn core(options: &Options, report: &mut Report, tell: &mut Tell<'_>) -> Result<(), BenchError> {
    let asked = options.core()?;
    let folder = Folder::make(&options.place)?;
    let names = ["core-with-few-ids", "core-with-many-ids"];
    let mut start = |name: &str, id_count: u64| {
        let asked = CoreOptions { id_count, ..asked.clone() };
        CoreProcess::start(&options.place.program, &folder.path, name, &asked, tell)
    };
    let mut cores = [start(names[0], 0)?, start(names[1], options.id_count)?];
    let (mut figures, mut ratios) = ([Vec::new(), Vec::new()], Vec::new());
    let pair_count = options.pair_count.max(1);
    for pair in 0..pair_count {
        tell("Pairs of cores with few and many ids", pair as u64, pair_count as u64);
        let mut per_second = [0.0; 2];
        for side in if pair % 2 == 0 { [0, 1] } else { [1, 0] } {
            let figure = cores[side].measure(options.measure)?.figure(&report.machine);
            per_second[side] = figure.ops_per_second;
            figures[side].push(figure);
        }
        ratios.push(per_second[0] / per_second[1].max(f64::MIN_POSITIVE));
    }
    for (name, mut figures) in names.into_iter().zip(figures) {
        figures.sort_by(|one, other| one.ops_per_second.total_cmp(&other.ops_per_second));
        let median = figures.swap_remove(figures.len() / 2);
        report.results.push(Figure { name: name.to_owned(), ..median });
    }
    report.ratios.extend(Ratio::of("time of the core, many ids ÷ few", ratios));
    Ok(())
}

/// Unary accruals, of two servers that take turns.
fn unary(options: &Options, report: &mut Report, tell: &mut Tell<'_>) -> Result<(), BenchError> {
    let mut few = World::make(&options.place, options.population, tell)?;
    let mut many = World::make(&options.place, options.population, tell)?;
    let remembered = remember(options, &many, tell);
    let remembered = many.judged(remembered)?;
    let lanes = options.lanes.or(UNARY_LANES[0]);
    let mut loads = [UnaryLoad::new(options, &few, 4), UnaryLoad::new(options, &many, 4)];
    let begins = [few.end_position()?, many.end_position()?];
    let (mut measured, mut ratios) = ([Vec::new(), Vec::new()], Vec::new());
    let pair_count = options.pair_count.max(1);
    for pair in 0..pair_count {
        tell("Pairs of few and many ids", pair as u64, pair_count as u64);
        let mut p50_ns = [0; 2];
        let mut sides = [(0, &mut few), (1, &mut many)];
        if pair % 2 == 1 {
            sides.reverse();
        }
        for (side, world) in sides {
            world.settle();
            let run = loads[side].run(options, world, Pace::Closed { in_flight: lanes.1 }, lanes.0);
            let run = world.judged(run)?;
            p50_ns[side] = run.quantile_ns(0.5);
            measured[side].push(run);
        }
        ratios.push(p50_ns[1] as f64 / p50_ns[0].max(1) as f64);
    }
    let sides = [("unary-with-few-ids", few, 0), ("unary-with-many-ids", many, remembered)];
    for ((name, world, ids), (runs, begin)) in sides.into_iter().zip(measured.into_iter().zip(begins)) {
        let mut figure = options.ledger_figure(name, Measured::joined(runs), lanes, &world, begin)?;
        figure.more.insert("ids_remembered_before".to_owned(), ids as f64);
        report.verifications.push(world.finish(name, std::slice::from_mut(&mut figure), tell)?);
        report.results.push(figure);
    }
    report.ratios.extend(Ratio::of("p50 of unary accruals, many ids ÷ few", ratios));
    Ok(())
}

/// Has the server remember as many ids as were asked for; how many it does.
fn remember(options: &Options, world: &World, tell: &mut Tell<'_>) -> Result<u64, BenchError> {
    let begin = world.end_position()?;
    let templates = world.templates(Shape::Stream, 1);
    let options = Options { measure: PIECE, warm_up: Duration::ZERO, ..options.clone() };
    let mut before = None;
    for piece in 0.. {
        let remembered = (world.end_position()? - begin) * IDS_OF_ONE;
        if before.replace(remembered) == Some(remembered) {
            return Err(BenchError::Call("no ids are made any more".to_owned()));
        }
        tell("Remembering ids", remembered, options.id_count);
        if remembered >= options.id_count {
            world.settle();
            return Ok(remembered);
        }
        let source = |lane: usize| world.source(&templates, 5_000_000_000 + 1_000 * piece + lane as u64);
        let batches = Batches { command_count: BATCH, in_flight: STREAMS.1 };
        stream::load(&options.division(&world.server, STREAMS.0), batches, &source)?;
    }
    unreachable!("the pieces do not end")
}
