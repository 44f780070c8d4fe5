//! A stream of commands: one task starts them in order, another answers them in order. Between them lies a bounded
//! queue of commands that are started and not answered.
//!
//! What must stay true:
//! - room in that queue is taken before a command is started, so that a caller who does not read its results never
//!   keeps a command half-way, with claims held;
//! - every command gets one result, in order; what ends the stream early comes after the results before it;
//! - a full worker makes the stream wait, and with it the caller, and so do more new names than the caller may bring: nothing
//!   that is to be decided is refused for want of room, so that nothing overtakes what was sent before it. Only the answer to a
//!   command that was decided before may be refused, where too much waits for the disk.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::auth::Caller;
use super::batch::{check_command, check_place, decode};
use super::raw::Raw;
use super::round::{Round, Starting};
use super::status::Failure;
use super::{Call, Edge, Life, Patience, encode, let_others_on, parse, wire};
use crate::access::meter::TooMuch;
use crate::access::table;
use crate::limits;

/// What is sent to the caller: `CommandStreamResponse` messages.
pub(super) type Results = ReceiverStream<Result<Raw, Status>>;

/// Messages that wait for the connection.
const MESSAGES_WAITING_MAX: usize = 2;

/// One message in the order of results.
enum Slot {
    /// Its commands are under way.
    Round(Round),
    /// The stream ends here, early.
    End(Status),
}

impl Edge {
    /// Serves a stream until the caller has half-closed it and all is answered, or it ends early.
    pub(super) fn serve_stream(self: &Arc<Self>, caller: Caller, call: Call, requests: Streaming<Raw>) -> Results {
        let call = call.of_stream();
        let (slots, started) = mpsc::channel(limits::STREAM_MESSAGES_IN_FLIGHT_MAX);
        let (messages, results) = mpsc::channel(MESSAGES_WAITING_MAX);
        let (edge, permit) = (self.clone(), caller.permit.clone());
        tokio::spawn(async move { edge.start_all(&caller, requests, &slots).await });
        tokio::spawn(async move {
            answer_all(started, &messages).await;
            drop((call, permit));
        });
        ReceiverStream::new(results)
    }

    async fn start_all(self: &Arc<Self>, caller: &Caller, mut requests: Streaming<Raw>, slots: &mpsc::Sender<Slot>) {
        let room = Arc::new(Semaphore::new(limits::STREAM_IN_FLIGHT_MAX));
        let end = loop {
            let message = tokio::select! {
                message = requests.message() => message,
                () = self.ended(Life::Stopping) => break Failure::ShuttingDown.into(),
            };
            let message = match message {
                Ok(Some(Raw(message))) => message,
                Ok(None) => return,
                // A message that cannot be taken, such as one that is too large; or the caller is gone, and nobody is told.
                Err(status) => break status,
            };
            let message = match Message::of(message) {
                Ok(message) => message,
                Err(failure) => break failure.into(),
            };
            // What is not permitted ends the stream before any command of the message is started.
            if let Err(failure) = self.check_message(caller, &message) {
                break failure.into();
            }
            let may_go_on = tokio::select! {
                may_go_on = self.wait_for_rate(caller, message.count) => may_go_on,
                // The answering side has gone, and the caller with it.
                () = slots.closed() => return,
            };
            if let Err(failure) = may_go_on {
                break failure.into();
            }
            // Both kinds of room first; when the queue is closed the answering side has gone.
            let Ok(place) = slots.reserve().await else { return };
            let Ok(permit) = room.clone().acquire_many_owned(message.count).await else { return };
            // Once more: a key may have been revoked while this waited.
            if !self.gate.still_admits(&caller.principal) {
                break Failure::CredentialUnknown.into();
            }
            let mut starting = Starting::new(self, caller, Patience::Unlimited, Some(permit));
            let started = tokio::select! {
                started = self.start_message(&mut starting, &message) => started,
                // As above; what was not handed over drops its claims.
                () = slots.closed() => return,
            };
            let round = starting.finish().await;
            let going_on = started.and_then(|()| round.check_going_on());
            place.send(Slot::Round(round));
            if let Err(failure) = going_on {
                break failure.into();
            }
        };
        // When the answering side has gone, so has the caller.
        let _ = slots.send(Slot::End(end)).await;
    }

    /// Waits until the credential may send so many commands more: a stream that is faster than it may be is slowed down,
    /// and refused nothing.
    async fn wait_for_rate(&self, caller: &Caller, count: u32) -> Result<(), Failure> {
        let Some(meter) = caller.principal.meter() else { return Ok(()) };
        let mut left = usize::try_from(count).unwrap_or(usize::MAX);
        while left > 0 {
            let some = left.min(meter.burst());
            match meter.charge(some) {
                Ok(()) => left -= some,
                Err(TooMuch::Rate(wait)) => tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = self.ended(Life::Stopping) => return Err(Failure::ShuttingDown),
                },
                Err(other) => return Err(Failure::of_limit(other)),
            }
        }
        Ok(())
    }

    /// Starts the commands of a message, up to one that ends the stream.
    async fn start_message(self: &Arc<Self>, starting: &mut Starting<'_>, message: &Message) -> Result<(), Failure> {
        match &message.content {
            Content::Ordinary(bytes) => {
                for command in parse::list(bytes) {
                    self.check_serving()?;
                    let command = command.expect("an ordinary message is a list");
                    match parse::accrual_of_command(command) {
                        Ok(view) => starting.start_accrual(&view).await,
                        Err(parse::Unusual) => starting.start_command(decode(command)?).await,
                    }
                }
            }
            Content::Whole(decoded) => {
                for command in &decoded.commands {
                    self.check_serving()?;
                    starting.start_command(command.clone()).await;
                }
            }
        }
        Ok(())
    }

    /// Whether the caller still is somebody, and may give every command of a message.
    fn check_message(&self, caller: &Caller, message: &Message) -> Result<(), Failure> {
        if !self.gate.still_admits(&caller.principal) {
            return Err(Failure::CredentialUnknown);
        }
        if caller.principal.grant.is_none() {
            return Ok(());
        }
        match &message.content {
            Content::Ordinary(bytes) => {
                caller.check_row(&table::ACCRUE)?;
                let is_held = caller.principal.held().is_some();
                for command in parse::list(bytes) {
                    let command = command.expect("an ordinary message is a list");
                    match parse::accrual_of_command(command) {
                        Ok(view) if is_held => check_place(caller, &view)?,
                        Ok(_) => {}
                        Err(parse::Unusual) => check_command(caller, &decode(command)?)?,
                    }
                }
                Ok(())
            }
            Content::Whole(decoded) => decoded.commands.iter().try_for_each(|command| check_command(caller, command)),
        }
    }

    fn check_serving(&self) -> Result<(), Failure> {
        if self.is_serving() { Ok(()) } else { Err(Failure::ShuttingDown) }
    }
}

/// A message whose commands can be started.
struct Message {
    content: Content,
    count: u32,
}

enum Content {
    /// A list of commands and nothing else.
    Ordinary(Bytes),
    /// Anything else that is a message.
    Whole(wire::CommandStreamRequest),
}

impl Message {
    fn of(bytes: Bytes) -> Result<Self, Failure> {
        let mut items = parse::list(&bytes);
        let counted = items.try_fold(0, |count: usize, item| item.map(|_| count + 1));
        let (content, count) = match counted {
            Ok(count) => (Content::Ordinary(bytes.clone()), count),
            Err(parse::Unusual) => {
                let decoded: wire::CommandStreamRequest = decode(&bytes)?;
                let count = decoded.commands.len();
                (Content::Whole(decoded), count)
            }
        };
        if count > limits::BATCH_COMMANDS_MAX {
            let most = limits::BATCH_COMMANDS_MAX;
            return Err(Failure::field("commands", format!("There are {count}, but at most {most} are allowed.")));
        }
        Ok(Self { content, count: u32::try_from(count).expect("a message is bounded") })
    }
}

/// Answers in order. Takes into one message whatever is answered already, and sends when the next would have to be
/// waited for.
async fn answer_all(mut slots: mpsc::Receiver<Slot>, messages: &mpsc::Sender<Result<Raw, Status>>) {
    let mut message = OpenMessage::default();
    let mut waiting = None;
    loop {
        let slot = match waiting.take().or_else(|| slots.try_recv().ok()) {
            Some(slot) => Some(slot),
            // Nothing is known of what comes next: what there is leaves now.
            None if message.send(messages).await.is_err() => return,
            None => tokio::select! {
                slot = slots.recv() => slot,
                // Whoever reads the results has gone: what is not started need not be.
                () = messages.closed() => return,
            },
        };
        let ended = match slot {
            None => return,
            Some(Slot::End(status)) => Err(status),
            Some(Slot::Round(mut round)) => {
                if !message.is_empty() && !round.is_ready() {
                    // The next round has to be waited for: what there is leaves first.
                    waiting = Some(Slot::Round(round));
                    if message.send(messages).await.is_err() {
                        return;
                    }
                    continue;
                }
                match answer_round(&mut round, &mut message, messages).await {
                    Ok(ended) => ended,
                    // Whoever reads the results has gone.
                    Err(Gone) => return,
                }
            }
        };
        if let Err(status) = ended {
            if message.send(messages).await.is_ok() {
                // Whoever reads the results may have gone.
                let _ = messages.send(Err(status)).await;
            }
            return;
        }
    }
}

/// Nobody reads the results any more.
struct Gone;

async fn answer_round(
    round: &mut Round,
    message: &mut OpenMessage,
    messages: &mpsc::Sender<Result<Raw, Status>>,
) -> Result<Result<(), Status>, Gone> {
    while !round.is_answered() {
        if !message.has_room() || (round.waits_for_others() && !round.is_ready()) {
            message.send(messages).await?;
        }
        if let Err(failure) = message.push(round).await {
            return Ok(Err(failure.into()));
        }
        if message.count.is_multiple_of(limits::STREAM_TURN_COMMANDS) {
            let_others_on().await;
        }
    }
    Ok(Ok(()))
}

/// Results on their way into one message.
#[derive(Default)]
struct OpenMessage {
    bytes: Vec<u8>,
    count: usize,
    /// The decision at hand.
    decision: Vec<u8>,
}

impl OpenMessage {
    fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn has_room(&self) -> bool {
        self.count < limits::STREAM_MESSAGE_RESULTS_MAX && self.bytes.len() < limits::STREAM_MESSAGE_BYTES_TARGET
    }

    /// Takes the next result of a round; hands back the failure of one that ends the stream.
    async fn push(&mut self, round: &mut Round) -> Result<(), Failure> {
        self.decision.clear();
        round.next_answer(&mut self.decision).await?;
        // A result is a message with the decision as its field 1, and is itself an item of the list in field 1.
        let length = self.decision.len();
        encode::item_header(&mut self.bytes, encode::item_header_bytes(length) + length);
        encode::item(&mut self.bytes, &self.decision);
        self.count += 1;
        Ok(())
    }

    /// Sends what there is, if there is anything.
    async fn send(&mut self, messages: &mpsc::Sender<Result<Raw, Status>>) -> Result<(), Gone> {
        if self.is_empty() {
            return Ok(());
        }
        self.count = 0;
        // The next message is likely to be as large.
        let next = Vec::with_capacity(self.bytes.len());
        let bytes = std::mem::replace(&mut self.bytes, next);
        messages.send(Ok(Raw(bytes.into()))).await.map_err(|_| Gone)
    }
}
