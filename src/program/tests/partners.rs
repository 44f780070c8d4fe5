//! Partners and their budgets: a file that is good, the same broken in one place each, and what the preview says.

use super::broken::{Row, broken};
use super::*;

/// A coalition of two.
const COALITION: &str = r#"[program]
name = "coalition"
currency = "EUR"
time_zone = "UTC"

[[wallets]]
name = "points"

[earn]
wallet = "points"
units = 1
per_minor = 100
rounding = "floor"
stacking = "best-of"

[[partners]]
name = "North"
stores = [{ name = "n1", terminals = ["t1", "t2"] }, { name = "n2" }]
earns = [{ wallet = "points", until = 2026-06-30 }]
burns = [{ wallet = "points" }]
funding_rate_bps = 5_000

[[partners]]
name = "South"
stores = [{ name = "s1" }]
earns = [{ wallet = "points" }]
redemption_rate_bps = 4_500

[[rules]]
name = "south-doubles"
multiplier = "2"
when = { partners = ["South"], stores = ["s1"] }

[[budgets]]
name = "north-spring"
units = 1_000
partner = "North"
warnings = [50, 80]

[[expect]]
name = "south"
lines = [{ amount_minor = 1_000 }]
partner = "South"
store = "s1"
units = 20

[[expect]]
name = "north's right ended"
lines = [{ amount_minor = 1_000 }]
partner = "North"
store = "n1"
terminal = "t1"
at = 2026-07-01T00:00:00
units = 0
refused = "earn-not-permitted"
"#;

#[test]
fn a_coalition_is_good_and_the_preview_tells_of_it() {
    assert_eq!(shown(COALITION), "");
    let compiled = compile(COALITION, ProgramVersion(1), TimestampNs(0), &mut SymbolTable::new()).unwrap();
    let lines = summary(&compiled);
    for line in [
        "budget north-spring: at most 1,000 points in all for partner North, at any time; told at 50 %, 80 %",
        "partner North: 2 stores; earns points until 2026-06-30; burns points; pays 0.5 minor units per unit issued",
        "partner South: 1 store; earns points; burns nothing; receives 0.45 per unit burned",
    ] {
        assert!(lines.iter().any(|told| told == line), "{lines:#?}");
    }
    let partners = compiled.partners.as_deref().unwrap();
    let north = partners.iter().find(|partner| partner.name == "North").unwrap();
    assert_eq!(
        (partners.find(north.symbol), compiled.funding_rate_bps(north.symbol, compiled.earn.wallet)),
        (Some(north), 5_000)
    );
}

#[test]
fn broken_partners_show_what_is_wrong() {
    for row in ROWS {
        broken(COALITION, row);
    }
}

const ROWS: &[Row] = &[
    (
        "partners = [\"South\"]",
        "partners = [\"Suoth\"]",
        "32:22: error: there is no partner \"Suoth\"\n  hint: did you mean \"South\"?",
    ),
    (
        "partners = [\"South\"]",
        "partners = [\"Elsewhere\"]",
        "32:22: error: there is no partner \"Elsewhere\"\n  hint: the partners of this file: North, South",
    ),
    (
        "stores = [\"s1\"]",
        "stores = [\"sl\"]",
        "32:42: error: no partner of this file has a store \"sl\"\n  hint: did you mean \"s1\"?",
    ),
    (
        "partner = \"North\"\nwarn",
        "partner = \"north\"\nwarn",
        "37:11: error: there is no partner \"north\"\n  hint: did you mean \"North\"?",
    ),
    (
        "name = \"South\"",
        "name = \"North\"",
        "24:8: error: partner \"North\" is declared on line 17 already\n\
         32:22: error: there is no partner \"South\"\n  hint: the partners of this file: North, North",
    ),
    (
        "burns = [{ wallet = \"points\" }]",
        "burns = [{ wallet = \"pionts\" }]",
        "20:21: error: there is no wallet \"pionts\"\n  hint: did you mean \"points\"?",
    ),
    (
        "until = 2026-06-30 }",
        "until = 2026-06-30 }, { wallet = \"points\", from = 2026-06-30 }",
        "19:64: error: partner \"North\" earns points by two rights at a time: this one overlaps the one on line 19",
    ),
    (
        "until = 2026-06-30 }",
        "until = 2026-06-30, from = 2026-07-01 }",
        "19:39: error: the right ends on 2026-06-30, before it begins on 2026-07-01",
    ),
    ("{ name = \"n2\" }", "{ name = \"n1\" }", "18:63: error: store \"n1\" is listed twice for partner \"North\""),
    ("\"t1\", \"t2\"", "\"t1\", \"t1\"", "18:45: error: terminal \"t1\" is listed twice for store \"n1\""),
    ("{ name = \"n2\" }", "{ terminals = [\"t3\"] }", "18:54: error: [[partners.stores]] lacks `name`"),
    (
        "{ name = \"s1\" }",
        "{ name = \"s1\" }, { name = \"n2\" }",
        "25:37: warning: store \"n2\" is one of partner \"North\" too, on line 18: rules for it mean both",
    ),
    (
        "earns = [{ wallet = \"points\" }]\nredemption_rate_bps = 4_500\n",
        "",
        "24:8: warning: partner \"South\" may neither earn nor burn\n  \
         hint: write for example earns = [{ wallet = \"points\" }]\n\
         39:8: error: expectation \"south\" does not hold: The partner may not issue these units at the time of the event.\n  \
         hint: an expectation states `partner`, and of a basket `store` and perhaps `terminal`",
    ),
    ("[50, 80]", "[80, 50]", "38:17: error: `warnings` ascends, but 50 comes after what is no less"),
    ("[50, 80]", "[0]", "38:13: error: `warnings` lists whole numbers from 1 to 100"),
    ("[50, 80]", "[]", "38:12: error: `warnings` lists 0, but must list from 1 to 8"),
    ("[50, 80]", "50", "38:12: error: `warnings` must be a list of whole numbers, not a whole number"),
    (
        "store = \"n1\"\nterminal = \"t1\"\n",
        "store = \"n1\"\nterminal = \"t3\"\n",
        "48:8: error: expectation \"north's right ended\" does not hold: The partner has no such store, or the store no such \
         terminal.\n  hint: an expectation states `partner`, and of a basket `store` and perhaps `terminal`",
    ),
    (
        "at = 2026-07-01T00:00:00\nunits = 0",
        "at = 2026-06-30T00:00:00\nunits = 0",
        "55:11: error: expectation \"north's right ended\" does not hold: it is not refused",
    ),
    (
        "units = 0\nrefused",
        "units = 5\nrefused",
        "54:9: error: what is refused earns nothing\n  hint: write units = 0, or leave `refused` out",
    ),
    (
        "funding_rate_bps = 5_000",
        "funding_rate_bps = 0.5",
        "21:20: error: `funding_rate_bps` must be a whole number, not a floating-point number\n  \
         hint: there are no fractions in this file: state an amount in minor units (150 for 1.50 USD), a multiplier as a string",
    ),
];

#[test]
fn a_budget_keeps_its_partner() {
    let program = |source: &str, version: u32| {
        let at = TimestampNs(i64::from(version));
        std::sync::Arc::new(compile(source, ProgramVersion(version), at, &mut SymbolTable::new()).unwrap())
    };
    let mut programs = Programs::new();
    programs.append(program(COALITION, 1)).unwrap();
    let other = COALITION.replacen("partner = \"North\"\nwarn", "warn", 1);
    assert_eq!(
        programs.append(program(&other, 2)).unwrap_err().to_string(),
        "\"north-spring\" counts something else in version 1; give the new counter another name"
    );
    programs.append(program(&COALITION.replacen("1_000\npartner", "2_000\npartner", 1), 2)).unwrap();
}
