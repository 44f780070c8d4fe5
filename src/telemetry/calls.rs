//! A layer around all services that counts calls, times some of them, and tells of them in spans and log lines.
//!
//! What must stay true: a call costs two additions, and one in eight two looks at the clock; nothing of a request's
//! content is looked at; a stream is watched until its last word, which says how it ended.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::http::{HeaderMap, Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

#[cfg(feature = "otel")]
use super::traces::{CallSpan, Traces};
use crate::clock::SharedClock;
use crate::metrics::{Histogram, Tally, is_sampled};

/// The methods that calls are counted for, as the last part of their path; the last stands for all others: health
/// checks, reflection, and what does not exist.
pub const METHODS: [&str; 54] = [
    "Accrue",
    "AccrueBatch",
    "CommandStream",
    "Reverse",
    "Quote",
    "QuoteBatch",
    "Redeem",
    "Authorize",
    "Capture",
    "Void",
    "TopUp",
    "RecordActivity",
    "GetBalance",
    "ListRewards",
    "GetTransaction",
    "ListTransactions",
    "ListRelatedTransactions",
    "ExplainTransaction",
    "Enrol",
    "UpdateAccount",
    "GetAccount",
    "LinkIdentifier",
    "UnlinkIdentifier",
    "LoadOpeningBalance",
    "CheckProgram",
    "PublishProgram",
    "GetProgram",
    "ListPrograms",
    "GetStatus",
    "ExportAccounts",
    "TakeSnapshot",
    "CreateBackup",
    "ListHeld",
    "ReleaseHeld",
    "RejectHeld",
    "RestoreExpired",
    "AdjustBalance",
    "IssueVoucher",
    "CancelVoucher",
    "CreateKey",
    "RotateKey",
    "RevokeKey",
    "ListKeys",
    "Freeze",
    "Thaw",
    "ListFreezes",
    "ListReceiptClaims",
    "ListVelocityDenials",
    "ListProposals",
    "ConfirmProposal",
    "RejectProposal",
    "GetSettlementReport",
    "ListBudgets",
    "other",
];

/// Those of them whose answers go on behind their heads, and end with a status. What has none of them has one message, and no
/// status but a good one behind it.
pub const STREAMS: [&str; 2] = ["CommandStream", "ExportAccounts"];

/// The statuses that a call can fail with, from number 1 on.
pub const CODES: [&str; 16] = [
    "cancelled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated",
];

/// Counts and times calls.
pub struct CallMeter {
    clock: SharedClock,
    calls: Tally<{ METHODS.len() }>,
    failures: Tally<{ CODES.len() }>,
    durations: Vec<Histogram>,
}

impl CallMeter {
    /// All at zero.
    #[must_use]
    pub fn new(clock: SharedClock) -> Self {
        let durations = METHODS.iter().map(|_| Histogram::new(14, 34)).collect();
        Self { clock, calls: Tally::default(), failures: Tally::default(), durations }
    }

    /// Calls of a method that have begun.
    #[must_use]
    pub fn calls(&self, method: usize) -> u64 {
        self.calls.get(method)
    }

    /// Calls that ended with the status at this place of [`CODES`].
    #[must_use]
    pub fn failures(&self, code: usize) -> u64 {
        self.failures.get(code)
    }

    /// How long calls of a method took.
    #[must_use]
    pub fn durations(&self, method: usize) -> &Histogram {
        &self.durations[method]
    }

    /// A call of this path was answered with the status of this number before any service saw it.
    pub fn shed(&self, path: &str, code: usize) {
        self.calls.add_one(method_of(path));
        self.failed(code);
    }

    fn failed(&self, code: usize) {
        if (1..=CODES.len()).contains(&code) {
            self.failures.add_one(code - 1);
        }
    }
}

/// The place of a path's method in [`METHODS`].
fn method_of(path: &str) -> usize {
    let name = path.rsplit('/').next().unwrap_or_default();
    METHODS.iter().position(|method| *method == name).unwrap_or(METHODS.len() - 1)
}

/// The number of the status in the head of an answer or behind it; `None` where there is none.
#[must_use]
pub fn code_in(headers: &HeaderMap) -> Option<usize> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// Puts a watch around services.
#[derive(Clone)]
pub struct CallLayer {
    /// Without one nothing is watched.
    meter: Option<Arc<CallMeter>>,
    #[cfg(feature = "otel")]
    traces: Option<Arc<Traces>>,
}

impl CallLayer {
    /// Counts and times.
    #[must_use]
    pub fn new(meter: Arc<CallMeter>) -> Self {
        let mut layer = Self::off();
        layer.meter = Some(meter);
        layer
    }

    /// Lets calls pass unseen.
    #[must_use]
    pub fn off() -> Self {
        Self {
            meter: None,
            #[cfg(feature = "otel")]
            traces: None,
        }
    }

    /// Sends spans too.
    #[cfg(feature = "otel")]
    #[must_use]
    pub fn with_traces(self, traces: Option<Arc<Traces>>) -> Self {
        Self { traces, ..self }
    }
}

impl<S> Layer<S> for CallLayer {
    type Service = Watched<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Watched { inner, layer: self.clone() }
    }
}

/// A service whose calls are watched.
#[derive(Clone)]
pub struct Watched<S> {
    inner: S,
    layer: CallLayer,
}

impl<S, B, R> Service<Request<B>> for Watched<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = WatchedCall<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let watch = self.layer.begin(request.uri().path(), request.headers());
        WatchedCall { inner: self.inner.call(request), watch: Some(watch) }
    }
}

/// Watches one call until it ends. One that is dropped before has no end to be told.
pub struct CallWatch {
    meter: Option<Arc<CallMeter>>,
    method: usize,
    began_ns: Option<i64>,
    #[cfg(feature = "otel")]
    span: Option<CallSpan>,
}

impl CallLayer {
    /// A call of this path begins.
    #[cfg_attr(not(feature = "otel"), expect(unused_variables, reason = "headers matter to traces alone"))]
    #[must_use]
    pub fn begin(&self, path: &str, headers: &HeaderMap) -> CallWatch {
        let (mut method, mut began_ns) = (0, None);
        if let Some(meter) = &self.meter {
            method = method_of(path);
            meter.calls.add_one(method);
            began_ns = is_sampled().then(|| meter.clock.monotonic_ns());
        }
        CallWatch {
            meter: self.meter.clone(),
            method,
            began_ns,
            #[cfg(feature = "otel")]
            span: self.traces.as_ref().and_then(|traces| traces.begin(path, headers)),
        }
    }
}

impl CallWatch {
    /// The head of its answer is there.
    fn answered(&mut self) {
        if let (Some(meter), Some(began_ns)) = (&self.meter, self.began_ns.take()) {
            meter.durations[self.method].record_ns(meter.clock.monotonic_ns() - began_ns);
        }
    }

    fn is_of_stream(&self) -> bool {
        self.meter.is_some() && STREAMS.contains(&METHODS[self.method])
    }

    /// It ends with the status of this number; 0 if all is well.
    pub fn end(mut self, code: usize) {
        self.answered();
        let Some(meter) = self.meter else { return };
        if code != 0 {
            meter.failed(code);
            let code = CODES.get(code - 1).copied().unwrap_or("unknown");
            // What is the server's own fault has an error line of its own, with the cause.
            tracing::debug!(method = METHODS[self.method], code, "a call was not granted");
        }
        #[cfg(feature = "otel")]
        if let Some(span) = self.span {
            span.end(code);
        }
    }
}

/// The watch of a call whose answer has begun and whose status comes behind it. It is among the extensions of the head; whoever
/// sends the answer tells it how that ended.
#[derive(Clone)]
pub struct Trailing(Arc<Mutex<Option<CallWatch>>>);

impl Trailing {
    fn new(mut watch: CallWatch) -> Self {
        watch.answered();
        Self(Arc::new(Mutex::new(Some(watch))))
    }

    /// The answer has ended with the status of this number; 0 if all is well.
    pub fn end(&self, code: usize) {
        let watch = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(watch) = watch {
            watch.end(code);
        }
    }
}

pin_project! {
    /// A call under way.
    pub struct WatchedCall<F> {
        #[pin]
        inner: F,
        watch: Option<CallWatch>,
    }
}

impl<F, R, E> Future for WatchedCall<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut answered = ready!(this.inner.poll(cx));
        if let Some(watch) = this.watch.take() {
            match &mut answered {
                Ok(response) => match code_in(response.headers()) {
                    None if watch.is_of_stream() => {
                        response.extensions_mut().insert(Trailing::new(watch));
                    }
                    code => watch.end(code.unwrap_or(0)),
                },
                Err(_) => watch.end(0),
            }
        }
        Poll::Ready(answered)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{Ready, ready as at_once};

    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn a_path_is_counted_for_its_method() {
        assert_eq!(METHODS[method_of("/tallystick.v1.LedgerService/Accrue")], "Accrue");
        for other in ["/grpc.health.v1.Health/Check", "/", "", "/tallystick.v1.LedgerService/other"] {
            assert_eq!(METHODS[method_of(other)], "other");
        }
    }

    /// Answers with a head that has this status, or none.
    struct Heads(Option<&'static str>);

    impl Service<Request<()>> for Heads {
        type Response = Response<()>;
        type Error = Infallible;
        type Future = Ready<Result<Response<()>, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<()>) -> Self::Future {
            let mut response = Response::new(());
            if let Some(status) = self.0 {
                response.headers_mut().insert("grpc-status", status.parse().unwrap());
            }
            at_once(Ok(response))
        }
    }

    #[tokio::test]
    async fn a_stream_is_counted_with_the_status_behind_its_answer_and_any_other_call_with_that_of_its_head() {
        for (method, in_head, behind, expected) in [
            ("CommandStream", None, Some(3), 3),
            ("CommandStream", None, Some(0), 0),
            ("CommandStream", Some("16"), None, 16),
            ("ExportAccounts", None, Some(14), 14),
            // Whoever sends it has been given up by the caller.
            ("ExportAccounts", None, None, 0),
            ("Accrue", Some("8"), None, 8),
            ("Accrue", None, None, 0),
        ] {
            let meter = Arc::new(CallMeter::new(Arc::new(SystemClock::new())));
            let mut watched = CallLayer::new(meter.clone()).layer(Heads(in_head));
            let request = Request::builder().uri(format!("/tallystick.v1.AnyService/{method}")).body(()).unwrap();
            let Ok(mut response) = watched.call(request).await;
            let trailing = response.extensions_mut().remove::<Trailing>();
            assert_eq!(trailing.is_some(), STREAMS.contains(&method) && in_head.is_none(), "{method}");
            if let (Some(trailing), Some(code)) = (&trailing, behind) {
                trailing.end(code);
                // It has one end.
                trailing.end(code);
            }
            let counted: Vec<usize> = (1..=CODES.len()).filter(|code| meter.failures(code - 1) == 1).collect();
            assert_eq!(counted, Vec::from_iter((expected > 0).then_some(expected)), "{method} {in_head:?} {behind:?}");
            let all: u64 = (0..CODES.len()).map(|code| meter.failures(code)).sum();
            assert_eq!((all, meter.calls(method_of(method))), (u64::from(expected > 0), 1), "{method}");
        }
    }
}
