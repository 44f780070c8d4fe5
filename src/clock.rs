//! Time: the only file that reads it. Everything else is given instants, so that decisions, tests and the simulator
//! do not depend on when they run.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::ledger::types::TimestampNs;

/// A source of time.
pub trait Clock: Send + Sync + 'static {
    /// The time of day.
    fn now(&self) -> TimestampNs;

    /// Nanoseconds since an arbitrary instant of this process; never goes back. For deadlines and durations.
    fn monotonic_ns(&self) -> i64;
}

/// A shared clock.
pub type SharedClock = Arc<dyn Clock>;

/// The operating system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl SystemClock {
    /// A clock whose monotonic side begins now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now(&self) -> TimestampNs {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the system clock is set after 1970");
        TimestampNs(i64::try_from(since.as_nanos()).expect("the system clock is set before 2262"))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn monotonic_ns(&self) -> i64 {
        let since = Instant::now().duration_since(self.started);
        i64::try_from(since.as_nanos()).expect("a process runs for fewer than 292 years")
    }
}
