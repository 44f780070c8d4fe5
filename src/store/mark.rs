//! The mark's file: a few bytes kept apart from the database, in two slots that are written in turn.
//!
//! What must stay true:
//! - a write touches only the slot that does not hold the current mark, so a torn write leaves the current one whole;
//! - a slot counts only if its checksum, its magic and its place fit; of two that count, the higher counter wins;
//! - the file never grows or moves once it is made: renewing the mark syncs data, not metadata;
//! - the file comes into being whole (written beside, synced, renamed). Its absence beside a database is damage.
//!
//! Layout of one slot of 4,096 bytes, numbers big-endian: checksum (32 bytes, BLAKE3 of all that follows in the slot),
//! magic (8), counter (8), whether there is a mark (1), length of the mark (4), the mark, zeros.
//! A slot with an even counter lies at offset 0, one with an odd counter at offset 4,096.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use super::StoreError;
use super::directory::{parent_of, sync_directory};
use crate::limits::MARK_BYTES_MAX;

/// Two of these never share a sector or a page, so tearing one cannot touch the other.
const SLOT_BYTES: usize = 4_096;
const FILE_BYTES: usize = 2 * SLOT_BYTES;
const MAGIC: [u8; 8] = *b"TALLYMRK";

const MAGIC_AT: usize = 32;
const COUNTER_AT: usize = 40;
const PRESENT_AT: usize = 48;
const LENGTH_AT: usize = 49;
const MARK_AT: usize = 53;

const _: () = assert!(MARK_AT + MARK_BYTES_MAX <= SLOT_BYTES, "every mark fits a slot");

/// What a whole slot says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Slot {
    counter: u64,
    mark: Option<Vec<u8>>,
}

/// The open file of the mark.
#[derive(Debug)]
pub struct MarkFile {
    path: PathBuf,
    /// Held over every read and write, so that a reader never meets a slot that is half written by this process.
    file: Mutex<File>,
}

impl MarkFile {
    /// Makes the file with both slots holding `mark` and syncs it into its directory.
    ///
    /// # Errors
    /// When it cannot be written or synced.
    pub fn create(path: &Path, mark: Option<&[u8]>) -> Result<(), StoreError> {
        assert_mark_fits(mark);
        let mut bytes = Vec::with_capacity(FILE_BYTES);
        for counter in 0..2 {
            bytes.extend_from_slice(&encode(&Slot { counter, mark: mark.map(<[u8]>::to_vec) }));
        }
        assert!(bytes.len() == FILE_BYTES, "two slots make the file");
        let unfinished = path.with_extension("new");
        File::create(&unfinished)
            .and_then(|mut file| {
                file.write_all(&bytes)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&unfinished, path))
            .map_err(|error| StoreError::from_io(path, "the making of the mark's file", &error))?;
        sync_directory(&parent_of(path))
    }

    /// Opens the file and checks that a mark can be read.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the file has the wrong length or neither slot is whole.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(|error| StoreError::from_io(path, "the opening of the mark's file", &error))?;
        let opened = Self { path: path.to_path_buf(), file: Mutex::new(file) };
        opened.read()?;
        Ok(opened)
    }

    /// The current mark, read from the file.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when neither slot is whole.
    pub fn read(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.current(&self.lock())?.mark)
    }

    /// Replaces the mark and syncs it.
    ///
    /// # Errors
    /// When the write or the sync fails; which of the two marks is current is then open.
    pub fn write(&self, mark: &[u8]) -> Result<(), StoreError> {
        assert_mark_fits(Some(mark));
        let file = self.lock();
        let counter = self.current(&file)?.counter.checked_add(1).expect("a mark is not renewed 2^64 times");
        let slot = encode(&Slot { counter, mark: Some(mark.to_vec()) });
        file.write_all_at(&slot, offset_of(counter))
            .and_then(|()| file.sync_data())
            .map_err(|error| StoreError::from_io(&self.path, "the renewal of the mark", &error))
    }

    fn lock(&self) -> MutexGuard<'_, File> {
        self.file.lock().expect("no code panics while it holds the mark's file")
    }

    /// The whole slot with the higher counter.
    fn current(&self, file: &File) -> Result<Slot, StoreError> {
        let mut bytes = vec![0; FILE_BYTES];
        file.read_exact_at(&mut bytes, 0).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged("its file is shorter than it was made"),
            _ => StoreError::from_io(&self.path, "the reading of the mark", &error),
        })?;
        let (even, odd) = bytes.split_at(SLOT_BYTES);
        match (decode(even, 0), decode(odd, 1)) {
            (Some(one), Some(other)) => Ok(if one.counter > other.counter { one } else { other }),
            (Some(slot), None) | (None, Some(slot)) => Ok(slot),
            (None, None) => Err(self.damaged("neither of its two copies is whole")),
        }
    }

    fn damaged(&self, what: &str) -> StoreError {
        let reason = format!("the high-water mark cannot be read: {what}");
        StoreError::Damaged { path: self.path.clone(), space: None, reason }
    }
}

fn assert_mark_fits(mark: Option<&[u8]>) {
    assert!(mark.is_none_or(|mark| mark.len() <= MARK_BYTES_MAX), "a mark has at most {MARK_BYTES_MAX} bytes");
}

/// Where the slot with this counter lies.
fn offset_of(counter: u64) -> u64 {
    (counter % 2) * SLOT_BYTES as u64
}

fn encode(slot: &Slot) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    let mark = slot.mark.as_deref().unwrap_or_default();
    let length = u32::try_from(mark.len()).expect("a mark is short");
    bytes[MAGIC_AT..COUNTER_AT].copy_from_slice(&MAGIC);
    bytes[COUNTER_AT..PRESENT_AT].copy_from_slice(&slot.counter.to_be_bytes());
    bytes[PRESENT_AT] = u8::from(slot.mark.is_some());
    bytes[LENGTH_AT..MARK_AT].copy_from_slice(&length.to_be_bytes());
    bytes[MARK_AT..MARK_AT + mark.len()].copy_from_slice(mark);
    let checksum = blake3::hash(&bytes[MAGIC_AT..]);
    bytes[..MAGIC_AT].copy_from_slice(checksum.as_bytes());
    bytes
}

/// The slot, or nothing if it is torn, damaged, or belongs in the other place.
fn decode(bytes: &[u8], parity: u64) -> Option<Slot> {
    assert!(bytes.len() == SLOT_BYTES, "a slot has one size");
    let whole =
        blake3::hash(&bytes[MAGIC_AT..]).as_bytes() == &bytes[..MAGIC_AT] && bytes[MAGIC_AT..COUNTER_AT] == MAGIC;
    if !whole {
        return None;
    }
    let counter = u64::from_be_bytes(bytes[COUNTER_AT..PRESENT_AT].try_into().ok()?);
    let length = u32::from_be_bytes(bytes[LENGTH_AT..MARK_AT].try_into().ok()?) as usize;
    if counter % 2 != parity || length > MARK_BYTES_MAX {
        return None;
    }
    let mark = (bytes[PRESENT_AT] == 1).then(|| bytes[MARK_AT..MARK_AT + length].to_vec());
    Some(Slot { counter, mark })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh(directory: &tempfile::TempDir) -> (PathBuf, MarkFile) {
        let path = directory.path().join("high-water");
        MarkFile::create(&path, None).unwrap();
        let file = MarkFile::open(&path).unwrap();
        (path, file)
    }

    /// Inverts one byte of the file.
    fn flip(path: &Path, at: usize) {
        let mut bytes = fs::read(path).unwrap();
        bytes[at] ^= 0xff;
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn a_new_file_holds_no_mark_and_an_empty_mark_is_a_mark() {
        let directory = tempfile::tempdir().unwrap();
        let (_, file) = fresh(&directory);
        assert_eq!(file.read().unwrap(), None);
        file.write(b"").unwrap();
        assert_eq!(file.read().unwrap(), Some(vec![]));
    }

    #[test]
    fn the_last_mark_is_read_also_after_reopening() {
        let directory = tempfile::tempdir().unwrap();
        let (path, file) = fresh(&directory);
        for round in 0..5u8 {
            file.write(&[round; 40]).unwrap();
            assert_eq!(file.read().unwrap(), Some(vec![round; 40]));
            assert_eq!(MarkFile::open(&path).unwrap().read().unwrap(), Some(vec![round; 40]));
        }
        assert_eq!(fs::metadata(&path).unwrap().len(), FILE_BYTES as u64, "the file never grows");
    }

    #[test]
    fn the_longest_mark_fits_and_a_longer_one_is_a_bug() {
        let directory = tempfile::tempdir().unwrap();
        let (_, file) = fresh(&directory);
        let longest = vec![7; MARK_BYTES_MAX];
        file.write(&longest).unwrap();
        assert_eq!(file.read().unwrap(), Some(longest));
        let longer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| file.write(&[7; MARK_BYTES_MAX + 1])));
        assert!(longer.is_err());
    }

    #[test]
    fn a_write_torn_anywhere_leaves_the_old_or_the_new_mark() {
        let directory = tempfile::tempdir().unwrap();
        let (path, file) = fresh(&directory);
        file.write(b"old").unwrap();
        let before = fs::read(&path).unwrap();
        file.write(b"new").unwrap();
        let after = fs::read(&path).unwrap();
        for cut in 0..FILE_BYTES {
            let torn: Vec<u8> = after[..cut].iter().chain(&before[cut..]).copied().collect();
            fs::write(&path, &torn).unwrap();
            let read = MarkFile::open(&path).unwrap().read().unwrap().unwrap();
            let expected: &[u8] = if torn == after { b"new" } else { b"old" };
            assert_eq!(read, expected, "torn after {cut} bytes");
        }
    }

    #[test]
    fn damage_to_the_newer_slot_leaves_the_older_and_the_next_write_repairs() {
        let directory = tempfile::tempdir().unwrap();
        let (path, file) = fresh(&directory);
        file.write(b"first").unwrap(); // counter 2, slot 0
        file.write(b"second").unwrap(); // counter 3, slot 1
        flip(&path, SLOT_BYTES + MARK_AT);
        let file = MarkFile::open(&path).unwrap();
        assert_eq!(file.read().unwrap(), Some(b"first".to_vec()));
        file.write(b"third").unwrap();
        flip(&path, 0);
        assert_eq!(MarkFile::open(&path).unwrap().read().unwrap(), Some(b"third".to_vec()));
    }

    #[test]
    fn damage_to_both_slots_is_reported() {
        let directory = tempfile::tempdir().unwrap();
        let (path, file) = fresh(&directory);
        file.write(b"mark").unwrap();
        flip(&path, COUNTER_AT);
        flip(&path, 2 * SLOT_BYTES - 1);
        assert!(matches!(file.read(), Err(StoreError::Damaged { .. })));
        assert!(matches!(MarkFile::open(&path), Err(StoreError::Damaged { .. })));
    }

    #[test]
    fn a_slot_in_the_wrong_place_does_not_count() {
        let directory = tempfile::tempdir().unwrap();
        let (path, file) = fresh(&directory);
        file.write(b"first").unwrap(); // slot 0
        file.write(b"second").unwrap(); // slot 1
        let bytes = fs::read(&path).unwrap();
        let swapped: Vec<u8> = bytes[SLOT_BYTES..].iter().chain(&bytes[..SLOT_BYTES]).copied().collect();
        fs::write(&path, swapped).unwrap();
        assert!(matches!(MarkFile::open(&path), Err(StoreError::Damaged { .. })));
    }

    #[test]
    fn a_short_file_is_damage_and_a_missing_one_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let (path, file) = fresh(&directory);
        file.write(b"mark").unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..FILE_BYTES - 1]).unwrap();
        assert!(matches!(MarkFile::open(&path), Err(StoreError::Damaged { .. })));
        fs::remove_file(&path).unwrap();
        assert!(matches!(MarkFile::open(&path), Err(StoreError::Io { .. })));
    }

    #[test]
    fn a_copy_is_made_with_its_mark_in_both_slots() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("copy");
        MarkFile::create(&path, Some(b"mark")).unwrap();
        flip(&path, 0);
        assert_eq!(MarkFile::open(&path).unwrap().read().unwrap(), Some(b"mark".to_vec()));
    }
}
