//! The keys of a data directory: what was issued, to whom, by whom, and what became of it.
//!
//! Every change is a record of the journal. What is kept here is made from these records alone, so that history proves
//! who could do what when; only the time of the last use is kept beside it, as a note.
//!
//! What must stay true: a secret is never here, only its hash; a change that [`Keys::check`] does not let pass is never
//! journaled, and replay refuses it; nothing is taken out; [`KeyLog::version`] moves with every change, after it can be
//! seen, so that whoever remembers a key under a version never uses one that was revoked before.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use super::grant::{Grant, GrantError};
use crate::ledger::types::{Position, TimestampNs};
use crate::limits;

/// The public part of a key: what it is looked up and spoken of by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 8]);

impl KeyId {
    /// Reads 16 hexadecimal digits in lower case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 8];
        parse_hex(text, &mut bytes).then_some(Self(bytes))
    }
}

/// Reads exactly as many hexadecimal digits in lower case as fill `out`.
pub(super) fn parse_hex(text: &str, out: &mut [u8]) -> bool {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let text = text.as_bytes();
    if text.len() != 2 * out.len() {
        return false;
    }
    for (pair, byte) in text.chunks_exact(2).zip(out) {
        let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else { return false };
        *byte = high << 4 | low;
    }
    true
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How the holder of a key proves to be it.
#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    /// By a secret with this hash.
    Secret([u8; 32]),
    /// By a client certificate with this name among its subject's alternative names (DNS or URI).
    Certificate(Box<str>),
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Even the hash is nobody's business.
            Self::Secret(_) => f.write_str("Secret"),
            Self::Certificate(name) => f.debug_tuple("Certificate").field(name).finish(),
        }
    }
}

/// A key that was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyIssue {
    /// What it is known by.
    pub id: KeyId,
    /// How its holder proves to be it.
    pub proof: Proof,
    /// What people call it, 1 to [`limits::KEY_NAME_BYTES_MAX`] bytes.
    pub name: Box<str>,
    /// What it allows.
    pub grant: Grant,
    /// When it was issued.
    pub issued_at: TimestampNs,
    /// From when on it allows nothing; [`KeyIssue::NEVER`] if it does not expire.
    pub expires_at: TimestampNs,
    /// Who issued it: what [`super::principal::Principal::actor`] says.
    pub issued_by: Box<str>,
    /// The key that it takes the place of, and from when on that one allows nothing.
    pub replaces: Option<(KeyId, TimestampNs)>,
}

impl KeyIssue {
    /// The expiry of a key that does not expire.
    pub const NEVER: TimestampNs = TimestampNs(i64::MAX);
}

/// A change of the keys, as it is journaled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// A key was issued.
    Issued(Box<KeyIssue>),
    /// A key was revoked.
    Revoked {
        /// Which.
        id: KeyId,
        /// When.
        at: TimestampNs,
        /// By whom.
        by: Box<str>,
    },
}

impl KeyChange {
    /// When it was made.
    #[must_use]
    pub fn at(&self) -> TimestampNs {
        match self {
            Self::Issued(issue) => issue.issued_at,
            Self::Revoked { at, .. } => *at,
        }
    }
}

/// Why a change of the keys cannot be. `Display` is a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The grant makes no sense.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// The name is empty or too long.
    #[error("a key's name has 1 to {} bytes", limits::KEY_NAME_BYTES_MAX)]
    BadName,
    /// The certificate's name is empty or too long.
    #[error("a certificate's name has 1 to {} bytes", limits::CERTIFICATE_NAME_BYTES_MAX)]
    BadCertificateName,
    /// Another key has the name.
    #[error("the certificate's name belongs to the key {0}, which is neither revoked nor replaced")]
    CertificateTaken(KeyId),
    /// The id was given before.
    #[error("the key {0} exists already")]
    Exists(KeyId),
    /// There is no such key.
    #[error("there is no key {0}")]
    Unknown(KeyId),
    /// The key was revoked.
    #[error("the key {0} has been revoked")]
    Revoked(KeyId),
    /// The key has been replaced.
    #[error("the key {0} has been replaced already")]
    Replaced(KeyId),
    /// It expires before it is issued.
    #[error("a key expires after it is issued")]
    ExpiresEarly,
    /// No further key fits.
    #[error("the data directory holds {} keys already, which is the limit", limits::KEYS_MAX)]
    Full,
}

/// A key and what became of it.
#[derive(Debug)]
pub struct Key {
    /// As it was issued.
    pub issue: KeyIssue,
    /// Where the record of its issue lies.
    pub position: Position,
    /// From when on it allows nothing: its own expiry, or the end of the overlap with the key that replaced it.
    pub expires_at: TimestampNs,
    /// When and by whom it was revoked.
    pub revoked: Option<(TimestampNs, Box<str>)>,
    /// The key that took its place.
    pub replaced_by: Option<KeyId>,
    last_used_ns: Arc<AtomicI64>,
}

impl Key {
    /// Whether it allows anything at this time.
    #[must_use]
    pub fn is_live(&self, now: TimestampNs) -> bool {
        self.revoked.is_none() && now < self.expires_at
    }

    /// Notes that it was used.
    pub fn note_use(&self, at: TimestampNs) {
        self.last_used_ns.fetch_max(at.0, Ordering::Relaxed);
    }

    /// When it was used last, so far as is known: to the second in this process, and before it as far as the note of
    /// [`crate::limits::KEY_USES_INTERVAL_MS`] says.
    #[must_use]
    pub fn last_used(&self) -> Option<TimestampNs> {
        let at = self.last_used_ns.load(Ordering::Relaxed);
        (at != i64::MIN).then_some(TimestampNs(at))
    }

    /// What a principal is made of: the grant, until when it counts, and where its use is noted.
    #[must_use]
    pub fn remembered(&self) -> (Grant, TimestampNs, Arc<AtomicI64>) {
        (self.issue.grant.clone(), self.expires_at, self.last_used_ns.clone())
    }
}

/// All keys that were ever issued.
#[derive(Debug)]
pub struct Keys {
    /// How many there may be.
    most: usize,
    changes: Vec<(Position, KeyChange)>,
    /// In the order of their issue.
    keys: Vec<Key>,
    by_id: HashMap<KeyId, usize>,
    by_certificate: HashMap<Box<str>, usize>,
}

impl Default for Keys {
    fn default() -> Self {
        Self::bounded(limits::KEYS_MAX)
    }
}

impl Keys {
    /// No keys, of at most so many.
    fn bounded(most: usize) -> Self {
        Self { most, changes: Vec::new(), keys: Vec::new(), by_id: HashMap::new(), by_certificate: HashMap::new() }
    }

    /// The changes, in their order.
    #[must_use]
    pub fn changes(&self) -> &[(Position, KeyChange)] {
        &self.changes
    }

    /// The keys, in the order of their issue.
    pub fn iter(&self) -> std::slice::Iter<'_, Key> {
        self.keys.iter()
    }

    /// The key with this id.
    #[must_use]
    pub fn get(&self, id: KeyId) -> Option<&Key> {
        self.by_id.get(&id).map(|index| &self.keys[*index])
    }

    /// The key that a certificate with this name stands for.
    #[must_use]
    pub fn of_certificate(&self, name: &str) -> Option<&Key> {
        self.by_certificate.get(name).map(|index| &self.keys[*index])
    }

    /// When keys were used last, of those that were.
    #[must_use]
    pub fn uses(&self) -> Vec<(KeyId, TimestampNs)> {
        self.keys.iter().filter_map(|key| Some((key.issue.id, key.last_used()?))).collect()
    }

    /// The first of the keys that were issued each in the place of the one before, up to this one: they are one holder's.
    #[must_use]
    pub fn first_of(&self, id: KeyId) -> KeyId {
        let mut first = id;
        // A key takes the place of one that was issued before it, so this ends.
        while let Some((before, _)) = self.get(first).and_then(|key| key.issue.replaces) {
            first = before;
        }
        first
    }

    /// Whether anybody could issue keys at this time.
    #[must_use]
    pub fn has_administrator(&self, now: TimestampNs) -> bool {
        let is_administrator = |key: &Key| key.issue.grant.role == super::grant::Role::Administrator;
        self.keys.iter().any(|key| is_administrator(key) && key.is_live(now))
    }

    /// Whether this is an administrator's key and nobody could issue keys at this time.
    #[must_use]
    pub fn leaves_no_administrator(&self, id: KeyId, now: TimestampNs) -> bool {
        let is_administrator = |key: &Key| key.issue.grant.role == super::grant::Role::Administrator;
        self.get(id).is_some_and(is_administrator) && !self.has_administrator(now)
    }

    /// Whether a change fits what there is.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn check(&self, change: &KeyChange) -> Result<(), KeyError> {
        match change {
            KeyChange::Issued(_) if self.keys.len() >= self.most => Err(KeyError::Full),
            KeyChange::Issued(issue) => self.check_issue(issue),
            // Whatever is full: each key is revoked once.
            KeyChange::Revoked { id, .. } => match self.get(*id) {
                None => Err(KeyError::Unknown(*id)),
                Some(key) if key.revoked.is_some() => Err(KeyError::Revoked(*id)),
                Some(_) => Ok(()),
            },
        }
    }

    fn check_issue(&self, issue: &KeyIssue) -> Result<(), KeyError> {
        issue.grant.check()?;
        if !(1..=limits::KEY_NAME_BYTES_MAX).contains(&issue.name.len()) {
            return Err(KeyError::BadName);
        }
        if issue.expires_at <= issue.issued_at {
            return Err(KeyError::ExpiresEarly);
        }
        if self.by_id.contains_key(&issue.id) {
            return Err(KeyError::Exists(issue.id));
        }
        if let Some((old, _)) = issue.replaces {
            let old_key = self.get(old).ok_or(KeyError::Unknown(old))?;
            if old_key.revoked.is_some() {
                return Err(KeyError::Revoked(old));
            }
            if old_key.replaced_by.is_some() {
                return Err(KeyError::Replaced(old));
            }
        }
        let Proof::Certificate(name) = &issue.proof else { return Ok(()) };
        if !(1..=limits::CERTIFICATE_NAME_BYTES_MAX).contains(&name.len()) {
            return Err(KeyError::BadCertificateName);
        }
        let replaced = issue.replaces.map(|(old, _)| old);
        match self.of_certificate(name) {
            Some(holder) if holder.revoked.is_none() && Some(holder.issue.id) != replaced => {
                Err(KeyError::CertificateTaken(holder.issue.id))
            }
            _ => Ok(()),
        }
    }

    /// Takes over a change that is journaled at a position; one that is known already is skipped.
    ///
    /// # Errors
    /// When it does not fit: the journal was altered.
    pub fn apply(&mut self, position: Position, change: KeyChange) -> Result<(), KeyError> {
        if self.changes.last().is_some_and(|(last, _)| position <= *last) {
            return Ok(());
        }
        self.check(&change)?;
        match &change {
            KeyChange::Issued(issue) => {
                let index = self.keys.len();
                if let Some((old, until)) = issue.replaces
                    && let Some(old) = self.by_id.get(&old)
                {
                    let old = &mut self.keys[*old];
                    old.expires_at = old.expires_at.min(until);
                    old.replaced_by = Some(issue.id);
                }
                if let Proof::Certificate(name) = &issue.proof {
                    self.by_certificate.insert(name.clone(), index);
                }
                self.by_id.insert(issue.id, index);
                self.keys.push(Key {
                    issue: KeyIssue::clone(issue),
                    position,
                    expires_at: issue.expires_at,
                    revoked: None,
                    replaced_by: None,
                    last_used_ns: Arc::new(AtomicI64::new(i64::MIN)),
                });
            }
            KeyChange::Revoked { id, at, by } => {
                let index = self.by_id[id];
                self.keys[index].revoked = Some((*at, by.clone()));
            }
        }
        self.changes.push((position, change));
        Ok(())
    }
}

/// The keys of a running ledger.
#[derive(Debug, Default)]
pub struct KeyLog {
    keys: RwLock<Keys>,
    version: AtomicU64,
    changing: Mutex<()>,
}

impl KeyLog {
    /// The keys that recovery found.
    #[must_use]
    pub fn new(keys: Keys) -> Self {
        Self { keys: RwLock::new(keys), version: AtomicU64::new(0), changing: Mutex::new(()) }
    }

    /// Looks at the keys. Must be short.
    ///
    /// # Panics
    /// When a holder panicked.
    pub fn look<T>(&self, look: impl FnOnce(&Keys) -> T) -> T {
        look(&self.keys.read().expect("no holder panics"))
    }

    /// Takes over a change that is durable.
    ///
    /// # Errors
    /// When it was not checked while nobody else could change anything.
    ///
    /// # Panics
    /// When a holder panicked.
    pub fn apply(&self, position: Position, change: KeyChange) -> Result<(), KeyError> {
        let applied = self.keys.write().expect("no holder panics").apply(position, change);
        self.forget();
        applied
    }

    /// Whatever is remembered of credentials counts no more.
    pub fn forget(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Moves with every change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Until this is dropped nobody else changes the keys.
    ///
    /// # Panics
    /// When a holder panicked.
    pub fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().expect("no holder panics")
    }
}

#[cfg(test)]
mod tests {
    use super::super::grant::Role;
    use super::*;

    fn issue(number: u8) -> KeyIssue {
        KeyIssue {
            id: KeyId([number; 8]),
            proof: Proof::Secret([number; 32]),
            name: "a key".into(),
            grant: Grant::of_role(Role::Operator),
            issued_at: TimestampNs(100),
            expires_at: KeyIssue::NEVER,
            issued_by: "key:first".into(),
            replaces: None,
        }
    }

    fn issued(issue: KeyIssue) -> KeyChange {
        KeyChange::Issued(Box::new(issue))
    }

    fn revoked(number: u8) -> KeyChange {
        KeyChange::Revoked { id: KeyId([number; 8]), at: TimestampNs(200), by: "key:first".into() }
    }

    #[test]
    fn ids_are_hexadecimal_digits() {
        let id = KeyId([0, 1, 0xab, 0xff, 4, 5, 6, 7]);
        assert_eq!(id.to_string(), "0001abff04050607");
        assert_eq!(KeyId::parse("0001abff04050607"), Some(id));
        for wrong in ["", "0001ABFF04050607", "0001abff0405060", "0001abff040506070", "g001abff04050607"] {
            assert_eq!(KeyId::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn where_no_further_key_fits_those_that_are_there_can_be_revoked() {
        let mut keys = Keys::bounded(2);
        keys.apply(Position(5), issued(issue(1))).unwrap();
        keys.apply(Position(6), issued(issue(2))).unwrap();
        assert_eq!(keys.check(&issued(issue(3))), Err(KeyError::Full));
        keys.apply(Position(7), revoked(1)).unwrap();
        keys.apply(Position(8), revoked(2)).unwrap();
        assert_eq!(keys.check(&issued(issue(3))), Err(KeyError::Full), "what was revoked stays on record");
    }

    #[test]
    fn a_key_lives_until_it_expires_is_replaced_or_is_revoked() {
        let mut keys = Keys::default();
        keys.apply(Position(5), issued(KeyIssue { expires_at: TimestampNs(300), ..issue(1) })).unwrap();
        keys.apply(Position(6), issued(issue(2))).unwrap();
        let live = |keys: &Keys, number, now| keys.get(KeyId([number; 8])).unwrap().is_live(TimestampNs(now));
        assert!(live(&keys, 1, 299) && !live(&keys, 1, 300) && live(&keys, 2, 9_999));
        // A rotation: both are good until the overlap ends.
        let replaces = Some((KeyId([2; 8]), TimestampNs(500)));
        keys.apply(Position(7), issued(KeyIssue { replaces, ..issue(3) })).unwrap();
        assert!(live(&keys, 2, 499) && !live(&keys, 2, 500) && live(&keys, 3, 499));
        keys.apply(Position(8), revoked(3)).unwrap();
        assert!(!live(&keys, 3, 0));
        assert_eq!(keys.changes().len(), 4);
        // Replay over a snapshot brings them again.
        keys.apply(Position(7), issued(issue(9))).unwrap();
        assert_eq!(keys.changes().len(), 4);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut keys = Keys::default();
        let certificate = |number| KeyIssue { proof: Proof::Certificate("till.a".into()), ..issue(number) };
        for (position, change) in (0..).zip([issued(issue(1)), issued(certificate(2)), issued(issue(3)), revoked(3)]) {
            keys.apply(Position(position), change).unwrap();
        }
        let replacing = |number| Some((KeyId([number; 8]), TimestampNs(500)));
        let rows = [
            (issued(issue(1)), KeyError::Exists(KeyId([1; 8]))),
            (issued(certificate(4)), KeyError::CertificateTaken(KeyId([2; 8]))),
            (issued(KeyIssue { name: Box::default(), ..issue(4) }), KeyError::BadName),
            (issued(KeyIssue { expires_at: TimestampNs(100), ..issue(4) }), KeyError::ExpiresEarly),
            (issued(KeyIssue { replaces: replacing(8), ..issue(4) }), KeyError::Unknown(KeyId([8; 8]))),
            (issued(KeyIssue { replaces: replacing(3), ..issue(4) }), KeyError::Revoked(KeyId([3; 8]))),
            (issued(KeyIssue { proof: Proof::Certificate(Box::default()), ..issue(4) }), KeyError::BadCertificateName),
            (revoked(3), KeyError::Revoked(KeyId([3; 8]))),
            (revoked(8), KeyError::Unknown(KeyId([8; 8]))),
        ];
        for (change, expected) in rows {
            assert_eq!(keys.apply(Position(9), change), Err(expected));
        }
        keys.apply(Position(9), issued(KeyIssue { replaces: replacing(2), ..certificate(4) })).unwrap();
        assert_eq!(keys.of_certificate("till.a").unwrap().issue.id, KeyId([4; 8]));
        let again = issued(KeyIssue { replaces: replacing(2), ..issue(5) });
        assert_eq!(keys.apply(Position(10), again), Err(KeyError::Replaced(KeyId([2; 8]))));
    }

    #[test]
    fn a_version_moves_with_every_change_and_hashes_are_not_shown() {
        let log = KeyLog::new(Keys::default());
        assert!(!log.look(|keys| keys.has_administrator(TimestampNs(0))));
        let before = log.version();
        let grant = Grant::of_role(Role::Administrator);
        log.apply(Position(0), issued(KeyIssue { grant, ..issue(7) })).unwrap();
        assert!(log.version() > before);
        assert!(log.look(|keys| keys.has_administrator(TimestampNs(0))));
        let shown = log.look(|keys| format!("{keys:?}"));
        assert!(shown.contains("Secret") && !shown.contains("7, 7, 7"), "{shown}");
    }
}
