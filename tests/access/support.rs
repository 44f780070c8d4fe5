//! A server that asks for credentials, and callers with and without them.

use std::sync::Arc;

use prost::bytes::Bytes;
use tallystick::access::grant::{Grant, Role};
use tallystick::access::keys::{KeyId, KeyIssue};
use tallystick::bench::raw::RawCodec;
use tallystick::clock::{SharedClock, SystemClock};
use tallystick::config::{Authentication, Config};
use tallystick::ledger::types::TimestampNs;
use tallystick::server::{self, OpenedStore, Running};
use tallystick::service::{KeyDraft, issue_key};
use tallystick::store::Store;
use tallystick::store::memory::MemoryStore;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::shop;

/// A server in this process that asks for credentials.
pub struct House {
    pub running: Running,
    pub store: Arc<dyn Store>,
}

/// The configuration of most tests.
pub fn config() -> Config {
    Config { authentication: Authentication::Required, ..shop::config() }
}

pub fn grant(role: Role, partner: &str, stores: &[&str]) -> Grant {
    let stores = stores.iter().map(|store| Box::from(*store)).collect();
    Grant { role, partner: partner.into(), stores, terminals: Vec::new() }
}

/// What a role is granted when nothing else is said.
pub fn usual(role: Role) -> Grant {
    match role {
        Role::Till => grant(role, "north", &["store-1"]),
        Role::Gateway | Role::BackOffice => grant(role, "north", &[]),
        _ => Grant::of_role(role),
    }
}

impl House {
    pub async fn open() -> Self {
        Self::open_on(Arc::new(MemoryStore::new()), config()).await
    }

    pub async fn open_on(store: Arc<dyn Store>, config: Config) -> Self {
        Self::open_by(store, config, Arc::new(SystemClock::new())).await
    }

    /// With a clock of the test's.
    pub async fn open_by(store: Arc<dyn Store>, mut config: Config, clock: SharedClock) -> Self {
        let file = shop::program_file(&shop::plain_program(&[]));
        config.program.get_or_insert(file.clone());
        let listener = server::listen(&config).unwrap();
        let opened = OpenedStore::in_memory(store.clone());
        let running = server::start_by(&config, opened, listener, clock).await.unwrap();
        let _ = std::fs::remove_file(file);
        Self { running, store }
    }

    /// Stops the server and starts another on the same store.
    pub async fn reopen(self) -> Self {
        self.reopen_with(config()).await
    }

    pub async fn reopen_with(self, config: Config) -> Self {
        let Self { running, store } = self;
        running.shutdown().await.unwrap();
        Self::open_on(store, config).await
    }

    pub async fn channel(&self) -> Channel {
        shop::connect(&self.running).await
    }

    /// Stops the server and waits until its store is closed. A store that has threads of its own has to be closed before
    /// the process ends: what they use goes with it.
    pub async fn close(self) {
        let store = Arc::downgrade(&self.store);
        drop(self.store);
        self.running.shutdown().await.unwrap();
        assert_eq!(store.strong_count(), 0, "nobody uses the store any more");
    }

    /// Issues a key that does not expire.
    pub async fn key(&self, grant: Grant) -> String {
        self.key_until(grant, KeyIssue::NEVER).await.1
    }

    pub async fn key_until(&self, grant: Grant, expires_at: TimestampNs) -> (KeyId, String) {
        let engine = self.running.engine().clone();
        let draft = KeyDraft { name: "a test's".into(), grant, expires_at, certificate: None };
        let issued = tokio::task::spawn_blocking(move || issue_key(&engine, draft, "test"));
        let (id, key) = issued.await.unwrap().unwrap();
        (id, key.unwrap().expose().to_owned())
    }
}

/// Makes a call with these bytes as its one message; gives the first message of the answer, empty if there is none.
pub async fn call(channel: &Channel, path: &str, key: Option<&str>, message: Vec<u8>) -> Result<Bytes, Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let mut request = Request::new(tokio_stream::once(Bytes::from(message)));
    if let Some(key) = key {
        request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    }
    let path: PathAndQuery = path.parse().unwrap();
    let mut answers = grpc.streaming(request, path, RawCodec::default()).await?.into_inner();
    Ok(answers.message().await?.unwrap_or_default())
}

/// A request of a generated client with a key.
pub fn with_key<T>(key: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    request
}

/// Fails the test unless the call was refused with this status and reason.
#[track_caller]
pub fn assert_refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, reason: &str) {
    let status = answer.expect_err("it is refused");
    assert_eq!((status.code(), shop::reason(&status).as_str()), (code, reason), "{status:?}");
    assert!(status.get_error_details().error_info().unwrap().metadata.contains_key("number"));
}

#[track_caller]
pub fn assert_nobody<T: std::fmt::Debug>(answer: Result<T, Status>) {
    assert_refused(answer, Code::Unauthenticated, "CREDENTIAL_INVALID");
}

#[track_caller]
pub fn assert_forbidden<T: std::fmt::Debug>(answer: Result<T, Status>) {
    assert_refused(answer, Code::PermissionDenied, "NOT_PERMITTED");
}
