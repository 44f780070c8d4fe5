//! The configuration of a server: defaults, below a file, below the environment, below the flags of the command line.
//!
//! [`sources`] reads settings with their places, [`values`] judges each and [`between`] all of them, [`shown`] writes the outcome
//! as a file.
//!
//! What must stay true: every setting has the same name in the file, as `--a-name` and as `TALLYSTICK_A_NAME`; all
//! problems of all sources are reported at once, each with its place and what to do; a setting that is not known is a
//! problem; nothing here is a secret, so that all of it may be shown.

mod between;
mod bounds;
mod shown;
pub mod sources;
mod values;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use between::Contradiction;
pub use bounds::Bounds;

use crate::access::meter::RateLimits;
use crate::access::naming::{self, NameLimits};
use crate::access::proposals::SecondPerson;
use crate::ids::IdOptions;
use crate::limits;
use crate::shard::housekeeper::HousekeeperOptions;
use crate::store::faults::FaultPlan;
use sources::{ConfigProblem, Setting, Source};

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

/// Whether callers have to say who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Every caller is the configured partner, and may do everything.
    Off,
    /// Every call brings a key, a token or a client certificate.
    Required,
}

impl fmt::Display for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Required => "required",
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
    /// Host and port for metrics and health over HTTP; `None` leaves them out.
    pub metrics_listen: Option<String>,
    /// The data directory; made if it is missing.
    pub data: PathBuf,
    /// Whether the snapshot is thrown away, and the state recovered from the journal alone. Of one start only: no file and
    /// no variable sets it.
    pub discards_snapshot: bool,
    /// Whether the index of ids is thrown away, and made anew from the journal. Of one start only, too.
    pub rebuilds_ids: bool,
    /// The programme file; without one a new data directory gets the sample programme.
    pub program: Option<PathBuf>,
    /// The partner that callers act for where no credentials are asked for.
    pub partner: String,
    /// Whether callers have to say who they are.
    pub authentication: Authentication,
    /// File that the first administrator's key is written to when there is none yet.
    pub first_key_file: Option<PathBuf>,
    /// File of the server's certificate (PEM); `None` serves without TLS.
    pub tls_certificate: Option<PathBuf>,
    /// File of its private key (PEM).
    pub tls_key: Option<PathBuf>,
    /// File of the roots of clients' certificates (PEM); `None` asks clients for none.
    pub tls_client_ca: Option<PathBuf>,
    /// Whether a client without a certificate is turned away, where there are such roots.
    pub tls_client_required: bool,
    /// File of the public keys of tokens (JWKS); `None` accepts no tokens.
    pub token_keys: Option<PathBuf>,
    /// The `iss` that tokens must have.
    pub token_issuer: Option<String>,
    /// What must be among the `aud` of tokens.
    pub token_audience: Option<String>,
    /// How far the clock of whoever signs tokens may be off.
    pub token_clock_skew_seconds: u16,
    /// Which acts wait for a second person, and for how long.
    pub second_person: SecondPerson,
    /// What roles and single keys may ask for.
    pub rate_limits: RateLimits,
    /// How many new names roles and single keys may bring, where credentials are asked for.
    pub name_limits: NameLimits,
    /// Whether an address that other machines reach may be served in the clear or without credentials.
    pub allow_unauthenticated_plaintext_beyond_loopback: bool,
    /// How much one caller may take up.
    pub bounds: Bounds,
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
    /// The directory that backups are made in; `None` lets callers of this machine name any new directory.
    pub backup_root: Option<PathBuf>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// What is logged, as `tracing` filters are written, such as `info` or `tallystick=debug`.
    pub log: String,
    /// Where spans are sent over OTLP; `None` makes none.
    pub trace_endpoint: Option<String>,
    /// Of a million calls that nobody else has decided about, how many are traced.
    pub trace_sample_ppm: u32,
    /// Scripted failures of the disk, for tests.
    pub faults: Option<FaultPlan>,
}

impl Default for Config {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            listen: "127.0.0.1:7007".to_owned(),
            metrics_listen: None,
            data: PathBuf::from("./tallystick.data"),
            discards_snapshot: false,
            rebuilds_ids: false,
            program: None,
            partner: "default".to_owned(),
            authentication: Authentication::Off,
            first_key_file: None,
            tls_certificate: None,
            tls_key: None,
            tls_client_ca: None,
            tls_client_required: true,
            token_keys: None,
            token_issuer: None,
            token_audience: None,
            token_clock_skew_seconds: TOKEN_CLOCK_SKEW_SECONDS_DEFAULT,
            second_person: SecondPerson { acts: Vec::new(), wait_ns: SECOND_PERSON_HOURS_DEFAULT * NS_PER_HOUR },
            rate_limits: RateLimits::default(),
            name_limits: NameLimits::parse(naming::DEFAULT).unwrap_or_default(),
            allow_unauthenticated_plaintext_beyond_loopback: false,
            bounds: Bounds::default(),
            workers: cores.min(limits::WORKERS_MAX),
            queue_depth: QUEUE_DEPTH_DEFAULT,
            shard_count: None,
            clock: None,
            ids: IdOptions::default(),
            housekeeping: HousekeeperOptions::default(),
            backup_root: None,
            log_format: LogFormat::Text,
            log: "info".to_owned(),
            trace_endpoint: None,
            trace_sample_ppm: TRACE_SAMPLE_PPM_DEFAULT,
            faults: None,
        }
    }
}

/// Commands that may wait for one worker when nothing is said.
const QUEUE_DEPTH_DEFAULT: usize = 4_096;
/// What waits for a second person waits for a day when nothing is said.
const SECOND_PERSON_HOURS_DEFAULT: i64 = 24;
const NS_PER_HOUR: i64 = 3_600_000_000_000;
/// Clocks are taken to be right to a minute.
const TOKEN_CLOCK_SKEW_SECONDS_DEFAULT: u16 = 60;
/// How long a caller may be told to be waited for.
const CALLER_MS: std::ops::RangeInclusive<u64> = limits::CALLER_MS_MIN..=limits::CALLER_MS_MAX;
/// One call in a hundred is traced when nothing is said but where to.
const TRACE_SAMPLE_PPM_DEFAULT: u32 = 10_000;
/// Ids of one memory segment, at most: each of the 64 tables is written in one step.
const IDS_SEGMENT_MAX: u64 = 64 * limits::ID_STEP_ENTRIES_MAX as u64 / 2;

const _: () = assert!(QUEUE_DEPTH_DEFAULT <= limits::WORKER_QUEUE_DEPTH_MAX, "the default must be allowed");

/// What kind of value a setting has in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// A whole number.
    Number,
}

/// One setting: its name, the kind of its value, and a value that can stand for it in a hint.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// The name, as in the file.
    pub name: &'static str,
    /// The kind of its value.
    pub kind: Kind,
    /// A line of the file that would be right.
    pub example: &'static str,
    /// For tests only: not listed, not suggested.
    pub is_hidden: bool,
}

const fn text(name: &'static str, example: &'static str) -> Spec {
    Spec { name, kind: Kind::Text, example, is_hidden: false }
}

const fn number(name: &'static str, example: &'static str) -> Spec {
    Spec { name, kind: Kind::Number, example, is_hidden: false }
}

/// Every setting, in the order in which they are shown.
pub const SETTINGS: [Spec; 39] = [
    text("listen", "listen = \"127.0.0.1:7007\""),
    text("metrics_listen", "metrics_listen = \"127.0.0.1:7008\""),
    text("data", "data = \"/var/lib/tallystick\""),
    text("program", "program = \"/etc/tallystick/program.toml\""),
    text("partner", "partner = \"default\""),
    text("authentication", "authentication = \"required\""),
    text("first_key_file", "first_key_file = \"/var/lib/tallystick/first-key\""),
    text("tls_certificate", "tls_certificate = \"/etc/tallystick/server.pem\""),
    text("tls_key", "tls_key = \"/etc/tallystick/server.key\""),
    text("tls_client_ca", "tls_client_ca = \"/etc/tallystick/clients-ca.pem\""),
    text("tls_client", "tls_client = \"required\""),
    text("token_keys", "token_keys = \"/etc/tallystick/jwks.json\""),
    text("token_issuer", "token_issuer = \"https://login.example\""),
    text("token_audience", "token_audience = \"tallystick\""),
    number("token_clock_skew_seconds", "token_clock_skew_seconds = 60"),
    text("second_person", "second_person = \"adjust, publish, keys\""),
    number("second_person_hours", "second_person_hours = 24"),
    text("rate_limits", "rate_limits = \"till=50/100/8\""),
    text(
        "name_limits",
        "name_limits = \"till=60/20000, gateway=6000/1000000, back-office=6000/1000000, operator=60/20000\"",
    ),
    text("allow_unauthenticated_plaintext_beyond_loopback", "allow_unauthenticated_plaintext_beyond_loopback = \"no\""),
    number("connections_max", "connections_max = 16384"),
    number("connections_per_address_max", "connections_per_address_max = 1024"),
    number("request_ms_max", "request_ms_max = 60000"),
    number("answer_ms_max", "answer_ms_max = 60000"),
    number("idle_ms_max", "idle_ms_max = 600000"),
    number("workers", "workers = 2"),
    number("queue_depth", "queue_depth = 4096"),
    number("shard_count", "shard_count = 256"),
    text("clock", "clock = \"system\""),
    number("ids_memory_max", "ids_memory_max = 8388608"),
    number("ids_segment", "ids_segment = 1048576"),
    number("snapshot_records", "snapshot_records = 1000000"),
    number("snapshot_interval_ms", "snapshot_interval_ms = 60000"),
    text("backup_root", "backup_root = \"/var/lib/tallystick/backups\""),
    text("log_format", "log_format = \"json\""),
    text("log", "log = \"info\""),
    text("trace_endpoint", "trace_endpoint = \"http://127.0.0.1:4317\""),
    number("trace_sample_ppm", "trace_sample_ppm = 10000"),
    Spec { name: "faults", kind: Kind::Text, example: "faults = \"write@3:disk-full\"", is_hidden: true },
];

/// The setting with this name.
#[must_use]
pub fn setting(name: &str) -> Option<&'static Spec> {
    SETTINGS.iter().find(|spec| spec.name == name)
}

/// A configuration with the source of each value that is not a default.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Where the values that are in force come from.
    pub sources: BTreeMap<&'static str, Source>,
}

/// What the configuration is made of, the lowest first.
#[derive(Clone, Debug, Default)]
pub struct Stated {
    /// Variables of the environment, of which those that begin with `TALLYSTICK_` count.
    pub environment: Vec<(String, String)>,
    /// Flags of the command line.
    pub flags: Vec<Setting>,
}

impl Loaded {
    /// The configuration from a file, if one is named, below what was stated above it.
    ///
    /// # Errors
    /// Every problem of every source, also of values that a higher source replaces, and every problem between settings.
    pub fn load(file: Option<&Path>, stated: Stated) -> Result<Self, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let mut settings = file.map_or_else(Vec::new, |path| sources::read_file(path, &mut problems));
        settings.extend(sources::read_environment(&stated.environment, &mut problems));
        settings.extend(stated.flags);
        Self::of(settings, problems)
    }

    fn of(settings: Vec<Setting>, mut problems: Vec<ConfigProblem>) -> Result<Self, Vec<ConfigProblem>> {
        let (mut config, mut origins, mut wrong) = (Config::default(), BTreeMap::new(), Vec::new());
        // What a file says that could not be read as one is not known, and may be what others ask for.
        let is_of_file = |source: &Source| matches!(source, Source::File { .. } | Source::WholeFile(_));
        let is_whole = settings.iter().any(|setting| is_of_file(&setting.source))
            || !problems.iter().any(|problem| is_of_file(&problem.source));
        for Setting { name, value, source } in settings {
            match config.set(name, &value) {
                Ok(()) => {
                    origins.insert(name, source);
                }
                Err(message) => {
                    let hint = setting(name).map(|spec| format!("such as: {}", spec.example));
                    problems.push(ConfigProblem { source, message, hint });
                    wrong.push(name);
                }
            }
        }
        if is_whole {
            problems.extend(between::problems(&config, &origins, &wrong));
        }
        if problems.is_empty() { Ok(Self { config, sources: origins }) } else { Err(problems) }
    }
}

impl Config {
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "listen" => self.listen = values::address(name, value)?,
            "metrics_listen" => self.metrics_listen = values::unless_off(value, |text| values::address(name, text))?,
            "data" => self.data = values::path(name, value)?,
            "program" => self.program = Some(values::path(name, value)?),
            "partner" => self.partner = values::partner(value)?,
            "authentication" => self.authentication = values::word(name, value, &AUTHENTICATIONS)?,
            "first_key_file" => self.first_key_file = Some(values::path(name, value)?),
            "tls_certificate" => self.tls_certificate = Some(values::path(name, value)?),
            "tls_key" => self.tls_key = Some(values::path(name, value)?),
            "tls_client_ca" => self.tls_client_ca = Some(values::path(name, value)?),
            "tls_client" => self.tls_client_required = values::word(name, value, &CLIENT_CERTIFICATES)?,
            "token_keys" => self.token_keys = Some(values::path(name, value)?),
            "token_issuer" => self.token_issuer = Some(values::some_text(name, value)?),
            "token_audience" => self.token_audience = Some(values::some_text(name, value)?),
            "token_clock_skew_seconds" => self.token_clock_skew_seconds = values::number(name, value, 0..=3_600)?,
            "second_person" => self.second_person.acts = values::acts(name, value)?,
            "rate_limits" => self.rate_limits = values::limits(name, value)?,
            "name_limits" => self.name_limits = values::limits(name, value)?,
            "second_person_hours" => {
                self.second_person.wait_ns = values::number::<i64>(name, value, 1..=720)? * NS_PER_HOUR;
            }
            "allow_unauthenticated_plaintext_beyond_loopback" => {
                self.allow_unauthenticated_plaintext_beyond_loopback = values::word(name, value, &YES_NO)?;
            }
            "connections_max" => {
                self.bounds.connections_max = values::number(name, value, 1..=limits::CONNECTIONS_MAX)?;
            }
            "connections_per_address_max" => {
                self.bounds.connections_per_address_max = values::number(name, value, 1..=limits::CONNECTIONS_MAX)?;
            }
            "request_ms_max" => self.bounds.request_ms_max = values::number(name, value, CALLER_MS)?,
            "answer_ms_max" => self.bounds.answer_ms_max = values::number(name, value, CALLER_MS)?,
            "idle_ms_max" => self.bounds.idle_ms_max = values::number(name, value, CALLER_MS)?,
            "workers" => self.workers = values::number(name, value, 1..=limits::WORKERS_MAX)?,
            "queue_depth" => self.queue_depth = values::number(name, value, 1..=limits::WORKER_QUEUE_DEPTH_MAX)?,
            "shard_count" => self.shard_count = Some(values::number(name, value, 1..=limits::SHARD_COUNT_MAX)?),
            "clock" => self.clock = Some(values::word(name, value, &CLOCKS)?),
            "ids_memory_max" => self.ids.memory_ids_max = values::number(name, value, 0..=1 << 40)?,
            "ids_segment" => {
                self.ids.segment_ids = values::number(name, value, 1_024..=IDS_SEGMENT_MAX)?;
                self.ids.segment_records = self.ids.segment_ids;
            }
            "snapshot_records" => {
                // The file's numbers are signed.
                self.housekeeping.snapshot_records = values::number(name, value, 1..=i64::MAX as u64)?;
            }
            "snapshot_interval_ms" => {
                self.housekeeping.snapshot_interval_ms = values::number(name, value, 0..=86_400_000)?;
            }
            "backup_root" => self.backup_root = Some(values::absolute_path(name, value)?),
            "log_format" => self.log_format = values::word(name, value, &LOG_FORMATS)?,
            "log" => self.log = values::filter(value)?,
            "trace_endpoint" => self.trace_endpoint = values::unless_off(value, |text| values::url(name, text))?,
            "trace_sample_ppm" => self.trace_sample_ppm = values::number(name, value, 0..=1_000_000)?,
            "faults" => self.faults = Some(FaultPlan::from_str(value).map_err(|error| format!("{error}."))?),
            _ => return Err(format!("`{name}` is not a setting.")),
        }
        Ok(())
    }
}

const AUTHENTICATIONS: [(&str, Authentication); 2] =
    [("off", Authentication::Off), ("required", Authentication::Required)];
const CLIENT_CERTIFICATES: [(&str, bool); 2] = [("required", true), ("optional", false)];
const YES_NO: [(&str, bool); 2] = [("yes", true), ("no", false)];
const CLOCKS: [(&str, ClockMode); 2] = [("system", ClockMode::System), ("input", ClockMode::Input)];
const LOG_FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

#[cfg(test)]
mod tests {
    use super::*;

    fn load(source: &str, environment: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Result<Loaded, Vec<String>> {
        let mut problems = Vec::new();
        let mut settings = sources::read_source(Path::new("a.toml"), source, &mut problems);
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        settings.extend(sources::read_environment(&environment, &mut problems));
        settings.extend(flags.iter().map(|(name, value)| Setting::from_flag(name, value.to_string())));
        Loaded::of(settings, problems).map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn flags_go_above_the_environment_above_the_file_above_the_defaults() {
        type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [(&'static str, &'a str)], usize, &'a str);
        let rows: [Row<'_>; 4] = [
            ("", &[], &[], Config::default().workers, "default"),
            ("workers = 3\n", &[], &[], 3, "a.toml:1:11"),
            ("workers = 3\n", &[("TALLYSTICK_WORKERS", "4")], &[], 4, "TALLYSTICK_WORKERS"),
            ("workers = 3\n", &[("TALLYSTICK_WORKERS", "4")], &[("workers", "5")], 5, "--workers"),
        ];
        for (file, environment, flags, workers, source) in rows {
            let loaded = load(file, environment, flags).unwrap();
            assert_eq!(loaded.config.workers, workers);
            let stated = loaded.sources.get("workers").map_or("default".to_owned(), ToString::to_string);
            assert_eq!(stated, source);
            assert_eq!(loaded.config.shard_count, None);
        }
    }

    #[test]
    fn every_example_is_right_and_every_setting_can_be_set() {
        // All at once, for some have a meaning beside others only.
        let file = SETTINGS.map(|spec| spec.example).join("\n");
        let loaded = load(&file, &[], &[]).unwrap_or_else(|problems| panic!("{problems:?}"));
        for spec in SETTINGS {
            assert!(loaded.sources.contains_key(spec.name), "{}", spec.name);
        }
    }

    #[test]
    fn a_setting_that_can_be_off_can_be_turned_off_above_the_file() {
        let file = "metrics_listen = \"127.0.0.1:0\"\ntrace_endpoint = \"http://localhost:4317\"\n";
        let off = [("metrics_listen", "off"), ("trace_endpoint", "off")];
        let config = load(file, &[], &off).unwrap().config;
        assert_eq!((config.metrics_listen, config.trace_endpoint), (None, None));
    }

    #[test]
    fn all_problems_of_all_sources_are_reported_at_once_with_places_and_hints() {
        let file = "workers = 0\nlisten = 7\n\ncolour = \"red\"\nqueue_depht = 9\n  clock = \"sun\"\n";
        let environment = [("TALLYSTICK_LOG_FORMAT", "xml"), ("TALLYSTICK_WORKER", "2"), ("TALLYSTICK_PORT", "tcp://")];
        let environment = [environment.as_slice(), &[("TALLYSTICK_COLOUR", "red")]].concat();
        let problems = load(file, &environment, &[("shard_count", "many")]).unwrap_err();
        let expected = [
            ("a.toml:1:11: ", "`workers` must be a whole number from 1 to 64, not \"0\".", "workers = 2"),
            ("a.toml:2:10: ", "`listen` must be a string.", "listen = \"127.0.0.1:7007\""),
            ("a.toml:4:1: ", "`colour` is not a setting.", "the settings are listen, "),
            ("a.toml:5:1: ", "`queue_depht` is not a setting.", "did you mean `queue_depth`?"),
            ("a.toml:6:11: ", "`clock` must be \"system\" or \"input\", not \"sun\".", "clock = "),
            ("TALLYSTICK_LOG_FORMAT: ", "`log_format` must be \"text\" or \"json\"", "log_format = "),
            ("TALLYSTICK_WORKER: ", "`worker` is not a setting.", "did you mean `TALLYSTICK_WORKERS`?"),
            ("TALLYSTICK_COLOUR: ", "`colour` is not a setting.", "the settings are listen, "),
            ("--shard-count: ", "`shard_count` must be a whole number from 1 to 4096", "shard_count = 256"),
        ];
        assert_eq!(problems.len(), expected.len(), "{problems:#?}");
        for (place, message, hint) in expected {
            let found = problems
                .iter()
                .any(|problem| problem.starts_with(place) && problem.contains(message) && problem.contains(hint));
            assert!(found, "{place}{message} ({hint}) is missing in {problems:#?}");
        }
    }

    #[test]
    fn problems_between_settings_are_told_with_the_others_and_only_where_it_is_known_what_was_meant() {
        type Row<'a> = (&'a str, &'a [(&'static str, &'a str)], &'a [&'a str]);
        let rows: [Row<'_>; 10] = [
            ("tls_certificate = \"a\"\n", &[], &["a.toml:1:19: TLS needs both tls_certificate and tls_key."]),
            ("tls_key = \"a\"\n", &[], &["a.toml:1:11: TLS needs both"]),
            ("tls_client_ca = \"a\"\n", &[("tls_key", "b")], &["--tls-key: TLS needs both"]),
            (
                "token_issuer = \"a\"\n",
                &[("token_keys", "b")],
                &["--token-keys: tokens need token_keys,", "--token-keys: token_keys has a meaning only with"],
            ),
            (
                "rate_limits = \"till=50/100/8\"\nworkers = 0\n",
                &[("second_person", "adjust"), ("name_limits", "off")],
                &[
                    "a.toml:2:11: `workers` must be",
                    "a.toml:1:15: rate_limits have a meaning only with authentication = \"required\".",
                    "--name-limits: name_limits have a meaning",
                    "--second-person: second_person has a meaning",
                ],
            ),
            (
                "listen = \"192.0.2.1:7007\"\n",
                &[],
                &[
                    "a.toml:1:10: 192.0.2.1:7007 can be reached from other machines, and callers would need no credentials.",
                ],
            ),
            ("listen = \"[::]:0\"\n", &[("authentication", "required")], &["a.toml:1:10: [::]:0 can be reached"]),
            ("listen = \"[::]:0\"\n", &[("allow_unauthenticated_plaintext_beyond_loopback", "yes")], &[]),
            // A name is looked up when it is listened on.
            ("listen = \"ledger.example:7007\"\n", &[], &[]),
            // Whoever meant to ask for credentials is told what is wrong with that.
            (
                "second_person = \"keys\"\n",
                &[("authentication", "yes")],
                &["--authentication: `authentication` must be"],
            ),
        ];
        for (file, flags, expected) in rows {
            let problems = load(file, &[], flags).err().unwrap_or_default();
            assert_eq!(problems.len(), expected.len(), "{file}{flags:?}: {problems:#?}");
            for (problem, part) in problems.iter().zip(expected) {
                assert!(problem.starts_with(part), "{part} is not the beginning of {problem}");
            }
        }
        // Of a file that is broken it is not known what it says.
        let unread = load("authentication = = 1\n", &[], &[("second_person", "keys")]).unwrap_err();
        assert!(!unread.iter().any(|problem| problem.contains("second_person")), "{unread:?}");
    }

    #[test]
    fn a_value_that_is_replaced_must_be_right_too() {
        let problems = load("workers = 0\n", &[], &[("workers", "2")]).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
    }

    #[test]
    fn broken_syntax_is_located_and_does_not_hide_the_rest() {
        let problems = load("workers = = 3\n", &[], &[("workers", "x")]).unwrap_err();
        assert!(problems[0].starts_with("a.toml:1:"), "{problems:?}");
        assert!(problems.iter().any(|problem| problem.starts_with("--workers: ")), "{problems:?}");
    }

    #[test]
    fn a_file_that_is_missing_is_a_problem() {
        let problems = Loaded::load(Some(Path::new("/nowhere/a.toml")), Stated::default()).unwrap_err();
        assert!(problems[0].to_string().starts_with("/nowhere/a.toml: the configuration file cannot be read: "));
    }

    #[test]
    fn what_is_shown_is_a_file_that_means_the_same() {
        let file = "workers = 3\nprogram = \"p\\\"q.toml\"\nclock = \"input\"\nbackup_root = \"/b\"\n";
        let loaded = load(file, &[("TALLYSTICK_LOG", "warn")], &[("listen", "[::1]:0")]).unwrap();
        let shown = loaded.in_toml();
        for line in [
            "listen = \"[::1]:0\"  # --listen",
            "workers = 3  # a.toml:1:11",
            "log = \"warn\"  # TALLYSTICK_LOG",
            "queue_depth = 4096  # default",
            "# shard_count is not set",
        ] {
            assert!(shown.lines().any(|found| found == line), "{line} is missing in\n{shown}");
        }
        let again = load(&shown, &[], &[]).unwrap_or_else(|problems| panic!("{problems:#?}\n{shown}"));
        assert_eq!(format!("{:?}", again.config), format!("{:?}", loaded.config));
        assert_eq!(loaded.as_json()["workers"]["value"], 3);
        assert_eq!(loaded.as_json()["workers"]["source"], "a.toml:1:11");
        assert!(loaded.as_json()["shard_count"]["value"].is_null());
    }
}
