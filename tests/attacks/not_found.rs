//! How long it takes to be told that there is nothing: what one may not see takes as long as what does not exist.

use tallystick::service::wire as api;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tonic::Code;

use crate::blackbox::clock;
use crate::scene::{Scene, issue, with_key};
use crate::shop::accrual;

/// Samples of each kind. Those of all kinds are taken in turn, so that whatever else the machine does is shared.
const SAMPLES: usize = 400;
/// A middle that is so many times another's tells something. The work is the same; what is between them is noise.
const RATIO_MAX: i64 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn what_one_may_not_see_takes_as_long_as_what_is_not_there() {
    let scene = Scene::open_guarded(&[]).await;
    let admin = scene.admin.clone().unwrap();
    let channel = scene.channel().await;
    let mut ledger = LedgerServiceClient::new(channel.clone());
    let north = issue(&channel, &admin, api::Role::Gateway, "north", None).await;
    let south = issue(&channel, &admin, api::Role::Gateway, "south", None).await;
    for number in 0..SAMPLES {
        let request = with_key(Some(&north), accrual(&format!("hidden-{number}"), "anna", 100));
        ledger.accrue(request).await.unwrap();
    }
    let clock = clock();
    let mut samples = [Vec::new(), Vec::new()];
    for number in 0..SAMPLES {
        for (kind, name) in ["hidden", "absent"].iter().enumerate() {
            let request = api::GetTransactionRequest { transaction_id: format!("{name}-{number}") };
            let began = clock.monotonic_ns();
            let status = ledger.get_transaction(with_key(Some(&south), request)).await.unwrap_err();
            samples[kind].push(clock.monotonic_ns() - began);
            assert_eq!(status.code(), Code::NotFound);
        }
    }
    let [hidden, absent] = samples.map(|mut samples| {
        samples.sort_unstable();
        samples[samples.len() / 2]
    });
    let is_alike = hidden < absent * RATIO_MAX && absent < hidden * RATIO_MAX;
    assert!(is_alike, "half of what is hidden took {hidden} ns, half of what is absent {absent} ns");
    scene.close().await;
}
