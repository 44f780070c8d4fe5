//! The thread of the committer: gathers what the workers have sealed, commits it, and tells them.
//!
//! What must stay true: after a failure nothing is told any more; a commit waits for nothing but its disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::channel::{Receiver, Sender};

use super::{OnFailure, STOP};
use crate::clock::SharedClock;
use crate::journal::chunk::Chunk;
use crate::limits;
use crate::metrics::Metrics;
use crate::shard::committer::{Committed, Committer, Submitted};
use crate::shard::queue::JobSender;

/// See the module.
pub(super) struct CommitThread {
    pub(super) committer: Committer,
    pub(super) submitted: Receiver<Submitted>,
    /// By worker.
    pub(super) notices: Vec<Sender<Committed>>,
    pub(super) queues: Vec<JobSender>,
    pub(super) clock: SharedClock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) failed: Arc<AtomicBool>,
    pub(super) on_failure: OnFailure,
}

impl CommitThread {
    /// Commits until it is told to stop, or fails.
    pub(super) fn run(mut self) {
        let mut gathered = Vec::new();
        let mut committed = Vec::new();
        let mut stop = false;
        while !stop {
            let Ok(first) = self.submitted.recv() else { return };
            self.let_others_go_first();
            stop = self.gather(first, &mut gathered);
            self.metrics.commit_began_ns.set(self.clock.monotonic_ns().max(1));
            let made = self.committer.commit(&mut gathered, self.clock.now(), &mut committed);
            self.metrics.commit_began_ns.set(0);
            if let Err(error) = made {
                self.failed.store(true, Ordering::Release);
                (self.on_failure)(&error);
                return;
            }
            for one in committed.drain(..) {
                // A worker that is gone has nobody left to answer.
                let _ = self.notices[one.worker].send(one);
            }
        }
    }

    /// Where commands wait for a worker and no core is free, the worker comes before this thread: what it decides goes
    /// into the same commit. Where a core is free, this takes no time.
    fn let_others_go_first(&self) {
        if self.queues.iter().any(|queue| queue.waiting() > 0) {
            std::thread::yield_now();
        }
    }

    /// Gathers what has been sealed, up to the size of a commit; whether the thread is to stop after it.
    fn gather(&self, first: Submitted, gathered: &mut Vec<Submitted>) -> bool {
        let mut bytes = 0;
        for one in std::iter::once(first).chain(self.submitted.try_iter()) {
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
}
