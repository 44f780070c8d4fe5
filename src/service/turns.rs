//! Turns: of the calls with large answers of one connection only some are under way, until their answers have left.
//!
//! What must stay true: a call takes its turn once the whole of its message is here, and before anybody reads it: one that
//! waits keeps nothing from those that have their turn; a turn that was taken ends when nobody holds the [`Turn`] any more.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// The turn of one call. It is put among the extensions of the request, and held until the answer has left.
#[derive(Debug)]
pub struct Turn {
    turns: Arc<Semaphore>,
    taken: OnceLock<OwnedSemaphorePermit>,
}

impl Turn {
    /// One of these, once it comes.
    #[must_use]
    pub fn new(turns: Arc<Semaphore>) -> Self {
        Self { turns, taken: OnceLock::new() }
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

    /// Ready when it is the turn of the call.
    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Self { turn, coming } = self;
        let at_once = if coming.is_none() { turn.turns.clone().try_acquire_owned().ok() } else { None };
        let taken = match at_once {
            Some(taken) => Ok(taken),
            None => {
                let coming = coming.get_or_insert_with(|| Box::pin(turn.turns.clone().acquire_owned()));
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
