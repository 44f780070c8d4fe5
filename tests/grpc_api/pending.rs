//! Settlement of points that cannot be spent yet: they are outstanding, and stated apart until their time has come.

use std::sync::Arc;

use tallystick::clock::Clock;
use tallystick::config::Config;
use tallystick::service::wire;
use tallystick::service::wire::settlement_service_client::SettlementServiceClient;
use tallystick::store::Store;
use tallystick::store::memory::MemoryStore;

use crate::support::*;

const NS_PER_DAY: i64 = 86_400_000_000_000;

/// Points can be spent after one full day; more than 100 a day are held for review.
fn with_pending() -> Config {
    let cap = "[earn]\npending_days = 1";
    let program = plain_program(&[("[earn]", cap)])
        + "\n[[caps]]\nname = \"large-days\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 100\nover = \"hold\"\n";
    Config { program: Some(program_file(&program)), ..config() }
}

struct Days {
    shop: Shop,
    clock: Arc<Hands>,
}

impl Days {
    async fn open(store: Arc<dyn Store>, clock: Arc<Hands>) -> Self {
        Self { shop: Shop::open_by(store, with_pending(), clock.clone()).await, clock }
    }

    async fn buy(&mut self, id: &str, account: &str, points: i64) {
        let mut bought = accrual(id, account, points * 100);
        bought.basket.as_mut().unwrap().receipt_time = time(self.clock.now().0 / 1_000_000_000);
        assert_eq!(self.shop.accrue(bought).await.granted_points, points);
    }

    async fn report(&self, position: Option<i64>) -> wire::GetSettlementReportResponse {
        let mut settlement = SettlementServiceClient::new(connect(&self.shop.running).await);
        let request = wire::GetSettlementReportRequest { position };
        settlement.get_settlement_report(request).await.unwrap().into_inner()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pending_points_are_stated_apart_until_their_time_has_come() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let clock = Hands::new();
    let noon = clock.now().0;
    let mut days = Days::open(store.clone(), clock.clone()).await;
    let mut reports = Vec::new();
    // Outstanding, pending in all, and of these held.
    let mut expect = async |days: &Days, expected: [i64; 3]| {
        let report = days.report(None).await;
        let [standing] = &report.standings[..] else { panic!("one partner issued: {report:?}") };
        let sums = [standing.outstanding_points, standing.pending_points, standing.held_points];
        assert_eq!(sums, expected, "{report:?}");
        reports.push(report);
    };
    days.buy("t1", "anna", 100).await;
    days.buy("t2", "ben", 40).await;
    expect(&days, [140, 140, 0]).await;
    days.buy("t3", "anna", 20).await;
    expect(&days, [160, 160, 20]).await;
    assert_eq!(days.shop.reverse("v2", "t2").await.reversed_points, 40);
    expect(&days, [120, 120, 20]).await;
    clock.set(noon + NS_PER_DAY);
    days.buy("t4", "anna", 50).await;
    expect(&days, [170, 170, 20]).await;
    // A second before the midnight at which the first can be spent, and at it.
    let midnight = (noon.div_euclid(NS_PER_DAY) + 2) * NS_PER_DAY;
    clock.set(midnight - 20_000_000_000);
    days.buy("t5", "carl", 1).await;
    expect(&days, [171, 171, 20]).await;
    clock.set(midnight);
    days.buy("t6", "carl", 2).await;
    expect(&days, [173, 73, 20]).await;
    let spent = wire::RedeemRequest {
        transaction_id: "s1".to_owned(),
        account_id: "anna".to_owned(),
        points: 30,
        ..<_>::default()
    };
    assert_eq!(days.shop.ledger.redeem(spent).await.unwrap().into_inner().decision.unwrap().redeemed_points, 30);
    expect(&days, [143, 73, 20]).await;

    // Whoever adds up from the beginning comes to the same, and so does a server that was started again, from its snapshot
    // or from what came behind it.
    for report in &reports {
        assert_eq!(days.report(report.position).await, *report);
    }
    let engine = days.shop.running.engine().clone();
    tokio::task::spawn_blocking(move || engine.snapshot()).await.unwrap().unwrap();
    days.buy("t7", "ben", 7).await;
    let last = days.report(None).await;
    assert_eq!((last.standings[0].outstanding_points, last.standings[0].pending_points), (150, 80));
    let Days { shop, .. } = days;
    shop.running.shutdown().await.unwrap();
    let days = Days::open(store, clock).await;
    let again = days.report(None).await;
    assert_eq!((&again.standings, &again.burns), (&last.standings, &last.burns));
    assert_eq!(days.report(last.position).await, last);
}
