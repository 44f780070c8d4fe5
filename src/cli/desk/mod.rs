//! `tallystick desk`: what a service desk does while the customer waits: look, pay with points, take back.
//!
//! What must stay true: a command that is refused changes nothing and ends with an exit status of its own; the same
//! transaction id takes effect once, so that a command whose answer was lost is simply sent again.

mod cards;
mod moves;
mod reads;
mod rewards;

use clap::Subcommand;

use self::moves::{AuthorizeArgs, CaptureArgs, RedeemArgs, ReverseArgs, TopUpArgs, VoidArgs};
use self::reads::{BalanceArgs, StatementArgs, TransactionArgs};
use self::rewards::RewardsArgs;
use super::error::CliError;
use super::output::Output;
use crate::service::wire::AccountIdentifier;

/// Serves a customer by hand: balances, statements, payments with points, returns
#[derive(Debug, clap::Args)]
pub struct DeskArgs {
    #[command(subcommand)]
    what: DeskWhat,
}

#[derive(Debug, Subcommand)]
enum DeskWhat {
    /// Say what an account has, what can be spent of it, what dies next, and its stamp cards and vouchers
    Balance(BalanceArgs),
    /// List what there is to have for points, and on demand what an account lacks for it
    Rewards(RewardsArgs),
    /// List what happened to an account, newest first
    Statement(StatementArgs),
    /// Show one transaction, and on demand what else happened to it and to its points
    Transaction(TransactionArgs),
    /// Burn points
    Redeem(RedeemArgs),
    /// Take money in, to a wallet that holds money
    TopUp(TopUpArgs),
    /// Set points aside for a payment that follows
    Authorize(AuthorizeArgs),
    /// Burn points that were set aside
    Capture(CaptureArgs),
    /// Give back points that were set aside
    Void(VoidArgs),
    /// Take a transaction back, or some lines of it
    Reverse(ReverseArgs),
}

/// Whose account it is.
#[derive(Debug, clap::Args)]
struct WhoArgs {
    /// The account's id; with --by, something that points to the account
    #[arg(value_name = "ACCOUNT")]
    who: String,
    /// ACCOUNT is not the id, but an identifier of this kind, such as card or email
    #[arg(long, value_name = "KIND")]
    by: Option<String>,
}

impl WhoArgs {
    /// The account's id, or else what points to the account.
    fn to_wire(&self) -> (String, Option<AccountIdentifier>) {
        match &self.by {
            None => (self.who.clone(), None),
            Some(kind) => (String::new(), Some(AccountIdentifier { kind: kind.clone(), value: self.who.clone() })),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// When the server cannot be used, or refuses.
pub fn run(args: DeskArgs, out: &Output) -> Result<(), CliError> {
    match args.what {
        DeskWhat::Balance(args) => reads::balance(&args, out),
        DeskWhat::Rewards(args) => rewards::list(&args, out),
        DeskWhat::Statement(args) => reads::statement(&args, out),
        DeskWhat::Transaction(args) => reads::transaction(&args, out),
        DeskWhat::Redeem(args) => moves::redeem(args, out),
        DeskWhat::TopUp(args) => moves::top_up(args, out),
        DeskWhat::Authorize(args) => moves::authorize(args, out),
        DeskWhat::Capture(args) => moves::capture(args, out),
        DeskWhat::Void(args) => moves::void(args, out),
        DeskWhat::Reverse(args) => moves::reverse(args, out),
    }
}
