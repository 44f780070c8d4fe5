//! The gRPC edge: wire types to domain and back, authentication, deadlines, limits. No business rule lives here.
//!
//! Reading order: `auth` (who calls), `raw`, `view` and `parse` (accruals as they lie in a request), `fields`, `times`,
//! `names`, `convert` and `intake` (requests into the domain), `command` (the way of one command), `lane` (between the
//! calls of a thread and the workers), `express` and `lodge` (accruals that come in one piece), `reverse`, `holds`,
//! `order_fields`, `orders`, `operator_fields`, `operator`, `round`, `batch` and `stream` (more of the same), `answer`
//! and `encode` (decisions onto the wire), `sight`, `read`, `history` and `explain` (balances and transactions, and
//! why), `ledger`, `account`, `program`, `admin`, `access`, `settlement`, `fraud` with its `desk` and `approval` (the
//! services), `status` (how a call fails), `wire_codec` (what is no request), `deadline` (until when a caller waits),
//! `patience` (until when one is waited for), `turns` (of the large answers of a connection), `connections` (how many at
//! a time).
//!
//! What must stay true: wire types are named only in this room (and in the client side of the command line); a call
//! that is dropped at any point leaves no claim behind; nothing is answered that is not durable.

mod access;
mod account;
mod admin;
mod answer;
mod approval;
pub mod auth;
mod batch;
mod calls;
mod catalogue;
mod command;
pub mod connections;
mod convert;
pub mod deadline;
mod desk;
mod encode;
mod explain;
pub mod express;
mod fields;
mod fraud;
pub mod health;
mod history;
mod holds;
mod identifiers;
pub mod intake;
mod lane;
mod ledger;
pub mod lodge;
pub mod names;
mod naming;
mod operator;
mod operator_fields;
mod order_fields;
mod orders;
mod pages;
mod parse;
pub mod patience;
mod program;
pub mod raw;
mod read;
mod related;
mod reverse;
mod round;
mod settlement;
mod sight;
mod status;
mod stream;
mod times;
pub mod turns;
mod view;
pub mod wire;
mod wire_codec;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tonic::service::RoutesBuilder;

use crate::access::gate::Gate;
use crate::access::proposals::SecondPerson;
use crate::journal::JournalError;
use crate::ledger::decision::Refusal;
use crate::ledger::types::{ShardId, TimestampNs};
use crate::limits;
use crate::recovery::speed::ReplaySpeed;
use crate::shard::engine::{Engine, let_other_threads_on};
use crate::shard::job::Job;
use crate::store::StoreError;
pub use access::{KeyDraft, draw_key, issue_key, leaves_no_administrator, revoke_key, rotate_key, take_key};
pub use parse::reads_alike;
pub use read::account_row;
pub use settlement::wire_report;

use calls::{Call, Calls};
use lane::Lane;
use status::Failure;
use wire::server::access_service_server::{self, AccessServiceServer};
use wire::server::account_service_server::{self, AccountServiceServer};
use wire::server::admin_service_server::{self, AdminServiceServer};
use wire::server::approval_service_server::{self, ApprovalServiceServer};
use wire::server::fraud_service_server::{self, FraudServiceServer};
use wire::server::ledger_service_server::{self, LedgerServiceServer};
use wire::server::operator_service_server::{self, OperatorServiceServer};
use wire::server::program_service_server::{self, ProgramServiceServer};
use wire::server::settlement_service_server::{self, SettlementServiceServer};

/// How the server stands, as far as calls are concerned. Only ever goes on to a later state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Life {
    /// Calls are served.
    Serving,
    /// Calls under way are finished; new ones are refused.
    Stopping,
    /// The ledger has failed: nothing is answered any more.
    Failed,
}

/// What a status report says that the engine does not know.
pub struct About {
    /// Path of the data directory; empty for a store in memory.
    pub data_path: String,
    /// When the process became ready.
    pub started_at: TimestampNs,
    /// Bytes of the journal, about; said until they have been counted.
    pub journal_bytes: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Makes a copy of the store, with these bytes as its mark; `None` where nothing is kept.
    pub copy_store: Option<Box<CopyStore>>,
    /// The directory that backups are made in; `None` lets callers of this machine name any.
    pub backup_root: Option<std::path::PathBuf>,
    /// Jobs that may wait for one worker.
    pub queue_depth: usize,
    /// How the last start went.
    pub recovery: LastRecovery,
    /// Which acts wait for a second person.
    pub second_person: SecondPerson,
}

/// Copies the store into a new directory, with these bytes as its mark.
pub type CopyStore = dyn Fn(&std::path::Path, Option<&[u8]>) -> Result<(), StoreError> + Send + Sync;

/// How the last start went.
#[derive(Clone, Copy, Debug)]
pub struct LastRecovery {
    /// How long opening and recovery took.
    pub took_ms: i64,
    /// Records replayed.
    pub replayed_count: u64,
    /// How long a further one would take.
    pub speed: ReplaySpeed,
}

/// What the calls of one runtime thread share; but for the lane they share it with those of all others.
pub struct Edge {
    engine: Arc<Engine>,
    about: Arc<About>,
    life: watch::Receiver<Life>,
    calls: Arc<Calls>,
    exports: Arc<Semaphore>,
    backups: Arc<Semaphore>,
    /// Reads of the store for the calls of this thread.
    reads: Arc<Semaphore>,
    claims: Arc<desk::Claims>,
    lane: Arc<Lane>,
    gate: Arc<Gate>,
    words: Arc<explain::Wordbook>,
}

/// What a caller does when there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// Refuses at once.
    None,
    /// Waits until this instant of the monotonic clock, in nanoseconds.
    Until(i64),
    /// Waits for as long as the ledger runs.
    Unlimited,
}

/// Between two pieces of what takes long: other threads come first where no core is free, and other calls of this thread
/// have their turn.
async fn let_others_on() {
    let_other_threads_on();
    tokio::task::yield_now().await;
}

/// After so long without a call that was turned away, nobody is taken to be about to call.
const QUIET: Duration = Duration::from_millis(50);
/// Rest between two looks at something that cannot tell when it has changed.
const REST: Duration = Duration::from_millis(1);

impl Edge {
    /// The edge of a running ledger.
    #[must_use]
    pub fn new(engine: Arc<Engine>, about: About, life: watch::Receiver<Life>, gate: Arc<Gate>) -> Self {
        let exports = Arc::new(Semaphore::new(limits::EXPORTS_MAX));
        let backups = Arc::new(Semaphore::new(1));
        let reads = Arc::new(Semaphore::new(limits::READS_MAX));
        let (claims, lane) = (Arc::default(), Lane::new(engine.clone()));
        let (about, words) = (Arc::new(about), Arc::default());
        Self { engine, about, life, calls: Arc::default(), exports, backups, reads, claims, lane, gate, words }
    }

    /// Accruals of this thread that wait for their answers.
    #[must_use]
    pub fn accruals_waiting(&self) -> usize {
        self.lane.waiting()
    }

    /// The edge for a further thread.
    #[must_use]
    pub fn with_lane_of_its_own(&self) -> Self {
        Self {
            engine: self.engine.clone(),
            about: self.about.clone(),
            life: self.life.clone(),
            calls: self.calls.clone(),
            exports: self.exports.clone(),
            backups: self.backups.clone(),
            reads: Arc::new(Semaphore::new(limits::READS_MAX)),
            claims: self.claims.clone(),
            lane: Lane::new(self.engine.clone()),
            gate: self.gate.clone(),
            words: self.words.clone(),
        }
    }

    /// Carries commands and answers between the calls of this edge and the workers, until it is dropped.
    pub fn carry(&self) -> impl Future<Output = ()> + Send + use<> {
        self.lane.clone().run()
    }

    /// Calls under way.
    #[must_use]
    pub fn calls_under_way(&self) -> usize {
        self.calls.count.load(Ordering::Relaxed)
    }

    /// Bytes of the journal's frames; the store's estimate until they have been counted.
    #[must_use]
    pub fn journal_bytes(&self) -> u64 {
        self.engine.journal_size.extent().map_or_else(|| (self.about.journal_bytes)(), |extent| extent.bytes)
    }

    /// How long a recovery would take now, in milliseconds.
    #[must_use]
    pub fn expected_recovery_ms(&self) -> i64 {
        self.about.recovery.speed.expected_ms(self.engine.records_to_replay())
    }

    /// Returns when no call is under way. New ones must be kept away before, or this may never be true.
    pub async fn drained(&self) {
        loop {
            let none_left = self.calls.none_left.notified();
            if self.calls.count.load(Ordering::SeqCst) == 0 {
                return;
            }
            none_left.await;
        }
    }

    /// Returns when nobody has been turned away for a moment: whoever calls all the time has been told by then.
    pub async fn quiet(&self) {
        loop {
            let before = self.calls.turned_away.load(Ordering::Relaxed);
            tokio::time::sleep(QUIET).await;
            if self.calls.turned_away.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }

    /// Counts a call, unless the server is stopping.
    fn enter(&self) -> Result<Call, Failure> {
        let call = self.calls.begin();
        // Counted first: whoever stops the server either is seen here or sees the call.
        if self.is_serving() {
            return Ok(call);
        }
        self.calls.turned_away.fetch_add(1, Ordering::Relaxed);
        Err(Failure::ShuttingDown)
    }

    fn is_serving(&self) -> bool {
        *self.life.borrow() == Life::Serving
    }

    /// Returns when the server is stopping or has failed.
    async fn ended(&self, from: Life) {
        let mut life = self.life.clone();
        // Without a sender the server is gone altogether.
        let _ = life.wait_for(|now| *now >= from).await;
    }

    /// Hands a job to the worker of a shard, as patiently as asked. When this fails the job is dropped.
    async fn submit(&self, shard: ShardId, job: Job, patience: Patience) -> Result<(), Failure> {
        let mut job = job;
        loop {
            job = match self.engine.submit(shard, job) {
                Ok(()) => return Ok(()),
                Err((_, Refusal::ShuttingDown)) => return Err(Failure::ShuttingDown),
                Err((job, _)) => job,
            };
            self.rest(patience).await?;
        }
    }

    /// A pause before the next try, or the refusal of one whose patience is at an end.
    async fn rest(&self, patience: Patience) -> Result<(), Failure> {
        let may_wait = match patience {
            Patience::None => false,
            Patience::Until(deadline_ns) => self.engine.clock.monotonic_ns() < deadline_ns,
            Patience::Unlimited => true,
        };
        if !may_wait {
            return Err(Failure::Overloaded);
        }
        if *self.life.borrow() == Life::Failed {
            return Err(Failure::ShuttingDown);
        }
        tokio::time::sleep(REST).await;
        Ok(())
    }

    /// Runs what may wait for the disk on a thread that may; refused where too much waits for such a thread already. What
    /// nobody waits for any more is not begun.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Engine) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, Failure> {
        let place = self.reads.clone().try_acquire_owned().map_err(|_| Failure::Overloaded)?;
        let work = move |engine: &Engine| {
            let done = work(engine);
            drop(place);
            done
        };
        self.aside(work).await
    }

    /// As [`Self::blocking`], and never refused: for what is asked of a server that is overloaded.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Engine) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, Failure> {
        let engine = self.engine.clone();
        let mut aside = Aside(tokio::task::spawn_blocking(move || work(&engine)));
        match (&mut aside.0).await {
            Ok(result) => Ok(result?),
            Err(error) => Err(Failure::internal(error)),
        }
    }
}

/// Work on a thread that may wait for the disk. Given up before it has begun, it is not done.
struct Aside<T>(JoinHandle<T>);

impl<T> Drop for Aside<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The services' side of the edge: what the generated code calls.
#[derive(Clone)]
struct Service {
    edge: Arc<Edge>,
}

/// Names of the services, as health checks ask for them.
pub const SERVICE_NAMES: [&str; 9] = [
    ledger_service_server::SERVICE_NAME,
    account_service_server::SERVICE_NAME,
    program_service_server::SERVICE_NAME,
    admin_service_server::SERVICE_NAME,
    operator_service_server::SERVICE_NAME,
    access_service_server::SERVICE_NAME,
    fraud_service_server::SERVICE_NAME,
    approval_service_server::SERVICE_NAME,
    settlement_service_server::SERVICE_NAME,
];

/// Adds the services of the package. Whoever serves them puts them behind [`auth::AccessLayer`].
pub fn add_services(routes: &mut RoutesBuilder, edge: &Arc<Edge>) {
    let service = Service { edge: edge.clone() };
    // Answers are not limited: what was asked bounds them, and an answer that was earned must be deliverable.
    let bytes_max = limits::MESSAGE_BYTES_MAX;
    let ledger = LedgerServiceServer::new(service.clone()).max_decoding_message_size(bytes_max);
    let account = AccountServiceServer::new(service.clone()).max_decoding_message_size(bytes_max);
    let program = ProgramServiceServer::new(service.clone()).max_decoding_message_size(bytes_max);
    let operator = OperatorServiceServer::new(service.clone()).max_decoding_message_size(bytes_max);
    let admin = AdminServiceServer::new(service.clone()).max_decoding_message_size(bytes_max);
    let fraud = FraudServiceServer::new(service.clone()).max_decoding_message_size(bytes_max);
    let approval = ApprovalServiceServer::new(service.clone()).max_decoding_message_size(bytes_max);
    let access = AccessServiceServer::new(service.clone()).max_decoding_message_size(bytes_max);
    let settlement = SettlementServiceServer::new(service).max_decoding_message_size(bytes_max);
    routes
        .add_service(ledger)
        .add_service(account)
        .add_service(program)
        .add_service(operator)
        .add_service(admin)
        .add_service(access)
        .add_service(fraud)
        .add_service(approval)
        .add_service(settlement);
}
