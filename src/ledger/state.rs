//! The state of one virtual shard, and the two functions that move it: `decide` looks, `apply` changes.
//!
//! What must stay true:
//! - `decide` borrows the state immutably and depends on nothing but its arguments (invariant 5);
//! - nothing can be refused after `decide`; `apply` asserts what `decide` promised;
//! - `apply` changes an entity only when the record is newer than the entity, so that the same function serves the
//!   live path, replay from empty and replay over a fuzzy snapshot;
//! - every record balances within the shard: account and issuer change by opposite amounts (invariant 4).

use std::collections::BTreeMap;

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;
use std::hash::Hasher;

use super::account::{Account, PartnerAccount};
use super::command::{Basket, Command, CommandKind, Reversal};
use super::decision::{Clip, CounterChange, Decision, LineOutcome, LotKey, Outcome, Refusal, TotalsChange};
use super::earn;
use super::program::{AccountPolicy, CalendarWindow, CapMeasure, MetricMeasure, Periods, Program};
use super::types::{AccountNumber, Position, Seq, ShardId, SymbolId, TimestampNs, Units, WalletId};
use super::zone::utc_day;
use crate::ledger::decision::CellUse;
use crate::ledger::types::{CellId, Day};
use crate::limits;

/// What a command finds in a cell when it is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellRoom {
    /// The cell.
    pub cell: CellId,
    /// The version that a use by this command gets.
    pub version: u64,
    /// Units that may be taken.
    pub room: Units,
}

/// Everything a decision depends on besides the state and the command.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The version in force at the command's event time.
    pub program: &'a Program,
    /// The posting time, already clamped so that a shard's time never goes back.
    pub posted_at: TimestampNs,
    /// One entry for each budget of [`Program::budgets_at`] the posting time for an accrual, and one for each cell of
    /// the original for a reversal, in that order.
    pub rooms: &'a [CellRoom],
}

/// One record's content, as the live path, replay and recovery hand it to [`ShardState::apply`].
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The record's number in the shard.
    pub seq: Seq,
    /// The record's position, when it is known already (in replay).
    pub position: Option<Position>,
    /// The posting time.
    pub posted_at: TimestampNs,
    /// The account.
    pub account: AccountNumber,
    /// The account's id; used when the record opens it.
    pub account_id: &'a str,
    /// The partner that acted, who issues what is granted.
    pub decision: &'a Decision,
}

/// The state of one virtual shard.
#[derive(Clone, Debug)]
pub struct ShardState {
    /// Which shard.
    pub id: ShardId,
    /// The last record; 0 before the first.
    pub seq: Seq,
    /// The latest posting time.
    pub posted_at: TimestampNs,
    accounts: Vec<Account>,
    by_id: HashTable<AccountNumber>,
    partners: BTreeMap<(SymbolId, WalletId), PartnerAccount>,
}

/// Which shard an account lives in: SipHash-1-3 of its id with the zero key, modulo the count. Fixed for ever, because
/// the digest of a history must not depend on the machine.
///
/// # Panics
/// When the count is 0.
#[must_use]
pub fn shard_of(account_id: &str, shard_count: u16) -> ShardId {
    shard_of_hash(account_hash(account_id), shard_count)
}

/// Which shard an account with this hash lives in: see [`shard_of`].
///
/// # Panics
/// When the count is 0.
#[must_use]
pub fn shard_of_hash(account_hash: u64, shard_count: u16) -> ShardId {
    assert!(shard_count > 0, "a data directory has at least one shard");
    let remainder = account_hash % u64::from(shard_count);
    ShardId(u16::try_from(remainder).expect("a remainder of a u16 is a u16"))
}

/// The hash of an account's id by which it is placed and found.
#[must_use]
pub fn account_hash(account_id: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(account_id.as_bytes());
    hasher.finish()
}

impl ShardState {
    /// An empty shard.
    #[must_use]
    pub fn new(id: ShardId) -> Self {
        Self {
            id,
            seq: Seq(0),
            posted_at: TimestampNs(i64::MIN),
            accounts: Vec::new(),
            by_id: HashTable::new(),
            partners: BTreeMap::new(),
        }
    }

    /// The number of an account.
    #[must_use]
    pub fn find(&self, account_id: &str) -> Option<AccountNumber> {
        self.find_hashed(account_hash(account_id), account_id)
    }

    /// The number of an account whose hash is known.
    #[must_use]
    pub fn find_hashed(&self, account_hash: u64, account_id: &str) -> Option<AccountNumber> {
        let is_it = |number: &AccountNumber| self.account(*number).is_some_and(|account| &*account.id == account_id);
        self.by_id.find(account_hash, is_it).copied()
    }

    /// The account with this number.
    #[must_use]
    pub fn account(&self, number: AccountNumber) -> Option<&Account> {
        self.accounts.get(usize::try_from(number.0).ok()?)
    }

    /// All accounts, in the order of their numbers.
    #[must_use]
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// The number that the next account opened gets.
    ///
    /// # Panics
    /// When the shard is full, at 2^32 accounts.
    #[must_use]
    pub fn next_account(&self) -> AccountNumber {
        AccountNumber(u32::try_from(self.accounts.len()).expect("a shard has fewer than 2^32 accounts"))
    }

    /// Partner sub-accounts in order.
    pub fn partners(&self) -> impl Iterator<Item = (&(SymbolId, WalletId), &PartnerAccount)> {
        self.partners.iter()
    }

    /// A partner's sub-account of a wallet; empty when it never moved.
    #[must_use]
    pub fn partner(&self, partner: SymbolId, wallet: WalletId) -> PartnerAccount {
        self.partners.get(&(partner, wallet)).copied().unwrap_or_default()
    }

    /// Decides a command. Writes into `out`, whose memory is reused; nothing is changed.
    ///
    /// # Panics
    /// When the context does not fit the command (rooms missing): a fault of the caller.
    pub fn decide(&self, command: &Command, context: &Context<'_>, out: &mut Decision) {
        self.decide_for(self.find(&command.account_id), command, context, out);
    }

    /// Decides a command whose account has been looked for: `number` is what [`ShardState::find`] says.
    ///
    /// # Panics
    /// As [`ShardState::decide`].
    pub fn decide_for(
        &self,
        number: Option<AccountNumber>,
        command: &Command,
        context: &Context<'_>,
        out: &mut Decision,
    ) {
        out.clear();
        out.program = context.program.version;
        out.wallet = context.program.earn.wallet;
        out.account_known = true;
        let known = number.and_then(|number| self.account(number));
        match (&command.kind, known) {
            (CommandKind::Accrue(_), None) if context.program.accounts == AccountPolicy::Enrolled => {
                out.outcome = Outcome::Refused(Refusal::AccountUnknown);
            }
            (CommandKind::Accrue(basket), found) => {
                out.effects.opens_account = found.is_none();
                // An account before its first record; creating it allocates nothing.
                let unopened = Account::default();
                decide_accrual(found.unwrap_or(&unopened), command.partner, basket, context, out);
            }
            (CommandKind::Reverse(_), None) => out.outcome = Outcome::Refused(Refusal::OriginalUnknown),
            (CommandKind::Reverse(reversal), Some(account)) => decide_reversal(account, reversal, context, out),
        }
        if let Outcome::Refused(_) = out.outcome {
            refuse(known, context, out);
        }
    }

    /// Whether [`ShardState::apply`] can take this record without breaking what it asserts. Always, for what `decide`
    /// promised; replay asks before it applies, so that a forged journal is refused and not fallen over.
    #[must_use]
    pub fn accepts(&self, change: &Change<'_>) -> bool {
        let is_next = change.seq == self.seq.next() && change.posted_at >= self.posted_at;
        if !is_next && change.seq > self.seq {
            return false;
        }
        let Ok(index) = usize::try_from(change.account.0) else { return false };
        let account = self.accounts.get(index).filter(|account| !account.id.is_empty());
        if change.decision.effects.opens_account {
            let known = self.find(change.account_id);
            let fits = known.map_or(account.is_none(), |number| number == change.account);
            if !fits || change.account_id.is_empty() || index > self.accounts.len() {
                return false;
            }
        } else if account.is_none() {
            return false;
        }
        let unopened = Account::default();
        let account = account.unwrap_or(&unopened);
        change.seq <= account.seq || account.accepts(&change.decision.effects, change.posted_at)
    }

    /// Applies a record: to the shard, the account and the issuer, each only if the record is newer than it.
    ///
    /// # Panics
    /// When the decision does not fit the state: `decide` promised that it does.
    pub fn apply(&mut self, change: &Change<'_>) {
        let effects = &change.decision.effects;
        if effects.opens_account {
            self.open(change);
        }
        if change.seq > self.seq {
            assert_eq!(change.seq, self.seq.next(), "the records of a shard have no gaps");
            assert!(change.posted_at >= self.posted_at, "a shard's time never goes back");
            self.seq = change.seq;
            self.posted_at = change.posted_at;
        }
        let index = usize::try_from(change.account.0).expect("an account number is an index");
        let account = self.accounts.get_mut(index).expect("a record names an account that was opened");
        if change.seq > account.seq {
            account.seq = change.seq;
            account.position = change.position;
            if let Some((key, delta)) = effects.lot {
                account.change_lot(key, delta);
            }
            account.forget_counters(change.posted_at);
            for counter in &effects.counters {
                account.change_counter(counter, change.posted_at);
            }
            account.change_totals(change.decision.wallet, &effects.totals);
        } else if change.seq == account.seq && change.position.is_some() {
            // The snapshot held the account before its record's position was known.
            account.position = change.position;
        }
        if let Some((key, delta)) = effects.lot {
            let partner = self.partners.entry((key.issuer, key.wallet)).or_default();
            if change.seq > partner.seq {
                partner.seq = change.seq;
                partner.change(delta);
            }
        }
    }

    /// Notes where an account's last record lies, once its commit has been given a position.
    pub fn locate(&mut self, number: AccountNumber, seq: Seq, position: Position) {
        let index = usize::try_from(number.0).unwrap_or(usize::MAX);
        if let Some(account) = self.accounts.get_mut(index)
            && account.seq == seq
        {
            account.position = Some(position);
        }
    }

    fn open(&mut self, change: &Change<'_>) {
        let index = usize::try_from(change.account.0).expect("an account number is an index");
        if self.accounts.get(index).is_some_and(|account| !account.id.is_empty()) {
            return; // the snapshot has it
        }
        self.place(
            change.account,
            Account { id: change.account_id.into(), opened_at: change.posted_at, ..Account::default() },
        );
    }

    /// Puts an account in its place; used when it is opened and when a snapshot is loaded. Places before it that are
    /// not filled yet stay vacant until their account comes.
    ///
    /// # Panics
    /// When the place is taken.
    pub fn place(&mut self, number: AccountNumber, account: Account) {
        let index = usize::try_from(number.0).expect("an account number is an index");
        if self.accounts.len() <= index {
            self.accounts.resize_with(index + 1, Account::default);
        }
        let place = self.accounts.get_mut(index).expect("the table was made long enough");
        assert!(place.id.is_empty(), "an account is opened once");
        let hash = account_hash(&account.id);
        *place = account;
        let accounts = &self.accounts;
        self.by_id.insert_unique(hash, number, |other| {
            let index = usize::try_from(other.0).expect("an account number is an index");
            accounts.get(index).map_or(0, |account| account_hash(&account.id))
        });
    }

    /// Puts a partner sub-account in its place when a snapshot is loaded.
    pub fn place_partner(&mut self, partner: SymbolId, wallet: WalletId, account: PartnerAccount) {
        self.partners.insert((partner, wallet), account);
    }

    /// The first place that no account has filled, if a snapshot and its replay left one.
    #[must_use]
    pub fn first_vacant(&self) -> Option<usize> {
        self.accounts.iter().position(|account| account.id.is_empty())
    }
}

fn refuse(known: Option<&Account>, context: &Context<'_>, out: &mut Decision) {
    let (outcome, program, wallet) = (out.outcome, out.program, out.wallet);
    out.clear();
    (out.outcome, out.program, out.wallet) = (outcome, program, wallet);
    out.account_known = known.is_some();
    out.balance_after = known.map_or(0, |account| account.balance(wallet, context.posted_at));
}

fn decide_accrual(account: &Account, partner: SymbolId, basket: &Basket, context: &Context<'_>, out: &mut Decision) {
    let program = context.program;
    let age_ns = i128::from(context.posted_at.0) - i128::from(basket.receipt_at.0);
    if age_ns > i128::from(program.late_limit_ns) {
        out.outcome = Outcome::Refused(Refusal::ReceiptTooOld);
        return;
    }
    if -age_ns > i128::from(program.future_skew_ns) {
        out.outcome = Outcome::Refused(Refusal::ReceiptInFuture);
        return;
    }
    out.lines.extend(basket.lines.iter().map(|line| LineOutcome { class: program.lines.classify(&line.item) }));
    let classed = out.lines.iter().zip(&basket.lines).map(|(outcome, line)| (outcome.class, line.amount_minor));
    out.earned = earn::basket_units(program, classed.clone());
    let eligible_minor: i64 = classed
        .filter(|(class, _)| *class != super::program::LineClass::Ineligible)
        .map(|(_, amount_minor)| amount_minor)
        .sum();
    out.granted = out.earned;
    let periods = Periods::at(&program.zone, basket.receipt_at);
    clip_by_velocity(account, periods, program, out);
    clip_by_caps(account, periods, program, out);
    clip_by_budgets(context, out);

    let key = LotKey { wallet: out.wallet, issuer: partner, funding_rate_bps: 0, expires_at: LotKey::NEVER };
    if out.granted > 0 {
        out.effects.lot = Some((key, out.granted));
    }
    count_caps(periods, context, out);
    count_metrics(periods, eligible_minor, context, out);
    out.effects.totals = TotalsChange::of_accrual(out.granted, &out.clips, out.over_velocity.is_some());
    out.balance_after = account.balance(out.wallet, context.posted_at) + out.granted;

    let wallet = program.wallets.get(usize::from(out.wallet.0)).expect("the earn rate names a wallet of its programme");
    let counter_overflows = out
        .effects
        .counters
        .iter()
        .any(|change| account.counter(change.counter, change.period) + change.delta > limits::UNITS_MAX);
    if out.balance_after > wallet.balance_max || counter_overflows {
        out.outcome = Outcome::Refused(Refusal::BalanceLimitExceeded);
    }
}

/// A basket that would have earned earns nothing once the window has seen as many earning baskets as the cap allows.
fn clip_by_velocity(account: &Account, periods: Periods, program: &Program, out: &mut Decision) {
    if out.earned == 0 {
        return;
    }
    for cap in program.caps.iter().filter(|cap| cap.measure == CapMeasure::EarningBaskets) {
        let period = periods.of(cap.window);
        if account.counter(cap.symbol, period) >= cap.limit {
            out.over_velocity = Some(cap.symbol);
            out.granted = 0;
            return;
        }
    }
}

fn clip_by_caps(account: &Account, periods: Periods, program: &Program, out: &mut Decision) {
    for cap in program.caps.iter().filter(|cap| cap.measure == CapMeasure::Units) {
        let period = periods.of(cap.window);
        let room = (cap.limit - account.counter(cap.symbol, period)).max(0);
        if out.granted > room {
            out.clips.push(Clip { source: cap.symbol, is_budget: false, units: out.granted - room });
            out.granted = room;
        }
    }
}

/// Several budgets on one command: each clips to its room, then all are drawn on by what is left.
fn clip_by_budgets(context: &Context<'_>, out: &mut Decision) {
    let mut rooms = context.rooms.iter();
    for budget in context.program.budgets_at(context.posted_at) {
        let found = rooms.next().expect("the caller takes one room for each budget in force");
        assert_eq!(found.cell, budget.cell, "rooms come in the order of the budgets");
        if out.granted == 0 {
            continue; // nothing to take, so the cell is not part of the decision
        }
        let room = found.room.max(0);
        if out.granted > room {
            let source = SymbolId(budget.cell.0);
            out.clips.push(Clip { source, is_budget: true, units: out.granted - room });
            out.granted = room;
        }
        // A cell that withheld everything is part of the reasons though nothing is taken from it.
        out.cells.push(CellUse { cell: found.cell, version: found.version, room_before: found.room, used: 0 });
    }
    for cell in &mut out.cells {
        cell.used = out.granted;
    }
}

fn retain_until(window: CalendarWindow, period: i32, context: &Context<'_>) -> Day {
    const NS_PER_DAY: i64 = 86_400_000_000_000;
    // Two days more than the late limit cover the zone's offset and the partial day.
    let late_days = context.program.late_limit_ns / NS_PER_DAY + 2;
    let last = window.last_day(period).0.max(utc_day(context.posted_at).0);
    Day(last.saturating_add(i32::try_from(late_days).unwrap_or(i32::MAX)))
}

fn count_caps(periods: Periods, context: &Context<'_>, out: &mut Decision) {
    for cap in &context.program.caps {
        let delta = match cap.measure {
            CapMeasure::Units => out.granted,
            CapMeasure::EarningBaskets => i64::from(out.granted > 0),
        };
        let period = periods.of(cap.window);
        push_counter(cap.symbol, cap.window, period, delta, context, out);
    }
}

fn count_metrics(periods: Periods, eligible_minor: i64, context: &Context<'_>, out: &mut Decision) {
    for metric in &context.program.metrics {
        let delta = match metric.measure {
            MetricMeasure::EligibleAmount => eligible_minor,
        };
        let period = periods.of(metric.window);
        push_counter(metric.symbol, metric.window, period, delta, context, out);
    }
}

fn push_counter(
    counter: SymbolId,
    window: CalendarWindow,
    period: i32,
    delta: i64,
    context: &Context<'_>,
    out: &mut Decision,
) {
    if delta != 0 {
        let retain_until = retain_until(window, period, context);
        out.effects.counters.push(CounterChange { counter, period, delta, retain_until });
    }
}

/// Takes back a whole accrual: the lot, the room in caps and budgets, the metrics. Later decisions stand.
fn decide_reversal(account: &Account, reversal: &Reversal, context: &Context<'_>, out: &mut Decision) {
    let original = &reversal.original;
    out.granted = -original.units;
    if let Some(key) = original.lot {
        out.wallet = key.wallet;
        out.effects.lot = Some((key, -original.units));
    }
    for change in &original.counters {
        out.effects.counters.push(CounterChange { delta: -change.delta, ..*change });
    }
    for (taken, found) in original.cells.iter().zip(context.rooms) {
        assert_eq!(taken.cell, found.cell, "rooms come in the order of the original's cells");
        out.cells.push(CellUse {
            cell: taken.cell,
            version: found.version,
            room_before: found.room,
            used: -taken.used,
        });
    }
    out.effects.totals = TotalsChange::of_reversal(original.units);
    out.balance_after = account.balance(out.wallet, context.posted_at) - original.units;
}
