//! Many accruals in one call: started one after the other, answered in the order of the request.
//!
//! What must stay true: an item is started only after all before it were handed over, so that items of one account are
//! decided in order and an item that repeats an earlier one finds it; a failure of one item is an answer to that item.

use std::sync::Arc;

use super::auth::Caller;
use super::command::Started;
use super::status::Failure;
use super::{Edge, Patience, answer, wire};
use crate::limits;

impl Edge {
    /// Decides every item; the outer failure is one of the call as a whole.
    pub(super) async fn accrue_all(
        self: &Arc<Self>,
        caller: &Caller,
        requests: Vec<wire::AccrueRequest>,
    ) -> Result<Vec<wire::Decision>, Failure> {
        let count = requests.len();
        if count == 0 || count > limits::BATCH_COMMANDS_MAX {
            let most = limits::BATCH_COMMANDS_MAX;
            return Err(Failure::field("requests", format!("There are {count}, but must be 1 to {most}.")));
        }
        let patience_ns = i64::try_from(limits::BATCH_PATIENCE_MS * 1_000_000).unwrap_or(i64::MAX);
        let clock = &self.engine.clock;
        let mut patience = Patience::Until(clock.monotonic_ns().saturating_add(patience_ns));
        let mut started = Vec::with_capacity(count);
        for request in requests {
            let item = self.start_accrual(caller, request, patience).await;
            // A queue that moves at all makes room for an item within the time; one that does not is not waited for
            // again by each of the items that follow.
            if !matches!(item, Err(Failure::Overloaded)) {
                patience = Patience::Until(clock.monotonic_ns().saturating_add(patience_ns));
            }
            started.push(item);
        }
        let mut decisions = Vec::with_capacity(count);
        for item in started {
            let answered = match item {
                Ok(started) => started.answer().await,
                Err(failure) => Err(failure),
            };
            decisions.push(item_answer(answered)?);
        }
        Ok(decisions)
    }

    /// Starts a command of a stream.
    pub(super) async fn start_command(
        self: &Arc<Self>,
        caller: &Caller,
        command: wire::Command,
        patience: Patience,
    ) -> Result<Started, Failure> {
        match command.command {
            Some(wire::command::Command::Accrue(request)) => self.start_accrual(caller, request, patience).await,
            Some(wire::command::Command::Reverse(request)) => self.start_reversal(caller, request, patience).await,
            None => Err(Failure::field("command", "It is required: an accrual or a reversal.")),
        }
    }
}

/// The answer to one item, or the failure of the call as a whole.
pub(super) fn item_answer(answered: Result<wire::Decision, Failure>) -> Result<wire::Decision, Failure> {
    answered.or_else(|failure| match failure.as_refusal() {
        Some((refusal, violations)) => Ok(answer::of_item_failure(refusal, violations)),
        None => Err(failure),
    })
}
