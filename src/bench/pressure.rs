//! What callers see when there is too much to do: more calls than can be answered, and a stream beside the tills.
//!
//! What must stay true: calls come when they are due, whatever the server does, and are charged from then on; what was
//! refused is told by kind, and what could not even be sent is told too.

use std::time::Duration;

use super::Options;
use super::baskets::Shape;
use super::error::BenchError;
use super::figures::{Figure, Ratio, Report};
use super::flood;
use super::pairs::{UNARY_LANES, UnaryLoad};
use super::recorder::{Measured, SLOT_NS};
use super::stream::{self, Batches};
use super::unary::Pace;
use super::world::{Tell, World};

/// Connections of the open loop: enough that the streams of a connection are not what refuses.
const OPEN_CONNECTIONS: usize = 32;
/// How long a till waits when there is too much to do, when nothing is said.
const DEADLINE: Duration = Duration::from_secs(1);
/// Slots in a row that must be normal before all is normal again.
const NORMAL_SLOTS: usize = 5;
/// Connections of the tills beside a stream or attackers.
pub(super) const TILL_CONNECTIONS: usize = 8;
/// Calls a second of those tills, when nothing is said.
pub(super) const TILL_RATE: u64 = 2_000;

/// That a server can be overloaded: what sends so many calls knows no TLS.
///
/// # Errors
/// When it would be asked to speak it.
pub fn check(options: &Options) -> Result<(), BenchError> {
    match options.place.certificates {
        None => Ok(()),
        Some(_) => Err(BenchError::Usage("calls that are too many are sent in the clear: leave out --tls".to_owned())),
    }
}

/// Finds the peak in the closed loop, then lets calls come at half of it, at twice of it, and at half of it again.
///
/// # Errors
/// When a call fails in a way that is no refusal.
pub fn overload(
    options: &Options,
    world: &mut World,
    report: &mut Report,
    tell: &mut Tell<'_>,
) -> Result<(), BenchError> {
    let mut load = UnaryLoad::new(options, world, 2);
    let (connections, in_flight) = options.lanes.or(UNARY_LANES[0]);
    tell("Overload: the peak", 0, 0);
    world.settle();
    let begin = world.end_position()?;
    let peak = load.run_by(flood::load, options, world, Pace::Closed { in_flight }, connections)?;
    let peak_per_second = peak.per_second().max(1.0);
    report.results.push(options.ledger_figure("overload-peak", peak, (connections, in_flight), world, begin)?);
    let before_bytes = world.server.usage().resident_bytes;
    let mut usual = None;
    let deadline = options.deadline.unwrap_or(DEADLINE);
    for (name, percent) in [("overload-50-before", 50), ("overload-200", 200), ("overload-50-after", 50)] {
        let per_second = (peak_per_second as u64 * percent / 100).max(1);
        tell(&format!("Overload: {percent} % of the peak, {per_second} due a second"), 0, 0);
        // What comes after the overload is measured from its first instant.
        let warm_up = if name == "overload-50-after" { Duration::ZERO } else { options.warm_up };
        let options = Options { warm_up, ..options.clone() };
        let begin = world.end_position()?;
        let measured = load.run_by(
            flood::load,
            &options,
            world,
            Pace::Open { per_second, deadline: Some(deadline) },
            OPEN_CONNECTIONS,
        )?;
        let refused: u64 = measured.all.refusals.values().sum();
        let seconds = measured.window_ns as f64 / 1e9;
        let normal = usual.get_or_insert_with(|| mean_latency_ns(&measured)).to_owned();
        let normal_after = slots_until_normal(&measured, 2.0 * normal);
        let figure = options.ledger_figure(name, measured, (OPEN_CONNECTIONS, 0), world, begin)?;
        let mut figure = Figure { due_per_second: Some(per_second), ..figure };
        figure.more.insert("refused_per_second".to_owned(), refused as f64 / seconds);
        figure.more.insert("deadline_ms".to_owned(), deadline.as_secs_f64() * 1e3);
        figure.more.insert("server_memory_before_bytes".to_owned(), before_bytes as f64);
        if name == "overload-50-after" {
            // Absent when it took longer than the run.
            if let Some(slots) = normal_after {
                figure.more.insert("seconds_until_normal".to_owned(), slots as f64 * SLOT_NS as f64 / 1e9);
            }
        }
        report.results.push(figure);
    }
    Ok(())
}

/// The mean latency over the whole run.
fn mean_latency_ns(measured: &Measured) -> f64 {
    measured.all.latency.mean()
}

/// Slots that pass before several in a row have no refusal and a mean latency within the limit. `None` if there are
/// none such.
fn slots_until_normal(measured: &Measured, limit_ns: f64) -> Option<usize> {
    let all = &measured.all;
    let normal: Vec<bool> = all
        .slot_latency
        .iter()
        .zip(&all.slot_refusals)
        .map(|((sum_ns, count), refused)| *refused == 0 && *count > 0 && *sum_ns as f64 / *count as f64 <= limit_ns)
        .collect();
    normal.windows(NORMAL_SLOTS).position(|slots| slots.iter().all(|is_normal| *is_normal))
}

/// Tills that call now and then, alone and beside a stream that sends as much as it can.
///
/// # Errors
/// When a call fails, or the stream breaks.
pub fn fairness(
    options: &Options,
    world: &mut World,
    report: &mut Report,
    tell: &mut Tell<'_>,
) -> Result<(), BenchError> {
    let per_second = options.rate.unwrap_or(TILL_RATE);
    let pace = Pace::Open { per_second, deadline: options.deadline };
    let mut load = UnaryLoad::new(options, world, 3);
    let lanes = (TILL_CONNECTIONS, 0);
    tell("Fairness: tills alone", 0, 0);
    world.settle();
    let begin = world.end_position()?;
    let alone = load.run(options, world, pace, TILL_CONNECTIONS)?;
    let alone_ns = alone.quantile_ns(0.99);
    let figure = options.ledger_figure("tills-alone", alone, lanes, world, begin)?;
    report.results.push(Figure { due_per_second: Some(per_second), ..figure });

    tell("Fairness: tills beside a stream", 0, 0);
    world.settle();
    let begin = world.end_position()?;
    let templates = world.templates(Shape::Stream, options.population.line_count);
    let batches = Batches { command_count: options.batch.unwrap_or(1_000), in_flight: 4 };
    let (beside, streamed) = std::thread::scope(|scope| {
        let streaming = scope.spawn(|| {
            let source = |_: usize| world.source(&templates, 4_000_000_000);
            stream::load(&options.division(&world.server, 1), batches, &source)
        });
        let beside = load.run(options, world, pace, TILL_CONNECTIONS);
        (beside, streaming.join().expect("a stream does not panic"))
    });
    let (beside, streamed) = (beside?, streamed?);
    let beside_ns = beside.quantile_ns(0.99);
    let figure = options.ledger_figure("tills-beside-a-stream", beside, lanes, world, begin)?.beside_others();
    report.results.push(Figure { due_per_second: Some(per_second), ..figure });
    let figure = options.ledger_figure("stream-beside-tills", streamed, (1, batches.in_flight), world, begin)?;
    report.results.push(Figure { batch: batches.command_count, ..figure.beside_others() });
    let ratio = beside_ns as f64 / alone_ns.max(1) as f64;
    report.ratios.extend(Ratio::of("p99 of tills beside a stream ÷ alone", vec![ratio]));
    Ok(())
}
