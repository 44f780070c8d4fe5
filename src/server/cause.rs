//! Why a ledger came to its end while it ran, for whoever runs the server.
//!
//! What must stay true: the first cause is the one that is told; whether it was damage, and where, is kept beside the sentence.

use std::fmt;

use crate::journal::JournalError;
use crate::store::{Damage, Space, StoreError};

/// Why a ledger came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    why: String,
    damage: Option<Damage>,
}

impl Cause {
    /// What is damaged, if it was that: a disk that failed or is full is none.
    #[must_use]
    pub fn damage(&self) -> Option<Damage> {
        self.damage
    }
}

impl Default for Cause {
    /// One that nobody told.
    fn default() -> Self {
        "for an unknown reason".into()
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl From<&str> for Cause {
    fn from(why: &str) -> Self {
        Self { why: why.to_owned(), damage: None }
    }
}

impl From<&StoreError> for Cause {
    fn from(error: &StoreError) -> Self {
        Self { why: error.to_string(), damage: error.damage() }
    }
}

impl From<&JournalError> for Cause {
    fn from(error: &JournalError) -> Self {
        Self { why: error.to_string(), damage: damage_of_journal(error) }
    }
}

/// What is damaged, if that is what an error of the journal says.
#[must_use]
pub fn damage_of_journal(error: &JournalError) -> Option<Damage> {
    match error {
        JournalError::Store(error) => error.damage(),
        JournalError::Frame(_)
        | JournalError::Record { .. }
        | JournalError::Missing { .. }
        | JournalError::Replaced(_) => Some(Damage::In(Space::Journal)),
        JournalError::Fenced { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_told_apart_from_a_disk_that_failed() {
        let damaged = StoreError::Damaged { path: "/data".into(), space: Some(Space::Ids), reason: "a bit".to_owned() };
        let cause = Cause::from(&damaged);
        assert_eq!(cause.damage(), Some(Damage::In(Space::Ids)));
        assert_eq!(cause.to_string(), damaged.to_string());
        assert_eq!(Cause::from(&JournalError::Store(damaged)).damage(), Some(Damage::In(Space::Ids)));
        let full = JournalError::Store(StoreError::DiskFull { path: "/data".into() });
        assert_eq!(Cause::from(&full).damage(), None);
        assert_eq!(Cause::from("a thread is gone").damage(), None);
    }
}
