//! Who shows a token in the place of a key: everybody is told the same, about their own and others' things, through every
//! method; and a token that is expired or forged is nobody's, whatever it claims.

use std::sync::Arc;

use serde_json::{Value, json};
use tallystick::access::grant::Grant;
use tallystick::store::memory::MemoryStore;
use tempfile::TempDir;

use crate::generated::{Contract, grants, shape, try_all};
use crate::shop::now_seconds;
use crate::signer::{Signer, base64, claims};
use crate::support::assert_nobody;
use crate::tokens::accepting;
use crate::world::{Thing, Whose, World};

/// The claims of who is granted this.
fn claimed(grant: &Grant) -> Value {
    let mut claims = claims();
    claims["tallystick"] = json!({ "role": grant.role.name() });
    let lists = [("stores", &grant.stores), ("terminals", &grant.terminals)];
    for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        claims["tallystick"][name] = json!(list);
    }
    if !grant.partner.is_empty() {
        claims["tallystick"]["partner"] = json!(grant.partner);
    }
    claims
}

async fn open(keys: &[Value]) -> (World, TempDir) {
    let (config, folder) = accepting(keys, 0);
    (World::open_on(Arc::new(MemoryStore::new()), config).await, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_told_what_a_key_is_told_of_every_method() {
    let signer = Signer::edwards();
    let (world, _folder) = open(&[signer.public("one")]).await;
    let token = |grant: &Grant| signer.token(&signer.header("one"), &claimed(grant));
    let tokens = grants().into_iter().map(|(who, grant)| (who, token(&grant))).collect();
    try_all(&world, &tokens).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_expired_or_forged_is_nobodys_whatever_it_claims() {
    let (signer, rsa) = (Signer::edwards(), Signer::rsa());
    let (public, shared) = (signer.public("one"), rsa.public("two"));
    let (world, _folder) = open(&[public.clone(), shared.clone()]).await;
    let good = signer.token(&signer.header("one"), &claims());
    let [header, body, signature] = <[&str; 3]>::try_from(good.split('.').collect::<Vec<_>>()).unwrap();
    // The same signature under a claim to be somebody else.
    let changed = |grant: Value| {
        let mut claims = claims();
        claims["tallystick"] = grant;
        base64(claims.to_string().as_bytes())
    };
    let south = changed(json!({ "role": "gateway", "partner": "south" }));
    let admin = changed(json!({ "role": "administrator" }));
    let late = |mut claims: Value| {
        claims["exp"] = json!(now_seconds() - 1);
        signer.token(&signer.header("one"), &claims)
    };
    let stranger = Signer::edwards();
    let headed = |header: Value| format!("{}.{body}", base64(header.to_string().as_bytes()));
    // What everybody may know, taken for a secret that only two know.
    let by_secret = |kid: &str, secret: &str| {
        let message = headed(json!({ "alg": "HS256", "typ": "JWT", "kid": kid }));
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
        format!("{message}.{}", base64(ring::hmac::sign(&key, message.as_bytes()).as_ref()))
    };
    let forged = [
        ("expired", late(claims())),
        ("signed by a stranger", stranger.token(&stranger.header("one"), &claims())),
        ("unsigned", format!("{}.", headed(json!({ "alg": "none", "typ": "JWT" })))),
        ("unsigned, with the old signature", format!("{}.{signature}", headed(json!({ "alg": "none", "kid": "one" })))),
        ("signed with the curve's public key", by_secret("one", public["x"].as_str().unwrap())),
        ("signed with the public modulus", by_secret("two", shared["n"].as_str().unwrap())),
        ("of another partner by its claims alone", format!("{header}.{south}.{signature}")),
        ("an administrator by its claims alone", format!("{header}.{admin}.{signature}")),
        ("cut short", good[..good.len() - 4].to_owned()),
    ];
    let names = world.make(Thing::Accrual, Whose::Own).await;
    let ask = |id: &str| {
        prost::Message::encode_to_vec(&tallystick::service::wire::GetTransactionRequest {
            transaction_id: id.to_owned(),
        })
    };
    let get = "LedgerService/GetTransaction";
    assert!(world.tell(get, &good, ask(&names.transaction_id)).await.is_ok(), "it is the partner's own");
    let nobody = shape(&world.tell(get, "", ask(&names.transaction_id)).await.unwrap_err());
    for (what, token) in &forged {
        // Nothing tells whether what it asks about is there.
        for id in [&*names.transaction_id, "never-was"] {
            assert_eq!(shape(&world.tell(get, token, ask(id)).await.unwrap_err()), nobody, "{what}");
        }
        for method in Contract::read().methods.keys() {
            let told = world.tell(method, token, Vec::new()).await;
            assert_eq!(shape(told.as_ref().unwrap_err()), nobody, "{what}: {method}");
            assert_nobody(told);
        }
    }
}
