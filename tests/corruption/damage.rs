//! Damage of frames and of the mark: what a disk or a careless hand does.
//!
//! What must stay true: every changed byte is found in its frame, and a damaged journal never opens.

use crate::support::verify_store;
use crate::{
    Damage, Expected, check, expect, first_finding, keys, middle, original, position_of, refusal_to_open, value_length,
};
use tallystick::audit::verify::FindingClass;

use tallystick::journal::frame::HEADER_BYTES;
use tallystick::store::{Space, Store};

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
