//! Until when a caller waits: the header `grpc-timeout`, read once for each call, and the answer to a call whose time is
//! up.
//!
//! What must stay true: a deadline that passes before the head of the answer is there ends the call with
//! `DEADLINE_EXCEEDED` and a reason, never otherwise; a call without a deadline has no timer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::{HeaderMap, Request, Response};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;
use tower_layer::Layer;
use tower_service::Service;

use super::status::Failure;

/// How long the caller of a request waits, in nanoseconds from its arrival; a request whose header says so carries it
/// among its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout(pub(super) i64);

impl Timeout {
    /// What these headers say, if they say so.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        timeout_ns(headers).map(Self)
    }

    /// The same as a length of time.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_nanos(self.0.unsigned_abs())
    }

    /// When it will have passed, counted from now.
    #[must_use]
    pub fn due(self) -> Instant {
        sleep(self.duration()).deadline()
    }
}

/// Ends calls whose time is up.
#[derive(Clone, Copy, Debug)]
pub struct DeadlineLayer;

impl<S> Layer<S> for DeadlineLayer {
    type Service = Timely<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Timely { inner }
    }
}

/// A service whose calls end when their time is up.
#[derive(Clone, Debug)]
pub struct Timely<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Timely<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = TimelyCall<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let timeout = Timeout::of(request.headers());
        if let Some(timeout) = timeout {
            request.extensions_mut().insert(timeout);
        }
        TimelyCall { inner: self.inner.call(request), deadline: timeout.map(|timeout| sleep(timeout.duration())) }
    }
}

pin_project! {
    /// A call that ends when its time is up.
    pub struct TimelyCall<F> {
        #[pin]
        inner: F,
        #[pin]
        deadline: Option<Sleep>,
    }
}

impl<F, R, E> Future for TimelyCall<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Default,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // An answer that is there is given, however late: it says more than that it is late.
        if let Poll::Ready(answered) = this.inner.poll(cx) {
            return Poll::Ready(answered);
        }
        let Some(deadline) = this.deadline.as_pin_mut() else { return Poll::Pending };
        ready!(deadline.poll(cx));
        Poll::Ready(Ok(Status::from(Failure::DeadlineOutcomeUnknown).into_http()))
    }
}

/// How long the caller waits, from the header `grpc-timeout`: up to eight digits and a unit. A header that cannot be
/// read is as good as none.
fn timeout_ns(headers: &HeaderMap) -> Option<i64> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let unit_ns: i64 = match unit {
        "H" => 3_600_000_000_000,
        "M" => 60_000_000_000,
        "S" => 1_000_000_000,
        "m" => 1_000_000,
        "u" => 1_000,
        "n" => 1,
        _ => return None,
    };
    digits.parse::<i64>().ok().map(|count| count.saturating_mul(unit_ns))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{pending, ready};

    use tonic::Code;
    use tonic_types::StatusExt;

    use super::*;

    type Answered = Result<Response<String>, Infallible>;
    type Answer = Pin<Box<dyn Future<Output = Answered>>>;

    /// Answers at once with the deadline that it was told, or never.
    struct Inner {
        answers: bool,
    }

    impl Service<Request<()>> for Inner {
        type Response = Response<String>;
        type Error = Infallible;
        type Future = Answer;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<()>) -> Answer {
            let told = request.extensions().get::<Timeout>().map(|timeout| timeout.0);
            if self.answers { Box::pin(ready(Ok(Response::new(format!("{told:?}"))))) } else { Box::pin(pending()) }
        }
    }

    fn call(answers: bool, timeout: Option<&str>) -> TimelyCall<Answer> {
        let mut request = Request::new(());
        if let Some(timeout) = timeout {
            request.headers_mut().insert("grpc-timeout", timeout.parse().unwrap());
        }
        DeadlineLayer.layer(Inner { answers }).call(request)
    }

    #[tokio::test]
    async fn a_call_whose_time_is_up_ends_with_the_reason_in_its_head() {
        for timeout in ["0n", "1u", "2m"] {
            let answer = call(false, Some(timeout)).await.unwrap();
            let status = Status::from_header_map(answer.headers()).expect("the head has a status");
            assert_eq!(status.code(), Code::DeadlineExceeded);
            let info = status.get_details_error_info().expect("every failure has a reason");
            assert_eq!((info.reason.as_str(), info.domain.as_str()), ("DEADLINE_OUTCOME_UNKNOWN", "tallystick"));
            assert_eq!(answer.headers()["content-type"], "application/grpc");
            assert!(answer.body().is_empty(), "there is nothing but the head");
        }
    }

    #[tokio::test]
    async fn an_answer_in_time_is_left_as_it_is_and_the_service_knows_the_deadline() {
        let rows = [(Some("3S"), "Some(3000000000)"), (Some("0n"), "Some(0)"), (Some("3x"), "None"), (None, "None")];
        for (timeout, told) in rows {
            let answer = call(true, timeout).await.unwrap();
            assert_eq!((answer.body().as_str(), answer.headers().len()), (told, 0), "{timeout:?}");
        }
    }

    #[tokio::test]
    async fn a_call_that_states_no_deadline_has_no_timer() {
        for timeout in [None, Some(""), Some("soon"), Some("123456789n")] {
            assert!(call(false, timeout).deadline.is_none(), "{timeout:?}");
        }
        assert!(call(false, Some("1H")).deadline.is_some());
    }

    #[test]
    fn deadlines_are_read_in_every_unit() {
        let rows = [
            ("1H", Some(3_600_000_000_000)),
            ("2M", Some(120_000_000_000)),
            ("3S", Some(3_000_000_000)),
            ("250m", Some(250_000_000)),
            ("7u", Some(7_000)),
            ("0n", Some(0)),
            ("99999999H", Some(i64::MAX)),
            ("123456789n", None),
            ("5", None),
            ("S", None),
            ("-1S", None),
            ("5x", None),
        ];
        for (text, expected) in rows {
            let headers = HeaderMap::from_iter([("grpc-timeout".parse().unwrap(), text.parse().unwrap())]);
            assert_eq!(timeout_ns(&headers), expected, "{text}");
        }
        assert_eq!(timeout_ns(&HeaderMap::new()), None);
    }
}
