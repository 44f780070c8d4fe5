//! A stream of commands: one task starts them in order, another answers them in order. Between them lies a bounded
//! queue of commands that are started and not answered.
//!
//! What must stay true:
//! - room in that queue is taken before a command is started, so that a caller who does not read its results never
//!   keeps a command half-way, with claims held;
//! - every command gets one result, in order; what ends the stream early comes after the results before it;
//! - a full worker makes the stream wait, and with it the caller: nothing is refused for want of room.

use std::sync::Arc;

use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::auth::Caller;
use super::batch::item_answer;
use super::command::Started;
use super::status::Failure;
use super::{Call, Edge, Life, Patience, wire};
use crate::limits;

/// What is sent to the caller.
pub(super) type Results = ReceiverStream<Result<wire::CommandStreamResponse, Status>>;

/// Messages that wait for the connection.
const MESSAGES_WAITING_MAX: usize = 2;

/// One place in the order of results.
enum Slot {
    /// A command, or why it was not started.
    Command(Result<Started, Failure>),
    /// The stream ends here, early.
    End(Failure),
}

impl Edge {
    /// Serves a stream until the caller has half-closed it and all is answered, or it ends early.
    pub(super) fn serve_stream(
        self: &Arc<Self>,
        caller: Caller,
        call: Call,
        requests: Streaming<wire::CommandStreamRequest>,
    ) -> Results {
        let (slots, started) = mpsc::channel(limits::STREAM_IN_FLIGHT_MAX);
        let (messages, results) = mpsc::channel(MESSAGES_WAITING_MAX);
        let edge = self.clone();
        tokio::spawn(async move { edge.start_all(&caller, requests, &slots).await });
        tokio::spawn(async move {
            answer_all(started, &messages).await;
            drop(call);
        });
        ReceiverStream::new(results)
    }

    async fn start_all(
        self: &Arc<Self>,
        caller: &Caller,
        mut requests: Streaming<wire::CommandStreamRequest>,
        slots: &mpsc::Sender<Slot>,
    ) {
        let end = loop {
            let message = tokio::select! {
                message = requests.message() => message,
                () = self.ended(Life::Stopping) => break Failure::ShuttingDown,
            };
            // An error here means that the caller is gone: there is nobody to tell.
            let Ok(Some(message)) = message else { return };
            let count = message.commands.len();
            if count > limits::BATCH_COMMANDS_MAX {
                let most = limits::BATCH_COMMANDS_MAX;
                break Failure::field("commands", format!("There are {count}, but at most {most} are allowed."));
            }
            if let Err(end) = self.start_message(caller, message, slots).await {
                break end;
            }
        };
        // When the answering side has gone, so has the caller.
        let _ = slots.send(Slot::End(end)).await;
    }

    async fn start_message(
        self: &Arc<Self>,
        caller: &Caller,
        message: wire::CommandStreamRequest,
        slots: &mpsc::Sender<Slot>,
    ) -> Result<(), Failure> {
        for command in message.commands {
            if !self.is_serving() {
                return Err(Failure::ShuttingDown);
            }
            let Ok(place) = slots.reserve().await else { return Err(Failure::ShuttingDown) };
            place.send(Slot::Command(self.start_command(caller, command, Patience::Unlimited).await));
        }
        Ok(())
    }
}

/// Answers in order. Takes into one message whatever is answered already, and sends when the next would have to be
/// waited for.
async fn answer_all(
    mut slots: mpsc::Receiver<Slot>,
    messages: &mpsc::Sender<Result<wire::CommandStreamResponse, Status>>,
) {
    let mut waiting = None;
    loop {
        let first = match waiting.take() {
            Some(slot) => slot,
            None => match slots.recv().await {
                Some(slot) => slot,
                None => return,
            },
        };
        let mut message = OpenMessage::default();
        let mut end = match first {
            Slot::Command(started) => message.push(answer(started).await),
            Slot::End(failure) => Err(failure),
        };
        while end.is_ok() && message.has_room() {
            let Ok(slot) = slots.try_recv() else { break };
            match answer_now(slot) {
                Ok(answered) => end = message.push(answered),
                Err(slot) => {
                    waiting = Some(slot);
                    break;
                }
            }
        }
        if !message.results.is_empty() && messages.send(Ok(message.into_response())).await.is_err() {
            return;
        }
        if let Err(failure) = end {
            // Whoever reads the results may have gone.
            let _ = messages.send(Err(failure.into())).await;
            return;
        }
    }
}

/// Results on their way into one message.
#[derive(Default)]
struct OpenMessage {
    results: Vec<wire::CommandResult>,
    bytes: usize,
}

impl OpenMessage {
    fn has_room(&self) -> bool {
        self.results.len() < limits::STREAM_MESSAGE_RESULTS_MAX && self.bytes < limits::STREAM_MESSAGE_BYTES_TARGET
    }

    /// Takes a result; hands back the failure of one that ends the stream.
    fn push(&mut self, answered: Result<wire::Decision, Failure>) -> Result<(), Failure> {
        let result = wire::CommandResult { decision: Some(item_answer(answered)?) };
        self.bytes += result.encoded_len();
        self.results.push(result);
        Ok(())
    }

    fn into_response(self) -> wire::CommandStreamResponse {
        wire::CommandStreamResponse { results: self.results }
    }
}

async fn answer(started: Result<Started, Failure>) -> Result<wire::Decision, Failure> {
    started?.answer().await
}

/// The answer, if nothing has to be waited for; the slot otherwise.
fn answer_now(slot: Slot) -> Result<Result<wire::Decision, Failure>, Slot> {
    match slot {
        Slot::End(failure) => Err(Slot::End(failure)),
        Slot::Command(Err(failure)) => Ok(Err(failure)),
        Slot::Command(Ok(Started::Answered(decision))) => Ok(Ok(*decision)),
        Slot::Command(Ok(Started::Submitted(mut submitted))) => match submitted.try_answer() {
            Some(answered) => Ok(answered),
            None => Err(Slot::Command(Ok(Started::Submitted(submitted)))),
        },
        Slot::Command(Ok(Started::Lookup(lookup))) => Err(Slot::Command(Ok(Started::Lookup(lookup)))),
    }
}
