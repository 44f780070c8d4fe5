//! Where a ledger is that a command works on: behind a server, or in a data directory that no server uses.
//!
//! What must stay true: a directory, which only the command line can name, goes before a server that the environment
//! names; whoever names both on the command line is told that they exclude each other.

use std::path::PathBuf;

use clap::error::{Error, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};

use super::client::ServerArgs;

/// A server or a data directory.
#[derive(Debug)]
pub struct PlaceArgs {
    /// The server to ask where there is no directory.
    pub server: ServerArgs,
    /// The data directory to open.
    pub data: Option<PathBuf>,
}

/// The options as they are written.
#[derive(Debug, Args)]
struct PlaceFlags {
    #[command(flatten)]
    server: ServerArgs,
    /// Open this data directory, which no server uses, instead of asking a server
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl FromArgMatches for PlaceArgs {
    /// Judged here, since `conflicts_with` counts what the environment says as if it had been written.
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let is_written = |name: &str| matches.value_source(name) == Some(ValueSource::CommandLine);
        if is_written("server") && is_written("data") {
            let message = "the argument '--data <DIR>' cannot be used with '--server <URL>'";
            return Err(Error::raw(ErrorKind::ArgumentConflict, message));
        }
        let PlaceFlags { server, data } = PlaceFlags::from_arg_matches(matches)?;
        Ok(Self { server, data })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for PlaceArgs {
    fn augment_args(command: Command) -> Command {
        PlaceFlags::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        PlaceFlags::augment_args_for_update(command)
    }
}
