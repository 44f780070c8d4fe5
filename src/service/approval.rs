//! `ApprovalService`: what waits for a second person, and what becomes of it.
//!
//! What must stay true: an act that asks for a second person is done after somebody else than who proposed it has
//! confirmed it, and never otherwise; whoever confirms has a role that may do the act; one proposal is settled once.

use std::sync::Arc;

use prost::Message;
use tonic::{Request, Response, Status};

use super::answer::signed;
use super::auth::Caller;
use super::calls::Call;
use super::fields::{Fields, Path};
use super::operator::Signed;
use super::operator_fields::Asked;
use super::read::page_size;
use super::status::Failure;
use super::wire::confirm_proposal_response::Outcome;
use super::wire::proposal::Act as Shown;
use super::wire::server::approval_service_server::ApprovalService;
use super::{Edge, Service, access, times, wire};
use crate::access::keys::KeyId;
use crate::access::proposals::{Act, Proposal, ProposalError, Verdict};
use crate::access::table;
use crate::journal::record::decode_whole_key_change;
use crate::ledger::types::{Position, TimestampNs};
use crate::limits;
use crate::shard::engine::Engine;
use crate::shard::proposing::{ProposalLog, ProposingError, Settling};

#[tonic::async_trait]
impl ApprovalService for Service {
    async fn list_proposals(
        &self,
        request: Request<wire::ListProposalsRequest>,
    ) -> Result<Response<wire::ListProposalsResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.edge.proposals(&caller, &request.into_inner())?))
    }

    async fn confirm_proposal(
        &self,
        request: Request<wire::ConfirmProposalRequest>,
    ) -> Result<Response<wire::ConfirmProposalResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let wire::ConfirmProposalRequest { proposal_id, note } = request.into_inner();
        let outcome = self.edge.confirm(&caller, proposal_id, note).await?;
        Ok(Response::new(wire::ConfirmProposalResponse { outcome: Some(outcome) }))
    }

    async fn reject_proposal(
        &self,
        request: Request<wire::RejectProposalRequest>,
    ) -> Result<Response<wire::RejectProposalResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let wire::RejectProposalRequest { proposal_id, note } = request.into_inner();
        let (settling, proposal) = self.edge.begin_settling(&caller, proposal_id, &note)?;
        self.edge.check_not_done(&caller, &proposal).await?;
        let verdict = self.edge.verdict(&caller, &proposal, false, note);
        self.edge.settle(self.edge.enter()?, settling, verdict).await?;
        Ok(Response::new(wire::RejectProposalResponse {}))
    }
}

/// What a proposal is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct AskedFor<'a> {
    pub act: Act,
    /// Empty where the act has none.
    pub transaction_id: &'a str,
}

/// The row of the method that does an act by itself.
fn row_of(act: Act) -> Result<&'static table::Row, Failure> {
    let path = match act {
        Act::Adjust => "/tallystick.v1.OperatorService/AdjustBalance",
        Act::Publish => "/tallystick.v1.ProgramService/PublishProgram",
        Act::Keys => "/tallystick.v1.AccessService/CreateKey",
        Act::Freeze => "/tallystick.v1.FraudService/Freeze",
        Act::Thaw => "/tallystick.v1.FraudService/Thaw",
        Act::Voucher => "/tallystick.v1.OperatorService/IssueVoucher",
    };
    table::find(path).ok_or_else(|| Failure::internal(format_args!("{path} has no row")))
}

pub(super) fn failure_of_proposing(error: ProposingError) -> Failure {
    match error {
        ProposingError::Unfit(ProposalError::Unknown(_)) => Failure::ProposalUnknown,
        ProposingError::Unfit(ProposalError::NotNext) => Failure::internal(error),
        ProposingError::Unfit(ProposalError::SamePerson | ProposalError::Unfit | ProposalError::Full) => {
            Failure::ProposalRefused(format!("It is refused: {error}."))
        }
        ProposingError::Ids(error) => error.into(),
        ProposingError::Stopping => Failure::OutcomeUnknown,
    }
}

impl Edge {
    /// Proposes an act; the same act of the same caller that waits already is that one. None where the act's id is used: it was
    /// confirmed since the caller looked, and is answered as what is done.
    pub(super) async fn propose(
        self: &Arc<Self>,
        caller: &Caller,
        asked_for: AskedFor<'_>,
        content: Vec<u8>,
    ) -> Result<Option<wire::PendingProposal>, Failure> {
        self.check_deadline(caller)?;
        let AskedFor { act, transaction_id } = asked_for;
        let key = || self.engine.hasher.transaction(&caller.principal.partner, transaction_id);
        let key = (!transaction_id.is_empty()).then(key);
        let transaction_id: Box<str> = transaction_id.into();
        let (partner, by, at) = (caller.principal.symbol, caller.principal.actor(), self.engine.clock.now());
        let expires_at = TimestampNs(at.0.saturating_add(self.about.second_person.wait_ns));
        // Goes on when the caller has gone; the server waits for it.
        let (call, engine) = (self.enter()?, self.engine.clone());
        let proposing = tokio::task::spawn_blocking(move || {
            let mut is_reused = false;
            let number = engine.propose(key, |proposals, number| {
                let same_act = proposals
                    .iter()
                    .map(|(_, other)| other)
                    .filter(|other| at < other.expires_at && other.act == act && other.partner == partner);
                let mut waiting = same_act.filter(|other| match &*transaction_id {
                    "" => *other.by == by && *other.content == *content,
                    id => *other.transaction_id == *id,
                });
                if let Some(waiting) = waiting.next() {
                    is_reused = *waiting.content != *content;
                    return Err(waiting.number);
                }
                let (by, content) = (by.into(), content.into());
                Ok(Proposal { number, act, partner, transaction_id, by, at, expires_at, content })
            });
            drop(call);
            (number, is_reused)
        });
        let (number, is_reused) = proposing.await.map_err(Failure::internal)?;
        let Some(number) = number.map_err(failure_of_proposing)? else { return Ok(None) };
        if is_reused {
            return Err(Failure::TransactionIdReused("command".to_owned()));
        }
        let expires_at = self.engine.shared.proposals.look(|proposals| {
            proposals.iter().find(|(_, proposal)| proposal.number == number).map(|(_, proposal)| proposal.expires_at)
        });
        tracing::info!(
            proposal = number,
            act = act.name(),
            by = caller.principal.actor(),
            "an act waits for a second person"
        );
        let expire_time = expires_at.map(times::timestamp);
        Ok(Some(wire::PendingProposal { proposal_id: i64::from(number), expire_time }))
    }

    /// The right to settle a proposal, if the caller may.
    fn begin_settling(&self, caller: &Caller, proposal_id: i64, note: &str) -> Result<(Settling, Proposal), Failure> {
        let mut fields = Fields::default();
        fields.text(Path::Field("note"), note, 0, limits::NOTE_BYTES_MAX);
        fields.finish()?;
        self.check_deadline(caller)?;
        let number = u32::try_from(proposal_id).map_err(|_| Failure::ProposalUnknown)?;
        let find = || {
            let now = self.engine.clock.now();
            self.engine.shared.proposals.look(|proposals| proposals.get(number, now).map(|(_, found)| found.clone()))
        };
        // Of an act that is not for the caller it is not told that it waits.
        let found = find().ok_or(Failure::ProposalUnknown)?;
        if !caller.principal.may_settle(row_of(found.act)?, found.partner) {
            return Err(Failure::ProposalUnknown);
        }
        let settling = ProposalLog::settle(&self.engine.shared, number)
            .ok_or_else(|| Failure::ProposalRefused("Another is settling it at this moment.".to_owned()))?;
        // Another may have settled it before this one had the right to.
        let proposal = find().ok_or(Failure::ProposalUnknown)?;
        Ok((settling, proposal))
    }

    /// Fails where what a proposal asks for is on record: the server ended between the act and its verdict. Nobody is told that
    /// it was not done. Another command under the same transaction id is no such record.
    async fn check_not_done(&self, caller: &Caller, proposal: &Proposal) -> Result<(), Failure> {
        let broken = |_| Failure::internal(format_args!("proposal {} cannot be read", proposal.number));
        let content = &*proposal.content;
        let asked = match proposal.act {
            Act::Adjust => Asked::Adjust(Message::decode(content).map_err(broken)?),
            Act::Voucher => Asked::IssueVoucher(Message::decode(content).map_err(broken)?),
            Act::Publish | Act::Keys | Act::Freeze | Act::Thaw => return Ok(()),
        };
        let proposer = self.proposer(caller, proposal);
        let Some(position) = self.decided(&proposer, &proposal.transaction_id).await? else { return Ok(()) };
        match self.is_record_of(position, &proposer, asked).await? {
            true => Err(Failure::ProposalRefused("It is done already: confirm it to hear its decision.".to_owned())),
            false => Ok(()),
        }
    }

    fn verdict(&self, caller: &Caller, proposal: &Proposal, confirms: bool, note: String) -> Verdict {
        let (by, at) = (caller.principal.actor().into(), self.engine.clock.now());
        Verdict { number: proposal.number, confirms, by, at, note: note.into() }
    }

    /// Journals a verdict; the right to settle goes with it.
    async fn settle(&self, call: Call, settling: Settling, verdict: Verdict) -> Result<(), Failure> {
        let engine = self.engine.clone();
        let settled = tokio::task::spawn_blocking(move || {
            let settled = engine.settle(verdict);
            drop((settling, call));
            settled
        });
        settled.await.map_err(Failure::internal)?.map_err(failure_of_proposing)
    }

    /// Whether two who are named so can be one person.
    fn is_same_person(&self, caller: &Caller, actor: &str) -> bool {
        if caller.principal.actor() == actor {
            return true;
        }
        let named = actor.split_once(':').and_then(|(_, id)| KeyId::parse(id));
        let (Some(own), Some(other)) = (caller.principal.key(), named) else { return false };
        self.engine.shared.keys.look(|keys| keys.first_of(own) == keys.first_of(other))
    }

    /// Whether somebody is named by a key that was revoked: what a thief proposed is not done.
    fn has_been_revoked(&self, actor: &str) -> bool {
        let key = actor.split_once(':').and_then(|(_, id)| KeyId::parse(id));
        let is_revoked =
            |id| self.engine.shared.keys.look(|keys| keys.get(id).is_some_and(|key| key.revoked.is_some()));
        key.is_some_and(is_revoked)
    }

    async fn confirm(self: &Arc<Self>, caller: &Caller, proposal_id: i64, note: String) -> Result<Outcome, Failure> {
        let (settling, proposal) = self.begin_settling(caller, proposal_id, &note)?;
        if self.is_same_person(caller, &proposal.by) {
            return Err(failure_of_proposing(ProposalError::SamePerson.into()));
        }
        if self.has_been_revoked(&proposal.by) {
            let why = "The key of whoever proposed it has been revoked.";
            return Err(Failure::ProposalRefused(why.to_owned()));
        }
        let verdict = self.verdict(caller, &proposal, true, note);
        let broken = |_| Failure::internal(format_args!("proposal {proposal_id} cannot be read"));
        let content = &*proposal.content;
        match proposal.act {
            Act::Adjust => {
                let request = wire::AdjustBalanceRequest::decode(content).map_err(broken)?;
                let asked = Asked::Adjust(request);
                self.confirm_operation(caller, settling, &proposal, asked, verdict).await.map(Outcome::Decision)
            }
            Act::Voucher => {
                let request = wire::IssueVoucherRequest::decode(content).map_err(broken)?;
                let asked = Asked::IssueVoucher(request);
                self.confirm_operation(caller, settling, &proposal, asked, verdict).await.map(Outcome::Decision)
            }
            Act::Publish => {
                let request = wire::PublishProgramRequest::decode(content).map_err(broken)?;
                let proposer = self.proposer(caller, &proposal);
                let signed = Signed { actor: proposal.by.clone(), confirmer: verdict.by.clone() };
                let published = self.publish(&proposer, request, signed, Some(verdict.clone())).await?;
                if published.replayed {
                    // The version was there without this verdict.
                    self.settle(self.enter()?, settling, verdict).await?;
                }
                let program = published.program.ok_or_else(|| Failure::internal("a publication has a version"))?;
                Ok(Outcome::Program(program))
            }
            Act::Keys => self.confirm_key(settling, content, verdict).await.map(Outcome::Key),
            Act::Freeze | Act::Thaw => {
                let (subject, reason_code, note) = if proposal.act == Act::Freeze {
                    let wire::FreezeRequest { subject, reason_code, note } =
                        Message::decode(content).map_err(broken)?;
                    (subject, reason_code, note)
                } else {
                    let wire::ThawRequest { subject, reason_code, note } = Message::decode(content).map_err(broken)?;
                    (subject, reason_code, note)
                };
                let freezes = proposal.act == Act::Freeze;
                let mut draft = self.freeze_draft(caller, subject, reason_code, note, freezes)?;
                draft.by = proposal.by.clone();
                let freeze = if freezes {
                    let answer = self.freeze(draft, Some(verdict)).await;
                    answer.map(|answer| answer.filter(|answer| answer.changed).and_then(|answer| answer.freeze))
                } else {
                    self.thaw(draft, Some(verdict)).await.map(|answer| answer.and_then(|answer| answer.freeze))
                };
                drop(settling);
                let unchanged = || Failure::ProposalRefused("There is nothing left to freeze or thaw.".to_owned());
                freeze?.map(Outcome::Freeze).ok_or_else(unchanged)
            }
        }
    }

    /// The caller in the name of whose proposal it confirms.
    fn proposer(&self, caller: &Caller, proposal: &Proposal) -> Caller {
        let partner = self.engine.dictionary.text(proposal.partner).unwrap_or_default();
        let principal = caller.principal.in_the_name_of(Arc::from(&*partner), proposal.partner);
        Caller { principal: Arc::new(principal), ..caller.clone() }
    }

    /// The record of an adjustment or a voucher names the second person; the verdict comes after it. Should the server end
    /// in between, the proposal waits on, and confirming it again finds the record.
    async fn confirm_operation(
        self: &Arc<Self>,
        caller: &Caller,
        settling: Settling,
        proposal: &Proposal,
        asked: Asked,
        verdict: Verdict,
    ) -> Result<wire::Decision, Failure> {
        let proposer = self.proposer(caller, proposal);
        let signed = Signed { actor: proposal.by.clone(), confirmer: verdict.by.clone() };
        let (edge, work_call) = (self.clone(), self.enter()?);
        // Goes on when the caller has gone: what is done is settled.
        let confirming = tokio::spawn(async move {
            let decision = edge.operate(&proposer, asked, signed).await?;
            if decision.position.is_some() {
                // As a part of this call: a server that stops meanwhile lets it come to its end.
                match edge.settle(work_call, settling, verdict).await {
                    // It ran out while the act was made durable, and made room for another. The record names both people.
                    Err(Failure::ProposalUnknown) | Ok(()) => {}
                    Err(failure) => return Err(failure),
                }
            }
            Ok::<_, Failure>(decision)
        });
        confirming.await.map_err(Failure::internal)?
    }

    /// A key is issued when it is confirmed, and an overlap begins then.
    async fn confirm_key(
        self: &Arc<Self>,
        settling: Settling,
        content: &[u8],
        verdict: Verdict,
    ) -> Result<wire::Key, Failure> {
        let change = decode_whole_key_change(content).map_err(Failure::internal)?;
        let mut issue = access::issue_of(change)?;
        let id = issue.id;
        let confirm = move |engine: &Engine| {
            let now = verdict.at;
            if let Some((_, until)) = &mut issue.replaces {
                *until = TimestampNs(now.0.saturating_add(until.0.saturating_sub(issue.issued_at.0)));
            }
            issue.issued_at = now;
            let confirmed = engine.confirm(verdict, |engine, verdict| access::take_key(engine, issue, Some(verdict)));
            drop(settling);
            confirmed
        };
        let (call, engine) = (self.enter()?, self.engine.clone());
        let confirming = tokio::task::spawn_blocking(move || {
            let confirmed = confirm(&engine);
            drop(call);
            confirmed
        });
        let confirmed = confirming.await.map_err(Failure::internal)?.map_err(failure_of_proposing)?;
        confirmed.map_err(access::failure_of_change)?;
        self.key(id)
    }

    /// A page of what waits.
    fn proposals(
        &self,
        caller: &Caller,
        request: &wire::ListProposalsRequest,
    ) -> Result<wire::ListProposalsResponse, Failure> {
        let size = page_size(request.page_size)?;
        let after: u32 = match request.page_token.as_str() {
            "" => 0,
            token => token
                .parse()
                .map_err(|_| Failure::field("page_token", "It is not a token that this server gave for this list."))?,
        };
        let now = self.engine.clock.now();
        let sees_all =
            caller.principal.grant.as_ref().is_some_and(|grant| grant.role == crate::access::grant::Role::Auditor);
        let mut page = wire::ListProposalsResponse::default();
        let (mut last, mut bytes) = (after, 0);
        self.engine.shared.proposals.look(|proposals| {
            let waiting = proposals.iter().filter(|(_, one)| one.number > after && now < one.expires_at);
            for (position, proposal) in waiting {
                if !sees_all && !caller.principal.may_settle(row_of(proposal.act)?, proposal.partner) {
                    continue;
                }
                if page.proposals.len() == size || bytes > limits::PAGE_BYTES_TARGET {
                    page.next_page_token = last.to_string();
                    break;
                }
                (last, bytes) = (proposal.number, bytes + proposal.content.len());
                page.proposals.push(self.wire_proposal(*position, proposal)?);
            }
            Ok(page)
        })
    }

    fn wire_proposal(&self, position: Position, proposal: &Proposal) -> Result<wire::Proposal, Failure> {
        let broken = |_| Failure::internal(format_args!("proposal {} cannot be read", proposal.number));
        let content = &*proposal.content;
        let mut replaced_key_id = String::new();
        let act = match proposal.act {
            Act::Adjust => Shown::Adjustment(Message::decode(content).map_err(broken)?),
            Act::Publish => Shown::Publication(Message::decode(content).map_err(broken)?),
            Act::Freeze => Shown::Freeze(Message::decode(content).map_err(broken)?),
            Act::Thaw => Shown::Thaw(Message::decode(content).map_err(broken)?),
            Act::Voucher => Shown::Voucher(Message::decode(content).map_err(broken)?),
            Act::Keys => {
                let issue = access::issue_of(decode_whole_key_change(content).map_err(Failure::internal)?)?;
                replaced_key_id = issue.replaces.map(|(old, _)| old.to_string()).unwrap_or_default();
                Shown::Key(access::proposed_key(&issue))
            }
        };
        let partner = self.engine.dictionary.text(proposal.partner).unwrap_or_default();
        Ok(wire::Proposal {
            proposal_id: i64::from(proposal.number),
            actor: proposal.by.to_string(),
            create_time: Some(times::timestamp(proposal.at)),
            expire_time: Some(times::timestamp(proposal.expires_at)),
            position: signed(position.0),
            partner: partner.into(),
            act: Some(act),
            replaced_key_id,
        })
    }
}
