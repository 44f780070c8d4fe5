//! How runs lie in the store: keys, blocks, the footer and the checksums. `docs/format-ids.md` explains the format in
//! prose; the golden tests below fix it.
//!
//! What must stay true:
//! - every value ends with a checksum that is keyed by the run and the index under which it is stored, so that neither
//!   changed bytes nor a value in the wrong place pass;
//! - a footer is the last thing written of a run: where there is one, the run is whole;
//! - numbers in keys are big-endian, so that the store orders them; numbers in values are little-endian.

use siphasher::sip::SipHasher24;

use super::IdError;
use super::bloom::Layout;
use super::generation::Slot;
use super::key::IdKey;
use crate::ledger::types::Position;
use crate::store::{Op, Space};

/// Bytes of one entry: the key, then the packed position.
pub(super) const ENTRY_BYTES: usize = 24;
/// Entries of a full block; with its checksum it stays within 4 KiB.
pub(super) const BLOCK_ENTRIES: usize = 170;
/// Bytes of the checksum at the end of every value.
pub(super) const CHECKSUM_BYTES: usize = 8;
/// Index of the first chunk of the filter. Blocks are below.
pub(super) const FILTER_INDEX: u32 = 0x8000_0000;
/// Index of the first chunk of the fences.
pub(super) const FENCE_INDEX: u32 = 0xc000_0000;
/// Index of the footer.
pub(super) const FOOTER_INDEX: u32 = u32::MAX;
/// Fences stored under one key.
pub(super) const FENCES_PER_CHUNK: usize = 8_192;

const MAGIC: [u8; 8] = *b"TallyIds";
/// The format of a run whose filter has the layout [`Layout::Spread`].
const VERSION_SPREAD: u32 = 1;
/// The format of a run whose filter has the layout [`Layout::Ordered`].
const VERSION: u32 = 2;
const FOOTER_BODY_BYTES: usize = 64;

const _: () = assert!(BLOCK_ENTRIES * ENTRY_BYTES + CHECKSUM_BYTES <= 4_096, "a block fits a page");

/// The store's key of one value of a run.
pub(super) fn store_key(run_id: u64, index: u32) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&run_id.to_be_bytes());
    key[8..].copy_from_slice(&index.to_be_bytes());
    key
}

/// The run and the index of a store's key; `None` if it is not one of ours.
pub(super) fn parse_store_key(key: &[u8]) -> Option<(u64, u32)> {
    let key: &[u8; 12] = key.try_into().ok()?;
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *key;
    Some((u64::from_be_bytes([a, b, c, d, e, f, g, h]), u32::from_be_bytes([i, j, k, l])))
}

/// Removes everything of a run at once.
pub(super) fn delete_run(run_id: u64) -> Op {
    let after = run_id.checked_add(1).expect("run ids are counted from 0 and never reach 2^64");
    Op::DeleteRange { space: Space::Ids, from: store_key(run_id, 0).to_vec(), to: store_key(after, 0).to_vec() }
}

fn checksum(run_id: u64, index: u32, body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    SipHasher24::new_with_keys(run_id, u64::from(index)).hash(body).to_le_bytes()
}

/// Appends the checksum: the value to store.
pub(super) fn with_checksum(run_id: u64, index: u32, mut body: Vec<u8>) -> Vec<u8> {
    let checksum = checksum(run_id, index, &body);
    body.extend_from_slice(&checksum);
    body
}

/// Removes the checksum after comparing it.
pub(super) fn without_checksum(run_id: u64, index: u32, mut value: Vec<u8>) -> Result<Vec<u8>, IdError> {
    let body_bytes = value.len().checked_sub(CHECKSUM_BYTES);
    let body_bytes = body_bytes.ok_or_else(|| damaged(run_id, format!("the value at index {index} is too short")))?;
    if checksum(run_id, index, &value[..body_bytes]) != value[body_bytes..] {
        return Err(damaged(run_id, format!("the checksum of the value at index {index} does not match")));
    }
    value.truncate(body_bytes);
    Ok(value)
}

/// The error for a run that is not what was written.
pub(super) fn damaged(run_id: u64, reason: impl Into<String>) -> IdError {
    IdError::Damaged { run_id, reason: reason.into() }
}

/// Entries in the order of their keys, as read from the store.
#[derive(Debug)]
pub(super) struct Block {
    body: Vec<u8>,
}

impl Block {
    /// The bytes of one entry, appended to a block under construction.
    pub(super) fn append(body: &mut Vec<u8>, slot: Slot) {
        body.extend_from_slice(&slot.key.0);
        body.extend_from_slice(&slot.packed.to_le_bytes());
    }

    /// Checks and takes the value of a block.
    pub(super) fn decode(run_id: u64, index: u32, value: Vec<u8>) -> Result<Self, IdError> {
        let body = without_checksum(run_id, index, value)?;
        let (entries, rest) = body.as_chunks::<ENTRY_BYTES>();
        if !rest.is_empty() || entries.is_empty() || entries.len() > BLOCK_ENTRIES {
            return Err(damaged(run_id, format!("block {index} has an impossible length")));
        }
        if !entries.is_sorted_by(|a, b| key_of(a) < key_of(b)) {
            return Err(damaged(run_id, format!("block {index} is not in order")));
        }
        Ok(Self { body })
    }

    /// The entry at an index, if there is one.
    pub(super) fn entry(&self, index: usize) -> Option<Slot> {
        self.entries().get(index).map(slot_of)
    }

    /// The packed entry of a key.
    pub(super) fn find(&self, key: IdKey) -> Option<u64> {
        let found = self.entries().binary_search_by_key(&key, key_of).ok()?;
        self.entry(found).map(|slot| slot.packed)
    }

    fn entries(&self) -> &[[u8; ENTRY_BYTES]] {
        self.body.as_chunks().0
    }
}

fn key_of(entry: &[u8; ENTRY_BYTES]) -> IdKey {
    IdKey(*entry.first_chunk().expect("an entry is longer than its key"))
}

fn slot_of(entry: &[u8; ENTRY_BYTES]) -> Slot {
    let packed = entry.last_chunk().expect("an entry is longer than its position");
    Slot { key: key_of(entry), packed: u64::from_le_bytes(*packed) }
}

/// The bytes of one chunk of fences.
pub(super) fn encode_fences(fences: &[u64]) -> Vec<u8> {
    fences.iter().flat_map(|fence| fence.to_le_bytes()).collect()
}

/// Appends the fences of one chunk; false when it has not the length it must have.
#[must_use]
pub(super) fn decode_fences(body: &[u8], expected_count: usize, fences: &mut Vec<u64>) -> bool {
    let (chunk, rest) = body.as_chunks::<8>();
    fences.extend(chunk.iter().map(|fence| u64::from_le_bytes(*fence)));
    rest.is_empty() && chunk.len() == expected_count
}

/// What a run is, written when everything else of it is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    /// The run.
    pub(super) run_id: u64,
    /// How often its ids were merged.
    pub(super) level: u32,
    /// The first generation whose ids it holds. It replaces every other run whose generations lie within its own.
    pub(super) first_generation: u64,
    /// The last generation whose ids it holds.
    pub(super) last_generation: u64,
    /// Every id of a record below this position is in this run or an older one.
    pub(super) covered: Position,
    /// Entries in its blocks.
    pub(super) entry_count: u64,
    /// Blocks, and fences.
    pub(super) block_count: u32,
    /// Lines of its filter.
    pub(super) filter_line_count: u32,
    /// How keys are laid out in its filter.
    pub(super) filter_layout: Layout,
}

impl Footer {
    /// The value to store.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(FOOTER_BODY_BYTES + CHECKSUM_BYTES);
        body.extend_from_slice(&MAGIC);
        let version = match self.filter_layout {
            Layout::Spread => VERSION_SPREAD,
            Layout::Ordered => VERSION,
        };
        body.extend_from_slice(&version.to_le_bytes());
        body.extend_from_slice(&self.level.to_le_bytes());
        body.extend_from_slice(&self.run_id.to_le_bytes());
        body.extend_from_slice(&self.first_generation.to_le_bytes());
        body.extend_from_slice(&self.last_generation.to_le_bytes());
        body.extend_from_slice(&self.covered.0.to_le_bytes());
        body.extend_from_slice(&self.entry_count.to_le_bytes());
        body.extend_from_slice(&self.block_count.to_le_bytes());
        body.extend_from_slice(&self.filter_line_count.to_le_bytes());
        assert_eq!(body.len(), FOOTER_BODY_BYTES, "the footer has a fixed length");
        with_checksum(self.run_id, FOOTER_INDEX, body)
    }

    /// Checks and takes the value of a footer.
    pub(super) fn decode(run_id: u64, value: Vec<u8>) -> Result<Self, IdError> {
        let body = without_checksum(run_id, FOOTER_INDEX, value)?;
        let head = body.first_chunk::<12>().ok_or_else(|| damaged(run_id, "the footer is too short"))?;
        let [magic @ .., a, b, c, d] = *head;
        if magic != MAGIC {
            return Err(damaged(run_id, "the footer does not start as a footer does"));
        }
        let version = u32::from_le_bytes([a, b, c, d]);
        let filter_layout = match version {
            VERSION_SPREAD => Layout::Spread,
            VERSION => Layout::Ordered,
            _ => return Err(IdError::Version { run_id, version }),
        };
        let words = body.as_chunks::<4>().0;
        if body.len() != FOOTER_BODY_BYTES {
            return Err(damaged(run_id, "the footer has the wrong length"));
        }
        let short = |index: usize| u32::from_le_bytes(words[index]);
        let long = |index: usize| u64::from(short(index)) | u64::from(short(index + 1)) << 32;
        let footer = Self {
            level: short(3),
            run_id: long(4),
            first_generation: long(6),
            last_generation: long(8),
            covered: Position(long(10)),
            entry_count: long(12),
            block_count: short(14),
            filter_line_count: short(15),
            filter_layout,
        };
        let consistent = footer.run_id == run_id
            && footer.first_generation <= footer.last_generation
            && footer.entry_count.div_ceil(BLOCK_ENTRIES as u64) == u64::from(footer.block_count)
            && footer.block_count < FILTER_INDEX;
        if consistent { Ok(footer) } else { Err(damaged(run_id, "the footer contradicts itself")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOOTER: Footer = Footer {
        run_id: 3,
        level: 2,
        first_generation: 4,
        last_generation: 7,
        covered: Position(0x0102_0304),
        entry_count: 171,
        block_count: 2,
        filter_line_count: 4,
        filter_layout: Layout::Spread,
    };

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn two_entry_block() -> Vec<u8> {
        let mut body = Vec::new();
        Block::append(&mut body, Slot { key: IdKey([0x11; 16]), packed: 0x0203 });
        Block::append(&mut body, Slot { key: IdKey([0x22; 16]), packed: 0x0406 });
        with_checksum(9, 1, body)
    }

    #[test]
    fn golden_block_does_not_drift() {
        assert_eq!(
            hex(&two_entry_block()),
            "111111111111111111111111111111110302000000000000222222222222222222222222222222220604000000000000\
             b547fd8035438d45"
        );
    }

    #[test]
    fn golden_footers_do_not_drift() {
        assert_eq!(
            hex(&FOOTER.encode()),
            "54616c6c7949647301000000020000000300000000000000040000000000000007000000000000000403020100000000\
             ab000000000000000200000004000000cb9a1b7ed73c644e"
        );
    }

    #[test]
    fn golden_keys_do_not_drift() {
        assert_eq!(hex(&store_key(0x0102, 3)), "000000000000010200000003");
        assert_eq!(parse_store_key(&store_key(0x0102, 3)), Some((0x0102, 3)));
        assert_eq!(parse_store_key(b"short"), None);
        assert_eq!(hex(&encode_fences(&[1, 0x0203])), "01000000000000000302000000000000");
    }

    #[test]
    fn a_block_finds_its_entries_and_no_others() {
        let block = Block::decode(9, 1, two_entry_block()).unwrap();
        assert_eq!(block.find(IdKey([0x22; 16])), Some(0x0406));
        assert_eq!(block.find(IdKey([0x21; 16])), None);
        assert_eq!(block.entry(0), Some(Slot { key: IdKey([0x11; 16]), packed: 0x0203 }));
        assert_eq!(block.entry(2), None);
    }

    #[test]
    fn any_changed_bit_of_a_block_is_found() {
        let value = two_entry_block();
        for bit in 0..value.len() * 8 {
            let mut changed = value.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(Block::decode(9, 1, changed), Err(IdError::Damaged { run_id: 9, .. })), "bit {bit}");
        }
        assert!(Block::decode(9, 1, value[..30].to_vec()).is_err());
        assert!(Block::decode(9, 1, Vec::new()).is_err());
    }

    #[test]
    fn a_block_in_the_wrong_place_is_found() {
        assert!(Block::decode(9, 2, two_entry_block()).is_err(), "another index");
        assert!(Block::decode(8, 1, two_entry_block()).is_err(), "another run");
    }

    #[test]
    fn a_block_of_impossible_length_is_refused() {
        assert!(Block::decode(9, 1, with_checksum(9, 1, vec![0; 25])).is_err());
        assert!(Block::decode(9, 1, with_checksum(9, 1, Vec::new())).is_err());
    }

    #[test]
    fn a_block_out_of_order_is_refused() {
        for second in [0x10, 0x11] {
            let mut body = Vec::new();
            Block::append(&mut body, Slot { key: IdKey([0x11; 16]), packed: 1 });
            Block::append(&mut body, Slot { key: IdKey([second; 16]), packed: 2 });
            assert!(Block::decode(9, 1, with_checksum(9, 1, body)).is_err());
        }
    }

    #[test]
    fn a_footer_is_read_back_and_checked() {
        let ordered = Footer { filter_layout: Layout::Ordered, ..FOOTER };
        assert_eq!(Footer::decode(3, FOOTER.encode()).unwrap(), FOOTER);
        assert_eq!(Footer::decode(3, ordered.encode()).unwrap(), ordered);
        assert!(matches!(Footer::decode(4, FOOTER.encode()), Err(IdError::Damaged { run_id: 4, .. })));
        let value = FOOTER.encode();
        for bit in 0..value.len() * 8 {
            let mut changed = value.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(Footer::decode(3, changed).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_footer_that_contradicts_itself_is_refused() {
        for wrong in [Footer { first_generation: 8, ..FOOTER }, Footer { block_count: 3, ..FOOTER }] {
            assert!(matches!(Footer::decode(3, wrong.encode()), Err(IdError::Damaged { .. })));
        }
    }

    #[test]
    fn a_later_version_is_named_not_called_damaged() {
        let mut body = without_checksum(3, FOOTER_INDEX, FOOTER.encode()).unwrap();
        body[8] = 3;
        let result = Footer::decode(3, with_checksum(3, FOOTER_INDEX, body));
        assert!(matches!(result, Err(IdError::Version { run_id: 3, version: 3 })));
    }
}
