//! Clients, and what they hold the ledger to: the oracle outside.
//!
//! A client remembers every command and asks again under the same id until it has a definite answer. Every answer is
//! judged when it leaves, against the durable journal as the model knows it.
//!
//! What must stay true: nothing is believed because the ledger says so; an answer that gets lost on its way was given
//! all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::catalogue::{Wanted, rewards_of};
use super::edge::Answer;
use super::facts::{Action, Name, Posting, Request};
use super::judge::{Event, judge, judge_activity, judge_most};
use super::model::{AccountModel, Broken, Model, must, overflows};
use super::orders::{died, held_by};
use super::partners::refusal_by_rules;
use super::returns::unreturnable;
use super::unburns::burned_by;
use super::vouchers::ByHand;
use crate::ledger::decision::{Decision, Refusal};

/// What is known about a command that clients sent.
#[derive(Debug)]
pub struct Known {
    /// The command.
    pub request: Arc<Request>,
    /// Calls under way with it.
    pub call_count: u32,
    /// A definite answer has arrived.
    pub is_answered: bool,
}

/// What held when a call began.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    /// Every record before this had been processed.
    pub settled: u64,
    /// The stamp.
    pub stamp: i64,
    /// The deadline on the monotonic clock.
    pub deadline_ns: Option<i64>,
    /// The data directory takes its time from the input.
    pub clock_is_input: bool,
    /// What of the stock that it is about could not be taken when it was decided, if that was seen.
    pub taken: Option<i64>,
    /// When the latest freeze or thaw took effect that somebody had been told of, or that was in force at the start.
    pub latest_freeze: Option<i64>,
    /// Freezes and thaws that were honoured when it was decided, if it was: what is refused without a record leaves no time
    /// behind, so one that comes later may lie before it.
    pub freeze_count: Option<usize>,
    /// When it was decided, on the monotonic clock, if it was.
    pub decided_ns: Option<i64>,
}

/// What a client was told about a command with a record.
#[derive(Debug)]
struct Acknowledged {
    posted_at: i64,
    decision: Box<Decision>,
    /// It was told as new, which happens once.
    as_new: bool,
}

/// All commands that were ever sent.
#[derive(Debug, Default)]
pub struct Clients {
    /// In the order of their first sending.
    pub known: Vec<Known>,
    /// Commands without a definite answer and without a call.
    pub unanswered: BTreeSet<usize>,
    /// The calls under way: which command, and what held at the beginning.
    pub calls: BTreeMap<u64, (usize, Begun)>,
    /// What was acknowledged, by partner and id.
    acknowledged: BTreeMap<(Name, Name), Acknowledged>,
    /// Answers are judged by what is in the journal in the end, not when they leave.
    pub outside_only: bool,
    /// Per account, the latest record that any answer has shown.
    pub shown: BTreeMap<Name, u64>,
}

/// How an answer is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// A record, told for the first time.
    New,
    /// A record, told again.
    Again,
    /// Refused for good.
    Refused,
    /// Nothing was consumed; the client tries again.
    TryAgain,
}

impl Clients {
    /// Nobody has asked for anything.
    #[must_use]
    pub fn new(outside_only: bool) -> Self {
        Self { outside_only, ..Self::default() }
    }

    /// A command that was not sent before.
    pub fn add(&mut self, request: Request) -> usize {
        let index = self.known.len();
        self.known.push(Known { request: Arc::new(request), call_count: 0, is_answered: false });
        index
    }

    /// Whether a call that is under way asks for what a record says.
    #[must_use]
    pub fn is_call_for(&self, call: u64, posting: &Posting) -> bool {
        let known = self.calls.get(&call).and_then(|(index, _)| self.known.get(*index));
        let names = |request: &Request| (request.partner.clone(), request.transaction_id.clone());
        known.is_some_and(|known| names(&known.request) == (posting.partner.clone(), posting.transaction_id.clone()))
    }

    /// A call begins.
    pub fn begin(&mut self, call: u64, index: usize, begun: Begun) {
        self.unanswered.remove(&index);
        self.known[index].call_count += 1;
        self.calls.insert(call, (index, begun));
    }

    /// All calls are lost, as the server is.
    pub fn lose_all(&mut self) {
        for (index, _) in std::mem::take(&mut self.calls).into_values() {
            self.known[index].call_count -= 1;
            if !self.known[index].is_answered {
                self.unanswered.insert(index);
            }
        }
    }

    /// Everything that was ever acknowledged is in the journal, and says there what the client was told. That it is
    /// there once is the model's to check.
    ///
    /// # Errors
    /// What was expected.
    pub fn check_acknowledged(&self, model: &Model) -> Result<(), Broken> {
        for ((partner, id), told) in &self.acknowledged {
            let found = model.posted(partner, id);
            let is_there =
                found.is_some_and(|posting| posting.posted_at == told.posted_at && posting.decision == *told.decision);
            must!(is_there, "transaction {id} of {partner} is as it was acknowledged, {told:?}, not {found:?}");
        }
        Ok(())
    }

    /// An answer leaves. It is judged; then it arrives, unless it is lost.
    ///
    /// # Errors
    /// What was expected.
    pub fn told(&mut self, call: u64, answer: &Answer, model: &Model, is_lost: bool) -> Result<Verified, Broken> {
        let Some((index, begun)) = self.calls.remove(&call) else {
            return Err(format!("call {call} is answered once"));
        };
        let request = self.known[index].request.clone();
        let verified = self.verify(&request, &begun, answer, model)?;
        let known = &mut self.known[index];
        known.call_count -= 1;
        known.is_answered |= verified != Verified::TryAgain && !is_lost;
        if !known.is_answered && known.call_count == 0 {
            self.unanswered.insert(index);
        }
        Ok(verified)
    }

    fn verify(&mut self, request: &Request, begun: &Begun, answer: &Answer, model: &Model) -> Result<Verified, Broken> {
        let posted = model.posted(&request.partner, &request.transaction_id);
        match answer {
            Answer::Done { position, posted_at, decision, replayed } => {
                self.acknowledge(request, *posted_at, decision, !replayed)?;
                let is_stamped = *replayed || begun.stamp <= *posted_at;
                must!(is_stamped, "{request:?} is posted at {posted_at}, before it was stamped: {begun:?}");
                must!(*replayed || !begun.is_late(), "{request:?} was decided after its deadline: {begun:?}");
                must!(
                    *replayed || begun.clock_is_input || begun.latest_freeze.is_none_or(|since| since <= *posted_at),
                    "{request:?} was asked after {begun:?}, and is posted before the freeze, at {posted_at}"
                );
                let verified = if *replayed { Verified::Again } else { Verified::New };
                if self.outside_only {
                    return Ok(verified);
                }
                let Some(posting) = posted else {
                    return Err(format!("an answer leaves after its record is durable: {request:?} {answer:?}"));
                };
                must!(
                    position.is_some_and(|position| position.0 == posting.position)
                        && *posted_at == posting.posted_at
                        && **decision == posting.decision,
                    "the answer tells the record {posting:?} and not {answer:?}"
                );
                let difference = request.first_difference(posting);
                must!(difference.is_none(), "{request:?} differs from {posting:?} in {difference:?}");
                must!(*replayed || posting.position >= begun.settled, "{request:?} was answered before it was asked");
                let latest = model.latest_time_of(posting, begun);
                let is_in_time = *replayed || *posted_at <= latest;
                must!(is_in_time, "{request:?} is posted no later than {latest}, not at {posted_at}: {begun:?}");
                if let (Some(identifier), false) = (&request.named_by, replayed) {
                    let owners = model.owners_since(identifier, begun.settled);
                    let was_meant = owners.contains(&Some(&posting.account));
                    must!(was_meant, "{request:?} means one of {owners:?}, not {}", posting.account);
                }
                self.show(&posting.account, posting.seq);
                Ok(verified)
            }
            Answer::Refused { refusal, difference, posted_at } => {
                let was_posted = posted.is_some_and(|posting| posting.position < begun.settled);
                let may_be = matches!(refusal, Refusal::TransactionIdReused | Refusal::Overloaded);
                must!(may_be || !was_posted, "{request:?} is answered from its record, not refused: {refusal:?}");
                // A worker looks at the deadline before everything else.
                let is_due = posted_at.is_some() && begun.is_late();
                let fits = *refusal == Refusal::DeadlineExpired || !is_due;
                must!(fits, "{request:?} is refused for its deadline, not as {refusal:?}: {begun:?}");
                check_refusal(request, begun, *refusal, difference.as_deref(), *posted_at, model)
            }
        }
    }

    /// Remembers what a client was told, and holds it against what was told before.
    fn acknowledge(
        &mut self,
        request: &Request,
        posted_at: i64,
        decision: &Decision,
        as_new: bool,
    ) -> Result<(), Broken> {
        let key = (request.partner.clone(), request.transaction_id.clone());
        let told = Acknowledged { posted_at, decision: Box::new(decision.clone()), as_new };
        let known = self.acknowledged.entry(key);
        let before = match known {
            std::collections::btree_map::Entry::Vacant(vacant) => {
                vacant.insert(told);
                return Ok(());
            }
            std::collections::btree_map::Entry::Occupied(before) => before.into_mut(),
        };
        let is_same = before.posted_at == posted_at && *before.decision == *decision;
        must!(is_same, "{request:?} gets the first answer again, {before:?}, not {told:?}");
        must!(!(as_new && before.as_new), "{request:?} is answered as new once");
        before.as_new |= as_new;
        Ok(())
    }

    /// An answer has shown an account after this record.
    pub fn show(&mut self, account: &Name, seq: u64) {
        let shown = self.shown.entry(account.clone()).or_default();
        *shown = (*shown).max(seq);
    }
}

/// Whether a refusal without a record is right.
fn check_refusal(
    request: &Request,
    begun: &Begun,
    refusal: Refusal,
    difference: Option<&str>,
    posted_at: Option<i64>,
    model: &Model,
) -> Result<Verified, Broken> {
    let posted = model.posted(&request.partner, &request.transaction_id);
    let verified = if refusal.is_transient() { Verified::TryAgain } else { Verified::Refused };
    let is_right = match (refusal, &request.action) {
        (Refusal::TransactionIdReused, _) => match posted {
            Some(posting) => request.first_difference(posting).as_deref() == difference,
            None => model.publication_ids.contains_key(&(request.partner.clone(), request.transaction_id.clone())),
        },
        (Refusal::ReceiptAlreadyEarned, Action::Accrue { purchase, .. }) => {
            let events = model.receipts.get(&purchase.receipt(&request.partner)).map_or(&[][..], Vec::as_slice);
            let since = events.partition_point(|event| event.position < begun.settled);
            let (before, since) = events.split_at(since);
            before.last().is_some_and(|last| last.taken) || since.iter().any(|event| event.taken)
        }
        (Refusal::AlreadyReversed, Action::Reverse { original, .. }) => {
            model.is_gone(&(request.partner.clone(), original.clone()))
        }
        (
            Refusal::OriginalUnknown | Refusal::NotReversible | Refusal::AlreadyReversed | Refusal::RefundTooLarge,
            Action::Refund(asked),
        ) => model.may_refuse_refund(&request.partner, asked, refusal, begun.settled),
        (Refusal::LineUnknown | Refusal::ReturnTooLarge, Action::Reverse { original, .. }) => {
            let found = model.posted(&request.partner, original);
            found.is_some_and(|found| is_unreturnable(model, found, &request.action, refusal))
        }
        (Refusal::ReturnHeld, Action::Reverse { original, lines, .. }) => {
            let key = (request.partner.clone(), original.clone());
            let released = model.released.get(&key).and_then(|index| model.postings.get(*index));
            let was_held = model.posted(&request.partner, original).is_some_and(|bought| held_by(bought).is_some());
            was_held && !lines.is_empty() && released.is_none_or(|released| released.position >= begun.settled)
        }
        (Refusal::OriginalUnknown, Action::Reverse { original, .. } | Action::Review { original, .. }) => {
            model.posted(&request.partner, original).is_none_or(|posting| posting.position >= begun.settled)
        }
        (Refusal::NotReversible, Action::Reverse { original, .. }) => {
            let of = (request.partner.clone(), original.clone());
            let posted = model.posted(&request.partner, original);
            model.publication_ids.contains_key(&of)
                || posted.is_some_and(|posting| !is_granted_accrual(posting) && burned_by(posting).is_empty())
        }
        (_, Action::Review { .. } | Action::Restore { .. } | Action::Link { .. }) | (Refusal::IdentifierUnknown, _)
            if is_about_once(refusal) =>
        {
            is_right_of_order(request, begun, refusal, posted_at, model)
        }
        (
            Refusal::AuthorizationUnknown
            | Refusal::AuthorizationClosed
            | Refusal::AuthorizationExpired
            | Refusal::CaptureExceedsAuthorization,
            action,
        ) => {
            let asked = match action {
                Action::Capture { original, units, .. } => Some((original, *units)),
                Action::Void { original } => Some((original, 0)),
                _ => None,
            };
            let when = (begun.settled, posted_at);
            asked.is_some_and(|asked| model.may_refuse_ending(&request.partner, asked, refusal, when))
        }
        (
            Refusal::RewardUnknown
            | Refusal::RewardNotOffered
            | Refusal::RewardPriceDiffers
            | Refusal::RewardOutOfStock,
            Action::Take(wanted),
        ) => model.may_refuse_reward(wanted, refusal, (begun.stamp, posted_at), begun.taken),
        (refusal, action) if is_about_vouchers(refusal) => posted_at.is_some_and(|posted_at| {
            let owners = |identifier| model.owners_since(identifier, begun.settled).into_iter().flatten().cloned();
            let accounts: Vec<Name> = match &request.named_by {
                Some(identifier) => owners(identifier).collect(),
                None => action.account().cloned().into_iter().collect(),
            };
            let of = (&request.partner, &*accounts);
            model.may_refuse_vouchers(of, action, refusal, (begun.settled, posted_at))
        }),
        (Refusal::Overloaded, _) => true,
        (Refusal::DeadlineExpired, _) => begun.is_late(),
        (Refusal::PostingTimeRegressed, _) => {
            begun.clock_is_input && posted_at.is_some_and(|posted_at| posted_at > begun.stamp)
        }
        (
            Refusal::AccountUnknown,
            Action::Redeem { account, .. }
            | Action::Take(Wanted { account, .. })
            | Action::Adjust { account, .. }
            | Action::Authorize { account, .. }
            | Action::Voucher(ByHand { account, .. }),
        ) if request.named_by.is_none() => {
            let opened = model.accounts.get(account).and_then(|states| states.first());
            opened.is_none_or(|first| first.position >= begun.settled)
        }
        _ => is_right_by_rules(request, begun, refusal, posted_at, model)?,
    };
    let told = (difference, posted_at);
    must!(is_right, "{request:?} is not refused as {refusal:?} {told:?}; {begun:?}; posted: {posted:?}");
    Ok(verified)
}

/// Whether something cannot come back for this reason: what is left only becomes less.
fn is_unreturnable(model: &Model, bought: &Posting, asked: &Action, refusal: Refusal) -> bool {
    let Action::Reverse { lines, units, rewards, .. } = asked else { return false };
    if !burned_by(bought).is_empty() {
        let left = model.left_of_burn(&(bought.partner.clone(), bought.transaction_id.clone()));
        return match refusal {
            Refusal::LineUnknown => {
                let wrong = if rewards_of(bought).is_some() { units } else { rewards };
                !lines.is_empty() || wrong.is_some()
            }
            _ => {
                let price = rewards_of(bought).map_or(1, |(_, price)| price);
                units.or(rewards.map(|count| count * price)).is_some_and(|units| units > left)
            }
        };
    }
    let Action::Accrue { purchase, .. } = &bought.action else { return false };
    if units.or(*rewards).is_some() {
        return refusal == Refusal::LineUnknown;
    }
    unreturnable(purchase, &model.stands(bought).left, lines) == Some(refusal)
}

fn is_about_vouchers(refusal: Refusal) -> bool {
    matches!(
        refusal,
        Refusal::VoucherUnknown
            | Refusal::VoucherUsed
            | Refusal::VoucherExpired
            | Refusal::VoucherNotYetValid
            | Refusal::VoucherMinimumNotReached
            | Refusal::VoucherCancelled
    )
}

/// Refusals of what happens once, and of identifiers.
fn is_about_once(refusal: Refusal) -> bool {
    matches!(
        refusal,
        Refusal::OriginalUnknown
            | Refusal::NotHeld
            | Refusal::AlreadyReviewed
            | Refusal::NotRestorable
            | Refusal::AlreadyRestored
            | Refusal::IdentifierTaken
            | Refusal::IdentifierUnknown
    )
}

/// Whether such a refusal is right.
fn is_right_of_order(
    request: &Request,
    begun: &Begun,
    refusal: Refusal,
    posted_at: Option<i64>,
    model: &Model,
) -> bool {
    let by_record = |position: u64| model.postings.iter().find(|posting| posting.position == position);
    let key = |original: &Name| (request.partner.clone(), original.clone());
    match (refusal, &request.action) {
        (Refusal::NotHeld, Action::Review { original, .. }) => {
            let is_publication = model.publication_ids.contains_key(&key(original));
            let posted = model.posted(&request.partner, original);
            is_publication || posted.is_some_and(|posting| held_by(posting).is_none())
        }
        (Refusal::AlreadyReviewed, Action::Review { original, .. }) => {
            model.reversed.contains_key(&key(original)) || model.released.contains_key(&key(original))
        }
        (Refusal::OriginalUnknown, Action::Restore { account, expiry, .. }) => {
            let found = by_record(*expiry).filter(|posting| posting.account == *account);
            found.is_none_or(|posting| posting.position >= begun.settled)
        }
        (Refusal::NotRestorable, Action::Restore { expiry, dies, .. }) => {
            let has_none = by_record(*expiry).is_some_and(|posting| died(posting, &request.partner).is_empty());
            has_none || posted_at.is_some_and(|posted_at| posted_at >= *dies)
        }
        (Refusal::AlreadyRestored, Action::Restore { expiry, .. }) => {
            model.restored.contains_key(&(request.partner.clone(), *expiry))
        }
        (Refusal::IdentifierTaken, Action::Link { identifier, links: true, .. }) => {
            model.owners_since(identifier, begun.settled).iter().any(Option::is_some)
        }
        (Refusal::IdentifierUnknown, action) => {
            let owners = |identifier| model.owners_since(identifier, begun.settled);
            let points_to_none = request.named_by.as_ref().is_some_and(|named| owners(named).contains(&None));
            let is_others = match action {
                Action::Link { account, identifier, links: false } => {
                    owners(identifier).iter().any(|owner| *owner != Some(account))
                }
                _ => false,
            };
            points_to_none || is_others
        }
        _ => false,
    }
}

fn is_granted_accrual(posting: &Posting) -> bool {
    matches!(posting.action, Action::Accrue { .. }) && posting.verdict.refusal.is_none()
}

/// Refusals by the rules, which a worker gives.
fn is_right_by_rules(
    request: &Request,
    begun: &Begun,
    refusal: Refusal,
    posted_at: Option<i64>,
    model: &Model,
) -> Result<bool, Broken> {
    let Some(posted_at) = posted_at else { return Ok(false) };
    must!(posted_at >= begun.stamp, "nothing is posted before it was stamped, at {}", begun.stamp);
    let happened_at = match &request.action {
        Action::Accrue { purchase, .. } => purchase.receipt_at,
        Action::Act { happened_at, .. } => *happened_at,
        _ => posted_at,
    };
    let Some((version, rules)) = model.version_at(happened_at.min(posted_at)) else {
        return Ok(refusal == Refusal::ProgramNotInForce);
    };
    let unnamed = Name::default();
    let of_account = request.action.account().unwrap_or(&unnamed);
    let freezes = model.freezes.first(begun.freeze_count.unwrap_or(usize::MAX));
    let frozen = freezes.refusal(&request.partner, of_account, &request.action, posted_at);
    let expected = refusal_by_rules(rules, &request.partner, &request.action, happened_at, posted_at, frozen);
    if expected.is_some() || refusal != Refusal::BalanceLimitExceeded {
        return Ok(expected == Some(refusal));
    }
    // Only an account that does not exist is refused for its balance without a record.
    let unopened = AccountModel::default();
    if let Action::Load { lots, .. } = &request.action {
        return Ok(overflows(rules, &unopened, lots, posted_at));
    }
    if let Action::TopUp(paid) = &request.action {
        let paid = [(rules.money_lot(&request.partner), paid.units)];
        return Ok(overflows(rules, &unopened, &paid, posted_at));
    }
    let (account, issuers, partner) = (&unopened, &model.issuers, &*request.partner);
    let account_id = request.action.account().map_or("", |account| &**account);
    let (member, transaction_id) = (&*request.member, &*request.transaction_id);
    let event =
        Event { rules, version, account, account_id, issuers, partner, member, happened_at, posted_at, transaction_id };
    if !matches!(request.action, Action::Accrue { .. } | Action::Act { .. }) {
        return Ok(false);
    }
    let verdict = judge_most(&event, |event, rooms| match &request.action {
        Action::Act { kind, .. } => judge_activity(event, kind, rooms),
        Action::Accrue { purchase, .. } => judge(event, purchase, rooms),
        _ => Err("only these grant".to_owned()),
    })?;
    let (_, balance_max) = rules.wallets[rules.earn_wallet];
    Ok(verdict.balance_after > balance_max)
}
