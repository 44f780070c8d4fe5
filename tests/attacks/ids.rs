//! Ids that are used again: by whoever used them first, by others, at once and in floods.

use tallystick::service::wire as api;
use tallystick::service::wire::RefusalCode;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;

use crate::scene::{Scene, issue, with_key};
use crate::shop::{accrual, refusal};
use crate::wire::SOON;

#[tokio::test(flavor = "multi_thread")]
async fn an_id_takes_effect_once_however_often_it_is_sent() {
    let scene = Scene::open(&[]).await;
    let mut senders = Vec::new();
    for _ in 0..16 {
        let mut ledger = LedgerServiceClient::new(scene.channel().await);
        senders.push(tokio::spawn(async move {
            let mut first_count = 0;
            for round in 0..100 {
                // All send the same hundred, at the same time.
                let request = accrual(&format!("again-{}", round % 10), "anna", 500);
                let decision = ledger.accrue(request).await.unwrap().into_inner().decision.unwrap();
                assert_eq!(decision.granted_points, 5, "whoever asks is told the same");
                first_count += usize::from(!decision.replayed);
            }
            first_count
        }));
    }
    let mut first_count = 0;
    for sender in senders {
        first_count += tokio::time::timeout(SOON, sender).await.expect("every one is answered").unwrap();
    }
    assert_eq!(first_count, 10, "of sixteen hundred, ten took effect");
    let mut ledger = LedgerServiceClient::new(scene.channel().await);
    // With other content it is refused, and the field is named; the receipt of another id earns nothing either.
    let other = accrual("again-3", "anna", 50_000);
    let decision = ledger.accrue(other).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(refusal(&decision), RefusalCode::TransactionIdReused);
    let mut same_receipt = accrual("another-id", "anna", 500);
    same_receipt.basket.as_mut().unwrap().receipt_number = "again-3".to_owned();
    let decision = ledger.accrue(same_receipt).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(refusal(&decision), RefusalCode::ReceiptAlreadyEarned);
    let request = api::GetBalanceRequest { account_id: "anna".to_owned(), ..<_>::default() };
    let balance = ledger.get_balance(request).await.unwrap().into_inner();
    assert_eq!(balance.wallets[0].balance_points, 50);
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_s_id_is_another_id() {
    let scene = Scene::open_guarded(&[]).await;
    let admin = scene.admin.clone().unwrap();
    let channel = scene.channel().await;
    let mut ledger = LedgerServiceClient::new(channel.clone());
    let north = issue(&channel, &admin, api::Role::Till, "north", None).await;
    let south = issue(&channel, &admin, api::Role::Till, "south", None).await;
    let accrue = async |ledger: &mut LedgerServiceClient<_>, key: &str, minor: i64| {
        let request = with_key(Some(key), accrual("shared", "anna", minor));
        ledger.accrue(request).await.unwrap().into_inner().decision.unwrap()
    };
    assert_eq!(accrue(&mut ledger, &north, 800).await.granted_points, 8);
    // What a partner learns by trying an id is what it would learn if nobody had used it.
    let stolen = accrue(&mut ledger, &south, 300).await;
    assert_eq!((stolen.granted_points, stolen.replayed), (3, false));
    let again = accrue(&mut ledger, &north, 800).await;
    assert_eq!((again.granted_points, again.replayed), (8, true), "and the first is as it was");
    scene.close().await;
}
