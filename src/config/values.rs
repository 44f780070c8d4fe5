//! Values of settings, judged one by one.
//!
//! What must stay true: a message names the setting, what would be allowed, and what was found.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use crate::access::allowance::{Allowance, Allowances};
use crate::access::proposals::Act;
use crate::limits;

/// The word that turns off what a lower source turned on.
const OFF: &str = "off";

pub(super) fn number<N>(name: &str, value: &str, range: RangeInclusive<N>) -> Result<N, String>
where
    N: FromStr + PartialOrd + fmt::Display,
{
    let found = value.parse().ok().filter(|number| range.contains(number));
    found.ok_or_else(|| {
        format!("`{name}` must be a whole number from {} to {}, not {value:?}.", range.start(), range.end())
    })
}

pub(super) fn word<T: Copy>(name: &str, value: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| *word == value);
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let allowed: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        format!("`{name}` must be {}, not {value:?}.", allowed.join(" or "))
    })
}

pub(super) fn unless_off<T>(value: &str, judge: impl FnOnce(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    if value == OFF { Ok(None) } else { judge(value).map(Some) }
}

pub(super) fn path(name: &str, value: &str) -> Result<PathBuf, String> {
    if value.is_empty() { Err(format!("`{name}` must name a path.")) } else { Ok(PathBuf::from(value)) }
}

pub(super) fn some_text(name: &str, value: &str) -> Result<String, String> {
    if value.is_empty() { Err(format!("`{name}` must not be empty.")) } else { Ok(value.to_owned()) }
}

pub(super) fn absolute_path(name: &str, value: &str) -> Result<PathBuf, String> {
    let path = path(name, value)?;
    if path.is_absolute() { Ok(path) } else { Err(format!("`{name}` must be an absolute path, not {value:?}.")) }
}

pub(super) fn address(name: &str, value: &str) -> Result<String, String> {
    let parts = value.rsplit_once(':').filter(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    match parts {
        Some(_) => Ok(value.to_owned()),
        None => Err(format!("`{name}` must be a host and a port such as \"127.0.0.1:7007\", not {value:?}.")),
    }
}

/// A plain address: what it names is on the same machine or behind a proxy of the same machine.
pub(super) fn url(name: &str, value: &str) -> Result<String, String> {
    let authority = value.strip_prefix("http://").map(|rest| rest.split('/').next().unwrap_or_default());
    let is_right = authority.is_some_and(|authority| {
        let port = authority.rsplit_once(':').map_or("80", |(_, port)| port);
        !authority.is_empty() && !authority.starts_with(':') && (port.parse::<u16>().is_ok() || port.ends_with(']'))
    });
    if is_right { Ok(value.to_owned()) } else { Err(format!("`{name}` must be an http:// address, not {value:?}.")) }
}

pub(super) fn partner(value: &str) -> Result<String, String> {
    if (1..=limits::SYMBOL_BYTES_MAX).contains(&value.len()) {
        Ok(value.to_owned())
    } else {
        Err(format!("`partner` must have 1 to {} bytes, not {}.", limits::SYMBOL_BYTES_MAX, value.len()))
    }
}

/// Limits of roles and keys.
pub(super) fn limits<T: Allowance>(name: &str, value: &str) -> Result<Allowances<T>, String> {
    Allowances::parse(value).map_err(|why| format!("`{name}`: {why}."))
}

/// A list of acts, with commas between them; `off` is none.
pub(super) fn acts(name: &str, value: &str) -> Result<Vec<Act>, String> {
    if value == "off" {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = Act::ALL.iter().map(|act| act.name()).collect();
    let act = |text: &str| {
        let text = text.trim();
        Act::from_name(text).ok_or_else(|| format!("`{name}` may name {}, not {text:?}.", names.join(", ")))
    };
    let mut acts = value.split(',').map(act).collect::<Result<Vec<_>, _>>()?;
    acts.sort_unstable();
    acts.dedup();
    Ok(acts)
}

pub(super) fn filter(value: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::try_new(value) {
        Ok(_) => Ok(value.to_owned()),
        Err(error) => Err(format!("`log` is not a filter: {error}.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for good in ["127.0.0.1:0", "[::]:7007", "localhost:80"] {
            assert_eq!(address("listen", good).as_deref(), Ok(good));
        }
        for bad in ["", "7007", ":7007", "localhost", "localhost:http", "localhost:70000"] {
            assert!(address("listen", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn spans_go_to_a_plain_address() {
        for good in ["http://localhost:4317", "http://collector", "http://[::1]:4317/", "http://[::1]"] {
            assert!(url("trace_endpoint", good).is_ok(), "{good}");
        }
        for bad in ["", "localhost:4317", "https://localhost", "http://", "http://:4317", "http://host:port", "/path"] {
            assert!(url("trace_endpoint", bad).is_err(), "{bad}");
        }
    }
}
