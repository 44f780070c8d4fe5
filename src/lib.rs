//! Tallystick: a loyalty-points ledger. Tills call it over gRPC; it decides what a basket earns, makes the result
//! durable, and answers.
//!
//! Modules in reading order: the pure domain first, then what keeps it, then what drives it, then the edges.
#![deny(unsafe_code, clippy::unwrap_used, clippy::panic, clippy::todo, clippy::unimplemented)]
#![warn(missing_docs)]

pub mod codec;
pub mod limits;

pub mod ledger;
pub mod program;

pub mod access;

pub mod metrics;

pub mod store;

pub mod cells;
pub mod ids;
pub mod journal;
pub mod snapshot;

pub mod replay;

pub mod recovery;

pub mod clock;
pub mod shard;

pub mod audit;
pub mod backup;
pub mod sim;

#[cfg(feature = "server")]
pub mod service;

#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod telemetry;

#[cfg(feature = "server")]
pub mod bench;

#[cfg(feature = "server")]
pub mod cli;
