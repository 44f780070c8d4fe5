//! Rewards: whether anybody can ever have one.
//!
//! What must stay true: what costs more than an account can hold is a slip, not a reward.

use crate::program::file::{EarnSection, ProgramFile, RewardEntry, WalletEntry};
use crate::program::problem::{Finding, Problems};
use crate::program::table::stated;

pub(super) fn check(file: &ProgramFile, earn: &EarnSection, problems: &mut Problems<'_>) {
    for RewardEntry { name, wallet, price, .. } in &file.rewards {
        let wallet_name = wallet.as_ref().unwrap_or(&earn.wallet).get_ref();
        let is_it = |wallet: &&WalletEntry| wallet.name.get_ref() == wallet_name;
        let Some(most) = file.wallets.iter().find(is_it).map(|wallet| wallet.balance_max) else { continue };
        if *price.get_ref() > most {
            let (name, price_shown, most) = (name.get_ref(), stated(*price.get_ref()), stated(most));
            let message =
                format!("reward `{name}` costs {price_shown}, but wallet `{wallet_name}` holds at most {most}");
            problems.push(Finding::error(&price.span(), message).hint("nobody could ever have it"));
        }
    }
}
