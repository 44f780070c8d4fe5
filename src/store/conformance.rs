//! What every store must do, written once and run against each: `conformance::tests!(|| (store, keep))` makes one test
//! of each case. The closure makes a fresh, empty store and something to keep alive beside it.
//!
//! Crashes are not here: what survives one is tested beside each store, since each has its own way to crash.

use std::ops::ControlFlow;

use super::{Batch, Direction, Durability, Space, Store};

/// Keys and values, in the order a scan showed them.
pub type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// All that a scan visits.
pub fn rows(store: &dyn Store, space: Space, from: &[u8], direction: Direction) -> Rows {
    let mut rows = Rows::new();
    store
        .scan(space, from, direction, &mut |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        })
        .expect("the scan succeeds");
    rows
}

/// The keys of a space as text, separated by spaces.
fn keys(store: &dyn Store, space: Space, from: &str, direction: Direction) -> String {
    let keys: Vec<String> = rows(store, space, from.as_bytes(), direction)
        .into_iter()
        .map(|(key, _)| String::from_utf8(key).expect("keys are text here"))
        .collect();
    keys.join(" ")
}

/// Puts each of the keys, with itself as the value.
fn put_keys(store: &dyn Store, space: Space, keys: &str, durability: Durability) {
    let mut batch = Batch::default();
    for key in keys.split_whitespace() {
        batch.put(space, key, key);
    }
    store.write(&batch, durability).expect("the write succeeds");
}

fn text(store: &dyn Store, space: Space, key: &str) -> Option<String> {
    let value = store.get(space, key.as_bytes()).expect("the read succeeds")?;
    Some(String::from_utf8(value).expect("values are text here"))
}

/// What was put is got, in its own space only, and an absent key is nothing.
pub fn gets_what_was_put(store: &dyn Store) {
    for durability in [Durability::Synced, Durability::Deferred] {
        for space in Space::ALL {
            let mut batch = Batch::default();
            batch.put(space, "key", space.name());
            batch.put(space, "", "empty key");
            batch.put(space, "empty value", "");
            store.write(&batch, durability).expect("the write succeeds");
        }
        for space in Space::ALL {
            assert_eq!(text(store, space, "key").as_deref(), Some(space.name()));
            assert_eq!(text(store, space, "").as_deref(), Some("empty key"));
            assert_eq!(text(store, space, "empty value").as_deref(), Some(""));
            assert_eq!(text(store, space, "kez"), None);
        }
        for space in Space::ALL {
            let mut batch = Batch::default();
            batch.delete(space, "key");
            batch.delete(space, "");
            batch.delete(space, "empty value");
            batch.delete(space, "never there");
            store.write(&batch, durability).expect("the write succeeds");
            assert_eq!(rows(store, space, b"", Direction::Forward), Rows::new());
        }
    }
}

/// In a batch the later operation on a key wins, whatever the two are.
pub fn applies_a_batch_in_order(store: &dyn Store) {
    put_keys(store, Space::State, "a b c d e", Durability::Synced);
    let mut batch = Batch::default();
    batch.put(Space::State, "a", "first");
    batch.put(Space::State, "a", "second");
    batch.delete(Space::State, "b");
    batch.put(Space::State, "b", "again");
    batch.put(Space::State, "c", "gone");
    batch.delete_range(Space::State, "c", "e");
    batch.put(Space::State, "d", "after the range");
    batch.put(Space::State, "e", "gone");
    batch.delete(Space::State, "e");
    store.write(&batch, Durability::Synced).expect("the write succeeds");
    let expected = [("a", "second"), ("b", "again"), ("d", "after the range")];
    let expected: Rows = expected.map(|(key, value)| (key.into(), value.into())).into();
    assert_eq!(rows(store, Space::State, b"", Direction::Forward), expected);
}

/// A batch may span spaces; an empty one is fine.
pub fn spans_spaces_and_accepts_nothing(store: &dyn Store) {
    let mut batch = Batch::default();
    for space in Space::ALL {
        batch.put(space, "one", "1");
    }
    store.write(&batch, Durability::Synced).expect("the write succeeds");
    store.write(&Batch::default(), Durability::Synced).expect("an empty synced batch succeeds");
    store.write(&Batch::default(), Durability::Deferred).expect("an empty deferred batch succeeds");
    for space in Space::ALL {
        assert_eq!(keys(store, space, "", Direction::Forward), "one");
    }
}

/// Ranges are half open; an empty or reversed one removes nothing and harms nothing.
pub fn deletes_ranges(store: &dyn Store) {
    for durability in [Durability::Synced, Durability::Deferred] {
        let cases = [
            ("b", "d", "a d e"),
            ("", "c", "c d e"),
            ("bb", "cc", "a b d e"),
            ("f", "g", "a b c d e"),
            ("c", "c", "a b c d e"),
            ("d", "b", "a b c d e"),
            ("", "z", ""),
        ];
        for (from, to, left) in cases {
            put_keys(store, Space::Ids, "a b c d e", durability);
            let mut batch = Batch::default();
            batch.delete_range(Space::Ids, from, to);
            store.write(&batch, durability).expect("the write succeeds");
            assert_eq!(keys(store, Space::Ids, "", Direction::Forward), left, "{from}..{to}");
        }
    }
}

/// A range removes what lies in it also once it was flushed, and what is put afterwards stays.
pub fn deletes_ranges_of_what_was_flushed(store: &dyn Store) {
    put_keys(store, Space::Ids, "a b c d e", Durability::Deferred);
    store.flush(Space::Ids).expect("the flush succeeds");
    let mut batch = Batch::default();
    batch.delete_range(Space::Ids, "a", "d");
    store.write(&batch, Durability::Deferred).expect("the write succeeds");
    store.flush(Space::Ids).expect("the flush succeeds");
    put_keys(store, Space::Ids, "b", Durability::Deferred);
    assert_eq!(keys(store, Space::Ids, "", Direction::Forward), "b d e");
    assert_eq!(keys(store, Space::Ids, "z", Direction::Backward), "e d b");
}

/// Forward from the first key at or after the start, backward from the last at or before it.
pub fn scans_both_ways(store: &dyn Store) {
    put_keys(store, Space::Journal, "b d", Durability::Synced);
    put_keys(store, Space::Journal, "f h", Durability::Deferred);
    put_keys(store, Space::Ids, "a c e g i", Durability::Synced);
    let cases = [
        ("", Direction::Forward, "b d f h"),
        ("d", Direction::Forward, "d f h"),
        ("e", Direction::Forward, "f h"),
        ("i", Direction::Forward, ""),
        ("z", Direction::Backward, "h f d b"),
        ("f", Direction::Backward, "f d b"),
        ("e", Direction::Backward, "d b"),
        ("a", Direction::Backward, ""),
        ("", Direction::Backward, ""),
    ];
    for (from, direction, expected) in cases {
        assert_eq!(keys(store, Space::Journal, from, direction), expected, "{direction:?} from {from:?}");
    }
}

/// Keys are ordered as unsigned bytes, a prefix before what it begins.
pub fn orders_keys_as_bytes(store: &dyn Store) {
    let ordered: [&[u8]; 6] = [b"", b"\x00", b"\x00\x00", b"\x7f\xff", b"\x80", b"\xff\x00"];
    let mut batch = Batch::default();
    for key in ordered.iter().rev() {
        batch.put(Space::Journal, *key, *key);
    }
    store.write(&batch, Durability::Synced).expect("the write succeeds");
    let seen: Vec<Vec<u8>> =
        rows(store, Space::Journal, b"", Direction::Forward).into_iter().map(|(key, _)| key).collect();
    assert_eq!(seen, ordered);
}

/// A visitor that breaks is not called again.
pub fn stops_a_scan_where_the_visitor_says(store: &dyn Store) {
    put_keys(store, Space::Journal, "a b c d", Durability::Synced);
    let mut seen = Vec::new();
    store
        .scan(Space::Journal, b"b", Direction::Forward, &mut |key, _| {
            seen.push(key.to_vec());
            if key == b"c" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .expect("the scan succeeds");
    assert_eq!(seen, [b"b".to_vec(), b"c".to_vec()]);
}

/// A scan shows the space as it was when it began, and its visitor may read and write.
pub fn scans_a_fixed_view(store: &dyn Store) {
    put_keys(store, Space::State, "a b c", Durability::Synced);
    let mut seen = Vec::new();
    store
        .scan(Space::State, b"", Direction::Forward, &mut |key, value| {
            seen.push((key.to_vec(), value.to_vec()));
            let mut batch = Batch::default();
            batch.put(Space::State, "c", "changed");
            batch.put(Space::State, "d", "new");
            batch.delete(Space::State, "b");
            store.write(&batch, Durability::Deferred).expect("the write succeeds");
            assert_eq!(text(store, Space::State, "c").as_deref(), Some("changed"));
            ControlFlow::Continue(())
        })
        .expect("the scan succeeds");
    let expected = ["a", "b", "c"].map(|key| (key.as_bytes().to_vec(), key.as_bytes().to_vec()));
    assert_eq!(seen, expected);
    assert_eq!(keys(store, Space::State, "", Direction::Forward), "a c d");
}

/// Flushing changes nothing that can be read, also when there is nothing to flush.
pub fn flushes_without_visible_change(store: &dyn Store) {
    for space in Space::ALL {
        store.flush(space).expect("flushing an empty space succeeds");
        put_keys(store, space, "a b", Durability::Deferred);
        put_keys(store, space, "c", Durability::Synced);
        store.flush(space).expect("the flush succeeds");
        assert_eq!(keys(store, space, "", Direction::Forward), "a b c");
    }
}

/// What the journal can give again is emptied, wherever it lies by then; other spaces are as they were, and writing goes on.
pub fn empties_derived_spaces(store: &dyn Store) {
    for space in Space::ALL {
        put_keys(store, space, "a b", Durability::Deferred);
        store.flush(space).expect("the flush succeeds");
        put_keys(store, space, "c", Durability::Synced);
        put_keys(store, space, "d", Durability::Deferred);
    }
    for (emptied, other) in [(Space::State, "a b c d"), (Space::Ids, "anew")] {
        store.empty(emptied).expect("the space is emptied");
        assert_eq!(keys(store, emptied, "", Direction::Forward), "");
        assert_eq!(text(store, emptied, "a"), None);
        put_keys(store, emptied, "anew", Durability::Deferred);
        store.flush(emptied).expect("the flush succeeds");
        assert_eq!(keys(store, emptied, "", Direction::Forward), "anew");
        let [one, another] = Space::DERIVED;
        let kept = if emptied == one { another } else { one };
        assert_eq!(keys(store, kept, "", Direction::Forward), other);
    }
    for space in [Space::Meta, Space::Journal] {
        assert_eq!(keys(store, space, "", Direction::Forward), "a b c d");
    }
}

/// There is no mark, then the last one written, whatever else is written.
pub fn keeps_the_last_mark(store: &dyn Store) {
    assert_eq!(store.read_mark().expect("the mark is read"), None);
    for mark in [b"one".as_slice(), b"", &[0xff; crate::limits::MARK_BYTES_MAX]] {
        store.write_mark(mark).expect("the mark is written");
        put_keys(store, Space::Meta, "a", Durability::Synced);
        assert_eq!(store.read_mark().expect("the mark is read").as_deref(), Some(mark));
    }
}

/// A commit as large as the product makes them goes in and comes back.
pub fn carries_a_full_commit(store: &dyn Store) {
    let frame_count = crate::limits::COMMIT_BYTES_MAX / crate::limits::FRAME_BYTES_TARGET;
    let frame = |number: usize| vec![number as u8; crate::limits::FRAME_BYTES_TARGET];
    let mut batch = Batch::default();
    for number in 0..frame_count {
        batch.put(Space::Journal, (number as u64).to_be_bytes(), frame(number));
    }
    store.write(&batch, Durability::Synced).expect("the write succeeds");
    let seen = rows(store, Space::Journal, b"", Direction::Forward);
    assert_eq!(seen.len(), frame_count);
    for (number, (key, value)) in seen.into_iter().enumerate() {
        assert_eq!(key, (number as u64).to_be_bytes());
        assert!(value == frame(number), "frame {number} came back changed");
    }
}

/// Threads that write and read at the same time see whole batches only.
pub fn shows_whole_batches_to_other_threads(store: &dyn Store) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..200u64 {
                let mut batch = Batch::default();
                batch.put(Space::State, "left", round.to_be_bytes());
                batch.put(Space::State, "right", round.to_be_bytes());
                store.write(&batch, Durability::Deferred).expect("the write succeeds");
            }
        });
        for _ in 0..200 {
            let seen = rows(store, Space::State, b"", Direction::Forward);
            assert!(seen.is_empty() || (seen.len() == 2 && seen[0].1 == seen[1].1), "half a batch: {seen:?}");
        }
    });
}

/// One test of each case against the store that the closure makes.
macro_rules! tests {
    ($make:expr) => {
        $crate::store::conformance::tests! { @each $make;
            gets_what_was_put, applies_a_batch_in_order, spans_spaces_and_accepts_nothing, deletes_ranges,
            deletes_ranges_of_what_was_flushed, scans_both_ways, orders_keys_as_bytes,
            stops_a_scan_where_the_visitor_says, scans_a_fixed_view, flushes_without_visible_change,
            empties_derived_spaces, keeps_the_last_mark, carries_a_full_commit, shows_whole_batches_to_other_threads
        }
    };
    (@each $make:expr; $($case:ident),+) => {
        mod conforms {
            #[allow(unused_imports, reason = "what the closure names differs between stores")]
            use super::*;
            $(
                #[test]
                fn $case() {
                    let (store, _keep) = ($make)();
                    $crate::store::conformance::$case(&store);
                }
            )+
        }
    };
}
pub(crate) use tests;
