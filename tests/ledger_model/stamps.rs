//! Stamp cards: what is on one is what stands of the whole history.
//!
//! What must stay true: as in [`crate::model`]: nothing of the ledger's code is used, and nothing is kept but what stands of
//! each basket.

use jiff::Zoned;
use proptest::prelude::*;
use tallystick::ledger::program::{Attribute, CalendarWindow, StampCard, StampReward, StampsCounted};
use tallystick::program::SymbolTable;

use crate::model::Model;
use crate::returns::Bought;
use crate::rules::{DEPARTMENTS, When, any_when, conditions, symbol};

/// A card.
#[derive(Clone, Debug)]
pub struct CardWords {
    /// The department that counts, or every one.
    pub department: Option<usize>,
    pub by_basket: bool,
    pub size: i64,
    pub units: i64,
    pub window: CalendarWindow,
    pub when: When,
}

/// What a basket counts on a card, as far as it stands.
#[derive(Clone, Debug)]
pub struct Stamped {
    card: usize,
    /// What stood before: stamps, and rewards.
    before: (i64, i64),
    stamps: i64,
    rewards: i64,
}

pub fn any_card() -> impl Strategy<Value = CardWords> {
    use CalendarWindow::{Day, Lifetime, Month};
    let window = prop_oneof![2 => Just(Lifetime), 1 => Just(Day), 1 => Just(Month)];
    let department = prop::option::of(0..DEPARTMENTS.len());
    (department, any::<bool>(), 1..6_i64, 1..40_i64, window, any_when(true)).prop_map(
        |(department, by_basket, size, units, window, when)| CardWords {
            department,
            by_basket,
            size,
            units,
            window,
            when,
        },
    )
}

impl CardWords {
    /// The card as the programme has it.
    pub fn made(&self, index: usize, symbols: &mut SymbolTable) -> StampCard {
        let name = format!("card-{index}");
        StampCard {
            symbol: symbol(symbols, &name),
            given: symbol(symbols, &format!("{name}.given")),
            name,
            of: self.department.map(|at| (Attribute::Department, vec![symbol(symbols, DEPARTMENTS[at])])),
            when: conditions(&self.when, symbols),
            counts: if self.by_basket { StampsCounted::Baskets } else { StampsCounted::Items },
            size: self.size,
            reward: StampReward::Units(self.units),
            window: self.window,
        }
    }

    /// The stamps for what is left of a basket.
    fn stamps(&self, bought: &Bought) -> i64 {
        let counts = |line: &usize| {
            let (department, _, amount, _) = bought.lines[*line];
            let is_there = bought.rest(*line) != (0, 0) && amount > 0;
            is_there && bought.judged[*line].is_some() && self.department.is_none_or(|of| of == department)
        };
        let pieces = (0..bought.lines.len()).filter(counts).map(|line| bought.rest(line).0);
        if self.by_basket { i64::from(pieces.count() > 0) } else { pieces.sum() }
    }
}

impl Model<'_> {
    /// What a basket counts on each card whose conditions hold.
    pub fn stamped(&self, account: usize, bought: &Bought, at: &Zoned, holds: &dyn Fn(&When) -> bool) -> Vec<Stamped> {
        let mut all = Vec::new();
        for (index, card) in self.rules.cards.iter().enumerate() {
            let stamps = card.stamps(bought);
            if stamps == 0 || !holds(&card.when) {
                continue;
            }
            let wanted = Self::window(card.window, at.datetime());
            let past = self.standing(|past| past.account == account);
            let past = past.filter(|past| Self::window(card.window, past.at.datetime()) == wanted);
            let own = past.flat_map(|past| &past.stamped).filter(|stamped| stamped.card == index);
            let before = own.fold((0, 0), |(stamps, given), one| (stamps + one.stamps, given + one.rewards));
            let rewards = ((before.0 + stamps) / card.size - before.1).max(0);
            all.push(Stamped { card: index, before, stamps, rewards });
        }
        all
    }

    /// The units that full cards give.
    pub fn units_of_cards(&self, stamped: &[Stamped]) -> i64 {
        stamped.iter().map(|one| one.rewards * self.rules.cards[one.card].units).sum()
    }

    /// Leaves of what a basket counted what the rest of it would have.
    pub fn restamp(&self, all: &mut [Stamped], bought: &Bought, eligible: i64, is_last: bool) {
        for one in all {
            let card = &self.rules.cards[one.card];
            let is_there = !is_last && eligible >= card.when.eligible_min;
            let stamps = if is_there { card.stamps(bought) } else { 0 };
            one.stamps = one.stamps.min(stamps);
            let due = ((one.before.0 + one.stamps) / card.size - one.before.1).max(0);
            one.rewards = if one.stamps == 0 { 0 } else { one.rewards.min(due) };
        }
    }
}
