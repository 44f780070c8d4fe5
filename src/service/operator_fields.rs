//! The fields of what an operator asks: all that is wrong with them, at once.
//!
//! What must stay true: nothing here gives a number to a name.

use super::convert::{Rules, check_posting_time};
use super::fields::{Fields, Path};
use super::status::Failure;
use super::wire;
use crate::ledger::operator::Remark;
use crate::ledger::types::{Position, TimestampNs};
use crate::ledger::voucher::VoucherCode;
use crate::limits;

/// Something that an operator asks, as it came.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    Release(wire::ReleaseHeldRequest),
    Reject(wire::RejectHeldRequest),
    Restore(wire::RestoreExpiredRequest),
    Adjust(wire::AdjustBalanceRequest),
    IssueVoucher(wire::IssueVoucherRequest),
    CancelVoucher(wire::CancelVoucherRequest),
}

/// What a request states, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stated {
    pub transaction_id: String,
    /// Empty where the request does not name the account.
    pub account_id: String,
    pub remark: Remark,
    pub posting_at: Option<TimestampNs>,
    pub subject: Subject,
}

/// What it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Release(String),
    Reject(String),
    Restore(Expiry, TimestampNs),
    Adjust { wallet: String, points: i64, expires_at: Option<TimestampNs> },
    IssueVoucher(String),
    CancelVoucher(VoucherCode),
}

/// What names an expiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    /// The transaction that it was posted with.
    Transaction(String),
    /// Its record.
    Position(Position),
}

/// Checks all of a request.
pub(super) fn check(asked: Asked, rules: Rules<'_>) -> Result<Stated, Failure> {
    let mut fields = Fields::default();
    let (transaction_id, account_id, remark, posting_time, subject) = match asked {
        Asked::Release(request) => {
            let original = request.original_transaction_id;
            check_original(&mut fields, &original, &request.transaction_id);
            let subject = Some(Subject::Release(original));
            (request.transaction_id, None, request.remark, request.posting_time, subject)
        }
        Asked::Reject(request) => {
            let original = request.original_transaction_id;
            check_original(&mut fields, &original, &request.transaction_id);
            let subject = Some(Subject::Reject(original));
            (request.transaction_id, None, request.remark, request.posting_time, subject)
        }
        Asked::Restore(request) => {
            let subject = restoration(&mut fields, &request);
            (request.transaction_id, Some(request.account_id), request.remark, request.posting_time, subject)
        }
        Asked::Adjust(request) => {
            let expires_at = fields.time(Path::Field("expire_time"), request.expire_time.as_ref());
            fields.number(Path::Field("points"), request.points, -limits::UNITS_MAX, limits::UNITS_MAX);
            if request.points == 0 {
                fields.wrong(Path::Field("points"), "It is required, and must not be 0.");
            }
            if request.points < 0 && expires_at.is_some() {
                fields.wrong(Path::Field("expire_time"), "It must be unset where points are taken.");
            }
            let subject = Some(Subject::Adjust { wallet: request.wallet, points: request.points, expires_at });
            (request.transaction_id, Some(request.account_id), request.remark, request.posting_time, subject)
        }
        Asked::IssueVoucher(request) => {
            fields.text(Path::Field("voucher"), &request.voucher, 1, limits::SYMBOL_BYTES_MAX);
            let subject = Some(Subject::IssueVoucher(request.voucher));
            (request.transaction_id, Some(request.account_id), request.remark, request.posting_time, subject)
        }
        Asked::CancelVoucher(request) => {
            let code = VoucherCode::parse(&request.voucher_code);
            if code.is_none() {
                let path = Path::Field("voucher_code");
                fields.wrong(path, "It is no code of a voucher: these have 16 letters and digits.");
            }
            let subject = code.map(Subject::CancelVoucher);
            (request.transaction_id, Some(request.account_id), request.remark, request.posting_time, subject)
        }
    };
    fields.text(Path::Field("transaction_id"), &transaction_id, 1, limits::TRANSACTION_ID_BYTES_MAX);
    if let Some(account_id) = &account_id {
        fields.text(Path::Field("account_id"), account_id, 1, limits::ACCOUNT_ID_BYTES_MAX);
    }
    let remark = remark_of(&mut fields, remark);
    let posting_at = check_posting_time(&mut fields, posting_time.as_ref(), rules);
    fields.finish()?;
    let subject = subject.expect("what it is about was checked");
    Ok(Stated { transaction_id, account_id: account_id.unwrap_or_default(), remark, posting_at, subject })
}

fn check_original(fields: &mut Fields, original: &str, own: &str) {
    fields.text(Path::Field("original_transaction_id"), original, 1, limits::TRANSACTION_ID_BYTES_MAX);
    if !own.is_empty() && own == original {
        fields.wrong(Path::Field("original_transaction_id"), "It must differ from the command's own transaction_id.");
    }
}

fn restoration(fields: &mut Fields, request: &wire::RestoreExpiredRequest) -> Option<Subject> {
    let expires_at = fields.time(Path::Field("expire_time"), request.expire_time.as_ref());
    if request.expire_time.is_none() {
        fields.wrong(Path::Field("expire_time"), "It is required.");
    }
    let id = &request.expired_transaction_id;
    fields.text(Path::Field("expired_transaction_id"), id, 0, limits::TRANSACTION_ID_BYTES_MAX);
    let expiry = match (id.is_empty(), request.expired_position) {
        (false, None) if *id == request.transaction_id => {
            let path = Path::Field("expired_transaction_id");
            fields.wrong(path, "It must differ from the command's own transaction_id.");
            None
        }
        (false, None) => Some(Expiry::Transaction(id.clone())),
        (true, Some(position)) => match u64::try_from(position) {
            Ok(position) => Some(Expiry::Position(Position(position))),
            Err(_) => {
                fields.wrong(Path::Field("expired_position"), "It must not be negative.");
                None
            }
        },
        (true, None) | (false, Some(_)) => {
            let path = Path::Field("expired_position");
            fields.wrong(path, "Either it or expired_transaction_id is required, and not both.");
            None
        }
    };
    Some(Subject::Restore(expiry?, expires_at?))
}

fn remark_of(fields: &mut Fields, remark: Option<wire::Remark>) -> Remark {
    let wire::Remark { reason_code, note, operator, .. } = remark.unwrap_or_default();
    fields.text(Path::Field("remark.reason_code"), &reason_code, 1, limits::REASON_CODE_BYTES_MAX);
    fields.text(Path::Field("remark.note"), &note, 0, limits::NOTE_BYTES_MAX);
    fields.text(Path::Field("remark.operator"), &operator, 0, limits::OPERATOR_BYTES_MAX);
    // Whose credential it is is not the caller's to say.
    Remark { reason_code: reason_code.into(), note: note.into(), operator: operator.into(), ..Remark::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules<'static> = Rules { clock_is_input: false, currency: None };

    fn wrong(asked: Asked) -> Vec<String> {
        match check(asked, RULES) {
            Err(Failure::Invalid(violations)) => violations.into_iter().map(|violation| violation.field).collect(),
            other => panic!("violations were expected, not {other:?}"),
        }
    }

    #[test]
    fn every_command_says_why() {
        let bare = wire::ReleaseHeldRequest {
            transaction_id: "t".to_owned(),
            original_transaction_id: "t".to_owned(),
            ..wire::ReleaseHeldRequest::default()
        };
        let fields = ["original_transaction_id", "remark.reason_code"];
        assert_eq!(wrong(Asked::Release(bare)), fields);
    }

    #[test]
    fn an_expiry_has_one_name() {
        let request = |id: &str, expired_position| {
            Asked::Restore(wire::RestoreExpiredRequest {
                transaction_id: "t".to_owned(),
                account_id: "a".to_owned(),
                expired_transaction_id: id.to_owned(),
                expired_position,
                expire_time: Some(prost_types::Timestamp { seconds: 1_600_000_000, nanos: 0 }),
                remark: Some(wire::Remark {
                    reason_code: "r".to_owned(),
                    operator: "o".to_owned(),
                    ..wire::Remark::default()
                }),
                posting_time: None,
            })
        };
        for asked in [request("", None), request("x", Some(3)), request("", Some(-1))] {
            assert_eq!(wrong(asked), ["expired_position"]);
        }
        assert_eq!(wrong(request("t", None)), ["expired_transaction_id"]);
        let stated = check(request("", Some(3)), RULES).map(|stated| stated.subject);
        let until = TimestampNs(1_600_000_000_000_000_000);
        assert_eq!(stated, Ok(Subject::Restore(Expiry::Position(Position(3)), until)));
    }
}
