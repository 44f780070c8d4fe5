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

use super::asked::{intern, kind_of, lines_of, member_of, operation_of};
use super::catalogue::is_known;
use super::facts::{Action, Request};
use super::machine::{Machine, Message, Trouble};
use super::money::GoneBack;
use super::undo::undo;
use crate::ids::{Claim, IdEntry, IdKey};
use crate::journal::Journal;
use crate::journal::record::{Entry, Record, decode};
use crate::ledger::command::{
    AskedReversal, AuthorizationOf, Capture, Command, CommandKind, Granted, Part, Reversal, Unburn,
};
use crate::ledger::decision::{Decision, LotKey, Refusal};
use crate::ledger::money::Refund;
use crate::ledger::operator::{HeldOriginal, OperatorOrder, Restoration};
use crate::ledger::state::{account_hash, shard_of};
use crate::ledger::types::{IdentifierKey, Position, ShardId, TimestampNs, Units};
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
    /// The account of the record that it is about is being asked for.
    FindingAccount(IdKey, Position, Found),
    /// The transaction id is claimed and the command is complete.
    Ready(IdKey, Box<Command>),
    /// A worker has it.
    Submitted,
}

/// What the record that a command is about says of it.
enum Found {
    /// An accrual that is to be reversed.
    Accrual(Box<Granted>),
    /// A burn that is to be reversed.
    Burn,
    /// A transaction whose units are held.
    Held(Box<Granted>),
    /// An authorization.
    Authorization(AuthorizationOf),
    /// A top-up that is to be refunded.
    TopUp,
    /// Lots that died.
    Dead(Vec<(LotKey, Units)>),
}

struct Call {
    request: Arc<Request>,
    /// The account of the identifier that names it, once that is known.
    named: Option<Box<str>>,
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
        let call = Call { request, named: None, stamp, deadline_ns, keeps_claim, stage: Stage::Begin };
        self.calls.insert(number, call);
        self.go_on(machine, number)
    }

    /// Someone asks what a purchase or an activity would earn.
    pub fn quote(
        &mut self,
        machine: &mut Machine,
        number: u64,
        account: &str,
        (partner, member, action): (&str, &str, &Action),
        stamp: i64,
    ) {
        if stamp >= machine.publish_gate {
            // The service lets it wait, as it does commands; here the client asks something else instead.
            self.told.push_back((number, Told::Overloaded));
            return;
        }
        let outbox = machine.outbox().clone();
        let job = Box::new(QuoteJob {
            member: member_of(machine, member),
            account_id: account.into(),
            partner: intern(machine, partner),
            kind: kind_of(machine, action, stamp),
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
            Stage::Begin if call.request.named_by.is_some() && call.named.is_none() => resolve(machine, number, call),
            Stage::Begin if !machine.may_stamp(call.stamp) => {
                self.at_gate.push(number);
                Ok(Next::Waits)
            }
            Stage::Begin => claim_transaction(machine, number, call),
            Stage::Claimed(transaction) => match &call.request.action {
                Action::Reverse { original, .. }
                | Action::Refund(GoneBack { original, .. })
                | Action::Review { original, .. }
                | Action::Capture { original, .. }
                | Action::Void { original } => {
                    let original = original.clone();
                    find_original(machine, number, call, transaction, &original)
                }
                Action::Take(wanted) if !is_known(machine, wanted, call.stamp) => {
                    machine.shared.ids.release(transaction);
                    Ok(refused(Refusal::RewardUnknown))
                }
                Action::Restore { expiry, .. } => find_dead(machine, number, call, transaction, Position(*expiry)),
                action => {
                    let account = call.named.clone().or_else(|| action.account().cloned()).unwrap_or_default();
                    let kind = kind_of(machine, action, call.stamp);
                    let command = command_of(machine, &call.request, account, kind);
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
                let answer = compare(machine, (&call.request, call.stamp), *entry, position);
                self.calls.remove(&number);
                self.told.push_back((number, Told::Command(answer)));
                Ok(())
            }
            Stage::FindingAccount(transaction, position, found) => {
                let is_other = call.request.action.account().is_some_and(|account| *account != id);
                let has_none = matches!(&found, Found::Dead(lots) if lots.is_empty());
                if is_other || has_none {
                    machine.shared.ids.release(transaction);
                    self.calls.remove(&number);
                    let refusal = if is_other { Refusal::OriginalUnknown } else { Refusal::NotRestorable };
                    let answer = Answer::Refused { refusal, difference: None, posted_at: None };
                    self.told.push_back((number, Told::Command(answer)));
                    return Ok(());
                }
                let kind = about(&call.request.action, position, found)?;
                let command = command_of(machine, &call.request, id, kind);
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

fn compare(machine: &Machine, (request, stamp): (&Request, i64), entry: Entry, position: Position) -> Answer {
    let kind = kind_of(machine, &request.action, stamp);
    // A reversal does not name the account.
    let account_id = request.action.account().cloned().unwrap_or_else(|| entry.command.account_id.as_str().into());
    let asked = command_of(machine, request, account_id, kind);
    let difference = match &request.action {
        Action::Reverse { original, lines, units, rewards }
            if matches!(entry.command.kind, CommandKind::Reverse(_) | CommandKind::Unburn(_)) =>
        {
            let (lines, units) = (&*lines_of(lines), *units);
            let asked = AskedReversal { original_transaction_id: original, lines, units, quantity: *rewards };
            asked.first_difference(&entry.command.kind).map(str::to_owned)
        }
        _ => entry.command.first_difference(&asked),
    };
    match difference {
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
    let ends = matches!(call.request.action, Action::Capture { .. } | Action::Void { .. });
    let Some(entry) = found else {
        machine.shared.ids.release(transaction);
        return Ok(refused(if ends { Refusal::AuthorizationUnknown } else { Refusal::OriginalUnknown }));
    };
    let (shard, record) = read_record(machine, entry.position)?;
    let (refusal, releases) = match &call.request.action {
        Action::Review { releases, .. } => (Refusal::NotHeld, Some(*releases)),
        _ if ends => (Refusal::AuthorizationUnknown, None),
        _ => (Refusal::NotReversible, None),
    };
    let found = match &record {
        Record::Entry(found) if ends => found.authorization(entry.position).map(Found::Authorization),
        Record::Entry(found) if matches!(call.request.action, Action::Refund(_)) => {
            found.top_up().map(|_| Found::TopUp)
        }
        Record::Entry(entry) => match releases {
            None if !entry.burned().is_empty() => Some(Found::Burn),
            None => entry.granted().map(|granted| Found::Accrual(Box::new(granted))),
            Some(true) => entry.held().map(|granted| Found::Held(Box::new(granted))),
            Some(false) => entry.rejectable().map(|granted| Found::Held(Box::new(granted))),
        },
        _ => None,
    };
    let (Record::Entry(original), Some(found)) = (record, found) else {
        machine.shared.ids.release(transaction);
        return Ok(refused(refusal));
    };
    if !ask_account_id(machine, number, shard, &original) {
        machine.shared.ids.release(transaction);
        return Ok(refused(Refusal::Overloaded));
    }
    call.stage = Stage::FindingAccount(transaction, entry.position, found);
    Ok(Next::Waits)
}

/// Looks for the lots that died with the record at a position, which is the client's word.
fn find_dead(
    machine: &mut Machine,
    number: u64,
    call: &mut Call,
    transaction: IdKey,
    position: Position,
) -> Result<Next, Trouble> {
    let found = match find_record(machine, position)? {
        Some((shard, Record::Entry(entry))) => Some((shard, entry)),
        _ => None,
    };
    let Some((shard, entry)) = found else {
        machine.shared.ids.release(transaction);
        return Ok(refused(Refusal::OriginalUnknown));
    };
    if !ask_account_id(machine, number, shard, &entry) {
        machine.shared.ids.release(transaction);
        return Ok(refused(Refusal::Overloaded));
    }
    let dead = entry.expired_lots(intern(machine, &call.request.partner));
    call.stage = Stage::FindingAccount(transaction, position, Found::Dead(dead));
    Ok(Next::Waits)
}

/// What is asked about a record that was found.
fn about(action: &Action, position: Position, found: Found) -> Result<CommandKind, Trouble> {
    match (action, found) {
        // What of it is taken back is found out once the original is claimed.
        (Action::Reverse { original, lines, .. }, Found::Accrual(granted)) => Ok(CommandKind::Reverse(Reversal {
            original_transaction_id: original.clone(),
            original_position: position,
            original: *granted,
            part: Part::asked(lines_of(lines)),
        })),
        (Action::Reverse { original, .. }, Found::Burn) => Ok(CommandKind::Unburn(Unburn {
            original_transaction_id: original.clone(),
            original_position: position,
            ..Unburn::default()
        })),
        (Action::Refund(GoneBack { original, units }), Found::TopUp) => {
            let asked = Refund::asked_of(original.clone(), *units);
            Ok(CommandKind::Refund(Box::new(Refund { original_position: position, ..asked })))
        }
        (Action::Review { original, releases, note }, Found::Held(granted)) => {
            let held = HeldOriginal { transaction_id: original.clone(), position, granted: *granted };
            let order = if *releases { OperatorOrder::Release(held) } else { OperatorOrder::Reject(held) };
            Ok(operation_of(note, order))
        }
        (Action::Capture { units, is_last, .. }, Found::Authorization(of)) => {
            Ok(CommandKind::Capture(Capture { of, units: *units, is_final: *is_last }))
        }
        (Action::Void { .. }, Found::Authorization(of)) => Ok(CommandKind::Void(of)),
        (Action::Restore { dies, note, .. }, Found::Dead(lots)) => {
            let restoration = Restoration { expiry: position, expires_at: TimestampNs(*dies), lots };
            Ok(operation_of(note, OperatorOrder::Restore(restoration)))
        }
        _ => Err(Trouble::Broken("what is found is what is looked for".to_owned())),
    }
}

/// Finds the account that an identifier points to. Where it points to none, a command that was decided before gets its
/// first answer, and any other is refused.
fn resolve(machine: &mut Machine, number: u64, call: &mut Call) -> Result<Next, Trouble> {
    let identifier = call.request.named_by.as_ref().expect("the stage says so");
    let key: IdentifierKey = machine.hasher.identifier(&identifier.kind, &identifier.value);
    match last_use(machine, number, key.into())? {
        LastUse::Waits => Ok(Next::Waits),
        LastUse::At(entry) => {
            let (_, record) = read_record(machine, entry.position)?;
            let Record::Entry(entry) = record else {
                return Err(Trouble::Broken(format!("the record of an identifier links it, not {record:?}")));
            };
            let CommandKind::Link(linking) = entry.command.kind else {
                return Err(Trouble::Broken(format!("the record of an identifier links it, not {entry:?}")));
            };
            call.named = Some(linking.account_id);
            Ok(Next::Again)
        }
        LastUse::Free => {
            let own = machine.hasher.transaction(&call.request.partner, &call.request.transaction_id);
            match last_use(machine, number, own)? {
                LastUse::Waits => Ok(Next::Waits),
                LastUse::At(entry) => answer_again(machine, number, call, entry),
                LastUse::Free => Ok(refused(Refusal::IdentifierUnknown)),
            }
        }
    }
}

/// What became of an id.
enum LastUse {
    /// Someone holds it; the call goes on when that is over.
    Waits,
    /// It is used by this record.
    At(IdEntry),
    /// Nobody uses it.
    Free,
}

/// An id is in the index before its claim is dropped, so that of the two looks around the claim one sees it.
fn last_use(machine: &Machine, number: u64, key: IdKey) -> Result<LastUse, Trouble> {
    let ids = &machine.shared.ids;
    let look = || {
        let found = ids.lookup(key).map_err(|error| machine.judge(&error));
        found.map(|found| found.filter(|entry| !entry.freed))
    };
    if let Some(entry) = look()? {
        return Ok(LastUse::At(entry));
    }
    if ids.wait(key, waiter(machine, number)) {
        return Ok(LastUse::Waits);
    }
    Ok(look()?.map_or(LastUse::Free, LastUse::At))
}

/// The command of a request.
fn command_of(machine: &Machine, request: &Request, account_id: Box<str>, mut kind: CommandKind) -> Command {
    if let CommandKind::Link(linking) = &mut kind {
        linking.account_id = account_id.clone();
    }
    let named_by = request.named_by.as_ref();
    Command {
        account_id: account_id.into(),
        transaction_id: request.transaction_id.clone().into(),
        partner: intern(machine, &request.partner),
        named_by: named_by.map(|identifier| machine.hasher.identifier(&identifier.kind, &identifier.value)),
        member: member_of(machine, &request.member),
        kind,
    }
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
    let claimed = match &command.kind {
        // What was taken back in part can be claimed again.
        CommandKind::Reverse(_) | CommandKind::Unburn(_) | CommandKind::Refund(_) => index.claim_again(ids.subject),
        _ => claim(machine, ids.subject)?,
    };
    match claimed {
        Claim::TooMany => {
            index.release(transaction);
            Ok(refused(Refusal::Overloaded))
        }
        Claim::Committed(_) => {
            index.release(transaction);
            Ok(refused(match (&command.kind, &call.request.action) {
                (CommandKind::Accrue(_), _) => Refusal::ReceiptAlreadyEarned,
                (CommandKind::Link(_), _) => Refusal::IdentifierTaken,
                (_, Action::Restore { .. }) => Refusal::AlreadyRestored,
                (_, Action::Review { .. }) => Refusal::AlreadyReviewed,
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
        Claim::Granted => match undo(machine, &call.request.action, *command, ids.subject)? {
            Ok(command) => {
                let ids = ids_of(&machine.hasher, &machine.dictionary, &command);
                Ok(hand_over(machine, number, call, ids, command))
            }
            Err(refusal) => {
                ids.claims().for_each(|key| machine.shared.ids.release(key));
                Ok(refused(refusal))
            }
        },
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
        day_by: None,
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
pub(super) fn read_record(machine: &Machine, position: Position) -> Result<(ShardId, Record), Trouble> {
    let found = find_record(machine, position)?;
    found.ok_or_else(|| Trouble::Broken(format!("there is a record at {position}")))
}

/// The record at a position, if there is one that is durable.
fn find_record(machine: &Machine, position: Position) -> Result<Option<(ShardId, Record)>, Trouble> {
    let mut found = None;
    let read = machine.journal.read(position, &mut |frame| {
        if let Some(view) = frame.record_at(position)? {
            found = Some((view.shard, decode(view.bytes, &machine.dictionary)));
        }
        Ok(ControlFlow::Break(()))
    });
    read.map_err(|error| machine.judge(&error))?;
    match found {
        None => Ok(None),
        Some((shard, Ok(record))) => Ok(Some((shard, record))),
        Some((_, Err(fault))) => Err(Trouble::Broken(format!("the record at {position} can be read, but: {fault}"))),
    }
}
