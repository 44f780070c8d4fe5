//! Lots, naively: under which terms units are granted, what has died, which units are taken, and whose death is put off.
//!
//! What must stay true: nothing of `ledger` is called; a lot is found by looking at all of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::civil::Date;

use super::dice::Dice;
use super::facts::Name;
use super::holds::come_back;
use super::judge::{local_date, midnight};
use super::model::AccountModel;
use super::rules::Rules;
use crate::ledger::decision::Movement;

const NS_PER_MINUTE: i64 = 60_000_000_000;

/// What tells lots apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LotName {
    /// The wallet.
    pub wallet: usize,
    /// Who issued the units.
    pub issuer: Name,
    /// What the issuer pays for each, as it was when they were earned.
    pub funding: u32,
    /// The minute since 1970-01-01 from which they can be spent; 0 for at once.
    pub available_from: i64,
    /// Their death is put off by whatever the member does, for so many full days; 0 where it is not.
    pub inactive_days: u16,
    /// The instant of death; the largest instant for never.
    pub dies: i64,
    /// The units wait for an operator.
    pub is_held: bool,
}

impl LotName {
    /// Whether the units are there at the instant.
    #[must_use]
    pub fn is_alive(&self, at: i64) -> bool {
        self.dies > at || self.dies == NEVER
    }

    fn is_spendable(&self, at: i64) -> bool {
        !self.is_held && self.is_alive(at) && self.available_from <= at.div_euclid(NS_PER_MINUTE)
    }
}

/// The instant that means never.
pub const NEVER: i64 = i64::MAX;

/// A change to a lot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LotMove {
    /// Which lot.
    pub lot: LotName,
    /// Why, by its number.
    pub movement: u8,
    /// More than 0 for a grant, and for units whose death was put off where they go to; less for everything else.
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

/// When units die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiryRule {
    /// Never.
    Never,
    /// So many full days after the day of the event.
    AfterDays(i64),
    /// So many full days after the day of the member's last event.
    Inactive(i64),
    /// At the end of the next such day behind the day of the event: month and day.
    EachYearOn(i8, i8),
}

impl ExpiryRule {
    /// Some expiry, mostly a short one.
    pub fn draw(dice: &mut Dice) -> Self {
        let days = *dice.pick(&[1, 1, 2, 3, 40]);
        match dice.below(10) {
            0..3 => Self::Never,
            3..6 => Self::AfterDays(days),
            6..9 => Self::Inactive(days),
            _ => Self::EachYearOn(*dice.pick(&[1, 3, 6, 12]), *dice.pick(&[1, 9, 28, 30])),
        }
    }

    /// The key of the file, with the end of its line.
    ///
    /// # Errors
    /// Never: writing to a string does not fail.
    pub fn write(self, out: &mut String) -> std::fmt::Result {
        match self {
            Self::Never => Ok(()),
            Self::AfterDays(days) => writeln!(out, "expiry = {{ after_days = {days} }}"),
            Self::Inactive(days) => writeln!(out, "expiry = {{ inactive_days = {days} }}"),
            Self::EachYearOn(month, day) => writeln!(out, "expiry = {{ each_year_on = \"{month:02}-{day:02}\" }}"),
        }
    }

    /// The instant from which units of this day are dead.
    #[must_use]
    pub fn dies(self, time_zone: &str, day: Date) -> i64 {
        match self {
            Self::Never => NEVER,
            Self::AfterDays(days) | Self::Inactive(days) => midnight(time_zone, later(day, days + 1)),
            Self::EachYearOn(month, of_month) => {
                let in_year = |year| jiff::civil::date(year, month, of_month);
                let this = in_year(day.year());
                let last = if this > day { this } else { in_year(day.year() + 1) };
                midnight(time_zone, later(last, 1))
            }
        }
    }
}

fn later(day: Date, days: i64) -> Date {
    day.checked_add(jiff::Span::new().days(days)).expect("simulated dates are near")
}

/// The lot of what is earned at an instant.
#[must_use]
pub fn granted_lot(rules: &Rules, issuer: &str, earned_at: i64) -> LotName {
    let day = local_date(rules.time_zone, earned_at);
    let available_from = match rules.pending_days {
        0 => 0,
        days => {
            let from = midnight(rules.time_zone, later(day, days + 1));
            from.div_euclid(NS_PER_MINUTE) + i64::from(from.rem_euclid(NS_PER_MINUTE) > 0)
        }
    };
    LotName {
        wallet: rules.earn_wallet,
        issuer: issuer.into(),
        funding: rules.funding_of(issuer, rules.earn_wallet),
        available_from,
        inactive_days: match rules.expiry {
            ExpiryRule::Inactive(days) => u16::try_from(days).expect("simulated units die soon"),
            _ => 0,
        },
        dies: rules.expiry.dies(rules.time_zone, day),
        is_held: false,
    }
}

/// The posting of what has died, and of what is given back because the time of its authorization has run out.
#[must_use]
pub fn expired(account: &AccountModel, at: i64, issuers: &Issuers) -> Vec<LotMove> {
    let dead = account.units.iter().filter(|(lot, _)| !lot.is_alive(at));
    let mut moves: Vec<LotMove> =
        dead.map(|(lot, units)| LotMove::new(lot.clone(), Movement::Expire, -units)).collect();
    for (lot, units) in account.ended(at, issuers).into_iter().flat_map(|(_, aside)| &aside.lots) {
        come_back(&mut moves, lot, *units, at);
    }
    moves
}

/// Numbers of the names of issuers, in the order in which those came.
pub type Issuers = BTreeMap<Name, u32>;

/// What is left of a lot beside what `moves` change already.
fn left(lot: &LotName, held: i64, moves: &[LotMove]) -> i64 {
    held + moves.iter().filter(|change| change.lot == *lot).map(|change| change.units).sum::<i64>()
}

/// Takes units that are alive beside what `moves` take already: first those that die first, of those that die together
/// the issuer whose name came first, then those that cost it less, then those that can be spent first. What is pending is not burned. Gives what could
/// not be taken.
pub fn take(
    account: &AccountModel,
    moves: &mut Vec<LotMove>,
    wallet: usize,
    units: i64,
    movement: Movement,
    at: i64,
    issuers: &Issuers,
) -> i64 {
    let is_fit = |lot: &LotName| match movement {
        Movement::Burn | Movement::SetAside => lot.is_spendable(at),
        // What is held is the transaction's that is held, and nobody else's.
        _ => lot.is_alive(at) && !lot.is_held,
    };
    let mut alive: Vec<(&LotName, i64)> = account.units.iter().map(|(lot, units)| (lot, *units)).collect();
    alive.retain(|(lot, _)| lot.wallet == wallet && is_fit(lot));
    let number = |lot: &LotName| issuers.get(&lot.issuer).copied();
    alive.sort_by_key(|(lot, _)| (lot.dies, number(lot), lot.funding, lot.available_from, lot.inactive_days));
    let mut missing = units;
    for (lot, held) in alive {
        let taken = left(lot, held, moves).min(missing);
        if taken > 0 {
            moves.push(LotMove::new(lot.clone(), movement, -taken));
            missing -= taken;
        }
    }
    missing
}

/// Takes a grant back from its own lot and from those into which it may have been put off: of the same kind, dying later.
/// Gives what could not be taken.
pub fn take_own(account: &AccountModel, moves: &mut Vec<LotMove>, granted: &LotMove, at: i64) -> i64 {
    let own = &granted.lot;
    let mut missing = granted.units;
    for (lot, held) in &account.units {
        let is_same_kind = LotName { dies: own.dies, ..lot.clone() } == *own;
        let may_hold = lot.dies == own.dies || (own.inactive_days > 0 && !own.is_held && lot.dies > own.dies);
        let taken = left(lot, *held, moves).min(missing);
        if is_same_kind && may_hold && lot.is_alive(at) && taken > 0 {
            moves.push(LotMove::new(lot.clone(), Movement::Reverse, -taken));
            missing -= taken;
        }
    }
    missing
}

/// Takes units from lots that are like one but for their death, which has passed. Gives what could not be taken.
pub fn take_alike(account: &AccountModel, moves: &mut Vec<LotMove>, own: &LotName, units: i64, at: i64) -> i64 {
    let mut missing = units;
    for (lot, held) in &account.units {
        let is_alike = LotName { dies: own.dies, ..lot.clone() } == *own;
        let taken = left(lot, *held, moves).min(missing);
        if is_alike && !own.is_held && lot.is_alive(at) && taken > 0 {
            moves.push(LotMove::new(lot.clone(), Movement::Reverse, -taken));
            missing -= taken;
        }
    }
    missing
}

/// Units of a wallet that are dead once `moves` are made, and for which no return was let off yet. What died while it was held,
/// and is on the list still, is for the return of what is held.
pub fn dead(account: &AccountModel, moves: &[LotMove], wallet: usize, at: i64) -> i64 {
    let is_dead = |lot: &LotName| lot.wallet == wallet && !lot.is_alive(at);
    let dying = moves.iter().filter(|change| change.is(Movement::Expire) && change.lot.wallet == wallet);
    let posted = account.wallets.get(&wallet).map_or(0, |life| life[4]) - dying.map(|change| change.units).sum::<i64>();
    let unposted = account.units.iter().filter(|(lot, _)| is_dead(lot)).map(|(lot, held)| left(lot, *held, moves));
    let gone = account.gone.get(&wallet).copied().unwrap_or(0);
    let reviewed = account.held.values().filter(|(_, lot, ..)| is_dead(lot)).map(|(_, _, units, _)| units);
    (posted + unposted.sum::<i64>() - gone - reviewed.sum::<i64>()).max(0)
}

/// Puts the death of units off that die by inactivity, each by its own days: the member did something on the day.
pub fn extend(account: &AccountModel, moves: &mut Vec<LotMove>, rules: &Rules, day: Date, at: i64, issuers: &Issuers) {
    let put_off = |lot: &LotName| ExpiryRule::Inactive(i64::from(lot.inactive_days)).dies(rules.time_zone, day);
    let mut lots: Vec<(&LotName, i64)> = account.units.iter().map(|(lot, units)| (lot, *units)).collect();
    lots.retain(|(lot, _)| lot.inactive_days > 0 && !lot.is_held && lot.is_alive(at) && lot.dies < put_off(lot));
    let number = |lot: &LotName| issuers.get(&lot.issuer).copied();
    lots.sort_by_key(|(lot, _)| {
        (lot.wallet, number(lot), lot.funding, lot.available_from, lot.inactive_days, lot.dies)
    });
    for (lot, held) in lots {
        let dies = put_off(lot);
        let left = left(lot, held, moves);
        if left > 0 {
            moves.push(LotMove::new(lot.clone(), Movement::Extend, -left));
            moves.push(LotMove::new(LotName { dies, ..lot.clone() }, Movement::Extend, left));
        }
    }
}
