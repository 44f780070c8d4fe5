//! What a demonstration prints and expects: scenes with a number, rows of figures, and what was to be expected.
//!
//! What must stay true: a figure that is not as expected is shown, and the demonstration then fails.

use serde::Serialize;

use crate::cli::error::CliError;
use crate::cli::output::{Output, Style, grouped};
use crate::service::wire::{Decision, RefusalCode};

/// One scene, as it went.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Scene {
    number: usize,
    title: String,
    ok: bool,
    lines: Vec<String>,
    surprises: Vec<String>,
}

/// The scenes so far.
#[derive(Debug)]
pub struct Script {
    out: Output,
    scenes: Vec<Scene>,
}

/// What a guest did and what came of it.
#[derive(Clone, Copy, Debug)]
pub struct Act<'a> {
    /// The time of day.
    pub time: &'a str,
    /// Who.
    pub guest: &'a str,
    /// What.
    pub what: &'a str,
}

impl Script {
    /// A script without scenes.
    #[must_use]
    pub fn new(out: Output) -> Self {
        Self { out, scenes: Vec::new() }
    }

    /// Begins a scene.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn scene(&mut self, title: &str) -> Result<(), CliError> {
        let number = self.scenes.len() + 1;
        self.out.line("")?;
        self.out.line(format_args!("{}", self.out.paint(Style::Bold, &format!("{number:>2}. {title}"))))?;
        self.scenes.push(Scene { number, title: title.to_owned(), ok: true, ..Scene::default() });
        Ok(())
    }

    fn current(&mut self) -> &mut Scene {
        self.scenes.last_mut().expect("a scene has begun")
    }

    /// A line of the scene.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn say(&mut self, text: impl Into<String>) -> Result<(), CliError> {
        let text = text.into();
        self.out.line(format_args!("      {text}"))?;
        self.current().lines.push(text);
        Ok(())
    }

    /// A row of figures: time, guest, what was done, what the account gained, its balance, and a remark.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn row(&mut self, act: Act<'_>, gain: Option<i64>, balance: Option<i64>, remark: &str) -> Result<(), CliError> {
        let Act { time, guest, what } = act;
        let gain =
            gain.map_or_else(String::new, |gain| if gain > 0 { format!("+{}", grouped(gain)) } else { grouped(gain) });
        let balance = balance.map_or_else(String::new, grouped);
        let row = format!("{time:<5}  {guest:<8} {what:<30} {gain:>7} {balance:>9}  {remark}");
        self.say(row.trim_end())
    }

    /// The headings of the rows.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn headings(&self) -> Result<(), CliError> {
        let text = format!("      {:<5}  {:<8} {:<30} {:>7} {:>9}", "time", "guest", "what", "beans", "balance");
        self.out.line(self.out.paint(Style::Dim, &text))
    }

    /// Compares what came with what was to be expected.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn expect<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, got: T, expected: T) -> Result<(), CliError> {
        if got == expected {
            return Ok(());
        }
        let surprise = format!("{what} should be {expected:?} and is {got:?}");
        self.out.line(format_args!("      {}", self.out.paint(Style::Bad, &format!("NOT AS EXPECTED: {surprise}"))))?;
        let scene = self.current();
        scene.ok = false;
        scene.surprises.push(surprise);
        Ok(())
    }

    /// All scenes, for the summary.
    #[must_use]
    pub fn scenes(&self) -> &[Scene] {
        &self.scenes
    }

    /// Scenes that were not as expected.
    #[must_use]
    pub fn failed_count(&self) -> usize {
        self.scenes.iter().filter(|scene| !scene.ok).count()
    }
}

/// Why a decision granted what it did, in a few words.
#[must_use]
pub fn reason(decision: &Decision) -> String {
    if let Some(refusal) = &decision.refusal {
        let code = RefusalCode::try_from(refusal.code).map_or("UNKNOWN", |code| code.as_str_name());
        let code = code.trim_start_matches("REFUSAL_CODE_");
        let field = if refusal.field.is_empty() { String::new() } else { format!(" in {}", refusal.field) };
        return format!("refused: {code}{field}");
    }
    if let Some(denial) = &decision.velocity_denial {
        return format!("cap {}: {} baskets a day", denial.cap, denial.limit_count);
    }
    let mut reasons: Vec<String> =
        decision.clips.iter().map(|clip| format!("{} kept back {}", clip.name, grouped(clip.clipped_points))).collect();
    if decision.replayed {
        reasons.insert(0, "replayed: the first answer again".to_owned());
    }
    reasons.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::wire::{Clip, Refusal};

    #[test]
    fn reasons_are_short() {
        let refusal = Refusal {
            code: RefusalCode::TransactionIdReused.into(),
            field: "basket.lines".to_owned(),
            ..Refusal::default()
        };
        let refused = Decision { refusal: Some(refusal), ..Decision::default() };
        assert_eq!(reason(&refused), "refused: TRANSACTION_ID_REUSED in basket.lines");
        let clip = Clip { name: "daily".to_owned(), clipped_points: 99, ..Clip::default() };
        let clipped = Decision { clips: vec![clip], replayed: true, ..Decision::default() };
        assert_eq!(reason(&clipped), "replayed: the first answer again, daily kept back 99");
    }

    #[test]
    fn a_surprise_fails_its_scene() {
        let mut script = Script::new(Output::new(true));
        script.scene("first").unwrap();
        script.expect("one", 1, 1).unwrap();
        script.scene("second").unwrap();
        script.expect("one", 2, 1).unwrap();
        assert_eq!(script.failed_count(), 1);
        assert_eq!(script.scenes()[1].surprises, ["one should be 1 and is 2"]);
    }
}
