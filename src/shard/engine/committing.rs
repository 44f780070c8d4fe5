//! The thread of the committer: gathers what the workers have sealed, commits it, and tells them.
//!
//! What must stay true: after a failure nothing is told any more; a commit waits for nothing but its disk and the answers to
//! the one before; whatever was decided while it was under way goes into the next.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use crossbeam::channel::{Receiver, Sender};

use super::seat::{Seat, Signs, let_other_threads_on};
use super::{OnFailure, STOP};
use crate::clock::SharedClock;
use crate::journal::chunk::Chunk;
use crate::limits;
use crate::metrics::Metrics;
use crate::shard::committer::{Committed, Committer, Submitted};
use crate::shard::control::Control;

/// See the module.
pub(super) struct CommitThread {
    pub(super) committer: Committer,
    pub(super) submitted: Receiver<Submitted>,
    /// By worker.
    pub(super) notices: Vec<Sender<Committed>>,
    pub(super) seats: Vec<Arc<Seat>>,
    pub(super) clock: SharedClock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) signs: Arc<Signs>,
    pub(super) on_failure: OnFailure,
}

/// However the thread ends, nobody waits for it any more.
struct Closing(Arc<Control>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl CommitThread {
    /// Commits until it is told to stop, or fails.
    pub(super) fn run(mut self) {
        let _closing = Closing(self.committer.control());
        self.commit_on();
    }

    fn commit_on(&mut self) {
        let mut gathered = Vec::new();
        let mut committed = Vec::new();
        let mut stop = false;
        while !stop {
            let Some(first) = self.next() else { return };
            self.let_others_go_first();
            self.seats.iter().for_each(|seat| seat.collect());
            stop = gather(first, self.submitted.try_iter(), &mut gathered);
            if gathered.iter().all(|one| one.chunk.is_none()) {
                // Somebody only asks to be told, and may be waiting for what another thread is about.
                let_other_threads_on();
            }
            self.metrics.commit_began_ns.set(self.clock.monotonic_ns().max(1));
            let made = self.committer.commit(&mut gathered, self.clock.now(), &mut committed);
            self.metrics.commit_began_ns.set(0);
            if let Err(error) = made {
                self.signs.failed.store(true, Ordering::Release);
                (self.on_failure)(&error);
                self.seats.iter().for_each(|seat| seat.ring());
                return;
            }
            for one in committed.drain(..) {
                // A worker that is gone has nobody left to answer.
                let _ = self.notices[one.worker].send(one);
            }
            // Before the next commit: whoever waits has waited for this one, and another thread would have to be let on.
            self.seats.iter().for_each(|seat| seat.tell());
        }
    }

    /// What is to be committed next; `None` when nobody is left who could bring anything.
    fn next(&self) -> Option<Submitted> {
        if let Ok(first) = self.submitted.try_recv() {
            return Some(first);
        }
        self.signs.committer_rests.store(true, Ordering::SeqCst);
        // Whoever is at a worker now sees it when they leave.
        fence(Ordering::SeqCst);
        self.seats.iter().for_each(|seat| seat.collect());
        let first = self.submitted.recv().ok();
        self.signs.committer_rests.store(false, Ordering::SeqCst);
        first
    }

    /// Where commands wait for a worker and no core is free, the worker comes before this thread: what it decides goes
    /// into the same commit. Where a core is free, this takes no time.
    fn let_others_go_first(&self) {
        if self.seats.iter().any(|seat| seat.waiting() > 0) {
            let_other_threads_on();
        }
    }
}

/// Gathers what has been sealed, up to the size of a commit; whether the thread is to stop after it.
fn gather(first: Submitted, more: impl Iterator<Item = Submitted>, gathered: &mut Vec<Submitted>) -> bool {
    let mut bytes = 0;
    for one in std::iter::once(first).chain(more) {
        if one.worker == Some(STOP) {
            return true;
        }
        bytes += one.chunk.as_ref().map_or(0, Chunk::byte_count);
        gathered.push(one);
        if bytes >= limits::COMMIT_BYTES_MAX {
            break;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use crossbeam::channel::unbounded;

    use super::*;
    use crate::ledger::types::{Seq, ShardId};

    #[test]
    fn what_is_more_than_one_commit_waits_for_the_next() {
        let (submit, waiting) = unbounded();
        for worker in 0..5 {
            let mut chunk = Chunk::default();
            chunk.push(ShardId(0), Seq(1), |out| out.resize(limits::COMMIT_BYTES_MAX / 2, 0));
            submit.send(Submitted { worker: Some(worker), chunk: Some(chunk) }).unwrap();
        }
        submit.send(Submitted { worker: Some(STOP), chunk: None }).unwrap();
        let gather_some = || {
            let mut gathered = Vec::new();
            let stop = gather(waiting.recv().unwrap(), waiting.try_iter(), &mut gathered);
            (stop, gathered.iter().filter_map(|one| one.worker).collect::<Vec<_>>())
        };
        assert_eq!(gather_some(), (false, vec![0, 1]));
        assert_eq!(gather_some(), (false, vec![2, 3]));
        assert_eq!(gather_some(), (true, vec![4]));
        assert!(waiting.is_empty());
    }
}
