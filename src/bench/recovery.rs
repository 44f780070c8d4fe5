//! Starting after a crash: how long until calls are served, from a cold page cache, and how much memory it takes.
//!
//! What must stay true: the server that is measured finds a snapshot, and after it as many records as asked for; its
//! predecessor was killed; what it reads is not in the page cache, as far as the operating system lets us see to that.

use std::fs::{self, File};
use std::path::Path;

use rustix::fs::{Advice, fadvise};

use super::Options;
use super::baskets::Shape;
use super::channel::connect;
use super::error::BenchError;
use super::figures::{Figure, Report};
use super::run::runtime;
use super::stream::{Batch, Event, pump};
use super::world::{Tell, World};

/// Commands of one batch of the tail.
const BATCH: u64 = 1_000;
/// Batches unanswered meanwhile.
const IN_FLIGHT: usize = 12;
/// So many records without a snapshot that none comes by itself.
const NEVER: &str = "1000000000000";

/// Measures a recovery.
///
/// # Errors
/// When a server does not run, or the tail cannot be written.
pub fn recovery(options: &Options, report: &mut Report, tell: &mut Tell<'_>) -> Result<(), BenchError> {
    let mut world = World::make(&options.place, options.population, tell)?;
    tell("Recovery: taking a snapshot", 0, 0);
    world.restart(world.last_issuer(), &["--snapshot-records", NEVER])?;
    world.take_snapshot()?;
    let begin = world.end_position()?;
    let written = write_tail(&world, options, tell);
    world.judged(written)?;
    let end = world.end_position()?;
    world.kill();
    tell("Recovery: dropping the page cache", 0, 0);
    let (data_bytes, forgotten) = forget_pages(&world.start.data)?;
    tell("Recovery: starting", 0, 0);
    world.server = world.start.server(world.last_issuer(), &[])?;
    let usage = world.server.usage();
    let accounts = options.population.account_count.max(1) as f64;
    let mut figure = Figure {
        name: "recovery".to_owned(),
        seconds: world.server.start_ns as f64 / 1e9,
        durable: true,
        ledger: Some(world.ledger.clone()),
        server_memory_bytes: Some(usage.resident_bytes),
        records: Some(begin..end),
        ..Figure::default()
    };
    let numbers = world.server.last_line("recovered").map(|line| numbers_of(&line)).unwrap_or_default();
    let [records, replayed, recovery_ms, ..] = numbers.as_slice() else {
        return Err(BenchError::Server("the server did not say what it recovered".to_owned()));
    };
    let seconds = figure.seconds.max(f64::MIN_POSITIVE);
    for (name, value) in [
        ("records_in_all", *records as f64),
        ("records_replayed", *replayed as f64),
        ("seconds_until_ready", figure.seconds),
        ("seconds_opening_and_recovering", *recovery_ms as f64 / 1e3),
        ("replayed_per_second", *replayed as f64 / seconds),
        ("data_directory_bytes", data_bytes as f64),
        ("page_cache_dropped", f64::from(u8::from(forgotten))),
        ("server_memory_peak_bytes", usage.resident_peak_bytes as f64),
        ("server_memory_bytes_per_account", usage.resident_bytes as f64 / accounts),
    ] {
        figure.more.insert(name.to_owned(), value);
    }
    figure.ops_per_second = *replayed as f64 / seconds;
    let mut figures = [figure];
    report.verifications.push(world.finish("recovery", &mut figures, tell)?);
    report.results.extend(figures);
    Ok(())
}

/// Leaves records behind that no snapshot has.
fn write_tail(world: &World, options: &Options, tell: &mut Tell<'_>) -> Result<(), BenchError> {
    let templates = world.templates(Shape::Stream, options.population.line_count);
    let mut source = world.source(&templates, 5_000_000_000);
    let (mut left, total) = (options.tail_count, options.tail_count);
    let mut done = 0;
    let next = || {
        let count = BATCH.min(left);
        left -= count;
        let command_count = usize::try_from(count).unwrap_or(0);
        (count > 0).then(|| Batch { bytes: source.batch(command_count), command_count, sent_ns: 0 })
    };
    let mut refused = None;
    runtime()?.block_on(async {
        let channel = connect(&world.server.target).await?;
        pump(channel, IN_FLIGHT, next, |event| match event {
            Event::Result(verdict) => refused = refused.or(verdict.kind()),
            Event::Batch { command_count, .. } => {
                done += command_count as u64;
                tell("Recovery: writing the tail", done, total);
            }
            Event::Message { .. } => {}
        })
        .await
    })?;
    let wrong = |kind| BenchError::Call(format!("a basket of the tail was refused: {kind}"));
    refused.map_or(Ok(()), |kind| Err(wrong(kind)))
}

/// Asks the operating system to forget what it has read of the files below; gives their bytes, and whether it was
/// willing.
fn forget_pages(folder: &Path) -> Result<(u64, bool), BenchError> {
    let failed = |error| BenchError::file("reading", folder, error);
    let (mut bytes, mut is_forgotten) = (0, true);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            let (more, too) = forget_pages(&path)?;
            bytes += more;
            is_forgotten &= too;
        } else {
            let file = File::open(&path).map_err(|error| BenchError::file("reading", &path, error))?;
            bytes += file.metadata().map_err(|error| BenchError::file("reading", &path, error))?.len();
            // Pages that are not on disk yet cannot be forgotten.
            is_forgotten &= file.sync_all().is_ok() && fadvise(&file, 0, None, Advice::DontNeed).is_ok();
        }
    }
    Ok((bytes, is_forgotten))
}

/// The whole numbers in a line.
fn numbers_of(line: &str) -> Vec<u64> {
    line.split(|letter: char| !letter.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_recovered_is_read_from_its_banner() {
        let line = "recovered  5000 records, 1000 of them replayed, in 12 ms; epoch 3";
        assert_eq!(numbers_of(line), [5_000, 1_000, 12, 3]);
    }
}
