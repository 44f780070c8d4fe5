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
use super::freezes::{FreezeList, Frozen, expect_frozen};
use super::holds::{Aside, AsideName, Endings};
use super::judge::{Event, judge, judge_activity, last_day_of, local_date};
use super::lots::{Issuers, LotName, expired, extend, take};
use super::money::Refunds;
use super::orders::{Links, load};
use super::partners::{SidesModel, refusal_by_rules};
use super::returns::Stands;
use super::ring::{Identifier, Ring};
use super::rooms::Rooms;
use super::rules::{CellBound, Rules, SpentRule};
use super::vouchers::VoucherModel;
use crate::journal::record::PreviousRecord;
use crate::ledger::decision::{Movement, Refusal};

/// What was expected and is not so.
pub type Broken = String;

/// A wallet's lifetime: granted, taken back, withheld, burned and not come back, expired.
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
    /// Identifiers that point to it.
    pub identifiers: BTreeSet<Identifier>,
    /// Transactions whose units are held, by partner and id: the cap, the lot, the units, and since when.
    pub held: BTreeMap<(Name, Name), (Name, LotName, i64, i64)>,
    /// What is set aside, by partner and id.
    pub aside: BTreeMap<AsideName, Aside>,
    /// What it owes to later earnings, by wallet.
    pub owed: BTreeMap<usize, i64>,
    /// Units that returns have found dead, by wallet.
    pub gone: BTreeMap<usize, i64>,
    /// What its last basket left over, and under which version, in the model's parts.
    pub remainder: Option<(u32, i128)>,
    /// By wallet.
    pub wallets: BTreeMap<usize, WalletLife>,
    /// Vouchers by their codes, as long as they are remembered.
    pub vouchers: BTreeMap<Name, VoucherModel>,
}

impl AccountModel {
    /// The balance of a wallet: units that are alive at the instant, and what is set aside.
    #[must_use]
    pub fn balance(&self, wallet: usize, at: i64) -> i64 {
        let alive = self.units.iter().filter(|(lot, _)| lot.wallet == wallet && lot.is_alive(at));
        alive.map(|(_, units)| units).sum::<i64>() + self.beside_lots(wallet, at)
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

pub(super) fn alive_units(lots: &[(LotName, i64)], wallet: usize, at: i64) -> i64 {
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
    /// The newest use that took something, and the limit it was judged by; none where what goes beyond is held.
    newest: (u64, Option<i64>),
    /// The largest limit that any use was judged by.
    limit_max: i64,
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
    /// Transactions that were taken back, by partner and id: the place in `postings` of the rejection or the last reversal.
    pub reversed: BTreeMap<(Name, Name), usize>,
    /// What stands of accruals of which something was taken back.
    pub returned: BTreeMap<(Name, Name), Stands>,
    /// Burned units that came back, by partner and id of the burn.
    pub unburned: BTreeMap<(Name, Name), i64>,
    /// Transactions whose units were released.
    pub released: BTreeMap<(Name, Name), usize>,
    /// What came back, by partner and the position of the record that had posted the death.
    pub restored: BTreeMap<(Name, u64), usize>,
    /// The last capture or void of each authorization.
    pub ended: Endings,
    /// The last refund of each top-up.
    pub refunds: Refunds,
    /// What became of identifiers.
    pub links: Links,
    /// What the hashes of the data directory stand for.
    pub ring: Ring,
    /// By shard, partner and wallet.
    pub partners: BTreeMap<(u16, Name, usize), PartnerModel>,
    /// The same with the rates, and who burned whose units.
    pub sides: SidesModel,
    /// Per shard: last record, latest posting time, accounts in the order of opening.
    pub shards: BTreeMap<u16, (u64, i64, Vec<Name>)>,
    /// The numbers of the names of those who asked for something.
    pub issuers: Issuers,
    /// What was frozen when.
    pub freezes: FreezeList,
    cells: BTreeMap<Name, CellModel>,
    /// By position: the shard and number of a record, for records that say where the one before lies.
    pub(super) by_seq: BTreeMap<(u16, u64), usize>,
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
    /// Nothing has happened.
    #[must_use]
    pub fn new(ring: Ring) -> Self {
        Self { ring, ..Self::default() }
    }

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
    /// When something was posted, or a receipt is dated that it would name anew, at or after its effective time, or its
    /// id was used.
    pub fn publish(&mut self, position: u64, rules: Rules, id: Option<(Name, Name)>) -> Result<(), Broken> {
        let latest = self.shards.values().map(|(_, posted_at, _)| *posted_at).max();
        let is_first = self.versions.is_empty();
        must!(
            is_first || latest.is_none_or(|latest| latest < rules.effective_at),
            "the version of position {position} takes effect at {} after all that was posted, the last at {latest:?}",
            rules.effective_at
        );
        let is_abroad = self.versions.last().is_some_and(|(_, latest)| latest.time_zone != rules.time_zone);
        let earned = self.postings.iter().filter(|posting| posting.verdict.refusal.is_none());
        let dated = earned.filter_map(|posting| match &posting.action {
            Action::Accrue { purchase, .. } => Some(purchase.receipt_at),
            _ => None,
        });
        must!(!is_abroad || dated.max() < Some(rules.effective_at), "no receipt gets another day: {rules:?}");
        if let Some(id) = id {
            let taken = self.by_id.contains_key(&id) || self.publication_ids.contains_key(&id);
            must!(!taken, "transaction id {} of {} takes effect once", id.1, id.0);
            self.publication_ids.insert(id, position);
        }
        self.versions.push((position, rules));
        Ok(())
    }

    /// Takes a freeze or a thaw.
    ///
    /// # Errors
    /// When something was posted before at or after its instant.
    pub fn freeze(&mut self, frozen: Frozen, begins: bool, at: i64) -> Result<(), Broken> {
        let latest = self.shards.values().map(|(_, posted_at, _)| *posted_at).max();
        must!(latest.is_none_or(|latest| latest < at), "{frozen:?} is frozen or thawed at {at}, after {latest:?}");
        self.freezes.take(frozen, begins, at);
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
        self.check_named(&posting)?;
        let mut expected = self.expect(&posting)?;
        if expected.refusal.is_none() {
            let account = self.account(&posting.account);
            let ended = account.map_or_else(Vec::new, |account| account.ended(posting.posted_at, &self.issuers));
            expected.ended = ended.into_iter().map(|(name, _)| name.clone()).collect();
        }
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
        self.note_part(&posting)?;
        self.note_unburn(&posting);
        self.note_receipt(&posting)?;
        self.apply(&posting, left);
        let index = self.postings.len();
        if posting.verdict.refusal.is_none() {
            self.note_orders(&posting, index);
            self.note_ending(&posting, index);
            self.note_refund(&posting, index);
        }
        if !is_own {
            self.by_id.insert(key, index);
        }
        self.by_seq.insert((posting.shard, posting.seq), index);
        self.postings.push(posting);
        Ok(())
    }

    /// What a command comes to, with the balance as it is shown.
    fn expect(&self, posting: &Posting) -> Result<Verdict, Broken> {
        let verdict = self.with_vouchers(posting, self.expect_unshown(posting)?)?;
        let rules = self.versions.get(verdict.program as usize - 1).map(|(_, rules)| rules);
        Ok(shown(rules, self.account(&posting.account), verdict))
    }

    fn expect_unshown(&self, posting: &Posting) -> Result<Verdict, Broken> {
        let unopened = AccountModel::default();
        let before = self.account(&posting.account);
        let account = &before.unwrap_or(&unopened).with_places(posting.posted_at);
        let happened_at = match &posting.action {
            Action::Accrue { purchase, .. } => purchase.receipt_at,
            Action::Act { happened_at, .. } => *happened_at,
            _ => posting.posted_at,
        };
        let Some((version, rules)) = self.version_at(happened_at.min(posting.posted_at)) else {
            return Err(format!("a version judges the command of position {}", posting.position));
        };
        let frozen = self.freezes.refusal(&posting.partner, &posting.account, &posting.action, posting.posted_at);
        let action = &posting.action;
        let refusal = refusal_by_rules(rules, &posting.partner, action, happened_at, posting.posted_at, frozen);
        if let Some(refusal) = refusal.filter(|_| refusal == frozen) {
            return expect_frozen(posting, refusal, before, version, rules.earn_wallet);
        }
        must!(refusal.is_none(), "the event of position {} is refused: {refusal:?}", posting.position);
        let posted_at = posting.posted_at;
        let (partner, account_id, issuers) = (&*posting.partner, &*posting.account, &self.issuers);
        let (member, transaction_id) = (&*posting.member, &*posting.transaction_id);
        let event = Event {
            rules,
            version,
            account,
            account_id,
            issuers,
            partner,
            member,
            happened_at,
            posted_at,
            transaction_id,
        };
        let wallet = rules.earn_wallet;
        let plain = Verdict {
            program: version,
            wallet,
            lots: expired(account, posted_at, issuers),
            opens_account: before.is_none(),
            balance_after: account.balance(wallet, posted_at),
            ..Verdict::default()
        };
        match &posting.action {
            Action::Accrue { .. } | Action::Act { .. } => self.expect_grant(posting, &event),
            Action::Reverse { .. } if self.burn_of(posting).is_some() => self.expect_unburn(posting, &event, plain),
            Action::Reverse { original, lines, .. } => self.expect_reversal(posting, &event, (original, lines)),
            Action::Review { original, releases, .. } => {
                self.expect_review(posting, &event, plain, (original, *releases))
            }
            Action::Restore { expiry, dies, .. } => self.expect_restoration(posting, &event, plain, (*expiry, *dies)),
            Action::Adjust { wallet, units, dies, .. } => {
                must!(before.is_some(), "only an account that is there is corrected, at {}", posting.position);
                Ok(self.expect_adjustment(&event, plain, (*wallet, *units), *dies))
            }
            Action::Link { identifier, links, .. } => self.expect_linking(posting, &event, plain, (identifier, *links)),
            Action::Redeem { wallet, units, .. } => {
                must!(before.is_some(), "only an account that is there is redeemed from, at {}", posting.position);
                Ok(self.redeem(plain, rules, account, *wallet, *units, posted_at))
            }
            Action::Take(wanted) => {
                must!(before.is_some(), "only an account that is there takes a reward, at {}", posting.position);
                self.expect_take(posting, &event, plain, wanted)
            }
            Action::Authorize { wallet, units, hold_seconds, .. } => {
                must!(
                    before.is_some(),
                    "only of an account that is there units are set aside, at {}",
                    posting.position
                );
                Ok(self.expect_authorization(&event, plain, (*wallet, *units), *hold_seconds))
            }
            Action::Capture { original, units, is_last, .. } => {
                self.expect_ending(posting, &event, plain, (original, Some((*units, *is_last))))
            }
            Action::Void { original } => self.expect_ending(posting, &event, plain, (original, None)),
            Action::TopUp(paid) => Ok(self.expect_top_up(&event, plain, paid)),
            Action::Refund(asked) => self.expect_refund(posting, &event, plain, asked),
            Action::Voucher(asked) => self.expect_by_hand(posting, plain, asked),
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

    pub(super) fn redeem(
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
        let mut rooms = Rooms::new(&posting.uses);
        let refused = posting.verdict.refusal.is_some();
        let mut verdict = match &posting.action {
            Action::Act { kind, .. } => judge_activity(event, kind, Some(&mut rooms))?,
            Action::Accrue { purchase, .. } => judge(event, purchase, Some(&mut rooms))?,
            _ => return Err("only these grant".to_owned()),
        };
        let is_known = self.account(&posting.account).is_some();
        verdict.opens_account = !is_known;
        let (_, balance_max) = rules.wallets[rules.earn_wallet];
        if refused {
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
                // Looked into, and left as they were.
                taken: verdict.taken.into_iter().map(|(cell, _)| (cell, 0)).collect(),
                ..Verdict::default()
            });
        }
        must!(verdict.balance_after <= balance_max, "what is asked at position {} is refused", posting.position);
        Ok(verdict)
    }

    /// The sum of all uses in any part of the journal that a crash could leave never exceeds the limit that the newest
    /// of them was judged by.
    ///
    /// Returns count from their record on; a use whose number is lower but whose record comes later was seen by the
    /// newer one. So the sum over any beginning of the journal is at most what the newest taker in it found used.
    fn draw(&mut self, posting: &Posting) -> Result<(), Broken> {
        if posting.verdict.refusal.is_some() {
            return Ok(());
        }
        for (taken, (_, used)) in posting.uses.iter().zip(&posting.verdict.taken) {
            let index = posting.verdict.program as usize - 1;
            let bound = self.versions.get(index).and_then(|(_, rules)| rules.bound_of(&taken.cell));
            let cell = self.cells.entry(taken.cell.clone()).or_default();
            cell.used += used;
            let Some(bound) = bound.filter(|_| *used > 0) else { continue };
            let limit = (!bound.holds).then_some(bound.limit);
            cell.limit_max = cell.limit_max.max(limit.unwrap_or(i64::MAX));
            if taken.version > cell.newest.0 {
                cell.newest = (taken.version, limit);
            }
            let most = cell.newest.1.unwrap_or(i64::MAX);
            must!(
                cell.used <= most,
                "cell {} gives out at most {most} units, but up to position {} it gave {}",
                taken.cell,
                posting.position,
                cell.used
            );
            if bound.together.count > 1 {
                self.check_runs(&taken.cell, &bound, posting)?;
            }
        }
        Ok(())
    }

    /// As [`Model::draw`], of windows that are bounded together: of different cells nobody can say which use came last, so
    /// that the largest limit counts.
    fn check_runs(&self, cell: &str, bound: &CellBound, posting: &Posting) -> Result<(), Broken> {
        let Some((of, period)) = cell.rsplit_once('|') else { return Err(format!("cell {cell} has a window")) };
        let now: i32 = period.parse().map_err(|_| format!("cell {cell} has a window"))?;
        let today = posting.posted_at.div_euclid(86_400_000_000_000);
        let at = |later: i32| {
            let period = now + later * bound.together.step;
            let name = of.split('|').next().unwrap_or_default();
            let may_count = i64::from(last_day_of(name, period)) + bound.kept_days >= today;
            self.cells.get(&*format!("{of}|{period}")).filter(|_| may_count)
        };
        for first in 1 - bound.together.count..=0 {
            let cells: Vec<&CellModel> = (first..first + bound.together.count).filter_map(at).collect();
            let used: i64 = cells.iter().map(|cell| cell.used).sum();
            let most = cells.iter().map(|cell| cell.limit_max).max().unwrap_or(0);
            must!(
                used <= most,
                "{} windows around cell {cell} give out at most {most} units, but up to position {} they gave {used}",
                bound.together.count,
                posting.position
            );
        }
        Ok(())
    }

    fn note_receipt(&mut self, posting: &Posting) -> Result<(), Broken> {
        if posting.verdict.refusal.is_some() {
            return Ok(());
        }
        // A rejection leaves the receipt used.
        let (receipt, taken) = match &posting.action {
            Action::Accrue { purchase, .. } => (purchase.receipt(&posting.partner), true),
            Action::Reverse { .. } if self.burn_of(posting).is_some() => return Ok(()),
            // A part leaves it used.
            Action::Reverse { original, .. } if !self.is_gone(&(posting.partner.clone(), original.clone())) => {
                return Ok(());
            }
            Action::Reverse { original, .. } => {
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
        // What comes back does so at the rate at which it was burned.
        let program = self.burn_of(posting).map_or(posting.verdict.program, |burn| burn.verdict.program);
        let rules = self.versions.get(program as usize - 1).map(|(_, rules)| rules);
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
            if change.is(Movement::SetAside) || change.is(Movement::GiveBack) {
                continue; // the account's as before
            }
            partner[0] -= i128::from(change.units);
            // Granted, burned, expired, taken back: where each lies in the lives of a wallet and of a partner. Units whose
            // death is put off stay what they were.
            let places = [(0, 1), (3, 3), (4, 4), (1, 2)];
            let life = account.wallets.entry(*wallet).or_default();
            if change.is(Movement::Restore) {
                partner[4] -= i128::from(change.units);
                life[4] -= change.units;
            }
            if change.is(Movement::Unburn) {
                partner[3] -= i128::from(change.units);
                life[3] -= change.units;
            }
            let Some((of_wallet, of_partner)) = places.get(usize::from(change.movement)).copied() else { continue };
            partner[of_partner] += i128::from(change.units.abs());
            life[of_wallet] += change.units.abs();
        }
        if let Some((identifier, links)) = &verdict.identifier {
            if *links {
                account.identifiers.insert(identifier.clone());
            } else {
                account.identifiers.remove(identifier);
            }
        }
        if let Some((partner, id, cap)) = verdict.held.clone() {
            let grant = verdict.lots.iter().find(|change| change.is(Movement::Grant));
            match cap.zip(grant) {
                Some((cap, grant)) => {
                    let held = (cap, grant.lot.clone(), grant.units, posting.posted_at);
                    account.held.insert((partner, id), held);
                }
                None => drop(account.held.remove(&(partner, id))),
            }
        }
        account.change_aside(verdict);
        account.change_vouchers(verdict, posting.posted_at);
        if verdict.owed != 0 {
            let owed = account.owed.entry(verdict.wallet).or_default();
            *owed += verdict.owed;
            account.owed.retain(|_, owed| *owed != 0);
        }
        if verdict.gone != 0 {
            *account.gone.entry(verdict.wallet).or_default() += verdict.gone;
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

/// A verdict with its balance as the rules have it shown: less what is owed, or not.
#[must_use]
pub fn shown(rules: Option<&Rules>, account: Option<&AccountModel>, verdict: Verdict) -> Verdict {
    if rules.is_none_or(|rules| rules.when_spent != SpentRule::Negative) {
        return verdict;
    }
    let owed = account.and_then(|account| account.owed.get(&verdict.wallet)).copied().unwrap_or(0);
    Verdict { balance_after: verdict.balance_after - owed - verdict.owed, ..verdict }
}
