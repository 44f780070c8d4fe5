//! Wallets of money: they are paid into, and never earned.
//!
//! What must stay true: all that a file says of earning is about the wallet of `[earn]`, so that where this is none of money
//! no expiry, rate, rule, bonus or cap speaks of money.

use crate::program::file::{ProgramFile, WalletEntry};
use crate::program::problem::{Finding, Problems};

pub(super) fn check(file: &ProgramFile, problems: &mut Problems<'_>) {
    let Some(earn) = &file.earn else { return };
    let is_earned = |wallet: &&WalletEntry| wallet.name.get_ref() == earn.wallet.get_ref();
    if file.wallets.iter().find(is_earned).is_some_and(|wallet| wallet.money.is_some()) {
        let name = earn.wallet.get_ref();
        let message = format!("wallet `{name}` holds money, which is paid in: it neither is earned nor expires");
        let hint = "have [earn] name a wallet of points, for example [[wallets]] name = \"points\"";
        problems.push(Finding::error(&earn.wallet.span(), message).hint(hint));
    }
}
