//! Freezing and thawing: journaled, durable and known to every worker before a command stamped at or after its instant is
//! decided.
//!
//! What must stay true:
//! - one change at a time, and none while a version of the programme is published: both use the gate;
//! - while a change is made nothing is decided, and its instant lies after everything that was posted before: so of two
//!   commands, one decided without a freeze and one with it, the first is posted before its instant and the second not,
//!   whatever the machine's clock does, and whatever was stamped and not posted;
//! - no change has a shard post more than [`limits::FREEZE_AHEAD_NS_MAX`] later than it would without it;
//! - where nothing is frozen a command costs one look at one number.

use std::sync::RwLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crossbeam::channel::bounded;

use super::committer::Submitted;
use super::control::{Control, OnDurable};
use super::engine::Engine;
use super::proposing::verdict_of;
use crate::access::proposals::Verdict;
use crate::cells::assert_none_held;
use crate::journal::record::Record;
use crate::ledger::command::Command;
use crate::ledger::decision::Refusal;
use crate::ledger::freeze::{FreezeChange, FreezeError, Freezes, Subject};
use crate::ledger::types::{Position, TimestampNs};
use crate::limits;

/// The longest pause between two changes.
const PAUSE_NS_MAX: i64 = 50_000_000;

/// The freezes of a running ledger.
#[derive(Debug)]
pub struct FreezeLog {
    freezes: RwLock<Freezes>,
    /// When the last change took effect, an even number; one more while anything is frozen.
    state: AtomicI64,
    clock_is_input: bool,
}

/// What a worker saw of the freezes at one look.
#[derive(Clone, Copy, Debug)]
pub struct Glance(i64);

impl FreezeLog {
    /// The freezes that recovery found. Where posting times come from the input, they are left as they come.
    #[must_use]
    pub fn new(freezes: Freezes, clock_is_input: bool) -> Self {
        let state = AtomicI64::new(state_of(&freezes));
        Self { freezes: RwLock::new(freezes), state, clock_is_input }
    }

    /// Looks at the freezes. Must be short.
    ///
    /// # Panics
    /// When a holder panicked.
    pub fn look<T>(&self, look: impl FnOnce(&Freezes) -> T) -> T {
        look(&self.freezes.read().expect("no holder panics"))
    }

    /// The state of this moment. What is decided with it is posted no earlier than [`FreezeLog::floor`].
    #[must_use]
    pub fn glance(&self) -> Glance {
        Glance(self.state.load(Ordering::Acquire))
    }

    /// The earliest posting time of what is decided now: a clock that was set back does not undo a freeze.
    #[must_use]
    pub fn floor(&self, glance: Glance) -> TimestampNs {
        #[cfg(feature = "broken-variants")]
        if crate::sim::broken::is(crate::sim::broken::Variant::FreezeUndoneByClock) {
            return TimestampNs(i64::MIN);
        }
        TimestampNs(if self.clock_is_input { i64::MIN } else { glance.0 & !1 })
    }

    /// Why a command is refused for a freeze.
    ///
    /// # Panics
    /// When the thread holds cells.
    #[must_use]
    pub fn refusal(&self, glance: Glance, command: &Command, posted_at: TimestampNs) -> Option<Refusal> {
        // Whoever digests the state looks at freezes and takes cells meanwhile, and a change waits for whoever looks.
        assert_none_held();
        if glance.0 & 1 == 0 && posted_at.0 >= glance.0 {
            return None;
        }
        self.look(|freezes| freezes.refusal(command, posted_at))
    }

    /// The instant of a change that is made now: after the clock, all that was posted and the change before. The clock does
    /// not count where posting times come from the input.
    #[must_use]
    pub fn next_instant(&self, now: TimestampNs, posted: TimestampNs) -> TimestampNs {
        let latest = self.look(Freezes::latest).map_or(i64::MIN, |latest| latest.0);
        let clock = if self.clock_is_input { i64::MIN } else { now.0 };
        let after = clock.max(posted.0).max(latest);
        TimestampNs(after.saturating_add(2) & !1)
    }

    /// By how much, in nanoseconds, a change at an instant has some shard post later than it would without it. `now` is
    /// before what none would post. `posted` is what each shard has come to in which anything was posted; the others lose
    /// nothing.
    fn delay_ns(&self, at: TimestampNs, now: TimestampNs, posted: &[TimestampNs]) -> i64 {
        if self.clock_is_input {
            return 0;
        }
        let of_all = [Some(now), posted.iter().copied().min(), self.look(Freezes::latest)];
        let without = of_all.into_iter().flatten().max().unwrap_or(now);
        at.0.saturating_sub(without.0)
    }

    /// Queues the record of a change that was checked; when it is durable the change is in force, and then `told` is
    /// called, on the committer's thread. The committer must be woken by the caller.
    ///
    /// # Panics
    /// When somebody else changed the freezes since the check.
    pub fn journal(
        log: &std::sync::Arc<super::worker::Shared>,
        control: &Control,
        change: FreezeChange,
        confirmed: Option<Verdict>,
        told: impl FnOnce(Position) + Send + 'static,
    ) {
        let shared = log.clone();
        let record = Record::Freeze(change.clone());
        let on_durable = Box::new(move |position| {
            let applied = shared.freezes.apply(position, change);
            applied.expect("nobody else changed the freezes since the check");
            told(position);
        });
        let verdict = confirmed.map(|verdict| verdict_of(log, verdict));
        control.push_all(verdict.into_iter().chain([(record, Some(on_durable as OnDurable))]));
    }

    fn apply(&self, position: Position, change: FreezeChange) -> Result<(), FreezeError> {
        let mut freezes = self.freezes.write().expect("no holder panics");
        freezes.apply(position, change)?;
        // Whoever sees the number finds the change.
        self.state.store(state_of(&freezes), Ordering::Release);
        Ok(())
    }
}

fn state_of(freezes: &Freezes) -> i64 {
    let latest = freezes.latest().map_or(i64::MIN, |latest| latest.0);
    (latest & !1) | i64::from(freezes.live_count() > 0)
}

/// A freeze or a thaw that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreezeDraft {
    /// What is to be frozen or thawed.
    pub subject: Subject,
    /// Whether it is to be frozen.
    pub freezes: bool,
    /// Who asks, as the credential says.
    pub by: Box<str>,
    /// Why: a code.
    pub reason_code: Box<str>,
    /// Why: a sentence.
    pub note: Box<str>,
    /// Whether it may be done without a second person.
    pub alone: bool,
}

impl FreezeDraft {
    /// The change that takes effect at an instant.
    #[must_use]
    pub fn at(self, at: TimestampNs) -> FreezeChange {
        let Self { subject, freezes, by, reason_code, note, alone: _ } = self;
        FreezeChange { subject, freezes, at, by, reason_code, note }
    }
}

/// Why nothing was frozen or thawed. `Display` is a sentence without its full stop.
#[derive(Debug, thiserror::Error)]
pub enum FreezingError {
    /// It does not fit. Nothing was journaled.
    #[error(transparent)]
    Unfit(#[from] FreezeError),
    /// It fits, and is not to be done without a second person. Nothing was journaled.
    #[error("a second person has to confirm it")]
    NotAlone,
    /// It would come so far ahead of the clock that all shards had to post later than they should. Nothing was journaled.
    #[error(
        "something was posted at {}, over an hour ahead of the clock, and everybody would have to follow",
        .posted.shown()
    )]
    TooFarAhead {
        /// The latest posting, in nanoseconds since the Unix epoch.
        posted: TimestampNs,
    },
    /// The ledger is stopping or has failed; what became of the change is known after the restart.
    #[error("the ledger is stopping")]
    Stopping,
}

impl Engine {
    /// Freezes or thaws, and returns when that is durable and honoured by every worker. Blocks for a sync, for which
    /// all workers wait. A second person's verdict goes before the change, in the same commit.
    ///
    /// # Errors
    /// When the change does not fit, would lie too far ahead, or the ledger is stopping.
    ///
    /// # Panics
    /// When another holder of a lock panicked.
    pub fn change_freezes(&self, draft: FreezeDraft, confirmed: Option<Verdict>) -> Result<Position, FreezingError> {
        let _changing = self.publishing.lock().expect("no holder panics");
        // At whatever instant: that is known when nobody posts any more, and for what does not fit nobody has to wait.
        let somewhen = draft.clone().at(TimestampNs(i64::MAX));
        self.shared.freezes.look(|freezes| freezes.check(&somewhen))?;
        // Judged while nobody else changes anything: a thaw that changes nothing yet must not wait for the freeze that it
        // undoes.
        if confirmed.is_none() && !draft.alone {
            return Err(FreezingError::NotAlone);
        }
        // What comes from now on waits at the edge, and not in the queues: they are soon empty, and the workers free. What has
        // waited there for the change before has announced its stamp, and waits for no further one.
        let begun_ns = self.clock.monotonic_ns();
        self.publish_gate.store(self.latest_stamp().0.saturating_add(1), Ordering::SeqCst);
        let changed = self.change_behind_gate(draft, confirmed);
        self.publish_gate.store(i64::MAX, Ordering::SeqCst);
        self.let_others_on(begun_ns);
        changed
    }

    /// Leaves workers and gate to everybody else for as long as a change that began then has had them, before the next may:
    /// one change after the other would leave nothing to those who wait.
    fn let_others_on(&self, begun_ns: i64) {
        let taken_ns = self.clock.monotonic_ns().saturating_sub(begun_ns);
        std::thread::sleep(Duration::from_nanos(taken_ns.clamp(0, PAUSE_NS_MAX).unsigned_abs()));
    }

    /// Keeps all workers from deciding until the change is in force. What was stamped and not decided is decided after it,
    /// and posted as is right then; of a stamp that comes to nothing nothing is left.
    fn change_behind_gate(&self, draft: FreezeDraft, confirmed: Option<Verdict>) -> Result<Position, FreezingError> {
        let kept: Option<Vec<_>> = self.seats.iter().map(|seat| seat.keep()).collect();
        let kept = kept.ok_or(FreezingError::Stopping)?;
        let posted: Vec<TimestampNs> = kept.iter().flat_map(|seat| seat.posting_times()).collect();
        let change = draft.at(self.instant_after(&posted)?);
        self.journal_freeze(change, confirmed)
    }

    /// When a change takes effect that is made while each shard has come to one of these times.
    fn instant_after(&self, posted: &[TimestampNs]) -> Result<TimestampNs, FreezingError> {
        let (freezes, now) = (&self.shared.freezes, self.clock.now());
        let latest = posted.iter().copied().max().unwrap_or(TimestampNs(i64::MIN));
        let at = freezes.next_instant(now, latest);
        let delay_ns = freezes.delay_ns(at, now.max(self.shared.cells.floor()), posted);
        if delay_ns > limits::FREEZE_AHEAD_NS_MAX {
            return Err(FreezingError::TooFarAhead { posted: latest });
        }
        Ok(at)
    }

    fn journal_freeze(&self, change: FreezeChange, confirmed: Option<Verdict>) -> Result<Position, FreezingError> {
        let at = change.at;
        let (told, durable) = bounded(1);
        FreezeLog::journal(&self.shared, &self.control, change, confirmed, move |position| {
            // Whoever asked may have gone.
            let _ = told.send(position);
        });
        self.submit.send(Submitted { worker: None, chunk: None }).map_err(|_| FreezingError::Stopping)?;
        let position = durable.recv().map_err(|_| FreezingError::Stopping)?;
        // What is posted at the instant counts as stamped: a version of the programme takes effect after it.
        self.latest_stamp.fetch_max(at.0, Ordering::SeqCst);
        Ok(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::Cells;
    use crate::ledger::command::{CommandKind, Redemption};
    use crate::ledger::types::{CellId, SymbolId};

    fn log(clock_is_input: bool, changes: &[(bool, i64)]) -> FreezeLog {
        let log = FreezeLog::new(Freezes::default(), clock_is_input);
        for (position, (freezes, at)) in (1..).zip(changes) {
            let draft = FreezeDraft {
                subject: Subject::Account("m1".into()),
                freezes: *freezes,
                by: "key:1".into(),
                reason_code: "r".into(),
                note: "".into(),
                alone: true,
            };
            log.apply(Position(position), draft.at(TimestampNs(*at))).expect("it fits");
        }
        log
    }

    fn refusal(log: &FreezeLog, at: i64) -> Option<Refusal> {
        let kind = CommandKind::Redeem(Redemption::default());
        let command = Command { account_id: "m1".to_owned(), kind, ..Command::default() };
        log.refusal(log.glance(), &command, TimestampNs(at))
    }

    #[test]
    fn the_number_says_whether_anything_is_frozen_and_since_when_it_is_so() {
        for (changes, frozen_at) in [(&[][..], 0), (&[(true, 10)], 3), (&[(true, 10), (false, 12)], 1)] {
            let log = log(false, changes);
            let count = (9..14).filter(|at| refusal(&log, *at) == Some(Refusal::AccountFrozen)).count();
            // From 10 on for as long as it lasts: 10 to 13, or 10 and 11.
            let expected = if frozen_at == 0 {
                0
            } else if frozen_at == 3 {
                4
            } else {
                2
            };
            assert_eq!(count, expected, "{changes:?}");
            let latest = changes.last().map_or(i64::MIN, |(_, at)| *at);
            assert_eq!(log.floor(log.glance()), TimestampNs(latest));
        }
        let of_input = log(true, &[(true, 10)]);
        assert_eq!(of_input.floor(of_input.glance()), TimestampNs(i64::MIN));
    }

    #[test]
    fn an_instant_is_even_and_later_than_all_that_was_posted() {
        let rows = [(5, 9, &[][..]), (9, 5, &[]), (5, 5, &[(true, 20)]), (6, 6, &[(true, 20), (false, 30)])];
        for (now, posted, changes) in rows {
            let log = log(false, changes);
            let at = log.next_instant(TimestampNs(now), TimestampNs(posted)).0;
            let latest = changes.last().map_or(i64::MIN, |(_, at)| *at);
            assert!(at % 2 == 0 && at > now && at > posted && at > latest, "{at}");
        }
        let of_input = log(true, &[]);
        assert_eq!(of_input.next_instant(TimestampNs(1_000), TimestampNs(7)), TimestampNs(8));
        assert!(of_input.next_instant(TimestampNs(1_000), TimestampNs(i64::MIN)) < TimestampNs(0));
    }

    #[test]
    fn a_change_delays_whoever_would_post_first_without_it() {
        // The instant, the clock, what shards have come to, the change before, and the delay.
        let rows = [
            (1_002, 1_000, &[][..], &[][..], 2),
            (1_002, 1_000, &[10, 1_000], &[], 2),
            // One shard is ahead: the clock is what the others go by.
            (9_002, 1_000, &[10, 9_000], &[], 8_002),
            // All are, or all are held there already by the change before.
            (9_002, 1_000, &[8_990, 9_000], &[], 12),
            (9_002, 1_000, &[10, 9_000], &[(true, 9_000)], 2),
        ];
        for (at, now, posted, changes, expected) in rows {
            let posted: Vec<TimestampNs> = posted.iter().copied().map(TimestampNs).collect();
            let delay_ns = log(false, changes).delay_ns(TimestampNs(at), TimestampNs(now), &posted);
            assert_eq!(delay_ns, expected, "{at} {now} {posted:?}");
        }
        let of_input = log(true, &[]);
        assert_eq!(of_input.delay_ns(TimestampNs(9_002), TimestampNs(1_000), &[TimestampNs(10)]), 0);
    }

    #[test]
    fn nobody_looks_at_freezes_who_holds_cells() {
        let (log, cells) = (log(false, &[]), Cells::default());
        let held = cells.hold(std::iter::once(CellId::whole(SymbolId(1))));
        let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| refusal(&log, 1)));
        assert!(looked.is_err(), "a change of the freezes could wait for it, and it for the change");
        drop(held);
        assert_eq!(refusal(&log, 1), None);
    }
}
