//! Tokens of pages of lists that leave out what the caller may not see.
//!
//! What must stay true: a token is good for whom and what it was given for, and for nothing else; nobody who has no key
//! of the data directory makes one, or reads out of one where the next page begins: that may be a record that is left out.

use super::status::Failure;
use crate::ids::IdHasher;
use crate::ledger::types::Position;

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
        let seal = self.seal(position);
        format!("{seal:016x}{:016x}", position.0 ^ self.hasher.page_mask(seal))
    }

    /// Where the page of a token begins; `None` where the caller has none.
    pub(super) fn position(&self, token: &str) -> Result<Option<Position>, Failure> {
        if token.is_empty() {
            return Ok(None);
        }
        self.opened(token).map(Some).ok_or_else(bad_token)
    }

    fn opened(&self, token: &str) -> Option<Position> {
        let is_ours = token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = if is_ours { u128::from_str_radix(token, 16).ok()? } else { return None };
        let seal = u64::try_from(number >> 64).ok()?;
        let masked = u64::try_from(number & u128::from(u64::MAX)).ok()?;
        let position = Position(masked ^ self.hasher.page_mask(seal));
        (self.seal(position) == seal).then_some(position)
    }

    fn seal(&self, position: Position) -> u64 {
        self.hasher.page_seal(self.list, self.partner, self.of, position)
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
}
