//! Accruals that are lodged: whoever has one whole leaves it here with what takes its answer, and nobody waits for it. No task is
//! made for it, and nothing is woken but the thread that carries answers.
//!
//! What must stay true: what is lodged is answered once, as [`super::express`] would have answered it; it counts as under way
//! until then.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use super::auth::Caller;
use super::batch::{Begun, Detained};
use super::express::message_of;
use super::intake::LeftOpen;
use super::lane::{Answered, Asking};
use super::patience::HEAD_BYTES;
use super::status::Failure;
use super::{Call, Edge};
use crate::shard::job::CommandJob;

/// Takes the answer to one accrual.
pub trait Reply: Send + 'static {
    /// It is this message, with what comes before each message.
    fn answered(self, message: Bytes);

    /// It is this failure.
    fn failed(self, status: Status);
}

/// An accrual that was lodged.
struct Lodged<R> {
    edge: Arc<Edge>,
    caller: Caller,
    due: Option<Instant>,
    reply: R,
    /// Until it is answered.
    _call: Call,
}

impl Edge {
    /// Takes over a message of one piece that is an `AccrueRequest`, with what comes before each message; it fails if it is not
    /// answered by `due`.
    pub fn lodge(
        self: &Arc<Self>,
        caller: Result<Caller, Status>,
        message: &Bytes,
        due: Option<Instant>,
        reply: impl Reply,
    ) {
        let caller = match caller {
            Ok(caller) => caller,
            Err(denied) => return reply.failed(denied),
        };
        let call = match self.enter() {
            Ok(call) => call,
            Err(failure) => return reply.failed(failure.into()),
        };
        let begun = self.begin_one(&caller, &message.slice(HEAD_BYTES..));
        let lodged = Box::new(Lodged { edge: self.clone(), caller, due, reply, _call: call });
        match begun {
            Ok(Begun::Prepared(job, left_open)) => self.lane.enter(job, left_open, due, lodged),
            Ok(Begun::Detained(answer)) => lodged.wait_for(answer),
            Err(failure) => lodged.answered(Err(failure)),
        }
    }
}

impl<R: Reply> Lodged<R> {
    /// What takes its time has a task of its own.
    fn wait_for(self: Box<Self>, answer: Detained) {
        tokio::spawn(async move {
            let answered = match self.due {
                None => answer.await,
                Some(due) => timeout_at(due, answer).await.unwrap_or(Err(Failure::DeadlineOutcomeUnknown)),
            };
            self.answered(answered);
        });
    }
}

impl<R: Reply> Asking for Lodged<R> {
    fn answered(self: Box<Self>, answered: Answered) {
        match answered {
            Ok(decision) => self.reply.answered(message_of(&decision)),
            Err(failure) => self.reply.failed(self.edge.counted(failure).into()),
        }
    }

    fn detained(self: Box<Self>, job: Box<CommandJob>, left_open: LeftOpen) {
        let answer = self.edge.detained(&self.caller, job, left_open);
        self.wait_for(answer);
    }
}
