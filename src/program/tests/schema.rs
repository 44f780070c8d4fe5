//! The schema for editors against the reader of programme files: what one takes, the other takes.
//!
//! What must stay true: every number and every length that the schema bounds has a row here, so that a bound that is
//! changed on one side alone is found.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::program::words::Sentence;

/// A file with a place for every bound; the rows below replace one value in it.
const FILE: &str = r#"[program]
name = "ranges"
currency = "USD"
time_zone = "UTC"
late_limit_days = 30
future_skew_seconds = 300
typical_basket_minor = 1_000
first_reward_units = 100

[[wallets]]
name = "points"
scale = 0
balance_max = 1_000

[[wallets]]
name = "cash"
kind = "money"
top_up_min = 5

[earn]
wallet = "points"
units = 1
per_minor = 1_000_000
rounding = "floor"
stacking = "best-of"
exclude = { department = ["FUEL"] }
pending_days = 0
expiry = { after_days = 60 }

[redemption]
hold_minutes = 45
when_returned = "extend"
extend_days = 7

[refunds]
when_spent = "debt"

[[metrics]]
name = "spent"
measure = "eligible-amount"
window = "month"

[[metrics]]
name = "ever"
measure = "eligible-amount"
window = "lifetime"

[tiers]
metric = "spent"
rolling = 2
keep = 1
grace_days = 3
levels = [{ name = "silver", threshold = 10 }]

[[experiments]]
name = "trial"
variants = [{ name = "a", percent = 100 }]

[[rules]]
name = "best"
match = { brand = ["Own"] }
multiplier_bps = 15_000
when = { nth_basket = 3 }

[[rules]]
name = "bounded"
match = { brand = ["Other"] }
multiplier = "2"
caps = [{ name = "own", measure = "units", window = "month", rolling = 3, limit = 77 }]

[[rules]]
name = "alone"
match = { sku = ["x"] }
multiplier = "3"
stacking = "exclusive"
priority = 5

[[rules]]
name = "fixed"
match = { category = ["paint"] }
fixed_units = 7
per = "line"

[[bonuses]]
name = "review"
units = 5
on = { activity = "review" }
limit = { times = 2, per = "week" }
places = 9

[[rewards]]
name = "mug"
wallet = "cash"
price = 11
stock = 12

[[bonuses]]
name = "next"
voucher = "coffee"

[[vouchers]]
name = "coffee"
value_minor = 300
valid_days = 14
basket_minor_min = 500

[[stamps]]
name = "card"
of = { brand = ["Own"] }
counts = "items"
count = 44
units = 55

[[caps]]
name = "cap"
measure = "units"
window = "month"
rolling = 2
limit = 1_000_000_000_000_000_000

[[budgets]]
name = "budget"
units = 1_000
window = "day"
rolling = 4

[[budgets]]
name = "told"
units = 2_000
warnings = [50]

[[expect]]
name = "nothing"
activity = "walk"
units = 0
"#;

/// What stands in the place of the expectation of [`FILE`] where partners are declared: without one, nobody earns.
const PARTNERS: &str = r#"[[partners]]
name = "north"
stores = [{ name = "n1", terminals = ["t1"] }]
earns = [{ wallet = "points", from = 2026-01-01 }]
burns = [{ wallet = "points" }]
funding_rate_bps = 5
redemption_rate_bps = 6
"#;

/// An expectation in the place of the one of [`FILE`].
fn expecting(keys: &str) -> (&'static str, String) {
    ("activity = \"walk\"\nunits = 0\n", format!("{keys}\n"))
}

fn basket(keys: &str) -> (&'static str, String) {
    expecting(&format!("lines = [{{ amount_minor = 0 }}]\nunits = 0\n{keys}"))
}

fn when(keys: &str) -> (&'static str, String) {
    ("nth_basket = 3", keys.to_owned())
}

/// What stands in the file for a number at a place of the schema: the text that is replaced, and by what.
fn of_number(place: &str, n: i64) -> Option<(&'static str, String)> {
    let by = |old: &'static str| {
        let (key, _) = old.split_once(" = ").expect("a row replaces a key");
        (old, format!("{key} = {n}"))
    };
    Some(match place {
        "/program/late_limit_days" => by("late_limit_days = 30"),
        "/program/future_skew_seconds" => by("future_skew_seconds = 300"),
        "/program/typical_basket_minor" => by("typical_basket_minor = 1_000"),
        "/program/first_reward_units" => by("first_reward_units = 100"),
        "/redemption/hold_minutes" => by("hold_minutes = 45"),
        "/rewards/price" => by("price = 11"),
        "/rewards/stock" => by("stock = 12"),
        "/redemption/extend_days" => by("extend_days = 7"),
        "/wallets/scale" => by("scale = 0"),
        "/wallets/balance_max" => by("balance_max = 1_000"),
        "/wallets/top_up_min" => by("top_up_min = 5"),
        "/wallets/top_up_max" => ("top_up_min = 5", format!("top_up_max = {n}")),
        "/earn/units" => ("wallet = \"points\"\nunits = 1", format!("wallet = \"points\"\nunits = {n}")),
        "/earn/per_minor" => by("per_minor = 1_000_000"),
        "/earn/pending_days" => {
            ("pending_days = 0\nexpiry = { after_days = 60 }", format!("pending_days = {n}\nexpiry = \"never\""))
        }
        "/earn/expiry/after_days" => by("after_days = 60"),
        "/earn/expiry/inactive_days" => ("after_days = 60", format!("inactive_days = {n}")),
        "/rules/multiplier_bps" => by("multiplier_bps = 15_000"),
        "/rules/fixed_units" => by("fixed_units = 7"),
        "/rules/caps/rolling" => by("rolling = 3"),
        "/rules/caps/limit" => by("limit = 77"),
        "/rules/priority" => by("priority = 5"),
        "/bonuses/units" => by("units = 5"),
        "/bonuses/limit/times" => by("times = 2"),
        "/bonuses/places" => by("places = 9"),
        "/vouchers/value_minor" => by("value_minor = 300"),
        "/vouchers/percent_bps" => ("value_minor = 300", format!("percent_bps = {n}")),
        "/vouchers/valid_days" => by("valid_days = 14"),
        "/vouchers/valid_hours" => ("valid_days = 14", format!("valid_hours = {n}")),
        "/vouchers/basket_minor_min" => by("basket_minor_min = 500"),
        "/stamps/count" => by("count = 44"),
        "/stamps/units" => by("units = 55"),
        "/tiers/rolling" => ("rolling = 2\nkeep", format!("rolling = {n}\nkeep")),
        "/tiers/keep" => by("keep = 1"),
        "/tiers/grace_days" => by("grace_days = 3"),
        "/tiers/levels/threshold" => by("threshold = 10"),
        "/caps/rolling" => ("rolling = 2\nlimit", format!("rolling = {n}\nlimit")),
        "/caps/limit" => by("limit = 1_000_000_000_000_000_000"),
        "/experiments/variants/percent" if (1..100).contains(&n) => {
            ("percent = 100", format!("percent = {n} }}, {{ name = \"b\", percent = {}", 100 - n))
        }
        "/experiments/variants/percent" => by("percent = 100"),
        "/budgets/units" => ("name = \"budget\"\nunits = 1_000", format!("name = \"budget\"\nunits = {n}")),
        "/budgets/rolling" => by("rolling = 4"),
        "/budgets/warnings" => ("warnings = [50]", format!("warnings = [{n}]")),
        "/partners/funding_rate_bps" => by("funding_rate_bps = 5"),
        "/partners/redemption_rate_bps" => by("redemption_rate_bps = 6"),
        "/expect/units" if n == 0 => by("units = 0"),
        "/expect/units" => expecting(&format!("activity = \"review\"\nunits = {n}")),
        "/expect/basket_number" => expecting(&format!("activity = \"walk\"\nunits = 0\nbasket_number = {n}")),
        "/expect/own_average" => basket(&format!("own_average = {n}")),
        "/expect/days_since_last_basket" => basket(&format!("days_since_last_basket = {n}")),
        "/expect/lines/amount_minor" => {
            expecting(&format!("lines = [{{ amount_minor = {n} }}]\nunits = {}", (n / 1_000_000).max(0)))
        }
        "/expect/lines/quantity" => expecting(&format!("lines = [{{ amount_minor = 0, quantity = {n} }}]\nunits = 0")),
        "/when/eligible_minor_min" => when(&format!("eligible_minor_min = {n}")),
        "/when/nth_basket" => when(&format!("nth_basket = {n}")),
        "/when/every_nth_basket" => when(&format!("every_nth_basket = {n}")),
        "/when/days_since_last_basket_min" => when(&format!("days_since_last_basket_min = {n}")),
        "/when/days_since_last_basket_max" => when(&format!("days_since_last_basket_max = {n}")),
        "/when/own_average/percent" => when(&format!("own_average = {{ metric = \"ever\", percent = {n} }}")),
        _ => return None,
    })
}

/// What stands in the file for a text at a place of the schema.
fn of_text(place: &str, text: &str) -> Option<(&'static str, String)> {
    let (_, key) = place.rsplit_once('/')?;
    let list = || format!("{key} = [\"{text}\"]");
    Some(match place {
        "/program/name" => ("name = \"ranges\"", format!("name = \"{text}\"")),
        "/bonuses/on/activity" => ("activity = \"review\"", format!("activity = \"{text}\"")),
        "/vouchers/text" => ("value_minor = 300", format!("text = \"{text}\"")),
        "/expect/name" => ("name = \"nothing\"", format!("name = \"{text}\"")),
        "/expect/activity" => expecting(&format!("activity = \"{text}\"\nunits = 0")),
        "/expect/segments" => basket(&list()),
        "/partners/name" => ("name = \"north\"", format!("name = \"{text}\"")),
        "/partners/stores/name" => ("name = \"n1\"", format!("name = \"{text}\"")),
        "/partners/stores/terminals" => ("terminals = [\"t1\"]", list()),
        "/budgets/partner" => ("warnings = [50]", format!("partner = \"{text}\"")),
        "/expect/store" | "/expect/terminal" | "/expect/channel" | "/expect/payment_method" | "/expect/partner" => {
            basket(&format!("{key} = \"{text}\""))
        }
        _ if place.starts_with("/earn/exclude/") => ("department = [\"FUEL\"]", list()),
        _ if place.starts_with("/rules/match/") => ("brand = [\"Own\"]", list()),
        _ if place.starts_with("/stamps/of/") => ("of = { brand = [\"Own\"] }", format!("of = {{ {} }}", list())),
        _ if place.starts_with("/expect/lines/") => {
            expecting(&format!("lines = [{{ amount_minor = 0, {key} = \"{text}\" }}]\nunits = 0"))
        }
        "/when/stores"
        | "/when/channels"
        | "/when/payment_methods"
        | "/when/partners"
        | "/when/segments"
        | "/when/not_segments" => when(&list()),
        _ if place.starts_with("/words/") => ("[[expect]]", format!("[words.en]\n{key} = \"{text}\"\n[[expect]]")),
        // What names something else in the file is judged by whether that is there.
        "/when/tiers" | "/when/experiment" | "/expect/tier" | "/expect/variant" => return None,
        _ => panic!("there is no row for the lengths of {place}"),
    })
}

/// A number or a text of the schema: where, and its least and most.
type Bounds = (String, Option<i64>, Option<i64>);

fn collect(described: &Value, place: &str, numbers: &mut Vec<Bounds>, texts: &mut Vec<Bounds>) {
    let bound = |key: &str| described.get(key).and_then(Value::as_i64);
    if bound("minimum").is_some() || bound("maximum").is_some() {
        numbers.push((place.to_owned(), bound("minimum"), bound("maximum")));
    }
    if bound("minLength").is_some() || bound("maxLength").is_some() {
        texts.push((place.to_owned(), bound("minLength"), bound("maxLength")));
    }
    for (key, property) in described.get("properties").and_then(Value::as_object).into_iter().flatten() {
        collect(property, &format!("{place}/{key}"), numbers, texts);
    }
    if let Some(items) = described.get("items") {
        collect(items, place, numbers, texts);
    }
    for either in described.get("oneOf").and_then(Value::as_array).into_iter().flatten() {
        collect(either, place, numbers, texts);
    }
}

fn json(value: toml::Value) -> Value {
    match value {
        toml::Value::Table(table) => table.into_iter().map(|(key, value)| (key, json(value))).collect(),
        toml::Value::Array(values) => values.into_iter().map(json).collect(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Boolean(truth) => truth.into(),
        toml::Value::Float(number) => number.into(),
    }
}

struct Sides {
    schema: Value,
    validator: jsonschema::Validator,
}

impl Sides {
    fn new() -> Self {
        let schema: Value = serde_json::from_str(include_str!("../../../deploy/program.schema.json")).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        Self { schema, validator }
    }

    /// Both sides take the file, or both refuse it.
    fn agree(&self, source: &str, expected: bool, what: &str) {
        let parsed: toml::Table = source.parse().unwrap_or_else(|error| panic!("{what}: {error}\n{source}"));
        let by_schema = self.validator.is_valid(&json(toml::Value::Table(parsed)));
        let problems = check(source).problems;
        let errors: Vec<String> =
            problems.iter().map(ToString::to_string).filter(|p| p.contains(": error: ")).collect();
        assert_eq!(by_schema, expected, "{what}: the schema");
        assert_eq!(errors.is_empty(), expected, "{what}: the reader says {errors:?}");
    }
}

fn replaced((old, new): (&str, String), what: &str) -> String {
    let file = match FILE.split_once("[[expect]]") {
        Some((before, _)) if what.starts_with("/partners/") => format!("{before}{PARTNERS}"),
        _ => FILE.to_owned(),
    };
    assert!(file.contains(old), "{what}: {old:?} does not occur");
    file.replacen(old, &new, 1)
}

#[test]
fn the_schema_and_the_reader_take_the_same_numbers_and_lengths() {
    let sides = Sides::new();
    sides.agree(FILE, true, "the file");
    let (mut numbers, mut texts) = (Vec::new(), Vec::new());
    collect(&sides.schema, "", &mut numbers, &mut texts);
    collect(&sides.schema["$defs"]["when"], "/when", &mut numbers, &mut texts);
    collect(&sides.schema["$defs"]["words"], "/words", &mut numbers, &mut texts);
    let mut seen = BTreeSet::new();
    for (place, least, most) in &numbers {
        let (least, most) = (least.unwrap_or_else(|| panic!("{place}")), most.unwrap_or_else(|| panic!("{place}")));
        for (number, expected) in [(least - 1, false), (least, true), (most, true), (most + 1, false)] {
            let what = format!("{place} = {number}");
            let change = of_number(place, number).unwrap_or_else(|| panic!("there is no row for {place}"));
            let mut source = replaced(change, &what);
            if place == "/expect/units" && number > 0 {
                source = source.replacen("units = 5\n", &format!("units = {}\n", number.min(most)), 1);
            }
            sides.agree(&source, expected, &what);
        }
        seen.insert(place);
    }
    assert!(seen.len() >= 41, "{}", seen.len());
    for (place, least, most) in &texts {
        let (least, most) = (least.unwrap_or(0), most.unwrap_or_else(|| panic!("{place}")));
        for (length, expected) in [(least - 1, false), (least, true), (most, true), (most + 1, false)] {
            let Ok(length) = usize::try_from(length) else { continue };
            let what = format!("{place} of {length} bytes");
            let Some(change) = of_text(place, &"x".repeat(length)) else { continue };
            sides.agree(&replaced(change, &what), expected, &what);
        }
    }
}

#[test]
fn the_schema_and_the_reader_take_the_same_names_words_and_counts() {
    let sides = Sides::new();
    let name = |length: usize| ("name = \"cap\"", format!("name = \"{}\"", "n".repeat(length)));
    let wallets = |count: usize| {
        let more = (2..count).map(|n| format!("[[wallets]]\nname = \"w{n}\"\n")).collect::<String>();
        ("[earn]", format!("{more}[earn]"))
    };
    let many = |count: usize, section: &str, keys: &str| {
        let more = (1..count).map(|n| format!("[[{section}]]\nname = \"{section}-{n}\"\n{keys}\n")).collect::<String>();
        ("[[expect]]", format!("{more}[[expect]]"))
    };
    let caps = |count| many(count, "caps", "measure = \"units\"\nwindow = \"day\"\nlimit = 1_000");
    let metrics = |count: usize| many(count - 1, "metrics", "measure = \"units\"\nwindow = \"day\"");
    let experiments = |count| many(count, "experiments", "variants = [{ name = \"a\", percent = 100 }]");
    let cards = |count| many(count, "stamps", "count = 3\nunits = 5");
    let levels = |count: usize| {
        let level = |n: usize| format!("{{ name = \"l{n}\", threshold = {} }}", n + 1);
        let all = (0..count).map(level).collect::<Vec<_>>().join(", ");
        ("levels = [{ name = \"silver\", threshold = 10 }]", format!("levels = [{all}]"))
    };
    let lines = |count: usize| {
        let all = vec!["{ amount_minor = 0 }"; count].join(", ");
        expecting(&format!("lines = [{all}]\nunits = 0"))
    };
    let words = |text: &str| ("[[expect]]", format!("[words.{text}\n[[expect]]"));
    let whole = |tag: &str| {
        let sentences = Sentence::ALL.iter().map(|sentence| format!("{} = \"x\"\n", sentence.key()));
        words(&format!("{tag}]\n{}", sentences.collect::<String>()))
    };
    let named = |name: &str, text: &str| words(&format!("en]\nnames = {{ {name} = \"{text}\" }}"));
    let multiplier = |text: &str| ("multiplier = \"3\"", format!("multiplier = \"{text}\""));
    let currency = |text: &str| ("currency = \"USD\"", format!("currency = \"{text}\""));
    // The rules' own caps count too, which no schema can say.
    let unbounded = FILE
        .replace("caps = [{ name = \"own\", measure = \"units\", window = \"month\", rolling = 3, limit = 77 }]\n", "");
    assert_ne!(unbounded, FILE);
    for (count, expected) in [(64, true), (65, false)] {
        let (old, new) = caps(count);
        sides.agree(&unbounded.replacen(old, &new, 1), expected, &format!("{count} caps"));
    }
    let rows = [
        (name(1), true),
        (name(64), true),
        (name(65), false),
        (("name = \"cap\"", "name = \"Cap\"".to_owned()), false),
        (wallets(32), true),
        (wallets(33), false),
        (("kind = \"money\"", "kind = \"gold\"".to_owned()), false),
        (("kind = \"money\"\ntop_up_min = 5", "kind = \"points\"".to_owned()), true),
        (metrics(16), true),
        (metrics(17), false),
        (experiments(16), true),
        (experiments(17), false),
        (levels(32), true),
        (levels(33), false),
        (lines(1), true),
        (lines(1_024), true),
        (lines(1_025), false),
        (multiplier("0.0001"), true),
        (multiplier("0.00001"), false),
        (multiplier("1."), false),
        (multiplier("-1"), false),
        (currency("US"), false),
        (currency("USDX"), false),
        (currency("usd"), false),
        (("when_spent = \"debt\"", "when_spent = \"negative\"".to_owned()), true),
        (("when_spent = \"debt\"", "when_spent = \"refuse\"".to_owned()), true),
        (("when_spent = \"debt\"", "when_spent = \"forgive\"".to_owned()), false),
        (("when_spent = \"debt\"\n", String::new()), false),
        (("when_returned = \"extend\"\nextend_days = 7", "when_returned = \"as_was\"".to_owned()), true),
        (("when_returned = \"extend\"\nextend_days = 7", "when_returned = \"never\"".to_owned()), false),
        (("when_returned = \"extend\"\nextend_days = 7", "when_returned = \"extend\"".to_owned()), false),
        (("when_returned = \"extend\"\nextend_days = 7", "extend_days = 7".to_owned()), false),
        (("when_returned = \"extend\"\nextend_days = 7", String::new()), true),
        (("window = \"month\"\nrolling = 2\nlimit", "window = \"mnth\"\nrolling = 2\nlimit".to_owned()), false),
        (("expiry = { after_days = 60 }", "expiry = { after_days = 60, inactive_days = 3 }".to_owned()), false),
        (("expiry = { after_days = 60 }", "expiry = \"never\"".to_owned()), true),
        (("expiry = { after_days = 60 }", "expiry = { each_year_on = \"12-31\" }".to_owned()), true),
        (("expiry = { after_days = 60 }", "expiry = { each_year_on = \"12-1\" }".to_owned()), false),
        (basket("birthday = \"04-30\"\nvariant = [\"trial.a\"]\ntier = \"silver\""), true),
        (basket("birthday = \"4-30\""), false),
        (basket("variant = []"), false),
        (basket("held = \"none\""), true),
        (basket("held = [\"none\"]"), false),
        (basket("stamps = { card = 43 }"), true),
        (basket("stamps = { card = 1_000 }"), false),
        (basket("stamps = { card = \"one\" }"), false),
        (("units = 55", "voucher = \"coffee\"".to_owned()), true),
        (("units = 55", "units = 55\nvoucher = \"coffee\"".to_owned()), false),
        (("count = 44\nunits = 55", "count = 44".to_owned()), false),
        (("counts = \"items\"", "counts = \"baskets\"\nwindow = \"month\"".to_owned()), true),
        (("counts = \"items\"", "counts = \"lines\"".to_owned()), false),
        (cards(16), true),
        (cards(17), false),
        (words("en]"), true),
        (words("en]\nearnt = \"x\""), false),
        (words("de]\nearned = \"x\""), false),
        (whole("de"), true),
        (whole("pt-BR"), true),
        (whole("pt-br"), false),
        (whole("german"), false),
        (named("cap", "x"), true),
        (named("cap", ""), false),
        (named("cap", &"x".repeat(512)), true),
        (named("cap", &"x".repeat(513)), false),
        (words("en]\nrefusals = { not_held = \"x\" }"), true),
        (words("en]\nrefusals = { not_held = 1 }"), false),
        (("window = \"day\"\nrolling = 4", "window = \"dya\"".to_owned()), false),
    ];
    for (change, expected) in rows {
        let what = change.1.chars().take(120).collect::<String>();
        sides.agree(&replaced(change, &what), expected, &what);
    }
}

#[test]
fn the_schema_asks_for_the_sentences_that_any_programme_can_show() {
    let languages = Sides::new().schema["properties"]["words"]["patternProperties"].clone();
    let language = languages.as_object().unwrap().values().next().unwrap();
    let required: Vec<_> =
        language["allOf"][1]["required"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let always = Sentence::ALL.into_iter().filter(|sentence| sentence.needs().is_none());
    assert_eq!(required, always.map(Sentence::key).collect::<Vec<_>>());
}
