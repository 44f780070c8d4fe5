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
    /// Whether a caller sees no account at all, under the programme of an instant: to be asked before anything is looked
    /// for, so that the time tells nothing either.
    pub(super) fn is_blind(&self, caller: &Caller, at: TimestampNs) -> bool {
        self.engine.with_programs(|programs| {
            let program = programs.in_force(at).or_else(|| programs.latest());
            Sight::of(&caller.principal, program.map(|program| &**program), at).is_blind()
        })
    }

    /// A durable copy of an account that the caller sees anything of.
    pub(super) async fn seen_account(&self, caller: &Caller, account_id: &str) -> Result<Box<AccountView>, Failure> {
        if self.is_blind(caller, self.read_stamp()) {
            return Err(Failure::AccountUnknown);
        }
        let view = self.view(account_id, Patience::None).await?.ok_or(Failure::AccountUnknown)?;
        if Sight::of(&caller.principal, view.program.as_deref(), view.read_at).is_blind() {
            return Err(Failure::AccountUnknown);
        }
        Ok(view)
    }
}
