//! Snapshots that lack something: what opening the directory says.
//!
//! What must stay true: a ledger never goes on without what a snapshot should have held; what is said names what is missing.

use std::sync::Arc;

use crate::support::edge::{Accrue, LineText};
use crate::support::rig::Rig;
use crate::support::{Ledger, NOON, NS_PER_SECOND, Setup, programs};
use crate::{keys, position_of, refusal_to_open};
use tallystick::access::grant::{Grant, Role};
use tallystick::access::keys::{KeyChange, KeyId, KeyIssue, Proof};
use tallystick::access::proposals::{Act, Proposal};
use tallystick::journal::log::HighWater;
use tallystick::ledger::freeze::Subject;
use tallystick::ledger::types::{Position, SymbolId, TimestampNs};
use tallystick::recovery::identity::Identity;
use tallystick::recovery::recover_state;
use tallystick::shard::freezing::FreezeDraft;
use tallystick::store::memory::MemoryStore;
use tallystick::store::{Space, Store};

/// What keys of the state space begin with.
const SYMBOL: u8 = 1;
const ITEM: u8 = 2;
const PROGRAM: u8 = 3;
const SHARD: u8 = 5;
const ACCOUNT: u8 = 6;
const PARTNER: u8 = 7;
const KEY_CHANGE: u8 = 40;
const FREEZE_CHANGE: u8 = 42;
const PROPOSALS: u8 = 43;

/// Three accounts, of which the first has the last record.
const THREE: &[&str] = &["m-0", "m-1", "m-2", "m-0"];

const NO_FIRST: &str = "account 0 of shard 0 is neither in the snapshot nor in the journal after it";
const NO_THIRD: &str = "account 2 of shard 0 is neither in the snapshot nor in the journal after it";
const TOO_FEW_UNITS: &str = "hold 15 units of wallet 0 that partner \"north\" issued, where 20 are outstanding";
const NO_ISSUER: &str = "hold 20 units of wallet 0 that partner \"north\" issued, where 0 are outstanding";
const NO_SHARD: &str = "shard 0 is number 0, and the last that any of its accounts has is number 4";

/// A ledger of one shard after these accounts have earned five units each time.
fn played(accounts: &[&str]) -> (Rig, MemoryStore) {
    let store = MemoryStore::new();
    let mut rig = Rig::new(Arc::new(store.clone()), Setup { shard_count: 1, ..Setup::default() });
    rig.publish(&programs::program("", "", ""), TimestampNs(i64::MIN));
    earn(&mut rig, accounts);
    (rig, store)
}

fn earn(rig: &mut Rig, accounts: &[&str]) {
    for account in accounts {
        rig.accrue(account, 500, NOON);
        rig.commit();
    }
}

/// The same, with a snapshot of all of it.
fn saved(accounts: &[&str]) -> MemoryStore {
    let (mut rig, store) = played(accounts);
    rig.snapshot();
    assert_eq!(refusal(&store), None, "it is whole");
    store
}

fn entities(store: &MemoryStore, kind: u8) -> Vec<Vec<u8>> {
    store.contents(Space::State).into_iter().map(|(key, _)| key).filter(|key| key[0] == kind).collect()
}

/// What recovery says that begins where the snapshot leaves off, if it refuses: the index of ids of a ledger this small is
/// not on disk, and would have it begin with the first record, which brings back what is missing.
fn refusal(store: &MemoryStore) -> Option<String> {
    let store: Arc<dyn Store> = Arc::new(store.stop_cleanly());
    let identity = Identity::read(&*store).expect("memory gives it").expect("it was written");
    recover_state(&store, &identity, &mut |_| {}).err().map(|error| error.to_string())
}

#[track_caller]
fn check(store: &MemoryStore, says: &str) {
    let refusal = refusal(store).unwrap_or_else(|| panic!("it opens, where {says:?} was expected"));
    assert!(refusal.contains(says), "{refusal}");
}

#[test]
fn a_snapshot_that_lacks_an_account_is_refused() {
    let rows: [(&[&str], u8, usize, &str, &str); 5] = [
        (THREE, ACCOUNT, 0, NO_FIRST, NO_FIRST),
        (THREE, ACCOUNT, 2, NO_THIRD, TOO_FEW_UNITS),
        (&["m-0"], ACCOUNT, 0, NO_FIRST, "shard 0 is number 1, and the last that any of its accounts has is number 0"),
        (THREE, PARTNER, 0, NO_ISSUER, NO_ISSUER),
        (THREE, SHARD, 0, NO_SHARD, NO_SHARD),
    ];
    // Of whom a snapshot was taken, what of it is removed, and what is said: also where accounts were not counted.
    for (accounts, kind, index, says, says_uncounted) in rows {
        let store = saved(accounts);
        assert!(store.remove(Space::State, &entities(&store, kind)[index]));
        check(&store, says);
        assert!(store.remove(Space::Meta, b"accounts-saved"), "an earlier build did not count them");
        check(&store, says_uncounted);
    }
}

/// Neither the issuer's side nor the shard's last record knows of it.
#[test]
fn an_account_without_units_is_missed_too() {
    let (mut rig, store) = played(&["m-0"]);
    rig.accrue("m-1", 50, NOON);
    rig.commit();
    earn(&mut rig, &["m-0"]);
    rig.snapshot();
    assert_eq!(refusal(&store), None, "it is whole");
    let accounts = entities(&store, ACCOUNT);
    assert_eq!(accounts.len(), 2);
    assert!(store.remove(Space::State, &accounts[1]));
    check(&store, "account 1 of shard 0 is neither in the snapshot nor in the journal after it");
}

#[test]
fn a_snapshot_that_has_an_account_as_it_was_before_is_refused() {
    let (mut rig, store) = played(&["m-0", "m-1", "m-2"]);
    rig.snapshot();
    let key = &entities(&store, ACCOUNT)[1];
    let before = store.get(Space::State, key).expect("memory gives it").expect("it is there");
    earn(&mut rig, &["m-1", "m-0"]);
    rig.snapshot();
    assert_eq!(refusal(&store), None, "it is whole");
    store.overwrite(Space::State, key, &before);
    check(&store, "hold 20 units of wallet 0 that partner \"north\" issued, where 25 are outstanding");
}

/// The journal ends before the last record of an account in the snapshot, and its mark says that this is its end.
#[test]
fn a_snapshot_that_is_ahead_of_the_journal_is_refused() {
    let store = saved(THREE);
    let keys = keys(&store);
    let [.., before, last] = keys.as_slice() else { panic!("there are frames") };
    let frame = store.get(Space::Journal, before).expect("memory gives it").expect("it is there");
    let hash = frame[frame.len() - 32..].try_into().expect("a hash of 32 bytes");
    assert!(store.remove(Space::Journal, last));
    store.set_mark(Some(&HighWater { end: Position(position_of(last)), hash }.encode()));
    let says = "the snapshot holds record 4 of shard 0 that the journal does not have";
    check(&store, says);
    assert!(refusal_to_open(&store).is_some_and(|refusal| refusal.contains(says)));
}

/// A ledger whose snapshot has several strings, items, versions, changes of keys and freezes, and a proposal.
fn with_definitions() -> MemoryStore {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&programs::everything());
    ledger.publish(&programs::everything(), TimestampNs(NOON.0 + NS_PER_SECOND));
    for number in 1..=2 {
        let issue = KeyIssue {
            id: KeyId([number; 8]),
            proof: Proof::Secret([number; 32]),
            name: "a key".into(),
            grant: Grant::of_role(Role::Operator),
            issued_at: NOON,
            expires_at: KeyIssue::NEVER,
            issued_by: "test".into(),
            replaces: None,
        };
        let changed = ledger.engine.change_keys(|_| Ok(Some(KeyChange::Issued(Box::new(issue)))), None);
        changed.expect("it fits").expect("it is a change");
    }
    for freezes in [true, false] {
        let draft = FreezeDraft {
            subject: Subject::Account("m-9".into()),
            freezes,
            by: "anna".into(),
            reason_code: "test".into(),
            note: Box::default(),
            alone: true,
        };
        ledger.engine.change_freezes(draft, None).expect("it fits");
    }
    let number = ledger.engine.propose(None, |_, number| {
        let (by, content) = ("anna".into(), Box::from([7_u8]));
        let (at, expires_at) = (NOON, TimestampNs(NOON.0 + NS_PER_SECOND));
        let (partner, transaction_id) = (SymbolId::EMPTY, Box::default());
        Ok(Proposal { number, act: Act::Freeze, partner, transaction_id, by, at, expires_at, content })
    });
    number.expect("it fits").expect("nobody has done it");
    let edge = ledger.edge();
    let line = LineText { sku: "sku-1".to_owned(), ..LineText::of(500) };
    assert_eq!(edge.accrue(&Accrue { lines: vec![line], ..Accrue::simple("m-0", "a", 0) }).granted(), 5);
    // The last string is of nothing else that the snapshot has.
    let elsewhere = Accrue { store: "s-last".to_owned(), ..Accrue::simple("m-0", "b", 500) };
    assert_eq!(edge.accrue(&elsewhere).granted(), 5);
    ledger.engine.snapshot().expect("a snapshot can be taken");
    ledger.stop();
    store
}

#[test]
fn a_snapshot_that_lacks_the_last_of_what_its_marker_promises_is_refused() {
    let store = with_definitions();
    assert_eq!(refusal_to_open(&store), None, "it is whole");
    for kind in [SYMBOL, ITEM, PROGRAM, KEY_CHANGE, FREEZE_CHANGE, PROPOSALS] {
        let store = store.stop_cleanly();
        let last = entities(&store, kind).pop().expect("there is one");
        assert!(store.remove(Space::State, &last));
        let refusal = refusal_to_open(&store).unwrap_or_else(|| panic!("it opens without the last of kind {kind}"));
        assert!(refusal.contains("the snapshot lacks what its marker promises"), "kind {kind}: {refusal}");
    }
}
