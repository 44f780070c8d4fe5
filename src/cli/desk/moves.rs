//! What a service desk moves.

use super::WhoArgs;
use crate::cli::client::{ServerArgs, call, parse_time, to_wire};
use crate::cli::decision::{answered, decide, derived_id};
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::service::wire::{
    AuthorizeRequest, CaptureRequest, RedeemRequest, ReturnedLine, ReverseRequest, TopUpRequest, VoidRequest,
};

/// What every command that moves points has.
#[derive(Debug, clap::Args)]
struct SendArgs {
    /// When it counts as posted; only for a data directory whose clock is its input
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    posting_time: Option<jiff::Timestamp>,
    #[command(flatten)]
    server: ServerArgs,
}

/// What is to be spent.
#[derive(Debug, clap::Args)]
struct SpendArgs {
    #[command(flatten)]
    who: WhoArgs,
    /// How many points
    #[arg(value_parser = clap::value_parser!(i64).range(1..))]
    points: i64,
    /// The wallet; the first of the programme if not given
    #[arg(long, value_name = "NAME", default_value = "")]
    wallet: String,
    /// The id of this command; the same id takes effect once
    #[arg(long, value_name = "ID")]
    transaction_id: String,
    #[command(flatten)]
    send: SendArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct RedeemArgs {
    #[command(flatten)]
    who: WhoArgs,
    /// How many points; for a reward, what it costs if it is to cost just that
    #[arg(value_parser = clap::value_parser!(i64).range(1..), required_unless_present = "reward")]
    points: Option<i64>,
    /// The wallet; the first of the programme if not given
    #[arg(long, value_name = "NAME", default_value = "", conflicts_with = "reward")]
    wallet: String,
    /// The reward that they are for, by its name in the programme
    #[arg(long, value_name = "NAME")]
    reward: Option<String>,
    /// How many of the reward; one if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..), requires = "reward")]
    quantity: Option<i64>,
    /// The id of this command; the same id takes effect once
    #[arg(long, value_name = "ID")]
    transaction_id: String,
    #[command(flatten)]
    send: SendArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct TopUpArgs {
    #[command(flatten)]
    who: WhoArgs,
    /// How much, in minor units (cents)
    #[arg(value_parser = clap::value_parser!(i64).range(1..))]
    amount: i64,
    /// What names the payment that the money came from, such as a reference of the payment provider; never a card number
    #[arg(long, value_name = "REFERENCE")]
    source: String,
    /// The wallet, one of money
    #[arg(long, value_name = "NAME")]
    wallet: String,
    /// The id of this command; the same id takes effect once
    #[arg(long, value_name = "ID")]
    transaction_id: String,
    #[command(flatten)]
    send: SendArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct AuthorizeArgs {
    #[command(flatten)]
    spend: SpendArgs,
    /// For how many seconds; as long as the programme allows if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    seconds: Option<i64>,
}

#[derive(Debug, clap::Args)]
pub(super) struct CaptureArgs {
    /// The transaction that set the points aside
    authorization: String,
    /// How many points, no more than are set aside
    #[arg(value_parser = clap::value_parser!(i64).range(1..))]
    points: i64,
    /// Nothing more will be captured: give back what is left
    #[arg(long = "final")]
    is_final: bool,
    /// The id of this command; the same id takes effect once
    #[arg(long, value_name = "ID")]
    transaction_id: String,
    #[command(flatten)]
    send: SendArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct VoidArgs {
    /// The transaction that set the points aside
    authorization: String,
    /// The id of this command; the same id takes effect once. Made from the authorization if not given
    #[arg(long, value_name = "ID")]
    transaction_id: Option<String>,
    #[command(flatten)]
    send: SendArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct ReverseArgs {
    /// The transaction to take back
    transaction: String,
    /// Only so many pieces of a line, which is numbered from 1 as on the receipt: 2=1 is one piece of the second line.
    /// Can be given several times
    #[arg(long = "line", value_name = "LINE=QUANTITY", value_parser = parse_line, requires = "transaction_id")]
    lines: Vec<(i32, i64)>,
    /// Only for so many minor units (cents), of a line that was bought without a quantity: 3=199
    #[arg(long = "line-amount", value_name = "LINE=AMOUNT", value_parser = parse_line, requires = "transaction_id")]
    line_amounts: Vec<(i32, i64)>,
    /// Only so many points, of a redemption, a capture or a top-up
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(i64).range(1..),
        requires = "transaction_id",
        conflicts_with_all = ["lines", "line_amounts"]
    )]
    points: Option<i64>,
    /// Only so many of the rewards that a redemption was for
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(i64).range(1..),
        requires = "transaction_id",
        conflicts_with_all = ["lines", "line_amounts", "points"]
    )]
    quantity: Option<i64>,
    /// The id of this command; the same id takes effect once. Made from the transaction if not given; a part of it needs
    /// one
    #[arg(long, value_name = "ID")]
    transaction_id: Option<String>,
    #[command(flatten)]
    send: SendArgs,
}

/// A line's index, from 0, and a number beside it.
fn parse_line(text: &str) -> Result<(i32, i64), String> {
    let parsed = text.split_once('=').and_then(|(line, number)| {
        let line: i32 = line.parse().ok().filter(|line| *line >= 1)?;
        Some((line - 1, number.parse().ok().filter(|number: &i64| *number >= 1)?))
    });
    parsed.ok_or_else(|| "write LINE=NUMBER, both from 1, such as 2=1".to_owned())
}

/// Burns points.
pub(super) fn redeem(args: RedeemArgs, out: &Output) -> Result<(), CliError> {
    let RedeemArgs { who, points, wallet, reward, quantity, transaction_id, send } = args;
    let (account_id, account_identifier) = who.to_wire();
    let request = RedeemRequest {
        transaction_id,
        account_id,
        account_identifier,
        wallet,
        points: points.unwrap_or_default(),
        reward: reward.unwrap_or_default(),
        quantity: quantity.unwrap_or_default(),
        posting_time: send.posting_time.map(to_wire),
        ..RedeemRequest::default()
    };
    decide(&send.server, "the redemption", out, async move |server| {
        let answer = server.connect().await?.ledger.redeem(call(request)).await;
        answered(&server, "the redemption", answer.map(|answer| answer.into_inner().decision))
    })
}

/// Takes money in.
pub(super) fn top_up(args: TopUpArgs, out: &Output) -> Result<(), CliError> {
    let TopUpArgs { who, amount, source, wallet, transaction_id, send } = args;
    let (account_id, account_identifier) = who.to_wire();
    let posting_time = send.posting_time.map(to_wire);
    let request = TopUpRequest {
        transaction_id,
        account_id,
        account_identifier,
        wallet,
        amount_minor: amount,
        source,
        posting_time,
        ..TopUpRequest::default()
    };
    decide(&send.server, "the top-up", out, async move |server| {
        let answer = server.connect().await?.ledger.top_up(call(request)).await;
        answered(&server, "the top-up", answer.map(|answer| answer.into_inner().decision))
    })
}

/// Sets points aside.
pub(super) fn authorize(args: AuthorizeArgs, out: &Output) -> Result<(), CliError> {
    let SpendArgs { who, points, wallet, transaction_id, send } = args.spend;
    let (account_id, account_identifier) = who.to_wire();
    let posting_time = send.posting_time.map(to_wire);
    let hold_seconds = args.seconds.unwrap_or_default();
    let request = AuthorizeRequest {
        transaction_id,
        account_id,
        account_identifier,
        wallet,
        points,
        posting_time,
        hold_seconds,
        ..AuthorizeRequest::default()
    };
    decide(&send.server, "the authorization", out, async move |server| {
        let answer = server.connect().await?.ledger.authorize(call(request)).await;
        answered(&server, "the authorization", answer.map(|answer| answer.into_inner().decision))
    })
}

/// Burns points that were set aside.
pub(super) fn capture(args: CaptureArgs, out: &Output) -> Result<(), CliError> {
    let request = CaptureRequest {
        transaction_id: args.transaction_id,
        authorization_transaction_id: args.authorization,
        points: args.points,
        final_capture: args.is_final,
        posting_time: args.send.posting_time.map(to_wire),
    };
    decide(&args.send.server, "the capture", out, async move |server| {
        let answer = server.connect().await?.ledger.capture(call(request)).await;
        answered(&server, "the capture", answer.map(|answer| answer.into_inner().decision))
    })
}

/// Gives back points that were set aside.
pub(super) fn void(args: VoidArgs, out: &Output) -> Result<(), CliError> {
    let request = VoidRequest {
        transaction_id: args.transaction_id.unwrap_or_else(|| derived_id("void", &args.authorization)),
        authorization_transaction_id: args.authorization,
        posting_time: args.send.posting_time.map(to_wire),
    };
    decide(&args.send.server, "the void", out, async move |server| {
        let answer = server.connect().await?.ledger.void(call(request)).await;
        answered(&server, "the void", answer.map(|answer| answer.into_inner().decision))
    })
}

/// Takes a transaction back, or a part of it.
pub(super) fn reverse(args: ReverseArgs, out: &Output) -> Result<(), CliError> {
    let pieces = args.lines.into_iter().map(|(line_index, quantity)| (line_index, quantity, 0));
    let amounts = args.line_amounts.into_iter().map(|(line_index, amount)| (line_index, 0, amount));
    let lines = pieces.chain(amounts);
    let lines = lines.map(|(line_index, quantity, amount_minor)| ReturnedLine { line_index, quantity, amount_minor });
    let request = ReverseRequest {
        quantity: args.quantity.unwrap_or_default(),
        transaction_id: args.transaction_id.unwrap_or_else(|| derived_id("reverse", &args.transaction)),
        original_transaction_id: args.transaction,
        lines: lines.collect(),
        points: args.points.unwrap_or_default(),
        posting_time: args.send.posting_time.map(to_wire),
    };
    decide(&args.send.server, "the reversal", out, async move |server| {
        let answer = server.connect().await?.ledger.reverse(call(request)).await;
        answered(&server, "the reversal", answer.map(|answer| answer.into_inner().decision))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_as_on_the_receipt() {
        assert_eq!(parse_line("1=1"), Ok((0, 1)));
        assert_eq!(parse_line("12=199"), Ok((11, 199)));
        for wrong in ["", "1", "=1", "0=1", "1=0", "1=-1", "-1=1", "1=1=1", "a=1"] {
            assert!(parse_line(wrong).is_err(), "{wrong}");
        }
    }
}
