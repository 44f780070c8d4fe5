//! `tallystick settlement`: what partners have issued and taken, and how far budgets are used.
//!
//! What must stay true: a server and the data directory that it leaves behind give the same report of the same position.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::{LONG_CALL_TIMEOUT, Server, ServerArgs, Turn, call, call_within, runtime, shown_time};
use super::error::{CliError, Exit};
use super::export::offline;
use super::output::{Output, Progress, Style, counted, grouped};
use crate::audit::settlement::settle;
use crate::journal::Journal;
use crate::ledger::types::Position;
use crate::service::wire::{
    BudgetStanding, BurnedPoints, GetSettlementReportRequest, GetSettlementReportResponse, ListBudgetsRequest,
    PartnerStanding,
};
use crate::service::wire_report;

/// Says how partners stand
#[derive(Debug, clap::Args)]
pub struct SettlementArgs {
    #[command(subcommand)]
    what: SettlementWhat,
}

#[derive(Debug, Subcommand)]
enum SettlementWhat {
    /// What each partner has issued of each wallet and what became of it, and who burned whose points
    ///
    /// The figures are of one position of the journal, over all accounts. A partner's back office is told of its own
    /// partner.
    Report(ReportArgs),
    /// The budgets of the programme in force, and which of their warning levels are reached
    Budgets(BudgetsArgs),
}

#[derive(Debug, clap::Args)]
struct ReportArgs {
    /// Count everything up to this position, and nothing after it; all that is durable if not given
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(i64).range(0..))]
    at: Option<i64>,
    #[command(flatten)]
    server: ServerArgs,
    /// Read this data directory, whose server is not running, instead of asking a server
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct BudgetsArgs {
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs the command.
///
/// # Errors
/// When the server or the directory cannot be used.
pub fn run(args: SettlementArgs, out: &Output) -> Result<(), CliError> {
    match args.what {
        SettlementWhat::Report(args) => {
            let report = match &args.data {
                Some(data) => read(data, args.at, out)?,
                None => runtime()?.block_on(ask(&Server::new(&args.server)?, args.at, &mut out.progress()))?,
            };
            print_report(&report, out)?;
            out.object(&report_as_json(&report))
        }
        SettlementWhat::Budgets(args) => budgets(&args, out),
    }
}

async fn ask(
    server: &Server,
    at: Option<i64>,
    progress: &mut Progress,
) -> Result<GetSettlementReportResponse, CliError> {
    let mut clients = server.connect().await?;
    let mut turn = Turn::default();
    loop {
        let request = call_within(LONG_CALL_TIMEOUT, GetSettlementReportRequest { position: at });
        match clients.settlement.get_settlement_report(request).await {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(status) => {
                if !turn.is_awaited(&status, progress).await {
                    return Err(server.failure("the settlement report", &status));
                }
            }
        }
    }
}

/// Adds up the journal of a directory that no server uses.
fn read(data: &Path, at: Option<i64>, out: &Output) -> Result<GetSettlementReportResponse, CliError> {
    let opened = offline::open(data)?;
    let (durable, _) = opened.journal.end()?;
    let end = at.and_then(|at| u64::try_from(at).ok()?.checked_add(1)).map(Position);
    if end.is_some_and(|end| end > durable) {
        let message = format!("position {} is not in the journal, which ends before {durable}", at.unwrap_or_default());
        return Err(CliError::new(Exit::BadData, message));
    }
    let mut progress = out.progress();
    let settled = settle(&opened.journal, opened.identity.shard_count, end, &mut |reached, goal| {
        progress.report("Adding up", reached.0, goal.0, || counted(reached.0, "record", "records"));
        ControlFlow::Continue(())
    })?;
    let (settlement, world) = settled.expect("it is never broken off above");
    let program = world.programs.latest().cloned();
    Ok(wire_report(&settlement, &world.dictionary, program.as_deref(), None))
}

fn print_report(report: &GetSettlementReportResponse, out: &Output) -> Result<(), CliError> {
    let at = report.position.map_or_else(|| "nothing is on record".to_owned(), |at| format!("at position {at}"));
    let posted = shown_time(report.posting_time.as_ref()).map_or_else(String::new, |time| format!(", posted {time}"));
    out.line(out.paint(Style::Bold, &format!("{at}{posted}")))?;
    for standing in &report.standings {
        let PartnerStanding { issued_points, reversed_points, burned_points, expired_points, .. } = *standing;
        let kept = kept(standing.pending_points, standing.held_points);
        let paid = match standing.issued_amount_bps {
            0 => String::new(),
            amount => format!("; pays {} minor units", whole_units(amount)),
        };
        out.line(format_args!(
            "{} {}: {} issued, {} reversed, {} burned, {} expired, {} outstanding{kept}{paid}",
            standing.partner,
            standing.wallet,
            grouped(issued_points),
            grouped(reversed_points),
            grouped(burned_points),
            grouped(expired_points),
            grouped(standing.outstanding_points),
        ))?;
    }
    for burned in &report.burns {
        let BurnedPoints { acceptor, issuer, wallet, burned_points, redemption_amount_bps } = burned;
        let received = match redemption_amount_bps {
            0 => String::new(),
            amount => format!("; receives {} minor units", whole_units(*amount)),
        };
        out.line(format_args!("{acceptor} burned {} {wallet} of {issuer}{received}", grouped(*burned_points)))?;
    }
    Ok(())
}

/// What of the outstanding points cannot be spent: what waits for its time, and what waits for an operator.
fn kept(pending: i64, held: i64) -> String {
    let parts = [(pending - held, "pending"), (held, "held for review")];
    let parts = parts.into_iter().filter(|(points, _)| *points != 0);
    let parts: Vec<String> = parts.map(|(points, what)| format!("{} {what}", grouped(points))).collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

/// Basis points of a minor unit as minor units, with as many decimals as it takes.
fn whole_units(amount_bps: i64) -> String {
    let (whole, rest) = (amount_bps / 10_000, amount_bps % 10_000);
    let decimals = format!("{rest:04}");
    let decimals = decimals.trim_end_matches('0');
    if decimals.is_empty() { grouped(whole) } else { format!("{}.{decimals}", grouped(whole)) }
}

fn report_as_json(report: &GetSettlementReportResponse) -> Value {
    let standing = |standing: &PartnerStanding| {
        json!({
            "partner": standing.partner,
            "wallet": standing.wallet,
            "issued_points": standing.issued_points,
            "reversed_points": standing.reversed_points,
            "burned_points": standing.burned_points,
            "expired_points": standing.expired_points,
            "outstanding_points": standing.outstanding_points,
            "pending_points": standing.pending_points,
            "held_points": standing.held_points,
            "issued_amount_bps": standing.issued_amount_bps,
            "reversed_amount_bps": standing.reversed_amount_bps,
            "burned_amount_bps": standing.burned_amount_bps,
            "expired_amount_bps": standing.expired_amount_bps,
        })
    };
    let burned = |burned: &BurnedPoints| {
        json!({
            "acceptor": burned.acceptor,
            "issuer": burned.issuer,
            "wallet": burned.wallet,
            "burned_points": burned.burned_points,
            "redemption_amount_bps": burned.redemption_amount_bps,
        })
    };
    json!({
        "position": report.position,
        "posting_time": shown_time(report.posting_time.as_ref()),
        "standings": report.standings.iter().map(standing).collect::<Vec<_>>(),
        "burns": report.burns.iter().map(burned).collect::<Vec<_>>(),
    })
}

fn budgets(args: &BudgetsArgs, out: &Output) -> Result<(), CliError> {
    let server = Server::new(&args.server)?;
    let listed = runtime()?.block_on(async {
        let mut clients = server.connect().await?;
        let answer = clients.settlement.list_budgets(call(ListBudgetsRequest {})).await;
        answer.map(tonic::Response::into_inner).map_err(|status| server.failure("the list of budgets", &status))
    })?;
    if listed.budgets.is_empty() {
        out.line("the programme in force has no budget")?;
    }
    for budget in &listed.budgets {
        let whose = if budget.partner.is_empty() { String::new() } else { format!(" of {}", budget.partner) };
        let reached = budget.warnings.iter().rev().find(|warning| warning.reached);
        let warning = reached.map_or_else(String::new, |warning| {
            let style = if warning.percent == 100 { Style::Bad } else { Style::Bold };
            out.paint(style, &format!(", which is {} % or more", warning.percent))
        });
        let (used, limit) = (grouped(budget.used_points), grouped(budget.limit_points));
        out.line(format_args!("{}{whose}: {used} of {limit} used{warning}", budget.name))?;
    }
    let as_json = |budget: &BudgetStanding| {
        let warnings = budget.warnings.iter().map(|warning| {
            json!({
                "percent": warning.percent,
                "reached": warning.reached,
                "crossing_count": warning.crossing_count,
            })
        });
        json!({
            "name": budget.name,
            "partner": budget.partner,
            "limit_points": budget.limit_points,
            "used_points": budget.used_points,
            "warnings": warnings.collect::<Vec<_>>(),
        })
    };
    out.object(&json!({
        "program_version": listed.program_version,
        "budgets": listed.budgets.iter().map(as_json).collect::<Vec<_>>(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_spent_is_told_only_where_there_is_any() {
        let rows = [
            ((0, 0), ""),
            ((1_500, 0), " (1,500 pending)"),
            ((20, 20), " (20 held for review)"),
            ((25, 20), " (5 pending, 20 held for review)"),
        ];
        for ((pending, held), said) in rows {
            assert_eq!(kept(pending, held), said);
        }
    }

    #[test]
    fn amounts_have_the_decimals_that_they_take() {
        for (amount, shown) in [(0, "0"), (10_000, "1"), (12_500_000, "1,250"), (25, "0.0025"), (15_500, "1.55")] {
            assert_eq!(whole_units(amount), shown);
        }
    }
}
