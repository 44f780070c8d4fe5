//! `SettlementService`: what partners have issued and taken, and how far budgets are used.
//!
//! What must stay true: a report is of one position over all shards; what of another partner is not told is not there;
//! commands do not wait for a report.

use std::ops::ControlFlow;

use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

use super::answer::{signed, wallet_name};
use super::auth::{Caller, Principal};
use super::read::version_number;
use super::status::Failure;
use super::wire::server::settlement_service_server::SettlementService;
use super::{Edge, Patience, Service, times, wire};
use crate::audit::settlement::{Settlement, advance, settle};
use crate::journal::dictionary::Dictionary;
use crate::ledger::program::{Budget, Periods, Program};
use crate::ledger::types::{Day, Position, ShardId, SymbolId, Units, WalletId};
use crate::shard::job::Job;
use crate::shard::tickets::Ticket;

#[tonic::async_trait]
impl SettlementService for Service {
    async fn get_settlement_report(
        &self,
        request: Request<wire::GetSettlementReportRequest>,
    ) -> Result<Response<wire::GetSettlementReportResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.edge.settlement_report(&caller, request.into_inner().position).await?))
    }

    async fn list_budgets(
        &self,
        request: Request<wire::ListBudgetsRequest>,
    ) -> Result<Response<wire::ListBudgetsResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let (budgets, latest_change) = self.edge.budgets(&caller.principal);
        self.edge.is_durable(latest_change).await?;
        Ok(Response::new(budgets))
    }
}

impl Edge {
    async fn settlement_report(
        &self,
        caller: &Caller,
        position: Option<i64>,
    ) -> Result<wire::GetSettlementReportResponse, Failure> {
        let settlement = match position {
            None => self.settlement_now().await?,
            Some(position) => self.settlement_at(position).await?,
        };
        let own = own_partner(&caller.principal);
        let program = self.engine.with_programs(|programs| programs.latest().cloned());
        Ok(wire_report(&settlement, &self.engine.dictionary, program.as_deref(), own))
    }

    /// All that is durable: each shard says how it stands, and the journal what came since.
    async fn settlement_now(&self) -> Result<Settlement, Failure> {
        // Whatever a shard does not have when it answers is behind this.
        let from = self.engine.progress.durable_end();
        let mut answers = Vec::new();
        for index in 0..self.engine.worker_count() {
            let (told, answer) = oneshot::channel();
            let reply = Box::new(move |standings| {
                let _ = told.send(standings);
            });
            // The shards are dealt round, so the first ones stand for the workers.
            let shard = ShardId(u16::try_from(index).expect("workers are few"));
            self.submit(shard, Job::Settle(reply), Patience::Unlimited).await?;
            answers.push(answer);
        }
        let mut standings = Vec::with_capacity(usize::from(self.engine.identity.shard_count));
        for answer in answers {
            standings.extend(answer.await.map_err(|_| Failure::ShuttingDown)?);
        }
        standings.sort_unstable_by_key(|(shard, _)| *shard);
        let mut shards: Vec<_> = standings.into_iter().map(|(_, standing)| standing).collect();
        // What they answered is durable, so nothing of it lies behind this.
        let end = self.engine.progress.durable_end();
        self.blocking(move |engine| {
            advance(&*engine.journal, &engine.dictionary, &mut shards, from, end)?;
            Ok(Settlement::at(end, &shards))
        })
        .await
    }

    /// Up to a position of the past: added up from the beginning of the journal.
    async fn settlement_at(&self, position: i64) -> Result<Settlement, Failure> {
        let durable_end = self.engine.progress.durable_end();
        let end = u64::try_from(position).ok().and_then(|position| position.checked_add(1)).map(Position);
        let end = end.filter(|end| *end <= durable_end);
        let end = end.ok_or_else(|| Failure::field("position", "It must be the position of a durable record."))?;
        let permit = self.exports.clone().try_acquire_owned().map_err(|_| Failure::Overloaded)?;
        let life = self.life.clone();
        let settled = self
            .blocking(move |engine| {
                let _permit = permit;
                let mut progress = |_, _| match *life.borrow() {
                    super::Life::Serving => ControlFlow::Continue(()),
                    _ => ControlFlow::Break(()),
                };
                settle(&*engine.journal, engine.identity.shard_count, Some(end), &mut progress)
            })
            .await?;
        settled.map(|(settlement, _)| settlement).ok_or(Failure::ShuttingDown)
    }

    /// The budgets of the programme in force, but for those of other partners, with the latest change that they show.
    fn budgets(&self, principal: &Principal) -> (wire::ListBudgetsResponse, Ticket) {
        let stamp = self.engine.read_stamp();
        let program = self.engine.with_programs(|programs| programs.in_force(stamp).cloned());
        let Some(program) = program else { return Default::default() };
        let own = own_partner(principal);
        let is_seen = |budget: &&Budget| own.is_none() || budget.partner.is_none() || budget.partner == own;
        let posted = Periods::at(&program.zone, stamp);
        let mut latest_change = 0;
        let budgets = program.budgets.iter().filter(is_seen).map(|budget| {
            let (standing, change) = self.wire_budget(budget, posted);
            latest_change = change.max(latest_change);
            standing
        });
        let budgets = budgets.collect();
        (wire::ListBudgetsResponse { budgets, program_version: version_number(&program) }, latest_change)
    }

    /// Warning levels of budgets in force that are reached now.
    pub(super) fn budget_warnings_reached(&self) -> usize {
        let stamp = self.engine.read_stamp();
        let program = self.engine.with_programs(|programs| programs.in_force(stamp).cloned());
        let budgets = program.iter().flat_map(|program| &program.budgets);
        let posted =
            program.as_ref().map_or_else(|| Periods::on(Day(0), 0), |program| Periods::at(&program.zone, stamp));
        let reached = |budget: &Budget| {
            let (used, _) = self.used(budget, posted);
            budget.warnings.iter().filter(|percent| used >= budget.warned_from(**percent)).count()
        };
        budgets.map(reached).sum()
    }

    /// What has been granted out of a budget in the windows that count now, and the latest change.
    fn used(&self, budget: &Budget, posted: Periods) -> (Units, Ticket) {
        let seen = budget.present_cells(posted).map(|cell| self.engine.shared.cells.seen(cell));
        seen.fold((0, 0), |(sum, latest), (used, change)| (sum + used, change.max(latest)))
    }

    fn wire_budget(&self, budget: &Budget, posted: Periods) -> (wire::BudgetStanding, Ticket) {
        let cells = &self.engine.shared.cells;
        let (used, change) = self.used(budget, posted);
        let warning = |percent: &u8| wire::BudgetWarning {
            percent: i32::from(*percent),
            reached: used >= budget.warned_from(*percent),
            crossing_count: signed(cells.crossings.count(budget.symbol, *percent)),
        };
        let standing = wire::BudgetStanding {
            name: budget.name.clone(),
            partner: budget.partner.map_or_else(String::new, |partner| text(&self.engine.dictionary, partner)),
            limit_points: budget.limit,
            used_points: used,
            warnings: budget.warnings.iter().map(warning).collect(),
        };
        (standing, change)
    }
}

/// The one partner of which a principal is told; `None` for all.
pub(super) fn own_partner(principal: &Principal) -> Option<SymbolId> {
    let acts_for_one = principal.grant.is_some() && !principal.sees_all_partners();
    acts_for_one.then_some(principal.symbol)
}

fn text(dictionary: &Dictionary, symbol: SymbolId) -> String {
    dictionary.text(symbol).map_or_else(String::new, String::from)
}

/// A sum as the wire can say it.
fn stated(sum: i128) -> i64 {
    i64::try_from(sum).unwrap_or(i64::MAX)
}

/// A settlement in the words of the contract; of one partner if one is given.
#[must_use]
pub fn wire_report(
    settlement: &Settlement,
    dictionary: &Dictionary,
    program: Option<&Program>,
    own: Option<SymbolId>,
) -> wire::GetSettlementReportResponse {
    let wallet = |id: WalletId| program.map_or_else(String::new, |program| wallet_name(program, id).to_owned());
    let sum = &settlement.sum;
    let is_told = |partner: SymbolId| own.is_none_or(|own| own == partner);
    let issuers = sum.accounts.issuers().filter(|((issuer, _), _)| is_told(*issuer));
    let standings = issuers.map(|((issuer, id), account)| {
        let standing = wire::PartnerStanding {
            partner: text(dictionary, *issuer),
            wallet: wallet(*id),
            issued_points: stated(account.issued),
            reversed_points: stated(account.reversed),
            burned_points: stated(account.redeemed),
            expired_points: stated(account.expired),
            outstanding_points: stated(account.outstanding()),
            held_points: stated(sum.held.get(&(*issuer, *id)).copied().unwrap_or_default()),
            pending_points: stated(sum.pending(*issuer, *id)),
            issued_amount_bps: stated(account.funding.issued),
            reversed_amount_bps: stated(account.funding.reversed),
            burned_amount_bps: stated(account.funding.redeemed),
            expired_amount_bps: stated(account.funding.expired),
        };
        (*id, standing)
    });
    let mut standings: Vec<_> = standings.collect();
    standings.sort_by(|(a, one), (b, other)| (&one.partner, a).cmp(&(&other.partner, b)));
    // Of what has all come back nothing is owed.
    let burns = sum.accounts.burns().filter(|(_, burn)| (burn.units, burn.redemption) != (0, 0));
    let burns = burns.filter(|(key, _)| is_told(key.acceptor)).map(|(key, burn)| {
        let burned = wire::BurnedPoints {
            acceptor: text(dictionary, key.acceptor),
            issuer: text(dictionary, key.issuer),
            wallet: wallet(key.wallet),
            burned_points: stated(burn.units),
            redemption_amount_bps: stated(burn.redemption),
        };
        (key.wallet, burned)
    });
    let mut burns: Vec<_> = burns.collect();
    burns.sort_by(|(a, one), (b, other)| (&one.acceptor, &one.issuer, a).cmp(&(&other.acceptor, &other.issuer, b)));
    wire::GetSettlementReportResponse {
        position: settlement.position.map(|position| signed(position.0)),
        posting_time: sum.posted_at.map(times::timestamp),
        standings: standings.into_iter().map(|(_, standing)| standing).collect(),
        burns: burns.into_iter().map(|(_, burned)| burned).collect(),
    }
}
