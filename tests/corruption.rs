//! Damage and forgery, one kind a row: what verification says of it, where, and whether the ledger would still open.
//!
//! Every row starts from the same journal, made by a real engine, does one thing to the store, and states the class,
//! position and bytes of the first finding. Where a row recomputes every hash, as an intruder with time would, it also
//! renews the high-water mark, so that nothing but the content can give it away.

mod support;

use std::sync::{Arc, OnceLock};

use support::edge::{Accrue, LineText};
use support::forge::Forge;
use support::{Ledger, NOON, NS_PER_DAY, NS_PER_SECOND, Setup, assert_intact, programs, recover_store, verify_store};
use tallystick::audit::verify::{Finding, FindingClass, VerifyOptions, VerifyReport, verify};
use tallystick::journal::Journal;
use tallystick::journal::frame::{FrameView, HEADER_BYTES};
use tallystick::journal::log::{HighWater, StoreJournal};
use tallystick::journal::record::{Entry, PreviousRecord, Record, decode};
use tallystick::ledger::command::CommandKind;
use tallystick::ledger::decision::{Outcome, Refusal, TotalsChange};
use tallystick::ledger::program::LineClass;
use tallystick::ledger::types::{Position, ProgramVersion, ShardId, TimestampNs};
use tallystick::store::memory::MemoryStore;
use tallystick::store::{Space, Store};

/// The journal that every row damages: 60 baskets of 6 accounts, a budget, reversals, two versions, two epochs.
fn original() -> MemoryStore {
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
fn keys(store: &MemoryStore) -> Vec<Vec<u8>> {
    store.contents(Space::Journal).into_iter().map(|(key, _)| key).collect()
}

fn position_of(key: &[u8]) -> u64 {
    u64::from_be_bytes(key.try_into().expect("a position"))
}

/// What opening the directory says, if it refuses.
fn refusal_to_open(store: &MemoryStore) -> Option<String> {
    let store: Arc<dyn Store> = Arc::new(store.stop_cleanly());
    recover_store(&store, &Setup::default()).err().map(|error| error.to_string())
}

#[track_caller]
fn first_finding(store: &MemoryStore, what: &str) -> Finding {
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

#[test]
fn every_changed_byte_of_a_frame_is_found_in_its_frame() {
    let store = original();
    let keys = keys(&store);
    let samples = [0, 1, keys.len() / 2, keys.len() - 1];
    for key in samples.map(|index| &keys[index]) {
        let value = store.get(Space::Journal, key).expect("memory gives it").expect("it is there");
        // All of the header and of the hash, and of the body every fifth byte.
        let body = HEADER_BYTES..value.len() - 32;
        for at in (0..value.len()).filter(|at| !body.contains(at) || at % 5 == 0) {
            let damaged = store.stop_cleanly();
            damaged.alter(Space::Journal, key, |bytes| bytes[at] ^= 0x10);
            let found = first_finding(&damaged, &format!("byte {at} of the frame at {}", position_of(key)));
            assert_eq!((found.class, found.frame), (FindingClass::Frame, position_of(key)), "byte {at}: {found}");
            assert!((found.from..found.to).contains(&at), "byte {at}: {found}");
            assert!(refusal_to_open(&damaged).is_some(), "byte {at}: a damaged journal opens");
        }
    }
}

/// A row: its name, what is done to the store, and the first finding.
type Damage = fn(&MemoryStore) -> Expected;

/// Class, position, bytes concerned (`None` where the row does not fix them), a part of the sentence.
struct Expected {
    class: FindingClass,
    position: u64,
    bytes: Option<(usize, usize)>,
    says: &'static str,
    /// What opening the directory says; `None` where only verification can find it.
    refuses: Option<&'static str>,
}

fn expect(class: FindingClass, position: u64, says: &'static str, refuses: Option<&'static str>) -> Expected {
    Expected { class, position, bytes: None, says, refuses }
}

/// The middle frame's key and the one after it.
fn middle(store: &MemoryStore) -> (Vec<u8>, Vec<u8>) {
    let keys = keys(store);
    (keys[keys.len() / 2].clone(), keys[keys.len() / 2 + 1].clone())
}

fn value_length(store: &MemoryStore, key: &[u8]) -> usize {
    store.get(Space::Journal, key).expect("memory gives it").expect("it is there").len()
}

const DAMAGE: [(&str, Damage); 14] = [
    ("a frame is cut short", |store| {
        let (key, _) = middle(store);
        let length = value_length(store, &key);
        store.alter(Space::Journal, &key, |bytes| bytes.truncate(length - 1));
        Expected {
            bytes: Some((0, length - 1)),
            ..expect(FindingClass::Frame, position_of(&key), "length", Some("length"))
        }
    }),
    ("a frame is empty", |store| {
        let (key, _) = middle(store);
        store.alter(Space::Journal, &key, Vec::clear);
        expect(FindingClass::Frame, position_of(&key), "length", Some("length"))
    }),
    ("a frame has a byte more", |store| {
        let (key, _) = middle(store);
        store.alter(Space::Journal, &key, |bytes| bytes.push(0));
        expect(FindingClass::Frame, position_of(&key), "length", Some("length"))
    }),
    ("a frame is missing", |store| {
        let (key, next) = middle(store);
        store.remove(Space::Journal, &key);
        Expected {
            bytes: Some((16, 24)),
            ..expect(FindingClass::Chain, position_of(&next), "was expected here", Some("was expected here"))
        }
    }),
    ("the first frame is missing", |store| {
        let keys = keys(store);
        store.remove(Space::Journal, &keys[0]);
        expect(FindingClass::Chain, position_of(&keys[1]), "position 0 was expected", Some("position 0 was expected"))
    }),
    ("two frames are exchanged", |store| {
        let (key, next) = middle(store);
        store.swap(Space::Journal, &key, &next);
        Expected {
            bytes: Some((16, 24)),
            ..expect(FindingClass::Chain, position_of(&key), "it says that it belongs", Some("belongs at position"))
        }
    }),
    ("a frame is stored twice", |store| {
        let (key, next) = middle(store);
        let copy = store.get(Space::Journal, &key).expect("memory gives it").expect("it is there");
        store.overwrite(Space::Journal, &next, &copy);
        expect(FindingClass::Chain, position_of(&next), "it says that it belongs", Some("belongs at position"))
    }),
    ("a frame is of a newer format", |store| {
        let (key, _) = middle(store);
        store.alter(Space::Journal, &key, |bytes| bytes[4] = 2);
        Expected {
            bytes: Some((4, 6)),
            ..expect(FindingClass::Frame, position_of(&key), "format 2, newer than 1", Some("format 2, newer than 1"))
        }
    }),
    ("something that is no frame lies in the journal", |store| {
        let (key, _) = middle(store);
        store.alter(Space::Journal, &key, |bytes| bytes[..4].copy_from_slice(b"noise"[..4].as_ref()));
        Expected {
            bytes: Some((0, 4)),
            ..expect(FindingClass::Frame, position_of(&key), "not a frame", Some("not a frame"))
        }
    }),
    ("a frame's header is changed and its hash recomputed", |store| {
        let (key, next) = middle(store);
        store.alter(Space::Journal, &key, |bytes| {
            bytes[36] ^= 1;
            let end = bytes.len() - 32;
            let hash = *blake3::hash(&bytes[..end]).as_bytes();
            bytes[end..].copy_from_slice(&hash);
        });
        Expected { bytes: Some((44, 76)), ..expect(FindingClass::Chain, position_of(&next), "chain", Some("chain")) }
    }),
    ("the tail before the mark is cut", |store| {
        let last = keys(store).pop().expect("there are frames");
        store.remove(Space::Journal, &last);
        expect(FindingClass::HighWater, position_of(&last), "are missing", Some("acknowledged records are missing"))
    }),
    ("the last frame is replaced by another", |store| {
        let last = keys(store).pop().expect("there are frames");
        let mut end = 0;
        store.alter(Space::Journal, &last, |bytes| {
            bytes[36] ^= 1;
            let hash_at = bytes.len() - 32;
            let hash = *blake3::hash(&bytes[..hash_at]).as_bytes();
            bytes[hash_at..].copy_from_slice(&hash);
            end = position_of(&last) + u64::from(u32::from_le_bytes(bytes[24..28].try_into().expect("four bytes")));
        });
        expect(FindingClass::HighWater, end, "not the one that was acknowledged", Some("not the one that was acknow"))
    }),
    ("a frame cannot be read", |store| {
        let (key, _) = middle(store);
        store.make_unreadable(Space::Journal, &key);
        expect(FindingClass::Store, position_of(&key), "cannot be read", Some("damaged"))
    }),
    ("the mark cannot be read", |store| {
        let end = verify_store(store).end_position;
        store.damage_mark();
        expect(FindingClass::Store, end, "cannot be read", Some("damaged"))
    }),
];

#[test]
fn damage_is_named_and_refused() {
    for (name, damage) in DAMAGE {
        check(name, damage);
    }
}

#[track_caller]
fn check(name: &str, damage: Damage) {
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

fn is_grant(entry: &Entry) -> bool {
    matches!(entry.command.kind, CommandKind::Accrue(_)) && entry.decision.granted > 5
}

fn is_reversal(entry: &Entry) -> bool {
    matches!(entry.command.kind, CommandKind::Reverse(_))
}

/// Forges the first entry that fits, and states what is found at it.
fn forged(
    store: &MemoryStore,
    fits: impl Fn(&Entry) -> bool,
    change: impl FnOnce(&mut Entry),
    class: FindingClass,
    says: &'static str,
) -> Expected {
    let mut forge = Forge::open(store);
    let position = forge.alter(fits, change);
    forge.write(store);
    expect(class, position, says, None)
}

/// A grant of so many units more, consistent in itself.
fn grant_more(entry: &mut Entry, more: i64) {
    let decision = &mut entry.decision;
    decision.granted += more;
    decision.earned += more;
    decision.balance_after += more;
    let (key, units) = decision.effects.lot.expect("it granted something");
    decision.effects.lot = Some((key, units + more));
    decision.cells.iter_mut().for_each(|cell| cell.used += more);
    decision.effects.totals = TotalsChange::of_accrual(decision.granted, &decision.clips, false);
}

const FORGERIES: [(&str, Damage); 21] = [
    ("one grant is a unit larger", |store| {
        forged(store, is_grant, |entry| grant_more(entry, 1), FindingClass::Decision, "what is granted is recorded as")
    }),
    ("the balance in a receipt is another", |store| {
        let change = |entry: &mut Entry| entry.decision.balance_after += 1;
        forged(store, is_grant, change, FindingClass::Decision, "the balance is recorded as")
    }),
    ("a line was judged by another rule", |store| {
        let change = |entry: &mut Entry| entry.decision.lines[0].class = LineClass::Base;
        forged(store, is_grant, change, FindingClass::Decision, "the rules of the lines")
    }),
    ("a counter moved less", |store| {
        let change = |entry: &mut Entry| entry.decision.effects.counters[0].delta -= 1;
        forged(
            store,
            |entry| is_grant(entry) && entry.decision.effects.counters.len() > 3,
            change,
            FindingClass::Decision,
            "the counters",
        )
    }),
    ("a basket holds another amount", |store| {
        let change = |entry: &mut Entry| {
            if let CommandKind::Accrue(basket) = &mut entry.command.kind {
                basket.lines[0].amount_minor += 50_000;
            }
        };
        forged(store, is_grant, change, FindingClass::Decision, "what is granted is recorded as")
    }),
    ("a refusal is made of a grant", |store| {
        let change = |entry: &mut Entry| {
            entry.decision = tallystick::ledger::decision::Decision {
                outcome: Outcome::Refused(Refusal::BalanceLimitExceeded),
                account_known: true,
                program: entry.decision.program,
                balance_after: 0,
                ..Default::default()
            };
        };
        let fits = |entry: &Entry| is_grant(entry) && entry.previous != PreviousRecord::None;
        forged(store, fits, change, FindingClass::Decision, "the outcome is recorded as")
    }),
    ("a budget's room is larger than it was", |store| {
        let change = |entry: &mut Entry| entry.decision.cells[0].room_before += 1;
        forged(
            store,
            |entry| entry.decision.cells.first().is_some_and(|c| c.version == 4),
            change,
            FindingClass::Budget,
            "found room for",
        )
    }),
    ("a use of a budget has the number of another", |store| {
        let change = |entry: &mut Entry| entry.decision.cells[0].version = 3;
        forged(
            store,
            |entry| entry.decision.cells.first().is_some_and(|c| c.version == 4),
            change,
            FindingClass::Budget,
            "a second time",
        )
    }),
    ("a use of a budget is left out", |store| {
        let change = |entry: &mut Entry| entry.decision.cells.clear();
        forged(store, is_grant, change, FindingClass::Decision, "the uses of budgets")
    }),
    ("another version of the programme judged", |store| {
        let change = |entry: &mut Entry| entry.decision.program = ProgramVersion(2);
        forged(store, is_grant, change, FindingClass::Program, "but version 1 was in force")
    }),
    ("a record is posted before the one in front of it", |store| {
        let fits = |entry: &Entry| is_grant(entry) && entry.previous != PreviousRecord::None;
        let change = |entry: &mut Entry| entry.posted_at.0 -= 1_000 * NS_PER_DAY;
        let expected = forged(store, fits, change, FindingClass::Time, "before");
        // A replay sees it too, for a shard's time never goes back.
        Expected { refuses: Some("its fields contradict each other"), ..expected }
    }),
    ("a record names a wrong previous one", |store| {
        let fits = |entry: &Entry| entry.previous != PreviousRecord::None;
        let change = |entry: &mut Entry| entry.previous = PreviousRecord::At(Position(2));
        forged(store, fits, change, FindingClass::BackLink, "it names a wrong previous record")
    }),
    ("a record hides what came before it", |store| {
        let change = |entry: &mut Entry| entry.previous = PreviousRecord::None;
        forged(store, |entry| entry.previous != PreviousRecord::None, change, FindingClass::BackLink, "wrong previous")
    }),
    ("a transaction id is used a second time", |store| {
        let mut first = None;
        let forge = Forge::open(store);
        let (f, s, r) = forge.find(is_grant);
        if let Ok(Record::Entry(entry)) = decode(&forge.frames[f].sections[s].2[r], &forge.dictionary) {
            first = Some(entry.command.transaction_id);
        }
        let first = first.expect("it is an entry");
        let again = first.clone();
        let change = move |entry: &mut Entry| entry.command.transaction_id = again;
        forged(
            store,
            move |entry| is_grant(entry) && entry.command.transaction_id != first,
            change,
            FindingClass::Once,
            "was used before",
        )
    }),
    ("a receipt earns a second time", |store| {
        let mut receipt = None;
        let forge = Forge::open(store);
        let (f, s, r) = forge.find(is_grant);
        if let Ok(Record::Entry(entry)) = decode(&forge.frames[f].sections[s].2[r], &forge.dictionary)
            && let CommandKind::Accrue(basket) = entry.command.kind
        {
            receipt = Some((basket.receipt_number, basket.business_day));
        }
        let (number, day) = receipt.expect("it is an accrual");
        let taken = number.clone();
        let change = move |entry: &mut Entry| {
            if let CommandKind::Accrue(basket) = &mut entry.command.kind {
                (basket.receipt_number, basket.business_day) = (taken, day);
            }
        };
        let fits = move |entry: &Entry| match &entry.command.kind {
            CommandKind::Accrue(basket) => is_grant(entry) && basket.receipt_number != number,
            CommandKind::Reverse(_) => false,
        };
        forged(store, fits, change, FindingClass::Once, "the receipt was used before")
    }),
    ("a reversal takes back less than was granted", |store| {
        let change = |entry: &mut Entry| {
            let CommandKind::Reverse(reversal) = &mut entry.command.kind else { unreachable!("it is a reversal") };
            reversal.original.units -= 1;
        };
        forged(store, is_reversal, change, FindingClass::Reversal, "is not what the accrual at position")
    }),
    ("a reversal names another accrual", |store| {
        let change = |entry: &mut Entry| {
            let CommandKind::Reverse(reversal) = &mut entry.command.kind else { unreachable!("it is a reversal") };
            reversal.original_position.0 -= 1;
        };
        forged(store, is_reversal, change, FindingClass::Reversal, "it reverses")
    }),
    ("a reversal names a record that comes later", |store| {
        let change = |entry: &mut Entry| {
            let CommandKind::Reverse(reversal) = &mut entry.command.kind else { unreachable!("it is a reversal") };
            reversal.original_position.0 += 10_000;
        };
        forged(store, is_reversal, change, FindingClass::Reversal, "does not lie before it")
    }),
    ("an account is opened under another id", |store| {
        let fits = |entry: &Entry| entry.decision.effects.opens_account;
        let change = |entry: &mut Entry| entry.command.account_id = "a-forger".into();
        forged(store, fits, change, FindingClass::Record, "does not belong in this shard")
    }),
    ("a programme was published with other rules", |store| {
        let mut forge = Forge::open(store);
        forge.alter_control(|record| match record {
            Record::Program(publication) if publication.version == ProgramVersion(1) => {
                publication.source = publication.source.replacen("per_minor = 100", "per_minor = 101", 1).into();
                true
            }
            _ => false,
        });
        forge.write(store);
        let position = forge.position_of(forge.find(|entry| entry.decision.effects.opens_account));
        expect(FindingClass::Decision, position, "what is granted is recorded as", None)
    }),
    ("a later version of the programme claims to have been in force before", |store| {
        let mut forge = Forge::open(store);
        let position = forge.alter_control(|record| match record {
            Record::Program(publication) if publication.version == ProgramVersion(2) => {
                publication.effective_at = TimestampNs(NOON.0 + NS_PER_SECOND);
                true
            }
            _ => false,
        });
        forge.write(store);
        expect(FindingClass::Program, position, "takes effect before a command that was decided already", None)
    }),
];

#[test]
fn an_altered_decision_is_found_by_deciding_again_although_every_hash_fits() {
    for (name, damage) in FORGERIES {
        check(name, damage);
    }
}

#[test]
fn records_dropped_repeated_or_reordered_within_frames_are_found_although_every_hash_fits() {
    // Every record, dropped alone; the rest closes up, numbers and all.
    let whole = Forge::open(&original());
    let (mut dropped_count, mut unseen_count) = (0, 0);
    for f in 0..whole.frames.len() {
        for s in 0..whole.frames[f].sections.len() {
            for r in 0..whole.frames[f].sections[s].2.len() {
                let mut forge = Forge::open(&original());
                let (shard, _, records) = &mut forge.frames[f].sections[s];
                let shard = *shard;
                records.remove(r);
                forge.close_gap(shard, f, s);
                let what = format!("record {r} of section {s} of frame {f}, dropped");
                let store = original();
                let mark = store.read_mark().expect("memory gives it");
                forge.write(&store);
                let with_new_mark = verify_store(&store);
                store.set_mark(mark.as_deref());
                first_finding(&store, &what);
                if with_new_mark.intact {
                    // Nothing in the content speaks of the last record of an account: that is what the mark is for.
                    assert!(shard != ShardId::CONTROL && whole.is_last_of_account((f, s, r)), "{what} was not found");
                    unseen_count += 1;
                }
                dropped_count += 1;
            }
        }
    }
    assert!(dropped_count > 100 && unseen_count <= 6, "{dropped_count} dropped, {unseen_count} unseen");
}

#[test]
fn records_of_one_account_that_are_exchanged_are_found_although_every_hash_fits() {
    let mut found_count = 0;
    let count = Forge::open(&original()).frames.len();
    for f in 0..count - 1 {
        let mut forge = Forge::open(&original());
        let Some((shard, at)) = forge.frames[f]
            .sections
            .iter()
            .enumerate()
            .find_map(|(s, (shard, ..))| (*shard != ShardId::CONTROL).then_some((*shard, s)))
        else {
            continue;
        };
        // The next record of the same shard, in whatever frame.
        let next = (f + 1..count)
            .find_map(|g| forge.frames[g].sections.iter().position(|(known, ..)| *known == shard).map(|s| (g, s)));
        let Some((g, s)) = next else { continue };
        let one = forge.frames[f].sections[at].2[0].clone();
        let other = std::mem::replace(&mut forge.frames[g].sections[s].2[0], one);
        forge.frames[f].sections[at].2[0] = other;
        let store = original();
        forge.write(&store);
        first_finding(&store, &format!("records exchanged between frames {f} and {g}"));
        found_count += 1;
    }
    assert!(found_count > 20, "{found_count}");
}

#[test]
fn a_repeated_record_is_found_although_every_hash_fits() {
    let mut forge = Forge::open(&original());
    let (f, s, r) = forge.find(is_grant);
    let record = forge.frames[f].sections[s].2[r].clone();
    let (shard, first, _) = forge.frames[f].sections[s];
    // Once more under its own number, which a replay over a snapshot would skip.
    forge.frames[f].sections.push((shard, first, vec![record]));
    let store = original();
    forge.write(&store);
    let found = first_finding(&store, "a repeated record");
    assert_eq!(found.class, FindingClass::Sequence, "{found}");
    assert!(found.sentence.contains("missing, repeated or out of order"), "{found}");
}

#[test]
fn epochs_that_do_not_ascend_or_were_never_opened_are_found() {
    let original_forge = Forge::open(&original());
    let last = original_forge.frames.len() - 1;
    let mut back = Forge::open(&original());
    back.frames[last].header[8..16].copy_from_slice(&1_u64.to_le_bytes());
    let mut ahead = Forge::open(&original());
    ahead.frames[last].header[8..16].copy_from_slice(&7_u64.to_le_bytes());
    let mut engine = Forge::open(&original());
    engine.frames[last].header[6..8].copy_from_slice(&9_u16.to_le_bytes());
    let rows = [
        (back, FindingClass::Epoch, "epoch 1 follows epoch 2"),
        (ahead, FindingClass::Epoch, "epoch 7 begins with a record that does not open it"),
        (engine, FindingClass::Frame, "decided by engine 9"),
    ];
    for (forge, class, says) in rows {
        let store = original();
        forge.write(&store);
        let found = first_finding(&store, says);
        assert_eq!(found.class, class, "{found}");
        assert!(found.sentence.contains(says), "{found}");
    }
}

#[test]
fn what_lies_behind_the_mark_can_be_cut_and_the_report_says_so() {
    let store = original();
    let keys = keys(&store);
    let (last, before) = (&keys[keys.len() - 1], &keys[keys.len() - 2]);
    // A mark that was renewed one commit ago.
    let frame = store.get(Space::Journal, before).expect("memory gives it").expect("it is there");
    let view = FrameView::decode(Position(position_of(before)), &frame).expect("it is whole");
    let journal = StoreJournal::new(Arc::new(store.clone()));
    journal.write_high_water(&HighWater { end: view.end(), hash: view.hash }).expect("memory takes it");
    let report = verify_store(&store);
    assert!(report.intact, "{:#?}", report.findings);
    let behind = report.end_position - position_of(last);
    assert_eq!(report.records_behind_mark, behind);
    let promise = format!(
        "Detection is promised up to position {}, the last durable high-water mark; {behind} records lie behind it.",
        position_of(last)
    );
    assert_eq!(report.promise, promise);
    store.remove(Space::Journal, last);
    let report = verify_store(&store);
    assert!(report.intact && report.records_behind_mark == 0, "{:#?}", report.findings);
    // With no mark at all the report promises no end.
    store.set_mark(None);
    assert!(verify_store(&store).promise.starts_with("There is no high-water mark"));
}

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

#[test]
fn a_journal_without_identity_is_not_opened() {
    let store = original();
    store.remove(Space::Meta, b"identity");
    let shared: Arc<dyn Store> = Arc::new(store);
    let error = verify(&shared, &VerifyOptions::default(), &mut |_, _| {}).expect_err("it has no identity");
    assert_eq!(error.to_string(), "this is not a data directory: it has no identity");
    assert!(StoreJournal::new(shared).end().is_ok());
}
