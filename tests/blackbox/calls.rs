//! Requests as tills send them, and what can be said about their answers.

use prost_types::Timestamp;
use tallystick::service::wire;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A moment as the wire states it: whole seconds, so that it reads well in a failure.
pub fn now() -> Timestamp {
    let now_ns = super::clock().now().0;
    Timestamp { seconds: now_ns / 1_000_000_000, nanos: 0 }
}

/// A basket of one line.
pub fn basket(receipt_number: &str, receipt_time: Timestamp, amount_minor: i64) -> wire::Basket {
    wire::Basket {
        store_id: "vienna-1".to_owned(),
        terminal_id: "till-1".to_owned(),
        receipt_number: receipt_number.to_owned(),
        receipt_time: Some(receipt_time),
        currency_code: "EUR".to_owned(),
        lines: vec![wire::Line { sku: "espresso".to_owned(), quantity: 2, amount_minor, ..wire::Line::default() }],
        ..wire::Basket::default()
    }
}

/// A basket of as many lines as are allowed, for records that are long.
pub fn long_basket(receipt_number: &str, receipt_time: Timestamp) -> wire::Basket {
    let line = |index: usize| wire::Line {
        sku: format!("sku-{index}"),
        quantity: 1_000 + 7 * index as i64,
        amount_minor: 100_000_000 + 13 * index as i64,
        ..wire::Line::default()
    };
    let lines = (0..tallystick::limits::BASKET_LINES_MAX).map(line).collect();
    wire::Basket { lines, ..basket(receipt_number, receipt_time, 0) }
}

/// An accrual; its receipt has the number of the transaction, so that each is a purchase of its own.
pub fn accrual(
    transaction_id: &str,
    account_id: &str,
    receipt_time: Timestamp,
    amount_minor: i64,
) -> wire::AccrueRequest {
    wire::AccrueRequest {
        account_identifier: None,
        transaction_id: transaction_id.to_owned(),
        account_id: account_id.to_owned(),
        basket: Some(basket(transaction_id, receipt_time, amount_minor)),
        posting_time: None,
    }
}

/// The reversal of an accrual.
pub fn reversal(transaction_id: &str, original_transaction_id: &str) -> wire::ReverseRequest {
    wire::ReverseRequest {
        transaction_id: transaction_id.to_owned(),
        original_transaction_id: original_transaction_id.to_owned(),
        posting_time: None,
        lines: Vec::new(),
        points: 0,
    }
}

/// The reversal of one piece of an accrual's first line.
pub fn reversal_of_a_piece(transaction_id: &str, original_transaction_id: &str) -> wire::ReverseRequest {
    let piece = wire::ReturnedLine { line_index: 0, quantity: 1, amount_minor: 0 };
    wire::ReverseRequest { lines: vec![piece], ..reversal(transaction_id, original_transaction_id) }
}

/// An accrual as a command of a stream.
pub fn accrue(request: wire::AccrueRequest) -> wire::Command {
    wire::Command { command: Some(wire::command::Command::Accrue(request)) }
}

/// A reversal as a command of a stream.
pub fn reverse(request: wire::ReverseRequest) -> wire::Command {
    wire::Command { command: Some(wire::command::Command::Reverse(request)) }
}

/// The caller's id of a command.
pub fn id_of(command: &wire::Command) -> &str {
    match command.command.as_ref().expect("every command of these tests says what to do") {
        wire::command::Command::Accrue(request) => &request.transaction_id,
        wire::command::Command::Reverse(request) => &request.transaction_id,
        other => panic!("no such command is sent here: {other:?}"),
    }
}

/// The reason that a failed call names; empty when the transport failed, which names none.
pub fn reason_of(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// Whether a failed call may have decided something, or says that it decided nothing and is welcome again: what a
/// caller meets around the end of a server.
pub fn asks_for_a_retry(status: &Status) -> bool {
    match reason_of(status).as_str() {
        "OUTCOME_UNKNOWN" | "SHUTTING_DOWN" => status.code() == Code::Unavailable,
        "OVERLOADED" => status.code() == Code::ResourceExhausted,
        // The connection broke, or never was. The transport has several words for it.
        "" => {
            matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal)
        }
        _ => false,
    }
}

/// Whether a decision says that nothing was decided because of the state of the server.
pub fn is_put_off(decision: &wire::Decision) -> bool {
    let code = decision.refusal.as_ref().map(wire::Refusal::code);
    matches!(
        code,
        Some(wire::RefusalCode::Overloaded | wire::RefusalCode::ShuttingDown | wire::RefusalCode::DeadlineExpired)
    )
}
