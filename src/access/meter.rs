//! How much one credential may ask for: so many commands a second, and so many calls at a time.
//!
//! What must stay true: a credential has one meter, over however many connections it comes; a credential without a limit
//! has none, and costs nothing; what is remembered of credentials is bounded; nothing here waits.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock as _, Reference as _};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::grant::Role;
use super::keys::KeyId;
use crate::clock::SharedClock;
use crate::limits;
use crate::metrics::Metrics;

/// What a credential may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Commands and other calls a second, in the long run.
    pub per_second: NonZeroU32,
    /// So many at once after a rest. A batch is never larger.
    pub burst: NonZeroU32,
    /// Calls and streams at a time.
    pub concurrent: NonZeroU32,
}

/// What each role and single keys may ask for; what is not named may ask for anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    by_role: BTreeMap<u8, Rate>,
    by_key: BTreeMap<KeyId, Rate>,
}

impl RateLimits {
    /// Reads `till=50/100/8, key:0123456789abcdef=2000/4000/64`: a role or a key, then commands a second, how many at
    /// once, and how many calls at a time.
    ///
    /// # Errors
    /// What is wrong, as a sentence without its subject.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut limits = Self::default();
        if text == "off" {
            return Ok(limits);
        }
        for one in text.split(',').map(str::trim) {
            let (of, rate) =
                one.split_once('=').ok_or_else(|| format!("{one:?} says no rate, such as till=50/100/8"))?;
            let numbers: Option<Vec<NonZeroU32>> = rate.split('/').map(|number| number.parse().ok()).collect();
            let Some([per_second, burst, concurrent]) = numbers.as_deref() else {
                return Err(format!("{rate:?} is not three numbers, such as 50/100/8, each from 1"));
            };
            let rate = Rate { per_second: *per_second, burst: *burst, concurrent: *concurrent };
            let known = match (Role::from_name(of), of.strip_prefix("key:").and_then(KeyId::parse)) {
                (Some(role), _) => limits.by_role.insert(role.number(), rate),
                (None, Some(key)) => limits.by_key.insert(key, rate),
                (None, None) => return Err(format!("{of:?} is neither a role nor key: with 16 digits")),
            };
            if known.is_some() {
                return Err(format!("{of:?} is named twice"));
            }
        }
        Ok(limits)
    }

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_role.is_empty() && self.by_key.is_empty()
    }

    fn of(&self, role: Role, key: Option<KeyId>) -> Option<Rate> {
        let own = key.and_then(|key| self.by_key.get(&key));
        own.or_else(|| self.by_role.get(&role.number())).copied()
    }
}

/// As [`RateLimits::parse`] reads it.
impl fmt::Display for RateLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roles =
            self.by_role.iter().filter_map(|(role, rate)| Some((Role::from_number(*role)?.name().to_owned(), rate)));
        let keys = self.by_key.iter().map(|(key, rate)| (format!("key:{key}"), rate));
        for (index, (of, rate)) in roles.chain(keys).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{of}={}/{}/{}", rate.per_second, rate.burst, rate.concurrent)?;
        }
        if self.is_empty() { f.write_str("off") } else { Ok(()) }
    }
}

/// Why a credential has to wait, or can never have what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooMuch {
    /// Its rate is used up; so much later it is not.
    Rate(Duration),
    /// It has as many calls under way as it may.
    Concurrency,
    /// It asks for more at once than it ever may: so many.
    Burst(u32),
}

#[derive(Clone)]
struct Monotonic(SharedClock);

impl governor::clock::Clock for Monotonic {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(u64::try_from(self.0.monotonic_ns()).unwrap_or(0))
    }
}

/// What one credential has asked for lately.
pub struct Meter {
    limiter: RateLimiter<NotKeyed, InMemoryState, Monotonic, NoOpMiddleware<Nanos>>,
    clock: Monotonic,
    rate: Rate,
    under_way: AtomicU32,
    last_used_ns: AtomicI64,
    metrics: Arc<Metrics>,
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("rate", &self.rate).field("under_way", &self.under_way).finish_non_exhaustive()
    }
}

/// A call under way, until it is dropped.
#[derive(Debug)]
pub struct Permit(Arc<Meter>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Meter {
    fn new(rate: Rate, clock: &SharedClock, metrics: &Arc<Metrics>) -> Self {
        let clock = Monotonic(clock.clone());
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        let limiter = RateLimiter::direct_with_clock(quota, clock.clone());
        let metrics = metrics.clone();
        Self { limiter, clock, rate, under_way: AtomicU32::new(0), last_used_ns: AtomicI64::new(i64::MIN), metrics }
    }

    /// Begins a call, which counts as one command.
    ///
    /// # Errors
    /// Why it has to wait.
    pub fn enter(self: &Arc<Self>) -> Result<Permit, TooMuch> {
        let before = self.under_way.fetch_add(1, Ordering::Relaxed);
        // Dropped, and counted no more, where it may not go on.
        let permit = Permit(self.clone());
        if before >= self.rate.concurrent.get() {
            self.metrics.limited_concurrency.add(1);
            return Err(TooMuch::Concurrency);
        }
        self.charge(1)?;
        Ok(permit)
    }

    /// Counts further commands.
    ///
    /// # Errors
    /// Why they have to wait.
    pub fn charge(&self, count: usize) -> Result<(), TooMuch> {
        let Some(count) = u32::try_from(count).ok().map_or(Some(NonZeroU32::MAX), NonZeroU32::new) else {
            return Ok(());
        };
        self.last_used_ns.store(self.clock.0.monotonic_ns(), Ordering::Relaxed);
        match self.limiter.check_n(count) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => {
                self.metrics.limited_rate.add(1);
                Err(TooMuch::Rate(until.wait_time_from(self.clock.now())))
            }
            Err(_) => Err(TooMuch::Burst(self.rate.burst.get())),
        }
    }

    /// The most that can be counted at once.
    #[must_use]
    pub fn burst(&self) -> usize {
        usize::try_from(self.rate.burst.get()).unwrap_or(usize::MAX)
    }

    /// Whether it has been at rest for so long that a new one would say the same.
    fn is_full(&self) -> bool {
        let used = self.last_used_ns.load(Ordering::Relaxed);
        let seconds = self.rate.burst.get() / self.rate.per_second.get() + 1;
        let rested = Nanos::from(Duration::from_secs(u64::from(seconds)));
        let used = Nanos::new(u64::try_from(used).unwrap_or(0));
        self.clock.now().duration_since(used) > rested
    }
}

/// Whose meter it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Metered {
    /// A key, or the certificate that stands for it.
    Key(KeyId),
    /// The subject of tokens.
    Token(Box<str>),
}

/// The meters of all credentials that were seen lately.
pub struct Meters {
    limits: RateLimits,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    meters: Mutex<HashMap<Metered, Arc<Meter>>>,
}

impl Meters {
    /// Nobody has asked for anything.
    #[must_use]
    pub fn new(limits: RateLimits, clock: SharedClock, metrics: Arc<Metrics>) -> Self {
        Self { limits, clock, metrics, meters: Mutex::default() }
    }

    /// The meter of a credential; `None` where it may ask for anything.
    pub(super) fn of(&self, role: Role, metered: Metered) -> Option<Arc<Meter>> {
        let key = match &metered {
            Metered::Key(id) => Some(*id),
            Metered::Token(_) => None,
        };
        let rate = self.limits.of(role, key)?;
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = meters.get(&metered).filter(|known| known.rate == rate) {
            return Some(known.clone());
        }
        if meters.len() >= limits::METERS_MAX {
            // What no connection remembers and has rested says nothing that a new one would not.
            meters.retain(|_, meter| Arc::strong_count(meter) > 1 || !meter.is_full());
        }
        if meters.len() >= limits::METERS_MAX {
            meters.retain(|_, meter| Arc::strong_count(meter) > 1);
        }
        let meter = Arc::new(Meter::new(rate, &self.clock, &self.metrics));
        meters.insert(metered, meter.clone());
        Some(meter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::ledger::types::TimestampNs;

    /// A clock that stands still until it is moved.
    #[derive(Default)]
    struct Still(AtomicI64);

    impl Clock for Still {
        fn now(&self) -> TimestampNs {
            TimestampNs(self.monotonic_ns())
        }

        fn monotonic_ns(&self) -> i64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    fn meters(text: &str) -> (Meters, Arc<Still>) {
        let clock = Arc::new(Still(AtomicI64::new(1_000_000_000_000)));
        (Meters::new(RateLimits::parse(text).unwrap(), clock.clone(), Arc::new(Metrics::new(1))), clock)
    }

    fn key(number: u64) -> Metered {
        Metered::Key(KeyId(number.to_be_bytes()))
    }

    #[test]
    fn limits_are_read_as_they_are_shown() {
        for text in ["off", "till=50/100/8", "till=50/100/8, gateway=2000/4000/64, key:0123456789abcdef=1/1/1"] {
            assert_eq!(RateLimits::parse(text).unwrap().to_string(), text);
        }
        for bad in
            ["", "till", "till=50", "till=50/100", "till=0/1/1", "root=1/1/1", "key:01=1/1/1", "till=1/1/1,till=2/2/2"]
        {
            assert!(RateLimits::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_credential_has_its_burst_and_then_its_rate() {
        let (meters, clock) = meters("till=10/20/64");
        let meter = meters.of(Role::Till, key(1)).unwrap();
        assert_eq!(meter.charge(21), Err(TooMuch::Burst(20)));
        assert_eq!(meter.charge(0), Ok(()));
        let permits: Vec<_> = (0..20).map(|_| meter.enter().unwrap()).collect();
        let Err(TooMuch::Rate(wait)) = meter.charge(1) else { panic!("the burst is used up") };
        assert!(wait > Duration::ZERO && wait <= Duration::from_millis(100), "{wait:?}");
        clock.0.fetch_add(500_000_000, Ordering::Relaxed);
        assert_eq!(meter.charge(5), Ok(()), "half a second is five at ten a second");
        assert!(matches!(meter.charge(1), Err(TooMuch::Rate(_))));
        drop(permits);
        assert_eq!(meter.metrics.limited_rate.get(), 2);
        // Another key has a meter of its own; the same key the same, over all connections.
        assert!(meters.of(Role::Till, key(2)).unwrap().enter().is_ok());
        assert!(matches!(meters.of(Role::Till, key(1)).unwrap().enter(), Err(TooMuch::Rate(_))));
        assert!(meters.of(Role::Gateway, key(3)).is_none(), "what is not limited has no meter");
    }

    #[test]
    fn calls_at_a_time_are_bounded_and_end() {
        let (meters, _) = meters("till=1000/1000/2, key:0000000000000007=1000/1000/1");
        let meter = meters.of(Role::Till, key(1)).unwrap();
        let (one, two) = (meter.enter().unwrap(), meter.enter().unwrap());
        assert_eq!(meter.enter().map(drop), Err(TooMuch::Concurrency));
        drop(one);
        let again = meter.enter().unwrap();
        assert_eq!(meter.enter().map(drop), Err(TooMuch::Concurrency));
        drop((two, again));
        assert_eq!((meter.under_way.load(Ordering::Relaxed), meter.metrics.limited_concurrency.get()), (0, 2));
        let own = meters.of(Role::Till, key(7)).unwrap();
        let _one = own.enter().unwrap();
        assert_eq!(own.enter().map(drop), Err(TooMuch::Concurrency), "a key's own limit goes before its role's");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (meters, clock) = meters("till=10/10/10");
        let held = meters.of(Role::Till, key(0)).unwrap();
        assert!(held.enter().is_ok());
        for number in 1..u64::try_from(limits::METERS_MAX).unwrap() + 10 {
            meters.of(Role::Till, key(number)).unwrap();
        }
        assert!(meters.meters.lock().unwrap().len() <= limits::METERS_MAX);
        assert!(Arc::ptr_eq(&held, &meters.of(Role::Till, key(0)).unwrap()), "what is in use is kept");
        clock.0.fetch_add(3_000_000_000, Ordering::Relaxed);
        assert!(held.is_full());
    }
}
