//! The programs that are measured: child processes of the executable that the benchmark is part of.
//!
//! What must stay true: readiness is what a child says in its ready file, never a guess; settings in the environment of
//! whoever measures do not reach the child; no child outlives the benchmark, unless that is killed without a word.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};

use super::channel::Target;
use super::error::BenchError;
use super::leavings::Ward;
use crate::clock::{Clock, SystemClock};

/// How long a child may take to become ready, or to stop: recovery of tens of millions of records included.
const LIMIT_NS: i64 = 1_800_000_000_000;
/// How long a line that it writes once it is ready is waited for.
const LINE_LIMIT_NS: i64 = 10_000_000_000;
/// How often it is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// Length of a clock tick, as `/proc` counts them on Linux.
const TICK_NS: u64 = 10_000_000;

/// A running child.
#[derive(Debug)]
pub struct Process {
    child: Ward,
    /// Where it listens.
    pub target: Target,
    log: PathBuf,
    /// Where in the log its own lines begin: those before are of processes that have ended.
    log_begin: usize,
    /// From its start until it was ready.
    pub start_ns: i64,
}

/// A program that settings in the environment of whoever starts it do not reach.
#[must_use]
pub fn without_settings(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TALLYSTICK_")) {
        command.env_remove(name);
    }
    command
}

/// Waits until a child has ended, but no longer than the limit.
pub fn wait_for_end(child: &Ward, limit: Duration) {
    let clock = SystemClock::new();
    let limit_ns = i64::try_from(limit.as_nanos()).unwrap_or(i64::MAX);
    while clock.monotonic_ns() < limit_ns && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// An error with the end of a child's log.
#[must_use]
pub fn failure(message: &str, log: &Path) -> BenchError {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(10)..).unwrap_or_default().join("\n  ");
    let what = if last.is_empty() { "is empty".to_owned() } else { format!("says:\n  {last}") };
    BenchError::Server(format!("{message}; {} {what}", log.display()))
}

/// The last whole line that begins so, behind a place in a log.
fn own_line(log: &[u8], begin: usize, beginning: &str) -> Option<String> {
    let own = String::from_utf8_lossy(log.get(begin..)?);
    let (whole, _) = own.rsplit_once('\n')?;
    whole.lines().rfind(|line| line.starts_with(beginning)).map(str::to_owned)
}

/// What the operating system accounts to a process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Memory that it holds.
    pub resident_bytes: u64,
    /// Memory that it held at most.
    pub resident_peak_bytes: u64,
    /// Bytes that it caused to be written to disk.
    pub written_bytes: u64,
    /// Time on processors, in nanoseconds, exact to a hundredth of a second.
    pub processor_ns: u64,
}

impl Process {
    /// Starts `program` with the arguments, and `--ready-file FILE` after them, and waits until it is ready. Its
    /// output goes to a log in the folder.
    ///
    /// # Errors
    /// When it cannot be started, or ends, or is not ready in time.
    pub fn start(program: &Path, folder: &Path, name: &str, arguments: &[&str]) -> Result<Self, BenchError> {
        let (log, ready) = (folder.join(format!("{name}.log")), folder.join(format!("{name}.ready")));
        match fs::remove_file(&ready) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(BenchError::file("removing", &ready, error));
            }
            _ => {}
        }
        let failed = |error| BenchError::file("writing", &log, error);
        let log_file = File::options().create(true).append(true).open(&log).map_err(failed)?;
        let log_copy = log_file.try_clone().map_err(failed)?;
        let log_begin = usize::try_from(log_file.metadata().map_err(failed)?.len()).unwrap_or(usize::MAX);
        let mut command = without_settings(program);
        command.args(arguments).arg("--ready-file").arg(&ready);
        let clock = SystemClock::new();
        let child = Ward::start(command.stdin(Stdio::null()).stdout(log_file).stderr(log_copy));
        let child = child.map_err(|error| BenchError::file("starting", program, error))?;
        let mut process = Self { child, target: Target::default(), log, log_begin, start_ns: 0 };
        process.target = Target::plain(process.wait_until_ready(&clock, &ready)?);
        process.start_ns = clock.monotonic_ns();
        Ok(process)
    }

    fn wait_until_ready(&mut self, clock: &SystemClock, ready: &Path) -> Result<String, BenchError> {
        while clock.monotonic_ns() < LIMIT_NS {
            if let Some(line) = fs::read_to_string(ready).ok().as_deref().and_then(|text| text.strip_suffix('\n')) {
                return Ok(format!("http://{line}"));
            }
            if let Some(status) = self.child.try_wait().ok().flatten() {
                return Err(self.failure(&format!("the server ended with {status} before it was ready")));
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        Err(self.failure("the server did not become ready"))
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the operating system accounts to it; zeros where it does not say.
    #[must_use]
    pub fn usage(&self) -> Usage {
        usage_of(self.child.id())
    }

    /// If the process has ended by itself: an error that says so.
    ///
    /// # Errors
    /// When it has.
    pub fn check_alive(&mut self) -> Result<(), BenchError> {
        match self.child.try_wait() {
            Ok(Some(status)) => Err(self.failure(&format!("the server ended with {status} under load"))),
            _ => Ok(()),
        }
    }

    /// Waits until the process has ended, but no longer than the limit.
    pub fn wait_for_end(&mut self, limit: Duration) {
        wait_for_end(&self.child, limit);
    }

    /// The last line that the process has written that begins so. It is waited for, for a while: who is ready says so
    /// before it writes what it has to say of its start.
    #[must_use]
    pub fn last_line(&self, beginning: &str) -> Option<String> {
        let clock = SystemClock::new();
        let limit_ns = clock.monotonic_ns().saturating_add(LINE_LIMIT_NS);
        loop {
            if let Some(line) = own_line(&fs::read(&self.log).ok()?, self.log_begin, beginning) {
                return Some(line);
            }
            if clock.monotonic_ns() >= limit_ns {
                return None;
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Waits until the process has hardly used a processor for a moment, so that what it does after one run is not
    /// counted against the next. Returns when it goes on for longer than the limit, too.
    pub fn settle(&self, limit: Duration) {
        const LOOK: Duration = Duration::from_millis(250);
        let clock = SystemClock::new();
        let limit_ns = i64::try_from(limit.as_nanos()).unwrap_or(i64::MAX);
        let mut before = self.usage().processor_ns;
        while clock.monotonic_ns() < limit_ns {
            std::thread::sleep(LOOK);
            let now = self.usage().processor_ns;
            if now - before <= 2 * TICK_NS {
                return;
            }
            before = now;
        }
    }

    /// Asks the process to stop and waits until it has.
    ///
    /// # Errors
    /// When it does not stop in time, or ends with a failure.
    pub fn stop(&mut self) -> Result<(), BenchError> {
        let asked = Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(0))
            .is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
        if !asked {
            return Err(self.failure("the server could not be asked to stop"));
        }
        let clock = SystemClock::new();
        while clock.monotonic_ns() < LIMIT_NS {
            match self.child.try_wait().ok().flatten() {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(self.failure(&format!("the server ended with {status}"))),
                None => std::thread::sleep(LOOK_INTERVAL),
            }
        }
        Err(self.failure("the server did not stop"))
    }

    /// Kills the process at once, as `kill -9` does.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
    }

    /// An error with the end of the log.
    fn failure(&self, message: &str) -> BenchError {
        failure(message, &self.log)
    }
}

/// Time of processors that the calling thread has taken, in nanoseconds. Unlike the time of day it does not go on while
/// others have the processor.
#[must_use]
pub fn thread_processor_ns() -> i64 {
    let taken = clock_gettime(ClockId::ThreadCPUTime);
    taken.tv_sec * 1_000_000_000 + taken.tv_nsec
}

/// What the operating system accounts to this process.
#[must_use]
pub fn own_usage() -> Usage {
    usage_in("/proc/self")
}

/// What the operating system accounts to a process; zeros when there is none.
#[must_use]
pub fn usage_of(id: u32) -> Usage {
    usage_in(&format!("/proc/{id}"))
}

fn usage_in(folder: &str) -> Usage {
    let read = |name: &str| fs::read_to_string(format!("{folder}/{name}")).unwrap_or_default();
    let number = |text: &str, key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse::<u64>().ok()).unwrap_or(0)
    };
    let (status, io, stat) = (read("status"), read("io"), read("stat"));
    // The name of the program, in parentheses, may contain spaces; user and system time are the 12th and 13th after it.
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let ticks: u64 = after.split_whitespace().skip(11).take(2).filter_map(|number| number.parse::<u64>().ok()).sum();
    Usage {
        resident_bytes: number(&status, "VmRSS:") * 1_024,
        resident_peak_bytes: number(&status, "VmHWM:") * 1_024,
        written_bytes: number(&io, "write_bytes:"),
        processor_ns: ticks * TICK_NS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_process_that_has_ended_is_not_taken_for_its_own() {
        let earlier = "recovered  1 records\n";
        let rows = [
            ("", None),
            ("tallystick 1\nrecov", None),
            ("tallystick 1\nrecovered  2 rec", None),
            ("tallystick 1\nrecovered  2 records\n", Some("recovered  2 records")),
            ("recovered  2 records\nlistening", Some("recovered  2 records")),
        ];
        for (own, expected) in rows {
            let log = format!("{earlier}{own}");
            assert_eq!(own_line(log.as_bytes(), earlier.len(), "recovered").as_deref(), expected, "{own:?}");
        }
    }
}
