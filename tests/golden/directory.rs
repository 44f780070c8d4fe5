//! A whole directory as the first release left it.
//!
//! What must stay true: it opens, verifies and goes on.

use std::sync::Arc;

use crate::support::edge::{Accrue, LineText};
use crate::support::{Ledger, ManualClock, NOON, NS_PER_DAY, Setup, assert_intact, programs, verify_store};
use crate::{hex, is_blessing, path, unhex};
use tallystick::ledger::decision::Refusal;
use tallystick::ledger::types::TimestampNs;
use tallystick::store::memory::MemoryStore;
use tallystick::store::{Batch, Durability, Space, Store};

/// A small directory, as this release leaves it: a snapshot in the middle, two epochs, two versions, every kind of
/// decision.
fn play_directory() -> (MemoryStore, String) {
    let (ledger, store) = Ledger::new(Setup::default());
    let source = programs::everything().replacen("[earn]", "balance_max = 1_000\n[earn]", 1);
    let ledger = ledger.with_program(&source);
    let edge = ledger.edge();
    for index in 0..12 {
        let lines = vec![
            LineText { brand: "Own".to_owned(), department: "GROCERY".to_owned(), ..LineText::of(1_000 + index) },
            LineText { department: "TOBACCO".to_owned(), sku: format!("sku-{}", index % 3), ..LineText::of(700) },
        ];
        let account = format!("member-{}", index % 2);
        let id = format!("018f3c5e-7a10-7000-8000-00000000{index:04}");
        let accrue = Accrue { lines, terminal: "t1".to_owned(), ..Accrue::simple(&account, &id, 0) };
        assert_eq!(edge.accrue(&accrue).refusal(), None);
    }
    assert_eq!(edge.reverse("back-1", "018f3c5e-7a10-7000-8000-000000000001").refusal(), None);
    ledger.engine.snapshot().expect("a snapshot can be taken");
    ledger.publish(&source.replacen("units = 1", "units = 2", 1), TimestampNs(NOON.0 + NS_PER_DAY));
    ledger.stop();
    let ledger = Ledger::start(
        Arc::new(store.clone()),
        Setup::default(),
        ManualClock::new(TimestampNs(NOON.0 + 2 * NS_PER_DAY)),
    );
    let edge = ledger.edge();
    for index in 0..14 {
        edge.accrue(&Accrue::simple("member-1", &format!("later-{index}"), 9_000));
        ledger.clock.advance(NS_PER_DAY / 2);
    }
    edge.reverse("back-2", "018f3c5e-7a10-7000-8000-000000000000");
    let stopped = ledger.stop();
    let report = assert_intact(&store, stopped.digest);
    let kinds = report.records;
    assert!(kinds.refused_accruals > 0 && kinds.reversals == 2 && kinds.programs == 2, "{kinds:?}");
    (store, stopped.digest.to_string())
}

/// Writes what a store holds, a key and its value a line; the mark and the digest come first.
fn dump(store: &MemoryStore, digest: &str) -> String {
    let mark = store.read_mark().expect("memory gives it").expect("an orderly stop leaves a mark");
    let mut lines = vec![format!("digest {digest}"), format!("mark {}", hex(&mark))];
    for space in [Space::Meta, Space::Journal, Space::State] {
        let contents = store.contents(space);
        lines.extend(contents.iter().map(|(key, value)| format!("{} {} {}", space.name(), hex(key), hex(value))));
    }
    lines.join("\n") + "\n"
}

/// Reads a dump: the store and its digest.
fn load(text: &str) -> (MemoryStore, String) {
    let store = MemoryStore::new();
    let mut digest = String::new();
    for line in text.lines() {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["digest", kept] => (*kept).clone_into(&mut digest),
            ["mark", mark] => store.set_mark(Some(&unhex(mark))),
            [space, key, value] => {
                let space = Space::ALL.into_iter().find(|known| known.name() == *space).expect("a known space");
                let mut batch = Batch::default();
                batch.put(space, unhex(key), unhex(value));
                store.write(&batch, Durability::Synced).expect("memory takes it");
            }
            _ => panic!("not a line of a dump: {line:?}"),
        }
    }
    (store, digest)
}

#[test]
fn a_directory_of_the_first_release_opens_verifies_and_goes_on() {
    let path = path("directory-1.txt");
    if is_blessing() {
        let (store, digest) = play_directory();
        std::fs::write(&path, dump(&store, &digest)).expect("the file can be written");
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (store, digest) = load(&text);
    let report = verify_store(&store);
    assert!(report.intact, "{:#?}", report.findings);
    assert_eq!(report.digest, Some(digest.clone()), "the journal gives the state that it gave then");
    let snapshot = report.snapshot.expect("it holds a snapshot");
    assert!(snapshot.start > 0 && snapshot.digest == digest);

    let later = ManualClock::new(TimestampNs(NOON.0 + 30 * NS_PER_DAY));
    let ledger = Ledger::start(Arc::new(store.clone()), Setup::default(), later);
    let edge = ledger.edge();
    assert_eq!(ledger.engine.epoch, 3);
    let used = edge.accrue(&Accrue::simple("member-0", "back-1", 100));
    assert_eq!(used.refusal(), Some(Refusal::TransactionIdReused), "its ids are known");
    assert_eq!(edge.accrue(&Accrue::simple("member-0", "new", 700)).granted(), 14, "its second version judges");
    assert_intact(&store, ledger.stop().digest);
}

#[test]
fn what_a_directory_holds_today_is_what_the_first_release_wrote() {
    // Not the bytes, for the order of commits is the machine's: the state and what the records say.
    let (_, digest) = play_directory();
    let kept = std::fs::read_to_string(path("directory-1.txt")).expect("the file is there");
    assert_eq!(load(&kept).1, digest, "the same commands lead to the same state");
}
