//! Reads: quotes and balances.
//!
//! What must stay true: a read shows only what is durable.

use tokio::sync::oneshot;

use super::answer::{self, signed, wallet_name};
use super::auth::Caller;
use super::convert::{self, Looking};
use super::fields::{Fields, Path};
use super::history::wire_lot;
use super::intake::member_key;
use super::sight::Sight;
use super::status::Failure;
use super::view::BasketView;
use super::{Edge, Patience, identifiers, order_fields, times, wire};
use crate::access::table;
use crate::ledger::account::Account;
use crate::ledger::command::{Activity, Basket, CommandKind};
use crate::ledger::decision::{LotKey, Refusal};
use crate::ledger::periods_of;
use crate::ledger::program::{CapMeasure, CapSubject, MetricMeasure, Program, WhenSpent};
use crate::ledger::types::{MemberKey, TimestampNs, Units, WalletId};
use crate::limits;
use crate::shard::job::{AccountJob, AccountView, CommandOutcome, Job, QuoteJob};

impl Edge {
    /// What each of many baskets and activities would earn.
    pub(super) async fn quotes(
        &self,
        caller: &Caller,
        request: wire::QuoteBatchRequest,
    ) -> Result<Vec<wire::Decision>, Failure> {
        let (count, most) = (request.requests.len(), limits::QUOTES_MAX);
        if count == 0 || count > most {
            return Err(Failure::field("requests", format!("There are {count}, but must be 1 to {most}.")));
        }
        caller.charge("requests", count)?;
        // All of them are asked for before the first is waited for.
        let mut asked = Vec::with_capacity(count);
        for one in request.requests {
            asked.push(self.ask_for_quote(caller, one, self.renewed(Patience::Until(0))).await);
        }
        let mut decisions = Vec::with_capacity(count);
        for quote in asked {
            let quoted = match quote {
                Ok(quote) => quote.answer().await,
                Err(failure) => Err(failure),
            };
            decisions.push(match quoted {
                Ok(decision) => decision,
                Err(failure) => match failure.as_refusal() {
                    Some((refusal, violations)) => answer::of_item_failure(refusal, violations),
                    None => return Err(failure),
                },
            });
        }
        Ok(decisions)
    }

    /// What a basket or an activity would earn.
    pub(super) async fn quote(&self, caller: &Caller, request: wire::QuoteRequest) -> Result<wire::Decision, Failure> {
        self.ask_for_quote(caller, request, Patience::None).await?.answer().await
    }

    /// Asks a worker for a quote.
    async fn ask_for_quote(
        &self,
        caller: &Caller,
        mut request: wire::QuoteRequest,
        patience: Patience,
    ) -> Result<Quote, Failure> {
        if let Some(identifier) = request.account_identifier.take() {
            identifiers::check_alone(&identifier, &request.account_id)?;
            match self.resolve_for(caller, self.key_of(&identifier)).await? {
                Some(account_id) => request.account_id = account_id.into(),
                None => return Ok(Quote::Answered(Box::new(answer::refused(self.unresolved(caller), None)))),
            }
        }
        let asked = match &request.activity {
            Some(activity) => self.activity_quoted(caller, activity, order_fields::check_quote(&request)?),
            None => self.basket_quoted(caller, &request),
        };
        let Some(Asked { kind, member, stamp }) = asked? else {
            return Ok(Quote::Answered(Box::new(answer::refused(Refusal::NameLimitReached, None))));
        };
        let shard = self.engine.shard_of(&request.account_id);
        let (told, quoted) = oneshot::channel();
        let job = QuoteJob {
            member,
            account_id: request.account_id.into_boxed_str(),
            partner: caller.principal.symbol,
            kind,
            stamp,
            outcome: CommandOutcome::default(),
            reply: Some(Box::new(move |job| {
                let _ = told.send(job);
            })),
        };
        self.submit(shard, Job::Quote(Box::new(job)), patience).await?;
        Ok(Quote::Asked(quoted))
    }

    /// The basket that a quote is about; `None` when it has names for which there is no room.
    fn basket_quoted(&self, caller: &Caller, request: &wire::QuoteRequest) -> Result<Option<Asked>, Failure> {
        let times = self.with_rules(|rules| convert::check_quote(request, rules))?;
        self.check_deadline(caller)?;
        let view = BasketView::from(request.basket.as_ref().expect("the check requires a basket"));
        caller.check_place(view.store_id, view.terminal_id)?;
        let stamp = self.quote_stamp(times.receipt_at);
        let receipt_at = times.receipt_at.unwrap_or(stamp);
        let business_day = times.business_day.unwrap_or_else(|| self.local_day(receipt_at));
        let names = Looking { dictionary: &self.engine.dictionary };
        let mut basket = Basket::default();
        if convert::fill_basket(&mut basket, &view, receipt_at, business_day, &names).is_err() {
            return Ok(None);
        }
        let member = member_key(&self.engine.hasher, view.member_id);
        Ok(Some(Asked { kind: CommandKind::Accrue(basket), member, stamp }))
    }

    /// The activity that a quote is about.
    fn activity_quoted(
        &self,
        caller: &Caller,
        activity: &wire::Activity,
        happened_at: Option<TimestampNs>,
    ) -> Result<Option<Asked>, Failure> {
        self.check_deadline(caller)?;
        // Whoever may not record it does not learn what it would earn.
        caller.check_row(&table::RECORD_ACTIVITY)?;
        let stamp = self.quote_stamp(happened_at);
        // A kind or a channel that nobody has named gets no number for being asked about.
        let names = Looking { dictionary: &self.engine.dictionary };
        let kind = CommandKind::Act(Activity {
            kind: names.find(&activity.kind),
            happened_at: happened_at.unwrap_or(stamp),
            channel: names.find(&activity.channel),
        });
        let member = member_key(&self.engine.hasher, &activity.member_id);
        Ok(Some(Asked { kind, member, stamp }))
    }

    /// The time at which a quote is judged.
    fn quote_stamp(&self, happened_at: Option<TimestampNs>) -> TimestampNs {
        let stamp = self.engine.read_stamp();
        if self.engine.identity.clock_is_input {
            // The command would bring its own stamp, not before its event.
            return stamp.max(happened_at.unwrap_or(stamp));
        }
        stamp
    }

    /// An account's balances and counters.
    pub(super) async fn balance(
        &self,
        caller: &Caller,
        mut request: wire::GetBalanceRequest,
    ) -> Result<wire::GetBalanceResponse, Failure> {
        self.name_account(caller, &mut request.account_id, request.account_identifier.as_ref()).await?;
        check_account_id(&request.account_id)?;
        self.check_deadline(caller)?;
        let view = self.seen_account(caller, &request.account_id).await?;
        let read_at = view.read_at;
        let settled = view.account.settled(read_at);
        let account = &*settled;
        let wanted = |name: &str| request.wallet.is_empty() || request.wallet == name;
        let program = view.program.as_deref();
        let sight = Sight::of(&caller.principal, program, read_at);
        let mut wallets = program.map_or_else(Vec::new, |program| wallet_balances(program, account, read_at));
        if request.lots {
            for (id, wallet) in wallet_ids(wallets.len()).zip(&mut wallets) {
                let mut alive: Vec<_> = account.alive(id, read_at).collect();
                alive.sort_unstable_by_key(|lot| (lot.key.expires_at, lot.key));
                wallet.lots = alive.iter().map(|lot| wire_lot(&self.engine, &lot.key, lot.remaining)).collect();
            }
        }
        let mut ids = wallet_ids(wallets.len());
        wallets.retain(|wallet| ids.next().is_some_and(|id| sight.sees(id)) && wanted(&wallet.wallet));
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
    pub(super) async fn view(&self, account_id: &str, patience: Patience) -> Result<Option<Box<AccountView>>, Failure> {
        let (told, answer) = oneshot::channel();
        let reply = Box::new(move |view| {
            let _ = told.send(view);
        });
        let job = AccountJob { account_id: account_id.into(), stamp: self.engine.read_stamp(), reply };
        self.submit(self.engine.shard_of(account_id), Job::Account(Box::new(job)), patience).await?;
        answer.await.map_err(|_| Failure::ShuttingDown)
    }
}

/// What a quote is about.
struct Asked {
    kind: CommandKind,
    member: MemberKey,
    stamp: TimestampNs,
}

/// A quote that was asked for.
enum Quote {
    /// There is nothing to wait for.
    Answered(Box<wire::Decision>),
    /// A worker is going to tell.
    Asked(oneshot::Receiver<Box<QuoteJob>>),
}

impl Quote {
    async fn answer(self) -> Result<wire::Decision, Failure> {
        match self {
            Self::Answered(decision) => Ok(*decision),
            Self::Asked(quoted) => {
                let job = quoted.await.map_err(|_| Failure::ShuttingDown)?;
                Ok(answer::of_quote(&job.outcome, &job.kind))
            }
        }
    }
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

pub(super) fn version_number(program: &Program) -> i32 {
    i32::try_from(program.version.0).expect("versions are bounded")
}

/// The numbers of so many wallets.
fn wallet_ids(count: usize) -> impl Iterator<Item = WalletId> {
    (0..count).map(|index| WalletId(u8::try_from(index).expect("wallets are bounded")))
}

/// The balances of all wallets of the programme, in its order, without their lots.
fn wallet_balances(program: &Program, account: &Account, at: TimestampNs) -> Vec<wire::WalletBalance> {
    let settled = account.settled(at);
    let account = &*settled;
    let balance = |id| {
        let totals = account.wallet_totals(id);
        let expiring = expiring_next(account, id, at);
        let owed = account.owed(id);
        let less = if program.when_spent == WhenSpent::Negative { owed } else { 0 };
        wire::WalletBalance {
            wallet: wallet_name(program, id).to_owned(),
            balance_points: account.balance(id, at).saturating_sub(less),
            owed_points: owed,
            granted_points: totals.granted,
            reversed_points: totals.reversed,
            redeemed_points: totals.redeemed,
            expired_points: totals.expired.saturating_add(account.unposted_expiry(id, at)),
            clipped_points: totals.clipped,
            expiring_points: expiring.map_or(0, |(points, _)| points),
            expiring_time: expiring.map(|(_, time)| times::timestamp(time)),
            lots: Vec::new(),
            pending_points: account.balance(id, at) - account.available(id, at) - account.set_aside(id, at),
            available_points: account.available(id, at),
            held_points: account.held_units(id, at),
            set_aside_points: account.set_aside(id, at),
        }
    };
    wallet_ids(program.wallets.len()).map(balance).collect()
}

/// What dies next of a wallet, and when.
fn expiring_next(account: &Account, wallet: WalletId, at: TimestampNs) -> Option<(Units, TimestampNs)> {
    let mortal = || account.alive(wallet, at).filter(|lot| lot.key.expires_at != LotKey::NEVER);
    let next = mortal().map(|lot| lot.key.expires_at).min()?;
    let points = mortal().filter(|lot| lot.key.expires_at == next).map(|lot| lot.remaining).sum();
    Some((points, next))
}

/// The account's lifetime counts.
fn totals(account: &Account) -> wire::AccountTotals {
    wire::AccountTotals {
        basket_count: account.totals.baskets,
        refused_basket_count: account.totals.refused_baskets,
        reversal_count: account.totals.reversals,
        refused_redemption_count: account.totals.refused_redemptions,
    }
}

/// The account's own caps, then the metrics, in the windows that contain the instant.
fn counters(program: &Program, account: &Account, at: TimestampNs) -> Vec<wire::CounterState> {
    let periods = periods_of(account, program, at);
    let caps = program.all_caps().filter(|cap| cap.subject == CapSubject::Account).map(|cap| {
        let period = periods.of(cap.window);
        let unit = match cap.measure {
            CapMeasure::Units => wire::CounterUnit::Points,
            CapMeasure::EarningBaskets => wire::CounterUnit::Baskets,
            CapMeasure::EligibleAmount => wire::CounterUnit::AmountMinor,
        };
        wire::CounterState {
            name: cap.name.clone(),
            period: times::period(cap.window, period),
            value: account.rolling(cap.symbol, period, cap.window.step(), cap.rolling),
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
    let periods = periods_of(account, program, at);
    program.metrics.iter().map(move |metric| {
        let period = periods.of(metric.window);
        let unit = match metric.measure {
            MetricMeasure::EligibleAmount => wire::CounterUnit::AmountMinor,
            MetricMeasure::Units => wire::CounterUnit::Points,
            MetricMeasure::Baskets => wire::CounterUnit::Baskets,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_a_default_and_a_largest_size() {
        assert_eq!(page_size(0), Ok(limits::PAGE_SIZE_DEFAULT));
        assert_eq!(page_size(3), Ok(3));
        assert_eq!(page_size(i32::MAX), Ok(limits::PAGE_SIZE_MAX));
        assert!(page_size(-1).is_err());
    }
}
