//! The pure domain: what a command means and what it changes. No input or output, async, clock, randomness, logging
//! or threads; a reader can learn the whole product here.
//!
//! Reading order: [`types`], [`program`] (the compiled rules), [`command`], [`decision`], [`refusal`], [`account`], [`partner`],
//! [`state`], [`digest`]; then [`authorization`], of what is set aside, and [`refund`], of what comes back in parts; [`money`], of what is
//! paid in, [`voucher`], and [`stamps`]; then [`operator`], [`held`] and [`freeze`], of what an operator decides.
//!
//! The invariants this room carries; tests and code cite them by number:
//!
//! 1. *Survives.* A reply leaves only after the frame that holds its record is synced. (Kept by `shard`.)
//! 2. *Once.* A transaction id takes effect at most once, a receipt earns at most once. (Kept by `ids`.)
//! 3. *Definite.* Every refusal says whether it was journaled and what to do: [`refusal::Refusal`].
//! 4. *Balanced.* What an account gains, a partner sub-account of the same shard loses; no lot is negative.
//! 5. *Deterministic.* [`state::ShardState::decide`] is a function of its arguments; replay gives the same digest.
//! 6. *Exact caps.* A cap or budget is never exceeded by one unit, and its last unit can be granted.
//! 7. *Tamper-evident.* (Kept by `journal` and `audit`.)
//! 8. *Bounded.* Every size has a limit in [`crate::limits`].
//! 9. *Isolated.* (Kept by `service`.)
//! 10. *Integers only.* Rates are integer fractions or basis points; rounding is named and happens once.
#![deny(clippy::float_arithmetic, clippy::as_conversions, clippy::cast_possible_truncation)]

pub mod account;
pub mod authorization;
pub mod command;
mod decide;
pub mod decision;
pub mod digest;
pub mod draws;
pub mod earn;
pub mod freeze;
pub mod held;
pub mod lot;
pub mod money;
pub mod operator;
pub mod packed;
pub mod partner;
pub mod pending;
pub mod program;
pub mod refund;
pub mod refusal;
pub mod stamps;
pub mod state;
pub mod types;
pub mod unburn;
pub mod voucher;
pub mod zone;

pub use decide::{level_of, periods_of, standing_of};

/// The version of the deciding code. A change that makes any past command decide differently raises it, and the old
/// code stays reachable for re-deciding old frames.
pub const ENGINE_VERSION: u16 = 1;
