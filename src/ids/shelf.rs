//! A filter that several runs share: those that will be merged together stand on one **shelf**. It is asked before the
//! runs on it; where it denies an id, none of them is asked.
//!
//! It is a blocked Bloom filter as that of a run is ([`super::bloom`]), but with 8 bits for each id it has room for, of
//! which an id sets 5. A full one lets one of 43 other ids through, one that is half full one of 600. Such an id costs
//! a question to the filter of each run on the shelf, and reads the disk only if one of those lets it through too. Its
//! bits are not those that it has in the filters of runs, so that being let through by both takes two chances.
//!
//! ```text
//!  level 0:  a b c d e f g h │ i j k …          a to h are merged, i j k wait for five more
//!            one shelf       │ the next
//! ```
//!
//! What must stay true:
//! - a run is listed as on a shelf only when all its keys were added to the shelf. They are added while the run is
//!   written; it is listed afterwards, under the lock of the lists, and that orders the words of the shelf for whoever
//!   reads the list. So they are loaded and stored without an order of their own;
//! - one thread at a time adds: the housekeeper, who holds the work. Others ask meanwhile for ids of older runs;
//! - a bit that was set stays set. What is left of runs that were merged away, or never finished, lets ids through at
//!   worst;
//! - it lies in memory only, and goes with the last run that stands on it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::key::IdKey;
use super::lines::{self, Line};
use crate::limits::ID_SHELF_BYTES_MAX;

/// Bits set by one id.
const PROBE_COUNT: u32 = 5;
/// Bits of the filter for each id.
const BITS_PER_ID: u64 = 8;

/// The shared filter of several runs.
pub(super) struct Shelf {
    lines: Vec<Line<AtomicU64>>,
    /// Lines it has when it is prepared.
    line_count: usize,
}

impl Shelf {
    /// A shelf for up to `id_count` ids of all its runs together, to be prepared before it is added to. None where it
    /// would take more than [`ID_SHELF_BYTES_MAX`], or nothing at all.
    pub(super) fn for_ids(id_count: u64) -> Option<Self> {
        if id_count == 0 || id_count > ID_SHELF_BYTES_MAX * 8 / BITS_PER_ID {
            return None;
        }
        let line_count = lines::lines_for(id_count, BITS_PER_ID);
        Some(Self { lines: Vec::with_capacity(line_count), line_count })
    }

    /// Clears a bounded part of the filter; true when all of it is ready.
    pub(super) fn prepare_step(&mut self) -> bool {
        lines::prepare_step(&mut self.lines, self.line_count)
    }

    /// True when it can be added to.
    pub(super) fn is_prepared(&self) -> bool {
        self.lines.len() == self.line_count
    }

    /// Adds an id. Of several threads one at a time may do so.
    pub(super) fn insert(&self, key: IdKey) {
        assert!(self.is_prepared(), "a shelf is prepared before it is added to");
        let words = self.words_of(key);
        for bit in bits_of(key) {
            let word = &words[bit >> 6];
            word.store(word.load(Ordering::Relaxed) | 1 << (bit & 63), Ordering::Relaxed);
        }
    }

    /// False when the id was certainly not added.
    pub(super) fn may_contain(&self, key: IdKey) -> bool {
        let words = self.words_of(key);
        lines::all_set(bits_of(key), |word| words[word].load(Ordering::Relaxed))
    }

    /// Reads a word of the line of each of these keys, so that the waits for memory overlap.
    pub(super) fn touch(&self, keys: &[IdKey]) {
        let words = keys.iter().map(|key| self.words_of(*key)[0].load(Ordering::Relaxed));
        std::hint::black_box(words.fold(0, |mix, word| mix ^ word));
    }

    /// The line of a key. The first half chooses it, so that a run, which is written in order, fills lines in order.
    fn words_of(&self, key: IdKey) -> &[AtomicU64; 8] {
        let line = lines::line_of(key.high(), self.lines.len()).expect("a shelf is prepared before it is asked");
        &self.lines[line].0
    }
}

/// The bits of a key within its line. Each is made of the ends of two of those that the key has in the filter of a run.
fn bits_of(key: IdKey) -> impl Iterator<Item = usize> {
    lines::bits_of::<PROBE_COUNT>(key.low() >> 5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::bloom::Bloom;
    use crate::ids::key::IdHasher;
    use std::sync::atomic::AtomicBool;

    fn key(number: u64) -> IdKey {
        IdHasher::new(&[3; 16]).transaction("north", &number.to_string())
    }

    fn prepared(id_count: u64) -> Shelf {
        let mut shelf = Shelf::for_ids(id_count).unwrap();
        assert!(shelf.prepare_step());
        shelf
    }

    /// How many of 200,000 ids that were not added are let through.
    fn passed_count(may_contain: impl Fn(IdKey) -> bool) -> usize {
        (1_000_000..1_200_000u64).filter(|number| may_contain(key(*number))).count()
    }

    #[test]
    fn an_added_id_is_never_denied() {
        for id_count in [1, 2, 63, 64, 65, 5_000] {
            let shelf = prepared(id_count);
            for number in 0..id_count {
                shelf.insert(key(number));
                assert!((0..=number).rev().take(100).all(|number| shelf.may_contain(key(number))), "{id_count} ids");
            }
            assert!((0..id_count).all(|number| shelf.may_contain(key(number))), "{id_count} ids");
        }
    }

    #[test]
    fn few_others_are_let_through() {
        let shelf = prepared(100_000);
        assert_eq!(passed_count(|key| shelf.may_contain(key)), 0, "nothing was added yet");
        (0..50_000).for_each(|number| shelf.insert(key(number)));
        let passed = passed_count(|key| shelf.may_contain(key));
        assert!((250..450).contains(&passed), "half full: {passed} of 200,000 passed, not about 1 in 600");
        (50_000..100_000).for_each(|number| shelf.insert(key(number)));
        let passed = passed_count(|key| shelf.may_contain(key));
        assert!((4_200..5_100).contains(&passed), "full: {passed} of 200,000 passed, not about 1 in 43");
        assert!(shelf.line_count as u64 * lines::LINE_BITS <= 100_000 * BITS_PER_ID + lines::LINE_BITS);
    }

    #[test]
    fn the_chances_of_a_shelf_and_of_a_run_are_two() {
        // The run's filter is made too small, so that it lets through enough to count; all its ids are on the shelf.
        let (shelf, mut run) = (prepared(100_000), Bloom::for_ids(40_000));
        assert!(run.prepare_step());
        for number in 0..100_000 {
            shelf.insert(key(number));
            run.insert(key(number));
        }
        let by_run = passed_count(|key| run.may_contain(key));
        let by_both = passed_count(|key| run.may_contain(key) && shelf.may_contain(key));
        assert!(by_run > 2_000, "{by_run}: the test wants many");
        // Lines that happen to be crowded are crowded in both.
        assert!(by_both * 20 < by_run, "{by_both} of {by_run} passed both");
    }

    #[test]
    fn a_shelf_that_would_be_too_large_is_none() {
        assert!(Shelf::for_ids(0).is_none());
        assert!(Shelf::for_ids(ID_SHELF_BYTES_MAX + 1).is_none());
        let largest = Shelf::for_ids(ID_SHELF_BYTES_MAX).unwrap();
        assert_eq!(largest.line_count as u64 * 64, ID_SHELF_BYTES_MAX);
    }

    #[test]
    fn a_large_shelf_is_prepared_in_steps() {
        let mut shelf = Shelf::for_ids(40 << 20).unwrap();
        let mut step_count = 1;
        while !shelf.prepare_step() {
            assert!(!shelf.is_prepared());
            step_count += 1;
        }
        assert!(shelf.is_prepared());
        assert_eq!(step_count, 3, "40 MiB, 16 MiB at a time");
    }

    #[test]
    fn others_ask_while_it_is_added_to() {
        let shelf = prepared(40_000);
        (0..20_000).for_each(|number| shelf.insert(key(number)));
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut round_count = 0;
                while !stop.load(Ordering::Relaxed) || round_count == 0 {
                    assert!((0..20_000).all(|number| shelf.may_contain(key(number))), "what was added stays");
                    round_count += 1;
                }
            });
            (20_000..40_000).for_each(|number| shelf.insert(key(number)));
            stop.store(true, Ordering::Relaxed);
            reader.join().unwrap();
        });
        assert!((0..40_000).all(|number| shelf.may_contain(key(number))));
    }
}
