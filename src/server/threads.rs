//! The threads that serve connections: one runtime of a single thread each, so that a call stays on its thread from
//! the socket to its lane and back. New connections are dealt to the thread that has the fewest.
//!
//! What must stay true: when a thread has ended, everything that its calls held is dropped.

use std::net::TcpListener;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tonic::service::Routes;

use super::transport;
use crate::limits;
use crate::service::connections::{self, Incoming};

/// Threads of one runtime that may wait for the disk.
const BLOCKING_THREADS_MAX: usize = 64;

/// Told why nothing is answered any more.
pub type OnFault = std::sync::Arc<dyn Fn(&str) + Send + Sync>;

/// What a serving thread does.
pub struct Serving {
    /// The services.
    pub routes: Routes,
    /// Runs beside them, on the same thread, until they have ended.
    pub beside: Pin<Box<dyn Future<Output = ()> + Send>>,
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
    pub fn start(listener: TcpListener, servings: Vec<Serving>, on_fault: &OnFault) -> std::io::Result<Self> {
        let (order, orders) = watch::channel(Order::Serve);
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let (accepting, incoming) = connections::deal(listener, limits::CONNECTIONS_MAX, servings.len());
        let accepting = tokio::spawn(accepting);
        let mut ended = Vec::new();
        for (index, (serving, incoming)) in servings.into_iter().zip(incoming).enumerate() {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(BLOCKING_THREADS_MAX)
                .thread_name("edge-blocking")
                .build()?;
            let (orders, on_fault) = (orders.clone(), on_fault.clone());
            let (tell, told) = oneshot::channel();
            std::thread::Builder::new().name(format!("edge-{index}")).spawn(move || {
                runtime.block_on(serve(serving, incoming, orders, &on_fault));
                // What calls that were given up still held goes with the runtime.
                runtime.shutdown_background();
                let _ = tell.send(());
            })?;
            ended.push(told);
        }
        Ok(Self { order, ended, accepting })
    }

    /// Accepts nothing more, lets what is under way finish for so long, and ends the threads.
    pub async fn finish(self, patience: Duration) {
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
            ended.await;
        }
    }
}

async fn serve(serving: Serving, incoming: Incoming, orders: watch::Receiver<Order>, on_fault: &OnFault) {
    let reached = |least: Order| {
        let mut orders = orders.clone();
        async move {
            // A sender that is gone means the same.
            let _ = orders.wait_for(|order| *order >= least).await;
        }
    };
    let mut beside = tokio::spawn(serving.beside);
    let served = transport()
        .add_routes(serving.routes)
        .serve_with_incoming_shutdown(incoming.connections(), reached(Order::Finish));
    tokio::select! {
        served = served => {
            if let Err(error) = served {
                tracing::error!(%error, "a thread that serves connections has ended");
            }
        }
        fault = &mut beside => {
            on_fault(&fault.err().map_or_else(|| "it has ended".to_owned(), |error| error.to_string()));
            // Calls get no more answers; they end when they are told to.
            reached(Order::Finish).await;
        }
        () = reached(Order::Abort) => {}
    }
    beside.abort();
}
