//! Stamps that a basket counts, and what full cards give.
//!
//! What must stay true: a card gives a reward for every full count of stamps, once; what it could not give, because a cap
//! holds the basket or the account has no room for another voucher, is due with the next stamp.

use super::bounds::Bounded;
use super::vouchers;
use crate::ledger::account::Account;
use crate::ledger::command::{Basket, Command};
use crate::ledger::decision::Decision;
use crate::ledger::program::{Facts, Periods, StampCard, StampIndex, StampReward};
use crate::ledger::stamps::StampOutcome;
use crate::ledger::state::Context;
use crate::ledger::types::MemberKey;
use crate::limits;

/// Counts the stamps of a basket whose lines are judged, and adds the units that full cards give to what it earned.
pub(super) fn count(
    account: &Account,
    basket: &Basket,
    periods: Periods,
    facts: &Facts<'_>,
    context: &Context<'_>,
    out: &mut Decision,
) {
    for (card, index) in context.program.stamps.iter().zip(0..) {
        let counted = stamps_of(card, basket, out);
        if counted == 0 || !card.when.hold(facts) {
            continue;
        }
        let before = |counter| account.counter(counter, periods.of(card.window));
        let (stamps_before, given_before) = (before(card.symbol), before(card.given));
        let due = card.due(stamps_before.saturating_add(counted), given_before);
        // Vouchers are given when it is known whether anything holds the basket.
        let rewards = if card.gives_voucher() { 0 } else { due };
        // All stamps of the window count, so that a smaller card can make more due than any balance holds.
        out.earned = out.earned.saturating_add(card.units(rewards)).min(limits::UNITS_MAX);
        let are_vouchers = card.gives_voucher();
        let card = StampIndex(index);
        out.stamps.push(StampOutcome { card, stamps_before, given_before, counted, rewards, are_vouchers });
    }
}

/// The stamps of a basket on one card.
fn stamps_of(card: &StampCard, basket: &Basket, out: &Decision) -> i64 {
    let lines = basket.lines.iter().zip(&out.lines);
    let counting = lines.filter(|(line, judged)| card.counts_line(judged.class, &line.item, line.amount_minor));
    card.stamps(counting.map(|(line, _)| line.quantity))
}

/// Gives the vouchers of full cards, after so many that bonuses gave; none where a cap denied the basket or holds it.
pub(super) fn give(account: &Account, command: &Command, given: u8, context: &Context<'_>, out: &mut Decision) {
    if out.over_velocity.is_some() || out.effects.held.is_some() {
        return;
    }
    let (program, mut number) = (context.program, given);
    for place in 0..out.stamps.len() {
        let found = out.stamps.get(place).and_then(|outcome| Some((*outcome, program.stamp_card(outcome.card)?)));
        let (outcome, card) = found.expect("a decision counts on cards of its programme");
        let StampReward::Voucher(index) = card.reward else { continue };
        let kind = program.voucher(index).expect("a card gives a voucher of its programme");
        let due = card.due(outcome.stamps_before.saturating_add(outcome.counted), outcome.given_before);
        let mut rewards = 0;
        while rewards < due
            && number < limits::VOUCHERS_OF_ONE_MAX
            && vouchers::put(account, (command, number), kind, context, out).is_ok()
        {
            (rewards, number) = (rewards + 1, number + 1);
        }
        if let Some(outcome) = out.stamps.get_mut(place) {
            outcome.rewards = rewards;
        }
    }
}

/// Moves the counters of cards, last of all counters: of each the stamps, then the rewards. A basket that was denied counts
/// none.
pub(super) fn note(bounded: &Bounded<'_>, out: &mut Decision) {
    if out.over_velocity.is_some() {
        out.stamps.clear();
    }
    for place in 0..out.stamps.len() {
        let found = out.stamps.get(place).copied();
        let found = found.and_then(|outcome| Some((outcome, bounded.context.program.stamp_card(outcome.card)?)));
        let (outcome, card) = found.expect("a decision counts on cards of its programme");
        for (counter, delta) in [(card.symbol, outcome.counted), (card.given, outcome.rewards)] {
            bounded.push_counter((counter, MemberKey::NONE), card.window, 0, delta, out);
        }
    }
}
