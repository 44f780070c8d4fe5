//! What a benchmark reports: figures with the conditions under which they hold, and ratios of alternating runs.
//!
//! What must stay true: no figure stands without its conditions; names of keys are part of the contract with whoever
//! reads the JSON.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::attackers::Attackers;
use super::machine::Machine;
use super::recorder::Measured;
use super::world::Population;
use crate::ledger::program::Program;

/// The ledger that was measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// Accounts that existed when the measurement began.
    pub accounts: u64,
    /// Lots of each.
    pub lots_per_account: u64,
    /// Open windows (values of caps and metrics) of each.
    pub windows_per_account: usize,
    /// Rules of the programme in force.
    pub rules: usize,
    /// Its caps.
    pub caps: usize,
    /// Its metrics.
    pub metrics: usize,
    /// Its budgets.
    pub budgets: usize,
    /// Lines of a basket.
    pub lines_per_basket: usize,
    /// Whether calls came over TLS.
    pub tls: bool,
    /// Whether every call brought a key that the server asked for.
    pub keys: bool,
}

impl Ledger {
    /// A ledger with these accounts under this programme. Every cap and metric has one window open.
    #[must_use]
    pub fn of(population: Population, program: &Program) -> Self {
        Self {
            accounts: population.account_count,
            lots_per_account: population.lot_count.max(1),
            windows_per_account: program.caps.len() + program.metrics.len(),
            rules: program.lines.rules.len(),
            caps: program.caps.len(),
            metrics: program.metrics.len(),
            budgets: program.budgets.len(),
            lines_per_basket: population.line_count,
            tls: false,
            keys: false,
        }
    }
}

/// One figure with its conditions.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// Commands accepted in a second.
    pub ops_per_second: f64,
    /// Latency quantiles of a call or, with a batch, of a batch, in microseconds.
    pub p50_us: f64,
    /// The 99th percentile.
    pub p99_us: f64,
    /// The 99.9th percentile.
    pub p999_us: f64,
    /// The worst.
    pub max_us: f64,
    /// Whether every answer came after its record was synced to disk.
    pub durable: bool,
    /// Commands of one message.
    pub batch: usize,
    /// Connections.
    pub connections: usize,
    /// Calls or batches unanswered on each connection; 0 in the open loop.
    pub in_flight: usize,
    /// Calls that were due a second in the open loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_per_second: Option<u64>,
    /// How long was measured, in seconds.
    pub seconds: f64,
    /// Threads of the load generator.
    pub load_threads: usize,
    /// Whether the load generator ran on the cores of the server.
    pub shared_cores: bool,
    /// Bytes of a request message, on average.
    pub request_bytes: u64,
    /// Bytes of an answer to it.
    pub response_bytes: u64,
    /// Bytes of the journal a record, frames included; known once the journal was verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_bytes: Option<f64>,
    /// The ledger; absent where there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Ledger>,
    /// What was not accepted, by kind.
    pub refusals: BTreeMap<String, u64>,
    /// Who attacked the server meanwhile, by kind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attackers: Vec<Attackers>,
    /// The longest time without an answer on any connection, in milliseconds.
    pub longest_pause_ms: f64,
    /// The longest time without an answer on one connection.
    pub longest_gap_ms: f64,
    /// By how much a thread that only slept a millisecond at a time was late at worst: the machine's own pauses.
    pub machine_pause_ms: f64,
    /// Time of processors that the server took for a command, its background work included, in microseconds; 0 where it is not
    /// known.
    pub server_processor_us: f64,
    /// Time of processors that the load generator took for a command.
    pub load_processor_us: f64,
    /// Memory that the server held at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_memory_bytes: Option<u64>,
    /// Further figures of this kind of run.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub more: BTreeMap<String, f64>,
    /// The records that the run left, by position.
    #[serde(skip)]
    pub records: Option<Range<u64>>,
    /// For plots.
    #[serde(skip)]
    pub measured: Option<Box<Measured>>,
}

impl Figure {
    /// The figure of a run.
    #[must_use]
    pub fn of(name: impl Into<String>, measured: Measured) -> Self {
        let us = |ns: u64| ns as f64 / 1_000.0;
        let ms = |ns: i64| ns as f64 / 1e6;
        let all = &measured.all;
        let per_command = |ns: u64| us(ns) / all.accepted_count.max(1) as f64;
        let per_message = |bytes: u64| bytes.checked_div(all.message_count).unwrap_or(0);
        Self {
            name: name.into(),
            ops_per_second: measured.per_second(),
            p50_us: us(measured.quantile_ns(0.5)),
            p99_us: us(measured.quantile_ns(0.99)),
            p999_us: us(measured.quantile_ns(0.999)),
            max_us: us(all.latency.max()),
            seconds: measured.window_ns as f64 / 1e9,
            shared_cores: true,
            batch: 1,
            request_bytes: per_message(all.request_bytes),
            response_bytes: per_message(all.response_bytes),
            refusals: all.refusals.clone(),
            longest_pause_ms: ms(measured.longest_pause_ns),
            longest_gap_ms: ms(all.longest_gap_ns),
            server_processor_us: per_command(measured.control.server_ns),
            load_processor_us: per_command(measured.control.load_ns),
            machine_pause_ms: measured.control.overshoot.max() as f64 / 1e6,
            measured: Some(Box::new(measured)),
            ..Self::default()
        }
    }

    /// Of a run beside which the server, and this process, had something else to do: how much of their processor time went into
    /// the commands of the run nobody knows.
    #[must_use]
    pub fn beside_others(self) -> Self {
        Self { server_processor_us: 0.0, load_processor_us: 0.0, ..self }
    }
}

/// A ratio over alternating pairs of runs.
#[derive(Clone, Debug, Serialize)]
pub struct Ratio {
    /// What by what.
    pub name: String,
    /// Median of the pairs.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Every pair, in order.
    pub pairs: Vec<f64>,
}

impl Ratio {
    /// Of the ratios of pairs; `None` when there are none.
    #[must_use]
    pub fn of(name: impl Into<String>, pairs: Vec<f64>) -> Option<Self> {
        let mut sorted = pairs.clone();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        Some(Self { name: name.into(), median: median(&sorted), min, max, pairs })
    }
}

/// The middle of sorted numbers; 0 of none.
#[must_use]
pub fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    let at = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
    if sorted.len() % 2 == 1 || middle == 0 { at(middle) } else { f64::midpoint(at(middle - 1), at(middle)) }
}

/// What the verification of a journal found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verification {
    /// What wrote it.
    pub name: String,
    /// Whether the history was verified from its first byte; it was found intact, or there would be no figures.
    pub verified: bool,
    /// Records.
    pub record_count: u64,
    /// Bytes of the frames.
    pub journal_bytes: u64,
    /// Accounts, as the verification found them.
    pub account_count: Option<u64>,
    /// How long it took, in seconds; 0 when it was left out.
    pub seconds: f64,
    /// Bytes that the server caused to be written to disk, with everything that it does in the background.
    pub written_bytes: u64,
    /// Those bytes by the bytes of the journal.
    pub write_amplification: f64,
    /// The records in which the ledger posted expiry by itself, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Swept>,
}

/// The expiry that the ledger posted by itself.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Swept {
    /// Records.
    pub record_count: u64,
    /// Lots that died with them.
    pub lot_count: u64,
    /// When the first of them was posted, in nanoseconds since the Unix epoch.
    pub first_at_ns: i64,
    /// When the last was.
    pub last_at_ns: i64,
}

/// Everything that a benchmark says.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The machine.
    pub machine: Machine,
    /// The figures, in the order in which they were taken.
    pub results: Vec<Figure>,
    /// Ratios of alternating runs: what to quote.
    pub ratios: Vec<Ratio>,
    /// Journals that were verified.
    pub verifications: Vec<Verification>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_states_its_median_and_spread() {
        let ratio = Ratio::of("a ÷ b", vec![0.9, 0.5, 0.7]).unwrap();
        assert_eq!((ratio.median, ratio.min, ratio.max), (0.7, 0.5, 0.9));
        assert_eq!(ratio.pairs, [0.9, 0.5, 0.7]);
        assert!(Ratio::of("nothing", vec![]).is_none());
        assert!((median(&[1.0, 2.0]) - 1.5).abs() < 1e-9);
    }
}
