//! Issuing and revoking keys: journaled and durable before anybody learns of it.
//!
//! What must stay true: one change at a time; a change is in the log of keys before its record counts as settled, so
//! that a snapshot that begins behind the record has it; a key works, and a revoked one does not, when this returns.

use crossbeam::channel::bounded;

use super::committer::Submitted;
use super::control::OnDurable;
use super::engine::Engine;
use super::proposing::verdict_of;
use crate::access::keys::{KeyChange, KeyError, Keys};
use crate::access::proposals::Verdict;
use crate::journal::record::Record;
use crate::ledger::types::Position;

/// Why the keys were not changed. `Display` is a sentence without its full stop.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// It does not fit. Nothing was journaled.
    #[error(transparent)]
    Unfit(#[from] KeyError),
    /// The ledger is stopping or has failed; what became of the change is known after the restart.
    #[error("the ledger is stopping")]
    Stopping,
    /// No random numbers are to be had. Nothing was journaled.
    #[error("the operating system gives no random numbers: {0}")]
    Random(String),
}

impl Engine {
    /// Changes the keys, and returns when that is durable and in force. Blocks for a sync. `None` when `draft` finds
    /// nothing to change. A second person's verdict goes before the change, in the same commit.
    ///
    /// # Errors
    /// When the change does not fit, or the ledger is stopping.
    ///
    /// # Panics
    /// When another holder of a lock panicked.
    pub fn change_keys(
        &self,
        draft: impl FnOnce(&Keys) -> Result<Option<KeyChange>, KeyError>,
        confirmed: Option<Verdict>,
    ) -> Result<Option<Position>, ChangeError> {
        let _changing = self.shared.keys.change();
        let change = self.shared.keys.look(|keys| {
            let change = draft(keys)?;
            change.as_ref().map_or(Ok(()), |change| keys.check(change))?;
            Ok::<_, KeyError>(change)
        })?;
        let Some(change) = change else { return Ok(None) };
        let (told, durable) = bounded(1);
        let shared = self.shared.clone();
        let record = Record::Key(change.clone());
        let on_durable = Box::new(move |position| {
            let applied = shared.keys.apply(position, change);
            applied.expect("nobody else changed the keys since the check");
            // Whoever asked may have gone.
            let _ = told.send(position);
        });
        let verdict = confirmed.map(|verdict| verdict_of(&self.shared, verdict));
        self.control.push_all(verdict.into_iter().chain([(record, Some(on_durable as OnDurable))]));
        self.submit.send(Submitted { worker: None, chunk: None }).map_err(|_| ChangeError::Stopping)?;
        durable.recv().map(Some).map_err(|_| ChangeError::Stopping)
    }
}
