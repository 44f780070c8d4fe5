//! A data directory that is not what the server left: every kind of damage is refused with the number for it and a
//! sentence that says what is wrong; nothing is skipped, repaired or begun anew, but for what the journal gives again.
//!
//! The one thing that is not refused is the loss of what no answer and no high-water mark vouches for. It lies behind
//! the mark, which is renewed every second; `tallystick audit verify` states that gap.
#![cfg(all(feature = "server", feature = "rocksdb"))]

mod blackbox;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use Place::{First, Last};
use blackbox::oracle::{Oracle, send};
use blackbox::{Clients, End, Site, audit, calls, verify_directory, wait_for};
use tallystick::service::wire;
use tallystick::store::rocks::{RocksOptions, RocksStore};
use tallystick::store::{Batch, Direction, Durability, Space, Store};

/// The directory is damaged, lacks acknowledged records, or was made by a newer version.
const DAMAGED: i32 = 76;
/// A verification ran to its end and found problems.
const FOUND_PROBLEMS: i32 = 1;
/// Commands of each of the two runs that make the directory. A record of a long basket has several kilobytes.
const COMMANDS: usize = 40;

/// A directory with a table and a log, both of the journal, and a mark that vouches for all of it.
async fn prepared(oracle: &Oracle) -> Site {
    let site = Site::new();
    for run in 0..2 {
        // Opening writes out what the log holds: after two runs there is a table and a log.
        let server = site.start().await;
        let mut clients = server.connect().await;
        for index in 0..COMMANDS {
            let id = format!("long-{run}-{index}");
            let command = calls::accrue(wire::AccrueRequest {
                basket: Some(calls::long_basket(&id, calls::now())),
                ..calls::accrual(&id, "member-1", calls::now(), 0)
            });
            oracle.ask(0, "member-1", &command);
            send(oracle, &mut clients, &command).await.expect("a healthy server answers");
        }
        wait_for_mark(&clients).await;
        server.kill9();
    }
    site
}

/// The same, with a snapshot behind all of it.
async fn prepared_with_a_snapshot(oracle: &Oracle) -> Site {
    let site = prepared(oracle).await;
    let server = site.start().await;
    let mut admin = server.connect().await.admin;
    let taken = admin.take_snapshot(wire::TakeSnapshotRequest {}).await;
    let snapshot = taken.expect("a healthy server takes a snapshot").into_inner().snapshot;
    assert!(snapshot.is_some_and(|snapshot| snapshot.position > COMMANDS as i64), "everything is before it");
    assert_eq!(server.terminate().await.code, Some(0));
    site
}

/// Waits until the high-water mark vouches for everything.
async fn wait_for_mark(clients: &Clients) {
    wait_for("the renewal of the mark", Duration::from_secs(20), async || {
        let response = clients.admin.clone().get_status(wire::GetStatusRequest { digest: false }).await;
        let status = response.expect("a healthy server states how it is").into_inner();
        (status.mark_position.is_some() && status.mark_position == status.durable_position).then_some(())
    })
    .await;
}

/// A place with a copy of a data directory.
fn copy_of(site: &Site) -> Site {
    let copy = Site::new();
    copy_directory(site.data(), copy.data());
    copy
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory can be made");
    for entry in fs::read_dir(from).expect("a directory can be read") {
        let path = entry.expect("an entry can be read").path();
        let target = to.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            copy_directory(&path, &target);
        } else {
            fs::copy(&path, &target).expect("a file can be copied");
        }
    }
}

/// The largest file of the database with this ending.
fn largest(data: &Path, ending: &str) -> PathBuf {
    let entries = fs::read_dir(data.join("rocks")).expect("the database has a directory");
    let files = entries.map(|entry| entry.expect("an entry can be read").path());
    let found = files
        .filter(|path| path.extension().is_some_and(|extension| extension == ending))
        .max_by_key(|path| fs::metadata(path).map_or(0, |file| file.len()));
    let found = found.unwrap_or_else(|| panic!("the database has no file that ends in .{ending}"));
    let bytes = fs::metadata(&found).map_or(0, |file| file.len());
    assert!(bytes > 100_000, "{} has only {bytes} bytes", found.display());
    found
}

/// Inverts one byte of a file, so many hundredths of the way into it.
fn flip(path: &Path, hundredths: usize) {
    flip_at(path, |bytes| bytes.len() * hundredths / 100);
}

/// Inverts one byte of a file, at the place that is found in it.
fn flip_at(path: &Path, find: impl FnOnce(&[u8]) -> usize) {
    let mut bytes = fs::read(path).expect("the file can be read");
    let at = find(&bytes);
    bytes[at] ^= 0xff;
    fs::write(path, bytes).expect("the file can be written");
}

/// Where some bytes begin in others.
fn place_of(wanted: &[u8], bytes: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// The tables of a space, the largest first. Each says in its properties whose it is, next to the name of the property.
fn tables_of(data: &Path, space: Space) -> Vec<PathBuf> {
    let property = format!("name{}", space.name());
    let entries = fs::read_dir(data.join("rocks")).expect("the database has a directory");
    let tables = entries.map(|entry| entry.expect("an entry can be read").path());
    let tables = tables.filter(|path| path.extension().is_some_and(|extension| extension == "sst"));
    // One of a server that runs may be gone by now.
    let read = tables.filter_map(|path| Some((fs::read(&path).ok()?, path)));
    let mut found: Vec<_> = read.filter(|(bytes, _)| place_of(property.as_bytes(), bytes).is_some()).collect();
    found.sort_by_key(|(bytes, _)| std::cmp::Reverse(bytes.len()));
    found.into_iter().map(|(_, path)| path).collect()
}

/// Cuts a file to so many hundredths of its length.
fn cut(path: &Path, hundredths: usize) {
    let mut bytes = fs::read(path).expect("the file can be read");
    bytes.truncate(bytes.len() * hundredths / 100);
    fs::write(path, bytes).expect("the file can be written");
}

fn remove(path: &Path) {
    fs::remove_file(path).expect("the file is there to be removed");
}

/// Changes what the database holds, below the server's back and with all of the database's own checksums right.
fn with_store(data: &Path, change: impl FnOnce(&RocksStore) -> Batch) {
    let store = RocksStore::open(data, &RocksOptions::default()).expect("the directory can be opened");
    let batch = change(&store);
    store.write(&batch, Durability::Synced).expect("the database can be written");
}

/// What is done to a directory, and what the operator is told.
type Damage = (&'static str, fn(&Path), &'static [&'static str]);

/// The operator is told which directory it is about.
const MISSING: [&str; 2] = ["the journal in /", "acknowledged records are missing"];

const DAMAGES: [Damage; 13] = [
    ("a byte of a table is changed", |data| flip(&largest(data, "sst"), 50), &["damaged"]),
    ("a byte in the body of the log is changed", |data| flip(&largest(data, "log"), 40), &["damaged"]),
    ("a table is gone", |data| remove(&largest(data, "sst")), &["damaged"]),
    ("a table is cut short", |data| cut(&largest(data, "sst"), 60), &["damaged"]),
    ("the end of the log is gone", |data| cut(&largest(data, "log"), 60), &MISSING),
    ("the last log is gone", |data| remove(&largest(data, "log")), &MISSING),
    ("the high-water mark is gone", |data| remove(&data.join("high-water")), &["high-water mark", "missing"]),
    ("the high-water mark is overwritten", overwrite_mark, &["high-water mark"]),
    ("the database is gone", remove_database, &["no database"]),
    ("the layout is newer", newer_layout, &["newer", "layout 2"]),
    (
        "the first frame of the journal is gone",
        remove_first_frame,
        &["the journal is damaged", "position 0 was expected here"],
    ),
    ("a frame in the middle of the journal is gone", remove_middle_frame, &["the journal is damaged", "the frame at"]),
    (
        "a frame is changed and its checksums fit",
        change_middle_frame,
        &["the journal is damaged", "its hash does not fit"],
    ),
];

fn overwrite_mark(data: &Path) {
    let path = data.join("high-water");
    let length = fs::metadata(&path).expect("the mark has a file").len();
    fs::write(&path, vec![0x5a; usize::try_from(length).expect("the file is small")]).expect("it can be written");
}

fn remove_database(data: &Path) {
    fs::remove_dir_all(data.join("rocks")).expect("the database is there to be removed");
}

/// The identity begins with the number of the layout, two bytes, the lower one first.
fn newer_layout(data: &Path) {
    with_store(data, |store| {
        let identity = store.get(Space::Meta, b"identity").expect("the identity can be read");
        let mut identity = identity.expect("there is an identity");
        assert_eq!(identity[..2], [1, 0], "the layout of today; a newer one needs a new expectation here");
        identity[0] = 2;
        let mut batch = Batch::default();
        batch.put(Space::Meta, b"identity", identity);
        batch
    });
}

fn remove_first_frame(data: &Path) {
    with_store(data, |_| {
        let mut batch = Batch::default();
        batch.delete(Space::Journal, 0_u64.to_be_bytes());
        batch
    });
}

fn remove_middle_frame(data: &Path) {
    with_store(data, |store| {
        let mut batch = Batch::default();
        batch.delete(Space::Journal, middle_frame(store).0);
        batch
    });
}

fn change_middle_frame(data: &Path) {
    with_store(data, |store| {
        let (key, mut frame) = middle_frame(store);
        let last = frame.len() / 2;
        frame[last] ^= 1;
        let mut batch = Batch::default();
        batch.put(Space::Journal, key, frame);
        batch
    });
}

/// Key and bytes of a frame with as many before it as behind it.
fn middle_frame(store: &RocksStore) -> (Vec<u8>, Vec<u8>) {
    let mut frames = Vec::new();
    let mut keep = |key: &[u8], frame: &[u8]| {
        frames.push((key.to_vec(), frame.to_vec()));
        ControlFlow::Continue(())
    };
    store.scan(Space::Journal, &[], Direction::Forward, &mut keep).expect("the journal can be read");
    frames.swap_remove(frames.len() / 2)
}

#[tokio::test]
async fn damage_is_refused_with_its_number_and_a_reason() {
    let oracle = Oracle::default();
    let site = prepared(&oracle).await;
    for (what, damage, fragments) in DAMAGES {
        let copy = copy_of(&site);
        damage(copy.data());
        let end = match copy.try_start(&[]).await {
            Ok(_) => panic!("{what}, and the server serves nevertheless"),
            Err(end) => end,
        };
        println!("{what}: {}", end.errors.lines().last().unwrap_or_default());
        assert_eq!(end.code, Some(DAMAGED), "{what}: {}", end.errors);
        for fragment in fragments {
            assert!(
                end.errors.contains(fragment),
                "{what}, but standard error does not say {fragment:?}: {}",
                end.errors
            );
        }
        // Refused again: the attempt repaired nothing and threw nothing away.
        assert_eq!(copy.start_refused().await.code, Some(DAMAGED), "{what}, and the second start is another");
        let (code, told, errors) = audit(copy.data());
        assert!(
            matches!(code, Some(FOUND_PROBLEMS | DAMAGED)),
            "{what}, and the auditor ends with {code:?}: {told}{errors}"
        );
    }
    // What was refused was the damage: the directory itself, and a copy of it, serve and have everything.
    for site in [&site, &copy_of(&site)] {
        let server = site.start().await;
        let clients = server.connect().await;
        oracle.check_after_restart(&clients, 0).await;
        oracle.check_history(&clients).await;
        server.kill9();
    }
}

#[tokio::test]
async fn a_record_that_a_crash_tore_is_dropped_because_nobody_was_answered() {
    let oracle = Oracle::default();
    let site = prepared(&oracle).await;
    // What a torn write leaves: the beginning of a record behind the last whole one.
    let path = largest(site.data(), "log");
    let mut bytes = fs::read(&path).expect("the log can be read");
    let beginning: Vec<u8> = bytes[..5].to_vec();
    bytes.extend(beginning);
    fs::write(&path, bytes).expect("the log can be written");
    let server = site.start().await;
    let clients = server.connect().await;
    oracle.check_after_restart(&clients, 0).await;
    oracle.check_history(&clients).await;
    server.kill9();
    verify_directory(site.data());
}

/// A snapshot spares recovery the frames before it; the auditor reads them all the same.
#[tokio::test]
async fn the_auditor_finds_damage_that_lies_before_a_snapshot() {
    let oracle = Oracle::default();
    let site = prepared_with_a_snapshot(&oracle).await;
    verify_directory(site.data());
    for (damage, class) in [(remove_middle_frame as fn(&Path), "chain"), (change_middle_frame, "frame")] {
        let copy = copy_of(&site);
        damage(copy.data());
        let (code, told, errors) = audit(copy.data());
        assert_eq!(code, Some(FOUND_PROBLEMS), "{told}{errors}");
        let report: serde_json::Value = serde_json::from_str(&told).expect("--json prints one JSON object");
        let finding = &report["findings"][0];
        assert_eq!((&report["intact"], &finding["class"]), (&false.into(), &class.into()), "{told}");
        assert!(finding["position"].as_u64().is_some_and(|position| position > 1_000), "the place is named: {told}");
    }
}

/// A snapshot that cannot be used stops the server, so that somebody looks; the journal gives the state without it.
#[tokio::test]
async fn a_damaged_snapshot_is_refused_until_it_is_discarded() {
    let oracle = Oracle::default();
    let site = prepared_with_a_snapshot(&oracle).await;
    // By place among the entities: names come first, what a shard has comes last.
    for place in [First, Last] {
        let copy = copy_of(&site);
        with_store(copy.data(), |store| empty_entity(store, place));
        let end = copy.start_refused().await;
        assert_eq!(end.code, Some(DAMAGED), "{}", end.errors);
        assert!(end.errors.contains("--discard-snapshot"), "the operator is told what to do: {}", end.errors);
        let (code, told, errors) = audit(copy.data());
        assert_eq!(code, Some(FOUND_PROBLEMS), "{told}{errors}");
        let report: serde_json::Value = serde_json::from_str(&told).expect("--json prints one JSON object");
        let findings = report["findings"].as_array().expect("findings are a list");
        assert!(findings.iter().all(|finding| finding["class"] == "snapshot"), "the journal is whole: {told}");

        let Ok(server) = copy.try_start(&[("discard_snapshot", "")]).await else {
            panic!("the journal has everything")
        };
        let clients = server.connect().await;
        oracle.check_after_restart(&clients, 0).await;
        oracle.check_history(&clients).await;
        let taken = clients.admin.clone().take_snapshot(wire::TakeSnapshotRequest {}).await;
        taken.expect("a new snapshot can be taken");
        assert_eq!(server.terminate().await.code, Some(0));
        verify_directory(copy.data());
        copy.start().await.kill9();
    }
}

#[tokio::test]
async fn a_snapshot_is_kept_where_the_journal_cannot_replace_it() {
    let oracle = Oracle::default();
    let site = prepared_with_a_snapshot(&oracle).await;
    let before = entities(site.data());
    change_middle_frame(site.data());
    let Err(end) = site.try_start(&[("discard_snapshot", "")]).await else { panic!("the journal is damaged") };
    assert_eq!(end.code, Some(DAMAGED), "{}", end.errors);
    assert!(end.errors.contains("its hash does not fit"), "{}", end.errors);
    assert_eq!(entities(site.data()), before, "nothing was thrown away");
}

#[tokio::test]
async fn nothing_is_mended_where_there_is_no_ledger() {
    for mending in ["discard_snapshot", "rebuild_ids"] {
        let site = Site::new();
        let Err(end) = site.try_start(&[(mending, "")]).await else { panic!("{mending}: there is nothing to mend") };
        assert_eq!(end.code, Some(78), "{}", end.errors);
        assert!(end.errors.contains("there is no ledger in"), "{}", end.errors);
        assert!(!site.data().join("rocks").exists(), "nothing was made");
    }
}

/// The engine below notices a changed bit when it reads the table again: when the snapshot is loaded, or when tables are merged.
#[tokio::test]
async fn a_snapshot_in_a_damaged_table_is_refused_until_it_is_discarded_and_then_leaves_nothing_of_it() {
    let oracle = Oracle::default();
    let site = prepared_with_a_snapshot(&oracle).await;
    let table_count = tables_of(site.data(), Space::State).len();
    assert!(table_count > 0, "the snapshot lies in tables");
    for table in 0..table_count {
        let copy = copy_of(&site);
        flip_at(&tables_of(copy.data(), Space::State)[table], |_| 100);
        let end = copy.start_refused().await;
        assert_eq!(end.code, Some(DAMAGED), "{}", end.errors);
        for told in ["damaged in the space state", "--discard-snapshot"] {
            assert!(end.errors.contains(told), "{told}: {}", end.errors);
        }
        let server = copy.start_with(&[("discard_snapshot", "")]).await;
        let mut clients = server.connect().await;
        oracle.check_after_restart(&clients, 0).await;
        // More tables than are left unmerged.
        for number in 0..6 {
            let purchase = calls::accrual(&format!("new-{table}-{number}"), "member-9", calls::now(), 300);
            clients.ledger.accrue(purchase).await.expect("a healthy server answers");
            let taken = clients.admin.take_snapshot(wire::TakeSnapshotRequest {}).await;
            taken.expect("a new snapshot can be taken");
        }
        assert_eq!(server.terminate().await.code, Some(0));
        let server = copy.start().await;
        assert_eq!(server.terminate().await.code, Some(0));
        verify_directory(copy.data());
    }
}

/// Commands of whose ids most are on disk alone after a restart: a run is written when a segment of ids is full.
const OLD_COMMANDS: usize = 2_500;
const SEGMENT_IDS: &str = "4096";

/// A directory with one run of the index of ids, and the commands that filled it.
async fn prepared_with_ids_on_disk(oracle: &Oracle) -> (Site, Vec<wire::Command>) {
    let site = Site::new();
    let server = site.start_with(&[("ids_segment", SEGMENT_IDS)]).await;
    let clients = server.connect().await;
    let command = |number: usize| {
        let account_id = format!("member-{}", number % 50);
        let command = calls::accrue(calls::accrual(&format!("old-{number}"), &account_id, calls::now(), 300));
        oracle.ask(0, &account_id, &command);
        command
    };
    let commands: Vec<_> = (0..OLD_COMMANDS).map(command).collect();
    oracle.ask_again(&clients, commands.clone()).await;
    wait_for("a run of ids on disk", Duration::from_secs(60), async || footer_of_ids(site.data()).map(drop)).await;
    assert_eq!(server.terminate().await.code, Some(0));
    (site, commands)
}

/// The table with the footer of a run of ids, which opening reads, and the place of the footer in it.
fn footer_of_ids(data: &Path) -> Option<(PathBuf, usize)> {
    tables_of(data, Space::Ids).into_iter().find_map(|path| {
        let place = place_of(b"TallyIds", &fs::read(&path).ok()?)?;
        Some((path, place))
    })
}

/// The large part of a run: its blocks, which nothing reads before an id is looked up.
fn blocks_of_ids(data: &Path) -> PathBuf {
    tables_of(data, Space::Ids).swap_remove(0)
}

/// Asks for what was answered long ago until the server fails, and gives its end.
async fn fail_at_an_old_id(site: &Site, oracle: &Oracle, commands: &[wire::Command]) -> End {
    let server = site.start().await;
    let mut clients = server.connect().await;
    for command in commands {
        if send(oracle, &mut clients, command).await.is_err() {
            return server.end().await;
        }
    }
    panic!("no id was looked up in the damaged block");
}

#[track_caller]
fn assert_names_the_way_out(end: &End) {
    assert_eq!(end.code, Some(DAMAGED), "{}", end.errors);
    for told in ["damaged in the space ids", "--rebuild-ids"] {
        assert!(end.errors.contains(told), "standard error does not say {told:?}: {}", end.errors);
    }
}

#[tokio::test]
async fn an_index_of_ids_that_cannot_be_opened_is_made_anew_and_that_is_logged() {
    let oracle = Oracle::default();
    let (site, _) = prepared_with_ids_on_disk(&oracle).await;
    let (table, place) = footer_of_ids(site.data()).expect("there is a run");
    flip_at(&table, |_| place);
    for is_first in [true, false] {
        let server = site.start().await;
        assert_eq!(server.errors().contains("made anew"), is_first, "{}", server.errors());
        let clients = server.connect().await;
        oracle.check_after_restart(&clients, 0).await;
        assert_eq!(server.terminate().await.code, Some(0));
    }
    verify_directory(site.data());
}

#[tokio::test]
async fn a_damaged_block_of_the_index_of_ids_stops_the_ledger_until_the_index_is_rebuilt() {
    let oracle = Oracle::default();
    let (site, commands) = prepared_with_ids_on_disk(&oracle).await;
    // Behind the first block, at which opening looks for the beginning of the run.
    flip_at(&blocks_of_ids(site.data()), |bytes| bytes.len() / 4);
    for _ in 0..2 {
        assert_names_the_way_out(&fail_at_an_old_id(&site, &oracle, &commands).await);
    }
    let server = site.start_with(&[("rebuild_ids", "")]).await;
    assert!(server.errors().contains("the index of ids was emptied, and is made anew"), "{}", server.errors());
    let clients = server.connect().await;
    oracle.check_after_restart(&clients, 0).await;
    assert_eq!(server.terminate().await.code, Some(0));
    verify_directory(site.data());
    let server = site.start().await;
    oracle.check_after_restart(&server.connect().await, 0).await;
    server.kill9();
}

/// The database finds nothing wrong with it: only the checksum that is in the block tells.
#[tokio::test]
async fn a_block_of_ids_that_is_not_what_was_written_stops_the_ledger_as_one_that_cannot_be_read() {
    let oracle = Oracle::default();
    let (site, commands) = prepared_with_ids_on_disk(&oracle).await;
    with_store(site.data(), |store| {
        let mut batch = Batch::default();
        let scanned = store.scan(Space::Ids, b"", Direction::Forward, &mut |key, value| {
            // The indexes of blocks are below that of the filter.
            if key[8] < 0x80 {
                let mut value = value.to_vec();
                value[0] ^= 1;
                batch.put(Space::Ids, key, value);
            }
            ControlFlow::Continue(())
        });
        scanned.expect("the index can be read");
        batch
    });
    assert_names_the_way_out(&fail_at_an_old_id(&site, &oracle, &commands).await);
    let server = site.start_with(&[("rebuild_ids", "")]).await;
    oracle.check_after_restart(&server.connect().await, 0).await;
    assert_eq!(server.terminate().await.code, Some(0));
    verify_directory(site.data());
}

#[tokio::test]
async fn an_index_of_ids_whose_table_keeps_the_directory_from_opening_is_rebuilt_when_that_is_asked_for() {
    let oracle = Oracle::default();
    let (site, _) = prepared_with_ids_on_disk(&oracle).await;
    flip_at(&blocks_of_ids(site.data()), |bytes| bytes.len() - 4);
    for _ in 0..2 {
        assert_names_the_way_out(&site.start_refused().await);
    }
    let server = site.start_with(&[("rebuild_ids", "")]).await;
    oracle.check_after_restart(&server.connect().await, 0).await;
    assert_eq!(server.terminate().await.code, Some(0));
    verify_directory(site.data());
}

#[tokio::test]
async fn an_index_of_ids_is_kept_where_the_journal_cannot_replace_it() {
    let oracle = Oracle::default();
    let (site, _) = prepared_with_ids_on_disk(&oracle).await;
    change_middle_frame(site.data());
    let Err(end) = site.try_start(&[("rebuild_ids", "")]).await else { panic!("the journal is damaged") };
    assert_eq!(end.code, Some(DAMAGED), "{}", end.errors);
    assert!(end.errors.contains("its hash does not fit"), "{}", end.errors);
    assert!(footer_of_ids(site.data()).is_some(), "nothing was thrown away");
}

/// What the snapshot holds, with its marker.
fn entities(data: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let store = RocksStore::open(data, &RocksOptions::default()).expect("the directory can be opened");
    let mut all = Vec::new();
    let mut keep = |key: &[u8], value: &[u8]| {
        all.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    };
    store.scan(Space::State, &[], Direction::Forward, &mut keep).expect("the snapshot can be read");
    let marker = store.get(Space::Meta, b"snapshot-marker").expect("the marker can be read");
    all.push((b"marker".to_vec(), marker.expect("there is one")));
    all
}

#[derive(Clone, Copy)]
enum Place {
    First,
    Last,
}

/// Has an entity of the snapshot without its bytes.
fn empty_entity(store: &RocksStore, place: Place) -> Batch {
    let (from, direction) = match place {
        First => (&[][..], Direction::Forward),
        Last => (&[u8::MAX][..], Direction::Backward),
    };
    let mut batch = Batch::default();
    let mut empty = |key: &[u8], _: &[u8]| {
        batch.put(Space::State, key, []);
        ControlFlow::Break(())
    };
    store.scan(Space::State, from, direction, &mut empty).expect("the snapshot can be read");
    batch
}
