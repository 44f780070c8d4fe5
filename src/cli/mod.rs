//! The command line: one file a subcommand.
//!
//! What must stay true: names of subcommands and options are stable; what a script reads goes to standard output, what
//! a person reads about the run goes to standard error; every way to end has its number in [`exit`].

pub mod exit;
pub mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A loyalty-points ledger over gRPC: durable, deterministic, fast.
#[derive(Debug, Parser)]
#[command(name = "tallystick", version, about, propagate_version = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the ledger.
    Serve(serve::ServeArguments),
}

/// Reads the command line, does what it says, and tells how it ended.
#[must_use]
pub fn run() -> ExitCode {
    // A mistake on the command line ends the program here, with a hint and the number 2.
    let arguments = Arguments::parse();
    let number = match arguments.command {
        Command::Serve(arguments) => serve::run(arguments),
    };
    exit::code(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
