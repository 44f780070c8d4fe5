//! The express way: an accrual that comes as tills send it, one message in one piece, is read and answered here, without the
//! machinery that reads messages in any shape. Every other call goes on to the routes.
//!
//! What must stay true: no caller can tell the two ways apart, but by the time they take; what does not fit goes on with every
//! byte that it brought.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Request, Response};
use bytes::{BufMut, Bytes};
use hyper::body::{Body as HttpBody, Frame};
use tokio::sync::oneshot;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower_layer::Layer;
use tower_service::Service;

use super::auth::Caller;
use super::batch::{Begun, Detained};
use super::lane::{Answered, Told};
use super::patience::{BoxError, HEAD_BYTES};
use super::status::Failure;
use super::{Call, Edge, encode};

/// The call that has an express way.
pub const ACCRUE: &str = "/tallystick.v1.LedgerService/Accrue";
/// Says how a message is compressed.
const ENCODING: &str = "grpc-encoding";

/// Puts the express way before the routes.
#[derive(Clone)]
pub struct ExpressLayer {
    /// Without one every call goes on.
    edge: Option<Arc<Edge>>,
}

impl ExpressLayer {
    /// Accruals are answered by this edge.
    #[must_use]
    pub fn new(edge: Arc<Edge>) -> Self {
        Self { edge: Some(edge) }
    }

    /// Every call goes on.
    #[must_use]
    pub fn off() -> Self {
        Self { edge: None }
    }
}

impl Layer<Routes> for ExpressLayer {
    type Service = Express;

    fn layer(&self, routes: Routes) -> Express {
        Express { routes, edge: self.edge.clone() }
    }
}

/// Routes with an express way.
#[derive(Clone)]
pub struct Express {
    routes: Routes,
    edge: Option<Arc<Edge>>,
}

impl<B> Service<Request<B>> for Express
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError> + Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ExpressCall<B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<B>>::poll_ready(&mut self.routes, cx)
    }

    fn call(&mut self, request: Request<B>) -> ExpressCall<B> {
        let edge = self.edge.as_ref().filter(|_| fits(&request));
        ExpressCall(match edge {
            None => Way::Routed(self.routes.call(request)),
            Some(edge) => Way::Arriving(Some(Arriving {
                request,
                message: None,
                edge: edge.clone(),
                routes: self.routes.clone(),
            })),
        })
    }
}

/// Whether the head of a call says that it may be an accrual as tills send it.
pub fn fits<B>(request: &Request<B>) -> bool {
    request.uri().path() == ACCRUE && !request.headers().contains_key(ENCODING)
}

/// A call that has no answer yet.
pub struct ExpressCall<B>(Way<B>);

enum Way<B> {
    Routed(<Routes as Service<Request<Body>>>::Future),
    /// None once it has gone on.
    Arriving(Option<Arriving<B>>),
    /// It was let in.
    Begun(Waiting, Counted),
}

/// What a call that was let in waits for.
enum Waiting {
    /// Its worker.
    Entered(oneshot::Receiver<Told>),
    /// Something else.
    Detained(Detained),
}

/// A call that the edge knows of.
struct Counted {
    edge: Arc<Edge>,
    caller: Caller,
    _call: Call,
}

impl Counted {
    fn poll_answer(&self, waiting: &mut Waiting, cx: &mut Context<'_>) -> Poll<Answered> {
        if let Waiting::Entered(told) = waiting {
            match ready!(Pin::new(told).poll(cx)) {
                Ok(Told::Answered(answered)) => return Poll::Ready(answered),
                Ok(Told::Detained(job, left_open)) => {
                    *waiting = Waiting::Detained(self.edge.detained(&self.caller, job, left_open));
                }
                Err(_) => return Poll::Ready(Err(Failure::OutcomeUnknown)),
            }
        }
        match waiting {
            Waiting::Detained(answer) => answer.as_mut().poll(cx),
            Waiting::Entered(_) => unreachable!("it was given back"),
        }
    }
}

/// A call whose message has not been read.
struct Arriving<B> {
    request: Request<B>,
    /// The first piece of its body, which holds one message and nothing else.
    message: Option<Bytes>,
    edge: Arc<Edge>,
    routes: Routes,
}

impl<B> Arriving<B>
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError> + Send,
{
    /// Reads the body as far as it is there; gives the way by which the call goes on.
    fn poll(this: &mut Option<Self>, cx: &mut Context<'_>) -> Poll<Result<Way<B>, Failure>> {
        let Some(arriving) = this else { unreachable!("a call that has gone on does not arrive") };
        while !(arriving.message.is_some() && arriving.request.body().is_end_stream()) {
            let came =
                ready!(Pin::new(arriving.request.body_mut()).poll_frame(cx)).map(|came| came.map_err(Into::into));
            match (came, &arriving.message) {
                (Some(Ok(frame)), None) if frame.data_ref().is_some_and(is_one_message) => {
                    arriving.message = frame.into_data().ok();
                }
                (Some(Ok(frame)), Some(_)) if frame.data_ref().is_some_and(Bytes::is_empty) => {}
                (None, Some(_)) => break,
                (came, _) => return Poll::Ready(Ok(Self::go_on(this, came))),
            }
        }
        let Some(Self { request, message: Some(message), edge, .. }) = this.take() else {
            unreachable!("its message is here")
        };
        Poll::Ready(Self::begin(&request, &message.slice(HEAD_BYTES..), edge))
    }

    /// Hands the call to the routes, with what came of its body.
    fn go_on(this: &mut Option<Self>, came: Came) -> Way<B> {
        let Some(Self { request, message, mut routes, .. }) = this.take() else { unreachable!("a call goes on once") };
        let message = message.map(|bytes| Some(Ok(Frame::data(bytes))));
        let came = message.into_iter().chain([came]).collect();
        Way::Routed(routes.call(request.map(|rest| Body::new(Resumed { came, rest }))))
    }

    fn begin(request: &Request<B>, message: &Bytes, edge: Arc<Edge>) -> Result<Way<B>, Failure> {
        let call = edge.enter()?;
        let caller = Caller::among(request.extensions())?;
        let begun = edge.begin_one(&caller, message).map_err(|failure| edge.counted(failure))?;
        let waiting = match begun {
            Begun::Prepared(job, left_open) => Waiting::Entered(edge.enter_one(job, left_open)),
            Begun::Detained(answer) => Waiting::Detained(answer),
        };
        Ok(Way::Begun(waiting, Counted { edge, caller, _call: call }))
    }
}

/// Whether a piece of a body is one message that is not compressed, whole, and nothing else.
pub fn is_one_message(piece: &Bytes) -> bool {
    let Some(([0, length @ ..], message)) = piece.split_first_chunk::<HEAD_BYTES>() else { return false };
    usize::try_from(u32::from_be_bytes(*length)) == Ok(message.len())
}

impl<B> Future for ExpressCall<B>
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError> + Send,
{
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut self.0 {
                Way::Routed(call) => return Pin::new(call).poll(cx),
                Way::Arriving(arriving) => match ready!(Arriving::poll(arriving, cx)) {
                    Ok(way) => self.0 = way,
                    Err(failure) => return Poll::Ready(Ok(Status::from(failure).into_http())),
                },
                Way::Begun(waiting, counted) => {
                    let answered = ready!(counted.poll_answer(waiting, cx));
                    return Poll::Ready(Ok(match answered {
                        Ok(decision) => response(&decision),
                        Err(failure) => Status::from(counted.edge.counted(failure)).into_http(),
                    }));
                }
            }
        }
    }
}

/// The answer to an accrual, from its encoded decision.
fn response(decision: &[u8]) -> Response<Body> {
    head().map(|()| Body::new(Single { message: Some(message_of(decision)), has_ended: false }))
}

/// The head of an answer that is a message.
pub fn head() -> Response<()> {
    let mut head = Response::new(());
    head.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    head
}

/// The end of an answer that is a message.
pub fn all_is_well() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"));
    trailers
}

/// The message in which an encoded decision is answered, with what comes before each message.
pub(super) fn message_of(decision: &[u8]) -> Bytes {
    let length = encode::item_header_bytes(decision.len()) + decision.len();
    let mut message = Vec::with_capacity(HEAD_BYTES + length);
    message.put_u8(0);
    message.put_u32(u32::try_from(length).expect("an answer is smaller than 4 GiB"));
    encode::item(&mut message, decision);
    message.into()
}

/// The body of an answer: one message, and that all is well.
struct Single {
    message: Option<Bytes>,
    has_ended: bool,
}

impl HttpBody for Single {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(message) = self.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        if std::mem::replace(&mut self.has_ended, true) {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(Frame::trailers(all_is_well()))))
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended
    }
}

/// The body of a call that goes on: what came of it, and then the rest.
struct Resumed<B> {
    came: VecDeque<Came>,
    rest: B,
}

/// A piece of a body, or its end.
type Came = Option<Result<Frame<Bytes>, BoxError>>;

impl<B> HttpBody for Resumed<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Came> {
        match self.came.pop_front() {
            Some(came) => Poll::Ready(came),
            None => Pin::new(&mut self.rest).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.came.is_empty() && self.rest.is_end_stream()
    }
}
