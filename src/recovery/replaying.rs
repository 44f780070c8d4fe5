//! The journal read on from where the snapshot, or the index of ids, leaves off: one reads, checks the chain and applies
//! what the control shard says; the records of other shards are handed out.
//!
//! What must stay true: a record is handed out after all that the journal defined before it; what is read is handed out
//! before anybody is told of damage behind it.

use std::ops::ControlFlow;

use super::entering::{Entering, IdsToEnter, enter_publication};
use super::hands::{Batch, Hand};
use super::parallel::{Crew, with_crew};
use super::{OnProgress, Progress, RecoveryError};
use crate::journal::frame::{FrameError, FrameFault, FrameHash, FrameView, RecordView};
use crate::journal::log::StoreJournal;
use crate::journal::record::{Record, decode};
use crate::journal::{Journal, JournalError};
use crate::ledger::types::{Position, Seq, ShardId};
use crate::replay::{Common, Halves, World, record_error};
use crate::snapshot::Marker;

/// Frames that are read before memory is tidied.
const FRAMES_AT_ONCE: usize = 256;

/// Frames that are told of together, where nothing in them takes longer.
const FRAMES_TOLD: usize = 16;

/// Bytes of records that are handed out at once.
const BATCH_BYTES: usize = 64 << 10;

/// What is to be replayed, and how.
pub(super) struct Plan<'a> {
    /// The journal.
    pub(super) journal: &'a StoreJournal,
    /// The snapshot that was loaded.
    pub(super) marker: Option<Marker>,
    /// The index of ids to complete.
    pub(super) ids: Option<IdsToEnter<'a>>,
    /// Threads that apply records. With one, the reader does.
    pub(super) thread_count: usize,
}

/// What a replay tells of itself.
pub(super) struct Replayed {
    /// Per shard: the last record before the snapshot's start. The snapshot has everything up to it; of what came later it may
    /// have parts, whatever the shard's own entity says, for accounts are copied before it.
    pub(super) since: Vec<Seq>,
    /// Records read.
    pub(super) count: u64,
}

/// Replays what the snapshot does not have and, where ids are given, what the index of ids does not have.
pub(super) fn replay(
    world: &mut World,
    plan: &Plan<'_>,
    on_progress: &mut OnProgress<'_>,
) -> Result<Replayed, RecoveryError> {
    let snapshot_start = plan.marker.map_or(Position(0), |marker| marker.start);
    let (end, end_hash) = plan.journal.end()?;
    let start = plan.ids.map_or(snapshot_start, |ids| ids.covered.min(snapshot_start));
    let since = world.shards.iter().map(|shard| shard.seq).collect();
    let shard_count = world.shards.len();
    let Halves { common, lane, .. } = world.halves();
    let dictionary = common.dictionary;
    let lanes = lane.divide(plan.thread_count);
    let shards_per_lane = lanes.first().map_or(shard_count, |lane| lane.shards.len()).max(1);
    let hands: Vec<_> =
        lanes.into_iter().map(|lane| Hand::new(lane, dictionary, plan.ids.map(Entering::new))).collect();
    let mut reading = Reading {
        item_count: item_count(&common),
        common,
        ids: plan.ids,
        next: start,
        chain: None,
        snapshot_start,
        replayed: Replayed { since, count: 0 },
        batches: hands.iter().map(|_| Batch::default()).collect(),
        shards_per_lane,
        has_compiled: false,
    };
    let mut tell = |reached| on_progress(Progress::Journal { reached, end });
    if start < end {
        // Whoever times the replay begins here: what came before takes as long, whatever there is to replay.
        tell(start);
    }
    with_crew(hands, plan.ids.map(|ids| ids.ids), start, |crew| {
        while reading.next < end && reading.some_frames(plan.journal, crew, &mut tell)? {
            crew.tidy(&mut tell)?;
            tell(crew.settled());
        }
        Ok(())
    })?;
    if start < end {
        // What the threads still had in hand is applied now.
        tell(end);
    }
    let Reading { next, chain, replayed, .. } = reading;
    match chain {
        Some((hash, epoch)) => (world.end, world.hash, world.epoch) = (next, hash, epoch),
        // The snapshot has everything; the chain goes on after the last frame.
        None => (world.end, world.hash, world.epoch) = (end, end_hash, last_epoch(plan.journal, end)?),
    }
    Ok(replayed)
}

fn item_count(common: &Common<'_>) -> usize {
    common.dictionary.items().len()
}

fn last_epoch(journal: &StoreJournal, end: Position) -> Result<u64, JournalError> {
    let mut epoch = 0;
    if end > Position(0) {
        journal.read(Position(end.0 - 1), &mut |frame| {
            epoch = frame.header.epoch;
            Ok(ControlFlow::Break(()))
        })?;
    }
    Ok(epoch)
}

/// Whoever reads.
struct Reading<'a> {
    common: Common<'a>,
    /// Items that were defined so far.
    item_count: usize,
    ids: Option<IdsToEnter<'a>>,
    /// One past the last record read.
    next: Position,
    /// The hash of the last frame, and its epoch.
    chain: Option<(FrameHash, u64)>,
    snapshot_start: Position,
    replayed: Replayed,
    /// What is to be handed out, by who is to get it.
    batches: Vec<Batch>,
    shards_per_lane: usize,
    /// A version was compiled, which takes as long as thousands of other records, and that was not told yet.
    has_compiled: bool,
}

impl Reading<'_> {
    /// Reads some frames and hands out what is in them. False when there is no use in reading on. `tell` hears again and again
    /// up to where everything was applied.
    fn some_frames(
        &mut self,
        journal: &StoreJournal,
        crew: &mut Crew<'_, '_>,
        tell: &mut dyn FnMut(Position),
    ) -> Result<bool, JournalError> {
        let mut frame_count = 0_usize;
        let mut goes_on = true;
        let read = journal.sweep(self.next, &mut |frame| {
            self.frame(frame)?;
            frame_count += 1;
            let byte_count = self.batches.iter().map(Batch::byte_count).sum::<usize>();
            let is_full = byte_count >= BATCH_BYTES * self.batches.len();
            if is_full {
                goes_on = self.hand_out(crew);
            }
            if std::mem::take(&mut self.has_compiled) || is_full || frame_count.is_multiple_of(FRAMES_TOLD) {
                tell(crew.settled());
            }
            let is_enough = frame_count >= FRAMES_AT_ONCE || !goes_on;
            Ok(if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        goes_on &= self.hand_out(crew);
        read.map(|()| goes_on)
    }

    fn hand_out(&mut self, crew: &mut Crew<'_, '_>) -> bool {
        let mut goes_on = true;
        for (place, batch) in self.batches.iter_mut().enumerate() {
            batch.end = self.next;
            goes_on &= crew.pass(place, batch);
        }
        goes_on
    }

    fn frame(&mut self, frame: &FrameView<'_>) -> Result<(), JournalError> {
        match &self.chain {
            Some((hash, _)) => frame.check_follows(self.next, hash)?,
            None => {
                let position = frame.header.position;
                if position > self.next {
                    let fault = FrameFault::Gap { expected: self.next };
                    return Err(FrameError { position, from: 16, to: 24, fault }.into());
                }
                // Everything before this frame is in the snapshot; the chain up to it is for verification to check.
            }
        }
        frame.for_each(|view| self.record(view))?;
        self.next = frame.end();
        self.chain = Some((frame.hash, frame.header.epoch));
        Ok(())
    }

    fn record(&mut self, view: &RecordView<'_>) -> Result<(), JournalError> {
        self.replayed.count += 1;
        if view.shard != ShardId::CONTROL {
            if view.position >= self.snapshot_start
                && let Some(since) = self.replayed.since.get_mut(usize::from(view.shard.0))
            {
                *since = (*since).min(Seq(view.seq.0 - 1));
            }
            // A shard that there is not is somebody's too: who finds that out.
            let place = (usize::from(view.shard.0) / self.shards_per_lane).min(self.batches.len() - 1);
            self.batches[place].file(view, self.item_count);
            return Ok(());
        }
        let record = decode(view.bytes, self.common.dictionary).map_err(|fault| record_error(view, fault))?;
        if let (Record::Program(publication), Some(IdsToEnter { ids, hasher, .. })) = (&record, self.ids) {
            enter_publication(ids, hasher, self.common.dictionary, view.position, publication);
        }
        let is_item = matches!(record, Record::Item(..));
        self.has_compiled |= matches!(record, Record::Program(_));
        self.common.apply(view, record).map_err(|fault| record_error(view, fault))?;
        if is_item {
            self.item_count = item_count(&self.common);
        }
        Ok(())
    }
}
