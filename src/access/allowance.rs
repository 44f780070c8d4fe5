//! What each role and single keys may ask for, as a configuration states it.
//!
//! What must stay true: what is read is shown as it is read; a key's own goes before its role's.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

use super::grant::Role;
use super::keys::KeyId;

/// What one credential may ask for, as numbers with slashes between them.
pub trait Allowance: Copy + Eq + fmt::Display {
    /// What it looks like, such as `50/100/8`.
    const EXAMPLE: &'static str;
    /// How many numbers it has, in a word.
    const NUMBERS: &'static str;

    /// What the numbers say; `None` where there are more or fewer than it has.
    fn of_numbers(numbers: &[NonZeroU32]) -> Option<Self>;
}

/// What each role and single keys may ask for; what is not named may ask for anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowances<T> {
    by_role: BTreeMap<u8, T>,
    by_key: BTreeMap<KeyId, T>,
}

impl<T> Default for Allowances<T> {
    fn default() -> Self {
        Self { by_role: BTreeMap::new(), by_key: BTreeMap::new() }
    }
}

impl<T: Allowance> Allowances<T> {
    /// Reads `till=50/100/8, key:0123456789abcdef=2000/4000/64`: a role or a key, then its numbers. `off` names nobody.
    ///
    /// # Errors
    /// What is wrong, as a sentence without its subject.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut all = Self::default();
        if text == "off" {
            return Ok(all);
        }
        let example = T::EXAMPLE;
        for one in text.split(',').map(str::trim) {
            let (of, stated) =
                one.split_once('=').ok_or_else(|| format!("{one:?} says no rate, such as till={example}"))?;
            let numbers: Option<Vec<NonZeroU32>> = stated.split('/').map(|number| number.parse().ok()).collect();
            let Some(allowance) = numbers.and_then(|numbers| T::of_numbers(&numbers)) else {
                return Err(format!("{stated:?} is not {} numbers, such as {example}, each from 1", T::NUMBERS));
            };
            let known = match (Role::from_name(of), of.strip_prefix("key:").and_then(KeyId::parse)) {
                (Some(role), _) => all.by_role.insert(role.number(), allowance),
                (None, Some(key)) => all.by_key.insert(key, allowance),
                (None, None) => return Err(format!("{of:?} is neither a role nor key: with 16 digits")),
            };
            if known.is_some() {
                return Err(format!("{of:?} is named twice"));
            }
        }
        Ok(all)
    }

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_role.is_empty() && self.by_key.is_empty()
    }

    /// What a credential may ask for; `None` for anything.
    pub(super) fn of(&self, role: Role, key: Option<KeyId>) -> Option<T> {
        let own = key.and_then(|key| self.by_key.get(&key));
        own.or_else(|| self.by_role.get(&role.number())).copied()
    }
}

/// As [`Allowances::parse`] reads it.
impl<T: Allowance> fmt::Display for Allowances<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roles = self
            .by_role
            .iter()
            .filter_map(|(role, stated)| Some((Role::from_number(*role)?.name().to_owned(), stated)));
        let keys = self.by_key.iter().map(|(key, stated)| (format!("key:{key}"), stated));
        for (index, (of, stated)) in roles.chain(keys).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{of}={stated}")?;
        }
        if self.is_empty() { f.write_str("off") } else { Ok(()) }
    }
}
