//! `tallystick status`: how a running server and its data directory stand, for people and for monitoring scripts.

use serde_json::json;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use super::client::{LONG_CALL_TIMEOUT, Server, ServerArgs, call, call_within, runtime, shown_time};
use super::error::{CliError, Exit};
use super::output::{Output, Style, counted, grouped};
use crate::service::wire::{ClockMode, GetStatusRequest, GetStatusResponse};

/// Says how a running server and its data directory stand
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Compute the digest of the state too; it reads the whole state
    #[arg(long)]
    digest: bool,
    /// Only ask whether calls are served, which needs no key; the exit status says it
    #[arg(long, conflicts_with = "digest")]
    ready: bool,
}

/// Runs the command.
///
/// # Errors
/// When the server cannot be reached or does not let the caller ask.
pub fn run(args: StatusArgs, out: &Output) -> Result<(), CliError> {
    let server = Server::new(&args.server)?;
    if args.ready {
        runtime()?.block_on(check_ready(&server))?;
        return out.object(&json!({ "ready": true }));
    }
    let status = runtime()?.block_on(ask(&server, args.digest))?;
    print(&server, &status, out)?;
    out.object(&as_json(&server, &status))
}

async fn check_ready(server: &Server) -> Result<(), CliError> {
    let mut clients = server.connect().await?;
    let health = clients.health.check(call(HealthCheckRequest::default())).await;
    let health = health.map_err(|status| server.failure("asking whether calls are served", &status))?.into_inner();
    if health.status() == ServingStatus::Serving {
        return Ok(());
    }
    Err(CliError::new(Exit::Unavailable, format!("the server at {} serves no calls", server.url())))
}

async fn ask(server: &Server, digest: bool) -> Result<GetStatusResponse, CliError> {
    let mut clients = server.connect().await?;
    let request = GetStatusRequest { digest };
    let request = if digest { call_within(LONG_CALL_TIMEOUT, request) } else { call(request) };
    let response = clients.admin.get_status(request).await;
    response.map(tonic::Response::into_inner).map_err(|status| server.failure("asking for the status", &status))
}

fn clock(status: &GetStatusResponse) -> &'static str {
    match status.clock_mode() {
        ClockMode::Input => "input",
        ClockMode::System => "system",
        ClockMode::Unspecified => "unknown",
    }
}

fn milliseconds(duration: Option<&prost_types::Duration>) -> i64 {
    duration.map_or(0, |duration| duration.seconds * 1_000 + i64::from(duration.nanos) / 1_000_000)
}

/// From one instant to a later one; `None` where one is missing.
fn between_ms(from: Option<&prost_types::Timestamp>, to: Option<&prost_types::Timestamp>) -> Option<i64> {
    let (from, to) = (from?, to?);
    Some((to.seconds - from.seconds) * 1_000 + i64::from(to.nanos - from.nanos) / 1_000_000)
}

/// A duration as people say it.
fn shown_ms(duration_ms: i64) -> String {
    let seconds = duration_ms / 1_000;
    match seconds {
        0 => format!("{duration_ms} ms"),
        1..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// One past a position: how many records there are up to it.
fn records(position: Option<i64>) -> i64 {
    position.map_or(0, |position| position.saturating_add(1))
}

fn print(server: &Server, status: &GetStatusResponse, out: &Output) -> Result<(), CliError> {
    let time = |time: Option<&prost_types::Timestamp>| shown_time(time).unwrap_or_else(|| "none".to_owned());
    let data = if status.data_path.is_empty() { "memory, nothing is kept" } else { &status.data_path };
    let programme = match (status.program_version, status.program_version_count) {
        (0, 0) => "none".to_owned(),
        (0, count) => format!("none in force, {count} published"),
        (version, count) => format!("version {version} in force, {count} published"),
    };
    let snapshot = status.snapshot.as_ref().map_or_else(
        || "none".to_owned(),
        |snapshot| {
            format!(
                "{} entities, replay begins at position {}, finished {}, {} ago",
                grouped(snapshot.entity_count),
                grouped(snapshot.position),
                time(snapshot.snapshot_time.as_ref()),
                shown_ms(between_ms(snapshot.snapshot_time.as_ref(), status.read_time.as_ref()).unwrap_or(0)),
            )
        },
    );
    let ids = format!("{} in memory, {} on disk", grouped(status.memory_id_count), grouped(status.disk_id_count));
    let mut rows = vec![
        (
            "server",
            format!(
                "{}, version {}, ready since {}, for {}",
                server.url(),
                status.server_version,
                time(status.start_time.as_ref()),
                shown_ms(between_ms(status.start_time.as_ref(), status.read_time.as_ref()).unwrap_or(0)),
            ),
        ),
        ("data", format!("{data} (opened {})", counted(u64::try_from(status.epoch).unwrap_or(0), "time", "times"))),
        ("clock", clock(status).to_owned()),
        ("programme", programme),
        ("accounts", grouped(status.account_count)),
        (
            "records",
            format!(
                "{} durable, {} vouched for by the mark",
                grouped(records(status.durable_position)),
                grouped(records(status.mark_position))
            ),
        ),
        ("last posting", time(status.posting_time.as_ref())),
        (
            "journal",
            format!(
                "{} bytes{}",
                grouped(status.journal_bytes),
                if status.journal_bytes_exact { "" } else { ", about; it is still being measured" }
            ),
        ),
        ("ids", ids),
        ("snapshot", snapshot),
        (
            "recovery",
            format!(
                "would take about {}{}; the last took {} and replayed {}",
                shown_ms(milliseconds(status.expected_recovery_duration.as_ref())),
                if status.replay_speed_measured { "" } else { " at an assumed speed" },
                shown_ms(milliseconds(status.recovery_duration.as_ref())),
                counted(u64::try_from(status.replayed_record_count).unwrap_or(0), "record", "records"),
            ),
        ),
        (
            "load",
            format!(
                "{} waiting (up to {} for each worker), {} under way, {}, commit lag {}",
                counted(u64::try_from(status.queued_job_count).unwrap_or(0), "job", "jobs"),
                grouped(status.queue_depth),
                counted(u64::try_from(status.call_count).unwrap_or(0), "call", "calls"),
                counted(u64::try_from(status.connection_count).unwrap_or(0), "connection", "connections"),
                shown_ms(milliseconds(status.durable_lag.as_ref())),
            ),
        ),
        (
            "threads",
            format!(
                "{} for {} virtual shards",
                counted(u64::try_from(status.worker_count).unwrap_or(0), "worker", "workers"),
                status.shard_count
            ),
        ),
    ];
    if status.budget_warning_count > 0 {
        let levels =
            counted(u64::try_from(status.budget_warning_count).unwrap_or(0), "warning level", "warning levels");
        rows.push(("budgets", format!("{levels} reached; `tallystick settlement budgets` says which")));
    }
    if let Some(digest) = &status.digest {
        rows.push(("digest", digest.hash.clone()));
    }
    for (name, value) in rows {
        out.line(format_args!("{} {value}", out.paint(Style::Dim, &format!("{name:<13}"))))?;
    }
    Ok(())
}

fn as_json(server: &Server, status: &GetStatusResponse) -> serde_json::Value {
    json!({
        "server": server.url(),
        "server_version": status.server_version,
        "data_path": status.data_path,
        "clock": clock(status),
        "read_time": shown_time(status.read_time.as_ref()),
        "start_time": shown_time(status.start_time.as_ref()),
        "epoch": status.epoch,
        "durable_position": status.durable_position,
        "mark_position": status.mark_position,
        "posting_time": shown_time(status.posting_time.as_ref()),
        "program_version": status.program_version,
        "program_version_count": status.program_version_count,
        "shard_count": status.shard_count,
        "worker_count": status.worker_count,
        "account_count": status.account_count,
        "uptime_ms": between_ms(status.start_time.as_ref(), status.read_time.as_ref()),
        "journal_record_count": records(status.durable_position),
        "journal_bytes": status.journal_bytes,
        "journal_bytes_exact": status.journal_bytes_exact,
        "queued_job_count": status.queued_job_count,
        "queue_depth": status.queue_depth,
        "durable_lag_ms": milliseconds(status.durable_lag.as_ref()),
        "call_count": status.call_count,
        "connection_count": status.connection_count,
        "recovery_ms": milliseconds(status.recovery_duration.as_ref()),
        "replayed_record_count": status.replayed_record_count,
        "expected_recovery_ms": milliseconds(status.expected_recovery_duration.as_ref()),
        "replay_speed_measured": status.replay_speed_measured,
        "budget_warning_count": status.budget_warning_count,
        "memory_id_count": status.memory_id_count,
        "disk_id_count": status.disk_id_count,
        "snapshot": status.snapshot.as_ref().map(|snapshot| json!({
            "position": snapshot.position,
            "snapshot_time": shown_time(snapshot.snapshot_time.as_ref()),
            "entity_count": snapshot.entity_count,
            "age_ms": between_ms(snapshot.snapshot_time.as_ref(), status.read_time.as_ref()),
        })),
        "digest": status.digest.as_ref().map(|digest| json!({
            "hash": digest.hash,
            "position": digest.position,
        })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        let rows = [
            (0, "0 ms"),
            (999, "999 ms"),
            (59_999, "59 s"),
            (61_000, "1 min 1 s"),
            (3_660_000, "1 h 1 min"),
            (90_000_000, "1 d 1 h"),
        ];
        for (duration_ms, shown) in rows {
            assert_eq!(shown_ms(duration_ms), shown);
        }
    }
}
