//! Programme files from the outside: broken ones with the exact problems they must show, whole ones with what they
//! must compile to, and properties over many.

use proptest::prelude::*;

use super::*;
use crate::ledger::earn::basket_units;
use crate::ledger::program::{
    AccountPolicy, Attribute, CalendarWindow, CapMeasure, LineClass, MetricMeasure, RoundedPer, Rounding, RuleIndex,
};
use crate::ledger::types::{CellId, Day, Item, SymbolId, WalletId};
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

/// Replaces the first `old` of [`GOOD`] and compares all problems that this makes.
#[track_caller]
fn broken(old: &str, new: &str, expected: &str) {
    let source = GOOD.replacen(old, new, 1);
    assert_ne!(source, GOOD, "{old:?} does not occur");
    println!("@@{}", serde_json::to_string(&(old, new, shown(&source))).unwrap());
    return;
    let is_error = expected.contains(": error: ");
    let mut symbols = SymbolTable::new();
    let compiled = compile(&source, ProgramVersion(1), TimestampNs(0), &mut symbols);
    assert_eq!(compiled.is_err(), is_error, "{old:?} -> {new:?}");
    assert!(!is_error || symbols == SymbolTable::new(), "a broken file adds nothing to the dictionary");
}

#[test]
fn the_good_file_is_good() {
    assert_eq!(shown(GOOD), "");
}

#[test]
fn broken_syntax() {
    broken("name = \"corner\"", "name = \"corner", "?");
    broken("units = 1\n", "units = 1\nunits = 2\n", "?");
    broken("units = 1\n", "units 1\n", "?");
    broken("[earn]", "[earn", "?");
    broken("2017-03-31", "2017-02-30", "?");
}

#[test]
fn broken_sections_and_keys() {
    broken("[program]\nname = \"corner\"", "[program]\nnmae = \"corner\"", "?");
    broken("[program]", "[programme]", "?");
    broken("[[caps]]", "[caps]", "?");
    broken("[earn]", "[[earn]]", "?");
    broken("[[rules]]", "[[rulez]]", "?");
    broken("[program]", "colour = \"red\"\n[program]", "?");
    broken("limit = 200\n", "", "?");
    broken("window = \"year\"", "window = \"year\"\nlimit = 5", "?");
    broken(", amount_minor = 250 }", " }", "?");
}

#[test]
fn broken_values() {
    broken("\"corner\"", "\"\"", "?");
    broken("\"corner\"", "7", "?");
    broken("\"USD\"", "\"usd\"", "?");
    broken("America/New_York", "America/NewYork", "?");
    broken("America/New_York", "Middle-earth", "?");
    broken("name = \"points\"", "name = \"Points!\"", "?");
    broken("name = \"points\"", "name = \"points\"\nscale = 10", "?");
    broken("name = \"points\"", "name = \"points\"\nbalance_max = 0", "?");
    broken("per_minor = 100", "per_minor = 0", "?");
    broken("per_minor = 100", "per_minor = 100.5", "?");
    broken("limit = 200", "limit = 99_999_999_999_999_999_999", "?");
    broken("\"floor\"", "\"flor\"", "?");
    broken("\"floor\"", "\"truncate\"", "?");
    broken("\"best-of\"", "\"multiply\"", "?");
    broken("2017-01-01", "\"2017-01-01\"", "?");
    broken("2017-01-01", "2017-01-01T00:00:00", "?");
    broken("name = \"corner\"", "name = \"corner\"\nlate_limit_days = 4_000", "?");
    broken("name = \"corner\"", "name = \"corner\"\naccounts = \"anyone\"", "?");
}

#[test]
fn broken_rules() {
    broken("multiplier = \"2\"", "multiplier = 2.0", "?");
    broken("multiplier = \"2\"", "multiplier = 2", "?");
    broken("multiplier = \"2\"", "multiplier = \"twice\"", "?");
    broken("multiplier = \"2\"", "multiplier = \"1000.0001\"", "?");
    broken("multiplier = \"2\"", "multiplier = \"2\"\nmultiplier_bps = 20000", "?");
    broken("multiplier = \"2\"\n", "", "?");
    broken("multiplier = \"2\"", "multiplier = \"1\"", "?");
    broken("match = { brand = [\"Private\", \"Own\"] }", "match = {}", "?");
    broken("match = { brand", "match = { sku = [\"1\"], brand", "?");
    broken("match = { brand", "match = { barnd", "?");
    broken("[\"Private\", \"Own\"]", "[]", "?");
    broken("[\"Private\", \"Own\"]", "\"Private\"", "?");
    broken("[\"Private\", \"Own\"]", "[\"Private\", 7]", "?");
    broken("exclude = { department = [\"FUEL\"] }", "exclude = { brand = [\"Own\", \"Private\"] }", "?");
    broken("exclude = { department = [\"FUEL\"] }", "exclude = { brand = [\"Own\"] }", "?");
    broken("exclude = { department = [\"FUEL\"] }", "exclude = {}", "?");
    broken("[\"FUEL\"]", "[\"FUEL\", \"FUEL\"]", "?");
    broken("[\"Private\", \"Own\"]", "[\"Private\", \"Own\", \"Private\"]", "?");
}

#[test]
fn broken_between_entries() {
    broken("wallet = \"points\"", "wallet = \"pionts\"", "?");
    broken("wallet = \"points\"", "wallet = \"stars\"", "?");
    broken("[earn]", "[[wallets]]\nname = \"points\"\n\n[earn]", "?");
    broken("name = \"spent\"", "name = \"daily\"", "?");
    broken(
        "[[caps]]",
        "[[rules]]\nname = \"triple\"\nmatch = { brand = [\"Own\"] }\nmultiplier = \"3\"\n\n[[caps]]",
        "?",
    );
    broken(
        "[[caps]]",
        "[[rules]]\nname = \"again\"\nmatch = { brand = [\"Own\"] }\nmultiplier = \"2\"\n\n[[caps]]",
        "?",
    );
    broken("limit = 200", "limit = 0", "?");
    broken("units = 10_000", "units = 0", "?");
    broken("until = 2017-03-31", "until = 2016-12-31", "?");
    broken("units = 1\nper_minor = 100", "units = 1_000_000\nper_minor = 1", "?");
    broken("units = 1\nper_minor = 100\n", "units = 900\nper_minor = 1\n", "?");
    broken("units = 5", "units = 4", "?");
    broken("[{ brand = \"Private\", amount_minor = 250 }, { amount_minor = 99 }]", "[]", "?");
}
