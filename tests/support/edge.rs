//! The edge's side of a command, without a wire: names become numbers, ids are claimed, repeated commands get their
//! first answer, and what the worker answers comes back.
//!
//! The server's edge does the same over gRPC and is tested there. This one exists so that the core can be tested
//! without it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use tallystick::ids::{Claim, IdIndex, IdKey};
use tallystick::journal::Journal;
use tallystick::journal::record::{Entry, Record, decode};
use tallystick::ledger::command::{Basket, Command, CommandKind, Line, Linking};
use tallystick::ledger::decision::{Decision, Refusal};
use tallystick::ledger::operator::{HeldOriginal, Operation, OperatorOrder, Remark, Restoration};
use tallystick::ledger::state::account_hash;
use tallystick::ledger::types::{AccountNumber, Item, MemberKey, Position, Seq, ShardId, SymbolId, TimestampNs};
use tallystick::ledger::voucher::VoucherCode;
use tallystick::ledger::zone::utc_day;
use tallystick::limits;
use tallystick::recovery::ids_of;
use tallystick::shard::engine::Engine;
use tallystick::shard::job::{
    AccountJob, AccountView, ClaimedIds, CommandBatch, CommandJob, CommandOutcome, Job, QuoteJob,
};

/// A line as a till sends it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineText {
    pub sku: String,
    pub category: String,
    pub department: String,
    pub brand: String,
    pub margin_class: String,
    pub quantity: i64,
    pub amount_minor: i64,
}

impl LineText {
    pub fn of(amount_minor: i64) -> Self {
        Self { quantity: 1, amount_minor, ..Self::default() }
    }
}

/// What a till sends. Times are those of the clock where they are not given.
#[derive(Clone, Debug, Default)]
pub struct Accrue {
    pub account: String,
    pub transaction_id: String,
    pub store: String,
    pub terminal: String,
    pub cashier: String,
    /// Which member of the account, if any is named.
    pub member: String,
    pub receipt: String,
    pub receipt_at: Option<TimestampNs>,
    pub lines: Vec<LineText>,
    /// Vouchers that it uses, ascending.
    pub vouchers: Vec<VoucherCode>,
    /// The importer's stamp, where the clock is the input.
    pub stamp: Option<TimestampNs>,
    pub deadline_ns: Option<i64>,
}

impl Accrue {
    /// A basket of one line without attributes; the receipt's number is the transaction's.
    pub fn simple(account: &str, transaction_id: &str, amount_minor: i64) -> Self {
        Self {
            account: account.to_owned(),
            transaction_id: transaction_id.to_owned(),
            store: "s1".to_owned(),
            receipt: transaction_id.to_owned(),
            lines: vec![LineText::of(amount_minor)],
            ..Self::default()
        }
    }
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub decision: Decision,
    pub position: Option<Position>,
    pub seq: Seq,
    pub posted_at: TimestampNs,
    /// The first answer, given again.
    pub replayed: bool,
    /// The field in which a used id differs.
    pub differs: Option<String>,
    /// What was asked for, where the decision alone does not say it; else empty.
    pub verb: &'static str,
}

impl Answer {
    pub fn refused(refusal: Refusal) -> Self {
        let outcome = tallystick::ledger::decision::Outcome::Refused(refusal);
        Self {
            decision: Decision { outcome, ..Decision::default() },
            position: None,
            seq: Seq(0),
            posted_at: TimestampNs(0),
            replayed: false,
            differs: None,
            verb: "",
        }
    }

    /// The first answer, given again.
    pub fn first(decision: Decision, position: Position, posted_at: TimestampNs) -> Self {
        let position = Some(position);
        Self { decision, position, seq: Seq(0), posted_at, replayed: true, differs: None, verb: "" }
    }

    fn of(outcome: CommandOutcome) -> Self {
        let CommandOutcome { decision, position, seq, posted_at, .. } = outcome;
        Self { decision, position, seq, posted_at, replayed: false, differs: None, verb: "" }
    }

    pub fn refusal(&self) -> Option<Refusal> {
        self.decision.refusal()
    }

    pub fn granted(&self) -> i64 {
        self.decision.granted
    }
}

/// An answer that is on its way. A ledger that failed never gives it.
pub enum Pending {
    Done(Box<Answer>),
    Waiting(Receiver<Box<Answer>>),
}

impl Pending {
    /// The answer, or `None` when the ledger failed before it could give one.
    pub fn wait(self) -> Option<Answer> {
        match self {
            Self::Done(answer) => Some(*answer),
            Self::Waiting(receiver) => receiver.recv().ok().map(|answer| *answer),
        }
    }

    pub fn refused(refusal: Refusal) -> Self {
        Self::Done(Box::new(Answer::refused(refusal)))
    }
}

/// One partner's access.
#[derive(Clone, Copy)]
pub struct Edge<'a> {
    pub engine: &'a Engine,
    pub partner: SymbolId,
}

/// What the ids of a command came to.
pub enum Claimed {
    Granted,
    Answered(Pending),
}

impl<'a> Edge<'a> {
    pub fn new(engine: &'a Engine, partner: &str) -> Self {
        let partner = engine.dictionary.intern(partner, &*engine.control).expect("there is room for a partner");
        Self { engine, partner }
    }

    pub fn symbol(&self, text: &str) -> Result<SymbolId, Refusal> {
        if text.len() > limits::SYMBOL_BYTES_MAX {
            return Err(Refusal::InvalidCommand);
        }
        self.engine.dictionary.intern(text, &*self.engine.control).map_err(|_| Refusal::NameLimitReached)
    }

    fn line(&self, line: &LineText) -> Result<Line, Refusal> {
        let in_range = (0..=limits::LINE_AMOUNT_MINOR_MAX).contains(&line.amount_minor)
            && (0..=limits::LINE_QUANTITY_MAX).contains(&line.quantity);
        if !in_range {
            return Err(Refusal::InvalidCommand);
        }
        let item = Item {
            sku: self.symbol(&line.sku)?,
            category: self.symbol(&line.category)?,
            department: self.symbol(&line.department)?,
            brand: self.symbol(&line.brand)?,
            margin_class: self.symbol(&line.margin_class)?,
        };
        let known = self.engine.dictionary.intern_item(&item, &*self.engine.control);
        let item_id = known.map_err(|_| Refusal::NameLimitReached)?;
        Ok(Line { item_id, item, quantity: line.quantity, amount_minor: line.amount_minor })
    }

    /// A basket with its names as numbers.
    pub fn basket(&self, accrue: &Accrue) -> Result<Basket, Refusal> {
        let fits = (1..=limits::BASKET_LINES_MAX).contains(&accrue.lines.len())
            && (1..=limits::RECEIPT_NUMBER_BYTES_MAX).contains(&accrue.receipt.len());
        if !fits {
            return Err(Refusal::InvalidCommand);
        }
        let receipt_at = accrue.receipt_at.or(accrue.stamp).unwrap_or_else(|| self.engine.clock.now());
        Ok(Basket {
            store: self.symbol(&accrue.store)?,
            terminal: self.symbol(&accrue.terminal)?,
            cashier: self.symbol(&accrue.cashier)?,
            receipt_number: accrue.receipt.as_str().into(),
            business_day: utc_day(receipt_at),
            receipt_at,
            lines: accrue.lines.iter().map(|line| self.line(line)).collect::<Result<_, _>>()?,
            vouchers: accrue.vouchers.clone(),
            ..Basket::default()
        })
    }

    fn stamp(&self, given: Option<TimestampNs>) -> TimestampNs {
        loop {
            let stamp = given.unwrap_or_else(|| self.engine.clock.now());
            if self.engine.may_stamp(stamp) {
                return stamp;
            }
            std::thread::yield_now();
        }
    }

    fn member(&self, member: &str) -> MemberKey {
        if member.is_empty() { MemberKey::NONE } else { self.engine.hasher.member(member) }
    }

    /// Sends an accrual and waits for its answer.
    #[track_caller]
    pub fn accrue(&self, accrue: &Accrue) -> Answer {
        self.begin_accrue(accrue).wait().expect("the ledger answers")
    }

    /// Sends an accrual.
    pub fn begin_accrue(&self, accrue: &Accrue) -> Pending {
        let id_fits = (1..=limits::ACCOUNT_ID_BYTES_MAX).contains(&accrue.account.len())
            && (1..=limits::TRANSACTION_ID_BYTES_MAX).contains(&accrue.transaction_id.len());
        if !id_fits {
            return Pending::refused(Refusal::InvalidCommand);
        }
        let basket = match self.basket(accrue) {
            Ok(basket) => basket,
            Err(refusal) => return Pending::refused(refusal),
        };
        let command = Command {
            account_id: accrue.account.as_str().into(),
            transaction_id: accrue.transaction_id.as_str().into(),
            partner: self.partner,
            named_by: None,
            member: self.member(&accrue.member),
            kind: CommandKind::Accrue(basket),
        };
        let ids = ids_of(&self.engine.hasher, &self.engine.dictionary, &command);
        match self.claim_transaction(&command, ids.transaction) {
            Claimed::Granted => {}
            Claimed::Answered(answer) => return answer,
        }
        self.claim_subject_and_submit(command, ids, Refusal::ReceiptAlreadyEarned, accrue.stamp, accrue.deadline_ns)
    }

    /// Sends a command that is about nothing but its account, and waits for its answer.
    #[track_caller]
    pub fn send(&self, account: &str, transaction_id: &str, kind: CommandKind) -> Answer {
        self.send_of(account, "", transaction_id, kind)
    }

    /// As [`Edge::send`], about a member of the account.
    #[track_caller]
    pub fn send_of(&self, account: &str, member: &str, transaction_id: &str, kind: CommandKind) -> Answer {
        self.begin_send_of(account, member, transaction_id, kind).wait().expect("the ledger answers")
    }

    /// As [`Edge::send_of`], without waiting.
    pub fn begin_send_of(&self, account: &str, member: &str, transaction_id: &str, kind: CommandKind) -> Pending {
        let command = Command {
            account_id: account.into(),
            transaction_id: transaction_id.into(),
            partner: self.partner,
            named_by: None,
            member: self.member(member),
            kind,
        };
        let ids = ids_of(&self.engine.hasher, &self.engine.dictionary, &command);
        match self.claim_transaction(&command, ids.transaction) {
            Claimed::Granted => self.submit(command, ids, None, None),
            Claimed::Answered(answer) => answer,
        }
    }

    /// Has an identifier, `KIND:VALUE`, point to an account, or no longer.
    #[track_caller]
    pub fn link(&self, account: &str, identifier: &str, links: bool, transaction_id: &str) -> Answer {
        self.begin_link(account, identifier, links, transaction_id).wait().expect("the ledger answers")
    }

    /// Asks for it.
    pub fn begin_link(&self, account: &str, identifier: &str, links: bool, transaction_id: &str) -> Pending {
        let (kind, value) = identifier.split_once(':').expect("a kind and a value");
        let key = self.engine.hasher.identifier(kind, value);
        let kind = self.symbol(kind).expect("there is room");
        let command = Command {
            account_id: account.into(),
            transaction_id: transaction_id.into(),
            partner: self.partner,
            kind: CommandKind::Link(Linking { links, kind, key, account_id: account.into() }),
            ..Command::default()
        };
        let ids = ids_of(&self.engine.hasher, &self.engine.dictionary, &command);
        match self.claim_transaction(&command, ids.transaction) {
            Claimed::Granted if links => {
                self.claim_subject_and_submit(command, ids, Refusal::IdentifierTaken, None, None)
            }
            Claimed::Granted => self.submit(command, ids, None, None),
            Claimed::Answered(answer) => answer,
        }
    }

    /// The account that an identifier, `KIND:VALUE`, points to.
    pub fn whose(&self, identifier: &str) -> Option<Box<str>> {
        let (kind, value) = identifier.split_once(':').expect("a kind and a value");
        let key = self.engine.hasher.identifier(kind, value).into();
        let found = self.engine.shared.ids.lookup(key).expect("the index can be read");
        match self.read(found.filter(|entry| !entry.freed)?.position) {
            Some((_, Record::Entry(entry))) => match entry.command.kind {
                CommandKind::Link(linking) => Some(linking.account_id),
                other => panic!("{other:?} links nothing"),
            },
            other => panic!("{other:?} links nothing"),
        }
    }

    /// Asks for a reversal and waits for its answer.
    /// Releases or rejects what is held of a transaction, and waits for the answer.
    #[track_caller]
    pub fn review(&self, transaction_id: &str, original_id: &str, is_release: bool) -> Answer {
        let verb = if is_release { "release" } else { "reject" };
        let Some((shard, position, entry)) = self.find(self.partner, original_id) else {
            return Answer::refused(Refusal::OriginalUnknown);
        };
        let granted = if is_release { entry.held() } else { entry.rejectable() };
        let Some(granted) = granted else { return Answer::refused(Refusal::NotHeld) };
        let original = HeldOriginal { transaction_id: original_id.into(), position, granted };
        let order = if is_release { OperatorOrder::Release(original) } else { OperatorOrder::Reject(original) };
        Answer { verb, ..self.operate(transaction_id, &self.account_id(shard, entry.account), order) }
    }

    /// Brings back what died with a transaction of a partner, and waits for the answer.
    #[track_caller]
    pub fn restore(
        &self,
        transaction_id: &str,
        account: &str,
        (partner, original_id): (&str, &str),
        expires_at: TimestampNs,
    ) -> Answer {
        let partner = self.symbol(partner).expect("there is room");
        let found = self.find(partner, original_id);
        let Some((shard, expiry, entry)) = found.filter(|(_, _, entry)| entry.decision.refusal().is_none()) else {
            return Answer::refused(Refusal::OriginalUnknown);
        };
        if *self.account_id(shard, entry.account) != *account {
            return Answer::refused(Refusal::OriginalUnknown);
        }
        let lots = entry.expired_lots(self.partner);
        if lots.is_empty() {
            return Answer::refused(Refusal::NotRestorable);
        }
        self.operate(transaction_id, account, OperatorOrder::Restore(Restoration { expiry, expires_at, lots }))
    }

    /// Sends what an operator asks, and waits for the answer.
    #[track_caller]
    pub fn operate(&self, transaction_id: &str, account: &str, order: OperatorOrder) -> Answer {
        let (verb, used) = match &order {
            OperatorOrder::Release(_) => ("release", Refusal::AlreadyReviewed),
            OperatorOrder::Reject(_) => ("reject", Refusal::AlreadyReviewed),
            OperatorOrder::Restore(_) => ("restore", Refusal::AlreadyRestored),
            OperatorOrder::Adjust(_) => ("adjust", Refusal::InvalidCommand),
            OperatorOrder::IssueVoucher(_) | OperatorOrder::CancelVoucher(_) => ("voucher", Refusal::InvalidCommand),
        };
        let remark = Remark { reason_code: "tested".into(), note: "".into(), operator: "ada".into(), ..<_>::default() };
        let command = Command {
            account_id: account.into(),
            transaction_id: transaction_id.into(),
            partner: self.partner,
            kind: CommandKind::Operate(Box::new(Operation { remark, order })),
            ..Command::default()
        };
        let ids = ids_of(&self.engine.hasher, &self.engine.dictionary, &command);
        let pending = match self.claim_transaction(&command, ids.transaction) {
            Claimed::Granted if ids.subject == ids.transaction => self.submit(command, ids, None, None),
            Claimed::Granted => self.claim_subject_and_submit(command, ids, used, None, None),
            Claimed::Answered(answer) => answer,
        };
        Answer { verb, ..pending.wait().expect("the ledger answers") }
    }

    /// The record of a transaction.
    pub fn find(&self, partner: SymbolId, transaction_id: &str) -> Option<(ShardId, Position, Box<Entry>)> {
        let partner = self.engine.dictionary.text(partner).expect("the partner has a name");
        let key = self.engine.hasher.transaction(&partner, transaction_id);
        let found = self.engine.shared.ids.lookup(key).expect("the index can be read")?;
        match self.read(found.position) {
            Some((shard, Record::Entry(entry))) => Some((shard, found.position, entry)),
            _ => None,
        }
    }

    pub fn claim_transaction(&self, command: &Command, key: IdKey) -> Claimed {
        match self.claim(key) {
            Claim::Granted => Claimed::Granted,
            Claim::Committed(entry) => Claimed::Answered(Pending::Done(Box::new(self.again(command, entry.position)))),
            Claim::TooMany | Claim::InFlight => Claimed::Answered(Pending::refused(Refusal::Overloaded)),
        }
    }

    /// Claims an id; while another caller holds it, waits.
    pub fn claim(&self, key: IdKey) -> Claim {
        self.claim_by(key, |ids| ids.claim(key).expect("the index can be read"))
    }

    pub fn claim_by(&self, key: IdKey, claim: impl Fn(&IdIndex) -> Claim) -> Claim {
        let ids = &self.engine.shared.ids;
        loop {
            match claim(ids) {
                Claim::InFlight => {
                    let (told, ended) = channel();
                    let waiter = Box::new(move || {
                        let _ = told.send(());
                    });
                    if ids.wait(key, waiter) {
                        ended.recv().expect("a claim ends");
                    }
                }
                claim => return claim,
            }
        }
    }

    pub fn claim_subject_and_submit(
        &self,
        command: Command,
        ids: ClaimedIds,
        taken: Refusal,
        stamp: Option<TimestampNs>,
        deadline_ns: Option<i64>,
    ) -> Pending {
        let refusal = match self.claim(ids.subject) {
            Claim::Granted => None,
            Claim::Committed(_) => Some(taken),
            Claim::TooMany | Claim::InFlight => Some(Refusal::Overloaded),
        };
        if let Some(refusal) = refusal {
            self.engine.shared.ids.release(ids.transaction);
            return Pending::refused(refusal);
        }
        self.submit(command, ids, stamp, deadline_ns)
    }

    pub fn submit(
        &self,
        command: Command,
        ids: ClaimedIds,
        stamp: Option<TimestampNs>,
        deadline_ns: Option<i64>,
    ) -> Pending {
        let (told, answer) = channel();
        let shard = self.engine.shard_of(&command.account_id);
        let job = CommandJob {
            ticket: 0,
            account_hash: account_hash(&command.account_id),
            command,
            stamp: self.stamp(stamp),
            ids,
            day_by: None,
            deadline_ns,
            outcome: CommandOutcome::default(),
        };
        let tell = move |mut batch: CommandBatch| {
            let job = batch.jobs.pop().expect("one command was sent");
            let _ = told.send(Box::new(Answer::of(job.outcome)));
        };
        match self.engine.submit(shard, Job::Commands(CommandBatch::new(vec![Box::new(job)], Arc::new(tell)))) {
            Ok(()) => Pending::Waiting(answer),
            Err((_, refusal)) => {
                ids.claims().for_each(|key| self.engine.shared.ids.release(key));
                Pending::refused(refusal)
            }
        }
    }

    /// The first answer to a command whose id was used, or the field in which it differs.
    fn again(&self, command: &Command, position: Position) -> Answer {
        let Some((shard, Record::Entry(entry))) = self.read(position) else {
            return Answer::refused(Refusal::TransactionIdReused);
        };
        let Entry { account, posted_at, command: mut first, decision, .. } = *entry;
        // A reversal does not name the account.
        let names_account = !command.account_id.is_empty();
        first.account_id = if names_account { self.account_id(shard, account).into() } else { String::new() };
        match command.first_difference(&first) {
            Some(field) => Answer { differs: Some(field), ..Answer::refused(Refusal::TransactionIdReused) },
            None => Answer::first(decision, position, posted_at),
        }
    }

    /// The record at a position.
    pub fn read(&self, position: Position) -> Option<(ShardId, Record)> {
        let mut found = None;
        let read = self.engine.journal.read(position, &mut |frame| {
            if let Some(view) = frame.record_at(position)? {
                found = decode(view.bytes, &self.engine.dictionary).ok().map(|record| (view.shard, record));
            }
            Ok(std::ops::ControlFlow::Break(()))
        });
        read.expect("the journal can be read");
        found
    }

    pub fn account_id(&self, shard: ShardId, account: AccountNumber) -> Box<str> {
        let (told, answer) = channel();
        let job = Job::AccountId(shard, account, Box::new(move |id| told.send(id).expect("the asker waits")));
        assert!(self.engine.submit(shard, job).is_ok(), "the worker takes the question");
        answer.recv().expect("the worker answers").expect("a record's account has an id")
    }

    /// A copy of an account.
    pub fn account(&self, account: &str) -> Option<Box<AccountView>> {
        let (told, answer) = channel();
        let job = Job::Account(Box::new(AccountJob {
            account_id: account.into(),
            stamp: self.engine.clock.now(),
            reply: Box::new(move |view| told.send(view).expect("the asker waits")),
        }));
        assert!(self.engine.submit(self.engine.shard_of(account), job).is_ok(), "the worker takes the question");
        answer.recv().expect("the worker answers")
    }

    /// What a basket would be granted now.
    pub fn quote(&self, accrue: &Accrue) -> Answer {
        let (told, answer) = channel();
        let job = Job::Quote(Box::new(QuoteJob {
            account_id: accrue.account.as_str().into(),
            partner: self.partner,
            member: self.member(&accrue.member),
            kind: CommandKind::Accrue(self.basket(accrue).expect("the basket fits")),
            stamp: self.stamp(accrue.stamp),
            outcome: CommandOutcome::default(),
            reply: Some(Box::new(move |job: Box<QuoteJob>| told.send(job.outcome).expect("the asker waits"))),
        }));
        assert!(
            self.engine.submit(self.engine.shard_of(&accrue.account), job).is_ok(),
            "the worker takes the question"
        );
        Answer::of(answer.recv().expect("the worker answers"))
    }
}
