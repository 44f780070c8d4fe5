//! `[[rewards]]`: what members can have for their units.
//!
//! What must stay true: a reward has one name among counters, for its stock; the level that it asks for is one of the ladder.

use super::Names;
use crate::ledger::types::Day;
use crate::limits;
use crate::program::problem::Finding;
use crate::program::suggest::nearest;
use crate::program::table::{At, TableReader};

/// `[[rewards]]`.
#[derive(Debug)]
pub(in crate::program) struct RewardEntry {
    pub(in crate::program) name: At<String>,
    /// The wallet; `None` for that which earns.
    pub(in crate::program) wallet: Option<At<String>>,
    pub(in crate::program) price: At<i64>,
    pub(in crate::program) stock: Option<i64>,
    /// The least level.
    pub(in crate::program) tier: Option<At<String>>,
    pub(in crate::program) from: Option<Day>,
    pub(in crate::program) until: Option<Day>,
}

pub(super) fn read_reward(
    mut entry: TableReader<'_, '_>,
    counter_names: &mut Names,
    wallet_names: &Names,
    levels: &[String],
) -> Option<RewardEntry> {
    entry.require(&["name", "price"]);
    let name = entry.name("name");
    if let Some(name) = &name {
        counter_names.claim(entry.problems, "reward", name);
    }
    let wallet = entry.text("wallet", 0..=usize::MAX);
    if let Some(wallet) = &wallet {
        wallet_names.check_known(entry.problems, "wallet", wallet);
    }
    let price = entry.integer("price", 1..=limits::UNITS_MAX);
    let stock = entry.integer("stock", 0..=limits::UNITS_MAX);
    if let Some(stock) = stock.as_ref().filter(|stock| *stock.get_ref() == 0) {
        entry.problems.push(Finding::warning(&stock.span(), "with a stock of 0 nobody can have it"));
    }
    let tier = entry.text("tier", 0..=usize::MAX);
    if let Some(tier) = &tier {
        check_level(&mut entry, tier, levels);
    }
    let (from, until) = (entry.date("from"), entry.date("until"));
    if let (Some(from), Some(until)) = (&from, &until)
        && from.get_ref() > until.get_ref()
    {
        let [from_text, until_text] = [from, until].map(|day| entry.problems.text(&day.span()));
        let message = format!("the reward ends on {until_text}, before it begins on {from_text}");
        entry.problems.push(Finding::error(&until.span(), message));
    }
    entry.finish();
    let (from, until) = (from.map(At::into_inner), until.map(At::into_inner));
    Some(RewardEntry { name: name?, wallet, price: price?, stock: stock.map(At::into_inner), tier, from, until })
}

fn check_level(entry: &mut TableReader<'_, '_>, tier: &At<String>, levels: &[String]) {
    if levels.contains(tier.get_ref()) {
        return;
    }
    let finding = Finding::error(&tier.span(), format!("there is no level {:?}", tier.get_ref()));
    entry.problems.push(match nearest(tier.get_ref(), levels.iter().map(String::as_str)) {
        Some(level) => finding.hint(format!("did you mean \"{level}\"?")),
        None if levels.is_empty() => finding.hint("the file has no [tiers]"),
        None => finding.hint(format!("the levels of this file: {}", levels.join(", "))),
    });
}
