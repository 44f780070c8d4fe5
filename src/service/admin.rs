//! `AdminService`: how the server stands, all accounts at a time, a snapshot now, a backup.
//!
//! What must stay true: none of this holds up commands, but for the digest, which reads the whole state and says so;
//! an export whose caller has gone is given up.

use std::ops::ControlFlow;
use std::path::{Component, PathBuf};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::answer::signed;
use super::auth::{Caller, Principal};
use super::connections::Peer;
use super::fields::{Fields, Path};
use super::program::hex;
use super::read::{account_row, version_number};
use super::status::Failure;
use super::wire::export_accounts_response::Part;
use super::wire::server::admin_service_server::AdminService;
use super::{Call, Edge, Patience, Service, times, wire};
use crate::audit::export::{Export, export_accounts};
use crate::backup;
use crate::ledger::digest::Digest;
use crate::ledger::types::{Position, ShardId, TimestampNs};
use crate::replay::digest_of_shards;
use crate::shard::job::{Job, Survey};
use crate::shard::tickets::Ticket;
use crate::snapshot::Marker;

/// Rows in one message of an export.
const EXPORT_ROWS: usize = 512;
/// Messages of an export that wait for the connection.
const EXPORT_MESSAGES_WAITING_MAX: usize = 4;
/// Progress is told no more often than this.
const PROGRESS_INTERVAL_NS: i64 = 250_000_000;

type ExportMessage = Result<wire::ExportAccountsResponse, Status>;

#[tonic::async_trait]
impl AdminService for Service {
    async fn get_status(
        &self,
        request: Request<wire::GetStatusRequest>,
    ) -> Result<Response<wire::GetStatusResponse>, Status> {
        let _call = self.edge.enter()?;
        Ok(Response::new(self.edge.status(request.into_inner().digest).await?))
    }

    type ExportAccountsStream = ReceiverStream<ExportMessage>;

    async fn export_accounts(
        &self,
        request: Request<wire::ExportAccountsRequest>,
    ) -> Result<Response<Self::ExportAccountsStream>, Status> {
        let (caller, call) = (Caller::of(&request)?, self.edge.enter()?);
        Ok(Response::new(self.edge.export(&caller, call, &request.into_inner())?))
    }

    async fn take_snapshot(
        &self,
        _: Request<wire::TakeSnapshotRequest>,
    ) -> Result<Response<wire::TakeSnapshotResponse>, Status> {
        let _call = self.edge.enter()?;
        let taken = self.edge.aside(|engine| Ok(engine.snapshot())).await?;
        let marker = taken.map_err(|_| Failure::ShuttingDown)?;
        Ok(Response::new(wire::TakeSnapshotResponse { snapshot: Some(wire_snapshot(&marker)) }))
    }

    async fn create_backup(
        &self,
        request: Request<wire::CreateBackupRequest>,
    ) -> Result<Response<wire::CreateBackupResponse>, Status> {
        let call = self.edge.enter()?;
        let from_here = request.extensions().get::<Peer>().is_some_and(|peer| peer.0.ip().is_loopback());
        let made = self.edge.clone().back_up(call, from_here, request.into_inner().directory).await?;
        Ok(Response::new(made))
    }
}

fn wire_snapshot(marker: &Marker) -> wire::Snapshot {
    wire::Snapshot {
        position: signed(marker.start.0),
        snapshot_time: Some(times::timestamp(marker.finished_at)),
        entity_count: signed(marker.entity_count),
    }
}

fn duration(duration_ns: i64) -> prost_types::Duration {
    let nanos = i32::try_from(duration_ns % 1_000_000_000).unwrap_or_default();
    prost_types::Duration { seconds: duration_ns / 1_000_000_000, nanos }
}

/// The last record before an end.
fn last_before(end: Position) -> Option<i64> {
    end.0.checked_sub(1).map(signed)
}

impl Edge {
    async fn status(&self, with_digest: bool) -> Result<wire::GetStatusResponse, Failure> {
        let survey = self.survey(with_digest).await?;
        let durable_end = self.engine.progress.durable_end();
        let mark = self.aside(|engine| engine.journal.read_high_water()).await?;
        let ids = self.engine.shared.ids.stats();
        let snapshot = self.engine.last_snapshot();
        let input = self.engine.identity.clock_is_input;
        let clock_mode = if input { wire::ClockMode::Input } else { wire::ClockMode::System };
        let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let read_stamp = self.engine.read_stamp();
        let (in_force, version_count) = self.engine.with_programs(|programs| {
            (programs.in_force(read_stamp).map_or(0, |program| version_number(program)), programs.iter().len())
        });
        Ok(wire::GetStatusResponse {
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            data_path: self.about.data_path.clone(),
            clock_mode: clock_mode.into(),
            read_time: Some(times::timestamp(self.engine.clock.now())),
            start_time: Some(times::timestamp(self.about.started_at)),
            epoch: signed(self.engine.epoch),
            durable_position: last_before(durable_end),
            mark_position: mark.and_then(|mark| last_before(mark.end)),
            posting_time: survey.posted_at.map(times::timestamp),
            program_version: in_force,
            program_version_count: number(version_count),
            shard_count: i32::from(self.engine.identity.shard_count),
            worker_count: number(self.engine.worker_count()),
            account_count: signed(survey.account_count),
            journal_bytes: signed(self.journal_bytes()),
            journal_bytes_exact: self.engine.journal_size.extent().is_some(),
            queued_job_count: signed(self.engine.queue_lengths().iter().map(|length| *length as u64).sum()),
            queue_depth: number(self.about.queue_depth),
            durable_lag: Some(duration(self.engine.metrics.commit_age_ns(self.engine.clock.monotonic_ns()))),
            call_count: number(self.calls_under_way()),
            connection_count: i32::try_from(self.engine.metrics.connections.open.get()).unwrap_or(i32::MAX),
            recovery_duration: Some(duration(self.about.recovery.took_ms.saturating_mul(1_000_000))),
            replayed_record_count: signed(self.about.recovery.replayed_count),
            expected_recovery_duration: Some(duration(self.expected_recovery_ms().saturating_mul(1_000_000))),
            replay_speed_measured: self.about.recovery.speed.is_measured,
            budget_warning_count: number(self.budget_warnings_reached()),
            memory_id_count: signed(ids.memory_id_count),
            disk_id_count: signed(ids.disk_id_count),
            snapshot: snapshot.as_ref().map(wire_snapshot),
            digest: with_digest.then(|| self.digest(survey, durable_end)),
        })
    }

    /// Waits until a change of a shared cell is durable, and all before it.
    pub(super) async fn is_durable(&self, change: Ticket) -> Result<(), Failure> {
        if self.engine.shared.tickets.is_safe(change) {
            return Ok(());
        }
        let mut answers = Vec::new();
        for index in 0..self.engine.worker_count() {
            let (told, answer) = oneshot::channel();
            let reply = Box::new(move |()| {
                let _ = told.send(());
            });
            // The shards are dealt round, so the first ones stand for the workers.
            let shard = ShardId(u16::try_from(index).expect("workers are few"));
            self.submit(shard, Job::Settled(reply), Patience::None).await?;
            answers.push(answer);
        }
        for answer in answers {
            answer.await.map_err(|_| Failure::ShuttingDown)?;
        }
        Ok(())
    }

    /// What all workers say together.
    async fn survey(&self, with_digests: bool) -> Result<Survey, Failure> {
        let mut answers = Vec::new();
        for index in 0..self.engine.worker_count() {
            let (told, answer) = oneshot::channel();
            let reply = Box::new(move |survey| {
                let _ = told.send(survey);
            });
            // The shards are dealt round, so the first ones stand for the workers.
            let shard = ShardId(u16::try_from(index).expect("workers are few"));
            self.submit(shard, Job::Survey(with_digests, reply), Patience::Unlimited).await?;
            answers.push(answer);
        }
        let mut whole = Survey::default();
        for answer in answers {
            let part: Survey = answer.await.map_err(|_| Failure::ShuttingDown)?;
            whole.account_count += part.account_count;
            whole.posted_at = whole.posted_at.max(part.posted_at);
            whole.digests.extend(part.digests);
        }
        whole.digests.sort_unstable_by_key(|(shard, _)| *shard);
        Ok(whole)
    }

    fn digest(&self, survey: Survey, durable_end: Position) -> wire::StateDigest {
        let latest = survey.posted_at.unwrap_or(TimestampNs(i64::MIN));
        let shards = survey.digests.into_iter().map(|(_, digest)| digest);
        let Digest(digest) = self.engine.with_programs(|programs| {
            let shared = &self.engine.shared;
            shared.freezes.look(|freezes| {
                digest_of_shards(shards, latest, &shared.cells, &self.engine.dictionary, programs, freezes)
            })
        });
        wire::StateDigest { hash: hex(&digest), position: last_before(durable_end) }
    }

    /// Makes a backup; goes on when the caller has gone.
    async fn back_up(
        self: Arc<Self>,
        call: Call,
        from_here: bool,
        directory: String,
    ) -> Result<wire::CreateBackupResponse, Failure> {
        let directory = self.check_backup(from_here, directory)?;
        let permit = self.backups.clone().try_acquire_owned().map_err(|_| Failure::Overloaded)?;
        let edge = self.clone();
        let made = tokio::task::spawn_blocking(move || {
            let made = edge.make_backup(&directory);
            drop((permit, call));
            made
        });
        made.await.map_err(Failure::internal)?
    }

    /// Where a backup may be made: below the configured root, or anywhere if the caller is on this machine.
    fn check_backup(&self, from_here: bool, directory: String) -> Result<PathBuf, Failure> {
        let path = PathBuf::from(directory);
        let is_plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        if !path.is_absolute() || !is_plain {
            return Err(Failure::field("directory", "It must be an absolute path without `.` and `..`."));
        }
        match &self.about.backup_root {
            Some(root) if path.starts_with(root) && path != *root => Ok(path),
            Some(root) => Err(Failure::field("directory", format!("It must lie below {}.", root.display()))),
            None if from_here => Ok(path),
            None => {
                let why = "Without a configured backup_root only callers on the server's machine may make backups.";
                Err(Failure::NotPermitted(why.to_owned()))
            }
        }
    }

    fn make_backup(&self, directory: &std::path::Path) -> Result<wire::CreateBackupResponse, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::BackupFailed(format!("{error}."));
        let Some(copy) = &self.about.copy_store else { return Err(failed(&"this server keeps nothing on disk")) };
        let (begun_at, begun_ns) = (self.engine.clock.now(), self.engine.clock.monotonic_ns());
        let point = self.engine.durable_point()?;
        let point = point.ok_or_else(|| failed(&"there is nothing to back up yet"))?;
        let made = backup::create(directory, &point, &self.engine.identity, begun_at, copy);
        let manifest = made.map_err(|error| {
            tracing::warn!(%error, "a backup could not be made");
            failed(&error)
        })?;
        let took_ns = self.engine.clock.monotonic_ns() - begun_ns;
        tracing::info!(
            directory = %directory.display(),
            records = manifest.record_count,
            bytes = manifest.byte_count,
            took_ms = took_ns / 1_000_000,
            "a backup was made"
        );
        Ok(wire::CreateBackupResponse {
            directory: directory.display().to_string(),
            record_count: signed(manifest.record_count),
            chain_hash: manifest.chain_hash,
            backup_time: Some(times::timestamp(begun_at)),
            byte_count: signed(manifest.byte_count),
            duration: Some(duration(took_ns)),
        })
    }

    /// Begins an export; the rest happens on a thread that may wait for the disk.
    fn export(
        self: &Arc<Self>,
        caller: &Caller,
        call: Call,
        request: &wire::ExportAccountsRequest,
    ) -> Result<ReceiverStream<ExportMessage>, Failure> {
        let mut fields = Fields::default();
        let path = Path::Field("as_of_time");
        let as_of = fields.time(path, request.as_of_time.as_ref());
        if !self.engine.identity.clock_is_input && as_of.is_some_and(|as_of| as_of > self.engine.clock.now()) {
            fields.wrong(path, "It must not lie in the future.");
        }
        fields.finish()?;
        let as_of = as_of.unwrap_or_else(|| self.engine.read_stamp());
        let permit = self.exports.clone().try_acquire_owned().map_err(|_| Failure::Overloaded)?;
        let (messages, parts) = mpsc::channel(EXPORT_MESSAGES_WAITING_MAX);
        let (edge, principal) = (self.clone(), caller.principal.clone());
        tokio::task::spawn_blocking(move || {
            if let Err(failure) = edge.run_export(&principal, as_of, &messages) {
                let _ = messages.blocking_send(Err(failure.into()));
            }
            drop((permit, call));
        });
        Ok(ReceiverStream::new(parts))
    }

    /// Whether an export goes on: the server is not stopping, and its caller's credential is still good.
    fn check_export(&self, principal: &Principal) -> Result<(), Failure> {
        match (self.is_serving(), self.gate.still_admits(principal)) {
            (false, _) => Err(Failure::ShuttingDown),
            (true, false) => Err(Failure::CredentialUnknown),
            (true, true) => Ok(()),
        }
    }

    fn run_export(
        &self,
        principal: &Principal,
        as_of: TimestampNs,
        messages: &mpsc::Sender<ExportMessage>,
    ) -> Result<(), Failure> {
        let mut told_ns = self.engine.clock.monotonic_ns();
        let mut progress = |done: Position, total: Position| {
            let now_ns = self.engine.clock.monotonic_ns();
            if now_ns - told_ns < PROGRESS_INTERVAL_NS {
                return ControlFlow::Continue(());
            }
            told_ns = now_ns;
            let gone = send_progress(messages, wire::ExportPhase::Replay, done.0, total.0);
            let ends = gone || self.check_export(principal).is_err();
            if ends { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let shard_count = self.engine.identity.shard_count;
        let export = export_accounts(&*self.engine.journal, shard_count, as_of, &mut progress)?;
        let Some(export) = export else {
            // If nothing else has ended it, the caller is gone.
            return self.check_export(principal);
        };
        self.send_rows(principal, &export, messages)
    }

    fn send_rows(
        &self,
        principal: &Principal,
        export: &Export,
        messages: &mpsc::Sender<ExportMessage>,
    ) -> Result<(), Failure> {
        let total = export.account_count() as u64;
        let header = wire::ExportHeader {
            as_of_time: Some(times::timestamp(export.as_of)),
            position: export.position.map(|position| signed(position.0)),
            program_version: export.program.as_deref().map_or(0, version_number),
            row_count: signed(total),
        };
        if send(messages, Part::Header(header)) {
            return Ok(());
        }
        let mut told_ns = self.engine.clock.monotonic_ns();
        let mut sent = 0;
        let mut rows = export.accounts().map(|account| account_row(export.program.as_deref(), &account, export.as_of));
        loop {
            let next: Vec<wire::AccountRow> = rows.by_ref().take(EXPORT_ROWS).collect();
            sent += next.len() as u64;
            if next.is_empty() || send(messages, Part::Rows(wire::AccountRows { rows: next })) {
                return Ok(());
            }
            self.check_export(principal)?;
            let now_ns = self.engine.clock.monotonic_ns();
            if now_ns - told_ns >= PROGRESS_INTERVAL_NS {
                told_ns = now_ns;
                send_progress(messages, wire::ExportPhase::Rows, sent, total);
            }
        }
    }
}

/// Sends a part; true when the caller is gone.
fn send(messages: &mpsc::Sender<ExportMessage>, part: Part) -> bool {
    messages.blocking_send(Ok(wire::ExportAccountsResponse { part: Some(part) })).is_err()
}

fn send_progress(messages: &mpsc::Sender<ExportMessage>, phase: wire::ExportPhase, done: u64, total: u64) -> bool {
    let progress = wire::ExportProgress { phase: phase.into(), done_count: signed(done), total_count: signed(total) };
    send(messages, Part::Progress(progress))
}
