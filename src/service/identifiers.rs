//! Accounts that are named by something that points to them: a card, a telephone number.
//!
//! The id index knows for each identifier the record that linked or freed it last, and that record names the account. So
//! what points where survives every crash that the record survives, and takes no memory of its own.
//!
//! What must stay true: an identifier is resolved before its command claims anything; a command that is repeated gets
//! its first answer whatever its identifier points to by then, or even if it points to nothing.

use std::sync::Arc;

use super::auth::Caller;
use super::command::Started;
use super::fields::{Fields, Path};
use super::status::Failure;
use super::view::AccrualView;
use super::{Edge, Patience, wire};
use crate::ids::IdKey;
use crate::ledger::command::CommandKind;
use crate::ledger::decision::Refusal;
use crate::ledger::types::{IdentifierKey, Position};
use crate::limits;
use crate::shard::job::CommandJob;

/// Stands for the account of a command whose identifier points to none, which is only looked at to find out whether it
/// was decided before.
pub(super) const NOBODY: &str = "-";

/// Checks an identifier that names an account in the place of its id.
pub(super) fn check_alone(identifier: &wire::AccountIdentifier, account_id: &str) -> Result<(), Failure> {
    let mut fields = Fields::default();
    check(&mut fields, "account_identifier.kind", "account_identifier.value", identifier);
    if !account_id.is_empty() {
        fields.wrong(Path::Field("account_identifier"), "An account_id is given too.");
    }
    fields.finish()
}

/// Checks an identifier that a command is about, where nothing else names the account.
pub(super) fn check_own(identifier: &wire::AccountIdentifier) -> Result<(), Failure> {
    let mut fields = Fields::default();
    check(&mut fields, "identifier.kind", "identifier.value", identifier);
    fields.finish()
}

/// Notes what is wrong with an identifier, under the names of its fields.
pub(super) fn check(
    fields: &mut Fields,
    kind: &'static str,
    value: &'static str,
    identifier: &wire::AccountIdentifier,
) {
    fields.text(Path::Field(kind), &identifier.kind, 1, limits::SYMBOL_BYTES_MAX);
    fields.text(Path::Field(value), &identifier.value, 1, limits::IDENTIFIER_BYTES_MAX);
}

impl Edge {
    /// The name of an identifier.
    pub(super) fn key_of(&self, identifier: &wire::AccountIdentifier) -> IdentifierKey {
        self.engine.hasher.identifier(&identifier.kind, &identifier.value)
    }

    /// The account that an identifier points to. Waits for a linking that is on its way.
    pub(super) async fn resolve(&self, key: IdentifierKey) -> Result<Option<Box<str>>, Failure> {
        let Some(position) = self.last_use(key.into()).await? else { return Ok(None) };
        let located = self.record(position).await?;
        match located.entry().map(|entry| &entry.command.kind) {
            Some(CommandKind::Link(linking)) => Ok(Some(linking.account_id.clone())),
            _ => Err(Failure::internal(format_args!("the record at position {position} links no identifier"))),
        }
    }

    /// As [`Self::resolve`], but for a partner that no version of the programme names: to it, nothing points anywhere.
    pub(super) async fn resolve_for(&self, caller: &Caller, key: IdentifierKey) -> Result<Option<Box<str>>, Failure> {
        if self.is_nobody(caller) { Ok(None) } else { self.resolve(key).await }
    }

    /// Why a command whose identifier was not resolved is refused.
    pub(super) fn unresolved(&self, caller: &Caller) -> Refusal {
        if self.is_nobody(caller) { Refusal::PartnerUnknown } else { Refusal::IdentifierUnknown }
    }

    /// The record that uses an id, unless it was given back; waits for whoever holds it. An id is in the index before
    /// its claim is dropped, so that of the two looks around the claim one sees it.
    async fn last_use(&self, key: IdKey) -> Result<Option<Position>, Failure> {
        loop {
            match self.engine.shared.ids.lookup(key)? {
                Some(entry) if !entry.freed => return Ok(Some(entry.position)),
                _ => {}
            }
            if !self.wait_for_claim(key).await? {
                let found = self.engine.shared.ids.lookup(key)?;
                return Ok(found.filter(|entry| !entry.freed).map(|entry| entry.position));
            }
        }
    }

    /// Where a command of the caller was decided before; waits for one that is on its way.
    pub(super) async fn decided(&self, caller: &Caller, transaction_id: &str) -> Result<Option<Position>, Failure> {
        self.last_use(self.engine.hasher.transaction(&caller.principal.partner, transaction_id)).await
    }

    /// Puts the account in the place of an identifier that a read names. A caller that sees no account is told so before
    /// anything is looked for: what is there and what is not are the same to it, and take the same time.
    pub(super) async fn name_account(
        &self,
        caller: &Caller,
        account_id: &mut String,
        identifier: Option<&wire::AccountIdentifier>,
    ) -> Result<(), Failure> {
        if let Some(identifier) = identifier {
            check_alone(identifier, account_id)?;
        }
        let names_one = identifier.is_some() || !account_id.is_empty();
        if names_one && self.is_blind(caller) {
            return Err(Failure::AccountUnknown);
        }
        let Some(identifier) = identifier else { return Ok(()) };
        *account_id = self.resolve(self.key_of(identifier)).await?.ok_or(Failure::AccountUnknown)?.into();
        Ok(())
    }

    /// Starts an accrual that may name its account by an identifier.
    pub(super) async fn start_named(
        self: &Arc<Self>,
        caller: &Caller,
        mut request: wire::AccrueRequest,
        patience: Patience,
    ) -> Result<Started, Failure> {
        let Some(identifier) = request.account_identifier.take() else {
            return self.start_accrual(caller, &AccrualView::from(&request), patience).await;
        };
        check_alone(&identifier, &request.account_id)?;
        let key = self.key_of(&identifier);
        let resolved = self.resolve_for(caller, key).await?;
        request.account_id = resolved.as_deref().unwrap_or(NOBODY).to_owned();
        let view = AccrualView { named_by: Some(key), ..AccrualView::from(&request) };
        if resolved.is_some() {
            return self.start_accrual(caller, &view, patience).await;
        }
        let mut job = Box::new(CommandJob::blank());
        let Some(left_open) = self.prepare_accrual(caller, &view, &self.moment(), &mut job)? else {
            return Ok(Started::Answered(self.refused(Refusal::NameLimitReached, None)));
        };
        let Some(position) = self.decided(caller, &request.transaction_id).await? else {
            return Ok(Started::Answered(self.refused(self.unresolved(caller), None)));
        };
        let (edge, command) = (self.clone(), job.command);
        let lookup = async move { edge.repeat_accrual(position, command, left_open).await };
        Ok(Started::Lookup(Box::pin(lookup)))
    }
}
