//! Stamp cards in an account: what a basket counted on them, and what is left of that when it comes back.
//!
//! A card has two counters of the account, per period of its window: the stamps, and the rewards that were given. A basket
//! gives the rewards that the stamps with its own come to beyond those that were given before.
//!
//! What must stay true: both counters are moved by every basket by what its record says, and moved back by no more; a voucher
//! that was used counts as given for ever, so that nobody fills a card with what came back.

use super::account::Account;
use super::command::Granted;
use super::decision::{CellUse, CounterChange, Decision};
use super::program::{Periods, Program, StampCard, StampIndex};
use super::types::SymbolId;
use super::voucher::{VoucherChange, VoucherCode};

/// What a basket counted on one card, and what the card held before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StampOutcome {
    /// Which of the programme's.
    pub card: StampIndex,
    /// Stamps collected before, in the same period.
    pub stamps_before: i64,
    /// Rewards given before, in the same period.
    pub given_before: i64,
    /// Stamps of this basket, more than 0.
    pub counted: i64,
    /// Rewards that it gave.
    pub rewards: i64,
    /// Whether these are vouchers.
    pub are_vouchers: bool,
}

impl StampOutcome {
    /// The stamps on the card afterwards: see [`StampCard::on_card`].
    #[must_use]
    pub fn on_card(&self, card: &StampCard) -> i64 {
        card.on_card(self.stamps_before.saturating_add(self.counted), self.given_before.saturating_add(self.rewards))
    }
}

/// The vouchers that a basket gave for one card, or for one bonus, for whoever takes the basket back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CardVouchers {
    /// The counter of the rewards that the card gave; of a bonus that of its uses, and its places.
    pub given: SymbolId,
    /// The number of the first voucher among those that the basket gave.
    pub first: u8,
    /// How many, at least 1.
    pub count: u8,
}

/// What is on each card of a programme, for an account at the instant of these periods.
pub fn on_cards<'p>(
    account: &Account,
    program: &'p Program,
    periods: Periods,
) -> impl Iterator<Item = (&'p StampCard, i64)> {
    program.stamps.iter().map(move |card| {
        let counted = |counter| account.counter(counter, periods.of(card.window));
        (card, card.on_card(counted(card.symbol), counted(card.given)))
    })
}

/// The vouchers that a decision gave for full cards. Those of bonuses come first, then those of cards; the counters of cards
/// are the last that the decision moves, each card's stamps before its rewards.
#[must_use]
pub fn card_vouchers(decision: &Decision) -> Box<[CardVouchers]> {
    if decision.stamps.is_empty() {
        return Box::default();
    }
    let is_given = |change: &VoucherChange| matches!(change, VoucherChange::Given(_));
    let given = decision.effects.vouchers.iter().filter(|(_, change)| is_given(change)).count();
    let mut next = u8::try_from(given).unwrap_or(u8::MAX);
    let mut counters = decision.effects.counters.iter().rev();
    let mut found = Vec::new();
    for outcome in decision.stamps.iter().rev() {
        let counter = if outcome.rewards > 0 { counters.next() } else { None };
        counters.next();
        let Some(counter) = counter.filter(|_| outcome.are_vouchers) else { continue };
        let count = u8::try_from(outcome.rewards).unwrap_or(u8::MAX).min(next);
        next -= count;
        if count > 0 {
            found.push(CardVouchers { given: counter.counter, first: next, count });
        }
    }
    found.reverse();
    found.into()
}

/// Whether the last counters that a decision moves are those of its cards.
#[must_use]
pub fn counts_as_stated(decision: &Decision) -> bool {
    let mut counters = decision.effects.counters.iter().rev();
    let mut moves = |delta: i64| counters.next().is_some_and(|change| change.delta == delta);
    decision
        .stamps
        .iter()
        .rev()
        .all(|outcome| (outcome.rewards == 0 || moves(outcome.rewards)) && moves(outcome.counted))
}

/// Leaves in the counters of rewards, and in the uses and places of bonuses, what stays given when a basket comes back: what
/// is cancelled of the vouchers counts no longer, all others do.
pub fn keep_given(
    original: &Granted,
    (partner, original_id): (SymbolId, &str),
    vouchers: &[(VoucherCode, VoucherChange)],
    counters: &mut Vec<CounterChange>,
    cells: &mut [CellUse],
) {
    if original.stamps.is_empty() {
        return;
    }
    for card in &original.stamps {
        let numbers = card.first..card.first.saturating_add(card.count);
        let is_cancelled = |number: &u8| {
            let code = VoucherCode::of(partner, original_id, *number);
            vouchers.contains(&(code, VoucherChange::Cancelled))
        };
        let cancelled = i64::try_from(numbers.filter(is_cancelled).count()).expect("these are few");
        if let Some(change) = counters.iter_mut().find(|change| change.counter == card.given) {
            change.delta = -cancelled;
        }
        if let Some(taken) = cells.iter_mut().find(|taken| taken.cell.name == card.given) {
            taken.used = -cancelled;
        }
    }
    counters.retain(|change| change.delta != 0);
}
