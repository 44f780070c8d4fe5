//! A programme as flat tables: what `decide` reads. The file format and its checks live in the `program` room, which
//! compiles into these types.
//!
//! What must stay true: everything here is immutable once built; a rule is found by what a line carries, so that a
//! rule that cannot match costs nothing; no lookup depends on the order of a hash map.

use hashbrown::HashMap;

use super::types::{CellId, Day, Item, ProgramVersion, SymbolId, TimestampNs, Units, WalletId};
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
    /// Bounds per account and window. Those on baskets are judged first; those on units clip in this order.
    pub caps: Vec<Cap>,
    /// Counters without a bound.
    pub metrics: Vec<Metric>,
    /// Bounds on the whole programme, in the order in which they clip.
    pub budgets: Vec<Budget>,
    /// What a command for an unknown account does.
    pub accounts: AccountPolicy,
    /// A receipt older than this when it is presented is refused. Nanoseconds.
    pub late_limit_ns: i64,
    /// A receipt dated further in the future than this is refused. Nanoseconds.
    pub future_skew_ns: i64,
    /// BLAKE3 of the source text.
    pub source_hash: [u8; 32],
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
            Self::Floor => false,
            Self::HalfUp => remainder * 2 >= denominator,
            Self::HalfEven => remainder * 2 > denominator || (remainder * 2 == denominator && quotient % 2 == 1),
        };
        Units::try_from(quotient + i128::from(up)).map_or(UNITS_MAX, |units| units.min(UNITS_MAX))
    }
}

/// Index into [`LineTable::rules`], in the order of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleIndex(pub u32);

/// A rule that multiplies what a line earns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineRule {
    /// Name in the file, unique in the programme.
    pub name: String,
    /// Basis points; 20,000 doubles. 0 to [`crate::limits::MULTIPLIER_BPS_MAX`].
    pub multiplier_bps: i64,
}

/// What a line can be matched by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attribute {
    /// Stock keeping unit.
    Sku,
    /// Category.
    Category,
    /// Department.
    Department,
    /// Brand.
    Brand,
    /// Margin class.
    MarginClass,
}

impl Attribute {
    /// All attributes.
    pub const ALL: [Self; 5] = [Self::Sku, Self::Category, Self::Department, Self::Brand, Self::MarginClass];

    /// The item's value of this attribute.
    #[must_use]
    pub fn of(self, item: &Item) -> SymbolId {
        match self {
            Self::Sku => item.sku,
            Self::Category => item.category,
            Self::Department => item.department,
            Self::Brand => item.brand,
            Self::MarginClass => item.margin_class,
        }
    }
}

/// What one value of one attribute means to the programme.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttributeEntry {
    /// A line with this value earns nothing.
    pub excluded: bool,
    /// Rules that match this value, ascending.
    pub rules: Vec<RuleIndex>,
}

/// Eligibility and multipliers, found by what a line carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineTable {
    /// Rules in the order of the file.
    pub rules: Vec<LineRule>,
    /// For each attribute (in the order of [`Attribute::ALL`]) the values that mean something.
    pub values: [HashMap<SymbolId, AttributeEntry>; 5],
}

/// What the tables say about a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineClass {
    /// Earns nothing.
    Ineligible,
    /// Earns the base rate.
    Base,
    /// Earns the base rate times the rule's multiplier.
    Rule(RuleIndex),
}

impl LineTable {
    /// What a line with this item earns by. Of several rules that match, the largest multiplier counts; of equal ones
    /// the first in the file.
    #[must_use]
    pub fn classify(&self, item: &Item) -> LineClass {
        let mut best: Option<(i64, RuleIndex)> = None;
        for (attribute, values) in Attribute::ALL.iter().zip(&self.values) {
            if values.is_empty() {
                continue;
            }
            let Some(entry) = values.get(&attribute.of(item)) else { continue };
            if entry.excluded {
                return LineClass::Ineligible;
            }
            for &rule in &entry.rules {
                let multiplier_bps = self.multiplier_bps(LineClass::Rule(rule));
                let better = best.is_none_or(|(best_bps, best_rule)| {
                    multiplier_bps > best_bps || (multiplier_bps == best_bps && rule < best_rule)
                });
                if better {
                    best = Some((multiplier_bps, rule));
                }
            }
        }
        best.map_or(LineClass::Base, |(_, rule)| LineClass::Rule(rule))
    }

    /// The multiplier of a class, in basis points; 0 for an ineligible line.
    ///
    /// # Panics
    /// When the class names a rule that the programme does not have.
    #[must_use]
    pub fn multiplier_bps(&self, class: LineClass) -> i64 {
        match class {
            LineClass::Ineligible => 0,
            LineClass::Base => BPS_ONE,
            LineClass::Rule(rule) => self.rule(rule).expect("a class names a rule of its programme").multiplier_bps,
        }
    }

    /// The rule with this index.
    #[must_use]
    pub fn rule(&self, rule: RuleIndex) -> Option<&LineRule> {
        self.rules.get(usize::try_from(rule.0).ok()?)
    }
}

/// What a cap counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapMeasure {
    /// Units granted; what is over is clipped.
    Units,
    /// Baskets that were granted more than nothing; a further one that would have earned earns nothing.
    EarningBaskets,
}

/// The calendar window of a counter, in the programme's zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarWindow {
    /// From local midnight to local midnight.
    Day,
    /// From 1 January to 31 December.
    Year,
}

/// The periods of all windows that contain one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periods {
    day: Day,
    year: i32,
}

impl Periods {
    /// The periods that contain the instant.
    #[must_use]
    pub fn at(zone: &Zone, at: TimestampNs) -> Self {
        let day = zone.day(at);
        Self { day, year: super::zone::year_of_day(day) }
    }

    /// The period of a window: a day number or a year.
    #[must_use]
    pub fn of(self, window: CalendarWindow) -> i32 {
        match window {
            CalendarWindow::Day => self.day.0,
            CalendarWindow::Year => self.year,
        }
    }
}

impl CalendarWindow {
    /// The period that contains the instant: a day number or a year.
    #[must_use]
    pub fn period(self, zone: &Zone, at: TimestampNs) -> i32 {
        Periods::at(zone, at).of(self)
    }

    /// The last local day of a period.
    #[must_use]
    pub fn last_day(self, period: i32) -> Day {
        match self {
            Self::Day => Day(period),
            Self::Year => super::zone::last_day_of_year(period),
        }
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
    /// Per which window.
    pub window: CalendarWindow,
    /// The most that may be reached. 0 to [`crate::limits::UNITS_MAX`].
    pub limit: i64,
}

/// What a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricMeasure {
    /// Minor units of the amounts of eligible lines, whether or not the basket was clipped or refused.
    EligibleAmount,
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
}

/// A bound on what the whole programme grants, kept in a shared cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Name in the file.
    pub name: String,
    /// The cell: the interned name, so that a later version with the same name goes on counting.
    pub cell: CellId,
    /// The most that may be granted in all.
    pub limit: Units,
    /// First local day (of posting) on which grants draw on the budget; `None` means always.
    pub from: Option<Day>,
    /// Last local day (of posting), inclusive; `None` means for ever.
    pub until: Option<Day>,
}

impl Budget {
    /// Whether a command posted on this local day draws on the budget.
    #[must_use]
    pub fn in_force(&self, posted_day: Day) -> bool {
        self.from.is_none_or(|from| from <= posted_day) && self.until.is_none_or(|until| posted_day <= until)
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

impl Program {
    /// The budgets that a command posted at this instant draws on, in order.
    pub fn budgets_at(&self, posted_at: TimestampNs) -> impl Iterator<Item = &Budget> + Clone {
        let posted_day = self.zone.day(posted_at);
        self.budgets.iter().filter(move |budget| budget.in_force(posted_day))
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

    #[test]
    fn the_best_matching_rule_counts_and_exclusion_wins() {
        let rule = |name: &str, multiplier_bps| LineRule { name: name.to_owned(), multiplier_bps };
        let entry =
            |rules: &[u32]| AttributeEntry { excluded: false, rules: rules.iter().map(|r| RuleIndex(*r)).collect() };
        let mut table = LineTable {
            rules: vec![rule("double", 20_000), rule("triple", 30_000), rule("triple again", 30_000)],
            ..LineTable::default()
        };
        table.values[3].insert(SymbolId(7), entry(&[0]));
        table.values[2].insert(SymbolId(8), entry(&[1, 2]));
        table.values[2].insert(SymbolId(9), AttributeEntry { excluded: true, rules: vec![] });
        let item =
            |department, brand| Item { department: SymbolId(department), brand: SymbolId(brand), ..Item::default() };
        let rows = [
            (item(0, 0), LineClass::Base),
            (item(0, 7), LineClass::Rule(RuleIndex(0))),
            (item(8, 7), LineClass::Rule(RuleIndex(1))),
            (item(9, 7), LineClass::Ineligible),
        ];
        for (item, expected) in rows {
            assert_eq!(table.classify(&item), expected, "{item:?}");
        }
    }
}
