//! What a basket earns before any cap: one exact sum, rounded where the programme says.
//!
//! What must stay true: the result does not depend on the order of the lines; with rounding per basket nothing is
//! rounded but the one sum (invariant 10). The check of programmes and the decision both come here, so that an
//! expectation in a programme file is judged by the code that serves.

use super::program::{BPS_ONE, LineClass, Program, RoundedPer};
use super::types::Units;

/// The units that eligible lines earn: the sum of amount times multiplier times rate, rounded once per basket or per
/// line. A line is what the programme's table says about it and its amount in minor units.
///
/// # Panics
/// When an amount is negative, or the result leaves i64. Neither can happen within [`crate::limits`]: the check of
/// programmes refuses a rate at which the largest basket would earn more than [`crate::limits::UNITS_MAX`].
#[must_use]
pub fn basket_units(program: &Program, lines: impl Iterator<Item = (LineClass, i64)>) -> Units {
    let earn = &program.earn;
    let denominator = i128::from(earn.per_minor) * i128::from(BPS_ONE);
    let numerators = lines.map(|(class, amount_minor)| {
        let multiplier_bps = program.lines.multiplier_bps(class);
        i128::from(amount_minor) * i128::from(multiplier_bps) * i128::from(earn.units)
    });
    match earn.rounded_per {
        RoundedPer::Basket => earn.rounding.divide(numerators.sum(), denominator),
        RoundedPer::Line => numerators.map(|numerator| earn.rounding.divide(numerator, denominator)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::program::{
        AccountPolicy, Earn, LineRule, LineTable, Program, RoundedPer, Rounding, RuleIndex, Wallet,
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
        let rule = |name: &str, multiplier_bps| LineRule { name: name.to_owned(), multiplier_bps };
        Program {
            version: ProgramVersion(1),
            effective_at: TimestampNs(0),
            name: "test".to_owned(),
            currency: "USD".to_owned(),
            zone: Zone::utc(),
            wallets: vec![Wallet { name: "points".to_owned(), symbol: SymbolId(1), scale: 0, balance_max: UNITS_MAX }],
            earn: Earn { wallet: WalletId(0), units, per_minor, rounding, rounded_per },
            lines: LineTable {
                rules: vec![rule("double", 20_000), rule("quarter more", 12_500), rule("nothing", 0)],
                ..LineTable::default()
            },
            caps: vec![],
            metrics: vec![],
            budgets: vec![],
            accounts: AccountPolicy::Implicit,
            late_limit_ns: 0,
            future_skew_ns: 0,
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
