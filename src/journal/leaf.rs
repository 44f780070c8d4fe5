//! The Merkle leaf of a record, for proofs of one transaction that show no other.
//!
//! Source of the construction: BLAKE3 in its key-derivation mode separates the domains; the salt makes a leaf useless
//! for guessing at a record's content, and is derived instead of stored. The trees over the leaves are built in the
//! background when a checkpoint is made; what is fixed here is the leaf itself.
//!
//! What must stay true: `leaf = BLAKE3(derive_key LEAF; salt ‖ shard u16 LE ‖ seq u64 LE ‖ record bytes)` and
//! `salt = BLAKE3(keyed by the directory's leaf key; shard u16 LE ‖ seq u64 LE)`. Golden bytes hold both.

use crate::ledger::types::{Seq, ShardId};

const LEAF_CONTEXT: &str = "tallystick 2026 journal record leaf v1";

/// The salt of a record's leaf. Whoever is shown the record gets its salt and learns nothing about other salts.
#[must_use]
pub fn salt(leaf_key: &[u8; 32], shard: ShardId, seq: Seq) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(leaf_key);
    hasher.update(&shard.0.to_le_bytes()).update(&seq.0.to_le_bytes());
    *hasher.finalize().as_bytes()
}

/// The leaf of a record.
#[must_use]
pub fn leaf(salt: &[u8; 32], shard: ShardId, seq: Seq, record: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(LEAF_CONTEXT);
    hasher.update(salt).update(&shard.0.to_le_bytes()).update(&seq.0.to_le_bytes()).update(record);
    *hasher.finalize().as_bytes()
}
