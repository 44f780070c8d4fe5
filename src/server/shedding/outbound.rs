//! What goes out: the frames of the transport, and between them refusals and room for what was taken out.
//!
//! What must stay true: nothing is put into a frame, nor between the parts of one block of headers; what was begun is ended
//! before the transport goes on. A caller is told the size of its table in the first headers behind the acknowledgement of a
//! smaller one, whoever writes them; so what waits is told it when it leaves, and not when it is made.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::AsyncWrite;

use super::super::frames::Frames;
use super::inbound::HEAD_BYTES;
use super::table::Table;

/// Bytes of refusals that may wait for a caller to take them.
const WAITING_BYTES_MAX: usize = 64 << 10;
/// Room for so much is given back at once.
const ROOM_BYTES: u32 = 16 << 10;

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// See the module.
pub(super) struct Outbound {
    /// Where the transport is in what it writes.
    frames: Frames,
    /// What the caller was told of the table with which it reads headers.
    table: Table,
    own: BytesMut,
    /// A part of what waits has left, and the rest must follow.
    is_midst: bool,
    /// Refusals since this was asked last.
    refused_count: u32,
    /// Bytes that were taken out, and whose room was not given back.
    taken_bytes: u32,
}

impl Outbound {
    pub(super) fn new() -> Self {
        Self {
            frames: Frames::of_a_server(),
            table: Table::new(),
            own: BytesMut::new(),
            is_midst: false,
            refused_count: 0,
            taken_bytes: 0,
        }
    }

    /// Whether a further refusal may wait.
    pub(super) fn has_room(&self) -> bool {
        self.own.len() < WAITING_BYTES_MAX
    }

    /// Whether so much waits that it should leave before more is read.
    pub(super) fn is_waiting_long(&self) -> bool {
        self.own.len() >= WAITING_BYTES_MAX / 4
    }

    /// Refuses a call: headers that are all of the answer.
    pub(super) fn refuse(&mut self, stream: u32, block: &[u8]) {
        let from = self.own.len();
        self.put(HEADERS, END_STREAM | END_HEADERS, stream, block);
        self.refused_count += 1;
        if self.is_midst {
            // It leaves before the transport writes anything else.
            self.say_size(from);
        }
    }

    /// How many calls were refused since this was asked last.
    pub(super) fn take_refused(&mut self) -> u32 {
        std::mem::take(&mut self.refused_count)
    }

    /// So many bytes of data were taken out, for which the caller had used the room of the connection.
    pub(super) fn give_room(&mut self, bytes: usize) {
        self.taken_bytes = self.taken_bytes.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        if self.taken_bytes >= ROOM_BYTES {
            let taken = std::mem::take(&mut self.taken_bytes).min(0x7fff_ffff);
            self.put(WINDOW_UPDATE, 0, 0, &taken.to_be_bytes());
        }
    }

    fn put(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.own.put_uint(payload.len() as u64, 3);
        self.own.put_slice(&[kind, flags]);
        self.own.put_u32(stream);
        self.own.put_slice(payload);
    }

    /// Settings of the caller pass, which the transport will acknowledge.
    pub(super) fn await_acknowledgement(&mut self, settings: &[u8]) {
        self.table.await_acknowledgement(settings);
    }

    /// Has the first refusal that waits begin with the size of the table, if it must be said. `from` is where a frame begins.
    fn say_size(&mut self, mut from: usize) {
        if !self.table.owes_size() {
            return;
        }
        while let Some(&[long, middle, short, kind, ..]) = self.own[from..].first_chunk::<HEAD_BYTES>() {
            let payload_bytes = usize::from(long) << 16 | usize::from(middle) << 8 | usize::from(short);
            let begun_bytes = from + HEAD_BYTES;
            if kind == HEADERS {
                let rest = self.own.split_off(begun_bytes);
                self.table.put_size(&mut self.own);
                let size_bytes = self.own.len() - begun_bytes;
                self.own.unsplit(rest);
                let [_, length @ ..] = ((payload_bytes + size_bytes) as u32).to_be_bytes();
                self.own[from..from + length.len()].copy_from_slice(&length);
                return;
            }
            from = begun_bytes + payload_bytes;
        }
    }

    /// Writes what waits, if the transport is between two frames.
    pub(super) fn poll_own<S: AsyncWrite>(
        &mut self,
        mut stream: Pin<&mut S>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.is_midst {
            if self.frames.midst().is_some() {
                return Poll::Ready(Ok(()));
            }
            self.say_size(0);
        }
        while !self.own.is_empty() {
            let count = ready!(stream.as_mut().poll_write(cx, &self.own))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.own.advance(count);
            self.is_midst = !self.own.is_empty();
        }
        Poll::Ready(Ok(()))
    }

    /// The transport has written these bytes.
    pub(super) fn has_passed(&mut self, bytes: &[u8]) {
        let table = &mut self.table;
        self.frames.pass_telling(bytes, |kind, flags| match kind {
            HEADERS => table.begin_headers(),
            SETTINGS if flags & ACK != 0 => table.acknowledge(),
            _ => {}
        });
    }
}
