//! How much one credential may ask for: so many commands a second, and so many calls at a time.
//!
//! What must stay true: a credential has one meter, over however many connections it comes; a credential without a limit
//! has none, and costs nothing; what is remembered of credentials is bounded; nothing here waits.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::allowance::{Allowance, Allowances};
use super::grant::Role;
use super::metered::{Counting, LastUse, Metered, Monotonic, Remembered};
use super::naming::{NameLimits, NameMeter};
use crate::clock::SharedClock;
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
pub type RateLimits = Allowances<Rate>;

impl Allowance for Rate {
    const EXAMPLE: &'static str = "50/100/8";
    const NUMBERS: &'static str = "three";

    fn of_numbers(numbers: &[NonZeroU32]) -> Option<Self> {
        let [per_second, burst, concurrent] = *numbers else { return None };
        Some(Self { per_second, burst, concurrent })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.per_second, self.burst, self.concurrent)
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

/// What one credential has asked for lately.
pub struct Meter {
    limiter: RateLimiter<NotKeyed, InMemoryState, Monotonic, NoOpMiddleware<Nanos>>,
    clock: Monotonic,
    rate: Rate,
    /// After so long there is one command more.
    interval: Duration,
    under_way: AtomicU32,
    last_use: LastUse,
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
    fn new(rate: Rate, clock: Monotonic, metrics: &Arc<Metrics>) -> Self {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        let limiter = RateLimiter::direct_with_clock(quota, clock.clone());
        let (last_use, metrics) = (LastUse::never(clock.clone()), metrics.clone());
        let interval = quota.replenish_interval();
        Self { limiter, clock, rate, interval, under_way: AtomicU32::new(0), last_use, metrics }
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
        self.last_use.note();
        match self.limiter.check_n(count) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => {
                self.metrics.limited_rate.add(1);
                Err(TooMuch::Rate(until.wait_time_from(self.clock.now())))
            }
            Err(_) => Err(TooMuch::Burst(self.rate.burst.get())),
        }
    }

    /// Counts the commands of a call of so many, but for the first: that one counted when the call began.
    ///
    /// # Errors
    /// Why they have to wait: so long that the whole call can come again. One that never can is told so first.
    pub fn charge_rest(&self, count: usize) -> Result<(), TooMuch> {
        if count > self.burst() {
            return Err(TooMuch::Burst(self.rate.burst.get()));
        }
        self.charge(count.saturating_sub(1)).map_err(|too_much| match too_much {
            // What the call began with is used up, and one that comes again begins anew.
            TooMuch::Rate(wait) => TooMuch::Rate(wait.saturating_add(self.interval)),
            other => other,
        })
    }

    /// The most that can be counted at once.
    #[must_use]
    pub fn burst(&self) -> usize {
        usize::try_from(self.rate.burst.get()).unwrap_or(usize::MAX)
    }
}

impl Counting for Meter {
    fn is_rested(&self) -> bool {
        self.last_use.is_longer_ago_than(self.rate.burst, self.rate.per_second, Duration::from_secs(1))
    }
}

/// The meters of all credentials that were seen lately.
pub struct Meters {
    limits: RateLimits,
    name_limits: NameLimits,
    clock: Monotonic,
    metrics: Arc<Metrics>,
    meters: Remembered<Meter>,
    name_meters: Remembered<NameMeter>,
}

impl Meters {
    /// Nobody has asked for anything.
    #[must_use]
    pub fn new(limits: RateLimits, name_limits: NameLimits, clock: SharedClock, metrics: Arc<Metrics>) -> Self {
        let clock = Monotonic(clock);
        Self { limits, name_limits, clock, metrics, meters: Remembered::default(), name_meters: Remembered::default() }
    }

    /// The meter of a credential; `None` where it may ask for anything.
    pub(super) fn of(&self, role: Role, metered: &Metered) -> Option<Arc<Meter>> {
        let rate = self.limits.of(role, metered.key())?;
        let make = || Meter::new(rate, self.clock.clone(), &self.metrics);
        Some(self.meters.of(metered.clone(), |known| known.rate == rate, make))
    }

    /// What counts the new names of a credential; `None` where it may bring any number.
    pub(super) fn names_of(&self, role: Role, metered: &Metered) -> Option<Arc<NameMeter>> {
        let rate = self.name_limits.of(role, metered.key())?;
        let make = || NameMeter::new(rate, self.clock.clone(), &self.metrics);
        Some(self.name_meters.of(metered.clone(), |known| known.is_of(rate), make))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use super::*;
    use crate::access::keys::KeyId;
    use crate::clock::Clock;
    use crate::ledger::types::TimestampNs;
    use crate::limits;

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
        let limits = RateLimits::parse(text).unwrap();
        (Meters::new(limits, NameLimits::default(), clock.clone(), Arc::new(Metrics::new(1))), clock)
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
        let meter = meters.of(Role::Till, &key(1)).unwrap();
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
        assert!(meters.of(Role::Till, &key(2)).unwrap().enter().is_ok());
        assert!(matches!(meters.of(Role::Till, &key(1)).unwrap().enter(), Err(TooMuch::Rate(_))));
        assert!(meters.of(Role::Gateway, &key(3)).is_none(), "what is not limited has no meter");
    }

    #[test]
    fn many_commands_in_one_call_pass_when_they_come_again_as_they_were_told() {
        // Where not even the first is left, the call has to come again once to be told how long it takes for all.
        for (text, counts, waits) in
            [("till=1/50/64", [40, 40], 1), ("till=7/9/64", [5, 9], 1), ("till=1/50/64", [50, 50], 2)]
        {
            let (meters, clock) = meters(text);
            let meter = meters.of(Role::Till, &key(1)).unwrap();
            let call = |count| meter.enter().and_then(|_| meter.charge_rest(count));
            assert_eq!(call(counts[0]), Ok(()), "{text}");
            for _ in 0..waits {
                let Err(TooMuch::Rate(wait)) = call(counts[1]) else { panic!("{text} is used up") };
                clock.0.fetch_add(i64::try_from(wait.as_nanos()).unwrap(), Ordering::Relaxed);
            }
            assert_eq!(call(counts[1]), Ok(()), "{text} {counts:?}");
        }
    }

    #[test]
    fn a_call_of_more_commands_than_can_be_at_once_is_told_so_whatever_is_left() {
        let (meters, _) = meters("till=10/20/64");
        let meter = meters.of(Role::Till, &key(1)).unwrap();
        let call = |count| meter.enter().and_then(|_| meter.charge_rest(count));
        assert_eq!(call(21), Err(TooMuch::Burst(20)), "one more than the burst, of which the first has counted");
        assert_eq!(call(19), Ok(()));
        assert!(matches!(call(20), Err(TooMuch::Rate(_))), "it is used up");
        assert_eq!(meter.charge_rest(21), Err(TooMuch::Burst(20)));
    }

    #[test]
    fn calls_at_a_time_are_bounded_and_end() {
        let (meters, _) = meters("till=1000/1000/2, key:0000000000000007=1000/1000/1");
        let meter = meters.of(Role::Till, &key(1)).unwrap();
        let (one, two) = (meter.enter().unwrap(), meter.enter().unwrap());
        assert_eq!(meter.enter().map(drop), Err(TooMuch::Concurrency));
        drop(one);
        let again = meter.enter().unwrap();
        assert_eq!(meter.enter().map(drop), Err(TooMuch::Concurrency));
        drop((two, again));
        assert_eq!((meter.under_way.load(Ordering::Relaxed), meter.metrics.limited_concurrency.get()), (0, 2));
        let own = meters.of(Role::Till, &key(7)).unwrap();
        let _one = own.enter().unwrap();
        assert_eq!(own.enter().map(drop), Err(TooMuch::Concurrency), "a key's own limit goes before its role's");
    }

    #[test]
    fn one_subject_in_two_roles_has_what_each_may_ask_for_and_no_more() {
        let clock = Arc::new(Still(AtomicI64::new(1_000_000_000_000)));
        let rates = RateLimits::parse("till=1/2/9, gateway=1/3/9").unwrap();
        let names = NameLimits::parse("till=1/2, gateway=1/3").unwrap();
        let meters = Meters::new(rates, names, clock, Arc::new(Metrics::new(1)));
        let subject = |role| Metered::Token(role, "https://login.example/gate-7".into());
        let (mut granted, mut named) = ([0; 2], [0; 2]);
        for _ in 0..10 {
            for (place, role) in [Role::Till, Role::Gateway].into_iter().enumerate() {
                granted[place] += u32::from(meters.of(role, &subject(role)).unwrap().enter().is_ok());
                named[place] += u32::from(meters.names_of(role, &subject(role)).unwrap().charge().is_ok());
            }
        }
        assert_eq!((granted, named), ([2, 3], [2, 3]));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (meters, clock) = meters("till=10/10/10");
        let held = meters.of(Role::Till, &key(0)).unwrap();
        assert!(held.enter().is_ok());
        for number in 1..u64::try_from(limits::METERS_MAX).unwrap() + 10 {
            meters.of(Role::Till, &key(number)).unwrap();
        }
        assert!(meters.meters.len() <= limits::METERS_MAX);
        assert!(Arc::ptr_eq(&held, &meters.of(Role::Till, &key(0)).unwrap()), "what is in use is kept");
        clock.0.fetch_add(3_000_000_000, Ordering::Relaxed);
        assert!(held.is_rested());
    }

    #[test]
    fn new_names_have_a_burst_and_then_a_rate_of_their_own() {
        let clock = Arc::new(Still(AtomicI64::new(1_000_000_000_000)));
        let names = NameLimits::parse("till=60/3, key:0000000000000007=60/1").unwrap();
        let meters = Meters::new(RateLimits::default(), names, clock.clone(), Arc::new(Metrics::new(1)));
        let meter = meters.names_of(Role::Till, &key(1)).unwrap();
        for _ in 0..3 {
            assert_eq!(meter.charge(), Ok(()));
        }
        let wait = meters.names_of(Role::Till, &key(1)).unwrap().charge().unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
        assert_eq!(meters.metrics.limited_names.get(), 1);
        clock.0.fetch_add(1_000_000_000, Ordering::Relaxed);
        assert_eq!(meter.charge(), Ok(()), "one a second is sixty a minute");
        assert!(meter.charge().is_err() && !meter.is_rested());
        clock.0.fetch_add(121_000_000_000, Ordering::Relaxed);
        assert!(meter.is_rested());
        let own = meters.names_of(Role::Till, &key(7)).unwrap();
        assert!(own.charge().is_ok() && own.charge().is_err(), "a key's own limit goes before its role's");
        assert!(meters.names_of(Role::Gateway, &key(3)).is_none() && meters.of(Role::Till, &key(1)).is_none());
        for text in ["off", super::super::naming::DEFAULT] {
            assert_eq!(NameLimits::parse(text).unwrap().to_string(), text);
        }
        for bad in ["till=60", "till=1/2/3", "till=0/1", "till=1/0"] {
            assert!(NameLimits::parse(bad).is_err(), "{bad}");
        }
    }
}
