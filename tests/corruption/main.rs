//! Damage and forgery, one kind a row: what verification says of it, where, and whether the ledger would still open.
//!
//! Every row starts from the same journal, made by a real engine, does one thing to the store, and states the class,
//! position and bytes of the first finding. Where a row recomputes every hash, as an intruder with time would, it also
//! renews the high-water mark, so that nothing but the content can give it away.

#[path = "../support/mod.rs"]
mod support;

mod accepted;
mod catalogue;
mod damage;
mod forgery;
mod freezes;
mod holds;
mod identifiers;
mod money;
mod operator;
mod order;
mod partners;
mod refusals;
mod report;
mod returns;
mod rewards;
mod snapshots;
mod stamps;
mod unburns;
mod vouchers;
mod windows;
mod zones;

use std::sync::{Arc, OnceLock};

use support::edge::{Accrue, LineText};
use support::forge::Forge;
use support::{Ledger, NOON, NS_PER_DAY, NS_PER_SECOND, Setup, assert_intact, programs, recover_store, verify_store};
use tallystick::audit::verify::{Finding, FindingClass};

use tallystick::ledger::types::TimestampNs;
use tallystick::store::memory::MemoryStore;
use tallystick::store::{Space, Store};

/// The journal that every row damages: 60 baskets of 6 accounts, a budget, reversals, two versions, two epochs.
pub fn original() -> MemoryStore {
    static STORE: OnceLock<MemoryStore> = OnceLock::new();
    STORE.get_or_init(make_original).stop_cleanly()
}

fn make_original() -> MemoryStore {
    let (ledger, store) = Ledger::new(Setup::default());
    let source =
        programs::everything().replacen("limit = 3", "limit = 5", 1).replacen("[earn]", "balance_max = 300\n[earn]", 1);
    let ledger = ledger.with_program(&source);
    play(&ledger, 0);
    ledger.publish(&source.replacen("units = 1\n", "units = 2\n", 1), TimestampNs(NOON.0 + 3_600 * NS_PER_SECOND));
    ledger.clock.advance(2 * 3_600 * NS_PER_SECOND);
    play(&ledger, 30);
    ledger.stop();
    let ledger = Ledger::start(Arc::new(store.clone()), Setup::default(), ledger.clock.clone());
    play(&ledger, 60);
    let report = assert_intact(&store, ledger.stop().digest);
    assert!(report.records.refused_accruals > 0 && report.records.reversals > 5, "{:?}", report.records);
    store
}

fn play(ledger: &Ledger, from: i64) {
    let edge = ledger.edge();
    for index in from..from + 30 {
        ledger.clock.advance(NS_PER_SECOND);
        let lines = vec![
            LineText { brand: "Own".to_owned(), ..LineText::of(900 + index) },
            LineText { department: "FRESH".to_owned(), ..LineText::of(10 * index) },
        ];
        let late = TimestampNs(NOON.0 - index * NS_PER_DAY / 7);
        let id = format!("t-{index}");
        let simple = Accrue::simple(&format!("m-{}", index % 6), &id, 0);
        edge.accrue(&Accrue { lines, receipt_at: Some(late), terminal: "t1".to_owned(), ..simple });
        if index % 7 == 3 {
            edge.reverse(&format!("v-{index}"), &id);
        }
    }
}

/// The keys of the frames.
pub fn keys(store: &MemoryStore) -> Vec<Vec<u8>> {
    store.contents(Space::Journal).into_iter().map(|(key, _)| key).collect()
}

pub fn position_of(key: &[u8]) -> u64 {
    u64::from_be_bytes(key.try_into().expect("a position"))
}

/// What opening the directory says, if it refuses: the same with any number of threads.
pub fn refusal_to_open(store: &MemoryStore) -> Option<String> {
    let [one, two, five] = [1, 2, 5].map(|worker_count| {
        let store: Arc<dyn Store> = Arc::new(store.stop_cleanly());
        let recovered = recover_store(&store, &Setup { worker_count, ..Setup::default() });
        recovered.err().map(|error| error.to_string())
    });
    assert_eq!(one, two, "two threads say what one does");
    assert_eq!(one, five, "five threads say what one does");
    one
}

#[track_caller]
pub fn first_finding(store: &MemoryStore, what: &str) -> Finding {
    let report = verify_store(store);
    assert!(!report.intact, "{what} was not found");
    report.findings.into_iter().next().expect("a report that is not intact has a finding")
}

#[test]
fn the_original_is_whole_and_can_be_forged_back_unchanged() {
    let store = original();
    let report = verify_store(&store);
    assert!(report.intact, "{:#?}", report.findings);
    let before = store.contents(Space::Journal);
    Forge::open(&store).write(&store);
    assert!(store.contents(Space::Journal) == before, "the forge writes what the engine wrote");
    assert_eq!(refusal_to_open(&store), None);
}

/// A row: its name, what is done to the store, and the first finding.
pub type Damage = fn(&MemoryStore) -> Expected;

/// Class, position, bytes concerned (`None` where the row does not fix them), a part of the sentence.
pub struct Expected {
    pub class: FindingClass,
    pub position: u64,
    pub bytes: Option<(usize, usize)>,
    pub says: &'static str,
    /// What opening the directory says; `None` where only verification can find it.
    pub refuses: Option<&'static str>,
}

pub fn expect(class: FindingClass, position: u64, says: &'static str, refuses: Option<&'static str>) -> Expected {
    Expected { class, position, bytes: None, says, refuses }
}

/// The middle frame's key and the one after it.
pub fn middle(store: &MemoryStore) -> (Vec<u8>, Vec<u8>) {
    let keys = keys(store);
    (keys[keys.len() / 2].clone(), keys[keys.len() / 2 + 1].clone())
}

pub fn value_length(store: &MemoryStore, key: &[u8]) -> usize {
    store.get(Space::Journal, key).expect("memory gives it").expect("it is there").len()
}

#[track_caller]
pub fn check(name: &str, damage: Damage) {
    let store = original();
    let expected = damage(&store);
    let found = first_finding(&store, name);
    assert_eq!((found.class, found.position), (expected.class, expected.position), "{name}: {found}");
    assert!(found.sentence.contains(expected.says), "{name}: {found}");
    if let Some(bytes) = expected.bytes {
        assert_eq!((found.from, found.to), bytes, "{name}: {found}");
    }
    match (expected.refuses, refusal_to_open(&store)) {
        (None, None) => {}
        (Some(part), Some(refusal)) => assert!(refusal.contains(part), "{name}: {refusal}"),
        (expected, refusal) => panic!("{name}: {expected:?} was expected, opening says {refusal:?}"),
    }
}
