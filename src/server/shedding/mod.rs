//! Accruals that are too many, refused where they come in: a call that could only be refused is answered from its first
//! bytes, and neither the transport nor the services ever see it. Whoever is told to come back costs next to nothing, and
//! those who are served go on being served.
//!
//! [`Shedding`] stands between a connection's bytes and its transport: [`inbound`] looks at what comes and takes out what is
//! refused, [`outbound`] puts refusals between the frames that the transport writes. [`heads`] reads what calls they are,
//! [`crowd`] knows whether they are too many, [`table`] what a refusal must say before anything else.
//!
//! What must stay true:
//! - what is not refused passes unchanged, and in its order;
//! - a call is refused whole or not at all: the transport sees nothing of it, neither now nor when its caller goes on with it;
//! - headers that change the table of the connection are never taken out: the transport could not read those that follow;
//! - refusals leave the table with which a caller reads answers as the transport will leave it: their fields do not touch
//!   it, and they say its size only where the transport's next headers say it as well;
//! - a caller gets back the room for what was taken out, in pieces, and is told what the services would say. It is not asked for
//!   its credentials before, and the call does not count against them;
//! - memory is bounded: whoever does not take refusals is not read, as whoever takes no answers is not.

mod crowd;
mod heads;
mod inbound;
mod outbound;
mod table;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::conduct::Conduct;
pub(super) use crowd::Coming;
pub use crowd::Crowd;
use inbound::Inbound;
use outbound::Outbound;

/// A connection whose thread refuses what is too much. Without a crowd everything passes.
pub(super) struct Shedding<S> {
    stream: S,
    parts: Option<Box<Parts>>,
}

struct Parts {
    crowd: Arc<Crowd>,
    inbound: Inbound,
    outbound: Outbound,
    /// Bytes that pass and for which there was no room.
    left: BytesMut,
    /// Everything that had come was given to the transport.
    is_turn_over: bool,
    /// Nothing is read until refusals have left.
    is_stalled: bool,
    conduct: Arc<Conduct>,
}

/// Less room than this is not read into: what is held back would not fit.
const ROOM_MIN: usize = inbound::HELD_BYTES_MAX + 1_024;
/// So many reads of which nothing passes follow each other.
const READS_MAX: usize = 16;
/// What is read into where there is little room.
const SMALL_BYTES: usize = 4_096;

const _: () = assert!(ROOM_MIN <= SMALL_BYTES, "there is room in what is read into");

impl<S> Shedding<S> {
    pub(super) fn new(stream: S, crowd: Option<Arc<Crowd>>, conduct: Arc<Conduct>) -> Self {
        let parts = |crowd| {
            let (inbound, outbound, left) = (Inbound::new(), Outbound::new(), BytesMut::new());
            Box::new(Parts { crowd, inbound, outbound, left, is_turn_over: true, is_stalled: false, conduct })
        };
        Self { stream, parts: crowd.map(parts) }
    }
}

impl Parts {
    /// Reads until something passes, or nothing more has come. Whoever does not take refusals is not read.
    fn poll_passing<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.is_turn_over) {
            self.inbound.begin_turn();
        }
        let polled = self.poll_reads(stream, cx, buf);
        // Then the transport hands on what it has.
        self.is_turn_over = polled.is_pending();
        polled
    }

    fn poll_reads<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let from = buf.filled().len();
        for _ in 0..READS_MAX {
            if self.outbound.is_waiting_long() {
                ready!(self.outbound.poll_own(Pin::new(&mut *stream), cx))?;
                if self.outbound.is_waiting_long() {
                    // The transport is within a frame, and comes first.
                    self.is_stalled = true;
                    return Poll::Pending;
                }
            }
            // What was held back of a frame's head comes first.
            let held_count = self.inbound.give_back(buf);
            let read = Pin::new(&mut *stream).poll_read(cx, buf);
            if read.is_pending() {
                self.inbound.hold(&buf.filled()[from..]);
                buf.set_filled(from);
                return Poll::Pending;
            }
            ready!(read)?;
            if buf.filled().len() == from + held_count {
                // The end: what is held will never be whole.
                return Poll::Ready(Ok(()));
            }
            let kept = self.inbound.pass(&mut buf.filled_mut()[from..], &self.crowd, &mut self.outbound)?;
            self.conduct.refuse_calls(self.outbound.take_refused(), self.inbound.take_given_up());
            buf.set_filled(from + kept);
            // Nothing at all would mean the end.
            if kept > 0 {
                return Poll::Ready(Ok(()));
            }
        }
        // Others have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes refusals, where the transport is between two frames.
    fn poll_refusals<S: AsyncWrite + Unpin>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.outbound.poll_own(Pin::new(stream), cx))?;
        if self.is_stalled && !self.outbound.is_waiting_long() {
            self.is_stalled = false;
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Shedding<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, parts } = &mut *self;
        let Some(parts) = parts else { return Pin::new(stream).poll_read(cx, buf) };
        if parts.left.is_empty() {
            if buf.remaining() >= ROOM_MIN {
                return parts.poll_passing(stream, cx, buf);
            }
            let mut small = [0; SMALL_BYTES];
            let mut small = ReadBuf::new(&mut small);
            ready!(parts.poll_passing(stream, cx, &mut small))?;
            parts.left.extend_from_slice(small.filled());
        }
        let count = parts.left.len().min(buf.remaining());
        buf.put_slice(&parts.left.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Shedding<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { stream, parts } = &mut *self;
        let Some(parts) = parts else { return Pin::new(stream).poll_write(cx, bytes) };
        ready!(parts.poll_refusals(stream, cx))?;
        let count = ready!(Pin::new(stream).poll_write(cx, bytes))?;
        parts.outbound.has_passed(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { stream, parts } = &mut *self;
        let Some(parts) = parts else { return Pin::new(stream).poll_write_vectored(cx, pieces) };
        ready!(parts.poll_refusals(stream, cx))?;
        let count = ready!(Pin::new(stream).poll_write_vectored(cx, pieces))?;
        let mut left = count;
        for piece in pieces {
            let passed = left.min(piece.len());
            parts.outbound.has_passed(&piece[..passed]);
            left -= passed;
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, parts } = &mut *self;
        if let Some(parts) = parts {
            ready!(parts.poll_refusals(stream, cx))?;
        }
        Pin::new(stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, parts } = &mut *self;
        if let Some(parts) = parts {
            ready!(parts.poll_refusals(stream, cx))?;
        }
        Pin::new(stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
