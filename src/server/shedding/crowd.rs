//! How many accruals a serving thread has under way, and what is said to those that are too many.
//!
//! What must stay true: whoever only begins a call takes up no place, and whoever has shown no good credential where they are
//! asked for takes up none of others; whoever is counted in is counted out, however the call ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::super::hpack::put_integer;
use crate::limits;
use crate::service::express::ACCRUE;
use crate::service::patience::overloaded;

/// Says how many accruals wait for their answers.
pub type Waiting = Box<dyn Fn() -> usize + Send + Sync>;
/// Counts calls that were refused before anybody saw them.
pub type OnShed = Box<dyn Fn() + Send + Sync>;

/// The accruals of one thread.
pub struct Crowd {
    /// Those that the transport has handed on and that nobody has looked at.
    coming: AtomicUsize,
    waiting: Waiting,
    /// Whether callers are asked for credentials.
    asks: bool,
    /// The headers of the answer to those that are too many, which are all of it.
    refusal: Bytes,
    on_shed: OnShed,
}

/// A call that was handed on, until somebody looks at it.
pub(in crate::server) struct Coming(Arc<Crowd>);

impl Drop for Coming {
    fn drop(&mut self) {
        self.0.coming.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Crowd {
    /// Nothing is coming.
    #[must_use]
    pub fn new(asks: bool, waiting: Waiting, on_shed: OnShed) -> Arc<Self> {
        Arc::new(Self { coming: AtomicUsize::new(0), waiting, asks, refusal: refusal(), on_shed })
    }

    /// Counts a call of this path, if it is one that counts: of somebody who is known, where credentials are asked for.
    pub(in crate::server) fn count(self: &Arc<Self>, path: &str, is_known: bool) -> Option<Coming> {
        if path != ACCRUE || (self.asks && !is_known) {
            return None;
        }
        self.coming.fetch_add(1, Ordering::Relaxed);
        Some(Coming(self.clone()))
    }

    /// Whether a further one is too many, where the transport has so many that it has not handed on.
    pub(super) fn is_full(&self, in_transport: usize) -> bool {
        self.coming.load(Ordering::Relaxed) + in_transport + (self.waiting)() >= limits::LANE_CALLS_MAX
    }

    pub(super) fn refusal(&self) -> &[u8] {
        &self.refusal
    }

    pub(super) fn shed(&self) {
        (self.on_shed)();
    }
}

/// The headers of the answer that a service gives, as literals that touch no table (RFC 7541, section 6.2.2).
fn refusal() -> Bytes {
    let answer = overloaded();
    // `:status: 200` of the static table.
    let mut block = vec![0x88];
    for (name, value) in answer.headers() {
        block.push(0);
        put_text(&mut block, name.as_str().as_bytes());
        put_text(&mut block, value.as_bytes());
    }
    block.into()
}

/// A text with its length before it (RFC 7541, sections 5.1 and 5.2).
fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    put_integer(out, 0, 7, text.len());
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::super::heads::Heads;
    use super::*;

    #[test]
    fn a_refusal_is_a_block_that_touches_no_table() {
        let block = refusal();
        let text = String::from_utf8_lossy(&block);
        for part in ["grpc-status", "grpc-message", "grpc-status-details-bin", "application/grpc"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!Heads::new("/").read(&block).expect("it is a block").changes_table);
        assert!(block.len() < 1_024, "it fits any frame");
    }

    #[test]
    fn lengths_are_written_as_the_standard_has_them() {
        for (count, expected) in [(5, vec![5]), (126, vec![126]), (127, vec![127, 0]), (1337, vec![127, 0xba, 9])] {
            let mut out = Vec::new();
            put_text(&mut out, &vec![b'a'; count]);
            assert_eq!(out[..out.len() - count], expected, "{count}");
        }
    }

    #[test]
    fn calls_count_from_when_they_come_until_they_are_looked_at_and_while_they_wait() {
        for asks in [false, true] {
            let crowd = Crowd::new(asks, Box::new(|| limits::LANE_CALLS_MAX - 2), Box::new(|| {}));
            assert!(crowd.count("/tallystick.v1.LedgerService/Quote", true).is_none());
            assert_eq!(crowd.count(ACCRUE, false).is_none(), asks, "strangers count where everybody is one");
            assert!(!crowd.is_full(1) && crowd.is_full(2));
            let coming = crowd.count(ACCRUE, true);
            assert!(!crowd.is_full(0) && crowd.is_full(1));
            drop(coming);
            assert!(!crowd.is_full(1));
        }
    }
}
