//! Bounds: velocity, caps, budgets and the largest balance, and the counters that they and the metrics keep.
//!
//! What must stay true: no bound is exceeded by one unit, and the last unit can be granted (invariant 6).

use crate::ledger::account::Account;
use crate::ledger::decision::{CellUse, Clip, CounterChange, Decision, LotKey, Movement, Outcome, Refusal};
use crate::ledger::program::{CalendarWindow, CapMeasure, MetricMeasure, Periods, Program};
use crate::ledger::state::Context;
use crate::ledger::types::{Day, SymbolId, Units, WalletId};
use crate::ledger::zone::utc_day;
use crate::limits;

/// A basket that would have earned earns nothing once the window has seen as many earning baskets as the cap allows.
pub(super) fn clip_by_velocity(account: &Account, periods: Periods, program: &Program, out: &mut Decision) {
    if out.earned == 0 {
        return;
    }
    for cap in program.caps.iter().filter(|cap| cap.measure == CapMeasure::EarningBaskets) {
        let period = periods.of(cap.window);
        if account.counter(cap.symbol, period) >= cap.limit {
            out.over_velocity = Some(cap.symbol);
            out.granted = 0;
            return;
        }
    }
}

pub(super) fn clip_by_caps(account: &Account, periods: Periods, program: &Program, out: &mut Decision) {
    for cap in program.caps.iter().filter(|cap| cap.measure == CapMeasure::Units) {
        let period = periods.of(cap.window);
        let room = (cap.limit - account.counter(cap.symbol, period)).max(0);
        if out.granted > room {
            out.clips.push(Clip { source: cap.symbol, is_budget: false, units: out.granted - room });
            out.granted = room;
        }
    }
}

/// Several budgets on one command: each clips to its room, then all are drawn on by what is left.
pub(super) fn clip_by_budgets(context: &Context<'_>, out: &mut Decision) {
    let mut rooms = context.rooms.iter();
    for budget in context.program.budgets_at(context.posted_at) {
        let found = rooms.next().expect("the caller takes one room for each budget in force");
        assert_eq!(found.cell, budget.cell, "rooms come in the order of the budgets");
        if out.granted == 0 {
            continue; // nothing to take, so the cell is not part of the decision
        }
        let room = found.room.max(0);
        if out.granted > room {
            let source = SymbolId(budget.cell.0);
            out.clips.push(Clip { source, is_budget: true, units: out.granted - room });
            out.granted = room;
        }
        // A cell that withheld everything is part of the reasons though nothing is taken from it.
        out.cells.push(CellUse { cell: found.cell, version: found.version, room_before: found.room, used: 0 });
    }
    for cell in &mut out.cells {
        cell.used = out.granted;
    }
}

fn retain_until(window: CalendarWindow, period: i32, context: &Context<'_>) -> Day {
    const NS_PER_DAY: i64 = 86_400_000_000_000;
    // Two days more than the late limit cover the zone's offset and the partial day.
    let late_days = context.program.late_limit_ns / NS_PER_DAY + 2;
    let last = window.last_day(period).0.max(utc_day(context.posted_at).0);
    Day(last.saturating_add(i32::try_from(late_days).unwrap_or(i32::MAX)))
}

pub(super) fn count_caps(periods: Periods, context: &Context<'_>, out: &mut Decision) {
    for cap in &context.program.caps {
        let delta = match cap.measure {
            CapMeasure::Units => out.granted,
            CapMeasure::EarningBaskets => i64::from(out.granted > 0),
        };
        let period = periods.of(cap.window);
        push_counter(cap.symbol, cap.window, period, delta, context, out);
    }
}

/// What an activity counts for: the units of it, but no basket.
pub(super) fn count_unit_caps(periods: Periods, context: &Context<'_>, out: &mut Decision) {
    for cap in context.program.caps.iter().filter(|cap| cap.measure == CapMeasure::Units) {
        push_counter(cap.symbol, cap.window, periods.of(cap.window), out.granted, context, out);
    }
}

/// Counts each bonus that has a limit: it is used up even where a cap clipped its units.
pub(super) fn count_bonuses(periods: Periods, context: &Context<'_>, out: &mut Decision) {
    for index in 0..out.bonuses.len() {
        let award = out.bonuses.get(index).copied();
        let bonus = award.and_then(|award| context.program.bonus(award.bonus));
        let bonus = bonus.expect("a decision awards bonuses of its programme");
        if let Some((window, _)) = bonus.limit {
            push_counter(bonus.symbol, window, periods.of(window), 1, context, out);
        }
    }
}

pub(super) fn count_metrics(periods: Periods, eligible_minor: i64, context: &Context<'_>, out: &mut Decision) {
    for metric in &context.program.metrics {
        let delta = match metric.measure {
            MetricMeasure::EligibleAmount => eligible_minor,
        };
        let period = periods.of(metric.window);
        push_counter(metric.symbol, metric.window, period, delta, context, out);
    }
}

fn push_counter(
    counter: SymbolId,
    window: CalendarWindow,
    period: i32,
    delta: i64,
    context: &Context<'_>,
    out: &mut Decision,
) {
    if delta != 0 {
        let retain_until = retain_until(window, period, context);
        out.effects.counters.push(CounterChange { counter, period, delta, retain_until });
    }
}

/// Refuses what a wallet, a lot or a counter cannot hold; else states the balance after.
pub(super) fn check_balance(account: &Account, context: &Context<'_>, out: &mut Decision) {
    let balance_after = balance_after(account, out.wallet, context, out);
    out.balance_after = Units::try_from(balance_after).unwrap_or(Units::MAX);
    let grants = || out.effects.lots.iter().filter(|lot| lot.movement == Movement::Grant);
    let mut judged = None;
    let mut is_refused = balance_after > i128::from(balance_max(context.program, out.wallet));
    // Grants of one wallet lie together.
    for wallet in grants().map(|lot| lot.key.wallet).filter(|wallet| *wallet != out.wallet) {
        if judged.replace(wallet) != Some(wallet) {
            let balance = self::balance_after(account, wallet, context, out);
            is_refused |= balance > i128::from(balance_max(context.program, wallet));
        }
    }
    // What is granted dead is in no balance.
    is_refused |= grants().any(|lot| !lot.key.is_alive(context.posted_at) && !lot_holds(account, &lot.key, out));
    is_refused |=
        out.effects.counters.iter().any(|change| {
            account.counter(change.counter, change.period).saturating_add(change.delta) > limits::UNITS_MAX
        });
    if is_refused {
        out.outcome = Outcome::Refused(Refusal::BalanceLimitExceeded);
    }
}

/// The balance of a wallet with what is granted. Loads and bonuses can be larger than any balance may be.
fn balance_after(account: &Account, wallet: WalletId, context: &Context<'_>, out: &Decision) -> i128 {
    let grants = out.effects.lots.iter().filter(|lot| lot.key.wallet == wallet && lot.movement == Movement::Grant);
    let alive = grants.filter(|lot| lot.key.is_alive(context.posted_at)).map(|lot| i128::from(lot.delta));
    i128::from(account.balance(wallet, context.posted_at)) + alive.sum::<i128>()
}

/// The largest balance of a wallet; 0 for one that the programme does not have.
fn balance_max(program: &Program, wallet: WalletId) -> Units {
    program.wallets.get(usize::from(wallet.0)).map_or(0, |wallet| wallet.balance_max)
}

fn lot_holds(account: &Account, key: &LotKey, out: &Decision) -> bool {
    let held = account.lots.binary_search_by_key(key, |lot| lot.key).ok().and_then(|index| account.lots.get(index));
    let held = held.map_or(0, |lot| i128::from(lot.remaining));
    let changes = out.effects.lots.iter().filter(|change| change.key == *key);
    held + changes.map(|change| i128::from(change.delta)).sum::<i128>() <= i128::from(limits::UNITS_MAX)
}
