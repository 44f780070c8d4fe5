//! `AccountService`: each method counts its call, takes the caller, and hands over; and what is read of an account
//! beside its balances.
//!
//! What must stay true: a read shows only what is durable, and nothing that tells a partner of the others (invariant 9).

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::answer::{named_standing, signed, wallet_name};
use super::auth::{Caller, Principal};
use super::orders::Order;
use super::read::{check_account_id, version_number};
use super::sight::Sight;
use super::status::Failure;
use super::wire::server::account_service_server::AccountService;
use super::{Edge, Patience, Service, times, wire};
use crate::ledger::account::Account;
use crate::ledger::program::{Program, StampCard, Worth};
use crate::ledger::stamps::on_cards;
use crate::ledger::types::{SymbolId, TimestampNs};
use crate::ledger::voucher::{Voucher, VoucherState};
use crate::ledger::{periods_of, standing_of};

#[tonic::async_trait]
impl AccountService for Service {
    async fn enrol(&self, request: Request<wire::EnrolRequest>) -> Result<Response<wire::EnrolResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let decision = self.edge.order(&caller, Order::Enrol(request.into_inner())).await?;
        Ok(Response::new(wire::EnrolResponse { decision: Some(decision) }))
    }

    async fn update_account(
        &self,
        request: Request<wire::UpdateAccountRequest>,
    ) -> Result<Response<wire::UpdateAccountResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let decision = self.edge.order(&caller, Order::Update(request.into_inner())).await?;
        Ok(Response::new(wire::UpdateAccountResponse { decision: Some(decision) }))
    }

    async fn get_account(
        &self,
        request: Request<wire::GetAccountRequest>,
    ) -> Result<Response<wire::GetAccountResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.edge.account(&caller, request.into_inner()).await?))
    }

    async fn link_identifier(
        &self,
        request: Request<wire::LinkIdentifierRequest>,
    ) -> Result<Response<wire::LinkIdentifierResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let decision = self.edge.order(&caller, Order::Link(request.into_inner())).await?;
        Ok(Response::new(wire::LinkIdentifierResponse { decision: Some(decision) }))
    }

    async fn unlink_identifier(
        &self,
        request: Request<wire::UnlinkIdentifierRequest>,
    ) -> Result<Response<wire::UnlinkIdentifierResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let decision = self.edge.order(&caller, Order::Unlink(request.into_inner())).await?;
        Ok(Response::new(wire::UnlinkIdentifierResponse { decision: Some(decision) }))
    }

    async fn load_opening_balance(
        &self,
        request: Request<wire::LoadOpeningBalanceRequest>,
    ) -> Result<Response<wire::LoadOpeningBalanceResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let decision = self.edge.order(&caller, Order::Load(request.into_inner())).await?;
        Ok(Response::new(wire::LoadOpeningBalanceResponse { decision: Some(decision) }))
    }
}

impl Edge {
    /// What is known of an account beside its balances.
    async fn account(
        self: &Arc<Self>,
        caller: &Caller,
        mut request: wire::GetAccountRequest,
    ) -> Result<wire::GetAccountResponse, Failure> {
        self.name_account(caller, &mut request.account_id, request.account_identifier.as_ref()).await?;
        check_account_id(&request.account_id)?;
        self.check_deadline(caller)?;
        let view = self.view(&request.account_id, Patience::None).await?.ok_or(Failure::AccountUnknown)?;
        if Sight::of(&caller.principal, view.program.as_deref(), view.read_at).is_blind() {
            return Err(Failure::AccountUnknown);
        }
        let account = &view.account;
        let position = account.position.ok_or_else(|| Failure::internal("a durable account has no position"))?;
        let text = |symbol| self.engine.dictionary.text(symbol).map_or_else(String::new, String::from);
        let mut segments: Vec<String> = account.segments().iter().map(|segment| text(*segment)).collect();
        segments.sort_unstable();
        let mut identifier_kinds: Vec<String> = account.identifiers().iter().map(|(_, kind)| text(*kind)).collect();
        identifier_kinds.sort_unstable();
        let program = view.program.as_deref();
        // Those of other partners are as if they did not exist.
        let sees_all = caller.principal.sees_all_partners();
        let is_own = |voucher: &&Voucher| sees_all || voucher.terms.issuer == caller.principal.symbol;
        let own = account.vouchers().iter().filter(is_own).filter(|voucher| voucher.is_kept(view.read_at));
        let cards = program.into_iter().flat_map(|program| stamps(program, account, view.read_at, &caller.principal));
        Ok(wire::GetAccountResponse {
            stamps: cards.collect(),
            identifier_kinds,
            account_id: request.account_id,
            open_time: Some(times::timestamp(account.opened_at)),
            segments,
            tiers: program.and_then(|program| tier(program, account, view.read_at)).into_iter().collect(),
            position: signed(position.0),
            program_version: program.map_or(0, version_number),
            read_time: Some(times::timestamp(view.read_at)),
            birthday_known: account.profile.as_ref().is_some_and(|profile| profile.birthday.is_some()),
            vouchers: own.map(|voucher| voucher_of(voucher, program, text(voucher.terms.kind), view.read_at)).collect(),
        })
    }
}

/// A voucher in the words of the contract.
fn voucher_of(voucher: &Voucher, program: Option<&Program>, name: String, at: TimestampNs) -> wire::AccountVoucher {
    let kind = program.and_then(|program| program.vouchers.iter().find(|kind| kind.symbol == voucher.terms.kind));
    let state = match voucher.state {
        VoucherState::Used(_) => wire::VoucherState::Used,
        VoucherState::Cancelled => wire::VoucherState::Cancelled,
        VoucherState::Open if at >= voucher.terms.ends_at => wire::VoucherState::Expired,
        VoucherState::Open => wire::VoucherState::Open,
    };
    wire::AccountVoucher {
        voucher_code: voucher.code.to_string(),
        voucher: name,
        state: state.into(),
        start_time: Some(times::timestamp(voucher.terms.starts_at)),
        expire_time: Some(times::timestamp(voucher.terms.ends_at)),
        basket_minor_min: voucher.terms.minor_min,
        worth: kind.map(|kind| match &kind.worth {
            Worth::Value(minor) => wire::account_voucher::Worth::ValueMinor(*minor),
            Worth::Percent(bps) => wire::account_voucher::Worth::PercentBps(*bps),
            Worth::Text(text) => wire::account_voucher::Worth::Text(text.clone()),
        }),
    }
}

/// What is on the cards of the programme that a caller may know of.
fn stamps(program: &Program, account: &Account, at: TimestampNs, caller: &Principal) -> Vec<wire::AccountStamps> {
    let cards = on_cards(account, program, periods_of(account, program, at));
    let shown = cards.filter(|(card, _)| is_shown(card, program, caller)).map(|(card, on_card)| wire::AccountStamps {
        name: card.name.clone(),
        on_card,
        card_size: i32::try_from(card.size).expect("a card is small"),
    });
    shown.collect()
}

/// A card on which only baskets of other partners can count would tell how often a member bought there.
fn is_shown(card: &StampCard, program: &Program, caller: &Principal) -> bool {
    if caller.sees_all_partners() {
        return true;
    }
    let own = program.partners.as_deref().and_then(|partners| partners.find(caller.symbol));
    let is_own = |store: &SymbolId| own.is_none_or(|own| own.stores.iter().any(|known| known.store == *store));
    let (partners, stores) = (&card.when.partners, &card.when.stores);
    (partners.is_empty() || partners.contains(&caller.symbol)) && (stores.is_empty() || stores.iter().any(is_own))
}

/// Where an account stands on the programme's ladder, if it has one.
fn tier(program: &Program, account: &Account, at: TimestampNs) -> Option<wire::AccountTier> {
    let ladder = program.tiers.as_ref()?;
    let period = periods_of(account, program, at).of(ladder.window);
    let standing = standing_of(account, program, at)?;
    let metric = program.metrics.iter().find(|metric| metric.symbol == ladder.metric);
    Some(wire::AccountTier {
        wallet: wallet_name(program, program.earn.wallet).to_owned(),
        metric: metric.map_or_else(String::new, |metric| metric.name.clone()),
        period: times::period(ladder.window, period),
        standing: Some(named_standing(ladder, standing).to_wire()),
    })
}
