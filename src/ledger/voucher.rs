//! Vouchers: what a member may use once, with a later basket, from one instant to another.
//!
//! What must stay true: a voucher ends once: it is used by a basket, cancelled, or over by time; what ended is remembered
//! for a while, so that a till learns why it is not taken; a code is good in its own account and nowhere else.

use super::account::Account;
use super::decision::Effects;
use super::types::{SymbolId, TimestampNs};
use crate::limits;

const NS_PER_DAY: i64 = 86_400_000_000_000;
const CODE_BYTES: usize = 10;
/// Digits of a code: those that people do not mistake for each other.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// What names a voucher to a till, and a transaction that used one. It follows from the transaction, and is a secret to
/// nobody: what keeps others from a voucher is that it lies in an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VoucherCode(pub [u8; CODE_BYTES]);

impl VoucherCode {
    /// Letters and digits of a code in text.
    pub const TEXT_BYTES: usize = CODE_BYTES * 8 / 5;

    /// The code of the voucher with this number among those that a transaction gave.
    #[must_use]
    pub fn of(partner: SymbolId, transaction_id: &str, number: u8) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("tallystick 2026 voucher code v1");
        hasher.update(&partner.0.to_le_bytes()).update(&[number]).update(transaction_id.as_bytes());
        let mut code = [0; CODE_BYTES];
        hasher.finalize_xof().fill(&mut code);
        Self(code)
    }

    /// What stands for a transaction that used vouchers.
    #[must_use]
    pub fn of_user(partner: SymbolId, transaction_id: &str) -> Self {
        Self::of(partner, transaction_id, u8::MAX)
    }

    /// The code that a text states; in any case of letters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != Self::TEXT_BYTES {
            return None;
        }
        let mut bits: u128 = 0;
        for byte in text.bytes() {
            let digit = DIGITS.iter().position(|digit| *digit == byte.to_ascii_uppercase())?;
            bits = bits << 5 | u128::try_from(digit).ok()?;
        }
        let bytes = bits.to_be_bytes();
        bytes.last_chunk::<CODE_BYTES>().map(|code| Self(*code))
    }
}

impl std::fmt::Display for VoucherCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bits = self.0.iter().fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
        (0..Self::TEXT_BYTES).rev().try_for_each(|place| {
            let digit = usize::try_from(bits >> (5 * place) & 31).ok().and_then(|digit| DIGITS.get(digit));
            write!(f, "{}", char::from(*digit.unwrap_or(&b'0')))
        })
    }
}

/// What became of a voucher, as far as it is not a matter of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoucherState {
    /// It can be used.
    Open,
    /// A basket used it: see [`VoucherCode::of_user`].
    Used(VoucherCode),
    /// It was cancelled.
    Cancelled,
}

/// Under which terms a voucher was given; they are frozen then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VoucherTerms {
    /// The partner that gave it: nobody else takes it, or cancels it.
    pub issuer: SymbolId,
    /// Which of the programme's it is, by its name.
    pub kind: SymbolId,
    /// From when on it can be used.
    pub starts_at: TimestampNs,
    /// From when on no longer.
    pub ends_at: TimestampNs,
    /// The least amount of a basket that uses it, in minor units.
    pub minor_min: i64,
}

/// A voucher in an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voucher {
    /// Its code.
    pub code: VoucherCode,
    /// Its terms.
    pub terms: VoucherTerms,
    /// What became of it.
    pub state: VoucherState,
}

/// What a decision does to a voucher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoucherChange {
    /// The account gets it.
    Given(VoucherTerms),
    /// The basket uses it: see [`VoucherCode::of_user`].
    Used(VoucherCode),
    /// The basket that had used it came back: it can be used again.
    GivenBack,
    /// It can be used no longer.
    Cancelled,
    /// What gave it came back, but it was used before, and stays so: its time is over, so that it cannot be used again
    /// when its user comes back.
    Kept,
}

impl Voucher {
    /// Whether it is remembered at the instant.
    #[must_use]
    pub fn is_kept(&self, at: TimestampNs) -> bool {
        let until = self.terms.ends_at.0.saturating_add(limits::VOUCHER_KEPT_DAYS * NS_PER_DAY);
        at.0 < until
    }

    /// Whether it can be used at the instant, by a basket that is large enough.
    #[must_use]
    pub fn is_usable(&self, at: TimestampNs) -> bool {
        self.state == VoucherState::Open && self.terms.starts_at <= at && at < self.terms.ends_at
    }
}

impl Account {
    /// The account's vouchers, those that ended lately included, ascending by code.
    #[must_use]
    pub fn vouchers(&self) -> &[Voucher] {
        self.profile.as_ref().map_or(&[], |profile| &profile.vouchers)
    }

    /// The voucher with a code.
    #[must_use]
    pub fn voucher(&self, code: VoucherCode) -> Option<&Voucher> {
        let index = self.vouchers().binary_search_by_key(&code, |voucher| voucher.code).ok()?;
        self.vouchers().get(index)
    }

    /// Whether the vouchers can take the effects of a record posted at the instant.
    pub(super) fn accepts_vouchers(&self, effects: &Effects, posted_at: TimestampNs) -> bool {
        if effects.vouchers.is_empty() {
            return true;
        }
        let kept = self.vouchers().iter().filter(|voucher| voucher.is_kept(posted_at)).count();
        let mut seen = Vec::with_capacity(effects.vouchers.len());
        let fits = |(code, change): &(VoucherCode, VoucherChange)| {
            let is_new = !seen.contains(code);
            seen.push(*code);
            let state = self.voucher(*code).filter(|voucher| voucher.is_kept(posted_at)).map(|found| found.state);
            is_new
                && match change {
                    VoucherChange::Given(_) => state.is_none(),
                    VoucherChange::Used(_) | VoucherChange::Cancelled => state == Some(VoucherState::Open),
                    VoucherChange::GivenBack | VoucherChange::Kept => matches!(state, Some(VoucherState::Used(_))),
                }
        };
        let given = effects.vouchers.iter().filter(|(_, change)| matches!(change, VoucherChange::Given(_))).count();
        kept + given <= limits::VOUCHERS_MAX && effects.vouchers.iter().all(fits)
    }

    /// Changes vouchers as a decision says.
    ///
    /// # Panics
    /// When they cannot take the changes: the decision promised that they can.
    pub(super) fn change_vouchers(&mut self, effects: &Effects, posted_at: TimestampNs) {
        let vouchers = &mut self.profile.get_or_insert_default().vouchers;
        for (code, change) in &effects.vouchers {
            let place = vouchers.binary_search_by_key(code, |voucher| voucher.code);
            if let VoucherChange::Given(terms) = *change {
                let index = place.expect_err("a voucher is given once");
                vouchers.insert(index, Voucher { code: *code, terms, state: VoucherState::Open });
                continue;
            }
            let found = place.ok().and_then(|index| vouchers.get_mut(index)).expect("what changes is there");
            found.state = match change {
                VoucherChange::Used(user) => VoucherState::Used(*user),
                VoucherChange::GivenBack => VoucherState::Open,
                VoucherChange::Cancelled => VoucherState::Cancelled,
                VoucherChange::Given(_) | VoucherChange::Kept => found.state,
            };
            if *change == VoucherChange::Kept {
                found.terms.ends_at = found.terms.ends_at.min(posted_at);
            }
        }
        self.forget_empty_profile();
    }

    /// Forgets vouchers that ended long ago.
    pub fn forget_vouchers(&mut self, posted_at: TimestampNs) {
        if let Some(profile) = self.profile.as_deref_mut().filter(|profile| !profile.vouchers.is_empty()) {
            profile.vouchers.retain(|voucher| voucher.is_kept(posted_at));
            self.forget_empty_profile();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_written_and_read_again() {
        let code = VoucherCode::of(SymbolId(7), "018f3c5e", 0);
        let text = code.to_string();
        assert_eq!(text.len(), VoucherCode::TEXT_BYTES);
        assert_eq!(VoucherCode::parse(&text), Some(code));
        assert_eq!(VoucherCode::parse(&text.to_lowercase()), Some(code));
        for wrong in ["", "0", "UUUUUUUUUUUUUUUU", "000000000000000", "00000000000000000", "é00000000000000"] {
            assert_eq!(VoucherCode::parse(wrong), None, "{wrong}");
        }
        assert_eq!(VoucherCode([0xff; 10]).to_string(), "Z".repeat(16));
    }

    #[test]
    fn codes_differ_by_partner_transaction_and_number() {
        let codes = [
            VoucherCode::of(SymbolId(1), "a", 0),
            VoucherCode::of(SymbolId(2), "a", 0),
            VoucherCode::of(SymbolId(1), "b", 0),
            VoucherCode::of(SymbolId(1), "a", 1),
            VoucherCode::of_user(SymbolId(1), "a"),
        ];
        let distinct: std::collections::BTreeSet<_> = codes.iter().collect();
        assert_eq!(distinct.len(), codes.len());
        assert_eq!(codes[0].to_string(), VoucherCode::of(SymbolId(1), "a", 0).to_string());
    }
}
