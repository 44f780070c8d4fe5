//! What is known of an account beside its balances.

use crate::ledger::account::Account;
use crate::ledger::command::Enrolment;
use crate::ledger::decision::{Decision, Outcome, Refusal};
use crate::ledger::state::Context;
use crate::limits;

/// Joins and leaves segments. What is so already stays so, and is not stated as an effect.
pub(super) fn enrol(account: &Account, enrolment: &Enrolment, context: &Context<'_>, out: &mut Decision) {
    let segments = account.segments();
    let is_in = |segment| segments.binary_search(segment).is_ok();
    let joins = enrolment.joins.iter().filter(|segment| !is_in(*segment)).map(|segment| (*segment, true));
    let leaves = enrolment.leaves.iter().filter(|segment| is_in(*segment)).map(|segment| (*segment, false));
    out.effects.segments.extend(joins.chain(leaves));
    let joined = out.effects.segments.iter().filter(|(_, joins)| *joins).count();
    let left = out.effects.segments.len() - joined;
    out.balance_after = account.balance(out.wallet, context.posted_at);
    if segments.len() + joined - left > limits::ACCOUNT_SEGMENTS_MAX {
        out.outcome = Outcome::Refused(Refusal::AccountLimitReached);
    }
}
