//! What a running server tells of itself: log lines, metrics, health over HTTP, spans, and word to the service manager.
//!
//! [`series`] is the list of what is measured, [`http`] shows it, [`calls`] watches calls go by, [`traces`] sends spans,
//! [`manager`] speaks to systemd.
//!
//! What must stay true: secrets, receipts and account ids are in none of it; an expected refusal is not an error; what
//! is turned off costs nothing; nobody who looks at any of it holds up a command.

pub mod calls;
pub mod http;
pub mod manager;
pub mod series;
#[cfg(feature = "otel")]
pub mod traces;

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::clock::SharedClock;
use crate::config::LogFormat;
use crate::ledger::types::TimestampNs;
use crate::metrics::Metrics;
use crate::shard::engine::Engine;
use calls::CallMeter;

/// Sends log lines to standard error. A second call in one process changes nothing.
///
/// The filter is one that the configuration has checked; one that cannot be read means `info`.
pub fn start(format: LogFormat, filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Somebody else may have set a subscriber before (tests do); theirs is as good.
    let _ = match format {
        LogFormat::Text => builder.with_ansi(false).finish().try_init(),
        // Fields at the top of the object, where collectors of log lines look for them.
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    };
}

/// How the server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It recovers, and serves nothing yet.
    Recovering,
    /// It serves.
    Serving,
    /// It finishes what it has taken on.
    Stopping,
    /// The ledger has failed.
    Failed,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Recovering => "recovering",
            Self::Serving => "serving",
            Self::Stopping => "stopping",
            Self::Failed => "failed",
        })
    }
}

/// What there is to look at once the ledger has recovered.
pub struct Sources {
    /// The ledger. Weak, so that looking at it does not keep its store open.
    pub engine: Weak<Engine>,
    /// Calls under way.
    pub calls_under_way: Box<dyn Fn() -> usize + Send + Sync>,
    /// Bytes of the journal's frames.
    pub journal_bytes: Box<dyn Fn() -> u64 + Send + Sync>,
    /// How long opening and recovery took.
    pub recovery_ms: i64,
    /// Records that recovery replayed.
    pub replayed_count: u64,
    /// Jobs that may wait for one worker.
    pub queue_depth: usize,
    /// How long a recovery would take now, in milliseconds.
    pub expected_recovery_ms: Box<dyn Fn() -> i64 + Send + Sync>,
}

/// Everything that is told of one server.
pub struct Telemetry {
    /// Time.
    pub clock: SharedClock,
    /// When this was made.
    pub started_at: TimestampNs,
    /// What watches calls go by.
    pub calls: Arc<CallMeter>,
    standing: Box<dyn Fn() -> Standing + Send + Sync>,
    /// All at zero, shown until there is a ledger.
    none_yet: Metrics,
    sources: OnceLock<Sources>,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").field("standing", &(self.standing)()).finish_non_exhaustive()
    }
}

impl Telemetry {
    /// Tells of a server that is about to recover. `standing` is asked once there are sources.
    #[must_use]
    pub fn new(
        clock: SharedClock,
        worker_count: usize,
        standing: impl Fn() -> Standing + Send + Sync + 'static,
    ) -> Arc<Self> {
        let started_at = clock.now();
        let (none_yet, calls) = (Metrics::new(worker_count), Arc::new(CallMeter::new(clock.clone())));
        Arc::new(Self { clock, started_at, calls, standing: Box::new(standing), none_yet, sources: OnceLock::new() })
    }

    /// From now on there is a ledger to look at.
    pub fn has_recovered(&self, sources: Sources) {
        // There is one recovery for each of these.
        let _ = self.sources.set(sources);
    }

    /// How the server stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match (self.standing)() {
            Standing::Serving if self.sources.get().is_none() => Standing::Recovering,
            standing => standing,
        }
    }
}
