//! Frames: the self-describing, chained blocks of the journal. `docs/format.md` gives the layout as a table.
//!
//! What must stay true: a frame's hash covers all of it, header included, and its header holds the hash of the frame
//! before, so that no frame can be changed, dropped or moved unseen (invariant 7); positions are dense; within a
//! section the sequence numbers of a shard follow each other; a reader never trusts a length it has not checked.

use super::chunk::Chunk;
use crate::codec::{DecodeError, Reader, put_unsigned};
use crate::ledger::ENGINE_VERSION;
use crate::ledger::types::{Position, Seq, ShardId, TimestampNs};
use crate::limits;

/// The first four bytes of every frame.
pub const MAGIC: [u8; 4] = *b"TSFR";
/// The newest format that this version reads and the one that it writes.
pub const FORMAT_VERSION: u16 = 1;
/// Bytes of the header before the sections.
pub const HEADER_BYTES: usize = 4 + 2 + 2 + 8 + 8 + 4 + 4 + 4 + 8 + 32;
/// Bytes of the hash at the end.
pub const HASH_BYTES: usize = 32;

/// The hash of a frame; all zero stands for "before the first".
pub type FrameHash = [u8; HASH_BYTES];

/// A frame as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The position of its first record; the key in the store.
    pub position: Position,
    /// Records in it, more than 0.
    pub record_count: u32,
    /// Header, sections, hash.
    pub bytes: Vec<u8>,
    /// The hash, once more.
    pub hash: FrameHash,
}

/// The decoded header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The version of the deciding code.
    pub engine: u16,
    /// The epoch of the process that wrote it.
    pub epoch: u64,
    /// The position of its first record.
    pub position: Position,
    /// Records in it.
    pub record_count: u32,
    /// Sections in it.
    pub section_count: u32,
    /// Bytes of the sections.
    pub body_bytes: u32,
    /// When the frame was assembled.
    pub committed_at: TimestampNs,
    /// The hash of the frame before.
    pub previous_hash: FrameHash,
}

/// One record within a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Its position.
    pub position: Position,
    /// Its shard.
    pub shard: ShardId,
    /// Its number in the shard.
    pub seq: Seq,
    /// Where its bytes begin in the frame.
    pub offset: usize,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// What is wrong with a frame, and where in its bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the frame at position {position}, bytes {from}..{to}: {fault}")]
pub struct FrameError {
    /// The key under which the frame was found.
    pub position: Position,
    /// First byte concerned.
    pub from: usize,
    /// One past the last byte concerned.
    pub to: usize,
    /// What is wrong.
    pub fault: FrameFault,
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// Shorter than a header and a hash, or not of the length that the header says.
    #[error("its length is not what its header says")]
    Length,
    /// Does not begin with [`MAGIC`].
    #[error("it is not a frame")]
    Magic,
    /// Written by a newer version.
    #[error("it has format {found}, newer than {FORMAT_VERSION}, the newest that this version reads")]
    NewerFormat {
        /// The format.
        found: u16,
    },
    /// The hash does not fit the bytes.
    #[error("its hash does not fit its bytes")]
    Hash,
    /// The header's position is not the key.
    #[error("it says that it belongs at position {says}")]
    Misplaced {
        /// The position in the header.
        says: Position,
    },
    /// Its records would have positions that do not exist.
    #[error("its records would lie beyond the last position that there can be")]
    BeyondLast,
    /// The previous frame's hash is another.
    #[error("it does not follow the frame before it: the chain is broken")]
    Chain,
    /// Its position is not the one after the previous frame's records.
    #[error("position {expected} was expected here: records are missing or out of order")]
    Gap {
        /// The position that follows the previous frame.
        expected: Position,
    },
    /// A section cannot be decoded.
    #[error("a section is damaged: {0}")]
    Section(DecodeError),
}

/// Appends records to the chain: turns chunks into frames.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The epoch of this process.
    pub epoch: u64,
    /// The position that the next record gets.
    pub next: Position,
    /// The hash of the last frame.
    pub hash: FrameHash,
}

impl Chain {
    /// Assembles frames of about [`limits::FRAME_BYTES_TARGET`] from chunks, in order. The records of chunk `i` get
    /// consecutive positions from the `i`-th number returned.
    pub fn assemble<'a>(
        &mut self,
        chunks: impl Iterator<Item = &'a Chunk>,
        committed_at: TimestampNs,
        frames: &mut Vec<Frame>,
    ) -> Vec<Position> {
        let mut builder = Builder::default();
        let mut bases = Vec::new();
        for chunk in chunks {
            bases.push(self.next.plus(u64::from(builder.record_count)));
            let records = chunk.records();
            let mut from = 0;
            while from < records.len() {
                let to = run_end(records, from, builder.body.len());
                builder.push_section(chunk, from, to);
                from = to;
                if builder.body.len() >= limits::FRAME_BYTES_TARGET {
                    frames.push(builder.seal(self, committed_at));
                }
            }
        }
        if builder.record_count > 0 {
            frames.push(builder.seal(self, committed_at));
        }
        bases
    }
}

/// The end of the run of records of one shard that begins at `from` and fits what is left of the frame. At least one
/// record, however large.
fn run_end(records: &[super::chunk::RecordRef], from: usize, body_bytes: usize) -> usize {
    let shard = records[from].shard;
    let mut bytes = body_bytes;
    let mut to = from;
    while to < records.len() && records[to].shard == shard {
        bytes += records[to].length as usize + 4;
        if to > from && bytes > limits::FRAME_BYTES_TARGET {
            break;
        }
        to += 1;
    }
    to
}

#[derive(Debug, Default)]
struct Builder {
    body: Vec<u8>,
    record_count: u32,
    section_count: u32,
}

impl Builder {
    fn push_section(&mut self, chunk: &Chunk, from: usize, to: usize) {
        let records = &chunk.records()[from..to];
        let first = records.first().expect("a section has at least one record");
        put_unsigned(&mut self.body, u64::from(first.shard.0));
        put_unsigned(&mut self.body, first.seq.0);
        put_unsigned(&mut self.body, records.len() as u64);
        for (index, record) in records.iter().enumerate() {
            assert_eq!(record.seq.0, first.seq.0 + index as u64, "the records of a shard follow each other");
            let bytes = chunk.bytes_of(record);
            put_unsigned(&mut self.body, bytes.len() as u64);
            self.body.extend_from_slice(bytes);
        }
        self.section_count += 1;
        self.record_count += u32::try_from(records.len()).expect("a chunk is bounded");
    }

    fn seal(&mut self, chain: &mut Chain, committed_at: TimestampNs) -> Frame {
        let body_bytes = u32::try_from(self.body.len()).expect("a frame is bounded");
        assert!(self.body.len() + HEADER_BYTES + HASH_BYTES <= limits::FRAME_BYTES_MAX, "a frame can be read back");
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.body.len() + HASH_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&ENGINE_VERSION.to_le_bytes());
        bytes.extend_from_slice(&chain.epoch.to_le_bytes());
        bytes.extend_from_slice(&chain.next.0.to_le_bytes());
        bytes.extend_from_slice(&self.record_count.to_le_bytes());
        bytes.extend_from_slice(&self.section_count.to_le_bytes());
        bytes.extend_from_slice(&body_bytes.to_le_bytes());
        bytes.extend_from_slice(&committed_at.0.to_le_bytes());
        bytes.extend_from_slice(&chain.hash);
        assert_eq!(bytes.len(), HEADER_BYTES, "the header has a fixed length");
        bytes.append(&mut self.body);
        let hash = *blake3::hash(&bytes).as_bytes();
        bytes.extend_from_slice(&hash);
        let frame = Frame { position: chain.next, record_count: self.record_count, bytes, hash };
        chain.next = chain.next.plus(u64::from(self.record_count));
        chain.hash = hash;
        (self.record_count, self.section_count) = (0, 0);
        frame
    }
}

/// A frame read back, its hash checked.
#[derive(Clone, Copy, Debug)]
pub struct FrameView<'a> {
    /// The header.
    pub header: Header,
    /// The hash of this frame.
    pub hash: FrameHash,
    body: &'a [u8],
}

impl<'a> FrameView<'a> {
    /// Reads a frame that was found under `key`.
    ///
    /// # Errors
    /// When it is not a whole, unchanged frame of a format that this version knows, or lies under another key.
    pub fn decode(key: Position, bytes: &'a [u8]) -> Result<Self, FrameError> {
        let fault = |from: usize, to: usize, fault| FrameError { position: key, from, to, fault };
        let whole = bytes.len();
        if !(HEADER_BYTES + HASH_BYTES..=limits::FRAME_BYTES_MAX).contains(&whole) {
            return Err(fault(0, whole, FrameFault::Length));
        }
        let mut reader = Reader::new(bytes);
        let truncated = |_| fault(0, whole, FrameFault::Length);
        if reader.array::<4>().map_err(truncated)? != MAGIC {
            return Err(fault(0, 4, FrameFault::Magic));
        }
        let format = u16::from_le_bytes(reader.array().map_err(truncated)?);
        if format > FORMAT_VERSION {
            return Err(fault(4, 6, FrameFault::NewerFormat { found: format }));
        }
        let header = Header {
            engine: u16::from_le_bytes(reader.array().map_err(truncated)?),
            epoch: u64::from_le_bytes(reader.array().map_err(truncated)?),
            position: Position(u64::from_le_bytes(reader.array().map_err(truncated)?)),
            record_count: u32::from_le_bytes(reader.array().map_err(truncated)?),
            section_count: u32::from_le_bytes(reader.array().map_err(truncated)?),
            body_bytes: u32::from_le_bytes(reader.array().map_err(truncated)?),
            committed_at: TimestampNs(i64::from_le_bytes(reader.array().map_err(truncated)?)),
            previous_hash: reader.array().map_err(truncated)?,
        };
        if header.body_bytes as usize != whole - HEADER_BYTES - HASH_BYTES {
            return Err(fault(0, whole, FrameFault::Length));
        }
        let (content, stored) = bytes.split_at(whole - HASH_BYTES);
        let hash = *blake3::hash(content).as_bytes();
        if hash != stored {
            return Err(fault(0, whole, FrameFault::Hash));
        }
        if header.position != key {
            return Err(fault(16, 24, FrameFault::Misplaced { says: header.position }));
        }
        if header.position.0.checked_add(u64::from(header.record_count)).is_none() {
            return Err(fault(16, 28, FrameFault::BeyondLast));
        }
        Ok(Self { header, hash, body: &content[HEADER_BYTES..] })
    }

    /// Checks that this frame follows the one that ended before `expected` with the hash `previous`.
    ///
    /// # Errors
    /// When it does not.
    pub fn check_follows(&self, expected: Position, previous: &FrameHash) -> Result<(), FrameError> {
        let position = self.header.position;
        if position != expected {
            return Err(FrameError { position, from: 16, to: 24, fault: FrameFault::Gap { expected } });
        }
        if self.header.previous_hash != *previous {
            let (from, to) = (HEADER_BYTES - HASH_BYTES, HEADER_BYTES);
            return Err(FrameError { position, from, to, fault: FrameFault::Chain });
        }
        Ok(())
    }

    /// The position after its last record.
    #[must_use]
    pub fn end(&self) -> Position {
        self.header.position.plus(u64::from(self.header.record_count))
    }

    /// Visits the records in order.
    ///
    /// # Errors
    /// When the sections do not hold what the header says, or the visitor fails.
    pub fn for_each<E: From<FrameError>>(
        &self,
        mut visit: impl FnMut(&RecordView<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut reader = Reader::new(self.body);
        let offset = |reader: &Reader<'_>| HEADER_BYTES + self.body.len() - reader.remaining();
        let fault = |from: usize, to: usize, error| {
            E::from(FrameError { position: self.header.position, from, to, fault: FrameFault::Section(error) })
        };
        let mut index = 0_u64;
        for _ in 0..self.header.section_count {
            let from = offset(&reader);
            let (shard, first, count) = section_header(&mut reader).map_err(|e| fault(from, from + 1, e))?;
            if count > u64::from(self.header.record_count) - index {
                return Err(fault(from, offset(&reader), DecodeError::Contradiction));
            }
            for step in 0..count {
                let at = offset(&reader);
                let bytes = sized(&mut reader).map_err(|e| fault(at, HEADER_BYTES + self.body.len(), e))?;
                visit(&RecordView {
                    position: self.header.position.plus(index),
                    shard,
                    seq: Seq(first.0 + step),
                    offset: offset(&reader) - bytes.len(),
                    bytes,
                })?;
                index += 1;
            }
        }
        let end = offset(&reader);
        if index != u64::from(self.header.record_count) {
            return Err(fault(HEADER_BYTES, end, DecodeError::Contradiction));
        }
        reader.finish().map_err(|e| fault(end, HEADER_BYTES + self.body.len(), e))
    }

    /// The record at a position within this frame.
    ///
    /// # Errors
    /// When the sections are damaged.
    pub fn record_at(&self, position: Position) -> Result<Option<RecordView<'a>>, FrameError> {
        let mut found = None;
        self.for_each(|record| -> Result<(), FrameError> {
            if record.position == position {
                found = Some(*record);
            }
            Ok(())
        })?;
        Ok(found)
    }
}

fn section_header(reader: &mut Reader<'_>) -> Result<(ShardId, Seq, u64), DecodeError> {
    let header = (ShardId(reader.number()?), Seq(reader.unsigned()?), reader.count()? as u64);
    let (_, first, count) = header;
    let in_range = first.0 > 0 && count > 0 && first.0.checked_add(count).is_some();
    if in_range { Ok(header) } else { Err(DecodeError::BadNumber) }
}

fn sized<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let length = reader.number()?;
    if length == 0 { Err(DecodeError::BadNumber) } else { reader.bytes(length) }
}
