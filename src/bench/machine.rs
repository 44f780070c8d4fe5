//! The machine that figures were taken on, and what it costs there to sync and to miss a cache.
//!
//! What must stay true: both costs are measured in the same run as the figures beside which they stand, the sync in the
//! folder of the data directory.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::error::BenchError;
use super::process::thread_processor_ns;
use super::recorder::histogram;
use crate::clock::{Clock, SystemClock};

/// Bytes of one append of the sync measurement.
const APPEND_BYTES: usize = 4_096;
/// How long syncs are measured.
const SYNC: Duration = Duration::from_secs(1);
/// Size of the buffer that is read at random: larger than any cache.
const CHASE_BYTES: usize = 256 << 20;
/// Bytes of a cache line.
const LINE_BYTES: usize = 64;
/// Reads of the memory measurement.
const READ_COUNT: i64 = 2_000_000;

/// What figures depend on.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Machine {
    /// Model of the processor.
    pub processor: String,
    /// Cores that this process may use.
    pub core_count: usize,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Operating system and kernel.
    pub kernel: String,
    /// Median time of an append of 4 KiB to a growing file with its fdatasync, in microseconds.
    pub fdatasync_p50_us: f64,
    /// The 99th percentile.
    pub fdatasync_p99_us: f64,
    /// Time of a read of memory at a random place, each depending on the one before, in nanoseconds.
    pub random_read_ns: f64,
    /// Version of this program.
    pub version: &'static str,
}

impl Machine {
    /// Looks at the machine and measures; takes a few seconds.
    ///
    /// # Errors
    /// When no file can be written in the folder.
    pub fn measure(folder: &Path) -> Result<Self, BenchError> {
        let syncs = sync_latency(folder, SYNC)?;
        Ok(Self {
            processor: field_of("/proc/cpuinfo", "model name"),
            core_count: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_bytes: field_of("/proc/meminfo", "MemTotal").split_whitespace().next().map_or(0, kibibytes),
            kernel: fs::read_to_string("/proc/version").map_or_else(|_| String::new(), |text| first_words(&text)),
            fdatasync_p50_us: syncs.value_at_quantile(0.5) as f64 / 1_000.0,
            fdatasync_p99_us: syncs.value_at_quantile(0.99) as f64 / 1_000.0,
            random_read_ns: random_read_ns(),
            version: env!("CARGO_PKG_VERSION"),
        })
    }
}

fn kibibytes(text: &str) -> u64 {
    text.parse::<u64>().map_or(0, |count| count * 1_024)
}

fn first_words(text: &str) -> String {
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// The first value of a key in a file of lines like `key : value`.
fn field_of(path: &str, key: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(key));
    line.and_then(|line| line.split_once(':')).map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

/// Latency of 4 KiB appends to a growing file, each followed by an fdatasync.
///
/// # Errors
/// When no file can be written in the folder.
pub fn sync_latency(folder: &Path, measure: Duration) -> Result<Histogram<u64>, BenchError> {
    let measure_ns = i64::try_from(measure.as_nanos()).unwrap_or(i64::MAX);
    let path = folder.join("fdatasync");
    let failed = |error| BenchError::file("writing", &path, error);
    let mut file = File::create(&path).map_err(failed)?;
    let mut latency = histogram();
    let clock = SystemClock::new();
    let mut before_ns = clock.monotonic_ns();
    while before_ns < measure_ns {
        file.write_all(&[7; APPEND_BYTES]).and_then(|()| file.sync_data()).map_err(failed)?;
        let now_ns = clock.monotonic_ns();
        latency.saturating_record(u64::try_from(now_ns - before_ns).unwrap_or(0).max(1));
        before_ns = now_ns;
    }
    fs::remove_file(&path).map_err(|error| BenchError::file("removing", &path, error))?;
    Ok(latency)
}

/// Follows a random cycle through a large buffer, one cache line at a time; in processor time.
#[must_use]
pub fn random_read_ns() -> f64 {
    let line_count = CHASE_BYTES / LINE_BYTES;
    let per_line = LINE_BYTES / size_of::<u32>();
    let mut random = fastrand::Rng::with_seed(1);
    // Sattolo's shuffle: one cycle through all lines.
    let mut order: Vec<u32> = (0..u32::try_from(line_count).expect("the buffer is not that large")).collect();
    for index in (1..line_count).rev() {
        order.swap(index, random.usize(0..index));
    }
    let mut next = vec![0_u32; line_count * per_line];
    for (line, to) in order.iter().enumerate() {
        if let Some(cell) = next.get_mut(line * per_line) {
            *cell = *to;
        }
    }
    drop(order);
    let mut at = 0;
    let begin_ns = thread_processor_ns();
    for _ in 0..READ_COUNT {
        at = next.get(at as usize * per_line).copied().unwrap_or(0);
    }
    let elapsed_ns = thread_processor_ns() - begin_ns;
    std::hint::black_box(at);
    elapsed_ns as f64 / READ_COUNT as f64
}
