//! What a packed account holds after its id: lots, counters, totals, and what only few accounts have.
//!
//! What must stay true: one account, one sequence of bytes; reading refuses what writing would not have written.

use super::Unpacked;
use super::lot_key::{get_lot, get_lot_key, put_lot, put_lot_key};
use crate::codec::{DecodeError, Reader, put_group, put_id, put_signed, put_unsigned, unzigzag, zigzag};
use crate::ledger::account::{Account, Counter, MemberCounter, Profile, Totals, WalletTotals};
use crate::ledger::authorization::Authorization;
use crate::ledger::held::HeldTransaction;
use crate::ledger::types::{
    Day, IdentifierKey, MemberKey, MonthDay, ProgramVersion, SymbolId, TimestampNs, Units, WalletId,
};
use crate::ledger::voucher::{Voucher, VoucherCode, VoucherState, VoucherTerms};

/// Whether the account has what the first format cannot say.
pub(super) fn has_more(account: &Account) -> bool {
    let has_burned = account.wallets.iter().any(|totals| (totals.redeemed, totals.expired) != (0, 0));
    has_burned || account.totals.refused_redemptions != 0 || account.profile.is_some()
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    put_unsigned(out, u64::try_from(count).expect("a count fits u64"));
}

fn put_counter(out: &mut Vec<u8>, counter: &Counter) {
    put_unsigned(out, u64::from(counter.counter.0));
    put_signed(out, i64::from(counter.period));
    put_signed(out, counter.value);
    put_signed(out, i64::from(counter.retain_until.0));
}

pub(super) fn get_counter(reader: &mut Reader<'_>) -> Result<Counter, DecodeError> {
    Ok(Counter {
        counter: SymbolId(reader.number()?),
        period: get_i32(reader)?,
        value: reader.signed()?,
        retain_until: Day(get_i32(reader)?),
    })
}

/// Appends everything but id, opening and last record.
pub(super) fn put(out: &mut Vec<u8>, account: &Account, has_more: bool) {
    let count = |count| u64::try_from(count).expect("a count fits u64");
    let Account { lots, counters, totals, wallets, .. } = account;
    put_group(out, [count(lots.len()), count(counters.len()), count(wallets.len())]);
    put_group(out, [totals.baskets, totals.refused_baskets, totals.reversals].map(zigzag));
    for lot in lots {
        put_lot(out, lot);
    }
    for counter in counters {
        let (period, retain_until) = (i64::from(counter.period), i64::from(counter.retain_until.0));
        let [period, value, retain_until] = [period, counter.value, retain_until].map(zigzag);
        put_group(out, [u64::from(counter.counter.0), period, value, retain_until]);
    }
    for totals in wallets {
        out.push(totals.wallet.0);
        put_group(out, [totals.granted, totals.reversed, totals.clipped].map(zigzag));
    }
    if has_more {
        put_more(out, account);
    }
}

/// What only few accounts have.
fn put_more(out: &mut Vec<u8>, account: &Account) {
    put_signed(out, account.totals.refused_redemptions);
    for totals in &account.wallets {
        put_signed(out, totals.redeemed);
        put_signed(out, totals.expired);
    }
    put_count(out, account.segments().len());
    for segment in account.segments() {
        put_unsigned(out, u64::from(segment.0));
    }
    put_profile(out, account.profile.as_deref());
}

/// Of the bits that say what a profile has: something is counted of members.
const PROFILE_MEMBERS: u8 = 8;
/// Identifiers point to the account.
const PROFILE_IDENTIFIERS: u8 = 16;
/// Transactions are held.
const PROFILE_HELD: u8 = 64;
/// Units are owed.
const PROFILE_OWED: u8 = 32;
/// Units are set aside.
const PROFILE_AUTHORIZATIONS: u8 = 128;

/// Of the bits of the extension: the account has vouchers.
const EXTENSION_VOUCHERS: u8 = 1;
/// Returns found units dead.
const EXTENSION_GONE: u8 = 2;

/// What a profile has beside segments: a set of bits, of which each has its meaning, and then each thing.
fn put_profile(out: &mut Vec<u8>, profile: Option<&Profile>) {
    let held = profile.map_or(&[][..], |profile| &profile.held);
    let members = profile.map_or(&[][..], |profile| &profile.members);
    let identifiers = profile.map_or(&[][..], |profile| &profile.identifiers);
    let authorizations = profile.map_or(&[][..], |profile| &profile.authorizations);
    let (birthday, last_basket_on, remainder) = match profile {
        None => (None, None, None),
        Some(profile) => (profile.birthday, profile.last_basket_on, profile.remainder),
    };
    let bit = |bit: u8, is_there: bool| if is_there { bit } else { 0 };
    let known = bit(1, birthday.is_some()) | bit(2, last_basket_on.is_some()) | bit(4, remainder.is_some());
    let known = known | bit(PROFILE_MEMBERS, !members.is_empty()) | bit(PROFILE_IDENTIFIERS, !identifiers.is_empty());
    let owed = profile.map_or(&[][..], |profile| &profile.owed);
    let known = known | bit(PROFILE_HELD, !held.is_empty()) | bit(PROFILE_OWED, !owed.is_empty());
    out.push(known | bit(PROFILE_AUTHORIZATIONS, !authorizations.is_empty()));
    if let Some(birthday) = birthday {
        out.extend_from_slice(&[birthday.month, birthday.day]);
    }
    if let Some(day) = last_basket_on {
        put_signed(out, i64::from(day.0));
    }
    if let Some((version, left)) = remainder {
        put_unsigned(out, u64::from(version.0));
        put_signed(out, left);
    }
    if !members.is_empty() {
        put_count(out, members.len());
        for MemberCounter { member, counted } in members {
            out.extend_from_slice(&member.0.to_le_bytes());
            put_counter(out, counted);
        }
    }
    if !identifiers.is_empty() {
        put_count(out, identifiers.len());
        for (key, kind) in identifiers {
            out.extend_from_slice(&key.0);
            put_unsigned(out, u64::from(kind.0));
        }
    }
    if !held.is_empty() {
        put_held(out, held);
    }
    if !authorizations.is_empty() {
        put_authorizations(out, authorizations);
    }
    if !owed.is_empty() {
        put_units(out, owed);
    }
    put_extension(out, profile);
}

/// Units of some wallets.
fn put_units(out: &mut Vec<u8>, of_wallets: &[(WalletId, Units)]) {
    put_count(out, of_wallets.len());
    for (wallet, units) in of_wallets {
        out.push(wallet.0);
        put_signed(out, *units);
    }
}

fn get_units_of_wallets(reader: &mut Reader<'_>) -> Result<Vec<(WalletId, Units)>, DecodeError> {
    let of_wallets = (0..reader.count()?).map(|_| Ok((WalletId(reader.byte()?), reader.signed()?)));
    let of_wallets = of_wallets.collect::<Result<Vec<_>, DecodeError>>()?;
    let ascends = of_wallets.is_sorted_by(|one, next| one.0 < next.0);
    if of_wallets.is_empty() || !ascends || of_wallets.iter().any(|(_, units)| *units <= 0) {
        return Err(DecodeError::Contradiction);
    }
    Ok(of_wallets)
}

/// What follows the profile of an account that has more than its bits can say: nothing where there is none of it.
fn put_extension(out: &mut Vec<u8>, profile: Option<&Profile>) {
    let vouchers = profile.map_or(&[][..], |profile| &profile.vouchers);
    let gone = profile.map_or(&[][..], |profile| &profile.gone);
    if vouchers.is_empty() && gone.is_empty() {
        return;
    }
    let bit = |bit: u8, is_there: bool| if is_there { bit } else { 0 };
    out.push(bit(EXTENSION_VOUCHERS, !vouchers.is_empty()) | bit(EXTENSION_GONE, !gone.is_empty()));
    if !vouchers.is_empty() {
        put_vouchers(out, vouchers);
    }
    if !gone.is_empty() {
        put_units(out, gone);
    }
}

fn put_vouchers(out: &mut Vec<u8>, vouchers: &[Voucher]) {
    put_count(out, vouchers.len());
    for Voucher { code, terms, state } in vouchers {
        out.extend_from_slice(&code.0);
        put_unsigned(out, u64::from(terms.issuer.0));
        put_unsigned(out, u64::from(terms.kind.0));
        put_signed(out, terms.starts_at.0);
        put_signed(out, terms.ends_at.0);
        put_signed(out, terms.minor_min);
        match state {
            VoucherState::Open => out.push(0),
            VoucherState::Used(user) => {
                out.push(1);
                out.extend_from_slice(&user.0);
            }
            VoucherState::Cancelled => out.push(2),
        }
    }
}

fn get_extension(reader: &mut Reader<'_>, profile: &mut Profile) -> Result<(), DecodeError> {
    if reader.remaining() == 0 {
        return Ok(());
    }
    let bits = reader.byte()?;
    if bits == 0 || bits & !(EXTENSION_VOUCHERS | EXTENSION_GONE) != 0 {
        return Err(DecodeError::UnknownTag);
    }
    if bits & EXTENSION_VOUCHERS != 0 {
        get_vouchers(reader, profile)?;
    }
    if bits & EXTENSION_GONE != 0 {
        profile.gone = get_units_of_wallets(reader)?;
    }
    Ok(())
}

fn get_vouchers(reader: &mut Reader<'_>, profile: &mut Profile) -> Result<(), DecodeError> {
    let count = reader.count()?;
    if count == 0 || count > crate::limits::VOUCHERS_MAX {
        return Err(DecodeError::BadNumber);
    }
    for _ in 0..count {
        let code = VoucherCode(reader.array()?);
        let terms = VoucherTerms {
            issuer: SymbolId(reader.number()?),
            kind: SymbolId(reader.number()?),
            starts_at: TimestampNs(reader.signed()?),
            ends_at: TimestampNs(reader.signed()?),
            minor_min: reader.signed()?,
        };
        let state = match reader.byte()? {
            0 => VoucherState::Open,
            1 => VoucherState::Used(VoucherCode(reader.array()?)),
            2 => VoucherState::Cancelled,
            _ => return Err(DecodeError::UnknownTag),
        };
        profile.vouchers.push(Voucher { code, terms, state });
    }
    let ascends = profile.vouchers.is_sorted_by(|one, next| one.code < next.code);
    if ascends { Ok(()) } else { Err(DecodeError::Contradiction) }
}

/// Transactions that are held for review.
fn put_held(out: &mut Vec<u8>, held: &[HeldTransaction]) {
    put_count(out, held.len());
    for one in held {
        put_unsigned(out, u64::from(one.partner.0));
        put_id(out, &one.transaction_id);
        put_unsigned(out, u64::from(one.cap.0));
        put_lot_key(out, &one.lot);
        put_signed(out, one.units);
        put_signed(out, one.held_at.0);
    }
}

fn get_held(reader: &mut Reader<'_>) -> Result<Vec<HeldTransaction>, DecodeError> {
    let count = reader.count()?;
    if count == 0 || count > crate::limits::HELD_TRANSACTIONS_MAX {
        return Err(DecodeError::BadNumber);
    }
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        held.push(HeldTransaction {
            partner: SymbolId(reader.number()?),
            transaction_id: reader.id()?,
            cap: SymbolId(reader.number()?),
            lot: get_lot_key(reader)?,
            units: reader.signed()?,
            held_at: TimestampNs(reader.signed()?),
        });
    }
    let ascends = held.is_sorted_by(|a, b| (a.partner, &a.transaction_id) < (b.partner, &b.transaction_id));
    if ascends { Ok(held) } else { Err(DecodeError::Contradiction) }
}

/// What is set aside.
fn put_authorizations(out: &mut Vec<u8>, authorizations: &[Authorization]) {
    put_count(out, authorizations.len());
    for one in authorizations {
        put_unsigned(out, u64::from(one.partner.0));
        put_id(out, &one.transaction_id);
        put_signed(out, one.ends_at.0);
        put_signed(out, one.captured);
        put_count(out, one.lots.len());
        for (key, units) in &one.lots {
            put_lot_key(out, key);
            put_signed(out, *units);
        }
    }
}

fn get_authorizations(reader: &mut Reader<'_>) -> Result<Vec<Authorization>, DecodeError> {
    let count = reader.count()?;
    if count == 0 || count > crate::limits::AUTHORIZATIONS_MAX {
        return Err(DecodeError::BadNumber);
    }
    let mut authorizations = Vec::with_capacity(count);
    for _ in 0..count {
        let partner = SymbolId(reader.number()?);
        let transaction_id = reader.id()?;
        let (ends_at, captured) = (TimestampNs(reader.signed()?), reader.signed()?);
        let lot_count = reader.count()?;
        if lot_count > crate::limits::AUTHORIZED_LOTS_MAX {
            return Err(DecodeError::BadNumber);
        }
        let lots = (0..lot_count).map(|_| Ok((get_lot_key(reader)?, reader.signed()?)));
        let lots = lots.collect::<Result<Vec<_>, DecodeError>>()?;
        // What is set aside is something, of one wallet.
        let wallet = lots.first().ok_or(DecodeError::BadNumber)?.0.wallet;
        if captured < 0 || lots.iter().any(|(key, units)| *units <= 0 || key.wallet != wallet) {
            return Err(DecodeError::Contradiction);
        }
        authorizations.push(Authorization { partner, transaction_id, wallet, ends_at, captured, lots });
    }
    let ascends = authorizations.is_sorted_by(|a, b| (a.partner, &a.transaction_id) < (b.partner, &b.transaction_id));
    if ascends { Ok(authorizations) } else { Err(DecodeError::Contradiction) }
}

/// Reads what [`put`] wrote.
pub(super) fn get(reader: &mut Reader<'_>, has_more: bool, out: &mut Unpacked) -> Result<(), DecodeError> {
    let counts: [u64; 3] = reader.group()?;
    // Each takes at least a byte, so that a damaged count cannot ask for memory.
    let remaining = reader.remaining();
    let bounded = |count| usize::try_from(count).ok().filter(|count| *count <= remaining);
    let [Some(lots), Some(counters), Some(wallets)] = counts.map(bounded) else { return Err(DecodeError::Truncated) };
    let [baskets, refused_baskets, reversals] = reader.group()?.map(unzigzag);
    let account = &mut out.account;
    account.totals = Totals { baskets, refused_baskets, reversals, refused_redemptions: 0 };
    account.lots.clear();
    account.lots.reserve(lots);
    for _ in 0..lots {
        account.lots.push(get_lot(reader)?);
    }
    account.counters.clear();
    account.counters.reserve(counters);
    for _ in 0..counters {
        let [counter, period, value, retain_until] = reader.group()?;
        account.counters.push(Counter {
            counter: SymbolId(u32::try_from(counter).map_err(|_| DecodeError::BadNumber)?),
            period: narrow(unzigzag(period))?,
            value: unzigzag(value),
            retain_until: Day(narrow(unzigzag(retain_until))?),
        });
    }
    account.wallets.clear();
    for _ in 0..wallets {
        let wallet = WalletId(reader.byte()?);
        let [granted, reversed, clipped] = reader.group()?.map(unzigzag);
        account.wallets.push(WalletTotals { wallet, granted, reversed, clipped, ..WalletTotals::default() });
    }
    get_rest(reader, has_more, out)
}

/// What follows the totals of wallets, if anything does.
pub(super) fn get_rest(reader: &mut Reader<'_>, has_more: bool, out: &mut Unpacked) -> Result<(), DecodeError> {
    if !has_more {
        out.forget_profile();
        return Ok(());
    }
    let account = &mut out.account;
    account.totals.refused_redemptions = reader.signed()?;
    for totals in &mut account.wallets {
        totals.redeemed = reader.signed()?;
        totals.expired = reader.signed()?;
    }
    let mut profile = out.profile();
    get_profile(reader, &mut profile)?;
    let account = &mut out.account;
    match *profile == Profile::default() {
        true => out.spare_profile = Some(profile),
        false => account.profile = Some(profile),
    }
    Ok(())
}

fn get_profile(reader: &mut Reader<'_>, profile: &mut Profile) -> Result<(), DecodeError> {
    for _ in 0..reader.count()? {
        profile.segments.push(SymbolId(reader.number()?));
    }
    let bits = reader.byte()?;
    if bits & 1 != 0 {
        profile.birthday = Some(MonthDay { month: reader.byte()?, day: reader.byte()? });
    }
    if bits & 2 != 0 {
        profile.last_basket_on = Some(Day(get_i32(reader)?));
    }
    if bits & 4 != 0 {
        profile.remainder = Some((ProgramVersion(reader.number()?), reader.signed()?));
    }
    if bits & PROFILE_MEMBERS != 0 {
        for _ in 0..reader.count()? {
            let member = MemberKey(u64::from_le_bytes(reader.array()?));
            profile.members.push(MemberCounter { member, counted: get_counter(reader)? });
        }
        if profile.members.is_empty() {
            return Err(DecodeError::Contradiction);
        }
    }
    if bits & PROFILE_IDENTIFIERS != 0 {
        for _ in 0..reader.count()? {
            profile.identifiers.push((IdentifierKey(reader.array()?), SymbolId(reader.number()?)));
        }
        if profile.identifiers.is_empty() {
            return Err(DecodeError::Contradiction);
        }
    }
    if bits & PROFILE_HELD != 0 {
        profile.held = get_held(reader)?;
    }
    if bits & PROFILE_AUTHORIZATIONS != 0 {
        profile.authorizations = get_authorizations(reader)?;
    }
    if bits & PROFILE_OWED != 0 {
        profile.owed = get_units_of_wallets(reader)?;
        if profile.owed.iter().any(|(_, units)| *units > crate::limits::UNITS_MAX) {
            return Err(DecodeError::Contradiction);
        }
    }
    get_extension(reader, profile)
}

fn get_i32(reader: &mut Reader<'_>) -> Result<i32, DecodeError> {
    narrow(reader.signed()?)
}

fn narrow(number: i64) -> Result<i32, DecodeError> {
    i32::try_from(number).map_err(|_| DecodeError::BadNumber)
}
