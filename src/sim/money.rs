//! Money, naively: what is paid in, and what goes back to where it came from.
//!
//! What must stay true: nothing of `ledger` is called; what is left of a top-up is told from the whole history.

use std::collections::BTreeMap;

use super::dice::Dice;
use super::facts::{Action, Name, Posting, Verdict};
use super::judge::Event;
use super::lots::{LotMove, LotName, NEVER};
use super::model::{Broken, Model, must, overflows};
use super::rules::{CASH, Rules};
use crate::ledger::decision::{Movement, Refusal};

/// A unit of money is worth itself.
const FACE_VALUE: u32 = 10_000;

/// Money that somebody pays in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaidIn {
    /// The account.
    pub account: Name,
    /// The wallet.
    pub wallet: usize,
    /// How much.
    pub units: i64,
    /// What the payment is called.
    pub source: Name,
    /// The store and the terminal, or empty.
    pub place: [Name; 2],
}

impl PaidIn {
    /// Some money, mostly into the wallet that takes it.
    pub fn draw(dice: &mut Dice, account: Name) -> Self {
        let wallet = if dice.percent(95) { CASH } else { dice.index(CASH) };
        let units = if dice.percent(80) { dice.number(1..400) } else { dice.number(1..4_000) };
        let store = *dice.pick(&["", "s-0", "s-1", "s-9"]);
        let terminal = if store.is_empty() { "" } else { *dice.pick(&["", "till-1", "till-2"]) };
        let source = format!("payment-{}", dice.below(30)).into();
        Self { account, wallet, units, source, place: [store.into(), terminal.into()] }
    }

    /// The same, but for one field.
    pub fn change(&mut self, dice: &mut Dice, account: Name) {
        match dice.below(5) {
            0 => self.account = account,
            1 => self.wallet = (self.wallet + 1) % (CASH + 1),
            2 => self.units += 1,
            3 => self.source = "another payment".into(),
            _ => self.place = ["s-7".into(), Name::default()],
        }
    }
}

/// Money that is to go back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoneBack {
    /// The transaction id of the top-up.
    pub original: Name,
    /// How much; whatever is left where it says nothing.
    pub units: Option<i64>,
}

/// By partner and id of the top-up: the last refund's place among the postings, and what is left.
pub type Refunds = BTreeMap<(Name, Name), (usize, i64)>;

/// The field in which such actions differ; `None` for other actions.
pub fn first_difference(ours: &Action, theirs: &Action) -> Option<Option<String>> {
    let fields = match (ours, theirs) {
        (Action::TopUp(ours), Action::TopUp(theirs)) => vec![
            ("wallet", ours.wallet == theirs.wallet),
            ("amount_minor", ours.units == theirs.units),
            ("source", ours.source == theirs.source),
            ("store_id", ours.place[0] == theirs.place[0]),
            ("terminal_id", ours.place[1] == theirs.place[1]),
        ],
        (Action::Refund(ours), Action::Refund(theirs)) => {
            vec![("original_transaction_id", ours.original == theirs.original), ("points", ours.units == theirs.units)]
        }
        _ => return None,
    };
    Some(fields.into_iter().find(|(_, is_same)| !is_same).map(|(field, _)| field.to_owned()))
}

/// Why the rules refuse to take money in, whatever the account.
#[must_use]
pub fn refusal_of_top_up(rules: &Rules, action: &Action) -> Option<Refusal> {
    let Action::TopUp(paid) = action else { return None };
    let (least, most) = rules.top_ups;
    match paid.units {
        _ if paid.wallet != CASH => Some(Refusal::WalletNotMoney),
        units if units < least => Some(Refusal::TopUpTooSmall),
        units if units > most => Some(Refusal::TopUpTooLarge),
        _ => None,
    }
}

impl Rules {
    /// The lot of money that a partner takes in.
    #[must_use]
    pub fn money_lot(&self, issuer: &str) -> LotName {
        LotName {
            wallet: CASH,
            issuer: issuer.into(),
            funding: self.funding_of(issuer, CASH),
            available_from: 0,
            inactive_days: 0,
            dies: NEVER,
            is_held: false,
        }
    }

    /// What a partner pays or receives for a unit of a wallet, where it pays or receives so much for points.
    #[must_use]
    pub fn worth(wallet: usize, of_points: u32) -> u32 {
        if wallet == CASH { FACE_VALUE } else { of_points }
    }
}

impl Model {
    /// What a top-up comes to.
    pub(super) fn expect_top_up(&self, event: &Event<'_>, plain: Verdict, paid: &PaidIn) -> Verdict {
        let Event { rules, account, posted_at, partner, .. } = *event;
        let (wallet, units) = (paid.wallet, paid.units);
        let balance = account.balance(wallet, posted_at);
        let lot = rules.money_lot(partner);
        if overflows(rules, account, &[(lot.clone(), units)], posted_at) {
            let refusal = Some(Refusal::BalanceLimitExceeded);
            return Verdict { refusal, wallet, balance_after: balance, lots: Vec::new(), ..plain };
        }
        let mut lots = plain.lots.clone();
        lots.push(LotMove::new(lot, Movement::Grant, units));
        Verdict { wallet, granted: units, balance_after: balance + units, lots, ..plain }
    }

    /// What was paid in by a posting, and what of it has not gone back.
    #[must_use]
    pub fn left_of(&self, posting: &Posting) -> Option<(LotName, i64)> {
        let granted = posting.verdict.lots.iter().find(|change| change.is(Movement::Grant));
        let granted = granted.filter(|_| matches!(posting.action, Action::TopUp(_)))?;
        let key = (posting.partner.clone(), posting.transaction_id.clone());
        let left = self.refunds.get(&key).map_or(granted.units, |(_, left)| *left);
        Some((granted.lot.clone(), left))
    }

    /// What the refund of a top-up comes to.
    pub(super) fn expect_refund(
        &self,
        posting: &Posting,
        event: &Event<'_>,
        plain: Verdict,
        asked: &GoneBack,
    ) -> Result<Verdict, Broken> {
        let GoneBack { original, units } = asked;
        let paid = self.posted(&posting.partner, original);
        let Some((paid, (lot, left))) = paid.and_then(|paid| Some((paid, self.left_of(paid)?))) else {
            return Err(format!("the top-up of position {} was granted before", posting.position));
        };
        must!(paid.account == posting.account, "the refund at {} is of the same account", posting.position);
        let last = self.refunds.get(&(posting.partner.clone(), original.clone()));
        let last = last.and_then(|(index, _)| self.postings.get(*index));
        must!(
            [Some(paid), last].into_iter().flatten().all(|before| before.frame < posting.frame),
            "a top-up and what went back of it are durable before more goes back"
        );
        must!(left > 0 && units.unwrap_or(left) <= left, "of {original} {left} are left, not {units:?}");
        let units = units.unwrap_or(left);
        let Event { account, posted_at, .. } = *event;
        let back: i64 = plain.lots.iter().filter(|change| change.lot == lot).map(|change| change.units).sum();
        let there = account.units.get(&lot).copied().unwrap_or(0) + back;
        let (wallet, balance) = (lot.wallet, account.balance(lot.wallet, posted_at));
        if there < units {
            return Ok(Verdict {
                refusal: Some(Refusal::InsufficientBalance),
                wallet,
                balance_after: balance,
                refundable: there.min(left),
                lots: Vec::new(),
                ..plain
            });
        }
        let mut lots = plain.lots.clone();
        lots.push(LotMove::new(lot, Movement::Reverse, -units));
        let refundable = (there - units).min(left - units);
        let (granted, balance_after) = (-units, balance - units);
        Ok(Verdict { wallet, granted, balance_after, refundable, lots, totals: [0, 0, 1, 0, 0], ..plain })
    }

    /// Remembers what is left of a top-up.
    pub(super) fn note_refund(&mut self, posting: &Posting, index: usize) {
        let Action::Refund(GoneBack { original, .. }) = &posting.action else { return };
        let left = self.posted(&posting.partner, original).and_then(|paid| self.left_of(paid));
        if let Some((_, left)) = left {
            // What was granted is less than nothing.
            let left = left + posting.verdict.granted;
            self.refunds.insert((posting.partner.clone(), original.clone()), (index, left));
        }
    }

    /// Whether a refund can be refused like this without a record.
    pub(super) fn may_refuse_refund(&self, partner: &Name, asked: &GoneBack, refusal: Refusal, settled: u64) -> bool {
        let of = (partner.clone(), asked.original.clone());
        let posted = self.posted(partner, &asked.original);
        let left = posted.and_then(|paid| self.left_of(paid)).map(|(_, left)| left);
        match refusal {
            Refusal::OriginalUnknown => posted.is_none_or(|posting| posting.position >= settled),
            Refusal::NotReversible => self.publication_ids.contains_key(&of) || (posted.is_some() && left.is_none()),
            Refusal::AlreadyReversed => left == Some(0),
            // What is left only becomes less.
            Refusal::RefundTooLarge => left.zip(asked.units).is_some_and(|(left, units)| units > left),
            _ => false,
        }
    }
}
