//! `tallystick errors`: what a refusal or a failed call means and what to do about it, from the pages in `docs/errors`.
//!
//! What must stay true: it needs neither a server nor the network; every number and name that a caller can see is
//! found, in any case of letters, with or without the wire's prefix.

pub mod pages;

use clap::Subcommand;
use serde_json::{Value, json};

use self::pages::{PAGES, Page};
use super::error::{CliError, Exit};
use super::output::{Output, Style};

/// Explains refusals and failed calls
#[derive(Debug, clap::Args)]
pub struct ErrorsArgs {
    #[command(subcommand)]
    what: ErrorsWhat,
}

#[derive(Debug, Subcommand)]
enum ErrorsWhat {
    /// Print the page of an error: what it means and what to do about it
    Show {
        /// Its number or name, such as 7 or BALANCE_LIMIT_EXCEEDED
        error: String,
    },
    /// List all errors with their numbers
    List,
}

/// Runs the command. With `--json` both give an object with the list `errors`; `show` adds each one's page.
///
/// # Errors
/// When there is no such error, or standard output cannot be written.
pub fn run(args: &ErrorsArgs, out: &Output) -> Result<(), CliError> {
    match &args.what {
        ErrorsWhat::Show { error } => show(error, out),
        ErrorsWhat::List => list(out),
    }
}

/// The pages under a number or a name. A refusal and a failure of a call can have the same name.
fn find(wanted: &str) -> Vec<&'static Page> {
    if let Ok(number) = wanted.parse::<u16>() {
        return PAGES.iter().filter(|page| page.number == number).collect();
    }
    let name = wanted.to_ascii_uppercase().replace('-', "_");
    let name = ["REFUSAL_CODE_", "ERROR_REASON_"].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(&name);
    PAGES.iter().filter(|page| page.name == name).collect()
}

fn show(wanted: &str, out: &Output) -> Result<(), CliError> {
    let found = find(wanted);
    if found.is_empty() {
        let error = CliError::new(Exit::Usage, format!("there is no error {wanted:?}"));
        return Err(error.hint("`tallystick errors list` lists them all"));
    }
    for (index, page) in found.iter().enumerate() {
        if index > 0 {
            out.line("")?;
        }
        out.line(page.text.trim_end())?;
    }
    let errors: Vec<Value> = found
        .into_iter()
        .map(|page| {
            let mut error = as_json(page);
            error["page"] = page.text.into();
            error
        })
        .collect();
    out.object(&json!({ "errors": errors }))
}

fn list(out: &Output) -> Result<(), CliError> {
    let headings = [(true, "Refusals of one command"), (false, "Failures of a call")];
    for (index, (is_refusal, heading)) in headings.into_iter().enumerate() {
        if index > 0 {
            out.line("")?;
        }
        out.line(out.paint(Style::Bold, heading))?;
        for page in PAGES.iter().filter(|page| page.is_refusal() == is_refusal) {
            out.line(format_args!("{:>5}  {:<24} {}", page.number, page.name, page.sentence()))?;
        }
    }
    let errors: Vec<Value> = PAGES.iter().map(as_json).collect();
    out.object(&json!({ "errors": errors }))
}

fn as_json(page: &Page) -> Value {
    let kind = if page.is_refusal() { "refusal" } else { "failure" };
    let mut error = json!({
        "number": page.number,
        "name": page.name,
        "kind": kind,
        "sentence": page.sentence(),
        "retry": page.row("Retry"),
    });
    if page.is_refusal() {
        error["journaled"] = (page.row("Journaled") == Some("yes")).into();
    }
    error
}

#[cfg(test)]
mod tests;
