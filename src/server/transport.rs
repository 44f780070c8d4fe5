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
use tokio::time::{Sleep, sleep};

use super::guarded::Part;
use crate::limits;

/// How long a caller may give no sign of life.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signs {
    /// It is asked for one this often.
    pub(super) every: Duration,
    /// The connection is closed if none comes in this time.
    pub(super) within: Duration,
}

impl Default for Signs {
    fn default() -> Self {
        Self { every: Duration::from_secs(30), within: Duration::from_secs(20) }
    }
}

/// Bytes that may be on their way to us on one stream, and on one connection.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
/// After so many calls other connections have their turn.
const CALLS_IN_A_ROW_MAX: usize = 256;
/// Bytes of answers that wait on one stream before its service is asked for more.
const STREAM_SEND_BUFFER_BYTES: usize = 256 << 10;

/// What takes the calls of a connection.
pub(super) trait Calls {
    /// Takes one call, without waiting for anything.
    fn take(&mut self, request: Request<RecvStream>, respond: SendResponse<Part>);

    /// Whether anything has come since this was last asked.
    fn gave_sign(&self) -> bool;

    /// Everything that has come has been read. Whoever polls is woken when something is to be done without more coming.
    fn poll_read_all(&mut self, cx: &mut Context<'_>);
}

/// A connection that is served.
pub(super) struct Transport<S, C> {
    state: State<S>,
    calls: C,
    signs: Signs,
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
    pub(super) fn new(stream: S, calls: C, signs: Signs) -> Self {
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
        Self { state: State::Shaking(handshake), calls, signs, is_to_finish: false }
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
        for _ in 0..CALLS_IN_A_ROW_MAX {
            match &mut self.state {
                State::Shaking(handshake) => {
                    let mut connection = ready!(Pin::new(handshake).poll(cx))?;
                    let keepalive = connection.ping_pong().map(|pings| Keepalive::new(pings, self.signs));
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
                        if !keepalive
                            .as_mut()
                            .is_some_and(|keepalive| keepalive.poll_is_gone(cx, || self.calls.gave_sign()))
                        {
                            return Poll::Pending;
                        }
                        connection.abrupt_shutdown(Reason::NO_ERROR);
                        *keepalive = None;
                    }
                },
            }
        }
        // Others have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Asks a caller for signs of life.
struct Keepalive {
    pings: PingPong,
    signs: Signs,
    /// Until the next question, or until the answer must be here.
    timer: Pin<Box<Sleep>>,
    is_asked: bool,
}

impl Keepalive {
    fn new(pings: PingPong, signs: Signs) -> Self {
        Self { pings, signs, timer: Box::pin(sleep(signs.every)), is_asked: false }
    }

    /// Whether the caller gave no sign of life for too long: whatever comes is one. Otherwise whoever polls is woken when there
    /// is something to do.
    fn poll_is_gone(&mut self, cx: &mut Context<'_>, gave_sign: impl Fn() -> bool) -> bool {
        loop {
            if self.is_asked && self.pings.poll_pong(cx).is_ready() {
                self.is_asked = false;
                self.rest();
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return false;
            }
            if !gave_sign() {
                if self.is_asked {
                    return true;
                }
                // A question that cannot be put is one on a connection that is ending.
                self.is_asked = self.pings.send_ping(Ping::opaque()).is_ok();
            }
            self.rest();
        }
    }

    fn rest(&mut self) {
        let rest = if self.is_asked { self.signs.within } else { self.signs.every };
        self.timer.set(sleep(rest));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::clock::{Clock, SystemClock};

    /// Nobody calls here; says once that something has come.
    struct NoCalls(Cell<bool>);

    impl Calls for NoCalls {
        fn take(&mut self, _: Request<RecvStream>, _: SendResponse<Part>) {
            panic!("nobody calls");
        }

        fn gave_sign(&self) -> bool {
            self.0.take()
        }

        fn poll_read_all(&mut self, _: &mut Context<'_>) {}
    }

    const SIGNS: Signs = Signs { every: Duration::from_millis(20), within: Duration::from_millis(200) };
    const PREFACE_AND_SETTINGS: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    const PING: u8 = 6;

    /// Answers `count` questions for a sign of life and takes whatever else comes, until the connection is closed.
    async fn answer_pings(mut caller: DuplexStream, count: usize) {
        caller.write_all(PREFACE_AND_SETTINGS).await.unwrap();
        let mut answered = 0;
        let mut head = [0; 9];
        while caller.read_exact(&mut head).await.is_ok() {
            let length = usize::from(head[1]) << 8 | usize::from(head[2]);
            let mut payload = vec![0; length];
            caller.read_exact(&mut payload).await.unwrap();
            if head[3] == PING && head[4] == 0 && answered < count {
                answered += 1;
                head[4] = 1;
                caller.write_all(&[&head[..], &payload].concat()).await.unwrap();
            }
        }
        assert_eq!(answered, count, "it was asked as often");
    }

    #[tokio::test]
    async fn who_gives_no_sign_of_life_is_let_go_and_who_does_is_kept() {
        for (signs_given, other_signs) in [(0, 0), (0, 1), (3, 0)] {
            let (ours, theirs) = duplex(1 << 16);
            let caller = tokio::spawn(answer_pings(theirs, signs_given));
            let clock = SystemClock::new();
            let mut transport = Transport::new(ours, NoCalls(Cell::new(other_signs > 0)), SIGNS);
            let served = tokio::time::timeout(Duration::from_secs(30), transport.serve()).await;
            served.expect("a caller who is gone is noticed").unwrap();
            let rests = u32::try_from(signs_given + other_signs).unwrap() + 1;
            let least = SIGNS.every * rests + SIGNS.within;
            assert!(clock.monotonic_ns() >= least.as_nanos() as i64, "after {signs_given} answers");
            drop(transport);
            caller.await.unwrap();
        }
    }

    #[tokio::test]
    async fn told_to_finish_before_it_has_begun_it_ends_when_it_has() {
        let (ours, theirs) = duplex(1 << 16);
        let mut transport = Transport::new(ours, NoCalls(Cell::default()), Signs::default());
        transport.finish();
        let (ended, begun) = tokio::join!(transport.serve(), async {
            let (caller, connection) = h2::client::handshake(theirs).await.unwrap();
            let ended = connection.await;
            // It was there until then: it is the server that ends the connection.
            drop(caller);
            ended
        });
        // The caller closes when it is told, and may not hear our last words.
        assert!(begun.is_ok(), "{ended:?} {begun:?}");
    }
}
