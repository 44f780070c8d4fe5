//! Publishing a version of the programme: journaled, durable and taken over by every worker before a command stamped at
//! or after its effective time is decided.
//!
//! What must stay true: one publication at a time; while one is under way, commands stamped at or after its effective
//! time wait at the edge (the gate); the gate opens only when every worker has the version, or when the attempt failed
//! before anything was journaled; a version with another time zone takes effect after the date of every receipt that has
//! earned, for which the gate closes by its notice earlier; a publication is known to snapshots and its id to the index before its record counts
//! as settled.

use std::sync::atomic::Ordering;
use std::sync::{Arc, RwLock};

use crossbeam::channel::bounded;

use super::committer::Submitted;
use super::control::{Control, OnDurable};
use super::engine::Engine;
use super::job::Job;
use super::proposing::verdict_of;
use super::worker::Shared;
use crate::access::proposals::Verdict;
use crate::ids::IdHasher;
use crate::journal::dictionary::{Definitions, Dictionary};
use crate::journal::record::{Publication, Record};
use crate::ledger::program::Program;
use crate::ledger::types::{Position, ProgramVersion, SymbolId, TimestampNs};
use crate::limits;
use crate::program::registry::{AppendError, Programs};
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
    /// The caller's id of the publication; empty for the operator who starts the server. Whoever names one holds the
    /// claim on it and gives it up afterwards: by then the index has the id.
    pub transaction_id: Box<str>,
    /// Who publishes, as the credential says; empty for the operator who starts the server.
    pub actor: Box<str>,
    /// The second person's verdict, which goes before the publication in the same commit.
    pub confirmed: Option<Verdict>,
}

/// Why a version was not published. Nothing was journaled.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The file has errors.
    #[error("the programme has {} problems", .0.len())]
    Problems(Vec<Problem>),
    /// Not after everything that was stamped so far and after the version before.
    #[error("the effective time must lie after {}", .earliest.shown())]
    TooEarly {
        /// The instant after which a version can take effect, in nanoseconds since the Unix epoch.
        earliest: TimestampNs,
    },
    /// It changes the time zone, and receipts of its first moments may have earned already, dated ahead.
    #[error(
        "the effective time of a version that changes `time_zone` must lie after {}: receipts that are dated up to \
         then may have earned, and would get another business day",
        .earliest.shown()
    )]
    ZoneTooSoon {
        /// The instant after which the version can take effect, in nanoseconds since the Unix epoch.
        earliest: TimestampNs,
    },
    /// A version that is to take effect as soon as can be would come after one that is scheduled for later.
    #[error(
        "version {version} is to take effect at {}, and a further one only after it: state an effective time",
        .effective_at.shown()
    )]
    Scheduled {
        /// The scheduled version.
        version: ProgramVersion,
        /// When it takes effect, in nanoseconds since the Unix epoch.
        effective_at: TimestampNs,
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

/// What of a ledger a publication reads and writes before it is durable. The engine and the simulator publish through
/// it.
#[derive(Clone, Copy)]
pub struct Press<'a> {
    /// Strings and items.
    pub dictionary: &'a Arc<Dictionary>,
    /// Records of the control shard.
    pub control: &'a Control,
    /// The versions that every worker has.
    pub programs: &'a Programs,
    /// The publications that are durable.
    pub publications: &'a Arc<RwLock<Vec<(Position, Publication)>>>,
    /// The id index.
    pub shared: &'a Arc<Shared>,
    /// Hashes ids as the index does.
    pub hasher: &'a IdHasher,
}

impl Press<'_> {
    /// Compiles the next version. `now` is the time of the clock, `stamped` the latest stamp that was given.
    ///
    /// # Errors
    /// When the file has problems, the version does not fit, or the time is too early. Nothing is journaled then, but
    /// strings of the file may have got numbers.
    pub fn prepare(
        &self,
        draft: Draft,
        now: TimestampNs,
        stamped: TimestampNs,
    ) -> Result<(Arc<Program>, Publication), PublishError> {
        let latest = self.programs.latest();
        let clock = if self.shared.clock_is_input { stamped } else { now.max(stamped) };
        if let Some(latest) = latest {
            let earliest = clock.max(latest.effective_at);
            if draft.effective_at <= earliest {
                return Err(PublishError::TooEarly { earliest });
            }
        }
        let version = latest.map_or(1, |latest| latest.version.0 + 1);
        if version > limits::PROGRAM_VERSIONS_MAX {
            return Err(PublishError::TooMany);
        }
        let symbols = &mut Interning { dictionary: self.dictionary, definitions: self.control };
        let program = compile(&draft.source, ProgramVersion(version), draft.effective_at, symbols)
            .map(Arc::new)
            .map_err(PublishError::Problems)?;
        self.programs.check_next(&program)?;
        if let Some(notice_ns) = self.programs.notice_ns(&program) {
            let earliest = TimestampNs(clock.0.saturating_add(notice_ns));
            if draft.effective_at <= earliest {
                return Err(PublishError::ZoneTooSoon { earliest });
            }
        }
        let publication = Publication {
            version: program.version,
            effective_at: draft.effective_at,
            posted_at: now,
            partner: draft.partner,
            transaction_id: draft.transaction_id,
            source: draft.source.into(),
            actor: draft.actor,
        };
        Ok((program, publication))
    }

    /// Queues the record. When it is durable, its id enters the index and the publication is known, before anything
    /// takes the record for settled: a snapshot that begins behind the record has the version, and the index is
    /// complete up to there. Then `told` is called, on the committer's thread. The committer must be woken by the
    /// caller.
    ///
    /// # Panics
    /// When a holder of a lock panicked.
    pub fn journal(
        &self,
        publication: Publication,
        confirmed: Option<Verdict>,
        told: impl FnOnce(Position) + Send + 'static,
    ) {
        let (publications, shared) = (self.publications.clone(), self.shared.clone());
        let (hasher, dictionary) = (self.hasher.clone(), self.dictionary.clone());
        let record = Record::Program(publication.clone());
        let on_durable = Box::new(move |position| {
            enter_publication(&shared.ids, &hasher, &dictionary, position, &publication);
            publications.write().expect("no holder panics").push((position, publication));
            told(position);
        });
        let verdict = confirmed.map(|verdict| verdict_of(self.shared, verdict));
        self.control.push_all(verdict.into_iter().chain([(record, Some(on_durable as OnDurable))]));
    }
}

impl Engine {
    /// Publishes a version and returns when every worker uses it. Blocks for a sync. The transaction id, if there is one,
    /// is in the index when this returns: a caller that holds a claim on it only releases the claim.
    ///
    /// # Errors
    /// When the file has problems, the time is too early, or the ledger is stopping.
    ///
    /// # Panics
    /// When another holder of a lock panicked.
    pub fn publish(&self, draft: Draft) -> Result<(Arc<Program>, Position), PublishError> {
        let _publishing = self.publishing.lock().expect("no holder panics");
        // Checked against a table of its own first: a file with problems leaves no names behind.
        let symbols = &mut crate::program::SymbolTable::new();
        let program = compile(&draft.source, ProgramVersion(1), draft.effective_at, symbols);
        let program = program.map_err(PublishError::Problems)?;
        let notice_ns = self.with_programs(|programs| programs.notice_ns(&program)).unwrap_or(0);
        self.publish_gate.store(draft.effective_at.0.saturating_sub(notice_ns), Ordering::SeqCst);
        let published = self.publish_behind_gate(draft);
        self.publish_gate.store(i64::MAX, Ordering::SeqCst);
        published
    }

    /// Publishes a version that takes effect as soon as can be: the first of a directory since ever, a later one just
    /// after everything that was stamped so far, or where it changes the time zone when its notice is over. With the
    /// system's clock it has taken effect when this returns, unless that clock was set back or the notice is long. The
    /// draft's own time is not looked at.
    ///
    /// # Errors
    /// As [`Engine::publish`], and where a version is scheduled for later.
    ///
    /// # Panics
    /// When another holder of a lock panicked.
    pub fn publish_soon(&self, draft: Draft) -> Result<(Arc<Program>, Position), PublishError> {
        let published = self.publish_next(draft)?;
        self.await_effect(&published.0);
        Ok(published)
    }

    /// As [`Engine::publish_soon`], but returns when the version is durable and every worker has it: for whoever keeps others
    /// waiting, and lets them on before it waits for the effect with [`Engine::await_effect`].
    ///
    /// # Errors
    /// As [`Engine::publish_soon`].
    ///
    /// # Panics
    /// When another holder of a lock panicked.
    pub fn publish_next(&self, mut draft: Draft) -> Result<(Arc<Program>, Position), PublishError> {
        let (mut margin_ns, mut least) = (1_000_000, TimestampNs(i64::MIN));
        loop {
            let latest =
                self.with_programs(|programs| programs.latest().map(|latest| (latest.version, latest.effective_at)));
            draft.effective_at = match latest {
                None => TimestampNs(i64::MIN),
                Some((version, effective_at)) if !self.is_near(effective_at) => {
                    return Err(PublishError::Scheduled { version, effective_at });
                }
                Some((_, latest)) => TimestampNs(self.earliest_effect(latest.max(least)).0.saturating_add(margin_ns)),
            };
            match self.publish(draft.clone()) {
                // Commands were stamped, or time went by, while the version was being checked.
                Err(PublishError::TooEarly { .. }) if margin_ns < SOON_NS_MAX => margin_ns *= 4,
                Err(PublishError::ZoneTooSoon { earliest }) if margin_ns < SOON_NS_MAX => {
                    (margin_ns, least) = (margin_ns * 4, earliest);
                }
                published => return published,
            }
        }
    }

    /// Whether the system's clock reaches an instant soon; an input clock may never reach it, and is not asked.
    fn is_near(&self, at: TimestampNs) -> bool {
        self.identity.clock_is_input || at.0 <= self.clock.now().0.saturating_add(SOON_NS_MAX)
    }

    /// Waits until a version takes effect by the system's clock, if that is near, and no longer than the ledger runs.
    pub fn await_effect(&self, program: &Program) {
        let at = program.effective_at;
        let is_to_come = || self.clock.now() < at && self.is_near(at) && !self.is_stopping();
        while !self.identity.clock_is_input && is_to_come() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    /// The instant after which a version that follows one of `latest` can take effect.
    fn earliest_effect(&self, latest: TimestampNs) -> TimestampNs {
        let stamped = self.latest_stamp();
        let clock = if self.identity.clock_is_input { stamped } else { self.clock.now().max(stamped) };
        clock.max(latest)
    }

    fn publish_behind_gate(&self, draft: Draft) -> Result<(Arc<Program>, Position), PublishError> {
        let programs = self.programs();
        let press = Press {
            dictionary: &self.dictionary,
            control: &self.control,
            programs: &programs,
            publications: &self.publications,
            shared: &self.shared,
            hasher: &self.hasher,
        };
        let stamped = self.latest_stamp();
        let confirmed = draft.confirmed.clone();
        let (program, publication) = press.prepare(draft, self.clock.now(), stamped)?;
        let (told, durable) = bounded(1);
        press.journal(publication, confirmed, move |position| {
            // Whoever published may have gone.
            let _ = told.send(position);
        });
        self.submit.send(Submitted { worker: None, chunk: None }).map_err(|_| PublishError::Stopping)?;
        let position = durable.recv().map_err(|_| PublishError::Stopping)?;
        self.hand_out(&program)?;
        let appended = Arc::make_mut(&mut *self.programs.write().expect("no holder panics")).append(program.clone());
        appended.expect("version and effective time were checked against the latest");
        Ok((program, position))
    }

    fn hand_out(&self, program: &Arc<Program>) -> Result<(), PublishError> {
        let (told, taken_over) = bounded(self.seats.len());
        for seat in &self.seats {
            let told = told.clone();
            let reply = Box::new(move |()| {
                let _ = told.send(());
            });
            seat.send(Job::Publish(program.clone(), reply)).map_err(|_| PublishError::Stopping)?;
        }
        drop(told);
        for _ in &self.seats {
            taken_over.recv().map_err(|_| PublishError::Stopping)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_instants_as_people_write_them() {
        let at = TimestampNs(1_798_761_600_000_000_001);
        let refusals = [
            PublishError::TooEarly { earliest: at },
            PublishError::ZoneTooSoon { earliest: at },
            PublishError::Scheduled { version: ProgramVersion(2), effective_at: at },
            PublishError::Unfit(AppendError::NotLater { latest: at, got: TimestampNs(0) }),
        ];
        for refusal in refusals {
            let message = refusal.to_string();
            assert!(message.contains(" 2027-01-01T00:00:00.000000001Z"), "{message}");
        }
        // The first version of a directory may judge since ever.
        assert!(TimestampNs(i64::MIN).shown().starts_with("1677-09-21T"), "{}", TimestampNs(i64::MIN).shown());
    }
}
