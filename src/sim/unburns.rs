//! Burned units that come back, naively: unit by unit from the end of what was burned.
//!
//! What must stay true: nothing of `ledger` is called; what had come back before is told from the whole history.

use super::SimReport;
use super::catalogue::rewards_of;
use super::facts::{Action, Name, Posting, Verdict};
use super::judge::{Event, local_date};
use super::lots::{ExpiryRule, LotMove, LotName};
use super::model::{Broken, Model, must, overflows};
use super::rules::{ReturnedRule, Rules};
use crate::ledger::decision::{Movement, Refusal};

/// What a posting burned, by lot, in the order in which it did.
#[must_use]
pub fn burned_by(posting: &Posting) -> Vec<(LotName, i64)> {
    let burns = matches!(posting.action, Action::Redeem { .. } | Action::Take(_) | Action::Capture { .. });
    let lots = posting.verdict.lots.iter().filter(|change| burns && change.is(Movement::Burn));
    lots.map(|change| (change.lot.clone(), -change.units)).collect()
}

/// The lot of units that come back at an instant.
fn place(rules: &Rules, burned: &LotName, at: i64) -> LotName {
    match rules.when_returned {
        ReturnedRule::Extend(days) if !burned.is_alive(at) => {
            let today = local_date(rules.time_zone, at);
            LotName { dies: ExpiryRule::AfterDays(days).dies(rules.time_zone, today), ..burned.clone() }
        }
        _ => burned.clone(),
    }
}

impl Model {
    /// The burn that a reversal gives back; `None` for everything else.
    #[must_use]
    pub fn burn_of(&self, posting: &Posting) -> Option<&Posting> {
        let Action::Reverse { original, .. } = &posting.action else { return None };
        self.posted(&posting.partner, original).filter(|found| !burned_by(found).is_empty())
    }

    /// What of a burn has not come back.
    #[must_use]
    pub fn left_of_burn(&self, of: &(Name, Name)) -> i64 {
        let burned: i64 =
            self.posted(&of.0, &of.1).map_or_else(Vec::new, burned_by).iter().map(|(_, units)| units).sum();
        burned - self.unburned.get(of).copied().unwrap_or(0)
    }

    /// What so many units of a burn that come back are, or all that are left: those that were burned last come first.
    fn piece_of(&self, burn: &Posting, units: Option<i64>) -> Vec<(LotName, i64)> {
        let key = (burn.partner.clone(), burn.transaction_id.clone());
        let (left, mut wanted) = (self.left_of_burn(&key), units.unwrap_or(i64::MAX));
        let mut standing = left;
        let mut rest: Vec<(LotName, i64)> = Vec::new();
        for (lot, units) in burned_by(burn) {
            let stands = units.min(standing);
            standing -= stands;
            rest.push((lot, stands));
        }
        let mut piece = Vec::new();
        while let Some((lot, stands)) = rest.pop() {
            let taken = stands.min(wanted);
            wanted -= taken;
            if taken > 0 {
                piece.push((lot, taken));
            }
        }
        piece
    }

    /// What the reversal of a burn comes to.
    pub(super) fn expect_unburn(
        &self,
        posting: &Posting,
        event: &Event<'_>,
        plain: Verdict,
    ) -> Result<Verdict, Broken> {
        let Action::Reverse { units, rewards, .. } = &posting.action else { return Err("it is a reversal".to_owned()) };
        let Some(burn) = self.burn_of(posting) else { return Err("a burn comes back".to_owned()) };
        must!(burn.account == posting.account, "the reversal at {} is of the same account", posting.position);
        let key = (burn.partner.clone(), burn.transaction_id.clone());
        let last = self.reversed.get(&key).and_then(|index| self.postings.get(*index));
        must!(
            [Some(burn), last].into_iter().flatten().all(|before| before.frame < posting.frame),
            "a burn and what came back of it are durable before more comes back"
        );
        let left = self.left_of_burn(&key);
        let price = rewards_of(burn).map(|(_, price)| price);
        must!(rewards.is_none() || price.is_some(), "the burn {key:?} was for rewards");
        must!(units.is_none() || price.is_none(), "the burn {key:?} was for no rewards");
        let units = units.or(rewards.zip(price).map(|(count, price)| count * price));
        must!(left > 0 && units.unwrap_or(1) <= left, "{units:?} of the burn {key:?} are left, not {left}");
        let Event { rules, account, posted_at, .. } = *event;
        let piece = self.piece_of(burn, units);
        let wallet = piece.first().map_or(plain.wallet, |(lot, _)| lot.wallet);
        let balance = account.balance(wallet, posted_at);
        let placed: Vec<_> = piece.iter().map(|(lot, units)| (place(rules, lot, posted_at), *units)).collect();
        if overflows(rules, account, &placed, posted_at) {
            let refusal = Some(Refusal::BalanceLimitExceeded);
            return Ok(Verdict { refusal, wallet, balance_after: balance, lots: Vec::new(), ..plain });
        }
        let mut lots = plain.lots.clone();
        let (mut granted, mut died) = (0, 0);
        for (lot, units) in placed {
            granted += units;
            lots.push(LotMove::new(lot.clone(), Movement::Unburn, units));
            if !lot.is_alive(posted_at) {
                died += units;
                lots.push(LotMove::new(lot, Movement::Expire, -units));
            }
        }
        let balance_after = balance + granted - died;
        // What died of it is not owed for besides.
        let gone = died.min(account.owed.get(&wallet).copied().unwrap_or(0));
        let count = price.map_or(0, |price| granted / price);
        let taken = burn.verdict.taken.iter().map(|(cell, _)| (cell.clone(), -count)).collect();
        Ok(Verdict { wallet, granted, balance_after, lots, taken, owed: -gone, gone, ..plain })
    }

    /// Remembers what has come back of a burn.
    pub(super) fn note_unburn(&mut self, posting: &Posting) {
        if posting.verdict.refusal.is_none()
            && let Some(burn) = self.burn_of(posting)
        {
            let key = (burn.partner.clone(), burn.transaction_id.clone());
            *self.unburned.entry(key).or_default() += posting.verdict.granted;
        }
    }
}

/// Counts what a record shows of burned units that come back.
pub fn note(report: &mut SimReport, posting: &Posting, model: &Model) {
    let Some(burn) = model.burn_of(posting) else { return };
    if posting.verdict.refusal.is_some() {
        report.reach("a reversal of a burn was refused on record");
        return;
    }
    report.reach(match burn.action {
        Action::Capture { .. } => "a capture was reversed",
        Action::Take(_) => "a reward came back",
        _ => "a redemption was reversed",
    });
    let key = (burn.partner.clone(), burn.transaction_id.clone());
    let before = model.left_of_burn(&key);
    let all: i64 = burned_by(burn).iter().map(|(_, units)| units).sum();
    if posting.verdict.granted < before {
        report.reach("a burn was reversed in part");
    } else if before < all {
        report.reach("a burn came back whole in pieces");
    }
    let moves = &posting.verdict.lots;
    let back = || moves.iter().filter(|change| change.is(Movement::Unburn));
    if back().count() > 1 {
        report.reach("several lots came back");
    }
    if moves.windows(2).any(|pair| pair[0].is(Movement::Unburn) && pair[1].is(Movement::Expire)) {
        report.reach("burned units died when they came back");
    }
    if posting.verdict.owed < 0 {
        report.reach("burned units that died when they came back were owed no more");
    }
    let burned = burned_by(burn);
    if back().any(|change| !burned.iter().any(|(lot, _)| *lot == change.lot)) {
        report.reach("burned units lived on when they came back");
    }
}
