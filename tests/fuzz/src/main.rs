//! Lets libFuzzer look for bytes that a target cannot take: `TARGET=request tallystick-fuzz CORPUS`, see `run.sh`.
#![no_main]

mod targets;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

fn chosen() -> fn(&[u8]) {
    static CHOSEN: OnceLock<fn(&[u8])> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let name = std::env::var("TARGET").expect("TARGET names what is fuzzed");
        let found = targets::TARGETS.iter().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("there is no target {name}")).1
    })
}

fuzz_target!(|bytes: &[u8]| chosen()(bytes));
