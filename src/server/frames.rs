//! The heads of the frames of HTTP/2 (RFC 9113, section 4.1) as they go by: how much of them moves a call on, and whether
//! one has been begun and not ended.
//!
//! What must stay true: nothing is held but the head of one frame; bytes may come in pieces of any size, and what is seen
//! does not depend on how they are cut.

use crate::limits;

/// What a connection begins with, before its first frame.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of the head of a frame.
const HEAD_BYTES: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The place in what a caller sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frames {
    preface_left: usize,
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    payload_left: usize,
    /// The headers of a call have begun and are not complete.
    is_in_headers: bool,
    /// Frames, and blocks of headers, that were begun.
    begun_count: u32,
}

impl Frames {
    pub(super) fn new() -> Self {
        Self {
            preface_left: PREFACE.len(),
            head: [0; HEAD_BYTES],
            head_bytes: 0,
            payload_left: 0,
            is_in_headers: false,
            begun_count: 0,
        }
    }

    /// Where a server begins: it sends no preface.
    pub(super) fn of_a_server() -> Self {
        Self { preface_left: 0, ..Self::new() }
    }

    /// Goes over the next bytes. Gives what they are worth: calls and what belongs to them are worth something, and
    /// frames that ask for nothing cost something.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> i64 {
        self.pass_telling(bytes, |_, _| {})
    }

    /// The same, and tells the kind and the flags of each frame whose head is complete.
    pub(super) fn pass_telling(&mut self, mut bytes: &[u8], mut on_head: impl FnMut(u8, u8)) -> i64 {
        let mut worth = 0;
        while !bytes.is_empty() {
            if self.preface_left > 0 {
                // Whether it is right is the transport's to judge.
                bytes = skip(&mut self.preface_left, bytes);
            } else if self.payload_left > 0 {
                bytes = skip(&mut self.payload_left, bytes);
            } else {
                if self.head_bytes == 0 && !self.is_in_headers {
                    self.begun_count = self.begun_count.wrapping_add(1);
                }
                let taken = (HEAD_BYTES - self.head_bytes).min(bytes.len());
                self.head[self.head_bytes..self.head_bytes + taken].copy_from_slice(&bytes[..taken]);
                self.head_bytes += taken;
                bytes = &bytes[taken..];
                if self.head_bytes == HEAD_BYTES {
                    self.head_bytes = 0;
                    worth += self.begin();
                    let [_, _, _, kind, flags, ..] = self.head;
                    on_head(kind, flags);
                }
            }
        }
        worth
    }

    /// A head is complete.
    fn begin(&mut self) -> i64 {
        let [long, middle, short, kind, flags, ..] = self.head;
        self.payload_left = usize::from(long) << 16 | usize::from(middle) << 8 | usize::from(short);
        match kind {
            HEADERS => {
                self.is_in_headers = flags & END_HEADERS == 0;
                limits::FRAME_CREDITS_PER_CALL
            }
            CONTINUATION => {
                self.is_in_headers &= flags & END_HEADERS == 0;
                // How many there may be follows from the bytes that headers may have.
                0
            }
            DATA if self.payload_left > 0 || flags & END_STREAM != 0 => 0,
            _ => -1,
        }
    }

    /// Whether the preface and at least the first frame have come.
    pub(super) fn has_begun(&self) -> bool {
        self.begun_count > 1 || (self.begun_count == 1 && self.midst().is_none())
    }

    /// The number of the frame, or of the block of headers, that has begun and is not complete.
    pub(super) fn midst(&self) -> Option<u32> {
        let is_midst = self.payload_left > 0 || self.head_bytes > 0 || self.is_in_headers;
        is_midst.then_some(self.begun_count)
    }
}

fn skip<'a>(left: &mut usize, bytes: &'a [u8]) -> &'a [u8] {
    let taken = (*left).min(bytes.len());
    *left -= taken;
    &bytes[taken..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SETTINGS: u8 = 4;
    const PING: u8 = 6;

    fn frame(kind: u8, flags: u8, payload_bytes: u8) -> Vec<u8> {
        let mut bytes = vec![0, 0, payload_bytes, kind, flags, 0, 0, 0, 1];
        bytes.resize(HEAD_BYTES + usize::from(payload_bytes), 0xff);
        bytes
    }

    fn begun() -> Frames {
        let mut frames = Frames::new();
        assert!(!frames.has_begun());
        assert_eq!(frames.pass(PREFACE), 0);
        assert!(!frames.has_begun());
        assert_eq!(frames.pass(&frame(SETTINGS, 0, 0)), -1);
        assert!(frames.has_begun());
        frames
    }

    #[test]
    fn calls_are_worth_something_and_frames_that_ask_for_nothing_cost() {
        let rows = [
            ("headers", frame(HEADERS, END_HEADERS, 9), limits::FRAME_CREDITS_PER_CALL),
            ("data", frame(DATA, 0, 9), 0),
            ("the end of a stream", frame(DATA, END_STREAM, 0), 0),
            ("data without any", frame(DATA, 0, 0), -1),
            ("a ping", frame(PING, 0, 8), -1),
            ("settings", frame(SETTINGS, 0, 6), -1),
            ("a reset", frame(3, 0, 4), -1),
            ("a priority", frame(2, 0, 5), -1),
            ("a window", frame(8, 0, 4), -1),
            ("what nobody knows", frame(0xfe, 0, 1), -1),
        ];
        for (what, bytes, worth) in rows {
            assert_eq!(begun().pass(&bytes), worth, "{what}");
        }
    }

    #[test]
    fn heads_are_told_in_their_order_once_they_are_complete() {
        let bytes = [frame(SETTINGS, 1, 0), frame(HEADERS, END_HEADERS, 9), frame(DATA, END_STREAM, 3)].concat();
        let expected = [(SETTINGS, 1), (HEADERS, END_HEADERS), (DATA, END_STREAM)];
        for cut in 1..bytes.len() {
            let (mut frames, mut told) = (Frames::of_a_server(), Vec::new());
            for (count, piece) in (1..).zip(bytes.chunks(cut)) {
                frames.pass_telling(piece, |kind, flags| told.push((kind, flags)));
                let begun_count = [9, 18, 36].iter().filter(|end| **end <= count * cut).count();
                assert_eq!(told, expected[..begun_count], "{count} pieces of {cut}");
            }
        }
    }

    #[test]
    fn headers_are_midst_until_their_last_part_is_whole() {
        let mut frames = begun();
        frames.pass(&frame(HEADERS, 0, 3));
        let midst = frames.midst().expect("the block is open");
        frames.pass(&frame(CONTINUATION, 0, 3));
        assert_eq!(frames.midst(), Some(midst), "it is the same block");
        let last = frame(CONTINUATION, END_HEADERS, 3);
        frames.pass(&last[..last.len() - 1]);
        assert_eq!(frames.midst(), Some(midst));
        frames.pass(&last[last.len() - 1..]);
        assert_eq!(frames.midst(), None);
        frames.pass(&[0]);
        assert_ne!(frames.midst(), Some(midst), "the next frame is another one");
    }

    #[test]
    fn a_frame_of_the_largest_length_is_passed_whole() {
        let mut frames = begun();
        frames.pass(&[0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1]);
        let mut left = (1_usize << 24) - 1;
        while left > 0 {
            let piece = left.min(1 << 20);
            assert!(frames.midst().is_some());
            frames.pass(&vec![0; piece]);
            left -= piece;
        }
        assert_eq!(frames.midst(), None);
    }

    proptest! {
        #[test]
        fn what_is_seen_does_not_depend_on_how_the_bytes_are_cut(
            bytes in prop::collection::vec(0_u8..11, 0..300), cuts in prop::collection::vec(1_usize..40, 1..9),
        ) {
            let mut whole = Frames::new();
            let worth = whole.pass(&bytes);
            let (mut cut, mut sum, mut rest) = (Frames::new(), 0, bytes.as_slice());
            for length in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, next) = rest.split_at((*length).min(rest.len()));
                sum += cut.pass(piece);
                rest = next;
            }
            prop_assert_eq!((cut, sum), (whole, worth));
        }
    }
}
