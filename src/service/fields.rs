//! Collects what is wrong with the fields of one request, so that a caller learns all of it at once.
//!
//! What must stay true: paths are those of the contract, from the command on; the number of violations that a reply
//! carries is bounded, because it travels in a header.

use std::fmt;

use super::status::Failure;
use super::times;
use super::wire;
use crate::ledger::types::TimestampNs;
use crate::limits;

/// The path of a field, written only when something is wrong with it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Path {
    /// A field of the request itself.
    Field(&'static str),
    /// A field of a line of the basket.
    Line(usize, &'static str),
    /// An entry of a list of the request.
    Entry(&'static str, usize),
    /// A field of an entry of a list of the request.
    EntryField(&'static str, usize, &'static str),
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => f.write_str(name),
            Self::Line(index, name) => write!(f, "basket.lines[{index}].{name}"),
            Self::Entry(list, index) => write!(f, "{list}[{index}]"),
            Self::EntryField(list, index, name) => write!(f, "{list}[{index}].{name}"),
        }
    }
}

/// The violations found so far.
#[derive(Debug, Default)]
pub(super) struct Fields {
    violations: Vec<wire::FieldViolation>,
    hidden_count: usize,
}

impl Fields {
    /// Reports a field.
    pub(super) fn wrong(&mut self, path: Path, description: impl Into<String>) {
        if self.violations.len() < limits::FIELD_VIOLATIONS_MAX {
            self.violations.push(wire::FieldViolation { field: path.to_string(), description: description.into() });
        } else {
            self.hidden_count += 1;
        }
    }

    /// A string of a length in bytes.
    pub(super) fn text(&mut self, path: Path, value: &str, least: usize, most: usize) {
        if value.len() < least && least == 1 {
            self.wrong(path, "It is required.");
        } else if value.len() > most {
            self.wrong(path, format!("It has {} bytes; at most {most} are allowed.", value.len()));
        }
    }

    /// A number in a range.
    pub(super) fn number(&mut self, path: Path, value: i64, least: i64, most: i64) {
        if !(least..=most).contains(&value) {
            self.wrong(path, format!("It is {value}, but must be from {least} to {most}."));
        }
    }

    /// A timestamp that may be unset.
    pub(super) fn time(&mut self, path: Path, value: Option<&prost_types::Timestamp>) -> Option<TimestampNs> {
        let value = value?;
        let instant = times::instant(value);
        if instant.is_none() {
            self.wrong(path, "It is not a time between the years 1678 and 2261 with 0 to 999,999,999 nanoseconds.");
        }
        instant
    }

    /// Nothing was wrong, or the failure that says what.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        if self.violations.is_empty() {
            return Ok(());
        }
        if self.hidden_count > 0 {
            let description = format!("{} more fields are wrong.", self.hidden_count);
            self.violations.push(wire::FieldViolation { field: String::new(), description });
        }
        Err(Failure::Invalid(self.violations))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_violations_is_bounded_and_counted() {
        let mut fields = Fields::default();
        for index in 0..limits::FIELD_VIOLATIONS_MAX + 5 {
            fields.number(Path::Line(index, "quantity"), -1, 0, 9);
        }
        let Err(Failure::Invalid(violations)) = fields.finish() else { panic!("there are violations") };
        assert_eq!(violations.len(), limits::FIELD_VIOLATIONS_MAX + 1);
        assert_eq!(violations[3].field, "basket.lines[3].quantity");
        assert_eq!(violations[3].description, "It is -1, but must be from 0 to 9.");
        assert_eq!(violations.last().unwrap().description, "5 more fields are wrong.");
    }
}
