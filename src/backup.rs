//! Backups: a copy of a data directory at a point of its journal, with a manifest that says what it must hold.
//!
//! A backup is made in this order: the point that everything acknowledged lies before → the copy, with that point as
//! its high-water mark → the manifest. Apart from the manifest it is a data directory; whatever opens what was restored
//! from it is stopped by the mark if a record before the point is missing. It is not opened itself: opening writes.
//!
//! What must stay true: a backup without a manifest was not finished and is refused; nothing that exists is
//! overwritten; a restored directory gets the name of its database first and its mark last, and is held meanwhile: a
//! half-made one does not open.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::journal::log::HighWater;
use crate::ledger::types::TimestampNs;
use crate::recovery::identity::Identity;
use crate::store::StoreError;
use crate::store::directory::{DataDirectory, create_directory};

/// Name of the manifest in a backup.
pub const MANIFEST: &str = "backup.json";
/// The file of a data directory that must be made first: it makes a database of what lies beside it.
const CURRENT_FILE: &str = "rocks/CURRENT";
/// The file of a data directory that must be made last.
const MARK_FILE: &str = "high-water";
/// The newest layout that this version reads and the one that it writes.
const FORMAT: u32 = 1;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The layout of the manifest.
    pub format: u32,
    /// The program that made the backup.
    pub made_by: String,
    /// When the backup was begun, in RFC 3339 form.
    pub begun_at: String,
    /// Names the data directory; 32 hexadecimal digits.
    pub directory_id: String,
    /// The backup holds at least so many records: all that was acknowledged before it was begun.
    pub record_count: u64,
    /// The hash of the last frame before that point, which by the chain stands for all before it.
    pub chain_hash: String,
    /// Bytes of all files.
    pub byte_count: u64,
    /// The files, in the order of their names.
    pub files: Vec<ManifestFile>,
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Its path in the backup, with slashes.
    pub path: String,
    /// Its length.
    pub bytes: u64,
}

/// Why a backup cannot be made or used. `Display` is a sentence for an operator.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The copy could not be made.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file cannot be read or written.
    #[error("{what} {path} failed: {source}")]
    File {
        /// What was being done.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is no finished backup.
    #[error("{0} is not a finished backup: it has no manifest")]
    NoManifest(PathBuf),
    /// The manifest is not what was written.
    #[error("the manifest of the backup {path} cannot be used: {reason}")]
    Manifest {
        /// The backup.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Files are not what the manifest says.
    #[error("the backup {path} is not whole: {reason}")]
    NotWhole {
        /// The backup.
        path: PathBuf,
        /// What is missing or different.
        reason: String,
    },
    /// What must stay as it was made was to be opened.
    #[error(
        "{0} is a backup, and opening it would change it; make a data directory of it first: tallystick restore --from \
         {0} --data DIR"
    )]
    IsBackup(PathBuf),
    /// What is in the way is never overwritten.
    #[error("{0} is there already and not empty; nothing is overwritten")]
    NotEmpty(PathBuf),
}

fn file_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    move |source| BackupError::File { what, path: path.to_path_buf(), source }
}

/// Copies a store into a new directory, with these bytes as its mark.
pub type Copier<'a> = dyn Fn(&Path, Option<&[u8]>) -> Result<(), StoreError> + 'a;

/// Makes a backup in a directory that does not exist yet. `point` must be durable before this is called.
///
/// # Errors
/// When something is in the way, or the copy or the manifest cannot be written. What is left then has no manifest.
pub fn create(
    to: &Path,
    point: &HighWater,
    identity: &Identity,
    now: TimestampNs,
    copy: &Copier<'_>,
) -> Result<Manifest, BackupError> {
    if to.try_exists().map_err(file_error("looking for", to))? {
        return Err(BackupError::NotEmpty(to.to_path_buf()));
    }
    copy(to, Some(&point.encode()))?;
    let files = list(to)?;
    let begun_at = jiff::Timestamp::from_nanosecond(i128::from(now.0)).map(|time| time.to_string());
    let manifest = Manifest {
        format: FORMAT,
        made_by: format!("tallystick {}", env!("CARGO_PKG_VERSION")),
        begun_at: begun_at.unwrap_or_default(),
        directory_id: hexadecimal(&identity.directory_id),
        record_count: point.end.0,
        chain_hash: hexadecimal(&point.hash),
        byte_count: files.iter().map(|file| file.bytes).sum(),
        files,
    };
    write_manifest(to, &manifest)?;
    Ok(manifest)
}

/// Reads a backup's manifest and checks that its files are there, whole.
///
/// # Errors
/// When there is none, or a file is missing, of another length, or not in the manifest.
pub fn check(from: &Path) -> Result<Manifest, BackupError> {
    let path = from.join(MANIFEST);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(BackupError::NoManifest(from.to_path_buf()));
        }
        Err(error) => return Err(file_error("reading", &path)(error)),
    };
    let unfit = |reason: String| BackupError::Manifest { path: from.to_path_buf(), reason };
    let manifest: Manifest = serde_json::from_str(&text).map_err(|error| unfit(error.to_string()))?;
    if manifest.format != FORMAT {
        return Err(unfit(format!("it has layout {}, and this version reads {FORMAT}", manifest.format)));
    }
    // What is copied is named by the manifest, which anybody may have written.
    if let Some(file) = manifest.files.iter().find(|file| !is_inside(&file.path)) {
        return Err(unfit(format!("it names the file {:?}, which lies outside", file.path)));
    }
    let found = list(from)?;
    if let Some(reason) = difference(&manifest.files, &found) {
        return Err(BackupError::NotWhole { path: from.to_path_buf(), reason });
    }
    Ok(manifest)
}

/// Refuses to have a backup opened as a data directory: the store writes files as it opens, and what the manifest does not
/// name is not restored.
///
/// # Errors
/// [`BackupError::IsBackup`] when the directory has a manifest.
pub fn refuse_opening(data: &Path) -> Result<(), BackupError> {
    if data.join(MANIFEST).exists() { Err(BackupError::IsBackup(data.to_path_buf())) } else { Ok(()) }
}

fn is_inside(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

fn difference(promised: &[ManifestFile], found: &[ManifestFile]) -> Option<String> {
    let of = |files: &[ManifestFile], path: &str| files.iter().find(|file| file.path == path).map(|file| file.bytes);
    for file in promised {
        match of(found, &file.path) {
            None => return Some(format!("{} is missing", file.path)),
            Some(bytes) if bytes != file.bytes => {
                return Some(format!("{} has {bytes} bytes instead of {}", file.path, file.bytes));
            }
            Some(_) => {}
        }
    }
    let extra = found.iter().find(|file| of(promised, &file.path).is_none());
    extra.map(|file| format!("{} is not in the manifest", file.path))
}

/// Whether a directory can take a restored ledger: there is none, or an empty one.
///
/// # Errors
/// [`BackupError::NotEmpty`] when not, or when it cannot be looked at.
pub fn check_target(to: &Path) -> Result<(), BackupError> {
    match fs::read_dir(to) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(BackupError::NotEmpty(to.to_path_buf())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(file_error("looking into", to)(error)),
    }
}

/// Copies a checked backup into a directory that [`check_target`] has allowed, and holds it meanwhile. `on_file` is told
/// the bytes copied.
///
/// # Errors
/// When another process uses the directory, or a file cannot be read, written or synced. What is left then does not open;
/// before the first file there is an empty directory.
pub fn restore(from: &Path, to: &Path, manifest: &Manifest, on_file: &mut dyn FnMut(u64)) -> Result<(), BackupError> {
    let _held = DataDirectory::claim(to)?;
    // A server may have come and gone since the directory was looked at.
    if !list(to)?.is_empty() {
        return Err(BackupError::NotEmpty(to.to_path_buf()));
    }
    // Tables alone would look like a directory in which nothing was ever begun.
    let mut files: Vec<&ManifestFile> = manifest.files.iter().collect();
    files.sort_by_key(|file| match file.path.as_str() {
        CURRENT_FILE => 0,
        MARK_FILE => 2,
        _ => 1,
    });
    let mut copied_bytes = 0;
    for file in files {
        let (source, target) = (from.join(&file.path), to.join(&file.path));
        let folder = target.parent().unwrap_or(to);
        create_directory(folder)?;
        fs::copy(&source, &target).map_err(file_error("copying", &source))?;
        sync(&target)?;
        sync(folder)?;
        copied_bytes += file.bytes;
        on_file(copied_bytes);
    }
    sync(to)?;
    // The directory's own name lies in the one above.
    to.canonicalize().ok().and_then(|to| to.parent().map(sync)).unwrap_or(Ok(()))
}

fn sync(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(file_error("syncing", path))
}

/// The files below a directory with their lengths, but for the manifest and the lock that an opening leaves.
fn list(root: &Path) -> Result<Vec<ManifestFile>, BackupError> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(file_error("looking into", &folder))? {
            let path = entry.map_err(file_error("looking into", &folder))?.path();
            let data = fs::metadata(&path).map_err(file_error("looking at", &path))?;
            if data.is_dir() {
                folders.push(path);
                continue;
            }
            let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            if relative != MANIFEST && relative != "lock" {
                files.push(ManifestFile { path: relative, bytes: data.len() });
            }
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

/// Written beside, synced and renamed: a manifest is there as a whole or not at all.
fn write_manifest(to: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    let (path, unfinished) = (to.join(MANIFEST), to.join("backup.json.new"));
    let text = serde_json::to_string_pretty(manifest).expect("a manifest has string keys and no failing parts");
    fs::write(&unfinished, text + "\n").map_err(file_error("writing", &unfinished))?;
    sync(&unfinished)?;
    fs::rename(&unfinished, &path).map_err(file_error("renaming", &unfinished))?;
    sync(to)
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::types::Position;

    fn identity() -> Identity {
        Identity {
            directory_id: [7; 16],
            shard_count: 4,
            clock_is_input: false,
            created_at: TimestampNs(0),
            leaf_key: [1; 32],
            id_key: [2; 16],
        }
    }

    /// A store that is four files.
    fn copy(to: &Path, mark: Option<&[u8]>) -> Result<(), StoreError> {
        fs::create_dir_all(to.join("rocks")).unwrap();
        fs::write(to.join("rocks/000007.sst"), b"records").unwrap();
        fs::write(to.join("rocks/000008.sst"), b"state").unwrap();
        fs::write(to.join("rocks/CURRENT"), b"MANIFEST-000005\n").unwrap();
        fs::write(to.join("high-water"), mark.unwrap()).unwrap();
        Ok(())
    }

    fn backup_in(root: &Path) -> (PathBuf, Manifest) {
        let to = root.join("backup");
        let point = HighWater { end: Position(42), hash: [9; 32] };
        let manifest = create(&to, &point, &identity(), TimestampNs(1_000_000_000), &copy).unwrap();
        (to, manifest)
    }

    #[test]
    fn a_backup_says_what_it_holds_and_is_restored_with_its_mark() {
        let root = tempfile::tempdir().unwrap();
        let (backup, manifest) = backup_in(root.path());
        assert_eq!((manifest.record_count, manifest.byte_count), (42, 7 + 5 + 16 + 40));
        assert_eq!(manifest.begun_at, "1970-01-01T00:00:01Z");
        assert_eq!(manifest.directory_id, "07".repeat(16));
        assert_eq!(check(&backup).unwrap(), manifest);
        let target = root.path().join("data");
        check_target(&target).unwrap();
        let mut told = Vec::new();
        restore(&backup, &target, &manifest, &mut |bytes| told.push(bytes)).unwrap();
        assert_eq!(told, [16, 23, 28, 68], "the name of the database comes first, and the mark last");
        assert_eq!(fs::read(target.join("rocks/000007.sst")).unwrap(), b"records");
        assert!(!target.join(MANIFEST).exists());
        refuse_opening(&target).unwrap();
        assert!(matches!(refuse_opening(&backup), Err(BackupError::IsBackup(_))));
        assert!(matches!(check_target(&target), Err(BackupError::NotEmpty(_))));
    }

    #[test]
    fn a_restore_that_is_cut_short_leaves_a_database_without_its_mark() {
        for missing in ["rocks/000007.sst", "rocks/000008.sst", "high-water"] {
            let root = tempfile::tempdir().unwrap();
            let (backup, manifest) = backup_in(root.path());
            let target = root.path().join("data");
            fs::remove_file(backup.join(missing)).unwrap();
            let cut_short = restore(&backup, &target, &manifest, &mut |_| {});
            assert!(matches!(cut_short, Err(BackupError::File { .. })), "{missing}: {cut_short:?}");
            assert!(target.join("rocks/CURRENT").exists() && !target.join("high-water").exists(), "{missing}");
            assert!(matches!(check_target(&target), Err(BackupError::NotEmpty(_))), "{missing}");
            let again = restore(&backup, &target, &manifest, &mut |_| {});
            assert!(matches!(again, Err(BackupError::NotEmpty(_))), "{missing}: {again:?}");
        }
    }

    #[test]
    fn a_directory_is_held_while_a_backup_is_copied_into_it() {
        let root = tempfile::tempdir().unwrap();
        let (backup, manifest) = backup_in(root.path());
        let target = root.path().join("data");
        let mut held_count = 0;
        let mut look = |_: u64| {
            assert!(matches!(DataDirectory::claim(&target), Err(StoreError::Locked { .. })));
            held_count += 1;
        };
        restore(&backup, &target, &manifest, &mut look).unwrap();
        assert_eq!(held_count, 4);
        let held = DataDirectory::claim(&target).unwrap();
        let refused = restore(&backup, held.path(), &manifest, &mut |_| {});
        assert!(matches!(refused, Err(BackupError::Store(StoreError::Locked { .. }))), "{refused:?}");
    }

    #[test]
    fn nothing_is_overwritten() {
        let root = tempfile::tempdir().unwrap();
        let (backup, _) = backup_in(root.path());
        let point = HighWater { end: Position(1), hash: [0; 32] };
        let again = create(&backup, &point, &identity(), TimestampNs(0), &copy);
        assert!(matches!(again, Err(BackupError::NotEmpty(_))));
    }

    #[test]
    fn a_backup_that_is_not_whole_is_refused_with_the_reason() {
        type Harm = fn(&Path);
        let rows: [(Harm, &str); 6] = [
            (|path| fs::remove_file(path.join(MANIFEST)).unwrap(), "no manifest"),
            (|path| fs::remove_file(path.join("rocks/000007.sst")).unwrap(), "rocks/000007.sst is missing"),
            (|path| fs::write(path.join("high-water"), b"short").unwrap(), "high-water has 5 bytes instead of 40"),
            (|path| fs::write(path.join("rocks/extra"), b"").unwrap(), "rocks/extra is not in the manifest"),
            (|path| fs::write(path.join(MANIFEST), b"{}").unwrap(), "cannot be used"),
            (
                |path| {
                    let text = fs::read_to_string(path.join(MANIFEST)).unwrap();
                    fs::write(path.join(MANIFEST), text.replace("rocks/000007.sst", "../outside")).unwrap();
                },
                "lies outside",
            ),
        ];
        for (harm, reason) in rows {
            let root = tempfile::tempdir().unwrap();
            let (backup, _) = backup_in(root.path());
            harm(&backup);
            let error = check(&backup).unwrap_err().to_string();
            assert!(error.contains(reason), "{error} does not say {reason}");
        }
    }
}
