//! What a partner may see of an account: only where the programme declares its partners.
//!
//! What must stay true: a partner that deals in none of an account's wallets now is answered as if there were no such
//! account; a programme without partners hides nothing.

use super::auth::{Caller, Principal};
use super::settlement::own_partner;
use super::status::Failure;
use super::{Edge, Patience};
use crate::ledger::program::{Partner, Program};
use crate::ledger::types::{Day, TimestampNs, WalletId};
use crate::shard::job::AccountView;

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
            Self::Of(partner, day) => !partner.deals(*day),
            Self::Nothing => true,
        }
    }
}

impl Edge {
    /// Whether the caller sees no account now: to be asked before anything is looked for, so that the time tells nothing
    /// either.
    pub(super) fn is_blind(&self, caller: &Caller) -> bool {
        let at = self.engine.read_stamp();
        self.engine.with_programs(|programs| {
            let program = programs.in_force(at).or_else(|| programs.latest());
            Sight::of(&caller.principal, program.map(|program| &**program), at).is_blind()
        })
    }

    /// A durable copy of an account that the caller sees anything of, once [`Self::name_account`] has put its id in place:
    /// whoever sees none was turned away there.
    pub(super) async fn seen_account(&self, caller: &Caller, account_id: &str) -> Result<Box<AccountView>, Failure> {
        let view = self.view(account_id, Patience::None).await?.ok_or(Failure::AccountUnknown)?;
        if Sight::of(&caller.principal, view.program.as_deref(), view.read_at).is_blind() {
            return Err(Failure::AccountUnknown);
        }
        Ok(view)
    }

    /// What the programme that is going to judge at an instant lets the caller's partner do.
    pub(super) fn rights_at(&self, caller: &Caller, at: TimestampNs) -> Rights {
        self.engine.with_programs(|programs| {
            let program = programs.in_force(at).or_else(|| programs.latest());
            match Sight::of(&caller.principal, program.map(|program| &**program), at) {
                Sight::Everything => Rights::Some,
                Sight::Nothing => Rights::Undeclared,
                Sight::Of(partner, day) if partner.deals(day) => Rights::Some,
                Sight::Of(..) => Rights::None,
            }
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

/// What a version of the programme lets a partner do on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rights {
    /// It deals in a wallet, or the programme declares no partners.
    Some,
    /// It is declared, and deals in none.
    None,
    /// It is not declared.
    Undeclared,
}
