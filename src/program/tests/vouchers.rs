//! Vouchers: what files say of them, and what they may not say.

use super::broken::{Row, broken};
use super::*;
use crate::ledger::program::{Validity, VoucherIndex, Worth};
use crate::ledger::types::SymbolId;

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

[[vouchers]]
name = "coffee"
text = "a free coffee"
valid_days = 14

[[vouchers]]
name = "three-off"
value_minor = 300
starts = "next-day"
valid_hours = 48
basket_minor_min = 1_000

[[bonuses]]
name = "next-visit"
voucher = "three-off"

[[bonuses]]
name = "review"
units = 5
voucher = "coffee"
on = { activity = "review" }
"#;

fn compiled(source: &str) -> Program {
    compile(source, ProgramVersion(1), TimestampNs(0), &mut SymbolTable::new())
        .unwrap_or_else(|error| panic!("{error:?}"))
}

#[test]
fn a_voucher_says_what_it_is_worth_and_for_how_long() {
    assert_eq!(shown(CAFE), "");
    let program = compiled(CAFE);
    let [coffee, off] = program.vouchers.as_slice() else { panic!("{:?}", program.vouchers) };
    assert_eq!((coffee.name.as_str(), &coffee.worth), ("coffee", &Worth::Text("a free coffee".to_owned())));
    assert_eq!((coffee.starts_next_day, coffee.validity, coffee.minor_min), (false, Validity::Days(14), 0));
    assert_eq!((off.starts_next_day, off.validity, off.minor_min), (true, Validity::Hours(48), 1_000));
    assert_eq!(off.worth, Worth::Value(300));
    let given: Vec<_> = program.bonuses.iter().map(|bonus| (bonus.units, bonus.voucher)).collect();
    assert_eq!(given, [(0, Some(VoucherIndex(1))), (5, Some(VoucherIndex(0)))]);
    let percent = compiled(&CAFE.replace("value_minor = 300", "percent_bps = 1_000"));
    assert_eq!(percent.vouchers[1].worth, Worth::Percent(1_000));
}

/// Days end with a local day, whatever becomes of the clock in between; hours are hours.
#[test]
fn the_time_of_a_voucher_follows_the_local_day() {
    let at = |text: &str| TimestampNs(i64::try_from(text.parse::<jiff::Timestamp>().unwrap().as_nanosecond()).unwrap());
    let program = compiled(CAFE);
    // The clock goes forward on the 29th of March 2026.
    let rows = [
        (0, "2026-03-20T12:00:00Z", "2026-03-20T12:00:00Z", "2026-04-03T22:00:00Z"),
        (0, "2026-01-05T22:59:59Z", "2026-01-05T22:59:59Z", "2026-01-19T23:00:00Z"),
        (0, "2026-01-05T23:00:00Z", "2026-01-05T23:00:00Z", "2026-01-20T23:00:00Z"),
        (1, "2026-03-28T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-30T23:00:00Z"),
    ];
    for (kind, given_at, starts_at, ends_at) in rows {
        let terms = program.vouchers[kind].terms(&program.zone, SymbolId(7), at(given_at));
        assert_eq!((terms.starts_at, terms.ends_at), (at(starts_at), at(ends_at)), "{given_at}");
    }
}

#[test]
fn broken_vouchers_show_what_is_wrong() {
    for row in ROWS {
        broken(CAFE, row);
    }
}

const ROWS: &[Row] = &[
    (
        "voucher = \"coffee\"",
        "voucher = \"cofee\"",
        "35:11: error: there is no voucher \"cofee\"\n  hint: did you mean \"coffee\"?",
    ),
    (
        "name = \"three-off\"",
        "name = \"coffee\"",
        "22:8: error: the name `coffee` is taken by the voucher on line 17\n30:11: error: there is no voucher \"three-off\"\n  hint: the vouchers of this file: coffee",
    ),
    (
        "valid_days = 14\n",
        "",
        "16:1: error: a voucher says how long it is good by exactly one of 2 keys, not 0\n  hint: valid_days = 14 or valid_hours = 48",
    ),
    (
        "valid_days = 14",
        "valid_days = 14\nvalid_hours = 9",
        "16:1: error: a voucher says how long it is good by exactly one of 2 keys, not 2\n  hint: valid_days = 14 or valid_hours = 48",
    ),
    (
        "text = \"a free coffee\"\n",
        "",
        "16:1: error: a voucher says what it is worth by exactly one of 3 keys, not 0\n  hint: value_minor = 500, percent_bps = 1_000 or text = \"a free coffee\"",
    ),
    (
        "value_minor = 300",
        "value_minor = 300\npercent_bps = 500",
        "21:1: error: a voucher says what it is worth by exactly one of 3 keys, not 2\n  hint: value_minor = 500, percent_bps = 1_000 or text = \"a free coffee\"",
    ),
    (
        "value_minor = 300",
        "percent_bps = 10_001",
        "23:15: error: `percent_bps` is 10_001, but must be from 1 to 10_000",
    ),
    (
        "starts = \"next-day\"",
        "starts = \"tomorrow\"",
        "24:10: error: `starts` must be one of \"at-once\", \"next-day\", not \"tomorrow\"",
    ),
    (
        "name = \"coffee\"\n",
        "",
        "16:1: error: [[vouchers]] lacks `name`\n34:11: error: there is no voucher \"coffee\"\n  hint: the vouchers of this file: three-off",
    ),
    (
        "text =",
        "txet =",
        "16:1: error: a voucher says what it is worth by exactly one of 3 keys, not 0\n  hint: value_minor = 500, percent_bps = 1_000 or text = \"a free coffee\"\n18:1: error: [[vouchers]] has no key `txet`\n  hint: did you mean `text`?",
    ),
];
