//! The threads that serve connections: one runtime of a single thread each, so that a call stays on its thread from
//! the socket to its lane and back. New connections are dealt to the thread that has the fewest.
//!
//! What must stay true: when a thread has ended, everything that its calls held is dropped.

use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tower_layer::Layer;

use super::conduct::Pace;
use super::connection::Terms;
use super::direct::Direct;
use super::shedding::Crowd;
use super::{ServeError, connection, files};
use crate::access::tls::Tls;
use crate::config::Bounds;
use crate::limits;
use crate::metrics::ConnectionMeter;
use crate::service::auth::AccessLayer;
use crate::service::connections::{self, Incoming, Room};
use crate::service::deadline::DeadlineLayer;
use crate::service::express::ExpressLayer;
use crate::service::patience::PatienceLayer;
use crate::telemetry::calls::CallLayer;

/// How the names of the threads that serve calls begin.
pub const EDGE_THREADS: &str = "edge";
/// Threads of one runtime that may wait for the disk.
const BLOCKING_THREADS_MAX: usize = 64;

/// Told why nothing is answered any more.
pub type OnFault = Arc<dyn Fn(&str) + Send + Sync>;

/// What a serving thread does.
pub struct Serving {
    /// The services.
    pub routes: Routes,
    /// The way past them of the calls that tills make all day.
    pub express: ExpressLayer,
    /// Judges the calls.
    pub access: AccessLayer,
    /// Waits for what they bring.
    pub patience: PatienceLayer,
    /// Watches the calls go by.
    pub watched: CallLayer,
    /// Runs beside them, on the same thread, until they have ended.
    pub beside: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Its accruals, where those that are too many are refused before they are read.
    pub crowd: Option<Arc<Crowd>>,
    /// The direct way of its accruals.
    pub direct: Option<Arc<Direct>>,
}

/// How far the threads are to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Serve,
    /// Accept nothing more, and end with the last call.
    Finish,
    /// End now.
    Abort,
}

/// On what terms callers are let in.
pub struct Admission {
    /// Certificates, if connections are encrypted.
    pub tls: Option<Arc<Tls>>,
    /// How much one caller may take up.
    pub bounds: Bounds,
    /// What is counted of connections.
    pub meter: Arc<ConnectionMeter>,
}

/// Threads that serve a listener.
pub struct Threads {
    order: watch::Sender<Order>,
    ended: Vec<oneshot::Receiver<()>>,
    accepting: JoinHandle<()>,
}

impl Threads {
    /// Begins to serve. Connections are accepted on the runtime of the caller. `on_fault` is called when what runs beside
    /// the services has come to grief: nothing is answered any more.
    ///
    /// # Errors
    /// When the operating system refuses a thread or what a runtime needs.
    pub fn start(
        listener: TcpListener,
        servings: Vec<Serving>,
        admission: Admission,
        on_fault: &OnFault,
    ) -> std::io::Result<Self> {
        let (order, orders) = watch::channel(Order::Serve);
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let Admission { tls, bounds, meter } = admission;
        // Again, for a store that somebody else has opened.
        files::raise_limit(bounds.connections_max);
        let room =
            Room { in_all: files::room_for(bounds.connections_max), of_address: bounds.connections_per_address_max };
        let (accepting, incoming) = connections::deal(listener, room, servings.len(), meter.clone());
        let terms = Terms { tls, pace: Pace::of(&bounds), meter, crowd: None, direct: None };
        let accepting = tokio::spawn(accepting);
        let mut ended = Vec::new();
        for (index, (serving, incoming)) in servings.into_iter().zip(incoming).enumerate() {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(BLOCKING_THREADS_MAX)
                .thread_name(format!("{EDGE_THREADS}-blocking"))
                .build()?;
            let (orders, on_fault) = (orders.clone(), on_fault.clone());
            let (crowd, direct) = (serving.crowd.clone(), serving.direct.clone());
            let terms = Terms { crowd, direct, ..terms.clone() };
            let (tell, told) = oneshot::channel();
            std::thread::Builder::new().name(format!("{EDGE_THREADS}-{index}")).spawn(move || {
                runtime.block_on(serve(serving, incoming, terms, orders, &on_fault));
                // What calls that were given up still held goes with the runtime.
                runtime.shutdown_background();
                let _ = tell.send(());
            })?;
            ended.push(told);
        }
        Ok(Self { order, ended, accepting })
    }

    /// Accepts nothing more, lets what is under way finish for so long, and ends the threads. Once `failed` is there they are
    /// waited for no longer than that: one of them may stand at the disk that has failed, for ever.
    pub async fn finish(self, patience: Duration, failed: impl Future<Output = ()>) {
        let Self { order, ended, accepting } = self;
        accepting.abort();
        order.send_replace(Order::Finish);
        let mut ended = Box::pin(async {
            for thread in ended {
                // A thread that is gone has ended too.
                let _ = thread.await;
            }
        });
        if tokio::time::timeout(patience, &mut ended).await.is_err() {
            order.send_replace(Order::Abort);
            let given_up = async {
                failed.await;
                tokio::time::sleep(patience).await;
            };
            tokio::select! {
                () = &mut ended => {}
                () = given_up => tracing::warn!("threads that serve calls do not end, and are left behind"),
            }
        }
    }
}

async fn serve(serving: Serving, incoming: Incoming, terms: Terms, orders: watch::Receiver<Order>, on_fault: &OnFault) {
    let reached = |least: Order| {
        let mut orders = orders.clone();
        async move {
            // A sender that is gone means the same.
            let _ = orders.wait_for(|order| *order >= least).await;
        }
    };
    let mut beside = tokio::spawn(serving.beside);
    // The watch is outside, so that it sees the calls whose time was up. Calls are judged before their messages find room:
    // whoever is denied takes up none.
    let patient = serving.patience.layer(serving.express.layer(serving.routes));
    let service = serving.watched.layer(DeadlineLayer.layer(serving.access.layer(patient)));
    tokio::select! {
        () = connection::serve_all(incoming, service, terms, reached(Order::Finish)) => {}
        fault = &mut beside => {
            on_fault(&fault.err().map_or_else(|| "it has ended".to_owned(), |error| error.to_string()));
            // Calls get no more answers; they end when they are told to.
            reached(Order::Finish).await;
        }
        () = reached(Order::Abort) => {}
    }
    beside.abort();
}

/// How many threads serve connections: as many as there are cores.
#[must_use]
pub fn edge_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(limits::EDGE_THREADS_MAX)
}

/// The runtime that starts and stops a server and accepts connections; calls are served by threads of their own.
///
/// # Errors
/// When the operating system gives no threads.
pub fn runtime() -> Result<Runtime, ServeError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().thread_name(EDGE_THREADS).build();
    runtime.map_err(|error| ServeError::Fault(error.to_string()))
}

/// Serves routes for ever as a server serves its own, on the same threads with the same transport, and without a
/// ledger: what a benchmark compares the ledger with.
///
/// # Errors
/// When the listener cannot be used.
pub fn serve_bare(listener: TcpListener, routes: &Routes, on_ready: impl FnOnce(SocketAddr)) -> Result<(), ServeError> {
    let fault = |error: std::io::Error| ServeError::Fault(error.to_string());
    runtime()?.block_on(async move {
        listener.set_nonblocking(true).map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
        let bounds = Bounds::default();
        let serving = || Serving {
            routes: routes.clone(),
            express: ExpressLayer::off(),
            access: AccessLayer::off(),
            patience: PatienceLayer::new(Duration::from_millis(bounds.request_ms_max)),
            watched: CallLayer::off(),
            beside: Box::pin(std::future::pending()),
            crowd: None,
            direct: None,
        };
        let servings = (0..edge_threads()).map(|_| serving()).collect();
        let admission = Admission { tls: None, bounds, meter: Arc::default() };
        let _threads = Threads::start(listener, servings, admission, &(Arc::new(|_: &str| {}) as OnFault));
        on_ready(address);
        std::future::pending().await
    })
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::pin::pin;

    use tokio::time::timeout;

    use super::*;

    const SHORT: Duration = Duration::from_millis(10);
    const LONG: Duration = Duration::from_secs(30);

    /// A thread that goes on until it is told to have ended.
    fn standing_still() -> (oneshot::Sender<()>, Threads) {
        let (tell, told) = oneshot::channel();
        let (order, _) = watch::channel(Order::Serve);
        (tell, Threads { order, ended: vec![told], accepting: tokio::spawn(async {}) })
    }

    #[tokio::test]
    async fn a_thread_that_does_not_end_is_left_behind_after_a_failure_and_waited_for_otherwise() {
        let (_tell, threads) = standing_still();
        timeout(LONG, threads.finish(SHORT, ready(()))).await.expect("it is left behind");
        let (tell, threads) = standing_still();
        let mut finished = pin!(threads.finish(SHORT, pending()));
        assert!(timeout(10 * SHORT, &mut finished).await.is_err(), "it is waited for");
        tell.send(()).unwrap();
        timeout(LONG, finished).await.expect("it has ended");
    }
}
