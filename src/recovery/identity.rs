//! The identity of a data directory: what is fixed when it is made.
//!
//! What must stay true: written once, synced, before the first frame; the keys never appear in the journal, so that an
//! exported journal gives away neither salts nor the index's hashes.

use crate::codec::{DecodeError, Reader, put_unsigned};
use crate::ids::IdHasher;
use crate::ledger::types::TimestampNs;
use crate::limits;
use crate::store::{Batch, Durability, Space, Store, StoreError};

const KEY: &[u8] = b"identity";
/// The newest layout of a data directory that this version opens and the one it makes.
pub const FORMAT_VERSION: u16 = 1;

/// What is fixed when a data directory is made.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// Names the directory in reports and proofs.
    pub directory_id: [u8; 16],
    /// Virtual shards.
    pub shard_count: u16,
    /// Posting times come from a privileged importer, not from the clock.
    pub clock_is_input: bool,
    /// When it was made.
    pub created_at: TimestampNs,
    /// Key of the salts of record leaves. Secret.
    pub leaf_key: [u8; 32],
    /// Key of the hashes in the id index. Secret.
    pub id_key: [u8; 16],
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("shard_count", &self.shard_count)
            .field("clock_is_input", &self.clock_is_input)
            .field("created_at", &self.created_at)
            .finish_non_exhaustive()
    }
}

/// Why an identity cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Made by a newer version.
    #[error(
        "the data directory has layout {found}, newer than {FORMAT_VERSION}, the newest that this version opens; \
         use the version that made it, or a later one"
    )]
    NewerFormat {
        /// The layout.
        found: u16,
    },
    /// Damaged.
    #[error("the identity of the data directory is damaged: {0}")]
    Damaged(#[from] DecodeError),
}

impl Identity {
    /// Reads the identity; `None` in an empty store.
    ///
    /// # Errors
    /// When it is damaged or of a newer version, or the store fails.
    pub fn read(store: &dyn Store) -> Result<Option<Self>, IdentityError> {
        let Some(bytes) = store.get(Space::Meta, KEY)? else { return Ok(None) };
        let mut reader = Reader::new(&bytes);
        let found = u16::from_le_bytes(reader.array()?);
        if found > FORMAT_VERSION {
            return Err(IdentityError::NewerFormat { found });
        }
        let identity = Self {
            directory_id: reader.array()?,
            shard_count: reader.number()?,
            clock_is_input: reader.byte()? == 1,
            created_at: TimestampNs(i64::from_le_bytes(reader.array()?)),
            leaf_key: reader.array()?,
            id_key: reader.array()?,
        };
        reader.finish()?;
        if identity.shard_count == 0 || identity.shard_count > limits::SHARD_COUNT_MAX {
            return Err(IdentityError::Damaged(DecodeError::BadNumber));
        }
        Ok(Some(identity))
    }

    /// Writes the identity, synced.
    ///
    /// # Errors
    /// When the store fails.
    pub fn write(&self, store: &dyn Store) -> Result<(), StoreError> {
        let mut bytes = FORMAT_VERSION.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.directory_id);
        put_unsigned(&mut bytes, u64::from(self.shard_count));
        bytes.push(u8::from(self.clock_is_input));
        bytes.extend_from_slice(&self.created_at.0.to_le_bytes());
        bytes.extend_from_slice(&self.leaf_key);
        bytes.extend_from_slice(&self.id_key);
        let mut batch = Batch::default();
        batch.put(Space::Meta, KEY, bytes);
        store.write(&batch, Durability::Synced)
    }

    /// The hasher of the id index.
    #[must_use]
    pub fn id_hasher(&self) -> IdHasher {
        IdHasher::new(&self.id_key)
    }
}
