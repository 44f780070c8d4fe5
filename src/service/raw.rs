//! Messages that stay bytes: those of the calls that tills and gateways make all day. The server reads such a request
//! where it lies and writes the answer in place, instead of building a tree of strings for each.
//!
//! What must stay true: whatever a [`Raw`] holds is one message, whole, in the encoding of Protocol Buffers.

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{DecodeContext, WireType};
use prost::{DecodeError, Message};

/// The bytes of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Raw(pub Bytes);

impl Message for Raw {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        buf.put_slice(&self.0);
    }

    /// Takes the bytes as they are, without a copy where the transport allows it.
    fn merge(&mut self, mut buf: impl Buf) -> Result<(), DecodeError> {
        let remaining = buf.remaining();
        self.0 = buf.copy_to_bytes(remaining);
        Ok(())
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        // Only a message inside another is read field by field, and these are never inside one.
        prost::encoding::skip_field(wire_type, tag, buf, ctx)
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_through_unchanged() {
        let bytes = Bytes::from_static(&[0x0a, 0x02, b'h', b'i', 0x10, 0x07]);
        let raw = Raw::decode(bytes.clone()).expect("bytes are taken as they are");
        assert_eq!(raw.0, bytes);
        assert_eq!(raw.encode_to_vec(), bytes);
        assert_eq!(raw.encoded_len(), 6);
    }
}
