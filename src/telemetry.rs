//! Log lines: on standard error, as text or as JSON.
//!
//! What must stay true: secrets, receipts and account ids are not logged; an expected refusal is not an error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::LogFormat;

/// Sends log lines to standard error. A second call in one process changes nothing.
///
/// The filter is one that the configuration has checked; one that cannot be read means `info`.
pub fn start(format: LogFormat, filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Somebody else may have set a subscriber before (tests do); theirs is as good.
    let _ = match format {
        LogFormat::Text => builder.with_ansi(false).finish().try_init(),
        LogFormat::Json => builder.json().finish().try_init(),
    };
}
