//! Where an attack happens: the shipped server on a directory of its own, and a till that goes on calling on a connection
//! of its own, whatever the others do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tallystick::metrics::CUT_OFFS;
use tallystick::service::wire as api;
use tallystick::service::wire::access_service_client::AccessServiceClient;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tokio::task::JoinHandle;
use tonic::Request;
use tonic::transport::Channel;

use crate::blackbox::{Server, Site, clock, verify_directory, wait_for};
use crate::scraped::{Scraped, metrics_address};
use crate::shop::{accrual, plain_program};
use crate::wire::{SOON, Wire};

/// What the server's memory may grow by during an attack and afterwards. Its own caches and buffers need some of it.
const GROWTH_BYTES_MAX: u64 = 384 << 20;
/// No call of the till takes so long, on any machine, unless the server hangs.
const CALL_WITHIN: Duration = Duration::from_secs(20);
/// The account of the till.
pub const ACCOUNT: &str = "the-till-s-own";

/// A server and its well-behaved caller.
pub struct Scene {
    site: Site,
    server: Server,
    metrics: SocketAddr,
    resident_before: u64,
    till: Till,
    /// The first administrator's key, where credentials are asked for.
    pub admin: Option<String>,
}

/// A caller that does as it should.
struct Till {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    calling: JoinHandle<i64>,
}

impl Till {
    fn start(mut ledger: LedgerServiceClient<Channel>, key: Option<String>) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (until, count) = (stop.clone(), answered.clone());
        let calling = tokio::spawn(async move {
            let mut granted = 0;
            for number in 0.. {
                if until.load(Ordering::Relaxed) {
                    break;
                }
                let request = with_key(key.as_deref(), accrual(&format!("till-{number}"), ACCOUNT, 700));
                let answer = tokio::time::timeout(CALL_WITHIN, ledger.accrue(request)).await;
                let answer = answer.expect("a call of the till is answered in time");
                let decision = answer.expect("a call of the till is answered well").into_inner().decision.unwrap();
                assert_eq!((decision.granted_points, decision.replayed), (7, false), "{decision:?}");
                granted += decision.granted_points;
                count.fetch_add(1, Ordering::Relaxed);
                // A customer at a time.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            granted
        });
        Self { stop, answered, calling }
    }

    /// Waits until so many further calls have been answered: it goes on while others misbehave.
    async fn goes_on(&self, calls: u64) {
        let until = self.answered.load(Ordering::Relaxed) + calls;
        wait_for("further calls of the till", SOON, async || {
            assert!(!self.calling.is_finished(), "the till has come to grief");
            (self.answered.load(Ordering::Relaxed) >= until).then_some(())
        })
        .await;
    }
}

/// A request with a key, if there is one.
pub fn with_key<T>(key: Option<&str>, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(key) = key {
        request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    }
    request
}

impl Scene {
    /// A server that asks for no credentials.
    pub async fn open(settings: &[(&str, &str)]) -> Self {
        Self::start(settings, false).await
    }

    /// A server that asks for credentials.
    pub async fn open_guarded(settings: &[(&str, &str)]) -> Self {
        Self::start(settings, true).await
    }

    async fn start(settings: &[(&str, &str)], is_guarded: bool) -> Self {
        let mut site =
            Site::new().with_program(&plain_program(&[("balance_max = 100_000", "balance_max = 1_000_000")]));
        site = site.with("metrics_listen", "127.0.0.1:0");
        let key_file = site.root().join("first-key");
        if is_guarded {
            site = site.with("authentication", "required").with("first_key_file", key_file.to_str().unwrap());
        }
        for (name, value) in settings {
            site = site.with(name, value);
        }
        let server = site.start().await;
        let metrics = metrics_address(&site);
        let admin = is_guarded.then(|| std::fs::read_to_string(&key_file).unwrap().trim().to_owned());
        let channel = connect(server.address()).await;
        let key = match &admin {
            Some(admin) => Some(issue(&channel, admin, api::Role::Gateway, "north", None).await),
            None => None,
        };
        let till = Till::start(LedgerServiceClient::new(channel), key);
        till.goes_on(20).await;
        let resident_before = server.resident_bytes();
        Self { site, server, metrics, resident_before, till, admin }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// A connection of HTTP/2 that has begun.
    pub async fn wire(&self) -> Wire {
        Wire::open(self.address()).await
    }

    /// A client of its own.
    pub async fn channel(&self) -> Channel {
        connect(self.address()).await
    }

    /// How many connections the server has ended for this reason.
    pub fn cut_off(&self, reason: &str) -> u64 {
        self.sample(&format!("tallystick_connections_cut_off_total{{reason=\"{reason}\"}}"))
    }

    /// The value of a sample.
    pub fn sample(&self, sample: &str) -> u64 {
        Scraped::of(self.metrics).value(sample) as u64
    }

    /// Waits until a sample has reached a value.
    pub async fn reaches(&self, sample: &str, value: u64) {
        let reached = wait_until(SOON, async || self.sample(sample) >= value).await;
        let cut_off: Vec<u64> = CUT_OFFS.iter().map(|reason| self.cut_off(reason)).collect();
        assert!(reached, "{sample} does not reach {value}; cut off: {CUT_OFFS:?} {cut_off:?}");
    }

    /// Waits until a sample is back at a value.
    pub async fn falls(&self, sample: &str, value: u64) {
        wait_for(sample, SOON, async || (self.sample(sample) <= value).then_some(())).await;
    }

    /// The till goes on, and memory is within bounds.
    pub async fn is_calm(&self) {
        self.till.goes_on(20).await;
        let grown = self.server.resident_bytes().saturating_sub(self.resident_before);
        assert!(grown <= GROWTH_BYTES_MAX, "the server has grown by {} MiB", grown >> 20);
    }

    /// Ends the scene: the till goes on and then has what it was told, the server stops in order, and its journal is
    /// whole.
    pub async fn close(self) {
        self.is_calm().await;
        self.till.stop.store(true, Ordering::Relaxed);
        let granted = self.till.calling.await.expect("the till was answered to the end");
        assert!(granted > 0);
        if self.admin.is_none() {
            let mut ledger = LedgerServiceClient::new(connect(self.server.address()).await);
            let request = api::GetBalanceRequest { account_id: ACCOUNT.to_owned(), ..<_>::default() };
            let balance = ledger.get_balance(request).await.unwrap().into_inner();
            assert_eq!(balance.wallets[0].balance_points, granted, "everything that was told, and nothing else");
        }
        let end = self.server.terminate().await;
        assert_eq!(end.code, Some(0), "{}", end.errors);
        assert!(!end.errors.contains("panicked"), "{}", end.errors);
        verify_directory(self.site.data());
    }
}

async fn wait_until(within: Duration, mut is_so: impl AsyncFnMut() -> bool) -> bool {
    let asking = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(within, asking).await.is_ok()
}

/// Connects.
pub async fn connect(address: SocketAddr) -> Channel {
    Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// Issues a key; with an expiry it is good for so many seconds.
pub async fn issue(
    channel: &Channel,
    admin: &str,
    role: api::Role,
    partner: &str,
    expires_in_seconds: Option<i64>,
) -> String {
    let mut access = AccessServiceClient::new(channel.clone());
    let stores = if role == api::Role::Till { vec!["store-1".to_owned()] } else { Vec::new() };
    let grant = api::Grant { role: role.into(), partner: partner.to_owned(), store_ids: stores, ..<_>::default() };
    let expires_at = expires_in_seconds
        .map(|seconds| prost_types::Timestamp { seconds: clock().now().0 / 1_000_000_000 + seconds, nanos: 0 });
    let request = api::CreateKeyRequest {
        name: "an attack".to_owned(),
        grant: Some(grant),
        expire_time: expires_at,
        ..<_>::default()
    };
    access.create_key(with_key(Some(admin), request)).await.unwrap().into_inner().api_key
}
