//! Streams of commands: batches are sent while others are unanswered, and counted when the last of their results came.
//!
//! What must stay true: no more than a window of batches is unanswered on a stream; memory does not grow with time; a
//! result too many or too few ends the run, and so does one that is neither good nor a refusal for want of capacity.

use std::cell::Cell;
use std::collections::VecDeque;

use prost::bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::baskets::Source;
use super::channel::{Connection, broken, command_stream};
use super::error::BenchError;
use super::raw::{Verdict, stream_response};
use super::recorder::{Measured, Recorder};
use super::run::{Division, Lane, run};

/// Batches on their way.
#[derive(Clone, Copy, Debug)]
pub struct Batches {
    /// Commands of a batch, at least 1.
    pub command_count: usize,
    /// Batches unanswered on each stream, at least 1.
    pub in_flight: usize,
}

/// What happens on a stream.
pub enum Event {
    /// A command was answered.
    Result(Verdict),
    /// A message of results was read; it had so many bytes.
    Message {
        /// Bytes.
        response_bytes: usize,
    },
    /// The oldest batch is answered.
    Batch {
        /// What its sender said when it was sent.
        sent_ns: i64,
        /// Commands.
        command_count: usize,
        /// Bytes of the request.
        request_bytes: usize,
    },
}

/// A batch to send.
pub struct Batch {
    /// The encoded request.
    pub bytes: Bytes,
    /// Its commands.
    pub command_count: usize,
    /// When it was made.
    pub sent_ns: i64,
}

/// Sends what `next` gives until it gives nothing, and waits for all results.
///
/// # Errors
/// When the stream breaks, or a result cannot be read.
pub async fn pump(
    channel: Connection,
    in_flight_max: usize,
    mut next: impl FnMut() -> Option<Batch>,
    mut on_event: impl FnMut(Event),
) -> Result<(), BenchError> {
    let in_flight_max = in_flight_max.max(1);
    let (sender, receiver) = mpsc::channel::<Bytes>(in_flight_max);
    let mut sender = Some(sender);
    let mut unanswered: VecDeque<(i64, usize, usize, usize)> = VecDeque::new();
    let mut answers = None;
    let mut requests = Some(ReceiverStream::new(receiver));
    loop {
        while unanswered.len() < in_flight_max {
            let Some(open) = &sender else { break };
            match next() {
                Some(Batch { bytes, command_count, sent_ns }) => {
                    unanswered.push_back((sent_ns, command_count, command_count, bytes.len()));
                    if open.send(bytes).await.is_err() {
                        // The answers say why.
                        sender = None;
                    }
                }
                None => sender = None,
            }
        }
        let answers = match &mut answers {
            Some(answers) => answers,
            none => {
                let requests = requests.take().expect("a stream is opened once");
                none.insert(command_stream(channel.clone(), requests).await.map_err(|status| broken(&status))?)
            }
        };
        match answers.message().await.map_err(|status| broken(&status))? {
            Some(message) => take(&message, &mut unanswered, &mut on_event)?,
            None if unanswered.is_empty() && sender.is_none() => return Ok(()),
            None => return Err(BenchError::Call("the server ended a stream early".to_owned())),
        }
    }
}

/// Counts the results of a message against the batches that are unanswered.
fn take(
    message: &Bytes,
    unanswered: &mut VecDeque<(i64, usize, usize, usize)>,
    on_event: &mut impl FnMut(Event),
) -> Result<(), BenchError> {
    let mut surplus_count = 0;
    let read = stream_response(message, |verdict| {
        on_event(Event::Result(verdict));
        let Some((_, left, ..)) = unanswered.front_mut() else {
            surplus_count += 1;
            return;
        };
        *left -= 1;
        if *left == 0
            && let Some((sent_ns, _, command_count, request_bytes)) = unanswered.pop_front()
        {
            on_event(Event::Batch { sent_ns, command_count, request_bytes });
        }
    });
    on_event(Event::Message { response_bytes: message.len() });
    match read {
        Some(()) if surplus_count == 0 => Ok(()),
        Some(()) => Err(BenchError::Call(format!("the server sent {surplus_count} results too many"))),
        None => Err(BenchError::Call("results cannot be read".to_owned())),
    }
}

/// Runs the load, one stream on each connection; `source` makes the source of a connection from its number.
///
/// # Errors
/// When a stream breaks, or a command is answered otherwise than accepted or refused for want of capacity.
pub fn load(
    division: &Division,
    batches: Batches,
    source: &(dyn Fn(usize) -> Source + Sync),
) -> Result<Measured, BenchError> {
    run(division, |lane| {
        let source = source(lane.index);
        async move { one_stream(&lane, batches, source).await }
    })
}

async fn one_stream(lane: &Lane, batches: Batches, mut source: Source) -> Result<Recorder, BenchError> {
    let mut recorder = Recorder::new(lane.window);
    // The first result that no load may have: nothing more is sent.
    let wrong = Cell::new(None);
    let next = || {
        let now_ns = lane.now_ns();
        (wrong.get().is_none() && now_ns < lane.window.end_ns).then(|| Batch {
            bytes: source.batch(batches.command_count),
            command_count: batches.command_count,
            sent_ns: now_ns,
        })
    };
    let (mut last_ns, mut now_ns, mut accepted_count) = (lane.window.begin_ns, 0, 0);
    let mut is_first = true;
    pump(lane.channel.clone(), batches.in_flight, next, |event| {
        // The clock is read once a message: its results are there together.
        if is_first {
            now_ns = lane.now_ns();
            is_first = false;
        }
        match event {
            Event::Result(verdict) => match verdict.counted() {
                Ok(None) => accepted_count += 1,
                Ok(Some(kind)) => recorder.refused(now_ns, kind),
                Err(_) => wrong.set(wrong.get().or(Some(verdict))),
            },
            Event::Batch { sent_ns, request_bytes, .. } => {
                recorder.took(now_ns, now_ns - sent_ns);
                recorder.message(now_ns, request_bytes, 0);
            }
            Event::Message { response_bytes } => {
                if recorder.counts(now_ns) {
                    recorder.response_bytes += response_bytes as u64;
                }
                recorder.accepted(now_ns, accepted_count);
                accepted_count = 0;
                lane.pulse.beat(now_ns);
                recorder.gap(last_ns, now_ns);
                last_ns = now_ns;
                is_first = true;
            }
        }
    })
    .await?;
    if let Some(wrong) = wrong.get() {
        wrong.counted()?;
    }
    recorder.gap(last_ns, lane.window.end_ns);
    Ok(recorder)
}
