//! What a command prints: its answer on standard output, everything else on standard error.
//!
//! What must stay true: with `--json` standard output holds exactly one JSON object, also when the command fails;
//! colours and moving bars are for terminals only; a program that reads our output may go away at any time.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::json;

use super::error::CliError;
use crate::clock::{Clock, SystemClock};

/// How often progress is stated as a line where no bar can be drawn.
const PLAIN_LINE_INTERVAL_NS: i64 = 5_000_000_000;

/// How a piece of text is shown on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A heading.
    Bold,
    /// Of lesser importance.
    Dim,
    /// As it should be.
    Good,
    /// As it should not be.
    Bad,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Good => "32",
            Self::Bad => "31",
        }
    }
}

/// Where a command prints.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    is_json: bool,
    has_colour: bool,
    has_bars: bool,
}

impl Output {
    /// Looks at standard output and standard error, and at `NO_COLOR`.
    #[must_use]
    pub fn new(is_json: bool) -> Self {
        let wants_colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|value| value != "dumb");
        Self {
            is_json,
            has_colour: wants_colour && !is_json && io::stdout().is_terminal(),
            has_bars: !is_json && io::stderr().is_terminal(),
        }
    }

    /// Whether the answer is one JSON object.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.is_json
    }

    /// Prints a line of the answer; nothing with `--json`.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn line(&self, text: impl Display) -> Result<(), CliError> {
        if self.is_json {
            return Ok(());
        }
        writeln!(io::stdout().lock(), "{text}").map_err(|error| CliError::standard_output(&error))
    }

    /// Prints text of the answer as it is, without adding a line's end; nothing with `--json`.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn text(&self, text: &str) -> Result<(), CliError> {
        if self.is_json {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
            .map_err(|error| CliError::standard_output(&error))
    }

    /// Prints the answer as one JSON object; nothing without `--json`.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn object(&self, answer: &impl Serialize) -> Result<(), CliError> {
        if !self.is_json {
            return Ok(());
        }
        let text = serde_json::to_string_pretty(answer).expect("answers have string keys and no failing parts");
        writeln!(io::stdout().lock(), "{text}").map_err(|error| CliError::standard_output(&error))
    }

    /// Says something besides the answer, on standard error.
    pub fn note(&self, text: impl Display) {
        // There is nobody to tell when standard error is gone.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Text as it is shown on a terminal; unchanged elsewhere.
    #[must_use]
    pub fn paint(&self, style: Style, text: &str) -> String {
        if self.has_colour { format!("\x1b[{}m{text}\x1b[0m", style.code()) } else { text.to_owned() }
    }

    /// Shows how some long work goes on. Nothing is shown before the first report.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let bar = self.has_bars.then(|| ProgressBar::no_length().with_style(style(SPINNER)));
        let clock = SystemClock::new();
        Progress { bar, shown_at_ns: clock.monotonic_ns(), clock, phase: String::new(), has_total: false }
    }

    /// Ends a command: shows its error, if it has one that was not shown, and returns the exit status.
    #[must_use]
    pub fn finish(&self, result: Result<(), CliError>) -> ExitCode {
        let Err(error) = result else { return ExitCode::SUCCESS };
        if !error.is_reported() {
            if self.is_json {
                // Standard output that cannot be written either leaves only the status.
                let _ = self.object(&json!({
                    "error": {
                        "kind": error.exit(),
                        "exit_status": error.exit().status(),
                        "message": error.to_string(),
                        "hint": error.hint_text(),
                    }
                }));
            } else {
                self.note(format_args!("error: {error}"));
                if let Some(hint) = error.hint_text() {
                    self.note(format_args!("  hint: {hint}"));
                }
            }
        }
        ExitCode::from(error.exit().status())
    }
}

const BAR: &str = "{prefix} {bar:24} {percent:>3} %  {msg}  {eta} left";
const SPINNER: &str = "{prefix} {spinner}  {msg}";

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates above are valid").progress_chars("=> ")
}

/// How some long work goes on: a bar on a terminal, elsewhere a line on standard error now and then.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    clock: SystemClock,
    shown_at_ns: i64,
    phase: String,
    has_total: bool,
}

impl Progress {
    /// Reports that `done` of `total` is done (a total of 0 means that it is not known), in a phase with a name.
    /// `detail` is made only when it is shown.
    pub fn report<D: Display>(&mut self, phase: &str, done: u64, total: u64, detail: impl FnOnce() -> D) {
        if let Some(bar) = &self.bar {
            if self.phase != phase || self.has_total != (total > 0) {
                phase.clone_into(&mut self.phase);
                self.has_total = total > 0;
                bar.set_style(style(if total > 0 { BAR } else { SPINNER }));
                bar.set_prefix(phase.to_owned());
                bar.reset_eta();
            }
            if total > 0 {
                bar.set_length(total);
            }
            bar.set_message(detail().to_string());
            bar.set_position(done);
            return;
        }
        let now_ns = self.clock.monotonic_ns();
        if now_ns - self.shown_at_ns >= PLAIN_LINE_INTERVAL_NS {
            self.shown_at_ns = now_ns;
            let share = (done.saturating_mul(100)).checked_div(total).map(|percent| format!(" {percent} %"));
            let line = format!("{phase}:{} {}", share.unwrap_or_default(), detail());
            let _ = writeln!(io::stderr().lock(), "{line}");
        }
    }

    /// Says something without disturbing the bar.
    pub fn note(&self, text: impl Display) {
        let say = || {
            let _ = writeln!(io::stderr().lock(), "{text}");
        };
        match &self.bar {
            Some(bar) => bar.suspend(say),
            None => say(),
        }
    }
}

impl Drop for Progress {
    /// Takes the bar off the screen, also when the work failed.
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A number with a comma after every three digits.
#[must_use]
pub fn grouped(number: impl TryInto<i128>) -> String {
    let number: i128 = number.try_into().unwrap_or(i128::MAX);
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// "1 basket", "2 baskets".
#[must_use]
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_three() {
        let rows =
            [(0, "0"), (999, "999"), (1_000, "1,000"), (-12_345, "-12,345"), (i64::MIN, "-9,223,372,036,854,775,808")];
        for (number, shown) in rows {
            assert_eq!(grouped(number), shown);
        }
        assert_eq!(counted(1, "basket", "baskets"), "1 basket");
        assert_eq!(counted(1_200, "basket", "baskets"), "1,200 baskets");
    }

    #[test]
    fn colours_are_left_out_where_there_is_no_terminal() {
        let plain = Output { is_json: false, has_colour: false, has_bars: false };
        assert_eq!(plain.paint(Style::Bad, "no"), "no");
        let terminal = Output { has_colour: true, ..plain };
        assert_eq!(terminal.paint(Style::Bad, "no"), "\x1b[31mno\x1b[0m");
    }
}
