//! Giving back units that were burned: to the lots from which they were.
//!
//! What must stay true: units come back with their issuer, their funding and their death; what should have died meanwhile
//! dies at once, or lives as long as the programme says; nothing is put off, and of what lives nothing that is owed is
//! collected. What dies at once was owed for, as far as the account owes anything: it is not both dead and collected.

use super::{bounds, catalogue};
use crate::ledger::account::Account;
use crate::ledger::command::Unburn;
use crate::ledger::decision::{Decision, LotChange, LotKey, Movement, Outcome, Refusal};
use crate::ledger::program::{Expiry, Terms, WhenReturned};
use crate::ledger::state::Context;
use crate::ledger::types::{TimestampNs, Units};
use crate::limits;

pub(super) fn decide(account: &Account, unburn: &Unburn, context: &Context<'_>, out: &mut Decision) {
    let at = context.posted_at;
    if let Some((key, _)) = unburn.lots.first() {
        out.wallet = key.wallet;
    }
    out.granted = unburn.units();
    out.effects.redemption_rate_bps = unburn.redemption_rate_bps;
    let mut died: Units = 0;
    for (burned, units) in &unburn.lots {
        let key = place(*burned, at, context);
        out.effects.lots.push(LotChange { key, delta: *units, movement: Movement::Unburn });
        if !key.is_alive(at) {
            out.effects.lots.push(LotChange { key, delta: -units, movement: Movement::Expire });
            died = died.saturating_add(*units);
        }
    }
    if out.effects.lots.len() > limits::LOT_CHANGES_MAX {
        out.outcome = Outcome::Refused(Refusal::AccountLimitReached);
        return;
    }
    catalogue::give_back(unburn.reward.as_ref(), context, out);
    excuse(account, died, out);
    bounds::check_balance(account, context, out);
}

/// Units that come back dead are owed no more, as far as anything of their wallet is, whatever it is owed for: a return of the
/// basket that had granted them would have found them dead after this. As those that such a return finds, they excuse no
/// other.
fn excuse(account: &Account, died: Units, out: &mut Decision) {
    let excused = died.min(account.owed(out.wallet));
    if excused > 0 {
        out.effects.owed = Some((out.wallet, -excused));
        out.effects.gone = excused;
    }
}

/// The lot to which burned units go: their own, unless that has died and the programme lets them live on.
fn place(burned: LotKey, at: TimestampNs, context: &Context<'_>) -> LotKey {
    match context.program.when_returned {
        WhenReturned::Extend(days) if !burned.is_alive(at) => {
            let zone = &context.program.zone;
            let terms = Terms { expiry: Expiry::AfterDays(days), ..Terms::default() };
            LotKey { expires_at: terms.expires_at(zone, zone.day(at)), ..burned }
        }
        WhenReturned::Extend(_) | WhenReturned::AsWas => burned,
    }
}
