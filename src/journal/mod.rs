//! The journal: what is recorded, how records become frames, how frames are kept and read back.
//!
//! [`record`] is the content, [`chunk`] what a worker hands over, [`frame`] the chained block, [`log`] the keeping of
//! frames in a store, [`dictionary`] the numbers for strings that repeat, [`leaf`] the hash for later proofs, [`walk`] the
//! way from one record of an account to the one before, [`size`] how long the journal is.
//!
//! What must stay true: everything above the [`Journal`] trait is ignorant of where frames are kept; frames are only
//! ever appended; `append` returns after they are durable; damage is never skipped.

pub mod chunk;
pub mod dictionary;
pub mod frame;
pub mod leaf;
pub mod log;
pub mod record;
pub mod refunded;
pub mod returned;
pub mod search;
pub mod size;
pub mod unburned;
pub mod walk;

use std::ops::ControlFlow;

use crate::ledger::types::Position;
use crate::store::StoreError;
use frame::{Frame, FrameError, FrameHash, FrameView};

/// Why the journal cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A frame is not what was written.
    #[error("the journal is damaged: {0}")]
    Frame(#[from] FrameError),
    /// A record cannot be decoded.
    #[error("the journal is damaged: the record at position {position}, bytes {from}..{to} of its frame: {fault}")]
    Record {
        /// Its position.
        position: Position,
        /// First byte in the frame.
        from: usize,
        /// One past the last byte in the frame.
        to: usize,
        /// What is wrong.
        fault: crate::codec::DecodeError,
    },
    /// The journal ends before what was acknowledged.
    #[error(
        "the journal in {place} ends at position {end}, but records up to position {high_water} were acknowledged: \
         acknowledged records are missing"
    )]
    Missing {
        /// The data directory.
        place: String,
        /// One past the last record found.
        end: Position,
        /// One past the last record that the high-water mark vouches for.
        high_water: Position,
    },
    /// Frames are there, but the one that the high-water mark names has another hash.
    #[error("the frame that ends at position {0} is not the one that was acknowledged")]
    Replaced(Position),
    /// Another process has taken over.
    #[error("epoch {ours} was fenced off by epoch {theirs}: another process has taken over this journal")]
    Fenced {
        /// The epoch of this process.
        ours: u64,
        /// The newer epoch.
        theirs: u64,
    },
}

/// Where frames are kept. The embedded one lies on a store; a replicated log can take its place.
pub trait Journal: Send + Sync + 'static {
    /// Appends frames in order; returns when all of them are durable.
    ///
    /// # Errors
    /// When that failed or the epoch was fenced; the journal must not be used further.
    fn append(&self, frames: &[Frame]) -> Result<(), JournalError>;

    /// Visits the frames from the one that holds `from` on, in order, until the visitor breaks or the journal ends.
    /// Hashes are checked; that frames follow each other is for the visitor to check.
    ///
    /// # Errors
    /// When a frame cannot be read or is damaged.
    fn read(&self, from: Position, visit: &mut VisitFrame<'_>) -> Result<(), JournalError>;

    /// The last frame's end and hash; position 0 and zeros when there is none.
    ///
    /// # Errors
    /// When the last frame cannot be read or is damaged.
    fn end(&self) -> Result<(Position, FrameHash), JournalError>;

    /// Takes the journal over: from here on only frames of this epoch are appended.
    ///
    /// # Errors
    /// When a newer epoch has taken over already.
    fn fence(&self, epoch: u64) -> Result<(), JournalError>;
}

/// Sees one frame; stops the reading by returning `Break`.
pub type VisitFrame<'a> = dyn FnMut(&FrameView<'_>) -> Result<ControlFlow<()>, JournalError> + 'a;
