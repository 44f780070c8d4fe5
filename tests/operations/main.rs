//! A server in production: its configuration, what it tells of itself, backups, and how it ends.
#![cfg(all(feature = "server", feature = "rocksdb"))]

#[path = "../blackbox/mod.rs"]
mod blackbox;
#[path = "../harness/mod.rs"]
mod harness;
#[path = "../grpc_api/support.rs"]
#[allow(dead_code, reason = "every test file uses a part of this support of its own")]
mod support;

mod backups;
mod configuration;
mod desk;
mod export;
mod imports;
mod logs;
mod manager;
mod metrics;
mod monitoring;
mod scraped;
mod shutdown;
mod signals;
mod standing;
mod starts;
#[cfg(feature = "otel")]
mod traces;

/// A file of the repository.
fn repository(path: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of a file of the repository.
fn read(path: &str) -> String {
    let path = repository(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
