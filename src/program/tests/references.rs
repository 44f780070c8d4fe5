//! What is written about programme files, and what is delivered with them: the reference, the schema for editors, and
//! the sample programmes.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

use super::*;

const REFERENCE: &str = include_str!("../../../docs/programs.md");
const SCHEMA: &str = include_str!("../../../deploy/program.schema.json");

/// The sections that a fragment of the reference leaves out.
const SECTIONS: [(&str, &str); 3] = [
    ("[program]", "[program]\nname = \"corner\"\ncurrency = \"USD\"\ntime_zone = \"UTC\"\n"),
    ("[[wallets]]", "[[wallets]]\nname = \"points\"\n"),
    (
        "[earn]",
        "[earn]\nwallet = \"points\"\nunits = 1\nper_minor = 100\nrounding = \"floor\"\nstacking = \"best-of\"\n",
    ),
];

#[test]
fn every_example_of_the_reference_is_a_programme_that_keeps_its_expectations() {
    let blocks = REFERENCE.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let blocks: Vec<&str> = blocks.collect();
    assert!(blocks.len() >= 8, "{}", blocks.len());
    for block in blocks {
        let left_out = SECTIONS.iter().filter(|(header, _)| !block.contains(header)).map(|(_, section)| *section);
        let source = format!("{}{block}", left_out.collect::<String>());
        assert_eq!(shown(&source), "", "{source}");
        assert!(compile(&source, ProgramVersion(1), TimestampNs(0), &mut SymbolTable::new()).is_ok());
    }
}

#[test]
fn every_programme_that_is_delivered_is_clean_and_names_the_schema() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/programs");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let source = std::fs::read_to_string(&path).unwrap();
        assert_eq!(shown(&source), "", "{}", path.display());
        assert!(source.starts_with("#:schema ../program.schema.json\n"), "{}", path.display());
        let program = check(&source).program.unwrap();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        assert!(stem == "bench" || program.name == stem, "{}", path.display());
        assert!(summary(&program).len() >= 6);
        count += 1;
    }
    assert!(count >= 8, "{count}");
}

/// Tables of a programme file with a key that none of them has, and where the schema describes them.
const TABLES: [(&str, &str); 35] = [
    ("zzzzzzzzzz = 1", ""),
    ("words = { en = { zzzzzzzzzz = 1 } }", "/$defs/words"),
    ("words = { de = { zzzzzzzzzz = 1 } }", "/$defs/words"),
    ("program = { zzzzzzzzzz = 1 }", "/properties/program"),
    ("wallets = [{ zzzzzzzzzz = 1 }]", "/properties/wallets/items"),
    ("earn = { zzzzzzzzzz = 1 }", "/properties/earn"),
    ("earn = { exclude = { zzzzzzzzzz = 1 } }", "/properties/earn/properties/exclude"),
    ("earn = { expiry = { zzzzzzzzzz = 1 } }", "/properties/earn/properties/expiry/oneOf/1"),
    ("redemption = { zzzzzzzzzz = 1 }", "/properties/redemption"),
    ("refunds = { zzzzzzzzzz = 1 }", "/properties/refunds"),
    ("partners = [{ zzzzzzzzzz = 1 }]", "/properties/partners/items"),
    ("partners = [{ stores = [{ zzzzzzzzzz = 1 }] }]", "/properties/partners/items/properties/stores/items"),
    ("partners = [{ earns = [{ zzzzzzzzzz = 1 }] }]", "/properties/partners/items/properties/earns/items"),
    ("partners = [{ burns = [{ zzzzzzzzzz = 1 }] }]", "/properties/partners/items/properties/burns/items"),
    ("rules = [{ zzzzzzzzzz = 1 }]", "/properties/rules/items"),
    ("rules = [{ match = { zzzzzzzzzz = 1 } }]", "/properties/rules/items/properties/match"),
    ("rules = [{ caps = [{ zzzzzzzzzz = 1 }] }]", "/properties/rules/items/properties/caps/items"),
    ("rules = [{ when = { zzzzzzzzzz = 1 } }]", "/$defs/when"),
    ("rules = [{ when = { own_average = { zzzzzzzzzz = 1 } } }]", "/$defs/when/properties/own_average"),
    ("experiments = [{ zzzzzzzzzz = 1 }]", "/properties/experiments/items"),
    ("experiments = [{ variants = [{ zzzzzzzzzz = 1 }] }]", "/properties/experiments/items/properties/variants/items"),
    ("bonuses = [{ zzzzzzzzzz = 1 }]", "/properties/bonuses/items"),
    ("bonuses = [{ when = { zzzzzzzzzz = 1 } }]", "/$defs/when"),
    ("bonuses = [{ on = { zzzzzzzzzz = 1 } }]", "/properties/bonuses/items/properties/on/oneOf/1"),
    ("bonuses = [{ limit = { zzzzzzzzzz = 1 } }]", "/properties/bonuses/items/properties/limit"),
    ("vouchers = [{ zzzzzzzzzz = 1 }]", "/properties/vouchers/items"),
    ("stamps = [{ zzzzzzzzzz = 1 }]", "/properties/stamps/items"),
    ("stamps = [{ of = { zzzzzzzzzz = 1 } }]", "/properties/stamps/items/properties/of"),
    ("tiers = { zzzzzzzzzz = 1 }", "/properties/tiers"),
    ("tiers = { levels = [{ zzzzzzzzzz = 1 }] }", "/properties/tiers/properties/levels/items"),
    ("rewards = [{ zzzzzzzzzz = 1 }]", "/properties/rewards/items"),
    ("caps = [{ zzzzzzzzzz = 1 }]", "/properties/caps/items"),
    ("metrics = [{ zzzzzzzzzz = 1 }]", "/properties/metrics/items"),
    ("budgets = [{ zzzzzzzzzz = 1 }]", "/properties/budgets/items"),
    ("expect = [{ zzzzzzzzzz = 1 }]", "/properties/expect/items"),
];

/// The keys that the reader says a table may have, and those that it says it lacks.
fn keys_of_the_reader(source: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let problems = check(source).problems;
    let unknown = problems.iter().find(|problem| problem.message.contains("`zzzzzzzzzz`"));
    let noun = unknown.unwrap().message.split(" has no ").next().unwrap();
    let hint = unknown.and_then(|problem| problem.hint.as_deref()).unwrap();
    let may_have = hint.strip_prefix("what it may have: ").unwrap_or_else(|| panic!("{hint}"));
    let lacking = format!("{noun} lacks `");
    let lacks = problems.iter().filter_map(|problem| problem.message.strip_prefix(&lacking)?.strip_suffix('`'));
    (may_have.split(", ").map(str::to_owned).collect(), lacks.map(str::to_owned).collect())
}

#[test]
fn the_schema_knows_the_keys_that_the_reader_knows() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let strings = |value: Option<&Value>| -> BTreeSet<String> {
        let texts = value.and_then(Value::as_array).into_iter().flatten();
        texts.map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut seen = 0;
    for (source, place) in TABLES {
        let described = if place.is_empty() { &schema } else { schema.pointer(place).unwrap() };
        let properties = described["properties"].as_object().unwrap_or_else(|| panic!("{place}"));
        let described_keys: BTreeSet<String> = properties.keys().cloned().collect();
        let (known, lacking) = keys_of_the_reader(source);
        assert_eq!(described_keys, known, "{place}");
        assert_eq!(described["additionalProperties"], Value::Bool(false), "{place}");
        let required = strings(described.get("required"));
        if !place.is_empty() {
            assert!(required.is_subset(&lacking), "{place}: {required:?} of {lacking:?}");
        }
        for (key, property) in properties {
            let is_told =
                ["description", "properties", "items", "$ref"].iter().any(|told| property.get(told).is_some());
            assert!(is_told, "{place}/{key} is not explained");
        }
        seen += properties.len();
    }
    assert!(seen > 80, "{seen}");
    // The keys of a line, which the reader would only list beside what the line lacks.
    let line = schema.pointer("/properties/expect/items/properties/lines/items/properties").unwrap();
    let (known, _) = keys_of_the_reader("expect = [{ lines = [{ zzzzzzzzzz = 1 }] }]");
    assert_eq!(line.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>(), known);
}

/// Words that a key may hold stand in the schema as the reader has them.
#[test]
fn the_schema_knows_the_words_that_the_reader_knows() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let rows = [
        ("program = { accounts = \"zzzzzzzzzz\" }", "/properties/program/properties/accounts"),
        ("earn = { rounding = \"zzzzzzzzzz\" }", "/properties/earn/properties/rounding"),
        ("earn = { rounded_per = \"zzzzzzzzzz\" }", "/properties/earn/properties/rounded_per"),
        ("earn = { stacking = \"zzzzzzzzzz\" }", "/properties/earn/properties/stacking"),
        ("rules = [{ stacking = \"zzzzzzzzzz\" }]", "/properties/rules/items/properties/stacking"),
        ("rules = [{ per = \"zzzzzzzzzz\" }]", "/properties/rules/items/properties/per"),
        ("rules = [{ when = { weekdays = [\"zzzzzzzzzz\"] } }]", "/$defs/when/properties/weekdays/items"),
        (
            "bonuses = [{ limit = { per = \"zzzzzzzzzz\" } }]",
            "/properties/bonuses/items/properties/limit/properties/per",
        ),
        (
            "rules = [{ caps = [{ subject = \"zzzzzzzzzz\" }] }]",
            "/properties/rules/items/properties/caps/items/properties/subject",
        ),
        ("vouchers = [{ starts = \"zzzzzzzzzz\" }]", "/properties/vouchers/items/properties/starts"),
        ("stamps = [{ counts = \"zzzzzzzzzz\" }]", "/properties/stamps/items/properties/counts"),
        ("stamps = [{ window = \"zzzzzzzzzz\" }]", "/properties/stamps/items/properties/window"),
        ("caps = [{ measure = \"zzzzzzzzzz\" }]", "/properties/caps/items/properties/measure"),
        ("rules = [{ when = { birthday = \"zzzzzzzzzz\" } }]", "/$defs/when/properties/birthday"),
        ("caps = [{ subject = \"zzzzzzzzzz\" }]", "/properties/caps/items/properties/subject"),
        ("caps = [{ over = \"zzzzzzzzzz\" }]", "/properties/caps/items/properties/over"),
        ("caps = [{ window = \"zzzzzzzzzz\" }]", "/properties/caps/items/properties/window"),
        ("expect = [{ refused = \"zzzzzzzzzz\" }]", "/properties/expect/items/properties/refused"),
        ("metrics = [{ measure = \"zzzzzzzzzz\" }]", "/properties/metrics/items/properties/measure"),
        ("metrics = [{ window = \"zzzzzzzzzz\" }]", "/properties/metrics/items/properties/window"),
    ];
    for (source, place) in rows {
        let problems = check(source).problems;
        let message = problems.iter().map(|problem| &problem.message).find(|text| text.contains("zzzzzzzzzz")).unwrap();
        let quoted = message.split('"').skip(1).step_by(2).filter(|word| *word != "zzzzzzzzzz");
        let known: Vec<&str> = quoted.collect();
        let described = schema.pointer(place).unwrap()["enum"].as_array().unwrap();
        assert_eq!(described.iter().map(|word| word.as_str().unwrap()).collect::<Vec<_>>(), known, "{place}");
    }
}
