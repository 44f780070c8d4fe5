//! Streams of batches of several sizes, as gateways and imports send them.
//!
//! What must stay true: a run begins after the server has finished what it does after the one before.

use super::Options;
use super::baskets::Shape;
use super::error::BenchError;
use super::figures::Report;
use super::stream::{self, Batches};
use super::world::{Tell, World};

/// Streams and batches in flight on each.
const STREAM_LANES: (usize, usize) = (4, 4);

/// Measures streams: batches of 1,000 and of 100, and of 1,000 baskets of seven lines; or what was asked for.
///
/// # Errors
/// When a stream breaks.
pub fn stream(
    options: &Options,
    world: &mut World,
    report: &mut Report,
    tell: &mut Tell<'_>,
) -> Result<(), BenchError> {
    let line_count = options.population.line_count;
    let runs = match options.batch {
        Some(batch) => vec![(batch, line_count)],
        None => vec![(1_000, line_count), (100, line_count), (1_000, 7)],
    };
    for (number, (batch, line_count)) in runs.into_iter().enumerate() {
        let lanes = options.lanes.or(STREAM_LANES);
        tell(&format!("Stream, batches of {batch}, {line_count} lines a basket"), 0, 0);
        let templates = world.templates(Shape::Stream, line_count);
        let seed = 1_000_000_000 * (1 + number as u64);
        world.settle();
        let begin = world.end_position()?;
        let source = |lane: usize| world.source(&templates, seed + lane as u64);
        let batches = Batches { command_count: batch, in_flight: lanes.1 };
        let measured = stream::load(&options.division(&world.server, lanes.0), batches, &source)?;
        let mut figure = options.ledger_figure("stream", measured, lanes, world, begin)?;
        figure.batch = batch;
        if let Some(ledger) = &mut figure.ledger {
            ledger.lines_per_basket = line_count;
        }
        report.results.push(figure);
    }
    Ok(())
}
