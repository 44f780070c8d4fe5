//! What a basket earns before any cap: one exact sum, rounded where the programme says.
//!
//! What must stay true: the result does not depend on the order of the lines; with rounding per basket nothing is
//! rounded but the one sum (invariant 10). The check of programmes and the decision both come here, so that an
//! expectation in a programme file is judged by the code that serves.

use super::command::Line;
use super::program::{BPS_ONE, Conditions, LineClass, LineEffect, Program, RoundedPer, Rounding, RuleIndex, Stacking};
use super::types::Units;

/// The sum of what lines earn, exact until it is rounded once per basket or per line.
#[derive(Debug)]
pub struct LineSums<'a> {
    program: &'a Program,
    /// What the sum is multiplied by, in basis points.
    tier_bps: i128,
    /// Of one unit: what the numerators are in.
    denominator: i128,
    /// One, as often as a line may be multiplied beside its class.
    chain_one: i128,
    numerator: i128,
    units: Units,
}

impl<'a> LineSums<'a> {
    /// Nothing yet but what an earlier basket left over, in parts of [`LineSums::denominator`]. `tier_bps` is the
    /// multiplier of the account's level.
    #[must_use]
    pub fn new(program: &'a Program, tier_bps: i64, remainder: i64) -> Self {
        let one = i128::from(BPS_ONE);
        let chain_one = one.pow(program.lines.multiply_max);
        // The same for all accounts, so that what one basket leaves over means the same to the next.
        let (tier_one, tier_bps) = if program.tiers.is_some() { (one, i128::from(tier_bps)) } else { (1, 1) };
        let denominator = i128::from(program.earn.per_minor) * one * chain_one * tier_one;
        Self { program, tier_bps, denominator, chain_one, numerator: i128::from(remainder), units: 0 }
    }

    /// Adds a line: what the programme's table says about it, the rules that count beside that, its amount in minor
    /// units and its quantity.
    ///
    /// # Panics
    /// When an amount is negative, or the sum leaves i128. Neither can happen within [`crate::limits`]: the check of
    /// programmes refuses rates and multipliers at which the largest basket would earn more than
    /// [`crate::limits::UNITS_MAX`].
    pub fn add(&mut self, class: LineClass, beside: impl Iterator<Item = RuleIndex>, amount_minor: i64, quantity: i64) {
        if class == LineClass::Ineligible {
            return;
        }
        let numerator = self.exact(class, beside, amount_minor, quantity);
        self.add_exact(numerator);
    }

    /// What a line earns, in parts of which [`LineSums::denominator`] make a unit.
    ///
    /// # Panics
    /// As [`LineSums::add`].
    #[must_use]
    pub fn exact(
        &self,
        class: LineClass,
        beside: impl Iterator<Item = RuleIndex>,
        amount_minor: i64,
        quantity: i64,
    ) -> i128 {
        let mut stacked = Stacked { added_bps: 0, chain: 1, chain_one: self.chain_one, fixed: 0, quantity };
        beside.for_each(|index| stacked.take(self.program, index));
        self.exact_of(class, &stacked, amount_minor)
    }

    fn exact_of(&self, class: LineClass, stacked: &Stacked, amount_minor: i64) -> i128 {
        let base_bps = i128::from(self.program.lines.multiplier_bps(class)) + stacked.added_bps;
        let multiplier = base_bps.max(0) * stacked.chain * stacked.chain_one * self.tier_bps;
        i128::from(amount_minor) * i128::from(self.program.earn.units) * multiplier + stacked.fixed * self.denominator
    }

    /// Adds a line as it would be judged in a programme without the rules that `skips` names.
    ///
    /// # Panics
    /// As [`LineSums::add`].
    pub fn add_without(
        &mut self,
        line: &Line,
        skips: impl Fn(RuleIndex) -> bool,
        holds: impl FnMut(&Conditions) -> bool,
    ) {
        let quantity = line.quantity;
        let mut stacked = Stacked { added_bps: 0, chain: 1, chain_one: self.chain_one, fixed: 0, quantity };
        let program = self.program;
        let class = program.lines.judge_without(&line.item, skips, holds, |index| stacked.take(program, index));
        if class != LineClass::Ineligible {
            let numerator = self.exact_of(class, &stacked, line.amount_minor);
            self.add_exact(numerator);
        }
    }

    fn add_exact(&mut self, numerator: i128) {
        match self.program.earn.rounded_per {
            RoundedPer::Basket => self.numerator += numerator,
            RoundedPer::Line => self.units += self.program.earn.rounding.divide(numerator, self.denominator),
        }
    }

    /// How many parts of [`LineSums::exact`] make a unit.
    #[must_use]
    pub fn denominator(&self) -> i128 {
        self.denominator
    }

    /// The units of all lines, and what is left over where it is carried to the next basket.
    ///
    /// # Panics
    /// When what is left over leaves i64: the check of programmes refuses to carry parts that are so small.
    #[must_use]
    pub fn units(&self) -> (Units, i64) {
        let rounding = self.program.earn.rounding;
        match self.program.earn.rounded_per {
            // What came back took along more than what rounding had left over: the account owes parts of a unit.
            RoundedPer::Basket if self.numerator < 0 => {
                (0, i64::try_from(self.numerator).expect("what is owed is less than what was carried"))
            }
            RoundedPer::Basket => {
                let left = if rounding == Rounding::Carry { self.numerator % self.denominator } else { 0 };
                let left = i64::try_from(left).expect("what is carried fits i64");
                (rounding.divide(self.numerator, self.denominator), left)
            }
            RoundedPer::Line => (self.units, 0),
        }
    }
}

/// What rules do to a line beside its class.
struct Stacked {
    /// What is added to the multiplier of the class.
    added_bps: i128,
    /// The product of what multiplies, and one as often as it may still be multiplied.
    chain: i128,
    chain_one: i128,
    /// Units beside the amount.
    fixed: i128,
    quantity: i64,
}

impl Stacked {
    fn take(&mut self, program: &Program, index: RuleIndex) {
        let rule = program.lines.rule(index).expect("a decision names rules of its programme");
        match (rule.effect, rule.stacking) {
            (LineEffect::Fixed { units, per_piece }, _) => {
                self.fixed += i128::from(units) * if per_piece { i128::from(self.quantity) } else { 1 };
            }
            (LineEffect::Multiplier(bps), Stacking::Multiply) => {
                self.chain *= i128::from(bps);
                self.chain_one /= i128::from(BPS_ONE);
            }
            (LineEffect::Multiplier(bps), _) => self.added_bps += i128::from(bps - BPS_ONE),
        }
    }
}

/// The units that lines earn in a programme without stacking and levels.
#[must_use]
pub fn basket_units(program: &Program, lines: impl Iterator<Item = (LineClass, i64)>) -> Units {
    let mut sums = LineSums::new(program, BPS_ONE, 0);
    for (class, amount_minor) in lines {
        sums.add(class, std::iter::empty(), amount_minor, 1);
    }
    sums.units().0
}

#[cfg(test)]
mod tests {
    use super::super::program::{
        AccountPolicy, Earn, LineRule, LineTable, Program, RoundedPer, Rounding, RuleIndex, Terms, Wallet,
        WhenReturned, WhenSpent,
    };
    use super::super::types::{ProgramVersion, SymbolId, TimestampNs, WalletId};
    use super::super::zone::Zone;
    use super::*;
    use crate::limits::UNITS_MAX;
    use proptest::prelude::*;

    const DOUBLE: LineClass = LineClass::Rule(RuleIndex(0));
    const ONE_AND_A_QUARTER: LineClass = LineClass::Rule(RuleIndex(1));
    const NOTHING: LineClass = LineClass::Rule(RuleIndex(2));

    /// `units` for every `per_minor`, with rules that double, add a quarter, and give nothing.
    fn program(units: i64, per_minor: i64, rounding: Rounding, rounded_per: RoundedPer) -> Program {
        let rule = LineRule::multiplier;
        Program {
            version: ProgramVersion(1),
            effective_at: TimestampNs(0),
            name: "test".to_owned(),
            currency: "USD".to_owned(),
            zone: Zone::utc(),
            wallets: vec![Wallet {
                name: "points".to_owned(),
                symbol: SymbolId(1),
                scale: 0,
                balance_max: UNITS_MAX,
                money: None,
            }],
            earn: Earn { wallet: WalletId(0), units, per_minor, rounding, rounded_per, terms: Terms::default() },
            lines: LineTable {
                rules: vec![rule("double", 20_000), rule("quarter more", 12_500), rule("nothing", 0)],
                ..LineTable::default()
            },
            bonuses: vec![],
            vouchers: vec![],
            stamps: vec![],
            tiers: None,
            experiments: vec![],
            keeps_last_basket: false,
            caps: vec![],
            metrics: vec![],
            budgets: vec![],
            rewards: vec![],
            partners: None,
            has_cells: false,
            accounts: AccountPolicy::Implicit,
            when_spent: WhenSpent::Refuse,
            when_returned: WhenReturned::AsWas,
            late_limit_ns: 0,
            earlier: None,
            future_skew_ns: 0,
            hold_ns: 0,
            source_hash: [0; 32],
        }
    }

    #[test]
    fn baskets_earn_what_their_exact_sum_says() {
        use LineClass::{Base, Ineligible};
        let rows: Vec<(&[(LineClass, i64)], _)> = vec![
            // Units rounded down per basket, and per line, at 1 per 100.
            (&[], [0, 0]),
            (&[(Base, 99)], [0, 0]),
            (&[(Base, 100)], [1, 1]),
            (&[(Base, 50), (Base, 50)], [1, 0]),
            (&[(DOUBLE, 250), (Base, 99)], [5, 5]),
            (&[(ONE_AND_A_QUARTER, 79), (ONE_AND_A_QUARTER, 1)], [1, 0]),
            (&[(Ineligible, 1_000_000), (Base, 199)], [1, 1]),
            (&[(NOTHING, 1_000_000), (DOUBLE, 50)], [1, 1]),
        ];
        for (lines, expected) in rows {
            let got = [RoundedPer::Basket, RoundedPer::Line]
                .map(|rounded_per| basket_units(&program(1, 100, Rounding::Floor, rounded_per), lines.iter().copied()));
            assert_eq!(got, expected, "{lines:?}");
        }
    }

    #[test]
    fn halves_round_as_stated() {
        let rows = [(Rounding::Floor, [0, 1, 2]), (Rounding::HalfUp, [1, 2, 3]), (Rounding::HalfEven, [0, 2, 2])];
        for (rounding, expected) in rows {
            let got = [50, 150, 250].map(|amount_minor| {
                let line = std::iter::once((LineClass::Base, amount_minor));
                basket_units(&program(1, 100, rounding, RoundedPer::Basket), line)
            });
            assert_eq!(got, expected, "{rounding:?}");
        }
    }

    fn any_lines() -> impl Strategy<Value = Vec<(LineClass, i64)>> {
        let class = prop_oneof![
            Just(LineClass::Ineligible),
            Just(LineClass::Base),
            Just(DOUBLE),
            Just(ONE_AND_A_QUARTER),
            Just(NOTHING)
        ];
        prop::collection::vec((class, 0..100_000_i64), 0..40)
    }

    proptest! {
        #[test]
        fn the_order_of_lines_does_not_matter(
            lines in any_lines(), turn in 0..40_usize, units in 1..50_i64, per_minor in 1..1_000_i64,
        ) {
            let mut turned = lines.clone();
            turned.reverse();
            turned.rotate_left(turn % lines.len().max(1));
            for rounding in [Rounding::Floor, Rounding::HalfUp, Rounding::HalfEven] {
                for rounded_per in [RoundedPer::Basket, RoundedPer::Line] {
                    let program = program(units, per_minor, rounding, rounded_per);
                    let got = basket_units(&program, lines.iter().copied());
                    prop_assert_eq!(got, basket_units(&program, turned.iter().copied()));
                }
            }
        }

        #[test]
        fn a_basket_rounded_down_is_within_one_unit_of_exact_and_never_below_its_lines(
            lines in any_lines(), units in 1..50_i64, per_minor in 1..1_000_i64,
        ) {
            let at = |rounded_per| program(units, per_minor, Rounding::Floor, rounded_per);
            let basket = basket_units(&at(RoundedPer::Basket), lines.iter().copied());
            let by_line = basket_units(&at(RoundedPer::Line), lines.iter().copied());
            let count = i64::try_from(lines.len()).unwrap();
            prop_assert!(by_line <= basket && basket <= by_line + count);
            // The reference adds whole basis points of minor units line by line.
            let exact: i64 = lines.iter().map(|(class, amount)| match class {
                LineClass::Ineligible => 0,
                LineClass::Base => amount * 10_000,
                LineClass::Rule(RuleIndex(0)) => amount * 20_000,
                LineClass::Rule(RuleIndex(1)) => amount * 12_500,
                LineClass::Rule(_) => 0,
            }).sum::<i64>() * units;
            prop_assert!(basket * per_minor * 10_000 <= exact && exact < (basket + 1) * per_minor * 10_000);
        }
    }
}
