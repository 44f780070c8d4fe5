//! `AccessService`: issuing, replacing, revoking and listing keys.
//!
//! What must stay true: a secret leaves once, in the answer to whoever asked for the key, and is logged nowhere; an
//! answer leaves when the change is durable and in force; the journal says who made it.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::answer::signed;
use super::approval::AskedFor;
use super::auth::Caller;
use super::fields::{Fields, Path};
use super::read::page_size;
use super::status::Failure;
use super::wire::server::access_service_server::AccessService;
use super::{Edge, Service, times, wire};
use crate::access::grant::{Grant, Role};
use crate::access::keys::{Key, KeyChange, KeyError, KeyId, KeyIssue, Keys, Proof};
use crate::access::proposals::{Act, Verdict};
use crate::access::secret::{ApiKey, Secret};
use crate::journal::record::encode_key_change;
use crate::ledger::types::TimestampNs;
use crate::limits;
use crate::shard::engine::Engine;
use crate::shard::keys::ChangeError;

/// What a new key is to be.
pub struct KeyDraft {
    /// What people call it.
    pub name: Box<str>,
    /// What it allows.
    pub grant: Grant,
    /// From when on it is good for nothing; [`KeyIssue::NEVER`] if it does not expire.
    pub expires_at: TimestampNs,
    /// The name in certificates that stand for it.
    pub certificate: Option<Box<str>>,
}

/// Issues a key in the name of an actor; gives its id and, once, the key itself.
///
/// # Errors
/// When the key cannot be, the ledger is stopping, or no random numbers are to be had.
pub fn issue_key(engine: &Engine, draft: KeyDraft, actor: &str) -> Result<(KeyId, Option<Secret>), ChangeError> {
    issue(engine, actor, |_, _| Ok((draft, None)))
}

/// Draws a key in the name of an actor, and its secret; it is good for nothing before [`take_key`]. For whoever has to keep
/// the secret first.
///
/// # Errors
/// As [`issue_key`].
pub fn draw_key(engine: &Engine, draft: KeyDraft, actor: &str) -> Result<(KeyIssue, Option<Secret>), ChangeError> {
    draw(engine, actor, |_, _| Ok((draft, None)))
}

/// Draws a key that fits, and its secret; it is not issued.
fn draw(
    engine: &Engine,
    actor: &str,
    draft: impl FnOnce(&Keys, TimestampNs) -> Result<(KeyDraft, Option<(KeyId, TimestampNs)>), KeyError>,
) -> Result<(KeyIssue, Option<Secret>), ChangeError> {
    let (mut id, mut secret) = ([0; 8], [0; 32]);
    let filled = getrandom::fill(&mut id).and_then(|()| getrandom::fill(&mut secret));
    filled.map_err(|error| ChangeError::Random(error.to_string()))?;
    let key = ApiKey::new(id, secret);
    let now = engine.clock.now();
    let (issue, secret) = engine.shared.keys.look(|keys| {
        let (draft, replaces) = draft(keys, now)?;
        let (proof, secret) = match draft.certificate {
            Some(name) => (Proof::Certificate(name), None),
            None => (Proof::Secret(key.hash()), Some(key.to_secret())),
        };
        let KeyDraft { name, grant, expires_at, .. } = draft;
        let issued_by = actor.into();
        let issue = KeyIssue { id: key.id, proof, name, grant, issued_at: now, expires_at, issued_by, replaces };
        keys.check(&KeyChange::Issued(Box::new(issue.clone())))?;
        Ok::<_, KeyError>((issue, secret))
    })?;
    Ok((issue, secret))
}

/// Issues a key that was drawn, perhaps with a second person's verdict.
///
/// # Errors
/// When the key cannot be, or the ledger is stopping.
pub fn take_key(engine: &Engine, issue: KeyIssue, confirmed: Option<Verdict>) -> Result<(), ChangeError> {
    let (id, by) = (issue.id, issue.issued_by.clone());
    engine.change_keys(|_| Ok(Some(KeyChange::Issued(Box::new(issue)))), confirmed)?;
    tracing::info!(key = %id, %by, "a key was issued");
    Ok(())
}

fn issue(
    engine: &Engine,
    actor: &str,
    draft: impl FnOnce(&Keys, TimestampNs) -> Result<(KeyDraft, Option<(KeyId, TimestampNs)>), KeyError>,
) -> Result<(KeyId, Option<Secret>), ChangeError> {
    let (issue, secret) = draw(engine, actor, draft)?;
    let id = issue.id;
    take_key(engine, issue, None)?;
    Ok((id, secret))
}

/// Revokes a key in the name of an actor; nothing happens to one that was revoked before.
///
/// # Errors
/// When there is no such key, or the ledger is stopping.
pub fn revoke_key(engine: &Engine, id: KeyId, actor: &str) -> Result<(), ChangeError> {
    let at = engine.clock.now();
    let revoked = engine.change_keys(
        |keys| {
            let key = keys.get(id).ok_or(KeyError::Unknown(id))?;
            Ok(key.revoked.is_none().then(|| KeyChange::Revoked { id, at, by: actor.into() }))
        },
        None,
    )?;
    if revoked.is_some() {
        tracing::info!(key = %id, by = actor, "a key was revoked");
        if leaves_no_administrator(engine, id) {
            tracing::warn!(key = %id, by = actor, "no administrator's key is left: nobody can issue keys any more");
        }
    }
    Ok(())
}

/// Whether this is an administrator's key and no other one is good now.
#[must_use]
pub fn leaves_no_administrator(engine: &Engine, id: KeyId) -> bool {
    let now = engine.clock.now();
    engine.shared.keys.look(|keys| keys.leaves_no_administrator(id, now))
}

/// Issues a key in the place of another; both are good for the time of the overlap.
///
/// # Errors
/// When there is no such key or it cannot be replaced, or the ledger is stopping.
pub fn rotate_key(
    engine: &Engine,
    old: KeyId,
    overlap_ns: i64,
    expires_at: TimestampNs,
    actor: &str,
) -> Result<(KeyId, Option<Secret>), ChangeError> {
    issue(engine, actor, |keys, now| replacement(keys, old, overlap_ns, expires_at, now))
}

/// A key in the place of another.
fn replacement(
    keys: &Keys,
    old: KeyId,
    overlap_ns: i64,
    expires_at: TimestampNs,
    now: TimestampNs,
) -> Result<(KeyDraft, Option<(KeyId, TimestampNs)>), KeyError> {
    let key = keys.get(old).ok_or(KeyError::Unknown(old))?;
    let certificate = match &key.issue.proof {
        Proof::Certificate(name) => Some(name.clone()),
        Proof::Secret(_) => None,
    };
    let (name, grant) = (key.issue.name.clone(), key.issue.grant.clone());
    let draft = KeyDraft { name, grant, expires_at, certificate };
    Ok((draft, Some((old, TimestampNs(now.0.saturating_add(overlap_ns))))))
}

#[tonic::async_trait]
impl AccessService for Service {
    async fn create_key(
        &self,
        request: Request<wire::CreateKeyRequest>,
    ) -> Result<Response<wire::CreateKeyResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let actor = caller.principal.actor();
        let draft = draft_of(request.into_inner())?;
        if self.edge.about.second_person.asks(Act::Keys) {
            let drawn = self.edge.change(move |engine| draw(engine, &actor, |_, _| Ok((draft, None)))).await?;
            let (key, api_key, pending) = self.edge.propose_key(&caller, drawn).await?;
            return Ok(Response::new(wire::CreateKeyResponse { key, api_key, pending }));
        }
        let (key, api_key) = self.edge.change(move |engine| issue_key(engine, draft, &actor)).await?;
        let key = Some(self.edge.key(key)?);
        Ok(Response::new(wire::CreateKeyResponse { key, api_key: shown_once(api_key), pending: None }))
    }

    async fn rotate_key(
        &self,
        request: Request<wire::RotateKeyRequest>,
    ) -> Result<Response<wire::RotateKeyResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let actor = caller.principal.actor();
        let request = request.into_inner();
        let old = KeyId::parse(&request.key_id).ok_or(Failure::KeyUnknown)?;
        let mut fields = Fields::default();
        let expires_at = fields.time(Path::Field("expire_time"), request.expire_time.as_ref());
        let overlap_ns = request.overlap.map_or(Some(0), overlap_ns);
        if overlap_ns.is_none() {
            fields.wrong(Path::Field("overlap"), "It must be a span of time of 0 to 366 days.");
        }
        fields.finish()?;
        let overlap_ns = overlap_ns.expect("the field was checked");
        let expires_at = expires_at.unwrap_or(KeyIssue::NEVER);
        if self.edge.about.second_person.asks(Act::Keys) {
            let draft = move |keys: &Keys, now| replacement(keys, old, overlap_ns, expires_at, now);
            let drawn = self.edge.change(move |engine| draw(engine, &actor, draft)).await?;
            let (key, api_key, pending) = self.edge.propose_key(&caller, drawn).await?;
            return Ok(Response::new(wire::RotateKeyResponse { key, api_key, pending }));
        }
        let rotated = self.edge.change(move |engine| rotate_key(engine, old, overlap_ns, expires_at, &actor)).await;
        let (key, api_key) = rotated?;
        let key = Some(self.edge.key(key)?);
        Ok(Response::new(wire::RotateKeyResponse { key, api_key: shown_once(api_key), pending: None }))
    }

    async fn revoke_key(
        &self,
        request: Request<wire::RevokeKeyRequest>,
    ) -> Result<Response<wire::RevokeKeyResponse>, Status> {
        let _call = self.edge.enter()?;
        let actor = Caller::of(&request)?.principal.actor();
        let id = KeyId::parse(&request.into_inner().key_id).ok_or(Failure::KeyUnknown)?;
        self.edge.change(move |engine| revoke_key(engine, id, &actor)).await?;
        let leaves_no_administrator = leaves_no_administrator(&self.edge.engine, id);
        Ok(Response::new(wire::RevokeKeyResponse { key: Some(self.edge.key(id)?), leaves_no_administrator }))
    }

    async fn list_keys(
        &self,
        request: Request<wire::ListKeysRequest>,
    ) -> Result<Response<wire::ListKeysResponse>, Status> {
        let _call = self.edge.enter()?;
        let request = request.into_inner();
        let size = page_size(request.page_size)?;
        let first: usize = match request.page_token.as_str() {
            "" => 0,
            token => token
                .parse()
                .map_err(|_| Failure::field("page_token", "It is not a token that this server gave for this list."))?,
        };
        let now = self.edge.engine.clock.now();
        let (keys, count) = self.edge.engine.shared.keys.look(|keys| {
            let page = keys.iter().skip(first).take(size).map(|key| wire_key(key, now));
            (page.collect::<Vec<_>>(), keys.iter().len())
        });
        let next = first.saturating_add(size);
        let next_page_token = if next < count { next.to_string() } else { String::new() };
        Ok(Response::new(wire::ListKeysResponse { keys, next_page_token }))
    }
}

impl Edge {
    /// Changes keys on a thread that may wait for the disk.
    async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        change: impl FnOnce(&Engine) -> Result<T, ChangeError> + Send + 'static,
    ) -> Result<T, Failure> {
        // Goes on when the caller has gone; the server waits for it.
        let (call, engine) = (self.enter()?, self.engine.clone());
        let changed = tokio::task::spawn_blocking(move || {
            let changed = change(&engine);
            drop(call);
            changed
        });
        changed.await.map_err(Failure::internal)?.map_err(failure_of_change)
    }

    /// Proposes a key that was drawn. Its secret is told to whoever asked for it, and to nobody when it is confirmed.
    async fn propose_key(
        self: &Arc<Self>,
        caller: &Caller,
        (issue, secret): (KeyIssue, Option<Secret>),
    ) -> Result<(Option<wire::Key>, String, Option<wire::PendingProposal>), Failure> {
        let key = proposed_key(&issue);
        let mut content = Vec::new();
        encode_key_change(&mut content, &KeyChange::Issued(Box::new(issue)));
        let asked_for = AskedFor { act: Act::Keys, transaction_id: "" };
        let pending = self.propose(caller, asked_for, content).await?;
        Ok((Some(key), shown_once(secret), pending))
    }

    pub(super) fn key(&self, id: KeyId) -> Result<wire::Key, Failure> {
        let now = self.engine.clock.now();
        let key = self.engine.shared.keys.look(|keys| keys.get(id).map(|key| wire_key(key, now)));
        key.ok_or_else(|| Failure::internal("a key that was changed is not there"))
    }
}

pub(super) fn failure_of_change(error: ChangeError) -> Failure {
    match error {
        ChangeError::Unfit(KeyError::Unknown(_)) => Failure::KeyUnknown,
        ChangeError::Unfit(KeyError::Full) => Failure::LimitReached(format!("{error}.")),
        ChangeError::Unfit(_) => Failure::KeyChangeRefused(format!("{error}.")),
        ChangeError::Stopping => Failure::OutcomeUnknown,
        ChangeError::Random(_) => Failure::internal(error),
    }
}

/// The key of a change that issues one.
pub(super) fn issue_of(change: KeyChange) -> Result<KeyIssue, Failure> {
    match change {
        KeyChange::Issued(issue) => Ok(*issue),
        KeyChange::Revoked { id, .. } => Err(Failure::internal(format_args!("the revocation of {id} never waits"))),
    }
}

fn shown_once(api_key: Option<Secret>) -> String {
    api_key.map_or_else(String::new, |api_key| api_key.expose().to_owned())
}

const NS_PER_SECOND: i64 = 1_000_000_000;
/// The longest overlap of two keys.
const OVERLAP_SECONDS_MAX: i64 = 366 * 86_400;

fn overlap_ns(overlap: prost_types::Duration) -> Option<i64> {
    let is_right = (0..=OVERLAP_SECONDS_MAX).contains(&overlap.seconds) && (0..1_000_000_000).contains(&overlap.nanos);
    is_right.then(|| overlap.seconds * NS_PER_SECOND + i64::from(overlap.nanos))
}

fn draft_of(request: wire::CreateKeyRequest) -> Result<KeyDraft, Failure> {
    let mut fields = Fields::default();
    fields.text(Path::Field("name"), &request.name, 1, limits::KEY_NAME_BYTES_MAX);
    fields.text(Path::Field("certificate_name"), &request.certificate_name, 0, limits::CERTIFICATE_NAME_BYTES_MAX);
    let expires_at = fields.time(Path::Field("expire_time"), request.expire_time.as_ref());
    let stated = request.grant.unwrap_or_default();
    let role = u8::try_from(stated.role).ok().and_then(Role::from_number);
    if role.is_none() {
        fields.wrong(Path::Field("grant.role"), "It is required: one of the roles.");
    }
    fields.finish()?;
    let boxed = |names: Vec<String>| names.into_iter().map(String::into_boxed_str).collect();
    let grant = Grant {
        role: role.expect("the field was checked"),
        partner: stated.partner.into(),
        stores: boxed(stated.store_ids),
        terminals: boxed(stated.terminal_ids),
    };
    let certificate = (!request.certificate_name.is_empty()).then(|| request.certificate_name.into_boxed_str());
    Ok(KeyDraft { name: request.name.into(), grant, expires_at: expires_at.unwrap_or(KeyIssue::NEVER), certificate })
}

/// A key that is good for nothing yet.
pub(super) fn proposed_key(issue: &KeyIssue) -> wire::Key {
    let strings = |names: &[Box<str>]| names.iter().map(ToString::to_string).collect();
    wire::Key {
        key_id: issue.id.to_string(),
        name: issue.name.to_string(),
        grant: Some(wire::Grant {
            role: i32::from(issue.grant.role.number()),
            partner: issue.grant.partner.to_string(),
            store_ids: strings(&issue.grant.stores),
            terminal_ids: strings(&issue.grant.terminals),
        }),
        certificate_name: match &issue.proof {
            Proof::Certificate(name) => name.to_string(),
            Proof::Secret(_) => String::new(),
        },
        create_time: Some(times::timestamp(issue.issued_at)),
        creator: issue.issued_by.to_string(),
        expire_time: (issue.expires_at != KeyIssue::NEVER).then(|| times::timestamp(issue.expires_at)),
        ..wire::Key::default()
    }
}

fn wire_key(key: &Key, now: TimestampNs) -> wire::Key {
    wire::Key {
        expire_time: (key.expires_at != KeyIssue::NEVER).then(|| times::timestamp(key.expires_at)),
        revoke_time: key.revoked.as_ref().map(|(at, _)| times::timestamp(*at)),
        revoker: key.revoked.as_ref().map_or_else(String::new, |(_, by)| by.to_string()),
        replacement_key_id: key.replaced_by.map_or_else(String::new, |id| id.to_string()),
        last_use_time: key.last_used().map(times::timestamp),
        live: key.is_live(now),
        position: signed(key.position.0),
        ..proposed_key(&key.issue)
    }
}
