//! `tallystick completions`: what a shell needs to complete our commands and options.

use clap::CommandFactory;
use clap_complete::Shell;

use super::error::CliError;
use super::output::Output;

/// Prints the completions of a shell
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs the command. With `--json` the script is a string in the object.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(args: CompletionsArgs, out: &Output) -> Result<(), CliError> {
    let mut script = Vec::new();
    let mut command = super::Arguments::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    let script = String::from_utf8_lossy(&script);
    out.line(script.trim_end())?;
    out.object(&serde_json::json!({ "shell": args.shell.to_string(), "script": script }))
}
