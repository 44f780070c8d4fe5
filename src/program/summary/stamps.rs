//! Stamp cards in words.

use super::{conditions, grouped, units_in, values_of, window};
use crate::ledger::program::{CalendarWindow, Program, StampCard, StampReward, StampsCounted, Wallet};

/// "stamps coffee: 1 for each piece of 2 categories; 10 give the voucher free-coffee".
pub(super) fn line(card: &StampCard, program: &Program, wallet: &Wallet) -> String {
    let lines = card.of.as_ref().map(|(attribute, values)| values_of(*attribute, values.len()));
    let counted = match (card.counts, lines) {
        (StampsCounted::Items, Some(lines)) => format!("piece of {lines}"),
        (StampsCounted::Items, None) => "piece".to_owned(),
        (StampsCounted::Baskets, Some(lines)) => format!("basket with any of {lines}"),
        (StampsCounted::Baskets, None) => "basket".to_owned(),
    };
    let when = conditions::words(&card.when, program);
    let reward = match card.reward {
        StampReward::Units(units) => units_in(wallet, units),
        StampReward::Voucher(index) => {
            let name = program.voucher(index).map_or("", |voucher| voucher.name.as_str());
            format!("the voucher {name}")
        }
    };
    let ends = match card.window {
        CalendarWindow::Lifetime => String::new(),
        ends => format!("; a card that is not full when the {} ends is lost", window(ends)),
    };
    let size = grouped(card.size, ',');
    format!("stamps {}: 1 for each {counted}{when}; {size} give {reward}{ends}", card.name)
}
