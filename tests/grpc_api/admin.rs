//! Status, snapshots and exports.

use tallystick::config::{ClockMode, Config};
use tallystick::service::wire::export_accounts_response::Part;
use tallystick::service::wire::{self, ExportHeader};
use tonic::Code;

use crate::support::*;

async fn status(shop: &mut Shop) -> wire::GetStatusResponse {
    shop.admin.get_status(wire::GetStatusRequest { digest: true }).await.unwrap().into_inner()
}

async fn export(
    shop: &mut Shop,
    as_of_time: Option<prost_types::Timestamp>,
) -> Result<(ExportHeader, Vec<wire::AccountRow>), tonic::Status> {
    let request = wire::ExportAccountsRequest { as_of_time };
    let mut parts = shop.admin.export_accounts(request).await?.into_inner();
    let (mut header, mut rows) = (None, Vec::new());
    while let Some(message) = parts.message().await? {
        match message.part.unwrap() {
            Part::Header(one) => assert!(header.replace(one).is_none(), "one header"),
            Part::Rows(some) => {
                assert!(header.is_some(), "the header comes first");
                rows.extend(some.rows);
            }
            Part::Progress(progress) => assert!(progress.done_count <= progress.total_count),
        }
    }
    let header = header.unwrap();
    assert_eq!(header.row_count, i64::try_from(rows.len()).unwrap());
    Ok((header, rows))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_says_how_the_server_stands() {
    let mut shop = Shop::open().await;
    let fresh = status(&mut shop).await;
    assert_eq!((fresh.account_count, fresh.posting_time, fresh.epoch), (0, None, 1));
    assert_eq!((fresh.shard_count, fresh.worker_count, fresh.program_version), (8, 2, 1));
    assert_eq!((fresh.clock_mode(), fresh.data_path.as_str()), (wire::ClockMode::System, ""));
    assert!(fresh.snapshot.is_none());
    shop.accrue(accrual("t1", "anna", 100)).await;
    let last = shop.accrue(accrual("t2", "ben", 100)).await;
    let now = status(&mut shop).await;
    assert_eq!((now.account_count, now.durable_position), (2, last.position));
    assert_eq!(now.posting_time, last.posting_time);
    assert_eq!(now.memory_id_count, 4, "two transactions and two receipts");
    assert_eq!((now.program_version, now.program_version_count), (1, 1));
    assert_ne!(now.digest.as_ref().unwrap().hash, fresh.digest.unwrap().hash);
    assert_eq!(now.digest.unwrap().position, last.position);
    let without = shop.admin.get_status(wire::GetStatusRequest { digest: false }).await.unwrap().into_inner();
    assert!(without.digest.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_everything_with_and_without_a_snapshot() {
    let mut shop = Shop::open().await;
    for number in 0..30 {
        shop.accrue(accrual(&format!("t{number}"), &format!("a{}", number % 7), 1_000)).await;
    }
    shop.reverse("r1", "t3").await;
    let before = status(&mut shop).await.digest.unwrap();
    let mut shop = shop.reopen(config()).await;
    let after = status(&mut shop).await;
    assert_eq!((after.digest.as_ref().unwrap().hash.as_str(), after.epoch), (before.hash.as_str(), 2));
    let taken = shop.admin.take_snapshot(wire::TakeSnapshotRequest {}).await.unwrap().into_inner().snapshot.unwrap();
    assert!(taken.entity_count > 7);
    assert_eq!(status(&mut shop).await.snapshot, Some(taken));
    // What comes after the snapshot is replayed; more workers than before change nothing.
    assert!(shop.accrue(accrual("t5", "a5", 1_000)).await.replayed);
    shop.accrue(accrual("t99", "a5", 1_000)).await;
    let before = status(&mut shop).await.digest.unwrap();
    let mut shop = shop.reopen(Config { workers: 5, ..config() }).await;
    assert_eq!(status(&mut shop).await.digest.unwrap().hash, before.hash);
    assert!(shop.accrue(accrual("t99", "a5", 1_000)).await.replayed);
    let used = wire::AccrueRequest { transaction_id: "new".to_owned(), ..accrual("t7", "a0", 1_000) };
    assert!(shop.accrue(used).await.refusal.is_some(), "receipts are remembered too");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_states_every_account() {
    let mut shop = Shop::open().await;
    assert_eq!(export(&mut shop, None).await.unwrap().1, []);
    for number in 0..1_100 {
        let requests = vec![accrual(&format!("t{number}"), &format!("{number}"), 100 * (number % 3 + 1))];
        shop.ledger.accrue_batch(wire::AccrueBatchRequest { requests }).await.unwrap();
    }
    let (header, rows) = export(&mut shop, None).await.unwrap();
    assert_eq!(header.program_version, 1);
    let ids: Vec<i64> = rows.iter().map(|row| row.account_id.parse().unwrap()).collect();
    assert_eq!(ids, (0..1_100).collect::<Vec<i64>>(), "in natural order");
    let row = &rows[7];
    assert_eq!((row.wallets.len(), row.metrics.len()), (1, 1));
    assert_eq!(row.wallets[0].balance_points, shop.balance("7").await);
    assert_eq!(row.totals.unwrap().basket_count, 1);
    assert_eq!((row.metrics[0].name.as_str(), row.metrics[0].value), ("yearly-spend", 200));
    let status = export(&mut shop, time(now_seconds() + 60)).await.unwrap_err();
    assert_eq!(wrong_fields(&status), ["as_of_time"]);
    let (before, rows) = export(&mut shop, time(0)).await.unwrap();
    assert_eq!((before.position, rows.len()), (None, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_history_is_true_at_its_time() {
    let mut shop = Shop::open_with(Config { clock: Some(ClockMode::Input), ..config() }).await;
    let rows = [("a", 100), ("b", 300), ("a", 200), ("c", 250), ("a", 400)];
    for (index, (account, day)) in rows.into_iter().enumerate() {
        let mut request = accrual(&format!("t{index}"), account, 500);
        request.posting_time = time(day * 86_400);
        request.basket.as_mut().unwrap().receipt_time = None;
        assert!(shop.accrue(request).await.refusal.is_none(), "shards have times of their own");
    }
    for (day, expected) in [(99, vec![]), (200, vec![("a", 10)]), (299, vec![("a", 10), ("c", 5)])] {
        let (header, rows) = export(&mut shop, time(day * 86_400)).await.unwrap();
        let balances: Vec<_> =
            rows.iter().map(|row| (row.account_id.as_str(), row.wallets[0].balance_points)).collect();
        assert_eq!(balances, expected, "day {day}");
        assert_eq!(header.as_of_time, time(day * 86_400));
    }
    let (header, rows) = export(&mut shop, None).await.unwrap();
    assert_eq!((header.as_of_time, rows.len()), (time(400 * 86_400), 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_export_runs_at_a_time() {
    let mut shop = Shop::open().await;
    let requests: Vec<_> = (0..8_000).map(|number| accrual(&format!("t{number}"), &format!("{number}"), 100)).collect();
    shop.ledger
        .clone()
        .max_decoding_message_size(8 << 20)
        .accrue_batch(wire::AccrueBatchRequest { requests })
        .await
        .unwrap();
    // Rows that nobody reads hold the first export up.
    let first = shop.admin.export_accounts(wire::ExportAccountsRequest::default()).await.unwrap();
    let status = shop.admin.export_accounts(wire::ExportAccountsRequest::default()).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "OVERLOADED"));
    drop(first);
    for _ in 0..200 {
        if export(&mut shop, None).await.is_ok() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("an export whose caller has gone is given up");
}
