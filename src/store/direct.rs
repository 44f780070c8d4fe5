//! Whether a file system takes writes past the page cache.
//!
//! What must stay true: the answer is found by trying, and leaves nothing behind.

use std::fs;
use std::io;
use std::path::Path;

/// Name of the file that is made and removed again.
const PROBE_FILE: &str = "direct-write-probe";

/// Whether files in a directory can be written past the page cache. Not every file system can: memory has none to pass.
#[must_use]
pub fn takes_direct_writes(directory: &Path) -> bool {
    let path = directory.join(PROBE_FILE);
    let takes = open_direct(&path).is_ok();
    // It may not have been made at all, and an empty file that stays behind harms nobody.
    let _ = fs::remove_file(&path);
    takes
}

#[cfg(target_os = "linux")]
fn open_direct(path: &Path) -> io::Result<()> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::DIRECT;
    open(path, flags, Mode::RUSR | Mode::WUSR)?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn open_direct(_: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_leaves_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        let _ = takes_direct_writes(root.path());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        assert!(!takes_direct_writes(&root.path().join("missing")));
    }
}
