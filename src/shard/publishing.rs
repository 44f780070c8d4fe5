//! Publishing a version of the programme: journaled, durable and taken over by every worker before a command stamped at
//! or after its effective time is decided.
//!
//! What must stay true: one publication at a time; while one is under way, commands stamped at or after its effective
//! time wait at the edge (the gate); the gate opens only when every worker has the version, or when the attempt failed
//! before anything was journaled.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam::channel::bounded;

use super::committer::Submitted;
use super::engine::Engine;
use super::job::Job;
use crate::journal::dictionary::{Definitions, Dictionary};
use crate::journal::record::{Publication, Record};
use crate::ledger::program::Program;
use crate::ledger::types::{Position, ProgramVersion, SymbolId, TimestampNs};
use crate::limits;
use crate::program::registry::AppendError;
use crate::program::{Problem, Symbols, SymbolsFull, compile};
use crate::recovery::enter_publication;

/// A version that is to take effect as soon as can be is tried with times up to so far ahead.
const SOON_NS_MAX: i64 = 10_000_000_000;

/// What is to be published.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The programme file.
    pub source: String,
    /// From when on it judges; the first version of a directory may judge since ever.
    pub effective_at: TimestampNs,
    /// Who publishes.
    pub partner: SymbolId,
    /// The caller's id of the publication; empty for the operator who starts the server.
    pub transaction_id: Box<str>,
}

/// Why a version was not published. Nothing was journaled.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The file has errors.
    #[error("the programme has {} problems", .0.len())]
    Problems(Vec<Problem>),
    /// Not after everything that was stamped so far and after the version before.
    #[error("the effective time must lie after {earliest}")]
    TooEarly {
        /// The instant after which a version can take effect, in nanoseconds since the Unix epoch.
        earliest: TimestampNs,
    },
    /// The version does not fit the ones before it.
    #[error(transparent)]
    Unfit(#[from] AppendError),
    /// No further version fits.
    #[error("the data directory already holds {} versions", limits::PROGRAM_VERSIONS_MAX)]
    TooMany,
    /// The ledger is stopping or has failed; what became of the publication is known after the restart.
    #[error("the ledger is stopping")]
    Stopping,
}

/// Gives new numbers through the live dictionary.
struct Interning<'a> {
    dictionary: &'a Dictionary,
    definitions: &'a dyn Definitions,
}

impl Symbols for Interning<'_> {
    fn intern(&mut self, text: &str) -> Result<SymbolId, SymbolsFull> {
        self.dictionary.intern(text, self.definitions).map_err(|_| SymbolsFull)
    }
}

impl Engine {
    /// Publishes a version and returns when every worker uses it. Blocks for a sync.
    ///
    /// # Errors
    /// When the file has problems, the time is too early, or the ledger is stopping.
    ///
    /// # Panics
    /// When another holder of a lock panicked.
    pub fn publish(&self, draft: Draft) -> Result<(Arc<Program>, Position), PublishError> {
        let _publishing = self.publishing.lock().expect("no holder panics");
        // Checked against a table of its own first: a file with problems leaves no names behind.
        compile(&draft.source, ProgramVersion(1), draft.effective_at, &mut crate::program::SymbolTable::new())
            .map_err(PublishError::Problems)?;
        let latest = self.programs.read().expect("no holder panics").latest().cloned();
        self.publish_gate.store(draft.effective_at.0, Ordering::SeqCst);
        let published = self.publish_behind_gate(draft, latest.as_deref());
        self.publish_gate.store(i64::MAX, Ordering::SeqCst);
        published
    }

    /// Publishes a version that takes effect as soon as can be: the first of a directory since ever, a later one just
    /// after everything that was stamped so far. With the system's clock it has taken effect when this returns. The
    /// draft's own time is not looked at.
    ///
    /// # Errors
    /// As [`Engine::publish`].
    ///
    /// # Panics
    /// When another holder of a lock panicked.
    pub fn publish_soon(&self, mut draft: Draft) -> Result<(Arc<Program>, Position), PublishError> {
        let mut margin_ns = 1_000_000;
        loop {
            let latest = self.with_programs(|programs| programs.latest().map(|latest| latest.effective_at));
            draft.effective_at = match latest {
                None => TimestampNs(i64::MIN),
                Some(latest) => TimestampNs(self.earliest_effect(latest).0.saturating_add(margin_ns)),
            };
            match self.publish(draft.clone()) {
                // Commands were stamped, or time went by, while the version was being checked.
                Err(PublishError::TooEarly { .. }) if margin_ns < SOON_NS_MAX => margin_ns *= 4,
                published => {
                    if published.is_ok() {
                        self.wait_until(draft.effective_at);
                    }
                    return published;
                }
            }
        }
    }

    /// Waits for an instant of the system's clock that is near; an input clock may never reach it.
    fn wait_until(&self, at: TimestampNs) {
        while !self.identity.clock_is_input && self.clock.now() < at {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    /// The instant after which a version that follows one of `latest` can take effect.
    fn earliest_effect(&self, latest: TimestampNs) -> TimestampNs {
        let stamped = TimestampNs(self.latest_stamp.load(Ordering::SeqCst));
        let clock = if self.identity.clock_is_input { stamped } else { self.clock.now().max(stamped) };
        clock.max(latest)
    }

    fn publish_behind_gate(
        &self,
        draft: Draft,
        latest: Option<&Program>,
    ) -> Result<(Arc<Program>, Position), PublishError> {
        let now = self.clock.now();
        if let Some(latest) = latest {
            let earliest = self.earliest_effect(latest.effective_at);
            if draft.effective_at <= earliest {
                return Err(PublishError::TooEarly { earliest });
            }
        }
        let version = latest.map_or(1, |latest| latest.version.0 + 1);
        if version > limits::PROGRAM_VERSIONS_MAX {
            return Err(PublishError::TooMany);
        }
        let symbols = &mut Interning { dictionary: &self.dictionary, definitions: &*self.control };
        let program = compile(&draft.source, ProgramVersion(version), draft.effective_at, symbols)
            .map(Arc::new)
            .map_err(PublishError::Problems)?;
        self.programs.read().expect("no holder panics").check_next(&program)?;
        let publication = Publication {
            version: program.version,
            effective_at: draft.effective_at,
            posted_at: now,
            partner: draft.partner,
            transaction_id: draft.transaction_id,
            source: draft.source.into(),
        };
        let position = self.make_durable(&publication)?;
        self.hand_out(&program)?;
        self.publications.write().expect("no holder panics").push((position, publication));
        let appended = self.programs.write().expect("no holder panics").append(program.clone());
        appended.expect("version and effective time were checked against the latest");
        Ok((program, position))
    }

    /// Journals the publication; returns its position when it is durable.
    fn make_durable(&self, publication: &Publication) -> Result<Position, PublishError> {
        let (told, durable) = bounded(1);
        let (shared, dictionary, hasher) = (self.shared.clone(), self.dictionary.clone(), self.hasher.clone());
        let entered = Publication { source: Box::default(), ..publication.clone() };
        let on_durable = Box::new(move |position| {
            enter_publication(&shared.ids, &hasher, &dictionary, position, &entered);
            // Whoever published may have gone.
            let _ = told.send(position);
        });
        self.control.push(&Record::Program(publication.clone()), Some(on_durable));
        self.submit.send(Submitted { worker: None, chunk: None }).map_err(|_| PublishError::Stopping)?;
        durable.recv().map_err(|_| PublishError::Stopping)
    }

    fn hand_out(&self, program: &Arc<Program>) -> Result<(), PublishError> {
        let (told, taken_over) = bounded(self.queues.len());
        for queue in &self.queues {
            let told = told.clone();
            let reply = Box::new(move |()| {
                let _ = told.send(());
            });
            queue.send(Job::Publish(program.clone(), reply)).map_err(|_| PublishError::Stopping)?;
        }
        drop(told);
        for _ in &self.queues {
            taken_over.recv().map_err(|_| PublishError::Stopping)?;
        }
        Ok(())
    }
}
