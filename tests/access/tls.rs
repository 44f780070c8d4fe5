//! TLS and client certificates, and certificates that change while connections are open.

use std::sync::Arc;
use std::time::Duration;

use tallystick::access::grant::Role;
use tallystick::access::keys::KeyIssue;
use tallystick::server;
use tallystick::service::{KeyDraft, issue_key, revoke_key};
use tallystick::store::memory::MemoryStore;
use tokio::io::AsyncReadExt;
use tonic::Code;

use crate::certificates::{Root, connect};
use crate::support::{House, assert_nobody, call, config, usual};

const BALANCE: &str = "/tallystick.v1.LedgerService/GetBalance";

async fn open(config: tallystick::config::Config) -> House {
    House::open_on(Arc::new(MemoryStore::new()), config).await
}

async fn assert_somebody(channel: &tonic::transport::Channel, key: Option<&str>) {
    let status = call(channel, BALANCE, key, Vec::new()).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_come_over_tls_and_not_in_the_clear() {
    let (root, stranger) = (Root::new(), Root::new());
    let house = open(root.serve(config())).await;
    let address = house.running.address();
    let key = house.key(usual(Role::Gateway)).await;
    let channel = connect(address, root.trusting(None)).await.unwrap();
    assert_somebody(&channel, Some(&key)).await;
    assert_nobody(call(&channel, BALANCE, None, Vec::new()).await);
    assert!(connect(address, stranger.trusting(None)).await.is_err(), "a root that signed nothing here");
    let plain = tonic::transport::Channel::from_shared(format!("http://{address}")).unwrap();
    let answer = match plain.connect().await {
        Ok(channel) => call_may_fail(&channel, &key).await,
        Err(_) => Err(()),
    };
    assert!(answer.is_err(), "nothing is answered in the clear");
}

async fn call_may_fail(channel: &tonic::transport::Channel, key: &str) -> Result<(), ()> {
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    let request = crate::support::with_key(key, tonic_health::pb::HealthCheckRequest::default());
    health.check(request).await.map(drop).map_err(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_change_while_connections_stay_open() {
    let root = Root::new();
    let house = open(root.serve(config())).await;
    let address = house.running.address();
    let key = house.key(usual(Role::Gateway)).await;
    let before = connect(address, root.trusting(None)).await.unwrap();
    assert_somebody(&before, Some(&key)).await;

    // From another root: whoever trusts the old one alone comes no more, but stays if it is there.
    let next = Root::new();
    let signed = next.sign(&["localhost"]);
    root.write("server.pem", &signed.certificate);
    root.write("server.key", &signed.key);
    house.running.reload().await;
    assert!(connect(address, root.trusting(None)).await.is_err());
    let after = connect(address, next.trusting(None)).await.unwrap();
    assert_somebody(&after, Some(&key)).await;
    assert_somebody(&before, Some(&key)).await;

    // A file that cannot be used changes nothing.
    root.write("server.pem", "not a certificate");
    house.running.reload().await;
    assert_somebody(&connect(address, next.trusting(None)).await.unwrap(), Some(&key)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_stands_for_a_key() {
    let (root, clients) = (Root::new(), Root::new());
    let house = open(root.serve_asking(config(), &clients, true)).await;
    let address = house.running.address();
    let known = clients.sign(&["till-7.example", "spiffe://example/till/7"]);
    let engine = house.running.engine().clone();
    let draft = KeyDraft {
        name: "till 7".into(),
        grant: usual(Role::Gateway),
        expires_at: KeyIssue::NEVER,
        certificate: Some("spiffe://example/till/7".into()),
    };
    let issued = tokio::task::spawn_blocking(move || issue_key(&engine, draft, "test")).await.unwrap().unwrap();
    assert!(issued.1.is_none(), "there is no secret");

    let channel = connect(address, root.trusting(Some(&known))).await.unwrap();
    assert_somebody(&channel, None).await;
    // A header goes before the certificate.
    assert_nobody(call(&channel, BALANCE, Some("tsk_0000000000000000_00"), Vec::new()).await);
    // A certificate that nobody knows of is nobody's, and one of another root does not come in.
    let unknown = connect(address, root.trusting(Some(&clients.sign(&["other.example"])))).await.unwrap();
    assert_nobody(call(&unknown, BALANCE, None, Vec::new()).await);
    for shown in [None, Some(root.sign(&["till-7.example"]))] {
        let come = connect(address, root.trusting(shown.as_ref())).await;
        if let Ok(channel) = come {
            assert!(call_may_fail(&channel, "none").await.is_err(), "a client without a certificate is turned away");
        }
    }
    let engine = house.running.engine().clone();
    tokio::task::spawn_blocking(move || revoke_key(&engine, issued.0, "test")).await.unwrap().unwrap();
    assert_nobody(call(&channel, BALANCE, None, Vec::new()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_certificates_are_optional_a_key_is_enough() {
    let (root, clients) = (Root::new(), Root::new());
    let house = open(root.serve_asking(config(), &clients, false)).await;
    let key = house.key(usual(Role::Gateway)).await;
    let channel = connect(house.running.address(), root.trusting(None)).await.unwrap();
    assert_somebody(&channel, Some(&key)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_shakes_hands_is_let_go() {
    let root = Root::new();
    let house = open(root.serve(config())).await;
    let mut silent = tokio::net::TcpStream::connect(house.running.address()).await.unwrap();
    let mut byte = [0];
    let limit = Duration::from_millis(4 * tallystick::limits::TLS_HANDSHAKE_MS_MAX);
    let read = tokio::time::timeout(limit, silent.read(&mut byte)).await.expect("the server closes the connection");
    assert!(matches!(read, Ok(0) | Err(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_used_are_said_before_anything_is_served() {
    let root = Root::new();
    let good = root.serve(config());
    let wrong = [
        tallystick::config::Config { tls_key: None, ..good.clone() },
        tallystick::config::Config { tls_certificate: Some(root.folder().join("none.pem")), ..good.clone() },
        tallystick::config::Config { tls_key: Some(root.path("server.pem")), ..good.clone() },
        tallystick::config::Config { token_keys: Some(root.folder().join("none.json")), ..good },
    ];
    for config in wrong {
        let listener = server::listen(&config).unwrap();
        let opened = server::OpenedStore::in_memory(Arc::new(MemoryStore::new()));
        let Err(error) = server::start_on(&config, opened, listener).await else { panic!("{config:?} is served") };
        assert!(matches!(error, server::ServeError::Access(_)), "{error}");
    }
}
