//! Reads: quotes, balances, single transactions, and the list of an account's transactions.
//!
//! What must stay true: a read shows only what is durable; transactions of other partners are as if they did not exist;
//! a page token is good for the account that it was given for and for no other.

use std::sync::Arc;

use prost::Message;
use tokio::sync::oneshot;

use super::answer::{self, signed, wallet_name};
use super::auth::{Caller, Principal};
use super::command::{record_at, transaction_of};
use super::convert::{self, Looking};
use super::fields::{Fields, Path};
use super::status::Failure;
use super::view::BasketView;
use super::{Edge, Patience, times, wire};
use crate::journal::JournalError;
use crate::journal::walk::{self, Located};
use crate::ledger::account::Account;
use crate::ledger::command::{Basket, CommandKind};
use crate::ledger::decision::Refusal;
use crate::ledger::program::{CapMeasure, MetricMeasure, Program};
use crate::ledger::types::{Position, SymbolId, TimestampNs, WalletId};
use crate::limits;
use crate::shard::engine::Engine;
use crate::shard::job::{AccountJob, AccountView, CommandOutcome, Job, QuoteJob};

impl Edge {
    /// What a basket would earn.
    pub(super) async fn quote_basket(
        &self,
        caller: &Caller,
        request: wire::QuoteRequest,
    ) -> Result<wire::Decision, Failure> {
        let times = self.with_rules(|rules| convert::check_quote(&request, rules))?;
        self.check_deadline(caller)?;
        let mut stamp = self.read_stamp();
        if self.engine.identity.clock_is_input {
            // The accrual would bring its own stamp, not before its receipt.
            stamp = stamp.max(times.receipt_at.unwrap_or(stamp));
        }
        let receipt_at = times.receipt_at.unwrap_or(stamp);
        let business_day = times.business_day.unwrap_or_else(|| self.local_day(receipt_at));
        let names = Looking { dictionary: &self.engine.dictionary };
        let view = BasketView::from(request.basket.as_ref().expect("the check requires a basket"));
        let mut basket = Basket::default();
        if convert::fill_basket(&mut basket, &view, receipt_at, business_day, &names).is_err() {
            return Ok(answer::refused(Refusal::NameLimitReached, None));
        }
        let shard = self.engine.shard_of(&request.account_id);
        let (told, quoted) = oneshot::channel();
        let job = QuoteJob {
            account_id: request.account_id.into_boxed_str(),
            partner: caller.principal.symbol,
            basket,
            stamp,
            outcome: CommandOutcome::default(),
            reply: Some(Box::new(move |job| {
                let _ = told.send(job);
            })),
        };
        self.submit(shard, Job::Quote(Box::new(job)), Patience::None).await?;
        let job: Box<QuoteJob> = quoted.await.map_err(|_| Failure::ShuttingDown)?;
        Ok(answer::of_quote(&job.outcome, &job.basket))
    }

    /// An account's balances and counters.
    pub(super) async fn balance(
        &self,
        caller: &Caller,
        request: wire::GetBalanceRequest,
    ) -> Result<wire::GetBalanceResponse, Failure> {
        check_account_id(&request.account_id)?;
        self.check_deadline(caller)?;
        let view = self.view(&request.account_id, Patience::None).await?.ok_or(Failure::AccountUnknown)?;
        let (account, read_at) = (&view.account, view.read_at);
        let wanted = |name: &str| request.wallet.is_empty() || request.wallet == name;
        let program = view.program.as_deref();
        let mut wallets = program.map_or_else(Vec::new, |program| wallet_balances(program, account, read_at));
        wallets.retain(|wallet| wanted(&wallet.wallet));
        if wallets.is_empty() && !request.wallet.is_empty() {
            return Err(Failure::field("wallet", "The programme has no wallet of this name."));
        }
        let position = account.position.ok_or_else(|| Failure::internal("a durable account has no position"))?;
        Ok(wire::GetBalanceResponse {
            account_id: request.account_id,
            wallets,
            totals: Some(totals(account)),
            counters: program.map_or_else(Vec::new, |program| counters(program, account, read_at)),
            position: signed(position.0),
            program_version: program.map_or(0, version_number),
            read_time: Some(times::timestamp(read_at)),
        })
    }

    /// A durable copy of an account.
    async fn view(&self, account_id: &str, patience: Patience) -> Result<Option<Box<AccountView>>, Failure> {
        let (told, answer) = oneshot::channel();
        let reply = Box::new(move |view| {
            let _ = told.send(view);
        });
        let job = AccountJob { account_id: account_id.into(), stamp: self.read_stamp(), reply };
        self.submit(self.engine.shard_of(account_id), Job::Account(Box::new(job)), patience).await?;
        answer.await.map_err(|_| Failure::ShuttingDown)
    }

    /// One transaction of the caller's partner.
    pub(super) async fn transaction(
        self: &Arc<Self>,
        caller: &Caller,
        request: wire::GetTransactionRequest,
    ) -> Result<wire::Transaction, Failure> {
        let mut fields = Fields::default();
        let id = request.transaction_id;
        fields.text(Path::Field("transaction_id"), &id, 1, limits::TRANSACTION_ID_BYTES_MAX);
        fields.finish()?;
        let key = self.engine.hasher.transaction(&caller.principal.partner, &id);
        let located = self.blocking(move |engine| look_up(engine, key)).await?.ok_or(Failure::TransactionUnknown)?;
        let entry = located.entry().ok_or(Failure::TransactionUnknown)?;
        let account_id = self.account_id_of(&located, entry).await?;
        let principal = caller.principal.clone();
        self.blocking(move |engine| transaction(engine, &principal, &account_id, &located)).await
    }

    /// A page of an account's transactions, newest first.
    pub(super) async fn transactions(
        &self,
        caller: &Caller,
        request: wire::ListTransactionsRequest,
    ) -> Result<wire::ListTransactionsResponse, Failure> {
        check_account_id(&request.account_id)?;
        let size = page_size(request.page_size)?;
        let token = if request.page_token.is_empty() { None } else { Some(position_of(&request.page_token)?) };
        let view = self.view(&request.account_id, Patience::None).await?.ok_or(Failure::AccountUnknown)?;
        let principal = caller.principal.clone();
        let listed =
            self.blocking(move |engine| list(engine, &principal, &view, token, size)).await?.ok_or_else(bad_token)?;
        Ok(listed)
    }
}

fn bad_token() -> Failure {
    Failure::field("page_token", "It is not a token that this server gave for this list.")
}

pub(super) fn check_account_id(account_id: &str) -> Result<(), Failure> {
    let mut fields = Fields::default();
    fields.text(Path::Field("account_id"), account_id, 1, limits::ACCOUNT_ID_BYTES_MAX);
    fields.finish()
}

/// The number of entries that a page may have.
pub(super) fn page_size(asked: i32) -> Result<usize, Failure> {
    match usize::try_from(asked) {
        Ok(0) => Ok(limits::PAGE_SIZE_DEFAULT),
        Ok(size) => Ok(size.min(limits::PAGE_SIZE_MAX)),
        Err(_) => Err(Failure::field("page_size", "It must not be negative.")),
    }
}

/// A position as a page token. That it belongs to the list is checked when it is read.
fn token_of(position: Position) -> String {
    format!("{:016x}", position.0)
}

fn position_of(token: &str) -> Result<Position, Failure> {
    let digits = token.len() == 16 && token.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = digits.then(|| u64::from_str_radix(token, 16).ok()).flatten();
    number.map(Position).ok_or_else(bad_token)
}

pub(super) fn version_number(program: &Program) -> i32 {
    i32::try_from(program.version.0).expect("versions are bounded")
}

/// The balances of all wallets of the programme, in its order.
fn wallet_balances(program: &Program, account: &Account, at: TimestampNs) -> Vec<wire::WalletBalance> {
    let ids = (0..program.wallets.len()).map(|index| WalletId(u8::try_from(index).expect("wallets are bounded")));
    ids.map(|id| {
        let totals = account.wallet_totals(id);
        let dead = |key: &crate::ledger::decision::LotKey| key.wallet == id && key.expires_at <= at;
        wire::WalletBalance {
            wallet: wallet_name(program, id).to_owned(),
            balance_points: account.balance(id, at),
            granted_points: totals.granted,
            reversed_points: totals.reversed,
            redeemed_points: 0,
            expired_points: account.lots.iter().filter(|lot| dead(&lot.key)).map(|lot| lot.remaining).sum(),
            clipped_points: totals.clipped,
        }
    })
    .collect()
}

/// The account's lifetime counts.
fn totals(account: &Account) -> wire::AccountTotals {
    wire::AccountTotals {
        basket_count: account.totals.baskets,
        refused_basket_count: account.totals.refused_baskets,
        reversal_count: account.totals.reversals,
        refused_redemption_count: 0,
    }
}

/// The caps, then the metrics, in the windows that contain the instant.
fn counters(program: &Program, account: &Account, at: TimestampNs) -> Vec<wire::CounterState> {
    let caps = program.caps.iter().map(|cap| {
        let period = cap.window.period(&program.zone, at);
        let unit = match cap.measure {
            CapMeasure::Units => wire::CounterUnit::Points,
            CapMeasure::EarningBaskets => wire::CounterUnit::Baskets,
        };
        wire::CounterState {
            name: cap.name.clone(),
            period: times::period(cap.window, period),
            value: account.counter(cap.symbol, period),
            limit: Some(cap.limit),
            unit: unit.into(),
        }
    });
    caps.chain(metrics(program, account, at)).collect()
}

/// The metrics in the windows that contain the instant.
fn metrics<'a>(
    program: &'a Program,
    account: &'a Account,
    at: TimestampNs,
) -> impl Iterator<Item = wire::CounterState> + 'a {
    program.metrics.iter().map(move |metric| {
        let period = metric.window.period(&program.zone, at);
        let unit = match metric.measure {
            MetricMeasure::EligibleAmount => wire::CounterUnit::AmountMinor,
        };
        wire::CounterState {
            name: metric.name.clone(),
            period: times::period(metric.window, period),
            value: account.counter(metric.symbol, period),
            limit: None,
            unit: unit.into(),
        }
    })
}

/// An account as exports state it.
#[must_use]
pub fn account_row(program: Option<&Program>, account: &Account, at: TimestampNs) -> wire::AccountRow {
    wire::AccountRow {
        account_id: account.id.to_string(),
        wallets: program.map_or_else(Vec::new, |program| wallet_balances(program, account, at)),
        totals: Some(totals(account)),
        metrics: program.map_or_else(Vec::new, |program| metrics(program, account, at).collect()),
    }
}

/// The record that used an id.
fn look_up(engine: &Engine, key: crate::ids::IdKey) -> Result<Option<Located>, JournalError> {
    let found = engine.shared.ids.lookup(key).map_err(crate::shard::housekeeper::store_error)?;
    found.map_or(Ok(None), |entry| record_at(engine, entry.position))
}

/// Whether a record may be shown to a principal.
fn may_see(principal: &Principal, located: &Located) -> bool {
    located.entry().is_some_and(|entry| entry.command.partner == principal.symbol)
}

/// Walks the account's chain back. `None` when the token does not belong to the account.
fn list(
    engine: &Engine,
    principal: &Principal,
    view: &AccountView,
    token: Option<Position>,
    size: usize,
) -> Result<Option<wire::ListTransactionsResponse>, JournalError> {
    let Some(start) = token.or(view.account.position) else { return Ok(Some(Default::default())) };
    let first = record_at(engine, start)?;
    let mut next = match first {
        Some(located) if belongs_to(engine, &located, view)? => Some(located),
        _ => return Ok(None),
    };
    let mut page = wire::ListTransactionsResponse::default();
    let mut bytes = 0;
    let mut looked_at = 0;
    while let Some(located) = next.take() {
        // Records that are left out count too, so that a page costs a bounded time.
        if looked_at == size || bytes >= limits::PAGE_BYTES_TARGET {
            page.next_page_token = token_of(located.position);
            break;
        }
        looked_at += 1;
        if may_see(principal, &located) {
            let transaction = transaction(engine, principal, &view.account.id, &located)?;
            bytes += transaction.encoded_len();
            page.transactions.push(transaction);
        }
        next = walk::previous(&*engine.journal, &engine.dictionary, &located)?;
    }
    Ok(Some(page))
}

/// Whether a record is one of the account's: it is, if the account's number is right. Numbers are per shard and belong
/// to an account for ever; the account's own newest record tells its number.
fn belongs_to(engine: &Engine, located: &Located, view: &AccountView) -> Result<bool, JournalError> {
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
fn transaction(
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
                let key = engine.hasher.reversal(&principal.partner, &entry.command.transaction_id);
                let reversal = look_up(engine, key)?;
                let id = reversal.as_ref().and_then(|reversal| transaction_of(&reversal.record));
                transaction.reversal_transaction_id = id.map_or_else(String::new, |(id, _)| id.to_owned());
            }
        }
        CommandKind::Reverse(reversal) => {
            transaction.kind = wire::TransactionKind::Reversal.into();
            transaction.original_transaction_id = reversal.original_transaction_id.to_string();
            let original = record_at(engine, reversal.original_position)?;
            original_version = original.as_ref().and_then(Located::entry).map(|original| original.decision.program);
        }
    }
    transaction.decision = Some(answer::of_entry(located, entry, program.as_deref(), original_version));
    Ok(transaction)
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_and_others_are_refused() {
        for position in [0, 7, u64::MAX] {
            assert_eq!(position_of(&token_of(Position(position))), Ok(Position(position)));
        }
        for token in ["7", "000000000000000g", "+00000000000000a", "00000000000000007"] {
            assert!(position_of(token).is_err(), "{token}");
        }
    }

    #[test]
    fn pages_have_a_default_and_a_largest_size() {
        assert_eq!(page_size(0), Ok(limits::PAGE_SIZE_DEFAULT));
        assert_eq!(page_size(3), Ok(3));
        assert_eq!(page_size(i32::MAX), Ok(limits::PAGE_SIZE_MAX));
        assert!(page_size(-1).is_err());
    }
}
