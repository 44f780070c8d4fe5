//! The edge in small: what the service does with a call between the wire and a worker, without the wire and without
//! waiting. A call that must wait is parked and goes on when a message says so.
//!
//! The protocol is the service's: claim the transaction id → (of a reversal) find the accrual → claim the receipt or the
//! reversal → hand over to the worker. An id that was used is answered from the journal: the same command gets the first
//! answer again, another one is told the field that differs.
//!
//! What must stay true: every claim that is granted here is given up here or handed to a worker; no call waits while it
//! holds what another needs to go on (a call that holds a receipt never waits).

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::facts::{Action, Name, Purchase, Request};
use super::lots::LotName;
use super::machine::{Machine, Message, Trouble};
use crate::ids::{Claim, IdEntry, IdKey};
use crate::journal::Journal;
use crate::journal::record::{Entry, Record, decode};
use crate::ledger::command::{
    Activity, Basket, Command, CommandKind, Enrolment, Granted, Line, Loading, Redemption, Reversal,
};
use crate::ledger::decision::{Decision, LotKey, Refusal};
use crate::ledger::state::{account_hash, shard_of};
use crate::ledger::types::{Day, Item, Position, ShardId, SymbolId, TimestampNs, WalletId};
use crate::recovery::ids_of;
use crate::shard::job::{AccountJob, AccountView, ClaimedIds, CommandJob, CommandOutcome, Job, QuoteJob};

/// What a client is told about a command.
#[derive(Debug)]
pub enum Answer {
    /// It has a record.
    Done {
        /// Where.
        position: Option<Position>,
        /// When it was posted.
        posted_at: i64,
        /// What was decided.
        decision: Box<Decision>,
        /// It had been answered before.
        replayed: bool,
    },
    /// It has none.
    Refused {
        /// Why.
        refusal: Refusal,
        /// The field that differs from what was posted under the id.
        difference: Option<String>,
        /// The posting time it would have had, where a worker refused.
        posted_at: Option<i64>,
    },
}

/// What a client is told.
pub enum Told {
    /// About a command.
    Command(Answer),
    /// About a purchase that was not made.
    Quote(Box<QuoteJob>),
    /// About an account.
    Account(Option<Box<AccountView>>),
    /// The question was not taken: too many wait.
    Overloaded,
}

enum Stage {
    /// Nothing is claimed.
    Begin,
    /// The transaction id is claimed.
    Claimed(IdKey),
    /// The account of the record at hand is being asked for: the id was used.
    Comparing(Box<Entry>, Position),
    /// The account of the accrual that is to be reversed is being asked for.
    FindingAccount(IdKey, Position, Box<Granted>),
    /// The transaction id is claimed and the command is complete.
    Ready(IdKey, Box<Command>),
    /// A worker has it.
    Submitted,
}

struct Call {
    request: Arc<Request>,
    stamp: i64,
    deadline_ns: Option<i64>,
    /// Keeps the transaction id while it waits for a receipt; else it gives it up and begins again.
    keeps_claim: bool,
    stage: Stage,
}

/// What a step of a call came to.
enum Next {
    Again,
    Waits,
    Tells(Answer),
}

/// Calls under way in one life of the ledger.
#[derive(Default)]
pub struct Edge {
    calls: BTreeMap<u64, Call>,
    /// Calls that wait for a publication.
    at_gate: Vec<u64>,
    told: VecDeque<(u64, Told)>,
}

fn refused(refusal: Refusal) -> Next {
    Next::Tells(Answer::Refused { refusal, difference: None, posted_at: None })
}

impl Edge {
    /// What the oldest call that was answered was told.
    pub fn next_told(&mut self) -> Option<(u64, Told)> {
        self.told.pop_front()
    }

    /// Calls that are not answered; questions do not count.
    #[must_use]
    pub fn call_count(&self) -> usize {
        self.calls.len()
    }

    /// A command arrives.
    ///
    /// # Errors
    /// When the store fails or the ledger breaks a promise.
    pub fn command(
        &mut self,
        machine: &mut Machine,
        number: u64,
        request: Arc<Request>,
        stamp: i64,
        deadline_ns: Option<i64>,
        keeps_claim: bool,
    ) -> Result<(), Trouble> {
        self.calls.insert(number, Call { request, stamp, deadline_ns, keeps_claim, stage: Stage::Begin });
        self.go_on(machine, number)
    }

    /// Someone asks what a purchase would earn.
    pub fn quote(
        &mut self,
        machine: &mut Machine,
        number: u64,
        account: &str,
        partner: &str,
        purchase: &Purchase,
        stamp: i64,
    ) {
        if stamp >= machine.publish_gate {
            // The service lets it wait, as it does commands; here the client asks something else instead.
            self.told.push_back((number, Told::Overloaded));
            return;
        }
        let outbox = machine.outbox().clone();
        let job = Box::new(QuoteJob {
            member: crate::ledger::types::MemberKey::NONE,
            account_id: account.into(),
            partner: intern(machine, partner),
            basket: basket_of(machine, purchase),
            stamp: TimestampNs(stamp),
            outcome: CommandOutcome::default(),
            reply: Some(Box::new(move |job| outbox.push(Message::Quote(number, job)))),
        });
        let shard = shard_of(account, machine.identity.shard_count);
        if machine.submit(shard, number, Job::Quote(job)).is_err() {
            self.told.push_back((number, Told::Overloaded));
        }
    }

    /// Someone asks for an account.
    pub fn account(&mut self, machine: &mut Machine, number: u64, account: &str, stamp: i64) {
        let outbox = machine.outbox().clone();
        let reply = Box::new(move |view| outbox.push(Message::Account(number, view)));
        let job = Box::new(AccountJob { account_id: account.into(), stamp: TimestampNs(stamp), reply });
        let shard = shard_of(account, machine.identity.shard_count);
        if machine.submit(shard, number, Job::Account(job)).is_err() {
            self.told.push_back((number, Told::Overloaded));
        }
    }

    /// Takes what a worker or the committer says.
    ///
    /// # Errors
    /// When the store fails or the ledger breaks a promise.
    pub fn take(&mut self, machine: &mut Machine, message: Message) -> Result<(), Trouble> {
        match message {
            Message::Command(number, job) => {
                self.calls.remove(&number);
                self.told.push_back((number, Told::Command(answer_of(*job))));
            }
            Message::Quote(number, job) => self.told.push_back((number, Told::Quote(job))),
            Message::Account(number, view) => self.told.push_back((number, Told::Account(view))),
            Message::AccountId(number, id) => {
                let Some(id) = id else {
                    return Err(Trouble::Broken(format!("call {number} finds the account of a durable record")));
                };
                self.found_account(machine, number, id)?;
            }
            Message::Woken(number) => self.go_on(machine, number)?,
            Message::Published => machine.published(),
            Message::Proposed => machine.proposed(),
            Message::Froze => {
                machine.froze();
                self.open_gate(machine)?;
            }
            Message::Adopted => {
                if machine.adopted()? {
                    self.open_gate(machine)?;
                }
            }
        }
        Ok(())
    }

    fn open_gate(&mut self, machine: &mut Machine) -> Result<(), Trouble> {
        std::mem::take(&mut self.at_gate).into_iter().try_for_each(|number| self.go_on(machine, number))
    }

    fn go_on(&mut self, machine: &mut Machine, number: u64) -> Result<(), Trouble> {
        let Some(mut call) = self.calls.remove(&number) else { return Ok(()) };
        loop {
            match self.step(machine, number, &mut call)? {
                Next::Again => {}
                Next::Waits => {
                    self.calls.insert(number, call);
                    return Ok(());
                }
                Next::Tells(answer) => {
                    self.told.push_back((number, Told::Command(answer)));
                    return Ok(());
                }
            }
        }
    }

    fn step(&mut self, machine: &mut Machine, number: u64, call: &mut Call) -> Result<Next, Trouble> {
        match std::mem::replace(&mut call.stage, Stage::Begin) {
            Stage::Begin if call.stamp >= machine.publish_gate => {
                self.at_gate.push(number);
                Ok(Next::Waits)
            }
            Stage::Begin => claim_transaction(machine, number, call),
            Stage::Claimed(transaction) => match &call.request.action {
                Action::Accrue { account, purchase } => {
                    let command = accrual_of(machine, &call.request, account, purchase);
                    call.stage = Stage::Ready(transaction, Box::new(command));
                    Ok(Next::Again)
                }
                Action::Reverse { original } => {
                    let original = original.clone();
                    find_original(machine, number, call, transaction, &original)
                }
                action => {
                    let command = Command {
                        account_id: action.account().cloned().unwrap_or_default().into(),
                        transaction_id: call.request.transaction_id.clone().into(),
                        partner: intern(machine, &call.request.partner),
                        kind: kind_of(machine, action),
                        ..Command::default()
                    };
                    call.stage = Stage::Ready(transaction, Box::new(command));
                    Ok(Next::Again)
                }
            },
            Stage::Ready(transaction, command) => claim_subject(machine, number, call, transaction, command),
            waiting => {
                call.stage = waiting;
                Ok(Next::Waits)
            }
        }
    }

    fn found_account(&mut self, machine: &mut Machine, number: u64, id: Box<str>) -> Result<(), Trouble> {
        let Some(call) = self.calls.get_mut(&number) else { return Ok(()) };
        match std::mem::replace(&mut call.stage, Stage::Begin) {
            Stage::Comparing(mut entry, position) => {
                entry.command.account_id = id.into();
                let answer = compare(machine, &call.request, *entry, position);
                self.calls.remove(&number);
                self.told.push_back((number, Told::Command(answer)));
                Ok(())
            }
            Stage::FindingAccount(transaction, position, original) => {
                let Action::Reverse { original: original_id } = &call.request.action else {
                    return Err(Trouble::Broken("only a reversal looks for an accrual".to_owned()));
                };
                let command = Command {
                    account_id: id.into(),
                    transaction_id: call.request.transaction_id.clone().into(),
                    partner: intern(machine, &call.request.partner),
                    kind: CommandKind::Reverse(Reversal {
                        original_transaction_id: original_id.clone(),
                        original_position: position,
                        original: *original,
                    }),
                    ..Command::default()
                };
                call.stage = Stage::Ready(transaction, Box::new(command));
                self.go_on(machine, number)
            }
            other => {
                call.stage = other;
                Ok(())
            }
        }
    }
}

/// What a worker's answer says to the client.
fn answer_of(job: CommandJob) -> Answer {
    let outcome = job.outcome;
    let posted_at = outcome.posted_at.0;
    match outcome.refusal() {
        Some(refusal) if outcome.seq.0 == 0 => {
            Answer::Refused { refusal, difference: None, posted_at: Some(posted_at) }
        }
        _ => Answer::Done {
            position: outcome.position,
            posted_at,
            decision: Box::new(outcome.decision),
            replayed: false,
        },
    }
}

fn waiter(machine: &Machine, number: u64) -> Box<dyn FnOnce() + Send> {
    let outbox = machine.outbox().clone();
    Box::new(move || outbox.push(Message::Woken(number)))
}

fn claim(machine: &Machine, key: IdKey) -> Result<Claim, Trouble> {
    machine.shared.ids.claim(key).map_err(|error| machine.judge(&error))
}

fn claim_transaction(machine: &mut Machine, number: u64, call: &mut Call) -> Result<Next, Trouble> {
    let key = machine.hasher.transaction(&call.request.partner, &call.request.transaction_id);
    match claim(machine, key)? {
        Claim::TooMany => Ok(refused(Refusal::Overloaded)),
        Claim::InFlight if machine.shared.ids.wait(key, waiter(machine, number)) => Ok(Next::Waits),
        Claim::InFlight => Ok(Next::Again),
        Claim::Committed(entry) => answer_again(machine, number, call, entry),
        Claim::Granted => {
            call.stage = Stage::Claimed(key);
            Ok(Next::Again)
        }
    }
}

/// The id was used: its record is compared with the call.
fn answer_again(machine: &mut Machine, number: u64, call: &mut Call, entry: IdEntry) -> Result<Next, Trouble> {
    let (shard, record) = read_record(machine, entry.position)?;
    let Record::Entry(found) = record else {
        let difference = Some("command".to_owned());
        return Ok(Next::Tells(Answer::Refused { refusal: Refusal::TransactionIdReused, difference, posted_at: None }));
    };
    if !ask_account_id(machine, number, shard, &found) {
        return Ok(refused(Refusal::Overloaded));
    }
    call.stage = Stage::Comparing(found, entry.position);
    Ok(Next::Waits)
}

fn compare(machine: &Machine, request: &Request, entry: Entry, position: Position) -> Answer {
    let kind = kind_of(machine, &request.action);
    // A reversal does not name the account.
    let account_id = request.action.account().cloned().unwrap_or_else(|| entry.command.account_id.as_str().into());
    let transaction_id = request.transaction_id.clone();
    let asked = Command {
        account_id: account_id.into(),
        transaction_id: transaction_id.into(),
        partner: entry.command.partner,
        kind,
        ..Command::default()
    };
    match entry.command.first_difference(&asked) {
        Some(field) => {
            Answer::Refused { refusal: Refusal::TransactionIdReused, difference: Some(field), posted_at: None }
        }
        None => Answer::Done {
            position: Some(position),
            posted_at: entry.posted_at.0,
            decision: Box::new(entry.decision),
            replayed: true,
        },
    }
}

fn find_original(
    machine: &mut Machine,
    number: u64,
    call: &mut Call,
    transaction: IdKey,
    original: &str,
) -> Result<Next, Trouble> {
    let key = machine.hasher.transaction(&call.request.partner, original);
    let found = machine.shared.ids.lookup(key).map_err(|error| machine.judge(&error))?;
    let Some(entry) = found else {
        machine.shared.ids.release(transaction);
        return Ok(refused(Refusal::OriginalUnknown));
    };
    let (shard, record) = read_record(machine, entry.position)?;
    let granted = match &record {
        Record::Entry(entry) => entry.granted(),
        _ => None,
    };
    let (Record::Entry(accrual), Some(granted)) = (record, granted) else {
        machine.shared.ids.release(transaction);
        return Ok(refused(Refusal::NotReversible));
    };
    if !ask_account_id(machine, number, shard, &accrual) {
        machine.shared.ids.release(transaction);
        return Ok(refused(Refusal::Overloaded));
    }
    call.stage = Stage::FindingAccount(transaction, entry.position, Box::new(granted));
    Ok(Next::Waits)
}

fn claim_subject(
    machine: &mut Machine,
    number: u64,
    call: &mut Call,
    transaction: IdKey,
    command: Box<Command>,
) -> Result<Next, Trouble> {
    let ids = ids_of(&machine.hasher, &machine.dictionary, &command);
    if ids.subject == ids.transaction {
        return Ok(hand_over(machine, number, call, ids, *command));
    }
    let index = &machine.shared.ids;
    match claim(machine, ids.subject)? {
        Claim::TooMany => {
            index.release(transaction);
            Ok(refused(Refusal::Overloaded))
        }
        Claim::Committed(_) => {
            index.release(transaction);
            Ok(refused(match command.kind {
                CommandKind::Accrue(_) => Refusal::ReceiptAlreadyEarned,
                CommandKind::Reverse(_) => Refusal::AlreadyReversed,
                _ => unreachable!("no other command has a subject"),
            }))
        }
        Claim::InFlight => {
            if call.keeps_claim {
                call.stage = Stage::Ready(transaction, command);
            } else {
                index.release(transaction);
            }
            Ok(if index.wait(ids.subject, waiter(machine, number)) { Next::Waits } else { Next::Again })
        }
        Claim::Granted => Ok(hand_over(machine, number, call, ids, *command)),
    }
}

fn hand_over(machine: &mut Machine, number: u64, call: &mut Call, ids: ClaimedIds, command: Command) -> Next {
    let shard = shard_of(&command.account_id, machine.identity.shard_count);
    let job = Box::new(CommandJob {
        ticket: number,
        account_hash: account_hash(&command.account_id),
        command,
        stamp: TimestampNs(call.stamp),
        ids,
        deadline_ns: call.deadline_ns,
        outcome: CommandOutcome::default(),
    });
    if let Err(ids) = machine.submit_command(shard, job) {
        ids.claims().for_each(|key| machine.shared.ids.release(key));
        return refused(Refusal::Overloaded);
    }
    call.stage = Stage::Submitted;
    Next::Waits
}

/// Asks the worker for the id of a record's account; false when its queue is full.
fn ask_account_id(machine: &mut Machine, number: u64, shard: ShardId, entry: &Entry) -> bool {
    let outbox = machine.outbox().clone();
    let reply = Box::new(move |id| outbox.push(Message::AccountId(number, id)));
    machine.submit(shard, number, Job::AccountId(shard, entry.account, reply)).is_ok()
}

/// Reads a durable record.
fn read_record(machine: &Machine, position: Position) -> Result<(ShardId, Record), Trouble> {
    let mut found = None;
    let read = machine.journal.read(position, &mut |frame| {
        if let Some(view) = frame.record_at(position)? {
            found = Some((view.shard, decode(view.bytes, &machine.dictionary)));
        }
        Ok(ControlFlow::Break(()))
    });
    read.map_err(|error| machine.judge(&error))?;
    match found {
        Some((shard, Ok(record))) => Ok((shard, record)),
        other => Err(Trouble::Broken(format!("the record at {position} can be read, not {other:?}"))),
    }
}

/// The number of a string, given now if it has none.
///
/// # Panics
/// When the dictionary is full, which a simulation is far from.
pub(super) fn intern(machine: &Machine, text: &str) -> SymbolId {
    machine.dictionary.intern(text, &*machine.control).expect("a simulation has few strings")
}

fn accrual_of(machine: &Machine, request: &Request, account: &str, purchase: &Purchase) -> Command {
    Command {
        account_id: account.into(),
        transaction_id: request.transaction_id.clone().into(),
        partner: intern(machine, &request.partner),
        kind: CommandKind::Accrue(basket_of(machine, purchase)),
        ..Command::default()
    }
}

/// What an action asks, as far as the client says it.
fn kind_of(machine: &Machine, action: &Action) -> CommandKind {
    match action {
        Action::Accrue { purchase, .. } => CommandKind::Accrue(basket_of(machine, purchase)),
        Action::Reverse { original } => CommandKind::Reverse(Reversal {
            original_transaction_id: original.clone(),
            original_position: Position(0),
            original: Granted::default(),
        }),
        Action::Redeem { wallet, units, .. } => {
            let wallet = WalletId(u8::try_from(*wallet).expect("a simulation has few wallets"));
            CommandKind::Redeem(Redemption { wallet, units: *units })
        }
        Action::Act { kind, happened_at, channel, .. } => CommandKind::Act(Activity {
            kind: intern(machine, kind),
            happened_at: TimestampNs(*happened_at),
            channel: intern(machine, channel),
        }),
        Action::Enrol { joins, leaves, .. } => {
            let listed = |names: &[Name]| {
                let mut symbols: Vec<SymbolId> = names.iter().map(|name| intern(machine, name)).collect();
                symbols.sort_unstable();
                symbols
            };
            CommandKind::Enrol(Enrolment { joins: listed(joins), leaves: listed(leaves), ..Enrolment::default() })
        }
        Action::Load { lots, .. } => CommandKind::Load(loading_of(machine, lots)),
        Action::Expire => CommandKind::Expire,
    }
}

fn loading_of(machine: &Machine, lots: &[(LotName, i64)]) -> Loading {
    let lot = |(lot, units): &(LotName, i64)| {
        let key = LotKey {
            wallet: WalletId(u8::try_from(lot.wallet).expect("a simulation has few wallets")),
            issuer: intern(machine, &lot.issuer),
            funding_rate_bps: 0,
            available_from_minute: u32::try_from(lot.available_from).expect("a simulated minute is near"),
            is_extended: lot.is_extended,
            expires_at: TimestampNs(lot.dies),
        };
        (key, *units)
    };
    Loading { lots: lots.iter().map(lot).collect() }
}

fn basket_of(machine: &Machine, purchase: &Purchase) -> Basket {
    let lines = purchase.lines.iter().map(|line| {
        let [sku, category, department, brand, margin_class] =
            [0, 1, 2, 3, 4].map(|n| intern(machine, &line.attributes[n]));
        let item = Item { sku, category, department, brand, margin_class };
        let item_id = machine.dictionary.intern_item(&item, &*machine.control).expect("a simulation has few items");
        Line { item_id, item, quantity: line.quantity, amount_minor: line.amount_minor }
    });
    Basket {
        store: intern(machine, &purchase.store),
        terminal: intern(machine, &purchase.terminal),
        cashier: intern(machine, &purchase.cashier),
        receipt_number: purchase.receipt_number.clone().into(),
        business_day: Day(purchase.business_day),
        receipt_at: TimestampNs(purchase.receipt_at),
        channel: SymbolId::EMPTY,
        payment_method: SymbolId::EMPTY,
        lines: lines.collect(),
    }
}
