//! What else verification looks at, and how its report reads.
//!
//! What must stay true: a report can be read by programs, and says the same however little memory it had.

use std::sync::Arc;

use crate::forgery::{FORGERIES, is_grant};
use crate::support::counted::CountedStore;
use crate::support::edge::Accrue;
use crate::support::forge::Forge;
use crate::support::{Ledger, Setup, programs, verify_store};
use crate::{first_finding, keys, middle, original, position_of, value_length};
use tallystick::audit::verify::{FindingClass, Reading, TimeZoneRelease, VerifyOptions, VerifyReport, verify};
use tallystick::journal::Journal;
use tallystick::journal::log::StoreJournal;
use tallystick::journal::record::{Record, decode};
use tallystick::ledger::command::{Command, CommandKind};
use tallystick::ledger::types::Position;
use tallystick::store::memory::MemoryStore;
use tallystick::store::{Space, Store};

#[test]
fn a_damaged_snapshot_is_named_and_refused() {
    let snapshot = || {
        let store = original();
        let ledger = Ledger::on(Arc::new(store.clone()), Setup::default());
        ledger.engine.snapshot().expect("a snapshot can be taken");
        ledger.stop();
        store
    };
    let account_key = |store: &MemoryStore| {
        let contents = store.contents(Space::State);
        contents.into_iter().map(|(key, _)| key).find(|key| key[0] == 6).expect("there is an account")
    };
    type DamageEntity = fn(&MemoryStore, &[u8]);
    let rows: [(&str, DamageEntity); 4] = [
        ("an account's balance is another", |store, key| {
            store.alter(Space::State, key, |bytes| {
                // The lot's remaining units are the last byte before the counters; any change of a number will do.
                let at = bytes.len() - 1;
                bytes[at] ^= 2;
            });
        }),
        ("an account is missing", |store, key| {
            store.remove(Space::State, key);
        }),
        ("an account has a byte more", |store, key| {
            store.alter(Space::State, key, |bytes| bytes.push(0));
        }),
        ("the marker is of another format", |store, _| {
            store.alter(Space::Meta, b"snapshot-marker", |bytes| bytes[0] = 9);
        }),
    ];
    for (name, damage) in rows {
        let store = snapshot();
        let report = verify_store(&store);
        assert!(report.intact && report.snapshot.is_some(), "{:#?}", report.findings);
        damage(&store, &account_key(&store));
        let found = first_finding(&store, name);
        assert_eq!(found.class, FindingClass::Snapshot, "{name}: {found}");
    }
}

/// So little memory that even what may have been used twice is looked at in parts, and enough for that to be done at once.
const LITTLE: [u64; 3] = [0, 500, 3_000];

fn verify_with(memory_bytes: u64, store: &MemoryStore) -> (VerifyReport, u64) {
    let store: Arc<dyn Store> = Arc::new(store.clone());
    let options = VerifyOptions { memory_bytes, ..VerifyOptions::default() };
    let mut last = Reading { number: 1, count: None, reached: Position(0) };
    let report = verify(&store, &options, &mut |reading, goal| {
        let place = |reading: Reading| (reading.number, reading.reached);
        assert!(place(last) <= place(reading) && reading.reached <= goal, "progress only grows");
        assert!(
            reading.count.is_none_or(|count| reading.number <= count)
                && (reading.number == 1 || reading.count.is_some())
        );
        last = reading;
    });
    (report.expect("the store can be read"), last.number)
}

#[test]
fn ids_that_do_not_fit_in_memory_are_sieved_and_checked_in_parts() {
    let whole = verify_with(VerifyOptions::MEMORY_BYTES_DEFAULT, &original());
    assert!(whole.0.intact && whole.0.record_count > 100, "{:#?}", whole.0.findings);
    assert_eq!(whole.1, 1);
    for (memory_bytes, is_in_parts) in LITTLE.into_iter().zip([true, true, false]) {
        let (report, reading_count) = verify_with(memory_bytes, &original());
        assert_eq!(report, whole.0, "{memory_bytes} bytes");
        assert_eq!(reading_count > 2, is_in_parts, "{memory_bytes} bytes: {reading_count} readings");
    }
}

/// Where an id is used a second time, what comes after it is judged although it would not have been.
#[test]
fn what_is_found_does_not_depend_on_the_memory_for_ids() {
    let mut once_count = 0;
    for (name, damage) in FORGERIES {
        let store = original();
        damage(&store);
        let expected = verify_with(VerifyOptions::MEMORY_BYTES_DEFAULT, &store).0;
        once_count += expected.findings.iter().filter(|found| found.class == FindingClass::Once).count();
        for memory_bytes in LITTLE {
            let report = verify_with(memory_bytes, &store).0;
            assert_eq!(report.findings, expected.findings, "{name}: {memory_bytes} bytes");
            assert_eq!(report.digest, expected.digest, "{name}: {memory_bytes} bytes");
        }
    }
    assert!(once_count >= 2, "{once_count}");
}

/// The reading that looks for ids ends where the first one ended, and says nothing of what lies behind that.
#[test]
fn what_is_damaged_behind_the_first_finding_does_not_take_its_place() {
    let mut damaged_count = 0;
    for (name, damage) in FORGERIES {
        let store = original();
        damage(&store);
        let found = verify_with(VerifyOptions::MEMORY_BYTES_DEFAULT, &store).0.findings.remove(0);
        let Some(behind) = keys(&store).into_iter().find(|key| position_of(key) > found.frame) else { continue };
        let at = value_length(&store, &behind) / 2;
        assert!(store.alter(Space::Journal, &behind, |bytes| bytes[at] ^= 1), "{name}");
        damaged_count += 1;
        let expected = verify_with(VerifyOptions::MEMORY_BYTES_DEFAULT, &store).0.findings;
        for memory_bytes in LITTLE {
            assert_eq!(verify_with(memory_bytes, &store).0.findings, expected, "{name}: {memory_bytes} bytes");
        }
    }
    assert!(damaged_count > 10, "{damaged_count}");
}

/// A record uses both ids of another again: the first of them is named, also where the two fall in different parts.
#[test]
fn of_two_ids_of_one_record_the_first_is_named_however_little_memory_there_is() {
    let store = original();
    let mut forge = Forge::open(&store);
    let (frame, section, record) = forge.find(is_grant);
    let Ok(Record::Entry(first)) = decode(&forge.frames[frame].sections[section].2[record], &forge.dictionary) else {
        panic!("it is an entry")
    };
    let Command { transaction_id, kind: CommandKind::Accrue(used), .. } = first.command else { panic!("an accrual") };
    let id = transaction_id.clone();
    let place = forge.alter(
        |entry| is_grant(entry) && entry.command.transaction_id != id,
        |entry| {
            entry.command.transaction_id = transaction_id;
            let CommandKind::Accrue(basket) = &mut entry.command.kind else { panic!("an accrual") };
            (basket.receipt_number, basket.business_day) = (used.receipt_number, used.business_day);
        },
    );
    forge.write(&store);
    let expected = verify_with(VerifyOptions::MEMORY_BYTES_DEFAULT, &store).0.findings;
    assert_eq!((expected[0].class, expected[0].position), (FindingClass::Once, place));
    assert!(expected[0].sentence.starts_with("the transaction id"), "{}", expected[0]);
    // Each divides the ids in another way.
    for memory_bytes in (0..=700).step_by(100) {
        assert_eq!(verify_with(memory_bytes, &store).0.findings, expected, "{memory_bytes} bytes");
    }
}

#[test]
fn how_often_a_history_is_read_does_not_follow_its_length() {
    let reading_count = |accrual_count: usize| {
        let (ledger, disk) = Ledger::new(Setup::default());
        let ledger = ledger.with_program(&programs::program("", "", ""));
        for index in 0..accrual_count {
            ledger.edge().accrue(&Accrue::simple(&format!("m-{}", index % 50), &format!("t-{index}"), 100));
        }
        ledger.stop();
        let store = CountedStore::on(&disk);
        // Room for 104 ids at a time, or seven bits for each of four thousand.
        let options = VerifyOptions { memory_bytes: 4_096, check_snapshot: false };
        let counted: Arc<dyn Store> = store.clone();
        let report = verify(&counted, &options, &mut |_, _| {}).expect("the store can be read");
        assert!(report.intact && report.record_count > accrual_count as u64, "{:#?}", report.findings);
        store.take().journal_readings
    };
    assert_eq!((reading_count(200), reading_count(2_000)), (2, 2));
    assert_eq!(reading_count(20), 1, "all of its ids have room");
}

/// What does not say how long it is is not taken for a history that fits.
#[test]
fn an_end_that_cannot_be_read_leaves_the_memory_for_ids_bounded() {
    let (ledger, disk) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&programs::program("", "", ""));
    for index in 0..200 {
        ledger.edge().accrue(&Accrue::simple(&format!("m-{}", index % 50), &format!("t-{index}"), 100));
    }
    ledger.stop();
    type Row = (&'static str, fn(&MemoryStore));
    let rows: [Row; 2] = [
        ("the last frame", |store| {
            store.make_unreadable(Space::Journal, &keys(store).pop().expect("there are frames"));
        }),
        ("a key that is none", |store| store.overwrite(Space::Journal, &[0xff], b"")),
    ];
    for (name, damage) in rows {
        for has_mark in [true, false] {
            let store = disk.stop_cleanly();
            damage(&store);
            if !has_mark {
                store.set_mark(None);
            }
            let verify_in = |memory_bytes: u64| {
                let counted = CountedStore::on(&store);
                let shared: Arc<dyn Store> = counted.clone();
                let options = VerifyOptions { memory_bytes, check_snapshot: false };
                let report = verify(&shared, &options, &mut |_, _| {}).expect("the rest can be read");
                (report.findings, counted.take().journal_readings)
            };
            let (expected, _) = verify_in(1 << 20);
            assert!(!expected.is_empty(), "{name}");
            assert_eq!(verify_in(4_096), (expected, 2), "{name}, with a mark: {has_mark}");
        }
    }
}

#[test]
fn a_report_can_be_read_by_programs() {
    let store = original();
    store.remove(Space::Journal, &middle(&store).0);
    let report = serde_json::to_value(verify_store(&store)).expect("a report is plain data");
    assert_eq!(report["intact"], false);
    assert_eq!(report["findings"][0]["class"], "chain");
    assert!(report["findings"][0]["position"].is_u64() && report["digest"].is_null());
    let whole = serde_json::to_value(verify_store(&original())).expect("a report is plain data");
    assert_eq!(whole["wallets"][0]["wallet"], "points");
    assert_eq!(whole["records"]["programs"], 2);
}

/// What the first process says of its rules of time zones is changed: the journal is as if an older program had begun it.
#[test]
fn rules_of_time_zones_of_another_release_are_noted_and_are_no_finding() {
    let store = original();
    let plain = verify_store(&store);
    let ours = plain.time_zone_release.clone();
    let releases = |report: &VerifyReport| -> Vec<(String, u64, u64)> {
        let of = |one: &TimeZoneRelease| (one.release.clone(), one.from_position, one.from_epoch);
        report.time_zone_releases.iter().map(of).collect()
    };
    assert_eq!((releases(&plain), &plain.time_zone_note), (vec![(ours.clone(), 0, 1)], &None));

    let mut forge = Forge::open(&store);
    forge.alter_control(|record| {
        let Record::Opening(opening) = record else { return false };
        opening.time_zone_release = "2016a".into();
        opening.epoch == 1
    });
    // Looked for, and left as it is.
    let second = forge.alter_control(|record| matches!(record, Record::Opening(opening) if opening.epoch == 2));
    forge.write(&store);
    let report = verify_store(&store);
    assert!(report.intact, "{:#?}", report.findings);
    assert_eq!(releases(&report), [("2016a".to_owned(), 0, 1), (ours.clone(), second, 2)]);
    let note = report.time_zone_note.as_deref().expect("one differs");
    assert!(
        note.contains(&format!("release {ours}: by 2016a from position 0, {ours} from position {second}.")),
        "{note}"
    );
    let report = serde_json::to_value(report).expect("a report is plain data");
    assert_eq!(report["time_zone_releases"][0]["release"], "2016a");
}

#[test]
fn a_journal_without_identity_is_not_opened() {
    let store = original();
    store.remove(Space::Meta, b"identity");
    let shared: Arc<dyn Store> = Arc::new(store);
    let error = verify(&shared, &VerifyOptions::default(), &mut |_, _| {}).expect_err("it has no identity");
    assert_eq!(error.to_string(), "this is not a data directory: it has no identity");
    assert!(StoreJournal::new(shared).end().is_ok());
}
