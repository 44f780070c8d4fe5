//! The reversal of a redemption or a capture, and rewards that are taken and come back, as bytes: both sides; and the reading
//! side of redemptions.
//!
//! What must stay true: what is written is what is read, field by field; a record of this kind says by itself what comes
//! back, and what had come back before.

use super::decode::{flag, get_cells, get_units, some};
use super::encode::put_cells;
use super::{Entry, KIND_REFUSED_REDEMPTION, KIND_REFUSED_UNBURN, KIND_UNBURN};
use crate::codec::{DecodeError, Reader, put_id, put_signed, put_unsigned};
use crate::ledger::command::{CommandKind, Redemption, RewardAsked, RewardsBack, Unburn};
use crate::ledger::decision::{CellUse, Decision};
use crate::ledger::packed::{get_lot_key, put_lot_key};
use crate::ledger::types::{Position, SymbolId, Units, WalletId};
use crate::limits;

/// Whatever was left was asked for.
const IS_REST: u8 = 1;
/// Nothing is left afterwards.
const IS_LAST: u8 = 2;

/// Whether a record of this kind is of such a command.
pub(super) fn is_kind(kind: u8) -> bool {
    (KIND_UNBURN..=KIND_REFUSED_UNBURN).contains(&kind)
}

/// What was asked.
pub(super) fn put_question(out: &mut Vec<u8>, unburn: &Unburn) {
    put_id(out, &unburn.original_transaction_id);
    put_unsigned(out, unburn.original_position.0);
    put_unsigned(out, unburn.earlier.map_or(0, |(position, _)| position.0 + 1));
    if let Some((_, returned)) = unburn.earlier {
        put_signed(out, returned);
    }
    let flag = |is: bool, flag| if is { flag } else { 0 };
    out.push(flag(unburn.is_rest, IS_REST) | flag(unburn.is_last, IS_LAST));
    put_unsigned(out, u64::from(unburn.redemption_rate_bps));
    put_unsigned(out, unburn.lots.len() as u64);
    for (key, units) in &unburn.lots {
        put_lot_key(out, key);
        put_signed(out, *units);
    }
}

/// Reads what was asked.
pub(super) fn get_question(reader: &mut Reader<'_>) -> Result<Unburn, DecodeError> {
    let (original_transaction_id, original_position) = (reader.id()?, Position(reader.unsigned()?));
    let earlier = match reader.unsigned()?.checked_sub(1) {
        None => None,
        Some(position) => Some((Position(position), get_units(reader)?)),
    };
    let flags = reader.byte()?;
    let (is_rest, is_last) = (flags & IS_REST != 0, flags & IS_LAST != 0);
    if flags & !(IS_REST | IS_LAST) != 0 {
        return Err(DecodeError::UnknownTag);
    }
    let redemption_rate_bps = reader.number()?;
    let count = some(reader.count()?)?;
    if count > limits::LOT_CHANGES_MAX {
        return Err(DecodeError::BadNumber);
    }
    let lots = (0..count).map(|_| Ok((get_lot_key(reader)?, get_units(reader)?)));
    let lots = lots.collect::<Result<Vec<_>, DecodeError>>()?;
    let unburn = Unburn {
        original_transaction_id,
        original_position,
        earlier,
        lots,
        redemption_rate_bps,
        reward: None,
        is_rest,
        is_last,
    };
    if fits(&unburn) { Ok(unburn) } else { Err(DecodeError::Contradiction) }
}

/// Whether the fields go together: all is of one wallet, no more than there can be, and after the rest nothing is left.
fn fits(unburn: &Unburn) -> bool {
    let wallet = unburn.lots.first().map(|(key, _)| key.wallet);
    unburn.lots.iter().all(|(key, _)| Some(key.wallet) == wallet && !key.is_held())
        && returned_by(unburn).is_some()
        && (unburn.is_last || !unburn.is_rest)
}

/// What has come back in all, if that is a number of units.
fn returned_by(unburn: &Unburn) -> Option<Units> {
    let before = unburn.earlier.map_or(Some(0), |(_, returned)| Some(returned));
    let all = unburn.lots.iter().try_fold(before?, |sum, (_, units)| sum.checked_add(*units))?;
    (all <= limits::UNITS_MAX).then_some(all)
}

/// Reads what a redemption asked. One that was refused may state no units: see [`check_redemption`].
pub(super) fn get_redemption(kind: u8, reader: &mut Reader<'_>) -> Result<Redemption, DecodeError> {
    let wallet = WalletId(reader.byte()?);
    let units = if kind == KIND_REFUSED_REDEMPTION { reader.signed()? } else { get_units(reader)? };
    if (0..=limits::UNITS_MAX).contains(&units) {
        Ok(Redemption { wallet, units, reward: None })
    } else {
        Err(DecodeError::BadNumber)
    }
}

/// Units are redeemed, but where a reward was refused whose price was not known when it was asked for: a version that was
/// published meanwhile had it. Nothing writes such records any more.
pub(super) fn check_redemption(entry: &Entry) -> Result<(), DecodeError> {
    match &entry.command.kind {
        CommandKind::Redeem(Redemption { units: 0, reward: None, .. }) => Err(DecodeError::BadNumber),
        _ => Ok(()),
    }
}

/// Whether the record of a command tells of rewards.
pub(super) fn has_reward(kind: &CommandKind) -> bool {
    match kind {
        CommandKind::Redeem(redemption) => redemption.reward.is_some(),
        CommandKind::Unburn(unburn) => unburn.reward.is_some(),
        _ => false,
    }
}

/// Appends what a record tells of rewards, if it does.
pub(super) fn put_reward(out: &mut Vec<u8>, kind: &CommandKind, decision: &Decision) {
    match kind {
        CommandKind::Redeem(redemption) => {
            let Some(asked) = redemption.reward else { return };
            put_unsigned(out, u64::from(asked.reward.0));
            put_signed(out, asked.quantity);
            out.push(u8::from(asked.states_units));
        }
        CommandKind::Unburn(unburn) => {
            let Some(back) = &unburn.reward else { return };
            put_signed(out, back.quantity);
            put_cells(out, &back.cells);
        }
        _ => return,
    }
    if decision.refusal().is_none() {
        put_cells(out, &decision.cells);
    }
}

/// Reads what a record tells of rewards.
pub(super) fn get_reward(reader: &mut Reader<'_>, entry: &mut Entry) -> Result<(), DecodeError> {
    let in_range = |quantity: i64| (1..=limits::REWARD_QUANTITY_MAX).contains(&quantity);
    let mut returned = None;
    match &mut entry.command.kind {
        CommandKind::Redeem(redemption) => {
            let asked = RewardAsked {
                reward: SymbolId(reader.number()?),
                quantity: reader.signed()?,
                states_units: flag(reader)?,
            };
            if !in_range(asked.quantity) || asked.reward == SymbolId::EMPTY {
                return Err(DecodeError::BadNumber);
            }
            redemption.reward = Some(asked);
        }
        CommandKind::Unburn(unburn) => {
            let back = RewardsBack { quantity: reader.signed()?, cells: get_cells(reader)? };
            if !in_range(back.quantity) {
                return Err(DecodeError::BadNumber);
            }
            returned = Some(back.cells.clone());
            unburn.reward = Some(back);
        }
        _ => return Err(DecodeError::Contradiction),
    }
    if entry.decision.refusal().is_none() {
        let cells = get_cells(reader)?;
        let name = |cells: &[CellUse]| cells.iter().map(|taken| taken.cell).collect::<Vec<_>>();
        let fits = returned.is_none_or(|returned| name(&returned) == name(&cells));
        if cells.len() > 1 || !fits {
            return Err(DecodeError::Contradiction);
        }
        entry.decision.cells = cells;
    }
    Ok(())
}
