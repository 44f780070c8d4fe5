//! Accruals whose callers give them up while a worker has them, or while they wait for an id.

use std::time::Duration;

use tallystick::limits::CALLS_GIVEN_UP_MAX;
use tallystick::metrics::CutOff;

use crate::deadlines::plain;
use crate::support::watched::GatedStore;
use crate::support::*;

/// It is noticed a few calls later: each takes a moment until it is reset.
const A_FEW: usize = 256;

/// Waits until commands under way hold so many ids, and so many others wait for these.
pub async fn until_held(shop: &Shop, claim_count: usize, waiter_count: usize) {
    for _ in 0..30_000 {
        let stats = shop.running.engine().shared.ids.stats();
        if (stats.claim_count, stats.waiter_count) == (claim_count, waiter_count) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("not {claim_count} ids are held and waited for by {waiter_count}");
}

/// An accrual whose caller has given it up is decided all the same, and keeps nothing.
#[tokio::test(flavor = "multi_thread")]
async fn who_gives_up_leaves_its_accrual_and_nothing_else() {
    let gate = GatedStore::for_synced();
    let mut shop = Shop::open_on(gate.clone(), without_caps()).await;
    let ledger = plain(&shop).await;
    gate.close();
    for number in 0..20 {
        let mut ledger = ledger.clone();
        let call = tokio::spawn(async move { ledger.accrue(accrual(&format!("t{number}"), "anna", 100)).await });
        until_held(&shop, 2 * (number + 1), 0).await;
        // The call is reset.
        call.abort();
    }
    gate.open();
    until_held(&shop, 0, 0).await;
    for number in 0..20 {
        assert!(shop.accrue(accrual(&format!("t{number}"), "anna", 100)).await.replayed, "{number}");
    }
    let again = ledger.clone().accrue(accrual("t20", "anna", 100)).await.unwrap().into_inner();
    assert_eq!(again.decision.unwrap().balance_points, 21, "the connection goes on");
}

/// What is given up while it waits for an id of others is let go at once, and its caller is known as one who gives up, though
/// nothing is answered meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn who_gives_up_again_and_again_is_cut_off_while_the_disk_hangs() {
    let gate = GatedStore::for_synced();
    let shop = Shop::open_on(gate.clone(), without_caps()).await;
    let (honest, other) = (plain(&shop).await, plain(&shop).await);
    gate.close();
    let mut holder = honest.clone();
    let held = tokio::spawn(async move { holder.accrue(accrual("t1", "anna", 100)).await });
    until_held(&shop, 2, 0).await;
    let place = CutOff::ALL.iter().position(|reason| *reason == CutOff::GivenUpCalls).unwrap();
    let cut_off = || shop.running.engine().metrics.connections.cut_offs()[place];
    let mut given_up_count = 0;
    while cut_off() == 0 {
        let mut other = other.clone();
        let call = tokio::spawn(async move { other.accrue(accrual("t1", "anna", 100)).await });
        if given_up_count < CALLS_GIVEN_UP_MAX as usize {
            until_held(&shop, 2, given_up_count + 1).await;
        } else {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        call.abort();
        given_up_count += 1;
        assert!(given_up_count < CALLS_GIVEN_UP_MAX as usize + A_FEW, "nobody notices");
    }
    assert!(given_up_count > CALLS_GIVEN_UP_MAX as usize, "honest callers give up too");
    gate.open();
    let decision = held.await.unwrap().unwrap().into_inner().decision.unwrap();
    assert_eq!((decision.granted_points, decision.replayed), (1, false));
}
