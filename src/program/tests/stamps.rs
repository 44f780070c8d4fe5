//! Stamp cards: what files say of them, and what they may not say.

use super::broken::{Row, broken};
use super::*;
use crate::ledger::program::{StampReward, StampsCounted, VoucherIndex};

const CAFE: &str = r#"[program]
name = "corner"
currency = "EUR"
time_zone = "Europe/Vienna"

[[wallets]]
name = "points"

[earn]
wallet = "points"
units = 1
per_minor = 100
rounding = "floor"
stacking = "best-of"
exclude = { category = ["gift"] }

[[vouchers]]
name = "coffee"
text = "a free coffee"
valid_days = 14

[[stamps]]
name = "ten-coffees"
of = { category = ["coffee", "tea"] }
count = 10
voucher = "coffee"

[[stamps]]
name = "visits"
counts = "baskets"
when = { eligible_minor_min = 500 }
count = 5
units = 40
window = "month"

[[expect]]
name = "the tenth coffee on the fifth visit"
stamps = { ten-coffees = 9, visits = 4 }
lines = [{ category = "coffee", amount_minor = 500 }]
units = 45
because = ["ten-coffees", "visits"]

[[expect]]
name = "another visit"
lines = [{ category = "cake", amount_minor = 500 }]
units = 5
because = []
"#;

fn compiled(source: &str) -> (Program, SymbolTable) {
    let mut symbols = SymbolTable::new();
    let program = compile(source, ProgramVersion(1), TimestampNs(0), &mut symbols);
    (program.unwrap_or_else(|error| panic!("{error:?}")), symbols)
}

#[test]
fn a_card_says_what_counts_and_what_a_full_one_gives() {
    assert_eq!(shown(CAFE), "");
    let (program, symbols) = compiled(CAFE);
    let [coffees, visits] = program.stamps.as_slice() else { panic!("{:?}", program.stamps) };
    let symbol = |text| symbols.symbol(text).unwrap();
    assert_eq!((coffees.symbol, coffees.given), (symbol("ten-coffees"), symbol("ten-coffees.given")));
    assert_eq!(coffees.of, Some((Attribute::Category, vec![symbol("coffee"), symbol("tea")])));
    assert_eq!((coffees.counts, coffees.size), (StampsCounted::Items, 10));
    assert_eq!((coffees.reward, coffees.window), (StampReward::Voucher(VoucherIndex(0)), CalendarWindow::Lifetime));
    assert_eq!((&visits.of, visits.counts, visits.size), (&None, StampsCounted::Baskets, 5));
    assert_eq!((visits.reward, visits.window), (StampReward::Units(40), CalendarWindow::Month));
    assert_eq!(visits.when.eligible_minor_min, 500);
    let told = summary(&program).join("\n");
    let lines = [
        "stamps ten-coffees: 1 for each piece of 2 categories; 10 give the voucher coffee",
        "stamps visits: 1 for each basket, with at least 5.00 EUR eligible; 5 give 40 points; a card that is not full when the month ends is lost",
    ];
    for line in lines {
        assert!(told.contains(line), "{told}");
    }
}

/// Whether a card counts pieces or baskets, and when it ends, stays as it is under its name; which lines it counts, its size and
/// what it gives may change.
#[test]
fn a_later_version_keeps_what_a_card_counts() {
    let rows = [
        ("count = 10", "count = 8", None),
        ("units = 40", "voucher = \"coffee\"", None),
        ("window = \"month\"", "window = \"year\"", Some("visits")),
        ("counts = \"baskets\"\n", "", Some("visits")),
        // A shop takes new kinds of coffee into its list.
        ("\"coffee\", \"tea\"", "\"coffee\", \"matcha\"", None),
        ("eligible_minor_min = 500", "eligible_minor_min = 400", None),
    ];
    let bare = CAFE.split("[[expect]]").next().unwrap();
    for (old, new, culprit) in rows {
        let next = bare.replacen(old, new, 1);
        assert_ne!(next, bare, "{old}");
        let mut programs = Programs::new();
        programs.append(compiled(bare).0.into()).unwrap();
        let later = Program { version: ProgramVersion(2), effective_at: TimestampNs(9), ..compiled(&next).0 };
        let error = programs.append(later.into()).err().map(|error| error.to_string());
        let told = culprit
            .map(|name| format!("\"{name}\" counts something else in version 1; give the new counter another name"));
        assert_eq!(error, told, "{old} -> {new}");
    }
}

/// Cards belong to the largest basket. Those that were published before they did still judge.
#[test]
fn what_cards_give_to_the_largest_basket_is_bounded() {
    let bare = CAFE.split("[[expect]]").next().unwrap();
    let one = "[[stamps]]\nname = \"each\"\ncount = 1\nunits = 1_000_000\n";
    let source = format!("{bare}{one}");
    let told = "39:9: error: with this stamp card one basket could earn more than 1_000_000_000_000_000_000 units\n  \
                hint: give less for a full card, have it take more stamps, or count baskets";
    assert_eq!(shown(&source), told);
    let (version, at, symbols) = (ProgramVersion(1), TimestampNs(0), &mut SymbolTable::new());
    assert_eq!(compile_published(&source, version, at, symbols).map(|program| program.stamps.len()), Ok(3));
    let of_baskets = source.replacen("count = 1\n", "count = 1\ncounts = \"baskets\"\n", 1);
    assert_eq!(shown(&of_baskets), "");
    // Two that each would pass.
    let half = one.replacen("1_000_000", "600_000", 1);
    assert_eq!(shown(&format!("{bare}{half}")), "");
    let both = format!("{bare}{half}{}", half.replacen("each", "every", 1));
    assert_eq!(shown(&both).matches("one basket could earn more than").count(), 1, "{}", shown(&both));
}

#[test]
fn broken_cards_show_what_is_wrong() {
    for row in ROWS {
        broken(CAFE, row);
    }
}

const ROWS: &[Row] = &[
    (
        "voucher = \"coffee\"",
        "voucher = \"cofee\"",
        "26:11: error: there is no voucher \"cofee\"\n  hint: did you mean \"coffee\"?",
    ),
    (
        "voucher = \"coffee\"",
        "voucher = \"coffee\"\nunits = 5",
        "22:1: error: a full card gives `units` or a `voucher`, not both\n  hint: units = 100 are granted, voucher = \"free-cup\" gives a voucher",
    ),
    (
        "units = 40\n",
        "",
        "28:1: error: a stamp card does not say what a full one gives\n  hint: units = 100 are granted, voucher = \"free-cup\" gives a voucher\n37:29: error: there is no stamp card \"visits\"",
    ),
    (
        "count = 10",
        "count = 0",
        "25:9: error: `count` is 0, but must be from 1 to 1_000\n38:26: error: a card of 1 that is not full has from 0 to 0",
    ),
    ("count = 10\n", "", "22:1: error: [[stamps]] lacks `count`\n37:12: error: there is no stamp card \"ten-coffees\""),
    (
        "name = \"visits\"",
        "name = \"ten-coffees\"",
        "29:8: error: the name `ten-coffees` is taken by the stamp card on line 23\n38:29: error: there is no stamp card \"visits\"\n41:27: error: there is no rule, bonus or stamp card \"visits\"",
    ),
    (
        "counts = \"baskets\"",
        "counts = \"basket\"",
        "30:10: error: `counts` must be one of \"items\", \"baskets\", not \"basket\"\n  hint: did you mean \"baskets\"?",
    ),
    (
        "of = { category = [\"coffee\", \"tea\"] }",
        "of = { category = [\"gift\"] }",
        "23:8: error: stamp card `ten-coffees` never fills: [earn] excludes every category that it counts\n  hint: line 15 excludes \"gift\"",
    ),
    (
        "of = { category = [\"coffee\", \"tea\"] }",
        "of = { category = [\"coffee\", \"gift\", \"coffee\"] }",
        "24:30: warning: stamp card `ten-coffees` never counts category \"gift\": line 15 excludes it\n24:38: warning: category \"coffee\" is listed twice",
    ),
    (
        "of = { category = [\"coffee\", \"tea\"] }",
        "of = { category = [\"coffee\"], sku = [\"tea\"] }",
        "24:6: error: `of` must name exactly one attribute, not 2\n  hint: values of several attributes are not counted together",
    ),
    (
        "of = { category = [\"coffee\", \"tea\"] }",
        "of = { }",
        "24:6: error: `of` must name exactly one attribute, not 0\n  hint: for example: of = { brand = [\"House\"] }; without `of` every line counts\n38:12: error: there is no stamp card \"ten-coffees\"",
    ),
    (
        "when = { eligible_minor_min = 500 }",
        "when = { from = 2026-06-02, until = 2026-06-01 }",
        "31:37: error: stamp card `visits` never counts: it ends on 2026-06-01, before it begins on 2026-06-02",
    ),
    (
        "window = \"month\"",
        "window = \"anniversary\"",
        "34:10: error: `window` must be one of \"hour\", \"day\", \"week\", \"month\", \"year\", \"lifetime\", not \"anniversary\"",
    ),
    (
        "stamps = { ten-coffees = 9, visits = 4 }",
        "stamps = { ten-coffee = 9, visits = 5 }",
        "38:12: error: there is no stamp card \"ten-coffee\"\n  hint: did you mean \"ten-coffees\"?\n38:37: error: a card of 5 that is not full has from 0 to 4",
    ),
    (
        "stamps = { ten-coffees = 9, visits = 4 }",
        "stamps = { ten-coffees = 8, visits = \"4\" }",
        "38:38: error: `visits` must be a whole number, not a string",
    ),
    (
        "units = 45\nbecause",
        "units = 44\nbecause",
        "40:9: error: expectation \"the tenth coffee on the fifth visit\" does not hold: the basket earns 45, not 44\n  hint: line 1: 500 minor units, base rate; stamp card `ten-coffees`: 1 counted, 1 times full; stamp card `visits`: 1 counted, 1 times full",
    ),
    (
        "[[expect]]\nname = \"the tenth",
        "[[caps]]\nname = \"daily\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 30\n[[expect]]\nname = \"the tenth",
        "40:9: warning: cap `daily` of 30 is below stamp card `visits` of 40 units, which it always clips\n  hint: raise the limit to 40 at least, or have stamp card `visits` give less",
    ),
];
