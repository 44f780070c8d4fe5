//! Ids without a window: every transaction id and receipt that was ever used is remembered for ever (invariant 2),
//! independent of accounts.
//!
//! A command **claims** its ids before its account is resolved. Of several callers with the same id one is granted; the
//! others wait for its outcome. When the record is durable the ids are **committed** with its position: they enter the
//! index before the claims are dropped, so at no moment is an id unknown that was used.
//!
//! ```text
//!  claim ──> claims in flight (bounded map)
//!               │ look, while the claim is held
//!               ▼
//!  commit ─> active generation ──full──> sealed generations ──maintain──> runs on disk ──maintain──> merged runs
//!            (fixed tables)              (memory, immutable)              (filter in memory)
//! ```
//!
//! Runs that will be merged together stand on one shelf: a filter for all of them, asked before their own, so that what
//! a claim costs hardly grows with the number of runs.
//!
//! The index is a map from a key to the largest entry ever inserted for it; entries order by position. That makes every
//! order of inserting, sealing, merging and recovering give the same answers.
//!
//! What must stay true:
//! - `claim` enters the map of claims first and looks into the index second. The other way round, a commit between the
//!   look and the claim would be missed and the id granted twice;
//! - `commit` inserts first and drops the claim second;
//! - nothing that a caller of `commit` waits for is on disk: the disk is read by `claim` and `lookup`, and written by
//!   `maintain` alone;
//! - the index holds nothing that the journal cannot give again. After a crash the owner opens it, learns the position
//!   up to which it is complete, and inserts what the records from there on used and gave back.
//!
//! A command that claims several ids takes them in the order transaction, receipt, reversal, and gives up what it holds
//! before it waits, or waits only in that order: then no two commands wait for each other.
//!
//! A generation is sealed when it is full, and also when it has spanned many records: where recovery begins to read follows
//! from what is on disk, and records without ids would be read at every start for ever.
//!
//! Deliberately absent: forgetting by age; a background thread (the owner calls [`IdIndex::maintain`]); a clock.

mod bloom;
mod claims;
mod committed;
mod format;
mod generation;
mod grouping;
mod key;
mod lines;
mod maintain;
mod merge;
#[cfg(test)]
mod model_tests;
mod run;
mod shelf;
#[cfg(test)]
mod shelf_tests;
mod sieve;
#[cfg(test)]
mod test_store;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::{Arc, Mutex, OnceLock};

pub use grouping::Grouping;
pub use key::{IdEntry, IdHasher, IdKey, PartnerIds};
pub use sieve::Sieve;

use crate::ledger::types::Position;
use crate::limits::ID_STEP_ENTRIES_MAX;
use crate::store::{Space, Store, StoreError};
use claims::{Begin, Claims};
use committed::Committed;
use maintain::{Parts, Work};

/// Partitions of a generation, at most.
const PARTITIONS_MAX: usize = 1 << 16;

/// Sizes of the index. May differ from one start to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdOptions {
    /// Ids kept in memory once they are on disk too; a generation counts as full, whatever it holds. The active generation,
    /// its spare and up to [`crate::limits::ID_UNWRITTEN_GENERATIONS_MAX`] generations on their way to disk come on top, and
    /// the memory of one that is used again.
    pub memory_ids_max: u64,
    /// Ids of one generation; 32 bytes of memory each.
    pub segment_ids: u64,
    /// Records after which a generation goes to disk with however few ids it has, none included: a recovery replays from
    /// where the index is complete.
    pub segment_records: u64,
    /// Tables of a generation, each with a lock of its own. A power of two.
    pub partitions: usize,
    /// Claims in flight, and callers waiting for one.
    pub in_flight_max: usize,
    /// Runs of one level that are merged into one of the next.
    pub merge_fan_in: usize,
}

impl Default for IdOptions {
    /// For a small machine: 256 MiB of remembered ids.
    fn default() -> Self {
        Self {
            memory_ids_max: 8 << 20,
            segment_ids: 1 << 20,
            segment_records: 1 << 20,
            partitions: 64,
            in_flight_max: 65_536,
            merge_fan_in: 8,
        }
    }
}

impl IdOptions {
    fn check(&self) -> Result<(), IdError> {
        let refuse = |reason| Err(IdError::Options { reason });
        if !self.partitions.is_power_of_two() || self.partitions > PARTITIONS_MAX {
            return refuse("the number of partitions must be a power of two up to 65,536");
        }
        if self.segment_ids == 0 {
            return refuse("a segment must hold at least one id");
        }
        if self.segment_records == 0 {
            return refuse("a segment must span at least one record");
        }
        if self.segment_ids / self.partitions as u64 > ID_STEP_ENTRIES_MAX as u64 / 2 {
            return refuse("a partition of a segment must hold at most 32,768 ids, so that one is written in one step");
        }
        if self.in_flight_max == 0 {
            return refuse("at least one claim must be allowed in flight");
        }
        if self.merge_fan_in < 2 {
            return refuse("a merge needs at least two runs");
        }
        Ok(())
    }
}

/// Why the index cannot be opened or used. `Display` is a sentence for an operator.
#[derive(Debug, thiserror::Error)]
pub enum IdError {
    /// Bytes are not what was written, or are missing.
    #[error("run {run_id} of the id index is damaged: {reason}. The index can be rebuilt from the journal")]
    Damaged {
        /// The run.
        run_id: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The index was written by a later release.
    #[error("run {run_id} of the id index has format version {version}, which this release does not know")]
    Version {
        /// The run.
        run_id: u64,
        /// Its version.
        version: u32,
    },
    /// An option is out of its range.
    #[error("the options of the id index are wrong: {reason}")]
    Options {
        /// Which and why.
        reason: &'static str,
    },
    /// The store failed.
    #[error("the id index cannot use its store: {0}")]
    Store(#[from] StoreError),
}

impl IdError {
    /// True when [`IdIndex::wipe`] and inserting everything from the journal mends it.
    #[must_use]
    pub fn is_rebuildable(&self) -> bool {
        match self {
            Self::Damaged { .. } => true,
            // What is damaged elsewhere does not become whole.
            Self::Store(StoreError::Damaged { space, .. }) => space.is_none_or(|space| space == Space::Ids),
            Self::Version { .. } | Self::Options { .. } | Self::Store(_) => false,
        }
    }
}

/// The answer to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The id is free, and the caller's until it calls [`IdIndex::commit`] or [`IdIndex::release`].
    Granted,
    /// Another caller holds it: wait, then claim again.
    InFlight,
    /// It was used by the record at this position.
    Committed(IdEntry),
    /// Too many claims or waiters, or the disk is too far behind. Nothing was consumed; try again later.
    TooMany,
}

/// What claiming several ids takes, and its answers. Reused: it keeps its memory.
#[derive(Debug, Default)]
pub struct Claiming {
    grouping: Grouping,
    begun: Vec<Begin>,
    found: Vec<Option<u64>>,
    on_disk: Vec<u32>,
    claims: Vec<Claim>,
}

impl Claiming {
    /// The answers to the last [`IdIndex::claim_many`], by place.
    #[must_use]
    pub fn claims(&self) -> &[Claim] {
        &self.claims
    }
}

/// What committing several ids takes. Reused: it keeps its memory.
#[derive(Debug, Default)]
pub struct Committing {
    grouping: Grouping,
    packed: Vec<(IdKey, u64)>,
}

/// What one call of [`IdIndex::maintain`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing waits.
    Idle,
    /// Allocated tables of the next generation.
    PreparedTables,
    /// Sealed a generation that was full, or had spanned as many records as it may.
    SealedGeneration,
    /// Wrote a part of a sealed generation.
    WroteEntries,
    /// Made a sealed generation durable as a run.
    FinishedRun,
    /// Merged a part of some runs.
    MergedEntries,
    /// Replaced some runs by the one they were merged into.
    FinishedMerge,
    /// Gave the memory of a durable generation back.
    DroppedGeneration,
}

/// The outcome of [`IdIndex::maintain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maintenance {
    /// What was done.
    pub step: Step,
}

impl Maintenance {
    /// True when something was done, so that more may wait: call again. False when there was nothing to do.
    #[must_use]
    pub fn more_waits(&self) -> bool {
        self.step != Step::Idle
    }
}

/// Figures for metrics and tests, each read at its own moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdStats {
    /// Claims in flight.
    pub claim_count: usize,
    /// Callers waiting for a claim to end.
    pub waiter_count: usize,
    /// Entries in memory.
    pub memory_id_count: u64,
    /// Entries on disk; an id may be in memory too.
    pub disk_id_count: u64,
    /// Runs on disk.
    pub run_count: usize,
    /// Sealed generations that are not durable yet.
    pub unwritten_generation_count: usize,
    /// Tables that a committing caller had to allocate because `maintain` was not called often enough.
    pub inline_table_count: u64,
}

/// The index of all ids ever used. Shared by all threads; see the module.
pub struct IdIndex {
    store: Arc<dyn Store>,
    claims: Claims,
    committed: Committed,
    /// Locked by `maintain` for the whole step; no other call takes it.
    work: Mutex<Work>,
    /// Below this position the index was complete on disk when it was opened.
    covered_then: Position,
    /// The damage that a lookup came upon first: the run, and what is wrong with it.
    damage: OnceLock<(u64, String)>,
}

impl IdIndex {
    /// Opens the index in [`Space::Ids`]. Also gives the position below which it is complete: before the first claim
    /// the caller inserts every id that a durable record at or above it used or gave back. In which order does not
    /// matter, as long as what it announces as settled is. It calls [`IdIndex::maintain`] now and then, so that memory
    /// stays bounded.
    ///
    /// # Errors
    /// [`IdError::Damaged`] when a run is not whole (see [`IdIndex::wipe`]); options out of range; the store's errors.
    pub fn open(store: Arc<dyn Store>, options: &IdOptions) -> Result<(Self, Position), IdError> {
        Self::open_telling(store, options, &mut |_| {})
    }

    /// As [`IdIndex::open`]; `on_read` is told of each part of the filters and fences that was read, in bytes. With very many
    /// ids there are gigabytes of them.
    ///
    /// # Errors
    /// As [`IdIndex::open`].
    pub fn open_telling(
        store: Arc<dyn Store>,
        options: &IdOptions,
        on_read: &mut dyn FnMut(u64),
    ) -> Result<(Self, Position), IdError> {
        options.check()?;
        let opened = run::open(&*store, on_read)?;
        let covered = opened.covered;
        let index = Self {
            claims: Claims::new(options.in_flight_max),
            work: Mutex::new(Work::new(opened.next_run_id, options.merge_fan_in)),
            committed: Committed::new(options, opened),
            covered_then: covered,
            damage: OnceLock::new(),
            store,
        };
        Ok((index, covered))
    }

    /// Empties the whole index, durably, whatever is damaged in it. Afterwards it opens empty and complete below position 0:
    /// everything is entered again, by whoever opens it next, however often that is cut short.
    ///
    /// # Errors
    /// The store's.
    pub fn wipe(store: &dyn Store) -> Result<(), IdError> {
        Ok(store.empty(Space::Ids)?)
    }

    /// Claims an id. Reads the disk only if the filter of a run lets the id pass: when it was used long ago, or by mistake,
    /// as each run does that no shelf answers for with one id of 8,000.
    ///
    /// # Errors
    /// When the disk cannot be read; then nothing is claimed.
    pub fn claim(&self, key: IdKey) -> Result<Claim, IdError> {
        match self.claims.begin(key) {
            Begin::InFlight => return Ok(Claim::InFlight),
            Begin::TooMany => return Ok(Claim::TooMany),
            Begin::Owned => {}
        }
        // From here on nobody else can commit the id, so what is seen now stays true while the claim is held.
        let claim = match self.lookup(key) {
            Err(error) => Err(error),
            Ok(Some(entry)) if !entry.freed => Ok(Claim::Committed(entry)),
            Ok(_) if self.committed.is_behind() => Ok(Claim::TooMany),
            Ok(_) => return Ok(Claim::Granted),
        };
        self.claims.finish(key);
        claim
    }

    /// Claims an id whether or not it was used: of something that is used again and again, by one after the other. Which
    /// record used it last, [`IdIndex::lookup`] says while the claim is held. Never [`Claim::Committed`].
    pub fn claim_again(&self, key: IdKey) -> Claim {
        match self.claims.begin(key) {
            Begin::InFlight => Claim::InFlight,
            Begin::TooMany => Claim::TooMany,
            Begin::Owned if self.committed.is_behind() => {
                self.claims.finish(key);
                Claim::TooMany
            }
            Begin::Owned => Claim::Granted,
        }
    }

    /// Claims several ids in their order, as [`IdIndex::claim`] does one: of equal ones the first is granted. The answers
    /// are by place, in [`Claiming::claims`].
    ///
    /// # Errors
    /// When the disk cannot be read; then nothing is claimed.
    pub fn claim_many(&self, keys: &[IdKey], claiming: &mut Claiming) -> Result<(), IdError> {
        let Claiming { grouping, begun, found, on_disk, claims } = claiming;
        self.claims.begin_many(keys, grouping, begun);
        self.committed.lookup_many(keys, grouping, found, on_disk);
        for place in on_disk.drain(..) {
            let place = place as usize;
            match self.lookup(keys[place]) {
                Ok(entry) => found[place] = entry.map(IdEntry::pack),
                Err(error) => {
                    let owned = begun.iter().zip(keys).filter(|(begun, _)| **begun == Begin::Owned);
                    owned.for_each(|(_, key)| self.claims.finish(*key));
                    return Err(error);
                }
            }
        }
        let is_behind = self.committed.is_behind();
        claims.clear();
        for ((begun, found), key) in begun.iter().zip(found.iter()).zip(keys) {
            let claim = match (begun, found.map(IdEntry::unpack)) {
                (Begin::InFlight, _) => Claim::InFlight,
                (Begin::TooMany, _) => Claim::TooMany,
                (Begin::Owned, Some(entry)) if !entry.freed => Claim::Committed(entry),
                (Begin::Owned, _) if is_behind => Claim::TooMany,
                (Begin::Owned, _) => Claim::Granted,
            };
            if *begun == Begin::Owned && claim != Claim::Granted {
                self.claims.finish(*key);
            }
            claims.push(claim);
        }
        Ok(())
    }

    /// Whether a claim on the id is in flight.
    #[must_use]
    pub fn is_claimed(&self, key: IdKey) -> bool {
        self.claims.is_owned(key)
    }

    /// Whether there is room for one more who waits for a claim. Whoever was told [`Claim::InFlight`] had some; whoever has
    /// not claimed asks before waiting.
    #[must_use]
    pub fn has_room_to_wait(&self) -> bool {
        self.claims.has_room_to_wait()
    }

    /// Calls `waiter` once when the claim in flight ends, on the thread that ends it and with no lock held. The waiter
    /// must be short; it may claim. False, and the waiter is dropped, when the claim has ended already: claim again.
    pub fn wait(&self, key: IdKey, waiter: Box<dyn FnOnce() + Send>) -> bool {
        self.claims.wait(key, waiter)
    }

    /// Gives up an id that this caller was granted, without using it.
    ///
    /// # Panics
    /// When the id is not claimed.
    pub fn release(&self, key: IdKey) {
        self.claims.finish(key);
    }

    /// Remembers an id that this caller was granted, once the record at `entry.position` is durable, and ends the
    /// claim. Never waits for the disk.
    ///
    /// # Panics
    /// When the id is not claimed, or the position was announced as settled before.
    pub fn commit(&self, key: IdKey, entry: IdEntry) {
        self.insert(key, entry);
        self.claims.finish(key);
    }

    /// Remembers several entries at once, as [`IdIndex::insert`] and [`IdIndex::commit`] do one, and then ends the claims
    /// on `claimed`. Every id that is claimed and used must be among the entries.
    ///
    /// # Panics
    /// As [`IdIndex::commit`].
    pub fn commit_many(&self, entries: &[(IdKey, IdEntry)], claimed: &[IdKey], committing: &mut Committing) {
        let Committing { grouping, packed } = committing;
        packed.clear();
        let settled = self.committed.settled();
        for (key, entry) in entries {
            assert!(entry.position >= settled, "a settled position has no further ids");
            packed.push((*key, entry.pack()));
        }
        self.committed.insert_many(packed, grouping);
        self.claims.finish_many(claimed, grouping);
    }

    /// Remembers an entry without a claim: in recovery, and to give an id back ([`IdEntry::freed`]) once the record
    /// that does so is durable. Of all entries of an id the one with the largest position holds.
    ///
    /// # Panics
    /// When the position was announced as settled since the index was opened: a crash would lose the entry.
    pub fn insert(&self, key: IdKey, entry: IdEntry) {
        if entry.position < self.covered_then {
            return; // Recovery began early; the runs know it.
        }
        assert!(entry.position >= self.committed.settled(), "a settled position has no further ids");
        self.committed.insert(key, entry.pack());
    }

    /// The newest entry of an id. Of an id that was given back it is that entry, or `None` once the index has dropped
    /// both the use and the giving back.
    ///
    /// # Errors
    /// When the disk cannot be read, or a block is damaged.
    pub fn lookup(&self, key: IdKey) -> Result<Option<IdEntry>, IdError> {
        let found = self.committed.lookup(&*self.store, key);
        if let Err(IdError::Damaged { run_id, reason }) = &found {
            // The first is the one that is told.
            let _ = self.damage.set((*run_id, reason.clone()));
        }
        Ok(found?.map(IdEntry::unpack))
    }

    /// Announces that the ids of every record below `settled`, used and given back, have been committed or inserted.
    /// Costs nothing; the more often, the less there is to insert after a crash.
    pub fn settle(&self, settled: Position) {
        self.committed.settle(settled);
    }

    /// One bounded step of background work; calls from several threads take turns. `settled` as in
    /// [`IdIndex::settle`]. Call it from a thread that may wait for the disk, until nothing more waits.
    ///
    /// # Errors
    /// When the store fails (it must not be used further) or a block is damaged. So it says from then on of damage that a lookup
    /// came upon: whoever looks ids up has callers to answer, and whoever calls this decides what becomes of the index.
    pub fn maintain(&self, settled: Position) -> Result<Maintenance, IdError> {
        self.settle(settled);
        if let Some((run_id, reason)) = self.damage.get() {
            return Err(format::damaged(*run_id, reason.as_str()));
        }
        let mut work = self.work.lock().expect("after a step that panicked the process must stop, not write more");
        let parts = Parts { store: &*self.store, committed: &self.committed };
        Ok(Maintenance { step: work.step(parts)? })
    }

    /// The position below which the index is complete on disk now: opened after a crash, it is not behind this.
    #[must_use]
    pub fn covered(&self) -> Position {
        self.committed.covered()
    }

    /// Figures of this moment.
    #[must_use]
    pub fn stats(&self) -> IdStats {
        let counts = self.committed.counts();
        IdStats {
            claim_count: self.claims.claim_count(),
            waiter_count: self.claims.waiter_count(),
            memory_id_count: counts.memory_ids,
            disk_id_count: counts.disk_ids,
            run_count: counts.runs,
            unwritten_generation_count: self.committed.unwritten_count(),
            inline_table_count: self.committed.inline_table_count(),
        }
    }
}
