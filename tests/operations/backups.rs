//! Backups of a server under load, and of a directory at rest, and what is restored from them.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tallystick::journal::Journal;
use tallystick::journal::frame::FrameHash;
use tallystick::journal::log::StoreJournal;
use tallystick::ledger::types::Position;
use tallystick::service::wire;
use tallystick::snapshot::Marker;
use tallystick::store::rocks::{RocksOptions, RocksStore};
use tallystick::store::{Batch, Durability, Space, Store, StoreError};

use crate::blackbox::load::Load;
use crate::blackbox::oracle::Oracle;
use crate::blackbox::{END_WITHIN, Random, Site, calls, verify_directory, wait_for};

/// Up to where a directory's mark vouches for its journal.
fn marked(data: &Path) -> Option<u64> {
    let store = RocksStore::open(data, &RocksOptions::default()).unwrap();
    StoreJournal::new(Arc::new(store)).read_high_water().unwrap().map(|mark| mark.end.0)
}

/// Runs a command of the program; its exit status and both outputs.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tallystick"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TALLYSTICK_")) {
        command.env_remove(name);
    }
    let output = command.args(arguments).output().unwrap();
    let [said, errors] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.code().unwrap(), said, errors)
}

fn object(said: &str) -> Value {
    serde_json::from_str(said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// Ends and hashes of all frames of a directory that nobody uses.
fn frames(data: &Path) -> Vec<(Position, FrameHash)> {
    let store = RocksStore::open(data, &RocksOptions::default()).unwrap();
    let mut frames = Vec::new();
    StoreJournal::new(Arc::new(store))
        .read(Position(0), &mut |frame| {
            frames.push((frame.end(), frame.hash));
            Ok(std::ops::ControlFlow::Continue(()))
        })
        .unwrap();
    frames
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_restores_to_a_prefix_with_everything_acknowledged_before() {
    let site = Site::new().with("snapshot_records", "500").with("snapshot_interval_ms", "50");
    let server = site.start().await;
    let oracle = Arc::new(Oracle::default());
    let load = Load::new(oracle.clone(), 0, calls::now(), 32);
    let mut callers = load.begin(&server, 6, &mut Random::new(7)).await;
    let answered = |least: usize| {
        let oracle = oracle.clone();
        async move {
            wait_for("answers", END_WITHIN, async || (oracle.counts().1 >= least).then_some(())).await;
        }
    };
    answered(1_500).await;

    let acknowledged = oracle.answered_since(0);
    let backup = site.root().join("backup");
    let mut admin = server.connect().await.admin;
    let request = wire::CreateBackupRequest { directory: backup.display().to_string() };
    let made = admin.create_backup(request.clone()).await.unwrap().into_inner();
    let again = admin.create_backup(request).await.unwrap_err();
    assert!(again.message().contains("nothing is overwritten"), "{again:?}");
    // The ledger has gone on meanwhile, and goes on.
    let so_far = oracle.counts().1;
    answered(so_far + 500).await;
    load.let_stop();
    assert_eq!(server.terminate().await.code, Some(0));
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }

    let restored = site.root().join("restored");
    let [from, to] = [&backup, &restored].map(|path| path.to_str().unwrap());
    let (status, said, errors) = run(&["restore", "--from", from, "--data", to, "--verify", "--json"]);
    assert_eq!(status, 0, "{said}{errors}");
    let told = object(&said);
    assert_eq!(told["verification"]["intact"], true);
    assert_eq!(told["manifest"]["record_count"], made.record_count);
    assert_eq!(told["manifest"]["chain_hash"], made.chain_hash);
    assert!(told["record_count"].as_i64() >= Some(made.record_count));

    assert_eq!(marked(&restored), Some(made.record_count as u64), "what opens it is stopped if a record is missing");
    let (live, copy) = (frames(site.data()), frames(&restored));
    assert!(copy.len() < live.len(), "the ledger has gone on after the backup");
    assert_eq!(copy[..], live[..copy.len()], "what was restored is a prefix of what went on");
    let point = copy.iter().find(|(end, _)| end.0 == made.record_count as u64).expect("the point ends a frame");
    assert_eq!(tallystick::backup::hexadecimal(&point.1), made.chain_hash);

    // A server on it knows everything that was acknowledged before the backup was asked for.
    let second = Site::new().with_data(restored.clone());
    let server = second.start().await;
    assert!(acknowledged.len() >= 1_500);
    oracle.ask_again(&server.connect().await, acknowledged).await;
    assert_eq!(server.terminate().await.code, Some(0));
    verify_directory(&restored);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_at_rest_is_backed_up_and_what_is_not_whole_is_not_restored() {
    let site = Site::new();
    let server = site.start().await;
    let mut clients = server.connect().await;
    clients.ledger.accrue(calls::accrual("t1", "anna", calls::now(), 900)).await.unwrap();
    let data = site.data().to_str().unwrap().to_owned();
    let path = |name: &str| site.root().join(name).to_str().unwrap().to_owned();
    let (backup, restored) = (path("backup"), path("restored"));
    let (status, _, errors) = run(&["backup", "--data", &data, "--to", &backup]);
    assert_eq!(status, 73, "a server holds it: {errors}");
    assert_eq!(server.terminate().await.code, Some(0));

    let (status, said, errors) = run(&["backup", "--data", &data, "--to", &backup, "--json"]);
    assert_eq!(status, 0, "{errors}");
    let record_count = object(&said)["record_count"].as_u64().unwrap();
    assert_eq!(frames(site.data()).last().unwrap().0.0, record_count, "at rest it holds everything");
    assert_eq!(run(&["backup", "--data", &data, "--to", &backup]).0, 73, "nothing is overwritten");

    // Into a directory that holds something, from a folder that is no backup, from one that lacks a file.
    assert_eq!(run(&["restore", "--from", &backup, "--data", &data]).0, 73);
    assert_eq!(run(&["restore", "--from", &data, "--data", &restored]).0, 76);
    let mark = site.root().join("backup/high-water");
    let kept = std::fs::read(&mark).unwrap();
    std::fs::remove_file(&mark).unwrap();
    let (status, _, errors) = run(&["restore", "--from", &backup, "--data", &restored]);
    assert_eq!((status, errors.contains("high-water is missing")), (76, true), "{errors}");
    assert!(!Path::new(&restored).exists(), "nothing was begun");
    std::fs::write(&mark, kept).unwrap();

    // A manifest that promises another history.
    let manifest = site.root().join("backup/backup.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let hash = object(&said)["chain_hash"].as_str().unwrap().to_owned();
    std::fs::write(&manifest, text.replace(&hash, &"0".repeat(64))).unwrap();
    let (status, _, errors) = run(&["restore", "--from", &backup, "--data", &path("other")]);
    assert_eq!((status, errors.contains("another history")), (76, true), "{errors}");
    std::fs::write(&manifest, text).unwrap();

    let (status, said, errors) = run(&["restore", "--from", &backup, "--data", &restored]);
    assert_eq!(status, 0, "{errors}");
    assert!(said.contains("restored"), "{said}");
    assert_eq!(frames(Path::new(&restored)), frames(site.data()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_opened_by_nobody_so_that_it_can_be_restored() {
    let site = Site::new();
    let server = site.start().await;
    server.connect().await.ledger.accrue(calls::accrual("t1", "anna", calls::now(), 900)).await.unwrap();
    assert_eq!(server.terminate().await.code, Some(0));
    let backup = site.root().join("backup");
    let [data, from] = [site.data(), backup.as_path()].map(|path| path.to_str().unwrap());
    assert_eq!(run(&["backup", "--data", data, "--to", from]).0, 0);

    let other = site.root().join("other");
    let other = other.to_str().unwrap();
    let rows: [&[&str]; 6] = [
        &["audit", "verify"],
        &["export", "journal"],
        &["export", "accounts"],
        &["settlement", "report"],
        &["keys", "create", "--name", "first", "--role", "administrator"],
        &["backup", "--to", other],
    ];
    let [reason, advice] = [format!("{from} is a backup"), format!("tallystick restore --from {from} --data DIR")];
    let is_said = |errors: &str| errors.contains(&reason) && errors.contains(&advice);
    for row in rows {
        let (status, said, errors) = run(&[row, &["--data", from][..]].concat());
        assert_eq!((status, is_said(&errors)), (78, true), "{row:?}: {said}{errors}");
    }
    let end = Site::new().with_data(backup.clone()).start_refused().await;
    assert_eq!((end.code, is_said(&end.errors)), (Some(78), true), "{end:?}");

    let (status, said, errors) = run(&["restore", "--from", from, "--data", other, "--verify"]);
    assert_eq!(status, 0, "it is as it was made: {said}{errors}");
    let second = Site::new().with_data(other.into());
    let server = second.start().await;
    assert_eq!(server.terminate().await.code, Some(0));
    assert_eq!(run(&["audit", "verify", "--data", other]).0, 0);
}

/// A directory that a restore left when it could not copy one of the files.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_was_cut_short_anywhere_leaves_nothing_that_opens() {
    let site = Site::new();
    let server = site.start().await;
    server.connect().await.ledger.accrue(calls::accrual("t1", "anna", calls::now(), 900)).await.unwrap();
    let backup = site.root().join("backup");
    let request = wire::CreateBackupRequest { directory: backup.display().to_string() };
    server.connect().await.admin.create_backup(request).await.unwrap();
    assert_eq!(server.terminate().await.code, Some(0));

    let manifest = tallystick::backup::check(&backup).unwrap();
    let later: Vec<_> = manifest.files.iter().filter(|file| file.path != "rocks/CURRENT").collect();
    let table_count = later.iter().filter(|file| file.path.ends_with(".sst")).count();
    assert!(table_count >= 2 && later.iter().any(|file| file.path == "high-water"), "{later:?}");
    let aside = site.root().join("aside");
    for (number, file) in later.iter().enumerate() {
        let target = site.root().join(format!("restored-{number}"));
        std::fs::rename(backup.join(&file.path), &aside).unwrap();
        tallystick::backup::restore(&backup, &target, &manifest, &mut |_| {}).unwrap_err();
        std::fs::rename(&aside, backup.join(&file.path)).unwrap();
        let opened = RocksStore::open(&target, &RocksOptions::default());
        assert!(matches!(opened, Err(StoreError::Damaged { .. })), "{}: {opened:?}", file.path);
    }

    let half = site.root().join("restored-0");
    let end = Site::new().with_data(half.clone()).start_refused().await;
    assert_eq!(end.code, Some(76), "{end:?}");
    assert!(end.errors.contains("a restore was cut short here"), "{end:?}");
    let [from, to] = [&backup, &half].map(|path| path.to_str().unwrap());
    let (status, _, errors) = run(&["restore", "--from", from, "--data", to]);
    assert_eq!((status, errors.contains("remove the directory")), (73, true), "{errors}");
    std::fs::remove_dir_all(&half).unwrap();
    let (status, _, errors) = run(&["restore", "--from", from, "--data", to, "--verify"]);
    assert_eq!(status, 0, "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_are_made_below_the_configured_root_only() {
    let site = Site::new();
    let root = site.root().join("backups");
    let site = site.with("backup_root", root.to_str().unwrap());
    let server = site.start().await;
    let mut admin = server.connect().await.admin;
    let elsewhere = site.root().join("elsewhere").display().to_string();
    let sneaky = format!("{}/../elsewhere", root.display());
    for directory in [elsewhere, sneaky, "relative".to_owned(), root.display().to_string(), String::new()] {
        let refused =
            admin.create_backup(wire::CreateBackupRequest { directory: directory.clone() }).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{directory}: {refused:?}");
    }
    let directory = root.join("monday").display().to_string();
    let made = admin.create_backup(wire::CreateBackupRequest { directory }).await.unwrap().into_inner();
    assert!(made.record_count > 0 && root.join("monday/backup.json").exists());
    assert_eq!(server.terminate().await.code, Some(0));
}

/// What a backup costs those who call meanwhile, for people to read: the longest answers with and without.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_answered_while_backups_are_made() {
    let site = Site::new();
    let server = site.start().await;
    let oracle = Arc::new(Oracle::default());
    let load = Load::new(oracle.clone(), 0, calls::now(), 64);
    let mut callers = load.begin(&server, 8, &mut Random::new(3)).await;
    let mut clients = server.connect().await;
    let clock = crate::blackbox::clock();
    let mut longest_ms = [0; 2];
    for (round, longest_ms) in longest_ms.iter_mut().enumerate() {
        for number in 0..5 {
            let directory = site.root().join(format!("backup-{number}")).display().to_string();
            let mut admin = clients.admin.clone();
            let other = tokio::spawn(async move {
                match round {
                    0 => tokio::time::sleep(Duration::from_millis(100)).await,
                    _ => drop(admin.create_backup(wire::CreateBackupRequest { directory }).await.unwrap()),
                }
            });
            let mut sent = 0;
            while !other.is_finished() {
                let begun_ns = clock.monotonic_ns();
                let id = format!("probe-{round}-{number}-{sent}");
                clients.ledger.accrue(calls::accrual(&id, "probe", calls::now(), 100)).await.unwrap();
                *longest_ms = (*longest_ms).max((clock.monotonic_ns() - begun_ns) / 1_000_000);
                sent += 1;
            }
            other.await.unwrap();
        }
    }
    println!("longest answer: {} ms without, {} ms with backups under way", longest_ms[0], longest_ms[1]);
    load.let_stop();
    assert_eq!(server.terminate().await.code, Some(0));
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
}

/// A copy of a running store takes the tables first and the log later: a marker in the log would come with tables that lack
/// what it promises.
#[test]
fn the_marker_of_a_snapshot_is_never_in_the_log() {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let open = || RocksStore::open(folder.path(), &RocksOptions::default()).expect("it can be opened");
    let store = open();
    let marker = Marker { start: Position(7), entity_count: 3, ..Marker::default() };
    let mut batch = Batch::default();
    batch.put(Space::Journal, "something-else", "in the log");
    store.write(&batch, Durability::Synced).expect("it can be written");
    marker.write(&store).expect("it can be written");
    let files = std::fs::read_dir(folder.path().join("rocks")).expect("there is a database");
    let files = files.map(|file| file.expect("it can be read").path());
    let logs = files.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    let logged: Vec<u8> = logs.flat_map(|path| std::fs::read(path).expect("it can be read")).collect();
    let holds = |wanted: &[u8]| logged.windows(wanted.len()).any(|window| window == wanted);
    assert!(holds(b"something-else") && !holds(b"snapshot-marker"));
    drop(store);
    assert_eq!(Marker::read(&open()).expect("it can be read"), Some(marker));
}
