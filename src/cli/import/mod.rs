//! `tallystick import`: loads files into a running server, over the stream that every client may use.
//!
//! What must stay true: no rule is applied here and no points are added up; what is counted are commands and their
//! answers. An import that was cut short is started over with the same file: what the server has is answered again.

pub mod baskets;
pub mod pump;
#[cfg(test)]
mod pump_tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use self::baskets::{Additions, BasketReader, Extent};
use self::pump::{Effort, Ends, Outgoing, Pump, PumpOptions};
use super::client::{Server, ServerArgs, call, runtime};
use super::error::{CliError, Exit};
use super::output::{Output, Progress, counted, grouped};
use crate::clock::{Clock, SystemClock};
use crate::limits;
use crate::service::wire::{ClockMode, Command, Decision, GetStatusRequest, RefusalCode, command};

/// Refusals that are named one by one.
const SHOWN_REFUSALS_MAX: usize = 5;

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
    /// After an interruption simply start the same import again: what the server has is not taken twice.
    /// The exit status is 1 if the server refused some of the baskets, and 65 if the file is wrong.
    Baskets(BasketsArgs),
}

#[derive(Debug, clap::Args)]
struct BasketsArgs {
    /// The file: FILE.csv or FILE.csv.gz
    file: PathBuf,
    #[command(flatten)]
    server: ServerArgs,
    /// Baskets that may be unanswered at once
    #[arg(long, value_name = "N", default_value_t = 4096,
          value_parser = clap::value_parser!(u64).range(1..=limits::STREAM_IN_FLIGHT_MAX as u64))]
    window: u64,
    /// Currency of the amounts, after ISO 4217
    #[arg(long, value_name = "CODE", default_value = "USD")]
    currency: String,
    /// The time at which a basket counts as posted
    #[arg(long, value_enum, default_value_t = PostingTime::Auto)]
    posting_time: PostingTime,
    /// Seconds to go on trying without any answer
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    patience: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PostingTime {
    /// As the server's data directory needs it: the receipt's time if it was made with `--clock input`, else none
    Auto,
    /// The receipt's time
    Receipt,
    /// None: the server takes the time from its clock
    None,
}

/// Runs the command.
///
/// # Errors
/// When the file is wrong, the server cannot be used, or it refused some of the commands.
pub fn run(args: ImportArgs, out: &Output) -> Result<(), CliError> {
    match args.what {
        ImportWhat::Baskets(args) => import_baskets(&args, out),
    }
}

fn import_baskets(args: &BasketsArgs, out: &Output) -> Result<(), CliError> {
    let clock = SystemClock::new();
    let started_ns = clock.monotonic_ns();
    let server = Server::new(&args.server)?;
    let runtime = runtime()?;
    // A file that cannot be read is stated before a server is looked for.
    let additions = Additions { currency_code: args.currency.clone(), posts_at_receipt_time: false };
    let (mut reader, extent) = baskets::open(&args.file, additions)?;
    reader.set_posts_at_receipt_time(runtime.block_on(posts_at_receipt_time(args.posting_time, &server))?);
    let mut desk = Desk {
        reader,
        extent,
        file: args.file.display().to_string(),
        progress: out.progress(),
        tally: Tally::default(),
        has_been_interrupted: false,
    };
    let options = PumpOptions {
        window_max: usize::try_from(args.window).unwrap_or(limits::STREAM_IN_FLIGHT_MAX),
        patience: Duration::from_secs(args.patience),
    };
    let (effort, result) = runtime.block_on(Pump::new(&server, options, &mut desk).run());
    let Desk { tally, progress, .. } = desk;
    drop(progress);
    let elapsed_ms = u64::try_from((clock.monotonic_ns() - started_ns) / 1_000_000).unwrap_or(0);
    let report = Report { file: args.file.display().to_string(), tally, effort, elapsed_ms };
    match result {
        Ok(()) => report.print(out),
        Err(error) => Err(report.explain(error)),
    }
}

async fn posts_at_receipt_time(choice: PostingTime, server: &Server) -> Result<bool, CliError> {
    match choice {
        PostingTime::Receipt => return Ok(true),
        PostingTime::None => return Ok(false),
        PostingTime::Auto => {}
    }
    let mut clients = server.connect().await?;
    let status = clients.admin.get_status(call(GetStatusRequest { digest: false })).await.map_err(|status| {
        let error = server.failure("asking the server where its posting times come from", &status);
        if error.exit() == Exit::Configuration { error.hint("or say it with --posting-time") } else { error }
    })?;
    Ok(status.into_inner().clock_mode() == ClockMode::Input)
}

/// How commands were answered. Points are not counted: that is the ledger's business.
#[derive(Clone, Debug, Default)]
struct Tally {
    command_count: u64,
    row_count: u64,
    answered_count: u64,
    accepted_count: u64,
    replayed_count: u64,
    refused: BTreeMap<String, u64>,
    shown_refusals: Vec<String>,
}

impl Tally {
    fn refused_count(&self) -> u64 {
        self.refused.values().sum()
    }

    fn count(&mut self, file: &str, sent: &Outgoing, decision: &Decision) {
        self.answered_count += 1;
        match &decision.refusal {
            Some(refusal) => {
                let code = code_name(refusal.code);
                if self.shown_refusals.len() < SHOWN_REFUSALS_MAX {
                    let id = transaction_id(&sent.command);
                    let field = if refusal.field.is_empty() { String::new() } else { format!(" ({})", refusal.field) };
                    self.shown_refusals
                        .push(format!("{file}:{}: basket {id}: {code}{field}: {}", sent.line, refusal.message));
                }
                *self.refused.entry(code).or_default() += 1;
            }
            None if decision.replayed => self.replayed_count += 1,
            None => self.accepted_count += 1,
        }
    }
}

/// The permanent name of a refusal, or its number if this program does not know it.
fn code_name(code: i32) -> String {
    RefusalCode::try_from(code).map_or_else(
        |_| format!("REFUSAL_CODE_{code}"),
        |code| code.as_str_name().trim_start_matches("REFUSAL_CODE_").to_owned(),
    )
}

fn transaction_id(command: &Command) -> &str {
    match &command.command {
        Some(command::Command::Accrue(accrue)) => &accrue.transaction_id,
        Some(command::Command::Reverse(reverse)) => &reverse.transaction_id,
        None => "",
    }
}

/// The file on one side, the counts on the other.
struct Desk {
    reader: BasketReader,
    extent: Extent,
    file: String,
    progress: Progress,
    tally: Tally,
    has_been_interrupted: bool,
}

impl Ends for Desk {
    fn next(&mut self) -> Result<Option<Outgoing>, CliError> {
        let Some(basket) = self.reader.next_basket()? else { return Ok(None) };
        self.tally.command_count += 1;
        self.tally.row_count += basket.row_count;
        Ok(Some(Outgoing {
            line: basket.line,
            row_count: basket.row_count,
            command: Command { command: Some(command::Command::Accrue(basket.request)) },
        }))
    }

    fn answered(&mut self, sent: &Outgoing, decision: &Decision) -> Result<(), CliError> {
        if self.has_been_interrupted {
            self.has_been_interrupted = false;
            self.progress.note("the server answers again");
        }
        if let Some(refusal) = decision.refusal.as_ref().filter(|refusal| refusal.code() == RefusalCode::InvalidCommand)
        {
            // The file, or what was said about it, does not fit the server; the rest will hardly be better.
            let place = format!("{}:{}: basket {}", self.file, sent.line, transaction_id(&sent.command));
            let mut message = format!("{place} is not a command that the server understands: {}", refusal.message);
            for violation in &refusal.field_violations {
                message.push_str(&format!("\n  {}: {}", violation.field, violation.description));
            }
            return Err(CliError::new(Exit::BadData, message));
        }
        self.tally.count(&self.file, sent, decision);
        let tally = &self.tally;
        if tally.answered_count.is_multiple_of(64) {
            let read_bytes = self.extent.read_bytes.load(Ordering::Relaxed);
            self.progress.report("Importing", read_bytes, self.extent.total_bytes, || {
                format!("{} answered", counted(tally.answered_count, "basket", "baskets"))
            });
        }
        Ok(())
    }

    fn interrupted(&mut self, why: &str) {
        if !self.has_been_interrupted {
            self.has_been_interrupted = true;
            self.progress.note(format_args!("{why}; trying again"));
        }
    }
}

/// What an import says at its end.
struct Report {
    file: String,
    tally: Tally,
    effort: Effort,
    elapsed_ms: u64,
}

impl Report {
    /// Prints the report of an import that came to its end.
    fn print(&self, out: &Output) -> Result<(), CliError> {
        let Self { tally, effort, .. } = self;
        let refused_count = tally.refused_count();
        out.line(format_args!(
            "{}: {} of {}, each answered: {} accepted, {} replayed, {} refused",
            self.file,
            counted(tally.command_count, "basket", "baskets"),
            counted(tally.row_count, "row", "rows"),
            grouped(tally.accepted_count),
            grouped(tally.replayed_count),
            grouped(refused_count),
        ))?;
        for (code, count) in &tally.refused {
            out.line(format_args!("  refused {code}: {}", grouped(*count)))?;
        }
        for shown in &tally.shown_refusals {
            out.line(format_args!("  {shown}"))?;
        }
        if refused_count > 0 {
            out.line("  `tallystick errors show NAME` says what each refusal means and what to do")?;
        }
        let per_second = tally.answered_count.saturating_mul(1_000).checked_div(self.elapsed_ms);
        out.line(format_args!(
            "{}.{:03} s, {} baskets a second; {} sent in all, {} broken, {} put off",
            self.elapsed_ms / 1_000,
            self.elapsed_ms % 1_000,
            per_second.map_or_else(|| "very many".to_owned(), grouped),
            grouped(effort.sent_count),
            counted(effort.broken_count, "connection", "connections"),
            grouped(effort.put_off_count),
        ))?;
        out.object(&json!({
            "file": self.file,
            "row_count": tally.row_count,
            "command_count": tally.command_count,
            "answered_count": tally.answered_count,
            "accepted_count": tally.accepted_count,
            "replayed_count": tally.replayed_count,
            "refused_count": refused_count,
            "refused": tally.refused,
            "sent_count": effort.sent_count,
            "broken_connection_count": effort.broken_count,
            "put_off_count": effort.put_off_count,
            "elapsed_ms": self.elapsed_ms,
        }))?;
        if refused_count > 0 { Err(CliError::reported(Exit::Problems)) } else { Ok(()) }
    }

    /// An error with how far the import had come.
    fn explain(&self, error: CliError) -> CliError {
        let answered = counted(self.tally.answered_count, "basket", "baskets");
        let how_far = format!("{answered} had been answered; start the same import again to go on");
        let hint = error.hint_text().map_or_else(|| how_far.clone(), |hint| format!("{hint}; {how_far}"));
        error.hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::wire::{AccrueRequest, Refusal};

    fn outgoing() -> Outgoing {
        let request = AccrueRequest { transaction_id: "7".to_owned(), ..AccrueRequest::default() };
        Outgoing { line: 2, row_count: 1, command: Command { command: Some(command::Command::Accrue(request)) } }
    }

    #[test]
    fn every_answer_is_counted_once() {
        let mut tally = Tally::default();
        let refused = |code: i32| Decision {
            refusal: Some(Refusal { code, message: "No.".to_owned(), ..Refusal::default() }),
            ..Decision::default()
        };
        let late = i32::from(RefusalCode::ReceiptTooOld);
        let decisions = [
            Decision::default(),
            Decision { replayed: true, ..Decision::default() },
            Decision { replayed: true, ..refused(late) },
            refused(late),
            refused(4_711),
        ];
        for decision in &decisions {
            tally.count("b.csv", &outgoing(), decision);
        }
        assert_eq!((tally.accepted_count, tally.replayed_count, tally.refused_count()), (1, 1, 3));
        assert_eq!(tally.answered_count, 5);
        let expected = BTreeMap::from([("RECEIPT_TOO_OLD".to_owned(), 2), ("REFUSAL_CODE_4711".to_owned(), 1)]);
        assert_eq!(tally.refused, expected);
        assert_eq!(tally.shown_refusals[0], "b.csv:2: basket 7: RECEIPT_TOO_OLD: No.");
    }
}
