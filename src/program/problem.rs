//! What is wrong with a programme file, and where: collected while the file is read, located when all is known.
//!
//! What must stay true: every problem points into the file; their number is bounded, however broken the file is; an
//! error that is not shown still counts as an error; what a later release asks of files is no error of one that was published
//! before.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

use crate::limits::PROGRAM_PROBLEMS_MAX;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The file cannot be published.
    Error,
    /// The file can be published, but probably does not say what its author means.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One thing that is wrong with a programme file. Shown as `LINE:COLUMN: error: message`, a hint on its own line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Line, from 1; 0 where the problem concerns the file as a whole.
    pub line: usize,
    /// Column in characters, from 1; 0 where the problem concerns the file as a whole.
    pub column: usize,
    /// What is wrong, in words.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whether it keeps the file from being published.
    pub severity: Severity,
}

impl Problem {
    /// The problem as a compiler would show it: `FILE:LINE:COLUMN: error: message`, a hint on its own line.
    #[must_use]
    pub fn in_file(&self, file: &str) -> String {
        format!("{file}:{self}")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.line, self.column, self.severity, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// A problem on its way into [`Problems`]: where it is, as a byte offset into the source.
#[derive(Debug)]
pub(super) struct Finding {
    start: usize,
    severity: Severity,
    message: String,
    hint: Option<String>,
    /// Whether it was asked later than files could be published, so that files that were are as they are.
    came_later: bool,
}

impl Finding {
    pub(super) fn error(at: &Range<usize>, message: impl Into<String>) -> Self {
        Self { start: at.start, severity: Severity::Error, message: message.into(), hint: None, came_later: false }
    }

    pub(super) fn warning(at: &Range<usize>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(at, message) }
    }

    /// An error of a file that is to be published, and a warning about one that was published before.
    pub(super) fn came_later(mut self) -> Self {
        self.came_later = true;
        self
    }

    pub(super) fn has_hint(&self) -> bool {
        self.hint.is_some()
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Longest message or hint in bytes. They quote the file, and a file may hold a name of a megabyte.
const TEXT_BYTES_MAX: usize = 1_000;

/// Cuts a text that is too long, and shows that it did.
fn clip(text: &mut String) {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push_str(" ...");
    }
}

/// The problems of one source. At most [`PROGRAM_PROBLEMS_MAX`] errors and as many warnings are kept, the rest counted.
#[derive(Debug)]
pub(super) struct Problems<'s> {
    source: &'s str,
    /// Byte offsets at which lines begin; the first is 0.
    line_starts: Vec<usize>,
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
    hidden_errors_count: usize,
    hidden_warnings_count: usize,
    /// Whether the file was published before, perhaps when less was asked of files.
    is_published: bool,
}

impl<'s> Problems<'s> {
    pub(super) fn new(source: &'s str) -> Self {
        let line_starts =
            std::iter::once(0).chain(source.bytes().zip(1..).filter(|(b, _)| *b == b'\n').map(|(_, next)| next));
        Self {
            source,
            line_starts: line_starts.collect(),
            errors: Vec::new(),
            warnings: Vec::new(),
            hidden_errors_count: 0,
            hidden_warnings_count: 0,
            is_published: false,
        }
    }

    /// Of a source that was published before.
    pub(super) fn of_published(source: &'s str) -> Self {
        Self { is_published: true, ..Self::new(source) }
    }

    pub(super) fn push(&mut self, mut finding: Finding) {
        if finding.came_later && self.is_published {
            finding.severity = Severity::Warning;
        }
        let (kept, hidden_count) = match finding.severity {
            Severity::Error => (&mut self.errors, &mut self.hidden_errors_count),
            Severity::Warning => (&mut self.warnings, &mut self.hidden_warnings_count),
        };
        if kept.len() < PROGRAM_PROBLEMS_MAX {
            clip(&mut finding.message);
            finding.hint.as_mut().map(clip);
            kept.push(finding);
        } else {
            *hidden_count += 1;
        }
    }

    pub(super) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// The line, from 1, that contains a byte offset. For messages that name a second place.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    /// The part of the source that a span covers; empty where the span is not one of this source.
    pub(super) fn text(&self, at: &Range<usize>) -> &'s str {
        self.source.get(at.clone()).unwrap_or_default()
    }

    /// All problems in the order of the file, with a last one that counts those not kept.
    pub(super) fn into_sorted(self) -> Vec<Problem> {
        let mut findings: Vec<&Finding> = self.errors.iter().chain(&self.warnings).collect();
        findings.sort_by_key(|finding| finding.start);
        let mut problems: Vec<Problem> = findings.into_iter().map(|finding| self.locate(finding)).collect();
        let hidden = [
            (Severity::Error, self.hidden_errors_count, "errors"),
            (Severity::Warning, self.hidden_warnings_count, "warnings"),
        ];
        for (severity, count, noun) in hidden {
            if count > 0 {
                let message = format!("and {count} more {noun} that are not shown");
                problems.push(Problem { line: self.line_starts.len(), column: 1, message, hint: None, severity });
            }
        }
        problems
    }

    fn locate(&self, finding: &Finding) -> Problem {
        let line = self.line(finding.start);
        let line_start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let before = self.source.get(line_start..finding.start).unwrap_or_default();
        Problem {
            line,
            column: before.chars().count() + 1,
            message: finding.message.clone(),
            hint: finding.hint.clone(),
            severity: finding.severity,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        let source = "größe = 1\n\n  x";
        let mut problems = Problems::new(source);
        let after_umlauts = source.find('=').unwrap();
        problems.push(Finding::warning(&(source.len() - 1..source.len()), "third line").hint("look"));
        problems.push(Finding::error(&(after_umlauts..after_umlauts), "after two umlauts"));
        problems.push(Finding::error(&(source.len()..source.len()), "end"));
        assert!(problems.has_errors());
        let shown: Vec<String> = problems.into_sorted().iter().map(|problem| problem.in_file("a.toml")).collect();
        assert_eq!(
            shown,
            [
                "a.toml:1:7: error: after two umlauts",
                "a.toml:3:3: warning: third line\n  hint: look",
                "a.toml:3:4: error: end"
            ]
        );
    }

    #[test]
    fn a_text_that_quotes_a_long_name_is_cut() {
        let mut problems = Problems::new("x");
        problems.push(Finding::error(&(0..1), "ü".repeat(TEXT_BYTES_MAX)).hint("y".repeat(TEXT_BYTES_MAX)));
        let problem = problems.into_sorted().remove(0);
        assert_eq!(problem.message, format!("{} ...", "ü".repeat(TEXT_BYTES_MAX / 2)));
        assert_eq!(problem.hint, Some("y".repeat(TEXT_BYTES_MAX)));
    }

    #[test]
    fn a_flood_is_bounded_and_a_late_error_still_counts() {
        let mut problems = Problems::new("x");
        for _ in 0..PROGRAM_PROBLEMS_MAX + 7 {
            problems.push(Finding::warning(&(0..1), "again"));
        }
        assert!(!problems.has_errors());
        problems.push(Finding::error(&(0..1), "late"));
        assert!(problems.has_errors());
        let problems = problems.into_sorted();
        assert_eq!(problems.len(), PROGRAM_PROBLEMS_MAX + 2);
        assert!(problems.iter().any(|problem| problem.message == "late"));
        assert_eq!(problems.last().unwrap().message, "and 7 more warnings that are not shown");
    }
}
