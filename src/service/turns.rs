//! Turns: of the calls with large answers of one connection only some are under way, until their answers have left.
//!
//! What must stay true: a call takes its turn once the whole of its message is here, and before anybody reads it: one that
//! waits keeps nothing from those that have their turn; a turn that was taken ends when nobody holds the [`Turn`] any more;
//! however many wait, the messages of a connection take no more memory than those of its turns could.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::limits;

/// Room is counted in pieces of this many bytes.
const PIECE_BYTES: usize = 1 << 10;

/// The turns of a connection, and the room in which messages wait for theirs.
#[derive(Clone, Debug)]
pub struct Turns {
    turns: Arc<Semaphore>,
    room: Arc<Semaphore>,
}

impl Turns {
    /// So many turns, and room for as many of the largest messages.
    #[must_use]
    pub fn new(count: usize) -> Self {
        let room = count * (limits::MESSAGE_BYTES_MAX / PIECE_BYTES);
        Self { turns: Arc::new(Semaphore::new(count)), room: Arc::new(Semaphore::new(room)) }
    }
}

/// The turn of one call. It is put among the extensions of the request, and held until the answer has left.
#[derive(Debug)]
pub struct Turn {
    turns: Turns,
    taken: OnceLock<OwnedSemaphorePermit>,
    room: OnceLock<OwnedSemaphorePermit>,
}

impl Turn {
    /// One of these, once it comes.
    #[must_use]
    pub fn new(turns: Turns) -> Self {
        Self { turns, taken: OnceLock::new(), room: OnceLock::new() }
    }

    /// Takes room for the message of the call, until nobody holds the turn any more; false where there is none. What follows
    /// that message is not received before the turn has come, and has no room here.
    pub(super) fn takes_room(&self, bytes: usize) -> bool {
        if self.room.get().is_some() {
            return true;
        }
        let pieces = u32::try_from(bytes.div_ceil(PIECE_BYTES)).unwrap_or(u32::MAX);
        self.turns.room.clone().try_acquire_many_owned(pieces).is_ok_and(|taken| self.room.set(taken).is_ok())
    }
}

type Coming = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// A call whose turn has not come.
pub(super) struct Queued {
    turn: Arc<Turn>,
    /// Where there was none at once.
    coming: Option<Coming>,
}

impl Queued {
    pub(super) fn new(turn: Arc<Turn>) -> Self {
        Self { turn, coming: None }
    }

    /// As [`Turn::takes_room`].
    pub(super) fn takes_room(&self, bytes: usize) -> bool {
        self.turn.takes_room(bytes)
    }

    /// Ready when it is the turn of the call.
    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Self { turn, coming } = self;
        let at_once = if coming.is_none() { turn.turns.turns.clone().try_acquire_owned().ok() } else { None };
        let taken = match at_once {
            Some(taken) => Ok(taken),
            None => {
                let coming = coming.get_or_insert_with(|| Box::pin(turn.turns.turns.clone().acquire_owned()));
                ready!(coming.as_mut().poll(cx))
            }
        };
        // The turns of a connection never end.
        if let Ok(taken) = taken {
            let _ = turn.taken.set(taken);
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
impl Turns {
    /// Takes a turn.
    pub(super) fn take(&self) -> OwnedSemaphorePermit {
        self.turns.clone().try_acquire_owned().expect("there is one")
    }

    /// How many are left.
    pub(super) fn left(&self) -> usize {
        self.turns.available_permits()
    }
}
