//! Tokens that somebody else signed: what is accepted, and everything that is not.

use std::sync::Arc;
use std::time::Duration;

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::{Value, json};
use tallystick::config::Config;
use tallystick::store::memory::MemoryStore;
use tempfile::TempDir;
use tonic::Code;
use tonic::transport::Channel;

use crate::shop::now_seconds;
use crate::support::{House, assert_forbidden, assert_nobody, call, config};

const BALANCE: &str = "/tallystick.v1.LedgerService/GetBalance";
/// A private key that is used nowhere else.
const RSA_KEY: &[u8] = include_bytes!("rsa-for-tests.der");

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let number = group.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..=group.len() {
            text.push(LETTERS[(number >> (18 - 6 * place) & 63) as usize] as char);
        }
    }
    text
}

/// Who signs.
enum Signer {
    Rsa(RsaKeyPair),
    Curve(EcdsaKeyPair),
    Edwards(Ed25519KeyPair),
}

impl Signer {
    fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::from_der(RSA_KEY).unwrap())
    }

    fn curve() -> Self {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self::Curve(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.as_ref(), &random).unwrap())
    }

    fn edwards() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Edwards(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::Curve(_) => "ES256",
            Self::Edwards(_) => "EdDSA",
        }
    }

    fn public(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(key) => {
                let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(key.public());
                let number = |bytes: &[u8]| base64(bytes.strip_prefix(&[0]).unwrap_or(bytes));
                let n = number(&public.n);
                let e = number(&public.e);
                json!({ "kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "n": n, "e": e })
            }
            Self::Curve(key) => {
                let point = key.public_key().as_ref();
                json!({ "kty": "EC", "kid": kid, "crv": "P-256", "x": base64(&point[1..33]), "y": base64(&point[33..]) })
            }
            Self::Edwards(key) => {
                json!({ "kty": "OKP", "kid": kid, "crv": "Ed25519", "x": base64(key.public_key().as_ref()) })
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
            Self::Curve(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Edwards(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims.to_string().as_bytes()));
        format!("{message}.{}", base64(&self.sign(message.as_bytes())))
    }

    fn header(&self, kid: &str) -> Value {
        json!({ "alg": self.algorithm(), "typ": "JWT", "kid": kid })
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://login.example",
        "aud": ["tallystick", "other"],
        "sub": "gate-7",
        "exp": now_seconds() + 600,
        "tallystick": { "role": "gateway", "partner": "north" },
    })
}

/// Claims with one of them changed, or left out.
fn changed(name: &str, value: Value) -> Value {
    let mut claims = claims();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

struct Tokens {
    house: House,
    channel: Channel,
    folder: TempDir,
}

impl Tokens {
    async fn open(keys: &[Value]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jwks.json");
        std::fs::write(&path, json!({ "keys": keys }).to_string()).unwrap();
        let config = Config {
            token_keys: Some(path),
            token_issuer: Some("https://login.example".to_owned()),
            token_audience: Some("tallystick".to_owned()),
            token_clock_skew_seconds: 30,
            ..config()
        };
        let house = House::open_on(Arc::new(MemoryStore::new()), config).await;
        let channel = house.channel().await;
        Self { house, channel, folder }
    }

    async fn is_accepted(&self, token: &str) -> bool {
        let status = call(&self.channel, BALANCE, Some(token), Vec::new()).await.unwrap_err();
        match status.code() {
            Code::InvalidArgument => true,
            Code::Unauthenticated => false,
            _ => panic!("{status:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_three_algorithms_are_accepted_and_the_claims_say_who_calls() {
    let signers = [("r", Signer::rsa()), ("c", Signer::curve()), ("e", Signer::edwards())];
    let keys: Vec<Value> = signers.iter().map(|(kid, signer)| signer.public(kid)).collect();
    let tokens = Tokens::open(&keys).await;
    for (kid, signer) in &signers {
        let token = signer.token(&signer.header(kid), &claims());
        assert!(tokens.is_accepted(&token).await, "{kid}");
        assert!(tokens.is_accepted(&token).await, "{kid}, from what the connection remembers");
    }
    let signer = &signers[2].1;
    let auditor = signer.token(&signer.header("e"), &changed("tallystick", json!({ "role": "auditor" })));
    assert!(call(&tokens.channel, "/tallystick.v1.AdminService/GetStatus", Some(&auditor), Vec::new()).await.is_ok());
    assert_forbidden(
        call(&tokens.channel, "/tallystick.v1.AdminService/TakeSnapshot", Some(&auditor), Vec::new()).await,
    );
    drop(tokens.house);
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_are_wrong_are_not_accepted() {
    let signer = Signer::edwards();
    let tokens = Tokens::open(&[signer.public("e")]).await;
    let now = now_seconds();
    let grant = |grant: Value| changed("tallystick", grant);
    let rows = [
        ("another issuer", changed("iss", json!("https://other.example")), false),
        ("no issuer", changed("iss", Value::Null), false),
        ("another audience", changed("aud", json!("other")), false),
        ("no audience", changed("aud", Value::Null), false),
        ("no subject", changed("sub", Value::Null), false),
        ("no expiry", changed("exp", Value::Null), false),
        ("an expiry that is text", changed("exp", json!("soon")), false),
        ("expired", changed("exp", json!(now - 31)), false),
        ("expired, within the skew", changed("exp", json!(now - 5)), true),
        ("not yet", changed("nbf", json!(now + 300)), false),
        ("a beginning that is text", changed("nbf", json!("0")), false),
        ("not yet, within the skew", changed("nbf", json!(now + 10)), true),
        ("no grant", changed("tallystick", Value::Null), false),
        ("no such role", grant(json!({ "role": "root" })), false),
        ("a role without its partner", grant(json!({ "role": "gateway" })), false),
        ("a till without a store", grant(json!({ "role": "till", "partner": "north" })), false),
        ("more than is known", grant(json!({ "role": "auditor", "everything": true })), false),
    ];
    for (what, claims, expected) in rows {
        let token = signer.token(&signer.header("e"), &claims);
        assert_eq!(tokens.is_accepted(&token).await, expected, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_chooses_how_it_is_judged() {
    let (rsa, edwards) = (Signer::rsa(), Signer::edwards());
    let public = rsa.public("r");
    let tokens = Tokens::open(&[public.clone(), edwards.public("e")]).await;
    let parts = |header: Value| {
        format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims().to_string().as_bytes()))
    };
    // Unsigned.
    for algorithm in ["none", "None", ""] {
        let unsigned = parts(json!({ "alg": algorithm, "typ": "JWT", "kid": "r" }));
        assert!(!tokens.is_accepted(&format!("{unsigned}.")).await, "{algorithm}");
    }
    // Signed with the public key as if it were a shared secret.
    let secret = public["n"].as_str().unwrap().as_bytes();
    let message = parts(json!({ "alg": "HS256", "typ": "JWT", "kid": "r" }));
    let tag = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret), message.as_bytes());
    assert!(!tokens.is_accepted(&format!("{message}.{}", base64(tag.as_ref()))).await);
    // A key under another's algorithm or name, one that nobody lists, and a signature that was changed.
    for header in [
        json!({ "alg": "RS256", "kid": "e" }),
        json!({ "alg": "EdDSA", "kid": "r" }),
        json!({ "alg": "EdDSA", "kid": "x" }),
        json!({ "alg": "EdDSA" }),
        json!({ "alg": "ES256", "kid": "e" }),
    ] {
        assert!(!tokens.is_accepted(&edwards.token(&header, &claims())).await, "{header}");
    }
    let good = edwards.token(&edwards.header("e"), &claims());
    assert!(tokens.is_accepted(&good).await);
    let other = edwards.token(&edwards.header("e"), &changed("sub", json!("gate-8")));
    let (message, _) = good.rsplit_once('.').unwrap();
    let (_, signature) = other.rsplit_once('.').unwrap();
    assert!(!tokens.is_accepted(&format!("{message}.{signature}")).await);
    assert!(!tokens.is_accepted(&good[..good.len() - 1]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_is_read_again_and_a_broken_one_is_not() {
    let (first, second) = (Signer::edwards(), Signer::curve());
    let tokens = Tokens::open(&[first.public("one")]).await;
    let path = tokens.folder.path().join("jwks.json");
    let (old, new) = (first.token(&first.header("one"), &claims()), second.token(&second.header("two"), &claims()));
    assert!(tokens.is_accepted(&old).await && !tokens.is_accepted(&new).await);
    std::fs::write(&path, json!({ "keys": [second.public("two")] }).to_string()).unwrap();
    let mut is_new = false;
    for _ in 0..1_200 {
        if tokens.is_accepted(&new).await {
            is_new = true;
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert!(is_new, "the file is read again by itself");
    assert_nobody(call(&tokens.channel, BALANCE, Some(&old), Vec::new()).await);
    for broken in ["{", "{\"keys\":[]}", "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"k\",\"k\":\"AAAA\"}]}"] {
        std::fs::write(&path, broken).unwrap();
        tokens.house.running.reload().await;
        assert!(tokens.is_accepted(&new).await, "{broken}");
    }
}
