//! A programme as flat tables: what `decide` reads. The file format and its checks live in the `program` room, which
//! compiles into these types.
//!
//! What must stay true: everything here is immutable once built; a rule is found by what a line carries, so that a
//! rule that cannot match costs nothing; no lookup depends on the order of a hash map.

mod bonuses;
mod catalogue;
mod conditions;
mod lines;
mod partners;
mod stamps;
mod terms;
mod tiers;
mod vouchers;
mod windows;

pub use bonuses::{Bonus, BonusIndex, Trigger};
pub use catalogue::Reward;
pub use conditions::{BirthdayWithin, Conditions, Facts, OwnAverage, Weekdays};
pub use lines::{
    Attribute, AttributeEntry, CappedRule, LineClass, LineEffect, LineRule, LineTable, RuleIndex, Stacking,
};
pub use partners::{Partner, PartnerStore, PartnerTable, Right};
pub use stamps::{StampCard, StampIndex, StampReward, StampsCounted};
pub use terms::{Expiry, Terms};
pub use tiers::{TierLadder, TierLevel};
pub use vouchers::{Validity, VoucherIndex, VoucherKind, Worth};
pub use windows::{CalendarWindow, Periods, Run};

use super::decision::CellUse;
use super::draws::around;
use super::money::{FACE_VALUE_BPS, MoneyTerms};
use super::types::{CellId, Day, ProgramVersion, SymbolId, TimestampNs, Units, WalletId};
use super::zone::Zone;
use crate::limits::UNITS_MAX;

/// One: multipliers are stated in basis points.
pub const BPS_ONE: i64 = 10_000;

/// A compiled version of a programme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// From 1, in order of publication.
    pub version: ProgramVersion,
    /// Commands with an event time from here on are judged by this version, until a later one takes effect.
    pub effective_at: TimestampNs,
    /// The programme's name, for people.
    pub name: String,
    /// ISO 4217 code of the amounts, for example `USD`.
    pub currency: String,
    /// The zone of calendar days and years.
    pub zone: Zone,
    /// Wallets by [`WalletId`]. Never empty; the first is the one that `balance` means when none is named.
    pub wallets: Vec<Wallet>,
    /// What an eligible amount earns.
    pub earn: Earn,
    /// Eligibility and multipliers by what a line carries.
    pub lines: LineTable,
    /// What baskets and activities earn beside their lines, in the order of the file.
    pub bonuses: Vec<Bonus>,
    /// Kinds of voucher, in the order of the file.
    pub vouchers: Vec<VoucherKind>,
    /// Stamp cards, in the order of the file. At most [`crate::limits::PROGRAM_STAMPS_MAX`].
    pub stamps: Vec<StampCard>,
    /// The ladder that accounts climb, if there is one.
    pub tiers: Option<TierLadder>,
    /// Experiments, at most [`crate::limits::PROGRAM_EXPERIMENTS_MAX`].
    pub experiments: Vec<Experiment>,
    /// Whether a condition of this version, or of one before it, looks at the day of the account's last basket, so that it
    /// is kept.
    pub keeps_last_basket: bool,
    /// Bounds per account and window. Those on baskets are judged first; those on units clip in this order.
    pub caps: Vec<Cap>,
    /// Counters without a bound.
    pub metrics: Vec<Metric>,
    /// Bounds on the whole programme, or on what one partner grants, in the order in which they clip.
    pub budgets: Vec<Budget>,
    /// What members can have for their units, in the order of the file.
    pub rewards: Vec<Reward>,
    /// The partners; `None` where the file declares none, and anybody with a credential is one.
    pub partners: Option<Box<PartnerTable>>,
    /// Whether commands can draw on shared cells: see [`Program::draws_on_cells`].
    pub has_cells: bool,
    /// What a command for an unknown account does.
    pub accounts: AccountPolicy,
    /// What becomes of a reversal whose units were spent.
    pub when_spent: WhenSpent,
    /// What becomes of burned units that come back after their death.
    pub when_returned: WhenReturned,
    /// A receipt older than this when it is presented is refused. Nanoseconds.
    pub late_limit_ns: i64,
    /// What earlier versions let in for longer; the versions of a data directory say so of each other.
    pub earlier: Option<EarlierLimit>,
    /// A receipt dated further in the future than this is refused. Nanoseconds.
    pub future_skew_ns: i64,
    /// Units stay set aside no longer than this. Nanoseconds.
    pub hold_ns: i64,
    /// BLAKE3 of the source text.
    pub source_hash: [u8; 32],
}

/// A late limit of earlier versions that is longer than the present one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarlierLimit {
    /// The longest of theirs. Nanoseconds.
    pub late_limit_ns: i64,
    /// From this instant on no receipt of their time is let in any more.
    pub until: TimestampNs,
}

/// One unit of value that an account can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wallet {
    /// Name in the file.
    pub name: String,
    /// The name, interned.
    pub symbol: SymbolId,
    /// Decimal places when shown: 2 means that 100 units are shown as 1.00.
    pub scale: u8,
    /// A command that would lift an account's balance above this is refused. At most [`crate::limits::UNITS_MAX`].
    pub balance_max: Units,
    /// Set where the wallet holds money, in minor units of the currency: what may be paid in.
    pub money: Option<MoneyTerms>,
}

/// `units` for every `per_minor` minor units of eligible amount, times the line's multiplier, rounded once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earn {
    /// The wallet that gains.
    pub wallet: WalletId,
    /// Units granted; 1 to [`crate::limits::EARN_RATE_PART_MAX`].
    pub units: i64,
    /// Per so many minor units; 1 to [`crate::limits::EARN_RATE_PART_MAX`].
    pub per_minor: i64,
    /// How the exact sum becomes whole units.
    pub rounding: Rounding,
    /// Where rounding happens.
    pub rounded_per: RoundedPer,
    /// How long what is granted lives.
    pub terms: Terms,
}

/// A division of all accounts into variants. An account stays in its variant as long as the experiment has this name
/// and these shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Experiment {
    /// Name in the file: part of what an account's variant is drawn from.
    pub name: String,
    /// Variants: the name, and the percentage of accounts in this one or one before it. The last reaches 100.
    pub variants: Vec<(String, u8)>,
}

/// How an exact fraction becomes a whole number. All amounts are non-negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Down.
    Floor,
    /// To the nearest, a half up.
    HalfUp,
    /// To the nearest, a half to the even neighbour.
    HalfEven,
    /// Down; what is left over is added to the account's next basket that the same version judges. Per basket only.
    Carry,
}

/// Where rounding happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoundedPer {
    /// Once, on the basket's exact sum.
    Basket,
    /// On each line; the basket is the sum of whole units.
    Line,
}

impl Rounding {
    /// `numerator / denominator` as a whole number, at most [`crate::limits::UNITS_MAX`]: an absurd basket under an
    /// absurd rate saturates there, above every balance that a wallet may hold.
    ///
    /// # Panics
    /// When the denominator is not positive or the numerator is negative: limits exclude both.
    #[must_use]
    pub fn divide(self, numerator: i128, denominator: i128) -> Units {
        assert!(denominator > 0 && numerator >= 0, "amounts and rates are not negative");
        let quotient = numerator / denominator;
        let remainder = numerator % denominator;
        let up = match self {
            Self::Floor | Self::Carry => false,
            Self::HalfUp => remainder * 2 >= denominator,
            Self::HalfEven => remainder * 2 > denominator || (remainder * 2 == denominator && quotient % 2 == 1),
        };
        Units::try_from(quotient + i128::from(up)).map_or(UNITS_MAX, |units| units.min(UNITS_MAX))
    }
}

/// What a cap counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapMeasure {
    /// Units granted.
    Units,
    /// Baskets that were granted more than nothing; a further one that would have earned earns nothing.
    EarningBaskets,
    /// Minor units of the eligible amounts of baskets that were granted more than nothing; one that would exceed it
    /// earns nothing.
    EligibleAmount,
}

/// Whose counter a cap bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CapSubject {
    /// Each account's own.
    #[default]
    Account,
    /// One for each store, over all accounts.
    Store,
    /// One for each terminal of each store.
    Terminal,
    /// One for each cashier.
    Cashier,
    /// One for each partner.
    Partner,
    /// One in all.
    Programme,
    /// One for each member of an account that several share.
    Member,
}

impl CapSubject {
    /// Whether accounts share the counter, so that it is a cell. An account keeps its own, and its members'.
    #[must_use]
    pub fn is_shared(self) -> bool {
        !matches!(self, Self::Account | Self::Member)
    }
}

/// What becomes of a basket that would exceed a cap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Over {
    /// It is granted what there is room for.
    #[default]
    Clip,
    /// It is granted nothing. A cap on anything but units does this in the place of clipping.
    Decline,
    /// All that it is granted is held until an operator releases or rejects it.
    Hold,
}

impl Over {
    /// Whether a basket that would exceed a cap on this is granted nothing.
    #[must_use]
    pub fn declines(self, measure: CapMeasure) -> bool {
        self == Self::Decline || (self == Self::Clip && measure != CapMeasure::Units)
    }

    /// Whether it is granted what there is room for.
    #[must_use]
    pub fn clips(self, measure: CapMeasure) -> bool {
        self == Self::Clip && measure == CapMeasure::Units
    }
}

/// A bound per account and window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cap {
    /// Name in the file.
    pub name: String,
    /// The name, interned: it identifies the counter across versions.
    pub symbol: SymbolId,
    /// What is counted.
    pub measure: CapMeasure,
    /// Whose.
    pub subject: CapSubject,
    /// Per which window.
    pub window: CalendarWindow,
    /// So many windows that follow each other are bounded together: 1 for each by itself, at most
    /// [`crate::limits::ROLLING_WINDOWS_MAX`].
    pub rolling: u16,
    /// For so many a counter is kept: see [`Run::kept`].
    pub kept: u16,
    /// The most that may be reached. 0 to [`crate::limits::UNITS_MAX`].
    pub limit: i64,
    /// What becomes of what is over.
    pub over: Over,
}

impl Cap {
    /// The windows that are bounded together.
    #[must_use]
    pub fn run(&self) -> Run {
        Run { window: self.window, rolling: self.rolling, kept: self.kept }
    }

    /// Whether a basket that would exceed it is granted nothing.
    #[must_use]
    pub fn declines(&self) -> bool {
        self.over.declines(self.measure)
    }

    /// Whether a basket that would exceed it is granted what there is room for.
    #[must_use]
    pub fn clips(&self) -> bool {
        self.over.clips(self.measure)
    }
}

/// What a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricMeasure {
    /// Minor units of the amounts of eligible lines, whether or not the basket was clipped or refused.
    EligibleAmount,
    /// Units granted.
    Units,
    /// Baskets seen.
    Baskets,
}

/// A counter per account and window without a bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Name in the file.
    pub name: String,
    /// The name, interned: it identifies the counter across versions.
    pub symbol: SymbolId,
    /// What is counted.
    pub measure: MetricMeasure,
    /// Per which window.
    pub window: CalendarWindow,
    /// For so many windows after its own a counter is kept: as far as the ladder of any version so far looks back.
    pub kept_ahead: u16,
    /// Whether this version, or one before it, asks for the account's average of it: then what that is made of is counted
    /// beside, see [`OwnAverage`].
    pub is_averaged: bool,
}

/// A bound on what the whole programme grants, or one partner in it, kept in a shared cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Name in the file.
    pub name: String,
    /// The name, interned: it identifies the cells, so that a later version with the same name goes on counting.
    pub symbol: SymbolId,
    /// The partner whose grants draw on it; `None` for all.
    pub partner: Option<SymbolId>,
    /// Its name, by which versions are compared: a file that is only checked has numbers of its own.
    pub partner_name: Option<String>,
    /// The most that may be granted in the windows that are bounded together.
    pub limit: Units,
    /// Per which window of posting, and how many together; a lifetime for a budget in all.
    pub run: Run,
    /// Percentages of the limit, ascending, whose crossing is told.
    pub warnings: Vec<u8>,
    /// First local day (of posting) on which grants draw on the budget; `None` means always.
    pub from: Option<Day>,
    /// Last local day (of posting), inclusive; `None` means for ever.
    pub until: Option<Day>,
}

impl Budget {
    /// The cell of the window that contains the posting.
    #[must_use]
    pub fn cell(&self, posted: Periods) -> CellId {
        CellId { period: posted.of(self.run.window), ..CellId::whole(self.symbol) }
    }

    /// The cells of the windows that are bounded together up to the one that contains the posting.
    pub fn present_cells(&self, posted: Periods) -> impl Iterator<Item = CellId> {
        let present = self.cell(posted);
        around(self.run, present).filter(move |cell| cell.period <= present.period)
    }

    /// Whether a command posted on this local day draws on the budget.
    #[must_use]
    pub fn in_force(&self, posted_day: Day) -> bool {
        self.from.is_none_or(|from| from <= posted_day) && self.until.is_none_or(|until| posted_day <= until)
    }

    /// The units from which on a warning level is reached, of this many percent of the limit.
    #[must_use]
    pub fn warned_from(&self, percent: u8) -> Units {
        let exact = (i128::from(self.limit) * i128::from(percent)).div_euclid(100);
        let is_whole = exact * 100 == i128::from(self.limit) * i128::from(percent);
        Units::try_from(exact + i128::from(!is_whole)).unwrap_or(UNITS_MAX)
    }

    /// The warning levels that a use of the budget's cell crosses.
    pub fn crossed(&self, taken: &CellUse) -> impl Iterator<Item = u8> {
        let before = self.limit.saturating_sub(taken.room_before);
        let after = before.saturating_add(taken.used);
        let crosses = move |percent: &&u8| (before + 1..=after).contains(&self.warned_from(**percent));
        self.warnings.iter().filter(crosses).copied()
    }
}

/// What a command for an unknown account does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountPolicy {
    /// It opens the account.
    Implicit,
    /// It is refused.
    Enrolled,
}

/// What becomes of a reversal of units that were spent, where the account has too few others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenSpent {
    /// It is refused.
    #[default]
    Refuse,
    /// What the account lacks, it owes to what it earns later.
    Debt,
    /// The same, and its balance is shown as that much less.
    Negative,
}

/// What becomes of units that were burned and come back when they should have died meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenReturned {
    /// They die at once.
    #[default]
    AsWas,
    /// They live for so many full days after the day on which they come back, and die at the midnight that follows.
    Extend(u16),
}

impl Program {
    /// For how long after its window a counter is kept that this version moves at an instant: as long as any version lets in
    /// receipts of that window. Receipts from before a version are judged by earlier ones, which may let them in for longer.
    #[must_use]
    pub fn counters_kept_ns(&self, posted_at: TimestampNs) -> i64 {
        let earlier = self.earlier.filter(|earlier| posted_at < earlier.until);
        earlier.map_or(self.late_limit_ns, |earlier| earlier.late_limit_ns.max(self.late_limit_ns))
    }

    /// The bonus with this index.
    #[must_use]
    pub fn bonus(&self, index: BonusIndex) -> Option<&Bonus> {
        self.bonuses.get(usize::from(index.0))
    }

    /// The reward of this name.
    #[must_use]
    pub fn reward(&self, name: SymbolId) -> Option<&Reward> {
        self.rewards.iter().find(|reward| reward.symbol == name)
    }

    /// The kind of voucher with this index.
    #[must_use]
    pub fn voucher(&self, index: VoucherIndex) -> Option<&VoucherKind> {
        self.vouchers.get(usize::from(index.0))
    }

    /// The stamp card with this index.
    #[must_use]
    pub fn stamp_card(&self, index: StampIndex) -> Option<&StampCard> {
        self.stamps.get(usize::from(index.0))
    }

    /// The budgets that a command of a partner posted at this instant draws on, in order, with the cell of each.
    pub fn budgets_at(
        &self,
        partner: SymbolId,
        posted_at: TimestampNs,
    ) -> impl Iterator<Item = (&Budget, CellId)> + Clone {
        // The day is looked for only where a budget asks for it.
        let is_dated = |budget: &Budget| {
            budget.from.is_some() || budget.until.is_some() || budget.run.window != CalendarWindow::Lifetime
        };
        let is_dated = self.budgets.iter().any(is_dated);
        let posted = if is_dated { Periods::at(&self.zone, posted_at) } else { Periods::on(Day(0), 0) };
        let is_own = move |budget: &Budget| budget.partner.is_none_or(|own| own == partner);
        let draws = move |budget: &&Budget| is_own(budget) && budget.in_force(posted.day());
        let in_force = self.budgets.iter().filter(draws);
        in_force.map(move |budget| (budget, budget.cell(posted)))
    }

    /// What a partner pays per unit of a wallet that it issues now, in basis points of a minor unit: of money its face
    /// value.
    #[must_use]
    pub fn funding_rate_bps(&self, partner: SymbolId, wallet: WalletId) -> u32 {
        self.rate_bps(partner, wallet, |partner| partner.funding_rate_bps)
    }

    /// What a partner receives per unit of a wallet that it takes now, in basis points of a minor unit: of money its face
    /// value.
    #[must_use]
    pub fn redemption_rate_bps(&self, partner: SymbolId, wallet: WalletId) -> u32 {
        self.rate_bps(partner, wallet, |partner| partner.redemption_rate_bps)
    }

    fn rate_bps(&self, partner: SymbolId, wallet: WalletId, of_points: impl Fn(&Partner) -> u32) -> u32 {
        let found = self.partners.as_deref().and_then(|partners| partners.find(partner));
        let is_money = || self.money(wallet).is_some();
        found.map_or(0, |partner| if is_money() { FACE_VALUE_BPS } else { of_points(partner) })
    }

    /// Whether a cell is of a cap that holds what goes beyond it.
    #[must_use]
    pub fn holds(&self, cell: CellId) -> bool {
        self.all_caps().any(|cap| cap.symbol == cell.name && cap.over == Over::Hold)
    }

    /// All caps: those of the programme, then those of its rules.
    pub fn all_caps(&self) -> impl Iterator<Item = &Cap> {
        self.caps.iter().chain(self.lines.capped.iter().flat_map(|capped| &capped.caps))
    }

    /// Whether a shared cap, a budget, places or a stock make commands draw on shared cells.
    #[must_use]
    pub fn draws_on_cells(&self) -> bool {
        let has_shared_cap = self.all_caps().any(|cap| cap.subject.is_shared());
        let has_places = self.bonuses.iter().any(|bonus| bonus.places.is_some());
        let has_stock = self.rewards.iter().any(|reward| reward.stock.is_some());
        has_shared_cap || !self.budgets.is_empty() || has_places || has_stock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_what_its_name_says() {
        let rows = [
            (7, 2, [3, 4, 4]),
            (5, 2, [2, 3, 2]),
            (1, 3, [0, 0, 0]),
            (2, 3, [0, 1, 1]),
            (4, 2, [2, 2, 2]),
            (0, 9, [0, 0, 0]),
        ];
        for (numerator, denominator, expected) in rows {
            let got = [Rounding::Floor, Rounding::HalfUp, Rounding::HalfEven].map(|r| r.divide(numerator, denominator));
            assert_eq!(got, expected, "{numerator}/{denominator}");
        }
    }
}
