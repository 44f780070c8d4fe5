//! Bounds: velocity, caps, budgets, places and the largest balance, and the counters that they and the metrics keep.
//!
//! What must stay true: no bound is exceeded by one unit, and the last unit can be granted (invariant 6).

use super::rule_caps::{self, Share};
use super::{cells, stamps};
use crate::ledger::account::Account;
use crate::ledger::command::{Basket, Command};
use crate::ledger::decision::{CellUse, Clip, CounterChange, Decision, LotChange, Movement, Outcome, Refusal};
use crate::ledger::draws;
use crate::ledger::held::{HeldChange, HeldName};
use crate::ledger::program::{
    BonusIndex, CalendarWindow, Cap, CapMeasure, CapSubject, Metric, MetricMeasure, Over, OwnAverage, Periods, Program,
};
use crate::ledger::state::Context;
use crate::ledger::types::{MemberKey, SymbolId, Units, WalletId};
use crate::limits;

/// A command as far as bounds look at it.
pub(super) struct Bounded<'a> {
    pub(super) account: &'a Account,
    pub(super) command: &'a Command,
    /// `None` for an activity.
    pub(super) basket: Option<&'a Basket>,
    pub(super) periods: Periods,
    pub(super) eligible_minor: i64,
    pub(super) context: &'a Context<'a>,
}

impl Bounded<'_> {
    /// What rules' own caps leave first, then velocity, then what clips, in the order of the file, then budgets; then what
    /// holds the rest back.
    pub(super) fn apply(&self, shares: &mut [Share], out: &mut Decision) {
        out.granted = out.earned;
        rule_caps::clip(self, shares, out);
        self.decline(out);
        for cap in self.context.program.caps.iter().filter(|cap| cap.clips()) {
            if let Some(room) = self.room(cap, out.granted > 0, out) {
                clip(cap.symbol, false, room, out);
            }
        }
        for (budget, cell) in self.context.program.budgets_at(self.command.partner, self.context.posted_at) {
            if out.granted > 0 {
                // A cell that withheld everything is part of the reasons though nothing is taken from it.
                let room = cells::look_around((budget.run, budget.limit), cell, self.context, out);
                clip(budget.symbol, true, room, out);
            }
        }
        self.hold(out);
    }

    /// The whole grant is held once a window has no room for it. It counts in the window all the same, and so does what
    /// comes after it: each is held until an operator has made room.
    fn hold(&self, out: &mut Decision) {
        if out.granted == 0 {
            return;
        }
        let mut holds = None;
        for cap in self.context.program.caps.iter().filter(|cap| cap.over == Over::Hold) {
            let wanted = self.wanted(cap, out.granted);
            // Each is looked at: what is granted counts in the cells of all.
            let is_over = self.room(cap, wanted > 0, out).is_some_and(|room| wanted > room);
            holds = holds.or(is_over.then_some(cap.symbol));
        }
        let Some(cap) = holds else { return };
        let Command { partner, ref transaction_id, .. } = *self.command;
        let name = HeldName { partner, transaction_id: transaction_id.as_str().into() };
        out.effects.held = Some(Box::new(HeldChange::Begins(name, cap)));
    }

    /// A basket that would have earned earns nothing once a window has no room for it.
    fn decline(&self, out: &mut Decision) {
        if out.granted == 0 {
            return;
        }
        for cap in self.context.program.caps.iter().filter(|cap| cap.declines()) {
            let wanted = self.wanted(cap, out.granted);
            if wanted == 0 {
                continue;
            }
            if self.room(cap, true, out).is_some_and(|room| wanted > room) {
                out.over_velocity = Some(cap.symbol);
                out.granted = 0;
                // What was withheld before is part of what is denied now.
                out.clips.clear();
                return;
            }
        }
    }

    /// What a grant of so many units counts for in a cap.
    fn wanted(&self, cap: &Cap, units: Units) -> i64 {
        match cap.measure {
            CapMeasure::Units => units,
            CapMeasure::EarningBaskets => i64::from(units > 0 && self.basket.is_some()),
            CapMeasure::EligibleAmount if units > 0 => self.eligible_minor,
            CapMeasure::EligibleAmount => 0,
        }
    }

    /// What a cap leaves, not less than 0; `None` for a cap that is about something which the command does not say, or
    /// about a cell at which nobody needs to look.
    pub(super) fn room(&self, cap: &Cap, needed: bool, out: &mut Decision) -> Option<i64> {
        match cap.subject {
            CapSubject::Account => Some((cap.limit - self.counted(cap, MemberKey::NONE)).max(0)),
            CapSubject::Member if self.command.member == MemberKey::NONE => None,
            CapSubject::Member => Some((cap.limit - self.counted(cap, self.command.member)).max(0)),
            _ => {
                let cell = draws::cell_of(cap, self.basket, self.command.partner, self.periods)?;
                needed.then(|| cells::look_around((cap.run(), cap.limit), cell, self.context, out))
            }
        }
    }

    /// What a cap has counted for the account, or for a member of it: where windows are bounded together, the most of any
    /// that contain the present one.
    fn counted(&self, cap: &Cap, member: MemberKey) -> i64 {
        let period = self.periods.of(cap.window);
        let step = cap.window.step();
        let ends = (0..i32::from(cap.rolling)).map(|ahead| period.saturating_add(ahead * step));
        let rolling = |end| match member {
            MemberKey::NONE if cap.rolling <= 1 => self.account.counter(cap.symbol, end),
            MemberKey::NONE => self.account.rolling(cap.symbol, end, step, cap.rolling),
            member => self.account.member_rolling(member, cap.symbol, end, step, cap.rolling),
        };
        ends.map(rolling).max().unwrap_or(0)
    }

    /// Moves the counters of caps, metrics and bonuses, and takes from the cells.
    pub(super) fn count(&self, shares: &mut [Share], out: &mut Decision) {
        let program = self.context.program;
        for cap in program.caps.iter().filter(|cap| !cap.subject.is_shared()) {
            self.count_cap(cap, self.wanted(cap, out.granted), out);
        }
        rule_caps::count(self, shares, out);
        for metric in &program.metrics {
            let delta = match metric.measure {
                MetricMeasure::EligibleAmount => self.eligible_minor,
                MetricMeasure::Units => out.granted,
                MetricMeasure::Baskets => i64::from(self.basket.is_some()),
            };
            let ahead = i32::from(metric.kept_ahead);
            self.push_counter((metric.symbol, MemberKey::NONE), metric.window, ahead, delta, out);
            if metric.is_averaged && self.basket.is_some() {
                self.count_average(metric, out);
            }
        }
        if out.over_velocity.is_some() {
            // What is denied uses up no bonus.
            out.bonuses.clear();
        }
        for index in 0..out.bonuses.len() {
            let award = out.bonuses.get(index).copied();
            let bonus = award.and_then(|award| program.bonus(award.bonus));
            let bonus = bonus.expect("a decision awards bonuses of its programme");
            if let Some((window, _)) = bonus.limit {
                self.push_counter((bonus.symbol, MemberKey::NONE), window, 0, 1, out);
            }
        }
        if !out.stamps.is_empty() {
            stamps::note(self, out);
        }
        self.take_from_cells(shares, out);
    }

    fn take_from_cells(&self, shares: &[Share], out: &mut Decision) {
        let program = self.context.program;
        let Decision { cells, bonuses, granted, .. } = out;
        if cells.is_empty() {
            return;
        }
        let budgets = program.budgets_at(self.command.partner, self.context.posted_at);
        for cell in cells {
            let name = cell.cell.name;
            let awards = |index: BonusIndex| program.bonus(index).is_some_and(|bonus| bonus.symbol == name);
            // Of windows that are bounded together only the present one is counted in.
            let is_present = |cap: &Cap| cell.cell.period == self.periods.of(cap.window);
            cell.used = match program.caps.iter().find(|cap| cap.symbol == name) {
                Some(cap) if is_present(cap) => self.wanted(cap, *granted),
                Some(_) => 0,
                None if program.bonuses.iter().any(|bonus| bonus.symbol == name) => {
                    i64::from(bonuses.iter().any(|award| awards(award.bonus)))
                }
                None => match rule_caps::used(program, name, shares, is_present) {
                    Some(used) => used,
                    None if budgets.clone().any(|(_, present)| present == cell.cell) => *granted,
                    None => 0,
                },
            };
        }
    }

    /// Moves the counter of a cap that an account keeps itself, for all or for a member.
    pub(super) fn count_cap(&self, cap: &Cap, delta: i64, out: &mut Decision) {
        let member = match cap.subject {
            CapSubject::Account => MemberKey::NONE,
            CapSubject::Member if self.command.member != MemberKey::NONE => self.command.member,
            _ => return,
        };
        self.push_counter((cap.symbol, member), cap.window, i32::from(cap.kept) - 1, delta, out);
    }

    /// Moves what the account's average of a metric is made of.
    fn count_average(&self, metric: &Metric, out: &mut Decision) {
        let (counter, last) = (metric.symbol, self.periods.last_day(metric.window, 0));
        let retain_until = draws::after_late_limit(last, self.context.program, self.context.posted_at);
        let change = CounterChange { counter, member: MemberKey::NONE, period: 0, delta: 0, retain_until };
        if self.eligible_minor != 0 {
            let (period, delta) = (OwnAverage::SPENT, self.eligible_minor);
            out.effects.counters.push(CounterChange { period, delta, ..change });
        }
        out.effects.counters.push(CounterChange { period: OwnAverage::BASKETS, delta: 1, ..change });
    }

    /// Moves a counter that is looked at for so many windows more.
    pub(super) fn push_counter(
        &self,
        (counter, member): (SymbolId, MemberKey),
        window: CalendarWindow,
        ahead: i32,
        delta: i64,
        out: &mut Decision,
    ) {
        if delta == 0 {
            return;
        }
        let period = self.periods.of(window);
        let last = self.periods.last_day(window, ahead);
        let retain_until = draws::after_late_limit(last, self.context.program, self.context.posted_at);
        out.effects.counters.push(CounterChange { counter, member, period, delta, retain_until });
    }
}

fn clip(source: SymbolId, is_budget: bool, room: Units, out: &mut Decision) {
    if out.granted > room {
        out.clips.push(Clip { source, is_budget, units: out.granted - room });
        out.granted = room;
    }
}

/// Refuses what a wallet, a lot, a counter or a shared cell cannot hold; else states the balance after.
pub(super) fn check_balance(account: &Account, context: &Context<'_>, out: &mut Decision) {
    let balance_after = balance_after(account, out.wallet, context, out);
    out.balance_after = Units::try_from(balance_after).unwrap_or(Units::MAX);
    let grants = || out.effects.lots.iter().filter(|lot| lot.movement.enriches());
    let mut judged = None;
    let mut is_refused = balance_after > i128::from(balance_max(context.program, out.wallet));
    // Grants of one wallet lie together.
    for wallet in grants().map(|lot| lot.key.wallet).filter(|wallet| *wallet != out.wallet) {
        if judged.replace(wallet) != Some(wallet) {
            let balance = self::balance_after(account, wallet, context, out);
            is_refused |= balance > i128::from(balance_max(context.program, wallet));
        }
    }
    // What is granted dead is in no balance, and of what is collected at once the balance shows nothing.
    let is_unseen = |lot: &LotChange| out.effects.owed.is_some() || !lot.key.is_alive(context.posted_at);
    is_refused |= (out.effects.lots.iter().enumerate())
        .any(|(place, lot)| lot.movement.enriches() && is_unseen(lot) && !lot_holds(account, place, context, out));
    is_refused |= account.overflows(&out.effects.counters);
    // Only what a cap holds goes beyond the room that it found.
    let goes_beyond = |taken: &&CellUse| taken.used > taken.room_before.max(0);
    is_refused |= out.cells.iter().filter(goes_beyond).any(|taken| overflows(taken, context.program));
    if is_refused {
        out.outcome = Outcome::Refused(Refusal::BalanceLimitExceeded);
    } else if (out.effects.held.is_some() && account.held().len() >= limits::HELD_TRANSACTIONS_MAX)
        || (out.effects.counters.iter().any(|change| change.member != MemberKey::NONE)
            && !account.has_room_for_members(&out.effects, context.posted_at))
    {
        out.outcome = Outcome::Refused(Refusal::AccountLimitReached);
    }
}

/// Whether a cell would count further than a number goes: what a shared cap holds counts in it without bound.
fn overflows(taken: &CellUse, program: &Program) -> bool {
    let limit = program.all_caps().find(|cap| cap.symbol == taken.cell.name).map_or(0, |cap| cap.limit);
    limit.saturating_sub(taken.room_before).saturating_add(taken.used) > limits::UNITS_MAX
}

/// The balance of a wallet with what is granted, less what is collected of it. Loads and bonuses can be larger than any
/// balance may be.
fn balance_after(account: &Account, wallet: WalletId, context: &Context<'_>, out: &Decision) -> i128 {
    let moves = |lot: &&LotChange| lot.movement.enriches() || lot.movement == Movement::Reverse;
    let grants = out.effects.lots.iter().filter(|lot| lot.key.wallet == wallet).filter(moves);
    let alive = grants.filter(|lot| lot.key.is_alive(context.posted_at)).map(|lot| i128::from(lot.delta));
    i128::from(account.balance(wallet, context.posted_at)) + alive.sum::<i128>()
}

/// The largest balance of a wallet; 0 for one that the programme does not have.
fn balance_max(program: &Program, wallet: WalletId) -> Units {
    program.wallets.get(usize::from(wallet.0)).map_or(0, |wallet| wallet.balance_max)
}

/// Whether a lot can hold what it has after the change at this place: what later changes take out of it is there until then.
fn lot_holds(account: &Account, place: usize, context: &Context<'_>, out: &Decision) -> bool {
    let Some(LotChange { key, .. }) = out.effects.lots.get(place) else { return true };
    let held = account.lots.binary_search_by_key(key, |lot| lot.key).ok().and_then(|index| account.lots.get(index));
    // What is set aside may come back; what has ended does so among the changes.
    let open = account.set_aside_of(key, context.posted_at);
    let held = held.map_or(0, |lot| i128::from(lot.remaining)) + i128::from(open);
    let changes = out.effects.lots.iter().take(place + 1).filter(|change| change.key == *key);
    held + changes.map(|change| i128::from(change.delta)).sum::<i128>() <= i128::from(limits::UNITS_MAX)
}
