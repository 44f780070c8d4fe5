//! The data directory as the operating system sees it: made durably, claimed by one process, shown to be writable
//! before anything is promised.
//!
//! What must stay true:
//! - at most one process (and within it one store) holds a data directory; the lock dies with its holder, so that
//!   nothing is left to clean up after a crash;
//! - a directory or file that was created is still there after a loss of power: its parent is synced.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::StoreError;

/// Name of the file whose advisory lock says that the directory is in use. It stays behind, empty.
const LOCK_FILE: &str = "lock";
/// Name of the file that is written and removed to learn whether writing works.
const PROBE_FILE: &str = "write-probe";
/// Enough that a full file system cannot squeeze the probe in beside an inode.
const PROBE_BYTES: usize = 64 << 10;

/// A data directory that this process holds. Dropping it lets go.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    /// The lock belongs to this open file; it is never read.
    _lock: File,
}

impl DataDirectory {
    /// Makes the directory if it is missing, takes its lock, and writes, syncs and removes a probe file in it.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another store holds it, [`StoreError::ReadOnly`] when it cannot be written,
    /// [`StoreError::DiskFull`] when there is no room for the probe, [`StoreError::Io`] otherwise.
    pub fn claim(path: &Path) -> Result<Self, StoreError> {
        create_directory(path)?;
        let lock_path = path.join(LOCK_FILE);
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(|error| StoreError::from_io(path, "the opening of the lock file", &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Locked { path: path.to_path_buf() }),
            Err(TryLockError::Error(error)) => {
                return Err(StoreError::from_io(path, "the locking of the data directory", &error));
            }
        }
        probe(path).map_err(|error| StoreError::from_io(path, "a trial write", &error))?;
        Ok(Self { path: path.to_path_buf(), _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes a directory and the missing ones above it, each synced into its parent.
///
/// # Errors
/// When one cannot be made or synced.
pub fn create_directory(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = parent_of(path);
    create_directory(&parent)?;
    match fs::create_dir(path) {
        Ok(()) => sync_directory(&parent),
        // Another process may have made it since; which of the two goes on is decided by the lock.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(StoreError::from_io(path, "the making of the directory", &error)),
    }
}

/// Makes the names in a directory durable.
///
/// # Errors
/// When the directory cannot be opened or synced.
pub fn sync_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| StoreError::from_io(path, "the syncing of the directory", &error))
}

/// The directory that holds `path`; the current one for a bare name.
#[must_use]
pub fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ if path.has_root() => path.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Writes, syncs and removes a file: the cheapest proof that a later write is not refused for a reason known now.
fn probe(directory: &Path) -> io::Result<()> {
    let path = directory.join(PROBE_FILE);
    let written = File::create(&path).and_then(|mut file| {
        file.write_all(&[0; PROBE_BYTES])?;
        file.sync_data()
    });
    // Also after a failed write, so that a full disk does not stay fuller than it was.
    let removed = fs::remove_file(&path);
    written.and(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_directory_is_made_with_its_parents() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b/c");
        let claimed = DataDirectory::claim(&path).unwrap();
        assert_eq!(claimed.path(), path);
        assert!(path.is_dir());
        assert!(!path.join(PROBE_FILE).exists(), "the probe leaves nothing behind");
    }

    #[test]
    fn a_directory_is_held_once_and_is_free_again_after_the_drop() {
        let root = tempfile::tempdir().unwrap();
        let first = DataDirectory::claim(root.path()).unwrap();
        assert!(matches!(DataDirectory::claim(root.path()), Err(StoreError::Locked { .. })));
        drop(first);
        DataDirectory::claim(root.path()).unwrap();
    }

    #[test]
    fn a_file_in_the_place_of_the_directory_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, b"not a directory").unwrap();
        assert!(matches!(DataDirectory::claim(&file), Err(StoreError::Io { .. })));
        assert!(matches!(DataDirectory::claim(&file.join("below")), Err(StoreError::Io { .. })));
        assert_eq!(fs::read(&file).unwrap(), b"not a directory");
    }

    #[test]
    fn the_parent_of_a_bare_name_is_the_current_directory() {
        assert_eq!(parent_of(Path::new("data")), PathBuf::from("."));
        assert_eq!(parent_of(Path::new("/data")), PathBuf::from("/"));
        assert_eq!(parent_of(Path::new("/")), PathBuf::from("/"));
        assert_eq!(parent_of(Path::new("a/b")), PathBuf::from("a"));
    }
}
