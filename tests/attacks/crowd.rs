//! More connections than one address may have, and than there may be in all.

use std::time::Duration;

use tallystick::service::wire::ledger_service_client::LedgerServiceClient;

use crate::scene::Scene;
use crate::shop::accrual;
use crate::wire::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_takes_all_it_can_leaves_room_for_others() {
    let scene = Scene::open(&[("connections_per_address_max", "50")]).await;
    let attacker = "127.0.0.66";
    let mut held = Vec::new();
    let mut turned_away = 0;
    for _ in 0..200 {
        let mut wire = Wire::connect_from(attacker, scene.address()).await;
        wire.begin(&[]).await;
        match wire.settle().await {
            Some(_) => held.push(wire),
            None => turned_away += 1,
        }
    }
    assert_eq!((held.len(), turned_away), (50, 150));
    assert_eq!(scene.sample("tallystick_connections_refused_total"), 150);
    // A caller from elsewhere finds its place.
    let mut ledger = LedgerServiceClient::new(scene.channel().await);
    let decision = ledger.accrue(accrual("elsewhere", "anna", 300)).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(decision.granted_points, 3);
    // And so does the same address, once it has let one go.
    held.pop();
    let mut has_place = false;
    for _ in 0..3_000 {
        let mut wire = Wire::connect_from(attacker, scene.address()).await;
        wire.begin(&[]).await;
        if wire.settle().await.is_some() {
            has_place = true;
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(has_place);
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_silent_callers_is_let_go_and_those_who_wait_come_in() {
    // Ten places in all, of which the till has one; whoever is silent has his for half a second.
    let scene = Scene::open(&[("connections_max", "10"), ("idle_ms_max", "500")]).await;
    let mut crowd = Vec::new();
    for number in 0..30_u8 {
        let mut wire = Wire::connect_from(&format!("127.0.1.{number}"), scene.address()).await;
        wire.begin(&[]).await;
        crowd.push(wire);
    }
    // Behind all of them, in the operating system's queue.
    let mut ledger = LedgerServiceClient::new(scene.channel().await);
    let answer = tokio::time::timeout(SOON, ledger.accrue(accrual("late", "anna", 300))).await;
    assert_eq!(answer.expect("its turn comes").unwrap().into_inner().decision.unwrap().granted_points, 3);
    drop(crowd);
    scene.close().await;
}
