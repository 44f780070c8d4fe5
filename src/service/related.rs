//! What else happened to a transaction and to its points: one walk over the account's history.
//!
//! What must stay true: transactions that the caller may not see are as if they did not exist; a page costs a bounded
//! time, however long the history is.

use std::sync::Arc;

use prost::Message;

use super::answer::wallet_name;
use super::auth::{Caller, Principal};
use super::command::record_at;
use super::fields::{Fields, Path};
use super::history::{belongs_to, is_in_reach, may_see, transaction};
use super::pages::{Pages, bad_token};
use super::read::page_size;
use super::status::Failure;
use super::{Edge, Patience, wire};
use crate::journal::JournalError;
use crate::journal::record::Entry;
use crate::journal::walk::{self, Located};
use crate::ledger::command::CommandKind;
use crate::ledger::decision::{LotKey, Movement};
use crate::ledger::operator::OperatorOrder;
use crate::ledger::program::Program;
use crate::ledger::types::{Position, Units, WalletId};
use crate::limits;
use crate::service::wire::{PointsMovementKind, TransactionRelation};
use crate::shard::engine::Engine;
use crate::shard::job::AccountView;

impl Edge {
    /// A page of what else happened to a transaction of the caller's partner, newest first.
    pub(super) async fn related(
        self: &Arc<Self>,
        caller: &Caller,
        request: wire::ListRelatedTransactionsRequest,
    ) -> Result<wire::ListRelatedTransactionsResponse, Failure> {
        let id = request.transaction_id;
        let mut fields = Fields::default();
        fields.text(Path::Field("transaction_id"), &id, 1, limits::TRANSACTION_ID_BYTES_MAX);
        fields.finish()?;
        let size = page_size(request.page_size)?;
        let partner = caller.principal.partner.clone();
        let token = pages_of(&self.engine, &partner, &id).position(&request.page_token)?;
        let (account_id, located) = self.own_transaction(caller, &id).await?;
        let view = self.view(&account_id, Patience::None).await?.ok_or(Failure::AccountUnknown)?;
        let principal = caller.principal.clone();
        let asked = Asked { id, root: located, principal, view };
        self.blocking(move |engine| asked.page(engine, token, size)).await?.ok_or_else(bad_token)
    }
}

/// The pages of what else happened to a transaction of a partner.
fn pages_of<'a>(engine: &'a Engine, partner: &'a str, id: &'a str) -> Pages<'a> {
    Pages { hasher: &engine.hasher, list: "related", partner, of: id }
}

/// A transaction whose relations are looked for.
struct Asked {
    id: String,
    root: Located,
    principal: Arc<Principal>,
    view: Box<AccountView>,
}

impl Asked {
    /// Walks the account's chain back. `None` when the token does not belong to the account.
    fn page(
        &self,
        engine: &Engine,
        token: Option<Position>,
        size: usize,
    ) -> Result<Option<wire::ListRelatedTransactionsResponse>, JournalError> {
        let mut page = wire::ListRelatedTransactionsResponse::default();
        let Some(start) = token.or(self.view.account.position) else { return Ok(Some(page)) };
        let mut next = match record_at(engine, start)? {
            Some(located) if belongs_to(engine, &located, &self.view)? => Some(located),
            _ => return Ok(None),
        };
        let pages = pages_of(engine, &self.principal.partner, &self.id);
        let (mut bytes, mut passed) = (0, 0);
        while let Some(located) = next.take() {
            let related = self.related(engine, &located)?;
            let is_full = page.related.len() == size || bytes >= limits::PAGE_BYTES_TARGET;
            if (related.is_some() && is_full) || passed == limits::PAGE_WALK_MAX {
                page.next_page_token = pages.token(located.position);
                break;
            }
            match related {
                Some(related) => {
                    bytes += related.encoded_len();
                    page.related.push(related);
                }
                None => passed += 1,
            }
            next = walk::previous(&*engine.journal, &engine.dictionary, &located)?;
        }
        Ok(Some(page))
    }

    /// What a record of the account has to do with the transaction; `None` for nothing.
    fn related(&self, engine: &Engine, other: &Located) -> Result<Option<wire::RelatedTransaction>, JournalError> {
        let (Some(root), Some(entry)) = (self.root.entry(), other.entry()) else { return Ok(None) };
        if other.position == self.root.position || !may_see(&self.principal, other) {
            return Ok(None);
        }
        let shared = shared_movements(root, entry);
        let relation = match (original_of(&entry.command.kind), original_of(&root.command.kind)) {
            (Some(original), _) if original == self.root.position => TransactionRelation::FollowUp,
            (_, Some(original)) if original == other.position => TransactionRelation::Original,
            (Some(theirs), Some(ours)) if theirs == ours => TransactionRelation::Sibling,
            _ if !shared.is_empty() => TransactionRelation::SameLots,
            _ => return Ok(None),
        };
        if !is_in_reach(engine, &self.principal, other)? {
            return Ok(None);
        }
        let program = engine.with_programs(|programs| programs.get(entry.decision.program).cloned());
        Ok(Some(wire::RelatedTransaction {
            transaction: Some(transaction(engine, &self.principal, &self.view.account.id, other)?),
            relation: relation.into(),
            movements: shared.into_iter().map(|moved| moved.to_wire(program.as_deref())).collect(),
        }))
    }
}

/// The record that a command names as what it is about.
fn original_of(kind: &CommandKind) -> Option<Position> {
    match kind {
        CommandKind::Operate(operation) => match &operation.order {
            OperatorOrder::Release(held) | OperatorOrder::Reject(held) => Some(held.position),
            OperatorOrder::Restore(restoration) => Some(restoration.expiry),
            OperatorOrder::Adjust(_) | OperatorOrder::IssueVoucher(_) | OperatorOrder::CancelVoucher(_) => None,
        },
        kind => kind.reversed().or_else(|| kind.authorization().map(|of| of.position)),
    }
}

/// Units of one kind of movement.
struct Moved {
    wallet: WalletId,
    movement: Movement,
    units: Units,
}

impl Moved {
    fn to_wire(&self, program: Option<&Program>) -> wire::PointsMovement {
        let kind = match self.movement {
            Movement::Grant => PointsMovementKind::Granted,
            Movement::Burn => PointsMovementKind::Burned,
            Movement::Expire => PointsMovementKind::Expired,
            Movement::Reverse => PointsMovementKind::Reversed,
            Movement::Extend => PointsMovementKind::Extended,
            Movement::Release => PointsMovementKind::Released,
            Movement::Restore => PointsMovementKind::Restored,
            Movement::SetAside => PointsMovementKind::SetAside,
            Movement::GiveBack => PointsMovementKind::GivenBack,
            Movement::Unburn => PointsMovementKind::Unburned,
        };
        let wallet = program.map_or("", |program| wallet_name(program, self.wallet)).to_owned();
        wire::PointsMovement { wallet, kind: kind.into(), points: self.units }
    }
}

/// What a record did to the lots that another one moved too, by wallet and movement in the order of the record.
fn shared_movements(root: &Entry, other: &Entry) -> Vec<Moved> {
    let touched = |key: &LotKey| root.decision.effects.lots.iter().any(|lot| lot.key == *key);
    let mut all: Vec<Moved> = Vec::new();
    for lot in other.decision.effects.lots.iter().filter(|lot| touched(&lot.key)) {
        let same = all.iter_mut().find(|moved| (moved.wallet, moved.movement) == (lot.key.wallet, lot.movement));
        match same {
            Some(moved) => moved.units += lot.delta,
            None => all.push(Moved { wallet: lot.key.wallet, movement: lot.movement, units: lot.delta }),
        }
    }
    all
}
