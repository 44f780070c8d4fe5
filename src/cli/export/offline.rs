//! Exports from a data directory that no server uses.
//!
//! What must stay true: nothing is written to the directory; the accounts are the same as a server would state.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::table::{Header, Table};
use crate::audit::export::export_accounts;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Output, counted};
use crate::cli::store::open_store;
use crate::clock::{Clock, SystemClock};
use crate::journal::Journal;
use crate::journal::log::StoreJournal;
use crate::journal::record::Record;
use crate::ledger::types::{Position, TimestampNs};
use crate::recovery::identity::Identity;
use crate::replay::World;
use crate::service::account_row;
use crate::store::Store;

/// A data directory, open for reading.
pub struct OfflineJournal {
    /// What was fixed when the directory was made.
    pub identity: Identity,
    /// Its journal.
    pub journal: StoreJournal,
}

/// Opens the journal of a data directory.
///
/// # Errors
/// When it cannot be opened, is in use, or is no data directory.
pub fn open(data: &Path) -> Result<OfflineJournal, CliError> {
    let store: Arc<dyn Store> = open_store(data)?;
    let identity = Identity::read(&*store)?.ok_or_else(|| {
        CliError::new(Exit::Damaged, format!("{} is not a data directory: it has no identity", data.display()))
    })?;
    let journal = StoreJournal::new(store);
    journal.check_high_water()?;
    Ok(OfflineJournal { identity, journal })
}

/// All accounts as they stood at an instant; without one, now: by the clock of this machine or, where posting times come
/// from the input, at the latest of them.
///
/// # Errors
/// When the directory cannot be opened or its journal is damaged.
pub fn accounts(data: &Path, as_of: Option<jiff::Timestamp>, out: &Output) -> Result<Table, CliError> {
    let OfflineJournal { identity, journal } = open(data)?;
    let mut progress = out.progress();
    let mut show = |phase: &str, reached: Position, end: Position| {
        progress.report(phase, reached.0, end.0, || counted(reached.0, "record", "records"));
    };
    let as_of = match as_of {
        Some(time) => instant(time)?,
        None if identity.clock_is_input => latest_posting(&journal, &identity, &mut show)?,
        None => SystemClock::new().now(),
    };
    let export = export_accounts(&journal, identity.shard_count, as_of, &mut |reached, end| {
        show("Replaying", reached, end);
        ControlFlow::Continue(())
    })?;
    let export = export.expect("it is never broken off above");
    let program = export.program.as_deref();
    let mut table = Table::default();
    table.header = Header {
        as_of_time: shown(as_of),
        position: export.position.map(|position| i64::try_from(position.0).unwrap_or(i64::MAX)),
        program_version: program.map_or(0, |program| i32::try_from(program.version.0).unwrap_or(i32::MAX)),
    };
    export.accounts().for_each(|account| table.push(&account_row(program, &account, as_of)));
    Ok(table)
}

fn instant(time: jiff::Timestamp) -> Result<TimestampNs, CliError> {
    let instant = i64::try_from(time.as_nanosecond()).map(TimestampNs);
    instant.map_err(|_| CliError::new(Exit::Usage, format!("{time} lies outside the years 1678 to 2261")))
}

/// An instant in RFC 3339 form.
pub fn shown(at: TimestampNs) -> Option<String> {
    jiff::Timestamp::from_nanosecond(i128::from(at.0)).ok().map(|time| time.to_string())
}

/// The latest posting time of the journal; the making of the directory if nothing was posted.
fn latest_posting(
    journal: &StoreJournal,
    identity: &Identity,
    show: &mut dyn FnMut(&str, Position, Position),
) -> Result<TimestampNs, CliError> {
    let (end, _) = journal.end()?;
    let mut world = World::new(identity.shard_count);
    let mut latest = None;
    journal.read(Position(0), &mut |frame| {
        world.apply_frame(frame, |_, _, record| {
            if let Record::Entry(entry) = record {
                latest = latest.max(Some(entry.posted_at));
            }
            Ok(())
        })?;
        show("Looking for the latest posting", world.end, end);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(latest.unwrap_or(identity.created_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_that_the_ledger_cannot_name_is_a_mistake_of_usage() {
        assert_eq!(instant("2500-01-01T00:00:00Z".parse().unwrap()).unwrap_err().exit(), Exit::Usage);
        let time: jiff::Timestamp = "2017-04-01T00:00:00.5Z".parse().unwrap();
        let at = instant(time).unwrap();
        assert_eq!(shown(at).as_deref(), Some("2017-04-01T00:00:00.5Z"));
    }
}
