//! When each key was used last, kept over restarts beside the journal: a note for people who tidy up, and no evidence.
//!
//! What must stay true: the note is renewed now and then, so that it may be behind; whatever it holds, a directory opens;
//! nothing is decided by it.

use crate::access::keys::{KeyId, Keys};
use crate::codec::{DecodeError, Reader, put_unsigned};
use crate::ledger::types::TimestampNs;
use crate::store::{Batch, Durability, Space, Store, StoreError};

/// The key of the note in the meta space.
const KEY: &[u8] = b"key-uses";
const FORMAT: u8 = 1;

/// When keys were used last, by their ids.
pub type Uses = Vec<(KeyId, TimestampNs)>;

/// Writes the note. A crash may lose it, as it may be behind anyway.
///
/// # Errors
/// When the store fails.
pub fn write(store: &dyn Store, uses: &Uses) -> Result<(), StoreError> {
    let mut bytes = vec![FORMAT];
    put_unsigned(&mut bytes, uses.len() as u64);
    for (id, at) in uses {
        bytes.extend_from_slice(&id.0);
        bytes.extend_from_slice(&at.0.to_le_bytes());
    }
    let mut batch = Batch::default();
    batch.put(Space::Meta, KEY, bytes);
    store.write(&batch, Durability::Deferred)
}

/// Tells the keys what the note says; one that is damaged says nothing.
///
/// # Errors
/// When the store fails.
pub fn restore(store: &dyn Store, keys: &Keys) -> Result<(), StoreError> {
    let Some(bytes) = store.get(Space::Meta, KEY)? else { return Ok(()) };
    let read = || -> Result<Uses, DecodeError> {
        let mut reader = Reader::new(&bytes);
        if reader.byte()? != FORMAT {
            return Err(DecodeError::UnknownTag);
        }
        let count = reader.count()?;
        let one = |_| Ok((KeyId(reader.array()?), TimestampNs(i64::from_le_bytes(reader.array()?))));
        let uses = (0..count).map(one).collect::<Result<_, DecodeError>>()?;
        Ok(uses)
    };
    for (id, at) in read().unwrap_or_default() {
        if let Some(key) = keys.get(id) {
            key.note_use(at);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::grant::{Grant, Role};
    use crate::access::keys::{KeyChange, KeyIssue, Proof};
    use crate::ledger::types::Position;
    use crate::store::memory::MemoryStore;

    fn keys() -> Keys {
        let mut keys = Keys::default();
        for number in 1..3 {
            let issue = KeyIssue {
                id: KeyId([number; 8]),
                proof: Proof::Secret([number; 32]),
                name: "a key".into(),
                grant: Grant::of_role(Role::Operator),
                issued_at: TimestampNs(1),
                expires_at: KeyIssue::NEVER,
                issued_by: "test".into(),
                replaces: None,
            };
            keys.apply(Position(u64::from(number)), KeyChange::Issued(Box::new(issue))).expect("it fits");
        }
        keys
    }

    #[test]
    fn uses_come_back_and_what_is_damaged_says_nothing() {
        let store = MemoryStore::new();
        let before = keys();
        restore(&store, &before).expect("there is no note");
        assert_eq!(before.uses(), []);
        before.get(KeyId([2; 8])).expect("it is there").note_use(TimestampNs(77));
        let uses = before.uses();
        assert_eq!(uses, [(KeyId([2; 8]), TimestampNs(77))]);
        write(&store, &uses).expect("memory takes it");
        let after = keys();
        restore(&store, &after).expect("memory gives it");
        assert_eq!(after.uses(), uses);
        // One that was used since is not set back.
        after.get(KeyId([2; 8])).expect("it is there").note_use(TimestampNs(99));
        restore(&store, &after).expect("memory gives it");
        assert_eq!(after.uses(), [(KeyId([2; 8]), TimestampNs(99))]);
        for damage in [b"".as_slice(), b"\x02", b"\x01\x05ab"] {
            store.overwrite(Space::Meta, KEY, damage);
            let none = keys();
            restore(&store, &none).expect("it opens all the same");
            assert_eq!(none.uses(), []);
        }
    }
}
