//! What a credential allows: a role, the partner that it acts for, and the stores and terminals that it is held to.
//!
//! What must stay true: numbers and names of roles are permanent, for they are in the journal and on the wire; a grant
//! that does not pass [`Grant::check`] is never issued.

use crate::limits;

/// What a caller is there for. What each role may do is in [`super::table`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// A checkout till: it quotes, accrues and reverses in its own stores.
    Till = 1,
    /// A store's or a brand's server between tills and ledger: everything that happens at a checkout, in streams too.
    Gateway = 2,
    /// A partner's office: its accounts, transactions and opening balances.
    BackOffice = 3,
    /// Writes and publishes the programme.
    ProgramOwner = 4,
    /// Runs the server: status, snapshots, backups, freezes. One that acts for a partner is that partner's service desk.
    Operator = 5,
    /// Reads everything and changes nothing.
    Auditor = 6,
    /// Issues and revokes keys.
    Administrator = 7,
}

impl Role {
    /// All roles, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Till,
        Self::Gateway,
        Self::BackOffice,
        Self::ProgramOwner,
        Self::Operator,
        Self::Auditor,
        Self::Administrator,
    ];

    /// The permanent number, from 1.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The role with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.number() == number)
    }

    /// The permanent name, as command lines and tokens have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Till => "till",
            Self::Gateway => "gateway",
            Self::BackOffice => "back-office",
            Self::ProgramOwner => "program-owner",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
            Self::Administrator => "administrator",
        }
    }

    /// The role with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Whether the role acts for one partner, which its grant names.
    #[must_use]
    pub const fn acts_for_partner(self) -> bool {
        matches!(self, Self::Till | Self::Gateway | Self::BackOffice)
    }

    /// Whether it may say when something counts as posted, where that is the callers' to say. A till's word is not enough: no
    /// time before it could be posted any more.
    #[must_use]
    pub const fn may_import(self) -> bool {
        matches!(self, Self::Gateway | Self::BackOffice)
    }

    /// Whether its grant may name a partner: then it acts for this one, and without one it sees all and acts for none.
    #[must_use]
    pub const fn may_act_for_partner(self) -> bool {
        self.acts_for_partner() || matches!(self, Self::Operator)
    }
}

/// What a credential allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What the caller is there for.
    pub role: Role,
    /// The partner that it acts for; empty where it acts for none.
    pub partner: Box<str>,
    /// The stores that it is held to; none means all of the partner's.
    pub stores: Vec<Box<str>>,
    /// The terminals of these stores that it is held to; none means all.
    pub terminals: Vec<Box<str>>,
}

/// Why a grant cannot be issued. `Display` is a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// The partner is missing.
    #[error("the role {} acts for a partner, which must be named", .0.name())]
    PartnerMissing(Role),
    /// The role acts for no partner.
    #[error("the role {} acts for no partner, store or terminal, so none may be named", .0.name())]
    PartnerNamed(Role),
    /// The role is held to no store.
    #[error("the role {} is held to no store or terminal, so none may be named", .0.name())]
    StoreNamed(Role),
    /// A till is held to its stores.
    #[error("a till's grant names at least one store")]
    StoreMissing,
    /// A terminal belongs to a store.
    #[error("terminals are those of the stores that are named, so a store must be named too")]
    TerminalsWithoutStore,
    /// A name is empty or too long, or stands there twice.
    #[error("a partner, store or terminal has 1 to {} bytes and is named once", limits::SYMBOL_BYTES_MAX)]
    BadName,
    /// Too many names.
    #[error("a grant names at most {} stores and as many terminals", limits::GRANT_NAMES_MAX)]
    TooMany,
}

impl Grant {
    /// A grant of a role that acts for no partner.
    #[must_use]
    pub fn of_role(role: Role) -> Self {
        Self { role, partner: Box::default(), stores: Vec::new(), terminals: Vec::new() }
    }

    /// Whether it may be issued.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn check(&self) -> Result<(), GrantError> {
        let names_store = !self.stores.is_empty() || !self.terminals.is_empty();
        if !self.role.may_act_for_partner() && (names_store || !self.partner.is_empty()) {
            return Err(GrantError::PartnerNamed(self.role));
        }
        if !self.role.acts_for_partner() && names_store {
            return Err(GrantError::StoreNamed(self.role));
        }
        if self.partner.is_empty() {
            return if self.role.acts_for_partner() { Err(GrantError::PartnerMissing(self.role)) } else { Ok(()) };
        }
        if self.role == Role::Till && self.stores.is_empty() {
            return Err(GrantError::StoreMissing);
        }
        if self.stores.is_empty() && !self.terminals.is_empty() {
            return Err(GrantError::TerminalsWithoutStore);
        }
        if self.stores.len().max(self.terminals.len()) > limits::GRANT_NAMES_MAX {
            return Err(GrantError::TooMany);
        }
        let is_name = |name: &str| (1..=limits::SYMBOL_BYTES_MAX).contains(&name.len());
        let is_list = |names: &[Box<str>]| {
            let once: std::collections::BTreeSet<&str> = names.iter().map(|name| &**name).collect();
            once.len() == names.len() && names.iter().all(|name| is_name(name))
        };
        if !is_name(&self.partner) || !is_list(&self.stores) || !is_list(&self.terminals) {
            return Err(GrantError::BadName);
        }
        Ok(())
    }

    /// Whether it acts for one partner. Another sees all of them and acts for none.
    #[must_use]
    pub fn acts_for_partner(&self) -> bool {
        !self.partner.is_empty()
    }

    /// Whether it is held to some stores.
    #[must_use]
    pub fn is_held_to_stores(&self) -> bool {
        !self.stores.is_empty()
    }

    /// Whether it reaches into a store.
    #[must_use]
    pub fn covers_store(&self, store: &str) -> bool {
        self.stores.is_empty() || self.stores.iter().any(|own| **own == *store)
    }

    /// Whether it reaches to a terminal of a store.
    #[must_use]
    pub fn covers(&self, store: &str, terminal: &str) -> bool {
        self.covers_store(store) && (self.terminals.is_empty() || self.terminals.iter().any(|own| **own == *terminal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(role: Role, partner: &str, stores: &[&str], terminals: &[&str]) -> Grant {
        let boxed = |names: &[&str]| names.iter().map(|name| Box::from(*name)).collect();
        Grant { role, partner: partner.into(), stores: boxed(stores), terminals: boxed(terminals) }
    }

    #[test]
    fn roles_keep_their_numbers_and_names() {
        let names = ["till", "gateway", "back-office", "program-owner", "operator", "auditor", "administrator"];
        for ((number, name), role) in (1..).zip(names).zip(Role::ALL) {
            assert_eq!((role.number(), role.name()), (number, name));
            assert_eq!((Role::from_number(number), Role::from_name(name)), (Some(role), Some(role)));
        }
        assert_eq!((Role::from_number(0), Role::from_number(8), Role::from_name("root")), (None, None, None));
    }

    #[test]
    fn a_grant_says_what_it_is_held_to() {
        let long = "s".repeat(limits::SYMBOL_BYTES_MAX + 1);
        let rows = [
            (grant(Role::Till, "a", &["s1"], &[]), Ok(())),
            (grant(Role::Till, "a", &[], &[]), Err(GrantError::StoreMissing)),
            (grant(Role::Till, "", &["s1"], &[]), Err(GrantError::PartnerMissing(Role::Till))),
            (grant(Role::Gateway, "a", &[], &[]), Ok(())),
            (grant(Role::Gateway, "a", &[], &["t1"]), Err(GrantError::TerminalsWithoutStore)),
            (grant(Role::Gateway, "a", &["s1", "s1"], &[]), Err(GrantError::BadName)),
            (grant(Role::Gateway, "a", &[""], &[]), Err(GrantError::BadName)),
            (grant(Role::Gateway, &long, &[], &[]), Err(GrantError::BadName)),
            (grant(Role::Operator, "", &[], &[]), Ok(())),
            (grant(Role::Operator, "a", &[], &[]), Ok(())),
            (grant(Role::Operator, "a", &["s1"], &[]), Err(GrantError::StoreNamed(Role::Operator))),
            (grant(Role::Operator, "", &[], &["t1"]), Err(GrantError::StoreNamed(Role::Operator))),
            (grant(Role::Operator, &long, &[], &[]), Err(GrantError::BadName)),
            (grant(Role::Auditor, "a", &[], &[]), Err(GrantError::PartnerNamed(Role::Auditor))),
            (grant(Role::Auditor, "", &["s1"], &[]), Err(GrantError::PartnerNamed(Role::Auditor))),
        ];
        for (grant, expected) in rows {
            assert_eq!(grant.check(), expected, "{grant:?}");
        }
        let many = Grant {
            stores: (0..=limits::GRANT_NAMES_MAX).map(|number| number.to_string().into()).collect(),
            ..grant(Role::Gateway, "a", &[], &[])
        };
        assert_eq!(many.check(), Err(GrantError::TooMany));
    }

    #[test]
    fn scope_is_by_store_and_by_terminal() {
        let held = grant(Role::Till, "a", &["s1", "s2"], &["t1"]);
        let rows =
            [("s1", "t1", true), ("s2", "t1", true), ("s1", "t2", false), ("s3", "t1", false), ("s1", "", false)];
        for (store, terminal, expected) in rows {
            assert_eq!(held.covers(store, terminal), expected, "{store} {terminal}");
        }
        assert!(grant(Role::Gateway, "a", &[], &[]).covers("anywhere", ""));
    }
}
