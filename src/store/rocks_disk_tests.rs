//! The store on disk against the disk: stops, cut and changed files, lost files, full and read-only file systems, other
//! processes.
//!
//! Processes that die are imitated by copying the files of an open store: the copy is what another process would find.
//! Some tests run a part of themselves in a child process, as a test of this file that does nothing without its
//! variable in the environment. File systems of their own need the right to mount; where it is missing those tests say
//! so and end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::conformance::rows;
use super::mark::MarkFile;
use super::rocks::{RocksOptions, RocksStore};
use super::{Batch, Direction, Durability, Space, Store, StoreError};

/// Small memory tables, so that a test sees many of them.
fn small() -> RocksOptions {
    RocksOptions { journal_memtable_bytes: 256 << 10, bulk_memtable_bytes: 256 << 10, ..RocksOptions::default() }
}

fn open(path: &Path) -> Result<RocksStore, StoreError> {
    RocksStore::open(path, &small())
}

/// A frame's worth of bytes that differ from frame to frame and within one.
fn frame(position: u64, bytes: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(bytes + 32);
    let mut count = 0u64;
    while frame.len() < bytes {
        frame.extend_from_slice(blake3::hash(&[position.to_be_bytes(), count.to_be_bytes()].concat()).as_bytes());
        count += 1;
    }
    frame.truncate(bytes);
    frame
}

fn append(store: &dyn Store, position: u64, bytes: usize) -> Result<(), StoreError> {
    let mut batch = Batch::default();
    batch.put(Space::Journal, position.to_be_bytes(), frame(position, bytes));
    store.write(&batch, Durability::Synced)
}

/// The positions in the journal; each frame must be what was written.
fn positions(store: &dyn Store, bytes: usize) -> Vec<u64> {
    rows(store, Space::Journal, b"", Direction::Forward)
        .into_iter()
        .map(|(key, value)| {
            let position = u64::from_be_bytes(key.try_into().unwrap());
            assert!(value == frame(position, bytes), "frame {position} changed");
            position
        })
        .collect()
}

pub(super) fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The files of the database whose names end so, in order of their numbers.
fn files(data: &Path, ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(data.join("rocks"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().ends_with(ending))
        .collect();
    files.sort();
    files
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0xff;
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path, bytes: u64) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(bytes).unwrap();
}

/// What a killed process leaves after so many synced appends, with a mark.
fn killed(root: &Path, append_count: u64, bytes: usize) -> PathBuf {
    let live = root.join("live");
    let store = open(&live).unwrap();
    store.write_mark(b"mark").unwrap();
    for position in 0..append_count {
        append(&store, position, bytes).unwrap();
    }
    let left = root.join("left");
    copy_directory(&live, &left);
    left
}

/// What is damaged, and how, given the file or the data directory.
type Damage = (&'static str, fn(&Path));

fn is_damaged<T>(outcome: &Result<T, StoreError>) -> bool {
    matches!(outcome, Err(StoreError::Damaged { .. }))
}

#[test]
fn a_store_that_was_closed_opens_with_everything() {
    let root = tempfile::tempdir().unwrap();
    for round in 0..3u64 {
        let store = open(root.path()).unwrap();
        assert_eq!(positions(&store, 100), (0..round).collect::<Vec<u64>>());
        append(&store, round, 100).unwrap();
        let mut batch = Batch::default();
        batch.put(Space::State, round.to_be_bytes(), "deferred");
        store.write(&batch, Durability::Deferred).unwrap();
        store.write_mark(&round.to_be_bytes()).unwrap();
        drop(store);
        let store = open(root.path()).unwrap();
        assert_eq!(store.read_mark().unwrap().unwrap(), round.to_be_bytes());
        let state = rows(&store, Space::State, b"", Direction::Forward);
        assert_eq!(state.len() as u64, round + 1, "an orderly close loses nothing");
    }
}

#[test]
fn a_killed_process_leaves_what_was_synced_and_what_was_flushed() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root.path().join("live")).unwrap();
    for position in 0..50 {
        append(&store, position, 1_000).unwrap();
        let mut batch = Batch::default();
        let space = if position < 25 { Space::State } else { Space::Ids };
        batch.put(space, position.to_be_bytes(), "deferred");
        store.write(&batch, Durability::Deferred).unwrap();
    }
    store.flush(Space::State).unwrap();
    let left = root.path().join("left");
    copy_directory(store.path(), &left);
    let store = open(&left).unwrap();
    assert_eq!(positions(&store, 1_000), (0..50).collect::<Vec<u64>>());
    assert_eq!(rows(&store, Space::State, b"", Direction::Forward).len(), 25, "flushed");
    assert_eq!(rows(&store, Space::Ids, b"", Direction::Forward).len(), 0, "never flushed, and not in the log");
}

#[test]
fn a_log_cut_anywhere_opens_with_all_before_the_cut() {
    let root = tempfile::tempdir().unwrap();
    let left = killed(root.path(), 60, 1_000);
    let log = files(&left, ".log").pop().unwrap();
    let whole = fs::metadata(&log).unwrap().len();
    let mut last_count = 60;
    for cut_bytes in (0..12).map(|step| 1 + step * 331) {
        let torn = root.path().join(format!("torn-{cut_bytes}"));
        copy_directory(&left, &torn);
        cut(&torn.join("rocks").join(log.file_name().unwrap()), whole - cut_bytes);
        let store = open(&torn).unwrap();
        let kept = positions(&store, 1_000);
        assert_eq!(kept, (0..kept.len() as u64).collect::<Vec<u64>>(), "a prefix");
        assert!(kept.len() as u64 + 2 + cut_bytes / 1_000 > 60, "only what the cut touched is lost");
        assert!(kept.len() <= last_count);
        last_count = kept.len();
        // And it goes on from there.
        append(&store, kept.len() as u64, 1_000).unwrap();
        drop(store);
        assert_eq!(positions(&open(&torn).unwrap(), 1_000).len(), kept.len() + 1);
    }
    assert!(last_count < 60);
}

#[test]
fn a_changed_byte_within_the_log_refuses_to_open() {
    let root = tempfile::tempdir().unwrap();
    let left = killed(root.path(), 100, 1_000);
    let log = files(&left, ".log").pop().unwrap();
    let whole = fs::metadata(&log).unwrap().len() as usize;
    let last_block = whole / 32_768 * 32_768;
    assert!(last_block >= 65_536, "several blocks of the log are full");
    for step in 0..24 {
        let at = step * last_block / 24 + step;
        let changed = root.path().join(format!("changed-{at}"));
        copy_directory(&left, &changed);
        flip(&changed.join("rocks").join(log.file_name().unwrap()), at);
        let outcome = open(&changed);
        assert!(is_damaged(&outcome), "byte {at} of {whole}: {outcome:?}");
    }
}

/// The gap that the mark and the journal's chain are there for, written down as a test: within the last block of the
/// log a damaged length looks like a record cut short. What opens is then still a prefix, never a hole.
#[test]
fn a_changed_byte_in_the_last_block_refuses_or_leaves_a_prefix() {
    let root = tempfile::tempdir().unwrap();
    let left = killed(root.path(), 20, 500);
    let log = files(&left, ".log").pop().unwrap();
    let whole = fs::metadata(&log).unwrap().len() as usize;
    assert!(whole < 32_768);
    let mut refused_count = 0;
    for at in (whole / 2)..(whole / 2 + 40) {
        let changed = root.path().join(format!("changed-{at}"));
        copy_directory(&left, &changed);
        flip(&changed.join("rocks").join(log.file_name().unwrap()), at);
        match open(&changed) {
            Err(StoreError::Damaged { .. }) => refused_count += 1,
            Ok(store) => {
                let kept = positions(&store, 500);
                assert_eq!(kept, (0..kept.len() as u64).collect::<Vec<u64>>());
            }
            Err(other) => panic!("{other}"),
        }
        fs::remove_dir_all(&changed).unwrap();
    }
    assert!(refused_count > 30, "refused {refused_count} of 40");
}

/// Several logs: writing out another space begins a new one while the journal still needs the old.
fn killed_with_several_logs(root: &Path) -> PathBuf {
    let store = open(&root.join("live")).unwrap();
    store.write_mark(b"mark").unwrap();
    for position in 0..30 {
        append(&store, position, 1_000).unwrap();
        if position % 10 == 9 {
            let mut batch = Batch::default();
            batch.put(Space::State, "key", position.to_be_bytes());
            store.write(&batch, Durability::Deferred).unwrap();
            store.flush(Space::State).unwrap();
        }
    }
    append(&store, 30, 1_000).unwrap();
    let left = root.join("left");
    copy_directory(store.path(), &left);
    assert!(files(&left, ".log").len() >= 3, "there are several logs");
    left
}

#[test]
fn an_earlier_log_that_is_missing_shortened_or_changed_refuses_to_open() {
    let root = tempfile::tempdir().unwrap();
    let left = killed_with_several_logs(root.path());
    assert_eq!(positions(&open(&left).unwrap(), 1_000).len(), 31);

    let damages: [Damage; 3] = [
        ("missing", |log| fs::remove_file(log).unwrap()),
        ("shortened", |log| cut(log, fs::metadata(log).unwrap().len() - 1_500)),
        ("changed", |log| flip(log, 5_000)),
    ];
    for (name, damage) in damages {
        let root = tempfile::tempdir().unwrap();
        let left = killed_with_several_logs(root.path());
        let logs: Vec<PathBuf> =
            files(&left, ".log").into_iter().filter(|log| fs::metadata(log).unwrap().len() > 0).collect();
        damage(&logs[1]);
        let outcome = open(&left);
        assert!(is_damaged(&outcome), "{name}: {outcome:?}");
    }
}

#[test]
fn logs_are_deleted_although_other_spaces_are_written_without_log() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path()).unwrap();
    let logs_bytes = || -> u64 {
        // A log may be deleted between listing and looking.
        files(root.path(), ".log").iter().filter_map(|log| fs::metadata(log).ok()).map(|file| file.len()).sum()
    };
    let mut most = 0;
    for position in 0..600u64 {
        append(&store, position, 32 << 10).unwrap();
        let mut batch = Batch::default();
        batch.put(Space::State, (position % 7).to_be_bytes(), frame(position, 100));
        batch.put(Space::Ids, position.to_be_bytes(), frame(position, 10));
        store.write(&batch, Durability::Deferred).unwrap();
        if position == 0 {
            let mut batch = Batch::default();
            batch.put(Space::Meta, "identity", "written once, logged, and in memory ever since");
            store.write(&batch, Durability::Synced).unwrap();
        }
        most = most.max(logs_bytes());
    }
    // 19 MiB went through logs that are bounded to one; a few more may wait for their tables to be written.
    assert!(most < 4 << 20, "logs grew to {most} bytes");
    drop(store);
    let store = open(root.path()).unwrap();
    assert_eq!(positions(&store, 32 << 10).len(), 600);
    assert!(store.get(Space::Meta, b"identity").unwrap().is_some());
}

/// A closed store with tables of the journal.
fn closed_with_tables(root: &Path) -> PathBuf {
    let store = open(root).unwrap();
    store.write_mark(b"mark").unwrap();
    for position in 0..100 {
        append(&store, position, 1_000).unwrap();
    }
    store.flush(Space::Journal).unwrap();
    drop(store);
    let tables = files(root, ".sst");
    assert_eq!(tables.len(), 1);
    tables[0].clone()
}

fn read_all(data: &Path) -> Result<usize, StoreError> {
    let store = open(data)?;
    let mut count = 0;
    store.scan(Space::Journal, b"", Direction::Forward, &mut |_, _| {
        count += 1;
        std::ops::ControlFlow::Continue(())
    })?;
    Ok(count)
}

#[test]
fn a_changed_byte_anywhere_in_a_table_is_found() {
    let root = tempfile::tempdir().unwrap();
    let table = closed_with_tables(root.path());
    let original = fs::read(&table).unwrap();
    assert_eq!(read_all(root.path()).unwrap(), 100);
    let mut unnoticed = Vec::new();
    for step in 0..40 {
        let at = step * (original.len() - 1) / 39;
        flip(&table, at);
        match read_all(root.path()) {
            Err(StoreError::Damaged { .. }) => {}
            Ok(count) => unnoticed.push((at, count)),
            Err(other) => panic!("{other}"),
        }
        fs::write(&table, &original).unwrap();
    }
    // Bytes that nothing is read from, such as unused properties, may change unnoticed; rows may not.
    assert!(unnoticed.iter().all(|&(at, count)| count == 100 && at > 100_000), "{unnoticed:?}");
    assert!(unnoticed.len() <= 3, "{unnoticed:?}");
}

#[test]
fn a_damaged_value_is_damage_to_a_lookup_too() {
    let root = tempfile::tempdir().unwrap();
    let table = closed_with_tables(root.path());
    flip(&table, 50_500);
    let store = open(root.path()).unwrap();
    let damaged_count = (0..100u64)
        .filter(|position| match store.get(Space::Journal, &position.to_be_bytes()) {
            Ok(Some(value)) => {
                assert!(value == frame(*position, 1_000));
                false
            }
            Err(StoreError::Damaged { .. }) => true,
            other => panic!("{other:?}"),
        })
        .count();
    assert!((1..=40).contains(&damaged_count), "one block is lost, {damaged_count} frames");
}

#[test]
fn what_is_missing_or_shortened_refuses_to_open() {
    let damages: [Damage; 9] = [
        ("the mark", |data| fs::remove_file(data.join("high-water")).unwrap()),
        ("half of the mark", |data| cut(&data.join("high-water"), 4_096)),
        ("the database", |data| fs::remove_dir_all(data.join("rocks")).unwrap()),
        ("the name of the manifest", |data| fs::remove_file(data.join("rocks/CURRENT")).unwrap()),
        ("all but tables", |data| {
            fs::remove_file(data.join("high-water")).unwrap();
            fs::remove_file(data.join("rocks/CURRENT")).unwrap();
        }),
        ("the name of the manifest, and what the mark said", |data| {
            fs::remove_file(data.join("high-water")).unwrap();
            MarkFile::create(&data.join("high-water"), None).unwrap();
            fs::remove_file(data.join("rocks/CURRENT")).unwrap();
        }),
        ("the manifest", |data| {
            let manifest = fs::read_to_string(data.join("rocks/CURRENT")).unwrap();
            fs::remove_file(data.join("rocks").join(manifest.trim())).unwrap();
        }),
        ("a table", |data| fs::remove_file(&files(data, ".sst")[0]).unwrap()),
        ("the end of a table", |data| {
            let table = &files(data, ".sst")[0];
            cut(table, fs::metadata(table).unwrap().len() - 1);
        }),
    ];
    for (name, damage) in damages {
        let root = tempfile::tempdir().unwrap();
        closed_with_tables(root.path());
        damage(root.path());
        let outcome = read_all(root.path());
        assert!(is_damaged(&outcome), "{name}: {outcome:?}");
    }
}

#[test]
fn a_torn_slot_leaves_the_older_mark_and_two_torn_slots_refuse() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path()).unwrap();
    for mark in [b"first", b"later"] {
        store.write_mark(mark).unwrap();
    }
    drop(store);
    let file = root.path().join("high-water");
    flip(&file, 4_096 + 60);
    let store = open(root.path()).unwrap();
    assert_eq!(store.read_mark().unwrap().unwrap(), b"first");
    drop(store);
    flip(&file, 60);
    assert!(is_damaged(&open(root.path())));
}

#[test]
fn a_making_that_was_cut_short_is_taken_up_again() {
    let root = tempfile::tempdir().unwrap();
    drop(open(root.path()).unwrap());
    // No mark was written yet: the process died before it could promise anything.
    fs::remove_dir_all(root.path().join("rocks")).unwrap();
    append(&open(root.path()).unwrap(), 0, 10).unwrap();
}

#[test]
fn a_copy_holds_what_was_written_and_opens_while_the_store_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root.path().join("live")).unwrap();
    store.write_mark(b"at the copy").unwrap();
    for position in 0..20 {
        append(&store, position, 1_000).unwrap();
    }
    let mut batch = Batch::default();
    batch.put(Space::State, "deferred", "value");
    store.write(&batch, Durability::Deferred).unwrap();
    let copy = root.path().join("copies/one");
    store.checkpoint(&copy).unwrap();
    append(&store, 20, 1_000).unwrap();
    store.write_mark(b"later").unwrap();

    let copied = open(&copy).unwrap();
    assert_eq!(positions(&copied, 1_000), (0..20).collect::<Vec<u64>>());
    assert_eq!(copied.get(Space::State, b"deferred").unwrap().unwrap(), b"value");
    assert_eq!(copied.read_mark().unwrap().unwrap(), b"at the copy");
    append(&copied, 20, 7).unwrap();
    assert_eq!(positions(&store, 1_000), (0..21).collect::<Vec<u64>>(), "the copy is on its own");

    assert!(matches!(store.checkpoint(&copy), Err(StoreError::Io { .. })), "a copy is never written over");
    let unfinished = root.path().join("copies/two");
    store.checkpoint(&unfinished).unwrap();
    fs::remove_file(unfinished.join("high-water")).unwrap();
    assert!(is_damaged(&open(&unfinished)));
}

#[test]
fn the_size_of_the_journal_is_about_right() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path()).unwrap();
    for position in 0..100 {
        append(&store, position, 32 << 10).unwrap();
    }
    let bytes = store.approximate_journal_bytes().unwrap();
    let written = 100 * (32 << 10);
    assert!((written * 9 / 10..=written * 12 / 10).contains(&bytes), "{bytes} bytes");
}

/// The variable that sends a child to work, and in which directory.
const CHILD_DIRECTORY: &str = "TALLYSTICK_TEST_CHILD_DIRECTORY";

fn child_directory() -> Option<PathBuf> {
    std::env::var_os(CHILD_DIRECTORY).map(PathBuf::from)
}

/// Runs one test of this file in a process of its own.
fn child(test: &str, directory: &Path) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("store::rocks_disk_tests::{test}"), "--nocapture"])
        .env(CHILD_DIRECTORY, directory)
        .output()
        .unwrap()
}

/// Runs one test of this file in a process with a temporary file system of its own mounted at the directory. Nothing
/// when this user may not mount.
fn child_on_file_system(test: &str, directory: &Path, mount_options: &str) -> Option<Output> {
    let script = "mount -t tmpfs -o \"$1\" none \"$2\" || exit 99; shift 2; exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script, "sh", mount_options])
        .arg(directory)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("store::rocks_disk_tests::{test}"), "--nocapture"])
        .env(CHILD_DIRECTORY, directory)
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(99) || said.contains("unshare:") {
        eprintln!("skipped, no right to mount: {said}");
        return None;
    }
    Some(output)
}

fn assert_child_did(output: &Output, what: &str) {
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains(what), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn child_finds_the_store_locked() {
    let Some(directory) = child_directory() else { return };
    assert!(matches!(open(&directory), Err(StoreError::Locked { path }) if path == directory));
    println!("found it locked");
}

#[test]
fn a_second_process_and_a_second_store_find_it_locked() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path()).unwrap();
    assert!(matches!(open(root.path()), Err(StoreError::Locked { .. })));
    assert_child_did(&child("child_finds_the_store_locked", root.path()), "found it locked");
    append(&store, 0, 10).unwrap();
    drop(store);
    assert_eq!(positions(&open(root.path()).unwrap(), 10), [0]);
}

#[test]
fn child_dies_while_it_writes() {
    let Some(directory) = child_directory() else { return };
    let store = open(&directory).unwrap();
    for position in 0..40 {
        append(&store, position, 1_000).unwrap();
    }
    println!("wrote forty");
    std::process::abort();
}

#[test]
fn a_process_that_dies_leaves_no_lock_and_all_it_synced() {
    let root = tempfile::tempdir().unwrap();
    let output = child("child_dies_while_it_writes", root.path());
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("wrote forty"));
    assert_eq!(positions(&open(root.path()).unwrap(), 1_000).len(), 40);
}

#[test]
fn child_cannot_write() {
    let Some(directory) = child_directory() else { return };
    for path in [directory.clone(), directory.join("below")] {
        let outcome = open(&path);
        assert!(matches!(outcome, Err(StoreError::ReadOnly { .. })), "{outcome:?}");
    }
    println!("could not write");
}

#[test]
fn a_read_only_file_system_is_named() {
    let root = tempfile::tempdir().unwrap();
    if let Some(output) = child_on_file_system("child_cannot_write", root.path(), "ro") {
        assert_child_did(&output, "could not write");
    }
}

#[test]
fn child_fills_the_disk() {
    let Some(directory) = child_directory() else { return };
    let data = directory.join("data");
    let store = open(&data).unwrap();
    store.write_mark(b"mark").unwrap();
    let mut acknowledged = 0;
    let error = loop {
        match append(&store, acknowledged, 64 << 10) {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 1_000, "the disk never fills");
    };
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
    drop(store);
    fs::write(directory.join("ballast"), vec![0; 8 << 20]).expect_err("still full");
    let outcome = open(&data);
    assert!(matches!(outcome, Err(StoreError::DiskFull { .. })), "{outcome:?}");

    fs::remove_file(directory.join("ballast")).unwrap();
    let resized = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&directory).status().unwrap();
    assert!(resized.success());
    let kept = positions(&open(&data).unwrap(), 64 << 10).len() as u64;
    // The batch that failed may be there or not; nothing that was acknowledged is missing.
    assert!(kept == acknowledged || kept == acknowledged + 1, "{kept} of {acknowledged}");
    println!("filled the disk and lost nothing of {acknowledged}");
}

#[test]
fn a_full_disk_is_named_and_loses_nothing_acknowledged() {
    let root = tempfile::tempdir().unwrap();
    if let Some(output) = child_on_file_system("child_fills_the_disk", root.path(), "size=12m") {
        assert_child_did(&output, "filled the disk and lost nothing");
    }
}
