//! What this process must not leave behind: its children, and folders that nobody asked to keep. A signal that ends the process
//! ends and removes them first.
//!
//! What must stay true: whatever is begun is known here before a signal can end the process without it, and nothing is begun
//! once one has come; who is killed is that child and no other process with its number; a signal that whoever started this
//! process had it ignore (`nohup`) goes on being ignored.

use std::fs;
use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::error::BenchError;
use super::run::runtime;

/// The status of a process that a signal ended is this and the signal's number.
const SIGNAL_STATUS: i32 = 128;
/// A folder is removed in so many tries: somebody may be writing there.
const REMOVALS_MAX: usize = 100;
/// Rest between two of them.
const REMOVAL_REST: Duration = Duration::from_millis(20);

/// What there is.
struct Known {
    children: Vec<Arc<Mutex<Child>>>,
    folders: Vec<PathBuf>,
}

static KNOWN: Mutex<Known> = Mutex::new(Known { children: Vec::new(), folders: Vec::new() });

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child that is killed when it is dropped, and when this process is ended.
#[derive(Debug)]
pub struct Ward {
    child: Arc<Mutex<Child>>,
    id: u32,
}

impl Ward {
    /// Starts it.
    ///
    /// # Errors
    /// When the operating system does not.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let mut known = locked(&KNOWN);
        let child = command.spawn()?;
        let id = child.id();
        let child = Arc::new(Mutex::new(child));
        known.children.push(child.clone());
        Ok(Self { child, id })
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Its standard input and output, if they were asked for and nobody has them.
    #[must_use]
    pub fn pipes(&self) -> Option<(ChildStdin, ChildStdout)> {
        let mut child = locked(&self.child);
        child.stdin.take().zip(child.stdout.take())
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        locked(&self.child).try_wait()
    }

    /// Kills it at once, as `kill -9` does, unless it has ended; gives how it ended.
    ///
    /// # Errors
    /// When the operating system does not kill it.
    pub fn kill(&self) -> io::Result<ExitStatus> {
        kill(&self.child)
    }
}

impl Drop for Ward {
    fn drop(&mut self) {
        // Harmless when it has ended already, and nobody is left to tell when it fails.
        let _ = self.kill();
        locked(&KNOWN).children.retain(|child| !Arc::ptr_eq(child, &self.child));
    }
}

fn kill(child: &Mutex<Child>) -> io::Result<ExitStatus> {
    let mut child = locked(child);
    let killed = child.kill();
    let ended = child.wait();
    killed.and(ended)
}

/// A folder that is removed when this process is ended. Whoever has it removes it otherwise.
#[derive(Debug)]
pub struct Held(PathBuf);

impl Held {
    /// Makes it.
    ///
    /// # Errors
    /// When the operating system does not.
    pub fn make(path: &Path) -> io::Result<Self> {
        let mut known = locked(&KNOWN);
        fs::create_dir_all(path)?;
        known.folders.push(path.to_path_buf());
        Ok(Self(path.to_path_buf()))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        locked(&KNOWN).folders.retain(|folder| *folder != self.0);
    }
}

/// From now on a signal that asks this process to end (INT, TERM, HUP) ends its children and removes its folders before.
///
/// # Errors
/// When the operating system gives no thread, or no word of signals.
pub fn watch() -> Result<(), BenchError> {
    let runtime = runtime()?;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut signals = Vec::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let number = kind.as_raw_value();
        if !is_ignored(&status, number) {
            let _within = runtime.enter();
            let told = signal(kind).map_err(|source| BenchError::Resource { what: "word of signals", source })?;
            signals.push((number, told));
        }
    }
    let watching = move || end(runtime.block_on(first(&mut signals)));
    let watching = std::thread::Builder::new().name("signals".to_owned()).spawn(watching);
    watching.map(drop).map_err(|source| BenchError::Resource { what: "thread", source })
}

/// Whether a process whose status is this ignores the signal of this number.
fn is_ignored(status: &str, number: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let place = u32::try_from(number - 1).ok();
    place.and_then(|place| mask.checked_shr(place)).is_some_and(|rest| rest & 1 == 1)
}

/// The number of the signal that comes first.
async fn first(signals: &mut [(i32, Signal)]) -> i32 {
    poll_fn(|cx| {
        let mut told = signals.iter_mut().filter_map(|(number, signal)| match signal.poll_recv(cx) {
            Poll::Ready(Some(())) => Some(*number),
            _ => None,
        });
        told.next().map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

/// Ends this process, and leaves nothing behind.
fn end(number: i32) {
    // Kept to the end: nothing is begun any more, and whoever lets go of anything waits here.
    let known = locked(&KNOWN);
    for child in &known.children {
        // It may have ended by itself.
        let _ = kill(child);
    }
    known.folders.iter().for_each(|folder| remove(folder));
    std::process::exit(SIGNAL_STATUS + number)
}

fn remove(folder: &Path) {
    for _ in 0..REMOVALS_MAX {
        if fs::remove_dir_all(folder).is_ok() || !folder.exists() {
            return;
        }
        std::thread::sleep(REMOVAL_REST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_dropped_is_ended_and_forgotten() {
        let ward = Ward::start(Command::new("sleep").arg("600")).unwrap();
        let (child, process) = (ward.child.clone(), PathBuf::from(format!("/proc/{}", ward.id())));
        let is_known = || locked(&KNOWN).children.iter().any(|known| Arc::ptr_eq(known, &child));
        assert!(is_known() && process.exists() && ward.try_wait().unwrap().is_none());
        drop(ward);
        assert!(!is_known() && !process.exists());
    }

    #[test]
    fn a_folder_is_known_while_it_is_held() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("one");
        let is_known = || locked(&KNOWN).folders.contains(&path);
        let held = Held::make(&path).unwrap();
        assert!(is_known() && path.is_dir());
        drop(held);
        assert!(!is_known() && path.is_dir());
        remove(&path);
        assert!(!path.exists());
    }

    #[test]
    fn a_signal_is_ignored_where_its_bit_is_set() {
        let status =
            "Name:\ttallystick\nSigBlk:\tffffffffffffffff\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n";
        let ignored: Vec<i32> = (1..=64).filter(|number| is_ignored(status, *number)).collect();
        assert_eq!(ignored, [1, 13]);
        assert!(!is_ignored("", 1));
    }
}
