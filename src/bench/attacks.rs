//! Whether the server is after an attack what it was before: tills that call at a rate, before attackers of every kind come,
//! while they do their work, and after they have gone.
//!
//! Tills before are measured twice: what the second of these runs is to the first says how much a ratio means here.
//!
//! What must stay true: all runs of a round are alike but for the attackers, and each begins after the server has
//! come to rest; the last begins after every connection of an attacker has been closed. One run before the first round is
//! not counted: what a server does for the first time would be charged to the runs before attacks alone.

use std::net::SocketAddr;
use std::time::Duration;

use super::Options;
use super::attackers::beside;
use super::error::BenchError;
use super::figures::{Figure, Ratio, Report};
use super::pairs::UnaryLoad;
use super::pressure::{TILL_CONNECTIONS, TILL_RATE};
use super::recorder::Measured;
use super::unary::Pace;
use super::world::{Tell, World};
use crate::clock::{Clock, SystemClock};

/// How long attackers go on at most beyond the time that the tills call.
const MARGIN: Duration = Duration::from_secs(10);

/// The runs of all rounds before, during or after.
struct Phase {
    name: &'static str,
    runs: Vec<Measured>,
    /// Memory that the server held at the end of the last of them.
    memory_bytes: u64,
}

impl Phase {
    fn new(name: &'static str) -> Self {
        Self { name, runs: Vec::new(), memory_bytes: 0 }
    }

    fn push(&mut self, measured: Measured, world: &World) -> u64 {
        let p99_ns = measured.quantile_ns(0.99);
        self.runs.push(measured);
        self.memory_bytes = world.server.usage().resident_bytes;
        p99_ns
    }
}

/// That a server can be attacked: attackers know no TLS.
///
/// # Errors
/// When it would be asked to speak it.
pub fn check(options: &Options) -> Result<(), BenchError> {
    match options.place.certificates {
        None => Ok(()),
        Some(_) => Err(BenchError::Usage("attackers speak in the clear: leave out --tls".to_owned())),
    }
}

/// Measures tills before, during and after attacks, round after round.
///
/// # Errors
/// When a call of a till fails in a way that is no refusal.
pub fn attacks(
    options: &Options,
    world: &mut World,
    report: &mut Report,
    tell: &mut Tell<'_>,
) -> Result<(), BenchError> {
    let per_second = options.rate.unwrap_or(TILL_RATE);
    let pace = Pace::Open { per_second, deadline: options.deadline };
    let address = address_of(&world.server.target.url)?;
    let limit = options.warm_up + options.measure + options.deadline.unwrap_or_default() + MARGIN;
    let mut load = UnaryLoad::new(options, world, 5);
    tell("Attacks: tills, not counted", 0, 0);
    world.settle();
    load.run(options, world, pace, TILL_CONNECTIONS)?;
    let begin = world.end_position()?;
    let names = ["tills-before", "tills-again", "tills-during", "tills-after"];
    let [mut before, mut again, mut during, mut after] = names.map(Phase::new);
    let (mut ratios_again, mut ratios_after, mut ratios_during) = (Vec::new(), Vec::new(), Vec::new());
    let mut attackers = Vec::new();
    let mut rest_ns_max = 0;
    let round_count = options.pair_count.max(1) as u64;
    for round in 0..round_count {
        tell("Attacks: tills before them", round, round_count);
        world.settle();
        let measured = load.run(options, world, pace, TILL_CONNECTIONS)?;
        let before_ns = before.push(measured, world).max(1) as f64;

        tell("Attacks: tills before them, again", round, round_count);
        world.settle();
        let measured = load.run(options, world, pace, TILL_CONNECTIONS)?;
        ratios_again.push(again.push(measured, world) as f64 / before_ns);

        tell("Attacks: tills during them", round, round_count);
        world.settle();
        let seed = options.population.seed ^ round;
        let (measured, seen) = beside(address, limit, seed, || load.run(options, world, pace, TILL_CONNECTIONS))?;
        ratios_during.push(during.push(measured?, world) as f64 / before_ns);
        seen.into_iter().for_each(|seen| seen.add_to(&mut attackers));

        tell("Attacks: tills after them", round, round_count);
        let clock = SystemClock::new();
        world.settle();
        rest_ns_max = clock.monotonic_ns().max(rest_ns_max);
        let measured = load.run(options, world, pace, TILL_CONNECTIONS)?;
        ratios_after.push(after.push(measured, world) as f64 / before_ns);
    }
    for phase in [before, again, during, after] {
        let (lanes, memory_bytes) = ((TILL_CONNECTIONS, 0), phase.memory_bytes);
        let figure = options.ledger_figure(phase.name, Measured::joined(phase.runs), lanes, world, begin)?;
        let due_per_second = Some(per_second);
        let mut figure = Figure { due_per_second, server_memory_bytes: Some(memory_bytes), ..figure };
        match phase.name {
            "tills-during" => {
                figure.attackers = std::mem::take(&mut attackers);
                figure = figure.beside_others();
            }
            "tills-after" => {
                figure.more.insert("seconds_until_at_rest_at_most".to_owned(), rest_ns_max as f64 / 1e9);
            }
            _ => {}
        }
        report.results.push(figure);
    }
    report.ratios.extend(Ratio::of("p99 of tills after attacks ÷ before", ratios_after));
    report.ratios.extend(Ratio::of("p99 of tills during attacks ÷ before", ratios_during));
    report.ratios.extend(Ratio::of("p99 of tills again without attacks ÷ before", ratios_again));
    Ok(())
}

fn address_of(url: &str) -> Result<SocketAddr, BenchError> {
    let address = url.strip_prefix("http://").and_then(|address| address.parse().ok());
    address.ok_or_else(|| BenchError::Server(format!("attackers cannot call {url}")))
}
