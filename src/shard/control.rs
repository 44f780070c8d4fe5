//! The control shard: records that belong to no account. Definitions of the dictionary, programmes, openings.
//!
//! What must stay true: a record queued here before a frame is assembled is in that frame, in front of all others, or
//! in an earlier one; so every number is defined before it is used. How many names the journal defines is counted by the
//! records that were queued: a table of names is ahead of them or behind them for moments.

use std::sync::Mutex;

use super::committer::Defined;
use crate::journal::chunk::Chunk;
use crate::journal::dictionary::Definitions;
use crate::journal::record::{Record, encode_control};
use crate::ledger::types::{Position, Seq, ShardId};
use crate::limits;

/// Called on the committer's thread, with the record's position, when the record is durable and before it counts as
/// settled. It must not block.
pub type OnDurable = Box<dyn FnOnce(Position) + Send>;

/// What the committer takes from the queue.
pub struct Taken {
    /// The records.
    pub chunk: Chunk,
    /// To be called when they are durable, each with the place of its record in the chunk.
    pub waiters: Vec<(u64, OnDurable)>,
    /// What is durable when they are.
    pub defined: Defined,
}

#[derive(Default)]
struct Queue {
    /// What is durable when everything queued is.
    defined: Defined,
    chunk: Chunk,
    /// With the place of the record in the chunk.
    waiters: Vec<(u64, OnDurable)>,
    /// The committer has been woken for what waits.
    is_told: bool,
    /// Nothing is made durable any more.
    is_closed: bool,
}

/// Whether somebody is the first to find no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstToFind(pub bool);

impl Queue {
    /// Queues a record; gives back who waits for it where nobody will be told.
    #[must_use]
    fn push(&mut self, record: &Record, on_durable: Option<OnDurable>) -> Option<OnDurable> {
        self.defined.note(record);
        self.chunk.push(ShardId::CONTROL, self.defined.seq, |out| encode_control(out, record));
        let place = self.chunk.records().len() as u64 - 1;
        if self.is_closed {
            return on_durable;
        }
        self.waiters.extend(on_durable.map(|waiter| (place, waiter)));
        None
    }
}

/// Records of the control shard on their way to the committer.
#[derive(Default)]
pub struct Control {
    queue: Mutex<Queue>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

impl Control {
    /// A queue that goes on after what is durable.
    #[must_use]
    pub fn new(defined: Defined) -> Self {
        Self { queue: Mutex::new(Queue { defined, ..Queue::default() }) }
    }

    /// Queues a record and asks to be told when it is durable. The committer must be woken by the caller.
    ///
    /// # Panics
    /// When another holder panicked.
    pub fn push(&self, record: &Record, on_durable: Option<OnDurable>) {
        let too_late = self.queue.lock().expect("no holder panics").push(record, on_durable);
        drop(too_late);
    }

    /// Queues records that go into one commit, in this order. The committer must be woken by the caller.
    ///
    /// # Panics
    /// When another holder panicked.
    pub fn push_all(&self, records: impl IntoIterator<Item = (Record, Option<OnDurable>)>) {
        let too_late: Vec<_> = {
            let mut queue = self.queue.lock().expect("no holder panics");
            records.into_iter().filter_map(|(record, on_durable)| queue.push(&record, on_durable)).collect()
        };
        drop(too_late);
    }

    /// Takes everything queued, for the frame that is being assembled.
    ///
    /// # Panics
    /// When another holder panicked.
    pub fn take(&self) -> Taken {
        let mut queue = self.queue.lock().expect("no holder panics");
        queue.is_told = false;
        Taken {
            chunk: std::mem::take(&mut queue.chunk),
            waiters: std::mem::take(&mut queue.waiters),
            defined: queue.defined,
        }
    }

    /// Nothing is made durable any more: whoever waits, or comes later, is never told, and their closures are dropped.
    ///
    /// # Panics
    /// When another holder panicked.
    pub fn close(&self) {
        let waiters = {
            let mut queue = self.queue.lock().expect("no holder panics");
            queue.is_closed = true;
            std::mem::take(&mut queue.waiters)
        };
        drop(waiters);
    }

    /// Whether more records may wait for the committer. The first who finds that they may not is to wake it, once for all
    /// until it has taken them: it is told that there is no room, and whether it is the first.
    ///
    /// # Panics
    /// When another holder panicked.
    pub fn has_room(&self) -> Result<(), FirstToFind> {
        let mut queue = self.queue.lock().expect("no holder panics");
        if queue.chunk.byte_count() < limits::COMMIT_BYTES_MAX {
            return Ok(());
        }
        Err(FirstToFind(!std::mem::replace(&mut queue.is_told, true)))
    }

    /// The last record's number.
    ///
    /// # Panics
    /// When another holder panicked.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.queue.lock().expect("no holder panics").defined.seq
    }
}

impl Definitions for Control {
    fn define(&self, record: Record) {
        self.push(&record, None);
    }
}
