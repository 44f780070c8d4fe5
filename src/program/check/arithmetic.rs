//! The largest basket: what it may earn, and what its multipliers may come to together.
//!
//! What must stay true: the bounds are those of the exact sum in `ledger::earn`, computed in the same way with checked
//! arithmetic, so that a programme that passes cannot make a decision overflow. What stamps of earlier baskets make due beyond
//! that is cut to [`UNITS_MAX`] when it is decided. They ignore conditions: what is
//! refused could only be too large, what passes never is.

use std::collections::{HashMap, HashSet};

use super::{Value, key_of};
use crate::ledger::program::{BPS_ONE, Rounding, Stacking, StampsCounted};
use crate::limits::{BASKET_LINES_MAX, LINE_AMOUNT_MINOR_MAX, LINE_QUANTITY_MAX, UNITS_MAX};
use crate::program::file::{EarnSection, EffectEntry, ProgramFile, RuleEntry, StampEntry, TriggerEntry};
use crate::program::problem::{Finding, Problems};
use crate::program::table::{decimal, stated};

const ONE: i128 = 10_000;
const SMALLER_CARDS: &str = "give less for a full card, have it take more stamps, or count baskets";
const LOWER_RATE: &str = "lower `units` or raise `per_minor` in [earn]: no balance may exceed that number";

/// A basket of the largest size must stay within [`UNITS_MAX`], so that the sum in a decision cannot overflow.
pub(super) fn check_largest_basket(earn: &EarnSection, file: &ProgramFile, problems: &mut Problems<'_>) {
    let lines_max = i128::try_from(BASKET_LINES_MAX).expect("a small number");
    let largest_numerator = i128::from(LINE_AMOUNT_MINOR_MAX) * lines_max * i128::from(*earn.units.get_ref());
    // Rounding per line can add one unit a line.
    let room = i128::from(UNITS_MAX) - lines_max;
    let largest_multiplier_bps = room * i128::from(*earn.per_minor.get_ref()) * ONE / largest_numerator;
    let too_large = |what: &str| format!("with {what} one basket could earn more than {} units", stated(UNITS_MAX));
    if i128::from(BPS_ONE) > largest_multiplier_bps {
        problems.push(Finding::error(&earn.units.span(), too_large("this rate")).hint(LOWER_RATE));
        return;
    }
    let mut is_one_too_large = false;
    for bps in file.rules.iter().filter_map(RuleEntry::multiplier) {
        if i128::from(*bps.get_ref()) > largest_multiplier_bps {
            is_one_too_large = true;
            problems.push(Finding::error(&bps.span(), too_large("this multiplier")).hint(LOWER_RATE));
        }
    }
    let bonuses_are_too_large = check_bonuses(file, problems);
    let cards_are_too_large = check_stamps(file, room, problems);
    if is_one_too_large || bonuses_are_too_large || cards_are_too_large {
        return;
    }
    let strongest = Strongest::of(file);
    if earn.rounding == Rounding::Carry && strongest.denominator(earn).is_none_or(|parts| i64::try_from(parts).is_err())
    {
        let message = "what a basket leaves over is in parts too small to be carried";
        let hint = "lower `per_minor`, have fewer rules that multiply, or round in another way";
        problems.push(Finding::error(&earn.per_minor.span(), message).hint(hint));
    }
    let most = strongest.largest_basket(earn).map(|basket| basket + basket_bonuses(file));
    let of_cards: i128 = file.stamps.iter().map(largest_of_card).sum();
    let culprit = file.stamps.iter().filter_map(StampEntry::units).next();
    if let (Some(units), true) = (culprit, most.is_some_and(|most| most <= room && most + of_cards > room)) {
        let message = format!("with all stamp cards one basket could earn more than {} units", stated(UNITS_MAX));
        problems.push(Finding::error(&units.span(), message).hint(SMALLER_CARDS).came_later());
    }
    if most.is_none_or(|most| most > room) {
        let what = match most {
            Some(_) => format!("one basket could earn more than {} units", stated(UNITS_MAX)),
            None => "the exact sum of one basket could need more than 128 bits".to_owned(),
        };
        let names = strongest.names(file, true);
        let message = format!("arithmetic that could overflow: with {names} together {what}");
        let culprit = strongest.largest_fixed(file, earn).or_else(|| strongest.culprit(file));
        let at = culprit.map_or_else(|| earn.units.span(), |rule| rule.name.span());
        problems.push(
            Finding::error(&at, message).hint(
                "lower the multipliers, the fixed units or the rate in [earn], or have fewer rules that multiply",
            ),
        );
    }
}

fn basket_bonuses(file: &ProgramFile) -> i128 {
    let of_baskets = file.bonuses.iter().filter(|bonus| matches!(bonus.trigger, TriggerEntry::Basket));
    of_baskets.map(|bonus| i128::from(*bonus.units.get_ref())).sum()
}

/// All bonuses together stay within [`UNITS_MAX`]: more could not be held anyway.
fn check_bonuses(file: &ProgramFile, problems: &mut Problems<'_>) -> bool {
    let mut sum: i128 = 0;
    for bonus in &file.bonuses {
        sum += i128::from(*bonus.units.get_ref());
        if sum > i128::from(UNITS_MAX) {
            let message = format!("the bonuses together could come to more than {} units", stated(UNITS_MAX));
            problems.push(Finding::error(&bonus.units.span(), message).hint("no balance may exceed that number"));
            return true;
        }
    }
    false
}

/// The units that the largest basket makes a card give.
fn largest_of_card(card: &StampEntry) -> i128 {
    let lines_max = i128::try_from(BASKET_LINES_MAX).expect("a small number");
    let stamps = match card.counts {
        StampsCounted::Items => lines_max * i128::from(LINE_QUANTITY_MAX),
        StampsCounted::Baskets => 1,
    };
    // What the card held before can make one more reward due.
    let rewards = stamps / i128::from(card.count.max(1)) + 1;
    card.units().map_or(0, |units| rewards * i128::from(*units.get_ref()))
}

/// What each card gives to the largest basket stays within the room.
fn check_stamps(file: &ProgramFile, room: i128, problems: &mut Problems<'_>) -> bool {
    let too_large = file.stamps.iter().filter(|card| largest_of_card(card) > room);
    let mut is_one_too_large = false;
    for units in too_large.filter_map(StampEntry::units) {
        is_one_too_large = true;
        let message = format!("with this stamp card one basket could earn more than {} units", stated(UNITS_MAX));
        problems.push(Finding::error(&units.span(), message).hint(SMALLER_CARDS).came_later());
    }
    is_one_too_large
}

/// The multipliers of a line together must not exceed what the author states.
pub(super) fn check_multiplier_max(file: &ProgramFile, problems: &mut Problems<'_>) {
    let Some(most_bps) = file.header.as_ref().and_then(|header| header.multiplier_max_bps) else { return };
    let strongest = Strongest::of(file);
    // What overflows is reported as such.
    let reached = strongest.multiplier_bps().filter(|reached| *reached > i128::from(most_bps));
    let Some(reached) = reached.filter(|reached| *reached <= i128::from(UNITS_MAX)) else { return };
    let shown = format!("{} times the rate", decimal(reached, 4, 0));
    let most = decimal(i128::from(most_bps), 4, 0);
    let what = strongest.names(file, false);
    let (at, who) = match strongest.culprit(file) {
        Some(rule) => (rule.name.span(), format!("rule `{}`", rule.name.get_ref())),
        None => {
            let level =
                file.tiers.as_ref().and_then(|tiers| tiers.levels.iter().max_by_key(|level| level.multiplier_bps));
            let Some(level) = level else { return };
            (level.name.span(), format!("level `{}`", level.name.get_ref()))
        }
    };
    let message = format!("{who} can bring a line to {shown}, more than the {most} of `multiplier_max`");
    problems.push(Finding::error(&at, message).hint(format!("together with others: {what}")));
}

/// The most that rules do to one line, whatever conditions say.
#[derive(Default)]
struct Strongest {
    /// The best rule or the base rate, and all that is added, in basis points.
    base_bps: i128,
    /// An exclusive rule by itself, in basis points.
    exclusive_bps: i128,
    /// The product of the rules that multiply, in parts of one to the power of `multiply_count`; `None` on overflow.
    chain: Option<i128>,
    /// The most rules that multiply one line: as `LineTable::multiply_max`.
    multiply_count: u32,
    /// The best level, in basis points, where there is a ladder.
    tier_bps: Option<i64>,
    /// Units beside the amount, for the largest quantity.
    fixed_units: i128,
    /// The rules that this is made of, ascending.
    rules: Vec<usize>,
}

/// What the rules of one value do to a line.
#[derive(Clone, Default)]
struct Share {
    added_bps: i128,
    fixed_units: i128,
    multipliers: Vec<i64>,
    added: Vec<usize>,
    fixed: Vec<usize>,
    multiplied: Vec<usize>,
}

impl Share {
    fn take(&mut self, index: usize, rule: &RuleEntry) {
        match (&rule.effect, rule.stacking) {
            (EffectEntry::Fixed { units, per_piece }, _) => {
                let pieces = if *per_piece { LINE_QUANTITY_MAX } else { 1 };
                self.fixed_units += i128::from(*units.get_ref()) * i128::from(pieces);
                self.fixed.push(index);
            }
            (EffectEntry::Multiplier(bps), Stacking::Add) if *bps.get_ref() > BPS_ONE => {
                self.added_bps += i128::from(bps.get_ref() - BPS_ONE);
                self.added.push(index);
            }
            (EffectEntry::Multiplier(bps), Stacking::Multiply) => {
                self.multipliers.push((*bps.get_ref()).max(BPS_ONE));
                self.multiplied.push(index);
            }
            _ => {}
        }
    }

    /// The product of the multipliers, as if there were `count` of them.
    fn product(&self, count: usize) -> Option<i128> {
        let ones = std::iter::repeat_n(BPS_ONE, count.saturating_sub(self.multipliers.len()));
        let mut all = self.multipliers.iter().copied().chain(ones);
        all.try_fold(1_i128, |product, bps| product.checked_mul(i128::from(bps)))
    }
}

impl Strongest {
    fn of(file: &ProgramFile) -> Self {
        let mut shares: HashMap<Value<'_>, Share> = HashMap::new();
        let mut everywhere = Share::default();
        let mut strongest = Self { base_bps: ONE, chain: Some(1), ..Self::default() };
        let mut best: Option<(i64, usize)> = None;
        for (index, rule) in file.rules.iter().enumerate() {
            match (rule.multiplier().map(|bps| *bps.get_ref()), rule.stacking) {
                (Some(bps), Stacking::BestOf) if bps > best.map_or(BPS_ONE, |(best, _)| best) => {
                    best = Some((bps, index));
                }
                (Some(bps), Stacking::Exclusive) => {
                    strongest.exclusive_bps = strongest.exclusive_bps.max(i128::from(bps));
                }
                (None, _) | (_, Stacking::Add | Stacking::Multiply) => match &rule.matched {
                    None => everywhere.take(index, rule),
                    Some((attribute, values)) => {
                        let mut seen = HashSet::new();
                        for value in values.iter().filter(|value| seen.insert(value.get_ref())) {
                            shares.entry((*attribute, value.get_ref())).or_default().take(index, rule);
                        }
                    }
                },
                _ => {}
            }
        }
        if let Some((bps, index)) = best {
            strongest.base_bps = i128::from(bps);
            strongest.rules.push(index);
        }
        strongest.add_most(std::iter::once(&everywhere));
        for (key, _) in crate::program::file::ATTRIBUTE_KEYS {
            strongest.add_most(shares.iter().filter(|((attribute, _), _)| key_of(*attribute) == key).map(|(_, s)| s));
        }
        let levels = file.tiers.iter().flat_map(|tiers| &tiers.levels);
        strongest.tier_bps = levels.map(|level| level.multiplier_bps.max(BPS_ONE)).max();
        strongest.rules.sort_unstable();
        strongest.rules.dedup();
        strongest
    }

    /// A line has one value of an attribute: the most that any of them adds, multiplies and gives.
    fn add_most<'s>(&mut self, shares: impl Iterator<Item = &'s Share> + Clone) {
        let multiply_count = shares.clone().map(|share| share.multipliers.len()).max().unwrap_or(0);
        // Which of equal shares is taken must not depend on the order of a map.
        let most = |rank: &dyn Fn(&Share) -> (i128, Vec<usize>)| shares.clone().map(rank).max().unwrap_or_default();
        let (added_bps, added) = most(&|share| (share.added_bps, share.added.clone()));
        let (fixed_units, fixed) = most(&|share| (share.fixed_units, share.fixed.clone()));
        let product = |share: &Share| share.product(multiply_count).unwrap_or(i128::MAX);
        let (chain, multiplied) = most(&|share| (product(share), share.multiplied.clone()));
        self.base_bps += added_bps;
        self.fixed_units += fixed_units;
        if multiply_count > 0 {
            self.chain = self.chain.filter(|_| chain < i128::MAX).and_then(|before| before.checked_mul(chain));
            self.multiply_count += u32::try_from(multiply_count).expect("a programme has few rules");
        }
        self.rules.extend(added.into_iter().chain(fixed).chain(multiplied));
    }

    /// All multipliers together in basis points, rounded up; `None` on overflow.
    fn multiplier_bps(&self) -> Option<i128> {
        let tier_bps = i128::from(self.tier_bps.unwrap_or(BPS_ONE));
        let stacked = self.base_bps.checked_mul(self.chain?)?.checked_mul(tier_bps)?;
        let one = ONE.checked_pow(self.multiply_count + 1)?;
        let stacked = stacked / one + i128::from(stacked % one > 0);
        Some(stacked.max((self.exclusive_bps * tier_bps + ONE - 1) / ONE))
    }

    /// How many parts make a unit; `None` on overflow.
    fn denominator(&self, earn: &EarnSection) -> Option<i128> {
        let tier_one = if self.tier_bps.is_some() { ONE } else { 1 };
        let chain_one = ONE.checked_pow(self.multiply_count)?;
        (i128::from(*earn.per_minor.get_ref()) * ONE).checked_mul(chain_one)?.checked_mul(tier_one)
    }

    /// The units of the largest basket before rounding, rounded down; `None` on overflow.
    fn largest_basket(&self, earn: &EarnSection) -> Option<i128> {
        let lines_max = i128::try_from(BASKET_LINES_MAX).ok()?;
        let chain_one = ONE.checked_pow(self.multiply_count)?;
        let tier_bps = self.tier_bps.map_or(1, i128::from);
        let denominator = self.denominator(earn)?;
        denominator.checked_mul(2)?; // A rounding compares twice the remainder.
        let stacked = self.base_bps.checked_mul(self.chain?)?;
        let multiplier = stacked.max(self.exclusive_bps.checked_mul(chain_one)?).checked_mul(tier_bps)?;
        let amount = i128::from(LINE_AMOUNT_MINOR_MAX) * i128::from(*earn.units.get_ref());
        let fixed = self.fixed_units.checked_mul(denominator)?;
        let numerator = amount.checked_mul(multiplier)?.checked_add(fixed)?.checked_mul(lines_max)?;
        Some(numerator / denominator)
    }

    /// The rule that does the most of it.
    fn culprit<'f>(&self, file: &'f ProgramFile) -> Option<&'f RuleEntry> {
        let stacked = self.rules.iter().filter_map(|index| file.rules.get(*index));
        let exclusive = file.rules.iter().filter(|rule| rule.stacking == Stacking::Exclusive);
        let by_bps = |rule: &&RuleEntry| rule.multiplier().map(|bps| *bps.get_ref());
        let stacked_bps = self.chain.and_then(|chain| self.base_bps.checked_mul(chain));
        let stacked_bps = stacked_bps.zip(ONE.checked_pow(self.multiply_count)).map(|(bps, one)| bps / one);
        let is_alone = stacked_bps.is_some_and(|stacked_bps| self.exclusive_bps > stacked_bps);
        if is_alone { exclusive.max_by_key(by_bps) } else { stacked.max_by_key(by_bps) }
    }

    /// The rule that gives the most fixed units, where those come to more than what the amount earns at one.
    fn largest_fixed<'f>(&self, file: &'f ProgramFile, earn: &EarnSection) -> Option<&'f RuleEntry> {
        let amount_units = LINE_AMOUNT_MINOR_MAX / earn.per_minor.get_ref();
        if self.fixed_units <= i128::from(amount_units) * i128::from(*earn.units.get_ref()) {
            return None;
        }
        let rules = self.rules.iter().filter_map(|index| file.rules.get(*index));
        let fixed = rules.filter_map(|rule| match &rule.effect {
            EffectEntry::Fixed { units, per_piece } => Some(((*per_piece, *units.get_ref()), rule)),
            EffectEntry::Multiplier(_) => None,
        });
        fixed.max_by_key(|(most, _)| *most).map(|(_, rule)| rule)
    }

    /// The names of what goes together, rules with fixed units among them or not.
    fn names(&self, file: &ProgramFile, with_fixed: bool) -> String {
        const NAMES_MAX: usize = 8;
        let rules = self.rules.iter().filter_map(|index| file.rules.get(*index));
        let rules = rules.filter(|rule| with_fixed || rule.multiplier().is_some());
        let mut names: Vec<String> = rules.map(|rule| format!("`{}`", rule.name.get_ref())).collect();
        if names.len() > NAMES_MAX {
            let more_count = names.len() - NAMES_MAX;
            names.truncate(NAMES_MAX);
            names.push(format!("{more_count} more rules"));
        }
        let levels = file.tiers.iter().flat_map(|tiers| &tiers.levels);
        if let Some(level) =
            levels.filter(|level| level.multiplier_bps > BPS_ONE).max_by_key(|level| level.multiplier_bps)
        {
            names.push(format!("level `{}`", level.name.get_ref()));
        }
        if names.is_empty() { "this rate".to_owned() } else { names.join(", ") }
    }
}
