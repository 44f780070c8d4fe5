//! What comes back of a basket, line by line: the rest of it is judged once more with what held then.
//!
//! What must stay true: as in [`crate::model`]: nothing of the ledger's code is used. A rule that counted for a line counts
//! still, unless it asked for an amount that the rest does not reach; then the line earns the base rate in its place. What
//! clipped leaves what it left then. What stands never grows.

use tallystick::ledger::decision::Refusal;
use tallystick::ledger::program::Stacking;
use tallystick::ledger::types::TimestampNs;

use crate::lots::Chunk;
use crate::model::{Fraction, LineWords, Model, Outcome, Past};
use crate::rules::{BRANDS, DEPARTMENTS, Rule, When};

/// A basket, as it was bought and judged.
#[derive(Clone, Debug)]
pub struct Bought {
    pub lines: Vec<LineWords>,
    pub judged: Vec<Option<Judged>>,
    tier: Fraction,
    /// What earlier baskets had left over.
    before: Fraction,
    /// What it leaves over itself, as far as it stands.
    left_over: Fraction,
    /// What each bound that clipped left of it.
    pub rooms: Vec<i64>,
    pub is_denied: bool,
    /// Quantity and amount of each line that have come back.
    returned: Vec<(i64, i64)>,
}

/// What counts for a line, each with the amount of the basket that it asks for.
#[derive(Clone, Debug, Default)]
pub struct Judged {
    /// In the place of the base rate.
    class: Option<(i64, i64)>,
    added: Vec<(i64, i64)>,
    multiplied: Vec<(i64, i64)>,
    /// Units, and whether for each piece.
    fixed: Vec<((i64, bool), i64)>,
}

impl Judged {
    /// What an amount and a quantity earn, unrounded.
    fn earns(&self, base: Fraction, quantity: i64, eligible: i64, tier: Fraction) -> Fraction {
        let reached = |(_, least): &&(i64, i64)| eligible >= *least;
        let class = self.class.as_ref().filter(reached).map_or(10_000, |(multiplier, _)| *multiplier);
        let sum = class + self.added.iter().filter(reached).map(|(more, _)| more).sum::<i64>();
        let mut total = base.times(Fraction::bps(sum.max(0))).times(tier);
        for (multiplier, _) in self.multiplied.iter().filter(reached) {
            total = total.times(Fraction::bps(*multiplier));
        }
        for ((units, per_piece), _) in self.fixed.iter().filter(|(_, least)| eligible >= *least) {
            total = total.plus(Fraction::whole(units * if *per_piece { quantity } else { 1 }));
        }
        total
    }
}

impl Bought {
    pub fn new(lines: &[LineWords], judged: Vec<Option<Judged>>, tier: Fraction, before: Fraction) -> Self {
        let returned = vec![(0, 0); lines.len()];
        let (rooms, left_over) = (Vec::new(), Fraction::ZERO);
        Self { lines: lines.to_vec(), judged, tier, before, left_over, rooms, is_denied: false, returned }
    }

    /// Quantity and amount of a line that are left.
    pub fn rest(&self, line: usize) -> (i64, i64) {
        let ((_, _, amount, quantity), (pieces, worth)) = (self.lines[line], self.returned[line]);
        (quantity - pieces, amount - worth)
    }

    fn is_gone(&self, line: usize) -> bool {
        self.rest(line) == (0, 0)
    }

    /// The amount of the lines that may earn.
    fn eligible(&self) -> i64 {
        let lines = (0..self.lines.len()).filter(|line| self.judged[*line].is_some());
        lines.map(|line| self.rest(line).1).sum()
    }

    /// Takes a line back, by pieces or by amount; the refusal where there is not so much.
    fn give_back(&mut self, line: usize, number: i64) -> Result<(), Refusal> {
        let Some((_, _, amount, quantity)) = self.lines.get(line).copied() else { return Err(Refusal::LineUnknown) };
        let (pieces, worth) = self.returned[line];
        let (pieces, worth) = if quantity == 0 {
            (0, worth + number)
        } else {
            let pieces = pieces + number;
            (pieces, amount * pieces / quantity)
        };
        if pieces > quantity || worth > amount {
            return Err(Refusal::ReturnTooLarge);
        }
        self.returned[line] = (pieces, worth);
        Ok(())
    }
}

/// How many come back of a line with a quantity, or for how much of one without.
pub fn number_of((_, _, _, quantity): LineWords, drawn: i64) -> i64 {
    if quantity > 0 { 1 + drawn % 3 } else { 1 + drawn }
}

impl Model<'_> {
    /// What counts for a line; `None` for one that is excluded.
    pub fn judge_line(&self, line: LineWords, holds: &dyn Fn(&When) -> bool) -> Option<Judged> {
        let (department, brand) = (DEPARTMENTS[line.0], BRANDS[line.1]);
        if self.rules.excluded_department == Some(department) {
            return None;
        }
        let matches = |rule: &&Rule| rule.value == if rule.by_brand { brand } else { department };
        let matching: Vec<&Rule> = self.rules.lines.iter().filter(matches).filter(|rule| holds(&rule.when)).collect();
        let of = |stacking| matching.iter().filter(move |rule| rule.fixed.is_none() && rule.stacking == stacking);
        let with_least = |rule: &&&Rule| (rule.multiplier, rule.when.eligible_min);
        // Of equal ones the first.
        let alone = of(Stacking::Exclusive).rev().max_by_key(|rule| (rule.priority, rule.multiplier));
        if let Some(alone) = alone {
            return Some(Judged { class: Some(with_least(&alone)), ..Judged::default() });
        }
        Some(Judged {
            class: of(Stacking::BestOf).rev().max_by_key(|rule| rule.multiplier).map(|rule| with_least(&rule)),
            added: of(Stacking::Add).map(|rule| (rule.multiplier - 10_000, rule.when.eligible_min)).collect(),
            multiplied: of(Stacking::Multiply).map(|rule| with_least(&rule)).collect(),
            fixed: matching.iter().filter_map(|rule| Some((rule.fixed?, rule.when.eligible_min))).collect(),
        })
    }

    /// The units of what is left of a basket's lines, and what they leave over.
    pub fn units_of(&self, bought: &Bought, eligible: i64) -> (i64, Fraction) {
        let is_there =
            |line: &usize| !bought.is_gone(*line) || (bought.lines[*line].2, bought.lines[*line].3) == (0, 0);
        let lines = (0..bought.lines.len()).filter(is_there);
        let earning = lines.filter_map(|line| Some((bought.judged[line].as_ref()?, bought.rest(line))));
        let exact: Vec<Fraction> = earning
            .map(|(judged, (quantity, amount))| {
                let parts = i128::from(amount) * i128::from(self.rules.units);
                judged.earns(Fraction(parts, i128::from(self.rules.per_minor)), quantity, eligible, bought.tier)
            })
            .collect();
        let sum = exact.iter().fold(bought.before, |sum, exact| sum.plus(*exact));
        if self.rules.per_line {
            return (exact.iter().map(|exact| self.rounded(*exact)).sum(), Fraction::ZERO);
        }
        let units = self.rounded(sum);
        (units, sum.plus(Fraction::whole(-units)))
    }

    /// The basket that was accepted last left this over. Where that is what there was before, it counts as nothing.
    pub fn note_left(&mut self, left: Fraction) {
        let bought = self.past.last_mut().and_then(|(_, past)| past.bought.as_mut()).expect("a basket was accepted");
        let Fraction(changed, _) = left.plus(bought.before.times(Fraction::whole(-1)));
        bought.left_over = if changed == 0 { Fraction::ZERO } else { left };
        if changed == 0 {
            bought.before = Fraction::ZERO;
        }
    }

    /// The lines of a basket of that step of which something stands.
    pub fn lines_of(&self, original: usize) -> Option<Vec<LineWords>> {
        let is_it = |(step, past): &&(usize, Past)| *step == original && past.is_basket && !past.taken_back;
        self.past.iter().find(is_it)?.1.bought.as_ref().map(|bought| bought.lines.clone())
    }

    /// Whether there is a basket of that step of which something stands; if so, what comes of taking these lines back,
    /// or all that is left where there are none.
    pub fn reverse(&mut self, original: usize, lines: &[(usize, i64)], now: TimestampNs) -> Option<Outcome> {
        let is_it = |(step, past): &(usize, Past)| *step == original && past.is_basket && !past.taken_back;
        let place = self.past.iter().position(is_it)?;
        let mut past = self.past[place].1.clone();
        let bought = past.bought.as_mut().expect("a basket has lines");
        for (line, number) in lines {
            if let Err(refusal) = bought.give_back(*line, *number) {
                return Some(Outcome::Refused(refusal));
            }
        }
        let is_last = lines.is_empty() || (0..bought.lines.len()).all(|line| bought.is_gone(line));
        let carried = self.decide_rest(&mut past, is_last);
        let (account, units) = (past.account, self.past[place].1.granted - past.granted);
        let lot = Chunk { units, ..past.lot };
        let chunks = self.chunks.clone();
        let is_dead = lot.expires_at <= now.0;
        // What has died of it is gone already.
        let dead = if is_dead { units.min(self.dead(account, now)) } else { 0 };
        let mut missing = self.take_own(&Chunk { units: units - dead, ..lot }, now);
        if is_dead {
            missing = self.take_alike(&lot, missing, now);
        }
        let lacking = (missing - self.balance(account, now) + self.aside(account)).max(0);
        if lacking > 0 && self.rules.when_spent == "refuse" {
            self.chunks = chunks;
            return Some(Outcome::Refused(Refusal::InsufficientBalance));
        }
        self.take(account, missing - lacking, now, false);
        let taken = units - dead - lacking;
        *self.owed.entry(account).or_default() += lacking;
        *self.gone.entry(account).or_default() += dead;
        self.past[place].1 = past;
        if self.rules.rounding == "carry" {
            let left = self.left.entry(account).or_insert(Fraction::ZERO);
            *left = left.plus(carried);
        }
        Some(Outcome::Moved { units: -taken, balance: self.shown(account, now) })
    }

    /// What an account owes to what it earns later.
    pub fn owed_by(&self, account: usize) -> i64 {
        self.owed.get(&account).copied().unwrap_or(0)
    }

    /// The balance as it is shown.
    pub fn shown(&self, account: usize, now: TimestampNs) -> i64 {
        let less = if self.rules.when_spent == "negative" { self.owed_by(account) } else { 0 };
        self.balance(account, now) - less
    }

    /// What still stands of a basket of which something came back; gives what its part in the remainder changes by.
    fn decide_rest(&self, past: &mut Past, is_last: bool) -> Fraction {
        let bought = past.bought.as_mut().expect("a basket has lines");
        let eligible = bought.eligible();
        let (units, left_over) = self.units_of(bought, eligible);
        let left_over = if is_last { bought.before } else { left_over };
        let before = std::mem::replace(&mut bought.left_over, left_over);
        let carried = if bought.is_denied { Fraction::ZERO } else { left_over.plus(before.times(Fraction::whole(-1))) };
        past.bonuses.retain(|bonus| eligible >= self.rules.bonuses[*bonus].when.eligible_min);
        let bonuses: i64 = past.bonuses.iter().map(|bonus| self.rules.bonuses[*bonus].units).sum();
        self.restamp(&mut past.stamped, bought, eligible, is_last);
        let earned = units + bonuses + self.units_of_cards(&past.stamped);
        let granted = bought.rooms.iter().fold(earned, |granted, room| granted.min(*room));
        past.granted = if bought.is_denied || is_last { 0 } else { granted.min(past.granted) };
        past.eligible = eligible;
        past.taken_back = is_last;
        carried
    }
}
