//! Attacks against the real server, each with a well-behaved till beside it that goes on calling: every call of the till
//! is answered, memory stays within bounds, and afterwards the journal is whole.
//!
//! What is judged is what happens, and bounds of time that only a server that hangs would miss.
#![cfg(all(feature = "server", feature = "rocksdb"))]

#[path = "../blackbox/mod.rs"]
mod blackbox;
#[path = "../operations/scraped.rs"]
#[allow(dead_code, reason = "only single samples are looked at here")]
mod scraped;
#[path = "../grpc_api/support.rs"]
#[allow(dead_code, reason = "every test file uses a part of this support of its own")]
mod shop;
#[path = "../access/signer.rs"]
#[allow(dead_code, reason = "one kind of signature is enough here")]
mod signer;

mod credentials;
mod crowd;
mod floods;
mod garbage;
mod ids;
mod not_found;
mod oversize;
mod rush;
mod scene;
mod slow;
mod streams;
mod turns;
mod unread;
mod wire;
