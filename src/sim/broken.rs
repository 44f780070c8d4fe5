//! Deliberately broken variants of the write path, so that a test can show that the simulator finds what it is for.
//!
//! What must stay true: without the feature `broken-variants` nothing here is compiled; with it nothing is broken until
//! a thread asks for it, and then on that thread alone, so that tests do not disturb each other.

use std::cell::Cell;

/// A way to break the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Answers leave when a worker hands its chunk over, before the commit.
    AcknowledgeBeforeSync,
    /// Recovery enters no ids, so that after a restart an id that was used is free.
    SkipIdCheckAfterRestart,
    /// A slice of a snapshot is written although what it shows is not durable.
    SliceBeforeDurable,
    /// What a reversal gives back to a budget can be used before the reversal is durable.
    RoomBeforeDurable,
    /// A clock that is set back undoes a freeze.
    FreezeUndoneByClock,
}

thread_local! {
    static BROKEN: Cell<Option<Variant>> = const { Cell::new(None) };
}

/// Whether this thread runs the variant.
#[must_use]
pub fn is(variant: Variant) -> bool {
    BROKEN.get() == Some(variant)
}

/// Runs `work` on a ledger that is broken in this way.
pub fn with<T>(variant: Variant, work: impl FnOnce() -> T) -> T {
    struct Mend;
    impl Drop for Mend {
        fn drop(&mut self) {
            BROKEN.set(None);
        }
    }
    let _mend = Mend;
    BROKEN.set(Some(variant));
    work()
}
