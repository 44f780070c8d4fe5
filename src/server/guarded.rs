//! What stands between a socket and the transport, and between the transport and the services, and tells how the caller
//! behaves: the bytes that come and go, the calls, and the parts of answers until they have left.
//!
//! What must stay true: bytes and answers pass unchanged; a part of an answer counts as
//! waiting from the moment the service gives it until its last byte has gone to the socket, or its stream is given up.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream};
use hyper::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::Status;
use tonic::body::Body;

use super::conduct::Conduct;
use super::frames::Frames;
use super::shedding::Coming;
use crate::limits;
use crate::metrics::CutOff;
use crate::service::patience::overloaded;
use crate::service::turns::Turn;
use crate::telemetry::calls::{Trailing, code_in};

/// Bytes that are sent and make up for one frame that asks for nothing: whoever takes much tells often how much.
const BYTES_PER_CREDIT: usize = 1_024;

/// The bytes of a connection.
pub(super) struct Guarded<S> {
    stream: S,
    conduct: Arc<Conduct>,
    frames: Frames,
    /// How many frames that ask for nothing may still come.
    credits: i64,
    credited_tick: u32,
    has_begun: bool,
    /// What was to be written last found no room.
    is_blocked: bool,
}

impl<S> Guarded<S> {
    pub(super) fn new(stream: S, conduct: Arc<Conduct>) -> Self {
        let credits = limits::FRAME_CREDITS_MAX;
        let frames = Frames::new();
        Self { stream, conduct, frames, credits, credited_tick: 0, has_begun: false, is_blocked: false }
    }

    fn credit(&mut self, worth: i64) {
        self.credits = self.credits.saturating_add(worth).min(limits::FRAME_CREDITS_MAX);
    }

    /// Whether the connection may go on.
    fn judge(&self) -> io::Result<()> {
        if self.conduct.cut_off().is_none() {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the caller does not behave"))
    }

    fn has_read(&mut self, bytes: &[u8]) -> io::Result<()> {
        let now = self.conduct.tick();
        if now != self.credited_tick {
            let ticks = i64::from(now.saturating_sub(self.credited_tick));
            self.credit(ticks.saturating_mul(self.conduct.pace.credits_per_tick()));
            self.credited_tick = now;
        }
        let worth = self.frames.pass(bytes);
        self.credit(worth);
        if self.credits < 0 {
            self.conduct.cut(CutOff::FrameFlood);
        }
        if !self.has_begun && self.frames.has_begun() {
            self.has_begun = true;
            self.conduct.begin();
        }
        self.conduct.stand(self.frames.midst());
        self.conduct.has_come();
        self.judge()
    }

    fn has_written(&mut self, written: &Poll<io::Result<usize>>) {
        self.is_blocked = written.is_pending();
        self.conduct.takes(!self.is_blocked);
        if let Poll::Ready(Ok(count)) = written {
            self.credit(i64::try_from(count / BYTES_PER_CREDIT).unwrap_or(0));
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.judge()?;
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        Poll::Ready(self.has_read(&buf.filled()[before..]))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.has_written(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.has_written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        // A socket has nothing to flush: that says nothing of what found no room before.
        self.conduct.takes(flushed.is_ready() && !self.is_blocked);
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The body of a request.
pub(super) struct Brought {
    /// What was read of it already.
    came: Option<Bytes>,
    rest: RecvStream,
    has_data: bool,
    conduct: Arc<Conduct>,
}

impl Brought {
    pub(super) fn new(came: Option<Bytes>, rest: RecvStream, conduct: Arc<Conduct>) -> Self {
        Self { came, rest, has_data: true, conduct }
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if self.has_data {
            if let Some(bytes) = ready!(poll_piece(&mut self.rest, cx)) {
                return Poll::Ready(Some(bytes.map(Frame::data)));
            }
            self.has_data = false;
        }
        let trailers = ready!(self.rest.poll_trailers(cx));
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)).transpose())
    }
}

/// The next piece of what comes on a stream. Its sender gets back the room for it.
pub(super) fn poll_piece(stream: &mut RecvStream, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
    let piece = ready!(stream.poll_data(cx));
    if let Some(Ok(bytes)) = &piece {
        // On a stream that has ended there is no room to give back.
        let _ = stream.flow_control().release_capacity(bytes.len());
    }
    Poll::Ready(piece)
}

impl HttpBody for Brought {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if let Some(came) = self.came.take() {
            return Poll::Ready(Some(Ok(Frame::data(came))));
        }
        let frame = ready!(self.poll_rest(cx));
        if let Some(Err(error)) = &frame {
            if error.reason() == Some(Reason::NO_ERROR) {
                // The caller sends nothing more and takes the answer all the same (RFC 9113, section 8.1).
                return Poll::Ready(None);
            }
            self.conduct.break_off();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.came.is_none() && self.rest.is_end_stream()
    }
}

/// One call, from its head to the end of its answer.
pub(super) struct Open {
    conduct: Arc<Conduct>,
    /// Of a call with a large answer.
    turn: Option<Arc<Turn>>,
    is_answered: bool,
    is_left: bool,
}

impl Open {
    /// A call begins.
    pub(super) fn new(conduct: Arc<Conduct>) -> Self {
        conduct.open_call();
        Self { conduct, turn: None, is_answered: false, is_left: false }
    }

    /// A part of its answer.
    pub(super) fn part(&self, bytes: Bytes) -> Part {
        Part::new(bytes, &self.conduct, None)
    }

    /// All of its answer has been given.
    pub(super) fn close(mut self) {
        self.is_answered = true;
    }

    /// Its answer has been given, and says nothing of how the caller behaves.
    pub(super) fn leave(mut self) {
        self.is_left = true;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.is_left {
            self.conduct.leave_call();
        } else {
            self.conduct.close_call(self.is_answered);
        }
    }
}

pin_project! {
    /// A call that has no answer yet.
    pub(super) struct Called<F> {
        // None where there is no room for its answer. In memory of its own: a call is moved about before it is asked for the
        // answer.
        inner: Option<Pin<Box<F>>>,
        // Until the call is looked at for the first time.
        coming: Option<Coming>,
        open: Option<Open>,
    }
}

impl<F> Called<F> {
    pub(super) fn new(
        begin: impl FnOnce() -> F,
        conduct: Arc<Conduct>,
        turn: Option<Arc<Turn>>,
        coming: Option<Coming>,
    ) -> Self {
        let inner = conduct.has_room().then(|| Box::pin(begin()));
        let mut open = Open::new(conduct);
        open.turn = turn;
        Self { inner, coming, open: Some(open) }
    }
}

impl<F: Future<Output = Result<Response<Body>, Infallible>>> Future for Called<F> {
    type Output = Result<Response<Answer>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = match this.inner {
            Some(inner) => {
                let polled = inner.as_mut().poll(cx);
                *this.coming = None;
                let Ok(response) = ready!(polled);
                response
            }
            None => overloaded(),
        };
        let mut open = this.open.take();
        let trailing = response.extensions_mut().remove::<Trailing>();
        Poll::Ready(Ok(response.map(|body| {
            if let Some(open) = &mut open {
                open.is_answered = body.is_end_stream();
            }
            Answer { body, open, trailing }
        })))
    }
}

/// The body of an answer.
pub(super) struct Answer {
    body: Body,
    open: Option<Open>,
    /// Of a stream: to be told the status behind it.
    trailing: Option<Trailing>,
}

impl HttpBody for Answer {
    type Data = Part;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Part>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let is_data = matches!(&frame, Some(Ok(frame)) if frame.is_data());
        if !is_data && let Some(trailing) = self.trailing.take() {
            let code = match &frame {
                Some(Ok(frame)) => frame.trailers_ref().and_then(code_in),
                Some(Err(status)) => Some(status.code() as usize),
                None => None,
            };
            trailing.end(code.unwrap_or(0));
        }
        let Some(open) = &mut self.open else { return Poll::Ready(None) };
        // Whatever is not data is the end.
        open.is_answered |= !is_data;
        let Open { conduct, turn, .. } = open;
        Poll::Ready(
            frame.map(|frame| frame.map(|frame| frame.map_data(|bytes| Part::new(bytes, conduct, turn.take())))),
        )
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A part of an answer until it has left.
pub(super) struct Part {
    bytes: Bytes,
    whole_bytes: usize,
    conduct: Arc<Conduct>,
    place: usize,
    /// Whoever waits for a turn begins when this has left.
    _turn: Option<Arc<Turn>>,
}

impl Part {
    /// What says no more than that it is the last.
    pub(super) fn nothing(conduct: &Arc<Conduct>) -> Self {
        Self::new(Bytes::new(), conduct, None)
    }

    fn new(bytes: Bytes, conduct: &Arc<Conduct>, turn: Option<Arc<Turn>>) -> Self {
        let whole_bytes = bytes.len();
        Self { bytes, whole_bytes, conduct: conduct.clone(), place: conduct.wait(whole_bytes), _turn: turn }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.conduct.leave(self.place, self.whole_bytes);
    }
}

impl Buf for Part {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        self.bytes.copy_to_bytes(length)
    }
}
