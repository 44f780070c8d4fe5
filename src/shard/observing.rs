//! What of a running ledger can be looked at from outside, and the journal that times what is appended to it.
//!
//! What must stay true: looking takes no lock that a command waits for.

use std::sync::Arc;

use super::engine::Engine;
use super::job::CommandOutcome;
use crate::clock::SharedClock;
use crate::journal::frame::{Frame, FrameHash};
use crate::journal::log::{HighWater, StoreJournal};
use crate::journal::size::JournalSize;
use crate::journal::{Journal, JournalError, VisitFrame};
use crate::ledger::command::CommandKind;
use crate::ledger::decision::{Decision, Movement};
use crate::ledger::held::HeldChange;
use crate::ledger::operator::OperatorOrder;
use crate::ledger::types::Position;
use crate::metrics::{Metrics, Outcome, Review, Signs};
use crate::snapshot::Marker;

impl Engine {
    /// Jobs that wait for each worker.
    #[must_use]
    pub fn queue_lengths(&self) -> Vec<usize> {
        self.seats.iter().map(|seat| seat.waiting()).collect()
    }

    /// The last finished snapshot.
    ///
    /// # Panics
    /// When a holder panicked.
    #[must_use]
    pub fn last_snapshot(&self) -> Option<Marker> {
        *self.marker.lock().expect("no holder panics")
    }

    /// Where a recovery would begin to replay now: it needs what the last snapshot does not have, and what the index of ids
    /// does not have on disk.
    ///
    /// # Panics
    /// When a holder panicked.
    #[must_use]
    pub fn replay_start(&self) -> Position {
        let snapshot = self.last_snapshot().map_or(Position(0), |marker| marker.start);
        snapshot.min(self.shared.ids.covered())
    }

    /// Records that a recovery would replay now.
    ///
    /// # Panics
    /// When a holder panicked.
    #[must_use]
    pub fn records_to_replay(&self) -> u64 {
        self.progress.durable_end().0.saturating_sub(self.replay_start().0)
    }

    /// Everything acknowledged so far ends here or before.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn durable_point(&self) -> Result<Option<HighWater>, JournalError> {
        match self.progress.high_water() {
            Some(point) => Ok(Some(point)),
            // Nothing was committed since the opening record, which no notice is kept of.
            None => {
                let (end, hash) = self.journal.end()?;
                Ok((end > Position(0)).then_some(HighWater { end, hash }))
            }
        }
    }
}

impl Metrics {
    /// Counts a command that was decided just now.
    pub fn decided(&self, outcome: &CommandOutcome) {
        self.answered(outcome.counted());
        self.shown(outcome.signs);
    }
}

impl Signs {
    /// What is counted of a decision on a command.
    #[must_use]
    pub fn of(kind: &CommandKind, decision: &Decision) -> Self {
        let over_velocity = decision.over_velocity.is_some();
        let Some(change) = decision.effects.held.as_deref().filter(|_| decision.refusal().is_none()) else {
            return Self { over_velocity, review: None };
        };
        let moved = |movement| {
            let changes = decision.effects.lots.iter().filter(move |lot| lot.movement == movement);
            changes.map(|lot| lot.delta.unsigned_abs()).sum::<u64>()
        };
        let review = match (change, kind) {
            (HeldChange::Begins(..), _) => (Review::Held, moved(Movement::Grant)),
            // A release takes the units out of one lot and puts them into another.
            (HeldChange::Ends(_), CommandKind::Operate(operation)) => match operation.order {
                OperatorOrder::Release(_) => (Review::Released, moved(Movement::Release) / 2),
                _ => (Review::Rejected, moved(Movement::Reverse)),
            },
            (HeldChange::Ends(_), _) => (Review::Returned, moved(Movement::Reverse)),
        };
        Self { over_velocity, review: Some(review) }
    }
}

impl CommandOutcome {
    /// As what a command that was decided just now is counted.
    #[must_use]
    pub fn counted(&self) -> Outcome {
        self.refusal().map_or(Outcome::Accepted, Outcome::Refused)
    }
}

/// A journal that counts and times what is appended to another.
pub struct MeteredJournal {
    /// The journal.
    pub journal: Arc<StoreJournal>,
    /// What is counted and timed.
    pub metrics: Arc<Metrics>,
    /// How long the journal is.
    pub size: Arc<JournalSize>,
    /// Time.
    pub clock: SharedClock,
}

impl Journal for MeteredJournal {
    fn append(&self, frames: &[Frame]) -> Result<(), JournalError> {
        let began_ns = self.clock.monotonic_ns();
        let gathered_ns = self.metrics.commit_began_ns.get();
        if gathered_ns != 0 {
            self.metrics.stages.encode.record_ns(began_ns - gathered_ns);
        } else {
            self.metrics.commit_began_ns.set(began_ns.max(1));
        }
        self.journal.append(frames)?;
        self.metrics.stages.sync.record_ns(self.clock.monotonic_ns() - began_ns);
        self.metrics.commit_began_ns.set(0);
        self.metrics.commit_frames.record(frames.len() as u64);
        self.metrics.commit_records.record(frames.iter().map(|frame| u64::from(frame.record_count)).sum());
        self.metrics.commit_bytes.record(self.size.appended(frames));
        Ok(())
    }

    fn read(&self, from: Position, visit: &mut VisitFrame<'_>) -> Result<(), JournalError> {
        self.journal.read(from, visit)
    }

    fn end(&self) -> Result<(Position, FrameHash), JournalError> {
        self.journal.end()
    }

    fn fence(&self, epoch: u64) -> Result<(), JournalError> {
        self.journal.fence(epoch)
    }
}
