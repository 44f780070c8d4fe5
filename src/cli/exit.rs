//! The numbers with which the program ends. They are part of its contract: scripts and service managers go by them.
//!
//! What must stay true: a number never changes its meaning. From 64 on they are those of `sysexits.h`.

use std::process::ExitCode;

/// Everything went well.
pub const OK: u8 = 0;
/// A check or a verification ran to its end and found problems.
pub const FOUND_PROBLEMS: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 2;
/// A data file or a programme file is wrong.
pub const BAD_INPUT: u8 = 65;
/// The server cannot be reached, or the address cannot be listened on.
pub const UNAVAILABLE: u8 = 69;
/// A fault of the program itself.
pub const INTERNAL_FAULT: u8 = 70;
/// The data directory cannot be made, is read-only, or is in use by another process.
pub const CANNOT_CREATE: u8 = 73;
/// Input or output failed, the disk is full, or the store stopped after a failure.
pub const IO_FAILURE: u8 = 74;
/// The data directory is damaged, lacks acknowledged records, or was made by a newer version.
pub const DAMAGED: u8 = 76;
/// The configuration is wrong.
pub const CONFIGURATION: u8 = 78;

/// The number as the operating system takes it.
#[must_use]
pub fn code(number: u8) -> ExitCode {
    ExitCode::from(number)
}
