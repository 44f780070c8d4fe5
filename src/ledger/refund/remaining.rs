//! The rest of a basket, decided again from its record.
//!
//! What a record does not say is not guessed: conditions that held then hold still, but for thresholds of the basket's own
//! amount; a cap or a budget that clipped leaves as much as it left then, one that did not clip does not; a basket that was
//! denied stays denied. What a rule with caps of its own gave is what its lines earn with it beyond what they earn at the
//! base rate beside the other rules that counted.
//!
//! What must stay true: it follows from the record and the version of the programme that judged it; of the whole basket it
//! gives what the record says, or more.

use super::Left;
use super::stamps::{StampsLeft, giving_bonuses};
use crate::ledger::command::{Basket, Line};
use crate::ledger::decision::{BonusAward, Clip, CounterChange, Decision, LineOutcome};
use crate::ledger::earn::LineSums;
use crate::ledger::program::{
    BPS_ONE, Cap, CapMeasure, CappedRule, Conditions, LineClass, MetricMeasure, OwnAverage, Program, Rounding,
    RuleIndex,
};
use crate::ledger::types::{SymbolId, Units};

/// An accrual as its record says it, with the version that judged it.
#[derive(Clone, Copy)]
pub(super) struct Recorded<'a> {
    pub program: &'a Program,
    pub basket: &'a Basket,
    pub decision: &'a Decision,
}

/// What the rest of a basket is to have of everything that the whole changed, in the order of the record.
#[derive(Debug)]
pub(super) struct Remaining {
    pub units: Units,
    pub counters: Vec<i64>,
    /// Of the cells from which something was taken.
    pub cells: Vec<i64>,
}

/// The rest of a basket as far as bounds look at it.
struct Rest<'a> {
    eligible_minor: i64,
    granted: Units,
    /// What each stamp card keeps.
    stamps: Vec<StampsLeft<'a>>,
    /// What each rule with caps gives, in the order of the programme; empty where none counts.
    shares: Vec<Share>,
}

/// What a rule with caps of its own gives to the rest of a basket.
#[derive(Clone, Copy, Default)]
struct Share {
    units: Units,
    /// The amount of its lines.
    amount_minor: i64,
    /// What its caps withheld of the whole basket, as far as they were looked at.
    withheld: Units,
}

impl<'a> Recorded<'a> {
    /// Decides the rest of the basket.
    pub fn remaining(&self, left: &[Left]) -> Remaining {
        let eligible_minor = self.eligible_minor(left);
        let (granted, shares) =
            if self.decision.over_velocity.is_some() { (0, Vec::new()) } else { self.granted(left, eligible_minor) };
        let stamps = self.stamps_left(left, eligible_minor).collect();
        let rest = Rest { eligible_minor, granted, stamps, shares };
        let counters = self.decision.effects.counters.iter();
        let counters = counters.map(|change| self.counted(change, &rest).unwrap_or(change.delta)).collect();
        let taken = self.decision.cells.iter().filter(|cell| cell.used != 0);
        let cells = taken.map(|cell| self.drawn(cell.cell.name, &rest).unwrap_or(cell.used)).collect();
        Remaining { units: granted, counters, cells }
    }

    /// What the account's remainder is to differ by from what the whole basket left, once this is left of it; `None`
    /// where nothing is carried.
    pub fn carried_after(&self, left: &[Left], is_nothing: bool) -> Option<i64> {
        if self.program.earn.rounding != Rounding::Carry || self.decision.over_velocity.is_some() {
            return None;
        }
        let (before, after) = (self.remainder_before(), self.decision.effects.remainder.unwrap_or(0));
        let sum = before + self.exact(left);
        let rest = match sum {
            _ if is_nothing => before,
            0.. => sum % self.sums(0).denominator(),
            // More had come back to the account than it had earned since.
            _ => sum,
        };
        i64::try_from(rest - i128::from(after)).ok()
    }

    /// What earlier baskets had left over: what this one had to round, less what its lines came to. Where the record
    /// says that nothing changed, what there was does not matter.
    fn remainder_before(&self) -> i128 {
        if self.program.earn.rounding != Rounding::Carry {
            return 0;
        }
        let whole = self.whole();
        let bonuses = self.decision.bonuses.iter().fold(0, |sum: Units, award| sum.saturating_add(award.units));
        let of_cards = self.decision.stamps.iter().map(|outcome| {
            let card = self.program.stamp_card(outcome.card);
            card.map_or(0, |card| card.units(outcome.rewards))
        });
        let fixed = of_cards.fold(bonuses, Units::saturating_add);
        let units = i128::from(self.decision.earned.saturating_sub(fixed));
        let after = i128::from(self.decision.effects.remainder.unwrap_or(0));
        let exact = self.exact(&whole);
        units * self.sums(0).denominator() + after - exact
    }

    fn whole(&self) -> Vec<Left> {
        self.basket.lines.iter().map(Left::of).collect()
    }

    fn eligible_minor(&self, left: &[Left]) -> i64 {
        let lines = self.decision.lines.iter().zip(left);
        lines.filter(|(line, _)| line.class != LineClass::Ineligible).map(|(_, left)| left.amount_minor).sum()
    }

    fn sums(&self, remainder: i64) -> LineSums<'a> {
        let level = self.decision.tier.map_or(0, |standing| standing.level);
        let level = self.program.tiers.as_ref().and_then(|ladder| ladder.at(level));
        LineSums::new(self.program, level.map_or(BPS_ONE, |level| level.multiplier_bps), remainder)
    }

    /// The lines that are left: what each earns by and what counts beside that, without the rules that `is_away` names
    /// and those whose threshold is not reached.
    fn lines(&self, left: &[Left], eligible_minor: i64, is_away: &dyn Fn(RuleIndex) -> bool) -> Vec<LineLeft> {
        let counts = |rule: RuleIndex| {
            let when = self.program.lines.rule(rule).and_then(|rule| rule.when.as_deref());
            when.is_none_or(|when| reaches(when, eligible_minor)) && !is_away(rule)
        };
        let lines = self.decision.lines.iter().zip(&self.basket.lines).zip(left).zip(0..);
        // A line of nothing is there as long as there is any other.
        let is_there = |bought: &Line, left: &Left| !left.is_none() || (bought.quantity, bought.amount_minor) == (0, 0);
        let lines = lines.filter(|(((_, bought), left), _)| is_there(bought, left));
        let line = |(((line, _), left), number): (((&LineOutcome, &Line), &Left), u32)| {
            let class = match line.class {
                LineClass::Rule(rule) if !counts(rule) => LineClass::Base,
                class => class,
            };
            let beside = self.decision.stacked.iter().filter(|(of, rule)| *of == number && counts(*rule));
            LineLeft { class, beside: beside.map(|(_, rule)| *rule).collect(), left: *left }
        };
        lines.map(line).collect()
    }

    /// What the lines come to before rounding.
    fn exact(&self, left: &[Left]) -> i128 {
        let sums = self.sums(0);
        let lines = self.lines(left, self.eligible_minor(left), &|_| false).into_iter();
        let earning = lines.filter(|line| line.class != LineClass::Ineligible);
        let exact = earning.map(|line| {
            sums.exact(line.class, line.beside.iter().copied(), line.left.amount_minor, line.left.quantity)
        });
        exact.sum()
    }

    /// The units that lines earn together with what earlier baskets left over.
    fn units(&self, lines: &[LineLeft]) -> Units {
        let remainder = i64::try_from(self.remainder_before()).unwrap_or(0);
        let mut sums = self.sums(remainder);
        for line in lines {
            sums.add(line.class, line.beside.iter().copied(), line.left.amount_minor, line.left.quantity);
        }
        sums.units().0
    }

    /// What the rest is granted, and what of that each rule with caps gives.
    fn granted(&self, left: &[Left], eligible_minor: i64) -> (Units, Vec<Share>) {
        let awards = self.decision.bonuses.iter().filter(|award| self.stands(award, eligible_minor));
        let bonuses = awards.fold(0, |sum: Units, award| sum.saturating_add(award.units));
        let lines = self.lines(left, eligible_minor, &|_| false);
        let of_cards = self.stamps_left(left, eligible_minor).map(|card| card.units());
        let fixed = of_cards.fold(bonuses, Units::saturating_add);
        let mut granted = self.units(&lines).saturating_add(fixed);
        let (of_rules, others) = self.clips();
        let mut shares = Vec::new();
        if !self.program.lines.capped.is_empty() {
            let whole = self.whole();
            let of_whole = self.shares(&whole, self.eligible_minor(&whole));
            shares = self.shares(left, eligible_minor);
            for (place, withheld) in of_rules {
                let room = |share: &Share, before: Units| (share.units - before - withheld).max(0);
                let (Some(share), Some(then)) = (shares.get_mut(place), of_whole.get(place)) else { continue };
                let over = (share.units - room(then, share.withheld)).max(0);
                share.withheld += withheld;
                share.units -= over;
                granted -= over;
            }
        }
        for room in others {
            granted = granted.min(room);
        }
        settle(&mut shares, granted);
        (granted.max(0), shares)
    }

    /// What clipped: for each clip of a rule's cap the rule's place among those with caps and what was withheld; and for
    /// each other clip what it left.
    fn clips(&self) -> (Vec<(usize, Units)>, Vec<Units>) {
        let (mut of_rules, mut others) = (Vec::new(), Vec::new());
        let mut granted = self.decision.earned;
        for clip in &self.decision.clips {
            granted = granted.saturating_sub(clip.units);
            match self.capped_place(clip) {
                Some(place) => of_rules.push((place, clip.units)),
                None => others.push(granted),
            }
        }
        (of_rules, others)
    }

    fn capped_place(&self, clip: &Clip) -> Option<usize> {
        let is_cap = |cap: &Cap| cap.symbol == clip.source && !clip.is_budget;
        self.program.lines.capped.iter().position(|capped| capped.caps.iter().any(is_cap))
    }

    /// What each rule with caps gives, one after the other taken away in the order of the programme.
    fn shares(&self, left: &[Left], eligible_minor: i64) -> Vec<Share> {
        let table = &self.program.lines;
        let lines = self.lines(left, eligible_minor, &|_| false);
        let mut with = self.units(&lines);
        let mut undivided = with;
        let share = |(place, capped): (usize, &CappedRule)| {
            let counts =
                |line: &&LineLeft| line.class == LineClass::Rule(capped.rule) || line.beside.contains(&capped.rule);
            let own = lines.iter().filter(counts).map(|line| line.left.amount_minor);
            let mut share = Share { amount_minor: own.sum(), ..Share::default() };
            if lines.iter().any(|line| counts(&line)) {
                let is_away = |rule| table.capped_place(rule).is_some_and(|other| other <= place);
                let without = self.units(&self.lines(left, eligible_minor, &is_away));
                share.units = (with - without).clamp(0, undivided);
                undivided -= share.units;
                with = without;
            }
            share
        };
        table.capped.iter().enumerate().map(share).collect()
    }

    /// Whether a bonus is still earned.
    fn stands(&self, award: &BonusAward, eligible_minor: i64) -> bool {
        self.program.bonus(award.bonus).is_none_or(|bonus| reaches(&bonus.when, eligible_minor))
    }

    /// What is to be left in a counter of what the whole basket counted; `None` for one that stays as it is, or that the
    /// programme does not have.
    fn counted(&self, change: &CounterChange, rest: &Rest<'_>) -> Option<i64> {
        let metric = self.program.metrics.iter().find(|metric| metric.symbol == change.counter);
        let counted = metric.map(|metric| match metric.measure {
            // As long as anything is left of it, it is one of the baskets of an average.
            MetricMeasure::EligibleAmount if metric.is_averaged && change.period == OwnAverage::BASKETS => 1,
            MetricMeasure::EligibleAmount => rest.eligible_minor,
            MetricMeasure::Units => rest.granted,
            MetricMeasure::Baskets => 1,
        });
        let of_card = || rest.stamps.iter().find_map(|card| card.counted(change.counter));
        counted.or_else(of_card).or_else(|| self.drawn(change.counter, rest))
    }

    /// The same of a cap, a budget, or the uses of a bonus.
    fn drawn(&self, name: SymbolId, rest: &Rest<'_>) -> Option<i64> {
        let program = self.program;
        if let Some(cap) = program.caps.iter().find(|cap| cap.symbol == name) {
            return Some(measured(cap, rest.granted, rest.eligible_minor));
        }
        // A part changes no voucher: what gave one was had.
        if giving_bonuses(program, self.decision).any(|(bonus, _)| bonus == name) {
            return None;
        }
        if let Some(bonus) = program.bonuses.iter().position(|bonus| bonus.symbol == name) {
            let is_it = |award: &&BonusAward| usize::from(award.bonus.0) == bonus;
            let mut awards = self.decision.bonuses.iter().filter(is_it);
            return Some(i64::from(awards.any(|award| self.stands(award, rest.eligible_minor))));
        }
        let of_rule = program.lines.capped.iter().zip(&rest.shares).find_map(|(capped, share)| {
            let cap = capped.caps.iter().find(|cap| cap.symbol == name)?;
            Some(measured(cap, share.units, share.amount_minor))
        });
        let is_budget = || program.budgets.iter().any(|budget| budget.symbol == name);
        of_rule.or_else(|| is_budget().then_some(rest.granted))
    }
}

/// What is left of a line, and what it earns by.
struct LineLeft {
    class: LineClass,
    beside: Vec<RuleIndex>,
    left: Left,
}

/// Whether a basket of this eligible amount reaches the threshold of conditions. (What the account's own average made of
/// it then is not asked again.)
pub(super) fn reaches(when: &Conditions, eligible_minor: i64) -> bool {
    eligible_minor >= when.eligible_minor_min
}

/// What counts for a cap: nothing where nothing is granted.
fn measured(cap: &Cap, units: Units, eligible_minor: i64) -> i64 {
    match cap.measure {
        CapMeasure::Units => units,
        CapMeasure::EarningBaskets => i64::from(units > 0),
        CapMeasure::EligibleAmount if units > 0 => eligible_minor,
        CapMeasure::EligibleAmount => 0,
    }
}

/// What other bounds withhold is no rule's as long as there is anything else.
fn settle(shares: &mut [Share], granted: Units) {
    let mut undivided = granted.max(0);
    for share in shares {
        share.units = share.units.min(undivided);
        undivided -= share.units;
    }
}
