//! The queue of a worker: bounded by the commands that wait in it, however many of them one batch brings.
//!
//! What must stay true: what is counted in is counted out; a batch is taken whole or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam::channel::{Receiver, SendError, Sender, TrySendError, bounded};

use super::job::Job;
use crate::limits;

/// The end that jobs are put in.
#[derive(Clone)]
pub struct JobSender {
    jobs: Sender<Job>,
    waiting: Arc<AtomicUsize>,
    depth: usize,
}

/// The end that jobs are taken out.
pub struct JobReceiver {
    jobs: Receiver<Job>,
    waiting: Arc<AtomicUsize>,
}

/// A queue for so many commands. A batch goes in as long as there is room for its first command, so the queue holds at
/// most a batch more.
#[must_use]
pub fn queue(depth: usize) -> (JobSender, JobReceiver) {
    let (sender, receiver) = bounded(depth);
    let waiting = Arc::new(AtomicUsize::new(0));
    (JobSender { jobs: sender, waiting: waiting.clone(), depth }, JobReceiver { jobs: receiver, waiting })
}

impl JobSender {
    /// Puts a job in if there is room.
    ///
    /// # Errors
    /// The job, when there is none or the worker has gone.
    pub fn try_send(&self, job: Job) -> Result<(), TrySendError<Job>> {
        let weight = job.weight();
        assert!(weight <= limits::WORKER_BATCH_COMMANDS_MAX, "a batch is no larger than what a worker takes at once");
        let room = |waiting: usize| (waiting < self.depth).then_some(waiting + weight);
        if self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err() {
            return Err(TrySendError::Full(job));
        }
        let sent = self.jobs.try_send(job);
        if sent.is_err() {
            self.waiting.fetch_sub(weight, Ordering::Relaxed);
        }
        sent
    }

    /// Puts a job in, waiting for room in the channel: for what must be done however many commands wait.
    ///
    /// # Errors
    /// The job, when the worker has gone.
    pub fn send(&self, job: Job) -> Result<(), SendError<Job>> {
        let weight = job.weight();
        self.waiting.fetch_add(weight, Ordering::Relaxed);
        let sent = self.jobs.send(job);
        if sent.is_err() {
            self.waiting.fetch_sub(weight, Ordering::Relaxed);
        }
        sent
    }

    /// Commands and other jobs that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl JobReceiver {
    /// The oldest job, if there is one.
    #[must_use]
    pub fn take(&self) -> Option<Job> {
        let job = self.jobs.try_recv().ok()?;
        self.waiting.fetch_sub(job.weight(), Ordering::Relaxed);
        Some(job)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// The channel, to wait for.
    #[must_use]
    pub fn channel(&self) -> &Receiver<Job> {
        &self.jobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count() -> Job {
        Job::Count(Box::new(drop))
    }

    #[test]
    fn a_full_queue_hands_the_job_back_and_has_room_again() {
        let (sender, receiver) = queue(2);
        assert!(sender.try_send(count()).is_ok() && sender.try_send(count()).is_ok());
        assert!(matches!(sender.try_send(count()), Err(TrySendError::Full(Job::Count(_)))));
        assert_eq!(sender.waiting(), 2);
        assert!(receiver.take().is_some());
        assert!(sender.try_send(count()).is_ok());
        assert!(receiver.take().is_some() && receiver.take().is_some() && receiver.take().is_none());
        assert_eq!(sender.waiting(), 0);
    }

    #[test]
    fn a_worker_that_has_gone_takes_nothing() {
        let (sender, receiver) = queue(2);
        drop(receiver);
        assert!(matches!(sender.try_send(count()), Err(TrySendError::Disconnected(_))));
        assert!(sender.send(count()).is_err());
        assert_eq!(sender.waiting(), 0);
    }
}
