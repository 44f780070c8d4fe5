//! Accruals that are lodged: whoever has one whole leaves it here with what takes its answer, and nobody waits for it. No task is
//! made for it, and nothing is woken but the thread that carries answers.
//!
//! What must stay true: what is lodged is answered once, as [`super::express`] would have answered it; it counts as under way
//! until then.

use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};
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

    /// Whether nobody takes it any more; otherwise whoever polls is woken when that is so.
    fn poll_given_up(&mut self, cx: &mut Context<'_>) -> Poll<()>;
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
    /// What takes its time has a task of its own, which is given up with the call.
    fn wait_for(mut self: Box<Self>, mut answer: Detained) {
        tokio::spawn(async move {
            let due = self.due;
            let answered = tokio::select! {
                biased;
                answered = &mut answer => answered,
                () = poll_fn(|cx| self.reply.poll_given_up(cx)) => return,
                () = until(due) => Err(Failure::DeadlineOutcomeUnknown),
            };
            self.answered(answered);
        });
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
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
