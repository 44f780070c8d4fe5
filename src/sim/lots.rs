//! Lots, naively: what has died, and which units are taken.
//!
//! What must stay true: nothing of `ledger` is called; a lot is found by looking at all of them.

use std::collections::BTreeMap;

use super::facts::Name;
use super::model::AccountModel;
use crate::ledger::decision::Movement;

/// Wallet, issuer, and the instant of death; the largest instant for never.
pub type LotName = (usize, Name, i64);

/// The instant that means never.
pub const NEVER: i64 = i64::MAX;

/// A change to a lot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LotMove {
    /// Which lot.
    pub lot: LotName,
    /// Why, by its number.
    pub movement: u8,
    /// More than 0 for a grant, less for everything else.
    pub units: i64,
}

impl LotMove {
    /// A change.
    #[must_use]
    pub fn new(lot: LotName, movement: Movement, units: i64) -> Self {
        Self { lot, movement: movement.number(), units }
    }

    /// Whether it is such a movement.
    #[must_use]
    pub fn is(&self, movement: Movement) -> bool {
        self.movement == movement.number()
    }
}

/// The posting of what has died.
#[must_use]
pub fn expired(account: &AccountModel, at: i64) -> Vec<LotMove> {
    let dead = account.units.iter().filter(|((_, _, dies), _)| *dies <= at && *dies != NEVER);
    dead.map(|(lot, units)| LotMove::new(lot.clone(), Movement::Expire, -units)).collect()
}

/// Takes units that are alive beside what `moves` take already: first those that die first, of those that die together
/// the issuer whose name came first. Gives what could not be taken.
pub fn take(
    account: &AccountModel,
    moves: &mut Vec<LotMove>,
    wallet: usize,
    units: i64,
    movement: Movement,
    at: i64,
    issuers: &BTreeMap<Name, u32>,
) -> i64 {
    let mut alive: Vec<(&LotName, i64)> = account.units.iter().map(|(lot, units)| (lot, *units)).collect();
    alive.retain(|((of, _, dies), _)| *of == wallet && (*dies > at || *dies == NEVER));
    alive.sort_by_key(|((_, issuer, dies), _)| (*dies, issuers.get(issuer).copied()));
    let mut missing = units;
    for (lot, held) in alive {
        let taken_before: i64 = moves.iter().filter(|change| change.lot == *lot).map(|change| change.units).sum();
        let taken = (held + taken_before).min(missing);
        if taken > 0 {
            moves.push(LotMove::new(lot.clone(), movement, -taken));
            missing -= taken;
        }
    }
    missing
}
