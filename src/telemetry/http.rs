//! Metrics and health over HTTP, on a port of their own and on a thread of their own: whoever scrapes takes no time
//! from the threads that serve calls.
//!
//! What must stay true: the port answers while the ledger recovers; `/readyz` says yes exactly while calls are served.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{Standing, Telemetry, series};

/// The type of what `/metrics` answers.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Connections at a time; more wait until one of them ends.
const CONNECTIONS_MAX: usize = 64;

/// The port, for as long as this is held.
#[derive(Debug)]
pub struct Listening {
    /// Where it is.
    pub address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

/// Listens on an address and answers until what this returns is dropped.
///
/// # Errors
/// When the address cannot be listened on, or no thread is to be had.
pub fn listen(address: &str, telemetry: &Arc<Telemetry>) -> io::Result<Listening> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(is_live))
        .route("/readyz", get(is_ready))
        .with_state(telemetry.clone());
    std::thread::Builder::new().name("telemetry".to_owned()).spawn(move || {
        runtime.block_on(async {
            let served = async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                axum::serve(Bounded { listener, places: Arc::new(Semaphore::new(CONNECTIONS_MAX)) }, routes).await
            };
            tokio::select! {
                served = served => if let Err(error) = served {
                    tracing::warn!(%error, "metrics are not served any more");
                },
                _ = stopped => {}
            }
        });
    })?;
    Ok(Listening { address, _stop: stop })
}

/// A listener that accepts so many connections at a time.
struct Bounded {
    listener: tokio::net::TcpListener,
    places: Arc<Semaphore>,
}

impl axum::serve::Listener for Bounded {
    type Io = Placed;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Placed, SocketAddr) {
        let place = self.places.clone().acquire_owned().await.ok();
        let (stream, address) = axum::serve::Listener::accept(&mut self.listener).await;
        (Placed { stream, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

pin_project! {
    /// A connection with its place.
    struct Placed {
        #[pin]
        stream: TcpStream,
        _place: Option<OwnedSemaphorePermit>,
    }
}

impl AsyncRead for Placed {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_read(cx, into)
    }
}

impl AsyncWrite for Placed {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.project().stream.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_shutdown(cx)
    }
}

async fn metrics(State(telemetry): State<Arc<Telemetry>>) -> impl IntoResponse {
    match series::in_text(&telemetry) {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, OPENMETRICS)], text),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], String::new()),
    }
}

/// Whether the process does its work or is on the way to it: one that does not is to be started anew.
async fn is_live(State(telemetry): State<Arc<Telemetry>>) -> impl IntoResponse {
    let standing = telemetry.standing();
    (code_of(standing != Standing::Failed), format!("{standing}\n"))
}

/// Whether calls are served.
async fn is_ready(State(telemetry): State<Arc<Telemetry>>) -> impl IntoResponse {
    let standing = telemetry.standing();
    (code_of(standing == Standing::Serving), format!("{standing}\n"))
}

fn code_of(is_well: bool) -> StatusCode {
    if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
