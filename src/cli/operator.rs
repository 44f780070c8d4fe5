//! `tallystick operator`: what people decide by hand, with who did it and why.
//!
//! What must stay true: a command that is refused changes nothing and ends with an exit status of its own; the same
//! transaction id takes effect once, so that a command whose answer was lost is simply sent again.

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::{Server, ServerArgs, call, parse_time, runtime, shown_time, to_wire};
use super::decision::{answered, decide, derived_id, say};
use super::error::CliError;
use super::fraud::{self, FreezeArgs, FreezesArgs, ReceiptsArgs, VelocityArgs};
use super::output::{Output, grouped};
use super::proposals::say_pending;
use crate::service::wire::{
    AdjustBalanceRequest, CancelVoucherRequest, HeldTransaction, IssueVoucherRequest, ListHeldRequest,
    RejectHeldRequest, ReleaseHeldRequest, Remark, RestoreExpiredRequest,
};

/// Entries of a page that is asked for.
const PAGE_SIZE: i32 = 500;

/// Decides by hand: what caps hold for review, points that died, balances, freezes
#[derive(Debug, clap::Args)]
pub struct OperatorArgs {
    #[command(subcommand)]
    what: OperatorWhat,
}

#[derive(Debug, Subcommand)]
enum OperatorWhat {
    /// List the transactions whose points caps hold for review
    List(ListArgs),
    /// Release what is held of a transaction: its points can be spent
    Release(ReviewArgs),
    /// Reject what is held of a transaction: its points are taken back, its receipt stays used
    Reject(ReviewArgs),
    /// Bring back points whose expiry is posted, until a new time
    Unexpire(UnexpireArgs),
    /// Grant points without a purchase, or take some
    Adjust(AdjustArgs),
    /// Give an account a voucher of the programme
    GiveVoucher(GiveVoucherArgs),
    /// Cancel a voucher that nobody has used
    CancelVoucher(CancelVoucherArgs),
    /// Freeze an account, a terminal or a cashier: it earns and burns nothing from now on
    Freeze(FreezeArgs),
    /// End a freeze
    Thaw(FreezeArgs),
    /// List what is frozen
    Freezes(FreezesArgs),
    /// List receipts that were presented again after they had earned
    Receipts(ReceiptsArgs),
    /// List what earned nothing because a velocity cap had no room for it
    Velocity(VelocityArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Only what is held of this account
    #[arg(long, value_name = "ID")]
    account: Option<String>,
}

/// Who decides, and why.
#[derive(Debug, clap::Args)]
struct RemarkArgs {
    /// A code of your own list, such as `fraud-cleared`
    #[arg(long, value_name = "CODE")]
    reason: String,
    /// A sentence that stays on record
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    /// Who decides, for people; the credential is on record in any case
    #[arg(long, value_name = "NAME", env = "TALLYSTICK_OPERATOR", default_value = "")]
    operator: String,
    /// When it counts as posted; only for a data directory whose clock is its input
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    posting_time: Option<jiff::Timestamp>,
}

#[derive(Debug, clap::Args)]
struct ReviewArgs {
    /// The transaction that is held
    transaction: String,
    #[command(flatten)]
    remark: RemarkArgs,
    #[command(flatten)]
    server: ServerArgs,
    /// The id of this command; the same id takes effect once. Made from the transaction if not given
    #[arg(long, value_name = "ID")]
    transaction_id: Option<String>,
}

#[derive(Debug, clap::Args)]
struct UnexpireArgs {
    /// The account
    account: String,
    /// The transaction with which the expiry was posted
    #[arg(long, value_name = "ID", required_unless_present = "position", conflicts_with = "position")]
    transaction: Option<String>,
    /// The position of the record that posted the expiry, as the account's statement says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    position: Option<i64>,
    /// When the points die instead, such as 2027-01-01T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: jiff::Timestamp,
    #[command(flatten)]
    remark: RemarkArgs,
    #[command(flatten)]
    server: ServerArgs,
    /// The id of this command; the same id takes effect once. Made from what came to its end if not given
    #[arg(long, value_name = "ID")]
    transaction_id: Option<String>,
}

#[derive(Debug, clap::Args)]
struct AdjustArgs {
    /// The account
    account: String,
    /// How many points to grant, or below 0 to take
    #[arg(allow_negative_numbers = true)]
    points: i64,
    /// The wallet; the first of the programme if not given
    #[arg(long, value_name = "NAME", default_value = "")]
    wallet: String,
    /// When granted points die; as if they were earned now if not given
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<jiff::Timestamp>,
    #[command(flatten)]
    remark: RemarkArgs,
    #[command(flatten)]
    server: ServerArgs,
    /// The id of this command; the same id takes effect once
    #[arg(long, value_name = "ID")]
    transaction_id: String,
}

#[derive(Debug, clap::Args)]
struct GiveVoucherArgs {
    /// The account
    account: String,
    /// The voucher's name in the programme in force
    voucher: String,
    #[command(flatten)]
    remark: RemarkArgs,
    #[command(flatten)]
    server: ServerArgs,
    /// The id of this command; the same id takes effect once
    #[arg(long, value_name = "ID")]
    transaction_id: String,
}

#[derive(Debug, clap::Args)]
struct CancelVoucherArgs {
    /// The account
    account: String,
    /// The voucher's code
    code: String,
    #[command(flatten)]
    remark: RemarkArgs,
    #[command(flatten)]
    server: ServerArgs,
    /// The id of this command; the same id takes effect once. Made from the code if not given
    #[arg(long, value_name = "ID")]
    transaction_id: Option<String>,
}

impl RemarkArgs {
    fn to_wire(&self) -> Option<Remark> {
        let Self { reason, note, operator, .. } = self;
        let (reason_code, note, operator) = (reason.clone(), note.clone(), operator.clone());
        Some(Remark { reason_code, note, operator, ..Remark::default() })
    }
}

/// Runs the command.
///
/// # Errors
/// When the server cannot be used, or refuses.
pub fn run(args: OperatorArgs, out: &Output) -> Result<(), CliError> {
    match args.what {
        OperatorWhat::List(args) => list(&args, out),
        OperatorWhat::Release(args) => {
            let request = ReleaseHeldRequest {
                transaction_id: args.transaction_id.unwrap_or_else(|| derived_id("release", &args.transaction)),
                original_transaction_id: args.transaction,
                remark: args.remark.to_wire(),
                posting_time: args.remark.posting_time.map(to_wire),
            };
            decide(&args.server, "the release", out, async move |server| {
                let answer = server.connect().await?.operator.release_held(call(request)).await;
                answered(&server, "the release", answer.map(|answer| answer.into_inner().decision))
            })
        }
        OperatorWhat::Reject(args) => {
            let request = RejectHeldRequest {
                transaction_id: args.transaction_id.unwrap_or_else(|| derived_id("reject", &args.transaction)),
                original_transaction_id: args.transaction,
                remark: args.remark.to_wire(),
                posting_time: args.remark.posting_time.map(to_wire),
            };
            decide(&args.server, "the rejection", out, async move |server| {
                let answer = server.connect().await?.operator.reject_held(call(request)).await;
                answered(&server, "the rejection", answer.map(|answer| answer.into_inner().decision))
            })
        }
        OperatorWhat::Unexpire(args) => unexpire(args, out),
        OperatorWhat::Freeze(args) => fraud::change(&args, true, out),
        OperatorWhat::Thaw(args) => fraud::change(&args, false, out),
        OperatorWhat::Freezes(args) => fraud::freezes(&args, out),
        OperatorWhat::Receipts(args) => fraud::receipts(&args, out),
        OperatorWhat::Velocity(args) => fraud::velocity(&args, out),
        OperatorWhat::Adjust(args) => {
            let request = AdjustBalanceRequest {
                transaction_id: args.transaction_id,
                account_id: args.account,
                wallet: args.wallet,
                points: args.points,
                expire_time: args.until.map(to_wire),
                remark: args.remark.to_wire(),
                posting_time: args.remark.posting_time.map(to_wire),
            };
            adjust(&args.server, request, out)
        }
        OperatorWhat::GiveVoucher(args) => give_voucher(args, out),
        OperatorWhat::CancelVoucher(args) => cancel_voucher(args, out),
    }
}

fn adjust(args: &ServerArgs, request: AdjustBalanceRequest, out: &Output) -> Result<(), CliError> {
    let what = "the adjustment";
    let server = Server::new(args)?;
    let answer = runtime()?.block_on(async {
        let answer = server.connect().await?.operator.adjust_balance(call(request)).await;
        answer.map(tonic::Response::into_inner).map_err(|status| server.failure(what, &status))
    })?;
    if say_pending(answer.pending.as_ref(), out)? {
        return Ok(());
    }
    say(&answered(&server, what, Ok(answer.decision))?, what, out)
}

fn give_voucher(args: GiveVoucherArgs, out: &Output) -> Result<(), CliError> {
    let request = IssueVoucherRequest {
        transaction_id: args.transaction_id,
        account_id: args.account,
        voucher: args.voucher,
        remark: args.remark.to_wire(),
        posting_time: args.remark.posting_time.map(to_wire),
    };
    let what = "the voucher";
    let server = Server::new(&args.server)?;
    let answer = runtime()?.block_on(async {
        let answer = server.connect().await?.operator.issue_voucher(call(request)).await;
        answer.map(tonic::Response::into_inner).map_err(|status| server.failure(what, &status))
    })?;
    if say_pending(answer.pending.as_ref(), out)? {
        return Ok(());
    }
    say(&answered(&server, what, Ok(answer.decision))?, what, out)
}

fn cancel_voucher(args: CancelVoucherArgs, out: &Output) -> Result<(), CliError> {
    let request = CancelVoucherRequest {
        transaction_id: args.transaction_id.unwrap_or_else(|| derived_id("cancel-voucher", &args.code)),
        account_id: args.account,
        voucher_code: args.code,
        remark: args.remark.to_wire(),
        posting_time: args.remark.posting_time.map(to_wire),
    };
    decide(&args.server, "the cancellation", out, async move |server| {
        let answer = server.connect().await?.operator.cancel_voucher(call(request)).await;
        answered(&server, "the cancellation", answer.map(|answer| answer.into_inner().decision))
    })
}

fn unexpire(args: UnexpireArgs, out: &Output) -> Result<(), CliError> {
    let of = args.transaction.clone().or(args.position.map(|position| position.to_string())).unwrap_or_default();
    let request = RestoreExpiredRequest {
        transaction_id: args.transaction_id.unwrap_or_else(|| derived_id("unexpire", &of)),
        account_id: args.account,
        expired_transaction_id: args.transaction.unwrap_or_default(),
        expired_position: args.position,
        expire_time: Some(to_wire(args.until)),
        remark: args.remark.to_wire(),
        posting_time: args.remark.posting_time.map(to_wire),
    };
    decide(&args.server, "the restoration", out, async move |server| {
        let answer = server.connect().await?.operator.restore_expired(call(request)).await;
        answered(&server, "the restoration", answer.map(|answer| answer.into_inner().decision))
    })
}

fn list(args: &ListArgs, out: &Output) -> Result<(), CliError> {
    let server = Server::new(&args.server)?;
    let held = runtime()?.block_on(all_held(&server, args.account.as_deref().unwrap_or_default()))?;
    for one in &held {
        let since = shown_time(one.hold_time.as_ref()).unwrap_or_default();
        out.line(format_args!(
            "{} of {}  account {}  {} {}  held by {} since {since}",
            one.transaction_id,
            one.partner,
            one.account_id,
            grouped(one.points),
            one.wallet,
            one.cap,
        ))?;
    }
    if held.is_empty() {
        out.line("nothing is held for review")?;
    }
    out.object(&json!({ "held": held.iter().map(as_json).collect::<Vec<_>>() }))
}

async fn all_held(server: &Server, account_id: &str) -> Result<Vec<HeldTransaction>, CliError> {
    let mut clients = server.connect().await?;
    let mut held = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListHeldRequest { account_id: account_id.to_owned(), page_size: PAGE_SIZE, page_token };
        let response = clients.operator.list_held(call(request)).await;
        let page = response.map_err(|status| server.failure("listing what is held", &status))?.into_inner();
        held.extend(page.held);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(held);
        }
    }
}

fn as_json(held: &HeldTransaction) -> Value {
    json!({
        "transaction_id": held.transaction_id,
        "partner": held.partner,
        "account_id": held.account_id,
        "wallet": held.wallet,
        "points": held.points,
        "cap": held.cap,
        "hold_time": shown_time(held.hold_time.as_ref()),
        "expire_time": shown_time(held.expire_time.as_ref()),
        "available_time": shown_time(held.available_time.as_ref()),
    })
}
