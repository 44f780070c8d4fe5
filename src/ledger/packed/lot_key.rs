//! What names a lot, byte for byte: the same in records and in entities of a snapshot.
//!
//! What must stay true: a key has one form; the wallet comes first, with a bit for each thing that only some lots have.

use crate::codec::{DecodeError, Reader, put_signed, put_unsigned};
use crate::ledger::decision::LotKey;
use crate::ledger::types::{SymbolId, TimestampNs, WalletId};

/// Units that are pending, or were: a minute follows.
const PENDING: u8 = 0x80;
/// Units that die by inactivity.
const EXTENDED: u8 = 0x40;
/// After so many days as follow behind everything else.
const DAYS: u8 = 0x20;
/// What is left names the wallet.
const WALLET: u8 = 0x1f;

const _: () = assert!(crate::limits::PROGRAM_WALLETS_MAX <= 32, "a wallet leaves three bits of a byte");
const _: () = assert!(crate::limits::EXPIRY_DAYS_MAX < 65_535, "the largest number means that none is stated");

/// Appends the name of a lot.
pub fn put_lot_key(out: &mut Vec<u8>, key: &LotKey) {
    let pending = if key.available_from_minute != 0 { PENDING } else { 0 };
    let extended = match key.inactive_days {
        0 => 0,
        LotKey::AS_IN_FORCE => EXTENDED,
        _ => EXTENDED | DAYS,
    };
    out.push(key.wallet.0 & WALLET | pending | extended);
    put_unsigned(out, u64::from(key.issuer.0));
    put_unsigned(out, u64::from(key.funding_rate_bps));
    // One more than the instant, wrapped, so that "never" is a single byte.
    put_signed(out, key.expires_at.0.wrapping_sub(i64::MAX));
    if pending != 0 {
        put_unsigned(out, u64::from(key.available_from_minute));
    }
    if extended & DAYS != 0 {
        put_unsigned(out, u64::from(key.inactive_days));
    }
}

/// Reads the name of a lot.
///
/// # Errors
/// When the bytes are not what [`put_lot_key`] writes.
pub fn get_lot_key(reader: &mut Reader<'_>) -> Result<LotKey, DecodeError> {
    let first = reader.byte()?;
    let mut key = LotKey {
        wallet: WalletId(first & WALLET),
        issuer: SymbolId(reader.number()?),
        funding_rate_bps: reader.number()?,
        available_from_minute: 0,
        inactive_days: if first & EXTENDED != 0 { LotKey::AS_IN_FORCE } else { 0 },
        expires_at: TimestampNs(reader.signed()?.wrapping_add(i64::MAX)),
    };
    if first & PENDING != 0 {
        key.available_from_minute = reader.number()?;
        if key.available_from_minute == 0 {
            return Err(DecodeError::Contradiction);
        }
    }
    if first & DAYS != 0 {
        let days = reader.number()?;
        if !key.is_extended() || !(1..LotKey::AS_IN_FORCE).contains(&days) {
            return Err(DecodeError::Contradiction);
        }
        key.inactive_days = days;
    }
    Ok(key)
}
