//! Names of ids and what is remembered about one: a keyed 128-bit hash, and the position of the record that used it.
//!
//! What must stay true:
//! - two different ids never feed the hash the same bytes: each kind starts with its own byte and every string is
//!   preceded by its length;
//! - the bytes fed and the hash never change: they are what the runs on disk are sorted by (golden test below);
//! - among entries of one key the one with the larger packed value is the newer.

use std::hash::{Hash, Hasher};

use siphasher::sip128::{Hasher128, SipHasher24};

use crate::ledger::types::{IdentifierKey, MemberKey, Position};

/// Positions from here on cannot be packed. 2^63 records are never reached.
const POSITION_LIMIT: u64 = u64::MAX >> 1;

/// First byte fed to the hash: the kind of id. Numbers are permanent.
const KIND_TRANSACTION: u8 = 1;
const KIND_RECEIPT: u8 = 2;
const KIND_REVERSAL: u8 = 3;
const KIND_RELEASE: u8 = 20;
const KIND_RESTORATION: u8 = 21;
const KIND_CAPTURE: u8 = 40;
const KIND_MEMBER: u8 = 4;
const KIND_IDENTIFIER: u8 = 5;
/// No names of ids, and never stored: what seals the tokens of pages.
const KIND_PAGE_SEAL: u8 = 60;
const KIND_PAGE_MASK: u8 = 61;

/// The name of one id: 128 bits of SipHash-2-4 under the key of the data directory. Ordered as bytes.
///
/// At a thousand million ids the chance that any two share a name is below 2^-69.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdKey(pub [u8; 16]);

/// As bytes, compared as one number: runs are sorted and merged by it.
impl Ord for IdKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        u128::from_be_bytes(self.0).cmp(&u128::from_be_bytes(other.0))
    }
}

impl PartialOrd for IdKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl From<IdentifierKey> for IdKey {
    fn from(key: IdentifierKey) -> Self {
        Self(key.0)
    }
}

impl IdKey {
    /// The first eight bytes as a number that orders like the bytes.
    pub(super) fn high(self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// The last eight bytes as a number, independent of [`IdKey::high`].
    pub(super) fn low(self) -> u64 {
        let [.., a, b, c, d, e, f, g, h] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl Hash for IdKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The bytes are a keyed hash already; the last eight are the ones that no partition is chosen by.
        state.write_u64(self.low());
    }
}

/// Names ids under the secret key of one data directory.
///
/// The key keeps callers from choosing ids that collide, and keeps names of one directory meaningless in another.
#[derive(Clone)]
pub struct IdHasher {
    keyed: SipHasher24,
}

impl IdHasher {
    /// A hasher under the data directory's key.
    #[must_use]
    pub fn new(key: &[u8; 16]) -> Self {
        Self { keyed: SipHasher24::new_with_key(key) }
    }

    /// The name of a caller's transaction id; ids are unique per partner.
    #[must_use]
    pub fn transaction(&self, partner: &str, id: &str) -> IdKey {
        self.named(KIND_TRANSACTION, &[partner, id], &[])
    }

    /// The name of a receipt. `business_day` counts days since 1970-01-01 in the programme's time zone.
    #[must_use]
    pub fn receipt(&self, partner: &str, store: &str, terminal: &str, business_day: i32, number: &str) -> IdKey {
        self.named(KIND_RECEIPT, &[partner, store, terminal, number], &business_day.to_le_bytes())
    }

    /// The name of "this transaction has been reversed whole", which can happen once.
    #[must_use]
    pub fn reversal(&self, partner: &str, original_transaction_id: &str) -> IdKey {
        self.named(KIND_REVERSAL, &[partner, original_transaction_id], &[])
    }

    /// The name of "what was held of this transaction has been released", which can happen once.
    #[must_use]
    pub fn release(&self, partner: &str, original_transaction_id: &str) -> IdKey {
        self.named(KIND_RELEASE, &[partner, original_transaction_id], &[])
    }

    /// The name of "what this partner had issued of the units whose expiry the record at this position posted has come
    /// back", which can happen once.
    #[must_use]
    pub fn restoration(&self, partner: &str, expiry: Position) -> IdKey {
        self.named(KIND_RESTORATION, &[partner], &expiry.0.to_le_bytes())
    }

    /// The name of "the last capture or void of this transaction". Nobody claims it.
    #[must_use]
    pub fn capture(&self, partner: &str, authorization_transaction_id: &str) -> IdKey {
        self.named(KIND_CAPTURE, &[partner, authorization_transaction_id], &[])
    }

    /// Whom a caller means by a member of an account: half of a name, never [`MemberKey::NONE`].
    #[must_use]
    pub fn member(&self, member_id: &str) -> MemberKey {
        MemberKey(self.named(KIND_MEMBER, &[member_id], &[]).high().max(1))
    }

    /// The name of what points to an account, such as a card with its number. It is one for all partners.
    #[must_use]
    pub fn identifier(&self, kind: &str, value: &str) -> IdentifierKey {
        IdentifierKey(self.named(KIND_IDENTIFIER, &[kind, value], &[]).0)
    }

    /// What only the data directory's key tells of a page that begins at a place of a list.
    #[must_use]
    pub fn page_seal(&self, list: &str, partner: &str, of: &str, place: &[u8]) -> u64 {
        self.named(KIND_PAGE_SEAL, &[list, partner, of], place).high()
    }

    /// What hides the place beside a seal: the bytes of each eight of it, by their number.
    #[must_use]
    pub fn page_mask(&self, seal: u64, number: u32) -> [u8; 8] {
        let (seal, number) = (seal.to_le_bytes(), number.to_le_bytes());
        self.named(KIND_PAGE_MASK, &[], &[seal.as_slice(), &number].concat()).high().to_le_bytes()
    }

    /// Names ids of one partner, of which most names begin alike.
    #[must_use]
    pub fn of_partner(&self, partner: &str) -> PartnerIds {
        let begun = |kind| fed(begun(self.keyed, kind), &[partner]);
        PartnerIds { partner: partner.into(), transaction: begun(KIND_TRANSACTION), receipt: begun(KIND_RECEIPT) }
    }

    fn named(&self, kind: u8, parts: &[&str], tail: &[u8]) -> IdKey {
        ended(fed(begun(self.keyed, kind), parts), tail)
    }
}

// What is fed is the kind, strings with their lengths, and a tail that ends them. Only `write` is used: unlike the typed
// methods of a hasher it means the same bytes on every machine.

fn begun(mut hasher: SipHasher24, kind: u8) -> SipHasher24 {
    hasher.write(&[kind]);
    hasher
}

fn fed(mut hasher: SipHasher24, parts: &[&str]) -> SipHasher24 {
    for part in parts {
        let length = u32::try_from(part.len()).expect("the edge bounds every id to far less than 4 GiB");
        hasher.write(&length.to_le_bytes());
        hasher.write(part.as_bytes());
    }
    hasher
}

fn ended(mut hasher: SipHasher24, tail: &[u8]) -> IdKey {
    hasher.write(tail);
    IdKey(hasher.finish128().as_bytes())
}

/// Names the ids of one partner's accruals, as [`IdHasher`] does.
#[derive(Clone)]
pub struct PartnerIds {
    partner: Box<str>,
    transaction: SipHasher24,
    receipt: SipHasher24,
}

impl PartnerIds {
    /// Whether they are this partner's.
    #[must_use]
    pub fn are_of(&self, partner: &str) -> bool {
        *self.partner == *partner
    }

    /// As [`IdHasher::transaction`].
    #[must_use]
    pub fn transaction(&self, id: &str) -> IdKey {
        ended(fed(self.transaction, &[id]), &[])
    }

    /// As [`IdHasher::receipt`].
    #[must_use]
    pub fn receipt(&self, store: &str, terminal: &str, business_day: i32, number: &str) -> IdKey {
        ended(fed(self.receipt, &[store, terminal, number]), &business_day.to_le_bytes())
    }
}

impl std::fmt::Debug for PartnerIds {
    /// Without what the key was fed to: it must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartnerIds").field("partner", &self.partner).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for IdHasher {
    /// Without the key: it must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdHasher")
    }
}

/// What is remembered about an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdEntry {
    /// The record that used the id, or that gave it back.
    pub position: Position,
    /// The id was given back and may be used again: a receipt that was reversed whole.
    pub freed: bool,
}

impl IdEntry {
    /// Eight bytes that order by position, and at the same position put the freeing after the use.
    pub(super) fn pack(self) -> u64 {
        assert!(self.position.0 < POSITION_LIMIT, "positions stay below 2^63");
        (self.position.0 << 1) | u64::from(self.freed)
    }

    /// The inverse of [`IdEntry::pack`].
    pub(super) fn unpack(packed: u64) -> Self {
        Self { position: Position(packed >> 1), freed: packed & 1 == 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DIRECTORY_KEY: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    fn hasher() -> IdHasher {
        IdHasher::new(&DIRECTORY_KEY)
    }

    fn hex(key: IdKey) -> String {
        key.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn golden_names_do_not_drift() {
        assert_eq!(hex(hasher().transaction("north", "t-1")), "051892460fe04989d0d9d0c00ca237a7");
        assert_eq!(hex(hasher().receipt("north", "s1", "till-4", 20_000, "0042")), "00ac05b770f341b0c43bd65c616bf89f");
        assert_eq!(hex(hasher().reversal("north", "t-1")), "8899ca9980abd43279360eb812109039");
        assert_eq!(hasher().member("ann"), MemberKey(3_504_832_330_915_475_357));
        assert_eq!(hex(hasher().identifier("card", "0042").into()), "a168dba880c26dcf0bdc28d1ead18372");
    }

    #[test]
    fn the_name_is_the_hash_of_the_documented_bytes() {
        let mut bytes = vec![KIND_RECEIPT];
        for part in ["north", "s1", "till-4", "0042"] {
            bytes.extend_from_slice(&u32::try_from(part.len()).unwrap().to_le_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes.extend_from_slice(&(-3i32).to_le_bytes());
        let whole = SipHasher24::new_with_key(&DIRECTORY_KEY).hash(&bytes).as_bytes();
        assert_eq!(hasher().receipt("north", "s1", "till-4", -3, "0042"), IdKey(whole));
    }

    #[test]
    fn what_is_begun_for_a_partner_names_as_if_it_were_not() {
        let (hasher, north) = (hasher(), hasher().of_partner("north"));
        assert_eq!(north.transaction("t-1"), hasher.transaction("north", "t-1"));
        assert_eq!(north.receipt("s1", "till-4", -3, "0042"), hasher.receipt("north", "s1", "till-4", -3, "0042"));
        assert!(north.are_of("north") && !north.are_of("nort"));
        assert!(!format!("{north:?}").contains("v0"), "what the key became is not shown");
    }

    #[test]
    fn kinds_and_directories_have_names_of_their_own() {
        assert_ne!(hasher().transaction("north", "t-1"), hasher().reversal("north", "t-1"));
        assert_ne!(hasher().transaction("north", "t-1"), IdHasher::new(&[7; 16]).transaction("north", "t-1"));
    }

    #[test]
    fn moving_a_letter_between_fields_changes_the_name() {
        assert_ne!(hasher().transaction("north", "t"), hasher().transaction("nort", "ht"));
        assert_ne!(hasher().transaction("", "north"), hasher().transaction("north", ""));
        assert_ne!(hasher().receipt("p", "s", "t1", 0, "2"), hasher().receipt("p", "s", "t", 0, "12"));
        assert_ne!(hasher().receipt("p", "s", "t", 1, "2"), hasher().receipt("p", "s", "t", 2, "2"));
    }

    #[test]
    fn high_orders_like_the_bytes_and_low_is_the_rest() {
        let key = IdKey([1, 0, 0, 0, 0, 0, 0, 2, 3, 0, 0, 0, 0, 0, 0, 4]);
        assert_eq!(key.high(), 0x0100_0000_0000_0002);
        assert_eq!(key.low(), 0x0300_0000_0000_0004);
    }

    proptest! {
        #[test]
        fn packing_keeps_the_entry_and_its_order(a in 0..POSITION_LIMIT, b in 0..POSITION_LIMIT, freed: bool) {
            let entry = IdEntry { position: Position(a), freed };
            prop_assert_eq!(IdEntry::unpack(entry.pack()), entry);
            prop_assert!(entry.pack() != u64::MAX);
            let other = IdEntry { position: Position(b), freed: !freed };
            if a != b {
                prop_assert_eq!(a < b, entry.pack() < other.pack());
            } else {
                prop_assert_eq!(freed, entry.pack() > other.pack());
            }
        }
    }

    #[test]
    #[should_panic(expected = "positions stay below")]
    fn a_position_that_cannot_be_packed_is_refused() {
        let _ = IdEntry { position: Position(POSITION_LIMIT), freed: false }.pack();
    }
}
