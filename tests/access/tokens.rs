//! Tokens that somebody else signed: what is accepted, and everything that is not.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tallystick::config::Config;
use tallystick::service::wire;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tallystick::store::memory::MemoryStore;
use tempfile::TempDir;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::Channel;

use crate::shop::{accrual, now_seconds};
use crate::signer::{Signer, base64, claims};
use crate::support::{House, assert_forbidden, assert_nobody, call, config, with_key};

const BALANCE: &str = "/tallystick.v1.LedgerService/GetBalance";

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

/// The configuration of a server that takes tokens whose signers have these keys, and the folder with their file.
pub fn accepting(keys: &[Value], token_clock_skew_seconds: u16) -> (Config, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    std::fs::write(&path, json!({ "keys": keys }).to_string()).unwrap();
    let config = Config {
        token_keys: Some(path),
        token_issuer: Some("https://login.example".to_owned()),
        token_audience: Some("tallystick".to_owned()),
        token_clock_skew_seconds,
        ..config()
    };
    (config, folder)
}

struct Tokens {
    house: House,
    channel: Channel,
    folder: TempDir,
}

impl Tokens {
    async fn open(keys: &[Value]) -> Self {
        let (config, folder) = accepting(keys, 30);
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

/// A message of one accrual.
fn message(id: &str) -> wire::CommandStreamRequest {
    let command = wire::command::Command::Accrue(accrual(id, "m1", 100));
    wire::CommandStreamRequest { commands: vec![wire::Command { command: Some(command) }] }
}

/// The token itself is good for ten minutes.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_key_that_its_token_was_signed_with() {
    let (first, second) = (Signer::edwards(), Signer::edwards());
    let token = first.token(&first.header("one"), &claims());
    for (what, listed, goes_on) in [
        ("a further key beside it", vec![second.public("two"), first.public("one")], true),
        ("the same key by another name", vec![first.public("two")], false),
        ("another key by the same name", vec![second.public("one")], false),
        ("another key", vec![second.public("two")], false),
    ] {
        let tokens = Tokens::open(&[first.public("one")]).await;
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        let mut ledger = LedgerServiceClient::new(tokens.channel.clone());
        let answers = ledger.command_stream(with_key(&token, ReceiverStream::new(receiver))).await;
        let mut answers = answers.unwrap().into_inner();
        sender.send(message("before")).await.unwrap();
        assert!(answers.message().await.unwrap().is_some(), "{what}");
        std::fs::write(tokens.folder.path().join("jwks.json"), json!({ "keys": listed }).to_string()).unwrap();
        tokens.house.running.reload().await;
        for id in ["after", "later"] {
            sender.send(message(id)).await.unwrap();
            let answer = answers.message().await;
            if !goes_on {
                assert_nobody(answer);
                break;
            }
            assert!(answer.unwrap().is_some(), "{what}");
        }
    }
}
