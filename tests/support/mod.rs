//! What the tests of the whole ledger share: a clock that stands still, an engine on a simulated disk, and the edge's
//! side of a command (claims, names, repeated answers) in a few lines.
//!
//! What must stay true: nothing here depends on time or chance; a ledger that a test stops is verified from empty.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod counted;
pub mod edge;
pub mod forge;
pub mod holds;
pub mod money;
pub mod programs;
pub mod reversals;
pub mod rewards;
pub mod rig;
pub mod watched;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use tallystick::audit::verify::{VerifyOptions, VerifyReport, verify};
use tallystick::clock::{Clock, SharedClock};
use tallystick::ids::IdOptions;
use tallystick::journal::JournalError;
use tallystick::journal::dictionary::Dictionary;
use tallystick::ledger::digest::Digest;
use tallystick::ledger::types::{SymbolId, TimestampNs};
use tallystick::recovery::identity::Identity;
use tallystick::recovery::{Recovered, RecoveryError, recover};
use tallystick::shard::engine::{Engine, EngineOptions, Stopped};
use tallystick::shard::housekeeper::HousekeeperOptions;
use tallystick::shard::publishing::Draft;
use tallystick::store::Store;
use tallystick::store::memory::MemoryStore;

pub const NS_PER_SECOND: i64 = 1_000_000_000;
pub const NS_PER_DAY: i64 = 86_400 * NS_PER_SECOND;
/// 2017-03-01T12:00:00Z, a Wednesday: when every test begins.
pub const NOON: TimestampNs = TimestampNs(1_488_369_600 * NS_PER_SECOND);

/// A clock that moves only when it is told to.
#[derive(Debug)]
pub struct ManualClock {
    now_ns: AtomicI64,
    monotonic_ns: AtomicI64,
}

impl ManualClock {
    pub fn new(now: TimestampNs) -> Arc<Self> {
        Arc::new(Self { now_ns: AtomicI64::new(now.0), monotonic_ns: AtomicI64::new(0) })
    }

    pub fn set(&self, now: TimestampNs) {
        self.now_ns.store(now.0, Ordering::SeqCst);
    }

    /// Moves both sides of the clock.
    pub fn advance(&self, by_ns: i64) {
        self.now_ns.fetch_add(by_ns, Ordering::SeqCst);
        self.monotonic_ns.fetch_add(by_ns, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> TimestampNs {
        TimestampNs(self.now_ns.load(Ordering::SeqCst))
    }

    fn monotonic_ns(&self) -> i64 {
        self.monotonic_ns.load(Ordering::SeqCst)
    }
}

/// How a test's ledger is made.
#[derive(Clone, Debug)]
pub struct Setup {
    pub worker_count: usize,
    pub queue_depth: usize,
    pub shard_count: u16,
    pub clock_is_input: bool,
    /// Bounds on the names and items of the dictionary, where a test wants small ones.
    pub names_max: Option<(u32, u32)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { worker_count: 2, queue_depth: 1_024, shard_count: 16, clock_is_input: false, names_max: None }
    }
}

pub const IDENTITY_LEAF_KEY: [u8; 32] = [7; 32];
pub const IDENTITY_ID_KEY: [u8; 16] = [9; 16];

impl Setup {
    pub fn identity(&self) -> Identity {
        Identity {
            directory_id: *b"tests tests test",
            shard_count: self.shard_count,
            clock_is_input: self.clock_is_input,
            created_at: NOON,
            leaf_key: IDENTITY_LEAF_KEY,
            id_key: IDENTITY_ID_KEY,
        }
    }
}

/// Small tables, so that an engine starts in no time.
pub fn id_options() -> IdOptions {
    IdOptions {
        memory_ids_max: 65_536,
        segment_ids: 16_384,
        segment_records: 16_384,
        partitions: 4,
        in_flight_max: 65_536,
        merge_fan_in: 2,
    }
}

/// A running ledger.
pub struct Ledger {
    pub engine: Arc<Engine>,
    pub clock: Arc<ManualClock>,
    /// What the engine said when it failed.
    pub failures: Arc<Mutex<Vec<String>>>,
    pub setup: Setup,
}

/// Makes the directory if the store is empty, and recovers it, with as many threads as there are workers.
pub fn recover_store(store: &Arc<dyn Store>, setup: &Setup) -> Result<Recovered, RecoveryError> {
    let identity = match Identity::read(&**store)? {
        Some(identity) => identity,
        None => {
            setup.identity().write(&**store)?;
            setup.identity()
        }
    };
    recover(store, identity, &id_options(), setup.worker_count, &mut |_| {})
}

impl Ledger {
    /// Starts on a store that never fails, with a clock at [`NOON`].
    pub fn new(setup: Setup) -> (Self, MemoryStore) {
        let store = MemoryStore::new();
        (Self::on(Arc::new(store.clone()), setup), store)
    }

    pub fn on(store: Arc<dyn Store>, setup: Setup) -> Self {
        Self::start(store, setup, ManualClock::new(NOON))
    }

    pub fn start(store: Arc<dyn Store>, setup: Setup, clock: Arc<ManualClock>) -> Self {
        Self::try_start(store, setup, clock).expect("the engine starts")
    }

    pub fn try_start(store: Arc<dyn Store>, setup: Setup, clock: Arc<ManualClock>) -> Result<Self, JournalError> {
        let mut recovered = recover_store(&store, &setup).expect("the store can be recovered");
        if let Some((symbol_count_max, item_count_max)) = setup.names_max {
            recovered.world.dictionary = Dictionary::bounded(symbol_count_max, item_count_max);
        }
        let failures = Arc::new(Mutex::new(Vec::new()));
        let told = failures.clone();
        let on_failure =
            Arc::new(move |error: &JournalError| told.lock().expect("no holder panics").push(error.to_string()));
        let options = EngineOptions {
            worker_count: setup.worker_count,
            queue_depth: setup.queue_depth,
            housekeeping: HousekeeperOptions::default(),
        };
        let shared_clock: SharedClock = clock.clone();
        let engine = Engine::start(recovered, store, shared_clock, options, on_failure)?;
        Ok(Self { engine, clock, failures, setup })
    }

    /// Publishes the first version, in force since ever.
    pub fn with_program(self, source: &str) -> Self {
        self.publish(source, TimestampNs(i64::MIN));
        self
    }

    pub fn publish(&self, source: &str, effective_at: TimestampNs) {
        let draft = Draft {
            source: source.to_owned(),
            effective_at,
            partner: SymbolId::EMPTY,
            transaction_id: Box::default(),
            actor: Box::default(),
            confirmed: None,
        };
        if let Err(error) = self.engine.publish(draft) {
            panic!("the version is not published: {error}: {error:?}");
        }
    }

    pub fn edge(&self) -> edge::Edge<'_> {
        edge::Edge::new(&self.engine, "north")
    }

    pub fn stop(&self) -> Stopped {
        self.engine.stop().expect("the ledger stops in order")
    }

    pub fn has_failed(&self) -> bool {
        !self.failures.lock().expect("no holder panics").is_empty()
    }
}

/// Verifies a store, with whatever it finds.
pub fn verify_store(store: &MemoryStore) -> VerifyReport {
    let store: Arc<dyn Store> = Arc::new(store.clone());
    verify(&store, &VerifyOptions::default(), &mut |_, _| {}).expect("the store can be read")
}

/// Verifies a store that must be whole, and compares the digest.
#[track_caller]
pub fn assert_intact(store: &MemoryStore, expected: Digest) -> VerifyReport {
    let report = verify_store(store);
    assert!(report.intact && report.findings.is_empty(), "{:#?}", report.findings);
    assert_eq!(report.digest.as_deref(), Some(expected.to_string().as_str()), "the digest of the replay from empty");
    report
}
