//! How many new names one credential may bring: of stores, terminals, cashiers, goods and kinds. A name has a number for
//! ever, and there is one table of them for everybody.
//!
//! What must stay true: a name that is known costs nothing here; what counts for a credential counts over all its
//! connections; nothing here waits.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::allowance::{Allowance, Allowances};
use super::metered::{Counting, LastUse, Monotonic};
use crate::limits;
use crate::metrics::Metrics;

/// How many new names a credential may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameRate {
    /// A minute, in the long run.
    pub per_minute: NonZeroU32,
    /// So many at once after a rest.
    pub burst: NonZeroU32,
}

/// What each role and single keys may bring; who is not named may bring any number.
pub type NameLimits = Allowances<NameRate>;

/// What a server that asks for credentials allows unless it is told otherwise: a till that opens brings the goods of a
/// large shop, and then those of a shop that changes; one key would need half a year to fill the table, and whoever looks at
/// how full it is sees that coming.
pub const DEFAULT: &str = "till=60/20000, gateway=6000/1000000, back-office=6000/1000000, operator=60/20000";

impl Allowance for NameRate {
    const EXAMPLE: &'static str = "60/20000";
    const NUMBERS: &'static str = "two";

    fn of_numbers(numbers: &[NonZeroU32]) -> Option<Self> {
        let [per_minute, burst] = *numbers else { return None };
        // More than there can be is as many as there can be; and a limiter counts in nanoseconds.
        let most = NonZeroU32::new(limits::SYMBOLS_MAX)?;
        Some(Self { per_minute: per_minute.min(most), burst: burst.min(most) })
    }
}

impl fmt::Display for NameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.per_minute, self.burst)
    }
}

/// The new names that one credential has brought lately.
pub struct NameMeter {
    limiter: RateLimiter<NotKeyed, InMemoryState, Monotonic, NoOpMiddleware<Nanos>>,
    clock: Monotonic,
    rate: NameRate,
    last_use: LastUse,
    metrics: Arc<Metrics>,
}

impl fmt::Debug for NameMeter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NameMeter").field("rate", &self.rate).finish_non_exhaustive()
    }
}

impl NameMeter {
    pub(super) fn new(rate: NameRate, clock: Monotonic, metrics: &Arc<Metrics>) -> Self {
        let quota = Quota::per_minute(rate.per_minute).allow_burst(rate.burst);
        let limiter = RateLimiter::direct_with_clock(quota, clock.clone());
        Self { limiter, last_use: LastUse::never(clock.clone()), clock, rate, metrics: metrics.clone() }
    }

    /// Whether it holds a credential to this.
    pub(super) fn is_of(&self, rate: NameRate) -> bool {
        self.rate == rate
    }

    /// Counts one new name.
    ///
    /// # Errors
    /// How long it has to wait.
    pub fn charge(&self) -> Result<(), Duration> {
        self.last_use.note();
        self.limiter.check().map_err(|until| {
            self.metrics.limited_names.add(1);
            until.wait_time_from(self.clock.now())
        })
    }
}

impl Counting for NameMeter {
    fn is_rested(&self) -> bool {
        self.last_use.is_longer_ago_than(self.rate.burst, self.rate.per_minute, Duration::from_secs(60))
    }
}
