//! Whether a start goes on: a word between whoever may give it up and the store that it reads.
//!
//! What must stay true: a start is given up or comes through, never both, and whoever was first decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::StoreError;

const UNDECIDED: u8 = 0;
const GIVEN_UP: u8 = 1;
const CAME_THROUGH: u8 = 2;

/// Whether a start goes on. Clones are handles on the same word.
#[derive(Clone, Debug, Default)]
pub struct GiveUp {
    word: Arc<AtomicU8>,
}

impl GiveUp {
    /// Gives the start up: whatever it asks of its store from now on fails. Nothing happens to one that has come through.
    pub fn tell(&self) {
        self.decide(GIVEN_UP);
    }

    /// Whether the start was given up.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.word.load(Ordering::Acquire) == GIVEN_UP
    }

    /// Says that the start has come through, and is not given up any more; false where it was before.
    #[must_use]
    pub fn come_through(&self) -> bool {
        self.decide(CAME_THROUGH) == CAME_THROUGH
    }

    pub(super) fn check(&self) -> Result<(), StoreError> {
        if self.is_told() { Err(StoreError::Latched { first: "the start was given up".to_owned() }) } else { Ok(()) }
    }

    /// Decides, unless it is decided; says how.
    fn decide(&self, word: u8) -> u8 {
        match self.word.compare_exchange(UNDECIDED, word, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => word,
            Err(before) => before,
        }
    }
}
