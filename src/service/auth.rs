//! Who calls, and whether they may: a layer around all services turns what a call shows into a principal, judges the
//! call by the table of methods, and puts the caller among the extensions of the request.
//!
//! What must stay true: no call reaches a service past this layer; a caller learns that a credential is wrong and not
//! why; no field of a request names the partner that the call acts for.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::{HeaderMap, Request as HttpRequest, Response, Uri};
use bytes::Buf;
use hyper::body::Body;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tonic::{Extensions, Request, Status};
use tower_layer::Layer;
use tower_service::Service;

use super::deadline::Timeout;
use super::patience;
use super::status::Failure;
use crate::access::gate::{Gate, Nobody, Session};
use crate::access::meter::{Permit, TooMuch};
pub use crate::access::principal::Principal;
use crate::access::table::{self, Row};
use crate::clock::SharedClock;
use crate::ledger::types::TimestampNs;
use crate::limits;

/// One call's principal and deadline.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Whom the call acts for.
    pub principal: Arc<Principal>,
    /// When the caller stops waiting, on the monotonic clock, in nanoseconds.
    pub deadline_ns: Option<i64>,
    /// The call's place among those that the credential may have under way.
    pub permit: Option<Arc<Permit>>,
}

impl Caller {
    /// The caller of a request.
    pub(super) fn of<T>(request: &Request<T>) -> Result<Self, Failure> {
        Self::among(request.extensions())
    }

    /// The caller among the extensions of a request.
    pub(super) fn among(extensions: &Extensions) -> Result<Self, Failure> {
        let caller = extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Failure::internal("a request came past the authenticator"))
    }

    /// Whether a basket of this place may be brought.
    pub(super) fn check_place(&self, store: &str, terminal: &str) -> Result<(), Failure> {
        if self.principal.covers(store, terminal) {
            return Ok(());
        }
        Err(Failure::NotPermitted("The credential is not for baskets of this store and terminal.".to_owned()))
    }

    /// Whether a checkout's command may state when it counts as posted, if it does.
    pub(super) fn check_posting_time(&self, stated: Option<TimestampNs>) -> Result<(), Failure> {
        let refused = stated.and_then(|_| self.principal.refuses_posting_time());
        refused.map_or(Ok(()), |why| Err(Failure::NotPermitted(why)))
    }

    /// Counts the commands of a call that has so many. The first counted when the call began.
    pub(super) fn charge(&self, field: &'static str, count: usize) -> Result<(), Failure> {
        let Some(meter) = self.principal.meter() else { return Ok(()) };
        meter.charge_rest(count).map_err(|too_much| match too_much {
            TooMuch::Burst(most) => {
                Failure::field(field, format!("There are {count}, but the credential may send {most} at once."))
            }
            other => Failure::of_limit(other),
        })
    }

    /// Whether a command of a stream may be given.
    pub(super) fn check_row(&self, row: &Row) -> Result<(), Failure> {
        self.principal.permits(row).map_err(Failure::NotPermitted)
    }
}

/// Where no route leads.
const NOWHERE: &str = "/";

/// Judges every call.
#[derive(Clone)]
pub struct AccessLayer {
    /// Without one there are no callers, and every call goes on.
    gate: Option<(Arc<Gate>, SharedClock)>,
    /// For so long the request of a call that is denied is waited for.
    patience: Duration,
}

impl AccessLayer {
    /// Calls go through this gate.
    #[must_use]
    pub fn new(gate: Arc<Gate>, clock: SharedClock) -> Self {
        Self { gate: Some((gate, clock)), ..Self::off() }
    }

    /// Requests of calls that are denied are waited for no longer than this.
    #[must_use]
    pub fn with_patience(self, limit: Duration) -> Self {
        Self { patience: self.patience.min(limit), ..self }
    }

    /// Calls go on unseen, to services that ask for no caller.
    #[must_use]
    pub fn off() -> Self {
        Self { gate: None, patience: Duration::from_millis(limits::DENIED_MS_MAX) }
    }

    fn judge<B>(&self, request: &mut HttpRequest<B>) -> Result<Option<Arc<Permit>>, Failure> {
        let Some((gate, clock)) = &self.gate else { return Ok(None) };
        let row = table::find(request.uri().path());
        if row.is_some_and(Row::is_public) {
            return Ok(None);
        }
        let timeout = request.extensions().get::<Timeout>().copied();
        let caller = match request.extensions().get::<Arc<Session>>() {
            Some(session) => admit(gate, clock, row, request.headers(), session, timeout)?,
            None => admit(gate, clock, row, request.headers(), &Session::default(), timeout)?,
        };
        if row.is_none() {
            // What has no row is no method of ours, whatever the routes think: they say so, to callers who are somebody.
            *request.uri_mut() = Uri::from_static(NOWHERE);
        }
        let permit = caller.permit.clone();
        request.extensions_mut().insert(caller);
        Ok(permit)
    }

    /// Judges an accrual by the head that it came with.
    ///
    /// # Errors
    /// What its caller is told who may not.
    pub fn judge_accrual(
        &self,
        headers: &HeaderMap,
        session: &Session,
        timeout: Option<Timeout>,
    ) -> Result<Caller, Status> {
        let Some((gate, clock)) = &self.gate else { return Err(Failure::internal("there are no callers here").into()) };
        Ok(admit(gate, clock, Some(&table::ACCRUE), headers, session, timeout)?)
    }
}

/// Who calls, if they may make a call of this row of the table.
fn admit(
    gate: &Gate,
    clock: &SharedClock,
    row: Option<&Row>,
    headers: &HeaderMap,
    session: &Session,
    timeout: Option<Timeout>,
) -> Result<Caller, Failure> {
    let header = headers.get("authorization").map(|value| value.as_bytes());
    let principal = gate.admit(header, session).map_err(|nobody| match nobody {
        Nobody::NoCredential => Failure::CredentialMissing,
        Nobody::Unknown => Failure::CredentialUnknown,
        Nobody::NoNumber => Failure::LimitReached("There is no room for the name of a further partner.".to_owned()),
    })?;
    // Before it is judged further: what is denied counts too.
    let permit = principal.enter().map_err(Failure::of_limit)?;
    if let Some(row) = row {
        principal.permits(row).map_err(Failure::NotPermitted)?;
    }
    let deadline_ns = timeout.map(|timeout| clock.monotonic_ns().saturating_add(timeout.0));
    Ok(Caller { principal, deadline_ns, permit })
}

impl<S> Layer<S> for AccessLayer {
    type Service = Judged<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Judged { inner, layer: self.clone() }
    }
}

/// A service that is called by those who may.
#[derive(Clone)]
pub struct Judged<S> {
    inner: S,
    layer: AccessLayer,
}

impl<S, B, R> Service<HttpRequest<B>> for Judged<S>
where
    S: Service<HttpRequest<B>, Response = Response<R>>,
    B: Body,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = JudgedCall<S::Future, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: HttpRequest<B>) -> Self::Future {
        match self.layer.judge(&mut request) {
            Ok(permit) => JudgedCall { inner: Some(self.inner.call(request)), permit, denied: None },
            Err(failure) => {
                let is_stream = patience::is_stream(request.uri().path());
                let denied = Denied {
                    failure: Some(failure),
                    unread: request.into_body(),
                    bytes_left: UNREAD_BYTES_MAX,
                    patience: (!is_stream).then_some(self.layer.patience),
                    deadline: None,
                };
                JudgedCall { inner: None, permit: None, denied: Some(denied) }
            }
        }
    }
}

/// Of a request that is denied, so many bytes are taken before it is said.
const UNREAD_BYTES_MAX: usize = limits::SMALL_MESSAGE_BYTES_MAX;

pin_project! {
    /// A call that goes on, or has been denied.
    pub struct JudgedCall<F, B> {
        #[pin]
        inner: Option<F>,
        // Given back when the answer has begun; a stream has one of its own.
        permit: Option<Arc<Permit>>,
        #[pin]
        denied: Option<Denied<B>>,
    }
}

pin_project! {
    /// A call that has been denied.
    ///
    /// Whoever is denied is told once its request is here: what is answered early has to be reset, and a caller who keeps
    /// sending on what was reset is taken for one who breaks the rules, with everybody on the same connection. A stream may
    /// wait for answers before it sends on: of it only what is here is taken.
    struct Denied<B> {
        failure: Option<Failure>,
        #[pin]
        unread: B,
        bytes_left: usize,
        // None for a stream.
        patience: Option<Duration>,
        // Once the request is waited for.
        deadline: Option<Pin<Box<Sleep>>>,
    }
}

impl<B: Body> Denied<B> {
    /// Takes what comes of the request; ready when the caller is to be told.
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        while *this.bytes_left > 0 && !this.unread.is_end_stream() {
            match this.unread.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    *this.bytes_left = this.bytes_left.saturating_sub(frame.data_ref().map_or(0, Buf::remaining));
                }
                Poll::Ready(None | Some(Err(_))) => break,
                Poll::Pending => {
                    let Some(patience) = *this.patience else { break };
                    let deadline = this.deadline.get_or_insert_with(|| Box::pin(sleep(patience)));
                    ready!(deadline.as_mut().poll(cx));
                    break;
                }
            }
        }
        Poll::Ready(())
    }
}

impl<F, B, R, E> Future for JudgedCall<F, B>
where
    F: Future<Output = Result<Response<R>, E>>,
    B: Body,
    R: Default,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(inner) = this.inner.as_pin_mut() {
            return inner.poll(cx);
        }
        let mut failure = None;
        if let Some(mut denied) = this.denied.as_mut().as_pin_mut() {
            ready!(denied.as_mut().poll_read(cx));
            failure = denied.project().failure.take();
        }
        let failure = failure.unwrap_or_else(|| Failure::internal("a denied call was polled twice"));
        Poll::Ready(Ok(Status::from(failure).into_http()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::keys::KeyLog;
    use crate::clock::SystemClock;
    use crate::ledger::types::SymbolId;
    use axum::body::Body;
    use std::future::{Ready, ready as at_once};

    /// Answers every path with the path.
    struct Anything;

    impl Service<HttpRequest<Body>> for Anything {
        type Response = Response<String>;
        type Error = std::convert::Infallible;
        type Future = Ready<Result<Response<String>, Self::Error>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: HttpRequest<Body>) -> Self::Future {
            at_once(Ok(Response::new(request.uri().path().to_owned())))
        }
    }

    /// A route that somebody adds, and no row for it, is reached by nobody.
    #[tokio::test]
    async fn what_has_no_row_reaches_no_route() {
        let clock: SharedClock = Arc::new(SystemClock::new());
        let anyone = Principal::anyone("north".into(), SymbolId(1));
        let gate = Gate::open(anyone, Arc::new(KeyLog::default()), clock.clone());
        let mut judged = AccessLayer::new(Arc::new(gate), clock).layer(Anything);
        for (path, reached) in [
            ("/tallystick.v1.LedgerService/Accrue", "/tallystick.v1.LedgerService/Accrue"),
            ("/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Check"),
            ("/tallystick.v1.LedgerService/Forgotten", NOWHERE),
            ("/metrics", NOWHERE),
            ("/", NOWHERE),
        ] {
            let request = HttpRequest::builder().uri(path).body(Body::empty()).expect("it is a request");
            let Ok(answer) = judged.call(request).await;
            assert_eq!(answer.body(), reached, "{path}");
        }
    }
}
