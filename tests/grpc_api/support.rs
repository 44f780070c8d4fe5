//! A server to talk to, and short ways to say what a till says.

#[path = "../support/watched.rs"]
pub mod watched;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use prost_types::Timestamp;
use tallystick::clock::{Clock, SharedClock, SystemClock};
use tallystick::config::Config;
use tallystick::ledger::types::TimestampNs;
use tallystick::server::{self, OpenedStore, Running};
use tallystick::service::wire::account_service_client::AccountServiceClient;
use tallystick::service::wire::admin_service_client::AdminServiceClient;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tallystick::service::wire::program_service_client::ProgramServiceClient;
use tallystick::service::wire::{self, RefusalCode};
use tallystick::store::Store;
use tallystick::store::memory::MemoryStore;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// One unit for every 100 cents, twice that for pastry, in two caps, a metric and a budget.
pub const PROGRAM: &str = r#"
[program]
name = "corner"
currency = "EUR"
time_zone = "UTC"
accounts = "implicit"
late_limit_days = 30

[[wallets]]
name = "points"
balance_max = 100_000

[earn]
wallet = "points"
units = 1
per_minor = 100
rounding = "floor"
rounded_per = "basket"
exclude = { category = ["deposit"] }
stacking = "best-of"

[[rules]]
name = "pastry-double"
match = { category = ["pastry"] }
multiplier = "2"

[[caps]]
name = "daily-visits"
measure = "earning-baskets"
window = "day"
limit = 5

[[caps]]
name = "daily-points"
measure = "units"
window = "day"
limit = 60

[[metrics]]
name = "yearly-spend"
measure = "eligible-amount"
window = "year"

[[budgets]]
name = "launch"
units = 1_000
"#;

/// A server in this process, and clients of it.
pub struct Shop {
    pub running: Running,
    pub ledger: LedgerServiceClient<Channel>,
    pub account: AccountServiceClient<Channel>,
    pub program: ProgramServiceClient<Channel>,
    pub admin: AdminServiceClient<Channel>,
    pub store: Arc<dyn Store>,
}

/// The configuration of most tests.
pub fn config() -> Config {
    Config { listen: "127.0.0.1:0".to_owned(), workers: 2, shard_count: Some(8), ..Config::default() }
}

/// A programme that keeps nothing back, with other words in place of some of its own.
pub fn plain_program(replace: &[(&str, &str)]) -> String {
    let end = PROGRAM.find("[[caps]]").unwrap();
    replace.iter().fold(PROGRAM[..end].to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in the programme");
        text.replace(from, to)
    })
}

/// The configuration of tests that make many accruals.
pub fn without_caps() -> Config {
    Config { program: Some(program_file(&plain_program(&[]))), ..config() }
}

/// A file with [`PROGRAM`] or another text, for as long as the test process lives.
pub fn program_file(source: &str) -> std::path::PathBuf {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("tallystick-{}-{number}.toml", std::process::id()));
    std::fs::write(&path, source).unwrap();
    path
}

impl Shop {
    pub async fn open() -> Self {
        Self::open_with(config()).await
    }

    /// With another programme.
    pub async fn open_under(program: &str) -> Self {
        Self::open_with(Config { program: Some(program_file(program)), ..config() }).await
    }

    pub async fn open_with(config: Config) -> Self {
        Self::open_on(Arc::new(MemoryStore::new()), config).await
    }

    pub async fn open_on(store: Arc<dyn Store>, config: Config) -> Self {
        Self::open_by(store, config, Arc::new(SystemClock::new())).await
    }

    /// With a clock of the test's.
    pub async fn open_by(store: Arc<dyn Store>, mut config: Config, clock: SharedClock) -> Self {
        let file = program_file(PROGRAM);
        config.program.get_or_insert(file.clone());
        let listener = server::listen(&config).unwrap();
        let opened = OpenedStore::in_memory(store.clone());
        let running = server::start_by(&config, opened, listener, clock).await.unwrap();
        let _ = std::fs::remove_file(file);
        let channel = connect(&running).await;
        Self {
            running,
            ledger: LedgerServiceClient::new(channel.clone()),
            account: AccountServiceClient::new(channel.clone()),
            program: ProgramServiceClient::new(channel.clone()),
            admin: AdminServiceClient::new(channel),
            store,
        }
    }

    /// Stops the server and starts another on the same store.
    pub async fn reopen(self, config: Config) -> Self {
        let store = self.store;
        drop((self.ledger, self.account, self.program, self.admin));
        self.running.shutdown().await.unwrap();
        Self::open_on(store, config).await
    }

    pub async fn accrue(&mut self, request: wire::AccrueRequest) -> wire::Decision {
        let response = self.ledger.accrue(request).await.unwrap();
        response.into_inner().decision.unwrap()
    }

    pub async fn reverse(&mut self, own: &str, original: &str) -> wire::Decision {
        let response = self.ledger.reverse(reversal(own, original)).await.unwrap();
        response.into_inner().decision.unwrap()
    }

    pub async fn balance(&mut self, account_id: &str) -> i64 {
        let request = wire::GetBalanceRequest { account_id: account_id.to_owned(), ..<_>::default() };
        match self.ledger.get_balance(request).await {
            Ok(response) => response.into_inner().wallets[0].balance_points,
            Err(status) => {
                assert_eq!(status.code(), Code::NotFound);
                0
            }
        }
    }
}

pub async fn connect(running: &Running) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{}", running.address())).unwrap();
    endpoint.connect().await.unwrap()
}

/// Seconds since the Unix epoch, now.
#[expect(clippy::disallowed_methods, reason = "a test is a caller, and callers have clocks")]
pub fn now_seconds() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

pub fn time(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

pub fn line(category: &str, amount_minor: i64) -> wire::Line {
    wire::Line {
        sku: format!("{category}-1"),
        category: category.to_owned(),
        quantity: 1,
        amount_minor,
        ..wire::Line::default()
    }
}

/// A basket of one plain line, with a receipt of its own, bought a minute before the tests began.
pub fn basket(receipt: &str, amount_minor: i64) -> wire::Basket {
    static BOUGHT_AT: OnceLock<i64> = OnceLock::new();
    wire::Basket {
        store_id: "store-1".to_owned(),
        terminal_id: "till-1".to_owned(),
        receipt_number: receipt.to_owned(),
        receipt_time: time(*BOUGHT_AT.get_or_init(|| now_seconds() - 60)),
        currency_code: "EUR".to_owned(),
        lines: vec![line("coffee", amount_minor)],
        ..wire::Basket::default()
    }
}

/// An accrual whose receipt is numbered like the transaction.
pub fn accrual(transaction_id: &str, account_id: &str, amount_minor: i64) -> wire::AccrueRequest {
    wire::AccrueRequest {
        account_identifier: None,
        transaction_id: transaction_id.to_owned(),
        account_id: account_id.to_owned(),
        basket: Some(basket(transaction_id, amount_minor)),
        posting_time: None,
    }
}

pub fn reversal(own: &str, original: &str) -> wire::ReverseRequest {
    wire::ReverseRequest {
        transaction_id: own.to_owned(),
        original_transaction_id: original.to_owned(),
        posting_time: None,
        ..<_>::default()
    }
}

/// The ground of a refusal; fails the test if there is none.
#[track_caller]
pub fn refusal(decision: &wire::Decision) -> RefusalCode {
    decision.refusal.as_ref().unwrap_or_else(|| panic!("{decision:?} is no refusal")).code()
}

/// The fields that a failed call names.
pub fn wrong_fields(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let request = details.bad_request().unwrap_or_else(|| panic!("{status:?} names no fields"));
    request.field_violations.iter().map(|violation| violation.field.clone()).collect()
}

/// The machine's clock, which a test puts forward.
pub struct Hands {
    machine: SystemClock,
    ahead_ns: AtomicI64,
}

impl Hands {
    /// At noon of the first day of March 2030.
    pub fn new() -> Arc<Self> {
        let hands = Self { machine: SystemClock::new(), ahead_ns: AtomicI64::new(0) };
        hands.set(1_898_596_800 * 1_000_000_000);
        Arc::new(hands)
    }

    /// Puts the clock to an instant, in nanoseconds since 1970; it goes on from there.
    pub fn set(&self, at_ns: i64) {
        self.ahead_ns.store(at_ns - self.machine.now().0, Ordering::SeqCst);
    }
}

impl Clock for Hands {
    fn now(&self) -> TimestampNs {
        TimestampNs(self.machine.now().0 + self.ahead_ns.load(Ordering::SeqCst))
    }

    fn monotonic_ns(&self) -> i64 {
        self.machine.monotonic_ns()
    }
}

/// The reason of a failed call.
pub fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("{status:?} has no ErrorInfo"));
    assert_eq!(info.domain, "tallystick");
    info.reason.clone()
}
