//! What the fraud desk sees of receipts that are presented again: a window in memory, for such a basket consumes nothing
//! and has no record.
//!
//! What must stay true: the window is bounded, and says how much it has dropped; noting takes no more than a short lock.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::ledger::command::{Command, CommandKind};
use crate::ledger::types::{Day, Position, SymbolId, TimestampNs};
use crate::limits;

/// A receipt that was presented again.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    /// Store, terminal and cashier of the basket that presented it.
    pub place: [SymbolId; 3],
    /// The number on the receipt.
    pub receipt_number: Box<str>,
    /// The store's business day.
    pub business_day: Day,
    /// The account that was to earn by it.
    pub account_id: Box<str>,
    /// The id of the basket.
    pub transaction_id: Box<str>,
    /// The partner's name.
    pub partner: Box<str>,
    /// Who presented it, as the credential says.
    pub actor: Box<str>,
    /// When.
    pub at: TimestampNs,
    /// The record by which the receipt had earned.
    pub original: Position,
}

/// The latest claims, each with its number, from 0.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    claims: VecDeque<Claim>,
    count: u64,
}

impl Claims {
    /// Notes that a command presented a receipt that had earned.
    pub(super) fn note(&self, command: &Command, partner: &str, actor: String, at: TimestampNs, original: Position) {
        let CommandKind::Accrue(basket) = &command.kind else { return };
        let claim = Claim {
            place: [basket.store, basket.terminal, basket.cashier],
            receipt_number: basket.receipt_number.as_str().into(),
            business_day: basket.business_day,
            account_id: command.account_id.as_str().into(),
            transaction_id: command.transaction_id.as_str().into(),
            partner: partner.into(),
            actor: actor.into(),
            at,
            original,
        };
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.claims.len() == limits::RECEIPT_CLAIMS_KEPT_MAX {
            window.claims.pop_front();
        }
        window.claims.push_back(claim);
        window.count += 1;
    }

    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// The latest claims with numbers below this one, the latest first, and whether there are more.
    pub(super) fn before(&self, number: u64, count_max: usize) -> (Vec<(u64, Claim)>, bool) {
        let window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = window.count - window.claims.len() as u64;
        let mut wanted = (first..window.count).rev().zip(window.claims.iter().rev()).filter(|(at, _)| *at < number);
        let page = wanted.by_ref().take(count_max).map(|(at, claim)| (at, claim.clone())).collect();
        (page, wanted.next().is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::command::Basket;

    #[test]
    fn the_window_keeps_the_latest_and_counts_all() {
        let claims = Claims::default();
        let kept = limits::RECEIPT_CLAIMS_KEPT_MAX as u64;
        for number in 0..kept + 3 {
            let command = Command { transaction_id: number.to_string(), ..basket() };
            claims.note(&command, "north", "key:1".to_owned(), TimestampNs(0), Position(0));
        }
        assert_eq!(claims.count(), kept + 3);
        let (page, more) = claims.before(u64::MAX, 2);
        let ids =
            |page: &[(u64, Claim)]| page.iter().map(|(_, claim)| claim.transaction_id.clone()).collect::<Vec<_>>();
        assert_eq!((ids(&page), more), (vec![(kept + 2).to_string().into(), (kept + 1).to_string().into()], true));
        let (rest, more) = claims.before(page[1].0, limits::RECEIPT_CLAIMS_KEPT_MAX);
        assert_eq!((rest.len() as u64, rest.last().map(|(at, _)| *at), more), (kept - 2, Some(3), false));
        assert!(claims.before(3, 1).0.is_empty());
    }

    fn basket() -> Command {
        Command { kind: CommandKind::Accrue(Basket::default()), ..Command::default() }
    }
}
