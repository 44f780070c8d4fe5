//! An accrual that comes back in parts: what of it still stands, and what a part takes back.
//!
//! The rule: what is left of the basket is decided again with what its record says of the time when it was decided, and
//! what the account has beyond that goes back. Lines keep the rules that counted for them; what depended on a threshold
//! that the rest of the basket does not reach counts no more; what clipped leaves as much as it left then. See
//! [`remaining`].
//!
//! What must stay true:
//! - all parts of an accrual together are the accrual, unit by unit, counter by counter, cell by cell: each takes what
//!   stood before it less what stands after it, and after the last nothing stands;
//! - what stands never grows: where the rest of a basket would earn more by itself, nothing goes back;
//! - nothing here looks at an account, a cell or a clock: the same records give the same part for ever.

mod remaining;
mod stamps;

use super::command::{Basket, Granted, Line, Part, ReturnedLine, Reversal};
use super::decision::{CounterChange, Decision, Refusal};
use super::program::Program;
use super::types::Position;
use crate::limits;
use remaining::{Recorded, Remaining};
use stamps::with_bonuses;

/// What has not come back of one line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// How many.
    pub quantity: i64,
    /// For how much, in minor units.
    pub amount_minor: i64,
}

impl Left {
    /// All of a line.
    fn of(line: &Line) -> Self {
        Self { quantity: line.quantity, amount_minor: line.amount_minor }
    }

    /// Whether there is nothing that could come back.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

/// An accrual, and what earlier reversals have left of it.
#[derive(Debug)]
pub struct Standing<'a> {
    basket: &'a Basket,
    decision: &'a Decision,
    lines: Vec<Left>,
    granted: Granted,
    /// What earlier reversals changed the account's remainder by.
    carried: i64,
    /// The last of the earlier reversals.
    earlier: Option<Position>,
    count: usize,
}

/// Why lines cannot come back, with the field of the command that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreturnable {
    /// The refusal.
    pub refusal: Refusal,
    /// The place among the lines that are asked for, and the field there; `None` where no line is at fault.
    pub field: Option<(usize, &'static str)>,
}

/// A record that says of an accrual what cannot be: damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contradiction;

impl<'a> Standing<'a> {
    /// A granted accrual of which nothing has come back: its basket, what was decided, and what that changed.
    #[must_use]
    pub fn whole(basket: &'a Basket, decision: &'a Decision, granted: Granted) -> Self {
        let lines = basket.lines.iter().map(Left::of).collect();
        Self { basket, decision, lines, granted, carried: 0, earlier: None, count: 0 }
    }

    /// Takes off what an earlier reversal took back. They may come in any order, but for the last of them, which is told
    /// with its position.
    ///
    /// # Errors
    /// When the reversal took back what there was not, or the whole.
    pub fn take(&mut self, reversal: &Reversal, last_at: Option<Position>) -> Result<(), Contradiction> {
        let part = reversal.part.as_deref().filter(|part| !part.is_last).ok_or(Contradiction)?;
        for line in &part.lines {
            let place = usize::try_from(line.line).ok().and_then(|place| self.lines.get_mut(place));
            let left = place.ok_or(Contradiction)?;
            left.quantity = less(left.quantity, line.quantity)?;
            left.amount_minor = less(left.amount_minor, line.amount_minor)?;
        }
        self.granted.units = less(self.granted.units, reversal.original.units)?;
        for taken in &reversal.original.counters {
            let key = |change: &CounterChange| (change.counter, change.member, change.period);
            let left = self.granted.counters.iter_mut().find(|left| key(left) == key(taken)).ok_or(Contradiction)?;
            left.delta = less(left.delta, taken.delta)?;
        }
        for taken in &reversal.original.cells {
            let left = self.granted.cells.iter_mut().find(|left| left.cell == taken.cell).ok_or(Contradiction)?;
            left.used = less(left.used, taken.used)?;
        }
        self.carried = self.carried.saturating_add(part.carried.map_or(0, |(_, carried)| carried));
        self.earlier = last_at.or(self.earlier);
        self.count += 1;
        Ok(())
    }

    /// What is left, line by line.
    #[must_use]
    pub fn lines(&self) -> &[Left] {
        &self.lines
    }

    /// What a reversal of these lines takes back, or of whatever is left where there are none. `program` is the version
    /// that judged the accrual; the lines are ascending, each once, with either a quantity or an amount.
    ///
    /// # Errors
    /// When so much is not left, or not by such a measure.
    pub fn part(
        &self,
        program: &Program,
        asked: &[ReturnedLine],
    ) -> Result<(Granted, Option<Box<Part>>), Unreturnable> {
        let is_rest = asked.is_empty();
        let lines = if is_rest { self.rest() } else { self.resolve(asked)? };
        let mut after = self.lines.clone();
        for line in &lines {
            let left = usize::try_from(line.line).ok().and_then(|place| after.get_mut(place));
            let left = left.expect("what comes back is of lines of the basket");
            left.quantity -= line.quantity;
            left.amount_minor -= line.amount_minor;
        }
        let is_last = is_rest || after.iter().all(|left| left.is_none());
        if !is_last && self.count >= limits::REVERSALS_OF_ONE_MAX {
            return Err(Unreturnable { refusal: Refusal::ReturnLimitReached, field: None });
        }
        let recorded = Recorded { program, basket: self.basket, decision: self.decision };
        let carried = recorded.carried_after(&after, is_last).map_or(0, |carried| carried - self.carried);
        if is_rest && self.earlier.is_none() && carried == 0 {
            return Ok((with_bonuses(self.granted.clone(), program, self.decision), None));
        }
        let undone = if is_last { self.granted.clone() } else { self.less(&recorded.remaining(&after)) };
        let carried = (carried != 0).then_some((program.version, carried));
        let part = Part { earlier: self.earlier, lines, is_rest, is_last, carried };
        let undone = without_nothing(undone);
        let undone = if is_last { with_bonuses(undone, program, self.decision) } else { undone };
        Ok((undone, Some(Box::new(part))))
    }

    /// All that is left of lines.
    fn rest(&self) -> Vec<ReturnedLine> {
        let lines = self.lines.iter().zip(0..).filter(|(left, _)| !left.is_none());
        let line = |(left, line): (&Left, u32)| {
            let Left { quantity, amount_minor } = *left;
            ReturnedLine { line, quantity, amount_minor }
        };
        lines.map(line).collect()
    }

    /// The amounts of what is asked for by quantity: of all that ever came back of a line they are its share of the
    /// line's amount, rounded down, so that they add up.
    fn resolve(&self, asked: &[ReturnedLine]) -> Result<Vec<ReturnedLine>, Unreturnable> {
        let resolved = asked.iter().enumerate().map(|(place, asked)| {
            let wrong = |refusal, field| Err(Unreturnable { refusal, field: Some((place, field)) });
            let found = usize::try_from(asked.line).ok();
            let found = found.and_then(|place| Some((self.basket.lines.get(place)?, self.lines.get(place)?)));
            let Some((line, left)) = found else { return wrong(Refusal::LineUnknown, "line_index") };
            if line.quantity == 0 {
                return match asked.quantity {
                    0 if asked.amount_minor <= left.amount_minor => Ok(*asked),
                    0 => wrong(Refusal::ReturnTooLarge, "amount_minor"),
                    _ => wrong(Refusal::LineUnknown, "quantity"),
                };
            }
            if asked.quantity == 0 {
                return wrong(Refusal::LineUnknown, "amount_minor");
            }
            if asked.quantity > left.quantity {
                return wrong(Refusal::ReturnTooLarge, "quantity");
            }
            let returned = line.quantity - left.quantity + asked.quantity;
            let share = i128::from(line.amount_minor) * i128::from(returned) / i128::from(line.quantity);
            let share = i64::try_from(share).expect("a share is no larger than the whole");
            let amount_minor = share - (line.amount_minor - left.amount_minor);
            Ok(ReturnedLine { amount_minor, ..*asked })
        });
        resolved.collect()
    }

    /// What stands less what is to stand, which is never more.
    fn less(&self, target: &Remaining) -> Granted {
        let taken = |left: i64, target: i64| left - target.min(left);
        let mut undone = self.granted.clone();
        // Vouchers go with the last part.
        undone.stamps = Box::default();
        undone.units = taken(undone.units, target.units);
        for (change, target) in undone.counters.iter_mut().zip(&target.counters) {
            change.delta = taken(change.delta, *target);
        }
        for (cell, target) in undone.cells.iter_mut().zip(&target.cells) {
            cell.used = taken(cell.used, *target);
        }
        undone
    }
}

/// Without the counters and cells to which nothing goes back, and without a lot where no units do.
fn without_nothing(mut undone: Granted) -> Granted {
    undone.counters.retain(|change| change.delta != 0);
    undone.cells.retain(|cell| cell.used != 0);
    undone.lot = undone.lot.filter(|_| undone.units > 0);
    undone
}

fn less(left: i64, taken: i64) -> Result<i64, Contradiction> {
    left.checked_sub(taken).filter(|rest| (0..=left).contains(rest)).ok_or(Contradiction)
}
