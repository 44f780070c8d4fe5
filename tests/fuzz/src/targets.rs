//! What is fuzzed: every decoder that faces the network or a file, each as a function of some bytes that panics when the
//! decoder does not keep what it promises.
//!
//! What must stay true: a target depends on its bytes alone; bytes that are damaged are refused, and never a reason to
//! panic; where there are two ways to read the same bytes, they agree; what was read can be written and read again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use siphasher::sip::SipHasher24;
use tallystick::access::secret::ApiKey;
use tallystick::access::tokens::{TokenOptions, Tokens};
use tallystick::cli::import::baskets::{Additions, BasketReader};
use tallystick::cli::import::rows::{Column, RowReader};
use tallystick::ids::{IdIndex, IdKey, IdOptions};
use tallystick::journal::dictionary::Dictionary;
use tallystick::journal::frame::{FrameError, FrameView};
use tallystick::journal::log::{HighWater, StoreJournal};
use tallystick::journal::record::{self, Record, encode_control};
use tallystick::ledger::types::{Position, TimestampNs};
use tallystick::recovery::identity::Identity;
use tallystick::service::reads_alike;
use tallystick::snapshot::Marker;
use tallystick::snapshot::entity::Entity;
use tallystick::store::mark::MarkFile;
use tallystick::store::memory::MemoryStore;
use tallystick::store::{Batch, Durability, Space, Store};
use tallystick::{backup, program};

/// A target: its name, which is that of its corpus, and what it does with some bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 12] = [
    ("request", request),
    ("record", record),
    ("frame", frame),
    ("entity", entity),
    ("ids", ids),
    ("program", program_file),
    ("markers", markers),
    ("mark", mark),
    ("key", key),
    ("token", token),
    ("manifest", manifest),
    ("rows", rows),
];

/// A folder for targets that read files.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let path = std::env::temp_dir().join(format!("tallystick-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder can be made");
        path
    })
}

/// A request as a till sends it: what is read in place is what a decoder of whole messages reads.
fn request(bytes: &[u8]) {
    if let Err(difference) = reads_alike(bytes) {
        panic!("{difference}");
    }
}

/// A record of the journal. Control records are written back and read as the same.
fn record(bytes: &[u8]) {
    let dictionary = Dictionary::new();
    let Ok(found) = record::decode(bytes, &dictionary) else { return };
    if matches!(found, Record::Entry(_)) {
        return;
    }
    let mut written = Vec::new();
    encode_control(&mut written, &found);
    let again = record::decode(&written, &dictionary).expect("what was written can be read");
    assert_eq!(format!("{again:?}"), format!("{found:?}"));
}

/// A frame of the journal, with the hash that its content would have: whoever writes a file can compute it.
fn frame(bytes: &[u8]) {
    let sealed = [bytes, blake3::hash(bytes).as_bytes()].concat();
    let key = bytes.get(16..24).map_or(0, |key| u64::from_le_bytes(key.try_into().expect("eight bytes")));
    let Ok(view) = FrameView::decode(Position(key), &sealed) else { return };
    let mut count = 0_u64;
    let read = view.for_each(|found| -> Result<(), FrameError> {
        count += 1;
        record(found.bytes);
        Ok(())
    });
    if read.is_ok() {
        assert_eq!(count, u64::from(view.header.record_count), "a frame has the records that it says");
        if count > 0 {
            let first = view.record_at(Position(key)).expect("the frame is whole");
            assert!(first.is_some(), "the first record is there");
        }
    }
}

/// Cuts bytes in two: the first byte says where.
fn in_two(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some((at, rest)) = bytes.split_first() else { return (&[], &[]) };
    rest.split_at(usize::from(*at).min(rest.len()))
}

/// An entity of a snapshot: its key and its value.
fn entity(bytes: &[u8]) {
    let (key, value) = in_two(bytes);
    let Ok(found) = Entity::decode(key, value) else { return };
    let (key, value) = found.encode();
    let again = Entity::decode(&key, &value).expect("what was written can be read");
    assert_eq!(again.encode(), (key, value), "it is written as it was");
}

/// A store with one key.
fn store_with(space: Space, key: &[u8], value: &[u8]) -> MemoryStore {
    let store = MemoryStore::new();
    let mut batch = Batch::default();
    batch.put(space, key, value.to_vec());
    store.write(&batch, Durability::Synced).expect("memory takes it");
    store
}

/// The checksum of a value of the index of ids: whoever writes a file can compute it.
fn checksum(key: &[u8], body: &[u8]) -> [u8; 8] {
    let run = u64::from_be_bytes(key[..8].try_into().expect("eight bytes"));
    let index = u32::from_be_bytes(key[8..12].try_into().expect("four bytes"));
    SipHasher24::new_with_keys(run, u64::from(index)).hash(body).to_le_bytes()
}

/// The index of ids on disk: keys and values in pairs of any kind.
fn ids(bytes: &[u8]) {
    let store = MemoryStore::new();
    let mut batch = Batch::default();
    let mut rest = bytes;
    while rest.len() > 14 {
        let (key, next) = rest.split_at(12);
        let length = usize::from(u16::from_le_bytes([next[0], next[1]])).min(next.len() - 2);
        let (value, next) = next[2..].split_at(length);
        batch.put(Space::Ids, key, [value, &checksum(key, value)].concat());
        rest = next;
    }
    store.write(&batch, Durability::Synced).expect("memory takes it");
    let options = IdOptions { memory_ids_max: 1_024, segment_ids: 1_024, ..IdOptions::default() };
    if let Ok((index, _)) = IdIndex::open(Arc::new(store), &options) {
        // Whatever is there, a question has an answer or fails.
        let _ = index.lookup(IdKey([7; 16]));
        let _ = index.lookup(IdKey([0xff; 16]));
    }
}

/// A programme file.
fn program_file(bytes: &[u8]) {
    let Ok(source) = std::str::from_utf8(bytes) else { return };
    // What is nested for ever is the business of the file's size, which is bounded before it is read.
    if source.len() > 16 << 10 {
        return;
    }
    let checked = program::check(source);
    let has_errors = checked.problems.iter().any(|problem| problem.severity == program::Severity::Error);
    assert_eq!(checked.program.is_none(), has_errors, "a file has a meaning or an error");
    for problem in &checked.problems {
        assert!(!problem.in_file("f").is_empty());
    }
}

/// The identity of a data directory, and the marker of a snapshot.
fn markers(bytes: &[u8]) {
    let snapshot = store_with(Space::Meta, b"snapshot-marker", bytes);
    if let Ok(Some(marker)) = Marker::read(&snapshot) {
        marker.write(&snapshot).expect("memory takes it");
        let again = Marker::read(&snapshot).expect("what was written can be read");
        assert_eq!(again, Some(marker));
    }
    let directory = store_with(Space::Meta, b"identity", bytes);
    if let Ok(Some(identity)) = Identity::read(&directory) {
        identity.write(&directory).expect("memory takes it");
        let again = Identity::read(&directory).expect("what was written can be read").expect("it is there");
        assert_eq!((again.directory_id, again.shard_count), (identity.directory_id, identity.shard_count));
    }
}

/// The file with the mark of a data directory, and the high-water mark in it.
fn mark(bytes: &[u8]) {
    let path = folder().join("mark");
    std::fs::write(&path, bytes).expect("the file can be written");
    if let Ok(file) = MarkFile::open(&path) {
        let _ = file.read();
    }
    let store = MemoryStore::new();
    store.write_mark(bytes).expect("memory takes it");
    let journal = StoreJournal::new(Arc::new(store));
    if let Ok(Some(mark)) = journal.read_high_water() {
        journal.write_high_water(&mark).expect("memory takes it");
        let again: Option<HighWater> = journal.read_high_water().expect("what was written can be read");
        assert_eq!(again, Some(mark));
    }
}

/// A key as a caller shows it.
fn key(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some(found) = ApiKey::parse(text) else { return };
    assert_eq!(found.to_secret().expose(), text, "a key is written in one way");
    assert!(found.has_hash(&found.hash()));
}

/// The signer of the one token that is good, by its public part.
const SIGNERS: &str =
    r#"{"keys":[{"kty":"OKP","kid":"one","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// A token as a caller shows it, and a file with the keys of signers. Nobody here has a private key: none is accepted.
fn token(bytes: &[u8]) {
    static TOKENS: OnceLock<Tokens> = OnceLock::new();
    let options = |path: PathBuf| TokenOptions {
        keys: path,
        issuer: "https://login.example".to_owned(),
        audience: "tallystick".to_owned(),
        clock_skew_ns: 0,
    };
    let tokens = TOKENS.get_or_init(|| {
        let path = folder().join("signers.json");
        std::fs::write(&path, SIGNERS).expect("the file can be written");
        Tokens::open(options(path)).expect("the signers can be read")
    });
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    assert!(tokens.judge(text, TimestampNs(1)).is_err(), "a token was accepted that nobody signed");
    if text.starts_with('{') {
        let path = folder().join("jwks.json");
        std::fs::write(&path, bytes).expect("the file can be written");
        if let Ok(tokens) = Tokens::open(options(path)) {
            assert!(tokens.judge("eyJhbGciOiJub25lIiwia2lkIjoib25lIn0.e30.", TimestampNs(1)).is_err());
        }
    }
}

/// The manifest of a backup. It may name what it likes: nothing outside its own folder is looked for.
fn manifest(bytes: &[u8]) {
    let path = folder().join("backup");
    std::fs::create_dir_all(&path).expect("a folder can be made");
    std::fs::write(path.join(backup::MANIFEST), bytes).expect("the file can be written");
    if let Ok(manifest) = backup::check(&path) {
        assert!(manifest.files.is_empty(), "there are no files beside the manifest");
    }
}

/// Rows of a file that is imported.
fn rows(bytes: &[u8]) {
    let columns = vec![Column::required("account_id"), Column::required("points"), Column::optional("label")];
    let content = || Box::new(std::io::Cursor::new(bytes.to_vec()));
    if let Ok(mut rows) = RowReader::new(content(), "rows.csv".to_owned(), columns) {
        while let Ok(true) = rows.advance() {
            assert!(rows.line() > 0);
            let _ = (rows.required(0, 64), rows.field(1).len(), rows.optional(2, 64));
        }
    }
    let additions = Additions { currency_code: "USD".to_owned(), posts_at_receipt_time: true };
    if let Ok(mut baskets) = BasketReader::new(content(), "baskets.csv".to_owned(), additions) {
        while let Ok(Some(_)) = baskets.next_basket() {}
    }
}
