//! Something that a member did besides buying: it earns the bonuses that its kind triggers.

use super::accrual;
use super::bounds::{self, Bounded};
use crate::ledger::account::Account;
use crate::ledger::command::Activity;
use crate::ledger::decision::{Decision, Outcome, TotalsChange};
use crate::ledger::program::{Facts, Periods, Trigger};
use crate::ledger::state::Context;
use crate::ledger::types::SymbolId;
use crate::ledger::zone::weekday;

pub(super) fn decide(
    account: &Account,
    partner: SymbolId,
    activity: &Activity,
    context: &Context<'_>,
    out: &mut Decision,
) {
    let program = context.program;
    if let Err(refusal) = super::check_event_time(activity.happened_at, context) {
        out.outcome = Outcome::Refused(refusal);
        return;
    }
    let (day, minute) = program.zone.day_and_minute(activity.happened_at);
    let periods = Periods::on(day, minute);
    let standing = accrual::standing(account, program, periods);
    let facts = Facts {
        day,
        weekday: weekday(day),
        minute,
        channel: activity.channel,
        partner,
        segments: account.segments(),
        level: standing.map_or(0, |standing| standing.level),
        basket_number: account.totals.baskets,
        ..Facts::default()
    };
    accrual::award_bonuses(account, Trigger::Activity(activity.kind), periods, &facts, context, out);
    let bounded = Bounded { account, basket: None, partner, periods, eligible_minor: 0, context };
    bounded.apply(out);
    accrual::grant(partner, periods, context, out);
    bounded.count(out);
    accrual::note_standing(standing, account, program, periods, out);
    out.effects.totals = TotalsChange::of_activity(&out.clips);
    bounds::check_balance(account, context, out);
}
