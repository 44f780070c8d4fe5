//! Which shared cells a command may draw on, so that its caller can take hold of them and tell it the room in each.
//!
//! What must stay true: the list follows from the programme, the command and its posting time alone, so that replay
//! makes the same one; several commands that list the same cells may be decided in any order.

use super::command::{Basket, Command, CommandKind};
use super::decision::CellUse;
use super::program::{CalendarWindow, Cap, CapSubject, Periods, Program, Run, Trigger};
use super::types::{CellId, Day, SymbolId, TimestampNs, Units};
use super::zone::utc_day;

const NS_PER_DAY: i64 = 86_400_000_000_000;

/// A cell that a command may draw on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// The cell.
    pub cell: CellId,
    /// The most that may be taken from it in all.
    pub limit: Units,
    /// See [`CellUse::retain_until`].
    pub retain_until: Day,
    /// The windows that are bounded together, of which this is one.
    pub run: Run,
}

/// Whether a command can draw on cells under this programme at all.
#[must_use]
pub fn may_draw(program: &Program, command: &Command) -> bool {
    let draws = match &command.kind {
        CommandKind::Accrue(_) | CommandKind::Act(_) => true,
        CommandKind::Redeem(redemption) => redemption.reward.is_some(),
        _ => false,
    };
    draws && program.has_cells
}

/// Lists the cells that a command may draw on, each once. A reversal gives back to those of its original instead.
pub fn list(program: &Program, command: &Command, posted_at: TimestampNs, out: &mut Vec<Draw>) {
    out.clear();
    if !may_draw(program, command) {
        return;
    }
    let (basket, happened_at, trigger) = match &command.kind {
        CommandKind::Accrue(basket) => (Some(basket), basket.receipt_at, Trigger::Basket),
        CommandKind::Act(activity) => (None, activity.happened_at, Trigger::Activity(activity.kind)),
        CommandKind::Redeem(redemption) => {
            let reward = redemption.reward.and_then(|asked| program.reward(asked.reward));
            if let Some((reward, stock)) = reward.and_then(|reward| Some((reward, reward.stock?))) {
                list_around(reward.cell(), EVER, stock, program, posted_at, out);
            }
            return;
        }
        _ => return,
    };
    // What an activity earns is no rule's.
    let of_rules = program.lines.capped.iter().filter(|_| basket.is_some()).flat_map(|capped| &capped.caps);
    let caps = || program.caps.iter().chain(of_rules.clone());
    if caps().any(|cap| cap.subject.is_shared()) {
        let periods = Periods::at(&program.zone, happened_at);
        for cap in caps() {
            let Some(cell) = cell_of(cap, basket, command.partner, periods) else { continue };
            list_around(cell, cap.run(), cap.limit, program, posted_at, out);
        }
    }
    for bonus in program.bonuses.iter().filter(|bonus| bonus.trigger == trigger) {
        if let Some(limit) = bonus.places {
            list_around(CellId::whole(bonus.symbol), EVER, limit, program, posted_at, out);
        }
    }
    for (budget, cell) in program.budgets_at(command.partner, posted_at) {
        list_around(cell, budget.run, budget.limit, program, posted_at, out);
    }
}

/// One window for all time.
const EVER: Run = Run { window: CalendarWindow::Lifetime, rolling: 1, kept: 1 };

/// Lists the cells of all windows that are bounded together with the one of this cell.
fn list_around(cell: CellId, run: Run, limit: Units, program: &Program, posted_at: TimestampNs, out: &mut Vec<Draw>) {
    out.extend(around(run, cell).map(|cell| {
        let retain_until = match run.window {
            CalendarWindow::Lifetime => CellUse::FOR_EVER,
            window => {
                after_late_limit(window.last_day(cell.period.saturating_add(run.kept_ahead())), program, posted_at)
            }
        };
        Draw { cell, limit, retain_until, run }
    }));
}

/// The cell of a shared cap that a command falls under; `None` for an account's or a member's own, and where the command does not say
/// which store, terminal or cashier it is about.
#[must_use]
pub(super) fn cell_of(cap: &Cap, basket: Option<&Basket>, partner: SymbolId, periods: Periods) -> Option<CellId> {
    let stated = |symbol: SymbolId| (symbol != SymbolId::EMPTY).then_some(symbol);
    let none = SymbolId::EMPTY;
    let subject = match cap.subject {
        CapSubject::Account | CapSubject::Member => return None,
        CapSubject::Store => [partner, stated(basket?.store)?, none],
        CapSubject::Terminal => [partner, basket?.store, stated(basket?.terminal)?],
        CapSubject::Cashier => [partner, none, stated(basket?.cashier)?],
        CapSubject::Partner => [partner, none, none],
        CapSubject::Programme => [none; 3],
    };
    Some(CellId { name: cap.symbol, subject, period: periods.of(cap.window) })
}

/// The cells of all windows that are bounded together with the one of this cell, in the order of time: for a cap whose
/// windows are bounded each by itself the cell alone.
pub(super) fn around(run: Run, cell: CellId) -> impl Iterator<Item = CellId> {
    let (ahead, step) = (run.ahead(), run.window.step());
    let periods = (-ahead..=ahead).step_by(usize::try_from(step).expect("windows follow each other"));
    periods.map(move |later| CellId { period: cell.period.saturating_add(later), ..cell })
}

/// How long a counter of a window that ends on this local day is kept: as long as any version lets in what falls into it.
#[must_use]
pub(super) fn after_late_limit(last: Day, program: &Program, posted_at: TimestampNs) -> Day {
    // Two days more than the late limit cover the zone's offset and the partial day.
    let late_days = program.counters_kept_ns(posted_at) / NS_PER_DAY + 2;
    let last = last.0.max(utc_day(posted_at).0);
    Day(last.saturating_add(i32::try_from(late_days).unwrap_or(i32::MAX)))
}
