//! The naive model: the rules once more, written down straightforwardly over plain maps, fed with the journal's records
//! in order. It calls nothing of `ledger`, and it remembers everything for ever.
//!
//! What is taken from a record instead of being decided again: the posting time, and the room that the command found in
//! each cell. Whether the time may be is checked against the record before; whether the room may be is checked by the
//! limits in [`Model::draw`] and, exactly, by `watch`.
//!
//! What must stay true: an [`Err`] says what was expected; the model is changed by records that are durable alone.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Action, Name, Posting, ReceiptName, Verdict};
use super::judge::{Event, Rooms, judge, judge_activity, last_day_of, local_date};
use super::lots::{Issuers, LotMove, LotName, expired, extend, take, take_own};
use super::partners::{SidesModel, refusal_by_rules};
use super::rules::Rules;
use crate::journal::record::PreviousRecord;
use crate::ledger::decision::{Movement, Refusal};

/// What was expected and is not so.
pub type Broken = String;

/// A wallet's lifetime: granted, taken back, withheld, burned, expired.
pub type WalletLife = [i64; 5];

/// An account, as it is after one of its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountModel {
    /// The shard.
    pub shard: u16,
    /// Its last record's number in the shard.
    pub seq: u64,
    /// Where that record lies.
    pub position: u64,
    /// When that record was posted.
    pub posted_at: i64,
    /// When it was opened.
    pub opened_at: i64,
    /// The last record is one that the ledger posted by itself.
    pub by_sweep: bool,
    /// Units by lot, nothing where there are none.
    pub units: BTreeMap<LotName, i64>,
    /// By name and period: the value and the last local day on which a receipt may lie.
    pub counters: BTreeMap<(Name, i32), (i64, i32)>,
    /// Baskets, baskets over velocity, reversals, refused redemptions.
    pub totals: [i64; 4],
    /// Segments that it is in.
    pub segments: BTreeSet<Name>,
    /// What its last basket left over, and under which version, in the model's parts.
    pub remainder: Option<(u32, i128)>,
    /// By wallet.
    pub wallets: BTreeMap<usize, WalletLife>,
}

impl AccountModel {
    /// The balance of a wallet: units that are alive at the instant.
    #[must_use]
    pub fn balance(&self, wallet: usize, at: i64) -> i64 {
        let alive = self.units.iter().filter(|(lot, _)| lot.wallet == wallet && lot.is_alive(at));
        alive.map(|(_, units)| units).sum()
    }

    /// The value of a counter.
    #[must_use]
    pub fn counter(&self, name: &str, period: i32) -> i64 {
        let found = self.counters.iter().find(|((of, at), _)| &**of == name && *at == period);
        found.map_or(0, |(_, (value, _))| *value)
    }
}

/// What happened to a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptEvent {
    /// Where the record lies.
    pub position: u64,
    /// Where its frame begins.
    pub frame: u64,
    /// It earned, or it was given back.
    pub taken: bool,
}

/// Lots from elsewhere, or a refusal where a wallet cannot hold them.
fn load(plain: Verdict, rules: &Rules, account: &AccountModel, lots: &[(LotName, i64)], at: i64) -> Verdict {
    let wallet = lots.last().map_or(0, |(lot, _)| lot.wallet);
    let held = account.balance(wallet, at);
    if overflows(rules, account, lots, at) {
        let refusal = Some(Refusal::BalanceLimitExceeded);
        return Verdict { refusal, wallet, balance_after: held, lots: Vec::new(), ..plain };
    }
    let units: i64 = lots.iter().map(|(_, units)| units).sum();
    let balance_after = held + alive_units(lots, wallet, at);
    let funded = |lot: &LotName| LotName { funding: rules.funding_of(&lot.issuer), ..lot.clone() };
    let moves = lots.iter().map(|(lot, units)| LotMove::new(funded(lot), Movement::Grant, *units));
    let lots = plain.lots.iter().cloned().chain(moves).collect();
    Verdict { wallet, earned: units, granted: units, balance_after, lots, ..plain }
}

fn alive_units(lots: &[(LotName, i64)], wallet: usize, at: i64) -> i64 {
    lots.iter().filter(|(lot, _)| lot.wallet == wallet && lot.is_alive(at)).map(|(_, units)| units).sum()
}

/// Whether lots would lift a wallet above what it may hold.
#[must_use]
pub fn overflows(rules: &Rules, account: &AccountModel, lots: &[(LotName, i64)], at: i64) -> bool {
    let is_concerned = |wallet: usize| lots.iter().any(|(lot, _)| lot.wallet == wallet);
    let wallets = rules.wallets.iter().enumerate().filter(|(wallet, _)| is_concerned(*wallet));
    let mut sums =
        wallets.map(|(wallet, (_, most))| (account.balance(wallet, at) + alive_units(lots, wallet, at), most));
    sums.any(|(sum, most)| sum > *most)
}

/// A shared cell.
#[derive(Clone, Copy, Debug, Default)]
struct CellModel {
    used: i64,
    /// The newest use that took something, and the limit it was judged by.
    newest: (u64, i64),
}

/// A partner's side in one shard: balance, issued, taken back, burned, expired.
pub type PartnerModel = [i128; 5];

/// Everything that the journal says has happened.
#[derive(Debug, Default)]
pub struct Model {
    /// Versions, with the position of their records.
    pub versions: Vec<(u64, Rules)>,
    /// All journaled commands in the order of the journal.
    pub postings: Vec<Posting>,
    /// States of each account, after each of its records.
    pub accounts: BTreeMap<Name, Vec<AccountModel>>,
    /// The place in `postings` of each partner's transaction id.
    pub by_id: BTreeMap<(Name, Name), usize>,
    /// Ids of publications.
    pub publication_ids: BTreeMap<(Name, Name), u64>,
    /// What happened to each receipt, in order.
    pub receipts: BTreeMap<ReceiptName, Vec<ReceiptEvent>>,
    /// Accruals that were taken back, by partner and id: the place in `postings` of the reversal.
    pub reversed: BTreeMap<(Name, Name), usize>,
    /// By shard, partner and wallet.
    pub partners: BTreeMap<(u16, Name, usize), PartnerModel>,
    /// The same with the rates, and who burned whose units.
    pub sides: SidesModel,
    /// Per shard: last record, latest posting time, accounts in the order of opening.
    pub shards: BTreeMap<u16, (u64, i64, Vec<Name>)>,
    /// The numbers of the names of those who asked for something.
    pub issuers: Issuers,
    cells: BTreeMap<Name, CellModel>,
    /// By position: the shard and number of a record, for records that say where the one before lies.
    by_seq: BTreeMap<(u16, u64), usize>,
}

/// Fails with what was expected.
macro_rules! must {
    ($holds:expr, $($expected:tt)+) => {
        if !$holds {
            return Err(format!($($expected)+));
        }
    };
}
pub(super) use must;

impl Model {
    /// The version that judges an event, from 1; `None` before the first.
    #[must_use]
    pub fn version_at(&self, event_at: i64) -> Option<(u32, &Rules)> {
        let found = self.versions.iter().enumerate().rev().find(|(_, (_, rules))| rules.effective_at <= event_at);
        found.map(|(index, (_, rules))| (u32::try_from(index + 1).unwrap_or(u32::MAX), rules))
    }

    /// The latest state of an account.
    #[must_use]
    pub fn account(&self, account: &str) -> Option<&AccountModel> {
        self.accounts.get(account).and_then(|states| states.last())
    }

    /// The state of an account after the record with this number, or the last before it.
    #[must_use]
    pub fn account_at(&self, account: &str, seq: u64) -> Option<&AccountModel> {
        self.accounts.get(account)?.iter().rev().find(|state| state.seq <= seq)
    }

    /// What was posted under an id.
    #[must_use]
    pub fn posted(&self, partner: &str, transaction_id: &str) -> Option<&Posting> {
        let index = self.by_id.get(&(partner.into(), transaction_id.into()))?;
        self.postings.get(*index)
    }

    /// What a cell has given out, returns taken off.
    #[must_use]
    pub fn used(&self, cell: &str) -> i64 {
        self.cells.get(cell).map_or(0, |cell| cell.used)
    }

    /// Takes a version of the programme.
    ///
    /// # Errors
    /// When something was posted before at or after its effective time, or its id was used.
    pub fn publish(&mut self, position: u64, rules: Rules, id: Option<(Name, Name)>) -> Result<(), Broken> {
        let latest = self.shards.values().map(|(_, posted_at, _)| *posted_at).max();
        let is_first = self.versions.is_empty();
        must!(
            is_first || latest.is_none_or(|latest| latest < rules.effective_at),
            "the version of position {position} takes effect at {} after all that was posted, the last at {latest:?}",
            rules.effective_at
        );
        if let Some(id) = id {
            let taken = self.by_id.contains_key(&id) || self.publication_ids.contains_key(&id);
            must!(!taken, "transaction id {} of {} takes effect once", id.1, id.0);
            self.publication_ids.insert(id, position);
        }
        self.versions.push((position, rules));
        Ok(())
    }

    /// Takes the next journaled command, after checking all that can be checked about it.
    ///
    /// # Errors
    /// What was expected.
    pub fn post(&mut self, posting: Posting) -> Result<(), Broken> {
        let is_own = posting.action == Action::Expire;
        must!(is_own == posting.transaction_id.is_empty(), "only the ledger posts under no id: {posting:?}");
        let key = (posting.partner.clone(), posting.transaction_id.clone());
        let taken = self.by_id.contains_key(&key) || self.publication_ids.contains_key(&key);
        must!(!taken, "transaction id {} of {} takes effect once", key.1, key.0);
        self.check_order(&posting)?;
        self.issuers.insert(posting.partner.clone(), posting.partner_number);
        let mut expected = self.expect(&posting)?;
        let left = expected.left.take();
        must!(
            left.is_some() == posting.decision.effects.remainder.is_some(),
            "the basket of position {} leaves {left:?} over, not {:?}",
            posting.position,
            posting.decision.effects.remainder
        );
        must!(
            expected == posting.verdict,
            "at position {} the rules give {expected:?} and not {:?}",
            posting.position,
            posting.verdict
        );
        self.draw(&posting)?;
        self.note_receipt(&posting)?;
        self.apply(&posting, left);
        let index = self.postings.len();
        if let (Action::Reverse { original }, None) = (&posting.action, posting.verdict.refusal) {
            self.reversed.insert((posting.partner.clone(), original.clone()), index);
        }
        if !is_own {
            self.by_id.insert(key, index);
        }
        self.by_seq.insert((posting.shard, posting.seq), index);
        self.postings.push(posting);
        Ok(())
    }

    fn expect(&self, posting: &Posting) -> Result<Verdict, Broken> {
        let unopened = AccountModel::default();
        let before = self.account(&posting.account);
        let account = before.unwrap_or(&unopened);
        let happened_at = match &posting.action {
            Action::Accrue { purchase, .. } => purchase.receipt_at,
            Action::Act { happened_at, .. } => *happened_at,
            _ => posting.posted_at,
        };
        let Some((version, rules)) = self.version_at(happened_at.min(posting.posted_at)) else {
            return Err(format!("a version judges the command of position {}", posting.position));
        };
        let refusal = refusal_by_rules(rules, &posting.partner, &posting.action, happened_at, posting.posted_at);
        must!(refusal.is_none(), "the event of position {} is refused: {refusal:?}", posting.position);
        let posted_at = posting.posted_at;
        let (partner, account_id, issuers) = (&*posting.partner, &*posting.account, &self.issuers);
        let event = Event { rules, version, account, account_id, issuers, partner, happened_at, posted_at };
        let wallet = rules.earn_wallet;
        let plain = Verdict {
            program: version,
            wallet,
            lots: expired(account, posted_at),
            opens_account: before.is_none(),
            balance_after: account.balance(wallet, posted_at),
            ..Verdict::default()
        };
        match &posting.action {
            Action::Accrue { .. } | Action::Act { .. } => self.expect_grant(posting, &event),
            Action::Reverse { original } => self.expect_reversal(posting, &event, original),
            Action::Redeem { wallet, units, .. } => {
                must!(before.is_some(), "only an account that is there is redeemed from, at {}", posting.position);
                Ok(self.redeem(plain, rules, account, *wallet, *units, posted_at))
            }
            Action::Load { lots, .. } => Ok(load(plain, rules, account, lots, posted_at)),
            Action::Enrol { joins, leaves, .. } => {
                let joined = joins.iter().filter(|segment| !account.segments.contains(*segment));
                let left = leaves.iter().filter(|segment| account.segments.contains(*segment));
                let mut segments: Vec<(Name, bool)> = joined.map(|segment| (segment.clone(), true)).collect();
                segments.extend(left.map(|segment| (segment.clone(), false)));
                segments.sort();
                Ok(Verdict { segments, ..plain })
            }
            Action::Expire => {
                must!(!plain.lots.is_empty(), "something has died at position {}", posting.position);
                Ok(plain)
            }
        }
    }

    fn redeem(
        &self,
        plain: Verdict,
        rules: &Rules,
        account: &AccountModel,
        wallet: usize,
        units: i64,
        at: i64,
    ) -> Verdict {
        let balance = account.balance(wallet, at);
        let mut lots = plain.lots.clone();
        if take(account, &mut lots, wallet, units, Movement::Burn, at, &self.issuers) > 0 {
            return Verdict {
                refusal: Some(Refusal::InsufficientBalance),
                wallet,
                balance_after: balance,
                lots: Vec::new(),
                totals: [0, 0, 0, 1, 0],
                ..plain
            };
        }
        extend(account, &mut lots, rules, local_date(rules.time_zone, at), at, &self.issuers);
        Verdict { wallet, granted: -units, balance_after: balance - units, lots, ..plain }
    }

    /// Numbers without gaps, times that do not go back, and a way back to the account's record before.
    fn check_order(&mut self, posting: &Posting) -> Result<(), Broken> {
        let (seq, posted_at, _) = self.shards.entry(posting.shard).or_insert((0, i64::MIN, Vec::new()));
        must!(
            posting.seq == *seq + 1 && posting.posted_at >= *posted_at,
            "shard {} goes on after record {seq} at {posted_at}, not with {} at {}",
            posting.shard,
            posting.seq,
            posting.posted_at
        );
        (*seq, *posted_at) = (posting.seq, posting.posted_at);
        let before = self.account(&posting.account);
        let fits = match (posting.previous, before) {
            (PreviousRecord::None, None) => true,
            (PreviousRecord::At(position), Some(before)) => position.0 == before.position,
            (PreviousRecord::Back(distance), Some(before)) => posting.seq == before.seq + distance,
            _ => false,
        };
        must!(
            fits,
            "the record at {} leads back to {before:?}, the account's record before, not {:?}",
            posting.position,
            posting.previous
        );
        let opens = before.is_none();
        must!(posting.verdict.opens_account == opens, "an account's first record, and no other, opens it");
        Ok(())
    }

    /// A basket or an activity.
    fn expect_grant(&self, posting: &Posting, event: &Event<'_>) -> Result<Verdict, Broken> {
        let Event { rules, version, account, posted_at, .. } = *event;
        let mut rooms = posting.uses.iter().map(|taken| (&*taken.cell, taken.room));
        let refused = posting.verdict.refusal.is_some();
        let found = if refused { None } else { Some(&mut rooms as &mut Rooms<'_>) };
        let mut verdict = match &posting.action {
            Action::Act { kind, .. } => judge_activity(event, kind, found)?,
            Action::Accrue { purchase, .. } => judge(event, purchase, found)?,
            _ => return Err("only these grant".to_owned()),
        };
        let is_known = self.account(&posting.account).is_some();
        verdict.opens_account = !is_known;
        let (_, balance_max) = rules.wallets[rules.earn_wallet];
        if refused {
            // The room of the cells is not in the record, so with budgets in force only this much can be said.
            must!(
                verdict.balance_after > balance_max && is_known,
                "what is granted at position {} fits the balance, or is of an account that does not exist",
                posting.position
            );
            return Ok(Verdict {
                refusal: Some(Refusal::BalanceLimitExceeded),
                program: version,
                wallet: rules.earn_wallet,
                balance_after: account.balance(rules.earn_wallet, posted_at),
                ..Verdict::default()
            });
        }
        must!(verdict.balance_after <= balance_max, "what is asked at position {} is refused", posting.position);
        Ok(verdict)
    }

    /// A reversal gives everything back, but for what has died.
    fn expect_reversal(&self, posting: &Posting, event: &Event<'_>, original: &Name) -> Result<Verdict, Broken> {
        let Some(accrual) = self.posted(&posting.partner, original) else {
            return Err(format!("the original of position {} was posted before", posting.position));
        };
        let undone = &accrual.verdict;
        must!(
            matches!(accrual.action, Action::Accrue { .. }) && undone.refusal.is_none(),
            "the original of position {} is a granted accrual",
            posting.position
        );
        let once = !self.reversed.contains_key(&(posting.partner.clone(), original.clone()));
        must!(once, "the accrual {original} of {} is taken back once", posting.partner);
        must!(accrual.account == posting.account, "the reversal at {} is of the same account", posting.position);
        must!(accrual.frame < posting.frame, "an accrual is durable before it is taken back");
        let Event { rules, version, account, posted_at, .. } = *event;
        let granted = undone.lots.iter().find(|change| change.is(Movement::Grant));
        let wallet = granted.map_or(rules.earn_wallet, |change| change.lot.wallet);
        let balance = account.balance(wallet, posted_at);
        let mut verdict = Verdict { program: version, wallet, balance_after: balance, ..Verdict::default() };
        let mut lots = expired(account, posted_at);
        if let Some(granted) = granted {
            let mut missing = take_own(account, &mut lots, granted, posted_at);
            // What has died of it is gone already.
            let gone = if granted.lot.is_alive(posted_at) { 0 } else { std::mem::take(&mut missing) };
            if take(account, &mut lots, wallet, missing, Movement::Reverse, posted_at, &self.issuers) > 0 {
                return Ok(Verdict { refusal: Some(Refusal::InsufficientBalance), ..verdict });
            }
            verdict.granted = gone - granted.units;
        }
        let taken = undone.taken.iter().filter(|(_, used)| *used != 0);
        verdict.taken = taken.map(|(cell, used)| (cell.clone(), -used)).collect();
        let counters = undone.counters.iter();
        verdict.counters = counters.map(|(name, period, delta)| (name.clone(), *period, -delta)).collect();
        verdict.totals = [0, 0, 1, 0, 0];
        verdict.balance_after += verdict.granted;
        verdict.lots = lots;
        Ok(verdict)
    }

    /// The sum of all uses in any part of the journal that a crash could leave never exceeds the limit that the newest
    /// of them was judged by.
    ///
    /// Returns count from their record on; a use whose number is lower but whose record comes later was seen by the
    /// newer one. So the sum over any beginning of the journal is at most what the newest taker in it found used.
    fn draw(&mut self, posting: &Posting) -> Result<(), Broken> {
        for (taken, (_, used)) in posting.uses.iter().zip(&posting.verdict.taken) {
            let index = posting.verdict.program as usize - 1;
            let limit = self.versions.get(index).and_then(|(_, rules)| rules.limit_of(&taken.cell));
            let cell = self.cells.entry(taken.cell.clone()).or_default();
            cell.used += used;
            if *used > 0 {
                let limit = limit.unwrap_or(0);
                if taken.version > cell.newest.0 {
                    cell.newest = (taken.version, limit);
                }
                must!(
                    cell.used <= cell.newest.1,
                    "cell {} gives out at most {} units, but up to position {} it gave {}",
                    taken.cell,
                    cell.newest.1,
                    posting.position,
                    cell.used
                );
            }
        }
        Ok(())
    }

    fn note_receipt(&mut self, posting: &Posting) -> Result<(), Broken> {
        if posting.verdict.refusal.is_some() {
            return Ok(());
        }
        let (receipt, taken) = match &posting.action {
            Action::Accrue { purchase, .. } => (purchase.receipt(&posting.partner), true),
            Action::Reverse { original } => {
                let original = self.posted(&posting.partner, original).map(|accrual| &accrual.action);
                let Some(Action::Accrue { purchase, .. }) = original else {
                    return Err("a reversal has an accrual".to_owned());
                };
                (purchase.receipt(&posting.partner), false)
            }
            _ => return Ok(()),
        };
        let events = self.receipts.entry(receipt).or_default();
        let fits = match events.last() {
            None => taken,
            // Given back before it earns again, and durably so: in an earlier frame.
            Some(last) => last.taken != taken && last.frame < posting.frame,
        };
        must!(fits, "a receipt earns once: {:?} at position {} after {events:?}", posting.action, posting.position);
        events.push(ReceiptEvent { position: posting.position, frame: posting.frame, taken });
        Ok(())
    }

    fn apply(&mut self, posting: &Posting, left: Option<i128>) {
        let rules = self.versions.get(posting.verdict.program as usize - 1).map(|(_, rules)| rules);
        self.sides.add(posting, rules);
        let verdict = &posting.verdict;
        let mut account = self.account(&posting.account).cloned().unwrap_or_default();
        account.remainder = left.map(|left| (verdict.program, left)).or(account.remainder);
        if verdict.opens_account {
            account.opened_at = posting.posted_at;
            account.shard = posting.shard;
            self.shards.entry(posting.shard).or_default().2.push(posting.account.clone());
        }
        (account.seq, account.position, account.posted_at) = (posting.seq, posting.position, posting.posted_at);
        account.by_sweep = posting.action == Action::Expire;
        for change in &verdict.lots {
            let LotName { wallet, issuer, .. } = &change.lot;
            let held = account.units.entry(change.lot.clone()).or_default();
            *held += change.units;
            if *held == 0 {
                account.units.remove(&change.lot);
            }
            let partner = self.partners.entry((posting.shard, issuer.clone(), *wallet)).or_default();
            partner[0] -= i128::from(change.units);
            // Granted, burned, expired, taken back: where each lies in the lives of a wallet and of a partner. Units whose
            // death is put off stay what they were.
            let places = [(0, 1), (3, 3), (4, 4), (1, 2)];
            let Some((of_wallet, of_partner)) = places.get(usize::from(change.movement)).copied() else { continue };
            partner[of_partner] += i128::from(change.units.abs());
            account.wallets.entry(*wallet).or_default()[of_wallet] += change.units.abs();
        }
        for (segment, joined) in &verdict.segments {
            if *joined {
                account.segments.insert(segment.clone());
            } else {
                account.segments.remove(segment);
            }
        }
        for (name, period, delta) in &verdict.counters {
            let last_day = last_day_of(name, *period);
            account.counters.entry((name.clone(), *period)).or_insert((0, last_day)).0 += delta;
        }
        let [baskets, over_velocity, reversals, refused_redemptions, clipped] = verdict.totals;
        for (total, change) in account.totals.iter_mut().zip([baskets, over_velocity, reversals, refused_redemptions]) {
            *total += change;
        }
        if clipped != 0 {
            account.wallets.entry(verdict.wallet).or_default()[2] += clipped;
        }
        self.accounts.entry(posting.account.clone()).or_default().push(account);
    }
}
