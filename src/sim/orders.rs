//! What operators ask and what points to accounts, naively: held units that are released or rejected, units that come
//! back, corrections, identifiers.
//!
//! What must stay true: nothing of `ledger` is called; that something happens once is told from the whole history.

use std::collections::BTreeMap;

use super::facts::{Action, Name, Posting, Verdict};
use super::judge::Event;
use super::lots::{LotMove, LotName, granted_lot, take};
use super::model::{AccountModel, Broken, Model, alive_units, must, overflows};
use super::ring::Identifier;
use super::rules::Rules;
use crate::ledger::decision::{Movement, Refusal};

/// What became of an identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkEvent {
    /// Where the record lies.
    pub position: u64,
    /// Where its frame begins.
    pub frame: u64,
    /// Whose it is from then on; `None` for nobody's.
    pub account: Option<Name>,
}

/// What became of identifiers, each in order.
pub type Links = BTreeMap<Identifier, Vec<LinkEvent>>;

/// The lots of an account that one record says have died, of those that a partner had issued and nobody held.
#[must_use]
pub fn died(posting: &Posting, partner: &str) -> Vec<(LotName, i64)> {
    let dead = posting.verdict.lots.iter().filter(|change| change.is(Movement::Expire));
    let own = dead.filter(|change| *change.lot.issuer == *partner && !change.lot.is_held);
    own.map(|change| (change.lot.clone(), -change.units)).collect()
}

/// The units of a transaction that were held from its posting on, with their lot.
#[must_use]
pub fn held_by(posting: &Posting) -> Option<&LotMove> {
    let begins = posting.verdict.held.as_ref().is_some_and(|(_, _, cap)| cap.is_some());
    posting.verdict.lots.iter().find(|change| begins && change.is(Movement::Grant))
}

/// The field in which what an operator asks differs.
pub(super) fn difference_of_orders(ours: &Action, theirs: &Action) -> Option<String> {
    let (fields, note, their_note) = match (ours, theirs) {
        (
            Action::Review { original, releases, note },
            Action::Review { original: of, releases: they_release, note: their_note },
        ) if releases == they_release => (vec![("original_transaction_id", original == of)], note, their_note),
        (
            Action::Restore { expiry, dies, note, .. },
            Action::Restore { expiry: of, dies: die, note: their_note, .. },
        ) => (vec![("expiry", expiry == of), ("expire_time", dies == die)], note, their_note),
        (
            Action::Adjust { wallet, units, dies, note, .. },
            Action::Adjust { wallet: of, units: many, dies: die, note: their_note, .. },
        ) => {
            (vec![("wallet", wallet == of), ("points", units == many), ("expire_time", dies == die)], note, their_note)
        }
        _ => return Some("command".to_owned()),
    };
    let all = fields.into_iter().chain([("remark.note", note == their_note)]);
    all.into_iter().find(|(_, is_same)| !is_same).map(|(field, _)| field.to_owned())
}

/// The field in which two opening balances differ.
pub(super) fn difference_of_loads(ours: &[(LotName, i64)], theirs: &[(LotName, i64)]) -> Option<String> {
    let wallet = |lots: &[(LotName, i64)]| lots.first().map(|(lot, _)| lot.wallet);
    let fields = [("wallet", wallet(ours) == wallet(theirs)), ("lots", ours == theirs)];
    fields.into_iter().find(|(_, is_same)| !is_same).map(|(field, _)| field.to_owned())
}

/// The field in which two actions name their accounts differently: an identifier that is unlinked may be all that does.
pub(super) fn naming_field(ours: &Action, theirs: &Action) -> &'static str {
    match (ours, theirs) {
        (
            Action::Link { identifier, links, .. },
            Action::Link { identifier: their_identifier, links: they_link, .. },
        ) if links == they_link => {
            if identifier == their_identifier {
                "account_id"
            } else {
                "identifier"
            }
        }
        (Action::Link { .. }, _) | (_, Action::Link { .. }) => "command",
        _ => "account_identifier",
    }
}

/// Lots from elsewhere, or a refusal where a wallet cannot hold them.
pub(super) fn load(plain: Verdict, rules: &Rules, account: &AccountModel, lots: &[(LotName, i64)], at: i64) -> Verdict {
    let wallet = lots.last().map_or(0, |(lot, _)| lot.wallet);
    let held = account.balance(wallet, at);
    if overflows(rules, account, lots, at) {
        let refusal = Some(Refusal::BalanceLimitExceeded);
        return Verdict { refusal, wallet, balance_after: held, lots: Vec::new(), ..plain };
    }
    let units: i64 = lots.iter().map(|(_, units)| units).sum();
    let balance_after = held + alive_units(lots, wallet, at);
    let funded = |lot: &LotName| LotName { funding: rules.funding_of(&lot.issuer, lot.wallet), ..lot.clone() };
    let moves = lots.iter().map(|(lot, units)| LotMove::new(funded(lot), Movement::Grant, *units));
    let lots = plain.lots.iter().cloned().chain(moves).collect();
    Verdict { wallet, earned: units, granted: units, balance_after, lots, ..plain }
}

impl Model {
    /// What a release or a rejection comes to.
    pub(super) fn expect_review(
        &self,
        posting: &Posting,
        event: &Event<'_>,
        plain: Verdict,
        (original, releases): (&Name, bool),
    ) -> Result<Verdict, Broken> {
        let Some(reviewed) = self.posted(&posting.partner, original) else {
            return Err(format!("the transaction that position {} reviews was posted before", posting.position));
        };
        must!(reviewed.account == posting.account, "the review at {} is of the same account", posting.position);
        must!(reviewed.frame < posting.frame, "what is reviewed at {} is durable before", posting.position);
        let Some(granted) = held_by(reviewed) else {
            return Err(format!("what is reviewed at position {} was held", posting.position));
        };
        let key = (posting.partner.clone(), original.clone());
        let is_held = event.account.held.contains_key(&key);
        must!(is_held, "transaction {original} of {} is still held at {}", posting.partner, posting.position);
        let wallet = granted.lot.wallet;
        let balance = event.account.balance(wallet, event.posted_at);
        let mut verdict = Verdict { wallet, balance_after: balance, held: Some((key.0, key.1, None)), ..plain };
        let is_alive = granted.lot.is_alive(event.posted_at);
        if releases {
            if is_alive {
                let freed = LotName { is_held: false, ..granted.lot.clone() };
                verdict.lots.push(LotMove::new(granted.lot.clone(), Movement::Release, -granted.units));
                verdict.lots.push(LotMove::new(freed, Movement::Release, granted.units));
            }
            return Ok(verdict);
        }
        if is_alive {
            verdict.lots.push(LotMove::new(granted.lot.clone(), Movement::Reverse, -granted.units));
            verdict.granted = -granted.units;
            verdict.balance_after -= granted.units;
        } else {
            verdict.gone = granted.units;
        }
        give_back(&reviewed.verdict, &mut verdict);
        Ok(verdict)
    }

    /// What bringing back comes to.
    pub(super) fn expect_restoration(
        &self,
        posting: &Posting,
        event: &Event<'_>,
        plain: Verdict,
        (expiry, dies): (u64, i64),
    ) -> Result<Verdict, Broken> {
        let Some(source) = self.postings.iter().find(|one| one.position == expiry && one.position < posting.position)
        else {
            return Err(format!("position {} brings back what an earlier record posted", posting.position));
        };
        must!(source.account == posting.account, "what comes back at {} is the account's own", posting.position);
        must!(source.frame < posting.frame, "the expiry is durable before it is taken back at {}", posting.position);
        let once = !self.restored.contains_key(&(posting.partner.clone(), expiry));
        must!(once, "what died at {expiry} of {} comes back once", posting.partner);
        let lots = died(source, &posting.partner);
        must!(!lots.is_empty() && event.posted_at < dies, "something can come back at {}", posting.position);
        let lots: Vec<_> = lots.into_iter().map(|(lot, units)| (LotName { dies, ..lot }, units)).collect();
        Ok(gain(plain, event, &lots, Movement::Restore))
    }

    /// What a correction comes to.
    pub(super) fn expect_adjustment(
        &self,
        event: &Event<'_>,
        plain: Verdict,
        (wallet, units): (usize, i64),
        dies: Option<i64>,
    ) -> Verdict {
        let Event { rules, account, posted_at, .. } = *event;
        if units > 0 {
            let terms = granted_lot(rules, event.partner, posted_at);
            let terms = LotName { funding: rules.funding_of(event.partner, wallet), ..terms };
            let lot = match dies {
                None => LotName { wallet, available_from: 0, ..terms },
                Some(dies) => LotName { wallet, available_from: 0, inactive_days: 0, dies, ..terms },
            };
            return gain(plain, event, &[(lot, units)], Movement::Grant);
        }
        let balance = account.balance(wallet, posted_at);
        let mut lots = plain.lots.clone();
        // Where partners are declared, nobody takes what another owes.
        let mut within_reach = account.clone();
        within_reach.units.retain(|lot, _| rules.partners.is_empty() || *lot.issuer == *event.partner);
        if take(&within_reach, &mut lots, wallet, -units, Movement::Reverse, posted_at, &self.issuers) > 0 {
            let refusal = Some(Refusal::InsufficientBalance);
            return Verdict { refusal, wallet, balance_after: balance, lots: Vec::new(), ..plain };
        }
        Verdict { wallet, granted: units, balance_after: balance + units, lots, ..plain }
    }

    /// What linking or unlinking comes to: whose identifier it is, the account says.
    pub(super) fn expect_linking(
        &self,
        posting: &Posting,
        event: &Event<'_>,
        plain: Verdict,
        (identifier, links): (&Identifier, bool),
    ) -> Result<Verdict, Broken> {
        let is_own = event.account.identifiers.contains(identifier);
        must!(is_own != links, "{identifier:?} points elsewhere before position {}", posting.position);
        let last = self.links.get(identifier).and_then(|events| events.last());
        let is_free = last.is_none_or(|last| last.account.is_none() && last.frame < posting.frame);
        must!(!links || is_free, "{identifier:?} points to one account at {}, after {last:?}", posting.position);
        Ok(Verdict { identifier: Some((identifier.clone(), links)), ..plain })
    }

    /// An account that was named by an identifier had it at some time.
    pub(super) fn check_named(&self, posting: &Posting) -> Result<(), Broken> {
        let Some(identifier) = &posting.named_by else { return Ok(()) };
        let events = self.links.get(identifier).map_or(&[][..], Vec::as_slice);
        let had = events.iter().any(|event| event.account.as_ref() == Some(&posting.account));
        must!(had, "{identifier:?} pointed to {} before position {}", posting.account, posting.position);
        Ok(())
    }

    /// Remembers what happens once.
    pub(super) fn note_orders(&mut self, posting: &Posting, index: usize) {
        let key = |original: &Name| (posting.partner.clone(), original.clone());
        match &posting.action {
            Action::Reverse { original, .. } | Action::Review { original, releases: false, .. } => {
                self.reversed.insert(key(original), index);
            }
            Action::Review { original, .. } => {
                self.released.insert(key(original), index);
            }
            Action::Restore { expiry, .. } => {
                self.restored.insert((posting.partner.clone(), *expiry), index);
            }
            Action::Link { identifier, links, .. } => {
                let account = links.then(|| posting.account.clone());
                let event = LinkEvent { position: posting.position, frame: posting.frame, account };
                self.links.entry(identifier.clone()).or_default().push(event);
            }
            _ => {}
        }
    }

    /// Whose an identifier can have been for a call that began when everything before `settled` was processed: what it
    /// was then, and all that it became since.
    pub fn owners_since(&self, identifier: &Identifier, settled: u64) -> Vec<Option<&Name>> {
        let events = self.links.get(identifier).map_or(&[][..], Vec::as_slice);
        let since = events.partition_point(|event| event.position < settled);
        let (before, since) = events.split_at(since);
        let then = before.last().and_then(|event| event.account.as_ref());
        std::iter::once(then).chain(since.iter().map(|event| event.account.as_ref())).collect()
    }
}

/// Gives back what a transaction took of counters and cells.
pub(super) fn give_back(undone: &Verdict, verdict: &mut Verdict) {
    let taken = undone.taken.iter().filter(|(_, used)| *used != 0);
    verdict.taken = taken.map(|(cell, used)| (cell.clone(), -used)).collect();
    let counters = undone.counters.iter();
    verdict.counters = counters.map(|(name, period, delta)| (name.clone(), *period, -delta)).collect();
    verdict.totals = [0, 0, 1, 0, 0];
}

/// Lots that an account gains, or a refusal where a wallet cannot hold them. The wallet is that of the first.
fn gain(plain: Verdict, event: &Event<'_>, lots: &[(LotName, i64)], movement: Movement) -> Verdict {
    let Event { rules, account, posted_at, .. } = *event;
    let wallet = lots.first().map_or(0, |(lot, _)| lot.wallet);
    let balance = account.balance(wallet, posted_at);
    if overflows(rules, account, lots, posted_at) {
        let refusal = Some(Refusal::BalanceLimitExceeded);
        return Verdict { refusal, wallet, balance_after: balance, lots: Vec::new(), ..plain };
    }
    let of_wallet = |alive: bool| -> i64 {
        let own = lots.iter().filter(|(lot, _)| lot.wallet == wallet && (!alive || lot.is_alive(posted_at)));
        own.map(|(_, units)| units).sum()
    };
    let moves = lots.iter().map(|(lot, units)| LotMove::new(lot.clone(), movement, *units));
    let all = plain.lots.iter().cloned().chain(moves).collect();
    Verdict { wallet, granted: of_wallet(false), balance_after: balance + of_wallet(true), lots: all, ..plain }
}
