//! The programme that a server starts with: its file is checked before anything is made, and published once all is recovered.
//!
//! What must stay true: a file that can never be published leaves nothing behind; a text that is in force already is not
//! asked again what is asked of new ones.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ServeError;
use crate::config::Config;
use crate::ledger::types::{ProgramVersion, SymbolId, TimestampNs};
use crate::program::{SAMPLE, SymbolTable, compile, compile_published};
use crate::shard::engine::Engine;
use crate::shard::publishing::{Draft, PublishError};

/// Checks the programme file that the configuration names, as far as that can be without the data directory. Only a
/// directory that is there, so not `is_new`, can have published a text by what an earlier release asked of it. What comes
/// through a pipe can be read only once, and is checked when it is published.
///
/// # Errors
/// When the file cannot be read, or can be no version of a programme.
pub fn check_programme(config: &Config, is_new: bool) -> Result<(), ServeError> {
    let Some(path) = &config.program else { return Ok(()) };
    if std::fs::metadata(path).is_ok_and(|file| !file.is_file()) {
        return Ok(());
    }
    let source = read_program(path)?;
    let (version, since_ever) = (ProgramVersion(1), TimestampNs(i64::MIN));
    let Err(problems) = compile(&source, version, since_ever, &mut SymbolTable::new()) else { return Ok(()) };
    if !is_new && compile_published(&source, version, since_ever, &mut SymbolTable::new()).is_ok() {
        return Ok(());
    }
    Err(ServeError::Program { path: path.clone(), problems })
}

/// What must be there before the first call: the partner's name, and a programme.
pub(super) fn prepare(config: &Config, engine: &Arc<Engine>) -> Result<SymbolId, ServeError> {
    let partner = engine.dictionary.intern(&config.partner, &*engine.control);
    let partner = partner.map_err(|error| ServeError::Fault(error.to_string()))?;
    let latest = engine.with_publications(|all| all.last().map(|(_, publication)| publication.source.clone()));
    let (source, path) = match (&config.program, &latest) {
        (Some(path), _) => (read_program(path)?, path.clone()),
        (None, None) => (SAMPLE.to_owned(), PathBuf::from("(sample)")),
        (None, Some(_)) => return Ok(partner),
    };
    if latest.is_some_and(|latest| *latest == *source) {
        return Ok(partner);
    }
    let (effective_at, transaction_id) = (TimestampNs(i64::MIN), Box::default());
    let (actor, confirmed) = (Box::default(), None);
    let draft = Draft { source, effective_at, partner: SymbolId::EMPTY, transaction_id, actor, confirmed };
    match engine.publish_soon(draft) {
        Ok((program, _)) => {
            tracing::info!(program = program.name, version = program.version.0, "published a version of the programme");
            Ok(partner)
        }
        Err(PublishError::Problems(problems)) => Err(ServeError::Program { path, problems }),
        Err(error) => Err(ServeError::Publish(error)),
    }
}

fn read_program(path: &Path) -> Result<String, ServeError> {
    std::fs::read_to_string(path).map_err(|source| ServeError::ProgramFile { path: path.to_path_buf(), source })
}
