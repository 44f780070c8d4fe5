//! Digests of state: equal digests mean equal balances, lots, counters, totals and order of records.
//!
//! What must stay true: the digest covers every field that a decision can depend on, in an order that no hash map or
//! thread decides. It leaves out positions, because how records of different shards interleave is a matter of commit
//! timing, and not of the history (invariant 5).

use super::account::{Account, Profile};
use super::authorization::Authorization;
use super::decision::LotKey;
use super::held::HeldTransaction;
use super::partner::Funding;
use super::state::ShardState;
use super::types::IdentifierKey;
use super::voucher::{Voucher, VoucherCode, VoucherState};

/// A BLAKE3 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// Feeds fields to a hash in an unambiguous form: numbers little-endian, strings and lists with their length.
#[derive(Debug)]
pub struct Digester(blake3::Hasher);

impl Digester {
    /// A digest in its own domain, so that digests of different things never meet.
    #[must_use]
    pub fn new(domain: &str) -> Self {
        Self(blake3::Hasher::new_derive_key(domain))
    }

    /// Feeds a signed number.
    pub fn number(&mut self, number: impl Into<i128>) -> &mut Self {
        self.0.update(&number.into().to_le_bytes());
        self
    }

    /// Feeds a string.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.count(text.len());
        self.0.update(text.as_bytes());
        self
    }

    /// Feeds a length.
    ///
    /// # Panics
    /// Never: a length fits i128.
    pub fn count(&mut self, count: usize) -> &mut Self {
        self.number(i128::try_from(count).expect("a length fits i128"))
    }

    /// Feeds another digest.
    pub fn digest(&mut self, digest: &Digest) -> &mut Self {
        self.0.update(&digest.0);
        self
    }

    /// The digest.
    #[must_use]
    pub fn finish(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

/// Goes before what not every entity has: no count and no number that follows an entity is negative.
const MORE: i8 = -1;

/// The digest of one shard.
#[must_use]
pub fn shard_digest(shard: &ShardState) -> Digest {
    let mut digester = Digester::new("tallystick 2026 shard state v1");
    digester.number(shard.id.0).number(shard.seq.0).number(shard.posted_at.0);
    digester.count(shard.accounts().len());
    for account in shard.accounts() {
        feed_account(&mut digester, &account);
    }
    let partners: Vec<_> = shard.partners.issuers().collect();
    digester.count(partners.len());
    for ((partner, wallet), account) in partners {
        digester.number(partner.0).number(wallet.0);
        digester.number(account.balance).number(account.issued).number(account.reversed).number(account.seq.0);
        if (account.redeemed, account.expired) != (0, 0) {
            digester.number(MORE).number(account.redeemed).number(account.expired);
        }
        let Funding { issued, reversed, redeemed, expired } = account.funding;
        if account.funding != Funding::default() {
            digester.number(-2_i8).number(issued).number(reversed).number(redeemed).number(expired);
        }
    }
    // What nobody burned for a rate follows from what is fed already, but for who took it, which the records say.
    for (key, burn) in shard.partners.burns().filter(|(_, burn)| burn.redemption != 0) {
        digester.number(-3_i8).number(key.acceptor.0).number(key.issuer.0).number(key.wallet.0);
        digester.number(burn.units).number(burn.redemption).number(burn.seq.0);
    }
    digester.finish()
}

fn feed_account(digester: &mut Digester, account: &Account) {
    let Account { id, seq, position: _, opened_at, lots, counters, totals, wallets, profile: _ } = account;
    digester.text(id).number(seq.0).number(opened_at.0);
    digester.count(lots.len());
    for lot in lots {
        let LotKey { wallet, issuer, funding_rate_bps, available_from_minute, inactive_days, expires_at } = lot.key;
        if available_from_minute != 0 || inactive_days != 0 {
            digester.number(MORE).number(available_from_minute).number(fed_days(inactive_days));
        }
        digester.number(wallet.0).number(issuer.0).number(funding_rate_bps).number(expires_at.0).number(lot.remaining);
    }
    digester.count(counters.len());
    for counter in counters {
        digester.number(counter.counter.0).number(counter.period).number(counter.value).number(counter.retain_until.0);
    }
    digester.number(totals.baskets).number(totals.refused_baskets).number(totals.reversals);
    digester.count(wallets.len());
    for totals in wallets {
        digester.number(totals.wallet.0).number(totals.granted).number(totals.reversed).number(totals.clipped);
    }
    let has_burned = wallets.iter().any(|totals| (totals.redeemed, totals.expired) != (0, 0));
    if has_burned || totals.refused_redemptions != 0 || account.profile.is_some() {
        digester.number(MORE).number(totals.refused_redemptions);
        for totals in wallets {
            digester.number(totals.redeemed).number(totals.expired);
        }
        digester.count(account.segments().len());
        for segment in account.segments() {
            digester.number(segment.0);
        }
        if let Some(profile) = account.profile.as_deref() {
            feed_profile(digester, profile);
        }
    }
}

fn u128_of(key: &IdentifierKey) -> i128 {
    i128::from_le_bytes(key.0)
}

fn u80_of(code: VoucherCode) -> i128 {
    code.0.iter().fold(0, |bits, byte| bits << 8 | i128::from(*byte))
}

/// Each thing that is known has a mark of its own before it.
fn feed_profile(digester: &mut Digester, profile: &Profile) {
    let Profile {
        segments: _,
        birthday,
        last_basket_on,
        remainder,
        members,
        identifiers,
        held,
        authorizations,
        owed,
        gone,
        vouchers,
    } = profile;
    if let Some(birthday) = birthday {
        digester.number(-2_i8).number(birthday.month).number(birthday.day);
    }
    if let Some(day) = last_basket_on {
        digester.number(-3_i8).number(day.0);
    }
    if let Some((version, left)) = remainder {
        digester.number(-4_i8).number(version.0).number(*left);
    }
    for (key, kind) in identifiers {
        digester.number(-6_i8).number(u128_of(key)).number(kind.0);
    }
    for member in members {
        let counted = &member.counted;
        digester.number(-5_i8).number(member.member.0).number(counted.counter.0);
        digester.number(counted.period).number(counted.value).number(counted.retain_until.0);
    }
    for (wallet, units) in owed {
        digester.number(-60_i8).number(wallet.0).number(*units);
    }
    for (wallet, units) in gone {
        digester.number(-62_i8).number(wallet.0).number(*units);
    }
    for Voucher { code, terms, state } in vouchers {
        digester.number(-61_i8).number(u80_of(*code)).number(terms.issuer.0).number(terms.kind.0);
        digester.number(terms.minor_min);
        digester.number(terms.starts_at.0).number(terms.ends_at.0);
        match state {
            VoucherState::Open => digester.number(0),
            VoucherState::Used(user) => digester.number(1).number(u80_of(*user)),
            VoucherState::Cancelled => digester.number(2),
        };
    }
    for one in held {
        let HeldTransaction { partner, transaction_id, cap, lot, units, held_at } = one;
        digester.number(-20_i8).number(partner.0).text(transaction_id).number(cap.0).number(*units).number(held_at.0);
        feed_lot_key(digester, lot);
    }
    for one in authorizations {
        let Authorization { partner, transaction_id, wallet, ends_at, captured, lots } = one;
        digester.number(-21_i8).number(partner.0).text(transaction_id).number(wallet.0).number(ends_at.0);
        digester.number(*captured).count(lots.len());
        for (key, units) in lots {
            feed_lot_key(digester, key);
            digester.number(*units);
        }
    }
}

/// A list of lots feeds the same fields; all of them are fed here, for there is no older form to keep.
fn feed_lot_key(digester: &mut Digester, key: &LotKey) {
    let LotKey { wallet, issuer, funding_rate_bps, available_from_minute, inactive_days, expires_at } = *key;
    digester.number(wallet.0).number(issuer.0).number(funding_rate_bps);
    digester.number(available_from_minute).number(fed_days(inactive_days)).number(expires_at.0);
}

/// 0 and 1 were all that there was before lots had a number of days, which is fed one larger.
fn fed_days(inactive_days: u16) -> u32 {
    match inactive_days {
        0 => 0,
        LotKey::AS_IN_FORCE => 1,
        days => u32::from(days) + 1,
    }
}
