//! From what a caller shows to whom it is.
//!
//! A connection remembers the credentials that it has seen, each with the version of the keys under which it was judged:
//! a call with a credential that is remembered costs a comparison. Whatever changes what credentials mean moves the
//! version.
//!
//! What must stay true: nothing that was remembered under another version is used; the version is read before a
//! credential is judged, never after; what is wrong with a credential is not told.

use std::sync::{Arc, Mutex, PoisonError};

use super::grant::Grant;
use super::keys::{Key, KeyLog, Proof};
use super::meter::Meters;
use super::metered::Metered;
use super::principal::{Credential, Principal};
use super::secret::{ApiKey, KEY_PREFIX, is_same};
use super::tokens::Tokens;
use crate::clock::SharedClock;
use crate::ledger::types::{SymbolId, TimestampNs};
use crate::limits;

/// Why a caller is nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nobody {
    /// It shows nothing.
    NoCredential,
    /// What it shows is not known, or counts no more.
    Unknown,
    /// The data directory holds no further name, so its partner can have no number.
    NoNumber,
}

/// What one connection has shown. Any number of calls share it.
#[derive(Debug, Default)]
pub struct Session {
    /// The names in the certificate of whoever connected, which TLS has verified.
    certificate_names: Vec<Box<str>>,
    remembered: Mutex<Vec<Remembered>>,
}

/// A credential that was good.
#[derive(Debug)]
struct Remembered {
    /// The header as it came; `None` for the certificate.
    header: Option<super::secret::Secret>,
    version: u64,
    principal: Arc<Principal>,
}

impl Remembered {
    /// Whether it need not be judged anew. Where a key has expired, a certificate may have another name with one that has
    /// not.
    fn holds(&self, version: u64, now: TimestampNs) -> bool {
        self.version == version && now < self.principal.expires_at
    }
}

impl Session {
    /// A connection of somebody with a certificate of these names.
    #[must_use]
    pub fn with_certificate(certificate_names: Vec<Box<str>>) -> Self {
        Self { certificate_names, remembered: Mutex::default() }
    }

    /// Whether it has shown a credential that was good.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !self.remembered.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn recall(&self, header: Option<&[u8]>, version: u64, now: TimestampNs) -> Option<Arc<Principal>> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |known: &&Remembered| match (&known.header, header) {
            (None, None) => true,
            (Some(known), Some(shown)) => is_same(known.expose().as_bytes(), shown),
            _ => false,
        };
        let found = remembered.iter().filter(|known| known.holds(version, now)).find(is_it);
        found.map(|known| known.principal.clone())
    }

    fn remember(&self, header: Option<&str>, version: u64, now: TimestampNs, principal: &Arc<Principal>) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.retain(|known| known.holds(version, now));
        if remembered.len() >= limits::CONNECTION_CREDENTIALS_MAX {
            remembered.remove(0);
        }
        let header = header.map(|header| super::secret::Secret::new(header.to_owned()));
        remembered.push(Remembered { header, version, principal: principal.clone() });
    }
}

/// Gives partners their numbers; `None` when there is no room for one.
pub type Intern = Box<dyn Fn(&str) -> Option<SymbolId> + Send + Sync>;

/// Judges credentials.
pub struct Gate {
    keys: Arc<KeyLog>,
    clock: SharedClock,
    intern: Intern,
    /// Whoever calls where nothing is asked for.
    anyone: Option<Arc<Principal>>,
    tokens: Option<Arc<Tokens>>,
    meters: Option<Meters>,
}

impl Gate {
    /// A gate that stands open: every caller is this principal.
    #[must_use]
    pub fn open(anyone: Principal, keys: Arc<KeyLog>, clock: SharedClock) -> Self {
        Self { keys, clock, intern: Box::new(|_| None), anyone: Some(Arc::new(anyone)), tokens: None, meters: None }
    }

    /// A gate that asks for credentials.
    #[must_use]
    pub fn guarded(keys: Arc<KeyLog>, clock: SharedClock, intern: Intern, tokens: Option<Arc<Tokens>>) -> Self {
        Self { keys, clock, intern, anyone: None, tokens, meters: None }
    }

    /// With limits of what credentials may ask for.
    #[must_use]
    pub fn with_meters(self, meters: Meters) -> Self {
        Self { meters: Some(meters), ..self }
    }

    /// Whether credentials are asked for.
    #[must_use]
    pub fn is_guarded(&self) -> bool {
        self.anyone.is_none()
    }

    /// Whom a call comes from, by its header `authorization` and its connection.
    ///
    /// # Errors
    /// When it is nobody.
    pub fn admit(&self, header: Option<&[u8]>, session: &Session) -> Result<Arc<Principal>, Nobody> {
        if let Some(anyone) = &self.anyone {
            return Ok(anyone.clone());
        }
        // Before anything is judged: what changes meanwhile is judged anew by the next call.
        let version = self.keys.version();
        let now = self.clock.now();
        if let Some(principal) = session.recall(header, version, now) {
            principal.note_use(now);
            return Ok(principal);
        }
        let header = header.map(|header| std::str::from_utf8(header).map_err(|_| Nobody::Unknown)).transpose()?;
        let principal = Arc::new(match header {
            Some(header) => self.judge_header(header, now)?,
            None => self.judge_certificate(session, now)?,
        });
        principal.note_use(now);
        session.remember(header, version, now, &principal);
        Ok(principal)
    }

    /// Whether a principal that was admitted still is somebody: for calls that last.
    #[must_use]
    pub fn still_admits(&self, principal: &Principal) -> bool {
        let now = self.clock.now();
        match &principal.credential {
            Credential::None => true,
            // Its signer may have left the file since.
            Credential::Token(_) => {
                let signed = self.tokens.as_ref().zip(principal.signer.as_ref());
                now < principal.expires_at && signed.is_some_and(|(tokens, signer)| tokens.still_lists(signer))
            }
            // A key may have got an end since, or another.
            Credential::Key(id) | Credential::Certificate(id) => {
                self.keys.look(|keys| keys.get(*id).is_some_and(|key| key.is_live(now)))
            }
        }
    }

    fn judge_header(&self, header: &str, now: TimestampNs) -> Result<Principal, Nobody> {
        let (scheme, credential) = header.split_once(' ').ok_or(Nobody::Unknown)?;
        if header.len() > limits::CREDENTIAL_BYTES_MAX || !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Nobody::Unknown);
        }
        if credential.starts_with(KEY_PREFIX) {
            return self.judge_key(&ApiKey::parse(credential).ok_or(Nobody::Unknown)?, now);
        }
        let tokens = self.tokens.as_ref().ok_or(Nobody::Unknown)?;
        let token = tokens.judge(credential, now).map_err(|error| {
            tracing::debug!(%error, "a token was not accepted");
            Nobody::Unknown
        })?;
        let principal = self.principal(token.grant, Credential::Token(token.subject), token.expires_at, None)?;
        Ok(Principal { signer: Some(Arc::new(token.signer)), ..principal })
    }

    fn judge_key(&self, shown: &ApiKey, now: TimestampNs) -> Result<Principal, Nobody> {
        let found = self.keys.look(|keys| {
            let key = keys.get(shown.id);
            // A key that does not exist is compared with too.
            let hash = key.map_or([0; 32], |key| match key.issue.proof {
                Proof::Secret(hash) => hash,
                Proof::Certificate(_) => [0; 32],
            });
            let is_right = shown.has_hash(&hash);
            key.filter(|key| is_right && key.is_live(now)).map(Key::remembered)
        });
        let (grant, expires_at, last_used) = found.ok_or(Nobody::Unknown)?;
        self.principal(grant, Credential::Key(shown.id), expires_at, Some(last_used))
    }

    fn judge_certificate(&self, session: &Session, now: TimestampNs) -> Result<Principal, Nobody> {
        let found = self.keys.look(|keys| {
            let mut live = session.certificate_names.iter().filter_map(|name| keys.of_certificate(name));
            live.find(|key| key.is_live(now)).map(|key| (key.issue.id, key.remembered()))
        });
        let (id, (grant, expires_at, last_used)) = found.ok_or(Nobody::NoCredential)?;
        self.principal(grant, Credential::Certificate(id), expires_at, Some(last_used))
    }

    fn principal(
        &self,
        grant: Grant,
        credential: Credential,
        expires_at: TimestampNs,
        last_used_ns: Option<Arc<std::sync::atomic::AtomicI64>>,
    ) -> Result<Principal, Nobody> {
        let symbol = if grant.partner.is_empty() {
            SymbolId::EMPTY
        } else {
            (self.intern)(&grant.partner).ok_or(Nobody::NoNumber)?
        };
        let partner = Arc::from(&*grant.partner);
        let metered = match &credential {
            Credential::Key(id) | Credential::Certificate(id) => Some(Metered::Key(*id)),
            Credential::Token(subject) => Some(Metered::Token(grant.role, subject.clone())),
            Credential::None => None,
        };
        let metered = self.meters.as_ref().zip(metered.as_ref());
        let meter = metered.and_then(|(meters, metered)| meters.of(grant.role, metered));
        let names = metered.and_then(|(meters, metered)| meters.names_of(grant.role, metered));
        let (grant, signer) = (Some(grant), None);
        Ok(Principal { partner, symbol, grant, credential, expires_at, signer, meter, names, last_used_ns })
    }
}

#[cfg(test)]
mod tests {
    use super::super::grant::Role;
    use super::super::keys::{KeyChange, KeyIssue};
    use super::*;
    use crate::clock::SystemClock;
    use crate::ledger::types::Position;

    fn issued(key: &ApiKey, role: Role) -> KeyChange {
        KeyChange::Issued(Box::new(KeyIssue {
            id: key.id,
            proof: Proof::Secret(key.hash()),
            name: "a key".into(),
            grant: Grant::of_role(role),
            issued_at: TimestampNs(0),
            expires_at: KeyIssue::NEVER,
            issued_by: "test".into(),
            replaces: None,
        }))
    }

    fn guarded() -> (Gate, Arc<KeyLog>) {
        let keys = Arc::new(KeyLog::default());
        let gate = Gate::guarded(keys.clone(), Arc::new(SystemClock::new()), Box::new(|_| Some(SymbolId(1))), None);
        (gate, keys)
    }

    #[test]
    fn what_a_connection_remembers_ends_with_the_version() {
        let (gate, keys) = guarded();
        let (session, key) = (Session::default(), ApiKey::new([1; 8], [2; 32]));
        let header = format!("Bearer {}", key.to_secret().expose());
        let admit = |header: &str| gate.admit(Some(header.as_bytes()), &session);
        assert_eq!(admit(&header).unwrap_err(), Nobody::Unknown);
        keys.apply(Position(1), issued(&key, Role::Operator)).unwrap();
        let first = admit(&header).unwrap();
        assert!(Arc::ptr_eq(&first, &admit(&header).unwrap()), "it is remembered");
        assert!(keys.look(|keys| keys.get(key.id).unwrap().last_used().is_some()));
        assert!(gate.still_admits(&first));
        let revoked = KeyChange::Revoked { id: key.id, at: TimestampNs(5), by: "test".into() };
        keys.apply(Position(2), revoked).unwrap();
        assert!(!gate.still_admits(&first));
        assert_eq!(admit(&header).unwrap_err(), Nobody::Unknown);
    }

    /// A clock that is set by hand.
    struct Hands(std::sync::atomic::AtomicI64);

    impl crate::clock::Clock for Hands {
        fn now(&self) -> TimestampNs {
            TimestampNs(self.monotonic_ns())
        }

        fn monotonic_ns(&self) -> i64 {
            self.0.load(std::sync::atomic::Ordering::SeqCst)
        }
    }

    #[test]
    fn what_lasts_ends_with_the_overlap_of_the_key_that_was_replaced() {
        let (keys, clock) = (Arc::new(KeyLog::default()), Arc::new(Hands(10.into())));
        let gate = Gate::guarded(keys.clone(), clock.clone(), Box::new(|_| Some(SymbolId(1))), None);
        let (old, new) = (ApiKey::new([1; 8], [2; 32]), ApiKey::new([2; 8], [3; 32]));
        keys.apply(Position(1), issued(&old, Role::Operator)).unwrap();
        let header = format!("Bearer {}", old.to_secret().expose());
        let principal = gate.admit(Some(header.as_bytes()), &Session::default()).unwrap();
        let KeyChange::Issued(mut issue) = issued(&new, Role::Operator) else { unreachable!("a key is issued") };
        (issue.issued_at, issue.replaces) = (TimestampNs(10), Some((old.id, TimestampNs(20))));
        keys.apply(Position(2), KeyChange::Issued(issue)).unwrap();
        for (now, is_admitted) in [(11, true), (19, true), (20, false), (30, false)] {
            clock.0.store(now, std::sync::atomic::Ordering::SeqCst);
            assert_eq!(gate.still_admits(&principal), is_admitted, "at {now}");
        }
    }

    #[test]
    fn a_certificate_whose_first_key_has_expired_stands_for_its_next() {
        let (keys, clock) = (Arc::new(KeyLog::default()), Arc::new(Hands(10.into())));
        let gate = Gate::guarded(keys.clone(), clock.clone(), Box::new(|_| Some(SymbolId(1))), None);
        let ids = [1, 2].map(|number| ApiKey::new([number; 8], [2; 32]));
        for (key, (name, expires_at)) in ids.iter().zip([("a", TimestampNs(20)), ("b", KeyIssue::NEVER)]) {
            let KeyChange::Issued(mut issue) = issued(key, Role::Operator) else { unreachable!("a key is issued") };
            (issue.proof, issue.expires_at) = (Proof::Certificate(name.into()), expires_at);
            keys.apply(Position(u64::from(key.id.0[0])), KeyChange::Issued(issue)).unwrap();
        }
        let session = Session::with_certificate(vec!["a".into(), "b".into()]);
        for (now, key) in [(11, &ids[0]), (19, &ids[0]), (20, &ids[1]), (30, &ids[1])] {
            clock.0.store(now, std::sync::atomic::Ordering::SeqCst);
            let principal = gate.admit(None, &session).unwrap();
            assert_eq!(principal.credential, Credential::Certificate(key.id), "at {now}");
            assert_eq!(session.remembered.lock().unwrap().len(), 1);
        }
    }

    #[test]
    fn a_connection_remembers_a_bounded_number_of_credentials_and_confuses_none() {
        let (gate, keys) = guarded();
        let session = Session::default();
        let key = |number: usize| ApiKey::new([u8::try_from(number).unwrap(); 8], [7; 32]);
        let count = 3 * limits::CONNECTION_CREDENTIALS_MAX;
        for number in 0..count {
            keys.apply(Position(number as u64 + 1), issued(&key(number), Role::Operator)).unwrap();
        }
        for number in (0..count).chain(0..count) {
            let header = format!("Bearer {}", key(number).to_secret().expose());
            let principal = gate.admit(Some(header.as_bytes()), &session).unwrap();
            assert_eq!(principal.credential, Credential::Key(key(number).id));
            assert!(session.remembered.lock().unwrap().len() <= limits::CONNECTION_CREDENTIALS_MAX);
        }
    }

    #[test]
    fn only_a_bearer_is_looked_at() {
        let (gate, keys) = guarded();
        let key = ApiKey::new([1; 8], [2; 32]);
        keys.apply(Position(1), issued(&key, Role::Operator)).unwrap();
        let text = key.to_secret();
        let rows = [
            (format!("Bearer {}", text.expose()), true),
            (format!("bearer {}", text.expose()), true),
            (format!("Basic {}", text.expose()), false),
            (text.expose().to_owned(), false),
            (format!("Bearer  {}", text.expose()), false),
            (format!("Bearer {} ", text.expose()), false),
            (String::new(), false),
        ];
        for (header, expected) in rows {
            let admitted = gate.admit(Some(header.as_bytes()), &Session::default());
            assert_eq!(admitted.is_ok(), expected, "{header}");
        }
        assert_eq!(gate.admit(None, &Session::default()).unwrap_err(), Nobody::NoCredential);
        assert_eq!(gate.admit(Some(&[0xff]), &Session::default()).unwrap_err(), Nobody::Unknown);
    }
}
