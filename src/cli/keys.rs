//! `tallystick keys`: issues, replaces, revokes and lists the keys of a data directory, through its server or, while it
//! is stopped, by opening the directory itself. So the first administrator's key comes to be.
//!
//! What must stay true: a key is printed once, on standard output or into a file for its owner alone, and never logged;
//! whoever may open the directory may do anything to it, so that needs no credential, and the journal says so.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Server, ServerArgs, call, parse_time, runtime, shown_time, to_wire};
use super::error::{CliError, Exit};
use super::output::Output;
use super::place::PlaceArgs;
use super::serve::exit_number;
use crate::access::grant::{Grant, Role};
use crate::access::keys::{Key, KeyId, KeyIssue, Proof};
use crate::config::Config;
use crate::ledger::types::TimestampNs;
use crate::server::{ServeError, with_ledger};
use crate::service::wire;
use crate::service::{KeyDraft, issue_key, leaves_no_administrator, revoke_key, rotate_key};
use crate::shard::engine::Engine;
use crate::shard::keys::ChangeError;

/// Who changes keys without a server, as the journal has it.
const OFFLINE_ACTOR: &str = "offline";
/// What is said when nobody is left who could issue keys.
const NO_ADMINISTRATOR: &str = "WARNING: no administrator's key is left, so nobody can issue keys. To make one, stop the \
                                server: tallystick keys create --data DIR --name NAME --role administrator";
const NS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_HOUR: i64 = 3_600;

/// Issues, replaces, revokes and lists keys
///
/// Through a running server that needs an administrator's key (--api-key-file). The first one comes from
/// `tallystick serve --first-key-file FILE`, or from `tallystick keys create --data DIR --role administrator` while no
/// server uses the directory.
#[derive(Debug, Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Issue a key and print it, this once
    Create(CreateArgs),
    /// List all keys, without their secrets
    List(PlaceArgs),
    /// Issue a key in the place of another; both are good until the overlap ends
    Rotate(RotateArgs),
    /// End a key at once
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// What people are to call it
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What its holder is there for: till, gateway, back-office, program-owner, operator, auditor or administrator
    #[arg(long, value_parser = parse_role)]
    role: Role,
    /// The partner that its holder acts for: required for tills, gateways and back offices; an operator with a partner is
    /// that partner's service desk, one without runs the server
    #[arg(long, value_name = "NAME", default_value = "")]
    partner: String,
    /// A store that it is held to; may be given several times. A till needs at least one
    #[arg(long = "store", value_name = "ID")]
    stores: Vec<String>,
    /// A terminal of these stores that it is held to; may be given several times
    #[arg(long = "terminal", value_name = "ID")]
    terminals: Vec<String>,
    /// From when on it is good for nothing, as 2027-01-01T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    expires: Option<jiff::Timestamp>,
    /// A name in client certificates (DNS or URI) that stands for the key; no secret is made then
    #[arg(long, value_name = "NAME", default_value = "")]
    certificate_name: String,
    /// Write the key to this file, for its owner alone, instead of printing it; it must not exist
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct RotateArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The key that is to be replaced
    #[arg(value_parser = parse_id)]
    key_id: KeyId,
    /// For so many hours from now on the replaced key is good too
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(i64).range(0..=8_784))]
    overlap_hours: i64,
    /// From when on the new key is good for nothing, as 2027-01-01T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    expires: Option<jiff::Timestamp>,
    /// Write the key to this file, for its owner alone, instead of printing it; it must not exist
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct RevokeArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The key
    #[arg(value_parser = parse_id)]
    key_id: KeyId,
}

fn parse_role(text: &str) -> Result<Role, String> {
    Role::from_name(text).ok_or_else(|| {
        let names: Vec<&str> = Role::ALL.iter().map(|role| role.name()).collect();
        format!("the roles are {}", names.join(", "))
    })
}

fn parse_id(text: &str) -> Result<KeyId, String> {
    KeyId::parse(text).ok_or_else(|| "a key's id has 16 hexadecimal digits; `keys list` shows it".to_owned())
}

/// Runs the command.
///
/// # Errors
/// When the server cannot be reached or refuses, or the directory cannot be opened.
pub fn run(args: KeysArgs, out: &Output) -> Result<(), CliError> {
    match args.command {
        KeysCommand::Create(args) => create(args, out),
        KeysCommand::List(args) => list(&args, out),
        KeysCommand::Rotate(args) => rotate(args, out),
        KeysCommand::Revoke(args) => revoke(&args, out),
    }
}

fn create(args: CreateArgs, out: &Output) -> Result<(), CliError> {
    // A key without a secret leaves nothing to be written.
    let has_secret = args.certificate_name.is_empty();
    let file = args.out.as_deref().filter(|_| has_secret).map(KeyFile::make).transpose()?;
    let (key_id, api_key, pending) = match &args.place.data {
        Some(data) => {
            let boxed = |names: Vec<String>| names.into_iter().map(String::into_boxed_str).collect();
            let draft = KeyDraft {
                name: args.name.into(),
                grant: Grant {
                    role: args.role,
                    partner: args.partner.into(),
                    stores: boxed(args.stores),
                    terminals: boxed(args.terminals),
                },
                expires_at: instant(args.expires),
                certificate: (!args.certificate_name.is_empty()).then(|| args.certificate_name.into()),
            };
            offline(data, |engine| issue_key(engine, draft, OFFLINE_ACTOR))?
        }
        None => online(&args.place.server, async |clients, server| {
            let grant = wire::Grant {
                role: i32::from(args.role.number()),
                partner: args.partner,
                store_ids: args.stores,
                terminal_ids: args.terminals,
            };
            let request = wire::CreateKeyRequest {
                name: args.name,
                grant: Some(grant),
                expire_time: args.expires.map(to_wire),
                certificate_name: args.certificate_name,
            };
            let answer = clients.keys.create_key(call(request)).await;
            let answer = answer.map_err(|status| server.failure("issuing a key", &status))?.into_inner();
            Ok((answer.key.unwrap_or_default().key_id, answer.api_key, answer.pending))
        })?,
    };
    say_key(&Issued { key_id, api_key, pending }, args.out.as_deref(), file, out)
}

fn rotate(args: RotateArgs, out: &Output) -> Result<(), CliError> {
    let file = args.out.as_deref().map(KeyFile::make).transpose()?;
    let overlap_seconds = args.overlap_hours * SECONDS_PER_HOUR;
    let (key_id, api_key, pending) = match &args.place.data {
        Some(data) => {
            let (overlap_ns, expires_at) = (overlap_seconds * NS_PER_SECOND, instant(args.expires));
            offline(data, |engine| rotate_key(engine, args.key_id, overlap_ns, expires_at, OFFLINE_ACTOR))?
        }
        None => online(&args.place.server, async |clients, server| {
            let request = wire::RotateKeyRequest {
                key_id: args.key_id.to_string(),
                overlap: Some(prost_types::Duration { seconds: overlap_seconds, nanos: 0 }),
                expire_time: args.expires.map(to_wire),
            };
            let answer = clients.keys.rotate_key(call(request)).await;
            let answer = answer.map_err(|status| server.failure("replacing a key", &status))?.into_inner();
            Ok((answer.key.unwrap_or_default().key_id, answer.api_key, answer.pending))
        })?,
    };
    say_key(&Issued { key_id, api_key, pending }, args.out.as_deref(), file, out)
}

fn revoke(args: &RevokeArgs, out: &Output) -> Result<(), CliError> {
    let id = args.key_id;
    let is_last = match &args.place.data {
        Some(data) => {
            let revoked = with_engine(data, |engine| {
                revoke_key(engine, id, OFFLINE_ACTOR).map(|()| leaves_no_administrator(engine, id))
            })?;
            revoked.map_err(unchanged)?
        }
        None => online(&args.place.server, async |clients, server| {
            let answer = clients.keys.revoke_key(call(wire::RevokeKeyRequest { key_id: id.to_string() })).await;
            let answer = answer.map_err(|status| server.failure("revoking a key", &status))?;
            Ok(answer.into_inner().leaves_no_administrator)
        })?,
    };
    out.line(format_args!("{id} is good for nothing from now on"))?;
    if is_last {
        out.note(NO_ADMINISTRATOR);
    }
    out.object(&json!({ "key_id": id.to_string(), "live": false, "leaves_no_administrator": is_last }))
}

fn list(args: &PlaceArgs, out: &Output) -> Result<(), CliError> {
    let keys = match &args.data {
        Some(data) => with_engine(data, |engine| {
            let now = engine.clock.now();
            engine.shared.keys.look(|keys| keys.iter().map(|key| shown_key(key, now)).collect::<Vec<_>>())
        })?,
        None => online(&args.server, async |clients, server| {
            let mut keys = Vec::new();
            let mut page_token = String::new();
            loop {
                let request = wire::ListKeysRequest { page_size: 0, page_token };
                let answer = clients.keys.list_keys(call(request)).await;
                let answer = answer.map_err(|status| server.failure("listing keys", &status))?.into_inner();
                keys.extend(answer.keys.iter().map(wire_key));
                if answer.next_page_token.is_empty() {
                    return Ok(keys);
                }
                page_token = answer.next_page_token;
            }
        })?,
    };
    if keys.is_empty() {
        out.line("no keys have been issued")?;
    }
    for key in &keys {
        let text = |name: &str| key[name].as_str().unwrap_or("-").to_owned();
        let names = |name: &str| {
            let names = key[name].as_array().map(Vec::as_slice).unwrap_or_default();
            names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
        };
        let state = if key["live"] == true { "live" } else { "dead" };
        let (partner, stores, terminals) = (text("partner"), names("stores"), names("terminals"));
        out.line(format_args!(
            "{}  {state}  {:13}  partner={partner} stores={stores} terminals={terminals}  expires={} last-used={} by={}  {}",
            text("key_id"),
            text("role"),
            text("expire_time"),
            text("last_use_time"),
            text("creator"),
            text("name"),
        ))?;
    }
    out.object(&json!({ "keys": keys }))
}

fn wire_key(key: &wire::Key) -> Value {
    let grant = key.grant.clone().unwrap_or_default();
    let role = u8::try_from(grant.role).ok().and_then(Role::from_number).map(Role::name);
    json!({
        "key_id": key.key_id,
        "name": key.name,
        "role": role,
        "partner": grant.partner,
        "stores": grant.store_ids,
        "terminals": grant.terminal_ids,
        "certificate_name": key.certificate_name,
        "create_time": shown_time(key.create_time.as_ref()),
        "creator": key.creator,
        "expire_time": shown_time(key.expire_time.as_ref()),
        "revoke_time": shown_time(key.revoke_time.as_ref()),
        "revoker": key.revoker,
        "replacement_key_id": key.replacement_key_id,
        "last_use_time": shown_time(key.last_use_time.as_ref()),
        "live": key.live,
        "position": key.position,
    })
}

fn shown_key(key: &Key, now: TimestampNs) -> Value {
    let issue = &key.issue;
    json!({
        "key_id": issue.id.to_string(),
        "name": issue.name,
        "role": issue.grant.role.name(),
        "partner": issue.grant.partner,
        "stores": issue.grant.stores,
        "terminals": issue.grant.terminals,
        "certificate_name": match &issue.proof {
            Proof::Certificate(name) => name,
            Proof::Secret(_) => "",
        },
        "create_time": shown(issue.issued_at),
        "creator": issue.issued_by,
        "expire_time": (key.expires_at != KeyIssue::NEVER).then(|| shown(key.expires_at)),
        "revoke_time": key.revoked.as_ref().map(|(at, _)| shown(*at)),
        "revoker": key.revoked.as_ref().map_or("", |(_, by)| by),
        "replacement_key_id": key.replaced_by.map(|id| id.to_string()).unwrap_or_default(),
        "last_use_time": key.last_used().and_then(shown),
        "live": key.is_live(now),
        "position": key.position.0,
    })
}

fn shown(at: TimestampNs) -> Option<String> {
    jiff::Timestamp::from_nanosecond(i128::from(at.0)).ok().map(|time| time.to_string())
}

fn instant(time: Option<jiff::Timestamp>) -> TimestampNs {
    let ns = time.map(|time| i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX));
    ns.map_or(KeyIssue::NEVER, TimestampNs)
}

fn online<T>(
    server: &ServerArgs,
    ask: impl AsyncFnOnce(&mut super::client::Clients, &Server) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let server = Server::new(server)?;
    runtime()?.block_on(async {
        let mut clients = server.connect().await?;
        ask(&mut clients, &server).await
    })
}

fn with_engine<T>(data: &Path, work: impl FnOnce(&Engine) -> T) -> Result<T, CliError> {
    if !data.is_dir() {
        let message = format!("{} is not a data directory", data.display());
        return Err(CliError::new(Exit::CannotCreate, message).hint("a server makes one: tallystick serve --data DIR"));
    }
    // Looked at as what it is, so that a folder of something else does not become a data directory.
    drop(super::store::open_store(data)?);
    let config = Config { data: data.to_path_buf(), workers: 1, ..Config::default() };
    with_ledger(&config, work).map_err(|error| of_server(&error))
}

fn offline(
    data: &Path,
    change: impl FnOnce(&Engine) -> Result<(KeyId, Option<crate::access::secret::Secret>), ChangeError>,
) -> Result<(String, String, Option<wire::PendingProposal>), CliError> {
    let (id, key) = with_engine(data, change)?.map_err(unchanged)?;
    // Whoever has the directory to hand asks nobody.
    Ok((id.to_string(), key.map_or_else(String::new, |key| key.expose().to_owned()), None))
}

fn unchanged(error: ChangeError) -> CliError {
    let exit = match &error {
        ChangeError::Unfit(_) => Exit::BadData,
        ChangeError::Stopping | ChangeError::Random(_) => Exit::InputOutput,
    };
    CliError::new(exit, format!("the keys were not changed: {error}"))
}

fn of_server(error: &ServeError) -> CliError {
    let statuses = [Exit::CannotCreate, Exit::Damaged, Exit::Configuration, Exit::BadData, Exit::Unavailable];
    let exit = statuses.into_iter().find(|exit| exit.status() == exit_number(error));
    CliError::new(exit.unwrap_or(Exit::InputOutput), error.to_string())
}

/// A file for a key, made before the key is, so that no key is lost for want of a place. It is removed again unless a key is
/// written to it.
struct KeyFile {
    path: PathBuf,
    file: std::fs::File,
    is_written: bool,
}

impl KeyFile {
    fn make(path: &Path) -> Result<Self, CliError> {
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|error| CliError::file(Exit::CannotCreate, "making", path, &error))?;
        Ok(Self { path: path.to_path_buf(), file, is_written: false })
    }

    fn write(mut self, api_key: &str) -> std::io::Result<()> {
        writeln!(self.file, "{api_key}")?;
        // Whatever else fails, what is there may be all that there is of the key.
        self.is_written = true;
        self.file.sync_all()
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        if !self.is_written {
            // One that cannot be removed is in the way of the next try, which says so.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A key that was issued, or waits for a second person.
struct Issued {
    key_id: String,
    /// Empty where a certificate stands for the key.
    api_key: String,
    pending: Option<wire::PendingProposal>,
}

/// Says the key, the only time that it is said: into the file, if one is asked for.
fn say_key(issued: &Issued, path: Option<&Path>, file: Option<KeyFile>, out: &Output) -> Result<(), CliError> {
    let Issued { key_id, api_key, pending } = issued;
    let has_secret = !api_key.is_empty();
    let written = match file {
        Some(file) if has_secret => {
            let path = file.path.clone();
            file.write(api_key).map_err(|error| {
                let error = CliError::file(Exit::InputOutput, "writing", &path, &error);
                error.hint(format!("key {key_id} was issued: revoke it if it is not in the file, and issue another"))
            })?;
            Some(path.display().to_string())
        }
        // What was made before that was known is removed.
        _ => None,
    };
    match &written {
        Some(path) => out.line(format_args!("{key_id}  written to {path}"))?,
        None if has_secret => out.line(api_key)?,
        None => out.line(key_id)?,
    }
    match path {
        _ if has_secret => out.note("it is not shown again"),
        Some(path) => {
            out.note(format_args!("a certificate stands for it, so there is nothing to write to {}", path.display()))
        }
        None => {}
    }
    let proposal_id = pending.as_ref().map(|pending| pending.proposal_id);
    if let Some(number) = proposal_id {
        out.note(format_args!("it waits for a second person: tallystick proposals confirm {number}"));
    }
    let api_key = (written.is_none() && has_secret).then_some(api_key);
    out.object(&json!({ "key_id": key_id, "api_key": api_key, "file": written, "proposal_id": proposal_id }))
}
