//! Where an account stands on the programme's ladder.
//!
//! What must stay true: the level follows from the counters and the time of the event; it rises at once, and falls only
//! as the ladder says.

use crate::ledger::account::Account;
use crate::ledger::decision::{Decision, TierStanding};
use crate::ledger::program::{Periods, Program, TierLadder};

/// Where the account stands before the command.
pub(super) fn standing(account: &Account, program: &Program, periods: Periods) -> Option<TierStanding> {
    let ladder = program.tiers.as_ref()?;
    let qualifying = qualifying(account, ladder, periods, 0);
    Some(TierStanding { level: level(account, ladder, periods), qualifying })
}

/// Notes the level that judged, and the metric after the command.
pub(super) fn note(
    before: Option<TierStanding>,
    account: &Account,
    program: &Program,
    periods: Periods,
    out: &mut Decision,
) {
    let (Some(before), Some(ladder)) = (before, &program.tiers) else { return };
    let period = periods.of(ladder.window);
    let gained = out.effects.counters.iter().find(|change| (change.counter, change.period) == (ladder.metric, period));
    let before_it = qualifying(account, ladder, periods, 0);
    let qualifying = before_it.saturating_add(gained.map_or(0, |change| change.delta));
    out.tier = Some(TierStanding { level: before.level, qualifying });
}

fn level(account: &Account, ladder: &TierLadder, periods: Periods) -> u8 {
    let reached = |back| ladder.level(qualifying(account, ladder, periods, back));
    let keep = i32::from(ladder.keep);
    let kept = (0..=keep).map(reached).max().unwrap_or(0);
    if !ladder.soft_landing && ladder.grace_days == 0 {
        return kept;
    }
    let lost = reached(keep + 1);
    let day_of_window = i64::from(periods.day().0) - i64::from(periods.first_day(ladder.window).0);
    let still = if day_of_window < i64::from(ladder.grace_days) {
        lost
    } else if ladder.soft_landing {
        lost.saturating_sub(1)
    } else {
        0
    };
    kept.max(still)
}

/// The value of the ladder's metric that counted so many windows ago.
fn qualifying(account: &Account, ladder: &TierLadder, periods: Periods, back: i32) -> i64 {
    let step = ladder.window.step();
    let end = periods.of(ladder.window).saturating_sub(back.saturating_mul(step));
    account.rolling(ladder.metric, end, step, ladder.rolling)
}
