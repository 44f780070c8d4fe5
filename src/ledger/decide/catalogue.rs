//! Rewards: whether one can be had, and its stock.
//!
//! What must stay true: a reward is had for exactly what it costs in the version in force, by who has its level, on its
//! days; the last one can be had, and not one more (invariant 6).

use super::cells;
use crate::ledger::account::Account;
use crate::ledger::command::{Redemption, RewardsBack};
use crate::ledger::decision::{CellUse, Decision, Refusal};
use crate::ledger::state::Context;

/// Takes what a redemption is for, if it is for a reward.
pub(super) fn take(
    account: &Account,
    redemption: &Redemption,
    context: &Context<'_>,
    out: &mut Decision,
) -> Result<(), Refusal> {
    let Some(asked) = redemption.reward else { return Ok(()) };
    let reward = context.program.reward(asked.reward).ok_or(Refusal::RewardUnknown)?;
    out.wallet = reward.wallet;
    if !reward.is_offered(context.program.zone.day(context.posted_at)) {
        return Err(Refusal::RewardNotOffered);
    }
    if super::level_of(account, context.program, context.posted_at) < reward.level {
        return Err(Refusal::RewardTierRequired);
    }
    if reward.wallet != redemption.wallet || reward.cost(asked.quantity) != Some(redemption.units) {
        return Err(Refusal::RewardPriceDiffers);
    }
    if reward.stock.is_some() {
        if cells::look_into(reward.cell(), context, out) < asked.quantity {
            return Err(Refusal::RewardOutOfStock);
        }
        if let Some(taken) = out.cells.last_mut() {
            taken.used = asked.quantity;
        }
    }
    Ok(())
}

/// Gives rewards back to their stock.
///
/// # Panics
/// When the rooms are not those of the cells: a fault of the caller.
pub(super) fn give_back(back: Option<&RewardsBack>, context: &Context<'_>, out: &mut Decision) {
    let cells = back.map_or(&[][..], |back| &back.cells);
    for (taken, found) in cells.iter().zip(context.rooms) {
        assert_eq!(taken.cell, found.cell, "rooms come in the order of the original's cells");
        let (version, room_before, retain_until) = (found.version, found.room, taken.retain_until);
        out.cells.push(CellUse { cell: taken.cell, version, room_before, used: -taken.used, retain_until });
    }
}
