//! Tickets: a common order over the chunks of all workers, so that a read that saw a shared cell can wait until
//! everything that the cell's value depends on is durable (invariant 1).
//!
//! What must stay true: a worker publishes the ticket of a chunk before the chunk's first change to a cell, and takes
//! it back only after the chunk's commit was processed. So if no worker has a pending ticket up to `t`, every change
//! made under a ticket up to `t` is durable.

use std::sync::atomic::{AtomicU64, Ordering};

pub use crate::cells::Ticket;

/// No chunk is pending.
const NONE: Ticket = u64::MAX;

/// The pending tickets of all workers.
#[derive(Debug)]
pub struct Tickets {
    next: AtomicU64,
    oldest_pending: Box<[AtomicU64]>,
}

impl Tickets {
    /// Tickets for so many workers.
    #[must_use]
    pub fn new(worker_count: usize) -> Self {
        Self { next: AtomicU64::new(1), oldest_pending: (0..worker_count).map(|_| AtomicU64::new(NONE)).collect() }
    }

    /// A ticket for a chunk that a worker begins.
    pub fn begin(&self, worker: usize) -> Ticket {
        // Published before it is drawn: a ticket that is drawn but not yet published would be invisible.
        let lower_bound = self.next.load(Ordering::SeqCst);
        self.oldest_pending[worker].fetch_min(lower_bound, Ordering::SeqCst);
        self.next.fetch_add(1, Ordering::SeqCst)
    }

    /// The oldest ticket that a worker still has pending, after it processed a commit.
    pub fn settle(&self, worker: usize, oldest: Option<Ticket>) {
        self.oldest_pending[worker].store(oldest.unwrap_or(NONE), Ordering::SeqCst);
    }

    /// Whether every change made under a ticket up to this one is durable.
    #[must_use]
    pub fn is_safe(&self, ticket: Ticket) -> bool {
        self.oldest_pending.iter().all(|oldest| oldest.load(Ordering::SeqCst) > ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_safe_once_no_older_chunk_is_pending() {
        let tickets = Tickets::new(2);
        let first = tickets.begin(0);
        let second = tickets.begin(1);
        assert!(first < second);
        assert!(!tickets.is_safe(first) && !tickets.is_safe(second));
        tickets.settle(1, None);
        assert!(!tickets.is_safe(second), "the older chunk of the other worker is still pending");
        tickets.settle(0, None);
        assert!(tickets.is_safe(first) && tickets.is_safe(second));
    }
}
