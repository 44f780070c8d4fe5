//! The direct way of an accrual that comes whole: it is judged and put on its way at once, and its answer goes from the lane
//! into the transport. It has no task, and nothing is woken for it alone. One whose message is still on its way is kept for a
//! moment: many a caller's library sends the head of a call a little before its message.
//!
//! What must stay true: no caller can tell this way from that of all other calls (decision 0073); a call that does not fit, or is
//! not here in time, goes on with every byte that it brought; the layers around the services and what is done here say the same.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use hyper::Request;
use tokio::time::{Sleep, sleep};
use tonic::Status;

use super::conduct::Conduct;
use super::guarded::{Open, Part, poll_piece};
use crate::access::gate::Session;
use crate::limits;
use crate::service::Edge;
use crate::service::auth::AccessLayer;
use crate::service::deadline::Timeout;
use crate::service::express::{ACCRUE, all_is_well, fits, head, is_one_message};
use crate::service::lodge::Reply;
use crate::telemetry::calls::{CallLayer, CallWatch};

/// A call whose message is not here is kept for so long.
const PATIENCE: Duration = Duration::from_millis(5);
/// So many calls of one connection are kept.
const KEPT_MAX: usize = 64;

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

/// What becomes of a call.
enum Taken {
    /// It is on its way.
    Lodged,
    /// It fits as far as it has come.
    Early(Left),
    /// It goes another way.
    Unfit(Left),
}

impl Direct {
    fn take(&self, mut left: Left, session: &Session, conduct: &Arc<Conduct>) -> Taken {
        if !fits(&left.request) || !conduct.has_room() || conduct.calls_open() >= limits::CONNECTION_STREAMS_MAX {
            return Taken::Unfit(left);
        }
        if left.respond.poll_reset(&mut Context::from_waker(Waker::noop())).is_ready() {
            // It was given up before anybody looked at it.
            return Taken::Unfit(left);
        }
        let message = match read(&mut left) {
            Some(true) => left.came,
            Some(false) => return Taken::Unfit(left),
            None => return Taken::Early(left),
        };
        let Some(message) = message else { unreachable!("what is here whole has come") };
        let headers = left.request.headers();
        let watch = self.watched.begin(ACCRUE, headers);
        let timeout = Timeout::of(headers);
        let due = timeout.map(Timeout::due);
        let caller = self.access.judge_accrual(headers, session, timeout);
        let reply = Replying { respond: Respond(Some(left.respond)), open: Open::new(conduct.clone()), watch };
        contained(|| self.edge.lodge(caller, &message, due, reply));
        Taken::Lodged
    }
}

/// The direct way of the calls of one connection.
pub(super) struct DirectCalls {
    direct: Arc<Direct>,
    session: Arc<Session>,
    conduct: Arc<Conduct>,
    /// Those whose message is on its way.
    kept: Vec<Left>,
    /// Until they go on. Used again.
    timer: Option<Pin<Box<Sleep>>>,
    is_timed: bool,
}

impl DirectCalls {
    pub(super) fn new(direct: Arc<Direct>, session: Arc<Session>, conduct: Arc<Conduct>) -> Self {
        Self { direct, session, conduct, kept: Vec::new(), timer: None, is_timed: false }
    }

    /// Takes a call if it is an accrual that comes whole. Gives any other back.
    pub(super) fn take(&mut self, left: Left) -> Option<Left> {
        match self.direct.take(left, &self.session, &self.conduct) {
            Taken::Lodged => None,
            Taken::Early(left) if self.kept.len() < KEPT_MAX && has_time(&left) => {
                self.kept.push(left);
                None
            }
            Taken::Early(left) | Taken::Unfit(left) => Some(left),
        }
    }

    /// Looks at the calls that were kept, once everything has been read that has come. Calls back with those that go on;
    /// whoever polls is woken when the time of the others is up.
    pub(super) fn poll_kept(&mut self, cx: &mut Context<'_>, mut goes_on: impl FnMut(Left)) {
        if self.kept.is_empty() {
            return;
        }
        let is_time_up = self.poll_time(cx);
        let mut place = 0;
        while place < self.kept.len() {
            let left = self.kept.swap_remove(place);
            match self.direct.take(left, &self.session, &self.conduct) {
                Taken::Lodged => {}
                Taken::Early(left) if !is_time_up => {
                    self.kept.push(left);
                    let last = self.kept.len() - 1;
                    self.kept.swap(place, last);
                    place += 1;
                }
                Taken::Early(left) | Taken::Unfit(left) => goes_on(left),
            }
        }
        self.is_timed &= !self.kept.is_empty();
    }

    /// Whether the time of those that are kept is up: counted from when there was none.
    fn poll_time(&mut self, cx: &mut Context<'_>) -> bool {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        if !std::mem::replace(&mut self.is_timed, true) {
            timer.set(sleep(PATIENCE));
        }
        // A connection on which more comes than it may read at a time has used up its turn, for timers as well.
        let is_up = timer.is_elapsed() || timer.as_mut().poll(cx).is_ready();
        self.is_timed = !is_up;
        is_up
    }
}

/// Whether the caller of a call waits for it longer than it may be kept: its deadline is counted from when it goes on.
fn has_time(left: &Left) -> bool {
    Timeout::of(left.request.headers()).is_none_or(|timeout| timeout.duration() > 100 * PATIENCE)
}

/// Reads what is here of a body. Says whether it is one message and nothing else, once that is certain.
fn read(left: &mut Left) -> Option<bool> {
    // Nobody is woken: the connection looks again when more has come.
    let mut cx = Context::from_waker(Waker::noop());
    while !left.request.body().is_end_stream() {
        let piece = match poll_piece(left.request.body_mut(), &mut cx) {
            Poll::Ready(Some(Ok(piece))) => piece,
            // Trailers, or that the caller has given up.
            Poll::Ready(None | Some(Err(_))) => return Some(false),
            Poll::Pending => return None,
        };
        match &left.came {
            None => {
                let is_one = is_one_message(&piece);
                left.came = Some(piece);
                if !is_one {
                    return Some(false);
                }
            }
            Some(_) if piece.is_empty() => {}
            Some(before) => {
                left.came = Some([before.as_ref(), &piece].concat().into());
                return Some(false);
            }
        }
    }
    Some(left.came.is_some())
}

/// Does what the transport may come to grief over: a connection that is broken ends, and no thread with it.
fn contained(act: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(act)).is_err() {
        tracing::error!("a call has come to grief");
    }
}

/// Where the answer to one call goes. Let go of without one, the call is reset.
struct Respond(Option<SendResponse<Part>>);

impl Drop for Respond {
    fn drop(&mut self) {
        let respond = self.0.take();
        contained(|| drop(respond));
    }
}

/// Takes the answer to one call.
struct Replying {
    respond: Respond,
    open: Open,
    watch: CallWatch,
}

impl Replying {
    /// What `send` says of the answer is whether its caller has room for it. One who has given the call up is answered nothing.
    fn end(self, code: usize, send: impl FnOnce(SendResponse<Part>, &Open) -> Result<bool, h2::Error>) {
        let Self { mut respond, open, watch } = self;
        contained(move || {
            let Some(respond) = respond.0.take() else { return };
            let sent = send(respond, &open);
            watch.end(code);
            match sent {
                Ok(true) => open.close(),
                // It will be taken, or the caller is one who takes nothing.
                Ok(false) => open.leave(),
                Err(error) => tracing::debug!(%error, "an answer was not taken"),
            }
        });
    }
}

impl Reply for Replying {
    fn answered(self, message: Bytes) {
        self.end(0, |mut respond, open| {
            let mut stream = respond.send_response(head(), false)?;
            stream.reserve_capacity(message.len());
            let has_room = stream.capacity() > 0;
            // What has no room yet is kept by the transport: it is small.
            stream.send_data(open.part(message), false)?;
            stream.send_trailers(all_is_well())?;
            Ok(has_room)
        });
    }

    fn failed(self, status: Status) {
        self.end(status.code() as usize, |mut respond, _| {
            respond.send_response(status.into_http::<()>(), true)?;
            Ok(true)
        });
    }

    fn poll_given_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.respond.0.as_mut().map_or(Poll::Ready(()), |respond| respond.poll_reset(cx).map(drop))
    }
}
