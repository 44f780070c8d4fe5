//! The queue of a worker: bounded by the commands that wait in it, however many of them one batch brings. It has two
//! ranks: the accruals of unary calls, for which a customer waits, go before everything else. Reads do not: a read shows
//! whatever was handed over before it.
//!
//! What must stay true: what is counted in is counted out; a batch is taken whole or not at all; within a rank the order
//! is kept; neither rank waits for ever while the other is busy; nothing stays in the queue of a worker that has gone, so
//! that whoever waits for an answer is told that there is none; whoever has no time for what takes long sets it aside, and
//! nothing of its rank goes before it.

use std::cell::Cell;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

use crossbeam::channel::{Receiver, SendError, Sender, TrySendError, bounded};

use super::job::Job;
use crate::limits;

/// The end that jobs are put in.
#[derive(Clone)]
pub struct JobSender {
    jobs: Sender<Job>,
    urgent: Sender<Job>,
    waiting: Arc<AtomicUsize>,
    depth: usize,
    left: Left,
}

/// What is left in the queue when the worker goes. A bounded channel keeps what was put in until both of its ends are
/// gone, so it is taken out here.
#[derive(Clone)]
struct Left {
    has_gone: Arc<AtomicBool>,
    channels: [Receiver<Job>; 2],
    waiting: Arc<AtomicUsize>,
}

impl Left {
    fn has_gone(&self) -> bool {
        self.has_gone.load(Ordering::SeqCst)
    }

    /// Says that the worker has gone, and drops what waits for it.
    fn go(&self) {
        self.has_gone.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.empty();
    }

    /// Whoever has put a job in looks whether the worker went meanwhile: either the worker saw the job, or this sees that
    /// it has gone.
    fn after_a_job(&self) {
        fence(Ordering::SeqCst);
        if self.has_gone() {
            self.empty();
        }
    }

    fn empty(&self) {
        for job in self.channels.iter().flat_map(Receiver::try_iter) {
            self.waiting.fetch_sub(job.weight(), Ordering::Relaxed);
        }
    }
}

/// The end that jobs are taken out.
pub struct JobReceiver {
    jobs: Receiver<Job>,
    urgent: Receiver<Job>,
    /// Urgent jobs taken since the last other one.
    urgent_in_a_row: Cell<u32>,
    /// The next other job, found by somebody who has no time for it. It still counts as waiting.
    set_aside: Cell<Option<Job>>,
    waiting: Arc<AtomicUsize>,
    left: Left,
}

impl Drop for JobReceiver {
    fn drop(&mut self) {
        if let Some(job) = self.set_aside.take() {
            self.waiting.fetch_sub(job.weight(), Ordering::Relaxed);
        }
        self.left.go();
    }
}

/// Which of two jobs that wait is done first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// In its order among the commands of streams and batches.
    Ordinary,
    /// A customer is waiting.
    Urgent,
}

/// After so many urgent jobs an ordinary one has its turn.
const URGENT_IN_A_ROW_MAX: u32 = 8;

/// A queue for so many commands. A batch goes in as long as there is room for its first command, so the queue holds at
/// most a batch more.
#[must_use]
pub fn queue(depth: usize) -> (JobSender, JobReceiver) {
    let (jobs, jobs_out) = bounded(depth);
    let (urgent, urgent_out) = bounded(depth);
    let waiting = Arc::new(AtomicUsize::new(0));
    let has_gone = Arc::new(AtomicBool::new(false));
    let left = Left { has_gone, channels: [urgent_out.clone(), jobs_out.clone()], waiting: waiting.clone() };
    let receiver = JobReceiver {
        jobs: jobs_out,
        urgent: urgent_out,
        urgent_in_a_row: Cell::new(0),
        set_aside: Cell::new(None),
        waiting: waiting.clone(),
        left: left.clone(),
    };
    (JobSender { jobs, urgent, waiting, depth, left }, receiver)
}

impl JobSender {
    /// Puts a job in if there is room.
    ///
    /// # Errors
    /// The job, when there is none or the worker has gone.
    pub fn try_send(&self, job: Job, rank: Rank) -> Result<(), TrySendError<Job>> {
        let weight = job.weight();
        assert!(weight <= limits::WORKER_BATCH_COMMANDS_MAX, "a batch is no larger than what a worker takes at once");
        let room = |waiting: usize| (waiting < self.depth).then_some(waiting + weight);
        if self.left.has_gone() {
            return Err(TrySendError::Disconnected(job));
        }
        if self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err() {
            return Err(TrySendError::Full(job));
        }
        let sent = match rank {
            Rank::Ordinary => self.jobs.try_send(job),
            Rank::Urgent => self.urgent.try_send(job),
        };
        if sent.is_err() {
            self.waiting.fetch_sub(weight, Ordering::Relaxed);
        }
        self.left.after_a_job();
        sent
    }

    /// Puts a job in, waiting for room in the channel: for what must be done however many commands wait.
    ///
    /// # Errors
    /// The job, when the worker has gone.
    pub fn send(&self, job: Job) -> Result<(), SendError<Job>> {
        if self.left.has_gone() {
            return Err(SendError(job));
        }
        let weight = job.weight();
        self.waiting.fetch_add(weight, Ordering::Relaxed);
        let sent = self.jobs.send(job);
        if sent.is_err() {
            self.waiting.fetch_sub(weight, Ordering::Relaxed);
        }
        self.left.after_a_job();
        sent
    }

    /// Commands and other jobs that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl JobReceiver {
    /// The job that is to be done next, if there is one.
    #[must_use]
    pub fn take(&self) -> Option<Job> {
        let ordinary = || {
            let next = self.set_aside.take().or_else(|| self.jobs.try_recv().ok());
            next.inspect(|_| self.urgent_in_a_row.set(0))
        };
        let job = if self.urgent_in_a_row.get() < URGENT_IN_A_ROW_MAX {
            self.next_urgent().or_else(ordinary)
        } else {
            self.urgent_in_a_row.set(0);
            ordinary().or_else(|| self.next_urgent())
        }?;
        Some(self.taken(job))
    }

    /// The job that is to be done next by somebody who has no time for what takes long: see [`Job::is_long`]. That stays
    /// where it is for [`JobReceiver::take`], with all of its rank that came later.
    #[must_use]
    pub fn take_short(&self) -> Option<Job> {
        if let Some(job) = self.next_urgent() {
            return Some(self.taken(job));
        }
        let next = self.set_aside.take().or_else(|| self.jobs.try_recv().ok())?;
        if next.is_long() {
            self.set_aside.set(Some(next));
            return None;
        }
        Some(self.taken(next))
    }

    fn next_urgent(&self) -> Option<Job> {
        self.urgent.try_recv().ok().inspect(|_| self.urgent_in_a_row.update(|count| count.saturating_add(1)))
    }

    fn taken(&self, job: Job) -> Job {
        self.waiting.fetch_sub(job.weight(), Ordering::Relaxed);
        job
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let next = self.set_aside.take();
        let has_next = next.is_some();
        self.set_aside.set(next);
        !has_next && self.jobs.is_empty() && self.urgent.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::types::{AccountNumber, ShardId};

    fn count() -> Job {
        Job::Count(Box::new(drop))
    }

    #[test]
    fn a_full_queue_hands_the_job_back_and_has_room_again() {
        let (sender, receiver) = queue(2);
        let send = |job| sender.try_send(job, Rank::Ordinary);
        assert!(send(count()).is_ok() && sender.try_send(count(), Rank::Urgent).is_ok());
        assert!(matches!(send(count()), Err(TrySendError::Full(Job::Count(_)))));
        assert_eq!(sender.waiting(), 2);
        assert!(receiver.take().is_some());
        assert!(send(count()).is_ok());
        assert!(receiver.take().is_some() && receiver.take().is_some() && receiver.take().is_none());
        assert_eq!(sender.waiting(), 0);
    }

    #[test]
    fn a_customer_who_waits_goes_first_but_not_for_ever() {
        let (sender, receiver) = queue(100);
        let survey = || Job::Survey(false, Box::new(drop));
        for _ in 0..3 {
            assert!(sender.try_send(survey(), Rank::Ordinary).is_ok());
        }
        for _ in 0..10 {
            assert!(sender.try_send(count(), Rank::Urgent).is_ok());
        }
        let taken: String = std::iter::from_fn(|| receiver.take())
            .map(|job| if matches!(job, Job::Count(_)) { 'u' } else { 'o' })
            .collect();
        assert_eq!(taken, "uuuuuuuuouuoo");
    }

    #[test]
    fn who_has_no_time_for_what_takes_long_takes_what_is_urgent_and_what_comes_before_it() {
        let (sender, receiver) = queue(100);
        let publish = || Job::AccountId(ShardId(0), AccountNumber(0), Box::new(drop));
        let survey = || Job::Survey(false, Box::new(drop));
        for job in [publish(), survey(), publish()] {
            assert!(sender.try_send(job, Rank::Ordinary).is_ok());
        }
        assert!(sender.try_send(count(), Rank::Urgent).is_ok());
        let kind = |job: Option<Job>| match job {
            None => '-',
            Some(Job::AccountId(..)) => 'a',
            Some(Job::Survey(..)) => 's',
            Some(_) => 'u',
        };
        let taken: String = (0..4).map(|_| kind(receiver.take_short())).collect();
        assert_eq!(taken, "ua--");
        assert!(!receiver.is_empty() && sender.waiting() == 2, "what was set aside still waits");
        assert!(sender.try_send(count(), Rank::Urgent).is_ok());
        assert_eq!(kind(receiver.take_short()), 'u');
        let taken: String = (0..3).map(|_| kind(receiver.take())).collect();
        assert_eq!(taken, "sa-");
        assert!(receiver.is_empty() && sender.waiting() == 0);
        assert!(sender.try_send(survey(), Rank::Ordinary).is_ok());
        assert_eq!(kind(receiver.take_short()), '-');
        drop(receiver);
        assert_eq!(sender.waiting(), 0, "what was set aside goes with the worker");
    }

    #[test]
    fn what_waits_when_the_worker_goes_is_dropped() {
        let (sender, receiver) = queue(4);
        let (reply, told) = std::sync::mpsc::channel::<u64>();
        for rank in [Rank::Ordinary, Rank::Urgent] {
            let reply = reply.clone();
            let job = Job::Count(Box::new(move |count| reply.send(count).expect("somebody waits")));
            assert!(sender.try_send(job, rank).is_ok());
        }
        drop(reply);
        assert_eq!(told.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty));
        drop(receiver);
        assert_eq!(told.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected));
        assert_eq!(sender.waiting(), 0);
    }

    #[test]
    fn a_worker_that_has_gone_takes_nothing() {
        let (sender, receiver) = queue(2);
        drop(receiver);
        assert!(matches!(sender.try_send(count(), Rank::Urgent), Err(TrySendError::Disconnected(_))));
        assert!(sender.send(count()).is_err());
        assert_eq!(sender.waiting(), 0);
    }
}
