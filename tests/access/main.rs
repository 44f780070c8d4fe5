//! Who may do what: every method under every role, own and others' stores and partners, keys through their life, tokens,
//! TLS, and that no secret is ever logged. All of it through real servers over TCP.
#![cfg(all(feature = "server", feature = "rocksdb"))]

mod approvals;
mod bearers;
mod cells;
mod certificates;
#[path = "../grpc_api/support.rs"]
#[allow(dead_code, reason = "every test file uses a part of this support of its own")]
mod shop;
mod signer;
mod support;
mod world;

mod coalition;
mod confirming;
mod denied;
mod desk;
mod freezes;
mod generated;
mod halted;
mod keys;
mod limits;
mod matrix;
mod money;
mod names;
mod process;
mod review;
mod scope;
mod statements;
mod timing;
mod tls;
mod tokens;
mod vouchers;
