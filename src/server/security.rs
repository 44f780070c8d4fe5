//! What a server asks of its callers, as the configuration says: the gate, TLS, the keys of tokens, and the first key.
//!
//! What must stay true: beyond this machine nothing is served in the clear or without credentials, unless an option says
//! so whose name says what it does; files are read before anything is served; what cannot be read later leaves what is
//! in force.

use std::io::Write;
use std::net::ToSocketAddrs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::ServeError;
use crate::access::gate::Gate;
use crate::access::grant::{Grant, Role};
use crate::access::keys::{KeyIssue, Keys};
use crate::access::meter::Meters;
use crate::access::principal::Principal;
use crate::access::tls::{Tls, TlsFiles};
use crate::access::tokens::{TokenOptions, Tokens};
use crate::clock::SharedClock;
use crate::config::{Authentication, Config};
use crate::ledger::types::SymbolId;
use crate::service::{KeyDraft, draw_key, take_key};
use crate::shard::engine::Engine;

/// How often it is looked whether the file with the keys of tokens has changed.
const TOKEN_FILE_INTERVAL: Duration = Duration::from_secs(2);
const NS_PER_SECOND: i64 = 1_000_000_000;

/// What was read from files before anything else.
pub(super) struct Files {
    pub(super) tls: Option<Arc<Tls>>,
    tokens: Option<Arc<Tokens>>,
}

fn refused(why: impl Into<String>) -> ServeError {
    ServeError::Access(why.into())
}

/// Whether the address that the configuration names may be listened on.
///
/// # Errors
/// When the name stands for nothing, or for an address that other machines reach and callers would not be protected.
pub fn check_address(config: &Config) -> Result<(), ServeError> {
    let listen_error = |source| ServeError::Listen { address: config.listen.clone(), source };
    let mut addresses = config.listen.to_socket_addrs().map_err(listen_error)?;
    let exposed = addresses.find_map(|address| config.exposed_by(address));
    exposed.map_or(Ok(()), |found| Err(refused(found.to_string())))
}

impl Files {
    /// Reads the files that the configuration names.
    pub(super) fn read(config: &Config) -> Result<Self, ServeError> {
        if let Some(found) = config.contradictions().first() {
            return Err(refused(found.to_string()));
        }
        let tls = match (&config.tls_certificate, &config.tls_key) {
            (Some(certificate), Some(key)) => {
                let files = TlsFiles {
                    certificate: certificate.clone(),
                    key: key.clone(),
                    client_roots: config.tls_client_ca.clone(),
                    client_required: config.tls_client_required,
                };
                Some(Arc::new(Tls::open(files).map_err(|error| refused(error.to_string()))?))
            }
            _ => None,
        };
        let tokens = match (&config.token_keys, &config.token_issuer, &config.token_audience) {
            (Some(keys), Some(issuer), Some(audience)) => {
                let options = TokenOptions {
                    keys: keys.clone(),
                    issuer: issuer.clone(),
                    audience: audience.clone(),
                    clock_skew_ns: i64::from(config.token_clock_skew_seconds) * NS_PER_SECOND,
                };
                Some(Arc::new(Tokens::open(options).map_err(|error| refused(error.to_string()))?))
            }
            _ => None,
        };
        Ok(Self { tls, tokens })
    }

    /// The gate that calls go through.
    pub(super) fn gate(&self, config: &Config, engine: &Arc<Engine>, partner: SymbolId, clock: &SharedClock) -> Gate {
        let keys = engine.shared.keys.clone();
        if config.authentication == Authentication::Off {
            return Gate::open(Principal::anyone(config.partner.as_str().into(), partner), keys, clock.clone());
        }
        let metrics = engine.metrics.clone();
        // Weak, so that the gate, which calls hold, does not keep the ledger open.
        let engine = Arc::downgrade(engine);
        let intern = Box::new(move |partner: &str| {
            let engine = engine.upgrade()?;
            engine.dictionary.intern(partner, &*engine.control).ok()
        });
        let gate = Gate::guarded(keys, clock.clone(), intern, self.tokens.clone());
        let (rates, names) = (config.rate_limits.clone(), config.name_limits.clone());
        if rates.is_empty() && names.is_empty() {
            return gate;
        }
        gate.with_meters(Meters::new(rates, names, clock.clone(), metrics))
    }

    /// Reads certificates and keys of tokens again.
    pub(super) fn reload(&self, engine: &Engine) {
        if let Some(tls) = &self.tls {
            match tls.reload() {
                Ok(()) => tracing::info!("the certificates were read again"),
                Err(error) => tracing::error!(%error, "the certificates stay as they were"),
            }
        }
        if let Some(tokens) = &self.tokens {
            reload_tokens(tokens, engine);
        }
    }

    /// Reads the keys of tokens again whenever their file changes, while the ledger runs.
    pub(super) fn watch(&self, engine: &Arc<Engine>) {
        let Some(tokens) = self.tokens.clone() else { return };
        let engine = Arc::downgrade(engine);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(TOKEN_FILE_INTERVAL).await;
                let Some(engine) = engine.upgrade() else { return };
                let tokens = tokens.clone();
                let looked = tokio::task::spawn_blocking(move || {
                    if tokens.has_changed() {
                        reload_tokens(&tokens, &engine);
                    }
                });
                if looked.await.is_err() {
                    return;
                }
            }
        });
    }
}

fn reload_tokens(tokens: &Tokens, engine: &Engine) {
    match tokens.reload() {
        Ok(()) => tracing::info!("the keys of tokens were read again"),
        Err(error) => tracing::error!(%error, "the keys of tokens stay as they were"),
    }
    // What connections remember was judged by the keys before.
    engine.shared.keys.forget();
}

/// Makes the first administrator's key and writes it to the file that the configuration names, if credentials are asked
/// for and nobody could issue any. A file that is there is left alone: where keys were issued before, that is only said.
pub(super) fn first_key(config: &Config, engine: &Engine) -> Result<(), ServeError> {
    if config.authentication == Authentication::Off {
        return Ok(());
    }
    let now = engine.clock.now();
    let look = |keys: &Keys| (keys.has_administrator(now), keys.changes().is_empty());
    let (has_administrator, is_new) = engine.shared.keys.look(look);
    if has_administrator {
        return Ok(());
    }
    let Some(path) = &config.first_key_file else {
        tracing::warn!(
            "there is no administrator's key: stop the server and make one with `tallystick keys create --data`, or \
             start it with --first-key-file"
        );
        return Ok(());
    };
    // Most likely the key of the first start, which was revoked since. The holders of other keys are served all the same.
    if !is_new && path.exists() {
        tracing::warn!(
            file = %path.display(),
            "there is no administrator's key, and none is made, for its file is there already: remove the file, whose key \
             is good for nothing, and start the server again"
        );
        return Ok(());
    }
    write_first_key(path, engine)
}

fn write_first_key(path: &Path, engine: &Engine) -> Result<(), ServeError> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => refused(format!(
            "the file {} is there already, and there is no administrator's key; remove it if it was left by a start that \
             was cut short, for what is in it is good for nothing",
            path.display()
        )),
        _ => refused(format!("the file {} cannot be made: {error}", path.display())),
    };
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let draft = KeyDraft {
        name: "first administrator".into(),
        grant: Grant::of_role(Role::Administrator),
        expires_at: KeyIssue::NEVER,
        certificate: None,
    };
    let (issue, key) = draw_key(engine, draft, "server start").map_err(|error| refused(error.to_string()))?;
    let key = key.ok_or_else(|| refused("a key without a secret cannot be written down"))?;
    // Written before it is good for anything, and for its owner alone: an administrator whose key nobody has would be in the
    // way of the next.
    writeln!(file, "{}", key.expose()).and_then(|()| file.sync_all()).map_err(failed)?;
    let id = issue.id;
    take_key(engine, issue, None).map_err(|error| refused(error.to_string()))?;
    tracing::info!(key = %id, file = %path.display(), "the first administrator's key was written");
    Ok(())
}
