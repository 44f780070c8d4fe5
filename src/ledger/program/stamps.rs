//! Stamp cards: what counts for one, how many make it full, and what a full one gives.
//!
//! What must stay true: of which lines a card takes stamps follows from the version and the lines alone, so that what is
//! left of a basket is counted as the whole was.

use super::{Attribute, CalendarWindow, Conditions, LineClass, VoucherIndex};
use crate::ledger::types::{Item, SymbolId, Units};
use crate::limits::UNITS_MAX;

/// Index into [`super::Program::stamps`], in the order of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct StampIndex(pub u8);

/// What a stamp is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StampsCounted {
    /// A piece of a line that counts.
    #[default]
    Items,
    /// A basket with at least one such line.
    Baskets,
}

/// What a full card gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StampReward {
    /// Units; 1 to [`crate::limits::EARN_RATE_PART_MAX`].
    Units(Units),
    /// A voucher.
    Voucher(VoucherIndex),
}

/// A card that fills with stamps, and begins again by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StampCard {
    /// Name in the file.
    pub name: String,
    /// The name, interned: it identifies the counter of stamps, across versions.
    pub symbol: SymbolId,
    /// What identifies the counter of the rewards that were given.
    pub given: SymbolId,
    /// The lines that count: those with one of these values, ascending; `None` for every eligible line.
    pub of: Option<(Attribute, Vec<SymbolId>)>,
    /// What must hold.
    pub when: Conditions,
    /// What a stamp is for.
    pub counts: StampsCounted,
    /// How many stamps make it full. 1 to [`crate::limits::STAMP_CARD_SIZE_MAX`].
    pub size: i64,
    /// What a full card gives.
    pub reward: StampReward,
    /// A card that is not full at the end of this window is lost.
    pub window: CalendarWindow,
}

impl StampCard {
    /// Whether a line counts. What is not eligible does not, nor does what was free of charge.
    #[must_use]
    pub fn counts_line(&self, class: LineClass, item: &Item, amount_minor: i64) -> bool {
        let is_listed = |(attribute, values): &(Attribute, Vec<SymbolId>)| {
            let value = attribute.of(item);
            values.binary_search(&value).is_ok()
        };
        class != LineClass::Ineligible && amount_minor > 0 && self.of.as_ref().is_none_or(is_listed)
    }

    /// The stamps for lines that count, told by how many pieces each has.
    #[must_use]
    pub fn stamps(&self, quantities: impl Iterator<Item = i64>) -> i64 {
        match self.counts {
            StampsCounted::Items => quantities.fold(0, i64::saturating_add),
            StampsCounted::Baskets => i64::from(quantities.count() > 0),
        }
    }

    /// The rewards that are due to whoever has collected so many stamps and been given so many rewards.
    #[must_use]
    pub fn due(&self, stamps: i64, given: i64) -> i64 {
        (stamps / self.size).saturating_sub(given).max(0)
    }

    /// The stamps on the card: those that were not turned into rewards. From the size of the card on a reward is due with the
    /// next stamp; below 0 where what was bought came back and the reward had been used.
    #[must_use]
    pub fn on_card(&self, stamps: i64, given: i64) -> i64 {
        stamps.saturating_sub(given.saturating_mul(self.size))
    }

    /// The units of so many rewards.
    #[must_use]
    pub fn units(&self, rewards: i64) -> Units {
        match self.reward {
            StampReward::Units(units) => rewards.saturating_mul(units).min(UNITS_MAX),
            StampReward::Voucher(_) => 0,
        }
    }

    /// Whether a full card gives a voucher.
    #[must_use]
    pub fn gives_voucher(&self) -> bool {
        matches!(self.reward, StampReward::Voucher(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(counts: StampsCounted) -> StampCard {
        StampCard {
            name: "coffee".to_owned(),
            symbol: SymbolId(1),
            given: SymbolId(2),
            of: Some((Attribute::Category, vec![SymbolId(5), SymbolId(9)])),
            when: Conditions::default(),
            counts,
            size: 10,
            reward: StampReward::Units(50),
            window: CalendarWindow::Lifetime,
        }
    }

    #[test]
    fn lines_count_that_are_listed_eligible_and_paid_for() {
        let item = |category| Item { category: SymbolId(category), ..Item::default() };
        let rows = [
            (LineClass::Base, 5, 1, true),
            (LineClass::Base, 9, 100, true),
            (LineClass::Base, 6, 100, false),
            (LineClass::Base, 5, 0, false),
            (LineClass::Ineligible, 5, 100, false),
        ];
        for (class, category, amount_minor, counts) in rows {
            let found = card(StampsCounted::Items).counts_line(class, &item(category), amount_minor);
            assert_eq!(found, counts, "{class:?} {category} {amount_minor}");
        }
        let any = StampCard { of: None, ..card(StampsCounted::Items) };
        assert!(any.counts_line(LineClass::Base, &item(6), 1));
    }

    #[test]
    fn stamps_rewards_and_what_is_on_the_card() {
        let (items, baskets) = (card(StampsCounted::Items), card(StampsCounted::Baskets));
        for (quantities, by_item, by_basket) in [(&[][..], 0, 0), (&[0], 0, 1), (&[2, 3], 5, 1)] {
            assert_eq!(items.stamps(quantities.iter().copied()), by_item, "{quantities:?}");
            assert_eq!(baskets.stamps(quantities.iter().copied()), by_basket, "{quantities:?}");
        }
        let rows = [(0, 0, 0, 0), (9, 0, 0, 9), (10, 0, 1, 10), (10, 1, 0, 0), (39, 1, 2, 29), (9, 1, 0, -1)];
        for (stamps, given, due, on_card) in rows {
            assert_eq!((items.due(stamps, given), items.on_card(stamps, given)), (due, on_card), "{stamps} {given}");
        }
        assert_eq!((items.units(3), items.units(i64::MAX)), (150, UNITS_MAX));
    }
}
