//! Damaged tables of spaces that the journal can give again: what they stop, and that emptying such a space leaves nothing of
//! them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::conformance::rows;
use super::rocks::{RocksOptions, RocksStore};
use super::rocks_disk_tests::copy_directory;
use super::{Batch, Damage, Direction, Durability, Space, Store, StoreError};
use crate::ids::IdIndex;
use crate::snapshot;

/// Rows of one table; they fill several of its blocks.
const ROWS: u64 = 200;
/// So many tables of level zero are left as they are; with one more they are merged.
const UNMERGED: u64 = 3;
/// Looks at what another thread does, and the rest between two of them.
const LOOKS: usize = 2_000;
const REST: Duration = Duration::from_millis(5);

fn open(path: &Path) -> Result<RocksStore, StoreError> {
    RocksStore::open(path, &RocksOptions::default())
}

fn open_to_empty(path: &Path, spaces: &[Space]) -> Result<RocksStore, StoreError> {
    RocksStore::open_to_empty(path, &RocksOptions::default(), spaces)
}

/// Writes a table with the same keys as every other, so that merging has to read it.
fn write_table(store: &dyn Store, space: Space, number: u64) {
    try_write_table(store, space, number).unwrap();
}

fn try_write_table(store: &dyn Store, space: Space, number: u64) -> Result<(), StoreError> {
    let mut batch = Batch::default();
    for key in 0..ROWS {
        batch.put(space, key.to_be_bytes(), number.to_be_bytes().repeat(12));
    }
    store.write(&batch, Durability::Deferred)?;
    store.flush(space)
}

fn append(store: &dyn Store, position: u64) -> Result<(), StoreError> {
    let mut batch = Batch::default();
    batch.put(Space::Journal, position.to_be_bytes(), vec![7; 1_000]);
    store.write(&batch, Durability::Synced)
}

fn row_count(store: &dyn Store, space: Space) -> u64 {
    rows(store, space, b"", Direction::Forward).len() as u64
}

fn files(data: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(data.join("rocks")).unwrap();
    let files = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|found| found == ending)).collect();
    files.sort();
    files
}

/// The tables of a space, in order of their numbers. Each says in its properties whose it is, next to the name of the property.
fn tables(data: &Path, space: Space) -> Vec<PathBuf> {
    let property = format!("name{}", space.name());
    let is_of_space = |bytes: Vec<u8>| bytes.windows(property.len()).any(|window| window == property.as_bytes());
    // One that has been merged meanwhile is gone.
    files(data, "sst").into_iter().filter(|path| fs::read(path).is_ok_and(is_of_space)).collect()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// A directory with as many tables of a space as are left unmerged, one of them with a changed bit in its first block.
fn with_a_damaged_table(data: &Path, space: Space) {
    let store = open(data).unwrap();
    store.write_mark(b"mark").unwrap();
    (0..UNMERGED).for_each(|number| write_table(&store, space, number));
    drop(store);
    let tables = tables(data, space);
    assert_eq!(tables.len() as u64, UNMERGED);
    flip(&tables[1], 100);
}

/// Writes until tables were merged: a merge that fails stops every write.
fn write_until_merged(store: &RocksStore, space: Space) {
    for position in 0..LOOKS as u64 {
        append(store, position).expect("no merge has failed");
        if tables(store.path(), space).len() as u64 <= UNMERGED {
            return;
        }
        std::thread::sleep(REST);
    }
    panic!("the tables are never merged");
}

#[test]
fn a_merge_that_reads_damage_stops_every_write_and_the_space_is_told() {
    for space in Space::DERIVED {
        let root = tempfile::tempdir().unwrap();
        with_a_damaged_table(root.path(), space);
        let store = open(root.path()).unwrap();
        // The flush may hear of the merge that it brings about.
        let told = try_write_table(&store, space, UNMERGED).err().or_else(|| {
            (0..LOOKS as u64).find_map(|position| {
                std::thread::sleep(REST);
                append(&store, position).err()
            })
        });
        let told = told.expect("the tables are merged by now");
        assert_eq!(told.damage(), Some(Damage::In(space)), "{told}");
    }
}

/// What empties a space, as the product does.
type Emptying = (Space, fn(&dyn Store));

const EMPTYINGS: [Emptying; 2] =
    [(Space::State, |store| snapshot::discard(store).unwrap()), (Space::Ids, |store| IdIndex::wipe(store).unwrap())];

#[test]
fn a_damaged_table_is_gone_with_its_space_before_anything_merges_it() {
    for (space, empty) in EMPTYINGS {
        let root = tempfile::tempdir().unwrap();
        with_a_damaged_table(root.path(), space);
        let store = open(root.path()).unwrap();
        empty(&store);
        assert_eq!(row_count(&store, space), 0);
        (0..=UNMERGED).for_each(|number| write_table(&store, space, number));
        write_until_merged(&store, space);
        assert_eq!(row_count(&store, space), ROWS);
        drop(store);
        let store = open(root.path()).unwrap();
        assert_eq!(row_count(&store, space), ROWS);
        append(&store, 0).unwrap();
    }
}

#[test]
fn a_space_that_is_about_to_be_emptied_is_not_merged_before_and_is_after() {
    for space in Space::DERIVED {
        let root = tempfile::tempdir().unwrap();
        with_a_damaged_table(root.path(), space);
        let store = open_to_empty(root.path(), &[space]).unwrap();
        (0..UNMERGED).for_each(|number| write_table(&store, space, number));
        for position in 0..40 {
            append(&store, position).expect("nothing has read the damaged table");
            std::thread::sleep(REST);
        }
        assert_eq!(tables(root.path(), space).len() as u64, 2 * UNMERGED);
        store.empty(space).unwrap();
        (0..=UNMERGED).for_each(|number| write_table(&store, space, number));
        write_until_merged(&store, space);
        assert_eq!(row_count(&store, space), ROWS);
    }
}

/// What a killed process leaves: a table of each derived space, and frames in the log alone.
fn killed(root: &Path, frame_count: u64) -> PathBuf {
    let live = root.join("live");
    let store = open(&live).unwrap();
    store.write_mark(b"mark").unwrap();
    for space in Space::DERIVED {
        write_table(&store, space, 0);
    }
    for position in 0..frame_count {
        append(&store, position).unwrap();
    }
    let left = root.join("left");
    copy_directory(&live, &left);
    left
}

/// What is done to a table so that the database does not open.
type Damaging = (&'static str, fn(&Path));

const DAMAGES: [Damaging; 3] = [
    ("its end is changed", |table| flip(table, fs::metadata(table).unwrap().len() as usize - 4)),
    ("its end is cut off", |table| {
        let bytes = fs::read(table).unwrap();
        fs::write(table, &bytes[..bytes.len() - 1]).unwrap();
    }),
    ("it is gone", |table| fs::remove_file(table).unwrap()),
];

#[test]
fn a_table_that_keeps_the_database_from_opening_is_told_and_goes_with_its_space_alone() {
    for (space, other) in [(Space::Ids, Space::State), (Space::State, Space::Ids)] {
        for (what, damage) in DAMAGES {
            let root = tempfile::tempdir().unwrap();
            let left = killed(root.path(), 30);
            damage(&tables(&left, space)[0]);
            for refused in [open(&left), open_to_empty(&left, &[other])] {
                let told = refused.unwrap_err();
                assert_eq!(told.damage(), Some(Damage::In(space)), "{what}: {told}");
            }
            let store = open_to_empty(&left, &[space]).unwrap();
            assert_eq!((row_count(&store, space), row_count(&store, other)), (0, ROWS), "{what}");
            assert_eq!(row_count(&store, Space::Journal), 30, "{what}: what was in the log alone is there");
            assert_eq!(store.read_mark().unwrap().unwrap(), b"mark");
            write_table(&store, space, 1);
            drop(store);
            let store = open(&left).unwrap();
            assert_eq!((row_count(&store, space), row_count(&store, Space::Journal)), (ROWS, 30), "{what}");
        }
    }
}

#[test]
fn nothing_is_dropped_where_something_else_is_damaged_too() {
    let root = tempfile::tempdir().unwrap();
    let left = killed(root.path(), 100);
    let log = files(&left, "log").into_iter().max_by_key(|log| fs::metadata(log).unwrap().len()).unwrap();
    flip(&log, 5_000);
    let table = tables(&left, Space::Ids)[0].clone();
    flip(&table, fs::metadata(&table).unwrap().len() as usize - 4);
    let told = open_to_empty(&left, &[Space::Ids]).unwrap_err();
    assert_eq!(told.damage(), Some(Damage::Somewhere), "{told}");
    assert!(table.exists());
}
