//! The way of the reversal of a top-up until a worker has it, once its original is found.
//!
//! What must stay true: what goes back is found out while the original is claimed, so that of two at once the second sees
//! what the first has given back; a reversal names either lines or an amount, and its original says which.

use std::sync::Arc;

use super::auth::Caller;
use super::command::{Held, Ready, Started};
use super::intake::make_room;
use super::status::Failure;
use super::{Edge, Patience, wire};
use crate::ids::IdKey;
use crate::journal::refunded;
use crate::journal::walk::Located;
use crate::ledger::command::{Command, CommandKind};
use crate::ledger::decision::Refusal;
use crate::ledger::state::account_hash;
use crate::ledger::types::{TimestampNs, Units};
use crate::shard::job::{ClaimedIds, CommandJob};

/// How much a request asks to go back; `None` for whatever is left.
fn asked_points(request: &wire::ReverseRequest) -> Option<Units> {
    (request.points > 0).then_some(request.points)
}

impl Edge {
    /// Goes on with the reversal of a top-up that is on record; the reversal's own id is claimed.
    pub(super) async fn start_refund(
        self: &Arc<Self>,
        caller: &Caller,
        request: wire::ReverseRequest,
        (stamp, own, own_key): (TimestampNs, Held<'_>, IdKey),
        original: Located,
        patience: Patience,
    ) -> Result<Started, Failure> {
        if !request.lines.is_empty() {
            // A top-up has none.
            return Ok(Started::Answered(self.refused(Refusal::LineUnknown, None)));
        }
        let Some(entry) = original.entry() else {
            return Err(Failure::internal("the original of a refund is a command"));
        };
        let original_version = Some(entry.decision.program);
        let account_id = self.account_id_of(&original, entry).await?;
        let subject_key = self.engine.hasher.reversal(&caller.principal.partner, &request.original_transaction_id);
        let subject = self.claim_again(subject_key, patience).await?;
        let last = self.engine.shared.ids.lookup(subject_key)?.map(|entry| entry.position);
        let asked = asked_points(&request);
        let refund = self
            .blocking(move |engine| refunded::refund(&*engine.journal, &engine.dictionary, &original, last, asked))
            .await?;
        let refund = match refund {
            Some(Ok(refund)) => refund,
            Some(Err(refusal)) => return Ok(Started::Answered(self.refused(refusal, None))),
            None => return Ok(Started::Answered(self.refused(Refusal::NotReversible, None))),
        };
        let command = Command {
            account_id: account_id.into(),
            transaction_id: request.transaction_id,
            partner: caller.principal.symbol,
            kind: CommandKind::Refund(Box::new(refund)),
            ..Command::default()
        };
        let ids = ClaimedIds { transaction: own_key, subject: subject_key, freed: None };
        let account_hash = account_hash(&command.account_id);
        let mut job =
            CommandJob { command, account_hash, stamp, ids, deadline_ns: caller.deadline_ns, ..CommandJob::blank() };
        make_room(&mut job);
        self.hand_to_worker(Ready { job: Box::new(job), original_version }, [own, subject], patience).await
    }
}
