//! The server of a demonstration: the shipped program, started as a child process, killed and stopped like any other.
//!
//! What must stay true: readiness is what the server says in its ready file, never a guess; settings in the environment
//! do not reach it; whatever happens to the demonstration, no server outlives it, unless it is killed without a word.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::bench::leavings::{Held, Ward};
use crate::bench::process::without_settings;
use crate::cli::error::{CliError, Exit};
use crate::clock::{Clock, SystemClock};

/// How long a server may take to become ready, or to stop.
const LIMIT_NS: i64 = 60_000_000_000;
/// How often it is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// A running server.
#[derive(Debug)]
pub struct ServerProcess {
    child: Ward,
    /// Where it listens.
    pub url: String,
    log: PathBuf,
}

/// Where the server of a demonstration keeps its things.
#[derive(Debug)]
pub struct Place {
    /// The folder of the demonstration.
    pub folder: PathBuf,
    /// The data directory in it.
    pub data: PathBuf,
    /// A signal that ends the demonstration removes the folder, unless it is to be kept.
    _held: Option<Held>,
}

impl Place {
    /// Makes a new folder among the temporary files, or in a place of the user's choice.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make(within: Option<&Path>, is_kept: bool) -> Result<Self, CliError> {
        let parent = within.map_or_else(std::env::temp_dir, Path::to_path_buf);
        let first = parent.join(format!("tallystick-demo-{}", std::process::id()));
        let folder = (0..100)
            .map(|number| if number == 0 { first.clone() } else { first.with_extension(number.to_string()) })
            .find(|path| !path.exists())
            .unwrap_or(first);
        let made = if is_kept { fs::create_dir_all(&folder).map(|()| None) } else { Held::make(&folder).map(Some) };
        let held = made.map_err(|error| CliError::file(Exit::CannotCreate, "making", &folder, &error))?;
        let data = folder.join("data");
        Ok(Self { folder, data, _held: held })
    }
}

impl ServerProcess {
    /// Starts a server on a place and waits until it is ready.
    ///
    /// # Errors
    /// When it cannot be started, or ends, or is not ready in time.
    pub fn start(place: &Place) -> Result<Self, CliError> {
        let program = std::env::current_exe()
            .map_err(|error| CliError::new(Exit::InputOutput, format!("this program cannot find itself: {error}")))?;
        let (log, ready) = (place.folder.join("server.log"), place.folder.join("ready"));
        match fs::remove_file(&ready) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(CliError::file(Exit::InputOutput, "removing", &ready, &error));
            }
            _ => {}
        }
        let failed = |error: &std::io::Error| CliError::file(Exit::InputOutput, "writing", &log, error);
        let log_file = File::options().create(true).append(true).open(&log).map_err(|error| failed(&error))?;
        let log_copy = log_file.try_clone().map_err(|error| failed(&error))?;
        let mut command = without_settings(&program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--clock", "input"]);
        command.arg("--data").arg(&place.data).arg("--ready-file").arg(&ready);
        let child = Ward::start(command.stdin(Stdio::null()).stdout(log_file).stderr(log_copy))
            .map_err(|error| CliError::file(Exit::InputOutput, "starting", &program, &error))?;
        let mut server = Self { child, url: String::new(), log };
        server.url = server.wait_until_ready(&ready)?;
        Ok(server)
    }

    fn wait_until_ready(&mut self, ready: &Path) -> Result<String, CliError> {
        let clock = SystemClock::new();
        while clock.monotonic_ns() < LIMIT_NS {
            if let Some(url) = fs::read_to_string(ready).ok().as_deref().and_then(url_in) {
                return Ok(url);
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

    /// What the server said last about what it recovered.
    ///
    /// # Errors
    /// When its log cannot be read.
    pub fn recovery_line(&self) -> Result<String, CliError> {
        let log = fs::read_to_string(&self.log)
            .map_err(|error| CliError::file(Exit::InputOutput, "reading", &self.log, &error))?;
        let line = log.lines().rfind(|line| line.starts_with("recovered"));
        Ok(line.unwrap_or("the server did not say what it recovered").split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// Kills the process at once, as `kill -9` does.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill_now(&mut self) -> Result<(), CliError> {
        self.child.kill().map(drop).map_err(|error| self.failure(&format!("the server could not be killed: {error}")))
    }

    /// Asks the process to stop and waits until it has; returns how it ended.
    ///
    /// # Errors
    /// When it does not stop in time.
    pub fn stop(self) -> Result<ExitStatus, CliError> {
        let id = self.child.id().to_string();
        // The standard library sends no signal but SIGKILL, and the shell has `kill` built in.
        let asked = Command::new("sh").args(["-c", "kill -s TERM \"$0\"", &id]).status();
        if !asked.is_ok_and(|status| status.success()) {
            return Err(self.failure("the server could not be asked to stop"));
        }
        let clock = SystemClock::new();
        while clock.monotonic_ns() < LIMIT_NS {
            if let Some(status) = self.child.try_wait().ok().flatten() {
                return Ok(status);
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        Err(self.failure("the server did not stop"))
    }

    /// An error with the end of the server's log.
    fn failure(&self, message: &str) -> CliError {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(10)..).unwrap_or_default().join("\n  ");
        CliError::new(Exit::Unavailable, format!("{message}; {} says:\n  {last}", self.log.display()))
    }
}

/// The address in a ready file. `None` while the file is not complete.
fn url_in(text: &str) -> Option<String> {
    let line = text.strip_suffix('\n')?;
    Some(if line.contains("://") { line.to_owned() } else { format!("http://{line}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ready_file_counts_once_its_line_is_complete() {
        assert_eq!(url_in(""), None);
        assert_eq!(url_in("127.0.0.1:7"), None);
        assert_eq!(url_in("127.0.0.1:70\n").as_deref(), Some("http://127.0.0.1:70"));
    }

    #[test]
    fn two_demonstrations_do_not_share_a_place() {
        let root = tempfile::tempdir().unwrap();
        let first = Place::make(Some(root.path()), false).unwrap();
        let second = Place::make(Some(root.path()), false).unwrap();
        assert_ne!(first.folder, second.folder);
        assert!(second.folder.is_dir());
    }
}
