//! A basket: what its lines earn, what the account's level and bonuses add, and what caps and budgets leave of it.

use super::bounds::{self, Bounded};
use crate::ledger::account::Account;
use crate::ledger::command::Basket;
use crate::ledger::decision::{
    BonusAward, Decision, LineOutcome, LotChange, LotKey, Movement, Outcome, TierStanding, TotalsChange,
};
use crate::ledger::earn::LineSums;
use crate::ledger::program::{BonusIndex, Conditions, Facts, LineClass, Periods, Program, TierLadder, Trigger};
use crate::ledger::state::Context;
use crate::ledger::types::{SymbolId, Units};
use crate::ledger::zone::weekday;

pub(super) fn decide(account: &Account, partner: SymbolId, basket: &Basket, context: &Context<'_>, out: &mut Decision) {
    let program = context.program;
    if let Err(refusal) = super::check_event_time(basket.receipt_at, context) {
        out.outcome = Outcome::Refused(refusal);
        return;
    }
    let (day, minute) = program.zone.day_and_minute(basket.receipt_at);
    let periods = Periods::on(day, minute);
    let standing = standing(account, program, periods);
    let mut facts = Facts {
        day,
        weekday: weekday(day),
        minute,
        store: basket.store,
        channel: basket.channel,
        payment_method: basket.payment_method,
        partner,
        segments: account.segments(),
        level: standing.map_or(0, |standing| standing.level),
        eligible_minor: 0,
        basket_number: account.totals.baskets.saturating_add(1),
    };
    if program.lines.needs_eligible_amount {
        facts.eligible_minor = eligible_minor(program, basket);
    }
    let (earned, eligible_minor) = judge_lines(program, basket, &facts, out);
    facts.eligible_minor = eligible_minor;
    out.earned = earned;
    award_bonuses(account, Trigger::Basket, periods, &facts, context, out);

    let bounded = Bounded { account, basket: Some(basket), partner, periods, eligible_minor, context };
    bounded.apply(out);
    grant(partner, periods, context, out);
    bounded.count(out);
    note_standing(standing, account, program, periods, out);
    out.effects.totals = TotalsChange::of_basket(&out.clips, out.over_velocity.is_some());
    bounds::check_balance(account, context, out);
}

/// Judges every line; the units that all earn together, and the eligible amount.
fn judge_lines(program: &Program, basket: &Basket, facts: &Facts<'_>, out: &mut Decision) -> (Units, i64) {
    let tier_bps = program.tiers.as_ref().and_then(|ladder| ladder.at(facts.level)).map(|level| level.multiplier_bps);
    let mut sums = LineSums::new(program, tier_bps);
    let mut eligible_minor = 0;
    for (line, number) in basket.lines.iter().zip(0..) {
        let first = out.stacked.len();
        let stacked = &mut out.stacked;
        let holds = |when: &Conditions| when.hold(facts);
        let class = program.lines.judge(&line.item, holds, |rule| stacked.push((number, rule)));
        out.lines.push(LineOutcome { class });
        if class != LineClass::Ineligible {
            eligible_minor += line.amount_minor;
        }
        let beside = out.stacked.get_mut(first..).unwrap_or_default();
        beside.sort_unstable_by_key(|(_, rule)| *rule);
        sums.add(class, beside.iter().map(|(_, rule)| *rule), line.amount_minor, line.quantity);
    }
    (sums.units(), eligible_minor)
}

fn eligible_minor(program: &Program, basket: &Basket) -> i64 {
    let eligible = basket.lines.iter().filter(|line| program.lines.is_eligible(&line.item));
    eligible.map(|line| line.amount_minor).sum()
}

/// Where the account stands before the command.
pub(super) fn standing(account: &Account, program: &Program, periods: Periods) -> Option<TierStanding> {
    let ladder = program.tiers.as_ref()?;
    let qualifying = qualifying(account, ladder, periods);
    Some(TierStanding { level: ladder.level(qualifying), qualifying })
}

/// The value of the ladder's metric that counts in a period.
fn qualifying(account: &Account, ladder: &TierLadder, periods: Periods) -> i64 {
    account.rolling(ladder.metric, periods.of(ladder.window), ladder.window.step(), ladder.rolling)
}

/// Notes the level that judged, and the metric after the command.
pub(super) fn note_standing(
    before: Option<TierStanding>,
    account: &Account,
    program: &Program,
    periods: Periods,
    out: &mut Decision,
) {
    let (Some(before), Some(ladder)) = (before, &program.tiers) else { return };
    let period = periods.of(ladder.window);
    let gained = out.effects.counters.iter().find(|change| (change.counter, change.period) == (ladder.metric, period));
    let qualifying = qualifying(account, ladder, periods) + gained.map_or(0, |change| change.delta);
    out.tier = Some(TierStanding { level: before.level, qualifying });
}

/// Adds what the bonuses of a trigger come to.
pub(super) fn award_bonuses(
    account: &Account,
    trigger: Trigger,
    periods: Periods,
    facts: &Facts<'_>,
    context: &Context<'_>,
    out: &mut Decision,
) {
    for (bonus, index) in context.program.bonuses.iter().zip(0..) {
        if bonus.trigger != trigger || !bonus.when.hold(facts) {
            continue;
        }
        let is_used_up = |(window, times)| account.counter(bonus.symbol, periods.of(window)) >= times;
        if bonus.limit.is_some_and(is_used_up) || !bounds::has_place(bonus.places, bonus.symbol, context, out) {
            continue;
        }
        out.bonuses.push(BonusAward { bonus: BonusIndex(index), units: bonus.units });
        out.earned = out.earned.saturating_add(bonus.units);
    }
}

/// Puts what is granted into a lot.
pub(super) fn grant(partner: SymbolId, periods: Periods, context: &Context<'_>, out: &mut Decision) {
    if out.granted == 0 {
        return;
    }
    let expires_at = context.program.earn.terms.expires_at(&context.program.zone, periods.day());
    let key = LotKey { wallet: out.wallet, issuer: partner, funding_rate_bps: 0, expires_at };
    out.effects.lots.push(LotChange { key, delta: out.granted, movement: Movement::Grant });
}
