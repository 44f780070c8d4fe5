//! The scripts that check everything else: none ends well without having checked what it is there for.

use std::process::Command;

use crate::advisories::said;
use crate::harness::{repository, text};

/// A script, with a program that stands in for cargo: nothing is built.
fn script(path: &str) -> Command {
    let search = std::env::var("PATH").unwrap();
    let mut command = Command::new(repository(path));
    command.env("PATH", format!("{}:{search}", text(&repository("tests/deploy/stand-in"))));
    command.env("STAND_IN_BUILDS", "nothing");
    command
}

#[test]
fn a_number_that_is_none_ends_a_run_before_anything_is_left_out_for_it() {
    for (path, name, value) in [
        ("tests/run.sh", "SIM_SEEDS", "ten"),
        ("tests/run.sh", "SIM_SEEDS", "-1"),
        ("tests/run.sh", "FUZZ_SECONDS", "5s"),
        ("tests/run.sh", "FUZZ_SECONDS", "99999999999999999999"),
        ("tests/run.sh", "TEST_SECONDS_MAX", "an hour"),
        ("tests/sim.sh", "SIM_SEEDS", "ten"),
        ("tests/sim.sh", "SIM_FIRST_SEED", "first"),
    ] {
        // Without a second to spare, a run that begins all the same does not come far.
        let output = script(path).env("TEST_SECONDS_MAX", "0").env(name, value).output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{path} with {name}={value}: {said}");
        assert!(said.starts_with(&format!("error: {name} must be a whole number")), "{name}={value}: {said}");
    }
}

#[test]
fn a_wire_contract_that_breaks_what_was_released_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-r").arg(repository("proto")).arg(folder.path()).status().unwrap();
    assert!(copied.success());
    let contract = folder.path().join("proto");
    let compare = || {
        let released = repository("tests/golden/wire/released.binpb");
        let mut command = Command::new(repository("deploy/buf.sh"));
        command.args(["breaking", text(&contract), "--against", text(&released)]).output().unwrap()
    };
    let same = compare();
    assert!(same.status.success(), "{}", said(&same));

    let file = contract.join("tallystick/v1/ledger_service.proto");
    let source = std::fs::read_to_string(&file).unwrap();
    let (before, message) = source.split_once("\nmessage RedeemRequest {").expect("there is the message");
    assert!(message.contains("int64 points = 4;"), "the field has its number");
    let broken = message.replacen("int64 points = 4;", "int64 points = 14;", 1);
    std::fs::write(&file, format!("{before}\nmessage RedeemRequest {{{broken}")).unwrap();
    let other = compare();
    assert!(!other.status.success() && said(&other).contains("\"RedeemRequest\""), "{}", said(&other));
}
