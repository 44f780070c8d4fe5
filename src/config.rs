//! The configuration of a server: defaults, below a file, below the environment and the command line.
//!
//! What must stay true: every setting has the same name in the file, as `--a-name` and as `TALLYSTICK_A_NAME`; all
//! problems of all sources are reported at once, each with its place; a setting that is not known is a problem.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use toml::de::{DeTable, DeValue};

use crate::ids::IdOptions;
use crate::limits;
use crate::shard::housekeeper::HousekeeperOptions;
use crate::store::faults::FaultPlan;

/// Where posting times come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockMode {
    /// From the clock of the machine.
    System,
    /// From the stamps of an importer, so that history can be loaded.
    Input,
}

impl fmt::Display for ClockMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "system",
            Self::Input => "input",
        })
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Everything that can be set. May differ from one start to the next, unless stated otherwise.
#[derive(Clone, Debug)]
pub struct Config {
    /// Host and port to listen on; port 0 lets the operating system choose.
    pub listen: String,
    /// The data directory; made if it is missing.
    pub data: PathBuf,
    /// The programme file; without one a new data directory gets the sample programme.
    pub program: Option<PathBuf>,
    /// The partner that callers act for.
    pub partner: String,
    /// Worker threads, 1 to [`limits::WORKERS_MAX`].
    pub workers: usize,
    /// Commands that may wait for one worker, 1 to [`limits::WORKER_QUEUE_DEPTH_MAX`].
    pub queue_depth: usize,
    /// Virtual shards, fixed when the data directory is made; `None` takes what the directory has, or the default.
    pub shard_count: Option<u16>,
    /// Where posting times come from, fixed when the data directory is made; `None` takes what the directory has, or
    /// the machine's clock.
    pub clock: Option<ClockMode>,
    /// Sizes of the id index.
    pub ids: IdOptions,
    /// When snapshots are taken.
    pub housekeeping: HousekeeperOptions,
    /// How log lines look.
    pub log_format: LogFormat,
    /// What is logged, as `tracing` filters are written, such as `info` or `tallystick=debug`.
    pub log: String,
    /// Scripted failures of the disk, for tests.
    pub faults: Option<FaultPlan>,
}

impl Default for Config {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            listen: "127.0.0.1:7007".to_owned(),
            data: PathBuf::from("./tallystick.data"),
            program: None,
            partner: "default".to_owned(),
            workers: cores.min(limits::WORKERS_MAX),
            queue_depth: QUEUE_DEPTH_DEFAULT,
            shard_count: None,
            clock: None,
            ids: IdOptions::default(),
            housekeeping: HousekeeperOptions::default(),
            log_format: LogFormat::Text,
            log: "info".to_owned(),
            faults: None,
        }
    }
}

/// Commands that may wait for one worker when nothing is said.
const QUEUE_DEPTH_DEFAULT: usize = 4_096;
/// Ids of one memory segment, at most: each of the 64 tables is written in one step.
const IDS_SEGMENT_MAX: u64 = 64 * limits::ID_STEP_ENTRIES_MAX as u64 / 2;

const _: () = assert!(QUEUE_DEPTH_DEFAULT <= limits::WORKER_QUEUE_DEPTH_MAX, "the default must be allowed");

/// What kind of value a setting has in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
}

/// Every setting, with its kind.
const SETTINGS: [(&str, Kind); 15] = [
    ("listen", Kind::Text),
    ("data", Kind::Text),
    ("program", Kind::Text),
    ("partner", Kind::Text),
    ("workers", Kind::Number),
    ("queue_depth", Kind::Number),
    ("shard_count", Kind::Number),
    ("clock", Kind::Text),
    ("ids_memory_max", Kind::Number),
    ("ids_segment", Kind::Number),
    ("snapshot_records", Kind::Number),
    ("snapshot_interval_ms", Kind::Number),
    ("log_format", Kind::Text),
    ("log", Kind::Text),
    ("faults", Kind::Text),
];

/// One setting from any source, not judged yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The name, as in the file.
    pub name: &'static str,
    /// The value as text.
    pub value: String,
    /// Where it was stated, as it is shown.
    pub place: String,
}

impl Setting {
    /// A setting from an option of the command line or its environment variable.
    #[must_use]
    pub fn from_option(name: &'static str, value: String) -> Self {
        let option = name.replace('_', "-");
        Self { name, value, place: format!("--{option} (TALLYSTICK_{})", name.to_uppercase()) }
    }
}

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// File, line and column, or the option.
    pub place: String,
    /// What is wrong, as a sentence.
    pub message: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl Config {
    /// The configuration from a file, if one is named, and from settings that go above it.
    ///
    /// # Errors
    /// Every problem of every source.
    pub fn load(file: Option<&Path>, above: Vec<Setting>) -> Result<Self, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let mut settings = file.map_or_else(Vec::new, |path| read_file(path, &mut problems));
        settings.extend(above);
        let mut config = Self::default();
        for setting in settings {
            if let Err(message) = config.set(setting.name, &setting.value) {
                problems.push(ConfigProblem { place: setting.place, message });
            }
        }
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "listen" => self.listen = address(value)?,
            "data" => self.data = path(name, value)?,
            "program" => self.program = Some(path(name, value)?),
            "partner" => self.partner = partner(value)?,
            "workers" => self.workers = number(name, value, 1..=limits::WORKERS_MAX)?,
            "queue_depth" => self.queue_depth = number(name, value, 1..=limits::WORKER_QUEUE_DEPTH_MAX)?,
            "shard_count" => self.shard_count = Some(number(name, value, 1..=limits::SHARD_COUNT_MAX)?),
            "clock" => self.clock = Some(word(name, value, &CLOCKS)?),
            "ids_memory_max" => self.ids.memory_ids_max = number(name, value, 0..=1 << 40)?,
            "ids_segment" => self.ids.segment_ids = number(name, value, 1_024..=IDS_SEGMENT_MAX)?,
            "snapshot_records" => self.housekeeping.snapshot_records = number(name, value, 1..=u64::MAX)?,
            "snapshot_interval_ms" => {
                self.housekeeping.snapshot_interval_ms = number(name, value, 0..=86_400_000)?;
            }
            "log_format" => self.log_format = word(name, value, &LOG_FORMATS)?,
            "log" => self.log = filter(value)?,
            "faults" => self.faults = Some(FaultPlan::from_str(value).map_err(|error| format!("{error}."))?),
            _ => return Err(format!("`{name}` is not a setting.")),
        }
        Ok(())
    }
}

const CLOCKS: [(&str, ClockMode); 2] = [("system", ClockMode::System), ("input", ClockMode::Input)];
const LOG_FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

fn number<N>(name: &str, value: &str, range: RangeInclusive<N>) -> Result<N, String>
where
    N: FromStr + PartialOrd + fmt::Display,
{
    let found = value.parse().ok().filter(|number| range.contains(number));
    found.ok_or_else(|| {
        format!("`{name}` must be a whole number from {} to {}, not {value:?}.", range.start(), range.end())
    })
}

fn word<T: Copy>(name: &str, value: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| *word == value);
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let allowed: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        format!("`{name}` must be {}, not {value:?}.", allowed.join(" or "))
    })
}

fn path(name: &str, value: &str) -> Result<PathBuf, String> {
    if value.is_empty() { Err(format!("`{name}` must name a path.")) } else { Ok(PathBuf::from(value)) }
}

fn address(value: &str) -> Result<String, String> {
    let parts = value.rsplit_once(':').filter(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    match parts {
        Some(_) => Ok(value.to_owned()),
        None => Err(format!("`listen` must be a host and a port such as \"127.0.0.1:7007\", not {value:?}.")),
    }
}

fn partner(value: &str) -> Result<String, String> {
    if (1..=limits::SYMBOL_BYTES_MAX).contains(&value.len()) {
        Ok(value.to_owned())
    } else {
        Err(format!("`partner` must have 1 to {} bytes, not {}.", limits::SYMBOL_BYTES_MAX, value.len()))
    }
}

fn filter(value: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::try_new(value) {
        Ok(_) => Ok(value.to_owned()),
        Err(error) => Err(format!("`log` is not a filter: {error}.")),
    }
}

/// Reads the file's settings; reports what cannot be one.
fn read_file(path: &Path, problems: &mut Vec<ConfigProblem>) -> Vec<Setting> {
    let source = match std::fs::read_to_string(path) {
        Ok(source) => source,
        Err(error) => {
            let message = format!("the configuration file cannot be read: {error}.");
            problems.push(ConfigProblem { place: path.display().to_string(), message });
            return Vec::new();
        }
    };
    read_source(&path.display().to_string(), &source, problems)
}

fn read_source(file: &str, source: &str, problems: &mut Vec<ConfigProblem>) -> Vec<Setting> {
    let place = |offset: usize| {
        let before = source.get(..offset).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        format!("{file}:{}:{column}", before.matches('\n').count() + 1)
    };
    let (table, errors) = DeTable::parse_recoverable(source);
    for error in &errors {
        let at = error.span().map_or(0, |span| span.start);
        problems.push(ConfigProblem { place: place(at), message: format!("{}.", error.message()) });
    }
    if !errors.is_empty() {
        return Vec::new();
    }
    let mut settings = Vec::new();
    for (key, value) in table.get_ref() {
        let known = SETTINGS.iter().find(|(name, _)| name == key.get_ref());
        let judged = match (known, value.get_ref()) {
            (None, _) => Err(format!("`{}` is not a setting; those are {}.", key.get_ref(), names())),
            (Some((name, Kind::Text)), DeValue::String(text)) => Ok((*name, text.to_string())),
            (Some((name, Kind::Text)), _) => Err(format!("`{name}` must be a string.")),
            (Some((name, Kind::Number)), DeValue::Integer(digits)) => {
                let number = i64::from_str_radix(digits.as_str(), digits.radix());
                number.map(|number| (*name, number.to_string())).map_err(|_| format!("`{name}` is out of range."))
            }
            (Some((name, Kind::Number)), _) => Err(format!("`{name}` must be a whole number.")),
        };
        let at = if known.is_some() { value.span() } else { key.span() };
        match judged {
            Ok((name, value)) => settings.push(Setting { name, value, place: place(at.start) }),
            Err(message) => problems.push(ConfigProblem { place: place(at.start), message }),
        }
    }
    settings
}

fn names() -> String {
    let shown = SETTINGS.iter().filter(|(name, _)| *name != "faults").map(|(name, _)| *name);
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(source: &str, above: &[(&'static str, &str)]) -> Result<Config, Vec<String>> {
        let mut problems = Vec::new();
        let mut settings = read_source("a.toml", source, &mut problems);
        settings.extend(above.iter().map(|(name, value)| Setting::from_option(name, (*value).to_owned())));
        let mut config = Config::default();
        for setting in settings {
            if let Err(message) = config.set(setting.name, &setting.value) {
                problems.push(ConfigProblem { place: setting.place, message });
            }
        }
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    #[test]
    fn what_is_not_set_has_a_default_and_options_go_above_the_file() {
        let config = load("workers = 3\nclock = \"input\"\n", &[("workers", "5")]).unwrap();
        assert_eq!((config.workers, config.clock), (5, Some(ClockMode::Input)));
        assert_eq!(config.listen, "127.0.0.1:7007");
        assert_eq!(config.shard_count, None);
    }

    #[test]
    fn every_setting_can_be_set() {
        let values = |name: &str| match name {
            "listen" => "[::1]:0",
            "clock" => "system",
            "log_format" => "json",
            "faults" => "write@3:disk-full",
            "log" => "warn",
            "ids_segment" => "4096",
            _ => "7",
        };
        for (name, _) in SETTINGS {
            let mut config = Config::default();
            assert_eq!(config.set(name, values(name)), Ok(()), "{name}");
        }
    }

    #[test]
    fn all_problems_are_reported_at_once_with_their_places() {
        let source = "workers = 0\nlisten = 7\n\ncolour = \"red\"\nqueue_depth = \"9\"\n  clock = \"sun\"\n";
        let problems = load(source, &[("shard_count", "many")]).unwrap_err();
        let expected = [
            ("a.toml:2:10: ", "`listen` must be a string."),
            ("a.toml:4:1: ", "`colour` is not a setting; those are listen, "),
            ("a.toml:5:15: ", "`queue_depth` must be a whole number."),
            ("a.toml:1:11: ", "`workers` must be a whole number from 1 to 64, not \"0\"."),
            ("a.toml:6:11: ", "`clock` must be \"system\" or \"input\", not \"sun\"."),
            ("--shard-count (TALLYSTICK_SHARD_COUNT): ", "`shard_count` must be a whole number from 1 to 4096"),
        ];
        assert_eq!(problems.len(), expected.len(), "{problems:#?}");
        for (place, message) in expected {
            let found = problems.iter().any(|problem| problem.starts_with(place) && problem.contains(message));
            assert!(found, "{place}{message} is missing in {problems:#?}");
        }
    }

    #[test]
    fn broken_syntax_is_located() {
        let problems = load("workers = = 3\n", &[]).unwrap_err();
        assert!(problems[0].starts_with("a.toml:1:"), "{problems:?}");
    }

    #[test]
    fn a_file_that_is_missing_is_a_problem() {
        let problems = Config::load(Some(Path::new("/nowhere/a.toml")), Vec::new()).unwrap_err();
        assert!(problems[0].to_string().starts_with("/nowhere/a.toml: the configuration file cannot be read: "));
    }

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for good in ["127.0.0.1:0", "[::]:7007", "localhost:80"] {
            assert_eq!(address(good).as_deref(), Ok(good));
        }
        for bad in ["", "7007", ":7007", "localhost", "localhost:http", "localhost:70000"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
