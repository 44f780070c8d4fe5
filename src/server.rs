//! The assembly of a server, in order: open the store → identity → recover → engine → programme → serve; and its end:
//! unready → no new calls → finish those under way → stop the engine → close.
//!
//! What must stay true: nothing is served before recovery is complete and a programme is there; after a failure of the
//! ledger nothing is answered, and whoever runs the server learns of it at once.

mod answering;
mod cause;
mod conduct;
mod connection;
mod direct;
mod files;
mod frames;
mod guarded;
pub mod hpack;
mod opened;
mod programme;
mod recovering;
mod security;
mod shedding;
pub mod threads;
mod transport;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tonic::Code;
use tonic::service::RoutesBuilder;

use crate::clock::{SharedClock, SystemClock};
use crate::config::{ClockMode, Config};
use crate::journal::log::StoreJournal;
use crate::journal::{Journal, JournalError};
use crate::ledger::decision::Refusal;
use crate::ledger::types::{Position, SymbolId};
use crate::limits;
use crate::metrics::Outcome;
use crate::program::Problem;
use crate::recovery::RecoveryError;
use crate::recovery::identity::{Identity, IdentityError};
use crate::recovery::speed::{RecoveryTime, ReplaySpeed};
use crate::service::auth::AccessLayer;
use crate::service::express::{ACCRUE, ExpressLayer};
use crate::service::health::health_service;
use crate::service::patience::PatienceLayer;
use crate::service::{About, Edge, LastRecovery, Life, add_services, wire};
use crate::shard::engine::{Engine, EngineOptions};
use crate::shard::publishing::PublishError;
use crate::store::checked::CheckedStore;
use crate::store::giving_up::GiveUp;
use crate::store::{Store, StoreError};
use crate::telemetry::calls::CallLayer;
use crate::telemetry::http::Listening;
#[cfg(feature = "otel")]
use crate::telemetry::traces::Traces;
use crate::telemetry::{Sources, Standing, Telemetry};
pub use cause::{Cause, damage_of_journal};
use direct::Direct;
pub use opened::{OpenedStore, open_store};
pub use programme::check_programme;
use programme::prepare;
pub use recovering::check_mending;
use recovering::{check_identity, recover_with_progress};
pub use security::check_address;
use shedding::Crowd;
use threads::{Admission, OnFault, Serving, Threads, edge_threads};
pub use threads::{EDGE_THREADS, runtime, serve_bare};

/// Time for the last answers to leave after all calls have ended.
const FAREWELL: Duration = Duration::from_millis(500);
/// After a failure the server waits no longer than this for anything.
const FAILURE_PATIENCE: Duration = Duration::from_millis(300);

/// Why a server does not start, or why it stopped by itself. `Display` is a sentence for an operator.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The store cannot be opened or used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state cannot be recovered.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The journal cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The configuration does not fit the data directory.
    #[error(
        "the data directory was made with {name} = {fixed}, which cannot be changed; the configuration says {stated}"
    )]
    Mismatch {
        /// The setting.
        name: &'static str,
        /// What the directory was made with.
        fixed: String,
        /// What the configuration says.
        stated: String,
    },
    /// The file that says that calls are served cannot be written.
    #[error("the ready file {path} cannot be written: {source}")]
    ReadyFile {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The programme file cannot be read.
    #[error("the programme file {path} cannot be read: {source}")]
    ProgramFile {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The programme file has problems.
    #[error("the programme file {path} has {} problems", .problems.len())]
    Program {
        /// The file.
        path: PathBuf,
        /// The problems.
        problems: Vec<Problem>,
    },
    /// The programme cannot follow those that the data directory has.
    #[error("the programme cannot be published: {0}")]
    Publish(PublishError),
    /// What is asked of callers cannot be, or is too little for the address.
    #[error("{0}")]
    Access(String),
    /// No random numbers are to be had, so that a new data directory would have no secrets.
    #[error("the operating system gives no random numbers: {0}")]
    Random(String),
    /// There is nothing to mend.
    #[error("there is no ledger in {path} whose {what}: name its data directory, or its configuration")]
    NothingToMend {
        /// The data directory.
        path: PathBuf,
        /// What would be done, as a part of a sentence.
        what: &'static str,
    },
    /// The start was given up before it had recovered.
    #[error("the start was given up")]
    GivenUp,
    /// This build has no store on disk.
    #[error("this build was made without the embedded store")]
    NoStore,
    /// The ledger failed while it was running.
    #[error("the ledger stopped: {0}")]
    Failed(Cause),
    /// A fault of the program.
    #[error("a fault of the server: {0}")]
    Fault(String),
}

/// Listens on the address that the configuration names.
///
/// # Errors
/// When no address that the name stands for can be listened on, or one can be reached from other machines and callers
/// would not be protected.
pub fn listen(config: &Config) -> Result<TcpListener, ServeError> {
    check_address(config)?;
    TcpListener::bind(&config.listen).map_err(|source| ServeError::Listen { address: config.listen.clone(), source })
}

/// What is said when a server is ready.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Where it listens.
    pub address: SocketAddr,
    /// Path of the data directory; empty for a store in memory.
    pub data_path: String,
    /// The programme in force: its name and version. `None` when none is in force yet.
    pub program: Option<(String, u32)>,
    /// One past the last record that was recovered.
    pub recovered_end: Position,
    /// Records replayed.
    pub replayed_count: u64,
    /// How long opening and recovery took.
    pub recovery_ms: i64,
    /// The epoch of this process.
    pub epoch: u64,
    /// Where posting times come from.
    pub clock: ClockMode,
    /// The partner that callers act for where no credentials are asked for; `None` where they are.
    pub partner: Option<String>,
    /// Whether connections are encrypted.
    pub has_tls: bool,
    /// Whether clients show certificates.
    pub asks_for_certificates: bool,
    /// Where metrics and health are to be had over HTTP.
    pub metrics_address: Option<SocketAddr>,
}

/// A server that runs.
pub struct Running {
    /// What it said when it was ready.
    pub ready: Ready,
    engine: Arc<Engine>,
    edge: Arc<Edge>,
    store: Weak<dyn Store>,
    life: Arc<watch::Sender<Life>>,
    failure: Arc<OnceLock<Cause>>,
    telemetry: Arc<Telemetry>,
    _metrics: Option<Listening>,
    #[cfg(feature = "otel")]
    traces: Option<Arc<Traces>>,
    threads: Threads,
    files: Arc<security::Files>,
}

/// Starts a server on the data directory that the configuration names. Must be called within a runtime.
///
/// # Errors
/// When anything on the way fails; then nothing is left running.
pub async fn start(config: &Config, listener: TcpListener) -> Result<Running, ServeError> {
    let for_opening = config.clone();
    let opened = blocking(move || open_store(&for_opening)).await?;
    start_on(config, opened, listener).await
}

/// Starts a server on a store that is open. Must be called within a runtime.
///
/// # Errors
/// When anything on the way fails; then nothing is left running.
pub async fn start_on(config: &Config, opened: OpenedStore, listener: TcpListener) -> Result<Running, ServeError> {
    start_by(config, opened, listener, Arc::new(SystemClock::new())).await
}

/// Starts a server that goes by a clock of the caller's. Must be called within a runtime.
///
/// # Errors
/// When anything on the way fails; then nothing is left running.
pub async fn start_by(
    config: &Config,
    opened: OpenedStore,
    listener: TcpListener,
    clock: SharedClock,
) -> Result<Running, ServeError> {
    start_unless(config, opened, listener, clock, &GiveUp::default()).await
}

/// Starts a server, unless it is given up before it has recovered. Must be called within a runtime.
///
/// # Errors
/// [`ServeError::GivenUp`] if it is, and when anything else on the way fails; then nothing is left running.
pub async fn start_unless(
    config: &Config,
    opened: OpenedStore,
    listener: TcpListener,
    clock: SharedClock,
    give_up: &GiveUp,
) -> Result<Running, ServeError> {
    let for_files = config.clone();
    let files = Arc::new(blocking(move || security::Files::read(&for_files)).await?);
    let life = Arc::new(watch::channel(Life::Serving).0);
    let failure = Arc::new(OnceLock::new());
    let (telemetry, metrics) = observe(config, &clock, &life)?;
    let assembled = {
        let (config, clock) = (config.clone(), clock.clone());
        let (life, failure, give_up) = (life.clone(), failure.clone(), give_up.clone());
        let store = opened.store;
        blocking(move || assemble(&config, store, &clock, &life, &failure, &give_up)).await
    };
    // What failed because of it says nothing of the store.
    let assembled = assembled.map_err(|error| if give_up.is_told() { ServeError::GivenUp } else { error })?;
    let Assembled { engine, store, partner, recovered_end, recovery } = assembled;
    let about = About {
        data_path: opened.path.clone(),
        started_at: clock.now(),
        journal_bytes: opened.journal_bytes,
        copy_store: opened.copy_store,
        backup_root: config.backup_root.clone(),
        queue_depth: config.queue_depth,
        recovery,
        second_person: config.second_person.clone(),
    };
    let gate = Arc::new(files.gate(config, &engine, partner, &clock));
    let request_time = Duration::from_millis(config.bounds.request_ms_max);
    let access = AccessLayer::new(gate.clone(), clock.clone()).with_patience(request_time);
    let edge = Arc::new(Edge::new(engine.clone(), about, life.subscribe(), gate.clone()));
    files.watch(&engine);
    telemetry.has_recovered(sources(config, &engine, &edge, recovery));
    measure_journal(&engine);

    let address = listener.local_addr().and_then(|address| listener.set_nonblocking(true).map(|()| address));
    let listen_error = |source| ServeError::Listen { address: config.listen.clone(), source };
    let address = address.map_err(listen_error)?;
    let watched = CallLayer::new(telemetry.calls.clone());
    #[cfg(feature = "otel")]
    let traces = start_traces(config)?;
    #[cfg(feature = "otel")]
    let watched = watched.with_traces(traces.clone());
    let patience = PatienceLayer::new(request_time);
    let mut servings = Vec::new();
    for _ in 0..edge_threads() {
        let edge = Arc::new(edge.with_lane_of_its_own());
        let mut routes = RoutesBuilder::default();
        add_services(&mut routes, &edge);
        routes.add_service(health_service(life.subscribe()));
        add_reflection(&mut routes)?;
        let (watched, access, patience) = (watched.clone(), access.clone(), patience.clone());
        let beside = Box::pin(edge.carry());
        let (calls, metrics) = (telemetry.calls.clone(), engine.metrics.clone());
        let waiting = edge.clone();
        let on_shed = move || {
            calls.shed(ACCRUE, Code::ResourceExhausted as usize);
            metrics.answered(Outcome::Refused(Refusal::Overloaded));
        };
        let crowd = Crowd::new(gate.is_guarded(), Box::new(move || waiting.accruals_waiting()), Box::new(on_shed));
        let direct = Direct { edge: edge.clone(), access: access.clone(), watched: watched.clone() };
        let (crowd, direct) = (Some(crowd), Some(Arc::new(direct)));
        let (routes, express) = (routes.routes(), ExpressLayer::new(edge));
        servings.push(Serving { routes, express, access, patience, watched, beside, crowd, direct });
    }
    let on_fault: OnFault = {
        let (life, failure) = (life.clone(), failure.clone());
        Arc::new(move |why: &str| fail(&life, &failure, why.into()))
    };
    let (tls, meter) = (files.tls.clone(), engine.metrics.connections.clone());
    let admission = Admission { tls, bounds: config.bounds, meter };
    let threads = Threads::start(listener, servings, admission, &on_fault).map_err(listen_error)?;
    let now = engine.latest_posted().filter(|_| engine.identity.clock_is_input).unwrap_or_else(|| clock.now());
    let program =
        engine.with_programs(|programs| programs.in_force(now).map(|found| (found.name.clone(), found.version.0)));
    let ready = Ready {
        address,
        data_path: opened.path,
        program,
        recovered_end,
        replayed_count: recovery.replayed_count,
        recovery_ms: recovery.took_ms,
        epoch: engine.epoch,
        clock: if engine.identity.clock_is_input { ClockMode::Input } else { ClockMode::System },
        partner: (!gate.is_guarded()).then(|| config.partner.clone()),
        has_tls: files.tls.is_some(),
        asks_for_certificates: files.tls.as_ref().is_some_and(|tls| tls.asks_for_certificates()),
        metrics_address: metrics.as_ref().map(|listening| listening.address),
    };
    Ok(Running {
        ready,
        engine,
        edge,
        store,
        life,
        failure,
        telemetry,
        _metrics: metrics,
        #[cfg(feature = "otel")]
        traces,
        threads,
        files,
    })
}

impl Running {
    /// Where the server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.ready.address
    }

    /// The ledger, for tools that run in the same process.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// What is told of this server.
    #[must_use]
    pub fn telemetry(&self) -> &Arc<Telemetry> {
        &self.telemetry
    }

    /// Reads certificates and keys of tokens again. Open connections stay; what cannot be read leaves what is in force.
    pub async fn reload(&self) {
        let (files, engine) = (self.files.clone(), self.engine.clone());
        let reloaded = tokio::task::spawn_blocking(move || files.reload(&engine)).await;
        if let Err(error) = reloaded {
            tracing::error!(%error, "what is asked of callers could not be read again");
        }
    }

    /// Returns when the ledger has failed.
    pub async fn failed(&self) {
        // The sender is part of `self`, so this only ever ends with the failure.
        let _ = self.life.subscribe().wait_for(|life| *life == Life::Failed).await;
    }

    /// Stops in order; says where the journal ends.
    ///
    /// # Errors
    /// When the ledger failed, before or meanwhile.
    pub async fn shutdown(self) -> Result<Position, ServeError> {
        // From here on no call is let in, and whoever asks for health hears the same.
        self.life.send_if_modified(|life| {
            let goes_on = *life < Life::Stopping;
            *life = (*life).max(Life::Stopping);
            goes_on
        });
        let failed = self.failed();
        let drained = tokio::time::timeout(Duration::from_millis(limits::DRAIN_MS_MAX), self.edge.drained());
        tokio::select! {
            _ = drained => {}
            () = failed => {}
        }
        let has_failed = *self.life.borrow() == Life::Failed;
        if !has_failed {
            // Those who go on calling are told, with the reason, before their connections are closed.
            let _ = tokio::time::timeout(FAREWELL, self.edge.quiet()).await;
        }
        #[cfg(feature = "otel")]
        stop_traces(self.traces).await;
        let mut life = self.life.subscribe();
        let Self { engine, edge, store, failure, threads, .. } = self;
        let failed = async move {
            // The sender is part of `self`, as above.
            let _ = life.wait_for(|life| *life == Life::Failed).await;
        };
        threads.finish(if has_failed { FAILURE_PATIENCE } else { FAREWELL }, failed).await;
        let (stopping, noted) = (engine.clone(), failure.clone());
        // A read that failed stops no thread of the ledger, and is no less its end.
        let stopped = tokio::task::spawn_blocking(move || stopping.stop_looking(|| noted.get().cloned()));
        let stopped = if has_failed {
            tokio::time::timeout(FAILURE_PATIENCE, stopped).await.ok().and_then(Result::ok).flatten()
        } else {
            stopped.await.map_err(|error| ServeError::Fault(error.to_string()))?
        };
        drop((engine, edge));
        match stopped {
            Some((stopped, None)) => {
                wait_for_close(&store).await;
                Ok(stopped.end)
            }
            Some((_, Some(cause))) => Err(ServeError::Failed(cause)),
            None => Err(ServeError::Failed(failure.get().cloned().unwrap_or_default())),
        }
    }
}

/// Waits for the last user of the store to let go, so that the data directory can be opened again.
async fn wait_for_close(store: &Weak<dyn Store>) {
    for _ in 0..200 {
        if store.strong_count() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What is told of a server, and the port that tells it where one is configured: before recovery, so that it can be
/// seen to go on.
fn observe(
    config: &Config,
    clock: &SharedClock,
    life: &Arc<watch::Sender<Life>>,
) -> Result<(Arc<Telemetry>, Option<Listening>), ServeError> {
    let life = life.subscribe();
    let telemetry = Telemetry::new(clock.clone(), config.workers, move || match *life.borrow() {
        Life::Serving => Standing::Serving,
        Life::Stopping => Standing::Stopping,
        Life::Failed => Standing::Failed,
    });
    let listening = config.metrics_listen.as_ref().map(|address| {
        crate::telemetry::http::listen(address, &telemetry)
            .map_err(|source| ServeError::Listen { address: address.clone(), source })
    });
    Ok((telemetry, listening.transpose()?))
}

fn sources(config: &Config, engine: &Arc<Engine>, edge: &Arc<Edge>, recovery: LastRecovery) -> Sources {
    // Weak, so that whoever looks at a server does not keep its store open.
    let [calls, bytes, expected] = [(); 3].map(|()| Arc::downgrade(edge));
    Sources {
        engine: Arc::downgrade(engine),
        calls_under_way: Box::new(move || calls.upgrade().map_or(0, |edge| edge.calls_under_way())),
        journal_bytes: Box::new(move || bytes.upgrade().map_or(0, |edge| edge.journal_bytes())),
        recovery_ms: recovery.took_ms,
        replayed_count: recovery.replayed_count,
        queue_depth: config.queue_depth,
        expected_recovery_ms: Box::new(move || expected.upgrade().map_or(0, |edge| edge.expected_recovery_ms())),
    }
}

/// Measures how long the journal was before this process, in the background: nothing waits for it.
fn measure_journal(engine: &Arc<Engine>) {
    let engine = engine.clone();
    tokio::task::spawn_blocking(move || {
        let measured = engine.journal_size.measure(&*engine.store, &|| !engine.is_stopping());
        if let Err(error) = measured.and_then(|()| engine.journal_size.note(&*engine.store)) {
            tracing::warn!(%error, "the journal could not be measured");
        }
    });
}

#[cfg(feature = "otel")]
fn start_traces(config: &Config) -> Result<Option<Arc<Traces>>, ServeError> {
    let started = config.trace_endpoint.as_ref().map(|to| Traces::start(to, config.trace_sample_ppm));
    started.transpose().map_err(|error| ServeError::Fault(format!("spans cannot be sent: {error}")))
}

/// Sends the last spans, no longer than an answer may take to leave.
#[cfg(feature = "otel")]
async fn stop_traces(traces: Option<Arc<Traces>>) {
    if let Some(traces) = traces {
        let stopped = tokio::task::spawn_blocking(move || traces.stop());
        let _ = tokio::time::timeout(FAREWELL, stopped).await;
    }
}

fn add_reflection(routes: &mut RoutesBuilder) -> Result<(), ServeError> {
    let fault = |error: tonic_reflection::server::Error| ServeError::Fault(error.to_string());
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(wire::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    routes.add_service(builder().build_v1().map_err(fault)?);
    routes.add_service(builder().build_v1alpha().map_err(fault)?);
    Ok(())
}

/// Runs what waits for the disk on a thread that may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ServeError> + Send + 'static,
) -> Result<T, ServeError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| ServeError::Fault(error.to_string()))?
}

/// Opens the ledger of the data directory that the configuration names, does some work on it, and closes it again,
/// without serving any call: for keys, before anybody has one.
///
/// # Errors
/// When the directory cannot be opened or recovered, or the ledger fails.
pub fn with_ledger<T>(config: &Config, work: impl FnOnce(&Engine) -> T) -> Result<T, ServeError> {
    let opened = open_store(config)?;
    let clock: SharedClock = Arc::new(SystemClock::new());
    let life = Arc::new(watch::channel(Life::Serving).0);
    let failure = Arc::new(OnceLock::new());
    let store = opened.store;
    drop((opened.journal_bytes, opened.copy_store));
    let Started { engine, .. } = start_ledger(config, store, &clock, &life, &failure, &GiveUp::default())?;
    let done = work(&engine);
    match engine.stop() {
        Some(_) => Ok(done),
        None => Err(ServeError::Failed(failure.get().cloned().unwrap_or_default())),
    }
}

/// A ledger that runs and serves nobody.
struct Started {
    engine: Arc<Engine>,
    store: Weak<dyn Store>,
    recovered_end: Position,
    recovery: LastRecovery,
}

/// A ledger that is ready to be served.
struct Assembled {
    engine: Arc<Engine>,
    store: Weak<dyn Store>,
    partner: SymbolId,
    recovered_end: Position,
    recovery: LastRecovery,
}

fn assemble(
    config: &Config,
    store: Arc<dyn Store>,
    clock: &SharedClock,
    life: &Arc<watch::Sender<Life>>,
    failure: &Arc<OnceLock<Cause>>,
    give_up: &GiveUp,
) -> Result<Assembled, ServeError> {
    let started = start_ledger(config, store, clock, life, failure, give_up)?;
    let Started { engine, store, recovered_end, recovery } = started;
    match prepare(config, &engine).and_then(|partner| security::first_key(config, &engine).map(|()| partner)) {
        Ok(partner) => Ok(Assembled { engine, store, partner, recovered_end, recovery }),
        Err(error) => {
            engine.stop();
            // What the disk said is the cause, if it was the disk.
            Err(failure.get().map_or(error, |cause| ServeError::Failed(cause.clone())))
        }
    }
}

fn start_ledger(
    config: &Config,
    store: Arc<dyn Store>,
    clock: &SharedClock,
    life: &Arc<watch::Sender<Life>>,
    failure: &Arc<OnceLock<Cause>>,
    give_up: &GiveUp,
) -> Result<Started, ServeError> {
    let begun_ns = clock.monotonic_ns();
    let checked = CheckedStore::unless(store, give_up.clone());
    let flag = checked.poison_flag();
    let store: Arc<dyn Store> = Arc::new(checked);
    let identity = match Identity::read(&*store).map_err(RecoveryError::from)? {
        Some(identity) => check_identity(config, identity)?,
        None => check_mending(config).and_then(|()| make_identity(config, &store, clock))?,
    };
    let (recovered, replay_ns) = recover_with_progress(config, &store, identity, clock)?;
    if !give_up.come_through() {
        return Err(ServeError::GivenUp);
    }
    let (recovered_end, replayed_count) = (recovered.world.end, recovered.replayed_count);
    let took = RecoveryTime { whole_ns: clock.monotonic_ns() - begun_ns, replay_ns };
    let speed = ReplaySpeed::learn(&*store, replayed_count, took)?;
    let on_failure = {
        let (life, failure) = (life.clone(), failure.clone());
        move |cause: Cause| fail(&life, &failure, cause)
    };
    let on_latch = on_failure.clone();
    flag.on_latch(Box::new(move |first: &StoreError| on_latch(first.into())));
    let options = EngineOptions {
        worker_count: config.workers,
        queue_depth: config.queue_depth,
        housekeeping: config.housekeeping.clone(),
    };
    let weak = Arc::downgrade(&store);
    let on_failure = Arc::new(move |error: &JournalError| on_failure(error.into()));
    let engine = Engine::start(recovered, store, clock.clone(), options, on_failure)?;
    let took_ms = (clock.monotonic_ns() - begun_ns) / 1_000_000;
    let recovery = LastRecovery { took_ms, replayed_count, speed };
    Ok(Started { engine, store: weak, recovered_end, recovery })
}

/// Called once for each thing that notices that the ledger is at an end; the first is the cause.
fn fail(life: &watch::Sender<Life>, failure: &OnceLock<Cause>, cause: Cause) {
    let why = cause.to_string();
    if failure.set(cause).is_ok() {
        tracing::error!(why = why.as_str(), "the ledger has failed: nothing is answered any more");
    }
    life.send_replace(Life::Failed);
}

fn make_identity(config: &Config, store: &Arc<dyn Store>, clock: &SharedClock) -> Result<Identity, ServeError> {
    let (end, _) = StoreJournal::new(store.clone()).end()?;
    if end > Position(0) || store.read_mark()?.is_some() {
        return Err(RecoveryError::NoIdentity.into());
    }
    let identity = Identity {
        directory_id: random()?,
        shard_count: config.shard_count.unwrap_or(limits::SHARD_COUNT_DEFAULT),
        clock_is_input: config.clock == Some(ClockMode::Input),
        created_at: clock.now(),
        leaf_key: random()?,
        id_key: random()?,
    };
    identity.write(&**store)?;
    Ok(identity)
}

fn random<const N: usize>() -> Result<[u8; N], ServeError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| ServeError::Random(error.to_string()))?;
    Ok(bytes)
}

impl From<IdentityError> for ServeError {
    fn from(error: IdentityError) -> Self {
        Self::Recovery(error.into())
    }
}
