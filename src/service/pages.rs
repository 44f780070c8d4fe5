//! Tokens of pages of lists that leave out what the caller may not see.
//!
//! What must stay true: a token is good for whom and what it was given for, and for nothing else; nobody who has no key
//! of the data directory makes one, or reads out of one where the next page begins: that may be a record that is left out.

use super::program::hex;
use super::status::Failure;
use crate::ids::IdHasher;
use crate::ledger::types::Position;
use crate::limits;

/// The longest token: two digits a byte of the seal and of a place, which names at most a transaction and, in ten bytes, whose
/// it is.
const TOKEN_BYTES_MAX: usize = 2 * (8 + 10 + limits::TRANSACTION_ID_BYTES_MAX);

/// What a token is for.
#[derive(Clone, Copy)]
pub(super) struct Pages<'a> {
    pub hasher: &'a IdHasher,
    /// Which list.
    pub list: &'static str,
    /// For whom: a partner, or nobody in particular.
    pub partner: &'a str,
    /// Of what: an account, or a transaction.
    pub of: &'a str,
}

impl Pages<'_> {
    /// The token of a page that begins at a position.
    pub(super) fn token(&self, position: Position) -> String {
        self.token_of(&position.0.to_be_bytes())
    }

    /// Where the page of a token begins; `None` where the caller has none.
    pub(super) fn position(&self, token: &str) -> Result<Option<Position>, Failure> {
        let position = |place: Vec<u8>| place.try_into().map(u64::from_be_bytes).map(Position).map_err(|_| bad_token());
        self.place(token)?.map(position).transpose()
    }

    /// The token of a page that begins at a place, as the list writes it.
    pub(super) fn token_of(&self, place: &[u8]) -> String {
        let seal = self.seal(place);
        hex(&[&seal.to_be_bytes(), &*self.masked(seal, place)].concat())
    }

    /// Where the page of a token begins, as the list wrote it; `None` where the caller has none.
    pub(super) fn place(&self, token: &str) -> Result<Option<Vec<u8>>, Failure> {
        if token.is_empty() {
            return Ok(None);
        }
        self.opened(token).map(Some).ok_or_else(bad_token)
    }

    fn opened(&self, token: &str) -> Option<Vec<u8>> {
        let is_ours = token.len() <= TOKEN_BYTES_MAX && token.bytes().all(|byte| byte.is_ascii_hexdigit());
        let pairs = is_ours.then(|| token.as_bytes().chunks(2))?;
        let byte =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?, 16).ok();
        let bytes = pairs.map(byte).collect::<Option<Vec<u8>>>()?;
        let (seal, masked) = bytes.split_first_chunk()?;
        let seal = u64::from_be_bytes(*seal);
        let place = self.masked(seal, masked);
        (self.seal(&place) == seal).then_some(place)
    }

    fn seal(&self, place: &[u8]) -> u64 {
        self.hasher.page_seal(self.list, self.partner, self.of, place)
    }

    /// Hides a place, or shows one that is hidden.
    fn masked(&self, seal: u64, place: &[u8]) -> Vec<u8> {
        let eights = place.chunks(8).zip(0..);
        let hide = |(eight, number): (&[u8], u32)| {
            let mask = self.hasher.page_mask(seal, number);
            eight.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect::<Vec<u8>>()
        };
        eights.flat_map(hide).collect()
    }
}

pub(super) fn bad_token() -> Failure {
    Failure::field("page_token", "It is not a token that this server gave for this list.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_what_it_was_given_for() {
        let hasher = IdHasher::new(&[7; 16]);
        let pages = Pages { hasher: &hasher, list: "transactions", partner: "north", of: "m1" };
        for position in [0, 7, u64::MAX].map(Position) {
            let token = pages.token(position);
            assert_eq!(pages.position(&token), Ok(Some(position)));
            let of_others = [
                Pages { list: "related", ..pages },
                Pages { partner: "south", ..pages },
                Pages { of: "m2", ..pages },
                Pages { hasher: &IdHasher::new(&[8; 16]), ..pages },
            ];
            for other in of_others {
                assert!(other.position(&token).is_err());
            }
            for place in 0..token.len() {
                let mut forged = token.clone().into_bytes();
                forged[place] = if forged[place] == b'0' { b'1' } else { b'0' };
                assert!(pages.position(std::str::from_utf8(&forged).unwrap()).is_err(), "{place}");
            }
            assert!(!token.contains(&format!("{:x}", position.0 | 1 << 40)), "the position does not stand in it");
        }
        assert_eq!(pages.position(""), Ok(None));
        for token in ["7", "0000000000000007", "+0000000000000000000000000000007", &"g".repeat(32), &"0".repeat(33)] {
            assert!(pages.position(token).is_err(), "{token}");
        }
    }

    #[test]
    fn a_place_of_any_length_comes_back_and_does_not_stand_in_its_token() {
        let hasher = IdHasher::new(&[7; 16]);
        let pages = Pages { hasher: &hasher, list: "held", partner: "north", of: "" };
        let longest = [b'a'; 10 + limits::TRANSACTION_ID_BYTES_MAX];
        for place in [&b""[..], b"1", b"eight by", b"nine byte", &[0; 16], &longest] {
            let token = pages.token_of(place);
            assert_eq!(pages.place(&token), Ok(Some(place.to_vec())));
            assert!(Pages { partner: "south", ..pages }.place(&token).is_err());
            // Neither a place that goes on nor one that is cut is one that was given.
            for other in [format!("{token}00"), format!("{token}0"), token[..token.len() - 1].to_owned()] {
                assert!(pages.place(&other).is_err(), "{other}");
            }
            let shown = hex(place);
            assert!(place.len() < 8 || !token.contains(&shown[..16]), "{token}");
        }
        // The same bytes at another place are hidden otherwise.
        let token = pages.token_of(&[0; 16]);
        assert_ne!(token[16..32], token[32..48]);
        assert!(pages.place(&"0".repeat(TOKEN_BYTES_MAX + 2)).is_err());
        assert!(pages.position(&pages.token_of(b"nine byte")).is_err(), "that is no position");
    }
}
