//! The state of one virtual shard, and the two functions that move it: `decide` looks, `apply` changes.
//!
//! What must stay true:
//! - `decide` borrows the state immutably and depends on nothing but its arguments (invariant 5);
//! - nothing can be refused after `decide`; `apply` asserts what `decide` promised;
//! - `apply` changes an entity only when the record is newer than the entity, so that the same function serves the
//!   live path, replay from empty and replay over a fuzzy snapshot;
//! - every record balances within the shard: account and issuer change by opposite amounts (invariant 4).

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;
use std::hash::Hasher;

use super::account::{Account, PartnerAccount};
use super::command::Command;
use super::decide;
use super::decision::{Decision, LotChange};
use super::program::Program;
use super::types::{AccountNumber, CellId, Day, Position, Seq, ShardId, SymbolId, TimestampNs, Units, WalletId};

/// What a command finds in a cell when it is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellRoom {
    /// The cell.
    pub cell: CellId,
    /// The version that a use by this command gets.
    pub version: u64,
    /// Units that may be taken.
    pub room: Units,
    /// See [`crate::ledger::decision::CellUse::retain_until`].
    pub retain_until: Day,
}

/// Everything a decision depends on besides the state and the command.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The version in force at the command's event time.
    pub program: &'a Program,
    /// The posting time, already clamped so that a shard's time never goes back.
    pub posted_at: TimestampNs,
    /// One entry for each cell of [`super::draws::list`] for what earns, and one for each cell of the original, in their
    /// order, for a reversal.
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
    /// The accounts of which something is held for review: what follows from them, for finding them.
    holding: BTreeSet<AccountNumber>,
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
            holding: BTreeSet::new(),
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

    /// The account that has this hash in all likelihood, without a look at the account itself: for looking ahead.
    #[must_use]
    pub fn likely(&self, account_hash: u64) -> Option<AccountNumber> {
        self.by_id.find(account_hash, |_| true).copied()
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
        decide::decide(number.and_then(|number| self.account(number)), command, context, out);
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
            for lot in &effects.lots {
                account.change_lot(lot);
            }
            account.forget_counters(change.posted_at);
            for counter in &effects.counters {
                account.change_counter(counter, change.posted_at);
            }
            account.change_profile(effects, change.decision.program);
            if effects.held.is_some() {
                account.change_held(change.decision, change.posted_at);
                note_holding(&mut self.holding, change.account, account);
            }
            account.change_totals(change.decision.wallet, &effects.totals);
        } else if change.seq == account.seq && change.position.is_some() {
            // The snapshot held the account before its record's position was known.
            account.position = change.position;
        }
        self.change_partners(change.seq, &effects.lots);
    }

    /// Moves the other side of the lots: each partner's sub-account once for a record, by all of its lots together.
    fn change_partners(&mut self, seq: Seq, lots: &[LotChange]) {
        let side = |lot: &LotChange| (lot.key.issuer, lot.key.wallet);
        for (index, lot) in lots.iter().enumerate() {
            if lots.iter().take(index).any(|earlier| side(earlier) == side(lot)) {
                continue;
            }
            let partner = self.partners.entry(side(lot)).or_default();
            if seq > partner.seq {
                partner.seq = seq;
                for same in lots.iter().skip(index).filter(|other| side(other) == side(lot)) {
                    partner.change(same);
                }
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
        note_holding(&mut self.holding, number, &account);
        *place = account;
        let accounts = &self.accounts;
        self.by_id.insert_unique(hash, number, |other| {
            let index = usize::try_from(other.0).expect("an account number is an index");
            accounts.get(index).map_or(0, |account| account_hash(&account.id))
        });
    }

    /// The accounts from this one on of which something is held for review, in the order of their numbers.
    pub fn holding(&self, from: AccountNumber) -> impl Iterator<Item = (AccountNumber, &Account)> {
        let found = |number: &AccountNumber| Some((*number, self.account(*number)?));
        self.holding.range(from..).filter_map(found)
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

/// Whether anything of an account is held.
fn note_holding(holding: &mut BTreeSet<AccountNumber>, number: AccountNumber, account: &Account) {
    if account.held().is_empty() {
        holding.remove(&number);
    } else {
        holding.insert(number);
    }
}
