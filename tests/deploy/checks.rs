//! The scripts that check everything else: none ends well without having checked what it is there for.

use std::process::{Command, Output};

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

/// Fuzzes one target, with what can be built and with what the built program says that it reached.
fn fuzz(builds: &str, reached: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = script("tests/fuzz/run.sh");
    command.arg("key").env("CARGO_TARGET_DIR", folder.path());
    command.env("STAND_IN_BUILDS", builds).env("STAND_IN_REACHED", reached).output().unwrap()
}

#[test]
fn fuzzing_is_left_out_only_where_libfuzzer_itself_cannot_be_built() {
    let left_out = fuzz("nothing", "");
    assert!(left_out.status.success() && said(&left_out).starts_with("Left out: "), "{}", said(&left_out));
    let broken = fuzz("libfuzzer", "");
    assert!(!broken.status.success(), "{}", said(&broken));
    assert!(said(&broken).contains("the fuzz targets cannot be built"), "{}", said(&broken));
}

#[test]
fn fuzzing_that_reaches_nothing_fails() {
    let good = fuzz("all", "12");
    assert!(good.status.success(), "{}", said(&good));
    assert!(said(&good).contains("key: 7 inputs, 12 places reached, no crash"), "{}", said(&good));
    for reached in ["", "0"] {
        let idle = fuzz("all", reached);
        assert!(!idle.status.success() && said(&idle).contains("nothing was fuzzed"), "{}", said(&idle));
    }
}
