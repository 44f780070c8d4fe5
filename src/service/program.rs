//! `ProgramService`: check, publish, and read versions of the programme.
//!
//! What must stay true: a publication's id follows the rules of all transaction ids, and shares their name space; the
//! claim on it is held until every worker has the version.

use std::sync::Arc;

use prost::Message;
use tonic::{Request, Response, Status};

use super::answer::signed;
use super::approval::{AskedFor, failure_of_proposing};
use super::auth::Caller;
use super::command::Claimed;
use super::fields::{Fields, Path};
use super::operator::Signed;
use super::read::{page_size, version_number};
use super::status::Failure;
use super::wire::get_program_request::Selector;
use super::wire::server::program_service_server::ProgramService;
use super::{Edge, Patience, Service, times, wire};
use crate::access::proposals::{Act, Verdict};
use crate::ids::IdKey;
use crate::journal::record::{Publication, Record};
use crate::ledger::program::Program;
use crate::ledger::types::{Position, ProgramVersion, TimestampNs};
use crate::limits;
use crate::program::registry::AppendError;
use crate::program::{self, Problem, Severity};
use crate::shard::engine::Engine;
use crate::shard::publishing::{Draft, PublishError};

#[tonic::async_trait]
impl ProgramService for Service {
    async fn check_program(
        &self,
        request: Request<wire::CheckProgramRequest>,
    ) -> Result<Response<wire::CheckProgramResponse>, Status> {
        let _call = self.edge.enter()?;
        let source = request.into_inner().source;
        let mut fields = Fields::default();
        fields.text(Path::Field("source"), &source, 1, limits::PROGRAM_SOURCE_BYTES_MAX);
        fields.finish()?;
        Ok(Response::new(self.edge.blocking(move |engine| Ok(check(engine, &source))).await?))
    }

    async fn publish_program(
        &self,
        request: Request<wire::PublishProgramRequest>,
    ) -> Result<Response<wire::PublishProgramResponse>, Status> {
        let call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let response = self.edge.publish_or_propose(&caller, request.into_inner()).await?;
        drop(call);
        Ok(Response::new(response))
    }

    async fn get_program(
        &self,
        request: Request<wire::GetProgramRequest>,
    ) -> Result<Response<wire::GetProgramResponse>, Status> {
        let _call = self.edge.enter()?;
        Ok(Response::new(self.edge.program(request.into_inner())?))
    }

    async fn list_programs(
        &self,
        request: Request<wire::ListProgramsRequest>,
    ) -> Result<Response<wire::ListProgramsResponse>, Status> {
        let _call = self.edge.enter()?;
        Ok(Response::new(self.edge.programs(&request.into_inner())?))
    }
}

/// Everything that is wrong or doubtful about a file, and what it contains if it can be published.
fn check(engine: &Engine, source: &str) -> wire::CheckProgramResponse {
    let mut checked = program::check(source);
    if let Some(program) = &checked.program
        && let Err(error) = engine.with_programs(|programs| programs.check_next(&as_next(program, programs)))
    {
        checked.problems.push(program::unfit(source, &error));
        checked.problems.sort_by_key(|problem| (problem.line, problem.column));
        checked.program = None;
    }
    let problems = checked.problems.iter().map(wire_problem).collect();
    wire::CheckProgramResponse { problems, summary: checked.program.as_ref().map(summary) }
}

/// The programme as the version that it would become.
fn as_next(program: &Program, programs: &program::Programs) -> Program {
    let version = programs.latest().map_or(1, |latest| latest.version.0 + 1);
    Program { version: ProgramVersion(version), effective_at: TimestampNs(i64::MAX), ..program.clone() }
}

fn wire_problem(problem: &Problem) -> wire::ProgramProblem {
    let number = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    wire::ProgramProblem {
        line: number(problem.line),
        column: number(problem.column),
        message: problem.message.clone(),
        hint: problem.hint.clone().unwrap_or_default(),
        severity: match problem.severity {
            Severity::Error => wire::ProblemSeverity::Error,
            Severity::Warning => wire::ProblemSeverity::Warning,
        }
        .into(),
    }
}

fn summary(program: &Program) -> wire::ProgramSummary {
    wire::ProgramSummary {
        name: program.name.clone(),
        currency_code: program.currency.clone(),
        time_zone: program.zone.name().to_owned(),
        wallets: program.wallets.iter().map(|wallet| wallet.name.clone()).collect(),
        rules: program.lines.rules.iter().map(|rule| rule.name.clone()).collect(),
        caps: program.all_caps().map(|cap| cap.name.clone()).collect(),
        metrics: program.metrics.iter().map(|metric| metric.name.clone()).collect(),
        budgets: program.budgets.iter().map(|budget| budget.name.clone()).collect(),
        source_hash: hex(&program.source_hash),
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn wire_program(program: &Program, position: Position, publication: &Publication) -> wire::Program {
    wire::Program {
        version: version_number(program),
        name: program.name.clone(),
        effective_time: Some(times::timestamp(publication.effective_at)),
        source_hash: hex(&program.source_hash),
        posting_time: Some(times::timestamp(publication.posted_at)),
        position: signed(position.0),
    }
}

/// A claim that travels to the thread that publishes, and is dropped there: a caller that goes away does not free the
/// id of a publication that is under way.
struct OwnedClaim {
    engine: Arc<Engine>,
    key: IdKey,
}

impl Drop for OwnedClaim {
    fn drop(&mut self) {
        self.engine.shared.ids.release(self.key);
    }
}

impl Edge {
    /// Publishes, or proposes to.
    async fn publish_or_propose(
        self: &Arc<Self>,
        caller: &Caller,
        request: wire::PublishProgramRequest,
    ) -> Result<wire::PublishProgramResponse, Failure> {
        check_request(&request)?;
        let waits = self.about.second_person.asks(Act::Publish);
        if !waits || self.decided(caller, &request.transaction_id).await?.is_some() {
            return self.publish(caller, request, Signed::by(caller), None).await;
        }
        // What has errors need not wait to be told so.
        let source = request.source.clone();
        let checked = self.blocking(move |engine| Ok(check(engine, &source))).await?;
        let errors = checked.problems.iter().filter(|problem| problem.severity() == wire::ProblemSeverity::Error);
        let violations: Vec<_> = errors.map(of_wire).take(limits::FIELD_VIOLATIONS_MAX).collect();
        if !violations.is_empty() {
            return Err(Failure::ProgramInvalid(violations));
        }
        let asked_for = AskedFor { act: Act::Publish, transaction_id: &request.transaction_id };
        let pending = self.propose(caller, asked_for, request.encode_to_vec()).await?;
        if pending.is_none() {
            return self.publish(caller, request, Signed::by(caller), None).await;
        }
        Ok(wire::PublishProgramResponse { program: None, replayed: false, pending })
    }

    pub(super) async fn publish(
        self: &Arc<Self>,
        caller: &Caller,
        request: wire::PublishProgramRequest,
        signed: Signed,
        confirmed: Option<Verdict>,
    ) -> Result<wire::PublishProgramResponse, Failure> {
        let effective_at = check_request(&request)?;
        self.check_deadline(caller)?;
        let key = self.engine.hasher.transaction(&caller.principal.partner, &request.transaction_id);
        let claim = match self.claim(key, Patience::None).await? {
            Claimed::Used(entry) => return self.publication_again(entry.position, request, effective_at).await,
            Claimed::Held(held) => {
                held.hand_over();
                OwnedClaim { engine: self.engine.clone(), key }
            }
        };
        let draft = Draft {
            source: request.source,
            effective_at: effective_at.unwrap_or(TimestampNs(i64::MIN)),
            partner: caller.principal.symbol,
            transaction_id: request.transaction_id.into_boxed_str(),
            actor: signed.actor,
            confirmed: None,
        };
        let source = draft.source.clone();
        let call = self.enter()?;
        let publishing = tokio::task::spawn_blocking(move || {
            let engine = claim.engine.clone();
            let publish = |engine: &Engine, confirmed| {
                let draft = Draft { confirmed, ..draft };
                if effective_at.is_some() { engine.publish(draft) } else { engine.publish_next(draft) }
            };
            let published = match confirmed {
                None => Ok(publish(&engine, None)),
                Some(verdict) => engine.confirm(verdict, |engine, verdict| publish(engine, Some(verdict))),
            };
            // The verdict is settled by now: nobody else's has to wait for the clock.
            if let (None, Ok(Ok((program, _)))) = (effective_at, &published) {
                engine.await_effect(program);
            }
            drop((claim, call));
            published
        });
        let published = publishing.await.map_err(Failure::internal)?.map_err(failure_of_proposing)?;
        let (program, position) = published.map_err(|error| publish_failure(error, &source))?;
        let program = self.published(program.version, position)?;
        Ok(wire::PublishProgramResponse { program: Some(program), replayed: false, pending: None })
    }

    /// The answer to a publication whose id is used already.
    async fn publication_again(
        &self,
        position: Position,
        request: wire::PublishProgramRequest,
        effective_at: Option<TimestampNs>,
    ) -> Result<wire::PublishProgramResponse, Failure> {
        let located = self.record(position).await?;
        let Record::Program(publication) = &located.record else {
            return Err(Failure::TransactionIdReused("command".to_owned()));
        };
        if *publication.source != *request.source {
            return Err(Failure::TransactionIdReused("source".to_owned()));
        }
        if effective_at.is_some_and(|effective_at| effective_at != publication.effective_at) {
            return Err(Failure::TransactionIdReused("effective_time".to_owned()));
        }
        let program = self.published(publication.version, position)?;
        Ok(wire::PublishProgramResponse { program: Some(program), replayed: true, pending: None })
    }

    fn published(&self, version: ProgramVersion, position: Position) -> Result<wire::Program, Failure> {
        let (program, _) = self.version(version)?;
        if program.position == signed(position.0) {
            Ok(program)
        } else {
            Err(Failure::internal(format_args!("version {version} was not published at {position}")))
        }
    }

    /// A version with its source.
    fn version(&self, version: ProgramVersion) -> Result<(wire::Program, String), Failure> {
        let program = self.engine.with_programs(|programs| programs.get(version).cloned());
        let program = program.ok_or(Failure::ProgramUnknown)?;
        let index = usize::try_from(version.0).ok().and_then(|number| number.checked_sub(1));
        self.engine.with_publications(|publications| {
            let (position, publication) =
                index.and_then(|index| publications.get(index)).ok_or(Failure::ProgramUnknown)?;
            Ok((wire_program(&program, *position, publication), publication.source.to_string()))
        })
    }

    fn program(&self, request: wire::GetProgramRequest) -> Result<wire::GetProgramResponse, Failure> {
        let version = match request.selector {
            Some(Selector::Version(number)) => match u32::try_from(number) {
                Ok(number) if number > 0 => ProgramVersion(number),
                _ => return Err(Failure::field("version", "It must be 1 or more.")),
            },
            Some(Selector::EventTime(time)) => {
                let mut fields = Fields::default();
                let at = fields.time(Path::Field("event_time"), Some(&time));
                fields.finish()?;
                self.in_force(at.expect("the field was checked"))?
            }
            None => self.in_force(self.engine.read_stamp())?,
        };
        let (program, source) = self.version(version)?;
        Ok(wire::GetProgramResponse { program: Some(program), source })
    }

    fn in_force(&self, at: TimestampNs) -> Result<ProgramVersion, Failure> {
        let version = self.engine.with_programs(|programs| programs.in_force(at).map(|program| program.version));
        version.ok_or(Failure::ProgramUnknown)
    }

    fn programs(&self, request: &wire::ListProgramsRequest) -> Result<wire::ListProgramsResponse, Failure> {
        let size = page_size(request.page_size)?;
        let latest = self.engine.with_programs(|programs| programs.latest().map_or(0, |latest| latest.version.0));
        let first = match request.page_token.as_str() {
            "" => latest,
            token => token.parse().ok().filter(|first| (1..=latest).contains(first)).ok_or_else(|| {
                Failure::field("page_token", "It is not a token that this server gave for this list.")
            })?,
        };
        let count = u32::try_from(size).unwrap_or(u32::MAX).min(first);
        let versions = (0..count).map(|step| ProgramVersion(first - step));
        let programs = versions.map(|version| self.version(version).map(|(program, _)| program));
        let next = first - count;
        Ok(wire::ListProgramsResponse {
            programs: programs.collect::<Result<_, _>>()?,
            next_page_token: if next > 0 { next.to_string() } else { String::new() },
        })
    }
}

/// Checks the fields of a publication; gives the time from which on it is to judge.
fn check_request(request: &wire::PublishProgramRequest) -> Result<Option<TimestampNs>, Failure> {
    let mut fields = Fields::default();
    let id_bytes = limits::TRANSACTION_ID_BYTES_MAX;
    fields.text(Path::Field("transaction_id"), &request.transaction_id, 1, id_bytes);
    fields.text(Path::Field("source"), &request.source, 1, limits::PROGRAM_SOURCE_BYTES_MAX);
    let effective_at = fields.time(Path::Field("effective_time"), request.effective_time.as_ref());
    fields.finish()?;
    Ok(effective_at)
}

fn of_wire(problem: &wire::ProgramProblem) -> wire::FieldViolation {
    let description = format!("{}:{}: {}", problem.line, problem.column, problem.message);
    wire::FieldViolation { field: "source".to_owned(), description }
}

fn publish_failure(error: PublishError, source: &str) -> Failure {
    match error {
        PublishError::Problems(problems) => {
            let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
            // They travel in a header; CheckProgram states them all.
            Failure::ProgramInvalid(errors.map(violation).take(limits::FIELD_VIOLATIONS_MAX).collect())
        }
        PublishError::TooEarly { .. }
        | PublishError::ZoneTooSoon { .. }
        | PublishError::Scheduled { .. }
        | PublishError::Unfit(AppendError::NotLater { .. }) => Failure::EffectiveTimeRefused(format!("{error}.")),
        PublishError::TooMany | PublishError::Unfit(AppendError::Full) => Failure::LimitReached(format!("{error}.")),
        PublishError::Unfit(AppendError::NotNext { .. }) => Failure::internal(error),
        PublishError::Unfit(
            unfit @ (AppendError::CurrencyChanged { .. }
            | AppendError::WalletChanged { .. }
            | AppendError::WalletKindChanged { .. }
            | AppendError::LateLimitRaised { .. }
            | AppendError::CounterChanged { .. }),
        ) => Failure::ProgramInvalid(vec![violation(&program::unfit(source, &unfit))]),
        PublishError::Stopping => Failure::OutcomeUnknown,
    }
}

/// A problem as a field violation: the place comes first.
fn violation(problem: &Problem) -> wire::FieldViolation {
    let description = format!("{}:{}: {}", problem.line, problem.column, problem.message);
    wire::FieldViolation { field: "source".to_owned(), description }
}
