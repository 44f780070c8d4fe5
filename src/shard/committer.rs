//! The committer: gathers the chunks of all workers into frames, appends them with one sync, and says which positions
//! they got. A state machine without a thread of its own, so that the production loop and the simulator drive it.
//!
//! What must stay true: positions are given in the order of commits; what is told to a worker is durable; after a
//! failed append nothing is told and nothing is tried again.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::control::Control;
use crate::journal::chunk::Chunk;
use crate::journal::frame::{Chain, Frame};
use crate::journal::log::HighWater;
use crate::journal::record::Record;
use crate::journal::{Journal, JournalError};
use crate::ledger::types::{Position, Seq, TimestampNs};
use crate::replay::World;

/// A chunk on its way, with the worker that wants to be told.
#[derive(Debug)]
pub struct Submitted {
    /// The worker; `None` where nobody wants to be told.
    pub worker: Option<usize>,
    /// Its chunk; `None` asks only to be told after the next commit.
    pub chunk: Option<Chunk>,
}

/// A chunk that is durable; the chunk goes back for reuse.
#[derive(Debug)]
pub struct Committed {
    /// The worker.
    pub worker: usize,
    /// Its chunk and the position of the chunk's first record.
    pub chunk: Option<(Chunk, Position)>,
}

/// What of the control shard is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defined {
    /// The last durable record of the control shard.
    pub seq: Seq,
    /// Strings whose definition is durable.
    pub symbol_count: u32,
    /// Items whose definition is durable.
    pub item_count: u32,
}

impl Defined {
    /// What a recovered state has: all of it is durable.
    #[must_use]
    pub fn recovered(world: &World) -> Self {
        let (symbol_count, item_count) = world.dictionary.counts();
        Self { seq: world.control_seq, symbol_count, item_count }
    }

    /// Counts the control shard's next record.
    pub fn note(&mut self, record: &Record) {
        self.seq = self.seq.next();
        match record {
            Record::Symbol(id, _) => self.symbol_count = id.0 + 1,
            Record::Item(id, _) => self.item_count = id.0 + 1,
            _ => {}
        }
    }
}

/// How far the journal is durable, and how far the workers have processed that.
#[derive(Debug, Default)]
pub struct Progress {
    durable_end: AtomicU64,
    last_hash: Mutex<Option<HighWater>>,
    defined: Mutex<Defined>,
    unprocessed: Mutex<BTreeSet<Position>>,
}

impl Progress {
    /// Progress that begins at the end of a recovered journal.
    #[must_use]
    pub fn new(end: Position, defined: Defined) -> Self {
        Self { durable_end: AtomicU64::new(end.0), defined: Mutex::new(defined), ..Self::default() }
    }

    /// What of the control shard is durable.
    ///
    /// # Panics
    /// When another holder panicked.
    #[must_use]
    pub fn defined(&self) -> Defined {
        *self.defined.lock().expect("no holder panics")
    }

    /// One past the last durable record.
    #[must_use]
    pub fn durable_end(&self) -> Position {
        Position(self.durable_end.load(Ordering::SeqCst))
    }

    /// Every record before this position is durable, its ids are in the index and its account knows where it lies.
    ///
    /// # Panics
    /// When another holder panicked.
    #[must_use]
    pub fn settled(&self) -> Position {
        let unprocessed = self.unprocessed.lock().expect("no holder panics");
        unprocessed.first().copied().unwrap_or_else(|| self.durable_end())
    }

    /// A worker has processed the commit of the chunk at `base`.
    ///
    /// # Panics
    /// When another holder panicked.
    pub fn processed(&self, base: Position) {
        self.unprocessed.lock().expect("no holder panics").remove(&base);
    }

    /// What the high-water mark may say now.
    ///
    /// # Panics
    /// When another holder panicked.
    #[must_use]
    pub fn high_water(&self) -> Option<HighWater> {
        *self.last_hash.lock().expect("no holder panics")
    }

    /// Everything is told before [`Progress::settled`] can move past it: a snapshot that begins meanwhile starts at the
    /// settled position and takes the definitions as they are.
    fn advance(&self, mark: HighWater, defined: Defined, bases: impl Iterator<Item = Position>) {
        *self.defined.lock().expect("no holder panics") = defined;
        let mut unprocessed = self.unprocessed.lock().expect("no holder panics");
        unprocessed.extend(bases);
        *self.last_hash.lock().expect("no holder panics") = Some(mark);
        self.durable_end.store(mark.end.0, Ordering::SeqCst);
    }
}

/// Turns chunks into durable frames.
pub struct Committer {
    journal: Arc<dyn Journal>,
    control: Arc<Control>,
    progress: Arc<Progress>,
    chain: Chain,
    frames: Vec<Frame>,
}

impl Committer {
    /// A committer that goes on after the recovered end of the chain.
    #[must_use]
    pub fn new(journal: Arc<dyn Journal>, control: Arc<Control>, progress: Arc<Progress>, chain: Chain) -> Self {
        Self { journal, control, progress, chain, frames: Vec::new() }
    }

    /// Makes the chunks and everything queued on the control shard durable, and moves what is to be told to `out`.
    ///
    /// # Errors
    /// When the append fails. Nothing is told; the committer must not be used further.
    pub fn commit(
        &mut self,
        submitted: &mut Vec<Submitted>,
        now: TimestampNs,
        out: &mut Vec<Committed>,
    ) -> Result<(), JournalError> {
        // After the chunks were gathered: whatever they name is defined by now.
        let taken = self.control.take();
        self.frames.clear();
        let chunks = std::iter::once(&taken.chunk).chain(submitted.iter().filter_map(|one| one.chunk.as_ref()));
        let bases = self.chain.assemble(chunks, now, &mut self.frames);
        let mut bases = bases.into_iter();
        let control_base = bases.next().expect("the control chunk comes first");
        // An empty chunk lies nowhere: the next one begins at the same position.
        let defining = (!taken.chunk.is_empty()).then_some(control_base);
        if !self.frames.is_empty() {
            self.journal.append(&self.frames)?;
            let mark = HighWater { end: self.chain.next, hash: self.chain.hash };
            // The control shard's records are processed when those who wait for them have been told.
            self.progress.advance(mark, taken.defined, defining.into_iter().chain(bases.clone()));
        }
        for one in submitted.drain(..) {
            let chunk = one.chunk.map(|chunk| (chunk, bases.next().expect("each chunk got a position")));
            if let Some(worker) = one.worker {
                out.push(Committed { worker, chunk });
            }
        }
        for (place, waiter) in taken.waiters {
            waiter(control_base.plus(place));
        }
        if let Some(base) = defining {
            self.progress.processed(base);
        }
        Ok(())
    }

    /// Where records of the control shard wait: to be closed when there are no more commits.
    #[must_use]
    pub fn control(&self) -> Arc<Control> {
        self.control.clone()
    }

    /// Where the chain is.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.chain
    }
}

#[cfg(test)]
#[path = "committer_tests.rs"]
mod tests;
