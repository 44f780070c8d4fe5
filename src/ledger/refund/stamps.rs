//! The stamps of the rest of a basket: what of them stands, and of the rewards that they made; and which bonus gave which
//! voucher.
//!
//! What must stay true: what is left never counts more than the whole did; a part takes no voucher, and leaves them counted
//! as given; so it does those of bonuses.

use super::Left;
use super::remaining::{Recorded, reaches};
use crate::ledger::command::{Granted, Line};
use crate::ledger::decision::Decision;
use crate::ledger::program::{Program, StampCard};
use crate::ledger::stamps::CardVouchers;
use crate::ledger::types::{SymbolId, Units};
use crate::ledger::voucher::VoucherChange;

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

/// The bonuses that gave vouchers, each with the number of its own. When one finds no room, those after it find none.
pub(super) fn giving_bonuses<'a>(
    program: &'a Program,
    decision: &'a Decision,
) -> impl Iterator<Item = (SymbolId, u8)> + 'a {
    let is_given = |change: &VoucherChange| matches!(change, VoucherChange::Given(_));
    let given = decision.effects.vouchers.iter().filter(|(_, change)| is_given(change)).count();
    let of_cards = decision.stamps.iter().filter(|outcome| outcome.are_vouchers).map(|outcome| outcome.rewards);
    let of_cards = of_cards.fold(0, i64::saturating_add);
    let of_bonuses = given.saturating_sub(usize::try_from(of_cards).unwrap_or(usize::MAX));
    let bonuses = decision.bonuses.iter().filter_map(|award| program.bonus(award.bonus));
    let giving = bonuses.filter(|bonus| bonus.voucher.is_some()).map(|bonus| bonus.symbol);
    giving.zip(0..).take(of_bonuses)
}

/// What an accrual changed, with the vouchers of those bonuses whose uses or places are counted: in front of those of cards,
/// as their numbers are.
pub(super) fn with_bonuses(mut granted: Granted, program: &Program, decision: &Decision) -> Granted {
    let is_counted = |name: SymbolId| {
        granted.counters.iter().any(|change| change.counter == name)
            || granted.cells.iter().any(|taken| taken.cell.name == name)
    };
    let counted = giving_bonuses(program, decision).filter(|(name, _)| is_counted(*name));
    let counted: Vec<_> = counted.map(|(given, first)| CardVouchers { given, first, count: 1 }).collect();
    if !counted.is_empty() {
        granted.stamps = counted.into_iter().chain(granted.stamps.iter().copied()).collect();
    }
    granted
}
