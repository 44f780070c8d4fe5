//! `tallystick program`: checks a programme file without a server, publishes it, and shows what is in force.
//!
//! What must stay true: every problem is shown as `FILE:LINE:COLUMN`, with zeros where it has no place; a file with an
//! error is never published; repeating the same publication publishes once; an id that was drawn is told where it is needed
//! for that.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;

use super::access::AccessArgs;
use super::client::{Server, ServerArgs, call, parse_time, runtime, shown_time, to_wire};
use super::error::{CliError, Exit};
use super::output::{Output, Style, counted};
use super::proposals::say_pending_as;
use crate::limits;
use crate::program::{Checked, Problem, Severity, check, summary};
use crate::service::wire::get_program_request::Selector;
use crate::service::wire::{
    CheckProgramRequest, GetProgramRequest, GetProgramResponse, ProblemSeverity, Program, ProgramProblem,
    PublishProgramRequest,
};

/// Checks, publishes and shows programme files
#[derive(Debug, clap::Args)]
pub struct ProgramArgs {
    #[command(subcommand)]
    what: ProgramWhat,
}

#[derive(Debug, Subcommand)]
enum ProgramWhat {
    /// Check a programme file, run its expectations, and say in words what it does
    ///
    /// No server is needed. The exit status is 65 if the file has an error.
    Check {
        /// The programme file
        file: PathBuf,
        /// Also ask this server whether the file can follow its versions
        #[arg(long, value_name = "URL")]
        server: Option<String>,
        #[command(flatten)]
        access: AccessArgs,
    },
    /// Publish a programme file as the next version
    Publish(PublishArgs),
    /// Print a version as it was published; the one in force if none is named
    Show(ShowArgs),
}

#[derive(Debug, clap::Args)]
struct PublishArgs {
    /// The programme file
    file: PathBuf,
    #[command(flatten)]
    server: ServerArgs,
    /// Receipts from this instant on are judged by it, such as 2026-07-01T00:00:00Z; as soon as can be if not given
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    effective_time: Option<jiff::Timestamp>,
    /// The id of this publication; the same id publishes once. Made from the file and the time if not given, and drawn if
    /// no time is given either
    #[arg(long, value_name = "ID")]
    transaction_id: Option<String>,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The version with this number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    version: Option<i32>,
    /// The version that judges a receipt of this instant
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "version")]
    at: Option<jiff::Timestamp>,
}

/// Runs the command.
///
/// # Errors
/// When the file has errors, or the server cannot be used.
pub fn run(args: ProgramArgs, out: &Output) -> Result<(), CliError> {
    match args.what {
        ProgramWhat::Check { file, server, access } => {
            run_check(&file, server.map(|server| ServerArgs { server, access }), out)
        }
        ProgramWhat::Publish(args) => run_publish(&args, out),
        ProgramWhat::Show(args) => run_show(&args, out),
    }
}

/// Reads a programme file.
fn read(file: &Path) -> Result<String, CliError> {
    let bytes_max = u64::try_from(limits::PROGRAM_SOURCE_BYTES_MAX).unwrap_or(u64::MAX);
    let failed = |error: &std::io::Error| CliError::file(Exit::InputOutput, "reading", file, error);
    let length = std::fs::metadata(file).map_err(|error| failed(&error))?.len();
    if length > bytes_max {
        let message = format!("{}: the file has {length} bytes; at most {bytes_max} are allowed", file.display());
        return Err(CliError::new(Exit::BadData, message));
    }
    let bytes = std::fs::read(file).map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        CliError::new(Exit::BadData, format!("{}:{line}: the file is not UTF-8", file.display()))
    })
}

/// Prints the problems of a file, each with its place.
fn print_problems(file: &Path, checked: &Checked, out: &Output) -> Result<(), CliError> {
    let file = file.display().to_string();
    for problem in &checked.problems {
        let shown = problem.in_file(&file);
        out.line(if problem.severity == Severity::Error { out.paint(Style::Bad, &shown) } else { shown })?;
    }
    Ok(())
}

fn count_of(checked: &Checked, severity: Severity) -> u64 {
    let found = checked.problems.iter().filter(|problem| problem.severity == severity);
    u64::try_from(found.count()).unwrap_or(u64::MAX)
}

/// What a server says about a file: its own problems and those with the versions that are there.
fn ask(server: &ServerArgs, source: String, checked: &mut Checked) -> Result<(), CliError> {
    let server = Server::new(server)?;
    let response = runtime()?.block_on(async {
        let mut clients = server.connect().await?;
        let response = clients.program.check_program(call(CheckProgramRequest { source })).await;
        response.map_err(|status| server.failure("checking the programme", &status))
    })?;
    let response = response.into_inner();
    checked.problems = response.problems.into_iter().map(problem).collect();
    checked.program = checked.program.take().filter(|_| count_of(checked, Severity::Error) == 0);
    Ok(())
}

/// A problem as the server states it. A severity that this program does not know is an error.
fn problem(stated: ProgramProblem) -> Problem {
    let is_warning = stated.severity() == ProblemSeverity::Warning;
    Problem {
        line: usize::try_from(stated.line).unwrap_or(0),
        column: usize::try_from(stated.column).unwrap_or(0),
        message: stated.message,
        hint: Some(stated.hint).filter(|hint| !hint.is_empty()),
        severity: if is_warning { Severity::Warning } else { Severity::Error },
    }
}

fn run_check(file: &Path, server: Option<ServerArgs>, out: &Output) -> Result<(), CliError> {
    let source = read(file)?;
    let mut checked = check(&source);
    if let Some(server) = server {
        ask(&server, source.clone(), &mut checked)?;
    }
    let outlook = checked.outlook.as_ref();
    let words = checked.program.as_ref().map(|program| {
        let mut words = summary(program);
        words.extend(outlook.map(|outlook| outlook.words.clone()));
        words
    });
    let (error_count, warning_count) = (count_of(&checked, Severity::Error), count_of(&checked, Severity::Warning));
    print_problems(file, &checked, out)?;
    let found =
        format!("{}, {}", counted(error_count, "error", "errors"), counted(warning_count, "warning", "warnings"));
    match &words {
        Some(words) => {
            for line in words {
                out.line(line)?;
            }
            let verdict = out.paint(Style::Good, "can be published");
            out.line(format_args!("{}: {verdict}; {found}", file.display()))?;
        }
        None => out.line(format_args!("{}: cannot be published; {found}", file.display()))?,
    }
    out.object(&json!({
        "file": file.display().to_string(),
        "ok": words.is_some(),
        "error_count": error_count,
        "warning_count": warning_count,
        "problems": checked.problems,
        "summary": words,
        "outlook": outlook,
        "source_hash": blake3::hash(source.as_bytes()).to_hex().as_str(),
    }))?;
    if words.is_some() { Ok(()) } else { Err(CliError::reported(Exit::BadData)) }
}

fn run_publish(args: &PublishArgs, out: &Output) -> Result<(), CliError> {
    let source = read(&args.file)?;
    let checked = check(&source);
    if checked.program.is_none() {
        print_problems(&args.file, &checked, out)?;
        out.object(&json!({
            "file": args.file.display().to_string(),
            "ok": false,
            "problems": checked.problems,
        }))?;
        return Err(CliError::reported(Exit::BadData));
    }
    let (transaction_id, is_drawn) = match (&args.transaction_id, args.effective_time) {
        (Some(id), _) => (id.clone(), false),
        (None, Some(time)) => (derived_id(&source, time), false),
        // "As soon as can be" is another instant each time: the same text may be published again later, to go back.
        (None, None) => (random_id()?, true),
    };
    let drawn_id = is_drawn.then(|| transaction_id.clone());
    let request = PublishProgramRequest { transaction_id, source, effective_time: args.effective_time.map(to_wire) };
    let server = Server::new(&args.server)?;
    let response = runtime()?.block_on(async {
        let mut clients = server.connect().await?;
        let response = clients.program.publish_program(call(request)).await;
        response.map_err(|status| server.failure("publishing the programme", &status))
    })?;
    let response = response.into_inner();
    if say_pending_as(response.pending.as_ref(), drawn_id.as_deref(), out)? {
        return Ok(());
    }
    let program = response.program.unwrap_or_default();
    let effective_time = shown_time(program.effective_time.as_ref()).unwrap_or_else(|| "ever".to_owned());
    let again = if response.replayed { " (it was published before by the same command)" } else { "" };
    out.line(format_args!(
        "{}: version {} judges receipts from {effective_time} on{again}",
        program.name, program.version
    ))?;
    let mut answer = as_json(&program);
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("ok".to_owned(), true.into());
        fields.insert("replayed".to_owned(), response.replayed.into());
    }
    out.object(&answer)
}

/// An id that the same file with the same effective time always gets.
fn derived_id(source: &str, time: jiff::Timestamp) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&time.as_nanosecond().to_le_bytes());
    hasher.update(source.as_bytes());
    publication_id(&hasher.finalize().to_hex())
}

fn random_id() -> Result<String, CliError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| CliError::new(Exit::InputOutput, format!("no random numbers can be had: {error}")))?;
    Ok(publication_id(&blake3::Hash::from_bytes(bytes).to_hex()))
}

fn publication_id(digits: &str) -> String {
    format!("program-{}", digits.get(..32).unwrap_or(digits))
}

fn run_show(args: &ShowArgs, out: &Output) -> Result<(), CliError> {
    let selector = args.version.map(Selector::Version).or(args.at.map(|at| Selector::EventTime(to_wire(at))));
    let server = Server::new(&args.server)?;
    let response = runtime()?.block_on(async {
        let mut clients = server.connect().await?;
        let response = clients.program.get_program(call(GetProgramRequest { selector })).await;
        response.map_err(|status| server.failure("reading the programme", &status))
    })?;
    let GetProgramResponse { program, source } = response.into_inner();
    let program = program.unwrap_or_default();
    // On standard error, so that standard output is the file, byte for byte, and can be kept as one.
    if !out.is_json() {
        let effective_time = shown_time(program.effective_time.as_ref()).unwrap_or_else(|| "ever".to_owned());
        out.note(format_args!("version {} of {}, from {effective_time} on", program.version, program.name));
    }
    out.text(&source)?;
    let mut answer = as_json(&program);
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("source".to_owned(), source.into());
    }
    out.object(&answer)
}

fn as_json(program: &Program) -> serde_json::Value {
    json!({
        "version": program.version,
        "name": program.name,
        "effective_time": shown_time(program.effective_time.as_ref()),
        "source_hash": program.source_hash,
        "posting_time": shown_time(program.posting_time.as_ref()),
        "position": program.position,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_publication_has_the_same_id_and_another_has_another() {
        let time = |text| parse_time(text).unwrap();
        let id = derived_id("a", time("2026-01-01T00:00:00Z"));
        assert_eq!(id, derived_id("a", time("2026-01-01T00:00:00Z")));
        assert_ne!(id, derived_id("b", time("2026-01-01T00:00:00Z")));
        assert_ne!(id, derived_id("a", time("2026-01-01T00:00:00.000000001Z")));
        assert!(id.len() <= limits::TRANSACTION_ID_BYTES_MAX);
        assert_ne!(random_id().unwrap(), random_id().unwrap());
    }
}
