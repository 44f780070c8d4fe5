//! The server as its callers see it: a real server on a free port, a real client, and the contract's promises.
//!
//! Most tests run it in this process on a store in memory; those about the process itself run the built program.

mod support;

mod accounts;
mod admin;
mod catalogue;
mod commands;
mod deadlines;
mod explain;
mod given_up;
mod holds;
mod identifiers;
mod many;
mod midnight;
mod money;
mod operator;
mod pending;
mod process;
mod programs;
mod reads;
mod redemptions;
mod returns;
mod scarcity;
mod shapes;
mod stamps;
mod statements;
mod unburns;
mod vouchers;
mod waiting;
mod zones;
