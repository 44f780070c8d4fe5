//! The table with which a caller reads the headers of answers (HPACK, RFC 7541), as far as refusals must speak of it. Once it
//! was made smaller, the next headers begin with its size (section 4.2), and a strict caller takes any others for broken.
//! Those of the transport do; but a refusal may come first.
//!
//! What must stay true: a refusal says the smallest size that has been acknowledged since the last headers, and only if it is
//! smaller than the one that the caller was told last. The transport, which does not know of it, says a size as small or
//! smaller with its next headers, before it enters anything. So caller and transport keep the same entries: a refusal drops
//! none that the transport would not drop. Before the acknowledgement nothing is said, for headers of the transport that come
//! until then may still name what would be gone; behind its headers neither, for the table may be larger again.

use std::collections::VecDeque;

use bytes::BufMut;

use super::super::hpack::put_integer;

/// Bytes of the table when nobody has said otherwise (RFC 9113, section 6.5.2), and the most that the transport makes use of.
const TABLE_BYTES: u32 = 4_096;
/// The setting with its size (`SETTINGS_HEADER_TABLE_SIZE`).
const HEADER_TABLE_SIZE: u16 = 1;
/// Bytes of a setting: two that say which it is, and its value.
const SETTING_BYTES: usize = 6;
/// What begins with a size (RFC 7541, section 6.3), and the bits of the same byte in which the size begins.
const SIZE_UPDATE: u8 = 0x20;
const SIZE_PREFIX: u32 = 5;

/// See the module.
pub(super) struct Table {
    /// The size, if any, in each of the settings that the transport has not acknowledged. It does so before it goes on to the
    /// next frame, so there are no more of them than it reads at once.
    awaited: VecDeque<Option<u32>>,
    /// The size that was acknowledged last, and the smallest since the last headers.
    acknowledged_bytes: u32,
    smallest_bytes: u32,
    /// The size that the caller was told last.
    told_bytes: u32,
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            awaited: VecDeque::new(),
            acknowledged_bytes: TABLE_BYTES,
            smallest_bytes: TABLE_BYTES,
            told_bytes: TABLE_BYTES,
        }
    }

    /// Settings pass on their way to the transport.
    pub(super) fn await_acknowledgement(&mut self, settings: &[u8]) {
        self.awaited.push_back(table_bytes(settings));
    }

    /// The transport has acknowledged the first of those that wait for it.
    pub(super) fn acknowledge(&mut self) {
        if let Some(Some(bytes)) = self.awaited.pop_front() {
            self.acknowledged_bytes = bytes.min(TABLE_BYTES);
            self.smallest_bytes = self.smallest_bytes.min(self.acknowledged_bytes);
        }
    }

    /// The transport has begun headers: with the size that was acknowledged last, if the caller may think of another.
    pub(super) fn begin_headers(&mut self) {
        self.smallest_bytes = self.acknowledged_bytes;
        self.told_bytes = self.acknowledged_bytes;
    }

    /// Whether headers that stand here, and that are not the transport's, must begin with a size.
    pub(super) fn owes_size(&self) -> bool {
        self.smallest_bytes < self.told_bytes
    }

    /// Begins such headers.
    pub(super) fn put_size(&mut self, out: &mut impl BufMut) {
        put_integer(out, SIZE_UPDATE, SIZE_PREFIX, self.smallest_bytes as usize);
        self.told_bytes = self.smallest_bytes;
    }
}

/// The size of the table in settings. Of two the last counts, as with the transport.
fn table_bytes(settings: &[u8]) -> Option<u32> {
    let (settings, _) = settings.as_chunks::<SETTING_BYTES>();
    settings.iter().rev().find_map(|&[high, low, ref value @ ..]| {
        (u16::from_be_bytes([high, low]) == HEADER_TABLE_SIZE).then(|| u32::from_be_bytes(*value))
    })
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
