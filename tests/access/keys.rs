//! Keys through their life: issued, used, replaced, expired, revoked; over a restart, a snapshot and an audit.

use std::time::Duration;

use tallystick::access::grant::{Grant, Role};
use tallystick::audit::verify::{VerifyOptions, verify};
use tallystick::service::wire;
use tallystick::service::wire::access_service_client::AccessServiceClient;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tonic::Code;
use tonic::transport::Channel;

use crate::shop::{accrual, now_seconds, time};
use crate::support::{House, assert_nobody, assert_refused, call, grant, usual, with_key};

const BALANCE: &str = "/tallystick.v1.LedgerService/GetBalance";

async fn is_somebody(channel: &Channel, key: &str) -> bool {
    // A call that comes through is refused for its empty fields.
    match call(channel, BALANCE, Some(key), Vec::new()).await.unwrap_err().code() {
        Code::InvalidArgument => true,
        Code::Unauthenticated => false,
        other => panic!("{other:?}"),
    }
}

fn wire_grant(role: Role, partner: &str) -> Option<wire::Grant> {
    let role = i32::from(role.number());
    Some(wire::Grant { role, partner: partner.to_owned(), ..<_>::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_issues_replaces_and_revokes_keys() {
    let house = House::open().await;
    let channel = house.channel().await;
    let (admin_id, admin) =
        house.key_until(usual(Role::Administrator), tallystick::access::keys::KeyIssue::NEVER).await;
    let mut access = AccessServiceClient::new(channel.clone());
    let create = wire::CreateKeyRequest {
        name: "gate 7".to_owned(),
        grant: wire_grant(Role::Gateway, "north"),
        ..<_>::default()
    };
    let made = access.create_key(with_key(&admin, create)).await.unwrap().into_inner();
    let key = made.key.unwrap();
    assert_eq!((key.creator, key.live, key.last_use_time), (format!("key:{admin_id}"), true, None));
    assert!(is_somebody(&channel, &made.api_key).await);

    // Both are good during the overlap.
    let overlap = Some(prost_types::Duration { seconds: 3_600, nanos: 0 });
    let rotate = wire::RotateKeyRequest { key_id: key.key_id.clone(), overlap, ..<_>::default() };
    let next = access.rotate_key(with_key(&admin, rotate.clone())).await.unwrap().into_inner();
    assert!(is_somebody(&channel, &made.api_key).await && is_somebody(&channel, &next.api_key).await);
    assert_refused(access.rotate_key(with_key(&admin, rotate)).await, Code::FailedPrecondition, "KEY_CHANGE_REFUSED");

    // Revocation takes effect at once, on connections that were open too.
    let revoke = wire::RevokeKeyRequest { key_id: key.key_id.clone() };
    for _ in 0..2 {
        let revoked = access.revoke_key(with_key(&admin, revoke.clone())).await.unwrap().into_inner().key.unwrap();
        assert!(!revoked.live && revoked.revoke_time.is_some() && revoked.revoker == format!("key:{admin_id}"));
    }
    assert!(!is_somebody(&channel, &made.api_key).await && is_somebody(&channel, &next.api_key).await);

    // A rotation without an overlap ends the old one at once.
    let key_id = next.key.unwrap().key_id;
    let last = access.rotate_key(with_key(&admin, wire::RotateKeyRequest { key_id, ..<_>::default() })).await.unwrap();
    assert!(!is_somebody(&channel, &next.api_key).await && is_somebody(&channel, &last.get_ref().api_key).await);

    let listed = access.list_keys(with_key(&admin, wire::ListKeysRequest::default())).await.unwrap().into_inner().keys;
    assert_eq!(listed.iter().map(|key| key.live).collect::<Vec<_>>(), [true, false, false, true]);
    assert!(listed[3].last_use_time.is_some() && listed[1].replacement_key_id == listed[2].key_id);
    let text = format!("{listed:?}");
    for secret in [&admin, &made.api_key, &last.get_ref().api_key] {
        assert!(!text.contains(&secret[21..]), "a list shows no secret");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused() {
    let house = House::open().await;
    let admin = house.key(usual(Role::Administrator)).await;
    let mut access = AccessServiceClient::new(house.channel().await);
    let request = |role, partner| wire::CreateKeyRequest {
        name: "k".to_owned(),
        grant: wire_grant(role, partner),
        ..<_>::default()
    };
    for wrong in [request(Role::Till, "north"), request(Role::Gateway, ""), request(Role::Auditor, "north")] {
        assert_refused(
            access.create_key(with_key(&admin, wrong)).await,
            Code::FailedPrecondition,
            "KEY_CHANGE_REFUSED",
        );
    }
    let expired = wire::CreateKeyRequest { expire_time: time(now_seconds() - 5), ..request(Role::Operator, "") };
    assert_refused(access.create_key(with_key(&admin, expired)).await, Code::FailedPrecondition, "KEY_CHANGE_REFUSED");
    let answer = access.create_key(with_key(&admin, wire::CreateKeyRequest::default())).await;
    assert_eq!(crate::shop::wrong_fields(&answer.unwrap_err()), ["name", "grant.role"]);
    for key_id in ["", "0123456789abcdef", "zz"] {
        let revoke = wire::RevokeKeyRequest { key_id: key_id.to_owned() };
        assert_refused(access.revoke_key(with_key(&admin, revoke)).await, Code::NotFound, "KEY_UNKNOWN");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_ends_by_itself_when_it_expires() {
    let house = House::open().await;
    let channel = house.channel().await;
    let now = house.running.engine().clock.now();
    let soon = tallystick::ledger::types::TimestampNs(now.0 + 1_500_000_000);
    let (_, key) = house.key_until(usual(Role::Gateway), soon).await;
    assert!(is_somebody(&channel, &key).await);
    let mut is_over = false;
    for _ in 0..600 {
        if !is_somebody(&channel, &key).await {
            is_over = true;
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(is_over && house.running.engine().clock.now() >= soon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_key_is_revoked() {
    let house = House::open().await;
    let channel = house.channel().await;
    let (id, key) = house.key_until(usual(Role::Gateway), tallystick::access::keys::KeyIssue::NEVER).await;
    let mut ledger = LedgerServiceClient::new(channel);
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    let message = |id: &str| wire::CommandStreamRequest {
        commands: vec![wire::Command { command: Some(wire::command::Command::Accrue(accrual(id, "m1", 500))) }],
    };
    let requests = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let mut results = ledger.command_stream(with_key(&key, requests)).await.unwrap().into_inner();
    sender.send(message("t1")).await.unwrap();
    assert_eq!(results.message().await.unwrap().unwrap().results.len(), 1);
    let engine = house.running.engine().clone();
    tokio::task::spawn_blocking(move || tallystick::service::revoke_key(&engine, id, "test")).await.unwrap().unwrap();
    sender.send(message("t2")).await.unwrap();
    assert_nobody(results.message().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_outlive_restarts_with_and_without_a_snapshot_and_history_verifies() {
    let mut house = House::open().await;
    let live = house.key(grant(Role::Gateway, "north", &[])).await;
    let (dead_id, dead) =
        house.key_until(Grant::of_role(Role::Operator), tallystick::access::keys::KeyIssue::NEVER).await;
    for round in 0..3 {
        house = house.reopen().await;
        let channel = house.channel().await;
        assert!(is_somebody(&channel, &live).await, "round {round}");
        let engine = house.running.engine().clone();
        if round == 0 {
            let revoked =
                tokio::task::spawn_blocking(move || tallystick::service::revoke_key(&engine, dead_id, "test"));
            revoked.await.unwrap().unwrap();
        } else if round == 1 {
            tokio::task::spawn_blocking(move || engine.snapshot()).await.unwrap().unwrap();
        }
        assert_nobody(call(&channel, "/tallystick.v1.AdminService/GetStatus", Some(&dead), Vec::new()).await);
    }
    let keys = house.running.engine().shared.keys.look(|keys| keys.changes().len());
    assert_eq!(keys, 3, "two were issued, one was revoked");
    // When each was used last is known after an orderly stop, whoever has called since.
    let uses = |house: &House| house.running.engine().shared.keys.look(tallystick::access::keys::Keys::uses);
    let before = uses(&house);
    assert!(!before.is_empty());
    house = house.reopen().await;
    assert_eq!(uses(&house), before);
    let store = house.store.clone();
    house.running.shutdown().await.unwrap();
    let report = verify(&store, &VerifyOptions::default(), &mut |_, _| {}).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!(report.records.keys, 3);
}
