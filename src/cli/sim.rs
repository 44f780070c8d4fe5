//! `tallystick sim`: one seed of the deterministic simulation.
//!
//! What must stay true: the output depends on the arguments alone; a failure names the command that replays it and
//! ends with exit status 1.

use clap::value_parser;

use super::error::{CliError, Exit};
use super::output::{Output, Style, grouped};
use crate::sim::{self, SimOptions};

/// Simulates the ledger on a disk that fails, and checks every invariant
///
/// The production workers, committer, id index, snapshots and recovery run under a scheduler that the seed decides, on
/// a disk that drops, tears and reorders what was not synced. The same seed and steps give the same run on any machine.
#[derive(Debug, clap::Args)]
pub struct SimArgs {
    /// The seed
    #[arg(long, value_name = "N")]
    seed: u64,
    /// Steps of the scheduler
    #[arg(long, value_name = "N", default_value_t = SimOptions::default().step_count,
          value_parser = value_parser!(u64).range(1..))]
    steps: u64,
}

/// Runs the command.
///
/// # Errors
/// When the simulation found something wrong, or standard output cannot be written.
pub fn run(args: &SimArgs, out: &Output) -> Result<(), CliError> {
    let options = SimOptions { step_count: args.steps, ..SimOptions::default() };
    match sim::run(args.seed, &options) {
        Ok(report) => {
            out.line(format_args!(
                "seed {}: {} steps, {} commands in {} calls, {} records, {} crashes, {} faults of the disk, {} snapshots",
                report.seed,
                grouped(report.step_count),
                grouped(report.command_count),
                grouped(report.call_count),
                grouped(report.end),
                report.crash_count,
                report.disk_fault_count,
                report.snapshot_count,
            ))?;
            out.line(format_args!("digest {}", report.digest))?;
            out.line(out.paint(Style::Good, "every invariant held"))?;
            out.object(&report)
        }
        Err(failure) => {
            out.line(&*failure)?;
            out.object(&*failure)?;
            Err(CliError::reported(Exit::Problems))
        }
    }
}
