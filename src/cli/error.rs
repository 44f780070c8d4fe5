//! Why a command did not succeed: an error that carries an exit status and a sentence for a person.
//!
//! What must stay true: a message says what happened to what, a hint says what to do; a failure that a report on
//! standard output already states is not stated twice.

use std::fmt;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::exit;
use crate::ids::IdError;
use crate::journal::JournalError;
use crate::recovery::RecoveryError;
use crate::recovery::identity::IdentityError;
use crate::snapshot::SnapshotError;
use crate::store::{Space, StoreError};

/// How a command fails. The numbers are those of [`super::exit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// A check or verification did its work and found problems.
    Problems,
    /// The command line cannot be understood.
    Usage,
    /// The input (a CSV or programme file) is wrong.
    BadData,
    /// The server cannot be reached, or cannot do it now.
    Unavailable,
    /// The data directory or the output file cannot be made, is in use, or may not be written.
    CannotCreate,
    /// Reading or writing failed.
    InputOutput,
    /// The data directory is damaged, or of a newer format.
    Damaged,
    /// The configuration or the credential is wrong.
    Configuration,
}

impl Exit {
    /// The number that the process ends with.
    #[must_use]
    pub fn status(self) -> u8 {
        match self {
            Self::Problems => exit::FOUND_PROBLEMS,
            Self::Usage => exit::USAGE,
            Self::BadData => exit::BAD_INPUT,
            Self::Unavailable => exit::UNAVAILABLE,
            Self::CannotCreate => exit::CANNOT_CREATE,
            Self::InputOutput => exit::IO_FAILURE,
            Self::Damaged => exit::DAMAGED,
            Self::Configuration => exit::CONFIGURATION,
        }
    }
}

/// Why a command did not succeed.
#[derive(Debug)]
pub struct CliError {
    exit: Exit,
    message: String,
    hint: Option<String>,
    is_reported: bool,
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CliError {}

impl CliError {
    /// An error that is still to be shown.
    #[must_use]
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None, is_reported: false }
    }

    /// A command that ends with `exit`, its report on standard output having said why.
    #[must_use]
    pub fn reported(exit: Exit) -> Self {
        Self { exit, message: "standard output says why".to_owned(), hint: None, is_reported: true }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A failure to read or write a file.
    #[must_use]
    pub fn file(exit: Exit, what: &str, path: &Path, error: &io::Error) -> Self {
        Self::new(exit, format!("{what} {} failed: {error}", path.display()))
    }

    /// A failure to write to standard output. A reader that went away (`| head`) is no news.
    #[must_use]
    pub fn standard_output(error: &io::Error) -> Self {
        let is_reported = error.kind() == io::ErrorKind::BrokenPipe;
        Self { is_reported, ..Self::new(Exit::InputOutput, format!("writing to standard output failed: {error}")) }
    }

    /// The status that the process ends with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// What to do about it.
    #[must_use]
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Whether standard output has said it already.
    #[must_use]
    pub fn is_reported(&self) -> bool {
        self.is_reported
    }
}

/// The status for a failure of the store.
fn exit_of_store(error: &StoreError) -> Exit {
    match error {
        StoreError::Locked { .. } | StoreError::ReadOnly { .. } => Exit::CannotCreate,
        StoreError::DiskFull { .. } | StoreError::Io { .. } | StoreError::Latched { .. } => Exit::InputOutput,
        StoreError::Damaged { .. } => Exit::Damaged,
    }
}

/// The status for a failure of the journal.
fn exit_of_journal(error: &JournalError) -> Exit {
    match error {
        JournalError::Store(error) => exit_of_store(error),
        JournalError::Fenced { .. } => Exit::CannotCreate,
        JournalError::Frame(_)
        | JournalError::Record { .. }
        | JournalError::Missing { .. }
        | JournalError::Replaced(_) => Exit::Damaged,
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        let shown = Self::new(exit_of_store(&error), error.to_string());
        match error {
            StoreError::Locked { .. } => {
                shown.hint("stop the server that uses it, or work through the server with --server")
            }
            StoreError::Damaged { space: Some(Space::Ids), .. } => {
                shown.hint("the journal gives the index of ids again: start the server once with --rebuild-ids")
            }
            StoreError::Damaged { space: Some(Space::State), .. } => shown.hint(
                "the journal gives the state again: copy the directory, and start the server once with \
                 --discard-snapshot",
            ),
            _ => shown,
        }
    }
}

impl From<JournalError> for CliError {
    fn from(error: JournalError) -> Self {
        Self::new(exit_of_journal(&error), error.to_string())
    }
}

impl From<IdentityError> for CliError {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Store(error) => error.into(),
            IdentityError::NewerFormat { .. } | IdentityError::Damaged(_) => {
                Self::new(Exit::Damaged, error.to_string())
            }
        }
    }
}

impl From<RecoveryError> for CliError {
    fn from(error: RecoveryError) -> Self {
        match error {
            RecoveryError::Store(error) => error.into(),
            RecoveryError::Identity(error) => error.into(),
            RecoveryError::Journal(error) => error.into(),
            RecoveryError::Ids(IdError::Store(error)) | RecoveryError::Snapshot(SnapshotError::Store(error)) => {
                error.into()
            }
            other => Self::new(Exit::Damaged, other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_permanent() {
        let rows = [
            (Exit::Problems, 1),
            (Exit::Usage, 2),
            (Exit::BadData, 65),
            (Exit::Unavailable, 69),
            (Exit::CannotCreate, 73),
            (Exit::InputOutput, 74),
            (Exit::Damaged, 76),
            (Exit::Configuration, 78),
        ];
        for (exit, status) in rows {
            assert_eq!(exit.status(), status, "{exit:?}");
        }
    }

    #[test]
    fn a_failure_of_the_store_has_the_status_that_scripts_expect() {
        let path = std::path::PathBuf::from("/data");
        let rows = [
            (StoreError::Locked { path: path.clone() }, Exit::CannotCreate),
            (StoreError::ReadOnly { path: path.clone(), reason: "x".to_owned() }, Exit::CannotCreate),
            (StoreError::DiskFull { path: path.clone() }, Exit::InputOutput),
            (StoreError::Damaged { path, space: None, reason: "x".to_owned() }, Exit::Damaged),
        ];
        for (error, exit) in rows {
            assert_eq!(CliError::from(error).exit(), exit);
        }
        let newer = IdentityError::NewerFormat { found: 9 };
        assert_eq!(CliError::from(RecoveryError::Identity(newer)).exit(), Exit::Damaged);
    }

    #[test]
    fn damage_that_the_journal_makes_good_comes_with_the_way_to_that() {
        let rows = [
            (None, None),
            (Some(Space::Journal), None),
            (Some(Space::State), Some("--discard-snapshot")),
            (Some(Space::Ids), Some("--rebuild-ids")),
        ];
        for (space, flag) in rows {
            let damaged = StoreError::Damaged { path: "/data".into(), space, reason: "x".to_owned() };
            let error = CliError::from(damaged);
            let hint = error.hint_text();
            assert!(
                hint.is_some() == flag.is_some() && flag.is_none_or(|flag| hint.unwrap_or_default().contains(flag))
            );
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_news() {
        let gone = io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(CliError::standard_output(&gone).is_reported());
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(!CliError::standard_output(&full).is_reported());
    }
}
