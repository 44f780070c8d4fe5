//! What must not be shown: secrets of keys, and the keys as their holders send them.
//!
//! What must stay true: nothing here has a `Display` or a telling `Debug`; the ledger keeps hashes only. A secret has
//! 256 random bits, so a fast hash protects it as well as a slow one would.

use std::fmt;

use subtle::ConstantTimeEq;

use super::keys::{KeyId, parse_hex};

/// What every key begins with, so that scanners of source code and logs can tell one.
pub const KEY_PREFIX: &str = "tsk_";
/// The context of the hash. Changing it would make every key unknown.
const HASH_CONTEXT: &str = "tallystick 2026 API key secret v1";

/// A text that is shown to nobody by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes over a text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text. Whoever asks says so.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// A key as its holder sends it: `tsk_`, the id, `_`, the secret, both in hexadecimal digits.
pub struct ApiKey {
    /// The public part.
    pub id: KeyId,
    secret: [u8; 32],
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KEY_PREFIX}{}_[secret]", self.id)
    }
}

impl ApiKey {
    /// A key of these random bytes.
    #[must_use]
    pub fn new(id: [u8; 8], secret: [u8; 32]) -> Self {
        Self { id: KeyId(id), secret }
    }

    /// Reads a key; `None` when it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(KEY_PREFIX)?.split_once('_')?;
        let mut bytes = [0; 32];
        parse_hex(secret, &mut bytes).then_some(())?;
        Some(Self { id: KeyId::parse(id)?, secret: bytes })
    }

    /// The key as its holder sends it.
    #[must_use]
    pub fn to_secret(&self) -> Secret {
        let mut text = format!("{KEY_PREFIX}{}_", self.id);
        for byte in self.secret {
            text.push_str(&format!("{byte:02x}"));
        }
        Secret(text)
    }

    /// What is kept of it. The id is part of it: a hash is good for its own key only.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key(HASH_CONTEXT);
        hasher.update(&self.id.0).update(&self.secret);
        *hasher.finalize().as_bytes()
    }

    /// Whether this is the key with that hash; takes as long for one as for the other.
    #[must_use]
    pub fn has_hash(&self, hash: &[u8; 32]) -> bool {
        is_same(&self.hash(), hash)
    }
}

/// Compares in a time that depends on the lengths alone.
#[must_use]
pub fn is_same(ours: &[u8], theirs: &[u8]) -> bool {
    ours.ct_eq(theirs).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written_and_shown_to_nobody() {
        let key = ApiKey::new([0xab; 8], [0x5c; 32]);
        let text = key.to_secret();
        assert_eq!(text.expose(), format!("tsk_abababababababab_{}", "5c".repeat(32)));
        let again = ApiKey::parse(text.expose()).unwrap();
        assert!(again.id == key.id && again.has_hash(&key.hash()));
        assert!(!ApiKey::new([0xab; 8], [0x5d; 32]).has_hash(&key.hash()), "another secret");
        assert!(!ApiKey::new([0xac; 8], [0x5c; 32]).has_hash(&key.hash()), "the secret of another key");
        for shown in [format!("{key:?}"), format!("{text:?}")] {
            assert!(!shown.contains("5c5c"), "{shown}");
        }
    }

    #[test]
    fn what_is_no_key_is_none() {
        let whole = ApiKey::new([1; 8], [2; 32]).to_secret();
        let whole = whole.expose();
        let upper = whole.to_uppercase();
        let longer = format!("{whole}0");
        for wrong in ["", "tsk_", "tsk__", &whole[1..], &whole[..whole.len() - 1], &longer, &upper] {
            assert!(ApiKey::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn comparison_tells_only_same_from_different() {
        assert!(is_same(b"abc", b"abc") && !is_same(b"abc", b"abd") && !is_same(b"abc", b"ab"));
    }
}
