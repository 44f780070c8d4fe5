//! What a caller says of the table with which it reads the headers of answers (RFC 9113, section 6.5; RFC 7541, section 4.2).
//!
//! What must stay true: what is seen does not depend on how the bytes are cut; nothing is held but one setting.

/// The kind of the frames that bring settings.
const SETTINGS: u8 = 4;
/// Bytes of that table as long as its owner has said nothing.
const TABLE_BYTES: u64 = 4_096;
/// The setting that says how many there are (`SETTINGS_HEADER_TABLE_SIZE`).
const HEADER_TABLE_SIZE: u64 = 1;
/// Bytes of a setting: two that say which it is, and its value.
const SETTING_BYTES: usize = 6;

/// The settings of one caller.
#[derive(Default)]
pub(super) struct Settings {
    /// The frame that has begun brings some.
    is_midst: bool,
    /// The last bytes that have come.
    bytes: u64,
    /// How many of them are of a setting that is not whole.
    count: usize,
    has_small_table: bool,
}

impl Settings {
    /// A frame of this kind begins.
    pub(super) fn begin(&mut self, kind: u8) {
        (self.is_midst, self.count) = (kind == SETTINGS, 0);
    }

    /// Goes over the next bytes of what the frame brings.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        if !self.is_midst {
            return;
        }
        for byte in bytes {
            self.bytes = (self.bytes << 8) | u64::from(*byte);
            self.count += 1;
            if self.count == SETTING_BYTES {
                self.count = 0;
                let (number, value) = ((self.bytes >> 32) & 0xffff, self.bytes & 0xffff_ffff);
                self.has_small_table |= number == HEADER_TABLE_SIZE && value < TABLE_BYTES;
            }
        }
    }

    /// Whether the table has been smaller than it is at first. The next headers after that have to begin with its size, which
    /// only the transport can say: it keeps the same table.
    pub(super) fn has_small_table(&self) -> bool {
        self.has_small_table
    }
}
