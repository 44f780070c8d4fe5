//! A core in a process of its own: what is measured of it depends on no other core, nor on whoever asks.
//!
//! The child is told on its standard input: first what to prepare, then with each further line for how many nanoseconds
//! to measure. It says on its standard output, a line of JSON each, how far it is, that it is prepared, and what each
//! measurement found; it ends when its input does.
//!
//! What must stay true: a core that was not asked rests, so that of several only the one that is waited for runs; while
//! it measures it says nothing; one that ends, or says what was not asked, gives an error with what it wrote to its log
//! and no figure; no child outlives the benchmark.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::core::{CoreOptions, CoreRun, Prepared};
use super::error::BenchError;
use super::leavings::Ward;
use super::process::{failure, wait_for_end, without_settings};
use super::world::Tell;

/// Time that a core has to be gone after its output has ended.
const FAREWELL: Duration = Duration::from_secs(5);
/// Letters of a line that made no sense which are shown.
const SHOWN_CHARS: usize = 200;

/// What a core says, a line each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    /// It goes on with this phase of its preparation.
    Preparing { phase: String, done: u64, total: u64 },
    /// It can be measured.
    Prepared,
    /// What it was asked for last.
    Measured(Box<CoreRun>),
}

/// Lives in the child: prepares what the first line says, measures for as long as each further line says, and ends with
/// the input.
///
/// # Errors
/// When a line makes no sense, the core cannot be prepared or measured, or nobody reads what it says.
pub fn serve(input: impl BufRead, mut output: impl Write) -> Result<(), BenchError> {
    let mut lines = input.lines();
    let mut next = move || {
        let line = lines.next().transpose();
        line.map_err(|error| BenchError::file("reading", Path::new("standard input"), error))
    };
    let Some(line) = next()? else { return Ok(()) };
    let options: CoreOptions = serde_json::from_str(&line).map_err(|error| senseless(&line, &error))?;
    let mut core = Prepared::make(&options, &mut |phase, done, total| {
        // Whoever has gone is missed when the core is prepared.
        let _ = say(&mut output, &Said::Preparing { phase: phase.to_owned(), done, total });
    })?;
    say(&mut output, &Said::Prepared)?;
    while let Some(line) = next()? {
        let measure_ns = serde_json::from_str(&line).map_err(|error| senseless(&line, &error))?;
        let run = core.measure(Duration::from_nanos(measure_ns), &mut |_, _, _| {})?;
        say(&mut output, &Said::Measured(Box::new(run)))?;
    }
    Ok(())
}

fn say(output: &mut impl Write, said: &Said) -> Result<(), BenchError> {
    let written = writeln!(output, "{}", json(said)).and_then(|()| output.flush());
    written.map_err(|error| BenchError::file("writing", Path::new("standard output"), error))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it has string keys and no failing parts")
}

fn senseless(line: &str, error: &serde_json::Error) -> BenchError {
    BenchError::Usage(format!("a core was told what makes no sense ({error}): {}", beginning(line)))
}

fn beginning(line: &str) -> String {
    line.trim_end().chars().take(SHOWN_CHARS).collect()
}

/// The child, as its parent sees it; killed when it is dropped.
#[derive(Debug)]
pub struct CoreProcess {
    child: Ward,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    name: String,
    log: PathBuf,
}

impl CoreProcess {
    /// Starts a core as a child of this executable, and waits until it is prepared. What it writes to standard error goes
    /// to a log in the folder.
    ///
    /// # Errors
    /// When it cannot be started, or cannot prepare what is asked for.
    pub fn start(
        program: &Path,
        folder: &Path,
        name: &str,
        options: &CoreOptions,
        tell: &mut Tell<'_>,
    ) -> Result<Self, BenchError> {
        let mut command = without_settings(program);
        command.args(["bench", "core-process"]);
        Self::started(command, folder, name)?.prepared(options, tell)
    }

    fn started(mut command: Command, folder: &Path, name: &str) -> Result<Self, BenchError> {
        let log = folder.join(format!("{name}.log"));
        let log_file = File::create(&log).map_err(|error| BenchError::file("writing", &log, error))?;
        let started = Ward::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log_file));
        let child = started.map_err(|error| BenchError::file("starting", Path::new(command.get_program()), error))?;
        let (input, output) = child.pipes().expect("they were asked for");
        Ok(Self { child, input, output: BufReader::new(output), name: name.to_owned(), log })
    }

    fn prepared(mut self, options: &CoreOptions, tell: &mut Tell<'_>) -> Result<Self, BenchError> {
        self.ask(&json(options))?;
        loop {
            match self.answer()? {
                Said::Preparing { phase, done, total } => tell(&phase, done, total),
                Said::Prepared => return Ok(self),
                other @ Said::Measured(_) => return Err(self.wrong(&json(&other))),
            }
        }
    }

    /// Has it measure until the path itself took so long, and waits for what it found.
    ///
    /// # Errors
    /// When it ends, or gives no measurement.
    pub fn measure(&mut self, measure: Duration) -> Result<CoreRun, BenchError> {
        self.ask(&u64::try_from(measure.as_nanos()).unwrap_or(u64::MAX).to_string())?;
        match self.answer()? {
            Said::Measured(run) => Ok(*run),
            other => Err(self.wrong(&json(&other))),
        }
    }

    fn ask(&mut self, line: &str) -> Result<(), BenchError> {
        let written: io::Result<()> = self.input.write_all(format!("{line}\n").as_bytes());
        written.map_err(|_| self.gone())
    }

    fn answer(&mut self) -> Result<Said, BenchError> {
        let mut line = Vec::new();
        match self.output.read_until(b'\n', &mut line) {
            Ok(_) if line.ends_with(b"\n") => {}
            _ => return Err(self.gone()),
        }
        serde_json::from_slice(&line).map_err(|_| self.wrong(&String::from_utf8_lossy(&line)))
    }

    /// It takes or gives no more lines.
    fn gone(&mut self) -> BenchError {
        wait_for_end(&self.child, FAREWELL);
        let how = match self.child.try_wait() {
            Ok(Some(status)) => format!("ended with {status}"),
            _ => "says nothing more, but does not end".to_owned(),
        };
        failure(&format!("the process of {} {how}", self.name), &self.log)
    }

    /// It gave a line that it was not asked for.
    fn wrong(&self, line: &str) -> BenchError {
        failure(&format!("the process of {} says what it was not asked: {}", self.name, beginning(line)), &self.log)
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::Machine;
    use super::super::world::{PROGRAM, Population};
    use super::*;

    fn options(id_count: u64) -> CoreOptions {
        let population = Population { account_count: 50, lot_count: 1, line_count: 1, seed: 1 };
        CoreOptions { population, id_count, program: PROGRAM.to_owned() }
    }

    /// A child that does what a script says in place of being a core.
    fn scripted(script: &str, folder: &Path) -> Result<CoreProcess, BenchError> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        CoreProcess::started(command, folder, "core-of-a-test")?.prepared(&options(0), &mut |_, _, _| {})
    }

    #[test]
    fn it_prepares_once_and_measures_as_often_as_it_is_asked() {
        let input = format!("{}\n1000\n1\n", json(&options(5_000)));
        let mut output = Vec::new();
        serve(input.as_bytes(), &mut output).unwrap();
        let said = String::from_utf8(output).unwrap();
        let said: Vec<Said> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let prepared = said.iter().position(|said| matches!(said, Said::Prepared)).unwrap();
        let (before, after) = said.split_at(prepared);
        assert!(!before.is_empty() && before.iter().all(|said| matches!(said, Said::Preparing { .. })), "{said:?}");
        let [Said::Prepared, Said::Measured(first), Said::Measured(second)] = after else { panic!("{said:?}") };
        let machine = Machine { random_read_ns: 100.0, ..Machine::default() };
        for figure in [first, second].map(|run| run.figure(&machine)) {
            assert_eq!(figure.more.get("ids_remembered_before"), Some(&5_000.0), "{figure:?}");
            let (ns, reads) = (figure.more["ns_per_accrual"], figure.more["random_reads_per_accrual"]);
            assert!(figure.ops_per_second > 0.0 && (ns / reads - 100.0).abs() < 1e-6, "{figure:?}");
            assert_eq!(figure.ledger.map(|ledger| ledger.accounts), Some(50));
        }
    }

    #[test]
    fn without_a_task_it_ends_and_a_senseless_one_is_an_error() {
        let mut output = Vec::new();
        serve(&b""[..], &mut output).unwrap();
        let told = format!("{}\nsoon\n", json(&options(0)));
        for input in ["{}\n", "measure\n", &told] {
            let error = serve(input.as_bytes(), &mut Vec::new()).unwrap_err();
            assert!(matches!(&error, BenchError::Usage(text) if text.contains("makes no sense")), "{error}");
        }
        assert!(output.is_empty());
    }

    #[test]
    fn a_core_that_ends_or_talks_nonsense_is_an_error_that_says_what_it_said() {
        let folder = tempfile::tempdir().unwrap();
        let rows = [
            ("exit 3", "ended with exit status: 3; ", "core-of-a-test.log is empty"),
            ("read options; echo 'no memory' >&2; exit 74", "ended with exit status: 74; ", "says:\n  no memory"),
            ("read options; kill -s KILL $$", "ended with signal: 9", "is empty"),
            ("read options; printf '\"prepared\"'; exit 0", "ended with exit status: 0", "is empty"),
            ("read options; echo hello; exec sleep 600", "says what it was not asked: hello; ", "is empty"),
            ("read options; printf '\\377\\n'; exec sleep 600", "says what it was not asked: \u{fffd}; ", "is empty"),
        ];
        for (script, expected, log) in rows {
            let error = scripted(script, folder.path()).unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, BenchError::Server(_)), "{script}: {text}");
            assert!(text.starts_with("the process of core-of-a-test "), "{script}: {text}");
            assert!(text.contains(expected) && text.ends_with(log), "{script}: {text}");
        }
    }

    #[test]
    fn a_core_that_ends_or_talks_nonsense_when_it_is_asked_to_measure_gives_no_figure() {
        let folder = tempfile::tempdir().unwrap();
        let ready = "read options; echo '\"prepared\"'";
        let rows = [
            ("exit 5", "ended with exit status: 5; "),
            ("read time; echo 'not taken' >&2; exit 76", "ended with exit status: 76; "),
            ("read time; echo '\"prepared\"'; exec sleep 600", "says what it was not asked: \"prepared\"; "),
        ];
        for (script, expected) in rows {
            let mut core = scripted(&format!("{ready}; {script}"), folder.path()).unwrap();
            let text = core.measure(Duration::from_nanos(1)).unwrap_err().to_string();
            assert!(text.contains(expected), "{script}: {text}");
        }
        let told = "read time; echo \"asked for $time\" >&2; exit 1";
        let mut core = scripted(&format!("{ready}; {told}"), folder.path()).unwrap();
        let text = core.measure(Duration::from_secs(2)).unwrap_err().to_string();
        assert!(text.ends_with("says:\n  asked for 2000000000"), "{text}");
    }

    #[test]
    fn a_core_that_is_dropped_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let core = scripted("read options; echo '\"prepared\"'; exec sleep 600", folder.path()).unwrap();
        let process = PathBuf::from(format!("/proc/{}", core.child.id()));
        assert!(process.exists());
        drop(core);
        assert!(!process.exists());
    }
}
