//! What happened to accounts: single transactions, and the list of an account's transactions.
//!
//! What must stay true: transactions of other partners are as if they did not exist; a page token is good for the
//! account that it was given for and for no other.

use std::sync::Arc;

use prost::Message;
use prost_types::Timestamp;

use super::answer;
use super::auth::{Caller, Principal};
use super::command::{record_at, transaction_of};
use super::fields::{Fields, Path};
use super::pages::{Pages, bad_token};
use super::read::{check_account_id, page_size};
use super::sight::Sight;
use super::status::Failure;
use super::{Edge, times, wire};
use crate::journal::JournalError;
use crate::journal::record::Entry;
use crate::journal::refunded;
use crate::journal::returned;
use crate::journal::unburned::unburn_of;
use crate::journal::walk::{self, Located};
use crate::ledger::authorization::AuthorizationChange;
use crate::ledger::command::{Basket, CommandKind, Part};
use crate::ledger::decision::{Decision, LotKey, Movement};
use crate::ledger::money::{Refund, TopUp};
use crate::ledger::operator::{Operation, OperatorOrder};
use crate::ledger::program::Program;
use crate::ledger::types::{Position, SymbolId, TimestampNs};
use crate::limits;
use crate::shard::engine::Engine;
use crate::shard::job::AccountView;

impl Edge {
    /// One transaction of the caller's partner.
    pub(super) async fn transaction(
        self: &Arc<Self>,
        caller: &Caller,
        request: wire::GetTransactionRequest,
    ) -> Result<wire::Transaction, Failure> {
        let id = request.transaction_id;
        let mut fields = Fields::default();
        fields.text(Path::Field("transaction_id"), &id, 1, limits::TRANSACTION_ID_BYTES_MAX);
        fields.finish()?;
        let (account_id, located) = self.own_transaction(caller, &id).await?;
        let principal = caller.principal.clone();
        self.blocking(move |engine| transaction(engine, &principal, &account_id, &located)).await
    }

    /// The record of a transaction of the caller's partner that the caller may see, and its account's id.
    pub(super) async fn own_transaction(
        self: &Arc<Self>,
        caller: &Caller,
        transaction_id: &str,
    ) -> Result<(String, Located), Failure> {
        let key = self.engine.hasher.transaction(&caller.principal.partner, transaction_id);
        let found = self.blocking(move |engine| look_up(engine, key)).await?;
        let principal = caller.principal.clone();
        let Some(located) = found else {
            if principal.held().is_some() {
                // As much work as a transaction of another store, so that the time does not tell them apart.
                self.read_any_record(key).await?;
            }
            return Err(Failure::TransactionUnknown);
        };
        let (located, is_seen) = self
            .blocking(move |engine| {
                let is_seen = is_in_reach(engine, &principal, &located)?;
                Ok((located, is_seen))
            })
            .await?;
        let entry = located.entry().filter(|_| is_seen).ok_or(Failure::TransactionUnknown)?;
        let account_id = self.account_id_of(&located, entry).await?;
        Ok((account_id.into_string(), located))
    }

    /// A page of an account's transactions, newest first.
    pub(super) async fn transactions(
        &self,
        caller: &Caller,
        mut request: wire::ListTransactionsRequest,
    ) -> Result<wire::ListTransactionsResponse, Failure> {
        self.name_account(caller, &mut request.account_id, request.account_identifier.as_ref()).await?;
        check_account_id(&request.account_id)?;
        let within = Span::of(request.start_time.as_ref(), request.end_time.as_ref())?;
        let size = page_size(request.page_size)?;
        let partner = caller.principal.partner.clone();
        let pages =
            Pages { hasher: &self.engine.hasher, list: "transactions", partner: &partner, of: &request.account_id };
        let token = pages.position(&request.page_token)?;
        let view = self.seen_account(caller, &request.account_id).await?;
        let principal = caller.principal.clone();
        let listed = self
            .blocking(move |engine| list(engine, &principal, &view, (token, within), size))
            .await?
            .ok_or_else(bad_token)?;
        Ok(listed)
    }
}

/// What a statement covers, by posting time.
#[derive(Clone, Copy)]
struct Span {
    from: TimestampNs,
    /// Exclusive.
    until: TimestampNs,
}

impl Span {
    fn of(start: Option<&Timestamp>, end: Option<&Timestamp>) -> Result<Self, Failure> {
        let instant = |field, time: Option<&Timestamp>, unset| match time {
            None => Ok(unset),
            Some(time) => times::instant(time)
                .ok_or_else(|| Failure::field(field, "It must lie between the years 1678 and 2261.")),
        };
        let from = instant("start_time", start, TimestampNs(i64::MIN))?;
        let until = instant("end_time", end, TimestampNs(i64::MAX))?;
        if from >= until {
            return Err(Failure::field("end_time", "It must lie after start_time."));
        }
        Ok(Self { from, until })
    }
}

impl Edge {
    /// Reads a record that has nothing to do with an id that was never used.
    pub(super) async fn read_any_record(&self, key: crate::ids::IdKey) -> Result<(), Failure> {
        let end = self.engine.progress.durable_end().0;
        let any = Position(u64::from(u32::from_be_bytes([key.0[0], key.0[1], key.0[2], key.0[3]])) % end.max(1));
        self.blocking(move |engine| record_at(engine, any)).await.map(drop)
    }

    /// Whether a principal that is held to stores reaches an original.
    pub(super) fn may_reach(&self, principal: &Principal, original: &Located) -> bool {
        reaches(&self.engine, principal, original)
    }
}

/// Whether a record belongs to the stores of a principal; one that is not held to stores reaches all of its partner's.
fn reaches(engine: &Engine, principal: &Principal, located: &Located) -> bool {
    let Some(grant) = principal.held() else { return true };
    match located.entry().map(|entry| &entry.command.kind) {
        Some(CommandKind::Accrue(basket)) => {
            engine.dictionary.text(basket.store).is_some_and(|store| grant.covers_store(&store))
        }
        Some(CommandKind::TopUp(top_up)) => {
            engine.dictionary.text(top_up.store).is_some_and(|store| grant.covers_store(&store))
        }
        // What the ledger posted by itself belongs to every statement; anything else belongs to no store.
        Some(CommandKind::Expire) => true,
        _ => false,
    }
}

/// As [`reaches`], and reversals where their originals are. Reads the store for these.
pub(super) fn is_in_reach(engine: &Engine, principal: &Principal, located: &Located) -> Result<bool, JournalError> {
    let reversed = located.entry().and_then(|entry| entry.command.kind.reversed());
    let Some(original) = reversed else { return Ok(reaches(engine, principal, located)) };
    if principal.held().is_none() {
        return Ok(true);
    }
    let original = record_at(engine, original)?;
    Ok(original.is_some_and(|original| reaches(engine, principal, &original)))
}

/// The record that used an id.
fn look_up(engine: &Engine, key: crate::ids::IdKey) -> Result<Option<Located>, JournalError> {
    let found = engine.shared.ids.lookup(key).map_err(crate::shard::housekeeper::store_error)?;
    found.map_or(Ok(None), |entry| record_at(engine, entry.position))
}

/// Whether a record may be shown to a principal.
pub(super) fn may_see(principal: &Principal, located: &Located) -> bool {
    // What the ledger posted by itself is nobody's command, and part of every statement.
    let may_see =
        |entry: &Entry| entry.command.partner == principal.symbol || matches!(entry.command.kind, CommandKind::Expire);
    principal.sees_all_partners() || located.entry().is_some_and(may_see)
}

/// Walks the account's chain back. `None` when the token does not belong to the account.
fn list(
    engine: &Engine,
    principal: &Principal,
    view: &AccountView,
    (token, within): (Option<Position>, Span),
    size: usize,
) -> Result<Option<wire::ListTransactionsResponse>, JournalError> {
    let Some(start) = token.or(view.account.position) else { return Ok(Some(Default::default())) };
    let first = record_at(engine, start)?;
    let mut next = match first {
        Some(located) if belongs_to(engine, &located, view)? => Some(located),
        _ => return Ok(None),
    };
    let mut page = wire::ListTransactionsResponse::default();
    let (of, partner) = (&*view.account.id, &*principal.partner);
    let pages = Pages { hasher: &engine.hasher, list: "transactions", partner, of };
    let (mut bytes, mut passed) = (0, 0);
    while let Some(located) = next.take() {
        // An account's posting times never go back.
        let posted_at = located.entry().map_or(within.from, |entry| entry.posted_at);
        if posted_at < within.from {
            break;
        }
        let is_listed =
            posted_at < within.until && may_see(principal, &located) && is_in_reach(engine, principal, &located)?;
        // What is left out takes no place, and begins no page but where so much of it follows that looking on would take long.
        let is_full = page.transactions.len() == size || bytes >= limits::PAGE_BYTES_TARGET;
        if (is_listed && is_full) || passed == limits::PAGE_WALK_MAX {
            page.next_page_token = pages.token(located.position);
            break;
        }
        if is_listed {
            let transaction = transaction(engine, principal, of, &located)?;
            bytes += transaction.encoded_len();
            page.transactions.push(transaction);
        } else {
            passed += 1;
        }
        next = walk::previous(&*engine.journal, &engine.dictionary, &located)?;
    }
    Ok(Some(page))
}

/// Whether a record is one of the account's: it is, if the account's number is right. Numbers are per shard and belong
/// to an account for ever; the account's own newest record tells its number.
pub(super) fn belongs_to(engine: &Engine, located: &Located, view: &AccountView) -> Result<bool, JournalError> {
    let Some(newest) = view.account.position else { return Ok(false) };
    if located.position == newest {
        return Ok(true);
    }
    let newest = record_at(engine, newest)?;
    let number = |located: &Located| located.entry().map(|entry| entry.account);
    let same = newest.is_some_and(|newest| number(&newest) == number(located));
    Ok(located.shard == view.shard && located.entry().is_some() && same)
}

/// A record in the words of the contract. Reads the store for the reversal, and of a reversal for the original.
pub(super) fn transaction(
    engine: &Engine,
    principal: &Principal,
    account_id: &str,
    located: &Located,
) -> Result<wire::Transaction, JournalError> {
    let entry = located.entry().expect("the caller looked");
    let program = engine.with_programs(|programs| programs.get(entry.decision.program).cloned());
    let mut transaction = wire::Transaction {
        transaction_id: entry.command.transaction_id.to_string(),
        account_id: account_id.to_owned(),
        partner: text(engine, entry.command.partner),
        ..wire::Transaction::default()
    };
    let mut original_version = None;
    match &entry.command.kind {
        CommandKind::Accrue(basket) => {
            transaction.kind = wire::TransactionKind::Accrual.into();
            transaction.basket = Some(wire_basket(engine, basket, program.as_deref()));
            if entry.decision.refusal().is_none() {
                let partner = engine.dictionary.text(entry.command.partner).unwrap_or_default();
                let key = engine.hasher.reversal(&partner, &entry.command.transaction_id);
                let last = look_up(engine, key)?;
                let id = last.as_ref().and_then(|last| transaction_of(&last.record));
                transaction.reversal_transaction_id = id.map_or_else(String::new, |(id, _)| id.to_owned());
                transaction.fully_reversed = last.is_some_and(|last| returned::takes_all_of(located, &last));
            }
        }
        CommandKind::Reverse(reversal) => {
            transaction.kind = wire::TransactionKind::Reversal.into();
            transaction.original_transaction_id = reversal.original_transaction_id.to_string();
            add_part(engine, &mut transaction, reversal.part.as_deref())?;
            let original = record_at(engine, reversal.original_position)?;
            original_version = original.as_ref().and_then(Located::entry).map(|original| original.decision.program);
        }
        CommandKind::Unburn(unburn) => {
            transaction.kind = wire::TransactionKind::Reversal.into();
            transaction.original_transaction_id = unburn.original_transaction_id.to_string();
            transaction.reward_quantity = unburn.reward.as_ref().map_or(0, |back| back.quantity);
            let earlier = unburn.earlier.map(|(earlier, _)| earlier);
            transaction.earlier_reversal_transaction_id = earlier_id(engine, earlier)?;
        }
        CommandKind::Redeem(redemption) => {
            transaction.kind = wire::TransactionKind::Redemption.into();
            transaction.redemption_points = redemption.units;
            if let Some(asked) = redemption.reward {
                transaction.reward = text(engine, asked.reward);
                transaction.reward_quantity = asked.quantity;
            }
            transaction.redemption_rate_bps = i64::from(entry.decision.effects.redemption_rate_bps);
            transaction.burned_shares = burned_shares(engine, &entry.decision);
            add_returned(engine, located, entry, &mut transaction)?;
        }
        CommandKind::Authorize(_) | CommandKind::Capture(_) | CommandKind::Void(_) => {
            add_about_authorization(engine, located, entry, &mut transaction)?;
        }
        CommandKind::TopUp(top_up) => add_top_up(engine, located, entry, top_up, &mut transaction)?,
        CommandKind::Refund(refund) => {
            transaction.kind = wire::TransactionKind::Reversal.into();
            transaction.original_transaction_id = refund.original_transaction_id.to_string();
            transaction.top_up_source = refund.source.to_string();
            transaction.earlier_reversal_transaction_id = earlier_id(engine, refund.earlier)?;
            let original = record_at(engine, refund.original_position)?;
            original_version = original.as_ref().and_then(Located::entry).map(|original| original.decision.program);
        }
        CommandKind::Act(activity) => {
            transaction.kind = wire::TransactionKind::Activity.into();
            transaction.activity = Some(wire::Activity {
                kind: text(engine, activity.kind),
                activity_time: Some(times::timestamp(activity.happened_at)),
                channel: text(engine, activity.channel),
                // Of a member only a hash is on record.
                member_id: String::new(),
            });
        }
        CommandKind::Enrol(enrolment) => {
            let texts = |segments: &[SymbolId]| segments.iter().map(|segment| text(engine, *segment)).collect();
            transaction.kind = wire::TransactionKind::Enrolment.into();
            transaction.join_segments = texts(&enrolment.joins);
            transaction.leave_segments = texts(&enrolment.leaves);
        }
        CommandKind::Load(loading) => {
            transaction.kind = wire::TransactionKind::OpeningBalance.into();
            transaction.opening_lots = loading.lots.iter().map(|(key, units)| wire_lot(engine, key, *units)).collect();
        }
        CommandKind::Operate(operation) => add_operation(&mut transaction, operation),
        CommandKind::Link(linking) => {
            transaction.kind = wire::TransactionKind::Identifier.into();
            transaction.identifier_kind = text(engine, linking.kind);
            transaction.identifier_linked = linking.links;
        }
        CommandKind::Expire => transaction.kind = wire::TransactionKind::Expiry.into(),
    }
    if entry.held().is_some() {
        let partner = engine.dictionary.text(entry.command.partner).unwrap_or_default();
        let id = &entry.command.transaction_id;
        transaction.release_transaction_id = id_of(engine, engine.hasher.release(&partner, id))?;
        transaction.reversal_transaction_id = id_of(engine, engine.hasher.reversal(&partner, id))?;
    }
    let mut decision = answer::of_entry(located, entry, program.as_deref(), original_version);
    tell_expiry(engine, principal, entry, program.as_deref(), &mut decision);
    transaction.decision = Some(decision);
    Ok(transaction)
}

/// What died with a record in the account's other wallets, as far as the caller sees these. What the ledger posted by itself
/// is about no wallet that the caller chose: of one that it does not see nothing is told.
fn tell_expiry(
    engine: &Engine,
    principal: &Principal,
    entry: &Entry,
    program: Option<&Program>,
    decision: &mut wire::Decision,
) {
    let elsewhere = answer::expired_elsewhere(&entry.decision);
    let is_own = matches!(entry.command.kind, CommandKind::Expire);
    if elsewhere.is_empty() && !is_own {
        return;
    }
    let at = engine.read_stamp();
    let in_force = engine.with_programs(|programs| programs.in_force(at).or_else(|| programs.latest()).cloned());
    let sight = Sight::of(principal, in_force.as_deref(), at);
    let seen = elsewhere.into_iter().filter(|(wallet, _)| sight.sees(*wallet));
    decision.expired_in_other_wallets.extend(seen.map(|(wallet, points)| {
        let wallet = program.map_or_else(String::new, |program| answer::wallet_name(program, wallet).to_owned());
        wire::ExpiredPoints { wallet, points }
    }));
    if is_own && !sight.sees(entry.decision.wallet) {
        decision.wallet.clear();
        (decision.balance_points, decision.expired_points) = (0, 0);
    }
}

/// What is said of an authorization, a capture or a void.
fn add_about_authorization(
    engine: &Engine,
    located: &Located,
    entry: &Entry,
    transaction: &mut wire::Transaction,
) -> Result<(), JournalError> {
    if let Some(of) = entry.command.kind.authorization() {
        transaction.original_transaction_id = of.transaction_id.to_string();
    }
    let kind = match &entry.command.kind {
        CommandKind::Authorize(asked) => {
            transaction.authorization_points = asked.units;
            transaction.authorization_status = authorization_status(engine, located, entry)?;
            wire::TransactionKind::Authorization
        }
        CommandKind::Capture(capture) => {
            transaction.redemption_points = capture.units;
            transaction.redemption_rate_bps = i64::from(entry.decision.effects.redemption_rate_bps);
            transaction.burned_shares = burned_shares(engine, &entry.decision);
            add_returned(engine, located, entry, transaction)?;
            wire::TransactionKind::Capture
        }
        _ => wire::TransactionKind::Void,
    };
    transaction.kind = kind.into();
    Ok(())
}

/// What became of an authorization: the last capture or void of it says so, or else its time. `None` for one that was
/// refused.
fn authorization_status(
    engine: &Engine,
    located: &Located,
    entry: &Entry,
) -> Result<Option<wire::AuthorizationStatus>, JournalError> {
    let (Some(of), CommandKind::Authorize(asked)) = (entry.authorization(located.position), &entry.command.kind) else {
        return Ok(None);
    };
    let partner = engine.dictionary.text(entry.command.partner).unwrap_or_default();
    let last = look_up(engine, engine.hasher.capture(&partner, &of.transaction_id))?;
    let last = last.as_ref().and_then(Located::entry);
    let changes = last.and_then(|last| last.decision.effects.authorizations.as_deref());
    let is_over = engine.read_stamp() >= of.ends_at;
    let unless_over = if is_over { wire::AuthorizationState::Expired } else { wire::AuthorizationState::Open };
    let (state, captured, rest) = match changes.and_then(|changes| changes.own.as_ref()) {
        Some(AuthorizationChange::Captures { captured, closes: true, .. }) => {
            (wire::AuthorizationState::Captured, *captured, 0)
        }
        Some(AuthorizationChange::Voids { captured, .. }) => (wire::AuthorizationState::Voided, *captured, 0),
        Some(AuthorizationChange::Captures { captured, rest, .. }) => (unless_over, *captured, *rest),
        Some(AuthorizationChange::Begins(..)) | None => (unless_over, 0, asked.units),
    };
    let is_open = state == wire::AuthorizationState::Open;
    Ok(Some(wire::AuthorizationStatus {
        state: state.into(),
        captured_points: captured,
        remaining_points: if is_open { rest } else { 0 },
        expire_time: Some(times::timestamp(of.ends_at)),
        last_transaction_id: last.map_or_else(String::new, |last| last.command.transaction_id.clone()),
    }))
}

/// Which part of its original a reversal took back.
fn add_part(engine: &Engine, transaction: &mut wire::Transaction, part: Option<&Part>) -> Result<(), JournalError> {
    let Some(part) = part else { return Ok(()) };
    transaction.returned_lines.extend(part.lines.iter().map(|line| wire::ReturnedLine {
        line_index: i32::try_from(line.line).expect("a basket's lines are bounded"),
        quantity: line.quantity,
        amount_minor: line.amount_minor,
    }));
    transaction.earlier_reversal_transaction_id = earlier_id(engine, part.earlier)?;
    Ok(())
}

/// The id of an earlier reversal; empty where there is none.
fn earlier_id(engine: &Engine, earlier: Option<Position>) -> Result<String, JournalError> {
    let Some(earlier) = earlier else { return Ok(String::new()) };
    let found = record_at(engine, earlier)?;
    let id = found.as_ref().and_then(|found| transaction_of(&found.record));
    Ok(id.map_or_else(String::new, |(id, _)| id.to_owned()))
}

/// What of a burn has come back.
fn add_returned(
    engine: &Engine,
    located: &Located,
    entry: &Entry,
    transaction: &mut wire::Transaction,
) -> Result<(), JournalError> {
    let partner = engine.dictionary.text(entry.command.partner).unwrap_or_default();
    let last = look_up(engine, engine.hasher.reversal(&partner, &entry.command.transaction_id))?;
    let Some(last) = last.filter(|_| entry.decision.refusal().is_none()) else { return Ok(()) };
    let id = transaction_of(&last.record).map(|(id, _)| id.to_owned());
    transaction.reversal_transaction_id = id.unwrap_or_default();
    if let Some(unburn) = unburn_of(located, &last) {
        transaction.returned_points = unburn.returned();
        transaction.fully_reversed = unburn.is_last;
    }
    Ok(())
}

/// What is said of a top-up, and of what went back of it.
fn add_top_up(
    engine: &Engine,
    located: &Located,
    entry: &Entry,
    top_up: &TopUp,
    transaction: &mut wire::Transaction,
) -> Result<(), JournalError> {
    transaction.kind = wire::TransactionKind::TopUp.into();
    transaction.top_up_amount_minor = top_up.units;
    transaction.top_up_source = top_up.source.to_string();
    transaction.top_up_store_id = text(engine, top_up.store);
    transaction.top_up_terminal_id = text(engine, top_up.terminal);
    if entry.decision.refusal().is_some() {
        return Ok(());
    }
    let partner = engine.dictionary.text(entry.command.partner).unwrap_or_default();
    let last = look_up(engine, engine.hasher.reversal(&partner, &entry.command.transaction_id))?;
    let id = last.as_ref().and_then(|last| transaction_of(&last.record));
    transaction.reversal_transaction_id = id.map_or_else(String::new, |(id, _)| id.to_owned());
    let refund = last.as_ref().and_then(|last| refunded::refund_of(located, last));
    transaction.fully_reversed = refund.is_some_and(Refund::is_last);
    Ok(())
}

/// Whose units a redemption took, in the order in which it did.
fn burned_shares(engine: &Engine, decision: &Decision) -> Vec<wire::BurnedShare> {
    let mut shares: Vec<wire::BurnedShare> = Vec::new();
    let burns = decision.effects.lots.iter().filter(|lot| lot.movement == Movement::Burn);
    for burn in burns {
        let (issuer, funding_rate_bps) = (text(engine, burn.key.issuer), i64::from(burn.key.funding_rate_bps));
        let same =
            shares.iter_mut().find(|share| (&share.issuer, share.funding_rate_bps) == (&issuer, funding_rate_bps));
        match same {
            Some(share) => share.points -= burn.delta,
            None => shares.push(wire::BurnedShare { issuer, points: -burn.delta, funding_rate_bps }),
        }
    }
    shares
}

const SECONDS_PER_MINUTE: i64 = 60;

/// When units that are not held can be spent; of held ones, when they could if they were released. `None` for at once.
pub(super) fn available_time(key: &LotKey) -> Option<prost_types::Timestamp> {
    let minute = key.released().available_from_minute;
    let seconds = i64::from(minute) * SECONDS_PER_MINUTE;
    (minute != 0).then_some(prost_types::Timestamp { seconds, nanos: 0 })
}

/// What an operator asked, in the words of the contract.
fn add_operation(transaction: &mut wire::Transaction, operation: &Operation) {
    transaction.remark = Some(wire::Remark {
        reason_code: operation.remark.reason_code.to_string(),
        note: operation.remark.note.to_string(),
        operator: operation.remark.operator.to_string(),
        actor: operation.remark.actor.to_string(),
        confirmer: operation.remark.confirmer.to_string(),
    });
    let kind = match &operation.order {
        OperatorOrder::Release(original) => {
            transaction.original_transaction_id = original.transaction_id.to_string();
            wire::TransactionKind::Release
        }
        OperatorOrder::Reject(original) => {
            transaction.original_transaction_id = original.transaction_id.to_string();
            wire::TransactionKind::Rejection
        }
        OperatorOrder::Restore(restoration) => {
            transaction.expired_position = Some(answer::signed(restoration.expiry.0));
            wire::TransactionKind::Restoration
        }
        OperatorOrder::Adjust(adjustment) => {
            transaction.adjustment_points = adjustment.units;
            wire::TransactionKind::Adjustment
        }
        OperatorOrder::IssueVoucher(_) => wire::TransactionKind::Voucher,
        OperatorOrder::CancelVoucher(_) => wire::TransactionKind::VoucherCancellation,
    };
    transaction.kind = kind.into();
}

/// The id of the record that used a key.
fn id_of(engine: &Engine, key: crate::ids::IdKey) -> Result<String, JournalError> {
    let found = look_up(engine, key)?;
    let id = found.as_ref().and_then(|found| transaction_of(&found.record));
    Ok(id.map_or_else(String::new, |(id, _)| id.to_owned()))
}

/// A lot in the words of the contract.
pub(super) fn wire_lot(engine: &Engine, key: &LotKey, units: i64) -> wire::Lot {
    let ends = key.expires_at != LotKey::NEVER;
    wire::Lot {
        points: units,
        issuer: text(engine, key.issuer),
        expire_time: ends.then(|| times::timestamp(key.expires_at)),
        available_time: available_time(key),
        held: key.is_held(),
    }
}

fn text(engine: &Engine, symbol: SymbolId) -> String {
    engine.dictionary.text(symbol).map_or_else(String::new, String::from)
}

fn wire_basket(engine: &Engine, basket: &Basket, program: Option<&Program>) -> wire::Basket {
    let line = |line: &crate::ledger::command::Line| wire::Line {
        sku: text(engine, line.item.sku),
        category: text(engine, line.item.category),
        department: text(engine, line.item.department),
        brand: text(engine, line.item.brand),
        margin_class: text(engine, line.item.margin_class),
        quantity: line.quantity,
        amount_minor: line.amount_minor,
    };
    wire::Basket {
        store_id: text(engine, basket.store),
        terminal_id: text(engine, basket.terminal),
        cashier_id: text(engine, basket.cashier),
        receipt_number: basket.receipt_number.to_string(),
        business_date: Some(times::date(basket.business_day)),
        receipt_time: Some(times::timestamp(basket.receipt_at)),
        currency_code: program.map_or_else(String::new, |program| program.currency.clone()),
        lines: basket.lines.iter().map(line).collect(),
        channel: text(engine, basket.channel),
        payment_method: text(engine, basket.payment_method),
        // Of a member only a hash is on record.
        member_id: String::new(),
        voucher_codes: basket.vouchers.iter().map(ToString::to_string).collect(),
    }
}
