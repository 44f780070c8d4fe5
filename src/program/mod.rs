//! Programme files: the text in which a programme's owner states what is earned, checked with located problems and
//! compiled into the flat tables of [`crate::ledger::program`].
//!
//! Reading order: `table` (one TOML table, key by key), `file` (the sections), `check` (what entries mean together),
//! `compile` (the tables), [`summary()`] (a preview for people), [`registry`] (the versions of a data directory), `counters`
//! (what they count together), [`words`] (decisions in words).
//! The reference for authors is `docs/programs.md`.
//!
//! What must stay true: a file with an error never becomes a programme and changes no dictionary; compiling depends on
//! its arguments and the time-zone release of this binary only; a file that was published once compiles for ever; every bound is in [`crate::limits`].
#![deny(clippy::float_arithmetic, clippy::as_conversions, clippy::cast_possible_truncation)]

mod check;
mod compile;
mod counters;
mod file;
mod problem;
pub mod registry;
pub mod suggest;
mod summary;
mod symbols;
mod table;
#[cfg(test)]
mod tests;
mod timezone;
pub mod words;

pub use problem::{Problem, Severity};
pub use registry::Programs;
pub use summary::{Outlook, summary};
pub use symbols::{SymbolTable, Symbols, SymbolsFull};
pub use timezone::{time_zone_release, zone};

use file::ProgramFile;
use problem::{Finding, Problems};
use registry::AppendError;
use table::TableReader;
use toml::de::DeTable;

use crate::ledger::program::Program;
use crate::ledger::types::{ProgramVersion, TimestampNs};
use crate::limits::PROGRAM_SOURCE_BYTES_MAX;

/// The programme that runs where none is named: a coffee shop.
pub const SAMPLE: &str = include_str!("../../deploy/programs/coffee-shop.toml");

/// What [`check`] found.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Every problem, in the order of the file.
    pub problems: Vec<Problem>,
    /// The programme, compiled with a dictionary of its own, for a preview. `None` when there is an error.
    pub program: Option<Program>,
    /// What the file's ordinary basket earns, where the file names one and has no error.
    pub outlook: Option<Outlook>,
}

/// Checks a programme file and runs its expectations.
///
/// Mistakes of TOML's own syntax are reported alone, since what follows one cannot be trusted; all other problems are
/// reported together.
#[must_use]
pub fn check(source: &str) -> Checked {
    let mut problems = Problems::new(source);
    let examined = examine(source, &mut problems).filter(|_| !problems.has_errors());
    let outlook = examined.as_ref().and_then(|examined| {
        let header = examined.file.header.as_ref()?;
        Some(Outlook::new(&examined.program, header.typical_basket_minor?, header.first_reward_units))
    });
    let program = examined.map(|examined| examined.program);
    Checked { problems: problems.into_sorted(), program, outlook }
}

/// Compiles a programme file.
///
/// Strings enter `symbols` in the order of the file, and only when the file has no error. Warnings are not returned:
/// ask [`check`] for them.
///
/// # Errors
/// Every problem, warnings too, when one of them is an error, or the dictionary is full.
pub fn compile(
    source: &str,
    version: ProgramVersion,
    effective_at: TimestampNs,
    symbols: &mut dyn Symbols,
) -> Result<Program, Vec<Problem>> {
    compile_with(Problems::new(source), source, version, effective_at, symbols)
}

/// Compiles a file that was published before, perhaps by an earlier release: what is asked of files only since then is not
/// asked of it, for its version has judged, and the data directory has to open.
///
/// # Errors
/// As [`compile`].
pub fn compile_published(
    source: &str,
    version: ProgramVersion,
    effective_at: TimestampNs,
    symbols: &mut dyn Symbols,
) -> Result<Program, Vec<Problem>> {
    compile_with(Problems::of_published(source), source, version, effective_at, symbols)
}

fn compile_with<'s>(
    mut problems: Problems<'s>,
    source: &'s str,
    version: ProgramVersion,
    effective_at: TimestampNs,
    symbols: &mut dyn Symbols,
) -> Result<Program, Vec<Problem>> {
    let Some(examined) = examine(source, &mut problems).filter(|_| !problems.has_errors()) else {
        return Err(problems.into_sorted());
    };
    compile::build(&examined.file, source, version, effective_at, symbols).map_err(|finding| {
        problems.push(finding);
        problems.into_sorted()
    })
}

/// Why a file cannot become the next version, as a problem with its place where it has one.
#[must_use]
pub fn unfit(source: &str, error: &AppendError) -> Problem {
    let path: &[&str] = match error {
        AppendError::CurrencyChanged { .. } => &["program", "currency"],
        AppendError::LateLimitRaised { .. } => &["program", "late_limit_days"],
        AppendError::WalletChanged { .. } | AppendError::WalletKindChanged { .. } => &["wallets"],
        AppendError::CounterChanged { .. } => &["caps"],
        AppendError::Full | AppendError::NotNext { .. } | AppendError::NotLater { .. } => &[],
    };
    let mut problems = Problems::new(source);
    let place = place_of(source, path);
    problems.push(Finding::error(&place.clone().unwrap_or(0..0), error.to_string()));
    let problem = problems.into_sorted().remove(0);
    if place.is_some() { problem } else { Problem { line: 0, column: 0, ..problem } }
}

/// Where the last key of a path stands; where it is missing, the last that is there.
fn place_of(source: &str, path: &[&str]) -> Option<std::ops::Range<usize>> {
    let (root, _) = DeTable::parse_recoverable(source);
    let mut table = Some(root.get_ref());
    let mut place = None;
    for key in path {
        let Some((found, value)) = table.and_then(|table| table.get_key_value(*key)) else { break };
        place = Some(found.span());
        table = value.get_ref().as_table();
    }
    place
}

/// A file in which every entry is fit, and the programme that its expectations were run against.
struct Examined {
    file: ProgramFile,
    program: Program,
}

/// Parses, reads and checks. `None` only with an error in `problems`; an expectation that fails is an error besides.
fn examine<'s>(source: &'s str, problems: &mut Problems<'s>) -> Option<Examined> {
    if source.len() > PROGRAM_SOURCE_BYTES_MAX {
        let message = format!("the file has {} bytes; at most {PROGRAM_SOURCE_BYTES_MAX} are allowed", source.len());
        problems.push(Finding::error(&(0..0), message));
        return None;
    }
    let file = read(source, problems)?;
    check::check_entries(&file, problems);
    if problems.has_errors() {
        return None;
    }
    let mut symbols = SymbolTable::new();
    let program = compile::build(&file, source, ProgramVersion(1), TimestampNs(0), &mut symbols)
        .expect("a file holds fewer strings than a fresh dictionary takes");
    check::check_expectations(&file, &program, &mut symbols, problems);
    Some(Examined { file, program })
}

/// Parses the TOML and reads its sections. `None` when the syntax is broken.
fn read<'s>(source: &'s str, problems: &mut Problems<'s>) -> Option<ProgramFile> {
    let (root, syntax_errors) = DeTable::parse_recoverable(source);
    for error in &syntax_errors {
        let at = error.span().unwrap_or(0..0);
        let message = match error.message() {
            "duplicate key" => format!("`{}` is stated twice", problems.text(&at)),
            message => message.to_owned(),
        };
        problems.push(Finding::error(&at, message));
    }
    let is_readable = syntax_errors.is_empty();
    is_readable.then(|| ProgramFile::read(TableReader::new(root.get_ref(), 0..0, "the file", problems)))
}
