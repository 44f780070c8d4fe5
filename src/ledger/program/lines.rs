//! What a line earns by: eligibility, the rules that match it, and how those stack.
//!
//! What must stay true: a rule is found by what a line carries, so that a rule that cannot match costs nothing; the
//! order of rules in the file never changes how many units a line earns.

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::{BPS_ONE, Cap, Conditions};
use crate::ledger::types::{Item, SymbolId, Units};

/// Index into [`LineTable::rules`], in the order of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleIndex(pub u32);

/// How a rule goes together with others that match the same line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stacking {
    /// Of all such rules the one with the largest multiplier counts, in the place of the base rate.
    #[default]
    BestOf,
    /// What the multiplier exceeds one by is added to that of the others.
    Add,
    /// The multiplier multiplies what the others come to.
    Multiply,
    /// The rule alone counts: of several, the one with the highest priority, then the largest multiplier.
    Exclusive,
}

/// What a rule does to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineEffect {
    /// Multiplies what the amount earns. Basis points; 20,000 doubles. 0 to [`crate::limits::MULTIPLIER_BPS_MAX`].
    Multiplier(i64),
    /// Units beside what the amount earns, multiplied by nothing.
    Fixed {
        /// 1 to [`crate::limits::EARN_RATE_PART_MAX`].
        units: Units,
        /// Once for each piece, not once for the line.
        per_piece: bool,
    },
}

/// A rule about lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineRule {
    /// Name in the file, unique in the programme.
    pub name: String,
    /// What it does.
    pub effect: LineEffect,
    /// How it goes together with others. A rule with a fixed effect is always added.
    pub stacking: Stacking,
    /// Among exclusive rules the highest counts.
    pub priority: i32,
    /// What must hold; `None` when nothing must.
    pub when: Option<Box<Conditions>>,
}

impl LineRule {
    /// A rule that multiplies, without conditions, of which the best counts.
    #[must_use]
    pub fn multiplier(name: &str, multiplier_bps: i64) -> Self {
        Self {
            name: name.to_owned(),
            effect: LineEffect::Multiplier(multiplier_bps),
            stacking: Stacking::BestOf,
            priority: 0,
            when: None,
        }
    }

    /// Its multiplier; one for a rule that has none.
    #[must_use]
    pub fn multiplier_bps(&self) -> i64 {
        match self.effect {
            LineEffect::Multiplier(bps) => bps,
            LineEffect::Fixed { .. } => BPS_ONE,
        }
    }
}

/// A rule with caps of its own: bounds on what this rule gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CappedRule {
    /// The rule.
    pub rule: RuleIndex,
    /// Its caps in the order of the file, at least one. What they count is the rule's share of a basket.
    pub caps: Vec<Cap>,
}

/// What a line can be matched by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attribute {
    /// Stock keeping unit.
    Sku,
    /// Category.
    Category,
    /// Department.
    Department,
    /// Brand.
    Brand,
    /// Margin class.
    MarginClass,
}

impl Attribute {
    /// All attributes.
    pub const ALL: [Self; 5] = [Self::Sku, Self::Category, Self::Department, Self::Brand, Self::MarginClass];

    /// The item's value of this attribute.
    #[must_use]
    pub fn of(self, item: &Item) -> SymbolId {
        match self {
            Self::Sku => item.sku,
            Self::Category => item.category,
            Self::Department => item.department,
            Self::Brand => item.brand,
            Self::MarginClass => item.margin_class,
        }
    }
}

/// What one value of one attribute means to the programme.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttributeEntry {
    /// A line with this value earns nothing.
    pub excluded: bool,
    /// Rules that match this value, ascending. Few, and then where the entry is: there is one miss of the cache, not two.
    pub rules: SmallVec<[RuleIndex; 4]>,
}

/// Eligibility and multipliers, found by what a line carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineTable {
    /// Rules in the order of the file.
    pub rules: Vec<LineRule>,
    /// Rules that match every eligible line, ascending.
    pub everywhere: Vec<RuleIndex>,
    /// For each attribute (in the order of [`Attribute::ALL`]) the values that mean something.
    pub values: [HashMap<SymbolId, AttributeEntry>; 5],
    /// The most rules of [`Stacking::Multiply`] that can count for one line.
    pub multiply_max: u32,
    /// Rules with caps of their own, ascending by rule; at most [`crate::limits::PROGRAM_CAPS_MAX`].
    pub capped: Vec<CappedRule>,
    /// Whether a rule's conditions look at the eligible amount, so that it has to be known before lines are judged.
    pub needs_eligible_amount: bool,
}

/// What the tables say about a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineClass {
    /// Earns nothing.
    Ineligible,
    /// Earns the base rate.
    Base,
    /// Earns the base rate times the rule's multiplier.
    Rule(RuleIndex),
}

impl LineTable {
    /// Whether a line with this item earns at all.
    #[must_use]
    pub fn is_eligible(&self, item: &Item) -> bool {
        let mut tables = Attribute::ALL.iter().zip(&self.values).filter(|(_, values)| !values.is_empty());
        !tables.any(|(attribute, values)| values.get(&attribute.of(item)).is_some_and(|entry| entry.excluded))
    }

    /// What a line with this item earns by, given which rules' conditions hold. Rules that count beside the one that is
    /// returned are told to `also`, in no particular order.
    #[must_use]
    pub fn judge(&self, item: &Item, holds: impl FnMut(&Conditions) -> bool, also: impl FnMut(RuleIndex)) -> LineClass {
        self.judge_without(item, |_| false, holds, also)
    }

    /// As [`LineTable::judge`], in a programme without the rules that `skips` names.
    #[must_use]
    pub fn judge_without(
        &self,
        item: &Item,
        skips: impl Fn(RuleIndex) -> bool,
        mut holds: impl FnMut(&Conditions) -> bool,
        mut also: impl FnMut(RuleIndex),
    ) -> LineClass {
        let mut found = Found::default();
        for (attribute, values) in Attribute::ALL.iter().zip(&self.values) {
            if values.is_empty() {
                continue;
            }
            let Some(entry) = values.get(&attribute.of(item)) else { continue };
            if entry.excluded {
                return LineClass::Ineligible;
            }
            for &index in entry.rules.iter().filter(|index| !skips(**index)) {
                found.see(self, index, &mut holds);
            }
        }
        for &index in self.everywhere.iter().filter(|index| !skips(**index)) {
            found.see(self, index, &mut holds);
        }
        if let Some((_, _, rule)) = found.exclusive {
            return LineClass::Rule(rule);
        }
        if found.stacks {
            // A second look, only where there is something to be seen.
            for (attribute, values) in Attribute::ALL.iter().zip(&self.values) {
                let matching = values.get(&attribute.of(item)).map_or(&[][..], |entry| &entry.rules);
                for &index in matching.iter().filter(|index| !skips(**index)) {
                    self.tell_stacked(index, &mut holds, &mut also);
                }
            }
            for &index in self.everywhere.iter().filter(|index| !skips(**index)) {
                self.tell_stacked(index, &mut holds, &mut also);
            }
        }
        found.best.map_or(LineClass::Base, |(_, rule)| LineClass::Rule(rule))
    }

    /// The place of a rule among those with caps of their own.
    #[must_use]
    pub fn capped_place(&self, rule: RuleIndex) -> Option<usize> {
        self.capped.binary_search_by_key(&rule, |capped| capped.rule).ok()
    }

    /// The cap of a rule that has this name, with its rule.
    #[must_use]
    pub fn cap_of_rule(&self, name: SymbolId) -> Option<(&CappedRule, &Cap)> {
        self.capped.iter().find_map(|capped| Some((capped, capped.caps.iter().find(|cap| cap.symbol == name)?)))
    }

    /// What a line earns by in a programme without conditions and stacking, as [`LineTable::judge`] says it.
    #[must_use]
    pub fn classify(&self, item: &Item) -> LineClass {
        self.judge(item, |_| true, |_| {})
    }

    fn tell_stacked(
        &self,
        index: RuleIndex,
        holds: &mut impl FnMut(&Conditions) -> bool,
        also: &mut impl FnMut(RuleIndex),
    ) {
        let rule = self.rule(index).expect("the table names rules of its programme");
        if matches!(rule.stacking, Stacking::Add | Stacking::Multiply) && is_met(rule, holds) {
            also(index);
        }
    }

    /// The multiplier of a class by itself, in basis points; 0 for an ineligible line.
    ///
    /// # Panics
    /// When the class names a rule that the programme does not have.
    #[must_use]
    pub fn multiplier_bps(&self, class: LineClass) -> i64 {
        match class {
            LineClass::Ineligible => 0,
            LineClass::Base => BPS_ONE,
            LineClass::Rule(rule) => self.rule(rule).expect("a class names a rule of its programme").multiplier_bps(),
        }
    }

    /// The rule with this index.
    #[must_use]
    pub fn rule(&self, rule: RuleIndex) -> Option<&LineRule> {
        self.rules.get(usize::try_from(rule.0).ok()?)
    }
}

fn is_met(rule: &LineRule, holds: &mut impl FnMut(&Conditions) -> bool) -> bool {
    rule.when.as_ref().is_none_or(|when| holds(when))
}

/// The rules that match a line, as far as they were seen.
#[derive(Default)]
struct Found {
    best: Option<(i64, RuleIndex)>,
    exclusive: Option<(i32, i64, RuleIndex)>,
    stacks: bool,
}

impl Found {
    fn see(&mut self, table: &LineTable, index: RuleIndex, holds: &mut impl FnMut(&Conditions) -> bool) {
        let rule = table.rule(index).expect("the table names rules of its programme");
        if !is_met(rule, holds) {
            return;
        }
        let multiplier_bps = rule.multiplier_bps();
        match rule.stacking {
            Stacking::BestOf => {
                let better = self.best.is_none_or(|(best_bps, best)| {
                    multiplier_bps > best_bps || (multiplier_bps == best_bps && index < best)
                });
                if better {
                    self.best = Some((multiplier_bps, index));
                }
            }
            Stacking::Exclusive => {
                let ours = (rule.priority, multiplier_bps);
                let better = self.exclusive.is_none_or(|(priority, bps, best)| {
                    ours > (priority, bps) || (ours == (priority, bps) && index < best)
                });
                if better {
                    self.exclusive = Some((rule.priority, multiplier_bps, index));
                }
            }
            Stacking::Add | Stacking::Multiply => self.stacks = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(rules: &[u32]) -> AttributeEntry {
        AttributeEntry { excluded: false, rules: rules.iter().map(|rule| RuleIndex(*rule)).collect() }
    }

    #[test]
    fn the_best_matching_rule_counts_and_exclusion_wins() {
        let rule = LineRule::multiplier;
        let mut table = LineTable {
            rules: vec![rule("double", 20_000), rule("triple", 30_000), rule("triple again", 30_000)],
            ..LineTable::default()
        };
        table.values[3].insert(SymbolId(7), entry(&[0]));
        table.values[2].insert(SymbolId(8), entry(&[1, 2]));
        table.values[2].insert(SymbolId(9), AttributeEntry { excluded: true, ..AttributeEntry::default() });
        let item =
            |department, brand| Item { department: SymbolId(department), brand: SymbolId(brand), ..Item::default() };
        let rows = [
            (item(0, 0), LineClass::Base),
            (item(0, 7), LineClass::Rule(RuleIndex(0))),
            (item(8, 7), LineClass::Rule(RuleIndex(1))),
            (item(9, 7), LineClass::Ineligible),
        ];
        for (item, expected) in rows {
            assert_eq!(table.classify(&item), expected, "{item:?}");
            assert_eq!(table.is_eligible(&item), expected != LineClass::Ineligible);
        }
    }

    #[test]
    fn rules_go_together_as_they_state() {
        let stacked = |name, bps, stacking| LineRule { stacking, ..LineRule::multiplier(name, bps) };
        let mut table = LineTable {
            rules: vec![
                stacked("double", 20_000, Stacking::BestOf),
                stacked("half more", 15_000, Stacking::Add),
                stacked("times three", 30_000, Stacking::Multiply),
                stacked("alone", 11_000, Stacking::Exclusive),
                LineRule { priority: 1, ..stacked("alone and first", 5_000, Stacking::Exclusive) },
            ],
            everywhere: vec![RuleIndex(1)],
            ..LineTable::default()
        };
        table.values[3].insert(SymbolId(7), entry(&[0, 2]));
        table.values[2].insert(SymbolId(8), entry(&[3]));
        table.values[1].insert(SymbolId(9), entry(&[4]));
        let rows: [(u32, u32, u32, LineClass, &[u32]); 4] = [
            (0, 0, 0, LineClass::Base, &[1]),
            (0, 0, 7, LineClass::Rule(RuleIndex(0)), &[1, 2]),
            (0, 8, 7, LineClass::Rule(RuleIndex(3)), &[]),
            (9, 8, 7, LineClass::Rule(RuleIndex(4)), &[]),
        ];
        for (category, department, brand, expected, beside) in rows {
            let item = Item {
                category: SymbolId(category),
                department: SymbolId(department),
                brand: SymbolId(brand),
                ..Item::default()
            };
            let mut also = Vec::new();
            assert_eq!(table.judge(&item, |_| true, |rule| also.push(rule.0)), expected);
            also.sort_unstable();
            assert_eq!(also, beside, "{expected:?}");
        }
    }
}
