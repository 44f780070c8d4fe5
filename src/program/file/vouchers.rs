//! `[[vouchers]]`: what each is worth, from when and how long it can be used, and by how large a basket.
//!
//! What must stay true: a voucher says what it is worth in exactly one way, and for how long in exactly one.

use super::Names;
use crate::ledger::program::{Validity, Worth};
use crate::limits;
use crate::program::problem::Finding;
use crate::program::table::{At, TableReader};

/// `[[vouchers]]`.
#[derive(Debug)]
pub(in crate::program) struct VoucherEntry {
    pub(in crate::program) name: At<String>,
    pub(in crate::program) worth: Worth,
    pub(in crate::program) starts_next_day: bool,
    pub(in crate::program) validity: Validity,
    pub(in crate::program) minor_min: i64,
}

const WORTHS: [&str; 3] = ["value_minor", "percent_bps", "text"];
const VALIDITIES: [&str; 2] = ["valid_days", "valid_hours"];

pub(super) fn read_voucher(mut entry: TableReader<'_, '_>, names: &mut Names) -> Option<VoucherEntry> {
    entry.require(&["name"]);
    let name = entry.name("name");
    if let Some(name) = &name {
        names.claim(entry.problems, "voucher", name);
    }
    check_one(
        &mut entry,
        &WORTHS,
        "what it is worth",
        "value_minor = 500, percent_bps = 1_000 or text = \"a free coffee\"",
    );
    check_one(&mut entry, &VALIDITIES, "how long it is good", "valid_days = 14 or valid_hours = 48");
    let value = entry.integer("value_minor", 1..=limits::LINE_AMOUNT_MINOR_MAX);
    let percent = entry.integer("percent_bps", 1..=limits::VOUCHER_PERCENT_BPS_MAX);
    let text = entry.text("text", 1..=limits::VOUCHER_TEXT_BYTES_MAX);
    let starts = entry.word("starts", &[("at-once", false), ("next-day", true)]);
    let days = entry.integer("valid_days", 1..=limits::EXPIRY_DAYS_MAX);
    let hours = entry.integer("valid_hours", 1..=24 * limits::EXPIRY_DAYS_MAX);
    let minor_min = entry.integer("basket_minor_min", 1..=limits::LINE_AMOUNT_MINOR_MAX);
    entry.finish();
    let worth = match (value, percent, text) {
        (Some(value), _, _) => Worth::Value(value.into_inner()),
        (_, Some(percent), _) => Worth::Percent(percent.into_inner()),
        (_, _, text) => Worth::Text(text?.into_inner()),
    };
    let validity = match (days, hours) {
        (Some(days), _) => Validity::Days(u16::try_from(days.into_inner()).expect("the days were checked")),
        (None, hours) => Validity::Hours(u32::try_from(hours?.into_inner()).expect("the hours were checked")),
    };
    let starts_next_day = starts.is_some_and(At::into_inner);
    Some(VoucherEntry { name: name?, worth, starts_next_day, validity, minor_min: minor_min.map_or(0, At::into_inner) })
}

/// Reports a table that states none of some keys, or several.
fn check_one(entry: &mut TableReader<'_, '_>, keys: &[&str], what: &str, hint: &str) {
    let count = keys.iter().filter(|key| entry.has(key)).count();
    if count != 1 {
        let message = format!("a voucher says {what} by exactly one of {} keys, not {count}", keys.len());
        let finding = Finding::error(entry.at(), message);
        entry.problems.push(finding.hint(hint));
    }
}
