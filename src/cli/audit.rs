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
use crate::audit::verify::{VerifyError, VerifyOptions, VerifyReport, verify};
use crate::store::Store;

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
    },
}

/// Runs the command.
///
/// # Errors
/// When the directory cannot be opened, or something was found.
pub fn run(args: AuditArgs, out: &Output) -> Result<(), CliError> {
    let AuditWhat::Verify { data } = args.what;
    let report = verify_directory(&data, out)?;
    for line in in_words(&report) {
        out.line(line)?;
    }
    let verdict = if report.intact { out.paint(Style::Good, "intact") } else { out.paint(Style::Bad, "NOT INTACT") };
    out.line(format_args!("{}: {verdict}", data.display()))?;
    out.object(&report)?;
    if report.intact { Ok(()) } else { Err(CliError::reported(Exit::Problems)) }
}

/// Verifies a data directory that no server uses.
///
/// # Errors
/// When it cannot be opened or is none.
pub fn verify_directory(data: &Path, out: &Output) -> Result<VerifyReport, CliError> {
    let store: Arc<dyn Store> = open_store(data)?;
    let mut progress = out.progress();
    let report = verify(&store, &VerifyOptions::default(), &mut |reached, goal| {
        progress.report("Verifying", reached.0, goal.0, || counted(reached.0, "record", "records"));
    });
    Ok(report?)
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

    #[test]
    fn what_may_explain_a_finding_is_said_before_it() {
        let note = "The journal was decided by other rules of time zones.".to_owned();
        let report = VerifyReport { time_zone_note: Some(note.clone()), ..VerifyReport::default() };
        assert_eq!(in_words(&report).last(), Some(&note));
        assert!(!in_words(&VerifyReport::default()).contains(&note));
    }
}
