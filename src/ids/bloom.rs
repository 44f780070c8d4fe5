//! A filter that answers "certainly not in this run" without reading the disk.
//!
//! It is a blocked Bloom filter: an id sets its 7 bits inside one line of 64 bytes, so that a question costs one cache
//! miss. 24 bits an id give about one false answer in eight thousand, which a read of the disk must set right.
//!
//! What must stay true: an id that was added is never denied; for each layout, line and bits follow from the key alone and
//! never change, for the lines are stored as they are.

use super::key::IdKey;
use super::lines::{self, Line};

/// Bits set by one id.
const PROBE_COUNT: u32 = 7;
/// Bits of the filter for each id.
const BITS_PER_ID: u64 = 24;
/// Bytes of one line.
const LINE_BYTES: usize = 64;
/// Lines stored under one key.
const CHUNK_LINES: usize = 1_024;

/// Which half of a key chooses the line; the other half chooses the bits in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Layout {
    /// The second half: keys in order are spread over the whole filter. Written by the first release.
    Spread,
    /// The first half: keys in order fill the filter from its first line to its last.
    #[default]
    Ordered,
}

/// The filter of one run.
#[derive(Default)]
pub(super) struct Bloom {
    layout: Layout,
    lines: Vec<Line<u64>>,
    /// Lines it has when it is prepared.
    line_count: usize,
}

impl Bloom {
    /// A filter for up to `id_count` ids, to be prepared before it is added to: clearing the filter of a large run
    /// takes long.
    pub(super) fn for_ids(id_count: u64) -> Self {
        let line_count = lines::lines_for(id_count, BITS_PER_ID);
        Self { layout: Layout::Ordered, lines: Vec::with_capacity(line_count), line_count }
    }

    /// Clears a bounded part of the filter; true when all of it is ready.
    pub(super) fn prepare_step(&mut self) -> bool {
        lines::prepare_step(&mut self.lines, self.line_count)
    }

    /// An empty filter of `line_count` lines, to be loaded chunk by chunk.
    pub(super) fn with_lines(layout: Layout, line_count: u32) -> Self {
        let line_count = line_count as usize;
        Self { layout, lines: vec![Line([0; 8]); line_count], line_count }
    }

    /// How keys are laid out in it.
    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// Lines of the filter.
    pub(super) fn line_count(&self) -> u32 {
        u32::try_from(self.line_count).expect("a filter has less than 2^32 lines: 256 GiB")
    }

    /// Adds an id. Not for a filter without lines.
    pub(super) fn insert(&mut self, key: IdKey) {
        assert_eq!(self.lines.len(), self.line_count, "a filter is prepared before it is added to");
        let line = self.line_of(key).expect("a filter that is added to was made for at least one id");
        let bits = self.bits_of(key);
        let words = &mut self.lines[line].0;
        for bit in bits {
            words[bit >> 6] |= 1 << (bit & 63);
        }
    }

    /// False when the id was certainly not added.
    pub(super) fn may_contain(&self, key: IdKey) -> bool {
        let Some(line) = self.line_of(key) else { return false };
        let words = &self.lines[line].0;
        lines::all_set(self.bits_of(key), |word| words[word])
    }

    /// Reads a word of the line of each of these keys.
    pub(super) fn touch(&self, keys: &[IdKey]) {
        let lines = keys.iter().filter_map(|key| self.line_of(*key));
        std::hint::black_box(lines.fold(0, |mix, line| mix ^ self.lines[line].0[0]));
    }

    /// Chunks in which a filter of so many lines is stored.
    pub(super) fn chunks_of(line_count: u32) -> u32 {
        line_count.div_ceil(CHUNK_LINES as u32)
    }

    /// Chunks in which the filter is stored.
    pub(super) fn chunk_count(&self) -> usize {
        self.lines.len().div_ceil(CHUNK_LINES)
    }

    /// The bytes of one chunk.
    pub(super) fn chunk(&self, index: usize) -> Vec<u8> {
        let lines = self.lines.chunks(CHUNK_LINES).nth(index).expect("the caller asks for a chunk that exists");
        let mut bytes = Vec::with_capacity(lines.len() * LINE_BYTES);
        for word in lines.iter().flat_map(|line| line.0) {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Fills the lines of one chunk; false when the chunk has not the length it must have.
    #[must_use]
    pub(super) fn load_chunk(&mut self, index: usize, bytes: &[u8]) -> bool {
        let Some(lines) = self.lines.chunks_mut(CHUNK_LINES).nth(index) else { return false };
        if bytes.len() != lines.len() * LINE_BYTES {
            return false;
        }
        let words = lines.iter_mut().flat_map(|line| line.0.iter_mut());
        for (word, bytes) in words.zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        true
    }

    fn line_of(&self, key: IdKey) -> Option<usize> {
        let half = match self.layout {
            Layout::Spread => key.low(),
            Layout::Ordered => key.high(),
        };
        lines::line_of(half, self.lines.len())
    }

    fn bits_of(&self, key: IdKey) -> impl Iterator<Item = usize> + use<> {
        let half = match self.layout {
            Layout::Spread => key.high(),
            Layout::Ordered => key.low(),
        };
        lines::bits_of::<PROBE_COUNT>(half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::key::IdHasher;
    use crate::ids::lines::LINE_BITS;

    fn key(number: u64) -> IdKey {
        IdHasher::new(&[3; 16]).transaction("north", &number.to_string())
    }

    fn filled(id_count: u64) -> Bloom {
        let mut bloom = Bloom::for_ids(id_count);
        assert!(bloom.prepare_step());
        (0..id_count).for_each(|number| bloom.insert(key(number)));
        bloom
    }

    #[test]
    fn an_added_id_is_never_denied() {
        for id_count in [1, 2, 51, 52, 5_000] {
            let bloom = filled(id_count);
            assert!((0..id_count).all(|number| bloom.may_contain(key(number))), "{id_count} ids");
        }
    }

    /// A name that was not added: as evenly spread as a hash, and made quicker.
    fn other(number: u64) -> IdKey {
        let half = |number: u64| {
            let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            u128::from(mixed ^ (mixed >> 31))
        };
        IdKey(((half(2 * number + 1) << 64) | half(2 * number + 2)).to_be_bytes())
    }

    /// One in 8,200, by arithmetic: 122 of these, give or take 12. What is said of it elsewhere follows from this.
    #[test]
    fn one_other_in_eight_thousand_is_let_through() {
        let bloom = filled(100_000);
        let passed = (0..1_000_000).filter(|number| bloom.may_contain(other(*number))).count();
        assert!((80..=165).contains(&passed), "{passed} of 1,000,000 passed");
        assert!(u64::from(bloom.line_count()) * LINE_BITS <= 100_000 * BITS_PER_ID + LINE_BITS);
    }

    #[test]
    fn an_empty_filter_denies_everything() {
        let bloom = Bloom::for_ids(0);
        assert!(!bloom.may_contain(key(1)));
        assert_eq!(bloom.chunk_count(), 0);
    }

    #[test]
    fn a_large_filter_is_prepared_in_steps() {
        let mut bloom = Bloom::for_ids(10_000_000);
        assert!(!bloom.prepare_step());
        assert!(bloom.prepare_step());
        assert_eq!(bloom.lines.len() as u64, (10_000_000 * BITS_PER_ID).div_ceil(LINE_BITS));
    }

    #[test]
    fn chunks_carry_the_whole_filter() {
        let bloom = filled(40_000);
        assert_eq!(bloom.chunk_count(), 2, "the test wants a last chunk that is not full");
        let mut loaded = Bloom::with_lines(Layout::Ordered, bloom.line_count());
        for index in 0..bloom.chunk_count() {
            assert!(loaded.load_chunk(index, &bloom.chunk(index)));
        }
        assert!(bloom.lines.iter().zip(&loaded.lines).all(|(a, b)| a.0 == b.0));
        assert!(!loaded.load_chunk(0, &bloom.chunk(1)), "a chunk of the wrong length is refused");
        assert!(!loaded.load_chunk(2, &[]), "there is no such chunk");
    }

    #[test]
    fn golden_bits_do_not_drift() {
        // Of the half that chooses bits, the lowest nine bits name bit 5, the next nine name bit 64, the other five name
        // bit 0; the half that chooses the line is at the middle of its range, which of two lines is the second.
        let bits = (5u64 | 64 << 9).to_be_bytes();
        let line = (1u64 << 63).to_be_bytes();
        let mut expected = vec![0; 128];
        expected[64] = 0b10_0001;
        expected[64 + 8] = 0b1;
        for (layout, halves) in [(Layout::Spread, [bits, line]), (Layout::Ordered, [line, bits])] {
            let mut bloom = Bloom::with_lines(layout, 2);
            bloom.insert(IdKey(halves.concat().try_into().unwrap()));
            assert_eq!(bloom.chunk(0), expected, "{layout:?}");
        }
    }

    #[test]
    fn keys_in_order_fill_lines_in_order() {
        let mut keys: Vec<IdKey> = (0..5_000).map(key).collect();
        keys.sort_unstable();
        let bloom = Bloom::with_lines(Layout::Ordered, 157);
        let lines = keys.iter().map(|key| bloom.line_of(*key));
        assert!(lines.is_sorted() && bloom.line_of(keys[4_999]) == Some(156));
    }
}
