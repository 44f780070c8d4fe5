//! Why a benchmark did not come to figures.
//!
//! What must stay true: a benchmark that could not measure, or whose journal does not verify, fails; it never prints a
//! figure instead.

use std::io;
use std::path::{Path, PathBuf};

use crate::audit::verify::VerifyError;
use crate::server::ServeError;

/// Why a benchmark ended without figures. `Display` is a sentence.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A file could not be read, written or made.
    #[error("{what} {path} failed: {source}")]
    File {
        /// What was tried, such as "writing".
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A process that is measured did not become ready, ended, or did not stop: the server, or a core.
    #[error("{0}")]
    Server(String),
    /// The server cannot be reached.
    #[error("the server at {url} cannot be reached: {reason}")]
    Connect {
        /// Its address.
        url: String,
        /// Why.
        reason: String,
    },
    /// A call failed in a way that is no refusal.
    #[error("a call of the load failed: {0}")]
    Call(String),
    /// The journal that the server wrote is not whole.
    #[error("the journal that the server wrote does not verify: {0}")]
    NotIntact(String),
    /// The journal that the server wrote cannot be verified.
    #[error("the journal that the server wrote cannot be verified: {0}")]
    Verify(#[from] VerifyError),
    /// Something of the ledger that the benchmark runs in its own process failed.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The ledger in this process failed.
    #[error("the ledger failed: {0}")]
    Ledger(String),
    /// The programme file cannot be used.
    #[error("the programme file cannot be used: {0}")]
    Program(String),
    /// What was asked for makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The operating system gave no thread or event loop.
    #[error("the operating system gives no {what}: {source}")]
    Resource {
        /// What was asked for.
        what: &'static str,
        /// What it said.
        source: io::Error,
    },
}

impl BenchError {
    /// A failure to do something with a file.
    #[must_use]
    pub fn file(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { what, path: path.to_path_buf(), source }
    }
}
