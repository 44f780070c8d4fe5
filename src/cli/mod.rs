//! The command line: one file a subcommand.
//!
//! What must stay true: names of subcommands and options are stable; what a script reads goes to standard output, what
//! a person reads about the run goes to standard error; every way to end has its number in [`exit`].

pub mod access;
pub mod audit;
pub mod backup;
pub mod bench;
pub mod client;
pub mod completions;
mod decision;
pub mod demo;
mod desk;
pub mod error;
pub mod errors;
pub mod exit;
pub mod export;
mod fraud;
pub mod import;
pub mod keys;
pub mod operator;
pub mod output;
mod place;
pub mod program;
pub mod proposals;
pub mod restore;
pub mod serve;
pub mod settlement;
pub mod sim;
pub mod status;
pub mod store;
mod why;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::error::{CliError, Exit};
use self::output::Output;

/// A loyalty-points ledger over gRPC: durable, deterministic, fast.
#[derive(Debug, Parser)]
#[command(name = "tallystick", version, about, propagate_version = true)]
pub struct Arguments {
    /// Answer with exactly one JSON object on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the ledger
    Serve(Box<serve::ServeArguments>),
    /// Load files into a running server
    Import(import::ImportArgs),
    /// Write out what the ledger holds
    Export(export::ExportArgs),
    /// Check, publish and show programme files
    Program(program::ProgramArgs),
    /// Serve a customer by hand: balances, statements, payments with points, returns
    Desk(desk::DeskArgs),
    /// Decide by hand: release or reject what caps hold, bring back points that died, correct balances
    Operator(operator::OperatorArgs),
    /// Issue, replace, revoke and list keys
    Keys(keys::KeysArgs),
    /// Settle what waits for a second person
    Proposals(proposals::ProposalsArgs),
    /// Say why a transaction was decided as it was
    Why(why::WhyArgs),
    /// Say what partners have issued and taken, and how far budgets are used
    Settlement(settlement::SettlementArgs),
    /// Verify the history of a data directory
    Audit(audit::AuditArgs),
    /// Play a morning in a coffee shop on a server of its own
    Demo(demo::DemoArgs),
    /// Measure the ledger on this machine
    Bench(Box<bench::BenchArgs>),
    /// Simulate the ledger on a disk that fails, and check every invariant
    Sim(sim::SimArgs),
    /// Copy a data directory while its server goes on
    Backup(backup::BackupArgs),
    /// Make a data directory from a backup
    Restore(restore::RestoreArgs),
    /// Say how a running server and its data directory stand
    Status(status::StatusArgs),
    /// Explain refusals and failed calls
    Errors(errors::ErrorsArgs),
    /// Print the completions of a shell
    Completions(completions::CompletionsArgs),
}

/// Reads the command line, does what it says, and tells how it ended.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return end_without_command(&error, asks_for_json(std::env::args_os())),
    };
    let out = Output::new(arguments.json);
    let result = match arguments.command {
        Command::Serve(args) => exit::leave(serve::run(*args, arguments.json)),
        Command::Import(args) => import::run(args, &out),
        Command::Export(args) => export::run(args, &out),
        Command::Program(args) => program::run(args, &out),
        Command::Desk(args) => desk::run(args, &out),
        Command::Operator(args) => operator::run(args, &out),
        Command::Keys(args) => keys::run(args, &out),
        Command::Proposals(args) => proposals::run(args, &out),
        Command::Why(args) => why::run(&args, &out),
        Command::Settlement(args) => settlement::run(args, &out),
        Command::Audit(args) => audit::run(args, &out),
        Command::Demo(args) => demo::run(args, &out),
        Command::Bench(args) => bench::run(&args, &out),
        Command::Sim(args) => sim::run(&args, &out),
        Command::Backup(args) => backup::run(args, &out),
        Command::Restore(args) => restore::run(args, &out),
        Command::Status(args) => status::run(args, &out),
        Command::Errors(args) => errors::run(&args, &out),
        Command::Completions(args) => completions::run(args, &out),
    };
    out.finish(result)
}

/// Ends a run that asked for help, or whose command line is wrong: with a hint and the number 2.
fn end_without_command(error: &clap::Error, is_json: bool) -> ExitCode {
    if is_json && error.use_stderr() {
        return Output::new(true).finish(Err(usage_error(error)));
    }
    // Nobody is left to be told that it cannot be written.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(exit::USAGE))
}

/// Whether a command line that could not be understood asks for JSON.
fn asks_for_json(arguments: impl IntoIterator<Item = OsString>) -> bool {
    arguments.into_iter().take_while(|argument| argument != "--").any(|argument| argument == "--json")
}

/// What is wrong with a command line, in the form of all other errors.
fn usage_error(error: &clap::Error) -> CliError {
    let said = error.render().to_string();
    let said = said.trim().trim_start_matches("error: ");
    match said.split_once("\n\n") {
        Some((message, advice)) => CliError::new(Exit::Usage, message).hint(advice.trim()),
        None => CliError::new(Exit::Usage, said),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::config::{Loaded, Stated};
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_wrong_command_line_has_the_form_of_other_errors() {
        let rows: [(&[&str], &str); 3] = [
            (&["tallystick", "--json", "operator", "freeze", "--reason", "x"], "--account"),
            (&["tallystick", "settlement", "report", "--json", "--at=-1"], "--at"),
            (&["tallystick", "--json", "--colour"], "--colour"),
        ];
        for (line, named) in rows {
            assert!(asks_for_json(line.iter().map(OsString::from)), "{line:?}");
            let wrong = Arguments::try_parse_from(line).unwrap_err();
            assert!(wrong.use_stderr(), "{line:?}");
            let error = usage_error(&wrong);
            let (message, hint) = (error.to_string(), error.hint_text().unwrap_or_default());
            assert_eq!(error.exit(), Exit::Usage);
            assert!(message.contains(named) && !message.starts_with("error"), "{message}");
            assert!(hint.contains("--help"), "{hint}");
        }
        for line in [&["tallystick", "--", "--json"][..], &["tallystick", "status"], &["tallystick", "--jsonl"]] {
            assert!(!asks_for_json(line.iter().map(OsString::from)), "{line:?}");
        }
        assert!(!Arguments::try_parse_from(["tallystick", "--json", "--help"]).unwrap_err().use_stderr());
    }

    /// Adds the variables that the options of a command, and of those below it, can be stated by.
    fn add_variables(command: &clap::Command, found: &mut BTreeSet<String>) {
        let named = command.get_arguments().filter_map(clap::Arg::get_env);
        found.extend(named.map(|name| name.to_string_lossy().into_owned()));
        command.get_subcommands().for_each(|below| add_variables(below, found));
    }

    #[test]
    fn what_the_environment_says_to_other_commands_does_not_keep_a_server_from_starting() {
        let mut found = BTreeSet::from([access::KEY_VARIABLE.to_owned()]);
        add_variables(&Arguments::command(), &mut found);
        assert!(found.contains("TALLYSTICK_OPERATOR") && found.contains("TALLYSTICK_SERVER"), "{found:?}");
        let environment = found.into_iter().map(|name| (name, "of others".to_owned())).collect();
        let loaded = Loaded::load(None, Stated { environment, flags: Vec::new() });
        assert_eq!(loaded.map(|loaded| loaded.sources), Ok(BTreeMap::new()));
    }
}
