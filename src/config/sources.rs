//! Where settings come from: the file, the environment, the flags. Each setting carries its place.
//!
//! What must stay true: nothing stops at the first problem; a place is as exact as its source allows.

use std::fmt;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::{Kind, SETTINGS, Spec, setting};
use crate::program::suggest::nearest;

/// What the names of variables begin with.
const PREFIX: &str = "TALLYSTICK_";

/// Where a setting was stated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A place in the file; line and column count from 1.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The column, in characters.
        column: usize,
    },
    /// The file as a whole.
    WholeFile(PathBuf),
    /// A variable of the environment.
    Environment(String),
    /// A flag of the command line.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::WholeFile(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// One setting from any source, not judged yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The name, as in the file.
    pub name: &'static str,
    /// The value as text.
    pub value: String,
    /// Where it was stated.
    pub source: Source,
}

impl Setting {
    /// A setting from a flag of the command line.
    #[must_use]
    pub fn from_flag(name: &'static str, value: String) -> Self {
        Self { name, value, source: Source::Flag(name.replace('_', "-")) }
    }
}

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// Where.
    pub source: Source,
    /// What is wrong, as a sentence.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n  hint: {hint}"))
    }
}

/// Reads the file's settings; reports what cannot be one.
pub(super) fn read_file(path: &Path, problems: &mut Vec<ConfigProblem>) -> Vec<Setting> {
    match std::fs::read_to_string(path) {
        Ok(text) => read_source(path, &text, problems),
        Err(error) => {
            let message = format!("the configuration file cannot be read: {error}.");
            problems.push(ConfigProblem { source: Source::WholeFile(path.to_path_buf()), message, hint: None });
            Vec::new()
        }
    }
}

pub(super) fn read_source(path: &Path, text: &str, problems: &mut Vec<ConfigProblem>) -> Vec<Setting> {
    let place = |offset: usize| {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        Source::File { path: path.to_path_buf(), line: before.matches('\n').count() + 1, column }
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let source = place(error.span().map_or(0, |span| span.start));
        problems.push(ConfigProblem { source, message: format!("{}.", error.message()), hint: None });
    }
    if !errors.is_empty() {
        // What stands around broken syntax may not mean what it seems to.
        return Vec::new();
    }
    let mut settings = Vec::new();
    for (key, value) in table.get_ref() {
        let name: &str = key.get_ref();
        let Some(spec) = setting(name) else {
            problems.push(ConfigProblem {
                source: place(key.span().start),
                message: format!("`{name}` is not a setting."),
                hint: Some(hint_for(name).map_or_else(all_names, |near| format!("did you mean `{near}`?"))),
            });
            continue;
        };
        let source = place(value.span().start);
        match text_of(spec, value.get_ref()) {
            Ok(value) => settings.push(Setting { name: spec.name, value, source }),
            Err(message) => {
                problems.push(ConfigProblem { source, message, hint: Some(format!("such as: {}", spec.example)) });
            }
        }
    }
    settings
}

fn text_of(spec: &Spec, value: &DeValue<'_>) -> Result<String, String> {
    let name = spec.name;
    match (spec.kind, value) {
        (Kind::Text, DeValue::String(text)) => Ok(text.to_string()),
        (Kind::Text, _) => Err(format!("`{name}` must be a string.")),
        (Kind::Number, DeValue::Integer(digits)) => {
            let number = i64::from_str_radix(digits.as_str(), digits.radix());
            number.map(|number| number.to_string()).map_err(|_| format!("`{name}` is out of range."))
        }
        (Kind::Number, _) => Err(format!("`{name}` must be a whole number.")),
    }
}

/// Reads the variables that name settings. Any other variable with our prefix is a problem, but for those that other
/// parts of the program read, and those that an orchestrator makes up for a service of our name.
pub(super) fn read_environment(variables: &[(String, String)], problems: &mut Vec<ConfigProblem>) -> Vec<Setting> {
    let mut settings = Vec::new();
    for (variable, value) in variables {
        let Some(name) = variable.strip_prefix(PREFIX).map(str::to_lowercase) else { continue };
        let source = Source::Environment(variable.clone());
        match setting(&name) {
            Some(spec) => settings.push(Setting { name: spec.name, value: value.clone(), source }),
            None if is_of_others(&name) => {}
            None => {
                let near = hint_for(&name).map(|near| format!("did you mean `{PREFIX}{}`?", near.to_uppercase()));
                let message = format!("`{name}` is not a setting.");
                problems.push(ConfigProblem { source, message, hint: Some(near.unwrap_or_else(all_names)) });
            }
        }
    }
    settings
}

/// What the variables are called, without prefix, that say something to other commands and to the scripts that ship with the
/// program. Tests compare this with the options of all commands, and with the scripts.
const OF_OTHERS: [&str; 12] = [
    "config",
    "server",
    "server_name",
    "ca_file",
    "api_key",
    "api_key_file",
    "client_cert",
    "client_key",
    "operator",
    "cache",
    "journey_dir",
    "advisories",
];

/// Variables that say something else than a setting of the server. For a service of our name Kubernetes makes up
/// `TALLYSTICK_SERVICE_HOST`, `TALLYSTICK_PORT_7007_TCP` and more.
fn is_of_others(name: &str) -> bool {
    OF_OTHERS.contains(&name) || name == "port" || name.starts_with("service_") || name.starts_with("port_")
}

fn shown_names() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().filter(|spec| !spec.is_hidden).map(|spec| spec.name)
}

fn hint_for(name: &str) -> Option<&'static str> {
    nearest(name, shown_names())
}

fn all_names() -> String {
    format!("the settings are {}", shown_names().collect::<Vec<_>>().join(", "))
}
