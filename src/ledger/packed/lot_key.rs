//! What names a lot, byte for byte: the same in records and in entities of a snapshot.
//!
//! What must stay true: a key has one form; the wallet comes first, with a bit for each thing that only some lots have.

use crate::codec::{DecodeError, Reader, put_group, put_unsigned, unzigzag, zigzag};
use crate::ledger::account::Lot;
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
    let first = first_byte(key);
    out.push(first);
    put_unsigned(out, u64::from(key.issuer.0));
    put_unsigned(out, u64::from(key.funding_rate_bps));
    put_unsigned(out, expiry_number(key));
    put_seldom(out, first, key);
}

/// Reads the name of a lot.
///
/// # Errors
/// When the bytes are not what [`put_lot_key`] writes.
pub fn get_lot_key(reader: &mut Reader<'_>) -> Result<LotKey, DecodeError> {
    let first = reader.byte()?;
    let (issuer, rate, expiry) = (reader.number()?, reader.number()?, reader.unsigned()?);
    with_seldom(reader, first, [issuer, rate], expiry)
}

/// Appends a lot of an account.
pub(super) fn put_lot(out: &mut Vec<u8>, lot: &Lot) {
    let key = &lot.key;
    let first = first_byte(key);
    out.push(first);
    let issuer = u64::from(key.issuer.0);
    put_group(out, [issuer, u64::from(key.funding_rate_bps), expiry_number(key), zigzag(lot.remaining)]);
    put_seldom(out, first, key);
}

/// Reads what [`put_lot`] wrote.
#[inline]
pub(super) fn get_lot(reader: &mut Reader<'_>) -> Result<Lot, DecodeError> {
    let first = reader.byte()?;
    let [issuer, rate, expiry, remaining] = reader.group()?;
    let narrow = |number| u32::try_from(number).map_err(|_| DecodeError::BadNumber);
    let key = with_seldom(reader, first, [narrow(issuer)?, narrow(rate)?], expiry)?;
    Ok(Lot { key, remaining: unzigzag(remaining) })
}

/// The wallet, and which of the seldom things follow.
#[inline]
fn first_byte(key: &LotKey) -> u8 {
    let pending = if key.available_from_minute != 0 { PENDING } else { 0 };
    let extended = match key.inactive_days {
        0 => 0,
        LotKey::AS_IN_FORCE => EXTENDED,
        _ => EXTENDED | DAYS,
    };
    key.wallet.0 & WALLET | pending | extended
}

/// One more than the instant, wrapped, so that "never" is a single byte.
#[inline]
fn expiry_number(key: &LotKey) -> u64 {
    zigzag(key.expires_at.0.wrapping_sub(i64::MAX))
}

/// What only some lots have.
#[inline]
fn put_seldom(out: &mut Vec<u8>, first: u8, key: &LotKey) {
    if first & PENDING != 0 {
        put_unsigned(out, u64::from(key.available_from_minute));
    }
    if first & DAYS != 0 {
        put_unsigned(out, u64::from(key.inactive_days));
    }
}

/// The name of a lot, of which is still to be read what only some have.
#[inline]
fn with_seldom(
    reader: &mut Reader<'_>,
    first: u8,
    [issuer, funding_rate_bps]: [u32; 2],
    expiry: u64,
) -> Result<LotKey, DecodeError> {
    let mut key = LotKey {
        wallet: WalletId(first & WALLET),
        issuer: SymbolId(issuer),
        funding_rate_bps,
        available_from_minute: 0,
        inactive_days: if first & EXTENDED != 0 { LotKey::AS_IN_FORCE } else { 0 },
        expires_at: TimestampNs(unzigzag(expiry).wrapping_add(i64::MAX)),
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
