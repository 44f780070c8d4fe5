//! `tallystick bench`: how fast this ledger is on this machine, with the conditions under which that holds.
//!
//! What must stay true: standard output holds the report and nothing else; a benchmark that could not measure, or whose
//! journal does not verify, ends with an error and no figures.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ValueEnum, value_parser};

use super::error::{CliError, Exit};
use super::output::{Output, Style, grouped};
use crate::access::grant::Role;
use crate::bench::attackers::Attackers;
use crate::bench::figures::{Figure, Ratio, Verification};
use crate::bench::machine::Machine;
use crate::bench::world::{Place, Population};
use crate::bench::{self, BenchError, Lanes, Mode, Options, Report};

/// A day: no run measures longer, and no caller waits longer.
const SECONDS_MAX: u64 = 86_400;

/// Measures the ledger on this machine
///
/// The shipped server is started as a process of its own and called over TCP; afterwards its journal is verified. The
/// load generator runs on the same cores. Ratios of alternating runs are the figures to quote.
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    /// What to measure
    #[arg(value_enum)]
    what: What,
    /// How long each run measures [default: 5; attacks: 10; all: 2]
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..=SECONDS_MAX))]
    seconds: Option<u64>,
    /// Accounts of the ledger [default: 1000000; midnight: 1250000; all: 100000]
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..=99_999_999))]
    accounts: Option<u64>,
    /// Lots of each account, each of another issuer; for midnight those that die
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = value_parser!(u64).range(1..=32))]
    lots: u64,
    /// Lines of a basket
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u16).range(1..=100))]
    lines: u16,
    /// Connections [default: 8 and 4 for unary calls, 1 for one client, 4 streams, 32 for midnight]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1_024))]
    connections: Option<u16>,
    /// Calls or batches in flight on each connection [default: 64 and 16 for unary calls, 1 for one client, 4 batches]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1_024))]
    in_flight: Option<u16>,
    /// Commands of a batch on a stream [default: 1000, 100, and 1000 with baskets of 7 lines]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=8_192))]
    batch: Option<u16>,
    /// Pairs of runs for a ratio; rounds of attacks [default: 7; all: 3]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..))]
    pairs: Option<u16>,
    /// Unary calls a second, sent when they are due whatever the server does [default for fairness and attacks: 2000, for midnight: 10000]
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    rate: Option<u64>,
    /// How long callers wait whose calls come at a rate [default: for ever; overload: 1000]
    #[arg(long, value_name = "MILLISECONDS", value_parser = value_parser!(u64).range(1..=1_000 * SECONDS_MAX))]
    deadline_ms: Option<u64>,
    /// Ids that are remembered before the core or growth is measured [default: 1000000; growth: 100000000]
    #[arg(long, value_name = "N")]
    ids: Option<u64>,
    /// Records that recovery finds after the last snapshot [default: 1000000; all: 100000]
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    tail: Option<u64>,
    /// How far ahead lots die, beside the time for the run before [default: 30 and a second for 5000 accounts]
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u64).range(1..=86_400))]
    ahead: Option<u64>,
    /// Threads of the load generator [default: one for each core]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=64))]
    threads: Option<u16>,
    /// What accounts and baskets are drawn from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Programme file to measure with [default: 20 rules, 4 caps, 2 metrics, a budget]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Call over TLS, with the certificates in this folder as deploy/certificates.sh makes them; not for overload, attacks and all
    #[arg(long, value_name = "FOLDER")]
    tls: Option<PathBuf>,
    /// Have the server ask for credentials, and bring a key with every call
    #[arg(long)]
    key: bool,
    /// Make the data directories in this folder, not among the temporary files
    #[arg(long, value_name = "FOLDER")]
    within: Option<PathBuf>,
    /// Keep the data directories
    #[arg(long)]
    keep: bool,
    /// Do not verify the journals in the end; the report says so
    #[arg(long)]
    skip_verify: bool,
    /// Write the report as a page with plots to this file, too
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// The encoded answer of the server that only answers, in hexadecimal digits
    #[arg(long, value_name = "HEX", hide = true)]
    answer: Option<String>,
    /// File that the address of the server that only answers is written to
    #[arg(long, value_name = "FILE", hide = true)]
    ready_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// Calls that do nothing, served as the ledger is served: the ceiling
    Echo,
    /// Unary accruals in alternating pairs with echo, and one client alone
    Unary,
    /// Streams of batches, with the longest pause
    Stream,
    /// More calls than can be answered: half, twice and again half of the peak
    Overload,
    /// Unary accruals alone and beside a stream that sends as much as it can
    Fairness,
    /// Unary accruals before attackers of many kinds come, during their work, and after they have gone
    Attacks,
    /// The path of an accrual without input, output and the edge
    Core,
    /// Unary accruals before all lots of all accounts die at one instant, and while their expiry is posted
    Midnight,
    /// The core and unary accruals with few ids in the index, and with very many
    Growth,
    /// Starting after a crash, from a snapshot and the records after it
    Recovery,
    /// All of it, with modest sizes
    All,
    /// The server that only answers
    #[value(hide = true)]
    EchoServer,
    /// A core that is told on standard input what to do
    #[value(hide = true)]
    CoreProcess,
}

/// Runs the command.
///
/// # Errors
/// When nothing could be measured, or a journal does not verify.
pub fn run(args: &BenchArgs, out: &Output) -> Result<(), CliError> {
    let mode = match args.what {
        What::Echo => Mode::Echo,
        What::Unary => Mode::Unary,
        What::Stream => Mode::Stream,
        What::Overload => Mode::Overload,
        What::Fairness => Mode::Fairness,
        What::Attacks => Mode::Attacks,
        What::Core => Mode::Core,
        What::Recovery => Mode::Recovery,
        What::Midnight => Mode::Midnight,
        What::Growth => Mode::Growth,
        What::All => Mode::All,
        What::EchoServer => return echo_server(args),
        What::CoreProcess => return core_process(),
    };
    let options = options(args, mode)?;
    if let Some(path) = &args.report {
        check_page(path)?;
    }
    bench::leavings::watch()?;
    let mut progress = out.progress();
    let report = bench::bench(mode, &options, &mut |phase, done, total| {
        progress.report(phase, done, total, || if total > 0 { grouped(done) } else { "…".to_owned() });
    });
    drop(progress);
    let report = report?;
    print(&report, out)?;
    out.object(&report)?;
    let Some(path) = &args.report else { return Ok(()) };
    let page = bench::html::page(&report, &machine_lines(&report.machine), figure_lines);
    fs::write(path, page).map_err(|error| {
        // Standard output has the figures, and nothing else.
        out.note(format_args!("error: {}", page_error(path, &error)));
        CliError::reported(Exit::CannotCreate)
    })
}

/// That the page of a report can be written: this is known before anything is measured. What was not there is not left there.
fn check_page(path: &Path) -> Result<(), CliError> {
    let is_new = !path.exists();
    let made = File::options().create(true).append(true).open(path).map(drop);
    let made = made.and_then(|()| if is_new { fs::remove_file(path) } else { Ok(()) });
    made.map_err(|error| page_error(path, &error))
}

fn page_error(path: &Path, error: &std::io::Error) -> CliError {
    CliError::file(Exit::CannotCreate, "writing", path, error)
}

fn options(args: &BenchArgs, mode: Mode) -> Result<Options, CliError> {
    let is_all = mode == Mode::All;
    let seconds = args.seconds.unwrap_or(match mode {
        Mode::All => 2,
        // Long enough that a single slow moment is not one in a hundred.
        Mode::Attacks => 10,
        _ => 5,
    });
    let program = std::env::current_exe()
        .map_err(|error| CliError::new(Exit::InputOutput, format!("this program cannot find itself: {error}")))?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Ok(Options {
        place: Place {
            program,
            within: args.within.clone().unwrap_or_else(std::env::temp_dir),
            is_kept: args.keep,
            is_verified: !args.skip_verify,
            program_file: args.program.clone(),
            certificates: args
                .tls
                .as_deref()
                .map(|folder| std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf())),
            key: args.key.then_some(Role::Gateway),
        },
        population: Population {
            account_count: args.accounts.unwrap_or(match mode {
                Mode::All => 100_000,
                // With four lots each, five million die.
                Mode::Midnight => 1_250_000,
                _ => 1_000_000,
            }),
            lot_count: args.lots,
            line_count: args.lines.into(),
            seed: args.seed,
        },
        measure: Duration::from_secs(seconds),
        warm_up: Duration::from_millis(1_000.min(seconds * 500)),
        thread_count: args.threads.map_or(cores, usize::from),
        lanes: Lanes { connections: args.connections.map(usize::from), in_flight: args.in_flight.map(usize::from) },
        pair_count: args.pairs.unwrap_or(if is_all { 3 } else { 7 }).into(),
        batch: args.batch.map(usize::from),
        rate: args.rate,
        deadline: args.deadline_ms.map(Duration::from_millis),
        id_count: args.ids.unwrap_or(if mode == Mode::Growth { 100_000_000 } else { 1_000_000 }),
        ahead: args.ahead.map(Duration::from_secs),
        tail_count: args.tail.unwrap_or(if is_all { 100_000 } else { 1_000_000 }),
    })
}

fn echo_server(args: &BenchArgs) -> Result<(), CliError> {
    let answer = args.answer.as_deref().map(bytes_of_hex).transpose()?;
    let ready_file = args.ready_file.clone();
    bench::echo::serve(answer.as_deref(), move |address| {
        let line = format!("{address}\n");
        match ready_file {
            Some(path) => {
                // Whoever waits for the file ends us when it does not come.
                let _ = std::fs::write(path, line);
            }
            None => {
                let _ = std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes());
            }
        }
    })?;
    Ok(())
}

fn core_process() -> Result<(), CliError> {
    Ok(bench::core_process::serve(std::io::stdin().lock(), std::io::stdout().lock())?)
}

fn bytes_of_hex(text: &str) -> Result<Vec<u8>, CliError> {
    let wrong = || CliError::new(Exit::Usage, "the answer is not written in hexadecimal digits");
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0).ok_or_else(wrong)?;
    let byte = |pair: &[u32]| pair.iter().fold(0, |byte, digit| byte * 16 + digit);
    digits.chunks(2).map(|pair| u8::try_from(byte(pair)).map_err(|_| wrong())).collect()
}

fn print(report: &Report, out: &Output) -> Result<(), CliError> {
    for line in machine_lines(&report.machine) {
        out.line(line)?;
    }
    for figure in &report.results {
        out.line("")?;
        out.line(out.paint(Style::Bold, &headline(figure)))?;
        for line in figure_lines(figure) {
            out.line(format_args!("  {line}"))?;
        }
    }
    if !report.ratios.is_empty() {
        out.line("")?;
        out.line(out.paint(Style::Bold, "Ratios of alternating runs: the figures to quote"))?;
        for ratio in &report.ratios {
            out.line(format_args!("  {}", ratio_line(ratio)))?;
        }
    }
    for verification in &report.verifications {
        out.line("")?;
        for line in verification_lines(verification) {
            out.line(line)?;
        }
    }
    Ok(())
}

fn verification_lines(verification: &Verification) -> Vec<String> {
    let Verification { name, record_count, journal_bytes, written_bytes, .. } = verification;
    let verdict = match verification.account_count {
        Some(accounts) => format!(
            "verified in {:.1} s: every hash and every decision is as it must be, {} accounts",
            verification.seconds,
            grouped(accounts)
        ),
        None => "NOT verified, as was asked".to_owned(),
    };
    vec![
        format!(
            "The journal of {name}: {} records in {} bytes; {verdict}.",
            grouped(*record_count),
            grouped(*journal_bytes)
        ),
        format!(
            "Written to disk in all, journal, log, snapshots and ids: {} bytes, {:.2} times the journal.",
            grouped(*written_bytes),
            verification.write_amplification
        ),
    ]
}

fn machine_lines(machine: &Machine) -> Vec<String> {
    vec![
        format!(
            "{}, {} cores, {} GiB, {}; tallystick {}",
            machine.processor,
            machine.core_count,
            machine.memory_bytes >> 30,
            machine.kernel,
            machine.version
        ),
        format!(
            "fdatasync of 4 KiB appended to a growing file {:.0} µs p50, {:.0} µs p99; random memory read {:.0} ns",
            machine.fdatasync_p50_us, machine.fdatasync_p99_us, machine.random_read_ns
        ),
    ]
}

fn headline(figure: &Figure) -> String {
    let rate = grouped(figure.ops_per_second as u64);
    match (figure.due_per_second, figure.connections) {
        (Some(due), connections) => {
            format!("{}, {connections} connections, {} due a second: {rate} a second", figure.name, grouped(due))
        }
        (None, 0) => format!("{}: {rate} a second", figure.name),
        (None, connections) => format!("{}, {connections} × {}: {rate} a second", figure.name, figure.in_flight),
    }
}

fn figure_lines(figure: &Figure) -> Vec<String> {
    let mut lines = Vec::new();
    let has_latency = figure.max_us > 0.0;
    if has_latency {
        let of_what = if figure.batch > 1 { " of a batch" } else { "" };
        let quantiles =
            [(figure.p50_us, "p50"), (figure.p99_us, "p99"), (figure.p999_us, "p99.9"), (figure.max_us, "max")];
        let quantiles: Vec<String> = quantiles.iter().map(|(us, name)| format!("{us:.0} µs {name}")).collect();
        lines.push(format!("latency{of_what} {}", quantiles.join(", ")));
    }
    if figure.connections > 0 {
        lines.push(format!(
            "longest pause {:.1} ms over all, {:.1} ms on one connection; a thread that only slept was {:.1} ms late",
            figure.longest_pause_ms, figure.longest_gap_ms, figure.machine_pause_ms
        ));
    }
    if figure.server_processor_us > 0.0 {
        lines.push(format!(
            "processor time for each command: server {:.1} µs, load generator {:.1} µs",
            figure.server_processor_us, figure.load_processor_us
        ));
    }
    lines.push(conditions(figure));
    if let Some(ledger) = &figure.ledger {
        lines.push(format!(
            "{} accounts with {} lots and {} windows each; {} lines a basket; \
             {} rules, {} caps, {} metrics, {} budgets",
            grouped(ledger.accounts),
            ledger.lots_per_account,
            ledger.windows_per_account,
            ledger.lines_per_basket,
            ledger.rules,
            ledger.caps,
            ledger.metrics,
            ledger.budgets,
        ));
        let connections = if ledger.tls { "over TLS" } else { "in the clear" };
        let callers = if ledger.keys { "every call brings a key" } else { "without credentials" };
        lines.push(format!("{connections}, {callers}"));
    }
    if let Some(bytes) = figure.server_memory_bytes {
        lines.push(format!("server memory {} MiB", grouped(bytes >> 20)));
    }
    lines.extend(figure.refusals.iter().map(|(kind, count)| format!("not accepted, {kind}: {}", grouped(*count))));
    lines.extend(figure.attackers.iter().map(attackers_line));
    lines.extend(figure.more.iter().map(|(name, value)| format!("{} {}", name.replace('_', " "), shown(*value))));
    lines
}

fn attackers_line(attackers: &Attackers) -> String {
    let parts = [
        (attackers.connections, "connections"),
        (attackers.cut_off, "cut off by the server"),
        (attackers.held, "held to the end"),
        (attackers.calls_refused, "calls refused"),
        (attackers.not_connected, "not connected"),
        (attackers.not_closed, "NOT closed by the server"),
    ];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts.map(|(count, what)| format!("{} {what}", grouped(count))).collect();
    format!("attackers, {}: {}", attackers.kind, parts.join(", "))
}

fn conditions(figure: &Figure) -> String {
    let mut parts =
        vec![if figure.durable { "durable before the answer" } else { "nothing is kept on disk" }.to_owned()];
    if figure.batch > 0 {
        parts.push(format!("batch {}", figure.batch));
    }
    parts.push(format!("{:.1} s", figure.seconds));
    if figure.request_bytes > 0 {
        let (request, response) = (grouped(figure.request_bytes), grouped(figure.response_bytes));
        parts.push(format!("requests of {request} bytes, answers of {response}"));
    }
    if let Some(bytes) = figure.record_bytes {
        parts.push(format!("records of {bytes:.1} bytes"));
    }
    if figure.load_threads > 0 {
        parts.push(format!("{} load threads on the server's cores", figure.load_threads));
    }
    parts.join("; ")
}

/// A number of any size: large ones without a fraction.
fn shown(value: f64) -> String {
    if value.abs() >= 1_000.0 { grouped(value as i64) } else { format!("{value:.2}") }
}

fn ratio_line(ratio: &Ratio) -> String {
    if ratio.pairs.len() == 1 {
        return format!("{}: {:.2}", ratio.name, ratio.median);
    }
    format!(
        "{}: {:.3} (from {:.3} to {:.3} over {} pairs)",
        ratio.name,
        ratio.median,
        ratio.min,
        ratio.max,
        ratio.pairs.len()
    )
}

impl From<BenchError> for CliError {
    fn from(error: BenchError) -> Self {
        let exit = match &error {
            BenchError::File { .. } | BenchError::Resource { .. } => Exit::InputOutput,
            BenchError::Server(_) | BenchError::Connect { .. } | BenchError::Call(_) => Exit::Unavailable,
            BenchError::NotIntact(_) | BenchError::Verify(_) | BenchError::Ledger(_) => Exit::Damaged,
            BenchError::Serve(_) => Exit::InputOutput,
            BenchError::Program(_) => Exit::BadData,
            BenchError::Usage(_) => Exit::Usage,
        };
        Self::new(exit, error.to_string())
    }
}
