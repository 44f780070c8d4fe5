//! The generated types of package `tallystick.v1`; `proto/` is their source and their documentation.
//!
//! What must stay true: numbers and names that a client may have stored never change, no request names a partner, and
//! the limits that the contract states are those of [`crate::limits`].

pub use generated::*;

/// What `build.rs` wrote, as it is: our lints do not apply to it.
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "generated code"
)]
mod generated {
    tonic::include_proto!("tallystick.v1");
}

/// The server's side of the services. The messages of the hot calls are bytes to it: [`super::raw::Raw`].
pub mod server {
    pub use generated::*;

    /// What `build.rs` wrote, as it is: our lints do not apply to it.
    #[allow(
        missing_docs,
        clippy::all,
        clippy::pedantic,
        rustdoc::broken_intra_doc_links,
        rustdoc::invalid_html_tags,
        reason = "generated code"
    )]
    mod generated {
        include!(concat!(env!("OUT_DIR"), "/server/tallystick.v1.rs"));
    }
}

/// Descriptors of the package and of all that it imports, comments included, as an encoded
/// `google.protobuf.FileDescriptorSet`: what reflection serves.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("tallystick");

impl ErrorReason {
    /// The permanent number of the page about it in `docs/errors`. The numbers below 1,000 are for refusals.
    ///
    /// # Panics
    /// Never: there are fewer than 1,000 reasons.
    #[must_use]
    pub fn page_number(self) -> u16 {
        u16::try_from(1_000 + i32::from(self)).expect("there are fewer than 1,000 reasons")
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::field_descriptor_proto::Type;
    use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};

    use super::*;
    use crate::limits;

    fn descriptors() -> FileDescriptorSet {
        FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("build.rs writes a descriptor set")
    }

    /// The files of our own package.
    fn own_files() -> Vec<FileDescriptorProto> {
        descriptors().file.into_iter().filter(|file| file.package() == "tallystick.v1").collect()
    }

    fn own_messages() -> Vec<DescriptorProto> {
        own_files().into_iter().flat_map(|file| file.message_type).collect()
    }

    /// A basket of one line with a name in every field, as a till sends it.
    fn one_line_accrual(number: usize) -> AccrueRequest {
        let receipt_time = Some(prost_types::Timestamp { seconds: 1_490_000_000, nanos: 0 });
        let line = Line {
            sku: "0009878513".to_owned(),
            category: "FACIAL TISS/DNR NAPKIN".to_owned(),
            department: "GROCERY".to_owned(),
            brand: "Private".to_owned(),
            margin_class: "standard".to_owned(),
            quantity: 1,
            amount_minor: 12_999,
        };
        let basket = Basket {
            store_id: "store-0330".to_owned(),
            terminal_id: "terminal-12".to_owned(),
            cashier_id: "cashier-0042".to_owned(),
            receipt_number: format!("{number:016}"),
            business_date: Some(Date { year: 2017, month: 3, day: 20 }),
            receipt_time,
            currency_code: "USD".to_owned(),
            lines: vec![line],
            channel: "store".to_owned(),
            payment_method: "card".to_owned(),
            member_id: String::new(),
            voucher_codes: Vec::new(),
        };
        AccrueRequest {
            account_identifier: None,
            transaction_id: format!("018f3c5e-0000-7000-8000-{number:012}"),
            account_id: format!("household-{number:012}"),
            basket: Some(basket),
            posting_time: receipt_time,
        }
    }

    /// The decision on such a basket, with a rule and a clip.
    fn one_line_decision(number: i64) -> Decision {
        let time = Some(prost_types::Timestamp { seconds: 1_490_000_000, nanos: 123_456_789 });
        Decision {
            program_version: 12,
            wallet: "points".to_owned(),
            earned_points: 258,
            granted_points: 200,
            balance_points: 1_234_567,
            line_decisions: vec![LineDecision {
                line_index: 0,
                eligible: true,
                rule: "private label earns double".to_owned(),
                multiplier_bps: 20_000,
                exact_micropoints: 259_980_000,
                further_rules: Vec::new(),
            }],
            clips: vec![Clip {
                source: ClipSource::Cap.into(),
                name: "points per day".to_owned(),
                clipped_points: 58,
                rule: String::new(),
            }],
            position: Some(1_000_000_000 + number),
            event_time: time,
            posting_time: time,
            shard: Some(255),
            sequence: Some(1_000_000 + number),
            ..Decision::default()
        }
    }

    #[test]
    fn refusal_codes_keep_their_numbers() {
        let rows = [
            (0, "UNSPECIFIED"),
            (1, "ACCOUNT_UNKNOWN"),
            (2, "TRANSACTION_ID_REUSED"),
            (3, "RECEIPT_ALREADY_EARNED"),
            (4, "RECEIPT_TOO_OLD"),
            (5, "RECEIPT_IN_FUTURE"),
            (6, "PROGRAM_NOT_IN_FORCE"),
            (7, "BALANCE_LIMIT_EXCEEDED"),
            (8, "ORIGINAL_UNKNOWN"),
            (9, "ALREADY_REVERSED"),
            (10, "NOT_REVERSIBLE"),
            (11, "POSTING_TIME_REGRESSED"),
            (12, "OVERLOADED"),
            (13, "DEADLINE_EXPIRED"),
            (14, "INVALID_COMMAND"),
            (15, "SHUTTING_DOWN"),
            (16, "NAME_LIMIT_REACHED"),
            (17, "INSUFFICIENT_BALANCE"),
            (18, "ACCOUNT_LIMIT_REACHED"),
            (19, "NOT_HELD"),
            (20, "ALREADY_REVIEWED"),
            (21, "NOT_RESTORABLE"),
            (22, "ALREADY_RESTORED"),
            (23, "IDENTIFIER_TAKEN"),
            (24, "IDENTIFIER_UNKNOWN"),
            (25, "ACCOUNT_FROZEN"),
            (26, "TERMINAL_FROZEN"),
            (27, "CASHIER_FROZEN"),
            (28, "NAME_RATE_EXCEEDED"),
            (30, "PARTNER_UNKNOWN"),
            (31, "STORE_UNKNOWN"),
            (32, "EARN_NOT_PERMITTED"),
            (33, "BURN_NOT_PERMITTED"),
            (40, "AUTHORIZATION_UNKNOWN"),
            (41, "AUTHORIZATION_CLOSED"),
            (42, "AUTHORIZATION_EXPIRED"),
            (43, "CAPTURE_EXCEEDS_AUTHORIZATION"),
            (46, "LINE_UNKNOWN"),
            (47, "RETURN_TOO_LARGE"),
            (48, "RETURN_HELD"),
            (49, "RETURN_LIMIT_REACHED"),
            (50, "REWARD_UNKNOWN"),
            (51, "REWARD_OUT_OF_STOCK"),
            (52, "REWARD_TIER_REQUIRED"),
            (53, "REWARD_NOT_OFFERED"),
            (54, "REWARD_PRICE_DIFFERS"),
            (60, "TOP_UP_TOO_SMALL"),
            (61, "TOP_UP_TOO_LARGE"),
            (62, "WALLET_NOT_MONEY"),
            (63, "REFUND_TOO_LARGE"),
            (64, "VOUCHER_UNKNOWN"),
            (65, "VOUCHER_USED"),
            (66, "VOUCHER_EXPIRED"),
            (67, "VOUCHER_NOT_YET_VALID"),
            (68, "VOUCHER_MINIMUM_NOT_REACHED"),
            (69, "VOUCHER_CANCELLED"),
        ];
        for (number, name) in rows {
            let code = RefusalCode::try_from(number).expect("a number once given stays");
            assert_eq!(code.as_str_name(), format!("REFUSAL_CODE_{name}"));
        }
        let known = (0..256).filter(|number| RefusalCode::try_from(*number).is_ok()).count();
        assert_eq!(known, rows.len(), "a new code needs a row here");
    }

    #[test]
    fn error_reasons_keep_their_names() {
        let names = [
            "UNSPECIFIED",
            "INVALID_REQUEST",
            "CREDENTIAL_INVALID",
            "NOT_PERMITTED",
            "OVERLOADED",
            "DEADLINE_EXPIRED",
            "SHUTTING_DOWN",
            "OUTCOME_UNKNOWN",
            "INTERNAL_FAULT",
            "ACCOUNT_UNKNOWN",
            "TRANSACTION_UNKNOWN",
            "PROGRAM_UNKNOWN",
            "PROGRAM_INVALID",
            "EFFECTIVE_TIME_REFUSED",
            "TRANSACTION_ID_REUSED",
            "LIMIT_REACHED",
            "BACKUP_FAILED",
            "DEADLINE_OUTCOME_UNKNOWN",
        ];
        let later = [
            (30, "KEY_UNKNOWN"),
            (31, "KEY_CHANGE_REFUSED"),
            (32, "PROPOSAL_UNKNOWN"),
            (33, "PROPOSAL_REFUSED"),
            (34, "RATE_LIMITED"),
            (50, "REQUEST_TOO_SLOW"),
            (51, "MESSAGE_TOO_LARGE"),
        ];
        for (number, name) in (0..).zip(names).chain(later) {
            let reason = ErrorReason::try_from(number).expect("a reason once given stays");
            assert_eq!(reason.as_str_name(), format!("ERROR_REASON_{name}"));
        }
        let known = (0..1_000).filter(|number| ErrorReason::try_from(*number).is_ok()).count();
        assert_eq!(known, names.len() + later.len(), "a new reason needs a row here");
    }

    /// What can end every call stands in the head of the contract, and whatever else there is with the methods.
    #[test]
    fn every_reason_is_named_where_callers_look_for_it() {
        let ledger = include_str!("../../proto/tallystick/v1/ledger_service.proto");
        let (head, _) = ledger.split_once("\nsyntax = ").expect("the head comes first");
        let of_some = [
            "ACCOUNT_UNKNOWN",
            "TRANSACTION_UNKNOWN",
            "PROGRAM_UNKNOWN",
            "PROGRAM_INVALID",
            "EFFECTIVE_TIME_REFUSED",
            "TRANSACTION_ID_REUSED",
            "LIMIT_REACHED",
            "BACKUP_FAILED",
            "KEY_UNKNOWN",
            "KEY_CHANGE_REFUSED",
            "PROPOSAL_UNKNOWN",
            "PROPOSAL_REFUSED",
        ];
        let words = |text: &'static str| text.split(|letter: char| letter != '_' && !letter.is_ascii_uppercase());
        for reason in (1..1_000).filter_map(|number| ErrorReason::try_from(number).ok()) {
            let name = reason.as_str_name().trim_start_matches("ERROR_REASON_");
            let is_in_head = words(head).any(|word| word == name);
            assert_eq!(is_in_head, !of_some.contains(&name), "{name} in the head of the contract");
        }
        // What an item of a batch is refused for, where a call of its own ends with a status.
        for name in ["INVALID_COMMAND", "OVERLOADED", "NAME_RATE_EXCEEDED", "DEADLINE_EXPIRED", "SHUTTING_DOWN"] {
            assert!(words(ledger).any(|word| word == name), "{name} with AccrueBatch");
        }
    }

    #[test]
    fn reflection_gets_every_service_and_every_import() {
        let set = descriptors();
        let services: Vec<&str> =
            set.file.iter().flat_map(|file| &file.service).map(prost_types::ServiceDescriptorProto::name).collect();
        let all = ["Ledger", "Account", "Program", "Operator", "Admin", "Access", "Fraud", "Approval"]
            .map(|name| format!("{name}Service"));
        for service in all {
            assert!(services.contains(&&*service), "{service} is missing from {services:?}");
        }
        for file in &set.file {
            for import in &file.dependency {
                assert!(set.file.iter().any(|other| other.name() == import), "{import} is missing");
            }
        }
    }

    #[test]
    fn no_request_names_a_partner() {
        for message in own_messages() {
            let parts = ["Basket", "Line", "Command", "Activity", "OpeningLot", "Remark"];
            let spoken_by_caller = message.name().ends_with("Request") || parts.contains(&message.name());
            for field in message.field.iter().filter(|_| spoken_by_caller) {
                assert!(!field.name().contains("partner"), "{}.{}", message.name(), field.name());
            }
        }
    }

    #[test]
    fn numbers_are_signed_integers() {
        for message in own_messages() {
            for field in &message.field {
                let allowed = [Type::Int32, Type::Int64, Type::Bool, Type::String, Type::Message, Type::Enum]
                    .contains(&field.r#type());
                assert!(allowed, "{}.{} is {:?}", message.name(), field.name(), field.r#type());
            }
        }
    }

    #[test]
    fn a_full_batch_of_ordinary_baskets_fits_one_message_both_ways() {
        let requests = (0..limits::BATCH_COMMANDS_MAX).map(one_line_accrual).collect();
        let bytes = AccrueBatchRequest { requests }.encoded_len();
        assert!(bytes <= limits::MESSAGE_BYTES_MAX, "{bytes} bytes of requests");
        let decisions = (0..).take(limits::BATCH_COMMANDS_MAX).map(one_line_decision).collect();
        let bytes = AccrueBatchResponse { decisions }.encoded_len();
        assert!(bytes <= limits::MESSAGE_BYTES_MAX, "{bytes} bytes of decisions");
    }

    /// A number as the contract writes it: with a comma after every three digits.
    fn grouped(number: impl TryInto<u64>) -> String {
        let digits = number.try_into().ok().expect("limits are not negative").to_string();
        let mut text = String::new();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index) % 3 == 0 {
                text.push(',');
            }
            text.push(digit);
        }
        text
    }

    /// The comment of one field, its lines joined.
    fn comment(message_name: &str, field_name: &str) -> String {
        for file in own_files() {
            let Some(message) = file.message_type.iter().position(|message| message.name() == message_name) else {
                continue;
            };
            let fields = &file.message_type[message].field;
            let field = fields.iter().position(|field| field.name() == field_name).expect("the message has the field");
            // 4 and 2 are the numbers of `message_type` in a file and of `field` in a message.
            let path = [4, message, 2, field].map(|step| i32::try_from(step).expect("indexes are small"));
            let info = file.source_code_info.expect("comments are kept");
            let location = info.location.iter().find(|location| location.path == path).expect("fields have a place");
            return location.leading_comments().replace('\n', "");
        }
        panic!("there is no message {message_name}");
    }

    #[test]
    fn limits_that_the_contract_states_are_the_real_ones() {
        let bytes = |least: usize, most: usize| format!("{least} to {} bytes", grouped(most));
        let at_most = format!("at most {} bytes", grouped(limits::SYMBOL_BYTES_MAX));
        let page = format!("0 means {}; more than {} is", limits::PAGE_SIZE_DEFAULT, limits::PAGE_SIZE_MAX);
        let rows = [
            ("AccrueRequest", "transaction_id", bytes(1, limits::TRANSACTION_ID_BYTES_MAX)),
            ("AccrueRequest", "account_id", bytes(1, limits::ACCOUNT_ID_BYTES_MAX)),
            ("QuoteRequest", "account_id", format!("at most {} bytes", grouped(limits::ACCOUNT_ID_BYTES_MAX))),
            ("QuoteBatchRequest", "requests", format!("1 to {} quotes", grouped(limits::QUOTES_MAX))),
            ("RedeemRequest", "points", format!("1 to {}.", grouped(limits::UNITS_MAX))),
            ("AuthorizeRequest", "points", format!("1 to {}.", grouped(limits::UNITS_MAX))),
            ("AuthorizeRequest", "hold_seconds", format!("1 to {}.", grouped(limits::HOLD_SECONDS_MAX))),
            ("CaptureRequest", "points", format!("1 to {},", grouped(limits::UNITS_MAX))),
            ("CaptureRequest", "transaction_id", bytes(1, limits::TRANSACTION_ID_BYTES_MAX)),
            ("VoidRequest", "transaction_id", bytes(1, limits::TRANSACTION_ID_BYTES_MAX)),
            ("Activity", "kind", bytes(1, limits::SYMBOL_BYTES_MAX)),
            ("Activity", "channel", at_most.clone()),
            ("Basket", "channel", at_most.clone()),
            ("Basket", "payment_method", at_most.clone()),
            ("EnrolRequest", "join_segments", format!("at most {}, each", grouped(limits::SEGMENT_CHANGES_MAX))),
            ("EnrolRequest", "join_segments", bytes(1, limits::SYMBOL_BYTES_MAX)),
            (
                "UpdateAccountRequest",
                "join_segments",
                format!("at most {}, each", grouped(limits::SEGMENT_CHANGES_MAX)),
            ),
            ("LoadOpeningBalanceRequest", "lots", format!("1 to {} lots", grouped(limits::LOADED_LOTS_MAX))),
            ("OpeningLot", "points", format!("1 to {}.", grouped(limits::UNITS_MAX))),
            ("OpeningLot", "issuer", at_most.clone()),
            ("ReverseRequest", "transaction_id", bytes(1, limits::TRANSACTION_ID_BYTES_MAX)),
            ("ReverseRequest", "original_transaction_id", bytes(1, limits::TRANSACTION_ID_BYTES_MAX)),
            ("ReverseRequest", "lines", format!("at most {}, each", grouped(limits::BASKET_LINES_MAX))),
            ("ReverseRequest", "lines", format!("up to {}", grouped(limits::REVERSALS_OF_ONE_MAX))),
            ("ReturnedLine", "quantity", format!("0 to {},", grouped(limits::LINE_QUANTITY_MAX))),
            ("ReturnedLine", "amount_minor", format!("0 to {}.", grouped(limits::LINE_AMOUNT_MINOR_MAX))),
            ("PublishProgramRequest", "transaction_id", bytes(1, limits::TRANSACTION_ID_BYTES_MAX)),
            ("AccrueBatchRequest", "requests", format!("1 to {} accruals", grouped(limits::BATCH_COMMANDS_MAX))),
            ("CommandStreamRequest", "commands", format!("0 to {} commands", grouped(limits::BATCH_COMMANDS_MAX))),
            ("Basket", "store_id", bytes(1, limits::SYMBOL_BYTES_MAX)),
            ("Basket", "terminal_id", at_most.clone()),
            ("Basket", "cashier_id", at_most.clone()),
            ("Basket", "receipt_number", bytes(1, limits::RECEIPT_NUMBER_BYTES_MAX)),
            ("Basket", "lines", format!("1 to {} lines", grouped(limits::BASKET_LINES_MAX))),
            ("Line", "sku", at_most.clone()),
            ("Line", "category", at_most.clone()),
            ("Line", "department", at_most.clone()),
            ("Line", "brand", at_most.clone()),
            ("Line", "margin_class", at_most),
            ("Line", "quantity", format!("0 to {}.", grouped(limits::LINE_QUANTITY_MAX))),
            ("Line", "amount_minor", format!("0 to {}.", grouped(limits::LINE_AMOUNT_MINOR_MAX))),
            ("LineDecision", "multiplier_bps", format!("0 to {};", grouped(limits::MULTIPLIER_BPS_MAX))),
            ("ListTransactionsRequest", "page_size", page.clone()),
            ("ListRelatedTransactionsRequest", "page_size", page.clone()),
            ("ListHeldRequest", "page_size", page.clone()),
            ("ReleaseHeldRequest", "transaction_id", bytes(1, limits::TRANSACTION_ID_BYTES_MAX)),
            ("Remark", "reason_code", bytes(1, limits::REASON_CODE_BYTES_MAX)),
            ("Remark", "note", format!("at most {} bytes", grouped(limits::NOTE_BYTES_MAX))),
            ("Remark", "operator", format!("at most {} bytes", grouped(limits::OPERATOR_BYTES_MAX))),
            ("FreezeRequest", "reason_code", bytes(1, limits::REASON_CODE_BYTES_MAX)),
            ("FreezeRequest", "note", format!("at most {} bytes", grouped(limits::NOTE_BYTES_MAX))),
            ("FreezableTerminal", "partner", bytes(1, limits::SYMBOL_BYTES_MAX)),
            ("ListFreezesRequest", "page_size", page.clone()),
            ("ListProposalsRequest", "page_size", page.clone()),
            ("IssueVoucherRequest", "transaction_id", bytes(1, limits::TRANSACTION_ID_BYTES_MAX)),
            ("Basket", "voucher_codes", format!("at most {}, each", limits::VOUCHER_CODES_MAX)),
            ("AccountVoucher", "percent_bps", format!("1 to {}.", grouped(limits::VOUCHER_PERCENT_BPS_MAX))),
            ("AdjustBalanceRequest", "points", format!("at most {} either way", grouped(limits::UNITS_MAX))),
            ("ListProgramsRequest", "page_size", page.clone()),
            ("ListKeysRequest", "page_size", page),
            ("CreateKeyRequest", "name", bytes(1, limits::KEY_NAME_BYTES_MAX)),
            (
                "CreateKeyRequest",
                "certificate_name",
                format!("at most {} bytes", grouped(limits::CERTIFICATE_NAME_BYTES_MAX)),
            ),
            ("Grant", "partner", bytes(1, limits::SYMBOL_BYTES_MAX)),
            ("Grant", "store_ids", format!("at most {}", grouped(limits::GRANT_NAMES_MAX))),
            ("Grant", "terminal_ids", format!("at most {}", grouped(limits::GRANT_NAMES_MAX))),
        ];
        for (message, field, stated) in rows {
            let comment = comment(message, field);
            assert!(comment.contains(&stated), "{message}.{field} does not say {stated:?}: {comment}");
        }
    }
}
