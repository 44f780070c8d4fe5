//! What holds for any rules, any basket and any text.

use proptest::prelude::*;

use super::*;
use crate::ledger::earn::basket_units;
use crate::ledger::program::LineClass;
use crate::ledger::types::Item;
use crate::limits::{BASKET_LINES_MAX, LINE_AMOUNT_MINOR_MAX};

/// A rule for the properties: an attribute, values of a small pool, and a multiplier other than one.
#[derive(Clone, Debug)]
struct AnyRule {
    attribute: usize,
    values: Vec<u8>,
    multiplier_bps: i64,
}

const KEYS: [&str; 5] = ["sku", "category", "department", "brand", "margin_class"];

fn any_rules() -> impl Strategy<Value = Vec<AnyRule>> {
    let values = prop::sample::subsequence(vec![0_u8, 1, 2, 3], 1..=3);
    let multiplier = prop_oneof![Just(0_i64), Just(5_000), Just(15_000), Just(20_000), Just(30_000)];
    let rule = (0..5_usize, values, multiplier).prop_map(|(attribute, values, multiplier_bps)| AnyRule {
        attribute,
        values,
        multiplier_bps,
    });
    prop::collection::vec(rule, 0..8)
}

/// [`GOOD`] without its own rule and expectation, with these.
fn with_rules(rules: &[AnyRule]) -> Program {
    let (head, rest) = GOOD.split_at(GOOD.find("[[rules]]").unwrap());
    let rest = &rest[rest.find("[[caps]]").unwrap()..rest.find("[[expect]]").unwrap()];
    let rules = rules.iter().enumerate().map(|(index, rule)| {
        let (key, bps) = (KEYS[rule.attribute], rule.multiplier_bps);
        let values: Vec<String> = rule.values.iter().map(|value| format!("\"v{value}\"")).collect();
        format!("[[rules]]\nname = \"r{index}\"\nmatch.{key} = [{}]\nmultiplier_bps = {bps}\n", values.join(","))
    });
    let source = format!("{head}{}{rest}", rules.collect::<String>());
    // Every value is known beforehand, so that items mean the same to all programmes.
    let mut symbols = SymbolTable::new();
    for value in ["v0", "v1", "v2", "v3"] {
        symbols.intern(value).unwrap();
    }
    compile(&source, ProgramVersion(1), TimestampNs(0), &mut symbols).unwrap_or_else(|p| panic!("{p:?}\n{source}"))
}

proptest! {
    #[test]
    fn the_order_of_rules_does_not_change_what_a_basket_earns(
        (rules, shuffled) in any_rules().prop_flat_map(|rules| (Just(rules.clone()), Just(rules).prop_shuffle())),
        lines in prop::collection::vec((prop::array::uniform5(0..5_u32), 0..10_000_i64), 0..20),
    ) {
        let units = |program: &Program| {
            let classified = lines.iter().map(|([sku, category, department, brand, margin_class], amount)| {
                let [sku, category, department, brand, margin_class] =
                    [sku, category, department, brand, margin_class].map(|value| SymbolId(*value));
                (program.lines.classify(&Item { sku, category, department, brand, margin_class }), *amount)
            });
            basket_units(program, classified.collect::<Vec<_>>().into_iter())
        };
        prop_assert_eq!(units(&with_rules(&rules)), units(&with_rules(&shuffled)));
    }

    #[test]
    fn a_line_earns_by_the_best_rule_that_lists_one_of_its_values(
        rules in any_rules(), values in prop::array::uniform5(0..5_u32),
    ) {
        let program = with_rules(&rules);
        let [sku, category, department, brand, margin_class] = values.map(SymbolId);
        let class = program.lines.classify(&Item { sku, category, department, brand, margin_class });
        let matching = rules.iter().filter(|rule| {
            // The symbol of `v0` is 1.
            rule.values.iter().any(|value| u32::from(*value) + 1 == values[rule.attribute])
        });
        let best = matching.map(|rule| rule.multiplier_bps).max();
        prop_assert_eq!(program.lines.multiplier_bps(class), best.unwrap_or(10_000));
        prop_assert_eq!(class == LineClass::Base, best.is_none());
    }

    #[test]
    fn the_largest_basket_of_a_clean_programme_stays_in_range(
        units in 1..2_000_i64, per_minor in 1..4_i64, multiplier_bps in 10_001..10_000_000_i64, half_up: bool,
    ) {
        let source = GOOD[..GOOD.find("[[expect]]").unwrap()]
            .replacen("units = 1\nper_minor = 100", &format!("units = {units}\nper_minor = {per_minor}"), 1)
            .replacen("multiplier = \"2\"", &format!("multiplier_bps = {multiplier_bps}"), 1)
            .replacen("\"floor\"", if half_up { "\"half-up\"\nrounded_per = \"line\"" } else { "\"floor\"" }, 1);
        let lines = i128::try_from(BASKET_LINES_MAX).unwrap();
        let numerator = i128::from(LINE_AMOUNT_MINOR_MAX) * i128::from(multiplier_bps) * i128::from(units);
        let denominator = i128::from(per_minor) * 10_000;
        // Each line is rounded half up by itself, or all of them together are rounded down.
        let expected = if half_up {
            (2 * numerator + denominator) / (2 * denominator) * lines
        } else {
            numerator * lines / denominator
        };
        match check(&source).program {
            Some(program) => {
                let line = (LineClass::Rule(RuleIndex(0)), LINE_AMOUNT_MINOR_MAX);
                let got = basket_units(&program, std::iter::repeat_n(line, BASKET_LINES_MAX));
                prop_assert!(got <= UNITS_MAX);
                prop_assert_eq!(i128::from(got), expected);
            }
            None => prop_assert!(expected > i128::from(UNITS_MAX) - lines - 1, "{expected} was refused"),
        }
    }

    #[test]
    fn no_text_makes_the_checker_fall_over(
        cuts in prop::collection::vec((0..900_usize, 0..40_usize, 0..16_usize), 1..6),
    ) {
        let pieces = [
            "", "\"", "'''", "[", "]]", "{", "}", "=", "\n", "ü", "1e9", "-1", "\"\"", "[[rules]]\n", "units = 3\n", "\u{0}",
        ];
        let mut source = GOOD.to_owned();
        for (start, length, piece) in cuts {
            let floor = |at: usize| (0..=at.min(source.len())).rev().find(|at| source.is_char_boundary(*at)).unwrap();
            let range = floor(start)..floor(start + length);
            source.replace_range(range, pieces[piece]);
        }
        let checked = check(&source);
        let line_count = source.matches('\n').count() + 1;
        for problem in &checked.problems {
            prop_assert!((1..=line_count).contains(&problem.line), "{problem}");
            let line = source.split('\n').nth(problem.line - 1).unwrap();
            prop_assert!((1..=line.chars().count() + 1).contains(&problem.column), "{problem}");
        }
        let has_error = checked.problems.iter().any(|problem| problem.severity == Severity::Error);
        prop_assert_eq!(checked.program.is_none(), has_error);
        let compiled = compile(&source, ProgramVersion(1), TimestampNs(0), &mut SymbolTable::new());
        match (compiled, checked.program) {
            (Ok(compiled), Some(checked)) => prop_assert_eq!(compiled, checked),
            (Err(problems), None) => prop_assert_eq!(problems, checked.problems),
            (compiled, _) => prop_assert!(false, "check and compile disagree: {:?}", compiled),
        }
    }
}
