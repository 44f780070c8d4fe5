//! Tokens (JWT) that somebody else signed, whose public keys a file (JWKS) lists.
//!
//! The crate `jsonwebtoken` takes tokens apart and checks issuer and audience; signatures are checked by ring, and times
//! by our own clock.
//!
//! What must stay true: a public key is good for one algorithm, which the key decides and not the token; none but RS256,
//! ES256 and EdDSA (Ed25519) is ever accepted, `none` and symmetric ones never; a token without issuer, audience, expiry
//! or subject is none; a file that cannot be used leaves the keys as they were; what a token began ends when its key is no
//! longer listed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use jsonwebtoken::crypto::{CryptoProvider, JwkUtils, JwtSigner, JwtVerifier};
use jsonwebtoken::errors::{Error as JwtError, ErrorKind};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey, Validation};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;

use super::grant::{Grant, Role};
use crate::ledger::types::TimestampNs;

const NS_PER_SECOND: i64 = 1_000_000_000;
/// Public keys that one file may list.
const TOKEN_KEYS_MAX: usize = 256;
/// Bytes of such a file.
const TOKEN_FILE_BYTES_MAX: u64 = 1 << 20;

/// Whose tokens are accepted.
#[derive(Clone, Debug)]
pub struct TokenOptions {
    /// The file with the public keys (JWKS).
    pub keys: PathBuf,
    /// The `iss` that tokens must have.
    pub issuer: String,
    /// What must be among the `aud` of tokens.
    pub audience: String,
    /// How far the clock of whoever signs may be off, in nanoseconds.
    pub clock_skew_ns: i64,
}

/// Why a token, or a file of keys, is not accepted. `Display` is a sentence for the log of the server; callers are not
/// told.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("the file {path} cannot be read: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is no list of keys that can be used.
    #[error("the file {path} is no JWKS that can be used: {reason}")]
    Keys {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The token does not name a key of the file.
    #[error("the token names no key of the file")]
    KeyUnknown,
    /// The signature or what was signed is wrong.
    #[error("the token is not valid: {0}")]
    Invalid(#[from] JwtError),
    /// The token is not good now.
    #[error("the token has expired, or is not good yet")]
    Time,
    /// What the token grants makes no sense.
    #[error("the token grants nothing: {0}")]
    Grant(String),
}

/// What a token says, after it was checked.
#[derive(Debug)]
pub struct Token {
    /// Who signed it, and for whom.
    pub subject: Box<str>,
    /// What it allows.
    pub grant: Grant,
    /// From when on it counts no more, the skew included.
    pub expires_at: TimestampNs,
    /// What it was signed with.
    pub signer: Signer,
}

/// The public key that a token was checked with, as the file listed it.
#[derive(Debug)]
pub struct Signer {
    kid: Box<str>,
    fingerprint: Fingerprint,
    /// The version of the keys in which it was seen last.
    version: AtomicU64,
}

/// What tells one public key from all others.
type Fingerprint = [u8; 32];

/// The claims that are looked at. A claim of another type than it should be makes the token invalid.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: i64,
    nbf: Option<i64>,
    tallystick: GrantClaim,
}

/// The claim `tallystick`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantClaim {
    role: String,
    #[serde(default)]
    partner: String,
    #[serde(default)]
    stores: Vec<Box<str>>,
    #[serde(default)]
    terminals: Vec<Box<str>>,
}

/// A public key and the one algorithm that it is good for.
struct TokenKey {
    key: DecodingKey,
    validation: Validation,
    fingerprint: Fingerprint,
}

type KeySet = HashMap<String, TokenKey>;

/// What tells that a file has changed: its length and when it was written.
type Stamp = Option<(u64, std::time::SystemTime)>;

/// Judges tokens.
pub struct Tokens {
    options: TokenOptions,
    keys: RwLock<Arc<KeySet>>,
    /// Moves when they have been read again.
    version: AtomicU64,
    stamp: Mutex<Stamp>,
}

impl Tokens {
    /// Reads the keys.
    ///
    /// # Errors
    /// When the file cannot be read or used.
    pub fn open(options: TokenOptions) -> Result<Self, TokenError> {
        // Another part of the process may have done so: it is the same.
        let _ = PROVIDER.install_default();
        let stamp = stamp_of(&options.keys);
        let keys = RwLock::new(Arc::new(read_keys(&options)?));
        Ok(Self { options, keys, version: AtomicU64::new(0), stamp: Mutex::new(stamp) })
    }

    /// Reads the keys again.
    ///
    /// # Errors
    /// When the file cannot be read or used: the keys stay as they were.
    pub fn reload(&self) -> Result<(), TokenError> {
        let stamp = stamp_of(&self.options.keys);
        *self.stamp.lock().unwrap_or_else(PoisonError::into_inner) = stamp;
        let keys = Arc::new(read_keys(&self.options)?);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        // Afterwards: whoever sees the version sees the keys.
        self.version.fetch_add(1, Ordering::Release);
        Ok(())
    }

    fn keys(&self) -> Arc<KeySet> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the file still lists what a token was signed with: the same key under the same name.
    #[must_use]
    pub fn still_lists(&self, signer: &Signer) -> bool {
        // Before the keys: what changes meanwhile is looked at by whoever asks next.
        let version = self.version.load(Ordering::Acquire);
        if signer.version.load(Ordering::Relaxed) == version {
            return true;
        }
        let keys = self.keys();
        let is_listed = keys.get(&*signer.kid).is_some_and(|key| key.fingerprint == signer.fingerprint);
        if is_listed {
            signer.version.store(version, Ordering::Relaxed);
        }
        is_listed
    }

    /// Whether the file has changed since it was read.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        *self.stamp.lock().unwrap_or_else(PoisonError::into_inner) != stamp_of(&self.options.keys)
    }

    /// Judges a token at this time.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub fn judge(&self, token: &str, now: TimestampNs) -> Result<Token, TokenError> {
        let header = jsonwebtoken::decode_header(token)?;
        // Before the keys, as above.
        let version = AtomicU64::new(self.version.load(Ordering::Acquire));
        let keys = self.keys();
        let found = header.kid.as_deref().and_then(|kid| keys.get_key_value(kid));
        let (kid, key) = found.ok_or(TokenError::KeyUnknown)?;
        // The key decides the algorithm: a token that names another is not looked at.
        let claims: Claims = jsonwebtoken::decode(token, &key.key, &key.validation)?.claims;
        let skew = self.options.clock_skew_ns;
        let expires_at = claims.exp.saturating_mul(NS_PER_SECOND).saturating_add(skew);
        let begins_at = claims.nbf.map_or(i64::MIN, |nbf| nbf.saturating_mul(NS_PER_SECOND).saturating_sub(skew));
        if now.0 >= expires_at || now.0 < begins_at {
            return Err(TokenError::Time);
        }
        let GrantClaim { role, partner, stores, terminals } = claims.tallystick;
        let role = Role::from_name(&role).ok_or_else(|| TokenError::Grant(format!("there is no role {role:?}")))?;
        let grant = Grant { role, partner: partner.into(), stores, terminals };
        grant.check().map_err(|error| TokenError::Grant(error.to_string()))?;
        let subject = format!("{}/{}", self.options.issuer, claims.sub).into();
        let signer = Signer { kid: kid.as_str().into(), fingerprint: key.fingerprint, version };
        Ok(Token { subject, grant, expires_at: TimestampNs(expires_at), signer })
    }
}

fn stamp_of(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}

fn read_keys(options: &TokenOptions) -> Result<KeySet, TokenError> {
    let path = &options.keys;
    let file_error = |source| TokenError::File { path: path.clone(), source };
    let wrong = |reason: String| TokenError::Keys { path: path.clone(), reason };
    if std::fs::metadata(path).map_err(file_error)?.len() > TOKEN_FILE_BYTES_MAX {
        return Err(wrong(format!("it has more than {TOKEN_FILE_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(file_error)?;
    let set: JwkSet = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if set.keys.is_empty() || set.keys.len() > TOKEN_KEYS_MAX {
        return Err(wrong(format!("it lists {} keys, but must list 1 to {TOKEN_KEYS_MAX}", set.keys.len())));
    }
    let mut keys = KeySet::new();
    for jwk in &set.keys {
        let kid = jwk.common.key_id.clone().ok_or_else(|| wrong("a key has no `kid`".to_owned()))?;
        let key = token_key(jwk, options).map_err(|reason| wrong(format!("the key {kid:?} {reason}")))?;
        if keys.insert(kid.clone(), key).is_some() {
            return Err(wrong(format!("the key {kid:?} is listed twice")));
        }
    }
    Ok(keys)
}

fn token_key(jwk: &Jwk, options: &TokenOptions) -> Result<TokenKey, String> {
    let (algorithm, stated) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(curve) if curve.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return Err("is none for RS256, ES256 or EdDSA".to_owned()),
    };
    if jwk.common.key_algorithm.is_some_and(|named| named != stated) {
        return Err(format!("names another algorithm than {algorithm:?}"));
    }
    if jwk.common.public_key_use.as_ref().is_some_and(|named| *named != PublicKeyUse::Signature) {
        return Err("is not for signatures".to_owned());
    }
    let key = DecodingKey::from_jwk(jwk).map_err(|error| format!("cannot be read: {error}"))?;
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[&options.issuer]);
    validation.set_audience(&[&options.audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // Times are judged by our own clock.
    (validation.validate_exp, validation.validate_nbf) = (false, false);
    let fingerprint = fingerprint(algorithm, &key);
    Ok(TokenKey { key, validation, fingerprint })
}

/// Of the key itself, however the file writes it.
fn fingerprint(algorithm: Algorithm, key: &DecodingKey) -> Fingerprint {
    let parts: [&[u8]; 2] = match key.kind() {
        DecodingKeyKind::SecretOrDer(point) => [point.as_slice(), &[]],
        DecodingKeyKind::RsaModulusExponent { n, e } => [n.as_slice(), e.as_slice()],
    };
    let mut hasher = blake3::Hasher::new();
    hasher.update(format!("{algorithm:?}").as_bytes());
    for part in parts {
        hasher.update(&(part.len() as u64).to_be_bytes()).update(part);
    }
    *hasher.finalize().as_bytes()
}

/// Verifies with ring.
struct Verifying {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl signature::Verifier<Vec<u8>> for Verifying {
    fn verify(&self, message: &[u8], signed: &Vec<u8>) -> Result<(), signature::Error> {
        let verified = match (self.algorithm, self.key.kind()) {
            (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signed)
            }
            (Algorithm::ES256, DecodingKeyKind::SecretOrDer(point)) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signed)
            }
            (Algorithm::EdDSA, DecodingKeyKind::SecretOrDer(point)) => {
                UnparsedPublicKey::new(&ED25519, point).verify(message, signed)
            }
            _ => Err(ring::error::Unspecified),
        };
        verified.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Verifying {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

fn verifying(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, JwtError> {
    match algorithm {
        Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA => {
            Ok(Box::new(Verifying { algorithm: *algorithm, key: key.clone() }))
        }
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

/// Nothing is signed here.
fn signing(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, JwtError> {
    Err(ErrorKind::InvalidAlgorithm.into())
}

static PROVIDER: CryptoProvider =
    CryptoProvider { signer_factory: signing, verifier_factory: verifying, jwk_utils: JwkUtils::new_unimplemented() };
