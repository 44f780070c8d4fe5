//! Accounts as earlier versions wrote them into snapshots: every integer by itself.
//!
//! What must stay true: whatever an earlier version wrote is read, and packed as this one packs it.

use super::Unpacked;
use super::lot_key::get_lot_key;
use super::parts::{get_counter, get_rest};
use crate::codec::{DecodeError, Reader};
use crate::ledger::account::{Lot, Totals, WalletTotals};
use crate::ledger::types::{TimestampNs, WalletId};

/// Reads everything but id and last record.
pub(super) fn get(reader: &mut Reader<'_>, has_more: bool, out: &mut Unpacked) -> Result<(), DecodeError> {
    let account = &mut out.account;
    account.opened_at = TimestampNs(reader.signed()?);
    account.lots.clear();
    for _ in 0..reader.count()? {
        let key = get_lot_key(reader)?;
        account.lots.push(Lot { key, remaining: reader.signed()? });
    }
    account.counters.clear();
    for _ in 0..reader.count()? {
        account.counters.push(get_counter(reader)?);
    }
    account.totals = Totals {
        baskets: reader.signed()?,
        refused_baskets: reader.signed()?,
        reversals: reader.signed()?,
        refused_redemptions: 0,
    };
    account.wallets.clear();
    for _ in 0..reader.count()? {
        account.wallets.push(WalletTotals {
            wallet: WalletId(reader.byte()?),
            granted: reader.signed()?,
            reversed: reader.signed()?,
            clipped: reader.signed()?,
            ..WalletTotals::default()
        });
    }
    get_rest(reader, has_more, out)
}
