//! Wallets of money: what files say of them, and what they may not say.

use super::broken::{Row, broken};
use super::*;
use crate::ledger::money::MoneyTerms;
use crate::ledger::types::WalletId;
use crate::program::registry::Programs;

const CARD: &str = r#"[program]
name = "corner"
currency = "USD"
time_zone = "UTC"

[[wallets]]
name = "points"

[[wallets]]
name = "card"
kind = "money"
scale = 2
balance_max = 50_000
top_up_min = 500
top_up_max = 20_000

[earn]
wallet = "points"
units = 1
per_minor = 100
rounding = "floor"
stacking = "best-of"
expiry = { after_days = 60 }
"#;

fn compiled(source: &str, version: u32, symbols: &mut SymbolTable) -> Program {
    let effective_at = TimestampNs(i64::from(version));
    compile(source, ProgramVersion(version), effective_at, symbols).unwrap_or_else(|error| panic!("{error:?}"))
}

#[test]
fn a_wallet_of_money_says_what_may_be_paid_in() {
    let rows = [
        (CARD.to_owned(), MoneyTerms { top_up_min: 500, top_up_max: 20_000 }),
        (CARD.replace("top_up_min = 500\ntop_up_max = 20_000\n", ""), MoneyTerms { top_up_min: 1, top_up_max: 50_000 }),
    ];
    for (source, terms) in rows {
        assert_eq!(shown(&source), "");
        let program = compiled(&source, 1, &mut SymbolTable::new());
        let of = |wallet: u8| program.money(WalletId(wallet));
        assert_eq!([of(0), of(1), of(2)], [None, Some(terms), None]);
    }
}

#[test]
fn broken_wallets_of_money_show_what_is_wrong() {
    for row in ROWS {
        broken(CARD, row);
    }
}

const ROWS: &[Row] = &[
    (
        "wallet = \"points\"",
        "wallet = \"card\"",
        "18:10: error: wallet `card` holds money, which is paid in: it neither is earned nor expires\n  \
         hint: have [earn] name a wallet of points, for example [[wallets]] name = \"points\"",
    ),
    (
        "kind = \"money\"\n",
        "",
        "13:14: error: only money is paid in, and the wallet is one of points\n  \
         hint: leave it out, or write kind = \"money\"\n\
         14:14: error: only money is paid in, and the wallet is one of points\n  \
         hint: leave it out, or write kind = \"money\"",
    ),
    (
        "kind = \"money\"",
        "kind = \"mony\"",
        "11:8: error: `kind` must be one of \"points\", \"money\", not \"mony\"\n  \
         hint: did you mean \"money\"?\n\
         14:14: error: only money is paid in, and the wallet is one of points\n  \
         hint: leave it out, or write kind = \"money\"\n\
         15:14: error: only money is paid in, and the wallet is one of points\n  \
         hint: leave it out, or write kind = \"money\"",
    ),
    (
        "top_up_max = 20_000",
        "top_up_max = 499",
        "15:14: error: at least 500 are to be paid in at once, and at most 499",
    ),
    (
        "top_up_min = 500\ntop_up_max = 20_000",
        "top_up_min = 50_001",
        "14:14: error: at least 50_001 are to be paid in at once, and at most 50_000",
    ),
    (
        "top_up_max = 20_000",
        "top_up_max = 50_001",
        "15:14: warning: 50_001 can never be paid in at once: the wallet holds at most 50_000",
    ),
    (
        "top_up_min = 500",
        "top_up_min = 0",
        "14:14: error: `top_up_min` is 0, but must be from 1 to 1_000_000_000_000_000_000",
    ),
];

#[test]
fn a_later_version_leaves_money_money() {
    let mut symbols = SymbolTable::new();
    let mut programs = Programs::new();
    programs.append(compiled(CARD, 1, &mut symbols).into()).expect("the first version");
    let as_points = CARD.replace("kind = \"money\"\n", "").replace("top_up_min = 500\ntop_up_max = 20_000\n", "");
    let refused = programs.append(compiled(&as_points, 2, &mut symbols).into());
    let sentence = refused.expect_err("what was paid in stays money").to_string();
    assert_eq!(sentence, "wallet number 2, \"card\", stays one of money");
    let other_bounds = CARD.replace("top_up_max = 20_000", "top_up_max = 900");
    programs.append(compiled(&other_bounds, 2, &mut symbols).into()).expect("bounds may change");
}
