//! The benchmark in the box: the shipped server as a process of its own, called over TCP, its journal verified in the
//! end; beside it the core without input and output, and recovery.
//!
//! [`world`] is the ledger that is measured and [`process`] its server; [`baskets`], [`raw`] and [`channel`] are the
//! load generator, [`run`] its threads, [`unary`] and [`stream`] its two manners; [`recorder`] is what is seen,
//! [`figures`] what is said, [`machine`] what it was measured on. [`echo`] is the ceiling.
//!
//! What must stay true: every figure states its conditions; a run whose server fails or whose journal does not verify
//! gives no figure; the load generator shares the cores with the server, and says so.

pub mod baskets;
pub mod channel;
pub mod echo;
pub mod error;
pub mod figures;
pub mod machine;
pub mod process;
pub mod raw;
pub mod recorder;
pub mod run;
pub mod stream;
pub mod unary;
pub mod world;

mod modes;

pub use error::BenchError;
pub use figures::Report;
pub use modes::{Options, bench};

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Calls that do nothing: the ceiling.
    Echo,
    /// Unary accruals, in pairs with the ceiling.
    Unary,
    /// Streams of batches.
    Stream,
}
