//! Something that a member did besides buying: it earns the bonuses that its kind triggers.

use super::bounds::{self, Bounded};
use super::{accrual, lots, profile, tiers, vouchers};
use crate::ledger::account::Account;
use crate::ledger::command::{Activity, Command};
use crate::ledger::decision::{Decision, Outcome, TotalsChange};
use crate::ledger::program::{Facts, Periods, Trigger};
use crate::ledger::state::Context;

pub(super) fn decide(
    account: &Account,
    command: &Command,
    activity: &Activity,
    context: &Context<'_>,
    out: &mut Decision,
) {
    let program = context.program;
    let partner = command.partner;
    if let Err(refusal) = super::check_event_time(activity.happened_at, context) {
        out.outcome = Outcome::Refused(refusal);
        return;
    }
    let (day, minute) = program.zone.day_and_minute(activity.happened_at);
    let opened_on = accrual::opened_on(account, context.posted_at, program);
    let periods = Periods::on(day, minute).of_account(opened_on);
    let standing = tiers::standing(account, program, periods);
    let variants = profile::variants(account, &command.account_id, program, out);
    let facts = Facts {
        minute,
        channel: activity.channel,
        partner,
        level: standing.map_or(0, |standing| standing.level),
        basket_number: account.totals.baskets,
        variants: &variants,
        ..profile::facts(account, day)
    };
    accrual::award_bonuses(account, Trigger::Activity(activity.kind), periods, &facts, context, out);
    let bounded = Bounded { account, basket: None, command, periods, eligible_minor: 0, context };
    bounded.apply(&mut [], out);
    accrual::grant(partner, periods, context, out);
    vouchers::give(account, command, context, out);
    lots::collect(account, context, out);
    bounded.count(&mut [], out);
    lots::extend(account, day, 0, context, out);
    tiers::note(standing, account, program, periods, out);
    out.effects.totals = TotalsChange::of_activity(&out.clips);
    bounds::check_balance(account, context, out);
}
