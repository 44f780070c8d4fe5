//! The order in which the committer makes known what is durable.
//!
//! A snapshot that begins at any moment takes the settled position, and the definitions as they are then: whatever lies
//! before that position must be defined, and known to those who waited for it.

use std::time::Duration;

use super::super::control::FirstToFind;
use super::*;
use crate::journal::dictionary::Dictionary;
use crate::journal::log::StoreJournal;
use crate::journal::record::Record;
use crate::ledger::types::SymbolId;
use crate::limits;
use crate::store::memory::MemoryStore;

const NOW: TimestampNs = TimestampNs(1_488_369_600_000_000_000);

struct Bench {
    committer: Committer,
    control: Arc<Control>,
    dictionary: Arc<Dictionary>,
    progress: Arc<Progress>,
}

/// A committer on an empty journal in memory.
fn bench() -> Bench {
    let journal = StoreJournal::new(Arc::new(MemoryStore::new()));
    journal.fence(1).expect("nobody else has the journal");
    let (control, dictionary) = (Arc::new(Control::new(Defined::default())), Arc::new(Dictionary::new()));
    let progress = Arc::new(Progress::new(Position(0), Defined::default()));
    let chain = Chain { epoch: 1, next: Position(0), hash: [0; 32] };
    let committer = Committer::new(Arc::new(journal), control.clone(), progress.clone(), chain);
    Bench { committer, control, dictionary, progress }
}

fn commit(committer: &mut Committer) {
    committer.commit(&mut Vec::new(), NOW, &mut Vec::new()).expect("memory takes it");
}

#[test]
fn names_are_announced_as_defined_before_the_durable_end_moves() {
    let Bench { mut committer, control, dictionary, progress } = bench();
    dictionary.intern("store-1", &*control).expect("there is room");
    let named_count = dictionary.counts().0;
    assert!(progress.defined().symbol_count < named_count);
    // The last thing that the committer writes before it moves the end: held, it stands between the two.
    let held = progress.last_hash.lock().expect("no holder panics");
    std::thread::scope(|scope| {
        scope.spawn(|| commit(&mut committer));
        // Bounded, so that a committer that defines too late fails this test instead of stopping it.
        let is_defined = (0..10_000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            progress.defined().symbol_count == named_count
        });
        let end = progress.durable_end();
        drop(held);
        assert!(is_defined, "the names are announced before the mark and the end");
        assert_eq!(end, Position(0), "the end moves after the names are announced");
    });
    assert_eq!(progress.durable_end(), Position(1));
}

#[test]
fn a_record_of_the_control_shard_is_settled_after_its_waiter_was_told_and_defined_before() {
    let Bench { mut committer, control, dictionary, progress } = bench();
    dictionary.intern("store-1", &*control).expect("there is room");
    let seen = Arc::new(Mutex::new(None));
    let (looks_at, tells) = (progress.clone(), seen.clone());
    let named_count = dictionary.counts().0;
    let record = Record::Symbol(SymbolId(named_count), "a record that somebody waits for".into());
    let waiter = Box::new(move |position| {
        let found = (position, looks_at.settled(), looks_at.durable_end(), looks_at.defined());
        *tells.lock().expect("no holder panics") = Some(found);
    });
    control.push(&record, Some(waiter));
    commit(&mut committer);
    let (position, settled, end, defined) = seen.lock().expect("no holder panics").expect("the waiter was told");
    assert_eq!((position, end), (Position(1), Position(2)), "the waiter is told when the record is durable");
    assert_eq!(settled, Position(0), "nothing of the commit is settled while a waiter is being told");
    assert_eq!((defined.seq, defined.symbol_count), (Seq(2), named_count + 1), "the names are defined by then");
    assert_eq!(progress.settled(), Position(2));
}

#[test]
fn a_chunk_is_settled_when_its_worker_has_processed_it() {
    let Bench { mut committer, control, progress, .. } = bench();
    control.push(&Record::Symbol(SymbolId(900), "one".into()), None);
    let mut chunk = Chunk::default();
    chunk.push(crate::ledger::types::ShardId(3), Seq(1), |out| out.push(0));
    chunk.close();
    let mut submitted = vec![Submitted { worker: Some(0), chunk: Some(chunk) }];
    let mut told = Vec::new();
    committer.commit(&mut submitted, NOW, &mut told).expect("memory takes it");
    let base = told[0].chunk.as_ref().expect("it had a chunk").1;
    assert_eq!((base, progress.durable_end()), (Position(1), Position(2)));
    assert_eq!(progress.settled(), base, "the control shard's record is settled, the worker's is not");
    progress.processed(base);
    assert_eq!(progress.settled(), Position(2));
}

#[test]
fn names_that_wait_are_bounded_and_the_committer_is_woken_once() {
    let Bench { mut committer, control, .. } = bench();
    let text = "n".repeat(limits::SYMBOL_BYTES_MAX);
    let mut number = 900;
    while control.has_room() == Ok(()) {
        control.push(&Record::Symbol(SymbolId(number), text.as_str().into()), None);
        number += 1;
        assert!(number < 200_000, "they are bounded");
    }
    // The loop was told to wake it; nobody after it is.
    assert_eq!(control.has_room(), Err(FirstToFind(false)));
    commit(&mut committer);
    assert_eq!(control.has_room(), Ok(()));
    while control.has_room() == Ok(()) {
        control.push(&Record::Symbol(SymbolId(number), text.as_str().into()), None);
        number += 1;
    }
    assert_eq!(control.has_room(), Err(FirstToFind(false)), "once more it was told, and once only");
}

#[test]
fn whoever_waits_for_a_record_when_the_last_commit_is_over_is_let_go() {
    let Bench { committer, control, .. } = bench();
    let waiting = Arc::new(());
    let wait = || {
        let waits = waiting.clone();
        let on_durable = Box::new(move |_| drop(waits));
        control.push(&Record::Symbol(SymbolId(900), "one".into()), Some(on_durable));
    };
    wait();
    assert_eq!(Arc::strong_count(&waiting), 2, "it is to be told of the next commit");
    committer.control().close();
    assert_eq!(Arc::strong_count(&waiting), 1);
    wait();
    assert_eq!(Arc::strong_count(&waiting), 1, "it came too late");
}
