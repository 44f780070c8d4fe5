//! What else verification looks at, and how its report reads.
//!
//! What must stay true: a report can be read by programs, and says the same however little memory it had.

use std::sync::Arc;

use crate::forgery::FORGERIES;
use crate::support::forge::Forge;
use crate::support::{Ledger, Setup, verify_store};
use crate::{first_finding, middle, original};
use tallystick::audit::verify::{FindingClass, TimeZoneRelease, VerifyOptions, VerifyReport, verify};
use tallystick::journal::Journal;
use tallystick::journal::log::StoreJournal;
use tallystick::journal::record::Record;
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

#[test]
fn ids_that_do_not_fit_in_memory_are_checked_in_parts() {
    let options = VerifyOptions { ids_max: 40, ..VerifyOptions::default() };
    let verify_in_parts = |store: &MemoryStore| -> VerifyReport {
        let store: Arc<dyn Store> = Arc::new(store.clone());
        let mut last = Position(0);
        verify(&store, &options, &mut |reached, goal| {
            assert!(last <= reached && reached <= goal, "progress only grows");
            last = reached;
        })
        .expect("the store can be read")
    };
    let report = verify_in_parts(&original());
    assert!(report.intact && report.record_count > 100, "{:#?}", report.findings);
    // Twice the same id, found in whichever part it falls: a second use of every id in turn.
    for (name, damage) in FORGERIES.into_iter().filter(|(name, _)| name.contains("a second time")) {
        let store = original();
        let expected = damage(&store);
        let report = verify_in_parts(&store);
        let found = report.findings.iter().find(|found| found.class == expected.class);
        let found = found.unwrap_or_else(|| panic!("{name}: {:#?}", report.findings));
        assert_eq!(found.position, expected.position, "{name}: {found}");
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
