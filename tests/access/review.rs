//! What caps hold, at the service desks of two partners: each decides on its own, and those who see all see whose it is.

use tallystick::access::grant::{Grant, Role};
use tallystick::config::Config;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tallystick::service::wire::operator_service_client::OperatorServiceClient;
use tallystick::service::wire::{self, RefusalCode};
use tonic::transport::Channel;

use crate::shop::{accrual, plain_program, program_file, wrong_fields};
use crate::support::{House, assert_forbidden, config, grant, usual, with_key};

/// A server whose programme holds what goes beyond 60 points a day, and a basket of each of two partners that is held.
async fn house() -> House {
    let cap = "\n[[caps]]\nname = \"watch\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 60\nover = \"hold\"\n";
    let file = program_file(&format!("{}{cap}", plain_program(&[])));
    let store = std::sync::Arc::new(tallystick::store::memory::MemoryStore::new());
    let house = House::open_on(store, Config { program: Some(file.clone()), ..config() }).await;
    std::fs::remove_file(file).unwrap();
    let mut ledger = LedgerServiceClient::new(house.channel().await);
    for (partner, id) in [("south", "s-1"), ("north", "n-1"), ("north", "n-2")] {
        let key = house.key(grant(Role::Gateway, partner, &[])).await;
        // The same member at each, and another: pages go by account, partner and id.
        for (account, suffix) in [("anna", ""), ("ben", "-b")] {
            let mut request = accrual(&format!("{id}{suffix}"), account, 7_000);
            request.basket.as_mut().unwrap().receipt_number = format!("{partner}{id}{suffix}");
            let decision = ledger.accrue(with_key(&key, request)).await.unwrap().into_inner().decision.unwrap();
            assert_eq!(decision.held_for_review.unwrap().cap, "watch");
        }
    }
    house
}

/// Everything that a key sees, in pages of this size: the partner and the transaction.
async fn held(
    desk: &mut OperatorServiceClient<Channel>,
    key: &str,
    account_id: &str,
    page_size: i32,
) -> Vec<(String, String)> {
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = wire::ListHeldRequest { account_id: account_id.to_owned(), page_size, page_token };
        let page = desk.list_held(with_key(key, request)).await.unwrap().into_inner();
        all.extend(page.held.into_iter().map(|one| (one.partner, one.transaction_id)));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

fn names(held: &[(String, String)]) -> Vec<(&str, &str)> {
    held.iter().map(|(partner, id)| (partner.as_str(), id.as_str())).collect()
}

fn remark() -> Option<wire::Remark> {
    Some(wire::Remark { reason_code: "cleared".to_owned(), operator: "ada".to_owned(), ..<_>::default() })
}

fn release(own: &str, original: &str) -> wire::ReleaseHeldRequest {
    wire::ReleaseHeldRequest {
        transaction_id: own.to_owned(),
        original_transaction_id: original.to_owned(),
        remark: remark(),
        ..<_>::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desk_decides_on_what_is_its_own() {
    let house = house().await;
    let mut desk = OperatorServiceClient::new(house.channel().await);
    let north = house.key(grant(Role::Operator, "north", &[])).await;
    assert_eq!(names(&held(&mut desk, &north, "anna", 1).await), [("north", "n-1"), ("north", "n-2")]);
    assert_eq!(held(&mut desk, &north, "", 1).await.len(), 4);

    let released = desk.release_held(with_key(&north, release("r-1", "n-1"))).await.unwrap().into_inner();
    assert_eq!(released.decision.unwrap().refusal, None);
    let rejection = wire::RejectHeldRequest {
        transaction_id: "r-2".to_owned(),
        original_transaction_id: "n-2".to_owned(),
        remark: remark(),
        ..<_>::default()
    };
    let rejected = desk.reject_held(with_key(&north, rejection)).await.unwrap().into_inner().decision.unwrap();
    assert_eq!((rejected.refusal, rejected.reversed_points), (None, 70));
    assert_eq!(held(&mut desk, &north, "anna", 0).await, []);
    // Another's is as if it did not exist.
    let others = desk.release_held(with_key(&north, release("r-3", "s-1"))).await.unwrap().into_inner();
    let unknown = desk.release_held(with_key(&north, release("r-4", "nothing"))).await.unwrap().into_inner();
    for answer in [others, unknown] {
        assert_eq!(answer.decision.unwrap().refusal.unwrap().code(), RefusalCode::OriginalUnknown);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sees_all_sees_whose_it_is_and_decides_nothing() {
    let house = house().await;
    let mut desk = OperatorServiceClient::new(house.channel().await);
    for role in [Role::Auditor, Role::Operator] {
        let key = house.key(usual(role)).await;
        let all = held(&mut desk, &key, "anna", 0).await;
        // A partner's together; which partner's come first is by the order of their first appearance.
        assert_eq!(names(&all).into_iter().filter(|(partner, _)| *partner == "north").count(), 2);
        assert_eq!(names(&all).into_iter().filter(|(partner, _)| *partner == "south").count(), 1);
        for size in [1, 2, 5] {
            assert_eq!(held(&mut desk, &key, "anna", size).await, all, "pages of {size}");
            let everyones = held(&mut desk, &key, "", size).await;
            assert_eq!(everyones.len(), 6, "pages of {size}: {everyones:?}");
            let once: std::collections::BTreeSet<_> = everyones.iter().collect();
            assert_eq!(once.len(), 6, "pages of {size}: {everyones:?}");
        }
        assert_forbidden(desk.release_held(with_key(&key, release("r-1", "n-1"))).await);
    }
    let back_office = house.key(Grant { role: Role::BackOffice, ..grant(Role::Gateway, "south", &[]) }).await;
    assert_eq!(names(&held(&mut desk, &back_office, "anna", 0).await), [("south", "s-1")]);
}

/// The token of a page that begins at another's transaction tells nothing of it, and is good for whom and what it was given for.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_goes_on_for_whom_and_where_it_began() {
    let house = house().await;
    let desk = OperatorServiceClient::new(house.channel().await);
    let north = house.key(grant(Role::Operator, "north", &[])).await;
    let south = house.key(grant(Role::Operator, "south", &[])).await;
    let auditor = house.key(usual(Role::Auditor)).await;
    let page = async |key: &str, account_id: &str, page_token: &str| {
        let (account_id, page_token) = (account_id.to_owned(), page_token.to_owned());
        let request = wire::ListHeldRequest { account_id, page_size: 1, page_token };
        desk.clone().list_held(with_key(key, request)).await.map(|page| page.into_inner())
    };
    let token = page(&north, "anna", "").await.unwrap().next_page_token;
    let of_all = page(&north, "", "").await.unwrap().next_page_token;
    let of_auditor = page(&auditor, "anna", "").await.unwrap().next_page_token;
    assert!([&token, &of_all, &of_auditor].iter().all(|token| !token.is_empty()));
    let first = hex_of("n-1");
    assert!(!token.contains(&first) && !of_all.contains(&first), "where a page begins does not stand in its token");
    let mut forged = token.clone();
    forged.replace_range(..1, if token.starts_with('0') { "1" } else { "0" });
    // Shard, account, partner and transaction, as anybody could write them down.
    let made_up = format!("0000{:08x}{:08x}{first}", 0, 1);
    for (key, account_id, token) in [
        (&north, "ben", &*token),
        (&north, "", &*token),
        (&north, "anna", &*of_all),
        (&south, "anna", &*token),
        (&south, "", &*of_all),
        (&auditor, "anna", &*token),
        (&north, "anna", &*of_auditor),
        (&north, "anna", &*forged),
        (&north, "anna", &*made_up),
        (&north, "", &*made_up),
    ] {
        let status = page(key, account_id, token).await.unwrap_err();
        assert_eq!(wrong_fields(&status), ["page_token"], "{account_id:?} {token}");
    }
    let next = page(&north, "anna", &token).await.unwrap().held;
    assert_eq!(next.into_iter().map(|one| one.transaction_id).collect::<Vec<_>>(), ["n-2"]);
}

fn hex_of(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}
