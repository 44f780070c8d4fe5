//! The bytes of every format that was ever written: they may grow new kinds, but what is there never changes.
//!
//! Each file of `tests/golden` holds one thing in hexadecimal digits. A test encodes what it describes, compares, and
//! decodes the file again. `TALLYSTICK_BLESS=1 cargo test --test golden` writes the files anew; do that for a new kind,
//! never to make a failing comparison pass: a directory of an earlier release would no longer open.
//! `docs/format.md` gives the layouts, and `docs/format-ids.md` that of the index of ids.

#[path = "../support/mod.rs"]
mod support;

mod directory;
mod frames;
mod freezes;
mod holds;
mod ids;
mod money;
mod movements;
mod operator;
mod partners;
mod profiles;
mod random;
mod records;
mod returns;
mod samples;
mod stamps;
mod state;
mod unburns;
mod vouchers;

use std::path::PathBuf;

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "golden", name].iter().collect()
}

fn is_blessing() -> bool {
    std::env::var_os("TALLYSTICK_BLESS").is_some_and(|value| value == "1")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("digits");
    digits.chunks_exact(2).map(byte).collect()
}

/// Compares with the file, or writes it; gives the file's bytes.
#[track_caller]
fn golden(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = path(&format!("{name}.hex"));
    if is_blessing() {
        let lines: Vec<String> = bytes.chunks(32).map(hex).collect();
        std::fs::write(&path, lines.join("\n") + "\n").expect("the file can be written");
    }
    let kept = kept(name);
    assert_eq!(hex(bytes), hex(&kept), "{name} is not encoded as it always was");
    kept
}

/// The file's bytes.
#[track_caller]
fn kept(name: &str) -> Vec<u8> {
    let path = path(&format!("{name}.hex"));
    unhex(&std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}
