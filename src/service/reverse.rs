//! The way of a reversal until a worker has it: its own id first, then the original.
//!
//! What must stay true: while a reversal waits for another transaction id, be it its own or the original's, it holds no
//! claim; so two reversals of each other cannot wait for each other. What a part takes back is found out while the original
//! is claimed, so that of two at once the second sees what the first has taken.

use std::sync::Arc;

use super::auth::{Caller, Principal};
use super::command::{Claimed, Held, Ready, Started};
use super::convert;
use super::fields::Path;
use super::intake::make_room;
use super::status::Failure;
use super::{Edge, Patience, wire};
use crate::ids::IdKey;
use crate::journal::record::Entry;
use crate::journal::refunded;
use crate::journal::returned::{self, Undone};
use crate::journal::unburned::unburned;
use crate::journal::walk::Located;
use crate::ledger::command::{AskedReversal, Command, CommandKind, ReturnedLine, Reversal};
use crate::ledger::decision::Refusal;
use crate::ledger::refund::Unreturnable;
use crate::ledger::state::account_hash;
use crate::ledger::types::{Position, TimestampNs};
use crate::recovery::ids_of;
use crate::shard::job::CommandJob;

/// What of an original a reversal gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reversible {
    /// What an accrual granted.
    Accrual,
    /// What a redemption or a capture burned.
    Burn,
    /// Money that was paid in.
    TopUp,
}

impl Reversible {
    /// `None` for what cannot be reversed.
    fn of(entry: &Entry) -> Option<Self> {
        let burns = || (!entry.burned().is_empty()).then_some(Self::Burn);
        let is_paid_in = || entry.top_up().map(|_| Self::TopUp);
        entry.granted().map(|_| Self::Accrual).or_else(burns).or_else(is_paid_in)
    }
}

/// The original of a reversal.
pub(super) enum Original {
    /// The record that used the id.
    Found(Position),
    /// No record ever used the id.
    Unknown,
    /// A command with the id is on its way.
    InFlight,
}

impl Edge {
    /// Starts a reversal.
    pub(super) async fn start_reversal(
        self: &Arc<Self>,
        caller: &Caller,
        request: wire::ReverseRequest,
        patience: Patience,
    ) -> Result<Started, Failure> {
        let posting_at = self.with_rules(|rules| convert::check_reversal(&request, rules))?;
        caller.check_posting_time(posting_at)?;
        self.check_deadline(caller)?;
        let stamp = posting_at.unwrap_or_else(|| self.engine.clock.now());
        self.wait_for_gate(stamp).await?;
        let partner = &*caller.principal.partner;
        let own_key = self.engine.hasher.transaction(partner, &request.transaction_id);
        let original_key = self.engine.hasher.transaction(partner, &request.original_transaction_id);
        loop {
            let own = match self.claim(own_key, patience).await? {
                Claimed::Held(held) => held,
                Claimed::Used(entry) => {
                    let edge = self.clone();
                    let principal = caller.principal.clone();
                    let lookup = async move { edge.repeat_reversal(&principal, entry.position, request).await };
                    return Ok(Started::Lookup(Box::pin(lookup)));
                }
            };
            match self.find_original(original_key)? {
                Original::Found(position) => {
                    let known = (stamp, own, own_key);
                    return self.start_known_reversal(caller, request, known, position, patience).await;
                }
                Original::Unknown => {
                    if caller.principal.held().is_some() {
                        // As much work as an original of another store, so that the time does not tell them apart.
                        self.read_any_record(original_key).await?;
                    }
                    return Ok(Started::Answered(self.refused(Refusal::OriginalUnknown, None)));
                }
                Original::InFlight => {
                    drop(own);
                    self.wait_for_claim(original_key).await?;
                }
            }
        }
    }

    /// Looks for the original without waiting. An id is in the index before its claim is dropped, so of the two looks
    /// around the question whether it is claimed at least one sees a record that there is.
    pub(super) fn find_original(&self, key: IdKey) -> Result<Original, Failure> {
        let ids = &self.engine.shared.ids;
        for _ in 0..2 {
            if let Some(entry) = ids.lookup(key)? {
                return Ok(Original::Found(entry.position));
            }
            if ids.is_claimed(key) {
                return Ok(Original::InFlight);
            }
        }
        Ok(Original::Unknown)
    }

    /// Goes on when the original is on record and our own id is claimed.
    async fn start_known_reversal(
        self: &Arc<Self>,
        caller: &Caller,
        request: wire::ReverseRequest,
        (stamp, own, own_key): (TimestampNs, Held<'_>, IdKey),
        position: Position,
        patience: Patience,
    ) -> Result<Started, Failure> {
        let located = self.record(position).await?;
        if !self.may_reach(&caller.principal, &located) {
            return Ok(Started::Answered(self.refused(Refusal::OriginalUnknown, None)));
        }
        let Some((entry, reversible)) = located.entry().and_then(|entry| Some((entry, Reversible::of(entry)?))) else {
            return Ok(Started::Answered(self.refused(Refusal::NotReversible, None)));
        };
        let original_version = (reversible != Reversible::Burn).then_some(entry.decision.program);
        let account_id = self.account_id_of(&located, entry).await?;
        let partner = &*caller.principal.partner;
        let subject_key = self.engine.hasher.reversal(partner, &request.original_transaction_id);
        let subject = self.claim_again(subject_key, patience).await?;
        let kind = match reversible {
            Reversible::Accrual => self.reversal(located, subject_key, &request).await?,
            Reversible::Burn => self.unburn(located, subject_key, &request).await?,
            Reversible::TopUp => self.refund(located, subject_key, &request).await?,
        };
        let kind = match kind {
            Ok(kind) => kind,
            Err(refused) => return Ok(Started::Answered(refused)),
        };
        let command = Command {
            account_id: account_id.into(),
            transaction_id: request.transaction_id,
            partner: caller.principal.symbol,
            kind,
            ..Command::default()
        };
        let ids = ids_of(&self.engine.hasher, &self.engine.dictionary, &command);
        assert_eq!((ids.transaction, ids.subject), (own_key, subject_key), "what is claimed is what is entered");
        let account_hash = account_hash(&command.account_id);
        let mut job =
            CommandJob { command, account_hash, stamp, ids, deadline_ns: caller.deadline_ns, ..CommandJob::blank() };
        make_room(&mut job);
        self.hand_to_worker(Ready { job: Box::new(job), original_version }, [own, subject], patience).await
    }

    /// The command that takes back what is asked for of an accrual that is claimed, or why that cannot come back.
    async fn reversal(
        &self,
        original: Located,
        subject: IdKey,
        request: &wire::ReverseRequest,
    ) -> Result<Result<CommandKind, Box<wire::Decision>>, Failure> {
        let measures = [("points", request.points), ("quantity", request.quantity)];
        if let Some((field, _)) = measures.into_iter().find(|(_, number)| *number != 0) {
            return Ok(Err(self.not_returned(Refusal::LineUnknown, field)));
        }
        let original_position = original.position;
        Ok(match self.undone(original, subject, request).await? {
            Ok((original, part)) => Ok(CommandKind::Reverse(Reversal {
                original_transaction_id: request.original_transaction_id.as_str().into(),
                original_position,
                original,
                part,
            })),
            Err(unreturnable) => Err(self.unreturnable(&unreturnable, &request.lines)),
        })
    }

    /// The command that gives back what is asked for of a burn that is claimed, or why that cannot come back.
    async fn unburn(
        &self,
        original: Located,
        subject: IdKey,
        request: &wire::ReverseRequest,
    ) -> Result<Result<CommandKind, Box<wire::Decision>>, Failure> {
        let last = self.engine.shared.ids.lookup(subject)?.map(|entry| entry.position);
        let asked = request.clone();
        let position = original.position;
        let left = self
            .blocking(move |engine| {
                let lines = asked_lines(&asked.lines);
                unburned(&*engine.journal, &engine.dictionary, &original, last, &asked_of(&asked, &lines))
            })
            .await?
            .ok_or_else(|| Failure::internal(format_args!("the record at position {position} burned nothing")))?;
        let refused = |(refusal, field): (Refusal, Option<&str>)| self.not_returned(refusal, field.unwrap_or_default());
        Ok(left.map(CommandKind::Unburn).map_err(refused))
    }

    /// The command that gives back what is asked for of a top-up that is claimed, or why that cannot go back.
    async fn refund(
        &self,
        original: Located,
        subject: IdKey,
        request: &wire::ReverseRequest,
    ) -> Result<Result<CommandKind, Box<wire::Decision>>, Failure> {
        if !request.lines.is_empty() {
            return Ok(Err(self.not_returned(Refusal::LineUnknown, "lines[0].line_index")));
        }
        if request.quantity != 0 {
            return Ok(Err(self.not_returned(Refusal::LineUnknown, "quantity")));
        }
        let last = self.engine.shared.ids.lookup(subject)?.map(|entry| entry.position);
        let asked = (request.points != 0).then_some(request.points);
        let position = original.position;
        let left = self
            .blocking(move |engine| refunded::refund(&*engine.journal, &engine.dictionary, &original, last, asked))
            .await?
            .ok_or_else(|| Failure::internal(format_args!("the record at position {position} took no money in")))?;
        Ok(left.map(|refund| CommandKind::Refund(Box::new(refund))).map_err(|refusal| match refusal {
            Refusal::RefundTooLarge => self.not_returned(refusal, "points"),
            _ => self.refused(refusal, None),
        }))
    }

    /// Why something cannot come back, counted, with the field that says so.
    fn not_returned(&self, refusal: Refusal, field: &str) -> Box<wire::Decision> {
        let mut decision = self.refused(refusal, None);
        if let Some(refusal) = &mut decision.refusal {
            refusal.field = field.to_owned();
        }
        decision
    }

    /// What a reversal takes back of an original that is claimed.
    async fn undone(
        &self,
        original: Located,
        subject: IdKey,
        request: &wire::ReverseRequest,
    ) -> Result<Undone, Failure> {
        let position = original.position;
        // The last reversal of it, which leads to those before.
        let last = self.engine.shared.ids.lookup(subject)?.map(|entry| entry.position);
        let asked = asked_lines(&request.lines);
        let undone = self
            .blocking(move |engine| {
                let version = original.entry().map(|entry| entry.decision.program);
                let program =
                    engine.with_programs(|programs| version.and_then(|version| programs.get(version).cloned()));
                let Some(program) = program else { return Ok(None) };
                returned::undone(&*engine.journal, &engine.dictionary, (&original, &*program), last, &asked)
            })
            .await?;
        undone.ok_or_else(|| Failure::internal(format_args!("no version judged the accrual at position {position}")))
    }

    /// Why lines cannot come back, counted, with the field that says so.
    fn unreturnable(&self, unreturnable: &Unreturnable, lines: &[wire::ReturnedLine]) -> Box<wire::Decision> {
        let mut decision = self.refused(unreturnable.refusal, None);
        if let (Some(refusal), Some((place, field))) = (&mut decision.refusal, unreturnable.field) {
            // The caller's own order.
            let place = places(lines).get(place).copied().unwrap_or(place);
            refusal.field = Path::EntryField("lines", place, field).to_string();
        }
        decision
    }

    /// The answer to a reversal whose transaction id is used already.
    async fn repeat_reversal(
        &self,
        principal: &Principal,
        position: Position,
        request: wire::ReverseRequest,
    ) -> Result<wire::Decision, Failure> {
        let located = self.record(position).await?;
        if principal.held().is_some()
            && let Some(position) = located.entry().and_then(|entry| entry.command.kind.reversed())
        {
            let original = self.record(position).await?;
            if !self.may_reach(principal, &original) {
                return Ok(*self.refused(Refusal::OriginalUnknown, None));
            }
        }
        let difference = difference_of(&located, &request);
        match (difference, located.entry()) {
            (None, Some(entry)) => self.repeated(&located, entry).await,
            (difference, _) => Ok(self.reused(difference.unwrap_or("command").to_owned())),
        }
    }
}

/// The field in which a record differs from a reversal that is asked for.
fn difference_of(located: &Located, request: &wire::ReverseRequest) -> Option<&'static str> {
    let lines = asked_lines(&request.lines);
    let asked = asked_of(request, &lines);
    located.entry().map_or(Some("command"), |entry| asked.first_difference(&entry.command.kind))
}

/// What is asked for, with the lines in the order of the basket.
fn asked_of<'a>(request: &'a wire::ReverseRequest, lines: &'a [ReturnedLine]) -> AskedReversal<'a> {
    AskedReversal {
        original_transaction_id: &request.original_transaction_id,
        lines,
        units: (request.points != 0).then_some(request.points),
        quantity: (request.quantity != 0).then_some(request.quantity),
    }
}

/// The lines that are asked for, in the order of the basket. They have been checked.
fn asked_lines(lines: &[wire::ReturnedLine]) -> Vec<ReturnedLine> {
    let line = |line: &wire::ReturnedLine| ReturnedLine {
        line: u32::try_from(line.line_index).unwrap_or(u32::MAX),
        quantity: line.quantity,
        amount_minor: line.amount_minor,
    };
    places(lines).into_iter().filter_map(|place| lines.get(place)).map(line).collect()
}

/// The places of lines in a request, in the order of the basket.
fn places(lines: &[wire::ReturnedLine]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..lines.len()).collect();
    places.sort_by_key(|place| lines.get(*place).map(|line| line.line_index));
    places
}
