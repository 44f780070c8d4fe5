//! Which sentences a programme can show.
//!
//! What must stay true: a sentence that a decision of a version may be told in needs nothing that the version does not
//! have. (What an earlier version gave, held or let people owe is told by the one that judges when it ends: see
//! `docs/programs.md`.)

use super::Sentence;

/// What a programme may have, and some sentences are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::program) enum Construct {
    /// Rules of lines.
    Rules,
    /// Goods that earn nothing.
    Exclusion,
    /// A ladder of levels.
    Levels,
    /// Bonuses of units.
    Bonuses,
    /// Stamp cards.
    Stamps,
    /// Caps, of the programme or of rules, that leave of a basket what there is room for.
    ClippingCaps,
    /// Caps of rules.
    RuleCaps,
    /// Caps of the programme that deny a basket.
    DecliningCaps,
    /// Caps that hold a basket back.
    HoldingCaps,
    /// Budgets.
    Budgets,
    /// A catalogue of rewards.
    Rewards,
    /// A wallet of money.
    Money,
    /// Kinds of vouchers.
    Vouchers,
    /// That what was spent is owed when its basket comes back.
    Debts,
}

impl Sentence {
    /// What a programme needs to have for the sentence to be shown; `None` for one that any programme can show.
    pub(in crate::program) fn needs(self) -> Option<Construct> {
        match self {
            Self::Earned
            | Self::EarnedNothing
            | Self::Line
            | Self::Redeemed
            | Self::Authorized
            | Self::Captured
            | Self::Voided
            | Self::Reversed
            | Self::Unburned
            | Self::Restored
            | Self::Adjusted
            | Self::Loaded
            | Self::Changed
            | Self::Expired
            | Self::Refused
            | Self::Balance => None,
            Self::LineByRule => Some(Construct::Rules),
            Self::LineExcluded => Some(Construct::Exclusion),
            Self::Level | Self::NextLevel | Self::HighestLevel => Some(Construct::Levels),
            Self::Bonus => Some(Construct::Bonuses),
            Self::Stamped | Self::CardFull => Some(Construct::Stamps),
            Self::Capped => Some(Construct::ClippingCaps),
            Self::RuleCapped => Some(Construct::RuleCaps),
            Self::Denied => Some(Construct::DecliningCaps),
            Self::Held | Self::Released | Self::Rejected => Some(Construct::HoldingCaps),
            Self::OverBudget => Some(Construct::Budgets),
            Self::Rewarded => Some(Construct::Rewards),
            Self::ToppedUp | Self::Refunded => Some(Construct::Money),
            Self::VoucherGiven
            | Self::VoucherUsed
            | Self::VoucherGivenBack
            | Self::VoucherCancelled
            | Self::VoucherKept => Some(Construct::Vouchers),
            Self::Owed | Self::Collected => Some(Construct::Debts),
        }
    }
}
