//! Which of very many ids came more than once, in as much memory as there is: for whoever reads a history twice.
//!
//! Of two filters one takes what has come, and the other what came when it had come before or seemed to have. Their lines are
//! those of the filters of runs.
//!
//! What must stay true: an id that came twice is let through; of the others few are, and fewer the more memory there is.

use super::key::IdKey;
use super::lines::{self, LINE_BITS};

/// Bytes of a line.
const LINE_BYTES: u64 = LINE_BITS / 8;
/// One of so many parts of the memory is for what came again.
const AGAIN_PART: u64 = 8;
/// Bits that an id sets when it comes, at most: one half of it names so many.
const PROBE_COUNT_MAX: u32 = 7;
/// Bits that an id sets when it comes again.
const AGAIN_PROBE_COUNT: u32 = 3;

struct Filter {
    /// Plain words, so that memory is clear without being touched.
    lines: Vec<[u64; 8]>,
    probe_count: u32,
}

impl Filter {
    fn new(bytes: u64, probe_count: u32) -> Self {
        let line_count = usize::try_from(bytes / LINE_BYTES).expect("memory fits the address space");
        Self { lines: vec![[0; 8]; line_count], probe_count }
    }

    fn bits_of(&self, key: IdKey) -> impl Iterator<Item = usize> + use<> {
        lines::bits_of::<PROBE_COUNT_MAX>(key.low()).take(self.probe_count as usize)
    }

    /// Adds an id; true when it was there or seemed to be. A filter without lines takes everything for known.
    fn add(&mut self, key: IdKey) -> bool {
        let bits = self.bits_of(key);
        let Some(line) = lines::line_of(key.high(), self.lines.len()) else { return true };
        let words = &mut self.lines[line];
        let mut was_there = true;
        for bit in bits {
            let mask = 1_u64 << (bit & 63);
            was_there &= words[bit >> 6] & mask != 0;
            words[bit >> 6] |= mask;
        }
        was_there
    }

    fn may_contain(&self, key: IdKey) -> bool {
        let Some(line) = lines::line_of(key.high(), self.lines.len()) else { return true };
        let words = &self.lines[line];
        lines::all_set(self.bits_of(key), |word| words[word])
    }

    /// Of so many ids that were not added, how many it can be expected to let through.
    fn lets_through(&self, count: u64) -> u64 {
        if self.lines.is_empty() {
            return count;
        }
        let set_in = |line: &[u64; 8]| line.iter().map(|word| word.count_ones()).sum::<u32>();
        let sum: u128 = self.lines.iter().map(|line| u128::from(set_in(line)).pow(self.probe_count)).sum();
        let whole = self.lines.len() as u128 * u128::from(LINE_BITS).pow(self.probe_count);
        u64::try_from(u128::from(count).saturating_mul(sum) / whole).unwrap_or(count)
    }

    fn byte_count(&self) -> u64 {
        self.lines.len() as u64 * LINE_BYTES
    }
}

/// Tells ids that may have come more than once from those that came once.
pub struct Sieve {
    come: Filter,
    again: Filter,
    come_count: u64,
    again_count: u64,
}

impl Sieve {
    /// A sieve of no more than so many bytes for about so many ids.
    #[must_use]
    pub fn new(bytes: u64, id_count: u64) -> Self {
        let again_bytes = bytes / AGAIN_PART;
        let come_bytes = bytes - again_bytes;
        // Of its share of the bits an id sets seven tenths: then the fewest others are let through.
        let probe_count = (come_bytes.saturating_mul(11) / 2 / id_count.max(1)).clamp(1, PROBE_COUNT_MAX.into());
        let probe_count = u32::try_from(probe_count).unwrap_or(PROBE_COUNT_MAX);
        Self {
            come: Filter::new(come_bytes, probe_count),
            again: Filter::new(again_bytes, AGAIN_PROBE_COUNT),
            come_count: 0,
            again_count: 0,
        }
    }

    /// An id comes.
    pub fn meet(&mut self, key: IdKey) {
        self.come_count += 1;
        if self.come.add(key) && !self.again.add(key) {
            self.again_count += 1;
        }
    }

    /// No more will come: gives back what was needed to find out.
    pub fn close(&mut self) {
        self.come = Filter::new(0, 1);
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn byte_count(&self) -> u64 {
        self.come.byte_count() + self.again.byte_count()
    }

    /// False for an id that came once.
    #[must_use]
    pub fn lets_through(&self, key: IdKey) -> bool {
        self.again.may_contain(key)
    }

    /// About how many of the ids that came are let through; rather too many than too few.
    #[must_use]
    pub fn through_count(&self) -> u64 {
        self.again_count + self.again.lets_through(self.come_count - self.again_count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::key::IdHasher;

    fn key(number: u64) -> IdKey {
        IdHasher::new(&[3; 16]).transaction("north", &number.to_string())
    }

    #[test]
    fn what_came_twice_is_let_through_and_few_others_as_memory_allows() {
        // The bytes, and how many others are let through at most.
        for (bytes, others_max) in [(400_000, 200), (60_000, 15_000), (0, 99_000)] {
            let mut sieve = Sieve::new(bytes, 100_000);
            (0..100_000).for_each(|number| sieve.meet(key(number)));
            (0..1_000).for_each(|number| sieve.meet(key(100 * number)));
            assert!(sieve.byte_count() <= bytes && sieve.byte_count() + 2 * LINE_BYTES >= bytes);
            sieve.close();
            assert!(sieve.byte_count() <= bytes / AGAIN_PART);
            assert!((0..1_000).all(|number| sieve.lets_through(key(100 * number))), "{bytes} bytes");
            let through = (0..100_000).filter(|number| sieve.lets_through(key(*number))).count() as u64;
            assert!((1_000..=1_000 + others_max).contains(&through), "{through} of {bytes} bytes");
            let expected = sieve.through_count();
            assert!(expected.abs_diff(through) <= through / 8, "{through} and not {expected} of {bytes} bytes");
        }
    }
}
