//! The threads of recovery: several that load or apply, each with shards of its own, beside the one that reads; and one that
//! keeps the index of ids within its memory. All end before recovery does.
//!
//! What must stay true: with one thread everything is done in place; queues are bounded; an error is the one that comes
//! first in the journal, for whoever applies goes on up to its own first error, and everything before the place where
//! the reader stopped has been handed out.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Builder, Scope, ScopedJoinHandle};

use crossbeam::channel::{Receiver, Sender, bounded};

use super::RecoveryError;
use super::hands::{Batch, Hand, Stop};
use crate::ids::{IdError, IdIndex};
use crate::ledger::types::Position;
use crate::limits::ID_UNWRITTEN_GENERATIONS_MAX;

/// Batches that wait for one thread.
const QUEUE_DEPTH: usize = 4;

/// Does the work on each part, each on a thread of its own where there are several. The outcomes are in the order of the
/// parts. How much more is done, the work says; `on_more` hears that on the thread of the caller.
pub(super) fn each<T: Send, R: Send>(
    parts: Vec<T>,
    work: impl Fn(T, &mut dyn FnMut(u64)) -> R + Sync,
    on_more: &mut dyn FnMut(u64),
) -> Vec<R> {
    if parts.len() <= 1 {
        return parts.into_iter().map(|part| work(part, on_more)).collect();
    }
    thread::scope(|scope| {
        let (tell, told) = bounded::<u64>(parts.len());
        let work = &work;
        let start = |part| {
            let tell = tell.clone();
            let work = move || {
                work(part, &mut |count| {
                    // Whoever listens goes only when it has failed: then nobody is left to be told.
                    let _ = tell.send(count);
                })
            };
            spawn(scope, "load", work)
        };
        let threads: Vec<_> = parts.into_iter().map(start).collect();
        // The last thread that is done closes it.
        drop(tell);
        told.iter().for_each(on_more);
        threads.into_iter().map(outcome).collect()
    })
}

fn spawn<'scope, R: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> R + Send + 'scope,
) -> ScopedJoinHandle<'scope, R> {
    Builder::new().name(name.to_owned()).spawn_scoped(scope, work).expect("threads are to be had")
}

fn outcome<R>(thread: ScopedJoinHandle<'_, R>) -> R {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// Who applies what the reader hands out.
pub(super) enum Crew<'a, 'h> {
    /// The reader itself.
    Alone(Box<Alone<'a, 'h>>),
    /// Threads.
    Several(Several<'a>),
}

/// Nobody but the reader.
pub(super) struct Alone<'a, 'h> {
    hand: Hand<'h>,
    ids: Option<&'a IdIndex>,
    stop: Option<Stop>,
    done: Position,
}

/// Threads that apply, and one that tidies up.
pub(super) struct Several<'a> {
    queues: Vec<Sender<Batch>>,
    ids: Option<(&'a IdIndex, Sender<()>)>,
    shared: &'a Shared,
}

/// What the threads tell each other.
struct Shared {
    failed: AtomicBool,
    /// By thread: everything before this position was applied, and its ids are entered.
    done: Vec<AtomicU64>,
}

impl Shared {
    fn settled(&self) -> Position {
        let done = self.done.iter().map(|done| done.load(Ordering::Acquire));
        Position(done.min().unwrap_or_default())
    }
}

impl Crew<'_, '_> {
    /// Hands a batch to the one who owns its shards, and leaves an empty one. False when somebody has failed: then there
    /// is no use in reading on.
    pub(super) fn pass(&mut self, place: usize, batch: &mut Batch) -> bool {
        match self {
            Self::Alone(alone) => {
                if alone.stop.is_none() {
                    alone.stop = alone.hand.take(batch).err();
                }
                alone.done = batch.end;
                batch.clear();
                alone.stop.is_none()
            }
            Self::Several(several) => {
                let sent = several.queues[place].send(std::mem::take(batch)).is_ok();
                sent && !several.shared.failed.load(Ordering::Acquire)
            }
        }
    }

    /// Everything before this position was applied.
    pub(super) fn settled(&self) -> Position {
        match self {
            Self::Alone(alone) => alone.done,
            Self::Several(several) => several.shared.settled(),
        }
    }

    /// Sees to it that the ids of a long journal do not all stay in memory. After each step that the reader waits for,
    /// `on_step` hears up to where everything was applied.
    ///
    /// # Errors
    /// When the index fails.
    pub(super) fn tidy(&mut self, on_step: &mut dyn FnMut(Position)) -> Result<(), IdError> {
        match self {
            Self::Alone(alone) => {
                if let Some(ids) = alone.ids {
                    while ids.maintain(alone.done)?.more_waits() {
                        on_step(alone.done);
                    }
                }
            }
            Self::Several(several) => {
                let Some((ids, wake)) = &several.ids else { return Ok(()) };
                // One that is awake needs no waking; one that has failed says why in the end.
                let _ = wake.try_send(());
                while ids.stats().unwritten_generation_count >= ID_UNWRITTEN_GENERATIONS_MAX {
                    ids.maintain(several.shared.settled())?;
                    on_step(several.shared.settled());
                }
            }
        }
        Ok(())
    }
}

/// Has a crew apply what `read` hands out. What the crew found wrong comes before what the reader did: it lies before it in
/// the journal.
pub(super) fn with_crew<R>(
    mut hands: Vec<Hand<'_>>,
    ids: Option<&IdIndex>,
    from: Position,
    read: impl FnOnce(&mut Crew<'_, '_>) -> Result<R, RecoveryError>,
) -> Result<R, RecoveryError> {
    if hands.len() == 1 {
        let hand = hands.pop().expect("there is one");
        let mut crew = Crew::Alone(Box::new(Alone { hand, ids, stop: None, done: from }));
        let outcome = read(&mut crew);
        let stop = if let Crew::Alone(alone) = crew { alone.stop } else { None };
        return stop.map_or(outcome, |stop| Err(stop.error.into()));
    }
    let done = hands.iter().map(|_| AtomicU64::new(from.0)).collect();
    let stopping = &AtomicBool::new(false);
    let shared = &Shared { failed: AtomicBool::new(false), done };
    thread::scope(|scope| {
        let (mut queues, mut threads) = (Vec::new(), Vec::new());
        for (hand, done) in hands.into_iter().zip(&shared.done) {
            let (queue, batches) = bounded(QUEUE_DEPTH);
            queues.push(queue);
            threads.push(spawn(scope, "replay", move || apply(hand, &batches, done, &shared.failed)));
        }
        let (waking, tidying) = ids.map_or((None, None), |ids| {
            let (wake, woken) = bounded(1);
            let tidying = spawn(scope, "replay-ids", move || tidy(ids, &woken, shared, stopping));
            (Some((ids, wake)), Some(tidying))
        });
        let mut crew = Crew::Several(Several { queues, ids: waking, shared });
        let outcome_of_reading = read(&mut crew);
        // Whoever waits for more learns that there is none.
        drop(crew);
        let first = threads.into_iter().filter_map(outcome).min_by_key(|stop| stop.position);
        stopping.store(true, Ordering::Release);
        let tidied = tidying.map_or(Ok(()), outcome);
        match first {
            Some(stop) => Err(stop.error.into()),
            None => outcome_of_reading.and_then(|read| tidied.map(|()| read).map_err(Into::into)),
        }
    })
}

/// Applies batches until there are no more, or one cannot be applied.
fn apply(mut hand: Hand<'_>, batches: &Receiver<Batch>, done: &AtomicU64, failed: &AtomicBool) -> Option<Stop> {
    let mut stop = None;
    for batch in batches {
        // The reader must not wait for somebody who has failed.
        if stop.is_some() {
            continue;
        }
        match hand.take(&batch) {
            Ok(()) => done.store(batch.end.0, Ordering::Release),
            Err(found) => {
                failed.store(true, Ordering::Release);
                stop = Some(found);
            }
        }
    }
    stop
}

/// Keeps the index within its memory whenever it is woken. What is left in the end, the housekeeper does.
fn tidy(ids: &IdIndex, woken: &Receiver<()>, shared: &Shared, stopping: &AtomicBool) -> Result<(), IdError> {
    for () in woken {
        while !stopping.load(Ordering::Acquire) && ids.maintain(shared.settled())?.more_waits() {}
    }
    Ok(())
}
