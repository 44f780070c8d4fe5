//! What is set aside, naively: authorizations, captures, voids, and what time gives back.
//!
//! What must stay true: nothing of `ledger` is called; an authorization is found by looking at all of them.

use std::collections::BTreeMap;

use super::facts::{Action, Name, Posting, Verdict};
use super::judge::{Event, local_date};
use super::lots::{Issuers, LotMove, LotName, extend, take};
use super::model::{AccountModel, Broken, Model, must};
use crate::ledger::decision::{Movement, Refusal};

const NS_PER_SECOND: i64 = 1_000_000_000;
/// Authorizations of one account that are open at a time, and lots that they have taken from.
const OPEN_MAX: usize = 64;
const LOTS_MAX: usize = 512;

/// The partner and the id of an authorization.
pub type AsideName = (Name, Name);

/// Units that are set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
    /// The wallet.
    pub wallet: usize,
    /// From when on what is left is given back.
    pub ends: i64,
    /// What was burned of it.
    pub captured: i64,
    /// What is left, in the order in which it is burned.
    pub lots: Vec<(LotName, i64)>,
}

impl Aside {
    /// What is left.
    #[must_use]
    pub fn left(&self) -> i64 {
        self.lots.iter().map(|(_, units)| units).sum()
    }
}

/// What a command does to an authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AsideChange {
    /// It begins, and ends at this instant.
    Begins(i64),
    /// So many units are burned: with these so many in all, so many are left, which are given back or not.
    Captures(i64, i64, i64, bool),
    /// So many were burned before, and so many are given back.
    Voids(i64, i64),
}

impl AccountModel {
    /// Units that count beside those in lots: what is set aside, and what has come back alive though no record says so.
    #[must_use]
    pub fn beside_lots(&self, wallet: usize, at: i64) -> i64 {
        let own = self.aside.values().filter(|aside| aside.wallet == wallet);
        let of_one = |aside: &Aside| -> i64 {
            let counts = |lot: &LotName| at < aside.ends || lot.is_alive(at);
            aside.lots.iter().filter(|(lot, _)| counts(lot)).map(|(_, units)| units).sum()
        };
        own.map(of_one).sum()
    }

    /// Authorizations whose time has run out: by the number of the partner's name, then by id.
    #[must_use]
    pub fn ended(&self, at: i64, issuers: &Issuers) -> Vec<(&AsideName, &Aside)> {
        let mut ended: Vec<_> = self.aside.iter().filter(|(_, aside)| aside.ends <= at).collect();
        ended.sort_by_key(|((partner, id), _)| (issuers.get(partner), id));
        ended
    }

    /// The same account with a lot of nothing wherever something comes back alive.
    #[must_use]
    pub fn with_places(&self, at: i64) -> Self {
        let mut account = self.clone();
        for (lot, _) in self.aside.values().filter(|aside| aside.ends <= at).flat_map(|aside| &aside.lots) {
            if lot.is_alive(at) {
                account.units.entry(lot.clone()).or_default();
            }
        }
        account
    }

    /// Changes what is set aside as a verdict says.
    pub fn change_aside(&mut self, verdict: &Verdict) {
        for name in &verdict.ended {
            self.aside.remove(name);
        }
        let Some((name, change)) = verdict.aside.clone() else { return };
        match change {
            AsideChange::Begins(ends) => {
                let taken = verdict.lots.iter().filter(|change| change.is(Movement::SetAside));
                let lots = taken.map(|change| (change.lot.clone(), -change.units)).collect();
                self.aside.insert(name, Aside { wallet: verdict.wallet, ends, captured: 0, lots });
            }
            AsideChange::Captures(units, captured, _, closes) => {
                let Some(mut aside) = self.aside.remove(&name) else { return };
                if !closes {
                    let mut missing = units;
                    for (_, left) in &mut aside.lots {
                        let taken = missing.min(*left);
                        (missing, *left) = (missing - taken, *left - taken);
                    }
                    aside.lots.retain(|(_, left)| *left > 0);
                    self.aside.insert(name, Aside { captured, ..aside });
                }
            }
            AsideChange::Voids(..) => drop(self.aside.remove(&name)),
        }
    }
}

/// Units go back to their lot, and die there if it is dead. Gives what died.
pub fn come_back(moves: &mut Vec<LotMove>, lot: &LotName, units: i64, at: i64) -> i64 {
    moves.push(LotMove::new(lot.clone(), Movement::GiveBack, units));
    if lot.is_alive(at) {
        return 0;
    }
    moves.push(LotMove::new(lot.clone(), Movement::Expire, -units));
    units
}

impl Model {
    /// What setting aside comes to.
    pub(super) fn expect_authorization(
        &self,
        event: &Event<'_>,
        plain: Verdict,
        (wallet, units): (usize, i64),
        hold_seconds: Option<u32>,
    ) -> Verdict {
        let Event { rules, account, posted_at, .. } = *event;
        let balance = account.balance(wallet, posted_at);
        let mut lots = plain.lots.clone();
        let before = lots.len();
        let missing = take(account, &mut lots, wallet, units, Movement::SetAside, posted_at, &self.issuers);
        let open: Vec<&Aside> = account.aside.values().filter(|aside| posted_at < aside.ends).collect();
        let lot_count = open.iter().map(|aside| aside.lots.len()).sum::<usize>() + lots.len() - before;
        let refusal = match () {
            () if missing > 0 => Some(Refusal::InsufficientBalance),
            () if open.len() >= OPEN_MAX || lot_count > LOTS_MAX => Some(Refusal::AccountLimitReached),
            () => None,
        };
        if refusal.is_some() {
            let totals = [0, 0, 0, 1, 0];
            return Verdict { refusal, wallet, balance_after: balance, lots: Vec::new(), totals, ..plain };
        }
        extend(account, &mut lots, rules, local_date(rules.time_zone, posted_at), posted_at, &self.issuers);
        let most = rules.hold_minutes * 60;
        let seconds = hold_seconds.map_or(most, |asked| most.min(i64::from(asked)));
        let name = (event.partner.into(), event.transaction_id.into());
        let aside = Some((name, AsideChange::Begins(posted_at + seconds * NS_PER_SECOND)));
        Verdict { wallet, balance_after: balance, lots, aside, ..plain }
    }

    /// What a capture or a void comes to. `burned` is how many units, and whether they are the last.
    pub(super) fn expect_ending(
        &self,
        posting: &Posting,
        event: &Event<'_>,
        plain: Verdict,
        (original, burned): (&Name, Option<(i64, bool)>),
    ) -> Result<Verdict, Broken> {
        let Event { rules, account, posted_at, .. } = *event;
        let Some(authorization) = self.posted(&posting.partner, original) else {
            return Err(format!("the authorization of position {} was posted before", posting.position));
        };
        let is_one = matches!(authorization.action, Action::Authorize { .. });
        must!(
            is_one && authorization.account == posting.account,
            "position {} ends an authorization",
            posting.position
        );
        must!(authorization.frame < posting.frame, "the authorization of {} is durable before", posting.position);
        let name = (posting.partner.clone(), original.clone());
        let Some(aside) = account.aside.get(&name).filter(|aside| posted_at < aside.ends) else {
            return Err(format!("authorization {original} of {} is open at {posted_at}", posting.partner));
        };
        let wallet = aside.wallet;
        let balance = account.balance(wallet, posted_at);
        let mut lots = plain.lots.clone();
        let (units, is_last) = burned.unwrap_or((0, true));
        let left = aside.left();
        must!(units <= left, "of authorization {original} {left} units are left, not {units}");
        if burned.is_some() {
            extend(account, &mut lots, rules, local_date(rules.time_zone, posted_at), posted_at, &self.issuers);
        }
        let mut missing = units;
        let mut rest = Vec::new();
        for (lot, held) in &aside.lots {
            let taken = missing.min(*held);
            missing -= taken;
            if taken > 0 {
                lots.push(LotMove::new(lot.clone(), Movement::GiveBack, taken));
                lots.push(LotMove::new(lot.clone(), Movement::Burn, -taken));
            }
            rest.push((lot, held - taken));
        }
        let closes = is_last || units == left;
        let mut died = 0;
        for (lot, back) in rest.into_iter().filter(|(_, back)| closes && *back > 0) {
            died += come_back(&mut lots, lot, back, posted_at);
        }
        let change = match burned {
            Some(_) => AsideChange::Captures(units, aside.captured + units, left - units, closes),
            None => AsideChange::Voids(aside.captured, left),
        };
        let balance_after = balance - units - died;
        Ok(Verdict { wallet, granted: -units, balance_after, lots, aside: Some((name, change)), ..plain })
    }

    /// Whether a capture or a void can be refused like this without a record.
    pub(super) fn may_refuse_ending(
        &self,
        partner: &Name,
        (original, units): (&Name, i64),
        refusal: Refusal,
        (settled, posted_at): (u64, Option<i64>),
    ) -> bool {
        let name = (partner.clone(), original.clone());
        let posted = self.posted(partner, original);
        let begins = posted.and_then(|posting| match &posting.verdict.aside {
            Some((_, AsideChange::Begins(ends))) => Some((posting, *ends)),
            _ => None,
        });
        let Some((posting, ends)) = begins else {
            return refusal == Refusal::AuthorizationUnknown;
        };
        let last = self.ended.get(&name).and_then(|index| self.postings.get(*index));
        let last = last.and_then(|last| last.verdict.aside.as_ref()).map(|(_, change)| change);
        let (is_closed, left) = match last {
            Some(AsideChange::Captures(_, _, rest, closes)) => (*closes, *rest),
            Some(AsideChange::Voids(..)) => (true, 0),
            _ => (
                false,
                -posting.verdict.lots.iter().filter(|one| one.is(Movement::SetAside)).map(|one| one.units).sum::<i64>(),
            ),
        };
        match refusal {
            Refusal::AuthorizationUnknown => posting.position >= settled,
            Refusal::AuthorizationExpired => posted_at.is_some_and(|at| at >= ends),
            Refusal::AuthorizationClosed => posted_at.is_some_and(|at| at < ends) && is_closed,
            Refusal::CaptureExceedsAuthorization => posted_at.is_some_and(|at| at < ends) && units > left,
            _ => false,
        }
    }

    /// Remembers the last capture or void of each authorization.
    pub(super) fn note_ending(&mut self, posting: &Posting, index: usize) {
        if let (Some((name, _)), Action::Capture { .. } | Action::Void { .. }) =
            (&posting.verdict.aside, &posting.action)
        {
            self.ended.insert(name.clone(), index);
        }
    }
}

/// The last capture or void of each authorization, by its place among all that was posted.
pub type Endings = BTreeMap<AsideName, usize>;
