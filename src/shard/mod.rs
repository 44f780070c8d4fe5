//! What drives the ledger: workers that own shards, the committer, the control shard, and their assembly into threads.
//!
//! [`job`] is what travels, [`queue`] where it waits, [`worker`] decides and applies, [`committer`] makes durable, [`control`] defines numbers,
//! [`tickets`] order chunks across workers, [`snapshotter`] writes slices, [`engine`] is the assembly.
//!
//! What must stay true: only a worker touches the state of its shards; workers, committer and snapshotter are state
//! machines without threads or clocks, so that production and simulator run the same code.

pub mod committer;
pub mod control;
mod control_walk;
pub mod engine;
pub mod freezing;
pub mod housekeeper;
pub mod job;
pub mod keys;
pub mod observing;
pub mod proposing;
pub mod publishing;
pub mod queue;
pub mod snapshotter;
pub mod tickets;
pub mod worker;
