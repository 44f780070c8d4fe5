//! The primitive encodings of records, accounts and other entities: variable-length integers, text, and a reader that never panics.
//!
//! What must stay true: every value has exactly one encoding, so that equal content means equal bytes; the reader
//! refuses what the writer would not have written.

use std::fmt::Write;

/// Why bytes could not be decoded. `Display` is a phrase that completes "the record is damaged: …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a value.
    #[error("it ends before its content does")]
    Truncated,
    /// More bytes than the content needs.
    #[error("bytes are left over after its content")]
    TrailingBytes,
    /// A number is too large or not in its shortest form.
    #[error("a number is out of range or not in its shortest form")]
    BadNumber,
    /// A kind or tag that this version does not know.
    #[error("it holds a tag that this version does not know")]
    UnknownTag,
    /// Text that is not UTF-8, empty where it must not be, or not in its shortest form.
    #[error("a text is malformed")]
    BadText,
    /// A number that names nothing in the dictionary.
    #[error("it names an entry that the dictionary does not have")]
    UnknownReference,
    /// Two fields contradict each other.
    #[error("its fields contradict each other")]
    Contradiction,
}

/// The topmost bit of each byte of a word: of an integer's bytes all but the last have it.
const GOES_ON: u64 = 0x8080_8080_8080_8080;
/// Integers below this are at most eight bytes, which are made and taken apart at once.
const OF_A_WORD: u64 = 1 << 56;

/// Appends an unsigned integer, seven bits a byte, low bits first (LEB128).
#[inline]
pub fn put_unsigned(out: &mut Vec<u8>, value: u64) {
    match value {
        0..0x80 => out.push(value as u8),
        0x80..0x4000 => out.extend_from_slice(&[value as u8 | 0x80, (value >> 7) as u8]),
        _ => put_long(out, value),
    }
}

/// An integer of more than one byte.
fn put_long(out: &mut Vec<u8>, mut value: u64) {
    if value < OF_A_WORD {
        let length = (63 - value.leading_zeros()) / 7 + 1;
        let goes_on = GOES_ON & ((1 << (8 * (length - 1))) - 1);
        out.extend_from_slice(&(scattered(value) | goes_on).to_le_bytes());
        out.truncate(out.len() - (8 - length as usize));
        return;
    }
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// 56 bits, seven to a byte.
fn scattered(value: u64) -> u64 {
    let halves = (value & 0x0fff_ffff) | ((value & 0x00ff_ffff_f000_0000) << 4);
    let quarters = (halves & 0x0000_3fff_0000_3fff) | ((halves & 0x0fff_c000_0fff_c000) << 2);
    (quarters & 0x007f_007f_007f_007f) | ((quarters & 0x3f80_3f80_3f80_3f80) << 1)
}

/// The inverse of [`scattered`].
fn gathered(bytes: u64) -> u64 {
    let quarters = (bytes & 0x007f_007f_007f_007f) | ((bytes & 0x7f00_7f00_7f00_7f00) >> 1);
    let halves = (quarters & 0x0000_3fff_0000_3fff) | ((quarters & 0x3fff_0000_3fff_0000) >> 2);
    (halves & 0x0fff_ffff) | ((halves & 0x0fff_ffff_0000_0000) >> 4)
}

/// Signed integers by their size: 0, -1, 1, -2 become 0, 1, 2, 3.
#[inline]
#[must_use]
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
#[inline]
#[must_use]
pub fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

/// Appends a signed integer, zigzag, then as an unsigned one.
#[inline]
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_unsigned(out, zigzag(value));
}

/// A group holds at most so many integers: two bits of its first byte are for each.
const GROUP_VALUES_MAX: usize = 4;
/// Bytes that hold the integers of any group, and end no earlier than eight bytes behind where its last may begin.
const GROUP_ROOM: usize = 40;
/// Integers of a group begin before this, and it is a mask of where they begin.
const GROUP_PLACES: usize = 32;
/// The bits of integers of 1, 2, 4 and 8 bytes.
const GROUP_BITS: [u64; 4] = [0xff, 0xffff, 0xffff_ffff, u64::MAX];
/// The least integer of each length: a smaller one takes fewer bytes.
const GROUP_LEAST: [u64; 4] = [0, 1 << 8, 1 << 16, 1 << 32];

/// Appends a group of up to four integers: a byte with two bits for each, the first one's lowest, which say that it takes
/// 1, 2, 4 or 8 bytes; then these, low bytes first. Read without a branch on how long each is ("group varint": J. Dean,
/// "Challenges in Building Large-Scale Information Retrieval Systems", WSDM 2009).
///
/// ```
/// use tallystick::codec::{Reader, put_group};
///
/// let mut bytes = Vec::new();
/// put_group(&mut bytes, [7, 300]);
/// // The first takes one byte, and the second two.
/// assert_eq!(bytes, [0b01_00, 7, 44, 1]);
/// assert_eq!(Reader::new(&bytes).group(), Ok([7, 300]));
/// ```
#[inline]
pub fn put_group<const N: usize>(out: &mut Vec<u8>, values: [u64; N]) {
    const { assert!(N <= GROUP_VALUES_MAX, "a byte has two bits for each of four") };
    let from = out.len();
    out.extend_from_slice(&[0; 1 + GROUP_ROOM]);
    let Some(([lengths], room)) = out.get_mut(from..).and_then(<[u8]>::split_first_chunk_mut::<1>) else { return };
    let Some(room) = room.first_chunk_mut::<GROUP_ROOM>() else { return };
    let mut to: usize = 0;
    for (index, value) in values.into_iter().enumerate() {
        let [one, two, four, _] = GROUP_BITS.map(|bits| u8::from(value > bits));
        let length = one + two + four;
        *lengths |= length << (2 * index);
        let at = to % GROUP_PLACES;
        room[at..at + 8].copy_from_slice(&value.to_le_bytes());
        to += 1 << length;
    }
    out.truncate(from + 1 + to);
}

/// Appends a text with its length in front.
pub fn put_string(out: &mut Vec<u8>, text: &str) {
    put_unsigned(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

const TAG_UUID: u64 = 0;
const TAG_DECIMAL: u64 = 1;
/// A text of n > 0 bytes has the tag n + 1.
const TAG_LENGTH_OFFSET: u64 = 1;

/// Appends an id in its shortest form: a lower-case hyphenated UUID as 16 bytes, a decimal number without leading
/// zeros as an integer, anything else as text. `text` is not empty.
pub fn put_id(out: &mut Vec<u8>, text: &str) {
    if let Some(uuid) = parse_uuid(text) {
        put_unsigned(out, TAG_UUID);
        out.extend_from_slice(&uuid);
    } else if let Some(number) = parse_decimal(text) {
        put_unsigned(out, TAG_DECIMAL);
        put_unsigned(out, number);
    } else {
        put_unsigned(out, text.len() as u64 + TAG_LENGTH_OFFSET);
        out.extend_from_slice(text.as_bytes());
    }
}

fn parse_decimal(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let plain = !bytes.is_empty() && bytes.len() <= 18 && bytes.iter().all(u8::is_ascii_digit);
    if plain && (bytes[0] != b'0' || bytes.len() == 1) { text.parse().ok() } else { None }
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    /// Where the two digits of each byte begin, past the hyphens.
    const PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
    let bytes: &[u8; 36] = text.as_bytes().try_into().ok()?;
    let mut out = [0_u8; 16];
    // Whether a digit is a letter cannot be foretold, so nothing branches on it.
    let mut wrong = 0;
    for (out, place) in out.iter_mut().zip(PLACES) {
        let (high, low) = (HEX_DIGITS[usize::from(bytes[place])], HEX_DIGITS[usize::from(bytes[place + 1])]);
        wrong |= high | low;
        *out = (high << 4) | low;
    }
    let has_hyphens = [8, 13, 18, 23].into_iter().all(|place| bytes[place] == b'-');
    (wrong & NO_DIGIT == 0 && has_hyphens).then_some(out)
}

/// Marks what is no lower-case hexadecimal digit; a digit's value has none of its bits.
const NO_DIGIT: u8 = 0xf0;

/// The value of each lower-case hexadecimal digit.
const HEX_DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    digits
};

fn push_uuid(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// Whether `bytes` begin with what [`put_id`] writes of the text.
#[must_use]
pub fn id_is(bytes: &[u8], text: &str) -> bool {
    behind_id(bytes, text).is_some()
}

/// What follows in `bytes` if they begin with what [`put_id`] writes of the text.
fn behind_id<'a>(bytes: &'a [u8], text: &str) -> Option<&'a [u8]> {
    let mut reader = Reader::new(bytes);
    let is_it = match reader.unsigned().ok()? {
        TAG_UUID => parse_uuid(text).is_some_and(|uuid| reader.array() == Ok(uuid)),
        TAG_DECIMAL => parse_decimal(text).is_some_and(|number| reader.unsigned() == Ok(number)),
        tag => tag == text.len() as u64 + TAG_LENGTH_OFFSET && reader.bytes(text.len()) == Ok(text.as_bytes()),
    };
    is_it.then_some(reader.rest)
}

/// Reads what the `put_` functions wrote.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the beginning of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not read yet.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether everything was read.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Fails when bytes are left over.
    ///
    /// # Errors
    /// [`DecodeError::TrailingBytes`].
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes) }
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.rest.split_at_checked(count).ok_or(DecodeError::Truncated)?;
        self.rest = tail;
        Ok(head)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = tail;
        Ok(*head)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// An unsigned integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] or [`DecodeError::BadNumber`].
    #[inline]
    pub fn unsigned(&mut self) -> Result<u64, DecodeError> {
        // How long the next integer is cannot be foretold, so nothing branches on it.
        if let Some(word) = self.rest.first_chunk().map(|word| u64::from_le_bytes(*word)) {
            let ends = !word & GOES_ON;
            if ends != 0 {
                // Up to the end of its last byte.
                let bytes = word & (ends ^ (ends - 1));
                let bits = ends.trailing_zeros() + 1;
                let is_shortest = bits == 8 || bytes >> (bits - 8) != 0;
                self.rest = self.rest.get(bits as usize / 8..).ok_or(DecodeError::Truncated)?;
                return if is_shortest { Ok(gathered(bytes)) } else { Err(DecodeError::BadNumber) };
            }
        }
        self.unsigned_at_length()
    }

    /// Integers of more than eight bytes, such as instants.
    fn unsigned_at_length(&mut self) -> Result<u64, DecodeError> {
        let Some((bytes, rest)) = self.rest.split_first_chunk::<10>() else { return self.unsigned_by_bytes() };
        let [word @ .., ninth, tenth] = *bytes;
        let word = u64::from_le_bytes(word);
        let low = gathered(word) | u64::from(ninth & 0x7f) << 56;
        match (word & GOES_ON, ninth, tenth) {
            (GOES_ON, 1..0x80, _) => {
                self.rest = self.rest.get(9..).unwrap_or_default();
                Ok(low)
            }
            (GOES_ON, 0x80.., 1) => {
                self.rest = rest;
                Ok(low | 1 << 63)
            }
            _ => self.unsigned_by_bytes(),
        }
    }

    /// Near the end of what is read.
    fn unsigned_by_bytes(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if (shift == 63 && bits > 1) || (byte == 0 && shift > 0) {
                return Err(DecodeError::BadNumber);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::BadNumber)
    }

    /// An unsigned integer that fits `T`.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] or [`DecodeError::BadNumber`].
    #[inline]
    pub fn number<T: TryFrom<u64>>(&mut self) -> Result<T, DecodeError> {
        T::try_from(self.unsigned()?).map_err(|_| DecodeError::BadNumber)
    }

    /// A signed integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] or [`DecodeError::BadNumber`].
    #[inline]
    pub fn signed(&mut self) -> Result<i64, DecodeError> {
        self.unsigned().map(unzigzag)
    }

    /// The integers of a group.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] or [`DecodeError::BadNumber`].
    #[inline]
    pub fn group<const N: usize>(&mut self) -> Result<[u64; N], DecodeError> {
        let (lengths, rest) = self.rest.split_first().ok_or(DecodeError::Truncated)?;
        let mut near_the_end = [0; GROUP_ROOM];
        let room: &[u8; GROUP_ROOM] = match rest.first_chunk() {
            Some(room) => room,
            None => {
                near_the_end[..rest.len()].copy_from_slice(rest);
                &near_the_end
            }
        };
        let (mut values, mut lengths, mut to, mut is_shortest) = ([0; N], *lengths, 0_usize, true);
        for value in &mut values {
            let length = usize::from(lengths & 3);
            lengths >>= 2;
            let at = to % GROUP_PLACES;
            let mut word = [0; 8];
            word.copy_from_slice(&room[at..at + 8]);
            *value = u64::from_le_bytes(word) & GROUP_BITS[length];
            is_shortest &= *value >= GROUP_LEAST[length];
            to += 1 << length;
        }
        self.rest = rest.get(to..).ok_or(DecodeError::Truncated)?;
        if is_shortest && lengths == 0 { Ok(values) } else { Err(DecodeError::BadNumber) }
    }

    /// A count of items that each take at least one byte, so that a damaged count cannot ask for memory.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] or [`DecodeError::BadNumber`].
    pub fn count(&mut self) -> Result<usize, DecodeError> {
        let count: usize = self.number()?;
        if count > self.rest.len() { Err(DecodeError::Truncated) } else { Ok(count) }
    }

    /// A text with its length in front.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::BadNumber`] or [`DecodeError::BadText`].
    pub fn string(&mut self) -> Result<&'a str, DecodeError> {
        let length = self.number()?;
        std::str::from_utf8(self.bytes(length)?).map_err(|_| DecodeError::BadText)
    }

    /// An id that [`put_id`] wrote.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::BadNumber`] or [`DecodeError::BadText`].
    pub fn id(&mut self) -> Result<Box<str>, DecodeError> {
        let mut id = String::new();
        self.id_into(&mut id)?;
        Ok(id.into())
    }

    /// An id that [`put_id`] wrote, in place of what `out` holds, which is likely to be this text: then nothing has to be
    /// made of it.
    ///
    /// # Errors
    /// As [`Reader::id_into`].
    pub fn likely_id_into(&mut self, likely: &str, out: &mut String) -> Result<(), DecodeError> {
        let Some(rest) = behind_id(self.rest, likely) else { return self.id_into(out) };
        out.clear();
        out.push_str(likely);
        self.rest = rest;
        Ok(())
    }

    /// The bytes of an id that [`put_id`] wrote, whatever they say.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] or [`DecodeError::BadNumber`].
    pub fn skip_id(&mut self) -> Result<&'a [u8], DecodeError> {
        let from = self.rest;
        match self.unsigned()? {
            TAG_UUID => self.bytes(16).map(|_| ())?,
            TAG_DECIMAL => self.unsigned().map(|_| ())?,
            tag => {
                let length = usize::try_from(tag - TAG_LENGTH_OFFSET).map_err(|_| DecodeError::BadNumber)?;
                self.bytes(length)?;
            }
        }
        from.get(..from.len() - self.rest.len()).ok_or(DecodeError::Truncated)
    }

    /// An id that [`put_id`] wrote, in place of what `out` holds.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::BadNumber`] or [`DecodeError::BadText`].
    pub fn id_into(&mut self, out: &mut String) -> Result<(), DecodeError> {
        out.clear();
        match self.unsigned()? {
            TAG_UUID => push_uuid(out, self.bytes(16)?),
            TAG_DECIMAL => write!(out, "{}", self.unsigned()?).expect("a text takes all that is written"),
            tag => {
                let length = usize::try_from(tag - TAG_LENGTH_OFFSET).map_err(|_| DecodeError::BadNumber)?;
                let text = std::str::from_utf8(self.bytes(length)?).map_err(|_| DecodeError::BadText)?;
                let shorter_form_exists = parse_uuid(text).is_some() || parse_decimal(text).is_some();
                if shorter_form_exists {
                    return Err(DecodeError::BadText);
                }
                out.push_str(text);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_take_their_shortest_form() {
        for (text, length) in [
            ("6f1c2e7a-93b0-4d5e-8a11-0c9d8e7f6a5b", 17),
            ("31198570044", 6),
            ("0", 2),
            ("007", 4),
            ("6F1C2E7A-93B0-4D5E-8A11-0C9D8E7F6A5B", 37),
            ("t-1", 4),
        ] {
            let mut out = Vec::new();
            put_id(&mut out, text);
            assert_eq!(out.len(), length, "{text}");
            let mut reader = Reader::new(&out);
            assert_eq!(&*reader.id().expect("decodes"), text);
            reader.finish().expect("nothing is left");
            out.push(7);
            assert!(id_is(&out, text), "what follows does not matter");
            let others = ["", "0", "7", "31198570044", "31198570045", "t-2", "t-", "007", "t-12"];
            let uuids = ["6f1c2e7a-93b0-4d5e-8a11-0c9d8e7f6a5b", "6f1c2e7a-93b0-4d5e-8a11-0c9d8e7f6a5c"];
            assert!(others.iter().chain(&uuids).all(|other| id_is(&out, other) == (*other == text)), "{text}");
        }
    }

    #[test]
    fn a_second_encoding_of_the_same_value_is_refused() {
        assert_eq!(Reader::new(&[0x80, 0x00]).unsigned(), Err(DecodeError::BadNumber));
        assert_eq!(Reader::new(&[3, b'1', b'2']).id(), Err(DecodeError::BadText));
        assert_eq!(Reader::new(&[0xff; 10]).unsigned(), Err(DecodeError::BadNumber));
    }

    #[test]
    fn a_group_takes_as_few_bytes_as_its_integers_need() {
        let mut out = Vec::new();
        put_group(&mut out, [0, 0xff, 0x100, u64::MAX]);
        assert_eq!(out, [0b11_01_00_00, 0, 0xff, 0, 1, 255, 255, 255, 255, 255, 255, 255, 255]);
        assert_eq!(Reader::new(&out).group(), Ok([0, 0xff, 0x100, u64::MAX]));
        out.clear();
        put_group(&mut out, [0xffff, 0x1_0000, 0xffff_ffff]);
        assert_eq!(out, [0b10_10_01, 255, 255, 0, 0, 1, 0, 255, 255, 255, 255]);
        out.clear();
        put_group(&mut out, [1 << 32]);
        assert_eq!(out, [0b11, 0, 0, 0, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn a_group_that_would_not_have_been_written_is_refused() {
        assert_eq!(Reader::new(&[]).group::<1>(), Err(DecodeError::Truncated));
        assert_eq!(Reader::new(&[0b01, 7]).group::<1>(), Err(DecodeError::Truncated));
        for bytes in [&[0b01, 7, 0][..], &[0b10, 255, 255, 0, 0], &[0b11, 255, 255, 255, 255, 0, 0, 0, 0], &[0b0100, 7]]
        {
            assert_eq!(Reader::new(bytes).group::<1>(), Err(DecodeError::BadNumber), "{bytes:?}");
            // The same far from the end.
            let longer = [bytes, &[0; 64]].concat();
            assert_eq!(Reader::new(&longer).group::<1>(), Err(DecodeError::BadNumber), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn groups_are_read_as_they_were_written(values: [u64; 4], shifts: [u8; 4], behind in 0..50_usize, signed: i64) {
            let values: [u64; 4] = std::array::from_fn(|index| values[index] >> (shifts[index] % 64));
            let mut out = Vec::new();
            put_group(&mut out, values);
            put_group(&mut out, [zigzag(signed), values[0]]);
            let length = out.len();
            out.resize(length + behind, 7);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.group(), Ok(values));
            prop_assert_eq!(reader.group().map(|[signed, value]| (unzigzag(signed), value)), Ok((signed, values[0])));
            prop_assert_eq!(reader.remaining(), behind);
            for cut in 0..length {
                let mut reader = Reader::new(&out[..cut]);
                let whole = reader.group::<4>().and_then(|_| reader.group::<2>());
                prop_assert_eq!(whole, Err(DecodeError::Truncated));
            }
        }

        #[test]
        fn what_is_written_is_read(unsigned: u64, signed: i64, text in ".{0,40}", id in ".{1,40}") {
            let mut out = Vec::new();
            put_unsigned(&mut out, unsigned);
            put_signed(&mut out, signed);
            put_string(&mut out, &text);
            put_id(&mut out, &id);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.unsigned(), Ok(unsigned));
            prop_assert_eq!(reader.signed(), Ok(signed));
            prop_assert_eq!(reader.string(), Ok(text.as_str()));
            prop_assert_eq!(&*reader.id().expect("decodes"), id.as_str());
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader::new(&bytes);
            while reader.remaining() > 0 {
                if reader.clone().id().is_err() | reader.clone().signed().is_err() | reader.string().is_err() {
                    break;
                }
            }
        }
    }
}
