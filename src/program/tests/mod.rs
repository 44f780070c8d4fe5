//! Programme files from the outside: what they compile to, and what is wrong with them when many things are.

mod broken;
mod broken_caps;
mod broken_language;
mod language;
mod money;
mod partners;
mod properties;
mod published;
mod references;
mod schema;
mod stamps;
mod vouchers;
mod words;

use super::*;
use crate::ledger::program::{
    AccountPolicy, Attribute, CalendarWindow, CapMeasure, MetricMeasure, RoundedPer, Rounding, RuleIndex,
};
use crate::ledger::types::{Day, Item, SymbolId, WalletId};
use crate::limits::{PROGRAM_RULES_MAX, UNITS_MAX};

/// A file without problems; the rows below break it in one place each.
const GOOD: &str = r#"[program]
name = "corner"
currency = "USD"
time_zone = "America/New_York"

[[wallets]]
name = "points"

[earn]
wallet = "points"
units = 1
per_minor = 100
rounding = "floor"
stacking = "best-of"
exclude = { department = ["FUEL"] }

[[rules]]
name = "double"
match = { brand = ["Private", "Own"] }
multiplier = "2"

[[caps]]
name = "daily"
measure = "units"
window = "day"
limit = 200

[[metrics]]
name = "spent"
measure = "eligible-amount"
window = "year"

[[budgets]]
name = "opening"
units = 10_000
from = 2017-01-01
until = 2017-03-31

[[expect]]
name = "private earns double"
lines = [{ brand = "Private", amount_minor = 250 }, { amount_minor = 99 }]
units = 5
"#;

fn shown(source: &str) -> String {
    check(source).problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_good_file_is_good() {
    assert_eq!(shown(GOOD), "");
}

#[test]
fn all_problems_are_reported_together() {
    let source = GOOD
        .replacen("USD", "dollars", 1)
        .replacen("units = 1\n", "units = 0\n", 1)
        .replacen("\"2\"", "\"x\"", 1)
        .replacen("limit = 200", "limit = 2.5\nlimmit = 2", 1)
        .replacen("2017-01-01", "2018-01-01", 1);
    let places: Vec<(usize, usize)> = check(&source).problems.iter().map(|p| (p.line, p.column)).collect();
    assert_eq!(places, [(3, 12), (11, 9), (20, 14), (26, 9), (27, 1), (38, 9)]);
}

#[test]
fn all_syntax_errors_are_reported_together() {
    let source = GOOD.replacen("\"USD\"", "USD", 1).replacen("window = \"day\"", "window = ", 1);
    let places: Vec<usize> = check(&source).problems.iter().map(|p| p.line).collect();
    assert_eq!(places, [3, 25]);
}

#[test]
fn an_empty_file_says_what_is_missing() {
    assert_eq!(
        shown(""),
        "1:1: error: the file has no section [program]\n\
         1:1: error: the file has no section [[wallets]]\n\
         1:1: error: the file has no section [earn]"
    );
}

#[test]
fn limits_are_errors() {
    let too_long = format!("{GOOD}#{}", "x".repeat(PROGRAM_SOURCE_BYTES_MAX));
    let expected = format!("1:1: error: the file has {} bytes; at most 1048576 are allowed", too_long.len());
    assert_eq!(shown(&too_long), expected);

    let wallets = (0..32).map(|n| format!("[[wallets]]\nname = \"w{n}\"\n")).collect::<String>();
    assert_eq!(shown(&format!("{GOOD}{wallets}")), "105:1: error: `wallets` may have at most 32 entries");

    let long = format!("[[rules]]\nname = \"{}\"\nmatch = {{ sku = [\"{}\"] }}", "n".repeat(65), "v".repeat(129));
    assert_eq!(
        shown(&GOOD.replacen("[[rules]]\nname = \"double\"\nmatch = { brand = [\"Private\", \"Own\"] }", &long, 1)),
        format!(
            "18:8: error: \"{}\" is not a name\n  \
             hint: a name has 1 to 64 of the characters a to z, 0 to 9, - and _\n\
             19:18: error: `sku` has 129 bytes, but must have from 0 to 128",
            "n".repeat(65)
        )
    );

    let rule = |n: usize| format!("{{name=\"{n}\"}},");
    let rules = format!("rules = [{}]\n", (0..=PROGRAM_RULES_MAX).map(rule).collect::<String>());
    let problems = check(&rules).problems;
    assert_eq!(problems.last().unwrap().message, "and 65440 more errors that are not shown");
}

/// Many rules on few values, and one value in very many rules, must not take time that grows with their product.
#[test]
fn a_large_file_is_checked() {
    let rule = |n: usize| format!("[[rules]]\nname=\"{n}\"\nmatch={{sku=[\"a\"]}}\nmultiplier_bps={}\n", 10_001 + n);
    let source = format!("{GOOD}{}", (0..15_000).map(rule).collect::<String>());
    let checked = check(&source);
    assert_eq!(checked.problems.len(), 101, "14,999 rules never count");
    let program = checked.program.unwrap();
    assert_eq!(program.lines.rules.len(), 15_001);
}

#[test]
fn the_tables_say_what_the_file_says() {
    let mut symbols = SymbolTable::new();
    let program = compile(GOOD, ProgramVersion(7), TimestampNs(42), &mut symbols).unwrap();
    assert_eq!((program.version, program.effective_at), (ProgramVersion(7), TimestampNs(42)));
    assert_eq!((program.name.as_str(), program.currency.as_str()), ("corner", "USD"));
    assert_eq!(Some(program.zone), zone("America/New_York"));
    assert_eq!(program.accounts, AccountPolicy::Implicit);
    assert_eq!(program.late_limit_ns, 30 * 86_400 * 1_000_000_000);
    assert_eq!(program.future_skew_ns, 300 * 1_000_000_000);
    assert_eq!(program.source_hash, *blake3::hash(GOOD.as_bytes()).as_bytes());

    let wallet = &program.wallets[0];
    assert_eq!((wallet.name.as_str(), wallet.symbol, wallet.scale), ("points", SymbolId(1), 0));
    assert_eq!(wallet.balance_max, UNITS_MAX);
    let earn = &program.earn;
    assert_eq!((earn.wallet, earn.units, earn.per_minor), (WalletId(0), 1, 100));
    assert_eq!((earn.rounding, earn.rounded_per), (Rounding::Floor, RoundedPer::Basket));

    let table = |attribute: Attribute| {
        let index = Attribute::ALL.iter().position(|candidate| *candidate == attribute).unwrap();
        let mut entries: Vec<_> = program.lines.values[index]
            .iter()
            .map(|(value, entry)| (value.0, entry.excluded, entry.rules.to_vec()))
            .collect();
        entries.sort();
        entries
    };
    assert_eq!(table(Attribute::Department), [(2, true, vec![])]);
    assert_eq!(table(Attribute::Brand), [(3, false, vec![RuleIndex(0)]), (4, false, vec![RuleIndex(0)])]);
    for attribute in [Attribute::Sku, Attribute::Category, Attribute::MarginClass] {
        assert_eq!(table(attribute), []);
    }
    let cap = &program.caps[0];
    assert_eq!(
        (cap.symbol, cap.measure, cap.window, cap.limit),
        (SymbolId(5), CapMeasure::Units, CalendarWindow::Day, 200)
    );
    let metric = &program.metrics[0];
    assert_eq!(
        (metric.symbol, metric.measure, metric.window),
        (SymbolId(6), MetricMeasure::EligibleAmount, CalendarWindow::Year)
    );
    let budget = &program.budgets[0];
    assert_eq!((budget.symbol, budget.limit), (SymbolId(7), 10_000));
    assert_eq!((budget.from, budget.until), (Some(Day(17_167)), Some(Day(17_256))));
    let names = (0..8).map(|number| symbols.text(SymbolId(number)).unwrap()).collect::<Vec<_>>();
    assert_eq!(names, ["", "points", "FUEL", "Private", "Own", "daily", "spent", "opening"]);
}

#[test]
fn strings_enter_the_dictionary_in_the_order_of_the_file() {
    // The same sections in another order, and attributes in an order of their own.
    let (head, tail) = GOOD.split_at(GOOD.find("[[caps]]").unwrap());
    let source = format!("{tail}\n{head}").replacen("exclude = {", "exclude = { sku = [\"Z\"], brand = [\"A\"],", 1);
    let mut symbols = SymbolTable::new();
    compile(&source, ProgramVersion(1), TimestampNs(0), &mut symbols).unwrap();
    let names = (1..10).map(|number| symbols.text(SymbolId(number)).unwrap()).collect::<Vec<_>>();
    assert_eq!(names, ["daily", "spent", "opening", "points", "Z", "A", "FUEL", "Private", "Own"]);
    assert_eq!(symbols.text(SymbolId(10)), None);
}

#[test]
fn a_full_dictionary_is_a_problem_with_a_place() {
    struct Full(u32);
    impl Symbols for Full {
        fn intern(&mut self, _: &str) -> Result<SymbolId, SymbolsFull> {
            self.0 = self.0.checked_sub(1).ok_or(SymbolsFull)?;
            Ok(SymbolId(1_000 - self.0))
        }
    }
    let problems = compile(GOOD, ProgramVersion(1), TimestampNs(0), &mut Full(2)).unwrap_err();
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let expected =
        "19:20: error: no room for this string: the dictionary is full: it holds 16777216 strings, which is the limit";
    assert_eq!(shown, [expected]);
}

#[test]
fn the_empty_value_means_a_line_that_does_not_say() {
    let source = GOOD.replacen("[\"FUEL\"]", "[\"\"]", 1).replacen("units = 5", "units = 0", 1);
    assert_eq!(shown(&source), "");
}

#[test]
fn there_are_many_broken_files() {
    let rows = broken::ROWS.iter().map(|rows| rows.len()).sum::<usize>() + broken_language::ROWS.len();
    assert!(rows >= 60, "{rows}");
}
