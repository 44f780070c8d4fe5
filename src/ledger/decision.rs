//! The outcome of one command with its reasons, and the explicit changes it makes.
//!
//! What must stay true: [`Decision::effects`] alone changes state, so that replay needs no rules; a refusal has no
//! effects; [`Refusal`]'s numbers are permanent and appear in the journal and on the wire.

use super::authorization::AuthorizationChanges;
use super::held::HeldChange;
use super::program::{BonusIndex, LineClass, RuleIndex};
use super::types::{CellId, Day, IdentifierKey, MemberKey, MonthDay, ProgramVersion, SymbolId, Units, WalletId};
use super::voucher::{VoucherChange, VoucherCode};

pub use super::lot::{LotChange, LotKey, Movement};

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
    /// The command is malformed; fields are named.
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
    pub const ALL: [Self; 54] = [
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
            Self::Overloaded | Self::DeadlineExpired | Self::ShuttingDown => true,
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

/// Granted (perhaps nothing) or refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// The command took effect.
    #[default]
    Granted,
    /// It changed nothing but its id, and not even that where the refusal is not journaled.
    Refused(Refusal),
}

/// What a line earned by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineOutcome {
    /// The rule, the base rate, or nothing.
    pub class: LineClass,
}

/// Units that a cap or a budget withheld, or that a rule did not count because its own cap was used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clip {
    /// The name of the cap or budget.
    pub source: SymbolId,
    /// Whether it is a budget.
    pub is_budget: bool,
    /// Units withheld, more than 0; 0 where a rule's own cap kept the rule from counting at all.
    pub units: Units,
}

/// What a command found in a shared cell and took from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellUse {
    /// The cell.
    pub cell: CellId,
    /// The cell's count of uses with this one; each number is given once.
    pub version: u64,
    /// Units that could be taken when the command was decided; 0 where units are given back.
    pub room_before: Units,
    /// Units taken; negative when given back.
    pub used: Units,
    /// The cell may be forgotten after this UTC day; the last there is for a cell that is kept for ever.
    pub retain_until: Day,
}

impl CellUse {
    /// The day of a cell that is kept for ever.
    pub const FOR_EVER: Day = Day(i32::MAX);
}

/// A bonus that a command earned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BonusAward {
    /// Which of the programme's.
    pub bonus: BonusIndex,
    /// Units, before caps and budgets.
    pub units: Units,
}

/// Where an account stands on the programme's ladder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TierStanding {
    /// The level by which the command was judged: 0 below the first.
    pub level: u8,
    /// The value of the ladder's metric after the command.
    pub qualifying: i64,
}

/// A change to one of the account's counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterChange {
    /// The name of the cap or metric.
    pub counter: SymbolId,
    /// The member whose counter it is; [`MemberKey::NONE`] for one of the whole account.
    pub member: MemberKey,
    /// The day number or the year.
    pub period: i32,
    /// Added to the counter.
    pub delta: i64,
    /// The counter may be forgotten by a record posted after this UTC day.
    pub retain_until: Day,
}

/// Changes to the lifetime totals of the account and of the decision's wallet. Nothing is negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TotalsChange {
    /// Baskets seen.
    pub baskets: i64,
    /// Baskets that a velocity cap turned to nothing.
    pub refused_baskets: i64,
    /// Accruals taken back.
    pub reversals: i64,
    /// Redemptions refused.
    pub refused_redemptions: i64,
    /// Units withheld by caps and budgets.
    pub clipped: Units,
}

impl TotalsChange {
    /// What an accepted basket adds.
    #[must_use]
    pub fn of_basket(clips: &[Clip], over_velocity: bool) -> Self {
        Self { baskets: 1, refused_baskets: i64::from(over_velocity), ..Self::of_activity(clips) }
    }

    /// What an activity adds.
    #[must_use]
    pub fn of_activity(clips: &[Clip]) -> Self {
        Self { clipped: clips.iter().fold(0, |sum: Units, clip| sum.saturating_add(clip.units)), ..Self::default() }
    }

    /// What the reversal of an accrual adds.
    #[must_use]
    pub fn of_reversal() -> Self {
        Self { reversals: 1, ..Self::default() }
    }

    /// What a redemption that is refused adds.
    #[must_use]
    pub fn of_refused_redemption() -> Self {
        Self { refused_redemptions: 1, ..Self::default() }
    }
}

/// A change to what points to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentifierChange {
    /// The identifier.
    pub key: IdentifierKey,
    /// Its kind.
    pub kind: SymbolId,
    /// Whether it points to the account from now on.
    pub links: bool,
}

/// Everything a decision changes, explicitly, per entity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// The account does not exist yet and is opened.
    pub opens_account: bool,
    /// Lots that change, in this order.
    pub lots: Vec<LotChange>,
    /// Counters that move.
    pub counters: Vec<CounterChange>,
    /// Segments that the account joins (`true`) or leaves.
    pub segments: Vec<(SymbolId, bool)>,
    /// The identifier that points to the account from now on, or no longer.
    pub identifier: Option<Box<IdentifierChange>>,
    /// The account's birthday from now on, if it changes.
    pub birthday: Option<Option<MonthDay>>,
    /// The local day of the account's last basket, if it is kept and changes.
    pub last_basket_on: Option<Day>,
    /// What rounding left over for the account's next basket, if it is kept and changes.
    pub remainder: Option<i64>,
    /// A change to what is held for review, if there is one.
    pub held: Option<Box<HeldChange>>,
    /// Changes to what is set aside, if there are any.
    pub authorizations: Option<Box<AuthorizationChanges>>,
    /// What the partner receives per unit that it burns, in basis points of a minor unit; 0 where nothing says.
    pub redemption_rate_bps: u32,
    /// A change to what the account owes in the decision's wallet, if there is one; not 0.
    pub owed: Option<(WalletId, Units)>,
    /// What becomes of vouchers: first what the basket uses.
    pub vouchers: Vec<(VoucherCode, VoucherChange)>,
    /// Totals that move.
    pub totals: TotalsChange,
}

/// The outcome of one command, its reasons and its effects. Reused between commands on the hot path: `clear` keeps
/// the vectors' memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Granted or refused.
    pub outcome: Outcome,
    /// Whether the account existed or was opened: a refusal about an unknown account is never journaled.
    pub account_known: bool,
    /// The version of the programme that judged it.
    pub program: ProgramVersion,
    /// The wallet concerned.
    pub wallet: WalletId,
    /// Per line of the basket, in its order.
    pub lines: Vec<LineOutcome>,
    /// Rules that counted for a line beside its class, ascending by line and rule.
    pub stacked: Vec<(u32, RuleIndex)>,
    /// Where the account stands on the ladder, if the programme has one.
    pub tier: Option<TierStanding>,
    /// The account's variant in each experiment of the programme, in its order.
    pub variants: Vec<u8>,
    /// Bonuses that the command earned, in the order of the programme.
    pub bonuses: Vec<BonusAward>,
    /// Units before velocity, caps and budgets, bonuses included.
    pub earned: Units,
    /// Units granted, or come back, those that die at once included; negative for a reversal, a rejection, a redemption, a
    /// capture or a refund.
    pub granted: Units,
    /// The velocity cap that turned the earnings to nothing, if one did.
    pub over_velocity: Option<SymbolId>,
    /// What caps and budgets withheld, in the order in which they were applied.
    pub clips: Vec<Clip>,
    /// Cells drawn on or given back to.
    pub cells: Vec<CellUse>,
    /// The changes.
    pub effects: Effects,
    /// The wallet's balance after the command.
    pub balance_after: Units,
    /// Of the refund of a top-up: what of it could go back after this decision, as far as the money is there. Of one that
    /// is refused for want of money too.
    pub refundable: Units,
}

impl Decision {
    /// Empties the decision, keeping its memory.
    pub fn clear(&mut self) {
        self.outcome = Outcome::Granted;
        self.account_known = false;
        self.program = ProgramVersion(0);
        self.wallet = WalletId(0);
        self.lines.clear();
        self.stacked.clear();
        self.tier = None;
        self.bonuses.clear();
        self.earned = 0;
        self.granted = 0;
        self.over_velocity = None;
        self.clips.clear();
        self.cells.clear();
        self.effects.opens_account = false;
        self.effects.lots.clear();
        self.effects.counters.clear();
        self.effects.segments.clear();
        self.effects.identifier = None;
        (self.effects.birthday, self.effects.last_basket_on, self.effects.remainder) = (None, None, None);
        self.variants.clear();
        self.effects.held = None;
        self.effects.authorizations = None;
        self.effects.redemption_rate_bps = 0;
        self.effects.owed = None;
        self.effects.vouchers.clear();
        self.effects.totals = TotalsChange::default();
        self.balance_after = 0;
        self.refundable = 0;
    }

    /// The lot that the command's grant went to.
    #[must_use]
    pub fn granted_lot(&self) -> Option<LotKey> {
        let grant = self.effects.lots.iter().find(|change| change.movement == Movement::Grant);
        grant.map(|change| change.key)
    }

    /// The refusal, if it is one.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        match self.outcome {
            Outcome::Granted => None,
            Outcome::Refused(refusal) => Some(refusal),
        }
    }

    /// Whether the command gets a record.
    #[must_use]
    pub fn is_journaled(&self) -> bool {
        self.refusal().is_none_or(|refusal| refusal.is_journaled() && self.account_known)
    }
}

#[cfg(test)]
mod tests;
