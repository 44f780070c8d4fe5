//! The direct way of an accrual that is here whole when its call is taken: it is judged and put on its way at once, and its answer
//! goes from the lane into the transport. It has no task, and nothing is woken for it alone.
//!
//! What must stay true: no caller can tell this way from that of all other calls (decision 0072); a call that does not fit goes
//! on with every byte that it brought; the layers around the services and what is done here say the same.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use hyper::Request;
use tokio::time::Instant;
use tonic::Status;

use super::conduct::Conduct;
use super::guarded::{Open, Part, poll_piece};
use crate::access::gate::Session;
use crate::service::Edge;
use crate::service::auth::AccessLayer;
use crate::service::deadline::Timeout;
use crate::service::express::{ACCRUE, all_is_well, fits, head, is_one_message};
use crate::service::lodge::Reply;
use crate::telemetry::calls::{CallLayer, CallWatch};

/// See the module.
pub struct Direct {
    /// Answers accruals.
    pub edge: Arc<Edge>,
    /// Judges them.
    pub access: AccessLayer,
    /// Counts them.
    pub watched: CallLayer,
}

/// A call that goes on.
pub(super) struct Left {
    pub(super) request: Request<RecvStream>,
    /// What was read of its body.
    pub(super) came: Option<Bytes>,
    pub(super) respond: SendResponse<Part>,
}

impl Direct {
    /// Takes a call if it is an accrual that is here whole. Gives any other back.
    pub(super) fn take(&self, mut left: Left, session: &Session, conduct: &Arc<Conduct>) -> Option<Left> {
        if !fits(&left.request) || !conduct.has_room() {
            return Some(left);
        }
        let (came, is_whole) = read(left.request.body_mut());
        let Some(message) = came.clone().filter(|_| is_whole) else { return Some(Left { came, ..left }) };
        let headers = left.request.headers();
        let watch = self.watched.begin(ACCRUE, headers);
        let timeout = Timeout::of(headers);
        let due = timeout.map(|timeout| Instant::now() + timeout.duration());
        let caller = self.access.judge_accrual(headers, session, timeout);
        let reply = Replying { respond: left.respond, open: Open::new(conduct.clone()), watch };
        self.edge.lodge(caller, &message, due, reply);
        None
    }
}

/// What is here of a body, and whether that is all of it and one message.
fn read(stream: &mut RecvStream) -> (Option<Bytes>, bool) {
    // Nobody is woken: whatever has not come is waited for by whoever the call goes on to.
    let mut cx = Context::from_waker(Waker::noop());
    let mut message: Option<Bytes> = None;
    while !stream.is_end_stream() {
        let Poll::Ready(Some(Ok(piece))) = poll_piece(stream, &mut cx) else { return (message, false) };
        match &message {
            None => {
                let is_one = is_one_message(&piece);
                message = Some(piece);
                if !is_one {
                    return (message, false);
                }
            }
            Some(_) if piece.is_empty() => {}
            Some(before) => return (Some([before.as_ref(), &piece].concat().into()), false),
        }
    }
    let is_whole = message.is_some();
    (message, is_whole)
}

/// Takes the answer to one call.
struct Replying {
    respond: SendResponse<Part>,
    open: Open,
    watch: CallWatch,
}

impl Replying {
    /// A caller who has given the call up is answered nothing.
    fn end(self, sent: Result<(), h2::Error>, code: usize) {
        self.watch.end(code);
        match sent {
            Ok(()) => self.open.close(),
            Err(error) => tracing::debug!(%error, "an answer was not taken"),
        }
    }
}

impl Reply for Replying {
    fn answered(mut self, message: Bytes) {
        // What has no room yet is kept by the transport: it is small.
        let sent = self.respond.send_response(head(), false).and_then(|mut stream| {
            stream.send_data(self.open.part(message), false)?;
            stream.send_trailers(all_is_well())
        });
        self.end(sent, 0);
    }

    fn failed(mut self, status: Status) {
        let code = status.code() as usize;
        let sent = self.respond.send_response(status.into_http::<()>(), true).map(drop);
        self.end(sent, code);
    }
}
