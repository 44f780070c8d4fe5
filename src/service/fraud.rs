//! `FraudService`: freezes, and what looks like fraud.
//!
//! What must stay true: an answer to a freeze or a thaw leaves when it is honoured; the journal says who made it, as the
//! credential tells; lists are bounded pages, and say where they go on.

use std::sync::Arc;

use prost::Message;
use tonic::{Request, Response, Status};

use super::answer::signed;
use super::approval::{AskedFor, failure_of_proposing};
use super::auth::Caller;
use super::desk::Claim;
use super::fields::{Fields, Path};
use super::read::page_size;
use super::status::Failure;
use super::wire::freeze_subject::Subject as Named;
use super::wire::server::fraud_service_server::FraudService;
use super::{Edge, Patience, Service, times, wire};
use crate::access::proposals::{Act, Verdict};
use crate::journal::search::{Found, first_committed_at, over_velocity};
use crate::journal::walk::Located;
use crate::ledger::command::CommandKind;
use crate::ledger::freeze::{FreezeChange, FreezeError, Subject};
use crate::ledger::program::CalendarWindow;
use crate::ledger::types::{Position, SymbolId};
use crate::limits;
use crate::shard::engine::Engine;
use crate::shard::freezing::{FreezeDraft, FreezingError};

#[tonic::async_trait]
impl FraudService for Service {
    async fn freeze(&self, request: Request<wire::FreezeRequest>) -> Result<Response<wire::FreezeResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let wire::FreezeRequest { subject, reason_code, note } = request.clone();
        let draft = self.edge.freeze_draft(&caller, subject, reason_code, note, true)?;
        if let Some(answer) = self.edge.freeze(draft, None).await? {
            let account_unknown = self.edge.lacks_account(request.subject.as_ref()).await;
            return Ok(Response::new(wire::FreezeResponse { account_unknown, ..answer }));
        }
        let asked_for = AskedFor { act: Act::Freeze, transaction_id: "" };
        let pending = self.edge.propose(&caller, asked_for, request.encode_to_vec()).await?;
        Ok(Response::new(wire::FreezeResponse { pending, ..<_>::default() }))
    }

    async fn thaw(&self, request: Request<wire::ThawRequest>) -> Result<Response<wire::ThawResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let wire::ThawRequest { subject, reason_code, note } = request.clone();
        let draft = self.edge.freeze_draft(&caller, subject, reason_code, note, false)?;
        if let Some(answer) = self.edge.thaw(draft, None).await? {
            return Ok(Response::new(answer));
        }
        let asked_for = AskedFor { act: Act::Thaw, transaction_id: "" };
        let pending = self.edge.propose(&caller, asked_for, request.encode_to_vec()).await?;
        Ok(Response::new(wire::ThawResponse { pending, ..<_>::default() }))
    }

    async fn list_freezes(
        &self,
        request: Request<wire::ListFreezesRequest>,
    ) -> Result<Response<wire::ListFreezesResponse>, Status> {
        let _call = self.edge.enter()?;
        Ok(Response::new(self.edge.freezes(&request.into_inner())?))
    }

    async fn list_receipt_claims(
        &self,
        request: Request<wire::ListReceiptClaimsRequest>,
    ) -> Result<Response<wire::ListReceiptClaimsResponse>, Status> {
        let _call = self.edge.enter()?;
        Ok(Response::new(self.edge.receipt_claims(&request.into_inner()).await?))
    }

    async fn list_velocity_denials(
        &self,
        request: Request<wire::ListVelocityDenialsRequest>,
    ) -> Result<Response<wire::ListVelocityDenialsResponse>, Status> {
        let _call = self.edge.enter()?;
        Ok(Response::new(self.edge.velocity_denials(request.into_inner()).await?))
    }
}

impl Edge {
    /// What a freeze or a thaw asks for, checked and named.
    pub(super) fn freeze_draft(
        &self,
        caller: &Caller,
        subject: Option<wire::FreezeSubject>,
        reason_code: String,
        note: String,
        freezes: bool,
    ) -> Result<FreezeDraft, Failure> {
        let mut fields = Fields::default();
        let named = subject.and_then(|subject| subject.subject);
        check_subject(&mut fields, named.as_ref());
        fields.text(Path::Field("reason_code"), &reason_code, 1, limits::REASON_CODE_BYTES_MAX);
        fields.text(Path::Field("note"), &note, 0, limits::NOTE_BYTES_MAX);
        fields.finish()?;
        self.check_deadline(caller)?;
        let by = caller.principal.actor().into();
        let subject = self.subject(caller, named.expect("the field was checked"), freezes)?;
        let act = if freezes { Act::Freeze } else { Act::Thaw };
        let alone = !self.about.second_person.asks(act);
        Ok(FreezeDraft { subject, freezes, by, reason_code: reason_code.into(), note: note.into(), alone })
    }

    /// What is meant. Who thaws gives no numbers: a name that has none stands in nothing that is frozen.
    fn subject(&self, caller: &Caller, named: Named, freezes: bool) -> Result<Subject, Failure> {
        const NOTHING: SymbolId = SymbolId(u32::MAX);
        let naming = self.naming(caller);
        let number = |text: &str| {
            if !freezes {
                return Ok(self.engine.dictionary.find(text).unwrap_or(NOTHING));
            }
            let full = || Failure::LimitReached("There is no room for a further name.".to_owned());
            naming.symbol(text).or_else(|unnamed| unnamed.told().and_then(|_| Err(full())))
        };
        Ok(match named {
            Named::AccountId(id) => Subject::Account(id.into()),
            Named::Terminal(wire::FreezableTerminal { partner, store_id, terminal_id }) => Subject::Terminal {
                partner: number(&partner)?,
                store: number(&store_id)?,
                terminal: number(&terminal_id)?,
            },
            Named::Cashier(wire::FreezableCashier { partner, cashier_id }) => {
                Subject::Cashier { partner: number(&partner)?, cashier: number(&cashier_id)? }
            }
        })
    }

    /// Freezes; one that is frozen stays so. `None` where that waits for a second person.
    pub(super) async fn freeze(
        self: &Arc<Self>,
        draft: FreezeDraft,
        confirmed: Option<Verdict>,
    ) -> Result<Option<wire::FreezeResponse>, Failure> {
        let subject = draft.subject.clone();
        let changed = match self.change_freezes(draft, confirmed).await? {
            Ok(_) => true,
            Err(FreezingError::NotAlone) => return Ok(None),
            Err(FreezingError::Unfit(FreezeError::Frozen)) => false,
            Err(error) => return Err(failure_of(error)),
        };
        let freeze = self.engine.shared.freezes.look(|freezes| {
            // Another may have thawed it since; the freeze is on record all the same.
            freezes.of(&subject).next_back().map(|(begun, ended)| self.wire_freeze(begun, ended))
        });
        Ok(Some(wire::FreezeResponse { freeze, changed, ..<_>::default() }))
    }

    /// Whether an account is meant that is not there. The freeze is on record by now: nothing fails for want of this.
    async fn lacks_account(&self, subject: Option<&wire::FreezeSubject>) -> bool {
        match subject.and_then(|subject| subject.subject.as_ref()) {
            Some(Named::AccountId(id)) => self.view(id, Patience::None).await.is_ok_and(|view| view.is_none()),
            _ => false,
        }
    }

    /// Thaws; one that is not frozen stays so. `None` where that waits for a second person.
    pub(super) async fn thaw(
        self: &Arc<Self>,
        draft: FreezeDraft,
        confirmed: Option<Verdict>,
    ) -> Result<Option<wire::ThawResponse>, Failure> {
        let subject = draft.subject.clone();
        let position = match self.change_freezes(draft, confirmed).await? {
            Ok(position) => position,
            Err(FreezingError::NotAlone) => return Ok(None),
            Err(FreezingError::Unfit(FreezeError::NotFrozen)) => return Ok(Some(wire::ThawResponse::default())),
            Err(error) => return Err(failure_of(error)),
        };
        let freeze = self.engine.shared.freezes.look(|freezes| {
            let mut of_subject = freezes.of(&subject);
            let ended = of_subject.rfind(|(_, ended)| ended.is_some_and(|(at, _)| *at == position));
            ended.map(|(begun, ended)| self.wire_freeze(begun, ended))
        });
        Ok(Some(wire::ThawResponse { freeze, changed: true, pending: None }))
    }

    async fn change_freezes(
        self: &Arc<Self>,
        draft: FreezeDraft,
        confirmed: Option<Verdict>,
    ) -> Result<Result<Position, FreezingError>, Failure> {
        // Goes on when the caller has gone; the server waits for it.
        let (call, engine) = (self.enter()?, self.engine.clone());
        let changing = tokio::task::spawn_blocking(move || {
            let change = |engine: &Engine, confirmed| engine.change_freezes(draft, confirmed);
            let changed = match confirmed {
                None => Ok(change(&engine, None)),
                Some(verdict) => engine.confirm(verdict, |engine, verdict| change(engine, Some(verdict))),
            };
            drop(call);
            changed
        });
        changing.await.map_err(Failure::internal)?.map_err(failure_of_proposing)
    }

    fn freezes(&self, request: &wire::ListFreezesRequest) -> Result<wire::ListFreezesResponse, Failure> {
        let size = page_size(request.page_size)?;
        let from = number_of(&request.page_token)?.unwrap_or(0);
        self.engine.shared.freezes.look(|freezes| {
            let mut page = wire::ListFreezesResponse {
                live_count: i32::try_from(freezes.live_count()).unwrap_or(i32::MAX),
                ..wire::ListFreezesResponse::default()
            };
            let looked_at_end = from.saturating_add(limits::FREEZES_LOOKED_AT_MAX);
            for (number, begun, ended) in freezes.list(from) {
                if page.freezes.len() == size || number >= looked_at_end {
                    page.next_page_token = number.to_string();
                    break;
                }
                if request.ended || ended.is_none() {
                    page.freezes.push(self.wire_freeze(begun, ended));
                }
            }
            Ok(page)
        })
    }

    fn wire_freeze(
        &self,
        (position, begun): &(Position, FreezeChange),
        ended: Option<&(Position, FreezeChange)>,
    ) -> wire::Freeze {
        let (end_position, end) = ended.map(|(at, change)| (signed(at.0), change)).unzip();
        let text = |text: Option<&Box<str>>| text.map_or_else(String::new, ToString::to_string);
        wire::Freeze {
            subject: Some(self.wire_subject(&begun.subject)),
            begin_time: Some(times::timestamp(begun.at)),
            actor: begun.by.to_string(),
            reason_code: begun.reason_code.to_string(),
            note: begun.note.to_string(),
            position: signed(position.0),
            live: ended.is_none(),
            end_time: end.map(|end| times::timestamp(end.at)),
            end_actor: text(end.map(|end| &end.by)),
            end_reason_code: text(end.map(|end| &end.reason_code)),
            end_note: text(end.map(|end| &end.note)),
            end_position,
        }
    }

    fn wire_subject(&self, subject: &Subject) -> wire::FreezeSubject {
        let named = match subject {
            Subject::Account(id) => Named::AccountId(id.to_string()),
            Subject::Terminal { partner, store, terminal } => Named::Terminal(wire::FreezableTerminal {
                partner: self.text(*partner),
                store_id: self.text(*store),
                terminal_id: self.text(*terminal),
            }),
            Subject::Cashier { partner, cashier } => {
                Named::Cashier(wire::FreezableCashier { partner: self.text(*partner), cashier_id: self.text(*cashier) })
            }
        };
        wire::FreezeSubject { subject: Some(named) }
    }

    fn text(&self, symbol: SymbolId) -> String {
        self.engine.dictionary.text(symbol).map_or_else(String::new, String::from)
    }

    async fn receipt_claims(
        &self,
        request: &wire::ListReceiptClaimsRequest,
    ) -> Result<wire::ListReceiptClaimsResponse, Failure> {
        let size = page_size(request.page_size)?;
        let before = number_of(&request.page_token)?.map_or(u64::MAX, |number| number as u64);
        let (page, more) = self.claims.before(before, size);
        let next = page.last().filter(|_| more).map(|(number, _)| number.to_string());
        let mut claims = Vec::with_capacity(page.len());
        for (_, claim) in page {
            claims.push(self.wire_claim(claim).await?);
        }
        Ok(wire::ListReceiptClaimsResponse {
            claims,
            next_page_token: next.unwrap_or_default(),
            since_time: Some(times::timestamp(self.about.started_at)),
            claim_count: signed(self.claims.count()),
        })
    }

    async fn wire_claim(&self, claim: Claim) -> Result<wire::ReceiptClaim, Failure> {
        let Claim {
            place: [store, terminal, cashier], account_id, transaction_id, partner, actor, at, original, ..
        } = &claim;
        let original = *original;
        let located = self.record(original).await?;
        let Some(entry) = located.entry() else {
            return Err(Failure::internal(format_args!("the record at position {original} uses no receipt")));
        };
        Ok(wire::ReceiptClaim {
            partner: partner.to_string(),
            store_id: self.text(*store),
            terminal_id: self.text(*terminal),
            cashier_id: self.text(*cashier),
            receipt_number: claim.receipt_number.to_string(),
            business_date: times::period(CalendarWindow::Day, claim.business_day.0),
            account_id: account_id.to_string(),
            transaction_id: transaction_id.to_string(),
            actor: actor.to_string(),
            claim_time: Some(times::timestamp(*at)),
            original_account_id: self.account_id_of(&located, entry).await?.into(),
            original_transaction_id: entry.command.transaction_id.clone(),
            original_posting_time: Some(times::timestamp(entry.posted_at)),
            original_position: signed(original.0),
        })
    }

    async fn velocity_denials(
        &self,
        request: wire::ListVelocityDenialsRequest,
    ) -> Result<wire::ListVelocityDenialsResponse, Failure> {
        let size = page_size(request.page_size)?;
        let mut fields = Fields::default();
        let since = fields.time(Path::Field("start_time"), request.start_time.as_ref());
        fields.finish()?;
        let from = number_of(&request.page_token)?.map(|number| Position(number as u64));
        let Found { records, next } = self
            .blocking(move |engine| {
                let from = match (from, since) {
                    (Some(from), _) => from,
                    (None, Some(since)) => first_committed_at(&*engine.journal, since)?,
                    (None, None) => Position(0),
                };
                over_velocity(&*engine.journal, &engine.dictionary, from, size)
            })
            .await?;
        let mut denials = Vec::with_capacity(records.len());
        for located in &records {
            denials.extend(self.wire_denial(located).await?);
        }
        let next_page_token = next.map_or_else(String::new, |next| next.0.to_string());
        Ok(wire::ListVelocityDenialsResponse { denials, next_page_token })
    }

    async fn wire_denial(&self, located: &Located) -> Result<Option<wire::VelocityDenied>, Failure> {
        let Some((entry, cap)) = located.entry().and_then(|entry| Some((entry, entry.decision.over_velocity?))) else {
            return Ok(None);
        };
        let [store, terminal, cashier] = match &entry.command.kind {
            CommandKind::Accrue(basket) => [basket.store, basket.terminal, basket.cashier],
            _ => [SymbolId::EMPTY; 3],
        };
        Ok(Some(wire::VelocityDenied {
            transaction_id: entry.command.transaction_id.clone(),
            account_id: self.account_id_of(located, entry).await?.into(),
            partner: self.text(entry.command.partner),
            store_id: self.text(store),
            terminal_id: self.text(terminal),
            cashier_id: self.text(cashier),
            cap: self.text(cap),
            earned_points: entry.decision.earned,
            posting_time: Some(times::timestamp(entry.posted_at)),
            position: signed(located.position.0),
        }))
    }
}

/// The number in a page token; `None` in an empty one.
fn number_of(token: &str) -> Result<Option<usize>, Failure> {
    let bad = || Failure::field("page_token", "It is not a token that this server gave for this list.");
    if token.is_empty() { Ok(None) } else { token.parse().map(Some).map_err(|_| bad()) }
}

fn check_subject(fields: &mut Fields, named: Option<&Named>) {
    let mut name = |path, text: &str| fields.text(Path::Field(path), text, 1, limits::SYMBOL_BYTES_MAX);
    match named {
        None => fields.wrong(Path::Field("subject"), "It is required: an account, a terminal or a cashier."),
        Some(Named::AccountId(id)) => {
            fields.text(Path::Field("subject.account_id"), id, 1, limits::ACCOUNT_ID_BYTES_MAX);
        }
        Some(Named::Terminal(terminal)) => {
            name("subject.terminal.partner", &terminal.partner);
            name("subject.terminal.store_id", &terminal.store_id);
            name("subject.terminal.terminal_id", &terminal.terminal_id);
        }
        Some(Named::Cashier(cashier)) => {
            name("subject.cashier.partner", &cashier.partner);
            name("subject.cashier.cashier_id", &cashier.cashier_id);
        }
    }
}

fn failure_of(error: FreezingError) -> Failure {
    match error {
        FreezingError::Unfit(FreezeError::Full) => Failure::LimitReached(format!("{error}.")),
        FreezingError::Unfit(_) | FreezingError::NotAlone => Failure::internal(error),
        FreezingError::TooFarAhead { .. } => Failure::EffectiveTimeRefused(format!("{error}.")),
        FreezingError::Stopping => Failure::OutcomeUnknown,
    }
}
