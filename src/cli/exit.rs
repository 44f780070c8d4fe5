//! The numbers with which the program ends. They are part of its contract: scripts and service managers go by them.
//!
//! What must stay true: a number never changes its meaning. From 64 on they are those of `sysexits.h`.

use std::io::Write;

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
/// The data directory or another file cannot be made, is read-only, or is in use by another process.
pub const CANNOT_CREATE: u8 = 73;
/// Input or output failed, the disk is full, or the store stopped after a failure.
pub const IO_FAILURE: u8 = 74;
/// The data directory is damaged, lacks acknowledged records, or was made by a newer version.
pub const DAMAGED: u8 = 76;
/// The configuration is wrong.
pub const CONFIGURATION: u8 = 78;

/// Ends the process with a number, whatever its other threads do. An ordinary end takes apart what threads of the store may
/// stand in, and may so become an abort, or wait for them: after a failure they stand there.
pub fn leave(number: u8) -> ! {
    // Nobody is left to be told that it cannot be written.
    let _ = std::io::stdout().flush();
    let _ = std::io::stderr().flush();
    signal_hook::low_level::exit(i32::from(number))
}
