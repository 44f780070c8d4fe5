//! The scripts that check everything else: none ends well without having checked what it is there for.

use std::process::Command;

use crate::advisories::said;
use crate::harness::{repository, text};

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
