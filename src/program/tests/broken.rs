//! Programme files broken in one place each, with the exact problems that they must show.
//!
//! What must stay true: a row is a replacement of the first occurrence in a file that is good, and every problem that
//! this makes. What each section may say by itself is here; the language of conditions is in `broken_language`.

use super::*;

/// What is replaced, by what, and the problems shown.
pub(super) type Row = (&'static str, &'static str, &'static str);

/// Replaces the first `old` of a good file and compares all problems that this makes.
#[track_caller]
pub(super) fn broken(good: &str, (old, new, expected): &Row) {
    let source = good.replacen(old, new, 1);
    assert_ne!(source, good, "{old:?} does not occur");
    assert_eq!(shown(&source), *expected, "{old:?} -> {new:?}");
    let is_error = expected.contains(": error: ");
    let mut symbols = SymbolTable::new();
    let compiled = compile(&source, ProgramVersion(1), TimestampNs(0), &mut symbols);
    assert_eq!(compiled.is_err(), is_error, "{old:?} -> {new:?}");
    assert!(!is_error || symbols == SymbolTable::new(), "a broken file adds nothing to the dictionary");
}

#[test]
fn broken_files_show_what_is_wrong() {
    for row in ROWS.iter().copied().flatten() {
        broken(GOOD, row);
    }
}

pub(super) const ROWS: [&[Row]; 5] = [SYNTAX, SECTIONS_AND_KEYS, VALUES, RULES, BETWEEN_ENTRIES];

const SYNTAX: &[Row] = &[
    ("name = \"corner\"", "name = \"corner", "2:15: error: invalid basic string, expected `\"`"),
    ("units = 1\n", "units = 1\nunits = 2\n", "12:1: error: `units` is stated twice"),
    ("units = 1\n", "units 1\n", "11:7: error: key with no value, expected `=`"),
    ("[earn]", "[earn", "9:6: error: unclosed table, expected `]`"),
    ("2017-03-31", "2017-02-30", "37:9: error: invalid date, expected day between 01 and 28"),
];

const SECTIONS_AND_KEYS: &[Row] = &[
    (
        "[program]\nname = \"corner\"",
        "[program]\nnmae = \"corner\"",
        "1:1: error: [program] lacks `name`\n\
         2:1: error: [program] has no key `nmae`\n  \
         hint: did you mean `name`?",
    ),
    (
        "[program]",
        "[programme]",
        "1:1: error: the file has no section [program]\n\
         1:2: error: the file has no table `programme`\n  \
         hint: did you mean `program`?",
    ),
    (
        "[[caps]]",
        "[caps]",
        "22:1: error: `caps` must be a list of tables, not a table\n  \
         hint: write [[caps]] above each",
    ),
    (
        "[earn]",
        "[[earn]]",
        "9:1: error: `earn` must be a table, not a list\n  \
         hint: there is only one: write [earn]",
    ),
    (
        "[[rules]]",
        "[[rulez]]",
        "17:3: error: the file has no table `rulez`\n  \
         hint: did you mean `rules`?",
    ),
    (
        "[program]",
        "colour = \"red\"\n[program]",
        "1:1: error: the file has no key `colour`\n  \
         hint: what it may have: program, wallets, earn, partners, redemption, refunds, caps, metrics, budgets, tiers, rewards, experiments, vouchers, rules, bonuses, stamps, expect, words",
    ),
    ("limit = 200\n", "", "22:1: error: [[caps]] lacks `limit`"),
    (
        "window = \"year\"",
        "window = \"year\"\nlimit = 5",
        "32:1: error: [[metrics]] has no key `limit`\n  \
         hint: what it may have: name, measure, window",
    ),
    (", amount_minor = 250 }", " }", "41:10: error: a line lacks `amount_minor`"),
];

const VALUES: &[Row] = &[
    ("\"corner\"", "\"\"", "2:8: error: `name` is empty"),
    ("\"corner\"", "7", "2:8: error: `name` must be a string, not a whole number"),
    (
        "\"USD\"",
        "\"usd\"",
        "3:12: error: \"usd\" is not a currency code\n  \
         hint: a currency code is three capital letters, for example \"EUR\" (ISO 4217)",
    ),
    (
        "America/New_York",
        "America/NewYork",
        "4:13: error: there is no time zone \"America/NewYork\"\n  \
         hint: did you mean \"America/New_York\"?",
    ),
    (
        "America/New_York",
        "Middle-earth",
        "4:13: error: there is no time zone \"Middle-earth\"\n  \
         hint: a time zone is named by its IANA name, for example \"Europe/Berlin\" or \"UTC\"",
    ),
    (
        "name = \"points\"",
        "name = \"Points!\"",
        "7:8: error: \"Points!\" is not a name\n  \
         hint: a name has 1 to 64 of the characters a to z, 0 to 9, - and _\n\
         10:10: error: there is no wallet \"points\"\n  \
         hint: did you mean \"Points!\"?",
    ),
    ("name = \"points\"", "name = \"points\"\nscale = 10", "8:9: error: `scale` is 10, but must be from 0 to 9"),
    (
        "name = \"points\"",
        "name = \"points\"\nbalance_max = 0",
        "8:15: error: `balance_max` is 0, but must be from 1 to 1_000_000_000_000_000_000",
    ),
    ("per_minor = 100", "per_minor = 0", "12:13: error: `per_minor` is 0, but must be from 1 to 1_000_000"),
    (
        "per_minor = 100",
        "per_minor = 100.5",
        "12:13: error: `per_minor` must be a whole number, not a floating-point number\n  \
         hint: there are no fractions in this file: state an amount in minor units (150 for 1.50 USD), a multiplier as a string",
    ),
    (
        "limit = 200",
        "limit = 99_999_999_999_999_999_999",
        "26:9: error: `limit` is 99_999_999_999_999_999_999, but must be from 0 to 1_000_000_000_000_000_000",
    ),
    (
        "\"floor\"",
        "\"flor\"",
        "13:12: error: `rounding` must be one of \"floor\", \"half-up\", \"half-even\", \"carry\", not \"flor\"\n  \
         hint: did you mean \"floor\"?",
    ),
    (
        "\"floor\"",
        "\"truncate\"",
        "13:12: error: `rounding` must be one of \"floor\", \"half-up\", \"half-even\", \"carry\", not \"truncate\"",
    ),
    ("\"best-of\"", "\"multiply\"", "14:12: error: `stacking` must be \"best-of\", not \"multiply\""),
    (
        "2017-01-01",
        "\"2017-01-01\"",
        "36:8: error: `from` must be a day\n  \
         hint: write it without quotes and time: from = 2026-06-01",
    ),
    (
        "2017-01-01",
        "2017-01-01T00:00:00",
        "36:8: error: `from` must be a day\n  \
         hint: write it without quotes and time: from = 2026-06-01",
    ),
    (
        "name = \"corner\"",
        "name = \"corner\"\nlate_limit_days = 4_000",
        "3:19: error: `late_limit_days` is 4_000, but must be from 0 to 3_660",
    ),
    (
        "name = \"corner\"",
        "name = \"corner\"\naccounts = \"anyone\"",
        "3:12: error: `accounts` must be one of \"implicit\", \"enrolled\", not \"anyone\"",
    ),
];

const RULES: &[Row] = &[
    (
        "multiplier = \"2\"",
        "multiplier = 2.0",
        "20:14: error: `multiplier` must be a string, not a floating-point number\n  \
         hint: write multiplier = \"2.0\"",
    ),
    (
        "multiplier = \"2\"",
        "multiplier = 2",
        "20:14: error: `multiplier` must be a string, not a whole number\n  \
         hint: write multiplier = \"2\"",
    ),
    (
        "multiplier = \"2\"",
        "multiplier = \"twice\"",
        "20:14: error: \"twice\" is not a multiplier\n  \
         hint: a multiplier has digits and up to 4 decimals, for example \"1.25\"",
    ),
    ("multiplier = \"2\"", "multiplier = \"1000.0001\"", "20:14: error: `multiplier` may be at most \"1000\""),
    (
        "multiplier = \"2\"",
        "multiplier = \"2\"\nmultiplier_bps = 20000",
        "17:1: error: a rule states `multiplier` or `multiplier_bps`, not both\n  \
         hint: to double, write multiplier = \"2\"; for units beside what the amount earns, fixed_units = 10",
    ),
    (
        "multiplier = \"2\"\n",
        "",
        "17:1: error: [[rules]] lacks `multiplier`\n  \
         hint: to double, write multiplier = \"2\"; for units beside what the amount earns, fixed_units = 10",
    ),
    (
        "multiplier = \"2\"",
        "multiplier = \"1\"",
        "20:14: error: rule `double` has no effect: it multiplies by one\n  \
         hint: remove it or state another multiplier",
    ),
    (
        "match = { brand = [\"Private\", \"Own\"] }",
        "match = {}",
        "19:9: error: `match` must name exactly one attribute, not 0\n  \
         hint: for example: match = { brand = [\"House\"] }; without `match` every line counts",
    ),
    (
        "match = { brand",
        "match = { sku = [\"1\"], brand",
        "19:9: error: `match` must name exactly one attribute, not 2\n  \
         hint: write a rule for each attribute: of several that match a line, the best counts",
    ),
    (
        "match = { brand",
        "match = { barnd",
        "19:9: error: `match` must name exactly one attribute, not 0\n  \
         hint: for example: match = { brand = [\"House\"] }; without `match` every line counts\n\
         19:11: error: `match` has no key `barnd`\n  \
         hint: did you mean `brand`?",
    ),
    ("[\"Private\", \"Own\"]", "[]", "19:19: error: `brand` is an empty list"),
    (
        "[\"Private\", \"Own\"]",
        "\"Private\"",
        "19:19: error: `brand` must be a list of strings, not a string\n  \
         hint: write brand = [\"Private\"]",
    ),
    ("[\"Private\", \"Own\"]", "[\"Private\", 7]", "19:31: error: `brand` lists strings, not a whole number"),
    (
        "exclude = { department = [\"FUEL\"] }",
        "exclude = { brand = [\"Own\", \"Private\"] }",
        "18:8: error: rule `double` has no effect: [earn] excludes every brand that it matches\n  \
         hint: line 15 excludes \"Private\"",
    ),
    (
        "exclude = { department = [\"FUEL\"] }",
        "exclude = { brand = [\"Own\"] }",
        "19:31: warning: rule `double` never applies to brand \"Own\": line 15 excludes it",
    ),
    (
        "exclude = { department = [\"FUEL\"] }",
        "exclude = {}",
        "15:11: error: `exclude` excludes nothing\n  \
         hint: leave it out, or write exclude = { department = [\"GIFTS\"] }",
    ),
    ("[\"FUEL\"]", "[\"FUEL\", \"FUEL\"]", "15:35: warning: department \"FUEL\" is listed twice"),
    (
        "[\"Private\", \"Own\"]",
        "[\"Private\", \"Own\", \"Private\"]",
        "19:38: warning: brand \"Private\" is listed twice",
    ),
];

const BETWEEN_ENTRIES: &[Row] = &[
    (
        "wallet = \"points\"",
        "wallet = \"pionts\"",
        "10:10: error: there is no wallet \"pionts\"\n  \
         hint: did you mean \"points\"?",
    ),
    (
        "wallet = \"points\"",
        "wallet = \"stars\"",
        "10:10: error: there is no wallet \"stars\"\n  \
         hint: the wallets of this file: points",
    ),
    (
        "[earn]",
        "[[wallets]]\nname = \"points\"\n\n[earn]",
        "10:8: error: the name `points` is taken by the wallet on line 7",
    ),
    ("name = \"spent\"", "name = \"daily\"", "29:8: error: the name `daily` is taken by the cap on line 23"),
    (
        "[[caps]]",
        "[[rules]]\nname = \"triple\"\nmatch = { brand = [\"Own\"] }\nmultiplier = \"3\"\n\n[[caps]]",
        "19:31: warning: brand \"Own\" is also in rule `triple` on line 23, which counts because it has the larger multiplier",
    ),
    (
        "[[caps]]",
        "[[rules]]\nname = \"again\"\nmatch = { brand = [\"Own\"] }\nmultiplier = \"2\"\n\n[[caps]]",
        "24:20: warning: brand \"Own\" is also in rule `double` on line 18, which counts because it has the same multiplier and comes first\n  \
         hint: rule `again` never counts: best-of takes another for all its values",
    ),
    ("limit = 200", "limit = 0", "26:9: warning: with a limit of 0 nothing is ever earned"),
    ("units = 10_000", "units = 0", "35:9: warning: with a budget of 0 nothing is earned while it lasts"),
    (
        "until = 2017-03-31",
        "until = 2016-12-31",
        "37:9: error: the budget ends on 2016-12-31, before it begins on 2017-01-01",
    ),
    (
        "units = 1\nper_minor = 100",
        "units = 1_000_000\nper_minor = 1",
        "11:9: error: with this rate one basket could earn more than 1_000_000_000_000_000_000 units\n  \
         hint: lower `units` or raise `per_minor` in [earn]: no balance may exceed that number",
    ),
    (
        "units = 1\nper_minor = 100\n",
        "units = 900\nper_minor = 1\n",
        "20:14: error: with this multiplier one basket could earn more than 1_000_000_000_000_000_000 units\n  \
         hint: lower `units` or raise `per_minor` in [earn]: no balance may exceed that number",
    ),
    (
        "units = 5",
        "units = 4",
        "42:9: error: expectation \"private earns double\" does not hold: the basket earns 5, not 4\n  \
         hint: line 1: 250 minor units, rule `double`; line 2: 99 minor units, base rate",
    ),
    (
        "[{ brand = \"Private\", amount_minor = 250 }, { amount_minor = 99 }]",
        "[]",
        "41:9: error: `lines` is an empty list",
    ),
];
