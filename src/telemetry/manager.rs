//! Word to the service manager: ready, stopping, and a sign of life for as long as the commit path makes progress.
//!
//! Where nobody listens (no `NOTIFY_SOCKET`) all of this does nothing.
//!
//! What must stay true: the manager hears `READY=1` only when calls are served; a process whose commits hang, or whose
//! workers no longer take what waits for them, is no longer reported alive, and the manager starts it anew.

use std::sync::Weak;
use std::time::Duration;

use sd_notify::NotifyState;

use super::Telemetry;
use crate::shard::engine::Engine;

/// A long recovery asks for so much more time, again and again.
const RECOVERY_EXTENSION: Duration = Duration::from_secs(30);
/// Looks at the commit path in the time that the manager waits for a sign of life.
const LOOKS_PER_INTERVAL: u32 = 4;

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

/// Calls are served.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// No new calls are taken.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("finishing the calls under way")]);
}

/// The start is given up before any call was served.
pub fn giving_up() {
    tell(&[NotifyState::Stopping, NotifyState::Status("giving the start up")]);
}

/// Recovery goes on: the start may take longer.
pub fn recovering(status: &str) {
    let extension_us = u32::try_from(RECOVERY_EXTENSION.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::ExtendTimeoutUsec(extension_us), NotifyState::Status(status)]);
}

/// What of the commit path is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// When the commit under way began; 0 when none is.
    commit_began_ns: i64,
    /// Of each worker: jobs that wait, and jobs done so far.
    workers: Vec<(usize, u64)>,
}

impl Look {
    /// Looks at a ledger.
    #[must_use]
    pub fn at(engine: &Engine) -> Self {
        let jobs = engine.metrics.workers.iter().map(|worker| worker.jobs.get());
        Self {
            commit_began_ns: engine.metrics.commit_began_ns.get(),
            workers: engine.queue_lengths().into_iter().zip(jobs).collect(),
        }
    }

    /// Whether something has moved since the look before, or there is nothing to move.
    #[must_use]
    pub fn shows_progress_since(&self, before: &Self) -> bool {
        let same_commit = self.commit_began_ns != 0 && self.commit_began_ns == before.commit_began_ns;
        let stuck = |((waiting, done), (waited, done_before)): (&(usize, u64), &(usize, u64))| {
            *waiting > 0 && *waited > 0 && done == done_before
        };
        !same_commit && !self.workers.iter().zip(&before.workers).any(stuck)
    }
}

/// Gives signs of life for as long as the ledger exists and moves, if the manager asks for them.
pub fn watch(telemetry: &Telemetry) {
    let Some(interval) = sd_notify::watchdog_enabled() else { return };
    let Some(engine) = telemetry.sources.get().map(|sources| sources.engine.clone()) else { return };
    let pause = interval / LOOKS_PER_INTERVAL;
    let begun = std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || give_signs(&engine, pause));
    if let Err(error) = begun {
        tracing::error!(%error, "no thread for the watchdog: the service manager will end this process");
    }
}

fn give_signs(engine: &Weak<Engine>, pause: Duration) {
    let mut before = Look::default();
    while let Some(engine) = engine.upgrade() {
        let look = Look::at(&engine);
        // Held while asleep it would keep the store open.
        drop(engine);
        if look.shows_progress_since(&before) {
            tell(&[NotifyState::Watchdog]);
        } else {
            tracing::warn!(?look, "the commit path has not moved");
        }
        before = look;
        std::thread::sleep(pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(commit_began_ns: i64, workers: &[(usize, u64)]) -> Look {
        Look { commit_began_ns, workers: workers.to_vec() }
    }

    #[test]
    fn a_path_that_moves_or_rests_shows_progress_and_one_that_hangs_does_not() {
        let rows = [
            ("at rest", look(0, &[(0, 5)]), look(0, &[(0, 5)]), true),
            ("a new commit", look(7, &[(0, 5)]), look(9, &[(0, 5)]), true),
            ("a commit that ended", look(7, &[(0, 5)]), look(0, &[(0, 5)]), true),
            ("the same commit", look(7, &[(0, 5)]), look(7, &[(0, 6)]), false),
            ("a worker that works", look(0, &[(3, 5)]), look(0, &[(9, 6)]), true),
            ("a worker that has just been given something", look(0, &[(0, 5)]), look(0, &[(1, 5)]), true),
            ("a worker that hangs", look(0, &[(0, 0), (3, 5)]), look(0, &[(0, 4), (3, 5)]), false),
            ("the first look", Look::default(), look(7, &[(3, 5)]), true),
        ];
        for (what, before, now, expected) in rows {
            assert_eq!(now.shows_progress_since(&before), expected, "{what}");
        }
    }
}
