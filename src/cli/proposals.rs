//! `tallystick proposals`: what waits for a second person.
//!
//! What must stay true: what is confirmed is shown before, on whichever terminal; a proposal that cannot be settled ends
//! with an exit status of its own, and so does one whose act is refused.

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::{Server, ServerArgs, call, runtime, shown_time};
use super::decision::refused;
use super::error::CliError;
use super::fraud::{named, subject_as_json};
use super::output::{Output, grouped};
use crate::service::wire;
use crate::service::wire::confirm_proposal_response::Outcome;
use crate::service::wire::proposal::Act;

/// Entries of a page that is asked for.
const PAGE_SIZE: i32 = 500;

/// Settles what waits for a second person: adjustments, publications, keys, freezes
#[derive(Debug, clap::Args)]
pub struct ProposalsArgs {
    #[command(subcommand)]
    what: ProposalsWhat,
}

#[derive(Debug, Subcommand)]
enum ProposalsWhat {
    /// List what waits
    List(ListArgs),
    /// Confirm a proposal of somebody else: its act is done
    Confirm(SettleArgs),
    /// Reject a proposal, or take back one's own
    Reject(SettleArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, clap::Args)]
struct SettleArgs {
    /// The proposal, as the list says
    #[arg(value_parser = clap::value_parser!(i64).range(1..))]
    proposal: i64,
    /// A sentence that stays on record
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs the command.
///
/// # Errors
/// When the server cannot be used, or refuses.
pub fn run(args: ProposalsArgs, out: &Output) -> Result<(), CliError> {
    match args.what {
        ProposalsWhat::List(args) => list(&args, out),
        ProposalsWhat::Confirm(args) => confirm(args, out),
        ProposalsWhat::Reject(args) => reject(args, out),
    }
}

/// Says that an act waits, if it does.
///
/// # Errors
/// When nothing can be written.
pub(super) fn say_pending(pending: Option<&wire::PendingProposal>, out: &Output) -> Result<bool, CliError> {
    say_pending_as(pending, None, out)
}

/// The same of an act whose id may have been drawn: without it nobody can ask for the same act again.
///
/// # Errors
/// When nothing can be written.
pub(super) fn say_pending_as(
    pending: Option<&wire::PendingProposal>,
    drawn_id: Option<&str>,
    out: &Output,
) -> Result<bool, CliError> {
    let Some(pending) = pending else { return Ok(false) };
    let until = shown_time(pending.expire_time.as_ref()).unwrap_or_default();
    let number = pending.proposal_id;
    out.line(format_args!("waits for a second person until {until}: tallystick proposals confirm {number}"))?;
    let mut shown = json!({ "proposal_id": number, "expire_time": until });
    if let Some(id) = drawn_id {
        out.line(format_args!("the same command with --transaction-id {id} says what became of it"))?;
        shown["transaction_id"] = id.into();
    }
    out.object(&json!({ "pending": shown }))?;
    Ok(true)
}

fn list(args: &ListArgs, out: &Output) -> Result<(), CliError> {
    let server = Server::new(&args.server)?;
    let proposals = runtime()?.block_on(async {
        let mut clients = server.connect().await?;
        let (mut proposals, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = wire::ListProposalsRequest { page_size: PAGE_SIZE, page_token };
            let page = clients.approval.list_proposals(call(request)).await;
            let page = page.map_err(|status| server.failure("listing proposals", &status))?.into_inner();
            proposals.extend(page.proposals);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok::<_, CliError>(proposals);
            }
        }
    })?;
    for proposal in &proposals {
        out.line(format_args!(
            "{}  {}  by {} since {} until {}",
            proposal.proposal_id,
            act_in_words(proposal),
            proposal.actor,
            shown_time(proposal.create_time.as_ref()).unwrap_or_default(),
            shown_time(proposal.expire_time.as_ref()).unwrap_or_default(),
        ))?;
    }
    if proposals.is_empty() {
        out.line("nothing waits for a second person")?;
    }
    out.object(&json!({ "proposals": proposals.iter().map(as_json).collect::<Vec<_>>() }))
}

fn confirm(args: SettleArgs, out: &Output) -> Result<(), CliError> {
    let server = Server::new(&args.server)?;
    let SettleArgs { proposal: proposal_id, note, .. } = args;
    let outcome = runtime()?.block_on(async {
        let mut clients = server.connect().await?;
        let answer = clients.approval.confirm_proposal(call(wire::ConfirmProposalRequest { proposal_id, note })).await;
        answer.map(|answer| answer.into_inner().outcome).map_err(|status| server.failure("the confirmation", &status))
    })?;
    let (words, shown) = match outcome {
        Some(Outcome::Decision(decision)) => return say_decided(proposal_id, &decision, out),
        Some(Outcome::Program(program)) => {
            (format!("confirmed: version {}", program.version), json!({ "version": program.version }))
        }
        Some(Outcome::Key(key)) => (format!("confirmed: key {}", key.key_id), json!({ "key_id": key.key_id })),
        Some(Outcome::Freeze(freeze)) => {
            let what = freeze.subject.as_ref().map(named).unwrap_or_default();
            let state = if freeze.live { "frozen" } else { "thawed" };
            (format!("confirmed: {what} is {state}"), json!({ "live": freeze.live, "position": freeze.position }))
        }
        None => ("confirmed".to_owned(), Value::Null),
    };
    out.line(words)?;
    out.object(&json!({ "proposal_id": proposal_id, "outcome": shown }))
}

/// Says what came of an adjustment or a voucher that was confirmed. A refusal settles the proposal only if it is on record.
fn say_decided(proposal_id: i64, decision: &wire::Decision, out: &Output) -> Result<(), CliError> {
    let moved = decision.granted_points - decision.reversed_points;
    let refusal = decision.refusal.as_ref().map(|refusal| &refusal.message);
    let waits = refusal.is_some() && decision.position.is_none();
    let outcome = json!({ "points": moved, "refusal": refusal, "position": decision.position, "waits": waits });
    let answer = json!({ "proposal_id": proposal_id, "outcome": outcome });
    let left = if waits { ", which still waits," } else { "" };
    if let Some(error) = refused(decision, &format!("the act of proposal {proposal_id}{left}")) {
        out.object(&answer)?;
        return Err(if out.is_json() { CliError::reported(error.exit()) } else { error });
    }
    out.line(format_args!("confirmed: {} {}", grouped(moved), decision.wallet))?;
    out.object(&answer)
}

fn reject(args: SettleArgs, out: &Output) -> Result<(), CliError> {
    let server = Server::new(&args.server)?;
    let SettleArgs { proposal: proposal_id, note, .. } = args;
    runtime()?.block_on(async {
        let mut clients = server.connect().await?;
        let answer = clients.approval.reject_proposal(call(wire::RejectProposalRequest { proposal_id, note })).await;
        answer.map(drop).map_err(|status| server.failure("the rejection", &status))
    })?;
    out.line(format_args!("proposal {proposal_id} is rejected"))?;
    out.object(&json!({ "proposal_id": proposal_id, "rejected": true }))
}

fn act_in_words(proposal: &wire::Proposal) -> String {
    match &proposal.act {
        Some(Act::Adjustment(asked)) => {
            let reason = asked.remark.as_ref().map_or("", |remark| &remark.reason_code);
            format!("adjust account {} by {} ({reason})", asked.account_id, grouped(asked.points))
        }
        Some(Act::Voucher(asked)) => {
            let reason = asked.remark.as_ref().map_or("", |remark| &remark.reason_code);
            format!("give account {} a voucher {} ({reason})", asked.account_id, asked.voucher)
        }
        Some(Act::Publication(asked)) => format!("publish a programme of {} bytes", asked.source.len()),
        Some(Act::Key(key)) => {
            let instead = &proposal.replaced_key_id;
            let instead = if instead.is_empty() { String::new() } else { format!(" in the place of {instead}") };
            format!("issue key {} \"{}\"{instead}", key.key_id, key.name)
        }
        Some(Act::Freeze(asked)) => {
            format!("freeze {} ({})", asked.subject.as_ref().map(named).unwrap_or_default(), asked.reason_code)
        }
        Some(Act::Thaw(asked)) => {
            format!("thaw {} ({})", asked.subject.as_ref().map(named).unwrap_or_default(), asked.reason_code)
        }
        None => "an act that this version does not know".to_owned(),
    }
}

fn as_json(proposal: &wire::Proposal) -> Value {
    let (act, content) = match &proposal.act {
        Some(Act::Adjustment(asked)) => {
            let remark = asked.remark.clone().unwrap_or_default();
            let content = json!({
                "transaction_id": asked.transaction_id,
                "account_id": asked.account_id,
                "wallet": asked.wallet,
                "points": asked.points,
                "expire_time": shown_time(asked.expire_time.as_ref()),
                "reason_code": remark.reason_code,
                "note": remark.note,
                "operator": remark.operator,
            });
            ("adjust", content)
        }
        Some(Act::Voucher(asked)) => {
            let remark = asked.remark.clone().unwrap_or_default();
            let content = json!({
                "transaction_id": asked.transaction_id,
                "account_id": asked.account_id,
                "voucher": asked.voucher,
                "reason_code": remark.reason_code,
                "note": remark.note,
                "operator": remark.operator,
            });
            ("voucher", content)
        }
        Some(Act::Publication(asked)) => {
            let content = json!({
                "transaction_id": asked.transaction_id,
                "effective_time": shown_time(asked.effective_time.as_ref()),
                "source": asked.source,
            });
            ("publish", content)
        }
        Some(Act::Key(key)) => {
            let grant = key.grant.clone().unwrap_or_default();
            let content = json!({
                "key_id": key.key_id,
                "name": key.name,
                "role": grant.role().as_str_name(),
                "partner": grant.partner,
                "stores": grant.store_ids,
                "terminals": grant.terminal_ids,
                "certificate_name": key.certificate_name,
                "expire_time": shown_time(key.expire_time.as_ref()),
                "replaced_key_id": proposal.replaced_key_id,
            });
            ("keys", content)
        }
        Some(Act::Freeze(asked)) => {
            let subject = asked.subject.as_ref().map(subject_as_json);
            ("freeze", json!({ "subject": subject, "reason_code": asked.reason_code, "note": asked.note }))
        }
        Some(Act::Thaw(asked)) => {
            let subject = asked.subject.as_ref().map(subject_as_json);
            ("thaw", json!({ "subject": subject, "reason_code": asked.reason_code, "note": asked.note }))
        }
        None => ("unknown", Value::Null),
    };
    json!({
        "proposal_id": proposal.proposal_id,
        "act": act,
        "partner": proposal.partner,
        "actor": proposal.actor,
        "create_time": shown_time(proposal.create_time.as_ref()),
        "expire_time": shown_time(proposal.expire_time.as_ref()),
        "position": proposal.position,
        "content": content,
    })
}
