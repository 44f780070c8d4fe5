//! What is remembered of credentials that have a limit of their own, by whose they are.
//!
//! What must stay true: one credential has one of each kind, over however many connections it comes; what is remembered is
//! bounded.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock as _, Reference as _};
use governor::nanos::Nanos;

use super::grant::Role;
use super::keys::KeyId;
use crate::clock::SharedClock;
use crate::limits;

/// The clock of limiters.
#[derive(Clone)]
pub(super) struct Monotonic(pub SharedClock);

impl governor::clock::Clock for Monotonic {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(u64::try_from(self.0.monotonic_ns()).unwrap_or(0))
    }
}

/// Whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Metered {
    /// A key, or the certificate that stands for it.
    Key(KeyId),
    /// The subject of tokens, in one of its roles: each has limits of its own.
    Token(Role, Box<str>),
}

impl Metered {
    /// The key, if it is one.
    pub(super) fn key(&self) -> Option<KeyId> {
        match self {
            Self::Key(id) => Some(*id),
            Self::Token(..) => None,
        }
    }
}

/// Something that counts what a credential asks for.
pub(super) trait Counting {
    /// Whether it has been at rest for so long that a new one would say the same.
    fn is_rested(&self) -> bool;
}

/// When something counted last.
pub(super) struct LastUse {
    clock: Monotonic,
    at_ns: AtomicI64,
}

impl LastUse {
    /// It has counted nothing yet.
    pub(super) fn never(clock: Monotonic) -> Self {
        Self { clock, at_ns: AtomicI64::new(0) }
    }

    /// It counts now.
    pub(super) fn note(&self) {
        self.at_ns.store(self.clock.0.monotonic_ns(), Ordering::Relaxed);
    }

    /// Whether its burst has come back since, at so many in each period.
    pub(super) fn is_longer_ago_than(&self, burst: NonZeroU32, per_period: NonZeroU32, period: Duration) -> bool {
        let used = Nanos::new(u64::try_from(self.at_ns.load(Ordering::Relaxed)).unwrap_or(0));
        let rested = period * (burst.get() / per_period.get()).saturating_add(1);
        self.clock.now().duration_since(used) > Nanos::from(rested)
    }
}

/// What counts for each credential that was seen lately.
#[derive(Debug)]
pub(super) struct Remembered<T> {
    by: Mutex<HashMap<Metered, Arc<T>>>,
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self { by: Mutex::default() }
    }
}

impl<T: Counting> Remembered<T> {
    /// What counts for a credential: the one that is known if it is fit, or else one made now.
    pub(super) fn of(&self, metered: Metered, is_fit: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> Arc<T> {
        let mut by = self.by.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = by.get(&metered).filter(|known| is_fit(known)) {
            return known.clone();
        }
        if by.len() >= limits::METERS_MAX {
            // What no connection remembers and has rested says nothing that a new one would not.
            by.retain(|_, one| Arc::strong_count(one) > 1 || !one.is_rested());
        }
        if by.len() >= limits::METERS_MAX {
            by.retain(|_, one| Arc::strong_count(one) > 1);
        }
        let made = Arc::new(make());
        by.insert(metered, made.clone());
        made
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
