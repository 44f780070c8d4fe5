//! `tallystick restore`: a data directory from a backup.
//!
//! What must stay true: nothing is overwritten; the directory is recovered, and held against the manifest, before the
//! command says that it is there; what it holds is then whole, or it does not open.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::audit::{MEMORY_MIB_DEFAULT, MEMORY_MIB_MAX, in_words, verify_directory};
use super::error::{CliError, Exit};
use super::output::{Output, grouped};
use super::store::open_store;
use crate::audit::verify::VerifyReport;
use crate::backup::{self, BackupError, Manifest};
use crate::journal::log::StoreJournal;
use crate::journal::{Journal, JournalError};
use crate::ledger::types::Position;
use crate::recovery::identity::Identity;
use crate::recovery::{Progress, recover_state};
use crate::store::Store;

/// Makes a data directory from a backup
///
/// The backup is checked against its manifest and copied, and the copy is recovered. Nothing is overwritten.
#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    /// The backup
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The data directory to make; it must not exist, or be empty
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Make every decision again too, as `audit verify` does
    #[arg(long)]
    verify: bool,
    /// Memory that `--verify` has for ids, in MiB, as `audit verify` has it
    #[arg(long, value_name = "N", default_value_t = MEMORY_MIB_DEFAULT, requires = "verify",
          value_parser = clap::value_parser!(u64).range(1..=MEMORY_MIB_MAX))]
    memory_mib: u64,
}

/// Runs the command.
///
/// # Errors
/// When the backup is not whole, something is in the way, or what was restored is not what the manifest promises.
pub fn run(args: RestoreArgs, out: &Output) -> Result<(), CliError> {
    backup::check_target(&args.data).map_err(explained)?;
    let manifest = backup::check(&args.from)?;
    let mut progress = out.progress();
    let copied = backup::restore(&args.from, &args.data, &manifest, &mut |bytes| {
        progress.report("Copying", bytes, manifest.byte_count, || format!("{} bytes", grouped(bytes)));
    });
    copied.map_err(explained)?;
    drop(progress);
    let record_count = recover(&args, &manifest, out)?;
    out.line(format_args!("{}: restored, {} records", args.data.display(), grouped(record_count)))?;
    out.line(format_args!("the backup was begun {} at record {}", manifest.begun_at, grouped(manifest.record_count)))?;
    let report = args.verify.then(|| verify_directory(&args.data, args.memory_mib, out)).transpose()?;
    for line in report.iter().flat_map(in_words) {
        out.line(line)?;
    }
    out.object(&json!({
        "data": args.data.display().to_string(),
        "record_count": record_count,
        "manifest": manifest,
        "verification": report,
    }))?;
    let is_intact = report.as_ref().is_none_or(|report: &VerifyReport| report.intact);
    if is_intact { Ok(()) } else { Err(CliError::reported(Exit::Problems)) }
}

/// What is in the way may be what an earlier restore has left, and what this one leaves is in the way of the next.
fn explained(error: BackupError) -> CliError {
    let is_begun_anew = matches!(error, BackupError::NotEmpty(_) | BackupError::File { .. });
    let shown = CliError::from(error);
    if is_begun_anew {
        shown.hint("if a restore was cut short there, remove the directory that it was making, and restore again")
    } else {
        shown
    }
}

/// Recovers what was restored, as a server would, and holds it against the manifest; says how many records there are.
fn recover(args: &RestoreArgs, manifest: &Manifest, out: &Output) -> Result<u64, CliError> {
    let store: Arc<dyn Store> = open_store(&args.data)?;
    let unlike = |what: &str| {
        let message = format!("what was restored in {} is not what the manifest promises: {what}", args.data.display());
        CliError::new(Exit::Damaged, message)
    };
    let identity = Identity::read(&*store)?.ok_or_else(|| unlike("there is no ledger"))?;
    if backup::hexadecimal(&identity.directory_id) != manifest.directory_id {
        return Err(unlike("it is another ledger"));
    }
    let journal = StoreJournal::new(store.clone());
    if !holds(&journal, manifest)? {
        return Err(unlike("the journal has another history"));
    }
    let mut shown = out.progress();
    let recovered = recover_state(&store, &identity, &mut |progress| match progress {
        // It is left as it is: nothing here asks whether an id was used.
        Progress::Ids { .. } => {}
        Progress::Snapshot { entity_count } => {
            shown.report("Loading", entity_count, 0, || format!("{} entities", grouped(entity_count)));
        }
        Progress::Journal { reached, end } => {
            shown.report("Recovering", reached.0, end.0, || format!("{} records", grouped(reached.0)));
        }
    });
    let (world, _) = recovered.map_err(|error| {
        CliError::from(error).hint(
            "what was copied stays: if `tallystick audit verify` finds nothing wrong with it but the snapshot, serve it \
             once with --discard-snapshot",
        )
    })?;
    Ok(world.end.0)
}

/// Whether the journal has the frame that the manifest names, at its place.
fn holds(journal: &StoreJournal, manifest: &Manifest) -> Result<bool, JournalError> {
    let Some(last) = manifest.record_count.checked_sub(1) else { return Ok(true) };
    let mut fits = false;
    journal.read(Position(last), &mut |frame| {
        fits = frame.end().0 == manifest.record_count && backup::hexadecimal(&frame.hash) == manifest.chain_hash;
        Ok(std::ops::ControlFlow::Break(()))
    })?;
    Ok(fits)
}
