//! The outcome of one command with its reasons, and the explicit changes it makes.
//!
//! What must stay true: [`Decision::effects`] alone changes state, so that replay needs no rules; a refusal has no
//! effects.

use super::authorization::AuthorizationChanges;
use super::held::HeldChange;
use super::program::{BonusIndex, LineClass, RuleIndex};
use super::stamps::StampOutcome;
use super::types::{CellId, Day, IdentifierKey, MemberKey, MonthDay, ProgramVersion, SymbolId, Units, WalletId};
use super::voucher::{VoucherChange, VoucherCode};

pub use super::lot::{LotChange, LotKey, Movement};
pub use super::refusal::{Refusal, RetryAdvice};

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
    /// Of a return: units that had died before what gave them came back, so that nothing is taken for them. Of burned units
    /// that come back dead: those that were owed for.
    pub gone: Units,
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
    /// Stamps that the basket counted, in the order of the programme's cards.
    pub stamps: Vec<StampOutcome>,
    /// Units before velocity, caps and budgets, bonuses included.
    pub earned: Units,
    /// Units granted, or come back, those that die at once included; negative for a reversal, a rejection, a redemption, a
    /// capture or a refund.
    pub granted: Units,
    /// The velocity cap that turned the earnings to nothing, if one did.
    pub over_velocity: Option<SymbolId>,
    /// What caps and budgets withheld, in the order in which they were applied.
    pub clips: Vec<Clip>,
    /// Cells drawn on or given back to; of a refusal those that were looked into, of which nothing is taken: see
    /// [`Decision::uses`].
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
        self.stamps.clear();
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
        self.effects.gone = 0;
        self.effects.vouchers.clear();
        self.effects.totals = TotalsChange::default();
        self.balance_after = 0;
        self.refundable = 0;
    }

    /// What the command takes from cells, or gives back to them: nothing where it is refused.
    #[must_use]
    pub fn uses(&self) -> &[CellUse] {
        if self.refusal().is_none() { &self.cells } else { &[] }
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
