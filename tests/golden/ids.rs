//! Names of ids: `docs/format-ids.md` lists the kinds that the code has, and a name is the hash of the bytes that it states.

use std::collections::BTreeMap;
use std::path::PathBuf;

use siphasher::sip128::SipHasher24;
use tallystick::ids::{IdHasher, IdKey};
use tallystick::ledger::types::{MemberKey, Position};

const KEY: [u8; 16] = [9; 16];

fn read(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What each first byte stands for, as the page says.
fn documented() -> BTreeMap<u8, String> {
    let page = read("docs/format-ids.md");
    let (_, table) = page.split_once("\n| Kind | First byte | Then |\n").expect("the page has a table of names");
    let rows = table.lines().skip(1).take_while(|line| line.starts_with("| "));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        (cells[2].parse::<u8>().expect("the first byte is a number"), cells[1].to_owned())
    };
    rows.map(row).collect()
}

/// The kinds of the code that are stored: the last words of their names, in small letters.
fn coded() -> BTreeMap<u8, String> {
    let source = read("src/ids/key.rs");
    let kinds = source.lines().filter_map(|line| line.strip_prefix("const KIND_")?.split_once(": u8 = "));
    let stored = kinds.filter(|(name, _)| !name.starts_with("PAGE_"));
    stored
        .map(|(name, number)| {
            (number.trim_end_matches(';').parse::<u8>().expect("it is a number"), name.to_lowercase())
        })
        .collect()
}

#[test]
fn the_page_lists_every_kind_that_is_stored_under_its_number() {
    let (documented, coded) = (documented(), coded());
    assert!(coded.len() > 7, "the kinds are where they are looked for: {coded:?}");
    assert_eq!(documented.keys().collect::<Vec<_>>(), coded.keys().collect::<Vec<_>>(), "{documented:?}, {coded:?}");
    for (number, name) in &coded {
        assert!(documented[number].contains(name.as_str()), "{number} is {:?} on the page: {name}", documented[number]);
    }
}

#[test]
fn a_name_is_the_hash_of_the_bytes_that_the_page_states() {
    let documented = documented();
    let hash = |kind: &str, strings: &[&str], tail: &[u8]| {
        let found = documented.iter().find(|(_, name)| *name == kind);
        let mut bytes = vec![*found.unwrap_or_else(|| panic!("{kind} is not on the page")).0];
        for string in strings {
            bytes.extend_from_slice(&u32::try_from(string.len()).expect("it is short").to_le_bytes());
            bytes.extend_from_slice(string.as_bytes());
        }
        bytes.extend_from_slice(tail);
        IdKey(SipHasher24::new_with_key(&KEY).hash(&bytes).as_bytes())
    };
    let (ids, own) = (IdHasher::new(&KEY), ["north", "t-1"]);
    assert_eq!(ids.transaction("north", "t-1"), hash("transaction", &own, &[]));
    let receipt = ids.receipt("north", "s1", "till-4", -3, "0042");
    assert_eq!(receipt, hash("receipt", &["north", "s1", "till-4", "0042"], &(-3i32).to_le_bytes()));
    assert_eq!(ids.reversal("north", "t-1"), hash("reversal", &own, &[]));
    assert_eq!(ids.release("north", "t-1"), hash("release", &own, &[]));
    assert_eq!(ids.restoration("north", Position(7)), hash("restoration", &["north"], &7u64.to_le_bytes()));
    assert_eq!(ids.capture("north", "t-1"), hash("last capture or void", &own, &[]));
    assert_eq!(IdKey::from(ids.identifier("card", "0042")), hash("identifier of an account", &["card", "0042"], &[]));
    let half: [u8; 8] = hash("member of an account", &["ann"], &[]).0[..8].try_into().expect("it is half of 16 bytes");
    assert_eq!(ids.member("ann"), MemberKey(u64::from_be_bytes(half).max(1)));
}
