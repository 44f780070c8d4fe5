//! Members of accounts and identifiers: what clients say, and what the journal has of it, which is keyed hashes.
//!
//! What must stay true: every member and identifier that a simulated client names is on the ring.

use std::collections::BTreeMap;

use super::facts::Name;
use crate::ids::IdHasher;
use crate::ledger::types::{IdentifierKey, MemberKey};

/// Members; an account has some of them or none.
pub const MEMBERS: [&str; 3] = ["ann", "bob", "cy"];

/// Kinds of identifiers, and how many there are of each.
const KINDS: [(&str, usize); 2] = [("card", 6), ("phone", 3)];

/// Something that can point to an account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identifier {
    /// What it is.
    pub kind: Name,
    /// Which.
    pub value: Name,
}

/// All identifiers there are.
#[must_use]
pub fn identifiers() -> Vec<Identifier> {
    let of = |(kind, count): (&str, usize)| {
        let kind = Name::from(kind);
        (0..count).map(move |number| Identifier { kind: kind.clone(), value: format!("{number:04}").into() })
    };
    KINDS.into_iter().flat_map(of).collect()
}

/// What the hashes of one data directory stand for.
#[derive(Debug, Default)]
pub struct Ring {
    members: BTreeMap<MemberKey, Name>,
    identifiers: BTreeMap<IdentifierKey, Identifier>,
}

impl Ring {
    /// The names under a directory's key.
    #[must_use]
    pub fn new(hasher: &IdHasher) -> Self {
        let members = MEMBERS.map(|member| (hasher.member(member), Name::from(member)));
        let named = |one: Identifier| (hasher.identifier(&one.kind, &one.value), one);
        Self { members: members.into(), identifiers: identifiers().into_iter().map(named).collect() }
    }

    /// A member; empty for nobody.
    #[must_use]
    pub fn member(&self, key: MemberKey) -> Name {
        if key == MemberKey::NONE {
            return Name::default();
        }
        self.members.get(&key).cloned().unwrap_or_else(|| "(unknown member)".into())
    }

    /// An identifier.
    #[must_use]
    pub fn identifier(&self, key: IdentifierKey) -> Identifier {
        let unknown = || Identifier { kind: "(unknown identifier)".into(), value: Name::default() };
        self.identifiers.get(&key).cloned().unwrap_or_else(unknown)
    }
}

/// The name of a counter: a member's has that member behind it.
#[must_use]
pub fn counter_name(counter: &str, member: &str) -> Name {
    if member.is_empty() { counter.into() } else { format!("{counter}@{member}").into() }
}
