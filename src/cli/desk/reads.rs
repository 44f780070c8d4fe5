//! What a service desk looks up.

use serde_json::{Value, json};

use super::{WhoArgs, cards};
use crate::cli::client::{Clients, Server, ServerArgs, call, parse_time, runtime, shown_time, to_wire};
use crate::cli::decision::{as_json, moved};
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Output, Style, grouped};
use crate::service::wire::{
    Basket, GetBalanceRequest, GetBalanceResponse, GetTransactionRequest, ListRelatedTransactionsRequest,
    ListTransactionsRequest, RelatedTransaction, Transaction, TransactionKind, WalletBalance,
};

/// Entries of a page that is asked for.
const PAGE_SIZE: i32 = 500;
/// Transactions that are listed if no number is given.
const LISTED_DEFAULT: usize = 50;

#[derive(Debug, clap::Args)]
pub(super) struct BalanceArgs {
    #[command(flatten)]
    who: WhoArgs,
    /// Only this wallet, without cards and vouchers
    #[arg(long, value_name = "NAME", default_value = "")]
    wallet: String,
    /// Say when which points die, too
    #[arg(long)]
    lots: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct StatementArgs {
    #[command(flatten)]
    who: WhoArgs,
    /// Only what was posted at or after this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: Option<jiff::Timestamp>,
    /// Only what was posted before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<jiff::Timestamp>,
    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value_t = LISTED_DEFAULT)]
    limit: usize,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct TransactionArgs {
    /// The transaction, of the partner that the key acts for
    transaction: String,
    /// List what else happened to it and to its points: returns, captures, reviews, and whatever earned, burned or set
    /// aside points of the same lots, or let them die
    #[arg(long)]
    related: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Says what an account has.
pub(super) fn balance(args: &BalanceArgs, out: &Output) -> Result<(), CliError> {
    let server = Server::new(&args.server)?;
    let (account_id, account_identifier) = args.who.to_wire();
    let request = GetBalanceRequest { account_id, account_identifier, wallet: args.wallet.clone(), lots: args.lots };
    let (balance, account) = runtime()?.block_on(async {
        let mut clients = server.connect().await?;
        let answer = clients.ledger.get_balance(call(request)).await;
        let balance = answer.map_err(|status| server.failure("the balance", &status))?.into_inner();
        let account = match args.wallet.as_str() {
            "" => cards::read(&server, &mut clients, &balance.account_id).await?,
            _ => None,
        };
        Ok::<_, CliError>((balance, account))
    })?;
    for wallet in &balance.wallets {
        say_wallet(wallet, out)?;
    }
    let mut value = balance_json(&balance);
    if let Some(account) = &account {
        cards::say(account, out)?;
        value["stamps"] = cards::stamps_json(account);
        value["vouchers"] = cards::vouchers_json(account);
    }
    out.object(&value)
}

fn say_wallet(wallet: &WalletBalance, out: &Output) -> Result<(), CliError> {
    let spendable = grouped(wallet.available_points);
    let name = &wallet.wallet;
    let balance = grouped(wallet.balance_points);
    out.line(out.paint(Style::Bold, &format!("{balance} {name}, of which {spendable} can be spent now")))?;
    let parts = [
        (wallet.pending_points - wallet.held_points, "cannot be spent yet"),
        (wallet.held_points, "held for review"),
        (wallet.set_aside_points, "set aside for payments"),
        (wallet.owed_points, "owed to later earnings"),
    ];
    for (points, what) in parts.into_iter().filter(|(points, _)| *points != 0) {
        out.line(format_args!("  {} {what}", grouped(points)))?;
    }
    if let Some(time) = shown_time(wallet.expiring_time.as_ref()) {
        out.line(format_args!("  {} die at {time}", grouped(wallet.expiring_points)))?;
    }
    for lot in &wallet.lots {
        let ends = shown_time(lot.expire_time.as_ref()).map_or("for ever".to_owned(), |time| format!("until {time}"));
        let begins = shown_time(lot.available_time.as_ref()).map_or(String::new(), |time| format!(", from {time}"));
        let held = if lot.held { ", held for review" } else { "" };
        out.line(format_args!("  lot of {} by {} {ends}{begins}{held}", grouped(lot.points), lot.issuer))?;
    }
    Ok(())
}

fn balance_json(balance: &GetBalanceResponse) -> Value {
    let lots = |wallet: &WalletBalance| -> Vec<Value> {
        let lot = wallet.lots.iter().map(|lot| {
            json!({
                "points": lot.points,
                "issuer": lot.issuer,
                "expire_time": shown_time(lot.expire_time.as_ref()),
                "available_time": shown_time(lot.available_time.as_ref()),
                "held": lot.held,
            })
        });
        lot.collect()
    };
    let wallets = balance.wallets.iter().map(|wallet| {
        json!({
            "wallet": wallet.wallet,
            "balance_points": wallet.balance_points,
            "available_points": wallet.available_points,
            "pending_points": wallet.pending_points,
            "held_points": wallet.held_points,
            "set_aside_points": wallet.set_aside_points,
            "owed_points": wallet.owed_points,
            "expiring_points": wallet.expiring_points,
            "expiring_time": shown_time(wallet.expiring_time.as_ref()),
            "granted_points": wallet.granted_points,
            "reversed_points": wallet.reversed_points,
            "redeemed_points": wallet.redeemed_points,
            "expired_points": wallet.expired_points,
            "clipped_points": wallet.clipped_points,
            "lots": lots(wallet),
        })
    });
    json!({
        "account_id": balance.account_id,
        "read_time": shown_time(balance.read_time.as_ref()),
        "program_version": balance.program_version,
        "position": balance.position,
        "wallets": wallets.collect::<Vec<_>>(),
    })
}

/// Lists what happened to an account.
pub(super) fn statement(args: &StatementArgs, out: &Output) -> Result<(), CliError> {
    let server = Server::new(&args.server)?;
    let (listed, is_all) = runtime()?.block_on(async {
        let mut clients = server.connect().await?;
        listed(&server, &mut clients, args).await
    })?;
    for transaction in &listed {
        out.line(one_line(transaction))?;
    }
    if !is_all {
        out.note(format_args!("there are older ones: give a larger --limit, or --until an earlier time"));
    } else if listed.is_empty() {
        out.line("nothing happened")?;
    }
    let transactions: Vec<Value> = listed.iter().map(transaction_json).collect();
    out.object(&json!({ "transactions": transactions, "complete": is_all }))
}

/// The transactions asked for, and whether there are no older ones.
async fn listed(
    server: &Server,
    clients: &mut Clients,
    args: &StatementArgs,
) -> Result<(Vec<Transaction>, bool), CliError> {
    let (account_id, account_identifier) = args.who.to_wire();
    let mut listed: Vec<Transaction> = Vec::new();
    let mut page_token = String::new();
    loop {
        let missing = args.limit.saturating_sub(listed.len());
        let request = ListTransactionsRequest {
            account_id: account_id.clone(),
            account_identifier: account_identifier.clone(),
            page_size: i32::try_from(missing).map_or(PAGE_SIZE, |missing| missing.clamp(1, PAGE_SIZE)),
            page_token,
            start_time: args.from.map(to_wire),
            end_time: args.until.map(to_wire),
        };
        let page = clients.ledger.list_transactions(call(request)).await;
        let page = page.map_err(|status| server.failure("the statement", &status))?.into_inner();
        listed.extend(page.transactions);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            let is_all = listed.len() <= args.limit;
            listed.truncate(args.limit);
            return Ok((listed, is_all));
        }
        if listed.len() >= args.limit {
            listed.truncate(args.limit);
            return Ok((listed, false));
        }
    }
}

/// Shows one transaction.
pub(super) fn transaction(args: &TransactionArgs, out: &Output) -> Result<(), CliError> {
    let server = Server::new(&args.server)?;
    let (transaction, related) = runtime()?.block_on(async {
        let mut clients = server.connect().await?;
        let request = GetTransactionRequest { transaction_id: args.transaction.clone() };
        let answer = clients.ledger.get_transaction(call(request)).await;
        let answer = answer.map_err(|status| server.failure("the transaction", &status))?.into_inner();
        let transaction = answer.transaction.ok_or_else(|| {
            CliError::new(Exit::Unavailable, "the transaction: the server answered without one".to_owned())
        })?;
        let related = if args.related { related(&server, &mut clients, &args.transaction).await? } else { Vec::new() };
        Ok::<_, CliError>((transaction, related))
    })?;
    out.line(one_line(&transaction))?;
    for (index, line) in transaction.basket.iter().flat_map(|basket| &basket.lines).enumerate() {
        let quantity = if line.quantity > 0 { format!("{} × ", grouped(line.quantity)) } else { String::new() };
        let number = index + 1;
        out.line(format_args!("  line {number}: {quantity}{} for {}", line.sku, grouped(line.amount_minor)))?;
    }
    for one in &related {
        let Some(other) = &one.transaction else { continue };
        out.line(format_args!("  {}: {}", relation_name(one), one_line(other)))?;
    }
    let mut value = transaction_json(&transaction);
    if args.related {
        value["related"] = related.iter().map(related_json).collect();
    }
    out.object(&value)
}

async fn related(server: &Server, clients: &mut Clients, id: &str) -> Result<Vec<RelatedTransaction>, CliError> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request =
            ListRelatedTransactionsRequest { transaction_id: id.to_owned(), page_size: PAGE_SIZE, page_token };
        let page = clients.ledger.list_related_transactions(call(request)).await;
        let page = page.map_err(|status| server.failure("what else happened", &status))?.into_inner();
        all.extend(page.related);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(all);
        }
    }
}

/// A transaction in one line: when, what, which, what moved, what was left.
fn one_line(transaction: &Transaction) -> String {
    let decision = transaction.decision.clone().unwrap_or_default();
    let when = shown_time(decision.posting_time.as_ref()).unwrap_or_default();
    let kind = kind_name(transaction.kind());
    let position = decision.position.unwrap_or_default();
    let id = match transaction.transaction_id.as_str() {
        "" => format!("(position {position})"),
        id => id.to_owned(),
    };
    let original = match transaction.original_transaction_id.as_str() {
        "" => String::new(),
        original => format!(" of {original}"),
    };
    let outcome = match &decision.refusal {
        Some(refusal) => format!("refused: {}", refusal.message),
        None => {
            let moved = moved(&decision).join(", ");
            let moved = if moved.is_empty() { "nothing moved".to_owned() } else { moved };
            format!("{moved}; balance {}", grouped(decision.balance_points))
        }
    };
    format!("{when}  {kind}{original}  {id}  {outcome}")
}

/// The name of a kind as people write it, such as `opening balance`.
fn kind_name(kind: TransactionKind) -> String {
    plain_name(kind.as_str_name(), "TRANSACTION_KIND_").replace('_', " ")
}

fn plain_name(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase()
}

fn relation_name(related: &RelatedTransaction) -> String {
    plain_name(related.relation().as_str_name(), "TRANSACTION_RELATION_").replace('_', " ")
}

fn transaction_json(transaction: &Transaction) -> Value {
    let decision = transaction.decision.clone().unwrap_or_default();
    let refusal = decision.refusal.as_ref().map(|refusal| json!({ "code": refusal.code, "message": refusal.message }));
    let mut value = json!({
        "transaction_id": transaction.transaction_id,
        "account_id": transaction.account_id,
        "partner": transaction.partner,
        "kind": plain_name(transaction.kind().as_str_name(), "TRANSACTION_KIND_"),
        "event_time": shown_time(decision.event_time.as_ref()),
        "original_transaction_id": transaction.original_transaction_id,
        "reversal_transaction_id": transaction.reversal_transaction_id,
        "fully_reversed": transaction.fully_reversed,
        "refusal": refusal,
        "decision": as_json(&decision),
    });
    if let Some(basket) = &transaction.basket {
        value["basket"] = basket_json(basket);
    }
    value
}

fn basket_json(basket: &Basket) -> Value {
    let lines = basket
        .lines
        .iter()
        .map(|line| json!({ "sku": line.sku, "quantity": line.quantity, "amount_minor": line.amount_minor }));
    json!({
        "store_id": basket.store_id,
        "receipt_number": basket.receipt_number,
        "currency_code": basket.currency_code,
        "lines": lines.collect::<Vec<_>>(),
    })
}

fn related_json(related: &RelatedTransaction) -> Value {
    let movements = related.movements.iter().map(|moved| {
        let kind = plain_name(moved.kind().as_str_name(), "POINTS_MOVEMENT_KIND_");
        json!({ "wallet": moved.wallet, "kind": kind, "points": moved.points })
    });
    json!({
        "relation": plain_name(related.relation().as_str_name(), "TRANSACTION_RELATION_"),
        "movements": movements.collect::<Vec<_>>(),
        "transaction": related.transaction.as_ref().map(transaction_json),
    })
}
