//! The pages of `docs/errors`, built into the program.
//!
//! What must stay true: there is one page for each refusal and each reason of a failed call, under the number and name
//! that callers see, and none besides; a number once given is never given to something else.

/// The first number of failures of a call; refusals have the numbers below.
pub const FIRST_FAILURE: u16 = 1_001;

/// One page.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The permanent number: a refusal's own, or 1,000 more than that of a failed call's reason.
    pub number: u16,
    /// The permanent name, as the wire has it without its prefix. A refusal and a failure of a call may share one.
    pub name: &'static str,
    /// The page in Markdown.
    pub text: &'static str,
}

const fn page(number: u16, name: &'static str, text: &'static str) -> Page {
    Page { number, name, text }
}

impl Page {
    /// Whether it is about the refusal of one command, and not about the failure of a call.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.number < FIRST_FAILURE
    }

    /// What happened, in a sentence.
    #[must_use]
    pub fn sentence(&self) -> &'static str {
        self.text.lines().nth(2).unwrap_or_default()
    }

    /// A row of the page's table, such as `Retry`.
    #[must_use]
    pub fn row(&self, name: &str) -> Option<&'static str> {
        self.text.lines().find_map(|line| {
            let (found, value) = line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | ")?;
            (found == name).then_some(value)
        })
    }
}

/// All pages, in the order of their numbers.
pub const PAGES: [Page; 79] = [
    page(1, "ACCOUNT_UNKNOWN", include_str!("../../../docs/errors/0001-account-unknown.md")),
    page(2, "TRANSACTION_ID_REUSED", include_str!("../../../docs/errors/0002-transaction-id-reused.md")),
    page(3, "RECEIPT_ALREADY_EARNED", include_str!("../../../docs/errors/0003-receipt-already-earned.md")),
    page(4, "RECEIPT_TOO_OLD", include_str!("../../../docs/errors/0004-receipt-too-old.md")),
    page(5, "RECEIPT_IN_FUTURE", include_str!("../../../docs/errors/0005-receipt-in-future.md")),
    page(6, "PROGRAM_NOT_IN_FORCE", include_str!("../../../docs/errors/0006-program-not-in-force.md")),
    page(7, "BALANCE_LIMIT_EXCEEDED", include_str!("../../../docs/errors/0007-balance-limit-exceeded.md")),
    page(8, "ORIGINAL_UNKNOWN", include_str!("../../../docs/errors/0008-original-unknown.md")),
    page(9, "ALREADY_REVERSED", include_str!("../../../docs/errors/0009-already-reversed.md")),
    page(10, "NOT_REVERSIBLE", include_str!("../../../docs/errors/0010-not-reversible.md")),
    page(11, "POSTING_TIME_REGRESSED", include_str!("../../../docs/errors/0011-posting-time-regressed.md")),
    page(12, "OVERLOADED", include_str!("../../../docs/errors/0012-overloaded.md")),
    page(13, "DEADLINE_EXPIRED", include_str!("../../../docs/errors/0013-deadline-expired.md")),
    page(14, "INVALID_COMMAND", include_str!("../../../docs/errors/0014-invalid-command.md")),
    page(15, "SHUTTING_DOWN", include_str!("../../../docs/errors/0015-shutting-down.md")),
    page(16, "NAME_LIMIT_REACHED", include_str!("../../../docs/errors/0016-name-limit-reached.md")),
    page(17, "INSUFFICIENT_BALANCE", include_str!("../../../docs/errors/0017-insufficient-balance.md")),
    page(18, "ACCOUNT_LIMIT_REACHED", include_str!("../../../docs/errors/0018-account-limit-reached.md")),
    page(19, "NOT_HELD", include_str!("../../../docs/errors/0019-not-held.md")),
    page(20, "ALREADY_REVIEWED", include_str!("../../../docs/errors/0020-already-reviewed.md")),
    page(21, "NOT_RESTORABLE", include_str!("../../../docs/errors/0021-not-restorable.md")),
    page(22, "ALREADY_RESTORED", include_str!("../../../docs/errors/0022-already-restored.md")),
    page(23, "IDENTIFIER_TAKEN", include_str!("../../../docs/errors/0023-identifier-taken.md")),
    page(24, "IDENTIFIER_UNKNOWN", include_str!("../../../docs/errors/0024-identifier-unknown.md")),
    page(25, "ACCOUNT_FROZEN", include_str!("../../../docs/errors/0025-account-frozen.md")),
    page(26, "TERMINAL_FROZEN", include_str!("../../../docs/errors/0026-terminal-frozen.md")),
    page(27, "CASHIER_FROZEN", include_str!("../../../docs/errors/0027-cashier-frozen.md")),
    page(28, "NAME_RATE_EXCEEDED", include_str!("../../../docs/errors/0028-name-rate-exceeded.md")),
    page(30, "PARTNER_UNKNOWN", include_str!("../../../docs/errors/0030-partner-unknown.md")),
    page(31, "STORE_UNKNOWN", include_str!("../../../docs/errors/0031-store-unknown.md")),
    page(32, "EARN_NOT_PERMITTED", include_str!("../../../docs/errors/0032-earn-not-permitted.md")),
    page(33, "BURN_NOT_PERMITTED", include_str!("../../../docs/errors/0033-burn-not-permitted.md")),
    page(40, "AUTHORIZATION_UNKNOWN", include_str!("../../../docs/errors/0040-authorization-unknown.md")),
    page(41, "AUTHORIZATION_CLOSED", include_str!("../../../docs/errors/0041-authorization-closed.md")),
    page(42, "AUTHORIZATION_EXPIRED", include_str!("../../../docs/errors/0042-authorization-expired.md")),
    page(
        43,
        "CAPTURE_EXCEEDS_AUTHORIZATION",
        include_str!("../../../docs/errors/0043-capture-exceeds-authorization.md"),
    ),
    page(46, "LINE_UNKNOWN", include_str!("../../../docs/errors/0046-line-unknown.md")),
    page(47, "RETURN_TOO_LARGE", include_str!("../../../docs/errors/0047-return-too-large.md")),
    page(48, "RETURN_HELD", include_str!("../../../docs/errors/0048-return-held.md")),
    page(49, "RETURN_LIMIT_REACHED", include_str!("../../../docs/errors/0049-return-limit-reached.md")),
    page(50, "REWARD_UNKNOWN", include_str!("../../../docs/errors/0050-reward-unknown.md")),
    page(51, "REWARD_OUT_OF_STOCK", include_str!("../../../docs/errors/0051-reward-out-of-stock.md")),
    page(52, "REWARD_TIER_REQUIRED", include_str!("../../../docs/errors/0052-reward-tier-required.md")),
    page(53, "REWARD_NOT_OFFERED", include_str!("../../../docs/errors/0053-reward-not-offered.md")),
    page(54, "REWARD_PRICE_DIFFERS", include_str!("../../../docs/errors/0054-reward-price-differs.md")),
    page(60, "TOP_UP_TOO_SMALL", include_str!("../../../docs/errors/0060-top-up-too-small.md")),
    page(61, "TOP_UP_TOO_LARGE", include_str!("../../../docs/errors/0061-top-up-too-large.md")),
    page(62, "WALLET_NOT_MONEY", include_str!("../../../docs/errors/0062-wallet-not-money.md")),
    page(63, "REFUND_TOO_LARGE", include_str!("../../../docs/errors/0063-refund-too-large.md")),
    page(64, "VOUCHER_UNKNOWN", include_str!("../../../docs/errors/0064-voucher-unknown.md")),
    page(65, "VOUCHER_USED", include_str!("../../../docs/errors/0065-voucher-used.md")),
    page(66, "VOUCHER_EXPIRED", include_str!("../../../docs/errors/0066-voucher-expired.md")),
    page(67, "VOUCHER_NOT_YET_VALID", include_str!("../../../docs/errors/0067-voucher-not-yet-valid.md")),
    page(68, "VOUCHER_MINIMUM_NOT_REACHED", include_str!("../../../docs/errors/0068-voucher-minimum-not-reached.md")),
    page(69, "VOUCHER_CANCELLED", include_str!("../../../docs/errors/0069-voucher-cancelled.md")),
    page(1001, "INVALID_REQUEST", include_str!("../../../docs/errors/1001-invalid-request.md")),
    page(1002, "CREDENTIAL_INVALID", include_str!("../../../docs/errors/1002-credential-invalid.md")),
    page(1003, "NOT_PERMITTED", include_str!("../../../docs/errors/1003-not-permitted.md")),
    page(1004, "OVERLOADED", include_str!("../../../docs/errors/1004-overloaded.md")),
    page(1005, "DEADLINE_EXPIRED", include_str!("../../../docs/errors/1005-deadline-expired.md")),
    page(1006, "SHUTTING_DOWN", include_str!("../../../docs/errors/1006-shutting-down.md")),
    page(1007, "OUTCOME_UNKNOWN", include_str!("../../../docs/errors/1007-outcome-unknown.md")),
    page(1008, "INTERNAL_FAULT", include_str!("../../../docs/errors/1008-internal-fault.md")),
    page(1009, "ACCOUNT_UNKNOWN", include_str!("../../../docs/errors/1009-account-unknown.md")),
    page(1010, "TRANSACTION_UNKNOWN", include_str!("../../../docs/errors/1010-transaction-unknown.md")),
    page(1011, "PROGRAM_UNKNOWN", include_str!("../../../docs/errors/1011-program-unknown.md")),
    page(1012, "PROGRAM_INVALID", include_str!("../../../docs/errors/1012-program-invalid.md")),
    page(1013, "EFFECTIVE_TIME_REFUSED", include_str!("../../../docs/errors/1013-effective-time-refused.md")),
    page(1014, "TRANSACTION_ID_REUSED", include_str!("../../../docs/errors/1014-transaction-id-reused.md")),
    page(1015, "LIMIT_REACHED", include_str!("../../../docs/errors/1015-limit-reached.md")),
    page(1016, "BACKUP_FAILED", include_str!("../../../docs/errors/1016-backup-failed.md")),
    page(1017, "DEADLINE_OUTCOME_UNKNOWN", include_str!("../../../docs/errors/1017-deadline-outcome-unknown.md")),
    page(1030, "KEY_UNKNOWN", include_str!("../../../docs/errors/1030-key-unknown.md")),
    page(1031, "KEY_CHANGE_REFUSED", include_str!("../../../docs/errors/1031-key-change-refused.md")),
    page(1032, "PROPOSAL_UNKNOWN", include_str!("../../../docs/errors/1032-proposal-unknown.md")),
    page(1033, "PROPOSAL_REFUSED", include_str!("../../../docs/errors/1033-proposal-refused.md")),
    page(1034, "RATE_LIMITED", include_str!("../../../docs/errors/1034-rate-limited.md")),
    page(1050, "REQUEST_TOO_SLOW", include_str!("../../../docs/errors/1050-request-too-slow.md")),
    page(1051, "MESSAGE_TOO_LARGE", include_str!("../../../docs/errors/1051-message-too-large.md")),
];
