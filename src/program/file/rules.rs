//! `[[rules]]`: what a rule matches, what it does and how it goes together with others.
//!
//! What must stay true: a rule has exactly one effect; a key that would mean nothing beside the others is reported.

use super::when::{Known, WhenEntry, read_when};
use super::{ATTRIBUTE_KEYS, CapEntry, CapOwner, Names, read_attributes, read_cap};
use crate::ledger::program::{Attribute, BPS_ONE, Stacking};
use crate::limits;
use crate::program::problem::Finding;
use crate::program::table::{At, TableReader};

/// What a rule does to a line.
#[derive(Debug)]
pub(in crate::program) enum EffectEntry {
    /// In basis points.
    Multiplier(At<i64>),
    /// Units beside what the amount earns.
    Fixed { units: At<i64>, per_piece: bool },
}

/// `[[rules]]`.
#[derive(Debug)]
pub(in crate::program) struct RuleEntry {
    pub(in crate::program) name: At<String>,
    /// `None` for a rule that matches every eligible line.
    pub(in crate::program) matched: Option<(Attribute, Vec<At<String>>)>,
    pub(in crate::program) effect: EffectEntry,
    pub(in crate::program) stacking: Stacking,
    pub(in crate::program) priority: i32,
    pub(in crate::program) when: Option<WhenEntry>,
    /// Bounds on what the rule gives.
    pub(in crate::program) caps: Vec<CapEntry>,
}

impl RuleEntry {
    /// The values that the rule lists; none for one that matches every line.
    pub(in crate::program) fn values(&self) -> &[At<String>] {
        self.matched.as_ref().map_or(&[], |(_, values)| values)
    }

    /// The multiplier in basis points with its place, for a rule that has one.
    pub(in crate::program) fn multiplier(&self) -> Option<&At<i64>> {
        match &self.effect {
            EffectEntry::Multiplier(bps) => Some(bps),
            EffectEntry::Fixed { .. } => None,
        }
    }

    /// The multiplier of a rule of which the best counts.
    pub(in crate::program) fn best_of_bps(&self) -> Option<i64> {
        self.multiplier().filter(|_| self.stacking == Stacking::BestOf).map(|bps| *bps.get_ref())
    }
}

const STACKINGS: [(&str, Stacking); 4] = [
    ("best-of", Stacking::BestOf),
    ("add", Stacking::Add),
    ("multiply", Stacking::Multiply),
    ("exclusive", Stacking::Exclusive),
];

/// How large a priority may be, on either side of 0.
const PRIORITY_MAX: i64 = 1_000_000;

pub(super) fn read_rule(
    mut entry: TableReader<'_, '_>,
    names: &mut Names,
    counter_names: &mut Names,
    known: &Known<'_>,
) -> Option<RuleEntry> {
    entry.require(&["name"]);
    let name = entry.name("name");
    if let Some(name) = &name {
        names.claim(entry.problems, "rule", name);
    }
    let states_match = entry.has("match");
    let matched = entry.table("match", "`match`").and_then(|table| read_match(table, "match"));
    let effect = read_effect(&mut entry);
    let stacking = entry.word("stacking", &STACKINGS);
    let is_fixed = matches!(effect, Some(EffectEntry::Fixed { .. }));
    if let Some(stacking) = stacking.as_ref().filter(|stacking| is_fixed && *stacking.get_ref() != Stacking::Add) {
        let finding = Finding::error(&stacking.span(), "fixed units are always added");
        entry.problems.push(finding.hint("leave `stacking` out, or write stacking = \"add\""));
    }
    let stacking = stacking.map(At::into_inner);
    let priority = entry.integer("priority", -PRIORITY_MAX..=PRIORITY_MAX);
    if let Some(priority) = priority.as_ref().filter(|_| stacking != Some(Stacking::Exclusive)) {
        let finding = Finding::error(&priority.span(), "`priority` is for exclusive rules alone");
        entry.problems.push(finding.hint("leave it out, or write stacking = \"exclusive\""));
    }
    let when = entry.table("when", "`when`").and_then(|table| read_when(table, known));
    let mut caps = Vec::new();
    entry.each_table("caps", "[[rules.caps]]", limits::PROGRAM_CAPS_MAX, |cap| {
        caps.extend(read_cap(cap, CapOwner::Rule, counter_names));
    });
    entry.finish();
    if states_match && matched.is_none() {
        return None;
    }
    let effect = effect?;
    let stacking = if is_fixed { Stacking::Add } else { stacking.unwrap_or_default() };
    let priority = priority.map_or(0, At::into_inner);
    let priority = i32::try_from(priority).expect("a priority was checked");
    Some(RuleEntry { name: name?, matched, effect, stacking, priority, when, caps })
}

/// The lines that a rule is about, or another table under this key: one attribute and its values.
pub(super) fn read_match(mut table: TableReader<'_, '_>, key: &str) -> Option<(Attribute, Vec<At<String>>)> {
    let stated_count = ATTRIBUTE_KEYS.iter().filter(|(key, _)| table.has(key)).count();
    let lists = read_attributes(&mut table);
    if stated_count != 1 {
        let message = format!("`{key}` must name exactly one attribute, not {stated_count}");
        let finding = Finding::error(table.at(), message);
        table.problems.push(match stated_count {
            0 => finding
                .hint(format!("for example: {key} = {{ brand = [\"House\"] }}; without `{key}` every line counts")),
            _ if key != "match" => finding.hint("values of several attributes are not counted together"),
            _ => finding.hint("write a rule for each attribute: of several that match a line, the best counts"),
        });
    }
    table.finish();
    lists.into_iter().next()
}

/// The effect, from exactly one of the keys that can state it.
fn read_effect(entry: &mut TableReader<'_, '_>) -> Option<EffectEntry> {
    let keys = ["multiplier", "multiplier_bps", "fixed_units"];
    let stated: Vec<String> = keys.iter().filter(|key| entry.has(key)).map(|key| format!("`{key}`")).collect();
    if stated.len() != 1 {
        let message = match stated.as_slice() {
            [] => "[[rules]] lacks `multiplier`".to_owned(),
            [first, second] => format!("a rule states {first} or {second}, not both"),
            _ => "a rule states one effect, not three".to_owned(),
        };
        let hint = "to double, write multiplier = \"2\"; for units beside what the amount earns, fixed_units = 10";
        let finding = Finding::error(entry.at(), message);
        entry.problems.push(finding.hint(hint));
    }
    let multiplier = read_multiplier(entry, "multiplier", Some("multiplier_bps"));
    let fixed_units = entry.integer("fixed_units", 1..=limits::EARN_RATE_PART_MAX);
    let has_per = entry.has("per");
    let per = entry.word("per", &[("line", false), ("piece", true)]);
    let hint = "per = \"line\" counts once for a line, per = \"piece\" once for each piece of it";
    if entry.has("fixed_units") && !has_per {
        entry.problems.push(Finding::error(entry.at(), "[[rules]] states `fixed_units` without `per`").hint(hint));
    }
    if let Some(per) = per.as_ref().filter(|_| !entry.has("fixed_units")) {
        entry.problems.push(Finding::error(&per.span(), "`per` is for `fixed_units` alone").hint("leave it out"));
    }
    match (multiplier, fixed_units) {
        (_, Some(units)) => Some(EffectEntry::Fixed { units, per_piece: per.is_some_and(At::into_inner) }),
        (multiplier, None) => multiplier.map(EffectEntry::Multiplier),
    }
}

/// A multiplier in basis points, from the key that states it in words or the one that states basis points.
pub(super) fn read_multiplier(
    entry: &mut TableReader<'_, '_>,
    key: &'static str,
    bps_key: Option<&'static str>,
) -> Option<At<i64>> {
    let bps = bps_key.and_then(|key| entry.integer(key, 0..=limits::MULTIPLIER_BPS_MAX));
    let Some(text) = entry.decimal_text(key) else { return bps };
    let Some(parsed) = parse_multiplier(text.get_ref()) else {
        let finding = Finding::error(&text.span(), format!("{:?} is not a multiplier", text.get_ref()));
        entry.problems.push(finding.hint("a multiplier has digits and up to 4 decimals, for example \"1.25\""));
        return bps;
    };
    if parsed > limits::MULTIPLIER_BPS_MAX {
        let most = limits::MULTIPLIER_BPS_MAX / BPS_ONE;
        entry.problems.push(Finding::error(&text.span(), format!("`{key}` may be at most \"{most}\"")));
    }
    Some(At::new(text.span(), parsed.min(limits::MULTIPLIER_BPS_MAX)))
}

/// The largest multiplier that the author wants to see; the base rate's is one, so that it cannot be less.
pub(super) fn read_multiplier_max(section: &mut TableReader<'_, '_>) -> Option<i64> {
    let most = read_multiplier(section, "multiplier_max", None)?;
    if *most.get_ref() < BPS_ONE {
        let message = "`multiplier_max` must be at least \"1\": that is what the base rate multiplies by";
        section.problems.push(Finding::error(&most.span(), message));
        return None;
    }
    Some(most.into_inner())
}

/// A decimal number with up to 4 decimals as basis points; one too large for i64 as the largest there is.
fn parse_multiplier(text: &str) -> Option<i64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(decimals) || decimals.len() > 4 {
        return None;
    }
    let ten_thousandths: i64 = format!("{decimals:0<4}").parse().ok()?;
    let whole: i64 = whole.parse().unwrap_or(i64::MAX);
    Some(whole.saturating_mul(BPS_ONE).saturating_add(ten_thousandths))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multipliers_are_exact() {
        let rows = [
            ("0", Some(0)),
            ("1", Some(10_000)),
            ("2", Some(20_000)),
            ("1.25", Some(12_500)),
            ("0.0001", Some(1)),
            ("01.50", Some(15_000)),
            ("1000.0000", Some(10_000_000)),
            ("99999999999999999999", Some(i64::MAX)),
            ("1.00001", None),
            ("", None),
            (".5", None),
            ("1.", None),
            ("1,5", None),
            ("-1", None),
            ("+1", None),
            ("1e3", None),
            (" 1", None),
        ];
        for (text, bps) in rows {
            assert_eq!(parse_multiplier(text), bps, "{text:?}");
        }
    }
}
