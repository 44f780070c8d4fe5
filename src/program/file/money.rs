//! Wallets of money: `kind`, `top_up_min` and `top_up_max` of `[[wallets]]`.
//!
//! What must stay true: only of money is it said what is paid in, and something can be.

use crate::ledger::money::MoneyTerms;
use crate::limits;
use crate::program::problem::Finding;
use crate::program::table::{At, TableReader, stated};

/// What a wallet holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Points,
    Money,
}

/// The terms of a wallet of money, or none of one of points.
pub(super) fn read_money(entry: &mut TableReader<'_, '_>, balance_max: i64) -> Option<MoneyTerms> {
    let kind = entry.word("kind", &[("points", Kind::Points), ("money", Kind::Money)]);
    let least = entry.integer("top_up_min", 1..=limits::UNITS_MAX);
    let most = entry.integer("top_up_max", 1..=limits::UNITS_MAX);
    if kind.map_or(Kind::Points, At::into_inner) == Kind::Points {
        for bound in [&least, &most].into_iter().flatten() {
            let finding = Finding::error(&bound.span(), "only money is paid in, and the wallet is one of points");
            entry.problems.push(finding.hint("leave it out, or write kind = \"money\""));
        }
        return None;
    }
    let top_up_min = least.as_ref().map_or(1, |least| *least.get_ref());
    let top_up_max = most.as_ref().map_or(balance_max, |most| *most.get_ref());
    if let Some(bound) = most.as_ref().or(least.as_ref()).filter(|_| top_up_min > top_up_max) {
        let message =
            format!("at least {} are to be paid in at once, and at most {}", stated(top_up_min), stated(top_up_max));
        entry.problems.push(Finding::error(&bound.span(), message));
    }
    if let Some(most) = most.as_ref().filter(|_| top_up_max > balance_max) {
        let message = format!(
            "{} can never be paid in at once: the wallet holds at most {}",
            stated(top_up_max),
            stated(balance_max)
        );
        entry.problems.push(Finding::warning(&most.span(), message));
    }
    Some(MoneyTerms { top_up_min, top_up_max })
}
