//! `tallystick export`: what the ledger holds, as files that other programs read.
//!
//! What must stay true: a file appears under its name only when it is complete; an export that the server cut short is
//! an error, never a short file.

mod journal;
pub mod offline;
mod table;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use self::table::{Header, Table};
use super::client::{Server, ServerArgs, Turn, parse_time, runtime, shown_time, to_wire};
use super::error::{CliError, Exit};
use super::output::{Output, Progress, counted};
use crate::service::wire::export_accounts_response::Part;
use crate::service::wire::{ExportAccountsRequest, ExportPhase, ExportProgress};

/// How long the server may say nothing during an export; it states its progress every now and then.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// Writes out what the ledger holds
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    #[command(subcommand)]
    what: ExportWhat,
}

#[derive(Debug, Subcommand)]
enum ExportWhat {
    /// Every account as it stood at an instant, in the natural order of the ids
    ///
    /// The columns of the CSV are account_id, baskets, earned, redeemed, expired, balance, clipped, refused_baskets,
    /// refused_redemptions, and one for each metric of the programme. The figures are those of the first wallet; earned
    /// is what was granted less what was taken back, and expired what had died by the instant, whether or not its
    /// expiry is posted.
    ///
    /// With --all-wallets five columns of every wallet follow, each named WALLET.COLUMN: balance, pending (what cannot be
    /// spent yet), available (what can be spent now), set_aside (what partners may capture) and owed (what later earnings
    /// pay off first). Money counts minor units. JSON has all of it for all wallets.
    Accounts(AccountsArgs),
    /// Every record of a data directory's journal, as one JSON object a line
    ///
    /// The server of the directory must not be running.
    Journal(JournalArgs),
}

#[derive(Debug, clap::Args)]
struct AccountsArgs {
    /// The instant, such as 2017-04-01T00:00:00Z; now if not given
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    as_of: Option<jiff::Timestamp>,
    /// How to write it
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
    #[command(flatten)]
    server: ServerArgs,
    /// Read this data directory, whose server is not running, instead of asking a server
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Write to this file, not to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Name of the first column
    #[arg(long, value_name = "NAME", default_value = "account_id")]
    account_column: String,
    /// Leave out accounts that were only enrolled: without a basket, a redemption (accepted or refused) or any points
    #[arg(long)]
    with_transactions: bool,
    /// In CSV, behind the metrics, also what every wallet has, money too: what is pending, can be spent, is set aside, is
    /// owed
    #[arg(long)]
    all_wallets: bool,
}

#[derive(Debug, clap::Args)]
struct JournalArgs {
    /// The data directory
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// How to write it
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
    /// Write to this file, not to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Comma-separated values
    Csv,
    /// One JSON object
    Json,
    /// Not supported yet
    Parquet,
}

/// Runs the command.
///
/// # Errors
/// When the server cannot be used, or the file cannot be written.
pub fn run(args: ExportArgs, out: &Output) -> Result<(), CliError> {
    match args.what {
        ExportWhat::Accounts(args) => export_accounts(&args, out),
        ExportWhat::Journal(args) => export_journal(&args, out),
    }
}

fn export_accounts(args: &AccountsArgs, out: &Output) -> Result<(), CliError> {
    check_format(args, out)?;
    let mut table = match &args.data {
        Some(data) => offline::accounts(data, args.as_of, out)?,
        None => {
            let server = Server::new(&args.server)?;
            runtime()?.block_on(fetch(&server, args.as_of, &mut out.progress()))?
        }
    };
    if args.with_transactions {
        table.keep_those_with_transactions();
    }
    table.sort();
    match &args.out {
        None => write_to_stdout(&table, args),
        Some(path) => {
            write_file(path, |to| Ok(write_table(&table, args, to)))?;
            say(&table, path, out)
        }
    }
}

fn export_journal(args: &JournalArgs, out: &Output) -> Result<(), CliError> {
    match args.format {
        Format::Json => {}
        Format::Csv => {
            let message = "records of the journal have no columns in common, so there is no CSV of them";
            return Err(CliError::new(Exit::Usage, message).hint("use --format json"));
        }
        Format::Parquet => return Err(no_parquet("--format json is")),
    }
    if out.is_json() && args.out.is_none() {
        let message = "with --json standard output holds one JSON object, and a journal has one a record";
        return Err(CliError::new(Exit::Usage, message).hint("add --out FILE, or leave --json out"));
    }
    let offline = offline::open(&args.data)?;
    let mut progress = out.progress();
    let Some(path) = &args.out else {
        let mut stdout = BufWriter::new(io::stdout().lock());
        let written = journal::write_records(&offline, &mut stdout, &mut progress)?;
        return written.map(drop).map_err(|error| CliError::standard_output(&error));
    };
    let record_count = write_file(path, |to| journal::write_records(&offline, to, &mut progress))?;
    drop(progress);
    out.line(format_args!("{}: {}", path.display(), counted(record_count, "record", "records")))?;
    out.object(&json!({ "file": path.display().to_string(), "record_count": record_count }))
}

fn no_parquet(alternative: &str) -> CliError {
    CliError::new(Exit::Usage, "Parquet is not supported yet").hint(alternative)
}

fn check_format(args: &AccountsArgs, out: &Output) -> Result<(), CliError> {
    if args.format == Format::Parquet {
        return Err(no_parquet("--format csv and --format json are"));
    }
    if out.is_json() && args.out.is_none() && args.format != Format::Json {
        let message = "with --json standard output holds one JSON object, which CSV is not";
        return Err(CliError::new(Exit::Usage, message).hint("add --format json, or --out FILE"));
    }
    Ok(())
}

async fn fetch(server: &Server, as_of: Option<jiff::Timestamp>, progress: &mut Progress) -> Result<Table, CliError> {
    let failed = |status: &tonic::Status| server.failure("the export of accounts", status);
    let mut clients = server.connect().await?;
    let mut turn = Turn::default();
    let mut parts = loop {
        let request = ExportAccountsRequest { as_of_time: as_of.map(to_wire) };
        // An export takes as long as its journal is long; what has a limit is the silence between two parts.
        match within_silence(clients.admin.export_accounts(request)).await? {
            Ok(response) => break response.into_inner(),
            Err(status) => {
                if !turn.is_awaited(&status, progress).await {
                    return Err(failed(&status));
                }
            }
        }
    };
    let mut table = Table::default();
    let mut row_count = None;
    while let Some(part) = within_silence(parts.message()).await?.map_err(|status| failed(&status))? {
        match part.part {
            Some(Part::Header(header)) => {
                row_count = Some(header.row_count);
                table.header = Header {
                    as_of_time: shown_time(header.as_of_time.as_ref()),
                    position: header.position,
                    program_version: header.program_version,
                };
            }
            Some(Part::Rows(rows)) => rows.rows.iter().for_each(|row| table.push(row)),
            Some(Part::Progress(step)) => show(progress, &step),
            None => {}
        }
    }
    let fetched = i64::try_from(table.row_count()).unwrap_or(i64::MAX);
    if row_count != Some(fetched) {
        let message = format!("the server sent {fetched} accounts and had announced {}", row_count.unwrap_or(0));
        return Err(CliError::new(Exit::Unavailable, message));
    }
    Ok(table)
}

/// Waits for the server's next word.
async fn within_silence<T>(word: impl Future<Output = T>) -> Result<T, CliError> {
    tokio::time::timeout(SILENCE_MAX, word).await.map_err(|_| {
        let message = format!("the server said nothing for {} s", SILENCE_MAX.as_secs());
        CliError::new(Exit::Unavailable, message)
    })
}

fn show(progress: &mut Progress, step: &ExportProgress) {
    let [done, total] = [step.done_count, step.total_count].map(|count| u64::try_from(count).unwrap_or(0));
    let (phase, one, many) = match step.phase() {
        ExportPhase::Rows => ("Fetching", "account", "accounts"),
        ExportPhase::Replay | ExportPhase::Unspecified => ("Replaying", "record", "records"),
    };
    progress.report(phase, done, total, || counted(done, one, many));
}

fn write_table(table: &Table, args: &AccountsArgs, to: &mut dyn Write) -> io::Result<()> {
    match args.format {
        Format::Csv | Format::Parquet => table.write_csv(to, &args.account_column, args.all_wallets),
        Format::Json => table.write_json(to, &args.account_column),
    }
}

fn write_to_stdout(table: &Table, args: &AccountsArgs) -> Result<(), CliError> {
    let mut stdout = BufWriter::new(io::stdout().lock());
    let written = write_table(table, args, &mut stdout).and_then(|()| stdout.flush());
    written.map_err(|error| CliError::standard_output(&error))
}

fn say(table: &Table, path: &Path, out: &Output) -> Result<(), CliError> {
    let row_count = table.row_count();
    let as_of_time = table.header.as_of_time.clone();
    out.line(format_args!(
        "{}: {}, as of {}",
        path.display(),
        counted(u64::try_from(row_count).unwrap_or(u64::MAX), "account", "accounts"),
        as_of_time.as_deref().unwrap_or("now"),
    ))?;
    out.object(&json!({
        "file": path.display().to_string(),
        "row_count": row_count,
        "as_of_time": as_of_time,
        "position": table.header.position,
        "program_version": table.header.program_version,
    }))
}

/// Writes a file beside its final name, syncs it, and gives it the name. What cannot be written and what cannot be read
/// to be written are told apart.
fn write_file<T>(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<io::Result<T>, CliError>,
) -> Result<T, CliError> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let file = File::create(&part).map_err(|error| CliError::file(Exit::CannotCreate, "making", &part, &error))?;
    let mut to = BufWriter::new(file);
    let written = write(&mut to).and_then(|written| {
        let placed = written.and_then(|answer| {
            to.flush()?;
            to.get_ref().sync_all()?;
            fs::rename(&part, path).map(|()| answer)
        });
        placed.map_err(|error| CliError::file(Exit::InputOutput, "writing", path, &error))
    });
    if written.is_err() {
        // What is left of it is of no use; that it cannot be removed either is no further news.
        let _ = fs::remove_file(&part);
    }
    written
}
