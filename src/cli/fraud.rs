//! `tallystick operator freeze` and what else a fraud desk does: freezes and thaws, and the lists of what looks like
//! fraud.
//!
//! What must stay true: who freezes is told by the credential and by nothing else; a command that is repeated changes
//! nothing more and says so.

use serde_json::{Value, json};

use super::client::{Server, ServerArgs, call, parse_time, runtime, shown_time, to_wire};
use super::error::CliError;
use super::output::{Output, grouped};
use super::proposals::say_pending;
use crate::service::wire;
use crate::service::wire::freeze_subject::Subject;

/// Entries of a page that is asked for.
const PAGE_SIZE: i32 = 500;

/// What is frozen or thawed, and why.
#[derive(Debug, clap::Args)]
pub(super) struct FreezeArgs {
    /// An account, by its id
    #[arg(long, value_name = "ID", conflicts_with_all = ["partner", "store", "terminal", "cashier"])]
    #[arg(required_unless_present = "partner")]
    account: Option<String>,
    /// The partner whose terminal or cashier it is
    #[arg(long, value_name = "NAME")]
    partner: Option<String>,
    /// The store of a terminal
    #[arg(long, value_name = "ID", requires_all = ["partner", "terminal"])]
    store: Option<String>,
    /// A terminal of the store
    #[arg(long, value_name = "ID", requires = "store", conflicts_with = "cashier")]
    #[arg(required_unless_present_any = ["account", "cashier"])]
    terminal: Option<String>,
    /// A cashier of the partner, in whichever store
    #[arg(long, value_name = "ID", requires = "partner")]
    cashier: Option<String>,
    /// A code of your own list, such as `shared-card`
    #[arg(long, value_name = "CODE")]
    reason: String,
    /// A sentence that stays on record
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct FreezesArgs {
    /// Freezes that have ended too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct ReceiptsArgs {
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct VelocityArgs {
    /// Only what was committed at this time or later, such as 2027-01-01T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<jiff::Timestamp>,
    #[command(flatten)]
    server: ServerArgs,
}

impl FreezeArgs {
    fn subject(&self) -> wire::FreezeSubject {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let partner = text(&self.partner);
        let subject = match (&self.account, &self.cashier) {
            (Some(account), _) => Subject::AccountId(account.clone()),
            (None, Some(cashier)) => Subject::Cashier(wire::FreezableCashier { partner, cashier_id: cashier.clone() }),
            (None, None) => {
                let (store_id, terminal_id) = (text(&self.store), text(&self.terminal));
                Subject::Terminal(wire::FreezableTerminal { partner, store_id, terminal_id })
            }
        };
        wire::FreezeSubject { subject: Some(subject) }
    }
}

/// Freezes, or thaws.
///
/// # Errors
/// When the server cannot be used, or refuses.
pub(super) fn change(args: &FreezeArgs, freezes: bool, out: &Output) -> Result<(), CliError> {
    let server = Server::new(&args.server)?;
    let (subject, reason_code, note) = (Some(args.subject()), args.reason.clone(), args.note.clone());
    let (freeze, changed, pending, account_unknown) = runtime()?.block_on(async {
        let mut clients = server.connect().await?;
        if freezes {
            let answer = clients.fraud.freeze(call(wire::FreezeRequest { subject, reason_code, note })).await;
            let answer = answer.map_err(|status| server.failure("the freeze", &status))?.into_inner();
            return Ok::<_, CliError>((answer.freeze, answer.changed, answer.pending, answer.account_unknown));
        }
        let answer = clients.fraud.thaw(call(wire::ThawRequest { subject, reason_code, note })).await;
        let answer = answer.map_err(|status| server.failure("the thaw", &status))?.into_inner();
        Ok((answer.freeze, answer.changed, answer.pending, false))
    })?;
    if say_pending(pending.as_ref(), out)? {
        return Ok(());
    }
    let what = named(&args.subject());
    match (freezes, changed) {
        (true, true) => out.line(format_args!("{what} is frozen"))?,
        (true, false) => out.line(format_args!("{what} was frozen before"))?,
        (false, true) => out.line(format_args!("{what} is thawed"))?,
        (false, false) => out.line(format_args!("{what} was not frozen"))?,
    }
    if account_unknown {
        out.note(format_args!("no {what} is known yet: what it is to earn or spend is refused; look at the id again"));
    }
    let mut object = json!({ "changed": changed, "freeze": freeze.as_ref().map(freeze_as_json) });
    if freezes {
        object["account_unknown"] = json!(account_unknown);
    }
    out.object(&object)
}

/// Lists freezes.
///
/// # Errors
/// When the server cannot be used.
pub(super) fn freezes(args: &FreezesArgs, out: &Output) -> Result<(), CliError> {
    let server = Server::new(&args.server)?;
    let listed = runtime()?.block_on(async {
        let mut clients = server.connect().await?;
        let (mut listed, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = wire::ListFreezesRequest { ended: args.all, page_size: PAGE_SIZE, page_token };
            let page = clients.fraud.list_freezes(call(request)).await;
            let page = page.map_err(|status| server.failure("listing freezes", &status))?.into_inner();
            listed.extend(page.freezes);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok::<_, CliError>(listed);
            }
        }
    })?;
    for freeze in &listed {
        let what = freeze.subject.as_ref().map(named).unwrap_or_default();
        let since = shown_time(freeze.begin_time.as_ref()).unwrap_or_default();
        let end = shown_time(freeze.end_time.as_ref());
        let end = end.map_or_else(String::new, |end| format!("  until {end} by {}", freeze.end_actor));
        let (actor, reason, note) = (&freeze.actor, &freeze.reason_code, &freeze.note);
        out.line(format_args!("{what}  since {since} by {actor}{end}  {reason} {note}"))?;
    }
    if listed.is_empty() {
        out.line("nothing is frozen")?;
    }
    out.object(&json!({ "freezes": listed.iter().map(freeze_as_json).collect::<Vec<_>>() }))
}

/// Lists receipts that were presented twice.
///
/// # Errors
/// When the server cannot be used.
pub(super) fn receipts(args: &ReceiptsArgs, out: &Output) -> Result<(), CliError> {
    let server = Server::new(&args.server)?;
    let (claims, since, count) = runtime()?.block_on(async {
        let mut clients = server.connect().await?;
        let (mut claims, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = wire::ListReceiptClaimsRequest { page_size: PAGE_SIZE, page_token };
            let page = clients.fraud.list_receipt_claims(call(request)).await;
            let page = page.map_err(|status| server.failure("listing claims", &status))?.into_inner();
            claims.extend(page.claims);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok::<_, CliError>((claims, page.since_time, page.claim_count));
            }
        }
    })?;
    for claim in &claims {
        out.line(format_args!(
            "{} of {} store {} terminal {} on {}  presented by {} for account {} ({}) at {}; earned by account {} ({}) at {}",
            claim.receipt_number,
            claim.partner,
            claim.store_id,
            claim.terminal_id,
            claim.business_date,
            claim.actor,
            claim.account_id,
            claim.transaction_id,
            shown_time(claim.claim_time.as_ref()).unwrap_or_default(),
            claim.original_account_id,
            claim.original_transaction_id,
            shown_time(claim.original_posting_time.as_ref()).unwrap_or_default(),
        ))?;
    }
    let since = shown_time(since.as_ref());
    let at = since.as_deref().unwrap_or("its start");
    let count_u64 = u64::try_from(count).unwrap_or(0);
    out.line(format_args!("{count_u64} since {at}, when the server started; the latest of them are listed"))?;
    out.object(&json!({
        "claims": claims.iter().map(claim_as_json).collect::<Vec<_>>(),
        "since_time": since,
        "claim_count": count,
    }))
}

/// Lists what velocity caps denied.
///
/// # Errors
/// When the server cannot be used.
pub(super) fn velocity(args: &VelocityArgs, out: &Output) -> Result<(), CliError> {
    let server = Server::new(&args.server)?;
    let denials = runtime()?.block_on(async {
        let mut clients = server.connect().await?;
        let (mut denials, mut page_token) = (Vec::new(), String::new());
        loop {
            let start_time = args.since.map(to_wire);
            let request = wire::ListVelocityDenialsRequest { start_time, page_size: PAGE_SIZE, page_token };
            let page = clients.fraud.list_velocity_denials(call(request)).await;
            let page = page.map_err(|status| server.failure("listing denials", &status))?.into_inner();
            denials.extend(page.denials);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok::<_, CliError>(denials);
            }
        }
    })?;
    for denied in &denials {
        out.line(format_args!(
            "{}  account {}  {} store {} terminal {} cashier {}  {} points denied by {} at {}",
            denied.transaction_id,
            denied.account_id,
            denied.partner,
            denied.store_id,
            denied.terminal_id,
            denied.cashier_id,
            grouped(denied.earned_points),
            denied.cap,
            shown_time(denied.posting_time.as_ref()).unwrap_or_default(),
        ))?;
    }
    if denials.is_empty() {
        out.line("no velocity cap denied anything")?;
    }
    out.object(&json!({ "denials": denials.iter().map(denied_as_json).collect::<Vec<_>>() }))
}

/// A subject in words.
pub(super) fn named(subject: &wire::FreezeSubject) -> String {
    match &subject.subject {
        Some(Subject::AccountId(id)) => format!("account {id}"),
        Some(Subject::Terminal(terminal)) => {
            format!("terminal {} of store {} of {}", terminal.terminal_id, terminal.store_id, terminal.partner)
        }
        Some(Subject::Cashier(cashier)) => format!("cashier {} of {}", cashier.cashier_id, cashier.partner),
        None => "nothing".to_owned(),
    }
}

/// A subject in the fields that it has.
pub(super) fn subject_as_json(subject: &wire::FreezeSubject) -> Value {
    match &subject.subject {
        Some(Subject::AccountId(id)) => json!({ "account_id": id }),
        Some(Subject::Terminal(terminal)) => json!({
            "partner": terminal.partner,
            "store_id": terminal.store_id,
            "terminal_id": terminal.terminal_id,
        }),
        Some(Subject::Cashier(cashier)) => json!({ "partner": cashier.partner, "cashier_id": cashier.cashier_id }),
        None => Value::Null,
    }
}

fn freeze_as_json(freeze: &wire::Freeze) -> Value {
    json!({
        "subject": freeze.subject.as_ref().map(subject_as_json),
        "begin_time": shown_time(freeze.begin_time.as_ref()),
        "actor": freeze.actor,
        "reason_code": freeze.reason_code,
        "note": freeze.note,
        "position": freeze.position,
        "live": freeze.live,
        "end_time": shown_time(freeze.end_time.as_ref()),
        "end_actor": freeze.end_actor,
        "end_reason_code": freeze.end_reason_code,
        "end_note": freeze.end_note,
        "end_position": freeze.end_position,
    })
}

fn claim_as_json(claim: &wire::ReceiptClaim) -> Value {
    json!({
        "partner": claim.partner,
        "store_id": claim.store_id,
        "terminal_id": claim.terminal_id,
        "cashier_id": claim.cashier_id,
        "receipt_number": claim.receipt_number,
        "business_date": claim.business_date,
        "account_id": claim.account_id,
        "transaction_id": claim.transaction_id,
        "actor": claim.actor,
        "claim_time": shown_time(claim.claim_time.as_ref()),
        "original_account_id": claim.original_account_id,
        "original_transaction_id": claim.original_transaction_id,
        "original_posting_time": shown_time(claim.original_posting_time.as_ref()),
        "original_position": claim.original_position,
    })
}

fn denied_as_json(denied: &wire::VelocityDenied) -> Value {
    json!({
        "transaction_id": denied.transaction_id,
        "account_id": denied.account_id,
        "partner": denied.partner,
        "store_id": denied.store_id,
        "terminal_id": denied.terminal_id,
        "cashier_id": denied.cashier_id,
        "cap": denied.cap,
        "earned_points": denied.earned_points,
        "posting_time": shown_time(denied.posting_time.as_ref()),
        "position": denied.position,
    })
}
