//! Why commands are refused, and what to do about it.
//!
//! What must stay true: the numbers are permanent and appear in the journal and on the wire; whatever is on record asks for a
//! new id, whatever passes by itself for the same.

/// Why a command was refused. Numbers are permanent; a retired one stays reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// The programme opens no account by itself and there is none with this id.
    AccountUnknown = 1,
    /// The transaction id was used before, with other content.
    TransactionIdReused = 2,
    /// The receipt has earned already, under another transaction id.
    ReceiptAlreadyEarned = 3,
    /// The receipt is older than the programme's late limit.
    ReceiptTooOld = 4,
    /// The receipt's time lies further in the future than the programme allows.
    ReceiptInFuture = 5,
    /// No version of the programme was in force at the receipt's time.
    ProgramNotInForce = 6,
    /// The grant would lift the balance above the wallet's maximum.
    BalanceLimitExceeded = 7,
    /// There is no transaction with the id that is to be reversed.
    OriginalUnknown = 8,
    /// Nothing is left of the transaction: it was reversed before.
    AlreadyReversed = 9,
    /// The transaction exists but is neither an accrual nor a burn that was granted.
    NotReversible = 10,
    /// In a data directory whose clock is its input: the stamp is earlier than one already posted.
    PostingTimeRegressed = 11,
    /// A queue is full.
    Overloaded = 12,
    /// The caller's deadline had passed before the command was decided.
    DeadlineExpired = 13,
    /// The command is malformed; fields are named. Or more rules count for the lines of a basket than a record names.
    InvalidCommand = 14,
    /// The server is stopping.
    ShuttingDown = 15,
    /// The data directory holds as many different names as it can, and the command brings a new one.
    NameLimitReached = 16,
    /// The account has fewer units than are to be taken.
    InsufficientBalance = 17,
    /// The account would have more segments, lots, counted members, identifiers, transactions held for review or units set
    /// aside for partners than an account can.
    AccountLimitReached = 18,
    /// The transaction exists but no cap holds its units.
    NotHeld = 19,
    /// What was held was released, rejected or reversed before.
    AlreadyReviewed = 20,
    /// The record posted no expiry of units that can come back.
    NotRestorable = 21,
    /// The expiry was taken back before.
    AlreadyRestored = 22,
    /// The identifier points to an account already.
    IdentifierTaken = 23,
    /// The identifier points to no account, or not to this one.
    IdentifierUnknown = 24,
    /// The account is frozen.
    AccountFrozen = 25,
    /// The terminal is frozen.
    TerminalFrozen = 26,
    /// The cashier is frozen.
    CashierFrozen = 27,
    /// The credential brings more new names of goods and places than it may.
    NameRateExceeded = 28,
    /// The programme does not have this partner.
    PartnerUnknown = 30,
    /// The partner has no such store, or the store no such terminal.
    StoreUnknown = 31,
    /// The partner does not issue units of the wallet, or not at the time of the event.
    EarnNotPermitted = 32,
    /// The partner does not take units of the wallet, or not now.
    BurnNotPermitted = 33,
    /// The partner has set nothing aside under the id.
    AuthorizationUnknown = 40,
    /// The authorization was captured to its end, or voided.
    AuthorizationClosed = 41,
    /// The time of the authorization has run out.
    AuthorizationExpired = 42,
    /// Fewer units are set aside than are to be captured.
    CaptureExceedsAuthorization = 43,
    /// The original has no such line, or does not come back by the measure that is stated.
    LineUnknown = 46,
    /// Less of the original, or of a line of it, is left than is to come back.
    ReturnTooLarge = 47,
    /// What the original earned is held for review, so that it comes back whole or not at all.
    ReturnHeld = 48,
    /// The original has come back in as many parts as there can be; only the whole rest still can.
    ReturnLimitReached = 49,
    /// The programme has no reward of this name.
    RewardUnknown = 50,
    /// Fewer of the reward are left than are asked for.
    RewardOutOfStock = 51,
    /// The account does not have the level that the reward asks for.
    RewardTierRequired = 52,
    /// The reward cannot be had today.
    RewardNotOffered = 53,
    /// The reward costs another number of units than is stated.
    RewardPriceDiffers = 54,
    /// Less is paid in than the wallet takes at once.
    TopUpTooSmall = 60,
    /// More is paid in than the wallet takes at once.
    TopUpTooLarge = 61,
    /// The wallet is none of money.
    WalletNotMoney = 62,
    /// Less of the top-up is left than is to go back.
    RefundTooLarge = 63,
    /// The account has no voucher with the code.
    VoucherUnknown = 64,
    /// The voucher was used before.
    VoucherUsed = 65,
    /// The time of the voucher is over.
    VoucherExpired = 66,
    /// The voucher can be used only later.
    VoucherNotYetValid = 67,
    /// The basket is smaller than the voucher asks for.
    VoucherMinimumNotReached = 68,
    /// The voucher was cancelled.
    VoucherCancelled = 69,
}

/// What a caller does about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAdvice {
    /// The same command with the same id may succeed later.
    SameId,
    /// The refusal is remembered under this id; a new attempt needs a new one.
    NewId,
    /// No retry can succeed: as it is, the command is refused under any id.
    Never,
}

impl Refusal {
    /// All refusals, in the order of their numbers.
    pub const ALL: [Self; 55] = [
        Self::AccountUnknown,
        Self::TransactionIdReused,
        Self::ReceiptAlreadyEarned,
        Self::ReceiptTooOld,
        Self::ReceiptInFuture,
        Self::ProgramNotInForce,
        Self::BalanceLimitExceeded,
        Self::OriginalUnknown,
        Self::AlreadyReversed,
        Self::NotReversible,
        Self::PostingTimeRegressed,
        Self::Overloaded,
        Self::DeadlineExpired,
        Self::InvalidCommand,
        Self::ShuttingDown,
        Self::NameLimitReached,
        Self::InsufficientBalance,
        Self::AccountLimitReached,
        Self::NotHeld,
        Self::AlreadyReviewed,
        Self::NotRestorable,
        Self::AlreadyRestored,
        Self::IdentifierTaken,
        Self::IdentifierUnknown,
        Self::AccountFrozen,
        Self::TerminalFrozen,
        Self::CashierFrozen,
        Self::NameRateExceeded,
        Self::PartnerUnknown,
        Self::StoreUnknown,
        Self::EarnNotPermitted,
        Self::BurnNotPermitted,
        Self::AuthorizationUnknown,
        Self::AuthorizationClosed,
        Self::AuthorizationExpired,
        Self::CaptureExceedsAuthorization,
        Self::LineUnknown,
        Self::ReturnTooLarge,
        Self::ReturnHeld,
        Self::ReturnLimitReached,
        Self::RewardUnknown,
        Self::RewardOutOfStock,
        Self::RewardTierRequired,
        Self::RewardNotOffered,
        Self::RewardPriceDiffers,
        Self::TopUpTooSmall,
        Self::TopUpTooLarge,
        Self::WalletNotMoney,
        Self::RefundTooLarge,
        Self::VoucherUnknown,
        Self::VoucherUsed,
        Self::VoucherExpired,
        Self::VoucherNotYetValid,
        Self::VoucherMinimumNotReached,
        Self::VoucherCancelled,
    ];

    /// The permanent number.
    #[must_use]
    #[expect(clippy::as_conversions, reason = "reads the discriminant of a field-less enum of u8")]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The refusal with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| refusal.number() == number)
    }

    /// Whether it has no record and tells of what other accounts' commands took: it is told once that is durable.
    #[must_use]
    pub fn tells_of_cells(self) -> bool {
        self == Self::RewardOutOfStock
    }

    /// Whether the refusal has a record: only what an existing account's state decided, or a freeze. All others consume
    /// nothing.
    #[must_use]
    pub fn is_journaled(self) -> bool {
        match self {
            Self::BalanceLimitExceeded
            | Self::InsufficientBalance
            | Self::AccountLimitReached
            | Self::AccountFrozen
            | Self::TerminalFrozen
            | Self::CashierFrozen
            | Self::RewardTierRequired => true,
            Self::AccountUnknown
            | Self::TransactionIdReused
            | Self::ReceiptAlreadyEarned
            | Self::ReceiptTooOld
            | Self::ReceiptInFuture
            | Self::ProgramNotInForce
            | Self::OriginalUnknown
            | Self::AlreadyReversed
            | Self::NotReversible
            | Self::PostingTimeRegressed
            | Self::Overloaded
            | Self::NameRateExceeded
            | Self::DeadlineExpired
            | Self::InvalidCommand
            | Self::ShuttingDown
            | Self::NameLimitReached
            | Self::NotHeld
            | Self::AlreadyReviewed
            | Self::NotRestorable
            | Self::AlreadyRestored
            | Self::IdentifierTaken
            | Self::IdentifierUnknown
            | Self::PartnerUnknown
            | Self::StoreUnknown
            | Self::EarnNotPermitted
            | Self::BurnNotPermitted
            | Self::AuthorizationUnknown
            | Self::AuthorizationClosed
            | Self::AuthorizationExpired
            | Self::CaptureExceedsAuthorization
            | Self::LineUnknown
            | Self::ReturnTooLarge
            | Self::ReturnHeld
            | Self::ReturnLimitReached
            | Self::RewardUnknown
            | Self::RewardOutOfStock
            | Self::RewardNotOffered
            | Self::RewardPriceDiffers
            | Self::TopUpTooSmall
            | Self::TopUpTooLarge
            | Self::WalletNotMoney
            | Self::RefundTooLarge
            | Self::VoucherUnknown
            | Self::VoucherUsed
            | Self::VoucherExpired
            | Self::VoucherNotYetValid
            | Self::VoucherMinimumNotReached
            | Self::VoucherCancelled => false,
        }
    }

    /// What the caller does about it.
    #[must_use]
    pub fn retry(self) -> RetryAdvice {
        match self {
            Self::AccountUnknown
            | Self::ReceiptInFuture
            | Self::ProgramNotInForce
            | Self::OriginalUnknown
            | Self::Overloaded
            | Self::NameRateExceeded
            | Self::DeadlineExpired
            | Self::ShuttingDown
            | Self::IdentifierTaken
            | Self::IdentifierUnknown
            | Self::PartnerUnknown
            | Self::BurnNotPermitted
            | Self::AuthorizationUnknown
            | Self::ReturnHeld
            | Self::RewardUnknown
            | Self::RewardOutOfStock
            | Self::RewardNotOffered
            | Self::RewardPriceDiffers
            | Self::VoucherNotYetValid => RetryAdvice::SameId,
            Self::TransactionIdReused
            | Self::BalanceLimitExceeded
            | Self::InsufficientBalance
            | Self::AccountLimitReached
            | Self::AccountFrozen
            | Self::TerminalFrozen
            | Self::CashierFrozen
            | Self::RewardTierRequired => RetryAdvice::NewId,
            Self::ReceiptAlreadyEarned
            | Self::ReceiptTooOld
            | Self::AlreadyReversed
            | Self::NotReversible
            | Self::PostingTimeRegressed
            | Self::InvalidCommand
            | Self::NameLimitReached
            | Self::NotHeld
            | Self::AlreadyReviewed
            | Self::NotRestorable
            | Self::AlreadyRestored
            | Self::StoreUnknown
            | Self::EarnNotPermitted
            | Self::AuthorizationClosed
            | Self::AuthorizationExpired
            | Self::CaptureExceedsAuthorization
            | Self::LineUnknown
            | Self::ReturnTooLarge
            | Self::ReturnLimitReached
            | Self::TopUpTooSmall
            | Self::TopUpTooLarge
            | Self::WalletNotMoney
            | Self::RefundTooLarge
            | Self::VoucherUnknown
            | Self::VoucherUsed
            | Self::VoucherExpired
            | Self::VoucherMinimumNotReached
            | Self::VoucherCancelled => RetryAdvice::Never,
        }
    }

    /// Whether it is about the moment alone: the same command, sent again a little later, is decided. Whoever sends
    /// many commands repeats after these by itself; what else advises the same id waits for something to be done.
    #[must_use]
    pub fn is_transient(self) -> bool {
        match self {
            Self::Overloaded | Self::DeadlineExpired | Self::ShuttingDown | Self::NameRateExceeded => true,
            Self::AccountUnknown
            | Self::TransactionIdReused
            | Self::ReceiptAlreadyEarned
            | Self::ReceiptTooOld
            | Self::ReceiptInFuture
            | Self::ProgramNotInForce
            | Self::BalanceLimitExceeded
            | Self::OriginalUnknown
            | Self::AlreadyReversed
            | Self::NotReversible
            | Self::PostingTimeRegressed
            | Self::InvalidCommand
            | Self::NameLimitReached
            | Self::InsufficientBalance
            | Self::AccountLimitReached
            | Self::NotHeld
            | Self::AlreadyReviewed
            | Self::NotRestorable
            | Self::AlreadyRestored
            | Self::IdentifierTaken
            | Self::IdentifierUnknown
            | Self::AccountFrozen
            | Self::TerminalFrozen
            | Self::CashierFrozen
            | Self::PartnerUnknown
            | Self::StoreUnknown
            | Self::EarnNotPermitted
            | Self::BurnNotPermitted
            | Self::AuthorizationUnknown
            | Self::AuthorizationClosed
            | Self::AuthorizationExpired
            | Self::CaptureExceedsAuthorization
            | Self::LineUnknown
            | Self::ReturnTooLarge
            | Self::ReturnHeld
            | Self::ReturnLimitReached
            | Self::RewardUnknown
            | Self::RewardOutOfStock
            | Self::RewardTierRequired
            | Self::RewardNotOffered
            | Self::RewardPriceDiffers
            | Self::TopUpTooSmall
            | Self::TopUpTooLarge
            | Self::WalletNotMoney
            | Self::RefundTooLarge
            | Self::VoucherUnknown
            | Self::VoucherUsed
            | Self::VoucherExpired
            | Self::VoucherNotYetValid
            | Self::VoucherMinimumNotReached
            | Self::VoucherCancelled => false,
        }
    }

    /// A sentence for a person.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::AccountUnknown => {
                "There is no account with this id, and the programme does not open accounts by itself."
            }
            Self::TransactionIdReused => "This transaction id was used before with other content.",
            Self::ReceiptAlreadyEarned => "This receipt has earned already, under another transaction id.",
            Self::ReceiptTooOld => "The receipt is older than the programme's late limit.",
            Self::ReceiptInFuture => "The receipt's time lies further in the future than the programme allows.",
            Self::ProgramNotInForce => "No version of the programme was in force at the receipt's time.",
            Self::BalanceLimitExceeded => "The grant would lift the balance above the wallet's maximum.",
            Self::OriginalUnknown => "There is no transaction with the id that is to be reversed.",
            Self::AlreadyReversed => "The transaction was reversed before, and nothing is left of it.",
            Self::NotReversible => "The transaction exists but is neither an accrual nor a burn that was granted.",
            Self::PostingTimeRegressed => "The posting time is earlier than one already posted.",
            Self::Overloaded => "The server has more work than it can queue; nothing was consumed.",
            Self::DeadlineExpired => "The deadline had passed before the command was decided; nothing was consumed.",
            Self::InvalidCommand => "The command is malformed.",
            Self::ShuttingDown => "The server is stopping; nothing was consumed.",
            Self::NameLimitReached => "The data directory holds as many different names as it can.",
            Self::InsufficientBalance => "The account has fewer units than are to be taken.",
            Self::AccountLimitReached => {
                "The account has as many segments, lots, members, identifiers, authorizations or vouchers as it can."
            }
            Self::NotHeld => "The transaction exists but is not held for review.",
            Self::AlreadyReviewed => "What was held was released, rejected or reversed before.",
            Self::NotRestorable => "The record posted no expiry of units that can come back until then.",
            Self::AlreadyRestored => "The expiry was taken back before.",
            Self::IdentifierTaken => "The identifier points to an account already.",
            Self::IdentifierUnknown => "The identifier points to no account, or not to this one.",
            Self::AccountFrozen => "The account is frozen: it neither earns nor burns.",
            Self::TerminalFrozen => "The terminal is frozen: its baskets earn nothing.",
            Self::CashierFrozen => "The cashier is frozen: the cashier's baskets earn nothing.",
            Self::NameRateExceeded => "The credential brings more new names of goods and places than it may.",
            Self::PartnerUnknown => "The programme does not have this partner.",
            Self::StoreUnknown => "The partner has no such store, or the store no such terminal.",
            Self::EarnNotPermitted => "The partner may not issue these units at the time of the event.",
            Self::BurnNotPermitted => "The partner may not take units of this wallet now.",
            Self::AuthorizationUnknown => "The partner has set nothing aside under this transaction id.",
            Self::AuthorizationClosed => "The authorization was captured to its end, or voided, before.",
            Self::AuthorizationExpired => "The time of the authorization has run out.",
            Self::CaptureExceedsAuthorization => "Fewer units are set aside than are to be captured.",
            Self::LineUnknown => "The original has no such line, or does not come back by the measure that is stated.",
            Self::ReturnTooLarge => "Less is left than is to come back.",
            Self::ReturnHeld => {
                "What the original earned is held for review: until then it comes back whole or not at all."
            }
            Self::ReturnLimitReached => {
                "The original came back in as many parts as it can: only the whole rest is left to return."
            }
            Self::RewardUnknown => "There is no such reward in the programme.",
            Self::RewardOutOfStock => "There are not so many of the reward left.",
            Self::RewardTierRequired => "The account has not reached the level that the reward asks for.",
            Self::RewardNotOffered => "The reward is not offered today.",
            Self::RewardPriceDiffers => "The reward costs another number of points.",
            Self::TopUpTooSmall => "Less is paid in than the wallet takes at once.",
            Self::TopUpTooLarge => "More is paid in than the wallet takes at once.",
            Self::WalletNotMoney => "The wallet is none of money: nothing can be paid in.",
            Self::RefundTooLarge => "Less of the top-up is left than is to go back.",
            Self::VoucherUnknown => "The account has no voucher with this code.",
            Self::VoucherUsed => "The voucher was used before.",
            Self::VoucherExpired => "The time of the voucher is over.",
            Self::VoucherNotYetValid => "The voucher can be used only from a later time on.",
            Self::VoucherMinimumNotReached => "The basket is smaller than the voucher asks for.",
            Self::VoucherCancelled => "The voucher was cancelled.",
        }
    }
}

#[cfg(test)]
mod tests;
