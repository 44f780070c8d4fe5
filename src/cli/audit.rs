//! `tallystick audit`: whoever holds a data directory can show that its history is whole and was decided by the rules.
//!
//! What must stay true: nothing is written to the history; a finding names its place and makes the exit status 1; a
//! directory that cannot be opened because it is damaged ends with 76.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;

use super::error::{CliError, Exit};
use super::output::{Output, Style, counted, grouped};
use super::store::open_store;
use crate::audit::verify::{Reading, VerifyError, VerifyOptions, VerifyReport, verify};
use crate::store::Store;

/// MiB of memory for ids when nothing else is said.
pub const MEMORY_MIB_DEFAULT: u64 = VerifyOptions::MEMORY_BYTES_DEFAULT >> 20;
/// The most that can be stated.
pub const MEMORY_MIB_MAX: u64 = 1 << 24;

/// Verifies the history of a data directory
#[derive(Debug, clap::Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    what: AuditWhat,
}

#[derive(Debug, Subcommand)]
enum AuditWhat {
    /// Replay the journal from empty, check every hash, and make every decision again
    ///
    /// The server of the directory must not be running. The exit status is 1 if something was found, and 76 if the
    /// directory is so damaged that it cannot be opened.
    Verify {
        /// The data directory
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// Memory for the ids that are looked for a second time, in MiB, beside that for the ledger's state
        ///
        /// A thousand of them are enough for a history of ten million records to be read once, and for one of several hundred
        /// million to be read twice. With less the history is read more often; what is found is the same.
        #[arg(long, value_name = "N", default_value_t = MEMORY_MIB_DEFAULT,
              value_parser = clap::value_parser!(u64).range(1..=MEMORY_MIB_MAX))]
        memory_mib: u64,
    },
}

/// Runs the command.
///
/// # Errors
/// When the directory cannot be opened, or something was found.
pub fn run(args: AuditArgs, out: &Output) -> Result<(), CliError> {
    let AuditWhat::Verify { data, memory_mib } = args.what;
    let report = verify_directory(&data, memory_mib, out)?;
    for line in in_words(&report) {
        out.line(line)?;
    }
    let verdict = if report.intact { out.paint(Style::Good, "intact") } else { out.paint(Style::Bad, "NOT INTACT") };
    out.line(format_args!("{}: {verdict}", data.display()))?;
    out.object(&report)?;
    if report.intact { Ok(()) } else { Err(CliError::reported(Exit::Problems)) }
}

/// Verifies a data directory that no server uses, with so many MiB of memory for ids.
///
/// # Errors
/// When it cannot be opened or is none.
pub fn verify_directory(data: &Path, memory_mib: u64, out: &Output) -> Result<VerifyReport, CliError> {
    let store: Arc<dyn Store> = open_store(data)?;
    let options = VerifyOptions { memory_bytes: memory_mib << 20, ..VerifyOptions::default() };
    let mut progress = out.progress();
    let report = verify(&store, &options, &mut |reading, goal| {
        let reached = reading.reached.0;
        progress.report(&phase_of(reading), reached, goal.0, || counted(reached, "record", "records"));
    });
    Ok(report?)
}

/// What is being done, and which reading it is where there are several.
fn phase_of(reading: Reading) -> String {
    match reading.count {
        Some(1) => "Verifying".to_owned(),
        Some(count) => format!("Verifying, reading {} of {count}", reading.number),
        None => "Verifying, first of several readings".to_owned(),
    }
}

impl From<VerifyError> for CliError {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Store(error) => error.into(),
            VerifyError::Journal(error) => error.into(),
            VerifyError::Identity(error) => error.into(),
            VerifyError::NoIdentity => Self::new(Exit::Damaged, error.to_string()),
        }
    }
}

/// The report in words, a fact a line.
#[must_use]
pub fn in_words(report: &VerifyReport) -> Vec<String> {
    let records = &report.records;
    let mut lines = vec![format!(
        "{} in {}: {} accruals, {} reversals, {} redemptions, {} refusals; {}",
        counted(report.record_count, "record", "records"),
        counted(report.frame_count, "frame", "frames"),
        grouped(records.accruals),
        grouped(records.reversals),
        grouped(records.redemptions),
        grouped(records.refusals()),
        counted(report.account_count, "account", "accounts"),
    )];
    for wallet in &report.wallets {
        lines.push(format!(
            "{}: {} issued, {} taken back, {} redeemed, {} expired, {} held by accounts and owed by partners",
            wallet.wallet,
            grouped(wallet.issued_units),
            grouped(wallet.reversed_units),
            grouped(wallet.redeemed_units),
            grouped(wallet.expired_units),
            grouped(wallet.outstanding_units),
        ));
    }
    if let Some(digest) = &report.digest {
        lines.push(format!("digest of the state {digest}"));
    }
    lines.push(report.promise.clone());
    lines.extend(report.time_zone_note.clone());
    lines.extend(report.findings.iter().map(|finding| format!("FOUND {finding}")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Arguments;
    use crate::ledger::types::Position;
    use clap::Parser;

    #[test]
    fn memory_is_stated_where_something_is_verified() {
        let rows: [(&[&str], bool); 5] = [
            (&["audit", "verify", "--data", "d", "--memory-mib", "1"], true),
            (&["audit", "verify", "--data", "d", "--memory-mib", "0"], false),
            (&["restore", "--from", "b", "--data", "d", "--verify", "--memory-mib", "4096"], true),
            (&["restore", "--from", "b", "--data", "d"], true),
            (&["restore", "--from", "b", "--data", "d", "--memory-mib", "4096"], false),
        ];
        for (line, is_right) in rows {
            let parsed = Arguments::try_parse_from(std::iter::once(&"tallystick").chain(line));
            assert_eq!(parsed.is_ok(), is_right, "{line:?}");
        }
    }

    #[test]
    fn progress_says_which_reading_of_how_many() {
        let rows = [
            (1, Some(1), "Verifying"),
            (1, None, "Verifying, first of several readings"),
            (2, Some(2), "Verifying, reading 2 of 2"),
            (3, Some(11), "Verifying, reading 3 of 11"),
        ];
        for (number, count, said) in rows {
            assert_eq!(phase_of(Reading { number, count, reached: Position(7) }), said);
        }
    }

    #[test]
    fn what_may_explain_a_finding_is_said_before_it() {
        let note = "The journal was decided by other rules of time zones.".to_owned();
        let report = VerifyReport { time_zone_note: Some(note.clone()), ..VerifyReport::default() };
        assert_eq!(in_words(&report).last(), Some(&note));
        assert!(!in_words(&VerifyReport::default()).contains(&note));
    }
}
