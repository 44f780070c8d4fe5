//! Accruals in one call, one or many: many are started one after the other and answered in the order of the request.
//!
//! What must stay true: a message that cannot be decoded is refused before any of it is started. For many see also
//! [`super::round`].

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use tokio::sync::oneshot;

use super::auth::Caller;
use super::command::Started;
use super::holds::Ending;
use super::intake::LeftOpen;
use super::lane::{Answered, Told};
use super::orders::Order;
use super::round::Starting;
use super::status::Failure;
use super::view::AccrualView;
use super::{Edge, Patience, answer, encode, parse, wire};
use crate::access::table;
use crate::ledger::decision::Refusal;
use crate::limits;
use crate::shard::job::CommandJob;

/// Room for a decision of one line.
const DECISION_BYTES_EXPECTED: usize = 128;

/// An accrual that was let in.
pub(super) enum Begun {
    /// It is ready for a worker, with what the caller left open.
    Prepared(Box<CommandJob>, LeftOpen),
    /// It has to wait for something before, or is answered without a worker.
    Detained(Detained),
}

/// An answer that takes its time. It lies in memory of its own, so that a call that only waits for its worker takes up
/// little.
pub(super) type Detained = Pin<Box<dyn Future<Output = Answered> + Send>>;

impl Edge {
    /// Decides an `AccrueRequest` and encodes an `AccrueResponse`.
    pub(super) async fn accrue_one(self: &Arc<Self>, caller: &Caller, request: &Bytes) -> Result<Bytes, Failure> {
        let answered = match self.begin_one(caller, request)? {
            Begun::Prepared(job, left_open) => match self.enter_one(job, left_open).await {
                Ok(Told::Answered(answered)) => answered,
                Ok(Told::Detained(job, left_open)) => self.detained(caller, job, left_open).await,
                Err(_) => Err(Failure::OutcomeUnknown),
            },
            Begun::Detained(answer) => answer.await,
        };
        Ok(in_response(&answered?))
    }

    /// Puts an accrual on its way.
    pub(super) fn enter_one(&self, job: Box<CommandJob>, left_open: LeftOpen) -> oneshot::Receiver<Told> {
        let (tell, told) = oneshot::channel();
        self.lane.enter(job, left_open, None, Box::new(tell));
        told
    }

    /// Reads an `AccrueRequest` and prepares it for its worker.
    pub(super) fn begin_one(self: &Arc<Self>, caller: &Caller, request: &Bytes) -> Result<Begun, Failure> {
        if self.lane.is_full() {
            return Err(Failure::Overloaded);
        }
        let decoded: wire::AccrueRequest;
        let view = match parse::accrual(request) {
            Ok(view) => view,
            Err(parse::Unusual) => {
                decoded = decode(request)?;
                if decoded.account_identifier.is_some() {
                    let (edge, caller) = (self.clone(), caller.clone());
                    return Ok(Begun::Detained(Box::pin(async move {
                        edge.start_named(&caller, decoded, Patience::None).await?.answer().await
                    })));
                }
                AccrualView::from(&decoded)
            }
        };
        let mut job = self.lane.spare();
        Ok(match self.prepare_accrual(caller, &view, &self.moment(), &mut job)? {
            Some(left_open) => Begun::Prepared(job, left_open),
            None => {
                let refused = Ok(self.refused(Refusal::NameLimitReached, None).encode_to_vec());
                Begun::Detained(Box::pin(std::future::ready(refused)))
            }
        })
    }

    /// Takes the long way with an accrual that the lane gave back.
    pub(super) fn detained(self: &Arc<Self>, caller: &Caller, job: Box<CommandJob>, left_open: LeftOpen) -> Detained {
        let (edge, caller) = (self.clone(), caller.clone());
        Box::pin(async move { edge.start_prepared(&caller, job, left_open, Patience::None).await?.answer().await })
    }

    /// Decides every item of an `AccrueBatchRequest` and encodes an `AccrueBatchResponse`; the outer failure is one of
    /// the call as a whole.
    pub(super) async fn accrue_all(self: &Arc<Self>, caller: &Caller, request: Bytes) -> Result<Bytes, Failure> {
        let ordinary =
            parse::list(&request).try_fold(0, |count, item| item.and_then(parse::accrual).map(|_| count + 1));
        let decoded: Option<wire::AccrueBatchRequest> = match ordinary {
            Ok(_) => None,
            Err(parse::Unusual) => Some(decode(&request)?),
        };
        let count = decoded.as_ref().map_or_else(|| ordinary.unwrap_or(0), |decoded| decoded.requests.len());
        if count == 0 || count > limits::BATCH_COMMANDS_MAX {
            let most = limits::BATCH_COMMANDS_MAX;
            return Err(Failure::field("requests", format!("There are {count}, but must be 1 to {most}.")));
        }
        caller.charge("requests", count)?;
        if caller.principal.held().is_some() {
            // Before any of them is started: what is not permitted fails the call as a whole.
            match &decoded {
                None => parse::list(&request)
                    .flat_map(|item| item.and_then(parse::accrual))
                    .try_for_each(|view| check_place(caller, &view))?,
                Some(decoded) => {
                    decoded.requests.iter().try_for_each(|request| check_place(caller, &AccrualView::from(request)))?;
                }
            }
        }
        let mut starting = Starting::new(self, caller, self.renewed(Patience::Until(0)), None);
        match &decoded {
            None => {
                for view in parse::list(&request).flat_map(|item| item.and_then(parse::accrual)) {
                    starting.start_accrual(&view).await;
                }
            }
            Some(decoded) => {
                for request in &decoded.requests {
                    if request.account_identifier.is_some() {
                        let command = wire::command::Command::Accrue(request.clone());
                        starting.start_command(wire::Command { command: Some(command) }).await;
                    } else {
                        starting.start_accrual(&AccrualView::from(request)).await;
                    }
                }
            }
        }
        let mut round = starting.finish().await;
        let mut out = Vec::with_capacity(count * DECISION_BYTES_EXPECTED);
        let mut decision = Vec::new();
        while !round.is_answered() {
            decision.clear();
            round.next_answer(&mut decision).await?;
            encode::item(&mut out, &decision);
        }
        Ok(out.into())
    }

    /// Patience from now on, of the same kind.
    pub(super) fn renewed(&self, patience: Patience) -> Patience {
        let patience_ns = i64::try_from(limits::BATCH_PATIENCE_MS * 1_000_000).unwrap_or(i64::MAX);
        match patience {
            Patience::Until(_) => Patience::Until(self.engine.clock.monotonic_ns().saturating_add(patience_ns)),
            other => other,
        }
    }

    /// Starts a command of a stream.
    pub(super) async fn start_command(
        self: &Arc<Self>,
        caller: &Caller,
        command: wire::Command,
        patience: Patience,
    ) -> Result<Started, Failure> {
        match command.command {
            Some(wire::command::Command::Accrue(request)) => self.start_named(caller, request, patience).await,
            Some(wire::command::Command::LinkIdentifier(request)) => {
                self.start_order(caller, Order::Link(request), patience).await
            }
            Some(wire::command::Command::UnlinkIdentifier(request)) => {
                self.start_order(caller, Order::Unlink(request), patience).await
            }
            Some(wire::command::Command::Reverse(request)) => self.start_reversal(caller, request, patience).await,
            Some(wire::command::Command::Redeem(request)) => {
                self.start_order(caller, Order::Redeem(request), patience).await
            }
            Some(wire::command::Command::Authorize(request)) => {
                self.start_order(caller, Order::Authorize(request), patience).await
            }
            Some(wire::command::Command::TopUp(request)) => {
                self.start_order(caller, Order::TopUp(request), patience).await
            }
            Some(wire::command::Command::Capture(request)) => {
                self.start_ending(caller, Ending::Capture(request), patience).await
            }
            Some(wire::command::Command::VoidAuthorization(request)) => {
                self.start_ending(caller, Ending::Void(request), patience).await
            }
            Some(wire::command::Command::RecordActivity(request)) => {
                self.start_order(caller, Order::Record(request), patience).await
            }
            Some(wire::command::Command::Enrol(request)) => {
                self.start_order(caller, Order::Enrol(request), patience).await
            }
            Some(wire::command::Command::LoadOpeningBalance(request)) => {
                self.start_order(caller, Order::Load(request), patience).await
            }
            None => Err(Failure::field("command", "It is required: one of the kinds of command.")),
        }
    }
}

/// An encoded decision as the field of its response.
fn in_response(decision: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(encode::item_header_bytes(decision.len()) + decision.len());
    encode::item(&mut out, decision);
    out.into()
}

/// Whether an accrual may be brought from where it comes from; one that says nothing of it is judged as a field's fault.
pub(super) fn check_place(caller: &Caller, view: &AccrualView<'_>) -> Result<(), Failure> {
    view.basket.as_ref().map_or(Ok(()), |basket| caller.check_place(basket.store_id, basket.terminal_id))
}

/// Whether a command of a stream may be given.
pub(super) fn check_command(caller: &Caller, command: &wire::Command) -> Result<(), Failure> {
    use wire::command::Command;
    match &command.command {
        Some(Command::Accrue(request)) => {
            caller.check_row(&table::ACCRUE)?;
            check_place(caller, &AccrualView::from(request))
        }
        Some(Command::Reverse(_)) => caller.check_row(&table::REVERSE),
        Some(Command::Redeem(_)) => caller.check_row(&table::REDEEM),
        Some(Command::Authorize(_)) => caller.check_row(&table::AUTHORIZE),
        Some(Command::TopUp(request)) => {
            caller.check_row(&table::TOP_UP)?;
            caller.check_place(&request.store_id, &request.terminal_id)
        }
        Some(Command::Capture(_)) => caller.check_row(&table::CAPTURE),
        Some(Command::VoidAuthorization(_)) => caller.check_row(&table::VOID),
        Some(Command::RecordActivity(_)) => caller.check_row(&table::RECORD_ACTIVITY),
        Some(Command::Enrol(_)) => caller.check_row(&table::ENROL),
        Some(Command::LinkIdentifier(_)) => caller.check_row(&table::LINK_IDENTIFIER),
        Some(Command::UnlinkIdentifier(_)) => caller.check_row(&table::UNLINK_IDENTIFIER),
        Some(Command::LoadOpeningBalance(_)) => caller.check_row(&table::LOAD_OPENING_BALANCE),
        None => Ok(()),
    }
}

/// A message that was left to the decoder of whole messages.
pub(super) fn decode<T: Message + Default>(bytes: &[u8]) -> Result<T, Failure> {
    T::decode(bytes).map_err(|error| Failure::undecodable(&error))
}

/// The answer to one item, or the failure of the call as a whole.
pub(super) fn item_answer(answered: Answered) -> Answered {
    answered.or_else(|failure| match failure.as_refusal() {
        Some((refusal, violations)) => Ok(answer::of_item_failure(refusal, violations).encode_to_vec()),
        None => Err(failure),
    })
}
