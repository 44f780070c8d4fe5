//! Keys and tokens that are expired, forged, revoked, guessed, or somebody else's.

use serde_json::json;
use tallystick::service::wire as api;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tonic::Code;
use tonic::transport::Channel;

use crate::blackbox::{Random, wait_for};
use crate::scene::{ACCOUNT, Scene, issue, with_key};
use crate::shop::{accrual, now_seconds, reason};
use crate::signer::{Signer, base64, claims};
use crate::wire::SOON;

/// What a caller is told, apart from the time of it.
async fn answer(ledger: &mut LedgerServiceClient<Channel>, credential: Option<&str>) -> Result<i64, (Code, String)> {
    let request = api::GetBalanceRequest { account_id: ACCOUNT.to_owned(), ..<_>::default() };
    match ledger.get_balance(with_key(credential, request)).await {
        Ok(answer) => Ok(answer.into_inner().wallets[0].balance_points),
        Err(status) => Err((status.code(), format!("{} {}", reason(&status), status.message()))),
    }
}

async fn guarded() -> (Scene, Signer, tempfile::TempDir) {
    let signer = Signer::edwards();
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("jwks.json");
    std::fs::write(&keys, json!({ "keys": [signer.public("one")] }).to_string()).unwrap();
    let scene = Scene::open_guarded(&[
        ("token_keys", keys.to_str().unwrap()),
        ("token_issuer", "https://login.example"),
        ("token_audience", "tallystick"),
        ("token_clock_skew_seconds", "0"),
    ])
    .await;
    (scene, signer, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_is_none_is_told_nothing_but_that() {
    let (scene, signer, _folder) = guarded().await;
    let admin = scene.admin.clone().unwrap();
    let channel = scene.channel().await;
    let mut ledger = LedgerServiceClient::new(channel.clone());
    let good = issue(&channel, &admin, api::Role::Gateway, "north", None).await;
    let brief = issue(&channel, &admin, api::Role::Gateway, "north", Some(2)).await;
    assert!(answer(&mut ledger, Some(&good)).await.is_ok());
    let token = signer.token(&signer.header("one"), &claims());
    assert!(answer(&mut ledger, Some(&token)).await.is_ok());
    let expired = wait_for("the end of a key", SOON, async || answer(&mut ledger, Some(&brief)).await.err()).await;

    let stranger = Signer::edwards();
    let mut late = claims();
    late["exp"] = json!(now_seconds() - 1);
    let unsigned = |algorithm: &str| {
        let header = json!({ "alg": algorithm, "typ": "JWT", "kid": "one" }).to_string();
        format!("{}.{}.", base64(header.as_bytes()), base64(claims().to_string().as_bytes()))
    };
    let (id, secret) = good.rsplit_once('_').unwrap();
    let other = issue(&channel, &admin, api::Role::Gateway, "south", None).await;
    let other_secret = other.rsplit_once('_').unwrap().1;
    let rows = [
        ("an expired token", signer.token(&signer.header("one"), &late)),
        ("a token that a stranger signed", stranger.token(&stranger.header("one"), &claims())),
        ("a token without a signature", unsigned("none")),
        ("a token of a shared secret", unsigned("HS256")),
        ("a token that was changed", format!("{}A{}", &token[..30], &token[31..])),
        ("half a token", token[..token.len() / 2].to_owned()),
        ("a key with the secret of another", format!("{id}_{other_secret}")),
        ("a key without a secret", format!("{id}_")),
        ("half a key", good[..good.len() / 2].to_owned()),
        ("a key in other letters", format!("{id}_{}", secret.to_uppercase())),
        ("a key and more", format!("{good}0")),
        ("nothing", String::new()),
        ("a text that is long", "x".repeat(9_000)),
    ];
    for (what, forged) in rows {
        let told = answer(&mut ledger, Some(&forged)).await;
        assert_eq!(told, Err(expired.clone()), "{what}");
    }
    assert_eq!(expired.0, Code::Unauthenticated);
    let none = answer(&mut ledger, None).await.unwrap_err();
    assert_eq!(none.0, Code::Unauthenticated);
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_keys_gets_nowhere_and_disturbs_nobody() {
    let (scene, _signer, _folder) = guarded().await;
    let admin = scene.admin.clone().unwrap();
    let id = admin.rsplit_once('_').unwrap().0.to_owned();
    let mut guessing = Vec::new();
    for guesser in 0..4 {
        let (channel, id) = (scene.channel().await, id.clone());
        guessing.push(tokio::spawn(async move {
            let mut random = Random::new(guesser);
            let mut ledger = LedgerServiceClient::new(channel);
            for _ in 0..1_500 {
                let guess: String = (0..4).map(|_| format!("{:016x}", random.next())).collect();
                let told = answer(&mut ledger, Some(&format!("{id}_{guess}"))).await;
                assert_eq!(told.unwrap_err().0, Code::Unauthenticated);
            }
        }));
    }
    scene.is_calm().await;
    for guesser in guessing {
        tokio::time::timeout(SOON, guesser).await.expect("guesses are answered").unwrap();
    }
    assert!(scene.sample("tallystick_call_failures_total{code=\"unauthenticated\"}") >= 6_000);
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_s_own_key_opens_nothing_of_another_s() {
    let (scene, _signer, _folder) = guarded().await;
    let admin = scene.admin.clone().unwrap();
    let channel = scene.channel().await;
    let mut ledger = LedgerServiceClient::new(channel.clone());
    let north = issue(&channel, &admin, api::Role::Gateway, "north", None).await;
    let south = issue(&channel, &admin, api::Role::BackOffice, "south", None).await;
    ledger.accrue(with_key(Some(&north), accrual("mine", "anna", 900))).await.unwrap();
    let ask = |id: &str| api::GetTransactionRequest { transaction_id: id.to_owned() };
    assert!(ledger.get_transaction(with_key(Some(&north), ask("mine"))).await.is_ok());
    let mut told = Vec::new();
    for id in ["mine", "never-was"] {
        let status = ledger.get_transaction(with_key(Some(&south), ask(id))).await.unwrap_err();
        told.push((status.code(), reason(&status), status.message().to_owned()));
    }
    assert_eq!(told[0], told[1], "another's is as what never was");
    assert_eq!(told[0].0, Code::NotFound);
    // Nor can it be taken back by another.
    let reversal = crate::shop::reversal("taken-back", "mine");
    let decision = ledger.reverse(with_key(Some(&south), reversal)).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(crate::shop::refusal(&decision), api::RefusalCode::OriginalUnknown);
    scene.close().await;
}
