//! Metrics and health over HTTP, on a port of their own and on a thread of their own: whoever scrapes takes no time
//! from the threads that serve calls.
//!
//! What must stay true: the port answers while the ledger recovers; `/readyz` says yes exactly while calls are served;
//! whoever asks nothing keeps no place.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Sleep, sleep};

use super::{Standing, Telemetry, series};

/// The type of what `/metrics` answers.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Connections at a time; more wait until one of them ends.
const CONNECTIONS_MAX: usize = 64;

/// How long a connection may take to bring a whole request, the first and each after an answer, and to take some of an
/// answer. The scraper and the manager on the same network need milliseconds; one that asks less often connects again.
const PATIENCE: Duration = Duration::from_secs(30);

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
    listen_with(address, telemetry, PATIENCE)
}

fn listen_with(address: &str, telemetry: &Arc<Telemetry>, patience: Duration) -> io::Result<Listening> {
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
                let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
                axum::serve(Bounded { listener, places, patience }, routes).await
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
    patience: Duration,
}

impl axum::serve::Listener for Bounded {
    type Io = Placed;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Placed, SocketAddr) {
        let place = self.places.clone().acquire_owned().await.ok();
        let (stream, address) = axum::serve::Listener::accept(&mut self.listener).await;
        let (patience, deadline) = (self.patience, Box::pin(sleep(self.patience)));
        (Placed { stream, patience, deadline, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

pin_project! {
    /// A connection with its place, until nothing has been answered on it for too long.
    struct Placed {
        #[pin]
        stream: TcpStream,
        patience: Duration,
        // Put off by what is answered alone: a request that comes byte by byte has no longer than one that does not come.
        deadline: Pin<Box<Sleep>>,
        _place: Option<OwnedSemaphorePermit>,
    }
}

/// Fails once the time is up; until then whoever polls is woken when it is.
fn poll_late<T>(deadline: &mut Pin<Box<Sleep>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
    ready!(deadline.as_mut().poll(cx));
    Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
}

impl AsyncRead for Placed {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        match this.stream.poll_read(cx, into) {
            Poll::Pending => poll_late(this.deadline, cx),
            read => read,
        }
    }
}

impl AsyncWrite for Placed {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.project();
        match this.stream.poll_write(cx, bytes) {
            Poll::Pending => poll_late(this.deadline, cx),
            written => {
                this.deadline.set(sleep(*this.patience));
                // Whoever was to be woken at the old time is woken at the new one: it may not ask for more before.
                let _ = this.deadline.as_mut().poll(cx);
                written
            }
        }
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;
    use crate::clock::SystemClock;

    const SHORT: Duration = Duration::from_millis(500);
    /// Nobody who is let go waits so long.
    const LONG: Duration = Duration::from_secs(60);
    const HALF: &str = "GET /healthz HTTP/1.1\r\nhost: here\r\n";
    const WHOLE: &str = "GET /healthz HTTP/1.1\r\nhost: here\r\n\r\n";
    const LAST: &str = "GET /healthz HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";

    fn listening() -> Listening {
        let telemetry = Telemetry::new(Arc::new(SystemClock::new()), 1, || Standing::Serving);
        listen_with("127.0.0.1:0", &telemetry, SHORT).expect("there is a port")
    }

    fn say(listening: &Listening, said: &str) -> TcpStream {
        let mut stream = TcpStream::connect(listening.address).expect("it listens");
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.write_all(said.as_bytes()).unwrap();
        stream
    }

    /// Everything that is answered until the connection is closed.
    fn answered(mut stream: TcpStream) -> String {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the connection is closed");
        answer
    }

    #[test]
    fn whoever_asks_nothing_more_makes_room_for_the_next() {
        let listening = listening();
        let kinds = ["", HALF, WHOLE];
        let silent: Vec<_> = (0..CONNECTIONS_MAX).map(|place| say(&listening, kinds[place % kinds.len()])).collect();
        let next = answered(say(&listening, LAST));
        assert!(next.starts_with("HTTP/1.1 200"), "{next}");
        for (place, stream) in silent.into_iter().enumerate() {
            let kind = kinds[place % kinds.len()];
            assert_eq!(answered(stream).starts_with("HTTP/1.1 200"), kind == WHOLE, "{kind:?}");
        }
    }

    #[test]
    fn a_request_that_comes_byte_by_byte_is_not_waited_for_longer() {
        let listening = listening();
        let mut stream = say(&listening, HALF);
        stream.set_read_timeout(Some(SHORT / 50)).unwrap();
        // What is answered, an end included, or that nothing is there yet.
        let is_open = |stream: &mut TcpStream| {
            let read = stream.read(&mut [0; 1]);
            read.is_err_and(|error| [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut].contains(&error.kind()))
        };
        let mut count = 0;
        while is_open(&mut stream) {
            // A name of a header that goes on.
            let _ = stream.write_all(b"x");
            count += 1;
            assert!(count < 6_000, "it is let go");
        }
    }
}
