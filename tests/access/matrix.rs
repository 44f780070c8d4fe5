//! Every method under every role: the methods come from the descriptors that reflection serves, so that a new one without
//! a row in the table fails here.

use std::collections::BTreeSet;
use std::time::Duration;

use prost::Message;
use prost_types::FileDescriptorSet;
use tallystick::access::grant::{Grant, Role};
use tallystick::access::table::{self, Reach, TABLE};
use tallystick::service::wire::FILE_DESCRIPTOR_SET;
use tonic::{Code, Status};

use crate::support::{House, assert_forbidden, assert_nobody, call, grant, usual};

/// What each may call, written down a second time: a letter for each role, in the order of [`Role::ALL`], and at the end
/// one for an operator who acts for a partner: its service desk.
const EXPECTED: [(&str, &str); 53] = [
    ("LedgerService/Quote", "TGB-----"),
    ("LedgerService/QuoteBatch", "TGB-----"),
    ("LedgerService/Accrue", "TGB-----"),
    ("LedgerService/AccrueBatch", "TGB-----"),
    ("LedgerService/Reverse", "TGB-----"),
    ("LedgerService/CommandStream", "-GB-----"),
    ("LedgerService/Redeem", "-GB-----"),
    ("LedgerService/Authorize", "-GB-----"),
    ("LedgerService/Capture", "-GB-----"),
    ("LedgerService/Void", "-GB-----"),
    ("LedgerService/TopUp", "TGB-----"),
    ("LedgerService/RecordActivity", "-GB-----"),
    ("LedgerService/GetBalance", "-GB--U--"),
    ("LedgerService/ListRewards", "-GB-----"),
    ("LedgerService/GetTransaction", "-GB-----"),
    ("LedgerService/ListTransactions", "-GB--U--"),
    ("LedgerService/ListRelatedTransactions", "-GB-----"),
    ("LedgerService/ExplainTransaction", "-GB-----"),
    ("AccountService/Enrol", "-GB-----"),
    ("AccountService/UpdateAccount", "-GB-----"),
    ("AccountService/GetAccount", "-GB--U--"),
    ("AccountService/LoadOpeningBalance", "--B-----"),
    ("AccountService/LinkIdentifier", "-GB-----"),
    ("AccountService/UnlinkIdentifier", "-GB-----"),
    ("OperatorService/ListHeld", "--B-OU-D"),
    ("OperatorService/ReleaseHeld", "-------D"),
    ("OperatorService/RejectHeld", "-------D"),
    ("OperatorService/RestoreExpired", "-------D"),
    ("OperatorService/AdjustBalance", "-------D"),
    ("OperatorService/IssueVoucher", "-------D"),
    ("OperatorService/CancelVoucher", "-------D"),
    ("FraudService/Freeze", "----O---"),
    ("FraudService/Thaw", "----O---"),
    ("FraudService/ListFreezes", "----OU--"),
    ("FraudService/ListReceiptClaims", "----OU--"),
    ("FraudService/ListVelocityDenials", "----OU--"),
    ("ApprovalService/ListProposals", "---POUAD"),
    ("ApprovalService/ConfirmProposal", "---PO-AD"),
    ("ApprovalService/RejectProposal", "---PO-AD"),
    ("ProgramService/CheckProgram", "---P----"),
    ("ProgramService/PublishProgram", "---P----"),
    ("ProgramService/GetProgram", "--BPOU-D"),
    ("ProgramService/ListPrograms", "--BPOU-D"),
    ("AdminService/GetStatus", "----OUA-"),
    ("AdminService/ExportAccounts", "-----U--"),
    ("AdminService/TakeSnapshot", "----O---"),
    ("AdminService/CreateBackup", "----O---"),
    ("SettlementService/GetSettlementReport", "--B-OU-D"),
    ("SettlementService/ListBudgets", "--B-OU-D"),
    ("AccessService/CreateKey", "------A-"),
    ("AccessService/RotateKey", "------A-"),
    ("AccessService/RevokeKey", "------A-"),
    ("AccessService/ListKeys", "-----UA-"),
];

const REFLECTION: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// The paths of all methods that the descriptors know.
fn described(set: &[u8]) -> BTreeSet<String> {
    let set = FileDescriptorSet::decode(set).unwrap();
    let mut paths = BTreeSet::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                paths.insert(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
            }
        }
    }
    paths
}

/// Whose letters stand in the expectation, in their order.
fn callers() -> impl Iterator<Item = Grant> {
    Role::ALL.into_iter().map(usual).chain([grant(Role::Operator, "north", &[])])
}

/// Whether the caller with this place among [`callers`] may call a method.
pub fn is_meant(path: &str, place: usize) -> bool {
    if let Some((_, letters)) = EXPECTED.iter().find(|(method, _)| path == format!("/tallystick.v1.{method}")) {
        return letters.as_bytes()[place] != b'-';
    }
    // Reflection is for people, health for everybody.
    !REFLECTION.contains(&path) || !matches!(Role::ALL.get(place), Some(Role::Till | Role::Gateway))
}

fn is_denied<T>(answer: &Result<T, Status>) -> bool {
    answer.as_ref().is_err_and(|status| [Code::Unauthenticated, Code::PermissionDenied].contains(&status.code()))
}

#[test]
fn every_method_has_a_row_and_every_row_a_method() {
    let mut methods = described(FILE_DESCRIPTOR_SET);
    assert_eq!(methods.len(), EXPECTED.len(), "a method needs a line in the expectation");
    methods.extend(described(tonic_health::pb::FILE_DESCRIPTOR_SET));
    methods.extend(REFLECTION.map(str::to_owned));
    for method in &methods {
        assert!(table::find(method).is_some(), "{method} has no row in src/access/table.rs");
    }
    let health_and_more = |row: &&table::Row| !methods.contains(row.path);
    let without: Vec<_> = TABLE.iter().filter(health_and_more).collect();
    assert!(without.iter().all(|row| row.path == "/grpc.health.v1.Health/List"), "{without:?} are no methods");
}

#[test]
fn the_table_is_what_was_meant() {
    for (method, letters) in EXPECTED {
        let row = table::find(&format!("/tallystick.v1.{method}")).unwrap_or_else(|| panic!("{method}"));
        for (role, letter) in Role::ALL.iter().zip(letters.chars()) {
            let is_desk = *role == Role::Operator && letters.ends_with('D');
            assert_eq!(row.roles.contains(role), letter != '-' || is_desk, "{method} for {role:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_role_may_call_its_methods_and_no_others() {
    let house = House::open().await;
    let channel = house.channel().await;
    let mut denied_count = 0;
    for (place, grant) in callers().enumerate() {
        let key = house.key(grant.clone()).await;
        for row in TABLE {
            let answer =
                tokio::time::timeout(Duration::from_secs(30), call(&channel, row.path, Some(&key), Vec::new()));
            let answer = answer.await.unwrap_or_else(|_| panic!("{} does not answer", row.path));
            let may = is_meant(row.path, place);
            assert_eq!(!is_denied(&answer), may, "{} as {grant:?}: {answer:?}", row.path);
            if !may {
                denied_count += 1;
                assert_forbidden(answer);
            }
        }
    }
    assert!(denied_count > 100, "{denied_count} calls were denied");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_credential_there_is_only_health() {
    let house = House::open().await;
    let channel = house.channel().await;
    let good = house.key(usual(Role::Administrator)).await;
    let other_secret = format!("{}{}", &good[..good.len() - 4], "0000");
    let other_id = good.replacen(&good[4..8], "0000", 1);
    for row in TABLE {
        for key in [None, Some(other_secret.as_str()), Some(other_id.as_str()), Some("tsk_"), Some("e30.e30.")] {
            let answer = call(&channel, row.path, key, Vec::new()).await;
            if row.is_public() {
                assert!(!is_denied(&answer), "{}: {answer:?}", row.path);
            } else {
                assert_nobody(answer);
            }
        }
    }
    // What does not exist is told to those who are somebody.
    let unknown = "/tallystick.v1.LedgerService/Steal";
    assert_nobody(call(&channel, unknown, None, Vec::new()).await);
    let answer = call(&channel, unknown, Some(&good), Vec::new()).await;
    assert_eq!(answer.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_held_to_stores_may_call_nothing_that_names_none() {
    let house = House::open().await;
    let channel = house.channel().await;
    for role in [Role::Till, Role::Gateway, Role::BackOffice] {
        let key = house.key(grant(role, "north", &["store-1"])).await;
        for row in TABLE.iter().filter(|row| row.roles.contains(&role)) {
            let answer = call(&channel, row.path, Some(&key), Vec::new()).await;
            let names_none = [Reach::Partner, Reach::Desk, Reach::Ledger].contains(&row.reach);
            assert_eq!(is_denied(&answer), names_none, "{} as {role:?}: {answer:?}", row.path);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_nothing_lets_everybody_do_everything() {
    let shop = crate::shop::Shop::open().await;
    let channel = crate::shop::connect(&shop.running).await;
    for row in TABLE {
        assert!(!is_denied(&call(&channel, row.path, None, Vec::new()).await), "{}", row.path);
    }
}
