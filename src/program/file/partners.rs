//! `[[partners]]`: brands with their stores, what each may earn and burn, and the rates at which they pay.
//!
//! What must stay true: a value that is unfit by itself has been reported here; what several partners and the rest of the
//! file mean together is judged in `check`.

use super::Names;
use crate::ledger::types::Day;
use crate::limits;
use crate::program::problem::Finding;
use crate::program::table::{At, TableReader};

/// `[[partners]]`.
#[derive(Debug)]
pub(in crate::program) struct PartnerEntry {
    pub(in crate::program) name: At<String>,
    pub(in crate::program) stores: Vec<StoreEntry>,
    pub(in crate::program) earns: Vec<RightEntry>,
    pub(in crate::program) burns: Vec<RightEntry>,
    pub(in crate::program) funding_rate_bps: u32,
    pub(in crate::program) redemption_rate_bps: u32,
}

/// `[[partners.stores]]`.
#[derive(Debug)]
pub(in crate::program) struct StoreEntry {
    pub(in crate::program) name: At<String>,
    /// None listed means any.
    pub(in crate::program) terminals: Vec<At<String>>,
}

/// One of `earns` or `burns`.
#[derive(Debug)]
pub(in crate::program) struct RightEntry {
    pub(in crate::program) wallet: At<String>,
    pub(in crate::program) from: Option<At<Day>>,
    pub(in crate::program) until: Option<At<Day>>,
}

impl PartnerEntry {
    /// All names that a decision compares.
    pub(in crate::program) fn names(&self) -> impl Iterator<Item = &At<String>> {
        let of_stores = self.stores.iter().flat_map(|store| std::iter::once(&store.name).chain(&store.terminals));
        std::iter::once(&self.name).chain(of_stores)
    }
}

pub(super) fn read_partner(mut entry: TableReader<'_, '_>, wallet_names: &Names) -> Option<PartnerEntry> {
    entry.require(&["name"]);
    let name = entry.text("name", 1..=limits::SYMBOL_BYTES_MAX);
    let mut stores = Vec::new();
    entry.each_table("stores", "[[partners.stores]]", limits::PARTNER_STORES_MAX, |store| {
        stores.extend(read_store(store));
    });
    let [earns, burns] = [("earns", "`earns`"), ("burns", "`burns`")].map(|(key, noun)| {
        let mut rights = Vec::new();
        entry.each_table(key, noun, limits::PARTNER_RIGHTS_MAX, |right| {
            rights.extend(read_right(right, wallet_names));
        });
        rights
    });
    let [funding_rate_bps, redemption_rate_bps] = ["funding_rate_bps", "redemption_rate_bps"].map(|key| {
        let rate = entry.integer(key, 0..=limits::PARTNER_RATE_BPS_MAX).map_or(0, At::into_inner);
        u32::try_from(rate).expect("the rate was checked")
    });
    entry.finish();
    Some(PartnerEntry { name: name?, stores, earns, burns, funding_rate_bps, redemption_rate_bps })
}

fn read_store(mut entry: TableReader<'_, '_>) -> Option<StoreEntry> {
    entry.require(&["name"]);
    let name = entry.text("name", 1..=limits::SYMBOL_BYTES_MAX);
    let terminals = entry.texts_of("terminals", 1..=limits::SYMBOL_BYTES_MAX).unwrap_or_default();
    entry.finish();
    Some(StoreEntry { name: name?, terminals })
}

fn read_right(mut entry: TableReader<'_, '_>, wallet_names: &Names) -> Option<RightEntry> {
    entry.require(&["wallet"]);
    let wallet = entry.text("wallet", 0..=usize::MAX);
    if let Some(wallet) = &wallet {
        wallet_names.check_known(entry.problems, "wallet", wallet);
    }
    let (from, until) = (entry.date("from"), entry.date("until"));
    if let (Some(from), Some(until)) = (&from, &until)
        && from.get_ref() > until.get_ref()
    {
        let [from_text, until_text] = [from, until].map(|day| entry.problems.text(&day.span()));
        let message = format!("the right ends on {until_text}, before it begins on {from_text}");
        entry.problems.push(Finding::error(&until.span(), message));
    }
    entry.finish();
    Some(RightEntry { wallet: wallet?, from, until })
}

/// `warnings = [50, 80]`: percentages of a budget.
pub(super) fn read_warnings(entry: &mut TableReader<'_, '_>) -> Vec<u8> {
    let levels = entry.ascending("warnings", 1..=100, limits::BUDGET_WARNINGS_MAX);
    levels.into_iter().map(|percent| u8::try_from(percent).expect("the level was checked")).collect()
}
