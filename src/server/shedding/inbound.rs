//! What comes in, frame by frame (RFC 9113): calls that are too many are taken out and refused, everything else passes.
//!
//! What must stay true: a frame is taken out whole or passes whole; the head of a frame, the headers of a call, and settings
//! pass only when they are complete, so that it can be told what they belong to, and what they state is known before the
//! transport acknowledges it, but for those that are longer than may be held, behind which nothing is refused; what follows of a
//! call that was taken out is taken out too.

use std::io;

use tokio::io::ReadBuf;

use super::super::frames::PREFACE;
use super::crowd::Crowd;
use super::heads::{Head, Heads};
use super::outbound::Outbound;
use crate::limits;
use crate::service::express::ACCRUE;

/// Bytes of the head of a frame.
pub(super) const HEAD_BYTES: usize = 9;
/// Headers of a call, and settings, are held until they are whole, unless they are longer.
const HELD_PAYLOAD_BYTES_MAX: usize = 1_024;
/// Bytes that are held at most, and fewer than there must be room for.
pub(super) const HELD_BYTES_MAX: usize = HEAD_BYTES + HELD_PAYLOAD_BYTES_MAX;
/// Calls that were refused and whose requests are still on their way.
const UNFINISHED_MAX: usize = limits::CONNECTION_STREAMS_MAX as usize;
/// The transport takes no larger frames.
const FRAME_BYTES_MAX: usize = limits::FRAME_OF_CALLER_BYTES_MAX as usize;
/// Of one call no more data comes: the largest message, and what comes before each (whether it is packed, and its length).
const DATA_BYTES_MAX: usize = limits::MESSAGE_BYTES_MAX + 5;
/// A longer block of headers is not looked at, nor any after it.
const BLOCK_BYTES_MAX: usize = 64 << 10;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;
/// Bytes of what a priority says.
const PRIORITY_BYTES: usize = 5;

/// The head of a frame.
#[derive(Clone, Copy)]
struct FrameHead {
    payload_bytes: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl FrameHead {
    fn of([long, middle, short, kind, flags, stream @ ..]: [u8; HEAD_BYTES]) -> Self {
        let payload_bytes = usize::from(long) << 16 | usize::from(middle) << 8 | usize::from(short);
        Self { payload_bytes, kind, flags, stream: u32::from_be_bytes(stream) & 0x7fff_ffff }
    }

    fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// So much of the payload must be there before it can be told what becomes of the frame.
    fn looked_at_bytes(self) -> usize {
        match self.kind {
            HEADERS => self.payload_bytes.min(HELD_PAYLOAD_BYTES_MAX + 1),
            SETTINGS if self.payload_bytes <= HELD_PAYLOAD_BYTES_MAX => self.payload_bytes,
            // It begins with how much of it is padding.
            DATA if self.has(PADDED) => self.payload_bytes.min(1),
            _ => 0,
        }
    }

    /// The data in a frame of them whose payload begins so, without its padding.
    fn data_bytes(self, payload: &[u8]) -> usize {
        let padding_bytes = match payload.first() {
            Some(bytes) if self.has(PADDED) => 1 + usize::from(*bytes),
            _ => 0,
        };
        self.payload_bytes.saturating_sub(padding_bytes)
    }
}

/// A block of headers that passes in pieces.
struct Block {
    stream: u32,
    flags: u8,
    bytes: Vec<u8>,
}

/// A call that was refused and whose request is still on its way.
struct Unfinished {
    stream: u32,
    /// Bytes of data that have come of it, without padding.
    bytes: usize,
}

/// See the module.
pub(super) struct Inbound {
    preface_left: usize,
    payload_left: usize,
    /// The frame that has begun is taken out.
    takes_out: bool,
    /// A head, or the headers of a call, of which a part has come.
    held: Vec<u8>,
    block: Option<Block>,
    /// The frame that has begun is a part of the block.
    is_of_block: bool,
    heads: Heads,
    /// Nothing more is refused: headers that came could not be read, so none that follow can; or settings were not, so what a
    /// refusal has to say is not known.
    is_blind: bool,
    /// The last call that was begun, and the last of those that the transport has seen.
    last_begun: u32,
    last_passed: u32,
    /// Calls that were refused and whose requests are still on their way.
    unfinished: Vec<Unfinished>,
    /// Calls that were refused and then given up, which nobody has been told.
    given_up_count: u32,
    /// Accruals that the transport was given in this turn, and that it has not handed on.
    in_transport: usize,
}

impl Inbound {
    pub(super) fn new() -> Self {
        Self {
            preface_left: PREFACE.len(),
            payload_left: 0,
            takes_out: false,
            held: Vec::new(),
            block: None,
            is_of_block: false,
            heads: Heads::new(ACCRUE),
            is_blind: false,
            last_begun: 0,
            last_passed: 0,
            unfinished: Vec::new(),
            given_up_count: 0,
            in_transport: 0,
        }
    }

    /// Calls that were refused and given up since this was asked last.
    pub(super) fn take_given_up(&mut self) -> u32 {
        std::mem::take(&mut self.given_up_count)
    }

    /// The transport has handed on whatever it was given before.
    pub(super) fn begin_turn(&mut self) {
        self.in_transport = 0;
    }

    /// Puts what was held back where bytes are read to; how many.
    pub(super) fn give_back(&mut self, buf: &mut ReadBuf<'_>) -> usize {
        buf.put_slice(&self.held);
        let count = self.held.len();
        self.held.clear();
        count
    }

    /// Holds bytes back until more have come.
    pub(super) fn hold(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// Goes over bytes that have come, and moves together what passes; how much that is.
    pub(super) fn pass(&mut self, bytes: &mut [u8], crowd: &Crowd, outbound: &mut Outbound) -> io::Result<usize> {
        let (mut from, mut to) = (0, 0);
        while from < bytes.len() {
            let rest_bytes = bytes.len() - from;
            let (count, passes) = if self.preface_left > 0 {
                let count = self.preface_left.min(rest_bytes);
                self.preface_left -= count;
                (count, true)
            } else if self.payload_left > 0 {
                let count = self.payload_left.min(rest_bytes);
                self.pass_payload(&bytes[from..from + count]);
                (count, !self.takes_out)
            } else if let Some((head, rest)) = bytes[from..].split_first_chunk() {
                let head = FrameHead::of(*head);
                if rest.len() < head.looked_at_bytes() {
                    self.hold(&bytes[from..]);
                    break;
                }
                self.payload_left = head.payload_bytes;
                self.takes_out = self.begin(head, rest, crowd, outbound)?;
                if head.payload_bytes == 0 {
                    self.end_part();
                }
                (HEAD_BYTES, !self.takes_out)
            } else {
                self.hold(&bytes[from..]);
                break;
            };
            if passes {
                if from > to {
                    bytes.copy_within(from..from + count, to);
                }
                to += count;
            }
            from += count;
        }
        Ok(to)
    }

    fn pass_payload(&mut self, bytes: &[u8]) {
        self.payload_left -= bytes.len();
        if let Some(block) = self.block.as_mut().filter(|_| self.is_of_block) {
            block.bytes.extend_from_slice(bytes);
            self.is_blind |= block.bytes.len() > BLOCK_BYTES_MAX;
        }
        if self.payload_left == 0 {
            self.end_part();
        }
    }

    /// A frame begins; whether it is taken out. What has come of the bytes behind its head is there.
    fn begin(&mut self, head: FrameHead, rest: &[u8], crowd: &Crowd, outbound: &mut Outbound) -> io::Result<bool> {
        self.is_of_block = false;
        match (head.kind, self.unfinished.iter().position(|call| call.stream == head.stream)) {
            (HEADERS, Some(_)) => {
                // Nothing in gRPC has more of them, and the transport must read what could change the table.
                let reason = "a call that was refused goes on with headers";
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
            (HEADERS, None) => {
                return Ok(self.begin_headers(head, rest.get(..head.payload_bytes), crowd, outbound));
            }
            (CONTINUATION, _) => {
                self.is_of_block = self.block.is_some();
                if let Some(block) = &mut self.block {
                    block.flags |= head.flags & END_HEADERS;
                }
            }
            (DATA, Some(place)) => {
                let call = &mut self.unfinished[place];
                call.bytes += head.data_bytes(rest);
                if head.payload_bytes > FRAME_BYTES_MAX || call.bytes > DATA_BYTES_MAX {
                    let reason = "a call that was refused goes on with more than a message may have";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
                }
                outbound.give_room(head.payload_bytes);
                if head.has(END_STREAM) {
                    self.unfinished.swap_remove(place);
                }
                return Ok(true);
            }
            (RST_STREAM, Some(place)) => {
                self.unfinished.swap_remove(place);
                self.given_up_count += 1;
                return Ok(true);
            }
            (WINDOW_UPDATE, Some(_)) => return Ok(true),
            (SETTINGS, _) if !head.has(ACK) => {
                // Nobody has so many that they are longer than what is held.
                let settings = rest.get(..head.payload_bytes);
                self.is_blind |= settings.is_none();
                outbound.await_acknowledgement(settings.unwrap_or_default());
            }
            // Of a call that the transport has never seen, and that is over.
            (RST_STREAM | WINDOW_UPDATE, None) => {
                return Ok(head.stream > self.last_passed && head.stream <= self.last_begun);
            }
            _ => {}
        }
        Ok(false)
    }

    fn begin_headers(
        &mut self,
        head: FrameHead,
        payload: Option<&[u8]>,
        crowd: &Crowd,
        outbound: &mut Outbound,
    ) -> bool {
        let is_new = head.stream > self.last_begun && head.stream % 2 == 1;
        self.last_begun = self.last_begun.max(head.stream);
        if self.is_blind {
            self.last_passed = self.last_passed.max(head.stream);
            return false;
        }
        let payload = payload.filter(|_| head.flags & !END_STREAM == END_HEADERS);
        let Some(payload) = payload else {
            // Looked at once it has passed.
            // Where padding ends that further frames follow is not looked for.
            self.is_blind |= head.has(PADDED) && !head.has(END_HEADERS);
            self.block = Some(Block { stream: head.stream, flags: head.flags, bytes: Vec::new() });
            self.is_of_block = true;
            self.last_passed = self.last_passed.max(head.stream);
            return false;
        };
        let read = self.heads.read(payload);
        self.is_blind |= read.is_none();
        let is_refused = read.is_some_and(|read| read.is_sought && !read.changes_table)
            && is_new
            && !head.has(END_STREAM)
            && self.unfinished.len() < UNFINISHED_MAX
            && outbound.has_room()
            && crowd.is_full(self.in_transport);
        if is_refused {
            outbound.refuse(head.stream, crowd.refusal());
            crowd.shed();
            self.unfinished.push(Unfinished { stream: head.stream, bytes: 0 });
            return true;
        }
        self.last_passed = self.last_passed.max(head.stream);
        self.note(read.filter(|_| is_new));
        false
    }

    /// A call has passed.
    fn note(&mut self, head: Option<Head>) {
        self.in_transport += usize::from(head.is_some_and(|head| head.is_sought));
    }

    /// A frame is complete. If it is the last of a block, the block is looked at.
    fn end_part(&mut self) {
        if !std::mem::take(&mut self.is_of_block) {
            return;
        }
        if self.is_blind {
            self.block = None;
        }
        let Some(block) = self.block.take_if(|block| block.flags & END_HEADERS != 0) else { return };
        let read = without_padding(block.flags, &block.bytes).and_then(|bytes| self.heads.read(bytes));
        self.is_blind |= read.is_none();
        self.note(read.filter(|_| block.stream == self.last_begun));
    }
}

/// The headers in the payload of their frame.
fn without_padding(flags: u8, payload: &[u8]) -> Option<&[u8]> {
    let (mut payload, mut padding_bytes) = (payload, 0);
    if flags & PADDED != 0 {
        let (first, rest) = payload.split_first()?;
        (payload, padding_bytes) = (rest, usize::from(*first));
    }
    if flags & PRIORITY != 0 {
        payload = payload.get(PRIORITY_BYTES..)?;
    }
    payload.get(..payload.len().checked_sub(padding_bytes)?)
}
