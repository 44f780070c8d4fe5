//! Partners in words: how many stores, which rights, which rates.
//!
//! What must stay true: the number of lines is bounded, however many partners there are.

use super::{LISTED_RULES_MAX, date};
use crate::ledger::program::{Partner, Program, Right};
use crate::ledger::types::SymbolId;
use crate::program::table::{decimal, grouped};

/// Decimal places that a rate in basis points adds to minor units.
const BPS_DECIMALS: u32 = 4;

/// One line for each partner; "and 5 more partners".
pub(super) fn lines(program: &Program) -> Vec<String> {
    let Some(partners) = program.partners.as_deref() else { return Vec::new() };
    let mut listed: Vec<&Partner> = partners.iter().collect();
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    let mut lines: Vec<String> = listed.iter().take(LISTED_RULES_MAX).map(|partner| line(partner, program)).collect();
    if listed.len() > LISTED_RULES_MAX {
        lines.push(format!("and {} more partners", listed.len() - LISTED_RULES_MAX));
    }
    lines
}

fn line(partner: &Partner, program: &Program) -> String {
    let stores = match partner.stores.len() {
        0 => "no store".to_owned(),
        1 => "1 store".to_owned(),
        count => format!("{} stores", grouped(i64::try_from(count).unwrap_or(i64::MAX), ',')),
    };
    let rate = |rate_bps: u32| decimal(i128::from(rate_bps), BPS_DECIMALS, 0);
    let mut parts = vec![stores];
    parts.push(rights("earns", &partner.earns, program));
    parts.push(rights("burns", &partner.burns, program));
    if partner.funding_rate_bps > 0 {
        parts.push(format!("pays {} minor units per unit issued", rate(partner.funding_rate_bps)));
    }
    if partner.redemption_rate_bps > 0 {
        parts.push(format!("receives {} per unit burned", rate(partner.redemption_rate_bps)));
    }
    format!("partner {}: {}", partner.name, parts.join("; "))
}

/// "earns points until 2026-06-30", "burns nothing".
fn rights(what: &str, rights: &[Right], program: &Program) -> String {
    let told = |right: &Right| {
        let name = program.wallets.get(usize::from(right.wallet.0)).map_or("", |wallet| wallet.name.as_str());
        let from = right.from.map_or_else(String::new, |day| format!(" from {}", date(day)));
        let until = right.until.map_or_else(String::new, |day| format!(" until {}", date(day)));
        format!("{name}{from}{until}")
    };
    let told: Vec<String> = rights.iter().map(told).collect();
    if told.is_empty() { format!("{what} nothing") } else { format!("{what} {}", told.join(", ")) }
}

/// " for partner north"; the name is known where the programme declares its partners.
pub(super) fn whose(partner: SymbolId, program: &Program) -> String {
    let found = program.partners.as_deref().and_then(|partners| partners.find(partner));
    found.map_or_else(|| " for one partner".to_owned(), |partner| format!(" for partner {}", partner.name))
}
