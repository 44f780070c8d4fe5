//! What the store asks of RocksDB, looked at from inside: statuses, syncs, what is written how often, and spaces that go.

use rocksdb::statistics::Ticker;

use super::*;
use crate::store::conformance;

conformance::tests!(|| {
    let directory = tempfile::tempdir().unwrap();
    (RocksStore::open(directory.path(), &RocksOptions::default()).unwrap(), directory)
});

#[test]
fn the_statuses_of_rocksdb_are_told_apart() {
    let classify = |kind, text| classify(Path::new("/data"), "a write", &kind, text);
    let full = "IO error: No space left on device: While appending to file: /data/rocks/000004.log: No space left \
                on device";
    assert!(matches!(classify(ErrorKind::IOError, full), StoreError::DiskFull { .. }));
    let missing = "IO error: No such file or directory: While open a file for random read: /data/rocks/000009.sst: \
                   No such file or directory";
    assert!(matches!(classify(ErrorKind::IOError, missing), StoreError::Damaged { .. }));
    let held = "IO error: While lock file: /data/rocks/LOCK: Resource temporarily unavailable";
    assert!(matches!(classify(ErrorKind::IOError, held), StoreError::Locked { .. }));
    let fixed = "IO error: While open a file for appending: /data/rocks/000004.log: Read-only file system";
    assert!(matches!(classify(ErrorKind::IOError, fixed), StoreError::ReadOnly { .. }));
    let broken = "IO error: While fdatasync: /data/rocks/000004.log: Input/output error";
    assert!(matches!(classify(ErrorKind::IOError, broken), StoreError::Io { operation: "a write", .. }));
    let changed = "Corruption: block checksum mismatch";
    assert!(matches!(classify(ErrorKind::Corruption, changed), StoreError::Damaged { .. }));
    let refused = "Invalid argument: Column families not opened: other";
    assert!(matches!(classify(ErrorKind::InvalidArgument, refused), StoreError::Io { .. }));
    assert!(matches!(
        super::classify(Path::new("/data"), OPENING, &ErrorKind::InvalidArgument, refused),
        StoreError::Damaged { .. }
    ));
    // A file of another user, such as what a command that ran as root has left behind, is no damage.
    let foreign = "While opening a file for sequentially reading: /data/rocks/OPTIONS-000007: Permission denied";
    for (kind, said) in [
        (ErrorKind::InvalidArgument, "Invalid argument: IO error"),
        (ErrorKind::Corruption, "Corruption: IO error"),
        (ErrorKind::IOError, "IO error"),
    ] {
        let told = super::classify(Path::new("/data"), OPENING, &kind, &format!("{said}: {foreign}"));
        assert!(matches!(told, StoreError::ReadOnly { .. }), "{told:?}");
    }
}

/// The lock of RocksDB itself, should something other than a store hold the database.
#[test]
fn a_database_that_another_program_holds_is_locked() {
    let directory = tempfile::tempdir().unwrap();
    drop(RocksStore::open(directory.path(), &RocksOptions::default()).unwrap());
    let options = RocksOptions::default();
    let _holder = Making::new(directory.path(), &options).open(false, &[]).unwrap();
    assert!(matches!(RocksStore::open(directory.path(), &options), Err(StoreError::Locked { .. })));
}

/// A database with the store's options that also counts what it does.
fn counted(directory: &Path, options: &RocksOptions) -> (Options, Database) {
    let mut counted = database_options(options, true);
    counted.enable_statistics();
    let making = Making::new(directory, options);
    let families = making.families(&[], &[]);
    let database = Database::open_cf_descriptors(&counted, making.database_path(), families).unwrap();
    (counted, database)
}

#[test]
fn a_synced_write_syncs_the_log_and_a_deferred_one_leaves_it_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (counted, database) = counted(directory.path(), &RocksOptions::default());
    let family = database.cf_handle(Space::Journal.name()).unwrap();
    let mut seen = Vec::new();
    for durability in [Durability::Synced, Durability::Synced, Durability::Deferred, Durability::Synced] {
        let before = [Ticker::WalFileSynced, Ticker::WriteWithWal].map(|ticker| counted.get_ticker_count(ticker));
        let mut batch = WriteBatch::default();
        batch.put_cf(&family, b"key", b"value");
        database.write_opt(batch, &write_options(durability)).unwrap();
        let after = [Ticker::WalFileSynced, Ticker::WriteWithWal].map(|ticker| counted.get_ticker_count(ticker));
        seen.push([after[0] - before[0], after[1] - before[1]]);
    }
    assert_eq!(seen, [[1, 1], [1, 1], [0, 0], [1, 1]]);
}

/// A journal is written to the log, written out once, and then only moved: twice its size plus overhead.
#[test]
fn the_journal_is_written_about_twice() {
    let directory = tempfile::tempdir().unwrap();
    let options = RocksOptions { journal_memtable_bytes: 1 << 20, ..RocksOptions::default() };
    let (counted, database) = counted(directory.path(), &options);
    let family = database.cf_handle(Space::Journal.name()).unwrap();

    let frame = vec![7; 16 << 10];
    let mut payload_bytes = 0;
    for position in 0..4_096u64 {
        let mut batch = WriteBatch::default();
        batch.put_cf(&family, position.to_be_bytes(), &frame);
        payload_bytes += 8 + frame.len() as u64;
        let mut unsynced = WriteOptions::default();
        unsynced.set_sync(false);
        database.write_opt(batch, &unsynced).unwrap();
    }
    database.flush_cf(&family).unwrap();
    database.wait_for_compact(&rocksdb::WaitForCompactOptions::default()).unwrap();

    let logged = counted.get_ticker_count(Ticker::WalFileBytes);
    let flushed = counted.get_ticker_count(Ticker::FlushWriteBytes);
    let merged = counted.get_ticker_count(Ticker::CompactWriteBytes);
    assert_eq!(merged, 0, "tables of the journal are moved, never rewritten");
    let written_percent = (logged + flushed + merged) * 100 / payload_bytes;
    assert!((200..=205).contains(&written_percent), "written {written_percent} % of the payload");
    let deepest = database.live_files().unwrap().iter().map(|file| file.level).max();
    assert!(deepest > Some(0), "tables do leave level zero");
}

fn put(store: &RocksStore, space: Space, key: &[u8], durability: Durability) {
    let mut batch = Batch::default();
    batch.put(space, key, b"value");
    store.write(&batch, durability).unwrap();
}

/// What a crash between the two halves of emptying a space leaves.
#[test]
fn a_derived_space_that_was_dropped_and_not_made_anew_is_made_by_the_next_opening() {
    let directory = tempfile::tempdir().unwrap();
    let open = || RocksStore::open(directory.path(), &RocksOptions::default());
    for space in Space::DERIVED {
        let store = open().unwrap();
        store.write_mark(b"mark").unwrap();
        put(&store, Space::Journal, b"frame", Durability::Synced);
        put(&store, space, b"logged", Durability::Synced);
        put(&store, space, b"deferred", Durability::Deferred);
        store.database.drop_cf(space.name()).unwrap();
        let told = store.get(space, b"logged").unwrap_err();
        assert_eq!(told.damage(), Some(crate::store::Damage::In(space)), "{told}");
        drop(store);
        let store = open().unwrap();
        assert!(conformance::rows(&store, space, b"", Direction::Forward).is_empty());
        assert!(store.get(Space::Journal, b"frame").unwrap().is_some());
        put(&store, space, b"anew", Durability::Deferred);
        store.flush(space).unwrap();
        drop(store);
        assert!(open().unwrap().get(space, b"anew").unwrap().is_some());
    }
}

/// Only what the journal can give again is made without being asked for.
#[test]
fn the_journal_that_was_dropped_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    let options = RocksOptions::default();
    let store = RocksStore::open(directory.path(), &options).unwrap();
    store.write_mark(b"mark").unwrap();
    store.database.drop_cf(Space::Journal.name()).unwrap();
    drop(store);
    let told = RocksStore::open_to_empty(directory.path(), &options, &Space::DERIVED).unwrap_err();
    assert!(matches!(told, StoreError::Damaged { .. }), "{told}");
}
