//! Sends commands over one `CommandStream` after the other until every command has a definite answer.
//!
//! What must stay true:
//! - commands are sent in their order, and sent again in their order, so that what one account sees keeps its order;
//! - nothing is on its way behind an unlinking: what follows may need the identifier;
//! - a command counts as answered only by a definite answer: accepted, replayed, or refused for a reason that waiting
//!   does not lift. A refusal for want of capacity is followed by sending it again, once everything sent before has its
//!   answer;
//! - when a connection breaks, all that has no answer is sent again with the same ids, which makes repeating harmless;
//! - no more than a window of commands is unanswered, and no more is kept in memory;
//! - after a stated time without any definite answer it gives up, and says why.

use std::collections::VecDeque;
use std::time::Duration;

use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::cli::client::{Clients, Server, is_passing, sentence};
use crate::cli::error::{CliError, Exit};
use crate::clock::{Clock, SystemClock};
use crate::ledger::decision;
use crate::limits;
use crate::service::wire::{
    Command, CommandResult, CommandStreamRequest, CommandStreamResponse, Decision, Refusal, RetryAdvice, command,
};

/// Commands in one message: enough that a message costs little, few enough that answers come soon.
const MESSAGE_COMMANDS: usize = 256;
/// Bytes of commands in one message; one command more always fits the limit of a message.
const MESSAGE_BYTES: usize = limits::MESSAGE_BYTES_MAX / 4;
/// Messages that wait for the connection to take them.
const MESSAGES_WAITING: usize = 4;
/// The first pause before something is tried again; it doubles up to the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How to send.
#[derive(Clone, Copy, Debug)]
pub struct PumpOptions {
    /// Commands that may be unanswered at once.
    pub window_max: usize,
    /// How long to go on without any definite answer.
    pub patience: Duration,
}

/// A command on its way.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The line of the file in which it begins.
    pub line: u64,
    /// Rows of the file that it was made of.
    pub row_count: u64,
    /// The command.
    pub command: Command,
}

impl Outgoing {
    /// Whether nothing may be sent behind it before it is answered. An identifier is free for another account only once
    /// its unlinking is answered.
    fn is_barrier(&self) -> bool {
        matches!(self.command.command, Some(command::Command::UnlinkIdentifier(_)))
    }
}

/// Where commands come from, and where answers go.
pub trait Ends {
    /// The next command; `None` when there are no more.
    ///
    /// # Errors
    /// When the source cannot go on. What was returned before is still sent and answered.
    fn next(&mut self) -> Result<Option<Outgoing>, CliError>;

    /// Takes the definite answer to a command. Answers come in the order of the commands, but for those that were sent
    /// again.
    ///
    /// # Errors
    /// When there is no use in going on.
    fn answered(&mut self, sent: &Outgoing, decision: &Decision) -> Result<(), CliError>;

    /// Hears that the connection broke, or that the server asked for patience, and why; all goes on.
    fn interrupted(&mut self, why: &str);
}

/// What it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Commands sent, those sent again counted each time.
    pub sent_count: u64,
    /// Connections that broke.
    pub broken_count: u64,
    /// Refusals that asked for the same command again.
    pub put_off_count: u64,
}

/// Why a connection is not used further.
enum End {
    /// Try another one.
    Broken(CliError),
    /// There is no use in trying.
    Fatal(CliError),
}

/// The state of sending.
pub struct Pump<'a> {
    server: &'a Server,
    options: PumpOptions,
    ends: &'a mut dyn Ends,
    /// Commands without a definite answer, in order; the first `on_wire` of them were sent on this connection.
    unanswered: VecDeque<Outgoing>,
    on_wire: usize,
    /// Commands that the server asked to be sent again, in order; all of them come before `unanswered`.
    again: Vec<Outgoing>,
    source_ended: bool,
    source_error: Option<CliError>,
    clock: SystemClock,
    answered_at_ns: i64,
    pause: Duration,
    effort: Effort,
}

impl<'a> Pump<'a> {
    /// A pump that has sent nothing.
    pub fn new(server: &'a Server, options: PumpOptions, ends: &'a mut dyn Ends) -> Self {
        let clock = SystemClock::new();
        Self {
            server,
            options,
            ends,
            unanswered: VecDeque::new(),
            on_wire: 0,
            again: Vec::new(),
            source_ended: false,
            source_error: None,
            answered_at_ns: clock.monotonic_ns(),
            clock,
            pause: PAUSE_FIRST,
            effort: Effort::default(),
        }
    }

    /// Sends everything and returns when everything is answered. What the effort was is stated also on failure.
    ///
    /// # Errors
    /// When the source fails (all before it is answered then), the server refuses the stream as such, or the patience
    /// is over.
    pub async fn run(mut self) -> (Effort, Result<(), CliError>) {
        let result = loop {
            match self.use_connection().await {
                Ok(()) => break self.source_error.take().map_or(Ok(()), Err),
                Err(End::Fatal(error)) => break Err(error),
                Err(End::Broken(error)) => {
                    self.effort.broken_count += 1;
                    if let Err(error) = self.wait_to_try_again(error).await {
                        break Err(error);
                    }
                }
            }
        };
        (self.effort, result)
    }

    async fn wait_to_try_again(&mut self, error: CliError) -> Result<(), CliError> {
        self.check_patience(&error.to_string())?;
        self.ends.interrupted(&error.to_string());
        self.sleep().await;
        Ok(())
    }

    async fn sleep(&mut self) {
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    fn check_patience(&self, why: &str) -> Result<(), CliError> {
        let waited_ns = u64::try_from(self.clock.monotonic_ns() - self.answered_at_ns).unwrap_or(0);
        if Duration::from_nanos(waited_ns) < self.options.patience {
            return Ok(());
        }
        let message = format!("no answer came for {} s, and the last reason was: {why}", waited_ns / 1_000_000_000);
        Err(CliError::new(Exit::Unavailable, message)
            .hint("start the same import again once the server is well; what it has is not taken twice"))
    }

    /// Connects and sends until everything is answered.
    async fn use_connection(&mut self) -> Result<(), End> {
        let mut clients = self.server.connect().await.map_err(End::Broken)?;
        self.take_up_again();
        self.on_wire = 0;
        let (sender, receiver) = mpsc::channel(MESSAGES_WAITING);
        // A server may wait for the first message before it answers the call.
        while let Ok(permit) = sender.try_reserve() {
            let Some(message) = self.next_message() else { break };
            permit.send(message);
        }
        let mut answers = self.open_stream(&mut clients, receiver).await?;
        while !self.is_done() {
            if self.on_wire == 0 && !self.again.is_empty() {
                self.sleep().await;
                self.take_up_again();
            }
            let may_send = self.again.is_empty() && self.has_more() && self.has_room();
            tokio::select! {
                permit = sender.reserve(), if may_send => match permit {
                    Ok(permit) => if let Some(message) = self.next_message() {
                        permit.send(message);
                    },
                    // The connection is gone; reading it says why.
                    Err(_) => self.take_answers(answers.message().await)?,
                },
                received = answers.message(), if self.on_wire > 0 => self.take_answers(received)?,
                () = tokio::time::sleep(self.options.patience) => {
                    return Err(End::Broken(CliError::new(Exit::Unavailable, "the server does not answer")));
                }
            }
        }
        Ok(())
    }

    async fn open_stream(
        &self,
        clients: &mut Clients,
        receiver: mpsc::Receiver<CommandStreamRequest>,
    ) -> Result<Streaming<CommandStreamResponse>, End> {
        let opened = clients.ledger.command_stream(ReceiverStream::new(receiver));
        match tokio::time::timeout(self.options.patience, opened).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.end_by(&status)),
            Err(_) => Err(End::Broken(CliError::new(Exit::Unavailable, "the server does not answer"))),
        }
    }

    fn end_by(&self, status: &Status) -> End {
        if is_passing(status.code()) {
            End::Broken(CliError::new(Exit::Unavailable, format!("the stream broke: {}", sentence(status))))
        } else {
            End::Fatal(self.server.failure("the stream of commands", status))
        }
    }

    /// Puts what the server asked for again in front of what follows it.
    fn take_up_again(&mut self) {
        for outgoing in self.again.drain(..).rev() {
            self.unanswered.push_front(outgoing);
        }
    }

    fn is_done(&self) -> bool {
        self.source_ended && self.unanswered.is_empty() && self.again.is_empty()
    }

    fn has_more(&self) -> bool {
        self.on_wire < self.unanswered.len() || !self.source_ended
    }

    /// Whether one more command may be on its way.
    fn has_room(&self) -> bool {
        let last = self.on_wire.checked_sub(1).and_then(|last| self.unanswered.get(last));
        self.on_wire < self.options.window_max && !last.is_some_and(Outgoing::is_barrier)
    }

    /// The next message, within the window; `None` when there is nothing to send now.
    fn next_message(&mut self) -> Option<CommandStreamRequest> {
        let mut commands = Vec::new();
        let mut bytes = 0;
        while commands.len() < MESSAGE_COMMANDS && bytes < MESSAGE_BYTES && self.has_room() {
            if self.on_wire == self.unanswered.len() {
                self.pull();
            }
            let Some(outgoing) = self.unanswered.get(self.on_wire) else { break };
            bytes += outgoing.command.encoded_len();
            commands.push(outgoing.command.clone());
            self.on_wire += 1;
            self.effort.sent_count += 1;
        }
        (!commands.is_empty()).then_some(CommandStreamRequest { commands })
    }

    /// Takes one command from the source.
    fn pull(&mut self) {
        if self.source_ended {
            return;
        }
        match self.ends.next() {
            Ok(Some(outgoing)) => self.unanswered.push_back(outgoing),
            Ok(None) => self.source_ended = true,
            Err(error) => {
                self.source_ended = true;
                self.source_error = Some(error);
            }
        }
    }

    fn take_answers(&mut self, received: Result<Option<CommandStreamResponse>, Status>) -> Result<(), End> {
        match received {
            Ok(Some(response)) => {
                for result in response.results {
                    self.take_answer(result)?;
                }
                Ok(())
            }
            Ok(None) => {
                Err(End::Broken(CliError::new(Exit::Unavailable, "the server ended the stream before its last answer")))
            }
            Err(status) => Err(self.end_by(&status)),
        }
    }

    fn take_answer(&mut self, result: CommandResult) -> Result<(), End> {
        let contradiction =
            || End::Fatal(CliError::new(Exit::Unavailable, "the server's answers do not fit the commands sent"));
        if self.on_wire == 0 {
            return Err(contradiction());
        }
        let outgoing = self.unanswered.pop_front().ok_or_else(contradiction)?;
        self.on_wire -= 1;
        let decision = result.decision.ok_or_else(contradiction)?;
        let asks_again = decision.refusal.as_ref().filter(|refusal| asks_for_patience(refusal));
        let asks_again = asks_again.map(|refusal| refusal.message.clone());
        if let Some(why) = asks_again {
            self.effort.put_off_count += 1;
            if self.again.is_empty() {
                self.ends.interrupted(&why);
            }
            self.again.push(outgoing);
            return self.check_patience(&why).map_err(End::Fatal);
        }
        self.answered_at_ns = self.clock.monotonic_ns();
        self.pause = PAUSE_FIRST;
        self.ends.answered(&outgoing, &decision).map_err(End::Fatal)
    }
}

/// Whether the same command can be answered otherwise without anything being corrected. A code that this program does
/// not know is taken by its advice.
pub(super) fn asks_for_patience(refusal: &Refusal) -> bool {
    let known = u8::try_from(refusal.code).ok().and_then(decision::Refusal::from_number);
    known.map_or_else(|| refusal.retry_advice() == RetryAdvice::SameId, decision::Refusal::is_transient)
}

impl std::fmt::Debug for Pump<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pump").field("effort", &self.effort).finish_non_exhaustive()
    }
}
