//! The transport of every server: HTTP/2 on the connections of one thread, each with bounds of its own.
//!
//! What must stay true: every bound is stated here; a connection takes up its place until its socket is closed; told to
//! finish, connections take no further calls, answer those that they have, and are closed.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body as _, Incoming as RequestBody};
use hyper::server::conn::http2::Builder;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::body::Body;
use tower_service::Service;

use super::conduct::{Conduct, Pace};
use super::guarded::{Answer, Brought, Called, Guarded};
use super::shedding::{Crowd, Shedding};
use crate::access::gate::Session;
use crate::access::tls::{Tls, names_of};
use crate::limits;
use crate::metrics::{ConnectionMeter, CutOff};
use crate::service::connections::{Connection, Incoming, Peer};
use crate::service::patience::has_large_answer;

/// An idle connection is asked for a sign of life this often, and closed if none comes in time.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes that may be on their way to us on one stream, and on one connection.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
/// Bytes of answers that wait on one stream before its service is asked for more.
const STREAM_SEND_BUFFER_BYTES: usize = 256 << 10;
/// Time for the last words on a connection that nobody uses.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the connections of a thread have in common.
#[derive(Clone)]
pub(super) struct Terms {
    /// Certificates, if connections are encrypted.
    pub(super) tls: Option<Arc<Tls>>,
    /// How long anything may take.
    pub(super) pace: Pace,
    /// What is counted of them.
    pub(super) meter: Arc<ConnectionMeter>,
    /// The accruals of the thread, where those that are too many are refused before they are read.
    pub(super) crowd: Option<Arc<Crowd>>,
}

/// What answers calls, whoever makes them.
pub(super) trait Answering:
    Service<Request<Brought>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>
    + Clone
    + Send
    + 'static
{
}

impl<S> Answering for S where
    S: Service<Request<Brought>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + 'static
{
}

/// Serves the connections that are dealt to a thread until it is to finish; returns when the last one is closed.
pub(super) async fn serve_all(
    mut incoming: Incoming,
    service: impl Answering,
    terms: Terms,
    finish: impl Future<Output = ()>,
) {
    let (finishing, _) = watch::channel(());
    let mut finish = pin!(finish);
    loop {
        tokio::select! {
            () = &mut finish => break,
            dealt = incoming.next() => match dealt {
                Some(connection) => {
                    tokio::spawn(serve_one(connection, service.clone(), terms.clone(), finishing.subscribe()));
                }
                None => break,
            },
        }
    }
    // What was dealt and not taken is closed.
    drop(incoming);
    finishing.send_replace(());
    // A connection keeps its receiver until it is closed.
    finishing.closed().await;
}

async fn serve_one(connection: Connection, service: impl Answering, terms: Terms, mut finishing: watch::Receiver<()>) {
    let Connection { stream, peer, counted } = connection;
    let conduct = Arc::new(Conduct::new(terms.pace, terms.meter.large_answers_bytes.clone()));
    let calls = |session| Calls { service, peer, session, conduct, crowd: terms.crowd.clone() };
    match &terms.tls {
        None => serve_on(stream, calls(Arc::default()), &terms.meter, finishing).await,
        Some(tls) => {
            let limit = Duration::from_millis(limits::TLS_HANDSHAKE_MS_MAX);
            let shaken = tokio::select! {
                biased;
                shaken = timeout(limit, tls.acceptor().accept(stream)) => Some(shaken),
                _ = finishing.changed() => None,
            };
            match shaken {
                Some(Ok(Ok(stream))) => {
                    let certificates = stream.get_ref().1.peer_certificates();
                    let names = certificates.and_then(<[_]>::first).map(names_of).unwrap_or_default();
                    let session = Arc::new(Session::with_certificate(names));
                    serve_on(stream, calls(session), &terms.meter, finishing).await;
                }
                Some(Ok(Err(error))) => tracing::debug!(%error, "a handshake of TLS has failed"),
                Some(Err(_)) => cut_off(&terms.meter, peer, CutOff::Handshake),
                None => {}
            }
        }
    }
    // Here the socket is closed.
    drop(counted);
}

async fn serve_on<S>(
    stream: S,
    calls: Calls<impl Answering>,
    meter: &ConnectionMeter,
    mut finishing: watch::Receiver<()>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (conduct, peer) = (calls.conduct.clone(), calls.peer);
    let guarded = Guarded::new(stream, conduct.clone());
    let shedding = Shedding::new(guarded, calls.crowd.clone(), conduct.clone());
    let mut served = pin!(transport().serve_connection(TokioIo::new(shedding), calls));
    let (reason, ended) = tokio::select! {
        biased;
        ended = &mut served => (conduct.cut_off(), ended),
        _ = finishing.changed() => {
            served.as_mut().graceful_shutdown();
            let ended = served.await;
            (conduct.cut_off(), ended)
        }
        reason = conduct.watch() => {
            if reason == CutOff::Idle {
                // Whoever comes back is told not to send anything more on this one.
                served.as_mut().graceful_shutdown();
                let _ = timeout(FAREWELL, served).await;
            }
            // Whatever its calls hold is dropped with it.
            (Some(reason), Ok(()))
        }
    };
    match (reason, ended) {
        (Some(reason), _) => cut_off(meter, peer, reason),
        (None, Err(error)) => tracing::debug!(%error, "a connection has failed"),
        (None, Ok(())) => {}
    }
}

fn cut_off(meter: &ConnectionMeter, peer: Peer, reason: CutOff) {
    meter.cut_off(reason);
    tracing::debug!(peer = %peer.0, ?reason, "a connection was cut off");
}

/// HTTP/2 within its limits. Frames of headers in many parts (CONTINUATION) and data in very small parts are bounded by the
/// transport itself; whatever else a caller may do is judged by the conduct of its connection.
fn transport() -> Builder<TokioExecutor> {
    let mut transport = Builder::new(TokioExecutor::new());
    transport
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::CONNECTION_STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_header_list_size(limits::HEADER_LIST_BYTES_MAX)
        .max_frame_size(limits::FRAME_OF_CALLER_BYTES_MAX)
        .max_pending_accept_reset_streams(limits::STREAMS_RESET_UNSEEN_MAX)
        .max_local_error_reset_streams(limits::STREAMS_RESET_FOR_FAULTS_MAX)
        .max_send_buf_size(STREAM_SEND_BUFFER_BYTES)
        // Nothing in gRPC looks at it.
        .auto_date_header(false);
    transport
}

/// The calls of one connection.
struct Calls<S> {
    service: S,
    peer: Peer,
    /// What the connection has shown of who calls.
    session: Arc<Session>,
    conduct: Arc<Conduct>,
    crowd: Option<Arc<Crowd>>,
}

impl<S: Answering> hyper::service::Service<Request<RequestBody>> for Calls<S> {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Called<S::Future>;

    fn call(&self, mut request: Request<RequestBody>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        request.extensions_mut().insert(self.session.clone());
        let path = request.uri().path();
        let is_large = has_large_answer(path);
        // What has no message is answered at once, and strangers keep nobody out.
        let counts = !request.body().is_end_stream() && self.session.is_known();
        let coming = self.crowd.as_ref().and_then(|crowd| crowd.count(path, counts));
        let request = request.map(|body| Brought::new(body, self.conduct.clone()));
        // Routes are ready at all times, and so is whatever lies around them: nobody has to be asked first.
        Called::new(|| self.service.clone().call(request), self.conduct.clone(), is_large, coming)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use hyper::client::conn::http2::{SendRequest, handshake};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::oneshot;
    use tonic::service::Routes;

    use super::*;
    use crate::config::Bounds;
    use crate::service::connections::{Room, deal};

    async fn connect(address: SocketAddr) -> SendRequest<Body> {
        let stream = TcpStream::connect(address).await.unwrap();
        let (caller, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        caller
    }

    async fn call(caller: &mut SendRequest<Body>) -> Response<RequestBody> {
        let request = Request::post("http://localhost/nobody.Serves/This").body(Body::empty()).unwrap();
        caller.send_request(request).await.unwrap()
    }

    async fn until_open(meter: &ConnectionMeter, count: i64) {
        for _ in 0..3_000 {
            if meter.open.get() == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} connections are open, not {count}", meter.open.get());
    }

    #[tokio::test]
    async fn connections_are_counted_until_they_are_closed_by_either_side() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let meter = Arc::new(ConnectionMeter::default());
        let (accepting, mut incoming) = deal(listener, Room { in_all: 9, of_address: 9 }, 1, meter.clone());
        let accepting = tokio::spawn(accepting);
        let (finish, finished) = oneshot::channel::<()>();
        let terms = Terms { tls: None, pace: Pace::of(&Bounds::default()), meter: meter.clone(), crowd: None };
        let serving = serve_all(incoming.pop().unwrap(), Routes::default(), terms, async move {
            let _ = finished.await;
        });
        let serving = tokio::spawn(serving);

        let (mut leaves, mut stays) = (connect(address).await, connect(address).await);
        for caller in [&mut leaves, &mut stays] {
            let answer = call(caller).await;
            assert_eq!(answer.headers()["grpc-status"], "12", "there is no such method");
            assert!(!answer.headers().contains_key("date"));
        }
        until_open(&meter, 2).await;
        drop(leaves);
        until_open(&meter, 1).await;

        finish.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(30), serving).await.expect("an idle connection is closed").unwrap();
        assert_eq!(meter.open.get(), 0);
        accepting.abort();
        drop(stays);
    }
}
