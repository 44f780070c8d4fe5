//! `OperatorService`: what a service desk asks, and what it sees of what is held for review.
//!
//! What must stay true: while a command waits for another transaction id, be it its own or the one that it is about, it
//! holds no claim; what is released, rejected or restored claims that, so that it happens once; other partners'
//! transactions are as if they did not exist; the list shows only what is durable.

use std::sync::Arc;

use prost::Message;
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

use super::approval::AskedFor;
use super::auth::Caller;
use super::command::{Claimed, Held, Ready, Started, record_at};
use super::history::available_time;
use super::intake::make_room;
use super::operator_fields::{Asked, Expiry, Stated, Subject, check};
use super::orders::MONEY_NEVER_EXPIRES;
use super::pages::{Pages, bad_token};
use super::read::{check_account_id, page_size};
use super::reverse::Original;
use super::status::Failure;
use super::wire::server::operator_service_server::OperatorService;
use super::{Edge, Patience, Service, answer, batch, times, wire};
use crate::access::proposals::Act;
use crate::ids::IdKey;
use crate::journal::record::Entry;
use crate::journal::walk::Located;
use crate::ledger::command::{Command, CommandKind};
use crate::ledger::decision::{LotKey, Refusal};
use crate::ledger::held::{HeldName, HeldTransaction};
use crate::ledger::operator::{Adjustment, HeldOriginal, Operation, OperatorOrder, Restoration};
use crate::ledger::state::account_hash;
use crate::ledger::types::{AccountNumber, Position, ShardId, SymbolId, TimestampNs, WalletId};
use crate::recovery::ids_of;
use crate::shard::job::{CommandJob, HeldPage, HeldQuery, Job};

#[tonic::async_trait]
impl OperatorService for Service {
    async fn list_held(
        &self,
        request: Request<wire::ListHeldRequest>,
    ) -> Result<Response<wire::ListHeldResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.edge.list_held(&caller, request.into_inner()).await?))
    }

    async fn release_held(
        &self,
        request: Request<wire::ReleaseHeldRequest>,
    ) -> Result<Response<wire::ReleaseHeldResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let signed = Signed::by(&caller);
        let decision = self.edge.operate(&caller, Asked::Release(request.into_inner()), signed).await?;
        Ok(Response::new(wire::ReleaseHeldResponse { decision: Some(decision) }))
    }

    async fn reject_held(
        &self,
        request: Request<wire::RejectHeldRequest>,
    ) -> Result<Response<wire::RejectHeldResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let signed = Signed::by(&caller);
        let decision = self.edge.operate(&caller, Asked::Reject(request.into_inner()), signed).await?;
        Ok(Response::new(wire::RejectHeldResponse { decision: Some(decision) }))
    }

    async fn restore_expired(
        &self,
        request: Request<wire::RestoreExpiredRequest>,
    ) -> Result<Response<wire::RestoreExpiredResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let signed = Signed::by(&caller);
        let decision = self.edge.operate(&caller, Asked::Restore(request.into_inner()), signed).await?;
        Ok(Response::new(wire::RestoreExpiredResponse { decision: Some(decision) }))
    }

    async fn adjust_balance(
        &self,
        request: Request<wire::AdjustBalanceRequest>,
    ) -> Result<Response<wire::AdjustBalanceResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.edge.adjust(&caller, request.into_inner()).await?))
    }

    async fn issue_voucher(
        &self,
        request: Request<wire::IssueVoucherRequest>,
    ) -> Result<Response<wire::IssueVoucherResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.edge.issue_voucher(&caller, request.into_inner()).await?))
    }

    async fn cancel_voucher(
        &self,
        request: Request<wire::CancelVoucherRequest>,
    ) -> Result<Response<wire::CancelVoucherResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let signed = Signed::by(&caller);
        let decision = self.edge.operate(&caller, Asked::CancelVoucher(request.into_inner()), signed).await?;
        Ok(Response::new(wire::CancelVoucherResponse { decision: Some(decision) }))
    }
}

/// Whose credentials a command bears.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    /// Who asks.
    pub actor: Box<str>,
    /// The second person; empty where none is asked.
    pub confirmer: Box<str>,
}

impl Signed {
    /// A command of the caller alone.
    pub(super) fn by(caller: &Caller) -> Self {
        Self { actor: caller.principal.actor().into(), confirmer: Box::default() }
    }
}

/// What a command is about, once it has been looked for.
enum Resolved {
    /// The account, and what is asked.
    Found(Box<str>, OperatorOrder),
    /// It cannot be.
    Refused(Refusal),
    /// Another command with the id that it is about is on its way.
    InFlight(IdKey),
}

impl Edge {
    /// Decides what an operator asks.
    pub(super) async fn operate(
        self: &Arc<Self>,
        caller: &Caller,
        asked: Asked,
        signed: Signed,
    ) -> Result<wire::Decision, Failure> {
        let answered = match self.start_operation(caller, asked, signed).await {
            Ok(started) => started.answer().await,
            Err(failure) => Err(failure),
        };
        batch::decode(&answered.map_err(|failure| self.counted(failure))?)
    }

    /// Adjusts a balance, or proposes to.
    async fn adjust(
        self: &Arc<Self>,
        caller: &Caller,
        request: wire::AdjustBalanceRequest,
    ) -> Result<wire::AdjustBalanceResponse, Failure> {
        let asked = Asked::Adjust(request.clone());
        let waits = self.about.second_person.asks(Act::Adjust);
        if waits && self.decided(caller, &request.transaction_id).await?.is_none() {
            let stated = self.with_rules(|rules| check(asked.clone(), rules))?;
            let stamp = stated.posting_at.unwrap_or_else(|| self.engine.clock.now());
            check_end(&stated.subject, stamp)?;
            self.adjusted_wallet(&request.wallet, stamp, request.expire_time.is_some())?;
            let asked_for = AskedFor { act: Act::Adjust, transaction_id: &request.transaction_id };
            let pending = self.propose(caller, asked_for, request.encode_to_vec()).await?;
            if pending.is_some() {
                return Ok(wire::AdjustBalanceResponse { decision: None, pending });
            }
        }
        let decision = self.operate(caller, asked, Signed::by(caller)).await?;
        Ok(wire::AdjustBalanceResponse { decision: Some(decision), pending: None })
    }

    /// Gives a voucher, or proposes to.
    async fn issue_voucher(
        self: &Arc<Self>,
        caller: &Caller,
        request: wire::IssueVoucherRequest,
    ) -> Result<wire::IssueVoucherResponse, Failure> {
        let asked = Asked::IssueVoucher(request.clone());
        let waits = self.about.second_person.asks(Act::Voucher);
        if waits && self.decided(caller, &request.transaction_id).await?.is_none() {
            let stated = self.with_rules(|rules| check(asked.clone(), rules))?;
            let stamp = stated.posting_at.unwrap_or_else(|| self.engine.clock.now());
            self.voucher_kind(&request.voucher, stamp)?;
            let asked_for = AskedFor { act: Act::Voucher, transaction_id: &request.transaction_id };
            let pending = self.propose(caller, asked_for, request.encode_to_vec()).await?;
            if pending.is_some() {
                return Ok(wire::IssueVoucherResponse { decision: None, pending });
            }
        }
        let decision = self.operate(caller, asked, Signed::by(caller)).await?;
        Ok(wire::IssueVoucherResponse { decision: Some(decision), pending: None })
    }

    async fn start_operation(
        self: &Arc<Self>,
        caller: &Caller,
        asked: Asked,
        signed: Signed,
    ) -> Result<Started, Failure> {
        let mut stated = self.with_rules(|rules| check(asked, rules))?;
        (stated.remark.actor, stated.remark.confirmer) = (signed.actor, signed.confirmer);
        self.check_deadline(caller)?;
        let stamp = stated.posting_at.unwrap_or_else(|| self.engine.clock.now());
        self.wait_for_gate(stamp).await?;
        let own_key = self.engine.hasher.transaction(&caller.principal.partner, &stated.transaction_id);
        loop {
            let own = match self.claim(own_key, Patience::None).await? {
                Claimed::Held(held) => held,
                Claimed::Used(entry) => {
                    let (edge, caller) = (self.clone(), caller.clone());
                    let lookup = async move { edge.repeat_operation(&caller, entry.position, stated).await };
                    return Ok(Started::Lookup(Box::pin(lookup)));
                }
            };
            // Not before: of what was decided once, the end may have passed since.
            check_end(&stated.subject, stamp)?;
            match self.order_meant(caller, &stated, stamp).await? {
                Resolved::Found(account_id, order) => {
                    let command = operation_command(caller, stated, account_id, order);
                    return self.start_resolved(caller, command, stamp, own).await;
                }
                Resolved::Refused(refusal) => return Ok(Started::Answered(self.refused(refusal, None))),
                Resolved::InFlight(key) => {
                    drop(own);
                    self.wait_for_claim(key).await?;
                }
            }
        }
    }

    /// Goes on when what the command is about is known and its own id is claimed.
    async fn start_resolved(
        self: &Arc<Self>,
        caller: &Caller,
        command: Command,
        stamp: TimestampNs,
        own: Held<'_>,
    ) -> Result<Started, Failure> {
        let ids = ids_of(&self.engine.hasher, &self.engine.dictionary, &command);
        let mut claims = vec![own];
        if ids.subject != ids.transaction {
            match self.claim(ids.subject, Patience::None).await? {
                Claimed::Held(held) => claims.push(held),
                Claimed::Used(_) => return Ok(Started::Answered(self.refused(refusal_of_used(&command.kind), None))),
            }
        }
        let account_hash = account_hash(&command.account_id);
        let mut job =
            CommandJob { command, account_hash, stamp, ids, deadline_ns: caller.deadline_ns, ..CommandJob::blank() };
        make_room(&mut job);
        self.hand_to_worker(Ready { job: Box::new(job), original_version: None }, claims, Patience::None).await
    }

    /// Looks for what a command is about. Waits for the disk, and for nothing else.
    async fn order_meant(&self, caller: &Caller, stated: &Stated, stamp: TimestampNs) -> Result<Resolved, Failure> {
        let original_key = |id: &str| self.engine.hasher.transaction(&caller.principal.partner, id);
        match &stated.subject {
            Subject::Release(id) | Subject::Reject(id) => {
                let key = original_key(id);
                let position = match self.find_original(key)? {
                    Original::Found(position) => position,
                    Original::Unknown => return Ok(Resolved::Refused(Refusal::OriginalUnknown)),
                    Original::InFlight => return Ok(Resolved::InFlight(key)),
                };
                let is_release = matches!(stated.subject, Subject::Release(_));
                self.resolve_review(id, position, is_release).await
            }
            Subject::Restore(expiry, expires_at) => {
                let position = match expiry {
                    Expiry::Position(position) => *position,
                    Expiry::Transaction(id) => match self.find_original(original_key(id))? {
                        Original::Found(position) => position,
                        Original::Unknown => return Ok(Resolved::Refused(Refusal::OriginalUnknown)),
                        Original::InFlight => return Ok(Resolved::InFlight(original_key(id))),
                    },
                };
                self.resolve_restoration(caller, &stated.account_id, position, *expires_at).await
            }
            Subject::Adjust { wallet, points, expires_at } => {
                let wallet = self.adjusted_wallet(wallet, stamp, expires_at.is_some())?;
                let adjustment = Adjustment { wallet, units: *points, expires_at: *expires_at };
                let account_id = stated.account_id.as_str().into();
                Ok(Resolved::Found(account_id, OperatorOrder::Adjust(adjustment)))
            }
            Subject::IssueVoucher(name) => {
                let kind = self.voucher_kind(name, stamp)?;
                Ok(Resolved::Found(stated.account_id.as_str().into(), OperatorOrder::IssueVoucher(kind)))
            }
            Subject::CancelVoucher(code) => {
                Ok(Resolved::Found(stated.account_id.as_str().into(), OperatorOrder::CancelVoucher(*code)))
            }
        }
    }

    /// The voucher of a name in the programme that is going to judge.
    fn voucher_kind(&self, name: &str, stamp: TimestampNs) -> Result<SymbolId, Failure> {
        let found = self.engine.with_programs(|programs| {
            let program = programs.in_force(stamp).or_else(|| programs.latest())?;
            program.vouchers.iter().find(|kind| kind.name == name).map(|kind| kind.symbol)
        });
        found.ok_or_else(|| Failure::field("voucher", "The programme has no voucher of this name."))
    }

    /// The wallet of a correction, which states an end or none.
    fn adjusted_wallet(&self, name: &str, stamp: TimestampNs, has_end: bool) -> Result<WalletId, Failure> {
        let wallet = self.wallet(name, stamp)?;
        if has_end && self.holds_money(wallet, stamp) {
            return Err(Failure::field("expire_time", MONEY_NEVER_EXPIRES));
        }
        Ok(wallet)
    }

    async fn resolve_review(&self, id: &str, position: Position, is_release: bool) -> Result<Resolved, Failure> {
        let located = self.record(position).await?;
        let held = |located: &Located| {
            let entry = located.entry()?;
            if is_release { entry.held() } else { entry.rejectable() }
        };
        let Some((entry, granted)) = located.entry().zip(held(&located)) else {
            return Ok(Resolved::Refused(Refusal::NotHeld));
        };
        let account_id = self.account_id_of(&located, entry).await?;
        let original = HeldOriginal { transaction_id: id.into(), position, granted };
        let order = if is_release { OperatorOrder::Release(original) } else { OperatorOrder::Reject(original) };
        Ok(Resolved::Found(account_id, order))
    }

    async fn resolve_restoration(
        &self,
        caller: &Caller,
        account_id: &str,
        position: Position,
        expires_at: TimestampNs,
    ) -> Result<Resolved, Failure> {
        // A position that is the caller's guess is not named by anything durable.
        let located = self.blocking(move |engine| record_at(engine, position)).await?;
        let Some((located, entry)) = located.as_ref().and_then(|located| Some((located, located.entry()?))) else {
            return Ok(Resolved::Refused(Refusal::OriginalUnknown));
        };
        let found_id = self.account_id_of(located, entry).await?;
        if *found_id != *account_id {
            return Ok(Resolved::Refused(Refusal::OriginalUnknown));
        }
        let lots = entry.expired_lots(caller.principal.symbol);
        if lots.is_empty() {
            // A record of others, or in which nothing of the caller's died, is none for the caller.
            let is_own = entry.command.partner == caller.principal.symbol;
            return Ok(Resolved::Refused(if is_own { Refusal::NotRestorable } else { Refusal::OriginalUnknown }));
        }
        let restoration = Restoration { expiry: position, expires_at, lots };
        Ok(Resolved::Found(found_id, OperatorOrder::Restore(restoration)))
    }

    /// The answer to a command whose transaction id is used already.
    async fn repeat_operation(
        &self,
        caller: &Caller,
        position: Position,
        stated: Stated,
    ) -> Result<wire::Decision, Failure> {
        let located = self.record(position).await?;
        let Some(entry) = located.entry() else { return Ok(self.reused("command".to_owned())) };
        match self.difference_from(&located, entry, caller, stated).await? {
            Some(field) => Ok(self.reused(field)),
            None => self.repeated(&located, entry).await,
        }
    }

    /// Whether the record that uses the transaction id of what is asked is of the very same: whoever asks gets its answer.
    pub(super) async fn is_record_of(
        &self,
        position: Position,
        caller: &Caller,
        asked: Asked,
    ) -> Result<bool, Failure> {
        let stated = self.with_rules(|rules| check(asked, rules))?;
        let located = self.record(position).await?;
        let Some(entry) = located.entry() else { return Ok(false) };
        Ok(self.difference_from(&located, entry, caller, stated).await?.is_none())
    }

    /// The first field in which what is asked differs from a record under the same transaction id.
    async fn difference_from(
        &self,
        located: &Located,
        entry: &Entry,
        caller: &Caller,
        stated: Stated,
    ) -> Result<Option<String>, Failure> {
        let names_account = !stated.account_id.is_empty();
        // By the programme of that time: what it named may have gone since.
        let (account_id, order) = match self.order_meant(caller, &stated, entry.posted_at).await {
            Ok(Resolved::Found(account_id, order)) => (account_id, order),
            // What the first command was about is there still, so this one is about something else.
            Ok(Resolved::Refused(_) | Resolved::InFlight(_)) => return Ok(Some("command".to_owned())),
            Err(Failure::Invalid(wrong)) => {
                let field = wrong.into_iter().next().map_or_else(|| "command".to_owned(), |first| first.field);
                return Ok(Some(field));
            }
            Err(other) => return Err(other),
        };
        let command = operation_command(caller, stated, account_id, order);
        let account_id =
            if names_account { self.account_id_of(located, entry).await?.into() } else { command.account_id.clone() };
        let stored = Command { account_id, ..entry.command.clone() };
        Ok(command.first_difference(&stored))
    }

    /// A page of what is held of the caller's partner; of all partners where the caller sees all.
    async fn list_held(
        &self,
        caller: &Caller,
        mut request: wire::ListHeldRequest,
    ) -> Result<wire::ListHeldResponse, Failure> {
        let size = page_size(request.page_size)?;
        self.check_deadline(caller)?;
        self.name_account(caller, &mut request.account_id, None).await?;
        // Without credentials everybody is the configured partner.
        let own = Some(caller.principal.symbol);
        let partner = own.filter(|_| !caller.principal.sees_all_partners());
        let name = if partner.is_some() { &*caller.principal.partner } else { "" };
        let pages = Pages { hasher: &self.engine.hasher, list: "held", partner: name, of: &request.account_id };
        let from = pages.place(&request.page_token)?;
        let from = from.map(|place| Place::parse(&place).ok_or_else(bad_token)).transpose()?;
        let mut page = wire::ListHeldResponse::default();
        if !request.account_id.is_empty() {
            check_account_id(&request.account_id)?;
            let view = self.seen_account(caller, &request.account_id).await?;
            let after = from.map(|place| place.after).unwrap_or_default();
            let held = view.account.held().iter();
            let mut own = held.filter(|one| one.is_of(partner) && one.name() > after).peekable();
            let mut last = HeldName::default();
            for one in own.by_ref().take(size) {
                page.held.push(self.wire_held(&request.account_id, one));
                last = one.name();
            }
            if own.peek().is_some() {
                let place = Place { shard: view.shard, account: AccountNumber(0), after: last };
                page.next_page_token = pages.token_of(&place.bytes());
            }
            return Ok(page);
        }
        let mut place = from.unwrap_or_default();
        while place.shard.0 < self.engine.identity.shard_count {
            let wanted = size - page.held.len();
            if wanted == 0 {
                page.next_page_token = pages.token_of(&place.bytes());
                break;
            }
            let HeldPage { found, next } = self.held_in(partner, &place, wanted).await?;
            page.held.extend(found.iter().map(|(_, account_id, one)| self.wire_held(account_id, one)));
            place = match next {
                Some((account, after)) => Place { account, after, ..place },
                None => Place { shard: ShardId(place.shard.0 + 1), ..Place::default() },
            };
        }
        Ok(page)
    }

    async fn held_in(&self, partner: Option<SymbolId>, place: &Place, count_max: usize) -> Result<HeldPage, Failure> {
        let (told, answer) = oneshot::channel();
        let query = HeldQuery {
            shard: place.shard,
            partner,
            from: (place.account, place.after.clone()),
            count_max,
            reply: Box::new(move |page| {
                let _ = told.send(page);
            }),
        };
        self.submit(place.shard, Job::Held(Box::new(query)), Patience::Unlimited).await?;
        answer.await.map_err(|_| Failure::ShuttingDown)
    }

    fn wire_held(&self, account_id: &str, held: &HeldTransaction) -> wire::HeldTransaction {
        let ends = held.lot.expires_at != LotKey::NEVER;
        let text = |symbol| self.engine.dictionary.text(symbol).map_or_else(String::new, String::from);
        let wallet_name = |wallet: WalletId| {
            self.engine.with_programs(|programs| {
                programs.latest().map_or_else(String::new, |latest| answer::wallet_name(latest, wallet).to_owned())
            })
        };
        wire::HeldTransaction {
            transaction_id: held.transaction_id.to_string(),
            account_id: account_id.to_owned(),
            wallet: wallet_name(held.lot.wallet),
            points: held.units,
            cap: text(held.cap),
            hold_time: Some(times::timestamp(held.held_at)),
            expire_time: ends.then(|| times::timestamp(held.lot.expires_at)),
            available_time: available_time(&held.lot),
            partner: text(held.partner),
        }
    }
}

fn operation_command(caller: &Caller, stated: Stated, account_id: Box<str>, order: OperatorOrder) -> Command {
    Command {
        account_id: account_id.into(),
        transaction_id: stated.transaction_id,
        partner: caller.principal.symbol,
        kind: CommandKind::Operate(Box::new(Operation { remark: stated.remark, order })),
        ..Command::default()
    }
}

/// A time at which units are to die lies in the future.
fn check_end(subject: &Subject, stamp: TimestampNs) -> Result<(), Failure> {
    let end = match subject {
        Subject::Restore(_, expires_at) => Some(*expires_at),
        Subject::Adjust { expires_at, .. } => *expires_at,
        Subject::Release(_) | Subject::Reject(_) | Subject::IssueVoucher(_) | Subject::CancelVoucher(_) => None,
    };
    match end {
        Some(end) if end <= stamp => Err(Failure::field("expire_time", "It must be later than the posting.")),
        _ => Ok(()),
    }
}

/// The refusal of a command whose subject another has used.
fn refusal_of_used(kind: &CommandKind) -> Refusal {
    match kind {
        CommandKind::Operate(operation) if matches!(operation.order, OperatorOrder::Restore(_)) => {
            Refusal::AlreadyRestored
        }
        _ => Refusal::AlreadyReviewed,
    }
}

/// Where a list goes on: in a shard, at an account, after a transaction id of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Place {
    shard: ShardId,
    account: AccountNumber,
    after: HeldName,
}

impl Place {
    fn bytes(&self) -> Vec<u8> {
        let HeldName { partner, transaction_id } = &self.after;
        let numbers = [&self.shard.0.to_be_bytes()[..], &self.account.0.to_be_bytes(), &partner.0.to_be_bytes()];
        [numbers.concat().as_slice(), transaction_id.as_bytes()].concat()
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (shard, rest) = bytes.split_first_chunk()?;
        let (account, rest) = rest.split_first_chunk()?;
        let (partner, transaction_id) = rest.split_first_chunk()?;
        Some(Self {
            shard: ShardId(u16::from_be_bytes(*shard)),
            account: AccountNumber(u32::from_be_bytes(*account)),
            after: HeldName {
                partner: SymbolId(u32::from_be_bytes(*partner)),
                transaction_id: std::str::from_utf8(transaction_id).ok()?.into(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_and_other_bytes_are_none() {
        for after in ["", "sale-17", "ü"] {
            let after = HeldName { partner: SymbolId(7), transaction_id: after.into() };
            let place = Place { shard: ShardId(255), account: AccountNumber(u32::MAX), after };
            assert_eq!(Place::parse(&place.bytes()), Some(place));
        }
        for bytes in [&b""[..], &[0; 9], &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff]] {
            assert_eq!(Place::parse(bytes), None, "{bytes:?}");
        }
    }
}
