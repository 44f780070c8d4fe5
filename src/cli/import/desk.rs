//! What stands between the files of an import and the pump: commands on one side, counts on the other.
//!
//! What must stay true: points are not added up here, that is the ledger's business; every command is counted once, by
//! its definite answer.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::pump::{Effort, Ends, Outgoing};
use super::rows::Extent;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Output, Progress, counted, grouped};
use crate::service::wire::{Command, Decision, RefusalCode, command};

/// Refusals that are named one by one.
const SHOWN_REFUSALS_MAX: usize = 5;
/// What to do when the server wants a time of posting that was not sent, or does not want the one that was.
const POSTING_TIME_HINT: &str =
    "--at, or --posting-time of baskets and events, says whether a time of posting is sent, and which";
/// What to do when the amounts are in another currency than the programme's.
const CURRENCY_HINT: &str = "--currency says which currency the amounts are in, USD if nothing is said";

/// What a command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A purchase.
    Basket,
    /// Points that are burned.
    Redemption,
    /// Something besides a purchase.
    Activity,
    /// An account that is opened, or joins segments.
    Enrolment,
    /// What an account had elsewhere.
    OpeningBalance,
    /// An identifier that points to an account from then on, or no longer.
    Identifier,
    /// Something that no import sends.
    Other,
}

impl Kind {
    /// The kind of a command.
    #[must_use]
    pub fn of(command: &Command) -> Self {
        match &command.command {
            Some(command::Command::Accrue(_)) => Self::Basket,
            Some(command::Command::Redeem(_)) => Self::Redemption,
            Some(command::Command::RecordActivity(_)) => Self::Activity,
            Some(command::Command::Enrol(_)) => Self::Enrolment,
            Some(command::Command::LoadOpeningBalance(_)) => Self::OpeningBalance,
            Some(command::Command::LinkIdentifier(_) | command::Command::UnlinkIdentifier(_)) => Self::Identifier,
            Some(
                command::Command::Reverse(_)
                | command::Command::Authorize(_)
                | command::Command::TopUp(_)
                | command::Command::Capture(_)
                | command::Command::VoidAuthorization(_),
            )
            | None => Self::Other,
        }
    }

    /// Its name for people.
    fn noun(self) -> &'static str {
        match self {
            Self::Basket => "basket",
            Self::Redemption => "redemption",
            Self::Activity => "activity",
            Self::Enrolment => "enrolment",
            Self::OpeningBalance => "opening balance",
            Self::Identifier => "identifier",
            Self::Other => "command",
        }
    }

    /// Its name for programs.
    fn key(self) -> &'static str {
        match self {
            Self::OpeningBalance => "opening_balance",
            other => other.noun(),
        }
    }
}

/// Where commands come from.
pub trait Source {
    /// The next command; `None` when there are no more.
    ///
    /// # Errors
    /// When a file is wrong or cannot be read.
    fn next(&mut self) -> Result<Option<Outgoing>, CliError>;

    /// The name of the file that commands of a kind come from.
    fn file_of(&self, kind: Kind) -> &str;

    /// What the commands are called together: one, and many.
    fn nouns(&self) -> (&'static str, &'static str);
}

/// How the commands of one kind were answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct KindTally {
    accepted_count: u64,
    replayed_count: u64,
    refused_count: u64,
}

/// How commands were answered.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    command_count: u64,
    row_count: u64,
    answered_count: u64,
    accepted_count: u64,
    replayed_count: u64,
    /// Refusals that belong to the history that is loaded: redemptions of more points than there were.
    history_refused_count: u64,
    refused: BTreeMap<String, u64>,
    kinds: BTreeMap<Kind, KindTally>,
    shown_refusals: Vec<String>,
}

impl Tally {
    fn refused_count(&self) -> u64 {
        self.refused.values().sum()
    }

    fn count(&mut self, file: &str, sent: &Outgoing, decision: &Decision) {
        self.answered_count += 1;
        let kind = Kind::of(&sent.command);
        let tally = self.kinds.entry(kind).or_default();
        match &decision.refusal {
            Some(refusal) => {
                let code = code_name(refusal.code);
                tally.refused_count += 1;
                if kind == Kind::Redemption && refusal.code() == RefusalCode::InsufficientBalance {
                    self.history_refused_count += 1;
                } else if self.shown_refusals.len() < SHOWN_REFUSALS_MAX {
                    let id = transaction_id(&sent.command);
                    let field = if refusal.field.is_empty() { String::new() } else { format!(" ({})", refusal.field) };
                    let (line, noun) = (sent.line, kind.noun());
                    self.shown_refusals.push(format!("{file}:{line}: {noun} {id}: {code}{field}: {}", refusal.message));
                }
                *self.refused.entry(code).or_default() += 1;
            }
            None if decision.replayed => {
                tally.replayed_count += 1;
                self.replayed_count += 1;
            }
            None => {
                tally.accepted_count += 1;
                self.accepted_count += 1;
            }
        }
    }
}

/// The permanent name of a refusal, or its number if this program does not know it.
fn code_name(code: i32) -> String {
    RefusalCode::try_from(code).map_or_else(
        |_| format!("REFUSAL_CODE_{code}"),
        |code| code.as_str_name().trim_start_matches("REFUSAL_CODE_").to_owned(),
    )
}

fn transaction_id(command: &Command) -> &str {
    match &command.command {
        Some(command::Command::Accrue(request)) => &request.transaction_id,
        Some(command::Command::Reverse(request)) => &request.transaction_id,
        Some(command::Command::Redeem(request)) => &request.transaction_id,
        Some(command::Command::Authorize(request)) => &request.transaction_id,
        Some(command::Command::TopUp(request)) => &request.transaction_id,
        Some(command::Command::Capture(request)) => &request.transaction_id,
        Some(command::Command::VoidAuthorization(request)) => &request.transaction_id,
        Some(command::Command::RecordActivity(request)) => &request.transaction_id,
        Some(command::Command::Enrol(request)) => &request.transaction_id,
        Some(command::Command::LoadOpeningBalance(request)) => &request.transaction_id,
        Some(command::Command::LinkIdentifier(request)) => &request.transaction_id,
        Some(command::Command::UnlinkIdentifier(request)) => &request.transaction_id,
        None => "",
    }
}

/// Which option decides what a field says that no column does.
fn hint_about(field: &str) -> Option<&'static str> {
    match field {
        "posting_time" => Some(POSTING_TIME_HINT),
        "basket.currency_code" => Some(CURRENCY_HINT),
        _ => None,
    }
}

/// The files on one side, the counts on the other.
pub struct Desk<'a> {
    source: &'a mut dyn Source,
    extents: Vec<Extent>,
    progress: Progress,
    tally: Tally,
    has_been_interrupted: bool,
}

impl<'a> Desk<'a> {
    /// Nothing was sent yet.
    pub fn new(source: &'a mut dyn Source, extents: Vec<Extent>, progress: Progress) -> Self {
        Self { source, extents, progress, tally: Tally::default(), has_been_interrupted: false }
    }

    /// How everything was answered.
    #[must_use]
    pub fn into_tally(self) -> Tally {
        self.tally
    }
}

impl Ends for Desk<'_> {
    fn next(&mut self) -> Result<Option<Outgoing>, CliError> {
        let Some(outgoing) = self.source.next()? else { return Ok(None) };
        self.tally.command_count += 1;
        self.tally.row_count += outgoing.row_count;
        Ok(Some(outgoing))
    }

    fn answered(&mut self, sent: &Outgoing, decision: &Decision) -> Result<(), CliError> {
        if self.has_been_interrupted {
            self.has_been_interrupted = false;
            self.progress.note("the server answers again");
        }
        let kind = Kind::of(&sent.command);
        let file = self.source.file_of(kind);
        if let Some(refusal) = decision.refusal.as_ref().filter(|refusal| refusal.code() == RefusalCode::InvalidCommand)
        {
            // The file, or what was said about it, does not fit the server; the rest will hardly be better.
            let place = format!("{file}:{}: {} {}", sent.line, kind.noun(), transaction_id(&sent.command));
            let mut message = format!("{place} is not a command that the server understands: {}", refusal.message);
            for violation in &refusal.field_violations {
                message.push_str(&format!("\n  {}: {}", violation.field, violation.description));
            }
            let error = CliError::new(Exit::BadData, message);
            let hint = refusal.field_violations.iter().find_map(|violation| hint_about(&violation.field));
            return Err(match hint {
                Some(hint) => error.hint(hint),
                None => error,
            });
        }
        self.tally.count(file, sent, decision);
        let tally = &self.tally;
        if tally.answered_count.is_multiple_of(64) {
            let read_bytes = self.extents.iter().map(|extent| extent.read_bytes.load(Ordering::Relaxed)).sum();
            let total_bytes = self.extents.iter().map(|extent| extent.total_bytes).sum();
            let (one, many) = self.source.nouns();
            self.progress.report("Importing", read_bytes, total_bytes, || {
                format!("{} answered", counted(tally.answered_count, one, many))
            });
        }
        Ok(())
    }

    fn interrupted(&mut self, why: &str) {
        if !self.has_been_interrupted {
            self.has_been_interrupted = true;
            self.progress.note(format_args!("{why}; trying again"));
        }
    }
}

/// What an import says at its end.
pub struct Report {
    /// The files, as the user gave them.
    pub files: Vec<String>,
    /// What the commands are called together: one, and many.
    pub nouns: (&'static str, &'static str),
    /// How everything was answered.
    pub tally: Tally,
    /// What it took.
    pub effort: Effort,
    /// How long it took.
    pub elapsed_ms: u64,
}

impl Report {
    /// Prints the report of an import that came to its end.
    ///
    /// # Errors
    /// When it cannot be written; and, without a message, when something was refused.
    pub fn print(&self, out: &Output) -> Result<(), CliError> {
        let Self { tally, effort, nouns: (one, many), .. } = self;
        let refused_count = tally.refused_count();
        out.line(format_args!(
            "{}: {} of {}, each answered: {} accepted, {} replayed, {} refused",
            self.files.join(" and "),
            counted(tally.command_count, one, many),
            counted(tally.row_count, "row", "rows"),
            grouped(tally.accepted_count),
            grouped(tally.replayed_count),
            grouped(refused_count),
        ))?;
        for (kind, of_kind) in tally.kinds.iter().filter(|_| tally.kinds.len() > 1) {
            out.line(format_args!(
                "  {}: {} accepted, {} replayed, {} refused",
                kind.noun(),
                grouped(of_kind.accepted_count),
                grouped(of_kind.replayed_count),
                grouped(of_kind.refused_count),
            ))?;
        }
        for (code, count) in &tally.refused {
            out.line(format_args!("  refused {code}: {}", grouped(*count)))?;
        }
        for shown in &tally.shown_refusals {
            out.line(format_args!("  {shown}"))?;
        }
        if refused_count > 0 {
            out.line("  `tallystick errors show NAME` says what each refusal means and what to do")?;
        }
        let per_second = tally.answered_count.saturating_mul(1_000).checked_div(self.elapsed_ms);
        out.line(format_args!(
            "{}.{:03} s, {} {many} a second; {} sent in all, {} broken, {} put off",
            self.elapsed_ms / 1_000,
            self.elapsed_ms % 1_000,
            per_second.map_or_else(|| "very many".to_owned(), grouped),
            grouped(effort.sent_count),
            counted(effort.broken_count, "connection", "connections"),
            grouped(effort.put_off_count),
        ))?;
        out.object(&self.as_json())?;
        if refused_count > tally.history_refused_count { Err(CliError::reported(Exit::Problems)) } else { Ok(()) }
    }

    fn as_json(&self) -> Value {
        let Self { tally, effort, .. } = self;
        let kinds = tally.kinds.iter().map(|(kind, of_kind)| {
            let counts = json!({
                "accepted_count": of_kind.accepted_count,
                "replayed_count": of_kind.replayed_count,
                "refused_count": of_kind.refused_count,
            });
            (kind.key().to_owned(), counts)
        });
        json!({
            "file": self.files.first(),
            "files": self.files,
            "row_count": tally.row_count,
            "command_count": tally.command_count,
            "answered_count": tally.answered_count,
            "accepted_count": tally.accepted_count,
            "replayed_count": tally.replayed_count,
            "refused_count": tally.refused_count(),
            "refused": tally.refused,
            "kinds": kinds.collect::<serde_json::Map<_, _>>(),
            "sent_count": effort.sent_count,
            "broken_connection_count": effort.broken_count,
            "put_off_count": effort.put_off_count,
            "elapsed_ms": self.elapsed_ms,
        })
    }

    /// An error with how far the import had come.
    #[must_use]
    pub fn explain(&self, error: CliError) -> CliError {
        let answered = counted(self.tally.answered_count, self.nouns.0, self.nouns.1);
        // A file or a key that is wrong is so the next time too.
        let passes = matches!(error.exit(), Exit::Unavailable | Exit::InputOutput);
        let next = if passes { "start the same import again to go on" } else { "once that is mended, start it again" };
        let how_far = format!("{answered} had been answered; {next}");
        let hint = error.hint_text().map_or_else(|| how_far.clone(), |hint| format!("{hint}; {how_far}"));
        error.hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::wire::{AccrueRequest, RedeemRequest, Refusal};

    fn outgoing() -> Outgoing {
        let request = AccrueRequest { transaction_id: "7".to_owned(), ..AccrueRequest::default() };
        Outgoing { line: 2, row_count: 1, command: Command { command: Some(command::Command::Accrue(request)) } }
    }

    #[test]
    fn the_same_import_is_advised_only_where_it_can_help() {
        let report = Report {
            files: vec!["b.csv".to_owned()],
            nouns: ("basket", "baskets"),
            tally: Tally { answered_count: 2, ..Tally::default() },
            effort: Effort::default(),
            elapsed_ms: 1,
        };
        let rows = [
            (Exit::Unavailable, true),
            (Exit::InputOutput, true),
            (Exit::BadData, false),
            (Exit::Configuration, false),
        ];
        for (exit, is_advised) in rows {
            let error = report.explain(CliError::new(exit, "No.").hint("look"));
            let hint = error.hint_text().unwrap_or_default();
            assert!(hint.starts_with("look; 2 baskets had been answered; "), "{hint}");
            assert_eq!(hint.contains("the same import again"), is_advised, "{exit:?}: {hint}");
        }
    }

    #[test]
    fn a_field_that_an_option_decides_names_the_option() {
        let option = |field| hint_about(field).map(|hint| hint.split_once(' ').unwrap().0);
        assert_eq!(option("basket.currency_code"), Some("--currency"));
        assert_eq!(option("posting_time"), Some("--at,"));
        assert_eq!(option("basket.lines"), None);
    }

    #[test]
    fn every_answer_is_counted_once() {
        let mut tally = Tally::default();
        let refused = |code: i32| Decision {
            refusal: Some(Refusal { code, message: "No.".to_owned(), ..Refusal::default() }),
            ..Decision::default()
        };
        let late = i32::from(RefusalCode::ReceiptTooOld);
        let decisions = [
            Decision::default(),
            Decision { replayed: true, ..Decision::default() },
            Decision { replayed: true, ..refused(late) },
            refused(late),
            refused(4_711),
        ];
        for decision in &decisions {
            tally.count("b.csv", &outgoing(), decision);
        }
        assert_eq!((tally.accepted_count, tally.replayed_count, tally.refused_count()), (1, 1, 3));
        assert_eq!(tally.answered_count, 5);
        let expected = BTreeMap::from([("RECEIPT_TOO_OLD".to_owned(), 2), ("REFUSAL_CODE_4711".to_owned(), 1)]);
        assert_eq!(tally.refused, expected);
        assert_eq!(tally.shown_refusals[0], "b.csv:2: basket 7: RECEIPT_TOO_OLD: No.");
        let of_baskets = KindTally { accepted_count: 1, replayed_count: 1, refused_count: 3 };
        assert_eq!(tally.kinds, BTreeMap::from([(Kind::Basket, of_baskets)]));
    }

    #[test]
    fn a_redemption_of_more_than_there_was_is_part_of_the_history() {
        let refusal = Refusal { code: RefusalCode::InsufficientBalance.into(), ..Refusal::default() };
        let decision = Decision { refusal: Some(refusal), ..Decision::default() };
        let redeem = RedeemRequest { transaction_id: "r".to_owned(), ..RedeemRequest::default() };
        let command = Command { command: Some(command::Command::Redeem(redeem)) };
        let mut tally = Tally::default();
        tally.count("r.csv", &Outgoing { line: 2, row_count: 1, command }, &decision);
        tally.count("b.csv", &outgoing(), &decision);
        assert_eq!((tally.refused_count(), tally.history_refused_count), (2, 1), "of a basket it would be a surprise");
        assert_eq!(tally.shown_refusals.len(), 1);
    }
}
