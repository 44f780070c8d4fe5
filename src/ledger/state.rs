//! The state of one virtual shard, and the two functions that move it: `decide` looks, `apply` changes.
//!
//! What must stay true:
//! - `decide` borrows the state immutably and depends on nothing but its arguments (invariant 5);
//! - nothing can be refused after `decide`; `apply` asserts what `decide` promised;
//! - `apply` changes an entity only when the record is newer than the entity, so that the same function serves the
//!   live path, replay from empty and replay over a fuzzy snapshot;
//! - every record balances within the shard: account and issuer change by opposite amounts (invariant 4).

use std::collections::BTreeSet;

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;
use std::hash::Hasher;

use super::account::Account;
use super::command::Command;
use super::decide;
use super::decision::{Decision, Refusal};
use super::packed::{Packed, Unpacked};
use super::partner::PartnerAccounts;
use super::pending::Pending;
use super::program::Program;
use super::types::{AccountNumber, CellId, Day, Position, Seq, ShardId, SymbolId, TimestampNs, Units};

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
    /// The refusal of the command for a freeze in force at its posting: see [`super::freeze::Freezes::refusal`].
    pub frozen: Option<Refusal>,
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
    /// The partner that acted: it takes what is burned.
    pub partner: SymbolId,
    /// What was decided.
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
    accounts: Vec<Packed>,
    by_id: HashTable<Place>,
    /// Partner sub-accounts.
    pub partners: PartnerAccounts,
    /// The accounts of which something is held for review: what follows from them, for finding them.
    holding: BTreeSet<AccountNumber>,
    /// What waits for its time in the accounts' lots: what follows from them, for adding up.
    pending: Pending,
}

/// Where an account is, with enough of its id's hash that others are hardly ever looked at.
#[derive(Clone, Copy, Debug)]
struct Place {
    hash: u32,
    number: AccountNumber,
}

impl Place {
    /// What the table is ordered by. The hash's low bits choose the shard, and would be the same for many.
    fn spread(hash: u32) -> u64 {
        u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// The part of an account's hash that its place keeps: the upper half.
fn kept(account_hash: u64) -> u32 {
    u32::try_from(account_hash >> 32).expect("half of a u64 is a u32")
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
            partners: PartnerAccounts::default(),
            holding: BTreeSet::new(),
            pending: Pending::default(),
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
        let hash = kept(account_hash);
        let is_it = |place: &Place| {
            place.hash == hash && self.packed(place.number).is_some_and(|account| account.is_of(account_id))
        };
        self.by_id.find(Place::spread(hash), is_it).map(|place| place.number)
    }

    /// The account that has this hash in all likelihood, without a look at the account itself: for looking ahead.
    #[must_use]
    pub fn likely(&self, account_hash: u64) -> Option<AccountNumber> {
        let hash = kept(account_hash);
        self.by_id.find(Place::spread(hash), |place| place.hash == hash).map(|place| place.number)
    }

    /// The account with this number, as it is kept.
    #[must_use]
    pub fn packed(&self, number: AccountNumber) -> Option<&Packed> {
        self.accounts.get(usize::try_from(number.0).ok()?)
    }

    /// All accounts as they are kept, in the order of their numbers.
    #[must_use]
    pub fn all_packed(&self) -> &[Packed] {
        &self.accounts
    }

    /// Bytes of memory that the accounts and the way to them take, as asked for; what the allocator adds is not in it.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let places = self.accounts.capacity() * size_of::<Packed>() + self.by_id.allocation_size();
        places + self.accounts.iter().map(Packed::held_bytes).sum::<usize>()
    }

    /// The account with this number.
    #[must_use]
    pub fn account(&self, number: AccountNumber) -> Option<Account> {
        self.packed(number).map(Packed::unpack)
    }

    /// All accounts, in the order of their numbers.
    pub fn accounts(&self) -> impl ExactSizeIterator<Item = Account> {
        self.accounts.iter().map(Packed::unpack)
    }

    /// The number that the next account opened gets.
    ///
    /// # Panics
    /// When the shard is full, at 2^32 accounts.
    #[must_use]
    pub fn next_account(&self) -> AccountNumber {
        AccountNumber(u32::try_from(self.accounts.len()).expect("a shard has fewer than 2^32 accounts"))
    }

    /// Decides a command. Writes into `out`, whose memory is reused; nothing is changed.
    ///
    /// # Panics
    /// When the context does not fit the command (rooms missing): a fault of the caller.
    pub fn decide(&self, command: &Command, context: &Context<'_>, out: &mut Decision) {
        self.decide_for(self.find(&command.account_id), command, context, &mut Unpacked::default(), out);
    }

    /// Decides a command whose account has been looked for: `number` is what [`ShardState::find`] says. The account is
    /// unpacked into `unpacked`, where [`ShardState::apply_unpacked`] finds it.
    ///
    /// # Panics
    /// As [`ShardState::decide`].
    pub fn decide_for(
        &self,
        number: Option<AccountNumber>,
        command: &Command,
        context: &Context<'_>,
        unpacked: &mut Unpacked,
        out: &mut Decision,
    ) {
        let found = number.and_then(|number| Some((number, self.packed(number)?)));
        if let Some((number, packed)) = found {
            unpacked.load(self.id, number, packed, &command.account_id);
        }
        decide::decide(found.map(|_| &unpacked.account), command, context, out);
    }

    /// Whether [`ShardState::apply`] can take this record without breaking what it asserts. Always, for what `decide`
    /// promised; replay asks before it applies, so that a forged journal is refused and not fallen over. The account is
    /// unpacked into `unpacked`, where [`ShardState::apply_unpacked`] finds it.
    #[must_use]
    pub fn accepts(&self, change: &Change<'_>, unpacked: &mut Unpacked) -> bool {
        let is_next = change.seq == self.seq.next() && change.posted_at >= self.posted_at;
        if !is_next && change.seq > self.seq {
            return false;
        }
        let Ok(index) = usize::try_from(change.account.0) else { return false };
        let account = self.accounts.get(index).filter(|account| !account.is_vacant());
        if change.decision.effects.opens_account {
            let known = self.find(change.account_id);
            let fits = known.map_or(account.is_none(), |number| number == change.account);
            if !fits || change.account_id.is_empty() || index > self.accounts.len() {
                return false;
            }
        } else if account.is_none() {
            return false;
        }
        let Some(packed) = account else {
            return Account::default().accepts(&change.decision.effects, change.posted_at);
        };
        if change.seq <= packed.seq {
            return true;
        }
        unpacked.load(self.id, change.account, packed, change.account_id);
        unpacked.account.accepts(&change.decision.effects, change.posted_at)
    }

    /// Applies a record: to the shard, the account and the issuer, each only if the record is newer than it.
    ///
    /// # Panics
    /// When the decision does not fit the state: `decide` promised that it does.
    pub fn apply(&mut self, change: &Change<'_>) {
        self.apply_unpacked(change, &mut Unpacked::default());
    }

    /// Applies a record, in memory that is used again and again, and may hold the account already.
    ///
    /// # Panics
    /// As [`ShardState::apply`].
    pub fn apply_unpacked(&mut self, change: &Change<'_>, unpacked: &mut Unpacked) {
        let effects = &change.decision.effects;
        if effects.opens_account {
            self.open(change);
        }
        if change.seq > self.seq {
            assert_eq!(change.seq, self.seq.next(), "the records of a shard have no gaps");
            assert!(change.posted_at >= self.posted_at, "a shard's time never goes back");
            self.seq = change.seq;
            self.posted_at = change.posted_at;
            self.pending.reach(change.posted_at);
        }
        let index = usize::try_from(change.account.0).expect("an account number is an index");
        let packed = self.accounts.get_mut(index).expect("a record names an account that was opened");
        if change.seq > packed.seq {
            unpacked.load(self.id, change.account, packed, change.account_id);
            let account = &mut unpacked.account;
            account.seq = change.seq;
            account.position = change.position;
            for lot in &effects.lots {
                account.change_lot(lot);
                self.pending.count(&lot.key, lot.delta, self.posted_at);
            }
            account.forget_counters(change.posted_at);
            account.forget_vouchers(change.posted_at);
            account.change_counters(&effects.counters, change.posted_at);
            account.change_profile(effects, change.decision.program);
            if effects.held.is_some() {
                account.change_held(change.decision, change.posted_at);
                note_holding(&mut self.holding, change.account, account);
            }
            if effects.authorizations.is_some() {
                account.change_authorizations(effects);
            }
            if let Some((wallet, delta)) = effects.owed {
                account.change_owed(wallet, delta);
            }
            if effects.gone > 0 {
                account.note_gone(change.decision.wallet, effects.gone);
            }
            if !effects.vouchers.is_empty() {
                account.change_vouchers(effects, change.posted_at);
            }
            account.change_totals(change.decision.wallet, &effects.totals);
            unpacked.store(self.id, change.account, packed);
        } else if change.seq == packed.seq && change.position.is_some() {
            // The snapshot held the account before its record's position was known.
            packed.locate(change.position);
        }
        self.partners.change(change.seq, change.partner, effects.redemption_rate_bps, &effects.lots);
    }

    /// Notes where an account's last record lies, once its commit has been given a position.
    pub fn locate(&mut self, number: AccountNumber, seq: Seq, position: Position) {
        let index = usize::try_from(number.0).unwrap_or(usize::MAX);
        if let Some(account) = self.accounts.get_mut(index)
            && account.seq == seq
        {
            account.locate(Some(position));
        }
    }

    fn open(&mut self, change: &Change<'_>) {
        let index = usize::try_from(change.account.0).expect("an account number is an index");
        if self.accounts.get(index).is_some_and(|account| !account.is_vacant()) {
            return; // the snapshot has it
        }
        let opened = Account { id: change.account_id.into(), opened_at: change.posted_at, ..Account::default() };
        self.place(change.account, &opened);
    }

    /// Asks for the memory of so many accounts more, before a snapshot is loaded: what grows step by step is copied at each.
    pub fn make_room(&mut self, account_count: usize) {
        self.accounts.reserve_exact(account_count);
        self.by_id.reserve(account_count, |place| Place::spread(place.hash));
    }

    /// Puts an account in its place: see [`ShardState::place_packed`].
    ///
    /// # Panics
    /// When the place is taken.
    pub fn place(&mut self, number: AccountNumber, account: &Account) {
        self.place_packed(number, Packed::new(account), account);
    }

    /// Puts an account in its place, packed and as it is unpacked; used when it is opened and when a snapshot is loaded.
    /// Places before it that are not filled yet stay vacant until their account comes.
    ///
    /// # Panics
    /// When the place is taken.
    pub fn place_packed(&mut self, number: AccountNumber, packed: Packed, account: &Account) {
        let index = usize::try_from(number.0).expect("an account number is an index");
        if self.accounts.len() <= index {
            self.accounts.resize_with(index + 1, Packed::default);
        }
        let place = self.accounts.get_mut(index).expect("the table was made long enough");
        assert!(place.is_vacant(), "an account is opened once");
        *place = packed;
        if !account.held().is_empty() {
            self.holding.insert(number);
        }
        for lot in &account.lots {
            self.pending.count(&lot.key, lot.remaining, self.posted_at);
        }
        let hash = kept(account_hash(&account.id));
        let respread = |other: &Place| Place::spread(other.hash);
        self.by_id.insert_unique(Place::spread(hash), Place { hash, number }, respread);
    }

    /// The accounts from this one on of which something is held for review, in the order of their numbers.
    pub fn holding(&self, from: AccountNumber) -> impl Iterator<Item = (AccountNumber, Account)> {
        let found = |number: &AccountNumber| Some((*number, self.account(*number)?));
        self.holding.range(from..).filter_map(found)
    }

    /// What waits for its time, of all accounts.
    #[must_use]
    pub fn pending(&self) -> &Pending {
        &self.pending
    }

    /// The first place that no account has filled, if a snapshot and its replay left one.
    #[must_use]
    pub fn first_vacant(&self) -> Option<usize> {
        self.accounts.iter().position(Packed::is_vacant)
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
