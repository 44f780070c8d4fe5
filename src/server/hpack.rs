//! Headers in the form that HTTP/2 gives them (HPACK, RFC 7541): integers, texts, and the tables that never change.
//!
//! What must stay true: nothing is read beyond what is there; a text is never longer than what it was unpacked from allows.

use bytes::BufMut;

/// Integers of more bytes mean nothing here.
const INTEGER_BYTES_MAX: usize = 5;

/// What has not been read of a block.
pub(super) struct Rest<'a>(pub(super) &'a [u8]);

impl<'a> Rest<'a> {
    /// An integer whose first bits share a byte with something else (section 5.1).
    pub(super) fn integer(&mut self, prefix: u32) -> Option<usize> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        let most = (1_usize << prefix) - 1;
        let mut value = usize::from(*first) & most;
        if value < most {
            return Some(value);
        }
        for place in 0..INTEGER_BYTES_MAX {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value += (usize::from(*byte) & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// The length of a text, and whether it is the one that is sought.
    pub(super) fn text_like(&mut self, sought: &[u8]) -> Option<(usize, bool)> {
        let (text, is_packed) = self.raw_text()?;
        if !is_packed {
            return Some((text.len(), text == sought));
        }
        let (mut count, mut is_it) = (0, true);
        unpack(text, |byte| {
            is_it &= sought.get(count) == Some(&byte);
            count += 1;
        })?;
        Some((count, is_it && count == sought.len()))
    }

    /// A text.
    fn text(&mut self) -> Option<Vec<u8>> {
        let (text, is_packed) = self.raw_text()?;
        if !is_packed {
            return Some(text.to_vec());
        }
        let mut unpacked = Vec::new();
        unpack(text, |byte| unpacked.push(byte))?;
        Some(unpacked)
    }

    /// The bytes of a text (section 5.2), and whether they are in the code of Huffman.
    fn raw_text(&mut self) -> Option<(&'a [u8], bool)> {
        let is_packed = self.0.first()? & 0x80 != 0;
        let count = self.integer(7)?;
        let (text, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some((text, is_packed))
    }
}

/// Writes an integer whose first bits share a byte with something else (section 5.1), which begins the byte.
pub(super) fn put_integer(out: &mut impl BufMut, first: u8, prefix: u32, value: usize) {
    let most = (1_usize << prefix) - 1;
    if value < most {
        out.put_u8(first | value as u8);
        return;
    }
    out.put_u8(first | most as u8);
    let mut left = value - most;
    while left > 0x7f {
        out.put_u8(0x80 | (left & 0x7f) as u8);
        left >>= 7;
    }
    out.put_u8(left as u8);
}

/// A field: its name and its value.
pub type Field = (Vec<u8>, Vec<u8>);

/// The fields of a block that uses the static table at most; `None` when it is none such.
#[must_use]
pub fn fields_without_table(block: &[u8]) -> Option<Vec<Field>> {
    let mut rest = Rest(block);
    let mut fields = Vec::new();
    let at = |index: usize| STATIC_TABLE.get(index.checked_sub(1)?);
    while let Some(first) = rest.0.first().copied() {
        if first & 0x80 != 0 {
            let (name, value) = at(rest.integer(7)?)?;
            fields.push((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
            continue;
        }
        if first & 0xe0 == 0x20 {
            // A table of another size: one that is not used.
            rest.integer(5)?;
            continue;
        }
        let prefix = if first & 0x40 != 0 { 6 } else { 4 };
        let name = match rest.integer(prefix)? {
            0 => rest.text()?,
            index => at(index)?.0.as_bytes().to_vec(),
        };
        fields.push((name, rest.text()?));
    }
    Some(fields)
}

/// Tells the bytes of a text in the code of Huffman.
fn unpack(text: &[u8], mut on_byte: impl FnMut(u8)) -> Option<()> {
    let code = &*CODE;
    let (mut bits, mut bit_count) = (0_u32, 0_usize);
    for byte in text {
        for place in (0..8).rev() {
            bits = bits << 1 | u32::from(byte >> place & 1);
            bit_count += 1;
            match code.symbol(bits, bit_count) {
                Some(symbol) => {
                    // The symbol of the end stands in no text.
                    on_byte(u8::try_from(symbol).ok()?);
                    (bits, bit_count) = (0, 0);
                }
                None if bit_count == CODE_BITS_MAX => return None,
                None => {}
            }
        }
    }
    // What is left is the beginning of the symbol of the end: ones, and fewer than eight.
    (bit_count < 8 && bits == (1 << bit_count) - 1).then_some(())
}

/// Bits of the longest code.
const CODE_BITS_MAX: usize = 30;

/// The code of Huffman in the form in which its symbols are found: those of one length have codes that follow each other, in
/// the order of the symbols, and begin where those of the length before ended.
struct Code {
    /// By length: the first code, and where its symbol stands.
    first: [(u32, usize); CODE_BITS_MAX + 2],
    symbols: Vec<usize>,
}

static CODE: std::sync::LazyLock<Code> = std::sync::LazyLock::new(Code::new);

impl Code {
    fn new() -> Self {
        let mut symbols: Vec<usize> = (0..CODE_LENGTHS.len()).collect();
        symbols.sort_by_key(|symbol| (CODE_LENGTHS[*symbol], *symbol));
        let mut first = [(0, 0); CODE_BITS_MAX + 2];
        for length in 1..first.len() {
            let (before, place) = first[length - 1];
            let count = symbols.iter().filter(|symbol| usize::from(CODE_LENGTHS[**symbol]) == length - 1).count();
            first[length] = ((before + count as u32) << 1, place + count);
        }
        Self { first, symbols }
    }

    /// The symbol whose code these bits are.
    fn symbol(&self, bits: u32, length: usize) -> Option<usize> {
        let ((first, place), (_, end)) = (self.first[length], self.first[length + 1]);
        let symbol = place + bits.checked_sub(first)? as usize;
        (symbol < end).then(|| self.symbols[symbol])
    }
}

/// Bits of the code of each byte, and of the end (appendix B). The codes follow from them.
#[rustfmt::skip]
const CODE_LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// The static table (appendix A).
#[rustfmt::skip]
pub(super) const STATIC_TABLE: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
    (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"),
    (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""), ("accept", ""),
    ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""), ("cache-control", ""),
    ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""), ("date", ""), ("etag", ""),
    ("expect", ""), ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""), ("if-modified-since", ""),
    ("if-none-match", ""), ("if-range", ""), ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""),
    ("location", ""), ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""), ("via", ""),
    ("www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_written_as_they_are_read() {
        // RFC 7541, appendix C.1.
        let examples: [(u32, usize, &[u8]); 3] = [(5, 10, &[0x2a]), (5, 1_337, &[0x3f, 0x9a, 0x0a]), (8, 42, &[0x2a])];
        for (prefix, value, expected) in examples {
            let mut out: Vec<u8> = Vec::new();
            put_integer(&mut out, if prefix == 5 { 0x20 } else { 0 }, prefix, value);
            assert_eq!(out, expected, "{value}");
        }
        for value in [0, 30, 31, 32, 158, 159, 4_095, 4_096, 1 << 20] {
            let mut out: Vec<u8> = Vec::new();
            put_integer(&mut out, 0xe0, 5, value);
            let mut rest = Rest(&out);
            assert_eq!((rest.integer(5), rest.0.len()), (Some(value), 0));
        }
    }

    #[test]
    fn fields_are_read_packed_and_plain() {
        // RFC 7541, appendix C.4.1 and C.2.2, without a table.
        let packed =
            [0x82, 0x86, 0x84, 0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        let text = |fields: Option<Vec<Field>>| {
            let fields = fields.expect("it is a block").into_iter();
            let text = |bytes| String::from_utf8(bytes).expect("it is text");
            fields.map(|(name, value)| format!("{}={}", text(name), text(value))).collect::<Vec<_>>()
        };
        let expected = [":method=GET", ":scheme=http", ":path=/", ":authority=www.example.com"];
        assert_eq!(text(fields_without_table(&packed)), expected);
        assert_eq!(text(fields_without_table(b"\x04\x0c/sample/path")), [":path=/sample/path"]);
        assert_eq!(fields_without_table(&[0xbe]), None, "there is no such entry");
        assert_eq!(fields_without_table(&[0, 3]), None, "it is cut short");
    }
}
