//! A basket: what its lines earn, what the account's level and bonuses add, and what caps and budgets leave of it.

use super::bounds::{self, Bounded};
use super::rule_caps::{self, Share};
use super::{cells, lots, profile, stamps, tiers, vouchers};
use crate::ledger::account::Account;
use crate::ledger::command::{Basket, Command};
use crate::ledger::decision::{
    BonusAward, Decision, LineOutcome, LotChange, LotKey, Movement, Outcome, Refusal, TotalsChange,
};
use crate::ledger::earn::LineSums;
use crate::ledger::program::{BPS_ONE, BonusIndex, Conditions, Facts, LineClass, Periods, Program, RuleIndex, Trigger};
use crate::ledger::state::Context;
use crate::ledger::types::{Day, SymbolId, TimestampNs, Units};
use crate::limits;

pub(super) fn decide(account: &Account, command: &Command, basket: &Basket, context: &Context<'_>, out: &mut Decision) {
    let (partner, account_id) = (command.partner, &*command.account_id);
    let program = context.program;
    if let Err(refusal) = super::check_event_time(basket.receipt_at, context) {
        out.outcome = Outcome::Refused(refusal);
        return;
    }
    if let Err(refusal) = vouchers::redeem(account, command, basket, context, out) {
        out.outcome = Outcome::Refused(refusal);
        return;
    }
    let (day, minute) = program.zone.day_and_minute(basket.receipt_at);
    let periods = Periods::on(day, minute).of_account(opened_on(account, context.posted_at, program));
    let standing = tiers::standing(account, program, periods);
    let variants = profile::variants(account, account_id, program, out);
    let mut facts = Facts {
        minute,
        store: basket.store,
        channel: basket.channel,
        payment_method: basket.payment_method,
        partner,
        level: standing.map_or(0, |standing| standing.level),
        basket_number: account.totals.baskets.saturating_add(1),
        variants: &variants,
        ..profile::facts(account, day)
    };
    if program.lines.needs_eligible_amount {
        facts.eligible_minor = eligible_minor(program, basket);
    }
    let judge = LineJudge::new(program, basket, &facts, profile::remainder(account, program));
    let bounded = Bounded { account, basket: Some(basket), command, periods, eligible_minor: 0, context };
    // Filled only where the programme has rules with caps.
    let mut shares: Option<[Share; limits::PROGRAM_CAPS_MAX]> = None;
    let (shares, (earned, left, eligible_minor)) = if program.lines.capped.is_empty() {
        (&mut [][..], judge.judge(|_| false, out))
    } else {
        let shares = shares.insert([Share::default(); limits::PROGRAM_CAPS_MAX]);
        let shares = shares.get_mut(..program.lines.capped.len()).expect("a programme has few caps");
        let judged = rule_caps::judge(&judge, &bounded, shares, out);
        (shares, judged)
    };
    if names_too_many_rules(out) {
        out.outcome = Outcome::Refused(Refusal::InvalidCommand);
        return;
    }
    facts.eligible_minor = eligible_minor;
    out.earned = earned;
    award_bonuses(account, Trigger::Basket, periods, &facts, context, out);
    if !program.stamps.is_empty() {
        stamps::count(account, basket, periods, &facts, context, out);
    }

    let bounded = Bounded { eligible_minor, ..bounded };
    bounded.apply(shares, out);
    grant(partner, periods, context, out);
    let given = vouchers::give(account, command, context, out);
    if !out.stamps.is_empty() {
        stamps::give(account, command, given, context, out);
    }
    lots::collect(account, context, out);
    bounded.count(shares, out);
    lots::extend(account, day, 0, context, out);
    profile::note_basket(account, day, left, program, out);
    tiers::note(standing, account, program, periods, out);
    out.effects.totals = TotalsChange::of_basket(&out.clips, out.over_velocity.is_some());
    bounds::check_balance(account, context, out);
}

/// Whether more rules count for the lines of a basket than its record can name. Only versions that were published before
/// the check of programmes asked for less let so many meet.
pub(super) fn names_too_many_rules(out: &Decision) -> bool {
    out.stacked.len() > limits::STACKED_RULES_MAX
}

/// The lines of a basket and what they are judged by.
pub(super) struct LineJudge<'a> {
    pub(super) program: &'a Program,
    pub(super) basket: &'a Basket,
    facts: &'a Facts<'a>,
    /// What earlier baskets left over.
    remainder: i64,
    /// The multiplier of the account's level.
    tier_bps: i64,
}

impl<'a> LineJudge<'a> {
    fn new(program: &'a Program, basket: &'a Basket, facts: &'a Facts<'a>, remainder: i64) -> Self {
        let level = program.tiers.as_ref().and_then(|ladder| ladder.at(facts.level));
        Self { program, basket, facts, remainder, tier_bps: level.map_or(BPS_ONE, |level| level.multiplier_bps) }
    }

    /// Judges every line without the rules that `skips` names; the units that all earn together with what was left over
    /// before, what is left over now, and the eligible amount. Ends early where [`names_too_many_rules`].
    pub(super) fn judge(&self, skips: impl Fn(RuleIndex) -> bool, out: &mut Decision) -> (Units, i64, i64) {
        let program = self.program;
        let mut sums = LineSums::new(program, self.tier_bps, self.remainder);
        let mut eligible_minor = 0;
        for (line, number) in self.basket.lines.iter().zip(0..) {
            let first = out.stacked.len();
            let stacked = &mut out.stacked;
            let holds = |when: &Conditions| when.hold(self.facts);
            let class = program.lines.judge_without(&line.item, &skips, holds, |rule| stacked.push((number, rule)));
            out.lines.push(LineOutcome { class });
            if class != LineClass::Ineligible {
                eligible_minor += line.amount_minor;
            }
            let beside = out.stacked.get_mut(first..).unwrap_or_default();
            beside.sort_unstable_by_key(|(_, rule)| *rule);
            sums.add(class, beside.iter().map(|(_, rule)| *rule), line.amount_minor, line.quantity);
            if names_too_many_rules(out) {
                // The basket is refused, and what else its lines meet takes no memory.
                break;
            }
        }
        let (units, left) = sums.units();
        (units, left, eligible_minor)
    }

    /// The units that the basket would earn if, line by line, the rules that `skips` names were not there.
    pub(super) fn units_without(&self, skips: impl Fn(u32, RuleIndex) -> bool) -> Units {
        let mut sums = LineSums::new(self.program, self.tier_bps, self.remainder);
        for (line, number) in self.basket.lines.iter().zip(0..) {
            sums.add_without(line, |rule| skips(number, rule), |when| when.hold(self.facts));
        }
        sums.units().0
    }
}

/// The local day on which the account was opened: that of the posting for an account that is about to be.
pub(super) fn opened_on(account: &Account, posted_at: TimestampNs, program: &Program) -> Day {
    program.zone.day(if account.id.is_empty() { posted_at } else { account.opened_at })
}

fn eligible_minor(program: &Program, basket: &Basket) -> i64 {
    let eligible = basket.lines.iter().filter(|line| program.lines.is_eligible(&line.item));
    eligible.map(|line| line.amount_minor).sum()
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
        if bonus.limit.is_some_and(is_used_up) || !cells::has_place(bonus.places, bonus.symbol, context, out) {
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
    let program = context.program;
    let key = program.earn.terms.lot(&program.zone, out.wallet, partner, periods.day());
    let key = LotKey { funding_rate_bps: program.funding_rate_bps(partner, key.wallet), ..key };
    let key = if out.effects.held.is_some() { key.held() } else { key };
    out.effects.lots.push(LotChange { key, delta: out.granted, movement: Movement::Grant });
}
