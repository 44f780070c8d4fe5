//! Recovery with any number of threads: the same state, the same ids, the same next records, and of damage the same place.

mod support;

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use support::edge::{Accrue, LineText};
use support::forge::Forge;
use support::{
    Ledger, ManualClock, NOON, NS_PER_DAY, NS_PER_SECOND, Setup, assert_intact, id_options, programs, recover_store,
};
use tallystick::clock::Clock;
use tallystick::ids::{IdEntry, IdOptions};
use tallystick::ledger::command::{CommandKind, ReturnedLine};
use tallystick::ledger::freeze::Subject;
use tallystick::ledger::partner::PartnerAccount;
use tallystick::ledger::types::{ItemId, ShardId, SymbolId, TimestampNs, WalletId};
use tallystick::recovery::{Progress, Recovered, RecoveryError, Source, empty_ids, recover, recover_from};
use tallystick::shard::freezing::FreezeDraft;
use tallystick::snapshot::Marker;
use tallystick::snapshot::entity::Entity;
use tallystick::store::checked::CheckedStore;
use tallystick::store::memory::{FaultScript, MemoryStore};
use tallystick::store::{Space, Store};

const THREAD_COUNTS: [usize; 3] = [1, 2, 5];

fn setup(worker_count: usize) -> Setup {
    Setup { worker_count, ..Setup::default() }
}

fn recover_with(store: &MemoryStore, thread_count: usize) -> Result<Recovered, RecoveryError> {
    recover_store(&(Arc::new(store.stop_cleanly()) as Arc<dyn Store>), &setup(thread_count))
}

/// What somebody does.
#[derive(Clone, Debug)]
enum Step {
    /// Buys something: by account, amount, and a number that now and then makes a name nobody used before.
    Buy { account: u8, amount_minor: u16, name: u8 },
    /// Brings back what the purchase with this number bought, or its first line.
    Return { purchase: u16, whole: bool },
    /// Publishes a version with another budget and another rate.
    Publish { units: u8 },
    /// Takes a snapshot.
    Snapshot,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        20 => (0..24_u8, 0..9_000_u16, any::<u8>())
            .prop_map(|(account, amount_minor, name)| Step::Buy { account, amount_minor, name }),
        5 => (any::<u16>(), any::<bool>()).prop_map(|(purchase, whole)| Step::Return { purchase, whole }),
        1 => (1..4_u8).prop_map(|units| Step::Publish { units }),
        1 => Just(Step::Snapshot),
    ];
    proptest::collection::vec(step, 30..160)
}

fn version(units: u8) -> String {
    // Scarce, so that the budget is contended and runs out.
    let budget = programs::BUDGET.replacen("1_000_000", "900", 1);
    let caps = programs::CAPS.replacen("limit = 3", "limit = 50", 1);
    let all = [programs::RULES, &caps, programs::METRIC, &budget].concat();
    programs::program("", programs::EXCLUDE, &all).replacen("units = 1\n", &format!("units = {units}\n"), 1)
}

fn buy(ledger: &Ledger, index: usize, account: u8, amount_minor: u16, name: u8) -> bool {
    let brand = ["Own", "", "Other"][usize::from(name) % 3].to_owned();
    let sku = if name > 200 { format!("sku-{index}") } else { String::new() };
    let lines = vec![
        LineText { sku, brand, ..LineText::of(i64::from(amount_minor)) },
        LineText { department: "FRESH".to_owned(), ..LineText::of(250) },
    ];
    let simple = Accrue::simple(&format!("member-{account}"), &format!("t-{index}"), 0);
    let late = TimestampNs(NOON.0 - i64::from(name % 5) * NS_PER_DAY);
    ledger.edge().accrue(&Accrue { lines, receipt_at: Some(late), ..simple }).refusal().is_none()
}

/// A ledger that still runs after the steps, and what it has on disk.
fn play(steps: &[Step]) -> (Ledger, MemoryStore) {
    let (ledger, store) = Ledger::new(setup(2));
    let ledger = ledger.with_program(&version(1));
    for (index, step) in steps.iter().enumerate() {
        ledger.clock.advance(NS_PER_SECOND);
        match step {
            Step::Buy { account, amount_minor, name } => {
                buy(&ledger, index, *account, *amount_minor, *name);
            }
            Step::Return { purchase, whole } => {
                let piece = [ReturnedLine { line: 0, quantity: 1, amount_minor: 0 }];
                let lines = if *whole { &[][..] } else { &piece[..] };
                let original = format!("t-{}", usize::from(*purchase) % (index + 1));
                let returned = ledger.edge().begin_reverse(&format!("v-{index}"), &original, lines, None);
                returned.wait().expect("the ledger answers");
            }
            Step::Publish { units } => {
                let now = Clock::now(&*ledger.clock);
                ledger.publish(&version(*units), TimestampNs(now.0 + 5 * NS_PER_SECOND));
                ledger.clock.advance(6 * NS_PER_SECOND);
            }
            Step::Snapshot => {
                ledger.engine.snapshot().expect("a snapshot can be taken");
            }
        }
    }
    (ledger, store)
}

/// Everything that a recovery gives, as far as it can be compared.
#[derive(Debug, PartialEq)]
struct Found {
    digest: String,
    chain: (u64, u64, [u8; 32]),
    replayed_count: u64,
    snapshot_seqs: Vec<u64>,
    /// Accounts with the positions of their last records, and partners, which the digest leaves out or sums up.
    shards: Vec<String>,
    cells: String,
    publications: String,
    control_seq: u64,
    ids: Vec<Option<IdEntry>>,
}

fn found(recovered: &Recovered, step_count: usize) -> Found {
    let Recovered { world, ids, identity, replayed_count, snapshot_seqs, .. } = recovered;
    let hasher = identity.id_hasher();
    let keys = (0..step_count).flat_map(|index| {
        let (bought, returned) = (format!("t-{index}"), format!("v-{index}"));
        let business_day = |days: i32| i32::try_from(NOON.0 / NS_PER_DAY).expect("a day") - days;
        let receipts = (0..5).map(|days| hasher.receipt("north", "s1", "", business_day(days), &bought));
        let own = [hasher.transaction("north", &bought), hasher.transaction("north", &returned)];
        receipts.chain(own).chain([hasher.reversal("north", &bought)]).collect::<Vec<_>>()
    });
    let shards = world.shards.iter();
    let seen = |shard: &tallystick::ledger::state::ShardState| {
        let holding: Vec<_> = shard.holding(Default::default()).collect();
        format!("{:?} {:?} {:?} {:?} {holding:?}", shard.seq, shard.all_packed(), shard.partners, shard.pending())
    };
    Found {
        digest: world.digest().to_string(),
        chain: (world.end.0, world.epoch, world.hash),
        replayed_count: *replayed_count,
        snapshot_seqs: snapshot_seqs.iter().map(|seq| seq.0).collect(),
        shards: shards.map(seen).collect(),
        cells: format!("{:?}", world.cells.copy()),
        publications: format!("{:?}", world.publications),
        control_seq: world.control_seq.0,
        ids: keys.map(|key| ids.lookup(key).expect("memory can be read")).collect(),
    }
}

/// What a ledger that goes on from there answers next, and the digest of where it gets.
fn next_answers(store: &MemoryStore, thread_count: usize, step_count: usize) -> (Vec<String>, String) {
    let clock = ManualClock::new(TimestampNs(NOON.0 + NS_PER_DAY));
    let ledger = Ledger::start(Arc::new(store.stop_cleanly()), setup(thread_count), clock);
    let edge = ledger.edge();
    // What was asked before, and then something new.
    let answers = (0..step_count + 5).map(|index| {
        let answer = edge.accrue(&Accrue::simple(&format!("member-{}", index % 24), &format!("t-{index}"), 700));
        format!("{answer:?}")
    });
    (answers.collect(), ledger.stop().digest.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_number_of_threads_recovers_the_same(steps in steps()) {
        let (ledger, store) = play(&steps);
        let left = store.stop_cleanly();
        let digest = ledger.stop().digest;
        let recovered = THREAD_COUNTS.map(|threads| {
            found(&recover_with(&left, threads).expect("it can be recovered"), steps.len())
        });
        prop_assert_eq!(&recovered[0].digest, &digest.to_string());
        prop_assert!(recovered[0].ids.iter().any(Option::is_some));
        prop_assert_eq!(&recovered[0], &recovered[1]);
        prop_assert_eq!(&recovered[0], &recovered[2]);
        assert_intact(&left, digest);
    }
}

fn long_history() -> MemoryStore {
    let (ledger, store) = Ledger::new(setup(2));
    let ledger = ledger.with_program(&version(1));
    for index in 0..700 {
        ledger.clock.advance(NS_PER_SECOND);
        buy(&ledger, index, (index % 24) as u8, (index * 13) as u16, (index * 37 % 256) as u8);
        if index == 300 {
            ledger.publish(&version(2), TimestampNs(NOON.0 + 400 * NS_PER_SECOND));
        }
    }
    ledger.stop();
    store
}

#[test]
fn a_ledger_goes_on_alike_whatever_recovered_it() {
    let store = long_history();
    let [one, two, five] = THREAD_COUNTS.map(|threads| next_answers(&store, threads, 700));
    assert!(one == two && one == five);
    let (before, new) = one.0.split_at(700);
    // Some were refused without a record, and their ids are free.
    assert!(before.iter().filter(|answer| answer.contains("TransactionIdReused")).count() > 600, "{before:?}");
    assert!(new.iter().all(|answer| answer.contains("Granted")), "{new:?}");
}

#[track_caller]
fn refusals(store: &MemoryStore) -> String {
    let [one, two, five] = THREAD_COUNTS.map(|threads| match recover_with(store, threads) {
        Ok(_) => panic!("{threads} threads see no damage"),
        Err(error) => error.to_string(),
    });
    assert_eq!((&one, &one), (&two, &five), "the place does not depend on the number of threads");
    one
}

#[test]
fn of_several_damages_the_first_is_named_with_any_number_of_threads() {
    let store = long_history();
    let keys: Vec<_> = store.contents(Space::Journal).into_iter().map(|(key, _)| key).collect();
    let position = |key: &[u8]| u64::from_be_bytes(key.try_into().expect("a position"));
    for (first, second) in [(10, 11), (255, 256), (256, 257), (400, 650)] {
        let damaged = store.stop_cleanly();
        for index in [first, second] {
            damaged.alter(Space::Journal, &keys[index], |bytes| bytes[80] ^= 1);
        }
        let said = refusals(&damaged);
        assert!(said.contains(&format!("the frame at position {}", position(&keys[first]))), "{said}");
    }
    // Records that do not fit, in several shards, and a frame behind them that is no frame.
    let mut forge = Forge::open(&store);
    let mut places = Vec::new();
    for wanted in [333, 334, 335, 340] {
        let fits =
            move |entry: &tallystick::journal::record::Entry| *entry.command.transaction_id == format!("t-{wanted}");
        places.push(forge.alter(fits, |entry| entry.account.0 += 1_000));
    }
    let damaged = store.stop_cleanly();
    forge.write(&damaged);
    damaged.alter(Space::Journal, &keys[500], |bytes| bytes[80] ^= 1);
    let said = refusals(&damaged);
    assert!(places.is_sorted() && said.contains(&format!("the record at position {}", places[0])), "{said}");
}

#[test]
fn a_record_that_names_what_only_a_later_one_defines_is_refused_with_any_number_of_threads() {
    let store = long_history();
    let mut forge = Forge::open(&store);
    let last_item = ItemId(forge.dictionary.counts().1 - 1);
    let item = forge.dictionary.item(last_item).expect("the last item");
    let place = forge.alter(
        |entry| *entry.command.transaction_id == *"t-350",
        |entry| {
            let CommandKind::Accrue(basket) = &mut entry.command.kind else { panic!("a purchase") };
            (basket.lines[0].item_id, basket.lines[0].item) = (last_item, item);
        },
    );
    let damaged = store.stop_cleanly();
    forge.write(&damaged);
    let said = refusals(&damaged);
    assert!(said.contains(&format!("the record at position {place}")), "{said}");
}

#[test]
fn of_several_entities_that_cannot_be_read_the_first_is_named_with_any_number_of_threads() {
    let (ledger, store) = play(&[]);
    for index in 0..60 {
        buy(&ledger, index, (index % 24) as u8, 500, 0);
    }
    ledger.engine.snapshot().expect("a snapshot can be taken");
    ledger.stop();
    let accounts = store.contents(Space::State).into_iter().map(|(key, _)| key).filter(|key| key[0] == 6);
    let accounts: Vec<_> = accounts.collect();
    for first in [0, 5, accounts.len() - 2] {
        let damaged = store.stop_cleanly();
        for key in &accounts[first..] {
            damaged.alter(Space::State, key, Vec::clear);
        }
        let hex: String = accounts[first].iter().map(|byte| format!("{byte:02x}")).collect();
        let said = refusals(&damaged);
        assert!(said.contains(&hex), "{hex}: {said}");
    }
}

/// How far a recovery with so many threads said that it was.
fn told(store: &MemoryStore, thread_count: usize) -> Vec<Progress> {
    let store: Arc<dyn Store> = Arc::new(store.stop_cleanly());
    let mut told = Vec::new();
    let on_progress = &mut |progress| told.push(progress);
    recover(&store, setup(thread_count).identity(), &id_options(), thread_count, on_progress).expect("it is whole");
    told
}

fn is_of_journal(progress: &Progress) -> bool {
    matches!(progress, Progress::Journal { .. })
}

/// Whoever starts the server takes a recovery of which nothing is heard for one that hangs.
#[test]
fn a_recovery_is_told_of_within_a_batch_of_frames() {
    let store = long_history();
    let frame_count = store.contents(Space::Journal).len();
    assert!(frame_count > 600, "{frame_count}: the test wants many frames, all of them small");
    for threads in THREAD_COUNTS {
        let told = told(&store, threads);
        let of_journal = told.iter().filter(|progress| is_of_journal(progress)).count();
        assert!(of_journal >= frame_count / 16, "{threads} threads: {of_journal} times in {frame_count} frames");
        let mut of_journal = told.iter().filter_map(|progress| match progress {
            Progress::Journal { reached, end } => Some((reached, end)),
            Progress::Ids { .. } | Progress::Snapshot { .. } => None,
        });
        assert!(of_journal.clone().is_sorted(), "{threads} threads: {told:?}");
        // Whoever measures the replay hears when all of it is applied.
        assert!(of_journal.next_back().is_some_and(|(reached, end)| reached == end), "{threads} threads: {told:?}");
    }
}

#[test]
fn each_version_that_is_compiled_is_told_of_in_the_journal_and_in_the_snapshot() {
    const VERSION_COUNT: usize = 12;
    let (ledger, store) = Ledger::new(setup(2));
    let ledger = ledger.with_program(&version(1));
    for number in 1..VERSION_COUNT as u8 {
        ledger.publish(&version(1 + number % 3), TimestampNs(NOON.0 + i64::from(number) * NS_PER_SECOND));
    }
    let journal_alone = store.stop_cleanly();
    ledger.engine.snapshot().expect("a snapshot can be taken");
    ledger.stop();
    for threads in THREAD_COUNTS {
        let of_journal = told(&journal_alone, threads).iter().filter(|progress| is_of_journal(progress)).count();
        assert!(of_journal >= VERSION_COUNT, "{threads} threads: {of_journal} times");
        let told = told(&store, threads);
        let loaded = told.iter().take_while(|progress| !is_of_journal(progress)).count();
        assert!(loaded >= VERSION_COUNT, "{threads} threads: {told:?}");
    }
}

/// Names and freezes have no ids. The index of ids is written for them too, or each start would read them again; and what a
/// running ledger says of its recovery counts what the index lacks, not only what the snapshot does.
#[test]
fn records_without_ids_are_not_replayed_for_ever_and_as_many_are_as_was_said() {
    let (ledger, store) = play(&[]);
    assert!(buy(&ledger, 0, 1, 500, 0));
    let engine = &ledger.engine;
    for number in 0..20_000 {
        engine.dictionary.intern(&format!("name-{number}"), &**engine).expect("there is room");
    }
    // Its commit takes the names along, and nothing of any account.
    let freeze = FreezeDraft {
        subject: Subject::Account("somebody-else".into()),
        freezes: true,
        by: "key:1".into(),
        reason_code: "test".into(),
        note: "".into(),
        alone: true,
    };
    engine.change_freezes(freeze, None).expect("it fits");
    assert!(buy(&ledger, 1, 1, 500, 0));
    assert!(engine.records_to_replay() > 20_000, "without a snapshot it is the whole journal");
    engine.snapshot().expect("a snapshot can be taken");
    // The housekeeper writes the ids step by step.
    let is_written = || engine.records_to_replay() < 100;
    (0..2_000).take_while(|_| !is_written()).for_each(|_| std::thread::sleep(Duration::from_millis(5)));
    let said = engine.records_to_replay();
    assert!(said < 100, "{said} records are replayed at the next start");
    ledger.stop();
    for threads in THREAD_COUNTS {
        let recovered = recover_with(&store, threads).expect("it can be recovered");
        assert_eq!(recovered.replayed_count, said, "{threads} threads");
        let known = found(&recovered, 2).ids.iter().flatten().count();
        assert!(known >= 2, "both sales are known, and {known} ids in all");
    }
}

/// A ledger whose ids are not on disk yet replays the records that brought them, however new its snapshot is.
#[test]
fn a_snapshot_does_not_spare_what_the_index_of_ids_lacks_and_nobody_says_so() {
    let (ledger, store) = play(&[]);
    for index in 0..60 {
        buy(&ledger, index, (index % 24) as u8, 500, 0);
    }
    let before = ledger.engine.records_to_replay();
    ledger.engine.snapshot().expect("a snapshot can be taken");
    let said = ledger.engine.records_to_replay();
    assert!(before > 60 && said == before, "{before} records before the snapshot, {said} after it");
    ledger.stop();
    assert_eq!(recover_with(&store, 1).expect("it can be recovered").replayed_count, said);
}

/// Between the two writes that discard a snapshot the power goes: what is left of it is nobody's, and the next snapshot must
/// not make it somebody's again.
#[test]
fn what_a_snapshot_leaves_that_was_discarded_halfway_is_not_taken_over_by_the_next() {
    let (ledger, store) = play(&[]);
    for index in 0..60 {
        buy(&ledger, index, (index % 24) as u8, 500, 0);
    }
    ledger.engine.snapshot().expect("a snapshot can be taken");
    let digest = ledger.stop().digest;
    // Why it is discarded: it holds what the journal does not give, under a key that no record will ever use.
    let untrue = PartnerAccount { issued: 7, reversed: 7, ..PartnerAccount::default() };
    let (key, value) = Entity::Partner(ShardId(3), SymbolId(4_000_000), WalletId(0), untrue).encode();
    store.overwrite(Space::State, &key, &value);
    assert_ne!(recover_with(&store, 1).expect("nothing contradicts it").world.digest(), digest);
    let has_it = |store: &MemoryStore| store.contents(Space::State).iter().any(|(found, _)| *found == key);
    let mut cut_short = 0;
    for seed in 0..16 {
        let failing = store.stop_cleanly();
        // The first sync is that of the marker's end, the second that of the entities'.
        failing.set_faults(FaultScript::freeze_at_sync(2));
        let (disk, identity) = (Arc::new(failing.clone()) as Arc<dyn Store>, Setup::default().identity());
        let discarded = recover_from(Source::Journal, &disk, identity, &id_options(), 1, &mut |_| {});
        assert!(discarded.is_err(), "the power is gone");
        let left = failing.crash(seed);
        assert_eq!(Marker::read(&left).expect("it can be read"), None);
        cut_short += usize::from(has_it(&left));
        let clock = ManualClock::new(TimestampNs(NOON.0 + NS_PER_DAY));
        let ledger = Ledger::start(Arc::new(left.clone()), setup(2), clock);
        ledger.engine.snapshot().expect("a snapshot can be taken");
        let stopped = ledger.stop();
        assert!(!has_it(&left), "with seed {seed}");
        let recovered = recover_with(&left, 2).expect("it can be recovered");
        assert_eq!((recovered.world.digest(), recovered.marker.is_some()), (stopped.digest, true), "with seed {seed}");
        assert_intact(&left, stopped.digest);
    }
    assert!(cut_short > 0, "the test wants entities without a marker");
}

/// Recovers with an index of ids that keeps few in memory and writes the rest.
fn recover_with_few_ids(store: &Arc<dyn Store>, thread_count: usize) -> Result<Recovered, RecoveryError> {
    let few = IdOptions { memory_ids_max: 64, segment_ids: 128, partitions: 2, ..id_options() };
    recover(store, setup(thread_count).identity(), &few, thread_count, &mut |_| {})
}

fn shared(store: &MemoryStore) -> Arc<dyn Store> {
    Arc::new(store.clone())
}

/// A ledger with its ids on disk, and what a recovery of it finds.
fn with_ids_on_disk() -> (MemoryStore, Found) {
    let store = long_history();
    let healthy = found(&recover_with(&store, 2).expect("it can be recovered"), 700);
    // One that writes what does not fit into memory.
    recover_with_few_ids(&shared(&store), 1).expect("it can be recovered");
    assert!(!footers(&store).is_empty(), "there are runs");
    (store, healthy)
}

/// The keys of the footers of the runs on disk, which opening reads first.
fn footers(store: &MemoryStore) -> Vec<Vec<u8>> {
    let keys = store.contents(Space::Ids).into_iter().map(|(key, _)| key);
    keys.filter(|key| key.ends_with(&[0xff; 4])).collect()
}

#[test]
fn an_index_of_ids_that_cannot_be_opened_is_made_anew_though_the_store_has_stopped_at_it() {
    let (store, healthy) = with_ids_on_disk();
    let footer = footers(&store).pop().expect("there are runs");
    for thread_count in THREAD_COUNTS {
        let (unreadable, changed) = (store.stop_cleanly(), store.stop_cleanly());
        unreadable.make_unreadable(Space::Ids, &footer);
        assert!(changed.alter(Space::Ids, &footer, |bytes| bytes[20] ^= 1));
        for damaged in [unreadable, changed] {
            let checked = CheckedStore::new(shared(&damaged));
            let flag = checked.poison_flag();
            let checked: Arc<dyn Store> = Arc::new(checked);
            let recovered = recover_with_few_ids(&checked, thread_count).expect("the journal gives the ids again");
            assert_eq!(found(&recovered, 700), healthy);
            assert!(!flag.is_poisoned());
        }
    }
}

#[test]
fn damage_that_cannot_be_mended_is_told_as_what_it_was() {
    let (store, _) = with_ids_on_disk();
    let damaged = store.stop_cleanly();
    damaged.make_unreadable(Space::Ids, &footers(&damaged)[0]);
    damaged.set_faults(FaultScript { fail_flush_at: Some(1), ..FaultScript::default() });
    let checked: Arc<dyn Store> = Arc::new(CheckedStore::new(shared(&damaged)));
    let Err(error) = recover_with_few_ids(&checked, 1) else { panic!("the index can be neither read nor emptied") };
    assert!(error.to_string().contains("damaged in the space ids"), "{error}");
}

#[test]
fn the_index_of_ids_is_emptied_where_the_journal_is_whole_and_nowhere_else() {
    let (store, healthy) = with_ids_on_disk();
    let whole = store.stop_cleanly();
    let mut reached = None;
    let on_progress = &mut |progress| {
        if let Progress::Journal { reached: position, end } = progress {
            reached = Some((position, end));
        }
    };
    empty_ids(&shared(&whole), on_progress).expect("the journal is whole");
    assert_eq!(reached.map(|(position, end)| position == end), Some(true), "all of it was read");
    assert!(whole.contents(Space::Ids).is_empty());
    assert_eq!(found(&recover_with_few_ids(&shared(&whole), 2).expect("it can be recovered"), 700), healthy);

    let journal = store.contents(Space::Journal);
    for index in [0, journal.len() / 2, journal.len() - 1] {
        let damaged = store.stop_cleanly();
        damaged.alter(Space::Journal, &journal[index].0, |bytes| bytes[80] ^= 1);
        assert!(empty_ids(&shared(&damaged), &mut |_| {}).is_err());
        assert_eq!(damaged.contents(Space::Ids), store.contents(Space::Ids), "nothing was thrown away");
    }
    let gap = store.stop_cleanly();
    gap.remove(Space::Journal, &journal[journal.len() / 2].0);
    assert!(empty_ids(&shared(&gap), &mut |_| {}).is_err());
    assert_eq!(gap.contents(Space::Ids), store.contents(Space::Ids), "nothing was thrown away");
}

#[test]
fn ids_are_complete_wherever_a_crash_cuts_short_that_they_are_entered_anew() {
    let (store, healthy) = with_ids_on_disk();
    let sync_count = {
        let counted = store.stop_cleanly();
        empty_ids(&shared(&counted), &mut |_| {}).expect("the journal is whole");
        recover_with_few_ids(&shared(&counted), 1).expect("it can be recovered");
        counted.sync_count()
    };
    assert!(sync_count > 4, "{sync_count}: the test wants runs that are written again");
    for sync in 1..=sync_count {
        let cut_short = store.stop_cleanly();
        cut_short.set_faults(FaultScript::freeze_at_sync(sync));
        let shared_store = shared(&cut_short);
        let outcome = empty_ids(&shared_store, &mut |_| {});
        assert!(outcome.and_then(|()| recover_with_few_ids(&shared_store, 1)).is_err());
        let left = found(&recover_with_few_ids(&shared(&cut_short.crash(sync)), 1).expect("nothing is lost"), 700);
        assert_eq!((left.ids, left.digest), (healthy.ids.clone(), healthy.digest.clone()), "cut short at sync {sync}");
    }
}
