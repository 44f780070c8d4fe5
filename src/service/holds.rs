//! The way of captures and voids until a worker has them: their own id first, then the authorization.
//!
//! What must stay true: while such a command waits for another transaction id, be it its own or the authorization's, it
//! holds no claim; a partner finds its own authorizations and no others; nothing but the account decides whether an
//! authorization is open.

use std::sync::Arc;

use super::auth::Caller;
use super::command::{Claimed, Ready, Started};
use super::convert::{Rules, check_posting_time};
use super::fields::{Fields, Path};
use super::intake::make_room;
use super::reverse::Original;
use super::status::Failure;
use super::{Edge, Patience, batch, wire};
use crate::ledger::command::{AuthorizationOf, Capture, Command, CommandKind};
use crate::ledger::decision::Refusal;
use crate::ledger::state::account_hash;
use crate::ledger::types::{Position, TimestampNs};
use crate::limits;
use crate::recovery::ids_of;
use crate::shard::job::CommandJob;

/// A command about an authorization, as it was asked for.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    Capture(wire::CaptureRequest),
    Void(wire::VoidRequest),
}

impl Ending {
    fn transaction_id(&self) -> &str {
        match self {
            Self::Capture(request) => &request.transaction_id,
            Self::Void(request) => &request.transaction_id,
        }
    }

    fn authorization_id(&self) -> &str {
        match self {
            Self::Capture(request) => &request.authorization_transaction_id,
            Self::Void(request) => &request.authorization_transaction_id,
        }
    }

    fn kind(&self, of: AuthorizationOf) -> CommandKind {
        match self {
            Self::Capture(request) => {
                CommandKind::Capture(Capture { of, units: request.points, is_final: request.final_capture })
            }
            Self::Void(_) => CommandKind::Void(of),
        }
    }

    /// The command for an account.
    fn command(&self, caller: &Caller, account_id: &str, of: AuthorizationOf) -> Command {
        Command {
            account_id: account_id.to_owned(),
            transaction_id: self.transaction_id().to_owned(),
            partner: caller.principal.symbol,
            kind: self.kind(of),
            ..Command::default()
        }
    }
}

/// Checks all of a capture or a void; the posting time, if it states one.
fn check(ending: &Ending, rules: Rules<'_>) -> Result<Option<TimestampNs>, Failure> {
    let mut fields = Fields::default();
    let (own, of) = (ending.transaction_id(), ending.authorization_id());
    fields.text(Path::Field("transaction_id"), own, 1, limits::TRANSACTION_ID_BYTES_MAX);
    fields.text(Path::Field("authorization_transaction_id"), of, 1, limits::TRANSACTION_ID_BYTES_MAX);
    if !own.is_empty() && own == of {
        fields.wrong(Path::Field("authorization_transaction_id"), "It must differ from the own transaction_id.");
    }
    let posting_time = match ending {
        Ending::Capture(request) => {
            fields.number(Path::Field("points"), request.points, 1, limits::UNITS_MAX);
            request.posting_time.as_ref()
        }
        Ending::Void(request) => request.posting_time.as_ref(),
    };
    let posting_at = check_posting_time(&mut fields, posting_time, rules);
    fields.finish()?;
    Ok(posting_at)
}

impl Edge {
    /// Decides a capture or a void of a call of its own.
    pub(super) async fn end(self: &Arc<Self>, caller: &Caller, ending: Ending) -> Result<wire::Decision, Failure> {
        let answered = match self.start_ending(caller, ending, Patience::None).await {
            Ok(started) => started.answer().await,
            Err(failure) => Err(failure),
        };
        batch::decode(&answered.map_err(|failure| self.counted(failure))?)
    }

    /// Starts a capture or a void, waiting for whatever it has to wait for.
    pub(super) async fn start_ending(
        self: &Arc<Self>,
        caller: &Caller,
        ending: Ending,
        patience: Patience,
    ) -> Result<Started, Failure> {
        let posting_at = self.with_rules(|rules| check(&ending, rules))?;
        self.check_deadline(caller)?;
        let stamp = posting_at.unwrap_or_else(|| self.engine.clock.now());
        self.wait_for_gate(stamp).await?;
        let key = |id: &str| self.engine.hasher.transaction(&caller.principal.partner, id);
        let (own_key, original_key) = (key(ending.transaction_id()), key(ending.authorization_id()));
        loop {
            let own = match self.claim(own_key, patience).await? {
                Claimed::Held(held) => held,
                Claimed::Used(entry) => {
                    let (edge, caller) = (self.clone(), caller.clone());
                    let lookup = async move { edge.repeat_ending(&caller, entry.position, &ending).await };
                    return Ok(Started::Lookup(Box::pin(lookup)));
                }
            };
            match self.find_original(original_key)? {
                Original::Found(position) => {
                    let Some((account_id, of)) = self.authorization(position).await? else {
                        return Ok(Started::Answered(self.refused(Refusal::AuthorizationUnknown, None)));
                    };
                    let command = ending.command(caller, &account_id, of);
                    let ids = ids_of(&self.engine.hasher, &self.engine.dictionary, &command);
                    let mut job = CommandJob {
                        account_hash: account_hash(&command.account_id),
                        command,
                        stamp,
                        ids,
                        deadline_ns: caller.deadline_ns,
                        ..CommandJob::blank()
                    };
                    make_room(&mut job);
                    let ready = Ready { job: Box::new(job), original_version: None };
                    return self.hand_to_worker(ready, [own], patience).await;
                }
                Original::Unknown => {
                    return Ok(Started::Answered(self.refused(Refusal::AuthorizationUnknown, None)));
                }
                Original::InFlight => {
                    drop(own);
                    self.wait_for_claim(original_key).await?;
                }
            }
        }
    }

    /// The authorization that a record granted, and whose points it set aside.
    async fn authorization(&self, position: Position) -> Result<Option<(Box<str>, AuthorizationOf)>, Failure> {
        let located = self.record(position).await?;
        let Some((entry, of)) = located.entry().and_then(|entry| Some((entry, entry.authorization(position)?))) else {
            return Ok(None);
        };
        Ok(Some((self.account_id_of(&located, entry).await?, of)))
    }

    /// The answer to a capture or a void whose transaction id is used already.
    async fn repeat_ending(
        &self,
        caller: &Caller,
        position: Position,
        ending: &Ending,
    ) -> Result<wire::Decision, Failure> {
        let located = self.record(position).await?;
        let Some(entry) = located.entry() else { return Ok(self.reused("command".to_owned())) };
        // The account follows from the authorization: what is told to differ is a field that the caller stated.
        let of = AuthorizationOf { transaction_id: ending.authorization_id().into(), ..AuthorizationOf::default() };
        let command = ending.command(caller, &entry.command.account_id, of);
        let same_naming = Command { named_by: entry.command.named_by, member: entry.command.member, ..command };
        match same_naming.first_difference(&entry.command) {
            Some(field) => Ok(self.reused(field)),
            None => self.repeated(&located, entry).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules<'static> = Rules { clock_is_input: false, currency: None };

    fn wrong(ending: &Ending) -> Vec<String> {
        match check(ending, RULES) {
            Err(Failure::Invalid(violations)) => violations.into_iter().map(|violation| violation.field).collect(),
            other => panic!("{other:?} is not about fields"),
        }
    }

    fn capture(own: &str, of: &str, points: i64) -> Ending {
        Ending::Capture(wire::CaptureRequest {
            transaction_id: own.to_owned(),
            authorization_transaction_id: of.to_owned(),
            points,
            ..wire::CaptureRequest::default()
        })
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(check(&capture("c", "a", 1), RULES), Ok(None));
        let all = ["transaction_id", "authorization_transaction_id", "points"];
        assert_eq!(wrong(&capture("", "", 0)), all);
        assert_eq!(wrong(&capture("a", "a", 1)), ["authorization_transaction_id"]);
        assert_eq!(wrong(&capture("c", "a", limits::UNITS_MAX + 1)), ["points"]);
        let ids = ["transaction_id", "authorization_transaction_id"];
        assert_eq!(wrong(&Ending::Void(wire::VoidRequest::default())), ids);
        let Err(Failure::Invalid(violations)) =
            check(&capture("c", "a", 1), Rules { clock_is_input: true, currency: None })
        else {
            panic!("a posting time is required");
        };
        assert_eq!(violations[0].field, "posting_time");
    }
}
