//! The connections of one thread: each is encrypted if that is asked for, served by a transport of its own, and watched.
//!
//! What must stay true: a connection takes up its place until its socket is closed; told to finish, connections take no
//! further calls, answer those that they have, and are closed.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use h2::RecvStream;
use h2::server::SendResponse;
use hyper::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::body::Body;
use tower_service::Service;

use super::answering::answer;
use super::conduct::{Conduct, Pace};
use super::direct::{Direct, DirectCalls, Left};
use super::guarded::{Brought, Called, Guarded, Part};
use super::shedding::{Crowd, Shedding};
use super::transport::{self, Signs, Transport};
use crate::access::gate::Session;
use crate::access::tls::{Tls, names_of};
use crate::limits;
use crate::metrics::{ConnectionMeter, CutOff};
use crate::service::connections::{Connection, Incoming, Peer};
use crate::service::patience::has_large_answer;
use crate::service::turns::Turn;

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
    /// The direct way of accruals, if there is one.
    pub(super) direct: Option<Arc<Direct>>,
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
    let (crowd, direct) = (terms.crowd.clone(), terms.direct.clone());
    let calls = |session: Arc<Session>| {
        let direct = direct.map(|direct| DirectCalls::new(direct, session.clone(), conduct.clone()));
        Calls { service, peer, session, conduct, crowd, direct }
    };
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
    let mut transport = Transport::new(shedding, calls, Signs::default());
    let (reason, ended) = tokio::select! {
        biased;
        ended = transport.serve() => (conduct.cut_off(), ended),
        _ = finishing.changed() => {
            transport.finish();
            let ended = transport.serve().await;
            (conduct.cut_off(), ended)
        }
        reason = conduct.watch() => {
            if reason == CutOff::Idle {
                // Whoever comes back is told not to send anything more on this one.
                transport.finish();
                let _ = timeout(FAREWELL, transport.serve()).await;
            }
            // What its calls hold is dropped with it, but for accruals that a worker may have: they end with their answers.
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

/// The calls of one connection.
struct Calls<S> {
    service: S,
    peer: Peer,
    /// What the connection has shown of who calls.
    session: Arc<Session>,
    conduct: Arc<Conduct>,
    crowd: Option<Arc<Crowd>>,
    direct: Option<DirectCalls>,
}

impl<S: Answering> transport::Calls for Calls<S> {
    fn take(&mut self, request: Request<RecvStream>, respond: SendResponse<Part>) {
        let left = Left { request, came: None, respond };
        let left = match &mut self.direct {
            Some(direct) => direct.take(left),
            None => Some(left),
        };
        if let Some(left) = left {
            self.route(left);
        }
    }

    fn gave_sign(&self) -> bool {
        self.conduct.take_sign()
    }

    fn poll_read_all(&mut self, cx: &mut Context<'_>) {
        // Taken out, so that what goes on can be handed to the services meanwhile.
        if let Some(mut direct) = self.direct.take() {
            direct.poll_kept(cx, |left| self.route(left));
            self.direct = Some(direct);
        }
    }
}

impl<S: Answering> Calls<S> {
    /// Hands a call to the services, in a task of its own.
    fn route(&self, left: Left) {
        let Left { mut request, came, respond } = left;
        request.extensions_mut().insert(self.peer);
        request.extensions_mut().insert(self.session.clone());
        let path = request.uri().path();
        let turn = has_large_answer(path).then(|| Arc::new(Turn::new(self.conduct.turns.clone())));
        // What has no message is answered at once, and strangers keep nobody out.
        let counts = !(came.is_none() && request.body().is_end_stream()) && self.session.is_known();
        let coming = self.crowd.as_ref().and_then(|crowd| crowd.count(path, counts));
        if let Some(turn) = &turn {
            request.extensions_mut().insert(turn.clone());
        }
        let request = request.map(|rest| Brought::new(came, rest, self.conduct.clone()));
        // Routes are ready at all times, and so is whatever lies around them: nobody has to be asked first.
        let called = Called::new(|| self.service.clone().call(request), self.conduct.clone(), turn, coming);
        tokio::spawn(answer(called, respond, self.conduct.clone()));
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use hyper::body::Incoming as AnswerBody;
    use hyper::client::conn::http2::{SendRequest, handshake};
    use hyper_util::rt::{TokioExecutor, TokioIo};
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

    async fn call(caller: &mut SendRequest<Body>) -> Response<AnswerBody> {
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
        let terms =
            Terms { tls: None, pace: Pace::of(&Bounds::default()), meter: meter.clone(), crowd: None, direct: None };
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
