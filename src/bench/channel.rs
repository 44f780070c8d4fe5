//! Connections of the load: one TCP connection each, on the thread that uses it.
//!
//! What must stay true: a refusal for want of capacity is counted, never hidden; a call that ends in any other way and a
//! broken connection end the run.

use std::net::SocketAddr;
use std::time::Duration;

use prost::bytes::Bytes;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use super::error::BenchError;
use super::raw::RawCodec;
use crate::access::secret::Secret;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes that may be on their way to us: enough that no answer waits for our permission.
const WINDOW_BYTES: u32 = 8 << 20;

/// Path of the unary accrual.
pub(super) const ACCRUE: &str = "/tallystick.v1.LedgerService/Accrue";
/// Path of the stream of commands.
const COMMAND_STREAM: &str = "/tallystick.v1.LedgerService/CommandStream";

/// The reasons of a server that has no capacity for a call, or had none in time.
const WANTS: [&str; 3] = ["OVERLOADED", "DEADLINE_EXPIRED", "DEADLINE_OUTCOME_UNKNOWN"];

/// A server, and what it is shown and asked.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// Its address.
    pub url: String,
    /// The root of its certificate (PEM); `None` speaks in the clear.
    pub root: Option<String>,
    /// What calls bring.
    pub key: Shown,
}

impl Target {
    /// A server that is spoken to in the clear and asks for nothing.
    #[must_use]
    pub fn plain(url: String) -> Self {
        Self { url, ..Self::default() }
    }

    /// Its address, where it is spoken to in the clear.
    ///
    /// # Errors
    /// When it is not, or has no address in numbers.
    pub fn address(&self) -> Result<SocketAddr, BenchError> {
        let address = self.url.strip_prefix("http://").and_then(|address| address.parse().ok());
        address.ok_or_else(|| BenchError::Usage("this load speaks in the clear; leave --tls out".to_owned()))
    }
}

/// The header with a key, if there is one.
#[derive(Clone, Default)]
pub struct Shown(Option<MetadataValue<Ascii>>);

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "[secret]" } else { "nothing" })
    }
}

impl Shown {
    /// Shows a key.
    ///
    /// # Panics
    /// Never: keys are ASCII.
    #[must_use]
    pub fn key(key: &Secret) -> Self {
        let mut value: MetadataValue<Ascii> = format!("Bearer {}", key.expose()).parse().expect("keys are ASCII");
        value.set_sensitive(true);
        Self(Some(value))
    }

    /// The header as text.
    pub(super) fn text(&self) -> Option<String> {
        self.0.as_ref().and_then(|value| value.to_str().ok()).map(str::to_owned)
    }
}

impl Interceptor for Shown {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// A connection whose calls bring what is shown.
pub type Connection = InterceptedService<Channel, Shown>;

/// Opens a connection. Must be called within a runtime of the thread that will use it.
///
/// # Errors
/// When nobody answers.
pub async fn connect(target: &Target) -> Result<Connection, BenchError> {
    let failed = |reason: String| BenchError::Connect { url: target.url.clone(), reason };
    let endpoint = Endpoint::from_shared(target.url.clone()).map_err(|error| failed(error.to_string()))?;
    let endpoint = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .initial_connection_window_size(WINDOW_BYTES)
        .initial_stream_window_size(WINDOW_BYTES)
        .tcp_nodelay(true);
    let endpoint = match &target.root {
        None => endpoint,
        Some(root) => {
            let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(root)).domain_name("localhost");
            endpoint.tls_config(tls).map_err(|error| failed(format!("{error:?}")))?
        }
    };
    let channel = endpoint.connect().await.map_err(|error| failed(format!("{error:?}")))?;
    Ok(InterceptedService::new(channel, target.key.clone()))
}

/// Makes one encoded unary accrual, with a deadline or without.
///
/// # Errors
/// The status that the call ended with.
pub async fn accrue(grpc: &mut Grpc<Connection>, request: Bytes, deadline: Option<Duration>) -> Result<Bytes, Status> {
    grpc.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
    let path = PathAndQuery::from_static(ACCRUE);
    let mut request = Request::new(request);
    if let Some(deadline) = deadline {
        request.set_timeout(deadline);
    }
    let answer = grpc.unary(request, path, RawCodec { is_for_batches: false }).await?;
    Ok(answer.into_inner())
}

/// Opens a stream of encoded commands.
///
/// # Errors
/// The status that the call ended with.
pub async fn command_stream(
    channel: Connection,
    requests: impl tokio_stream::Stream<Item = Bytes> + Send + 'static,
) -> Result<tonic::Streaming<Bytes>, Status> {
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
    let path = PathAndQuery::from_static(COMMAND_STREAM);
    let answers = grpc.streaming(Request::new(requests), path, RawCodec { is_for_batches: true }).await?;
    Ok(answers.into_inner())
}

/// The kind of a refusal that ended a call: the reason that the server gave, if it is a want of capacity. Anything else
/// ends the run.
///
/// Calls whose deadline passes are given up by resetting their streams, and a server closes a connection on which too
/// many are reset: with deadlines, a connection that was closed is counted, and opened again by the next call. If it is
/// the server that has gone, that call fails otherwise. What a transport says has a cause; what a server says has none.
///
/// # Errors
/// When the status is no refusal of load.
pub fn refusal_kind(status: &Status, has_deadline: bool) -> Result<String, BenchError> {
    if std::error::Error::source(status).is_none() {
        let reason = status.get_details_error_info().map(|info| info.reason);
        return reason.filter(|reason| WANTS.contains(&reason.as_str())).ok_or_else(|| broken(status));
    }
    match status.code() {
        // So the transport of the caller says that a deadline passed.
        Code::Cancelled | Code::DeadlineExceeded if status.message() == "Timeout expired" => {
            Ok("DEADLINE_EXPIRED".to_owned())
        }
        Code::Unknown | Code::Cancelled | Code::Internal | Code::ResourceExhausted
            if has_deadline && !is_reset(status) =>
        {
            Ok("CONNECTION_CLOSED".to_owned())
        }
        _ => Err(broken(status)),
    }
}

/// Whether a call was ended by a reset of its stream: the connection goes on, and it is the server that gave the call up.
fn is_reset(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.reason().is_some() && !error.is_go_away();
        }
        cause = error.source();
    }
    false
}

/// A call that ended as none may, with every reason beneath.
#[must_use]
pub fn broken(status: &Status) -> BenchError {
    let mut message = format!("{:?}: {}", status.code(), status.message());
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        message.push_str(&format!(": {error}"));
        cause = error.source();
    }
    BenchError::Call(message)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::io;
    use std::sync::Arc;

    use tonic_types::ErrorDetails;

    use super::*;

    /// A status as a server says it.
    fn said(code: Code, reason: &str) -> Status {
        let details = ErrorDetails::with_error_info(reason, "tallystick", HashMap::<String, String>::new());
        Status::with_error_details(code, "The server's words", details)
    }

    /// A status as the transport of a caller makes it.
    fn made(code: Code, message: &str, cause: impl std::error::Error + Send + Sync + 'static) -> Status {
        let mut status = Status::new(code, message);
        status.set_source(Arc::new(cause));
        status
    }

    #[test]
    fn only_a_want_of_capacity_is_a_refusal_of_load() {
        for has_deadline in [false, true] {
            let kind = |status: &Status| refusal_kind(status, has_deadline).ok();
            for (code, reason) in [
                (Code::ResourceExhausted, "OVERLOADED"),
                (Code::DeadlineExceeded, "DEADLINE_EXPIRED"),
                (Code::DeadlineExceeded, "DEADLINE_OUTCOME_UNKNOWN"),
            ] {
                assert_eq!(kind(&said(code, reason)).as_deref(), Some(reason));
            }
            for (code, reason) in [
                (Code::Internal, "INTERNAL_FAULT"),
                (Code::ResourceExhausted, "RATE_LIMITED"),
                (Code::DeadlineExceeded, "REQUEST_TOO_SLOW"),
                (Code::Unavailable, "OUTCOME_UNKNOWN"),
                (Code::OutOfRange, "MESSAGE_TOO_LARGE"),
            ] {
                assert_eq!(kind(&said(code, reason)), None, "{reason}");
            }
            for code in [Code::Unknown, Code::Cancelled, Code::Internal, Code::ResourceExhausted] {
                assert_eq!(kind(&Status::new(code, "without a reason")), None, "{code:?}");
            }
        }
    }

    #[test]
    fn a_connection_that_was_closed_counts_where_callers_give_up_and_a_call_that_was_reset_nowhere() {
        let closed = made(Code::Unknown, "the connection was closed", io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(refusal_kind(&closed, true).unwrap(), "CONNECTION_CLOSED");
        assert!(refusal_kind(&closed, false).is_err(), "nobody had given up");
        for reason in [h2::Reason::INTERNAL_ERROR, h2::Reason::CANCEL] {
            let reset = made(Code::Cancelled, "the call was reset", h2::Error::from(reason));
            assert!(refusal_kind(&reset, true).is_err(), "{reason:?}");
        }
        let expired = made(Code::Cancelled, "Timeout expired", io::Error::from(io::ErrorKind::TimedOut));
        assert_eq!(refusal_kind(&expired, true).unwrap(), "DEADLINE_EXPIRED");
    }
}
