//! How a call fails as a whole: the gRPC status with its reason, and which of these failures are refusals when they
//! concern one item of a batch or a stream.
//!
//! What must stay true: reasons are permanent and each has one code; messages are for people; what is stated to a
//! caller does not tell how the server is built.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::wire;
use super::wire::ErrorReason;
use crate::access::meter::TooMuch;
use crate::ids::IdError;
use crate::journal::JournalError;
use crate::ledger::decision::Refusal;
use crate::limits;

/// The domain of all reasons.
pub const DOMAIN: &str = "tallystick";
/// After so long an overloaded server may be asked again.
pub const OVERLOAD_DELAY: Duration = Duration::from_millis(20);
/// After so long a credential may bring further names, as far as one item of many is told.
pub const NAME_DELAY: Duration = Duration::from_secs(1);
/// After so long a server that stopped may be back.
pub const RESTART_DELAY: Duration = Duration::from_secs(1);

/// Why there is no decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Fields are wrong.
    Invalid(Vec<wire::FieldViolation>),
    /// A queue is full, or there are too many claims. Nothing was consumed.
    Overloaded,
    /// The credential asks for more than it may: after so long it may again.
    RateLimited(Duration),
    /// The credential brings more new names than it may: after so long it may bring another.
    NamesLimited(Duration),
    /// The deadline passed before anything was decided.
    DeadlineExpired,
    /// The deadline passed while the call was under way: what it asked for may be done or not.
    DeadlineOutcomeUnknown,
    /// The server is stopping. Nothing was decided.
    ShuttingDown,
    /// The ledger failed while the command was on its way.
    OutcomeUnknown,
    /// A fault of the server; the text is for the log.
    Internal(String),
    /// There is no such account.
    AccountUnknown,
    /// The partner has no such transaction.
    TransactionUnknown,
    /// There is no such version of the programme.
    ProgramUnknown,
    /// The programme's source has problems.
    ProgramInvalid(Vec<wire::FieldViolation>),
    /// The programme, a freeze or a thaw cannot take effect then; the text says why.
    EffectiveTimeRefused(String),
    /// The id of a publication was used with other content; names the field.
    TransactionIdReused(String),
    /// A bound that no waiting lifts; the text says which.
    LimitReached(String),
    /// A backup could not be made; the text says why.
    BackupFailed(String),
    /// The caller may not do this; the text says why.
    NotPermitted(String),
    /// The caller shows no credential.
    CredentialMissing,
    /// The caller shows one that is not known or counts no more.
    CredentialUnknown,
    /// There is no such key.
    KeyUnknown,
    /// The keys cannot be changed so; the text says why.
    KeyChangeRefused(String),
    /// No such proposal waits.
    ProposalUnknown,
    /// A proposal cannot be made or settled so; the text says why.
    ProposalRefused(String),
    /// The message of the call did not arrive in time.
    RequestTooSlow,
    /// The message is larger than any may be.
    MessageTooLarge,
}

impl Failure {
    /// A fault of the server that a caller can do nothing about.
    pub(super) fn internal(what: impl std::fmt::Display) -> Self {
        Self::Internal(what.to_string())
    }

    /// One field is wrong.
    pub(super) fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Invalid(vec![wire::FieldViolation { field: field.into(), description: description.into() }])
    }

    /// The bytes are no message of the contract.
    pub(super) fn undecodable(error: &prost::DecodeError) -> Self {
        Self::field("", format!("The message cannot be decoded: {error}."))
    }

    /// What a credential's limit comes to.
    pub(super) fn of_limit(too_much: TooMuch) -> Self {
        match too_much {
            TooMuch::Rate(wait) => Self::RateLimited(wait),
            TooMuch::Concurrency | TooMuch::Burst(_) => Self::RateLimited(OVERLOAD_DELAY),
        }
    }

    /// What the failure is when it concerns one item of a batch or stream; `None` when the call as a whole fails.
    pub(super) fn as_refusal(&self) -> Option<(Refusal, &[wire::FieldViolation])> {
        match self {
            Self::Invalid(violations) => Some((Refusal::InvalidCommand, violations)),
            Self::Overloaded => Some((Refusal::Overloaded, &[])),
            Self::NamesLimited(_) => Some((Refusal::NameRateExceeded, &[])),
            Self::DeadlineExpired => Some((Refusal::DeadlineExpired, &[])),
            Self::ShuttingDown => Some((Refusal::ShuttingDown, &[])),
            Self::DeadlineOutcomeUnknown
            | Self::OutcomeUnknown
            | Self::RateLimited(_)
            | Self::Internal(_)
            | Self::AccountUnknown
            | Self::TransactionUnknown
            | Self::ProgramUnknown
            | Self::ProgramInvalid(_)
            | Self::EffectiveTimeRefused(_)
            | Self::TransactionIdReused(_)
            | Self::LimitReached(_)
            | Self::BackupFailed(_)
            | Self::NotPermitted(_)
            | Self::CredentialMissing
            | Self::CredentialUnknown
            | Self::KeyUnknown
            | Self::KeyChangeRefused(_)
            | Self::ProposalUnknown
            | Self::ProposalRefused(_)
            | Self::RequestTooSlow
            | Self::MessageTooLarge => None,
        }
    }

    fn code_and_reason(&self) -> (Code, ErrorReason) {
        match self {
            Self::Invalid(_) => (Code::InvalidArgument, ErrorReason::InvalidRequest),
            Self::Overloaded => (Code::ResourceExhausted, ErrorReason::Overloaded),
            Self::RateLimited(_) | Self::NamesLimited(_) => (Code::ResourceExhausted, ErrorReason::RateLimited),
            Self::DeadlineExpired => (Code::DeadlineExceeded, ErrorReason::DeadlineExpired),
            Self::DeadlineOutcomeUnknown => (Code::DeadlineExceeded, ErrorReason::DeadlineOutcomeUnknown),
            Self::ShuttingDown => (Code::Unavailable, ErrorReason::ShuttingDown),
            Self::OutcomeUnknown => (Code::Unavailable, ErrorReason::OutcomeUnknown),
            Self::Internal(_) => (Code::Internal, ErrorReason::InternalFault),
            Self::AccountUnknown => (Code::NotFound, ErrorReason::AccountUnknown),
            Self::TransactionUnknown => (Code::NotFound, ErrorReason::TransactionUnknown),
            Self::ProgramUnknown => (Code::NotFound, ErrorReason::ProgramUnknown),
            Self::ProgramInvalid(_) => (Code::InvalidArgument, ErrorReason::ProgramInvalid),
            Self::EffectiveTimeRefused(_) => (Code::FailedPrecondition, ErrorReason::EffectiveTimeRefused),
            Self::TransactionIdReused(_) => (Code::AlreadyExists, ErrorReason::TransactionIdReused),
            Self::LimitReached(_) => (Code::FailedPrecondition, ErrorReason::LimitReached),
            Self::BackupFailed(_) => (Code::FailedPrecondition, ErrorReason::BackupFailed),
            Self::NotPermitted(_) => (Code::PermissionDenied, ErrorReason::NotPermitted),
            Self::CredentialMissing | Self::CredentialUnknown => {
                (Code::Unauthenticated, ErrorReason::CredentialInvalid)
            }
            Self::KeyUnknown => (Code::NotFound, ErrorReason::KeyUnknown),
            Self::KeyChangeRefused(_) => (Code::FailedPrecondition, ErrorReason::KeyChangeRefused),
            Self::ProposalUnknown => (Code::NotFound, ErrorReason::ProposalUnknown),
            Self::ProposalRefused(_) => (Code::FailedPrecondition, ErrorReason::ProposalRefused),
            Self::RequestTooSlow => (Code::DeadlineExceeded, ErrorReason::RequestTooSlow),
            Self::MessageTooLarge => (Code::OutOfRange, ErrorReason::MessageTooLarge),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Invalid(violations) => match violations.as_slice() {
                [only] => format!("{}: {}", only.field, only.description),
                all => format!("The request has {} invalid fields.", all.len()),
            },
            Self::Overloaded => "The server is overloaded; nothing was decided.".to_owned(),
            Self::RateLimited(_) => "The credential asks for more than it may; nothing was decided.".to_owned(),
            Self::NamesLimited(_) => {
                "The credential brings more new names of goods and places than it may; nothing was decided.".to_owned()
            }
            Self::DeadlineExpired => "The deadline passed before anything was decided.".to_owned(),
            Self::DeadlineOutcomeUnknown => {
                "The deadline passed while the call was under way. Send a command again with the same transaction id to \
                 learn what became of it."
                    .to_owned()
            }
            Self::ShuttingDown => "The server is stopping; nothing was decided.".to_owned(),
            Self::OutcomeUnknown => {
                "The journal failed; after recovery the command may be there or not. Send it again with the same \
                 transaction id."
                    .to_owned()
            }
            Self::Internal(_) => "A fault of the server, stated in its log.".to_owned(),
            Self::AccountUnknown => "There is no account with this id.".to_owned(),
            Self::TransactionUnknown => "There is no transaction with this id.".to_owned(),
            Self::ProgramUnknown => "There is no such version of the programme.".to_owned(),
            Self::ProgramInvalid(problems) => format!("The programme has {} problems.", problems.len()),
            Self::EffectiveTimeRefused(why)
            | Self::LimitReached(why)
            | Self::BackupFailed(why)
            | Self::NotPermitted(why)
            | Self::KeyChangeRefused(why)
            | Self::ProposalRefused(why) => why.clone(),
            Self::ProposalUnknown => "No proposal of this number waits for a second person.".to_owned(),
            Self::CredentialMissing => "This server asks for a credential, and there is none.".to_owned(),
            Self::CredentialUnknown => "The credential is not known.".to_owned(),
            Self::KeyUnknown => "There is no key with this id.".to_owned(),
            Self::RequestTooSlow => "The message did not arrive in time; nothing was decided.".to_owned(),
            Self::MessageTooLarge => {
                format!("A message has at most {} bytes; this one was not read.", limits::MESSAGE_BYTES_MAX)
            }
            Self::TransactionIdReused(field) => {
                format!("This transaction id was used before with other content; {field} differs.")
            }
        }
    }

    fn details(&self, reason: ErrorReason) -> ErrorDetails {
        let name = reason.as_str_name().trim_start_matches("ERROR_REASON_");
        let mut metadata = HashMap::from([("number".to_owned(), reason.page_number().to_string())]);
        if let Self::TransactionIdReused(field) = self {
            metadata.insert("field".to_owned(), field.clone());
        }
        let mut details = ErrorDetails::with_error_info(name, DOMAIN, metadata);
        match self {
            Self::Invalid(violations) | Self::ProgramInvalid(violations) => {
                for violation in violations {
                    details.add_bad_request_violation(&violation.field, &violation.description);
                }
            }
            Self::Overloaded => {
                details.set_retry_info(Some(OVERLOAD_DELAY));
            }
            Self::RateLimited(wait) | Self::NamesLimited(wait) => {
                details.set_retry_info(Some(*wait));
            }
            Self::ShuttingDown | Self::OutcomeUnknown => {
                details.set_retry_info(Some(RESTART_DELAY));
            }
            _ => {}
        }
        details
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        if let Failure::Internal(what) = &failure {
            tracing::error!(what, "a call failed by a fault of the server");
        }
        let (code, reason) = failure.code_and_reason();
        Self::with_error_details(code, failure.message(), failure.details(reason))
    }
}

/// A store that failed once is at an end, whoever asked it: its cause is in the log, and a caller can only come back
/// after the restart.
impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Store(_) => Self::OutcomeUnknown,
            other => Self::internal(other),
        }
    }
}

/// So is a ledger whose index of ids is damaged: the index tells its owner.
impl From<IdError> for Failure {
    fn from(error: IdError) -> Self {
        match error {
            IdError::Store(_) | IdError::Damaged { .. } => Self::OutcomeUnknown,
            other => Self::internal(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Failure> {
        let violation = wire::FieldViolation { field: "account_id".to_owned(), description: "Too long.".to_owned() };
        vec![
            Failure::Invalid(vec![violation.clone()]),
            Failure::Overloaded,
            Failure::RateLimited(Duration::from_millis(7)),
            Failure::NamesLimited(Duration::from_millis(7)),
            Failure::DeadlineExpired,
            Failure::DeadlineOutcomeUnknown,
            Failure::ShuttingDown,
            Failure::OutcomeUnknown,
            Failure::Internal("a secret path".to_owned()),
            Failure::AccountUnknown,
            Failure::TransactionUnknown,
            Failure::ProgramUnknown,
            Failure::ProgramInvalid(vec![violation]),
            Failure::EffectiveTimeRefused("Too early.".to_owned()),
            Failure::TransactionIdReused("source".to_owned()),
            Failure::LimitReached("Full.".to_owned()),
            Failure::BackupFailed("The directory exists.".to_owned()),
            Failure::NotPermitted("From elsewhere.".to_owned()),
            Failure::CredentialMissing,
            Failure::CredentialUnknown,
            Failure::KeyUnknown,
            Failure::KeyChangeRefused("It has been revoked.".to_owned()),
            Failure::ProposalUnknown,
            Failure::ProposalRefused("It is your own.".to_owned()),
            Failure::RequestTooSlow,
            Failure::MessageTooLarge,
        ]
    }

    #[test]
    fn every_failure_names_its_reason_and_what_the_contract_promises() {
        for failure in all() {
            let status = Status::from(failure.clone());
            let details = status.get_error_details();
            let info = details.error_info().expect("every status carries ErrorInfo");
            assert_eq!(info.domain, "tallystick");
            let reason = ErrorReason::from_str_name(&format!("ERROR_REASON_{}", info.reason));
            assert_eq!(reason, Some(failure.code_and_reason().1), "{}", info.reason);
            assert_eq!(info.metadata["number"], failure.code_and_reason().1.page_number().to_string());
            assert_eq!(status.code() == Code::InvalidArgument, details.bad_request().is_some(), "{failure:?}");
            let retries = [Code::ResourceExhausted, Code::Unavailable].contains(&status.code());
            assert_eq!(retries, details.retry_info().is_some(), "{failure:?}");
            assert!(!status.message().contains("secret"), "a fault's cause is for the log");
        }
    }

    #[test]
    fn a_store_that_has_stopped_asks_its_callers_to_come_back() {
        let stopped = || crate::store::StoreError::Latched { first: "the disk is full".to_owned() };
        assert_eq!(Failure::from(JournalError::Store(stopped())), Failure::OutcomeUnknown);
        assert_eq!(Failure::from(IdError::Store(stopped())), Failure::OutcomeUnknown);
        let damaged = IdError::Damaged { run_id: 1, reason: "a bit".to_owned() };
        assert_eq!(Failure::from(damaged), Failure::OutcomeUnknown);
        let fault = IdError::Options { reason: "too many" };
        assert!(matches!(Failure::from(fault), Failure::Internal(_)));
    }

    #[test]
    fn the_failures_that_concern_one_item_are_refusals() {
        let refusals: Vec<Refusal> =
            all().iter().filter_map(|failure| failure.as_refusal().map(|(refusal, _)| refusal)).collect();
        let expected = [
            Refusal::InvalidCommand,
            Refusal::Overloaded,
            Refusal::NameRateExceeded,
            Refusal::DeadlineExpired,
            Refusal::ShuttingDown,
        ];
        assert_eq!(refusals, expected);
    }
}
