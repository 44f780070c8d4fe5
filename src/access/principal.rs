//! Whom a credential stands for.
//!
//! What must stay true: a principal is made in [`super::gate`] and nowhere else but in benchmarks and tests of the core;
//! the partner that a call acts for is the principal's.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::grant::Grant;
use super::keys::{KeyId, KeyIssue};
use super::meter::{Meter, Permit, TooMuch};
use super::naming::NameMeter;
use super::table::{Reach, Row};
use super::tokens::Signer;
use crate::ledger::types::{SymbolId, TimestampNs};

/// What a caller showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Nothing: the server asks for nothing.
    None,
    /// A key.
    Key(KeyId),
    /// A client certificate, which stands for a key.
    Certificate(KeyId),
    /// A token: who signed it, and for whom.
    Token(Box<str>),
}

/// Whom a credential stands for, and what it allows.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The partner that the call acts for; empty where it acts for none.
    pub partner: Arc<str>,
    /// The partner, interned.
    pub symbol: SymbolId,
    /// What is allowed; `None` where the server asks for no credentials: everything.
    pub grant: Option<Grant>,
    /// What was shown.
    pub credential: Credential,
    /// From when on it counts no more.
    pub expires_at: TimestampNs,
    /// What its token was signed with, if it showed one.
    pub(super) signer: Option<Arc<Signer>>,
    /// How much it may ask for; `None` where that is not limited.
    pub(super) meter: Option<Arc<Meter>>,
    /// How many new names it may bring; `None` where that is not limited.
    pub(super) names: Option<Arc<NameMeter>>,
    /// Where the last use of the key is noted.
    pub(super) last_used_ns: Option<Arc<AtomicI64>>,
}

/// Uses of a key are noted no more often than this.
const NOTE_INTERVAL_NS: i64 = 1_000_000_000;

impl Principal {
    /// The caller of a server that asks for no credentials.
    #[must_use]
    pub fn anyone(partner: Arc<str>, symbol: SymbolId) -> Self {
        let (credential, expires_at) = (Credential::None, KeyIssue::NEVER);
        Self {
            partner,
            symbol,
            grant: None,
            credential,
            expires_at,
            signer: None,
            meter: None,
            names: None,
            last_used_ns: None,
        }
    }

    /// Who it is, for the journal.
    #[must_use]
    pub fn actor(&self) -> String {
        match &self.credential {
            Credential::None => "anyone".to_owned(),
            Credential::Key(id) => format!("key:{id}"),
            Credential::Certificate(id) => format!("certificate:{id}"),
            Credential::Token(subject) => format!("token:{subject}"),
        }
    }

    /// The same caller in the name of a partner: of one whose proposal it confirms.
    #[must_use]
    pub fn in_the_name_of(&self, partner: Arc<str>, symbol: SymbolId) -> Self {
        Self { partner, symbol, ..self.clone() }
    }

    /// The key that was shown, or that the certificate stands for.
    #[must_use]
    pub fn key(&self) -> Option<KeyId> {
        match self.credential {
            Credential::Key(id) | Credential::Certificate(id) => Some(id),
            Credential::None | Credential::Token(_) => None,
        }
    }

    /// Whether it may call a method at all.
    ///
    /// # Errors
    /// Why not, as a sentence.
    pub fn permits(&self, row: &Row) -> Result<(), String> {
        let Some(grant) = &self.grant else { return Ok(()) };
        if !row.roles.contains(&grant.role) {
            return Err(format!("The role {} may not call {}.", grant.role.name(), row.method()));
        }
        let method = row.method();
        match row.reach {
            Reach::Partner | Reach::Desk | Reach::Ledger if grant.is_held_to_stores() => {
                Err(format!("A credential that is held to stores may not call {method}, which names none."))
            }
            Reach::Desk if !grant.acts_for_partner() => {
                Err(format!("{method} acts for a partner, and this credential names none."))
            }
            Reach::Ledger if grant.acts_for_partner() => {
                Err(format!("{method} concerns the whole ledger, and this credential acts for one partner."))
            }
            _ => Ok(()),
        }
    }

    /// Whether it may be the second person of what was proposed in the name of a partner, or of none, by who may call the
    /// method.
    #[must_use]
    pub fn may_settle(&self, row: &Row, partner: SymbolId) -> bool {
        let Some(grant) = &self.grant else { return true };
        row.roles.contains(&grant.role) && (!grant.acts_for_partner() || partner == self.symbol)
    }

    /// Why it may not say when something counts as posted; `None` where it may.
    #[must_use]
    pub fn refuses_posting_time(&self) -> Option<String> {
        let role = self.grant.as_ref()?.role;
        (!role.may_import()).then(|| format!("The role {} may not state posting_time: who imports does.", role.name()))
    }

    /// The grant, if it is held to stores.
    #[must_use]
    pub fn held(&self) -> Option<&Grant> {
        self.grant.as_ref().filter(|grant| grant.is_held_to_stores())
    }

    /// Whether a basket of this store and terminal may be brought.
    #[must_use]
    pub fn covers(&self, store: &str, terminal: &str) -> bool {
        self.held().is_none_or(|grant| grant.covers(store, terminal))
    }

    /// Whether the transactions of all partners may be seen.
    #[must_use]
    pub fn sees_all_partners(&self) -> bool {
        self.grant.as_ref().is_some_and(|grant| !grant.acts_for_partner())
    }

    /// Begins a call; what it gives is kept until the call ends.
    ///
    /// # Errors
    /// Why it has to wait.
    pub fn enter(&self) -> Result<Option<Arc<Permit>>, TooMuch> {
        self.meter.as_ref().map(|meter| meter.enter().map(Arc::new)).transpose()
    }

    /// How much it may ask for; `None` where that is not limited.
    #[must_use]
    pub fn meter(&self) -> Option<&Meter> {
        self.meter.as_deref()
    }

    /// How many new names it may bring; `None` where that is not limited.
    #[must_use]
    pub fn names(&self) -> Option<&NameMeter> {
        self.names.as_deref()
    }

    /// Notes that the key was used.
    pub(super) fn note_use(&self, now: TimestampNs) {
        if let Some(last) = &self.last_used_ns
            && now.0.saturating_sub(last.load(Ordering::Relaxed)) >= NOTE_INTERVAL_NS
        {
            last.fetch_max(now.0, Ordering::Relaxed);
        }
    }
}
