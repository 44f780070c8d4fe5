//! Whether a file system takes writes past the page cache.
//!
//! What must stay true: the answer is found by trying, and leaves nothing behind.

use std::fs;
use std::io;
use std::path::Path;

/// Name of the file that is made and removed again.
const PROBE_FILE: &str = "direct-write-probe";
/// The size of a block, and of what RocksDB writes at least.
#[cfg(target_os = "linux")]
const BLOCK_BYTES: usize = 4_096;

/// Whether files in a directory can be written past the page cache. Not every file system can: memory has none to pass, and
/// some take the flag and refuse what is written.
#[must_use]
pub fn takes_direct_writes(directory: &Path) -> bool {
    let path = directory.join(PROBE_FILE);
    let takes = write_direct(&path).is_ok();
    // It may not have been made at all, and a block that stays behind harms nobody.
    let _ = fs::remove_file(&path);
    takes
}

#[cfg(target_os = "linux")]
fn write_direct(path: &Path) -> io::Result<()> {
    use rustix::fs::{Mode, OFlags, open};
    use std::io::Write;
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::DIRECT;
    let mut file = fs::File::from(open(path, flags, Mode::RUSR | Mode::WUSR)?);
    // Past the page cache goes only what begins in memory where a block may begin.
    let memory = vec![0; 2 * BLOCK_BYTES];
    let from = memory.as_ptr().align_offset(BLOCK_BYTES);
    let block = memory.get(from..from.saturating_add(BLOCK_BYTES)).ok_or(io::ErrorKind::Unsupported)?;
    file.write_all(block)
}

#[cfg(not(target_os = "linux"))]
fn write_direct(_: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_block_has_to_arrive() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("block");
        if write_direct(&path).is_ok() {
            assert_eq!(fs::read(path).unwrap(), [0; BLOCK_BYTES]);
        }
    }

    #[test]
    fn the_answer_leaves_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        let _ = takes_direct_writes(root.path());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        assert!(!takes_direct_writes(&root.path().join("missing")));
    }
}
