//! Messages as bytes: the load sends what is encoded already, and looks at no more of an answer than it needs to count
//! it.
//!
//! What must stay true: what is not understood counts as a broken answer, never as a good one.

use prost::bytes::{Buf, BufMut, Bytes};
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use super::error::BenchError;
use crate::service::wire;

/// Bytes that a buffer of the transport begins with: a batch fits.
const BUFFER_BYTES: usize = 64 << 10;

/// A codec that leaves bytes as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct RawCodec {
    /// Whether buffers begin large enough for a batch.
    pub is_for_batches: bool,
}

impl RawCodec {
    fn settings(self) -> BufferSettings {
        if self.is_for_batches {
            BufferSettings::new(BUFFER_BYTES, BUFFER_BYTES)
        } else {
            BufferSettings::new(1_024, 1_024)
        }
    }
}

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.settings()
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.settings()
    }
}

/// What an answer says, as far as the load cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The basket was accepted.
    Accepted,
    /// It is the answer that the same command got before: the load repeats nothing, so this is a fault.
    Replayed,
    /// It was refused, with this code.
    Refused(i32),
}

impl Verdict {
    /// A short name of a refusal or replay, for counts; `None` for what was accepted.
    #[must_use]
    pub fn kind(self) -> Option<&'static str> {
        match self {
            Self::Accepted => None,
            Self::Replayed => Some("REPLAYED"),
            Self::Refused(code) => {
                let name = wire::RefusalCode::try_from(code).map_or("UNKNOWN", |code| code.as_str_name());
                Some(name.trim_start_matches("REFUSAL_CODE_"))
            }
        }
    }

    /// The kind of a refusal for want of capacity; `None` for what was accepted.
    ///
    /// # Errors
    /// When the answer is anything else: the load asks for nothing that has to be refused, and repeats nothing.
    pub fn counted(self) -> Result<Option<&'static str>, BenchError> {
        let Some(kind) = self.kind() else { return Ok(None) };
        match self {
            Self::Refused(code) if is_want_of_capacity(code) => Ok(Some(kind)),
            _ => Err(BenchError::Call(format!("a command was answered with {kind}"))),
        }
    }
}

fn is_want_of_capacity(code: i32) -> bool {
    let code = wire::RefusalCode::try_from(code);
    matches!(code, Ok(wire::RefusalCode::Overloaded | wire::RefusalCode::DeadlineExpired))
}

/// Reads an `AccrueResponse`. `None` when it is none.
#[must_use]
pub fn accrue_response(bytes: &[u8]) -> Option<Verdict> {
    // `AccrueResponse.decision` and `CommandResult.decision` have the number 1.
    match Fields(bytes).next()? {
        (1, Value::Bytes(decision)) => verdict(decision),
        _ => None,
    }
}

/// Reads a `CommandStreamResponse`; calls back for every result, in order. `None` when it is none.
pub fn stream_response(bytes: &[u8], mut on_result: impl FnMut(Verdict)) -> Option<()> {
    let mut fields = Fields(bytes);
    while !fields.0.is_empty() {
        // `CommandStreamResponse.results` has the number 1.
        match fields.next()? {
            (1, Value::Bytes(result)) => on_result(accrue_response(result)?),
            _ => return None,
        }
    }
    Some(())
}

/// The verdict of an encoded `Decision`. Fields come in the order of their numbers, as every encoder writes them.
fn verdict(decision: &[u8]) -> Option<Verdict> {
    let mut fields = Fields(decision);
    while !fields.0.is_empty() {
        match fields.next()? {
            // `replayed`
            (1, Value::Number(1)) => return Some(Verdict::Replayed),
            // `refusal`, whose first field is the code.
            (2, Value::Bytes(refusal)) => match Fields(refusal).next() {
                Some((1, Value::Number(code))) => return Some(Verdict::Refused(i32::try_from(code).ok()?)),
                _ => return None,
            },
            (3.., _) => return Some(Verdict::Accepted),
            _ => {}
        }
    }
    None
}

/// A value of a field.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of an encoded message; those of fixed width are not part of the messages read here.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<(u64, Value<'a>)> {
        let key = self.number()?;
        match key & 7 {
            0 => Some((key >> 3, Value::Number(self.number()?))),
            2 => {
                let count = usize::try_from(self.number()?).ok()?;
                let (value, rest) = self.0.split_at_checked(count)?;
                self.0 = rest;
                Some((key >> 3, Value::Bytes(value)))
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<u64> {
        prost::encoding::decode_varint(&mut self.0).ok()
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    fn decision(refusal: Option<i32>, replayed: bool) -> wire::Decision {
        let refusal = refusal.map(|code| wire::Refusal { code, ..wire::Refusal::default() });
        wire::Decision { replayed, refusal, program_version: 1, position: Some(300), ..wire::Decision::default() }
    }

    #[test]
    fn an_answer_is_read_as_it_was_meant() {
        let rows = [
            (decision(None, false), Verdict::Accepted, None),
            (decision(None, true), Verdict::Replayed, Some("REPLAYED")),
            (decision(Some(12), false), Verdict::Refused(12), Some("OVERLOADED")),
        ];
        for (decision, expected, kind) in rows {
            let response = wire::AccrueResponse { decision: Some(decision) };
            assert_eq!(accrue_response(&response.encode_to_vec()), Some(expected));
            assert_eq!(expected.kind(), kind);
        }
        assert_eq!(accrue_response(&[]), None);
        assert_eq!(accrue_response(&[0x0a, 0x05, 0x01]), None);
    }

    #[test]
    fn only_a_want_of_capacity_is_counted_beside_what_was_accepted() {
        assert_eq!(Verdict::Accepted.counted().unwrap(), None);
        for code in [wire::RefusalCode::Overloaded, wire::RefusalCode::DeadlineExpired] {
            let kind = Verdict::Refused(code.into()).counted().unwrap();
            assert_eq!(kind.map(|kind| format!("REFUSAL_CODE_{kind}")).as_deref(), Some(code.as_str_name()));
        }
        let wrong = [wire::RefusalCode::BalanceLimitExceeded, wire::RefusalCode::ShuttingDown];
        let wrong = wrong.map(|code| Verdict::Refused(code.into()));
        for verdict in wrong.into_iter().chain([Verdict::Replayed, Verdict::Refused(9_999)]) {
            assert!(matches!(verdict.counted(), Err(BenchError::Call(_))), "{verdict:?}");
        }
    }

    #[test]
    fn the_results_of_a_stream_are_counted_in_order() {
        let results = [decision(None, false), decision(Some(14), false), decision(None, false)];
        let results = results.map(|decision| wire::CommandResult { decision: Some(decision) });
        let bytes = wire::CommandStreamResponse { results: results.to_vec() }.encode_to_vec();
        let mut seen = Vec::new();
        stream_response(&bytes, |verdict| seen.push(verdict)).unwrap();
        assert_eq!(seen, [Verdict::Accepted, Verdict::Refused(14), Verdict::Accepted]);
        assert_eq!(stream_response(&bytes[..bytes.len() - 1], |_| {}), None);
    }
}
