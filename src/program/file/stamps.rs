//! `[[stamps]]`: cards that fill with stamps.
//!
//! What must stay true: a card has one name among counters, for its stamps, and one among rules, for reasons; a full card
//! gives units or a voucher, never both.

use super::rules::read_match;
use super::when::{Known, WhenEntry, read_when};
use super::{CALENDAR_WINDOWS, Names};
use crate::ledger::program::{Attribute, CalendarWindow, StampsCounted};
use crate::limits;
use crate::program::problem::Finding;
use crate::program::table::{At, TableReader};

/// `[[stamps]]`.
#[derive(Debug)]
pub(in crate::program) struct StampEntry {
    pub(in crate::program) name: At<String>,
    /// What identifies the counter of rewards: no name of a file has a full stop.
    pub(in crate::program) given: At<String>,
    /// `None` for every eligible line.
    pub(in crate::program) matched: Option<(Attribute, Vec<At<String>>)>,
    pub(in crate::program) when: Option<WhenEntry>,
    pub(in crate::program) counts: StampsCounted,
    pub(in crate::program) count: i64,
    pub(in crate::program) reward: FullCard,
    pub(in crate::program) window: CalendarWindow,
}

/// What a full card gives.
#[derive(Debug)]
pub(in crate::program) enum FullCard {
    Units(At<i64>),
    Voucher(At<String>),
}

impl StampEntry {
    /// The values that the card lists; none for one that counts every line.
    pub(in crate::program) fn values(&self) -> &[At<String>] {
        self.matched.as_ref().map_or(&[], |(_, values)| values)
    }

    /// The units of a full card, where it gives units.
    pub(in crate::program) fn units(&self) -> Option<&At<i64>> {
        match &self.reward {
            FullCard::Units(units) => Some(units),
            FullCard::Voucher(_) => None,
        }
    }
}

const COUNTED: [(&str, StampsCounted); 2] = [("items", StampsCounted::Items), ("baskets", StampsCounted::Baskets)];

pub(super) fn read_stamps(
    mut entry: TableReader<'_, '_>,
    rule_names: &mut Names,
    counter_names: &mut Names,
    (known, vouchers): (&Known<'_>, &Names),
) -> Option<StampEntry> {
    entry.require(&["name", "count"]);
    let name = entry.name("name");
    if let Some(name) = &name
        && counter_names.claim(entry.problems, "stamp card", name)
    {
        rule_names.claim(entry.problems, "stamp card", name);
    }
    let states_lines = entry.has("of");
    let matched = entry.table("of", "`of`").and_then(|table| read_match(table, "of"));
    let when = entry.table("when", "`when`").and_then(|table| read_when(table, known));
    let counts = entry.word("counts", &COUNTED).map_or(StampsCounted::Items, At::into_inner);
    let count = entry.integer("count", 1..=limits::STAMP_CARD_SIZE_MAX);
    let reward = read_reward(&mut entry, vouchers);
    let window = entry.word("window", &CALENDAR_WINDOWS).map_or(CalendarWindow::Lifetime, At::into_inner);
    entry.finish();
    if states_lines && matched.is_none() {
        return None;
    }
    let name = name?;
    let given = At::new(name.span(), format!("{}.given", name.get_ref()));
    Some(StampEntry { name, given, matched, when, counts, count: count?.into_inner(), reward: reward?, window })
}

/// `units` or `voucher`.
fn read_reward(entry: &mut TableReader<'_, '_>, vouchers: &Names) -> Option<FullCard> {
    if entry.has("units") == entry.has("voucher") {
        let message = match entry.has("units") {
            true => "a full card gives `units` or a `voucher`, not both",
            false => "a stamp card does not say what a full one gives",
        };
        let finding = Finding::error(entry.at(), message);
        entry.problems.push(finding.hint("units = 100 are granted, voucher = \"free-cup\" gives a voucher"));
    }
    let units = entry.integer("units", 1..=limits::EARN_RATE_PART_MAX);
    let voucher = entry.text("voucher", 0..=usize::MAX);
    if let Some(voucher) = &voucher {
        vouchers.check_known(entry.problems, "voucher", voucher);
    }
    units.map(FullCard::Units).or(voucher.map(FullCard::Voucher))
}
