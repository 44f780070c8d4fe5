//! The stamps of the rest of a basket: what of them stands, and of the rewards that they made.
//!
//! What must stay true: what is left never counts more than the whole did; a part takes no voucher, and leaves them counted
//! as given.

use super::Left;
use super::remaining::{Recorded, reaches};
use crate::ledger::command::Line;
use crate::ledger::program::StampCard;
use crate::ledger::types::{SymbolId, Units};

/// What is left of what a basket counted on one card.
#[derive(Clone, Copy, Debug)]
pub(super) struct StampsLeft<'a> {
    card: &'a StampCard,
    stamps: i64,
    rewards: i64,
}

impl StampsLeft<'_> {
    /// Units of what is left.
    pub fn units(&self) -> Units {
        self.card.units(self.rewards)
    }

    /// What is to be left in a counter, if it is one of this card.
    pub fn counted(&self, counter: SymbolId) -> Option<i64> {
        match counter {
            _ if counter == self.card.symbol => Some(self.stamps),
            _ if counter == self.card.given => Some(self.rewards),
            _ => None,
        }
    }
}

impl<'a> Recorded<'a> {
    /// What each card on which the basket counted is to keep, once this is left of the basket.
    pub fn stamps_left(&self, left: &[Left], eligible_minor: i64) -> impl Iterator<Item = StampsLeft<'a>> {
        let decision = self.decision;
        decision.stamps.iter().filter_map(move |outcome| {
            let card = self.program.stamp_card(outcome.card)?;
            let stamps = if reaches(&card.when, eligible_minor) { self.stamps_on(card, left) } else { 0 };
            let stamps = stamps.min(outcome.counted);
            let due = card.due(outcome.stamps_before.saturating_add(stamps), outcome.given_before);
            let rewards = match card.gives_voucher() {
                true => outcome.rewards,
                false if stamps == 0 => 0,
                false => due.min(outcome.rewards),
            };
            Some(StampsLeft { card, stamps, rewards })
        })
    }

    /// The stamps of what is left of the lines.
    fn stamps_on(&self, card: &StampCard, left: &[Left]) -> i64 {
        let lines = self.basket.lines.iter().zip(&self.decision.lines).zip(left);
        let counts = |line: &Line, class| card.counts_line(class, &line.item, line.amount_minor);
        let counting = lines.filter(|((line, judged), left)| !left.is_none() && counts(line, judged.class));
        card.stamps(counting.map(|(_, left)| left.quantity))
    }
}
