//! The headers of calls as they go by (HPACK, RFC 7541): whether they begin a call of one path, and whether they change what
//! later ones mean.
//!
//! What must stay true: the dynamic table has the size and the order that the reader of the same bytes has; no text is kept,
//! only how long it is and whether it is what is sought; whatever is not HPACK is said to be none.

use std::collections::VecDeque;

use super::super::hpack::{Rest, STATIC_TABLE};

/// Bytes of the dynamic table when nobody has said otherwise (section 4.2 and RFC 9113, section 6.5.2): the transport says
/// nothing.
const TABLE_BYTES: usize = 4_096;
/// What an entry counts for beyond its texts (section 4.1).
const ENTRY_BYTES: usize = 32;
/// Blocks whose meaning is remembered: callers send few different ones.
const KNOWN_MAX: usize = 8;
/// Longer ones are not.
const KNOWN_BYTES_MAX: usize = 1_024;
/// The name whose values are looked at.
const PATH: &[u8] = b":path";

/// What the headers of a call say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// They name the path that is sought.
    pub(super) is_sought: bool,
    /// They change the table: whoever reads those that follow must have read them.
    pub(super) changes_table: bool,
}

/// A field, or a place of a table, as far as it is looked at.
#[derive(Clone, Copy, Debug)]
struct Field {
    name_bytes: usize,
    value_bytes: usize,
    is_path: bool,
    is_sought: bool,
}

/// Headers that mean the same until the table changes.
struct Known {
    block: Box<[u8]>,
    is_sought: bool,
}

/// What one side of a connection has said in headers.
pub(super) struct Heads {
    sought: &'static [u8],
    /// The newest first.
    table: VecDeque<Field>,
    table_bytes: usize,
    table_bytes_max: usize,
    known: Vec<Known>,
}

impl Heads {
    /// Nothing has been said. `sought` is the path that is looked for.
    pub(super) fn new(sought: &'static str) -> Self {
        Self {
            sought: sought.as_bytes(),
            table: VecDeque::new(),
            table_bytes: 0,
            table_bytes_max: TABLE_BYTES,
            known: Vec::new(),
        }
    }

    /// Reads the next headers; `None` when they are none, and nothing that follows can be read.
    pub(super) fn read(&mut self, block: &[u8]) -> Option<Head> {
        if let Some(known) = self.known.iter().find(|known| *known.block == *block) {
            return Some(Head { is_sought: known.is_sought, changes_table: false });
        }
        let head = self.read_anew(block)?;
        if head.changes_table {
            self.known.clear();
        } else if block.len() <= KNOWN_BYTES_MAX {
            if self.known.len() == KNOWN_MAX {
                self.known.remove(0);
            }
            self.known.push(Known { block: block.into(), is_sought: head.is_sought });
        }
        Some(head)
    }

    fn read_anew(&mut self, block: &[u8]) -> Option<Head> {
        let mut rest = Rest(block);
        let mut head = Head { is_sought: false, changes_table: false };
        while let Some(first) = rest.0.first().copied() {
            let field = if first & 0x80 != 0 {
                // Section 6.1.
                self.at(rest.integer(7)?)?
            } else if first & 0x40 != 0 {
                // Section 6.2.1.
                let field = self.literal(&mut rest, 6)?;
                head.changes_table = true;
                self.enter(field);
                field
            } else if first & 0x20 != 0 {
                // Section 6.3.
                head.changes_table = true;
                self.table_bytes_max = Some(rest.integer(5)?).filter(|bytes| *bytes <= TABLE_BYTES)?;
                self.shrink(self.table_bytes_max);
                continue;
            } else {
                // Sections 6.2.2 and 6.2.3.
                self.literal(&mut rest, 4)?
            };
            head.is_sought |= field.is_sought;
        }
        Some(head)
    }

    /// A field whose value is written out, and its name too unless a table has it.
    fn literal(&self, rest: &mut Rest<'_>, prefix: u32) -> Option<Field> {
        let (name_bytes, is_path) = match rest.integer(prefix)? {
            0 => rest.text_like(PATH)?,
            index => self.at(index).map(|field| (field.name_bytes, field.is_path))?,
        };
        let (value_bytes, is_it) = rest.text_like(self.sought)?;
        Some(Field { name_bytes, value_bytes, is_path, is_sought: is_path && is_it })
    }

    /// The field at an index of the static and the dynamic table (section 2.3.3).
    fn at(&self, index: usize) -> Option<Field> {
        let index = index.checked_sub(1)?;
        if let Some((name, value)) = STATIC_TABLE.get(index) {
            let is_path = name.as_bytes() == PATH;
            let is_sought = is_path && value.as_bytes() == self.sought;
            return Some(Field { name_bytes: name.len(), value_bytes: value.len(), is_path, is_sought });
        }
        self.table.get(index - STATIC_TABLE.len()).copied()
    }

    /// A new entry (section 4.4): one that is larger than the table empties it.
    fn enter(&mut self, field: Field) {
        let bytes = bytes_of(field);
        self.shrink(self.table_bytes_max.saturating_sub(bytes));
        if bytes <= self.table_bytes_max {
            self.table.push_front(field);
            self.table_bytes += bytes;
        }
    }

    fn shrink(&mut self, bytes_max: usize) {
        while self.table_bytes > bytes_max
            && let Some(oldest) = self.table.pop_back()
        {
            self.table_bytes -= bytes_of(oldest);
        }
    }
}

fn bytes_of(field: Field) -> usize {
    field.name_bytes + field.value_bytes + ENTRY_BYTES
}

#[cfg(test)]
#[path = "heads_tests.rs"]
mod tests;
