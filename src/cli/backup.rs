//! `tallystick backup`: a copy of a data directory, of a running server or of a directory that no server uses.
//!
//! What must stay true: nothing that exists is overwritten; what is printed is what the manifest says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::client::{Server, call_within, runtime, shown_time};
use super::error::{CliError, Exit};
use super::output::{Output, grouped};
use super::place::PlaceArgs;
use crate::backup::BackupError;
use crate::service::wire::{CreateBackupRequest, CreateBackupResponse};

/// How long a backup may take: on the same file system it is a matter of seconds, elsewhere every file is copied.
const BACKUP_TIMEOUT: Duration = Duration::from_secs(24 * 3_600);

/// Copies a data directory while its server goes on
///
/// The copy holds everything that was acknowledged before it was begun, and has a manifest, `backup.json`. On the file
/// system of the data directory it takes little time and room, because files are linked.
#[derive(Debug, clap::Args)]
pub struct BackupArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The directory to make; it must not exist. A running server makes it, on its own machine
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// When the server cannot be reached or does not make the copy, or the directory cannot be opened.
pub fn run(args: BackupArgs, out: &Output) -> Result<(), CliError> {
    let made = match &args.place.data {
        Some(data) => offline(data, &args.to)?,
        None => runtime()?.block_on(online(&Server::new(&args.place.server)?, &args.to))?,
    };
    let took_ms = made.duration.map_or(0, |took| took.seconds * 1_000 + i64::from(took.nanos) / 1_000_000);
    out.line(format_args!(
        "{}: {} records, {} bytes, in {} ms",
        made.directory,
        grouped(made.record_count),
        grouped(made.byte_count),
        grouped(took_ms)
    ))?;
    out.line(format_args!("chain up to there: {}", made.chain_hash))?;
    out.object(&json!({
        "directory": made.directory,
        "record_count": made.record_count,
        "chain_hash": made.chain_hash,
        "backup_time": shown_time(made.backup_time.as_ref()),
        "byte_count": made.byte_count,
        "duration_ms": took_ms,
    }))
}

async fn online(server: &Server, to: &Path) -> Result<CreateBackupResponse, CliError> {
    let absolute = std::path::absolute(to).map_err(|error| CliError::file(Exit::Usage, "naming", to, &error))?;
    let mut clients = server.connect().await?;
    let request = CreateBackupRequest { directory: absolute.display().to_string() };
    let response = clients.admin.create_backup(call_within(BACKUP_TIMEOUT, request)).await;
    response.map(tonic::Response::into_inner).map_err(|status| server.failure("making a backup", &status))
}

#[cfg(feature = "rocksdb")]
fn offline(data: &Path, to: &Path) -> Result<CreateBackupResponse, CliError> {
    use std::sync::Arc;

    use crate::clock::{Clock, SystemClock};
    use crate::journal::Journal;
    use crate::journal::log::{HighWater, StoreJournal};
    use crate::recovery::identity::Identity;
    use crate::store::Store;

    let clock = SystemClock::new();
    let begun_at = clock.now();
    let rocks = super::store::open_rocks(data)?;
    let store: Arc<dyn Store> = rocks.clone();
    let journal = StoreJournal::new(store.clone());
    // What is missing already must not become the promise of a copy.
    journal.check_high_water()?;
    let identity = Identity::read(&*store)?;
    let nothing = || CliError::new(Exit::Damaged, format!("{} holds no ledger yet", data.display()));
    let (end, hash) = journal.end()?;
    let point = HighWater { end, hash };
    let copy = |to: &Path, mark: Option<&[u8]>| rocks.checkpoint_with_mark(to, mark);
    let manifest = crate::backup::create(to, &point, &identity.ok_or_else(nothing)?, begun_at, &copy)?;
    let took_ns = clock.monotonic_ns();
    Ok(CreateBackupResponse {
        directory: to.display().to_string(),
        record_count: i64::try_from(manifest.record_count).unwrap_or(i64::MAX),
        chain_hash: manifest.chain_hash,
        backup_time: Some(prost_types::Timestamp {
            seconds: begun_at.0.div_euclid(1_000_000_000),
            nanos: i32::try_from(begun_at.0.rem_euclid(1_000_000_000)).unwrap_or_default(),
        }),
        byte_count: i64::try_from(manifest.byte_count).unwrap_or(i64::MAX),
        duration: Some(prost_types::Duration {
            seconds: took_ns / 1_000_000_000,
            nanos: i32::try_from(took_ns % 1_000_000_000).unwrap_or_default(),
        }),
    })
}

#[cfg(not(feature = "rocksdb"))]
fn offline(data: &Path, _: &Path) -> Result<CreateBackupResponse, CliError> {
    super::store::open_store(data).map(|_| CreateBackupResponse::default())
}

impl From<BackupError> for CliError {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Store(error) => error.into(),
            BackupError::File { .. } => Self::new(Exit::InputOutput, error.to_string()),
            BackupError::IsBackup(_) => Self::new(Exit::Configuration, error.to_string()),
            BackupError::NotEmpty(_) => Self::new(Exit::CannotCreate, error.to_string()),
            BackupError::NoManifest(_) | BackupError::Manifest { .. } | BackupError::NotWhole { .. } => {
                Self::new(Exit::Damaged, error.to_string())
            }
        }
    }
}
