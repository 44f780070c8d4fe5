//! HTTP/2 on one connection: takes calls, hands each on, and keeps the connection alive.
//!
//! What must stay true: every bound of the transport is stated here; a caller who is gone is noticed; told to finish, a
//! connection takes no further calls and ends with the last of those that it has.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::server::{Builder, Connection, Handshake, SendResponse};
use h2::{Ping, PingPong, Reason, RecvStream};
use hyper::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep};

use super::guarded::Part;
use crate::limits;

/// A caller is asked for a sign of life this often, and the connection is closed if none comes in time.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes that may be on their way to us on one stream, and on one connection.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
/// Bytes of answers that wait on one stream before its service is asked for more.
const STREAM_SEND_BUFFER_BYTES: usize = 256 << 10;

/// What takes the calls of a connection.
pub(super) trait Calls {
    /// Takes one call, without waiting for anything.
    fn take(&mut self, request: Request<RecvStream>, respond: SendResponse<Part>);

    /// Everything that has come has been read. Whoever polls is woken when something is to be done without more coming.
    fn poll_read_all(&mut self, cx: &mut Context<'_>);
}

/// A connection that is served.
pub(super) struct Transport<S, C> {
    state: State<S>,
    calls: C,
    is_to_finish: bool,
}

enum State<S> {
    Shaking(Handshake<S, Part>),
    Serving(Connection<S, Part>, Option<Keepalive>),
}

impl<S, C> Transport<S, C>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Calls,
{
    /// Serves what comes on `stream`. Frames of headers in many parts (CONTINUATION) and data in very small parts are bounded
    /// by the transport itself; whatever else a caller may do is judged by the conduct of its connection.
    pub(super) fn new(stream: S, calls: C) -> Self {
        let handshake = Builder::new()
            .max_concurrent_streams(limits::CONNECTION_STREAMS_MAX)
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(limits::HEADER_LIST_BYTES_MAX)
            .max_frame_size(limits::FRAME_OF_CALLER_BYTES_MAX)
            .max_pending_accept_reset_streams(limits::STREAMS_RESET_UNSEEN_MAX)
            .max_local_error_reset_streams(Some(limits::STREAMS_RESET_FOR_FAULTS_MAX))
            .max_send_buffer_size(STREAM_SEND_BUFFER_BYTES)
            .handshake(stream);
        Self { state: State::Shaking(handshake), calls, is_to_finish: false }
    }

    /// Takes no further calls. It has to be served on until it has ended.
    pub(super) fn finish(&mut self) {
        self.is_to_finish = true;
        if let State::Serving(connection, _) = &mut self.state {
            connection.graceful_shutdown();
        }
    }

    /// Serves until the connection has ended. Given up, it can be gone on with.
    pub(super) async fn serve(&mut self) -> Result<(), h2::Error> {
        poll_fn(|cx| self.poll_served(cx)).await
    }

    fn poll_served(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        loop {
            match &mut self.state {
                State::Shaking(handshake) => {
                    let mut connection = ready!(Pin::new(handshake).poll(cx))?;
                    let keepalive = connection.ping_pong().map(Keepalive::new);
                    if self.is_to_finish {
                        connection.graceful_shutdown();
                    }
                    self.state = State::Serving(connection, keepalive);
                }
                State::Serving(connection, keepalive) => match connection.poll_accept(cx) {
                    Poll::Ready(Some(taken)) => {
                        let (request, respond) = taken?;
                        self.calls.take(request, respond);
                    }
                    Poll::Ready(None) => return Poll::Ready(Ok(())),
                    Poll::Pending => {
                        self.calls.poll_read_all(cx);
                        if !keepalive.as_mut().is_some_and(|keepalive| keepalive.poll_is_gone(cx)) {
                            return Poll::Pending;
                        }
                        connection.abrupt_shutdown(Reason::NO_ERROR);
                        *keepalive = None;
                    }
                },
            }
        }
    }
}

/// Asks a caller for signs of life.
struct Keepalive {
    pings: PingPong,
    /// Until the next question, or until the answer must be here.
    timer: Pin<Box<Sleep>>,
    is_asked: bool,
}

impl Keepalive {
    fn new(pings: PingPong) -> Self {
        Self { pings, timer: Box::pin(sleep(KEEPALIVE_INTERVAL)), is_asked: false }
    }

    /// Whether the caller gave no sign of life for too long. Otherwise whoever polls is woken when there is something to do.
    fn poll_is_gone(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            if self.is_asked && self.pings.poll_pong(cx).is_ready() {
                self.is_asked = false;
                self.timer.as_mut().reset(Instant::now() + KEEPALIVE_INTERVAL);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return false;
            }
            if self.is_asked {
                return true;
            }
            // A question that cannot be put is one on a connection that is ending.
            self.is_asked = self.pings.send_ping(Ping::opaque()).is_ok();
            let rest = if self.is_asked { KEEPALIVE_TIMEOUT } else { KEEPALIVE_INTERVAL };
            self.timer.as_mut().reset(Instant::now() + rest);
        }
    }
}
