//! What a partner may see of an account: only where the programme declares its partners.
//!
//! What must stay true: a partner that deals in none of an account's wallets now is answered as if there were no such
//! account; a programme without partners hides nothing.

use super::Edge;
use super::auth::{Caller, Principal};
use super::settlement::own_partner;
use crate::ledger::program::{Partner, Program};
use crate::ledger::types::{Day, TimestampNs, WalletId};

/// What one caller sees at one instant.
pub(super) enum Sight<'p> {
    /// Every wallet.
    Everything,
    /// The wallets that a partner may earn or burn on a day.
    Of(&'p Partner, Day),
    /// Nothing: the programme does not have the caller's partner.
    Nothing,
}

impl<'p> Sight<'p> {
    /// What a principal sees under a version of the programme.
    pub(super) fn of(principal: &Principal, program: Option<&'p Program>, at: TimestampNs) -> Self {
        let declared = program.and_then(|program| Some((program, program.partners.as_deref()?)));
        let (Some((program, partners)), Some(own)) = (declared, own_partner(principal)) else {
            return Self::Everything;
        };
        partners.find(own).map_or(Self::Nothing, |partner| Self::Of(partner, program.zone.day(at)))
    }

    /// Whether a wallet is seen.
    pub(super) fn sees(&self, wallet: WalletId) -> bool {
        match self {
            Self::Everything => true,
            Self::Of(partner, day) => partner.deals_in(wallet, *day),
            Self::Nothing => false,
        }
    }

    /// Whether nothing is seen at all.
    pub(super) fn is_blind(&self) -> bool {
        match self {
            Self::Everything => false,
            Self::Of(partner, day) => {
                !partner.earns.iter().chain(&partner.burns).any(|right| partner.deals_in(right.wallet, *day))
            }
            Self::Nothing => true,
        }
    }
}

impl Edge {
    /// Whether the caller sees no account now.
    pub(super) fn is_blind(&self, caller: &Caller) -> bool {
        let at = self.read_stamp();
        self.engine.with_programs(|programs| {
            Sight::of(&caller.principal, programs.in_force(at).map(|program| &**program), at).is_blind()
        })
    }

    /// Whether the caller acts for a partner that no version of the programme names. Which version judges a command is
    /// the ledger's to say; under none would this one be heard.
    pub(super) fn is_nobody(&self, caller: &Caller) -> bool {
        let Some(own) = own_partner(&caller.principal) else { return false };
        self.engine.with_programs(|programs| {
            let mut versions = programs.iter().rev().peekable();
            let is_unnamed = |program: &Program| program.partners.as_deref().is_some_and(|all| all.find(own).is_none());
            versions.peek().is_some() && versions.all(|program| is_unnamed(program))
        })
    }
}
