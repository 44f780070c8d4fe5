//! `tallystick import`: loads files into a running server, over the stream that every client may use.
//!
//! What must stay true: no rule is applied here and no points are added up; what is counted are commands and their
//! answers. An import that was cut short is started over with the same files: what the server has is answered again.

pub mod baskets;
pub mod desk;
pub mod events;
pub mod members;
pub mod merged;
pub mod pump;
#[cfg(test)]
mod pump_tests;
pub mod rows;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use tokio::runtime::Runtime;
use tonic::Code;

use self::baskets::Additions;
use self::desk::{Desk, Report, Source};
use self::events::{EventSource, RedemptionReader};
use self::members::{BalanceSource, SegmentFile, SegmentSource};
use self::merged::{MergedSource, Redemptions};
use self::pump::{Pump, PumpOptions};
use self::rows::Extent;
use super::client::{Server, ServerArgs, call, parse_time, runtime};
use super::error::{CliError, Exit};
use super::output::Output;
use crate::clock::{Clock, SystemClock};
use crate::limits;
use crate::service::wire::{ClockMode, GetStatusRequest};

/// Loads files into a running server
#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    #[command(subcommand)]
    what: ImportWhat,
}

#[derive(Debug, Subcommand)]
enum ImportWhat {
    /// Baskets that earn, from a CSV file, compressed or not
    ///
    /// The file has one row for each line of a basket, ordered by time and basket_id, under the header
    /// basket_id,household_id,store_id,time,product_id,department,category,brand,quantity,amount_cents.
    /// Times look like 2017-01-01T11:53:26Z. The basket's id becomes transaction id and receipt number.
    ///
    /// Three more columns may be there: member_id, for the member of the household who bought; and identifier_kind and
    /// identifier, such as card and its number, which name the account where household_id is empty. Who has a card by
    /// then, `import accounts` or `import events` has said before.
    ///
    /// With --redemptions a second file with the columns redemption_id, household_id and time is merged by time:
    /// redemptions come before baskets of the same instant, each file in its own order. An account is enrolled before
    /// its first redemption, so that one without points is refused for want of points. Such refusals are counted, are
    /// part of the history, and do not change the exit status.
    ///
    /// After an interruption simply start the same import again: what the server has is not taken twice.
    /// The exit status is 1 if the server refused some of the baskets, and 65 if a file is wrong.
    Baskets(BasketsArgs),
    /// Memberships in segments, from a CSV file, compressed or not
    ///
    /// Each row has one account join one segment; an account that is not there is opened. The id of each command
    /// follows from account, segment and label, so that the same file sent again does nothing. Columns that are not
    /// named are passed over.
    Segments(SegmentsArgs),
    /// What accounts had in another system, from a CSV file, compressed or not
    ///
    /// The columns are account_id, wallet (empty: the first), points, and issuer (empty: the caller's own) and
    /// expires_at (empty: never), which may be missing. Rows of one account and wallet follow each other; they are
    /// loaded together, once: a second load of other content is refused, and rows that come later are a mistake. Who
    /// sends a corrected file names account and wallet as before: named otherwise they are another load.
    ///
    /// The columns identifier_kind and identifier, such as card and its number, may be there too. Beside an account_id
    /// the identifier is linked to the account, and points may be empty; alone it names the account.
    Accounts(AccountsArgs),
    /// Redemptions, activities and linked identifiers, from a CSV file, compressed or not
    ///
    /// The columns are transaction_id, account_id, time, kind (redemption, activity, link or unlink), and points and
    /// wallet (of a redemption), activity and channel (of an activity), member_id (of either), identifier_kind and
    /// identifier (that is linked or unlinked, such as card and its number), which may be missing. Rows are ordered by
    /// time. Redemptions of more points than there were are counted and do not change the exit status.
    Events(EventsArgs),
}

/// How to send.
#[derive(Clone, Debug, clap::Args)]
struct SendArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Commands that may be unanswered at once
    #[arg(long, value_name = "N", default_value_t = 4096,
          value_parser = clap::value_parser!(u64).range(1..=limits::STREAM_IN_FLIGHT_MAX as u64))]
    window: u64,
    /// Seconds to go on trying without any answer
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    patience: u64,
}

#[derive(Debug, clap::Args)]
struct BasketsArgs {
    /// The file: FILE.csv or FILE.csv.gz
    file: PathBuf,
    #[command(flatten)]
    send: SendArgs,
    /// Currency of the amounts, after ISO 4217
    #[arg(long, value_name = "CODE", default_value = "USD")]
    currency: String,
    /// The time at which a basket counts as posted
    #[arg(long, value_enum, default_value_t = PostingTime::Auto)]
    posting_time: PostingTime,
    /// A file of redemptions to be merged with the baskets by time
    #[arg(long, value_name = "FILE", requires = "redeem_points")]
    redemptions: Option<PathBuf>,
    /// Points that each redemption burns
    #[arg(long, value_name = "N", requires = "redemptions",
          value_parser = clap::value_parser!(i64).range(1..=limits::UNITS_MAX))]
    redeem_points: Option<i64>,
    /// Enrol every account before its first event, also before a basket
    #[arg(long)]
    enrol: bool,
}

#[derive(Debug, clap::Args)]
struct SegmentsArgs {
    /// The file: FILE.csv or FILE.csv.gz
    file: PathBuf,
    #[command(flatten)]
    send: SendArgs,
    /// Name of the column with the account
    #[arg(long, value_name = "NAME", default_value = "account_id")]
    account_column: String,
    /// Name of the column with the segment
    #[arg(long, value_name = "NAME", default_value = "segment")]
    segment_column: String,
    /// What stands before each segment of the file
    #[arg(long, value_name = "TEXT", default_value = "")]
    segment_prefix: String,
    /// Part of the ids: another label makes new commands of the same rows, to join again what was left
    #[arg(long, value_name = "TEXT", default_value = "")]
    label: String,
    /// The time at which the memberships count as posted; required by a data directory made with `--clock input`
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    at: Option<jiff::Timestamp>,
}

#[derive(Debug, clap::Args)]
struct AccountsArgs {
    /// The file: FILE.csv or FILE.csv.gz
    file: PathBuf,
    #[command(flatten)]
    send: SendArgs,
    /// The time at which the balances count as posted; required by a data directory made with `--clock input`
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    at: Option<jiff::Timestamp>,
}

#[derive(Debug, clap::Args)]
struct EventsArgs {
    /// The file: FILE.csv or FILE.csv.gz
    file: PathBuf,
    #[command(flatten)]
    send: SendArgs,
    /// The time at which an event counts as posted
    #[arg(long, value_enum, default_value_t = PostingTime::Auto)]
    posting_time: PostingTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PostingTime {
    /// As the server's data directory needs it: the event's time if it was made with `--clock input`, else none; and none
    /// where the key may not ask the server for it
    Auto,
    /// The time of the receipt, or of what else happened
    Receipt,
    /// None: the server takes the time from its clock
    None,
}

/// Runs the command.
///
/// # Errors
/// When a file is wrong, the server cannot be used, or it refused some of the commands.
pub fn run(args: ImportArgs, out: &Output) -> Result<(), CliError> {
    match args.what {
        ImportWhat::Baskets(args) => import_baskets(&args, out),
        ImportWhat::Segments(args) => import_segments(args, out),
        ImportWhat::Accounts(args) => import_accounts(&args, out),
        ImportWhat::Events(args) => import_events(&args, out),
    }
}

fn import_baskets(args: &BasketsArgs, out: &Output) -> Result<(), CliError> {
    let session = Session::begin(&args.send)?;
    // A file that cannot be read is stated before a server is looked for.
    let additions = Additions { currency_code: args.currency.clone(), posts_at_receipt_time: false };
    let (baskets, extent) = baskets::open(&args.file, additions)?;
    let mut extents = vec![extent];
    let mut files = vec![&*args.file];
    let mut redemptions = None;
    if let (Some(file), Some(points)) = (&args.redemptions, args.redeem_points) {
        let (reader, extent) = RedemptionReader::open(file, points)?;
        extents.push(extent);
        files.push(file);
        redemptions = Some(Redemptions::new(reader, file.display().to_string()));
    }
    let mut source = MergedSource::new(baskets, args.file.display().to_string(), redemptions, args.enrol);
    source.set_posts_at_event_time(session.posts_at_event_time(args.posting_time)?);
    session.import(&mut source, &files, extents, out)
}

fn import_segments(args: SegmentsArgs, out: &Output) -> Result<(), CliError> {
    let session = Session::begin(&args.send)?;
    let SegmentsArgs { file, account_column, segment_column, segment_prefix, label, at, .. } = args;
    let names = SegmentFile { account_column, segment_column, segment_prefix, label };
    let (mut source, extent) = SegmentSource::open(&file, names)?;
    source.set_posting_time(session.posting_time(at)?);
    session.import(&mut source, &[&*file], vec![extent], out)
}

fn import_accounts(args: &AccountsArgs, out: &Output) -> Result<(), CliError> {
    let session = Session::begin(&args.send)?;
    let (mut source, extent) = BalanceSource::open(&args.file)?;
    source.set_posting_time(session.posting_time(args.at)?);
    session.import(&mut source, &[&*args.file], vec![extent], out)
}

fn import_events(args: &EventsArgs, out: &Output) -> Result<(), CliError> {
    let session = Session::begin(&args.send)?;
    let (mut source, extent) = EventSource::open(&args.file)?;
    source.set_posts_at_event_time(session.posts_at_event_time(args.posting_time)?);
    session.import(&mut source, &[&*args.file], vec![extent], out)
}

/// An import from its beginning to its report.
struct Session {
    server: Server,
    runtime: Runtime,
    options: PumpOptions,
    clock: SystemClock,
    started_ns: i64,
}

impl Session {
    fn begin(args: &SendArgs) -> Result<Self, CliError> {
        let clock = SystemClock::new();
        let started_ns = clock.monotonic_ns();
        let options = PumpOptions {
            window_max: usize::try_from(args.window).unwrap_or(limits::STREAM_IN_FLIGHT_MAX),
            patience: Duration::from_secs(args.patience),
        };
        Ok(Self { server: Server::new(&args.server)?, runtime: runtime()?, options, clock, started_ns })
    }

    /// Sends everything and reports.
    fn import(
        self,
        source: &mut dyn Source,
        files: &[&Path],
        extents: Vec<Extent>,
        out: &Output,
    ) -> Result<(), CliError> {
        let nouns = source.nouns();
        let mut desk = Desk::new(source, extents, out.progress());
        let (effort, result) = self.runtime.block_on(Pump::new(&self.server, self.options, &mut desk).run());
        let tally = desk.into_tally();
        let elapsed_ms = u64::try_from((self.clock.monotonic_ns() - self.started_ns) / 1_000_000).unwrap_or(0);
        let files = files.iter().map(|file| file.display().to_string()).collect();
        let report = Report { files, nouns, tally, effort, elapsed_ms };
        match result {
            Ok(()) => report.print(out),
            Err(error) => Err(report.explain(error)),
        }
    }

    fn posts_at_event_time(&self, choice: PostingTime) -> Result<bool, CliError> {
        match choice {
            PostingTime::Receipt => Ok(true),
            PostingTime::None => Ok(false),
            PostingTime::Auto => self.clock_is_input(),
        }
    }

    /// The time at which everything counts as posted. One that was stated is left to the server to judge: a key that may
    /// import need not be one that may ask for the status.
    fn posting_time(&self, stated: Option<jiff::Timestamp>) -> Result<Option<jiff::Timestamp>, CliError> {
        if stated.is_none() && self.clock_is_input()? {
            let message = "the server's data directory takes posting times from the import, and none was given";
            return Err(CliError::new(Exit::Usage, message).hint("say with --at TIME when this counts as posted"));
        }
        Ok(stated)
    }

    /// Whether the server takes posting times from whoever imports.
    fn clock_is_input(&self) -> Result<bool, CliError> {
        self.runtime.block_on(async {
            let mut clients = self.server.connect().await?;
            match clients.admin.get_status(call(GetStatusRequest { digest: false })).await {
                Ok(status) => Ok(status.into_inner().clock_mode() == ClockMode::Input),
                // The keys of those who import may not ask. Servers have a clock, as a rule; one that has none refuses the
                // first command, and says why.
                Err(status) if status.code() == Code::PermissionDenied => Ok(false),
                Err(status) => Err(self.server.failure("asking the server where its posting times come from", &status)),
            }
        })
    }
}
