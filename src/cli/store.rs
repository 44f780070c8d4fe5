//! Opening a data directory without a server, for commands that read it.
//!
//! What must stay true: a directory that does not exist is not made by a command that only reads; a backup is opened by
//! none, since that writes to it.

use std::path::Path;
use std::sync::Arc;

use super::error::{CliError, Exit};
use crate::store::Store;

/// Whether there is a data directory. One of the two is enough to call it so; that the other is missing is for the store to
/// judge.
#[must_use]
pub fn is_data_directory(data: &Path) -> bool {
    ["high-water", "rocks"].iter().any(|name| data.join(name).exists())
}

/// Opens the store of an existing data directory, which no other process may use meanwhile.
///
/// # Errors
/// When there is none, it is a backup, another process uses it, or it is damaged.
#[cfg(feature = "rocksdb")]
pub fn open_store(data: &Path) -> Result<Arc<dyn Store>, CliError> {
    let store: Arc<dyn Store> = open_rocks(data)?;
    Ok(store)
}

/// Opens the store of an existing data directory as what it is, so that it can be copied.
///
/// # Errors
/// As [`open_store`].
#[cfg(feature = "rocksdb")]
pub fn open_rocks(data: &Path) -> Result<Arc<crate::store::rocks::RocksStore>, CliError> {
    use crate::store::rocks::{RocksOptions, RocksStore};

    if !is_data_directory(data) {
        let message = format!("{} is not a data directory", data.display());
        return Err(CliError::new(Exit::CannotCreate, message).hint("a server makes one: tallystick serve --data DIR"));
    }
    crate::backup::refuse_opening(data)?;
    Ok(Arc::new(RocksStore::open(data, &RocksOptions::default())?))
}

/// Opens the store of an existing data directory.
///
/// # Errors
/// Always: this build cannot read one.
#[cfg(not(feature = "rocksdb"))]
pub fn open_store(data: &Path) -> Result<Arc<dyn Store>, CliError> {
    let message = format!("this build cannot read {}: it was made without the feature `rocksdb`", data.display());
    Err(CliError::new(Exit::Configuration, message))
}
