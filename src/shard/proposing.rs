//! Proposing an act to a second person, and settling what was proposed: journaled and durable before anybody learns of
//! it.
//!
//! What must stay true: one change at a time; a verdict that confirms is queued together with the change that it
//! confirms, so that a crash leaves both or neither; a change is in the log before its record counts as settled.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crossbeam::channel::bounded;

use super::committer::Submitted;
use super::control::OnDurable;
use super::engine::Engine;
use super::worker::Shared;
use crate::access::proposals::{Proposal, ProposalChange, ProposalError, Proposals, Verdict};
use crate::ids::{IdError, IdKey};
use crate::journal::record::Record;
use crate::ledger::types::Position;

/// The proposals of a running ledger.
#[derive(Debug, Default)]
pub struct ProposalLog {
    proposals: RwLock<Proposals>,
    changing: Mutex<()>,
    /// Proposals that somebody is about to settle.
    settling: Mutex<BTreeSet<u32>>,
}

/// The right to settle a proposal, until it is dropped.
pub struct Settling {
    shared: Arc<Shared>,
    number: u32,
}

impl Drop for Settling {
    fn drop(&mut self) {
        let settling = &self.shared.proposals.settling;
        settling.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

impl ProposalLog {
    /// The proposals that recovery found.
    #[must_use]
    pub fn new(proposals: Proposals) -> Self {
        Self { proposals: RwLock::new(proposals), ..Self::default() }
    }

    /// Looks at the proposals. Must be short.
    ///
    /// # Panics
    /// When a holder panicked.
    pub fn look<T>(&self, look: impl FnOnce(&Proposals) -> T) -> T {
        look(&self.proposals.read().expect("no holder panics"))
    }

    /// Whoever gets this may settle a proposal; nobody else until it is dropped. `None` while another has it.
    #[must_use]
    pub fn settle(shared: &Arc<Shared>, number: u32) -> Option<Settling> {
        let is_first = shared.proposals.settling.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
        is_first.then(|| Settling { shared: shared.clone(), number })
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().expect("no holder panics")
    }

    fn apply(&self, position: Position, change: ProposalChange) -> Result<(), ProposalError> {
        self.proposals.write().expect("no holder panics").apply(position, change)
    }
}

/// The record of a change that was checked, and what is to be done when it is durable. `told` is called at last. A verdict
/// is queued in front of what it confirms, by whoever has the right to settle the proposal.
#[must_use]
pub fn record_of(
    shared: &Arc<Shared>,
    change: ProposalChange,
    told: impl FnOnce() + Send + 'static,
) -> (Record, Option<OnDurable>) {
    let shared = shared.clone();
    let record = Record::Proposal(change.clone());
    let on_durable: OnDurable = Box::new(move |position| {
        let applied = shared.proposals.apply(position, change);
        applied.expect("nobody else changed what this is about since the check");
        told();
    });
    (record, Some(on_durable))
}

/// The record of a verdict that confirms.
#[must_use]
pub fn verdict_of(shared: &Arc<Shared>, verdict: Verdict) -> (Record, Option<OnDurable>) {
    record_of(shared, ProposalChange::Settled(verdict), || {})
}

/// Why nothing was proposed or settled. `Display` is a sentence without its full stop.
#[derive(Debug, thiserror::Error)]
pub enum ProposingError {
    /// It does not fit. Nothing was journaled.
    #[error(transparent)]
    Unfit(#[from] ProposalError),
    /// Whether it is done already cannot be looked up. Nothing was journaled.
    #[error(transparent)]
    Ids(#[from] IdError),
    /// The ledger is stopping or has failed; what became of the change is known after the restart.
    #[error("the ledger is stopping")]
    Stopping,
}

impl Engine {
    /// Proposes something, and returns when that is durable. Blocks for a sync. `draft` gets the number; where it finds
    /// that the same waits already it gives that instead. None where the id of what is asked for is used: it has been confirmed
    /// and done since the caller looked.
    ///
    /// # Errors
    /// When the proposal does not fit, the index of ids cannot be read, or the ledger is stopping.
    ///
    /// # Panics
    /// When another holder of a lock panicked.
    pub fn propose(
        &self,
        id: Option<IdKey>,
        draft: impl FnOnce(&Proposals, u32) -> Result<Proposal, u32>,
    ) -> Result<Option<u32>, ProposingError> {
        let _changing = self.shared.proposals.change();
        // What is confirmed has its id in the index before its verdict takes it off the list, and no verdict comes now.
        if let Some(id) = id
            && self.shared.ids.lookup(id)?.is_some_and(|entry| !entry.freed)
        {
            return Ok(None);
        }
        let change = self.shared.proposals.look(|proposals| {
            let drafted = draft(proposals, proposals.count().saturating_add(1));
            let change = drafted.map(|proposal| ProposalChange::Proposed(Box::new(proposal)));
            change.as_ref().map_or(Ok(()), |change| proposals.check(change)).map(|()| change)
        })?;
        let change = match change {
            Ok(change) => change,
            Err(waiting) => return Ok(Some(waiting)),
        };
        let ProposalChange::Proposed(proposal) = &change else { return Err(ProposingError::Stopping) };
        let number = proposal.number;
        self.journal_proposal(change)?;
        Ok(Some(number))
    }

    /// Does what a verdict confirms. `act` gets the verdict and queues it together with its change, or does neither.
    /// Nothing else is proposed or settled meanwhile: what runs out makes room for a further proposal, and must not be
    /// gone when the verdict comes. So `act` waits for the disk, and for nothing else.
    ///
    /// # Errors
    /// When the verdict does not fit.
    ///
    /// # Panics
    /// When another holder of a lock panicked.
    pub fn confirm<T>(&self, verdict: Verdict, act: impl FnOnce(&Self, Verdict) -> T) -> Result<T, ProposingError> {
        let _changing = self.shared.proposals.change();
        let change = ProposalChange::Settled(verdict);
        self.shared.proposals.look(|proposals| proposals.check(&change))?;
        let ProposalChange::Settled(verdict) = change else { return Err(ProposingError::Stopping) };
        Ok(act(self, verdict))
    }

    /// Settles a proposal that has no change of the control shard to go with: it is rejected, or its act is on record
    /// already. Blocks for a sync.
    ///
    /// # Errors
    /// When the verdict does not fit, or the ledger is stopping.
    ///
    /// # Panics
    /// When another holder of a lock panicked.
    pub fn settle(&self, verdict: Verdict) -> Result<(), ProposingError> {
        let _changing = self.shared.proposals.change();
        let change = ProposalChange::Settled(verdict);
        self.shared.proposals.look(|proposals| proposals.check(&change))?;
        self.journal_proposal(change)
    }

    fn journal_proposal(&self, change: ProposalChange) -> Result<(), ProposingError> {
        let (told, durable) = bounded(1);
        let tell = move || {
            // Whoever asked may have gone.
            let _ = told.send(());
        };
        self.control.push_all([record_of(&self.shared, change, tell)]);
        self.submit.send(Submitted { worker: None, chunk: None }).map_err(|_| ProposingError::Stopping)?;
        durable.recv().map_err(|_| ProposingError::Stopping)
    }
}
