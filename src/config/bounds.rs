//! How much of the server one caller may take up, as far as it can be set.

use crate::limits;

/// Bounds of connections. What cannot be set stands in [`limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Connections at a time; beyond it callers wait to be accepted.
    pub connections_max: usize,
    /// Connections of one address; a further one is closed at once.
    pub connections_per_address_max: usize,
    /// How long one message of a call, and one frame, may take to arrive, in milliseconds.
    pub request_ms_max: u64,
    /// How long a part of an answer may wait for its caller to take it, in milliseconds.
    pub answer_ms_max: u64,
    /// How long a connection without calls stays open, in milliseconds.
    pub idle_ms_max: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections_max: limits::CONNECTIONS_MAX,
            connections_per_address_max: limits::CONNECTIONS_PER_ADDRESS_DEFAULT,
            request_ms_max: limits::REQUEST_MS_DEFAULT,
            answer_ms_max: limits::ANSWER_MS_DEFAULT,
            idle_ms_max: limits::IDLE_MS_DEFAULT,
        }
    }
}
