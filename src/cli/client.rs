//! The command line's side of the wire: one connection to a server, and what a failed call means for the exit status.
//!
//! What must stay true: nothing waits for ever (connecting, unary calls and idle connections have time limits); a
//! failure names the server and, where the server says so, the fields at fault.

use std::time::Duration;

use prost_types::Timestamp as WireTimestamp;
use tokio::runtime::Runtime;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use super::access::{AccessArgs, KeyHeader};
use super::error::{CliError, Exit};
use super::output::Progress;
use crate::limits;
use crate::service::wire::ErrorReason;
use crate::service::wire::access_service_client::AccessServiceClient;
use crate::service::wire::account_service_client::AccountServiceClient;
use crate::service::wire::admin_service_client::AdminServiceClient;
use crate::service::wire::approval_service_client::ApprovalServiceClient;
use crate::service::wire::fraud_service_client::FraudServiceClient;
use crate::service::wire::ledger_service_client::LedgerServiceClient;
use crate::service::wire::operator_service_client::OperatorServiceClient;
use crate::service::wire::program_service_client::ProgramServiceClient;
use crate::service::wire::settlement_service_client::SettlementServiceClient;

/// The address that a server listens on when it is told none.
pub const SERVER_DEFAULT: &str = "http://127.0.0.1:7007";

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a unary call may take.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a call may take that reads the whole state.
pub const LONG_CALL_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a call waits for its turn that the server runs one at a time.
const TURN_PATIENCE: Duration = Duration::from_secs(60);
/// The longest pause between two tries of such a call.
const TURN_PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often a connection without traffic is checked.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How long the answer to such a check may take.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes that may be on their way to us: enough that a stream of answers does not wait for each round trip.
const WINDOW_BYTES: u32 = 8 << 20;
/// Bytes of one message from the server. Answers explain every line, so they can be larger than requests.
const ANSWER_BYTES_MAX: usize = 8 * limits::MESSAGE_BYTES_MAX;

/// Which server to talk to.
#[derive(Clone, Debug, clap::Args)]
pub struct ServerArgs {
    /// Address of the server
    #[arg(long, value_name = "URL", env = "TALLYSTICK_SERVER", default_value = SERVER_DEFAULT)]
    pub server: String,
    /// What is shown to the server, and asked of it.
    #[command(flatten)]
    pub access: AccessArgs,
}

impl ServerArgs {
    /// A server that is spoken to in the clear and asks for nothing.
    #[must_use]
    pub fn plain(url: String) -> Self {
        Self { server: url, access: AccessArgs::default() }
    }
}

/// A connection whose calls bring what the command line was given.
pub type Connection = InterceptedService<Channel, KeyHeader>;

/// Where a server is and how to call it; connects anew when asked to.
#[derive(Clone, Debug)]
pub struct Server {
    url: String,
    endpoint: Endpoint,
    key: KeyHeader,
}

/// The clients of one connection.
#[derive(Clone, Debug)]
pub struct Clients {
    /// Commands and reads.
    pub ledger: LedgerServiceClient<Connection>,
    /// Accounts, beside their points.
    pub account: AccountServiceClient<Connection>,
    /// Versions of the programme.
    pub program: ProgramServiceClient<Connection>,
    /// What people decide.
    pub operator: OperatorServiceClient<Connection>,
    /// How partners stand.
    pub settlement: SettlementServiceClient<Connection>,
    /// Running the ledger.
    pub admin: AdminServiceClient<Connection>,
    /// Keys.
    pub keys: AccessServiceClient<Connection>,
    /// Freezes, and what looks like fraud.
    pub fraud: FraudServiceClient<Connection>,
    /// What waits for a second person.
    pub approval: ApprovalServiceClient<Connection>,
    /// Whether calls are served.
    pub health: HealthClient<Connection>,
}

impl Server {
    /// Checks the address; connects to nothing yet.
    ///
    /// # Errors
    /// When it cannot be understood.
    pub fn new(args: &ServerArgs) -> Result<Self, CliError> {
        let scheme = if args.access.speaks_tls() { "https" } else { "http" };
        let url = if args.server.contains("://") { args.server.clone() } else { format!("{scheme}://{}", args.server) };
        let wrong = |reason: &str| CliError::new(Exit::Usage, format!("the server's address {url} {reason}"));
        let has_tls = url.starts_with("https://");
        if !has_tls && !url.starts_with("http://") {
            return Err(wrong("is neither an http:// nor an https:// address"));
        }
        if !has_tls && args.access.speaks_tls() {
            return Err(wrong("is spoken to in the clear, so certificates have no use").hint("write https://HOST:PORT"));
        }
        let endpoint = Endpoint::from_shared(url.clone())
            .map_err(|_| wrong("cannot be understood").hint("write it as http://HOST:PORT"))?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_connection_window_size(WINDOW_BYTES)
            .initial_stream_window_size(WINDOW_BYTES)
            .tcp_nodelay(true);
        let endpoint = if has_tls {
            let tls = args.access.tls()?;
            endpoint.tls_config(tls).map_err(|error| {
                CliError::new(Exit::Configuration, format!("the certificates cannot be used: {}", root_cause(&error)))
            })?
        } else {
            endpoint
        };
        Ok(Self { url, endpoint, key: args.access.key_header()? })
    }

    /// The server's address, for messages.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Connects.
    ///
    /// # Errors
    /// When nobody answers at the address.
    pub async fn connect(&self) -> Result<Clients, CliError> {
        let channel = self.endpoint.connect().await.map_err(|error| {
            let message = format!("the server at {} cannot be reached: {}", self.url, root_cause(&error));
            CliError::new(Exit::Unavailable, message).hint("is it running? `tallystick serve` starts one")
        })?;
        let channel = InterceptedService::new(channel, self.key.clone());
        Ok(Clients {
            ledger: LedgerServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX),
            account: AccountServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX),
            program: ProgramServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX),
            operator: OperatorServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX),
            keys: AccessServiceClient::new(channel.clone()),
            approval: ApprovalServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX),
            fraud: FraudServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX),
            health: HealthClient::new(channel.clone()),
            settlement: SettlementServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX),
            admin: AdminServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX),
        })
    }

    /// What a failed call means. `what` is what was to be done, as a noun phrase.
    #[must_use]
    pub fn failure(&self, what: &str, status: &Status) -> CliError {
        let exit = exit_of(status.code());
        let mut message = format!("{what} failed at {}: {}", self.url, sentence(status));
        if let Some(bad) = status.get_details_bad_request() {
            for violation in bad.field_violations {
                message.push_str(&format!("\n  {}: {}", violation.field, violation.description));
            }
        }
        let error = CliError::new(exit, message);
        match page_of(status) {
            Some(number) => error.hint(format!("`tallystick errors show {number}` says what to do")),
            None => error,
        }
    }
}

/// The number of the page about a failed call, if the server gave a reason that this program knows.
fn page_of(status: &Status) -> Option<u16> {
    let info = status.get_details_error_info()?;
    ErrorReason::from_str_name(&format!("ERROR_REASON_{}", info.reason)).map(ErrorReason::page_number)
}

/// The exit status for a failed call.
fn exit_of(code: Code) -> Exit {
    match code {
        Code::InvalidArgument | Code::NotFound | Code::AlreadyExists | Code::FailedPrecondition | Code::OutOfRange => {
            Exit::BadData
        }
        Code::Unauthenticated | Code::PermissionDenied => Exit::Configuration,
        Code::DataLoss => Exit::Damaged,
        _ => Exit::Unavailable,
    }
}

/// Whether the same call may succeed a little later. Whoever repeats it uses the same transaction ids.
#[must_use]
pub fn is_passing(code: Code) -> bool {
    // A connection that breaks is reported under several codes, depending on where it broke.
    matches!(
        code,
        Code::Unavailable
            | Code::ResourceExhausted
            | Code::Cancelled
            | Code::Unknown
            | Code::Internal
            | Code::Aborted
            | Code::DeadlineExceeded
    )
}

/// Waits for the turn of a call that the server runs one at a time, such as an export.
#[derive(Debug, Default)]
pub struct Turn {
    pause: Duration,
    waited: Duration,
}

impl Turn {
    /// Whether the same call is to be made again, now that a while has passed. It is not where the server refused it for
    /// something else than want of room, and not for ever.
    pub async fn is_awaited(&mut self, status: &Status, progress: &mut Progress) -> bool {
        if self.waited.is_zero() && is_for_want_of_room(status) {
            progress.note(format_args!(
                "the server has no room for it now: it runs one export or report at a time; trying again for {} s",
                TURN_PATIENCE.as_secs()
            ));
        }
        let Some(pause) = self.next_pause(status) else { return false };
        tokio::time::sleep(pause).await;
        let (waited_s, total_s) = (self.waited.as_secs(), TURN_PATIENCE.as_secs());
        progress.report("Waiting", waited_s, total_s, || format!("{waited_s} s for the server to have room"));
        true
    }

    /// How long to wait now: as long as the server says, then twice as long each time.
    fn next_pause(&mut self, status: &Status) -> Option<Duration> {
        if !is_for_want_of_room(status) || self.waited >= TURN_PATIENCE {
            return None;
        }
        let told = status.get_details_retry_info().and_then(|info| info.retry_delay).unwrap_or(TURN_PAUSE_MAX);
        let pause = told.max(self.pause * 2).min(TURN_PAUSE_MAX);
        (self.pause, self.waited) = (pause, self.waited + pause);
        Some(pause)
    }
}

/// Whether a call was refused because the server has too much to do.
fn is_for_want_of_room(status: &Status) -> bool {
    let is_the_reason = |info: tonic_types::ErrorInfo| info.reason == "OVERLOADED";
    status.code() == Code::ResourceExhausted && status.get_details_error_info().is_some_and(is_the_reason)
}

/// What a status says, with its permanent reason if it has one.
#[must_use]
pub fn sentence(status: &Status) -> String {
    let said = if status.message().is_empty() { status.code().description() } else { status.message() };
    match status.get_details_error_info() {
        Some(info) => format!("{said} ({})", info.reason),
        None => said.to_owned(),
    }
}

/// The innermost reason of an error: "Connection refused" rather than "transport error".
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// A request with the time limit of a unary call.
pub fn call<T>(message: T) -> Request<T> {
    call_within(CALL_TIMEOUT, message)
}

/// A request with a time limit.
pub fn call_within<T>(limit: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(limit);
    request
}

/// A runtime on this thread.
///
/// # Errors
/// When the operating system gives none.
pub fn runtime() -> Result<Runtime, CliError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::new(Exit::InputOutput, format!("no event loop can be had: {error}")))
}

/// Parses an instant given on the command line.
///
/// # Errors
/// When it is not in RFC 3339 form.
pub fn parse_time(text: &str) -> Result<jiff::Timestamp, String> {
    text.parse().map_err(|_| "write an instant as 2017-04-01T00:00:00Z".to_owned())
}

/// An instant as the wire has it.
#[must_use]
pub fn to_wire(time: jiff::Timestamp) -> WireTimestamp {
    // jiff's fraction has the sign of the whole; the wire's is never negative.
    let (seconds, nanos) = (time.as_second(), time.subsec_nanosecond());
    if nanos < 0 {
        WireTimestamp { seconds: seconds - 1, nanos: nanos + 1_000_000_000 }
    } else {
        WireTimestamp { seconds, nanos }
    }
}

/// An instant of the wire in RFC 3339 form; `None` where the wire has none.
#[must_use]
pub fn shown_time(time: Option<&WireTimestamp>) -> Option<String> {
    let time = time?;
    jiff::Timestamp::new(time.seconds, time.nanos).ok().map(|time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> Result<Server, CliError> {
        Server::new(&ServerArgs::plain(url.to_owned()))
    }

    #[test]
    fn an_address_may_leave_out_its_scheme() {
        assert_eq!(server("127.0.0.1:1").unwrap().url(), "http://127.0.0.1:1");
        assert_eq!(server("http://ledger:7457").unwrap().url(), "http://ledger:7457");
    }

    #[test]
    fn an_address_that_cannot_be_used_is_a_mistake_of_usage() {
        for url in ["ftp://127.0.0.1", "http://a b", "http://"] {
            assert_eq!(server(url).unwrap_err().exit(), Exit::Usage, "{url}");
        }
    }

    #[test]
    fn instants_before_1970_keep_a_positive_fraction() {
        let time = parse_time("1969-12-31T23:59:59.25Z").unwrap();
        assert_eq!(to_wire(time), WireTimestamp { seconds: -1, nanos: 250_000_000 });
        assert_eq!(shown_time(Some(&to_wire(time))).unwrap(), "1969-12-31T23:59:59.25Z");
        assert_eq!(shown_time(None), None);
        assert!(parse_time("2017-04-01").is_err());
    }

    fn refused_for(reason: &str) -> Status {
        let mut details = tonic_types::ErrorDetails::new();
        details.set_error_info(reason, "tallystick", std::collections::HashMap::new());
        details.set_retry_info(Some(Duration::from_millis(20)));
        Status::with_error_details(Code::ResourceExhausted, "No.", details)
    }

    #[test]
    fn a_call_waits_for_its_turn_for_a_while() {
        let (mut turn, full) = (Turn::default(), refused_for("OVERLOADED"));
        let pauses: Vec<_> = std::iter::from_fn(|| turn.next_pause(&full)).take(1_000).collect();
        assert_eq!(pauses[..3], [20, 40, 80].map(Duration::from_millis));
        assert_eq!(pauses.last(), Some(&TURN_PAUSE_MAX));
        let waited: Duration = pauses.iter().sum();
        assert!((TURN_PATIENCE..TURN_PATIENCE + TURN_PAUSE_MAX).contains(&waited), "{waited:?}");
    }

    #[test]
    fn what_is_refused_for_something_else_is_not_awaited() {
        for status in [refused_for("RATE_LIMITED"), Status::resource_exhausted("No."), Status::unavailable("No.")] {
            assert_eq!(Turn::default().next_pause(&status), None, "{status:?}");
        }
    }

    #[test]
    fn a_wrong_request_is_not_repeated() {
        for code in [Code::InvalidArgument, Code::Unauthenticated, Code::PermissionDenied, Code::Unimplemented] {
            assert!(!is_passing(code), "{code:?}");
        }
        assert!(is_passing(Code::Unavailable));
    }
}
