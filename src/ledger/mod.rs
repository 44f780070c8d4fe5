//! The pure domain: no input or output, async, clock, randomness, logging or threads.
pub mod types;
