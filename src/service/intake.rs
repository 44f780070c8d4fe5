//! What is done with an accrual before anything is claimed for it: read, checked, named, stamped.
//!
//! What must stay true: nothing is waited for; a request with any wrong field leaves no name behind.

use std::cell::RefCell;
use std::sync::Arc;

use super::auth::Caller;
use super::convert::{self, Giving, Rules};
use super::encode;
use super::names::NameCache;
use super::naming::Naming;
use super::parse;
use super::status::Failure;
use super::view::AccrualView;
use crate::ids::IdHasher;
use crate::journal::dictionary::{Definitions, Dictionary};
use crate::ledger::command::CommandKind;
use crate::ledger::state::account_hash;
use crate::ledger::types::{Day, MemberKey, TimestampNs};
use crate::ledger::zone::utc_day;
use crate::program::registry::Programs;
use crate::shard::job::{ClaimedIds, CommandJob, Decided};

/// Room made for an answer before its command travels, so that the worker need not make any.
const ANSWER_BYTES_RESERVED: usize = 160;
const LINE_BYTES_RESERVED: usize = 32;

/// What is the same for all commands that arrive together.
pub struct Moment {
    /// The versions of the programme.
    pub programs: Arc<Programs>,
    /// The stamp of commands that bring none.
    pub stamp: TimestampNs,
    /// The monotonic clock, for deadlines.
    pub monotonic_ns: i64,
}

/// An accrual that was checked and named, with what the caller left open: it is compared as it was filled in the first
/// time.
#[derive(Clone, Copy)]
pub struct LeftOpen {
    pub(super) receipt_time: bool,
    pub(super) business_date: bool,
}

/// What preparing an accrual needs of a ledger.
#[derive(Clone, Copy)]
pub struct Intake<'a> {
    /// Names ids.
    pub hasher: &'a IdHasher,
    /// Gives numbers to strings.
    pub dictionary: &'a Dictionary,
    /// Takes the definitions of new numbers.
    pub definitions: &'a dyn Definitions,
    /// Whether posting times come from the input.
    pub clock_is_input: bool,
}

impl Intake<'_> {
    /// Reads, checks, names and stamps an `AccrueRequest` as it lies in its bytes, into a job that has been reset. For
    /// benchmarks of the path without its input and output.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn prepare_bytes(
        &self,
        caller: &Caller,
        request: &[u8],
        moment: &Moment,
        known: &mut NameCache,
        job: &mut CommandJob,
    ) -> Result<(), String> {
        let view = parse::accrual(request).map_err(|parse::Unusual| "it is no ordinary accrual".to_owned())?;
        match self.prepare(caller, &view, moment, known, job) {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("the dictionary is full".to_owned()),
            Err(failure) => Err(format!("{failure:?}")),
        }
    }

    /// Checks, names and stamps an accrual; `None` when the dictionary is full.
    pub(super) fn prepare(
        &self,
        caller: &Caller,
        request: &AccrualView<'_>,
        moment: &Moment,
        known: &mut NameCache,
        job: &mut CommandJob,
    ) -> Result<Option<LeftOpen>, Failure> {
        let programs = &*moment.programs;
        let currency = programs.latest().map(|program| program.currency.as_str());
        let times = convert::check_accrual(request, Rules { clock_is_input: self.clock_is_input, currency })?;
        check_deadline_at(caller, moment.monotonic_ns)?;
        let left_open =
            LeftOpen { receipt_time: times.receipt_at.is_none(), business_date: times.business_day.is_none() };
        let basket = request.basket.as_ref().expect("the check requires a basket");
        caller.check_place(basket.store_id, basket.terminal_id)?;
        caller.check_posting_time(times.posting_at)?;
        job.stamp = times.posting_at.unwrap_or(moment.stamp);
        let receipt_at = times.receipt_at.unwrap_or(job.stamp);
        let business_day = times.business_day.unwrap_or_else(|| local_day(programs, receipt_at));
        job.day_by = left_open.business_date.then(|| programs.newest());
        let partner = &*caller.principal.partner;
        let receipt = (basket.store_id, basket.terminal_id, basket.receipt_number);
        let ids = known.ids_of(self.hasher, partner);
        job.ids = ClaimedIds {
            transaction: ids.transaction(request.transaction_id),
            subject: ids.receipt(receipt.0, receipt.1, business_day.0, receipt.2),
            freed: None,
        };
        job.deadline_ns = caller.deadline_ns;
        let known = &RefCell::new(known);
        let naming =
            Naming { dictionary: self.dictionary, definitions: self.definitions, meter: caller.principal.names() };
        let names = Giving { naming, known };
        if let Err(unnamed) = convert::fill_basket(job.basket_mut(), basket, receipt_at, business_day, &names) {
            return unnamed.told().map(|_| None);
        }
        let command = &mut job.command;
        command.account_id.clear();
        command.account_id.push_str(request.account_id);
        job.account_hash = account_hash(request.account_id);
        command.transaction_id.clear();
        command.transaction_id.push_str(request.transaction_id);
        command.partner = caller.principal.symbol;
        command.named_by = request.named_by;
        command.member = member_key(self.hasher, basket.member_id);
        make_room(job);
        Ok(Some(left_open))
    }
}

/// Appends what of the answer can be told before the commit, as the mailboxes of the edge do. For benchmarks of the path
/// without its input and output.
pub fn prepare_answer(decided: &Decided<'_>, out: &mut Vec<u8>) {
    encode::prepare(decided, out);
}

/// Whom a caller means by a member of an account.
pub(super) fn member_key(hasher: &IdHasher, member_id: &str) -> MemberKey {
    if member_id.is_empty() { MemberKey::NONE } else { hasher.member(member_id) }
}

pub(super) fn check_deadline_at(caller: &Caller, now_ns: i64) -> Result<(), Failure> {
    if caller.deadline_ns.is_some_and(|deadline_ns| deadline_ns <= now_ns) {
        return Err(Failure::DeadlineExpired);
    }
    Ok(())
}

/// The local day of a receipt in the zone of the version that is in force at its date.
pub(super) fn local_day(programs: &Programs, receipt_at: TimestampNs) -> Day {
    programs.in_force(receipt_at).map_or_else(|| utc_day(receipt_at), |program| program.zone.day(receipt_at))
}

/// Makes room for what the worker prepares of the answer.
pub(super) fn make_room(job: &mut CommandJob) {
    if let CommandKind::Accrue(basket) = &job.command.kind {
        job.outcome.answer.reserve(ANSWER_BYTES_RESERVED + LINE_BYTES_RESERVED * basket.lines.len());
    }
}
