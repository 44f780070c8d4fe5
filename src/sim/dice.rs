//! The only source of chance in a simulation.
//!
//! What must stay true: everything drawn depends on the seed and on what was drawn before, on every machine.

use std::ops::Range;

/// SplitMix64: small, seeded by any number, and the same everywhere.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice that throw what the seed says. Neighbouring seeds share nothing.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut dice = Self(seed);
        Self(dice.seed() ^ seed.rotate_left(32))
    }

    /// Any number: the seed of something else.
    pub fn seed(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`. The bias of the remainder does not matter here.
    ///
    /// # Panics
    /// When `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.seed() % bound
    }

    /// An index into something of this length.
    ///
    /// # Panics
    /// When `length` is 0.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("below a length that is a usize")
    }

    /// A number in the range.
    ///
    /// # Panics
    /// When the range is empty.
    pub fn number(&mut self, range: Range<i64>) -> i64 {
        let span = range.end.checked_sub(range.start).expect("ranges of the simulation are small");
        range.start + i64::try_from(self.below(span.unsigned_abs())).expect("below a span that is an i64")
    }

    /// True this many times in a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// True this many times in a thousand.
    pub fn per_mille(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    /// One of the values.
    ///
    /// # Panics
    /// When there is none.
    pub fn pick<'a, T>(&mut self, values: &'a [T]) -> &'a T {
        let index = self.index(values.len());
        &values[index]
    }

    /// The index of one of the weights, each as often as its share.
    ///
    /// # Panics
    /// When all weights are 0.
    pub fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut rest = self.below(weights.iter().sum());
        for (index, weight) in weights.iter().enumerate() {
            if rest < *weight {
                return index;
            }
            rest -= weight;
        }
        unreachable!("the rest is below the sum of the weights")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_throws_the_same_and_neighbours_differ() {
        let throws = |seed| {
            let mut dice = Dice::new(seed);
            (0..8).map(|_| dice.seed()).collect::<Vec<_>>()
        };
        assert_eq!(throws(7), throws(7));
        assert_ne!(throws(7), throws(8));
    }

    #[test]
    fn weights_that_are_zero_never_come() {
        let mut dice = Dice::new(1);
        let mut seen = [0_u32; 3];
        for _ in 0..1_000 {
            seen[dice.weighted(&[3, 0, 1])] += 1;
        }
        assert_eq!(seen[1], 0);
        assert!(seen[0] > seen[2] && seen[2] > 100);
    }

    #[test]
    fn numbers_stay_in_their_range() {
        let mut dice = Dice::new(2);
        for _ in 0..1_000 {
            assert!((-3..4).contains(&dice.number(-3..4)));
        }
    }
}
