//! Recovery, as whoever runs the server sees it: of the directory that is meant, and with word of how far it is.
//!
//! What must stay true: a recovery that goes on, whatever it is at, is told of often enough that nobody takes it for one that
//! hangs.

use std::sync::Arc;

use super::ServeError;
use crate::clock::SharedClock;
use crate::config::{ClockMode, Config};
use crate::recovery::identity::Identity;
use crate::recovery::{Progress, Recovered, Source, empty_ids, recover_from};
use crate::store::Store;
use crate::telemetry::manager;

/// Recovery says how far it is this often.
const PROGRESS_INTERVAL_NS: i64 = 1_000_000_000;

/// Whether nothing is to be mended: for a directory without a ledger, which must not be taken for a new one.
///
/// # Errors
/// When something is.
pub fn check_mending(config: &Config) -> Result<(), ServeError> {
    let what = match (config.discards_snapshot, config.rebuilds_ids) {
        (false, false) => return Ok(()),
        (true, _) => "snapshot could be discarded",
        (false, true) => "index of ids could be made anew",
    };
    Err(ServeError::NothingToMend { path: config.data.clone(), what })
}

/// Whether the configuration means a directory like this one.
pub(super) fn check_identity(config: &Config, identity: Identity) -> Result<Identity, ServeError> {
    let fixed = if identity.clock_is_input { ClockMode::Input } else { ClockMode::System };
    if let Some(stated) = config.clock.filter(|stated| *stated != fixed) {
        return Err(ServeError::Mismatch { name: "clock", fixed: fixed.to_string(), stated: stated.to_string() });
    }
    if let Some(stated) = config.shard_count.filter(|stated| *stated != identity.shard_count) {
        let fixed = identity.shard_count.to_string();
        return Err(ServeError::Mismatch { name: "shard_count", fixed, stated: stated.to_string() });
    }
    Ok(identity)
}

/// Recovers what a directory holds. Also tells how long the replay took, in nanoseconds, without what came before it and after.
pub(super) fn recover_with_progress(
    config: &Config,
    store: &Arc<dyn Store>,
    identity: Identity,
    clock: &SharedClock,
) -> Result<(Recovered, i64), ServeError> {
    let mut told_ns = clock.monotonic_ns();
    // When the replay was heard of for the first time and the last.
    let mut heard_ns: Option<(i64, i64)> = None;
    let mut on_progress = |progress: Progress| {
        let now_ns = clock.monotonic_ns();
        if matches!(progress, Progress::Journal { .. }) {
            heard_ns = Some((heard_ns.map_or(now_ns, |(first, _)| first), now_ns));
        }
        if now_ns - told_ns >= PROGRESS_INTERVAL_NS {
            told_ns = now_ns;
            match progress {
                Progress::Ids { read_bytes } => tracing::info!(read_bytes, "recovering"),
                Progress::Snapshot { entity_count } => tracing::info!(entity_count, "recovering"),
                Progress::Journal { reached, end } => tracing::info!(reached = reached.0, end = end.0, "recovering"),
            }
            manager::recovering(&format!("recovering: {progress}"));
        }
    };
    if config.rebuilds_ids {
        tracing::warn!("the index of ids is to be made anew: first the journal is read through");
        empty_ids(store, &mut on_progress)?;
        // From here on every start does the rest by itself.
        tracing::warn!("the index of ids was emptied, and is made anew: the whole journal is replayed");
    }
    let source = if config.discards_snapshot { Source::Journal } else { Source::Snapshot };
    let recovered = recover_from(source, store, identity, &config.ids, config.workers, &mut on_progress)?;
    if source == Source::Journal {
        tracing::warn!("the snapshot was discarded: the whole journal was replayed");
    }
    Ok((recovered, heard_ns.map_or(0, |(first, last)| last - first)))
}
