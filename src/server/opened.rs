//! The store of a server, opened, with what is reported about it.
//!
//! What must stay true: a directory is opened once, and nothing but the store itself is read or written here.

#[cfg(feature = "rocksdb")]
use std::path::Path;
use std::sync::Arc;

use super::ServeError;
use crate::config::Config;
use crate::service::CopyStore;
use crate::store::Store;

/// A store with what is reported about it.
pub struct OpenedStore {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Path of the data directory; empty for a store in memory.
    pub path: String,
    /// Bytes of the journal, about.
    pub journal_bytes: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Makes a copy of the store; `None` where nothing is kept.
    pub copy_store: Option<Box<CopyStore>>,
}

impl OpenedStore {
    /// A store in memory.
    #[must_use]
    pub fn in_memory(store: Arc<dyn Store>) -> Self {
        Self { store, path: String::new(), journal_bytes: Box::new(|| 0), copy_store: None }
    }
}

/// Opens the data directory that the configuration names, with the faults that it asks for.
///
/// # Errors
/// When the directory cannot be made or used, or is damaged.
#[cfg(feature = "rocksdb")]
pub fn open_store(config: &Config) -> Result<OpenedStore, ServeError> {
    use crate::store::Space;
    use crate::store::faults::FaultyStore;
    use crate::store::rocks::{RocksOptions, RocksStore};
    super::files::raise_limit(config.bounds.connections_max);
    let to_empty = [(config.discards_snapshot, Space::State), (config.rebuilds_ids, Space::Ids)];
    let to_empty: Vec<_> = to_empty.into_iter().filter_map(|(is_meant, space)| is_meant.then_some(space)).collect();
    let rocks = Arc::new(RocksStore::open_to_empty(&config.data, &RocksOptions::default(), &to_empty)?);
    let path = std::path::absolute(&config.data).unwrap_or_else(|_| config.data.clone()).display().to_string();
    let (measured, copied) = (rocks.clone(), rocks.clone());
    let journal_bytes = Box::new(move || measured.approximate_journal_bytes().unwrap_or(0));
    let copy_store = Box::new(move |to: &Path, mark: Option<&[u8]>| copied.checkpoint_with_mark(to, mark));
    let store: Arc<dyn Store> = match config.faults {
        Some(plan) => Arc::new(FaultyStore::new(rocks, plan)),
        None => rocks,
    };
    Ok(OpenedStore { store, path, journal_bytes, copy_store: Some(copy_store) })
}

/// Without the feature there is nothing to open.
///
/// # Errors
/// Always.
#[cfg(not(feature = "rocksdb"))]
pub fn open_store(_: &Config) -> Result<OpenedStore, ServeError> {
    Err(ServeError::NoStore)
}
